/*
 * reuse: see reuse.h.
 *
 * RU1: a block that is listed is freed by the map, and has its length there.  The map may have more:
 *      what others freed, and gaps.
 * RU2: no list behind `longest` has blocks.
 * RU3: a link is a granule of its own piece, so that one that was written over leads to no other.
 *
 * Tests: tests/programs/general.c.
 */
#include "heap/reuse.h"

#include "base/check.h"
#include "base/say.h"

#define LOOKS_MAX 8u /* blocks of one list that are looked at for one that is long enough */

static _Atomic(uint8_t) *map_at(const struct hold *hold, uint32_t granule)
{
    return &hold->map[granule];
}

static uint32_t length_at(const struct hold *hold, uint32_t granule)
{
    return hfi_map_length(map_at(hold, granule), hfi_load_relaxed(map_at(hold, granule)));
}

static char *block_at(const struct hold *hold, uint32_t granule)
{
    return hold->start + granule * HFI_MAX_ALIGN;
}

static void put_freed(struct hold *hold, uint32_t granule, uint32_t length)
{
    hfi_map_put(map_at(hold, granule), length, MAP_FREED);
    hfi_reuse_put(hold, granule, length);
}

void hfi_reuse_check_link(const struct hold *hold, uint32_t granule, uint32_t list)
{
    uint16_t link;
    memcpy(&link, block_at(hold, granule), sizeof link);
    uint32_t limit = hfi_hold_granule(hold, hold->cursor), next = link - 1u;
    uint32_t byte = link == 0 || next >= limit ? 0 : hfi_load_relaxed(map_at(hold, next));
    if (link != 0 && (!(byte & MAP_FREED) || hfi_reuse_list(length_at(hold, next)) != list))
        hfi_die("HF-E308", "heap",
                "the link in freed block %p of %u bytes was overwritten: a write after free or an overflow "
                "of its neighbour; run the program under valgrind",
                block_at(hold, granule), length_at(hold, granule) * HFI_MAX_ALIGN);
}

/* Of a list whose blocks differ in length: one of the first few that is long enough. */
static bool take_of_own(struct hold *hold, uint32_t list, uint32_t length, uint32_t *found)
{
    uint16_t link = hold->piece->lists[list], next;
    void *before = &hold->piece->lists[list];
    for (unsigned i = 0; i < LOOKS_MAX && link != 0; i++, link = next) {
        char *block = block_at(hold, link - 1u);
        if (HFI_SECURE)
            hfi_reuse_check_link(hold, link - 1u, list);
        memcpy(&next, block, sizeof next);
        if (length_at(hold, link - 1u) >= length) {
            memcpy(before, &next, sizeof next);
            *found = link - 1u;
            return true;
        }
        before = block;
    }
    return false;
}

/* Of a list all of whose blocks are long enough. */
static bool take_of_longer(struct hold *hold, uint32_t list, uint32_t *found)
{
    struct piece *piece = hold->piece;
    for (uint32_t at = list; at <= piece->longest; at++)
        if (piece->lists[at] != 0) {
            *found = hfi_reuse_pop(hold, at);
            return true;
        }
    piece->longest = hfi_min(piece->longest, list == 0 ? 0 : list - 1); /* RU2 */
    return false;
}

static bool take(struct hold *hold, uint32_t length, uint32_t *granule)
{
    uint32_t list = hfi_reuse_list(length);
    if (list > hold->piece->longest)
        return false;
    if (list > MAP_SHORT && take_of_own(hold, list, length, granule))
        return true;
    return take_of_longer(hold, list > MAP_SHORT ? list + 1 : list, granule);
}

/* Makes a freed block one that is out, from `skip` granules on and of `length`; what is left is listed. */
static void *hand_out(struct hold *hold, uint32_t granule, uint32_t skip, uint32_t length)
{
    uint32_t has = length_at(hold, granule);
    hfi_assert((hfi_load_relaxed(map_at(hold, granule)) & MAP_FREED) && has >= skip + length);
    hfi_map_clear(map_at(hold, granule));
    if (skip != 0)
        put_freed(hold, granule, skip);
    if (has != skip + length)
        put_freed(hold, granule + skip + length, has - skip - length);
    hfi_map_put(map_at(hold, granule + skip), length, 0);
    hold->laid += (int32_t)length;
    return block_at(hold, granule + skip);
}

static uint32_t skip_to(const char *block, size_t align)
{
    return (uint32_t)((hfi_align_up((uintptr_t)block, align) - (uintptr_t)block) / HFI_MAX_ALIGN);
}

void *hfi_reuse_take(struct hold *hold, size_t align, size_t bytes)
{
    uint32_t length = (uint32_t)(bytes / HFI_MAX_ALIGN), granule;
    uint32_t more = (uint32_t)(align / HFI_MAX_ALIGN) - 1;
    if (length + more <= HFI_GRANULES && take(hold, length + more, &granule))
        return hand_out(hold, granule, skip_to(block_at(hold, granule), align), length);
    uint32_t skip = skip_to(hold->cursor, align);
    if (hfi_hold_room(hold) < bytes + skip * HFI_MAX_ALIGN)
        return NULL;
    if (skip != 0) {
        uint32_t gap = hfi_hold_granule(hold, hold->cursor);
        hold->cursor += skip * HFI_MAX_ALIGN;
        put_freed(hold, gap, skip);
    }
    return hfi_hold_lay(hold, bytes);
}

void hfi_reuse_cut(struct hold *hold, void *pointer, size_t bytes)
{
    uint32_t granule = hfi_hold_granule(hold, pointer), length = (uint32_t)(bytes / HFI_MAX_ALIGN);
    uint32_t has = length_at(hold, granule);
    hfi_assert(length != 0 && length <= has);
    if (length == has)
        return;
    hfi_map_clear(map_at(hold, granule));
    hfi_map_put(map_at(hold, granule), length, 0);
    hold->laid -= (int32_t)(has - length);
    put_freed(hold, granule + length, has - length);
}

void hfi_reuse_sweep(struct hold *hold)
{
    uint32_t limit = hfi_hold_granule(hold, hold->cursor), first = limit;
    memset(hold->piece->lists, 0, sizeof hold->piece->lists);
    hold->piece->longest = 0;
    for (uint32_t at = 0, length; at < limit; at += length) {
        /* acquire: pairs with the mark of the thread that freed it, which is done with it */
        uint32_t byte = hfi_load_acquire(map_at(hold, at));
        length = hfi_map_length(map_at(hold, at), byte);
        hfi_assert(hfi_map_begins(byte) && at + length <= limit);
        if (byte & MAP_FREED) {
            hfi_map_clear(map_at(hold, at));
            first = hfi_min(first, at);
        } else if (first != limit) {
            put_freed(hold, first, at - first);
            first = limit;
        }
    }
    if (first != limit)
        hold->cursor = block_at(hold, first);
    hfi_hold_count(hold);
}

uint32_t hfi_reuse_longest(const struct hold *hold)
{
    const struct piece *piece = hold->piece;
    uint32_t list = piece->longest, length = (uint32_t)(hfi_hold_room(hold) / HFI_MAX_ALIGN);
    while (list != 0 && piece->lists[list] == 0)
        list--;
    return hfi_max(length, list == 0 ? 0 : length_at(hold, piece->lists[list] - 1u));
}

const char *hfi_reuse_audit(const struct hold *hold)
{
    const struct piece *piece = hold->piece;
    for (uint32_t list = 1; list < HFI_PIECE_LISTS; list++) {
        uint16_t link = piece->lists[list];
        if (link != 0 && list > piece->longest)
            return "RU2: a list behind the longest has blocks";
        for (uint32_t blocks = 0; link != 0; blocks++) {
            uint32_t granule = link - 1u;
            if (blocks > HFI_GRANULES || block_at(hold, granule) >= hold->cursor)
                return "RU3: a link leads nowhere";
            if (!(hfi_load_relaxed(map_at(hold, granule)) & MAP_FREED) ||
                hfi_reuse_list(length_at(hold, granule)) != list)
                return "RU1: a block that is listed is not freed, or of another length";
            memcpy(&link, block_at(hold, granule), sizeof link);
        }
    }
    return NULL;
}
