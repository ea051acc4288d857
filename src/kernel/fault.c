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

/* The instruction is tried again, and ends the process. */
static void handle(int number, siginfo_t *info, void *context)
{
    int saved_errno = errno;
    (void)context;
    signal(number, SIG_DFL);
    told(info->si_addr);
    errno = saved_errno;
}

void hfi_fault_watch(void (*tell)(const void *address))
{
    static _Atomic(bool) xwatches;
    struct sigaction action;
    if (!hfi_first_time(&xwatches) || sigaction(SIGSEGV, NULL, &action) != 0 ||
        (action.sa_flags & SA_SIGINFO) || action.sa_handler != SIG_DFL)
        return;
    told = tell;
    action.sa_sigaction = handle;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, NULL);
}
