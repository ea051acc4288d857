/*
 * sample: see sample.h.
 *
 * Tests: tests/tool-report.sh, tests/tool-tune.sh.
 */
#include "reader/sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bits.h"
#include "kernel/files.h"
#include "kernel/machine.h"
#include "kernel/cpu.h"
#include "numa/topology.h"
#include "reader/procfs.h"

struct sample *sample_new(const char *command)
{
    struct sample *sample = calloc(1, sizeof *sample);
    if (sample == NULL)
        hfi_say(SAY_ERROR, "HF-E445", command, "no memory for a sample (%zu KiB); end other programs",
                sizeof *sample / 1024);
    return sample;
}

void sample_free(struct sample *sample)
{
    if (sample == NULL)
        return;
    snapshot_free(&sample->snapshot);
    free(sample);
}

uint64_t sample_pages_taken(const struct snapshot_sum *sum)
{
    return sum->claimed + sum->fresh + sum->large;
}

double sample_percent(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0 : 100 * (double)part / (double)whole;
}

/* --- cells --- */

struct cells {
    uint64_t *cells;
    uint64_t cell_pages;
    uint64_t pages[SNAPSHOT_KINDS]; /* of the cell that is being filled */
    uint64_t filled;                /* its pages so far */
    double used;                    /* of those, in blocks in use: pages' worth */
    const struct snapshot *snapshot;
};

static uint64_t cell_of(const struct cells *work)
{
    unsigned state = HF_PAGE_FREE;
    for (unsigned i = HF_PAGE_OWNED; i < SNAPSHOT_KINDS; i++)
        if (work->pages[i] > (state == HF_PAGE_FREE ? 0 : work->pages[state]))
            state = i;
    double sixteenths =
        state == HF_PAGE_FREE || work->filled == 0 ? 0 : ceil(work->used * 15 / (double)work->filled - 1e-9);
    return (uint64_t)state << 4 | (uint64_t)(state == HF_PAGE_FREE ? 0
                                             : sixteenths < 1      ? 1
                                             : sixteenths > 15     ? 15
                                                                   : sixteenths);
}

static void end_cell(struct cells *work)
{
    *work->cells++ = cell_of(work);
    memset(work->pages, 0, sizeof work->pages);
    work->filled = 0;
    work->used = 0;
}

/* How much of a run is in use; its entry may be a moment older than its class. */
static double used_share(const struct snapshot *snapshot, size_t pages, uint64_t entry)
{
    unsigned class = HF_PAGE_CLASS(entry);
    switch (HF_PAGE_STATE(entry)) {
    case HF_PAGE_OWNED:
    case HF_PAGE_IDLE:
    case HF_PAGE_LOOSE:
        if (class >= snapshot->class_count)
            return 0;
        double used = (double)HF_PAGE_BLOCKS(entry) * snapshot->classes[class].block_bytes,
               room = (double)pages * HF_INSPECT_PAGE_BYTES;
        return used < room ? used / room : 1;
    case HF_PAGE_LARGE:
    case HF_PAGE_META: return 1;
    default: return 0;
    }
}

static void add_run(size_t first, size_t pages, uint64_t entry, void *argument)
{
    struct cells *work = argument;
    unsigned state = snapshot_kind(entry);
    double share = used_share(work->snapshot, pages, entry);
    state = state == HF_PAGE_UNTOUCHED ? HF_PAGE_FREE : state;
    (void)first;
    while (pages != 0) {
        size_t part = hfi_min(pages, work->cell_pages - work->filled);
        work->pages[state] += part;
        work->used += share * (double)part;
        work->filled += part;
        pages -= part;
        if (work->filled == work->cell_pages)
            end_cell(work);
    }
}

static void fill_cells(struct sample *sample, unsigned node)
{
    struct sample_place *place = &sample->places[node];
    uint64_t pages = sample->snapshot.nodes[node].total / HF_INSPECT_PAGE_BYTES;
    if (sample->snapshot.pages == NULL || pages == 0)
        return;
    place->cell_pages = hfi_divide_up(pages, SAMPLE_CELLS);
    place->cells = hfi_divide_up(pages, place->cell_pages);
    struct cells work = { .cells = &sample->cells[node * SAMPLE_CELLS],
                          .cell_pages = place->cell_pages,
                          .snapshot = &sample->snapshot };
    snapshot_each_run(&sample->snapshot, node, add_run, &work);
    if (work.filled != 0)
        end_cell(&work);
}

/* --- who is where --- */

static uint64_t node_of_cpu(const struct snapshot *snapshot, const uint64_t (*cpus)[HFI_CPU_WORDS],
                            uint32_t cpu)
{
    for (unsigned i = 0; i < snapshot->node_count; i++)
        if (cpu < HFI_CPU_WORDS * 64 && (cpus[i][cpu / 64] >> cpu % 64 & 1) != 0)
            return snapshot->nodes[i].id;
    return SAMPLE_NODE_UNKNOWN;
}

static void find_threads(struct sample *sample, bool names)
{
    static uint64_t cpus[HF_INSPECT_MAX_NODES][HFI_CPU_WORDS];
    const struct snapshot *snapshot = &sample->snapshot;
    for (unsigned i = 0; i < snapshot->node_count; i++)
        if (hfi_os_node_cpus(snapshot->nodes[i].id, cpus[i]) < 0)
            memset(cpus[i], 0, sizeof cpus[i]);
    for (unsigned i = 0; i < snapshot->theap_count; i++) {
        const struct hf_inspect_theap *theap = &snapshot->theaps[i];
        struct sample_thread *thread = &sample->threads[i];
        char name[SAMPLE_NAME];
        thread->cpu_node =
            snapshot_theap_is_blank(theap) ? SAMPLE_NODE_UNKNOWN : node_of_cpu(snapshot, cpus, theap->cpu);
        if (!names || theap->in_use == 0)
            continue;
        target_thread_name((pid_t)snapshot->header.pid, theap->tid, name, sizeof name);
        if (strcmp(name, "?") != 0 || thread->name[0] == 0) /* a thread that is gone keeps the name it had */
            memcpy(thread->name, name, sizeof name);
    }
}

struct owners {
    const struct sample *sample;
    struct sample_place *place;
    uint64_t node_id;
};

static void add_owner(size_t first, size_t pages, uint64_t entry, void *argument)
{
    struct owners *work = argument;
    uint32_t theap = HF_PAGE_THEAP(entry);
    (void)first;
    if (HF_PAGE_STATE(entry) != HF_PAGE_OWNED || theap >= work->sample->snapshot.theap_count)
        return;
    uint64_t cpu_node = work->sample->threads[theap].cpu_node;
    if (cpu_node == SAMPLE_NODE_UNKNOWN)
        return;
    work->place->owned_bytes += pages * HF_INSPECT_PAGE_BYTES;
    work->place->elsewhere_bytes += cpu_node == work->node_id ? 0 : pages * HF_INSPECT_PAGE_BYTES;
}

/* --- the machine --- */

static uint64_t thp_setting(void)
{
    char word[32];
    procfs_thp("enabled", word, sizeof word);
    return strcmp(word, "unknown") == 0 ? THP_UNKNOWN
         : strcmp(word, "never") == 0   ? THP_NEVER
         : strcmp(word, "madvise") == 0 ? THP_MADVISE
                                        : THP_ALWAYS;
}

static uint64_t memlock_limit(pid_t pid)
{
    char text[PROCFS_TEXT_BYTES];
    const char *limit = procfs_value(PROCFS_PATH(pid, "limits"), "Max locked memory", text);
    return limit == NULL || *limit == 'u' ? UINT64_MAX : strtoull(limit, NULL, 10);
}

static void look_at_machine(struct sample *sample)
{
    static struct topology topology;
    static const size_t sizes[2] = { 2 * HFI_MIB, HFI_GIB };
    struct machine *machine = &sample->machine;
    bool alone = sample->snapshot.node_count == 1;
    if (topology.node_count == 0)
        hfi_topology_load(&topology, false);
    machine->thp = thp_setting();
    machine->swap_bytes = 0;
    procfs_bytes("/proc/meminfo", "SwapTotal:", &machine->swap_bytes);
    machine->memlock_bytes = memlock_limit((pid_t)sample->snapshot.header.pid);
    for (unsigned i = 0; i < sample->snapshot.node_count; i++) {
        struct machine_node *node = &machine->nodes[i];
        uint32_t id = sample->snapshot.nodes[i].id;
        struct os_huge_pool pool;
        for (unsigned j = 0; j < topology.node_count; j++)
            if (topology.nodes[j].id == id)
                node->memory_bytes = topology.nodes[j].memory_bytes;
        if (alone)
            node->memory_bytes = hfi_max(node->memory_bytes, hfi_os_usable_bytes());
        node->available_bytes = hfi_os_node_available_bytes(id);
        for (unsigned j = 0; j < 2; j++) {
            bool there = hfi_os_huge_pool(&pool, id, alone, sizes[j]);
            node->pool_pages[j] = there ? pool.total_pages : 0;
            node->pool_free[j] = there ? pool.free_pages : 0;
        }
    }
}

/* --- all of it --- */

static void place_events(struct sample *sample)
{
    const struct snapshot *snapshot = &sample->snapshot;
    memset(sample->ring, 0, sizeof sample->ring);
    for (unsigned i = 0; i < snapshot->event_count; i++)
        sample->ring[(snapshot->events[i].sequence - 1) % HF_INSPECT_EVENTS] = snapshot->events[i];
}

static int by_sequence(const void *one, const void *other)
{
    const struct hf_inspect_event *a = one, *b = other;
    return a->sequence < b->sequence ? -1 : a->sequence > b->sequence;
}

void sample_take_events(struct sample *sample)
{
    struct snapshot *snapshot = &sample->snapshot;
    snapshot->event_count = 0;
    for (unsigned i = 0; i < HF_INSPECT_EVENTS; i++)
        if (sample->ring[i].sequence != 0)
            snapshot->events[snapshot->event_count++] = sample->ring[i];
    qsort(snapshot->events, snapshot->event_count, sizeof snapshot->events[0], by_sequence);
}

static uint64_t wall_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int sample_take(struct sample *sample, const struct target *target, bool thoroughly, const char *command)
{
    struct snapshot *snapshot = &sample->snapshot;
    char name[SAMPLE_NAME];
    bool with_map = thoroughly || snapshot->header.pages.count <= SNAPSHOT_MAP_OFTEN;
    int status = target_read(target, snapshot, with_map, command);
    if (status != 0)
        return status;
    target_shown_name(snapshot, name, sizeof name);
    if (strcmp(name, "?") != 0 && name[0] != 0) /* that it had while there was one */
        memcpy(sample->clock.name, name, sizeof name);
    sample->clock.taken_ns = snapshot->taken_ns;
    sample->clock.taken_ticks = snapshot->taken_ticks;
    sample->clock.ticks_per_ns = snapshot->ticks_per_ns;
    sample->clock.wall_ns = wall_ns();
    snapshot_sum(snapshot, &sample->sum);
    place_events(sample);
    find_threads(sample, thoroughly);
    for (unsigned i = 0; i < snapshot->node_count && with_map; i++) {
        sample->places[i] = (struct sample_place){ 0 };
        struct owners owners = { .sample = sample,
                                 .place = &sample->places[i],
                                 .node_id = snapshot->nodes[i].id };
        fill_cells(sample, i);
        snapshot_each_run(snapshot, i, add_owner, &owners);
    }
    sample->origin.ended = !target_lives(target);
    if (thoroughly && sample->origin.ended == 0) {
        look_at_machine(sample);
        origin_look(&sample->origin, target->pid, !sample->without_command);
    }
    return 0;
}
