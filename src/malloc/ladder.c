/*
 * ladder: see ladder.h.
 *
 * A rung is a function that answers with a page, or NULL for none.  Two tables of rungs are the
 * policy: one for the node that the theap wants, one for each other node.
 *
 * W1: where the thread has set nothing aside, hfi_ladder answers "none" only after every allowed node
 *     was searched exactly (every page looked at), with this theap's own empty pages given back first.
 * W4: each rung is bounded: a constant number of candidates, or one search of a bitmap.  Those that
 *     look at each page of a node, or visit each theap, come where malloc would fail or go far, or a
 *     growing arena would grow.
 *
 * Tests: tests/unit/full.c, tests/programs/exhaust.c, tests/programs/nth-page.c.
 */
#include "malloc/ladder.h"

#include "base/check.h"
#include "app/events.h"
#include "app/figures.h"
#include "heap/magazine.h"
#include "base/probe.h"
#include "heap/steal.h"
#include "heap/theaps.h"
#include "malloc/thread.h"
#include "arena/arena.h"
#include "heap/page.h"

/* How hard a node is searched. */
enum search {
    SEARCH_OPEN,  /* by hints, a few candidates; a growing arena does not grow for it */
    SEARCH_QUICK, /* by hints, a few candidates */
    SEARCH_EXACT, /* every page is looked at */
};

static void note_place(struct demand *demand, enum hf_inspect_cause place)
{
    demand->farthest = hfi_max(demand->farthest, place);
}

static struct page *take_run(struct theap *theap, struct arena_node *node, struct demand *demand,
                             size_t pages, enum search search)
{
    bool zero = false;
    bool is_block = demand->class == HFI_CLASS_LARGE;
    enum claim where = search == SEARCH_EXACT ? CLAIM_EXACT : is_block ? CLAIM_HIGH : CLAIM_LOW;
    struct page *page = search == SEARCH_OPEN
                          ? hfi_arena_claim_open(node, pages, demand->align_bytes, where, &zero)
                          : hfi_arena_claim(node, pages, demand->align_bytes, where, &zero);
    if (page == NULL)
        return NULL;
    demand->zero = zero;
    demand->fresh = true;
    note_place(demand, HF_CAUSE_FRESH);
    if (is_block) {
        theap->counters.large++;
    } else {
        hfi_page_init(page, theap, demand->class, zero);
        theap->counters.fresh++;
    }
    return page;
}

/* `page` was idle, or there was none. */
static struct page *count_claimed(struct theap *theap, const struct demand *demand, struct page *page)
{
    if (page != NULL)
        *(demand->share ? &theap->counters.shared : &theap->counters.claimed) += 1;
    return page;
}

/* Candidates of an idle set that one call looks at.  Each one passed over is one hint less. */
static size_t candidates(const struct arena_node *node, enum search search)
{
    return search == SEARCH_EXACT ? node->page_count : HFI_CLAIM_CANDIDATES;
}

static struct page *take_ample_or_run(struct theap *theap, struct arena_node *node, struct demand *demand,
                                      enum search search)
{
    struct page *page = NULL;
    if (demand->class != HFI_CLASS_LARGE)
        page = count_claimed(theap, demand,
                             hfi_claim_ample(theap, node, demand->class, candidates(node, search)));
    return page != NULL ? page : take_run(theap, node, demand, demand->pages, search);
}

static struct page *take_scant(struct theap *theap, struct arena_node *node, const struct demand *demand,
                               enum search search)
{
    if (demand->class == HFI_CLASS_LARGE)
        return NULL;
    return count_claimed(theap, demand,
                         hfi_claim_scant(theap, node, demand->class, candidates(node, search)));
}

static struct page *take_short_run(struct theap *theap, struct arena_node *node, struct demand *demand,
                                   enum search search)
{
    if (demand->class == HFI_CLASS_LARGE)
        return NULL;
    size_t least = hfi_sizeclass_least_pages(&hfi_sizeclasses[demand->class]);
    struct page *page = NULL;
    for (size_t pages = demand->pages - 1; pages >= least && page == NULL; pages--)
        if (hfi_arena_free_pages(node) >= pages)
            page = take_run(theap, node, demand, pages, search);
    return page;
}

/* An idle page, whatever its room, of the first class from `class` on that has one and is
 * aligned. */
static struct page *take_idle_from(struct theap *theap, struct arena_node *node, const struct demand *demand,
                                   unsigned class)
{
    for (; class < HFI_CLASS_COUNT; class ++) {
        if (hfi_sizeclasses[class].block_bytes % demand->block_align != 0)
            continue;
        struct page *page = hfi_claim_ample(theap, node, class, candidates(node, SEARCH_EXACT));
        if (page == NULL)
            page = hfi_claim_scant(theap, node, class, candidates(node, SEARCH_EXACT));
        if (page != NULL)
            return page;
    }
    return NULL;
}

/* One visit to each theap from `*next` on, until a page is found; `*next` is then the one behind. */
static struct page *steal_from(struct theap *theap, struct arena_node *node, struct demand *demand,
                               enum search search, struct theap **next, struct stolen *stolen)
{
    struct page *page = NULL;
    while (*next != NULL && page == NULL) {
        struct stolen some = hfi_steal_asleep(theap, node, next);
        stolen->pages += some.pages;
        stolen->blocks += some.blocks;
        stolen->more |= some.more;
        if (some.pages != 0 || some.blocks != 0)
            page = take_ample_or_run(theap, node, demand, search);
    }
    return page;
}

static struct page *steal_from_all(struct theap *theap, struct arena_node *node, struct demand *demand,
                                   struct stolen *stolen)
{
    struct theap *next = hfi_theap_first();
    *stolen = (struct stolen){ 0, 0, false };
    return steal_from(theap, node, demand, SEARCH_QUICK, &next, stolen);
}

static void tell_stolen(const struct arena_node *node, size_t pages)
{
    if (pages == 0)
        return;
    HFI_PROBE2(steal, node->id, pages);
    hfi_inspect_event(HF_EVENT_STOLEN, node, pages, 0);
}

/* --- the rungs --- */

/* An idle page with ample room, else a fresh run. */
static struct page *rung_at_hand(struct theap *theap, struct arena_node *node, struct demand *demand)
{
    return take_ample_or_run(theap, node, demand, SEARCH_QUICK);
}

/* The same of what is open of a growing arena. */
static struct page *rung_open(struct theap *theap, struct arena_node *node, struct demand *demand)
{
    return take_ample_or_run(theap, node, demand, SEARCH_OPEN);
}

/* Before a growing arena grows: pages with room that threads which sleep, or work elsewhere, have queued.
 * Looked for as long as it is worth it. */
static struct page *rung_before_growth(struct theap *theap, struct arena_node *node, struct demand *demand)
{
    struct stolen stolen = { 0, 0, false };
    size_t open = demand->class == HFI_CLASS_LARGE ? 0 : hfi_arena_look_first(node);
    if (open == 0)
        return NULL;
    note_place(demand, HF_CAUSE_STOLEN);
    /* relaxed: any will do; a theap is in the list for ever */
    struct theap *next = hfi_load_relaxed(&node->xlook_from);
    struct page *page = steal_from(theap, node, demand, SEARCH_OPEN, &next, &stolen);
    if (page == NULL) {
        next = hfi_theap_first();
        page = steal_from(theap, node, demand, SEARCH_OPEN, &next, &stolen);
    }
    hfi_store_relaxed(&node->xlook_from, next);
    hfi_arena_looked(node, open, stolen.pages);
    tell_stolen(node, stolen.pages);
    return page;
}

/* Pages with a few free blocks each: before pages are stolen, or a larger class or another node
 * has to serve. */
static struct page *rung_scant(struct theap *theap, struct arena_node *node, struct demand *demand)
{
    return take_scant(theap, node, demand, SEARCH_QUICK);
}

/* What the theap itself keeps empty, and what its magazines hold. */
static struct page *rung_kept(struct theap *theap, struct arena_node *node, struct demand *demand)
{
    return hfi_magazine_give_back(theap) ? take_ample_or_run(theap, node, demand, SEARCH_QUICK) : NULL;
}

/* Half of a node may be free with no run as long as the class likes its runs.  A shorter one, which
 * wastes more at its end, serves as well. */
static struct page *rung_short_run(struct theap *theap, struct arena_node *node, struct demand *demand)
{
    return take_short_run(theap, node, demand, SEARCH_QUICK);
}

/* What threads that sleep keep.  The work grows with how much that is.  A second visit finds pages
 * that got room from the magazines of a theap visited later.  A further one is for theaps that have
 * more than one visit takes.  Each page is taken once: other threads may be quicker to take it
 * back. */
static struct page *rung_sleepers(struct theap *theap, struct arena_node *node, struct demand *demand)
{
    struct page *page = NULL;
    struct stolen stolen;
    size_t pages = 0;
    bool again = true;
    note_place(demand, HF_CAUSE_STOLEN);
    for (unsigned visit = 0; page == NULL && again && pages < node->page_count; visit++) {
        page = steal_from_all(theap, node, demand, &stolen);
        pages += stolen.pages;
        again = (stolen.more && stolen.pages != 0) || (visit == 0 && stolen.blocks != 0);
    }
    /* what was in their magazines may have been of these pages */
    if (page == NULL && hfi_theap_give_back(theap))
        page = take_ample_or_run(theap, node, demand, SEARCH_QUICK);
    tell_stolen(node, pages);
    return page;
}

/* Every page of the node is looked at.  A block that is too large is better than none. */
static struct page *rung_exact(struct theap *theap, struct arena_node *node, struct demand *demand)
{
    struct page *page = NULL;
    note_place(demand, HF_CAUSE_SEARCHED);
    if (demand->class != HFI_CLASS_LARGE || hfi_arena_free_pages(node) >= demand->pages)
        page = take_ample_or_run(theap, node, demand, SEARCH_EXACT);
    if (page == NULL)
        page = take_scant(theap, node, demand, SEARCH_EXACT);
    if (page == NULL)
        page = take_short_run(theap, node, demand, SEARCH_EXACT);
    if (page == NULL && demand->class != HFI_CLASS_LARGE)
        page = take_idle_from(theap, node, demand, demand->class + 1);
    return page;
}

/* A run of the reserve, of the length that the class likes or a shorter one. */
static struct page *take_reserve_run(struct theap *theap, struct arena_node *node, struct demand *demand)
{
    bool is_large = demand->class == HFI_CLASS_LARGE, zero = false;
    size_t least = is_large ? demand->pages : hfi_sizeclass_least_pages(&hfi_sizeclasses[demand->class]);
    struct page *page = NULL;
    for (size_t pages = demand->pages; pages >= least && page == NULL; pages--)
        page = hfi_arena_claim_reserve(node, pages, demand->align_bytes, &zero);
    if (page == NULL)
        return NULL;
    demand->zero = zero;
    demand->fresh = true;
    *(is_large ? &theap->counters.large : &theap->counters.fresh) += 1;
    if (!is_large)
        hfi_page_init(page, theap, demand->class, zero);
    if (hfi_arena_reserve_begun(node))
        hfi_inspect_event(HF_EVENT_RESERVE, node, demand->pages * HFI_PAGE_BYTES,
                          node->reserve_count * HFI_PAGE_BYTES);
    return page;
}

/* What HOLDFAST_RESERVE keeps: a page of it with room, then a run, then one of a larger class. */
static struct page *rung_reserve(struct theap *theap, struct arena_node *node, struct demand *demand)
{
    bool is_large = demand->class == HFI_CLASS_LARGE;
    struct page *page = NULL;
    if (node->reserve_count == 0)
        return NULL;
    for (unsigned class = demand->class; class < HFI_CLASS_COUNT && page == NULL; class ++) {
        if (hfi_sizeclasses[class].block_bytes % hfi_max(demand->block_align, 1) == 0)
            page = hfi_claim_reserve(theap, node, class, node->reserve_count);
        theap->counters.claimed += page != NULL;
        if (page == NULL && class == demand->class)
            page = take_reserve_run(theap, node, demand);
    }
    return page == NULL && is_large ? take_reserve_run(theap, node, demand) : page;
}

/* --- the policy --- */

typedef struct page *rung(struct theap *theap, struct arena_node *node, struct demand *demand);

/* In this order.  ARCHITECTURE.md tells the same, line by line. */
static rung *const wanted_node[] = {
    rung_at_hand, rung_scant, rung_kept, rung_short_run, rung_sleepers, rung_exact, NULL,
};
/* The same of a growing arena. */
static rung *const growing_node[] = {
    rung_open,      rung_before_growth, rung_at_hand, rung_scant, rung_kept,
    rung_short_run, rung_sleepers,      rung_exact,   NULL,
};
static rung *const other_nodes[] = {
    rung_at_hand, rung_scant, rung_short_run, rung_sleepers, rung_exact, NULL,
};

/* Where the thread has set a block aside (aside.h): what is found at once, and on the wanted node.  A
 * call that must not fail is mostly one that must not take long either; a search that looks at every
 * page, and at every thread, would find no more for the same number of calls. */
static rung *const before_aside[] = {
    rung_at_hand, rung_scant, rung_kept, rung_short_run, NULL,
};

/* Where nothing else is left on any allowed node, for those who may. */
static rung *const reserve[] = { rung_reserve, NULL };

static struct page *climb(rung *const *rungs, struct theap *theap, struct arena_node *node,
                          struct demand *demand)
{
    struct page *page = NULL;
    while (page == NULL && *rungs != NULL)
        page = (*rungs++)(theap, node, demand);
    return page;
}

/* Interleaving has no node that the others would be remote to. */
static bool may_go_away(const struct demand *demand)
{
    return demand->only == NULL && (hfi_options.remote_allow || hfi_options.place == PLACE_INTERLEAVE);
}

static uint64_t pages_taken(const struct theap *theap)
{
    return theap->counters.fresh + theap->counters.claimed + theap->counters.large;
}

/* Nearest first. */
static struct page *climb_others(struct theap *theap, struct arena_node *home, struct demand *demand,
                                 rung *const *rungs)
{
    const uint8_t *nearest = hfi_arena.reservation.nodes[home->index].nearest;
    for (unsigned i = 1; i < hfi_arena.node_count && may_go_away(demand); i++) {
        struct arena_node *node = &hfi_arena.nodes[nearest[i]];
        uint64_t before = pages_taken(theap);
        struct page *page = climb(rungs, theap, node, demand);
        if (page == NULL)
            continue;
        theap->counters.away[hfi_min(i, HFI_DISTANCES) - 1] += pages_taken(theap) - before;
        note_place(demand, HF_CAUSE_AWAY);
        HFI_PROBE3(remote, home->id, node->id, demand->pages);
        hfi_inspect_full(home, demand->pages * HFI_PAGE_BYTES, node);
        return page;
    }
    return NULL;
}

static struct page *climb_all(struct theap *theap, struct arena_node *node, struct demand *demand)
{
    rung *const *rungs = hfi_arena.reservation.growing ? growing_node : wanted_node;
    struct page *page = climb(rungs, theap, node, demand);
    if (page == NULL)
        return climb_others(theap, node, demand, other_nodes);
    hfi_inspect_room(node);
    return page;
}

/* A stealer had the theap's lists when this call entered: whether they are back. */
static bool regain_lists(struct theap *theap)
{
    if (hfi_theap_has_lists(theap))
        return false;
    hfi_theap_leave(theap);
    hfi_theap_enter(theap);
    return hfi_theap_has_lists(theap);
}

/* The pages with room that the theap has itself, of larger classes perhaps: let go of, they are
 * found like others'. */
static struct page *take_own(struct theap *theap, struct arena_node *node, struct demand *demand)
{
    hfi_theap_let_go_all(theap);
    struct page *page = rung_exact(theap, node, demand);
    return page != NULL ? page : climb_others(theap, node, demand, other_nodes);
}

static struct page *climb_reserves(struct theap *theap, struct arena_node *node, struct demand *demand)
{
    struct page *page = climb(reserve, theap, node, demand);
    return page != NULL ? page : climb_others(theap, node, demand, reserve);
}

struct page *hfi_ladder(struct theap *theap, struct demand *demand)
{
    struct arena_node *node = demand->only != NULL ? demand->only : hfi_ladder_choose_node(theap);
    demand->farthest = HF_CAUSE_CLAIMED;
    hfi_magazine_shed(theap);
    hfi_theap_shed(theap, demand->class);
    if (demand->has_aside)
        return climb(before_aside, theap, node, demand);
    struct page *page = climb_all(theap, node, demand);
    if (page == NULL && regain_lists(theap))
        page = climb_all(theap, node, demand);
    bool own_may_do = demand->class != HFI_CLASS_LARGE && !demand->dispensable;
    page = page == NULL && own_may_do ? take_own(theap, node, demand) : page;
    if (page == NULL && demand->privileged)
        page = climb_reserves(theap, node, demand);
    hfi_assert(page == NULL || page->list == LIST_NONE);
    hfi_assert(page == NULL || demand->only == NULL || hfi_node_of_page(page) == demand->only);
    return page;
}

struct arena_node *hfi_ladder_choose_node(struct theap *theap)
{
    if (hfi_arena.node_count == 1)
        return theap->node;
    if (hfi_options.place == PLACE_INTERLEAVE) {
        const struct counters *counters = &theap->counters;
        return &hfi_arena.nodes[(theap->index + counters->fresh + counters->claimed + counters->large) %
                                hfi_arena.node_count];
    }
    if (hfi_options.place == PLACE_LOCAL) {
        struct arena_node *node = hfi_thread_node();
        if (node != theap->node) {
            hfi_magazines_return(theap, hfi_theap_has_lists(theap));
            hfi_theap_move(theap, node);
        }
    }
    return theap->node;
}

/* --- for a thread without a theap --- */

struct page *hfi_ladder_idle_page(const struct demand *demand)
{
    struct page *page = NULL;
    for (unsigned i = 0; i < hfi_arena.node_count && page == NULL; i++)
        page = take_idle_from(NULL, &hfi_arena.nodes[i], demand, demand->class);
    return page;
}

bool hfi_ladder_steal_asleep(void)
{
    uint32_t gained = 0;
    for (unsigned i = 0; i < hfi_arena.node_count; i++)
        for (struct theap *next = hfi_theap_first(); next != NULL;) {
            struct stolen stolen = hfi_steal_asleep(NULL, &hfi_arena.nodes[i], &next);
            gained += stolen.pages + stolen.blocks;
        }
    return gained != 0;
}
