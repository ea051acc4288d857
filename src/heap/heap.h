/*
 * heap: a heap of the program: its pieces, its limit, its end.
 *
 * Its memory is cut from meta pages and recycled, never unmapped.  All of them are in one list, in
 * use or not. What the program has of a heap is a handle: its address, and in the low bits a part
 * of its number.  So a handle of one that has ended is known as such, unless that many others had
 * its memory since.
 *
 * Any thread, lock-free, except where it says so.
 */
#ifndef HFI_HEAP_H
#define HFI_HEAP_H

#include <holdfast/heap.h>

#include "base/base.h"
#include "heap/limit.h"
#include "heap/hold.h"
#include "heap/slots.h"

#define HFI_HEAP_BYTES ((size_t)1024)
#define HFI_HEAP_PLACES 64u         /* of the table, in the heap itself; the others are in chunks */
#define HFI_HEAP_CHUNK_PLACES 2048u /* of the first chunk; each further one has twice as many */
#define HFI_HEAP_CHUNKS 16u
#define HFI_HEAP_HINTS 8u /* words of hints; tables that are longer have several places for a bit */
#define HFI_HEAP_NAME_BYTES 32u
#define HFI_HEAP_REGION 1u   /* HF_HEAP_REGION of `flags` */
#define HFI_HEAP_CHECKED 32u /* HF_HEAP_CHECKED */
#define HFI_HEAP_INTERLEAVE 64u

/* Where a piece of the heap is noted; a place may hold one that is the heap's no more. */
typedef _Atomic(struct piece *) hfi_place;

struct heap {
    _Atomic(uint64_t) xid;                    /* atomic: its number; 0: it has ended, or none is there */
    _Atomic(uint64_t) xlimit;                 /* atomic: limit.h */
    struct heap *next_all;                    /* const once linked */
    uint32_t slot;                            /* const once linked: slots.h; HFI_SLOT_NONE */
    _Atomic(void *) xnext;                    /* atomic: in the stack of those put up */
    _Atomic(uint64_t) xhints[HFI_HEAP_HINTS]; /* atomic: places whose pieces are parked; may lead nowhere */
    /* From here on zeroed for each heap. */
    struct arena_node *only;              /* const: on this node and no other; NULL: any */
    unsigned flags;                       /* const: as the program gave them */
    _Atomic(uint32_t) xplaces;            /* atomic: places that were used */
    _Atomic(uint32_t) xstale;             /* atomic: about as many of them hold none of its pieces */
    _Atomic(uint32_t) xlook;              /* atomic: place to look at next for such a one */
    _Atomic(uint32_t) xfrom;              /* atomic: hint to follow next */
    _Atomic(uint32_t) xmost;              /* atomic: most that was used, of limit.h */
    _Atomic(uint32_t) xusers;             /* atomic: threads whose plain malloc comes from it (use.h) */
    _Atomic(uint64_t) xfailed;            /* atomic: calls that its limit failed */
    struct limit_soft soft;               /* const */
    hf_heap_soft_function *soft_callback; /* const: NULL: none */
    void *soft_context;                   /* const */
    _Atomic(bool) xsoft_due;              /* atomic: soft_callback is to be called */
    _Atomic(uint64_t) xcrossings;         /* atomic: times that it came over its soft limit */
    _Atomic(uint32_t) xturn;              /* atomic: of nodes, where it takes memory of all */
    _Atomic(uint64_t) xreported_ns,
        xunreported; /* atomic: when its limit was told of last, and failures since */
    /* Of a heap that has ended, and whose memory waits (heap-checked.h). */
    uint64_t ended_id;                             /* its number; 0: it does not wait */
    const void *ended_from;                        /* const: what called hf_heap_destroy */
    unsigned ended_thread;                         /* const: the kernel's number of the thread that did */
    _Atomic(bool) xlate_told;                      /* atomic: a late free was told of */
    hfi_place xtable[HFI_HEAP_PLACES];             /* atomic */
    _Atomic(hfi_place *) xchunks[HFI_HEAP_CHUNKS]; /* atomic: further places, in blocks of the heap */
    char name[HFI_HEAP_NAME_BYTES];                /* const */
};

_Static_assert(sizeof(struct heap) <= HFI_HEAP_BYTES, "handles have a part of the number in their low bits");

/* What plain malloc uses, as a handle. */
extern HFI_HIDDEN const char hfi_default_heap;

/* What this thread holds of a heap's pieces. */
extern HFI_HIDDEN HFI_TLS struct hold hfi_hold;

/* Makes a heap, of any node's memory; NULL when there is none. */
struct heap *hfi_heap_new(const char *name, uint32_t limit, unsigned flags, struct arena_node *only);

HFI_INLINE void *hfi_heap_handle(struct heap *heap, uint64_t id)
{
    return (char *)heap + id % HFI_HEAP_BYTES;
}

/* The heap of a handle; NULL where none has it (any more). */
struct heap *hfi_heap_find(const void *handle);

/* Relieves a heap of what was given back; its memory is put up where that was the last of one that
 * has ended.  Or notes a piece that others may have. */
void hfi_heap_tell(struct given given);

HFI_INLINE void hfi_heap_relieve(struct given given)
{
    if (hfi_unlikely(given.heap != NULL))
        hfi_heap_tell(given);
}

/* A place for a piece that was claimed.  False: a further chunk is needed first, of so many bytes. */
bool hfi_heap_note(struct heap *heap, struct piece *piece, size_t *chunk_bytes);

/* What the number of a piece has besides, whose memory is for the table: a place that noted the piece
 * earlier does not take it for one of the heap's. */
#define HFI_HEAP_CHUNK_ID ((uint64_t)1 << 63)

/* Memory for that, zeroed: a block of the heap, in a piece of its own that is noted nowhere.
 * False: another thread was first. */
bool hfi_heap_extend(struct heap *heap, size_t bytes, void *memory);

/* Leaves what is held where another thread finds it. */
void hfi_heap_park(struct hold *hold);

/* Takes up a piece that was parked and may have `granules` in one part; false: none was found. */
bool hfi_heap_resume(struct heap *heap, const void *handle, uint64_t id, uint32_t granules, bool fullest,
                     struct hold *hold);

HFI_INLINE bool hfi_heap_reuses(const struct heap *heap)
{
    return (heap->flags & HFI_HEAP_REGION) == 0;
}

/* Ends a heap with all its blocks.  False: another thread has ended it.  Takes time in proportion
 * to its pieces. */
bool hfi_heap_end(struct heap *heap, uint64_t id);

/* The same in two steps: from the first on nobody finds the heap, or gets memory of it; the second
 * gives back what it has.  Between the two, `each` is called for what stands in its table, which may be no
 * piece of it any more, or stand there twice. */
bool hfi_heap_close(struct heap *heap, uint64_t id);
void hfi_heap_each(struct heap *heap, uint64_t id,
                   void (*each)(struct piece *piece, uint64_t id, void *argument), void *argument);
void hfi_heap_finish(struct heap *heap, uint64_t id);

/* Likewise for the pieces that have the table's chunks, which are the heap's until the second step. */
void hfi_heap_each_chunk(struct heap *heap, uint64_t id,
                         void (*each)(struct piece *piece, uint64_t id, void *argument), void *argument);

/* Between the two: gives back a piece that was kept (hfi_piece_keep). */
void hfi_heap_let_go(struct piece *piece, uint64_t id);

/* All heaps, in use or not. */
struct heap *hfi_heap_first(void);

/* Shows readers of the segment what it has now: after a call on it took pieces, `units` more than it
 * gave back, or set its limit. */
void hfi_heap_show(struct heap *heap, int64_t units);

/* Shows all heaps in a segment that is new.  `alone`: the process has one thread. */
void hfi_heaps_show(bool alone);

/* In a forked child of a process with threads: heaps go on with nothing in them.  In one without
 * the arena: there are none. */
void hfi_heaps_forked(void);
void hfi_heaps_forsake(void);

#endif
