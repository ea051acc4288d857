/*
 * plain.h: what queries.c has in place of Holdfast with -DPLAIN, to be compared with: a counter of
 * bytes for each query, whose blocks are malloc's, and a cache that nobody asks to give way.
 */
#ifndef QUERIES_PLAIN_H
#define QUERIES_PLAIN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#define HF_HEAP_REGION 1u
enum { HF_PRESSURE_LOW, HF_PRESSURE_LAST };
enum hf_level { HF_LEVEL_PLENTY, HF_LEVEL_LOW, HF_LEVEL_SCARCE, HF_LEVEL_FULL };

struct hf_heap {
    size_t held, limit;
    uint64_t failures;
};
struct hf_heap_options {
    size_t size_bytes, limit;
    const char *name;
    unsigned flags;
};
struct hf_heap_stats {
    uint64_t held, failures;
};
struct hf_stats {
    uint64_t allocated, idle, reserve;
};
struct hf_pressure {
    size_t bytes;
    int cause;
};
struct hf_pressure_options {
    size_t size_bytes;
    bool (*handler)(const struct hf_pressure *pressure, void *context);
    unsigned low_percent;
};

static inline struct hf_heap *hf_heap_create(const struct hf_heap_options *options)
{
    struct hf_heap *heap = calloc(1, sizeof *heap);
    if (heap != NULL)
        heap->limit = options->limit;
    return heap;
}

static inline bool has_room(struct hf_heap *heap, size_t bytes)
{
    if (heap->limit == 0)
        return true;
    if (heap->held + bytes > heap->limit) {
        heap->failures++;
        return false;
    }
    heap->held += bytes;
    return true;
}

static inline void *hf_heap_malloc(struct hf_heap *heap, size_t bytes)
{
    return has_room(heap, bytes) ? malloc(bytes) : NULL;
}

static inline void *hf_heap_calloc(struct hf_heap *heap, size_t count, size_t each)
{
    return has_room(heap, count * each) ? calloc(count, each) : NULL;
}

static inline struct hf_heap *hf_heap_use(struct hf_heap *heap)
{
    return heap;
}

static inline int hf_heap_stats(struct hf_heap *heap, struct hf_heap_stats *stats, size_t size)
{
    (void)size;
    *stats = (struct hf_heap_stats){ .held = heap->held, .failures = heap->failures };
    return 0;
}

static inline int hf_stats_get(struct hf_stats *stats, size_t size)
{
    (void)size;
    *stats = (struct hf_stats){ .reserve = 1 };
    return 0;
}

#define hf_heap_destroy(heap) free(heap)
#define hf_pressure_watch(options) ((void)(options), 0)
#define hf_pressure_level(node) HF_LEVEL_PLENTY
#define hf_reserve_enter() ((void)0)
#define hf_reserve_leave() ((void)0)
#define hf_thread_idle() ((void)0)

#endif
