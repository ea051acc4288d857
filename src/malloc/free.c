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
#include "base/check.h"
#include "kernel/boot.h"
#include "malloc/fork.h"
#include "malloc/heaps.h"
#include "malloc/init.h"
#include "heap/large.h"
#include "heap/magazine.h"
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

/* A block of a page that another thread owns, or that is unowned.  `theap`: this thread's, which
 * has entered, or NULL. */
static void free_others(struct theap *theap, struct found found, struct block *block)
{
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
        hfi_heaps_free_late(pointer);
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

/* A small block of another thread's page, or of an unowned one, that the magazine takes as it is.
 * Programs that hand blocks on, or have many, free such blocks all day. */
HFI_INLINE bool is_for_magazine(const struct theap *theap, struct found found, const void *pointer)
{
    unsigned class = found.page->size_class;
    return !HFI_SECURE && found.owner >= HFI_OWNER_UNOWNED && class < HFI_DIRECT_CLASSES &&
           hfi_magazine_has_room(theap, found.page, class, pointer) &&
           hfi_address_is_start(&hfi_sizeclasses[class], hfi_sizeclasses[class].blocks,
                                (size_t)((const char *)pointer - hfi_base) % HFI_PAGE_BYTES);
}

/* A block that no magazine takes as it is: mostly a larger one, of a page that another thread owns, or
 * that is unowned. */
static HFI_NOINLINE void free_larger(struct found found, void *pointer)
{
    struct theap *theap = hfi_theap;
    unsigned class = found.page->size_class;
    if (HFI_SECURE || found.owner < HFI_OWNER_UNOWNED || class < HFI_DIRECT_CLASSES ||
        class >= HFI_CLASS_COUNT || theap->thread == 0 ||
        !hfi_address_is_start(&hfi_sizeclasses[class], found.page->reserved,
                              (size_t)((const char *)pointer - hfi_base) % HFI_PAGE_BYTES)) {
        free_found(found, pointer);
        return;
    }
    hfi_theap_enter(theap);
    hfi_magazine_count(theap, found.owner);
    hfi_remote_free(theap, found.page, pointer);
    hfi_theap_leave(theap);
}

void hfi_free_outside(void *pointer)
{
    if (pointer != NULL && !hfi_boot_owns(pointer))
        hfi_address_die(pointer, "free", HFI_OWNER_NONE);
}

void hfi_free_slow(void *pointer)
{
    struct theap *theap = hfi_theap;
    char *base = hfi_base;
    size_t index = ((uintptr_t)pointer - (uintptr_t)base) >> HFI_PAGE_SHIFT;
    hfi_assert(hfi_in_arena(pointer) && (theap->thread == 0 || hfi_load_relaxed(&theap->xbusy) != 0));
    struct found found = { hfi_page_from(base, index), hfi_load_relaxed(hfi_owner_from(base, index)) };
    if (hfi_likely(is_for_magazine(theap, found, pointer))) {
        hfi_magazine_push(theap, found.page->size_class, found.owner, pointer);
        hfi_theap_leave(theap);
    } else {
        free_larger(found, pointer);
    }
}

void hfi_free_emptied(struct page *page)
{
    struct theap *theap = hfi_theap;
    hfi_theap_enter(theap); /* inside already: no stealer has the page; but one may have the lists */
    hfi_theap_emptied(theap, page);
    hfi_theap_leave(theap);
}
