/*
 * sample: an arena at one moment as `record`, `report` and `tune` want it: the snapshot, what is
 * seen of it without the page map, and what the machine has.
 *
 * All of it but the page map is words of 64 bits in arrays of fixed size, so that a recording can
 * store it as such.
 */
#ifndef HFT_SAMPLE_H
#define HFT_SAMPLE_H

#include "reader/origin.h"
#include "reader/target.h"
#include "tool.h"

#define SAMPLE_CELLS 4096u /* at most, of a node */
#define SAMPLE_NAME 16u    /* a thread's or process's name, as the kernel keeps it */
#define SAMPLE_CELL_STATE(cell)                                                                              \
    ((unsigned)((cell) >> 4 & 15)) /* what most of its pages are shown as (snapshot_kind) */
#define SAMPLE_CELL_SIXTEENTHS(cell) ((unsigned)((cell)&15)) /* in blocks in use: 0 none, 15 all */

enum machine_thp { THP_UNKNOWN, THP_NEVER, THP_MADVISE, THP_ALWAYS };

struct machine_node {
    uint64_t memory_bytes; /* 0: unknown */
    uint64_t available_bytes;
    uint64_t pool_pages[2]; /* of 2 MiB, of 1 GiB: HugePages_Total */
    uint64_t pool_free[2];
};

struct machine {
    uint64_t thp;           /* enum machine_thp */
    uint64_t memlock_bytes; /* the process's RLIMIT_MEMLOCK; UINT64_MAX: unlimited */
    uint64_t swap_bytes;
    struct machine_node nodes[HF_INSPECT_MAX_NODES]; /* as the snapshot's */
};

struct sample_clock {
    uint64_t taken_ns, taken_ticks;
    double ticks_per_ns;
    uint64_t wall_ns; /* CLOCK_REALTIME */
    char name[SAMPLE_NAME];
};

/* What a node's part of the page map comes to. */
struct sample_place {
    uint64_t cell_pages; /* of one cell */
    uint64_t cells;
    uint64_t owned_bytes;     /* of its pages: owned by a thread whose CPU is known */
    uint64_t elsewhere_bytes; /* of those: by a thread last seen on a CPU of another node */
};

#define SAMPLE_NODE_UNKNOWN UINT64_MAX
struct sample_thread {
    char name[SAMPLE_NAME];
    uint64_t cpu_node; /* number of the node its CPU is of; SAMPLE_NODE_UNKNOWN */
};

struct sample {
    struct snapshot snapshot; /* its page map: when it was asked for */
    struct snapshot_sum sum;
    struct sample_clock clock;
    struct machine machine;
    struct sample_origin origin;
    bool without_command; /* set by whoever takes it: the command line stays out */
    struct sample_place places[HF_INSPECT_MAX_NODES];
    struct sample_thread threads[HF_INSPECT_MAX_THEAPS]; /* of the snapshot's theaps */
    struct hf_inspect_event ring[HF_INSPECT_EVENTS];     /* the snapshot's events where the segment has
                                                          * them: number % count */
    uint64_t cells[HF_INSPECT_MAX_NODES * SAMPLE_CELLS]; /* SAMPLE_CELLS per node */
};

/* Zeroed, or NULL after HF-E445. */
struct sample *sample_new(const char *command);
void sample_free(struct sample *sample);

/* Looks at the process now.  0, or an exit status after a message.  `thoroughly`: thread names, the
 * machine and the origin too, and the page map of very large arenas.  What follows from a map that
 * was not read stays as it was. */
int sample_take(struct sample *sample, const struct target *target, bool thoroughly, const char *command);

/* Fills the snapshot's events from the ring. */
void sample_take_events(struct sample *sample);

/* Pages that theaps took from nodes, by whatever way: what `away` is a part of. */
uint64_t sample_pages_taken(const struct snapshot_sum *sum);

/* Share in percent; 0 of nothing. */
double sample_percent(uint64_t part, uint64_t whole);

#endif
