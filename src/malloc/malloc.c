/*
 * malloc: what malloc and its kin do when the fast path ends (slow.h).
 *
 * From here the ladder is asked, at most twice: the second time after the application's pressure
 * callbacks have run.
 *
 * Tests: tests/unit/full.c, tests/programs/exhaust.c, tests/programs/nth-page.c.
 */
#include <string.h>

#include "malloc/alloc.h"
#include "kernel/boot.h"
#include "base/check.h"
#include "malloc/fork.h"
#include "malloc/freeze.h"
#include "malloc/full.h"
#include "malloc/init.h"
#include "app/figures.h"
#include "app/inspect.h"
#include "app/latency.h"
#include "malloc/ladder.h"
#include "malloc/request.h"
#include "heap/large.h"
#include "heap/magazine.h"
#include "base/probe.h"
#include "malloc/thread.h"
#include "malloc/use.h"
#include "heap/page.h"
#include "heap/budget.h"

HFI_TLS unsigned hfi_reserve_depth;

/* Where the next blocks of a class come from. */
struct supply {
    struct page_front *front; /* has a free block; NULL: the arena is full */
    struct page *once;        /* the theap does not keep it: let go of it after one block */
};

/* Outside, after a run was handed out. */
static void tell_reserve(const struct page *page)
{
    if (hfi_unlikely(hfi_page_is_reserve(page)))
        hfi_full_tell_reserve(page);
}

/* --- a block --- */

/* A page, or none, from the ladder. */
static struct page *ask_ladder(struct theap *theap, struct demand *demand, size_t bytes,
                               struct slow_call *call)
{
    if (call->begun == 0)
        hfi_latency_begin(call, HF_CAUSE_OWN);
    struct page *page = hfi_ladder(theap, demand);
    HFI_PROBE3(slow, bytes, (demand->only != NULL ? demand->only : theap->node)->id, page != NULL);
    call->found = hfi_inspect_taken(theap, page);
    call->cause = hfi_max(call->cause, demand->farthest);
    call->weight = 1;
    return page;
}

/* Outside, after the ladder gave a page for the default heap. */
static void note_frozen(const struct demand *demand, const struct page *page, size_t bytes)
{
    if (hfi_unlikely(hfi_freeze_is_on()) && page != NULL && demand->fresh)
        hfi_freeze_note(hfi_node_of_page(page), page->run_pages, bytes);
}

/* A block of whole pages; NULL when the arena is full, which is not reported here. */
static void *take_large(struct theap *theap, const struct request *request, struct slow_call *call)
{
    struct demand demand = {
        .class = HFI_CLASS_LARGE,
        .pages = hfi_large_pages(request->bytes),
        .align_bytes = hfi_max(request->align_bytes, HFI_PAGE_BYTES),
        .only = request->only,
        .privileged = hfi_reserve_depth != 0,
        .has_aside = hfi_where_has_aside(request),
    };
    hfi_theap_enter(theap);
    struct page *head = ask_ladder(theap, &demand, request->bytes, call);
    hfi_theap_leave(theap);
    note_frozen(&demand, head, request->bytes);
    void *block = head == NULL ? NULL : hfi_large_dress(head);
    if (block != NULL)
        tell_reserve(head);
    size_t cleared_bytes = block != NULL && request->zero && !demand.zero ? request->bytes : 0;
    if (cleared_bytes != 0)
        memset(block, 0, cleared_bytes);
    hfi_latency_end(theap, call, cleared_bytes);
    hfi_full_settle();
    return block;
}

/* On a tight node, and in a crowd, threads share pages: the magazine is filled from one that others
 * go on taking from.  A page of a larger class, of a node that was named, or of the reserve, does not
 * become the thread's for its ordinary blocks. */
static struct supply supply_from_ladder(struct theap *theap, unsigned class, const struct request *request,
                                        struct slow_call *call)
{
    struct demand demand = {
        .class = class,
        .block_align = request->align_bytes,
        .pages = hfi_sizeclasses[class].run_pages,
        .align_bytes = HFI_PAGE_BYTES,
        .only = request->only,
        .dispensable = request->dispensable,
        .privileged = hfi_reserve_depth != 0 && !request->dispensable,
        .has_aside = hfi_where_has_aside(request),
        .share = request->only == NULL && hfi_theap_shares(theap, class),
    };
    struct page *page = ask_ladder(theap, &demand, hfi_sizeclasses[class].block_bytes, call);
    if (page == NULL)
        return (struct supply){ .front = NULL };
    if (hfi_unlikely(hfi_freeze_is_on())) { /* the page is in no list: nobody else comes to it meanwhile */
        hfi_theap_leave(theap);
        note_frozen(&demand, page, request->bytes);
        hfi_theap_enter(theap);
    }
    bool is_reserve = hfi_page_is_reserve(page);
    bool once = demand.share || demand.only != NULL || page->size_class != class || is_reserve;
    if (!once)
        hfi_theap_install(theap, page);
    if (page->front.free == NULL)
        theap->counters.listed += hfi_page_refill(page);
    bool fills =
        demand.share && !is_reserve && page->size_class == class && class < HFI_DIRECT_CLASSES && !HFI_SECURE;
    if (fills)
        return (struct supply){ .front = hfi_magazine_fill(theap, page) };
    return (struct supply){ .front = &page->front, .once = once ? page : NULL };
}

/* On a node that was named: the current page, if it lies there, then the ladder. */
static struct supply supply_on_node(struct theap *theap, unsigned class, const struct request *request,
                                    struct slow_call *call)
{
    struct page_front *front =
        hfi_request_has_page_on(theap, class, request->only) ? hfi_theap_refill(theap, class) : NULL;
    return front != NULL ? (struct supply){ .front = front }
                         : supply_from_ladder(theap, class, request, call);
}

/* The thread's own pages and magazines, in the order that suits how it trades. */
static struct page_front *supply_own(struct theap *theap, unsigned class)
{
    if (hfi_arena.node_count > 1 && hfi_options.place != PLACE_INTERLEAVE) {
        hfi_ladder_choose_node(theap);
        hfi_theap_let_go_away(theap, class);
    }
    bool direct = class < HFI_DIRECT_CLASSES, magazine_first = direct && hfi_magazine_is_first(theap);
    struct page_front *front = magazine_first ? hfi_magazine_load(theap, class) : NULL;
    if (front == NULL)
        front = hfi_theap_refill(theap, class);
    if (front == NULL && direct && !magazine_first)
        front = hfi_magazine_load(theap, class);
    if (front == NULL)
        front = hfi_theap_next_page(theap, class);
    return front;
}

static struct supply supply(struct theap *theap, unsigned class, const struct request *request,
                            struct slow_call *call)
{
    if (request->only != NULL)
        return supply_on_node(theap, class, request, call);
    struct page_front *front = supply_own(theap, class);
    return front != NULL ? (struct supply){ .front = front }
                         : supply_from_ladder(theap, class, request, call);
}

static void *pop_zeroed(struct page_front *front, size_t bytes, bool zero)
{
    struct block *block = front->free;
    bool is_zero = front->free_zero;
    hfi_front_pop(front, block);
    if (zero && !is_zero)
        memset(block, 0, bytes);
    else if (zero)
        block->next = NULL;
    return block;
}

/* A block of a class; NULL when the arena is full, which is not reported here. */
static void *take_block(struct theap *theap, const struct request *request, struct slow_call *call)
{
    if (call->begun == 0)
        hfi_latency_begin_own(theap, call);
    hfi_theap_enter(theap);
    struct supply from = supply(theap, hfi_sizeclass_of(request->bytes), request, call);
    bool clears = from.front != NULL && request->zero && !from.front->free_zero;
    void *block = from.front == NULL ? NULL : pop_zeroed(from.front, request->bytes, request->zero);
    if (from.once != NULL)
        hfi_page_let_go(from.once);
    hfi_theap_leave(theap);
    if (from.once != NULL)
        tell_reserve(from.once);
    if (call->begun != 0)
        hfi_latency_end(theap, call, clears ? request->bytes : 0);
    if (call->weight != 0) /* not with what the thread had alone */
        hfi_full_settle();
    return block;
}

/* NULL when the arena is full, which is not reported here.  `call` may have begun before. */
static void *take_timed(struct theap *theap, const struct request *request, struct slow_call *call)
{
    return hfi_request_is_large(request) ? take_large(theap, request, call)
                                         : take_block(theap, request, call);
}

void *hfi_take(struct theap *theap, const struct request *request)
{
    struct slow_call call = { .begun = 0 };
    return take_timed(theap, request, &call);
}

/* For a thread without a theap, where no page is left for one: an unowned page is claimed,
 * gives one block, and is let go. */
static void *block_of_idle_page(const struct request *request)
{
    struct demand demand = { .class = hfi_sizeclass_of(request->bytes), .block_align = request->align_bytes };
    struct page *page = hfi_request_is_large(request) ? NULL : hfi_ladder_idle_page(&demand);
    if (page == NULL)
        return NULL;
    if (page->front.free == NULL)
        hfi_page_refill(page);
    void *block = pop_zeroed(&page->front, request->bytes, request->zero);
    hfi_page_let_go(page);
    return block;
}

static void *take_boot(const struct request *request)
{
    return request->align_bytes <= HFI_BOOT_MAX_ALIGN ? hfi_boot_alloc(request->bytes, request->align_bytes)
                                                      : NULL;
}

static bool has_no_arena(void)
{
    return !hfi_arena_is_standing() || hfi_fork_is_pending();
}

/* Whatever this thread is by now. */
static void *take_anyhow(const struct request *request)
{
    struct theap *theap = hfi_init_thread();
    if (theap != NULL)
        return hfi_take(theap, request);
    return has_no_arena() ? take_boot(request) : block_of_idle_page(request);
}

static HFI_COLD void *malloc_from_boot(const struct request *request)
{
    void *block = take_boot(request);
    return block != NULL ? block : hfi_full_boot(request->bytes, request->align_bytes);
}

/* A callback may have left this thread in a child that has no arena. */
static HFI_COLD void *fail(const struct request *request)
{
    return !hfi_arena_is_standing()
             ? malloc_from_boot(request)
             : hfi_full_fail(request->bytes, hfi_request_pages(request), request->align_bytes);
}

/* The end of a call: `had_theap` says whether the thread had one when it came. */
static void *served(bool had_theap, void *block)
{
    if (hfi_unlikely(!had_theap))
        hfi_thread_served();
    return block;
}

/* A call of a thread without a theap: the most that it does is to set one up. */
static struct theap *attach(struct slow_call *call)
{
    hfi_latency_begin(call, HF_CAUSE_ATTACHED);
    struct theap *theap = hfi_init_thread();
    if (theap == NULL)
        hfi_latency_drop(call);
    return theap;
}

static HFI_COLD void *malloc_without_theap(const struct request *request)
{
    if (has_no_arena())
        return malloc_from_boot(request);
    if (hfi_request_is_impossible(request))
        return hfi_full_impossible(request->bytes, request->align_bytes);
    void *block = take_anyhow(request);
    if (block == NULL)
        block = hfi_where_take_aside(request);
    if (block == NULL && hfi_ladder_steal_asleep())
        block = take_anyhow(request);
    if (block == NULL && hfi_full_ask(hfi_thread_node(), hfi_request_pages(request)))
        block = take_anyhow(request);
    block = block != NULL ? block : fail(request);
    return served(false, block); /* the second attempt may have attached a theap */
}

static void *malloc_attached(struct theap *theap, const struct request *request, struct slow_call *call)
{
    if (hfi_unlikely(hfi_request_is_impossible(request))) {
        hfi_latency_drop(call);
        return hfi_full_impossible(request->bytes, request->align_bytes);
    }
    void *block = take_timed(theap, request, call);
    if (hfi_likely(block != NULL) || (block = hfi_where_take_aside(request)) != NULL)
        return block;
    if (hfi_full_ask(theap->node, hfi_request_pages(request)))
        block = take_anyhow(request);
    return block != NULL ? block : fail(request);
}

/* A block of what the thread has itself; NULL when there is none, or the call has more to do.  What
 * most slow calls come to: kept short. */
HFI_INLINE void *take_own(size_t bytes, bool zero)
{
    struct theap *theap = hfi_theap;
    struct page_front *front = hfi_front_for(bytes);
    if (hfi_likely(front->local_free != NULL)) {
        theap->counters.listed += hfi_page_swap(hfi_page_of_front(front));
        return pop_zeroed(front, bytes, zero);
    }
    /* `untimed` is 0 of the empty theap, and of one that keeps back what it has (use.h). */
    if (hfi_unlikely(bytes > HFI_BLOCK_MAX_BYTES || theap->untimed == 0 || hfi_fork_is_pending()))
        return NULL;
    hfi_theap_enter(theap);
    front = supply_own(theap, hfi_sizeclass_of(bytes));
    void *block = NULL;
    if (hfi_likely(front != NULL)) {
        block = pop_zeroed(front, bytes, zero);
        theap->untimed--;
    }
    hfi_theap_leave(theap);
    return block;
}

static HFI_NOINLINE void *malloc_further(size_t bytes, bool zero)
{
    if (hfi_unlikely(hfi_use_handle != NULL))
        return hfi_malloc_used(HFI_MAX_ALIGN, bytes, zero);
    struct request request = { .bytes = bytes, .align_bytes = HFI_MAX_ALIGN, .zero = zero };
    struct slow_call call = { .begun = 0 };
    bool had_theap = hfi_theap->thread != 0;
    struct theap *theap = had_theap ? hfi_init_thread() : attach(&call);
    if (hfi_unlikely(theap == NULL))
        return malloc_without_theap(&request);
    return served(had_theap, malloc_attached(theap, &request, &call));
}

void *hfi_malloc_slow(size_t bytes, bool zero)
{
    void *block = take_own(bytes, zero);
    return hfi_likely(block != NULL) ? block : malloc_further(bytes, zero);
}

struct page *hfi_malloc_run(size_t bytes, size_t pages, size_t align_bytes, struct arena_node *only,
                            bool privileged)
{
    struct request request = { .bytes = pages * HFI_PAGE_BYTES, .align_bytes = align_bytes, .only = only };
    struct theap *theap = hfi_init_thread();
    for (bool again = false; theap != NULL && !hfi_request_is_impossible(&request); again = true) {
        struct demand demand = {
            .class = HFI_CLASS_LARGE,
            .pages = pages,
            .align_bytes = align_bytes,
            .only = only,
            .privileged = privileged,
        };
        struct slow_call call = { .begun = 0 };
        hfi_theap_enter(theap);
        struct page *run = ask_ladder(theap, &demand, bytes, &call);
        hfi_theap_leave(theap);
        hfi_latency_end(theap, &call, 0);
        if (run != NULL)
            tell_reserve(run);
        if (run != NULL || again || !hfi_full_ask(only != NULL ? only : theap->node, pages))
            return run;
        theap = hfi_init_thread();
    }
    return NULL;
}

void *hfi_malloc_fail(size_t bytes, size_t pages, size_t align_bytes)
{
    return !hfi_arena_is_standing() ? hfi_fail_enomem() : hfi_full_fail(bytes, pages, align_bytes);
}

/* Smallest class of at least `bytes` whose blocks all lie on multiples of `align`. */
static unsigned class_aligned(size_t align, size_t bytes)
{
    unsigned class = hfi_sizeclass_of(hfi_max(bytes, align));
    while (class < HFI_CLASS_COUNT && hfi_sizeclasses[class].block_bytes % align != 0)
        class ++;
    return class;
}

void *hfi_aligned_alloc(size_t align, size_t bytes)
{
    if (align <= HFI_MAX_ALIGN)
        return hfi_malloc(bytes);
    if (hfi_unlikely(hfi_use_handle != NULL))
        return hfi_malloc_used(align, bytes, false);
    struct request request = { .bytes = bytes, .align_bytes = align, .zero = false };
    if (align <= HFI_PAGE_BYTES && bytes <= HFI_BLOCK_MAX_BYTES) {
        unsigned class = class_aligned(align, bytes);
        hfi_assert(class < HFI_CLASS_COUNT);
        request.bytes = hfi_sizeclasses[class].block_bytes;
        const struct page_front *front = hfi_front_for(request.bytes);
        if (front->free != NULL || front->local_free != NULL)
            return hfi_malloc(request.bytes);
    }
    if (align > HFI_WINDOW_BYTES)
        return hfi_fail_enomem();
    bool had_theap = hfi_theap->thread != 0;
    struct slow_call call = { .begun = 0 };
    struct theap *theap = had_theap ? hfi_init_thread() : attach(&call);
    return theap == NULL ? malloc_without_theap(&request)
                         : served(had_theap, malloc_attached(theap, &request, &call));
}

static void *malloc_dispensable(size_t bytes)
{
    struct page_front *front = hfi_front_for(bytes);
    if (front->free != NULL)
        return hfi_front_pop(front, front->free);
    void *block = take_own(bytes, false);
    if (hfi_likely(block != NULL))
        return block;
    bool had_theap = hfi_theap->thread != 0;
    struct theap *theap = hfi_init_thread();
    if (theap == NULL)
        return NULL;
    struct request request = {
        .bytes = bytes, .align_bytes = HFI_MAX_ALIGN, .zero = false, .dispensable = true
    };
    return served(had_theap, hfi_request_is_impossible(&request) ? NULL : hfi_take(theap, &request));
}

void *hfi_malloc_dispensable(size_t bytes)
{
    if (hfi_likely(hfi_use_handle == NULL))
        return malloc_dispensable(bytes);
    struct suspension suspension;
    hfi_use_suspend(&suspension);
    void *block = malloc_dispensable(bytes);
    hfi_use_resume(&suspension);
    return block;
}
