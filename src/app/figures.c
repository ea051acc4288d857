/*
 * figures: see figures.h and <holdfast/inspect.h>.
 *
 * N2: a slot belongs to one theap for good; only the thread that has the theap writes it.  A node's
 *     figures are written by whoever is on a slow path: the last store stays.  Theaps without a
 *     slot add what they counted since they last did to their node's sums: no addition is lost.
 *
 * Tests: tests/tool.sh, tests/programs/inspect.c.
 */
#include "app/figures.h"

#include <string.h>

#include "base/bits.h"
#include "kernel/cpu.h"
#include "arena/pagemap.h"
#include "arena/prefault.h"
#include "app/events.h"
#include "app/segment.h"
#include "heap/theap.h"
#include "arena/arena.h"
#include "numa/plan.h"

/* What is told of a node besides its figures. */
struct node_state {
    _Atomic(uint64_t) xfull;       /* atomic: it counts as full */
    _Atomic(uint64_t) xremote;     /* atomic: pages taken elsewhere since */
    _Atomic(uint64_t) xpopulating; /* atomic: population in the background was seen under way */
};

static struct node_state states[HFI_MAX_NODES];

static uint32_t node_flags(const struct arena_node *node, bool populating)
{
    const struct reserved_node *reserved = &hfi_arena.reservation.nodes[node->index];
    return (reserved->bound ? HF_INSPECT_NODE_BOUND : 0) | (reserved->locked ? HF_INSPECT_NODE_LOCKED : 0) |
           (hfi_arena.reservation.growing ? HF_INSPECT_NODE_GROWING : 0) |
           (populating ? HF_INSPECT_NODE_POPULATING : 0) |
           (hfi_load_relaxed(&states[node->index].xfull) != 0 ? HF_INSPECT_NODE_FULL : 0);
}

static void note_population(const struct arena_node *node, bool populating)
{
    _Atomic(uint64_t) *seen = &states[node->index].xpopulating;
    uint64_t was = hfi_load_relaxed(seen);
    if (populating && was == 0)
        hfi_store_relaxed(seen, 1);
    else if (!populating && was != 0 && hfi_cas_relaxed(seen, &was, 0))
        hfi_inspect_event(HF_EVENT_POPULATED, node, hfi_arena_failed_pages(node) * HFI_PAGE_BYTES, 0);
}

void hfi_inspect_update_node(struct arena_node *node)
{
    const struct reserved_node *reserved = &hfi_arena.reservation.nodes[node->index];
    struct hf_inspect_node *shown = &hfi_segment_tables.nodes[node->index];
    bool populating = hfi_prefault_closed_bytes(node->index) != 0;
    hfi_arena_show(node);
    note_population(node, populating);
    HFI_SHOW(shown->id, node->id);
    HFI_SHOW(shown->backing, hfi_segment_backing_code(reserved->backing));
    HFI_SHOW(shown->flags, node_flags(node, populating));
    HFI_SHOW(shown->populate_error, (uint32_t)-hfi_prefault_error(node->index));
    HFI_SHOW(shown->total, node->page_count * HFI_PAGE_BYTES);
    HFI_SHOW(shown->populated, hfi_arena_populated_bytes(node));
    HFI_SHOW(shown->first_page, node->first_index - hfi_pagemap_gaps[node->index]);
    HFI_SHOW(shown->first_index, node->first_index);
    HFI_SHOW(shown->asked, reserved->asked_bytes);
    HFI_SHOW(shown->os_page_bytes, reserved->os_page_bytes);
    HFI_SHOW(shown->reserve, node->reserve_count * HFI_PAGE_BYTES);
}

/* Relaxed: a sum, which orders nothing. */
static void add(uint64_t *sum, uint64_t *added, uint64_t count)
{
    if (count == *added)
        return;
    hfi_plain_fetch_add_relaxed(sum, count - *added);
    *added = count;
}

static void add_counters(struct hf_inspect_theap *sum, struct counters *added,
                         const struct counters *counters)
{
#define COUNTER(name, ...) add(&sum->name, &added->name, HFI_SHOWN(counters->name));
#include "heap/counter-list.h"
    for (unsigned i = 0; i < HFI_DISTANCES; i++)
        add(&sum->away[i], &added->away[i], counters->away[i]);
}

/* A theap without a slot: what it counted stays with the node it was counted at, the theap
 * moves. */
static void update_others(struct theap *theap, bool in_use, uint64_t now)
{
    struct theap_added *added = &theap->added;
    struct hf_inspect_theap *sum = &hfi_segment_tables.others[added->node];
    if (added->node != theap->node->index) {
        add(&sum->in_use, &added->in_use, 0);
        add(&sum->kept, &added->kept, 0);
        added->node = theap->node->index;
        sum = &hfi_segment_tables.others[added->node];
    }
    add(&sum->in_use, &added->in_use, in_use);
    add(&sum->kept, &added->kept, in_use ? (uint64_t)theap->kept_pages * HFI_PAGE_BYTES : 0);
    add_counters(sum, &added->counters, &theap->counters);
    HFI_SHOW(sum->home_node, added->node);
    HFI_SHOW(sum->updated_ticks, now);
}

void hfi_inspect_update_theap(struct theap *theap, bool in_use, uint64_t now)
{
    if (theap->index >= hfi_segment_tables.theap_count) {
        update_others(theap, in_use, now);
        return;
    }
    struct hf_inspect_theap *slot = &hfi_segment_tables.theaps[theap->index];
    const struct counters *counters = &theap->counters;
    HFI_SHOW(slot->in_use, in_use);
    HFI_SHOW(slot->home_node, theap->node->index);
    HFI_SHOW(slot->cpu, hfi_os_current_cpu());
    HFI_SHOW(slot->tid, theap->thread_id);
    HFI_SHOW(slot->updated_ticks, now);
#define COUNTER(name, ...) HFI_SHOW(slot->name, HFI_SHOWN(counters->name));
#include "heap/counter-list.h"
    HFI_SHOW(slot->kept, (uint64_t)theap->kept_pages * HFI_PAGE_BYTES);
    for (unsigned i = 0; i < HFI_DISTANCES; i++)
        HFI_SHOW(slot->away[i], counters->away[i]);
}

unsigned hfi_inspect_bucket(uint64_t ticks)
{
    return (unsigned)hfi_min(hfi_highest_bit(ticks | 1), HFI_SLOW_BUCKETS - 1);
}

void hfi_inspect_note_slow(struct theap *theap, unsigned bucket, uint64_t ticks)
{
    theap->slow[bucket]++;
    theap->slow_ticks += ticks;
    if (theap->index < hfi_segment_tables.theap_count) {
        HFI_SHOW(hfi_segment_tables.theaps[theap->index].slow[bucket], theap->slow[bucket]);
        HFI_SHOW(hfi_segment_tables.theaps[theap->index].slow_ticks, theap->slow_ticks);
        return;
    }
    struct hf_inspect_theap *sum = &hfi_segment_tables.others[theap->node->index];
    hfi_plain_fetch_add_relaxed(&sum->slow[bucket], 1); /* as add() */
    hfi_plain_fetch_add_relaxed(&sum->slow_ticks, ticks);
}

/* The call may end on another node, whose figures alone it stores then. */
static void show_node(struct arena_node *node)
{
    if (hfi_load_acquire(&hfi_shown()->xsegment) != NULL)
        hfi_inspect_update_node(node);
}

void hfi_inspect_full(struct arena_node *node, size_t bytes, const struct arena_node *remote)
{
    struct node_state *state = &states[node->index];
    uint64_t was = 0;
    if (hfi_cas_relaxed(&state->xfull, &was, 1)) {
        show_node(node);
        hfi_inspect_event(HF_EVENT_NODE_FULL, node, bytes, 0);
    }
    if (remote != NULL && hfi_fetch_add_relaxed(&state->xremote, 1) == 0)
        hfi_inspect_event(HF_EVENT_REMOTE_BEGAN, node, remote->index, 0);
}

void hfi_inspect_room(struct arena_node *node)
{
    struct node_state *state = &states[node->index];
    uint64_t full = hfi_load_relaxed(&state->xfull);
    if (hfi_likely(full == 0) || hfi_arena_free_pages(node) < node->page_count / HF_INSPECT_ROOM_SHARE ||
        !hfi_cas_relaxed(&state->xfull, &full, 0))
        return;
    uint64_t remote = hfi_exchange_relaxed(&state->xremote, 0); /* relaxed: a count */
    show_node(node);
    hfi_inspect_event(HF_EVENT_NODE_ROOM, node, 0, 0);
    if (remote != 0)
        hfi_inspect_event(HF_EVENT_REMOTE_ENDED, node, remote, 0);
}

void hfi_inspect_nodes(void)
{
    if (hfi_load_acquire(&hfi_shown()->xsegment) != NULL)
        for (unsigned i = 0; i < hfi_arena.node_count; i++)
            hfi_inspect_update_node(&hfi_arena.nodes[i]);
}

void hfi_inspect_forget_figures(void)
{
    memset(states, 0, sizeof states);
    for (unsigned i = 0; i < hfi_arena.node_count; i++)
        hfi_store_relaxed(&hfi_arena.nodes[i].xmost_used, 0);
}
