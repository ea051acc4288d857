/*
 * events: see events.h and <holdfast/inspect.h>.
 *
 * Concurrency: each event has a number by fetch_add, and with that an entry of the ring.
 * Tests: tests/tool.sh, tests/programs/inspect.c.
 */
#include "app/events.h"

#include "arena/pagemap.h"
#include "app/segment.h"
#include "kernel/cpu.h"
#include "heap/theap.h"
#include "arena/arena.h"

static _Atomic(uint64_t) xevents;  /* atomic: events so far */
static _Atomic(uint64_t) xforks;   /* atomic */
static _Atomic(uint64_t) xreports; /* atomic */
static _Atomic(bool) xhas_rings;   /* atomic: as hfi_inspect_rings was told last */

/* Who takes a number writes its entry; a reader that finds another sequence there passes it
 * over. */
void hfi_inspect_event(enum hf_inspect_event_kind kind, const struct arena_node *node, uint64_t a, uint64_t b)
{
    struct hf_inspect_segment *segment = hfi_load_acquire(&hfi_shown()->xsegment);
    if (segment == NULL)
        return;
    uint64_t number = hfi_fetch_add_relaxed(&xevents, 1);
    struct hf_inspect_event *event = &hfi_segment_tables.events[number % HF_INSPECT_EVENTS];
    HFI_SHOW(event->sequence, 0);
    hfi_fence_release(); /* pairs with the reader's second look at the sequence */
    HFI_SHOW(event->ticks, hfi_os_ticks());
    HFI_SHOW(event->kind, kind);
    HFI_SHOW(event->node, node->index);
    HFI_SHOW(event->tid, hfi_theap->thread_id);
    HFI_SHOW(event->a, a);
    HFI_SHOW(event->b, b);
    hfi_plain_store_release(&event->sequence, number + 1); /* pairs with the reader's first look */
    HFI_SHOW(segment->event_count, number + 1);
    if (kind == HF_EVENT_REPORT)
        HFI_SHOW(segment->reports, hfi_fetch_add_relaxed(&xreports, 1) + 1);
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
        HFI_SHOW(segment->registered, any ? registered_bytes() : 0);
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
    HFI_SHOW(segment->forks, forks);
    if (hfi_is_power_of_two(forks)) /* thousands of them would leave nothing else to be seen */
        hfi_inspect_event(HF_EVENT_FORKED, &hfi_arena.nodes[0], forks, 0);
}

void hfi_inspect_rings_again(void)
{
    hfi_inspect_rings(hfi_load_relaxed(&xhas_rings));
}

void hfi_inspect_forget_events(void)
{
    hfi_store_relaxed(&xevents, 0);
    hfi_store_relaxed(&xforks, 0);
    hfi_store_relaxed(&xreports, 0);
    hfi_store_relaxed(&xhas_rings, false);
}
