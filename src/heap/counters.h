/*
 * counters: what a theap counts on its slow paths.
 *
 * Plain words, written by one thread; readers (the report, the inspection
 * segment) take them as they are: a sum is exact once its threads rest.
 */
#ifndef HFI_COUNTERS_H
#define HFI_COUNTERS_H

#include <stdint.h>

#define HFI_DISTANCES 4

/* Who owned the page that a block was freed into: nobody, or another theap. */
enum counted_frees { FREED_UNOWNED, FREED_REMOTE };

struct counters {
    uint64_t listed;    /* blocks put on a free list to be allocated from */
    uint64_t collected; /* refills from a page the theap already had */
    uint64_t claimed;   /* idle pages of the node taken over */
    uint64_t shared;    /* times a few blocks of an idle page were taken, on a tight node */
    uint64_t stolen;    /* pages taken from threads that slept */
    uint64_t fresh;     /* fresh runs cut into blocks */
    uint64_t freed[2];  /* blocks freed into pages that are not the theap's own: enum counted_frees */
    uint64_t received;  /* blocks that others freed into the theap's pages, as collected */
    uint64_t adopted;   /* own full pages won back by freeing into them */
    uint64_t retired;   /* pages given back to the node */
    uint64_t large;     /* runs that are one block */
    uint64_t away[HFI_DISTANCES]; /* of claimed, fresh and large: from another node than the one wanted,
                                   * which was full: from the nearest, the second, ..., any further one */
    uint64_t pressed;             /* times the application was asked to free memory */
    uint64_t failed;              /* calls that ended in ENOMEM */
};

static inline uint64_t hfi_counters_freed(const struct counters *counters)
{
    return counters->freed[FREED_UNOWNED] + counters->freed[FREED_REMOTE];
}

static inline uint64_t hfi_counters_away(const struct counters *counters)
{
    uint64_t away = 0;
    for (unsigned i = 0; i < HFI_DISTANCES; i++)
        away += counters->away[i];
    return away;
}

#endif
