/*
 * fork: what a process is told before its first fork, and what a forked child does before it goes
 * on.
 */
#ifndef HFI_FORK_H
#define HFI_FORK_H

#include "base/atomic.h"

/* atomic: forks whose handlers have begun and not ended; one may come within another.  While it is 0,
 * this process has nothing to take over. */
extern HFI_HIDDEN _Atomic(uint32_t) hfi_xforks_under_way;

/* Whether the word that forks wipe is wiped. */
bool hfi_fork_is_wiped(void);

/* In a forked child: whether the child has yet to take over what its parent had.  Another library's
 * handler, which was registered before ours, may run, or have started this thread.  A thread without
 * a theap does without the arena until then: boot.h serves it, and what it frees there is lost.  A
 * thread with a theap is the one that forked.
 *
 * A child of clone or _Fork is wiped as well, but runs no handlers, and goes on as its parent did.
 * The count is read first: before_fork raises it last, and child_after_fork lowers it last. */
HFI_INLINE bool hfi_fork_is_pending(void)
{
    return hfi_unlikely(hfi_load_acquire(&hfi_xforks_under_way) != 0) && hfi_fork_is_wiped();
}

/* While that is pending, by the thread that forked, and has not entered (theap.h): takes over before
 * it uses what others may have changed.  It may come back without a theap, or without an arena. */
void hfi_fork_take_over(void);

/* Registers the handlers (pthread_atfork), once.  A child that is forked before the arena stands has
 * none, and may make one. */
void hfi_fork_watch(void);

/* Once there is an arena: does what HOLDFAST_FORK asks for.  Called by init. */
void hfi_fork_init(void);

#endif
