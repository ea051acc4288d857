/*
 * steal: pages of threads that have ended or sleep, and the idle sets that list them.
 */
#include "heap.h"
#include "heap/harden.h"
#include "heap/remote.h"
#include "heap/budget.h"
#include "heap/steal.h"
#include "arena/pagetable.h"
#include "arena/xfree.h"
#include "arena/arena.h"
#include "heap/theap.h"
#include "heap/page.h"

TestSuite(steal, .init = set_up);

/* As by a thread that does not take the page in. */
static void free_into_unowned(void *block)
{
    hfi_dead(block);
    hfi_remote_free(NULL, page_of(block), block);
}

Test(steal, pages_of_a_thread_that_ended_are_claimed)
{
    static struct hand_over hand_over = { .count = 4000 };
    in_a_thread(allocate_all, &hand_over);
    for (size_t i = 0; i < hand_over.count; i++) {
        cr_assert(hfi_xfree_is_unowned(page_of(hand_over.blocks[i])));
        if (i % 2 == 0)
            free_into_unowned(hand_over.blocks[i]);
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

Test(steal, a_claimed_page_with_frees_waiting_is_seen_as_empty)
{
    static struct hand_over hand_over;
    in_a_thread(allocate_a_few, &hand_over);
    for (size_t i = 0; i < 10; i++) /* the page is unowned: these wait in xfree */
        free_into_unowned(hand_over.blocks[i]);
    uint64_t claimed = hfi_theap->counters.claimed;
    void *block = hf_malloc(1000);
    cr_assert_eq(hfi_theap->counters.claimed, claimed + 1);
    cr_assert_eq(page_of(block), page_of(hand_over.blocks[38]));
    cr_assert_neq(hfi_xfree_count(hfi_load_relaxed(&page_of(block)->xfree)), 0, "the ten still wait");
    size_t before = hfi_arena_free_pages(&hfi_arena.nodes[0]);
    hf_free(block);
    for (size_t i = 10; i < 39; i++)
        hf_free(hand_over.blocks[i]);
    hfi_theap_enter(hfi_theap);
    cr_assert(hfi_theap_give_back(hfi_theap));
    hfi_theap_leave(hfi_theap);
    cr_assert_geq(hfi_arena_free_pages(&hfi_arena.nodes[0]), before + 1, "the page went back");
    cr_assert_eq(hfi_load_relaxed(hfi_owner_at(hfi_index_of(block))), HFI_OWNER_NONE);
    assert_sound();
}

/* A page that this thread filled, and let go of since; its first block. */
static char *page_let_go(size_t bytes)
{
    size_t each = hfi_sizeclasses[hfi_sizeclass_of(bytes)].blocks;
    char *first = NULL;
    for (size_t i = 0; i < (HFI_FULL_MAX + 2) * each; i++) {
        char *block = hf_malloc(bytes);
        first = first == NULL && (uintptr_t)block % HFI_PAGE_BYTES == 0 ? block : first;
    }
    cr_assert_eq(hfi_load_relaxed(hfi_owner_at(hfi_index_of(first))), HFI_OWNER_UNOWNED);
    return first;
}

static bool is_in(struct idleset *sets, const struct page *page)
{
    size_t member = hfi_node_member(&hfi_arena.nodes[0], page);
    return hfi_load_relaxed(&sets[page->size_class].xlevels[0][member / 64]) >> member % 64 & 1;
}

Test(steal, scant_pages_wait_until_they_are_ample)
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
    cr_assert_eq(hfi_claim_ample(hfi_theap, node, page->size_class, HFI_CLAIM_CANDIDATES), page);
    cr_assert(!is_in(node->ample, page) && !is_in(node->scant, page));
    cr_assert_eq(hfi_arena_idle_pages(node), idle);
    hfi_page_let_go(page);
    cr_assert(is_in(node->ample, page));
    assert_sound();
}

Test(steal, a_page_with_one_free_block_serves_before_malloc_fails)
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

Test(steal, a_scant_page_with_free_blocks_of_its_own_is_won_back_whole)
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

Test(steal, pages_of_a_thread_that_sleeps_are_taken)
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

/* --- before a growing arena grows --- */

static void set_up_growing(void)
{
    unsetenv("HOLDFAST_ARENA");
    setenv("HOLDFAST_BACKING", "4k", 1);
    setenv("HOLDFAST_INSPECT", "0", 1);
    hf_free(hf_malloc(1));
}

#define KEPT_BLOCKS 80000 /* of 1000 bytes: more than the least for which it is looked */
static void *kept[KEPT_BLOCKS];

static void *keep_half(void *unused)
{
    for (size_t i = 0; i < KEPT_BLOCKS; i++)
        kept[i] = hf_malloc(1000);
    for (size_t i = 0; i < KEPT_BLOCKS; i += 2)
        hf_free(kept[i]);
    pthread_barrier_wait(&all_hold);
    pthread_barrier_wait(&all_hold);
    return unused;
}

TestSuite(steal_growing, .init = set_up_growing);

Test(steal_growing, what_a_sleeper_keeps_serves_before_the_arena_grows)
{
    struct arena_node *node = &hfi_arena.nodes[0];
    pthread_t sleeper;
    pthread_barrier_init(&all_hold, NULL, 2);
    cr_assert_eq(pthread_create(&sleeper, NULL, keep_half, NULL), 0);
    pthread_barrier_wait(&all_hold);
    size_t frontier = hfi_load_relaxed(&node->xfrontier);
    /* The sleeper itself may have looked in vain when it grew the arena. */
    hfi_store_relaxed(&node->xlook_at, 0);
    while (hfi_load_relaxed(&node->xfrontier) == frontier)
        hf_malloc(1000);
    cr_assert_gt(hfi_theap->counters.stolen, 0);
    assert_sound();
    let_end(sleeper);
}
