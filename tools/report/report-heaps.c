/*
 * report-heaps: heaps of the program: who holds most, and how that went.
 *
 * Nothing where no heap was ever made.
 *
 * Test: tests/tool-heaps.sh.
 */
#include <string.h>

#include "base/bits.h"
#include "report/report.h"

#define SERIES 5u
#define ROWS_MAX 1000u

static bool were_any(const struct report *report)
{
    return report->snapshot->heap_sum.made != 0 || report->snapshot->heap_sum.held != 0;
}

static void write_name(FILE *out, const struct hf_inspect_heap *heap)
{
    report_text(out, heap->name[0] == 0 ? "(no name)" : heap->name);
}

/* Of the heaps that are drawn. */
static uint64_t most_drawn(const struct report *report, const unsigned *order, unsigned count)
{
    uint64_t most = 0;
    for (unsigned i = 0; i < count; i++)
        for (unsigned point = 0; point < report->history->point_count; point++)
            most = hfi_max(most, history_heap_held(report->history, order[i], point));
    return most;
}

uint64_t report_heaps_most(const struct report *report)
{
    static unsigned order[HF_INSPECT_MAX_HEAPS];
    unsigned count = snapshot_heap_order(report->snapshot, order);
    return most_drawn(report, order, count < SERIES ? count : SERIES);
}

static void draw_series(const struct report *report, unsigned index, unsigned slot)
{
    const struct history *history = report->history;
    uint64_t top = report->scale.heap_bytes;
    fprintf(report->out, "<path class=\"series series%u\" d=\"M", index + 1);
    for (unsigned i = history->heaps[slot].since; i < history->point_count; i++)
        fprintf(report->out, "%s%.1f %.1f", i == history->heaps[slot].since ? "" : "L",
                report_x(report, (double)history->points[i].ns),
                report_y(top == 0 ? 0 : (double)history_heap_held(history, slot, i) / (double)top));
    fputs("\"/>\n", report->out);
}

static void tip_of_heaps(const struct report *report, unsigned point, unsigned node)
{
    static unsigned order[HF_INSPECT_MAX_HEAPS];
    unsigned count = snapshot_heap_order(report->snapshot, order);
    const struct history_point *at = &report->history->points[point];
    (void)node;
    fprintf(report->out, "%s held by %s", BYTES(at->heaps_held), COUNTED(at->heaps, "heap", "heaps"));
    for (unsigned i = 0; i < count && i < SERIES; i++) {
        fputs(", ", report->out);
        write_name(report->out, &report->snapshot->heaps[order[i]]);
        fprintf(report->out, " %s", BYTES(history_heap_held(report->history, order[i], point)));
    }
}

static void heap_row(const struct report *report, const struct hf_inspect_heap *heap)
{
    char id[24], node[16];
    snprintf(id, sizeof id, "%llu", (unsigned long long)heap->id);
    fputs("<tr><th scope=\"row\">", report->out);
    write_name(report->out, heap);
    fputs("</th>", report->out);
    CELLS(report, id, snapshot_heap_kind(heap), snapshot_heap_place(report->snapshot, heap, node),
          BYTES(heap->held), BYTES(heap->most), heap->limit == 0 ? "-" : BYTES(heap->limit),
          heap->limit == 0 ? "-" : PERCENT(heap->held, heap->limit), COUNT(heap->failures),
          heap->soft_limit == 0 ? "-" : BYTES(heap->soft_limit), COUNT(heap->crossings),
          NS(snapshot_age_ns(report->snapshot, heap->made_ticks)));
}

static void table_of_heaps(const struct report *report, const unsigned *order, unsigned count)
{
    const struct snapshot_heaps *sum = &report->snapshot->heap_sum;
    report_table(report, "heaps",
                 "<Heap|Number|Kind|Node|Held|Most|Limit|Used|Failed|Soft limit|Times over it|For");
    for (unsigned i = 0; i < count && i < ROWS_MAX; i++)
        heap_row(report, &report->snapshot->heaps[order[i]]);
    if (sum->others != 0 || sum->others_held != 0)
        ROW(report, "all others", "-", "-", "-", BYTES(sum->others_held), "-", "-", "-", "-", "-", "-", "-");
    report_table_end(report);
}

void report_heaps(const struct report *report)
{
    static unsigned order[HF_INSPECT_MAX_HEAPS];
    const struct snapshot_heaps *sum = &report->snapshot->heap_sum;
    unsigned count = snapshot_heap_order(report->snapshot, order), shown = count < SERIES ? count : SERIES;
    if (!were_any(report))
        return;
    report_figure(
        report, "",
        "Held by heaps<small>%s hold %s at the end; %s made, limits failed %s; over time: those that "
        "hold most</small>",
        COUNTED(sum->live, "heap", "heaps"), BYTES(sum->held), COUNT(sum->made),
        COUNTED(sum->failures, "call", "calls"));
    report_svg(report, REPORT_HEIGHT, "Bytes that the %s with most hold, over time",
               COUNTED(shown, "heap", "heaps"));
    report_ground(report, 1);
    report_bytes_axis(report, report->scale.heap_bytes);
    for (unsigned i = shown; i-- != 0;)
        draw_series(report, i, order[i]);
    report_time_axis(report);
    report_tips(report, tip_of_heaps, 0);
    fputs("</svg>\n", report->out);
    report_key(report);
    for (unsigned i = 0; i < shown; i++) {
        const struct hf_inspect_heap *heap = &report->snapshot->heaps[order[i]];
        char css[32], name[8 * sizeof heap->name] = "";
        FILE *escaped = fmemopen(name, sizeof name, "w");
        if (escaped != NULL) {
            write_name(escaped, heap);
            fclose(escaped);
        }
        snprintf(css, sizeof css, "series%u", i + 1);
        report_key_entry(report, css, "%s (%llu), now %s", name, (unsigned long long)heap->id,
                         BYTES(heap->held));
    }
    report_key_end(report);
    table_of_heaps(report, order, count);
    report_figure_end(report);
}
