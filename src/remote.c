/*
 * remote: see remote.h; the protocol with its guarantees is in doc/protocols.md ("Remote free").
 *
 * One CAS on the page's xfree word pushes the block, and in the same step
 * decides what the page becomes:
 *
 *   found             pushing makes it             and then this thread
 *   owned             owned                        is done
 *   open, listed      open, listed, remaining - 1  is done
 *   open, listed, 1   owned                        unlists and retires the page: it is empty
 *   open, full        open, listed                 adds it to the idle set
 *   open, full, mine  owned                        adopts it: its other blocks are probably mine too
 *   open, full, 1     owned                        retires it
 *
 * R1: the thread whose CAS clears OPEN owns the page, nobody else.
 * R2: nobody waits: a failed CAS means that another thread's succeeded.
 *
 * Test: tests/unit/core.c.
 */
#include "remote.h"

#include "check.h"

enum outcome { PUSHED, NOW_LISTED, WON_EMPTY, WON_ROOM };

_Noreturn static void die_double_free(const struct page *page, const void *block)
{
    hfi_die("HF-E304", "free", "block %p of %u bytes was freed twice; run the program under the secure build to see where",
            block, page->block_bytes);
}

static uint64_t push_onto_open(const struct page *page, const struct block *block, uint64_t word, uint64_t list,
                               bool wanted, enum outcome *outcome)
{
    uint32_t remaining = hfi_xfree_remaining(word);
    if (hfi_unlikely(remaining == 0))
        die_double_free(page, block);
    *outcome = PUSHED;
    if (remaining == 1)
        *outcome = WON_EMPTY;
    else if (!(word & XFREE_LISTED))
        *outcome = wanted ? WON_ROOM : NOW_LISTED;
    if (*outcome == WON_EMPTY || *outcome == WON_ROOM)
        return list;
    return list | (uint64_t)(remaining - 1) << XFREE_REMAINING_SHIFT | XFREE_LISTED | XFREE_OPEN;
}

static enum outcome remote_push(struct page *page, struct block *block, bool wanted)
{
    uint64_t word = hfi_load_acquire(&page->xfree);
    uint64_t pushed;
    enum outcome outcome;
    do {
        struct block *head = hfi_xfree_head(page, word);
        if (hfi_unlikely(head == block))
            die_double_free(page, block);
        hfi_link_set(page, block, head);
        uint64_t list = hfi_xfree_list(page, block, hfi_xfree_count(word) + 1);
        outcome = PUSHED;
        pushed = word & XFREE_OPEN ? push_onto_open(page, block, word, list, wanted, &outcome) : list;
        /* release: publishes the link to page_take_remote; acquire: if this wins the page, its
         * fields are as hfi_page_let_go left them */
    } while (!hfi_cas_weak_acq_rel(&page->xfree, &word, pushed));
    return outcome;
}

void hfi_remote_free(struct theap *theap, struct page *page, void *pointer)
{
    struct block *block = pointer;
    size_t offset = (size_t)((char *)pointer - hfi_page_start(page));
    /* The block keeps the run's tenancy alive until the push; after it, only these copies. */
    unsigned class = page->size_class;
    struct arena_node *node = hfi_node_of_page(page);
    size_t member = hfi_node_member(node, page);
    if (hfi_unlikely(offset % page->block_bytes != 0 || offset / page->block_bytes >= page->reserved))
        hfi_die("HF-E303", "free", "%p points into a block of %u bytes, not at its start; free what malloc returned",
                pointer, page->block_bytes);
    bool wanted = theap != NULL && hfi_load_relaxed(&page->xtheap) == theap && hfi_theap_wants(theap, class);
    hfi_dead(block);
    if (theap != NULL)
        theap->counters.remote_frees++;
    switch (remote_push(page, block, wanted)) {
    case PUSHED:
        break;
    case NOW_LISTED:
        hfi_page_list_idle(node, class, member);
        break;
    case WON_EMPTY:
        hfi_page_unlist_idle(node, class, member);
        hfi_page_retire(page);
        break;
    case WON_ROOM:
        hfi_theap_adopt(theap, page);
        break;
    }
}
