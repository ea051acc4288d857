/*
 * thread: a thread's first and last call: its theap is given to it, and taken over when it ends.
 *
 * The arena stands.  All here is about the calling thread.
 */
#ifndef HFI_THREAD_H
#define HFI_THREAD_H

#include "base/base.h"

struct arena_node;
struct theap;

/* Prepares for the ends of threads.  Called once. */
void hfi_thread_init(void);

/* This thread's theap, given to it now if it has none; NULL when no memory for one is left. */
struct theap *hfi_thread_attach(void);

/* The node of the CPU this thread runs on now, or the nearest with an arena. */
struct arena_node *hfi_thread_node(void);

/* False once this thread's exit hook has run: its frees no longer attach a theap. */
bool hfi_thread_may_attach(void);

/* Ends each call that may have attached a theap.  Lets go of it at once where the thread has ended
 * except for other destructors.  None of these is sure to be followed by one of ours. */
void hfi_thread_served(void);

/* This thread has no theap any more, and nothing that leads to one; its pages are somebody else's
 * business.  Touches no block. */
void hfi_thread_forget(void);

#endif
