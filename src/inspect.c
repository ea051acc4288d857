/*
 * inspect: see inspect.h and <holdfast/inspect.h>.
 *
 * N1: the process stores into the segment and never loads from it.
 * N2: a slot belongs to one theap for good; only the thread that has the theap writes it.
 *     A node's figures are written by whoever is on a slow path: the last store stays.
 * N3: no descriptor is kept.
 *
 * A named arena publishes at start.  A growing one waits until it has opened more than
 * its first pages, so that a small program pays nothing.  A forked child drops the segment, and publishes
 * its own once it has lived a while: a server that daemonises is seen, a child that execs pays nothing.
 *
 * Fails by not publishing, with one warning.  Test: tests/tool.sh.
 */
#include "inspect.h"

#include <errno.h>
#include <holdfast/inspect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "os.h"
#include "prefault.h"
#include "say.h"
#include "shm.h"

#define UPDATES_AFTER_FORK 256u  /* slow paths before a child publishes */
#define PUBLISH_AFTER_PAGES 128u /* of a growing arena */

_Static_assert(sizeof(struct hf_inspect_node) == 80, "public layout, version 1");
_Static_assert(sizeof(struct hf_inspect_theap) == 128, "public layout, version 1");
_Static_assert(offsetof(struct hf_inspect_segment, nodes) == 128, "public layout, version 1");

static _Atomic(struct hf_inspect_segment *) xsegment;
static _Atomic(bool) xpublishing;
static char segment_path[64];
static uint32_t updates_until_publishing; /* approximate: threads may count it down together */

/* Field 22 of /proc/self/stat; the name in field 2 may hold anything, so start behind its last ')'. */
static uint64_t process_start_ticks(void)
{
    char text[1024];
    if (hfi_os_read_file("/proc/self/stat", text, sizeof text) <= 0)
        return 0;
    const char *at = strrchr(text, ')');
    for (int field = 2; at != NULL && field < 22; field++)
        at = strchr(at + 1, ' ');
    return at == NULL ? 0 : strtoull(at, NULL, 10);
}

static void fill_constant(struct hf_inspect_segment *segment, uint64_t start_ticks)
{
    segment->version = HF_INSPECT_VERSION;
    segment->segment_bytes = sizeof *segment;
    segment->node_bytes = sizeof segment->nodes[0];
    segment->theap_bytes = sizeof segment->theaps[0];
    segment->pid = (uint64_t)hfi_shm_pid();
    segment->start_ticks = start_ticks;
    segment->arena_base = (uintptr_t)hfi_base;
    segment->arena_span = hfi_span;
    segment->node_count = hfi_arena.node_count;
    segment->theap_count = HF_INSPECT_MAX_THEAPS;
}

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

static size_t most_used(struct arena_node *node, size_t used_pages)
{
    size_t most = hfi_load_relaxed(&node->xmost_used);
    while (most < used_pages && !hfi_cas_weak_relaxed(&node->xmost_used, &most, used_pages))
        ;
    return hfi_max(most, used_pages);
}

/* Stores a figure for readers of the segment.  Relaxed: several threads may store a node's, and any is
 * as good as the other. */
#define SHOW(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)

static void update_node(struct hf_inspect_segment *segment, struct arena_node *node)
{
    const struct reserved_node *reserved = &hfi_arena.reservation.nodes[node->index];
    struct hf_inspect_node *shown = &segment->nodes[node->index];
    size_t free_pages = hfi_arena_free_pages(node);
    size_t used_pages = node->page_count - hfi_min(free_pages + hfi_arena_failed_pages(node), node->page_count);
    SHOW(shown->id, node->id);
    SHOW(shown->backing, backing_code(reserved->backing));
    SHOW(shown->flags, (reserved->bound ? HF_INSPECT_NODE_BOUND : 0) | (reserved->locked ? HF_INSPECT_NODE_LOCKED : 0) | (hfi_arena.reservation.growing ? HF_INSPECT_NODE_GROWING : 0) |
         (hfi_prefault_closed_bytes(node->index) != 0 ? HF_INSPECT_NODE_POPULATING : 0));
    SHOW(shown->populate_error, (uint32_t)-hfi_prefault_error(node->index));
    SHOW(shown->total, node->page_count * HFI_PAGE_BYTES);
    SHOW(shown->populated, hfi_arena_populated_bytes(node));
    SHOW(shown->used, used_pages * HFI_PAGE_BYTES);
    SHOW(shown->idle, hfi_load_relaxed(&node->xidle_pages) * HFI_PAGE_BYTES);
    SHOW(shown->free, hfi_min(free_pages, node->page_count) * HFI_PAGE_BYTES);
    SHOW(shown->high_water, most_used(node, used_pages) * HFI_PAGE_BYTES);
    SHOW(shown->large, hfi_load_relaxed(&node->xlarge_pages) * HFI_PAGE_BYTES);
    SHOW(shown->meta, (node->meta_pages + hfi_load_relaxed(&node->xtheap_pages)) * HFI_PAGE_BYTES);
}

static void update_theap(struct hf_inspect_segment *segment, const struct theap *theap, bool in_use)
{
    if (theap->index >= HF_INSPECT_MAX_THEAPS)
        return;
    struct hf_inspect_theap *slot = &segment->theaps[theap->index];
    SHOW(slot->in_use, in_use);
    SHOW(slot->home_node, theap->node->index);
    SHOW(slot->listed, theap->counters.listed);
    SHOW(slot->collected, theap->counters.collected);
    SHOW(slot->claimed, theap->counters.claimed);
    SHOW(slot->fresh, theap->counters.fresh);
    SHOW(slot->remote_frees, theap->counters.remote_frees);
    SHOW(slot->adopted, theap->counters.adopted);
    SHOW(slot->retired, theap->counters.retired);
    SHOW(slot->large, theap->counters.large);
    SHOW(slot->away, theap->counters.away);
    SHOW(slot->kept, (uint64_t)theap->kept_pages * HFI_PAGE_BYTES);
}

static void publish(void)
{
    bool expected = false;
    if (!hfi_cas_acq_rel(&xpublishing, &expected, true))
        return;
    uint64_t start_ticks = process_start_ticks();
    snprintf(segment_path, sizeof segment_path, HF_INSPECT_DIRECTORY "/" HF_INSPECT_PREFIX "%ld.%llu",
             (long)hfi_shm_pid(), (unsigned long long)start_ticks);
    void *memory = NULL;
    int error = hfi_shm_create(segment_path, sizeof(struct hf_inspect_segment), &memory);
    if (error != 0) {
        hfi_say(SAY_WARNING, "HF-W006", "inspect", "cannot publish %s (error %d): `holdfast stat` will not see this "
                "process; make " HF_INSPECT_DIRECTORY " writable or set HOLDFAST_INSPECT=0", segment_path, -error);
        segment_path[0] = 0;
        return;
    }
    struct hf_inspect_segment *segment = memory;
    fill_constant(segment, start_ticks);
    for (unsigned i = 0; i < hfi_arena.node_count; i++)
        update_node(segment, &hfi_arena.nodes[i]);
    hfi_store_release((_Atomic(uint64_t) *)&segment->magic, HF_INSPECT_MAGIC);
    hfi_store_release(&xsegment, segment);
}

void hfi_inspect_init(void)
{
    if (hfi_options.inspect && !hfi_arena.reservation.growing)
        publish();
}

static bool is_time_to_publish(const struct arena_node *node)
{
    uint32_t left = __atomic_load_n(&updates_until_publishing, __ATOMIC_RELAXED);
    if (left != 0) {
        __atomic_store_n(&updates_until_publishing, left - 1, __ATOMIC_RELAXED);
        return false;
    }
    return !hfi_arena.reservation.growing || hfi_load_relaxed(&node->xlow_used) >= node->meta_pages + PUBLISH_AFTER_PAGES;
}

void hfi_inspect_update(struct theap *theap, const struct page *taken)
{
    struct hf_inspect_segment *segment = hfi_load_acquire(&xsegment);
    if (segment == NULL) {
        if (!hfi_options.inspect || hfi_load_relaxed(&xpublishing) || !is_time_to_publish(theap->node))
            return;
        publish();
        segment = hfi_load_acquire(&xsegment);
        if (segment == NULL)
            return;
    }
    update_theap(segment, theap, true);
    update_node(segment, taken == NULL ? theap->node : hfi_node_of_page(taken));
}

void hfi_inspect_nodes(void)
{
    struct hf_inspect_segment *segment = hfi_load_acquire(&xsegment);
    for (unsigned i = 0; segment != NULL && i < hfi_arena.node_count; i++)
        update_node(segment, &hfi_arena.nodes[i]);
}

void hfi_inspect_attach(struct theap *theap)
{
    struct hf_inspect_segment *segment = hfi_load_acquire(&xsegment);
    if (segment != NULL)
        update_theap(segment, theap, true);
}

void hfi_inspect_detach(struct theap *theap)
{
    struct hf_inspect_segment *segment = hfi_load_acquire(&xsegment);
    if (segment != NULL)
        update_theap(segment, theap, false);
}

void hfi_inspect_forked(void)
{
    struct hf_inspect_segment *segment = hfi_load_relaxed(&xsegment);
    segment_path[0] = 0;
    if (segment != NULL)
        hfi_os_unmap(segment, hfi_align_up(sizeof *segment, 4096));
    hfi_store_relaxed(&xsegment, NULL);
    hfi_store_relaxed(&xpublishing, false);
    updates_until_publishing = UPDATES_AFTER_FORK;
}

__attribute__((destructor)) static void unpublish(void)
{
    if (segment_path[0] != 0)
        hfi_shm_unlink(segment_path);
}
