/*
 * recording-read: see recording.h; reading one.
 *
 * RC1: nothing in a file is trusted.  Lengths are held against the rest of the file, counts against
 *      the tables, before they are followed.  A word is stored only inside its table.
 * RC2: memory is bounded by the tables of one sample and by the file's own length.  The exception
 *      is the page map, of PAGES_MAX words at most, whose repeated words take none.
 * RC3: a sample is used only if its checksum is right and all of it was understood.
 *
 * Tests: tests/tool-report.sh, tests/fuzz/recording.c.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "reader/recording-parts.h"

#define ENTRY_MOST 8192u /* bytes of an entry of a later tool */

static uint64_t unzigzag(uint64_t number)
{
    return number >> 1 ^ (0 - (number & 1));
}

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

/* Of a part that is not known here. */
static bool skip_words(const uint8_t **at, const uint8_t *end, uint64_t count)
{
    while (count != 0) {
        uint64_t same, different, number;
        if (!get_varint(at, end, &same) || !get_varint(at, end, &different) || same > count ||
            different > count - same || same + different == 0)
            return false;
        count -= same + different;
        while (different-- != 0)
            if (!get_varint(at, end, &number))
                return false;
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
    else if (part == PART_CAUSES)
        snapshot->cause_count = (unsigned)count;
    else if (part == PART_HEAPS)
        snapshot->heap_count = (unsigned)count;
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
        part >= PART_END || recording->entry_bytes[part] == 0 || count > PAYLOAD_MAX)
        return "it has a part that is none";
    if (part >= PART_COUNT)
        return skip_words(at, end, count * recording->entry_bytes[part] / 8) ? NULL
                                                                             : "one of its tables ends early";
    struct table table = recording_table(sample, (enum part)part);
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
    uint64_t *words = recording_words_before(recording, sample, (enum part)part);
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
    snapshot->header.theaps.entry_bytes =
        hfi_min(snapshot->header.theaps.entry_bytes, recording->entry_bytes[PART_THEAPS]);
    sample->clock.name[SAMPLE_NAME - 1] = 0;
    origin_end_texts(&sample->origin);
    snapshot_end_heap_names(snapshot);
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
    if (snapshot->heaps == NULL)
        snapshot->heaps = calloc(HF_INSPECT_MAX_HEAPS, sizeof *snapshot->heaps);
    if (snapshot->theaps == NULL || snapshot->theap_pages == NULL || snapshot->heaps == NULL)
        return "there is no memory for it";
    while (at < end && fault == NULL)
        fault = get_part(recording, sample, &at, end);
    return fault != NULL ? fault : settle(recording, sample);
}

/* In steps, so that memory goes by what the file has, not by what it says. */
static bool read_payload(struct recording *recording, size_t length)
{
    recording->payload.used = 0;
    if (!recording_make_room(&recording->payload, 1)) /* an empty payload has an address too */
        return false;
    while (recording->payload.used < length) {
        size_t step = length - recording->payload.used < 1 << 20 ? length - recording->payload.used : 1 << 20;
        if (!recording_make_room(&recording->payload, step) ||
            fread(recording->payload.at + recording->payload.used, 1, step, recording->file) != step)
            return false;
        recording->payload.used += step;
    }
    return true;
}

static bool read_sizes(struct recording *recording)
{
    const struct recording_head *head = &recording->head;
    size_t told = head->head_bytes - sizeof *head;
    if (head->version == 1) {
        for (enum part part = PART_HEADER; part < PART_COUNT; part++)
            recording->entry_bytes[part] = recording_first_bytes(part);
        return head->head_bytes == sizeof *head;
    }
    return head->head_bytes >= sizeof *head && told <= sizeof recording->entry_bytes &&
           told % sizeof recording->entry_bytes[0] == 0 &&
           fread(recording->entry_bytes, 1, told, recording->file) == told;
}

static bool get_sizes(struct recording *recording)
{
    if (!read_sizes(recording))
        return false;
    for (unsigned part = PART_HEADER; part < PART_END; part++) {
        uint32_t bytes = recording->entry_bytes[part];
        uint32_t least = part < PART_COUNT ? recording_first_bytes((enum part)part) : 0;
        if (bytes < least || bytes > ENTRY_MOST || bytes % sizeof(uint64_t) != 0)
            return false;
    }
    return recording->entry_bytes[PART_PAGES] == sizeof(uint64_t) &&
           recording->head.sample_bytes == recording_sum_of_entries(recording->entry_bytes);
}

static bool is_of_this_version(const struct recording_head *head)
{
    return head->version >= 1 && head->version <= RECORDING_VERSION && head->layout == HF_INSPECT_VERSION;
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
    else if (is_of_this_version(head) && !get_sizes(recording))
        *reason = "its tables are not those of this tool";
    else if (is_of_this_version(head))
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
    if (*reason == NULL && recording_checksum(recording->payload.at, frame[0]) != frame[1])
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
