/*
 * hf-workload: the shapes of work that allocators are compared by.
 *
 *   hf-workload [--scale PERCENT] NAME [PARAMETER...]
 *
 * Plain programs: malloc, free and their family, nothing of any allocator.  Each checks marks it
 * wrote into its blocks, so that a broken allocator fails instead of winning, and prints its own
 * wall time in seconds on the last line ("seconds S"), from after the first malloc on.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __x86_64__
#include <x86intrin.h>
#endif

static double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "hf-workload: %s\n", what);
    exit(1);
}

static long scale = 100;

/* That many steps, or with --scale that part of them. */
static long scaled(long steps)
{
    return steps * scale / 100 > 0 ? steps * scale / 100 : 1;
}

/* xorshift64 (Marsaglia 2003) */
static inline uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

/* 2^low .. 2^high - 1 bytes, each power of two as likely */
static size_t random_size(uint64_t *state, unsigned low, unsigned high)
{
    unsigned bit = low + (unsigned)(next_random(state) % (high - low));
    return ((size_t)1 << bit) + (next_random(state) & (((size_t)1 << bit) - 1));
}

/* Mostly small, 16 B to 8 KiB. */
static size_t mixed_size(uint64_t *state)
{
    uint64_t kind = next_random(state) % 100;
    return kind < 80 ? random_size(state, 4, 8)
         : kind < 97 ? random_size(state, 8, 11)
                     : random_size(state, 11, 13);
}

/* A block that knows its size and carries a mark. */
struct item {
    size_t bytes;
    uint64_t mark;
};

static struct item *item_new(size_t bytes)
{
    struct item *item = malloc(bytes < sizeof *item ? sizeof *item : bytes);
    if (item == NULL)
        fail("malloc returned NULL");
    item->bytes = bytes;
    item->mark = (uint64_t)(uintptr_t)item ^ bytes;
    return item;
}

static void item_free(struct item *item)
{
    if (item != NULL && item->mark != ((uint64_t)(uintptr_t)item ^ item->bytes))
        fail("a block was overwritten");
    free(item);
}

static void in_threads(unsigned count, void *(*function)(void *))
{
    pthread_t threads[1024];
    for (uintptr_t i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, function, (void *)i) != 0)
            fail("pthread_create");
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

/* --- server: threads replace random blocks of a table and hand it to their successors (after larson) --- */

#define SERVER_SLOTS 1000
static struct item *server_slots[4][SERVER_SLOTS];
static _Atomic(unsigned) server_generation;

static void *server_thread(void *argument)
{
    uint64_t random = (uintptr_t)argument * 7919 + server_generation + 1;
    struct item **slots = server_slots[((uintptr_t)argument + server_generation) % 4];
    for (int i = 0; i < 60000; i++) {
        struct item **slot = &slots[next_random(&random) % SERVER_SLOTS];
        item_free(*slot);
        *slot = item_new(random_size(&random, 4, 10));
    }
    return NULL;
}

static void server(void)
{
    for (server_generation = 0; server_generation < scaled(120); server_generation++)
        in_threads(4, server_thread);
}

/* --- producer and consumer: blocks are freed by another thread than made them --- */

#define BATCH 256
static _Atomic(struct item **) channels[2];
static int consumed_of_each; /* const once the threads run */

static void channel_put(unsigned channel, struct item **batch)
{
    struct item **empty = NULL;
    while (!atomic_compare_exchange_weak(&channels[channel], &empty, batch)) {
        empty = NULL;
        sched_yield();
    }
}

static void produce(unsigned channel)
{
    uint64_t random = channel + 1;
    for (int i = 0; i < consumed_of_each; i++) {
        struct item **batch = malloc(BATCH * sizeof *batch);
        for (int j = 0; j < BATCH; j++)
            batch[j] = item_new(random_size(&random, 4, 9));
        channel_put(channel, batch);
    }
}

static void consume(unsigned channel)
{
    for (int i = 0; i < consumed_of_each;) {
        struct item **batch = atomic_exchange(&channels[channel], NULL);
        if (batch == NULL) {
            sched_yield();
            continue;
        }
        for (int j = 0; j < BATCH; j++)
            item_free(batch[j]);
        free(batch);
        i++;
    }
}

static void *one_direction(void *argument)
{
    if (argument == NULL)
        produce(0);
    else
        consume(0);
    return NULL;
}

static void prodcons(void)
{
    consumed_of_each = (int)scaled(30000);
    in_threads(2, one_direction);
}

static void *both_directions(void *argument)
{
    uintptr_t self = (uintptr_t)argument;
    uint64_t random = self + 1;
    for (int sent = 0, got = 0; sent < consumed_of_each || got < consumed_of_each;) {
        struct item **empty = NULL, **batch = atomic_exchange(&channels[1 - self], NULL);
        if (batch != NULL) {
            for (int j = 0; j < BATCH; j++)
                item_free(batch[j]);
            free(batch);
            got++;
        }
        if (sent < consumed_of_each && atomic_load(&channels[self]) == NULL) {
            batch = malloc(BATCH * sizeof *batch);
            for (int j = 0; j < BATCH; j++)
                batch[j] = item_new(random_size(&random, 4, 9));
            if (!atomic_compare_exchange_strong(&channels[self], &empty, batch))
                fail("two producers on one channel");
            sent++;
        } else if (batch == NULL) {
            sched_yield();
        }
    }
    return NULL;
}

static void exchange(void)
{
    consumed_of_each = (int)scaled(30000);
    in_threads(2, both_directions);
}

/* --- churn: random replacement of mixed sizes --- */

static void churn_table(size_t slots, long steps, uint64_t random)
{
    struct item **table = calloc(slots, sizeof *table);
    for (long i = 0; i < steps; i++) {
        struct item **slot = &table[next_random(&random) % slots];
        item_free(*slot);
        *slot = item_new(mixed_size(&random));
    }
    for (size_t i = 0; i < slots; i++)
        item_free(table[i]);
    free(table);
}

static void churn(void)
{
    churn_table(20000, scaled(12000000), 1);
}

static void *churn_thread(void *argument)
{
    churn_table(5000, scaled(5000000), (uintptr_t)argument + 1);
    return NULL;
}

static void churn_threads(void)
{
    in_threads(4, churn_thread);
}

/* --- cache: a million blocks, any of which is the next to be replaced --- */

static void cache(void)
{
    enum { SLOTS = 1000000 };
    struct item **table = calloc(SLOTS, sizeof *table);
    uint64_t random = 1;
    for (size_t i = 0; i < SLOTS; i++)
        table[i] = item_new(16 + next_random(&random) % 500);
    for (long i = scaled(4000000); i > 0; i--) {
        struct item **slot = &table[next_random(&random) % SLOTS];
        item_free(*slot);
        *slot = item_new(16 + next_random(&random) % 500);
    }
    for (size_t i = 0; i < SLOTS; i++)
        item_free(table[i]);
    free(table);
}

/* --- big blocks, every OS page touched --- */

static void bigblock(void)
{
    uint64_t random = 1;
    char *blocks[16] = { NULL };
    for (long i = scaled(12000); i > 0; i--) {
        unsigned slot = (unsigned)(next_random(&random) % 16);
        size_t bytes = random_size(&random, 16, 22);
        free(blocks[slot]);
        blocks[slot] = malloc(bytes);
        for (size_t at = 0; at < bytes; at += 4096)
            blocks[slot][at] = (char)i;
    }
    for (int i = 0; i < 16; i++)
        free(blocks[i]);
}

/* --- strings: built piece by piece, split, joined --- */

static void strings(void)
{
    uint64_t random = 1;
    for (long round = scaled(30000); round > 0; round--) {
        char *text = NULL, *parts[64];
        size_t length = 0, count = 0, joined = 0;
        for (int i = 0; i < 300; i++) {
            size_t piece = next_random(&random) % 40 + 1;
            text = realloc(text, length + piece + 1);
            memset(text + length, 'a' + i % 26, piece);
            length += piece;
            text[length] = 0;
        }
        for (size_t at = 0; at + 100 <= length && count < 64; at += 100)
            parts[count++] = strndup(text + at, 100);
        char *again = malloc(count * 100 + 1);
        for (size_t i = 0; i < count; i++, joined += 100) {
            memcpy(again + joined, parts[i], 100);
            free(parts[i]);
        }
        if (memcmp(again, text, joined) != 0)
            fail("a string changed");
        free(again);
        free(text);
    }
}

/* --- ping-pong: small blocks of several threads, written to again and again --- */

static void *pingpong_thread(void *argument)
{
    (void)argument;
    for (long round = scaled(6000); round > 0; round--) {
        volatile char *blocks[64];
        for (int i = 0; i < 64; i++) {
            blocks[i] = malloc(8);
            blocks[i][0] = 0;
        }
        for (int turn = 0; turn < 600; turn++)
            for (int i = 0; i < 64; i++)
                blocks[i][0]++;
        for (int i = 0; i < 64; i++)
            free((void *)blocks[i]);
    }
    return NULL;
}

static void pingpong(void)
{
    in_threads(4, pingpong_thread);
}

/* --- passive false sharing (after Berger 2000) ---
 *
 * One thread makes the threads' first blocks, in a row; each frees its own and makes others, which lie beside
 * those of the rest wherever a free gives a block to the thread that freed it. */

enum { PASSIVE_THREADS = 4, PASSIVE_HELD = 16, PASSIVE_WRITES = 1600 };
static char *passive_handed[PASSIVE_THREADS][PASSIVE_HELD];
static pthread_barrier_t passive_together;

static char *passive_block(void)
{
    char *block = malloc(8);
    if (block == NULL)
        fail("malloc returned NULL");
    return block;
}

static void *passive_thread(void *argument)
{
    char **blocks = passive_handed[(uintptr_t)argument];
    pthread_barrier_wait(&passive_together);
    for (long round = scaled(12000); round > 0; round--) {
        for (int i = 0; i < PASSIVE_HELD; i++)
            *(volatile char *)blocks[i] = (char)i;
        for (int turn = 0; turn < PASSIVE_WRITES; turn++)
            for (int i = 0; i < PASSIVE_HELD; i++)
                ++*(volatile char *)blocks[i];
        for (int i = 0; i < PASSIVE_HELD; i++)
            if (*(volatile char *)blocks[i] != (char)(i + PASSIVE_WRITES))
                fail("a block was overwritten");
        for (int i = 0; i < PASSIVE_HELD; i++)
            free(blocks[i]);
        for (int i = 0; i < PASSIVE_HELD; i++)
            blocks[i] = passive_block();
    }
    return NULL;
}

static void passive(void)
{
    for (int i = 0; i < PASSIVE_HELD; i++)
        for (int thread = 0; thread < PASSIVE_THREADS; thread++)
            passive_handed[thread][i] = passive_block();
    pthread_barrier_init(&passive_together, NULL, PASSIVE_THREADS);
    in_threads(PASSIVE_THREADS, passive_thread);
}

/* --- startup: many small programs in a row --- */

static void startup(void)
{
    for (long i = scaled(400); i > 0; i--) {
        pid_t pid = fork();
        if (pid == 0) {
            execl("/proc/self/exe", "hf-workload", "small", (char *)NULL);
            _exit(127);
        }
        int status;
        if (waitpid(pid, &status, 0) != pid || status != 0)
            fail("a small program failed");
    }
}

static void small(void)
{
    uint64_t random = 1;
    struct item *items[200];
    for (int i = 0; i < 200; i++)
        items[i] = item_new(mixed_size(&random));
    for (int i = 0; i < 200; i++)
        item_free(items[i]);
}

/* --- pairs: instructions of one malloc and free, to be counted from outside --- */

static void pairs(int argc, char **argv)
{
    static void *blocks[1000];
    static unsigned order[1000];
    if (argc < 3)
        fail("pairs: SIZE alternate|batch|alternate-none|batch-none COUNT");
    size_t bytes = strtoul(argv[0], NULL, 10);
    bool batch = strncmp(argv[1], "batch", 5) == 0, none = strstr(argv[1], "none") != NULL;
    long count = strtol(argv[2], NULL, 10);
    uint64_t random = 1;
    for (unsigned i = 0; i < 1000; i++)
        order[i] = i;
    for (unsigned i = 999; i > 0; i--) {
        unsigned other = (unsigned)(next_random(&random) % (i + 1)), swap = order[i];
        order[i] = order[other];
        order[other] = swap;
    }
    if (!batch && none) {
        for (long i = 0; i < count; i++)
            __asm__ volatile(""
                             :
                             : "r"(bytes)
                             : "memory", "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11");
    } else if (!batch) {
        for (long i = 0; i < count; i++)
            free(malloc(bytes));
    } else {
        for (long round = 0; round < count / 1000; round++) {
            for (unsigned i = 0; i < 1000; i++) {
                if (none)
                    __asm__ volatile(""
                                     :
                                     : "r"(bytes)
                                     : "memory", "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11");
                blocks[i] = none ? NULL : malloc(bytes);
            }
            for (unsigned i = 0; i < 1000; i++) {
                if (none)
                    __asm__ volatile(""
                                     :
                                     : "r"(blocks[order[i]])
                                     : "memory", "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11");
                else
                    free(blocks[order[i]]);
            }
        }
    }
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

static void latency(int argc, char **argv)
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

/* --- memory: how small an arena does --- */

#define MAIL_MAX 200             /* blocks that wait for a thread to free them */
#define MAIL_MAX_ONE_FREES 20000 /* where one thread frees for all: this is what is live */
struct letter {
    size_t bytes;
    struct letter *next;
};

static struct {
    unsigned threads;
    size_t target_bytes; /* live bytes per thread swing around this */
    long rounds;
    bool one_frees; /* all but thread 0 only allocate */
    pthread_barrier_t all_started;
    _Atomic(struct letter *) mail[1024];
    _Atomic(int) mail_count[1024];
    _Atomic(long) live_bytes, peak_bytes, steps;
} memory = { .threads = 200, .target_bytes = (size_t)6 << 20, .rounds = 500 };

static void memory_account(long bytes)
{
    long live = atomic_fetch_add(&memory.live_bytes, bytes) + bytes, peak = memory.peak_bytes;
    while (live > peak && !atomic_compare_exchange_weak(&memory.peak_bytes, &peak, live))
        ;
}

static bool mail_send(unsigned to, struct letter *letter)
{
    if (atomic_fetch_add(&memory.mail_count[to], 1) >= (memory.one_frees ? MAIL_MAX_ONE_FREES : MAIL_MAX)) {
        atomic_fetch_sub(&memory.mail_count[to], 1);
        return false;
    }
    struct letter *first = memory.mail[to];
    do
        letter->next = first;
    while (!atomic_compare_exchange_weak(&memory.mail[to], &first, letter));
    return true;
}

static long mail_free_all(unsigned of)
{
    long bytes = 0;
    int count = 0;
    for (struct letter *letter = atomic_exchange(&memory.mail[of], NULL), *next; letter != NULL;
         letter = next) {
        next = letter->next;
        bytes += (long)letter->bytes;
        count++;
        free(letter);
    }
    atomic_fetch_sub(&memory.mail_count[of], count);
    return bytes;
}

static struct letter *letter_new(uint64_t *random)
{
    uint64_t kind = next_random(random) % 100;
    size_t bytes = kind < 85 ? random_size(random, 4, 9)
                 : kind < 98 ? random_size(random, 9, 12)
                             : random_size(random, 12, 15);
    struct letter *letter = malloc(bytes);
    if (letter == NULL) {
        static _Atomic(bool) said;
        if (!atomic_exchange(&said, true))
            fprintf(stderr, "hf-workload: NULL with %ld bytes live\n", (long)memory.live_bytes);
        _exit(1);
    }
    letter->bytes = bytes;
    return letter;
}

static void *memory_thread(void *argument)
{
    enum { SLOTS = 60000 };
    unsigned self = (unsigned)(uintptr_t)argument;
    uint64_t random = self * 77 + 5;
    struct letter **slots =
        mmap(NULL, SLOTS * sizeof *slots, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t count = 0, live_bytes = 0;
    pthread_barrier_wait(&memory.all_started);
    while (memory.steps < memory.threads * memory.rounds * 400) { /* all threads to the end */
        long change = -mail_free_all(self);
        size_t goal = memory.target_bytes / 2 + next_random(&random) % memory.target_bytes;
        for (int i = 0; i < 400; i++) {
            if (live_bytes < goal && count < SLOTS) {
                slots[count] = letter_new(&random);
                live_bytes += slots[count]->bytes;
                change += (long)slots[count++]->bytes;
            } else if (count > 0) {
                size_t slot = next_random(&random) % count;
                struct letter *letter = slots[slot];
                slots[slot] = slots[--count];
                live_bytes -= letter->bytes;
                if (next_random(&random) % 3 != 0 ||
                    !mail_send((unsigned)(next_random(&random) % memory.threads), letter)) {
                    change -= (long)letter->bytes;
                    free(letter);
                }
            }
        }
        memory_account(change);
        memory.steps += 400;
        if (next_random(&random) % 8 == 0)
            usleep(200);
    }
    return NULL;
}

/* Thread 0 frees what all others allocate; the sum of live bytes is bounded by the mailboxes. */
static void *one_frees_thread(void *argument)
{
    unsigned self = (unsigned)(uintptr_t)argument;
    uint64_t random = self + 1;
    pthread_barrier_wait(&memory.all_started);
    while (memory.steps < (memory.threads - 1) * memory.rounds * 400) {
        if (self == 0) {
            for (unsigned of = 1; of < memory.threads; of++)
                memory_account(-mail_free_all(of));
            continue;
        }
        struct letter *letter = letter_new(&random);
        memory_account((long)letter->bytes);
        long bytes = (long)letter->bytes;
        if (!mail_send(self, letter)) {
            free(letter);
            memory_account(-bytes);
            sched_yield();
        }
        memory.steps++;
    }
    return NULL;
}

static void memory_run(int argc, char **argv)
{
    memory.threads = argc > 0 ? (unsigned)strtoul(argv[0], NULL, 10) : 200;
    memory.target_bytes = (argc > 1 ? strtoul(argv[1], NULL, 10) : 6144) << 10;
    memory.rounds = argc > 2 ? strtol(argv[2], NULL, 10) : 500;
    memory.one_frees = argc > 3;
    if (memory.threads == 0 || memory.threads > 1024)
        fail("memory: 1 to 1024 threads");
    pthread_barrier_init(&memory.all_started, NULL, memory.threads);
    double from = now_seconds();
    in_threads(memory.threads, memory.one_frees ? one_frees_thread : memory_thread);
    printf("peak_bytes %ld steps_per_second %.0f\n", (long)memory.peak_bytes,
           (double)memory.steps / (now_seconds() - from));
}

/* --- fill: how much of an arena is live when malloc gives NULL; touch: page faults of first touches --- */

/* Sizes of a fill: of 10,000 blocks so many are from `least` to `most` bytes, evenly. */
struct band {
    unsigned blocks;
    size_t least, most;
};

#define BANDS 4
static const struct mix {
    const char *name;
    struct band bands[BANDS];
} mixes[] = {
    { "even", { { 0 } } }, /* 16 B to 1 MiB: the smaller of two even choices of a power of two */
    { "server",
      { { 10, 64 << 10, 1 << 20 }, { 300, 8 << 10, 32 << 10 }, { 1700, 512, 8 << 10 }, { 7990, 16, 512 } } },
    { "rows", { { 4, 1 << 20, 4 << 20 }, { 196, 4 << 10, 64 << 10 }, { 9800, 16, 2 << 10 } } },
    { "pages", { { 5000, 16 << 10, 16 << 10 }, { 500, 16 << 10, 512 << 10 }, { 4500, 16, 1 << 10 } } },
};

struct table {
    struct item **items;
    size_t count, room;
    size_t live_bytes;
    uint64_t random;
    const struct mix *mix;
};

/* The table is no block of the allocator's, and takes no fault while faults are counted. */
static struct table table_new(size_t room)
{
    struct table table = { .room = room, .random = 20261123, .mix = &mixes[0] };
    table.items = mmap(NULL, room * sizeof table.items[0], PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (table.items == MAP_FAILED)
        fail("mmap of the table");
    return table;
}

static size_t table_size(struct table *table)
{
    if (table->mix->bands[0].blocks == 0) {
        unsigned a = (unsigned)((next_random(&table->random) >> 8) % 16),
                 b = (unsigned)((next_random(&table->random) >> 8) % 16);
        unsigned bit = 4 + (a < b ? a : b);
        return random_size(&table->random, bit, bit + 1);
    }
    unsigned drawn = (unsigned)((next_random(&table->random) >> 8) % 10000);
    const struct band *band = table->mix->bands;
    for (; drawn >= band->blocks; band++)
        drawn -= band->blocks;
    return band->least + (next_random(&table->random) >> 8) % (band->most - band->least + 1);
}

static bool table_add(struct table *table, bool touch)
{
    size_t bytes = table_size(table);
    if (table->count == table->room)
        fail("the table is full: is the allocator without a limit?");
    errno = 0;
    struct item *item = malloc(bytes < sizeof *item ? sizeof *item : bytes);
    if (item == NULL && errno != ENOMEM)
        fail("NULL without ENOMEM");
    if (item == NULL)
        return false;
    if (touch)
        memset(item, 0x5a, bytes);
    item->bytes = bytes;
    item->mark = (uint64_t)(uintptr_t)item ^ bytes;
    table->items[table->count++] = item;
    table->live_bytes += bytes;
    return true;
}

static void table_free(struct table *table, bool half)
{
    size_t kept = 0;
    for (size_t i = 0; i < table->count; i++) {
        if (half && (next_random(&table->random) >> 8 & 1)) {
            table->items[kept++] = table->items[i];
            continue;
        }
        table->live_bytes -= table->items[i]->bytes;
        item_free(table->items[i]);
    }
    table->count = kept;
}

static void fill(int argc, char **argv)
{
    if (argc < 1)
        fail("fill: MEBIBYTES [MIX [SEED]], with HOLDFAST_ARENA set to as many");
    static char output[4096]; /* or stdio would take a block in the middle of the arena when it is full */
    setvbuf(stdout, output, _IOFBF, sizeof output);
    size_t arena_bytes = strtoul(argv[0], NULL, 10) << 20;
    struct table table = table_new(arena_bytes / 64 + 1);
    while (argc > 1 && strcmp(table.mix->name, argv[1]) != 0)
        if (++table.mix == mixes + sizeof mixes / sizeof mixes[0])
            fail("fill: the mixes are even, server, rows and pages");
    table.random += argc > 2 ? 1000003 * strtoul(argv[2], NULL, 10) : 0;
    double least = 1;
    for (long round = scaled(6); round > 0; round--) {
        while (table_add(&table, false))
            if (table.live_bytes > arena_bytes)
                fail("fill: more is live than the arena has: it is not the one named");
        double share = (double)table.live_bytes / (double)arena_bytes;
        printf("live_share %.4f blocks %zu\n", share, table.count);
        least = share < least ? share : least;
        table_free(&table, true);
    }
    table_free(&table, false);
    void *most = malloc(arena_bytes / 10 * 9);
    printf("least_live_share %.4f\nbig_block_fits %d\n", least, most != NULL);
    free(most);
}

static long minor_faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
}

static void touch(int argc, char **argv)
{
    size_t bytes = (argc > 0 ? strtoul(argv[0], NULL, 10) : 256) << 20;
    struct table table = table_new(1 << 20);
    memset(table.items, 0xff, table.room * sizeof table.items[0]);
    (void)minor_faults();
    long before = minor_faults();
    while (table.live_bytes < bytes)
        if (!table_add(&table, true))
            fail("malloc returned NULL");
    long allocated = minor_faults();
    table_free(&table, false);
    long freed = minor_faults();
    printf("minor_faults %ld (allocating and writing %ld, freeing %ld)\n", freed - before, allocated - before,
           freed - allocated);
}

/* --- */

static const struct {
    const char *name;
    void (*run)(void);
} workloads[] = {
    { "server", server },
    { "prodcons", prodcons },
    { "exchange", exchange },
    { "churn", churn },
    { "churn-threads", churn_threads },
    { "cache", cache },
    { "bigblock", bigblock },
    { "strings", strings },
    { "pingpong", pingpong },
    { "passive", passive },
    { "startup", startup },
};

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "--scale") == 0) {
        scale = strtol(argv[2], NULL, 10);
        argc -= 2;
        argv += 2;
    }
    if (argc < 2 || scale < 1)
        fail("usage: hf-workload [--scale PERCENT] NAME [PARAMETER...]");
    free(malloc(1)); /* the allocator's own start is measured by `startup` */
    double from = now_seconds();
    if (strcmp(argv[1], "pairs") == 0)
        return pairs(argc - 2, argv + 2), 0;
    if (strcmp(argv[1], "latency") == 0)
        return latency(argc - 2, argv + 2), 0;
    if (strcmp(argv[1], "small") == 0) /* what `startup` starts: silent */
        return small(), 0;
    if (strcmp(argv[1], "now") == 0) /* for who measures a start */
        return printf("now %.9f\n", now_seconds()) < 0;
    if (strcmp(argv[1], "memory") == 0)
        return memory_run(argc - 2, argv + 2), 0;
    if (strcmp(argv[1], "fill") == 0)
        return fill(argc - 2, argv + 2), 0;
    if (strcmp(argv[1], "touch") == 0)
        return touch(argc - 2, argv + 2), 0;
    for (size_t i = 0; i < sizeof workloads / sizeof workloads[0]; i++)
        if (strcmp(argv[1], workloads[i].name) == 0) {
            workloads[i].run();
            printf("seconds %.6f\n", now_seconds() - from);
            return 0;
        }
    fail("no such workload");
}
