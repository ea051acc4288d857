/*
 * steal: taking over idle pages of a node.
 *
 * Any thread, lock-free, bounded: a candidate that somebody else wins is
 * skipped, and after a few the answer is "none".
 */
#ifndef HFI_STEAL_H
#define HFI_STEAL_H

#include "theap.h"

/* A run of `class` on `node` that nobody owned and that has room, now owned by
 * `theap` of this thread; NULL when none was won. */
struct page *hfi_steal_idle(struct theap *theap, struct arena_node *node, unsigned class);

#endif
