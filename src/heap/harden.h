/*
 * harden: what --enable-secure adds, as inline functions that vanish without it.
 *
 * Links are stored xor'ed with the page's key and checked when followed.  So a stray write into a
 * freed block is found before it is handed out.  Live bits are one bit per 16 bytes of arena, set
 * where a live block starts.  A free of anything else (interior pointer, any double free) is found
 * at once.  The blocks of a page are linked in random order, batch by batch.  Guards are the last
 * HFI_GUARD_BYTES of every run, which belong to no block.  They are inaccessible, or have a pattern
 * that is verified when the run is given back or resized.
 */
#ifndef HFI_HARDEN_H
#define HFI_HARDEN_H

#include "arena/pagetable.h"

/* Secrets, live bits, and the guards behind the nodes' own maps.  0, or -1 when memory was
 * refused.  Called once by init. */
int hfi_harden_init(void);

/* A link that leads out of its page: message HF-E308, abort. */
_Noreturn void hfi_harden_bad_link(const struct page *page, const void *block);

/* Marks `block` live or dead; a change that is none is a misuse: message, abort. */
void hfi_harden_mark_live(void *block);
void hfi_harden_mark_dead(void *block);

/* What is no live block ends the process: `call` names the call it was passed to. */
void hfi_harden_expect_live(const void *block, const char *call);

/* Fresh key for a page's links. */
uint64_t hfi_harden_key(const struct page *page);

/* Order in which a page's next `count` (up to HFI_EXTEND_BLOCKS_MAX) blocks are linked: a
 * permutation of [0, count). */
void hfi_harden_shuffle(const struct page *page, uint8_t *order, size_t count);

/* See hfi_guard_place, hfi_guard_lift, hfi_guard_release. */
void hfi_harden_guard_place(struct page *head);
bool hfi_harden_guard_lift(struct page *head);
uint32_t hfi_harden_guard_release(struct page *head);

HFI_INLINE bool hfi_block_in_page(const struct page *page, const void *block)
{
    size_t room = ((size_t)page->run_pages << HFI_PAGE_SHIFT) - HFI_GUARD_BYTES;
    return (size_t)((const char *)block - hfi_page_start(page)) < room;
}

/* Whether `next` is none (0), or an address at which a block of the page begins. */
HFI_INLINE bool hfi_is_link(const struct page *page, uintptr_t next)
{
    return next == 0 || (hfi_block_in_page(page, (void *)next) &&
                         (uint32_t)(next - (uintptr_t)hfi_page_start(page)) % page->block_bytes == 0);
}

HFI_INLINE struct block *hfi_link_get(const struct page *page, const struct block *block)
{
    if (!HFI_SECURE)
        return block->next;
    uintptr_t next = (uintptr_t)block->next ^ page->link_key ^ (uintptr_t)block;
    if (hfi_unlikely(!hfi_is_link(page, next)))
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

HFI_INLINE void hfi_expect_live(const void *block, const char *call)
{
    if (HFI_SECURE)
        hfi_harden_expect_live(block, call);
}

/* Whether guards behind a node's runs may be inaccessible: where the kernel protects 4 KiB alone.
 * Elsewhere they are patterns. */
bool hfi_guards_may_fault(unsigned node);

/* Puts the guard at the end of a run just claimed or resized: run_pages, node, and for a run of
 * blocks reserved and block_bytes are set.  Who claimed the run only. */
HFI_INLINE void hfi_guard_place(struct page *head)
{
    if (HFI_SECURE)
        hfi_harden_guard_place(head);
}

/* Verifies the guard (message HF-E310 and abort when it was overwritten) and makes its bytes
 * ordinary memory.  False, and the guard stands, when the kernel refuses. */
HFI_INLINE bool hfi_guard_lift(struct page *head)
{
    return !HFI_SECURE || hfi_harden_guard_lift(head);
}

/* Lifts the guard of a run that is given back; returns the number of its pages that can be. */
HFI_INLINE uint32_t hfi_guard_release(struct page *head)
{
    return HFI_SECURE ? hfi_harden_guard_release(head) : head->run_pages;
}

#endif
