/*
 * runmap: a map of free runs in the C library's memory, for its tests.
 */
#ifndef RUNMAP_H
#define RUNMAP_H

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "arena/runmap.h"
#include "base/atomic.h"

#define WINDOW ((size_t)HFI_RUNMAP_WINDOW_BITS)
#define NONE HFI_RUNMAP_NONE

static inline void map_open(struct runmap *map, size_t bits)
{
    void *memory = aligned_alloc(64, hfi_align_up(hfi_runmap_bytes(bits), 64));
    cr_assert_not_null(memory);
    memset(memory, 0, hfi_align_up(hfi_runmap_bytes(bits), 64));
    memset(map, 0, sizeof(*map));
    hfi_runmap_init(map, bits, memory);
}

static inline void map_close(struct runmap *map)
{
    free(map->windows); /* the first part of its memory */
}

static inline void assert_audit(const struct runmap *map)
{
    const char *broken = hfi_runmap_audit(map);
    cr_assert_null(broken, "%s", broken);
}

static inline uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state * 0x2545F4914F6CDD1DULL >> 16;
}

#endif
