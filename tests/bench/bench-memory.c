/*
 * hf-bench: memory, first touches, and a full arena.
 */
#include "bench.h"
#include <string.h>

#define MIB (1 << 20)

/* --- memory --- */

static const struct shape {
    const char *name;
    const char *arguments[6]; /* of hf-workload */
    const char *arena;        /* for Holdfast; NULL: nothing is set, and the arena grows */
    bool smallest;            /* looks for the smallest arena in which it runs */
} shapes[] = {
    { "200 threads", { "memory", "200", "6144", "500" }, "4G", true },
    { "one frees", { "memory", "8", "0", "4000", "one-frees" }, "4G", true },
    { "400 threads by turns", { "alternate", "400", "3072", "10" }, NULL, true },
    { "8 threads and a freer", { "freer", "8", "32", "50", "allocates" }, NULL, false },
    { "16 threads and one that only frees", { "freer", "16", "16", "200" }, NULL, false },
    { "100 threads of 0.3 MiB", { "crowd", "100", "307" }, NULL, false },
};

/* What a run prints of itself, NAN where it says nothing of it. */
struct figures {
    double live_mib, rss_mib, arena_mib, million_steps, rss_growth, arena_growth, still;
};

static bool shape_run(const struct shape *shape, const struct allocator *allocator, const char *arena_size,
                      struct figures *figures)
{
    static char output[OUTPUT_MAX];
    char *argv[10] = { (char *)workload_path, "--scale", quick ? "10" : "100" };
    for (size_t i = 0; shape->arguments[i] != NULL; i++)
        argv[3 + i] = (char *)shape->arguments[i];
    bool good = run(allocator, arena_size, argv, output) == 0;
    if (!good)
        strcpy(output, "");
    *figures = (struct figures){
        number_after(output, "live_bytes ") / MIB,     number_after(output, "rss_bytes ") / MIB,
        number_after(output, "arena_bytes ") / MIB,    number_after(output, "steps_per_second ") / 1e6,
        number_after(output, "rss_growth "),           number_after(output, "arena_growth "),
        number_after(output, "rounds_without_growth ")
    };
    if (!allocator->holdfast && !allocator->growing)
        figures->arena_mib = NAN;
    return good;
}

static void print_figure(json_t *row, const char *name, const char *format, double value)
{
    if (isnan(value)) {
        printf(" %12s", "-");
        return;
    }
    printf(format, value);
    json_object_set_new(row, name, json_real(value));
}

static void print_figures(json_t *row, const struct figures *figures)
{
    print_figure(row, "live_mib", " %12.1f", figures->live_mib);
    print_figure(row, "rss_mib", " %12.1f", figures->rss_mib);
    print_figure(row, "rss_over_live", " %12.2f", figures->rss_mib / figures->live_mib);
    print_figure(row, "arena_mib", " %12.1f", figures->arena_mib);
    print_figure(row, "arena_over_live", " %12.2f", figures->arena_mib / figures->live_mib);
    print_figure(row, "rss_growth", " %12.3f", figures->rss_growth);
    print_figure(row, "arena_growth", " %12.3f", figures->arena_growth);
    print_figure(row, "rounds_without_growth", " %12.0f", figures->still);
    print_figure(row, "million_steps_per_second", " %12.2f", figures->million_steps);
    printf("\n");
}

/* By halves, in MiB, beginning with what was live at most. */
static void smallest_arena(json_t *row, const struct shape *shape, double live_mib)
{
    const struct allocator *holdfast = &allocators[holdfast_index()];
    size_t low = (size_t)live_mib, high = low * 3 + 64;
    struct figures figures, there = { .live_mib = live_mib, .million_steps = NAN };
    while (high - low > high / (quick ? 5 : 50) + 1) {
        char size[32];
        size_t middle = (low + high) / 2;
        snprintf(size, sizeof size, "%zuM", middle);
        if (shape_run(shape, holdfast, size, &figures)) {
            high = middle;
            there = figures;
        } else {
            low = middle;
        }
    }
    double ratio = (double)high / there.live_mib;
    printf(
        "  Holdfast: smallest arena %zu MiB, %.2f of peak live bytes, %.1f million steps per second there\n",
        high, ratio, there.million_steps);
    json_object_set_new(row, "smallest_arena_over_peak", json_real(ratio));
    json_object_set_new(row, "rate_in_smallest_arena", json_real(there.million_steps));
}

static json_t *bench_shape(const struct shape *shape)
{
    json_t *row = json_object();
    double live_mib = NAN;
    printf("%s, Holdfast's arena %s\n  %-10s %12s %12s %12s %12s %12s %12s %12s %12s %12s\n", shape->name,
           shape->arena != NULL ? shape->arena : "growing", "", "live MiB", "resident", "of live", "arena",
           "of live", "res. growth", "arena growth", "still", "M steps/s");
    for (size_t a = 0; a < allocator_count; a++) {
        struct figures figures;
        json_t *cell = json_object();
        if (!shape_run(shape, &allocators[a], shape->arena, &figures))
            printf("  %s failed\n", allocators[a].name);
        printf("  %-10s", allocators[a].name);
        print_figures(cell, &figures);
        json_object_set_new(row, allocators[a].name, cell);
        if (allocators[a].holdfast)
            live_mib = figures.live_mib;
    }
    if (shape->smallest && !isnan(live_mib))
        smallest_arena(row, shape, live_mib);
    printf("\n");
    return row;
}

void bench_memory(void)
{
    json_t *table = json_object();
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        json_object_set_new(table, shapes[s].name, bench_shape(&shapes[s]));
    json_object_set_new(results, "memory", table);
}

/* --- first touches, and a full arena --- */

void bench_touch(void)
{
    static char output[OUTPUT_MAX];
    json_t *row = json_object();
    printf("minor faults of allocating, writing and freeing 256 MiB\n");
    for (size_t a = 0; a < allocator_count; a++) {
        char *argv[] = { (char *)workload_path, "touch", "256", NULL };
        if (run(&allocators[a], arena, argv, output) != 0)
            fail("touch failed:", output);
        double faults = number_after(output, "minor_faults ");
        printf("  %-10s %.0f\n", allocators[a].name, faults);
        json_object_set_new(row, allocators[a].name, json_real(faults));
    }
    printf("\n");
    json_object_set_new(results, "minor_faults", row);
}

void bench_fill(void)
{
    static char output[OUTPUT_MAX];
    static const char *const mixes[] = { "even", "server", "rows", "pages" };
    const char *mebibytes = quick ? "128" : "512";
    json_t *shares = json_object();
    bool all_fit = true;
    char size[16];
    snprintf(size, sizeof size, "%sM", mebibytes);
    printf("arena of %s: least share that is live at ENOMEM, by mix of sizes\n", size);
    for (unsigned i = 0; i < sizeof mixes / sizeof mixes[0]; i++) {
        char *argv[] = { (char *)workload_path, "--scale", quick ? "40" : "333", "fill", (char *)mebibytes,
                         (char *)mixes[i],      NULL };
        if (run(&allocators[holdfast_index()], size, argv, output) != 0)
            fail("fill failed:", output);
        double share = number_after(output, "least_live_share ");
        bool fits = number_after(output, "big_block_fits ") != 0;
        printf("  %-10s %.1f %%; afterwards a block of 90 %% %s\n", mixes[i], 100 * share,
               fits ? "fits" : "does not fit");
        json_object_set_new(shares, mixes[i], json_real(share));
        all_fit = all_fit && fits;
    }
    printf("\n");
    json_object_set_new(results, "fill",
                        json_pack("{s:o, s:b}", "least_live_share", shares, "big_block_fits", all_fit));
}
