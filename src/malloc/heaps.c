/*
 * heaps: see heaps.h; doc/protocols.md, section 14.
 *
 * HS1: each piece is counted in its heap's limit before it is claimed, and noted in its table
 *      before the call returns.
 * HS2: no message is written while the thread is inside its theap.
 *
 * Tests: tests/programs/heaps.c, tests/programs/heap-misuse.c.
 */
#include "malloc/heaps.h"

#include <errno.h>
#include <holdfast/heap.h>
#include <string.h>

#include "app/events.h"
#include "app/inspect.h"
#include "base/callback.h"
#include "base/say.h"
#include "heap/heap-checked.h"
#include "heap/heap-limit.h"
#include "heap/held.h"
#include "heap/piece-blocks.h"
#include "heap/reuse.h"
#include "heap/zone.h"
#include "kernel/cpu.h"
#include "malloc/address.h"
#include "malloc/alloc.h"
#include "malloc/attach.h"
#include "malloc/fork.h"
#include "malloc/full.h"
#include "malloc/init.h"
#include "malloc/ladder.h"
#include "malloc/slow.h"
#include "malloc/thread.h"
#include "malloc/use.h"

#define REPORT_INTERVAL_NS ((uint64_t)10 * 1000 * 1000 * 1000)
#define REPORTS_MAX 10u
#define ROOM_LEAST 1024u /* bytes of a parked piece that are worth keeping */
#define SMALL_UNITS 16u  /* a heap that uses as much takes whole pages */
#define SWEEP_PART 16u   /* of a piece that must be out of use before it is swept */
#define PARKED_TRIES 6u  /* parked pieces that one call takes up, at most */

void hfi_heaps_die(const void *handle, const char *call)
{
    const struct heap *ended = hfi_checked_find(handle);
    if (ended != NULL)
        hfi_die("HF-E320", call,
                "%p is heap \"%s\" (%llu), which thread %u has ended, in a call from %p: destroyed twice, or "
                "used "
                "after its end; pass what hf_heap_create returned, until hf_heap_destroy",
                handle, ended->name, (unsigned long long)ended->ended_id, ended->ended_thread,
                ended->ended_from);
    hfi_die("HF-E320", call,
            "%p is no heap, or one that has ended: destroyed twice, or used after its end; pass what "
            "hf_heap_create returned, until hf_heap_destroy",
            handle);
}

struct heap *hfi_heaps_find(const void *handle, const char *call)
{
    struct heap *heap = hfi_heap_find(handle);
    if (heap == NULL)
        hfi_heaps_die(handle, call);
    return heap;
}

struct theap *hfi_heaps_thread(void)
{
    struct theap *theap = hfi_init_thread();
    if (hfi_likely(theap != NULL) || !hfi_arena_is_standing() || hfi_fork_is_pending())
        return theap;
    hfi_ladder_steal_asleep();
    return hfi_init_thread();
}

/* --- pieces --- */

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

/* What a failure is to its caller. */
enum failure {
    FAILURE_FIRST,      /* where the soft limit's callback is due, the call is tried again: not told yet */
    FAILURE_LAST,       /* told, and ENOMEM */
    FAILURE_DISPENSABLE /* not told, and errno stays */
};

/* For a block of `bytes`.  Counted in the limit, not noted yet (HS1). */
static struct piece *claim_piece(struct heap *heap, uint64_t id, struct theap *theap, size_t align,
                                 size_t bytes, enum failure failure)
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
    struct piece *piece = bytes == 0 ? NULL : claim_piece(heap, id, theap, HFI_MAX_ALIGN, bytes, failure);
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

static bool note_piece(struct heap *heap, uint64_t id, struct theap *theap, struct piece *piece,
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

/* --- blocks --- */

/* Granules that are out of use in what is held. */
static uint32_t rest_of(const struct hold *hold)
{
    return hold->piece->bytes / (uint32_t)HFI_MAX_ALIGN - hfi_hold_out(hold);
}

static size_t room_in(const struct hold *hold)
{
    return hold->reuses ? rest_of(hold) * (size_t)HFI_MAX_ALIGN : hfi_hold_room(hold);
}

static bool is_worth_a_sweep(const struct hold *hold, uint32_t rest)
{
    return rest >= hold->piece->bytes / HFI_MAX_ALIGN / SWEEP_PART;
}

static void *lay(struct hold *hold, size_t align, size_t bytes)
{
    if (hold->reuses)
        return hfi_reuse_take(hold, align, bytes);
    if (hfi_hold_room(hold) < bytes || (align > HFI_MAX_ALIGN && !hfi_hold_align(hold, align, bytes)))
        return NULL;
    return hfi_hold_lay(hold, bytes);
}

/* Also by what others freed, or in several parts. */
static void *lay_anyhow(struct hold *hold, size_t align, size_t bytes)
{
    void *block = lay(hold, align, bytes);
    if (block != NULL)
        return block;
    if (hfi_hold_rewind(hold))
        return lay(hold, align, bytes);
    if (!hold->reuses || !is_worth_a_sweep(hold, rest_of(hold)))
        return NULL;
    hfi_reuse_sweep(hold);
    return lay(hold, align, bytes);
}

/* A piece with next to no room is closed, so that each of those parked is worth a look; and so is the
 * worse one of two of a region, which would stay when it is empty. */
static void leave(struct hold *hold, bool is_worse)
{
    bool is_useful =
        hold->reuses ? is_worth_a_sweep(hold, rest_of(hold)) : !is_worse && room_in(hold) >= ROOM_LEAST;
    if (hold->reuses)
        hfi_store_relaxed(&hold->piece->xhole, is_useful ? hfi_reuse_longest(hold) : HFI_GRANULES);
    hfi_heap_relieve(is_useful ? hfi_hold_park(hold) : hfi_hold_close(hold));
}

/* The thread holds on to that one of the two that has more room. */
static void hold_roomier(struct hold *fresh)
{
    struct hold *hold = &hfi_hold;
    if (hold->handle != NULL && room_in(hold) >= room_in(fresh)) {
        leave(fresh, true);
        return;
    }
    if (hold->handle != NULL)
        leave(hold, true);
    *hold = *fresh;
}

/* Of a piece that is claimed for it. */
static void *lay_in_new(struct heap *heap, const void *handle, struct theap *theap, size_t align,
                        size_t bytes, enum failure failure)
{
    uint64_t id = hfi_load_relaxed(&heap->xid);
    struct hold fresh;
    struct piece *piece = claim_piece(heap, id, theap, align, bytes, failure);
    if (piece == NULL || !note_piece(heap, id, theap, piece, failure))
        return NULL;
    if (piece->bytes == 0)
        return hfi_piece_start(piece);
    hfi_hold_begin(&fresh, handle, piece, hfi_heap_reuses(heap));
    void *block = lay(&fresh, align, bytes);
    hfi_assert(block != NULL);
    hold_roomier(&fresh);
    return block;
}

/* Of a piece that another thread left, or in which enough was freed. */
static void *lay_in_parked(struct heap *heap, const void *handle, uint64_t id, size_t align, size_t bytes)
{
    uint32_t granules = (uint32_t)((bytes + align) / HFI_MAX_ALIGN) - 1;
    struct hold other;
    for (unsigned i = 0; i < PARKED_TRIES && bytes <= HFI_PIECE_BLOCK_MAX; i++) {
        if (!hfi_heap_resume(heap, handle, id, granules, i < PARKED_TRIES / 2, &other))
            return NULL;
        void *block = lay_anyhow(&other, align, bytes);
        if (block != NULL) {
            hold_roomier(&other);
            return block;
        }
        leave(&other, false);
    }
    return NULL;
}

static void *alloc_in(struct heap *heap, const void *handle, struct theap *theap, size_t align, size_t bytes,
                      enum failure failure)
{
    struct hold *hold = &hfi_hold;
    uint64_t id = hfi_load_relaxed(&heap->xid);
    if (hold->id != id) {
        hfi_heap_park(hold);
        hfi_heap_resume(heap, handle, id, 1, true, hold);
    }
    void *block = hold->handle == NULL ? NULL : lay_anyhow(hold, align, bytes);
    if (block == NULL)
        block = lay_in_parked(heap, handle, id, align, bytes);
    return block != NULL ? block : lay_in_new(heap, handle, theap, align, bytes, failure);
}

static void *alloc_once(const void *handle, size_t align, size_t bytes, const char *call,
                        enum failure failure, struct heap **asked)
{
    bool dispensable = failure == FAILURE_DISPENSABLE;
    if (handle == &hfi_default_heap)
        return dispensable ? hfi_malloc_dispensable(bytes) : hfi_malloc_default(align, bytes);
    struct heap *heap = *asked = hfi_heaps_find(handle, call);
    bool had_theap = hfi_theap->thread != 0;
    struct theap *theap = hfi_heaps_thread();
    if (bytes > HFI_ARENA_MAX_BYTES || align > HFI_WINDOW_BYTES)
        return hfi_fail_enomem();
    if (theap == NULL)
        return dispensable ? NULL : hfi_malloc_fail(bytes, 1, align);
    bytes = hfi_align_up(hfi_max(bytes, 1), HFI_MAX_ALIGN);
    void *block = alloc_in(heap, handle, theap, align, bytes, failure);
    if (hfi_unlikely(!had_theap))
        hfi_thread_served();
    return block;
}

static HFI_COLD bool soft_tell(struct heap *heap, const void *handle)
{
    struct suspension suspension;
    hfi_use_suspend(&suspension);
    bool told = hfi_heap_soft_tell(heap, handle);
    hfi_use_resume(&suspension);
    return told;
}

/* Where it is dispensable, a failure is not told, leaves errno, and `align` is the least.  Where the
 * soft limit's callback was called before the call fails, the call begins again, once: one that takes
 * the heap over the limit, and then finds the arena full, comes over it each time. */
static void *alloc(const void *handle, size_t align, size_t bytes, const char *call, bool dispensable)
{
    struct heap *heap = NULL;
    void *block;
    const void *outer = hfi_full_heap; /* this call may come from a callback */
    hfi_full_heap = handle;
    for (enum failure failure = dispensable ? FAILURE_DISPENSABLE : FAILURE_FIRST;; failure = FAILURE_LAST) {
        block = alloc_once(handle, align, bytes, call, failure, &heap);
        if (heap == NULL || hfi_likely(!hfi_heap_soft_is_due(heap)) || !soft_tell(heap, handle) ||
            block != NULL || failure != FAILURE_FIRST || !hfi_arena_is_standing())
            break;
    }
    hfi_full_settle();
    hfi_full_heap = outer;
    return block;
}

void *hfi_heaps_alloc(const void *handle, size_t align, size_t bytes, const char *call)
{
    return alloc(handle, align, bytes, call, false);
}

static HFI_COLD _Noreturn void die_no_block(const void *pointer, const char *call)
{
    hfi_die("HF-E303", call,
            "%p lies in a page of heaps, where no block begins there; pass what hf_heap_malloc returned",
            pointer);
}

void hfi_heaps_free_late(const struct page *page, const void *pointer)
{
    struct heap *checked = hfi_checked_of(page, pointer);
    if (checked != NULL) {
        hfi_checked_tell_free(checked, pointer);
        return;
    }
    static _Atomic(bool) xsaid;
    if (hfi_first_time(&xsaid))
        hfi_say(
            SAY_WARNING, "HF-W023", "free",
            "%p is of a heap that has ended: the free is dropped, and so are later ones, without a message; "
            "free no block of a heap after hf_heap_destroy",
            pointer);
}

/* False: the heap of what was held has ended, and the address may be another one's by now. */
static bool free_held(void *pointer, enum freed *freed)
{
    struct hold *hold = &hfi_hold;
    struct theap *theap = hfi_theap;
    bool is_live = hfi_held_begin(hold, theap);
    if (is_live)
        *freed = hfi_pieces_free_held(pointer, hold);
    if (!hfi_held_end(hold, theap))
        hfi_heap_relieve(hfi_hold_finish(hold));
    return is_live;
}

void hfi_heaps_free(struct page *page, void *pointer)
{
    struct given given = HFI_NOTHING_GIVEN;
    enum freed freed;
    if (hfi_unlikely(hfi_pieces_is_inherited(page)))
        return;
    if (!hfi_held_has(&hfi_hold, pointer) || !free_held(pointer, &freed))
        freed = hfi_pieces_free(page, pointer, &given);
    switch (freed) {
    case FREED: break;
    case FREED_LATE: hfi_heaps_free_late(page, pointer); break;
    case FREED_WRONG: die_no_block(pointer, "free");
    case FREED_TWICE:
        hfi_die("HF-E304", "free",
                "block %p of a heap was freed twice; run the program under the secure build to see where",
                pointer);
    }
    hfi_heap_relieve(given);
}

size_t hfi_heaps_block_bytes(const struct page *page, const void *pointer, const char *call)
{
    size_t bytes = hfi_pieces_block_bytes(page, pointer);
    if (bytes == 0 && hfi_pieces_is_inherited(page))
        return HFI_MAX_ALIGN; /* laid while the process forked: at least so much */
    if (bytes == 0)
        die_no_block(pointer, call);
    return bytes;
}

const void *hfi_heaps_of(const void *pointer)
{
    if (!hfi_in_arena(pointer))
        return NULL;
    size_t index = hfi_index_of(pointer);
    uintptr_t owner = hfi_load_relaxed(hfi_owner_at(index));
    if (owner == HFI_OWNER_NONE || owner == HFI_OWNER_META)
        return NULL;
    if (owner != HFI_OWNER_HEAP || hfi_pieces_is_inherited(hfi_page_at(index)))
        return &hfi_default_heap;
    const struct piece *piece = hfi_pieces_find(hfi_page_at(index), pointer);
    return hfi_heap_handle(piece->heap, hfi_load_relaxed(&piece->xid));
}

/* The newest block of what the thread holds, where it is. */
static bool resize_newest(void *pointer, size_t bytes)
{
    struct hold *hold = &hfi_hold;
    return hfi_hold_is_newest(hold, pointer) && hfi_load_relaxed(&hold->heap->xid) == hold->id &&
           bytes <= HFI_PIECE_BLOCK_MAX && hfi_hold_resize(hold, pointer, hfi_align_up(bytes, HFI_MAX_ALIGN));
}

/* A block of a general heap that is made smaller, in what the thread holds. */
static bool cut(void *pointer, size_t has, size_t bytes)
{
    struct hold *hold = &hfi_hold;
    if (bytes > has || !hold->reuses || hold->handle == NULL || (char *)pointer < hold->start ||
        (char *)pointer >= hold->cursor || hfi_load_relaxed(&hold->heap->xid) != hold->id)
        return false;
    hfi_reuse_cut(hold, pointer, hfi_align_up(bytes, HFI_MAX_ALIGN));
    return true;
}

/* Whether the room of a block comes back when it moves: not in a region's page, where the copy would
 * take more. */
static bool comes_back(const struct page *page, const void *pointer)
{
    const struct piece *piece = hfi_pieces_find(page, pointer);
    return piece->bytes == 0 || hfi_heap_reuses(piece->heap);
}

void *hfi_heaps_realloc(const void *handle, struct page *page, void *pointer, size_t bytes)
{
    size_t has = hfi_heaps_block_bytes(page, pointer, "realloc");
    if (bytes == 0) {
        hfi_free(pointer);
        return NULL;
    }
    bool inherited = hfi_pieces_is_inherited(page);
    if (!inherited &&
        (resize_newest(pointer, bytes) || hfi_block_stays(has, bytes) || cut(pointer, has, bytes)))
        return pointer;
    bool shrinks = bytes <= has;
    if (shrinks && (inherited || !comes_back(page, pointer)))
        return pointer;
    const void *own = handle != NULL ? handle : hfi_heaps_of(pointer);
    void *fresh = alloc(own, HFI_MAX_ALIGN, bytes, "realloc", shrinks);
    if (fresh == NULL)
        return shrinks ? pointer : NULL;
    /* What of an inherited block's end is not known is copied with what lies behind it. */
    size_t behind = HFI_PAGE_BYTES - HFI_GUARD_BYTES - (uintptr_t)pointer % HFI_PAGE_BYTES;
    memcpy(fresh, pointer, hfi_min(inherited ? hfi_max(has, behind) : has, bytes));
    hfi_free(pointer);
    return fresh;
}
