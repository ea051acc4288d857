/*
 * hf-bench: wall time of the workloads.
 */
#include "bench.h"
#include <string.h>

static const char *const workload_names[] = { "server",        "prodcons", "exchange", "churn",
                                              "churn-threads", "cache",    "bigblock", "strings",
                                              "pingpong",      "passive",  "startup" };
#define WORKLOADS (sizeof workload_names / sizeof workload_names[0])

void bench_workloads(const char *only)
{
    static struct sample samples[WORKLOADS][ALLOCATORS_MAX];
    static char output[OUTPUT_MAX];
    double log_ratio[ALLOCATORS_MAX] = { 0 };
    size_t counted = 0, self = holdfast_index();
    for (int round = quick; round <= rounds; round++)
        for (size_t w = 0; w < WORKLOADS; w++)
            for (size_t a = 0; a < allocator_count; a++) {
                if (only != NULL && strstr(only, workload_names[w]) == NULL)
                    continue;
                char *argv[] = { (char *)workload_path, "--scale", quick ? "10" : "100",
                                 (char *)workload_names[w], NULL };
                bool automatic =
                    strcmp(workload_names[w], "startup") == 0; /* many programs: nothing is set */
                if (run(&allocators[a], automatic ? NULL : arena, argv, output) != 0)
                    fail("a workload failed:", output);
                if (round > 0)
                    samples[w][a].values[samples[w][a].count++] = number_after(output, "seconds ");
            }
    json_t *table = json_object();
    printf("wall seconds, median of %d interleaved runs (least..most)\n", rounds);
    print_heads("workload");
    for (size_t w = 0; w < WORKLOADS; w++) {
        if (samples[w][0].count == 0)
            continue;
        json_t *row = json_object();
        printf("%-14s", workload_names[w]);
        for (size_t a = 0; a < allocator_count; a++) {
            double middle = median(&samples[w][a]);
            printf("  %5.3f (%5.3f..%5.3f)", middle, samples[w][a].values[0],
                   samples[w][a].values[samples[w][a].count - 1]);
            json_object_set_new(row, allocators[a].name, sample_json(&samples[w][a]));
        }
        printf("\n");
        json_object_set_new(table, workload_names[w], row);
    }
    printf("\nratio of Holdfast to each (under 1: Holdfast is faster)\n");
    print_heads("workload");
    for (size_t w = 0; w < WORKLOADS; w++) {
        if (samples[w][0].count == 0)
            continue;
        double best = INFINITY;
        printf("%-14s", workload_names[w]);
        for (size_t a = 0; a < allocator_count; a++) {
            double ratio = median(&samples[w][self]) / median(&samples[w][a]);
            log_ratio[a] += log(ratio);
            best = a != self ? fmin(best, median(&samples[w][a])) : best;
            printf(" %20.2f", ratio);
        }
        printf("   best peer %.2f\n", median(&samples[w][self]) / best);
        counted++;
    }
    printf("%-14s", "geometric mean");
    for (size_t a = 0; a < allocator_count; a++)
        printf(" %20.2f", exp(log_ratio[a] / (double)counted));
    printf("\n\n");
    json_object_set_new(results, "workloads", table);
}
