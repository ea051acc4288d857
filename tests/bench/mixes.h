/*
 * mixes: sizes of blocks that fill an arena.
 *
 * `hf-workload fill` allocates them, and the simulator of placement (tests/sim) replays the same
 * sequence: of one seed both have the same blocks, and free the same ones.
 */
#ifndef MIXES_H
#define MIXES_H

#include "workload.h"

/* Of 10,000 blocks so many are from `least` to `most` bytes, evenly. */
struct band {
    unsigned blocks;
    size_t least, most;
};

#define BANDS 4
static const struct mix {
    const char *name;
    struct band bands[BANDS];
} mixes[] = {
    { "even", { { 0 } } }, /* 16 B to 1 MiB: the smaller of two even choices of a power of two */
    { "server",
      { { 10, 64 << 10, 1 << 20 }, { 300, 8 << 10, 32 << 10 }, { 1700, 512, 8 << 10 }, { 7990, 16, 512 } } },
    { "rows", { { 4, 1 << 20, 4 << 20 }, { 196, 4 << 10, 64 << 10 }, { 9800, 16, 2 << 10 } } },
    { "pages", { { 5000, 16 << 10, 16 << 10 }, { 500, 16 << 10, 512 << 10 }, { 4500, 16, 1 << 10 } } },
};

#define MIXES (sizeof mixes / sizeof mixes[0])

/* NULL when there is none of that name. */
static inline const struct mix *mix_named(const char *name)
{
    for (size_t i = 0; i < MIXES; i++)
        if (strcmp(mixes[i].name, name) == 0)
            return &mixes[i];
    return NULL;
}

/* Where the sequence of a seed starts. */
static inline uint64_t mix_start(unsigned long seed)
{
    return 20261123 + 1000003 * seed;
}

static inline size_t mix_size(const struct mix *mix, uint64_t *random)
{
    if (mix->bands[0].blocks == 0) {
        unsigned a = (unsigned)((next_random(random) >> 8) % 16),
                 b = (unsigned)((next_random(random) >> 8) % 16);
        unsigned bit = 4 + (a < b ? a : b);
        return random_size(random, bit, bit + 1);
    }
    unsigned drawn = (unsigned)((next_random(random) >> 8) % 10000);
    const struct band *band = mix->bands;
    for (; drawn >= band->blocks; band++)
        drawn -= band->blocks;
    return band->least + (next_random(random) >> 8) % (band->most - band->least + 1);
}

/* Whether a block lives on when a random half is freed. */
static inline bool mix_keeps(uint64_t *random)
{
    return next_random(random) >> 8 & 1;
}

#endif
