/*
 * stat-text: see stat.h; what `holdfast stat` prints for people.
 *
 * Where there is no page map, what follows from it is left out.
 *
 * Test: tests/tool-stat.sh.
 */
#include <stdlib.h>
#include <string.h>

#include "show/show.h"
#include "stat/stat.h"

#define BAR_COLUMNS 38u /* beside them the largest sizes end at column 80 */
#define BAR_BESIDE 11u  /* "node 0   [" and "]", on a narrow terminal */

/* --- nodes --- */

static void print_bar(const struct snapshot *snapshot, unsigned node)
{
    struct show_piece pieces[SHOW_PIECES];
    unsigned columns = show_columns(), room = columns > BAR_BESIDE + 8 ? columns - BAR_BESIDE : 8;
    unsigned count = show_bar(pieces, snapshot, node, room < BAR_COLUMNS ? room : BAR_COLUMNS);
    putchar('[');
    for (unsigned i = 0; i < count; i++)
        for (unsigned column = 0; column < pieces[i].cells; column++)
            fputs(show_glyph(pieces[i].state, pieces[i].in_use ? 3 : 0, false), stdout);
    putchar(']');
}

static void print_flags(const struct hf_inspect_node *node)
{
    printf("%s, %s, %s%s", (node->flags & HF_INSPECT_NODE_BOUND) != 0 ? "bound" : "not bound",
           (node->flags & HF_INSPECT_NODE_LOCKED) != 0 ? "locked" : "not locked",
           (node->flags & HF_INSPECT_NODE_GROWING) != 0      ? "growing"
           : (node->flags & HF_INSPECT_NODE_POPULATING) != 0 ? "being populated"
                                                             : "fixed",
           (node->flags & HF_INSPECT_NODE_FULL) != 0 ? ", FULL" : "");
}

/* As the bar has them, in two lines. */
static void print_shares(const struct snapshot *snapshot, unsigned node)
{
    struct show_share shares[SHOW_ORDER];
    char bytes[SHOW_SHORT];
    show_shares(shares, snapshot, node);
    for (unsigned i = 0; i < SHOW_ORDER; i++) {
        const struct show_share *share = &shares[i];
        if (!show_occurs(snapshot, share->state))
            continue;
        bool begins = i == 0 || share->state == SHOW_KEPT;
        bool known = snapshot_live_is_known(snapshot);
        printf("%s%s %s",
               i == 0   ? "  "
               : begins ? "\n  "
                        : ", ",
               show_states[share->state].word,
               share->state == SHOW_KEPT && !known ? "?" : show_size(bytes, share->bytes));
        if (share->state == HF_PAGE_IDLE && share->bytes != 0 && known)
            printf(" (%.0f %% live)", show_percent(share->live, share->bytes));
    }
    if (snapshot->pages != NULL)
        printf("; longest free run %s",
               show_size(bytes, snapshot->node_pages[node].longest_free * HF_INSPECT_PAGE_BYTES));
}

static void print_legend(const struct snapshot *snapshot)
{
    bool known = snapshot_live_is_known(snapshot);
    for (unsigned i = 0; i < SHOW_ORDER; i++)
        if (show_occurs(snapshot, show_order[i]))
            printf("  %s %s", show_glyph(show_order[i], show_order[i] == SHOW_KEPT ? 0 : 3, false),
                   show_states[show_order[i]].word);
    if (known)
        printf("%s  %s unused\n", show_occurs(snapshot, SNAPSHOT_HEAP) ? "\n" : "",
               show_glyph(HF_PAGE_OWNED, 0, false));
    else
        printf("\n  %s\n", SHOW_USE_UNKNOWN);
}

static void print_node(const struct snapshot *snapshot, unsigned index)
{
    const struct hf_inspect_node *node = &snapshot->nodes[index];
    const struct node_pages *pages = &snapshot->node_pages[index];
    char a[SHOW_SHORT], b[SHOW_SHORT], span[16], text[SHOW_LIVE];
    printf("node %-3u ", node->id);
    print_bar(snapshot, index);
    printf(" %s of %s used\n", show_size(a, node->used), show_size(b, node->total));
    if ((node->flags & HF_INSPECT_NODE_GROWING) == 0 && node->total < node->asked)
        printf("  %s were asked for, and cut at start: see HF-W209, HF-W215 and HF-W227\n",
               show_size(a, node->asked));
    if (snapshot->node_count > 1 && snapshot->pages != NULL)
        printf("  %s\n", show_live(text, snapshot, pages->live_bytes, pages->held_bytes));
    print_shares(snapshot, index);
    printf("\n  high water %s (%.0f %%), %s ago", show_size(a, node->high_water),
           show_percent(node->high_water, node->total),
           show_span(span, sizeof span, snapshot_age_ns(snapshot, node->high_water_ticks)));
    if (node->populated < node->total)
        printf("; populated %s", show_size(b, node->populated));
    printf("\n  %s pages, ", snapshot_backing_name(node->backing));
    print_flags(node);
    if (snapshot->huge_is_known && node->backing == HF_BACKING_THP)
        printf("; %s huge now", show_size(a, snapshot->huge_bytes[index]));
    if (node->reserve != 0)
        printf("\n  reserve %s, %s of it used now; begun upon %llu time%s", show_size(a, node->reserve),
               show_size(b, node->reserve_used), (unsigned long long)node->reserve_uses,
               node->reserve_uses == 1 ? "" : "s");
    if (node->populate_error != 0)
        printf("\n  populating failed: %s", strerror((int)node->populate_error));
    putchar('\n');
}

/* --- paths --- */

/* As it is, or as its share of `all`. */
static void print_count(const char *name, uint64_t count, const uint64_t *all, const char *words)
{
    char share[16] = "";
    if (all != NULL)
        snprintf(share, sizeof share, "%5.1f %%", show_percent(count, *all));
    printf("  %-13s %14llu %7s %s\n", name, (unsigned long long)count, share, words);
}

static void print_counters(const struct snapshot *snapshot, const struct snapshot_sum *sum, unsigned place,
                           const uint64_t *all)
{
    char name[16];
    for (size_t i = 0; i < snapshot_counter_count; i++) {
        const struct counter *counter = &snapshot_counters[i];
        uint64_t count = snapshot_count(sum, counter);
        if (counter->place != place && (counter->place != (place | COUNTER_IF_ANY) || count == 0))
            continue;
        snprintf(name, sizeof name, "%s", counter->name);
        if (strchr(name, '_') != NULL)
            *strchr(name, '_') = ' ';
        if (snapshot_tells(snapshot, counter->in_theap))
            print_count(name, count, all, counter->words);
        else
            printf("  %-13s %14s %7s %s\n", name, "?", "", counter->words);
    }
}

static void print_paths(const struct snapshot *snapshot, const struct snapshot_sum *sum)
{
    static const char *const distances[HF_INSPECT_DISTANCES] = {
        "... from the nearest other node",
        "... from the second nearest",
        "... from the third",
        "... from nodes farther away",
    };
    uint64_t pages = sum->claimed + sum->fresh + sum->large, all = sum->collected + sum->shared + pages;
    unsigned ended = snapshot_threads_ended(snapshot);
    printf("where memory came from, since the start; %llu thread%s a theap", (unsigned long long)sum->in_use,
           sum->in_use == 1 ? " has" : "s have");
    if (ended != 0)
        printf(", %u more had", ended);
    putchar('\n');
    print_counters(snapshot, sum, COUNTER_WAY, &all);
    if (snapshot_sum_away(sum) != 0)
        print_count("away", snapshot_sum_away(sum), &pages, "of claimed, fresh, large: other nodes'");
    for (unsigned i = 0; i < HF_INSPECT_DISTANCES; i++)
        if (sum->away[i] != 0)
            print_count("", sum->away[i], &pages, distances[i]);
    if (snapshot->heap_sum.made != 0)
        printf("  pages of heaps are not among these\n");
    printf("and what else happened; a thread's part is as of its last slow path\n");
    for (unsigned place = COUNTER_OWN; place < COUNTER_UNSEEN; place++)
        print_counters(snapshot, sum, place, NULL);
}

/* What a part of all calls stayed under; of the last bucket only the lower end is known. */
static void print_quantile(const char *name, const struct snapshot *snapshot, const struct snapshot_sum *sum,
                           double part)
{
    double from = snapshot_slow_quantile(snapshot, sum, part);
    bool last = from >= snapshot_ns(snapshot, (uint64_t)1 << (HF_INSPECT_BUCKETS - 1));
    printf("%s %s %.2f us", name, last ? ">" : "<", (last ? from : 2 * from) / 1e3);
}

static void print_slow(const struct snapshot *snapshot, const struct snapshot_sum *sum)
{
    uint64_t calls = snapshot_calls(sum->slow);
    if (calls == 0)
        return;
    printf("slow paths: %llu, mean %.2f us\n", (unsigned long long)calls,
           snapshot_ns(snapshot, sum->slow_ticks) / (double)calls / 1e3);
    print_quantile("  half", snapshot, sum, 0.5);
    print_quantile(", 99 of 100", snapshot, sum, 0.99);
    print_quantile(", all", snapshot, sum, 1);
    putchar('\n');
}

static void print_causes(const struct snapshot *snapshot)
{
    char text[4][SHOW_SHORT], late[SHOW_SHORT + 2] = "";
    bool any = false, has_limit = snapshot->header.slo_ns != 0;
    if (has_limit)
        snprintf(late, sizeof late, "> %s", show_time(text[0], (double)snapshot->header.slo_ns));
    for (unsigned i = 0; i < snapshot->cause_count; i++) {
        const struct hf_inspect_slow *slow = &snapshot->causes[i];
        uint64_t calls = snapshot_calls(slow->calls);
        if (calls == 0)
            continue;
        if (!any)
            printf("%-13s %11s %8s %8s %8s %8s %9s\n", "slow calls", "calls", "p50 <", "p99 <", "p99.9 <",
                   "longest", late);
        any = true;
        snprintf(late, sizeof late, "%llu", (unsigned long long)slow->late);
        printf("  %-11s %11llu %8s %8s %8s %8s %9s\n", snapshot_cause_name(i), (unsigned long long)calls,
               show_below(text[0], snapshot, slow, 0.5), show_below(text[1], snapshot, slow, 0.99),
               show_below(text[2], snapshot, slow, 0.999),
               show_time(text[3], snapshot_ns(snapshot, slow->longest)), has_limit ? late : "");
    }
    if (any && !snapshot_tells_interrupted(snapshot))
        printf("  calls of threads that were moved are in all of these: there is no rseq(2) area\n");
}

/* --- lists --- */

static const struct snapshot *sorted;

static int by_class_pages(const void *a, const void *b)
{
    uint64_t x = sorted->class_pages[*(const unsigned *)a].pages,
             y = sorted->class_pages[*(const unsigned *)b].pages;
    return (x < y) - (x > y);
}

static int by_theap_pages(const void *a, const void *b)
{
    uint64_t x = sorted->theap_pages[*(const unsigned *)a].pages,
             y = sorted->theap_pages[*(const unsigned *)b].pages;
    return (x < y) - (x > y);
}

static void print_classes(const struct snapshot *snapshot, unsigned length)
{
    unsigned order[HF_INSPECT_MAX_CLASSES], count = 0;
    char bytes[SHOW_SHORT], used[24], fill[16], waste[SHOW_SHORT];
    for (unsigned i = 0; i < snapshot->class_count; i++)
        if (snapshot->class_pages[i].pages != 0)
            order[count++] = i;
    if (count == 0 || length == 0)
        return;
    sorted = snapshot;
    qsort(order, count, sizeof order[0], by_class_pages);
    printf("%12s %10s %14s %14s %8s %10s\n", "block bytes", "held", "blocks in use", "have room for",
           "in use", "waste");
    for (unsigned i = 0; i < count && i < length; i++) {
        const struct class_pages *class = &snapshot->class_pages[order[i]];
        bool known = snapshot_live_is_known(snapshot);
        snprintf(used, sizeof used, "%llu", (unsigned long long)class->used_blocks);
        snprintf(fill, sizeof fill, "%.0f", show_percent(class->used_blocks, class->room_blocks));
        printf("%12u %10s %14s %14llu %6s %% %10s\n", snapshot->classes[order[i]].block_bytes,
               show_size(bytes, class->pages * HF_INSPECT_PAGE_BYTES), known ? used : "?",
               (unsigned long long)class->room_blocks, known ? fill : "?",
               known ? show_size(waste, class->waste_bytes) : "?");
    }
    if (count > length)
        printf("%12s of %u more sizes: --classes\n", "", count - length);
}

static void print_theaps(const struct snapshot *snapshot, const struct snapshot_sum *sum, unsigned length)
{
    static unsigned order[HF_INSPECT_MAX_THEAPS];
    unsigned count = 0;
    char name[16], cell[64], bytes[SHOW_SHORT];
    for (unsigned i = 0; i < snapshot->theap_count; i++)
        if (snapshot->theaps[i].in_use != 0)
            order[count++] = i;
    if (count == 0 || length == 0)
        return;
    sorted = snapshot;
    qsort(order, count, sizeof order[0], by_theap_pages);
    printf("%-15s %7s %4s %4s %5s %5s %5s %5s %7s %6s %5s\n", "thread", "tid", "home", "cpu", "pages",
           "bytes", "out", "in", "claimed", "stolen", "lost");
    for (unsigned i = 0; i < count && i < length; i++) {
        const struct hf_inspect_theap *theap = &snapshot->theaps[order[i]];
        const struct theap_pages *pages = &snapshot->theap_pages[order[i]];
        const uint64_t counts[] = { pages->pages,   theap->remote_frees, theap->received,
                                    theap->claimed, theap->stolen,       theap->lost };
        char text[6][SHOW_SHORT];
        unsigned home = snapshot_node_id(snapshot, theap->home_node);
        for (unsigned j = 0; j < 6; j++)
            show_count(text[j], (double)counts[j], 5);
        printf("%s %7llu %4u %4u %5s %5s %5s %5s %7s %6s %5s\n",
               show_name(cell, sizeof cell,
                         target_thread_name((pid_t)snapshot->header.pid, theap->tid, name, sizeof name), 15),
               (unsigned long long)theap->tid, home, theap->cpu, text[0],
               snapshot_live_is_known(snapshot) ? show_bytes(bytes, (double)pages->used_bytes, 5) : "?",
               text[1], text[2], text[3], text[4], text[5]);
    }
    if (count > length)
        printf("%-15s of %u more threads: --theaps\n", "", count - length);
    if (count < sum->in_use)
        printf("%-15s %u of %llu threads shown: the segment's table ends there\n", "", count,
               (unsigned long long)sum->in_use);
}

/* As many as there are, as ever. */
static void print_heaps_head(const struct snapshot *snapshot)
{
    const struct snapshot_heaps *sum = &snapshot->heap_sum;
    char text[5][SHOW_SHORT];
    printf("heaps: %s hold %s of %s in their pages; %s were made so far\n",
           show_count(text[0], (double)sum->live, 9), show_size(text[1], sum->held),
           show_size(text[2], snapshot_figures_of_all(snapshot).heaps),
           show_count(text[3], (double)sum->made, 12));
    if (sum->failures != 0)
        printf("  their limits failed %s calls\n", show_count(text[4], (double)sum->failures, 12));
}

static void print_heap(const struct snapshot *snapshot, const struct hf_inspect_heap *heap)
{
    char cell[128], node[16], text[5][SHOW_SHORT], full[16] = "-", span[16];
    if (heap->limit != 0)
        snprintf(full, sizeof full, "%.0f", show_percent(heap->held, heap->limit));
    printf("%s %9s %-7s %4s %6s %6s %6s %5s %6s %6s\n",
           show_name(cell, sizeof cell, heap->name[0] == 0 ? "(no name)" : heap->name, 16),
           show_count(text[4], (double)heap->id, 9), snapshot_heap_kind(heap),
           snapshot_heap_place(snapshot, heap, node), show_bytes(text[0], (double)heap->held, 6),
           show_bytes(text[1], (double)heap->most, 6),
           heap->limit == 0 ? "-" : show_bytes(text[2], (double)heap->limit, 6), full,
           show_count(text[3], (double)heap->failures, 6),
           show_span(span, sizeof span, snapshot_age_ns(snapshot, heap->made_ticks)));
}

static void print_heaps(const struct snapshot *snapshot, unsigned length)
{
    static unsigned order[HF_INSPECT_MAX_HEAPS];
    const struct snapshot_heaps *sum = &snapshot->heap_sum;
    unsigned count = snapshot_heap_order(snapshot, order);
    char held[SHOW_SHORT], more[SHOW_SHORT];
    if (sum->made == 0 && sum->held == 0)
        return;
    print_heaps_head(snapshot);
    if (length == 0)
        return;
    if (count != 0)
        printf("%-16s %9s %-7s %4s %6s %6s %6s %5s %6s %6s\n", "heap", "number", "kind", "node", "held",
               "most", "limit", "%", "failed", "for");
    for (unsigned i = 0; i < count && i < length; i++)
        print_heap(snapshot, &snapshot->heaps[order[i]]);
    if (count > length)
        printf("%-16s of %u more heaps: --heaps\n", "", count - length);
    if (sum->others != 0 || sum->others_held != 0)
        printf("%-16s %s more hold %s: the segment does not tell of each\n", "",
               show_count(more, (double)sum->others, 9), show_size(held, sum->others_held));
}

static void print_events(const struct snapshot *snapshot, unsigned length)
{
    char span[16], text[160];
    unsigned first = snapshot->event_count > length ? snapshot->event_count - length : 0;
    if (first < snapshot->event_count)
        printf("last events\n");
    for (unsigned i = snapshot->event_count; i-- > first;) {
        const struct hf_inspect_event *event = &snapshot->events[i];
        unsigned id = snapshot_node_id(snapshot, event->node);
        printf("  %8s ago  node %u: %s\n",
               show_span(span, sizeof span, snapshot_age_ns(snapshot, event->ticks)), id,
               show_event(text, sizeof text, snapshot, event));
    }
}

static void print_live(const struct snapshot *snapshot)
{
    char text[SHOW_LIVE], bytes[SHOW_SHORT];
    if (snapshot->pages != NULL)
        printf("%s\n", show_live_of_all(text, snapshot));
    if (snapshot->magazine_bytes != 0)
        printf("  of unused: %s that threads keep for their next requests\n",
               show_size(bytes, snapshot->magazine_bytes));
    if (snapshot_live_is_known(snapshot) && snapshot_figures_of_all(snapshot).heaps != 0)
        printf("  of live: %s in pages of heaps, which count whole\n",
               show_size(bytes, snapshot_figures_of_all(snapshot).heaps));
    if (snapshot->pages == NULL || (snapshot_live_is_known(snapshot) && !snapshot_live_is_exact(snapshot)))
        printf("  %s\n", show_live_limits(snapshot));
}

void stat_text(const struct snapshot *snapshot, const struct stat_lengths *lengths)
{
    const struct hf_inspect_segment *header = &snapshot->header;
    struct snapshot_sum sum;
    char name[64], shown[64], library[sizeof header->library], span[16];
    snapshot_sum(snapshot, &sum);
    show_wrap_begin();
    printf("process %llu (%s), arena for %s, libholdfast %s\n", (unsigned long long)header->pid,
           tool_printable(shown, sizeof shown, target_shown_name(snapshot, name, sizeof name)),
           show_span(span, sizeof span, snapshot_age_ns(snapshot, header->clock_ticks)),
           tool_printable(library, sizeof library, header->library));
    show_kept(snapshot);
    print_live(snapshot);
    for (unsigned i = 0; i < snapshot->node_count; i++)
        print_node(snapshot, i);
    print_legend(snapshot);
    print_paths(snapshot, &sum);
    print_slow(snapshot, &sum);
    print_causes(snapshot);
    print_classes(snapshot, lengths->classes);
    print_theaps(snapshot, &sum, lengths->theaps);
    print_heaps(snapshot, lengths->heaps);
    print_events(snapshot, lengths->events);
    show_wrap_end();
}
