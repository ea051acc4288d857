/*
 * short-stack: a call on the stack that a signal handler has at least: 8 KiB, of which the kernel's
 * frame takes up to 3.6 (AVX-512), or 4.4 KiB beside what the processor says that frame takes.
 *
 * The program is to be bound at start (LD_BIND_NOW): a first call that the loader binds takes 3 KiB.
 */
#ifndef SHORT_STACK_H
#define SHORT_STACK_H

#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "test.h"

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif
#define SHORT_STACK_BYTES 8192
#define SHORT_STACK_OWN_BYTES 4506

static void (*test_short_stack_call)(void);

static inline void test_short_stack_handler(int signal)
{
    (void)signal;
    test_short_stack_call();
}

/* Whoever needs more meets a page without access. */
static inline void test_on_short_stack(void (*call)(void))
{
    size_t frame = getauxval(AT_MINSIGSTKSZ), guard = 4096, most = 64 * guard;
    size_t bytes = SHORT_STACK_BYTES;
    if (bytes < frame + SHORT_STACK_OWN_BYTES)
        bytes = (frame + SHORT_STACK_OWN_BYTES + 15) / 16 * 16;
    char *memory = mmap(NULL, most, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED && bytes <= most - guard && mprotect(memory, guard, PROT_NONE) == 0);
    stack_t stack = { .ss_sp = memory + guard, .ss_size = bytes }, before;
    struct sigaction action = { .sa_handler = test_short_stack_handler, .sa_flags = SA_ONSTACK };
    test_short_stack_call = call;
    CHECK(sigaltstack(&stack, &before) == 0 && sigaction(SIGUSR2, &action, NULL) == 0);
    CHECK(raise(SIGUSR2) == 0);
    CHECK(sigaltstack(&before, NULL) == 0 && munmap(memory, most) == 0);
}

#endif
