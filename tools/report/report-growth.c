/*
 * report-growth: live bytes by size of block, over time: the sizes that changed most, where a leak
 * shows.
 *
 * Test: tests/tool-report.sh.
 */
#include <stdlib.h>

#include "base/bits.h"
#include "report/report.h"

#define SERIES 5u
/* Blocks of whole pages, and pages of heaps, as if they were classes. */
#define LARGE HF_INSPECT_MAX_CLASSES
#define HEAPS (LARGE + 1)

struct series {
    unsigned class;
    uint64_t least, most, last;
};

static uint64_t bytes_at(const struct report *report, unsigned point, unsigned class)
{
    const struct history_point *at = &report->history->points[point];
    uint64_t bytes = 0;
    if (class < LARGE)
        return at->class_live[class];
    for (unsigned i = 0; i < report->history->node_count; i++)
        bytes += class == LARGE ? at->nodes[i].large : at->nodes[i].heaps;
    return bytes;
}

static int by_change(const void *one, const void *other)
{
    const struct series *a = one, *b = other;
    uint64_t change_a = a->most - a->least, change_b = b->most - b->least;
    return change_a != change_b ? (change_a < change_b ? 1 : -1)
         : a->last < b->last    ? 1
         : a->last > b->last    ? -1
                                : 0;
}

/* How many of `series` (of HEAPS + 1) there are to show; those that never had a byte are none. */
static unsigned pick(const struct report *report, struct series *series)
{
    unsigned count = 0;
    for (unsigned class = 0; class <= HEAPS; class ++) {
        struct series one = { .class = class, .least = UINT64_MAX };
        for (unsigned i = 0; i < report->history->point_count; i++) {
            one.last = bytes_at(report, i, class);
            one.least = hfi_min(one.least, one.last);
            one.most = hfi_max(one.most, one.last);
        }
        if (one.most != 0 && (class >= LARGE || class < report->snapshot->class_count))
            series[count++] = one;
    }
    qsort(series, count, sizeof *series, by_change);
    return count < SERIES ? count : SERIES;
}

uint64_t report_growth_most(const struct report *report)
{
    struct series series[HEAPS + 1];
    uint64_t most = 0;
    for (unsigned i = pick(report, series); i-- != 0;)
        most = hfi_max(most, series[i].most);
    return most;
}

static const char *name_of(const struct report *report, unsigned class, char text[REPORT_TEXT])
{
    return class == HEAPS ? "heaps"
         : class == LARGE ? "whole pages"
                          : report_bytes(text, report->snapshot->classes[class].block_bytes);
}
#define NAME(report, class) name_of(report, class, (char[REPORT_TEXT]){ 0 })

static void draw_series(const struct report *report, unsigned index, unsigned class, uint64_t top)
{
    const struct history *history = report->history;
    fprintf(report->out, "<path class=\"series series%u\" d=\"M%.1f", index + 1, REPORT_LEFT);
    for (unsigned i = 0; i < history->point_count; i++) {
        double y = report_y(top == 0 ? 0 : (double)bytes_at(report, i, class) / (double)top);
        if (i == 0)
            fprintf(report->out, " %.1f", y);
        fprintf(report->out, "L%.1f %.1f", report_x(report, (double)history->points[i].ns), y);
    }
    fputs("\"/>\n", report->out);
}

static void tip_of_growth(const struct report *report, unsigned point, unsigned node)
{
    struct series series[HEAPS + 1];
    unsigned count = pick(report, series);
    (void)node;
    for (unsigned i = 0; i < count; i++)
        fprintf(report->out, "%s%s%s: %s", i == 0 ? "" : ", ", series[i].class == HEAPS ? "" : "blocks of ",
                NAME(report, series[i].class), BYTES(bytes_at(report, point, series[i].class)));
}

/* A column for each series. */
static void table_of_growth(const struct report *report, const struct series *series, unsigned count)
{
    const struct history *history = report->history;
    char heads[(SERIES + 1) * REPORT_TEXT];
    int length = snprintf(heads, sizeof heads, "<Time");
    for (unsigned i = 0; i < count; i++)
        length +=
            snprintf(heads + length, sizeof heads - (size_t)length, "|%s", NAME(report, series[i].class));
    report_table(report, "live bytes by size of block, over time", heads);
    for (unsigned i = 0; i < report_row_count(history); i++) {
        unsigned point = report_row_point(history, i, report_row_count(history));
        char text[SERIES][REPORT_TEXT];
        const char *cells[SERIES + 2] = { MOMENT(report, (double)history->points[point].ns) };
        for (unsigned j = 0; j < count; j++)
            cells[j + 1] = report_bytes(text[j], bytes_at(report, point, series[j].class));
        report_row(report, cells);
    }
    report_table_end(report);
}

void report_growth(const struct report *report)
{
    struct series series[HEAPS + 1];
    unsigned count = pick(report, series);
    if (count == 0 || report->history->live_known != LIVE_COUNTED)
        return;
    report_figure(report, "",
                  "Live bytes by size of block<small>over time: the sizes that changed most; what rises and "
                  "does not fall may be a "
                  "leak</small>");
    report_svg(report, REPORT_HEIGHT, "Live bytes of the %s that changed most, over time",
               COUNTED(count, "size class", "size classes"));
    report_ground(report, 1);
    report_bytes_axis(report, report->scale.growth_bytes);
    for (unsigned i = count; i-- != 0;)
        draw_series(report, i, series[i].class, report->scale.growth_bytes);
    report_time_axis(report);
    report_tips(report, tip_of_growth, 0);
    fputs("</svg>\n", report->out);
    report_key(report);
    for (unsigned i = 0; i < count; i++) {
        char css[32];
        snprintf(css, sizeof css, "series%u", i + 1);
        report_key_entry(report, css, "%s, now %s", NAME(report, series[i].class), BYTES(series[i].last));
    }
    report_key_end(report);
    table_of_growth(report, series, count);
    report_figure_end(report);
}
