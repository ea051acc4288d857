/*
 * steal: taking over idle pages of a node, and pages of threads that sleep on them.
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

/* Registers with the kernel what hfi_steal_asleep needs.  Called once. */
void hfi_steal_init(void);

/* Takes pages with room on `node` from a few theaps whose threads are not inside malloc or free, without their help, and lists
 * them as idle or free.  `*next` walks the list of all theaps (hfi_theap_first); NULL at its end.  True if any page was taken.
 * Two membarrier system calls. */
bool hfi_steal_asleep(struct theap *theap, const struct arena_node *node, struct theap **next);

#endif
