/*
 * hold: what one thread holds of a heap's pieces: blocks are laid there.
 *
 * The thread's own, except for marks that a free may write at the same time.
 */
#ifndef HFI_HOLD_H
#define HFI_HOLD_H

#include "heap/pieces.h"

/* What a thread holds: where it lays the next block.  Its own. */
struct hold {
    const void *handle; /* of the heap, as the program knows it; NULL: nothing is held */
    struct heap *heap;  /* never NULL */
    uint64_t id;        /* the heap's number */
    char *cursor;       /* the next block */
    char *end;          /* of the piece */
    char *newest;       /* the block before the cursor; NULL: none that is known */
    struct pieces *pieces;
    struct piece *piece;
    uint32_t laid; /* blocks that the piece's count lacks */
};

/* Holds a piece just claimed, or one parked: false when it has ended. */
void hfi_hold_begin(struct hold *hold, const void *handle, struct piece *piece);
bool hfi_hold_resume(struct hold *hold, const void *handle, struct heap *heap, uint64_t id,
                     struct piece *piece);

/* Lays a block of `bytes`, a multiple of 16 that there is room for. */
HFI_INLINE void *hfi_hold_lay(struct hold *hold, size_t bytes)
{
    char *block = hold->cursor, *end = block + bytes;
    size_t granule = ((uintptr_t)end - 1) % HFI_PAGE_BYTES / HFI_MAX_ALIGN;
    _Atomic(uint64_t) *word = &hold->pieces->xends[granule / 64];
    hfi_assert(bytes % HFI_MAX_ALIGN == 0 && bytes != 0 && end <= hold->end);
    /* relaxed: the holder alone writes; whoever is handed the block sees it by that */
    hfi_store_relaxed(word, hfi_load_relaxed(word) | (uint64_t)1 << granule % 64);
    hold->newest = block;
    hold->cursor = end;
    hold->laid++;
    return block;
}

/* Moves the cursor up to a multiple of `align`, if there is room. */
bool hfi_hold_align(struct hold *hold, size_t align, size_t bytes);

/* Makes the newest block `bytes` long, where it is: false when there is no room. */
bool hfi_hold_resize(struct hold *hold, size_t bytes);

/* All blocks of the piece were freed: begins again at its start.  False: they were not. */
bool hfi_hold_rewind(struct hold *hold);

/* The thread does without the piece: parked, for another one; NULL when the heap has ended.  Or
 * closed, when its room is of no use. */
struct piece *hfi_hold_park(struct hold *hold);
struct given hfi_hold_close(struct hold *hold);

/* The heap of number `id` has ended: nothing of it is left in the piece, if it has that still. */
struct given hfi_piece_end(struct piece *piece, uint64_t id);

#endif
