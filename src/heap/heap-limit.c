/*
 * heap-limit: see heap-limit.h; doc/protocols.md, section 14.
 *
 * HL1: of the threads that take a heap over its soft limit, until it was under it, one makes the
 *      callback due, and one calls it.  The two may differ: a thread inside a callback calls none.
 *
 * Tests: tests/programs/soft-limit.c.
 */
#include "heap/heap-limit.h"

#include <errno.h>

#include "base/callback.h"
#include "heap/piece.h"

#define AGAIN_SHARE 8u /* of the soft limit: so far under it the heap is under it */

void hfi_heap_set_soft(struct heap *heap, uint32_t units, hf_heap_soft_function *callback, void *context)
{
    if (units == HFI_LIMIT_NONE)
        return;
    heap->soft.over = units;
    heap->soft.again = units - hfi_max(units / AGAIN_SHARE, 1);
    heap->soft_callback = callback;
    heap->soft_context = context;
    hfi_slots_show_soft(heap->slot, units);
}

void hfi_heap_note_taken(struct heap *heap, uint64_t word, uint32_t units)
{
    uint32_t use = hfi_limit_use(word), most = hfi_load_relaxed(&heap->xmost);
    while (most < use && !hfi_cas_weak_relaxed(&heap->xmost, &most, use))
        ;
    hfi_heap_show(heap, units);
}

void hfi_heap_give_back(struct heap *heap, uint32_t units)
{
    hfi_limit_give(&heap->xlimit, units);
    hfi_heap_show(heap, 0);
}

static void note_crossed(struct heap *heap)
{
    hfi_slots_show_crossed(heap->slot, hfi_fetch_add_relaxed(&heap->xcrossings, 1) + 1);
    if (heap->soft_callback != NULL)
        hfi_store_relaxed(&heap->xsoft_due, true); /* relaxed: what it stands for is const */
}

bool hfi_heap_take(struct heap *heap, uint32_t units, uint64_t *word)
{
    enum limit_taken taken = hfi_limit_take(&heap->xlimit, units, &heap->soft, word);
    if (taken == LIMIT_CROSSED)
        note_crossed(heap);
    return taken != LIMIT_FAILED;
}

bool hfi_heap_take_failed(struct heap *heap, uint32_t units)
{
    if (heap->soft_callback == NULL || units > hfi_limit_of(hfi_load_relaxed(&heap->xlimit)) ||
        !hfi_limit_cross(&heap->xlimit))
        return false;
    note_crossed(heap);
    return !hfi_callback_is_under_way();
}

bool hfi_heap_soft_tell(struct heap *heap, const void *handle)
{
    int cancel;
    if (!hfi_callback_begin(&cancel))
        return false;
    bool is_due = hfi_exchange_relaxed(&heap->xsoft_due, false);
    int saved_errno = errno;
    size_t held = hfi_limit_use(hfi_load_relaxed(&heap->xlimit)) * HFI_PIECE_BYTES;
    if (is_due) /* the heap stays: this thread is in a call on it */
        heap->soft_callback((struct hf_heap *)(uintptr_t)handle, held, heap->soft_context);
    hfi_callback_end(cancel);
    errno = saved_errno;
    return is_due;
}
