/*
 * magazine: blocks of pages that are not this thread's which it freed, kept for its own next
 * requests.
 *
 * Threads that free each other's blocks would otherwise pay a contended CAS for each and get their
 * memory back cold.  A thread that has many blocks would touch a cold page with each call.  Per
 * theap and class of the direct table; for who has the theap's lists (theap.h), and what is loaded
 * for its thread.  No memory of its own.  Source: Bonwick and Adams, "Magazines and Vmem", USENIX
 * 2001 (loaded and previous magazine).
 */
#ifndef HFI_MAGAZINE_H
#define HFI_MAGAZINE_H

#include "heap/theap.h"
#include "base/check.h"
#include "arena/pagetable.h"
#include "arena/arena.h"

/* Counts a block that is freed into a page of `owner`, as owners[] says: another theap, or none.
 * Without a branch, which no processor would foresee. */
HFI_INLINE void hfi_magazine_count(struct theap *theap, uintptr_t owner)
{
    size_t remote = offsetof(struct counters, remote_frees),
           unowned = offsetof(struct counters, unowned_frees);
    *(uint64_t *)((char *)&theap->counters + (owner > HFI_OWNER_UNOWNED ? remote : unowned)) += 1;
}

/* Whether the magazine of a class of the direct table takes `block` of `page` as it is.  The thread
 * has set xbusy. */
HFI_INLINE bool hfi_magazine_has_room(const struct theap *theap, const struct page *page, unsigned class,
                                      const struct block *block)
{
    const struct magazine *magazine = &theap->magazines[class];
    /* acquire: pairs with the stealer's return of the lists */
    return hfi_load_acquire(&theap->xstate) == THEAP_LIVE && magazine->incoming_room != 0 &&
           block != magazine->incoming && page->node == theap->node->index;
}

HFI_INLINE void hfi_magazine_push(struct theap *theap, unsigned class, uintptr_t owner, struct block *block)
{
    struct magazine *magazine = &theap->magazines[class];
    hfi_assert(magazine->incoming_room != 0 && magazine->incoming_room <= magazine->incoming_limit);
    magazine->incoming_room--;
    block->next = magazine->incoming;
    magazine->incoming = block;
    hfi_magazine_count(theap, owner);
}

/* Frees `block` of `page`, which another theap owns, or none, into the magazine of its class,
 * where room is made if there is none.  False: not taken, free it into its page.  Constant work: at
 * most one CAS. */
bool hfi_magazine_put(struct theap *theap, struct page *page, uintptr_t owner, struct block *block);

/* Whether malloc should take from magazines before it takes from pages of its own: as the theap's
 * thread trades.  Constant work. */
bool hfi_magazine_is_first(struct theap *theap);

/* Makes malloc take from the magazine of a class: its stand-in, with a free block; NULL when
 * it is empty. */
struct page_front *hfi_magazine_load(struct theap *theap, unsigned class);

/* For threads that share pages on a tight node.  Moves a few blocks of a page of the theap, in no
 * list and with a free list, to the magazine of its class, lets go of the page, and loads.  Not in
 * the secure build. */
struct page_front *hfi_magazine_fill(struct theap *theap, struct page *page);

/* On a tight node: returns some of what magazines hold that were not loaded of late, a few classes
 * per call. */
void hfi_magazine_shed(struct theap *theap);

/* Returns every block to its page; without `and_lists`, what is loaded alone. */
void hfi_magazines_return(struct theap *theap, bool and_lists);

/* For who has a theap's lists: returns every block that is not loaded.  How many. */
uint32_t hfi_magazines_return_lists(struct theap *theap);

/* For the thread that has the lists of a theap whose own thread has ended.  Returns its blocks,
 * lets go of its pages, and puts it up for the next thread. */
void hfi_magazine_end_theap(struct theap *theap);

/* Returns every block, then gives back what the theap need not keep (hfi_theap_give_back).  True if
 * pages went. */
bool hfi_magazine_give_back(struct theap *theap);

/* Bytes of the freed blocks that a theap's magazines hold.  Any thread: its own may be at work, and
 * the figure off by what moves. */
size_t hfi_magazines_bytes(const struct theap *theap);

/* NULL, or the broken invariant of a magazine of this thread's theap. */
const char *hfi_magazine_audit(const struct theap *theap);

#endif
