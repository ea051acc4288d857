/*
 * held: a free, by the holder, of a block in the piece that it holds: without a pin.
 *
 * The thread's own.  PC6 (hold.c) is what keeps the piece from being given back meanwhile.
 */
#ifndef HFI_HELD_H
#define HFI_HELD_H

#include "heap/heap.h"
#include "heap/reuse.h"
#include "heap/theap.h"

/* False: the heap has ended, and nothing of the piece may be touched. */
HFI_INLINE bool hfi_held_begin(const struct hold *hold, struct theap *theap)
{
    hfi_exchange_seq_cst(&theap->xfrees, (uintptr_t)hold->piece);
    /* seq_cst: pairs with hfi_piece_end */
    return hfi_load_seq_cst(&hold->heap->xid) == hold->id;
}

/* False: the heap has ended meanwhile, and hfi_hold_finish is to follow. */
HFI_INLINE bool hfi_held_end(const struct hold *hold, struct theap *theap)
{
    /* release: pairs with hfi_piece_end, after whose barrier it is seen, or this sees the end */
    hfi_store_release(&theap->xfrees, 0);
    hfi_compiler_barrier();
    return hfi_load_relaxed(&hold->heap->xid) == hold->id;
}

HFI_INLINE bool hfi_held_has(const struct hold *hold, const void *pointer)
{
    return (uintptr_t)pointer - (uintptr_t)hold->start < hold->granules * HFI_MAX_ALIGN;
}

/* Whether a short block that is live begins at `granule`. */
HFI_INLINE bool hfi_held_is_short(const struct hold *hold, size_t granule, uint32_t *length)
{
    *length = hfi_load_relaxed(&hold->map[granule]);
    return *length - 1 < MAP_SHORT;
}

/* Marks that as freed, and lists it in a general heap, where it lies at `block`. */
HFI_INLINE void hfi_held_put(struct hold *hold, void *block, size_t granule, uint32_t length)
{
    struct piece *piece = hold->piece;
    hold->laid -= (int32_t)length;
    /* relaxed: this thread alone reads it before the piece is another's */
    hfi_store_relaxed(&hold->map[granule], (uint8_t)(length | MAP_FREED));
    if (!hold->reuses)
        return;
    *(hfi_link *)block = piece->lists[length];
    piece->lists[length] = (uint16_t)(granule + 1);
    if (hfi_unlikely(length > piece->longest))
        piece->longest = length;
}

#endif
