/*
 * events: what the segment tells of things that happened: a ring of the last, and counts.
 *
 * Thread-safe.  Without a segment the counts alone are kept.
 */
#ifndef HFI_EVENTS_H
#define HFI_EVENTS_H

#include <holdfast/inspect.h>

#include "base/base.h"

struct arena_node;

/* Something for the list of events. */
void hfi_inspect_event(enum hf_inspect_event_kind kind, const struct arena_node *node, uint64_t a,
                       uint64_t b);

/* The arena, or a clone of that, was registered with an io_uring (0) or refused (-errno). */
void hfi_inspect_registered(int error, bool cloned);

/* Whether any ring has the arena registered, as far as is known. */
void hfi_inspect_rings(bool any);

/* Tells that again, of a segment that is new. */
void hfi_inspect_rings_again(void);

/* The process is about to fork. */
void hfi_inspect_forking(void);

/* In a forked child: what happened did so to its parent. */
void hfi_inspect_forget_events(void);

#endif
