/*
 * steal: taking over idle pages of a node, and pages of threads that sleep on them.
 *
 * Any thread, lock-free, bounded: a candidate that somebody else wins is
 * skipped, and after a few the answer is "none".
 */
#ifndef HFI_STEAL_H
#define HFI_STEAL_H

#include "theap.h"

/* A run of `class` on `node` that nobody owned and that has ample room, now owned by
 * `theap` of this thread; NULL when none was won. */
struct page *hfi_steal_idle(struct theap *theap, struct arena_node *node, unsigned class);

/* The same, of those with less room. */
struct page *hfi_steal_scant(struct theap *theap, struct arena_node *node, unsigned class);

/* Registers with the kernel what hfi_steal_asleep needs.  Called once. */
void hfi_steal_init(void);

/* From a few theaps whose threads are not inside malloc or free, without their help: takes pages with room on `node`, and lists
 * them as idle or free, and returns what blocks their magazines hold to their pages.  `*next` walks the list of all theaps
 * (hfi_theap_first); NULL at its end.  True if anything came of it.  Two membarrier system calls. */
bool hfi_steal_asleep(struct theap *theap, const struct arena_node *node, struct theap **next);

#endif
