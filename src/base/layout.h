/*
 * layout: offsets from the arena's base, and limits.
 *
 *     base                                                            base + span
 *     | owners | page table | ... | node 0's windows | node 1's windows | ...
 *     0        OWNERS_BYTES       HFI_WINDOWS_OFFSET (1 GiB aligned)
 *
 * One reservation, base aligned to 1 GiB, inaccessible guards before and
 * behind.  owners[] and the page table are indexed by (address - base) >> 16,
 * so the entries of the area before the windows are never used.
 */
#ifndef HFI_LAYOUT_H
#define HFI_LAYOUT_H

#include "base/base.h"

#define HFI_MAX_NODES 64
#define HFI_ARENA_MAX_BYTES ((size_t)4 << 40)

#define HFI_OWNER_ENTRY_BYTES 8              /* per page in owners[] */
#define HFI_TABLE_ENTRY_BYTES 128            /* per page in the page table */
#define HFI_OWNERS_BYTES ((size_t)512 << 20) /* up to the largest arena */
#define HFI_TABLE_OFFSET HFI_OWNERS_BYTES    /* 8 GiB */
#define HFI_WINDOWS_OFFSET ((size_t)9 << 30)
/* Most that all windows together may be: owners and table have no entries beyond. */
#define HFI_WINDOWS_BYTES_MAX (HFI_ARENA_MAX_BYTES - HFI_WINDOWS_OFFSET)

#define HFI_SMALL_PAGE_BYTES ((size_t)4096) /* the kernel's, also where it gathers them to huge ones */
#define HFI_GUARD_SPACE_BYTES ((size_t)2 * HFI_MIB) /* inaccessible, before base and behind the last window */

#endif
