/*
 * top-nodes: the view of nodes: the figures behind the bars, and below them their pages, as `map`
 * draws them.
 *
 * Test: tests/tool-top.sh.
 */
#include <curses.h>
#include <string.h>

#include "base/bits.h"
#include "show/show.h"
#include "top/top.h"

#define FIGURES_COLUMNS 81 /* of the line without what a wide screen has room for */
#define OFFSET_COLUMNS 11  /* "  63.5 GiB " */
#define MAP_ROWS_LEAST 2
#define MAP_PAGES_MAX ((size_t)1 << 22) /* drawn at every key: no more than some ten milliseconds */

static void draw_figures(const struct top *top, int row, unsigned index)
{
    bool mapped = index < top->map.node_count && top->map.pages != NULL;
    const struct hf_inspect_node *node =
        mapped ? &top->map.nodes[index] : &top->now.nodes[index]; /* all of one moment */
    const struct node_pages *pages = &top->map.node_pages[index];
    char text[7][SHOW_SHORT], span[16], line[256];
    const uint64_t figures[] = { node->total,
                                 node->used,
                                 mapped ? pages->live_bytes : 0,
                                 node->idle,
                                 node->large,
                                 node->free,
                                 mapped ? pages->longest_free * HF_INSPECT_PAGE_BYTES : 0 };
    for (unsigned j = 0; j < sizeof figures / sizeof figures[0]; j++)
        show_bytes(text[j], (double)figures[j], 6);
    if (!snapshot_live_is_known(&top->map))
        strcpy(text[2], "?");
    show_span(span, sizeof span, snapshot_age_ns(&top->now, node->high_water_ticks));
    snprintf(line, sizeof line, "%4u %6s %6s %6s %6s %6s %6s %7s %5.1f %% %8s %6llu  %-3s  %s %s", node->id,
             text[0], text[1], text[2], text[3], text[4], text[5], text[6],
             show_percent(node->high_water, node->total), span, (unsigned long long)node->theaps,
             snapshot_backing_name(node->backing),
             (node->flags & HF_INSPECT_NODE_LOCKED) != 0 ? "locked" : "not locked",
             (node->flags & HF_INSPECT_NODE_BOUND) != 0 ? "bound" : "not bound");
    mvaddnstr(row, 0, line, COLS < TOP_WIDE ? (int)hfi_min((size_t)COLS, FIGURES_COLUMNS) : COLS);
}

/* A multiple of 32, or 8 or 16, so that rows begin at round numbers. */
static unsigned map_columns(void)
{
    unsigned room = COLS > OFFSET_COLUMNS + 8 ? (unsigned)COLS - OFFSET_COLUMNS : 8;
    return room >= 32 ? room / 32 * 32 : room >= 16 ? 16 : 8;
}

static void draw_map_row(const struct top *top, const struct show_grid *grid, unsigned row, int at)
{
    char offset[SHOW_SHORT];
    size_t i = (size_t)row * grid->columns, end = hfi_min(grid->count, i + grid->columns);
    mvprintw(at, 0, "%*s ", OFFSET_COLUMNS - 1,
             show_size(offset, (uint64_t)i * grid->cell_pages * HF_INSPECT_PAGE_BYTES));
    while (i < end) {
        size_t first = i++;
        while (i < end && grid->cells[i].state == grid->cells[first].state &&
               show_fill(&grid->cells[i]) == show_fill(&grid->cells[first]))
            i++;
        top_put_cells(top, grid->cells[first].state, show_fill(&grid->cells[first]), (unsigned)(i - first));
    }
}

/* The row below what was drawn. */
static int draw_map(const struct top *top, unsigned node, int row, int end)
{
    struct show_grid grid;
    char size[SHOW_SHORT];
    if (!show_grid_fill(&grid, &top->map, node, map_columns(), (unsigned)(end - row - 1)))
        return row;
    attron(A_BOLD);
    mvprintw(row++, 0, "node %u: a cell is %s", top->map.nodes[node].id,
             show_size(size, grid.cell_pages * HF_INSPECT_PAGE_BYTES));
    attroff(A_BOLD);
    for (unsigned i = 0; i < grid.rows && row < end; i++)
        draw_map_row(top, &grid, i, row++);
    show_grid_free(&grid);
    return row;
}

/* The same room for each; of too many nodes, for those from the first that is shown. */
static int draw_maps(const struct top *top, int row, int end)
{
    unsigned first = top->sights[TOP_NODES].scroll, nodes = top->map.node_count;
    if (top->map.pages == NULL || top->map.page_count > MAP_PAGES_MAX || first >= nodes)
        return row;
    nodes = (unsigned)hfi_min(nodes - first, (size_t)(end - row) / (MAP_ROWS_LEAST + 2));
    for (unsigned i = 0; i < nodes; i++)
        row = draw_map(top, first + i, row + 1, row + (end - row) / (int)(nodes - i));
    return row;
}

int top_draw_nodes(const struct top *top, int row, int end)
{
    attron(A_BOLD);
    mvaddnstr(row++, 0, "node  total   used   live   idle  large   free longest    most      ago theaps  on",
              COLS);
    attroff(A_BOLD);
    for (unsigned i = top->sights[TOP_NODES].scroll; i < top->rows && row < end; i++)
        draw_figures(top, row++, i);
    return draw_maps(top, row, end);
}
