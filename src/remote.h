/*
 * remote: freeing a block of a page that this thread does not own.
 *
 * Any thread, lock-free: one CAS, repeated only if another free or an owner's
 * swap came between.  Never waits for anybody.
 */
#ifndef HFI_REMOTE_H
#define HFI_REMOTE_H

#include "theap.h"

/* `theap`: this thread's, NULL when it has none (any more).  Frees `block` of `page` (a head entry), which some other thread or nobody owns. */
void hfi_remote_free(struct theap *theap, struct page *page, void *block);

#endif
