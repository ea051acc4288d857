/*
 * tool-load: a program for tool-tune.sh and tool-report.sh to look at: it does one thing to its
 * arena, says "ready", and waits for a signal.
 *
 *   tool-load fill MIB             blocks of all sizes until MIB are had or 64 calls failed; keeps them
 *   tool-load request BYTES        one block, which may be refused
 *   tool-load sleepers COUNT MIB   threads that free nearly all of MIB each, then sleep
 *   tool-load thoughtful COUNT MIB the same, with hf_thread_idle before they sleep
 *   tool-load crowd COUNT CALLS    threads that take a block each and sleep, and one more that asks for
 *                                  8 MiB CALLS times and keeps them
 *   tool-load fork COUNT           children that end at once
 *   tool-load ring                 registers the arena with an io_uring; exit status 77 where there are none
 *   tool-load waves MIB            grows to MIB and shrinks again, without end
 *   tool-load name TEXT MIB        as fill, by this name
 */
#include <holdfast/holdfast.h>
#include <holdfast/uring.h>
#include <pthread.h>
#include <sys/prctl.h>

#include "programs/test.h"

#define LARGEST ((size_t)64 << 10)
#define SMALL ((size_t)1 << 10)
#define FAILURES 64

struct chain {
    struct chain *next;
};

static size_t grow(struct chain **chain, size_t target, size_t largest, uint64_t *random)
{
    size_t got = 0;
    for (unsigned failures = 0; got < target && failures < FAILURES;) {
        size_t bytes = test_random_size(random, sizeof(struct chain), largest);
        struct chain *block = malloc(bytes);
        if (block == NULL) {
            failures++;
            continue;
        }
        block->next = *chain;
        *chain = block;
        got += bytes;
    }
    return got;
}

/* All but one in 64: of small blocks there are more on a page, which so stays with the thread. */
static void shrink(struct chain **chain)
{
    struct chain *kept = NULL;
    for (unsigned i = 0; *chain != NULL; i++) {
        struct chain *block = *chain;
        *chain = block->next;
        if (i % 64 == 0) {
            block->next = kept;
            kept = block;
        } else {
            free(block);
        }
    }
    *chain = kept;
}

static _Noreturn void wait_for_signal(void)
{
    puts("ready");
    fflush(stdout);
    for (;;)
        pause();
}

struct sleeper {
    size_t bytes;
    bool thoughtful;
    pthread_barrier_t *barrier;
};

static void *sleep_on_it(void *argument)
{
    const struct sleeper *sleeper = argument;
    struct chain *chain = NULL;
    uint64_t random = (uint64_t)(uintptr_t)&chain | 1;
    prctl(PR_SET_NAME, "sleeper");
    grow(&chain, sleeper->bytes, SMALL, &random);
    shrink(&chain);
    if (sleeper->thoughtful)
        hf_thread_idle();
    pthread_barrier_wait(sleeper->barrier);
    for (;;)
        pause();
    return NULL;
}

static void start_sleepers(unsigned count, size_t bytes, bool thoughtful)
{
    static pthread_barrier_t barrier;
    static struct sleeper sleeper;
    sleeper = (struct sleeper){ .bytes = bytes, .thoughtful = thoughtful, .barrier = &barrier };
    CHECK(pthread_barrier_init(&barrier, NULL, count + 1) == 0);
    for (unsigned i = 0; i < count; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, sleep_on_it, &sleeper) == 0);
    }
    pthread_barrier_wait(&barrier);
}

static void *take_one(void *barrier)
{
    void *volatile block = malloc(1 << 10);
    CHECK(block != NULL);
    pthread_barrier_wait(barrier);
    for (;;)
        pause();
    return NULL;
}

struct asker {
    size_t calls, had, failed;
    pthread_barrier_t done;
};

static void *ask(void *argument)
{
    struct asker *asker = argument;
    for (size_t i = 0; i < asker->calls; i++) {
        void *volatile block = malloc((size_t)8 << 20);
        *(block == NULL ? &asker->failed : &asker->had) += 1;
    }
    pthread_barrier_wait(&asker->done);
    for (;;)
        pause();
    return NULL;
}

/* One after the other, so that the last one's theap is the last one made. */
static void make_crowd(unsigned count, size_t calls)
{
    static pthread_barrier_t barrier;
    static struct asker asker;
    pthread_t thread;
    CHECK(pthread_barrier_init(&barrier, NULL, 2) == 0 && pthread_barrier_init(&asker.done, NULL, 2) == 0);
    for (unsigned i = 0; i < count; i++) {
        CHECK(pthread_create(&thread, NULL, take_one, &barrier) == 0);
        pthread_barrier_wait(&barrier);
    }
    asker.calls = calls;
    CHECK(pthread_create(&thread, NULL, ask, &asker) == 0);
    pthread_barrier_wait(&asker.done);
    printf("had %zu, failed %zu\n", asker.had, asker.failed);
}

static void fork_children(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0)
            _exit(0);
        CHECK(waitpid(child, NULL, 0) == child);
    }
}

static void register_ring(void)
{
    static struct io_uring ring;
    if (io_uring_queue_init(8, &ring, 0) != 0)
        exit(77);
    int error = hf_uring_register(&ring);
    printf("registering: %d\n", error);
}

static _Noreturn void make_waves(size_t bytes)
{
    struct chain *chain = NULL;
    uint64_t random = 1;
    puts("ready");
    fflush(stdout);
    for (;;) {
        for (unsigned i = 1; i <= 10; i++) {
            grow(&chain, bytes / 10, LARGEST, &random);
            usleep(100000);
        }
        shrink(&chain);
        usleep(300000);
    }
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    size_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 0,
           second = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
    struct chain *chain = NULL;
    uint64_t random = 1;
    if (strcmp(what, "name") == 0) {
        prctl(PR_SET_NAME, argv[2]);
        grow(&chain, second << 20, LARGEST, &random);
    } else if (strcmp(what, "fill") == 0) {
        printf("had %zu MiB\n", grow(&chain, first << 20, LARGEST, &random) >> 20);
    } else if (strcmp(what, "request") == 0) {
        void *volatile block = malloc(first);
        printf("%s\n", block == NULL ? "refused" : "had");
    } else if (strcmp(what, "sleepers") == 0 || strcmp(what, "thoughtful") == 0) {
        start_sleepers((unsigned)first, second << 20, *what == 't');
    } else if (strcmp(what, "crowd") == 0) {
        make_crowd((unsigned)first, second);
    } else if (strcmp(what, "fork") == 0) {
        fork_children((unsigned)first);
        free(malloc(1 << 20)); /* a slow path, which tells of it */
    } else if (strcmp(what, "ring") == 0) {
        register_ring();
    } else if (strcmp(what, "waves") == 0) {
        make_waves(first << 20);
    } else {
        CHECK(!"a kind of work");
    }
    wait_for_signal();
}
