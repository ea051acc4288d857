/*
 * reuse: the freed blocks of a piece of a general heap, for its holder.
 *
 * Lists by length hold the blocks that the holder freed.  Those that others freed are in the map
 * alone, until the holder sweeps the piece: then neighbours become one, and the lists begin anew.
 *
 * The holder's alone.
 */
#ifndef HFI_REUSE_H
#define HFI_REUSE_H

#include "base/bits.h"
#include "heap/hold.h"

/* In a freed block, which had the program's own types. */
typedef uint16_t __attribute__((may_alias)) hfi_link;

HFI_INLINE uint32_t hfi_reuse_list(uint32_t length)
{
    if (hfi_likely(length <= MAP_SHORT))
        return length;
    unsigned top = hfi_highest_bit(length);
    return hfi_min(MAP_SHORT + 1 + (top - 6) * 4 + (length >> (top - 2) & 3), HFI_PIECE_LISTS - 1);
}

/* A block of `length` granules that is freed already, as the map says. */
HFI_INLINE void hfi_reuse_put(struct hold *hold, uint32_t granule, uint32_t length)
{
    struct piece *piece = hold->piece;
    uint32_t list = hfi_reuse_list(length);
    *(hfi_link *)(hold->start + granule * HFI_MAX_ALIGN) = piece->lists[list];
    piece->lists[list] = (uint16_t)(granule + 1);
    if (hfi_unlikely(list > piece->longest))
        piece->longest = list;
}

/* The secure build: ends the process where the link in a freed block of `list` leads to no other. */
void hfi_reuse_check_link(const struct hold *hold, uint32_t granule, uint32_t list);

/* The first block of a list that is not empty. */
HFI_INLINE uint32_t hfi_reuse_pop(struct hold *hold, uint32_t list)
{
    struct piece *piece = hold->piece;
    uint32_t granule = piece->lists[list] - 1u;
    if (HFI_SECURE)
        hfi_reuse_check_link(hold, granule, list);
    piece->lists[list] = *(hfi_link *)(hold->start + granule * HFI_MAX_ALIGN);
    return granule;
}

/* A block of `bytes`, of any number, from the list of its length, or laid where no list has longer
 * ones; NULL: another place is to be found. */
HFI_INLINE void *hfi_reuse_malloc(struct hold *hold, size_t bytes)
{
    size_t length = (bytes + HFI_MAX_ALIGN - 1) / HFI_MAX_ALIGN;
    struct piece *piece = hold->piece;
    if (hfi_unlikely(bytes - 1 >= MAP_SHORT * HFI_MAX_ALIGN))
        return NULL;
    size_t first = piece->lists[length];
    if (hfi_likely(first != 0)) {
        char *block = hold->start + first * HFI_MAX_ALIGN - HFI_MAX_ALIGN;
        if (HFI_SECURE)
            hfi_reuse_check_link(hold, (uint32_t)first - 1, (uint32_t)length);
        piece->lists[length] = *(hfi_link *)block;
        hfi_store_relaxed(&hold->map[first - 1], (uint8_t)length); /* relaxed: as hfi_map_put */
        hold->laid += (int32_t)length;
        if (block == NULL)
            __builtin_unreachable();
        return block;
    }
    if (length <= piece->longest || length * HFI_MAX_ALIGN > hfi_hold_room(hold))
        return NULL;
    return hfi_hold_lay(hold, length * HFI_MAX_ALIGN);
}

/* A block of `bytes`, a multiple of 16: of one that is listed, the shortest, or laid.  NULL: there is
 * no room. */
void *hfi_reuse_take(struct hold *hold, size_t align, size_t bytes);

/* Frees a block of the piece that is held, all but `bytes` of it: what is behind is listed. */
void hfi_reuse_cut(struct hold *hold, void *pointer, size_t bytes);

/* Makes one of neighbours, and lists what others freed.  In time proportional to the piece. */
void hfi_reuse_sweep(struct hold *hold);

/* Granules that a block may have for which there is room in one part, about. */
uint32_t hfi_reuse_longest(const struct hold *hold);

/* NULL, or the broken invariant of what is held. */
const char *hfi_reuse_audit(const struct hold *hold);

#endif
