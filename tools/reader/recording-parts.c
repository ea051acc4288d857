/*
 * recording-parts: see recording-parts.h; which tables of a sample a recording has, and where they are.
 *
 * Tests: tests/tool-report.sh, tests/fuzz/recording.c.
 */
#include "reader/recording-parts.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define LIVE_BYTES                                                                                           \
    (offsetof(struct snapshot, magazine_bytes) + sizeof(uint64_t) - offsetof(struct snapshot, live_known))

_Static_assert(LIVE_BYTES == 6 * sizeof(uint64_t), "nothing lies between");
_Static_assert(sizeof(struct hf_inspect_segment) % 8 == 0 && sizeof(struct hf_inspect_class) % 8 == 0 &&
                   sizeof(struct sample_clock) % 8 == 0 && sizeof(struct sample_thread) % 8 == 0 &&
                   sizeof(struct snapshot_sum) % 8 == 0 && sizeof(struct hf_inspect_heap) % 8 == 0 &&
                   sizeof(struct sample_origin) % 8 == 0,
               "tables are made of words");

/* By what its entries are counted. */
enum counted { BY_ONE, BY_NODES, BY_CELLS, BY_CLASSES, BY_THEAPS, BY_EVENTS, BY_PAGES, BY_CAUSES, BY_HEAPS };

static const size_t most[] = {
    [BY_ONE] = 1,
    [BY_NODES] = HF_INSPECT_MAX_NODES,
    [BY_CELLS] = (size_t)HF_INSPECT_MAX_NODES * SAMPLE_CELLS,
    [BY_CLASSES] = HF_INSPECT_MAX_CLASSES,
    [BY_THEAPS] = HF_INSPECT_MAX_THEAPS,
    [BY_EVENTS] = HF_INSPECT_EVENTS,
    [BY_PAGES] = RECORDING_PAGES_MAX,
    [BY_CAUSES] = HF_INSPECT_CAUSES,
    [BY_HEAPS] = HF_INSPECT_MAX_HEAPS,
};

static const struct {
    size_t place; /* in struct sample, of the table or of the pointer to it */
    bool is_pointer;
    uint32_t entry_bytes, first_bytes; /* today, and in files of version 1 */
    enum counted counted;
} parts[PART_COUNT] = {
#define AT(member) offsetof(struct sample, member)
    [PART_HEADER] = { AT(snapshot.header), false, sizeof(struct hf_inspect_segment), SNAPSHOT_LEAST_HEADER,
                      BY_ONE },
    [PART_CLOCK] = { AT(clock), false, sizeof(struct sample_clock), 48, BY_ONE },
    [PART_MACHINE] = { AT(machine), false, sizeof(struct machine), 3096, BY_ONE },
    [PART_NODES] = { AT(snapshot.nodes), false, sizeof(struct hf_inspect_node), SNAPSHOT_LEAST_NODE,
                     BY_NODES },
    [PART_NODE_PAGES] = { AT(snapshot.node_pages), false, sizeof(struct node_pages), 80, BY_NODES },
    [PART_PLACES] = { AT(places), false, sizeof(struct sample_place), 32, BY_NODES },
    [PART_CLASSES] = { AT(snapshot.classes), false, sizeof(struct hf_inspect_class), SNAPSHOT_LEAST_CLASS,
                       BY_CLASSES },
    [PART_CLASS_PAGES] = { AT(snapshot.class_pages), false, sizeof(struct class_pages), 40, BY_CLASSES },
    [PART_SUM] = { AT(sum), false, sizeof(struct snapshot_sum), 424, BY_ONE },
    [PART_OTHERS] = { AT(snapshot.others), false, sizeof(struct hf_inspect_theap), SNAPSHOT_LEAST_THEAP,
                      BY_NODES },
    [PART_EVENTS] = { AT(ring), false, sizeof(struct hf_inspect_event), SNAPSHOT_LEAST_EVENT, BY_EVENTS },
    [PART_CELLS] = { AT(cells), false, sizeof(uint64_t), 8, BY_CELLS },
    [PART_THEAPS] = { AT(snapshot.theaps), true, sizeof(struct hf_inspect_theap), SNAPSHOT_LEAST_THEAP,
                      BY_THEAPS },
    [PART_THEAP_PAGES] = { AT(snapshot.theap_pages), true, sizeof(struct theap_pages), 16, BY_THEAPS },
    [PART_THREADS] = { AT(threads), false, sizeof(struct sample_thread), 24, BY_THEAPS },
    [PART_PAGES] = { AT(snapshot.pages), true, sizeof(uint64_t), 8, BY_PAGES },
    [PART_LIVE] = { AT(snapshot.live_known), false, LIVE_BYTES, 0, BY_ONE },
    [PART_ORIGIN] = { AT(origin), false, sizeof(struct sample_origin), 0, BY_ONE },
    [PART_CAUSES] = { AT(snapshot.causes), false, sizeof(struct hf_inspect_slow), 0, BY_CAUSES },
    [PART_HEAP_SUM] = { AT(snapshot.heap_sum), false, sizeof(struct snapshot_heaps), 0, BY_ONE },
    [PART_HEAPS] = { AT(snapshot.heaps), true, sizeof(struct hf_inspect_heap), 0, BY_HEAPS },
#undef AT
};

static size_t count_of(const struct snapshot *snapshot, enum counted counted)
{
    switch (counted) {
    case BY_ONE: return 1;
    case BY_NODES: return snapshot->node_count;
    case BY_CELLS: return (size_t)snapshot->node_count * SAMPLE_CELLS;
    case BY_CLASSES: return snapshot->class_count;
    case BY_THEAPS: return snapshot->theap_count;
    case BY_EVENTS: return HF_INSPECT_EVENTS;
    case BY_PAGES: return snapshot->page_count;
    case BY_CAUSES: return snapshot->cause_count;
    case BY_HEAPS: return snapshot->heap_count;
    }
    return 0;
}

struct table recording_table(struct sample *sample, enum part part)
{
    void *memory = (char *)sample + parts[part].place;
    if (parts[part].is_pointer)
        memcpy(&memory, memory, sizeof memory);
    return (struct table){
        .memory = memory,
        .used = count_of(&sample->snapshot, parts[part].counted),
        .max = most[parts[part].counted],
        .entry_bytes = parts[part].entry_bytes,
    };
}

uint32_t recording_entry_bytes(enum part part)
{
    return parts[part].entry_bytes;
}

uint32_t recording_first_bytes(enum part part)
{
    return parts[part].first_bytes;
}

uint32_t recording_sum_of_entries(const uint32_t entry_bytes[PART_END])
{
    uint32_t sum = 0;
    for (unsigned part = PART_HEADER; part < PART_END; part++)
        sum += entry_bytes[part] * (part + 1u);
    return sum;
}

uint32_t recording_checksum(const uint8_t *bytes, size_t count)
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

bool recording_make_room(struct bytes *bytes, size_t more)
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

uint64_t *recording_words_before(struct recording *recording, struct sample *sample, enum part part)
{
    struct table table = recording_table(sample, part);
    if (recording->before[part] == NULL)
        recording->before[part] = calloc(table.max, recording->entry_bytes[part]);
    return recording->before[part];
}
