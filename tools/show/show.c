/*
 * show: see show.h.
 *
 * SH1: each page of the node is counted in exactly one cell; a cell's counts add up to all_pages.
 * SH2: figures that the segment has wrong are clamped, never followed.
 *
 * Test: tests/tool-map.sh.
 */
#include "show/show.h"

#include <langinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "base/base.h"
#include "base/bits.h"
#include "kernel/os.h"
#include "base/say.h"
#include "tool.h"

const struct show_state show_states[SHOW_STATES] = {
    [HF_PAGE_UNTOUCHED] = { "free", "free", "f", '.', 7 },
    [HF_PAGE_FREE] = { "free", "free", "f", '.', 7 },
    [HF_PAGE_OWNED] = { "owned", "owned by a thread", "o", 'O', 2 },
    [HF_PAGE_IDLE] = { "idle", "idle, has room", "i", 'I', 3 },
    [HF_PAGE_LOOSE] = { "full", "full, unowned", "n", 'F', 6 },
    [HF_PAGE_LARGE] = { "large", "large blocks", "l", 'L', 4 },
    [SNAPSHOT_HEAP] = { "heaps", "pages of heaps", "h", 'H', 7 },
    [HF_PAGE_META] = { "own", "own structures", "m", 'S', 5 },
    [SHOW_KEPT] = { "kept empty", "kept empty", "k", 'E', 7 },
    [SHOW_MISSING] = { "missing", "could not be populated", "x", '?', 1 },
};

const unsigned char show_order[SHOW_ORDER] = {
    HF_PAGE_OWNED, HF_PAGE_LOOSE, HF_PAGE_LARGE, SNAPSHOT_HEAP,
    HF_PAGE_IDLE,  SHOW_KEPT,     HF_PAGE_META,  HF_PAGE_FREE,
};

bool show_occurs(const struct snapshot *snapshot, unsigned state)
{
    return state != SNAPSHOT_HEAP || snapshot_figures_of_all(snapshot).heaps != 0;
}

const char *show_glyph(unsigned state, unsigned quarters, bool shades)
{
    static const char *const by_quarter[] = { "░", "▒", "▓", "█" };
    static char letter[2];
    if (shades && state != SHOW_MISSING)
        return state == HF_PAGE_FREE || state == HF_PAGE_UNTOUCHED ? "·" : by_quarter[quarters];
    letter[0] = show_states[state].letter;
    if (quarters < 2 && letter[0] >= 'A')
        letter[0] = (char)(letter[0] - 'A' + 'a');
    return letter;
}

/* --- the grid --- */

struct filling {
    struct show_grid *grid;
    const struct snapshot *snapshot;
};

/* Of one run, as far as that is known; a page map may be a moment older or newer than itself. */
static double run_used_bytes(const struct snapshot *snapshot, size_t pages, uint64_t entry)
{
    double room = (double)pages * HF_INSPECT_PAGE_BYTES;
    unsigned class = HF_PAGE_CLASS(entry);
    switch (HF_PAGE_STATE(entry)) {
    case HF_PAGE_LARGE:
    case HF_PAGE_META: return room;
    case HF_PAGE_OWNED:
    case HF_PAGE_IDLE:
    case HF_PAGE_LOOSE:
        if (!snapshot_live_is_known(snapshot))
            return room;
        if (class >= snapshot->class_count)
            return 0;
        double used = (double)HF_PAGE_BLOCKS(entry) * snapshot->classes[class].block_bytes;
        return used < room ? used : room;
    default: return 0;
    }
}

/* Only what is counted now can be called empty: a page may have been handed out of since its
 * owner told of it. */
static unsigned state_of(const struct snapshot *snapshot, uint64_t entry)
{
    unsigned kind = snapshot_kind(entry);
    bool empty = kind == HF_PAGE_OWNED && HF_PAGE_BLOCKS(entry) == 0 && snapshot_live_is_known(snapshot);
    return empty ? SHOW_KEPT : kind;
}

static void fill_run(size_t first, size_t pages, uint64_t entry, void *argument)
{
    const struct filling *filling = argument;
    struct show_grid *grid = filling->grid;
    unsigned state = state_of(filling->snapshot, entry);
    double used_per_page = run_used_bytes(filling->snapshot, pages, entry) / (double)pages;
    for (size_t end = first + pages; first < end;) {
        struct show_cell *cell = &grid->cells[first / grid->cell_pages];
        size_t here = hfi_min(end, (first / grid->cell_pages + 1) * grid->cell_pages) - first;
        cell->pages[state] += (uint32_t)here;
        cell->all_pages += (uint32_t)here;
        cell->used_bytes += used_per_page * (double)here;
        first += here;
    }
}

static void name_cell(struct show_cell *cell)
{
    cell->state = HF_PAGE_FREE;
    for (unsigned i = 0; i < sizeof show_order; i++) {
        unsigned state = show_order[i];
        if (state != HF_PAGE_FREE &&
            cell->pages[state] > (cell->state == HF_PAGE_FREE ? 0 : cell->pages[cell->state]))
            cell->state = state;
    }
}

bool show_grid_fill(struct show_grid *grid, const struct snapshot *snapshot, unsigned node, unsigned columns,
                    unsigned rows_max)
{
    struct filling filling = { .grid = grid, .snapshot = snapshot };
    size_t pages = snapshot->nodes[node].total / HF_INSPECT_PAGE_BYTES;
    grid->cells = NULL;
    grid->use_known = snapshot_live_is_known(snapshot);
    if (snapshot->pages == NULL)
        return false;
    grid->columns = columns;
    grid->cell_pages = 1;
    while (hfi_divide_up(pages, grid->cell_pages) > (size_t)columns * rows_max)
        grid->cell_pages *= 2;
    grid->count = hfi_divide_up(pages, grid->cell_pages);
    grid->rows = (unsigned)hfi_divide_up(grid->count, columns);
    grid->cells = calloc(grid->count + 1, sizeof *grid->cells);
    if (grid->cells == NULL)
        return false;
    snapshot_each_run(snapshot, node, fill_run, &filling);
    for (size_t i = 0; i < grid->count; i++)
        name_cell(&grid->cells[i]);
    return true;
}

void show_grid_free(struct show_grid *grid)
{
    free(grid->cells);
    grid->cells = NULL;
}

unsigned show_fill(const struct show_cell *cell)
{
    double all = (double)cell->all_pages * HF_INSPECT_PAGE_BYTES;
    unsigned quarter = all == 0 ? 0 : (unsigned)(4 * cell->used_bytes / all + 1e-9);
    return quarter > 3 ? 3 : quarter;
}

/* --- figures --- */

char *show_span(char *text, size_t text_bytes, double ns)
{
    double seconds = ns / 1e9;
    if (seconds < 120)
        snprintf(text, text_bytes, "%.0f s", seconds);
    else if (seconds < 2 * 3600)
        snprintf(text, text_bytes, "%.0f min", seconds / 60);
    else if (seconds < 2 * 86400)
        snprintf(text, text_bytes, "%.0f h", seconds / 3600);
    else
        snprintf(text, text_bytes, "%.0f d", seconds / 86400);
    return text;
}

char *show_time(char *text, double ns)
{
    static const char *const units[] = { " ns", " us", " ms", " s", NULL };
    unsigned unit = 0;
    for (; ns >= 999.5 && units[unit + 1] != NULL; unit++)
        ns /= 1000;
    snprintf(text, SHOW_SHORT, "%.3g%s", ns, units[unit]);
    return text;
}

char *show_below(char *text, const struct snapshot *snapshot, const struct hf_inspect_slow *slow, double part)
{
    double most = 2 * snapshot_quantile(snapshot, slow->calls, part),
           longest = snapshot_ns(snapshot, slow->longest);
    return show_time(text, most < longest ? most : longest);
}

/* With a unit; at most three digits count, and those before the point are whole: "1008 MiB". */
static char *shorten(char text[SHOW_SHORT], double number, double step, const char *const *units,
                     unsigned columns)
{
    for (; number >= step - 0.5 && units[1] != NULL; units++)
        number /= step;
    snprintf(text, SHOW_SHORT, number < 999.5 ? "%.3g%s" : "%.0f%s", number, *units);
    if (strlen(text) > columns && number >= 999.5 && units[1] != NULL) {
        number /= step;
        units++;
    }
    if (strlen(text) > columns)
        snprintf(text, SHOW_SHORT, number < 9.95 ? "%.1f%s" : "%.0f%s", number, *units);
    return text;
}

char *show_bytes(char text[SHOW_SHORT], double bytes, unsigned columns)
{
    static const char *const units[] = { "B", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", NULL };
    return bytes == 0 ? strcpy(text, "0") : shorten(text, bytes, 1024, units, columns);
}

char *show_size(char text[SHOW_SHORT], uint64_t bytes)
{
    static const char *const units[] = { " B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB", NULL };
    return shorten(text, (double)bytes, 1024, units, SHOW_SHORT);
}

char *show_count(char text[SHOW_SHORT], double count, unsigned columns)
{
    static const char *const units[] = { "", "k", "M", "G", "T", "P", "E", NULL };
    if (snprintf(text, SHOW_SHORT, "%.0f", count) <= (int)columns)
        return text;
    return shorten(text, count, 1000, units, columns);
}

char *show_rate(char text[SHOW_SHORT], double rate, unsigned columns)
{
    if (rate < 0.05 || rate >= 9.95)
        return show_count(text, rate < 0.05 ? 0 : rate, columns);
    snprintf(text, SHOW_SHORT, "%.1f", rate);
    return text;
}

double show_percent(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0 : 100 * (double)part / (double)whole;
}

/* --- bars --- */

void show_shares(struct show_share shares[SHOW_ORDER], const struct snapshot *snapshot, unsigned node)
{
    const struct snapshot_figures figures = snapshot_figures(snapshot, node);
    uint64_t elsewhere = figures.full + figures.large + figures.heaps + figures.idle_live;
    uint64_t owned_live =
        snapshot_live_is_known(snapshot) ? figures.live - hfi_min(figures.live, elsewhere) : figures.owned;
    const struct show_share all[SHOW_ORDER] = {
        { HF_PAGE_OWNED, figures.owned, hfi_min(figures.owned, owned_live) },
        { HF_PAGE_LOOSE, figures.full, figures.full },
        { HF_PAGE_LARGE, figures.large, figures.large },
        { SNAPSHOT_HEAP, figures.heaps, figures.heaps },
        { HF_PAGE_IDLE, figures.idle, figures.idle_live },
        { SHOW_KEPT, figures.kept, 0 },
        { HF_PAGE_META, figures.meta, figures.meta },
        { HF_PAGE_FREE, figures.free, 0 },
    };
    memcpy(shares, all, sizeof all);
}

static unsigned add_piece(struct show_piece *pieces, unsigned count, unsigned state, bool in_use,
                          unsigned cells)
{
    if (cells == 0)
        return count;
    pieces[count] = (struct show_piece){ .state = (unsigned char)state, .in_use = in_use, .cells = cells };
    return count + 1;
}

/* Ends of the parts are rounded, not their widths, so that they fill the bar. */
unsigned show_bar(struct show_piece pieces[SHOW_PIECES], const struct snapshot *snapshot, unsigned node,
                  unsigned cells)
{
    struct show_share shares[SHOW_ORDER];
    unsigned count = 0, end = 0;
    double total = (double)snapshot->nodes[node].total, sum = 0;
    show_shares(shares, snapshot, node);
    for (unsigned i = 0; i < SHOW_ORDER; i++) {
        const struct show_share *share = &shares[i];
        sum += (double)share->bytes;
        unsigned upto = total == 0 ? 0 : (unsigned)(sum / total * cells + 0.5);
        upto = (unsigned)hfi_min(cells,
                                 hfi_max(upto, end + (share->bytes != 0 && share->state != HF_PAGE_FREE)));
        unsigned live =
            share->bytes == 0
                ? 0
                : (unsigned)((double)(upto - end) * (double)share->live / (double)share->bytes + 0.5);
        count = add_piece(pieces, count, share->state, true, live);
        count = add_piece(pieces, count, share->state, false, upto - end - live);
        end = upto;
    }
    return add_piece(pieces, count, SHOW_MISSING, true, cells - end);
}

/* --- events --- */

static void add_event(char *text, size_t text_bytes, const char *format, const char *amount, uint64_t number)
{
    size_t length = strlen(text);
    snprintf(text + length, text_bytes - length, format, amount, (unsigned long long)number);
}

/* As the message has it, which names it too. */
static void show_heap_event(char *text, size_t text_bytes, const struct snapshot *snapshot,
                            const struct hf_inspect_event *event)
{
    const struct hf_inspect_heap *heap = snapshot_heap_of_id(snapshot, event->b);
    char name[2 * sizeof heap->name], bytes[SHOW_SHORT], quoted[sizeof name + 4] = "";
    if (heap != NULL)
        snprintf(quoted, sizeof quoted, "\"%s\" ", tool_printable(name, sizeof name, heap->name));
    snprintf(text, text_bytes, "heap %s%s%llu%s at its limit: %s did not fit", quoted,
             heap == NULL ? "" : "(", (unsigned long long)event->b, heap == NULL ? "" : ")",
             show_size(bytes, event->a));
}

char *show_event(char *text, size_t text_bytes, const struct snapshot *snapshot,
                 const struct hf_inspect_event *event)
{
    char bytes[SHOW_SHORT];
    show_size(bytes, event->a);
    snprintf(text, text_bytes, "%s", snapshot_event_name(event->kind));
    switch (event->kind) {
    case HF_EVENT_PUBLISHED: add_event(text, text_bytes, ": arena of %s", bytes, 0); break;
    case HF_EVENT_NODE_FULL: add_event(text, text_bytes, ": %s did not fit", bytes, 0); break;
    case HF_EVENT_REMOTE_BEGAN:
        if (event->a < snapshot->node_count)
            add_event(text, text_bytes, ": from node%s %llu", "", snapshot->nodes[event->a].id);
        break;
    case HF_EVENT_REMOTE_ENDED:
        add_event(text, text_bytes, ": pages taken elsewhere%s %llu", "", event->a);
        break;
    case HF_EVENT_REPORT:
        add_event(text, text_bytes, ": %s asked, failures since the last %llu", bytes, event->b);
        break;
    case HF_EVENT_POPULATED:
        if (event->a != 0)
            add_event(text, text_bytes, ": %s failed", bytes, 0);
        break;
    case HF_EVENT_PRESSURE:
        add_event(text, text_bytes, event->b != 0 ? ": %s, and it did" : ": %s, and it did not", bytes, 0);
        break;
    case HF_EVENT_STOLEN: add_event(text, text_bytes, ":%s %llu", "", event->a); break;
    case HF_EVENT_FORKED: add_event(text, text_bytes, ": times so far%s %llu", "", event->a); break;
    case HF_EVENT_REGISTERED:
        add_event(text, text_bytes, event->b != 0 ? ": %s, as a clone" : ": %s", bytes, 0);
        break;
    case HF_EVENT_REGISTER_REFUSED:
        add_event(text, text_bytes, ": %s", bytes, 0);
        add_event(text, text_bytes, ", %s", event->b < 4096 ? hfi_os_error_name((int)event->b) : "?", 0);
        break;
    case HF_EVENT_LATE:
        add_event(text, text_bytes, ": %s", show_time(bytes, snapshot_ns(snapshot, event->b)), 0);
        add_event(text, text_bytes, ", %s", snapshot_cause_name(event->a & 0xff), 0);
        if (event->a >> 8 > 1)
            add_event(text, text_bytes, "; calls%s that did since the last of these: %llu", "",
                      event->a >> 8);
        break;
    case HF_EVENT_HEAP_LIMIT: show_heap_event(text, text_bytes, snapshot, event); break;
    case HF_EVENT_FROZEN:
        add_event(text, text_bytes, ": %s asked, pages so far %llu", bytes, event->b);
        break;
    case HF_EVENT_RESERVE:
        add_event(text, text_bytes, ": %s", bytes, 0);
        add_event(text, text_bytes, " of %s", show_size(bytes, event->b), 0);
        break;
    default: break;
    }
    return text;
}

bool show_utf8(void)
{
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

/* What the C library has no width for, and so perhaps the terminal, is a question mark. */
static unsigned next_character(const char **at, char *character)
{
    wchar_t wide;
    int length = mbtowc(&wide, *at, MB_CUR_MAX), width = length > 0 ? wcwidth(wide) : -1;
    snprintf(character, 8, "%.*s", width < 0 ? 1 : length, width < 0 ? "?" : *at);
    *at += width < 0 ? hfi_max(tool_utf8_length(*at), 1) : (size_t)length;
    return width < 0 ? 1 : (unsigned)width;
}

char *show_name(char *text, size_t text_bytes, const char *name, unsigned columns)
{
    char printable[256], character[8];
    size_t used = 0;
    unsigned width = 0;
    for (const char *at = tool_printable(printable, sizeof printable, name); *at != 0;) {
        unsigned more = next_character(&at, character);
        if (width + more > columns || used + strlen(character) + columns - width >= text_bytes)
            break;
        memcpy(text + used, character, strlen(character));
        used += strlen(character);
        width += more;
    }
    for (; width < columns && used + 1 < text_bytes; width++)
        text[used++] = ' ';
    text[used] = 0;
    return text;
}
