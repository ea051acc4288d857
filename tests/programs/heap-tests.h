/*
 * heap-tests: what tests of heaps share.
 */
#ifndef HEAP_TESTS_H
#define HEAP_TESTS_H

#include <holdfast/heap.h>
#include <holdfast/holdfast.h>

#include "test.h"

#define STEP ((size_t)16 << 10) /* what heaps are counted in */

static inline struct hf_heap *test_heap(const char *name, size_t limit, unsigned flags)
{
    struct hf_heap_options options = {
        .size_bytes = sizeof options, .name = name, .limit = limit, .flags = flags
    };
    struct hf_heap *heap = hf_heap_create(&options);
    CHECK(heap != NULL);
    return heap;
}

static inline struct hf_heap_stats test_heap_stats(struct hf_heap *heap)
{
    struct hf_heap_stats stats;
    CHECK(hf_heap_stats(heap, &stats, sizeof stats) == 0);
    return stats;
}

static inline struct hf_stats test_arena_stats(void)
{
    struct hf_stats stats;
    CHECK(hf_stats_get(&stats, sizeof stats) == 0);
    return stats;
}

/* With nobody at work: the heaps, and what none of them has, make up what hf_stats says. */
static inline void test_heaps_sum(struct hf_heap *const *heaps, size_t count)
{
    struct hf_stats arena = test_arena_stats();
    uint64_t held = 0;
    for (size_t i = 0; i < count; i++)
        held += test_heap_stats(heaps[i]).held;
    CHECK(held + arena.heaps_free == arena.heaps);
    CHECK(test_heap_stats(hf_heap_default()).held + arena.heaps == arena.allocated);
}

#endif
