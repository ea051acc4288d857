/*
 * tool-edit: copies a recording with some figures changed, for what a test cannot have of a
 * machine.
 *
 *   tool-edit IN OUT NAME=VALUE...
 *
 * Names: thp, memlock, swap, asked_backing, options, forks, registered; of node 0 backing, flags,
 * total, asked, populate_error, used, free, high_water, memory, pool_pages, pool_free; of theap 0
 * failed, away, name, and age in seconds; of the heap in slot 1 heap_held, heap_limit,
 * heap_failures and heap_id, of all heaps heap_failed; "heap_grows=BYTES" lets that heap hold so
 * much more from each sample to the next, and "heap_falls=NUMBER" less in that one;
 * "refused=ERRNO" adds the event; "late-CAUSE=CALLS" are over a limit of 50 us, of which the
 * longest took a millisecond.  "step=SECONDS" puts each sample so long after the one before,
 * "grows=BYTES" lets node 0's use and the most of it rise from each to the next.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "reader/recording.h"

static void edit_event(struct sample *sample, uint64_t error)
{
    sample->snapshot.header.event_count++;
    sample->ring[(sample->snapshot.header.event_count - 1) % HF_INSPECT_EVENTS] = (struct hf_inspect_event){
        .sequence = sample->snapshot.header.event_count,
        .ticks = sample->snapshot.taken_ticks,
        .kind = HF_EVENT_REGISTER_REFUSED,
        .a = sample->snapshot.nodes[0].total,
        .b = error,
    };
}

static uint64_t *figure(struct sample *sample, const char *name)
{
    const struct {
        const char *name;
        uint64_t *figure;
    } figures[] = {
        { "thp", &sample->machine.thp },
        { "memlock", &sample->machine.memlock_bytes },
        { "swap", &sample->machine.swap_bytes },
        { "forks", &sample->snapshot.header.forks },
        { "registered", &sample->snapshot.header.registered },
        { "total", &sample->snapshot.nodes[0].total },
        { "asked", &sample->snapshot.nodes[0].asked },
        { "used", &sample->snapshot.nodes[0].used },
        { "free", &sample->snapshot.nodes[0].free },
        { "high_water", &sample->snapshot.nodes[0].high_water },
        { "reserve", &sample->snapshot.nodes[0].reserve },
        { "reserve_uses", &sample->snapshot.nodes[0].reserve_uses },
        { "memory", &sample->machine.nodes[0].memory_bytes },
        { "pool_pages", &sample->machine.nodes[0].pool_pages[0] },
        { "pool_free", &sample->machine.nodes[0].pool_free[0] },
        { "failed", &sample->snapshot.theaps[0].failed },
        { "away", &sample->snapshot.theaps[0].away[0] },
        { "heap_id", &sample->snapshot.heaps[1].id },
        { "heap_held", &sample->snapshot.heaps[1].held },
        { "heap_limit", &sample->snapshot.heaps[1].limit },
        { "heap_failures", &sample->snapshot.heaps[1].failures },
        { "heap_failed", &sample->snapshot.heap_sum.failures },
    };
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
        if (strcmp(name, figures[i].name) == 0)
            return figures[i].figure;
    return NULL;
}

static uint32_t *small_figure(struct sample *sample, const char *name)
{
    struct hf_inspect_node *node = &sample->snapshot.nodes[0];
    return strcmp(name, "backing") == 0        ? &node->backing
         : strcmp(name, "flags") == 0          ? &node->flags
         : strcmp(name, "populate_error") == 0 ? &node->populate_error
         : strcmp(name, "asked_backing") == 0  ? &sample->snapshot.header.asked_backing
         : strcmp(name, "options") == 0        ? &sample->snapshot.header.options
                                               : NULL;
}

/* A larger node has more pages in the map; what was added is free. */
static void stretch_map(struct snapshot *snapshot)
{
    size_t count = snapshot->nodes[0].first_page + snapshot->nodes[0].total / HF_INSPECT_PAGE_BYTES;
    if (snapshot->pages == NULL || count <= snapshot->page_count)
        return;
    snapshot->pages = realloc(snapshot->pages, count * sizeof *snapshot->pages);
    if (snapshot->pages == NULL)
        abort();
    memset(snapshot->pages + snapshot->page_count, 0,
           (count - snapshot->page_count) * sizeof *snapshot->pages);
    snapshot->page_count = count;
    snapshot->header.pages.count = (uint32_t)count;
}

/* The clocks first: figures are of the sample's moment. */
static void edit_time(struct sample *sample, uint64_t number, double seconds)
{
    static struct sample_clock first;
    if (number == 0)
        first = sample->clock;
    uint64_t ns = (uint64_t)((double)number * seconds * 1e9);
    sample->clock.taken_ns = first.taken_ns + ns;
    sample->clock.wall_ns = first.wall_ns + ns;
    sample->clock.taken_ticks = first.taken_ticks + (uint64_t)((double)ns * first.ticks_per_ns);
}

static void edit_use(struct sample *sample, uint64_t number, uint64_t bytes)
{
    static uint64_t used;
    struct hf_inspect_node *node = &sample->snapshot.nodes[0];
    if (number == 0)
        used = node->used;
    node->used = node->high_water = used + number * bytes;
    node->free = node->total - node->used;
    node->high_water_ticks = sample->clock.taken_ticks;
}

static void edit_heap(struct sample *sample, uint64_t number, uint64_t bytes)
{
    static uint64_t held;
    struct hf_inspect_heap *heap = &sample->snapshot.heaps[1];
    if (number == 0)
        held = heap->held;
    heap->held = heap->most = held + number * bytes;
}

static bool edit_late(struct sample *sample, const char *cause, uint64_t calls)
{
    struct snapshot *snapshot = &sample->snapshot;
    for (unsigned i = 0; i < HF_INSPECT_CAUSES; i++)
        if (strcmp(cause, snapshot_cause_name(i)) == 0) {
            snapshot->header.slo_ns = 50000;
            snapshot->causes[i].late = calls;
            snapshot->causes[i].calls[20] += calls;
            snapshot->causes[i].longest = (uint64_t)(1e6 * snapshot->ticks_per_ns);
            return true;
        }
    return false;
}

static bool edit(struct sample *sample, const char *assignment, uint64_t number)
{
    char name[32];
    const char *equals = strchr(assignment, '=');
    if (equals == NULL || (size_t)(equals - assignment) >= sizeof name)
        return false;
    memcpy(name, assignment, (size_t)(equals - assignment));
    name[equals - assignment] = 0;
    uint64_t value = strtoull(equals + 1, NULL, 0);
    if (strcmp(name, "step") == 0)
        edit_time(sample, number, strtod(equals + 1, NULL));
    else if (strcmp(name, "grows") == 0)
        edit_use(sample, number, value);
    else if (strcmp(name, "heap_grows") == 0)
        edit_heap(sample, number, value);
    else if (strcmp(name, "heap_falls") == 0)
        sample->snapshot.heaps[1].held -= number == value ? 1 << 20 : 0;
    else if (strncmp(name, "late-", 5) == 0)
        return edit_late(sample, name + 5, value);
    else if (strcmp(name, "refused") == 0)
        edit_event(sample, value);
    else if (strcmp(name, "name") == 0)
        snprintf(sample->threads[0].name, SAMPLE_NAME, "%s", equals + 1);
    else if (strcmp(name, "age") == 0)
        sample->snapshot.theaps[0].updated_ticks =
            sample->snapshot.taken_ticks - (uint64_t)((double)value * 1e9 * sample->snapshot.ticks_per_ns);
    else if (figure(sample, name) != NULL)
        *figure(sample, name) = value;
    else if (small_figure(sample, name) != NULL)
        *small_figure(sample, name) = (uint32_t)value;
    else
        return false;
    return true;
}

int main(int argc, char **argv)
{
    const char *reason = "";
    FILE *in = argc > 2 ? fopen(argv[1], "r") : NULL, *out = argc > 2 ? fopen(argv[2], "w") : NULL;
    struct recording *from = in == NULL ? NULL : recording_open(in, &reason),
                     *to = out == NULL ? NULL : recording_create(out, 1000000000, "edit");
    struct sample *sample = sample_new("edit");
    enum recording_verdict verdict = RECORDING_END;
    for (uint64_t number = 0;
         from != NULL && to != NULL && (verdict = recording_next(from, sample, &reason)) == RECORDING_SAMPLE;
         number++) {
        bool last = sample->snapshot.pages != NULL;
        for (int i = 3; i < argc; i++)
            if (!edit(sample, argv[i], number)) {
                fprintf(stderr, "tool-edit: %s names nothing\n", argv[i]);
                return 1;
            }
        stretch_map(&sample->snapshot);
        snapshot_sum(&sample->snapshot, &sample->sum);
        if (recording_append(to, sample, true, last) != 0)
            return 1;
    }
    if (verdict != RECORDING_END || from == NULL || to == NULL) {
        fprintf(stderr, "tool-edit: %s\n", reason);
        return 1;
    }
    return fclose(out) != 0;
}
