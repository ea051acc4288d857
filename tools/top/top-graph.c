/*
 * top-graph: the last minutes as graphs, one above the other: what is live and held, and how
 * often threads asked for more.
 *
 * A column is one point of the past or several neighbours, as many as keep all of it on the screen.
 * It shows the most of them, so that no peak is lost.  Neighbours are the same ones at each
 * refresh, so a graph moves, and does not flicker.
 *
 * Test: tests/tool-top.sh.
 */
#include <curses.h>
#include <string.h>

#include "base/bits.h"
#include "show/show.h"
#include "top/top.h"

#define LABEL_COLUMNS 8
#define FIGURE_COLUMNS 8
#define MOST_COLUMNS 12 /* " most 60.4Mi" */
#define MOST_FROM 60    /* columns of the screen from which there is room for it */
#define HEIGHT_MAX 8
#define EIGHTHS 8

struct lane {
    enum top_lane number;
    const char *word;
    short colour;
    bool bytes;
};

static const struct lane lanes[TOP_LANES] = {
    { LANE_LIVE, "live", COLOR_GREEN, true },
    { LANE_HELD, "held", COLOR_YELLOW, true },
    { LANE_SLOW, "slow/s", COLOR_CYAN, false },
    { LANE_PAGES, "pages/s", COLOR_BLUE, false },
};

/* Where the columns lie in the past. */
struct window {
    unsigned columns, step; /* points to a column */
    unsigned first, end;    /* points, by how many there have been */
};

static const struct top_point *point(const struct top *top, unsigned number)
{
    return &top->past[number % TOP_PAST];
}

static struct window choose_window(const struct top *top)
{
    static const unsigned steps[] = { 1, 2, 5, 10, 15, 20, 30, TOP_PAST };
    int room = COLS - LABEL_COLUMNS - FIGURE_COLUMNS - (COLS >= MOST_FROM ? MOST_COLUMNS : 0);
    unsigned columns = (unsigned)hfi_min((size_t)room, TOP_PAST),
             have = (unsigned)hfi_min(top->past_count, TOP_PAST), i = 0;
    while (steps[i] < TOP_PAST && (have + steps[i] - 1) / steps[i] + 1 > columns)
        i++;
    struct window window = { .columns = columns, .step = steps[i], .end = top->past_count };
    unsigned newest = (window.end - 1) / window.step, shown = columns * window.step;
    window.first = (newest + 1) * window.step > shown ? (newest + 1) * window.step - shown : 0;
    window.first = (unsigned)hfi_max(window.first, top->past_count - have);
    return window;
}

/* Of the points of a column, counted from the left; negative where there is none. */
static double column_value(const struct top *top, const struct window *window, enum top_lane lane,
                           unsigned column)
{
    unsigned newest = (window->end - 1) / window->step, back = window->columns - 1 - column;
    double most = -1;
    if (back > newest)
        return most;
    unsigned from = (newest - back) * window->step;
    for (unsigned i = from; i < from + window->step && i < window->end; i++)
        if (i >= window->first && point(top, i)->values[lane] > most)
            most = point(top, i)->values[lane];
    return most;
}

static const char *glyph_of(const struct top *top, int eighths)
{
    static const char *const blocks[EIGHTHS + 1] = { " ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
    static const char *const signs[EIGHTHS + 1] = { " ", ".", ".", ":", ":", ":", "|", "|", "#" };
    return (top->utf8 ? blocks : signs)[eighths < 0 ? 0 : eighths > EIGHTHS ? EIGHTHS : eighths];
}

/* One row of a lane, `level` rows above its lowest. */
static void draw_level(const struct top *top, const struct window *window, const struct lane *lane,
                       double most, int height, int level)
{
    char text[3 * TOP_PAST + 1];
    size_t used = 0;
    for (unsigned column = 0; column < window->columns; column++) {
        double value = column_value(top, window, lane->number, column);
        int eighths = value <= 0 || most <= 0 ? 0 : (int)(value / most * height * EIGHTHS + 0.5);
        if (value > 0 && eighths == 0)
            eighths = 1; /* more than nothing is seen */
        const char *glyph = glyph_of(top, eighths - level * EIGHTHS);
        memcpy(text + used, glyph, strlen(glyph));
        used += strlen(glyph);
    }
    chtype look = top->colour ? (chtype)COLOR_PAIR(lane->colour) : A_NORMAL;
    attron(look);
    addnstr(text, (int)used);
    attroff(look);
}

static char *figure_of(const struct lane *lane, double value, char text[SHOW_SHORT])
{
    return lane->bytes ? show_bytes(text, value, FIGURE_COLUMNS - 2)
                       : show_rate(text, value, FIGURE_COLUMNS - 2);
}

static void draw_lane(const struct top *top, const struct window *window, const struct lane *lane,
                      double scale, int row, int height)
{
    char text[SHOW_SHORT];
    double most = 0, now = point(top, window->end - 1)->values[lane->number];
    for (unsigned column = 0; column < window->columns; column++) {
        double value = column_value(top, window, lane->number, column);
        most = value > most ? value : most;
    }
    for (int i = 0; i < height; i++) {
        top_own_row(row + i);
        if (i == height - 1)
            mvprintw(row + i, 0, "%-*s", LABEL_COLUMNS, lane->word);
        move(row + i, LABEL_COLUMNS);
        draw_level(top, window, lane, scale > most ? scale : most, height, height - 1 - i);
    }
    attron(A_BOLD);
    mvprintw(row + height - 1, LABEL_COLUMNS + (int)window->columns, " %*s", FIGURE_COLUMNS - 1,
             figure_of(lane, now, text));
    attroff(A_BOLD);
    if (COLS >= MOST_FROM)
        printw(" most %s", figure_of(lane, most, text));
}

/* Live and held have one scale, so that they can be compared. */
static double most_held(const struct top *top, const struct window *window)
{
    double most = 0;
    for (unsigned i = window->first; i < window->end; i++)
        most = point(top, i)->values[LANE_HELD] > most ? point(top, i)->values[LANE_HELD] : most;
    return most;
}

static double seconds_of_column(const struct top *top, const struct window *window)
{
    unsigned count = window->end - window->first;
    if (count < 2)
        return top->delay > 1 ? top->delay : 1;
    uint64_t span = point(top, window->end - 1)->ns - point(top, window->first)->ns;
    return (double)span / 1e9 / (count - 1) * window->step;
}

int top_draw_past(const struct top *top, int row, int end)
{
    if (top->past_count == 0 || end - row < 2)
        return row;
    bool live = point(top, top->past_count - 1)->values[LANE_LIVE] >= 0;
    unsigned first = live ? LANE_LIVE : LANE_HELD, room = (unsigned)(end - row - 1);
    unsigned count = (unsigned)hfi_min(TOP_LANES - first, room); /* on a low screen the first ones */
    int height = (int)hfi_min(room / count, HEIGHT_MAX);
    struct window window = choose_window(top);
    double scale = most_held(top, &window), seconds = seconds_of_column(top, &window);
    top_own_row(row);
    attron(A_BOLD);
    mvprintw(row++, 0, "history: %.0f s, a column is %.0f s",
             seconds / window.step * (window.end - window.first), seconds);
    attroff(A_BOLD);
    for (unsigned i = first; i < first + count; i++, row += height)
        draw_lane(top, &window, &lanes[i], lanes[i].bytes ? scale : 0, row, height);
    return row;
}
