/*
 * full: what is said and done where nothing fits, or little is left: the reports, the application's
 * callbacks, ENOMEM.
 *
 * The calling thread is outside of its theap.
 */
#ifndef HFI_FULL_H
#define HFI_FULL_H

#include "app/pressure.h"

struct theap;

/* The heap that the thread's call is on, by its handle; NULL: the default one. */
extern HFI_HIDDEN HFI_TLS const void *hfi_full_heap;

/* The arena is full: asks the application to free something.  Its callbacks run with nothing held,
 * and may allocate, free or fork: the thread may come back with another theap, or none. */
HFI_COLD bool hfi_full_ask(struct arena_node *node, size_t pages);

/* Out of line: tells the application of marks that nodes have come under. */
HFI_COLD void hfi_full_tell_low(void);

/* The end of a call that took pages: with nothing held, as hfi_full_ask. */
HFI_INLINE void hfi_full_settle(void)
{
    if (hfi_unlikely(hfi_pressure_is_due()))
        hfi_full_tell_low();
}

/* Nothing fits: says so, and does as HOLDFAST_ON_FULL says.  NULL and ENOMEM, as are all below. */
HFI_COLD void *hfi_full_fail(size_t bytes, size_t pages, size_t align_bytes);

/* What no arena of this size could give is the caller's affair. */
HFI_COLD void *hfi_full_impossible(size_t bytes, size_t align_bytes);

/* The boot region is full, or could never hold the request. */
HFI_COLD void *hfi_full_boot(size_t bytes, size_t align_bytes);

/* Counts a call that failed.  The empty theap is every thread's, and counts nothing. */
void hfi_full_count(struct theap *theap);

/* After a run of the reserve was handed out: the first is told of, and later ones seldom. */
HFI_COLD void hfi_full_tell_reserve(const struct page *page);

#endif
