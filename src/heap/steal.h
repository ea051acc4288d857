/*
 * steal: claiming idle pages of a node, and stealing pages of threads that sleep.
 *
 * Any thread, lock-free, bounded: a candidate that another thread claims is
 * skipped, and after a few the answer is "none".
 */
#ifndef HFI_STEAL_H
#define HFI_STEAL_H

#include "base/base.h"

struct arena_node;
struct page;
struct theap;

/* Of an idle set, looked at by a call that has other places to go. */
#define HFI_CLAIM_CANDIDATES ((size_t)8)

/* A run of `class` on `node` that was unowned and has ample room, now owned by `theap` of this
 * thread.  NULL when none of the first `candidates` members of the set was claimed.  Without a
 * theap the page stays unowned: the caller lets go of it at once. */
struct page *hfi_claim_ample(struct theap *theap, struct arena_node *node, unsigned class, size_t candidates);

/* The same, of those with less room. */
struct page *hfi_claim_scant(struct theap *theap, struct arena_node *node, unsigned class, size_t candidates);

/* The same of the reserve: for those who may. */
struct page *hfi_claim_reserve(struct theap *theap, struct arena_node *node, unsigned class,
                               size_t candidates);

/* Registers with the kernel what hfi_steal_asleep needs.  Called once. */
void hfi_steal_init(void);

/* What a stealer got. */
struct stolen {
    uint32_t pages;  /* let go of */
    uint32_t blocks; /* returned from magazines to their pages */
    bool more;       /* a theap had more pages than one visit takes */
};

/* Steals from some theaps whose threads are not inside malloc or free, without their help.  Takes
 * pages with room on `node` and makes them idle or free, and returns the blocks of their magazines
 * to their pages.  `*next` walks the list of all theaps (hfi_theap_first); NULL at its end.
 * `theap` is the thread's own, or NULL.  Two membarrier system calls. */
struct stolen hfi_steal_asleep(struct theap *theap, const struct arena_node *node, struct theap **next);

#endif
