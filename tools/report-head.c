/*
 * report-head: what a reader sees first: status, key figures, advice.
 *
 * Test: tests/tool-report.sh.
 */
#include <string.h>
#include <time.h>

#include "report.h"

void report_head(const struct report *report)
{
    FILE *out = report->out;
    const struct history *history = report->history;
    time_t seconds = (time_t)(report->sample->clock.wall_ns / 1000000000);
    char when[REPORT_TEXT] = "?";
    struct tm parts;
    uint64_t total = 0;
    for (unsigned i = 0; i < report->snapshot->node_count; i++)
        total += report->snapshot->nodes[i].total;
    if (localtime_r(&seconds, &parts) != NULL)
        strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S %Z", &parts);
    fputs("<header>\n<a class=\"skip\" href=\"#main\">To the report</a>\n<h1>Arena of ", out);
    report_text(out, report->sample->clock.name);
    fprintf(out, ", process %llu</h1>\n<p class=\"soft\">%s on %u %s, %s after it was made; ", (unsigned long long)report->snapshot->header.pid,
            BYTES(total), report->snapshot->node_count, report->snapshot->node_count == 1 ? "node" : "nodes",
                    NS(history_life_s(history) * 1e9));
    if (history->live)
        fprintf(out, "watched for %s", NS(history_span_s(history) * 1e9));
    else
        fprintf(out, "recorded over %s", NS(history_span_s(history) * 1e9));
    fprintf(out, " in %s %s until <time>", COUNT(history->samples), history->samples == 1 ? "sample" : "samples");
    report_text(out, when);
    fputs("</time></p>\n", out);
    if (history->cut != NULL)
        fputs("<p class=\"soft\">The recording was cut short: this is what it holds up to there, without the last map of pages.</p>\n", out);
    fputs("<nav aria-label=\"Sections\"><ul><li><a href=\"#advice\">Advice</a></li><li><a href=\"#use\">Use over time</a></li>"
          "<li><a href=\"#map\">Map</a></li><li><a href=\"#remote\">Remote memory</a></li><li><a href=\"#events\">Events</a></li>"
          "<li><a href=\"#classes\">Size classes</a></li><li><a href=\"#threads\">Threads</a></li><li><a href=\"#slow\">Slow paths</a></li>"
          "<li><a href=\"#settings\">Settings</a></li></ul></nav>\n", out);
}

/* --- status --- */

static unsigned advice_of(const struct report *report, enum severity severity)
{
    unsigned count = 0;
    for (unsigned i = 0; i < report->advice_count; i++)
        count += report->advice[i].severity == severity;
    return count;
}

static void list_faults(const struct report *report)
{
    FILE *out = report->out;
    for (unsigned i = 0; i < report->advice_count; i++) {
        const struct advice *advice = &report->advice[i];
        if (advice->severity != SEVERITY_FAULT)
            continue;
        fputs("<li>", out);
        if (advice->node >= 0)
            fprintf(out, "node %u: ", report->snapshot->nodes[advice->node].id);
        fprintf(out, "<b>%s</b>; ", advice->headline);
        report_text(out, advice->evidence);
        fprintf(out, " (<a href=\"#advice-%u\">what to do</a>)</li>\n", i + 1);
    }
    for (unsigned i = 0; i < report->snapshot->node_count; i++)
        if ((report->snapshot->nodes[i].flags & HF_INSPECT_NODE_FULL) != 0)
            fprintf(out, "<li>node %u is full now: what was asked for last did not fit</li>\n", report->snapshot->nodes[i].id);
}

/* "node 0: too little room", of the first fault; and how many more there are. */
static void write_headline(const struct report *report, unsigned faults)
{
    const struct advice *first = &report->advice[0]; /* faults come first */
    fputs("<p><strong>&#x2716; Fault: ", report->out);
    if (first->node >= 0)
        fprintf(report->out, "node %u: ", report->snapshot->nodes[first->node].id);
    fputs(first->headline, report->out);
    if (faults > 1)
        fprintf(report->out, ", and %u more", faults - 1);
    fputs("</strong></p>\n<ul>\n", report->out);
}

void report_status(const struct report *report)
{
    FILE *out = report->out;
    unsigned faults = advice_of(report, SEVERITY_FAULT), costs = advice_of(report, SEVERITY_COST), hints = advice_of(report, SEVERITY_HINT);
    fprintf(out, "<section class=\"status %s\" role=\"status\" aria-label=\"Status\">\n", faults != 0 ? "fault" : costs != 0 ? "cost" : "good");
    if (faults != 0) {
        write_headline(report, faults);
        list_faults(report);
        fputs("</ul>\n", out);
    } else if (costs != 0) {
        fprintf(out, "<p><strong>&#x26A0; It works, slower than it could</strong></p>\n<p>%s calls failed, %s pages came from another node; "
                "<a href=\"#advice\">%u %s</a>.</p>\n", COUNT(report->sample->sum.failed),
                COUNT(snapshot_sum_away(&report->sample->sum)), costs,
                costs == 1 ? "setting costs speed" : "settings cost speed");
    } else {
        fprintf(out, "<p><strong>&#x2714; Healthy</strong></p>\n<p>%s calls failed, %s pages came from another node, and the memory "
                "is what was asked for",
                COUNT(report->sample->sum.failed), COUNT(snapshot_sum_away(&report->sample->sum)));
        if (hints != 0)
            fprintf(out, "; <a href=\"#advice\">%u %s</a>", hints, hints == 1 ? "hint" : "hints");
        fputs(".</p>\n", out);
    }
    fputs("</section>\n", out);
}

/* --- key figures --- */

static void tile(const struct report *report, bool alarm, const char *name, const char *figure, const char *more)
{
    fprintf(report->out, "<div%s><dt>%s</dt><dd>%s</dd><dd class=\"sub\">%s</dd></div>\n", alarm ? " class=\"alarm\"" : "", name, figure, more);
}

void report_tiles(const struct report *report)
{
    const struct snapshot_sum *sum = &report->sample->sum;
    uint64_t used = 0, total = 0, idle = 0, most = 0, calls = 0, away = snapshot_sum_away(sum);
    char more[4 * REPORT_TEXT];
    for (unsigned i = 0; i < report->snapshot->node_count; i++) {
        const struct hf_inspect_node *node = &report->snapshot->nodes[i];
        used += node->used;
        total += node->total;
        idle += node->idle;
        most += node->high_water;
    }
    for (unsigned i = 0; i < HF_INSPECT_BUCKETS; i++)
        calls += sum->slow[i];
    fputs("<dl class=\"tiles\">\n", report->out);
    snprintf(more, sizeof more, "%s of %s; %s idle in it", PERCENT(used, total), BYTES(total), BYTES(idle));
    tile(report, false, "In use now", BYTES(used), more);
    snprintf(more, sizeof more, "%s of the arena", BYTES(most));
    tile(report, sample_percent(most, total) >= 95, "Most ever in use", PERCENT(most, total), more);
    snprintf(more, sizeof more, "%s reports of a full arena", COUNT(report->snapshot->header.reports));
    tile(report, sum->failed != 0, "Failed calls", COUNT(sum->failed), more);
    snprintf(more, sizeof more, "%s of %s pages taken", COUNT(away), COUNT(sample_pages_taken(sum)));
    tile(report, away != 0, "From another node", PERCENT(away, sample_pages_taken(sum)), more);
    snprintf(more, sizeof more, "of %s; 99 %% are below", COUNT(calls));
    tile(report, false, "Slow paths", calls == 0 ? "none" : NS(2 * snapshot_slow_quantile(report->snapshot, sum, 0.99)), more);
    snprintf(more, sizeof more, "holding back %s empty", BYTES(sum->kept));
    tile(report, false, "Threads", COUNT(sum->in_use), more);
    fputs("</dl>\n", report->out);
}

/* --- advice --- */

void report_advice(const struct report *report)
{
    FILE *out = report->out;
    fputs("<section aria-labelledby=\"advice\"><h2 id=\"advice\">Advice</h2>\n", out);
    if (report->advice_count == 0)
        fputs("<p>Nothing to change.</p>\n", out);
    fputs("<ul class=\"advice\">\n", out);
    for (unsigned i = 0; i < report->advice_count; i++) {
        const struct advice *advice = &report->advice[i];
        const char *severity = advice_severity_name(advice->severity);
        fprintf(out, "<li class=\"%s\" id=\"advice-%u\"><p><span class=\"sev\">%s</span> %s", severity, i + 1, severity, advice->rule);
        if (advice->node >= 0)
            fprintf(out, ", node %u", report->snapshot->nodes[advice->node].id);
        fputs(": ", out);
        report_text(out, advice->evidence);
        fputs(".</p>\n<p>Set: <code>", out);
        report_text(out, advice->setting);
        fputs("</code></p></li>\n", out);
    }
    fputs("</ul>\n</section>\n", out);
}
