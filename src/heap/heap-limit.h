/*
 * heap-limit: what a heap takes of its limit, and its soft limit, of which the program is told.
 *
 * Any thread, lock-free.
 */
#ifndef HFI_HEAP_LIMIT_H
#define HFI_HEAP_LIMIT_H

#include "heap/heap.h"

/* Of a heap that no other thread knows yet.  `callback` may be NULL: then crossings only count. */
void hfi_heap_set_soft(struct heap *heap, uint32_t units, hf_heap_soft_function *callback, void *context);

/* Counts a piece that is to be claimed; false when the heap would be over its limit.  *word: as it
 * is then, or was. */
bool hfi_heap_take(struct heap *heap, uint32_t units, uint64_t *word);

/* What it counted, `units` of `word`, was claimed; or could not be. */
void hfi_heap_note_taken(struct heap *heap, uint64_t word, uint32_t units);
void hfi_heap_give_back(struct heap *heap, uint32_t units);

/* A call that needs `units` is about to fail at the limit: whether the heap has a callback for that, which
 * was not called for this crossing. */
bool hfi_heap_take_failed(struct heap *heap, uint32_t units);

/* Calls the callback, where it is due: with nothing held.  True when it was called. */
HFI_COLD bool hfi_heap_soft_tell(struct heap *heap, const void *handle);

HFI_INLINE bool hfi_heap_soft_is_due(const struct heap *heap)
{
    return hfi_load_relaxed(&heap->xsoft_due); /* relaxed: the exchange decides */
}

#endif
