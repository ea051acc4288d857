/*
 * zone: see zone.h; doc/protocols.md, section 14.
 *
 * Z1: a page of a zone with memory has its bit in xfree, or is a run's that was claimed there.
 * Z2: the thread whose CAS would set all bits takes the memory off instead, and gives it back.
 * Z3: what a zone has that nobody has is counted among the pages of heaps, as pieces that are free.
 *
 * A bit of xpartial may lead nowhere, or to a page that is no zone's by now: who claims a piece there
 * sees by its descriptor (pieces.c).
 *
 * Tests: tests/programs/nodump.c.
 */
#include "heap/zone.h"

#include "arena/pagemap.h"
#include "base/bits.h"
#include "base/check.h"
#include "heap/harden.h"
#include "heap/piece.h"
#include "heap/stack.h"
#include "kernel/os.h"

#define FREE_ALL ((uint64_t)UINT32_MAX)
#define FREE_HAS_MEMORY ((uint64_t)1 << 32)
#define FREE_TAG ((uint64_t)1 << 33)

#define LOOKS_MAX 32u /* zones that one claim looks at */

_Static_assert(sizeof(struct zone) == HFI_CACHE_LINE, "the stack counts in cache lines");

HFI_TLS int hfi_zone_error;

/* By index of the node. */
static _Atomic(struct zone *) xall[HFI_MAX_NODES];
static _Atomic(struct zone *) xhint[HFI_MAX_NODES]; /* where something became free last */
static struct stack put_up[HFI_MAX_NODES];

_Static_assert(offsetof(struct zone, xnext) == 0, "link_at of the stacks");

static void put_off(struct arena_node *node, struct zone *zone)
{
    hfi_stack_push(&put_up[node->index], zone);
}

static void link_all(struct arena_node *node, struct zone *zone)
{
    struct zone *first = hfi_load_relaxed(&xall[node->index]);
    do {
        zone->next_all = first;
        /* release: pairs with zone_first */
    } while (!hfi_cas_weak_acq_rel(&xall[node->index], &first, zone));
}

static struct zone *zone_first(const struct arena_node *node)
{
    return hfi_load_acquire(&xall[node->index]); /* pairs with link_all */
}

struct zone *hfi_zone_begin(const struct arena_node *node, bool exact)
{
    struct zone *hint = exact ? NULL : hfi_load_acquire(&xhint[node->index]); /* pairs with hint_at */
    return hint != NULL ? hint : zone_first(node);
}

/* Something is free there. */
static void hint_at(const struct arena_node *node, struct zone *zone)
{
    if (hfi_load_relaxed(&xhint[node->index]) != zone)
        hfi_store_release(&xhint[node->index], zone); /* release: with what the list leads to */
}

/* One for the caller, the others of its page are put up. */
static struct zone *zone_new(struct arena_node *node)
{
    struct zone *zone = hfi_stack_pop(&put_up[node->index]);
    if (zone != NULL)
        return zone;
    char *memory = hfi_arena_claim_meta(node);
    if (memory == NULL)
        return NULL;
    hfi_guard_place(hfi_page_at(hfi_index_of(memory)));
    zone = (struct zone *)memory;
    size_t count = (HFI_PAGE_BYTES - HFI_GUARD_BYTES) / sizeof *zone;
    for (size_t i = 0; i < count; i++)
        link_all(node, &zone[i]);
    for (size_t i = count - 1; i != 0; i--) /* so that those in use follow each other in the list */
        put_off(node, &zone[i]);
    return zone;
}

/* --- what the arena and its readers see --- */

static void count_spare(struct arena_node *node, size_t pages, bool more)
{
    size_t delta = more ? pages : (size_t)0 - pages;
    hfi_fetch_add_relaxed(&node->xheap_pages, delta); /* relaxed: figures */
    hfi_fetch_add_relaxed(&node->xheap_free, delta * HFI_PIECES);
}

static void show_spare(struct page *first, size_t pages)
{
    for (size_t i = 0; i < pages; i++)
        hfi_pagemap_show(&first[i], HF_PAGE_ENTRY(HF_PAGE_LARGE, HF_PAGE_OF_HEAPS, 0, 1));
}

/* --- pages --- */

struct zone *hfi_zone_make(struct page *first, size_t pages)
{
    struct arena_node *node = hfi_node_of_page(first);
    size_t all = hfi_zone_pages(pages), spare = all - pages;
    struct zone *zone = zone_new(node);
    hfi_assert(hfi_page_index(first) % HFI_ZONE_PAGES == 0 && first->run_pages == all);
    hfi_zone_error = zone == NULL ? 0 : hfi_os_dump(hfi_page_start(first), all * HFI_PAGE_BYTES, false);
    if (zone == NULL || hfi_zone_error != 0) {
        if (zone != NULL)
            put_off(node, zone);
        hfi_arena_release(first, all);
        return NULL;
    }
    first->run_pages = (uint32_t)pages;
    zone->pages = all;
    count_spare(node, spare, true);
    show_spare(first + pages, spare);
    uint64_t tag = hfi_load_relaxed(&zone->xfree) & ~(FREE_TAG - 1);
    uint64_t free_bits = all == HFI_ZONE_PAGES ? FREE_ALL << pages & FREE_ALL : 0;
    hfi_store_relaxed(&zone->xpartial, 0);
    hfi_store_relaxed(&zone->xfirst, first);
    hint_at(node, zone);
    /* release: pairs with claim_in */
    hfi_store_release(&zone->xfree, tag + FREE_TAG + FREE_HAS_MEMORY + free_bits);
    return zone;
}

/* First of `pages` neighbouring bits that are set, at a multiple of `align`; HFI_ZONE_PAGES: none. */
static size_t find_pages(uint64_t bits, size_t pages, size_t align)
{
    uint64_t wanted = ((uint64_t)1 << pages) - 1;
    for (size_t first = 0; first + pages <= HFI_ZONE_PAGES; first += align)
        if ((bits >> first & wanted) == wanted)
            return first;
    return HFI_ZONE_PAGES;
}

static struct page *claim_in(struct arena_node *node, struct zone *zone, size_t pages, size_t align)
{
    /* acquire: pairs with hfi_zone_make, and with hfi_zone_give, whose thread is done with the pages */
    uint64_t word = hfi_load_acquire(&zone->xfree), mask;
    size_t first;
    do {
        first = word & FREE_HAS_MEMORY ? find_pages(word & FREE_ALL, pages, align) : HFI_ZONE_PAGES;
        if (first == HFI_ZONE_PAGES)
            return NULL;
        mask = (((uint64_t)1 << pages) - 1) << first;
    } while (!hfi_cas_weak_acq_rel(&zone->xfree, &word, (word & ~mask) + FREE_TAG));
    count_spare(node, pages, false);
    struct page *page = hfi_load_relaxed(&zone->xfirst) + first;
    page->node = (uint8_t)node->index;
    page->run_pages = (uint32_t)pages;
    return page;
}

struct page *hfi_zone_claim(struct arena_node *node, size_t pages, size_t align_bytes, bool exact,
                            struct zone **zone)
{
    size_t align = align_bytes / HFI_PAGE_BYTES, looks = exact ? SIZE_MAX : LOOKS_MAX;
    if (pages > HFI_ZONE_PAGES || align > HFI_ZONE_PAGES)
        return NULL;
    struct page *page = NULL;
    for (struct zone *next = hfi_zone_begin(node, exact); page == NULL && next != NULL && looks-- != 0;
         next = next->next_all) {
        *zone = next;
        page = claim_in(node, next, pages, align);
    }
    return page;
}

/* Z2.  The mark of memory that the kernel does not put back stays: then it is missing from core files. */
static void zone_end(struct arena_node *node, struct zone *zone, size_t pages)
{
    struct page *first = hfi_load_relaxed(&zone->xfirst);
    hfi_os_dump(hfi_page_start(first), pages * HFI_PAGE_BYTES, true);
    for (size_t i = 0; i < pages; i++)
        hfi_pagemap_show(&first[i], HF_PAGE_FREE);
    hfi_arena_release(first, pages);
    put_off(node, zone);
}

void hfi_zone_give(struct zone *zone, struct page *page, size_t pages)
{
    struct arena_node *node = hfi_node_of_page(page);
    struct page *first = hfi_load_relaxed(&zone->xfirst);
    size_t all = zone->pages;
    uint64_t word = hfi_load_relaxed(&zone->xfree), next;
    uint64_t mask = all == HFI_ZONE_PAGES ? (((uint64_t)1 << pages) - 1) << (page - first) : FREE_ALL;
    show_spare(page, pages);
    count_spare(node, pages, true);
    do {
        hfi_assert((word & FREE_HAS_MEMORY) && (word & mask) == 0); /* Z1 */
        next = (word | mask) + FREE_TAG;
        if ((next & FREE_ALL) == FREE_ALL)
            next &= ~(FREE_ALL | FREE_HAS_MEMORY);
        /* release: pairs with claim_in */
    } while (!hfi_cas_weak_acq_rel(&zone->xfree, &word, next));
    if (next & FREE_HAS_MEMORY) {
        hint_at(node, zone);
        return;
    }
    count_spare(node, all, false);
    zone_end(node, zone, all);
}

/* --- hints --- */

void hfi_zone_add(const struct arena_node *node, struct zone *zone, const struct page *page)
{
    size_t at = (size_t)(page - hfi_load_relaxed(&zone->xfirst));
    if (at < HFI_ZONE_PAGES) /* the zone may have other memory by now */
        hfi_fetch_or_acq_rel(&zone->xpartial, (uint64_t)1 << at);
    hint_at(node, zone);
}

struct page *hfi_zone_take(struct zone **at, size_t *looks)
{
    struct zone *zone = *at;
    for (; zone != NULL && *looks != 0; zone = zone->next_all, --*looks) {
        uint64_t bits = hfi_load_relaxed(&zone->xpartial); /* relaxed: hints */
        if (bits == 0)
            continue;
        uint64_t bit = bits & ~(bits - 1);
        hfi_fetch_and_acq_rel(&zone->xpartial, ~bit);
        *at = zone;
        return hfi_load_relaxed(&zone->xfirst) + hfi_lowest_bit(bit);
    }
    return NULL;
}

void hfi_zones_forked(void)
{
    for (unsigned i = 0; i < hfi_arena.node_count; i++) {
        struct arena_node *node = &hfi_arena.nodes[i];
        hfi_stack_empty(&put_up[i]);
        hfi_store_relaxed(&xhint[i], NULL);
        for (struct zone *zone = zone_first(node); zone != NULL; zone = zone->next_all) {
            uint64_t word = hfi_load_relaxed(&zone->xfree);
            if (word & FREE_HAS_MEMORY)
                count_spare(node, (size_t)__builtin_popcountll(word & FREE_ALL), false);
            hfi_store_relaxed(&zone->xfree, word & ~(FREE_ALL | FREE_HAS_MEMORY));
            hfi_store_relaxed(&zone->xpartial, 0);
            put_off(node, zone);
        }
    }
}

void hfi_zones_forsake(void)
{
    for (unsigned i = 0; i < HFI_MAX_NODES; i++) {
        hfi_store_relaxed(&xall[i], NULL);
        hfi_store_relaxed(&xhint[i], NULL);
        hfi_stack_empty(&put_up[i]);
    }
}

const char *hfi_zones_audit(const struct arena_node *node)
{
    for (const struct zone *zone = zone_first(node); zone != NULL; zone = zone->next_all) {
        uint64_t word = hfi_load_relaxed(&zone->xfree);
        if (!(word & FREE_HAS_MEMORY))
            continue;
        if ((word & FREE_ALL) == FREE_ALL)
            return "Z2: a zone that nobody has a page of was not given back";
        const struct page *first = hfi_load_relaxed(&zone->xfirst);
        for (size_t i = 0; i < HFI_ZONE_PAGES && zone->pages == HFI_ZONE_PAGES; i++)
            if ((word >> i & 1) &&
                hfi_load_relaxed(hfi_owner_at(hfi_page_index(first) + i)) != HFI_OWNER_NONE)
                return "Z1: a page of a zone is free, and has an owner";
    }
    return NULL;
}
