/*
 * top: what its files share.
 *
 * top.c takes the command line, top-screen.c the terminal and the keys, top-views.c draws, with
 * top-head.c, top-nodes.c, top-graph.c and top-rows.c, top-table.c has the columns, top-data.c
 * samples.
 * Without ncurses top-none.c stands for the screen.
 */
#ifndef HFT_TOP_H
#define HFT_TOP_H

#include "reader/target.h"
#include "tool.h"

#define TOP_DELAY_MIN 0.1
#define TOP_DELAY_MAX 60.0
#define TOP_NAME_BYTES 17
#define TOP_WIDE 110  /* columns from which the tables have room to spare */
#define TOP_ROOMY 60  /* from which there are words beside the bars */
#define TOP_CELLS 512 /* columns of a bar, and bytes of a table's row, at most */

enum top_view { TOP_THEAPS, TOP_CLASSES, TOP_EVENTS, TOP_NODES, TOP_HISTORY, TOP_HEAPS, TOP_VIEWS };

/* Per second, of late: an average in which the last two seconds count most. */
struct top_rates {
    double slow, claimed, fresh, stolen, large, retired, remote, away;
    double heaps_made;
};

/* What is known of a theap's slot from one sample to the next. */
struct top_theap {
    uint64_t slow, out, in; /* its counters at the last sample */
    double slow_rate, out_rate, in_rate;
    uint64_t named_tid, named_ns; /* whose name it is, and since when; 0 for none */
    char name[TOP_NAME_BYTES];
};

/* Likewise of a heap's slot. */
struct top_heap {
    uint64_t id; /* of the heap that had it at the last sample */
    uint64_t held;
    double grow_rate; /* bytes per second, negative where it falls */
};

/* What there was at a moment, and of rates the most since the one before.  A point a second, or a
 * sample where those are farther apart.  Ten minutes, at a second. */
#define TOP_PAST 600
enum top_lane { LANE_LIVE, LANE_HELD, LANE_SLOW, LANE_PAGES, TOP_LANES };
struct top_point {
    uint64_t ns;
    double values[TOP_LANES]; /* live is negative where it is not known */
};

/* How a view is looked at. */
struct top_sight {
    unsigned column; /* it is sorted by */
    bool rising;
    unsigned scroll; /* rows above the first that is shown */
};

struct top {
    struct target target;
    char name[TOP_NAME_BYTES]; /* of the process */
    double delay;              /* seconds between samples */

    /* top-data.c */
    struct snapshot now; /* each sample; without the page map */
    struct snapshot map; /* with it: seldom */
    uint64_t map_due_ns;
    uint64_t sampled_ns; /* of `now`; 0 before the first */
    unsigned samples;
    struct snapshot_sum sum;
    struct top_rates rates;
    double slow[HF_INSPECT_BUCKETS]; /* of late: fades as the rates do */
    struct top_theap *theaps;        /* HF_INSPECT_MAX_THEAPS */
    struct top_heap *heaps;          /* HF_INSPECT_MAX_HEAPS */
    uint64_t heaps_made;             /* at the last sample */
    struct top_point past[TOP_PAST]; /* number n stands at n % TOP_PAST */
    unsigned past_count;             /* so far */

    /* the screen */
    enum top_view view;
    struct top_sight sights[TOP_VIEWS];
    bool help, prompting;
    char prompt[8];  /* the delay as typed so far */
    char refused[8]; /* what was typed before, and is none; empty */
    bool colour, utf8;
    unsigned order[HF_INSPECT_MAX_THEAPS]; /* rows of the view, sorted */
    double keys[HF_INSPECT_MAX_THEAPS];    /* of each row, what it is sorted by */
    unsigned rows;
};

/* --- top-data.c --- */

/* Samples the process; 0, or -1 when there is nothing to be read.  A page map is read once a
 * second, or less often where that would cost more than a two hundredth of the time. */
int top_sample(struct top *top);

/* Bytes in pages of blocks, large ones included. */
uint64_t top_held(const struct top *top);

/* Sets the delay; what was seen so far stays. */
bool top_set_delay(struct top *top, const char *text);

/* Whether there is something to say of heaps, or of a reserve. */
bool top_has_heaps(const struct top *top);
bool top_has_reserve(const struct top *top);

/* Name of a theap's thread, read again every few seconds. */
const char *top_theap_name(struct top *top, unsigned theap);

/* Upper bound of the time within which 99 of 100 slow paths ended, in ns: of late, and ever.  0
 * without any. */
double top_p99_ns(const struct top *top);
double top_p99_ever_ns(const struct top *top);

/* --- top-table.c --- */

/* Fills `order` and `rows` for the view. */
void top_sort(struct top *top);

/* Columns of a view; how wide one is, its heading, the cell of a row, the key that sorts by it (0
 * for none). */
unsigned top_column_count(enum top_view view);
unsigned top_column_width(enum top_view view, unsigned column, bool wide);
const char *top_column_title(enum top_view view, unsigned column);
const char *top_column_meaning(enum top_view view, unsigned column);
char top_column_key(enum top_view view, unsigned column);
bool top_column_is_text(enum top_view view, unsigned column);
char *top_cell(struct top *top, unsigned column, unsigned row, char *text, size_t text_bytes, unsigned width);

/* "< 4.1 us" */
char *top_below(char *text, size_t text_bytes, double ns);

/* --- top-head.c --- */

/* Rows that the head takes of this screen, and drawing it. */
int top_head_rows(const struct top *top);
void top_draw_head(const struct top *top);

/* Cells of a picture, at the cursor; quarters as show_fill has them. */
void top_put_cells(const struct top *top, unsigned state, unsigned quarters, unsigned cells);

/* --- top-views.c --- */

/* On the screen of ncurses, which the terminal does not show yet. */
void top_draw(struct top *top);

/* Rows of the view that were drawn last. */
unsigned top_visible(void);

/* --- top-rows.c --- */

/* Makes the screen blank: all of it; except for the rows of the view that stay, the first of which
 * is `first`; the rows of a table from `row` on. */
void top_clear(void);
void top_clear_for(const struct top *top, int first);
void top_clear_below(int row);

/* A row of a table; what is the same as before is not written. */
void top_put_row(int row, char *line);

/* Clears a row for what is no row of a table; that row. */
int top_own_row(int row);

/* --- top-graph.c, top-nodes.c: from a row on, up to `end`; the row below what they drew --- */

int top_draw_past(const struct top *top, int row, int end);
int top_draw_nodes(const struct top *top, int row, int end);

/* --- top-screen.c, or top-none.c --- */

/* Until a key, a signal or the end of the process; an exit status. */
int top_screen(struct top *top);

#endif
