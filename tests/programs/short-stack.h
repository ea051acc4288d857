/*
 * short-stack: a call on 4.4 KiB of stack, which is what a signal handler has at least: of the 8 KiB
 * of an alternate stack the kernel's frame takes up to 3.6 (AVX-512).  On AArch64 it is 5 KiB: that
 * frame takes 4.6 KiB and more, and an alternate stack has 16.
 *
 * The program is to be bound at start (LD_BIND_NOW): a first call that the loader binds takes 3 KiB.
 */
#ifndef SHORT_STACK_H
#define SHORT_STACK_H

#include <sys/mman.h>
#include <ucontext.h>

#include "test.h"

#ifdef __aarch64__
#define SHORT_STACK_BYTES 5120
#else
#define SHORT_STACK_BYTES 4506
#endif
#define SHORT_STACK_BELOW 128 /* of makecontext, and of the caller of the call */

/* Whoever needs more meets memory without access. */
static inline void test_on_short_stack(void (*call)(void))
{
    size_t guard = 16384, most = 65536;
    ucontext_t here, there;
    char *memory = mmap(NULL, most, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED && mprotect(memory, guard, PROT_NONE) == 0);
    CHECK(getcontext(&there) == 0);
    there.uc_stack.ss_sp = memory + guard;
    there.uc_stack.ss_size = SHORT_STACK_BYTES + SHORT_STACK_BELOW;
    there.uc_link = &here;
    makecontext(&there, call, 0);
    CHECK(swapcontext(&here, &there) == 0 && munmap(memory, most) == 0);
}

#endif
