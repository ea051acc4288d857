/*
 * latency: see latency.h.
 *
 * LT1: a call's cause is the farthest place that the ladder went to for it.  Where pages had to be opened it
 *      is that.  Where clearing took more than half of the time it is that.  Where the thread was moved to
 *      another CPU meanwhile, and opened nothing, no cause of ours is known.
 * LT2: ticks become nanoseconds by how far both clocks went since the segment was made, read together.
 *      Until SETTLED_NS after that no call is judged.
 *
 * Concurrency: theaps share the entries of a shard, and add with relaxed operations: sums, which order
 * nothing.  Of two calls that are the longest so far at once, the shorter may stay.
 *
 * Tests: tests/programs/inspect.c, tests/programs/slo.c.
 */
#include "app/latency.h"

#include "base/bits.h"
#include "base/options.h"
#include "base/probe.h"
#include "kernel/cpu.h"
#include "arena/arena.h"
#include "arena/pagemap.h"
#include "app/events.h"
#include "app/figures.h"
#include "app/segment.h"

#define CLEARED_LEAST_BYTES 4096u /* less is never what takes long */
#define SETTLED_NS 1000000u
#define SECOND_NS 1000000000u

static _Atomic(uint64_t) xlimit_ticks; /* atomic: HOLDFAST_SLO in ticks; 0: not known yet */
static _Atomic(uint64_t) xlate;        /* atomic: calls over it since the last event */
static _Atomic(uint64_t) xtold_ticks;  /* atomic: when the last event was */

void hfi_latency_begin(struct slow_call *call, enum hf_inspect_cause cause)
{
    hfi_arena_grew = hfi_arena_forced = false;
    call->begun = 0;
    if (hfi_load_relaxed(&hfi_shown()->xsegment) == NULL) /* relaxed: hfi_latency_end looks again */
        return;
    call->found = 0;
    call->cause = cause;
    call->weight = 1;
    call->cpu = hfi_os_cpu_told();
    call->begun = hfi_os_ticks();
}

void hfi_latency_begin_sampled(struct theap *theap, struct slow_call *call)
{
    bool all = hfi_options.slo_ns != 0;
    theap->untimed = all ? 0 : HFI_OWN_SAMPLED - 1;
    hfi_latency_begin(call, HF_CAUSE_OWN);
    call->weight = all ? 1 : HFI_OWN_SAMPLED;
}

/* LT1 */
static enum hf_inspect_cause cause_of(const struct slow_call *call, uint64_t now, bool was_moved,
                                      size_t cleared_bytes)
{
    uint64_t clearing_from = call->found != 0 ? call->found : call->begun;
    if (hfi_arena_grew || hfi_arena_forced)
        return HF_CAUSE_OPENED;
    if (was_moved)
        return HF_CAUSE_INTERRUPTED;
    if (cleared_bytes >= CLEARED_LEAST_BYTES && now - clearing_from > (now - call->begun) / 2)
        return HF_CAUSE_CLEARED;
    return call->cause;
}

/* LT2.  0: it is too early to tell. */
static uint64_t limit_ticks(const struct hf_inspect_segment *segment)
{
    uint64_t limit = hfi_load_relaxed(&xlimit_ticks); /* relaxed: each thread would find the same */
    if (hfi_likely(limit != 0))
        return limit;
    uint64_t before = hfi_os_ticks(), ns = hfi_os_now_ns() - segment->clock_ns, after = hfi_os_ticks();
    uint64_t ticks = before - segment->clock_ticks;
    if (ns < SETTLED_NS || after - before > ticks / 256) /* it was off its CPU between the two */
        return 0;
    double ticks_per_ns = (double)ticks / (double)ns;
    limit = hfi_max((uint64_t)((double)hfi_options.slo_ns * ticks_per_ns), 1);
    hfi_store_relaxed(&xlimit_ticks, limit);
    return limit;
}

/* At most one event a second: a call that is late is seldom alone. */
static void tell(const struct theap *theap, enum hf_inspect_cause cause, uint64_t ticks, double ticks_per_ns,
                 uint64_t now)
{
    uint64_t told = hfi_load_relaxed(&xtold_ticks);
    hfi_fetch_add_relaxed(&xlate, 1);
    HFI_PROBE2(late, (unsigned)cause, (uint64_t)((double)ticks / ticks_per_ns));
    if ((told != 0 && (double)(now - told) < SECOND_NS * ticks_per_ns) ||
        !hfi_cas_relaxed(&xtold_ticks, &told, now))
        return;
    uint64_t late = hfi_exchange_relaxed(&xlate, 0);
    hfi_inspect_event(HF_EVENT_LATE, theap->node, (uint64_t)cause | late << 8, ticks);
}

static void judge(const struct theap *theap, const struct hf_inspect_segment *segment,
                  struct hf_inspect_slow *shown, enum hf_inspect_cause cause, uint64_t ticks, uint64_t now)
{
    uint64_t limit = limit_ticks(segment);
    if (limit == 0 || ticks <= limit)
        return;
    hfi_plain_fetch_add_relaxed(&shown->late, 1);
    tell(theap, cause, ticks, (double)limit / (double)hfi_options.slo_ns, now);
}

void hfi_latency_end(struct theap *theap, struct slow_call *call, size_t cleared_bytes)
{
    if (call->begun == 0)
        return;
    uint64_t now = hfi_os_ticks(), ticks = now - call->begun;
    bool was_moved = hfi_os_cpu_told() != call->cpu;
    const struct hf_inspect_segment *segment = hfi_load_acquire(&hfi_shown()->xsegment);
    enum hf_inspect_cause cause = cause_of(call, now, was_moved, cleared_bytes);
    unsigned bucket = hfi_inspect_bucket(ticks);
    call->begun = 0;
    if (segment == NULL) /* a child was forked in the call */
        return;
    if (call->found != 0)
        hfi_inspect_note_slow(theap, bucket, ticks);
    struct hf_inspect_slow *shown = &hfi_segment_tables.slow[theap->index % HF_INSPECT_SHARDS][cause];
    hfi_plain_fetch_add_relaxed(&shown->calls[bucket], call->weight);
    hfi_plain_fetch_add_relaxed(&shown->ticks, ticks * call->weight);
    if (ticks > HFI_SHOWN(shown->longest))
        HFI_SHOW(shown->longest, ticks);
    if (hfi_options.slo_ns != 0)
        judge(theap, segment, shown, cause, ticks, now);
}

void hfi_latency_drop(struct slow_call *call)
{
    call->begun = 0;
}

void hfi_latency_forget(void)
{
    hfi_store_relaxed(&xlimit_ticks, 0);
    hfi_store_relaxed(&xlate, 0);
    hfi_store_relaxed(&xtold_ticks, 0);
}
