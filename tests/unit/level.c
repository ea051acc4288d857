/*
 * level: how much of a node is free, in four words.
 */
#include "heap.h"

TestSuite(level, .init = set_up);

#define THREADS 4
#define ROUNDS 3000
#define OF_THREADS 40 /* blocks of each: together they cross several levels */

static struct arena_node *node(void)
{
    return &hfi_arena.nodes[0];
}

static enum hf_level level(void)
{
    return hf_pressure_level(node()->id);
}

/* One block that leaves `left` pages free. */
static void *leave_pages(size_t left)
{
    size_t pages = hfi_arena_free_pages(node()) - left;
    void *block = hf_malloc(pages * HFI_PAGE_BYTES - HFI_GUARD_BYTES);
    cr_assert_not_null(block);
    cr_assert_eq(hfi_arena_free_pages(node()), left);
    return block;
}

Test(level, each_level_begins_at_its_share)
{
    size_t low = node()->page_count / HFI_LEVEL_LOW_SHARE;
    size_t scarce = node()->page_count / HFI_LEVEL_SCARCE_SHARE;
    const struct {
        size_t left;
        enum hf_level level;
    } cases[] = {
        { low, HF_LEVEL_PLENTY },        { low - 1, HF_LEVEL_LOW }, { scarce, HF_LEVEL_LOW },
        { scarce - 1, HF_LEVEL_SCARCE }, { 1, HF_LEVEL_SCARCE },    { 0, HF_LEVEL_FULL },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_assert_eq(level(), HF_LEVEL_PLENTY);
        void *block = leave_pages(cases[i].left);
        cr_assert_eq(level(), cases[i].level, "%zu pages left", cases[i].left);
        assert_sound();
        hf_free(block);
    }
    cr_assert_eq(level(), HF_LEVEL_PLENTY);
}

Test(level, a_block_that_shrinks_and_grows_in_place_moves_it)
{
    void *block = leave_pages(0);
    size_t bytes = hf_usable_size(block);
    cr_assert_eq(hf_realloc(block, bytes / 2), block);
    cr_assert_eq(level(), HF_LEVEL_PLENTY);
    cr_assert_eq(hf_realloc(block, bytes), block);
    cr_assert_eq(level(), HF_LEVEL_FULL);
    hf_free(block);
    assert_sound();
}

Test(level, a_node_without_an_arena_is_full)
{
    cr_assert_eq(hf_pressure_level(HFI_MAX_NODES - 1), HF_LEVEL_FULL);
    cr_assert_eq(hf_pressure_level(HFI_MAX_NODES), HF_LEVEL_FULL);
    cr_assert_eq(hf_pressure_level((unsigned)-1), HF_LEVEL_FULL);
}

/* Takes pages one by one and gives them back. */
static void *come_and_go(void *argument)
{
    void *blocks[OF_THREADS];
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < OF_THREADS; i++)
            blocks[i] = hf_malloc(HFI_PAGE_BYTES - HFI_GUARD_BYTES);
        for (size_t i = 0; i < OF_THREADS; i++)
            hf_free(blocks[i]);
    }
    return argument;
}

/* The audit compares the level with the pages. */
Test(level, it_is_true_when_threads_have_come_and_gone)
{
    pthread_t threads[THREADS];
    void *block = leave_pages(THREADS * OF_THREADS / 2);
    for (size_t i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, come_and_go, NULL), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_sound();
    hf_free(block);
    assert_sound();
}
