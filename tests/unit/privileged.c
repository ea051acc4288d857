/*
 * privileged: the maps of the reserve, and who is let into them.
 */
#include "heap.h"

#include <holdfast/heap.h>
#include <stdio.h>

#include "heap/steal.h"

#define RESERVE_PAGES 32
#define BLOCKS_MAX 8192
#define THREADS 4
#define ROUNDS 300

static void set_up_reserve(void)
{
    setenv("HOLDFAST_RESERVE", "2M", 1);
    freopen("/dev/null", "w", stderr); /* the arena runs full */
    set_up_arena("64M");
    cr_assert_eq(hfi_arena.nodes[0].reserve_count, RESERVE_PAGES);
}

TestSuite(privileged, .init = set_up_reserve);

static struct arena_node *node(void)
{
    return &hfi_arena.nodes[0];
}

static void *blocks[BLOCKS_MAX];
static size_t block_count;

/* All of the arena, in blocks of whole pages; then no class has a page with room either. */
static void fill(void)
{
    for (size_t pages = 64; pages != 0; pages /= 2)
        while ((blocks[block_count] = hf_malloc(pages * HFI_PAGE_BYTES - HFI_GUARD_BYTES)) != NULL)
            block_count++;
    cr_assert_lt(block_count, BLOCKS_MAX);
}

static bool is_of_reserve(const void *block)
{
    return hfi_arena_is_reserve(node(), hfi_index_of(block) - node()->first_index);
}

Test(privileged, a_page_with_room_is_of_no_set_that_others_look_at)
{
    fill();
    cr_assert_null(hf_malloc(100));
    hf_reserve_enter();
    void *first = hf_malloc(100), *second = hf_malloc(100);
    hf_reserve_leave();
    cr_assert(is_of_reserve(first) && page_of(first) == page_of(second), "one page serves both");
    unsigned class = hfi_sizeclass_of(100);
    cr_assert_eq(page_of(first)->size_class, class);
    cr_assert_null(hfi_claim_ample(NULL, node(), class, 100));
    cr_assert_null(hfi_claim_scant(NULL, node(), class, 100));
    cr_assert_null(hf_malloc(100));
    assert_sound();
    hf_free(first);
    hf_free(second);
    hf_thread_idle();
    cr_assert_eq(hfi_arena_reserve_used(node()), 0);
    assert_sound();
}

Test(privileged, a_larger_block_with_room_serves_when_the_reserve_has_no_page)
{
    void *taken[RESERVE_PAGES];
    fill();
    hf_reserve_enter();
    void *larger = hf_malloc(200);
    for (size_t i = 0; i + 1 < RESERVE_PAGES; i++)
        cr_assert_not_null(taken[i] = hf_malloc(HFI_PAGE_BYTES - HFI_GUARD_BYTES));
    void *small = hf_malloc(16);
    cr_assert(small != NULL && page_of(small) == page_of(larger));
    cr_assert_eq(hfi_arena_reserve_used(node()), RESERVE_PAGES);
    hf_reserve_leave();
    assert_sound();
    hf_free(small);
    hf_free(larger);
    for (size_t i = 0; i + 1 < RESERVE_PAGES; i++)
        hf_free(taken[i]);
    hf_thread_idle();
    cr_assert_eq(hfi_arena_reserve_used(node()), 0);
    assert_sound();
}

Test(privileged, no_block_grows_out_of_the_reserve)
{
    fill();
    hf_reserve_enter();
    char *all = hf_malloc(RESERVE_PAGES * HFI_PAGE_BYTES - HFI_GUARD_BYTES);
    cr_assert(is_of_reserve(all));
    for (size_t i = 0; i < block_count; i++)
        hf_free(blocks[i]);
    char *grown = hf_realloc(all, (RESERVE_PAGES + 1) * HFI_PAGE_BYTES - HFI_GUARD_BYTES);
    hf_reserve_leave();
    cr_assert(grown != NULL && grown != all && !is_of_reserve(grown));
    cr_assert_eq(hfi_arena_reserve_used(node()), 0);
    hf_free(grown);
    assert_sound();
}

Test(privileged, a_level_does_not_count_the_reserve)
{
    fill();
    cr_assert_eq(hf_pressure_level(node()->id), HF_LEVEL_FULL);
    struct hf_stats stats;
    cr_assert_eq(hf_stats_get(&stats, sizeof stats), 0);
    cr_assert_eq(stats.free, RESERVE_PAGES * HFI_PAGE_BYTES);
    cr_assert_eq(stats.longest_free, 0);
}

/* Takes and gives back, inside and outside. */
static void *come_and_go(void *argument)
{
    void *some[20];
    for (int round = 0; round < ROUNDS; round++) {
        hf_reserve_enter();
        for (size_t i = 0; i < 20; i++)
            some[i] = hf_malloc(i % 3 == 0 ? HFI_PAGE_BYTES - HFI_GUARD_BYTES : (size_t)16 << i % 5);
        hf_reserve_leave();
        void *outside = hf_malloc(HFI_PAGE_BYTES - HFI_GUARD_BYTES);
        cr_assert(outside == NULL || !is_of_reserve(outside));
        hf_free(outside);
        for (size_t i = 0; i < 20; i++)
            hf_free(some[i]);
    }
    return argument;
}

Test(privileged, the_reserve_is_whole_after_threads_have_come_and_gone)
{
    pthread_t threads[THREADS];
    fill();
    hf_free(blocks[--block_count]);
    for (size_t i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, come_and_go, NULL), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    hf_thread_idle();
    cr_assert_eq(hfi_arena_reserve_used(node()), 0);
    assert_sound();
}
