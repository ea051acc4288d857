/*
 * remote: freeing a block of a page that this thread does not own.
 *
 * Any thread, lock-free: one CAS, repeated only if another free or an owner's
 * swap came between.  Never waits for anybody.
 */
#ifndef HFI_REMOTE_H
#define HFI_REMOTE_H

#include "base/base.h"

struct block;
struct page;
struct theap;

/* Frees `block` of `page` (a head entry), which another thread owns, or none.  `theap`: this
 * thread's, which takes the page in if it was its own and is unowned; NULL when it has none (any
 * more). */
void hfi_remote_free(struct theap *theap, struct page *page, struct block *block);

/* Frees `count` blocks of `page`, linked from `first` to `last`, in one step. */
void hfi_remote_return(struct page *page, struct block *first, struct block *last, uint32_t count);

/* A block was freed that is free already: message HF-E304, abort. */
_Noreturn void hfi_remote_die_freed_twice(const struct page *page, const void *block);

#endif
