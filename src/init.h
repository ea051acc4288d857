/*
 * init: from the first malloc to a standing arena, and a thread's first and last call.
 */
#ifndef HFI_INIT_H
#define HFI_INIT_H

#include "options.h"
#include "theap.h"

/* This thread's theap, given to it now if it has none.  NULL while the arena is
 * being set up (boot.h serves) or when no memory for a theap is left. */
struct theap *hfi_thread_attach(void);

/* The node of the CPU this thread runs on now, or the nearest with an arena. */
struct arena_node *hfi_thread_node(void);

/* Whether calls are to be served by boot.h: the arena does not stand yet, or this
 * is a child that HOLDFAST_FORK=dontfork left without it. */
bool hfi_init_pending(void);

/* False once this thread's exit hook has run: its frees no longer attach a theap. */
bool hfi_thread_may_attach(void);

/* At the end of each call that may have attached a theap: lets go of it at once, where the thread has ended but for other
 * destructors, none of which is sure to be followed by one of ours. */
void hfi_thread_served(void);

/* For fork.c: this thread has no theap any more; its pages are somebody else's business. */
void hfi_thread_forget(void);

/* For fork.c: the child of HOLDFAST_FORK=dontfork has no arena. */
void hfi_init_forsake_arena(void);

#endif
