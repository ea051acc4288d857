/*
 * bits: counting and masking in one 64-bit word.
 */
#ifndef HFI_BITS_H
#define HFI_BITS_H

#include "base/base.h"

/* Index of the lowest set bit; the word must not be zero. */
HFI_INLINE unsigned hfi_lowest_bit(uint64_t word)
{
    return (unsigned)__builtin_ctzll(word);
}

/* Index of the highest set bit; the word must not be zero. */
HFI_INLINE unsigned hfi_highest_bit(uint64_t word)
{
    return 63u - (unsigned)__builtin_clzll(word);
}

/* `count` set bits starting at bit `from`; count in 1..64, from + count <= 64. */
HFI_INLINE uint64_t hfi_mask(unsigned from, unsigned count)
{
    return (~(uint64_t)0 >> (64 - count)) << from;
}

#endif
