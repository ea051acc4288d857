/*
 * realloc: what realloc does when the block does not stay, and how large a block is (slow.h).
 *
 * W3: realloc fails only when malloc of what was asked for would.  It does not fail for the space
 *     it likes to add, and never when the block is made smaller.
 *
 * Tests: tests/unit/large.c, tests/unit/full.c, tests/programs/api.c.
 */
#include <string.h>

#include "malloc/address.h"
#include "malloc/alloc.h"
#include "kernel/boot.h"
#include "malloc/fork.h"
#include "malloc/freeze.h"
#include "malloc/heaps.h"
#include "heap/large.h"

size_t hfi_usable_size(const void *pointer)
{
    if (pointer == NULL)
        return 0;
    if (hfi_unlikely(hfi_boot_owns(pointer)))
        return hfi_boot_usable(pointer);
    struct found found = hfi_address_find(pointer, "malloc_usable_size");
    if (found.owner == HFI_OWNER_HEAP)
        return hfi_heaps_block_bytes(found.page, pointer, "malloc_usable_size");
    hfi_address_expect_start(&found, pointer, "malloc_usable_size");
    hfi_expect_live(pointer, "malloc_usable_size");
    return found.owner == HFI_OWNER_LARGE ? hfi_large_bytes(found.page) : found.page->block_bytes;
}

/* A block that grew once will grow again.  The largest class of at most a quarter more than asked
 * for (twice for small ones) saves every other copy of a text that is built piece by piece. */
static size_t grown_bytes(size_t bytes)
{
    size_t roomy = bytes <= 64 ? 2 * bytes : bytes + bytes / 4;
    if (roomy > HFI_BLOCK_MAX_BYTES)
        return bytes;
    unsigned class = hfi_sizeclass_of(roomy);
    size_t block_bytes = hfi_sizeclasses[class].block_bytes;
    if (block_bytes > roomy)
        block_bytes = class == 0 ? bytes : hfi_sizeclasses[class - 1].block_bytes;
    return hfi_max(block_bytes, bytes);
}

static void *realloc_by_copy(void *pointer, size_t has, size_t bytes)
{
    bool shrinks = bytes <= has;
    size_t wanted = shrinks ? bytes : grown_bytes(bytes);
    void *fresh = shrinks || wanted > bytes ? hfi_malloc_dispensable(wanted) : NULL;
    if (fresh == NULL && shrinks)
        return pointer;
    if (fresh == NULL)
        fresh = hfi_malloc_default(HFI_MAX_ALIGN, bytes);
    if (fresh == NULL)
        return NULL;
    memcpy(fresh, pointer, hfi_min(has, bytes));
    hfi_free(pointer);
    return fresh;
}

/* The block stays as it is, and is lost if it is too small. */
static HFI_COLD void *realloc_in_pending_fork(void *pointer, size_t bytes)
{
    size_t has = hfi_usable_size(pointer);
    if (bytes == 0 || bytes <= has)
        return bytes == 0 ? NULL : pointer;
    void *fresh = hfi_malloc(bytes);
    return fresh != NULL ? memcpy(fresh, pointer, has) : NULL;
}

/* Where it is; fresh pages behind it count as such. */
static bool resize_large(struct page *head, size_t bytes)
{
    size_t had = head->run_pages;
    if (!hfi_large_resize(head, bytes, false))
        return false;
    if (hfi_unlikely(hfi_freeze_is_on()) && head->run_pages > had)
        hfi_freeze_note(hfi_node_of_page(head), head->run_pages - had, bytes);
    return true;
}

void *hfi_realloc_slow(void *pointer, size_t bytes)
{
    if (pointer == NULL)
        return hfi_malloc(bytes);
    if (hfi_boot_owns(pointer))
        return bytes == 0 ? NULL : realloc_by_copy(pointer, hfi_boot_usable(pointer), bytes);
    if (hfi_unlikely(hfi_fork_is_pending())) {
        if (hfi_theap->thread == 0)
            return realloc_in_pending_fork(pointer, bytes);
        hfi_fork_take_over();
    }
    struct found found = hfi_address_find(pointer, "realloc");
    if (found.owner == HFI_OWNER_HEAP)
        return hfi_heaps_realloc(NULL, found.page, pointer, bytes);
    hfi_address_expect_start(&found, pointer, "realloc");
    if (bytes == 0) {
        hfi_free(pointer);
        return NULL;
    }
    if (found.owner != HFI_OWNER_LARGE) {
        size_t has = found.page->block_bytes;
        hfi_expect_live(pointer, "realloc");
        return hfi_block_stays(has, bytes) ? pointer : realloc_by_copy(pointer, has, bytes);
    }
    if (bytes > PTRDIFF_MAX)
        return hfi_fail_enomem();
    if (bytes > HFI_BLOCK_MAX_BYTES && resize_large(found.page, bytes))
        return pointer;
    void *fresh = realloc_by_copy(pointer, hfi_large_bytes(found.page), bytes);
    if (fresh == pointer)
        hfi_large_resize(found.page, bytes, true); /* no page to move to: it keeps its own */
    return fresh;
}
