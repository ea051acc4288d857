/*
 * snapshot: see snapshot.h; what a snapshot says, summed up and in words.
 *
 * Tests: tests/tool-stat.sh, tests/fuzz/segment.c.
 */
#include "reader/snapshot.h"

#include <stdlib.h>
#include <string.h>

const char *snapshot_fault(const struct snapshot *snapshot)
{
    for (unsigned i = 0; i < snapshot->class_count; i++) {
        const struct hf_inspect_class *class = &snapshot->classes[i];
        if (class->run_pages == 0 || (uint64_t) class->run_blocks * class->block_bytes >
                                         (uint64_t) class->run_pages * HF_INSPECT_PAGE_BYTES)
            return "its size classes are none";
    }
    for (unsigned i = 0; i < snapshot->node_count && snapshot->pages != NULL; i++) {
        const struct hf_inspect_node *node = &snapshot->nodes[i];
        uint64_t pages = node->total / HF_INSPECT_PAGE_BYTES;
        if (pages > snapshot->page_count || node->first_page > snapshot->page_count - pages)
            return "its nodes lie outside of its page map";
    }
    return NULL;
}

bool snapshot_live_is_known(const struct snapshot *snapshot)
{
    return snapshot->live_known == LIVE_COUNTED;
}

bool snapshot_live_is_exact(const struct snapshot *snapshot)
{
    return snapshot_live_is_known(snapshot) && (snapshot->header.options & HF_INSPECT_TOOK_OVER) == 0;
}

void snapshot_free(struct snapshot *snapshot)
{
    free(snapshot->theaps);
    free(snapshot->theap_pages);
    free(snapshot->heaps);
    free(snapshot->pages);
    *snapshot = (struct snapshot){ .pages = NULL };
}

/* --- time and names --- */

uint32_t snapshot_node_id(const struct snapshot *snapshot, uint32_t index)
{
    return index < snapshot->node_count ? snapshot->nodes[index].id : index;
}

double snapshot_ns(const struct snapshot *snapshot, uint64_t ticks)
{
    return (double)ticks / snapshot->ticks_per_ns;
}

double snapshot_age_ns(const struct snapshot *snapshot, uint64_t ticks)
{
    return ticks < snapshot->taken_ticks ? snapshot_ns(snapshot, snapshot->taken_ticks - ticks) : 0;
}

static const char *name_in(const char *const *names, size_t count, uint32_t code)
{
    return code < count && names[code] != NULL ? names[code] : "?";
}
#define NAME_IN(names, code) name_in(names, sizeof names / sizeof names[0], code)

const char *snapshot_backing_name(uint32_t backing)
{
    static const char *const names[] = {
        [HF_BACKING_NONE] = "none", [HF_BACKING_1G] = "1g", [HF_BACKING_2M] = "2m",
        [HF_BACKING_THP] = "thp",   [HF_BACKING_4K] = "4k",
    };
    return NAME_IN(names, backing);
}

const char *snapshot_state_name(uint32_t state)
{
    static const char *const names[] = {
        [HF_PAGE_UNTOUCHED] = "untouched", [HF_PAGE_FREE] = "free",   [HF_PAGE_OWNED] = "owned",
        [HF_PAGE_IDLE] = "idle",           [HF_PAGE_LOOSE] = "loose", [HF_PAGE_LARGE] = "large",
        [HF_PAGE_META] = "meta",
    };
    return NAME_IN(names, state);
}

const char *snapshot_event_name(uint32_t kind)
{
    static const char *const names[] = {
        [HF_EVENT_NONE] = "none",
        [HF_EVENT_PUBLISHED] = "published",
        [HF_EVENT_NODE_FULL] = "node full",
        [HF_EVENT_NODE_ROOM] = "node has room again",
        [HF_EVENT_REMOTE_BEGAN] = "remote fallback began",
        [HF_EVENT_REMOTE_ENDED] = "remote fallback ended",
        [HF_EVENT_REPORT] = "report printed",
        [HF_EVENT_POPULATED] = "population done",
        [HF_EVENT_PRESSURE] = "application asked to free memory",
        [HF_EVENT_STOLEN] = "pages taken from sleeping threads",
        [HF_EVENT_FORKED] = "forked",
        [HF_EVENT_REGISTERED] = "registered with io_uring",
        [HF_EVENT_REGISTER_REFUSED] = "registration with io_uring refused",
        [HF_EVENT_LATE] = "a call took longer than HOLDFAST_SLO",
        [HF_EVENT_RESERVE] = "reserve begun upon",
        [HF_EVENT_HEAP_LIMIT] = "heap at its limit",
        [HF_EVENT_FROZEN] = "fresh pages after hf_freeze",
    };
    return NAME_IN(names, kind);
}

const char *snapshot_cause_name(uint32_t cause)
{
    static const char *const names[HF_INSPECT_CAUSES] = {
        [HF_CAUSE_OWN] = "own",           [HF_CAUSE_CLAIMED] = "claimed",
        [HF_CAUSE_FRESH] = "fresh",       [HF_CAUSE_STOLEN] = "stolen",
        [HF_CAUSE_SEARCHED] = "searched", [HF_CAUSE_AWAY] = "away",
        [HF_CAUSE_ATTACHED] = "attached", [HF_CAUSE_CLEARED] = "cleared",
        [HF_CAUSE_OPENED] = "opened",     [HF_CAUSE_INTERRUPTED] = "interrupted",
    };
    return NAME_IN(names, cause);
}
