/*
 * fork-first-thread: a handler of fork that runs after Holdfast's starts the process's first other
 * thread.
 *
 * Handlers that prepare a fork run in the reverse of the order in which they were registered.  That
 * thread stands in the middle of a call (the processor's trap flag stopped it) while the process
 * forks.  The child, in which the thread is no more, frees what it left, and has its pages.
 */
#include <holdfast/holdfast.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>

#include "test.h"

#if defined(__x86_64__)

#define BLOCKS 60              /* of as many sizes: the pages they are in have room, and are the thread's */
#define INTO_CALL 200          /* instructions */
#define LARGE_BYTES (14 << 20) /* of 16 MiB: where the child has all pages of those blocks again */

static void *blocks[BLOCKS];
static sem_t stopped, go_on;
static volatile long steps;
static bool starts_thread;
static pthread_t first;

static void step(int number)
{
    (void)number;
    if (++steps != INTO_CALL)
        return;
    sem_post(&stopped);
    while (sem_wait(&go_on) != 0)
        ;
}

static size_t size_of(int i)
{
    return 1024 * (size_t)(i + 1);
}

static void *stops_in_malloc(void *unused)
{
    for (int i = 0; i < BLOCKS; i++)
        CHECK((blocks[i] = malloc(size_of(i))) != NULL);
    __asm__ volatile("pushfq; orl $0x100, (%%rsp); popfq" ::: "memory", "cc");
    void *block = malloc(100000);
    __asm__ volatile("pushfq; andl $~0x100, (%%rsp); popfq" ::: "memory", "cc");
    free(block);
    return unused;
}

static void start_thread(void)
{
    if (!starts_thread)
        return;
    CHECK(pthread_create(&first, NULL, stops_in_malloc, NULL) == 0);
    while (sem_wait(&stopped) != 0)
        ;
}

static void register_early(void)
{
    CHECK(pthread_atfork(start_thread, NULL, NULL) == 0);
}

__attribute__((section(".preinit_array"),
               used)) static void (*const before_constructors)(void) = register_early;

static void child(void)
{
    CHECK(malloc(LARGE_BYTES) == NULL);
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    CHECK(malloc(LARGE_BYTES) != NULL);
    _exit(0);
}

int main(int argc, char **argv)
{
    int status;
    (void)argc;
    setenv("HOLDFAST_BACKING", "4k", 0);
    test_on_arena(argv, "16M");
    struct sigaction action = { .sa_handler = step };
    CHECK(sigaction(SIGTRAP, &action, NULL) == 0);
    CHECK(sem_init(&stopped, 0, 0) == 0 && sem_init(&go_on, 0, 0) == 0);
    free(malloc(1));
    starts_thread = true;
    pid_t pid = fork();
    if (pid == 0)
        child();
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    sem_post(&go_on);
    CHECK(pthread_join(first, NULL) == 0);
    return 0;
}

#else

int main(void)
{
    return 77; /* no trap flag known */
}

#endif
