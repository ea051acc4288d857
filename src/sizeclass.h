/*
 * sizeclass: which block size serves a request, and how its pages are cut.
 *
 *   16 .. 256     every 16 bytes                     classes  0..15
 *   288 .. 32K    eight classes per doubling         classes 16..71
 *   40K .. 256K   four classes per doubling          classes 72..83
 *
 * So a block is at most 25 % larger than any request over 64 bytes (12.5 % up
 * to 32 KiB).  A block of 2^k bytes is 2^k-aligned because every run starts
 * on a 64 KiB boundary.  Requests over 256 KiB are whole pages (large.h).
 */
#ifndef HFI_SIZECLASS_H
#define HFI_SIZECLASS_H

#include "base.h"
#include "bits.h"

#define HFI_CLASS_COUNT 84u
#define HFI_CLASS_LARGE 255u         /* page->size_class of a run that is one block */
#define HFI_BLOCK_MAX_BYTES ((size_t)256 * HFI_KIB)
#define HFI_DIRECT_MAX_BYTES 1024u   /* the theap's direct table goes up to here */
#define HFI_DIRECT_COUNT (HFI_DIRECT_MAX_BYTES / 16 + 1)

struct sizeclass {
    uint32_t block_bytes;
    uint16_t run_pages;     /* pages per run, 1 for all but blocks that waste too much of one */
    uint16_t blocks;        /* blocks per run */
    uint16_t extend_blocks; /* blocks linked at a time: bounded work per call */
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
    if (top < 15)
        return 16 + (top - 8) * 8 + ((last >> (top - 3)) & 7);
    return 72 + (top - 15) * 4 + ((last >> (top - 2)) & 3);
}

#endif
