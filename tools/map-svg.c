/*
 * map-svg: see map.h.
 *
 * V1: bounded: COLUMNS * ROWS cells at most; it writes numbers and words of its own only.
 *
 * Test: tests/tool-report.sh.
 */
#include "map.h"

#include "say.h"

#define COLUMNS 96u
#define ROWS 20u
#define SIDE 10u

struct drawing {
    FILE *out;
    size_t cell_pages, cell;
    size_t filled, by_state[SNAPSHOT_STATES];
};

static void end_cell(struct drawing *drawing)
{
    static const char *const css[SNAPSHOT_STATES] = {
        [HF_PAGE_FREE] = "f", [HF_PAGE_OWNED] = "o", [HF_PAGE_IDLE] = "i", [HF_PAGE_LOOSE] = "n", [HF_PAGE_LARGE] = "l", [HF_PAGE_META] = "m",
    };
    unsigned state = HF_PAGE_FREE;
    for (unsigned i = HF_PAGE_OWNED; i < SNAPSHOT_STATES; i++)
        if (drawing->by_state[i] > (state == HF_PAGE_FREE ? 0 : drawing->by_state[state]))
            state = i;
    double taken = drawing->filled == 0 ? 0 : 1 - (double)drawing->by_state[HF_PAGE_FREE] / (double)drawing->filled;
    fprintf(drawing->out, "<rect class=\"%s\" fill-opacity=\"%.2f\" x=\"%zu\" y=\"%zu\" width=\"%u\" height=\"%u\"><title>%.0f %% taken, most %s</title></rect>\n",
            css[state], state == HF_PAGE_FREE ? 1.0 : 0.3 + 0.7 * taken, drawing->cell % COLUMNS * SIDE, drawing->cell / COLUMNS * SIDE, SIDE - 1,
            SIDE - 1, 100 * taken, snapshot_state_name(state));
    drawing->cell++;
    drawing->filled = 0;
    for (unsigned i = 0; i < SNAPSHOT_STATES; i++)
        drawing->by_state[i] = 0;
}

static void draw_run(size_t first, size_t pages, uint64_t entry, void *argument)
{
    struct drawing *drawing = argument;
    unsigned state = HF_PAGE_STATE(entry) < SNAPSHOT_STATES && HF_PAGE_STATE(entry) != HF_PAGE_UNTOUCHED ? HF_PAGE_STATE(entry) : HF_PAGE_FREE;
    (void)first;
    while (pages != 0) {
        size_t room = drawing->cell_pages - drawing->filled, part = pages < room ? pages : room;
        drawing->by_state[state] += part;
        drawing->filled += part;
        pages -= part;
        if (drawing->filled == drawing->cell_pages)
            end_cell(drawing);
    }
}

void map_svg(FILE *out, const struct snapshot *snapshot, unsigned node)
{
    size_t pages = snapshot->nodes[node].total / HF_INSPECT_PAGE_BYTES;
    struct drawing drawing = { .out = out, .cell_pages = pages / (COLUMNS * ROWS) + 1 };
    size_t cells = snapshot->pages == NULL ? 0 : (pages + drawing.cell_pages - 1) / drawing.cell_pages;
    size_t height = (cells + COLUMNS - 1) / COLUMNS * SIDE + 24;
    char size[16];
    fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"hfmap\" role=\"img\" aria-label=\"Page map of node %u\" viewBox=\"0 0 %u %zu\">\n"
            "<style>.hfmap .f{fill:#e6e9ec}.hfmap .o{fill:#1f8f4c}.hfmap .n{fill:#0b7285}.hfmap .l{fill:#3b5bdb}.hfmap .i{fill:#e08e00}"
            ".hfmap .m{fill:#9c36b5}.hfmap text{fill:currentColor;font:12px sans-serif}"
            "@media (prefers-color-scheme:dark){.hfmap .f{fill:#2b3138}.hfmap .o{fill:#40c471}.hfmap .n{fill:#3bc9db}.hfmap .l{fill:#7a96ff}"
            ".hfmap .i{fill:#ffc14d}.hfmap .m{fill:#d68bf0}}</style>\n", snapshot->nodes[node].id, COLUMNS * SIDE, height);
    if (cells != 0)
        snapshot_each_run(snapshot, node, draw_run, &drawing);
    if (drawing.filled != 0)
        end_cell(&drawing);
    if (cells == 0)
        fputs("<text x=\"0\" y=\"16\">There is no page map.</text>", out);
    else
        fprintf(out, "<text x=\"0\" y=\"%zu\">A cell is %s.</text>", height - 6, hfi_format_bytes(size, sizeof size, drawing.cell_pages * HF_INSPECT_PAGE_BYTES));
    fputs("</svg>\n", out);
}
