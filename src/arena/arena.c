/*
 * arena: see arena.h.
 *
 * Node memory:  | run map and idle sets | pages set aside for theaps | pages ... |  (the first two:
 * meta pages)
 *
 * A1: a page is in exactly one place: its bit in free_runs, or of the reserve in reserve_runs, is
 *     set, or a run claimed it.
 * A2: owners[] of a page whose bit is set is HFI_OWNER_NONE, and its xfree is XFREE_EMPTY_OWNED.
 *     So no thread can claim a free page by its xfree.
 * A3: pages from xlow_used up to xhigh_used were never handed out, so their memory is zero.
 * A4: only pages before xfrontier have ever had their bit set.  While a named arena is populated in
 *     the background, only pages of chunks that prefault.h gave to node_open have. (A5:
 *     arena-grow.c; A6: arena-level.c;
 *     A7: arena-reserve.c; A8: arena-marks.c.)
 *
 * Concurrency: a claim is the clearing of bits (runmap.c).  The marks of A3 only move towards each
 * other (CAS); a reader that sees less between them clears memory that was zero, which is harmless.
 *
 * Fails by returning NULL.  Tests: tests/unit/full.c, tests/programs/prefault.c.
 */
#include "arena/arena.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "kernel/cpu.h"
#include "arena/pagemap.h"
#include "arena/prefault.h"
#include "arena/xfree.h"
#include "numa/plan.h"

#define LAZY_PAGES 64u     /* first pages of an auto arena: the kernel's faults are cheaper than a step */
#define OPEN_CHUNKS_MAX 16 /* populated chunks opened by one call */
#define OTHERS_SLEEP_US 100u

HFI_TLS bool hfi_arena_forced;

struct arena hfi_arena;
char *hfi_base;
size_t hfi_span;
static struct shown nothing_shown;
_Atomic(struct shown *) hfi_xshown = &nothing_shown;
size_t hfi_pagemap_gaps[HFI_MAX_NODES];

static void node_init_maps(struct arena_node *node, char *memory, bool growing)
{
    size_t runmap_bytes = hfi_align_up(hfi_runmap_bytes(node->page_count), HFI_CACHE_LINE);
    hfi_runmap_init(&node->free_runs, node->page_count, memory);
    memory += runmap_bytes;
    if (growing) {
        hfi_runmap_init(&node->refused, node->page_count, memory);
        memory += runmap_bytes;
    }
    for (unsigned i = 0; i < HFI_CLASS_COUNT; i++) {
        hfi_idleset_init(&node->ample[i], node->page_count, memory);
        memory += hfi_idleset_bytes(node->page_count);
        hfi_idleset_init(&node->scant[i], node->page_count, memory);
        memory += hfi_idleset_bytes(node->page_count);
    }
    hfi_idleset_init(&node->pieces, node->page_count, memory);
}

static size_t node_maps_bytes(size_t page_count, bool growing)
{
    return (growing ? 2 : 1) * hfi_align_up(hfi_runmap_bytes(page_count), HFI_CACHE_LINE) +
           (2 * HFI_CLASS_COUNT + 1) * hfi_idleset_bytes(page_count);
}

static int node_init(struct arena_node *node, const struct reserved_node *reserved, bool growing)
{
    node->id = reserved->id;
    node->first_index = hfi_index_of(reserved->start);
    node->page_count = reserved->bytes / HFI_PAGE_BYTES;
    size_t maps_bytes = node_maps_bytes(node->page_count, growing);
    node->set_aside_count = hfi_plan_set_aside(node->page_count);
    node->meta_pages = hfi_divide_up(maps_bytes + HFI_GUARD_BYTES, HFI_PAGE_BYTES);
    node->reserve_count = hfi_reserve_plan(node, node->meta_pages + node->set_aside_count, growing);
    maps_bytes = hfi_align_up(maps_bytes, HFI_PAGE_BYTES); /* the reserve's begin on a page */
    if (node->reserve_count != 0)
        node->meta_pages = hfi_divide_up(
            maps_bytes + hfi_reserve_maps_bytes(node->page_count, node->reserve_count) + HFI_GUARD_BYTES,
            HFI_PAGE_BYTES);
    node->set_aside_first = node->first_index + node->meta_pages;
    node->meta_pages += node->set_aside_count;
    node->reserve_first = node->meta_pages;
    if (node->meta_pages + 2 > node->page_count)
        return -ENOSPC;
    size_t frontier = growing ? hfi_min(node->meta_pages + LAZY_PAGES, node->page_count) : node->page_count;
    int error = growing ? hfi_arena_open_pages(node, 0, frontier) : 0;
    if (error != 0)
        return error;
    node_init_maps(node, reserved->start, growing);
    if (node->reserve_count != 0)
        hfi_reserve_init_maps(node, reserved->start + maps_bytes);
    for (size_t i = 0; i < node->meta_pages; i++)
        hfi_store_relaxed(hfi_owner_at(node->first_index + i), (uintptr_t)HFI_OWNER_META);
    size_t open =
        hfi_min(frontier, (reserved->bytes - hfi_prefault_closed_bytes(node->index)) / HFI_PAGE_BYTES);
    if (open < node->meta_pages)
        return -ENOSPC;
    hfi_store_relaxed(&node->xfrontier, frontier);
    hfi_store_relaxed(&node->xlow_used, node->meta_pages);
    hfi_store_relaxed(&node->xhigh_used, node->page_count);
    hfi_arena_set_free(node, node->meta_pages, open - node->meta_pages);
    return 0;
}

int hfi_arena_init(const struct reservation *reservation)
{
    hfi_base = reservation->base;
    memcpy(&hfi_arena.reservation, reservation,
           offsetof(struct reservation, nodes) + reservation->node_count * sizeof reservation->nodes[0]);
    hfi_arena.node_count = reservation->node_count;
    for (unsigned i = 0; i < reservation->node_count; i++) {
        struct arena_node *node = &hfi_arena.nodes[i];
        node->index = i;
        int error = node_init(node, &reservation->nodes[i], reservation->growing);
        if (error != 0)
            return error;
        hfi_pagemap_gaps[i] = node->first_index - hfi_arena.page_count;
        hfi_arena.page_count += node->page_count;
    }
    hfi_span = reservation->span;
    hfi_level_begin();
    return 0;
}

/* MISSING, BEING_MADE, STANDING; and in a child that HOLDFAST_FORK=dontfork left without it,
 * FORSAKEN. */
enum arena_state { ARENA_MISSING, ARENA_BEING_MADE, ARENA_STANDING, ARENA_FORSAKEN };

static _Atomic(int) xstate;   /* atomic: enum arena_state */
static HFI_TLS bool is_maker; /* while it is being made */

bool hfi_arena_begin(void)
{
    int missing = ARENA_MISSING;
    is_maker = hfi_cas_acq_rel(&xstate, &missing, ARENA_BEING_MADE);
    return is_maker;
}

void hfi_arena_stand(void)
{
    hfi_assert(hfi_load_relaxed(&xstate) == ARENA_BEING_MADE);
    is_maker = false;
    hfi_store_release(&xstate, ARENA_STANDING); /* pairs with hfi_arena_is_standing */
}

bool hfi_arena_is_standing(void)
{
    return hfi_load_acquire(&xstate) == ARENA_STANDING; /* pairs with hfi_arena_stand */
}

bool hfi_arena_is_being_made(void)
{
    return hfi_load_acquire(&xstate) == ARENA_BEING_MADE;
}

bool hfi_arena_unmake(void)
{
    if (is_maker || hfi_load_relaxed(&xstate) != ARENA_BEING_MADE)
        return false;
    hfi_span = 0;
    memset(hfi_arena.nodes, 0, hfi_arena.node_count * sizeof hfi_arena.nodes[0]);
    hfi_arena.node_count = 0;
    hfi_arena.page_count = 0;
    hfi_arena_follow(NULL, 0, 0);
    hfi_level_set_all(HF_LEVEL_PLENTY);
    hfi_store_relaxed(&xstate, ARENA_MISSING); /* relaxed: the child has one thread */
    return true;
}

void hfi_arena_forsake(void)
{
    hfi_arena.node_count = 0;
    hfi_level_set_all(HF_LEVEL_FULL);
    hfi_store_release(&xstate, ARENA_FORSAKEN);
}

static void node_open(struct arena_node *node, struct prefault_part part)
{
    hfi_arena_set_free(node, part.offset / HFI_PAGE_BYTES, part.bytes / HFI_PAGE_BYTES);
    hfi_prefault_opened(node->index, part);
    hfi_level_follow(node);
}

void hfi_arena_open_populated(struct arena_node *node)
{
    struct prefault_part part;
    for (int i = 0; i < OPEN_CHUNKS_MAX && hfi_prefault_next(node->index, &part); i++)
        node_open(node, part);
}

bool hfi_arena_open_by_force(void)
{
    struct prefault_part part;
    for (unsigned i = 0; i < hfi_arena.node_count; i++) {
        if (hfi_prefault_closed_bytes(i) == 0 || hfi_prefault_goes_on(i) || hfi_prefault_force(i, &part) != 0)
            continue;
        node_open(&hfi_arena.nodes[i], part);
        return true;
    }
    return false;
}

/* Nothing that is populated fits: populates a chunk here and now, or where other threads are about
 * all that is left, sleeps a moment. */
static void node_force_open(struct arena_node *node)
{
    struct prefault_part part;
    hfi_arena_forced = true;
    int error = hfi_prefault_force(node->index, &part);
    if (error == 0)
        node_open(node, part);
    else if (error == -ENOENT)
        hfi_os_sleep_us(OTHERS_SLEEP_US);
}

/* Takes [first, first + pages) out of the middle that was never handed out; true when all of it
 * lay there. */
static bool node_mark_used(struct arena_node *node, size_t first, size_t pages)
{
    size_t end = first + pages;
    size_t low = hfi_load_relaxed(&node->xlow_used);
    size_t high = hfi_load_relaxed(&node->xhigh_used);
    bool zero = first >= low && end <= high;
    /* relaxed: a run's memory is ordered by the claim of its bits, the marks only by their own
     * CAS */
    if (end <= low || first >= high)
        return false;
    if (first - hfi_min(low, first) <= high - hfi_min(end, high)) {
        while (low < end && !hfi_cas_weak_relaxed(&node->xlow_used, &low, end))
            zero = zero && first >= low;
    } else {
        while (high > first && !hfi_cas_weak_relaxed(&node->xhigh_used, &high, first))
            zero = zero && end <= high;
    }
    return zero;
}

struct page *hfi_arena_hand_out(struct arena_node *node, size_t first, size_t pages, bool *zero)
{
    struct page *page = hfi_page_at(node->first_index + first);
    hfi_assert(hfi_load_relaxed(hfi_owner_at(node->first_index + first)) == HFI_OWNER_NONE); /* A2 */
    hfi_assert(hfi_load_relaxed(hfi_owner_at(node->first_index + first + pages - 1)) == HFI_OWNER_NONE);
    *zero = node_mark_used(node, first, pages);
    HFI_SHOW(page->node, (uint8_t)node->index); /* of which a late hfi_pagemap_show_room reads the same */
    page->run_pages = (uint32_t)pages;
    hfi_level_follow(node);
    return page;
}

static size_t node_claim(struct arena_node *node, size_t pages, size_t align, enum claim where)
{
    switch (where) {
    case CLAIM_LOW: return hfi_runmap_claim_low(&node->free_runs, pages, align, node->first_index);
    case CLAIM_HIGH: return hfi_runmap_claim(&node->free_runs, pages, align, node->first_index);
    case CLAIM_EXACT: break;
    }
    return hfi_runmap_claim_exact(&node->free_runs, pages, align, node->first_index);
}

struct page *hfi_arena_claim(struct arena_node *node, size_t pages, size_t align_bytes, enum claim where,
                             bool *zero)
{
    size_t align = align_bytes >> HFI_PAGE_SHIFT;
    if (pages > node->page_count)
        return NULL;
    for (;;) {
        /* before the search: what is opened meanwhile is searched again */
        size_t closed = hfi_prefault_closed_bytes(node->index);
        if (hfi_unlikely(closed != 0))
            hfi_arena_open_populated(node);
        size_t first = node_claim(node, pages, align, where);
        if (first != HFI_RUNMAP_NONE)
            return hfi_arena_hand_out(node, first, pages, zero);
        if (closed != 0)
            node_force_open(node);
        else if (!hfi_arena_grow(node, pages, align)) {
            hfi_level_follow(node); /* what could not be populated is free no more */
            return NULL;
        }
    }
}

static size_t pages_take(size_t *left, size_t wanted)
{
    size_t taken = hfi_min(wanted, *left);
    *left -= taken;
    return taken;
}

/* relaxed: counts that others change meanwhile */
void hfi_arena_figures(const struct arena_node *node, struct arena_figures *figures)
{
    size_t left = node->page_count, unopened = hfi_arena_unopened_pages(node);
    figures->total = left;
    figures->failed = pages_take(&left, hfi_arena_failed_pages(node));
    size_t reserve = node->reserve_count - hfi_arena_reserve_used(node);
    figures->free = pages_take(&left, hfi_load_relaxed(&node->free_runs.xset_count) + unopened + reserve);
    figures->reserve = hfi_min(reserve, figures->free);
    figures->unopened = hfi_min(unopened, figures->free);
    figures->used = left;
    figures->meta = pages_take(&left, node->meta_pages + hfi_load_relaxed(&node->xtheap_pages));
    figures->large = pages_take(&left, hfi_load_relaxed(&node->xlarge_pages));
    figures->heaps = pages_take(&left, hfi_load_relaxed(&node->xheap_pages));
    figures->idle = pages_take(&left, hfi_arena_idle_pages(node));
    figures->owned = left;
    figures->high_water = hfi_max(hfi_load_relaxed(&node->xmost_used), figures->used);
}

static void note_most_used(struct arena_node *node, size_t used_pages)
{
    size_t most = hfi_load_relaxed(&node->xmost_used);
    while (most < used_pages)
        if (hfi_cas_weak_relaxed(&node->xmost_used, &most, used_pages)) {
            hfi_store_relaxed(&node->xmost_ticks, hfi_os_ticks());
            return;
        }
}

void hfi_arena_show(struct arena_node *node)
{
    struct hf_inspect_node *shown = hfi_load_relaxed(&hfi_shown()->xnodes);
    if (shown == NULL)
        return;
    shown += node->index;
    struct arena_figures figures;
    hfi_arena_figures(node, &figures);
    note_most_used(node, figures.used);
    HFI_SHOW(shown->high_water, hfi_load_relaxed(&node->xmost_used) * HFI_PAGE_BYTES); /* relaxed: figures */
    HFI_SHOW(shown->high_water_ticks, hfi_load_relaxed(&node->xmost_ticks));
    HFI_SHOW(shown->free, figures.free * HFI_PAGE_BYTES);
    HFI_SHOW(shown->used, figures.used * HFI_PAGE_BYTES);
    HFI_SHOW(shown->idle, figures.idle * HFI_PAGE_BYTES);
    HFI_SHOW(shown->large, (figures.large + figures.heaps) * HFI_PAGE_BYTES);
    HFI_SHOW(shown->heaps, figures.heaps * HFI_PAGE_BYTES);
    HFI_SHOW(shown->meta, figures.meta * HFI_PAGE_BYTES);
    HFI_SHOW(shown->theaps, hfi_load_relaxed(&node->xtheap_count));
    HFI_SHOW(shown->reserve_used, hfi_arena_reserve_used(node) * HFI_PAGE_BYTES);
    HFI_SHOW(shown->reserve_uses, hfi_load_relaxed(&node->xreserve_uses)); /* relaxed: a count */
}

void hfi_arena_release(struct page *first, size_t pages)
{
    if (pages == 0)
        return;
    struct arena_node *node = hfi_node_of_page(first);
    hfi_assert(hfi_load_relaxed(hfi_owner_at(hfi_page_index(first))) == HFI_OWNER_NONE); /* A2 */
    hfi_assert(hfi_load_relaxed(hfi_owner_at(hfi_page_index(first) + pages - 1)) == HFI_OWNER_NONE);
    hfi_assert(!hfi_xfree_is_unowned(first));
    hfi_arena_set_free(node, hfi_node_member(node, first), pages);
    hfi_level_follow(node);
    hfi_arena_show(node);
}

struct page *hfi_arena_claim_open(struct arena_node *node, size_t pages, size_t align_bytes, enum claim where,
                                  bool *zero)
{
    size_t first = pages > node->page_count ? HFI_RUNMAP_NONE
                                            : node_claim(node, pages, align_bytes >> HFI_PAGE_SHIFT, where);
    return first != HFI_RUNMAP_NONE ? hfi_arena_hand_out(node, first, pages, zero) : NULL;
}

bool hfi_arena_claim_at(struct arena_node *node, struct page *first, size_t pages, bool *zero)
{
    size_t member = hfi_node_member(node, first);
    if (member == node->reserve_first + node->reserve_count) /* A7: the run before it may be of the reserve */
        return false;
    if (member + pages > node->page_count || !hfi_runmap_claim_at(&node->free_runs, member, pages))
        return false;
    *zero = node_mark_used(node, member, pages);
    hfi_level_follow(node);
    return true;
}

void *hfi_arena_claim_meta(struct arena_node *node)
{
    size_t set_aside = hfi_load_relaxed(&node->xset_aside_used);
    if (set_aside < node->set_aside_count) {
        /* relaxed: each number is one thread's */
        set_aside = hfi_fetch_add_relaxed(&node->xset_aside_used, 1);
        if (set_aside < node->set_aside_count) {
            struct page *own = hfi_page_at(node->set_aside_first + set_aside);
            own->node = (uint8_t)node->index;
            own->run_pages = 1;
            return hfi_page_start(own);
        }
    }
    bool zero;
    struct page *page = hfi_arena_claim(node, 1, HFI_PAGE_BYTES, CLAIM_EXACT, &zero);
    if (page == NULL)
        return NULL;
    hfi_store_relaxed(hfi_owner_at(hfi_page_index(page)), (uintptr_t)HFI_OWNER_META);
    hfi_fetch_add_relaxed(&node->xtheap_pages, 1);
    hfi_pagemap_show(page, HF_PAGE_ENTRY(HF_PAGE_META, 0, 0, 1));
    char *start = hfi_page_start(page);
    if (!zero)
        memset(start, 0, HFI_PAGE_BYTES);
    return start;
}

size_t hfi_arena_longest_run(const struct arena_node *node)
{
    size_t longest = hfi_runmap_longest(&node->free_runs), frontier = hfi_load_relaxed(&node->xfrontier);
    size_t closed = node->page_count - hfi_min(frontier, node->page_count);
    if (closed == 0)
        return longest;
    return hfi_max(longest, hfi_runmap_set_below(&node->free_runs, frontier) + closed);
}

size_t hfi_arena_failed_pages(const struct arena_node *node)
{
    return hfi_prefault_failed_bytes(node->index) / HFI_PAGE_BYTES;
}

size_t hfi_arena_populated_bytes(const struct arena_node *node)
{
    size_t opened = hfi_load_relaxed(&node->xfrontier) - hfi_load_relaxed(&node->refused.xset_count);
    size_t ordered = hfi_arena.reservation.growing ? opened * HFI_PAGE_BYTES
                                                   : hfi_arena.reservation.nodes[node->index].populated_bytes;
    return ordered -
           hfi_min(ordered, hfi_prefault_closed_bytes(node->index) + hfi_prefault_failed_bytes(node->index));
}

const char *hfi_arena_audit(const struct arena_node *node)
{
    size_t free_pages = 0;
    const char *broken = hfi_runmap_audit(&node->free_runs);
    if (broken == NULL && hfi_arena.reservation.growing)
        broken = hfi_runmap_audit(&node->refused);
    for (size_t i = 0; i < node->page_count && broken == NULL; i++) {
        struct runmap *map = hfi_arena_map_of((struct arena_node *)node, i);
        bool is_free = hfi_load_relaxed(&map->xwords[i / 64]) >> (i % 64) & 1;
        free_pages += is_free && map == &node->free_runs;
        if (is_free && hfi_load_relaxed(hfi_owner_at(node->first_index + i)) != HFI_OWNER_NONE)
            broken = "A2: a free page has an owner";
        if (is_free && hfi_xfree_is_unowned(hfi_page_at(node->first_index + i)))
            broken = "A2: a free page can be claimed by its xfree";
        if (is_free && i >= hfi_load_relaxed(&node->xfrontier))
            broken = "A4: a page past the frontier is free";
    }
    if (broken == NULL && free_pages != hfi_load_relaxed(&node->free_runs.xset_count))
        broken = "A1: the count of free pages is not what the map holds";
    if (broken == NULL)
        broken = hfi_reserve_audit(node);
    if (broken == NULL)
        broken = hfi_marks_audit(node);
    return broken != NULL ? broken : hfi_level_audit(node);
}

const char *hfi_arena_audit_idle(const struct arena_node *node, unsigned class)
{
    const char *broken = hfi_idleset_audit(&node->ample[class]);
    return broken != NULL ? broken : hfi_idleset_audit(&node->scant[class]);
}
