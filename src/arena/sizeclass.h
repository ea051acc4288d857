/*
 * sizeclass: which block size serves a request, and how its pages are cut.
 *
 *   16 .. 256     every 16 bytes                     classes  0..15
 *   288 .. 512     every 32 bytes                     classes 16..23
 *   640 .. 256K    four classes per doubling          classes 24..59
 *
 * So a block is at most 25 % larger than any request over 64 bytes (12.5 % from 128 to 512).  Finer
 * classes waste less in blocks.  But each class that a thread uses costs it a page that is not
 * full: with many threads that weighs more.  A block of 2^k bytes is 2^k-aligned because every run
 * starts on a 64 KiB boundary.  Requests over 256 KiB are whole pages (large.h).
 */
#ifndef HFI_SIZECLASS_H
#define HFI_SIZECLASS_H

#include "base/base.h"
#include "base/bits.h"

#define HFI_CLASS_COUNT 60u
#define HFI_CLASS_LARGE 255u /* page->size_class of a run that is one block */
#define HFI_CLASS_HEAP 254u  /* page->size_class of what heaps of the program have */
#define HFI_EXTEND_BLOCKS_MAX 64u
#define HFI_BLOCK_MAX_BYTES ((size_t)256 * HFI_KIB)
#define HFI_INVERSE_SHIFT 40
#define HFI_DIRECT_MAX_BYTES 1024u /* the theap's direct table goes up to here */
#define HFI_DIRECT_CLASSES 28u     /* ... which is so many classes */
#define HFI_DIRECT_COUNT (HFI_DIRECT_MAX_BYTES / 16 + 1)

struct sizeclass {
    uint64_t inverse; /* 2^40 / block_bytes, rounded up: hfi_sizeclass_block */
    uint32_t block_bytes;
    uint16_t run_pages;     /* pages per run, 1 for all but blocks that waste too much of one */
    uint16_t blocks;        /* blocks per run of that length */
    uint16_t extend_blocks; /* blocks linked at a time: bounded work per call */
    uint16_t ample_blocks;  /* free ones from which on an unowned page is worth a visit (idleset.h) */
    uint16_t direct_first;  /* entries of the direct table it serves, block_bytes <= 1024 */
    uint16_t direct_last;
};

/* Const after hfi_sizeclass_init. */
extern struct sizeclass hfi_sizeclasses[HFI_CLASS_COUNT];

/* Fills the table.  Called once, before the first page is cut. */
void hfi_sizeclass_init(void);

/* Class of a request of up to HFI_BLOCK_MAX_BYTES. */
HFI_INLINE unsigned hfi_sizeclass_of(size_t bytes)
{
    if (bytes <= 256)
        return bytes == 0 ? 0 : (unsigned)((bytes - 1) >> 4);
    size_t last = bytes - 1;
    unsigned top = hfi_highest_bit(last);
    if (top == 8)
        return 16 + ((last >> 5) & 7);
    return 24 + (top - 9) * 4 + ((last >> (top - 2)) & 3);
}

/* Blocks of a class that a run of so many pages holds, in front of its guard; and the pages of the
 * shortest run that holds one.  A node with no run of run_pages left is cut into shorter ones. */
HFI_INLINE uint32_t hfi_sizeclass_blocks(const struct sizeclass *class, size_t pages)
{
    return (uint32_t)((pages * HFI_PAGE_BYTES - HFI_GUARD_BYTES) / class->block_bytes);
}

HFI_INLINE size_t hfi_sizeclass_least_pages(const struct sizeclass *class)
{
    return hfi_divide_up(class->block_bytes + HFI_GUARD_BYTES, HFI_PAGE_BYTES);
}

/* Number of the block in which a run's byte `offset` lies.  Exact for all offsets in a run, of 2^19
 * bytes at most: the error of the inverse, times the offset, stays under 2^40 / block_bytes. */
HFI_INLINE uint32_t hfi_sizeclass_block(const struct sizeclass *class, uint32_t offset)
{
    return (uint32_t)(offset * class->inverse >> HFI_INVERSE_SHIFT);
}

#endif
