/*
 * crew: memory that is not bound lies on the node whose worker populated it, so the workers do run there; and what is
 * bound to another node lies there all the same.
 */
#include <sys/mman.h>

#include "lab.h"
#include "crew.h"

#define BYTES ((size_t)4 << 20)

static char *fresh_memory(void)
{
    char *memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(memory != MAP_FAILED);
    madvise(memory, BYTES, MADV_NOHUGEPAGE);
    return memory;
}

int main(int argc, char **argv)
{
    struct crew_job jobs[HFI_MAX_NODES];
    cpu_set_t before, after;
    lab_start();
    CHECK(sched_getaffinity(0, sizeof before, &before) == 0);
    for (int bound = 0; bound < 2; bound++) {
        for (int i = 1; i < argc; i++) {
            jobs[i - 1] = (struct crew_job){ .node = (unsigned)atoi(argv[i]), .start = fresh_memory(), .bytes = BYTES };
            if (bound)
                CHECK(hfi_os_bind(jobs[i - 1].start, BYTES, (unsigned)atoi(argv[i % (argc - 1) + 1])) == 0);
        }
        hfi_crew_populate(jobs, (unsigned)argc - 1);
        for (int i = 1; i < argc; i++) {
            unsigned node = (unsigned)atoi(bound ? argv[i % (argc - 1) + 1] : argv[i]);
            size_t astray = lab_astray(jobs[i - 1].start, BYTES, 4096, node);
            lab_ok(jobs[i - 1].error == 0 && astray == 0, "worker of node %s, memory bound %s: all on node %u (%zu pages are not)", argv[i],
                   bound ? "elsewhere" : "nowhere", node, astray);
        }
    }
    CHECK(sched_getaffinity(0, sizeof after, &after) == 0);
    lab_ok(CPU_EQUAL(&before, &after), "this thread may run where it might before");
    return 0;
}
