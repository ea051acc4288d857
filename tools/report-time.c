/*
 * report-time: pictures with time from left to right: use of each node, use by place.
 *
 * All share one axis, from the first sample to the last; events before it stand at its left edge.
 *
 * Test: tests/tool-report.sh.
 */
#include <string.h>

#include "report.h"

#define COLUMNS 96u /* of the picture by place */
#define ROWS 24u    /* of tables over time */

double report_x(const struct report *report, double ns)
{
    const struct history *history = report->history;
    double span = (double)(report->snapshot->taken_ns - history->first_ns);
    double part = report->snapshot->taken_ns <= history->first_ns ? 1 : (ns - (double)history->first_ns) / span;
    return REPORT_LEFT + (REPORT_RIGHT - REPORT_LEFT) * (part < 0 ? 0 : part > 1 ? 1 : part);
}

double report_y(double part)
{
    return REPORT_BOTTOM - REPORT_PLOT * (part < 0 ? 0 : part > 1 ? 1 : part);
}

void report_time_axis(const struct report *report, double y)
{
    double first = (double)report->history->first_ns, span = (double)report->snapshot->taken_ns - first;
    for (unsigned i = 0; i <= 4; i++) {
        double ns = first + span * i / 4, x = report_x(report, ns);
        fprintf(report->out, "<text class=\"s %s\" x=\"%.1f\" y=\"%.1f\">%s</text>\n", i == 0 ? "" : i == 4 ? "e" : "c",
                i == 0 ? REPORT_LEFT : x, y + 16,
                MOMENT(report, ns));
        if (span <= 0)
            break;
    }
}

unsigned report_row_point(const struct history *history, unsigned row, unsigned rows)
{
    return rows < 2 ? history->point_count - 1 : row * (history->point_count - 1) / (rows - 1);
}

unsigned report_row_count(const struct history *history)
{
    return history->point_count < ROWS ? history->point_count : ROWS;
}

/* --- use of a node --- */

struct layer {
    const char *css, *name;
    double (*part)(const struct history_node *node); /* up to where it reaches, of 1 */
};

static double of_total(const struct history_node *node, uint64_t bytes)
{
    return node->total == 0 ? 0 : (double)bytes / (double)node->total;
}

static double meta_part(const struct history_node *node) { return of_total(node, node->meta); }
static double large_part(const struct history_node *node) { return of_total(node, node->meta + node->large); }
static double used_part(const struct history_node *node) { return of_total(node, node->used); }
static double blocks_part(const struct history_node *node)
{
    return of_total(node, node->used > node->idle ? node->used - node->idle : 0);
}

static const struct layer layers[] = { /* the later in front */
    { "idle", "idle: pages nobody owns, with room", used_part },
    { "blocks", "pages of blocks", blocks_part },
    { "large", "blocks of whole pages", large_part },
    { "meta", "Holdfast's own", meta_part },
};

static void draw_layer(const struct report *report, unsigned node, const struct layer *layer)
{
    const struct history *history = report->history;
    FILE *out = report->out;
    fprintf(out, "<path class=\"%s\" d=\"M%.1f %.1f", layer->css, REPORT_LEFT, REPORT_BOTTOM);
    if (history->point_count == 1)
        fprintf(out, "L%.1f %.1f", REPORT_LEFT, report_y(layer->part(&history->points[0].nodes[node])));
    for (unsigned i = 0; i < history->point_count; i++)
        fprintf(out, "L%.1f %.1f", report_x(report, (double)history->points[i].ns), report_y(layer->part(&history->points[i].nodes[node])));
    fprintf(out, "L%.1f %.1fZ\"/>\n", REPORT_RIGHT, REPORT_BOTTOM);
}

static void draw_grid(const struct report *report, uint64_t total)
{
    for (unsigned i = 0; i <= 4; i++) {
        double y = report_y(i / 4.0);
        fprintf(report->out, "<line class=\"grid\" x1=\"%.0f\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\"/>\n", REPORT_LEFT, REPORT_RIGHT, y, y);
        fprintf(report->out, "<text class=\"s e\" x=\"%.0f\" y=\"%.1f\">%s</text>\n", REPORT_LEFT - 6, y + 4, BYTES(total / 4 * i));
    }
}

/* From when it got full, or to other nodes' memory, to when it had room again. */
static void draw_faults(const struct report *report, unsigned node)
{
    const struct history *history = report->history;
    double since = -1;
    for (unsigned i = 0; i <= history->event_count; i++) {
        const struct history_event *event = &history->events[i];
        bool end = i == history->event_count, here = !end && event->event.node == node;
        bool full = here && (event->event.kind == HF_EVENT_NODE_FULL || event->event.kind == HF_EVENT_REMOTE_BEGAN);
        bool room = end || (here && (event->event.kind == HF_EVENT_NODE_ROOM || event->event.kind == HF_EVENT_REMOTE_ENDED));
        if (full && since < 0)
            since = event->ns;
        if (!room || since < 0)
            continue;
        double from = report_x(report, since), to = end ? REPORT_RIGHT : report_x(report, event->ns);
        fprintf(report->out, "<rect class=\"bad\" x=\"%.1f\" y=\"%.0f\" width=\"%.1f\" height=\"8\"><title>full from %s</title></rect>"
                "<line class=\"alarm-line\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.0f\" y2=\"%.0f\"/>\n", from, REPORT_TOP - 12,
                to > from + 2 ? to - from : 2,
                MOMENT(report, since), from, from, REPORT_TOP - 12, REPORT_BOTTOM);
        since = -1;
    }
}

static void draw_key(const struct report *report, bool full)
{
    fputs("<ul class=\"key\">", report->out);
    for (unsigned i = 0; i < sizeof layers / sizeof layers[0]; i++)
        fprintf(report->out, "<li><svg viewBox=\"0 0 10 10\" aria-hidden=\"true\"><rect class=\"%s\" width=\"10\" height=\"10\"/>"
                "</svg>%s</li>", layers[i].css,
                layers[i].name);
    fputs("<li><svg viewBox=\"0 0 10 10\" aria-hidden=\"true\"><path class=\"high\" d=\"M0 5H10\"/></svg>most ever used</li>", report->out);
    if (full)
        fputs("<li><svg viewBox=\"0 0 10 10\" aria-hidden=\"true\"><rect class=\"bad\" width=\"10\" height=\"10\"/></svg>node "
              "full</li>", report->out);
    fputs("</ul>\n", report->out);
}

static void table_of_use(const struct report *report, unsigned node)
{
    const struct history *history = report->history;
    report_table(report, "use over time", "<Time|Used|%|Idle|Large|Free|Most used");
    for (unsigned i = 0; i < report_row_count(history); i++) {
        const struct history_point *point = &history->points[report_row_point(history, i, report_row_count(history))];
        const struct history_node *of = &point->nodes[node];
        fprintf(report->out, "<tr><th scope=\"row\">%s</th><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td></tr>\n",
                MOMENT(report, (double)point->ns), BYTES(of->used), PERCENT(of->used, of->total), BYTES(of->idle),
                        BYTES(of->large), BYTES(of->free),
                BYTES(of->high_water));
    }
    report_table_end(report);
}

static bool was_full(const struct report *report, unsigned node)
{
    for (unsigned i = 0; i < report->history->event_count; i++)
        if (report->history->events[i].event.node == node && report->history->events[i].event.kind == HF_EVENT_NODE_FULL)
            return true;
    return false;
}

void report_use(const struct report *report)
{
    FILE *out = report->out;
    fputs("<section aria-labelledby=\"use\"><h2 id=\"use\">Use over time</h2>\n<div class=\"cards\">\n", out);
    for (unsigned i = 0; i < report->snapshot->node_count; i++) {
        const struct hf_inspect_node *node = &report->snapshot->nodes[i];
        double high = report_y(node->total == 0 ? 0 : (double)node->high_water / (double)node->total);
        report_figure(report, "", "Node %u: %s of %s in use, on %s pages<small>most ever %s, %s ago; asked for %s%s</small>",
                      node->id, BYTES(node->used),
                      BYTES(node->total), snapshot_backing_name(node->backing), BYTES(node->high_water),
                      NS(snapshot_age_ns(report->snapshot, node->high_water_ticks)), BYTES(node->asked),
                      (node->flags & HF_INSPECT_NODE_GROWING) != 0 ? ", growing" : (node->flags & HF_INSPECT_NODE_LOCKED) != 0 ? ", "
                              "locked" : "");
        report_svg(report, (unsigned)REPORT_BOTTOM + 24, "Use of node %u over time: %s of %s now, %s at most", node->id,
                   BYTES(node->used), BYTES(node->total),
                   BYTES(node->high_water));
        fprintf(out, "<rect class=\"free\" x=\"%.0f\" y=\"%.0f\" width=\"%.0f\" height=\"%.0f\"/>\n", REPORT_LEFT, REPORT_TOP,
                REPORT_RIGHT - REPORT_LEFT, REPORT_PLOT);
        draw_grid(report, node->total);
        for (unsigned j = 0; j < sizeof layers / sizeof layers[0]; j++)
            draw_layer(report, i, &layers[j]);
        draw_faults(report, i);
        fprintf(out, "<path class=\"high\" d=\"M%.0f %.1fH%.0f\"/>\n", REPORT_LEFT, high, REPORT_RIGHT);
        report_time_axis(report, REPORT_BOTTOM);
        fputs("</svg>\n", out);
        draw_key(report, was_full(report, i));
        table_of_use(report, i);
        report_figure_end(report);
    }
    report_bands(report);
    fputs("</div></section>\n", out);
}

/* --- by place --- */

static const char *state_css(unsigned state)
{
    static const char *const css[] = { "free", "free", "blocks", "idle", "loose", "large", "meta" };
    return css[state < SNAPSHOT_STATES ? state : HF_PAGE_FREE];
}

static void draw_column(const struct report *report, unsigned node, unsigned point, double x, double width)
{
    const uint8_t *bands = report->history->points[point].nodes[node].bands;
    double height = REPORT_PLOT / HISTORY_BANDS;
    for (unsigned i = 0, end; i < HISTORY_BANDS; i = end) {
        for (end = i + 1; end < HISTORY_BANDS && bands[end] == bands[i]; end++)
            continue;
        if (SAMPLE_CELL_SIXTEENTHS(bands[i]) != 0)
            fprintf(report->out, "<rect class=\"%s\" fill-opacity=\"%.2f\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n",
                    state_css(SAMPLE_CELL_STATE(bands[i])), 0.15 + 0.85 * SAMPLE_CELL_SIXTEENTHS(bands[i]) / 15, x,
                            REPORT_TOP + i * height, width + 0.3,
                    (end - i) * height + 0.1);
    }
}

static void draw_band_key(const struct report *report)
{
    static const struct { const char *css, *name; } keys[] = {
        { "blocks", "owned by a thread" }, { "loose", "full, of nobody" }, { "idle", "idle, with room" }, { "large", "large blocks" },
        { "meta", "Holdfast's own" }, { "free", "free" },
    };
    fputs("<ul class=\"key\">", report->out);
    for (unsigned i = 0; i < sizeof keys / sizeof keys[0]; i++)
        fprintf(report->out, "<li><svg viewBox=\"0 0 10 10\" aria-hidden=\"true\"><rect class=\"%s\" width=\"10\" height=\"10\"/>"
                "</svg>%s</li>", keys[i].css,
                keys[i].name);
    fputs("</ul>\n", report->out);
}

static unsigned eighth_percent(const uint8_t *bands, unsigned eighth)
{
    unsigned sum = 0;
    for (unsigned i = eighth * HISTORY_BANDS / 8; i < (eighth + 1) * HISTORY_BANDS / 8; i++)
        sum += SAMPLE_CELL_SIXTEENTHS(bands[i]);
    return sum * 100 / (15 * HISTORY_BANDS / 8);
}

static void table_of_bands(const struct report *report, unsigned node)
{
    const struct history *history = report->history;
    report_table(report, "share taken of each eighth of the node", "<Time|1st %|2nd %|3rd %|4th %|5th %|6th %|7th %|8th %");
    for (unsigned i = 0; i < report_row_count(history); i++) {
        const struct history_point *point = &history->points[report_row_point(history, i, report_row_count(history))];
        fprintf(report->out, "<tr><th scope=\"row\">%s</th>", MOMENT(report, (double)point->ns));
        for (unsigned j = 0; j < 8; j++)
            fprintf(report->out, "<td>%u</td>", eighth_percent(point->nodes[node].bands, j));
        fputs("</tr>\n", report->out);
    }
    report_table_end(report);
}

void report_bands(const struct report *report)
{
    const struct history *history = report->history;
    unsigned columns = history->point_count < COLUMNS ? history->point_count : COLUMNS;
    for (unsigned node = 0; node < report->snapshot->node_count; node++) {
        if (report->sample->places[node].cells == 0)
            continue;
        uint64_t total = report->snapshot->nodes[node].total;
        report_figure(report, "", "Node %u: which parts of it, over time<small>each column is the node from its lowest address (top) to its "
                      "highest; the fainter, the more of it is free</small>", report->snapshot->nodes[node].id);
        report_svg(report, (unsigned)REPORT_BOTTOM + 24, "Which parts of node %u were taken over time", report->snapshot->nodes[node].id);
        fprintf(report->out, "<rect class=\"free\" x=\"%.0f\" y=\"%.0f\" width=\"%.0f\" height=\"%.0f\"/>\n", REPORT_LEFT,
                REPORT_TOP, REPORT_RIGHT - REPORT_LEFT, REPORT_PLOT);
        for (unsigned i = 0; i < columns; i++)
            draw_column(report, node, columns < 2 ? 0 : i * (history->point_count - 1) / (columns - 1),
                    REPORT_LEFT + (REPORT_RIGHT - REPORT_LEFT) * i / columns,
                        (REPORT_RIGHT - REPORT_LEFT) / columns);
        for (unsigned i = 0; i <= 2; i++)
            fprintf(report->out, "<text class=\"s e\" x=\"%.0f\" y=\"%.1f\">%s</text>\n", REPORT_LEFT - 6,
                    REPORT_TOP + REPORT_PLOT * i / 2 + 4, BYTES(total / 2 * i));
        report_time_axis(report, REPORT_BOTTOM);
        fputs("</svg>\n", report->out);
        draw_band_key(report);
        table_of_bands(report, node);
        report_figure_end(report);
    }
}
