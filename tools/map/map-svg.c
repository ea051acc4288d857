/*
 * map-svg: see map.h.
 *
 * MS1: well-formed XML whatever the segment says: it writes numbers and words of its own only.
 * MS2: bounded: at most COLUMNS_MANY * ROWS_MAX cells per node, and neighbours that look the same
 *      are one.
 * MS3: nothing is fetched, and no script is in it; its style rules name class hfmap, so they stay
 *      apart from a page's own.
 *
 * Test: tests/tool-map.sh.
 */
#include "map/map.h"

#include <string.h>

#include "base/bits.h"
#include "show/show.h"

#define COLUMNS_FEW 64u
#define COLUMNS_MANY 128u
#define ROWS_MAX 32u
#define PAGES_FEW (COLUMNS_FEW * ROWS_MAX)
#define PICTURE_WIDTH 1024u
#define LABEL_WIDTH 92u
#define MARGIN 12u
#define TOP_HEIGHT 56u
#define LEGEND_HEIGHT 64u
#define WIDTH (LABEL_WIDTH + PICTURE_WIDTH + MARGIN)

static const char style[] =
    "<style>\n"
    ".hfmap{font:14px system-ui,'DejaVu "
    "Sans',sans-serif;--ink:#1c2024;--soft:#5b6570;--f:#e6e9ec;--o:#1f8f4c;--n:#0b7285;"
    "--l:#3b5bdb;--i:#e08e00;--k:#a9d8bb;--m:#9c36b5;--h:#d6336c;--alarm:#c92a2a}\n"
    "@media "
    "(prefers-color-scheme:dark){.hfmap{--ink:#eceff2;--soft:#a2abb5;--f:#2b3138;--o:#40c471;--n:#3bc9db;--l:"
    "#7a96ff;"
    "--i:#ffc14d;--k:#2f6b47;--m:#d68bf0;--h:#ff8fb1;--alarm:#ff8787}}\n"
    ".hfmap text{fill:var(--ink)}.hfmap .soft{fill:var(--soft);font-size:12px}.hfmap "
    ".head{font-size:16px;font-weight:600}"
    ".hfmap .alarm{fill:var(--alarm);font-weight:600}\n"
    ".hfmap .f{fill:var(--f)}.hfmap .o{fill:var(--o)}.hfmap .n{fill:var(--n)}.hfmap .l{fill:var(--l)}.hfmap "
    ".i{fill:var(--i)}"
    ".hfmap .k{fill:var(--k)}.hfmap .m{fill:var(--m)}.hfmap .h{fill:var(--h)}\n"
    ".hfmap .q0{fill-opacity:.35}.hfmap .q1{fill-opacity:.55}.hfmap .q2{fill-opacity:.78}.hfmap "
    "rect:hover{stroke:var(--ink)}\n"
    "</style>\n";

static unsigned columns_of(const struct snapshot *snapshot, unsigned node)
{
    return snapshot->nodes[node].total / HF_INSPECT_PAGE_BYTES > PAGES_FEW ? COLUMNS_MANY : COLUMNS_FEW;
}

static unsigned rows_of(const struct snapshot *snapshot, unsigned node)
{
    struct show_grid grid;
    unsigned rows =
        show_grid_fill(&grid, snapshot, node, columns_of(snapshot, node), ROWS_MAX) ? grid.rows : 0;
    show_grid_free(&grid);
    return rows;
}

static unsigned height_of(const struct snapshot *snapshot, unsigned node, unsigned rows)
{
    return TOP_HEIGHT + rows * (PICTURE_WIDTH / columns_of(snapshot, node)) + LEGEND_HEIGHT;
}

/* --- cells --- */

static bool look_the_same(const struct show_cell *one, const struct show_cell *other)
{
    return one->state == other->state && show_fill(one) == show_fill(other);
}

static struct show_cell add_up(const struct show_cell *cells, size_t count)
{
    struct show_cell sum = cells[0];
    for (size_t i = 1; i < count; i++) {
        for (unsigned j = 0; j < SHOW_STATES; j++)
            sum.pages[j] += cells[i].pages[j];
        sum.all_pages += cells[i].all_pages;
        sum.used_bytes += cells[i].used_bytes;
    }
    return sum;
}

static void write_title(FILE *out, const struct show_cell *sum, uint64_t offset, bool use_known)
{
    double all = (double)sum->all_pages * HF_INSPECT_PAGE_BYTES;
    const char *separator = "";
    char from[SHOW_SHORT], size[SHOW_SHORT];
    fprintf(out, "<title>%s at %s: ", show_size(size, (uint64_t)all), show_size(from, offset));
    for (unsigned i = 0; i < sizeof show_order; i++) {
        unsigned state = show_order[i];
        if (sum->pages[state] == 0)
            continue;
        if (sum->pages[state] == sum->all_pages)
            fprintf(out, "%s%s", separator, show_states[state].meaning);
        else
            fprintf(out, "%s%.1f %% %s", separator, show_percent(sum->pages[state], sum->all_pages),
                    show_states[state].meaning);
        separator = ", ";
    }
    if (sum->state != HF_PAGE_FREE && use_known)
        fprintf(out, "; %.1f %% of its bytes in use", all == 0 ? 0 : 100 * sum->used_bytes / all);
    fputs("</title>", out);
}

/* Cells of one row that look the same. */
static void write_cells(FILE *out, const struct show_grid *grid, size_t first, size_t count)
{
    struct show_cell sum = add_up(&grid->cells[first], count);
    unsigned side = PICTURE_WIDTH / grid->columns, fill = show_fill(&grid->cells[first]);
    fprintf(out, "<rect class=\"%s", show_states[sum.state].css);
    if (sum.state != HF_PAGE_FREE && sum.state != SHOW_KEPT && fill < 3)
        fprintf(out, " q%u", fill);
    fprintf(out, "\" x=\"%zu\" y=\"%zu\" width=\"%zu\" height=\"%u\">",
            LABEL_WIDTH + first % grid->columns * side, TOP_HEIGHT + first / grid->columns * side,
            count * side, side - 1);
    write_title(out, &sum, first * grid->cell_pages * HF_INSPECT_PAGE_BYTES, grid->use_known);
    fputs("</rect>\n", out);
}

static void write_row(FILE *out, const struct show_grid *grid, unsigned row)
{
    size_t first = (size_t)row * grid->columns, end = hfi_min(grid->count, first + grid->columns);
    unsigned side = PICTURE_WIDTH / grid->columns;
    char offset[SHOW_SHORT];
    if (side >= 12 || row % 2 == 0)
        fprintf(out, "<text class=\"soft\" text-anchor=\"end\" x=\"%u\" y=\"%u\">%s</text>\n",
                LABEL_WIDTH - 8, TOP_HEIGHT + row * side + side / 2 + 4,
                show_size(offset, first * grid->cell_pages * HF_INSPECT_PAGE_BYTES));
    while (first < end) {
        size_t last = first + 1;
        while (last < end && look_the_same(&grid->cells[first], &grid->cells[last]))
            last++;
        write_cells(out, grid, first, last - first);
        first = last;
    }
}

/* --- around them --- */

void map_figures(FILE *out, const struct snapshot *snapshot, unsigned index)
{
    const struct hf_inspect_node *node = &snapshot->nodes[index];
    const struct node_pages *pages = &snapshot->node_pages[index];
    char longest[SHOW_SHORT], span[16], live[SHOW_LIVE];
    fprintf(out, "%s; %.1f %% free, longest run %s; most ever used %.1f %%",
            show_live(live, snapshot, pages->live_bytes, pages->held_bytes),
            show_percent(node->free, node->total),
            show_size(longest, pages->longest_free * HF_INSPECT_PAGE_BYTES),
            show_percent(node->high_water, node->total));
    if (node->high_water_ticks != 0)
        fprintf(out, ", %s ago",
                show_span(span, sizeof span, snapshot_age_ns(snapshot, node->high_water_ticks)));
}

static void write_head(FILE *out, const struct snapshot *snapshot, unsigned index)
{
    const struct hf_inspect_node *node = &snapshot->nodes[index];
    char total[SHOW_SHORT];
    fprintf(out, "<text class=\"head\" x=\"%u\" y=\"20\">Node %u: %s on %s pages", LABEL_WIDTH, node->id,
            show_size(total, node->total), snapshot_backing_name(node->backing));
    if ((node->flags & HF_INSPECT_NODE_FULL) != 0)
        fputs(" <tspan class=\"alarm\">full: the last request did not fit</tspan>", out);
    fprintf(out, "</text>\n<text x=\"%u\" y=\"42\">", LABEL_WIDTH);
    map_figures(out, snapshot, index);
    fputs("</text>\n", out);
}

static void write_steps(FILE *out, const struct show_grid *grid)
{
    char size[SHOW_SHORT], row[SHOW_SHORT];
    fprintf(out, "A row is %s, in steps of %s; %s.",
            show_size(row, grid->columns * grid->cell_pages * HF_INSPECT_PAGE_BYTES),
            show_size(size, grid->cell_pages * HF_INSPECT_PAGE_BYTES),
            grid->use_known ? "the fainter, the less of it is in use" : SHOW_USE_UNKNOWN);
}

void map_steps(FILE *out, const struct snapshot *snapshot, unsigned node)
{
    struct show_grid grid;
    if (show_grid_fill(&grid, snapshot, node, columns_of(snapshot, node), ROWS_MAX))
        write_steps(out, &grid);
    show_grid_free(&grid);
}

static void write_legend(FILE *out, const struct snapshot *snapshot, const struct show_grid *grid, unsigned y)
{
    unsigned x = LABEL_WIDTH, between = show_occurs(snapshot, SNAPSHOT_HEAP) ? 28 : 48; /* all in one row */
    for (unsigned i = 0; i < sizeof show_order; i++) {
        const struct show_state *state = &show_states[show_order[i]];
        if (!show_occurs(snapshot, show_order[i]))
            continue;
        fprintf(out,
                "<rect class=\"%s\" x=\"%u\" y=\"%u\" width=\"13\" height=\"13\"/><text x=\"%u\" "
                "y=\"%u\">%s</text>\n",
                state->css, x, y + 14, x + 20, y + 25, state->meaning);
        x += between + 8 * (unsigned)strlen(state->meaning);
    }
    fprintf(out, "<text class=\"soft\" x=\"%u\" y=\"%u\">", LABEL_WIDTH, y + 50);
    write_steps(out, grid);
    fputs("</text>\n", out);
}

static void write_rows(FILE *out, const struct show_grid *grid)
{
    for (unsigned row = 0; row < grid->rows; row++)
        write_row(out, grid, row);
}

static void write_none(FILE *out)
{
    fprintf(out, "<text class=\"soft\" x=\"%u\" y=\"%u\">There is no page map.</text>\n", LABEL_WIDTH,
            TOP_HEIGHT + 12);
}

/* From row `top` of the picture on, at `y` of what it stands in. */
static void write_begin(FILE *out, const struct snapshot *snapshot, unsigned node, unsigned top,
                        unsigned height, unsigned y)
{
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"hfmap\" role=\"img\" aria-label=\"Page map of "
            "node %u\" viewBox=\"0 %u %u %u\" "
            "y=\"%u\" width=\"%u\" height=\"%u\">\n%s",
            snapshot->nodes[node].id, top, WIDTH, height, y, WIDTH, height, style);
}

static void write_node(FILE *out, const struct snapshot *snapshot, unsigned node, unsigned y)
{
    struct show_grid grid;
    bool there = show_grid_fill(&grid, snapshot, node, columns_of(snapshot, node), ROWS_MAX);
    unsigned height = height_of(snapshot, node, there ? grid.rows : 0);
    write_begin(out, snapshot, node, 0, height, y);
    write_head(out, snapshot, node);
    if (there) {
        write_rows(out, &grid);
        write_legend(out, snapshot, &grid, height - LEGEND_HEIGHT);
    } else {
        write_none(out);
    }
    fputs("</svg>\n", out);
    show_grid_free(&grid);
}

void map_svg(FILE *out, const struct snapshot *snapshot, unsigned node)
{
    struct show_grid grid;
    bool there = show_grid_fill(&grid, snapshot, node, columns_of(snapshot, node), ROWS_MAX);
    unsigned height = height_of(snapshot, node, there ? grid.rows : 1) - TOP_HEIGHT - LEGEND_HEIGHT;
    write_begin(out, snapshot, node, TOP_HEIGHT, height, 0);
    if (there)
        write_rows(out, &grid);
    else
        write_none(out);
    fputs("</svg>\n", out);
    show_grid_free(&grid);
}

void map_svg_file(FILE *out, const struct snapshot *snapshot, const uint32_t *only)
{
    unsigned height = MARGIN, y = MARGIN;
    for (unsigned i = 0; i < snapshot->node_count; i++)
        if (only == NULL || snapshot->nodes[i].id == *only)
            height += height_of(snapshot, i, rows_of(snapshot, i));
    fprintf(out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" "
            "viewBox=\"0 0 %u %u\" width=\"%u\" height=\"%u\">\n"
            "<title>Arena of process %llu</title>\n"
            "<style>:root{color-scheme:light dark}.ground{fill:#fff}@media "
            "(prefers-color-scheme:dark){.ground{fill:#15181c}}</style>\n"
            "<rect class=\"ground\" width=\"100%%\" height=\"100%%\"/>\n",
            WIDTH, height, WIDTH, height, (unsigned long long)snapshot->header.pid);
    for (unsigned i = 0; i < snapshot->node_count; i++)
        if (only == NULL || snapshot->nodes[i].id == *only) {
            write_node(out, snapshot, i, y);
            y += height_of(snapshot, i, rows_of(snapshot, i));
        }
    fputs("</svg>\n", out);
}
