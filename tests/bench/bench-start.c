/*
 * hf-bench: how long a start takes, and populating an arena.
 */
#include "bench.h"
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static double time_of(const struct allocator *allocator, const char *arena_size, const char *program)
{
    static char output[OUTPUT_MAX];
    char *argv[] = { (char *)program, NULL };
    double from = now_seconds();
    run(allocator, arena_size, argv, output);
    return now_seconds() - from;
}

void bench_start(void)
{
    struct sample samples[ALLOCATORS_MAX] = { { .count = 0 } };
    const int runs = quick ? 11 : ROUNDS_MAX;
    for (int round = 0; round < runs; round++)
        for (size_t a = 0; a < allocator_count; a++)
            samples[a].values[samples[a].count++] = time_of(&allocators[a], NULL, "/bin/true") * 1e3;
    json_t *row = json_object();
    printf("`true`, ms, median of %d interleaved runs, nothing set\n", runs);
    for (size_t a = 0; a < allocator_count; a++) {
        printf("  %-10s %.3f (+%.3f)\n", allocators[a].name, median(&samples[a]),
               median(&samples[a]) - median(&samples[0]));
        json_object_set_new(row, allocators[a].name, sample_json(&samples[a]));
    }
    printf("\n");
    json_object_set_new(results, "start_ms", row);
}

struct population {
    const char *name, *backing;
    bool huge_pool, thp, lock;
};

/* Populates by hand in a process of its own, as it has to be for its memory to be given back
 * unmeasured. */
static double plain_populate_seconds(size_t bytes, const struct population *kind)
{
    int ends[2], status;
    double taken = NAN;
    if (pipe(ends) != 0)
        fail("pipe:", strerror(errno));
    pid_t pid = fork();
    if (pid == 0) {
        double from = now_seconds();
        char *memory =
            mmap(NULL, bytes + (2 << 20), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (kind->huge_pool ? MAP_HUGETLB | 21 << 26 : 0),
                 -1, 0);
        if (memory == MAP_FAILED)
            _exit(1);
        memory = (char *)(((uintptr_t)memory + (2 << 20) - 1) & -(uintptr_t)(2 << 20));
        if (!kind->huge_pool)
            madvise(memory, bytes, kind->thp ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
        if (madvise(memory, bytes, 23 /* MADV_POPULATE_WRITE */) != 0 ||
            (kind->lock && mlock(memory, bytes) != 0))
            _exit(1);
        taken = now_seconds() - from;
        _exit(write(ends[1], &taken, sizeof taken) != sizeof taken);
    }
    close(ends[1]);
    bool good = read(ends[0], &taken, sizeof taken) == sizeof taken;
    close(ends[0]);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !good || status != 0)
        return NAN;
    return taken;
}

/* From fork to main. */
static double our_populate_seconds(const char *size, const char *prefault, bool *good)
{
    static char output[OUTPUT_MAX];
    char *argv[] = { (char *)workload_path, "now", NULL };
    setenv("HOLDFAST_PREFAULT", prefault, 1);
    double from = now_seconds();
    *good = run(&allocators[holdfast_index()], size, argv, output) == 0;
    unsetenv("HOLDFAST_PREFAULT");
    return number_after(output, "now ") - from;
}

/* Of the start the same with 8 MiB is subtracted: the loader, and the arena's own structures of any
 * size. */
static void populate_kind(json_t *table, const struct population *kind)
{
    struct sample plain = { .count = 0 }, ours = { .count = 0 }, ratios = { .count = 0 };
    backing = kind->backing;
    setenv("HOLDFAST_LOCK", kind->lock ? "yes" : "no", 1);
    for (int round = 0; round <= rounds; round++) {
        bool good, small_good;
        double value = plain_populate_seconds((size_t)1 << 30, kind);
        double our =
            our_populate_seconds("1G", "startup", &good) - our_populate_seconds("8M", "startup", &small_good);
        if (round == 0 || isnan(value) || !good || !small_good)
            continue;
        plain.values[plain.count++] = value;
        ours.values[ours.count++] = our;
        ratios.values[ratios.count++] = value / our;
    }
    unsetenv("HOLDFAST_LOCK");
    if (plain.count == 0) {
        printf("  %-12s not to be had here\n", kind->name);
        return;
    }
    printf("  %-12s %.3f %.3f %.2f\n", kind->name, median(&plain), median(&ours), median(&ratios));
    json_object_set_new(table, kind->name,
                        json_pack("{s:o, s:o, s:o}", "plain", sample_json(&plain), "holdfast",
                                  sample_json(&ours), "rate", sample_json(&ratios)));
}

static void populate_background(json_t *table)
{
    struct sample starts = { .count = 0 };
    backing = "4k";
    for (int round = 0; round <= rounds; round++) {
        bool good;
        double taken =
            (our_populate_seconds("8G", "background", &good) - our_populate_seconds("8M", "startup", &good)) *
            1e3;
        if (round != 0 && good)
            starts.values[starts.count++] = taken;
    }
    if (starts.count != 0)
        printf("  start on 8 GiB populated in the background, ms more than on 8 MiB: %.1f\n",
               median(&starts));
    json_object_set_new(table, "background_8g_ms", sample_json(&starts));
}

void bench_populate(void)
{
    static const struct population kinds[] = {
        { "2m", "2m", true, false, false },          { "thp", "thp", false, true, false },
        { "thp, locked", "thp", false, true, true }, { "4k", "4k", false, false, false },
        { "4k, locked", "4k", false, false, true },
    };
    json_t *table = json_object();
    printf("populating 1 GiB, s, median of %d: plain MADV_POPULATE_WRITE (then mlock), Holdfast's start, "
           "rate against plain, of pairs\n",
           rounds);
    setenv("HOLDFAST_STRICT", "1", 1);
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
        populate_kind(table, &kinds[k]);
    populate_background(table);
    unsetenv("HOLDFAST_STRICT");
    printf("\n");
    json_object_set_new(results, "populate_seconds", table);
}
