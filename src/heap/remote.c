/*
 * remote: see remote.h; the protocol with its guarantees is in doc/protocols.md ("Remote free").
 *
 * One CAS on the page's xfree word pushes the block, and in the same step
 * decides what the page becomes:
 *
 *   found                 pushing makes it              and then this thread
 *   owned                 owned                         is done
 *   idle                  idle, remaining - 1           is done
 *   scant, now ample      ample, remaining - 1          adds it to the set of the ample
 *   loose                 idle, remaining - 1           adds it to an idle set
 *   scant or loose, now   owned                         adopts it: its other blocks are probably
 *   ample, owned last by                                this thread's too
 *   this thread
 *   unowned, 1 remaining  owned                         retires it: it is empty
 *
 * R1: the thread whose CAS clears UNOWNED owns the page, nobody else.
 * R2: nobody waits: a failed CAS means that another thread's succeeded.
 *
 * Test: tests/unit/remote.c.
 */
#include "heap/remote.h"

#include "arena/xfree.h"
#include "heap/page.h"
#include "heap/harden.h"
#include "heap/theap.h"
#include "arena/pagemap.h"

enum outcome { PUSHED, CLAIMED_EMPTY, CLAIMED_ROOM };

/* Blocks of one page on their way into it. */
struct pushed {
    struct block *first;
    struct block *last;
    uint32_t count;
    struct theap *theap; /* whose thread may take the page in; NULL when nobody is to */
};

_Noreturn void hfi_remote_die_freed_twice(const struct page *page, const void *block)
{
    hfi_die("HF-E304", "free",
            "block %p of %u bytes was freed twice; run the program under the secure build to see where",
            block, page->block_bytes);
}

/* Whether a page that is unowned and has become ample is taken in.  Until the push, the blocks keep
 * the page from being retired. */
static bool is_wanted(const struct page *page, const struct pushed *pushed)
{
    return pushed->theap != NULL && hfi_load_relaxed(&page->xtheap) == pushed->theap &&
           hfi_theap_wants(pushed->theap, page->size_class) && !hfi_page_is_reserve(page);
}

static uint64_t push_onto_unowned(const struct page *page, const struct pushed *pushed, uint64_t word,
                                  uint64_t list, enum outcome *outcome)
{
    uint32_t remaining = hfi_xfree_remaining(word), ample = hfi_sizeclasses[page->size_class].ample_blocks;
    if (hfi_unlikely(remaining < pushed->count))
        hfi_remote_die_freed_twice(page, pushed->first);
    uint32_t had = page->reserved - remaining;
    remaining -= pushed->count;
    *outcome = PUSHED;
    if (remaining == 0)
        *outcome = CLAIMED_EMPTY;
    else if (had < ample && had + pushed->count >= ample && is_wanted(page, pushed))
        *outcome = CLAIMED_ROOM;
    if (*outcome != PUSHED)
        return list;
    return list | (uint64_t)remaining << XFREE_REMAINING_SHIFT | XFREE_IDLE | XFREE_UNOWNED;
}

/* *found: what the word was before. */
static enum outcome remote_push(struct page *page, const struct pushed *pushed, uint64_t *found)
{
    uint64_t word = hfi_load_acquire(&page->xfree);
    uint64_t next;
    enum outcome outcome;
    do {
        struct block *head = hfi_xfree_head(page, word);
        if (hfi_unlikely(head == pushed->first))
            hfi_remote_die_freed_twice(page, head);
        hfi_link_set(page, pushed->last, head);
        uint64_t list = hfi_xfree_list(page, pushed->first, hfi_xfree_count(word) + pushed->count);
        outcome = PUSHED;
        next = word & XFREE_UNOWNED ? push_onto_unowned(page, pushed, word, list, &outcome) : list;
        /* release: publishes the links to page_take_remote; acquire: if this claims the page, its
         * fields are as hfi_page_let_go left them */
    } while (!hfi_cas_weak_acq_rel(&page->xfree, &word, next));
    *found = word;
    return outcome;
}

static HFI_NOINLINE void remote_return(struct page *page, const struct pushed *pushed)
{
    /* The blocks keep the run's tenancy alive until the push; after it, only these copies. */
    struct page_run run = hfi_page_run(page);
    uint32_t reserved = page->reserved;
    uint64_t found;
    switch (remote_push(page, pushed, &found)) {
    case PUSHED:
        if (!(found & XFREE_UNOWNED))
            break;
        uint32_t had = reserved - hfi_xfree_remaining(found);
        if (had == 0)
            hfi_pagemap_show_room(page);
        hfi_page_got_room(&run, had, had + pushed->count);
        break;
    case CLAIMED_EMPTY:
        hfi_page_claimed(page, found);
        hfi_page_retire(page);
        break;
    case CLAIMED_ROOM:
        hfi_page_claimed(page, found);
        hfi_theap_adopt(pushed->theap, page);
        break;
    }
}

void hfi_remote_return(struct page *page, struct block *first, struct block *last, uint32_t count)
{
    if (hfi_likely(hfi_remote_push(page, first, last, count)))
        return;
    struct pushed pushed = { .first = first, .last = last, .count = count, .theap = NULL };
    remote_return(page, &pushed);
}

void hfi_remote_free(struct theap *theap, struct page *page, struct block *block)
{
    if (hfi_likely(hfi_remote_push(page, block, block, 1)))
        return;
    struct pushed pushed = { .first = block, .last = block, .count = 1, .theap = theap };
    remote_return(page, &pushed);
}
