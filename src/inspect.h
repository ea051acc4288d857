/*
 * inspect: publishing what a reader in another process may see.
 */
#ifndef HFI_INSPECT_H
#define HFI_INSPECT_H

#include "theap.h"

/* Publishes the segment, or decides not to.  Called once by init. */
void hfi_inspect_init(void);

/* A theap came into use, or goes out of it: its thread's own calls. */
void hfi_inspect_attach(struct theap *theap);
void hfi_inspect_detach(struct theap *theap);

/* Slow path: copies this theap's counters to the segment, and the figures of the node that `taken` is of;
 * NULL, when none was to be had, is home. */
void hfi_inspect_update(struct theap *theap, const struct page *taken);

/* Copies the figures of every node to the segment: what changed them was no theap's. */
void hfi_inspect_nodes(void);

/* In a forked child: the parent's segment is no longer written to. */
void hfi_inspect_forked(void);

#endif
