/*
 * pieces: see pieces.h; doc/protocols.md, section 14.
 *
 * The word of a piece:
 *
 *    63    44 43    31 30   17 16    3 2     0
 *   |  tag   | cursor | count |  pins | state |
 *
 * PC1: the thread whose CAS makes the state none, and no other, gives the piece back.
 * PC2: marks of freed blocks are made by a thread that has pinned the piece, or by its holder.
 * PC3: a piece with pins is not none: who lowers the last pin of one that is over makes it none.
 * PC4: xunits of a descriptor with a page has a bit for each quarter that no piece has.  The thread
 *      whose CAS would set all of them takes the page off instead, and gives it back.
 * PC5: a page with free quarters is in its node's set, or a thread is about to add it.  A bit
 *      without such a page is a hint that leads nowhere.
 *
 * Fails by returning NULL.  Tests: tests/programs/heaps.c, tests/programs/heap-misuse.c,
 * tests/models/heap.pml.
 */
#include "heap/pieces.h"

#include <string.h>

#include "arena/pagemap.h"
#include "arena/xfree.h"
#include "base/bits.h"
#include "heap/harden.h"

#define PINS_SHIFT 3
#define COUNT_SHIFT 17
#define CURSOR_SHIFT 31
#define TAG_SHIFT 44
#define STATE_MASK ((uint64_t)7)
#define PIN ((uint64_t)1 << PINS_SHIFT)
#define PINS_MASK ((uint64_t)0x3fff << PINS_SHIFT)
#define ONE ((uint64_t)1 << COUNT_SHIFT)
#define COUNT_MASK ((uint64_t)0x3fff << COUNT_SHIFT)
#define CURSOR_MASK ((uint64_t)0x1fff << CURSOR_SHIFT)
#define BIAS 8192u /* more than a piece has blocks; together less than 2^14 */

#define UNITS_ALL ((uint64_t)(1u << HFI_PIECES) - 1)
#define UNITS_ATTACHED ((uint64_t)1 << HFI_PIECES)
#define UNITS_TAG ((uint64_t)1 << 32)

#define INHERITED ((uintptr_t)1) /* in xpieces of a page */

#define CANDIDATES 8u               /* pages that a claim looks at */
#define RECLAIMED_MAX 16u           /* freed blocks before the newest that one free takes in */
#define LAID_MAX (HFI_GRANULES / 2) /* blocks that the word may lack when a free takes some in */

_Static_assert(LAID_MAX + HFI_GRANULES < BIAS && BIAS + HFI_GRANULES < 1u << 14,
               "counts fit, whoever frees first");

HFI_INLINE enum piece_state state_of(uint64_t word)
{
    return (enum piece_state)(word & STATE_MASK);
}

HFI_INLINE uint32_t count_of(uint64_t word)
{
    return (uint32_t)((word & COUNT_MASK) >> COUNT_SHIFT);
}

HFI_INLINE uint64_t with_state(uint64_t word, enum piece_state state)
{
    return (word & ~STATE_MASK) | state;
}

struct pieces *hfi_pieces_of(const struct piece *piece)
{
    /* Descriptors lie at multiples of their size in their page, behind its first bytes. */
    size_t offset = (uintptr_t)piece % HFI_PAGE_BYTES;
    return (struct pieces *)((uintptr_t)piece - offset % sizeof(struct pieces));
}

static unsigned quarter_of(const struct piece *piece)
{
    return (unsigned)(piece - hfi_pieces_of(piece)->piece);
}

char *hfi_piece_start(const struct piece *piece)
{
    const struct page *page = hfi_load_relaxed(&hfi_pieces_of(piece)->xpage);
    return hfi_page_start(page) + quarter_of(piece) * HFI_PIECE_BYTES;
}

/* --- descriptors --- */

/* Those without a page: a stack whose head has a tag against ABA, as of theaps (theaps.c). */
static _Atomic(uint64_t) xput_up;

#define STACK_TAG_SHIFT 36
#define STACK_OFFSET_MASK (((uint64_t)1 << STACK_TAG_SHIFT) - 1)

static uint64_t stack_word(const struct pieces *pieces, uint64_t old)
{
    uint64_t offset = pieces == NULL ? 0 : (uint64_t)((const char *)pieces - hfi_base) / HFI_CACHE_LINE;
    return ((old >> STACK_TAG_SHIFT) + 1) << STACK_TAG_SHIFT | offset;
}

static struct pieces *stack_top(uint64_t word)
{
    uint64_t offset = word & STACK_OFFSET_MASK;
    return offset == 0 ? NULL : (struct pieces *)(hfi_base + offset * HFI_CACHE_LINE);
}

static void put_up(struct pieces *pieces)
{
    uint64_t word = hfi_load_relaxed(&xput_up);
    do {
        hfi_store_relaxed(&pieces->xnext, stack_top(word));
        /* release: pairs with take_up's acquire */
    } while (!hfi_cas_weak_acq_rel(&xput_up, &word, stack_word(pieces, word)));
}

static struct pieces *take_up(void)
{
    uint64_t word = hfi_load_acquire(&xput_up);
    struct pieces *top;
    do {
        top = stack_top(word);
        if (top == NULL)
            return NULL;
    } while (!hfi_cas_weak_acq_rel(&xput_up, &word, stack_word(hfi_load_relaxed(&top->xnext), word)));
    return top;
}

_Static_assert(sizeof(struct pieces) % HFI_CACHE_LINE == 0, "the stack counts in cache lines");

/* One for the caller, the others of its page are put up. */
static struct pieces *pieces_cut(struct arena_node *node)
{
    char *memory = hfi_arena_claim_meta(node);
    if (memory == NULL)
        return NULL;
    hfi_guard_place(hfi_page_at(hfi_index_of(memory)));
    size_t bytes = sizeof(struct pieces);
    for (size_t at = bytes; at + bytes <= HFI_PAGE_BYTES - HFI_GUARD_BYTES; at += bytes)
        put_up((struct pieces *)(memory + at));
    return (struct pieces *)memory;
}

static struct pieces *pieces_new(struct arena_node *node)
{
    struct pieces *pieces = take_up();
    return pieces != NULL ? pieces : pieces_cut(node);
}

void hfi_pieces_forked(void)
{
    hfi_store_relaxed(&xput_up, stack_word(NULL, hfi_load_relaxed(&xput_up))); /* relaxed: one thread */
}

void hfi_pieces_inherit(struct page *page)
{
    hfi_fetch_or_acq_rel(&page->xpieces, INHERITED);
}

/* NULL: no heap ever had the page. */
HFI_INLINE struct pieces *pieces_of_page(const struct page *page)
{
    return (struct pieces *)(hfi_load_acquire(&page->xpieces) & ~INHERITED); /* pairs with page_begin */
}

/* --- pages --- */

static void page_begin(struct page *page, struct pieces *pieces)
{
    struct arena_node *node = hfi_node_of_page(page);
    hfi_assert(hfi_load_relaxed(hfi_owner_at(hfi_page_index(page))) == HFI_OWNER_NONE);
    page->size_class = HFI_CLASS_HEAP;
    page->block_bytes = 0;
    hfi_guard_place(page);
    hfi_store_relaxed(&pieces->xpage, page);
    hfi_store_release(&page->xpieces, (uintptr_t)pieces); /* pairs with pieces_of_page */
    hfi_fetch_add_relaxed(&node->xheap_pages, page->run_pages);
    hfi_pagemap_show(page, HF_PAGE_ENTRY(HF_PAGE_LARGE, 0, 0, page->run_pages));
}

/* The piece can be found from here on. */
static void page_own(struct page *page)
{
    hfi_order_stores(); /* a forked child that finds an owner finds what it owns */
    hfi_store_release(hfi_owner_at(hfi_page_index(page)), (uintptr_t)HFI_OWNER_HEAP);
    hfi_arena_show(hfi_node_of_page(page));
}

/* A page, or a run, that no piece is left of. */
static void page_give_back(struct page *page)
{
    struct arena_node *node = hfi_node_of_page(page);
    uint32_t run_pages = page->run_pages;
    hfi_idleset_remove(&node->pieces, hfi_node_member(node, page));
    hfi_pagemap_show(page, HF_PAGE_FREE);
    uint32_t pages = hfi_guard_release(page);
    if (pages != 0) /* relaxed: the bits set by hfi_arena_release publish it */
        hfi_store_relaxed(hfi_owner_at(hfi_page_index(page)), (uintptr_t)HFI_OWNER_NONE);
    hfi_order_stores(); /* a forked child looks at no page that is on its way out */
    hfi_fetch_sub_relaxed(&node->xheap_pages, run_pages);
    hfi_arena_release(page, pages);
}

/* PC5 */
static void page_add(struct page *page)
{
    struct arena_node *node = hfi_node_of_page(page);
    hfi_idleset_add(&node->pieces, hfi_node_member(node, page));
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
        page_give_back(page);
        put_up(pieces);
    } else if ((word & UNITS_ALL) == 0) {
        page_add(page);
    }
}

/* --- claims --- */

static void wipe_marks(struct pieces *pieces, unsigned first, uint32_t units)
{
    enum { WORDS = HFI_GRANULES / 64 / HFI_PIECES };
    /* relaxed: nobody else reads or writes them (PC2) */
    for (size_t i = first * WORDS; i < (first + units) * WORDS; i++) {
        hfi_store_relaxed(&pieces->xends[i], 0);
        hfi_store_relaxed(&pieces->xfreed[i], 0);
    }
}

static struct piece *piece_begin(struct pieces *pieces, unsigned first, uint32_t units, struct heap *heap,
                                 uint64_t id)
{
    struct piece *piece = &pieces->piece[first];
    uint64_t tag = (hfi_load_relaxed(&piece->xword) >> TAG_SHIFT) + 1;
    hfi_assert(state_of(hfi_load_relaxed(&piece->xword)) == PIECE_NONE);
    wipe_marks(pieces, first, units);
    for (unsigned i = 0; i < units; i++)
        hfi_store_relaxed(&pieces->xfirst[first + i], (uint8_t)first);
    piece->heap = heap;
    piece->bytes = (uint32_t)room_of(first, units);
    piece->units = units;
    hfi_store_relaxed(&piece->xid, id);
    /* release: pairs with the CAS that pins */
    hfi_store_release(&piece->xword, tag << TAG_SHIFT | (uint64_t)BIAS << COUNT_SHIFT | PIECE_HELD);
    return piece;
}

/* From a page that a bit led to.  *again: it has others that are free. */
static struct piece *claim_in(struct arena_node *node, struct page *page, size_t bytes, struct heap *heap,
                              uint64_t id, bool *again)
{
    uint32_t units = hfi_piece_units(bytes);
    struct pieces *pieces = pieces_of_page(page);
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
    if (hfi_node_of_page(page) != node) {
        give_units(pieces, first, units);
        return NULL;
    }
    if (*again)
        page_add(page);
    *again = false;
    return piece_begin(pieces, first, units, heap, id);
}

struct piece *hfi_pieces_claim(struct arena_node *node, size_t bytes, struct heap *heap, uint64_t id)
{
    size_t passed[CANDIDATES], passed_count = 0;
    struct piece *piece = NULL;
    for (unsigned i = 0; i < CANDIDATES && piece == NULL; i++) {
        size_t member = hfi_idleset_take(&node->pieces);
        bool again;
        if (member == HFI_IDLESET_NONE)
            break;
        piece = claim_in(node, hfi_page_at(node->first_index + member), bytes, heap, id, &again);
        if (again)
            passed[passed_count++] = member;
    }
    while (passed_count != 0)
        hfi_idleset_add(&node->pieces, passed[--passed_count]);
    return piece;
}

struct piece *hfi_pieces_attach(struct page *page, size_t bytes, struct heap *heap, uint64_t id)
{
    struct arena_node *node = hfi_node_of_page(page);
    uint32_t units = hfi_piece_units(bytes);
    struct pieces *pieces = pieces_new(node);
    if (pieces == NULL)
        return NULL;
    page_begin(page, pieces);
    uint64_t rest = UNITS_ALL & ~(((uint64_t)1 << units) - 1);
    struct piece *piece = piece_begin(pieces, 0, units, heap, id);
    hfi_fetch_add_relaxed(&node->xheap_free, HFI_PIECES - units);
    page_own(page);
    /* release: pairs with take_units */
    hfi_store_release(&pieces->xunits, (hfi_load_relaxed(&pieces->xunits) & ~(UNITS_TAG - 1)) + UNITS_TAG +
                                           UNITS_ATTACHED + rest);
    if (rest != 0)
        page_add(page);
    return piece;
}

struct piece *hfi_pieces_attach_run(struct page *run, struct heap *heap, uint64_t id)
{
    struct pieces *pieces = pieces_new(hfi_node_of_page(run));
    if (pieces == NULL)
        return NULL;
    page_begin(run, pieces);
    struct piece *piece = &pieces->piece[0];
    uint64_t tag = (hfi_load_relaxed(&piece->xword) >> TAG_SHIFT) + 1;
    for (unsigned i = 0; i < HFI_PIECES; i++)
        hfi_store_relaxed(&pieces->xfirst[i], 0);
    piece->heap = heap;
    piece->bytes = 0;
    piece->units = run->run_pages * HFI_PIECES;
    hfi_store_relaxed(&piece->xid, id);
    hfi_store_release(&piece->xword,
                      tag << TAG_SHIFT | ONE | PIECE_CLOSED); /* pairs with the CAS that pins */
    page_own(run);
    return piece;
}

/* PC1: by the thread that made it none. */
static struct given piece_give_back(struct piece *piece)
{
    struct given given = { piece->heap, piece->units };
    struct pieces *pieces = hfi_pieces_of(piece);
    if (piece->bytes != 0) {
        give_units(pieces, quarter_of(piece), piece->units);
    } else {
        page_give_back(hfi_load_relaxed(&pieces->xpage));
        put_up(pieces);
    }
    return given;
}

#define NOTHING_GIVEN ((struct given){ NULL, 0 })

/* --- the holder --- */

HFI_INLINE uint32_t granule_of(const void *pointer)
{
    return (uint32_t)((uintptr_t)pointer % HFI_PAGE_BYTES / HFI_MAX_ALIGN);
}

HFI_INLINE bool bit_of(const _Atomic(uint64_t) *words, uint32_t granule)
{
    return hfi_load_relaxed(&words[granule / 64]) >> granule % 64 & 1;
}

/* By the holder alone, or of bits that nobody else writes. */
static void put_bit(_Atomic(uint64_t) *words, uint32_t granule, bool value)
{
    uint64_t bit = (uint64_t)1 << granule % 64, word = hfi_load_relaxed(&words[granule / 64]);
    hfi_store_relaxed(&words[granule / 64], value ? word | bit : word & ~bit);
}

void hfi_hold_begin(struct hold *hold, const void *handle, struct piece *piece)
{
    char *start = hfi_piece_start(piece);
    *hold = (struct hold){ .handle = handle,
                           .heap = piece->heap,
                           .id = hfi_load_relaxed(&piece->xid),
                           .cursor = start,
                           .end = start + piece->bytes,
                           .pieces = hfi_pieces_of(piece),
                           .piece = piece };
}

bool hfi_hold_resume(struct hold *hold, const void *handle, struct heap *heap, uint64_t id,
                     struct piece *piece)
{
    /* acquire: pairs with hfi_hold_park, whose thread laid blocks */
    uint64_t word = hfi_load_acquire(&piece->xword);
    do {
        if (state_of(word) != PIECE_PARKED || hfi_load_relaxed(&piece->xid) != id)
            return false;
    } while (!hfi_cas_weak_acq_rel(&piece->xword, &word, with_state(word, PIECE_HELD)));
    hfi_hold_begin(hold, handle, piece);
    hold->cursor += ((word & CURSOR_MASK) >> CURSOR_SHIFT) * HFI_MAX_ALIGN;
    hfi_assert(hold->heap == heap);
    (void)heap;
    return true;
}

bool hfi_hold_align(struct hold *hold, size_t align, size_t bytes)
{
    char *block = (char *)hfi_align_up((uintptr_t)hold->cursor, align);
    if (block > hold->end || (size_t)(hold->end - block) < bytes)
        return false;
    if (block == hold->cursor)
        return true;
    /* The gap is a block that is freed, and counts for nothing. */
    put_bit(hold->pieces->xends, granule_of(block - 1), true);
    /* by fetch_or: a free of a neighbour may write the same word */
    hfi_fetch_or_acq_rel(&hold->pieces->xfreed[granule_of(hold->cursor) / 64],
                         (uint64_t)1 << granule_of(hold->cursor) % 64);
    hold->cursor = block;
    return true;
}

bool hfi_hold_resize(struct hold *hold, size_t bytes)
{
    char *block = hold->newest;
    if (bytes > (size_t)(hold->end - block))
        return false;
    put_bit(hold->pieces->xends, granule_of(hold->cursor - 1), false);
    hold->cursor = block + bytes;
    put_bit(hold->pieces->xends, granule_of(hold->cursor - 1), true);
    return true;
}

bool hfi_hold_rewind(struct hold *hold)
{
    /* acquire: pairs with the frees that lowered it */
    uint64_t word = hfi_load_acquire(&hold->piece->xword);
    if (state_of(word) != PIECE_HELD || (word & PINS_MASK) != 0 || count_of(word) + hold->laid != BIAS ||
        hfi_load_relaxed(&hold->piece->xid) != hold->id)
        return false;
    if (!hfi_cas_acq_rel(&hold->piece->xword, &word, (word & ~COUNT_MASK) | (uint64_t)BIAS << COUNT_SHIFT))
        return false;
    wipe_marks(hold->pieces, quarter_of(hold->piece), hold->piece->units);
    hold->laid = 0;
    hold->newest = NULL;
    hold->cursor = hfi_piece_start(hold->piece);
    return true;
}

static void hold_nothing(struct hold *hold)
{
    hold->handle = NULL;
    hold->id = 0;
    hold->cursor = hold->end = hold->newest = NULL;
    hold->laid = 0;
}

struct piece *hfi_hold_park(struct hold *hold)
{
    struct piece *piece = hold->piece;
    /* acquire: pairs with piece_begin of the next tenancy, whose number is not this one's */
    uint64_t word = hfi_load_acquire(&piece->xword), next;
    uint64_t granules = (uint64_t)(hold->cursor - hfi_page_start(hfi_load_relaxed(&hold->pieces->xpage)) -
                                   (ptrdiff_t)(quarter_of(piece) * HFI_PIECE_BYTES)) /
                        HFI_MAX_ALIGN;
    do {
        if (state_of(word) != PIECE_HELD || hfi_load_relaxed(&piece->xid) != hold->id) {
            hold_nothing(hold); /* the heap has ended */
            return NULL;
        }
        next = with_state(word & ~CURSOR_MASK, PIECE_PARKED) + hold->laid * ONE;
        next |= granules << CURSOR_SHIFT;
        /* release: pairs with hfi_hold_resume */
    } while (!hfi_cas_weak_acq_rel(&piece->xword, &word, next));
    hold_nothing(hold);
    return piece;
}

struct given hfi_hold_close(struct hold *hold)
{
    struct piece *piece = hold->piece;
    uint64_t word = hfi_load_acquire(&piece->xword), next, id = hold->id;
    uint32_t laid = hold->laid;
    hold_nothing(hold);
    do {
        if (state_of(word) != PIECE_HELD || hfi_load_relaxed(&piece->xid) != id)
            return NOTHING_GIVEN;
        next = with_state(word + laid * ONE - BIAS * ONE, PIECE_CLOSED);
        if (count_of(next) == 0 && (next & PINS_MASK) == 0)
            next = with_state(next, PIECE_NONE);
        /* release: what the holder laid is there for who gives the piece back */
    } while (!hfi_cas_weak_acq_rel(&piece->xword, &word, next));
    return state_of(next) == PIECE_NONE ? piece_give_back(piece) : NOTHING_GIVEN;
}

struct given hfi_piece_end(struct piece *piece, uint64_t id)
{
    uint64_t word = hfi_load_acquire(&piece->xword), next;
    do {
        enum piece_state state = state_of(word);
        if (state == PIECE_NONE || state == PIECE_ENDED || hfi_load_relaxed(&piece->xid) != id)
            return NOTHING_GIVEN;
        next = with_state(word, (word & PINS_MASK) == 0 ? PIECE_NONE : PIECE_ENDED); /* PC3 */
        /* acquire: pairs with who pinned it last */
    } while (!hfi_cas_weak_acq_rel(&piece->xword, &word, next));
    return state_of(next) == PIECE_NONE ? piece_give_back(piece) : NOTHING_GIVEN;
}

/* --- blocks --- */

/* The last granule of the block that begins at `granule`, before `limit`; `limit` where none
 * ends. */
HFI_INLINE uint32_t end_of(const struct pieces *pieces, uint32_t granule, uint32_t limit)
{
    uint64_t word = hfi_load_relaxed(&pieces->xends[granule / 64]) & ~(uint64_t)0 << granule % 64;
    for (uint32_t at = granule / 64;; word = hfi_load_relaxed(&pieces->xends[at])) {
        if (word != 0)
            return (uint32_t)hfi_min(at * 64 + hfi_lowest_bit(word), limit);
        if (++at * 64 >= limit)
            return limit;
    }
}

/* First granule of the block that ends before `granule`, from `first` on. */
static uint32_t start_before(const struct pieces *pieces, uint32_t granule, uint32_t first)
{
    for (uint32_t at = granule - 1; at > first; at--) {
        uint64_t word = hfi_load_relaxed(&pieces->xends[(at - 1) / 64]) << (63 - (at - 1) % 64);
        if (word != 0)
            return (uint32_t)hfi_max(at - (uint32_t)__builtin_clzll(word), first);
        at -= (at - 1) % 64;
    }
    return first;
}

/* Granules of a piece of a page: `first` to before `limit`. */
struct granules {
    uint32_t first, limit;
};

static struct granules granules_of(const struct piece *piece)
{
    uint32_t first = (uint32_t)(quarter_of(piece) * HFI_PIECE_BYTES / HFI_MAX_ALIGN);
    return (struct granules){ first, first + piece->bytes / (uint32_t)HFI_MAX_ALIGN };
}

HFI_INLINE bool is_block(const struct pieces *pieces, struct granules of, const void *pointer)
{
    uint32_t granule = granule_of(pointer);
    if ((uintptr_t)pointer % HFI_MAX_ALIGN != 0 || granule < of.first || granule >= of.limit)
        return false;
    if (granule != of.first && !bit_of(pieces->xends, granule - 1))
        return false;
    return end_of(pieces, granule, of.limit) != of.limit;
}

/* First quarter of the piece that an address in a head page is of: checked once the piece is pinned,
 * or of a live block. */
HFI_INLINE unsigned first_of(const struct pieces *pieces, const void *pointer)
{
    unsigned quarter = (unsigned)((uintptr_t)pointer >> HFI_PIECE_SHIFT) % HFI_PIECES;
    return hfi_load_relaxed(&pieces->xfirst[quarter]) % HFI_PIECES;
}

struct piece *hfi_pieces_find(const struct page *page, const void *pointer)
{
    struct pieces *pieces = pieces_of_page(page);
    return pieces == NULL ? NULL : &pieces->piece[first_of(pieces, pointer)];
}

size_t hfi_pieces_block_bytes(const struct page *page, const void *pointer)
{
    const struct piece *piece = hfi_pieces_find(page, pointer);
    if (piece == NULL)
        return 0;
    if (piece->bytes == 0)
        return pointer == hfi_page_start(page) ? page->run_pages * HFI_PAGE_BYTES - HFI_GUARD_BYTES : 0;
    struct granules of = granules_of(piece);
    const struct pieces *pieces = hfi_pieces_of(piece);
    if (!is_block(pieces, of, pointer))
        return 0;
    uint32_t granule = granule_of(pointer);
    return (size_t)(end_of(pieces, granule, of.limit) + 1 - granule) * HFI_MAX_ALIGN;
}

size_t hfi_pieces_live_bytes(const struct page *page)
{
    const struct pieces *pieces = pieces_of_page(page);
    size_t bytes = 0;
    if (pieces == NULL || hfi_load_relaxed(&pieces->xpage) != page)
        return 0;
    uint64_t units = hfi_load_relaxed(&pieces->xunits);
    for (unsigned quarter = 0; quarter < HFI_PIECES; quarter++) {
        const struct piece *piece = &pieces->piece[quarter];
        bool is_first = hfi_load_relaxed(&pieces->xfirst[quarter]) == quarter;
        if (!is_first || (units >> quarter & 1) || state_of(hfi_load_relaxed(&piece->xword)) == PIECE_NONE)
            continue;
        struct granules of = granules_of(piece);
        if (piece->bytes == 0)
            return page->run_pages * HFI_PAGE_BYTES - HFI_GUARD_BYTES;
        for (uint32_t at = of.first, end; at < of.limit && (end = end_of(pieces, at, of.limit)) != of.limit;
             at = end + 1)
            bytes += bit_of(pieces->xfreed, at) ? 0 : (end + 1 - at) * HFI_MAX_ALIGN;
    }
    return bytes;
}

/* Freed blocks that are taken in were laid and counted down, and come again.  Where that goes on, the
 * word gets what it lacks before the frees use up the bias. */
static void count_laid(struct hold *hold)
{
    if (hfi_likely(hold->laid <= LAID_MAX))
        return;
    hfi_fetch_add_acq_rel(&hold->piece->xword, hold->laid * ONE);
    hold->laid = 0;
}

/* The holder frees its newest block: its room, and that of freed ones before it, is there again. */
static void take_in_newest(struct hold *hold, struct granules of)
{
    struct pieces *pieces = hold->pieces;
    uint32_t granule = granule_of(hold->newest);
    put_bit(pieces->xends, granule_of(hold->cursor - 1), false);
    hold->cursor = hold->newest;
    hold->newest = NULL;
    hold->laid--;
    count_laid(hold);
    for (unsigned i = 0; i < RECLAIMED_MAX && granule != of.first; i++) {
        uint32_t start = start_before(pieces, granule, of.first);
        char *block = hold->cursor - (size_t)(granule - start) * HFI_MAX_ALIGN;
        if (!bit_of(pieces->xfreed, start)) {
            hold->newest = block;
            return;
        }
        hfi_fetch_and_acq_rel(&pieces->xfreed[start / 64], ~((uint64_t)1 << start % 64));
        put_bit(pieces->xends, granule - 1, false);
        hold->cursor = block;
        granule = start;
    }
}

static bool is_newest(const struct hold *hold, const struct piece *piece, const void *pointer)
{
    return pointer == hold->newest && piece == hold->piece && hold->id == hfi_load_relaxed(&piece->xid);
}

/* Of a piece that is pinned.  *lower: what its word is to lose besides the pin. */
HFI_INLINE enum freed free_pinned(const struct page *page, struct pieces *pieces, unsigned first,
                                  void *pointer, struct hold *hold, uint64_t *lower)
{
    const struct piece *piece = &pieces->piece[first];
    *lower = 0;
    if (hfi_unlikely(hfi_load_relaxed(&pieces->xpage) != page || first_of(pieces, pointer) != first))
        return FREED_LATE;
    if (hfi_unlikely(piece->bytes == 0)) {
        *lower = pointer == hfi_page_start(page) ? ONE : 0;
        return *lower != 0 ? FREED : FREED_WRONG;
    }
    uint32_t granule = granule_of(pointer), begin = first * (uint32_t)(HFI_PIECE_BYTES / HFI_MAX_ALIGN);
    struct granules of = { begin, begin + piece->bytes / (uint32_t)HFI_MAX_ALIGN };
    uint64_t bit = (uint64_t)1 << granule % 64;
    if (hfi_unlikely(!is_block(pieces, of, pointer)))
        return FREED_WRONG;
    if (is_newest(hold, piece, pointer) && !bit_of(pieces->xfreed, granule)) {
        take_in_newest(hold, of);
        return FREED;
    }
    if (hfi_unlikely(hfi_fetch_or_acq_rel(&pieces->xfreed[granule / 64], bit) & bit))
        return FREED_TWICE;
    *lower = ONE;
    return FREED;
}

/* Takes a pin off, and `lower`.  True for the thread that is to give the piece back. */
HFI_INLINE bool unpin(struct piece *piece, uint64_t lower)
{
    uint64_t word = hfi_load_relaxed(&piece->xword), next;
    do {
        next = word - PIN - lower;
        bool over = state_of(next) == PIECE_ENDED || (state_of(next) == PIECE_CLOSED && count_of(next) == 0);
        if (hfi_unlikely(over && (next & PINS_MASK) == 0))
            next = with_state(next, PIECE_NONE);
        /* release: the marks are there for the piece's next tenancy */
    } while (!hfi_cas_weak_acq_rel(&piece->xword, &word, next));
    return state_of(next) == PIECE_NONE;
}

enum freed hfi_pieces_free(struct page *page, void *pointer, struct hold *hold, struct given *given)
{
    struct pieces *pieces = pieces_of_page(page);
    given->heap = NULL;
    if (hfi_unlikely(pieces == NULL))
        return FREED_LATE;
    unsigned first = first_of(pieces, pointer);
    struct piece *piece = &pieces->piece[first];
    uint64_t word = hfi_load_relaxed(&piece->xword), lower;
    do {
        if (hfi_unlikely(state_of(word) == PIECE_NONE || state_of(word) == PIECE_ENDED))
            return FREED_LATE;
        hfi_assert((word & PINS_MASK) != PINS_MASK);
        /* acquire: pairs with piece_begin */
    } while (!hfi_cas_weak_acq_rel(&piece->xword, &word, word + PIN));
    enum freed freed = free_pinned(page, pieces, first, pointer, hold, &lower);
    if (hfi_unlikely(unpin(piece, lower)))
        *given = piece_give_back(piece);
    return freed;
}

const char *hfi_pieces_audit(const struct page *page)
{
    const struct pieces *pieces = pieces_of_page(page);
    if (pieces == NULL || hfi_load_relaxed(&pieces->xpage) != page)
        return "pieces: a page of a heap has no descriptor";
    if (pieces->piece[0].bytes == 0 && state_of(hfi_load_relaxed(&pieces->piece[0].xword)) == PIECE_CLOSED)
        return NULL;
    uint64_t units = hfi_load_relaxed(&pieces->xunits);
    if (!(units & UNITS_ATTACHED) || (units & UNITS_ALL) == UNITS_ALL)
        return "PC4: a page without pieces was not given back";
    for (unsigned quarter = 0; quarter < HFI_PIECES; quarter++) {
        const struct piece *piece = &pieces->piece[hfi_load_relaxed(&pieces->xfirst[quarter]) % HFI_PIECES];
        if (units >> quarter & 1)
            continue;
        uint64_t word = hfi_load_relaxed(&piece->xword);
        if (state_of(word) == PIECE_NONE || (word & PINS_MASK) != 0)
            return "PC3: a piece that is out is none, or pinned";
    }
    return NULL;
}
