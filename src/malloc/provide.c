/*
 * provide: see provide.h; doc/protocols.md, section 14.
 *
 * PV1: each piece is counted in its heap's limit before it is claimed, and noted in its table before
 *      the call returns.
 * PV2: no message is written while the thread is inside its theap.
 *
 * Tests: tests/programs/heaps.c, tests/programs/soft-limit.c, tests/unit/nodes.c.
 */
#include "malloc/provide.h"

#include <string.h>

#include "app/events.h"
#include "app/inspect.h"
#include "base/callback.h"
#include "base/say.h"
#include "heap/heap-limit.h"
#include "heap/large.h"
#include "heap/piece-blocks.h"
#include "heap/theap.h"
#include "heap/zone.h"
#include "kernel/cpu.h"
#include "malloc/attach.h"
#include "malloc/full.h"
#include "malloc/ladder.h"
#include "malloc/slow.h"

#define REPORT_INTERVAL_NS ((uint64_t)10 * 1000 * 1000 * 1000)
#define REPORTS_MAX 10u
#define SMALL_UNITS 16u /* a heap that uses as much takes whole pages */

/* How many others came to their limits in that time, of all heaps.  Where each query has its own, a
 * thousand may do so at once: a few are reported, and one is an event. */
static uint32_t reports_before(uint64_t now)
{
    static _Atomic(uint64_t) xbegun_ns;
    static _Atomic(uint32_t) xreports;
    uint64_t begun = hfi_load_relaxed(&xbegun_ns);
    if ((begun == 0 || now - begun >= REPORT_INTERVAL_NS) && hfi_cas_relaxed(&xbegun_ns, &begun, now))
        hfi_store_relaxed(&xreports, 0);
    return hfi_fetch_add_relaxed(&xreports, 1);
}

/* At most once in ten seconds for each heap. */
static HFI_COLD void report_limit(struct heap *heap, uint64_t word, size_t bytes)
{
    uint64_t now = hfi_os_now_coarse_ns(), last = hfi_load_relaxed(&heap->xreported_ns);
    char used[16], limit[16];
    hfi_slots_show_failed(heap->slot, hfi_fetch_add_relaxed(&heap->xfailed, 1) + 1);
    uint32_t before = last != 0 && now - last < REPORT_INTERVAL_NS ? REPORTS_MAX : reports_before(now);
    if (before >= REPORTS_MAX || !hfi_cas_relaxed(&heap->xreported_ns, &last, now)) {
        hfi_fetch_add_relaxed(&heap->xunreported, 1);
        return;
    }
    hfi_say(
        SAY_ERROR, "HF-E015", "heap",
        "heap \"%s\" (%llu) is at its limit: it has no room for %zu bytes, and has %s of %s (%llu failures "
        "not reported since the last report); the arena is not full: raise it by hf_heap_set_limit, or let "
        "what uses the heap fail",
        heap->name, (unsigned long long)hfi_load_relaxed(&heap->xid), bytes,
        hfi_format_bytes(used, sizeof used, hfi_limit_use(word) * HFI_PIECE_BYTES),
        hfi_format_bytes(limit, sizeof limit, hfi_limit_of(word) * HFI_PIECE_BYTES),
        (unsigned long long)hfi_exchange_relaxed(&heap->xunreported, 0));
    if (before == 0)
        hfi_inspect_event(HF_EVENT_HEAP_LIMIT, heap->only != NULL ? heap->only : hfi_theap->node, bytes,
                          hfi_load_relaxed(&heap->xid));
}

static bool is_interleaved(const struct heap *heap)
{
    return (heap->flags & HFI_HEAP_INTERLEAVE) != 0;
}

static struct arena_node *home_of(struct heap *heap, struct theap *theap)
{
    if (heap->only != NULL)
        return heap->only;
    if (is_interleaved(heap)) /* relaxed: any order of turns will do */
        return &hfi_arena.nodes[hfi_fetch_add_relaxed(&heap->xturn, 1) % hfi_arena.node_count];
    hfi_theap_enter(theap);
    struct arena_node *node = hfi_ladder_choose_node(theap);
    hfi_theap_leave(theap);
    return node;
}

/* Whether the reserve is for this call too. */
static bool is_privileged(const struct heap *heap)
{
    return hfi_reserve_depth != 0 || (heap->flags & HF_HEAP_RESERVED) != 0;
}

/* Of a page of the reserve that heaps have already. */
static struct piece *claim_part_of_reserve(struct heap *heap, uint64_t id, struct arena_node *home,
                                           size_t bytes)
{
    struct piece *piece = hfi_pieces_claim_reserve(home, bytes, heap, id);
    for (unsigned i = 0; piece == NULL && heap->only == NULL && i < hfi_arena.node_count; i++)
        if (hfi_options.remote_allow)
            piece = hfi_pieces_claim_reserve(&hfi_arena.nodes[i], bytes, heap, id);
    return piece;
}

static struct piece *claim_visible(struct heap *heap, uint64_t id, struct arena_node *home, size_t bytes)
{
    struct piece *piece = hfi_pieces_claim(home, bytes, heap, id);
    bool zero;
    if (piece != NULL)
        return piece;
    struct page *page = hfi_arena_claim(home, 1, HFI_PAGE_BYTES, CLAIM_LOW, &zero);
    return page == NULL ? NULL : hfi_attach(heap, id, page, NULL, bytes, false);
}

/* Of a page that has free pieces, or of a free one.  Where that grows the arena it may be time to
 * publish, as in a slow malloc. */
static struct piece *claim_at_home(struct heap *heap, uint64_t id, struct arena_node *home, size_t bytes)
{
    hfi_arena_grew = false;
    struct piece *piece = hfi_attach_is_hidden(heap) ? hfi_attach_hidden_at_home(heap, id, home, bytes)
                                                     : claim_visible(heap, id, home, bytes);
    if (hfi_unlikely(hfi_arena_grew) && piece != NULL)
        hfi_inspect_taken(hfi_theap, hfi_load_relaxed(&hfi_pieces_of(piece)->xpage));
    return piece;
}

static struct arena_node *node_behind(const struct arena_node *node, unsigned count)
{
    return &hfi_arena.nodes[(node->index + count) % hfi_arena.node_count];
}

/* Also where there is no page that is free. */
static struct piece *claim_part(struct heap *heap, uint64_t id, struct arena_node *home, size_t bytes)
{
    struct piece *piece = claim_at_home(heap, id, home, bytes);
    for (unsigned i = 1; piece == NULL && is_interleaved(heap) && i < hfi_arena.node_count; i++)
        piece = claim_at_home(heap, id, node_behind(home, i), bytes);
    for (unsigned i = 0; piece == NULL && heap->only == NULL && i < hfi_arena.node_count; i++)
        if (hfi_arena.nodes[i].index == home->index || hfi_options.remote_allow)
            piece = hfi_pieces_claim(&hfi_arena.nodes[i], bytes, heap, id);
    if (piece != NULL)
        return piece;
    if (is_privileged(heap) && (piece = claim_part_of_reserve(heap, id, home, bytes)) != NULL)
        return piece;
    struct page *page = hfi_malloc_run(bytes, 1, HFI_PAGE_BYTES, heap->only, is_privileged(heap));
    return page == NULL ? NULL : hfi_attach(heap, id, page, NULL, bytes, false);
}

/* A run of free pages, also where hints to them have gone. */
static struct page *run_of_node(struct arena_node *node, size_t pages, size_t align)
{
    bool zero;
    struct page *run = hfi_arena_claim(node, pages, align, CLAIM_HIGH, &zero);
    return run != NULL || hfi_arena_free_pages(node) < pages
             ? run
             : hfi_arena_claim(node, pages, align, CLAIM_EXACT, &zero);
}

/* `home`: whose turn it is, or NULL. */
static struct piece *claim_run(struct heap *heap, uint64_t id, struct arena_node *home, size_t align,
                               size_t bytes)
{
    size_t pages = hfi_large_pages(bytes), run_align = hfi_max(align, HFI_PAGE_BYTES);
    struct page *run = NULL;
    for (unsigned i = 0; run == NULL && home != NULL && i < hfi_arena.node_count; i++)
        run = run_of_node(node_behind(home, i), pages, run_align);
    if (run == NULL)
        run = hfi_malloc_run(bytes, pages, run_align, heap->only, is_privileged(heap));
    return run == NULL ? NULL : hfi_attach(heap, id, run, NULL, bytes, true);
}

/* For a heap that has much: a whole page, where its limit and its node have one to spare. */
static struct piece *claim_spare(struct heap *heap, uint64_t id, struct arena_node *home)
{
    uint64_t word;
    if (!hfi_heap_take(heap, HFI_PIECES, &word))
        return NULL;
    struct piece *piece = claim_at_home(heap, id, home, HFI_PIECE_BLOCK_MAX);
    if (piece != NULL)
        hfi_heap_note_taken(heap, word, HFI_PIECES);
    else
        hfi_heap_give_back(heap, HFI_PIECES);
    return piece;
}

struct piece *hfi_provide(struct heap *heap, uint64_t id, struct theap *theap, size_t align, size_t bytes,
                          enum failure failure)
{
    bool is_run = bytes > HFI_PIECE_BLOCK_MAX || align > HFI_PIECE_BYTES;
    size_t pages = hfi_large_pages(bytes);
    uint32_t units = is_run ? (uint32_t)pages * HFI_PIECES : hfi_piece_units(bytes);
    bool has_home = !is_run || hfi_attach_is_hidden(heap) || is_interleaved(heap);
    struct arena_node *home = has_home ? home_of(heap, theap) : NULL;
    struct piece *piece = NULL;
    uint64_t word = hfi_load_relaxed(&heap->xlimit);
    if (units < HFI_PIECES && hfi_limit_use(word) >= SMALL_UNITS)
        piece = claim_spare(heap, id, home);
    if (piece != NULL)
        return piece;
    if (!hfi_heap_take(heap, units, &word)) {
        if (failure == FAILURE_DISPENSABLE)
            return NULL;
        if (!hfi_heap_take_failed(heap, units) || failure == FAILURE_LAST)
            report_limit(heap, word, bytes);
        return hfi_fail_enomem();
    }
    hfi_zone_error = 0;
    piece = hfi_attach_is_hidden(heap)
              ? hfi_attach_hidden(heap, id, home, hfi_max(align, HFI_PAGE_BYTES), bytes, is_run)
          : is_run ? claim_run(heap, id, home, align, bytes)
                   : claim_part(heap, id, home, bytes);
    if (piece == NULL) {
        hfi_heap_give_back(heap, units);
        if (failure == FAILURE_DISPENSABLE)
            return NULL;
        if (failure == FAILURE_FIRST && hfi_heap_soft_is_due(heap) && !hfi_callback_is_under_way())
            return hfi_fail_enomem();
        return hfi_zone_error != 0 ? hfi_attach_fail(heap)
                                   : hfi_malloc_fail(bytes, is_run ? pages : 1, align);
    }
    hfi_heap_note_taken(heap, word, units);
    return piece;
}

/* Gives the table room for more pieces. */
static bool extend_table(struct heap *heap, uint64_t id, struct theap *theap, size_t bytes,
                         enum failure failure)
{
    struct piece *piece = bytes == 0 ? NULL : hfi_provide(heap, id, theap, HFI_MAX_ALIGN, bytes, failure);
    struct hold hold;
    if (piece == NULL)
        return false;
    char *memory = hfi_piece_start(piece);
    hfi_store_relaxed(&piece->xid, id | HFI_HEAP_CHUNK_ID); /* relaxed: nobody knows the piece yet */
    if (piece->bytes != 0) {
        hfi_hold_begin(&hold, NULL, piece, false);
        memory = hfi_hold_lay(&hold, bytes);
        hfi_heap_relieve(hfi_hold_close(&hold));
    }
    memset(memory, 0, bytes);
    if (!hfi_heap_extend(heap, bytes, memory))
        hfi_heap_relieve(hfi_piece_end(piece, id | HFI_HEAP_CHUNK_ID));
    return true;
}

bool hfi_provide_note(struct heap *heap, uint64_t id, struct theap *theap, struct piece *piece,
                      enum failure failure)
{
    size_t bytes;
    while (!hfi_heap_note(heap, piece, &bytes))
        if (!extend_table(heap, id, theap, bytes, failure)) {
            hfi_heap_relieve(hfi_piece_end(piece, id));
            return false;
        }
    return true;
}
