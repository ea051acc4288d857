/*
 * pressure: callbacks of the application for when a node is full.
 *
 * A cache that can shrink registers here.  Before malloc reports a full arena the callbacks run on
 * the calling thread.  They may free; allocations of their own fail at once.
 */
#ifndef HFI_PRESSURE_H
#define HFI_PRESSURE_H

#include "base/base.h"

#define HFI_PRESSURE_MAX 8

typedef bool hfi_pressure_function(size_t bytes, unsigned node, void *argument);

/* 0, or -ENOSPC when HFI_PRESSURE_MAX are registered.  Thread-safe; lock-free. */
int hfi_pressure_register(hfi_pressure_function *function, void *argument);
int hfi_pressure_unregister(hfi_pressure_function *function, void *argument);

/* Whether there is one to call. */
bool hfi_pressure_is_wanted(void);

/* Calls them all with the bytes wanted in one run; true when any says it freed something. */
bool hfi_pressure_call(size_t bytes, unsigned node);

#endif
