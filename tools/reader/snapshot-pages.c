/*
 * snapshot-pages: see snapshot.h; what follows from the page map, and the figures of nodes.
 *
 * Each page of a node is counted once; what the map has wrong is cut to what there can be (SN1 in
 * snapshot-read.c).
 *
 * Tests: tests/tool-live.sh, tests/tool-stat.sh, tests/fuzz/segment.c.
 */
#include <string.h>

#include "base/bits.h"
#include "reader/snapshot.h"

static size_t run_pages(const struct snapshot *snapshot, uint64_t entry)
{
    switch (HF_PAGE_STATE(entry)) {
    case HF_PAGE_OWNED:
    case HF_PAGE_IDLE:
    case HF_PAGE_LOOSE:
        if (HF_PAGE_CLASS(entry) >= snapshot->class_count ||
            HF_PAGE_SHORT(entry) >= snapshot->classes[HF_PAGE_CLASS(entry)].run_pages)
            return 1;
        return snapshot->classes[HF_PAGE_CLASS(entry)].run_pages - HF_PAGE_SHORT(entry);
    case HF_PAGE_LARGE:
    case HF_PAGE_META: return HF_PAGE_COUNT(entry) == 0 ? 1 : HF_PAGE_COUNT(entry);
    default: return 1;
    }
}

static bool is_free(uint64_t entry)
{
    return HF_PAGE_STATE(entry) == HF_PAGE_FREE || HF_PAGE_STATE(entry) == HF_PAGE_UNTOUCHED;
}

void snapshot_each_run(const struct snapshot *snapshot, unsigned node,
                       void (*each)(size_t first, size_t pages, uint64_t entry, void *argument),
                       void *argument)
{
    if (snapshot->pages == NULL)
        return;
    const uint64_t *map = snapshot->pages + snapshot->nodes[node].first_page;
    size_t count = snapshot->nodes[node].total / HF_INSPECT_PAGE_BYTES;
    for (size_t first = 0; first < count;) {
        size_t pages = run_pages(snapshot, map[first]);
        while (is_free(map[first]) && first + pages < count && is_free(map[first + pages]))
            pages++;
        if (pages > count - first)
            pages = count - first;
        each(first, pages, is_free(map[first]) ? HF_PAGE_FREE : map[first], argument);
        first += pages;
    }
}

static uint64_t guard_bytes(const struct snapshot *snapshot)
{
    return snapshot->header.options & HF_INSPECT_SECURE ? HF_INSPECT_GUARD_BYTES : 0;
}

/* Blocks of a run, which may be shorter than its class has them; in front of its guard, where it
 * has one. */
static uint64_t run_blocks(const struct snapshot *snapshot, size_t pages, uint64_t entry)
{
    const struct hf_inspect_class *cut = &snapshot->classes[HF_PAGE_CLASS(entry)];
    uint64_t bytes = pages * HF_INSPECT_PAGE_BYTES - guard_bytes(snapshot);
    uint64_t fit = cut->block_bytes == 0 ? 0 : bytes / cut->block_bytes;
    return HF_PAGE_SHORT(entry) == 0 || fit > cut->run_blocks ? cut->run_blocks : fit;
}

struct tally {
    struct snapshot *snapshot;
    struct node_pages *node;
};

static void tally_blocks(struct tally *tally, size_t pages, uint64_t entry)
{
    struct snapshot *snapshot = tally->snapshot;
    unsigned class = HF_PAGE_CLASS(entry), theap = HF_PAGE_THEAP(entry);
    if (class >= snapshot->class_count)
        return;
    const struct hf_inspect_class *cut = &snapshot->classes[class];
    struct class_pages *of_class = &snapshot->class_pages[class];
    uint64_t room = run_blocks(snapshot, pages, entry), used = hfi_min(HF_PAGE_BLOCKS(entry), room);
    uint64_t bytes = pages * HF_INSPECT_PAGE_BYTES, used_bytes = used * cut->block_bytes;
    if (used_bytes > bytes)
        used_bytes = bytes; /* a run that the node's end cuts short */
    of_class->runs++;
    of_class->pages += pages;
    of_class->used_blocks += used;
    of_class->room_blocks += room;
    of_class->waste_bytes += bytes - used_bytes;
    of_class->live_bytes += used_bytes;
    tally->node->held_bytes += bytes;
    tally->node->live_bytes += used_bytes;
    tally->node->idle_live_bytes += HF_PAGE_STATE(entry) == HF_PAGE_IDLE ? used_bytes : 0;
    if (HF_PAGE_STATE(entry) != HF_PAGE_OWNED)
        return;
    bool empty = used == 0 && snapshot_live_is_known(snapshot);
    tally->node->owned_empty += empty ? pages : 0;
    tally->node->owned_partly += !empty && used != room ? pages : 0;
    if (theap < snapshot->theap_count) {
        snapshot->theap_pages[theap].pages += pages;
        snapshot->theap_pages[theap].used_bytes += used_bytes;
    }
}

static void tally_large(struct tally *tally, size_t pages)
{
    tally->node->held_bytes += pages * HF_INSPECT_PAGE_BYTES;
    tally->node->live_bytes += pages * HF_INSPECT_PAGE_BYTES - guard_bytes(tally->snapshot);
}

static void tally_run(size_t first, size_t pages, uint64_t entry, void *argument)
{
    struct tally *tally = argument;
    unsigned state = HF_PAGE_STATE(entry) < SNAPSHOT_STATES ? HF_PAGE_STATE(entry) : HF_PAGE_FREE;
    (void)first;
    tally->node->state[state] += pages;
    if (state == HF_PAGE_FREE && pages > tally->node->longest_free)
        tally->node->longest_free = pages;
    else if (state == HF_PAGE_OWNED || state == HF_PAGE_IDLE || state == HF_PAGE_LOOSE)
        tally_blocks(tally, pages, entry);
    else if (state == HF_PAGE_LARGE)
        tally_large(tally, pages);
    tally->node->heap_pages += HF_PAGE_IS_OF_HEAPS(entry) ? pages : 0;
}

static uint64_t move(uint64_t *from, uint64_t wanted)
{
    uint64_t moved = hfi_min(wanted, *from);
    *from -= moved;
    return moved;
}

/* What magazines hold is out of its pages, and free all the same. */
static void deduct_magazines(struct snapshot *snapshot, unsigned node)
{
    struct node_pages *pages = &snapshot->node_pages[node];
    for (unsigned i = 0; i < snapshot->class_count; i++) {
        struct class_pages *class = &snapshot->class_pages[i];
        uint64_t blocks = move(&class->used_blocks, snapshot->magazine_blocks[node][i]);
        uint64_t bytes = move(&class->live_bytes, blocks * snapshot->classes[i].block_bytes);
        class->waste_bytes += bytes;
        pages->magazine_bytes += move(&pages->live_bytes, bytes);
    }
}

static void add_up(struct snapshot *snapshot)
{
    snapshot->held_bytes = snapshot->live_bytes = snapshot->idle_live_bytes = snapshot->magazine_bytes = 0;
    for (unsigned i = 0; i < snapshot->node_count; i++) {
        const struct node_pages *pages = &snapshot->node_pages[i];
        snapshot->held_bytes += pages->held_bytes;
        snapshot->live_bytes += pages->live_bytes;
        snapshot->idle_live_bytes += pages->idle_live_bytes;
        snapshot->magazine_bytes += pages->magazine_bytes;
    }
}

void snapshot_derive(struct snapshot *snapshot)
{
    memset(snapshot->node_pages, 0, sizeof snapshot->node_pages);
    memset(snapshot->class_pages, 0, sizeof snapshot->class_pages);
    memset(snapshot->theap_pages, 0, HF_INSPECT_MAX_THEAPS * sizeof *snapshot->theap_pages);
    for (unsigned i = 0; i < snapshot->node_count; i++) {
        struct tally tally = { .snapshot = snapshot, .node = &snapshot->node_pages[i] };
        snapshot_each_run(snapshot, i, tally_run, &tally);
        deduct_magazines(snapshot, i);
    }
    add_up(snapshot);
}

/* --- figures of nodes --- */

struct snapshot_figures snapshot_figures(const struct snapshot *snapshot, unsigned node)
{
    const struct hf_inspect_node *shown = &snapshot->nodes[node];
    const struct node_pages *pages = &snapshot->node_pages[node];
    struct snapshot_figures figures = { .total = shown->total, .high_water = shown->high_water };
    bool known = snapshot_live_is_known(snapshot), mapped = snapshot->live_known != LIVE_UNKNOWN;
    uint64_t left = figures.total;
    figures.used = move(&left, shown->used);
    figures.free = move(&left, shown->free);
    left = figures.used;
    figures.meta = move(&left, shown->meta);
    figures.held = mapped ? pages->held_bytes : left;
    figures.large = move(&left, hfi_min(shown->large, figures.held));
    figures.heaps = hfi_min(shown->heaps, figures.large);
    figures.large -= figures.heaps;
    figures.idle = move(&left, shown->idle);
    figures.kept = move(&left, pages->owned_empty * HF_INSPECT_PAGE_BYTES);
    figures.full = move(&left, pages->state[HF_PAGE_LOOSE] * HF_INSPECT_PAGE_BYTES);
    figures.owned = left;
    figures.live = known ? hfi_min(pages->live_bytes, figures.held) : figures.held;
    figures.idle_live = known ? hfi_min(pages->idle_live_bytes, figures.idle) : figures.idle;
    return figures;
}

_Static_assert(sizeof(struct snapshot_figures) == 14 * sizeof(uint64_t), "sums of bytes, all of it");

void snapshot_figures_add(struct snapshot_figures *sum, const struct snapshot_figures *figures)
{
    uint64_t *to = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)figures;
    for (size_t i = 0; i < sizeof *sum / sizeof *to; i++)
        to[i] += from[i];
}

struct snapshot_figures snapshot_figures_of_all(const struct snapshot *snapshot)
{
    struct snapshot_figures sum = { .total = 0 };
    for (unsigned i = 0; i < snapshot->node_count; i++) {
        const struct snapshot_figures figures = snapshot_figures(snapshot, i);
        snapshot_figures_add(&sum, &figures);
    }
    return sum;
}
