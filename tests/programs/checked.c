/*
 * checked: the memory of a heap with HF_HEAP_CHECKED stays out of use after its end: a late free, write,
 * or use of the heap is told with its name and who has ended it; up to a bound, and until a call would
 * fail; frees that overlap the end are no mistakes.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "heap-tests.h"

#define HEAPS_MOST 64 /* that wait */
#define THREADS 3

static unsigned kind; /* HF_HEAP_REGION, or 0 for a general heap */

static char *volatile block, *volatile large;

static struct hf_heap *ended(void)
{
    struct hf_heap *heap = test_heap("short lived", 0, kind | HF_HEAP_CHECKED);
    block = hf_heap_malloc(heap, 100);
    large = hf_heap_malloc(heap, 300000);
    CHECK(block != NULL && large != NULL);
    memset(large, 1, 300000);
    hf_heap_destroy(heap);
    return heap;
}

/* So many that those which waited are given back. */
static void end_others(void)
{
    for (int i = 0; i <= HEAPS_MOST; i++) {
        struct hf_heap *heap = test_heap("short lived", 0, kind | HF_HEAP_CHECKED);
        CHECK(hf_heap_malloc(heap, 100) != NULL);
        hf_heap_destroy(heap);
    }
}

enum misuse {
    FREED,
    FREED_LARGE,
    WRITTEN,
    WRITTEN_LARGE,
    READ,
    READ_LARGE,
    HANDLED,
    USED,
    DESTROYED_TWICE,
    UNTOUCHED,
};

static void handle(int number)
{
    (void)number;
    _exit(0);
}

static void run(int misuse)
{
    struct hf_heap *heap = ended();
    switch ((enum misuse)misuse) {
    case FREED:
        for (int i = 0; i < 3; i++)
            free(block);
        break;
    case FREED_LARGE: free(large); break;
    case WRITTEN: block[50] = 1; break;
    case WRITTEN_LARGE: large[299999] = 1; break;
    case READ: CHECK(block[10] != 0); break;
    case READ_LARGE: CHECK(large[200000] != 0); break;
    case HANDLED: block[50] = 1; break;
    case USED: CHECK(hf_heap_malloc(heap, 16) == NULL); break;
    case DESTROYED_TWICE: hf_heap_destroy(heap); break;
    case UNTOUCHED: break;
    }
    end_others();
}

static void run_handled(int misuse)
{
    CHECK(signal(SIGSEGV, handle) != SIG_ERR);
    run(misuse);
}

/* `pattern`: where the memory cannot be made inaccessible. */
static const struct {
    enum misuse misuse;
    int pattern, fault;                /* the signal that ends it */
    const char *of_pattern, *of_fault; /* message */
} cases[] = {
    { FREED, 0, 0, "error HF-E324 free: ", "error HF-E324 free: " },
    { FREED_LARGE, 0, 0, "error HF-E324 free: ", "error HF-E324 free: " },
    { WRITTEN, SIGABRT, SIGSEGV, "error HF-E325 heap: ", "error HF-E326 heap: " },
    { WRITTEN_LARGE, SIGABRT, SIGSEGV, "error HF-E325 heap: ", "error HF-E326 heap: " },
    { READ, 0, SIGSEGV, NULL, "error HF-E326 heap: " },
    { READ_LARGE, 0, SIGSEGV, NULL, "error HF-E326 heap: " },
    { HANDLED, SIGABRT, 0, "error HF-E325 heap: ", NULL },
    { USED, SIGABRT, SIGABRT, "error HF-E320 hf_heap_malloc: ", "error HF-E320 hf_heap_malloc: " },
    { DESTROYED_TWICE, SIGABRT, SIGABRT,
      "error HF-E320 hf_heap_destroy: ", "error HF-E320 hf_heap_destroy: " },
    { UNTOUCHED, 0, 0, NULL, NULL },
};

static void check_misuse(bool faults)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char said[8192], thread[64];
        int signal_number = faults ? cases[i].fault : cases[i].pattern;
        const char *message = faults ? cases[i].of_fault : cases[i].of_pattern;
        void (*child)(int) = cases[i].misuse == HANDLED ? run_handled : run;
        int status = test_in_child(child, (int)cases[i].misuse, said, sizeof said);
        bool right =
            signal_number == 0 ? status == 0 : WIFSIGNALED(status) && WTERMSIG(status) == signal_number;
        const char *first = message == NULL ? NULL : strstr(said, message);
        right = right && (message == NULL ? strstr(said, "HF-E") == NULL
                                          : first != NULL && strstr(first + 10, "HF-E") == NULL &&
                                                strstr(first, "heap \"short lived\"") != NULL);
        snprintf(thread, sizeof thread, "thread ");
        right =
            right && (message == NULL || (strstr(first, thread) != NULL && strstr(first, "from 0x") != NULL));
        if (!right)
            fprintf(stderr, "kind %u, case %zu: status %#x, printed:\n%s", kind, i, (unsigned)status, said);
        CHECK(right);
    }
}

static void tell_thread(int unused)
{
    (void)unused;
    ended();
    free(block);
    fprintf(stderr, "I am %ld.\n", (long)syscall(SYS_gettid));
}

/* The thread that the message names is the one that ended the heap. */
static void check_thread(void)
{
    char said[4096];
    CHECK(test_in_child(tell_thread, 0, said, sizeof said) == 0);
    const char *named = strstr(said, "which thread "), *own = strstr(said, "I am ");
    CHECK(named != NULL && own != NULL && atol(named + 13) == atol(own + 5));
}

/* Nothing gets the memory while it waits; what waits is of no heap; and there is an end to it. */
static void check_bounds(void)
{
    struct hf_heap *heap = ended();
    uintptr_t first = (uintptr_t)block, last = (uintptr_t)large;
    struct hf_stats stats = test_arena_stats();
    CHECK(stats.heaps != 0 && stats.heaps_free == stats.heaps);
    heap = test_heap("short lived", 0, kind);
    for (int i = 0; i < 500; i++) {
        char *other = hf_heap_malloc(heap, 1000), *plain = malloc(300000);
        CHECK(other != NULL && ((uintptr_t)other & ~(uintptr_t)16383) != (first & ~(uintptr_t)16383));
        CHECK(plain != NULL && (uintptr_t)plain != last);
        free(plain);
    }
    hf_heap_destroy(heap);
    for (int i = 0; i < 3 * HEAPS_MOST; i++) {
        heap = test_heap("short lived", 0, kind | HF_HEAP_CHECKED);
        CHECK(hf_heap_malloc(heap, 200000) != NULL);
        hf_heap_destroy(heap);
        stats = test_arena_stats();
        CHECK(stats.heaps <= stats.arena / 16 + (1 << 20));
    }
    /* one whose table has a chunk */
    heap = test_heap("short lived", 0, kind | HF_HEAP_CHECKED);
    for (int i = 0; i < 236; i++)
        CHECK(hf_heap_malloc(heap, 14000) != NULL);
    hf_heap_destroy(heap);
    stats = test_arena_stats();
    CHECK(stats.heaps != 0 && stats.heaps_free == stats.heaps);
    /* a heap that is larger than what may wait is not kept */
    uint64_t before = test_arena_stats().heaps;
    heap = test_heap("short lived", 0, kind | HF_HEAP_CHECKED);
    CHECK(hf_heap_malloc(heap, 8 << 20) != NULL);
    hf_heap_destroy(heap);
    CHECK(test_arena_stats().heaps == before);
}

/* A heap that has had many pieces, again and again the same: places of its table are stale, and lead to what
 * the table itself lies in by now. */
static void check_table(void)
{
    enum { COUNT = 100 };
    static char *blocks[COUNT];
    uint64_t random = 11;
    for (int turn = 0; turn < 40; turn++) {
        struct hf_heap *heap = test_heap("short lived", 0, kind | HF_HEAP_CHECKED);
        for (int i = 0; i < 600; i++) {
            char **at = &blocks[test_random(&random) % (turn % 2 == 0 ? COUNT : 20)];
            free(*at);
            CHECK((*at = hf_heap_malloc(heap, 15000)) != NULL);
            test_mark(*at, 15000);
        }
        for (int i = 0; i < COUNT; i++) {
            CHECK(blocks[i] == NULL || test_marked(blocks[i], 15000));
            blocks[i] = NULL;
        }
        hf_heap_destroy(heap);
    }
    end_others();
}

/* All that waits comes back before a call fails, and all of it. */
static void check_gives_way(void)
{
    void *chain = NULL, *next;
    for (int i = 0; i < 10; i++) {
        struct hf_heap *heap = test_heap("short lived", 0, kind | HF_HEAP_CHECKED);
        CHECK(hf_heap_malloc(heap, 300000) != NULL);
        hf_heap_destroy(heap);
    }
    uint64_t waits = test_arena_stats().heaps, taken = 0, free_bytes = test_arena_stats().free;
    CHECK(waits >= 10 * 300000);
    for (; (next = malloc(400000)) != NULL; chain = next) {
        *(void **)next = chain;
        taken += hf_usable_size(next);
    }
    CHECK(test_arena_stats().heaps == 0 && taken > free_bytes);
    for (; chain != NULL; chain = next) {
        next = *(void **)chain;
        free(chain);
    }
}

/* --- frees that overlap the end --- */

#define RACE_BLOCKS 2000

static struct race {
    char *blocks[RACE_BLOCKS];
    _Atomic(int) at, round, done;
} race;

static void *racer(void *unused)
{
    for (int round = 1; round <= 30; round++) {
        while (race.round != round)
            sched_yield();
        for (int i; (i = atomic_fetch_add(&race.at, 1)) < RACE_BLOCKS;)
            free(race.blocks[i]);
        race.done++;
    }
    return unused;
}

static void check_race(void)
{
    pthread_t threads[THREADS];
    race.round = 0;
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, racer, NULL) == 0);
    for (int round = 1; round <= 30; round++) {
        struct hf_heap *heap = test_heap("short lived", 0, kind | HF_HEAP_CHECKED);
        for (int i = 0; i < RACE_BLOCKS; i++)
            CHECK((race.blocks[i] = hf_heap_malloc(heap, i % 50 == 7 ? 20000 : 100)) != NULL);
        race.at = race.done = 0;
        race.round = round;
        while (race.at < round * 31 % RACE_BLOCKS)
            ;
        hf_heap_destroy(heap);
        while (race.done != THREADS)
            sched_yield();
    }
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    end_others();
}

static void race_in_child(int unused)
{
    (void)unused;
    check_race();
}

static _Atomic(bool) finish;

static void *bystander(void *unused)
{
    while (!finish) {
        struct hf_heap *heap = test_heap("short lived", 0, kind | HF_HEAP_CHECKED);
        CHECK(hf_heap_malloc(heap, 100) != NULL);
        hf_heap_destroy(heap);
    }
    return unused;
}

/* A child begins with none that wait, and has its own. */
static void check_fork(void)
{
    pthread_t thread;
    finish = false;
    CHECK(pthread_create(&thread, NULL, bystander, NULL) == 0);
    for (int i = 0; i < 10; i++) {
        int status;
        ended();
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            free(block);
            end_others();
            end_others();
            _exit(0);
        }
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    }
    finish = true;
    CHECK(pthread_join(thread, NULL) == 0);
}

int main(int argc, char **argv)
{
    (void)argc;
    const char *backing = getenv("HOLDFAST_BACKING");
    if (backing == NULL) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        setenv("HOLDFAST_BACKING", pid == 0 ? "thp" : "4k", 1);
        int status = 0;
        CHECK(pid == 0 || (waitpid(pid, &status, 0) == pid && status == 0));
        setenv("HOLDFAST_NODES", "0", 1);
        unsetenv("HOLDFAST_ARENA");
    }
    test_on_arena(argv, "64M");
    for (kind = 0; kind <= HF_HEAP_REGION; kind += HF_HEAP_REGION) {
        char said[8192];
        check_misuse(strcmp(getenv("HOLDFAST_BACKING"), "4k") == 0);
        check_thread();
        check_bounds();
        check_table();
        check_gives_way();
        int status = test_in_child(race_in_child, 0, said, sizeof said);
        if (status != 0)
            fprintf(stderr, "%s", said);
        CHECK(status == 0);
        check_fork();
        check_gives_way();
    }
    return 0;
}
