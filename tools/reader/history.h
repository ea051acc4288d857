/*
 * history: what an arena came through, from a recording or from a live process watched for a while.
 * It has the last sample whole, the figures of those before it that a picture over time needs, and
 * all events that were seen.
 */
#ifndef HFT_HISTORY_H
#define HFT_HISTORY_H

#include "reader/recording.h"

#define HISTORY_POINTS 1024u     /* kept; of more, neighbours are made one */
#define HISTORY_BANDS 48u        /* of the picture of a node's use by place, lowest address first */
#define HISTORY_EVENTS 512u      /* the last ones */
#define HISTORY_HEAP_STEP 16384u /* bytes that heaps are counted in */

struct history_point {
    uint64_t ns;                                                                /* CLOCK_MONOTONIC */
    uint64_t failed, away, taken, remote_frees, listed, slow_calls, slow_ticks; /* totals so far */
    uint64_t in_use;                                                            /* theaps */
    uint64_t heaps, heaps_held, heaps_made, heap_failures;                      /* of the program */
    uint64_t class_live[HF_INSPECT_MAX_CLASSES]; /* bytes in live blocks, by size class; held ones where
                                                  * that is not known */
    /* of a merged point: of where most was used; total, high_water and bands of the last */
    struct snapshot_figures *nodes;
    uint8_t (*bands)[HISTORY_BANDS]; /* by node; as a sample's cells */
};

struct history_event {
    struct hf_inspect_event event;
    double ns; /* CLOCK_MONOTONIC */
};

/* What the heap that has a slot now held, by point, in steps; nothing before point `since`. */
struct history_heap {
    uint64_t id; /* 0: none */
    unsigned since;
    uint32_t *held; /* HISTORY_POINTS; NULL: the slot never had one */
};

struct history {
    struct sample *last;
    uint64_t first_ns;
    uint64_t samples;
    uint64_t interval_ns; /* as recorded or watched */
    unsigned node_count;  /* of the first sample, and of all points */
    struct history_point *points;
    unsigned point_count;
    struct history_event *events; /* oldest first */
    struct history_heap *heaps;   /* by slot, HF_INSPECT_MAX_HEAPS */
    unsigned event_count;
    uint64_t next_sequence;
    uint64_t events_missed;   /* overwritten before they were seen */
    uint64_t stride, pending; /* samples a point stands for; seen of the one in work */
    bool live;                /* watched, not recorded */
    uint64_t live_known;      /* the least of all samples' (enum snapshot_live) */
    const char *cut;          /* why a recording ended early; NULL */
    const char *path;         /* of a recording */
};

/* Reads `what`, a file or a process's number.  The process is watched for `seconds_ns`, 0 for one
 * look.  0, or an exit status after a message. */
int history_load(struct history *history, const char *what, uint64_t seconds_ns, const char *command);

/* What a process left that was killed (target_open_last). */
int history_load_last(struct history *history, const char *name, const char *command);

/* Reads a recording from a stream.  0, or an exit status after HF-E443 or HF-E448. */
int history_read(struct history *history, FILE *file, const char *path, const char *command);

void history_free(struct history *history);

/* Whether the most that a node ever used, and the mean of what it used, rose all the while that is
 * known of, a minute at least.  They have to rise in each quarter of it, and by a quarter of the
 * mean rise at least. *bytes_per_s: how fast, from its first moment to its last. */
bool history_rises(const struct history *history, unsigned node, double *bytes_per_s);

/* Whether a heap grew and never fell all the while that is known of it, a minute at least, as
 * history_rises has it of a node.  *from_bytes: what it held then. */
bool history_heap_rises(const struct history *history, unsigned slot, uint64_t *from_bytes,
                        double *bytes_per_s);

/* What it held at a point; 0 before it was there. */
uint64_t history_heap_held(const struct history *history, unsigned slot, unsigned point);

/* Bytes of memory that is held and in no live block. */
static inline uint64_t history_unused(const struct snapshot_figures *figures)
{
    return figures->held - figures->live;
}

/* Seconds from the arena's beginning to the last sample, and from the first sample to it. */
double history_life_s(const struct history *history);
double history_span_s(const struct history *history);

#endif
