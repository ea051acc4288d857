/*
 * heap-checked: heaps whose memory stays out of use for a while after their end, so that a late free or
 * a late write is seen, and told with the heap's name and who has ended it.
 *
 * Up to HFI_CHECKED_HEAPS of them, and a part of the arena, wait; the oldest gives way to the newest,
 * and all do before a call fails.  Any thread, lock-free.
 */
#ifndef HFI_HEAP_CHECKED_H
#define HFI_HEAP_CHECKED_H

#include "heap/heap.h"

#define HFI_CHECKED_HEAPS 64u
#define HFI_CHECKED_SHARE 16u /* of the arena's pages, together */

/* As hfi_heap_end, by a thread of the kernel's number `thread` that was called from `from`. */
bool hfi_checked_end(struct heap *heap, uint64_t id, unsigned thread, const void *from);

/* Gives the memory of all that wait back.  False: none did. */
bool hfi_checked_give_way(void);

/* The heap that a block was of, if it waits; NULL: it does not. */
struct heap *hfi_checked_of(const struct page *page, const void *block);

/* The same by its handle. */
struct heap *hfi_checked_find(const void *handle);

/* A late free of a block of such a heap: the first of each heap is told. */
HFI_COLD void hfi_checked_tell_free(struct heap *heap, const void *block);

/* Units of pieces that wait, for figures. */
uint32_t hfi_checked_units(void);

/* In a forked child of a process with threads: none waits, and what did stays as it is. */
void hfi_checked_forked(void);

#endif
