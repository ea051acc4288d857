/*
 * report-remote: where memory came from, and what happened when.
 *
 * Test: tests/tool-report.sh.
 */
#include "report.h"

/* --- remote memory --- */

static const char *const distance_names[HF_INSPECT_DISTANCES] = { "nearest other node", "second nearest", "third nearest", "further" };

static void draw_shares(const struct report *report)
{
    static const char *const css[HF_INSPECT_DISTANCES + 1] = { "blocks", "idle", "warn", "bad", "bad" };
    const struct snapshot_sum *sum = &report->sample->sum;
    uint64_t taken = sample_pages_taken(sum), away = snapshot_sum_away(sum);
    double x = 6;
    report_svg(report, 66, "%s of pages taken came from the node wanted, %s from others", PERCENT(taken - (away < taken ? away : taken), taken),
               PERCENT(away, taken));
    fprintf(report->out, "<rect class=\"free\" x=\"6\" y=\"8\" width=\"588\" height=\"26\"/>\n");
    for (unsigned i = 0; i <= HF_INSPECT_DISTANCES && taken != 0; i++) {
        uint64_t pages = i == 0 ? taken - (away < taken ? away : taken) : sum->away[i - 1];
        double width = 588 * ((double)pages / (double)taken);
        if (pages != 0 && width <= 588)
            fprintf(report->out, "<rect class=\"%s\" x=\"%.1f\" y=\"8\" width=\"%.1f\" height=\"26\"><title>%s: %s</title></rect>\n", css[i], x,
                    width < 2 ? 2 : width, i == 0 ? "the node wanted" : distance_names[i - 1], COUNT(pages));
        x += width < 2 && pages != 0 ? 2 : width;
    }
    fprintf(report->out, "<text x=\"6\" y=\"54\">%s from the node wanted</text><text class=\"e%s\" x=\"594\" y=\"54\">%s from "
            "others</text></svg>\n",
            PERCENT(taken - (away < taken ? away : taken), taken), away != 0 ? " al" : "", PERCENT(away, taken));
}

static void table_of_shares(const struct report *report)
{
    const struct snapshot_sum *sum = &report->sample->sum;
    uint64_t taken = sample_pages_taken(sum), away = snapshot_sum_away(sum);
    report_table(report, "where pages came from", "<From|Pages|%");
    fprintf(report->out, "<tr><th scope=\"row\">the node wanted</th><td>%s</td><td>%s</td></tr>\n",
            COUNT(taken - (away < taken ? away : taken)),
            PERCENT(taken - (away < taken ? away : taken), taken));
    for (unsigned i = 0; i < HF_INSPECT_DISTANCES; i++)
        fprintf(report->out, "<tr><th scope=\"row\">%s</th><td>%s</td><td>%s</td></tr>\n", distance_names[i], COUNT(sum->away[i]),
                PERCENT(sum->away[i], taken));
    for (unsigned i = 0; i < report->snapshot->node_count && report->snapshot->node_count > 1; i++)
        fprintf(report->out, "<tr><th scope=\"row\">node %u, owned by threads that run elsewhere</th><td>%s</td><td>%s</td></tr>\n",
                report->snapshot->nodes[i].id, BYTES(report->sample->places[i].elsewhere_bytes),
                PERCENT(report->sample->places[i].elsewhere_bytes, report->sample->places[i].owned_bytes));
    report_table_end(report);
}

/* Rate of a total between two points, per second. */
static double rate(uint64_t before, uint64_t after, uint64_t ns)
{
    return ns == 0 || after < before ? 0 : (double)(after - before) / ((double)ns / 1e9);
}

static double taken_rate(const struct history_point *from, const struct history_point *to)
{
    return rate(from->taken, to->taken, to->ns - from->ns);
}

static double away_rate(const struct history_point *from, const struct history_point *to)
{
    return rate(from->away, to->away, to->ns - from->ns);
}

/* Steps, from the axis and back to it. */
static void draw_steps(const struct report *report, const char *css, double (*figure)(const struct history_point *,
        const struct history_point *), double most)
{
    const struct history_point *points = report->history->points;
    fprintf(report->out, "<path class=\"%s\" d=\"M%.1f %.1f", css, REPORT_LEFT, REPORT_BOTTOM);
    for (unsigned i = 1; i < report->history->point_count; i++)
        fprintf(report->out, "V%.1fH%.1f", report_y(most == 0 ? 0 : figure(&points[i - 1], &points[i]) / most), report_x(report,
                (double)points[i].ns));
    fprintf(report->out, "V%.1fZ\"/>\n", REPORT_BOTTOM);
}

static void draw_rates(const struct report *report)
{
    const struct history *history = report->history;
    double most = 0;
    for (unsigned i = 1; i < history->point_count; i++) {
        double now = taken_rate(&history->points[i - 1], &history->points[i]);
        most = now > most ? now : most;
    }
    report_svg(report, (unsigned)REPORT_BOTTOM + 24, "Pages taken per second over time, %.0f at most, and how many of them from "
               "other nodes", most);
    for (unsigned i = 0; i <= 2; i++)
        fprintf(report->out, "<line class=\"grid\" x1=\"%.0f\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\"/><text class=\"s e\" x=\"%.0f\" "
                "y=\"%.1f\">%.0f</text>\n", REPORT_LEFT,
                REPORT_RIGHT, report_y(i / 2.0), report_y(i / 2.0), REPORT_LEFT - 6, report_y(i / 2.0) + 4, most * i / 2);
    draw_steps(report, "large", taken_rate, most);
    if (snapshot_sum_away(&report->sample->sum) != 0)
        draw_steps(report, "bad", away_rate, most);
    report_time_axis(report, REPORT_BOTTOM);
    fputs("</svg>\n<ul class=\"key\"><li><svg viewBox=\"0 0 10 10\" aria-hidden=\"true\"><rect class=\"large\" width=\"10\" "
          "height=\"10\"/></svg>all pages taken</li>"
          "<li><svg viewBox=\"0 0 10 10\" aria-hidden=\"true\"><rect class=\"bad\" width=\"10\" height=\"10\"/></svg>from other "
          "nodes</li></ul>\n", report->out);
}

static void table_of_rates(const struct report *report)
{
    const struct history *history = report->history;
    report_table(report, "what threads took and freed, per second", "<Until|Pages taken|From other nodes|Failed calls|Remote frees|Slow paths");
    for (unsigned i = 1; i < report_row_count(history); i++) {
        const struct history_point *from = &history->points[report_row_point(history, i - 1, report_row_count(history))];
        const struct history_point *to = &history->points[report_row_point(history, i, report_row_count(history))];
        uint64_t ns = to->ns - from->ns;
        fprintf(report->out, "<tr><th scope=\"row\">%s</th><td>%.1f</td><td>%.1f</td><td>%.1f</td><td>%.1f</td><td>%.1f</td></tr>\n",
                MOMENT(report, (double)to->ns), rate(from->taken, to->taken, ns), rate(from->away, to->away, ns),
                        rate(from->failed, to->failed, ns),
                rate(from->remote_frees, to->remote_frees, ns), rate(from->slow_calls, to->slow_calls, ns));
    }
    report_table_end(report);
}

void report_remote(const struct report *report)
{
    const struct snapshot_sum *sum = &report->sample->sum;
    fputs("<section aria-labelledby=\"remote\"><h2 id=\"remote\">Remote memory</h2>\n<div class=\"cards\">\n", report->out);
    report_figure(report, "", "Where pages came from<small>over the life of the arena; from another node only where the one wanted "
                  "was full</small>");
    draw_shares(report);
    fprintf(report->out, "<p>Blocks freed into pages of other threads: %s.</p>\n", COUNT(sum->remote_frees));
    table_of_shares(report);
    report_figure_end(report);
    if (report->history->point_count > 1) {
        report_figure(report, "", "Pages taken per second<small>idle ones claimed, fresh ones, and blocks of whole pages</small>");
        draw_rates(report);
        table_of_rates(report);
        report_figure_end(report);
    }
    fputs("</div></section>\n", report->out);
}

/* --- events --- */

static bool is_alarm(uint32_t kind)
{
    return kind == HF_EVENT_NODE_FULL || kind == HF_EVENT_REMOTE_BEGAN || kind == HF_EVENT_REPORT || kind == HF_EVENT_REGISTER_REFUSED;
}

static void draw_lanes(const struct report *report)
{
    const struct history *history = report->history;
    unsigned lanes = 0;
    for (uint32_t kind = 1; kind <= HF_EVENT_REGISTER_REFUSED; kind++) {
        unsigned count = 0;
        double y = 12 + 24.0 * lanes;
        for (unsigned i = 0; i < history->event_count; i++)
            if (history->events[i].event.kind == kind) {
                double x = report_x(report, history->events[i].ns);
                fprintf(report->out, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"5\"><title>%s, node %u</title></circle>\n",
                        is_alarm(kind) ? "bad" : "large", 240 + (x - REPORT_LEFT) / (REPORT_RIGHT - REPORT_LEFT) * 345, y,
                                MOMENT(report, history->events[i].ns),
                        history->events[i].event.node);
                count++;
            }
        if (count == 0)
            continue;
        fprintf(report->out, "<text class=\"e%s\" x=\"228\" y=\"%.1f\">%s (%u)</text><line class=\"grid\" x1=\"235\" x2=\"590\" "
                "y1=\"%.1f\" y2=\"%.1f\"/>\n",
                is_alarm(kind) ? " al" : "", y + 4, snapshot_event_name(kind), count, y + 12, y + 12);
        lanes++;
    }
}

static unsigned lane_count(const struct history *history)
{
    uint32_t seen = 0;
    unsigned lanes = 0;
    for (unsigned i = 0; i < history->event_count; i++)
        if (history->events[i].event.kind <= HF_EVENT_REGISTER_REFUSED)
            seen |= 1u << history->events[i].event.kind;
    for (seen &= ~1u; seen != 0; seen &= seen - 1)
        lanes++;
    return lanes;
}

void report_events(const struct report *report)
{
    const struct history *history = report->history;
    unsigned height = lane_count(history) * 24 + 24;
    fputs("<section aria-labelledby=\"events\"><h2 id=\"events\">Events</h2>\n<div class=\"cards\">\n", report->out);
    report_figure(report, "wide", "What happened<small>%u events%s; those before the first sample stand at the left edge</small>",
                  history->event_count,
                  history->events_missed != 0 ? ", earlier ones were overwritten" : "");
    report_svg(report, height, "%u events on the axis of time", history->event_count);
    draw_lanes(report);
    fprintf(report->out, "<text class=\"s\" x=\"235\" y=\"%u\">%s</text><text class=\"s e\" x=\"590\" y=\"%u\">%s</text></svg>\n", height - 6,
            MOMENT(report, (double)history->first_ns), height - 6, MOMENT(report, (double)report->snapshot->taken_ns));
    report_table(report, "events", "<Time|<Event|Node|Thread|a|b");
    for (unsigned i = history->event_count; i-- != 0;) {
        const struct hf_inspect_event *event = &history->events[i].event;
        fprintf(report->out, "<tr><th scope=\"row\">%s</th><td class=\"t\">%s</td><td>%u</td><td>%llu</td><td>%s</td><td>%s</td></tr>\n",
                MOMENT(report, history->events[i].ns), snapshot_event_name(event->kind), event->node,
                        (unsigned long long)event->tid, COUNT(event->a),
                COUNT(event->b));
    }
    report_table_end(report);
    report_figure_end(report);
    fputs("</div></section>\n", report->out);
}
