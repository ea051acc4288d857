/*
 * map: the arena of a running process as a picture, in the terminal or as SVG (map-svg.c).
 *
 * A cell stands for neighbouring pages.  With colours and UTF-8 its colour is the state of most of
 * them and its shade how much of its bytes is in use.  Otherwise it is a letter, small where less
 * than half is.
 *
 * Test: tests/tool-map.sh.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "map/map.h"
#include "reader/last.h"
#include "reader/target.h"
#include "show/show.h"
#include "tool.h"

#define WIDTH_MIN 20u
#define WIDTH_MAX 1000u
#define LABEL_WIDTH 11u /* "  63.5 GiB " */
#define ROWS_ALONE 20u
#define ROWS_TOTAL 48u /* of all nodes together, but */
#define ROWS_MIN 4u

struct style {
    bool colour, shade;
    unsigned columns; /* cells in a row */
};

struct wanted {
    const char *svg; /* file, or NULL */
    uint32_t node;
    bool one_node, no_colour;
    unsigned width; /* 0: as the terminal has it */
    bool last;      /* of a process that was killed */
};

/* --- the terminal --- */

/* Where a row begins, as an offset into the node, is a round number for a multiple of 32. */
static unsigned cells_in(unsigned width)
{
    unsigned room = width > LABEL_WIDTH + 8 ? width - LABEL_WIDTH : 8, columns = 8;
    while (columns * 2 <= room && columns < 32)
        columns *= 2;
    return columns < 32 ? columns : room / 32 * 32;
}

static bool terminal_has_colours(void)
{
    const char *terminal = getenv("TERM"), *refused = getenv("NO_COLOR");
    return isatty(STDOUT_FILENO) && (refused == NULL || *refused == 0) && terminal != NULL &&
           strcmp(terminal, "dumb") != 0 && strncmp(terminal, "vt", 2) != 0;
}

static void set_colour(const struct style *style, unsigned state)
{
    if (style->colour)
        printf("\033[%dm", state == HF_PAGE_FREE    ? 90
                           : state == HF_PAGE_LARGE ? 94
                                                    : 30 + show_states[state].colour);
}

static void reset_colour(const struct style *style)
{
    if (style->colour)
        fputs("\033[0m", stdout);
}

static void print_row(const struct show_grid *grid, unsigned row, const struct style *style)
{
    char offset[SHOW_SHORT];
    unsigned state = SHOW_STATES;
    size_t end = hfi_min(grid->count, (size_t)(row + 1) * grid->columns);
    printf("%*s ", (int)LABEL_WIDTH - 1,
           show_size(offset, (uint64_t)row * grid->columns * grid->cell_pages * HF_INSPECT_PAGE_BYTES));
    for (size_t i = (size_t)row * grid->columns; i < end; i++) {
        if (grid->cells[i].state != state)
            set_colour(style, grid->cells[i].state);
        state = grid->cells[i].state;
        fputs(show_glyph(state, show_fill(&grid->cells[i]), style->shade), stdout);
    }
    reset_colour(style);
    putchar('\n');
}

static void print_summary(const struct snapshot *snapshot, unsigned index)
{
    const struct hf_inspect_node *node = &snapshot->nodes[index];
    const struct node_pages *pages = &snapshot->node_pages[index];
    char total[SHOW_SHORT], longest[SHOW_SHORT], span[16], live[SHOW_LIVE];
    printf("node %u: %s on %s pages, %.1f %% used, %.1f %% free\n", node->id, show_size(total, node->total),
           snapshot_backing_name(node->backing), show_percent(node->used, node->total),
           show_percent(node->free, node->total));
    printf("  %s\n", show_live(live, snapshot, pages->live_bytes, pages->held_bytes));
    printf("  longest free run %s; most ever used %.1f %%",
           show_size(longest, snapshot->node_pages[index].longest_free * HF_INSPECT_PAGE_BYTES),
           show_percent(node->high_water, node->total));
    if (node->high_water_ticks != 0)
        printf(", %s ago", show_span(span, sizeof span, snapshot_age_ns(snapshot, node->high_water_ticks)));
    puts((node->flags & HF_INSPECT_NODE_FULL) != 0 ? "; FULL: the last request did not fit" : "");
}

static int print_node(const struct snapshot *snapshot, unsigned node, const struct style *style,
                      unsigned rows_max)
{
    struct show_grid grid;
    char cell[SHOW_SHORT];
    print_summary(snapshot, node);
    if (!show_grid_fill(&grid, snapshot, node, style->columns, rows_max)) {
        hfi_say(SAY_ERROR, "HF-E430", "map", "there is no memory for a picture of %zu pages; free some",
                snapshot->page_count);
        return EXIT_FAILURE;
    }
    printf("  a cell is %zu page%s, %s\n", grid.cell_pages, grid.cell_pages == 1 ? "" : "s",
           show_size(cell, grid.cell_pages * HF_INSPECT_PAGE_BYTES));
    for (unsigned row = 0; row < grid.rows; row++)
        print_row(&grid, row, style);
    show_grid_free(&grid);
    putchar('\n');
    return 0;
}

/* Breaks the line where the next entry would not fit. */
static void print_legend(const struct snapshot *snapshot, const struct style *style, unsigned width)
{
    bool known = snapshot_live_is_known(snapshot);
    size_t at = 0;
    for (unsigned i = 0; i < sizeof show_order; i++) {
        const struct show_state *state = &show_states[show_order[i]];
        if (!show_occurs(snapshot, show_order[i]))
            continue;
        size_t needed = strlen(state->meaning) + 4;
        if (at != 0 && at + needed > width) {
            putchar('\n');
            at = 0;
        }
        fputs("  ", stdout);
        set_colour(style, show_order[i]);
        fputs(show_glyph(show_order[i], show_order[i] == SHOW_KEPT ? 0 : 3, style->shade), stdout);
        reset_colour(style);
        printf(" %s", state->meaning);
        at += needed;
    }
    puts(!known         ? "\n  " SHOW_USE_UNKNOWN
         : style->shade ? "\n  ░ ▒ ▓ █ a quarter, half, three quarters, all of it in use"
                        : "\n  small letter: less than half of it in use");
}

static int print_picture(const struct snapshot *snapshot, const struct wanted *wanted)
{
    unsigned width = wanted->width != 0 ? wanted->width : show_columns(),
             nodes = wanted->one_node ? 1 : snapshot->node_count;
    bool colour = !wanted->no_colour && terminal_has_colours();
    struct style style = { .colour = colour, .shade = colour && show_utf8(), .columns = cells_in(width) };
    unsigned rows_max = nodes == 1 ? ROWS_ALONE : (unsigned)hfi_max(ROWS_TOTAL / nodes, ROWS_MIN);
    char shown[64], name[64], live[SHOW_LIVE];
    int status = 0;
    pid_t pid = (pid_t)snapshot->header.pid;
    show_wrap_begin();
    bool known = snapshot_live_is_known(snapshot), at_most = known && !snapshot_live_is_exact(snapshot);
    printf("%s (%ld)\n", tool_printable(shown, sizeof shown, target_shown_name(snapshot, name, sizeof name)),
           (long)pid);
    show_kept(snapshot);
    if (nodes > 1 || !known)
        printf("%s\n", show_live_of_all(live, snapshot));
    printf("%s\n", at_most ? show_live_limits(snapshot) : "");
    for (unsigned i = 0; i < snapshot->node_count && status == 0; i++)
        if (!wanted->one_node || snapshot->nodes[i].id == wanted->node)
            status = print_node(snapshot, i, &style, rows_max);
    if (status == 0)
        print_legend(snapshot, &style, width);
    show_wrap_end();
    return status != 0 ? status : fflush(stdout) != 0;
}

/* --- the file --- */

static int write_svg(const struct snapshot *snapshot, const struct wanted *wanted)
{
    bool standard = strcmp(wanted->svg, "-") == 0;
    FILE *out = standard ? stdout : fopen(wanted->svg, "w");
    if (out != NULL) {
        map_svg_file(out, snapshot, wanted->one_node ? &wanted->node : NULL);
        bool whole = fflush(out) == 0 && !ferror(out);
        if ((standard || fclose(out) == 0) && whole)
            return 0;
    }
    hfi_say(SAY_ERROR, "HF-E431", "map", "%s could not be written (%s); name another file", wanted->svg,
            strerror(errno));
    return EXIT_FAILURE;
}

/* --- the command line --- */

static int draw(const struct snapshot *snapshot, const struct wanted *wanted)
{
    unsigned found = 0;
    for (unsigned i = 0; i < snapshot->node_count; i++)
        found += !wanted->one_node || snapshot->nodes[i].id == wanted->node;
    if (found == 0) {
        hfi_say(SAY_ERROR, "HF-E433", "map",
                "the arena has no part on node %u; the first of its %u node(s) is %u", wanted->node,
                snapshot->node_count, snapshot->nodes[0].id);
        return EXIT_CONFIG;
    }
    if (snapshot->pages == NULL) {
        hfi_say(SAY_ERROR, "HF-E434", "map",
                "process %llu shows no page map: " HF_INSPECT_DIRECTORY
                " had no room for it when the process "
                "started; make room and start it again, or see `holdfast stat`",
                (unsigned long long)snapshot->header.pid);
        return EXIT_FAILURE;
    }
    return wanted->svg != NULL ? write_svg(snapshot, wanted) : print_picture(snapshot, wanted);
}

static bool take_option(int option, struct wanted *wanted)
{
    switch (option) {
    case 's': wanted->svg = optarg; return tool_is_file(optarg, "--svg", "map");
    case 'c': wanted->no_colour = true; return true;
    case 'l': wanted->last = true; return true;
    case 'n':
        wanted->one_node = true;
        return tool_number(optarg, 0, UINT32_MAX, "--node", &wanted->node, "map");
    case 'w': return tool_number(optarg, WIDTH_MIN, WIDTH_MAX, "--width", &wanted->width, "map");
    default: return false; /* tool_getopt has said why */
    }
}

static int map_main(int argc, char **argv)
{
    static const struct option long_options[] = {
        { "node", required_argument, NULL, 'n' },
        { "width", required_argument, NULL, 'w' },
        { "svg", required_argument, NULL, 's' },
        { "no-color", no_argument, NULL, 'c' },
        { "last", no_argument, NULL, 'l' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    struct wanted wanted = { .svg = NULL };
    struct snapshot snapshot = { .pages = NULL };
    struct target target;
    int option;
    while ((option = tool_getopt(argc, argv, ":h", long_options, "map")) != -1) {
        if (option == 'h')
            return tool_help(&tool_map);
        if (!take_option(option, &wanted))
            return option == '?' ? EXIT_USAGE : EXIT_CONFIG;
    }
    int status = target_of_options(&target, wanted.last, argc, argv, "map");
    if (status != 0)
        return status;
    status = target_read(&target, &snapshot, true, "map");
    if (status == 0)
        status = draw(&snapshot, &wanted);
    snapshot_free(&snapshot);
    target_close(&target);
    return status;
}

const struct command tool_map = {
    .name = "map",
    .summary = "draw the arena of a running process",
    .help = "usage: holdfast map [--node N] [--width COLUMNS] [--no-color] [--svg FILE] [--last] [PID]\n"
            "\n"
            "Draws the pages of process PID's arena, node by node: what each is used for, and how much\n"
            "of it is in use.  Without PID: the only process that shows an arena.\n"
            "\n"
            "  --last           of a process that was killed, the last: PID may be its service or program\n"
            "  --node N         only node N\n"
            "  --width COLUMNS  as wide as that, 20 to 1000 (default: the terminal, else 80)\n"
            "  --no-color       letters in place of colours and shades; so do NO_COLOR and a pipe\n"
            "  --svg FILE       write a picture for browsers instead; - for standard output\n"
            "  --help           this text\n",
    .run = map_main,
};
