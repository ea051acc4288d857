/*
 * top-table: the columns of top's views, and the order of their rows.
 *
 * A view is sorted by one number per row; those that are equal stay in the order of their slots, so
 * rows do not jump.  Names are compared as text.
 *
 * Test: tests/tool-top.sh.
 */
#include <holdfast/heap.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "show/show.h"
#include "top/top.h"

enum cell_kind {
    CELL_NAME,
    CELL_PLAIN,
    CELL_COUNT,
    CELL_RATE,
    CELL_BYTES,
    CELL_PERCENT,
    CELL_LIMIT,  /* bytes; 0 is none */
    CELL_FULL,   /* per cent of a limit; negative: there is none */
    CELL_CHANGE, /* bytes per second, of either sign */
    CELL_SECONDS,
    CELL_KIND, /* of a heap */
    CELL_NODE, /* of a heap */
};

struct column {
    const char *title;
    const char *meaning; /* for the help */
    char key;
    unsigned char width;
    enum cell_kind kind;
    double (*value)(const struct top *top, unsigned row);
    enum {
        OF_PROCESS,
        OF_MAP,
        OF_LIVE
    } source; /* there is none without a page map; nor of live without that */
};

/* --- theaps --- */

static const struct hf_inspect_theap *theap_of(const struct top *top, unsigned row)
{
    return &top->now.theaps[row];
}

/* What the page map says may be a second older. */
static const struct theap_pages *pages_of(const struct top *top, unsigned row)
{
    static const struct theap_pages none;
    return row < top->map.theap_count ? &top->map.theap_pages[row] : &none;
}

static double theap_tid(const struct top *top, unsigned row)
{
    return (double)theap_of(top, row)->tid;
}
static double theap_cpu(const struct top *top, unsigned row)
{
    return theap_of(top, row)->cpu;
}
static double theap_pages(const struct top *top, unsigned row)
{
    return (double)pages_of(top, row)->pages;
}
static double theap_bytes(const struct top *top, unsigned row)
{
    return (double)pages_of(top, row)->used_bytes;
}
static double theap_slow(const struct top *top, unsigned row)
{
    return top->theaps[row].slow_rate;
}
static double theap_out(const struct top *top, unsigned row)
{
    return top->theaps[row].out_rate;
}
static double theap_in(const struct top *top, unsigned row)
{
    return top->theaps[row].in_rate;
}
static double theap_claimed(const struct top *top, unsigned row)
{
    return (double)theap_of(top, row)->claimed;
}
static double theap_stolen(const struct top *top, unsigned row)
{
    return (double)theap_of(top, row)->stolen;
}
static double theap_lost(const struct top *top, unsigned row)
{
    return (double)theap_of(top, row)->lost;
}

/* The kernel's number, where the segment names a node that there is. */
static double theap_home(const struct top *top, unsigned row)
{
    uint32_t node = theap_of(top, row)->home_node;
    return snapshot_node_id(&top->now, node);
}

static double theap_away(const struct top *top, unsigned row)
{
    double away = 0;
    for (unsigned i = 0; i < HF_INSPECT_DISTANCES; i++)
        away += (double)theap_of(top, row)->away[i];
    return away;
}

static const struct column theap_columns[] = {
    { "name", "thread's name", 'N', 11, CELL_NAME, NULL, OF_PROCESS },
    { "tid", "thread", 'T', 7, CELL_PLAIN, theap_tid, OF_PROCESS },
    { "nd", "home node", 'H', 2, CELL_PLAIN, theap_home, OF_PROCESS },
    { "cpu", "where its last slow path ran", 'C', 3, CELL_PLAIN, theap_cpu, OF_PROCESS },
    { "pages", "of 64 KiB, that it owns", 'P', 5, CELL_COUNT, theap_pages, OF_MAP },
    { "bytes", "in use in those", 'B', 5, CELL_BYTES, theap_bytes, OF_LIVE },
    { "slow/s", "slow paths", 'S', 6, CELL_RATE, theap_slow, OF_PROCESS },
    { "out/s", "frees into others' pages", 'O', 5, CELL_RATE, theap_out, OF_PROCESS },
    { "in/s", "others' frees into its pages", 'I', 5, CELL_RATE, theap_in, OF_PROCESS },
    { "claim", "idle pages claimed", 'M', 5, CELL_COUNT, theap_claimed, OF_PROCESS },
    { "stol", "pages stolen from sleepers", 'X', 4, CELL_COUNT, theap_stolen, OF_PROCESS },
    { "lost", "pages lost while asleep", 'L', 4, CELL_COUNT, theap_lost, OF_PROCESS },
    { "away", "pages got of other nodes", 'A', 5, CELL_COUNT, theap_away, OF_PROCESS },
};

/* --- size classes --- */

static double class_block(const struct top *top, unsigned row)
{
    return top->now.classes[row].block_bytes;
}
static double class_runs(const struct top *top, unsigned row)
{
    return (double)top->map.class_pages[row].runs;
}
static double class_bytes(const struct top *top, unsigned row)
{
    return (double)top->map.class_pages[row].pages * HF_INSPECT_PAGE_BYTES;
}
static double class_used(const struct top *top, unsigned row)
{
    return (double)top->map.class_pages[row].used_blocks;
}
static double class_room(const struct top *top, unsigned row)
{
    return (double)top->map.class_pages[row].room_blocks;
}
static double class_waste(const struct top *top, unsigned row)
{
    return (double)top->map.class_pages[row].waste_bytes;
}

static double class_fill(const struct top *top, unsigned row)
{
    return show_percent(top->map.class_pages[row].used_blocks, top->map.class_pages[row].room_blocks);
}

static const struct column class_columns[] = {
    { "block", "bytes of a block", 'B', 9, CELL_BYTES, class_block, OF_PROCESS },
    { "runs", "runs of pages cut into such blocks", 'R', 7, CELL_COUNT, class_runs, OF_MAP },
    { "held", "bytes of those runs", 'H', 8, CELL_BYTES, class_bytes, OF_MAP },
    { "in use", "blocks", 'U', 8, CELL_COUNT, class_used, OF_LIVE },
    { "room", "blocks that the runs can hold", 'M', 8, CELL_COUNT, class_room, OF_MAP },
    { "fill %", "blocks in use, of the room", 'F', 7, CELL_PERCENT, class_fill, OF_LIVE },
    { "waste", "bytes in no block that is in use", 'W', 8, CELL_BYTES, class_waste, OF_LIVE },
};

/* --- heaps --- */

static const struct hf_inspect_heap *heap_of(const struct top *top, unsigned row)
{
    return &top->now.heaps[row];
}

static double heap_number(const struct top *top, unsigned row)
{
    return (double)heap_of(top, row)->id;
}
static double heap_held(const struct top *top, unsigned row)
{
    return (double)heap_of(top, row)->held;
}
static double heap_most(const struct top *top, unsigned row)
{
    return (double)heap_of(top, row)->most;
}
static double heap_limit(const struct top *top, unsigned row)
{
    return (double)heap_of(top, row)->limit;
}
static double heap_failed(const struct top *top, unsigned row)
{
    return (double)heap_of(top, row)->failures;
}
static double heap_grows(const struct top *top, unsigned row)
{
    return top->heaps[row].grow_rate;
}
static double heap_seconds(const struct top *top, unsigned row)
{
    return snapshot_age_ns(&top->now, heap_of(top, row)->made_ticks) / 1e9;
}
static double heap_soft(const struct top *top, unsigned row)
{
    return (double)heap_of(top, row)->soft_limit;
}
static double heap_crossings(const struct top *top, unsigned row)
{
    return (double)heap_of(top, row)->crossings;
}
static double heap_kind(const struct top *top, unsigned row)
{
    return heap_of(top, row)->flags & HF_HEAP_REGION;
}

static double heap_full(const struct top *top, unsigned row)
{
    const struct hf_inspect_heap *heap = heap_of(top, row);
    return heap->limit == 0 ? -1 : show_percent(heap->held, heap->limit);
}

static double heap_node(const struct top *top, unsigned row)
{
    uint32_t node = heap_of(top, row)->node;
    return node == HF_INSPECT_NO_NODE ? -1 : (double)snapshot_node_id(&top->now, node);
}

static const struct column heap_columns[] = {
    { "heap", "its name, as the program gave it", 'N', 16, CELL_NAME, NULL, OF_PROCESS },
    { "number", "as messages have it", 'I', 8, CELL_COUNT, heap_number, OF_PROCESS },
    { "held", "bytes of the arena that it has now", 'H', 6, CELL_BYTES, heap_held, OF_PROCESS },
    { "most", "that it held", 'M', 6, CELL_BYTES, heap_most, OF_PROCESS },
    { "limit", "of what it may hold", 'L', 6, CELL_LIMIT, heap_limit, OF_PROCESS },
    { "full %", "held, of the limit", 'F', 6, CELL_FULL, heap_full, OF_PROCESS },
    { "failed", "calls that the limit failed", 'X', 6, CELL_COUNT, heap_failed, OF_PROCESS },
    { "grow/s", "bytes more held per second", 'G', 7, CELL_CHANGE, heap_grows, OF_PROCESS },
    { "for", "since it was made", 'A', 6, CELL_SECONDS, heap_seconds, OF_PROCESS },
    { "kind", "region or general", 'K', 7, CELL_KIND, heap_kind, OF_PROCESS },
    { "nd", "node that it is bound to; all: in turn", 'D', 3, CELL_NODE, heap_node, OF_PROCESS },
    { "soft", "soft limit", 'S', 6, CELL_LIMIT, heap_soft, OF_PROCESS },
    { "over", "times that it came over the soft limit", 'O', 5, CELL_COUNT, heap_crossings, OF_PROCESS },
};

static const struct column *columns_of(enum top_view view)
{
    return view == TOP_THEAPS ? theap_columns : view == TOP_HEAPS ? heap_columns : class_columns;
}

unsigned top_column_count(enum top_view view)
{
    switch (view) {
    case TOP_THEAPS: return sizeof theap_columns / sizeof theap_columns[0];
    case TOP_CLASSES: return sizeof class_columns / sizeof class_columns[0];
    case TOP_HEAPS: return sizeof heap_columns / sizeof heap_columns[0];
    default: return 0;
    }
}

unsigned top_column_width(enum top_view view, unsigned column, bool wide)
{
    const struct column *of = &columns_of(view)[column];
    return !wide ? of->width : of->kind == CELL_NAME ? TOP_NAME_BYTES - 1 : of->width + 3u;
}

const char *top_column_title(enum top_view view, unsigned column)
{
    return columns_of(view)[column].title;
}
const char *top_column_meaning(enum top_view view, unsigned column)
{
    return columns_of(view)[column].meaning;
}
char top_column_key(enum top_view view, unsigned column)
{
    return columns_of(view)[column].key;
}
bool top_column_is_text(enum top_view view, unsigned column)
{
    return columns_of(view)[column].kind == CELL_NAME;
}

/* --- cells --- */

char *top_below(char *text, size_t text_bytes, double ns)
{
    if (ns == 0)
        snprintf(text, text_bytes, "-");
    else if (ns < 1e3)
        snprintf(text, text_bytes, "< %.0f ns", ns);
    else if (ns < 1e6)
        snprintf(text, text_bytes, "< %.1f us", ns / 1e3);
    else
        snprintf(text, text_bytes, ns < 1e9 ? "< %.1f ms" : "< %.1f s", ns < 1e9 ? ns / 1e6 : ns / 1e9);
    return text;
}

static bool is_known(const struct top *top, const struct column *column)
{
    return column->source == OF_PROCESS ||
           (column->source == OF_MAP ? top->map.pages != NULL : snapshot_live_is_known(&top->map));
}

/* A thread's, or a heap's. */
static const char *name_of(struct top *top, unsigned row)
{
    if (top->view == TOP_THEAPS)
        return top_theap_name(top, row);
    return heap_of(top, row)->name[0] == 0 ? "(no name)" : heap_of(top, row)->name;
}

static void put_change(char *text, double value, unsigned width)
{
    char bytes[SHOW_SHORT];
    show_bytes(bytes, value < 0 ? -value : value, width - 1);
    bool none = value < 0.5 && value > -0.5; /* it fades */
    snprintf(text, SHOW_SHORT, none ? "0" : value < 0 ? "-%s" : "%s", bytes);
}

char *top_cell(struct top *top, unsigned column, unsigned row, char *text, size_t text_bytes, unsigned width)
{
    const struct column *of = &columns_of(top->view)[column];
    char node[16];
    double value = of->value == NULL ? 0 : of->value(top, row);
    if (!is_known(top, of)) {
        snprintf(text, text_bytes, top->map.pages == NULL ? "-" : "?");
        return text;
    }
    switch (of->kind) {
    case CELL_NAME: snprintf(text, text_bytes, "%s", name_of(top, row)); break;
    case CELL_PLAIN: snprintf(text, text_bytes, "%.0f", value); break;
    case CELL_COUNT: show_count(text, value, width); break;
    case CELL_RATE: show_rate(text, value, width); break;
    case CELL_BYTES: show_bytes(text, value, width); break;
    case CELL_PERCENT: snprintf(text, text_bytes, "%.1f", value); break;
    case CELL_LIMIT: value == 0 ? strcpy(text, "-") : show_bytes(text, value, width); break;
    case CELL_FULL: snprintf(text, text_bytes, value < 0 ? "-" : "%.1f", value); break;
    case CELL_CHANGE: put_change(text, value, width); break;
    case CELL_SECONDS: show_span(text, text_bytes, value * 1e9); break;
    case CELL_KIND: snprintf(text, text_bytes, "%s", snapshot_heap_kind(heap_of(top, row))); break;
    case CELL_NODE:
        snprintf(text, text_bytes, "%s", snapshot_heap_place(&top->now, heap_of(top, row), node));
        break;
    }
    return text;
}

/* --- order --- */

struct sorting {
    struct top *top;
    const struct column *column;
    bool rising;
};

static int compare(const void *one, const void *other, void *argument)
{
    const struct sorting *sorting = argument;
    unsigned a = *(const unsigned *)one, b = *(const unsigned *)other;
    int order = 0;
    if (sorting->column->kind == CELL_NAME) {
        order = strcmp(name_of(sorting->top, a), name_of(sorting->top, b));
    } else {
        double left = sorting->top->keys[a], right = sorting->top->keys[b];
        order = left < right ? -1 : left > right;
    }
    if (order == 0)
        return a < b ? -1 : a > b;
    return sorting->rising ? order : -order;
}

static void list_theaps(struct top *top, bool named)
{
    for (unsigned i = 0; i < top->now.theap_count; i++) {
        if (top->now.theaps[i].in_use == 0)
            continue;
        if (named)
            top_theap_name(top, i);
        top->order[top->rows++] = i;
    }
}

void top_sort(struct top *top)
{
    const struct top_sight *sight = &top->sights[top->view];
    struct sorting sorting = { .top = top, .rising = sight->rising };
    top->rows = 0;
    if (top->view == TOP_EVENTS)
        top->rows = top->now.event_count;
    else if (top->view == TOP_NODES)
        top->rows = top->now.node_count;
    else
        sorting.column = &columns_of(top->view)[sight->column];
    for (unsigned i = 0; top->view == TOP_HEAPS && i < top->now.heap_count; i++)
        if (top->now.heaps[i].id != 0)
            top->order[top->rows++] = i;
    if (top->view == TOP_THEAPS)
        list_theaps(top, sorting.column->kind == CELL_NAME);
    for (unsigned i = 0; top->view == TOP_CLASSES && i < top->now.class_count; i++)
        top->order[top->rows++] = i;
    for (unsigned i = 0; sorting.column != NULL && sorting.column->value != NULL && i < top->rows; i++)
        top->keys[top->order[i]] =
            is_known(top, sorting.column) ? sorting.column->value(top, top->order[i]) : 0;
    if (sorting.column != NULL)
        qsort_r(top->order, top->rows, sizeof top->order[0], compare, &sorting);
}
