/*
 * top-views: what top shows: the head, the nodes as bars, and below them one of four views or the help.
 *
 * W1: whatever does not fit is left out whole, from the right and from below; nothing is drawn outside of the screen.
 * W2: rows of a table stay on the screen from one refresh to the next, and of one that changes the part that does is written.
 * W3: without colours the parts of a bar differ by letter, what is chosen by reverse video, what is wrong by words.
 *
 * Test: tests/tool-top.sh.
 */
#include <curses.h>
#include <string.h>

#include "base/bits.h"
#include "kernel/os.h"
#include "show.h"
#include "top.h"

#define COLUMNS_MIN 40
#define ROWS_MIN 10
#define WIDE 110        /* columns from which the tables have room to spare */
#define ROOMY 60       /* from which there are words beside the bars */
#define BAR_LABEL 9
#define BAR_WORDS 27    /* "  61.2 % of 64 GiB 2m FULL" */
#define BAR_WORDS_FEW 9

#define CELLS_MAX 512   /* columns of a bar, and bytes of a table's row */
#define ROWS_KEPT 256

static unsigned visible;

/* What the table's rows say on the screen; none where there is no table. */
static struct {
    enum top_view view;
    int first, columns, lines; /* the first row, and the screen's size; first 0: there is no table */
    char rows[ROWS_KEPT][CELLS_MAX];
} drawn;

unsigned top_visible(void)
{
    return visible;
}

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
    char left[160], right[64], span[16], arena[16];
    uint64_t total = 0;
    for (unsigned i = 0; i < top->now.node_count; i++)
        total += top->now.nodes[i].total;
    double age = top->now.taken_ns > header->clock_ns ? (double)(top->now.taken_ns - header->clock_ns) : 0;
    snprintf(left, sizeof left, "%s (%ld)  %s on %u node%s  up %s", top->name, (long)top->target.pid, hfi_format_bytes(arena, sizeof arena, total),
             top->now.node_count, top->now.node_count == 1 ? "" : "s", show_span(span, sizeof span, age));
    if (top->prompting && top->refused[0] != 0)
        snprintf(right, sizeof right, "%s is not %g to %g; delay in seconds: %s_", top->refused, TOP_DELAY_MIN, TOP_DELAY_MAX, top->prompt);
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

static void put_share(const struct top *top, int *x)
{
    const struct snapshot_sum *sum = &top->sum;
    const struct top_rates *rates = &top->rates;
    char figure[48];
    double taken = rates->claimed + rates->fresh + rates->large;
    double ever = show_percent(snapshot_sum_away(sum), sum->claimed + sum->fresh + sum->large);
    snprintf(figure, sizeof figure, COLS < ROOMY ? "%.1f %%" : "%.1f %% (ever %.1f %%)", taken < 0.01 ? 0 : 100 * rates->away / taken, ever);
    put_pair(1, x, "remote", figure, ever >= 1 || rates->away > 0.01 ? alarm_of(top) : A_BOLD);
}

static void draw_rates(const struct top *top)
{
    const struct top_rates *rates = &top->rates;
    char late[24], ever[24], figure[56], failed[SHOW_SHORT], threads[64];
    unsigned listed = snapshot_threads_listed(&top->now);
    int x = 1;
    put_rate(1, &x, "slow paths", rates->slow);
    put_share(top, &x);
    snprintf(figure, sizeof figure, "%s (ever %s)", top_below(late, sizeof late, top_p99_ns(top)), top_below(ever, sizeof ever, top_p99_ever_ns(top)));
    put_pair(1, &x, "p99", figure, A_BOLD);
    x = 1;
    snprintf(threads, sizeof threads, listed < top->sum.in_use ? "%llu (%u shown)" : "%llu", (unsigned long long)top->sum.in_use, listed);
    put_pair(2, &x, "threads", threads, A_BOLD);
    put_pair(2, &x, "failed", show_count(failed, (double)top->sum.failed, 5), top->sum.failed != 0 ? alarm_of(top) : A_BOLD);
    put_rate(2, &x, "claimed", rates->claimed);
    put_rate(2, &x, "fresh", rates->fresh);
    put_rate(2, &x, "stolen", rates->stolen);
    put_rate(2, &x, "large", rates->large);
    put_rate(2, &x, "remote frees", rates->remote);
    put_rate(2, &x, "given back", rates->retired);
}

/* --- nodes --- */

static void put_cells(const struct top *top, unsigned state, bool in_use, unsigned cells)
{
    char text[3 * CELLS_MAX + 1];
    const char *glyph = show_glyph(state, in_use ? 3 : 0, top->colour && top->utf8);
    size_t step = strlen(glyph);
    cells = (unsigned)hfi_min(cells, CELLS_MAX);
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
        put_cells(top, pieces[i].state, pieces[i].in_use, pieces[i].cells);
}

static void draw_node_line(const struct top *top, int row, unsigned index)
{
    const struct hf_inspect_node *node = &top->map.nodes[index];
    char size[16];
    bool roomy = COLS >= ROOMY;
    int words = roomy ? BAR_WORDS : BAR_WORDS_FEW;
    mvprintw(row, 1, "node %-2u", node->id);
    mvaddch(row, BAR_LABEL - 1, '[');
    draw_bar(top, index, (unsigned)(COLS - BAR_LABEL - words - 1));
    addch(']');
    printw(" %5.1f %%", show_percent(node->used, node->total));
    if (!roomy)
        return;
    printw(" of %s ", hfi_format_bytes(size, sizeof size, node->total));
    if ((node->flags & HF_INSPECT_NODE_FULL) != 0) {
        attron(alarm_of(top));
        addstr("FULL");
        attroff(alarm_of(top));
    } else {
        addstr((node->flags & HF_INSPECT_NODE_POPULATING) != 0 ? "rising" : snapshot_backing_name(node->backing));
    }
}

/* "█ owned", and at last how unused room looks. */
static void draw_bar_legend(const struct top *top, int row)
{
    int x = BAR_LABEL;
    for (unsigned i = 0; i <= SHOW_ORDER; i++) {
        unsigned state = i < SHOW_ORDER ? show_order[i] : HF_PAGE_OWNED;
        const char *word = i < SHOW_ORDER ? show_states[state].word : top->colour && top->utf8 ? "unused" : "small: unused";
        int width = (int)strlen(word) + (i < SHOW_ORDER || (top->colour && top->utf8) ? 2 : 0);
        if (x + width > COLS)
            return;
        move(row, x);
        if (width != (int)strlen(word)) {
            put_cells(top, state, i < SHOW_ORDER && state != SHOW_KEPT, 1);
            addch(' ');
        }
        addstr(word);
        x += width + 2;
    }
}

/* Nodes that have a bar: of too many one less than there is room for, which a line about the others takes. */
static unsigned node_lines(const struct top *top)
{
    unsigned room = (unsigned)(LINES > 16 ? (LINES - 8) / 2 : 2), nodes = top->map.node_count;
    return nodes <= room ? nodes : room - 1;
}

/* Where the table's heading is: below the head, the bars and the tabs. */
static int view_row(const struct top *top)
{
    unsigned shown = node_lines(top);
    return 3 + (int)shown + (shown < top->map.node_count) + (LINES >= 16) + 1;
}

static int draw_nodes(const struct top *top, int row)
{
    unsigned nodes = top->map.node_count, shown = node_lines(top);
    for (unsigned i = 0; i < shown; i++)
        draw_node_line(top, row++, i);
    if (shown < nodes)
        mvprintw(row++, 1, "and %u more node%s: key 4", nodes - shown, nodes - shown == 1 ? "" : "s");
    if (LINES >= 16)
        draw_bar_legend(top, row++);
    return row;
}

/* --- views --- */

static int draw_tabs(const struct top *top, int row)
{
    static const char *const names[TOP_VIEWS] = { "theaps", "size classes", "events", "nodes" };
    static const char *const short_names[TOP_VIEWS] = { "theaps", "classes", "events", "nodes" };
    const struct top_sight *sight = &top->sights[top->view];
    int x = 1;
    for (unsigned i = 0; i < TOP_VIEWS; i++) {
        chtype look = i == top->view ? A_REVERSE | A_BOLD : A_NORMAL;
        const char *name = COLS >= ROOMY ? names[i] : short_names[i];
        attron(look);
        mvprintw(row, x, " %u %s ", i + 1, name);
        attroff(look);
        x += (int)strlen(name) + (COLS >= ROOMY ? 5 : 4);
    }
    if (top_column_count(top->view) != 0 && x + 24 <= COLS)
        mvprintw(row, x + 1, "by %s, %s", top_column_title(top->view, sight->column), sight->rising ? "least first" : "most first");
    return row + 1;
}

/* The first columns always, the others so that the one it is sorted by is among them. */
static unsigned choose_columns(const struct top *top, unsigned *chosen)
{
    unsigned all = top_column_count(top->view), fixed = top->view == TOP_THEAPS ? 2 : 1, count = 0, from = fixed;
    unsigned sorted = top->sights[top->view].column;
    for (;; from++) {
        int width = 0;
        count = 0;
        for (unsigned i = 0; i < all; i = i + 1 == fixed ? from : i + 1) {
            int needed = (int)top_column_width(top->view, i, COLS >= WIDE) + 1;
            if (width + needed > COLS + 1)
                break;
            width += needed;
            chosen[count++] = i;
        }
        if (sorted < fixed || from >= sorted || (count != 0 && chosen[count - 1] >= sorted))
            return count;
    }
}

/* A cell at its column's width: names from the left, figures from the right. */
static size_t put_cell(const struct top *top, char *line, size_t line_bytes, unsigned column, char *text, int width)
{
    int length = (int)strlen(text);
    if (top_column_is_text(top->view, column))
        return strlen(show_name(line, line_bytes, text, (unsigned)width));
    if (length > width)
        text[width - 1] = '>'; /* no figure that looks whole and is not */
    length = length < width ? length : width;
    memset(line, ' ', (size_t)width);
    memcpy(line + width - length, text, (size_t)length);
    return (size_t)width;
}

/* For what is no row of a table, and may have colours: it is written anew each time. */
static int own_row(int row)
{
    move(row, 0);
    clrtoeol();
    if (row < ROWS_KEPT)
        strcpy(drawn.rows[row], "\x80"); /* as no row of a table is */
    return row;
}

static void draw_heading(const struct top *top, int row, const unsigned *columns, unsigned count)
{
    int x = 0;
    for (unsigned i = 0; i < count; i++) {
        int width = (int)top_column_width(top->view, columns[i], COLS >= WIDE);
        bool is_text = top_column_is_text(top->view, columns[i]);
        chtype look = columns[i] == top->sights[top->view].column ? A_REVERSE | A_BOLD : A_BOLD;
        attron(look);
        mvprintw(row, x, is_text ? "%-*.*s" : "%*.*s", width, width, top_column_title(top->view, columns[i]));
        attroff(look);
        x += width + 1;
    }
}

static bool is_ascii(const char *text)
{
    while (*text != 0 && (unsigned char)*text < 128)
        text++;
    return *text == 0;
}

/* Of a row that says something else than before, from the first character that differs to the last. */
static void put_row(int row, char *line)
{
    char *before = row < ROWS_KEPT ? drawn.rows[row] : NULL;
    size_t length = strlen(line), first = 0, last = length;
    if (before != NULL && strlen(before) == length && is_ascii(before) && is_ascii(line)) {
        while (first < length && line[first] == before[first])
            first++;
        while (last > first && line[last - 1] == before[last - 1])
            last--;
    } else {
        move(row, 0);
        clrtoeol();
    }
    if (first < last) /* columns were chosen so that they fit */
        mvaddnstr(row, (int)first, line + first, (int)(last - first));
    if (before != NULL)
        memcpy(before, line, length + 1);
}

/* One line of text: a call of ncurses for each cell would be most of what a refresh costs. */
static void draw_table_row(struct top *top, int row, const unsigned *columns, unsigned count, unsigned entry)
{
    char line[CELLS_MAX], text[64];
    size_t used = 0;
    for (unsigned i = 0; i < count; i++) {
        int width = (int)top_column_width(top->view, columns[i], COLS >= WIDE);
        if (used + 4 * (size_t)width + 2 > sizeof line)
            break;
        used += put_cell(top, line + used, sizeof line - used, columns[i], top_cell(top, columns[i], entry, text, sizeof text, (unsigned)width), width);
        line[used++] = ' ';
    }
    line[used - (used != 0)] = 0;
    put_row(row, line);
}

/* Before the first row of a view is drawn: whether the rows below it are as draw_table left them. */
static bool keeps_rows(const struct top *top, int first)
{
    return drawn.first == first && drawn.view == top->view && drawn.columns == COLS && drawn.lines == LINES;
}

/* Makes the screen blank but for the rows that stay. */
static void clear_for(const struct top *top, int first)
{
    bool table = top_column_count(top->view) != 0 && LINES <= ROWS_KEPT;
    if (!table || !keeps_rows(top, first)) {
        erase();
        memset(drawn.rows, 0, sizeof drawn.rows);
    }
    for (int row = 0; row <= first; row++) {
        move(row, 0);
        clrtoeol();
    }
    drawn.first = table ? first : 0;
    drawn.view = top->view;
    drawn.columns = COLS;
    drawn.lines = LINES;
}

/* Rows up to `end`; the row below the last. */
static int draw_table(struct top *top, int row, int end)
{
    unsigned columns[32], count = choose_columns(top, columns), first = top->sights[top->view].scroll;
    draw_heading(top, own_row(row), columns, count);
    for (unsigned i = first; i < top->rows && row + 1 < end; i++)
        draw_table_row(top, ++row, columns, count, top->order[i]);
    return row + 1;
}

/* A theap's is at hand. */
static const char *thread_name(struct top *top, uint64_t tid, char *name, size_t name_bytes)
{
    char text[TOP_NAME_BYTES];
    for (unsigned i = 0; i < top->now.theap_count; i++)
        if (top->now.theaps[i].tid == tid && top->now.theaps[i].in_use != 0)
            return top_theap_name(top, i);
    return tool_printable(name, name_bytes, target_thread_name(top->target.pid, tid, text, sizeof text));
}

static void draw_event(struct top *top, int row, const struct hf_inspect_event *event)
{
    char text[128], span[16], name[TOP_NAME_BYTES], who[64] = "", line[256];
    uint32_t id = event->node < top->now.node_count ? top->now.nodes[event->node].id : event->node;
    if (event->tid != 0)
        snprintf(who, sizeof who, "  (%llu %s)", (unsigned long long)event->tid,
                 thread_name(top, event->tid, name, sizeof name));
    snprintf(line, sizeof line, "%7s ago  node %-2u  %s%s", show_span(span, sizeof span, snapshot_age_ns(&top->now, event->ticks)), id,
             show_event(text, sizeof text, &top->now, event), who);
    bool alarming = event->kind == HF_EVENT_NODE_FULL || event->kind == HF_EVENT_REMOTE_BEGAN || event->kind == HF_EVENT_REPORT;
    chtype look = alarming ? top->colour ? (chtype)COLOR_PAIR(COLOR_RED) : A_BOLD : A_NORMAL;
    attron(look);
    mvaddnstr(row, 0, line, COLS);
    attroff(look);
}

/* The latest first. */
static void draw_events(struct top *top, int row)
{
    mvprintw(row++, 0, "%llu so far, the last %u", (unsigned long long)top->now.header.event_count, top->rows);
    for (unsigned i = top->sights[TOP_EVENTS].scroll; i < top->rows && row < LINES; i++)
        draw_event(top, row++, &top->now.events[top->rows - 1 - i]);
}

static void draw_node_details(struct top *top, int row)
{
    char text[7][SHOW_SHORT], span[16], line[256];
    attron(A_BOLD);
    mvaddnstr(row++, 0, "node  total   used   idle  large    own   free longest    most      ago theaps  on", COLS);
    attroff(A_BOLD);
    for (unsigned i = top->sights[TOP_NODES].scroll; i < top->rows && row < LINES; i++) {
        const struct hf_inspect_node *node = &top->now.nodes[i];
        const uint64_t figures[] = { node->total, node->used, node->idle, node->large, node->meta, node->free,
                                     i < top->map.node_count ? top->map.node_pages[i].longest_free * HF_INSPECT_PAGE_BYTES : 0 };
        for (unsigned j = 0; j < sizeof figures / sizeof figures[0]; j++)
            show_bytes(text[j], (double)figures[j], 6);
        show_span(span, sizeof span, snapshot_age_ns(&top->now, node->high_water_ticks));
        snprintf(line, sizeof line, "%4u %6s %6s %6s %6s %6s %6s %7s %5.1f %% %8s %6llu  %-3s  %s %s", node->id, text[0], text[1], text[2],
                 text[3], text[4], text[5], text[6], show_percent(node->high_water, node->total), span, (unsigned long long)node->theaps,
                 snapshot_backing_name(node->backing), (node->flags & HF_INSPECT_NODE_LOCKED) != 0 ? "locked" : "not locked",
                 (node->flags & HF_INSPECT_NODE_BOUND) != 0 ? "bound" : "not bound");
        mvaddnstr(row++, 0, line, COLS < WIDE ? (int)hfi_min((size_t)COLS, 81) : COLS);
    }
}

/* --- below few threads --- */

#define BELOW_MIN 5 /* rows from which there is something: a blank one, a heading, and three of either */

/* The size classes that have pages, in the order of their view, and the last events: `row` is the first that the threads leave. */
static int draw_below(struct top *top, int row)
{
    unsigned theaps = top->rows, classes = 0, events = top->now.event_count;
    int room = LINES - row;
    top->view = TOP_CLASSES;
    top_sort(top);
    for (unsigned i = 0; i < top->rows; i++)
        if (top->map.pages != NULL && top->map.class_pages[top->order[i]].runs != 0)
            top->order[classes++] = top->order[i];
    top->rows = classes;
    /* half of the room for each, and what one does not need for the other */
    int for_events = (int)hfi_min(events, hfi_max((size_t)room / 2, (size_t)room - hfi_min((size_t)room, classes + 4)));
    if (classes != 0) {
        struct top_sight sight = top->sights[TOP_CLASSES];
        top->sights[TOP_CLASSES].scroll = 0;
        own_row(row);
        row = draw_table(top, row + 1, LINES - (events != 0 ? for_events + 2 : 0));
        top->sights[TOP_CLASSES] = sight;
    }
    top->view = TOP_THEAPS;
    top->rows = theaps;
    if (events == 0 || row + 2 >= LINES)
        return row;
    own_row(row);
    attron(A_BOLD);
    mvaddnstr(own_row(row + 1), 0, "last events", COLS);
    attroff(A_BOLD);
    row += 2;
    for (unsigned i = 0; i < events && row < LINES; i++, row++)
        draw_event(top, own_row(row), &top->now.events[events - 1 - i]);
    return row;
}

/* --- help --- */

static void draw_help(const struct top *top)
{
    static const char *const keys[] = {
        "1 2 3 4, Tab  theaps, size classes, events, nodes", "arrows, PgUp PgDn, Home End  scroll", "< >  sort by the next column",
        "r  turn the order round", "d  set the delay", "h  this help; h or Escape goes back", "q  quit",
    };
    int row = 2, count = (int)(sizeof keys / sizeof keys[0]);
    mvaddnstr(0, 0, "holdfast top: keys", COLS);
    for (int i = 0; i < count && row < LINES; i++)
        mvaddnstr(row++, 1, keys[i], COLS - 1);
    row++;
    for (unsigned i = 0; i < top_column_count(top->view); i++) {
        if (row >= LINES)
            return;
        mvprintw(row, 1, "%c  ", top_column_key(top->view, i));
        printw("%s: ", top_column_title(top->view, i));
        addnstr(top_column_meaning(top->view, i), COLS - getcurx(stdscr));
        row++;
    }
    if (row + 2 < LINES)
        mvaddnstr(row + 1, 1, "Rates are averages of some two seconds.  More in holdfast(1).", COLS - 1);
}

static void draw_view(struct top *top, int row)
{
    struct top_sight *sight = &top->sights[top->view];
    visible = LINES > row + 1 ? (unsigned)(LINES - row - 1) : 1;
    unsigned most = top->rows > visible ? top->rows - visible : 0;
    sight->scroll = (unsigned)hfi_min(sight->scroll, most);
    switch (top->view) {
    case TOP_EVENTS: draw_events(top, row); break;
    case TOP_NODES: draw_node_details(top, row); break;
    default:
        row = draw_table(top, row, LINES);
        if (top->view == TOP_THEAPS && LINES - row >= BELOW_MIN)
            row = draw_below(top, row);
        for (; row < LINES && row < ROWS_KEPT; row++)
            if (drawn.rows[row][0] != 0)
                put_row(row, (char[1]){ "" });
        break;
    }
}

void top_draw(struct top *top)
{
    if (COLS < COLUMNS_MIN || LINES < ROWS_MIN || top->help) {
        erase();
        drawn.first = 0;
    }
    if (COLS < COLUMNS_MIN || LINES < ROWS_MIN) {
        char text[80];
        snprintf(text, sizeof text, "too small: %dx%d, top needs %dx%d; q quits", COLS, LINES, COLUMNS_MIN, ROWS_MIN);
        for (int row = 0, at = 0; row < LINES && at < (int)strlen(text); row++, at += COLS)
            mvaddnstr(row, 0, text + at, COLS);
    } else if (top->help) {
        draw_help(top);
    } else {
        top_sort(top);
        clear_for(top, view_row(top));
        draw_title(top);
        draw_rates(top);
        draw_view(top, draw_tabs(top, draw_nodes(top, 3)));
    }
    top_refresh();
}
