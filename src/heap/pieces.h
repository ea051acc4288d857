/*
 * pieces: the parts of the arena that heaps of the program have, and the blocks in them.
 *
 * A piece is a part of a page, one to four quarters of it, or a run of whole pages that is one
 * block.  One thread at a time holds a piece, and lays blocks in it one behind the other.  Any
 * thread frees them. What is known of a page's pieces lies outside it, in a descriptor that is
 * never unmapped. doc/protocols.md, section 14, has the states of a piece and who may move between
 * them.
 *
 * Lock-free.  Memory comes from arena.h.  Nothing here knows what a heap is: it is a name.
 */
#ifndef HFI_PIECES_H
#define HFI_PIECES_H

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
    _Atomic(uint64_t) xword; /* atomic: state, pins, count, cursor, tag (pieces.c) */
    _Atomic(uint64_t) xid;   /* const: number of the heap, which never comes again */
    struct heap *heap;       /* const */
    uint32_t bytes;          /* const: that blocks may be laid in; 0: a run that is one block */
    uint32_t units;          /* const: what it counts for, in HFI_PIECE_BYTES */
};

/* What is known of a page of pieces, or of a run. */
struct pieces {
    _Atomic(uint64_t) xunits;            /* atomic: quarters that are free, whether a page is attached, tag */
    _Atomic(struct pieces *) xnext;      /* atomic: in the stack of those without a page */
    _Atomic(struct page *) xpage;        /* const while a page is attached */
    _Atomic(uint8_t) xfirst[HFI_PIECES]; /* const: first quarter of the piece that a quarter is of */
    HFI_CACHE_ALIGNED struct piece piece[HFI_PIECES]; /* by first quarter */
    _Atomic(uint64_t) xends[HFI_GRANULES / 64];       /* holder: a bit for the last granule of each block */
    _Atomic(uint64_t) xfreed[HFI_GRANULES / 64]; /* who pins or holds: for the first one of those freed */
};

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

/* A piece that this call has given back: what its heap is to be relieved of. */
struct given {
    struct heap *heap; /* NULL: none */
    uint32_t units;
};

/* Pieces that a page of pieces needs to have free for a block of so many bytes; of a run more. */
HFI_INLINE uint32_t hfi_piece_units(size_t bytes)
{
    if (bytes > HFI_PIECE_BLOCK_MAX)
        return (uint32_t)(hfi_divide_up(bytes + HFI_GUARD_BYTES, HFI_PAGE_BYTES) * HFI_PIECES);
    return (uint32_t)hfi_min(hfi_max(hfi_divide_up(bytes, HFI_PIECE_BYTES), 1), HFI_PIECES);
}

/* Claims a piece with room for a block of `bytes`, of a page of `node` that has free ones.  NULL
 * when none of the few that are looked at has.  It is held. */
struct piece *hfi_pieces_claim(struct arena_node *node, size_t bytes, struct heap *heap, uint64_t id);

/* Makes a page that this thread has just claimed one of pieces, and claims the first.  NULL, and the
 * page is the caller's still, when no memory is left to know about it. */
struct piece *hfi_pieces_attach(struct page *page, size_t bytes, struct heap *heap, uint64_t id);

/* Makes a run that this thread has just claimed one block of a heap; likewise. */
struct piece *hfi_pieces_attach_run(struct page *run, struct heap *heap, uint64_t id);

/* The descriptor of a piece, and where the piece starts. */
struct pieces *hfi_pieces_of(const struct piece *piece);
char *hfi_piece_start(const struct piece *piece);

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

enum freed { FREED, FREED_LATE, FREED_WRONG, FREED_TWICE };

/* Any thread: frees a block in a page of pieces, or a run.  FREED_LATE: its heap has ended.
 * FREED_WRONG: no block begins there. */
enum freed hfi_pieces_free(struct page *page, void *pointer, struct hold *hold, struct given *given);

/* Bytes of a live block; 0 where none begins. */
size_t hfi_pieces_block_bytes(const struct page *page, const void *pointer);

/* The piece of a live block. */
struct piece *hfi_pieces_find(const struct page *page, const void *pointer);

/* Bytes in blocks that are not freed; off by what other threads do meanwhile. */
size_t hfi_pieces_live_bytes(const struct page *page);

/* In a forked child: descriptors that were put up are lost, and a page of its parent's stays as it
 * is. */
void hfi_pieces_forked(void);
void hfi_pieces_inherit(struct page *page);

HFI_INLINE bool hfi_pieces_is_inherited(const struct page *page)
{
    return (hfi_load_relaxed(&page->xpieces) & 1) != 0;
}

/* NULL, or the broken invariant of a page of pieces; only while no other thread is in a call. */
const char *hfi_pieces_audit(const struct page *page);

#endif
