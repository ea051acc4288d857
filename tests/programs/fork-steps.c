/*
 * fork-steps: a fork after each instruction of a thread that gives a page back.
 *
 * The thread frees the last block of an unowned page, one instruction at a time (the
 * processor's trap flag), and waits after each while the main thread forks: the child sees it
 * vanish right there.  What the child allocates of that size must lie in blocks of that size, each
 * of its own.
 */
#include <holdfast/holdfast.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>

#include "test.h"

#if defined(__x86_64__)

#define BYTES 1400 /* too large for magazines; the main thread has no page of that size before the fork */
#define BLOCKS 200

static sem_t stepped, forked;
static void *blocks[3];
static volatile bool steps_on;

static void step(int number)
{
    (void)number;
    if (!steps_on)
        return;
    sem_post(&stepped);
    while (sem_wait(&forked) != 0)
        ;
}

static void set_trap_flag(bool on)
{
    if (on)
        __asm__ volatile("pushfq; orl $0x100, (%%rsp); popfq" ::: "memory", "cc");
    else
        __asm__ volatile("pushfq; andl $~0x100, (%%rsp); popfq" ::: "memory", "cc");
}

static void *leave_blocks(void *argument)
{
    for (int i = 0; i < 3; i++)
        CHECK((blocks[i] = malloc(BYTES)) != NULL);
    return argument;
}

static void *free_in_steps(void *argument)
{
    free(blocks[0]);
    free(blocks[1]);
    steps_on = true;
    set_trap_flag(true);
    free(blocks[2]);
    set_trap_flag(false);
    steps_on = false;
    sem_post(&stepped);
    return argument;
}

static void child(void)
{
    char *of_child[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) {
        CHECK((of_child[i] = malloc(BYTES)) != NULL);
        CHECK(hf_usable_size(of_child[i]) >= BYTES);
        test_mark(of_child[i], BYTES);
    }
    for (int i = 0; i < BLOCKS; i++) {
        CHECK(test_marked(of_child[i], BYTES));
        free(of_child[i]);
    }
    _exit(0);
}

/* In a thread that has no theap: one that has would take the page before the fork. */
static void *fork_at_each_step(void *argument)
{
    long forks = 0;
    for (;; forks++) {
        int status;
        while (sem_wait(&stepped) != 0)
            ;
        if (!steps_on)
            break;
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0)
            child();
        CHECK(waitpid(pid, &status, 0) == pid);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            fprintf(stderr, "fork %ld: wait status %x\n", forks, status);
            exit(1);
        }
        sem_post(&forked);
    }
    CHECK(forks > 100);
    return argument;
}

int main(int argc, char **argv)
{
    (void)argc;
    setenv("HOLDFAST_BACKING", "4k", 0);
    test_on_arena(argv, "16M");
    pthread_t thread, forker;
    struct sigaction action = { .sa_handler = step };
    CHECK(sigaction(SIGTRAP, &action, NULL) == 0);
    CHECK(sem_init(&stepped, 0, 0) == 0 && sem_init(&forked, 0, 0) == 0);
    CHECK(pthread_create(&thread, NULL, leave_blocks, NULL) == 0 && pthread_join(thread, NULL) == 0);
    CHECK(pthread_create(&forker, NULL, fork_at_each_step, NULL) == 0);
    CHECK(pthread_create(&thread, NULL, free_in_steps, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0 && pthread_join(forker, NULL) == 0);
    return 0;
}

#else

int main(void)
{
    return 77; /* no trap flag known */
}

#endif
