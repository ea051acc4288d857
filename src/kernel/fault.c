/*
 * fault: see fault.h.
 *
 * Test: tests/programs/checked.c.
 */
#include "kernel/fault.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>

#include "base/atomic.h"

static void (*told)(const void *address); /* const once the handler is there */

/* The C library's own, by a name that no program has. */
int __sigaction(int number, const struct sigaction *action, struct sigaction *old);

/* The instruction is tried again, and ends the process. */
static void handle(int number, siginfo_t *info, void *context)
{
    int saved_errno = errno;
    (void)context;
    struct sigaction action = { .sa_handler = SIG_DFL };
    __sigaction(number, &action, NULL);
    told(info->si_addr);
    errno = saved_errno;
}

void hfi_fault_watch(void (*tell)(const void *address))
{
    static _Atomic(bool) xwatches;
    struct sigaction action;
    if (!hfi_first_time(&xwatches) || __sigaction(SIGSEGV, NULL, &action) != 0 ||
        (action.sa_flags & SA_SIGINFO) || action.sa_handler != SIG_DFL)
        return;
    told = tell;
    action = (struct sigaction){ .sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    __sigaction(SIGSEGV, &action, NULL);
}
