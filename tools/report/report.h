/*
 * report: one HTML page about an arena, or about two side by side.
 *
 * RP1: what another process chose (names, command lines, paths) passes report_text; all else is
 *      numbers and words of this program.
 * RP2: nothing is fetched and nothing runs: no script, no font, no picture from elsewhere; the
 *      page's own policy forbids them.
 * RP3: behind every picture stands a table with its figures, in a <details> that the keyboard opens.
 * RP4: every part of a picture that stands for a number has a <title> with that number.
 * RP5: of two arenas side by side, each pair of pictures has the same scales.
 */
#ifndef HFT_REPORT_H
#define HFT_REPORT_H

#include "advice/advice.h"

/* How far the axes of a report's pictures go; two reports side by side share one. */
struct report_scale {
    double span_ns; /* of time, from the first sample on */
    uint64_t node_bytes[HF_INSPECT_MAX_NODES];
    uint64_t memory_bytes;             /* of all nodes together */
    uint64_t class_bytes, theap_bytes; /* the longest bar */
    uint64_t growth_bytes;             /* live, of a size of blocks */
    uint64_t heap_bytes;               /* of a heap */
    uint64_t threads;
    double excess, excess_last; /* held over live: the most, and at the end */
    double pages_per_s;
    unsigned slow_first, slow_last; /* buckets of the histogram; first > last: none */
    uint64_t slow_most;
    bool relative; /* moments are told as time since the first sample */
};

struct report {
    FILE *out;
    const struct history *history;
    const struct sample *sample;
    const struct snapshot *snapshot;
    const struct advice *advice;
    unsigned advice_count;
    struct report_scale scale;
    const char *side;     /* "A" or "B" where two stand side by side; else NULL */
    bool without_command; /* the command line is left out */
};

/* Writes all of it to `out`; the second where only one is to be shown is NULL. */
void report_page(struct report *report, struct report *other);

/* --- report-text.c: what all parts write with --- */

#define REPORT_TEXT 64

/* Escaped, control characters replaced. */
void report_text(FILE *out, const char *text);

/* "12,345", "1.5 GiB", "12 %", "3.2 us", "1 event", "14:03:20": into a buffer of REPORT_TEXT,
 * which is returned. */
char *report_count(char *text, uint64_t count);
char *report_bytes(char *text, uint64_t bytes);
char *report_percent(char *text, uint64_t part, uint64_t whole);
char *report_ns(char *text, double ns);
char *report_ratio(char *text, uint64_t of, uint64_t over); /* "1.23 times" */
char *report_round_ns(char *text, double ns);               /* a tick of an axis: "10 us" */
char *report_short(char *text, double count);               /* "12", "3.4k" */
char *report_counted(char *text, uint64_t count, const char *one, const char *many);
/* `ns` is of CLOCK_MONOTONIC; the text is the local time of day, or of two the time since the
 * first sample. */
char *report_moment(const struct report *report, char *text, double ns);

/* For arguments of printf: the buffer lives as long as the statement's block. */
#define COUNT(number) report_count((char[REPORT_TEXT]){ 0 }, number)
#define BYTES(number) report_bytes((char[REPORT_TEXT]){ 0 }, number)
#define PERCENT(part, whole) report_percent((char[REPORT_TEXT]){ 0 }, part, whole)
#define RATIO(of, over) report_ratio((char[REPORT_TEXT]){ 0 }, of, over)
#define NS(number) report_ns((char[REPORT_TEXT]){ 0 }, number)
#define COUNTED(count, one, many) report_counted((char[REPORT_TEXT]){ 0 }, count, one, many)
#define MOMENT(report, ns) report_moment(report, (char[REPORT_TEXT]){ 0 }, ns)

/* "2 MiB pages of a pool", "transparent huge pages". */
const char *report_backing(uint32_t backing);

void report_style(FILE *out); /* report-style.c */

/* Of two side by side: which it is. */
void report_letter(const struct report *report);

/* A picture's frame: <figure>, its caption; then the picture; then its table. */
void report_figure(const struct report *report, const char *css, const char *format, ...) HFI_PRINTF(3, 4);
void report_figure_end(const struct report *report);

/* An <svg> of the usual width, with a name for those who cannot see it. */
#define REPORT_WIDTH 600
void report_svg(const struct report *report, unsigned height, const char *format, ...) HFI_PRINTF(3, 4);

/* A picture's key: begun, an entry each, ended. */
void report_key(const struct report *report);
void report_key_entry(const struct report *report, const char *css, const char *format, ...) HFI_PRINTF(3, 4);
void report_key_end(const struct report *report);

/* <details><table>: its caption and column heads, separated by '|'; a column whose head begins
 * with '<' is text. */
void report_table(const struct report *report, const char *caption, const char *heads);
/* A row of numbers: its head, then a cell each, up to the first NULL; or the cells behind a head
 * that is there.  Both end the row. */
void report_row(const struct report *report, const char *const *cells);
void report_cells(const struct report *report, const char *const *cells);
#define ROW(report, ...) report_row(report, (const char *const[]){ __VA_ARGS__, NULL })
#define CELLS(report, ...) report_cells(report, (const char *const[]){ __VA_ARGS__, NULL })
void report_table_end(const struct report *report);

/* --- report-axes.c: axes, which pictures share --- */

#define REPORT_LEFT 66.0
#define REPORT_RIGHT 590.0
#define REPORT_TOP 16.0
#define REPORT_PLOT 150.0
#define REPORT_BOTTOM (REPORT_TOP + REPORT_PLOT)
#define REPORT_HEIGHT ((unsigned)REPORT_BOTTOM + 26) /* of a picture with an axis of time */
#define REPORT_TICKS 5u                              /* of an axis at the left, at most */

double report_x(const struct report *report, double ns);
double report_y(double part);

/* The plot's ground, up to that part of its height. */
void report_ground(const struct report *report, double part);

/* Round ticks: moments from `left` to `right` below `y`, of the usual plot or another; bytes or
 * a count at its left, up to `top`, with lines over the plot. */
void report_time_axis(const struct report *report);
void report_time_axis_at(const struct report *report, double left, double right, double y);
void report_bytes_axis(const struct report *report, uint64_t top);
void report_count_axis(const struct report *report, double top, const char *unit);
void report_times_axis(const struct report *report, double bottom, double top); /* "1.5 times" */

/* The least step of 1, 2 or 5 times a power of ten, or of a power of two, that divides `top`
 * into `parts` at most. */
double report_step(double top, unsigned parts);
uint64_t report_step_bytes(uint64_t top, unsigned parts);

/* A strip for each point of the history over the plot's whole height, with the title that
 * `write` makes of it. */
typedef void report_tip(const struct report *report, unsigned point, unsigned node);
void report_tips(const struct report *report, report_tip *write, unsigned node);

/* Points of the history that a table shows: evenly spread, first and last among them. */
unsigned report_row_point(const struct history *history, unsigned row, unsigned rows);
unsigned report_row_count(const struct history *history);

/* Per second, between two points of the history. */
double report_rate(uint64_t before, uint64_t after, uint64_t ns);
double report_taken_rate(const struct history_point *from, const struct history_point *to);

/* --- report-scale.c --- */

/* Fills the report's scale by what it shows; and makes both scales of two reports the larger of
 * each. */
void report_scale(struct report *report);
void report_scale_join(struct report *report, struct report *other);

/* --- report-growth.c, report-time.c: what their figures come to --- */

/* The most live bytes of any size of blocks that report_growth shows. */
uint64_t report_growth_most(const struct report *report);

/* The most that any heap held which report_heaps draws. */
uint64_t report_heaps_most(const struct report *report);

/* Held over live at a point; 0: it is not known, or nothing is live. */
double report_excess_at(const struct report *report, unsigned point);

/* --- its parts, in the page's order; each writes figures into a section that is open --- */

void report_origin(const struct report *report); /* report-head.c: what, where, when */
void report_status(const struct report *report);
void report_tiles(const struct report *report);
void report_advice(const struct report *report);
void report_memory(const struct report *report);  /* report-time.c: live and held over time */
void report_excess(const struct report *report);  /* held over live, over time */
void report_growth(const struct report *report);  /* report-growth.c: by size of block, over time */
void report_use(const struct report *report);     /* per node, over time */
void report_threads(const struct report *report); /* how many, over time */
void report_bands(const struct report *report);   /* report-bands.c: by place, over time */
void report_maps(const struct report *report);    /* report-parts.c */
void report_shares(const struct report *report);  /* report-pages.c: from which nodes pages came */
void report_rates(const struct report *report);   /* how many pages, over time */
void report_events(const struct report *report);  /* report-events.c */
void report_classes(const struct report *report); /* report-parts.c */
void report_theaps(const struct report *report);
void report_heaps(const struct report *report);   /* report-heaps.c */
void report_latency(const struct report *report); /* report-slow.c */
void report_counters(const struct report *report);
void report_settings(const struct report *report);                                /* report-settings.c */
void report_differences(const struct report *report, const struct report *other); /* report-pair.c */

#endif
