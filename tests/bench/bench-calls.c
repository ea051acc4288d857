/*
 * hf-bench: instructions and time of single calls.
 */
#include "bench.h"
#include <string.h>

/* --- instructions per malloc and free --- */

static double count_instructions(const struct allocator *allocator, const char *bytes, const char *mode,
                                 const char *count)
{
    static char output[OUTPUT_MAX];
    char *argv[] = { "valgrind",
                     "--tool=callgrind",
                     "--callgrind-out-file=/dev/null",
                     (char *)workload_path,
                     "pairs",
                     (char *)bytes,
                     (char *)mode,
                     (char *)count,
                     NULL };
    if (run(allocator, "64M", argv, output) != 0)
        fail("callgrind failed:", output);
    return number_after(output, "Collected : ");
}

static double per_pair(const struct allocator *allocator, const char *bytes, const char *mode)
{
    return (count_instructions(allocator, bytes, mode, "300000") -
            count_instructions(allocator, bytes, mode, "100000")) /
           200000;
}

void bench_pairs(void)
{
    static const char *const sizes[] = { "16", "32", "48", "64" };
    static const char *const modes[][2] = { { "alternate", "alternate-none" }, { "batch", "batch-none" } };
    json_t *table = json_object();
    printf("instructions per malloc and free, the calls through the PLT included, the loop without them "
           "subtracted (callgrind)\n");
    print_heads("mode, bytes");
    for (size_t m = 0; m < 2; m++) {
        double loop = per_pair(NULL, "16", modes[m][1]);
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s += quick ? 3 : 1) {
            char name[32];
            json_t *row = json_object();
            snprintf(name, sizeof name, "%s %s", modes[m][0], sizes[s]);
            printf("%-14s", name);
            for (size_t a = 0; a < allocator_count; a++) {
                double count = per_pair(&allocators[a], sizes[s], modes[m][0]) - loop;
                printf(" %20.1f", count);
                json_object_set_new(row, allocators[a].name, json_real(count));
            }
            printf("\n");
            json_object_set_new(table, name, row);
        }
    }
    printf("\n");
    json_object_set_new(results, "instructions", table);
}

/* --- latency --- */

void bench_latency(void)
{
    static char output[OUTPUT_MAX];
    static struct sample samples[2][ALLOCATORS_MAX][2];
    static const char *const threads[] = { "1", "4" };
    json_t *table = json_object();
    const int times = quick ? 1 : 3;
    for (int round = 0; round < times; round++)
        for (size_t t = 0; t < 2; t++)
            for (size_t a = 0; a < allocator_count; a++) {
                char *argv[] = { (char *)workload_path, "--scale", quick ? "10" : "100", "latency",
                                 (char *)threads[t],    NULL };
                if (run(&allocators[a], arena, argv, output) != 0)
                    fail("latency failed:", output);
                const char *free_line = strstr(output, "\nfree");
                samples[t][a][0].values[samples[t][a][0].count++] = number_after(output, "p99.99 ");
                samples[t][a][1].values[samples[t][a][1].count++] = number_after(free_line, "p99.99 ");
                if (round == times - 1)
                    printf("%s thread(s), %s, ns\n%s", threads[t], allocators[a].name, output);
            }
    printf("\np99.99 in ns, median of %d: malloc / free\n", times);
    print_heads("threads");
    for (size_t t = 0; t < 2; t++) {
        json_t *row = json_object();
        printf("%-14s", threads[t]);
        for (size_t a = 0; a < allocator_count; a++) {
            printf("        %5.0f / %5.0f", median(&samples[t][a][0]), median(&samples[t][a][1]));
            json_object_set_new(row, allocators[a].name,
                                json_pack("{s:f, s:f}", "malloc", median(&samples[t][a][0]), "free",
                                          median(&samples[t][a][1])));
        }
        printf("\n");
        json_object_set_new(table, threads[t], row);
    }
    printf("\n");
    json_object_set_new(results, "latency_p9999_ns", table);
}
