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

int main(int argc, char **argv)
{
    struct prefault_order orders[HFI_MAX_NODES];
    unsigned count = (unsigned)argc - 1;
    lab_start();
    for (int bound = 0; bound < 2; bound++) {
        for (unsigned i = 0; i < count; i++) {
            orders[i] = (struct prefault_order){ .node_id = (unsigned)atoi(argv[i + 1]),
                                                 .affine = true,
                                                 .memory = fresh_memory(),
                                                 .bytes = BYTES };
            if (bound)
                CHECK(hfi_os_bind(orders[i].memory, BYTES, (unsigned)atoi(argv[(i + 1) % count + 1])) == 0);
            hfi_prefault_begin(i, &orders[i]);
        }
        for (unsigned i = 0; i < count; i++) {
            unsigned node = bound ? (unsigned)atoi(argv[(i + 1) % count + 1]) : orders[i].node_id;
            size_t done = 0;
            int error = hfi_prefault_finish(i, &done);
            size_t astray = lab_astray(orders[i].memory, BYTES, 4096, node);
            lab_ok(error == 0 && done == BYTES && astray == 0,
                   "workers of node %s, memory bound %s: all on node %u (%zu pages are not)", argv[i + 1],
                   bound ? "elsewhere" : "nowhere", node, astray);
        }
    }
    return 0;
}
