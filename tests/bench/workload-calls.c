/*
 * The workloads that single calls are measured by: their instructions, and how long each takes.
 */
#include "workload.h"
#include <string.h>
#include <time.h>
#ifdef __x86_64__
#include <x86intrin.h>
#endif

/* --- pairs: instructions of one malloc and free, to be counted from outside --- */

/* In place of a call, with what a call would take and spoil. */
#if defined(__x86_64__)
#define SPOILT "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11"
#else
#define SPOILT                                                                                               \
    "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15",    \
        "x16", "x17", "x30"
#endif
#define NO_CALL(operand) __asm__ volatile("" : : "r"(operand) : "memory", SPOILT)

static void pairs_alternate(size_t bytes, bool none, long count)
{
    if (none)
        for (long i = 0; i < count; i++)
            NO_CALL(bytes);
    else
        for (long i = 0; i < count; i++)
            free(malloc(bytes));
}

#define PAIRS_HELD 1000

/* As many blocks at once, freed in the same random order each time. */
static void pairs_batch(size_t bytes, bool none, long count)
{
    static void *blocks[PAIRS_HELD];
    static unsigned order[PAIRS_HELD];
    uint64_t random = 1;
    for (unsigned i = 0; i < PAIRS_HELD; i++)
        order[i] = i;
    for (unsigned i = PAIRS_HELD - 1; i > 0; i--) {
        unsigned other = (unsigned)(next_random(&random) % (i + 1)), swap = order[i];
        order[i] = order[other];
        order[other] = swap;
    }
    for (long round = 0; round < count / PAIRS_HELD; round++) {
        for (unsigned i = 0; i < PAIRS_HELD; i++) {
            if (none)
                NO_CALL(bytes);
            blocks[i] = none ? NULL : malloc(bytes);
        }
        for (unsigned i = 0; i < PAIRS_HELD; i++) {
            if (none)
                NO_CALL(blocks[order[i]]);
            else
                free(blocks[order[i]]);
        }
    }
}

void workload_pairs(int argc, char **argv)
{
    if (argc < 3)
        fail("pairs: SIZE alternate|batch|alternate-none|batch-none COUNT");
    size_t bytes = strtoul(argv[0], NULL, 10);
    bool batch = strncmp(argv[1], "batch", 5) == 0, none = strstr(argv[1], "none") != NULL;
    (batch ? pairs_batch : pairs_alternate)(bytes, none, strtol(argv[2], NULL, 10));
}

/* --- latency: a histogram of every call --- */

#define LATENCY_BINS 4096
struct histogram {
    uint32_t bins[LATENCY_BINS]; /* of 2 ticks up to 2,048, then of 256 */
    uint64_t longest;
};

#define LATENCY_THREADS_MAX 16
static struct histogram mallocs[LATENCY_THREADS_MAX], frees[LATENCY_THREADS_MAX],
    empties[LATENCY_THREADS_MAX];

static uint64_t ticks(void)
{
#ifdef __x86_64__
    unsigned aux;
    return __rdtscp(&aux);
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
#endif
}

static void histogram_add(struct histogram *histogram, uint64_t taken)
{
    uint64_t bin = taken < 2048 ? taken / 2 : 1024 + (taken - 2048) / 256;
    histogram->bins[bin < LATENCY_BINS ? bin : LATENCY_BINS - 1]++;
    if (taken > histogram->longest)
        histogram->longest = taken;
}

static void *latency_thread(void *argument)
{
    enum { SLOTS = 20000 };
    const long steps = scaled(4000000), warm_up = steps / 5;
    uintptr_t self = (uintptr_t)argument;
    uint64_t random = self + 1;
    struct item **slots = calloc(SLOTS, sizeof *slots);
    for (long i = 0; i < steps; i++) {
        size_t slot = next_random(&random) % SLOTS;
        if (slot & 1)
            slot %= SLOTS / 10; /* a tenth of the blocks live short */
        uint64_t kind = next_random(&random) % 1000;
        size_t bytes = kind < 800 ? random_size(&random, 4, 8)
                     : kind < 970 ? random_size(&random, 8, 11)
                     : kind < 995 ? random_size(&random, 11, 15)
                                  : random_size(&random, 15, 19);
        struct item *old = slots[slot];
        if (old != NULL && old->bytes == 0)
            fail("a block was overwritten");
        uint64_t before = ticks();
        free(old);
        uint64_t freed = ticks();
        struct item *fresh = malloc(bytes);
        uint64_t made = ticks();
        uint64_t nothing = ticks();
        fresh->bytes = bytes;
        slots[slot] = fresh;
        if (i < warm_up)
            continue;
        histogram_add(&frees[self], freed - before);
        histogram_add(&mallocs[self], made - freed);
        histogram_add(&empties[self], nothing - made);
    }
    return NULL;
}

static void latency_print(const char *name, const struct histogram *histograms, unsigned count,
                          double ticks_per_ns)
{
    static const double shares[] = { 0.5, 0.99, 0.999, 0.9999 };
    uint64_t total = 0, longest = 0;
    for (unsigned t = 0; t < count; t++) {
        longest = histograms[t].longest > longest ? histograms[t].longest : longest;
        for (unsigned bin = 0; bin < LATENCY_BINS; bin++)
            total += histograms[t].bins[bin];
    }
    printf("%s", name);
    for (size_t s = 0; s < sizeof shares / sizeof shares[0]; s++) {
        uint64_t seen = 0;
        unsigned bin = 0;
        for (; bin < LATENCY_BINS; bin++) {
            for (unsigned t = 0; t < count; t++)
                seen += histograms[t].bins[bin];
            if ((double)seen >= shares[s] * (double)total)
                break;
        }
        double at = bin < 1024 ? 2.0 * bin : 2048 + 256.0 * (bin - 1024);
        printf(" p%g %.0f", shares[s] * 100, at / ticks_per_ns);
    }
    printf(" max %.0f\n", (double)longest / ticks_per_ns);
}

void workload_latency(int argc, char **argv)
{
    unsigned threads = argc > 0 ? (unsigned)strtoul(argv[0], NULL, 10) : 1;
    if (threads == 0 || threads > LATENCY_THREADS_MAX)
        fail("latency: 1 to 16 threads");
    double from = now_seconds();
    uint64_t first = ticks();
    while (now_seconds() - from < 0.1)
        ;
    double ticks_per_ns = (double)(ticks() - first) / ((now_seconds() - from) * 1e9);
    in_threads(threads, latency_thread);
    latency_print("malloc", mallocs, threads, ticks_per_ns);
    latency_print("free", frees, threads, ticks_per_ns);
    latency_print("empty", empties, threads, ticks_per_ns);
}
