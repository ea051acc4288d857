/*
 * stat: the ways in which `holdfast stat` shows a snapshot.
 */
#ifndef HFT_STAT_H
#define HFT_STAT_H

#include "reader/target.h"
#include "tool.h"

/* How much of the lists the text shows; UINT_MAX: all. */
struct stat_lengths {
    unsigned classes, theaps, heaps, events;
};

/* For people, at 80 columns. */
void stat_text(const struct snapshot *snapshot, const struct stat_lengths *lengths);

/* Everything in it as one JSON object (holdfast-inspect(5)). */
json_t *stat_json(const struct snapshot *snapshot);

/* As text for a metrics system: of OpenMetrics, or of the format before it (version 0.0.4). */
enum stat_metrics_form { METRICS_OPEN, METRICS_PLAIN };
void stat_metrics(const struct snapshot *snapshot, enum stat_metrics_form form);

/* The last line, where the form has one. */
void stat_metrics_end(enum stat_metrics_form form);

/* The same of each process whose arena the caller may read, end included; every.c.  False where there was
 * no memory for it. */
bool stat_metrics_of_every(enum stat_metrics_form form);

/* What is printed between the two, as a text for free(3), or NULL.  One of them may be inside another. */
bool stat_kept_begin(void);
char *stat_kept_end(size_t *length);

/* Answers one request of HTTP on standard input with that, on standard output; an exit status; http.c. */
int stat_serve(void);

/* The span between two snapshots of a process: sizes as of the later one, counters per second, or
 * with `delta` their differences.  As a line under stat_watch_head's, 80 columns in all, or as a
 * JSON object. */
void stat_watch_head(bool delta);
void stat_watch_line(const struct snapshot *before, const struct snapshot *after, bool delta);
json_t *stat_watch_json(const struct snapshot *before, const struct snapshot *after, bool delta);

/* One word for what an event's kind is: "node_full". */
const char *stat_event_word(uint32_t kind, char *word, size_t word_bytes);

#endif
