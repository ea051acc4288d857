/*
 * hold: see hold.h; doc/protocols.md, section 14.
 *
 * PC1 (pieces.c) and PC2 (piece-blocks.c) hold here too.
 *
 * Tests: tests/programs/heaps.c, tests/models/heap.pml.
 */
#include "heap/hold.h"

void hfi_hold_begin(struct hold *hold, const void *handle, struct piece *piece)
{
    char *start = hfi_piece_start(piece);
    *hold = (struct hold){ .handle = handle,
                           .heap = piece->heap,
                           .id = hfi_load_relaxed(&piece->xid),
                           .cursor = start,
                           .end = start + piece->bytes,
                           .pieces = hfi_pieces_of(piece),
                           .piece = piece };
}

bool hfi_hold_resume(struct hold *hold, const void *handle, struct heap *heap, uint64_t id,
                     struct piece *piece)
{
    /* acquire: pairs with hfi_hold_park, whose thread laid blocks */
    uint64_t word = hfi_load_acquire(&piece->xword);
    do {
        if (hfi_piece_state(word) != PIECE_PARKED || hfi_load_relaxed(&piece->xid) != id)
            return false;
    } while (!hfi_cas_weak_acq_rel(&piece->xword, &word, hfi_piece_with_state(word, PIECE_HELD)));
    hfi_hold_begin(hold, handle, piece);
    hold->cursor += ((word & PIECE_CURSOR_MASK) >> PIECE_CURSOR_SHIFT) * HFI_MAX_ALIGN;
    hfi_assert(hold->heap == heap);
    (void)heap;
    return true;
}

bool hfi_hold_align(struct hold *hold, size_t align, size_t bytes)
{
    char *block = (char *)hfi_align_up((uintptr_t)hold->cursor, align);
    if (block > hold->end || (size_t)(hold->end - block) < bytes)
        return false;
    if (block == hold->cursor)
        return true;
    /* The gap is a block that is freed, and counts for nothing. */
    hfi_marks_put(hold->pieces->xends, hfi_granule_of(block - 1), true);
    /* by fetch_or: a free of a neighbour may write the same word */
    hfi_fetch_or_acq_rel(&hold->pieces->xfreed[hfi_granule_of(hold->cursor) / 64],
                         (uint64_t)1 << hfi_granule_of(hold->cursor) % 64);
    hold->cursor = block;
    return true;
}

bool hfi_hold_resize(struct hold *hold, size_t bytes)
{
    char *block = hold->newest;
    if (bytes > (size_t)(hold->end - block))
        return false;
    hfi_marks_put(hold->pieces->xends, hfi_granule_of(hold->cursor - 1), false);
    hold->cursor = block + bytes;
    hfi_marks_put(hold->pieces->xends, hfi_granule_of(hold->cursor - 1), true);
    return true;
}

bool hfi_hold_rewind(struct hold *hold)
{
    /* acquire: pairs with the frees that lowered it */
    uint64_t word = hfi_load_acquire(&hold->piece->xword);
    if (hfi_piece_state(word) != PIECE_HELD || (word & PIECE_PINS_MASK) != 0 ||
        hfi_piece_count(word) + hold->laid != PIECE_BIAS || hfi_load_relaxed(&hold->piece->xid) != hold->id)
        return false;
    if (!hfi_cas_acq_rel(&hold->piece->xword, &word,
                         (word & ~PIECE_COUNT_MASK) | (uint64_t)PIECE_BIAS << PIECE_COUNT_SHIFT))
        return false;
    hfi_marks_wipe(hold->pieces, hfi_piece_quarter(hold->piece), hold->piece->units);
    hold->laid = 0;
    hold->newest = NULL;
    hold->cursor = hfi_piece_start(hold->piece);
    return true;
}

static void hold_nothing(struct hold *hold)
{
    hold->handle = NULL;
    hold->id = 0;
    hold->cursor = hold->end = hold->newest = NULL;
    hold->laid = 0;
}

struct piece *hfi_hold_park(struct hold *hold)
{
    struct piece *piece = hold->piece;
    /* acquire: pairs with piece_begin of the next tenancy, whose number is not this one's */
    uint64_t word = hfi_load_acquire(&piece->xword), next;
    uint64_t granules = (uint64_t)(hold->cursor - hfi_page_start(hfi_load_relaxed(&hold->pieces->xpage)) -
                                   (ptrdiff_t)(hfi_piece_quarter(piece) * HFI_PIECE_BYTES)) /
                        HFI_MAX_ALIGN;
    do {
        if (hfi_piece_state(word) != PIECE_HELD || hfi_load_relaxed(&piece->xid) != hold->id) {
            hold_nothing(hold); /* the heap has ended */
            return NULL;
        }
        next = hfi_piece_with_state(word & ~PIECE_CURSOR_MASK, PIECE_PARKED) + hold->laid * PIECE_ONE;
        next |= granules << PIECE_CURSOR_SHIFT;
        /* release: pairs with hfi_hold_resume */
    } while (!hfi_cas_weak_acq_rel(&piece->xword, &word, next));
    hold_nothing(hold);
    return piece;
}

struct given hfi_hold_close(struct hold *hold)
{
    struct piece *piece = hold->piece;
    uint64_t word = hfi_load_acquire(&piece->xword), next, id = hold->id;
    uint32_t laid = hold->laid;
    hold_nothing(hold);
    do {
        if (hfi_piece_state(word) != PIECE_HELD || hfi_load_relaxed(&piece->xid) != id)
            return HFI_NOTHING_GIVEN;
        next = hfi_piece_with_state(word + laid * PIECE_ONE - PIECE_BIAS * PIECE_ONE, PIECE_CLOSED);
        if (hfi_piece_count(next) == 0 && (next & PIECE_PINS_MASK) == 0)
            next = hfi_piece_with_state(next, PIECE_NONE);
        /* release: what the holder laid is there for who gives the piece back */
    } while (!hfi_cas_weak_acq_rel(&piece->xword, &word, next));
    return hfi_piece_state(next) == PIECE_NONE ? hfi_piece_give_back(piece) : HFI_NOTHING_GIVEN;
}

struct given hfi_piece_end(struct piece *piece, uint64_t id)
{
    uint64_t word = hfi_load_acquire(&piece->xword), next;
    do {
        enum piece_state state = hfi_piece_state(word);
        if (state == PIECE_NONE || state == PIECE_ENDED || hfi_load_relaxed(&piece->xid) != id)
            return HFI_NOTHING_GIVEN;
        next = hfi_piece_with_state(word, (word & PIECE_PINS_MASK) == 0 ? PIECE_NONE : PIECE_ENDED); /* PC3 */
        /* acquire: pairs with who pinned it last */
    } while (!hfi_cas_weak_acq_rel(&piece->xword, &word, next));
    return hfi_piece_state(next) == PIECE_NONE ? hfi_piece_give_back(piece) : HFI_NOTHING_GIVEN;
}
