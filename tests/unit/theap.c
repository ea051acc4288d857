/*
 * theap: one thread's pages: which it keeps, which get room again, and what is left when the thread
 * ends.
 */
#include "heap.h"
#include "heap/page.h"
#include "heap/budget.h"

TestSuite(theap, .init = set_up);

Test(theap, random_work_leaves_everything_sound)
{
    static void *blocks[5000];
    uint64_t random = 3;
    size_t before = hfi_arena_free_pages(&hfi_arena.nodes[0]);
    for (int step = 0; step < 400000; step++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        size_t slot = (random >> 33) % 5000;
        size_t bytes = (random >> 20) % (step % 100 == 0 ? 600000 : step % 10 == 0 ? 30000 : 600) + 1;
        if (step % 7 == 0 && blocks[slot] != NULL) {
            blocks[slot] = hf_realloc(blocks[slot], bytes);
        } else {
            hf_free(blocks[slot]);
            blocks[slot] = step % 3 ? hf_malloc(bytes) : hf_calloc(1, bytes);
        }
        cr_assert_not_null(blocks[slot]);
        memset(blocks[slot], step, bytes);
        if (step % 20000 == 0)
            assert_sound();
    }
    for (int i = 0; i < 5000; i++)
        hf_free(blocks[i]);
    assert_sound();
    hf_thread_idle();
    assert_sound();
    cr_assert_eq(hfi_theap->kept_pages, 0);
    cr_assert_eq(hfi_arena_free_pages(&hfi_arena.nodes[0]), before + 1,
                 "all pages are back, and the first one's too");
}

Test(theap, few_empty_pages_are_kept)
{
    void *blocks[HFI_CLASS_COUNT];
    for (unsigned class = 0; class < HFI_CLASS_COUNT; class ++)
        blocks[class] = hf_malloc(hfi_sizeclasses[class].block_bytes);
    for (unsigned class = 0; class < HFI_CLASS_COUNT; class ++)
        hf_free(blocks[class]);
    cr_assert_leq(hfi_theap->kept_pages, hfi_budget_kept(hfi_theap->node));
    assert_sound();
}

Test(theap, no_empty_page_is_kept_on_a_tight_node)
{
    struct arena_node *node = &hfi_arena.nodes[0];
    void *early = hf_malloc(1000), *late = hf_malloc(2000);
    uint32_t kept = hfi_theap->kept_pages;
    cr_assert_gt(hfi_budget_kept(node), 1);
    hf_free(early);
    cr_assert_eq(hfi_theap->kept_pages, kept + 1, "while the node has much, the page is kept");
    void *most = hf_malloc((hfi_arena_free_pages(node) - 10) * HFI_PAGE_BYTES);
    cr_assert(most != NULL && hfi_node_is_tight(node));
    cr_assert_eq(hfi_budget_kept(node), 0);
    size_t free_pages = hfi_arena_free_pages(node);
    hf_free(late);
    cr_assert_eq(hfi_arena_free_pages(node), free_pages + 1, "the page is back");
    cr_assert_eq(hfi_theap->kept_pages, kept + 1, "what was kept before waits for a slow path");
    for (unsigned class = 0; class < HFI_CLASS_COUNT; class ++)
        hf_free(hf_malloc(8000));
    cr_assert_eq(hfi_theap->kept_pages, 0, "slow paths gave it up");
    assert_sound();
    hf_free(most);
}

Test(theap, theaps_lie_at_the_nodes_front)
{
    const struct arena_node *node = &hfi_arena.nodes[0];
    size_t index = hfi_index_of(hfi_theap);
    cr_assert(index >= node->set_aside_first && index < node->set_aside_first + node->set_aside_count);
    cr_assert_eq(node->set_aside_first + node->set_aside_count, node->first_index + node->meta_pages);
}

static void *hold_a_theap(void *argument)
{
    hf_free(hf_malloc(16));
    pthread_barrier_wait(argument);
    pthread_barrier_wait(argument);
    return NULL;
}

/* Allocates so much that any number of full pages is reached. */
static uint32_t full_pages_queued(void)
{
    for (unsigned i = 0; i < 2 * HFI_FULL_MAX * HFI_PAGE_BYTES / 2048; i++)
        hf_malloc(2048);
    assert_sound();
    return hfi_theap->full.count;
}

Test(theap, the_fewer_theaps_the_more_full_pages_each_queues)
{
    enum { OTHERS = 15 };
    pthread_t others[OTHERS];
    pthread_barrier_t all_have;
    cr_assert_eq(full_pages_queued(), HFI_FULL_MAX);
    pthread_barrier_init(&all_have, NULL, OTHERS + 1);
    for (unsigned i = 0; i < OTHERS; i++)
        cr_assert_eq(pthread_create(&others[i], NULL, hold_a_theap, &all_have), 0);
    pthread_barrier_wait(&all_have);
    hf_thread_idle();
    cr_assert_eq(full_pages_queued(), hfi_budget_roomy.full);
    pthread_barrier_wait(&all_have);
    for (unsigned i = 0; i < OTHERS; i++)
        pthread_join(others[i], NULL);
}

Test(theap, full_pages_of_one_block)
{
    static void *blocks[8];
    size_t bytes = 0;
    for (unsigned class = 0; class < HFI_CLASS_COUNT; class ++)
        if (hfi_sizeclasses[class].blocks == 1)
            bytes = hfi_sizeclasses[class].block_bytes;
    if (bytes == 0)
        cr_skip("no class has runs of one block");
    for (int round = 0; round < 100; round++) {
        for (size_t i = 0; i < 8; i++)
            cr_assert_not_null(blocks[i] = hf_malloc(bytes));
        for (size_t i = 0; i < 8; i++) {
            hf_free(blocks[(i * 3 + (size_t)round) % 8]);
            assert_sound();
        }
    }
}

enum { PAGES = 5 };

/* Pages full of blocks of 1000 bytes; how many each has. */
static size_t fill_pages(void *blocks[PAGES * HFI_PAGE_BYTES / 1000])
{
    size_t each = hfi_sizeclasses[hfi_sizeclass_of(1000)].blocks;
    for (size_t i = 0; i < PAGES * each; i++)
        blocks[i] = hf_malloc(1000);
    return each;
}

Test(theap, full_pages_get_room_again_and_change_hands_no_more)
{
    static void *blocks[PAGES * HFI_PAGE_BYTES / 1000];
    size_t each = fill_pages(blocks);
    struct page *first = page_of(blocks[0]);
    uintptr_t self = (uintptr_t)hfi_theap;
    cr_assert(hfi_page_mode(first) == PAGE_SEALED && hfi_page_out(first) == each, "%u blocks of %zu",
              hfi_page_out(first), each);
    for (size_t page = 0; page < PAGES; page++)
        cr_assert_eq(hfi_load_relaxed(hfi_owner_at(hfi_index_of(blocks[page * each]))), self);
    uint64_t fresh = hfi_theap->counters.fresh, claimed = hfi_theap->counters.claimed;
    for (size_t step = 0; step < 100000; step++) {
        size_t i = step * 7919 % (PAGES * each);
        hf_free(blocks[i]);
        blocks[i] = hf_malloc(1000);
        if (step % 100 == 0)
            assert_sound();
    }
    cr_assert(hfi_theap->counters.fresh <= fresh + 1 && hfi_theap->counters.claimed == claimed,
              "%llu fresh pages more", (unsigned long long)(hfi_theap->counters.fresh - fresh));
    for (size_t i = 0; i < PAGES * each; i++)
        hf_free(blocks[i]);
    assert_sound();
}

Test(theap, a_full_page_emptied_around_a_steal_is_kept_among_those_with_room)
{
    static void *blocks[PAGES * HFI_PAGE_BYTES / 1000];
    size_t each = fill_pages(blocks);
    struct page *first = page_of(blocks[0]);
    cr_assert(hfi_page_mode(first));
    hfi_store_relaxed(&hfi_theap->xstate, THEAP_SEIZED);
    hf_free(blocks[0]);
    cr_assert_eq(first->list, LIST_FULL, "it is the stealer's to move");
    hfi_store_relaxed(&hfi_theap->xstate, THEAP_LIVE);
    for (size_t i = 1; i < PAGES * each; i++)
        if (page_of(blocks[i]) == first)
            hf_free(blocks[i]);
    cr_assert_neq(first->list, LIST_FULL);
    assert_sound();
}

static pthread_key_t rearmed_key;

enum late_call {
    LATE_MALLOC,
    LATE_ON_NODE,
    LATE_NO_NODE,
    LATE_TOO_LARGE,
    LATE_NESTED,
    LATE_WAIT,
    LATE_CALLS
};

struct late {
    enum late_call call;
    int left;
};

/* Within a malloc of the thread, whose theap it must leave alone. */
static bool allocate_nested(size_t bytes, unsigned node, void *argument)
{
    (void)bytes;
    (void)argument;
    hf_free(hf_malloc_onnode(500, node));
    cr_assert_eq(hf_prefault_wait(0), 0);
    cr_assert_neq(hfi_theap->thread, 0);
    return false;
}

static void allocate_and_rearm(void *argument)
{
    struct late *late = argument;
    switch (late->call) {
    case LATE_MALLOC: hf_free(hf_malloc(500)); break;
    case LATE_ON_NODE: hf_free(hf_malloc_onnode(500, hfi_arena.nodes[0].id)); break;
    case LATE_NO_NODE: cr_assert_null(hf_malloc_onnode(500, UINT32_MAX)); break;
    case LATE_TOO_LARGE: cr_assert_null(hf_malloc_onnode((size_t)1 << 62, hfi_arena.nodes[0].id)); break;
    case LATE_NESTED:
        cr_assert_eq(hf_pressure_register(allocate_nested, NULL), 0);
        cr_assert_null(hf_malloc(hfi_arena.page_count * HFI_PAGE_BYTES));
        cr_assert_eq(hf_pressure_unregister(allocate_nested, NULL), 0);
        break;
    default: cr_assert_eq(hf_prefault_wait(0), 0);
    }
    if (--late->left > 0)
        pthread_setspecific(rearmed_key, late);
}

static void *end_late(void *argument)
{
    hf_free(hf_malloc(500));
    pthread_setspecific(rearmed_key, argument);
    return argument;
}

Test(theap, a_thread_whose_last_destructors_allocate_leaves_no_theap)
{
    size_t theaps = hfi_load_relaxed(&hfi_arena.nodes[0].xtheap_count);
    pthread_key_create(&rearmed_key, allocate_and_rearm);
    for (unsigned call = 0; call < LATE_CALLS; call++) {
        struct late late = { .call = call, .left = 100 }; /* the C library stops before that */
        in_a_thread(end_late, &late);
        cr_assert_lt(late.left, 98);
        cr_assert_eq(hfi_load_relaxed(&hfi_arena.nodes[0].xtheap_count), theaps);
    }
    assert_sound();
}
