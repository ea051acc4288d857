/*
 * recording: see recording.h.
 *
 * R1: nothing in a file is believed: lengths are held against the rest of the file, counts against
 *     the tables, before they are followed; a word is stored only inside its table.
 * R2: memory is bounded by the tables of one sample and by the file's own length, but for the page
 *     map, of PAGES_MAX words at most, whose repeated words take none.
 * R3: a sample is used only if its checksum is right and all of it was understood.
 *
 * Tests: tests/tool-report.sh, tests/fuzz/recording.c.
 */
#include "reader/recording.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

#ifndef RECORDING_PAGES_MAX
#define RECORDING_PAGES_MAX ((size_t)1 << 26) /* 4 TiB of arena */
#endif
#define PAYLOAD_MAX ((size_t)1 << 30)

enum part {
    PART_HEADER = 1,
    PART_CLOCK,
    PART_MACHINE,
    PART_NODES,
    PART_NODE_PAGES,
    PART_PLACES,
    PART_CLASSES,
    PART_CLASS_PAGES,
    PART_SUM,
    PART_OTHERS,
    PART_EVENTS,
    PART_CELLS,
    PART_THEAPS,
    PART_THEAP_PAGES,
    PART_THREADS,
    PART_PAGES,
    PART_LIVE,
    PART_ORIGIN,
    PART_COUNT
};

/* Sizes of their entries in files of version 1, whose head does not tell them: 0 for parts that it
 * does not have. */
static const uint32_t first_sizes[PART_COUNT] = {
    [PART_HEADER] = 256,    [PART_CLOCK] = 48,       [PART_MACHINE] = 3096, [PART_NODES] = 128,
    [PART_NODE_PAGES] = 80, [PART_PLACES] = 32,      [PART_CLASSES] = 16,   [PART_CLASS_PAGES] = 40,
    [PART_SUM] = 424,       [PART_OTHERS] = 320,     [PART_EVENTS] = 48,    [PART_CELLS] = 8,
    [PART_THEAPS] = 320,    [PART_THEAP_PAGES] = 16, [PART_THREADS] = 24,   [PART_PAGES] = 8,
};
#define ENTRY_MOST 8192u /* bytes of an entry of a later tool */
#define LIVE_BYTES                                                                                           \
    (offsetof(struct snapshot, magazine_bytes) + sizeof(uint64_t) - offsetof(struct snapshot, live_known))

/* One table of a sample. */
struct table {
    void *memory;
    size_t used, max; /* entries: there, and possible */
    size_t entry_bytes;
};

struct bytes {
    uint8_t *at;
    size_t used, room;
};

struct recording {
    FILE *file;
    struct recording_head head;
    uint32_t entry_bytes[PART_COUNT]; /* in the file: an older tool's are shorter, a newer one's longer */
    uint64_t *before[PART_COUNT]; /* words of the sample before, as in the file, each table at its longest */
    struct bytes payload;
    unsigned node_count; /* of its first sample, and of all */
    bool complete;       /* the page map was read: nothing may follow */
};

_Static_assert(LIVE_BYTES == 6 * sizeof(uint64_t), "nothing lies between");
_Static_assert(sizeof(struct hf_inspect_segment) % 8 == 0 && sizeof(struct hf_inspect_class) % 8 == 0 &&
                   sizeof(struct sample_clock) % 8 == 0 && sizeof(struct sample_thread) % 8 == 0 &&
                   sizeof(struct snapshot_sum) % 8 == 0 && sizeof(struct sample_origin) % 8 == 0,
               "tables are made of words");

static struct table table_of(struct sample *sample, enum part part)
{
    struct snapshot *snapshot = &sample->snapshot;
    size_t nodes = snapshot->node_count, classes = snapshot->class_count, theaps = snapshot->theap_count;
    switch (part) {
    case PART_HEADER: return (struct table){ &snapshot->header, 1, 1, sizeof snapshot->header };
    case PART_CLOCK: return (struct table){ &sample->clock, 1, 1, sizeof sample->clock };
    case PART_MACHINE: return (struct table){ &sample->machine, 1, 1, sizeof sample->machine };
    case PART_NODES:
        return (struct table){ snapshot->nodes, nodes, HF_INSPECT_MAX_NODES, sizeof snapshot->nodes[0] };
    case PART_NODE_PAGES:
        return (struct table){ snapshot->node_pages, nodes, HF_INSPECT_MAX_NODES,
                               sizeof snapshot->node_pages[0] };
    case PART_PLACES:
        return (struct table){ sample->places, nodes, HF_INSPECT_MAX_NODES, sizeof sample->places[0] };
    case PART_CLASSES:
        return (struct table){ snapshot->classes, classes, HF_INSPECT_MAX_CLASSES,
                               sizeof snapshot->classes[0] };
    case PART_CLASS_PAGES:
        return (struct table){ snapshot->class_pages, classes, HF_INSPECT_MAX_CLASSES,
                               sizeof snapshot->class_pages[0] };
    case PART_SUM: return (struct table){ &sample->sum, 1, 1, sizeof sample->sum };
    case PART_OTHERS:
        return (struct table){ snapshot->others, nodes, HF_INSPECT_MAX_NODES, sizeof snapshot->others[0] };
    case PART_EVENTS:
        return (struct table){ sample->ring, HF_INSPECT_EVENTS, HF_INSPECT_EVENTS, sizeof sample->ring[0] };
    case PART_CELLS:
        return (struct table){ sample->cells, nodes * SAMPLE_CELLS, HF_INSPECT_MAX_NODES * SAMPLE_CELLS,
                               sizeof sample->cells[0] };
    case PART_THEAPS:
        return (struct table){ snapshot->theaps, theaps, HF_INSPECT_MAX_THEAPS, sizeof snapshot->theaps[0] };
    case PART_THEAP_PAGES:
        return (struct table){ snapshot->theap_pages, theaps, HF_INSPECT_MAX_THEAPS,
                               sizeof snapshot->theap_pages[0] };
    case PART_THREADS:
        return (struct table){ sample->threads, theaps, HF_INSPECT_MAX_THEAPS, sizeof sample->threads[0] };
    case PART_PAGES:
        return (struct table){ snapshot->pages, snapshot->page_count, RECORDING_PAGES_MAX,
                               sizeof snapshot->pages[0] };
    case PART_LIVE: return (struct table){ &snapshot->live_known, 1, 1, LIVE_BYTES };
    case PART_ORIGIN: return (struct table){ &sample->origin, 1, 1, sizeof sample->origin };
    case PART_COUNT: break;
    }
    return (struct table){ NULL, 0, 0, 8 };
}

static void set_own_sizes(struct recording *recording)
{
    static struct sample none;
    for (enum part part = PART_HEADER; part < PART_COUNT; part++)
        recording->entry_bytes[part] = (uint32_t)table_of(&none, part).entry_bytes;
}

/* Of version 1: to tell whose file it is. */
static uint32_t sum_of_entries(const uint32_t entry_bytes[PART_COUNT])
{
    uint32_t sum = 0;
    for (enum part part = PART_HEADER; part < PART_COUNT; part++)
        sum += entry_bytes[part] * (part + 1u);
    return sum;
}

static uint32_t checksum(const uint8_t *bytes, size_t count)
{
    static uint32_t table[256];
    uint32_t crc = ~0u;
    for (uint32_t i = 0; i < 256 && table[255] == 0; i++) {
        uint32_t entry = i;
        for (int bit = 0; bit < 8; bit++)
            entry = entry >> 1 ^ (entry & 1 ? 0xedb88320u : 0);
        table[i] = entry;
    }
    for (size_t i = 0; i < count; i++)
        crc = crc >> 8 ^ table[(crc ^ bytes[i]) & 255];
    return ~crc;
}

static bool make_room(struct bytes *bytes, size_t more)
{
    if (bytes->room - bytes->used >= more)
        return true;
    size_t room = bytes->room * 2 + more + 4096;
    uint8_t *at = realloc(bytes->at, room);
    if (at == NULL)
        return false;
    bytes->at = at;
    bytes->room = room;
    return true;
}

static uint64_t *words_before(struct recording *recording, struct sample *sample, enum part part)
{
    struct table table = table_of(sample, part);
    if (recording->before[part] == NULL)
        recording->before[part] = calloc(table.max, recording->entry_bytes[part]);
    return recording->before[part];
}

/* --- writing --- */

static void put_varint(struct bytes *bytes, uint64_t number) /* make_room was called */
{
    for (; number >= 0x80; number >>= 7)
        bytes->at[bytes->used++] = (uint8_t)(number | 0x80);
    bytes->at[bytes->used++] = (uint8_t)number;
}

static uint64_t zigzag(uint64_t difference)
{
    return difference << 1 ^ (0 - (difference >> 63));
}

static uint64_t unzigzag(uint64_t number)
{
    return number >> 1 ^ (0 - (number & 1));
}

/* With `before`: against it, which is brought up to date; without: against the word in front. */
static bool put_words(struct bytes *bytes, const uint64_t *words, uint64_t *before, size_t count)
{
    for (size_t i = 0; i < count;) {
        size_t same = i, end;
        while (same < count && words[same] == (before != NULL ? before[same]
                                               : same == 0    ? 0
                                                              : words[same - 1]))
            same++;
        for (end = same; end < count && words[end] != (before != NULL ? before[end]
                                                       : end == 0     ? 0
                                                                      : words[end - 1]);)
            end++;
        if (!make_room(bytes, 20 + (end - same) * 10))
            return false;
        put_varint(bytes, same - i);
        put_varint(bytes, end - same);
        for (size_t j = same; j < end; j++) {
            put_varint(bytes, zigzag(words[j] - (before != NULL ? before[j] : j == 0 ? 0 : words[j - 1])));
            if (before != NULL)
                before[j] = words[j];
        }
        i = end;
    }
    return true;
}

static bool put_part(struct recording *recording, struct sample *sample, enum part part)
{
    struct table table = table_of(sample, part);
    size_t count = table.used * table.entry_bytes / 8;
    uint64_t *before = part == PART_PAGES ? NULL : words_before(recording, sample, part);
    if ((part != PART_PAGES && before == NULL) || !make_room(&recording->payload, 20))
        return false;
    put_varint(&recording->payload, part);
    put_varint(&recording->payload, table.used);
    return put_words(&recording->payload, table.memory, before, count);
}

struct recording *recording_create(FILE *file, uint64_t interval_ns, const char *command)
{
    struct recording *recording = calloc(1, sizeof *recording);
    if (recording == NULL) {
        hfi_say(SAY_ERROR, "HF-E445", command, "no memory for a recording (%zu bytes); end other programs",
                sizeof *recording);
        return NULL;
    }
    recording->file = file;
    recording->head = (struct recording_head){
        .magic = RECORDING_MAGIC,
        .version = RECORDING_VERSION,
        .head_bytes = sizeof recording->head + sizeof recording->entry_bytes,
        .layout = HF_INSPECT_VERSION,
        .interval_ns = interval_ns,
    };
    set_own_sizes(recording);
    recording->head.sample_bytes = sum_of_entries(recording->entry_bytes);
    fwrite(&recording->head, sizeof recording->head, 1, file); /* recording_append finds its error */
    fwrite(recording->entry_bytes, sizeof recording->entry_bytes, 1, file);
    return recording;
}

int recording_append(struct recording *recording, struct sample *sample, bool whole, bool last)
{
    bool there = true;
    recording->payload.used = 0;
    if (!make_room(&recording->payload, sizeof(uint32_t[2])))
        return -ENOMEM;
    recording->payload.used = sizeof(uint32_t[2]); /* the frame, filled last */
    for (enum part part = PART_HEADER; part < PART_COUNT && there; part++) {
        bool of_theaps = part == PART_THEAPS || part == PART_THEAP_PAGES || part == PART_THREADS;
        bool of_map = part == PART_NODE_PAGES || part == PART_PLACES || part == PART_CLASS_PAGES ||
                      part == PART_CELLS || part == PART_PAGES || part == PART_LIVE;
        if ((of_theaps && !whole) || (of_map && sample->snapshot.pages == NULL) ||
            (part == PART_PAGES && !last))
            continue;
        there = put_part(recording, sample, part);
    }
    size_t length = recording->payload.used - sizeof(uint32_t[2]);
    if (!there || length > PAYLOAD_MAX)
        return -ENOMEM;
    uint32_t frame[2] = { (uint32_t)length, checksum(recording->payload.at + sizeof(uint32_t[2]), length) };
    memcpy(recording->payload.at, frame, sizeof frame);
    errno = 0;
    fwrite(recording->payload.at, recording->payload.used, 1, recording->file);
    return fflush(recording->file) == 0 && !ferror(recording->file) ? 0 : errno != 0 ? -errno : -EIO;
}

/* --- reading --- */

static bool get_varint(const uint8_t **at, const uint8_t *end, uint64_t *number)
{
    *number = 0;
    for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
        uint8_t byte = *(*at)++;
        *number |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return shift < 63 || byte <= 1;
    }
    return false;
}

static bool get_words(const uint8_t **at, const uint8_t *end, uint64_t *words, bool forward, size_t count)
{
    for (size_t i = 0; i < count;) {
        uint64_t same, different, number;
        if (!get_varint(at, end, &same) || !get_varint(at, end, &different) || same > count - i ||
            different > count - i - same || same + different == 0)
            return false;
        for (uint64_t j = 0; forward && j < same; j++)
            words[i + j] = i + j == 0 ? 0 : words[i + j - 1];
        i += same;
        for (uint64_t j = 0; j < different; j++, i++) {
            if (!get_varint(at, end, &number))
                return false;
            words[i] = unzigzag(number) + (!forward ? words[i] : i == 0 ? 0 : words[i - 1]);
        }
    }
    return true;
}

static void set_count(struct snapshot *snapshot, enum part part, size_t count)
{
    if (part == PART_NODES)
        snapshot->node_count = (unsigned)count;
    else if (part == PART_CLASSES)
        snapshot->class_count = (unsigned)count;
    else if (part == PART_THEAPS)
        snapshot->theap_count = (unsigned)count;
}

static const char *get_pages(struct snapshot *snapshot, size_t count)
{
    free(snapshot->pages);
    snapshot->pages = count == 0 ? NULL : malloc(count * sizeof *snapshot->pages);
    snapshot->page_count = snapshot->pages == NULL ? 0 : count;
    return snapshot->page_count == count ? NULL : "there is no memory for its page map";
}

static void copy_entries(const struct table *table, const uint64_t *words, size_t count, size_t entry_bytes)
{
    size_t bytes = hfi_min(entry_bytes, table->entry_bytes);
    for (size_t i = 0; i < count; i++) {
        uint8_t *to = (uint8_t *)table->memory + i * table->entry_bytes;
        memcpy(to, (const uint8_t *)words + i * entry_bytes, bytes);
        memset(to + bytes, 0, table->entry_bytes - bytes);
    }
}

static const char *get_part(struct recording *recording, struct sample *sample, const uint8_t **at,
                            const uint8_t *end)
{
    uint64_t part, count;
    if (!get_varint(at, end, &part) || !get_varint(at, end, &count) || part < PART_HEADER ||
        part >= PART_COUNT || recording->entry_bytes[part] == 0)
        return "it has a part that is none";
    struct table table = table_of(sample, (enum part)part);
    if (count > table.max || (table.max == 1 && count != 1))
        return "one of its tables is too long";
    if (part == PART_PAGES) {
        const char *fault =
            recording->complete ? "it has two page maps" : get_pages(&sample->snapshot, count);
        recording->complete = true;
        return fault != NULL || get_words(at, end, sample->snapshot.pages, true, count)
                 ? fault
                 : "its page map is no such";
    }
    uint64_t *words = words_before(recording, sample, (enum part)part);
    if (words == NULL)
        return "there is no memory for it";
    if (!get_words(at, end, words, false, count * recording->entry_bytes[part] / 8))
        return "one of its tables ends early";
    copy_entries(&table, words, count, recording->entry_bytes[part]);
    set_count(&sample->snapshot, (enum part)part, count);
    return NULL;
}

/* What everybody who shows a sample relies on; the page map's is snapshot_fault's. */
static const char *settle(struct recording *recording, struct sample *sample)
{
    struct snapshot *snapshot = &sample->snapshot;
    recording->node_count = recording->node_count == 0 ? snapshot->node_count : recording->node_count;
    if (snapshot->node_count == 0 || snapshot->node_count != recording->node_count)
        return "it has no node, or not always as many";
    double rate = sample->clock.ticks_per_ns;
    snapshot->taken_ns = sample->clock.taken_ns;
    snapshot->taken_ticks = sample->clock.taken_ticks;
    snapshot->ticks_per_ns = isfinite(rate) && rate > 1e-6 && rate < 1e6 ? rate : 1;
    snapshot->header.library[sizeof snapshot->header.library - 1] = 0;
    sample->clock.name[SAMPLE_NAME - 1] = 0;
    origin_end_texts(&sample->origin);
    for (unsigned i = 0; i < snapshot->theap_count; i++)
        sample->threads[i].name[SAMPLE_NAME - 1] = 0;
    for (unsigned i = 0; i < snapshot->node_count; i++)
        if (sample->places[i].cells > SAMPLE_CELLS)
            return "a node has more cells than there can be";
    sample_take_events(sample);
    return snapshot_fault(snapshot);
}

static const char *get_sample(struct recording *recording, struct sample *sample, size_t length)
{
    struct snapshot *snapshot = &sample->snapshot;
    const uint8_t *at = recording->payload.at, *end = at + length;
    const char *fault = NULL;
    if (snapshot->theaps == NULL)
        snapshot->theaps = calloc(HF_INSPECT_MAX_THEAPS, sizeof *snapshot->theaps);
    if (snapshot->theap_pages == NULL)
        snapshot->theap_pages = calloc(HF_INSPECT_MAX_THEAPS, sizeof *snapshot->theap_pages);
    if (snapshot->theaps == NULL || snapshot->theap_pages == NULL)
        return "there is no memory for it";
    while (at < end && fault == NULL)
        fault = get_part(recording, sample, &at, end);
    return fault != NULL ? fault : settle(recording, sample);
}

/* In steps, so that memory goes by what the file has, not by what it says. */
static bool read_payload(struct recording *recording, size_t length)
{
    recording->payload.used = 0;
    if (!make_room(&recording->payload, 1)) /* an empty payload has an address too */
        return false;
    while (recording->payload.used < length) {
        size_t step = length - recording->payload.used < 1 << 20 ? length - recording->payload.used : 1 << 20;
        if (!make_room(&recording->payload, step) ||
            fread(recording->payload.at + recording->payload.used, 1, step, recording->file) != step)
            return false;
        recording->payload.used += step;
    }
    return true;
}

static bool get_sizes(struct recording *recording)
{
    const struct recording_head *head = &recording->head;
    /* parts that came later are not in an older file: of size 0 */
    size_t told = head->head_bytes - sizeof *head;
    if (head->version < RECORDING_VERSION)
        memcpy(recording->entry_bytes, first_sizes, sizeof first_sizes);
    else if (head->head_bytes < sizeof *head || told > sizeof recording->entry_bytes ||
             told % sizeof recording->entry_bytes[0] != 0 ||
             fread(recording->entry_bytes, 1, told, recording->file) != told)
        return false;
    for (enum part part = PART_HEADER; part < PART_COUNT; part++) {
        uint32_t bytes = recording->entry_bytes[part];
        if (bytes < first_sizes[part] || bytes > ENTRY_MOST || bytes % sizeof(uint64_t) != 0)
            return false;
    }
    bool known = head->version > 1 || (head->version == 1 && head->head_bytes == sizeof *head);
    return known && recording->entry_bytes[PART_PAGES] == sizeof(uint64_t) &&
           head->sample_bytes == sum_of_entries(recording->entry_bytes);
}

struct recording *recording_open(FILE *file, const char **reason)
{
    struct recording *recording = calloc(1, sizeof *recording);
    *reason = recording == NULL ? "there is no memory for it" : NULL;
    if (recording == NULL)
        return NULL;
    struct recording_head *head = &recording->head;
    recording->file = file;
    if (fread(head, sizeof *head, 1, file) != 1 || head->magic != RECORDING_MAGIC)
        *reason = "it does not begin as a recording of this kind of machine";
    else if (head->version > RECORDING_VERSION || head->layout != HF_INSPECT_VERSION)
        *reason =
            head->layout < HF_INSPECT_VERSION ? "it is older than this tool" : "it is newer than this tool";
    else if (!get_sizes(recording))
        *reason = "its tables are not those of this tool";
    if (*reason == NULL)
        return recording;
    recording_free(recording);
    return NULL;
}

enum recording_verdict recording_next(struct recording *recording, struct sample *sample, const char **reason)
{
    uint32_t frame[2];
    size_t got = fread(frame, 1, sizeof frame, recording->file);
    if (got == 0)
        return RECORDING_END;
    *reason = recording->complete ? "there is something behind its end" : NULL;
    if (*reason == NULL &&
        (got != sizeof frame || frame[0] > PAYLOAD_MAX || !read_payload(recording, frame[0])))
        *reason = "it ends in the middle of a sample";
    if (*reason == NULL && checksum(recording->payload.at, frame[0]) != frame[1])
        *reason = "a sample's checksum is wrong";
    if (*reason != NULL)
        return RECORDING_CUT;
    *reason = get_sample(recording, sample, frame[0]);
    return *reason == NULL ? RECORDING_SAMPLE : RECORDING_BAD;
}

uint64_t recording_interval_ns(const struct recording *recording)
{
    return recording->head.interval_ns;
}

void recording_free(struct recording *recording)
{
    for (enum part part = PART_HEADER; recording != NULL && part < PART_COUNT; part++)
        free(recording->before[part]);
    if (recording != NULL)
        free(recording->payload.at);
    free(recording);
}
