/*
 * heaps: see heaps.h; doc/protocols.md, section 14.
 *
 * HS1: no message is written while the thread is inside its theap.
 *
 * Tests: tests/programs/heaps.c, tests/programs/heap-misuse.c.
 */
#include "malloc/heaps.h"

#include <holdfast/heap.h>
#include <string.h>

#include "base/say.h"
#include "heap/heap-checked.h"
#include "heap/heap-limit.h"
#include "heap/held.h"
#include "heap/piece-blocks.h"
#include "heap/reuse.h"
#include "malloc/address.h"
#include "malloc/alloc.h"
#include "malloc/fork.h"
#include "malloc/full.h"
#include "malloc/init.h"
#include "malloc/ladder.h"
#include "malloc/provide.h"
#include "malloc/slow.h"
#include "malloc/thread.h"
#include "malloc/use.h"

#define ROOM_LEAST 1024u /* bytes of a parked piece that are worth keeping */
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
    struct piece *piece = hfi_provide(heap, id, theap, align, bytes, failure);
    if (piece == NULL || !hfi_provide_note(heap, id, theap, piece, failure))
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
