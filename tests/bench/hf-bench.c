/*
 * hf-bench: Holdfast beside other allocators, in one interleaved run.
 *
 * Every round runs each workload once under each allocator (LD_PRELOAD), so that a machine whose
 * speed drifts slows all of them alike; the first round warms up and is not counted. Medians with
 * their spread go to a table and, with --json, to a file.  Further measurements by option.  No
 * verdicts.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ALLOCATORS_MAX 16
#define ROUNDS_MAX 101
#define OUTPUT_MAX 65536

struct allocator {
    const char *name;
    const char *library; /* NULL: the C library's own */
    bool holdfast;
};

static struct allocator allocators[ALLOCATORS_MAX] = { { "glibc", NULL, false } };
static size_t allocator_count = 1;
static const char *workload_path, *arena = "1G", *backing = "auto";
static int rounds = 5;
static bool quick; /* a tenth of the work, once: to see that it runs */
static json_t *results;

static const char *const workload_names[] = { "server",        "prodcons", "exchange", "churn",
                                              "churn-threads", "cache",    "bigblock", "strings",
                                              "pingpong",      "passive",  "startup" };
#define WORKLOADS (sizeof workload_names / sizeof workload_names[0])

static _Noreturn void fail(const char *what, const char *about)
{
    fprintf(stderr, "hf-bench: %s %s\n", what, about);
    exit(2);
}

/* Runs `argv` under an allocator; standard output and error to `output`.  The exit status, -1 when
 * killed. */
static int run(const struct allocator *allocator, const char *arena_size, char *const argv[], char *output)
{
    int ends[2];
    if (pipe(ends) != 0)
        fail("pipe:", strerror(errno));
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        if (allocator != NULL && allocator->library != NULL)
            setenv("LD_PRELOAD", allocator->library, 1);
        if (allocator != NULL && allocator->holdfast && arena_size != NULL) {
            setenv("HOLDFAST_ARENA", arena_size, 1);
            setenv("HOLDFAST_BACKING", backing, 1);
        }
        execvp(argv[0], argv);
        _exit(127);
    }
    close(ends[1]);
    size_t length = 0;
    ssize_t got;
    char rest[4096];
    while ((got = read(ends[0], length < OUTPUT_MAX - 1 ? output + length : rest,
                       length < OUTPUT_MAX - 1 ? OUTPUT_MAX - 1 - length : sizeof rest)) > 0)
        if (length < OUTPUT_MAX - 1)
            length += (size_t)got;
    output[length] = 0;
    close(ends[0]);
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        fail("wait:", strerror(errno));
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static double number_after(const char *text, const char *word)
{
    const char *at = strstr(text, word);
    return at == NULL ? NAN : strtod(at + strlen(word), NULL);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct sample {
    double values[ROUNDS_MAX];
    int count;
};

static double median(struct sample *sample)
{
    qsort(sample->values, (size_t)sample->count, sizeof sample->values[0], by_value);
    return sample->count == 0 ? NAN : sample->values[sample->count / 2];
}

static json_t *sample_json(struct sample *sample)
{
    double middle = median(sample);
    return sample->count == 0
             ? json_null()
             : json_pack("{s:f, s:f, s:f, s:i}", "median", middle, "least", sample->values[0], "most",
                         sample->values[sample->count - 1], "runs", sample->count);
}

static size_t holdfast_index(void)
{
    for (size_t a = 0; a < allocator_count; a++)
        if (allocators[a].holdfast)
            return a;
    fail("no allocator to compare:", "give --holdfast PATH");
}

static void print_heads(const char *first)
{
    printf("%-14s", first);
    for (size_t a = 0; a < allocator_count; a++)
        printf(" %20s", allocators[a].name);
    printf("\n");
}

/* --- wall time of the workloads --- */

static void bench_workloads(const char *only)
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

static void bench_pairs(void)
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

static void bench_latency(void)
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

/* --- memory --- */

static void bench_memory(void)
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

static void bench_touch(void)
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

static void bench_fill(void)
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

/* --- start and population --- */

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

static void bench_start(void)
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
static void bench_populate(void)
{
    static const struct population kinds[] = {
        { "2m", "2m", true, false, false },          { "thp", "thp", false, true, false },
        { "thp, locked", "thp", false, true, true }, { "4k", "4k", false, false, false },
        { "4k, locked", "4k", false, false, true },
    };
    const size_t bytes = (size_t)1 << 30;
    json_t *table = json_object();
    printf("populating 1 GiB, s, median of %d: plain MADV_POPULATE_WRITE (then mlock), Holdfast's start, "
           "rate against plain, of pairs\n",
           rounds);
    setenv("HOLDFAST_STRICT", "1", 1);
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        struct sample plain = { .count = 0 }, ours = { .count = 0 }, ratios = { .count = 0 };
        backing = kinds[k].backing;
        setenv("HOLDFAST_LOCK", kinds[k].lock ? "yes" : "no", 1);
        for (int round = 0; round <= rounds; round++) {
            bool good, small_good;
            double value = plain_populate_seconds(bytes, &kinds[k]);
            double our = our_populate_seconds("1G", "startup", &good) -
                         our_populate_seconds("8M", "startup", &small_good);
            if (round == 0 || isnan(value) || !good || !small_good)
                continue;
            plain.values[plain.count++] = value;
            ours.values[ours.count++] = our;
            ratios.values[ratios.count++] = value / our;
        }
        if (plain.count == 0) {
            printf("  %-12s not to be had here\n", kinds[k].name);
            continue;
        }
        printf("  %-12s %.3f %.3f %.2f\n", kinds[k].name, median(&plain), median(&ours), median(&ratios));
        json_object_set_new(table, kinds[k].name,
                            json_pack("{s:o, s:o, s:o}", "plain", sample_json(&plain), "holdfast",
                                      sample_json(&ours), "rate", sample_json(&ratios)));
    }
    unsetenv("HOLDFAST_LOCK");
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
    unsetenv("HOLDFAST_STRICT");
    if (starts.count != 0)
        printf("  start on 8 GiB populated in the background, ms more than on 8 MiB: %.1f\n",
               median(&starts));
    json_object_set_new(table, "background_8g_ms", sample_json(&starts));
    printf("\n");
    json_object_set_new(results, "populate_seconds", table);
}

static const char usage[] =
    "usage: hf-bench --holdfast PATH [OPTION...]\n"
    "  --holdfast PATH      libholdfast.so\n"
    "  --workload PATH      hf-workload (default: beside this program)\n"
    "  --so NAME=PATH       one more allocator; repeatable\n"
    "  --arena SIZE         HOLDFAST_ARENA for all but `startup` (default 1G)\n"
    "  --backing VALUE      HOLDFAST_BACKING (default auto)\n"
    "  --rounds N           counted rounds (default 5)\n"
    "  --only NAME[,NAME]   workloads\n"
    "  --json FILE          write the results\n"
    "  --quick              one round of a tenth of the work: to see that it runs\n"
    "  --no-workloads --pairs --latency --memory --touch --fill --start --populate --all\n"
    "Peers found in the system's library directory are taken by themselves.\n";

static void add_allocator(const char *name, const char *library, bool holdfast)
{
    if (access(library, R_OK) != 0) {
        fprintf(stderr, "hf-bench: %s is not at %s: left out\n", name, library);
        return;
    }
    if (allocator_count == ALLOCATORS_MAX)
        fail("too many allocators:", name);
    allocators[allocator_count++] = (struct allocator){ name, library, holdfast };
}

int main(int argc, char **argv)
{
    enum {
        HOLDFAST = 256,
        WORKLOAD,
        SO,
        ARENA,
        BACKING,
        ROUNDS,
        ONLY,
        JSON,
        NO_WORKLOADS,
        PAIRS,
        LATENCY,
        MEMORY,
        TOUCH,
        FILL,
        START,
        POPULATE,
        QUICK,
        ALL,
        HELP
    };
    static const struct option options[] = {
        { "holdfast", 1, NULL, HOLDFAST },
        { "workload", 1, NULL, WORKLOAD },
        { "so", 1, NULL, SO },
        { "arena", 1, NULL, ARENA },
        { "backing", 1, NULL, BACKING },
        { "rounds", 1, NULL, ROUNDS },
        { "only", 1, NULL, ONLY },
        { "json", 1, NULL, JSON },
        { "no-workloads", 0, NULL, NO_WORKLOADS },
        { "pairs", 0, NULL, PAIRS },
        { "latency", 0, NULL, LATENCY },
        { "memory", 0, NULL, MEMORY },
        { "touch", 0, NULL, TOUCH },
        { "fill", 0, NULL, FILL },
        { "quick", 0, NULL, QUICK },
        { "start", 0, NULL, START },
        { "populate", 0, NULL, POPULATE },
        { "all", 0, NULL, ALL },
        { "help", 0, NULL, HELP },
        { NULL, 0, NULL, 0 },
    };
    const char *only = NULL, *json_path = NULL;
    bool wanted[ALL + 1] = { [NO_WORKLOADS] = false };
    add_allocator("mimalloc", "/usr/lib/x86_64-linux-gnu/libmimalloc.so.2", false);
    add_allocator("jemalloc", "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2", false);
    add_allocator("tcmalloc", "/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4", false);
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        char *equals;
        switch (option) {
        case HOLDFAST: add_allocator("holdfast", optarg, true); break;
        case WORKLOAD: workload_path = optarg; break;
        case SO:
            equals = strchr(optarg, '=');
            if (equals == NULL)
                fail("--so wants NAME=PATH, not", optarg);
            *equals = 0;
            add_allocator(optarg, equals + 1, false);
            break;
        case ARENA: arena = optarg; break;
        case BACKING: backing = optarg; break;
        case ROUNDS:
            rounds = atoi(optarg);
            if (rounds < 1 || rounds >= ROUNDS_MAX)
                fail("--rounds wants 1 to 100, not", optarg);
            break;
        case ONLY: only = optarg; break;
        case QUICK:
            quick = true;
            rounds = 1;
            break;
        case JSON: json_path = optarg; break;
        case HELP: fputs(usage, stdout); return 0;
        case '?': fputs(usage, stderr); return 2;
        default: wanted[option] = true; break;
        }
    }
    char beside[4096];
    ssize_t length = readlink("/proc/self/exe", beside, sizeof beside - 16);
    if (workload_path == NULL && length > 0) {
        beside[length] = 0;
        strcpy(strrchr(beside, '/') + 1, "hf-workload");
        workload_path = beside;
    }
    (void)holdfast_index();
    results = json_object();
    if (!wanted[NO_WORKLOADS])
        bench_workloads(only);
    if (wanted[PAIRS] || wanted[ALL])
        bench_pairs();
    if (wanted[LATENCY] || wanted[ALL])
        bench_latency();
    if (wanted[MEMORY] || wanted[ALL])
        bench_memory();
    if (wanted[TOUCH] || wanted[ALL])
        bench_touch();
    if (wanted[FILL] || wanted[ALL])
        bench_fill();
    if (wanted[START] || wanted[ALL])
        bench_start();
    if (wanted[POPULATE] || wanted[ALL])
        bench_populate();
    if (json_path != NULL && json_dump_file(results, json_path, JSON_INDENT(2)) != 0)
        fail("cannot write", json_path);
    json_decref(results);
    return 0;
}
