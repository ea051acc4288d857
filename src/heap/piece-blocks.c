/*
 * piece-blocks: see piece-blocks.h; doc/protocols.md, section 14.
 *
 * PC2: marks of freed blocks are made by a thread that has pinned the piece, or by its holder.
 * PC3: a piece with pins is not none: who lowers the last pin of one that is over makes it none.
 *
 * Tests: tests/programs/heaps.c, tests/programs/heap-misuse.c, tests/models/heap.pml.
 */
#include "heap/piece-blocks.h"

#include "base/bits.h"

#define RECLAIMED_MAX 16u           /* freed blocks before the newest that one free takes in */
#define LAID_MAX (HFI_GRANULES / 2) /* blocks that the word may lack when a free takes some in */

_Static_assert(LAID_MAX + HFI_GRANULES < PIECE_BIAS && PIECE_BIAS + HFI_GRANULES < 1u << 14,
               "counts fit, whoever frees first");

/* The last granule of the block that begins at `granule`, before `limit`; `limit` where none
 * ends. */
HFI_INLINE uint32_t end_of(const struct pieces *pieces, uint32_t granule, uint32_t limit)
{
    uint64_t word = hfi_load_relaxed(&pieces->xends[granule / 64]) & ~(uint64_t)0 << granule % 64;
    for (uint32_t at = granule / 64;; word = hfi_load_relaxed(&pieces->xends[at])) {
        if (word != 0)
            return (uint32_t)hfi_min(at * 64 + hfi_lowest_bit(word), limit);
        if (++at * 64 >= limit)
            return limit;
    }
}

/* First granule of the block that ends before `granule`, from `first` on. */
static uint32_t start_before(const struct pieces *pieces, uint32_t granule, uint32_t first)
{
    for (uint32_t at = granule - 1; at > first; at--) {
        uint64_t word = hfi_load_relaxed(&pieces->xends[(at - 1) / 64]) << (63 - (at - 1) % 64);
        if (word != 0)
            return (uint32_t)hfi_max(at - (uint32_t)__builtin_clzll(word), first);
        at -= (at - 1) % 64;
    }
    return first;
}

/* Granules of a piece of a page: `first` to before `limit`. */
struct granules {
    uint32_t first, limit;
};

static struct granules granules_of(const struct piece *piece)
{
    uint32_t first = (uint32_t)(hfi_piece_quarter(piece) * HFI_PIECE_BYTES / HFI_MAX_ALIGN);
    return (struct granules){ first, first + piece->bytes / (uint32_t)HFI_MAX_ALIGN };
}

HFI_INLINE bool is_block(const struct pieces *pieces, struct granules of, const void *pointer)
{
    uint32_t granule = hfi_granule_of(pointer);
    if ((uintptr_t)pointer % HFI_MAX_ALIGN != 0 || granule < of.first || granule >= of.limit)
        return false;
    if (granule != of.first && !hfi_marks_has(pieces->xends, granule - 1))
        return false;
    return end_of(pieces, granule, of.limit) != of.limit;
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

size_t hfi_pieces_block_bytes(const struct page *page, const void *pointer)
{
    const struct piece *piece = hfi_pieces_find(page, pointer);
    if (piece == NULL)
        return 0;
    if (piece->bytes == 0)
        return pointer == hfi_page_start(page) ? page->run_pages * HFI_PAGE_BYTES - HFI_GUARD_BYTES : 0;
    struct granules of = granules_of(piece);
    const struct pieces *pieces = hfi_pieces_of(piece);
    if (!is_block(pieces, of, pointer))
        return 0;
    uint32_t granule = hfi_granule_of(pointer);
    return (size_t)(end_of(pieces, granule, of.limit) + 1 - granule) * HFI_MAX_ALIGN;
}

size_t hfi_pieces_live_bytes(const struct page *page)
{
    const struct pieces *pieces = hfi_pieces_of_page(page);
    size_t bytes = 0;
    if (pieces == NULL || hfi_load_relaxed(&pieces->xpage) != page)
        return 0;
    uint64_t units = hfi_load_relaxed(&pieces->xunits);
    for (unsigned quarter = 0; quarter < HFI_PIECES; quarter++) {
        const struct piece *piece = &pieces->piece[quarter];
        bool is_first = hfi_load_relaxed(&pieces->xfirst[quarter]) == quarter;
        if (!is_first || (units >> quarter & 1) ||
            hfi_piece_state(hfi_load_relaxed(&piece->xword)) == PIECE_NONE)
            continue;
        struct granules of = granules_of(piece);
        if (piece->bytes == 0)
            return page->run_pages * HFI_PAGE_BYTES - HFI_GUARD_BYTES;
        for (uint32_t at = of.first, end; at < of.limit && (end = end_of(pieces, at, of.limit)) != of.limit;
             at = end + 1)
            bytes += hfi_marks_has(pieces->xfreed, at) ? 0 : (end + 1 - at) * HFI_MAX_ALIGN;
    }
    return bytes;
}

/* Freed blocks that are taken in were laid and counted down, and come again.  Where that goes on, the
 * word gets what it lacks before the frees use up the bias. */
static void count_laid(struct hold *hold)
{
    if (hfi_likely(hold->laid <= LAID_MAX))
        return;
    hfi_fetch_add_acq_rel(&hold->piece->xword, hold->laid * PIECE_ONE);
    hold->laid = 0;
}

/* The holder frees its newest block: its room, and that of freed ones before it, is there again. */
static void take_in_newest(struct hold *hold, struct granules of)
{
    struct pieces *pieces = hold->pieces;
    uint32_t granule = hfi_granule_of(hold->newest);
    hfi_marks_put(pieces->xends, hfi_granule_of(hold->cursor - 1), false);
    hold->cursor = hold->newest;
    hold->newest = NULL;
    hold->laid--;
    count_laid(hold);
    for (unsigned i = 0; i < RECLAIMED_MAX && granule != of.first; i++) {
        uint32_t start = start_before(pieces, granule, of.first);
        char *block = hold->cursor - (size_t)(granule - start) * HFI_MAX_ALIGN;
        if (!hfi_marks_has(pieces->xfreed, start)) {
            hold->newest = block;
            return;
        }
        hfi_fetch_and_acq_rel(&pieces->xfreed[start / 64], ~((uint64_t)1 << start % 64));
        hfi_marks_put(pieces->xends, granule - 1, false);
        hold->cursor = block;
        granule = start;
    }
}

static bool is_newest(const struct hold *hold, const struct piece *piece, const void *pointer)
{
    return pointer == hold->newest && piece == hold->piece && hold->id == hfi_load_relaxed(&piece->xid);
}

/* Of a piece that is pinned.  *lower: what its word is to lose besides the pin. */
HFI_INLINE enum freed free_pinned(const struct page *page, struct pieces *pieces, unsigned first,
                                  void *pointer, struct hold *hold, uint64_t *lower)
{
    const struct piece *piece = &pieces->piece[first];
    *lower = 0;
    if (hfi_unlikely(hfi_load_relaxed(&pieces->xpage) != page || first_of(pieces, pointer) != first))
        return FREED_LATE;
    if (hfi_unlikely(piece->bytes == 0)) {
        *lower = pointer == hfi_page_start(page) ? PIECE_ONE : 0;
        return *lower != 0 ? FREED : FREED_WRONG;
    }
    uint32_t granule = hfi_granule_of(pointer), begin = first * (uint32_t)(HFI_PIECE_BYTES / HFI_MAX_ALIGN);
    struct granules of = { begin, begin + piece->bytes / (uint32_t)HFI_MAX_ALIGN };
    uint64_t bit = (uint64_t)1 << granule % 64;
    if (hfi_unlikely(!is_block(pieces, of, pointer)))
        return FREED_WRONG;
    if (is_newest(hold, piece, pointer) && !hfi_marks_has(pieces->xfreed, granule)) {
        take_in_newest(hold, of);
        return FREED;
    }
    if (hfi_unlikely(hfi_fetch_or_acq_rel(&pieces->xfreed[granule / 64], bit) & bit))
        return FREED_TWICE;
    *lower = PIECE_ONE;
    return FREED;
}

/* Takes a pin off, and `lower`.  True for the thread that is to give the piece back. */
HFI_INLINE bool unpin(struct piece *piece, uint64_t lower)
{
    uint64_t word = hfi_load_relaxed(&piece->xword), next;
    do {
        next = word - PIECE_PIN - lower;
        bool over = hfi_piece_state(next) == PIECE_ENDED ||
                    (hfi_piece_state(next) == PIECE_CLOSED && hfi_piece_count(next) == 0);
        if (hfi_unlikely(over && (next & PIECE_PINS_MASK) == 0))
            next = hfi_piece_with_state(next, PIECE_NONE);
        /* release: the marks are there for the piece's next tenancy */
    } while (!hfi_cas_weak_acq_rel(&piece->xword, &word, next));
    return hfi_piece_state(next) == PIECE_NONE;
}

enum freed hfi_pieces_free(struct page *page, void *pointer, struct hold *hold, struct given *given)
{
    struct pieces *pieces = hfi_pieces_of_page(page);
    given->heap = NULL;
    if (hfi_unlikely(pieces == NULL))
        return FREED_LATE;
    unsigned first = first_of(pieces, pointer);
    struct piece *piece = &pieces->piece[first];
    uint64_t word = hfi_load_relaxed(&piece->xword), lower;
    do {
        if (hfi_unlikely(hfi_piece_state(word) == PIECE_NONE || hfi_piece_state(word) == PIECE_ENDED))
            return FREED_LATE;
        hfi_assert((word & PIECE_PINS_MASK) != PIECE_PINS_MASK);
        /* acquire: pairs with piece_begin */
    } while (!hfi_cas_weak_acq_rel(&piece->xword, &word, word + PIECE_PIN));
    enum freed freed = free_pinned(page, pieces, first, pointer, hold, &lower);
    if (hfi_unlikely(unpin(piece, lower)))
        *given = hfi_piece_give_back(piece);
    return freed;
}
