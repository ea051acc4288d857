/*
 * base: the words every room uses.
 *
 * Sizes of the arena's units, a handful of compiler attributes, and small
 * arithmetic helpers.  No state, no functions that can fail.
 */
#ifndef HFI_BASE_H
#define HFI_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HFI_KIB ((size_t)1 << 10)
#define HFI_MIB ((size_t)1 << 20)
#define HFI_GIB ((size_t)1 << 30)

/* A page is 64 KiB of arena.  The kernel's own unit is called an OS page. */
#define HFI_PAGE_SHIFT 16
#define HFI_PAGE_BYTES ((size_t)1 << HFI_PAGE_SHIFT)

/* A window is 1 GiB of arena: the largest buffer io_uring registers.  A run of
 * up to one window never crosses from one window into the next. */
#define HFI_WINDOW_SHIFT 30
#define HFI_WINDOW_BYTES ((size_t)1 << HFI_WINDOW_SHIFT)
#define HFI_WINDOW_PAGES (HFI_WINDOW_BYTES / HFI_PAGE_BYTES)

/* The secure build (configure --enable-secure): what it adds is in harden.h, and vanishes without
 * it. */
#ifdef HFI_ENABLE_SECURE
#define HFI_SECURE 1
#else
#define HFI_SECURE 0
#endif

/* Last bytes of every run that no block overlaps: one OS page of 4 KiB. */
#define HFI_GUARD_BYTES (HFI_SECURE ? (size_t)4096 : (size_t)0)

#define HFI_CACHE_LINE 64
#define HFI_MAX_ALIGN 16

#define hfi_likely(x) __builtin_expect(!!(x), 1)
#define hfi_unlikely(x) __builtin_expect(!!(x), 0)
#define HFI_INLINE static inline __attribute__((always_inline))
#define HFI_NOINLINE __attribute__((noinline))
#define HFI_COLD __attribute__((cold, noinline))
#define HFI_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
/* Reads what its owner writes without atomics, as HFI_SHOWN does: a figure, by which nothing is
 * decided. */
#define HFI_READS_OTHERS __attribute__((no_sanitize("thread")))
#define HFI_EXPORT __attribute__((visibility("default")))
/* For variables read on the fast path: no detour through the global offset table. */
#define HFI_HIDDEN __attribute__((visibility("hidden")))
#define HFI_CACHE_ALIGNED __attribute__((aligned(HFI_CACHE_LINE)))
#define HFI_TLS __thread __attribute__((tls_model("initial-exec")))

/* Asks for a value where it is returned, which saves a move on the way out. */
#ifdef __x86_64__
#define HFI_IN_RETURN_REGISTER(value) __asm__("" : "+a"(value))
#else
#define HFI_IN_RETURN_REGISTER(value) HFI_OPAQUE(value)
#endif

/* The value, of which the compiler knows nothing any more: keeps it from regrouping an address. */
#define HFI_OPAQUE(value) __asm__("" : "+r"(value))

HFI_INLINE size_t hfi_align_up(size_t n, size_t align)
{
    return (n + align - 1) & ~(align - 1);
}

HFI_INLINE size_t hfi_align_down(size_t n, size_t align)
{
    return n & ~(align - 1);
}

HFI_INLINE size_t hfi_divide_up(size_t n, size_t by)
{
    return (n + by - 1) / by;
}

HFI_INLINE bool hfi_is_power_of_two(size_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

HFI_INLINE size_t hfi_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

HFI_INLINE size_t hfi_max(size_t a, size_t b)
{
    return a > b ? a : b;
}

#endif
