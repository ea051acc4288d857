/*
 * request: what malloc is asked for when this thread's own pages do not have it, and from where
 * (where.c) if that is not what malloc.c would take.
 */
#ifndef HFI_REQUEST_H
#define HFI_REQUEST_H

#include "arena/arena.h"
#include "heap/aside.h"
#include "heap/large.h"
#include "heap/theap.h"

struct request {
    size_t bytes;
    size_t align_bytes;      /* over HFI_PAGE_BYTES: whole pages, whatever the size */
    struct arena_node *only; /* on this node and no other */
    bool zero;
    bool dispensable;  /* the caller can do without */
    bool to_set_aside; /* for a claim (aside.h): what is set aside already does not serve it */
};

HFI_INLINE bool hfi_request_is_large(const struct request *request)
{
    return request->bytes > HFI_BLOCK_MAX_BYTES || request->align_bytes > HFI_PAGE_BYTES;
}

/* Of the shortest run that would do. */
HFI_INLINE size_t hfi_request_pages(const struct request *request)
{
    return hfi_request_is_large(request)
             ? hfi_large_pages(request->bytes)
             : hfi_sizeclass_least_pages(&hfi_sizeclasses[hfi_sizeclass_of(request->bytes)]);
}

/* No arena is too small for a block of a class. */
HFI_INLINE bool hfi_request_is_impossible(const struct request *request)
{
    return hfi_request_is_large(request) &&
           (request->bytes > PTRDIFF_MAX || request->bytes > HFI_ARENA_MAX_BYTES ||
            hfi_max(hfi_request_pages(request), request->align_bytes >> HFI_PAGE_SHIFT) >
                hfi_arena.page_count);
}

/* Whether the thread's current page of a class, and not what stands in for it, lies on `node`. */
HFI_INLINE bool hfi_request_has_page_on(const struct theap *theap, unsigned class,
                                        const struct arena_node *node)
{
    const struct page *current = hfi_theap_current(theap, class);
    return current != NULL && hfi_node_of_page(current) == node;
}

/* NULL when the arena is full, which is not reported here. */
void *hfi_take(struct theap *theap, const struct request *request);

/* Whether the thread has set a block aside that would do; and that block, or NULL. */
bool hfi_where_has_aside(const struct request *request);
void *hfi_where_take_aside(const struct request *request);

/* A block of the heap that the thread uses. */
void *hfi_malloc_used(size_t align, size_t bytes, bool zero);

#endif
