/*
 * limit: what a heap of the program uses, may use, and whether it has ended: one word.
 *
 *    63     62    32  31    30   0
 *   | ended | limit | over |  use |
 *
 * In pieces of 16 KiB.  Any thread changes it, by one CAS: so use and limit are of one moment, and
 * the heap that has ended is done with when its use comes to zero, which one thread sees.  Who has
 * changed use or limit shows them (hfi_heap_show).
 *
 * `over` is there from the take that comes over the soft limit to the first that begins far enough
 * under it.  Use rises by takes alone, so none of the ways up is missed, and one thread finds each.
 */
#ifndef HFI_LIMIT_H
#define HFI_LIMIT_H

#include "base/atomic.h"

#define HFI_LIMIT_SHIFT 32
#define HFI_LIMIT_NONE ((uint32_t)0x7fffffff) /* 32 TiB: more than an arena */
#define HFI_LIMIT_ENDED ((uint64_t)1 << 63)
#define HFI_LIMIT_OVER ((uint64_t)1 << 31)

/* A soft limit. */
struct limit_soft {
    uint32_t over;  /* a use of more is over it; HFI_LIMIT_NONE: there is none */
    uint32_t again; /* a use of so much or less is under it */
};

HFI_INLINE uint32_t hfi_limit_use(uint64_t word)
{
    return (uint32_t)(word & (HFI_LIMIT_OVER - 1));
}

HFI_INLINE uint32_t hfi_limit_of(uint64_t word)
{
    return (uint32_t)(word >> HFI_LIMIT_SHIFT) & HFI_LIMIT_NONE;
}

enum limit_taken {
    LIMIT_FAILED, /* it would be over the limit */
    LIMIT_TAKEN,
    LIMIT_CROSSED, /* likewise; and this take came over the soft limit */
};

/* *word: as it is then, or was. */
HFI_INLINE enum limit_taken hfi_limit_take(_Atomic(uint64_t) *limit, uint32_t units,
                                           const struct limit_soft *soft, uint64_t *word)
{
    uint64_t next;
    bool crosses;
    *word = hfi_load_relaxed(limit);
    do {
        uint32_t use = hfi_limit_use(*word);
        if ((uint64_t)use + units > hfi_limit_of(*word))
            return LIMIT_FAILED;
        next = (use <= soft->again ? *word & ~HFI_LIMIT_OVER : *word) + units;
        crosses = hfi_limit_use(next) > soft->over && !(next & HFI_LIMIT_OVER);
        next |= crosses ? HFI_LIMIT_OVER : 0;
    } while (!hfi_cas_weak_acq_rel(limit, word, next));
    *word = next;
    return crosses ? LIMIT_CROSSED : LIMIT_TAKEN;
}

/* A take that fails comes over the soft limit too: true for the first. */
HFI_INLINE bool hfi_limit_cross(_Atomic(uint64_t) *limit)
{
    return (hfi_fetch_or_acq_rel(limit, HFI_LIMIT_OVER) & HFI_LIMIT_OVER) == 0;
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
