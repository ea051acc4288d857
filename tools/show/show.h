/*
 * show: what the pictures of an arena (map, its SVG, top) have in common.  These are words, letters
 * and colours of what memory is used for, and the grid of cells that a page map is drawn as.
 */
#ifndef HFT_SHOW_H
#define HFT_SHOW_H

#include "reader/snapshot.h"

/* What a part of an arena can be: enum hf_inspect_page_state, SNAPSHOT_HEAP, and two that are no state
 * of a page. */
#define SHOW_KEPT SNAPSHOT_KINDS          /* owned, and no block in use: kept for the next request */
#define SHOW_MISSING (SNAPSHOT_KINDS + 1) /* could not be populated */
#define SHOW_STATES (SNAPSHOT_KINDS + 2)

/* One cell: neighbouring pages of a node. */
struct show_cell {
    uint32_t pages[SHOW_STATES];
    uint32_t all_pages; /* the last cell may have fewer than the others */
    uint32_t state;     /* what most of its pages are, free ones aside; HF_PAGE_FREE where all
                                      * are free */
    double used_bytes;  /* in blocks that are in use, large ones and own structures included; of pages
                         * of blocks all where that is not known */
};

struct show_grid {
    unsigned columns, rows;
    size_t cell_pages; /* a power of two */
    size_t count;      /* cells; the last row may be short */
    bool use_known;    /* used_bytes of cells tell something */
    struct show_cell *cells;
};

/* Lays a node's page map into rows of `columns` cells, as many pages to a cell as keep it to
 * `rows_max` rows.  False when there is no memory for that, or no page map. */
bool show_grid_fill(struct show_grid *grid, const struct snapshot *snapshot, unsigned node, unsigned columns,
                    unsigned rows_max);
void show_grid_free(struct show_grid *grid);

/* How much of a cell is in use, in quarters: 0 for less than one, 3 for three and more. */
unsigned show_fill(const struct show_cell *cell);

/* The one list of what the parts of an arena are called and look like, in every picture. */
struct show_state {
    const char *word;     /* beside a bar */
    const char *meaning;  /* where there is room */
    const char *css;      /* class in the SVG */
    char letter;          /* where there are no shades: a capital is in use, a small one is not */
    unsigned char colour; /* 0 to 7, as terminals number them */
};
extern const struct show_state show_states[SHOW_STATES];

/* Order of bars and legends: what is in use first, free last. */
#define SHOW_ORDER (SNAPSHOT_KINDS)
extern const unsigned char show_order[SHOW_ORDER];

/* Whether legends have it: heaps only where there are any. */
bool show_occurs(const struct snapshot *snapshot, unsigned state);

/* What a cell of a picture looks like, as text of one column, in quarters that are in use as
 * show_fill has it.  `shades`: of UTF-8, for a terminal with colours. */
const char *show_glyph(unsigned state, unsigned quarters, bool shades);

/* A stretch of a bar, of one state, with blocks that are in use or without. */
struct show_piece {
    unsigned char state;
    bool in_use;
    unsigned cells;
};
#define SHOW_PIECES (2 * SHOW_STATES)

/* What a node consists of, in the order of show_order; their sum is at most `total`. */
struct show_share {
    unsigned state;
    uint64_t bytes, live; /* all of it where that is not known: no part looks unused then */
};
void show_shares(struct show_share shares[SHOW_ORDER], const struct snapshot *snapshot, unsigned node);

/* Draws a node as a bar of so many cells: how many pieces it has.  What is there at all has a
 * cell, while there are any. */
unsigned show_bar(struct show_piece pieces[SHOW_PIECES], const struct snapshot *snapshot, unsigned node,
                  unsigned cells);

/* "45 s", "3 min", "2 h", "6 d" */
char *show_span(char *text, size_t text_bytes, double ns);

/* "64 ns", "4.1 us", "12 ms" */
char *show_time(char *text, double ns);

/* What a part (0..1) of a cause's calls stayed under: no more than the longest. */
char *show_below(char *text, const struct snapshot *snapshot, const struct hf_inspect_slow *slow,
                 double part);

/* Bytes in prose, right to half a per cent: "4.29 MiB". */
#define SHOW_SHORT 24
char *show_size(char text[SHOW_SHORT], uint64_t bytes);

/* Figures of tables, as exact as so many columns have room for, five or more.  Bytes go by 1024 and
 * say so: "940B", "23.8Mi".  Others are digits where those fit, else go by 1000: "12k", "3.4M"; a
 * rate below ten has a decimal. */
char *show_bytes(char text[SHOW_SHORT], double bytes, unsigned columns);
char *show_count(char text[SHOW_SHORT], double count, unsigned columns);
char *show_rate(char text[SHOW_SHORT], double rate, unsigned columns);

/* A share as per cent; 0 of nothing. */
double show_percent(uint64_t part, uint64_t whole);

/* "live 107 MiB, held 110.3 MiB (1.03 times live), unused 3.3 MiB", of a part or of all of an arena
 * with a page map; where live bytes are not known, "live unknown, held 110.3 MiB", of all with the
 * next step.  The quotient alone; 0 where nothing is live. */
#define SHOW_LIVE 160
char *show_live(char text[SHOW_LIVE], const struct snapshot *snapshot, uint64_t live, uint64_t held);
char *show_live_of_all(char text[SHOW_LIVE], const struct snapshot *snapshot);
double show_held_over_live(uint64_t held, uint64_t live);

/* Of a segment that a process left: whose, and when it was at work last.  Prints nothing of a live one. */
void show_kept(const struct snapshot *snapshot);

/* Why live bytes are not exact, or not known; NULL where they are exact. */
const char *show_live_limits(const struct snapshot *snapshot);

/* Live bytes for a cell of a table, with a < in front where there are at most so many, ? where they
 * are not known.  And "now", "at_most" or "slow_paths". */
const char *show_live_cell(char text[SHOW_SHORT], const struct snapshot *snapshot, unsigned columns);
const char *show_live_as_of(const struct snapshot *snapshot);

/* What cells and bars do not tell where live bytes are not known. */
#define SHOW_USE_UNKNOWN "how much of it is in use is not known"

/* What an event says, without its node and thread. */
char *show_event(char *text, size_t text_bytes, const struct snapshot *snapshot,
                 const struct hf_inspect_event *event);

/* True where the locale's characters are UTF-8.  setlocale must have been called. */
bool show_utf8(void);

/* Columns of the terminal that standard output is, SHOW_COLUMNS where it is none. */
#define SHOW_COLUMNS 80u
unsigned show_columns(void);

/* Around what is printed for people: on a terminal of fewer columns lines break at words.  Not in
 * one another. */
void show_wrap_begin(void);
void show_wrap_end(void);

/* A name as a cell of so many columns of the terminal, filled up with blanks, or cut. */
char *show_name(char *text, size_t text_bytes, const char *name, unsigned columns);

#endif
