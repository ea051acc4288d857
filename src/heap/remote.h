/*
 * remote: freeing a block of a page that this thread does not own.
 *
 * Any thread, lock-free: one CAS, repeated only if another free or an owner's
 * swap came between.  Never waits for anybody.
 */
#ifndef HFI_REMOTE_H
#define HFI_REMOTE_H

#include "arena/xfree.h"
#include "heap/harden.h"

struct theap;

/* Frees blocks of a page that a theap owns: there is nothing to decide.  False: none does, or the block
 * is freed twice, and nothing was done.  The word's low half is the count alone then. */
HFI_INLINE bool hfi_remote_push(struct page *page, struct block *first, struct block *last, uint32_t count)
{
    char *start = hfi_page_start(page);
    uint64_t list = hfi_xfree_list(page, first, count);
    /* relaxed: the CAS decides, and of an owned page nothing else is read */
    uint64_t word = hfi_load_relaxed(&page->xfree);
    do {
        uint64_t head = word >> XFREE_HEAD_SHIFT;
        if ((word & XFREE_UNOWNED) || head == list >> XFREE_HEAD_SHIFT)
            return false;
        hfi_link_set(page, last, head == 0 ? NULL : (struct block *)(start + ((head - 1) << 4)));
        /* release: publishes the links to page_take_remote */
    } while (!hfi_cas_weak_acq_rel(&page->xfree, &word, list + (uint32_t)word));
    return true;
}

/* Frees `block` of `page` (a head entry), which another thread owns, or none.  `theap`: this
 * thread's, which takes the page in if it was its own and is unowned; NULL when it has none (any
 * more). */
void hfi_remote_free(struct theap *theap, struct page *page, struct block *block);

/* Frees `count` blocks of `page`, linked from `first` to `last`, in one step. */
void hfi_remote_return(struct page *page, struct block *first, struct block *last, uint32_t count);

/* A block was freed that is free already: message HF-E304, abort. */
_Noreturn void hfi_remote_die_freed_twice(const struct page *page, const void *block);

#endif
