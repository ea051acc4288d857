/*
 * privileged: the maps of the reserve, and who is let into them.
 */
#include "heap.h"

#include <holdfast/heap.h>
#include <stdio.h>

#include "heap/steal.h"

#define RESERVE_PAGES 32
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

static bool is_of_reserve(const void *block)
{
    return hfi_arena_is_reserve(node(), hfi_index_of(block) - node()->first_index);
}

struct link {
    struct link *next;
};

static struct link *first;

/* All of the arena, down to the smallest blocks. */
static void fill(void)
{
    for (size_t bytes = 64 * HFI_PAGE_BYTES; bytes >= 16; bytes /= 2)
        for (struct link *block;
             (block = hf_malloc(bytes - (bytes > HFI_PAGE_BYTES ? HFI_GUARD_BYTES : 0)));) {
            block->next = first;
            first = block;
        }
    cr_assert_eq(hfi_arena_free_pages(node()), 0);
}

static void empty(void)
{
    while (first != NULL) {
        struct link *next = first->next;
        hf_free(first);
        first = next;
    }
}

Test(privileged, a_page_with_room_is_of_no_set_that_others_look_at)
{
    fill();
    cr_assert_null(hf_malloc(100));
    hf_reserve_enter();
    void *one = hf_malloc(100), *second = hf_malloc(100);
    hf_reserve_leave();
    cr_assert(is_of_reserve(one) && page_of(one) == page_of(second), "one page serves both");
    unsigned class = hfi_sizeclass_of(100);
    cr_assert_eq(page_of(one)->size_class, class);
    cr_assert_null(hfi_claim_ample(NULL, node(), class, 100));
    cr_assert_null(hfi_claim_scant(NULL, node(), class, 100));
    cr_assert_null(hf_malloc(100));
    assert_sound();
    hf_free(one);
    hf_free(second);
    hf_thread_idle();
    cr_assert_eq(hfi_arena_reserve_used(node()), 0);
    assert_sound();
}

/* In the secure build a page may be left over that holds no such block. */
Test(privileged, a_larger_block_with_room_serves_when_the_reserve_has_no_page)
{
    void *taken[RESERVE_PAGES];
    size_t count = 0;
    fill();
    hf_reserve_enter();
    void *larger = hf_malloc(200);
    while ((taken[count] = hf_malloc(HFI_PAGE_BYTES - HFI_GUARD_BYTES)) != NULL)
        cr_assert_lt(++count, RESERVE_PAGES);
    bool all = hfi_arena_reserve_used(node()) == RESERVE_PAGES;
    void *small = hf_malloc(16);
    cr_assert(HFI_SECURE || all);
    cr_assert(small != NULL && (!all || page_of(small) == page_of(larger)));
    hf_reserve_leave();
    assert_sound();
    hf_free(small);
    hf_free(larger);
    while (count != 0)
        hf_free(taken[--count]);
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
    empty();
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
    for (size_t i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, come_and_go, NULL), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    hf_thread_idle();
    cr_assert_eq(hfi_arena_reserve_used(node()), 0);
    assert_sound();
}
