/*
 * inspect: see inspect.h and <holdfast/inspect.h>.
 *
 * N1: the process stores into the segment and decides nothing by what it finds there.
 * N2: a slot belongs to one theap for good; only the thread that has the theap writes it.  A node's
 *     figures are written by whoever is on a slow path: the last store stays.  Theaps without a
 *     slot add what they counted since they last did to their node's sums: no addition is lost.
 * N3: no descriptor is kept.
 * N4: a page's entry is stored by who has the run, before it is let go (pagemap.h); only the walk
 *     that fills a new map, and remote.c where a page gets room, exchange what they expect to find.
 *
 * N5: publishing makes system calls.  In malloc it comes with a call that has grown the arena,
 *     which makes some too, and nowhere else.  A thread is not cancelled in it, nor runs a signal
 *     handler, which might fork.
 *
 * A named arena publishes at start.  A growing one waits until it grows beyond its first pages, so
 * that a small program pays nothing.  A forked child drops the segment.  With
 * HOLDFAST_INSPECT=children it publishes its own before fork returns, else when it grows: a named
 * arena's child never.  A child without handlers of fork finds the way to the segment wiped (struct
 * shown), and shows nothing.
 *
 * Moments are read from the processor's counter, here and nowhere else in malloc and free: under
 * strict seccomp(2), or PR_SET_TSC, that is a SIGSEGV, which HOLDFAST_INSPECT=0 avoids.
 *
 * Fails by not publishing, with one warning.  Tests: tests/tool-segment.sh, tests/segment.sh,
 * tests/programs/inspect.c, tests/programs/publish.c, tests/programs/quiet-child.c.
 */
#include "app/inspect.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "base/options.h"
#include "kernel/os.h"
#include "arena/pagemap.h"
#include "arena/prefault.h"
#include "base/say.h"
#include "base/sys.h"
#include "kernel/shm.h"
#include "heap/theaps.h"

#define BIG_BYTES ((size_t)1 << 20) /* a segment that may be too much for a small machine */

_Static_assert(sizeof(struct hf_inspect_segment) == 336, "public layout, version 3");
_Static_assert(offsetof(struct hf_inspect_segment, nodes) == 72, "public layout, version 3");
_Static_assert(offsetof(struct hf_inspect_segment, library) == 208, "public layout, version 3");
_Static_assert(offsetof(struct hf_inspect_segment, others) == 240, "public layout, version 3");
_Static_assert(offsetof(struct hf_inspect_segment, live) == 256, "public layout, version 3");
_Static_assert(sizeof(struct hf_inspect_live) == 80, "public layout, version 3");
_Static_assert(sizeof(struct hf_inspect_node) == 128, "public layout, version 3");
_Static_assert(sizeof(struct hf_inspect_class) == 16, "public layout, version 3");
_Static_assert(sizeof(struct hf_inspect_theap) == 384, "public layout, version 3");
_Static_assert(offsetof(struct hf_inspect_theap, unowned_frees) == 320, "public layout, version 3");
_Static_assert(sizeof(struct hf_inspect_event) == 48, "public layout, version 3");
_Static_assert(HFI_CLASS_COUNT <= HF_INSPECT_MAX_CLASSES && HFI_MAX_NODES <= HF_INSPECT_MAX_NODES,
               "the tables hold them");
_Static_assert(HFI_DISTANCES == HF_INSPECT_DISTANCES && HFI_SLOW_BUCKETS == HF_INSPECT_BUCKETS,
               "copied one to one");

_Static_assert(HFI_MAX_NODES - 1 == HF_INSPECT_PLACE_NODE_ID(UINT32_MAX), "a node's number has its bits");
_Static_assert(!HFI_SECURE || HFI_GUARD_BYTES == HF_INSPECT_GUARD_BYTES, "as readers reckon");

#define SHOW HFI_SHOW

/* What is told of a node besides its figures. */
struct node_state {
    _Atomic(uint64_t) xfull;       /* atomic: it counts as full */
    _Atomic(uint64_t) xremote;     /* atomic: pages taken elsewhere since */
    _Atomic(uint64_t) xmost_ticks; /* atomic: when most pages were in use */
    _Atomic(uint64_t) xpopulating; /* atomic: population in the background was seen under way */
};

static struct { /* const while the segment is shown: where its tables are */
    struct hf_inspect_node *nodes;
    struct hf_inspect_theap *theaps;
    uint32_t theap_count;
    struct hf_inspect_theap *others; /* by node */
    struct hf_inspect_event *events;
} tables;
static _Atomic(bool) xpublishing;
static _Atomic(uint64_t) xevents;  /* atomic: events so far */
static _Atomic(uint64_t) xforks;   /* atomic */
static _Atomic(uint64_t) xreports; /* atomic */
static _Atomic(bool) xhas_rings;   /* atomic: as hfi_inspect_rings was told last */
static struct node_state states[HFI_MAX_NODES];
static struct {                                                  /* who publishes writes it */
    char path[sizeof HF_INSPECT_DIRECTORY + HFI_SHM_NAME_BYTES]; /* empty: there is none */
    long pid;                                                    /* of the process whose file it is */
    uint64_t namespace;                                          /* in which it has that number; 0: unknown */
    void *memory; /* where it is mapped, from before it is shown */
    size_t bytes;
    bool shown; /* to others, from then on */
} mapping;
static bool was_shown; /* the process that forked this one, then */
static bool took_over; /* written in a child before it goes on, and true in its children too */
static bool has_wiped; /* who publishes writes it: hfi_xshown leads to a page that children
                                       * find wiped */

/* --- making it --- */

static uint32_t backing_code(enum option_backing backing)
{
    switch (backing) {
    case BACKING_1G: return HF_BACKING_1G;
    case BACKING_2M: return HF_BACKING_2M;
    case BACKING_THP: return HF_BACKING_THP;
    case BACKING_4K: return HF_BACKING_4K;
    case BACKING_AUTO: break;
    }
    return HF_BACKING_NONE;
}

static struct hf_inspect_table table_at(uint64_t *offset, size_t count, size_t entry_bytes)
{
    struct hf_inspect_table table = { *offset, (uint32_t)count, (uint32_t)entry_bytes };
    *offset += hfi_align_up(count * entry_bytes, HFI_CACHE_LINE);
    return table;
}

/* `arena_pages` of all nodes; their entries follow each other in the page map, which has
 * `map_pages`: all of them, or none. */
static void lay_out(struct hf_inspect_segment *header, unsigned nodes, size_t arena_pages, size_t map_pages)
{
    uint64_t offset = hfi_align_up(sizeof *header, HFI_CACHE_LINE);
    header->nodes = table_at(&offset, nodes, sizeof(struct hf_inspect_node));
    header->classes = table_at(&offset, HFI_CLASS_COUNT, sizeof(struct hf_inspect_class));
    size_t wanted = hfi_max(arena_pages / HFI_PAGES_PER_THEAP, HFI_THEAPS_SHOWN_MIN);
    size_t theaps = hfi_min(wanted, HF_INSPECT_MAX_THEAPS);
    header->theaps = table_at(&offset, theaps, sizeof(struct hf_inspect_theap));
    header->others = table_at(&offset, nodes, sizeof(struct hf_inspect_theap));
    header->events = table_at(&offset, HF_INSPECT_EVENTS, sizeof(struct hf_inspect_event));
    header->pages = table_at(&offset, map_pages, sizeof(uint64_t));
    header->segment_bytes = hfi_align_up(offset, 4096);
}

size_t hfi_inspect_bytes(unsigned nodes, size_t arena_pages)
{
    struct hf_inspect_segment header;
    lay_out(&header, nodes, arena_pages, arena_pages);
    return header.segment_bytes;
}

static uint32_t option_flags(void)
{
    const struct options *options = &hfi_options;
    return (options->remote_allow ? 0 : HF_INSPECT_REMOTE_DENY) |
           (options->on_full == ON_FULL_ABORT ? HF_INSPECT_FULL_ABORTS : 0) |
           (options->fork == FORK_DONTFORK ? HF_INSPECT_DONTFORK : 0) |
           (options->strict ? HF_INSPECT_STRICT : 0) | (options->lock == LOCK_NO ? HF_INSPECT_LOCK_NO : 0) |
           (options->place == PLACE_INTERLEAVE ? HF_INSPECT_PLACE_INTERLEAVE : 0) |
           (options->place == PLACE_NODE ? HF_INSPECT_PLACE_NODE | options->place_node << 24 : 0) |
           (HFI_SECURE ? HF_INSPECT_SECURE : 0) | HF_INSPECT_OPTIONS_TOLD |
           (options->prefault == PREFAULT_BACKGROUND ? HF_INSPECT_PREFAULT_BACKGROUND : 0) |
           (options->prefault == PREFAULT_NONE ? HF_INSPECT_PREFAULT_NONE : 0) |
           (options->nodes != UINT64_MAX ? HF_INSPECT_NODES_NAMED : 0) |
           (options->lock == LOCK_YES ? HF_INSPECT_LOCK_YES : 0) | (took_over ? HF_INSPECT_TOOK_OVER : 0);
}

#define SAME_WIDTH(type, member, bytes)                                                                      \
    _Static_assert(sizeof((type *)NULL)->member == (bytes), "as struct hf_inspect_live has it")
SAME_WIDTH(struct page, used, 4);
SAME_WIDTH(struct page, capacity, 2);
SAME_WIDTH(struct page, list, 1);
SAME_WIDTH(struct page, kept, 1);
SAME_WIDTH(struct page, run_pages, 4);
SAME_WIDTH(struct page, size_class, 1);
SAME_WIDTH(struct theap, xstate, 4);
SAME_WIDTH(struct magazine, incoming_limit, 4);
SAME_WIDTH(struct magazine, incoming_room, 4);
SAME_WIDTH(struct magazine, previous_blocks, 4);
_Static_assert(THEAP_GONE == 0 && sizeof(struct block *) == 8, "as struct hf_inspect_live has it");

static void fill_live(struct hf_inspect_live *live)
{
    *live = (struct hf_inspect_live){
        .page_table = (uintptr_t)hfi_page_at(0),
        .theaps = (uintptr_t)hfi_theap_list(),
        .entry_bytes = sizeof(struct page),
        .magazines = offsetof(struct theap, magazines),
        .magazine_bytes = sizeof(struct magazine),
        .magazine_count = HFI_SECURE ? 0 : HFI_DIRECT_CLASSES,
        .xfree_mask = (uint32_t)XFREE_COUNT_MASK,
        .xfree_shift = XFREE_COUNT_SHIFT,
        .list_full = LIST_FULL,
        .used = offsetof(struct page, used),
        .capacity = offsetof(struct page, capacity),
        .list = offsetof(struct page, list),
        .kept = offsetof(struct page, kept),
        .local_free = offsetof(struct page, local_free),
        .xfree = offsetof(struct page, xfree),
        .run_pages = offsetof(struct page, run_pages),
        .size_class = offsetof(struct page, size_class),
        .next = offsetof(struct theap, next_all),
        .state = offsetof(struct theap, xstate),
        .loaded_used = offsetof(struct magazine, loaded.used),
        .loaded_capacity = offsetof(struct magazine, loaded.capacity),
        .incoming_limit = offsetof(struct magazine, incoming_limit),
        .incoming_room = offsetof(struct magazine, incoming_room),
        .previous_blocks = offsetof(struct magazine, previous_blocks),
        .lists = { offsetof(struct magazine, loaded.free), offsetof(struct magazine, incoming),
                   offsetof(struct magazine, previous) },
    };
}

static void fill_header(struct hf_inspect_segment *header, const struct shm_process *process)
{
    static const uint32_t arena_codes[] = {
        [ARENA_AUTO] = HF_ARENA_AUTO,
        [ARENA_BYTES] = HF_ARENA_BYTES,
        [ARENA_PERCENT] = HF_ARENA_PERCENT,
        [ARENA_PER_NODE] = HF_ARENA_PER_NODE,
    };
    header->version = HF_INSPECT_VERSION;
    header->header_bytes = sizeof *header;
    header->pid = (uint64_t)mapping.pid;
    header->start_ticks = process->start_ticks;
    header->program = process->program;
    header->arena_base = (uintptr_t)hfi_base;
    header->arena_span = hfi_span;
    header->clock_ticks = hfi_os_ticks();
    header->clock_ns = hfi_os_now_ns();
    header->asked_arena = arena_codes[hfi_options.arena];
    header->asked_backing = backing_code(hfi_options.backing);
    header->options = option_flags();
    snprintf(header->library, sizeof header->library, "%s", HFI_VERSION);
    fill_live(&header->live);
}

static void fill_classes(struct hf_inspect_class *classes)
{
    for (unsigned i = 0; i < HFI_CLASS_COUNT; i++)
        classes[i] = (struct hf_inspect_class){
            .block_bytes = hfi_sizeclasses[i].block_bytes,
            .run_pages = hfi_sizeclasses[i].run_pages,
            .run_blocks = hfi_sizeclasses[i].blocks,
        };
}

/* What a head's entry in the page table says it is; 0 for no head. */
static uint64_t page_entry(size_t index)
{
    const struct page *page = hfi_page_at(index);
    uintptr_t owner = hfi_load_relaxed(hfi_owner_at(index));
    switch (owner) {
    case HFI_OWNER_NONE:
    case HFI_OWNER_INTERIOR: return 0;
    case HFI_OWNER_META: return HF_PAGE_ENTRY(HF_PAGE_META, 0, 0, 1);
    case HFI_OWNER_LARGE: return HF_PAGE_ENTRY(HF_PAGE_LARGE, 0, 0, page->run_pages);
    case HFI_OWNER_NOBODY: {
        uint64_t word = hfi_load_relaxed(&page->xfree);
        return hfi_pagemap_blocks(page, word & XFREE_LISTED ? HF_PAGE_IDLE : HF_PAGE_LOOSE, 0,
                                  hfi_xfree_remaining(word));
    }
    default: break;
    }
    return hfi_pagemap_blocks(page, HF_PAGE_OWNED, ((const struct theap *)owner)->index, hfi_page_out(page));
}

/* Others may be at work: what they have told of since stays. */
static void fill_pages(const struct arena_node *node)
{
    size_t low = hfi_load_relaxed(&node->xlow_used), high = hfi_max(hfi_load_relaxed(&node->xhigh_used), low);
    size_t place = node->first_index - hfi_pagemap_gaps[node->index];
    _Atomic(uint64_t) *map = hfi_load_relaxed(&hfi_shown()->xpages) + place;
    for (size_t i = 0; i < node->page_count; i = i + 1 == low ? high : i + 1) {
        uint64_t none = 0, entry = page_entry(node->first_index + i);
        if (entry != 0)
            hfi_cas_relaxed(&map[i], &none, entry);
        if (HF_PAGE_STATE(entry) == HF_PAGE_LARGE && HF_PAGE_COUNT(entry) > 1 &&
            i + HF_PAGE_COUNT(entry) < low)
            i += HF_PAGE_COUNT(entry) - 1;
    }
}

static void fill_map(struct hf_inspect_segment *segment)
{
    if (segment->pages.count == 0)
        return;
    /* pairs with nothing: see pagemap.h */
    hfi_store_release(&hfi_shown()->xpages, (_Atomic(uint64_t) *)((char *)segment + segment->pages.offset));
    for (unsigned i = 0; i < hfi_arena.node_count; i++)
        fill_pages(&hfi_arena.nodes[i]);
}

/* Whether memory has room for a page map: an arena that is not populated may be far larger than
 * what there is.  A growing one was cut to what this process may use; it publishes in malloc,
 * perhaps on a small stack. */
static bool has_room(size_t bytes)
{
    enum os_bound bound;
    return bytes <= BIG_BYTES || hfi_arena.reservation.growing || bytes <= hfi_os_available_bytes(&bound) / 2;
}

/* With the page map, or where there is no room for that, without. */
static int create(struct hf_inspect_segment **segment, const struct shm_process *process)
{
    struct hf_inspect_segment header = { .magic = 0 };
    void *memory = NULL;
    fill_header(&header, process);
    lay_out(&header, hfi_arena.node_count, hfi_arena.page_count, hfi_arena.page_count);
    int error = -ENOSPC;
    if (has_room(header.segment_bytes))
        error = hfi_shm_create(mapping.path, header.segment_bytes, &memory);
    if (error == -ENOSPC || error == -EFBIG || error == -ENOMEM) {
        lay_out(&header, hfi_arena.node_count, hfi_arena.page_count, 0);
        error = hfi_shm_create(mapping.path, header.segment_bytes, &memory);
    }
    mapping.bytes = header.segment_bytes;
    if (error != 0)
        return error;
    mapping.memory = memory;
    memcpy(memory, &header, sizeof header);
    tables.nodes = (void *)((char *)memory + header.nodes.offset);
    tables.theaps = (void *)((char *)memory + header.theaps.offset);
    tables.theap_count = header.theaps.count;
    tables.others = (void *)((char *)memory + header.others.offset);
    tables.events = (void *)((char *)memory + header.events.offset);
    hfi_store_release(&hfi_shown()->xnodes, tables.nodes); /* pairs with nothing: see pagemap.h */
    fill_classes((void *)((char *)memory + header.classes.offset));
    *segment = memory;
    return 0;
}

/* --- nodes and theaps --- */

static void note_most_used(struct arena_node *node, size_t used_pages)
{
    size_t most = hfi_load_relaxed(&node->xmost_used);
    while (most < used_pages)
        if (hfi_cas_weak_relaxed(&node->xmost_used, &most, used_pages)) {
            hfi_store_relaxed(&states[node->index].xmost_ticks, hfi_os_ticks());
            return;
        }
}

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

static void update_node(struct arena_node *node)
{
    const struct reserved_node *reserved = &hfi_arena.reservation.nodes[node->index];
    struct hf_inspect_node *shown = &tables.nodes[node->index];
    size_t free_pages = hfi_min(hfi_arena_free_pages(node), node->page_count);
    size_t used_pages =
        node->page_count - hfi_min(free_pages + hfi_arena_failed_pages(node), node->page_count);
    bool populating = hfi_prefault_closed_bytes(node->index) != 0;
    note_most_used(node, used_pages);
    note_population(node, populating);
    SHOW(shown->id, node->id);
    SHOW(shown->backing, backing_code(reserved->backing));
    SHOW(shown->flags, node_flags(node, populating));
    SHOW(shown->populate_error, (uint32_t)-hfi_prefault_error(node->index));
    SHOW(shown->total, node->page_count * HFI_PAGE_BYTES);
    SHOW(shown->populated, hfi_arena_populated_bytes(node));
    hfi_arena_show(node);
    SHOW(shown->high_water, hfi_load_relaxed(&node->xmost_used) * HFI_PAGE_BYTES);
    SHOW(shown->high_water_ticks, hfi_load_relaxed(&states[node->index].xmost_ticks));
    SHOW(shown->meta, (node->meta_pages + hfi_load_relaxed(&node->xtheap_pages)) * HFI_PAGE_BYTES);
    SHOW(shown->first_page, node->first_index - hfi_pagemap_gaps[node->index]);
    SHOW(shown->first_index, node->first_index);
    SHOW(shown->asked, reserved->asked_bytes);
    SHOW(shown->os_page_bytes, reserved->os_page_bytes);
}

/* Relaxed: a sum, which orders nothing. */
static void add(uint64_t *sum, uint64_t *added, uint64_t count)
{
    if (count == *added)
        return;
    __atomic_fetch_add(sum, count - *added, __ATOMIC_RELAXED);
    *added = count;
}

static void add_counters(struct hf_inspect_theap *sum, struct counters *added,
                         const struct counters *counters)
{
    add(&sum->listed, &added->listed, counters->listed);
    add(&sum->collected, &added->collected, counters->collected);
    add(&sum->claimed, &added->claimed, counters->claimed);
    add(&sum->shared, &added->shared, counters->shared);
    add(&sum->stolen, &added->stolen, counters->stolen);
    add(&sum->fresh, &added->fresh, counters->fresh);
    add(&sum->large, &added->large, counters->large);
    add(&sum->adopted, &added->adopted, counters->adopted);
    add(&sum->retired, &added->retired, counters->retired);
    add(&sum->remote_frees, &added->freed[FREED_REMOTE], counters->freed[FREED_REMOTE]);
    add(&sum->unowned_frees, &added->freed[FREED_UNOWNED], counters->freed[FREED_UNOWNED]);
    add(&sum->received, &added->received, counters->received);
    add(&sum->pressed, &added->pressed, counters->pressed);
    add(&sum->failed, &added->failed, counters->failed);
    for (unsigned i = 0; i < HFI_DISTANCES; i++)
        add(&sum->away[i], &added->away[i], counters->away[i]);
}

/* A theap without a slot: what it counted stays with the node it was counted at, the theap
 * moves. */
static void update_others(struct theap *theap, bool in_use, uint64_t now)
{
    struct theap_added *added = &theap->added;
    struct hf_inspect_theap *sum = &tables.others[added->node];
    if (added->node != theap->node->index) {
        add(&sum->in_use, &added->in_use, 0);
        add(&sum->kept, &added->kept, 0);
        added->node = theap->node->index;
        sum = &tables.others[added->node];
    }
    add(&sum->in_use, &added->in_use, in_use);
    add(&sum->kept, &added->kept, in_use ? (uint64_t)theap->kept_pages * HFI_PAGE_BYTES : 0);
    add(&sum->lost, &added->lost, hfi_load_relaxed(&theap->xlost));
    add_counters(sum, &added->counters, &theap->counters);
    SHOW(sum->home_node, added->node);
    SHOW(sum->updated_ticks, now);
}

static void update_theap(struct theap *theap, bool in_use, uint64_t now)
{
    if (theap->index >= tables.theap_count) {
        update_others(theap, in_use, now);
        return;
    }
    struct hf_inspect_theap *slot = &tables.theaps[theap->index];
    const struct counters *counters = &theap->counters;
    SHOW(slot->in_use, in_use);
    SHOW(slot->home_node, theap->node->index);
    SHOW(slot->cpu, hfi_os_current_cpu());
    SHOW(slot->tid, theap->thread_id);
    SHOW(slot->updated_ticks, now);
    SHOW(slot->listed, counters->listed);
    SHOW(slot->collected, counters->collected);
    SHOW(slot->claimed, counters->claimed);
    SHOW(slot->shared, counters->shared);
    SHOW(slot->stolen, counters->stolen);
    SHOW(slot->lost, hfi_load_relaxed(&theap->xlost));
    SHOW(slot->fresh, counters->fresh);
    SHOW(slot->large, counters->large);
    SHOW(slot->adopted, counters->adopted);
    SHOW(slot->retired, counters->retired);
    SHOW(slot->remote_frees, counters->freed[FREED_REMOTE]);
    SHOW(slot->unowned_frees, counters->freed[FREED_UNOWNED]);
    SHOW(slot->received, counters->received);
    SHOW(slot->pressed, counters->pressed);
    SHOW(slot->failed, counters->failed);
    SHOW(slot->kept, (uint64_t)theap->kept_pages * HFI_PAGE_BYTES);
    SHOW(slot->slow_ticks, theap->slow_ticks);
    for (unsigned i = 0; i < HFI_DISTANCES; i++)
        SHOW(slot->away[i], counters->away[i]);
}

static void note_slow(struct theap *theap, uint64_t ticks)
{
    unsigned bucket = (unsigned)hfi_min(hfi_highest_bit(ticks | 1), HFI_SLOW_BUCKETS - 1);
    theap->slow[bucket]++;
    theap->slow_ticks += ticks;
    if (theap->index < tables.theap_count) {
        SHOW(tables.theaps[theap->index].slow[bucket], theap->slow[bucket]);
        return;
    }
    struct hf_inspect_theap *sum = &tables.others[theap->node->index];
    __atomic_fetch_add(&sum->slow[bucket], 1, __ATOMIC_RELAXED); /* as add() */
    __atomic_fetch_add(&sum->slow_ticks, ticks, __ATOMIC_RELAXED);
}

/* --- events --- */

/* Who takes a number writes its entry; a reader that finds another sequence there passes it
 * over. */
void hfi_inspect_event(enum hf_inspect_event_kind kind, const struct arena_node *node, uint64_t a, uint64_t b)
{
    struct hf_inspect_segment *segment = hfi_load_acquire(&hfi_shown()->xsegment);
    if (segment == NULL)
        return;
    uint64_t number = hfi_fetch_add_relaxed(&xevents, 1);
    struct hf_inspect_event *event = &tables.events[number % HF_INSPECT_EVENTS];
    SHOW(event->sequence, 0);
    __atomic_thread_fence(__ATOMIC_RELEASE); /* pairs with the reader's second look at the sequence */
    SHOW(event->ticks, hfi_os_ticks());
    SHOW(event->kind, kind);
    SHOW(event->node, node->index);
    SHOW(event->tid, hfi_theap->thread_id);
    SHOW(event->a, a);
    SHOW(event->b, b);
    __atomic_store_n(&event->sequence, number + 1, __ATOMIC_RELEASE); /* pairs with the reader's first look */
    SHOW(segment->event_count, number + 1);
    if (kind == HF_EVENT_REPORT)
        SHOW(segment->reports, hfi_fetch_add_relaxed(&xreports, 1) + 1);
}

/* The call may end on another node, whose figures alone it stores then. */
static void show_node(struct arena_node *node)
{
    if (hfi_load_acquire(&hfi_shown()->xsegment) != NULL)
        update_node(node);
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
    uint64_t remote = atomic_exchange_explicit(&state->xremote, 0, memory_order_relaxed);
    show_node(node);
    hfi_inspect_event(HF_EVENT_NODE_ROOM, node, 0, 0);
    if (remote != 0)
        hfi_inspect_event(HF_EVENT_REMOTE_ENDED, node, remote, 0);
}

/* An arena with a named size is registered whole. */
static uint64_t registered_bytes(void)
{
    return hfi_arena.page_count * HFI_PAGE_BYTES;
}

/* Once for all rings: a clone pins nothing again, and a ring that is closed says nothing. */
void hfi_inspect_rings(bool any)
{
    struct hf_inspect_segment *segment = hfi_load_acquire(&hfi_shown()->xsegment);
    hfi_store_relaxed(&xhas_rings, any);
    if (segment != NULL)
        SHOW(segment->registered, any ? registered_bytes() : 0);
}

void hfi_inspect_registered(int error, bool cloned)
{
    const struct arena_node *node = &hfi_arena.nodes[0];
    if (error != 0) {
        hfi_inspect_event(HF_EVENT_REGISTER_REFUSED, node, registered_bytes(), (uint64_t)-error);
        return;
    }
    hfi_inspect_event(HF_EVENT_REGISTERED, node, registered_bytes(), cloned);
}

void hfi_inspect_forking(void)
{
    struct hf_inspect_segment *segment = hfi_load_acquire(&hfi_shown()->xsegment);
    uint64_t forks = hfi_fetch_add_relaxed(&xforks, 1) + 1;
    if (segment == NULL)
        return;
    SHOW(segment->forks, forks);
    if (hfi_is_power_of_two(forks)) /* thousands of them would leave nothing else to be seen */
        hfi_inspect_event(HF_EVENT_FORKED, &hfi_arena.nodes[0], forks, 0);
}

/* --- publishing --- */

/* Threads that sleep now may do so for ever, and what those counted that have ended shall not show
 * up with their theap's next thread.  Nobody else touches `added` before the segment is there to
 * add to. */
static void show_all_threads(void)
{
    for (struct theap *theap = hfi_theap_first(); theap != NULL; theap = theap->next_all) {
        memset(&theap->added, 0, sizeof theap->added);
        if (HFI_SHOWN(theap->node) != NULL) /* some thread had it */
            update_theap(theap, theap->thread != 0, hfi_os_ticks());
    }
}

static void say_unpublished(int error)
{
    char limit[16], needed[16];
    if (error == -EFBIG)
        hfi_say(SAY_WARNING, "HF-W006", "inspect",
                "cannot publish %s: the limit of file sizes is %s, %s are "
                "needed: `holdfast stat` will not see this process; raise the limit (ulimit -f unlimited), "
                "or set "
                "HOLDFAST_INSPECT=0",
                mapping.path, hfi_format_bytes(limit, sizeof limit, hfi_shm_size_limit()),
                hfi_format_bytes(needed, sizeof needed, mapping.bytes));
    /* exec keeps the number: setpriv(1) published as root, what this user cannot remove */
    else if (error == -EEXIST)
        hfi_say(SAY_WARNING, "HF-W006", "inspect",
                "cannot publish %s (EEXIST): it is another user's, mostly of the "
                "program before this one in the same process: `holdfast stat` will not see this process; set "
                "HOLDFAST_ONLY to this program's file name, so that the one before takes no such arena",
                mapping.path);
    else
        hfi_say(SAY_WARNING, "HF-W006", "inspect",
                "cannot publish %s (%s): `holdfast stat` will not see "
                "this process; make room in " HF_INSPECT_DIRECTORY " and let this user write there, or set "
                "HOLDFAST_INSPECT=0",
                mapping.path, hfi_os_error_name(error));
}

/* This process's file, so that it can be told from those of other namespaces and of programs before
 * exec. */
static void name_file(struct shm_process *process)
{
    hfi_shm_read_process("/proc/self/stat", process);
    strcpy(mapping.path, HF_INSPECT_DIRECTORY "/");
    mapping.pid = hfi_shm_pid();
    mapping.namespace = hfi_shm_namespace();
    hfi_shm_name(mapping.path + strlen(mapping.path), HF_INSPECT_PREFIX, mapping.pid, process->start_ticks,
                 mapping.namespace);
}

/* Once: a child has the page that its parent had.  A kernel before 4.14 wipes none, and a child
 * without handlers goes on storing into its parent's segment. */
static void keep_from_children(void)
{
    struct shown *wiped = has_wiped ? NULL : hfi_os_map_wiped(sizeof *wiped);
    if (wiped == NULL)
        return;
    has_wiped = true;
    hfi_store_release(&hfi_xshown, wiped); /* pairs with hfi_shown */
}

static void make_segment(void)
{
    struct hf_inspect_segment *segment = NULL;
    struct shm_process process;
    if (!hfi_os_has_ticks()) {
        hfi_say(SAY_WARNING, "HF-W006", "inspect",
                "cannot publish: this thread may not read the processor's "
                "counter (PR_SET_TSC): `holdfast stat` will not see this process; allow it, or set "
                "HOLDFAST_INSPECT=0");
        return;
    }
    keep_from_children();
    name_file(&process);
    hfi_shm_sweep(HF_INSPECT_DIRECTORY, HF_INSPECT_PREFIX);
    int error = create(&segment, &process);
    if (error != 0) {
        say_unpublished(error);
        mapping.path[0] = 0;
        return;
    }
    fill_map(segment);
    for (unsigned i = 0; i < hfi_arena.node_count; i++)
        update_node(&hfi_arena.nodes[i]);
    show_all_threads();
    hfi_store_release((_Atomic(uint64_t) *)&segment->magic, HF_INSPECT_MAGIC);
    hfi_store_release(&hfi_shown()->xsegment, segment);
    mapping.shown = true;
    hfi_inspect_rings(hfi_load_relaxed(&xhas_rings));
    SHOW(segment->theap_count, hfi_theaps_made());
    hfi_inspect_event(HF_EVENT_PUBLISHED, &hfi_arena.nodes[0], hfi_arena.page_count * HFI_PAGE_BYTES, 0);
}

/* All but those that an instruction or a system call raises: the kernel ends a process that has
 * them blocked. */
#define SIGNALS_HELD                                                                                         \
    (~(HFI_SIGNAL_BIT(SIGSEGV) | HFI_SIGNAL_BIT(SIGBUS) | HFI_SIGNAL_BIT(SIGILL) | HFI_SIGNAL_BIT(SIGFPE) |  \
       HFI_SIGNAL_BIT(SIGTRAP) | HFI_SIGNAL_BIT(SIGSYS)))

/* Once: who comes second, or after a failure, goes on without. */
static void publish(void)
{
    bool expected = false;
    int cancel;
    if (!hfi_cas_acq_rel(&xpublishing, &expected, true))
        return;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel); /* N5 */
    struct sys_hold hold = hfi_sys_hold(SIGNALS_HELD);
    make_segment();
    hfi_sys_let_go(&hold, 0);
    pthread_setcancelstate(cancel, NULL);
}

void hfi_inspect_init(void)
{
    if (hfi_options.inspect && !hfi_arena.reservation.growing)
        publish();
}

/* N5.  A call that got no page has grown nothing. */
static bool is_time_to_publish(const struct arena_node *node, const struct page *taken)
{
    return taken != NULL && hfi_arena_grew &&
           hfi_load_relaxed(&node->xlow_used) >= node->meta_pages + HFI_FIRST_PAGES;
}

uint64_t hfi_inspect_begin(void)
{
    if (hfi_load_relaxed(&hfi_shown()->xsegment) != NULL) /* relaxed: hfi_inspect_end looks again */
        return hfi_os_ticks();
    hfi_arena_grew = false;
    return 0;
}

void hfi_inspect_end(struct theap *theap, const struct page *taken, uint64_t begun)
{
    if (hfi_load_acquire(&hfi_shown()->xsegment) == NULL) {
        if (!hfi_options.inspect || hfi_load_relaxed(&xpublishing) || !is_time_to_publish(theap->node, taken))
            return;
        theap->thread_id = hfi_os_thread_id();
        publish();
        if (hfi_load_acquire(&hfi_shown()->xsegment) == NULL)
            return;
    }
    uint64_t now = hfi_os_ticks();
    if (begun != 0)
        note_slow(theap, now - begun);
    update_theap(theap, true, now);
    update_node(taken == NULL ? theap->node : hfi_node_of_page(taken));
}

void hfi_inspect_nodes(void)
{
    if (hfi_load_acquire(&hfi_shown()->xsegment) != NULL)
        for (unsigned i = 0; i < hfi_arena.node_count; i++)
            update_node(&hfi_arena.nodes[i]);
}

static void show_thread(struct theap *theap, bool in_use)
{
    struct hf_inspect_segment *segment = hfi_load_acquire(&hfi_shown()->xsegment);
    if (segment == NULL)
        return;
    update_theap(theap, in_use, hfi_os_ticks());
    hfi_arena_show(theap->node);
    SHOW(segment->theap_count, hfi_theaps_made());
}

void hfi_inspect_attach(struct theap *theap)
{
    if (hfi_options.inspect)
        theap->thread_id = hfi_os_thread_id();
    show_thread(theap, true);
}

void hfi_inspect_detach(struct theap *theap)
{
    show_thread(theap, false);
}

/* The forking thread may be in the middle of a call, whose stores into the segment are still to
 * come (a signal handler forked): they find memory of the child's own there. */
static void drop_segment(bool call_may_go_on)
{
    bool kept = call_may_go_on && hfi_os_map(mapping.memory, mapping.bytes, HFI_SMALL_PAGE_BYTES) == 0;
    if (!kept)
        hfi_os_unreserve(mapping.memory, mapping.bytes);
}

void hfi_inspect_forked(bool call_may_go_on)
{
    struct shown *shown = hfi_shown(); /* wiped, or where the kernel cannot do that as it was */
    hfi_store_relaxed(&shown->xsegment, NULL);
    hfi_store_relaxed(&shown->xpages, NULL);
    hfi_store_relaxed(&shown->xnodes, NULL);
    if (mapping.memory != NULL)
        drop_segment(call_may_go_on);
    was_shown = mapping.shown;
    memset(&mapping, 0, sizeof mapping);
    hfi_store_relaxed(&xpublishing, false);
    hfi_store_relaxed(&xevents, 0);
    hfi_store_relaxed(&xforks, 0);
    hfi_store_relaxed(&xreports, 0);
    hfi_store_relaxed(&xhas_rings, false);
    memset(states, 0, sizeof states);
    for (unsigned i = 0; i < hfi_arena.node_count; i++)
        hfi_store_relaxed(&hfi_arena.nodes[i].xmost_used, 0);
}

void hfi_inspect_took_over(void)
{
    took_over = true;
}

void hfi_inspect_child(void)
{
    if (hfi_options.inspect_children && (was_shown || !hfi_arena.reservation.growing))
        publish();
}

/* A child that ran no handler of fork (clone, vfork) may end by exit: the file is its parent's.
 * The child has another number, or the same one in another namespace.  Without /proc nothing tells
 * the first processes of two namespaces apart: such a process leaves its file. */
static bool is_own_file(void)
{
    bool same_number = mapping.path[0] != 0 && hfi_shm_pid() == mapping.pid;
    bool may_be_told = mapping.namespace != 0 || mapping.pid != 1;
    return same_number && may_be_told && hfi_shm_namespace() == mapping.namespace;
}

__attribute__((destructor)) static void unpublish(void)
{
    if (is_own_file())
        hfi_shm_unlink(mapping.path);
}
