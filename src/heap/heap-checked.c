/*
 * heap-checked: see heap-checked.h; doc/protocols.md, section 14.
 *
 * HC1: a piece that waits is ended, and has one pin that no thread has.  So no free gets at it, and it
 *      is not given back.
 * HC2: a piece that no thread had pinned when its heap ended is filled with a pattern, and where the OS
 *      page allows it made inaccessible, until it is given back.
 * HC3: what waits counts as pieces that no heap has.
 *
 * Concurrency: heaps wait in a ring.  Who puts one in takes out what the place had, by one exchange, and
 * gives that back; so does who makes room.
 *
 * Tests: tests/programs/checked.c.
 */
#include "heap/heap-checked.h"

#include <string.h>

#include "base/check.h"
#include "base/say.h"
#include "heap/piece-blocks.h"
#include "kernel/fault.h"
#include "kernel/os.h"

#define PATTERN 0xe5

enum seal { SEAL_NONE, SEAL_PATTERN, SEAL_FAULT };

static _Atomic(struct heap *) xring[HFI_CHECKED_HEAPS];
static _Atomic(uint32_t) xnewest; /* atomic: place of the next one that ends */
static _Atomic(uint32_t) xoldest; /* atomic: about where the oldest waits */
static _Atomic(uint32_t) xunits;  /* atomic: what all of them have */

/* --- pieces --- */

static size_t bytes_of(const struct piece *piece)
{
    const struct page *page = hfi_load_relaxed(&hfi_pieces_of(piece)->xpage);
    return piece->bytes != 0 ? piece->bytes : page->run_pages * HFI_PAGE_BYTES - HFI_GUARD_BYTES;
}

static struct arena_node *node_of(const struct piece *piece)
{
    return hfi_node_of_page(hfi_load_relaxed(&hfi_pieces_of(piece)->xpage));
}

/* Huge pages cannot be made inaccessible in part, or would be split. */
static bool may_be_inaccessible(const struct arena_node *node)
{
    return hfi_arena.reservation.nodes[node->index].backing == BACKING_4K;
}

static void tell_fault(const void *address);

static enum seal seal(const struct piece *piece)
{
    memset(hfi_piece_start(piece), PATTERN, bytes_of(piece));
    if (!may_be_inaccessible(node_of(piece)))
        return SEAL_PATTERN;
    hfi_fault_watch(tell_fault);
    return hfi_os_protect(hfi_piece_start(piece), bytes_of(piece), false) == 0 ? SEAL_FAULT : SEAL_PATTERN;
}

static _Noreturn void die_written(const struct heap *heap, const char *at)
{
    hfi_die(
        "HF-E325", "heap",
        "%p was written to after heap \"%s\" (%llu), which had it, was ended by thread %u, in a call from "
        "%p; let no thread use a block after hf_heap_destroy",
        (const void *)at, heap->name, (unsigned long long)heap->ended_id, heap->ended_thread,
        heap->ended_from);
}

static void unseal(const struct piece *piece)
{
    const char *start = hfi_piece_start(piece);
    size_t bytes = bytes_of(piece), at = 0;
    /* What cannot be opened again is lost to the process: nothing is put there. */
    if (piece->seal == SEAL_FAULT && hfi_os_protect((char *)start, bytes, true) != 0)
        hfi_die("HF-E327", "heap",
                "the kernel refuses to make memory of an ended heap accessible again (%p, %zu bytes); raise "
                "vm.max_map_count",
                (const void *)start, bytes);
    if (piece->seal == SEAL_NONE || (start[0] == (char)PATTERN && memcmp(start, start + 1, bytes - 1) == 0))
        return;
    while (start[at] == (char)PATTERN)
        at++;
    die_written(piece->heap, start + at);
}

static void keep_piece(struct piece *piece, uint64_t id, void *units)
{
    bool alone;
    if (!hfi_piece_keep(piece, id, &alone))
        return;
    piece->seal = (uint8_t)(alone ? seal(piece) : SEAL_NONE); /* HC2 */
    hfi_fetch_add_relaxed(&node_of(piece)->xheap_free, piece->units);
    *(uint32_t *)units += piece->units;
}

static void open_piece(struct piece *piece, uint64_t id, void *units)
{
    if (hfi_piece_state(hfi_load_relaxed(&piece->xword)) != PIECE_ENDED ||
        hfi_load_relaxed(&piece->xid) != id)
        return;
    unseal(piece);
    hfi_fetch_sub_relaxed(&node_of(piece)->xheap_free, piece->units);
    *(uint32_t *)units += piece->units;
    hfi_heap_let_go(piece, id);
}

/* HC3.  The table is needed until the heap is given back: it is left as it is. */
static void count_chunk(struct piece *piece, uint64_t id, void *units)
{
    (void)id;
    hfi_fetch_add_relaxed(&node_of(piece)->xheap_free, piece->units);
    *(uint32_t *)units += piece->units;
}

static void uncount_chunk(struct piece *piece, uint64_t id, void *units)
{
    (void)id;
    hfi_fetch_sub_relaxed(&node_of(piece)->xheap_free, piece->units);
    *(uint32_t *)units += piece->units;
}

/* --- heaps that wait --- */

static void give_back(struct heap *heap)
{
    uint64_t id = heap->ended_id;
    uint32_t units = 0;
    hfi_heap_each(heap, id, open_piece, &units);
    hfi_heap_each_chunk(heap, id, uncount_chunk, &units);
    hfi_fetch_sub_relaxed(&xunits, units);
    heap->ended_id = 0;
    hfi_heap_finish(heap, id);
}

static struct heap *take_out(uint32_t place)
{
    /* acq_rel: pairs with hfi_checked_end, and with itself */
    return hfi_exchange_acq_rel(&xring[place % HFI_CHECKED_HEAPS], NULL);
}

static uint32_t units_most(void)
{
    return (uint32_t)(hfi_arena.page_count / HFI_CHECKED_SHARE * HFI_PIECES);
}

/* The oldest go until the others have little enough. */
static void make_room(void)
{
    for (unsigned i = 0; i < HFI_CHECKED_HEAPS && hfi_load_relaxed(&xunits) > units_most(); i++) {
        struct heap *heap = take_out(hfi_fetch_add_relaxed(&xoldest, 1));
        if (heap != NULL)
            give_back(heap);
    }
}

bool hfi_checked_end(struct heap *heap, uint64_t id, unsigned thread, const void *from)
{
    uint32_t use = hfi_limit_use(hfi_load_relaxed(&heap->xlimit)), units = 0;
    if (!(heap->flags & HFI_HEAP_CHECKED) || use > units_most())
        return hfi_heap_end(heap, id);
    if (!hfi_heap_close(heap, id))
        return false;
    heap->ended_id = id;
    heap->ended_thread = thread;
    heap->ended_from = from;
    hfi_heap_each(heap, id, keep_piece, &units);
    hfi_heap_each_chunk(heap, id, count_chunk, &units);
    hfi_fetch_add_relaxed(&xunits, units);
    uint32_t place = hfi_fetch_add_relaxed(&xnewest, 1);
    /* What is here now is the oldest, and the next place has the oldest then. */
    if (place >= HFI_CHECKED_HEAPS)
        hfi_store_relaxed(&xoldest, place + 1);
    /* release: what waits is complete; acquire: so is what waited here */
    struct heap *before = hfi_exchange_acq_rel(&xring[place % HFI_CHECKED_HEAPS], heap);
    if (before != NULL)
        give_back(before);
    make_room();
    return true;
}

bool hfi_checked_give_way(void)
{
    bool any = false;
    if (hfi_load_relaxed(&xunits) == 0)
        return false;
    for (unsigned i = 0; i < HFI_CHECKED_HEAPS; i++) {
        struct heap *heap = take_out(i);
        if (heap != NULL)
            give_back(heap);
        any = any || heap != NULL;
    }
    return any;
}

uint32_t hfi_checked_units(void)
{
    return hfi_load_relaxed(&xunits);
}

void hfi_checked_forked(void)
{
    for (unsigned i = 0; i < HFI_CHECKED_HEAPS; i++)
        hfi_store_relaxed(&xring[i], NULL);
    hfi_store_relaxed(&xunits, 0);
}

/* --- who comes late --- */

struct heap *hfi_checked_of(const struct page *page, const void *block)
{
    struct piece *piece = hfi_pieces_find(page, block);
    if (piece == NULL || hfi_load_relaxed(&hfi_pieces_of(piece)->xpage) != page ||
        hfi_piece_state(hfi_load_acquire(&piece->xword)) != PIECE_ENDED)
        return NULL;
    struct heap *heap = piece->heap;
    return heap->ended_id != 0 && heap->ended_id == hfi_load_relaxed(&piece->xid) ? heap : NULL;
}

struct heap *hfi_checked_find(const void *handle)
{
    for (unsigned i = 0; i < HFI_CHECKED_HEAPS; i++) {
        struct heap *heap = hfi_load_acquire(&xring[i]); /* pairs with hfi_checked_end */
        if (heap != NULL && hfi_heap_handle(heap, heap->ended_id) == handle)
            return heap;
    }
    return NULL;
}

void hfi_checked_tell_free(struct heap *heap, const void *block)
{
    if (hfi_first_time(&heap->xlate_told))
        hfi_say(SAY_ERROR, "HF-E324", "free",
                "%p is of heap \"%s\" (%llu), which thread %u has ended, in a call from %p: the free is "
                "dropped, and "
                "so are later ones into that heap, without a message; free no block after hf_heap_destroy",
                block, heap->name, (unsigned long long)heap->ended_id, heap->ended_thread, heap->ended_from);
}

/* In a signal handler. */
static void tell_fault(const void *address)
{
    if (!hfi_in_arena(address))
        return;
    const struct page *page = hfi_page_at(hfi_index_of(address));
    uintptr_t owner = hfi_load_relaxed(hfi_owner_at(hfi_page_index(page)));
    for (; owner == HFI_OWNER_NONE && hfi_page_index(page) != 0; page--) /* inside of a run */
        owner = hfi_load_relaxed(hfi_owner_at(hfi_page_index(page) - 1));
    const struct heap *heap = owner == HFI_OWNER_HEAP ? hfi_checked_of(page, address) : NULL;
    if (heap != NULL)
        hfi_say(SAY_ERROR, "HF-E326", "heap",
                "%p is used after heap \"%s\" (%llu), which had it, was ended by thread %u, in a call from "
                "%p: the "
                "process ends; let no thread use a block after hf_heap_destroy",
                address, heap->name, (unsigned long long)heap->ended_id, heap->ended_thread,
                heap->ended_from);
}
