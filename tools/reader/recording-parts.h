/*
 * recording-parts: what a recording is made of, for those who write and read it (recording.h).
 */
#ifndef HFT_RECORDING_PARTS_H
#define HFT_RECORDING_PARTS_H

#include "reader/recording.h"

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
    PART_CAUSES,
    PART_HEAP_SUM,
    PART_HEAPS,
    PART_COUNT,
    PART_END = 64 /* a later tool's parts are below it */
};

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
    uint32_t entry_bytes[PART_END]; /* in the file: an older tool's are shorter, a newer one's longer; 0 where
     * there is no such part */
    uint64_t *before[PART_COUNT]; /* words of the sample before, as in the file, each table at its longest */
    struct bytes payload;
    unsigned node_count; /* of its first sample, and of all */
    bool complete;       /* the page map was read: nothing may follow */
};

/* The table of a part.  Its count is what the snapshot has now. */
struct table recording_table(struct sample *sample, enum part part);

/* Bytes of an entry of a part; and in files of version 1, whose head does not tell them; 0: they do not
 * have it. */
uint32_t recording_entry_bytes(enum part part);
uint32_t recording_first_bytes(enum part part);

/* To tell whose file it is. */
uint32_t recording_sum_of_entries(const uint32_t entry_bytes[PART_END]);

/* CRC-32 (IEEE). */
uint32_t recording_checksum(const uint8_t *bytes, size_t count);

/* Room for `more` bytes; false where there is no memory. */
bool recording_make_room(struct bytes *bytes, size_t more);

/* The words of a part in the sample before, zero at first; NULL where there is no memory. */
uint64_t *recording_words_before(struct recording *recording, struct sample *sample, enum part part);

#endif
