/*
 * figures: what the segment tells of nodes and theaps, as it changes.
 *
 * Thread-safe, each theap by its own thread.  The first three want a segment that is shown, or is
 * being made; the others look for themselves.
 */
#ifndef HFI_FIGURES_H
#define HFI_FIGURES_H

#include "base/base.h"

struct arena_node;
struct theap;

/* Copies what is known of a node, or of a theap at the moment `now`, to the segment. */
void hfi_inspect_update_node(struct arena_node *node);
void hfi_inspect_update_theap(struct theap *theap, bool in_use, uint64_t now);

/* Where a span of ticks counts in a histogram. */
unsigned hfi_inspect_bucket(uint64_t ticks);

/* Counts a call that looked beyond the theap's own pages, and took so long. */
void hfi_inspect_note_slow(struct theap *theap, unsigned bucket, uint64_t ticks);

/* Copies the figures of every node to the segment: what changed them was no theap's. */
void hfi_inspect_nodes(void);

/* What was asked for does not fit on `node`; `remote`: another node gave it.  From then on, until
 * hfi_inspect_room sees that a page of 64 of the node is free, the node counts as full. */
void hfi_inspect_full(struct arena_node *node, size_t bytes, const struct arena_node *remote);
void hfi_inspect_room(struct arena_node *node);

/* In a forked child: what was noted is its parent's. */
void hfi_inspect_forget_figures(void);

#endif
