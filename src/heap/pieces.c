/*
 * pieces: see pieces.h; doc/protocols.md, section 14.
 *
 * PC1: the thread whose CAS makes the state none, and no other, gives the piece back.
 * PC4: xunits of a descriptor with a page has a bit for each quarter that no piece has.  The thread
 *      whose CAS would set all of them takes the page off instead, and gives it back.
 * PC5: a page with free quarters is in its node's set, or a thread is about to add it.  A bit
 *      without such a page is a hint that leads nowhere.
 *
 * PC2 and PC3 are in piece-blocks.c.
 *
 * Fails by returning NULL.  Tests: tests/programs/heaps.c, tests/models/heap.pml.
 */
#include "heap/pieces.h"

#include "arena/pagemap.h"
#include "arena/xfree.h"
#include "base/bits.h"
#include "heap/harden.h"
#include "heap/page.h"
#include "heap/stack.h"
#include "heap/zone.h"

#define UNITS_ALL ((uint64_t)(1u << HFI_PIECES) - 1)
#define UNITS_ATTACHED ((uint64_t)1 << HFI_PIECES)
#define UNITS_TAG ((uint64_t)1 << 32)

#define CANDIDATES 8u  /* pages that a claim looks at */
#define ZONE_LOOKS 32u /* zones */

/* --- descriptors --- */

static struct stack put_up = { .link_at = offsetof(struct pieces, xnext) };

_Static_assert(sizeof(struct pieces) % HFI_CACHE_LINE == 0, "the stack counts in cache lines");

/* Of a page that it has no more. */
static void put_off(struct pieces *pieces, bool is_reserve)
{
    if (!is_reserve)
        hfi_stack_push(&put_up, pieces);
}

/* One for the caller, the others of its page are put up. */
static struct pieces *pieces_cut(struct arena_node *node)
{
    char *memory = hfi_arena_claim_meta(node);
    if (memory == NULL)
        return NULL;
    hfi_guard_place(hfi_page_at(hfi_index_of(memory)));
    size_t bytes = sizeof(struct pieces);
    for (size_t at = bytes; at + bytes <= HFI_PAGE_BYTES - HFI_GUARD_BYTES; at += bytes)
        hfi_stack_push(&put_up, memory + at);
    return (struct pieces *)memory;
}

/* A page of the reserve has its own. */
static struct pieces *pieces_of_reserve(const struct arena_node *node, size_t member)
{
    size_t number = member - node->reserve_first;
    return (struct pieces *)(node->reserve_memory + number / HFI_RESERVE_ENTRIES * HFI_PAGE_BYTES) +
           number % HFI_RESERVE_ENTRIES;
}

_Static_assert(HFI_RESERVE_ENTRIES * sizeof(struct pieces) <= HFI_PAGE_BYTES - HFI_GUARD_BYTES, "they fit");

static struct pieces *pieces_new(const struct page *page)
{
    struct arena_node *node = hfi_node_of_page(page);
    if (hfi_page_is_reserve(page))
        return pieces_of_reserve(node, hfi_node_member(node, page));
    struct pieces *pieces = hfi_stack_pop(&put_up);
    return pieces != NULL ? pieces : pieces_cut(node);
}

void hfi_pieces_forked(void)
{
    hfi_stack_empty(&put_up);
}

void hfi_pieces_inherit(struct page *page)
{
    hfi_fetch_or_acq_rel(&page->xpieces, HFI_PIECES_INHERITED);
}

/* --- pages --- */

static void page_begin(struct page *page, struct pieces *pieces, struct zone *zone)
{
    struct arena_node *node = hfi_node_of_page(page);
    hfi_assert(hfi_load_relaxed(hfi_owner_at(hfi_page_index(page))) == HFI_OWNER_NONE);
    page->size_class = HFI_CLASS_HEAP;
    page->block_bytes = 0;
    hfi_guard_place(page);
    hfi_store_relaxed(&pieces->xpage, page);
    pieces->zone = zone;
    hfi_store_release(&page->xpieces, (uintptr_t)pieces); /* pairs with hfi_pieces_of_page */
    hfi_fetch_add_relaxed(&node->xheap_pages, page->run_pages);
    hfi_pagemap_show(page, HF_PAGE_ENTRY(HF_PAGE_LARGE, HF_PAGE_OF_HEAPS, 0, page->run_pages));
}

/* The piece can be found from here on. */
static void page_own(struct page *page)
{
    hfi_order_stores(); /* a forked child that finds an owner finds what it owns */
    hfi_store_release(hfi_owner_at(hfi_page_index(page)), (uintptr_t)HFI_OWNER_HEAP);
    hfi_arena_show(hfi_node_of_page(page));
}

/* Of those with free pieces. */
static struct idleset *set_of(struct arena_node *node, const struct page *page)
{
    return hfi_arena_is_reserve(node, hfi_node_member(node, page)) ? &node->reserve_pieces : &node->pieces;
}

/* A page, or a run, that no piece is left of. */
static void page_give_back(struct page *page, struct zone *zone)
{
    struct arena_node *node = hfi_node_of_page(page);
    uint32_t run_pages = page->run_pages;
    hfi_idleset_remove(set_of(node, page), hfi_node_member(node, page));
    hfi_pagemap_show(page, HF_PAGE_FREE);
    uint32_t pages = hfi_guard_release(page);
    if (pages != 0) /* relaxed: the bits set by hfi_arena_release publish it */
        hfi_store_relaxed(hfi_owner_at(hfi_page_index(page)), (uintptr_t)HFI_OWNER_NONE);
    hfi_order_stores(); /* a forked child looks at no page that is on its way out */
    hfi_fetch_sub_relaxed(&node->xheap_pages, run_pages);
    if (zone == NULL)
        hfi_arena_release(page, pages);
    else if (pages != 0)
        hfi_zone_give(zone, page, pages);
}

/* PC5.  The page's entry is not looked at: it may be another claim's by now. */
static void page_add(struct arena_node *node, const struct page *page, struct zone *zone)
{
    if (zone != NULL)
        hfi_zone_add(node, zone, page);
    else
        hfi_idleset_add(set_of(node, page), hfi_node_member(node, page));
}

/* Bytes from quarter `first` on, of `units` quarters: the last of the page ends where its guard
 * begins. */
static size_t room_of(unsigned first, uint32_t units)
{
    size_t end = hfi_min((first + units) * HFI_PIECE_BYTES, HFI_PIECE_BLOCK_MAX);
    return end - first * HFI_PIECE_BYTES;
}

/* First of `units` neighbouring free quarters that have room for `bytes`; HFI_PIECES: none. */
static unsigned find_units(uint64_t word, uint32_t units, size_t bytes)
{
    uint64_t wanted = ((uint64_t)1 << units) - 1;
    for (unsigned first = 0; first + units <= HFI_PIECES; first++)
        if ((word >> first & wanted) == wanted && room_of(first, units) >= bytes)
            return first;
    return HFI_PIECES;
}

/* Takes quarters of whatever page the descriptor has now; HFI_PIECES when it has none that do. */
static unsigned take_units(struct pieces *pieces, uint32_t units, size_t bytes, bool *more)
{
    /* acquire: pairs with give_units, whose thread is done with the piece that had them */
    uint64_t word = hfi_load_acquire(&pieces->xunits), next;
    unsigned first;
    do {
        first = word & UNITS_ATTACHED ? find_units(word & UNITS_ALL, units, bytes) : HFI_PIECES;
        *more = (word & UNITS_ATTACHED) && (word & UNITS_ALL) != 0;
        if (first == HFI_PIECES)
            return first;
        next = (word & ~((((uint64_t)1 << units) - 1) << first)) + UNITS_TAG;
    } while (!hfi_cas_weak_acq_rel(&pieces->xunits, &word, next));
    *more = (next & UNITS_ALL) != 0;
    return first;
}

/* PC4 */
static void give_units(struct pieces *pieces, unsigned first, uint32_t units)
{
    struct page *page = hfi_load_relaxed(&pieces->xpage);
    struct arena_node *node = hfi_node_of_page(page);
    struct zone *zone = pieces->zone;
    bool is_reserve = hfi_page_is_reserve(page);
    uint64_t mask = (((uint64_t)1 << units) - 1) << first, next;
    uint64_t word = hfi_load_relaxed(&pieces->xunits);
    hfi_fetch_add_relaxed(&node->xheap_free, units);
    do {
        hfi_assert((word & UNITS_ATTACHED) && (word & mask) == 0);
        next = (word | mask) + UNITS_TAG;
        if ((next & UNITS_ALL) == UNITS_ALL)
            next &= ~(UNITS_ALL | UNITS_ATTACHED);
        /* release: pairs with take_units */
    } while (!hfi_cas_weak_acq_rel(&pieces->xunits, &word, next));
    if (!(next & UNITS_ATTACHED)) {
        hfi_fetch_sub_relaxed(&node->xheap_free, HFI_PIECES);
        page_give_back(page, zone);
        put_off(pieces, is_reserve);
    } else if ((word & UNITS_ALL) == 0) {
        page_add(node, page, zone);
    }
}

/* --- claims --- */

static struct piece *piece_begin(struct pieces *pieces, unsigned first, uint32_t units, struct heap *heap,
                                 uint64_t id)
{
    struct piece *piece = &pieces->piece[first];
    uint64_t tag = (hfi_load_relaxed(&piece->xword) >> PIECE_TAG_SHIFT) + 1;
    hfi_assert(hfi_piece_state(hfi_load_relaxed(&piece->xword)) == PIECE_NONE);
    hfi_map_wipe(&pieces->xmap[first * HFI_PIECE_BYTES / HFI_MAX_ALIGN],
                 units * HFI_PIECE_BYTES / HFI_MAX_ALIGN);
    for (unsigned i = 0; i < units; i++)
        hfi_store_relaxed(&pieces->xfirst[first + i], (uint8_t)first);
    piece->heap = heap;
    hfi_store_relaxed(&piece->xholder, NULL);
    piece->bytes = (uint32_t)room_of(first, units);
    piece->units = units;
    piece->cursor = 0;
    piece->longest = 0;
    memset(piece->lists, 0, sizeof piece->lists);
    hfi_store_relaxed(&piece->xopens_at, 0);
    hfi_store_relaxed(&piece->xhole, HFI_GRANULES);
    hfi_store_relaxed(&piece->xid, id);
    /* release: pairs with the CAS that pins */
    hfi_store_release(&piece->xword,
                      tag << PIECE_TAG_SHIFT | (uint64_t)PIECE_BIAS << PIECE_COUNT_SHIFT | PIECE_HELD);
    return piece;
}

/* From a page that a bit led to.  *again: it has others that are free. */
static struct piece *claim_in(struct arena_node *node, struct page *page, size_t bytes, struct heap *heap,
                              uint64_t id, bool *again, bool of_zone)
{
    uint32_t units = hfi_piece_units(bytes);
    struct pieces *pieces = hfi_pieces_of_page(page);
    *again = false;
    if (hfi_load_acquire(hfi_owner_at(hfi_page_index(page))) != HFI_OWNER_HEAP || pieces == NULL ||
        hfi_pieces_is_inherited(page))
        return NULL;
    unsigned first = take_units(pieces, units, bytes, again);
    if (first == HFI_PIECES)
        return NULL;
    /* The descriptor may have another page by now. */
    page = hfi_load_relaxed(&pieces->xpage);
    hfi_fetch_sub_relaxed(&hfi_node_of_page(page)->xheap_free, units);
    struct zone *zone = pieces->zone;
    if (hfi_node_of_page(page) != node || (zone != NULL) != of_zone) {
        *again = false; /* the bit is not of this page */
        give_units(pieces, first, units);
        return NULL;
    }
    if (*again)
        page_add(node, page, zone);
    *again = false;
    return piece_begin(pieces, first, units, heap, id);
}

static struct piece *claim_of(struct idleset *set, struct arena_node *node, size_t bytes, struct heap *heap,
                              uint64_t id)
{
    size_t passed[CANDIDATES], passed_count = 0;
    struct piece *piece = NULL;
    for (unsigned i = 0; i < CANDIDATES && piece == NULL; i++) {
        size_t member = hfi_idleset_take(set);
        bool again;
        if (member == HFI_IDLESET_NONE)
            break;
        piece = claim_in(node, hfi_page_at(node->first_index + member), bytes, heap, id, &again, false);
        if (again)
            passed[passed_count++] = member;
    }
    while (passed_count != 0)
        hfi_idleset_add(set, passed[--passed_count]);
    return piece;
}

struct piece *hfi_pieces_claim(struct arena_node *node, size_t bytes, struct heap *heap, uint64_t id)
{
    return claim_of(&node->pieces, node, bytes, heap, id);
}

struct piece *hfi_pieces_claim_reserve(struct arena_node *node, size_t bytes, struct heap *heap, uint64_t id)
{
    return node->reserve_count == 0 ? NULL : claim_of(&node->reserve_pieces, node, bytes, heap, id);
}

struct piece *hfi_pieces_claim_zone(struct arena_node *node, size_t bytes, struct heap *heap, uint64_t id,
                                    bool exact)
{
    struct piece *piece = NULL;
    struct page *page;
    struct zone *at = hfi_zone_begin(node, exact);
    size_t looks = exact ? SIZE_MAX : ZONE_LOOKS;
    struct {
        struct zone *zone;
        struct page *page;
    } passed[CANDIDATES];
    size_t passed_count = 0;
    while (piece == NULL && passed_count < CANDIDATES && (page = hfi_zone_take(&at, &looks)) != NULL) {
        bool again;
        piece = claim_in(node, page, bytes, heap, id, &again, true);
        if (again) {
            passed[passed_count].zone = at;
            passed[passed_count++].page = page;
        }
    }
    while (passed_count-- != 0)
        hfi_zone_add(node, passed[passed_count].zone, passed[passed_count].page);
    return piece;
}

struct piece *hfi_pieces_attach(struct page *page, struct zone *zone, size_t bytes, struct heap *heap,
                                uint64_t id)
{
    struct arena_node *node = hfi_node_of_page(page);
    uint32_t units = hfi_piece_units(bytes);
    struct pieces *pieces = pieces_new(page);
    if (pieces == NULL)
        return NULL;
    page_begin(page, pieces, zone);
    uint64_t rest = UNITS_ALL & ~(((uint64_t)1 << units) - 1);
    struct piece *piece = piece_begin(pieces, 0, units, heap, id);
    hfi_fetch_add_relaxed(&node->xheap_free, HFI_PIECES - units);
    page_own(page);
    /* release: pairs with take_units */
    hfi_store_release(&pieces->xunits, (hfi_load_relaxed(&pieces->xunits) & ~(UNITS_TAG - 1)) + UNITS_TAG +
                                           UNITS_ATTACHED + rest);
    if (rest != 0)
        page_add(node, page, zone);
    return piece;
}

struct piece *hfi_pieces_attach_run(struct page *run, struct zone *zone, struct heap *heap, uint64_t id)
{
    struct pieces *pieces = pieces_new(run);
    if (pieces == NULL)
        return NULL;
    page_begin(run, pieces, zone);
    struct piece *piece = &pieces->piece[0];
    uint64_t tag = (hfi_load_relaxed(&piece->xword) >> PIECE_TAG_SHIFT) + 1;
    for (unsigned i = 0; i < HFI_PIECES; i++)
        hfi_store_relaxed(&pieces->xfirst[i], 0);
    piece->heap = heap;
    piece->bytes = 0;
    piece->units = run->run_pages * HFI_PIECES;
    hfi_store_relaxed(&piece->xopens_at, 0); /* a late free, which frees nothing, does not park it */
    hfi_store_relaxed(&piece->xid, id);
    hfi_store_release(&piece->xword,
                      tag << PIECE_TAG_SHIFT | PIECE_ONE | PIECE_CLOSED); /* pairs with the CAS that pins */
    page_own(run);
    return piece;
}

/* PC1: by the thread that made it none. */
struct given hfi_piece_give_back(struct piece *piece)
{
    struct given given = { .heap = piece->heap, .units = piece->units };
    struct pieces *pieces = hfi_pieces_of(piece);
    if (piece->bytes != 0) {
        give_units(pieces, hfi_piece_quarter(piece), piece->units);
    } else {
        struct page *run = hfi_load_relaxed(&pieces->xpage);
        bool is_reserve = hfi_page_is_reserve(run);
        page_give_back(run, pieces->zone);
        put_off(pieces, is_reserve);
    }
    return given;
}

/* Its heap was a checked one, and has ended (HC1). */
static bool is_waiting(uint64_t word)
{
    return hfi_piece_state(word) == PIECE_ENDED && (word & PIECE_PINS_MASK) == PIECE_PIN;
}

const char *hfi_pieces_audit(const struct page *page)
{
    const struct pieces *pieces = hfi_pieces_of_page(page);
    if (pieces == NULL || hfi_load_relaxed(&pieces->xpage) != page)
        return "pieces: a page of a heap has no descriptor";
    uint64_t run = hfi_load_relaxed(&pieces->piece[0].xword);
    if (pieces->piece[0].bytes == 0 && (hfi_piece_state(run) == PIECE_CLOSED || is_waiting(run)))
        return NULL;
    uint64_t units = hfi_load_relaxed(&pieces->xunits);
    if (!(units & UNITS_ATTACHED) || (units & UNITS_ALL) == UNITS_ALL)
        return "PC4: a page without pieces was not given back";
    for (unsigned quarter = 0; quarter < HFI_PIECES; quarter++) {
        const struct piece *piece = &pieces->piece[hfi_load_relaxed(&pieces->xfirst[quarter]) % HFI_PIECES];
        if (units >> quarter & 1)
            continue;
        uint64_t word = hfi_load_relaxed(&piece->xword);
        if (hfi_piece_state(word) == PIECE_NONE || ((word & PIECE_PINS_MASK) != 0 && !is_waiting(word)))
            return "PC3: a piece that is out is none, or pinned";
    }
    return NULL;
}
