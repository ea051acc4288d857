/*
 * openmetrics-heaps: see openmetrics.h; heaps of the program, by name.
 *
 * A sample has a name for its label, and heaps of one name are summed up.  The names are bounded:
 * those that hold most have samples of their own, all others are one, whose label is empty.
 *
 * Test: tests/tool-heaps.sh, by prometheus_client's parser.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "stat/openmetrics.h"

#define NAMES 64u
#define LABEL_BYTES (2 * sizeof((struct hf_inspect_heap *)NULL)->name)

struct named {
    char name[LABEL_BYTES]; /* "": all others */
    uint64_t heaps, held, limit, failures;
    double fullest; /* held of limit, where there is one */
};

/* The last stands for all others. */
static struct named named[HF_INSPECT_MAX_HEAPS + 1];
static unsigned name_count;

static struct named *entry_of(const char *name)
{
    for (unsigned i = 0; i < name_count; i++)
        if (strcmp(named[i].name, name) == 0)
            return &named[i];
    strcpy(named[name_count].name, name);
    return &named[name_count++];
}

static void add(struct named *to, const struct named *more)
{
    to->heaps += more->heaps;
    to->held += more->held;
    to->limit += more->limit;
    to->failures += more->failures;
    to->fullest = more->fullest > to->fullest ? more->fullest : to->fullest;
}

static int by_held(const void *one, const void *other)
{
    const struct named *a = one, *b = other;
    if (a->held != b->held)
        return a->held < b->held ? 1 : -1;
    return strcmp(a->name, b->name);
}

static void collect(const struct snapshot *snapshot)
{
    static unsigned order[HF_INSPECT_MAX_HEAPS];
    unsigned count = snapshot_heap_order(snapshot, order);
    struct named others = { .heaps = snapshot->heap_sum.others, .held = snapshot->heap_sum.others_held };
    name_count = 0;
    memset(named, 0, sizeof named);
    for (unsigned i = 0; i < count; i++) {
        const struct hf_inspect_heap *heap = &snapshot->heaps[order[i]];
        const struct named one = { .heaps = 1,
                                   .held = heap->held,
                                   .limit = heap->limit,
                                   .failures = heap->failures,
                                   .fullest = show_percent(heap->held, heap->limit) / 100 };
        char name[LABEL_BYTES];
        add(heap->name[0] == 0 ? &others : entry_of(tool_utf8(name, sizeof name, heap->name)), &one);
    }
    qsort(named, name_count, sizeof named[0], by_held);
    for (unsigned i = NAMES; i < name_count; i++)
        add(&others, &named[i]);
    name_count = (unsigned)hfi_min(name_count, NAMES);
    if (others.heaps != 0 || others.held != 0)
        named[name_count++] = others;
}

static void put_labels(const char *name)
{
    printf("{%s,heap=\"", openmetrics_labels());
    for (; *name != 0; name++)
        printf(*name == '"' || *name == '\\' ? "\\%c" : "%c", *name);
    fputs("\"}", stdout);
}

static const struct {
    const char *family, *unit, *help;
    size_t offset; /* in struct named */
} families[] = {
    { "named_heaps", NULL,
      "Heaps of the program that live, by name; all but the 64 names that hold most have none.",
      offsetof(struct named, heaps) },
    { "heap_held_bytes", "bytes", "What heaps of that name hold.", offsetof(struct named, held) },
    { "heap_limit_bytes", "bytes", "Limits of heaps of that name, summed up; 0 where they have none.",
      offsetof(struct named, limit) },
    { "heap_failed_calls", NULL, "Calls that limits failed, of heaps of that name that live.",
      offsetof(struct named, failures) },
};

void openmetrics_heaps(const struct snapshot *snapshot)
{
    const struct snapshot_heaps *sum = &snapshot->heap_sum;
    if (sum->told == 0)
        return;
    openmetrics_head("heaps", "gauge", NULL, "Heaps of the program that live.");
    printf("holdfast_heaps{%s} %llu\n", openmetrics_labels(), (unsigned long long)sum->live);
    openmetrics_counter("heaps_made", "Heaps that the program made.", sum->made);
    openmetrics_counter("heap_failures", "Calls that limits of heaps failed, of those that have ended too.",
                        sum->failures);
    collect(snapshot);
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        openmetrics_head(families[i].family, "gauge", families[i].unit, families[i].help);
        for (unsigned j = 0; j < name_count; j++) {
            uint64_t value;
            memcpy(&value, (const char *)&named[j] + families[i].offset, sizeof value);
            printf("holdfast_%s", families[i].family);
            put_labels(named[j].name);
            printf(" %llu\n", (unsigned long long)value);
        }
    }
    openmetrics_head("heap_fullest_ratio", "gauge", "ratio",
                     "Held of its limit, of the heap of that name that is nearest to it.");
    for (unsigned j = 0; j < name_count; j++) {
        fputs("holdfast_heap_fullest_ratio", stdout);
        put_labels(named[j].name);
        printf(" %.4g\n", named[j].fullest);
    }
}
