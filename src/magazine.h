/*
 * magazine: blocks of pages that are not this thread's which it freed, kept for its own next requests.
 *
 * Threads that free each other's blocks would otherwise pay a contended CAS for each and get
 * their memory back cold.  Per theap and class of the direct table; owner thread only,
 * but for what hfi_magazine_give_back does in pages of others (remote.h).  No memory of its own.
 * Source: Bonwick and Adams, "Magazines and Vmem", USENIX 2001 (loaded and previous magazine).
 */
#ifndef HFI_MAGAZINE_H
#define HFI_MAGAZINE_H

#include "theap.h"

/* Frees `block` of `page`, which another theap owns or, if not `owned`, nobody, into the magazine of its class.  False: not
 * taken, free it into its page.  Constant work: at most one CAS. */
bool hfi_magazine_put(struct theap *theap, struct page *page, struct block *block, bool owned);

/* Makes malloc take from the magazine of a class: its stand-in page, with a free block; NULL when it is empty. */
struct page *hfi_magazine_load(struct theap *theap, unsigned class);

/* Moves a few blocks of a page of the theap, in no list and with a free list, to the magazine of its class, lets go of the
 * page, and loads: for threads that share pages on a tight node.  Not in the secure build. */
struct page *hfi_magazine_fill(struct theap *theap, struct page *page);

/* On a tight node: returns some of what magazines hold that were not loaded of late, a few classes per call. */
void hfi_magazine_shed(struct theap *theap);

/* Returns every block to its page. */
void hfi_magazines_return(struct theap *theap);

/* Returns every block, then gives back what the theap need not hold (hfi_theap_give_back).  True if pages went. */
bool hfi_magazine_give_back(struct theap *theap);

/* NULL, or the broken invariant of a magazine of this thread's theap. */
const char *hfi_magazine_audit(const struct theap *theap);

#endif
