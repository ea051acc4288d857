/*
 * counters: see snapshot.h; the list of counters as a table, and their sums over all theaps.
 *
 * Tests: tests/tool-stat.sh, tests/manual.sh.
 */
#include "reader/snapshot.h"

_Static_assert(offsetof(struct snapshot_sum, kept) == 15 * sizeof(uint64_t) &&
                   offsetof(struct snapshot_sum, unowned_frees) == 53 * sizeof(uint64_t),
               "as recordings of before have it: a new counter is a COUNTER_ADDED behind the others");

#define FAMILY(family, help) family, help
#define BY_PATH NULL, ""
#define NO_METRIC NULL, NULL
const struct counter snapshot_counters[] = {
#define COUNTER(name, place, words, ...)                                                                     \
    {                                                                                                        \
        #name,                                                                                               \
        offsetof(struct snapshot_sum, name),                                                                 \
        offsetof(struct hf_inspect_theap, name),                                                             \
        place,                                                                                               \
        words,                                                                                               \
        __VA_ARGS__                                                                                          \
    },
#include "heap/counter-list.h"
};
const size_t snapshot_counter_count = sizeof snapshot_counters / sizeof snapshot_counters[0];

bool snapshot_tells(const struct snapshot *snapshot, size_t in_theap)
{
    return in_theap + sizeof(uint64_t) <= snapshot->header.theaps.entry_bytes;
}

bool snapshot_theap_is_blank(const struct hf_inspect_theap *theap)
{
    return theap->updated_ticks == 0;
}

void snapshot_add(struct snapshot_sum *sum, const struct hf_inspect_theap *theap)
{
#define COUNTER(name, ...) sum->name += theap->name;
#include "heap/counter-list.h"
    sum->kept += theap->in_use != 0 ? theap->kept : 0;
    sum->slow_ticks += theap->slow_ticks;
    for (unsigned j = 0; j < HF_INSPECT_DISTANCES; j++)
        sum->away[j] += theap->away[j];
    for (unsigned j = 0; j < HF_INSPECT_BUCKETS; j++)
        sum->slow[j] += theap->slow[j];
}

unsigned snapshot_threads_listed(const struct snapshot *snapshot)
{
    unsigned count = 0;
    for (unsigned i = 0; i < snapshot->theap_count; i++)
        count += snapshot->theaps[i].in_use != 0;
    return count;
}

unsigned snapshot_threads_ended(const struct snapshot *snapshot)
{
    unsigned count = 0;
    for (unsigned i = 0; i < snapshot->theap_count; i++)
        count += snapshot->theaps[i].in_use == 0 && !snapshot_theap_is_blank(&snapshot->theaps[i]);
    return count;
}

void snapshot_sum(const struct snapshot *snapshot, struct snapshot_sum *sum)
{
    *sum = (struct snapshot_sum){ .in_use = snapshot_threads_listed(snapshot) };
    for (unsigned i = 0; i < snapshot->theap_count; i++)
        snapshot_add(sum, &snapshot->theaps[i]);
    for (unsigned i = 0; i < snapshot->node_count; i++) {
        sum->in_use += snapshot->others[i].in_use;
        snapshot_add(sum, &snapshot->others[i]);
    }
}

uint64_t snapshot_sum_away(const struct snapshot_sum *sum)
{
    uint64_t away = 0;
    for (unsigned i = 0; i < HF_INSPECT_DISTANCES; i++)
        away += sum->away[i];
    return away;
}

uint64_t snapshot_calls(const uint64_t calls[HF_INSPECT_BUCKETS])
{
    uint64_t total = 0;
    for (unsigned i = 0; i < HF_INSPECT_BUCKETS; i++)
        total += calls[i];
    return total;
}

bool snapshot_tells_interrupted(const struct snapshot *snapshot)
{
    return (snapshot->header.options & HF_INSPECT_INTERRUPTED_TOLD) != 0;
}

double snapshot_slow_quantile(const struct snapshot *snapshot, const struct snapshot_sum *sum, double part)
{
    return snapshot_quantile(snapshot, sum->slow, part);
}

double snapshot_quantile(const struct snapshot *snapshot, const uint64_t calls[HF_INSPECT_BUCKETS],
                         double part)
{
    uint64_t total = snapshot_calls(calls), seen = 0;
    for (unsigned i = 0; i < HF_INSPECT_BUCKETS; i++) {
        seen += calls[i];
        if (total != 0 && (double)seen >= part * (double)total)
            return snapshot_ns(snapshot, (uint64_t)1 << i);
    }
    return 0;
}
