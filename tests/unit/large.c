/*
 * large: blocks of whole pages; in the secure build, runs whose guard the kernel will not lift.
 */
#include <sys/resource.h>

#include "heap.h"
#include "heap/large.h"
#include "arena/arena.h"

TestSuite(large, .init = set_up);

Test(large, large_blocks_resize_in_place_and_know_zero)
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

/* By its limit no page may become writable that was not. */
static void allow_data(bool any)
{
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_DATA, &limit), 0);
    limit.rlim_cur = any ? limit.rlim_max : 4096;
    cr_assert_eq(setrlimit(RLIMIT_DATA, &limit), 0);
}

/* The secure build: what the page's entry says of former times leads no walk astray (fork.c). */
Test(large, a_page_whose_guard_stays_is_a_run_of_one)
{
    if (!HFI_SECURE)
        cr_skip("only the secure build has guards");
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
Test(large, pages_whose_guards_stay_are_few_and_come_back)
{
    enum { RUNS = 20 };
    const struct arena_node *node = &hfi_arena.nodes[0];
    char *blocks[RUNS];
    if (!HFI_SECURE)
        cr_skip("only the secure build has guards");
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
