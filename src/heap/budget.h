/*
 * budget: what a theap may keep, by how much its node has left.
 *
 * While a node has much, a theap keeps pages and blocks that it will probably need again.  A page of
 * each size it uses is HFI_PAGES_OF_EACH_SIZE.  A node is tight when less is free than that for all its
 * theaps, and an eighth of it is used.  What its threads keep for themselves alone would then be the
 * rest of it.  Threads share pages there: each takes a few blocks of a page that others go on taking
 * from.  It keeps nothing empty or full, and gives up, a few classes per call, what it has not
 * needed of late.
 *
 * A thread that sleeps gives nothing up, and nobody can take what malloc's fast path may be looking
 * at.  So where a page of each size for all theaps is more than 1/HFI_CROWD_SHARE of a node, a thread
 * shares pages of a size until it has taken from one HFI_CROWD_SHARED times: about a page's worth.
 *
 * Of empty pages a theap keeps the node's size / HFI_KEPT_SHARE / theaps on the node, one at least.
 * On a tight node it keeps none.  A page that becomes empty there is retired, and slow paths retire
 * those that were kept before (hfi_theap_shed).  A thread that sleeps does not hear of later ones.
 * So the shares of n threads add up as 1 + 1/2 + ... + 1/n: what 64 sleeping threads keep empty is
 * at most 1/27 of a node of 512 MiB.
 *
 * Of full pages a theap queues 16, and more where the node has few theaps: HFI_FULL_ALL together, or
 * 1/HFI_FULL_SHARE of the node if that is less.  Into a page that is queued its own thread frees
 * without a CAS.  What others free there waits for that thread, or for a stealer.
 *
 * Any thread, by counts that others change meanwhile: a hint.  Asked at each decision anew.
 */
#ifndef HFI_BUDGET_H
#define HFI_BUDGET_H

#include "arena/arena.h"

#define HFI_PAGES_OF_EACH_SIZE 48u
#define HFI_CROWD_SHARE 4u
#define HFI_CROWD_SHARED 32u
#define HFI_KEPT_SHARE 128u
#define HFI_FULL_MAX 128u
#define HFI_FULL_ALL 384u
#define HFI_FULL_SHARE 32u

struct budget {
    bool shares;             /* takes a few blocks of a page, and lets go of it */
    uint32_t kept_pages;     /* pages of empty runs: so many at most (hfi_budget_kept) */
    uint32_t full;           /* full pages; a refill looks at each of them (hfi_budget_full) */
    uint32_t partial;        /* pages with room of one class that frees may claim */
    uint32_t shed_classes;   /* whose pages are looked at, to be given up, per call */
    uint32_t shed_magazines; /* the same of magazines */
    uint32_t list_bytes;     /* of a list of a magazine: in blocks of any class ... */
    uint32_t list_blocks;    /* ... and so many at most; a thread that hands on has twice both */
};

static const struct budget hfi_budget_roomy = {
    .kept_pages = HFI_KEPT_MAX,
    .full = 16,
    .partial = 16,
    .list_bytes = 4096,
    .list_blocks = 32,
};
static const struct budget hfi_budget_tight = {
    .shares = true,
    .kept_pages = 0,
    .shed_classes = 8,
    .shed_magazines = 4,
    .list_bytes = 1024,
    .list_blocks = 8,
};

/* Pages that its theaps would have with a page of each size. */
HFI_INLINE size_t hfi_budget_for_all(const struct arena_node *node)
{
    return hfi_load_relaxed(&node->xtheap_count) * HFI_PAGES_OF_EACH_SIZE; /* relaxed: a hint */
}

HFI_INLINE bool hfi_node_is_tight(const struct arena_node *node)
{
    size_t free_pages = hfi_arena_free_pages(node);
    /* what is closed is not to be counted on */
    if (hfi_unlikely(hfi_load_relaxed(&node->refused.xset_count) != 0))
        free_pages = hfi_load_relaxed(&node->free_runs.xset_count);
    return free_pages < hfi_min(node->page_count / 8 * 7, hfi_budget_for_all(node));
}

HFI_INLINE bool hfi_node_is_crowded(const struct arena_node *node)
{
    return hfi_budget_for_all(node) > node->page_count / HFI_CROWD_SHARE;
}

/* What a theap at home on `node` may keep now. */
HFI_INLINE const struct budget *hfi_budget(const struct arena_node *node)
{
    return hfi_node_is_tight(node) ? &hfi_budget_tight : &hfi_budget_roomy;
}

/* Full pages. */
HFI_INLINE uint32_t hfi_budget_full(const struct arena_node *node)
{
    size_t theaps = hfi_max(hfi_load_relaxed(&node->xtheap_count), 1); /* relaxed: a hint */
    size_t share = hfi_min(HFI_FULL_ALL, node->page_count / HFI_FULL_SHARE) / theaps;
    uint32_t least = hfi_budget(node)->full;
    return least == 0 ? 0 : (uint32_t)hfi_min(hfi_max(share, least), HFI_FULL_MAX);
}

/* Pages of empty runs. */
HFI_INLINE uint32_t hfi_budget_kept(const struct arena_node *node)
{
    size_t theaps = hfi_max(hfi_load_relaxed(&node->xtheap_count), 1); /* relaxed: a hint */
    size_t share = node->page_count / HFI_KEPT_SHARE / theaps;
    return (uint32_t)hfi_min(hfi_max(share, 1), hfi_budget(node)->kept_pages);
}

#endif
