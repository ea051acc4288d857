/*
 * fork: what a process is told before its first fork, and what a forked child does before it goes
 * on.
 */
#ifndef HFI_FORK_H
#define HFI_FORK_H

/* Registers the handlers (pthread_atfork), once.  A child that is forked before the arena stands has
 * none, and may make one. */
void hfi_fork_watch(void);

/* Once there is an arena: does what HOLDFAST_FORK asks for.  Called by init. */
void hfi_fork_init(void);

#endif
