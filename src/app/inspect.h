/*
 * inspect: publishing what a reader in another process may see.
 */
#ifndef HFI_INSPECT_H
#define HFI_INSPECT_H

#include <holdfast/inspect.h>

#include "heap/theap.h"

/* Publishes the segment, or decides not to.  Called once by init. */
void hfi_inspect_init(void);

/* A theap came into use, or goes out of it: its thread's own calls. */
void hfi_inspect_attach(struct theap *theap);
void hfi_inspect_detach(struct theap *theap);

/* Before a call looks beyond its theap's own pages; 0 when nobody will be told how long that
 * took. */
uint64_t hfi_inspect_begin(void);

/* After it: copies this theap's counters to the segment, and the figures of the node that `taken`
 * is of; NULL, when none was to be had, is home. */
void hfi_inspect_end(struct theap *theap, const struct page *taken, uint64_t begun);

/* Copies the figures of every node to the segment: what changed them was no theap's. */
void hfi_inspect_nodes(void);

/* Something for the list of events. */
void hfi_inspect_event(enum hf_inspect_event_kind kind, const struct arena_node *node, uint64_t a,
                       uint64_t b);

/* What was asked for does not fit on `node`; `remote`: another node gave it.  From then on, until
 * hfi_inspect_room sees that a page of 64 of the node is free, the node counts as full. */
void hfi_inspect_full(struct arena_node *node, size_t bytes, const struct arena_node *remote);
void hfi_inspect_room(struct arena_node *node);

/* The arena, or a clone of that, was registered with an io_uring (0) or refused (-errno). */
void hfi_inspect_registered(int error, bool cloned);

/* Whether any ring has the arena registered, as far as is known. */
void hfi_inspect_rings(bool any);

/* The process is about to fork. */
void hfi_inspect_forking(void);

/* Size of the segment of an arena of so many nodes and pages. */
size_t hfi_inspect_bytes(unsigned nodes, size_t arena_pages);

/* In a forked child: the parent's segment is no longer written to, not even by a call in which the
 * fork came. */
void hfi_inspect_forked(bool call_may_go_on);

/* In a forked child: it took over pages without following their lists, so that counts of blocks
 * that are out are too high from then on. */
void hfi_inspect_took_over(void);

/* In a forked child, last: publishes its own where HOLDFAST_INSPECT=children asks for that. */
void hfi_inspect_child(void);

#endif
