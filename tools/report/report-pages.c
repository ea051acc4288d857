/*
 * report-pages: which pages threads took: from which node, and how many in a second.
 *
 * Test: tests/tool-report.sh.
 */
#include "report/report.h"

/* --- from which node; an arena of one node has no such picture --- */

static const struct {
    const char *css, *name;
} sources[HF_INSPECT_DISTANCES + 1] = {
    { "blocks", "the node wanted" }, { "away1", "nearest other node" },
    { "away2", "second nearest" },   { "away3", "third nearest" },
    { "away4", "further" },
};

static uint64_t pages_from(const struct snapshot_sum *sum, unsigned source)
{
    uint64_t taken = sample_pages_taken(sum), away = snapshot_sum_away(sum);
    return source == 0 ? taken - (away < taken ? away : taken) : sum->away[source - 1];
}

static void draw_shares(const struct report *report)
{
    const struct snapshot_sum *sum = &report->sample->sum;
    uint64_t taken = sample_pages_taken(sum), away = snapshot_sum_away(sum);
    double x = 6;
    report_svg(report, 66, "%s of pages taken came from the node wanted, %s from others",
               PERCENT(pages_from(sum, 0), taken), PERCENT(away, taken));
    fprintf(report->out, "<rect class=\"free\" x=\"6\" y=\"8\" width=\"588\" height=\"26\"/>\n");
    for (unsigned i = 0; i <= HF_INSPECT_DISTANCES && taken != 0; i++) {
        uint64_t pages = pages_from(sum, i);
        double width = 588 * ((double)pages / (double)taken);
        if (pages == 0 || width > 588)
            continue;
        width = width < 2 ? 2 : width;
        fprintf(report->out,
                "<rect class=\"%s\" x=\"%.1f\" y=\"8\" width=\"%.1f\" height=\"26\"><title>%s: %s, "
                "%s</title></rect>\n",
                sources[i].css, x, width, sources[i].name, COUNTED(pages, "page", "pages"),
                PERCENT(pages, taken));
        x += width;
    }
    fprintf(report->out,
            "<text x=\"6\" y=\"54\">%s from the node wanted</text><text class=\"e%s\" x=\"594\" y=\"54\">%s "
            "from "
            "others</text></svg>\n",
            PERCENT(pages_from(sum, 0), taken), away != 0 ? " al" : "", PERCENT(away, taken));
    report_key(report);
    for (unsigned i = 0; i <= HF_INSPECT_DISTANCES; i++)
        if (i < 2 || pages_from(sum, i) != 0)
            report_key_entry(report, sources[i].css, "%s", sources[i].name);
    report_key_end(report);
}

static void table_of_shares(const struct report *report)
{
    const struct snapshot_sum *sum = &report->sample->sum;
    uint64_t taken = sample_pages_taken(sum);
    report_table(report, "where pages came from", "<From|Pages|%");
    for (unsigned i = 0; i <= HF_INSPECT_DISTANCES; i++)
        ROW(report, sources[i].name, COUNT(pages_from(sum, i)), PERCENT(pages_from(sum, i), taken));
    for (unsigned i = 0; i < report->snapshot->node_count; i++) {
        const struct sample_place *place = &report->sample->places[i];
        char name[REPORT_TEXT];
        snprintf(name, sizeof name, "node %u, owned by threads that run elsewhere",
                 report->snapshot->nodes[i].id);
        ROW(report, name, BYTES(place->elsewhere_bytes), PERCENT(place->elsewhere_bytes, place->owned_bytes));
    }
    report_table_end(report);
}

void report_shares(const struct report *report)
{
    if (report->snapshot->node_count < 2)
        return;
    report_figure(report, "",
                  "From which node pages came<small>over the life of the arena; from another node only where "
                  "the one wanted "
                  "was full</small>");
    draw_shares(report);
    table_of_shares(report);
    report_figure_end(report);
}

/* --- rates --- */

static double away_rate(const struct history_point *from, const struct history_point *to)
{
    return report_rate(from->away, to->away, to->ns - from->ns);
}

/* Steps, from the axis and back to it. */
static void draw_steps(const struct report *report, const char *css,
                       double (*figure)(const struct history_point *, const struct history_point *),
                       double top)
{
    const struct history_point *points = report->history->points;
    fprintf(report->out, "<path class=\"%s\" d=\"M%.1f %.1f", css, REPORT_LEFT, REPORT_BOTTOM);
    for (unsigned i = 1; i < report->history->point_count; i++)
        fprintf(report->out, "V%.1fH%.1f", report_y(figure(&points[i - 1], &points[i]) / top),
                report_x(report, (double)points[i].ns));
    fprintf(report->out, "V%.1fZ\"/>\n", REPORT_BOTTOM);
}

#define RATE_COUNTED 1e15 /* a larger one is nonsense of a file */

static char *per_second(char *text, double rate)
{
    if ((rate != 0 && rate < 10) || rate > RATE_COUNTED)
        snprintf(text, REPORT_TEXT, rate < 10 ? "%.1f" : "%.3g", rate);
    else
        report_count(text, (uint64_t)(rate + 0.5));
    return text;
}
#define PER_SECOND(rate) per_second((char[REPORT_TEXT]){ 0 }, rate)

/* Of the step that ends at a point. */
static void tip_of_rates(const struct report *report, unsigned point, unsigned node)
{
    const struct history_point *to = &report->history->points[point == 0 ? 1 : point], *from = to - 1;
    uint64_t ns = to->ns - from->ns;
    (void)node;
    fprintf(report->out, "%s pages a second", PER_SECOND(report_taken_rate(from, to)));
    if (report->snapshot->node_count > 1)
        fprintf(report->out, ", %s of them from other nodes", PER_SECOND(away_rate(from, to)));
    fprintf(report->out, "; %s slow paths, %s remote frees",
            PER_SECOND(report_rate(from->slow_calls, to->slow_calls, ns)),
            PER_SECOND(report_rate(from->remote_frees, to->remote_frees, ns)));
}

static void draw_rates(const struct report *report)
{
    double step = report_step(report->scale.pages_per_s, 5), top = step;
    while (top < report->scale.pages_per_s * (1 - 1e-9))
        top += step;
    report_svg(report, REPORT_HEIGHT, "Pages taken per second over time%s",
               report->snapshot->node_count > 1 ? ", and how many of them from other nodes" : "");
    report_ground(report, 1);
    report_count_axis(report, top, "/s");
    draw_steps(report, "large", report_taken_rate, top);
    if (snapshot_sum_away(&report->sample->sum) != 0)
        draw_steps(report, "bad", away_rate, top);
    report_time_axis(report);
    report_tips(report, tip_of_rates, 0);
    fputs("</svg>\n", report->out);
    if (report->snapshot->node_count < 2)
        return;
    report_key(report);
    report_key_entry(report, "large", "all pages taken");
    report_key_entry(report, "bad", "from other nodes");
    report_key_end(report);
}

static void table_of_rates(const struct report *report)
{
    const struct history *history = report->history;
    bool nodes = report->snapshot->node_count > 1;
    report_table(report, "what threads took and freed, per second",
                 nodes ? "<Until|Pages taken|Failed calls|Remote frees|Slow paths|Pages from other nodes"
                       : "<Until|Pages taken|Failed calls|Remote frees|Slow paths");
    for (unsigned i = 1; i < report_row_count(history); i++) {
        const struct history_point *from =
            &history->points[report_row_point(history, i - 1, report_row_count(history))];
        const struct history_point *to =
            &history->points[report_row_point(history, i, report_row_count(history))];
        uint64_t ns = to->ns - from->ns;
        ROW(report, MOMENT(report, (double)to->ns), PER_SECOND(report_taken_rate(from, to)),
            PER_SECOND(report_rate(from->failed, to->failed, ns)),
            PER_SECOND(report_rate(from->remote_frees, to->remote_frees, ns)),
            PER_SECOND(report_rate(from->slow_calls, to->slow_calls, ns)),
            nodes ? PER_SECOND(away_rate(from, to)) : NULL);
    }
    report_table_end(report);
}

void report_rates(const struct report *report)
{
    if (report->history->point_count < 2)
        return;
    report_figure(report, "",
                  "Pages taken per second<small>pages of 64 KiB: idle ones claimed, fresh ones, and blocks "
                  "of whole pages%s</small>",
                  report->scale.pages_per_s > 0 ? "" : "; none in this time");
    draw_rates(report);
    table_of_rates(report);
    report_figure_end(report);
}
