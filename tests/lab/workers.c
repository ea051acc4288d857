/*
 * workers: memory that is not bound lies on the node whose workers populated it, so they do run
 * there; and what is bound to another node lies there all the same.
 */
#include <sys/mman.h>

#include "lab.h"
#include "arena/prefault.h"
#include "kernel/os.h"

#define BYTES ((size_t)4 << 20)

static char *fresh_memory(void)
{
    char *memory =
        mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(memory != MAP_FAILED);
    madvise(memory, BYTES, MADV_NOHUGEPAGE);
    return memory;
}

/* Populates a stretch on each node, bound to the node after it or nowhere; how much is on the wrong one. */
static void populate(unsigned count, char **nodes, bool bound, size_t astray[HFI_MAX_NODES])
{
    struct prefault_order orders[HFI_MAX_NODES];
    for (unsigned i = 0; i < count; i++) {
        orders[i] = (struct prefault_order){
            .node_id = (unsigned)atoi(nodes[i]), .affine = true, .memory = fresh_memory(), .bytes = BYTES
        };
        if (bound)
            CHECK(hfi_os_bind(orders[i].memory, BYTES, (unsigned)atoi(nodes[(i + 1) % count])) == 0);
        hfi_prefault_begin(i, &orders[i]);
    }
    for (unsigned i = 0; i < count; i++) {
        size_t done = 0;
        unsigned node = (unsigned)atoi(nodes[bound ? (i + 1) % count : i]);
        CHECK(hfi_prefault_finish(i, &done) == 0 && done == BYTES);
        astray[i] = hfi_min(astray[i], lab_astray(orders[i].memory, BYTES, 4096, node));
        munmap(orders[i].memory, BYTES);
    }
}

int main(int argc, char **argv)
{
    unsigned count = (unsigned)argc - 1;
    lab_start();
    for (int bound = 0; bound < 2; bound++) {
        size_t astray[HFI_MAX_NODES];
        memset(astray, 0xff, sizeof astray);
        /* A request that the kernel interrupted is done by this thread, on whatever node it runs. */
        for (int try = 0; try < (bound ? 1 : 3); try++)
            populate(count, argv + 1, bound, astray);
        for (unsigned i = 0; i < count; i++)
            lab_ok(astray[i] == 0, "workers of node %s, memory bound %s: all on node %s (%zu pages are not)",
                   argv[i + 1], bound ? "elsewhere" : "nowhere", argv[bound ? (i + 1) % count + 1 : i + 1],
                   astray[i]);
    }
    return 0;
}
