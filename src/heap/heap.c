/*
 * heap: see heap.h; doc/protocols.md, section 14.
 *
 * HP1: a heap's use counts each piece from before its claim until after it was given back, and one
 *      more while its end is under way.  So its memory is not put up while a thread may touch it.
 * HP2: each piece of the heap that is not none has a place in its table, except for those of its
 *      chunks, whose number differs from the heap's by a bit.
 * HP3: a place is written by threads that are in a call on the heap; frees leave it as it is.
 *
 * Tests: tests/programs/heaps.c, tests/models/heap.pml.
 */
#include "heap/heap.h"

#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "heap/harden.h"
#include "heap/piece-blocks.h"
#include "heap/stack.h"
#include "numa/plan.h"

#define HEAPS_OF_PAGE ((uint32_t)((HFI_PAGE_BYTES - HFI_GUARD_BYTES) / HFI_HEAP_BYTES))
#define LOOKS_MAX 32u    /* places that one claim looks at for one that is stale, or parked */
#define FOLLOWED_MAX 32u /* hints that one claim follows */
#define CANDIDATES 8u    /* parked pieces that would do, of which it takes the fullest */

const char hfi_default_heap;
static struct heap no_heap;
#define HOLD_NOTHING ((struct hold){ .handle = NULL, .heap = &no_heap })
HFI_TLS struct hold hfi_hold = { .handle = NULL, .heap = &no_heap };

/* Those with a slot (slots.h), which are taken first, and those without. */
static struct stack put_up = { .link_at = offsetof(struct heap, xnext) };
static struct stack put_up_others = { .link_at = offsetof(struct heap, xnext) };
static _Atomic(struct heap *) xall;
static _Atomic(uint64_t) xids;
static _Atomic(uint32_t) xslots; /* atomic: numbers given so far */

static void all_push(struct heap *heap, uint32_t slot)
{
    struct heap *first = hfi_load_relaxed(&xall);
    heap->slot = slot < hfi_plan_heaps_shown(hfi_arena.page_count) ? slot : HFI_SLOT_NONE;
    do {
        heap->next_all = first;
        /* release: pairs with hfi_heap_first */
    } while (!hfi_cas_weak_acq_rel(&xall, &first, heap));
}

struct heap *hfi_heap_first(void)
{
    return hfi_load_acquire(&xall);
}

static void heap_put_up(struct heap *heap)
{
    hfi_stack_push(heap->slot == HFI_SLOT_NONE ? &put_up_others : &put_up, heap);
}

/* One for the caller, the others of its page are put up. */
static struct heap *heaps_cut(void)
{
    char *memory = NULL;
    for (unsigned i = 0; i < hfi_arena.node_count && memory == NULL; i++)
        memory = hfi_arena_claim_meta(&hfi_arena.nodes[i]);
    if (memory == NULL)
        return NULL;
    hfi_guard_place(hfi_page_at(hfi_index_of(memory)));
    uint32_t slot = hfi_fetch_add_relaxed(&xslots, HEAPS_OF_PAGE); /* relaxed: each number is one heap's */
    for (uint32_t i = HEAPS_OF_PAGE - 1; i != 0; i--) {            /* the lowest slots are taken first */
        all_push((struct heap *)(memory + i * HFI_HEAP_BYTES), slot + i);
        heap_put_up((struct heap *)(memory + i * HFI_HEAP_BYTES));
    }
    all_push((struct heap *)memory, slot);
    return (struct heap *)memory;
}

_Static_assert(sizeof((struct hf_inspect_heap *)NULL)->name == HFI_HEAP_NAME_BYTES, "copied as it is");

static struct slot_heap told_of(const struct heap *heap, uint64_t id)
{
    return (struct slot_heap){ .id = id,
                               .name = heap->name,
                               .flags = heap->flags,
                               .only = heap->only,
                               .soft_units = heap->soft.over == HFI_LIMIT_NONE ? 0 : heap->soft.over };
}

struct heap *hfi_heap_new(const char *name, uint32_t limit, unsigned flags, struct arena_node *only)
{
    struct heap *heap = hfi_stack_pop(&put_up);
    if (heap == NULL)
        heap = hfi_stack_pop(&put_up_others);
    if (heap == NULL)
        heap = heaps_cut();
    if (heap == NULL)
        return NULL;
    hfi_assert(hfi_load_relaxed(&heap->xid) == 0 && hfi_limit_use(hfi_load_relaxed(&heap->xlimit)) == 0);
    size_t kept = offsetof(struct heap, only);
    memset((char *)heap + kept, 0, sizeof *heap - kept);
    for (unsigned i = 0; i < HFI_HEAP_HINTS; i++)
        hfi_store_relaxed(&heap->xhints[i], 0);
    heap->only = only;
    heap->flags = flags;
    heap->soft = (struct limit_soft){ HFI_LIMIT_NONE, HFI_LIMIT_NONE };
    strncpy(heap->name, name != NULL ? name : "", sizeof heap->name - 1);
    /* acquire: pairs with hfi_slots_show of threads that gave back the last of a heap before */
    hfi_exchange_acq_rel(&heap->xlimit, (uint64_t)limit << HFI_LIMIT_SHIFT);
    uint64_t id = hfi_fetch_add_relaxed(&xids, 1) + 1;
    const struct slot_heap told = told_of(heap, id);
    hfi_slots_begin(heap->slot, &told, limit);
    hfi_store_release(&heap->xid, id); /* pairs with hfi_heap_find */
    return heap;
}

struct heap *hfi_heap_find(const void *handle)
{
    struct heap *heap = (struct heap *)hfi_align_down((uintptr_t)handle, HFI_HEAP_BYTES);
    if (!hfi_in_arena(handle) || hfi_load_relaxed(hfi_owner_at(hfi_index_of(handle))) != HFI_OWNER_META)
        return NULL;
    uint64_t id = hfi_load_acquire(&heap->xid); /* pairs with hfi_heap_new */
    return id != 0 && hfi_heap_handle(heap, id) == handle ? heap : NULL;
}

/* True where that was the last of a heap that has ended. */
static bool relieve(struct given given)
{
    hfi_fetch_add_relaxed(&given.heap->xstale, 1);
    if (!hfi_limit_give(&given.heap->xlimit, given.units))
        return false;
    hfi_slots_clear(given.heap->slot);
    heap_put_up(given.heap); /* HP1 */
    return true;
}

/* The heap may have ended, and its memory be another one's: then the slot is too. */
static void show_use(struct heap *heap, int64_t units)
{
    struct hf_inspect_heap *shown = hfi_slots_shown(heap->slot);
    if (shown != NULL)
        hfi_slots_show(shown, &heap->xlimit);
    else if (heap->slot == HFI_SLOT_NONE && units != 0)
        hfi_slots_add_others(units);
}

/* Of a heap that may have ended meanwhile: then another one has a hint that leads nowhere. */
static void hint(struct heap *heap, uint32_t place)
{
    /* Also where the bit seems to be set: in the order of this word the setting comes after `follow`'s
     * clearing, and stays, or before it, and then `follow` sees what was parked. */
    hfi_fetch_or_acq_rel(&heap->xhints[place / 64 % HFI_HEAP_HINTS], (uint64_t)1 << place % 64);
}

void hfi_heap_tell(struct given given)
{
    if (given.units == 0)
        hint(given.heap, given.place);
    else if (!relieve(given) || given.heap->slot == HFI_SLOT_NONE)
        show_use(given.heap, -(int64_t)given.units);
}

void hfi_heap_show(struct heap *heap, int64_t units)
{
    struct hf_inspect_heap *shown = hfi_slots_shown(heap->slot);
    uint64_t id = hfi_load_relaxed(&heap->xid);
    if (shown != NULL) {
        HFI_SHOW(shown->most, (uint64_t)hfi_load_relaxed(&heap->xmost) * HFI_PIECE_BYTES);
        if (HFI_SHOWN(shown->id) != id) {
            const struct slot_heap told = told_of(heap, id);
            hfi_slots_tell(shown, &told);
        }
    }
    show_use(heap, units);
}

void hfi_heaps_show(bool alone)
{
    hfi_slots_show_sums(hfi_load_relaxed(&xids));
    for (struct heap *heap = hfi_heap_first(); heap != NULL; heap = heap->next_all)
        if (alone && hfi_load_relaxed(&heap->xid) != 0)
            hfi_heap_show(heap, 0);
        else
            show_use(heap, 0);
}

/* --- the table --- */

static unsigned chunk_of(uint32_t place)
{
    return hfi_highest_bit((place - HFI_HEAP_PLACES) / HFI_HEAP_CHUNK_PLACES + 1);
}

static uint32_t chunk_first(unsigned chunk)
{
    return HFI_HEAP_PLACES + HFI_HEAP_CHUNK_PLACES * ((1u << chunk) - 1);
}

/* NULL: its chunk is not there. */
static hfi_place *place_at(struct heap *heap, uint32_t place)
{
    if (place < HFI_HEAP_PLACES)
        return &heap->xtable[place];
    unsigned chunk = chunk_of(place);
    /* acquire: pairs with hfi_heap_extend */
    hfi_place *places = chunk < HFI_HEAP_CHUNKS ? hfi_load_acquire(&heap->xchunks[chunk]) : NULL;
    return places == NULL ? NULL : &places[place - chunk_first(chunk)];
}

/* Whether a piece is the heap's still. */
static bool is_of(const struct piece *piece, uint64_t id)
{
    return (hfi_load_acquire(&piece->xword) & 7) != PIECE_NONE && hfi_load_relaxed(&piece->xid) == id;
}

/* Puts a piece into a place whose own is no more; false: none was found. */
static bool note_instead(struct heap *heap, struct piece *piece)
{
    uint64_t id = hfi_load_relaxed(&heap->xid);
    uint32_t count = hfi_load_relaxed(&heap->xplaces); /* relaxed: a hint, as are the others */
    for (unsigned i = 0; i < LOOKS_MAX && i < count; i++) {
        uint32_t number = hfi_fetch_add_relaxed(&heap->xlook, 1) % count;
        hfi_place *place = place_at(heap, number);
        struct piece *had = place == NULL ? NULL : hfi_load_relaxed(place);
        if (had == NULL || had == piece || is_of(had, id))
            continue;
        /* Two threads may come to it at once. */
        if (hfi_cas_acq_rel(place, &had, piece)) {
            piece->place = number;
            hfi_fetch_sub_relaxed(&heap->xstale, 1);
            return true;
        }
    }
    return false;
}

bool hfi_heap_note(struct heap *heap, struct piece *piece, size_t *chunk_bytes)
{
    *chunk_bytes = 0;
    if ((int32_t)hfi_load_relaxed(&heap->xstale) > 0 && note_instead(heap, piece))
        return true;
    uint32_t count = hfi_load_relaxed(&heap->xplaces);
    do {
        if (place_at(heap, count) == NULL) {
            unsigned chunk = chunk_of(count);
            *chunk_bytes = chunk < HFI_HEAP_CHUNKS ? (sizeof(hfi_place) * HFI_HEAP_CHUNK_PLACES) << chunk : 0;
            return false;
        }
        /* relaxed: the end comes when the calls on the heap are over */
    } while (!hfi_cas_weak_relaxed(&heap->xplaces, &count, count + 1));
    piece->place = count;
    hfi_store_relaxed(place_at(heap, count), piece);
    return true;
}

bool hfi_heap_extend(struct heap *heap, size_t bytes, void *memory)
{
    hfi_place *none = NULL;
    unsigned chunk = hfi_highest_bit(bytes / (sizeof(hfi_place) * HFI_HEAP_CHUNK_PLACES));
    return hfi_cas_acq_rel(&heap->xchunks[chunk], &none, memory);
}

/* --- parked pieces --- */

void hfi_heap_park(struct hold *hold)
{
    if (hold->handle != NULL)
        hfi_heap_relieve(hfi_hold_park(hold));
}

/* What a thread looks for, and the best that it has seen: that with most blocks, so that those with few
 * become empty. */
struct search {
    uint64_t id;
    uint32_t granules;
    uint32_t seen; /* that would do */
    uint32_t out;  /* granules that are out in the best */
    bool fullest;  /* is best; else the emptiest */
    struct piece *best;
};

/* Whether a piece is parked. */
static bool consider(struct search *search, struct piece *piece)
{
    uint64_t word = hfi_load_relaxed(&piece->xword);
    if (hfi_piece_state(word) != PIECE_PARKED || hfi_load_relaxed(&piece->xid) != search->id)
        return false;
    if (hfi_load_relaxed(&piece->xhole) < search->granules)
        return true;
    search->seen++;
    uint32_t out = hfi_piece_count(word);
    if (search->best == NULL || (search->fullest ? out > search->out : out < search->out)) {
        search->best = piece;
        search->out = out;
    }
    return true;
}

/* Looks at places of one bit of the hints; false: none is parked. */
static bool consider_bit(struct heap *heap, uint32_t bit, struct search *search)
{
    uint32_t count = hfi_load_relaxed(&heap->xplaces), every = HFI_HEAP_HINTS * 64;
    uint32_t places = count > bit ? (count - bit - 1) / every + 1 : 0;
    uint32_t from = places <= LOOKS_MAX ? 0 : hfi_fetch_add_relaxed(&heap->xlook, LOOKS_MAX);
    bool is_any = false;
    for (uint32_t i = 0; i < hfi_min(places, LOOKS_MAX); i++) {
        hfi_place *place = place_at(heap, bit + (from + i) % places * every);
        struct piece *piece = place == NULL ? NULL : hfi_load_relaxed(place);
        is_any = (piece != NULL && consider(search, piece)) || is_any;
    }
    return is_any;
}

/* A hint that leads nowhere goes; one that came meanwhile comes back. */
static void follow(struct heap *heap, uint32_t bit, struct search *search)
{
    if (consider_bit(heap, bit, search))
        return;
    hfi_fetch_and_acq_rel(&heap->xhints[bit / 64], ~((uint64_t)1 << bit % 64)); /* pairs with hint's */
    if (consider_bit(heap, bit, search))
        hint(heap, bit);
}

bool hfi_heap_resume(struct heap *heap, const void *handle, uint64_t id, uint32_t granules, bool fullest,
                     struct hold *hold)
{
    uint64_t any = 0;
    for (unsigned i = 0; i < HFI_HEAP_HINTS; i++)
        any |= hfi_load_relaxed(&heap->xhints[i]);
    if (hfi_likely(any == 0))
        return false;
    struct search search = { .id = id, .granules = granules, .fullest = fullest };
    /* From where the last search ended, so that each is come to. */
    uint32_t from = hfi_load_relaxed(&heap->xfrom) % (HFI_HEAP_HINTS * 64), at = from, followed = 0;
    for (unsigned i = 0; i <= HFI_HEAP_HINTS; i++, at = (at / 64 + 1) % HFI_HEAP_HINTS * 64) {
        uint64_t word = hfi_load_relaxed(&heap->xhints[at / 64]) & ~(uint64_t)0 << at % 64;
        for (; word != 0 && followed < FOLLOWED_MAX && search.seen < CANDIDATES;
             word &= word - 1, followed++) {
            at = at / 64 * 64 + hfi_lowest_bit(word);
            follow(heap, at, &search);
            hfi_store_relaxed(&heap->xfrom, at + 1);
        }
    }
    return search.best != NULL &&
           hfi_hold_resume(hold, handle, id, hfi_heap_reuses(heap), granules, search.best);
}

/* --- the end --- */

/* How many units were given back. */
static uint32_t end_piece(struct piece *piece, uint64_t id)
{
    struct given given = hfi_piece_end(piece, id);
    if (given.heap == NULL)
        return 0;
    relieve(given);
    return given.units;
}

void hfi_heap_each_chunk(struct heap *heap, uint64_t id,
                         void (*each)(struct piece *piece, uint64_t id, void *argument), void *argument)
{
    for (unsigned i = 0; i < HFI_HEAP_CHUNKS; i++) {
        hfi_place *places = hfi_load_acquire(&heap->xchunks[i]);
        if (places != NULL)
            each(hfi_pieces_find(hfi_page_at(hfi_index_of(places)), places), id | HFI_HEAP_CHUNK_ID,
                 argument);
    }
}

bool hfi_heap_close(struct heap *heap, uint64_t id)
{
    uint64_t had = id;
    if (!hfi_cas_seq_cst(&heap->xid, &had, 0)) /* PC6: pairs with hfi_held_begin */
        return false;
    hfi_slots_end(heap->slot);
    hfi_limit_end(&heap->xlimit);
    if (hfi_hold.id == id) /* this thread lays no more; its piece is in the table */
        hfi_hold = HOLD_NOTHING;
    return true;
}

void hfi_heap_each(struct heap *heap, uint64_t id,
                   void (*each)(struct piece *piece, uint64_t id, void *argument), void *argument)
{
    uint32_t count = hfi_load_relaxed(&heap->xplaces);
    for (uint32_t i = 0; i < count; i++) {
        hfi_place *place = place_at(heap, i);
        struct piece *piece = place == NULL ? NULL : hfi_load_relaxed(place);
        if (piece != NULL)
            each(piece, id, argument);
    }
}

static void end_each(struct piece *piece, uint64_t id, void *units)
{
    *(uint32_t *)units += end_piece(piece, id);
}

void hfi_heap_finish(struct heap *heap, uint64_t id)
{
    uint32_t units = 0;
    hfi_heap_each(heap, id, end_each, &units);
    hfi_heap_each_chunk(heap, id, end_each, &units);
    if (heap->slot == HFI_SLOT_NONE)
        hfi_slots_add_others(-(int64_t)units);
    relieve((struct given){ .heap = heap, .units = 1 });
}

bool hfi_heap_end(struct heap *heap, uint64_t id)
{
    if (!hfi_heap_close(heap, id))
        return false;
    hfi_heap_finish(heap, id);
    return true;
}

void hfi_heap_let_go(struct piece *piece, uint64_t id)
{
    struct given given = hfi_piece_let_go(piece, id);
    if (given.heap == NULL)
        return;
    if (given.heap->slot == HFI_SLOT_NONE)
        hfi_slots_add_others(-(int64_t)given.units);
    relieve(given);
}

/* What descriptors say is not believed (section 8): each heap starts anew. */
void hfi_heaps_forked(void)
{
    hfi_stack_empty(&put_up);
    hfi_stack_empty(&put_up_others);
    hfi_slots_forked();
    hfi_hold = HOLD_NOTHING;
    for (struct heap *heap = hfi_heap_first(); heap != NULL; heap = heap->next_all) {
        uint64_t limit = hfi_load_relaxed(&heap->xlimit) & ((uint64_t)HFI_LIMIT_NONE << HFI_LIMIT_SHIFT);
        hfi_store_relaxed(&heap->xlimit, limit);
        hfi_store_relaxed(&heap->xplaces, 0);
        hfi_store_relaxed(&heap->xstale, 0);
        hfi_store_relaxed(&heap->xsoft_due, false);
        hfi_store_relaxed(&heap->xusers, 0);
        for (unsigned i = 0; i < HFI_HEAP_HINTS; i++)
            hfi_store_relaxed(&heap->xhints[i], 0);
        for (unsigned i = 0; i < HFI_HEAP_CHUNKS; i++)
            hfi_store_relaxed(&heap->xchunks[i], NULL);
        if (hfi_load_relaxed(&heap->xid) == 0)
            heap_put_up(heap);
    }
}

void hfi_heaps_forsake(void)
{
    hfi_hold = HOLD_NOTHING;
    hfi_slots_forsake();
    hfi_store_relaxed(&xall, NULL); /* relaxed: one thread */
    hfi_stack_empty(&put_up);
    hfi_stack_empty(&put_up_others);
}
