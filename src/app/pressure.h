/*
 * pressure: callbacks of the application for when a node is full, or about to be.
 *
 * A cache that can shrink registers here.  When a node comes under a mark, and before malloc reports a
 * full arena, the callbacks run on the calling thread (base/callback.h).  They may free, and allocate
 * a little.
 */
#ifndef HFI_PRESSURE_H
#define HFI_PRESSURE_H

#include <holdfast/holdfast.h>

#include "arena/arena.h"

#define HFI_PRESSURE_MAX HFI_MARKS

/* 0, or -ENOSPC when HFI_PRESSURE_MAX are registered.  Thread-safe; lock-free. */
int hfi_pressure_register(hf_pressure_function *function, void *argument);
int hfi_pressure_unregister(hf_pressure_function *function, void *argument);

/* The same with a mark for each node, or for `only`, in bytes and in percent of it. */
int hfi_pressure_watch(const struct hf_pressure_options *options, const struct arena_node *only);
int hfi_pressure_unwatch(hf_pressure_handler *handler, void *context);

/* Whether there is one to call. */
bool hfi_pressure_is_wanted(void);

/* A call on a heap, by its handle, is about to fail for want of `bytes` in one run of a node: calls
 * them all.  True when any says that it freed something. */
bool hfi_pressure_call(const struct arena_node *node, size_t bytes, const void *heap);

/* Whether a node has perhaps come under a mark. */
HFI_INLINE bool hfi_pressure_is_due(void)
{
    return hfi_load_relaxed(&hfi_xmarks_due); /* relaxed: the mark's state decides */
}

/* Calls those whose mark a node has come under. */
HFI_COLD void hfi_pressure_tell_low(const void *heap);

#endif
