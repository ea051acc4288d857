/*
 * theaps: every theap there is: cut from meta pages, given to a thread, put up for the next.
 *
 * TH1: a theap is in the list of all from when it is cut, for ever.  It is in the stack of recycled
 *      ones from when it is put up until a thread takes it.
 * TH2: a node's xtheap_count is the number of theaps whose home it is, except for those in the
 *      stack.
 *
 * Tests: tests/unit/theap.c, tests/unit/fork.c.
 */
#include "heap/theaps.h"

#include <string.h>

#include "arena/pagemap.h"
#include "base/check.h"
#include "heap/harden.h"
#include "arena/arena.h"
#include "heap/stack.h"
#include "heap/theap.h"

static struct stack recycled = { .link_at = offsetof(struct theap, xnext_free) };
static _Atomic(struct theap *) xall_theaps;
static _Atomic(uint32_t) xtheaps_made;
static _Atomic(uint32_t) xtheaps_given; /* to threads, the recycled ones too */

static void all_theaps_push(struct theap *theap)
{
    theap->index = hfi_fetch_add_relaxed(&xtheaps_made, 1);
    struct theap *first = hfi_load_relaxed(&xall_theaps);
    do {
        theap->next_all = first;
        /* release: pairs with hfi_theap_first */
    } while (!hfi_cas_weak_acq_rel(&xall_theaps, &first, theap));
}

struct theap *hfi_theap_first(void)
{
    return hfi_load_acquire(&xall_theaps);
}

const void *hfi_theap_list(void)
{
    return &xall_theaps;
}

void hfi_theaps_forsake(struct theap *first)
{
    hfi_store_relaxed(&xall_theaps, first); /* relaxed: the child has one thread */
}

uint32_t hfi_theaps_made(void)
{
    return hfi_load_relaxed(&xtheaps_made);
}

uint32_t hfi_theaps_given(void)
{
    return hfi_load_relaxed(&xtheaps_given);
}

/* Cuts a meta page into theaps: one for the caller, the others to the stack. */
static struct theap *theaps_cut(struct arena_node *node)
{
    size_t bytes = hfi_align_up(sizeof(struct theap), HFI_CACHE_LINE);
    char *memory = hfi_arena_claim_meta(node);
    if (memory == NULL)
        return NULL;
    hfi_guard_place(hfi_page_at(hfi_index_of(memory)));
    for (size_t at = bytes; at + bytes <= HFI_PAGE_BYTES - HFI_GUARD_BYTES; at += bytes) {
        struct theap *theap = (struct theap *)(memory + at);
        all_theaps_push(theap);
        hfi_stack_push(&recycled, theap);
    }
    all_theaps_push((struct theap *)memory);
    return (struct theap *)memory;
}

struct theap *hfi_theap_new(struct arena_node *node)
{
    struct theap *theap = hfi_stack_pop(&recycled);
    if (theap == NULL)
        theap = theaps_cut(node);
    if (theap == NULL)
        return NULL;
    hfi_assert(hfi_load_relaxed(&theap->xstate) == THEAP_GONE && theap->thread == 0);
    size_t kept_fields = offsetof(struct theap, lists_ours);
    memset((char *)theap + kept_fields, 0, sizeof *theap - kept_fields);
    for (unsigned class = 0; class < HFI_CLASS_COUNT; class ++)
        theap->classes[class].front = &hfi_empty_front;
    hfi_store_relaxed(&theap->xqueued, 0);
    hfi_store_relaxed(&theap->xmagazines, false);
    HFI_SHOW(theap->node, node);
    HFI_SHOW(theap->thread, (uintptr_t)__builtin_thread_pointer());
    hfi_fetch_add_relaxed(&node->xtheap_count, 1);
    hfi_fetch_add_relaxed(&xtheaps_given, 1);
    hfi_store_release(&theap->xstate, THEAP_LIVE); /* pairs with the stealer's CAS */
    return theap;
}

void hfi_theap_move(struct theap *theap, struct arena_node *node)
{
    hfi_fetch_sub_relaxed(&theap->node->xtheap_count, 1);
    hfi_fetch_add_relaxed(&node->xtheap_count, 1);
    HFI_SHOW(theap->node, node);
}

static void theap_put_up(struct theap *theap)
{
    HFI_SHOW(theap->thread, 0);
    hfi_store_relaxed(&theap->xstate, THEAP_GONE);
    hfi_stack_push(&recycled, theap);
}

static void theap_recycle(struct theap *theap)
{
    hfi_fetch_sub_relaxed(&theap->node->xtheap_count, 1);
    hfi_arena_show(theap->node);
    theap_put_up(theap);
}

/* What another thread's theap says is not believed: it may be of several moments (F3 in fork.c). */
void hfi_theaps_recycle(void)
{
    hfi_stack_empty(&recycled);
    for (struct theap *theap = hfi_theap_first(); theap != NULL; theap = theap->next_all)
        theap_put_up(theap);
    /* A thread that vanished may have been counted already, or still. */
    for (unsigned i = 0; i < hfi_arena.node_count; i++) {
        struct arena_node *node = &hfi_arena.nodes[i];
        hfi_store_relaxed(&node->xtheap_count, 0);
        hfi_arena_show(node);
    }
}

bool hfi_theap_part(struct theap *theap)
{
    hfi_store_relaxed(&theap->xends, true);
    hfi_theap_let_go_current(theap);
    for (;;) {
        uint32_t state = THEAP_LIVE;
        if (hfi_cas_acq_rel(&theap->xstate, &state, THEAP_GONE))
            return true;
        hfi_assert(state == THEAP_SEIZED);
        /* release: what this thread did is there for hfi_theap_return_lists; a stealer that
         * returned the lists between the two steps makes the next round */
        if (state == THEAP_SEIZED && hfi_cas_acq_rel(&theap->xstate, &state, THEAP_ENDED))
            return false;
    }
}

void hfi_theap_end(struct theap *theap)
{
    hfi_assert(hfi_load_relaxed(&theap->xstate) != THEAP_LIVE); /* its thread has parted with it */
    hfi_theap_let_go_queued(theap);
    theap_recycle(theap);
}
