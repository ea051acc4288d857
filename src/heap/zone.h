/*
 * zone: pages kept together that are out of core files, for heaps with HF_HEAP_NODUMP.
 *
 * A zone is 2 MiB of the arena, on a boundary of as much, or for a longer run several of these.  The
 * kernel marks whole mappings: so a zone splits no huge page, and one system call serves 32 pages.
 * It goes back to the arena with its last page, into core files again.
 *
 * Any thread, lock-free; but a zone that comes or goes takes a system call.
 */
#ifndef HFI_ZONE_H
#define HFI_ZONE_H

#include "arena/arena.h"

#define HFI_ZONE_PAGES ((size_t)32)
#define HFI_ZONE_BYTES (HFI_ZONE_PAGES * HFI_PAGE_BYTES)

/* What is known of a zone: in meta pages, recycled for the same node, never unmapped. */
struct zone {
    HFI_CACHE_ALIGNED _Atomic(void *) xnext; /* atomic: in the stack of those without memory */
    _Atomic(uint64_t) xfree; /* atomic: a bit for each page that nobody has; whether it has memory; a tag */
    _Atomic(uint64_t) xpartial;    /* atomic: hints to pages with free pieces */
    _Atomic(struct page *) xfirst; /* const while it has memory */
    size_t pages;                  /* const while it has memory; more than HFI_ZONE_PAGES: one run's */
    struct zone *next_all;         /* const once linked */
};

/* Why the kernel has last refused this thread to keep memory out of core files; 0: it did not. */
extern HFI_HIDDEN HFI_TLS int hfi_zone_error;

/* Whether a node's OS pages are as small as a zone. */
HFI_INLINE bool hfi_zone_fits(const struct arena_node *node)
{
    return hfi_arena.reservation.nodes[node->index].os_page_bytes <= HFI_ZONE_BYTES;
}

/* How many pages of the arena a zone for a run of `pages` is made of. */
HFI_INLINE size_t hfi_zone_pages(size_t pages)
{
    return hfi_align_up(pages, HFI_ZONE_PAGES);
}

/* Claims a run of pages in a zone of the node that has memory, at an address that is a multiple of
 * `align_bytes`.  Returns its head's entry, with run_pages set; NULL: there is none, or with `exact`
 * false, none among a few. */
struct page *hfi_zone_claim(struct arena_node *node, size_t pages, size_t align_bytes, bool exact,
                            struct zone **zone);

/* Makes pages that this thread has just claimed, on a boundary of a zone, a zone, and its first `pages`
 * a run.  NULL, and the pages are given back, where no memory is left to know about it, or the kernel
 * refuses (hfi_zone_error). */
struct zone *hfi_zone_make(struct page *first, size_t pages);

/* Gives a run back. */
void hfi_zone_give(struct zone *zone, struct page *page, size_t pages);

/* A page of it has free pieces. */
void hfi_zone_add(const struct arena_node *node, struct zone *zone, const struct page *page);

/* Where a search begins: of all zones with `exact`, else where something is probably free. */
struct zone *hfi_zone_begin(const struct arena_node *node, bool exact);

/* Takes a hint to such a page, of zone *at or one behind it; NULL: there is none among so many.  *at:
 * where it was. */
struct page *hfi_zone_take(struct zone **at, size_t *looks);

/* In a forked child of a process with threads: its zones have no memory.  In one without the arena:
 * there are none. */
void hfi_zones_forked(void);
void hfi_zones_forsake(void);

/* NULL, or the broken invariant; only while no other thread is in a call. */
const char *hfi_zones_audit(const struct arena_node *node);

#endif
