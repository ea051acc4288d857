/*
 * piece: a part of the arena that a heap of the program has; what is known of it, its word and its
 * marks.
 *
 * A piece is a part of a page, one to four quarters of it, or a run of whole pages that is one
 * block.  One thread at a time holds a piece, and lays blocks in it one behind the other.  Any
 * thread frees them. What is known of a page's pieces lies outside it, in a descriptor that is
 * never unmapped. doc/protocols.md, section 14, has the states of a piece and who may move between
 * them.
 *
 * The word of a piece:
 *
 *    63    44 43    31 30   17 16    3 2     0
 *   |  tag   | cursor | count |  pins | state |
 *
 * Nothing here knows what a heap is: it is a name.
 */
#ifndef HFI_PIECE_H
#define HFI_PIECE_H

#include "arena/arena.h"
#include "base/check.h"

struct heap;

#define HFI_PIECES 4u /* of a page */
#define HFI_PIECE_SHIFT 14
#define HFI_PIECE_BYTES ((size_t)1 << HFI_PIECE_SHIFT) /* what heaps are counted in */

/* The longest block that a page of pieces has room for. */
#define HFI_PIECE_BLOCK_MAX (HFI_PAGE_BYTES - HFI_GUARD_BYTES)

#define HFI_GRANULES (HFI_PAGE_BYTES / HFI_MAX_ALIGN) /* of 16 bytes, in which blocks are measured */

enum piece_state { PIECE_NONE, PIECE_HELD, PIECE_PARKED, PIECE_CLOSED, PIECE_ENDED };

/* "const" is per tenancy: from the claim until it is given back. */
struct piece {
    _Atomic(uint64_t) xword; /* atomic: state, pins, count, cursor, tag */
    _Atomic(uint64_t) xid;   /* const: number of the heap, which never comes again */
    struct heap *heap;       /* const */
    uint32_t bytes;          /* const: that blocks may be laid in; 0: a run that is one block */
    uint32_t units;          /* const: what it counts for, in HFI_PIECE_BYTES */
};

/* What is known of a page of pieces, or of a run. */
struct pieces {
    _Atomic(uint64_t) xunits;            /* atomic: quarters that are free, whether a page is attached, tag */
    _Atomic(void *) xnext;               /* atomic: in the stack of those without a page */
    _Atomic(struct page *) xpage;        /* const while a page is attached */
    _Atomic(uint8_t) xfirst[HFI_PIECES]; /* const: first quarter of the piece that a quarter is of */
    HFI_CACHE_ALIGNED struct piece piece[HFI_PIECES]; /* by first quarter */
    _Atomic(uint64_t) xends[HFI_GRANULES / 64];       /* holder: a bit for the last granule of each block */
    _Atomic(uint64_t) xfreed[HFI_GRANULES / 64]; /* who pins or holds: for the first one of those freed */
};

#define PIECE_PINS_SHIFT 3
#define PIECE_COUNT_SHIFT 17
#define PIECE_CURSOR_SHIFT 31
#define PIECE_TAG_SHIFT 44
#define PIECE_STATE_MASK ((uint64_t)7)
#define PIECE_PIN ((uint64_t)1 << PIECE_PINS_SHIFT)
#define PIECE_PINS_MASK ((uint64_t)0x3fff << PIECE_PINS_SHIFT)
#define PIECE_ONE ((uint64_t)1 << PIECE_COUNT_SHIFT)
#define PIECE_COUNT_MASK ((uint64_t)0x3fff << PIECE_COUNT_SHIFT)
#define PIECE_CURSOR_MASK ((uint64_t)0x1fff << PIECE_CURSOR_SHIFT)
#define PIECE_BIAS 8192u /* more than a piece has blocks; together less than 2^14 */

#define HFI_PIECES_INHERITED ((uintptr_t)1) /* in xpieces of a page */

/* Pieces that a page of pieces needs to have free for a block of so many bytes; of a run more. */
HFI_INLINE uint32_t hfi_piece_units(size_t bytes)
{
    if (bytes > HFI_PIECE_BLOCK_MAX)
        return (uint32_t)(hfi_divide_up(bytes + HFI_GUARD_BYTES, HFI_PAGE_BYTES) * HFI_PIECES);
    return (uint32_t)hfi_min(hfi_max(hfi_divide_up(bytes, HFI_PIECE_BYTES), 1), HFI_PIECES);
}

HFI_INLINE enum piece_state hfi_piece_state(uint64_t word)
{
    return (enum piece_state)(word & PIECE_STATE_MASK);
}

HFI_INLINE uint32_t hfi_piece_count(uint64_t word)
{
    return (uint32_t)((word & PIECE_COUNT_MASK) >> PIECE_COUNT_SHIFT);
}

HFI_INLINE uint64_t hfi_piece_with_state(uint64_t word, enum piece_state state)
{
    return (word & ~PIECE_STATE_MASK) | state;
}

/* The descriptor of a piece. */
HFI_INLINE struct pieces *hfi_pieces_of(const struct piece *piece)
{
    /* Descriptors lie at multiples of their size in their page, behind its first bytes. */
    size_t offset = (uintptr_t)piece % HFI_PAGE_BYTES;
    return (struct pieces *)((uintptr_t)piece - offset % sizeof(struct pieces));
}

HFI_INLINE unsigned hfi_piece_quarter(const struct piece *piece)
{
    return (unsigned)(piece - hfi_pieces_of(piece)->piece);
}

HFI_INLINE char *hfi_piece_start(const struct piece *piece)
{
    const struct page *page = hfi_load_relaxed(&hfi_pieces_of(piece)->xpage);
    return hfi_page_start(page) + hfi_piece_quarter(piece) * HFI_PIECE_BYTES;
}

/* NULL: no heap ever had the page. */
HFI_INLINE struct pieces *hfi_pieces_of_page(const struct page *page)
{
    return (struct pieces *)(hfi_load_acquire(&page->xpieces) &
                             ~HFI_PIECES_INHERITED); /* pairs with page_begin */
}

/* --- marks --- */

HFI_INLINE uint32_t hfi_granule_of(const void *pointer)
{
    return (uint32_t)((uintptr_t)pointer % HFI_PAGE_BYTES / HFI_MAX_ALIGN);
}

HFI_INLINE bool hfi_marks_has(const _Atomic(uint64_t) *words, uint32_t granule)
{
    return hfi_load_relaxed(&words[granule / 64]) >> granule % 64 & 1;
}

/* By the holder alone, or of bits that nobody else writes. */
HFI_INLINE void hfi_marks_put(_Atomic(uint64_t) *words, uint32_t granule, bool value)
{
    uint64_t bit = (uint64_t)1 << granule % 64, word = hfi_load_relaxed(&words[granule / 64]);
    hfi_store_relaxed(&words[granule / 64], value ? word | bit : word & ~bit);
}

HFI_INLINE void hfi_marks_wipe(struct pieces *pieces, unsigned first, uint32_t units)
{
    enum { WORDS = HFI_GRANULES / 64 / HFI_PIECES };
    /* relaxed: nobody else reads or writes them (PC2) */
    for (size_t i = first * WORDS; i < (first + units) * WORDS; i++) {
        hfi_store_relaxed(&pieces->xends[i], 0);
        hfi_store_relaxed(&pieces->xfreed[i], 0);
    }
}

#endif
