/*
 * report: one HTML page about an arena.
 *
 * P1: what another process chose (names) passes report_text; all else is numbers and words of this program.
 * P2: nothing is fetched and nothing runs: no script, no font, no picture from elsewhere; the page's own policy forbids them.
 * P3: behind every picture stands a table with its figures, in a <details> that the keyboard opens.
 */
#ifndef HFT_REPORT_H
#define HFT_REPORT_H

#include "advice.h"

struct report {
    FILE *out;
    const struct history *history;
    const struct sample *sample;
    const struct snapshot *snapshot;
    const struct advice *advice;
    unsigned advice_count;
};

/* Writes all of it to `out`. */
void report_page(const struct report *report);

/* --- report-text.c: what all parts write with --- */

#define REPORT_TEXT 64

/* Escaped, control characters replaced. */
void report_text(FILE *out, const char *text);

/* "12,345", "1.5 GiB", "12 %", "3.2 us", "14:03:20": into a buffer of REPORT_TEXT, which is returned. */
char *report_count(char *text, uint64_t count);
char *report_bytes(char *text, uint64_t bytes);
char *report_percent(char *text, uint64_t part, uint64_t whole);
char *report_ns(char *text, double ns);
char *report_moment(const struct report *report, char *text, double ns); /* of CLOCK_MONOTONIC; local time of day */

/* For arguments of printf: the buffer lives as long as the statement's block. */
#define COUNT(number) report_count((char[REPORT_TEXT]){ 0 }, number)
#define BYTES(number) report_bytes((char[REPORT_TEXT]){ 0 }, number)
#define PERCENT(part, whole) report_percent((char[REPORT_TEXT]){ 0 }, part, whole)
#define NS(number) report_ns((char[REPORT_TEXT]){ 0 }, number)
#define MOMENT(report, ns) report_moment(report, (char[REPORT_TEXT]){ 0 }, ns)

void report_head(const struct report *report);
void report_style(FILE *out);

/* A picture's frame: <figure>, its caption; then the picture; then its table. */
void report_figure(const struct report *report, const char *css, const char *format, ...) HFI_PRINTF(3, 4);
void report_figure_end(const struct report *report);

/* An <svg> of the usual width, with a name for those who cannot see it. */
#define REPORT_WIDTH 600
void report_svg(const struct report *report, unsigned height, const char *format, ...) HFI_PRINTF(3, 4);

/* <details><table>: its caption and column heads, separated by '|'; a column whose head begins with '<' is text. */
void report_table(const struct report *report, const char *caption, const char *heads);
void report_table_end(const struct report *report);

/* --- report-time.c: the axis of time, which pictures share --- */

#define REPORT_LEFT 66.0
#define REPORT_RIGHT 590.0
#define REPORT_TOP 16.0
#define REPORT_PLOT 150.0
#define REPORT_BOTTOM (REPORT_TOP + REPORT_PLOT)

double report_x(const struct report *report, double ns);
double report_y(double part);
void report_time_axis(const struct report *report, double y);

/* Points of the history that a table shows: evenly spread, first and last among them. */
unsigned report_row_point(const struct history *history, unsigned row, unsigned rows);
unsigned report_row_count(const struct history *history);

/* --- its parts, in the page's order --- */

void report_status(const struct report *report);  /* report-head.c */
void report_tiles(const struct report *report);
void report_advice(const struct report *report);
void report_use(const struct report *report);     /* report-time.c: per node, over time */
void report_bands(const struct report *report);   /* by place, over time */
void report_remote(const struct report *report);  /* report-remote.c */
void report_events(const struct report *report);
void report_maps(const struct report *report);    /* report-parts.c */
void report_classes(const struct report *report);
void report_theaps(const struct report *report);
void report_latency(const struct report *report);
void report_settings(const struct report *report);

#endif
