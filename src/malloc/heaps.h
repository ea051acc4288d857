/*
 * heaps: blocks of heaps of the program: what hf_heap_malloc does when what the thread holds has no
 * room, and what free and realloc do with such blocks.
 *
 * Any thread; nothing here waits for another.
 */
#ifndef HFI_HEAPS_H
#define HFI_HEAPS_H

#include "heap/heap.h"
#include "heap/reuse.h"

/* A block of the heap that `handle` names, aligned to `align`, a power of two of at least 16.  NULL
 * and ENOMEM: at its limit, which is reported as such, or the arena is full.  `call` names the
 * program's call: what is no heap's handle ends the process. */
void *hfi_heaps_alloc(const void *handle, size_t align, size_t bytes, const char *call);

/* The same, 16-byte aligned: first of what this thread holds, where that is of this heap. */
HFI_INLINE void *hfi_heaps_malloc(const void *handle, size_t bytes, const char *call)
{
    struct hold *hold = &hfi_hold;
    if (hfi_likely(hold->handle == handle && hfi_load_relaxed(&hold->heap->xid) == hold->id)) {
        if (hold->reuses) {
            void *block = hfi_reuse_malloc(hold, bytes);
            if (hfi_likely(block != NULL))
                return block;
        } else if (hfi_likely(bytes - 1 < hfi_hold_room(hold))) { /* 0 bytes are too many */
            return hfi_hold_lay(hold, hfi_align_up(bytes, HFI_MAX_ALIGN));
        }
    }
    return hfi_heaps_alloc(handle, HFI_MAX_ALIGN, bytes, call);
}

/* What is no heap's handle ends the process. */
HFI_COLD _Noreturn void hfi_heaps_die(const void *handle, const char *call);

/* The heap of a handle other than the default one; what is none ends the process. */
struct heap *hfi_heaps_find(const void *handle, const char *call);

/* This thread's theap, without which it cannot hold a piece; NULL when no memory is left for one. */
struct theap *hfi_heaps_thread(void);

/* realloc and free of a block in a page, or run, of heaps.  When it moves, then into the heap of
 * `handle`; NULL: its own. */
void *hfi_heaps_realloc(const void *handle, struct page *page, void *pointer, size_t bytes);
void hfi_heaps_free(struct page *page, void *pointer);
size_t hfi_heaps_block_bytes(const struct page *page, const void *pointer, const char *call);

/* The handle of the heap that a block is of; NULL where the address is in no page that is handed
 * out. */
const void *hfi_heaps_of(const void *pointer);

/* The block is of a heap that has ended: it is dropped, and the first is told of. */
HFI_COLD void hfi_heaps_free_late(const struct page *page, const void *pointer);

/* Whether an address is in a free page that a heap had last: its block was freed late. */
HFI_READS_OTHERS static inline bool hfi_heaps_had_last(const struct page *page, uintptr_t owner)
{
    return owner == HFI_OWNER_NONE && page->size_class == HFI_CLASS_HEAP;
}

#endif
