/*
 * piece-blocks: the blocks in pieces, as a free finds them.
 *
 * Lock-free; any thread.
 */
#ifndef HFI_PIECE_BLOCKS_H
#define HFI_PIECE_BLOCKS_H

#include "heap/hold.h"

enum freed { FREED, FREED_LATE, FREED_WRONG, FREED_TWICE };

/* Any thread: frees a block in a page of pieces, or a run.  FREED_LATE: its heap has ended.
 * FREED_WRONG: no block begins there. */
enum freed hfi_pieces_free(struct page *page, void *pointer, struct given *given);

/* The same of an address in what this thread holds, between hfi_held_begin and hfi_held_end. */
enum freed hfi_pieces_free_held(void *pointer, struct hold *hold);

/* Likewise, of a block of a region that lies right before the cursor: its room, and that of freed ones
 * before it, is there again. */
void hfi_pieces_free_newest(struct hold *hold, char *newest, uint32_t length);

/* Bytes of a live block; 0 where none begins. */
size_t hfi_pieces_block_bytes(const struct page *page, const void *pointer);

/* The piece of a live block. */
struct piece *hfi_pieces_find(const struct page *page, const void *pointer);

/* Bytes in blocks that are not freed; off by what other threads do meanwhile. */
size_t hfi_pieces_live_bytes(const struct page *page);

#endif
