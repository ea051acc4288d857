/*
 * report-scale: how far axes go: as far as the figures of one report, or of both side by side.
 *
 * Test: tests/tool-report.sh.
 */
#include <math.h>

#include "base/bits.h"
#include "report/report.h"

#define ROOM_PART 7u /* of what was used, over it, where a picture does not show the whole node */

/* A node that is mostly empty is shown as far as it was used: what it used is what a reader
 * wants to see. */
static uint64_t top_of(uint64_t most, uint64_t total)
{
    if (most >= total / 2 || most == 0)
        return total;
    uint64_t wanted = most + most / ROOM_PART, step = report_step_bytes(wanted, REPORT_TICKS);
    return (wanted + step - 1) / step * step;
}

static void scale_memory(struct report *report)
{
    uint64_t most = 0, total = 0;
    for (unsigned i = 0; i < report->snapshot->node_count; i++) {
        const struct hf_inspect_node *node = &report->snapshot->nodes[i];
        report->scale.node_bytes[i] = top_of(node->high_water, node->total);
        most += node->high_water < node->total ? node->high_water : node->total;
        total += node->total;
    }
    report->scale.memory_bytes = top_of(most, total);
}

static void scale_bars(struct report *report)
{
    const struct snapshot *snapshot = report->snapshot;
    for (unsigned i = 0; i < snapshot->class_count; i++)
        report->scale.class_bytes =
            hfi_max(report->scale.class_bytes, snapshot->class_pages[i].pages * HF_INSPECT_PAGE_BYTES);
    for (unsigned i = 0; i < snapshot->theap_count; i++)
        report->scale.theap_bytes =
            hfi_max(report->scale.theap_bytes, snapshot->theap_pages[i].pages * HF_INSPECT_PAGE_BYTES);
}

static void scale_slow(struct report *report)
{
    struct report_scale *scale = &report->scale;
    scale->slow_first = HF_INSPECT_BUCKETS;
    for (unsigned i = 0; i < HF_INSPECT_BUCKETS; i++) {
        uint64_t calls = report->sample->sum.slow[i];
        if (calls == 0)
            continue;
        scale->slow_first = scale->slow_first < i ? scale->slow_first : i;
        scale->slow_last = i;
        scale->slow_most = hfi_max(scale->slow_most, calls);
    }
}

void report_scale(struct report *report)
{
    const struct history *history = report->history;
    report->scale = (struct report_scale){ .span_ns = history_span_s(history) * 1e9 };
    for (unsigned i = 0; i < history->point_count; i++) {
        report->scale.threads = hfi_max(report->scale.threads, history->points[i].in_use);
        report->scale.excess_last = report_excess_at(report, i);
        report->scale.excess = fmax(report->scale.excess, report->scale.excess_last);
        if (i != 0)
            report->scale.pages_per_s = fmax(report->scale.pages_per_s,
                                             report_taken_rate(&history->points[i - 1], &history->points[i]));
    }
    report->scale.growth_bytes = top_of(report_growth_most(report), UINT64_MAX / 2);
    report->scale.heap_bytes = top_of(report_heaps_most(report), UINT64_MAX / 2);
    scale_memory(report);
    scale_bars(report);
    scale_slow(report);
}

void report_scale_join(struct report *report, struct report *other)
{
    struct report_scale *one = &report->scale, *two = &other->scale;
    one->span_ns = fmax(one->span_ns, two->span_ns);
    for (unsigned i = 0; i < HF_INSPECT_MAX_NODES; i++)
        one->node_bytes[i] = hfi_max(one->node_bytes[i], two->node_bytes[i]);
    one->memory_bytes = hfi_max(one->memory_bytes, two->memory_bytes);
    one->class_bytes = hfi_max(one->class_bytes, two->class_bytes);
    one->theap_bytes = hfi_max(one->theap_bytes, two->theap_bytes);
    one->growth_bytes = hfi_max(one->growth_bytes, two->growth_bytes);
    one->heap_bytes = hfi_max(one->heap_bytes, two->heap_bytes);
    one->threads = hfi_max(one->threads, two->threads);
    one->pages_per_s = fmax(one->pages_per_s, two->pages_per_s);
    one->excess = fmax(one->excess, two->excess);
    one->excess_last = fmax(one->excess_last, two->excess_last);
    one->slow_first = hfi_min(one->slow_first, two->slow_first);
    one->slow_last = hfi_max(one->slow_last, two->slow_last);
    one->slow_most = hfi_max(one->slow_most, two->slow_most);
    one->relative = true;
    *two = *one;
}
