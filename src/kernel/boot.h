/*
 * boot: memory for the time before the arena stands.
 *
 * hwloc calls malloc while it is asked about the machine, and the dynamic
 * loader may before that.  A static region, and behind it one mapping, serve
 * them by a bump pointer.  Blocks may be freed or resized at any later time; freeing
 * returns nothing.  Thread-safe, lock-free.
 */
#ifndef HFI_BOOT_H
#define HFI_BOOT_H

#include "base/base.h"

/* The larger of the two regions: address space, touched as needed. */
#define HFI_BOOT_MAX_BYTES ((size_t)256 * HFI_MIB)

#define HFI_BOOT_MAX_ALIGN ((size_t)4096)

/* Zeroed block, aligned to `align` (a power of two up to HFI_BOOT_MAX_ALIGN); NULL when both
 * regions are full. */
void *hfi_boot_alloc(size_t bytes, size_t align);

/* Whether a pointer came from hfi_boot_alloc. */
bool hfi_boot_owns(const void *pointer);

/* Bytes of such a block. */
size_t hfi_boot_usable(const void *pointer);

#endif
