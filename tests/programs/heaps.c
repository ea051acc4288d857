/*
 * heaps: blocks of regions keep what is written to them; freed, moved and grown by plain calls;
 * what is held adds up to hf_stats at each phase; a heap's end gives every page of it back; its
 * limit fails its own calls alone; threads free into heaps that end, and make and end them without
 * growth; children of fork.
 */
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "heap-tests.h"

#ifdef malloc /* tests/tsan.sh names what it replaces */
#define realloc hf_realloc
#define malloc_usable_size hf_usable_size
#endif

#define THREADS 6
static unsigned kind = HF_HEAP_REGION; /* of new heaps */

static void check_blocks(void)
{
    enum { COUNT = 4000 };
    static char *blocks[COUNT];
    static size_t bytes[COUNT];
    uint64_t random = 1, live = 0;
    struct hf_heap *heap = test_heap("blocks", 0, kind);
    uint64_t before = test_arena_stats().live;
    for (int i = 0; i < COUNT; i++) {
        bytes[i] = test_random_size(&random, 1, i % 100 == 0 ? 200000 : 3000);
        blocks[i] = hf_heap_malloc(heap, bytes[i]);
        CHECK(blocks[i] != NULL && (uintptr_t)blocks[i] % 16 == 0 && hf_heap_of(blocks[i]) == heap);
        CHECK(malloc_usable_size(blocks[i]) >= bytes[i] && malloc_usable_size(blocks[i]) < bytes[i] + 65536);
        CHECK(bytes[i] > 49152 || malloc_usable_size(blocks[i]) < bytes[i] + 16);
        test_mark(blocks[i], bytes[i]);
        live += malloc_usable_size(blocks[i]);
    }
    CHECK(test_arena_stats().live == before + live);
    test_heaps_sum(&heap, 1);
    for (int i = 0; i < COUNT; i++)
        CHECK(test_marked(blocks[i], bytes[i]));
    for (int i = 0; i < COUNT; i += 2)
        free(blocks[i]);
    for (int i = 1; i < COUNT; i += 2)
        CHECK(test_marked(blocks[i], bytes[i]));
    test_heaps_sum(&heap, 1);
    for (int i = COUNT - 1; i > 0; i -= 2)
        free(blocks[i]);
    CHECK(test_arena_stats().live == before);
    CHECK(test_heap_stats(heap).held <= 65536 && test_heap_stats(heap).most > (uint64_t)COUNT * 300);
    hf_heap_destroy(heap);
    CHECK(test_arena_stats().heaps == 0);
}

static void check_calls(void)
{
    struct hf_heap *heap = test_heap("calls", 0, kind), *other = test_heap("others", 0, kind);
    char *zero = hf_heap_calloc(heap, 100, 30);
    for (int i = 0; i < 3000; i++)
        CHECK(zero[i] == 0);
    for (size_t align = 8; align <= (size_t)2 << 20; align *= 2) {
        char *block = hf_heap_aligned_alloc(heap, align, 100);
        CHECK(block != NULL && (uintptr_t)block % align == 0 && hf_heap_of(block) == heap);
        memset(block, 1, 100);
    }
    CHECK(hf_heap_aligned_alloc(heap, 24, 8) == NULL && errno == EINVAL);
    CHECK(hf_heap_malloc(heap, SIZE_MAX) == NULL && errno == ENOMEM);
    CHECK(hf_heap_calloc(heap, SIZE_MAX / 2, 3) == NULL && errno == ENOMEM);
    CHECK(hf_heap_malloc(heap, 0) != hf_heap_malloc(heap, 0));

    /* the newest block grows where it is, and gives its room back */
    char *text = hf_heap_malloc(heap, 10);
    strcpy(text, "holdfast");
    char *grown = realloc(text, 3000);
    CHECK(grown == text && malloc_usable_size(grown) >= 3000);
    CHECK(realloc(grown, 20) == text && malloc_usable_size(text) < 3000);
    char *next = hf_heap_malloc(heap, 16);
    CHECK(next > text && next < text + 100);
    free(next);
    CHECK(hf_heap_malloc(heap, 500) == next);
    grown = realloc(text, 100);
    CHECK(grown != text && hf_heap_of(grown) == heap && strcmp(grown, "holdfast") == 0);
    char *moved = hf_heap_realloc(other, grown, 200);
    CHECK(hf_heap_of(moved) == other && strcmp(moved, "holdfast") == 0);
    moved = hf_heap_realloc(hf_heap_default(), moved, 300);
    CHECK(hf_heap_of(moved) == hf_heap_default() && strcmp(moved, "holdfast") == 0);
    moved = hf_heap_realloc(heap, moved, 200000);
    CHECK(hf_heap_of(moved) == heap && strcmp(moved, "holdfast") == 0);
    moved = realloc(moved, 400000);
    CHECK(hf_heap_of(moved) == heap && strcmp(moved, "holdfast") == 0 && realloc(moved, 0) == NULL);
    CHECK(hf_heap_of(&heap) == NULL && hf_heap_of(NULL) == NULL);
    char *plain = hf_heap_malloc(hf_heap_default(), 100);
    CHECK(hf_heap_of(plain) == hf_heap_default());
    free(plain);
    struct hf_heap *both[] = { heap, other };
    test_heaps_sum(both, 2);
    hf_heap_destroy(heap);
    hf_heap_destroy(other);
    hf_heap_destroy(NULL);
    CHECK(test_arena_stats().heaps == 0);
}

/* Blocks that come again and again in the same place, and a thread that changes heaps meanwhile. */
static void check_again(void)
{
    struct hf_heap *heap = test_heap("again", 0, kind), *other = test_heap("other", 0, kind);
    char *kept = hf_heap_malloc(heap, 32);
    for (int i = 0; i < 40000; i++) {
        char *older = hf_heap_malloc(heap, 16), *newer = hf_heap_malloc(heap, 16);
        CHECK(older == kept + 32 && newer == older + 16);
        free(older);
        free(newer);
        if (i % 9000 == 8999) {
            free(hf_heap_malloc(other, 16));
            free(hf_heap_malloc(heap, 16));
        }
    }
    free(kept);
    hf_heap_destroy(other);
    hf_heap_destroy(heap);
    CHECK(test_arena_stats().heaps == 0);
}

static void check_node(void)
{
    char *block = malloc(100);
    struct hf_heap_options options = { .size_bytes = sizeof options,
                                       .flags = HF_HEAP_REGION | HF_HEAP_NODE,
                                       .node = (unsigned)hf_node_of(block) };
    struct hf_heap *heap = hf_heap_create(&options);
    CHECK(heap != NULL);
    for (size_t bytes = 16; bytes < (size_t)1 << 20; bytes *= 2)
        CHECK(hf_node_of(hf_heap_malloc(heap, bytes)) == hf_node_of(block));
    hf_heap_destroy(heap);
    free(block);
}

/* What was freed last is laid anew, through gaps too; a piece all of whose blocks are freed begins again. */
static void check_room(void)
{
    struct hf_heap *heap = test_heap("room", 0, kind);
    char *stack[50], *first = hf_heap_malloc(heap, 64);
    for (int round = 0; round < 1000; round++) {
        for (int i = 0; i < 50; i++)
            stack[i] = i % 7 == 3 ? hf_heap_aligned_alloc(heap, 128, 40) : hf_heap_malloc(heap, 100);
        for (int i = 49; i >= 0; i--)
            free(stack[i]);
    }
    CHECK(test_heap_stats(heap).most == STEP);
    for (int i = 0; i < 100000; i++) {
        char *block = hf_heap_malloc(heap, 200), *second = hf_heap_malloc(heap, 100);
        free(block);
        free(second);
        if (i == 0)
            free(first);
    }
    CHECK(test_heap_stats(heap).most == STEP);
    hf_heap_destroy(heap);
}

static void check_limit(void)
{
    struct hf_heap *heap = test_heap("limited", 100000, kind), *other = test_heap("other", 0, kind);
    size_t blocks = 0;
    CHECK(test_heap_stats(heap).limit == 7 * STEP);
    while (hf_heap_malloc(heap, 1000) != NULL)
        blocks++;
    CHECK(errno == ENOMEM && blocks >= 7 * STEP / 1100 && test_heap_stats(heap).held == 7 * STEP);
    CHECK(test_heap_stats(heap).failures == 1 && hf_heap_malloc(heap, 300000) == NULL && errno == ENOMEM);
    CHECK(hf_heap_malloc(other, 1000) != NULL && test_heap_stats(other).failures == 0);
    free(malloc(100000));
    CHECK(hf_heap_set_limit(heap, 10) == -EBUSY && hf_heap_set_limit(heap, 20 * STEP) == 0);
    CHECK(hf_heap_malloc(heap, 1000) != NULL && test_heap_stats(heap).limit == 20 * STEP);
    CHECK(hf_heap_set_limit(heap, 0) == 0 && hf_heap_malloc(heap, 1000000) != NULL);
    CHECK(test_heap_stats(heap).limit == 0 && hf_heap_set_limit(hf_heap_default(), 1) == -EINVAL);
    hf_heap_destroy(heap);
    hf_heap_destroy(other);
}

/* A block that is made smaller stays where no other place is left, and that is no failure. */
static void check_smaller(void)
{
    struct hf_heap *heap = test_heap("smaller", 4 * STEP, kind), *runs = test_heap("runs", 16 * STEP, kind);
    char *block = hf_heap_malloc(heap, 28000), *run = hf_heap_malloc(runs, 200000);
    CHECK(hf_heap_malloc(heap, 28000) != NULL && test_heap_stats(heap).held == 4 * STEP);
    CHECK(run != NULL && test_heap_stats(runs).held == 16 * STEP);
    errno = 0;
    CHECK(realloc(block, 6000) == block && realloc(run, 60000) == run && errno == 0);
    CHECK(test_heap_stats(heap).failures == 0 && test_heap_stats(runs).failures == 0);
    CHECK(hf_heap_set_limit(runs, 0) == 0 && realloc(run, 60000) != run);
    CHECK(test_heap_stats(runs).held < 16 * STEP);
    hf_heap_destroy(heap);
    hf_heap_destroy(runs);
}

static void *lay_one(void *heap)
{
    CHECK(hf_heap_malloc(heap, 1000) != NULL);
    return NULL;
}

/* What a thread left of its piece is of use to the threads that are there already. */
static void check_left(void)
{
    struct hf_heap *heap = test_heap("left", 6 * STEP, kind);
    size_t blocks = 0;
    CHECK(hf_heap_malloc(heap, 1000) != NULL);
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, lay_one, heap) == 0 && pthread_join(thread, NULL) == 0);
    }
    while (hf_heap_malloc(heap, 1000) != NULL)
        blocks++;
    CHECK(test_heap_stats(heap).held == 6 * STEP && blocks > 5 * STEP / 1100);
    hf_heap_destroy(heap);
}

static pthread_barrier_t together;

static void *visitor(void *heap)
{
    struct hf_heap *own = test_heap("own", 0, kind);
    for (int i = 0; i < 50; i++) {
        pthread_barrier_wait(&together);
        CHECK(hf_heap_malloc(heap, 16) != NULL);
        pthread_barrier_wait(&together);
        CHECK(hf_heap_malloc(own, 16) != NULL);
    }
    hf_heap_destroy(own);
    return NULL;
}

/* Threads that come to a heap and leave it again, all at once, need a piece each and no more. */
static void check_visits(void)
{
    enum { VISITORS = 16 };
    struct hf_heap *heap = test_heap("visited", 0, kind);
    pthread_t threads[VISITORS];
    CHECK(pthread_barrier_init(&together, NULL, VISITORS) == 0);
    for (int i = 0; i < VISITORS; i++)
        CHECK(pthread_create(&threads[i], NULL, visitor, heap) == 0);
    for (int i = 0; i < VISITORS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    test_heaps_sum(&heap, 1);
    CHECK(test_heap_stats(heap).most <= VISITORS * (uint64_t)65536);
    hf_heap_destroy(heap);
    CHECK(test_arena_stats().heaps == 0);
}

/* More pieces than the heap itself has places for, coming and going. */
static void check_many_pieces(void)
{
    enum { COUNT = 6000, BYTES = 9000 };
    static char *blocks[COUNT];
    uint64_t random = 7;
    struct hf_heap *heap = test_heap("many", 0, kind);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < COUNT; i++)
            if (blocks[i] == NULL) {
                CHECK((blocks[i] = hf_heap_malloc(heap, BYTES)) != NULL);
                test_mark(blocks[i], BYTES);
            }
        for (int i = 0; i < COUNT; i++)
            if (test_random(&random) % 3 != 0) {
                CHECK(test_marked(blocks[i], BYTES));
                free(blocks[i]);
                blocks[i] = NULL;
            }
        test_heaps_sum(&heap, 1);
    }
    hf_heap_destroy(heap);
    CHECK(test_arena_stats().heaps == 0 && test_arena_stats().heaps_free == 0);
}

static void check_small(void)
{
    enum { COUNT = 1000 };
    static struct hf_heap *heaps[COUNT];
    uint64_t random = 3, live = 0;
    for (int i = 0; i < COUNT; i++) {
        heaps[i] = test_heap("small", 0, kind);
        for (int j = 0; j < 100; j++)
            live += malloc_usable_size(hf_heap_malloc(heaps[i], 16 + test_random(&random) % 497));
    }
    test_heaps_sum(heaps, COUNT);
    CHECK(test_arena_stats().heaps * 10 <= live * 16 + 10 * ((uint64_t)1 << 20));
    for (int i = 0; i < COUNT; i++)
        hf_heap_destroy(heaps[i]);
    CHECK(test_arena_stats().heaps == 0);
}

/* In a full arena a heap that has much takes what is left of a page of pieces, too. */
static void check_full(void)
{
    struct hf_heap *big = test_heap("big", 0, kind), *small = test_heap("small", 0, kind);
    void *chain = NULL, *block;
    while (test_heap_stats(big).held < 20 * STEP)
        CHECK(hf_heap_malloc(big, 1000) != NULL);
    CHECK(hf_heap_malloc(small, 16) != NULL);
    for (size_t bytes = 60000; bytes != 0; bytes = bytes == 60000 ? 16 : 0)
        while ((block = malloc(bytes)) != NULL) {
            *(void **)block = chain;
            chain = block;
        }
    CHECK(test_arena_stats().heaps_free >= 2 * STEP);
    while (hf_heap_malloc(big, 1000) != NULL)
        ;
    CHECK(test_arena_stats().heaps_free == 0 && test_heap_stats(big).failures == 0);
    for (; chain != NULL; chain = block) {
        block = *(void **)chain;
        free(chain);
    }
    hf_heap_destroy(big);
    hf_heap_destroy(small);
}

/* --- threads --- */

#define SHARED 64
static _Atomic(char *) shared[SHARED]; /* blocks on their way from one thread to another */
static _Atomic(struct hf_heap *) common;

/* Makes, fills and ends heaps; frees what others left of the common one, lays blocks there for others. */
static void *worker(void *argument)
{
    uint64_t random = (uintptr_t)argument * 77 + 1;
    for (int round = 0; round < 400; round++) {
        struct hf_heap *heap = test_heap("worker", 0, kind);
        char *blocks[60];
        for (int i = 0; i < 60; i++) {
            size_t bytes = test_random_size(&random, 16, i == 9 ? 100000 : 2000);
            CHECK((blocks[i] = hf_heap_malloc(heap, bytes)) != NULL);
            test_mark(blocks[i], bytes);
            if (i % 3 == 0) {
                char *block = hf_heap_malloc(common, 24);
                memset(block, 5, 24);
                free(atomic_exchange(&shared[test_random(&random) % SHARED], block));
            }
        }
        for (int i = 0; i < 60; i += 1 + (int)(test_random(&random) % 3))
            free(blocks[i]);
        hf_heap_destroy(heap);
    }
    return NULL;
}

static void check_threads(void)
{
    pthread_t threads[THREADS];
    common = test_heap("common", 0, kind);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, worker, (void *)i) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    for (int i = 0; i < SHARED; i++)
        free(atomic_exchange(&shared[i], NULL));
    struct hf_heap *heap = common;
    test_heaps_sum(&heap, 1);
    CHECK(test_heap_stats(heap).held <= 8 * STEP);
    hf_heap_destroy(heap);
    CHECK(test_arena_stats().heaps == 0);
}

/* Three threads free a heap's blocks while the main thread ends it: some before, some late.
 * Nothing has the memory anew before they are done. */
#define RACE_BLOCKS 3000
#define RACES 100

struct race {
    char *blocks[RACE_BLOCKS];
    _Atomic(int) at, round, done;
};
static struct race race;

static void *racer(void *unused)
{
    (void)unused;
    for (int round = 1; round <= RACES; round++) {
        while (race.round != round)
            sched_yield();
        for (int i; (i = atomic_fetch_add(&race.at, 1)) < RACE_BLOCKS;)
            free(race.blocks[i]);
        race.done++;
    }
    return NULL;
}

static void check_race(unsigned of_kind)
{
    kind = of_kind;
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, racer, NULL) == 0);
    struct hf_heap *stays = test_heap("stays", 0, kind);
    char *kept[20];
    for (int i = 0; i < 20; i++)
        memset(kept[i] = hf_heap_malloc(stays, 1000), i, 1000);
    for (int round = 1; round <= RACES; round++) {
        struct hf_heap *heap = test_heap("ends", 0, kind);
        for (int i = 0; i < RACE_BLOCKS; i++)
            race.blocks[i] = hf_heap_malloc(heap, i % 50 == 7 ? 20000 : 100);
        race.at = race.done = 0;
        race.round = round;
        while (race.at < round * 31 % RACE_BLOCKS)
            ;
        hf_heap_destroy(heap);
        while (race.done != 3)
            sched_yield();
        test_heaps_sum(&stays, 1);
    }
    for (int i = 0; i < 3; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    for (int i = 0; i < 20; i++)
        CHECK(kept[i][0] == i && kept[i][999] == i);
    hf_heap_destroy(stays);
    CHECK(test_arena_stats().heaps == 0 && test_arena_stats().heaps_free == 0);
}

/* --- fork --- */

static _Atomic(bool) finish;

static void *bystander(void *unused)
{
    (void)unused;
    while (!finish)
        free(hf_heap_malloc(common, 100));
    return NULL;
}

static void check_child(struct hf_heap *heap, char *block, bool threaded)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK(block[0] == 9 && block[99] == 9);
        char *other = hf_heap_malloc(heap, 3000);
        memset(other, 1, 3000);
        char *moved = realloc(block, 5000);
        CHECK(moved[0] == 9 && moved[99] == 9);
        free(moved);
        struct hf_heap *own = test_heap("child", 0, kind);
        CHECK(hf_heap_malloc(own, 100) != NULL);
        uint64_t with = test_arena_stats().heaps;
        CHECK(hf_heap_of(other) == heap && malloc_usable_size(other) >= 3000);
        hf_heap_destroy(own);
        hf_heap_destroy(heap);
        CHECK(threaded ? test_arena_stats().heaps <= with : test_arena_stats().heaps == 0);
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

/* A thread that was joined leaves the kernel's list a moment later.  ThreadSanitizer and qemu-user
 * have a thread of their own, which stays. */
static bool is_alone(void)
{
    struct stat tasks;
    for (int look = 0; look < 1000; look++) {
        CHECK(stat("/proc/self/task", &tasks) == 0);
        if (tasks.st_nlink == 3)
            return true;
        usleep(1000);
    }
    return false;
}

static void check_fork(unsigned of_kind)
{
    kind = of_kind;
    finish = false;
    struct hf_heap *heap = test_heap("forked", 0, kind);
    char *block = hf_heap_malloc(heap, 100);
    memset(block, 9, 100);
    check_child(heap, block, !is_alone());
    pthread_t threads[2];
    common = test_heap("bystanders", 0, kind);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, bystander, NULL) == 0);
    for (int i = 0; i < 10; i++)
        check_child(heap, block, true);
    finish = true;
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    hf_heap_destroy(common);
    hf_heap_destroy(heap);
    CHECK(test_arena_stats().heaps == 0);
}

int main(int argc, char **argv)
{
    (void)argc;
    setenv("HOLDFAST_BACKING", "thp", 0); /* on a pool that is short a child that forks may be killed */
    test_on_arena(argv, "512M");
    check_blocks();
    check_calls();
    check_again();
    check_node();
    check_room();
    check_limit();
    check_smaller();
    check_left();
    check_visits();
    check_many_pieces();
    check_small();
    check_fork(0);
    check_fork(HF_HEAP_REGION);
    check_threads();
    check_race(0);
    check_race(HF_HEAP_REGION);
    check_full();
    check_blocks();
    return 0;
}
