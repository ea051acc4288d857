/*
 * remote: blocks that another thread frees, and pages that come back to a thread by that.
 */
#include "heap.h"
#include "heap/remote.h"
#include "arena/arena.h"
#include "heap/theap.h"

TestSuite(remote, .init = set_up);

Test(remote, full_pages_freed_by_another_thread_go_back)
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

Test(remote, a_full_page_of_ones_own_is_won_back_once_it_has_ample_room)
{
    static void *blocks[8000];
    /* above the direct table: no magazine */
    const struct sizeclass *class = &hfi_sizeclasses[hfi_sizeclass_of(2048)];
    unsigned count = 0;
    do {
        cr_assert_lt(count, 8000);
        blocks[count++] = hf_malloc(2048);
    } while (hfi_load_relaxed(hfi_owner_at(hfi_page_index(page_of(blocks[0])))) != HFI_OWNER_UNOWNED);
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

Test(remote, a_page_goes_on_with_what_others_freed_before_it_links_more)
{
    static struct hand_over hand_over = { .count = 8 };
    allocate_all(&hand_over);
    struct page *page = page_of(hand_over.blocks[0]);
    uint32_t capacity = page->front.capacity;
    cr_assert_lt(capacity, page->reserved);
    for (unsigned i = 0; i < page->reserved; i++) {
        in_a_thread(free_all, &hand_over);
        allocate_all(&hand_over);
        cr_assert_eq(page_of(hand_over.blocks[0]), page);
        assert_sound();
    }
    cr_assert_eq(page->front.capacity, capacity, "%u of %u blocks are linked", page->front.capacity,
                 page->reserved);
}

static uintptr_t owner_of(void *block)
{
    return hfi_load_relaxed(hfi_owner_at(hfi_page_index(page_of(block))));
}

#define LEFT_BLOCKS 40
static void *left[LEFT_BLOCKS];

static void *leave_blocks(void *bytes)
{
    for (int i = 0; i < LEFT_BLOCKS; i++)
        left[i] = hf_malloc((size_t)bytes);
    return NULL;
}

static void take_over(size_t bytes)
{
    in_a_thread(leave_blocks, (void *)bytes);
    uint64_t elsewhere = hfi_counters_freed(&hfi_theap->counters), adopted = hfi_theap->counters.adopted;
    hf_free(left[0]);
    cr_assert_eq(owner_of(left[1]), (uintptr_t)hfi_theap, "of %zu bytes", bytes);
    for (int i = 1; i < LEFT_BLOCKS; i++) {
        hf_free(left[i]);
        assert_sound();
    }
    cr_assert_gt(hfi_theap->counters.adopted, adopted);
    cr_assert_eq(hfi_counters_freed(&hfi_theap->counters), elsewhere, "all went into pages of its own");
}

Test(remote, a_free_takes_in_the_page_of_a_thread_that_ended)
{
    take_over(64);
    take_over(1000);
    take_over(2048);
    take_over(10000); /* in runs of several pages */
    hf_thread_idle();
    assert_sound();
    cr_assert_not_null(hf_malloc(200 << 20), "nothing is stranded");
}

Test(remote, a_free_takes_no_more_pages_in_than_the_theap_wants)
{
    static struct hand_over hand_over = { .count = 4000 };
    struct page *page = NULL;
    in_a_thread(allocate_all, &hand_over);
    uint64_t adopted = hfi_theap->counters.adopted;
    for (size_t i = hand_over.count; i-- > 0;) { /* one block of each page, the last ones first */
        if (page_of(hand_over.blocks[i]) == page)
            continue;
        page = page_of(hand_over.blocks[i]);
        bool ended = owner_of(hand_over.blocks[i]) == HFI_OWNER_ENDED;
        bool wants = hfi_theap->counters.adopted < adopted + 16;
        cr_assert(ended || i < 2000, "a theap lets go of the oldest alone before its end");
        hf_free(hand_over.blocks[i]);
        uintptr_t owner = owner_of(hand_over.blocks[i]);
        cr_assert_eq(owner, ended && wants ? (uintptr_t)hfi_theap : HFI_OWNER_UNOWNED);
        assert_sound();
    }
    cr_assert_eq(hfi_theap->counters.adopted, adopted + 16);
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

Test(remote, threads_free_each_others_blocks)
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
