/*
 * magazine: blocks of others' pages that a thread freed serve its next requests, are few, go back in
 * time, and pin no pages.
 */
#include "heap.h"
#include "heap/remote.h"
#include "heap/theap.h"
#include "arena/xfree.h"
#include "arena/arena.h"
#include "heap/budget.h"

TestSuite(magazine, .init = set_up);

/* Takes every block of a page of 1,000-byte blocks: the thread's own has no room left. */
static void run_dry(void)
{
    struct page *own = page_of(hf_malloc(1000));
    for (unsigned i = 1; i < hfi_sizeclasses[hfi_sizeclass_of(1000)].blocks; i++)
        cr_assert_eq(page_of(hf_malloc(1000)), own);
}

Test(magazine, blocks_of_others_serve_the_next_requests)
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

Test(magazine, blocks_of_others_do_not_stand_in_for_a_page_of_ones_own)
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

Test(magazine, a_thread_with_room_of_its_own_returns_blocks_of_others)
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

Test(magazine, threads_that_exchange_blocks_take_first_what_they_freed_last)
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

Test(magazine, magazines_hold_few_blocks_and_return_the_oldest)
{
    static struct hand_over hand_over = { .count = 4000 };
    if (!has_magazines())
        return;
    pthread_t owner = allocated_by_another(&hand_over);
    struct page *first = page_of(hand_over.blocks[hand_over.count - 1]);
    cr_assert_gt(hfi_load_relaxed(hfi_owner_at(hfi_page_index(first))), HFI_OWNER_UNOWNED);
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

#define OF_64_BYTES 4000

static void *hold_blocks_of_64_bytes(void *argument)
{
    struct hand_over *hand_over = argument;
    for (size_t i = 0; i < OF_64_BYTES; i++)
        hand_over->blocks[i] = hf_malloc(64);
    pthread_barrier_wait(&all_hold);
    pthread_barrier_wait(&all_hold);
    return NULL;
}

Test(magazine, magazines_hold_few_blocks_of_many_pages)
{
    static struct hand_over hand_over;
    pthread_t owner;
    if (!has_magazines())
        return;
    pthread_barrier_init(&all_hold, NULL, 2);
    cr_assert_eq(pthread_create(&owner, NULL, hold_blocks_of_64_bytes, &hand_over), 0);
    pthread_barrier_wait(&all_hold);
    const struct magazine *magazine = &hfi_theap->magazines[hfi_sizeclass_of(64)];
    for (size_t i = 0; i < OF_64_BYTES; i++) { /* each is of another page than the one before */
        hf_free(hand_over.blocks[i % 4 * (OF_64_BYTES / 4) + i / 4]);
        assert_sound();
    }
    uint32_t held = magazine->incoming_limit - magazine->incoming_room + magazine->previous_blocks;
    cr_assert_leq(held, 2 * hfi_budget_roomy.list_blocks + 2);
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

Test(magazine, threads_share_pages_on_a_tight_node)
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

Test(magazine, a_thread_that_has_ended_reaches_no_magazine_any_more)
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

Test(magazine, what_sleeping_threads_have_in_magazines_pins_no_pages)
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
