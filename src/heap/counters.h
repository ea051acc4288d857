/*
 * counters: what a theap counts on its slow paths; counter-list.h says what each means.
 *
 * Plain words, written by one thread, except `lost`, which stealers add to.  Readers (the report, the
 * inspection segment) take them as they are: a sum is exact once its threads rest.
 */
#ifndef HFI_COUNTERS_H
#define HFI_COUNTERS_H

#include "base/atomic.h"

#define HFI_DISTANCES 4

struct counters {
#define COUNTER(name, ...) uint64_t name;
#include "heap/counter-list.h"
    uint64_t away[HFI_DISTANCES]; /* of claimed, fresh and large: from another node than the one wanted,
                                   * which was full: from the nearest, the second, ..., any further one */
};

/* Of a theap whose pages others took. */
HFI_INLINE void hfi_counters_lose(struct counters *counters, uint32_t pages)
{
    hfi_plain_fetch_add_relaxed(&counters->lost, pages); /* relaxed: a count, which orders nothing */
}

/* The threads whose counters these are may be at work. */
HFI_READS_OTHERS static inline void hfi_counters_add(struct counters *sum, const struct counters *counters)
{
#define COUNTER(name, ...) sum->name += counters->name;
#include "heap/counter-list.h"
    for (unsigned i = 0; i < HFI_DISTANCES; i++)
        sum->away[i] += counters->away[i];
}

static inline uint64_t hfi_counters_freed(const struct counters *counters)
{
    return counters->unowned_frees + counters->remote_frees;
}

static inline uint64_t hfi_counters_away(const struct counters *counters)
{
    uint64_t away = 0;
    for (unsigned i = 0; i < HFI_DISTANCES; i++)
        away += counters->away[i];
    return away;
}

#endif
