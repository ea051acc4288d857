/*
 * boot: see boot.h.
 *
 * B1: a block is preceded by its size in a word.  Regions only grow, so a block is never reused and
 *     its memory is zero when handed out.
 * B2: of the second region only what lies before xmapped_open is accessible, and all that was
 *     handed out lies there.
 *
 * The bump offset is advanced by CAS.  The thread that needs the second region first maps it, and a
 * loser of that race unmaps its own again.
 *
 * Tests: tests/programs/early.c, tests/programs/lockall.c.
 */
#include "kernel/boot.h"

#include "base/atomic.h"
#include "kernel/os.h"

#define STATIC_BYTES ((size_t)256 * HFI_KIB)
#define MAPPED_BYTES HFI_BOOT_MAX_BYTES
#define OPEN_BYTES HFI_MIB /* at a time: mlockall locks what is open */
#define HEADER_BYTES ((size_t)16)

static char static_region[STATIC_BYTES] __attribute__((aligned(4096)));
static _Atomic(size_t) xstatic_used;
static _Atomic(char *) xmapped;
static _Atomic(size_t) xmapped_used;
static _Atomic(size_t) xmapped_open;

static bool open_mapped(char *mapped, size_t end);

/* Offset of a block, whose header in front is to be written.  0 when the region has no space, or
 * the kernel refuses to open it (B2): then nothing is used up. */
static size_t bump(char *mapped, size_t region_bytes, _Atomic(size_t) *xused, size_t bytes, size_t align)
{
    size_t used = hfi_load_relaxed(xused);
    size_t start;
    do {
        start = hfi_align_up(used + HEADER_BYTES, hfi_max(align, HEADER_BYTES));
        if (start > region_bytes || bytes > region_bytes - start)
            return 0;
        if (mapped != NULL && !open_mapped(mapped, start + bytes))
            return 0;
        /* relaxed: the block's bytes are nobody else's, before or after */
    } while (!hfi_cas_weak_relaxed(xused, &used, start + bytes));
    return start;
}

static void *block_at(char *region, size_t start, size_t bytes)
{
    *(size_t *)(region + start - HEADER_BYTES) = bytes;
    return region + start;
}

static char *mapped_region(void)
{
    char *mapped = hfi_load_acquire(&xmapped);
    if (mapped != NULL)
        return mapped;
    char *fresh = hfi_os_reserve(MAPPED_BYTES, HFI_PAGE_BYTES);
    if (fresh == NULL)
        return NULL;
    if (hfi_cas_acq_rel(&xmapped, &mapped, fresh))
        return fresh;
    hfi_os_unreserve(fresh, MAPPED_BYTES);
    return mapped;
}

/* B2 up to `end`.  Threads may open the same at once, which does no harm. */
static bool open_mapped(char *mapped, size_t end)
{
    size_t open = hfi_load_acquire(&xmapped_open); /* pairs with the CAS below */
    if (end <= open)
        return true;
    end = hfi_min(hfi_align_up(end, OPEN_BYTES), MAPPED_BYTES);
    if (hfi_os_protect(mapped + open, end - open, true) != 0)
        return false;
    while (open < end && !hfi_cas_weak_acq_rel(&xmapped_open, &open, end))
        ;
    return true;
}

void *hfi_boot_alloc(size_t bytes, size_t align)
{
    if (bytes > MAPPED_BYTES) /* rounding such a size up could wrap around */
        return NULL;
    bytes = hfi_align_up(hfi_max(bytes, 1), HFI_MAX_ALIGN);
    size_t start = bump(NULL, STATIC_BYTES, &xstatic_used, bytes, align);
    if (start != 0)
        return block_at(static_region, start, bytes);
    char *mapped = mapped_region();
    if (mapped == NULL)
        return NULL;
    start = bump(mapped, MAPPED_BYTES, &xmapped_used, bytes, align);
    return start != 0 ? block_at(mapped, start, bytes) : NULL;
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
