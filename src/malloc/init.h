/*
 * init: from the first malloc to a standing arena.
 */
#ifndef HFI_INIT_H
#define HFI_INIT_H

#include "heap/theap.h"
#include "malloc/fork.h"

/* This thread's theap.  The first call of all sets the arena up; a thread's first call gives it a
 * theap.  NULL while the arena is being set up (boot.h serves), in a child that has none, or when
 * no memory for a theap is left. */
struct theap *hfi_init_thread_anew(void);

HFI_INLINE struct theap *hfi_init_thread(void)
{
    struct theap *theap = hfi_theap;
    return hfi_likely(theap->thread != 0 && !hfi_fork_is_pending()) ? theap : hfi_init_thread_anew();
}

#endif
