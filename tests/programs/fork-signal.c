/*
 * fork-signal: a signal handler forks in the middle of malloc and free.
 *
 * The process has one thread.  The processor's trap flag raises a signal after each instruction of
 * a call that looks beyond the thread's own pages, and every few instructions the handler forks:
 * the child returns from it, ends the call, and goes on as its parent does.
 */
#include <holdfast/holdfast.h>
#include <signal.h>
#include <ucontext.h>

#include "test.h"

#if defined(__x86_64__)

#define TRAP_FLAG 0x100
#define STRIDE 17 /* odd: loops have it at each of their instructions */
#define BLOCKS 40

static volatile bool steps_on, is_child;
static volatile long steps, forks;

static void step(int number, siginfo_t *info, void *context)
{
    ucontext_t *interrupted = context;
    int status;
    (void)number;
    (void)info;
    if (!steps_on || steps++ % STRIDE != 0)
        return;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        is_child = true;
        steps_on = false;
        interrupted->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
        return;
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fprintf(stderr, "fork %ld, after %ld instructions: wait status %x\n", forks, steps, status);
        _exit(1);
    }
    forks++;
}

static void set_trap_flag(bool on)
{
    steps_on = on && !is_child;
    if (on)
        __asm__ volatile("pushfq; orl $0x100, (%%rsp); popfq" ::: "memory", "cc");
    else
        __asm__ volatile("pushfq; andl $~0x100, (%%rsp); popfq" ::: "memory", "cc");
}

/* The call is over. */
static void end_child(void)
{
    char *blocks[BLOCKS];
    if (!is_child)
        return;
    for (int i = 0; i < BLOCKS; i++) {
        CHECK((blocks[i] = malloc(16 + 900 * (size_t)i)) != NULL);
        test_mark(blocks[i], 16 + 900 * (size_t)i);
    }
    for (int i = 0; i < BLOCKS; i++) {
        CHECK(test_marked(blocks[i], 16 + 900 * (size_t)i));
        free(blocks[i]);
    }
    _exit(0);
}

static void malloc_and_free(size_t bytes)
{
    set_trap_flag(true);
    char *block = malloc(bytes);
    set_trap_flag(false);
    CHECK(block != NULL);
    test_mark(block, bytes);
    end_child();
    CHECK(test_marked(block, bytes));
    set_trap_flag(true);
    free(block);
    set_trap_flag(false);
    end_child();
}

int main(int argc, char **argv)
{
    (void)argc;
    setenv("HOLDFAST_BACKING", "4k", 0);
    test_on_arena(argv, "16M");
    struct sigaction action = { .sa_sigaction = step, .sa_flags = SA_SIGINFO };
    CHECK(sigaction(SIGTRAP, &action, NULL) == 0);
    free(malloc(1)); /* the thread has its theap */
    malloc_and_free(100000);
    malloc_and_free(7000);
    CHECK(forks > 100);
    return 0;
}

#else

int main(void)
{
    return 77; /* no trap flag known */
}

#endif
