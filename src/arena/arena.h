/*
 * arena: the 64 KiB pages of each node, claimed and released as runs.
 *
 * Below it lie the reservation (reserve.h) and the free-run map (runmap.h);
 * above it nobody knows about either.  A growing (auto) arena extends itself
 * here, in steps ahead of use; a named arena never makes a system call again.
 *
 * Thread-safe and lock-free except hfi_arena_init.
 */
#ifndef HFI_ARENA_H
#define HFI_ARENA_H

#include <holdfast/holdfast.h>

#include "base/base.h"
#include "arena/runmap.h"
#include "arena/idleset.h"
#include "arena/prefault.h"
#include "arena/pagetable.h"
#include "numa/plan.h"
#include "arena/sizeclass.h"

struct arena_node {
    unsigned index;         /* const: index in hfi_arena.nodes */
    unsigned id;            /* const: the kernel's number */
    size_t first_index;     /* const: page index (pagetable.h) of bit 0 */
    size_t page_count;      /* const */
    size_t meta_pages;      /* const: pages at the front that hold the maps below, and those set aside for
                         * theaps behind them */
    size_t set_aside_first; /* const: page index of those */
    size_t set_aside_count; /* const */
    _Atomic(size_t) xset_aside_used;       /* atomic: pages of them given out, or asked for in vain */
    struct runmap free_runs;               /* atomic inside */
    struct runmap refused;                 /* atomic inside: pages before xfrontier that are not open */
    struct idleset ample[HFI_CLASS_COUNT]; /* atomic inside: unowned runs, with ample_blocks free or
                                             * more */
    struct idleset scant[HFI_CLASS_COUNT]; /* atomic inside: with less, taken when there is nothing else */
    struct idleset pieces;                 /* atomic inside: pages of heaps with free pieces (pieces.h) */
    /* The reserve: members from reserve_first on.  The maps are there if reserve_count is not 0. */
    size_t reserve_first;                         /* const */
    size_t reserve_count;                         /* const */
    char *reserve_memory;                         /* const: HFI_RESERVE_ENTRIES for its pages (pieces.c) */
    struct runmap reserve_runs;                   /* atomic inside: its free pages */
    struct idleset reserve_idle[HFI_CLASS_COUNT]; /* atomic inside: its unowned runs with room */
    struct idleset reserve_pieces;                /* atomic inside: its pages with free pieces */
    _Atomic(bool) xreserve_used;                  /* atomic: it was begun upon, and was not whole since */
    _Atomic(size_t) xreserve_uses;                /* atomic: times that it was begun upon */
    _Atomic(size_t) xlow_used;     /* atomic: pages from here up to xhigh_used were never handed out: zero */
    _Atomic(size_t) xhigh_used;    /* atomic: single pages come from below, runs from above */
    _Atomic(size_t) xmost_used;    /* atomic: most pages ever in use, as seen when it is shown */
    _Atomic(uint64_t) xmost_ticks; /* atomic: when that was */
    _Atomic(size_t) xfrontier;     /* atomic: pages given to free_runs, or about to be, or refused */
    _Atomic(size_t) xmaps_open; /* atomic: owners[] and table are writable for pages up to here (growing) */
    _Atomic(bool) xgrowing;     /* atomic: a thread opens a step ahead of use */
    _Atomic(size_t) xlook_at;   /* atomic: so many open pages, from which on other places than closed pages
                                    * are looked at before more are opened (hfi_arena_look_first) */
    _Atomic(struct theap *)
        xlook_from;                /* atomic: the theap that the next look begins with; NULL: the first */
    _Atomic(size_t) xtheap_pages;  /* atomic: pages that hold theaps, or are lost for now (harden.c) */
    _Atomic(size_t) xtheap_count;  /* atomic: theaps in use whose home is here */
    _Atomic(size_t) xidle_pages;   /* atomic: pages of unowned runs with room; below zero for a
                                   * moment (page.c) */
    _Atomic(size_t) xlarge_pages;  /* atomic: pages in large runs */
    _Atomic(size_t) xheap_pages;   /* atomic: pages of heaps of the program */
    _Atomic(size_t) xheap_free;    /* atomic: pieces in these that no heap has */
    _Atomic(size_t) xsparse_pages; /* atomic: of a growing arena, pages of runs of blocks some of which malloc
                                    * never gave out (page.c) */
    _Atomic(size_t) xdense_pages;  /* atomic: pages of the other runs of blocks, likewise */
    _Atomic(size_t) xclass_pages[HFI_CLASS_COUNT]; /* atomic: pages of runs cut into each class */
};

struct arena {
    unsigned node_count;            /* const, except for hfi_arena_forsake */
    size_t page_count;              /* const: over all nodes */
    struct reservation reservation; /* const */
    struct arena_node nodes[HFI_MAX_NODES];
};

extern struct arena hfi_arena;

/* What a small program gets by with: an auto arena opens no step across so many pages ahead of use,
 * and is not shown before. */
#define HFI_FIRST_PAGES 128u

/* This thread has opened a step of an auto arena since it cleared this. */
extern HFI_HIDDEN HFI_TLS bool hfi_arena_grew;

/* This thread has populated a chunk itself, or waited for others to, since it cleared this. */
extern HFI_HIDDEN HFI_TLS bool hfi_arena_forced;

/* Takes over a reservation: page maps are laid at the front of each node.  0, or -ENOSPC when a
 * node is too small to hold its own maps, or what the kernel said (-ENOMEM) when it would not open
 * them.  Not thread-safe. */
int hfi_arena_init(const struct reservation *reservation);

/* Names a table of another room, of a growing arena: `entry_bytes` for each page, the first entry
 * that of page index `first_index`.  It is readable now, and becomes writable together with the
 * page table.  One table, before there are threads.  0 or -errno. */
int hfi_arena_follow(char *start, size_t first_index, size_t entry_bytes);

/* Memory that each node has for the reserve's pages: so many of them have one page of it. */
#define HFI_RESERVE_ENTRIES 12u

/* Whether a member of a node is of the reserve (arena-reserve.c). */
HFI_INLINE bool hfi_arena_is_reserve(const struct arena_node *node, size_t member)
{
    return member - node->reserve_first < node->reserve_count;
}

/* Where a run is looked for. */
enum claim {
    CLAIM_LOW,   /* from the lowest window on, by hints: runs that are cut into blocks */
    CLAIM_HIGH,  /* from the highest window on, by hints: runs that are one block */
    CLAIM_EXACT, /* from the lowest page on, every page looked at, before answering NULL */
};

/* Claims a run of `pages` pages whose address is a multiple of `align_bytes` (a power
 * of two of at least 64 KiB).  Returns the head's entry, with run_pages set, or NULL.  *zero
 * tells that the memory was never used. */
struct page *hfi_arena_claim(struct arena_node *node, size_t pages, size_t align_bytes, enum claim where,
                             bool *zero);

/* The same of what is open of a growing arena. */
struct page *hfi_arena_claim_open(struct arena_node *node, size_t pages, size_t align_bytes, enum claim where,
                                  bool *zero);

/* A growing arena is about to open more.  How many pages of the node are open, where this thread is to look
 * first for what other theaps keep, and no other thread does meanwhile.  0: not now, and the arena may
 * grow.  Then hfi_arena_looked tells how many pages that gave.  Where it was worth it, the next thread that
 * finds nothing looks again; otherwise one does when an eighth more is open. */
size_t hfi_arena_look_first(struct arena_node *node);
void hfi_arena_looked(struct arena_node *node, size_t open, size_t gained);

/* Gives back `pages` pages (perhaps none) from `first` on.  Owners must be HFI_OWNER_NONE
 * already. */
void hfi_arena_release(struct page *first, size_t pages);

/* Claims exactly the `pages` pages from `first` on, when all are free and of `node`. */
bool hfi_arena_claim_at(struct arena_node *node, struct page *first, size_t pages, bool *zero);

/* As hfi_arena_claim, of the node's reserve: for those who may. */
struct page *hfi_arena_claim_reserve(struct arena_node *node, size_t pages, size_t align_bytes, bool *zero);

/* True for the one who begins upon a reserve that was whole. */
bool hfi_arena_reserve_begun(struct arena_node *node);

/* The pages of the reserve that are in use. */
size_t hfi_arena_reserve_used(const struct arena_node *node);

/* The map that has a member's bit while it is free. */
HFI_INLINE struct runmap *hfi_arena_map_of(struct arena_node *node, size_t member)
{
    return hfi_arena_is_reserve(node, member) ? &node->reserve_runs : &node->free_runs;
}

/* One page for Holdfast's own structures, zeroed, never released; NULL when none is left. */
void *hfi_arena_claim_meta(struct arena_node *node);

HFI_INLINE struct arena_node *hfi_node_of_page(const struct page *page)
{
    return &hfi_arena.nodes[page->node];
}

/* Member number of a page in its node's idle sets. */
HFI_INLINE size_t hfi_node_member(const struct arena_node *node, const struct page *page)
{
    return hfi_page_index(page) - node->first_index;
}

/* Pages that an auto arena, or one populated in the background, has yet to open. */
HFI_INLINE size_t hfi_arena_unopened_pages(const struct arena_node *node)
{
    /* relaxed: counts that others change meanwhile */
    return node->page_count - hfi_load_relaxed(&node->xfrontier) +
           hfi_load_relaxed(&node->refused.xset_count) +
           hfi_prefault_closed_bytes(node->index) / HFI_PAGE_BYTES;
}

/* The longest run that can be had: of free pages, or with those that an auto arena has yet to
 * open. */
size_t hfi_arena_longest_run(const struct arena_node *node);

/* Pages free to claim now, and those yet to be opened. */
HFI_INLINE size_t hfi_arena_free_pages(const struct arena_node *node)
{
    /* relaxed: a count that others change meanwhile */
    return hfi_load_relaxed(&node->free_runs.xset_count) + hfi_arena_unopened_pages(node);
}

/* Pages of unowned runs with room. */
HFI_INLINE size_t hfi_arena_idle_pages(const struct arena_node *node)
{
    size_t pages = hfi_load_relaxed(&node->xidle_pages); /* relaxed: a count that others change meanwhile */
    return pages > node->page_count ? 0 : pages;
}

/* A node in pages.  Read one after the other while others work, and cut so that at any time
 *     free + failed + used == total,  unopened <= free,  meta + large + heaps + idle + owned == used.
 * All figures of nodes begin here: those of the inspection segment, of hf_stats, of mallinfo2 and of
 * the report of a full arena. */
struct arena_figures {
    size_t total;
    size_t free;       /* claimable now, and those yet to be opened */
    size_t unopened;   /* of `free` */
    size_t reserve;    /* of `free`: of the reserve */
    size_t failed;     /* could not be populated, and are never given out */
    size_t used;       /* handed out or held */
    size_t meta;       /* of `used`: Holdfast's own structures */
    size_t large;      /* of `used`: in blocks of whole pages */
    size_t heaps;      /* of `used`: of heaps of the program */
    size_t idle;       /* of `used`: in unowned runs with room, if only for one block */
    size_t owned;      /* of `used`, the rest: in runs that a theap owns, and unowned full ones */
    size_t high_water; /* most ever used, as seen when it is shown, and now */
};

void hfi_arena_figures(const struct arena_node *node, struct arena_figures *figures);

/* Shows readers of the inspection segment what of a node is free and used now, and for what, and the
 * most that was used. */
void hfi_arena_show(struct arena_node *node);

/* In a forked child: who was growing a node is gone. */
void hfi_arena_forked(void);

/* In a forked child whose arena is not mapped: there is no node to ask or to take from. */
void hfi_arena_forsake(void);

/* The arena is made once.  hfi_arena_begin: true for the one thread that is to make it;
 * hfi_arena_stand: what was made may be seen.  Until then, and in a child that forsook it, boot.h
 * serves. */
bool hfi_arena_begin(void);
void hfi_arena_stand(void);
bool hfi_arena_is_standing(void);
bool hfi_arena_is_being_made(void);

/* In a forked child: where another thread was making the arena, which is gone, it is missing again.
 * What that thread had mapped stays, out of use: it may have been about to give it back. */
bool hfi_arena_unmake(void);

/* Pages that could not be populated in the background, and are never given out. */
size_t hfi_arena_failed_pages(const struct arena_node *node);

/* Bytes populated so far; of an auto arena, opened so far. */
size_t hfi_arena_populated_bytes(const struct arena_node *node);

/* Opens some of what was populated in the background since. */
void hfi_arena_open_populated(struct arena_node *node);

/* Populates a chunk here and now, where no ring does it: in a forked child, or where the kernel
 * refused.  False when there is no such chunk. */
bool hfi_arena_open_by_force(void);

/* NULL, or the broken invariant; only while no other thread is in a call. */
const char *hfi_arena_audit(const struct arena_node *node);

/* The same of the idle sets of a class. */
const char *hfi_arena_audit_idle(const struct arena_node *node, unsigned class);

/* --- how much of a node is free (arena-level.c) --- */

/* Under one page of so many a node is low, or scarce. */
#define HFI_LEVEL_LOW_SHARE 8u
#define HFI_LEVEL_SCARCE_SHARE 32u

extern HFI_HIDDEN _Atomic(int) hfi_xlevels[HFI_MAX_NODES]; /* atomic: enum hf_level, by the kernel's number */

/* Of a node without an arena: full.  Before there is an arena: plenty. */
HFI_INLINE enum hf_level hfi_level_of(unsigned id)
{
    /* relaxed: a hint, which leads nowhere */
    return id < HFI_MAX_NODES ? (enum hf_level)hfi_load_relaxed(&hfi_xlevels[id]) : HF_LEVEL_FULL;
}

/* The node's free pages have become more or less: each claim and release ends so. */
void hfi_level_follow(const struct arena_node *node);

/* The arena has been made. */
void hfi_level_begin(void);

/* There is no arena: it is to be made again, or never. */
void hfi_level_set_all(enum hf_level level);

/* NULL, or the broken invariant; only while no other thread is in a call. */
const char *hfi_level_audit(const struct arena_node *node);

/* --- low-water marks of nodes (arena-marks.c) --- */

#define HFI_MARKS 8u            /* of each node */
#define HFI_MARK_AGAIN_SHARE 8u /* of a mark: so much over it, it is armed again */

extern HFI_HIDDEN _Atomic(unsigned) hfi_xmarks_count; /* atomic: marks that are set */

/* atomic: perhaps one is to be told of */
extern HFI_HIDDEN _Atomic(bool) hfi_xmarks_due;

/* The count of free pages has changed. */
void hfi_marks_follow(const struct arena_node *node);

/* Mark `slot`, which no other thread sets or clears meanwhile: due with less than `low_pages` free. */
void hfi_mark_set(const struct arena_node *node, unsigned slot, size_t low_pages);
void hfi_mark_clear(const struct arena_node *node, unsigned slot);

/* Of a mark that is due, to one thread: the pages that are missing until it is armed again.  0 of
 * others. */
size_t hfi_mark_tell(const struct arena_node *node, unsigned slot);

/* NULL, or the broken invariant; only while no other thread is in a call. */
const char *hfi_marks_audit(const struct arena_node *node);

/* --- what the kernel says of memory (arena-psi.c) --- */

/* Says so where HOLDFAST_PSI can do nothing.  Before there are threads. */
void hfi_psi_begin(bool growing);

/* A node has grown by so many pages, which took system calls: so may this. */
void hfi_psi_follow(const struct arena_node *node, size_t pages);

/* To one thread, when it is due: the node and by how much it has grown; else NULL. */
const struct arena_node *hfi_psi_tell(size_t *pages);

/* --- for arena.c alone (arena-reserve.c) --- */

/* How many pages the reserve of a node has, whose other maps take `meta_pages`; says so if that is not
 * what was asked for.  And the bytes of maps that it needs. */
size_t hfi_reserve_plan(const struct arena_node *node, size_t meta_pages, bool growing);
size_t hfi_reserve_maps_bytes(size_t page_count, size_t reserve_count);
void hfi_reserve_init_maps(struct arena_node *node, char *memory);

/* Sets the bits of pages that are free from here on: those of the reserve in its map. */
void hfi_arena_set_free(struct arena_node *node, size_t first, size_t pages);

/* The end of a claim: the page's entry is filled. */
struct page *hfi_arena_hand_out(struct arena_node *node, size_t first, size_t pages, bool *zero);

/* NULL, or the broken invariant; only while no other thread is in a call. */
const char *hfi_reserve_audit(const struct arena_node *node);

/* --- for arena.c alone (arena-grow.c) --- */

/* Opens the next step of a growing node, so that it has a run of `pages`.  False, and nothing is
 * opened, when it would have none, or the kernel refuses.  One thread at a time goes ahead of use;
 * others, which would each populate as much, open little more than they need. */
bool hfi_arena_grow(struct arena_node *node, size_t pages, size_t align);

/* Opens pages of a growing node, and the maps that tell of them.  0 or -errno. */
int hfi_arena_open_pages(struct arena_node *node, size_t first, size_t pages);

#endif
