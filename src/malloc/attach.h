/*
 * attach: pages that become a heap's, and where those come from that are to be out of core files.
 *
 * Any thread, outside of its theap.
 */
#ifndef HFI_ATTACH_H
#define HFI_ATTACH_H

#include "heap/heap.h"

struct zone;

/* No memory was left for Holdfast's own structures: whether the ladder has found a page that is
 * free now. */
bool hfi_attach_find_meta(void);

/* Makes a page, or a run, that this thread has claimed, the heap's, and claims a piece with room for
 * `bytes`.  `zone`: that it is of, or NULL.  NULL, and it is given back, when no memory is left to
 * know about it. */
struct piece *hfi_attach(struct heap *heap, uint64_t id, struct page *page, struct zone *zone, size_t bytes,
                         bool is_run);

/* Whether its memory is out of core files. */
HFI_INLINE bool hfi_attach_is_hidden(const struct heap *heap)
{
    return (heap->flags & HF_HEAP_NODUMP) != 0;
}

/* A piece of such a heap, or a run, from wherever there is one; or a piece from `home`, without much
 * of a search.  NULL; hfi_zone_error tells whether the kernel has refused. */
struct piece *hfi_attach_hidden(struct heap *heap, uint64_t id, struct arena_node *home, size_t align,
                                size_t bytes, bool is_run);
struct piece *hfi_attach_hidden_at_home(struct heap *heap, uint64_t id, struct arena_node *home,
                                        size_t bytes);

/* Says that the kernel has refused; NULL and ENOMEM. */
HFI_COLD void *hfi_attach_fail(const struct heap *heap);

#endif
