/*
 * report-parts: what the last sample shows: the map, size classes, slow paths, threads, settings.
 *
 * Test: tests/tool-report.sh.
 */
#include <stdlib.h>
#include <string.h>

#include "map.h"
#include "os.h"
#include "report.h"

#define BARS 12u          /* of a picture */
#define ROWS_MAX 1000u    /* of a table */
#define BAR_LEFT 130.0
#define BAR_WIDTH 330.0

static int by_value(const void *one, const void *other)
{
    const uint64_t *a = one, *b = other;
    return *a < *b ? 1 : -(*a > *b);
}

/* --- the map --- */

static void table_of_states(const struct report *report, unsigned node)
{
    const struct node_pages *pages = &report->snapshot->node_pages[node];
    uint64_t total = report->snapshot->nodes[node].total / HF_INSPECT_PAGE_BYTES;
    static const struct { unsigned state; const char *name; } rows[] = {
        { HF_PAGE_OWNED, "owned by a thread" },
        { HF_PAGE_IDLE, "idle: nobody owns it, with room" },
        { HF_PAGE_LOOSE, "loose: nobody owns it, full" },
        { HF_PAGE_LARGE, "blocks of whole pages" },
        { HF_PAGE_META, "Holdfast&#39;s own" },
        { HF_PAGE_FREE, "free" },
    };
    report_table(report, "pages by state", "<State|Pages|Bytes|%");
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
        fprintf(report->out, "<tr><th scope=\"row\">%s</th><td>%s</td><td>%s</td><td>%s</td></tr>\n", rows[i].name,
                COUNT(pages->state[rows[i].state]),
                BYTES(pages->state[rows[i].state] * HF_INSPECT_PAGE_BYTES), PERCENT(pages->state[rows[i].state], total));
    fprintf(report->out, "<tr><th scope=\"row\">longest run of free pages</th><td>%s</td><td>%s</td><td>%s</td></tr>\n",
            COUNT(pages->longest_free),
            BYTES(pages->longest_free * HF_INSPECT_PAGE_BYTES), PERCENT(pages->longest_free, total));
    report_table_end(report);
}

void report_maps(const struct report *report)
{
    fputs("<section aria-labelledby=\"map\"><h2 id=\"map\">Map of pages</h2>\n<div class=\"cards\">\n", report->out);
    for (unsigned i = 0; i < report->snapshot->node_count; i++) {
        report_figure(report, "wide", "Node %u at the last sample", report->snapshot->nodes[i].id);
        if (report->snapshot->pages != NULL) {
            fputs("<div class=\"map\" tabindex=\"0\" role=\"region\" aria-label=\"Map of pages\">", report->out);
            map_svg(report->out, report->snapshot, i);
            fputs("</div>\n", report->out);
        } else {
            fputs("<p>There is no map of pages: the recording was cut short, or the segment has none.</p>\n", report->out);
        }
        table_of_states(report, i);
        report_figure_end(report);
    }
    fputs("</div></section>\n", report->out);
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

/* A bar: what is in blocks in use, and what is not. */
static void draw_bar(const struct report *report, unsigned row, uint64_t most, uint64_t all, uint64_t waste)
{
    double y = 8 + 24.0 * row, scale = most == 0 ? 0 : BAR_WIDTH / (double)most;
    double used = all > waste ? (double)(all - waste) * scale : 0, rest = (double)(waste < all ? waste : all) * scale;
    fprintf(report->out, "<rect class=\"blocks\" x=\"%.0f\" y=\"%.0f\" width=\"%.1f\" height=\"16\"/><rect class=\"idle\" "
            "x=\"%.1f\" y=\"%.0f\" width=\"%.1f\" height=\"16\"/>"
            "<text x=\"%.1f\" y=\"%.0f\">%s <tspan class=\"s\">%s unused</tspan></text>\n", BAR_LEFT, y, used, BAR_LEFT + used, y, rest,
            BAR_LEFT + used + rest + 6, y + 12, BYTES(all), PERCENT(waste, all));
}

static void draw_bar_key(const struct report *report, const char *waste)
{
    fprintf(report->out, "<ul class=\"key\"><li><svg viewBox=\"0 0 10 10\" aria-hidden=\"true\"><rect class=\"blocks\" width=\"10\" "
            "height=\"10\"/></svg>in blocks in use</li>"
            "<li><svg viewBox=\"0 0 10 10\" aria-hidden=\"true\"><rect class=\"idle\" width=\"10\" height=\"10\"/></svg>%s</li></ul>\n", waste);
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
    fputs("<section aria-labelledby=\"classes\"><h2 id=\"classes\">Size classes</h2>\n<div class=\"cards\">\n", report->out);
    report_figure(report, "", "Bytes by size of block<small>%s in runs of blocks, %s of it in no block in use</small>", BYTES(all),
                  PERCENT(waste, all));
    report_svg(report, 24 * shown + 12, "The %u size classes with most bytes", shown);
    for (unsigned i = 0; i < shown; i++) {
        fprintf(report->out, "<text class=\"e\" x=\"%.0f\" y=\"%u\">%s</text>\n", BAR_LEFT - 8, 20 + 24 * i,
                BYTES(snapshot->classes[ranked[i].index].block_bytes));
        draw_bar(report, i, ranked[0].bytes, ranked[i].bytes, snapshot->class_pages[ranked[i].index].waste_bytes);
    }
    fputs("</svg>\n", report->out);
    draw_bar_key(report, "unused: free blocks, and what is left over at the end of runs");
    report_table(report, "size classes", "<Block|Runs|Bytes|Blocks in use|Could hold|Unused bytes|Unused");
    for (unsigned i = 0; i < count; i++) {
        const struct class_pages *pages = &snapshot->class_pages[ranked[i].index];
        fprintf(report->out, "<tr><th scope=\"row\">%s</th><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td></tr>\n",
                BYTES(snapshot->classes[ranked[i].index].block_bytes), COUNT(pages->runs), BYTES(ranked[i].bytes), COUNT(pages->used_blocks),
                COUNT(pages->room_blocks), BYTES(pages->waste_bytes), PERCENT(pages->waste_bytes, ranked[i].bytes));
    }
    report_table_end(report);
    report_figure_end(report);
    fputs("</div></section>\n", report->out);
}

/* --- slow paths --- */

static unsigned log_height(uint64_t calls)
{
    unsigned bits = 0;
    for (; calls != 0; calls >>= 1)
        bits++;
    return bits;
}

static void draw_histogram(const struct report *report, unsigned first, unsigned last)
{
    const struct snapshot_sum *sum = &report->sample->sum;
    double width = 580.0 / (last - first + 1);
    unsigned most = 1;
    for (unsigned i = first; i <= last; i++)
        most = log_height(sum->slow[i]) > most ? log_height(sum->slow[i]) : most;
    for (unsigned i = first; i <= last; i++) {
        double ns = snapshot_ns(report->snapshot, (uint64_t)1 << i), height = 120.0 * log_height(sum->slow[i]) / most,
                x = 10 + width * (i - first);
        fprintf(report->out, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>%s to %s: %s</title></rect>\n",
                ns >= 1e7 ? "bad" : ns >= 1e6 ? "idle" : "large", x + 1, 140 - height, width - 2, height, NS(ns), NS(2 * ns),
                        COUNT(sum->slow[i]));
        if (sum->slow[i] != 0 && width > 26)
            fprintf(report->out, "<text class=\"s c\" x=\"%.1f\" y=\"%.1f\">%llu</text>\n", x + width / 2, 136 - height,
                    (unsigned long long)sum->slow[i]);
        if (width > 40 || (i - first) % 2 == 0)
            fprintf(report->out, "<text class=\"s c\" x=\"%.1f\" y=\"156\">%s</text>\n", x + width / 2, NS(ns));
    }
}

void report_latency(const struct report *report)
{
    const struct snapshot_sum *sum = &report->sample->sum;
    unsigned first = HF_INSPECT_BUCKETS, last = 0;
    uint64_t calls = 0;
    for (unsigned i = 0; i < HF_INSPECT_BUCKETS; i++)
        if (sum->slow[i] != 0) {
            first = first < i ? first : i;
            last = i;
            calls += sum->slow[i];
        }
    fputs("<section aria-labelledby=\"slow\"><h2 id=\"slow\">Slow paths</h2>\n<div class=\"cards\">\n", report->out);
    report_figure(report, "", "Calls that looked beyond their thread&#39;s own pages, by how long they took<small>%s calls; half "
                  "below %s, 99 %% below %s, "
                  "all below %s; heights are logarithms</small>", COUNT(calls), NS(2 * snapshot_slow_quantile(report->snapshot, sum, 0.5)),
                  NS(2 * snapshot_slow_quantile(report->snapshot, sum, 0.99)),
                          NS(calls == 0 ? 0 : 2 * snapshot_ns(report->snapshot, (uint64_t)1 << last)));
    report_svg(report, 164, "Histogram of slow paths: 99 %% took less than %s", NS(2 * snapshot_slow_quantile(report->snapshot, sum, 0.99)));
    if (calls != 0)
        draw_histogram(report, first, last);
    fputs("</svg>\n", report->out);
    report_table(report, "slow paths by time", "<From|To|Calls|%");
    for (unsigned i = first; i <= last && calls != 0; i++)
        fprintf(report->out, "<tr><th scope=\"row\">%s</th><td>%s</td><td>%s</td><td>%s</td></tr>\n",
                NS(snapshot_ns(report->snapshot, (uint64_t)1 << i)),
                NS(2 * snapshot_ns(report->snapshot, (uint64_t)1 << i)), COUNT(sum->slow[i]), PERCENT(sum->slow[i], calls));
    report_table_end(report);
    report_figure_end(report);
    report_figure(report, "", "How memory was found<small>over the life of the arena, all threads</small>");
    fputs("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Counters\"><table><tbody>\n", report->out);
    const struct { const char *name; uint64_t count; } counters[] = {
        { "blocks listed for the fast path", sum->listed },
        { "refills from own pages", sum->collected },
        { "idle pages claimed", sum->claimed },
        { "fresh pages cut into blocks", sum->fresh },
        { "blocks of whole pages", sum->large },
        { "times blocks of an idle page were shared", sum->shared },
        { "own pages won back", sum->adopted },
        { "pages given back", sum->retired },
        { "pages taken from sleeping threads", sum->stolen },
        { "pages lost while asleep", sum->lost },
        { "blocks freed to other threads", sum->remote_frees },
        { "times the application was asked to free", sum->pressed },
        { "calls that failed", sum->failed },
    };
    for (unsigned i = 0; i < sizeof counters / sizeof counters[0]; i++)
        fprintf(report->out, "<tr><th scope=\"row\">%s</th><td>%s</td></tr>\n", counters[i].name, COUNT(counters[i].count));
    fputs("</tbody></table></div>\n", report->out);
    report_figure_end(report);
    fputs("</div></section>\n", report->out);
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

static void thread_row(const struct report *report, unsigned index)
{
    const struct hf_inspect_theap *theap = &report->snapshot->theaps[index];
    const struct theap_pages *pages = &report->snapshot->theap_pages[index];
    uint64_t away = 0, bytes = pages->pages * HF_INSPECT_PAGE_BYTES;
    for (unsigned i = 0; i < HF_INSPECT_DISTANCES; i++)
        away += theap->away[i];
    fputs("<tr><th scope=\"row\">", report->out);
    report_text(report->out, report->sample->threads[index].name);
    fprintf(report->out, "%s</th><td>%llu</td><td>%u</td><td>%u</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>"
            "%s</td><td>%s</td><td>%s</td><td>%s</td>"
            "<td>%s</td><td>%s</td></tr>\n", theap->in_use != 0 ? "" : " (ended)", (unsigned long long)theap->tid,
            theap->home_node, theap->cpu, BYTES(bytes),
            PERCENT(bytes - (pages->used_bytes < bytes ? pages->used_bytes : bytes), bytes), COUNT(theap->remote_frees), COUNT(theap->received),
            COUNT(theap->claimed), COUNT(theap->fresh), COUNT(theap->stolen), COUNT(theap->lost), COUNT(away), COUNT(theap->failed),
            NS(snapshot_age_ns(report->snapshot, theap->updated_ticks)));
}

void report_theaps(const struct report *report)
{
    static struct ranked ranked[HF_INSPECT_MAX_THEAPS];
    const struct snapshot *snapshot = report->snapshot;
    unsigned count = rank_theaps(snapshot, ranked), shown = count < BARS ? count : BARS;
    fputs("<section aria-labelledby=\"threads\"><h2 id=\"threads\">Threads</h2>\n<div class=\"cards\">\n", report->out);
    unsigned listed = snapshot_threads_listed(snapshot);
    char of_all[64] = "";
    if (listed < report->sample->sum.in_use)
        snprintf(of_all, sizeof of_all, "; %u of %s threads shown", listed, COUNT(report->sample->sum.in_use));
    report_figure(report, "", "Bytes by thread<small>theaps made: %s, with a thread now: %s%s; here those that own most</small>",
                  COUNT(snapshot->header.theap_count), COUNT(report->sample->sum.in_use), of_all);
    report_svg(report, 24 * shown + 12, "The %u threads that own most", shown);
    for (unsigned i = 0; i < shown; i++) {
        const struct theap_pages *pages = &snapshot->theap_pages[ranked[i].index];
        fprintf(report->out, "<text class=\"e\" x=\"%.0f\" y=\"%u\">", BAR_LEFT - 8, 20 + 24 * i);
        report_text(report->out, report->sample->threads[ranked[i].index].name);
        fputs("</text>\n", report->out);
        uint64_t used_bytes = pages->used_bytes < ranked[i].bytes ? pages->used_bytes : ranked[i].bytes;
        draw_bar(report, i, ranked[0].bytes, ranked[i].bytes, ranked[i].bytes - used_bytes);
    }
    fputs("</svg>\n", report->out);
    draw_bar_key(report, "unused, as of the thread&#39;s last slow path");
    report_table(report, "threads", "<Thread|Tid|Home|CPU|Bytes|Unused|Freed to others|Freed by "
            "others|Claimed|Fresh|Stolen|Lost|From elsewhere|Failed|Last slow path ago");
    for (unsigned i = 0; i < count && i < ROWS_MAX; i++)
        thread_row(report, ranked[i].index);
    report_table_end(report);
    report_figure_end(report);
    fputs("</div></section>\n", report->out);
}

/* --- settings --- */

static void setting(const struct report *report, const char *name, const char *value)
{
    fprintf(report->out, "<tr><th scope=\"row\">%s</th><td class=\"t\">", name);
    report_text(report->out, value);
    fputs("</td></tr>\n", report->out);
}

static void node_settings(const struct report *report, unsigned node)
{
    const struct machine_node *machine = &report->sample->machine.nodes[node];
    uint32_t id = report->snapshot->nodes[node].id, flags = report->snapshot->nodes[node].flags;
    char text[160];
    snprintf(text, sizeof text, "%s%s", (flags & HF_INSPECT_NODE_BOUND) != 0 ? "bound" : "not bound",
             (flags & HF_INSPECT_NODE_LOCKED) != 0 ? ", locked" : ", not locked");
    fprintf(report->out, "<tr><th scope=\"row\">node %u</th><td class=\"t\">%s; %s of memory, %s available; pools: %s of %s pages "
            "of 2 MiB free, %s of %s of 1 GiB</td></tr>\n",
            id, text, BYTES(machine->memory_bytes), BYTES(machine->available_bytes), COUNT(machine->pool_free[0]),
                    COUNT(machine->pool_pages[0]),
            COUNT(machine->pool_free[1]), COUNT(machine->pool_pages[1]));
}

/* What was asked of each node, and in which form. */
static void arena_setting(const struct report *report)
{
    const struct snapshot *snapshot = report->snapshot;
    uint64_t asked = 0;
    char text[512];
    int length = 0;
    for (unsigned i = 0; i < snapshot->node_count; i++)
        asked += snapshot->nodes[i].asked;
    switch (snapshot->header.asked_arena) {
    case HF_ARENA_AUTO: snprintf(text, sizeof text, "auto: grows as it is used, to %s at most", BYTES(asked)); break;
    case HF_ARENA_PERCENT: snprintf(text, sizeof text, "a share of memory: %s", BYTES(asked)); break;
    case HF_ARENA_PER_NODE:
        for (unsigned i = 0; i < snapshot->node_count && length < (int)sizeof text; i++)
            length += snprintf(text + length, sizeof text - (size_t)length, "%snode %u: %s", i == 0 ? "" : ", ", snapshot->nodes[i].id,
                               BYTES(snapshot->nodes[i].asked));
        break;
    default: snprintf(text, sizeof text, "%s", BYTES(asked)); break;
    }
    setting(report, "HOLDFAST_ARENA", text);
}

void report_settings(const struct report *report)
{
    static const char *const thp[] = { "unknown", "never", "madvise", "always" };
    const struct hf_inspect_segment *header = &report->snapshot->header;
    const struct machine *machine = &report->sample->machine;
    char text[160];
    fputs("<section aria-labelledby=\"settings\"><h2 id=\"settings\">Settings</h2>\n<div class=\"cards\"><figure class=\"wide\">"
          "<figcaption>As asked for, and what the machine has</figcaption>\n"
          "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Settings\"><table><tbody>\n", report->out);
    setting(report, "library", header->library);
    arena_setting(report);
    setting(report, "HOLDFAST_BACKING", header->asked_backing == HF_BACKING_NONE ? "auto" : snapshot_backing_name(header->asked_backing));
    setting(report, "HOLDFAST_PLACE", header->options & HF_INSPECT_PLACE_INTERLEAVE ? "interleave" :
            header->options & HF_INSPECT_PLACE_NODE ? "node:N" : "local");
    setting(report, "HOLDFAST_REMOTE", header->options & HF_INSPECT_REMOTE_DENY ? "deny" : "allow");
    setting(report, "HOLDFAST_ON_FULL", header->options & HF_INSPECT_FULL_ABORTS ? "abort" : "fail");
    setting(report, "HOLDFAST_FORK", header->options & HF_INSPECT_DONTFORK ? "dontfork" : "private");
    setting(report, "HOLDFAST_LOCK", header->options & HF_INSPECT_LOCK_NO ? "no" : "auto or yes");
    setting(report, "HOLDFAST_STRICT", header->options & HF_INSPECT_STRICT ? "1" : "0");
    snprintf(text, sizeof text, "%llu forks, %s pinned for rings of io_uring", (unsigned long long)header->forks, BYTES(header->registered));
    setting(report, "process", text);
    snprintf(text, sizeof text, "transparent huge pages %s, swap %s, the process may lock %s", thp[machine->thp < 4 ? machine->thp : 0],
             BYTES(machine->swap_bytes), machine->memlock_bytes == UINT64_MAX ? "any amount" : BYTES(machine->memlock_bytes));
    setting(report, "machine", text);
    for (unsigned i = 0; i < report->snapshot->node_count; i++)
        node_settings(report, i);
    fputs("</tbody></table></div></figure></div></section>\n", report->out);
}
