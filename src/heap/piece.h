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
 *    63    37 36   17 16    3 2     0
 *   |  tag   | count |  pins | state |
 *
 * Its count is of granules in blocks that are out; of a run it is 1.
 *
 * The map of a page has a byte for each granule.  For the first one of a block it is the block's
 * length in granules, or MAP_LONG, and MAP_FREED once it was freed.  Inside of a block it is 0.  Behind
 * MAP_LONG three bytes have four bits of the length each, over MAP_PART.
 *
 * Nothing here knows what a heap is: it is a name.
 */
#ifndef HFI_PIECE_H
#define HFI_PIECE_H

#include <string.h>

#include "arena/arena.h"
#include "base/check.h"

struct heap;
struct theap;
struct zone;

#define HFI_PIECES 4u /* of a page */
#define HFI_PIECE_SHIFT 14
#define HFI_PIECE_BYTES ((size_t)1 << HFI_PIECE_SHIFT) /* what heaps are counted in */

/* The longest block that a page of pieces has room for. */
#define HFI_PIECE_BLOCK_MAX (HFI_PAGE_BYTES - HFI_GUARD_BYTES)

#define HFI_GRANULES (HFI_PAGE_BYTES / HFI_MAX_ALIGN) /* of 16 bytes, in which blocks are measured */

/* Lists of freed blocks by length: of each up to MAP_SHORT granules, then four for each doubling. */
#define HFI_PIECE_LISTS 89u

enum piece_state { PIECE_NONE, PIECE_HELD, PIECE_PARKED, PIECE_CLOSED, PIECE_LEFT, PIECE_ENDED };

/* "const" is per tenancy: from the claim until it is given back. */
struct piece {
    _Atomic(uint64_t) xword;         /* atomic: state, pins, count, tag */
    _Atomic(uint64_t) xid;           /* const: number of the heap, which never comes again */
    struct heap *heap;               /* const */
    _Atomic(struct theap *) xholder; /* const while it is held: whose thread has it */
    uint32_t bytes;                  /* const: that blocks may be laid in; 0: a run that is one block */
    uint32_t units;                  /* const: what it counts for, in HFI_PIECE_BYTES */
    uint32_t place;                  /* const once it is noted: where in the heap's table */
    uint32_t cursor;                 /* holder: granules before the next one to lay, as it was left */
    _Atomic(uint32_t) xopens_at;     /* holder, others read: closed, it is of use again once so many granules
                                  * are out, or fewer; 0: never */
    _Atomic(uint32_t) xhole;         /* holder, others read: granules that it may have in one part; a hint */
    uint32_t longest;                /* holder: no list behind this one has blocks */
    uint16_t lists[HFI_PIECE_LISTS]; /* holder: the first of each: 1 for the first granule; 0: none */
    uint8_t seal;                    /* the thread that ends a checked heap: enum seal (heap-checked.c) */
};

/* What is known of a page of pieces, or of a run. */
struct pieces {
    _Atomic(uint64_t) xunits;            /* atomic: quarters that are free, whether a page is attached, tag */
    _Atomic(void *) xnext;               /* atomic: in the stack of those without a page */
    _Atomic(struct page *) xpage;        /* const while a page is attached */
    struct zone *zone;                   /* const while a page is attached: that it is of; NULL: none */
    _Atomic(uint8_t) xfirst[HFI_PIECES]; /* const: first quarter of the piece that a quarter is of */
    HFI_CACHE_ALIGNED struct piece piece[HFI_PIECES]; /* by first quarter */
    union {
        _Atomic(uint8_t) xmap[HFI_GRANULES]; /* holder; who pins: MAP_FREED of a block */
        _Atomic(uint64_t) xmap_words[HFI_GRANULES / 8];
    };
};

#define MAP_SHORT 64u
#define MAP_LONG 65u
#define MAP_PART 0x50u /* four bits of a length */
#define MAP_FREED 0x80u

#define PIECE_PINS_SHIFT 3
#define PIECE_COUNT_SHIFT 17
#define PIECE_TAG_SHIFT 37
#define PIECE_STATE_MASK ((uint64_t)7)
#define PIECE_PIN ((uint64_t)1 << PIECE_PINS_SHIFT)
#define PIECE_PINS_MASK ((uint64_t)0x3fff << PIECE_PINS_SHIFT)
#define PIECE_ONE ((uint64_t)1 << PIECE_COUNT_SHIFT)
#define PIECE_COUNT_MASK ((uint64_t)0xfffff << PIECE_COUNT_SHIFT)
#define PIECE_BIAS ((uint32_t)1 << 18) /* far more than a piece has granules, and far from 2^20 */

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

/* --- the map --- */

HFI_INLINE uint32_t hfi_granule_of(const void *pointer)
{
    return (uint32_t)((uintptr_t)pointer % HFI_PAGE_BYTES / HFI_MAX_ALIGN);
}

/* Whether a block begins where the map has this, freed or not. */
HFI_INLINE bool hfi_map_begins(uint32_t byte)
{
    return (byte & ~MAP_FREED) - 1 < MAP_LONG;
}

/* Granules of the block that begins at `at`, where the map has `byte`. */
HFI_INLINE uint32_t hfi_map_length(const _Atomic(uint8_t) *at, uint32_t byte)
{
    uint32_t length = byte & ~MAP_FREED;
    if (hfi_likely(length <= MAP_SHORT))
        return length;
    /* relaxed: written by who laid the block, which the caller has been handed */
    return 1 + ((hfi_load_relaxed(&at[1]) & 15u) << 8 | (hfi_load_relaxed(&at[2]) & 15u) << 4 |
                (hfi_load_relaxed(&at[3]) & 15u));
}

/* By the holder.  Relaxed: whoever is handed the block sees it by that. */
HFI_INLINE void hfi_map_put(_Atomic(uint8_t) *at, uint32_t length, uint32_t freed)
{
    if (hfi_likely(length <= MAP_SHORT)) {
        hfi_store_relaxed(&at[0], (uint8_t)(length | freed));
        return;
    }
    hfi_store_relaxed(&at[0], (uint8_t)(MAP_LONG | freed));
    hfi_store_relaxed(&at[1], (uint8_t)(MAP_PART | (length - 1) >> 8));
    hfi_store_relaxed(&at[2], (uint8_t)(MAP_PART | ((length - 1) >> 4 & 15)));
    hfi_store_relaxed(&at[3], (uint8_t)(MAP_PART | ((length - 1) & 15)));
}

HFI_INLINE void hfi_map_clear(_Atomic(uint8_t) *at)
{
    for (unsigned i = (hfi_load_relaxed(&at[0]) & ~MAP_FREED) == MAP_LONG ? 4 : 1; i != 0; i--)
        hfi_store_relaxed(&at[i - 1], 0);
}

HFI_INLINE void hfi_map_wipe(_Atomic(uint8_t) *first, size_t granules)
{
    memset((void *)first, 0, granules); /* nobody else reads or writes them (PC2) */
}

#endif
