/*
 * top-views: what top shows below its head: one of six views, or the help.
 *
 * TV1: whatever does not fit is left out whole, from the right and from below; nothing is drawn
 *      outside of the screen.
 * TV2: without colours the parts of a bar differ by letter, what is chosen by reverse video, what is
 *      wrong by words.
 *
 * Test: tests/tool-top.sh.
 */
#include <curses.h>
#include <string.h>

#include "base/bits.h"
#include "show/show.h"
#include "top/top.h"

#define COLUMNS_MIN 40
#define ROWS_MIN 10

static unsigned visible;

unsigned top_visible(void)
{
    return visible;
}

/* --- views --- */

static int draw_tabs(const struct top *top, int row)
{
    static const char *const names[TOP_VIEWS] = {
        "theaps", "classes", "events", "nodes", "history", "heaps"
    };
    const struct top_sight *sight = &top->sights[top->view];
    int x = 1;
    char order[64] = "", tab[32];
    for (unsigned i = 0; i < TOP_VIEWS; i++) {
        chtype look = i == top->view ? A_REVERSE | A_BOLD : A_NORMAL;
        bool named = COLS >= TOP_ROOMY || i == top->view; /* on a narrow screen only where one is */
        snprintf(tab, sizeof tab, COLS >= TOP_WIDE ? " %u %s " : named ? "%u %s" : "%u", i + 1, names[i]);
        attron(look);
        mvaddstr(row, x, tab);
        attroff(look);
        x += (int)strlen(tab) + 1;
    }
    if (top_column_count(top->view) != 0)
        snprintf(order, sizeof order, "by %s, %s", top_column_title(top->view, sight->column),
                 sight->rising ? "least first" : "most first");
    if (x + (int)strlen(order) <= COLS)
        mvaddstr(row, x, order);
    return row + 1;
}

/* The first columns always, the others so that the one it is sorted by is among them. */
static unsigned choose_columns(const struct top *top, unsigned *chosen)
{
    unsigned all = top_column_count(top->view), fixed = top->view == TOP_CLASSES ? 1 : 2, count = 0,
             from = fixed;
    unsigned sorted = top->sights[top->view].column;
    for (;; from++) {
        int width = 0;
        count = 0;
        for (unsigned i = 0; i < all; i = i + 1 == fixed ? from : i + 1) {
            int needed = (int)top_column_width(top->view, i, COLS >= TOP_WIDE) + 1;
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
static size_t put_cell(const struct top *top, char *line, size_t line_bytes, unsigned column, char *text,
                       int width)
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

static void draw_heading(const struct top *top, int row, const unsigned *columns, unsigned count)
{
    int x = 0;
    for (unsigned i = 0; i < count; i++) {
        int width = (int)top_column_width(top->view, columns[i], COLS >= TOP_WIDE);
        bool is_text = top_column_is_text(top->view, columns[i]);
        chtype look = columns[i] == top->sights[top->view].column ? A_REVERSE | A_BOLD : A_BOLD;
        attron(look);
        mvprintw(row, x, is_text ? "%-*.*s" : "%*.*s", width, width, top_column_title(top->view, columns[i]));
        attroff(look);
        x += width + 1;
    }
}

/* One line of text: a call of ncurses for each cell would be most of what a refresh costs. */
static void draw_table_row(struct top *top, int row, const unsigned *columns, unsigned count, unsigned entry)
{
    char line[TOP_CELLS], text[64];
    size_t used = 0;
    for (unsigned i = 0; i < count; i++) {
        int width = (int)top_column_width(top->view, columns[i], COLS >= TOP_WIDE);
        if (used + 4 * (size_t)width + 2 > sizeof line)
            break;
        used += put_cell(top, line + used, sizeof line - used, columns[i],
                         top_cell(top, columns[i], entry, text, sizeof text, (unsigned)width), width);
        line[used++] = ' ';
    }
    line[used - (used != 0)] = 0;
    top_put_row(row, line);
}

/* Rows up to `end`; the row below the last. */
static int draw_table(struct top *top, int row, int end)
{
    unsigned columns[32], count = choose_columns(top, columns), first = top->sights[top->view].scroll;
    draw_heading(top, top_own_row(row), columns, count);
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
    uint32_t id = snapshot_node_id(&top->now, event->node);
    if (event->tid != 0)
        snprintf(who, sizeof who, "  (%llu %s)", (unsigned long long)event->tid,
                 thread_name(top, event->tid, name, sizeof name));
    snprintf(line, sizeof line, "%7s ago  node %-2u  %s%s",
             show_span(span, sizeof span, snapshot_age_ns(&top->now, event->ticks)), id,
             show_event(text, sizeof text, &top->now, event), who);
    bool alarming = event->kind == HF_EVENT_NODE_FULL || event->kind == HF_EVENT_REMOTE_BEGAN ||
                    event->kind == HF_EVENT_REPORT || event->kind == HF_EVENT_RESERVE ||
                    event->kind == HF_EVENT_HEAP_LIMIT;
    chtype look = alarming ? top->colour ? (chtype)COLOR_PAIR(COLOR_RED) : A_BOLD : A_NORMAL;
    attron(look);
    mvaddnstr(row, 0, line, COLS);
    attroff(look);
}

/* The latest first. */
static int draw_events(struct top *top, int row)
{
    mvprintw(row++, 0, "%llu so far, the last %u", (unsigned long long)top->now.header.event_count,
             top->rows);
    for (unsigned i = top->sights[TOP_EVENTS].scroll; i < top->rows && row < LINES; i++)
        draw_event(top, row++, &top->now.events[top->rows - 1 - i]);
    return row;
}

/* --- below few threads --- */

#define PAST_ROWS 6 /* a blank one, a heading, and a line for each graph */
#define BELOW_MIN 5 /* rows from which there is something: a blank one, a heading, and three of either */

/* The size classes that have pages, in the order of their view, and the last events: `row` is the
 * first that the threads leave. */
static int draw_below(struct top *top, int row, int end)
{
    unsigned theaps = top->rows, classes = 0, events = top->now.event_count;
    int room = end - row;
    top->view = TOP_CLASSES;
    top_sort(top);
    for (unsigned i = 0; i < top->rows; i++)
        if (top->map.pages != NULL && top->map.class_pages[top->order[i]].runs != 0)
            top->order[classes++] = top->order[i];
    top->rows = classes;
    /* Half of what blank lines and headings leave for each, and what one does not need for the
     * other. */
    size_t spare = room > 4 ? (size_t)room - 4 : 0;
    unsigned for_events = (unsigned)hfi_min(events, hfi_max(spare / 2, spare - hfi_min(spare, classes)));
    if (classes != 0) {
        struct top_sight sight = top->sights[TOP_CLASSES];
        top->sights[TOP_CLASSES].scroll = 0;
        top_own_row(row);
        row = draw_table(top, row + 1, end - (for_events != 0 ? (int)for_events + 2 : 0));
        top->sights[TOP_CLASSES] = sight;
    }
    top->view = TOP_THEAPS;
    top->rows = theaps;
    if (for_events == 0 || row + 2 >= end)
        return row;
    top_own_row(row);
    attron(A_BOLD);
    mvaddnstr(top_own_row(row + 1), 0, "last events", COLS);
    attroff(A_BOLD);
    row += 2;
    for (unsigned i = 0; i < events && row < end; i++, row++)
        draw_event(top, top_own_row(row), &top->now.events[events - 1 - i]);
    return row;
}

/* --- heaps --- */

/* What the table does not have is said above it. */
static int draw_heaps(struct top *top, int row)
{
    const struct snapshot_heaps *sum = &top->now.heap_sum;
    char line[160], held[SHOW_SHORT];
    if (!top_has_heaps(top)) {
        mvaddnstr(top_own_row(row), 0,
                  sum->told == 0 ? "its library does not tell of heaps"
                                 : "the program has made no heap: see hf_heap_create(3)",
                  COLS);
        return row + 1;
    }
    int used = snprintf(line, sizeof line, "%llu live", (unsigned long long)sum->live);
    if (sum->others != 0)
        used += snprintf(line + used, sizeof line - (size_t)used, "; not in the list: %llu, which hold %s",
                         (unsigned long long)sum->others, show_bytes(held, (double)sum->others_held, 6));
    snprintf(line + used, sizeof line - (size_t)used, "; %llu made so far", (unsigned long long)sum->made);
    mvaddnstr(top_own_row(row), 0, line, COLS);
    return draw_table(top, row + 1, LINES);
}

/* --- slow calls --- */

static unsigned causes_seen(const struct snapshot *snapshot)
{
    unsigned seen = 0;
    for (unsigned i = 0; i < snapshot->cause_count; i++)
        seen += snapshot_calls(snapshot->causes[i].calls) != 0;
    return seen;
}

/* Since the start, by cause; nothing where the history would have no room below. */
static int draw_causes(const struct top *top, int row)
{
    const struct snapshot *snapshot = &top->now;
    char line[128], calls[SHOW_SHORT], late[SHOW_SHORT], text[4][SHOW_SHORT];
    unsigned seen = causes_seen(snapshot);
    if (seen == 0 || LINES - row < (int)seen + 2 + PAST_ROWS)
        return row;
    attron(A_BOLD);
    snprintf(line, sizeof line, "%-11s %8s %9s %9s %9s %9s %6s", "slow calls", "calls", "p50 <", "p99 <",
             "p99.9 <", "longest", "late");
    mvaddnstr(top_own_row(row), 0, line, COLS);
    attroff(A_BOLD);
    row++;
    for (unsigned i = 0; i < snapshot->cause_count; i++) {
        const struct hf_inspect_slow *slow = &snapshot->causes[i];
        if (snapshot_calls(slow->calls) == 0)
            continue;
        snprintf(line, sizeof line, "%-11s %8s %9s %9s %9s %9s %6s", snapshot_cause_name(i),
                 show_count(calls, (double)snapshot_calls(slow->calls), 8),
                 show_below(text[0], snapshot, slow, 0.5), show_below(text[1], snapshot, slow, 0.99),
                 show_below(text[2], snapshot, slow, 0.999),
                 show_time(text[3], snapshot_ns(snapshot, slow->longest)),
                 snapshot->header.slo_ns == 0 ? "-" : show_count(late, (double)slow->late, 6));
        mvaddnstr(top_own_row(row++), 0, line, COLS);
    }
    top_own_row(row);
    return row + 1;
}

/* --- help --- */

static void draw_help(const struct top *top)
{
    static const char *const keys[] = {
        "1 to 6, Tab  another view",
        "arrows, PgUp PgDn, Home End  scroll",
        "< >  sort by the next column",
        "r  turn the order round",
        "d  set the delay",
        "h  this help; h or Escape goes back",
        "q  quit",
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
        mvaddnstr(row + 1, 1,
                  "< at most.  Counts are of last slow paths, rates of some two seconds: holdfast(1).",
                  COLS - 1);
}

/* Threads, then what there is room for: the past at the bottom, if anything. */
static int draw_threads(struct top *top, int row)
{
    row = draw_table(top, row, LINES);
    int past = LINES - row >= PAST_ROWS + BELOW_MIN ? PAST_ROWS : 0;
    if (LINES - past - row >= BELOW_MIN && (past != 0 || LINES - row < PAST_ROWS))
        row = draw_below(top, row, LINES - past);
    return row;
}

static void draw_view(struct top *top, int row)
{
    struct top_sight *sight = &top->sights[top->view];
    int heading = top->view == TOP_HEAPS ? 2 : 1;
    visible = LINES > row + heading ? (unsigned)(LINES - row - heading) : 1;
    unsigned most = top->rows > visible ? top->rows - visible : 0;
    sight->scroll = (unsigned)hfi_min(sight->scroll, most);
    switch (top->view) {
    case TOP_EVENTS: row = draw_events(top, row); break;
    case TOP_NODES: row = top_draw_nodes(top, row, LINES); break;
    case TOP_THEAPS: row = draw_threads(top, row); break;
    case TOP_CLASSES: row = draw_table(top, row, LINES); break;
    case TOP_HEAPS: row = draw_heaps(top, row); break;
    default: row = top_draw_past(top, draw_causes(top, row), LINES); break;
    }
    if (top->view != TOP_HISTORY && LINES - row >= PAST_ROWS) {
        top_own_row(row);
        row = top_draw_past(top, row + 1, LINES);
    }
    top_clear_below(row);
}

void top_draw(struct top *top)
{
    if (COLS < COLUMNS_MIN || LINES < ROWS_MIN || top->help)
        top_clear();
    if (COLS < COLUMNS_MIN || LINES < ROWS_MIN) {
        char text[80];
        snprintf(text, sizeof text, "too small: %dx%d, top needs %dx%d; q quits", COLS, LINES, COLUMNS_MIN,
                 ROWS_MIN);
        for (int row = 0, at = 0; row < LINES && at < (int)strlen(text); row++, at += COLS)
            mvaddnstr(row, 0, text + at, COLS);
    } else if (top->help) {
        draw_help(top);
    } else {
        top_sort(top);
        int row = top_head_rows(top);
        top_clear_for(top, row + (top->view == TOP_HEAPS ? 2 : 1));
        top_draw_head(top);
        draw_view(top, draw_tabs(top, row));
    }
}
