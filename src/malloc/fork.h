/*
 * fork: what a process is told before its first fork, and what a forked child does before it goes
 * on.
 */
#ifndef HFI_FORK_H
#define HFI_FORK_H

/* Registers the handlers (pthread_atfork).  Called once by init. */
void hfi_fork_init(void);

#endif
