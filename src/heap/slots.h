/*
 * slots: what a reader in another process sees of heaps of the program: the segment's table of heaps
 * (<holdfast/inspect.h>).
 *
 * A heap's memory has a slot of the table for good, or none.  What heaps without a slot hold is in
 * sums of the header: so nothing is lost, however many heaps there are.  All of it is stored on slow
 * paths: when a heap is made, ends, or gets and gives back memory.
 *
 * Any thread, lock-free.  Nothing here decides anything.
 */
#ifndef HFI_SLOTS_H
#define HFI_SLOTS_H

#include "arena/pagemap.h"
#include "base/base.h"

struct arena_node;

#define HFI_SLOT_NONE UINT32_MAX

/* What a slot says of its heap for as long as that lives. */
struct slot_heap {
    uint64_t id;
    const char *name; /* 32 bytes, the last of them 0 */
    unsigned flags;
    const struct arena_node *only; /* NULL: any */
    uint32_t soft_units;           /* soft limit; 0: none */
};

/* Where a slot is; NULL where it is none, or nobody looks. */
HFI_INLINE struct hf_inspect_heap *hfi_slots_shown(uint32_t slot)
{
    struct hf_inspect_heap *shown = hfi_load_acquire(&hfi_shown()->xheaps); /* pairs with inspect.c */
    return slot == HFI_SLOT_NONE || shown == NULL ? NULL : shown + slot;
}

/* The heap comes, with nothing and that limit: by the one thread that makes it, which has just changed
 * its word of use and limit by an exchange. */
void hfi_slots_begin(uint32_t slot, const struct slot_heap *heap, uint32_t limit_units);

/* It ends: by the thread that ends it.  And nothing is left of it: by the thread that saw that. */
void hfi_slots_end(uint32_t slot);
void hfi_slots_clear(uint32_t slot);

/* Tells of a heap that came before there was a segment: in a call on the heap, which it outlives. */
void hfi_slots_tell(struct hf_inspect_heap *shown, const struct slot_heap *heap);

/* Shows use and limit.  Whoever changes that word (limit.h) does so afterwards: at rest the slot says
 * what the word says. */
void hfi_slots_show(struct hf_inspect_heap *shown, _Atomic(uint64_t) *limit);

/* A heap without a slot has so many pieces more. */
void hfi_slots_add_others(int64_t units);

/* The heap's soft limit, and how many times it came over it. */
void hfi_slots_show_soft(uint32_t slot, uint32_t units);
void hfi_slots_show_crossed(uint32_t slot, uint64_t crossings);

/* A limit has failed a call, the heap's so-manieth. */
void hfi_slots_show_failed(uint32_t slot, uint64_t failed);

/* Of a segment that is new, when so many heaps were made: shows the sums.  The heaps are shown by the
 * caller. */
void hfi_slots_show_sums(uint64_t made);

/* The heaps with a slot that hold most, for a report: the one that does first, and how many of `count`
 * there are.  0 where no segment is shown. */
struct slot_most {
    uint64_t id, held, limit; /* bytes */
    char name[sizeof((struct hf_inspect_heap *)NULL)->name];
};
unsigned hfi_slots_most(struct slot_most *most, unsigned count);

/* In a forked child: heaps hold nothing any more; or there are none. */
void hfi_slots_forked(void);
void hfi_slots_forsake(void);

#endif
