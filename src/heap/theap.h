/*
 * theap: one thread's part of the heap.
 *
 * A direct table from small size to page, a queue of pages per class, a few full pages, and a few
 * empty ones that it keeps.  A theap owns its pages alone; nothing here is thread-safe.  Its memory
 * comes from hfi_arena_claim_meta and is recycled (theaps.h), never unmapped: a stale pointer to a
 * theap always points at a theap.
 */
#ifndef HFI_THEAP_H
#define HFI_THEAP_H

#include "arena/sizeclass.h"
#include "arena/pagetable.h"
#include "base/check.h"
#include "heap/counters.h"

struct arena_node;

#define HFI_SLOW_BUCKETS 32u /* of 2^i up to 2^(i+1) ticks (cpu.h); the last is open */

struct theap_class {
    struct page_front *front;  /* of the current page; hfi_empty_front when there is none */
    struct page_queue partial; /* lists: owned pages with room */
    bool recent;               /* refilled since hfi_theap_shed last passed */
    uint8_t shared;            /* owner: times it took a few blocks of a page as one of a crowd (budget.h) */
};

/* Blocks of other threads' pages that this thread freed: magazine.h.  A reader in another process
 * counts them (<holdfast/inspect.h>):
 *   |loaded.free| == loaded.capacity - loaded.used
 *   |incoming| == incoming_limit - incoming_room */
struct magazine {
    HFI_CACHE_ALIGNED struct page_front loaded; /* owner: stands in for the current page */
    struct block *incoming;                     /* lists: freed since the last load */
    struct block *previous;                     /* lists: older, on the way back to their pages */
    uint32_t incoming_room;   /* lists: blocks that `incoming` takes before it is asked again whether it may
                              * have more */
    uint32_t incoming_limit;  /* lists: blocks that it has, and that room */
    uint32_t previous_blocks; /* lists */
    bool recent;              /* owner: loaded since hfi_magazine_shed last passed */
};

/* Who may touch a theap's lists of pages, and of blocks in magazines ("lists" in the comments
 * below). */
enum theap_state {
    THEAP_GONE,   /* nobody has it */
    THEAP_LIVE,   /* its thread */
    THEAP_SEIZED, /* a stealer, for a moment; its thread does without them */
    THEAP_ENDED,  /* a stealer, to the end: its thread has ended meanwhile */
};

/* What a theap without a slot in the inspection segment has added to a node's sums there
 * (figures.c). */
struct theap_added {
    struct counters counters;
    uint64_t kept, in_use;
    uint32_t node; /* whose sums have in_use and kept */
};

/* What came and went since a theap was last judged (M7 in magazine.c): `listed` and `freed` are
 * counters of then. */
struct theap_trade {
    uint64_t listed, freed;
    uint64_t returned; /* blocks from magazines to their pages */
};

struct theap {
    _Atomic(uint32_t) xbusy;   /* atomic: the owner is inside a call that may touch queued pages; the owner
                               * alone writes it */
    _Atomic(uint32_t) xstate;  /* atomic: enum theap_state */
    _Atomic(uintptr_t) xfrees; /* atomic: the piece that it holds, while the owner frees a block there without
                                * a pin (hold.h), or 0; the owner alone writes it */
    _Atomic(uint32_t) xqueued; /* atomic: pages in partial and full, for stealers to see whether to try; the
                                * lists' holder writes it */
    _Atomic(bool) xmagazines;  /* atomic: magazines were put into since a stealer came; likewise */
    uint32_t index;            /* const: number of this theap, its slot in the inspection segment */
    struct theap *next_all;    /* const once linked: list of all theaps */
    _Atomic(void *) xnext_free; /* atomic: in the list of recycled theaps */
    struct counters counters;   /* owner, except for `lost`; sums outlive the threads */
    uint64_t slow_ticks;        /* owner: spent in calls that looked beyond its own pages (figures.c), and how
                               * many of which length */
    uint32_t slow[HFI_SLOW_BUCKETS]; /* owner */
    uint32_t untimed;         /* owner: slow calls until one that its own pages serve is timed (latency.h) */
    struct theap_added added; /* owner, once there is a segment */
    struct theap_trade trade; /* owner */
    uint64_t thread_id;       /* owner: the kernel's id of the thread that has it, or had it last */
    uintptr_t thread;         /* owner, shown: its thread pointer; 0 in the empty theap and when recycled */
    struct arena_node *node;  /* owner, shown: home node, read again on slow paths */
    /* From here on zeroed for each owner. */
    bool lists_ours;                 /* owner, inside: xstate was THEAP_LIVE when it entered */
    _Atomic(bool) xends;             /* atomic: its thread, which alone writes, ends or has ended */
    bool hands_on;                   /* owner: malloc takes from magazines first (M7 in magazine.c) */
    uint32_t kept_next;              /* owner: slot to give up next */
    uint32_t kept_pages;             /* owner, shown: pages of all slots */
    uint32_t shed_next;              /* owner: class that hfi_theap_shed looks at next */
    uint32_t magazine_shed_next;     /* owner: class that hfi_magazine_shed looks at next */
    struct page *kept[HFI_KEPT_MAX]; /* owner: pages that were empty once and are kept */
    struct page_queue full;          /* lists: full pages, oldest first */
    struct theap_class classes[HFI_CLASS_COUNT];   /* owner, except for the lists in it */
    struct magazine magazines[HFI_DIRECT_CLASSES]; /* owner, except for the lists in it */
};

/* The theap that a thread has before it has one: every list empty. */
extern HFI_HIDDEN struct theap hfi_empty_theap;
extern HFI_HIDDEN struct page_front hfi_empty_front;

/* This thread's theap; never NULL. */
extern HFI_HIDDEN HFI_TLS struct theap *hfi_theap;

/* By (bytes + 15) / 16: of the theap's current page of the class that serves so many bytes, or of
 * what stands in for it; the empty front where there is none.  In thread-local storage rather than
 * in the theap: one load less for each malloc. */
extern HFI_HIDDEN HFI_TLS struct page_front *hfi_direct[HFI_DIRECT_COUNT];

/* Where blocks of classes beyond the direct table come from: the theap's classes, or, like the direct table,
 * nothing. */
extern HFI_HIDDEN HFI_TLS const struct theap_class *hfi_classes;

/* The theap's current page of a class; NULL when there is none. */
HFI_INLINE struct page *hfi_theap_current(const struct theap *theap, unsigned class)
{
    struct page_front *front = theap->classes[class].front;
    return front == &hfi_empty_front ? NULL : hfi_page_of_front(front);
}

/* From entering to leaving no stealer takes queued pages of this thread's theap, unless it began
 * before.  Then hfi_theap_has_lists is false, and the owner does without its lists.  Two plain
 * stores; the stealer pays for their order (steal.c). */
HFI_INLINE void hfi_theap_enter(struct theap *theap)
{
    hfi_store_relaxed(&theap->xbusy, 1);
    hfi_compiler_barrier();
    /* acquire: pairs with the stealer's return of the lists */
    theap->lists_ours = hfi_load_acquire(&theap->xstate) == THEAP_LIVE;
}

/* Whether its lists are the thread's until it leaves. */
HFI_INLINE bool hfi_theap_has_lists(const struct theap *theap)
{
    hfi_assert(hfi_load_relaxed(&theap->xbusy) != 0);
    return theap->lists_ours;
}

HFI_INLINE void hfi_theap_leave(struct theap *theap)
{
    /* release: pairs with the stealer's look at xbusy */
    hfi_store_release(&theap->xbusy, 0);
}

/* Where home has fresh pages, lets go of the pages of a class that are of another node, so that the
 * class goes on at home.  They were taken there before the thread was moved or while home was full.
 * Bounded by the pages with room that a theap keeps of a class. */
void hfi_theap_let_go_away(struct theap *theap, unsigned class);

/* Of the current page of a class, with a free block; NULL when it has no room.  Constant work. */
struct page_front *hfi_theap_refill(struct theap *theap, unsigned class);

/* Puts the current page, which is full, aside, and another of the theap's pages with room in its
 * place; NULL when there is none.  Constant work. */
struct page_front *hfi_theap_next_page(struct theap *theap, unsigned class);

/* Makes malloc take blocks of a class of the direct table from `front`: the current page's or its
 * stand-in. */
void hfi_theap_direct(unsigned class, struct page_front *front);

/* Keeps what the theap has from malloc's fast path, which finds nothing then; or has it take from there
 * again.  Of the calling thread, whatever theap it has.  Between the two nothing is installed, loaded or
 * refilled. */
void hfi_theap_withhold(struct theap *theap);
void hfi_theap_offer(struct theap *theap);

/* Takes in a page with room that this thread has just claimed or cut, as current page. */
void hfi_theap_install(struct theap *theap, struct page *page);

/* free() found the page's used at zero: it is empty, or was sealed and has room again. */
void hfi_theap_emptied(struct theap *theap, struct page *page);

/* Whether a page of `class` that a free claimed should be taken in rather than made idle. */
bool hfi_theap_wants(const struct theap *theap, unsigned class);

/* Takes in a page with room that a free claimed. */
void hfi_theap_adopt(struct theap *theap, struct page *page);

/* Claims and takes in a page that was let go of at its thread's end.  False: it is somebody else's
 * by now, or the theap has enough of its class. */
bool hfi_theap_take_in(struct theap *theap, struct page *page);

/* Gives back every empty page kept, and lets go of full pages that others freed
 * into.  True if anything went. */
bool hfi_theap_give_back(struct theap *theap);

/* Whether it should take a few blocks of a page, and leave the page to others.  Asked once for each. */
bool hfi_theap_shares(struct theap *theap, unsigned class);

/* On a tight node, lets go of pages of classes that this thread has not needed for a while, a few
 * classes per call.  So threads share them instead of each keeping its own. */
void hfi_theap_shed(struct theap *theap, unsigned wanted_class);

/* Lets go of every page, full ones too: the thread will sleep.  Its next calls claim them, or
 * others, again. */
void hfi_theap_let_go_all(struct theap *theap);

/* The parts of that: the current pages, and those in lists that are the caller's. */
void hfi_theap_let_go_current(struct theap *theap);
void hfi_theap_let_go_queued(struct theap *theap);

/* Takes a page that may be taken out of its queue, and lets go of it. */
void hfi_theap_let_go(struct theap *theap, struct page *page);

/* NULL, or the broken invariant. */
const char *hfi_theap_audit(const struct theap *theap);

#endif
