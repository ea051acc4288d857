/*
 * recording-write: see recording.h; making one.
 *
 * Tests: tests/tool-report.sh.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "reader/recording-parts.h"

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
        if (!recording_make_room(bytes, 20 + (end - same) * 10))
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
    struct table table = recording_table(sample, part);
    size_t count = table.used * table.entry_bytes / 8;
    uint64_t *before = part == PART_PAGES ? NULL : recording_words_before(recording, sample, part);
    if ((part != PART_PAGES && before == NULL) || !recording_make_room(&recording->payload, 20))
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
        .head_bytes = sizeof recording->head + PART_COUNT * sizeof recording->entry_bytes[0],
        .layout = HF_INSPECT_VERSION,
        .interval_ns = interval_ns,
    };
    for (enum part part = PART_HEADER; part < PART_COUNT; part++)
        recording->entry_bytes[part] = recording_entry_bytes(part);
    recording->head.sample_bytes = recording_sum_of_entries(recording->entry_bytes);
    fwrite(&recording->head, sizeof recording->head, 1, file); /* recording_append finds its error */
    fwrite(recording->entry_bytes, sizeof recording->entry_bytes[0], PART_COUNT, file);
    return recording;
}

int recording_append(struct recording *recording, struct sample *sample, bool whole, bool last)
{
    bool there = true;
    recording->payload.used = 0;
    if (!recording_make_room(&recording->payload, sizeof(uint32_t[2])))
        return -ENOMEM;
    recording->payload.used = sizeof(uint32_t[2]); /* the frame, filled last */
    for (enum part part = PART_HEADER; part < PART_COUNT && there; part++) {
        bool of_theaps = part == PART_THEAPS || part == PART_THEAP_PAGES || part == PART_THREADS;
        bool of_map = part == PART_NODE_PAGES || part == PART_PLACES || part == PART_CLASS_PAGES ||
                      part == PART_CELLS || part == PART_PAGES || part == PART_LIVE;
        /* Thousands of heaps that come and go would be most of the file. */
        bool of_many_heaps = part == PART_HEAPS && sample->snapshot.heap_sum.live > RECORDING_HEAPS_OFTEN;
        if (((of_theaps || of_many_heaps) && !whole) || (of_map && sample->snapshot.pages == NULL) ||
            (part == PART_PAGES && !last))
            continue;
        there = put_part(recording, sample, part);
    }
    size_t length = recording->payload.used - sizeof(uint32_t[2]);
    if (!there || length > PAYLOAD_MAX)
        return -ENOMEM;
    uint32_t frame[2] = { (uint32_t)length,
                          recording_checksum(recording->payload.at + sizeof(uint32_t[2]), length) };
    memcpy(recording->payload.at, frame, sizeof frame);
    errno = 0;
    fwrite(recording->payload.at, recording->payload.used, 1, recording->file);
    return fflush(recording->file) == 0 && !ferror(recording->file) ? 0 : errno != 0 ? -errno : -EIO;
}
