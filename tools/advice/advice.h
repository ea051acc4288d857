/*
 * advice: what to change about an arena, by what was seen of it.
 *
 * rules-*.c hold the rules, and rules.c their order.  A rule applies only where a number says so, and
 * its evidence names that number.
 */
#ifndef HFT_ADVICE_H
#define HFT_ADVICE_H

#include "reader/history.h"

enum severity {
    SEVERITY_FAULT, /* something was refused, or is missing */
    SEVERITY_COST,  /* it works, slower than it could */
    SEVERITY_HINT,  /* it works; more could be had, or less be held */
};

#define ADVICE_TEXT 640

struct advice {
    const char *rule;
    const char *headline; /* what is wrong, in a few words */
    enum severity severity;
    int node;                   /* index in the snapshot's nodes; -1: of all */
    char evidence[ADVICE_TEXT]; /* one sentence without its full stop */
    char setting[ADVICE_TEXT];
};

#define ADVICE_MAX 256

/* Fills `advice` (of ADVICE_MAX) in the order of severity; how many.  An arena that lived less than
 * `settled_s` is not called too large. */
unsigned advice_give(const struct history *history, double settled_s, struct advice *advice);

const char *advice_severity_name(enum severity severity);

#define ADVICE_SETTLED_S 600.0

/* What `tune` prints: to standard output, 0 or 1.  tune.c */
int tune_print(const struct history *history, const struct advice *advice, unsigned count, bool json,
               double settled_s);

/* --- advice-view.c: what the rules look at --- */

struct advice_home { /* of the theaps that are at home on a node */
    uint64_t taken, away, failed;
    uint64_t fulls;   /* times it was found full, of the events seen */
    uint64_t refused; /* largest request that did not fit there, of the events seen */
};

struct advice_view {
    const struct history *history;
    const struct sample *sample;
    const struct snapshot *snapshot;
    double settled_s, life_s;
    struct advice_home homes[HF_INSPECT_MAX_NODES];
    uint64_t total_bytes, failed, away;
    uint64_t sleepers, sleeping_bytes;     /* theaps with no slow path for ADVICE_SLEEP_S, and what they hold
                                        * unused */
    char sleeper[SAMPLE_NAME];             /* the one that holds most */
    double sleep_s;                        /* its last slow path was so long ago */
    uint64_t refused_bytes, refused_errno; /* registration with io_uring, the last; 0: none, or one
                                            * succeeded since */
};

#define ADVICE_SLEEP_S 5.0

void advice_look(struct advice_view *view, const struct history *history, double settled_s);

/* What the node should have: its high water and what was refused, with a quarter to spare.  Where
 * calls failed, it is what they would take if all asked for the largest, between twice and four
 * times what the node has.  Whole OS pages. */
uint64_t advice_node_bytes(const struct advice_view *view, unsigned node);

/* Seconds until the node is full, if the most that it used goes on to rise as it did, and nothing
 * was refused yet.  0: it does not rise, or not within a month. */
double advice_full_in_s(const struct advice_view *view, unsigned node);

/* Largest request refused there, if such a one could ever fit; else 0. */
uint64_t advice_refused(const struct advice_view *view, unsigned node);

/* Calls failed there because of requests that no arena here could serve. */
bool advice_request_was_large(const struct advice_view *view, unsigned node);

/* "HOLDFAST_ARENA=..." for all nodes, each as advice_node_bytes or, where that is not to be
 * changed, as it is. */
void advice_arena(const struct advice_view *view, char *text, size_t text_bytes);

bool advice_node_is_small(const struct advice_view *view, unsigned node);
bool advice_node_is_large(const struct advice_view *view, unsigned node);

#endif
