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

/* p99.99 in ns: of the calls, and of nothing in the same runs, whose tail is the scheduler's. */
enum { OF_MALLOC, OF_FREE, OF_EMPTY, LATENCY_KINDS };
static const char *const latency_kinds[LATENCY_KINDS] = { "malloc", "free", "empty" };
static const char *const latency_threads[] = { "1", "4" };
static struct sample latency_samples[2][ALLOCATORS_MAX][LATENCY_KINDS];

static void latency_run(size_t t, size_t a, bool shown)
{
    static char output[OUTPUT_MAX];
    char *argv[] = { (char *)workload_path,      "--scale", quick ? "10" : "100", "latency",
                     (char *)latency_threads[t], NULL };
    if (run(&allocators[a], arena, argv, output) != 0)
        fail("latency failed:", output);
    for (size_t kind = 0; kind < LATENCY_KINDS; kind++) {
        struct sample *sample = &latency_samples[t][a][kind];
        const char *line = strstr(output, latency_kinds[kind]);
        sample->values[sample->count++] = line == NULL ? NAN : number_after(line, "p99.99 ");
    }
    if (shown)
        printf("%s thread(s), %s, ns\n%s", latency_threads[t], allocators[a].name, output);
}

static json_t *latency_row(size_t t)
{
    json_t *row = json_object();
    double best = INFINITY;
    for (size_t a = 0; a < allocator_count; a++) {
        struct sample *samples = latency_samples[t][a];
        if (is_peer(a))
            best = fmin(best, median(&samples[OF_MALLOC]));
        printf(" %6.0f/%6.0f/%6.0f", median(&samples[OF_MALLOC]), median(&samples[OF_FREE]),
               median(&samples[OF_EMPTY]));
        json_object_set_new(row, allocators[a].name,
                            json_pack("{s:f, s:f, s:f}", "malloc", median(&samples[OF_MALLOC]), "free",
                                      median(&samples[OF_FREE]), "empty", median(&samples[OF_EMPTY])));
    }
    for (size_t a = 0; a < allocator_count; a++)
        if (!is_peer(a))
            printf("   %s %.2f", allocators[a].name, median(&latency_samples[t][a][OF_MALLOC]) / best);
    printf("\n");
    return row;
}

void bench_latency(void)
{
    json_t *table = json_object();
    const int times = quick ? 1 : 3;
    for (int round = 0; round < times; round++)
        for (size_t t = 0; t < 2; t++)
            for (size_t a = 0; a < allocator_count; a++)
                latency_run(t, a, round == times - 1);
    printf("\np99.99 in ns, median of %d: malloc/free/empty; on the right Holdfast's malloc over the best "
           "peer's\n",
           times);
    print_heads("threads");
    for (size_t t = 0; t < 2; t++) {
        printf("%-14s", latency_threads[t]);
        json_object_set_new(table, latency_threads[t], latency_row(t));
    }
    printf("\n");
    json_object_set_new(results, "latency_p9999_ns", table);
}
