/*
 * hf-bench: memory, first touches, and a full arena.
 */
#include "bench.h"

/* --- memory --- */

void bench_memory(void)
{
    static char output[OUTPUT_MAX];
    static const char *const shapes[][6] = { { "200 threads", "200", "6144", "500", NULL },
                                             { "one frees", "8", "0", "4000", "one-frees", NULL } };
    static const char *const quick_rounds[] = { "50", "400" };
    json_t *table = json_object();
    for (size_t s = 0; s < 2; s++) {
        char *argv[8] = { (char *)workload_path, "memory" };
        for (size_t i = 1; shapes[s][i] != NULL; i++)
            argv[i + 1] = (char *)(quick && i == 3 ? quick_rounds[s] : shapes[s][i]);
        json_t *row = json_object();
        printf("%s: million steps per second\n", shapes[s][0]);
        double peak = 0;
        for (size_t a = 0; a < allocator_count; a++) {
            int status = run(&allocators[a], allocators[a].holdfast ? "4G" : NULL, argv, output);
            double rate = status == 0 ? number_after(output, "steps_per_second ") / 1e6 : NAN;
            if (status == 0 && allocators[a].holdfast)
                peak = number_after(output, "peak_bytes ");
            printf("  %-10s %.1f\n", allocators[a].name, rate);
            json_object_set_new(row, allocators[a].name, json_real(rate));
        }
        /* The smallest arena, in MiB, in which the work still runs: by halves. */
        size_t low = (size_t)(peak / (1 << 20)), high = low * 3 + 64;
        double rate = NAN, peak_there = peak;
        while (high - low > high / (quick ? 5 : 50) + 1) {
            char size[32];
            size_t middle = (low + high) / 2;
            snprintf(size, sizeof size, "%zuM", middle);
            if (run(&allocators[holdfast_index()], size, argv, output) == 0) {
                high = middle;
                rate = number_after(output, "steps_per_second ") / 1e6;
                peak_there = number_after(output, "peak_bytes ");
            } else {
                low = middle;
            }
        }
        double ratio = (double)high * (1 << 20) / peak_there;
        printf("  Holdfast: smallest arena %zu MiB, %.2f of peak live bytes, %.1f million steps per second "
               "there\n\n",
               high, ratio, rate);
        json_object_set_new(row, "smallest_arena_over_peak", json_real(ratio));
        json_object_set_new(row, "rate_in_smallest_arena", json_real(rate));
        json_object_set_new(table, shapes[s][0], row);
    }
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
