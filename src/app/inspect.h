/*
 * inspect: publishing what a reader in another process may see.
 */
#ifndef HFI_INSPECT_H
#define HFI_INSPECT_H

#include "base/base.h"

struct page;
struct theap;

/* Publishes the segment, or decides not to.  Called once by init. */
void hfi_inspect_init(void);

/* A theap came into use, or goes out of it: its thread's own calls. */
void hfi_inspect_attach(struct theap *theap);
void hfi_inspect_detach(struct theap *theap);

/* After a call looked beyond its theap's own pages: copies the theap's counters to the segment, and the
 * figures of the node that `taken` is of; NULL, when none was to be had, is home.  Returns the moment;
 * 0 when nobody is told. */
uint64_t hfi_inspect_taken(struct theap *theap, const struct page *taken);

/* In a forked child: the parent's segment is no longer written to, not even by a call in which the
 * fork came. */
void hfi_inspect_forked(bool call_may_go_on);

/* In a forked child: it took over pages without following their lists, so that counts of blocks
 * that are out are too high from then on. */
void hfi_inspect_took_over(void);

/* In a forked child, last: publishes its own where HOLDFAST_INSPECT=children asks for that. */
void hfi_inspect_child(void);

#endif
