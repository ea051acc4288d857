/*
 * core: the allocator through its hf_* names, in a process whose malloc is the C library's;
 * audits of pages, theaps and arena after each phase.
 */
#include <criterion/criterion.h>
#include <holdfast/holdfast.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "malloc/init.h"
#include "heap/large.h"
#include "heap/magazine.h"
#include "arena/pagemap.h"
#include "app/pressure.h"
#include "heap/remote.h"
#include "heap/steal.h"
#include "heap/theaps.h"

static void set_up(void)
{
    setenv("HOLDFAST_ARENA", "256M", 1);
    setenv("HOLDFAST_BACKING", "4k", 1);
    setenv("HOLDFAST_LOCK", "no", 1);
    setenv("HOLDFAST_INSPECT", "0", 1);
    hf_free(hf_malloc(1));
}

TestSuite(core, .init = set_up);

static void assert_sound(void)
{
    const char *broken = hfi_theap_audit(hfi_theap);
    cr_assert_null(broken, "%s", broken);
    broken = hfi_magazine_audit(hfi_theap);
    cr_assert_null(broken, "%s", broken);
    broken = hfi_arena_audit(&hfi_arena.nodes[0]);
    cr_assert_null(broken, "%s", broken);
}

static struct page *page_of(void *block)
{
    size_t index = hfi_index_of(block);
    if (hfi_load_relaxed(hfi_owner_at(index)) == HFI_OWNER_INTERIOR)
        index -= hfi_page_at(index)->head_delta;
    return hfi_page_at(index);
}

Test(core, classes_waste_little_and_name_themselves)
{
    for (size_t bytes = 1; bytes <= HFI_BLOCK_MAX_BYTES; bytes += bytes < 4096 ? 1 : 17) {
        unsigned class = hfi_sizeclass_of(bytes);
        const struct sizeclass *cut = &hfi_sizeclasses[class];
        cr_assert(class < HFI_CLASS_COUNT && cut->block_bytes >= bytes);
        cr_assert(class == 0 || hfi_sizeclasses[class - 1].block_bytes < bytes);
        cr_assert_eq(hfi_sizeclass_of(cut->block_bytes), class);
        if (bytes > 64)
            cr_assert((cut->block_bytes - bytes) * 4 <= bytes, "%zu in %u", bytes, cut->block_bytes);
        cr_assert_eq(class < HFI_DIRECT_CLASSES, cut->block_bytes <= HFI_DIRECT_MAX_BYTES);
        cr_assert(class >= HFI_DIRECT_CLASSES || cut->run_pages == 1);
        cr_assert(cut->blocks * cut->block_bytes * 8 >= cut->run_pages * HFI_PAGE_BYTES * 7);
        if (hfi_is_power_of_two(cut->block_bytes))
            cr_assert_eq(HFI_PAGE_BYTES % hfi_min(cut->block_bytes, HFI_PAGE_BYTES), 0);
    }
}

Test(core, random_work_leaves_everything_sound)
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

struct hand_over {
    void *blocks[4000];
    size_t count;
};

static void *free_all(void *argument)
{
    struct hand_over *hand_over = argument;
    for (size_t i = 0; i < hand_over->count; i++)
        hf_free(hand_over->blocks[i]);
    return NULL;
}

static void in_a_thread(void *(*function)(void *), void *argument)
{
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, function, argument), 0);
    pthread_join(thread, NULL);
}

Test(core, full_pages_freed_by_another_thread_go_back)
{
    static struct hand_over hand_over = { .count = 4000 };
    size_t before = hfi_arena_free_pages(&hfi_arena.nodes[0]);
    for (size_t i = 0; i < hand_over.count; i++)
        hand_over.blocks[i] = hf_malloc(1000);
    in_a_thread(free_all, &hand_over);
    hf_thread_idle();
    assert_sound();
    /* the current page, which nobody but its owner may judge, and the other thread's theap page */
    cr_assert_geq(hfi_arena_free_pages(&hfi_arena.nodes[0]) + 3, before);
}

static void *allocate_all(void *argument)
{
    struct hand_over *hand_over = argument;
    for (size_t i = 0; i < hand_over->count; i++)
        hand_over->blocks[i] = hf_malloc(1000);
    return NULL;
}

Test(core, pages_of_a_thread_that_ended_are_claimed)
{
    static struct hand_over hand_over = { .count = 4000 };
    in_a_thread(allocate_all, &hand_over);
    for (size_t i = 0; i < hand_over.count; i++) {
        cr_assert_eq(hfi_load_relaxed(hfi_owner_at(hfi_index_of(hand_over.blocks[i]))), HFI_OWNER_NOBODY);
        if (i % 2 == 0)
            hf_free(hand_over.blocks[i]);
    }
    uint64_t claimed = hfi_theap->counters.claimed, fresh = hfi_theap->counters.fresh;
    for (size_t i = 0; i < hand_over.count; i += 2)
        hand_over.blocks[i] = hf_malloc(1000);
    cr_assert_gt(hfi_theap->counters.claimed, claimed);
    cr_assert_eq(hfi_theap->counters.fresh, fresh, "idle pages come before fresh ones");
    free_all(&hand_over);
    assert_sound();
}

static void *allocate_a_few(void *argument)
{
    struct hand_over *hand_over = argument;
    for (size_t i = 0; i < 39; i++) /* one page, with room left and blocks on its free list */
        hand_over->blocks[i] = hf_malloc(1000);
    return NULL;
}

Test(core, a_claimed_page_with_frees_waiting_is_seen_as_empty)
{
    static struct hand_over hand_over;
    in_a_thread(allocate_a_few, &hand_over);
    for (size_t i = 0; i < 10; i++) /* nobody owns the page: these wait in xfree */
        hf_free(hand_over.blocks[i]);
    hfi_magazines_return(hfi_theap, true);
    uint64_t claimed = hfi_theap->counters.claimed;
    void *block = hf_malloc(1000);
    cr_assert_eq(hfi_theap->counters.claimed, claimed + 1);
    cr_assert_eq(page_of(block), page_of(hand_over.blocks[38]));
    cr_assert_neq(hfi_xfree_count(hfi_load_relaxed(&page_of(block)->xfree)), 0, "the ten still wait");
    size_t before = hfi_arena_free_pages(&hfi_arena.nodes[0]);
    hf_free(block);
    for (size_t i = 10; i < 39; i++)
        hf_free(hand_over.blocks[i]);
    cr_assert(hfi_theap_give_back(hfi_theap));
    cr_assert_geq(hfi_arena_free_pages(&hfi_arena.nodes[0]), before + 1, "the page went back");
    cr_assert_eq(hfi_load_relaxed(hfi_owner_at(hfi_index_of(block))), HFI_OWNER_NONE);
    assert_sound();
}

/* The secure build has no magazines. */
static bool has_magazines(void)
{
    if (HFI_SECURE)
        cr_skip("the secure build has no magazines");
    return !HFI_SECURE;
}

static pthread_barrier_t all_hold;

static void *allocate_all_and_wait(void *argument)
{
    allocate_all(argument);
    pthread_barrier_wait(&all_hold);
    pthread_barrier_wait(&all_hold);
    return argument;
}

/* Blocks of a thread that lives until let_end. */
static pthread_t allocated_by_another(struct hand_over *hand_over)
{
    pthread_t thread;
    pthread_barrier_init(&all_hold, NULL, 2);
    cr_assert_eq(pthread_create(&thread, NULL, allocate_all_and_wait, hand_over), 0);
    pthread_barrier_wait(&all_hold);
    return thread;
}

static void let_end(pthread_t thread)
{
    pthread_barrier_wait(&all_hold);
    pthread_join(thread, NULL);
}

/* Takes every block of a page of 1,000-byte blocks: the thread's own has no room left. */
static void run_dry(void)
{
    struct page *own = page_of(hf_malloc(1000));
    for (unsigned i = 1; i < hfi_sizeclasses[hfi_sizeclass_of(1000)].blocks; i++)
        cr_assert_eq(page_of(hf_malloc(1000)), own);
}

Test(core, blocks_of_others_serve_the_next_requests)
{
    static struct hand_over hand_over = { .count = 10 };
    if (!has_magazines())
        return;
    pthread_t owner = allocated_by_another(&hand_over);
    struct page *page = page_of(hand_over.blocks[0]);
    run_dry();
    for (size_t i = 0; i < 4; i++)
        hf_free(hand_over.blocks[i]);
    cr_assert_eq(hfi_xfree_count(hfi_load_relaxed(&page->xfree)), 0);
    for (size_t i = 4; i-- > 0;)
        cr_assert_eq(hf_malloc(1000), hand_over.blocks[i], "last in, first out");
    assert_sound();
    for (size_t i = 0; i < 4; i++)
        hf_free(hand_over.blocks[i]);
    hf_thread_idle();
    cr_assert_eq(hfi_xfree_count(hfi_load_relaxed(&page->xfree)), 4);
    assert_sound();
    let_end(owner);
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

Test(core, full_pages_get_room_again_and_change_hands_no_more)
{
    static void *blocks[PAGES * HFI_PAGE_BYTES / 1000];
    size_t each = fill_pages(blocks);
    struct page *first = page_of(blocks[0]);
    uintptr_t self = (uintptr_t)hfi_theap;
    cr_assert(hfi_page_hold(first) == PAGE_SEALED && hfi_page_out(first) == each, "%u blocks of %zu",
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

Test(core, a_full_page_emptied_around_a_raid_is_kept_among_those_with_room)
{
    static void *blocks[PAGES * HFI_PAGE_BYTES / 1000];
    size_t each = fill_pages(blocks);
    struct page *first = page_of(blocks[0]);
    cr_assert(hfi_page_hold(first));
    hfi_store_relaxed(&hfi_theap->xstate, THEAP_ROBBED);
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

Test(core, a_thread_whose_last_destructors_allocate_leaves_no_theap)
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

Test(core, theaps_lie_at_the_nodes_front)
{
    const struct arena_node *node = &hfi_arena.nodes[0];
    size_t index = hfi_index_of(hfi_theap);
    cr_assert(index >= node->set_aside_first && index < node->set_aside_first + node->set_aside_count);
    cr_assert_eq(node->set_aside_first + node->set_aside_count, node->first_index + node->meta_pages);
}

Test(core, full_pages_of_one_block)
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

Test(core, blocks_of_others_do_not_stand_in_for_a_page_of_ones_own)
{
    static struct hand_over hand_over = { .count = 10 };
    if (!has_magazines())
        return;
    pthread_t owner = allocated_by_another(&hand_over);
    for (size_t i = 0; i < 4; i++)
        hf_free(hand_over.blocks[i]);
    void *own = hf_malloc(1000);
    cr_assert_neq(page_of(own), page_of(hand_over.blocks[0]),
                  "its cache lines are the other thread's as well");
    for (size_t i = 0; i < 100; i++) {
        hf_free(own);
        void *next = hf_malloc(1000);
        cr_assert_eq(page_of(next), page_of(own));
        own = next;
    }
    assert_sound();
    let_end(owner);
}

Test(core, a_thread_with_room_of_its_own_returns_blocks_of_others)
{
    static struct hand_over hand_over = { .count = 10 };
    if (!has_magazines())
        return;
    pthread_t owner = allocated_by_another(&hand_over);
    struct page *own = page_of(hf_malloc(1000));
    for (size_t i = 0; i < 10; i++)
        hf_free(hand_over.blocks[i]);
    for (size_t i = 0; i < 10; i++)
        cr_assert_eq(page_of(hf_malloc(1000)), own);
    assert_sound();
    let_end(owner);
}

enum { EXCHANGES = 100 };

/* Frees what it is given, and gives as much of its own, by turns with the test. */
static void *exchange(void *argument)
{
    for (int i = 0; i < EXCHANGES; i++) {
        pthread_barrier_wait(&all_hold);
        free_all(argument);
        allocate_all(argument);
        pthread_barrier_wait(&all_hold);
    }
    pthread_barrier_wait(&all_hold); /* until let_end: its theap stays */
    return argument;
}

Test(core, threads_that_exchange_blocks_take_first_what_they_freed_last)
{
    static struct hand_over hand_over = { .count = 200 };
    pthread_t other;
    if (!has_magazines())
        return;
    pthread_barrier_init(&all_hold, NULL, 2);
    cr_assert_eq(pthread_create(&other, NULL, exchange, &hand_over), 0);
    for (int i = 0; i < EXCHANGES; i++) {
        allocate_all(&hand_over);
        pthread_barrier_wait(&all_hold);
        pthread_barrier_wait(&all_hold);
        free_all(&hand_over);
        assert_sound();
    }
    cr_assert(hfi_theap->hands_on);
    struct page *taken = page_of(hf_malloc(1000));
    cr_assert_neq(hfi_load_relaxed(hfi_owner_at(hfi_page_index(taken))), (uintptr_t)hfi_theap);
    const struct page *own = hfi_theap_current(hfi_theap, hfi_sizeclass_of(1000));
    cr_assert(own->front.free != NULL || own->front.local_free != NULL || own->front.capacity < own->reserved,
              "its own page has room");
    for (int i = 0; i < 10 * EXCHANGES; i++) { /* from now on its blocks come back */
        allocate_all(&hand_over);
        free_all(&hand_over);
    }
    cr_assert_not(hfi_theap->hands_on);
    assert_sound();
    let_end(other);
}

Test(core, magazines_hold_few_blocks_and_return_the_oldest)
{
    static struct hand_over hand_over = { .count = 4000 };
    if (!has_magazines())
        return;
    pthread_t owner = allocated_by_another(&hand_over);
    struct page *first = page_of(hand_over.blocks[hand_over.count - 1]);
    cr_assert_geq(hfi_load_relaxed(hfi_owner_at(hfi_page_index(first))), HFI_OWNER_LEAST);
    size_t out = 0, back = 0;
    for (size_t i = hand_over.count; i-- > 0 && page_of(hand_over.blocks[i]) == first; out++) {
        hf_free(hand_over.blocks[i]);
        assert_sound();
    }
    back = hfi_xfree_count(hfi_load_relaxed(&first->xfree));
    cr_assert(out > 20 && back + 8 >= out && back < out, "%zu of %zu", back, out);
    hf_thread_idle();
    cr_assert_eq(hfi_xfree_count(hfi_load_relaxed(&first->xfree)), out);
    assert_sound();
    let_end(owner);
}

#define SHARERS 8
#define SHARED_SIZES 20

static void *hold_a_little(void *argument)
{
    void *blocks[SHARED_SIZES];
    hf_free(hf_malloc(1)); /* a theap */
    pthread_barrier_wait(&all_hold);
    pthread_barrier_wait(&all_hold);
    for (size_t i = 0; i < SHARED_SIZES; i++)
        cr_assert_not_null(blocks[i] = hf_malloc((i + 1) * 100));
    pthread_barrier_wait(&all_hold);
    pthread_barrier_wait(&all_hold);
    for (size_t i = 0; i < SHARED_SIZES; i++)
        hf_free(blocks[i]);
    return argument;
}

Test(core, threads_share_pages_on_a_tight_node)
{
    if (!has_magazines())
        return;
    pthread_t threads[SHARERS];
    pthread_barrier_init(&all_hold, NULL, SHARERS + 1);
    for (int i = 0; i < SHARERS; i++)
        pthread_create(&threads[i], NULL, hold_a_little, NULL);
    pthread_barrier_wait(&all_hold);
    void *most = hf_malloc((hfi_arena_free_pages(&hfi_arena.nodes[0]) - 60) * HFI_PAGE_BYTES);
    cr_assert_not_null(most);
    cr_assert(hfi_node_is_tight(&hfi_arena.nodes[0]));
    pthread_barrier_wait(&all_hold);
    pthread_barrier_wait(&all_hold);
    cr_assert_geq(hfi_arena_free_pages(&hfi_arena.nodes[0]), 20,
                  "about one page per size, not per size and thread");
    pthread_barrier_wait(&all_hold);
    for (int i = 0; i < SHARERS; i++)
        pthread_join(threads[i], NULL);
    assert_sound();
    hf_free(most);
}

static pthread_key_t late_key; /* made after the library's: its destructor comes after the library's */
static bool was_loaded;
static unsigned led_somewhere;

static void late(void *argument)
{
    (void)argument;
    for (unsigned i = 0; i < HFI_DIRECT_COUNT; i++)
        led_somewhere += hfi_direct[i] != &hfi_empty_front;
    hf_free(hf_malloc(48));
}

static void *load_a_magazine(void *argument)
{
    pthread_setspecific(late_key, argument);
    hf_malloc(48);
    was_loaded = hfi_direct[3] == &hfi_theap->magazines[hfi_sizeclass_of(48)].loaded;
    return argument;
}

Test(core, a_thread_that_has_ended_reaches_no_magazine_any_more)
{
    if (!has_magazines())
        return;
    void *most = hf_malloc((hfi_arena_free_pages(&hfi_arena.nodes[0]) - 10) * HFI_PAGE_BYTES);
    cr_assert(most != NULL && hfi_node_is_tight(&hfi_arena.nodes[0]));
    pthread_key_create(&late_key, late);
    in_a_thread(load_a_magazine, &late_key);
    cr_assert(was_loaded);
    cr_assert_eq(led_somewhere, 0, "its theap is another thread's by then");
    assert_sound();
    hf_free(most);
}

Test(core, a_larger_block_serves_when_no_page_is_left)
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

Test(core, a_larger_block_is_aligned_as_well)
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

Test(core, a_full_page_of_ones_own_is_won_back_once_it_has_ample_room)
{
    static void *blocks[2000];
    /* above the direct table: no magazine */
    const struct sizeclass *class = &hfi_sizeclasses[hfi_sizeclass_of(2048)];
    unsigned count = 0;
    do {
        cr_assert_lt(count, 2000);
        blocks[count++] = hf_malloc(2048);
    } while (hfi_load_relaxed(hfi_owner_at(hfi_page_index(page_of(blocks[0])))) != HFI_OWNER_NOBODY);
    uint64_t adopted = hfi_theap->counters.adopted;
    for (unsigned i = 0; i < class->ample_blocks; i++) {
        cr_assert_eq(hfi_theap->counters.adopted, adopted);
        hf_free(blocks[i]);
    }
    cr_assert_eq(hfi_theap->counters.adopted, adopted + 1);
    cr_assert_eq(page_of(blocks[0])->list, LIST_PARTIAL);
    assert_sound();
    for (unsigned i = class->ample_blocks; i < count; i++)
        hf_free(blocks[i]);
    assert_sound();
}

/* A page that this thread filled, and let go of since; its first block. */
static char *page_let_go(size_t bytes)
{
    size_t each = hfi_sizeclasses[hfi_sizeclass_of(bytes)].blocks;
    char *first = NULL;
    for (size_t i = 0; i < 40 * each; i++) {
        char *block = hf_malloc(bytes);
        first = first == NULL && (uintptr_t)block % HFI_PAGE_BYTES == 0 ? block : first;
    }
    cr_assert_eq(hfi_load_relaxed(hfi_owner_at(hfi_index_of(first))), HFI_OWNER_NOBODY);
    return first;
}

static bool is_in(struct idleset *sets, const struct page *page)
{
    size_t member = hfi_node_member(&hfi_arena.nodes[0], page);
    return hfi_load_relaxed(&sets[page->size_class].xlevels[0][member / 64]) >> member % 64 & 1;
}

Test(core, scant_pages_wait_until_they_are_ample)
{
    struct arena_node *node = &hfi_arena.nodes[0];
    if (!has_magazines())
        return;
    char *block = page_let_go(1024);
    struct page *page = page_of(block);
    unsigned ample = hfi_sizeclasses[page->size_class].ample_blocks;
    cr_assert_gt(ample, 1);
    size_t idle = hfi_arena_idle_pages(node);
    for (unsigned i = 0; i < ample; i++, block += 1024) {
        cr_assert_eq(is_in(node->ample, page), false, "after %u", i);
        cr_assert_eq(is_in(node->scant, page), i != 0, "after %u", i);
        cr_assert_eq(hfi_arena_idle_pages(node), idle + (i != 0));
        hfi_remote_return(page, (struct block *)block, (struct block *)block, 1);
    }
    cr_assert(is_in(node->ample, page));
    cr_assert_eq(hfi_arena_idle_pages(node), idle + 1);
    cr_assert_eq(hfi_steal_idle(hfi_theap, node, page->size_class, HFI_STEAL_CANDIDATES), page);
    cr_assert(!is_in(node->ample, page) && !is_in(node->scant, page));
    cr_assert_eq(hfi_arena_idle_pages(node), idle);
    hfi_page_let_go(page);
    cr_assert(is_in(node->ample, page));
    assert_sound();
}

Test(core, a_page_with_one_free_block_serves_before_malloc_fails)
{
    if (!has_magazines())
        return;
    char *block = page_let_go(1024);
    struct page *page = page_of(block);
    while (hf_malloc(1024) != NULL)
        ;
    hfi_remote_return(page, (struct block *)block, (struct block *)block, 1);
    cr_assert(is_in(hfi_arena.nodes[0].scant, page));
    cr_assert_eq(hf_malloc(1024), block);
    cr_assert_null(hf_malloc(1024));
    assert_sound();
}

Test(core, a_scant_page_with_free_blocks_of_its_own_is_won_back_whole)
{
    const size_t bytes = 2048; /* above the direct table: no magazine */
    const struct sizeclass *class = &hfi_sizeclasses[hfi_sizeclass_of(bytes)];
    void *blocks[64];
    if (HFI_SECURE)
        cr_skip("runs of the secure build are longer");
    cr_assert(class->ample_blocks == 2 && class->blocks <= 64);
    blocks[0] = hf_malloc(bytes);
    struct page *page = page_of(blocks[0]);
    for (unsigned i = 1; i + 1u < class->blocks; i++)
        blocks[i] = hf_malloc(bytes);
    hf_thread_idle();
    cr_assert(is_in(hfi_arena.nodes[0].scant, page), "one block is left");
    uint64_t adopted = hfi_theap->counters.adopted;
    hf_free(blocks[0]);
    cr_assert_eq(hfi_theap->counters.adopted, adopted + 1);
    assert_sound();
    for (unsigned i = 1; i + 1u < class->blocks; i++)
        hf_free(blocks[i]);
    hf_thread_idle();
    cr_assert_eq(hfi_load_relaxed(hfi_owner_at(hfi_index_of(blocks[0]))), HFI_OWNER_NONE, "it is empty");
    assert_sound();
}

enum { LAST_BLOCKS = 24, LAST_HOLDERS = 4 };
static void *last_blocks[LAST_HOLDERS][LAST_BLOCKS]; /* each of another page, of which nothing else is out */
static pthread_barrier_t last_freed;

static void *free_last_blocks(void *argument)
{
    for (size_t i = 0; i < LAST_BLOCKS; i++)
        hf_free(last_blocks[(uintptr_t)argument][i]);
    pthread_barrier_wait(&last_freed);
    pthread_barrier_wait(&last_freed);
    return argument;
}

Test(core, what_sleeping_threads_have_in_magazines_pins_no_pages)
{
    static void *blocks[2 * LAST_BLOCKS * LAST_HOLDERS * 64];
    pthread_t holders[LAST_HOLDERS];
    size_t count = 0, held = 0, each = hfi_sizeclasses[hfi_sizeclass_of(1024)].blocks;
    if (!has_magazines())
        return;
    while (count < LAST_BLOCKS * LAST_HOLDERS * each)
        blocks[count++] = hf_malloc(1024);
    for (size_t i = 0; i < count; i++) {
        bool last = (uintptr_t)blocks[i] % HFI_PAGE_BYTES == 0 && held < LAST_BLOCKS * LAST_HOLDERS;
        if (last)
            last_blocks[held % LAST_HOLDERS][held / LAST_HOLDERS] = blocks[i], held++;
        else
            hf_free(blocks[i]);
    }
    cr_assert_geq(held, LAST_BLOCKS * LAST_HOLDERS - 2);
    hf_thread_idle();
    pthread_barrier_init(&last_freed, NULL, LAST_HOLDERS + 1);
    for (uintptr_t i = 0; i < LAST_HOLDERS; i++)
        pthread_create(&holders[i], NULL, free_last_blocks, (void *)i);
    pthread_barrier_wait(&last_freed);
    size_t before = hfi_arena_free_pages(&hfi_arena.nodes[0]);
    void *most = hf_malloc((before + 4) * HFI_PAGE_BYTES);
    cr_assert_not_null(most, "of the %zu pages that are not free, magazines of sleeping threads pin some",
                       hfi_arena.nodes[0].page_count - before);
    assert_sound();
    hf_free(most);
    pthread_barrier_wait(&last_freed);
    for (size_t i = 0; i < LAST_HOLDERS; i++)
        pthread_join(holders[i], NULL);
    assert_sound();
}

Test(core, few_empty_pages_are_held)
{
    void *blocks[HFI_CLASS_COUNT];
    for (unsigned class = 0; class < HFI_CLASS_COUNT; class ++)
        blocks[class] = hf_malloc(hfi_sizeclasses[class].block_bytes);
    for (unsigned class = 0; class < HFI_CLASS_COUNT; class ++)
        hf_free(blocks[class]);
    cr_assert_leq(hfi_theap->kept_pages, hfi_budget_kept(hfi_theap->node));
    assert_sound();
}

Test(core, large_blocks_resize_in_place_and_know_zero)
{
    char *block = hf_calloc(1, 5 << 20);
    cr_assert_eq(hf_usable_size(block), hfi_large_pages(5 << 20) * HFI_PAGE_BYTES - HFI_GUARD_BYTES);
    for (size_t i = 0; i < (5 << 20); i += 509)
        cr_assert_eq(block[i], 0);
    memset(block, 1, 5 << 20);
    char *small = hf_realloc(block, 1 << 20);
    cr_assert_eq(small, block);
    char *again = hf_calloc(1, 4 << 20); /* may well reuse the tail: must be zero all the same */
    for (size_t i = 0; i < (4 << 20); i += 509)
        cr_assert_eq(again[i], 0);
    hf_free(again);
    hf_free(small);
    assert_sound();
}

static bool released;

static bool release_one(size_t bytes, unsigned node, void *block)
{
    (void)node;
    if (released || bytes == 0)
        return false;
    hf_free(block);
    return released = true;
}

Test(core, a_pressure_callback_is_asked_before_failing)
{
    void *cache = hf_malloc(100 << 20);
    cr_assert_eq(hf_pressure_register(release_one, cache), 0);
    void *first = hf_malloc(100 << 20);
    void *second = hf_malloc(90 << 20);
    cr_assert(first != NULL && second != NULL && released);
    cr_assert_eq(hf_pressure_unregister(release_one, cache), 0);
    cr_assert_neq(hf_pressure_unregister(release_one, cache), 0);
    hf_free(first);
    hf_free(second);
}

enum { RELEASED_BYTES = 160000 };

static void *of_callback;

/* Allocates what is being asked for, and so brings a page of its class. */
static bool release_and_allocate(size_t bytes, unsigned node, void *block)
{
    if (of_callback != NULL || !release_one(bytes, node, block))
        return false;
    return (of_callback = hf_malloc(RELEASED_BYTES)) != NULL;
}

struct pressed {
    void *blocks[5000];
    size_t count;
};

/* Half of the arena is free, but in no run, until the callback is asked. */
static void *press(void *argument)
{
    struct pressed *pressed = argument;
    void *cache = hf_malloc(2 << 20);
    while ((pressed->blocks[pressed->count] = hf_malloc(HFI_PAGE_BYTES)) != NULL)
        pressed->count++;
    for (size_t i = 0; i < pressed->count; i += 2) {
        hf_free(pressed->blocks[i]);
        pressed->blocks[i] = NULL;
    }
    hf_thread_idle();
    cr_assert_eq(hf_pressure_register(release_and_allocate, cache), 0);
    cr_assert_not_null(pressed->blocks[pressed->count++] = hf_malloc(RELEASED_BYTES));
    cr_assert_not_null(pressed->blocks[pressed->count++] = of_callback);
    cr_assert_eq(hf_pressure_unregister(release_and_allocate, cache), 0);
    return argument;
}

Test(core, a_pressure_callback_that_allocates_loses_no_page)
{
    static struct pressed pressed;
    size_t before = hfi_arena_free_pages(&hfi_arena.nodes[0]);
    in_a_thread(press, &pressed);
    for (size_t i = 0; i < pressed.count; i++)
        hf_free(pressed.blocks[i]);
    hf_thread_idle();
    cr_assert_geq(hfi_arena_free_pages(&hfi_arena.nodes[0]), before);
    assert_sound();
}

#define STORM_SLOTS 1000
static _Atomic(void *) storm[STORM_SLOTS];

static void *storm_thread(void *argument)
{
    uint64_t random = (uintptr_t)argument;
    for (int step = 0; step < 100000; step++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        size_t bytes = (random >> 20) % (step % 50 == 0 ? 100000 : 500) + 8;
        unsigned char *block = hf_malloc(bytes);
        memset(block, (int)(bytes & 0xff), bytes);
        unsigned char *old = atomic_exchange(&storm[(random >> 40) % STORM_SLOTS], block);
        if (old != NULL) {
            size_t usable = hf_usable_size(old);
            if (old[0] != old[7] || usable < 8)
                abort();
            hf_free(old);
        }
    }
    return NULL;
}

Test(core, threads_free_each_others_blocks)
{
    for (uintptr_t generation = 0; generation < 4; generation++) {
        pthread_t threads[4];
        for (uintptr_t i = 0; i < 4; i++)
            pthread_create(&threads[i], NULL, storm_thread, (void *)(generation * 4 + i + 1));
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
        assert_sound();
    }
    for (int i = 0; i < STORM_SLOTS; i++)
        hf_free(storm[i]);
    hf_thread_idle();
    assert_sound();
    void *most = hf_malloc(200 << 20);
    cr_assert_not_null(most, "nothing is stranded");
}

static void *keep_every_other_and_wait(void *argument)
{
    struct hand_over *hand_over = argument;
    allocate_all(hand_over);
    for (size_t i = 0; i < hand_over->count; i += 2)
        hf_free(hand_over->blocks[i]);
    pthread_barrier_wait(&all_hold);
    pthread_barrier_wait(&all_hold);
    for (size_t i = 1; i < hand_over->count; i += 2)
        hf_free(hand_over->blocks[i]);
    return NULL;
}

Test(core, pages_of_a_thread_that_sleeps_are_taken)
{
    static struct hand_over hand_over = { .count = 600 }; /* ten pages: fewer than it may hold */
    pthread_t sleeper;
    pthread_barrier_init(&all_hold, NULL, 2);
    pthread_create(&sleeper, NULL, keep_every_other_and_wait, &hand_over);
    pthread_barrier_wait(&all_hold);
    void *most = hf_malloc(hfi_arena_free_pages(&hfi_arena.nodes[0]) * HFI_PAGE_BYTES - HFI_GUARD_BYTES);
    cr_assert_not_null(most);
    uint64_t stolen = hfi_theap->counters.stolen;
    size_t got = 0;
    for (void **block, **list = NULL; (block = hf_malloc(1000)) != NULL; got++) {
        *block = list;
        list = block;
    }
    cr_assert_geq(hfi_theap->counters.stolen, stolen + 8);
    cr_assert_geq(got, 250);
    assert_sound();
    let_end(sleeper);
    assert_sound();
}

/* As a reader of others' runs may find it: the page was of blocks when it looked at the owner. */
Test(core, a_page_that_has_become_large_meanwhile_is_shown_without_a_class)
{
    for (uint32_t pages = 1; pages <= 4; pages++) {
        struct page page = { .size_class = HFI_CLASS_LARGE, .run_pages = pages };
        uint64_t entry = hfi_pagemap_blocks(&page, HF_PAGE_OWNED, 1, 5);
        cr_assert_eq(HF_PAGE_STATE(entry), HF_PAGE_OWNED);
        cr_assert_eq(HF_PAGE_COUNT(entry), 5);
    }
}

/* By its limit no page may become writable that was not. */
static void allow_data(bool any)
{
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_DATA, &limit), 0);
    limit.rlim_cur = any ? limit.rlim_max : 4096;
    cr_assert_eq(setrlimit(RLIMIT_DATA, &limit), 0);
}

/* The hardened build: what the page's entry says of former times leads no walk astray (fork.c). */
Test(core, a_page_whose_guard_stays_is_a_run_of_one)
{
    if (!HFI_SECURE)
        return;
    char *block = hf_malloc(40 * HFI_PAGE_BYTES);
    struct page *last = page_of(block) + 40;
    last->run_pages = 7;
    allow_data(false);
    hf_free(block);
    cr_assert_eq(hfi_load_relaxed(hfi_owner_at(hfi_page_index(last))), (uintptr_t)HFI_OWNER_META);
    cr_assert_eq(last->run_pages, 1);
}

/* No more pages are lost than guards stood when they could not be lifted any more, and all come
 * back. */
Test(core, pages_whose_guards_stay_are_few_and_come_back)
{
    enum { RUNS = 20 };
    const struct arena_node *node = &hfi_arena.nodes[0];
    char *blocks[RUNS];
    if (!HFI_SECURE)
        return;
    size_t own = hfi_load_relaxed(&node->xtheap_pages);
    for (int i = 0; i < RUNS; i++)
        blocks[i] = hf_malloc(10 * HFI_PAGE_BYTES);
    allow_data(false);
    for (int i = 0; i < RUNS; i++)
        hf_free(blocks[i]);
    cr_assert_eq(hfi_load_relaxed(&node->xtheap_pages), own + RUNS);
    for (int i = 0; i < 10 * RUNS; i++)
        hf_free(hf_malloc(10 * HFI_PAGE_BYTES));
    cr_assert_eq(hfi_load_relaxed(&node->xtheap_pages), own + RUNS);
    allow_data(true);
    for (int i = 0; i < RUNS; i++)
        hf_free(hf_malloc(10 * HFI_PAGE_BYTES));
    cr_assert_eq(hfi_load_relaxed(&node->xtheap_pages), own);
    assert_sound();
}

static void *allocate_and_wait(void *unused)
{
    hf_free(hf_malloc(100));
    pthread_barrier_wait(&all_hold);
    pthread_barrier_wait(&all_hold);
    return unused;
}

/* What a fork among threads may copy of pinned memory: a theap as it was before it was linked.
 * That no file can be opened makes memory count as pinned. */
static int status_of_torn_child(void)
{
    struct rlimit files, none;
    getrlimit(RLIMIT_NOFILE, &files);
    none = (struct rlimit){ 0, files.rlim_max };
    setrlimit(RLIMIT_NOFILE, &none);
    struct theap *newest = hfi_theap_first(), *next = newest->next_all;
    newest->next_all = (struct theap *)64;
    pid_t pid = fork();
    if (pid == 0) {
        struct hf_stats stats;
        void *block = hf_malloc(100);
        _exit(block != NULL && hf_stats_get(&stats, sizeof stats) == 0 && stats.threads == 1 ? 0 : 1);
    }
    newest->next_all = next;
    setrlimit(RLIMIT_NOFILE, &files);
    int status = -1;
    waitpid(pid, &status, 0);
    return status;
}

Test(core, a_torn_child_follows_no_theap_that_is_newer_than_its_own)
{
    enum { THREADS = 20 }; /* more than a page of theaps */
    pthread_t threads[THREADS];
    struct theap *first = hfi_theap_first();
    pthread_barrier_init(&all_hold, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, allocate_and_wait, NULL);
    pthread_barrier_wait(&all_hold);
    cr_assert_neq(hfi_theap_first(), first);
    int status = status_of_torn_child();
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "wait status %d", status);
    pthread_barrier_wait(&all_hold);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_sound();
}
