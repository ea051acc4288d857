/*
 * attach: see attach.h; doc/protocols.md, section 14.
 *
 * Tests: tests/programs/heaps.c, tests/programs/nodump.c.
 */
#include "malloc/attach.h"

#include "base/say.h"
#include "heap/large.h"
#include "heap/zone.h"
#include "kernel/os.h"
#include "malloc/slow.h"

bool hfi_attach_find_meta(void)
{
    struct page *page = hfi_malloc_run(HFI_PAGE_BYTES, 1, HFI_PAGE_BYTES, NULL, false);
    if (page != NULL)
        hfi_arena_release(page, 1);
    return page != NULL;
}

/* Makes a page, or a run, the heap's.  `zone`: that it is of, or NULL. */
struct piece *hfi_attach(struct heap *heap, uint64_t id, struct page *page, struct zone *zone, size_t bytes,
                         bool is_run)
{
    for (bool again = false;; again = true) {
        struct piece *piece = is_run ? hfi_pieces_attach_run(page, zone, heap, id)
                                     : hfi_pieces_attach(page, zone, bytes, heap, id);
        if (piece != NULL)
            return piece;
        if (again || !hfi_attach_find_meta())
            break;
    }
    if (zone != NULL)
        hfi_zone_give(zone, page, page->run_pages);
    else
        hfi_arena_release(page, page->run_pages);
    return NULL;
}

/* --- pieces that are out of core files --- */

static bool may_use(const struct heap *heap, const struct arena_node *home, const struct arena_node *node)
{
    return node == home || (heap->flags & HF_HEAP_INTERLEAVE) ||
           (heap->only == NULL && hfi_options.remote_allow);
}

/* A run in a new zone, of the node's free pages, or where `home` is NULL as the ladder finds them. */
static struct page *run_of_new_zone(struct heap *heap, struct arena_node *home, size_t pages, size_t align,
                                    struct zone **zone)
{
    size_t all = hfi_zone_pages(pages), zone_align = hfi_max(align, HFI_ZONE_BYTES);
    bool zero;
    struct page *first = home != NULL
                           ? hfi_arena_claim(home, all, zone_align, CLAIM_LOW, &zero)
                           : hfi_malloc_run(all * HFI_PAGE_BYTES, all, zone_align, heap->only, false);
    *zone = first == NULL ? NULL : hfi_zone_make(first, pages);
    return *zone == NULL ? NULL : first;
}

struct piece *hfi_attach_hidden_at_home(struct heap *heap, uint64_t id, struct arena_node *home, size_t bytes)
{
    struct zone *zone = NULL;
    struct piece *piece = hfi_pieces_claim_zone(home, bytes, heap, id, false);
    if (piece != NULL)
        return piece;
    struct page *page = hfi_zone_claim(home, 1, HFI_PAGE_BYTES, false, &zone);
    if (page == NULL)
        page = run_of_new_zone(heap, home, 1, HFI_PAGE_BYTES, &zone);
    return page == NULL ? NULL : hfi_attach(heap, id, page, zone, bytes, false);
}

/* Where no zone can be had any more, what the zones that are there have left. */
struct piece *hfi_attach_hidden(struct heap *heap, uint64_t id, struct arena_node *home, size_t align,
                                size_t bytes, bool is_run)
{
    struct zone *zone = NULL;
    size_t pages = is_run ? hfi_large_pages(bytes) : 1;
    struct piece *piece = is_run ? NULL : hfi_attach_hidden_at_home(heap, id, home, bytes);
    if (piece != NULL)
        return piece;
    struct page *page = is_run ? hfi_zone_claim(home, pages, align, false, &zone) : NULL;
    if (page == NULL && is_run)
        page = run_of_new_zone(heap, home, pages, align, &zone);
    if (page == NULL)
        page = run_of_new_zone(heap, NULL, pages, align, &zone);
    for (unsigned i = 0; page == NULL && i < hfi_arena.node_count; i++) {
        struct arena_node *node = &hfi_arena.nodes[i];
        if (!may_use(heap, home, node))
            continue;
        if (!is_run && (piece = hfi_pieces_claim_zone(node, bytes, heap, id, true)) != NULL)
            return piece;
        page = hfi_zone_claim(node, pages, align, true, &zone);
    }
    return page == NULL ? NULL : hfi_attach(heap, id, page, zone, bytes, is_run);
}

/* The kernel refuses what the heap asks for. */
void *hfi_attach_fail(const struct heap *heap)
{
    static _Atomic(bool) xsaid;
    if (hfi_first_time(&xsaid))
        hfi_say(SAY_ERROR, "HF-E043", "heap",
                "heap \"%s\" (%llu) gets no memory, as the kernel refuses to keep it out of core files (%s); "
                "raise vm.max_map_count, allow madvise, or make the heap without HF_HEAP_NODUMP",
                heap->name, (unsigned long long)hfi_load_relaxed(&heap->xid),
                hfi_os_error_name(hfi_zone_error));
    return hfi_fail_enomem();
}
