/*
 * segment: libFuzzer over what `holdfast stat`, `list` and `map` read of another process.
 *
 * Input is a segment.  Its head is put right first, unless its last byte is odd: magic, version,
 * process, and sizes that the input has room for, so that what is behind them is met.  Then it is
 * read, derived and printed in every way.  What is required: sums that hold whatever the segment
 * says, JSON without a hole, and no byte on a terminal that it might obey.
 *
 *   make fuzz-segment FUZZ_SECONDS=600
 */
#include <ctype.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "map/map.h"
#include "stat/stat.h"

static uint64_t start_ticks; /* of this process */

static int file;

static void require(bool condition)
{
    if (!condition)
        abort();
}

/* --- the input --- */

static void fit(struct hf_inspect_table *table, size_t entry_bytes, uint32_t count_max, size_t segment_bytes)
{
    table->entry_bytes = (uint32_t)entry_bytes;
    table->offset %= segment_bytes;
    size_t room = (segment_bytes - table->offset) / entry_bytes;
    table->count %= (room < count_max ? (uint32_t)room : count_max) + 1;
}

static void put_right(struct hf_inspect_segment *header, size_t bytes)
{
    header->magic = HF_INSPECT_MAGIC;
    header->version = HF_INSPECT_VERSION;
    header->header_bytes = sizeof *header;
    header->segment_bytes = bytes;
    header->pid = (uint64_t)getpid();
    header->start_ticks = start_ticks;
    fit(&header->nodes, sizeof(struct hf_inspect_node), HF_INSPECT_MAX_NODES, bytes);
    fit(&header->classes, sizeof(struct hf_inspect_class), HF_INSPECT_MAX_CLASSES, bytes);
    fit(&header->theaps, sizeof(struct hf_inspect_theap), HF_INSPECT_MAX_THEAPS, bytes);
    fit(&header->others, sizeof(struct hf_inspect_theap), HF_INSPECT_MAX_NODES, bytes);
    fit(&header->events, sizeof(struct hf_inspect_event), HF_INSPECT_EVENTS, bytes);
    fit(&header->heaps, sizeof(struct hf_inspect_heap), HF_INSPECT_MAX_HEAPS, bytes);
    fit(&header->pages, sizeof(uint64_t), UINT32_MAX - 1, bytes);
    header->program = 0;
}

/* A page table and theaps in this process's own memory: the input. */
static void put_right_live(struct hf_inspect_live *live, const uint8_t *data)
{
    live->page_table = (uintptr_t)data;
    live->theaps = (uintptr_t)data;
    live->entry_bytes = live->entry_bytes % 249 + 8;
    live->magazine_bytes = live->magazine_bytes % 249 + 8;
    live->magazine_count %= 64;
    live->xfree_shift %= 64;
    uint16_t *in_entry[] = { &live->used,       &live->capacity, &live->list,      &live->kept,
                             &live->local_free, &live->xfree,    &live->run_pages, &live->size_class };
    uint16_t *in_magazine[] = { &live->loaded_used,   &live->loaded_capacity, &live->incoming_limit,
                                &live->incoming_room, &live->previous_blocks, &live->lists[0],
                                &live->lists[1],      &live->lists[2] };
    for (size_t i = 0; i < 8; i++) {
        *in_entry[i] = (uint16_t)(*in_entry[i] % (live->entry_bytes - 7));
        *in_magazine[i] = (uint16_t)(*in_magazine[i] % (live->magazine_bytes - 7));
    }
    live->next %= 64;
    live->state %= 64;
}

/* Classes and nodes that snapshot_fault lets pass, so that the page map is walked. */
static void put_right_tables(uint8_t *bytes, const struct hf_inspect_segment *header)
{
    struct hf_inspect_class *class;
    struct hf_inspect_node *node;
    for (uint32_t i = 0; i < header->classes.count; i++) {
        class = (void *)(bytes + header->classes.offset + i * sizeof *class);
        class->run_pages += class->run_pages == 0;
        if ((uint64_t) class->run_blocks * class->block_bytes >
            (uint64_t) class->run_pages * HF_INSPECT_PAGE_BYTES)
            class->run_blocks =
                (uint32_t)((uint64_t) class->run_pages * HF_INSPECT_PAGE_BYTES / class->block_bytes);
    }
    for (uint32_t i = 0; i < header->nodes.count; i++) {
        node = (void *)(bytes + header->nodes.offset + i * sizeof *node);
        node->first_page %= (uint64_t)header->pages.count + 1;
        uint64_t room = (header->pages.count - node->first_page) * HF_INSPECT_PAGE_BYTES;
        if (node->total > room)
            node->total %= room + 1;
    }
}

static void write_file(const uint8_t *data, size_t size)
{
    uint64_t *copy = malloc(size + sizeof *copy); /* aligned */
    memcpy(copy, data, size);
    if (size >= sizeof(struct hf_inspect_segment) && data[size - 1] % 2 == 0) {
        struct hf_inspect_segment *header = (void *)copy;
        put_right(header, size);
        if (data[size - 1] % 4 == 0)
            put_right_live(&header->live, data);
        header->nodes.offset &= ~(uint64_t)7;
        header->classes.offset &= ~(uint64_t)7;
        const struct hf_inspect_segment kept = *header; /* tables may lie over it */
        put_right_tables((uint8_t *)copy, &kept);
    }
    require(ftruncate(file, 0) == 0 && pwrite(file, copy, size, 0) == (ssize_t)size);
    free(copy);
}

/* --- what must hold --- */

static void require_sums(const struct snapshot *snapshot)
{
    for (unsigned i = 0; i < snapshot->node_count && snapshot->pages != NULL; i++) {
        const struct node_pages *pages = &snapshot->node_pages[i];
        uint64_t sum = 0;
        for (unsigned state = 0; state < SNAPSHOT_STATES; state++)
            sum += pages->state[state];
        require(sum == snapshot->nodes[i].total / HF_INSPECT_PAGE_BYTES);
        require(pages->owned_empty + pages->owned_partly <= pages->state[HF_PAGE_OWNED]);
        require(pages->longest_free <= pages->state[HF_PAGE_FREE]);
        require(pages->live_bytes + pages->magazine_bytes <= pages->held_bytes);
        require(pages->held_bytes <= sum * HF_INSPECT_PAGE_BYTES);
        require(pages->idle_live_bytes <= pages->state[HF_PAGE_IDLE] * HF_INSPECT_PAGE_BYTES);
    }
    for (unsigned i = 0; i < snapshot->class_count; i++) {
        const struct class_pages *pages = &snapshot->class_pages[i];
        require(pages->used_blocks <= pages->room_blocks);
        require(pages->waste_bytes + pages->live_bytes == pages->pages * HF_INSPECT_PAGE_BYTES);
    }
}

/* Nothing is lost, and names end. */
static void require_heaps(const struct snapshot *snapshot)
{
    const struct snapshot_heaps *sum = &snapshot->heap_sum;
    static unsigned order[HF_INSPECT_MAX_HEAPS];
    unsigned count = snapshot_heap_order(snapshot, order);
    uint64_t held = sum->others_held;
    for (unsigned i = 0; i < count; i++) {
        const struct hf_inspect_heap *heap = &snapshot->heaps[order[i]];
        held = held + heap->held < held ? UINT64_MAX : held + heap->held;
        require(i == 0 || heap->held <= snapshot->heaps[order[i - 1]].held);
        require(heap->most >= heap->held && memchr(heap->name, 0, sizeof heap->name) != NULL);
        require(snapshot_heap_of_id(snapshot, heap->id) != NULL);
    }
    require(sum->held == held && (sum->live >= count || sum->told == 0));
}

/* Names in UTF-8 are themselves in metrics. */
static void require_printable(const char *text, size_t bytes, bool utf8)
{
    for (size_t i = 0; i < bytes; i++)
        require(isprint((unsigned char)text[i]) || text[i] == '\n' || (utf8 && (unsigned char)text[i] > 127));
}

static size_t lines_of(const char *text, size_t bytes)
{
    size_t lines = 0;
    for (size_t i = 0; i < bytes; i++)
        lines += text[i] == '\n';
    return lines;
}

/* Every line is a comment, or a sample that ends in a number; the last says that it is. */
static void require_metrics(const char *text, size_t bytes)
{
    require(bytes >= 6 && strcmp(text + bytes - 6, "# EOF\n") == 0);
    for (const char *line = text; *line != 0; line = strchr(line, '\n') + 1) {
        const char *end = strchr(line, '\n'), *value = memrchr(line, ' ', (size_t)(end - line));
        char *stopped;
        require(strncmp(line, "# ", 2) == 0 || strncmp(line, "holdfast_", 9) == 0);
        if (*line == '#')
            continue;
        require(value != NULL && value[-1] == '}');
        strtod(value + 1, &stopped);
        require(stopped == end);
    }
}

/* --- every way to print it --- */

static struct {
    FILE *terminal;
    char *text;
    size_t bytes;
} shown;

/* Standard output, from here to shown_end, into memory. */
static void shown_begin(void)
{
    shown.terminal = stdout;
    stdout = open_memstream(&shown.text, &shown.bytes);
}

static void shown_end(bool utf8)
{
    fclose(stdout);
    stdout = shown.terminal;
    require_printable(shown.text, shown.bytes, utf8);
}

static void show_text(const struct snapshot *snapshot)
{
    const struct stat_lengths lengths = { 10, 10, 10, 10 }, all = { UINT_MAX, UINT_MAX, UINT_MAX, UINT_MAX };
    shown_begin();
    stat_text(snapshot, &lengths);
    shown_end(false);
    size_t lines = lines_of(shown.text, shown.bytes);
    require(lines >= snapshot->node_count);
    free(shown.text);
    shown_begin();
    stat_text(snapshot, &all);
    shown_end(false);
    require(lines_of(shown.text, shown.bytes) + 4 >= lines); /* those that say how many more there are */
    free(shown.text);
}

static void show_json(const struct snapshot *snapshot)
{
    json_t *object = stat_json(snapshot), *node, *theap;
    size_t index;
    require(json_array_size(json_object_get(object, "nodes")) == snapshot->node_count);
    require(json_array_size(json_object_get(object, "heaps")) <= snapshot->heap_count);
    require(json_array_size(json_object_get(object, "events")) == snapshot->event_count);
    json_array_foreach(json_object_get(object, "nodes"), index, node)
        require(json_object_size(node) == (snapshot->pages != NULL ? 32 : 25));
    json_array_foreach(json_object_get(object, "theaps"), index, theap)
        require(json_is_string(json_object_get(theap, "name")) &&
                json_is_real(json_object_get(theap, "age_seconds")));
    shown_begin();
    require(tool_json_print(object) == 0);
    shown_end(true);
    json_t *again = json_loadb(shown.text, shown.bytes, 0, NULL);
    require(again != NULL);
    json_decref(again);
    free(shown.text);
}

static void show_rest(const struct snapshot *snapshot, const struct snapshot *later)
{
    shown_begin();
    stat_metrics(snapshot, METRICS_PLAIN);
    stat_metrics(snapshot, METRICS_OPEN);
    stat_metrics_end(METRICS_OPEN);
    shown_end(true);
    require_metrics(shown.text, shown.bytes);
    free(shown.text);
    shown_begin();
    stat_watch_head(false);
    stat_watch_line(snapshot, later, false);
    stat_watch_line(later, snapshot, true);
    shown_end(false);
    require(lines_of(shown.text, shown.bytes) == 3);
    free(shown.text);
    json_t *span = stat_watch_json(snapshot, later, false);
    require(json_object_size(span) == 15);
    json_decref(span);
    shown_begin();
    map_svg_file(stdout, snapshot, NULL);
    shown_end(false);
    free(shown.text);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    file = memfd_create("segment", 0);
    require(file >= 0 && segment_start_ticks(getpid(), &start_ticks));
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct snapshot *snapshot = calloc(1, sizeof *snapshot), *later = calloc(1, sizeof *later);
    const char *reason = NULL;
    write_file(data, size);
    enum segment_verdict verdict = snapshot_read(snapshot, file, getpid(), start_ticks, true, &reason);
    require((verdict == SEGMENT_OK) == (reason == NULL));
    if (verdict == SEGMENT_OK) {
        require_sums(snapshot);
        require_heaps(snapshot);
        /* Without the map, into memory that held one, and with other figures of threads. */
        uint64_t theaps[16];
        memset(theaps, 0x5a, sizeof theaps);
        require(pwrite(file, theaps, snapshot->theap_count != 0 ? sizeof theaps : 0,
                       (off_t)snapshot->header.theaps.offset) >= 0);
        if (snapshot_read(later, file, getpid(), start_ticks, true, &reason) == SEGMENT_OK &&
            snapshot_read(later, file, getpid(), start_ticks, false, &reason) == SEGMENT_OK) {
            show_text(later);
            show_json(later);
            show_rest(snapshot, later);
        }
        show_text(snapshot);
        show_json(snapshot);
        show_rest(snapshot, snapshot);
    }
    snapshot_free(snapshot);
    snapshot_free(later);
    free(snapshot);
    free(later);
    return 0;
}
