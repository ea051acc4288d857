/*
 * snapshot-heaps: see snapshot.h; heaps of the program, as the segment has them.
 *
 * HN1: an entry that is not whole, or whose heap came before the segment or goes, has no name; it
 *      counts among the others, with what it holds.  So the sum is that of the segment.
 *
 * Tests: tests/tool-heaps.sh, tests/fuzz/segment.c.
 */
#include "reader/snapshot.h"

#include <holdfast/heap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

/* A sum that a hostile segment makes too large is the largest. */
static uint64_t plus(uint64_t one, uint64_t other)
{
    return one + other < one ? UINT64_MAX : one + other;
}

/* Whatever reads names relies on their end. */
void snapshot_end_heap_names(struct snapshot *snapshot)
{
    for (unsigned i = 0; i < snapshot->heap_count; i++)
        snapshot->heaps[i].name[sizeof snapshot->heaps[i].name - 1] = 0;
}

void snapshot_settle_heaps(struct snapshot *snapshot)
{
    const struct hf_inspect_segment *header = &snapshot->header;
    struct snapshot_heaps *sum = &snapshot->heap_sum;
    *sum = (struct snapshot_heaps){ .told = snapshot->heap_count != 0 };
    if (sum->told == 0)
        return;
    sum->failures = header->heap_failures;
    sum->made = header->other_last;
    sum->others = header->other_heaps;
    sum->others_held = header->other_held;
    for (unsigned i = 0; i < snapshot->heap_count; i++) {
        struct hf_inspect_heap *heap = &snapshot->heaps[i];
        sum->made = hfi_max(sum->made, heap->last);
        sum->held = plus(sum->held, heap->held);
        if (heap->id == 0 || heap->id != heap->id_again) {
            sum->others_held = plus(sum->others_held, heap->held);
            sum->others = plus(sum->others, heap->held != 0);
            *heap = (struct hf_inspect_heap){ .id = 0 };
            continue;
        }
        sum->live++;
        heap->most = hfi_max(heap->most, heap->held);
    }
    sum->live = plus(sum->live, sum->others);
    sum->held = plus(sum->held, header->other_held);
    snapshot_end_heap_names(snapshot);
}

static const struct hf_inspect_heap *ordered;

static int by_held(const void *one, const void *other)
{
    const struct hf_inspect_heap *a = &ordered[*(const unsigned *)one],
                                 *b = &ordered[*(const unsigned *)other];
    if (a->held != b->held)
        return a->held < b->held ? 1 : -1;
    return a->id < b->id ? -1 : a->id > b->id;
}

unsigned snapshot_heap_order(const struct snapshot *snapshot, unsigned order[HF_INSPECT_MAX_HEAPS])
{
    unsigned count = 0;
    for (unsigned i = 0; i < snapshot->heap_count; i++)
        if (snapshot->heaps[i].id != 0)
            order[count++] = i;
    ordered = snapshot->heaps;
    qsort(order, count, sizeof order[0], by_held);
    return count;
}

const struct hf_inspect_heap *snapshot_heap_of_id(const struct snapshot *snapshot, uint64_t id)
{
    for (unsigned i = 0; i < snapshot->heap_count && id != 0; i++)
        if (snapshot->heaps[i].id == id)
            return &snapshot->heaps[i];
    return NULL;
}

const char *snapshot_heap_kind(const struct hf_inspect_heap *heap)
{
    return (heap->flags & HF_HEAP_REGION) != 0 ? "region" : "general";
}

const char *snapshot_heap_place(const struct snapshot *snapshot, const struct hf_inspect_heap *heap,
                                char text[16])
{
    if (heap->node == HF_INSPECT_NO_NODE)
        return (heap->flags & HF_HEAP_INTERLEAVE) != 0 ? "all" : "any";
    snprintf(text, 16, "%u", snapshot_node_id(snapshot, heap->node));
    return text;
}
