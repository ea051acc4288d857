/*
 * free-steps: a free of a heap's block is stopped behind each of its instructions, and meanwhile the
 * thread that holds the piece sweeps it, or the heap ends and its memory has its next use.  What is
 * live stays as it is, and what is empty goes back.
 *
 * The processor stops the thread (the trap flag of x86-64).
 */
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>

#include "heap-tests.h"

#if defined(__x86_64__)

static long left; /* instructions until it stops */
static atomic_bool stopped;
static sem_t arrived, may_go_on; /* arrived: it has stopped, or ended */
static char *_Atomic block;

static void set_trap_flag(bool on)
{
    __asm__ volatile("lea -128(%%rsp), %%rsp\n\t"
                     "pushfq\n\t"
                     "andq $~0x100, (%%rsp)\n\t"
                     "orq %0, (%%rsp)\n\t"
                     "popfq\n\t"
                     "lea 128(%%rsp), %%rsp" ::"r"(on ? 0x100ul : 0ul)
                     : "memory", "cc");
}

static void on_step(int signal)
{
    (void)signal;
    if (--left != 0)
        return;
    stopped = true;
    sem_post(&arrived);
    sem_wait(&may_go_on);
}

static void *free_in_steps(void *unused)
{
    free(malloc(1)); /* it has what a thread needs */
    (void)unused;
    set_trap_flag(true);
    free(block);
    set_trap_flag(false);
    sem_post(&arrived);
    return NULL;
}

static pthread_t begin(long steps)
{
    pthread_t thread;
    stopped = false;
    CHECK(sem_init(&arrived, 0, 0) == 0 && sem_init(&may_go_on, 0, 0) == 0);
    left = steps;
    CHECK(pthread_create(&thread, NULL, free_in_steps, NULL) == 0);
    CHECK(sem_wait(&arrived) == 0);
    return thread;
}

static bool finish(pthread_t thread)
{
    sem_post(&may_go_on);
    CHECK(pthread_join(thread, NULL) == 0);
    return stopped;
}

#define LONG 1120 /* more than the 64 granules of the short ones */
#define MORE 11

/* Its holder makes one block of it and its neighbour, and hands out a part of that. */
static bool check_swept(long steps, struct hf_heap *other)
{
    struct hf_heap *heap = test_heap("swept", 0, 0);
    char *rest[MORE];
    block = hf_heap_malloc(heap, LONG);
    char *neighbour = hf_heap_malloc(heap, LONG), *live = hf_heap_malloc(heap, 880);
    for (int i = 0; i < MORE; i++)
        rest[i] = hf_heap_malloc(heap, LONG);
    free(neighbour);
    pthread_t thread = begin(steps);
    char *part = hf_heap_malloc(heap, 2000);
    bool stopped = finish(thread);
    free(part);
    for (int i = 0; i < MORE; i++)
        free(rest[i]);
    free(hf_heap_malloc(other, 1)); /* this thread leaves the piece */
    CHECK(test_heap_stats(heap).held >= STEP);
    free(live);
    CHECK(test_heap_stats(heap).held <= 2 * STEP);
    hf_heap_destroy(heap);
    return stopped;
}

/* Its heap ends, and what is known of its page has a run of the next heap. */
static bool check_ended(long steps)
{
    struct hf_heap *heap = test_heap("ended", 0, 0), *next = test_heap("next", 0, 0);
    block = hf_heap_malloc(heap, 1000);
    for (int i = 0; i < 20; i++)
        hf_heap_malloc(heap, 1000); /* the piece is closed */
    pthread_t thread = begin(steps);
    hf_heap_destroy(heap);
    char *run = hf_heap_malloc(next, 100000);
    bool stopped = finish(thread);
    for (int i = 0; i < 100; i++) {
        char *fresh = hf_heap_malloc(next, 64);
        CHECK(fresh + 64 <= run || fresh >= run + 100000);
    }
    hf_heap_destroy(next);
    return stopped;
}

int main(void)
{
    struct sigaction action = { .sa_handler = on_step };
    CHECK(sigaction(SIGTRAP, &action, NULL) == 0);
    struct hf_heap *other = test_heap("other", 0, 0);
    long swept = 1, over = 1;
    while (check_swept(swept, other))
        swept++;
    hf_heap_destroy(other);
    while (check_ended(over))
        over++;
    CHECK(swept > 20 && over > 20);
    return 0;
}

#else

int main(void)
{
    return 77;
}

#endif
