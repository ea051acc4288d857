/*
 * holdfast/heap.h: heaps of the program's own: one lifetime, one place, one limit.
 *
 * A query, a request or a cache gets a heap.  Its blocks come from it, its limit fails its own
 * calls and nobody else's, and its end gives back all of them at once.  Any thread may make these
 * calls at any time, except that no thread may be in a call on a heap that another thread destroys.
 * Plain free, realloc and malloc_usable_size work on blocks of heaps, from any thread.
 */
#ifndef HOLDFAST_HEAP_H
#define HOLDFAST_HEAP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct hf_heap;

/* Flags.  A heap is general, so that the room of each freed block is used again at once; or, with
 * HF_HEAP_REGION, a region: blocks lie one behind the other, and the room of a freed one comes back
 * when it was the newest of its thread, when all blocks of its piece were freed (16 to 64 KiB), or
 * when the heap ends. */
#define HF_HEAP_REGION 1u
#define HF_HEAP_NODE 2u     /* memory of node `node` and no other */
#define HF_HEAP_RESERVED 4u /* where nothing else is left, of the reserve (HOLDFAST_RESERVE) */
/* Its memory is out of core files while it has it: in zones of 2 MiB, which it shares with others of
 * the kind.  A zone that comes or goes takes a system call. */
#define HF_HEAP_NODUMP 16u
/* After its end its memory stays out of use for a while, so that a late free or write is seen, and told
 * with its name and who has ended it. */
#define HF_HEAP_CHECKED 32u
/* Its memory comes from all nodes in turn, a piece at a time, also where HOLDFAST_REMOTE says deny;
 * not with HF_HEAP_NODE.  Without either it is local: HOLDFAST_PLACE decides, as for malloc. */
#define HF_HEAP_INTERLEAVE 64u

/* Told that `heap` came over its soft limit, and holds `held` bytes.  Called once, by a thread that
 * allocates from the heap, with nothing held: it may free, allocate, also from the heap, and make
 * any other call but the heap's end.  It is called again when the heap came over the limit again,
 * having held seven eighths of it or less in between.  A thread inside a callback of Holdfast's
 * calls none: the next one that needs more for the heap does.  The thread is not cancelled
 * meanwhile. */
typedef void hf_heap_soft_function(struct hf_heap *heap, size_t held, void *context);

/* What fields are not given are 0. */
struct hf_heap_options {
    size_t size_bytes; /* sizeof (struct hf_heap_options): tells the version */
    const char *name;  /* for messages, up to 31 bytes, copied; may be NULL */
    size_t limit;      /* bytes, in steps of 16 KiB, rounded up; 0: none */
    unsigned flags;    /* HF_HEAP_REGION and others; 0: a general heap */
    unsigned node;     /* the kernel's number */
    size_t soft_limit; /* bytes, in steps as those of limit; a callback is told once over it; 0: none */
    hf_heap_soft_function *soft_callback; /* NULL: crossings only count.  A call that would fail at
                                           * `limit` calls it too, and is tried again */
    void *soft_context;                   /* for the callback */
};

/* A heap; NULL with errno ENOMEM, or EINVAL for options that this version does not know, which is
 * told. */
struct hf_heap *hf_heap_create(const struct hf_heap_options *options);

/* Ends a heap and all its blocks.  Other threads may be freeing blocks of it: a free that comes
 * after the end is dropped, as long as the memory has no new use.  NULL is ignored. */
void hf_heap_destroy(struct hf_heap *heap);

/* As malloc and its kin.  NULL with errno ENOMEM when the heap would be over its limit, or the
 * arena is full. hf_heap_aligned_alloc takes a power of two of up to 1 GiB, else errno is EINVAL.
 * hf_heap_realloc takes any block of Holdfast's; one that moves, moves into `heap`.  Plain realloc
 * keeps a block in its heap. */
void *hf_heap_malloc(struct hf_heap *heap, size_t bytes);
void *hf_heap_calloc(struct hf_heap *heap, size_t count, size_t each_bytes);
void *hf_heap_realloc(struct hf_heap *heap, void *pointer, size_t bytes);
void *hf_heap_aligned_alloc(struct hf_heap *heap, size_t align, size_t bytes);

/* The heap of a live block, by its address; NULL for an address that is none of Holdfast's.  One
 * inside of a block tells the same, unless the block has more than a page: then it may be NULL. */
struct hf_heap *hf_heap_of(const void *pointer);

/* What plain malloc uses, as a heap that has no limit and does not end. */
struct hf_heap *hf_heap_default(void);

/* From here on the calling thread's plain malloc and its kin, operator new and hf_malloc come from
 * `heap`, until it calls this again: for code that knows only malloc.  They fail with ENOMEM at the
 * heap's limit.  hf_heap_default() or NULL ends that, and so does the thread's end.  Returns the heap
 * that was in use before, hf_heap_default() for none, to be put back; or NULL with errno ENOMEM, and
 * nothing has changed.
 *
 * Plain realloc keeps a block in its heap.  hf_malloc_onnode, hf_frames_alloc and callbacks of
 * hf_pressure_register go on with the default heap.  But what the C library or another one allocates
 * in this thread meanwhile is in `heap`, and must not be used after the heap's end: a stream's
 * buffer, or thread-specific data.  A heap in use must not be destroyed. */
struct hf_heap *hf_heap_use(struct hf_heap *heap);

/* Another limit, 0 for none.  0, -EBUSY where the heap holds more already, which leaves the limit
 * as it was, or -EINVAL for the default heap. */
int hf_heap_set_limit(struct hf_heap *heap, size_t bytes);

/* Bytes, in steps of 16 KiB; of the default heap, in pages. */
struct hf_heap_stats {
    uint64_t held;           /* what it has of the arena */
    uint64_t most;           /* most that it ever had; 0 of the default heap */
    uint64_t limit;          /* 0: none */
    uint64_t failures;       /* calls that its limit failed */
    uint64_t soft_limit;     /* 0: none */
    uint64_t soft_crossings; /* times that it came over its soft limit */
};

/* Fills the first `size` bytes of *stats: sizeof (struct hf_heap_stats) of the caller's version.
 * 0, or -EINVAL for a size that is 0 or no multiple of 8. */
int hf_heap_stats(struct hf_heap *heap, struct hf_heap_stats *stats, size_t size);

#ifdef __cplusplus
}
#endif

#endif
