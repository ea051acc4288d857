/*
 * use: see use.h.
 *
 * HU1: while hfi_use_handle is set, or the thread has no theap, every list that malloc's fast path may
 *      take from is empty (T2 in theap.c).
 * HU2: a heap's xusers counts the threads that use it, or have suspended that, once for each time.
 *      So its end knows of them: no thread's malloc leads to a heap that has ended.
 *
 * Tests: tests/programs/heap-use.c, tests/programs/heap-misuse.c.
 */
#include "malloc/use.h"

#include "base/check.h"
#include "heap/heap.h"
#include "heap/theap.h"

HFI_TLS const void *hfi_use_handle;
static HFI_TLS struct suspension *suspended; /* innermost */

/* Users are counted for a misuse alone: nothing is ordered by it. */
static void count_user(const void *handle, uint32_t one)
{
    struct heap *heap = hfi_heap_find(handle);
    hfi_assert(heap != NULL);
    hfi_fetch_add_relaxed(&heap->xusers, one);
}

static void set(const void *handle)
{
    if (handle != NULL)
        hfi_theap_withhold(hfi_theap);
    else
        hfi_theap_offer(hfi_theap);
    hfi_use_handle = handle;
}

void hfi_use_begin(struct heap *heap, const void *handle)
{
    hfi_fetch_add_relaxed(&heap->xusers, 1);
    if (hfi_use_handle != NULL)
        count_user(hfi_use_handle, (uint32_t)-1);
    set(handle);
}

void hfi_use_end(void)
{
    if (hfi_use_handle == NULL)
        return;
    count_user(hfi_use_handle, (uint32_t)-1);
    set(NULL);
}

void hfi_use_suspend(struct suspension *suspension)
{
    *suspension = (struct suspension){ hfi_use_handle, suspended };
    suspended = suspension;
    if (hfi_use_handle != NULL)
        set(NULL);
}

void hfi_use_resume(const struct suspension *suspension)
{
    hfi_assert(suspended == suspension);
    hfi_use_end(); /* what a callback left */
    suspended = suspension->outer;
    if (suspension->handle != NULL)
        set(suspension->handle);
}

bool hfi_use_has(const void *handle)
{
    const struct suspension *at = suspended;
    while (at != NULL && at->handle != handle)
        at = at->outer;
    return at != NULL || hfi_use_handle == handle;
}

void hfi_use_forked(void)
{
    if (hfi_use_handle != NULL)
        count_user(hfi_use_handle, 1);
    for (const struct suspension *at = suspended; at != NULL; at = at->outer)
        if (at->handle != NULL)
            count_user(at->handle, 1);
}

void hfi_use_forsake(void)
{
    hfi_use_handle = NULL;
    for (struct suspension *at = suspended; at != NULL; at = at->outer)
        at->handle = NULL;
}
