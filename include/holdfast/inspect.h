/*
 * holdfast/inspect.h: the segment in which a process shows its arena.
 *
 * /dev/shm/holdfast.PID.START, mode 0600, START being the process's start time in
 * clock ticks after boot (field 22 of /proc/PID/stat).  The process writes it with
 * plain stores and never reads it back; a reader maps it read-only and treats it as untrusted.
 * Figures are copied on slow paths: a sleeping thread's are those of its
 * last slow path.  All words are in the machine's byte order.
 *
 * A reader checks magic, version and the three sizes before anything else.  Fields are
 * only ever added at the end of a struct, together with its size; version
 * changes when a meaning does.
 */
#ifndef HOLDFAST_INSPECT_H
#define HOLDFAST_INSPECT_H

#include <stdint.h>

#define HF_INSPECT_DIRECTORY "/dev/shm"
#define HF_INSPECT_PREFIX "holdfast."
#define HF_INSPECT_MAGIC UINT64_C(0x31545053444c4f48) /* "HOLDSPT1" */
#define HF_INSPECT_VERSION 1
#define HF_INSPECT_MAX_NODES 64
#define HF_INSPECT_MAX_THEAPS 1024

enum hf_inspect_backing {
    HF_BACKING_NONE = 0,
    HF_BACKING_1G = 1,
    HF_BACKING_2M = 2,
    HF_BACKING_THP = 3,
    HF_BACKING_4K = 4,
};

#define HF_INSPECT_NODE_BOUND 1u
#define HF_INSPECT_NODE_LOCKED 2u
#define HF_INSPECT_NODE_GROWING 4u
#define HF_INSPECT_NODE_POPULATING 8u /* in the background: populated rises to total */

/* One node's arena.  Sizes in bytes. */
struct hf_inspect_node {
    uint32_t id;         /* the kernel's number of the node */
    uint32_t backing;    /* enum hf_inspect_backing, as obtained */
    uint32_t flags;      /* HF_INSPECT_NODE_* */
    uint32_t populate_error; /* errno of the first part that could not be populated in the background; 0 for none */
    uint64_t total;      /* size of the arena on this node */
    uint64_t populated;  /* of it, populated so far (a growing arena: opened so far) */
    uint64_t used;       /* in pages that are handed out or held */
    uint64_t idle;       /* of `used`: pages that nobody owns and that have room */
    uint64_t free;       /* total - used - what could not be populated */
    uint64_t high_water; /* most ever in use */
    uint64_t large;      /* of `used`: blocks of whole pages */
    uint64_t meta;       /* of `used`: Holdfast's own structures */
};

/* One theap: what its threads, past and present, counted. */
struct hf_inspect_theap {
    uint64_t in_use;       /* 1 while a thread has it */
    uint64_t home_node;    /* index in nodes[] */
    uint64_t listed;       /* blocks put on a free list: what the fast path then hands out */
    uint64_t collected;    /* refills from a page it had already */
    uint64_t claimed;      /* idle pages of a node taken over */
    uint64_t fresh;        /* fresh runs cut into blocks */
    uint64_t remote_frees; /* blocks freed into pages of other threads */
    uint64_t adopted;      /* own pages won back by freeing into them */
    uint64_t retired;      /* pages given back to a node */
    uint64_t large;        /* blocks of whole pages */
    uint64_t kept;         /* bytes of empty pages held back */
    uint64_t away;         /* of claimed, fresh and large: from another node than the one wanted, which was full */
    uint64_t reserved[4];
};

struct hf_inspect_segment {
    uint64_t magic;         /* HF_INSPECT_MAGIC, written last */
    uint32_t version;       /* HF_INSPECT_VERSION */
    uint32_t segment_bytes; /* sizeof (struct hf_inspect_segment) */
    uint32_t node_bytes;    /* sizeof (struct hf_inspect_node) */
    uint32_t theap_bytes;   /* sizeof (struct hf_inspect_theap) */
    uint64_t pid;
    uint64_t start_ticks;   /* field 22 of /proc/PID/stat */
    uint64_t arena_base;    /* address in the process */
    uint64_t arena_span;
    uint32_t node_count;
    uint32_t theap_count;   /* slots written so far; theaps past HF_INSPECT_MAX_THEAPS are not shown */
    uint64_t reserved[8];
    struct hf_inspect_node nodes[HF_INSPECT_MAX_NODES];
    struct hf_inspect_theap theaps[HF_INSPECT_MAX_THEAPS];
};

#endif
