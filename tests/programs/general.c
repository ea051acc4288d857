/*
 * general: general heaps use the room of freed blocks again at once: blocks keep what is written to
 * them through random calls by one thread and by several; a heap whose mix of sizes changes holds
 * little more than its blocks; what others freed comes home; pieces that are empty go back.
 */
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "heap-tests.h"

#ifdef malloc /* tests/tsan.sh names what it replaces */
#define realloc hf_realloc
#define malloc_usable_size hf_usable_size
#endif

#ifdef __SANITIZE_THREAD__
#define LESS 10 /* ThreadSanitizer takes that much longer */
#else
#define LESS 1
#endif

/* A freed block is what the next request of its length gets, whichever was freed. */
static void check_at_once(void)
{
    struct hf_heap *heap = test_heap("at once", 0, 0);
    char *blocks[40];
    for (int i = 0; i < 40; i++)
        blocks[i] = hf_heap_malloc(heap, 16 + (size_t)i % 4 * 200);
    for (int round = 0; round < 2000; round++) {
        int at = round * 7 % 40;
        free(blocks[at]);
        CHECK(hf_heap_malloc(heap, 16 + (size_t)at % 4 * 200) == blocks[at]);
    }
    CHECK(test_heap_stats(heap).most == STEP);
    /* and what is behind a shorter one is of use */
    free(blocks[3]);
    CHECK(hf_heap_malloc(heap, 300) == blocks[3]);
    CHECK(hf_heap_malloc(heap, 300) == blocks[3] + 304);
    hf_heap_destroy(heap);
    CHECK(test_arena_stats().heaps == 0);
}

#define SLOTS 3000
static char *slots[SLOTS];
static size_t sizes[SLOTS];

static size_t random_size(uint64_t *random, int phase)
{
    static const size_t most[] = { 200, 3000, 700, 9000, 64 };
    return test_random(random) % 50 == 0 ? test_random_size(random, 1, phase % 2 ? 100000 : 20000)
                                         : test_random_size(random, 1, most[phase % 5]);
}

static void change(struct hf_heap *heap, int at, size_t bytes, int how)
{
    if (slots[at] != NULL)
        CHECK(test_marked(slots[at], sizes[at]));
    if (slots[at] == NULL || how == 0) {
        free(slots[at]);
        slots[at] = how == 0 && bytes % 3 == 0 ? hf_heap_aligned_alloc(heap, 16u << bytes % 6, bytes)
                                               : hf_heap_malloc(heap, bytes);
    } else if (how == 1) {
        slots[at] = realloc(slots[at], bytes);
    } else {
        free(slots[at]);
        slots[at] = NULL;
        return;
    }
    CHECK(slots[at] != NULL && (uintptr_t)slots[at] % 16 == 0 && hf_heap_of(slots[at]) == heap);
    CHECK(malloc_usable_size(slots[at]) >= bytes);
    sizes[at] = bytes;
    test_mark(slots[at], bytes);
}

static void check_random(void)
{
    struct hf_heap *heap = test_heap("random", 0, 0);
    uint64_t random = 5, before = test_arena_stats().live;
    for (int phase = 0; phase < 5; phase++) {
        for (int i = 0; i < 30000 / LESS; i++) {
            int at = (int)(test_random(&random) % SLOTS);
            change(heap, at, random_size(&random, phase), (int)(test_random(&random) % 5));
        }
        test_heaps_sum(&heap, 1);
    }
    uint64_t live = 0;
    for (int i = 0; i < SLOTS; i++)
        live += slots[i] == NULL ? 0 : malloc_usable_size(slots[i]);
    CHECK(test_arena_stats().live >= before + live &&
          test_arena_stats().live <= before + live + STEP); /* its table */
    for (int i = 0; i < SLOTS; i++) {
        CHECK(slots[i] == NULL || test_marked(slots[i], sizes[i]));
        free(slots[i]);
        slots[i] = NULL;
    }
    CHECK(test_arena_stats().live <= before + STEP && test_heap_stats(heap).held <= 8 * STEP);
    hf_heap_destroy(heap);
    CHECK(test_arena_stats().heaps == 0 && test_arena_stats().heaps_free == 0);
}

#define MOST 200000
#define WANTED ((24 << 20) / LESS)

struct mix {
    char *blocks[MOST];
    uint16_t bytes[MOST];
    size_t count;
    uint64_t live, random;
};
static struct mix mix;

/* Blocks of 16 to `most` bytes take the place of others at random, `turns` times as many as there are. */
static void turn_over(struct hf_heap *heap, size_t most, size_t turns)
{
    for (size_t turned = 0; turned < turns * (size_t)WANTED;) {
        while (mix.live < WANTED && mix.count < MOST) {
            size_t bytes = 16 + test_random(&mix.random) % (most - 15);
            CHECK((mix.blocks[mix.count] = hf_heap_malloc(heap, bytes)) != NULL);
            mix.bytes[mix.count++] = (uint16_t)bytes;
            mix.live += bytes;
            turned += bytes;
        }
        for (int i = 0; i < 200; i++) {
            size_t at = test_random(&mix.random) % mix.count;
            free(mix.blocks[at]);
            mix.live -= mix.bytes[at];
            mix.blocks[at] = mix.blocks[--mix.count];
            mix.bytes[at] = mix.bytes[mix.count];
        }
    }
}

/* What the heap holds for each hundred bytes of its blocks. */
static uint64_t percent_held(struct hf_heap *heap)
{
    if (getenv("TEST_SHOW") != NULL)
        fprintf(stderr, "%zu blocks of %llu KiB: holds %llu KiB\n", mix.count,
                (unsigned long long)mix.live / 1024, (unsigned long long)test_heap_stats(heap).held / 1024);
    return test_heap_stats(heap).held * 100 / mix.live;
}

/* A mix of sizes that changes by and by costs little.  One that becomes another at once costs what the
 * pieces cost in which a few blocks of the old one stay. */
static void check_fragments(void)
{
    struct hf_heap *heap = test_heap("long-lived", 0, 0);
    mix = (struct mix){ .random = 11 };
    for (size_t most = 300; most < 3000; most += most / 8) {
        turn_over(heap, most, 1);
        CHECK(percent_held(heap) <= (TEST_SECURE ? 140 : 130) || LESS != 1); /* with so little, pages show */
    }
    for (int i = 0; i < 4; i++) {
        turn_over(heap, (size_t[]){ 128, 4000, 300, 1000 }[i], 3);
        CHECK(percent_held(heap) <= (TEST_SECURE ? 280 : 260) || LESS != 1);
    }
    hf_heap_destroy(heap);
    CHECK(test_arena_stats().heaps == 0);
}

static void check_small(void)
{
    enum { COUNT = 1000 };
    static struct hf_heap *heaps[COUNT];
    uint64_t random = 3, live = 0;
    for (int i = 0; i < COUNT; i++) {
        heaps[i] = test_heap("small", 0, 0);
        for (int j = 0; j < 100; j++)
            live += malloc_usable_size(hf_heap_malloc(heaps[i], 16 + test_random(&random) % 497));
    }
    test_heaps_sum(heaps, COUNT);
    CHECK(test_arena_stats().heaps * 10 <= live * 16 + 10 * ((uint64_t)1 << 20));
    for (int i = 0; i < COUNT; i++)
        hf_heap_destroy(heaps[i]);
    CHECK(test_arena_stats().heaps == 0);
}

/* --- threads --- */

#define THREADS 4
#define SHARED 256
static _Atomic(char *) shared[SHARED]; /* blocks on their way from one thread to another */

/* Blocks of one heap, which any thread frees, fills and moves. */
static void *worker(void *heap)
{
    uint64_t random = (uintptr_t)&random | 1;
    for (int i = 0; i < 60000 / LESS; i++) {
        size_t bytes = test_random_size(&random, 16, i % 1000 < 500 ? 100 : 2000);
        char *block = hf_heap_malloc(heap, bytes);
        CHECK(block != NULL);
        memset(block, (int)bytes, bytes);
        block = atomic_exchange(&shared[test_random(&random) % SHARED], block);
        if (block != NULL && i % 5 == 0) {
            CHECK((block = realloc(block, 500)) != NULL && hf_heap_of(block) == heap);
            memset(block, 1, malloc_usable_size(block));
        }
        for (size_t j = 1; block != NULL && j < malloc_usable_size(block) - 15; j++)
            CHECK(block[j] == block[0]);
        free(block);
    }
    return NULL;
}

static void check_threads(void)
{
    pthread_t threads[THREADS];
    struct hf_heap *heap = test_heap("common", 0, 0);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, worker, heap) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    test_heaps_sum(&heap, 1);
    CHECK(test_heap_stats(heap).most <=
          200 * STEP); /* 256 blocks of 2000 bytes, and a page for each thread */
    for (int i = 0; i < SHARED; i++)
        free(atomic_exchange(&shared[i], NULL));
    test_heaps_sum(&heap, 1);
    CHECK(test_heap_stats(heap).held <= 4 * STEP);
    hf_heap_destroy(heap);
    CHECK(test_arena_stats().heaps == 0);
}

static void *free_all(void *blocks)
{
    for (char **block = blocks; *block != NULL; block++)
        free(*block);
    return NULL;
}

/* One thread allocates, another frees: the room comes home, and nothing grows. */
static void check_handed_on(void)
{
    enum { COUNT = 2000 };
    static char *blocks[COUNT + 1];
    struct hf_heap *heap = test_heap("handed on", 0, 0);
    for (int round = 0; round < 30; round++) {
        for (size_t i = 0; i < COUNT; i++)
            CHECK((blocks[i] = hf_heap_malloc(heap, 16 + i * 7 % 500)) != NULL);
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, free_all, blocks) == 0 && pthread_join(thread, NULL) == 0);
        CHECK(test_heap_stats(heap).held <= 4 * STEP); /* what this thread holds */
    }
    CHECK(test_heap_stats(heap).most <= 50 * STEP);
    hf_heap_destroy(heap);
    CHECK(test_arena_stats().heaps == 0);
}

/* Lays blocks, and frees them itself while the main thread ends the heap. */
static _Atomic(struct hf_heap *) given;
static _Atomic(int) laid, freed;

static void *holder(void *unused)
{
    (void)unused;
    static char *blocks[300];
    for (int round = 1; round <= 400 / LESS; round++) {
        struct hf_heap *heap;
        while ((heap = given) == NULL)
            sched_yield();
        given = NULL;
        for (int i = 0; i < 300; i++)
            CHECK((blocks[i] = hf_heap_malloc(heap, 16)) != NULL);
        laid = round;
        for (int i = 0; i < 300; i++)
            free(blocks[i]);
        freed = round;
    }
    while (given == NULL)
        sched_yield();
    return NULL;
}

/* What the thread held is back, though it lives and makes no other call. */
static void check_race_with_holder(void)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, holder, NULL) == 0);
    for (int round = 1; round <= 400 / LESS; round++) {
        struct hf_heap_options options = { .size_bytes = sizeof options,
                                           .flags = round % 2 == 0 ? HF_HEAP_REGION : 0 };
        struct hf_heap *heap = hf_heap_create(&options);
        given = heap;
        while (laid != round)
            sched_yield();
        hf_heap_destroy(heap);
        while (freed != round)
            sched_yield();
        CHECK(test_arena_stats().heaps == 0);
    }
    given = hf_heap_default();
    CHECK(pthread_join(thread, NULL) == 0);
}

int main(int argc, char **argv)
{
    (void)argc;
    setenv("HOLDFAST_BACKING", "thp", 0); /* on a pool that is short a child that forks may be killed */
    test_on_arena(argv, "512M");
    check_at_once();
    check_random();
    check_small();
    check_fragments();
    check_threads();
    check_handed_on();
    check_race_with_holder();
    return 0;
}
