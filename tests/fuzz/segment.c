/*
 * segment: libFuzzer over what `holdfast stat`, `map` and `top` read of another process's inspection segment.
 *
 * Input is a segment.  Its header is put right first, unless its first byte is odd: this process's number, tables that lie one
 * behind the other, of as many entries as the input has room for, so that what is in them is met.  Then it is read, and shown
 * in every way there is, to /dev/null.
 *
 *   make fuzz-segment FUZZ_SECONDS=600
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "map.h"
#include "show.h"
#include "stat.h"

#define START 7

static struct hf_inspect_table table_at(uint64_t *offset, uint32_t count, uint32_t most, uint32_t entry_bytes, uint64_t end)
{
    uint64_t room = (end - *offset) / entry_bytes;
    count = count < most ? count : most;
    struct hf_inspect_table table = { *offset, count < room ? count : (uint32_t)room, entry_bytes };
    *offset += (uint64_t)table.count * entry_bytes;
    return table;
}

static void put_right(struct hf_inspect_segment *header, size_t bytes)
{
    uint64_t offset = sizeof *header;
    header->magic = HF_INSPECT_MAGIC;
    header->version = HF_INSPECT_VERSION;
    header->header_bytes = sizeof *header;
    header->segment_bytes = bytes;
    header->pid = (uint64_t)getpid();
    header->start_ticks = START;
    header->nodes = table_at(&offset, header->nodes.count % 4 + 1, HF_INSPECT_MAX_NODES, sizeof(struct hf_inspect_node), bytes);
    header->classes = table_at(&offset, header->classes.count % 8, HF_INSPECT_MAX_CLASSES, sizeof(struct hf_inspect_class), bytes);
    header->theaps = table_at(&offset, header->theaps.count % 8, HF_INSPECT_MAX_THEAPS, sizeof(struct hf_inspect_theap), bytes);
    header->events = table_at(&offset, header->events.count % 16, HF_INSPECT_EVENTS, sizeof(struct hf_inspect_event), bytes);
    header->pages = table_at(&offset, UINT32_MAX, UINT32_MAX, sizeof(uint64_t), bytes);
}

/* Nodes within the page map, and classes that a page can hold. */
static void put_tables_right(uint8_t *bytes)
{
    struct hf_inspect_segment *header = (struct hf_inspect_segment *)bytes;
    struct hf_inspect_node *nodes = (void *)(bytes + header->nodes.offset);
    struct hf_inspect_class *classes = (void *)(bytes + header->classes.offset);
    for (uint32_t i = 0; i < header->nodes.count; i++) {
        uint64_t pages = header->pages.count == 0 ? 0 : nodes[i].total % header->pages.count;
        nodes[i].total = pages * HF_INSPECT_PAGE_BYTES;
        nodes[i].first_page %= header->pages.count - pages + 1;
    }
    for (uint32_t i = 0; i < header->classes.count; i++) {
        classes[i].run_pages = classes[i].run_pages % 16 + 1;
        classes[i].block_bytes = classes[i].block_bytes % 65536 + 1;
        classes[i].run_blocks = classes[i].run_pages * 65536 / classes[i].block_bytes;
    }
}

static void show(const struct snapshot *snapshot)
{
    static const struct stat_lengths lengths = { 10, 10, 10 };
    static FILE *nowhere;
    if (nowhere == NULL)
        nowhere = fopen("/dev/null", "w");
    stat_text(snapshot, &lengths);
    stat_openmetrics(snapshot);
    stat_watch_line(snapshot, snapshot, false);
    json_decref(stat_json(snapshot));
    for (unsigned i = 0; i < snapshot->node_count; i++)
        map_svg(nowhere, snapshot, i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct snapshot snapshot;
    static int fd = -1;
    const char *reason;
    if (size < sizeof(struct hf_inspect_segment))
        return 0;
    uint8_t *bytes = aligned_alloc(16, (size + 15) / 16 * 16);
    memcpy(bytes, data, size);
    if ((data[0] & 1) == 0) {
        put_right((struct hf_inspect_segment *)bytes, size);
        if ((data[0] & 2) == 0)
            put_tables_right(bytes);
    }
    if (fd < 0)
        fd = memfd_create("segment", 0);
    if (ftruncate(fd, 0) != 0 || pwrite(fd, bytes, size, 0) != (ssize_t)size)
        abort();
    free(bytes);
    for (int with_pages = 0; with_pages < 2; with_pages++)
        if (snapshot_read(&snapshot, fd, getpid(), START, with_pages, &reason) == SEGMENT_OK)
            show(&snapshot);
    return 0;
}
