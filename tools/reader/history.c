/*
 * history: see history.h.
 *
 * Memory is bounded: POINTS points, then neighbours are merged two by two and each new one stands
 * for twice as many samples.  What must not be lost in merging is kept by the direction that
 * matters: the most used, the least free.
 *
 * Tests: tests/tool-report.sh, tests/fuzz/recording.c.
 */
#include "reader/history.h"
#include "reader/last.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/cpu.h"

#define WATCH_SAMPLES 40u /* of a live process, over the time it is watched */
#define RISE_PARTS 4u
#define HEAP_RISE_STEPS 16u   /* a quarter of a MiB: less is no leak worth a word */
#define RISE_SECONDS_MIN 60.0 /* less is a start, which says nothing about the hours after it */

/* --- points --- */

static uint8_t band_of(const uint64_t *cells, uint64_t first, uint64_t end)
{
    uint64_t by_state[16] = { 0 }, taken = 0;
    unsigned state = HF_PAGE_FREE;
    for (uint64_t i = first; i < end; i++) {
        by_state[SAMPLE_CELL_STATE(cells[i])] += SAMPLE_CELL_SIXTEENTHS(cells[i]);
        taken += SAMPLE_CELL_SIXTEENTHS(cells[i]);
    }
    for (unsigned i = HF_PAGE_OWNED; i < SNAPSHOT_KINDS; i++)
        if (by_state[i] > (state == HF_PAGE_FREE ? 0 : by_state[state]))
            state = i;
    return (uint8_t)(state << 4 | (end > first ? (taken + end - first - 1) / (end - first) : 0));
}

static void fill_bands(uint8_t bands[HISTORY_BANDS], const struct sample *sample, unsigned node)
{
    uint64_t cells = sample->places[node].cells;
    memset(bands, 0, HISTORY_BANDS);
    for (uint64_t i = 0; i < HISTORY_BANDS && cells != 0; i++) {
        uint64_t first = i * cells / HISTORY_BANDS, end = (i + 1) * cells / HISTORY_BANDS;
        bands[i] = band_of(&sample->cells[node * SAMPLE_CELLS], first, end > first ? end : first + 1);
    }
}

static void fill_point(struct history_point *point, const struct sample *sample, unsigned node_count)
{
    const struct snapshot_sum *sum = &sample->sum;
    point->ns = sample->snapshot.taken_ns;
    point->failed = sum->failed;
    point->away = snapshot_sum_away(sum);
    point->taken = sample_pages_taken(sum);
    point->remote_frees = sum->remote_frees;
    point->listed = sum->listed;
    point->slow_ticks = sum->slow_ticks;
    point->in_use = sum->in_use;
    point->heaps = sample->snapshot.heap_sum.live;
    point->heaps_held = sample->snapshot.heap_sum.held;
    point->heaps_made = sample->snapshot.heap_sum.made;
    point->heap_failures = sample->snapshot.heap_sum.failures;
    point->slow_calls = 0;
    for (unsigned i = 0; i < HF_INSPECT_BUCKETS; i++)
        point->slow_calls += sum->slow[i];
    for (unsigned i = 0; i < HF_INSPECT_MAX_CLASSES; i++) {
        bool known = snapshot_live_is_known(&sample->snapshot);
        point->class_live[i] = known ? sample->snapshot.class_pages[i].live_bytes : 0;
    }
    for (unsigned i = 0; i < node_count; i++) {
        point->nodes[i] = snapshot_figures(&sample->snapshot, i);
        fill_bands(point->bands[i], sample, i);
    }
}

/* The heaps of the last sample, at a point; where one sample lacks them they are as they were. */
static bool note_heaps(struct history *history, unsigned point)
{
    const struct snapshot *snapshot = &history->last->snapshot;
    for (unsigned i = 0; i < HF_INSPECT_MAX_HEAPS; i++) {
        const struct hf_inspect_heap *heap = i < snapshot->heap_count ? &snapshot->heaps[i] : NULL;
        struct history_heap *known = &history->heaps[i];
        if (heap == NULL || heap->id == 0) {
            known->id = 0;
            continue;
        }
        if (known->held == NULL && (known->held = calloc(HISTORY_POINTS, sizeof *known->held)) == NULL)
            return false;
        if (known->id != heap->id)
            *known = (struct history_heap){ .id = heap->id, .since = point, .held = known->held };
        uint64_t steps = heap->held / HISTORY_HEAP_STEP;
        known->held[point] = steps < UINT32_MAX ? (uint32_t)steps : UINT32_MAX;
    }
    return true;
}

static void halve_heaps(struct history *history)
{
    for (unsigned i = 0; i < HF_INSPECT_MAX_HEAPS; i++) {
        struct history_heap *heap = &history->heaps[i];
        for (unsigned j = 0; j < HISTORY_POINTS / 2 && heap->held != NULL; j++)
            heap->held[j] = heap->held[2 * j + 1];
        heap->since /= 2;
    }
}

/* Puts the later of two points into the earlier's place. */
static void merge(struct history_point *into, const struct history_point *later, unsigned node_count)
{
    struct snapshot_figures *nodes = into->nodes;
    uint8_t(*bands)[HISTORY_BANDS] = into->bands;
    for (unsigned i = 0; i < node_count; i++) {
        const struct snapshot_figures *last = &later->nodes[i];
        if (nodes[i].used <= last->used)
            nodes[i] = *last;
        nodes[i].total = last->total;
        nodes[i].high_water = last->high_water;
    }
    memcpy(bands, later->bands, node_count * sizeof *bands);
    uint64_t in_use = into->in_use > later->in_use ? into->in_use : later->in_use;
    *into = *later;
    into->in_use = in_use;
    into->nodes = nodes;
    into->bands = bands;
}

static void halve(struct history *history)
{
    for (unsigned i = 0; i < HISTORY_POINTS / 2; i++) {
        struct history_point *to = &history->points[i], *from = &history->points[2 * i];
        if (i != 0) {
            struct history_point place = *to;
            memcpy(place.nodes, from->nodes, history->node_count * sizeof *place.nodes);
            memcpy(place.bands, from->bands, history->node_count * sizeof *place.bands);
            *to = *from;
            to->nodes = place.nodes;
            to->bands = place.bands;
        }
        merge(to, from + 1, history->node_count);
    }
    halve_heaps(history);
    history->point_count = HISTORY_POINTS / 2;
    history->stride *= 2;
    history->pending = 0;
}

static bool begin(struct history *history)
{
    history->node_count = history->last->snapshot.node_count;
    history->first_ns = history->last->snapshot.taken_ns;
    history->live_known = LIVE_COUNTED;
    history->stride = 1;
    history->points = calloc(HISTORY_POINTS + 1, sizeof *history->points);
    history->events = calloc(HISTORY_EVENTS, sizeof *history->events);
    history->heaps = calloc(HF_INSPECT_MAX_HEAPS, sizeof *history->heaps);
    size_t count = (size_t)(HISTORY_POINTS + 1) * history->node_count;
    struct snapshot_figures *nodes = calloc(count, sizeof *nodes);
    uint8_t(*bands)[HISTORY_BANDS] = calloc(count, sizeof *bands);
    bool there = nodes != NULL && bands != NULL && history->heaps != NULL;
    for (unsigned i = 0; i <= HISTORY_POINTS && history->points != NULL; i++) {
        history->points[i].nodes = there ? nodes + (size_t)i * history->node_count : nodes;
        history->points[i].bands = there ? bands + (size_t)i * history->node_count : bands;
    }
    return history->points != NULL && history->events != NULL && there;
}

/* --- events --- */

static void add_event(struct history *history, const struct hf_inspect_event *event)
{
    const struct snapshot *snapshot = &history->last->snapshot;
    if (history->event_count == HISTORY_EVENTS) {
        memmove(history->events, history->events + 1, (HISTORY_EVENTS - 1) * sizeof *history->events);
        history->event_count--;
        history->events_missed++;
    }
    history->events[history->event_count++] =
        (struct history_event){ .event = *event,
                                .ns = (double)snapshot->taken_ns - snapshot_age_ns(snapshot, event->ticks) };
}

static void add_events(struct history *history)
{
    const struct snapshot *snapshot = &history->last->snapshot;
    for (unsigned i = 0; i < snapshot->event_count; i++) {
        const struct hf_inspect_event *event = &snapshot->events[i];
        if (event->sequence < history->next_sequence)
            continue;
        history->events_missed += event->sequence - history->next_sequence;
        history->next_sequence = event->sequence + 1;
        add_event(history, event);
    }
}

static bool add(struct history *history)
{
    if (history->samples++ == 0) {
        history->next_sequence = 1;
        if (!begin(history))
            return false;
    }
    add_events(history);
    if (history->last->snapshot.live_known < history->live_known)
        history->live_known = history->last->snapshot.live_known;
    struct history_point *spare = &history->points[HISTORY_POINTS];
    fill_point(spare, history->last, history->node_count);
    if (history->pending == 0 && history->point_count == HISTORY_POINTS)
        halve(history);
    struct history_point *to =
        &history->points[history->pending == 0 ? history->point_count : history->point_count - 1];
    if (history->pending == 0)
        fill_point(&history->points[history->point_count++], history->last, history->node_count);
    else
        merge(to, spare, history->node_count);
    history->pending = (history->pending + 1) % history->stride;
    return note_heaps(history, history->point_count - 1);
}

/* --- from a recording --- */

/* Without a reason: another tool reads it. */
static int refuse(const char *path, const char *reason, const char *command)
{
    if (reason == NULL) {
        hfi_say(SAY_ERROR, "HF-E448", command,
                "%s is a recording of another version than this tool reads (%d, of segments %d); use the "
                "`holdfast` that recorded it, or record again",
                path, RECORDING_VERSION, HF_INSPECT_VERSION);
        return EXIT_FAILURE;
    }
    hfi_say(SAY_ERROR, "HF-E443", command,
            "%s cannot be read as a recording: %s; make one with `holdfast record PID -o FILE`", path,
            reason);
    return EXIT_FAILURE;
}

int history_read(struct history *history, FILE *file, const char *path, const char *command)
{
    const char *reason = NULL;
    enum recording_verdict verdict = RECORDING_END;
    struct recording *recording = recording_open(file, &reason);
    if (recording == NULL)
        return refuse(path, reason, command);
    history->path = path;
    history->interval_ns = recording_interval_ns(recording);
    history->last = sample_new(command);
    bool there = history->last != NULL;
    while (there && (verdict = recording_next(recording, history->last, &reason)) == RECORDING_SAMPLE)
        there = add(history);
    recording_free(recording);
    if (!there)
        return refuse(path, "there is no memory for it", command);
    if (verdict == RECORDING_BAD || history->samples == 0)
        return refuse(path, reason == NULL ? "it has no sample" : reason, command);
    if (verdict == RECORDING_CUT)
        hfi_say(SAY_WARNING, "HF-W444", command, "%s: %s; the %llu samples before that are used", path,
                reason, (unsigned long long)history->samples);
    history->cut = verdict == RECORDING_CUT ? reason : NULL;
    return 0;
}

/* --- from a live process --- */

static int watch(struct history *history, struct target *target, const char *pid, uint64_t seconds_ns,
                 const char *command)
{
    uint64_t end = hfi_os_now_ns() + seconds_ns;
    history->live = true;
    history->interval_ns = seconds_ns / WATCH_SAMPLES;
    history->last = sample_new(command);
    int status = history->last == NULL ? EXIT_FAILURE : sample_take(history->last, target, true, command);
    if (status == 0 && !add(history))
        status = refuse(pid == NULL ? "the process" : pid, "there is no memory for it", command);
    while (status == 0 && hfi_os_now_ns() < end && target_lives(target)) {
        hfi_os_sleep_us((unsigned)(history->interval_ns / 1000 + 1));
        bool last = hfi_os_now_ns() + history->interval_ns >= end;
        status = sample_take(history->last, target, last, command);
        add(history);
    }
    if (status == 0 && !target_lives(target)) { /* what it left */
        status = sample_take(history->last, target, true, command);
        add(history);
    }
    target_close(target);
    return status;
}

static bool names_a_process(const char *what)
{
    return what == NULL || what[strspn(what, "0123456789")] == 0;
}

int history_load(struct history *history, const char *what, uint64_t seconds_ns, const char *command)
{
    if (names_a_process(what)) {
        struct target target;
        int status = target_open(&target, what, command);
        return status != 0 ? status : watch(history, &target, what, seconds_ns, command);
    }
    FILE *file = fopen(what, "re");
    if (file == NULL)
        return refuse(what, strerror(errno), command);
    int status = history_read(history, file, what, command);
    fclose(file);
    return status;
}

int history_load_last(struct history *history, const char *name, const char *command)
{
    struct target target;
    int status = target_open_last(&target, name, command);
    return status != 0 ? status : watch(history, &target, name, 0, command);
}

void history_free(struct history *history)
{
    sample_free(history->last);
    if (history->points != NULL) {
        free(history->points[0].nodes);
        free(history->points[0].bands);
    }
    free(history->points);
    free(history->events);
    for (unsigned i = 0; i < HF_INSPECT_MAX_HEAPS && history->heaps != NULL; i++)
        free(history->heaps[i].held);
    free(history->heaps);
    *history = (struct history){ .samples = 0 };
}

/* The last that was known at a moment, of the first point on. */
static double high_water_at(const struct history *history, unsigned node, double ns)
{
    unsigned last = 0;
    while (last + 1 < history->point_count && (double)history->points[last + 1].ns <= ns)
        last++;
    return (double)history->points[last].nodes[node].high_water;
}

/* Mean of what was used from one moment to another; of the point before that, where there is none
 * between. */
static double mean_used(const struct history *history, unsigned node, double from_ns, double to_ns)
{
    double sum = 0;
    unsigned count = 0;
    for (unsigned i = 0; i < history->point_count; i++) {
        const struct history_point *point = &history->points[i];
        if ((double)point->ns > to_ns)
            break;
        if ((double)point->ns <= from_ns)
            sum = count = 0;
        sum += (double)point->nodes[node].used;
        count++;
    }
    return count == 0 ? 0 : sum / count;
}

bool history_rises(const struct history *history, unsigned node, double *bytes_per_s)
{
    const struct history_point *first = history->points,
                               *last = first + history->point_count - (history->point_count != 0);
    *bytes_per_s = 0;
    if (history->point_count <= RISE_PARTS || last->ns <= first->ns ||
        (double)(last->ns - first->ns) < RISE_SECONDS_MIN * 1e9)
        return false;
    double span_ns = (double)(last->ns - first->ns),
           rise = (double)last->nodes[node].high_water - (double)first->nodes[node].high_water;
    double before = (double)first->nodes[node].high_water, mean_before = 0;
    for (unsigned part = 1; part <= RISE_PARTS; part++) {
        double from_ns = (double)first->ns + span_ns * (part - 1) / RISE_PARTS,
               to_ns = from_ns + span_ns / RISE_PARTS;
        double now = high_water_at(history, node, to_ns), mean = mean_used(history, node, from_ns, to_ns);
        if (now - before <= 0 || now - before < rise / RISE_PARTS / 4 ||
            (part > 1 && mean - mean_before < rise / RISE_PARTS / 4))
            return false; /* by its mean too: a higher peak now and then is no rise */
        before = now;
        mean_before = mean;
    }
    *bytes_per_s = rise / (span_ns / 1e9);
    return true;
}

uint64_t history_heap_held(const struct history *history, unsigned slot, unsigned point)
{
    const struct history_heap *heap = &history->heaps[slot];
    bool there = heap->id != 0 && point >= heap->since && point < history->point_count;
    return there ? (uint64_t)heap->held[point] * HISTORY_HEAP_STEP : 0;
}

bool history_heap_rises(const struct history *history, unsigned slot, uint64_t *from_bytes,
                        double *bytes_per_s)
{
    const struct history_heap *heap = &history->heaps[slot];
    unsigned first = heap->since, last = history->point_count - (history->point_count != 0);
    if (heap->id == 0 || last < first + RISE_PARTS ||
        history->points[last].ns < history->points[first].ns + (uint64_t)(RISE_SECONDS_MIN * 1e9))
        return false;
    uint32_t rise = heap->held[last] - heap->held[first];
    for (unsigned i = first + 1; i <= last; i++)
        if (heap->held[i] < heap->held[i - 1])
            return false;
    for (unsigned part = 0; part < RISE_PARTS; part++) { /* not all of it at its beginning */
        unsigned from = first + (last - first) * part / RISE_PARTS,
                 to = first + (last - first) * (part + 1) / RISE_PARTS;
        if (rise < HEAP_RISE_STEPS || heap->held[to] - heap->held[from] < rise / RISE_PARTS / 4)
            return false;
    }
    *from_bytes = (uint64_t)heap->held[first] * HISTORY_HEAP_STEP;
    *bytes_per_s = (double)rise * HISTORY_HEAP_STEP /
                   ((double)(history->points[last].ns - history->points[first].ns) / 1e9);
    return true;
}

double history_life_s(const struct history *history)
{
    const struct snapshot *snapshot = &history->last->snapshot;
    uint64_t start = snapshot->header.clock_ns;
    return snapshot->taken_ns > start ? (double)(snapshot->taken_ns - start) / 1e9 : 0;
}

double history_span_s(const struct history *history)
{
    uint64_t end = history->last->snapshot.taken_ns;
    return end > history->first_ns ? (double)(end - history->first_ns) / 1e9 : 0;
}
