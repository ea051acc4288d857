/*
 * slow: see slow.h.
 *
 * ladder() is the only function that decides where memory comes from next;
 * what it calls answers "none" and never calls up.  Each rung is bounded: a constant
 * number of candidates, one search of a bitmap.
 *
 * W1: malloc fails only after every allowed node was searched exactly (every page looked
 *     at), with this theap's own empty pages given back first.
 * W2: free never fails and never touches errno.
 * W3: realloc fails only when malloc of what was asked for would: not for the room it likes to
 *     add, and never when the block is made smaller.
 *
 * Tests: tests/unit/core.c, tests/programs/exhaust.c, tests/programs/misuse.c, tests/programs/nth-page.c.
 */
#include "slow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "boot.h"
#include "check.h"
#include "init.h"
#include "inspect.h"
#include "large.h"
#include "magazine.h"
#include "pressure.h"
#include "probe.h"
#include "remote.h"
#include "stats.h"
#include "steal.h"

/* What malloc is asked for when this thread's own pages do not have it. */
struct request {
    size_t bytes;
    size_t align_bytes; /* over HFI_PAGE_BYTES: whole pages, whatever the size */
    bool zero;
    bool dispensable; /* the caller can do without */
};

/* What the ladder is asked for. */
struct demand {
    unsigned class;     /* HFI_CLASS_LARGE: a run that is one block */
    size_t block_align; /* that a block of a larger class must have */
    bool dispensable;   /* not worth the theap's own pages */
    size_t pages;       /* length of a fresh run */
    size_t align_bytes; /* of a fresh run */
    bool share;         /* only a few blocks of a page, which others go on taking from: the node is tight */
    bool zero;          /* out: the run's memory was never used (large only) */
};

/* How hard a node is searched. */
enum search {
    SEARCH_QUICK, /* by hints, a few candidates */
    SEARCH_EXACT, /* every page is looked at */
};

static struct page *take_run(struct theap *theap, struct arena_node *node, struct demand *demand, size_t pages, enum search search)
{
    bool zero = false;
    struct page *page = hfi_arena_claim(node, pages, demand->align_bytes, search == SEARCH_EXACT, &zero);
    if (page == NULL)
        return NULL;
    demand->zero = zero;
    if (demand->class == HFI_CLASS_LARGE) {
        theap->counters.large++;
    } else {
        hfi_page_init(page, theap, demand->class, zero);
        theap->counters.fresh++;
    }
    return page;
}

/* Half of a node may be free with no run as long as the class likes its runs: a shorter one, which
 * wastes more at its end, holds the block as well. */
static struct page *take_short_run(struct theap *theap, struct arena_node *node, struct demand *demand, enum search search)
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
    return search == SEARCH_EXACT ? node->page_count : HFI_STEAL_CANDIDATES;
}

static struct page *take_from(struct theap *theap, struct arena_node *node, struct demand *demand, enum search search)
{
    struct page *page = NULL;
    if (demand->class != HFI_CLASS_LARGE)
        page = count_claimed(theap, demand, hfi_steal_idle(theap, node, demand->class, candidates(node, search)));
    return page != NULL ? page : take_run(theap, node, demand, demand->pages, search);
}

/* Pages with a few free blocks each: before anybody is robbed, or a larger class or another node has to serve. */
static struct page *take_scant(struct theap *theap, struct arena_node *node, const struct demand *demand, enum search search)
{
    if (demand->class == HFI_CLASS_LARGE)
        return NULL;
    return count_claimed(theap, demand, hfi_steal_scant(theap, node, demand->class, candidates(node, search)));
}

/* An idle page, whatever its room, of the first class from `class` on that has one and is aligned. */
static struct page *take_idle_from(struct theap *theap, struct arena_node *node, const struct demand *demand, unsigned class)
{
    for (; class < HFI_CLASS_COUNT; class++) {
        if (hfi_sizeclasses[class].block_bytes % demand->block_align != 0)
            continue;
        struct page *page = hfi_steal_idle(theap, node, class, candidates(node, SEARCH_EXACT));
        if (page == NULL)
            page = hfi_steal_scant(theap, node, class, candidates(node, SEARCH_EXACT));
        if (page != NULL)
            return page;
    }
    return NULL;
}

/* A block that is too large is better than none. */
static struct page *take_larger_class(struct theap *theap, struct arena_node *node, const struct demand *demand)
{
    return demand->class == HFI_CLASS_LARGE ? NULL : take_idle_from(theap, node, demand, demand->class + 1);
}

/* The last word on one node: every page of it is looked at. */
static struct page *take_exactly(struct theap *theap, struct arena_node *node, struct demand *demand)
{
    struct page *page = NULL;
    if (demand->class != HFI_CLASS_LARGE || hfi_arena_free_pages(node) >= demand->pages)
        page = take_from(theap, node, demand, SEARCH_EXACT);
    if (page == NULL)
        page = take_scant(theap, node, demand, SEARCH_EXACT);
    if (page == NULL)
        page = take_short_run(theap, node, demand, SEARCH_EXACT);
    return page != NULL ? page : take_larger_class(theap, node, demand);
}

/* One visit to each theap. */
static struct page *rob_all(struct theap *theap, struct arena_node *node, struct demand *demand, struct spoils *spoils)
{
    struct page *page = NULL;
    *spoils = (struct spoils){ 0, 0, false };
    for (struct theap *next = hfi_theap_first(); next != NULL && page == NULL;) {
        struct spoils some = hfi_steal_asleep(theap, node, &next);
        spoils->pages += some.pages;
        spoils->blocks += some.blocks;
        spoils->more |= some.more;
        if (some.pages != 0 || some.blocks != 0)
            page = take_from(theap, node, demand, SEARCH_QUICK);
    }
    return page;
}

/* What threads that sleep hold back.  Grows with what they hold, but only where malloc would fail or go far. A second
 * visit finds pages that got room from the magazines of a theap visited later; a further one is for theaps
 * that have more than one visit takes.  Each page is taken once: other threads may be quicker to take it back. */
static struct page *take_from_sleepers(struct theap *theap, struct arena_node *node, struct demand *demand)
{
    struct page *page = NULL;
    struct spoils spoils;
    size_t stolen = 0;
    bool again = true;
    for (unsigned visit = 0; page == NULL && again && stolen < node->page_count; visit++) {
        page = rob_all(theap, node, demand, &spoils);
        stolen += spoils.pages;
        again = (spoils.more && spoils.pages != 0) || (visit == 0 && spoils.blocks != 0);
    }
    if (page == NULL && hfi_theap_give_back(theap)) /* what was in their magazines may have been of these pages */
        page = take_from(theap, node, demand, SEARCH_QUICK);
    if (stolen != 0) {
        HFI_PROBE2(steal, node->id, stolen);
        hfi_inspect_event(HF_EVENT_STOLEN, node, stolen, 0);
    }
    return page;
}

/* This node has nothing at hand: the theap's own holdings first, then shorter runs, then what others hold. */
static struct page *take_pressed(struct theap *theap, struct arena_node *node, struct demand *demand)
{
    struct page *page = take_scant(theap, node, demand, SEARCH_QUICK);
    if (page == NULL && hfi_magazine_give_back(theap))
        page = take_from(theap, node, demand, SEARCH_QUICK);
    if (page == NULL)
        page = take_short_run(theap, node, demand, SEARCH_QUICK);
    if (page == NULL)
        page = take_from_sleepers(theap, node, demand);
    return page != NULL ? page : take_exactly(theap, node, demand);
}

/* Interleaving has no node that the others would be remote to. */
static bool may_go_away(void)
{
    return hfi_options.remote_allow || hfi_options.place == PLACE_INTERLEAVE;
}

static uint64_t pages_taken(const struct theap *theap)
{
    return theap->counters.fresh + theap->counters.claimed + theap->counters.large;
}

static struct page *take_away_from_home(struct theap *theap, struct arena_node *node, struct demand *demand)
{
    struct page *page = take_from(theap, node, demand, SEARCH_QUICK);
    if (page == NULL)
        page = take_scant(theap, node, demand, SEARCH_QUICK);
    if (page == NULL)
        page = take_short_run(theap, node, demand, SEARCH_QUICK);
    if (page == NULL)
        page = take_from_sleepers(theap, node, demand);
    return page != NULL ? page : take_exactly(theap, node, demand);
}

/* Nearest first. */
static struct page *take_remote_node(struct theap *theap, struct arena_node *home, struct demand *demand)
{
    const uint8_t *nearest = hfi_arena.reservation.nodes[home->index].nearest;
    for (unsigned i = 1; i < hfi_arena.node_count && may_go_away(); i++) {
        struct arena_node *node = &hfi_arena.nodes[nearest[i]];
        uint64_t before = pages_taken(theap);
        struct page *page = take_away_from_home(theap, node, demand);
        if (page == NULL)
            continue;
        theap->counters.away[hfi_min(i, HFI_DISTANCES) - 1] += pages_taken(theap) - before;
        HFI_PROBE3(remote, home->id, node->id, demand->pages);
        hfi_inspect_full(home, demand->pages * HFI_PAGE_BYTES, node);
        return page;
    }
    return NULL;
}

/* Where a theap's next pages come from (HOLDFAST_PLACE): a thread that was moved is followed. */
static struct arena_node *choose_node(struct theap *theap)
{
    if (hfi_arena.node_count == 1)
        return theap->node;
    if (hfi_options.place == PLACE_INTERLEAVE) {
        const struct counters *counters = &theap->counters;
        return &hfi_arena.nodes[(theap->index + counters->fresh + counters->claimed + counters->large) % hfi_arena.node_count];
    }
    if (hfi_options.place == PLACE_LOCAL) {
        struct arena_node *node = hfi_thread_node();
        if (node != theap->node) {
            hfi_magazines_return(theap, theap->lists_ours);
            hfi_theap_move(theap, node);
        }
    }
    return theap->node;
}

static struct page *climb(struct theap *theap, struct arena_node *node, struct demand *demand)
{
    struct page *page = take_from(theap, node, demand, SEARCH_QUICK);
    if (page == NULL)
        page = take_pressed(theap, node, demand);
    if (page == NULL)
        return take_remote_node(theap, node, demand);
    hfi_inspect_room(node);
    return page;
}

/* A stealer had the theap's lists when this call entered: whether they are back. */
static bool regain_lists(struct theap *theap)
{
    if (theap->lists_ours)
        return false;
    hfi_theap_leave(theap);
    hfi_theap_enter(theap);
    return theap->lists_ours;
}

/* The pages with room that the theap has itself, of larger classes perhaps: let go of, they are found like others'. */
static struct page *take_own(struct theap *theap, struct arena_node *node, struct demand *demand)
{
    hfi_theap_let_go_all(theap);
    struct page *page = take_exactly(theap, node, demand);
    return page != NULL ? page : take_remote_node(theap, node, demand);
}

/* The exhaustion ladder (ARCHITECTURE.md): own pages were tried before. */
static struct page *ladder(struct theap *theap, struct demand *demand)
{
    struct arena_node *node = choose_node(theap);
    hfi_magazine_shed(theap);
    hfi_theap_shed(theap, demand->class);
    struct page *page = climb(theap, node, demand);
    if (page == NULL && regain_lists(theap))
        page = climb(theap, node, demand);
    bool own_may_do = demand->class != HFI_CLASS_LARGE && !demand->dispensable;
    return page == NULL && own_may_do ? take_own(theap, node, demand) : page;
}

void *hfi_fail_enomem(void)
{
    errno = ENOMEM;
    return NULL;
}

static void *fail_as_asked(void)
{
    if (hfi_options.on_full == ON_FULL_ABORT && !hfi_pressure_is_calling()) /* the callback may be about to free */
        hfi_die("HF-E013", "arena", "aborting on a full arena, as HOLDFAST_ON_FULL=abort asks; do what HF-E012 above says, or set HOLDFAST_ON_FULL=fail");
    return hfi_fail_enomem();
}

/* The empty theap is every thread's, and counts nothing. */
static void count_failure(struct theap *theap)
{
    if (theap->thread == 0)
        return;
    theap->counters.failed++;
    hfi_inspect_end(theap, NULL, 0);
}

/* What no arena of this size could give is the caller's affair. */
static HFI_COLD void *fail_impossible(size_t bytes, size_t align_bytes)
{
    static _Atomic(bool) xsaid;
    if (!atomic_exchange(&xsaid, true))
        hfi_say(SAY_INFO, "HF-I014", "arena", "refused %zu bytes, aligned to %zu: more than the whole arena", bytes, align_bytes);
    count_failure(hfi_theap);
    return hfi_fail_enomem();
}

/* Nothing fits: say so, and do as HOLDFAST_ON_FULL says. */
static HFI_COLD void *fail_full(size_t bytes, size_t pages, size_t align_bytes)
{
    struct theap *theap = hfi_theap;
    uint64_t unreported;
    HFI_PROBE2(full, bytes, pages);
    if (theap->thread != 0)
        hfi_inspect_full(theap->node, bytes, NULL);
    count_failure(theap);
    if (hfi_stats_report_full(bytes, pages, align_bytes, &unreported))
        hfi_inspect_event(HF_EVENT_REPORT, theap->thread != 0 ? theap->node : &hfi_arena.nodes[0], bytes, unreported);
    return fail_as_asked();
}

/* The arena is full: asks the application to free something.  Its callbacks run with nothing held, and may
 * allocate, free or fork: the thread may come back with another theap, or none. */
static HFI_COLD bool ask_application(struct arena_node *node, size_t pages)
{
    if (!hfi_pressure_is_wanted())
        return false;
    bool freed = hfi_pressure_call(pages * HFI_PAGE_BYTES, node->id);
    if (hfi_theap->thread != 0)
        hfi_theap->counters.pressed++;
    hfi_inspect_event(HF_EVENT_PRESSURE, node, pages * HFI_PAGE_BYTES, freed);
    return freed;
}

/* A block of whole pages; NULL when the arena is full, which is not reported here. */
static void *take_large(struct theap *theap, size_t bytes, size_t align_bytes, bool zero)
{
    struct demand demand = {
        .class = HFI_CLASS_LARGE,
        .pages = hfi_large_pages(bytes),
        .align_bytes = hfi_max(align_bytes, HFI_PAGE_BYTES),
    };
    uint64_t begun = hfi_inspect_begin();
    hfi_theap_enter(theap);
    struct page *head = ladder(theap, &demand);
    hfi_theap_leave(theap);
    HFI_PROBE3(slow, bytes, theap->node->id, head != NULL);
    hfi_inspect_end(theap, head, begun);
    if (head == NULL)
        return NULL;
    void *block = hfi_large_dress(head);
    if (zero && !demand.zero)
        memset(block, 0, bytes);
    return block;
}

/* A page with a free block from the ladder: current from now on, or, on a tight node, where threads share pages, the
 * magazine filled from it; a page of a larger class stays in no list. */
static struct page *class_take(struct theap *theap, unsigned class, const struct request *request)
{
    struct demand demand = {
        .class = class,
        .block_align = request->align_bytes,
        .dispensable = request->dispensable,
        .pages = hfi_sizeclasses[class].run_pages,
        .align_bytes = HFI_PAGE_BYTES,
        .share = hfi_node_is_tight(theap->node),
    };
    uint64_t begun = hfi_inspect_begin();
    struct page *page = ladder(theap, &demand);
    HFI_PROBE3(slow, hfi_sizeclasses[class].block_bytes, theap->node->id, page != NULL);
    hfi_inspect_end(theap, page, begun);
    if (page == NULL)
        return NULL;
    hfi_assert(theap->classes[class].current == &hfi_empty_page);
    bool share = demand.share || page->size_class != class;
    if (!share)
        hfi_theap_install(theap, page);
    if (page->free == NULL)
        theap->counters.listed += hfi_page_refill(page);
    if (share && page->size_class == class && class < HFI_DIRECT_CLASSES && !HFI_SECURE)
        return hfi_magazine_fill(theap, page);
    return page;
}

/* A page with a free block of a class.  One in no list is to be let go after one block.  NULL when the arena is full. */
static struct page *class_refill(struct theap *theap, unsigned class, const struct request *request)
{
    if (hfi_arena.node_count > 1 && hfi_options.place != PLACE_INTERLEAVE) {
        choose_node(theap);
        hfi_theap_leave_away(theap, class);
    }
    bool direct = class < HFI_DIRECT_CLASSES, magazine_first = direct && hfi_magazine_is_first(theap);
    struct page *page = magazine_first ? hfi_magazine_load(theap, class) : NULL;
    if (page == NULL)
        page = hfi_theap_refill(theap, class);
    if (page == NULL && direct && !magazine_first)
        page = hfi_magazine_load(theap, class);
    if (page == NULL)
        page = hfi_theap_next_page(theap, class);
    return page != NULL ? page : class_take(theap, class, request);
}

/* The boot region is full, or could never hold the request. */
static HFI_COLD void *fail_boot(const struct request *request)
{
    static _Atomic(bool) xsaid;
    size_t bytes = request->bytes;
    if (bytes <= HFI_BOOT_MAX_BYTES && request->align_bytes <= HFI_BOOT_MAX_ALIGN) {
        if (!atomic_exchange(&xsaid, true))
            hfi_say(SAY_ERROR, "HF-E014", "boot", "the %zu MiB that serve a program without an arena have no %zu bytes left, or the kernel "
                    "refuses them; a child of HOLDFAST_FORK=dontfork should do little but exec: set HOLDFAST_FORK=private",
                    HFI_BOOT_MAX_BYTES / HFI_MIB, bytes);
        return fail_as_asked();
    }
    return hfi_fail_enomem();
}

static void *pop_zeroed(struct page *page, size_t bytes, bool zero)
{
    struct block *block = page->free;
    bool is_zero = page->free_zero;
    hfi_page_pop(page, block);
    if (zero && !is_zero)
        memset(block, 0, bytes);
    else if (zero)
        block->next = NULL;
    return block;
}

/* A block of a class; NULL when the arena is full, which is not reported here. */
static void *take_block(struct theap *theap, const struct request *request)
{
    hfi_theap_enter(theap);
    struct page *page = class_refill(theap, hfi_sizeclass_of(request->bytes), request);
    void *block = page == NULL ? NULL : pop_zeroed(page, request->bytes, request->zero);
    if (page != NULL && page->list == LIST_NONE)
        hfi_page_let_go(page);
    hfi_theap_leave(theap);
    return block;
}

/* The end of a call: `had_theap` says whether the thread had one when it came. */
static void *served(bool had_theap, void *block)
{
    if (hfi_unlikely(!had_theap))
        hfi_thread_served();
    return block;
}

static bool is_large(const struct request *request)
{
    return request->bytes > HFI_BLOCK_MAX_BYTES || request->align_bytes > HFI_PAGE_BYTES;
}

/* Of the shortest run that would do. */
static size_t pages_of(const struct request *request)
{
    return is_large(request) ? hfi_large_pages(request->bytes)
                             : hfi_sizeclass_least_pages(&hfi_sizeclasses[hfi_sizeclass_of(request->bytes)]);
}

static bool is_impossible(const struct request *request)
{
    return request->bytes > PTRDIFF_MAX || request->bytes > HFI_ARENA_MAX_BYTES ||
           hfi_max(pages_of(request), request->align_bytes >> HFI_PAGE_SHIFT) > hfi_arena.page_count;
}

/* NULL when the arena is full, which is not reported here. */
static void *take(struct theap *theap, const struct request *request)
{
    if (is_large(request))
        return take_large(theap, request->bytes, request->align_bytes, request->zero);
    return take_block(theap, request);
}

/* For a thread without a theap, where no page is left for one: a page that nobody owns is won, gives one block, and
 * is let go. */
static void *block_of_idle_page(const struct request *request)
{
    struct demand demand = { .class = hfi_sizeclass_of(request->bytes), .block_align = request->align_bytes };
    struct page *page = NULL;
    for (unsigned i = 0; i < hfi_arena.node_count && page == NULL && !is_large(request); i++)
        page = take_idle_from(NULL, &hfi_arena.nodes[i], &demand, demand.class);
    if (page == NULL)
        return NULL;
    if (page->free == NULL)
        hfi_page_refill(page);
    void *block = pop_zeroed(page, request->bytes, request->zero);
    hfi_page_let_go(page);
    return block;
}

static void *take_boot(const struct request *request)
{
    return request->align_bytes <= HFI_BOOT_MAX_ALIGN ? hfi_boot_alloc(request->bytes, request->align_bytes) : NULL;
}

/* Whatever this thread is by now. */
static void *take_anyhow(const struct request *request)
{
    struct theap *theap = hfi_thread_attach();
    if (theap != NULL)
        return take(theap, request);
    return hfi_init_pending() ? take_boot(request) : block_of_idle_page(request);
}

/* Pages and blocks of threads that sleep, on every node. */
static bool rob_sleepers_of_all_nodes(void)
{
    uint32_t gained = 0;
    for (unsigned i = 0; i < hfi_arena.node_count; i++)
        for (struct theap *next = hfi_theap_first(); next != NULL;) {
            struct spoils spoils = hfi_steal_asleep(NULL, &hfi_arena.nodes[i], &next);
            gained += spoils.pages + spoils.blocks;
        }
    return gained != 0;
}

static HFI_COLD void *malloc_from_boot(const struct request *request)
{
    void *block = take_boot(request);
    return block != NULL ? block : fail_boot(request);
}

/* A callback may have left this thread in a child that has no arena. */
static HFI_COLD void *fail(const struct request *request)
{
    return hfi_init_pending() ? malloc_from_boot(request) : fail_full(request->bytes, pages_of(request), request->align_bytes);
}

static HFI_COLD void *malloc_without_theap(const struct request *request)
{
    if (hfi_init_pending())
        return malloc_from_boot(request);
    if (is_impossible(request))
        return fail_impossible(request->bytes, request->align_bytes);
    void *block = take_anyhow(request);
    if (block == NULL && rob_sleepers_of_all_nodes())
        block = take_anyhow(request);
    if (block == NULL && ask_application(hfi_thread_node(), pages_of(request)))
        block = take_anyhow(request);
    return block != NULL ? block : fail(request);
}

static void *malloc_attached(struct theap *theap, const struct request *request)
{
    if (hfi_unlikely(is_impossible(request)))
        return fail_impossible(request->bytes, request->align_bytes);
    void *block = take(theap, request);
    if (hfi_likely(block != NULL))
        return block;
    if (ask_application(theap->node, pages_of(request)))
        block = take_anyhow(request);
    return block != NULL ? block : fail(request);
}

void *hfi_malloc_slow(size_t bytes, bool zero)
{
    struct theap *theap = hfi_theap;
    struct page *page = hfi_current_page(bytes);
    /* What a full turn of malloc and free leads to each time: kept short. */
    if (hfi_likely(page->local_free != NULL)) {
        theap->counters.listed += hfi_page_swap(page);
        return pop_zeroed(page, bytes, zero);
    }
    struct request request = { .bytes = bytes, .align_bytes = HFI_MAX_ALIGN, .zero = zero };
    bool had_theap = theap->thread != 0;
    theap = hfi_thread_attach();
    if (hfi_unlikely(theap == NULL))
        return malloc_without_theap(&request);
    return served(had_theap, malloc_attached(theap, &request));
}

/* Smallest class of at least `bytes` whose blocks all lie on multiples of `align`. */
static unsigned class_aligned(size_t align, size_t bytes)
{
    unsigned class = hfi_sizeclass_of(hfi_max(bytes, align));
    while (class < HFI_CLASS_COUNT && hfi_sizeclasses[class].block_bytes % align != 0)
        class++;
    return class;
}

void *hfi_aligned_alloc(size_t align, size_t bytes)
{
    if (align <= HFI_MAX_ALIGN)
        return hfi_malloc(bytes);
    struct request request = { .bytes = bytes, .align_bytes = align, .zero = false };
    if (align <= HFI_PAGE_BYTES && bytes <= HFI_BLOCK_MAX_BYTES) {
        unsigned class = class_aligned(align, bytes);
        hfi_assert(class < HFI_CLASS_COUNT);
        request.bytes = hfi_sizeclasses[class].block_bytes;
        const struct page *page = hfi_current_page(request.bytes);
        if (page->free != NULL || page->local_free != NULL)
            return hfi_malloc(request.bytes);
    }
    if (align > HFI_WINDOW_BYTES)
        return hfi_fail_enomem();
    bool had_theap = hfi_theap->thread != 0;
    struct theap *theap = hfi_thread_attach();
    return theap == NULL ? malloc_without_theap(&request) : served(had_theap, malloc_attached(theap, &request));
}

static void *large_on_node(struct theap *theap, size_t bytes, struct arena_node *node)
{
    struct demand demand = {
        .class = HFI_CLASS_LARGE,
        .pages = hfi_large_pages(bytes),
        .align_bytes = HFI_PAGE_BYTES,
    };
    uint64_t begun = hfi_inspect_begin();
    struct page *head = take_from(theap, node, &demand, SEARCH_QUICK);
    if (head == NULL)
        head = take_pressed(theap, node, &demand);
    hfi_inspect_end(theap, head, begun);
    return head == NULL ? NULL : hfi_large_dress(head);
}

/* A page is won, gives one block, and is let go: it stays among the idle pages of its node, for the next such call
 * of any thread, and never becomes this thread's page for ordinary blocks. */
static void *block_on_node(struct theap *theap, size_t bytes, struct arena_node *node)
{
    unsigned class = hfi_sizeclass_of(bytes);
    struct demand demand = {
        .class = class,
        .block_align = HFI_MAX_ALIGN,
        .pages = hfi_sizeclasses[class].run_pages,
        .align_bytes = HFI_PAGE_BYTES,
    };
    uint64_t begun = hfi_inspect_begin();
    struct page *page = take_from(theap, node, &demand, SEARCH_QUICK);
    if (page == NULL)
        page = take_pressed(theap, node, &demand);
    if (page == NULL) {
        hfi_theap_let_go_all(theap);
        page = take_exactly(theap, node, &demand);
    }
    hfi_inspect_end(theap, page, begun);
    if (page == NULL)
        return NULL;
    if (page->free == NULL)
        theap->counters.listed += hfi_page_refill(page);
    void *block = pop_zeroed(page, bytes, false);
    hfi_page_let_go(page);
    return block;
}

static void *take_on_node(struct theap *theap, size_t bytes, struct arena_node *node)
{
    hfi_theap_enter(theap);
    void *block = bytes > HFI_BLOCK_MAX_BYTES ? large_on_node(theap, bytes, node) : block_on_node(theap, bytes, node);
    hfi_theap_leave(theap);
    return block;
}

void *hfi_malloc_on_node(size_t bytes, struct arena_node *node)
{
    struct request request = { .bytes = bytes, .align_bytes = HFI_MAX_ALIGN, .zero = false };
    struct theap *theap = hfi_thread_attach();
    if (theap == NULL || is_impossible(&request))
        return hfi_fail_enomem();
    const struct page *current = hfi_current_page(bytes);
    bool stands_in = current->list != LIST_CURRENT || current->run_pages == 0; /* empty, or a magazine */
    if (!stands_in && hfi_page_has_room(current) && hfi_node_of_page(current) == node)
        return hfi_malloc(bytes);
    void *block = take_on_node(theap, bytes, node);
    if (block == NULL && ask_application(node, pages_of(&request)) && (theap = hfi_thread_attach()) != NULL)
        block = take_on_node(theap, bytes, node);
    if (block != NULL)
        return block;
    hfi_inspect_full(node, bytes, NULL);
    count_failure(hfi_theap);
    return hfi_fail_enomem();
}

/* What an address is, when it should be a live block. */
struct found {
    struct page *page; /* head */
    uintptr_t owner;
};

static HFI_COLD _Noreturn void die_invalid(const void *pointer, const char *call, uintptr_t owner)
{
    if (!hfi_in_arena(pointer))
        hfi_die("HF-E301", call, "%p did not come from this allocator (arena %p to %p): freed memory of another allocator, "
                "of the stack, or a wild pointer; run the program under valgrind",
                pointer, (void *)hfi_base, (void *)(hfi_base + hfi_span));
    if (owner == HFI_OWNER_META)
        hfi_die("HF-E306", call, "%p lies in Holdfast's own structures: a wild pointer; run the program under valgrind", pointer);
    hfi_die("HF-E302", call, "%p lies in a page that is not handed out: freed twice, or a pointer into the middle of a "
            "large block; run the program under the secure build or valgrind", pointer);
}

HFI_INLINE struct found find(const void *pointer, const char *call)
{
    struct found found = { .page = NULL, .owner = HFI_OWNER_NONE };
    if (hfi_unlikely(!hfi_in_arena(pointer)))
        die_invalid(pointer, call, HFI_OWNER_NONE);
    size_t index = hfi_index_of(pointer);
    found.owner = hfi_load_relaxed(hfi_owner_at(index));
    if (hfi_unlikely(found.owner == HFI_OWNER_INTERIOR)) {
        index -= hfi_page_at(index)->head_delta;
        found.owner = hfi_load_relaxed(hfi_owner_at(index));
    }
    if (hfi_unlikely(found.owner < HFI_OWNER_LARGE))
        die_invalid(pointer, call, found.owner);
    found.page = hfi_page_at(index);
    return found;
}

static void free_own(struct page *page, struct block *block)
{
    hfi_dead(block);
    hfi_link_set(page, block, page->local_free);
    page->local_free = block;
    if (--page->used == 0)
        hfi_theap_emptied(hfi_theap, page);
}

/* This thread's theap, made if need be; NULL at the thread's end or when there is no memory for it. */
static struct theap *thread_theap(void)
{
    if (hfi_likely(hfi_theap->thread != 0))
        return hfi_theap;
    int saved_errno = errno;
    struct theap *theap = hfi_thread_may_attach() ? hfi_thread_attach() : NULL;
    errno = saved_errno;
    if (theap != NULL)
        hfi_theap_enter(theap);
    return theap;
}

/* Whether one of a run's `blocks` blocks of `class` starts `offset` bytes into it. */
HFI_INLINE bool is_start(const struct sizeclass *class, uint32_t blocks, uint32_t offset)
{
    uint32_t block = hfi_sizeclass_block(class, offset);
    return block * class->block_bytes == offset && block < blocks;
}

HFI_INLINE void check_start(const struct page *page, const void *pointer, const char *call)
{
    uint32_t offset = (uint32_t)((const char *)pointer - hfi_page_start(page));
    if (hfi_unlikely(!is_start(&hfi_sizeclasses[page->size_class], page->reserved, offset)))
        hfi_die("HF-E303", call, "%p points into a block of %u bytes, not at its start; pass what malloc returned",
                pointer, page->block_bytes);
}

/* A block of a page that another thread owns, or nobody. */
static void free_others(struct page *page, uintptr_t owner, struct block *block)
{
    struct theap *theap = thread_theap();
    hfi_dead(block);
    if (theap != NULL) {
        if (hfi_magazine_put(theap, page, owner, block))
            return;
        hfi_magazine_count(theap, owner);
    }
    hfi_remote_free(theap, page, block);
}

/* Inside: owners[] is read, and acted upon, between entering and leaving. */
static void free_inside(void *pointer)
{
    struct found found = find(pointer, "free");
    struct page *page = found.page;
    if (found.owner == HFI_OWNER_LARGE) {
        hfi_large_free(page, pointer);
        return;
    }
    check_start(page, pointer, "free");
    if (found.owner == (uintptr_t)hfi_theap)
        free_own(page, pointer);
    else
        free_others(page, found.owner, pointer);
}

/* A small block of another thread's page, or nobody's, into this thread's magazine: what programs that hand blocks on, or hold
 * many, do all day.  False where anything is unusual.  hfi_free has entered. */
HFI_INLINE bool free_into_magazine(struct theap *theap, void *pointer)
{
    char *base = hfi_base;
    size_t offset = (uintptr_t)pointer - (uintptr_t)base, index = offset >> HFI_PAGE_SHIFT;
    if (HFI_SECURE || offset >= hfi_span)
        return false;
    uintptr_t owner = hfi_load_relaxed(hfi_owner_from(base, index));
    if (owner < HFI_OWNER_NOBODY)
        return false;
    const struct page *page = hfi_page_from(base, index);
    unsigned class = page->size_class;
    return class < HFI_DIRECT_CLASSES && is_start(&hfi_sizeclasses[class], hfi_sizeclasses[class].blocks, offset % HFI_PAGE_BYTES) &&
           hfi_magazine_put_quickly(theap, page, owner, class, pointer);
}

static HFI_NOINLINE void free_unusual(void *pointer)
{
    if (hfi_unlikely(!hfi_in_arena(pointer)) && (pointer == NULL || hfi_boot_owns(pointer)))
        return;
    if (hfi_theap->thread != 0)
        hfi_theap_enter(hfi_theap);
    free_inside(pointer);
    hfi_theap_leave(hfi_theap);
}

void hfi_free_slow(void *pointer)
{
    struct theap *theap = hfi_theap;
    if (hfi_likely(free_into_magazine(theap, pointer)))
        hfi_theap_leave(theap);
    else
        free_unusual(pointer);
}

void hfi_free_emptied(void *block)
{
    struct theap *theap = hfi_theap;
    struct page *page = hfi_page_at(hfi_index_of(block)); /* the fast path is for pages that are heads alone */
    hfi_theap_enter(theap); /* inside already: no stealer has the page; but one may have the lists */
    hfi_theap_emptied(theap, page);
    hfi_theap_leave(theap);
}

/* As check_start, for whatever block it is. */
static void expect_start(const struct found *found, const void *pointer, const char *call)
{
    if (found->owner != HFI_OWNER_LARGE)
        check_start(found->page, pointer, call);
    else if (hfi_unlikely(pointer != hfi_page_start(found->page)))
        hfi_die("HF-E303", call, "%p points into a block of %zu bytes, not at its start; pass what malloc returned",
                pointer, hfi_large_bytes(found->page));
}

size_t hfi_usable_size(const void *pointer)
{
    if (pointer == NULL)
        return 0;
    if (hfi_unlikely(hfi_boot_owns(pointer)))
        return hfi_boot_usable(pointer);
    struct found found = find(pointer, "malloc_usable_size");
    expect_start(&found, pointer, "malloc_usable_size");
    hfi_expect_live(pointer, "malloc_usable_size");
    return found.owner == HFI_OWNER_LARGE ? hfi_large_bytes(found.page) : found.page->block_bytes;
}

/* A block that grew once will grow again: the largest class of at most a quarter more than asked for
 * (twice for small ones) saves every other copy of a text that is built piece by piece. */
static size_t grown_bytes(size_t bytes)
{
    size_t roomy = bytes <= 64 ? 2 * bytes : bytes + bytes / 4;
    if (roomy > HFI_BLOCK_MAX_BYTES)
        return bytes;
    unsigned class = hfi_sizeclass_of(roomy);
    size_t block_bytes = hfi_sizeclasses[class].block_bytes;
    if (block_bytes > roomy)
        block_bytes = class == 0 ? bytes : hfi_sizeclasses[class - 1].block_bytes;
    return hfi_max(block_bytes, bytes);
}

/* malloc of a block that realloc can do without: a full arena is nothing to report. */
static void *malloc_dispensable(size_t bytes)
{
    struct page *page = hfi_current_page(bytes);
    if (page->free != NULL)
        return hfi_page_pop(page, page->free);
    bool had_theap = hfi_theap->thread != 0;
    struct theap *theap = hfi_thread_attach();
    if (theap == NULL)
        return NULL;
    struct request request = { .bytes = bytes, .align_bytes = HFI_MAX_ALIGN, .zero = false, .dispensable = true };
    return served(had_theap, is_impossible(&request) ? NULL : take(theap, &request));
}

static void *realloc_by_copy(void *pointer, size_t has, size_t bytes)
{
    bool shrinks = bytes <= has;
    size_t wanted = shrinks ? bytes : grown_bytes(bytes);
    void *fresh = shrinks || wanted > bytes ? malloc_dispensable(wanted) : NULL;
    if (fresh == NULL && shrinks)
        return pointer;
    if (fresh == NULL)
        fresh = hfi_malloc(bytes);
    if (fresh == NULL)
        return NULL;
    memcpy(fresh, pointer, hfi_min(has, bytes));
    hfi_free(pointer);
    return fresh;
}

void *hfi_realloc_slow(void *pointer, size_t bytes)
{
    if (pointer == NULL)
        return hfi_malloc(bytes);
    if (hfi_boot_owns(pointer))
        return bytes == 0 ? NULL : realloc_by_copy(pointer, hfi_boot_usable(pointer), bytes);
    struct found found = find(pointer, "realloc");
    expect_start(&found, pointer, "realloc");
    if (bytes == 0) {
        hfi_free(pointer);
        return NULL;
    }
    if (found.owner != HFI_OWNER_LARGE) {
        size_t has = found.page->block_bytes;
        hfi_expect_live(pointer, "realloc");
        return hfi_block_stays(has, bytes) ? pointer : realloc_by_copy(pointer, has, bytes);
    }
    if (bytes > PTRDIFF_MAX)
        return hfi_fail_enomem();
    if (bytes > HFI_BLOCK_MAX_BYTES && hfi_large_resize(found.page, bytes, false))
        return pointer;
    void *fresh = realloc_by_copy(pointer, hfi_large_bytes(found.page), bytes);
    if (fresh == pointer)
        hfi_large_resize(found.page, bytes, true); /* no page to move to: it keeps its own */
    return fresh;
}
