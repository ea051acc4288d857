/*
 * top-data: samples of a process, and what changed from one to the next.
 *
 * TD1: a sample costs a copy of the theaps in use.  The page map, 8 bytes per 64 KiB of arena, is
 *      read once a second or, if that takes long, after two hundred times as long.
 * TD2: names are asked for when a row is shown, and kept for some seconds.
 * TD3: a counter that fell changed by nothing: a slot that is hostile, or was written while it was
 *      read.
 *
 * Test: tests/tool-top.sh.
 */
#include <stdlib.h>
#include <string.h>

#include "kernel/cpu.h"
#include "top/top.h"

#define SECOND_NS UINT64_C(1000000000)
#define MAP_SHARE 200u /* of the time, one part */
#define FADE_SECONDS 2.0
#define NAME_NS (5 * SECOND_NS)

static double grown(uint64_t now, uint64_t before)
{
    return now > before ? (double)(now - before) : 0;
}

static void follow(double *rate, double change, double seconds, double weight)
{
    *rate += weight * (change / seconds - *rate);
}

static uint64_t slow_paths(const struct hf_inspect_theap *theap)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < HF_INSPECT_BUCKETS; i++)
        count += theap->slow[i];
    return count;
}

static void follow_theap(struct top_theap *known, const struct hf_inspect_theap *theap, double seconds,
                         double weight)
{
    uint64_t slow = slow_paths(theap);
    if (weight != 0) {
        follow(&known->slow_rate, grown(slow, known->slow), seconds, weight);
        follow(&known->out_rate, grown(theap->remote_frees, known->out), seconds, weight);
        follow(&known->in_rate, grown(theap->received, known->in), seconds, weight);
    }
    known->slow = slow;
    known->out = theap->remote_frees;
    known->in = theap->received;
}

/* A heap that has the slot of another begins anew. */
static void follow_heap(struct top_heap *known, const struct hf_inspect_heap *heap, double seconds,
                        double weight)
{
    if (known->id != heap->id)
        *known = (struct top_heap){ .id = heap->id, .held = heap->held };
    else if (weight != 0)
        follow(&known->grow_rate, (double)heap->held - (double)known->held, seconds, weight);
    known->held = heap->held;
}

static void follow_heaps(struct top *top, double seconds, double weight)
{
    uint64_t made = top->now.heap_sum.made;
    if (weight != 0)
        follow(&top->rates.heaps_made, grown(made, top->heaps_made), seconds, weight);
    top->heaps_made = made;
    for (unsigned i = 0; i < top->now.heap_count; i++)
        follow_heap(&top->heaps[i], &top->now.heaps[i], seconds, weight);
}

bool top_has_heaps(const struct top *top)
{
    return top->now.heap_sum.made != 0 || top->now.heap_sum.held != 0;
}

bool top_has_reserve(const struct top *top)
{
    for (unsigned i = 0; i < top->now.node_count; i++)
        if (top->now.nodes[i].reserve != 0)
            return true;
    return false;
}

static void follow_sum(struct top *top, const struct snapshot_sum *sum, double seconds, double weight)
{
    const struct snapshot_sum *before = &top->sum;
    struct top_rates *rates = &top->rates;
    double slow = 0;
    for (unsigned i = 0; i < HF_INSPECT_BUCKETS; i++) {
        double change = grown(sum->slow[i], before->slow[i]);
        top->slow[i] = top->slow[i] * (1 - weight) + change;
        slow += change;
    }
    follow(&rates->slow, slow, seconds, weight);
    follow(&rates->claimed, grown(sum->claimed, before->claimed), seconds, weight);
    follow(&rates->fresh, grown(sum->fresh, before->fresh), seconds, weight);
    follow(&rates->stolen, grown(sum->stolen, before->stolen), seconds, weight);
    follow(&rates->large, grown(sum->large, before->large), seconds, weight);
    follow(&rates->retired, grown(sum->retired, before->retired), seconds, weight);
    follow(&rates->remote, grown(sum->remote_frees, before->remote_frees), seconds, weight);
    follow(&rates->away, grown(snapshot_sum_away(sum), snapshot_sum_away(before)), seconds, weight);
}

static int read_segment(struct top *top, struct snapshot *snapshot, bool with_pages)
{
    const char *reason;
    return snapshot_read(snapshot, top->target.fd, top->target.pid, top->target.start_ticks, with_pages,
                         &reason) == SEGMENT_OK
             ? 0
             : -1;
}

static int read_map(struct top *top)
{
    uint64_t begun = hfi_os_now_ns();
    if (begun < top->map_due_ns)
        return 0;
    if (read_segment(top, &top->map, true) != 0)
        return -1;
    uint64_t ended = hfi_os_now_ns();
    uint64_t rest = (ended - begun) * MAP_SHARE;
    top->map_due_ns = ended + (rest > SECOND_NS ? rest : SECOND_NS - SECOND_NS / 20);
    return 0;
}

/* Samples of the same second are one point. */
static void remember(struct top *top)
{
    const struct snapshot *map = &top->map;
    struct top_point *last = top->past_count == 0 ? NULL : &top->past[(top->past_count - 1) % TOP_PAST];
    if (last == NULL || top->sampled_ns - last->ns >= SECOND_NS - SECOND_NS / 20) {
        last = &top->past[top->past_count++ % TOP_PAST];
        *last = (struct top_point){ .ns = top->sampled_ns };
    }
    double pages = top->rates.claimed + top->rates.fresh + top->rates.large;
    last->values[LANE_LIVE] = !snapshot_live_is_known(map) ? -1 : (double)map->live_bytes;
    last->values[LANE_HELD] = (double)top_held(top);
    last->values[LANE_SLOW] =
        top->rates.slow > last->values[LANE_SLOW] ? top->rates.slow : last->values[LANE_SLOW];
    last->values[LANE_PAGES] = pages > last->values[LANE_PAGES] ? pages : last->values[LANE_PAGES];
}

uint64_t top_held(const struct top *top)
{
    return snapshot_figures_of_all(top->map.live_known != LIVE_UNKNOWN ? &top->map : &top->now).held;
}

int top_sample(struct top *top)
{
    struct snapshot_sum sum;
    if (read_segment(top, &top->now, false) != 0 || read_map(top) != 0)
        return -1;
    snapshot_sum(&top->now, &sum);
    double seconds = (double)(top->now.taken_ns - top->sampled_ns) / 1e9;
    double weight = top->samples == 0 || seconds <= 0 ? 0
                  : top->samples == 1                 ? 1
                                                      : seconds / (seconds + FADE_SECONDS);
    if (weight != 0)
        follow_sum(top, &sum, seconds, weight);
    for (unsigned i = 0; i < top->now.theap_count; i++)
        follow_theap(&top->theaps[i], &top->now.theaps[i], seconds, weight);
    follow_heaps(top, seconds, weight);
    top->sum = sum;
    top->sampled_ns = top->now.taken_ns;
    top->samples += top->samples < 2;
    remember(top);
    return 0;
}

bool top_set_delay(struct top *top, const char *text)
{
    double seconds;
    bool plain = text[strspn(text, "0123456789.")] == 0; /* no sign, exponent or hexadecimal */
    if (!plain || !tool_parse_number(text, TOP_DELAY_MIN, TOP_DELAY_MAX, &seconds))
        return false;
    top->delay = seconds;
    return true;
}

const char *top_theap_name(struct top *top, unsigned theap)
{
    struct top_theap *known = &top->theaps[theap];
    uint64_t tid = top->now.theaps[theap].tid;
    if (known->named_ns == 0 || known->named_tid != tid || top->sampled_ns - known->named_ns > NAME_NS) {
        char name[TOP_NAME_BYTES];
        tool_printable(known->name, sizeof known->name,
                       target_thread_name(top->target.pid, tid, name, sizeof name));
        known->named_tid = tid;
        known->named_ns = top->sampled_ns;
    }
    return known->name;
}

/* The histogram's quantile is a lower bound, its bucket is as wide as that. */
double top_p99_ns(const struct top *top)
{
    struct snapshot_sum late = { .in_use = 0 };
    for (unsigned i = 0; i < HF_INSPECT_BUCKETS; i++)
        late.slow[i] = (uint64_t)(top->slow[i] * 16); /* what has faded to less than that is over */
    return 2 * snapshot_slow_quantile(&top->now, &late, 0.99);
}

double top_p99_ever_ns(const struct top *top)
{
    return 2 * snapshot_slow_quantile(&top->now, &top->sum, 0.99);
}
