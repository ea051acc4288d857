/*
 * report-pair: what differs between two arenas: figures, and settings.
 *
 * Test: tests/tool-report.sh.
 */
#include <math.h>
#include <string.h>

#include "report/report-settings.h"
#include "report/report.h"

enum form { FORM_BYTES, FORM_COUNT, FORM_RATIO, FORM_PERCENT, FORM_NS, FORM_RATE };

struct figure {
    const char *name;
    enum form form;
    double (*of)(const struct report *report); /* NAN: there is none */
};

static double over(double of, double whole)
{
    return whole <= 0 ? NAN : of / whole;
}

static double held_over_live(const struct report *report)
{
    struct snapshot_figures sum = snapshot_figures_of_all(report->snapshot);
    return !snapshot_live_is_known(report->snapshot) ? NAN : over((double)sum.held, (double)sum.live);
}

static double live(const struct report *report)
{
    return !snapshot_live_is_known(report->snapshot) ? NAN
                                                     : (double)snapshot_figures_of_all(report->snapshot).live;
}

static double held(const struct report *report)
{
    return (double)snapshot_figures_of_all(report->snapshot).held;
}
static double most(const struct report *report)
{
    return (double)snapshot_figures_of_all(report->snapshot).high_water;
}
static double arena(const struct report *report)
{
    return (double)snapshot_figures_of_all(report->snapshot).total;
}
static double failed(const struct report *report)
{
    return (double)report->sample->sum.failed;
}
/* Where heaps were ever made. */
static double heaps_held(const struct report *report)
{
    const struct snapshot_heaps *sum = &report->snapshot->heap_sum;
    return sum->made == 0 ? NAN : (double)sum->held;
}
static double heap_failures(const struct report *report)
{
    const struct snapshot_heaps *sum = &report->snapshot->heap_sum;
    return sum->made == 0 ? NAN : (double)sum->failures;
}
static double threads(const struct report *report)
{
    return (double)report->sample->sum.in_use;
}
static double forks(const struct report *report)
{
    return (double)report->snapshot->header.forks;
}
static double away(const struct report *report)
{
    return report->snapshot->node_count < 2 ? NAN
                                            : 100 * over((double)snapshot_sum_away(&report->sample->sum),
                                                         (double)sample_pages_taken(&report->sample->sum));
}

/* Over the time that is known of; a single look knows none. */
static double rate_of(const struct report *report, uint64_t first, uint64_t last)
{
    return last < first ? NAN : over((double)(last - first), history_span_s(report->history));
}

static double pages_rate(const struct report *report)
{
    return rate_of(report, report->history->points[0].taken, sample_pages_taken(&report->sample->sum));
}

static double slow_calls(const struct report *report)
{
    uint64_t calls = 0;
    for (unsigned i = 0; i < HF_INSPECT_BUCKETS; i++)
        calls += report->sample->sum.slow[i];
    return (double)calls;
}

static double slow_rate(const struct report *report)
{
    return rate_of(report, report->history->points[0].slow_calls, (uint64_t)slow_calls(report));
}

static double slow_most(const struct report *report)
{
    return slow_calls(report) == 0 ? NAN
                                   : 2 * snapshot_slow_quantile(report->snapshot, &report->sample->sum, 0.99);
}

static double remote_rate(const struct report *report)
{
    return rate_of(report, report->history->points[0].remote_frees, report->sample->sum.remote_frees);
}

static const struct figure figures[] = {
    { "Held over live", FORM_RATIO, held_over_live },
    { "Live", FORM_BYTES, live },
    { "Held", FORM_BYTES, held },
    { "Most ever used", FORM_BYTES, most },
    { "Arena", FORM_BYTES, arena },
    { "Failed calls", FORM_COUNT, failed },
    { "Pages from another node", FORM_PERCENT, away },
    { "Pages taken", FORM_RATE, pages_rate },
    { "Slow paths", FORM_RATE, slow_rate },
    { "Slow paths: 99 % below", FORM_NS, slow_most },
    { "Remote frees", FORM_RATE, remote_rate },
    { "Held by heaps", FORM_BYTES, heaps_held },
    { "Calls over limits of heaps", FORM_COUNT, heap_failures },
    { "Threads", FORM_COUNT, threads },
    { "Forks", FORM_COUNT, forks },
};

/* What a file says may be nonsense, and larger than there are numbers. */
static uint64_t whole(double value)
{
    return value < 0x1p63 ? (uint64_t)value : INT64_MAX;
}

static char *figure_text(char *text, enum form form, double value)
{
    if (!isfinite(value))
        return strcpy(text, "&#8211;");
    switch (form) {
    case FORM_BYTES: return report_bytes(text, whole(value));
    case FORM_COUNT: return report_count(text, whole(value));
    case FORM_RATIO: snprintf(text, REPORT_TEXT, "%.2f times", value); return text;
    case FORM_PERCENT: snprintf(text, REPORT_TEXT, "%.1f %%", value); return text;
    case FORM_NS: return report_ns(text, value);
    case FORM_RATE:
        snprintf(text, REPORT_TEXT, value != 0 && value < 10 ? "%.1f/s" : "%.0f/s", value);
        return text;
    }
    return text;
}

/* "+12 %", "3.4 times", "the same". */
static char *change_text(char *text, double a, double b)
{
    if (!isfinite(a) || !isfinite(b))
        return strcpy(text, "&#8211;");
    double change = a == 0 ? 0 : 100 * (b - a) / a;
    if (a == b)
        strcpy(text, "the same");
    else if (a == 0)
        strcpy(text, "B alone");
    else if (b == 0)
        strcpy(text, "A alone");
    else if (fabs(change) < 0.05)
        strcpy(text, "nearly the same");
    else if (b >= 2 * a)
        snprintf(text, REPORT_TEXT, b < 10 * a ? "%.1f times" : "%.0f times", b / a);
    else
        snprintf(text, REPORT_TEXT, fabs(change) < 9.95 ? "%+.1f %%" : "%+.0f %%", change);
    return text;
}

static void table_of_figures(const struct report *report, const struct report *other)
{
    FILE *out = report->out;
    fputs("<figure>\n<figcaption>In numbers<small>at the last sample; rates over the time that was recorded "
          "or watched</small></figcaption>\n"
          "<div class=\"scroll whole\" tabindex=\"0\" role=\"region\" aria-label=\"Differences in "
          "numbers\"><table>\n<thead><tr><th scope=\"col\" class=\"t\">"
          "Figure</th><th scope=\"col\">A</th><th scope=\"col\">B</th><th scope=\"col\">B against "
          "A</th></tr></thead>\n<tbody>\n",
          out);
    for (unsigned i = 0; i < sizeof figures / sizeof figures[0]; i++) {
        double a = figures[i].of(report), b = figures[i].of(other);
        char one[REPORT_TEXT], two[REPORT_TEXT], change[REPORT_TEXT];
        if (!isfinite(a) && !isfinite(b))
            continue;
        ROW(report, figures[i].name, figure_text(one, figures[i].form, a),
            figure_text(two, figures[i].form, b), change_text(change, a, b));
    }
    fputs("</tbody></table></div>\n</figure>\n", out);
}

/* --- settings --- */

static const struct report_setting *find(const struct report_setting *settings, unsigned count,
                                         const char *name)
{
    for (unsigned i = 0; i < count; i++)
        if (strcmp(settings[i].name, name) == 0)
            return &settings[i];
    return NULL;
}

static bool differs(const struct report_setting *setting, const struct report_setting *twin)
{
    return setting->kind != SETTING_MOMENT && (twin == NULL || strcmp(setting->value, twin->value) != 0);
}

static void settings_row(FILE *out, const char *name, const struct report_setting *a,
                         const struct report_setting *b)
{
    fprintf(out, "<tr><th scope=\"row\">%s</th><td class=\"t\">", name);
    report_text(out, a == NULL ? "-" : a->value);
    fputs("</td><td class=\"t\">", out);
    report_text(out, b == NULL ? "-" : b->value);
    fputs("</td></tr>\n", out);
}

static void table_of_settings(const struct report *report, const struct report *other)
{
    static struct report_setting one[REPORT_SETTINGS_MAX], two[REPORT_SETTINGS_MAX];
    unsigned count = report_settings_list(report, one), others = report_settings_list(other, two), differ = 0;
    const char *separator = "";
    FILE *out = report->out;
    fputs("<figure>\n<figcaption>In settings, and where they ran</figcaption>\n"
          "<div class=\"scroll whole\" tabindex=\"0\" role=\"region\" aria-label=\"Differences in "
          "settings\"><table class=\"wrap\">\n<thead><tr>"
          "<th scope=\"col\" class=\"t\">Setting</th><th scope=\"col\" class=\"t\">A</th><th scope=\"col\" "
          "class=\"t\">B</th></tr></thead>\n<tbody>\n",
          out);
    for (unsigned i = 0; i < count; i++) {
        const struct report_setting *twin = find(two, others, one[i].name);
        if (!differs(&one[i], twin))
            continue;
        settings_row(out, one[i].name, &one[i], twin);
        differ++;
    }
    for (unsigned i = 0; i < others; i++)
        if (find(one, count, two[i].name) == NULL && differs(&two[i], NULL)) {
            settings_row(out, two[i].name, NULL, &two[i]);
            differ++;
        }
    if (differ == 0)
        fputs("<tr><th scope=\"row\">none</th><td class=\"t\"></td><td class=\"t\"></td></tr>\n", out);
    fputs("</tbody></table></div>\n<p class=\"soft\">The same in both: ", out);
    for (unsigned i = 0; i < count; i++) {
        const struct report_setting *twin = find(two, others, one[i].name);
        if (differs(&one[i], twin) || one[i].kind == SETTING_MOMENT)
            continue;
        fprintf(out, "%s%s", separator, one[i].name);
        separator = ", ";
    }
    fprintf(out, "%s.</p>\n</figure>\n", separator[0] == 0 ? "nothing" : "");
}

void report_differences(const struct report *report, const struct report *other)
{
    fputs("<section aria-labelledby=\"differences\"><h2 id=\"differences\">Differences</h2>\n<div "
          "class=\"cards\">\n",
          report->out);
    table_of_figures(report, other);
    table_of_settings(report, other);
    fputs("</div></section>\n", report->out);
}
