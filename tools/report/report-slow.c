/*
 * report-slow: how long slow paths took, and by what ways memory was found.
 *
 * Test: tests/tool-report.sh.
 */
#include <math.h>

#include "report/report.h"

#define LEFT 46.0
#define RIGHT 594.0
#define TOP 18.0
#define FLOOR 148.0
#define WARN_NS 1e6
#define BAD_NS 1e7

/* Of the logarithm: one call is seen, none is not. */
static double height_of(const struct report *report, double calls)
{
    double most = log10((double)report->scale.slow_most) + 1;
    return calls < 1 ? 0 : (FLOOR - TOP) * (log10(calls) + 1) / (most < 1 ? 1 : most);
}

static double bucket_x(const struct report *report, double bucket)
{
    return LEFT + (RIGHT - LEFT) * (bucket - report->scale.slow_first) /
                      (report->scale.slow_last - report->scale.slow_first + 1);
}

/* Powers of ten: of calls at the left, and of time below. */
static void draw_axes(const struct report *report)
{
    char text[REPORT_TEXT];
    for (double calls = 1; calls <= (double)report->scale.slow_most; calls *= 10)
        fprintf(report->out,
                "<path class=\"grid\" d=\"M%.0f %.1fH%.0f\"/><text class=\"s e\" x=\"%.0f\" "
                "y=\"%.1f\">%s</text>\n",
                LEFT, FLOOR - height_of(report, calls), RIGHT, LEFT - 6, FLOOR - height_of(report, calls) + 4,
                calls < 1e4 ? report_count(text, (uint64_t)calls) : report_short(text, calls));
    double first = log2(snapshot_ns(report->snapshot, 1) > 0 ? snapshot_ns(report->snapshot, 1) : 1);
    bool few = (report->scale.slow_last - report->scale.slow_first) < 7; /* less than two powers of ten */
    for (double ns = 1; ns < 1e13; ns *= 10)
        for (unsigned i = 0; i < (few ? 3 : 1); i++) {
            double at = ns * (double[]){ 1, 2, 5 }[i], x = bucket_x(report, log2(at) - first);
            if (x >= LEFT - 0.1 && x <= RIGHT + 0.1)
                fprintf(report->out,
                        "<path class=\"grid\" d=\"M%.1f %.0fv4\"/><text class=\"s %s\" x=\"%.1f\" "
                        "y=\"%.0f\">%s</text>\n",
                        x, FLOOR, x > RIGHT - 20 ? "e" : "c", x, FLOOR + 17, report_round_ns(text, at));
        }
}

static void draw_bars(const struct report *report)
{
    const struct snapshot_sum *sum = &report->sample->sum;
    for (unsigned i = report->scale.slow_first; i <= report->scale.slow_last; i++) {
        double ns = snapshot_ns(report->snapshot, (uint64_t)1 << i),
               height = height_of(report, (double)sum->slow[i]);
        double x = bucket_x(report, i), width = bucket_x(report, i + 1) - x;
        bool last = i + 1 == HF_INSPECT_BUCKETS;
        if (sum->slow[i] == 0)
            continue;
        fprintf(report->out,
                "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>%s %s%s: "
                "%s</title></rect>\n",
                ns >= BAD_NS    ? "bad"
                : ns >= WARN_NS ? "warn"
                                : "large",
                x + 1, FLOOR - height, width - 2, height, NS(ns), last ? "and more" : "to ",
                last ? "" : NS(2 * ns), COUNTED(sum->slow[i], "call", "calls"));
        if (width > 34)
            fprintf(report->out, "<text class=\"s c\" x=\"%.1f\" y=\"%.1f\">%s</text>\n", x + width / 2,
                    FLOOR - height - 4, report_short((char[REPORT_TEXT]){ 0 }, (double)sum->slow[i]));
    }
}

static void table_of_slow(const struct report *report, uint64_t calls)
{
    const struct snapshot_sum *sum = &report->sample->sum;
    report_table(report, "slow paths by time", "<From|To|Calls|%");
    for (unsigned i = report->scale.slow_first; i <= report->scale.slow_last && calls != 0; i++)
        ROW(report, NS(snapshot_ns(report->snapshot, (uint64_t)1 << i)),
            i + 1 == HF_INSPECT_BUCKETS ? "any" : NS(2 * snapshot_ns(report->snapshot, (uint64_t)1 << i)),
            COUNT(sum->slow[i]), PERCENT(sum->slow[i], calls));
    report_table_end(report);
}

/* By cause: what has a time is at most that. */
static void table_of_causes(const struct report *report)
{
    const struct snapshot *snapshot = report->snapshot;
    report_table(report, "slow calls by cause",
                 "<Cause|Calls|Half below|99 % below|99.9 % below|Longest|Late");
    for (unsigned i = 0; i < snapshot->cause_count; i++) {
        const struct hf_inspect_slow *slow = &snapshot->causes[i];
        if (snapshot_calls(slow->calls) != 0)
            ROW(report, snapshot_cause_name(i), COUNT(snapshot_calls(slow->calls)),
                NS(2 * snapshot_quantile(snapshot, slow->calls, 0.5)),
                NS(2 * snapshot_quantile(snapshot, slow->calls, 0.99)),
                NS(2 * snapshot_quantile(snapshot, slow->calls, 0.999)),
                NS(snapshot_ns(snapshot, slow->longest)),
                snapshot->header.slo_ns == 0 ? "-" : COUNT(slow->late));
    }
    report_table_end(report);
}

void report_latency(const struct report *report)
{
    const struct snapshot_sum *sum = &report->sample->sum;
    unsigned last = 0;
    uint64_t calls = 0;
    for (unsigned i = 0; i < HF_INSPECT_BUCKETS; i++) {
        calls += sum->slow[i];
        last = sum->slow[i] != 0 ? i : last;
    }
    if (calls == 0)
        report_figure(report, "",
                      "Slow paths: none<small>no call looked beyond its thread&#39;s own pages</small>");
    else
        report_figure(report, "",
                      "Slow paths: 99 %% took less than %s<small>%s that looked beyond %s own pages; half "
                      "took less than %s, "
                      "all less than %s; heights are logarithms</small>",
                      NS(2 * snapshot_slow_quantile(report->snapshot, sum, 0.99)),
                      COUNTED(calls, "call", "calls"), calls == 1 ? "its thread&#39;s" : "their threads&#39;",
                      NS(2 * snapshot_slow_quantile(report->snapshot, sum, 0.5)),
                      NS(2 * snapshot_ns(report->snapshot, (uint64_t)1 << last)));
    report_svg(report, (unsigned)FLOOR + 24, "Histogram of slow paths: %s, of which 99 %% took less than %s",
               COUNTED(calls, "call", "calls"), NS(2 * snapshot_slow_quantile(report->snapshot, sum, 0.99)));
    if (report->scale.slow_first <= report->scale.slow_last) {
        draw_axes(report);
        draw_bars(report);
    }
    fputs("</svg>\n", report->out);
    report_key(report);
    report_key_entry(report, "large", "less than 1 ms");
    report_key_entry(report, "warn", "1 ms and more");
    report_key_entry(report, "bad", "10 ms and more");
    report_key_end(report);
    table_of_slow(report, calls);
    table_of_causes(report);
    report_figure_end(report);
}

void report_counters(const struct report *report)
{
    const struct snapshot_sum *sum = &report->sample->sum;
    const struct {
        const char *name;
        uint64_t count;
        size_t in_theap;
    } counters[] = {
#define COUNTED_AS(name) sum->name, offsetof(struct hf_inspect_theap, name)
        { "blocks listed for the fast path", COUNTED_AS(listed) },
        { "refills from own pages", COUNTED_AS(collected) },
        { "idle pages claimed", COUNTED_AS(claimed) },
        { "fresh pages cut into blocks", COUNTED_AS(fresh) },
        { "blocks of whole pages", COUNTED_AS(large) },
        { "times blocks of an idle page were shared", COUNTED_AS(shared) },
        { "own pages claimed again", COUNTED_AS(adopted) },
        { "pages given back", COUNTED_AS(retired) },
        { "pages taken from sleeping threads", COUNTED_AS(stolen) },
        { "pages lost while asleep", COUNTED_AS(lost) },
        { "blocks freed into pages of other threads", COUNTED_AS(remote_frees) },
        { "blocks freed into unowned pages", COUNTED_AS(unowned_frees) },
        { "times the application was asked to free", COUNTED_AS(pressed) },
        { "calls that failed", COUNTED_AS(failed) },
#undef COUNTED_AS
    };
    report_figure(report, "",
                  "How memory was found<small>over the life of the arena, all threads, each as of its "
                  "last slow path</small>");
    fputs("<div class=\"scroll whole\" tabindex=\"0\" role=\"region\" "
          "aria-label=\"Counters\"><table><tbody>\n",
          report->out);
    for (unsigned i = 0; i < sizeof counters / sizeof counters[0]; i++)
        ROW(report, counters[i].name,
            snapshot_tells(report->snapshot, counters[i].in_theap) ? COUNT(counters[i].count) : "unknown");
    fputs("</tbody></table></div>\n", report->out);
    report_figure_end(report);
}
