/*
 * xfree: the word through which other threads reach a page.
 *
 *    63          32 31      16 15          2  1      0
 *   | head offset  |  count   |  remaining  | IDLE | UNOWNED |
 *
 * head offset: 1 + offset of the first block freed by others, in 16 bytes; 0 = none
 * count:       blocks in that list, so that taking it needs no walk
 * remaining:   while no theap owns the page: its blocks still handed out; the
 *              free that takes it to 0 claims the page
 * IDLE:        the page is unowned and has room: it is in an idle set
 * UNOWNED:     no theap owns the page; the thread that clears this bit owns it
 *
 * Zero means owned and no list, so that the zeroed page table of
 * a fresh arena has pages that no thread can claim by it (A2 in arena.c).
 * The protocol is in doc/protocols.md, its steps in remote.c and steal.c.
 */
#ifndef HFI_XFREE_H
#define HFI_XFREE_H

#include "arena/pagetable.h"

#define XFREE_UNOWNED ((uint64_t)1) /* bit 0: no theap owns the page */
#define XFREE_IDLE ((uint64_t)2)
#define XFREE_REMAINING_SHIFT 2
#define XFREE_REMAINING_MASK ((uint64_t)0x3fff)
#define XFREE_COUNT_SHIFT 16
#define XFREE_COUNT_MASK ((uint64_t)0xffff)
#define XFREE_HEAD_SHIFT 32
#define XFREE_EMPTY_OWNED ((uint64_t)0)

HFI_INLINE uint32_t hfi_xfree_count(uint64_t word)
{
    return (uint32_t)(word >> XFREE_COUNT_SHIFT & XFREE_COUNT_MASK);
}

HFI_INLINE uint32_t hfi_xfree_remaining(uint64_t word)
{
    return (uint32_t)(word >> XFREE_REMAINING_SHIFT & XFREE_REMAINING_MASK);
}

HFI_INLINE struct block *hfi_xfree_head(const struct page *page, uint64_t word)
{
    uint64_t head = word >> XFREE_HEAD_SHIFT;
    return head == 0 ? NULL : (struct block *)(hfi_page_start(page) + ((head - 1) << 4));
}

/* The list's part of a word: `block` in front of `count` blocks in all. */
HFI_INLINE uint64_t hfi_xfree_list(const struct page *page, const struct block *block, uint32_t count)
{
    uint64_t head = ((size_t)((const char *)block - hfi_page_start(page)) >> 4) + 1;
    return head << XFREE_HEAD_SHIFT | (uint64_t)count << XFREE_COUNT_SHIFT;
}

HFI_INLINE bool hfi_xfree_is_unowned(const struct page *page)
{
    return (hfi_load_relaxed(&page->xfree) & XFREE_UNOWNED) != 0;
}

#endif
