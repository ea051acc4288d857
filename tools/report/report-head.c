/*
 * report-head: what a reader sees first: what it is about, status, key figures, advice.
 *
 * Test: tests/tool-report.sh.
 */
#include <string.h>
#include <time.h>

#include "report/report.h"
#include "show/show.h"

static void write_when(const struct report *report)
{
    time_t seconds = (time_t)(report->sample->clock.wall_ns / 1000000000);
    char when[REPORT_TEXT] = "?";
    struct tm parts;
    if (localtime_r(&seconds, &parts) != NULL)
        strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S %Z", &parts);
    fputs("<time>", report->out);
    report_text(report->out, when);
    fputs("</time>", report->out);
}

void report_origin(const struct report *report)
{
    FILE *out = report->out;
    const struct history *history = report->history;
    const struct sample_origin *origin = &report->sample->origin;
    fprintf(out, "<p class=\"soft\">%s on %s, %s old; ",
            BYTES(snapshot_figures_of_all(report->snapshot).total),
            COUNTED(report->snapshot->node_count, "node", "nodes"), NS(history_life_s(history) * 1e9));
    if (history->samples == 1)
        fputs("one look at ", out);
    else
        fprintf(out, "%s %s, in %s, until ", history->live ? "watched for" : "recorded over",
                NS(history_span_s(history) * 1e9), COUNTED(history->samples, "sample", "samples"));
    write_when(report);
    if (origin->ended != 0)
        fputs("; <strong>the process has ended</strong>", out);
    if (origin->host[0] != 0) {
        fputs(".<br>Host ", out);
        report_text(out, origin->host);
        fputs(", ", out);
        report_text(out, origin->kernel);
    }
    fputs(".", out);
    if (origin->command[0] != 0 && !report->without_command) {
        fputs("<br>Command line: <code>", out);
        report_text(out, origin->command);
        fputs("</code>", out);
    }
    fputs("</p>\n", out);
    if (history->cut != NULL)
        fputs("<p class=\"soft\">The recording was cut short: this is what it holds up to there, without the "
              "last map of pages.</p>\n",
              out);
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
        fprintf(out, " (<a href=\"#advice-%s%u\">what to do</a>)</li>\n",
                report->side == NULL ? "" : report->side, i + 1);
    }
    for (unsigned i = 0; i < report->snapshot->node_count; i++)
        if ((report->snapshot->nodes[i].flags & HF_INSPECT_NODE_FULL) != 0)
            fprintf(out, "<li>node %u is full now: what was asked for last did not fit</li>\n",
                    report->snapshot->nodes[i].id);
}

/* "node 0: too little room", of the first fault; and how many more there are. */
static void write_headline(const struct report *report, unsigned faults)
{
    const struct advice *first = &report->advice[0]; /* faults come first */
    fputs("<p><strong>", report->out);
    report_letter(report);
    fputs("&#x2716; Fault: ", report->out);
    if (first->node >= 0)
        fprintf(report->out, "node %u: ", report->snapshot->nodes[first->node].id);
    fputs(first->headline, report->out);
    if (faults > 1)
        fprintf(report->out, ", and %u more", faults - 1);
    fputs("</strong></p>\n<ul>\n", report->out);
}

/* "0 calls failed, 3 pages came from another node": the latter where there is another. */
static void write_counts(const struct report *report)
{
    uint64_t away = snapshot_sum_away(&report->sample->sum);
    fprintf(report->out, "%s failed", COUNTED(report->sample->sum.failed, "call", "calls"));
    if (report->snapshot->node_count > 1)
        fprintf(report->out, ", %s came from another node", COUNTED(away, "page", "pages"));
}

void report_status(const struct report *report)
{
    FILE *out = report->out;
    unsigned faults = advice_of(report, SEVERITY_FAULT), costs = advice_of(report, SEVERITY_COST),
             hints = advice_of(report, SEVERITY_HINT);
    fprintf(out, "<section class=\"status %s\" role=\"status\" aria-label=\"%s%sStatus\">\n",
            faults != 0  ? "fault"
            : costs != 0 ? "cost"
                         : "good",
            report->side == NULL ? "" : report->side, report->side == NULL ? "" : ": ");
    if (faults != 0) {
        write_headline(report, faults);
        list_faults(report);
        fputs("</ul>\n", out);
    } else if (costs != 0) {
        fputs("<p><strong>", out);
        report_letter(report);
        fputs("&#x26A0; It works, slower than it could</strong></p>\n<p>", out);
        write_counts(report);
        fprintf(out, "; <a href=\"#advice\">%s</a>.</p>\n",
                COUNTED(costs, "setting costs speed", "settings cost speed"));
    } else {
        fputs("<p><strong>", out);
        report_letter(report);
        fputs("&#x2714; Healthy</strong></p>\n<p>", out);
        write_counts(report);
        fputs(", and the memory is what was asked for", out);
        if (hints != 0)
            fprintf(out, "; <a href=\"#advice\">%s</a>", COUNTED(hints, "hint", "hints"));
        fputs(".</p>\n", out);
    }
    fputs("</section>\n", out);
}

/* --- key figures --- */

static void tile(const struct report *report, bool alarm, const char *name, const char *figure,
                 const char *more)
{
    fprintf(report->out, "<div%s><dt>", alarm ? " class=\"alarm\"" : "");
    report_letter(report);
    fprintf(report->out, "%s</dt><dd>%s</dd><dd class=\"sub\">%s</dd></div>\n", name, figure, more);
}

/* How well live bytes are known, for a reader who wonders. */
static const char *live_word(const struct report *report)
{
    return snapshot_live_is_exact(&report->sample->snapshot)
             ? "counted in the process"
             : "at most: blocks that other threads had freed before the fork count as live";
}

static void tiles_of_live(const struct report *report, const struct snapshot_figures *sum)
{
    char more[4 * REPORT_TEXT];
    if (!snapshot_live_is_known(&report->sample->snapshot)) {
        tile(report, false, "Held over live", "unknown", "what is live is not known");
        tile(report, false, "Live", "unknown", show_live_limits(&report->sample->snapshot));
        return;
    }
    snprintf(more, sizeof more, "%s held for %s live", BYTES(sum->held), BYTES(sum->live));
    tile(report, false, "Held over live", RATIO(sum->held, sum->live), more);
    snprintf(more, sizeof more, "in blocks that the program has, %s", live_word(report));
    tile(report, false, "Live", BYTES(sum->live), more);
}

static void tiles_of_memory(const struct report *report)
{
    struct snapshot_figures sum = snapshot_figures_of_all(report->snapshot);
    char more[4 * REPORT_TEXT];
    tiles_of_live(report, &sum);
    snprintf(more, sizeof more, "%s of %s; %s in no live block", PERCENT(sum.held, sum.total),
             BYTES(sum.total), BYTES(history_unused(&sum)));
    if (!snapshot_live_is_known(&report->sample->snapshot))
        snprintf(more, sizeof more, "%s of %s", PERCENT(sum.held, sum.total), BYTES(sum.total));
    tile(report, false, "Held", BYTES(sum.held), more);
    snprintf(more, sizeof more, "%s of the arena, with %s of own structures", BYTES(sum.high_water),
             BYTES(sum.meta));
    tile(report, sample_percent(sum.high_water, sum.total) >= 95, "Most ever used",
         PERCENT(sum.high_water, sum.total), more);
}

void report_tiles(const struct report *report)
{
    const struct snapshot_sum *sum = &report->sample->sum;
    uint64_t calls = 0, away = snapshot_sum_away(sum);
    char more[4 * REPORT_TEXT];
    for (unsigned i = 0; i < HF_INSPECT_BUCKETS; i++)
        calls += sum->slow[i];
    fputs("<dl class=\"tiles\">\n", report->out);
    tiles_of_memory(report);
    snprintf(more, sizeof more, "%s of a full arena",
             COUNTED(report->snapshot->header.reports, "report", "reports"));
    tile(report, sum->failed != 0, "Failed calls", COUNT(sum->failed), more);
    if (report->snapshot->node_count > 1) {
        snprintf(more, sizeof more, "%s of %s taken", COUNT(away),
                 COUNTED(sample_pages_taken(sum), "page", "pages"));
        tile(report, away != 0, "From another node", PERCENT(away, sample_pages_taken(sum)), more);
    }
    snprintf(more, sizeof more, "99 %% of %s took less", COUNTED(calls, "call", "calls"));
    tile(report, false, "Slow paths",
         calls == 0 ? "none" : NS(2 * snapshot_slow_quantile(report->snapshot, sum, 0.99)),
         calls == 0 ? "no call looked beyond its own pages" : more);
    snprintf(more, sizeof more, "keeping %s empty", BYTES(sum->kept));
    tile(report, false, "Threads", COUNT(sum->in_use), more);
    fputs("</dl>\n", report->out);
}

/* --- advice --- */

void report_advice(const struct report *report)
{
    FILE *out = report->out;
    const char *side = report->side == NULL ? "" : report->side;
    if (report->advice_count == 0)
        fputs("<p>Nothing to change.</p>\n", out);
    else
        fputs("<ul class=\"advice\">\n", out);
    for (unsigned i = 0; i < report->advice_count; i++) {
        const struct advice *advice = &report->advice[i];
        const char *severity = advice_severity_name(advice->severity);
        fprintf(out, "<li class=\"%s\" id=\"advice-%s%u\"><p><span class=\"sev\">%s</span> %s", severity,
                side, i + 1, severity, advice->rule);
        if (advice->node >= 0)
            fprintf(out, ", node %u", report->snapshot->nodes[advice->node].id);
        fputs(": ", out);
        report_text(out, advice->evidence);
        fputs(".</p>\n<p>Set: <code>", out);
        report_text(out, advice->setting);
        fputs("</code></p></li>\n", out);
    }
    if (report->advice_count != 0)
        fputs("</ul>\n", out);
}
