/*
 * holdfast/holdfast.h: the allocator's own names.
 *
 * Linking or preloading libholdfast replaces malloc and its family; these calls
 * are the same allocator by names that stay even where malloc is somebody
 * else's, and what malloc has no name for.
 *
 * Unless said otherwise every call may be made by any thread at any time, also in
 * destructors of thread-local data and in a forked child; none is
 * async-signal-safe (a handler may interrupt malloc itself).  Sizes are in bytes.
 */
#ifndef HOLDFAST_HOLDFAST_H
#define HOLDFAST_HOLDFAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Version of the library this program runs with, "MAJOR.MINOR.PATCH". */
const char *hf_version(void);

/* As malloc(3), calloc(3), realloc(3), free(3): 16-byte aligned; NULL and ENOMEM when no allowed
 * node has room (after the report, holdfast-messages(7) HF-E012); free keeps errno. */
void *hf_malloc(size_t bytes) __attribute__((malloc, alloc_size(1)));
void *hf_calloc(size_t count, size_t each_bytes) __attribute__((malloc, alloc_size(1, 2)));
void *hf_realloc(void *pointer, size_t bytes) __attribute__((alloc_size(2)));
void hf_free(void *pointer);

/* A block whose address is a multiple of `align`, a power of two up to 1 GiB; NULL and
 * EINVAL for another `align`.  Free it with hf_free. */
void *hf_aligned_alloc(size_t align, size_t bytes) __attribute__((malloc, alloc_size(2), alloc_align(1)));

/* A block on the node of that number, whatever HOLDFAST_PLACE and HOLDFAST_REMOTE say of this
 * thread: NULL and ENOMEM when that node is full, EINVAL when it has no arena.  16-byte aligned;
 * free it with hf_free.  Small blocks cost a few atomic operations more than hf_malloc's. */
void *hf_malloc_onnode(size_t bytes, unsigned node) __attribute__((malloc, alloc_size(1)));

/* The kernel's number of the node that an address of the arena is on; -1 outside. */
int hf_node_of(const void *pointer);

/* Bytes that may be used in a live block: what was asked for, or a little more.  0 for NULL. */
size_t hf_usable_size(const void *pointer);

/* Whether an address lies in the arena. */
bool hf_owns(const void *pointer);

/* Called on the allocating thread when `node` has no run of `bytes` left, before malloc
 * fails: free something and return true to have the search repeated.  Allocations made
 * inside fail at once when the arena is full.  The thread cannot be cancelled meanwhile. */
typedef bool hf_pressure_function(size_t bytes, unsigned node, void *argument);

/* 0; -ENOSPC when 8 are registered, -ENOENT when it is not.  A callback that is being unregistered
 * by another thread may still be called once. */
int hf_pressure_register(hf_pressure_function *function, void *argument);
int hf_pressure_unregister(hf_pressure_function *function, void *argument);

/* Why a handler is called. */
enum hf_pressure_cause {
    HF_PRESSURE_LOW,    /* a node has less free than the handler's mark */
    HF_PRESSURE_LAST,   /* a call is about to fail, and is tried again if a handler returns true */
    HF_PRESSURE_SYSTEM, /* the kernel says that tasks wait for memory (HOLDFAST_PSI) */
};

struct hf_heap; /* <holdfast/heap.h> */

/* What a handler is told.  A later version has more fields. */
struct hf_pressure {
    size_t size_bytes; /* of what is there */
    enum hf_pressure_cause cause;
    unsigned node;     /* the kernel's number */
    size_t bytes;      /* LAST: the run that is wanted.  LOW: what is missing until the mark is armed again.
                        * SYSTEM: by how much the arena has just grown */
    size_t contiguous; /* longest run of free pages of the node */
    size_t free;       /* of the node, without its reserve */
    struct hf_heap *heap; /* whose call it is; hf_heap_default() for plain malloc's */
};

/* Called by a thread that allocates, with nothing held: it may free, and allocate a little.  What it
 * allocates fails at once when the arena is full.  No thread enters one inside of another, or of any
 * callback of Holdfast's.  The thread cannot be cancelled meanwhile.  True: something was freed. */
typedef bool hf_pressure_handler(const struct hf_pressure *pressure, void *context);

/* Fields of no use are 0. */
struct hf_pressure_options {
    size_t size_bytes; /* sizeof (struct hf_pressure_options): tells the version */
    hf_pressure_handler *handler;
    void *context;
    size_t low_bytes;     /* the low-water mark of a node: free bytes ... */
    unsigned low_percent; /* ... or percent of it, up to 100; whichever is more.  Both 0: none */
    unsigned flags;       /* 0, or HF_PRESSURE_NODE */
    unsigned node;        /* with HF_PRESSURE_NODE, the one that the mark is for; else each has it */
};
#define HF_PRESSURE_NODE 1u

/* As hf_pressure_register, with a mark: the handler is called when a node comes under it, and again
 * once an eighth of the mark more was free meanwhile.  And with a last call before any call fails. 0; -EINVAL
 * for options that this version does not know, or a node without an arena; -ENOSPC when 8 are registered, of
 * both kinds; -ENOMEM when there is no arena. */
int hf_pressure_watch(const struct hf_pressure_options *options);

/* Undoes that: -ENOENT when it is not registered.  See hf_pressure_unregister. */
int hf_pressure_unwatch(hf_pressure_handler *handler, void *context);

/* How much of a node is free.  Room in pages that are in use does not count: at HF_LEVEL_FULL small
 * blocks may still be had. */
enum hf_level {
    HF_LEVEL_PLENTY, /* one page of eight, or more */
    HF_LEVEL_LOW,    /* less */
    HF_LEVEL_SCARCE, /* less than one of 32 */
    HF_LEVEL_FULL,   /* none */
};

/* Of the node of that number: one load of a word that claims and releases of pages keep true.  Pages
 * that an arena may yet open count as free.  A node without an arena is full; before the first
 * allocation all have plenty. */
enum hf_level hf_pressure_level(unsigned node);

/* Between the two, which nest, where malloc finds nothing else this thread gets memory of the reserve
 * (HOLDFAST_RESERVE), before callbacks are asked.  For a rollback, or for what ends another query.  What it
 * gets so may be freed by anybody at any time, and goes back to the reserve.  The first
 * hf_reserve_enter also does what a thread's first malloc does, for which the reserve is not. */
void hf_reserve_enter(void);
void hf_reserve_leave(void);

/* For a program that allocates everything at start.  From hf_freeze on, a run of free pages that the
 * default heap takes is an event for the tool, and the first is told of.  With HF_FREEZE_ABORT, or
 * HOLDFAST_FREEZE=abort, it ends the program; HF_FREEZE_OFF: nothing follows any more.  Blocks that
 * pages in use have room for are no event; blocks of over 256 KiB always are.  hf_frozen_pages: how
 * many pages were taken so. */
#define HF_FREEZE_ABORT 1u
#define HF_FREEZE_OFF 2u
void hf_freeze(unsigned flags);
uint64_t hf_frozen_pages(void);

/* Before a long sleep: returns the freed blocks that this thread keeps to their pages, its empty
 * pages to their node, and lets go of all others, so that anybody can use the room in them.  Its
 * blocks in use stay what they are.  Costs some atomic operations for each block and page that it
 * had, and its next block of each size a search for a page. */
void hf_thread_idle(void);

/* Waits until the arena is populated (HOLDFAST_PREFAULT=background), at most `timeout_ms`
 * milliseconds; negative: as long as it takes.  0 when it is, also when there was nothing to wait
 * for; -ETIMEDOUT; or what went wrong with a part, as a negative error number: that part is never
 * given out.  From then on allocation asks nothing of the kernel. */
int hf_prefault_wait(int timeout_ms);

/* Figures of the arena, or of one node of it.  Bytes, unless the name says otherwise.  At every
 * moment
 *     allocated + idle + free + metadata == arena
 * exactly; the figures are read one after the other while others work, and what moved meanwhile
 * counts as allocated.  Later versions add fields at the end.  `free`, `idle`, `large` and
 * `high_water` are those of struct hf_inspect_node. */
struct hf_stats {
    uint64_t arena;
    uint64_t allocated;    /* pages that hold blocks in use, or room that only their thread can use now */
    uint64_t idle;         /* unowned pages with room, if only for one block */
    uint64_t free;         /* pages of no use yet, or again; with those of the reserve */
    uint64_t metadata;     /* Holdfast's own structures, and pages that could not be populated */
    uint64_t large;        /* of allocated: blocks of whole pages */
    uint64_t high_water;   /* most of the arena in use at once, as seen on slow paths */
    uint64_t longest_free; /* longest run of free pages: the largest block that fits, except for what idle
                            * pages give back */
    uint64_t nodes;        /* number of nodes */
    uint64_t threads;      /* number of threads that have allocated and not ended */
    /* Counts of slow paths since the start. */
    uint64_t blocks_listed; /* blocks put on free lists, for the fast path to hand out */
    uint64_t pages_claimed; /* idle pages taken over */
    uint64_t pages_fresh;   /* fresh pages cut into blocks */
    uint64_t pages_stolen;  /* pages taken from sleeping threads */
    uint64_t pages_away;    /* pages, and blocks of whole pages, from another node than the one wanted */
    uint64_t large_blocks;  /* blocks of whole pages handed out */
    uint64_t remote_frees;  /* blocks freed into a page that another thread owned */
    uint64_t failures;      /* calls that ended in ENOMEM */
    uint64_t live;          /* bytes of the blocks that the program has, as hf_usable_size tells, in
                              * allocated and idle pages; off by what other threads do meanwhile */
    uint64_t kept;          /* of allocated: empty pages that threads keep for their next requests */
    uint64_t heaps;         /* of allocated: pages of heaps (<holdfast/heap.h>) */
    uint64_t heaps_free;   /* of heaps: what no heap has of these pages.  The rest is the sum of `held` of all
                              * heaps but the default one, while no call is under way */
    uint64_t reserve;      /* what HOLDFAST_RESERVE keeps, used or free */
    uint64_t reserve_used; /* of reserve; the rest is free */
    uint64_t reserve_uses; /* times that a node's reserve was begun upon, having been whole */
};

/* Fills `size` bytes of *stats: sizeof (struct hf_stats) of the caller's version.  0, or -EINVAL
 * for a size that is no version's.  Allocates nothing; walks the list of threads, for longest_free
 * the map of free pages, and for live, if `size` has it, the table of pages in use: some tenths of
 * a millisecond per GiB in use.  Thread-safe. */
int hf_stats_get(struct hf_stats *stats, size_t size);

/* The same of the arena's node number `index`, from 0 to nodes - 1: threads and counts are of those
 * at home there.  -ENOENT for others. */
int hf_stats_get_node(struct hf_stats *stats, size_t size, unsigned index);

/* Writes the figures of the arena and of each node as a JSON object into `text`, as snprintf does:
 * returns the length it has, or would have; at most `size` bytes are written, the last a zero.
 * Allocates nothing.  Thread-safe. */
int hf_stats_json(char *text, size_t size);

/* Prints the arena's figures to standard error; allocates nothing. */
void hf_stats_print(void);

#ifdef __cplusplus
}
#endif

#endif
