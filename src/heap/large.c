/*
 * large: see large.h.
 *
 * L1: only the head's entry describes the run.  Entries inside it stay as free pages left them
 *     (owner HFI_OWNER_NONE), so that claiming a gigabyte writes one entry.
 * L2: HFI_OWNER_LARGE in owners[] of the head is set by its claimer (release) and cleared by the
 *     one CAS that frees it (acquire).
 *
 * Test: tests/unit/large.c.
 */
#include "heap/large.h"

#include "arena/arena.h"
#include "base/say.h"
#include "heap/harden.h"
#include "arena/pagemap.h"
#include "arena/xfree.h"
#include "base/check.h"

/* After the node's count of pages in large runs was changed. */
static void show(const struct page *head)
{
    hfi_arena_show(hfi_node_of_page(head));
    hfi_pagemap_show(head, HF_PAGE_ENTRY(HF_PAGE_LARGE, 0, 0, head->run_pages));
}

void *hfi_large_dress(struct page *head)
{
    hfi_assert(head->run_pages != 0 && !hfi_xfree_is_unowned(head));
    hfi_assert(hfi_load_relaxed(hfi_owner_at(hfi_page_index(head))) == HFI_OWNER_NONE);
    head->size_class = HFI_CLASS_LARGE;
    head->block_bytes = 0;
    hfi_guard_place(head);
    hfi_fetch_add_relaxed(&hfi_node_of_page(head)->xlarge_pages, head->run_pages);
    show(head);
    hfi_store_release(hfi_owner_at(hfi_page_index(head)), (uintptr_t)HFI_OWNER_LARGE);
    void *block = hfi_page_start(head);
    hfi_live(block);
    return block;
}

void hfi_large_free(struct page *head, void *pointer)
{
    uintptr_t large = HFI_OWNER_LARGE;
    uint32_t pages = head->run_pages;
    if (hfi_unlikely(pointer != hfi_page_start(head)))
        hfi_die("HF-E303", "free",
                "%p points into a block of %zu bytes, not at its start; free what malloc returned", pointer,
                hfi_large_bytes(head));
    hfi_dead(pointer);
    if (hfi_unlikely(!hfi_cas_acq_rel(hfi_owner_at(hfi_page_index(head)), &large, (uintptr_t)HFI_OWNER_NONE)))
        hfi_die("HF-E304", "free",
                "block %p of %zu bytes was freed twice at the same time by two threads; "
                "run the program under the secure build to see where",
                pointer, (size_t)pages << HFI_PAGE_SHIFT);
    hfi_fetch_sub_relaxed(&hfi_node_of_page(head)->xlarge_pages, pages);
    hfi_pagemap_show(head, HF_PAGE_FREE);
    hfi_arena_release(head, hfi_guard_release(head));
}

static void large_shrink(struct page *head, size_t pages)
{
    struct arena_node *node = hfi_node_of_page(head);
    size_t now = head->run_pages;
    hfi_assert(pages != 0 && pages < now);
    head->run_pages = (uint32_t)pages;
    hfi_guard_place(head);
    hfi_fetch_sub_relaxed(&node->xlarge_pages, now - pages);
    /* The tail's entries never were of this run (L1) except for the node they belong to. */
    head[pages].node = head->node;
    show(head);
    hfi_pagemap_show(&head[pages], HF_PAGE_FREE);
    hfi_arena_release(&head[pages], now - pages);
}

/* Whether a run of so many pages there would lie across two windows, though it fits one. */
static bool straddles(const struct page *head, size_t pages)
{
    size_t first = (size_t)(hfi_page_start(head) - hfi_base) & (HFI_WINDOW_BYTES - 1);
    return pages <= HFI_WINDOW_PAGES && first + pages * HFI_PAGE_BYTES > HFI_WINDOW_BYTES;
}

static bool large_grow(struct page *head, size_t pages)
{
    struct arena_node *node = hfi_node_of_page(head);
    size_t now = head->run_pages;
    bool zero;
    if (!hfi_arena_claim_at(node, &head[now], pages - now, &zero))
        return false;
    if (!hfi_guard_lift(head)) {
        head[now].node = head->node;
        hfi_arena_release(&head[now], pages - now);
        return false;
    }
    head->run_pages = (uint32_t)pages;
    hfi_guard_place(head);
    hfi_fetch_add_relaxed(&node->xlarge_pages, pages - now);
    show(head);
    return true;
}

bool hfi_large_resize(struct page *head, size_t bytes, bool anyhow)
{
    size_t pages = hfi_large_pages(bytes);
    if (!anyhow && straddles(head, pages))
        return false;
    if (pages > head->run_pages)
        return large_grow(head, pages);
    if (pages < head->run_pages) {
        if (!hfi_guard_lift(head))
            return false;
        large_shrink(head, pages);
    }
    return true;
}
