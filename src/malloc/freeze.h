/*
 * freeze: from hf_freeze on, fresh pages of the default heap are told of, or end the program.
 */
#ifndef HFI_FREEZE_H
#define HFI_FREEZE_H

#include "base/atomic.h"
#include "base/base.h"

struct arena_node;

enum freeze { FREEZE_NOT, FREEZE_TELL, FREEZE_ABORT };

extern HFI_HIDDEN _Atomic(uint32_t) hfi_freeze_way; /* atomic: enum freeze */

HFI_INLINE bool hfi_freeze_is_on(void)
{
    return hfi_load_relaxed(&hfi_freeze_way) != FREEZE_NOT; /* relaxed: a call under way was before */
}

/* A fresh run of `pages` was taken on `node` for a block of `bytes`: the first is told of, or ends
 * the program.  The calling thread is outside of its theap. */
HFI_COLD void hfi_freeze_note(const struct arena_node *node, size_t pages, size_t bytes);

/* Pages noted so far. */
uint64_t hfi_freeze_pages(void);

#endif
