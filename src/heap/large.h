/*
 * large: blocks of whole pages, one run each.
 *
 * For requests over HFI_BLOCK_MAX_BYTES and alignments over a page.  Any thread may free or resize
 * a large block that it has.  A free clears owners[] of its head by CAS, which makes a second free
 * of it a message instead of damage.
 */
#ifndef HFI_LARGE_H
#define HFI_LARGE_H

#include "base/base.h"
#include "arena/pagetable.h"

/* Dresses a run just claimed as one block; returns the block. */
void *hfi_large_dress(struct page *head);

/* Frees the large block of `head`.  `pointer` must be its start: message HF-E303 and abort if
 * not. */
void hfi_large_free(struct page *head, void *pointer);

/* Makes a large block hold `bytes` (at least 1) where it is: gives back its tail, or claims the
 * pages behind it.  False when those are not free, its guard cannot be moved, or a block of up to a
 * window would lie across two of them: that only shrinking may lead to, where the block has to stay
 * (`anyhow`). */
bool hfi_large_resize(struct page *head, size_t bytes, bool anyhow);

/* Bytes of a large block. */
HFI_INLINE size_t hfi_large_bytes(const struct page *head)
{
    return ((size_t)head->run_pages << HFI_PAGE_SHIFT) - HFI_GUARD_BYTES;
}

/* Pages that a block of `bytes` takes. */
HFI_INLINE size_t hfi_large_pages(size_t bytes)
{
    return hfi_max(hfi_divide_up(bytes + HFI_GUARD_BYTES, HFI_PAGE_BYTES), 1);
}

#endif
