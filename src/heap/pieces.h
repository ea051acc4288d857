/*
 * pieces: the parts of the arena that heaps of the program have: claimed, and given back.
 *
 * Lock-free.  Memory comes from arena.h.
 */
#ifndef HFI_PIECES_H
#define HFI_PIECES_H

#include "heap/piece.h"

/* What a call has done that its heap is to know: it gave a piece back, or left one that is of use. */
struct given {
    struct heap *heap; /* NULL: nothing */
    uint32_t units;    /* of the piece that was given back; 0: none was, but one is parked */
    uint32_t place;    /* of that one */
};

#define HFI_NOTHING_GIVEN ((struct given){ .heap = NULL })

/* Claims a piece with room for a block of `bytes`, of a page of `node` that has free ones.  NULL
 * when none of the few that are looked at has.  It is held. */
struct piece *hfi_pieces_claim(struct arena_node *node, size_t bytes, struct heap *heap, uint64_t id);

/* The same of pages of the reserve: for those who may. */
struct piece *hfi_pieces_claim_reserve(struct arena_node *node, size_t bytes, struct heap *heap, uint64_t id);

/* The same of pages of zones, for heaps whose memory is out of core files.  `exact`: of all zones, else of
 * a few. */
struct piece *hfi_pieces_claim_zone(struct arena_node *node, size_t bytes, struct heap *heap, uint64_t id,
                                    bool exact);

/* Makes a page that this thread has just claimed one of pieces, and claims the first.  NULL, and the
 * page is the caller's still, when no memory is left to know about it.  `zone`: that it is of, or NULL. */
struct piece *hfi_pieces_attach(struct page *page, struct zone *zone, size_t bytes, struct heap *heap,
                                uint64_t id);

/* Makes a run that this thread has just claimed one block of a heap; likewise. */
struct piece *hfi_pieces_attach_run(struct page *run, struct zone *zone, struct heap *heap, uint64_t id);

/* By the thread that made it none, and no other. */
struct given hfi_piece_give_back(struct piece *piece);

/* In a forked child: descriptors that were put up are lost, and a page of its parent's stays as it
 * is. */
void hfi_pieces_forked(void);
void hfi_pieces_inherit(struct page *page);

HFI_INLINE bool hfi_pieces_is_inherited(const struct page *page)
{
    return (hfi_load_relaxed(&page->xpieces) & HFI_PIECES_INHERITED) != 0;
}

/* NULL, or the broken invariant of a page of pieces; only while no other thread is in a call. */
const char *hfi_pieces_audit(const struct page *page);

#endif
