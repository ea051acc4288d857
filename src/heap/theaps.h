/*
 * theaps: every theap there is.
 *
 * A thread gets one at its first slow path and puts it up when it ends, for the next thread.  All
 * of them are in one list, in use or not, which anybody may walk at any time.  hfi_theap_new and
 * hfi_theap_end are thread-safe and take no lock.
 */
#ifndef HFI_THEAPS_H
#define HFI_THEAPS_H

#include "base/base.h"

struct arena_node;
struct theap;

/* A theap for this thread on `node`, recycled or new; NULL when the node is full. */
struct theap *hfi_theap_new(struct arena_node *node);

/* Makes `node` a theap's home; pages it has stay where they are. */
void hfi_theap_move(struct theap *theap, struct arena_node *node);

/* The thread ends: lets go of current pages. True when the theap's lists are the caller's, to be
 * ended (hfi_magazine_end_theap); false when a stealer has them, and will. */
bool hfi_theap_part(struct theap *theap);

/* Lets go of queued pages, and puts the theap up for the next thread. */
void hfi_theap_end(struct theap *theap);

/* In a forked child that took over: puts up every theap for the next threads.  Their pages were let
 * go of. */
void hfi_theaps_recycle(void);

/* In a forked child that cannot follow it: the list of all begins at `first`, or is empty
 * (NULL). */
void hfi_theaps_forsake(struct theap *first);

/* First theap of the list of all, in use or not; where that is told; and their number. */
struct theap *hfi_theap_first(void);
const void *hfi_theap_list(void);
uint32_t hfi_theaps_made(void);

/* How often a thread was given one, modulo 2^32. */
uint32_t hfi_theaps_given(void);

#endif
