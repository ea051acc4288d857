/*
 * fork: what a process is told before its first fork, and what a forked child does before it goes
 * on.
 */
#ifndef HFI_FORK_H
#define HFI_FORK_H

#include "base/base.h"

/* In a forked child, for a thread without a theap: whether the child has yet to take over what its
 * parent had.  Another library's handler, which was registered before ours, may have started this
 * thread.  Until then the thread does without the arena: boot.h serves it, and what it frees there
 * is lost. */
bool hfi_fork_is_pending(void);

/* Registers the handlers (pthread_atfork), once.  A child that is forked before the arena stands has
 * none, and may make one. */
void hfi_fork_watch(void);

/* Once there is an arena: does what HOLDFAST_FORK asks for.  Called by init. */
void hfi_fork_init(void);

#endif
