/*
 * hold: see hold.h; doc/protocols.md, section 14.
 *
 * PC6: a holder frees into what it holds between two stores to its theap's xfrees, and looks whether
 *      the heap has ended after the first, and again after the second.  Whoever ends the heap, and
 *      finds xfrees set, leaves the piece to it.
 *
 * PC1 (pieces.c) and PC2 (piece-blocks.c) hold here too.
 *
 * Tests: tests/programs/heaps.c, tests/programs/general.c, tests/models/heap.pml.
 */
#include "heap/hold.h"

#include "heap/theap.h"
#include "kernel/cpu.h"

#define OPENS_PART 16u /* a piece that is closed is of use again when a part as large was freed */

void hfi_hold_begin(struct hold *hold, const void *handle, struct piece *piece, bool reuses)
{
    char *start = hfi_piece_start(piece);
    hfi_store_relaxed(&piece->xholder, hfi_theap); /* relaxed: no end is under way */
    *hold = (struct hold){ .handle = handle,
                           .heap = piece->heap,
                           .id = hfi_load_relaxed(&piece->xid),
                           .cursor = start + piece->cursor * HFI_MAX_ALIGN,
                           .end = start + piece->bytes,
                           .start = start,
                           .granules = piece->bytes / HFI_MAX_ALIGN,
                           .map = &hfi_pieces_of(piece)->xmap[hfi_granule_of(start)],
                           .piece = piece,
                           .reuses = reuses };
}

bool hfi_hold_resume(struct hold *hold, const void *handle, uint64_t id, bool reuses, uint32_t granules,
                     struct piece *piece)
{
    /* acquire: pairs with hfi_hold_park, whose thread laid blocks */
    uint64_t word = hfi_load_acquire(&piece->xword), next;
    do {
        if (hfi_piece_state(word) != PIECE_PARKED || hfi_load_relaxed(&piece->xid) != id ||
            hfi_load_relaxed(&piece->xhole) < granules)
            return false;
        next = hfi_piece_with_state(word, PIECE_HELD) + (reuses ? PIECE_BIAS * PIECE_ONE : 0);
    } while (!hfi_cas_weak_acq_rel(&piece->xword, &word, next));
    hfi_hold_begin(hold, handle, piece, reuses);
    return true;
}

bool hfi_hold_is_newest(const struct hold *hold, const void *pointer)
{
    if (hold->handle == NULL || (const char *)pointer < hold->start || (const char *)pointer >= hold->cursor)
        return false;
    const _Atomic(uint8_t) *at = &hold->map[hfi_hold_granule(hold, pointer)];
    uint32_t byte = hfi_load_relaxed(at);
    return hfi_map_begins(byte) &&
           (const char *)pointer + hfi_map_length(at, byte) * HFI_MAX_ALIGN == hold->cursor;
}

bool hfi_hold_align(struct hold *hold, size_t align, size_t bytes)
{
    char *block = (char *)hfi_align_up((uintptr_t)hold->cursor, align);
    if (block > hold->end || (size_t)(hold->end - block) < bytes)
        return false;
    if (block == hold->cursor)
        return true;
    /* The gap is a block that is freed, and counts for nothing. */
    hfi_map_put(&hold->map[hfi_hold_granule(hold, hold->cursor)],
                (uint32_t)((size_t)(block - hold->cursor) / HFI_MAX_ALIGN), MAP_FREED);
    hold->cursor = block;
    return true;
}

bool hfi_hold_resize(struct hold *hold, char *block, size_t bytes)
{
    _Atomic(uint8_t) *at = &hold->map[hfi_hold_granule(hold, block)];
    if (bytes > (size_t)(hold->end - block))
        return false;
    hold->laid += (int32_t)((ptrdiff_t)bytes - (hold->cursor - block)) / HFI_MAX_ALIGN;
    hfi_map_clear(at);
    hfi_map_put(at, (uint32_t)(bytes / HFI_MAX_ALIGN), 0);
    hold->cursor = block + bytes;
    return true;
}

static void begin_anew(struct hold *hold)
{
    struct piece *piece = hold->piece;
    hfi_map_wipe(hold->map, hfi_hold_granule(hold, hold->cursor));
    piece->longest = 0;
    memset(piece->lists, 0, sizeof piece->lists);
    hold->laid = 0;
    hold->cursor = hold->start;
}

bool hfi_hold_rewind(struct hold *hold)
{
    /* acquire: pairs with the frees that lowered it */
    uint64_t word = hfi_load_acquire(&hold->piece->xword);
    if (hfi_piece_state(word) != PIECE_HELD || (word & PIECE_PINS_MASK) != 0 ||
        hfi_piece_count(word) + (uint32_t)hold->laid != PIECE_BIAS ||
        hfi_load_relaxed(&hold->piece->xid) != hold->id)
        return false;
    if (!hfi_cas_acq_rel(&hold->piece->xword, &word,
                         (word & ~PIECE_COUNT_MASK) | (uint64_t)PIECE_BIAS << PIECE_COUNT_SHIFT))
        return false;
    begin_anew(hold);
    return true;
}

uint32_t hfi_hold_out(const struct hold *hold)
{
    /* relaxed: a hint */
    return hfi_piece_count(hfi_load_relaxed(&hold->piece->xword)) + (uint32_t)hold->laid - PIECE_BIAS;
}

void hfi_hold_count(struct hold *hold)
{
    hfi_fetch_add_acq_rel(&hold->piece->xword, (uint64_t)(int64_t)hold->laid << PIECE_COUNT_SHIFT);
    hold->laid = 0;
}

static void hold_nothing(struct hold *hold)
{
    hold->handle = NULL;
    hold->id = 0;
    hold->cursor = hold->end = hold->start = NULL;
    hold->granules = 0;
    hold->laid = 0;
    hold->reuses = false; /* hf_heap_malloc finds no room */
}

/* Pins what is held; false: the heap has ended. */
static bool pin(const struct hold *hold, uint64_t *word)
{
    struct piece *piece = hold->piece;
    /* acquire: pairs with piece_begin of the next tenancy, whose number is not this one's */
    *word = hfi_load_acquire(&piece->xword);
    do {
        if (hfi_piece_state(*word) != PIECE_HELD || hfi_load_relaxed(&piece->xid) != hold->id)
            return false;
    } while (!hfi_cas_weak_acq_rel(&piece->xword, word, *word + PIECE_PIN));
    *word += PIECE_PIN;
    return true;
}

/* The word without the holder and its pin. */
static uint64_t let_go(uint64_t word, const struct hold *hold, enum piece_state state, uint32_t bias)
{
    bool has_ended = hfi_piece_state(word) == PIECE_ENDED;
    int64_t more = (int64_t)hold->laid - bias;
    uint64_t next =
        has_ended ? word : hfi_piece_with_state(word + ((uint64_t)more << PIECE_COUNT_SHIFT), state);
    next -= PIECE_PIN;
    bool is_over = (has_ended || hfi_piece_count(next) == 0) && (next & PIECE_PINS_MASK) == 0;
    return is_over ? hfi_piece_with_state(next, PIECE_NONE) : next;
}

/* Pinned, so that what is written of it is not written of a piece of the next heap. */
static struct given leave(struct hold *hold, enum piece_state state, uint32_t bias)
{
    struct piece *piece = hold->piece;
    uint64_t word, next;
    if (!pin(hold, &word))
        return hfi_hold_finish(hold);
    struct given parked = { .heap = piece->heap, .place = piece->place };
    piece->cursor = hfi_hold_granule(hold, hold->cursor);
    uint32_t out = hfi_hold_out(hold), part = piece->bytes / HFI_MAX_ALIGN / OPENS_PART;
    hfi_store_relaxed(&piece->xopens_at, hold->reuses && out > part ? out - part : 0);
    do
        next = let_go(word, hold, state, bias);
    /* release: pairs with hfi_hold_resume, and with who gives the piece back */
    while (!hfi_cas_weak_acq_rel(&piece->xword, &word, next));
    hold_nothing(hold);
    if (hfi_piece_state(next) == PIECE_NONE)
        return hfi_piece_give_back(piece);
    return hfi_piece_state(next) == PIECE_PARKED ? parked : HFI_NOTHING_GIVEN;
}

struct given hfi_hold_park(struct hold *hold)
{
    /* A region keeps it, empty or not. */
    return leave(hold, PIECE_PARKED, hold->reuses ? PIECE_BIAS : 0);
}

struct given hfi_hold_close(struct hold *hold)
{
    return leave(hold, PIECE_CLOSED, PIECE_BIAS);
}

/* The word of a piece whose heap has ended: PC3. */
static uint64_t over(uint64_t word)
{
    return hfi_piece_with_state(word, (word & PIECE_PINS_MASK) == 0 ? PIECE_NONE : PIECE_ENDED);
}

/* Ends a piece that was left to its holder, by the holder, or by who left it. */
static struct given end_left(struct piece *piece, uint64_t id)
{
    uint64_t word = hfi_load_acquire(&piece->xword), next;
    do {
        if (hfi_piece_state(word) != PIECE_LEFT || hfi_load_relaxed(&piece->xid) != id)
            return HFI_NOTHING_GIVEN;
        next = over(word);
        /* acquire: pairs with who pinned it last; release: the holder is done with it */
    } while (!hfi_cas_weak_acq_rel(&piece->xword, &word, next));
    return hfi_piece_state(next) == PIECE_NONE ? hfi_piece_give_back(piece) : HFI_NOTHING_GIVEN;
}

struct given hfi_hold_finish(struct hold *hold)
{
    struct given given = end_left(hold->piece, hold->id);
    hold_nothing(hold);
    return given;
}

static bool holder_frees(const struct piece *piece)
{
    const struct theap *holder = hfi_load_relaxed(&piece->xholder);
    /* seq_cst: of the end, which has ended the heap's number, and this free one sees the other */
    return holder != NULL && hfi_load_seq_cst(&holder->xfrees) == (uintptr_t)piece;
}

/* PC6: the holder may be between its look at the heap's number and the end of its free. */
static struct given leave_to_holder(struct piece *piece, uint64_t id)
{
    hfi_os_barrier();
    /* What it stores is seen by now, or it will see that the heap has ended. */
    return holder_frees(piece) ? HFI_NOTHING_GIVEN : end_left(piece, id);
}

struct given hfi_piece_end(struct piece *piece, uint64_t id)
{
    uint64_t word = hfi_load_acquire(&piece->xword), next;
    do {
        enum piece_state state = hfi_piece_state(word);
        if (state == PIECE_NONE || state >= PIECE_LEFT || hfi_load_relaxed(&piece->xid) != id)
            return HFI_NOTHING_GIVEN;
        bool is_busy = state == PIECE_HELD && holder_frees(piece);
        next = is_busy ? hfi_piece_with_state(word, PIECE_LEFT) : over(word);
        /* acquire: pairs with who pinned it last */
    } while (!hfi_cas_weak_acq_rel(&piece->xword, &word, next));
    if (hfi_piece_state(next) == PIECE_LEFT)
        return leave_to_holder(piece, id);
    return hfi_piece_state(next) == PIECE_NONE ? hfi_piece_give_back(piece) : HFI_NOTHING_GIVEN;
}

bool hfi_piece_keep(struct piece *piece, uint64_t id, bool *alone)
{
    uint64_t word = hfi_load_acquire(&piece->xword), next;
    do {
        enum piece_state state = hfi_piece_state(word);
        if (state == PIECE_NONE || state == PIECE_ENDED || hfi_load_relaxed(&piece->xid) != id)
            return false;
        *alone = (word & PIECE_PINS_MASK) == 0 && !(state == PIECE_HELD && holder_frees(piece));
        next = hfi_piece_with_state(word, PIECE_ENDED) + PIECE_PIN;
        /* acquire: pairs with who pinned it last */
    } while (!hfi_cas_weak_acq_rel(&piece->xword, &word, next));
    return true;
}

/* By the thread that has the pin of hfi_piece_keep.  The holder may be in its free still: PC6. */
struct given hfi_piece_let_go(struct piece *piece, uint64_t id)
{
    uint64_t word = hfi_load_relaxed(&piece->xword), next;
    hfi_assert(hfi_piece_state(word) == PIECE_ENDED && hfi_load_relaxed(&piece->xid) == id);
    do {
        next = word - PIECE_PIN;
        next = holder_frees(piece) ? hfi_piece_with_state(next, PIECE_LEFT) : over(next); /* PC3 */
        /* release: the memory is as the next tenancy may find it */
    } while (!hfi_cas_weak_acq_rel(&piece->xword, &word, next));
    if (hfi_piece_state(next) == PIECE_LEFT)
        return leave_to_holder(piece, id);
    return hfi_piece_state(next) == PIECE_NONE ? hfi_piece_give_back(piece) : HFI_NOTHING_GIVEN;
}
