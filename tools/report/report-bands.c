/*
 * report-bands: which parts of a node were taken, over time: a column per moment, lowest address at
 * its top.
 *
 * Test: tests/tool-report.sh.
 */
#include "report/report.h"
#include "show/show.h"

#define COLUMNS 96u
#define PARTS_SEEN 16u

/* Colours of the page; the words are those of every picture of an arena. */
static const struct {
    unsigned state;
    const char *css;
} keys[] = {
    { HF_PAGE_OWNED, "blocks" }, { HF_PAGE_LOOSE, "loose" }, { HF_PAGE_IDLE, "idle" },
    { HF_PAGE_LARGE, "large" },  { SNAPSHOT_HEAP, "heaps" }, { HF_PAGE_META, "meta" },
    { HF_PAGE_FREE, "free" },
};
#define KEYS (sizeof keys / sizeof keys[0])

static unsigned key_of(unsigned state)
{
    unsigned i = 0;
    while (i + 1 < KEYS && keys[i].state != state)
        i++;
    return i;
}

static void draw_column(const struct report *report, unsigned node, unsigned point, double x, double width)
{
    const uint8_t *bands = report->history->points[point].bands[node];
    double height = REPORT_PLOT / HISTORY_BANDS;
    for (unsigned i = 0, end; i < HISTORY_BANDS; i = end) {
        for (end = i + 1; end < HISTORY_BANDS && bands[end] == bands[i]; end++)
            continue;
        if (SAMPLE_CELL_SIXTEENTHS(bands[i]) != 0)
            fprintf(report->out,
                    "<rect class=\"%s\" fill-opacity=\"%.2f\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
                    "height=\"%.1f\"/>\n",
                    keys[key_of(SAMPLE_CELL_STATE(bands[i]))].css,
                    0.15 + 0.85 * SAMPLE_CELL_SIXTEENTHS(bands[i]) / 15, x, REPORT_TOP + i * height,
                    width + 0.3, (end - i) * height + 0.1);
    }
}

static unsigned eighth_percent(const uint8_t *bands, unsigned eighth)
{
    unsigned sum = 0;
    for (unsigned i = eighth * HISTORY_BANDS / 8; i < (eighth + 1) * HISTORY_BANDS / 8; i++)
        sum += SAMPLE_CELL_SIXTEENTHS(bands[i]);
    return sum * 100 / (15 * HISTORY_BANDS / 8);
}

static void tip_of_column(const struct report *report, unsigned point, unsigned node)
{
    const uint8_t *bands = report->history->points[point].bands[node];
    unsigned of_state[KEYS] = { 0 }, taken = 0;
    const char *separator = "";
    for (unsigned i = 0; i < HISTORY_BANDS; i++)
        if (SAMPLE_CELL_SIXTEENTHS(bands[i]) != 0) {
            of_state[key_of(SAMPLE_CELL_STATE(bands[i]))]++;
            taken++;
        }
    for (unsigned i = 0; i + 1 < KEYS; i++)
        if (of_state[i] != 0) {
            fprintf(report->out, "%s%u of %u parts mostly %s", separator, of_state[i], HISTORY_BANDS,
                    show_states[keys[i].state].meaning);
            separator = ", ";
        }
    if (taken == 0)
        fputs("all free", report->out);
}

static void table_of_bands(const struct report *report, unsigned node)
{
    const struct history *history = report->history;
    report_table(report, "share of each eighth of the node that is in use",
                 "<Time|1st %|2nd %|3rd %|4th %|5th %|6th %|7th %|8th %");
    for (unsigned i = 0; i < report_row_count(history); i++) {
        const struct history_point *point =
            &history->points[report_row_point(history, i, report_row_count(history))];
        fprintf(report->out, "<tr><th scope=\"row\">%s</th>", MOMENT(report, (double)point->ns));
        for (unsigned j = 0; j < 8; j++)
            fprintf(report->out, "<td>%u</td>", eighth_percent(point->bands[node], j));
        fputs("</tr>\n", report->out);
    }
    report_table_end(report);
}

/* Addresses go down the picture. */
static void draw_addresses(const struct report *report, uint64_t total)
{
    uint64_t step = report_step_bytes(total, 5);
    for (unsigned i = 0; i <= 5 && total != 0 && i * step <= total; i++)
        fprintf(report->out, "<text class=\"s e\" x=\"%.0f\" y=\"%.1f\">%s</text>\n", REPORT_LEFT - 6,
                REPORT_TOP + REPORT_PLOT * (double)(i * step) / (double)total + 4,
                i == 0 ? "0" : BYTES(i * step));
}

static void draw_columns(const struct report *report, unsigned node)
{
    const struct history *history = report->history;
    unsigned columns = history->point_count < COLUMNS ? history->point_count : COLUMNS;
    double end = history->point_count < 2
                   ? REPORT_RIGHT
                   : report_x(report, (double)history->points[history->point_count - 1].ns),
           from = REPORT_LEFT;
    for (unsigned i = 0; i < columns; i++) {
        unsigned point = report_row_point(history, i, columns),
                 next = i + 1 < columns ? report_row_point(history, i + 1, columns) : point;
        double to = i + 1 == columns ? end
                                     : (report_x(report, (double)history->points[point].ns) +
                                        report_x(report, (double)history->points[next].ns)) /
                                           2;
        draw_column(report, node, point, from, to > from ? to - from : 0);
        from = to;
    }
}

void report_bands(const struct report *report)
{
    for (unsigned node = 0; node < report->snapshot->node_count; node++) {
        uint32_t id = report->snapshot->nodes[node].id;
        if (report->sample->places[node].cells == 0 ||
            report->snapshot->nodes[node].high_water < report->snapshot->nodes[node].total / PARTS_SEEN)
            continue; /* of an arena that grows far, too little to see */
        report_figure(report, "",
                      "Node %u by place<small>each column is the node from its lowest address, at the top, "
                      "to its highest; "
                      "the fainter, the less of it is in use</small>",
                      id);
        report_svg(report, REPORT_HEIGHT, "Which parts of node %u were taken over time", id);
        report_ground(report, 1);
        draw_columns(report, node);
        draw_addresses(report, report->snapshot->nodes[node].total);
        report_time_axis(report);
        report_tips(report, tip_of_column, node);
        fputs("</svg>\n", report->out);
        report_key(report);
        for (unsigned i = 0; i < KEYS; i++)
            report_key_entry(report, keys[i].css, "%s", show_states[keys[i].state].meaning);
        report_key_end(report);
        table_of_bands(report, node);
        report_figure_end(report);
    }
}
