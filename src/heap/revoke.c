/*
 * revoke: how a stealer takes pages from the lists of another thread's theap.
 *
 * RV1: between hfi_theap_revoke and hfi_theap_settle owners[] calls a picked page unowned, so that no
 *      free into it is the fast one.  Its xfree, which decides, does not: the page is still owned,
 *      and queued, and a free by another thread goes onto its xfree list.
 *
 * Concurrency: the caller has the lists (T5 in theap.c); hfi_theap_return_lists ends that.
 * Tests: tests/unit/full.c, tests/models/handshake.pml.
 */
#include "heap/revoke.h"

#include "base/check.h"
#include "base/atomic.h"
#include "arena/sizeclass.h"
#include "heap/theap.h"
#include "arena/arena.h"
#include "heap/page.h"

static uint32_t revoke_from(const struct page_queue *queue, const struct arena_node *node, uint32_t max)
{
    uint32_t count = 0;
    for (struct page *page = queue->first; page != NULL && count < max; page = page->next) {
        if (hfi_page_mode(page) == PAGE_KEPT || hfi_node_of_page(page) != node)
            continue;
        hfi_assert(page->list == LIST_FULL || page->list == LIST_PARTIAL);
        hfi_assert(!hfi_xfree_is_unowned(page)); /* RV1 */
        hfi_store_relaxed(hfi_owner_at(hfi_page_index(page)), (uintptr_t)HFI_OWNER_UNOWNED);
        count++;
    }
    return count;
}

uint32_t hfi_theap_revoke(struct theap *theap, const struct arena_node *node, uint32_t max)
{
    hfi_assert(hfi_load_relaxed(&theap->xstate) >= THEAP_SEIZED);
    uint32_t count = revoke_from(&theap->full, node, max);
    for (unsigned class = 0; class < HFI_CLASS_COUNT; class ++)
        count += revoke_from(&theap->classes[class].partial, node, max - count);
    return count;
}

/* Of a queue, `*revoked` pages at most, which is lowered by those found. */
static uint32_t settle_from(struct theap *theap, const struct page_queue *queue, uint32_t *revoked, bool take)
{
    uint32_t taken = 0;
    for (struct page *page = queue->first, *next; page != NULL && *revoked != 0; page = next) {
        _Atomic(uintptr_t) *owner = hfi_owner_at(hfi_page_index(page));
        next = page->next;
        if (hfi_load_relaxed(owner) != HFI_OWNER_UNOWNED)
            continue;
        *revoked -= 1;
        if (take && hfi_page_has_room(page)) {
            hfi_theap_let_go(theap, page);
            taken++;
        } else {
            hfi_store_relaxed(owner, (uintptr_t)theap);
        }
    }
    return taken;
}

uint32_t hfi_theap_settle(struct theap *theap, uint32_t revoked, bool take)
{
    hfi_assert(hfi_load_relaxed(&theap->xstate) >= THEAP_SEIZED);
    if (revoked == 0) /* the owner may be inside, and its queues are not read then */
        return 0;
    uint32_t taken = settle_from(theap, &theap->full, &revoked, take);
    for (unsigned class = 0; class < HFI_CLASS_COUNT; class ++)
        taken += settle_from(theap, &theap->classes[class].partial, &revoked, take);
    hfi_assert(revoked == 0);
    hfi_counters_lose(&theap->counters, taken);
    return taken;
}

bool hfi_theap_return_lists(struct theap *theap)
{
    uint32_t state = THEAP_SEIZED;
    hfi_assert(hfi_load_relaxed(&theap->xstate) >= state);
    /* release: pairs with hfi_theap_enter and hfi_magazine_has_room; acquire: with
     * hfi_theap_part */
    return hfi_cas_acq_rel(&theap->xstate, &state, THEAP_LIVE);
}
