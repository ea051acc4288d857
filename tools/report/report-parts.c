/*
 * report-parts: what the last sample shows: the map, size classes, threads.
 *
 * Test: tests/tool-report.sh.
 */
#include <stdlib.h>
#include <string.h>

#include "map/map.h"
#include "report/report.h"
#include "show/show.h"

#define BARS 12u       /* of a picture */
#define ROWS_MAX 1000u /* of a table */
#define BAR_LEFT 130.0
#define BAR_WIDTH 300.0
#define BYTES_RIGHT 514.0 /* where the column of bytes ends */
#define ROW_HEIGHT 24.0
#define NAME_WIDE 15u /* of a name that fits, wide letters counted twice */

static int by_value(const void *one, const void *other)
{
    const uint64_t *a = one, *b = other;
    return *a < *b ? 1 : -(*a > *b);
}

/* What tells of live bytes, or a question mark. */
#define OF_LIVE(report, text) (snapshot_live_is_known((report)->snapshot) ? (text) : "?")

/* --- the map --- */

static void table_of_states(const struct report *report, unsigned node)
{
    const struct node_pages *pages = &report->snapshot->node_pages[node];
    uint64_t total = report->snapshot->nodes[node].total / HF_INSPECT_PAGE_BYTES;
    static const unsigned char rows[] = { HF_PAGE_OWNED, HF_PAGE_IDLE, HF_PAGE_LOOSE,
                                          HF_PAGE_LARGE, HF_PAGE_META, HF_PAGE_FREE };
    report_table(report, "pages by state", "<State|Pages|Bytes|%");
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ROW(report, show_states[rows[i]].meaning, COUNT(pages->state[rows[i]]),
            BYTES(pages->state[rows[i]] * HF_INSPECT_PAGE_BYTES), PERCENT(pages->state[rows[i]], total));
    if (pages->heap_pages != 0)
        ROW(report, "of large blocks: pages of heaps", COUNT(pages->heap_pages),
            BYTES(pages->heap_pages * HF_INSPECT_PAGE_BYTES), PERCENT(pages->heap_pages, total));
    ROW(report, "longest run of free pages", COUNT(pages->longest_free),
        BYTES(pages->longest_free * HF_INSPECT_PAGE_BYTES), PERCENT(pages->longest_free, total));
    report_table_end(report);
}

/* What is around a node's map, as text that wraps where a page is narrow. */
static void write_map(const struct report *report, unsigned node)
{
    const struct hf_inspect_node *shown = &report->snapshot->nodes[node];
    FILE *out = report->out;
    fprintf(out, "<p class=\"soft\">%s on %s pages: ", BYTES(shown->total),
            snapshot_backing_name(shown->backing));
    map_figures(out, report->snapshot, node);
    if ((shown->flags & HF_INSPECT_NODE_FULL) != 0)
        fputs("; <span class=\"fault\"><strong>full: the last request did not fit</strong></span>", out);
    fprintf(out,
            "</p>\n<div class=\"map\" tabindex=\"0\" role=\"region\" aria-label=\"%s%sMap of pages of node "
            "%u\">",
            report->side == NULL ? "" : report->side, report->side == NULL ? "" : ": ", shown->id);
    map_svg(out, report->snapshot, node);
    fputs("</div>\n<div class=\"hfmap\">", out);
    report_key(report);
    for (unsigned i = 0; i < sizeof show_order; i++)
        if (show_occurs(report->snapshot, show_order[i]))
            report_key_entry(report, show_states[show_order[i]].css, "%s",
                             show_states[show_order[i]].meaning);
    report_key_end(report);
    fputs("</div>\n<p class=\"soft\">", out);
    map_steps(out, report->snapshot, node);
    fputs("</p>\n", out);
}

void report_maps(const struct report *report)
{
    for (unsigned i = 0; i < report->snapshot->node_count; i++) {
        report_figure(report, report->side == NULL ? "wide" : "", "Node %u at the last sample",
                      report->snapshot->nodes[i].id);
        if (report->snapshot->pages != NULL)
            write_map(report, i);
        else
            fputs("<p>There is no map of pages: the recording was cut short, or the segment has none.</p>\n",
                  report->out);
        table_of_states(report, i);
        report_figure_end(report);
    }
}

/* --- size classes --- */

struct ranked {
    uint64_t bytes; /* first: by_value looks at it */
    unsigned index;
};

static unsigned rank_classes(const struct snapshot *snapshot, struct ranked *ranked)
{
    unsigned count = 0;
    for (unsigned i = 0; i < snapshot->class_count; i++)
        if (snapshot->class_pages[i].pages != 0)
            ranked[count++] = (struct ranked){ snapshot->class_pages[i].pages * HF_INSPECT_PAGE_BYTES, i };
    qsort(ranked, count, sizeof *ranked, by_value);
    return count;
}

/* A bar: what is in blocks in use, and what is not; its figures stand in columns of their own,
 * where none is cut. */
static void draw_bar(const struct report *report, unsigned row, uint64_t most, uint64_t all, uint64_t waste)
{
    double y = 8 + ROW_HEIGHT * row, scale = most == 0 ? 0 : BAR_WIDTH / (double)most;
    double used = all > waste ? (double)(all - waste) * scale : 0,
           rest = (double)(waste < all ? waste : all) * scale;
    bool known = snapshot_live_is_known(report->snapshot);
    used = known ? used : used + rest;
    rest = known ? rest : 0;
    fprintf(report->out,
            "<rect class=\"unused\" x=\"%.0f\" y=\"%.0f\" width=\"%.1f\" height=\"16\"/>"
            "<rect class=\"blocks\" x=\"%.0f\" y=\"%.0f\" width=\"%.1f\" height=\"16\"/>"
            "<text class=\"e\" x=\"%.0f\" y=\"%.0f\">%s</text><text class=\"s e\" x=\"%d\" "
            "y=\"%.0f\">%s</text>\n",
            BAR_LEFT, y, used + rest, BAR_LEFT, y, used, BYTES_RIGHT, y + 12, BYTES(all), REPORT_WIDTH - 4,
            y + 12, known ? PERCENT(waste, all) : "?");
}

/* The heads of both columns, and the strip over a row that carries its title; the caller ends
 * that. */
static void draw_heads(const struct report *report, unsigned rows)
{
    if (rows != 0)
        fprintf(report->out,
                "<text class=\"s e\" x=\"%.0f\" y=\"%.0f\">held</text><text class=\"s e\" x=\"%d\" "
                "y=\"%.0f\">unused</text>\n",
                BYTES_RIGHT, 8 + ROW_HEIGHT * rows + 10, REPORT_WIDTH - 4, 8 + ROW_HEIGHT * rows + 10);
}

static void begin_tip(const struct report *report, unsigned row)
{
    fprintf(report->out, "<rect class=\"tip\" x=\"0\" y=\"%.0f\" width=\"%d\" height=\"%.0f\"><title>",
            4 + ROW_HEIGHT * row, REPORT_WIDTH, ROW_HEIGHT);
}

static void end_tip(const struct report *report)
{
    fputs("</title></rect>\n", report->out);
}

static void key_of_bars(const struct report *report, const char *waste)
{
    report_key(report);
    if (snapshot_live_is_known(report->snapshot)) {
        report_key_entry(report, "blocks", "in blocks in use");
        report_key_entry(report, "unused", "%s", waste);
    } else {
        report_key_entry(report, "blocks", SHOW_USE_UNKNOWN);
    }
    report_key_end(report);
}

static unsigned height_of_bars(unsigned rows)
{
    return (unsigned)ROW_HEIGHT * rows + 26;
}

static void draw_class(const struct report *report, unsigned row, struct ranked ranked)
{
    const struct class_pages *pages = &report->snapshot->class_pages[ranked.index];
    uint32_t block_bytes = report->snapshot->classes[ranked.index].block_bytes;
    fprintf(report->out, "<text class=\"e\" x=\"%.0f\" y=\"%.0f\">%s</text>\n", BAR_LEFT - 8,
            20 + ROW_HEIGHT * row, BYTES(block_bytes));
    draw_bar(report, row, report->scale.class_bytes, ranked.bytes, pages->waste_bytes);
    begin_tip(report, row);
    fprintf(report->out, "blocks of %s: %s of %s in use, in %s of %s in all; %s unused", BYTES(block_bytes),
            OF_LIVE(report, COUNT(pages->used_blocks)), COUNT(pages->room_blocks),
            COUNTED(pages->runs, "run", "runs"), BYTES(ranked.bytes),
            OF_LIVE(report, BYTES(pages->waste_bytes)));
    end_tip(report);
}

static void table_of_classes(const struct report *report, const struct ranked *ranked, unsigned count)
{
    const struct snapshot *snapshot = report->snapshot;
    report_table(report, "size classes", "<Block|Runs|Bytes|Blocks in use|Could hold|Unused bytes|Unused");
    for (unsigned i = 0; i < count; i++) {
        const struct class_pages *pages = &snapshot->class_pages[ranked[i].index];
        ROW(report, BYTES(snapshot->classes[ranked[i].index].block_bytes), COUNT(pages->runs),
            BYTES(ranked[i].bytes), OF_LIVE(report, COUNT(pages->used_blocks)), COUNT(pages->room_blocks),
            OF_LIVE(report, BYTES(pages->waste_bytes)),
            OF_LIVE(report, PERCENT(pages->waste_bytes, ranked[i].bytes)));
    }
    report_table_end(report);
}

void report_classes(const struct report *report)
{
    const struct snapshot *snapshot = report->snapshot;
    struct ranked ranked[HF_INSPECT_MAX_CLASSES];
    unsigned count = rank_classes(snapshot, ranked), shown = count < BARS ? count : BARS;
    uint64_t all = 0, waste = 0;
    for (unsigned i = 0; i < count; i++) {
        all += ranked[i].bytes;
        waste += snapshot->class_pages[ranked[i].index].waste_bytes;
    }
    report_figure(report, "",
                  "Bytes by size of block<small>%s in pages of blocks, %s of it unused; %s%s</small>",
                  BYTES(all), snapshot_live_is_known(snapshot) ? PERCENT(waste, all) : "an unknown part",
                  shown < count ? "those with most, of " : "", COUNTED(count, "size class", "size classes"));
    report_svg(report, height_of_bars(shown), "%s with most bytes",
               COUNTED(shown, "size class", "size classes"));
    for (unsigned i = 0; i < shown; i++)
        draw_class(report, i, ranked[i]);
    draw_heads(report, shown);
    fputs("</svg>\n", report->out);
    key_of_bars(report, "unused: free blocks, and what is left over at the end of runs");
    table_of_classes(report, ranked, count);
    report_figure_end(report);
}

/* --- threads --- */

static unsigned rank_theaps(const struct snapshot *snapshot, struct ranked *ranked)
{
    unsigned count = 0;
    for (unsigned i = 0; i < snapshot->theap_count; i++)
        if (!snapshot_theap_is_blank(&snapshot->theaps[i]))
            ranked[count++] = (struct ranked){ snapshot->theap_pages[i].pages * HF_INSPECT_PAGE_BYTES, i };
    qsort(ranked, count, sizeof *ranked, by_value);
    return count;
}

static uint64_t unused_of(const struct theap_pages *pages)
{
    uint64_t bytes = pages->pages * HF_INSPECT_PAGE_BYTES;
    return bytes - (pages->used_bytes < bytes ? pages->used_bytes : bytes);
}

static void thread_row(const struct report *report, unsigned index)
{
    const struct hf_inspect_theap *theap = &report->snapshot->theaps[index];
    const struct theap_pages *pages = &report->snapshot->theap_pages[index];
    uint64_t away = 0, bytes = pages->pages * HF_INSPECT_PAGE_BYTES;
    for (unsigned i = 0; i < HF_INSPECT_DISTANCES; i++)
        away += theap->away[i];
    bool nodes = report->snapshot->node_count > 1;
    uint32_t home = snapshot_node_id(report->snapshot, theap->home_node);
    char tid[24], cpu[16], home_text[16];
    snprintf(tid, sizeof tid, "%llu", (unsigned long long)theap->tid);
    snprintf(cpu, sizeof cpu, "%u", theap->cpu);
    snprintf(home_text, sizeof home_text, "%u", home);
    fputs("<tr><th scope=\"row\">", report->out);
    report_text(report->out,
                report->sample->threads[index].name[0] == 0 ? "?" : report->sample->threads[index].name);
    fprintf(report->out, "%s</th>", theap->in_use != 0 ? "" : " (ended)");
    CELLS(report, tid, cpu, BYTES(bytes), OF_LIVE(report, PERCENT(unused_of(pages), bytes)),
          COUNT(theap->remote_frees), COUNT(theap->received), COUNT(theap->claimed), COUNT(theap->fresh),
          COUNT(theap->stolen), COUNT(theap->lost), COUNT(theap->failed),
          NS(snapshot_age_ns(report->snapshot, theap->updated_ticks)), nodes ? home_text : NULL, COUNT(away));
}

/* As wide as it may be at most; a name that would be wider is pressed together. */
static void draw_name(const struct report *report, const char *name, double y)
{
    size_t wide = strlen(name);
    for (const char *at = name; *at != 0; at++)
        wide += (*at >= 'A' && *at <= 'Z') || *at == '@' || *at == 'm' || *at == 'w';
    fprintf(report->out, "<text class=\"e\" x=\"%.0f\" y=\"%.0f\"", BAR_LEFT - 8, y);
    if (wide > NAME_WIDE)
        fprintf(report->out, " textLength=\"%.0f\" lengthAdjust=\"spacingAndGlyphs\"", BAR_LEFT - 16);
    fputs(">", report->out);
    report_text(report->out, name);
    fputs("</text>\n", report->out);
}

static void draw_theap(const struct report *report, unsigned row, struct ranked ranked)
{
    const struct theap_pages *pages = &report->snapshot->theap_pages[ranked.index];
    const struct hf_inspect_theap *theap = &report->snapshot->theaps[ranked.index];
    char tid[32];
    snprintf(tid, sizeof tid, "thread %llu", (unsigned long long)theap->tid);
    const char *name = report->sample->threads[ranked.index].name;
    name = name[0] == 0 ? tid : name; /* it had ended before it was seen */
    draw_name(report, name, 20 + ROW_HEIGHT * row);
    draw_bar(report, row, report->scale.theap_bytes, ranked.bytes, unused_of(pages));
    begin_tip(report, row);
    report_text(report->out, name);
    fprintf(report->out, ", thread %llu%s: %s in its pages, %s of it unused; last slow path %s ago",
            (unsigned long long)theap->tid, theap->in_use != 0 ? "" : ", ended", BYTES(ranked.bytes),
            OF_LIVE(report, BYTES(unused_of(pages))),
            NS(snapshot_age_ns(report->snapshot, theap->updated_ticks)));
    end_tip(report);
}

static void caption_of_theaps(const struct report *report, unsigned shown)
{
    unsigned listed = snapshot_threads_listed(report->snapshot);
    char of_all[2 * REPORT_TEXT] = "";
    if (listed < report->sample->sum.in_use)
        snprintf(of_all, sizeof of_all, "; %u of %s listed", listed,
                 COUNTED(report->sample->sum.in_use, "thread", "threads"));
    report_figure(report, "", "Bytes by thread<small>pages that each owns; %s now; here %s%s</small>",
                  COUNTED(report->sample->sum.in_use, "thread", "threads"),
                  shown < BARS ? "all of them" : "those that own most", of_all);
}

void report_theaps(const struct report *report)
{
    static struct ranked ranked[HF_INSPECT_MAX_THEAPS];
    unsigned count = rank_theaps(report->snapshot, ranked), shown = 0;
    while (shown < count && shown < BARS && ranked[shown].bytes != 0)
        shown++;
    caption_of_theaps(report, shown);
    report_svg(report, height_of_bars(shown), "%s that own most", COUNTED(shown, "thread", "threads"));
    for (unsigned i = 0; i < shown; i++)
        draw_theap(report, i, ranked[i]);
    draw_heads(report, shown);
    fputs("</svg>\n", report->out);
    key_of_bars(report, "unused");
    report_table(report, "threads",
                 report->snapshot->node_count > 1 ? "<Thread|Tid|CPU|Bytes|Unused|Freed to others|Freed by "
                                                    "others|Claimed|Fresh|Stolen|Lost|Failed|Last slow path "
                                                    "ago|Home|From elsewhere"
                                                  : "<Thread|Tid|CPU|Bytes|Unused|Freed to others|Freed by "
                                                    "others|Claimed|Fresh|Stolen|Lost|Failed|Last slow path "
                                                    "ago");
    for (unsigned i = 0; i < count && i < ROWS_MAX; i++)
        thread_row(report, ranked[i].index);
    report_table_end(report);
    report_figure_end(report);
}
