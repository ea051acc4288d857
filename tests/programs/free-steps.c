/*
 * free-steps: a free of a heap's block is stopped behind each of its instructions, and meanwhile the
 * thread that holds the piece sweeps it, or the heap ends and its memory has its next use.  So is a
 * thread that leaves a piece.  What is live stays as it is, and what is empty goes back.
 *
 * The processor stops the thread (the trap flag of x86-64).
 */
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <ucontext.h>

#include "heap-tests.h"

#if defined(__x86_64__)

static long left; /* instructions until it stops */
static atomic_bool has_stopped;
static sem_t arrived, may_go_on; /* arrived: it has stopped, or ended */
static char *_Atomic block;
static struct hf_heap *_Atomic goes_to; /* NULL: the thread frees `block`, else allocates there */

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

/* Behind the stop the free goes on at full speed. */
static void on_step(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    if (--left != 0)
        return;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~0x100;
    has_stopped = true;
    sem_post(&arrived);
    sem_wait(&may_go_on);
}

/* `make`: what the thread lays itself, or NULL: it frees `block`. */
static void *free_in_steps(void *make)
{
    free(malloc(1)); /* it has what a thread needs */
    if (make != NULL)
        ((void (*)(void))make)();
    set_trap_flag(true);
    if (goes_to != NULL)
        hf_heap_malloc(goes_to, 1);
    else
        free(block);
    set_trap_flag(false);
    sem_post(&arrived);
    return NULL;
}

static pthread_t begin(long steps, void (*make)(void))
{
    pthread_t thread;
    has_stopped = false;
    CHECK(sem_init(&arrived, 0, 0) == 0 && sem_init(&may_go_on, 0, 0) == 0);
    left = steps;
    CHECK(pthread_create(&thread, NULL, free_in_steps, (void *)make) == 0);
    CHECK(sem_wait(&arrived) == 0);
    return thread;
}

static bool finish(pthread_t thread)
{
    sem_post(&may_go_on);
    CHECK(pthread_join(thread, NULL) == 0);
    return has_stopped;
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
    pthread_t thread = begin(steps, NULL);
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
    pthread_t thread = begin(steps, NULL);
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

static struct hf_heap *checked;

static void lay_in_checked(void)
{
    memset(hf_heap_malloc(checked, 60000), 1, 60000); /* a page of its own */
    block = memset(hf_heap_malloc(checked, 64), 1, 64);
}

static void end_later_ones(void)
{
    for (int i = 0; i < 70; i++) /* more than wait at a time */
        hf_heap_destroy(test_heap("later", 0, HF_HEAP_CHECKED));
}

/* The holder frees, and the heap, a checked one, ends and waits no more. */
static bool check_waited(long steps)
{
    checked = test_heap("checked", 0, HF_HEAP_CHECKED);
    pthread_t thread = begin(steps, lay_in_checked);
    hf_heap_destroy(checked);
    end_later_ones();
    bool is_free = hf_heap_of(block) == NULL;
    if (is_free)
        memset(block, 0x5a, 64);
    bool stopped = finish(thread);
    for (int i = 0; is_free && stopped && i < 64; i++)
        CHECK(block[i] == 0x5a);
    return stopped;
}

/* The holder goes to another heap, and so leaves the piece. */
static bool check_left(long steps, struct hf_heap *other)
{
    checked = test_heap("checked", 0, HF_HEAP_CHECKED);
    goes_to = other;
    pthread_t thread = begin(steps, lay_in_checked);
    hf_heap_destroy(checked);
    bool stopped = finish(thread);
    goes_to = NULL;
    end_later_ones(); /* its memory is not taken for written to */
    return stopped;
}

int main(void)
{
    struct sigaction action = { .sa_sigaction = on_step, .sa_flags = SA_SIGINFO };
    CHECK(sigaction(SIGTRAP, &action, NULL) == 0);
    struct hf_heap *other = test_heap("other", 0, 0);
    long swept = 1, over = 1, waited = 1, gone = 1;
    while (check_swept(swept, other))
        swept++;
    hf_heap_destroy(other);
    while (check_ended(over))
        over++;
    while (check_waited(waited))
        waited++;
    other = test_heap("other", 0, 0);
    while (check_left(gone, other))
        gone += 2; /* it is a long way */
    CHECK(swept > 20 && over > 20 && waited > 20 && gone > 20);
    return 0;
}

#else

int main(void)
{
    return 77;
}

#endif
