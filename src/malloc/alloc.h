/*
 * alloc: the way of a pointer, from malloc to free, when nothing is unusual.
 *
 *   malloc   this thread's page of the size -> first block of its free list
 *   free     page of the pointer -> owned by this thread? -> front of its local_free list
 *
 * No atomic read-modify-write, no branch but the three that lead to slow.h:
 * large or out of range, empty list, not ours.  Before a thread has a theap its direct table leads
 * to the empty front, whose lists are empty.  Before the arena stands hfi_span is 0, so that no
 * pointer is in it.  Neither needs a test here.
 *
 * Instantiated by api.c (hf_malloc ...) and override.c (malloc ...), so that
 * neither pays a call for the other.
 */
#ifndef HFI_ALLOC_H
#define HFI_ALLOC_H

#include <string.h>

#include "heap/harden.h"
#include "malloc/slow.h"
#include "heap/theap.h"

/* Takes the first block off a free list, which must not be empty.  The links that are encoded are
 * those of pages: the secure build has no magazines. */
HFI_INLINE void *hfi_front_pop(struct page_front *front, struct block *block)
{
    front->free = hfi_link_get(hfi_page_of_front(front), block);
    front->used++;
    hfi_live(block);
    return block;
}

/* Where blocks for a request are: by the direct table for small ones. */
HFI_INLINE struct page_front *hfi_front_for(size_t bytes)
{
    if (hfi_likely(bytes <= HFI_DIRECT_MAX_BYTES))
        return hfi_direct[(bytes + 15) / 16];
    if (bytes <= HFI_BLOCK_MAX_BYTES)
        return hfi_classes[hfi_sizeclass_of(bytes)].front;
    return &hfi_empty_front;
}

static HFI_NOINLINE void *hfi_malloc_medium(size_t bytes)
{
    struct page_front *front = hfi_front_for(bytes);
    struct block *block = front->free;
    if (hfi_unlikely(block == NULL))
        return hfi_malloc_slow(bytes, false);
    return hfi_front_pop(front, block);
}

HFI_INLINE void *hfi_malloc(size_t bytes)
{
    if (hfi_unlikely(bytes > HFI_DIRECT_MAX_BYTES))
        return hfi_malloc_medium(bytes);
    struct page_front *front = hfi_direct[(bytes + 15) / 16];
    struct block *block = front->free;
    HFI_IN_RETURN_REGISTER(block);
    if (hfi_unlikely(block == NULL))
        return hfi_malloc_slow(bytes, false);
    return hfi_front_pop(front, block);
}

HFI_INLINE void *hfi_calloc(size_t count, size_t each_bytes)
{
    size_t bytes;
    if (hfi_unlikely(__builtin_mul_overflow(count, each_bytes, &bytes)))
        return hfi_fail_enomem();
    struct page_front *front = hfi_front_for(bytes);
    struct block *block = front->free;
    if (hfi_unlikely(block == NULL))
        return hfi_malloc_slow(bytes, true);
    bool zero = front->free_zero;
    hfi_front_pop(front, block);
    if (zero)
        block->next = NULL; /* the link was all that was ever written here */
    else
        memset(block, 0, bytes);
    return block;
}

HFI_INLINE void hfi_free(void *pointer)
{
    char *base = hfi_base;
    size_t offset = (uintptr_t)pointer - (uintptr_t)base;
    if (hfi_unlikely(offset >= hfi_span))
        return hfi_free_outside(pointer);
    size_t index = offset >> HFI_PAGE_SHIFT;
    struct theap *theap = hfi_theap;
    /* Inside from here on, as by hfi_theap_enter; what a stealer changes first is owners[]. */
    hfi_store_relaxed(&theap->xbusy, 1);
    hfi_compiler_barrier();
    /* relaxed: equal only if this thread stored it, or a stealer that gave up (pagetable.h) */
    if (hfi_unlikely(!hfi_equals_relaxed(hfi_owner_from(base, index), (uintptr_t)theap)))
        return hfi_free_slow(pointer, index, base, theap);
    size_t at = index * sizeof(struct page);
    struct block *block = pointer;
    hfi_dead(block);
    struct page *page = hfi_page_by_offset(base, &at);
    hfi_link_set(page, block, page->front.local_free);
    hfi_page_by_offset(base, &at)->front.local_free = block;
    if (hfi_unlikely(hfi_decrement_to_zero(&hfi_page_by_offset(base, &at)->front.used)))
        return hfi_free_emptied(hfi_page_by_offset(base, &at));
    hfi_theap_leave(theap);
}

/* Whether realloc leaves a block of `has` bytes where it is: it is large enough, and another one
 * would save half of it at most.  Block sizes are multiples of 16, so what malloc would give is at
 * most 15 bytes more than asked for. */
HFI_INLINE bool hfi_block_stays(size_t has, size_t bytes)
{
    return bytes <= has && 2 * bytes + 15 >= has;
}

/* Same class, or a large run resized where it is: the block stays. */
HFI_INLINE void *hfi_realloc(void *pointer, size_t bytes)
{
    size_t offset = (uintptr_t)pointer - (uintptr_t)hfi_base;
    if (hfi_likely(offset < hfi_span && bytes != 0)) {
        size_t index = offset >> HFI_PAGE_SHIFT;
        size_t has = hfi_page_at(index)->block_bytes;
        bool own = hfi_load_relaxed(hfi_owner_at(index)) == (uintptr_t)hfi_theap;
        if (hfi_likely(own && hfi_block_stays(has, bytes))) {
            hfi_expect_live(pointer, "realloc");
            return pointer;
        }
    }
    return hfi_realloc_slow(pointer, bytes);
}

#endif
