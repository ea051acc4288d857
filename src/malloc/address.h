/*
 * address: from an address that should be a live block to the page it lies in.
 *
 * Any thread; constant work.  What is no block of this allocator ends the process with a message;
 * `call` is the function's name for it.
 */
#ifndef HFI_ADDRESS_H
#define HFI_ADDRESS_H

#include "arena/pagetable.h"
#include "arena/sizeclass.h"
#include "heap/large.h"
#include "base/say.h"

/* What an address is, when it should be a live block. */
struct found {
    struct page *page; /* head */
    uintptr_t owner;
};

/* Ends the process: no live block is here.  `owner` is what the page table says of it. */
HFI_COLD _Noreturn void hfi_address_die(const void *pointer, const char *call, uintptr_t owner);

/* From the page that an address lies in to the head of its run. */
HFI_INLINE struct found hfi_address_head(struct found found, const void *pointer, const char *call)
{
    if (hfi_unlikely(found.owner == HFI_OWNER_INTERIOR)) {
        found.page -= found.page->head_delta;
        found.owner = hfi_load_relaxed(hfi_owner_at(hfi_page_index(found.page)));
    }
    if (hfi_unlikely(found.owner < HFI_OWNER_LARGE))
        hfi_address_die(pointer, call, found.owner);
    return found;
}

HFI_INLINE struct found hfi_address_find(const void *pointer, const char *call)
{
    if (hfi_unlikely(!hfi_in_arena(pointer)))
        hfi_address_die(pointer, call, HFI_OWNER_NONE);
    size_t index = hfi_index_of(pointer);
    struct found found = { hfi_page_at(index), hfi_load_relaxed(hfi_owner_at(index)) };
    return hfi_address_head(found, pointer, call);
}

/* Whether one of a run's `blocks` blocks of `class` starts `offset` bytes into it. */
HFI_INLINE bool hfi_address_is_start(const struct sizeclass *class, uint32_t blocks, uint32_t offset)
{
    uint32_t block = hfi_sizeclass_block(class, offset);
    return block * class->block_bytes == offset && block < blocks;
}

HFI_INLINE void hfi_address_check_start(const struct page *page, const void *pointer, const char *call)
{
    uint32_t offset = (uint32_t)((const char *)pointer - hfi_page_start(page));
    if (hfi_unlikely(!hfi_address_is_start(&hfi_sizeclasses[page->size_class], page->reserved, offset)))
        hfi_die("HF-E303", call,
                "%p points into a block of %u bytes, not at its start; pass what malloc returned", pointer,
                page->block_bytes);
}

/* As check_start, for whatever block it is. */
HFI_INLINE void hfi_address_expect_start(const struct found *found, const void *pointer, const char *call)
{
    if (found->owner != HFI_OWNER_LARGE)
        hfi_address_check_start(found->page, pointer, call);
    else if (hfi_unlikely(pointer != hfi_page_start(found->page)))
        hfi_die("HF-E303", call,
                "%p points into a block of %zu bytes, not at its start; pass what malloc returned", pointer,
                hfi_large_bytes(found->page));
}

#endif
