/*
 * report-events: what happened when: a line for each kind of event, a dot for each event.
 *
 * Test: tests/tool-report.sh.
 */
#include "report/report.h"
#include "show/show.h"

#define LEFT 240.0
#define LANE 24.0

static bool is_alarm(uint32_t kind)
{
    return kind == HF_EVENT_NODE_FULL || kind == HF_EVENT_REMOTE_BEGAN || kind == HF_EVENT_REPORT ||
           kind == HF_EVENT_REGISTER_REFUSED || kind == HF_EVENT_LATE || kind == HF_EVENT_RESERVE ||
           kind == HF_EVENT_FROZEN;
}

static double event_x(const struct report *report, double ns)
{
    return LEFT + (report_x(report, ns) - REPORT_LEFT) / (REPORT_RIGHT - REPORT_LEFT) * (REPORT_RIGHT - LEFT);
}

/* What the segment says is another's word: a node that is none has no number. */
static void write_node(const struct report *report, uint32_t index, const char *before)
{
    if (index < report->snapshot->node_count)
        fprintf(report->out, "%s%u", before, report->snapshot->nodes[index].id);
}

static void draw_event(const struct report *report, const struct history_event *event, double y)
{
    char text[160];
    fprintf(report->out, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"5\"><title>%s: ",
            is_alarm(event->event.kind) ? "bad" : "large", event_x(report, event->ns), y,
            MOMENT(report, event->ns));
    report_text(report->out, show_event(text, sizeof text, report->snapshot, &event->event));
    write_node(report, event->event.node, "; node ");
    fputs("</title></circle>\n", report->out);
}

static unsigned draw_lanes(const struct report *report)
{
    const struct history *history = report->history;
    unsigned lanes = 0;
    for (uint32_t kind = 1; kind <= HF_EVENT_FROZEN; kind++) {
        unsigned count = 0;
        double y = 12 + LANE * lanes;
        for (unsigned i = 0; i < history->event_count; i++)
            count += history->events[i].event.kind == kind;
        if (count == 0)
            continue;
        fprintf(report->out,
                "<text class=\"e%s\" x=\"%.0f\" y=\"%.1f\">%s (%u)</text><path class=\"grid\" d=\"M%.0f "
                "%.1fH%.0f\"/>\n",
                is_alarm(kind) ? " al" : "", LEFT - 12, y + 4, snapshot_event_name(kind), count, LEFT, y,
                REPORT_RIGHT);
        for (unsigned i = 0; i < history->event_count; i++)
            if (history->events[i].event.kind == kind)
                draw_event(report, &history->events[i], y);
        lanes++;
    }
    return lanes;
}

static unsigned lane_count(const struct history *history)
{
    uint32_t seen = 0;
    unsigned lanes = 0;
    for (unsigned i = 0; i < history->event_count; i++)
        if (history->events[i].event.kind <= HF_EVENT_FROZEN)
            seen |= 1u << history->events[i].event.kind;
    for (seen &= ~1u; seen != 0; seen &= seen - 1)
        lanes++;
    return lanes;
}

static void table_of_events(const struct report *report)
{
    const struct history *history = report->history;
    bool nodes = report->snapshot->node_count > 1;
    char text[160];
    report_table(report, "events, the latest first",
                 nodes ? "<Time|<What happened|Node|Thread" : "<Time|<What happened|Thread");
    for (unsigned i = history->event_count; i-- != 0;) {
        const struct hf_inspect_event *event = &history->events[i].event;
        fprintf(report->out, "<tr><th scope=\"row\">%s</th><td class=\"t\">",
                MOMENT(report, history->events[i].ns));
        report_text(report->out, show_event(text, sizeof text, report->snapshot, event));
        fputs("</td>", report->out);
        if (nodes) {
            write_node(report, event->node, "<td>");
            fputs(event->node < report->snapshot->node_count ? "</td>" : "<td></td>", report->out);
        }
        fprintf(report->out, "<td>%llu</td></tr>\n", (unsigned long long)event->tid);
    }
    report_table_end(report);
}

void report_events(const struct report *report)
{
    const struct history *history = report->history;
    unsigned lanes = lane_count(history);
    bool earlier = history->event_count != 0 && history->events[0].ns < (double)history->first_ns;
    report_figure(report, "", "What happened<small>%s%s%s</small>",
                  COUNTED(history->event_count, "event", "events"),
                  history->events_missed != 0 ? ", earlier ones were overwritten" : "",
                  earlier ? "; those before the first sample stand at the left edge" : "");
    report_svg(report, (unsigned)(lanes * LANE) + 26, "%s on the axis of time",
               COUNTED(history->event_count, "event", "events"));
    draw_lanes(report);
    report_time_axis_at(report, LEFT, REPORT_RIGHT, lanes * LANE + 2);
    fputs("</svg>\n", report->out);
    table_of_events(report);
    report_figure_end(report);
}
