/*
 * plan: see plan.h.
 *
 * PL1: node windows follow each other from HFI_WINDOWS_OFFSET, each node's starting on a window;
 *      their sum is at most HFI_WINDOWS_BYTES_MAX after hfi_plan_cap.
 * PL2: nodes[] has the topology's order, so an arena's index is the number of chosen nodes before
 *      it.
 *
 * Test: tests/unit/plan.c, tests/unit/reserve.c.
 */
#include "numa/plan.h"

#include <holdfast/inspect.h>
#include <string.h>

#include "numa/distance.h"
#include "numa/topology.h"

#define HUGE_BYTES ((size_t)2 * HFI_MIB)
/* Of the inspection segment: header, nodes, sums by node, classes, events, slow calls,
 * each aligned. */
#define SEGMENT_REST_BYTES                                                                                   \
    (8192 + HFI_MAX_NODES * (sizeof(struct hf_inspect_node) + sizeof(struct hf_inspect_theap)) +             \
     HF_INSPECT_MAX_CLASSES * sizeof(struct hf_inspect_class) +                                              \
     HF_INSPECT_SHARDS * HF_INSPECT_CAUSES * sizeof(struct hf_inspect_slow) +                                \
     HF_INSPECT_EVENTS * sizeof(struct hf_inspect_event))

/* --- sizes --- */

bool hfi_node_is_chosen(const struct options *options, const struct topology_node *node)
{
    if (options->nodes != ~(uint64_t)0)
        return options->nodes >> node->id & 1;
    return node->memory == MEMORY_ORDINARY ||
           (options->arena == ARENA_PER_NODE && options->arena_node_bytes[node->id] != 0);
}

static size_t chosen_nodes(const struct options *options, const struct topology *topology)
{
    size_t chosen = 0;
    for (unsigned i = 0; i < topology->node_count; i++)
        chosen += hfi_node_is_chosen(options, &topology->nodes[i]);
    return chosen;
}

/* What the options ask for on each node, to the byte. */
static void ask_nodes(size_t asked_bytes[HFI_MAX_NODES], const struct options *options,
                      const struct topology *topology, size_t usable_bytes)
{
    size_t chosen = chosen_nodes(options, topology);
    for (unsigned i = 0; i < HFI_MAX_NODES; i++)
        asked_bytes[i] = 0;
    for (unsigned i = 0; i < topology->node_count; i++) {
        const struct topology_node *node = &topology->nodes[i];
        if (!hfi_node_is_chosen(options, node))
            continue;
        switch (options->arena) {
        case ARENA_AUTO:
            asked_bytes[i] = hfi_align_down(hfi_min(usable_bytes, node->memory_bytes), HUGE_BYTES);
            break;
        case ARENA_BYTES: asked_bytes[i] = options->arena_bytes / chosen; break;
        case ARENA_PERCENT: asked_bytes[i] = usable_bytes / 100 * options->arena_percent / chosen; break;
        case ARENA_PER_NODE: asked_bytes[i] = options->arena_node_bytes[node->id]; break;
        }
    }
}

static size_t whole_pages(size_t asked_bytes)
{
    return hfi_align_up(hfi_min(asked_bytes, HFI_ARENA_MAX_BYTES), HFI_PAGE_BYTES);
}

void hfi_plan_draft(struct reservation *reservation, const struct options *options,
                    const struct topology *topology, size_t usable_bytes)
{
    size_t asked_bytes[HFI_MAX_NODES];
    memset(reservation, 0, offsetof(struct reservation, nodes));
    ask_nodes(asked_bytes, options, topology, usable_bytes);
    for (unsigned i = 0; i < topology->node_count; i++)
        if (asked_bytes[i] != 0)
            reservation->nodes[reservation->node_count++] = (struct reserved_node){
                .id = topology->nodes[i].id,
                .asked_bytes = asked_bytes[i],
                .bytes = hfi_max(whole_pages(asked_bytes[i]), HFI_NODE_BYTES_MIN),
            };
}

uint64_t hfi_plan_asked(const struct reservation *reservation)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < reservation->node_count; i++)
        if (__builtin_add_overflow(total, reservation->nodes[i].asked_bytes, &total))
            return UINT64_MAX;
    return total;
}

size_t hfi_plan_bytes(const struct reservation *reservation)
{
    size_t total = 0;
    for (unsigned i = 0; i < reservation->node_count; i++)
        total += reservation->nodes[i].bytes;
    return total;
}

void hfi_plan_shrink(struct reservation *reservation, size_t total)
{
    double part = (double)total / (double)hfi_plan_bytes(reservation);
    if (part >= 1)
        return;
    for (unsigned i = 0; i < reservation->node_count; i++) {
        struct reserved_node *node = &reservation->nodes[i];
        node->bytes = hfi_align_down((size_t)((double)node->bytes * part),
                                     node->bytes > HUGE_BYTES ? HUGE_BYTES : HFI_PAGE_BYTES);
    }
}

bool hfi_plan_cap(struct reservation *reservation)
{
    size_t windows = 0;
    for (unsigned i = 0; i < reservation->node_count; i++)
        windows += hfi_align_up(reservation->nodes[i].bytes, HFI_WINDOW_BYTES);
    if (windows <= HFI_WINDOWS_BYTES_MAX)
        return false;
    hfi_plan_shrink(reservation, HFI_WINDOWS_BYTES_MAX - reservation->node_count * HFI_WINDOW_BYTES);
    return true;
}

void hfi_plan_order(struct reservation *reservation, const struct topology *topology)
{
    uint8_t order[HFI_MAX_NODES], arena_index[HFI_MAX_NODES] = { 0 };
    uint64_t with_arena = 0;
    for (unsigned i = 0, next = 0; i < topology->node_count && next < reservation->node_count; i++)
        if (topology->nodes[i].id == reservation->nodes[next].id) {
            with_arena |= (uint64_t)1 << i;
            arena_index[i] = (uint8_t)next++;
        }
    for (unsigned i = 0; i < topology->node_count + topology->bare_count; i++) {
        unsigned count = hfi_distance_order(order, topology, i, with_arena);
        for (unsigned j = 0; j < count; j++)
            order[j] = arena_index[order[j]];
        if (with_arena >> i & 1)
            memcpy(reservation->nodes[arena_index[i]].nearest, order, count);
        reservation->home[topology->nodes[i].id] = order[0];
    }
}

/* --- backings --- */

size_t hfi_backing_page_bytes(enum option_backing backing)
{
    switch (backing) {
    case BACKING_1G: return HFI_GIB;
    case BACKING_2M: return HUGE_BYTES;
    case BACKING_THP:
    case BACKING_4K:
    case BACKING_AUTO: break;
    }
    return HFI_SMALL_PAGE_BYTES;
}

size_t hfi_backing_unit_bytes(enum option_backing backing)
{
    return backing == BACKING_1G ? HFI_GIB : backing == BACKING_4K ? HFI_PAGE_BYTES : HUGE_BYTES;
}

bool hfi_backing_is_asked(enum option_backing asked, enum option_backing backing, size_t bytes)
{
    if (asked != BACKING_AUTO && backing < asked)
        return false;
    return backing != BACKING_1G || asked == BACKING_1G || bytes % HFI_GIB == 0;
}

size_t hfi_plan_heaps_shown(size_t arena_pages)
{
    size_t wanted = hfi_max(arena_pages / HFI_PAGES_PER_HEAP, HFI_HEAPS_SHOWN_MIN);
    return hfi_min(wanted, HF_INSPECT_MAX_HEAPS);
}

/* Eight bytes a page, slots for theaps and heaps per sixteen pages, and what does not depend on the
 * size. */
size_t hfi_plan_segment_bytes(size_t arena_bytes)
{
    size_t pages = arena_bytes >> HFI_PAGE_SHIFT;
    size_t wanted = hfi_max(pages / HFI_PAGES_PER_THEAP, HFI_THEAPS_SHOWN_MIN);
    size_t theaps = hfi_min(wanted, HF_INSPECT_MAX_THEAPS);
    return pages * sizeof(uint64_t) + theaps * sizeof(struct hf_inspect_theap) +
           hfi_plan_heaps_shown(pages) * sizeof(struct hf_inspect_heap) + SEGMENT_REST_BYTES;
}

static uint64_t less_segment(uint64_t available)
{
    return available - hfi_min(available, hfi_plan_segment_bytes(available));
}

size_t hfi_plan_most(uint64_t available)
{
    return less_segment(available) / 100 * 95;
}

size_t hfi_plan_cut(uint64_t available)
{
    return less_segment(available) / 10 * 9;
}

size_t hfi_plan_cut_beyond(uint64_t available)
{
    return less_segment(available) / 2;
}

/* --- the layout --- */

void hfi_plan_span(struct reservation *reservation)
{
    reservation->span = HFI_WINDOWS_OFFSET;
    for (unsigned i = 0; i < reservation->node_count; i++)
        reservation->span += hfi_align_up(reservation->nodes[i].bytes, HFI_WINDOW_BYTES);
}

void hfi_plan_place(struct reservation *reservation, char *base)
{
    size_t offset = HFI_WINDOWS_OFFSET;
    reservation->base = base;
    for (unsigned i = 0; i < reservation->node_count; i++) {
        reservation->nodes[i].start = base + offset;
        offset += hfi_align_up(reservation->nodes[i].bytes, HFI_WINDOW_BYTES);
    }
}

static size_t node_offset(const struct reservation *reservation, const struct reserved_node *node)
{
    return (size_t)(node->start - reservation->base);
}

size_t hfi_plan_maps_bytes(size_t node_bytes)
{
    size_t pages = node_bytes >> HFI_PAGE_SHIFT;
    return hfi_align_up(pages * HFI_OWNER_ENTRY_BYTES, HFI_SMALL_PAGE_BYTES) +
           hfi_align_up(pages * HFI_TABLE_ENTRY_BYTES, HFI_SMALL_PAGE_BYTES);
}

struct plan_part hfi_plan_owners(const struct reservation *reservation)
{
    return (struct plan_part){ 0, hfi_align_up((reservation->span >> HFI_PAGE_SHIFT) * HFI_OWNER_ENTRY_BYTES,
                                               HFI_SMALL_PAGE_BYTES) };
}

/* Of a table with an entry per page: those of a node's pages. */
static struct plan_part table_part(const struct reservation *reservation, const struct reserved_node *node,
                                   size_t entry_bytes)
{
    size_t first = node_offset(reservation, node) >> HFI_PAGE_SHIFT, count = node->bytes >> HFI_PAGE_SHIFT;
    return (struct plan_part){ first * entry_bytes, hfi_align_up(count * entry_bytes, HFI_SMALL_PAGE_BYTES) };
}

struct plan_part hfi_plan_owners_slice(const struct reservation *reservation,
                                       const struct reserved_node *node)
{
    return table_part(reservation, node, HFI_OWNER_ENTRY_BYTES);
}

struct plan_part hfi_plan_table_slice(const struct reservation *reservation, const struct reserved_node *node)
{
    struct plan_part part = table_part(reservation, node, HFI_TABLE_ENTRY_BYTES);
    part.offset += HFI_TABLE_OFFSET;
    return part;
}

/* With what rounding up to a backing may add. */
static struct plan_part memory_part(const struct reservation *reservation, const struct options *options,
                                    const struct reserved_node *node)
{
    size_t unit = hfi_backing_unit_bytes(options->backing == BACKING_1G ? BACKING_1G : BACKING_2M);
    return (struct plan_part){ node_offset(reservation, node), hfi_align_up(node->bytes, unit) };
}

unsigned hfi_plan_parts(const struct reservation *reservation, const struct options *options,
                        struct plan_part parts[HFI_PLAN_PARTS_MAX])
{
    unsigned count = 0;
    parts[count++] = (struct plan_part){ (size_t)0 - HFI_GUARD_SPACE_BYTES, HFI_GUARD_SPACE_BYTES };
    parts[count++] = hfi_plan_owners(reservation);
    for (unsigned i = 0; i < reservation->node_count; i++) {
        parts[count++] = hfi_plan_table_slice(reservation, &reservation->nodes[i]);
        parts[count++] = memory_part(reservation, options, &reservation->nodes[i]);
    }
    parts[count++] = (struct plan_part){ reservation->span, HFI_GUARD_SPACE_BYTES };
    return count;
}
