/*
 * top-head: the head of top's screen: what the process has, what happens now, and each node as a
 * bar.
 *
 * Test: tests/tool-top.sh.
 */
#include <curses.h>
#include <string.h>

#include "base/bits.h"
#include "show/show.h"
#include "top/top.h"

#define FIGURE_COLUMNS 6
#define HEAD_ROWS 4 /* title, what is live, rates */
#define BAR_LABEL 9
#define BAR_WORDS 27 /* "  61.2 % of 64 GiB 2m FULL" */
#define BAR_WORDS_FEW 9
#define LEGEND_FROM 16 /* rows of the screen */
#define LEGEND_WHOLE 24

/* --- lines of words --- */

static chtype colour_of(const struct top *top, unsigned state)
{
    if (!top->colour)
        return A_NORMAL;
    unsigned colour = show_states[state].colour;
    return state == HF_PAGE_FREE ? A_DIM : (chtype)COLOR_PAIR(colour);
}

static chtype alarm_of(const struct top *top)
{
    return top->colour ? A_BOLD | (chtype)COLOR_PAIR(COLOR_RED) : A_BOLD | A_REVERSE;
}

/* A label and its figure; left out where they do not fit. */
static void put_pair(int row, int *x, const char *label, const char *figure, chtype look)
{
    if (*x + (int)strlen(label) + 1 + (int)strlen(figure) > COLS)
        return;
    mvprintw(row, *x, "%s ", label);
    attron(look);
    addstr(figure);
    attroff(look);
    *x += (int)(strlen(label) + strlen(figure)) + 3;
}

static void put_rate(int row, int *x, const char *label, double rate)
{
    char number[SHOW_SHORT], figure[SHOW_SHORT + 4];
    show_rate(number, rate, 5);
    snprintf(figure, sizeof figure, "%s/s", number);
    put_pair(row, x, label, figure, A_BOLD);
}

static void draw_title(const struct top *top)
{
    const struct hf_inspect_segment *header = &top->now.header;
    char left[160], right[64], span[16], arena[SHOW_SHORT];
    double age = top->now.taken_ns > header->clock_ns ? (double)(top->now.taken_ns - header->clock_ns) : 0;
    size_t used = (size_t)snprintf(left, sizeof left, "%s (%ld)  %s", top->name, (long)top->target.pid,
                                   show_size(arena, snapshot_figures_of_all(&top->now).total));
    if (COLS >= TOP_ROOMY)
        used += (size_t)snprintf(left + used, sizeof left - used, " on %u node%s", top->now.node_count,
                                 top->now.node_count == 1 ? "" : "s");
    show_span(span, sizeof span, age);
    if (used + strlen(span) + 5 <= (size_t)COLS)
        snprintf(left + used, sizeof left - used, "  up %s", span);
    if (top->prompting && top->refused[0] != 0)
        snprintf(right, sizeof right, "%s is not %g to %g; delay in seconds: %s_", top->refused,
                 TOP_DELAY_MIN, TOP_DELAY_MAX, top->prompt);
    else if (top->prompting)
        snprintf(right, sizeof right, "delay in seconds: %s_", top->prompt);
    else
        snprintf(right, sizeof right, "%g s  h help  q quit", top->delay);
    attron(A_REVERSE);
    mvhline(0, 0, ' ', COLS);
    mvaddnstr(0, 0, left, COLS);
    if (top->prompting || (int)(strlen(left) + strlen(right)) + 2 <= COLS)
        mvaddnstr(0, COLS > (int)strlen(right) ? COLS - (int)strlen(right) : 0, right, COLS);
    attroff(A_REVERSE);
}

/* What the program has, and what stands for it. */
static void draw_live(const struct top *top)
{
    const struct snapshot *map = &top->map;
    char figure[SHOW_SHORT + 2], bytes[SHOW_SHORT];
    double live = (double)map->live_bytes, held = (double)top_held(top);
    int x = 1;
    bool known = snapshot_live_is_known(map);
    snprintf(figure, sizeof figure, "%s%s", !known || snapshot_live_is_exact(map) ? "" : "<",
             known ? show_bytes(bytes, live, FIGURE_COLUMNS) : "unknown");
    put_pair(1, &x, "live", figure, A_BOLD);
    put_pair(1, &x, "held", show_bytes(bytes, held, FIGURE_COLUMNS), A_BOLD);
    if (!known || live <= 0)
        return;
    snprintf(figure, sizeof figure, "%.2f", held / live);
    put_pair(1, &x, "held/live", figure, A_BOLD);
    put_pair(1, &x, "unused", show_bytes(bytes, held - live, FIGURE_COLUMNS), A_BOLD);
}

static void put_share(const struct top *top, int *x)
{
    const struct snapshot_sum *sum = &top->sum;
    const struct top_rates *rates = &top->rates;
    char figure[48];
    double taken = rates->claimed + rates->fresh + rates->large;
    double ever = show_percent(snapshot_sum_away(sum), sum->claimed + sum->fresh + sum->large);
    snprintf(figure, sizeof figure, COLS < TOP_ROOMY ? "%.1f %%" : "%.1f %% (ever %.1f %%)",
             taken < 0.01 ? 0 : 100 * rates->away / taken, ever);
    put_pair(2, x, "remote", figure, ever >= 1 || rates->away > 0.01 ? alarm_of(top) : A_BOLD);
}

static void draw_rates(const struct top *top)
{
    const struct top_rates *rates = &top->rates;
    char late[24], ever[24], figure[56], failed[SHOW_SHORT], threads[64];
    unsigned listed = snapshot_threads_listed(&top->now);
    int x = 1;
    put_rate(2, &x, "slow paths", rates->slow);
    put_share(top, &x);
    snprintf(figure, sizeof figure, "%s (ever %s)", top_below(late, sizeof late, top_p99_ns(top)),
             top_below(ever, sizeof ever, top_p99_ever_ns(top)));
    put_pair(2, &x, "p99", figure, A_BOLD);
    x = 1;
    snprintf(threads, sizeof threads, listed < top->sum.in_use ? "%llu (%u shown)" : "%llu",
             (unsigned long long)top->sum.in_use, listed);
    put_pair(3, &x, "threads", threads, A_BOLD);
    put_pair(3, &x, "failed", show_count(failed, (double)top->sum.failed, 5),
             top->sum.failed != 0 ? alarm_of(top) : A_BOLD);
    put_rate(3, &x, "claimed", rates->claimed);
    put_rate(3, &x, "fresh", rates->fresh);
    put_rate(3, &x, "stolen", rates->stolen);
    put_rate(3, &x, "large", rates->large);
    put_rate(3, &x, "remote frees", rates->remote);
    put_rate(3, &x, "given back", rates->retired);
}

/* Heaps of the program, and the reserve; where the screen is low, nothing. */
static bool has_heap_line(const struct top *top)
{
    return LINES >= LEGEND_FROM && (top_has_heaps(top) || top_has_reserve(top));
}

static void put_reserve(const struct top *top, int row, int *x)
{
    uint64_t bytes = 0, used = 0, uses = 0;
    char text[3][SHOW_SHORT], figure[96];
    for (unsigned i = 0; i < top->now.node_count; i++) {
        bytes += top->now.nodes[i].reserve;
        used += top->now.nodes[i].reserve_used;
        uses += top->now.nodes[i].reserve_uses;
    }
    snprintf(figure, sizeof figure,
             uses == 0   ? "%s of %s"
             : uses == 1 ? "%s of %s, begun once"
                         : "%s of %s, begun %s times",
             show_bytes(text[0], (double)used, FIGURE_COLUMNS),
             show_bytes(text[1], (double)bytes, FIGURE_COLUMNS), show_count(text[2], (double)uses, 5));
    put_pair(row, x, "reserve", figure, uses != 0 ? alarm_of(top) : A_BOLD);
}

/* What matters most first: a narrow screen leaves out what is behind. */
static void draw_heap_line(const struct top *top, int row)
{
    const struct snapshot_heaps *sum = &top->now.heap_sum;
    char count[SHOW_SHORT], held[SHOW_SHORT], figure[2 * SHOW_SHORT + 16];
    int x = 1;
    if (top_has_heaps(top)) {
        snprintf(figure, sizeof figure, "%s hold %s", show_count(count, (double)sum->live, 5),
                 show_bytes(held, (double)sum->held, FIGURE_COLUMNS));
        put_pair(row, &x, "heaps", figure, A_BOLD);
        if (sum->failures != 0)
            put_pair(row, &x, "over limits", show_count(count, (double)sum->failures, 5), alarm_of(top));
    }
    if (top_has_reserve(top))
        put_reserve(top, row, &x);
    if (top_has_heaps(top))
        put_rate(row, &x, "made", top->rates.heaps_made);
}

/* --- nodes --- */

void top_put_cells(const struct top *top, unsigned state, unsigned quarters, unsigned cells)
{
    char text[3 * TOP_CELLS + 1];
    const char *glyph = show_glyph(state, quarters, top->colour && top->utf8);
    size_t step = strlen(glyph);
    cells = (unsigned)hfi_min(cells, TOP_CELLS);
    for (unsigned i = 0; i < cells; i++)
        memcpy(text + i * step, glyph, step);
    attron(colour_of(top, state));
    addnstr(text, (int)(cells * step));
    attroff(colour_of(top, state));
}

static void draw_bar(const struct top *top, unsigned node, unsigned width)
{
    struct show_piece pieces[SHOW_PIECES];
    unsigned count = show_bar(pieces, &top->map, node, width);
    for (unsigned i = 0; i < count; i++)
        top_put_cells(top, pieces[i].state, pieces[i].in_use ? 3 : 0, pieces[i].cells);
}

static void draw_node_line(const struct top *top, int row, unsigned index)
{
    const struct hf_inspect_node *node = &top->map.nodes[index];
    char size[SHOW_SHORT];
    bool roomy = COLS >= TOP_ROOMY;
    int words = roomy ? BAR_WORDS : BAR_WORDS_FEW;
    mvprintw(row, 1, "node %-2u", node->id);
    mvaddch(row, BAR_LABEL - 1, '[');
    draw_bar(top, index, (unsigned)(COLS - BAR_LABEL - words - 1));
    addch(']');
    printw(" %5.1f %%", show_percent(node->used, node->total));
    if (!roomy)
        return;
    printw(" of %s ", show_size(size, node->total));
    if ((node->flags & HF_INSPECT_NODE_FULL) != 0) {
        attron(alarm_of(top));
        addstr("FULL");
        attroff(alarm_of(top));
    } else {
        addstr((node->flags & HF_INSPECT_NODE_POPULATING) != 0 ? "rising"
                                                               : snapshot_backing_name(node->backing));
    }
}

/* An entry of the legend, "█ owned"; behind the states how unused room looks, with a question mark
 * where that is not known.  Its columns, 0 behind the last. */
static int put_legend(const struct top *top, unsigned entry, bool drawn_too)
{
    if (entry > SHOW_ORDER)
        return 0;
    unsigned state = entry < SHOW_ORDER ? show_order[entry] : HF_PAGE_OWNED;
    const char *word = entry < SHOW_ORDER ? show_states[state].word : "unused";
    if (drawn_too) {
        if (entry < SHOW_ORDER || snapshot_live_is_known(&top->map))
            top_put_cells(top, state, entry < SHOW_ORDER && state != SHOW_KEPT ? 3 : 0, 1);
        else
            addch('?');
        printw(" %s", word);
    }
    return (int)strlen(word) + 2;
}

/* In as many rows as it takes, of a low screen in none.  How many. */
static int draw_bar_legend(const struct top *top, int row, bool drawn_too)
{
    int left = COLS >= TOP_ROOMY ? BAR_LABEL : 1, x = left, first = row;
    if (LINES < LEGEND_FROM)
        return 0;
    for (unsigned i = 0; put_legend(top, i, false) != 0; i++) {
        int width = put_legend(top, i, false);
        if (i < SHOW_ORDER && !show_occurs(&top->map, show_order[i]))
            continue;
        if (x + width > COLS) {
            if (LINES < LEGEND_WHOLE)
                break;
            row++;
            x = left;
        }
        move(row, x);
        put_legend(top, i, drawn_too);
        x += width + 2;
    }
    return row + 1 - first;
}

/* Nodes that have a bar: of too many one less than there is room for, which a line about the others
 * takes. */
static unsigned node_lines(const struct top *top)
{
    unsigned room = (unsigned)(LINES > 16 ? (LINES - 8) / 2 : 2), nodes = top->map.node_count;
    return nodes <= room ? nodes : room - 1;
}

int top_head_rows(const struct top *top)
{
    unsigned shown = node_lines(top);
    return HEAD_ROWS + has_heap_line(top) + (int)shown + (shown < top->map.node_count) +
           draw_bar_legend(top, 0, false);
}

static void draw_nodes(const struct top *top, int row)
{
    unsigned nodes = top->map.node_count, shown = node_lines(top);
    for (unsigned i = 0; i < shown; i++)
        draw_node_line(top, row++, i);
    if (shown < nodes)
        mvprintw(row++, 1, "and %u more node%s: key 4", nodes - shown, nodes - shown == 1 ? "" : "s");
    draw_bar_legend(top, row, true);
}

void top_draw_head(const struct top *top)
{
    draw_title(top);
    draw_live(top);
    draw_rates(top);
    if (has_heap_line(top))
        draw_heap_line(top, HEAD_ROWS);
    draw_nodes(top, HEAD_ROWS + has_heap_line(top));
}
