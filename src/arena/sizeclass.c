/*
 * sizeclass: the table behind sizeclass.h, computed once.
 *
 * S1: block_bytes grows with the class and hfi_sizeclass_of(block_bytes) is the class.
 * S2: a run's tail that no block fits into is at most 1/32 of the run; in the secure build, with
 *     its guard, 1/8.
 * S3: extend_blocks blocks span at most 2 KiB, or are EXTEND_BLOCKS_MIN.
 * S4: ample_blocks is at most 1/16 of a run's blocks, or 1: what pages with less room leave unused.
 * S5: runs of the first HFI_DIRECT_CLASSES classes are one page long, but in the secure build.
 *
 * Test: tests/unit/page.c.
 */
#include "arena/sizeclass.h"

#define TAIL_SHARE (HFI_SECURE ? 8u : 32u)
#define RUN_PAGES_MAX (HFI_SECURE ? 10u : 8u) /* a guard on top of the whole pages of large blocks */
#define EXTEND_BYTES 2048u
#define AMPLE_SHARE 16u
#define AMPLE_BLOCKS_MAX 8u
#define EXTEND_BLOCKS_MIN (HFI_SECURE ? 16u : 1u) /* their order is shuffled: one alone has none */

struct sizeclass hfi_sizeclasses[HFI_CLASS_COUNT];

static size_t class_block_bytes(unsigned class)
{
    if (class < 16)
        return (class + 1) * 16;
    if (class < 24)
        return 256 + (class - 15) * 32;
    unsigned top = 9 + (class - 24) / 4;
    return (size_t)(4 + (class - 24) % 4 + 1) << (top - 2);
}

/* The shortest run whose tail is small enough (S2). */
static size_t class_run_pages(const struct sizeclass *class)
{
    size_t pages = hfi_sizeclass_least_pages(class);
    while (pages < RUN_PAGES_MAX &&
           (pages * HFI_PAGE_BYTES - hfi_sizeclass_blocks(class, pages) * (size_t) class->block_bytes) *
                   TAIL_SHARE >
               pages * HFI_PAGE_BYTES)
        pages++;
    return pages;
}

void hfi_sizeclass_init(void)
{
    size_t direct_next = 0;
    for (unsigned i = 0; i < HFI_CLASS_COUNT; i++) {
        struct sizeclass *class = &hfi_sizeclasses[i];
        size_t bytes = class_block_bytes(i);
        class->inverse = (((uint64_t)1 << HFI_INVERSE_SHIFT) + bytes - 1) / bytes;
        class->block_bytes = (uint32_t)bytes;
        class->run_pages = (uint16_t)class_run_pages(class);
        class->blocks = (uint16_t)hfi_sizeclass_blocks(class, class->run_pages);
        class->extend_blocks =
            (uint16_t)hfi_min(hfi_max(EXTEND_BYTES / bytes, EXTEND_BLOCKS_MIN), HFI_EXTEND_BLOCKS_MAX);
        class->ample_blocks = (uint16_t)hfi_min(hfi_max(class->blocks / AMPLE_SHARE, 1), AMPLE_BLOCKS_MAX);
        if (bytes <= HFI_DIRECT_MAX_BYTES) {
            class->direct_first = (uint16_t)direct_next;
            class->direct_last = (uint16_t)(bytes / 16);
            direct_next = bytes / 16 + 1;
        }
    }
}
