/*
 * page: size classes, and what a reader in another process is told of a page.
 */
#include "heap.h"
#include "arena/pagemap.h"

TestSuite(page, .init = set_up);

Test(page, classes_waste_little_and_name_themselves)
{
    for (size_t bytes = 1; bytes <= HFI_BLOCK_MAX_BYTES; bytes += bytes < 4096 ? 1 : 17) {
        unsigned class = hfi_sizeclass_of(bytes);
        const struct sizeclass *cut = &hfi_sizeclasses[class];
        cr_assert(class < HFI_CLASS_COUNT && cut->block_bytes >= bytes);
        cr_assert(class == 0 || hfi_sizeclasses[class - 1].block_bytes < bytes);
        cr_assert_eq(hfi_sizeclass_of(cut->block_bytes), class);
        if (bytes > 64)
            cr_assert((cut->block_bytes - bytes) * 4 <= bytes, "%zu in %u", bytes, cut->block_bytes);
        cr_assert_eq(class < HFI_DIRECT_CLASSES, cut->block_bytes <= HFI_DIRECT_MAX_BYTES);
        cr_assert(class >= HFI_DIRECT_CLASSES || cut->run_pages == 1);
        cr_assert(cut->blocks * cut->block_bytes * 8 >= cut->run_pages * HFI_PAGE_BYTES * 7);
        if (hfi_is_power_of_two(cut->block_bytes))
            cr_assert_eq(HFI_PAGE_BYTES % hfi_min(cut->block_bytes, HFI_PAGE_BYTES), 0);
    }
}

/* As a reader of others' runs may find it: the page was of blocks when it looked at the owner. */
Test(page, a_page_that_has_become_large_meanwhile_is_shown_without_a_class)
{
    for (uint32_t pages = 1; pages <= 4; pages++) {
        struct page page = { .size_class = HFI_CLASS_LARGE, .run_pages = pages };
        uint64_t entry = hfi_pagemap_blocks(&page, HF_PAGE_OWNED, 1, 5);
        cr_assert_eq(HF_PAGE_STATE(entry), HF_PAGE_OWNED);
        cr_assert_eq(HF_PAGE_COUNT(entry), 5);
    }
}
