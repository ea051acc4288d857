/*
 * piece-blocks: see piece-blocks.h; doc/protocols.md, section 14.
 *
 * PC2: marks of freed blocks are made by a thread that has pinned the piece, or by its holder (PC6).
 * PC3: a piece with pins is not none: who lowers the last pin of one that is over makes it none.
 *
 * Tests: tests/programs/heaps.c, tests/programs/heap-misuse.c, tests/models/heap.pml.
 */
#include "heap/piece-blocks.h"

#include "base/bits.h"
#include "heap/reuse.h"

#define RECLAIMED_MAX 16u /* freed blocks before the newest that one free takes in */
#define LAID_MAX 65536    /* granules that the word may lack when a free takes some in */

_Static_assert(LAID_MAX + 2 * HFI_GRANULES < PIECE_BIAS && PIECE_BIAS + LAID_MAX < 1u << 20,
               "counts fit, whoever frees first");

/* First granule of the block that ends before `granule`, in a piece that begins at `first`. */
static uint32_t start_before(const struct pieces *pieces, uint32_t granule, uint32_t first)
{
    for (uint32_t at = granule; at > first; at &= ~7u) {
        uint64_t word = hfi_load_relaxed(&pieces->xmap_words[(at - 1) / 8]) << (7 - (at - 1) % 8) * 8;
        for (; word != 0; word &= ~((uint64_t)0xff << hfi_highest_bit(word) / 8 * 8)) {
            uint32_t begins = at - 8 + hfi_highest_bit(word) / 8;
            if (hfi_map_begins(hfi_load_relaxed(&pieces->xmap[begins])))
                return begins;
        }
        at--;
    }
    return first;
}

/* First quarter of the piece that an address in a head page is of: checked once the piece is pinned,
 * or of a live block. */
HFI_INLINE unsigned first_of(const struct pieces *pieces, const void *pointer)
{
    unsigned quarter = (unsigned)((uintptr_t)pointer >> HFI_PIECE_SHIFT) % HFI_PIECES;
    return hfi_load_relaxed(&pieces->xfirst[quarter]) % HFI_PIECES;
}

struct piece *hfi_pieces_find(const struct page *page, const void *pointer)
{
    struct pieces *pieces = hfi_pieces_of_page(page);
    return pieces == NULL ? NULL : &pieces->piece[first_of(pieces, pointer)];
}

/* What the map has of an address in a piece: 0 where no block begins. */
HFI_INLINE uint32_t byte_of(const struct pieces *pieces, const struct piece *piece, unsigned first,
                            const void *pointer)
{
    uint32_t granule = hfi_granule_of(pointer);
    uint32_t in_piece = granule - first * (uint32_t)(HFI_PIECE_BYTES / HFI_MAX_ALIGN);
    if ((uintptr_t)pointer % HFI_MAX_ALIGN != 0 || in_piece >= piece->bytes / HFI_MAX_ALIGN)
        return 0;
    uint32_t byte = hfi_load_relaxed(&pieces->xmap[granule]);
    return hfi_map_begins(byte) ? byte : 0;
}

size_t hfi_pieces_block_bytes(const struct page *page, const void *pointer)
{
    const struct piece *piece = hfi_pieces_find(page, pointer);
    if (piece == NULL)
        return 0;
    if (piece->bytes == 0)
        return pointer == hfi_page_start(page) ? page->run_pages * HFI_PAGE_BYTES - HFI_GUARD_BYTES : 0;
    const struct pieces *pieces = hfi_pieces_of(piece);
    uint32_t byte = byte_of(pieces, piece, hfi_piece_quarter(piece), pointer);
    return byte == 0 ? 0
                     : hfi_map_length(&pieces->xmap[hfi_granule_of(pointer)], byte) * (size_t)HFI_MAX_ALIGN;
}

HFI_READS_OTHERS size_t hfi_pieces_live_bytes(const struct page *page)
{
    const struct pieces *pieces = hfi_pieces_of_page(page);
    size_t granules = 0;
    if (pieces == NULL || hfi_load_relaxed(&pieces->xpage) != page)
        return 0;
    uint64_t units = hfi_load_relaxed(&pieces->xunits);
    if (pieces->piece[0].bytes == 0 && (units >> HFI_PIECES & 1) == 0)
        return page->run_pages * HFI_PAGE_BYTES - HFI_GUARD_BYTES;
    for (uint32_t at = 0, length = 1; at < HFI_GRANULES; at += length) {
        uint32_t byte = hfi_load_relaxed(&pieces->xmap[at]);
        bool is_block = hfi_map_begins(byte) && !(units >> at * HFI_MAX_ALIGN / HFI_PIECE_BYTES & 1);
        length = is_block ? hfi_map_length(&pieces->xmap[at], byte) : 1;
        granules += is_block && !(byte & MAP_FREED) ? length : 0;
    }
    return granules * HFI_MAX_ALIGN;
}

/* Freed blocks that are taken in were laid and counted down, and come again.  Where that goes on, the
 * word gets what it lacks before the frees use up the bias. */
static void count_laid(struct hold *hold)
{
    if (hfi_unlikely(hold->laid > LAID_MAX))
        hfi_hold_count(hold);
}

void hfi_pieces_free_newest(struct hold *hold, char *newest, uint32_t length)
{
    struct pieces *pieces = hfi_pieces_of(hold->piece);
    uint32_t first = hfi_granule_of(hold->start), granule = hfi_granule_of(newest);
    hfi_map_clear(&pieces->xmap[granule]);
    hold->cursor = newest;
    hold->laid -= (int32_t)length;
    count_laid(hold);
    for (unsigned i = 0; i < RECLAIMED_MAX && granule != first; i++) {
        uint32_t start = start_before(pieces, granule, first);
        /* acquire: pairs with the mark of the thread that freed it */
        if (!(hfi_load_acquire(&pieces->xmap[start]) & MAP_FREED))
            return;
        hfi_map_clear(&pieces->xmap[start]);
        hold->cursor -= (granule - start) * HFI_MAX_ALIGN;
        granule = start;
    }
}

enum freed hfi_pieces_free_held(void *pointer, struct hold *hold)
{
    char *block = pointer;
    uint32_t granule = hfi_hold_granule(hold, block), byte = hfi_load_relaxed(&hold->map[granule]);
    if ((uintptr_t)block % HFI_MAX_ALIGN != 0 || !hfi_map_begins(byte))
        return FREED_WRONG;
    if (byte & MAP_FREED)
        return FREED_TWICE;
    uint32_t length = hfi_map_length(&hold->map[granule], byte);
    if (!hold->reuses && block + length * HFI_MAX_ALIGN == hold->cursor) {
        hfi_pieces_free_newest(hold, block, length);
        return FREED;
    }
    hold->laid -= (int32_t)length;
    /* relaxed: this thread alone reads it before the piece is another's */
    hfi_store_relaxed(&hold->map[granule], (uint8_t)(byte | MAP_FREED));
    if (hold->reuses)
        hfi_reuse_put(hold, granule, length);
    return FREED;
}

/* Of a piece that is pinned.  *lower: what its word is to lose besides the pin. */
HFI_INLINE enum freed free_pinned(const struct page *page, struct pieces *pieces, unsigned first,
                                  void *pointer, uint64_t *lower)
{
    const struct piece *piece = &pieces->piece[first];
    *lower = 0;
    if (hfi_unlikely(hfi_load_relaxed(&pieces->xpage) != page || first_of(pieces, pointer) != first))
        return FREED_LATE;
    if (hfi_unlikely(piece->bytes == 0)) {
        *lower = pointer == hfi_page_start(page) ? PIECE_ONE : 0;
        return *lower != 0 ? FREED : FREED_WRONG;
    }
    uint32_t byte = byte_of(pieces, piece, first, pointer);
    if (hfi_unlikely(byte == 0))
        return FREED_WRONG;
    if (hfi_unlikely(byte & MAP_FREED))
        return FREED_TWICE;
    _Atomic(uint8_t) *at = &pieces->xmap[hfi_granule_of(pointer)];
    uint32_t length = hfi_map_length(at, byte); /* once it is marked, the holder may write there */
    /* release: pairs with the holder that finds it */
    if (hfi_unlikely(hfi_fetch_or_acq_rel(at, MAP_FREED) & MAP_FREED))
        return FREED_TWICE;
    *lower = length * PIECE_ONE;
    return FREED;
}

/* The word without a pin and `lower`.  None: this thread is to give the piece back. */
HFI_INLINE uint64_t unpinned(struct piece *piece, uint64_t word, uint64_t lower)
{
    uint64_t next = word - PIECE_PIN - lower;
    enum piece_state state = hfi_piece_state(next);
    uint32_t out = hfi_piece_count(next);
    if (hfi_unlikely(state == PIECE_LEFT))
        return next;
    if (hfi_unlikely(state == PIECE_ENDED || out == 0))
        return (next & PIECE_PINS_MASK) == 0 ? hfi_piece_with_state(next, PIECE_NONE) : next;
    if (hfi_likely(out > hfi_load_relaxed(&piece->xopens_at)))
        return next;
    if (hfi_load_relaxed(&piece->xhole) != HFI_GRANULES)
        hfi_store_relaxed(&piece->xhole, HFI_GRANULES); /* parked, but how large its holes are is not known */
    return state == PIECE_CLOSED ? hfi_piece_with_state(next, PIECE_PARKED) : next;
}

HFI_INLINE void unpin(struct piece *piece, uint64_t lower, struct given *given)
{
    uint64_t word = hfi_load_relaxed(&piece->xword), next;
    uint32_t place = piece->place;
    struct heap *heap = piece->heap;
    do
        next = unpinned(piece, word, lower);
    /* release: the marks are there for the piece's next tenancy, or holder */
    while (!hfi_cas_weak_acq_rel(&piece->xword, &word, next));
    if (hfi_likely(hfi_piece_state(next) == hfi_piece_state(word)))
        return;
    if (hfi_piece_state(next) == PIECE_NONE)
        *given = hfi_piece_give_back(piece);
    else
        *given = (struct given){ .heap = heap, .place = place };
}

enum freed hfi_pieces_free(struct page *page, void *pointer, struct given *given)
{
    struct pieces *pieces = hfi_pieces_of_page(page);
    given->heap = NULL;
    if (hfi_unlikely(pieces == NULL))
        return FREED_LATE;
    unsigned first = first_of(pieces, pointer);
    struct piece *piece = &pieces->piece[first];
    uint64_t word = hfi_load_relaxed(&piece->xword), lower;
    do {
        if (hfi_unlikely(hfi_piece_state(word) == PIECE_NONE || hfi_piece_state(word) >= PIECE_LEFT))
            return FREED_LATE;
        hfi_assert((word & PIECE_PINS_MASK) != PIECE_PINS_MASK);
        /* acquire: pairs with piece_begin */
    } while (!hfi_cas_weak_acq_rel(&piece->xword, &word, word + PIECE_PIN));
    enum freed freed = free_pinned(page, pieces, first, pointer, &lower);
    unpin(piece, lower, given);
    return freed;
}
