/*
 * top-rows: what the rows of the screen say, so that a refresh writes what changed.
 *
 * TR1: rows of a table stay on the screen from one refresh to the next.  Of one that changes, the
 *      part that does is written.
 *
 * Test: tests/tool-top.sh.
 */
#include <curses.h>
#include <string.h>

#include "top/top.h"

#define ROWS_KEPT 256

/* What the table's rows say on the screen; none where there is no table. */
static struct {
    enum top_view view;
    int first, columns, lines; /* the first row, and the screen's size; first 0: there is no table */
    char rows[ROWS_KEPT][TOP_CELLS];
} drawn;

/* For what is no row of a table, and may have colours: it is written anew each time. */
int top_own_row(int row)
{
    move(row, 0);
    clrtoeol();
    if (row < ROWS_KEPT)
        strcpy(drawn.rows[row], "\x80"); /* as no row of a table is */
    return row;
}

static bool is_ascii(const char *text)
{
    while (*text != 0 && (unsigned char)*text < 128)
        text++;
    return *text == 0;
}

/* Of a row that says something else than before, from the first character that differs to the
 * last. */
void top_put_row(int row, char *line)
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

/* Before the first row of a view is drawn: whether the rows below it are as draw_table left
 * them. */
static bool keeps_rows(const struct top *top, int first)
{
    return drawn.first == first && drawn.view == top->view && drawn.columns == COLS && drawn.lines == LINES;
}

/* Makes the screen blank except for the rows that stay. */
void top_clear_for(const struct top *top, int first)
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

void top_clear_below(int row)
{
    for (; row < LINES && row < ROWS_KEPT; row++)
        if (drawn.rows[row][0] != 0)
            top_put_row(row, (char[1]){ "" });
}

void top_clear(void)
{
    erase();
    drawn.first = 0;
}
