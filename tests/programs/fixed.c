/*
 * fixed: what others' allocators did wrong with a fixed region, written anew.
 *
 * parts: blocks of 64 MiB fill 24 GiB (mimalloc issues 1309 and 1403: no memory once the first 16
 *     GiB were used).
 * aligned: blocks of 1 MiB aligned to up to 64 MiB come while there is room for them
 *     (mimalloc issue 1406: none over 64 KiB).
 * freer: one thread frees what four others allocate, and never allocates itself.  What it frees
 *     serves the four again (mimalloc issue 1364: five times what was live was in use).
 * alone: a process that may map nothing more fills its arena by every call (mimalloc issue 1218: blocks
 *     outside the regions that were given; 1228: more was mapped beside them, or, where that was forbidden,
 *     calls failed long before they were full).
 * figures: an arena that is filled and emptied four times is never said to have more in use than it has, and
 *     its parts add up (mimalloc issue 1236: what was reserved at start counted again at its first use).
 *
 * fork.c and fork-steps.c have the deadlocks of a forked child (jemalloc issues 2019 and 2402).
 */
#include <holdfast/holdfast.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/resource.h>

#include "test.h"

#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)
#define PRODUCERS 4
#define LIVE 16384      /* blocks of each producer */
#define BLOCK_BYTES 592 /* all of them: 37 MiB */
#define REPLACED 150000 /* by each producer, 85 MiB */
#define QUEUE 1024
#define IN_USE_MAX (64 * MIB)

static void fill_parts(void)
{
    static void *blocks[24 * GIB / (64 * MIB)];
    struct hf_stats stats;
    size_t count = 0;
    CHECK(hf_stats_get(&stats, sizeof stats) == 0);
    if (stats.arena < 24 * GIB) {
        fprintf(stderr, "this machine gives no addresses for 24 GiB\n");
        return;
    }
    while (count < sizeof blocks / sizeof *blocks && (blocks[count] = malloc(64 * MIB)) != NULL)
        count++;
    /* a guard makes each block a page longer, so that a window of 1 GiB holds one block less */
    size_t expected = TEST_SECURE ? 24 * 15 - 1 : 24 * 16 - 1;
    fprintf(stderr, "%zu blocks of 64 MiB\n", count);
    CHECK(count >= expected);
    for (size_t i = 0; i < count; i++) {
        CHECK(hf_owns(blocks[i]));
        free(blocks[i]);
    }
}

static void fill_aligned(void)
{
    static void *blocks[256];
    for (size_t align = 128 << 10; align <= 64 * MIB; align *= 2) {
        size_t expected = 256 * MIB / (align < 2 * MIB ? 2 * MIB : align) - 1, count = 0;
        while (count < expected && (blocks[count] = aligned_alloc(align, MIB)) != NULL)
            CHECK((uintptr_t)blocks[count++] % align == 0);
        CHECK(count == expected);
        while (count != 0)
            free(blocks[--count]);
    }
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static void *queue[QUEUE]; /* lock, like the next two */
static size_t queued;
static unsigned producing = PRODUCERS;

static void hand_over(void *block)
{
    pthread_mutex_lock(&lock);
    while (queued == QUEUE)
        pthread_cond_wait(&changed, &lock);
    queue[queued++] = block;
    if (queued == 1 || queued == QUEUE)
        pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void *produce(void *blocks_of)
{
    void **blocks = blocks_of;
    uint64_t random = (uintptr_t)blocks | 1;
    for (size_t i = 0; i < LIVE; i++)
        CHECK((blocks[i] = malloc(BLOCK_BYTES)) != NULL);
    for (size_t i = 0; i < REPLACED; i++) {
        void **at = &blocks[test_random(&random) % LIVE];
        hand_over(*at);
        CHECK((*at = malloc(BLOCK_BYTES)) != NULL);
        test_mark(*at, BLOCK_BYTES);
    }
    pthread_mutex_lock(&lock);
    producing--;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return NULL;
}

static void *only_free(void *unused)
{
    static void *taken[QUEUE];
    (void)unused;
    for (;;) {
        pthread_mutex_lock(&lock);
        while (queued == 0 && producing != 0)
            pthread_cond_wait(&changed, &lock);
        size_t count = queued;
        memcpy(taken, queue, count * sizeof *queue);
        queued = 0;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&lock);
        if (count == 0)
            return NULL;
        while (count != 0)
            free(taken[--count]);
    }
}

static void free_elsewhere(void)
{
    static void *blocks[PRODUCERS][LIVE];
    pthread_t producers[PRODUCERS], freer;
    CHECK(pthread_create(&freer, NULL, only_free, NULL) == 0);
    for (size_t i = 0; i < PRODUCERS; i++)
        CHECK(pthread_create(&producers[i], NULL, produce, blocks[i]) == 0);
    for (size_t i = 0; i < PRODUCERS; i++)
        pthread_join(producers[i], NULL);
    pthread_join(freer, NULL);
    struct hf_stats stats;
    CHECK(hf_stats_get(&stats, sizeof stats) == 0);
    size_t live_bytes = PRODUCERS * LIVE * (size_t)BLOCK_BYTES;
    fprintf(stderr, "%zu MiB in use for %zu MiB live\n", (size_t)stats.high_water / MIB, live_bytes / MIB);
    CHECK(stats.high_water >= live_bytes && stats.high_water <= IN_USE_MAX);
}

/* A block of `bytes` by one of the calls, NULL where there is none. */
static void *by_any_call(unsigned which, size_t bytes)
{
    void *block = NULL, *smaller;
    switch (which % 5) {
    case 0: return malloc(bytes);
    case 1: return calloc(bytes, 1);
    case 2: return posix_memalign(&block, (size_t)16 << which % 9, bytes) == 0 ? block : NULL;
    case 3: return aligned_alloc(64, bytes);
    default:
        smaller = malloc(bytes / 3 + 1);
        if (smaller != NULL && (block = realloc(smaller, bytes)) == NULL)
            free(smaller);
        return block;
    }
}

/* Fills the arena; the blocks are a list by their first words, and *bytes is their sum. */
static void **fill_mixed(uint64_t random, size_t *bytes)
{
    void **list = NULL, **block;
    *bytes = 0;
    for (unsigned i = 0;; i++) {
        size_t size = test_random_size(&random, 16, i % 64 == 0 ? MIB : 8192);
        if ((block = by_any_call(i, size)) == NULL && (block = malloc(16)) == NULL)
            return list;
        CHECK(hf_owns(block) && hf_owns((char *)block + malloc_usable_size(block) - 1));
        *block = list;
        list = block;
        *bytes += malloc_usable_size(block);
    }
}

static void empty(void **list)
{
    for (void **next; list != NULL; list = next) {
        next = *list;
        free(list);
    }
}

static void fill_alone(void)
{
    struct hf_stats stats;
    size_t mapped_kib = test_number_in("/proc/self/status", "VmSize:"), live;
    struct rlimit limit = { .rlim_cur = mapped_kib << 10, .rlim_max = mapped_kib << 10 };
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    void **list = fill_mixed(1, &live);
    CHECK(errno == ENOMEM);
    CHECK(test_number_in("/proc/self/status", "VmSize:") == mapped_kib);
    CHECK(hf_stats_get(&stats, sizeof stats) == 0);
    fprintf(stderr, "%zu of %zu MiB\n", live / MIB, (size_t)stats.arena / MIB);
    CHECK(live >= test_less_guards(stats.arena / 100 * 97));
    empty(list);
}

static void fill_figures(void)
{
    struct hf_stats stats;
    for (unsigned round = 0; round < 4; round++) {
        size_t live;
        void **list = fill_mixed(round + 1, &live);
        CHECK(hf_stats_get(&stats, sizeof stats) == 0);
        CHECK(stats.allocated + stats.idle + stats.free + stats.metadata == stats.arena);
        CHECK(stats.live >= live && stats.live <= stats.allocated + stats.idle);
        CHECK(stats.high_water >= live && stats.high_water <= stats.arena);
        empty(list);
        CHECK(hf_stats_get(&stats, sizeof stats) == 0);
        CHECK(stats.allocated + stats.idle + stats.free + stats.metadata == stats.arena);
        CHECK(stats.high_water <= stats.arena && stats.live < MIB);
    }
}

static void again(char **argv, const char *what, const char *arena)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        setenv("HOLDFAST_ARENA", arena, 1);
        setenv("HOLDFAST_BACKING", "4k", 1);
        setenv("HOLDFAST_PREFAULT", "none", 1);
        setenv("HOLDFAST_LOCK", "no", 1);
        execl("/proc/self/exe", argv[0], what, (char *)NULL);
        _exit(127);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

int main(int argc, char **argv)
{
    if (argc == 1) {
        again(argv, "parts", "24G");
        again(argv, "aligned", "300M");
        again(argv, "freer", "512M");
        again(argv, "alone", "256M");
        again(argv, "figures", "128M");
    } else if (strcmp(argv[1], "parts") == 0) {
        fill_parts();
    } else if (strcmp(argv[1], "aligned") == 0) {
        fill_aligned();
    } else if (strcmp(argv[1], "alone") == 0) {
        fill_alone();
    } else if (strcmp(argv[1], "figures") == 0) {
        fill_figures();
    } else {
        free_elsewhere();
    }
    return 0;
}
