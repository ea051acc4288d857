/*
 * slow: what malloc, free and realloc do when the fast path ends: malloc.c, where.c, free.c, realloc.c.
 *
 * Any thread; no function here waits for another.  Only this layer and those
 * above it touch errno: ENOMEM on failure, and free keeps it.
 */
#ifndef HFI_SLOW_H
#define HFI_SLOW_H

#include "base/base.h"

struct arena_node;
struct page;
struct theap;

/* How often this thread is inside hf_reserve_enter. */
extern HFI_HIDDEN HFI_TLS unsigned hfi_reserve_depth;

/* malloc of any size; `zero` for calloc.  NULL and ENOMEM on failure. */
void *hfi_malloc_slow(size_t bytes, bool zero);

/* malloc from the default heap, whatever heap the thread's plain malloc comes from (use.h). */
void *hfi_malloc_default(size_t align, size_t bytes);

/* The same of a block that the caller can do without: a full arena is nothing to report.  NULL, errno
 * as it was. */
void *hfi_malloc_dispensable(size_t bytes);

/* A block for a claim of the calling thread (aside.h), and the class that was asked for.  NULL, without a
 * report, where neither the ladder nor the application's callbacks have one. */
void *hfi_malloc_to_set_aside(size_t bytes, unsigned *class);

/* A block of `bytes` at a multiple of `align` (a power of two up to 1 GiB). */
void *hfi_aligned_alloc(size_t align, size_t bytes);

/* A block of `bytes` on `node` and no other; NULL and ENOMEM, without a report, when it is full. */
void *hfi_malloc_on_node(size_t bytes, struct arena_node *node);

/* A run of pages for the caller to dress, as malloc would get one for a block of whole pages: `bytes` is what
 * the program asked for.  NULL, errno as it was and without a report, when there is none.
 * `privileged`: the reserve will do. */
struct page *hfi_malloc_run(size_t bytes, size_t pages, size_t align_bytes, struct arena_node *only,
                            bool privileged);

/* The end of a call for which the arena is full: reports it, as malloc does.  NULL and ENOMEM. */
void *hfi_malloc_fail(size_t bytes, size_t pages, size_t align_bytes);

/* free of what is not in the arena: NULL, a boot block, or a misuse (message, abort). */
void hfi_free_outside(void *pointer);

/* free of any other address in the arena than a block of a page that this thread owns.  It may be a
 * block of another thread's page or of an unowned one, a large block, or a misuse (message, abort).
 * `index` is its page's, `base` the arena's, `theap` this thread's: what the caller has in registers.
 * It has stored xbusy, as by hfi_theap_enter; this leaves. */
void hfi_free_slow(void *pointer, size_t index, char *base, struct theap *theap);

/* free took the count of blocks of this thread's page to zero; as above, with xbusy set. */
void hfi_free_emptied(struct page *page);

/* Bytes usable in a live block; a misuse ends the process as in free. */
size_t hfi_usable_size(const void *pointer);

void *hfi_realloc_slow(void *pointer, size_t bytes);

/* Sets errno to ENOMEM and returns NULL: for requests no arena could serve. */
void *hfi_fail_enomem(void);

#endif
