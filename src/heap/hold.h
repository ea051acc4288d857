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
    const void *handle;    /* of the heap, as the program knows it; NULL: nothing is held */
    struct heap *heap;     /* never NULL */
    uint64_t id;           /* the heap's number */
    char *cursor;          /* the next block */
    char *end;             /* of the piece */
    char *start;           /* of the piece */
    size_t granules;       /* of the piece; 0 where nothing is held */
    _Atomic(uint8_t) *map; /* of its first granule */
    struct piece *piece;
    int32_t laid; /* granules that the piece's count lacks */
    bool reuses;  /* of a general heap: freed blocks are listed (reuse.h) */
};

/* Holds a piece just claimed, or one parked that may have `granules` in one part: false when there
 * is none such. */
void hfi_hold_begin(struct hold *hold, const void *handle, struct piece *piece, bool reuses);
bool hfi_hold_resume(struct hold *hold, const void *handle, uint64_t id, bool reuses, uint32_t granules,
                     struct piece *piece);

HFI_INLINE uint32_t hfi_hold_granule(const struct hold *hold, const void *pointer)
{
    return (uint32_t)((uintptr_t)pointer - (uintptr_t)hold->start) / HFI_MAX_ALIGN;
}

HFI_INLINE size_t hfi_hold_room(const struct hold *hold)
{
    return (size_t)(hold->end - hold->cursor);
}

/* Lays a block of `bytes`, a multiple of 16 that there is room for. */
HFI_INLINE void *hfi_hold_lay(struct hold *hold, size_t bytes)
{
    char *block = hold->cursor;
    uint32_t length = (uint32_t)(bytes / HFI_MAX_ALIGN);
    hfi_assert(bytes % HFI_MAX_ALIGN == 0 && bytes != 0 && bytes <= hfi_hold_room(hold));
    hfi_map_put(&hold->map[hfi_hold_granule(hold, block)], length, 0);
    hold->cursor = block + bytes;
    hold->laid += (int32_t)length;
    return block;
}

/* Of a block in what is held: whether it lies right before the cursor. */
bool hfi_hold_is_newest(const struct hold *hold, const void *pointer);

/* Moves the cursor up to a multiple of `align`, if there is room. */
bool hfi_hold_align(struct hold *hold, size_t align, size_t bytes);

/* Makes the newest block `bytes` long, where it is: false when there is no room. */
bool hfi_hold_resize(struct hold *hold, char *block, size_t bytes);

/* All blocks of the piece were freed: begins again at its start.  False: they were not. */
bool hfi_hold_rewind(struct hold *hold);

/* Granules of the piece that are out, as far as their frees were counted. */
uint32_t hfi_hold_out(const struct hold *hold);

/* Adds to the piece's count what it lacks. */
void hfi_hold_count(struct hold *hold);

/* The thread does without the piece: parked, for another one, or closed, when its room is of no use.
 * A piece of a general heap that is empty is given back. */
struct given hfi_hold_park(struct hold *hold);
struct given hfi_hold_close(struct hold *hold);

/* The heap of what is held has ended meanwhile: gives the piece back, where its end left that to this
 * thread. */
struct given hfi_hold_finish(struct hold *hold);

/* The heap of number `id` has ended: nothing of it is left in the piece, if it has that still.  Where
 * the holder is just freeing a block there, the holder gives it back. */
struct given hfi_piece_end(struct piece *piece, uint64_t id);

/* The same, but the piece is not given back before it was let go.  False: it is none of the heap's, or was
 * ended already.  *alone: no thread has pinned it, and its holder does not free there. */
bool hfi_piece_keep(struct piece *piece, uint64_t id, bool *alone);
struct given hfi_piece_let_go(struct piece *piece, uint64_t id);

#endif
