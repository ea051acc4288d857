/*
 * free: what free does when the fast path ends (slow.h).
 *
 * W2: free never fails and never touches errno.
 *
 * Tests: tests/unit/remote.c, tests/programs/threads.c, tests/programs/misuse.c.
 */
#include <errno.h>

#include "malloc/address.h"
#include "malloc/alloc.h"
#include "base/check.h"
#include "kernel/boot.h"
#include "malloc/init.h"
#include "heap/large.h"
#include "heap/magazine.h"
#include "heap/remote.h"
#include "malloc/thread.h"

static void free_own(struct page *page, struct block *block)
{
    hfi_dead(block);
    hfi_link_set(page, block, page->front.local_free);
    page->front.local_free = block;
    if (--page->front.used == 0)
        hfi_theap_emptied(hfi_theap, page);
}

/* This thread's theap, made if need be; NULL at the thread's end or when there is no memory for
 * it. */
static struct theap *thread_theap(void)
{
    if (hfi_likely(hfi_theap->thread != 0))
        return hfi_theap;
    int saved_errno = errno;
    struct theap *theap = hfi_thread_may_attach() ? hfi_init_thread() : NULL;
    errno = saved_errno;
    if (theap != NULL)
        hfi_theap_enter(theap);
    return theap;
}

/* A block of a page that another thread owns, or nobody. */
static void free_others(struct page *page, uintptr_t owner, struct block *block)
{
    struct theap *theap = thread_theap();
    hfi_dead(block);
    if (theap != NULL) {
        if (hfi_magazine_put(theap, page, owner, block))
            return;
        hfi_magazine_count(theap, owner);
    }
    hfi_remote_free(theap, page, block);
}

/* Inside: owners[] is read, and acted upon, between entering and leaving. */
static void free_inside(void *pointer)
{
    struct found found = hfi_address_find(pointer, "free");
    struct page *page = found.page;
    if (found.owner == HFI_OWNER_LARGE) {
        hfi_large_free(page, pointer);
        return;
    }
    hfi_address_check_start(page, pointer, "free");
    if (found.owner == (uintptr_t)hfi_theap)
        free_own(page, pointer);
    else
        free_others(page, found.owner, pointer);
}

/* A small block of another thread's page, or nobody's, into this thread's magazine: what programs
 * that hand blocks on, or hold many, do all day.  False where anything is unusual. */
HFI_INLINE bool free_into_magazine(struct theap *theap, void *pointer)
{
    char *base = hfi_base;
    size_t offset = (uintptr_t)pointer - (uintptr_t)base, index = offset >> HFI_PAGE_SHIFT;
    if (HFI_SECURE)
        return false;
    uintptr_t owner = hfi_load_relaxed(hfi_owner_from(base, index));
    if (owner < HFI_OWNER_NOBODY)
        return false;
    const struct page *page = hfi_page_from(base, index);
    unsigned class = page->size_class;
    return class < HFI_DIRECT_CLASSES &&
           hfi_address_is_start(&hfi_sizeclasses[class], hfi_sizeclasses[class].blocks,
                                offset % HFI_PAGE_BYTES) &&
           hfi_magazine_put_quickly(theap, page, owner, class, pointer);
}

static HFI_NOINLINE void free_unusual(void *pointer)
{
    if (hfi_theap->thread != 0)
        hfi_theap_enter(hfi_theap);
    free_inside(pointer);
    hfi_theap_leave(hfi_theap);
}

void hfi_free_outside(void *pointer)
{
    if (pointer != NULL && !hfi_boot_owns(pointer))
        hfi_address_die(pointer, "free", HFI_OWNER_NONE);
}

void hfi_free_slow(void *pointer)
{
    struct theap *theap = hfi_theap;
    hfi_assert(hfi_in_arena(pointer) && (theap->thread == 0 || hfi_load_relaxed(&theap->xbusy) != 0));
    if (hfi_likely(free_into_magazine(theap, pointer)))
        hfi_theap_leave(theap);
    else
        free_unusual(pointer);
}

void hfi_free_emptied(void *block)
{
    struct theap *theap = hfi_theap;
    /* the fast path is for pages that are heads alone */
    struct page *page = hfi_page_at(hfi_index_of(block));
    hfi_theap_enter(theap); /* inside already: no stealer has the page; but one may have the lists */
    hfi_theap_emptied(theap, page);
    hfi_theap_leave(theap);
}
