/*
 * hf-workload: the shapes of work that allocators are compared by.
 *
 *   hf-workload [--scale PERCENT] NAME [PARAMETER...]
 *
 * Plain programs: malloc, free and their family, nothing of any allocator.  Each checks marks it
 * wrote into its blocks, so that a broken allocator fails instead of winning, and prints its own
 * wall time in seconds on the last line ("seconds S"), from after the first malloc on.
 */

#include "workload.h"
#include <string.h>

long workload_scale = 100;

static const struct {
    const char *name;
    void (*run)(void);
} workloads[] = {
    { "server", workload_server },
    { "prodcons", workload_prodcons },
    { "exchange", workload_exchange },
    { "churn", workload_churn },
    { "churn-threads", workload_churn_threads },
    { "cache", workload_cache },
    { "bigblock", workload_bigblock },
    { "strings", workload_strings },
    { "pingpong", workload_pingpong },
    { "passive", workload_passive },
    { "startup", workload_startup },
};

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "--scale") == 0) {
        workload_scale = strtol(argv[2], NULL, 10);
        argc -= 2;
        argv += 2;
    }
    if (argc < 2 || workload_scale < 1)
        fail("usage: hf-workload [--scale PERCENT] NAME [PARAMETER...]");
    free(malloc(1)); /* the allocator's own start is measured by `startup` */
    double from = now_seconds();
    if (strcmp(argv[1], "pairs") == 0)
        return workload_pairs(argc - 2, argv + 2), 0;
    if (strcmp(argv[1], "latency") == 0)
        return workload_latency(argc - 2, argv + 2), 0;
    if (strcmp(argv[1], "small") == 0) /* what `startup` starts: silent */
        return workload_small(), 0;
    if (strcmp(argv[1], "now") == 0) /* for who measures a start */
        return printf("now %.9f\n", now_seconds()) < 0;
    if (strcmp(argv[1], "memory") == 0)
        return workload_memory(argc - 2, argv + 2), 0;
    if (strcmp(argv[1], "fill") == 0)
        return workload_fill(argc - 2, argv + 2), 0;
    if (strcmp(argv[1], "touch") == 0)
        return workload_touch(argc - 2, argv + 2), 0;
    for (size_t i = 0; i < sizeof workloads / sizeof workloads[0]; i++)
        if (strcmp(argv[1], workloads[i].name) == 0) {
            workloads[i].run();
            printf("seconds %.6f\n", now_seconds() - from);
            return 0;
        }
    fail("no such workload");
}
