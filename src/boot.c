/*
 * boot: see boot.h.
 *
 * B1: a block is preceded by its size in a word; regions only grow, so a block is never reused
 *     and its memory is zero when handed out.
 *
 * The bump offset is advanced by CAS; the second region is mapped by whoever needs it
 * first, and a loser of that race unmaps its own again.
 *
 * Test: tests/programs/early.c.
 */
#include "boot.h"

#include "atomic.h"
#include "os.h"

#define STATIC_BYTES ((size_t)256 * HFI_KIB)
#define MAPPED_BYTES HFI_BOOT_MAX_BYTES
#define HEADER_BYTES ((size_t)16)

static char static_region[STATIC_BYTES] __attribute__((aligned(4096)));
static _Atomic(size_t) xstatic_used;
static _Atomic(char *) xmapped;
static _Atomic(size_t) xmapped_used;

static void *bump(char *region, size_t region_bytes, _Atomic(size_t) *xused, size_t bytes, size_t align)
{
    size_t used = hfi_load_relaxed(xused);
    size_t start;
    do {
        start = hfi_align_up(used + HEADER_BYTES, hfi_max(align, HEADER_BYTES));
        if (start > region_bytes || bytes > region_bytes - start)
            return NULL;
        /* relaxed: the block's bytes are nobody else's, before or after */
    } while (!hfi_cas_weak_relaxed(xused, &used, start + bytes));
    *(size_t *)(region + start - HEADER_BYTES) = bytes;
    return region + start;
}

static char *mapped_region(void)
{
    char *mapped = hfi_load_acquire(&xmapped);
    if (mapped != NULL)
        return mapped;
    char *fresh = hfi_os_reserve(MAPPED_BYTES, HFI_PAGE_BYTES);
    if (fresh == NULL || hfi_os_map(fresh, MAPPED_BYTES, 4096) != 0)
        return NULL;
    if (hfi_cas_acq_rel(&xmapped, &mapped, fresh))
        return fresh;
    hfi_os_unreserve(fresh, MAPPED_BYTES);
    return mapped;
}

void *hfi_boot_alloc(size_t bytes, size_t align)
{
    if (bytes > MAPPED_BYTES) /* rounding such a size up could wrap around */
        return NULL;
    bytes = hfi_align_up(hfi_max(bytes, 1), HFI_MAX_ALIGN);
    void *block = bump(static_region, STATIC_BYTES, &xstatic_used, bytes, align);
    if (block != NULL)
        return block;
    char *mapped = mapped_region();
    return mapped == NULL ? NULL : bump(mapped, MAPPED_BYTES, &xmapped_used, bytes, align);
}

bool hfi_boot_owns(const void *pointer)
{
    const char *mapped = hfi_load_acquire(&xmapped);
    return (uintptr_t)pointer - (uintptr_t)static_region < STATIC_BYTES ||
           (mapped != NULL && (uintptr_t)pointer - (uintptr_t)mapped < MAPPED_BYTES);
}

size_t hfi_boot_usable(const void *pointer)
{
    return *(const size_t *)((const char *)pointer - HEADER_BYTES);
}
