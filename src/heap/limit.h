/*
 * limit: what a heap of the program uses, may use, and whether it has ended: one word.
 *
 *    63     62    32 31   0
 *   | ended | limit |  use |
 *
 * In pieces of 16 KiB.  Any thread changes it, by one CAS: so use and limit are of one moment, and
 * the heap that has ended is done with when its use comes to zero, which one thread sees.
 */
#ifndef HFI_LIMIT_H
#define HFI_LIMIT_H

#include "base/atomic.h"

#define HFI_LIMIT_SHIFT 32
#define HFI_LIMIT_NONE ((uint32_t)0x7fffffff) /* 32 TiB: more than an arena */
#define HFI_LIMIT_ENDED ((uint64_t)1 << 63)

HFI_INLINE uint32_t hfi_limit_use(uint64_t word)
{
    return (uint32_t)word;
}

HFI_INLINE uint32_t hfi_limit_of(uint64_t word)
{
    return (uint32_t)(word >> HFI_LIMIT_SHIFT) & HFI_LIMIT_NONE;
}

/* False when that would be over the limit.  *word: as it is then, or was. */
HFI_INLINE bool hfi_limit_take(_Atomic(uint64_t) *limit, uint32_t units, uint64_t *word)
{
    *word = hfi_load_relaxed(limit);
    do {
        if ((uint64_t)hfi_limit_use(*word) + units > hfi_limit_of(*word))
            return false;
    } while (!hfi_cas_weak_acq_rel(limit, word, *word + units));
    *word += units;
    return true;
}

/* True for the one thread after which an ended heap uses nothing.  Release: what this thread did
 * with the heap is done; acquire: so is what the others did. */
HFI_INLINE bool hfi_limit_give(_Atomic(uint64_t) *limit, uint32_t units)
{
    uint64_t word = hfi_load_relaxed(limit);
    while (!hfi_cas_weak_acq_rel(limit, &word, word - units))
        ;
    word -= units;
    return (word & HFI_LIMIT_ENDED) && hfi_limit_use(word) == 0;
}

/* False where more is used already. */
HFI_INLINE bool hfi_limit_set(_Atomic(uint64_t) *limit, uint32_t units)
{
    uint64_t word = hfi_load_relaxed(limit), next;
    do {
        if (hfi_limit_use(word) > units)
            return false;
        next = (word & (HFI_LIMIT_ENDED | UINT32_MAX)) | (uint64_t)units << HFI_LIMIT_SHIFT;
    } while (!hfi_cas_weak_acq_rel(limit, &word, next));
    return true;
}

/* The heap ends: one more in use, until its end is done. */
HFI_INLINE void hfi_limit_end(_Atomic(uint64_t) *limit)
{
    uint64_t word = hfi_load_relaxed(limit);
    while (!hfi_cas_weak_acq_rel(limit, &word, (word | HFI_LIMIT_ENDED) + 1))
        ;
}

#endif
