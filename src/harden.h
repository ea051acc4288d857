/*
 * harden: what --enable-secure adds, as inline functions that vanish without it.
 *
 * Links: stored xor'ed with the page's key and checked when followed, so that
 * a stray write into a freed block is found before it is handed out.
 * Live bits: one bit per 16 bytes of arena, set where a live block starts;
 * free of anything else (interior pointer, any double free) is found at once.
 */
#ifndef HFI_HARDEN_H
#define HFI_HARDEN_H

#include "base.h"
#include "pagetable.h"

#ifdef HFI_ENABLE_SECURE
#define HFI_SECURE 1
#else
#define HFI_SECURE 0
#endif

/* Secret and live bits.  0, or -1 when their memory was refused.  Called once by init. */
int hfi_harden_init(void);

/* A link that leads out of its page: message HF-E308, abort. */
_Noreturn void hfi_harden_bad_link(const struct page *page, const void *block);

/* Marks `block` live or dead; a change that is none is a misuse: message, abort. */
void hfi_harden_mark_live(void *block);
void hfi_harden_mark_dead(void *block);

/* Fresh key for a page's links. */
uint64_t hfi_harden_key(const struct page *page);

/* Order in which a page's blocks are linked: a permutation of [0, count). */
size_t hfi_harden_shuffle(const struct page *page, size_t i, size_t count);

HFI_INLINE bool hfi_block_in_page(const struct page *page, const void *block)
{
    return (size_t)((const char *)block - hfi_page_start(page)) < (size_t)page->run_pages << HFI_PAGE_SHIFT;
}

HFI_INLINE struct block *hfi_link_get(const struct page *page, const struct block *block)
{
    if (!HFI_SECURE)
        return block->next;
    uintptr_t next = (uintptr_t)block->next ^ page->link_key ^ (uintptr_t)block;
    if (hfi_unlikely(next != 0 && !hfi_block_in_page(page, (void *)next)))
        hfi_harden_bad_link(page, block);
    return (struct block *)next;
}

HFI_INLINE void hfi_link_set(const struct page *page, struct block *block, struct block *next)
{
    if (!HFI_SECURE)
        block->next = next;
    else
        block->next = (struct block *)((uintptr_t)next ^ page->link_key ^ (uintptr_t)block);
}

HFI_INLINE void hfi_live(void *block)
{
    if (HFI_SECURE)
        hfi_harden_mark_live(block);
}

HFI_INLINE void hfi_dead(void *block)
{
    if (HFI_SECURE)
        hfi_harden_mark_dead(block);
}

#endif
