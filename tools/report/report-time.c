/*
 * report-time: pictures with time from left to right: live and held memory, use of each node,
 * threads.
 *
 * All share one axis, from the first sample to the last; events before it stand at its left edge.
 *
 * Test: tests/tool-report.sh.
 */
#include <string.h>

#include "base/bits.h"
#include "report/report.h"

/* --- areas --- */

struct layer {
    const char *css, *name;
    uint64_t (*reach)(const struct snapshot_figures *node); /* the bytes up to where it goes */
};

static uint64_t meta_reach(const struct snapshot_figures *node)
{
    return node->meta;
}
static uint64_t heap_reach(const struct snapshot_figures *node)
{
    return node->meta + node->heaps;
}
static uint64_t large_reach(const struct snapshot_figures *node)
{
    return node->meta + node->heaps + node->large;
}
static uint64_t live_reach(const struct snapshot_figures *node)
{
    return node->meta + node->live;
}
static uint64_t held_reach(const struct snapshot_figures *node)
{
    return node->meta + node->held;
}

enum { HELD, LIVE, LARGE, HEAPS };
static const struct layer layers[] = {
    /* the later in front */
    [HELD] = { "unused", "held, in no live block", held_reach },
    [LIVE] = { "blocks", "live blocks", live_reach },
    [LARGE] = { "large", "live blocks of whole pages", large_reach },
    [HEAPS] = { "heaps", "pages of heaps", heap_reach },
    { "meta", "own structures", meta_reach },
};
#define LAYERS (sizeof layers / sizeof layers[0])
#define ALL_NODES UINT32_MAX
#define EXCESS_LEAST 4.0 /* is shown, if there is as much */
#define EXCESS_SMALL 2.0

static uint64_t reach_at(const struct report *report, unsigned point, unsigned node,
                         const struct layer *layer)
{
    const struct snapshot_figures *nodes = report->history->points[point].nodes;
    uint64_t sum = 0;
    for (unsigned i = 0; i < report->history->node_count; i++)
        if (node == ALL_NODES || node == i)
            sum += hfi_min(layer->reach(&nodes[i]), nodes[i].total);
    return sum;
}

static void draw_layer(const struct report *report, unsigned node, const struct layer *layer, uint64_t top)
{
    const struct history *history = report->history;
    double x = REPORT_LEFT, scale = top == 0 ? 0 : 1 / (double)top;
    fprintf(report->out, "<path class=\"%s\" d=\"M%.1f %.1f", layer->css, x, REPORT_BOTTOM);
    for (unsigned i = 0; i < history->point_count; i++) {
        double y = report_y((double)reach_at(report, i, node, layer) * scale);
        if (i == 0)
            fprintf(report->out, "V%.1f", y);
        x = report_x(report, (double)history->points[i].ns);
        fprintf(report->out, "L%.1f %.1f", x, y);
    }
    fprintf(report->out, "V%.1fZ\"/>\n", REPORT_BOTTOM);
}

/* As high as there is memory: beside a larger arena that is not the whole plot. */
static void draw_layers(const struct report *report, unsigned node, uint64_t top, uint64_t total)
{
    report_ground(report, top == 0 ? 1 : (double)total / (double)top);
    for (unsigned i = 0; i < LAYERS; i++)
        draw_layer(report, node, &layers[i], top);
    report_bytes_axis(report, top);
}

static bool knows_live(const struct report *report)
{
    return report->history->live_known == LIVE_COUNTED;
}

/* Of colours that occur. */
static bool layer_occurs(const struct report *report, unsigned node, unsigned layer)
{
    for (unsigned i = 0; i < report->history->point_count; i++)
        if (reach_at(report, i, node, &layers[layer]) != reach_at(report, i, node, &layers[layer + 1]))
            return true;
    return false;
}

static void key_of_layers(const struct report *report, unsigned node)
{
    for (unsigned i = LAYERS; i-- != 0;) {
        if (!knows_live(report) && (i == HELD || i == LIVE))
            report_key_entry(report, layers[LIVE].css, "held");
        else if ((i != LARGE && i != HEAPS) || layer_occurs(report, node, i))
            report_key_entry(report, layers[i].css, "%s", layers[i].name);
        i -= !knows_live(report) && i == LIVE; /* one entry for both */
    }
    report_key_entry(report, "free", "free");
}

/* Of one node, or of all. */
static struct snapshot_figures sum_at(const struct report *report, unsigned point, unsigned node)
{
    const struct snapshot_figures *nodes = report->history->points[point].nodes;
    struct snapshot_figures sum = { .total = 0 };
    for (unsigned i = 0; i < report->history->node_count; i++)
        if (node == ALL_NODES || node == i)
            snapshot_figures_add(&sum, &nodes[i]);
    return sum;
}

static void tip_of_memory(const struct report *report, unsigned point, unsigned node)
{
    struct snapshot_figures sum = sum_at(report, point, node);
    if (knows_live(report))
        fprintf(report->out, "live %s, ", BYTES(sum.live));
    fprintf(report->out, "held %s of %s (%s)", BYTES(sum.held), BYTES(sum.total),
            PERCENT(sum.held, sum.total));
    if (knows_live(report))
        fprintf(report->out, ", in no live block %s", BYTES(history_unused(&sum)));
    fprintf(report->out, "; own structures %s, free %s", BYTES(sum.meta), BYTES(sum.free));
}

static void table_of_memory(const struct report *report, unsigned node)
{
    const struct history *history = report->history;
    const char *unknown = knows_live(report) ? NULL : "unknown";
    report_table(report, node == ALL_NODES ? "memory over time" : "use over time",
                 "<Time|Live|Held|Held, of the arena|Held over live|In no live block|Large|Heaps|Idle pages|"
                 "Own|Free|Most used");
    for (unsigned i = 0; i < report_row_count(history); i++) {
        unsigned point = report_row_point(history, i, report_row_count(history));
        struct snapshot_figures sum = sum_at(report, point, node);
        ROW(report, MOMENT(report, (double)history->points[point].ns), unknown ? unknown : BYTES(sum.live),
            BYTES(sum.held), PERCENT(sum.held, sum.total), unknown ? unknown : RATIO(sum.held, sum.live),
            unknown ? unknown : BYTES(history_unused(&sum)), BYTES(sum.large), BYTES(sum.heaps),
            BYTES(sum.idle), BYTES(sum.meta), BYTES(sum.free), BYTES(sum.high_water));
    }
    report_table_end(report);
}

/* --- held over live --- */

double report_excess_at(const struct report *report, unsigned point)
{
    struct snapshot_figures sum = sum_at(report, point, ALL_NODES);
    return !knows_live(report) || sum.live == 0 ? 0 : (double)sum.held / (double)sum.live;
}

static void tip_of_excess(const struct report *report, unsigned point, unsigned node)
{
    struct snapshot_figures sum = sum_at(report, point, node);
    fprintf(report->out, "%s: %s held for %s live", RATIO(sum.held, sum.live), BYTES(sum.held),
            BYTES(sum.live));
}

static void draw_excess(const struct report *report, double bottom, double top)
{
    const struct history *history = report->history;
    const char *move = "M";
    fputs("<path class=\"line\" d=\"", report->out);
    for (unsigned i = 0; i < history->point_count; i++) {
        double excess = report_excess_at(report, i);
        if (excess == 0)
            continue;
        double y = report_y((excess - bottom) / (top - bottom));
        if (*move == 'M' && history->point_count == 1)
            fprintf(report->out, "M%.1f %.1f", REPORT_LEFT, y);
        fprintf(report->out, "%s%.1f %.1f", history->point_count == 1 ? "L" : move,
                report_x(report, (double)history->points[i].ns), y);
        move = "L";
    }
    fputs("\"/>\n", report->out);
}

static void table_of_excess(const struct report *report)
{
    const struct history *history = report->history;
    report_table(report, "held over live", "<Time|Held over live|In no live block");
    for (unsigned i = 0; i < report_row_count(history); i++) {
        unsigned point = report_row_point(history, i, report_row_count(history));
        struct snapshot_figures sum = sum_at(report, point, ALL_NODES);
        ROW(report, MOMENT(report, (double)history->points[point].ns), RATIO(sum.held, sum.live),
            BYTES(history_unused(&sum)));
    }
    report_table_end(report);
}

/* While next to nothing is live, what is held may be many times that.  So the picture goes up to
 * what was last, and half as much more, or to the most, if that is less.  A small excess is seen
 * from 1 on. */
static void span_of_excess(const struct report *report, double *bottom, double *top)
{
    double last = report->scale.excess_last * 1.5, limit = last > EXCESS_LEAST ? last : EXCESS_LEAST;
    double most = report->scale.excess < limit ? report->scale.excess : limit;
    *bottom = most < EXCESS_SMALL ? 1 : 0;
    double step = report_step(most < 1.02 ? 0.02 : most - *bottom, 4);
    *top = *bottom + step;
    while (*top <= most)
        *top += step;
}

void report_excess(const struct report *report)
{
    double bottom, top;
    char cut[2 * REPORT_TEXT] = "";
    if (report->scale.excess == 0)
        return;
    span_of_excess(report, &bottom, &top);
    if (report->scale.excess > top)
        snprintf(cut, sizeof cut, "; what is above %.3g times is cut off", top);
    report_figure(report, "",
                  "Held over live<small>1 is the least that there can be: every held byte is in a live "
                  "block%s</small>",
                  cut);
    report_svg(report, REPORT_HEIGHT, "Held over live, over time: %.2f times at the end",
               report_excess_at(report, report->history->point_count - 1));
    report_ground(report, 1);
    report_times_axis(report, bottom, top);
    draw_excess(report, bottom, top);
    report_time_axis(report);
    report_tips(report, tip_of_excess, ALL_NODES);
    fputs("</svg>\n", report->out);
    table_of_excess(report);
    report_figure_end(report);
}

/* --- live and held, of all and of each node --- */

/* From when it got full, or to other nodes' memory, to when it had room again. */
static void draw_faults(const struct report *report, unsigned node)
{
    const struct history *history = report->history;
    double since = -1;
    for (unsigned i = 0; i <= history->event_count; i++) {
        const struct history_event *event = &history->events[i];
        bool end = i == history->event_count, here = !end && event->event.node == node;
        bool full =
            here && (event->event.kind == HF_EVENT_NODE_FULL || event->event.kind == HF_EVENT_REMOTE_BEGAN);
        bool room =
            end ||
            (here && (event->event.kind == HF_EVENT_NODE_ROOM || event->event.kind == HF_EVENT_REMOTE_ENDED));
        if (full && since < 0)
            since = event->ns;
        if (!room || since < 0)
            continue;
        double until = end ? (double)report->snapshot->taken_ns : event->ns;
        double from = report_x(report, since), to = report_x(report, until);
        fprintf(report->out,
                "<rect class=\"bad\" x=\"%.1f\" y=\"%.0f\" width=\"%.1f\" height=\"8\"><title>full from %s "
                "%s %s</title></rect>"
                "<path class=\"alarm-line\" d=\"M%.1f %.0fV%.0f\"/>\n",
                from, REPORT_TOP - 12, to > from + 2 ? to - from : 2, MOMENT(report, since),
                end ? "to the end," : "to", MOMENT(report, until), from, REPORT_TOP - 12, REPORT_BOTTOM);
        since = -1;
    }
}

static bool was_full(const struct report *report, unsigned node)
{
    for (unsigned i = 0; i < report->history->event_count; i++)
        if (report->history->events[i].event.node == node &&
            report->history->events[i].event.kind == HF_EVENT_NODE_FULL)
            return true;
    return false;
}

/* Of a node what it stands on and its most; of any, where a picture does not go up to its end. */
static char *describe(const struct report *report, unsigned node, uint64_t top, char text[6 * REPORT_TEXT])
{
    uint64_t total = snapshot_figures_of_all(report->snapshot).total;
    int length = snprintf(text, 6 * REPORT_TEXT, "all nodes");
    if (node != ALL_NODES) {
        const struct hf_inspect_node *of = &report->snapshot->nodes[node];
        bool growing = (of->flags & HF_INSPECT_NODE_GROWING) != 0,
             locked = (of->flags & HF_INSPECT_NODE_LOCKED) != 0;
        length =
            snprintf(text, 6 * REPORT_TEXT, "on %s%s; most ever used %s, %s ago", report_backing(of->backing),
                     growing  ? ", growing"
                     : locked ? ", locked"
                              : "",
                     BYTES(of->high_water), NS(snapshot_age_ns(report->snapshot, of->high_water_ticks)));
        total = of->total;
    }
    if (top < total)
        snprintf(text + length, 6 * REPORT_TEXT - (size_t)length, "; the picture goes up to %s of %s",
                 BYTES(top), BYTES(total));
    return text;
}

/* Of a node, or of all, which have neither a most nor a time when they were full. */
static void draw_memory(const struct report *report, unsigned node, uint64_t top)
{
    uint64_t total = node == ALL_NODES ? snapshot_figures_of_all(report->snapshot).total
                                       : report->snapshot->nodes[node].total;
    draw_layers(report, node, top, total);
    if (node != ALL_NODES) {
        uint64_t high = report->snapshot->nodes[node].high_water;
        draw_faults(report, node);
        fprintf(report->out, "<path class=\"high\" d=\"M%.0f %.1fH%.0f\"/>\n", REPORT_LEFT,
                report_y(top == 0 ? 0 : (double)high / (double)top), REPORT_RIGHT);
    }
    report_time_axis(report);
    report_tips(report, tip_of_memory, node);
    fputs("</svg>\n", report->out);
    report_key(report);
    key_of_layers(report, node);
    if (node != ALL_NODES)
        report_key_entry(report, "high", "most ever used");
    if (node != ALL_NODES && was_full(report, node))
        report_key_entry(report, "bad", "node full");
    report_key_end(report);
    table_of_memory(report, node);
    report_figure_end(report);
}

void report_memory(const struct report *report)
{
    struct snapshot_figures now = snapshot_figures_of_all(report->snapshot);
    unsigned node = report->snapshot->node_count == 1 ? 0 : ALL_NODES;
    char text[6 * REPORT_TEXT];
    if (knows_live(report))
        report_figure(report, "", "Live and held: %s live in %s held<small>%s</small>", BYTES(now.live),
                      BYTES(now.held), describe(report, node, report->scale.memory_bytes, text));
    else
        report_figure(report, "", "Held: %s<small>%s; what of it is live is not known</small>",
                      BYTES(now.held), describe(report, node, report->scale.memory_bytes, text));
    report_svg(report, REPORT_HEIGHT, "Memory over time: %s held at the end, %s of it live", BYTES(now.held),
               knows_live(report) ? BYTES(now.live) : "an unknown part");
    draw_memory(report, node, report->scale.memory_bytes);
}

void report_use(const struct report *report)
{
    char text[6 * REPORT_TEXT];
    for (unsigned i = 0; i < report->snapshot->node_count; i++) {
        const struct hf_inspect_node *node = &report->snapshot->nodes[i];
        report_figure(report, "", "Node %u: %s of %s used<small>%s</small>", node->id, BYTES(node->used),
                      BYTES(node->total), describe(report, i, report->scale.node_bytes[i], text));
        report_svg(report, REPORT_HEIGHT, "Use of node %u over time: %s of %s now, %s at most", node->id,
                   BYTES(node->used), BYTES(node->total), BYTES(node->high_water));
        draw_memory(report, i, report->scale.node_bytes[i]);
    }
}

/* --- threads --- */

static void tip_of_threads(const struct report *report, unsigned point, unsigned node)
{
    (void)node;
    fprintf(report->out, "%s", COUNTED(report->history->points[point].in_use, "thread", "threads"));
}

static void draw_threads(const struct report *report, double top)
{
    const struct history *history = report->history;
    for (unsigned i = 0; i < history->point_count; i++) {
        double y = report_y((double)history->points[i].in_use / top),
               x = report_x(report, (double)history->points[i].ns);
        if (i == 0)
            fprintf(report->out, "<path class=\"line\" d=\"M%.1f %.1f", REPORT_LEFT, y);
        fprintf(report->out, "H%.1fV%.1f", x, y);
    }
    fputs("\"/>\n", report->out);
}

static void table_of_threads(const struct report *report)
{
    const struct history *history = report->history;
    report_table(report, "threads over time", "<Time|Threads|Failed calls so far|Slow paths so far");
    for (unsigned i = 0; i < report_row_count(history); i++) {
        const struct history_point *point =
            &history->points[report_row_point(history, i, report_row_count(history))];
        ROW(report, MOMENT(report, (double)point->ns), COUNT(point->in_use), COUNT(point->failed),
            COUNT(point->slow_calls));
    }
    report_table_end(report);
}

void report_threads(const struct report *report)
{
    uint64_t now = report->sample->sum.in_use, most = 0;
    double step = report_step((double)report->scale.threads, 4), top = step < 1 ? 1 : step;
    for (unsigned i = 0; i < report->history->point_count; i++)
        most = hfi_max(most, report->history->points[i].in_use);
    while (top <= (double)report->scale.threads)
        top += step < 1 ? 1 : step;
    report_figure(report, "",
                  "Threads over time: %s now, %s at most<small>those that have memory of the arena</small>",
                  COUNT(now), COUNT(most));
    report_svg(report, REPORT_HEIGHT, "Threads over time: %s now, %s at most", COUNT(now), COUNT(most));
    report_ground(report, 1);
    report_count_axis(report, top, "");
    draw_threads(report, top);
    report_time_axis(report);
    report_tips(report, tip_of_threads, 0);
    fputs("</svg>\n", report->out);
    table_of_threads(report);
    report_figure_end(report);
}
