/*
 * free: what free does when the fast path ends (slow.h).
 *
 * W2: free never fails and never touches errno.
 *
 * Tests: tests/unit/remote.c, tests/programs/threads.c, tests/programs/misuse.c.
 */
#include <errno.h>

#include "malloc/address.h"
#include "malloc/slow.h"
#include "heap/harden.h"
#include "heap/held.h"
#include "base/check.h"
#include "kernel/boot.h"
#include "malloc/fork.h"
#include "malloc/heaps.h"
#include "malloc/init.h"
#include "heap/large.h"
#include "heap/magazine.h"
#include "heap/piece-blocks.h"
#include "heap/page.h"
#include "heap/remote.h"
#include "malloc/thread.h"

static void free_own(struct theap *theap, struct page *page, struct block *block)
{
    hfi_dead(block);
    hfi_link_set(page, block, page->front.local_free);
    page->front.local_free = block;
    if (--page->front.used == 0)
        hfi_theap_emptied(theap, page);
}

/* Whether a page that was let go of at its thread's end is this thread's now, which has entered.  Where a
 * thread frees what one left that has ended, it mostly goes on with all that is in the page. */
static bool take_in(struct theap *theap, struct found found)
{
    if (hfi_likely(found.owner != HFI_OWNER_ENDED))
        return false;
    bool taken = hfi_theap_take_in(theap, found.page);
    if (!taken)
        hfi_page_forget_end(found.page);
    return taken;
}

/* A block of a page that another thread owns, or that is unowned.  `theap`: this thread's, which
 * has entered, or NULL. */
static void free_others(struct theap *theap, struct found found, struct block *block)
{
    if (theap != NULL && take_in(theap, found)) {
        free_own(theap, found.page, block);
        return;
    }
    hfi_dead(block);
    if (theap != NULL) {
        if (hfi_magazine_put(theap, found.page, found.owner, block))
            return;
        hfi_magazine_count(theap, found.owner);
    }
    hfi_remote_free(theap, found.page, block);
}

/* A theap for a thread that has none; NULL at the thread's end or when there is no memory for it. */
static struct theap *attach(void)
{
    int saved_errno = errno;
    struct theap *theap = hfi_thread_may_attach() ? hfi_init_thread() : NULL;
    errno = saved_errno;
    return theap;
}

/* The owner is another theap, whatever its name: this thread's may be the one that `found` names,
 * recycled since. */
static HFI_COLD void free_without_theap(struct found found, struct block *block)
{
    struct theap *theap = attach();
    if (theap != NULL)
        hfi_theap_enter(theap);
    free_others(theap, found, block);
    if (theap != NULL)
        hfi_theap_leave(theap);
}

static void free_block(struct theap *theap, struct found found, struct block *block)
{
    hfi_theap_enter(theap); /* inside since before owners[] was read; but a stealer may have the lists */
    if (found.owner == (uintptr_t)theap)
        free_own(theap, found.page, block);
    else
        free_others(theap, found, block);
    hfi_theap_leave(theap);
}

/* `found`: what the page table says of the page that the pointer lies in. */
static HFI_NOINLINE void free_found(struct found found, void *pointer)
{
    struct theap *theap = hfi_theap;
    if (hfi_unlikely(theap->thread == 0) && hfi_fork_is_pending())
        return; /* lost */
    if (hfi_unlikely(hfi_heaps_had_last(found.page, found.owner))) {
        hfi_theap_leave(theap);
        hfi_heaps_free_late(found.page, pointer);
        return;
    }
    found = hfi_address_head(found, pointer, "free");
    if (found.owner == HFI_OWNER_HEAP) {
        hfi_theap_leave(theap);
        hfi_heaps_free(found.page, pointer);
        return;
    }
    if (found.owner == HFI_OWNER_LARGE) {
        hfi_large_free(found.page, pointer);
        hfi_theap_leave(theap);
        return;
    }
    hfi_address_check_start(found.page, pointer, "free");
    if (theap->thread != 0)
        free_block(theap, found, pointer);
    else
        free_without_theap(found, pointer);
}

/* Whether a block of `found` that one of this thread's magazines may take, or its page, begins at
 * `offset` bytes into the run.  Other addresses are looked at closely (free_found). */
HFI_INLINE bool is_block(struct found found, unsigned class, uint32_t blocks, size_t offset)
{
    return !HFI_SECURE && found.owner >= HFI_OWNER_UNOWNED && /* not HFI_OWNER_ENDED: take_in */
           hfi_address_is_start(&hfi_sizeclasses[class], blocks, (uint32_t)offset);
}

/* A small block of another thread's page, or of an unowned one, that the magazine takes as it is.
 * Programs that hand blocks on, or have many, free such blocks all day. */
HFI_INLINE bool is_for_magazine(const struct theap *theap, struct found found, unsigned class,
                                const void *pointer)
{
    return class < HFI_DIRECT_CLASSES &&
           is_block(found, class, hfi_sizeclasses[class].blocks, (uintptr_t)pointer % HFI_PAGE_BYTES) &&
           hfi_magazine_has_room(theap, found.page, class, pointer);
}

/* Whether a larger block, which goes to its page at once, begins at `offset` bytes into the run. */
HFI_INLINE bool is_for_page(const struct theap *theap, struct found found, size_t offset)
{
    unsigned class = found.page->size_class;
    return class >= HFI_DIRECT_CLASSES && class < HFI_CLASS_COUNT && theap->thread != 0 &&
           is_block(found, class, found.page->reserved, offset);
}

/* A larger block of a page that another thread owns, or of an unowned one. */
HFI_INLINE void free_to_page(struct theap *theap, struct found found, struct block *block)
{
    hfi_magazine_count(theap, found.owner);
    if (hfi_likely(hfi_remote_push(found.page, block, block, 1)))
        return;
    hfi_theap_enter(theap); /* as in free_block */
    hfi_remote_free(theap, found.page, block);
}

/* A block that begins in a later page of a run than the first. */
static HFI_NOINLINE void free_inside(struct found found, void *pointer, struct theap *theap)
{
    struct found head = { found.page - found.page->head_delta, HFI_OWNER_NONE };
    head.owner = hfi_load_relaxed(hfi_owner_at(hfi_page_index(head.page)));
    if (!is_for_page(theap, head, (size_t)((const char *)pointer - hfi_page_start(head.page)))) {
        free_found(found, pointer);
        return;
    }
    if (head.owner == (uintptr_t)theap) {
        hfi_theap_enter(theap);
        free_own(theap, head.page, pointer);
    } else {
        free_to_page(theap, head, pointer);
    }
    hfi_theap_leave(theap);
}

/* A block that no magazine takes as it is: mostly a larger one. */
static HFI_NOINLINE void free_larger(struct found found, void *pointer, struct theap *theap)
{
    if (hfi_likely(is_for_page(theap, found, (uintptr_t)pointer % HFI_PAGE_BYTES))) {
        free_to_page(theap, found, pointer);
        hfi_theap_leave(theap);
    } else if (found.owner == HFI_OWNER_INTERIOR) {
        free_inside(found, pointer, theap);
    } else {
        free_found(found, pointer);
    }
}

/* The heap of what was held has ended meanwhile. */
static HFI_COLD void finish_held(struct theap *theap)
{
    hfi_heap_relieve(hfi_hold_finish(&hfi_hold));
    hfi_theap_leave(theap);
}

HFI_INLINE void end_held(struct hold *hold, struct theap *theap)
{
    if (hfi_unlikely(!hfi_held_end(hold, theap)))
        finish_held(theap);
    else
        hfi_theap_leave(theap);
}

static HFI_NOINLINE void free_newest(void *pointer, uint32_t length, struct theap *theap)
{
    hfi_pieces_free_newest(&hfi_hold, pointer, length);
    end_held(&hfi_hold, theap);
}

/* Of a heap, and no short block in what is held, if it is there at all. */
static HFI_NOINLINE void free_unheld(void *pointer, struct theap *theap)
{
    size_t index = hfi_index_of(pointer);
    hfi_store_release(&theap->xfrees, 0); /* hfi_heaps_free begins anew */
    free_found((struct found){ hfi_page_at(index), hfi_load_relaxed(hfi_owner_at(index)) }, pointer);
}

/* Mostly a short block in what this thread holds. */
static HFI_NOINLINE void free_of_heap(void *pointer, struct theap *theap)
{
    struct hold *hold = &hfi_hold;
    size_t offset = (uintptr_t)pointer - (uintptr_t)hold->start;
    /* A rotation: what is no multiple of 16 is too large. */
    size_t granule = offset >> 4 | offset << 60;
    uint32_t length;
    if (hfi_unlikely(granule >= hold->granules) || hfi_unlikely(!hfi_held_begin(hold, theap)) ||
        hfi_unlikely(!hfi_held_is_short(hold, granule, &length))) {
        free_unheld(pointer, theap);
        return;
    }
    if (!hold->reuses && (char *)pointer + length * HFI_MAX_ALIGN == hold->cursor) {
        free_newest(pointer, length, theap);
        return;
    }
    hfi_held_put(hold, pointer, granule, length);
    end_held(hold, theap);
}

void hfi_free_outside(void *pointer)
{
    if (pointer != NULL && !hfi_boot_owns(pointer))
        hfi_address_die(pointer, "free", HFI_OWNER_NONE);
}

void hfi_free_slow(void *pointer, size_t index, char *base, struct theap *theap)
{
    hfi_assert(theap == hfi_theap && index == hfi_index_of(pointer));
    hfi_assert(hfi_in_arena(pointer) && (theap->thread == 0 || hfi_load_relaxed(&theap->xbusy) != 0));
    struct found found = { hfi_page_from(base, index), hfi_load_relaxed(hfi_owner_from(base, index)) };
    if (found.owner < HFI_OWNER_UNOWNED) {
        if (found.owner == HFI_OWNER_HEAP)
            free_of_heap(pointer, theap);
        else
            free_larger(found, pointer, theap);
        return;
    }
    unsigned class = found.page->size_class;
    if (hfi_likely(is_for_magazine(theap, found, class, pointer))) {
        hfi_magazine_push(theap, class, found.owner, pointer);
        hfi_theap_leave(theap);
    } else {
        free_larger(found, pointer, theap);
    }
}

void hfi_free_emptied(struct page *page)
{
    struct theap *theap = hfi_theap;
    hfi_theap_enter(theap); /* inside already: no stealer has the page; but one may have the lists */
    hfi_theap_emptied(theap, page);
    hfi_theap_leave(theap);
}
