/*
 * runmap: the free pages of one node, claimed as single pages or as runs.
 *
 * One bit per page, set while the page is free.  The map is cut into windows of 16,384 bits (1 GiB
 * of arena) and each window into 32 chunks of 512 bits.  Each chunk has a hint, an upper bound of
 * the longest free run that starts in it.  Each window has one, an upper bound of its chunks'.  A
 * search reads window hints, the 32 chunk hints of a window (one cache line), and the words of
 * chunks that may fit.
 *
 * Placement decides how much of a full arena can be used.  Single pages come from the lowest
 * address.  Short runs that live as long as they do come from the tightest place of the lowest
 * window that has one, others from the tightest of the eight highest.  doc/measurements.md has the
 * figures of other orders, and tests/sim tries them.
 *
 * Thread-safe and lock-free unless said otherwise: a step is repeated only because another
 * thread completed one.  Nothing is allocated.
 */
#ifndef HFI_RUNMAP_H
#define HFI_RUNMAP_H

#include "base/base.h"

#define HFI_RUNMAP_NONE ((size_t)-1)
#define HFI_RUNMAP_CHUNK_BITS ((size_t)512)
#define HFI_RUNMAP_WINDOW_BITS HFI_WINDOW_PAGES
#define HFI_RUNMAP_CHUNKS (HFI_RUNMAP_WINDOW_BITS / HFI_RUNMAP_CHUNK_BITS)

struct runmap_window {
    HFI_CACHE_ALIGNED _Atomic(uint16_t) xchunk_hints[HFI_RUNMAP_CHUNKS];
};

struct runmap {
    size_t bit_count;                 /* const: bits past the end stay clear */
    size_t window_count;              /* const */
    _Atomic(uint64_t) *xwords;        /* atomic: bit set = page free */
    struct runmap_window *windows;    /* atomic inside */
    _Atomic(uint16_t) *xwindow_hints; /* atomic */
    _Atomic(size_t) xset_count;       /* atomic: bits set, exact when no call is under way */
};

/* Bytes of zeroed, 64-byte aligned memory for a map of `bits` bits. */
size_t hfi_runmap_bytes(size_t bits);

/* An empty map over `memory`.  Not thread-safe. */
void hfi_runmap_init(struct runmap *map, size_t bits, void *memory);

/* Sets `count` bits from `first`.  False when one was set already (somebody released twice). */
bool hfi_runmap_release(struct runmap *map, size_t first, size_t count);

/* Clears and returns the lowest set bit; HFI_RUNMAP_NONE when none was seen. */
size_t hfi_runmap_claim_one(struct runmap *map);

/* Clears a run of `count` set bits whose index plus `origin` is a multiple of `align` (a power of
 * two) and returns its first index.  It is at the high end of the tightest run, the highest of those
 * of equal length, of the eight highest windows that have one.  A run of up to a window stays in one
 * window. */
size_t hfi_runmap_claim(struct runmap *map, size_t count, size_t align, size_t origin);

/* The same at the low end of the tightest run, the lowest of those of equal length, of the lowest
 * window that has one. */
size_t hfi_runmap_claim_low(struct runmap *map, size_t count, size_t align, size_t origin);

/* The same with every hint ignored: the last word before ENOMEM.  Reads the whole map. */
size_t hfi_runmap_claim_exact(struct runmap *map, size_t count, size_t align, size_t origin);

/* Clears the `count` bits from `first` if all are set; otherwise false, and nothing changed. */
bool hfi_runmap_claim_at(struct runmap *map, size_t first, size_t count);

/* How many bits right below `bit` are set in a row. */
size_t hfi_runmap_set_below(const struct runmap *map, size_t bit);

/* Longest run of set bits, by reading the whole map. */
size_t hfi_runmap_longest(const struct runmap *map);

/* Makes the count and the hints those of the bits, whatever they were (fork.c).  Only while no
 * other thread is in a call. */
void hfi_runmap_mend(struct runmap *map);

/* NULL, or the broken invariant.  Only while no other thread is in a call. */
const char *hfi_runmap_audit(const struct runmap *map);

#endif
