/*
 * callback: a call of the program's own code, from inside an allocation.
 *
 * The caller holds nothing and is inside nothing: the program may free, allocate and fork there.  A
 * thread is inside one callback at most, of whatever kind: one that takes the program's lock would
 * else wait for its own thread.  It is not cancelled meanwhile, as malloc is no cancellation point.
 */
#ifndef HFI_CALLBACK_H
#define HFI_CALLBACK_H

#include "base/base.h"

/* Whether this thread is inside one. */
bool hfi_callback_is_under_way(void);

/* False: it is inside one already, and calls none.  *cancel: for hfi_callback_end. */
bool hfi_callback_begin(int *cancel);
void hfi_callback_end(int cancel);

#endif
