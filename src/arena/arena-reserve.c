/*
 * arena-reserve: the pages of each node that HOLDFAST_RESERVE keeps for those who must go on.
 *
 * They are the first of the node behind its meta pages, and have maps of their own.
 *
 * A7: no bit of a page of the reserve is ever set in a map that others claim from: free_runs, ample,
 *     scant and pieces.  No run lies half in it.
 *
 * Concurrency: that of the maps (runmap.c, idleset.c).  Nothing is counted besides, so that no race
 * lets anybody slip by.
 *
 * Tests: tests/programs/reserve.c, tests/unit/level.c.
 */
#include "arena/arena.h"

#include "base/options.h"
#include "base/say.h"

#define MOST_SHARE 2u /* of a node */

static size_t pages_asked(const struct arena_node *node)
{
    if (hfi_options.reserve_percent != 0)
        return hfi_divide_up(node->page_count * hfi_options.reserve_percent, 100);
    return hfi_divide_up(hfi_options.reserve_bytes, HFI_PAGE_BYTES);
}

size_t hfi_reserve_plan(const struct arena_node *node, size_t meta_pages, bool growing)
{
    size_t asked = pages_asked(node),
           most = (node->page_count - hfi_min(meta_pages, node->page_count)) / MOST_SHARE;
    char size[16], got[16];
    if (asked == 0)
        return 0;
    if (growing) {
        hfi_say(
            SAY_WARNING, "HF-W237", "arena",
            "node %u: there is no reserve, as an arena that grows has no end to keep it from; name a size in "
            "HOLDFAST_ARENA, or unset HOLDFAST_RESERVE",
            node->id);
        return 0;
    }
    if (asked > most)
        hfi_say(
            SAY_WARNING, "HF-W238", "arena",
            "node %u: the reserve is %s of the %s that HOLDFAST_RESERVE asks for, which is over half of the "
            "node; lower it, or raise HOLDFAST_ARENA",
            node->id, hfi_format_bytes(got, sizeof got, most * HFI_PAGE_BYTES),
            hfi_format_bytes(size, sizeof size, asked * HFI_PAGE_BYTES));
    return hfi_min(asked, most);
}

static size_t memory_bytes(size_t reserve_count)
{
    return hfi_divide_up(reserve_count, HFI_RESERVE_ENTRIES) * HFI_PAGE_BYTES;
}

size_t hfi_reserve_maps_bytes(size_t page_count, size_t reserve_count)
{
    return memory_bytes(reserve_count) + hfi_align_up(hfi_runmap_bytes(page_count), HFI_CACHE_LINE) +
           (HFI_CLASS_COUNT + 1) * hfi_idleset_bytes(page_count);
}

void hfi_reserve_init_maps(struct arena_node *node, char *memory)
{
    node->reserve_memory = memory;
    memory += memory_bytes(node->reserve_count);
    hfi_runmap_init(&node->reserve_runs, node->page_count, memory);
    memory += hfi_align_up(hfi_runmap_bytes(node->page_count), HFI_CACHE_LINE);
    for (unsigned i = 0; i <= HFI_CLASS_COUNT; i++) {
        hfi_idleset_init(i < HFI_CLASS_COUNT ? &node->reserve_idle[i] : &node->reserve_pieces,
                         node->page_count, memory);
        memory += hfi_idleset_bytes(node->page_count);
    }
}

void hfi_arena_set_free(struct arena_node *node, size_t first, size_t pages)
{
    size_t end = first + pages, reserve_end = node->reserve_first + node->reserve_count;
    size_t begins = hfi_min(hfi_max(node->reserve_first, first), end);
    size_t ends = hfi_min(hfi_max(reserve_end, begins), end);
    if (hfi_likely(ends == begins)) {
        hfi_runmap_release(&node->free_runs, first, pages);
        return;
    }
    hfi_runmap_release(&node->reserve_runs, begins, ends - begins);
    if (begins != first)
        hfi_runmap_release(&node->free_runs, first, begins - first);
    if (ends != end)
        hfi_runmap_release(&node->free_runs, ends, end - ends);
    if (hfi_arena_reserve_used(node) == 0)
        hfi_store_relaxed(&node->xreserve_used, false); /* relaxed: for messages */
}

struct page *hfi_arena_claim_reserve(struct arena_node *node, size_t pages, size_t align_bytes, bool *zero)
{
    if (pages > node->reserve_count)
        return NULL;
    size_t first =
        hfi_runmap_claim_exact(&node->reserve_runs, pages, align_bytes >> HFI_PAGE_SHIFT, node->first_index);
    return first == HFI_RUNMAP_NONE ? NULL : hfi_arena_hand_out(node, first, pages, zero);
}

bool hfi_arena_reserve_begun(struct arena_node *node)
{
    bool used = false;
    if (!hfi_cas_relaxed(&node->xreserve_used, &used, true)) /* relaxed: for messages */
        return false;
    hfi_fetch_add_relaxed(&node->xreserve_uses, 1);
    return true;
}

size_t hfi_arena_reserve_used(const struct arena_node *node)
{
    /* relaxed: a count that others change meanwhile */
    return node->reserve_count -
           hfi_min(node->reserve_count, hfi_load_relaxed(&node->reserve_runs.xset_count));
}

const char *hfi_reserve_audit(const struct arena_node *node)
{
    if (node->reserve_count == 0)
        return NULL;
    const char *broken = hfi_runmap_audit(&node->reserve_runs);
    for (size_t i = 0; i < node->page_count && broken == NULL; i++) {
        const struct runmap *other = hfi_arena_is_reserve(node, i) ? &node->free_runs : &node->reserve_runs;
        if (hfi_load_relaxed(&other->xwords[i / 64]) >> (i % 64) & 1)
            broken = "A7: a page is free in the map of others";
    }
    return broken;
}
