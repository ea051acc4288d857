/*
 * override: the names of the C library that Holdfast answers to.
 *
 * All of glibc's allocation entry points, its __libc_* aliases, and C23's
 * free_sized.  The two fast ones, malloc and free, are alloc.h inline.  Compiled into
 * the library only, so that tests of the core keep the C library's malloc.
 *
 * Tests: tests/programs/api.c, tests/names.sh.
 */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "malloc/alloc.h"
#include "app/info.h"
#include "malloc/init.h"
#include "heap/magazine.h"

#define GLIBC_FAST_MAX_BYTES 160
#define ALIAS(of) HFI_EXPORT __attribute__((alias(#of), copy(of)))

/* The arena stands before main even in a program whose first malloc comes later.  So a named size
 * is populated when the program starts, not in the middle of its work. */
__attribute__((constructor)) static void stand_before_main(void)
{
    hfi_init_thread();
}

/* --- C --- */

void free_sized(void *pointer, size_t bytes);                       /* C23 */
void free_aligned_sized(void *pointer, size_t align, size_t bytes); /* C23 */

HFI_EXPORT void *malloc(size_t bytes)
{
    return hfi_malloc(bytes);
}

HFI_EXPORT void free(void *pointer)
{
    hfi_free(pointer);
}

HFI_EXPORT void *calloc(size_t count, size_t each_bytes)
{
    return hfi_calloc(count, each_bytes);
}

HFI_EXPORT void *realloc(void *pointer, size_t bytes)
{
    return hfi_realloc(pointer, bytes);
}

HFI_EXPORT void *reallocarray(void *pointer, size_t count, size_t each_bytes)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, each_bytes, &bytes))
        return hfi_fail_enomem();
    return hfi_realloc(pointer, bytes);
}

/* This is as in glibc.  An alignment that is no power of two is rounded up, and one that cannot be
 * rounded is EINVAL.  One for which there is no such block is ENOMEM, which here begins above 1
 * GiB. */
HFI_EXPORT void *memalign(size_t align, size_t bytes)
{
    if (align > SIZE_MAX / 2 + 1) {
        errno = EINVAL;
        return NULL;
    }
    size_t rounded = HFI_MAX_ALIGN;
    while (rounded < align)
        rounded *= 2;
    return rounded > HFI_WINDOW_BYTES ? hfi_fail_enomem() : hfi_aligned_alloc(rounded, bytes);
}

HFI_EXPORT void *aligned_alloc(size_t align, size_t bytes)
{
    return memalign(align, bytes);
}

HFI_EXPORT int posix_memalign(void **pointer, size_t align, size_t bytes)
{
    int saved_errno = errno;
    if (align % sizeof(void *) != 0 || !hfi_is_power_of_two(align))
        return EINVAL;
    void *block = align > HFI_WINDOW_BYTES ? NULL : hfi_aligned_alloc(align, bytes);
    errno = saved_errno;
    if (block == NULL)
        return ENOMEM;
    *pointer = block;
    return 0;
}

HFI_EXPORT void *valloc(size_t bytes)
{
    return hfi_aligned_alloc(4096, bytes);
}

HFI_EXPORT void *pvalloc(size_t bytes)
{
    if (bytes > PTRDIFF_MAX)
        return hfi_fail_enomem();
    return hfi_aligned_alloc(4096, hfi_align_up(hfi_max(bytes, 1), 4096));
}

HFI_EXPORT void free_sized(void *pointer, size_t bytes)
{
    (void)bytes;
    hfi_free(pointer);
}

HFI_EXPORT void free_aligned_sized(void *pointer, size_t align, size_t bytes)
{
    (void)align, (void)bytes;
    hfi_free(pointer);
}

HFI_EXPORT size_t malloc_usable_size(void *pointer)
{
    return hfi_usable_size(pointer);
}

/* The names glibc's own older objects and some programs call. */
void *__libc_malloc(size_t bytes);
void __libc_free(void *pointer);
void *__libc_calloc(size_t count, size_t each_bytes);
void *__libc_realloc(void *pointer, size_t bytes);
void *__libc_memalign(size_t align, size_t bytes);
void *__libc_valloc(size_t bytes);
void *__libc_pvalloc(size_t bytes);
void cfree(void *pointer);

ALIAS(malloc) void *__libc_malloc(size_t bytes);
ALIAS(free) void __libc_free(void *pointer);
ALIAS(calloc) void *__libc_calloc(size_t count, size_t each_bytes);
ALIAS(realloc) void *__libc_realloc(void *pointer, size_t bytes);
ALIAS(memalign) void *__libc_memalign(size_t align, size_t bytes);
ALIAS(valloc) void *__libc_valloc(size_t bytes);
ALIAS(pvalloc) void *__libc_pvalloc(size_t bytes);
ALIAS(free) void cfree(void *pointer);

/* --- glibc's questions --- */

/* Nothing goes back to the kernel; what this thread keeps goes to the node. */
HFI_EXPORT int malloc_trim(size_t keep_bytes)
{
    (void)keep_bytes;
    struct theap *theap = hfi_theap;
    if (theap->thread == 0)
        return 0;
    hfi_theap_enter(theap);
    hfi_magazine_give_back(theap);
    hfi_theap_leave(theap);
    return 0;
}

/* No parameter of glibc's malloc exists here, but there are programs that end where one is
 * refused: the answer is glibc's, which refuses nothing, unknown parameters included, but fast
 * bins of more than GLIBC_FAST_MAX_BYTES. */
HFI_EXPORT int mallopt(int parameter, int value)
{
    return parameter != M_MXFAST || (value >= 0 && value <= GLIBC_FAST_MAX_BYTES);
}

HFI_EXPORT struct mallinfo2 mallinfo2(void)
{
    return hfi_info_mallinfo2();
}

static struct mallinfo narrow_mallinfo(void)
{
    struct mallinfo2 wide = hfi_info_mallinfo2();
    return (struct mallinfo){
        .arena = (int)wide.arena,
        .hblkhd = (int)wide.hblkhd,
        .uordblks = (int)wide.uordblks,
        .fordblks = (int)wide.fordblks,
        .keepcost = (int)wide.keepcost,
    };
}

HFI_EXPORT struct mallinfo mallinfo(void)
{
    return narrow_mallinfo();
}

struct mallinfo __libc_mallinfo(void);
int __libc_mallopt(int parameter, int value);

HFI_EXPORT struct mallinfo __libc_mallinfo(void)
{
    return narrow_mallinfo();
}

ALIAS(mallopt) int __libc_mallopt(int parameter, int value);

HFI_EXPORT int malloc_info(int options, FILE *stream)
{
    if (options != 0)
        return EINVAL; /* not -1: so does glibc */
    hfi_info_xml(stream);
    return 0;
}

HFI_EXPORT void malloc_stats(void)
{
    hfi_info_print(stderr);
}
