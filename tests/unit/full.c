/*
 * full: a node with little left. Whatever free run holds the block serves it; nothing that a theap
 * or an idle set holds stays hidden from the last search.
 *
 * hfi_arena_claim is wrapped: a test may steal in the middle of a search.
 */
#include "heap.h"
#include "heap/steal.h"
#include "arena/pagetable.h"
#include "arena/arena.h"
#include "heap/theap.h"
#include "heap/page.h"

#define PAGES_MAX 1200
#define PAGE_BLOCK_BYTES (HFI_SECURE ? (size_t)57344 : HFI_PAGE_BYTES) /* of a run of one page */

struct page *__real_hfi_arena_claim(struct arena_node *node, size_t pages, size_t align_bytes, bool exact,
                                    bool *zero);
struct page *__wrap_hfi_arena_claim(struct arena_node *node, size_t pages, size_t align_bytes, bool exact,
                                    bool *zero);

static bool steal_ends;

struct page *__wrap_hfi_arena_claim(struct arena_node *node, size_t pages, size_t align_bytes, bool exact,
                                    bool *zero)
{
    if (exact && steal_ends)
        hfi_store_relaxed(&hfi_theap->xstate, THEAP_LIVE);
    return __real_hfi_arena_claim(node, pages, align_bytes, exact, zero);
}

static struct arena_node *node;

static void set_up_full(void)
{
    set_up_arena("64M");
    node = &hfi_arena.nodes[0];
}

TestSuite(full, .init = set_up_full);

static int by_address(const void *a, const void *b)
{
    const char *const *left = a, *const *right = b;
    return (*left > *right) - (*left < *right);
}

/* The arena, page by page, in the order of addresses. */
static size_t take_pages(char *pages[PAGES_MAX])
{
    size_t count = 0;
    while (count < PAGES_MAX && (pages[count] = hf_malloc(PAGE_BLOCK_BYTES)) != NULL)
        count++;
    qsort(pages, count, sizeof pages[0], by_address);
    return count;
}

/* Leaves runs of `length` pages free, with one page in use between two of them. */
static size_t leave_runs(char *pages[PAGES_MAX], size_t length)
{
    size_t count = take_pages(pages), freed = 0;
    for (size_t i = 0; i < count; i++)
        if (i % (length + 1) != 0) {
            hf_free(pages[i]);
            pages[i] = NULL;
            freed++;
        }
    hf_thread_idle();
    return freed;
}

static void free_pages(char *pages[PAGES_MAX])
{
    for (size_t i = 0; i < PAGES_MAX; i++)
        hf_free(pages[i]);
    hf_thread_idle();
}

struct list {
    struct list *next;
    size_t bytes;
};

/* Blocks of one size until the arena is full, each written whole; their sum.  Then all are
 * freed. */
static size_t fill_with(size_t bytes)
{
    struct list *first = NULL;
    size_t sum = 0;
    for (struct list *block; (block = hf_malloc(bytes)) != NULL; first = block, sum += bytes) {
        memset(block, 0x5a, bytes);
        block->next = first;
        block->bytes = bytes;
    }
    assert_sound();
    while (first != NULL) {
        struct list *next = first->next;
        cr_assert_eq(first->bytes, bytes, "blocks overlap");
        hf_free(first);
        first = next;
    }
    hf_thread_idle();
    assert_sound();
    return sum;
}

/* Each size that a free run holds is served, and from most of the free pages. */
static void serve_all_sizes(size_t length)
{
    static char *pages[PAGES_MAX];
    size_t before = hfi_arena_free_pages(node);
    size_t freed = leave_runs(pages, length), run_bytes = length * HFI_PAGE_BYTES - HFI_GUARD_BYTES;
    for (unsigned class = 1;
         class < HFI_CLASS_COUNT && hfi_sizeclass_least_pages(&hfi_sizeclasses[class]) <= length; class ++) {
        size_t bytes = hfi_sizeclasses[class - 1].block_bytes + 1;
        size_t free_before = hfi_arena_free_pages(node);
        size_t sum = fill_with(bytes);
        cr_assert_geq(sum, freed * HFI_PAGE_BYTES / 100 * 41, "%zu bytes: %zu of %zu", bytes, sum,
                      freed * HFI_PAGE_BYTES);
        cr_assert_eq(hfi_arena_free_pages(node), free_before, "%zu bytes", bytes);
    }
    cr_assert_null(hf_malloc(run_bytes + 1));
    free_pages(pages);
    cr_assert_geq(hfi_arena_free_pages(node), before);
    assert_sound();
}

Test(full, single_pages_serve_every_size_that_fits_one)
{
    serve_all_sizes(1);
}

Test(full, runs_of_six_serve_every_size_that_fits_one)
{
    serve_all_sizes(6);
}

Test(full, a_short_run_is_checked_and_counted_by_its_own_length)
{
    static char *pages[PAGES_MAX];
    leave_runs(pages, 1);
    unsigned class = 0;
    while (hfi_sizeclasses[class].run_pages == 1)
        class ++;
    cr_assert_eq(hfi_sizeclass_least_pages(&hfi_sizeclasses[class]), 1);
    char *block = hf_malloc(hfi_sizeclasses[class].block_bytes);
    struct page *page = hfi_page_at(hfi_index_of(block));
    cr_assert_eq(page->run_pages, 1);
    cr_assert_eq(page->reserved, (HFI_PAGE_BYTES - HFI_GUARD_BYTES) / hfi_sizeclasses[class].block_bytes);
    cr_assert_eq(hfi_load_relaxed(&node->xclass_pages[class]), 1);
    hf_thread_idle();
    cr_assert_eq(hfi_arena_idle_pages(node), 1);
    hf_free(block);
    hf_thread_idle();
    cr_assert_eq(hfi_load_relaxed(&node->xclass_pages[class]), 0);
    cr_assert_eq(hfi_arena_idle_pages(node), 0);
    free_pages(pages);
    assert_sound();
}

Test(full, stale_hints_hide_no_page_from_the_last_search)
{
    static char *pages[PAGES_MAX];
    unsigned class = HFI_DIRECT_CLASSES; /* the least that no magazine keeps */
    size_t bytes = hfi_sizeclasses[class].block_bytes;
    size_t count = take_pages(pages);
    hf_free(pages[--count]); /* the highest, so that the hints come first */
    cr_assert_not_null(hf_malloc(bytes));
    hf_thread_idle();
    size_t idle = hfi_arena_idle_pages(node);
    cr_assert(count > 400 && idle != 0);
    for (size_t i = 0; i < count; i++)
        hfi_idleset_add(&node->ample[class], hfi_node_member(node, hfi_page_at(hfi_index_of(pages[i]))));
    for (size_t i = 0; i < count; i++)
        hfi_idleset_add(&node->scant[class], hfi_node_member(node, hfi_page_at(hfi_index_of(pages[i]))));
    cr_assert_null(hfi_claim_ample(hfi_theap, node, class, HFI_CLAIM_CANDIDATES), "the hints come first");
    cr_assert_not_null(hf_malloc(bytes));
    assert_sound();
}

static pthread_barrier_t barrier;
static void *sealed_block;

/* Leaves a page whose only room is what its thread freed while a stealer had the theap's lists. */
static void *free_during_a_steal(void *unused)
{
    static void *blocks[600];
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++)
        blocks[i] = hf_malloc(1000);
    struct page *first = hfi_page_at(hfi_index_of(blocks[0]));
    cr_assert_eq(hfi_page_mode(first), PAGE_SEALED);
    hfi_store_relaxed(&hfi_theap->xstate, THEAP_SEIZED);
    hf_free(blocks[0]);
    hf_free(blocks[1]);
    cr_assert_eq(first->list, LIST_FULL);
    hfi_store_relaxed(&hfi_theap->xstate, THEAP_LIVE);
    sealed_block = blocks[0];
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return unused;
}

Test(full, room_freed_during_a_steal_is_taken_by_the_next)
{
    pthread_t sleeper;
    struct stolen all = { 0, 0, false };
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_create(&sleeper, NULL, free_during_a_steal, NULL);
    pthread_barrier_wait(&barrier);
    for (struct theap *next = hfi_theap_first(); next != NULL;)
        all.pages += hfi_steal_asleep(hfi_theap, node, &next).pages;
    cr_assert_eq(all.pages, 1, "%u pages", all.pages);
    cr_assert_eq(hfi_load_relaxed(hfi_owner_at(hfi_index_of(sealed_block))), HFI_OWNER_UNOWNED);
    pthread_barrier_wait(&barrier);
    pthread_join(sleeper, NULL);
    assert_sound();
}

Test(full, a_call_that_entered_during_a_steal_gives_back_what_it_holds)
{
    static void *blocks[200];
    size_t large = hfi_arena_free_pages(node), each = hfi_sizeclasses[hfi_sizeclass_of(1000)].blocks;
    for (size_t i = 0; i < 3 * each; i++)
        blocks[i] = hf_malloc(1000);
    for (size_t i = 0; i < 3 * each; i++)
        hf_free(blocks[i]);
    cr_assert_gt(hfi_theap->kept_pages, 1);
    hfi_store_relaxed(&hfi_theap->xstate, THEAP_SEIZED);
    steal_ends = true;
    void *all = hf_malloc((large - 1) * HFI_PAGE_BYTES - HFI_GUARD_BYTES);
    cr_assert_not_null(all, "what it kept was not given back");
    steal_ends = false;
    hf_free(all);
    assert_sound();
}

/* Fills the arena with blocks of one size and frees every second one, so that no page is free. */
static size_t leave_holes(size_t bytes)
{
    struct list *first = NULL;
    size_t freed = 0;
    for (struct list *block; (block = hf_malloc(bytes)) != NULL; first = block)
        block->next = first;
    for (struct list *block = first; block != NULL && block->next != NULL; freed++) {
        struct list *victim = block->next;
        block->next = victim->next;
        block = block->next;
        hf_free(victim);
    }
    return freed;
}

Test(full, a_larger_block_serves_when_no_page_is_left)
{
    static void *blocks[80000];
    size_t count = 0, holes = 0;
    while (count < 80000 && (blocks[count] = hf_malloc(4000)) != NULL)
        count++;
    cr_assert_lt(count, 80000);
    for (size_t i = 0; i < count; i += 16, holes++)
        hf_free(blocks[i]);
    for (size_t i = 0; i < holes; i++)
        cr_assert_not_null(hf_malloc(100), "%zu of %zu", i, holes);
    assert_sound();
}

Test(full, a_larger_block_is_aligned_as_well)
{
    static void *blocks[60000];
    size_t count = 0;
    while (count < 60000 && (blocks[count] = hf_malloc(5000)) != NULL) /* 5120 is no multiple of 4096 */
        count++;
    cr_assert_lt(count, 60000);
    for (size_t i = 0; i < count; i += 12)
        hf_free(blocks[i]);
    void *block = hf_aligned_alloc(4096, 4096);
    cr_assert(block == NULL || (uintptr_t)block % 4096 == 0);
    cr_assert_not_null(hf_malloc(3000));
    assert_sound();
}

Test(full, a_larger_block_serves_though_it_is_aligned_to_less)
{
    static const struct {
        size_t asked, there;
    } sizes[] = { { 256, 288 }, { 2048, 3000 }, { 32768, 40000 }, { 65536, 81920 } };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t got = 0, holes = leave_holes(sizes[i].there);
        hf_thread_idle();
        while (hf_malloc(sizes[i].asked) != NULL)
            got++;
        cr_assert_geq(got, holes, "%zu: %zu of %zu", sizes[i].asked, got, holes);
    }
}

Test(full, an_aligned_block_comes_from_no_larger_one_that_is_not)
{
    leave_holes(3000);
    hf_thread_idle();
    for (void *block; (block = hf_aligned_alloc(2048, 2048)) != NULL;)
        cr_assert_eq((uintptr_t)block % 2048, 0);
    cr_assert_not_null(hf_malloc(2048));
}

Test(full, the_threads_own_pages_of_larger_sizes_serve)
{
    cr_assert_not_null(hf_malloc(49000));
    while (hf_malloc(20 << 20) != NULL || hf_malloc(1 << 20) != NULL || hf_malloc(300000) != NULL)
        ;
    while (hf_malloc(40000) != NULL)
        ;
    cr_assert_null(hf_malloc(49000), "it could have served the smaller size");
}

Test(full, a_block_on_a_node_comes_from_the_current_page_too)
{
    size_t got = 0;
    cr_assert_not_null(hf_malloc(48));
    while (hf_malloc(20 << 20) != NULL || hf_malloc(1 << 20) != NULL || hf_malloc(40000) != NULL)
        ;
    while (hf_malloc_onnode(48, node->id) != NULL)
        got++;
    cr_assert_geq(got, 1000);
    cr_assert_null(hf_malloc(48));
}

enum { NEWCOMERS = 30 };

static void *allocate_once(void *served)
{
    pthread_barrier_wait(&barrier);
    if (hf_malloc(64) != NULL)
        __atomic_fetch_add((int *)served, 1, __ATOMIC_RELAXED);
    return NULL;
}

Test(full, a_thread_without_a_theap_is_served_from_pages_with_room)
{
    static int served;
    pthread_t threads[NEWCOMERS];
    pthread_barrier_init(&barrier, NULL, NEWCOMERS + 1);
    for (int i = 0; i < NEWCOMERS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, allocate_once, &served), 0);
    cr_assert_geq(leave_holes(64), 1000);
    hf_thread_idle();
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < NEWCOMERS; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(served, NEWCOMERS);
    assert_sound();
}

static unsigned asked;

static bool count_asked(size_t bytes, unsigned unused, void *argument)
{
    (void)bytes, (void)unused, (void)argument;
    asked++;
    return false;
}

Test(full, what_no_arena_could_give_asks_no_callback)
{
    cr_assert_eq(hf_pressure_register(count_asked, NULL), 0);
    cr_assert_null(hf_malloc((size_t)1 << 40));
    cr_assert_null(hf_aligned_alloc((size_t)1 << 30, (size_t)1 << 30));
    cr_assert_eq(asked, 0);
    cr_assert_null(hf_malloc((64 << 20) - HFI_GUARD_BYTES)); /* the arena itself, except for its maps */
    cr_assert_eq(asked, 1);
    cr_assert_null(hf_malloc_onnode((64 << 20) - HFI_GUARD_BYTES, node->id));
    cr_assert_eq(asked, 2);
    cr_assert_eq(hf_pressure_unregister(count_asked, NULL), 0);
}

static void *cache;

static bool allocate_then_free(size_t bytes, unsigned unused, void *argument)
{
    (void)bytes, (void)unused, (void)argument;
    asked++;
    cr_assert_null(hf_malloc(30 << 20), "no run is as long");
    hf_free(cache);
    return true;
}

Test(full, a_callback_may_fail_to_allocate_before_it_frees)
{
    hfi_options.on_full = ON_FULL_ABORT;
    cr_assert_not_null(cache = hf_malloc(40 << 20));
    cr_assert_eq(hf_pressure_register(allocate_then_free, NULL), 0);
    cr_assert_not_null(hf_malloc(30 << 20));
    cr_assert_eq(asked, 1);
    cr_assert_eq(hf_pressure_unregister(allocate_then_free, NULL), 0);
}
