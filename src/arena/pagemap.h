/*
 * pagemap: what a reader in another process sees of each page (<holdfast/inspect.h>).
 *
 * One word per 64 KiB, in the inspection segment, stored by whoever changes a run's state, on slow
 * paths alone.  Only heads of runs are told of: so a gigabyte costs one store.  And the node's
 * figures that a free changes, since no other slow path may follow it.  Nothing here decides
 * anything.
 */
#ifndef HFI_PAGEMAP_H
#define HFI_PAGEMAP_H

#include <holdfast/inspect.h>

#include "arena/pagetable.h"
#include "arena/sizeclass.h"

/* Where this process's segment is.  Who sees it late leaves one entry to the next change. */
struct shown {
    _Atomic(struct hf_inspect_segment *) xsegment; /* atomic: NULL while there is none */
    _Atomic(_Atomic(uint64_t) *) xpages;           /* atomic: entry of the first node's first page; NULL
                                                    * where there is no map */
    _Atomic(struct hf_inspect_node *) xnodes;      /* atomic: records of the nodes, by index */
    _Atomic(struct hf_inspect_heap *) xheaps;      /* atomic: slots of heaps of the program */
};

/* Once there is a segment, this lies in a page that a child finds wiped.  A child of clone(2) or
 * _Fork(3) runs no handlers of fork, and would go on storing into the segment of its parent. */
extern HFI_HIDDEN _Atomic(struct shown *) hfi_xshown;

HFI_INLINE struct shown *hfi_shown(void)
{
    return hfi_load_acquire(&hfi_xshown); /* pairs with keep_from_children (inspect.c) */
}

/* By node: what a page's index is more than its place in the map, where the nodes' pages follow
 * each other without gaps.  Const once the arena stands. */
extern HFI_HIDDEN size_t hfi_pagemap_gaps[];

/* Stores a figure for readers of the segment, or of this process.  Relaxed: several threads may
 * store a node's, and any is as good as the other. */
#define HFI_SHOW(field, value) hfi_plain_store_relaxed(&(field), (value))
#define HFI_SHOWN(field) hfi_plain_load_relaxed(&(field))

/* Of a page that may have its next owner by now: its node stays the same. */
HFI_INLINE _Atomic(uint64_t) *hfi_pagemap_entry(const struct page *head)
{
    _Atomic(uint64_t) *map = hfi_load_relaxed(&hfi_shown()->xpages);
    return map == NULL ? NULL : map + (hfi_page_index(head) - hfi_pagemap_gaps[HFI_SHOWN(head->node)]);
}

HFI_INLINE void hfi_pagemap_show(const struct page *head, uint64_t entry)
{
    _Atomic(uint64_t) *shown = hfi_pagemap_entry(head);
    if (shown != NULL)
        hfi_store_relaxed(shown, entry);
}

/* A run of blocks with `used` of them out.  Who looks at others' runs (segment.c) may find that it
 * has become a large block since: so the class is read once, and may be none. */
HFI_INLINE uint64_t hfi_pagemap_blocks(const struct page *head, enum hf_inspect_page_state state,
                                       uint32_t theap, uint32_t used)
{
    uint8_t class = HFI_SHOWN(head->size_class);
    uint32_t missing = 0;
    if (class < HFI_CLASS_COUNT)
        missing = hfi_sizeclasses[class].run_pages - HFI_SHOWN(head->run_pages);
    return HF_PAGE_ENTRY(state, class, hfi_min(theap, HF_PAGE_NO_THEAP), missing << 24 | used);
}

HFI_INLINE void hfi_pagemap_show_blocks(const struct page *head, enum hf_inspect_page_state state,
                                        uint32_t theap, uint32_t used)
{
    hfi_pagemap_show(head, hfi_pagemap_blocks(head, state, theap, used));
}

/* A page that was unowned, and still is as far as is known, has room now.  The entry of who
 * has claimed it meanwhile stays. */
HFI_INLINE void hfi_pagemap_show_room(const struct page *head)
{
    _Atomic(uint64_t) *shown = hfi_pagemap_entry(head);
    uint64_t entry = shown == NULL ? 0 : hfi_load_relaxed(shown);
    if (HF_PAGE_STATE(entry) == HF_PAGE_LOOSE)
        hfi_cas_relaxed(shown, &entry, entry - HF_PAGE_LOOSE + HF_PAGE_IDLE);
}

#endif
