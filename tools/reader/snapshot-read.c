/*
 * snapshot-read: see snapshot.h; copying a segment, and checking the copy.
 *
 * SN1: nothing in the file is trusted.  Sizes and offsets are held against the file's size, counts
 *      against the arrays.  What a figure leads to (a node's pages, a page's class) is looked at
 *      before it is followed.
 * SN2: it is copied with pread, not mapped.  A file that is cut short meanwhile makes a short read,
 *      where a mapping would make a SIGBUS.
 * SN3: a segment of an older library has shorter structs, of a newer one longer ones: fields are
 *      added at the end alone.  What is not there is zero.
 *
 * Words may change while they are copied; each is true of some moment.
 *
 * Tests: tests/tool-segment.sh, tests/tool-stat.sh, tests/fuzz/segment.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"
#include "kernel/cpu.h"
#include "reader/live.h"

#define PAGES_MAX ((size_t)1 << 26) /* 4 TiB of arena */
#define GROWN_MOST 4096u            /* bytes of a struct of a later library (SN3) */
#define SLOW_MOST 4096u             /* entries of its table of causes */

static const char *read_at(int fd, void *memory, size_t bytes, uint64_t offset)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t got = pread(fd, (char *)memory + done, bytes - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? strerror(errno) : "it is too short";
        done += (size_t)got;
    }
    return NULL;
}

static bool size_is_ours(size_t bytes, size_t least)
{
    return bytes >= least && bytes <= GROWN_MOST && bytes % sizeof(uint64_t) == 0;
}

static bool table_fits(const struct hf_inspect_table *table, size_t count_max, size_t least_bytes,
                       uint64_t segment_bytes)
{
    return size_is_ours(table->entry_bytes, least_bytes) && table->count <= count_max &&
           table->offset <= segment_bytes &&
           (uint64_t)table->count * table->entry_bytes <= segment_bytes - table->offset;
}

/* SN3 */
static const char *read_table(int fd, const struct hf_inspect_table *table, size_t count, void *entries,
                              size_t entry_bytes)
{
    size_t their_bytes = table->entry_bytes, both_have = hfi_min(entry_bytes, their_bytes);
    if (their_bytes == entry_bytes)
        return read_at(fd, entries, count * entry_bytes, table->offset);
    uint8_t *theirs = malloc(count * their_bytes + 1);
    if (theirs == NULL)
        return "there is no memory for a copy of it";
    const char *fault = read_at(fd, theirs, count * their_bytes, table->offset);
    memset(entries, 0, count * entry_bytes);
    for (size_t i = 0; i < count && fault == NULL; i++)
        memcpy((uint8_t *)entries + i * entry_bytes, theirs + i * their_bytes, both_have);
    free(theirs);
    return fault;
}

/* An older library has none of it. */
static bool slow_fits(const struct hf_inspect_segment *header)
{
    if (header->slow.count == 0)
        return true;
    return table_fits(&header->slow, SLOW_MOST, SNAPSHOT_LEAST_SLOW, header->segment_bytes) &&
           header->causes != 0 && header->slow.count % header->causes == 0;
}

/* Likewise. */
static bool heaps_fit(const struct hf_inspect_segment *header)
{
    return header->heaps.count == 0 ||
           table_fits(&header->heaps, HF_INSPECT_MAX_HEAPS, SNAPSHOT_LEAST_HEAP, header->segment_bytes);
}

static bool is_of_another_version(const struct hf_inspect_segment *header)
{
    return header->magic == HF_INSPECT_MAGIC && header->version != HF_INSPECT_VERSION;
}

static const char *header_fault(const struct hf_inspect_segment *header, pid_t pid, uint64_t start_ticks,
                                uint64_t file_bytes)
{
    uint64_t bytes = header->segment_bytes;
    if (header->magic != HF_INSPECT_MAGIC)
        return "it does not begin as one";
    if (is_of_another_version(header))
        return "it is of another version";
    if (!size_is_ours(header->header_bytes, SNAPSHOT_LEAST_HEADER) || bytes > file_bytes ||
        bytes < header->header_bytes)
        return "its header and its length do not agree";
    if (!table_fits(&header->nodes, HF_INSPECT_MAX_NODES, SNAPSHOT_LEAST_NODE, bytes) ||
        !table_fits(&header->classes, HF_INSPECT_MAX_CLASSES, SNAPSHOT_LEAST_CLASS, bytes) ||
        !table_fits(&header->theaps, HF_INSPECT_MAX_THEAPS, SNAPSHOT_LEAST_THEAP, bytes) ||
        !table_fits(&header->others, HF_INSPECT_MAX_NODES, SNAPSHOT_LEAST_THEAP, bytes) ||
        !table_fits(&header->events, HF_INSPECT_EVENTS, SNAPSHOT_LEAST_EVENT, bytes) ||
        !table_fits(&header->pages, PAGES_MAX, sizeof(uint64_t), bytes) || !slow_fits(header) ||
        header->pages.entry_bytes != sizeof(uint64_t))
        return "its tables do not fit into it, or have entries of other sizes than this tool's";
    if (!heaps_fit(header))
        return "its table of heaps does not fit into it";
    if (header->pid != (uint64_t)pid || header->start_ticks != start_ticks)
        return "it names another process";
    if (header->nodes.count == 0)
        return "it has no node";
    return NULL;
}

/* A writer stores 0, the fields, and the sequence last: an entry whose sequence is its number's is
 * whole. */
static void keep_events(struct snapshot *snapshot, const struct hf_inspect_event *ring)
{
    uint64_t count = snapshot->header.events.count, end = snapshot->header.event_count;
    snapshot->event_count = 0;
    for (uint64_t number = end > count ? end - count : 0; number < end && count != 0; number++)
        if (ring[number % count].sequence == number + 1)
            snapshot->events[snapshot->event_count++] = ring[number % count];
}

/* The rate of the process's counter, which is this machine's. */
static void set_clock(struct snapshot *snapshot)
{
    snapshot->taken_ns = hfi_os_now_ns();
    snapshot->taken_ticks = hfi_os_ticks();
    double ns = (double)(snapshot->taken_ns - snapshot->header.clock_ns);
    double ticks = (double)(snapshot->taken_ticks - snapshot->header.clock_ticks);
    bool sensible = snapshot->taken_ns > snapshot->header.clock_ns &&
                    snapshot->taken_ticks > snapshot->header.clock_ticks;
    snapshot->ticks_per_ns = sensible ? ticks / ns : 1;
}

static const char *make_room(struct snapshot *snapshot, bool with_pages)
{
    const struct hf_inspect_segment *header = &snapshot->header;
    size_t page_count = with_pages ? header->pages.count : 0;
    if (snapshot->theaps == NULL)
        snapshot->theaps = calloc(HF_INSPECT_MAX_THEAPS, sizeof *snapshot->theaps);
    if (snapshot->theap_pages == NULL)
        snapshot->theap_pages = calloc(HF_INSPECT_MAX_THEAPS, sizeof *snapshot->theap_pages);
    if (snapshot->heaps == NULL)
        snapshot->heaps = calloc(HF_INSPECT_MAX_HEAPS, sizeof *snapshot->heaps);
    if (page_count != snapshot->page_count || page_count == 0) {
        free(snapshot->pages);
        snapshot->pages = page_count == 0 ? NULL : malloc(page_count * sizeof *snapshot->pages);
        snapshot->page_count = page_count;
    }
    bool there = snapshot->theaps != NULL && snapshot->theap_pages != NULL && snapshot->heaps != NULL &&
                 (page_count == 0 || snapshot->pages != NULL);
    return there ? NULL : "there is no memory for a copy of it";
}

static void add_slow(struct hf_inspect_slow *sum, const struct hf_inspect_slow *slow)
{
    sum->ticks += slow->ticks;
    sum->late += slow->late;
    sum->longest = hfi_max(sum->longest, slow->longest);
    for (unsigned i = 0; i < HF_INSPECT_BUCKETS; i++)
        sum->calls[i] += slow->calls[i];
}

/* Causes that a later library tells apart besides are nowhere in the sums. */
static const char *read_slow(struct snapshot *snapshot, int fd)
{
    const struct hf_inspect_segment *header = &snapshot->header;
    memset(snapshot->causes, 0, sizeof snapshot->causes);
    snapshot->cause_count = header->slow.count == 0 ? 0 : HF_INSPECT_CAUSES;
    struct hf_inspect_slow *slow = calloc(header->slow.count + 1u, sizeof *slow);
    if (slow == NULL)
        return "there is no memory for a copy of it";
    const char *fault = read_table(fd, &header->slow, header->slow.count, slow, sizeof *slow);
    for (uint32_t i = 0; i < header->slow.count && fault == NULL; i++)
        if (i % header->causes < HF_INSPECT_CAUSES)
            add_slow(&snapshot->causes[i % header->causes], &slow[i]);
    free(slow);
    return fault;
}

static const char *read_tables(struct snapshot *snapshot, int fd)
{
    const struct hf_inspect_segment *header = &snapshot->header;
    struct hf_inspect_event ring[HF_INSPECT_EVENTS];
    snapshot->node_count = header->nodes.count;
    snapshot->class_count = header->classes.count;
    snapshot->theap_count = header->theaps.count;
    snapshot->heap_count = header->heaps.count;
    if (header->theap_count < snapshot->theap_count)
        snapshot->theap_count = (unsigned)header->theap_count;
    unsigned others = hfi_min(header->others.count, header->nodes.count);
    memset(snapshot->others + others, 0, sizeof snapshot->others - others * sizeof snapshot->others[0]);
#define READ_TABLE(table, count, entries) read_table(fd, &header->table, count, entries, sizeof *(entries))
    const char *fault = READ_TABLE(nodes, snapshot->node_count, snapshot->nodes);
    if (fault == NULL)
        fault = READ_TABLE(classes, snapshot->class_count, snapshot->classes);
    if (fault == NULL)
        fault = READ_TABLE(theaps, snapshot->theap_count, snapshot->theaps);
    if (fault == NULL)
        fault = READ_TABLE(others, others, snapshot->others);
    if (fault == NULL)
        fault = READ_TABLE(events, header->events.count, ring);
    if (fault == NULL && snapshot->heap_count != 0)
        fault = READ_TABLE(heaps, snapshot->heap_count, snapshot->heaps);
#undef READ_TABLE
    if (fault == NULL)
        fault = read_slow(snapshot, fd);
    if (fault == NULL && snapshot->pages != NULL)
        fault = read_at(fd, snapshot->pages, snapshot->page_count * sizeof snapshot->pages[0],
                        header->pages.offset);
    if (fault == NULL)
        keep_events(snapshot, ring);
    return fault;
}

/* What did not fit last; where that is forgotten, what counts as room. */
static uint64_t wanted_last(const struct snapshot *snapshot, unsigned node)
{
    for (unsigned i = snapshot->event_count; i-- > 0;)
        if (snapshot->events[i].kind == HF_EVENT_NODE_FULL && snapshot->events[i].node == node)
            return snapshot->events[i].a;
    return snapshot->nodes[node].total / HF_INSPECT_ROOM_SHARE;
}

/* A node counts as full until there is room: what frees memory does not look, who asks next
 * does. */
static void settle_full(struct snapshot *snapshot)
{
    for (unsigned i = 0; i < snapshot->node_count; i++) {
        uint64_t room = snapshot->pages == NULL
                          ? snapshot->nodes[i].free
                          : snapshot->node_pages[i].longest_free * HF_INSPECT_PAGE_BYTES;
        if (room >= HF_INSPECT_PAGE_BYTES && room >= wanted_last(snapshot, i))
            snapshot->nodes[i].flags &= ~HF_INSPECT_NODE_FULL;
    }
}

/* SN3 */
static const char *read_header(int fd, struct hf_inspect_segment *header, uint64_t file_bytes)
{
    size_t bytes = hfi_min(file_bytes, sizeof *header);
    const char *fault = bytes < SNAPSHOT_LEAST_HEADER ? "it is too short" : read_at(fd, header, bytes, 0);
    if (fault != NULL)
        return fault;
    bytes = hfi_min(bytes, hfi_max(header->header_bytes, SNAPSHOT_LEAST_HEADER));
    memset((uint8_t *)header + bytes, 0, sizeof *header - bytes);
    return NULL;
}

/* What is known of the last look at the same process.  The page map with its counts: one that has
 * ended is still read, and its memory is gone.  And whether its memory was refused, which the
 * kernel may log each time. */
struct earlier {
    bool refused;
    uint64_t *pages;
    size_t count;
    uint32_t magazine_blocks[HF_INSPECT_MAX_NODES][HF_INSPECT_MAX_CLASSES];
};

static void look_back(struct earlier *earlier, const struct snapshot *snapshot, pid_t pid,
                      uint64_t start_ticks)
{
    bool same = snapshot->header.pid == (uint64_t)pid && snapshot->header.start_ticks == start_ticks;
    bool denied = snapshot->live_error == EACCES || snapshot->live_error == EPERM;
    bool small = snapshot->pages != NULL && snapshot->page_count <= SNAPSHOT_MAP_OFTEN;
    bool counted = same && small && snapshot_live_is_known(snapshot);
    earlier->refused = same && denied && snapshot->live_known == LIVE_SHOWN;
    earlier->pages = counted ? malloc(snapshot->page_count * sizeof *earlier->pages) : NULL;
    if (earlier->pages == NULL)
        return;
    earlier->count = snapshot->page_count;
    memcpy(earlier->pages, snapshot->pages, earlier->count * sizeof *earlier->pages);
    memcpy(earlier->magazine_blocks, snapshot->magazine_blocks, sizeof earlier->magazine_blocks);
}

static bool is_of_blocks(uint64_t entry)
{
    uint32_t state = HF_PAGE_STATE(entry);
    return state == HF_PAGE_OWNED || state == HF_PAGE_IDLE || state == HF_PAGE_LOOSE;
}

/* False: there are none.  A run that is another since keeps what the map says. */
static bool take_counts(struct snapshot *snapshot, const struct earlier *earlier)
{
    if (earlier->pages == NULL || earlier->count != snapshot->page_count)
        return false;
    for (size_t i = 0; i < earlier->count; i++) {
        uint64_t entry = earlier->pages[i], but_its_count = ~HF_PAGE_ENTRY(0, 0, 0, 0xffffff);
        if (is_of_blocks(entry) && ((snapshot->pages[i] ^ entry) & but_its_count) == 0)
            snapshot->pages[i] = entry;
    }
    memcpy(snapshot->magazine_blocks, earlier->magazine_blocks, sizeof earlier->magazine_blocks);
    return true;
}

static void count_live(struct snapshot *snapshot, const struct earlier *earlier, pid_t pid,
                       uint64_t start_ticks)
{
    int error = snapshot->pages == NULL ? 0
              : earlier->refused        ? -EACCES
                                        : live_read(snapshot, pid, start_ticks);
    bool ended = error == -ESRCH || error == -ENOENT;
    bool counted = error == 0 || (ended && take_counts(snapshot, earlier));
    snapshot->live_known = snapshot->pages == NULL ? LIVE_UNKNOWN : counted ? LIVE_COUNTED : LIVE_SHOWN;
    snapshot->live_error = (uint64_t)-error;
}

/* NULL, or why it is of no use. */
static const char *read_file(struct snapshot *snapshot, int fd, pid_t pid, uint64_t start_ticks,
                             bool with_pages)
{
    struct stat file;
    snapshot->header.magic = 0; /* of what was read before */
    if (fstat(fd, &file) != 0)
        return strerror(errno);
    const char *fault = read_header(fd, &snapshot->header, (uint64_t)file.st_size);
    if (fault == NULL)
        fault = header_fault(&snapshot->header, pid, start_ticks, (uint64_t)file.st_size);
    if (fault == NULL)
        fault = make_room(snapshot, with_pages);
    if (fault == NULL)
        fault = read_tables(snapshot, fd);
    return fault != NULL ? fault : snapshot_fault(snapshot);
}

enum segment_verdict snapshot_read(struct snapshot *snapshot, int fd, pid_t pid, uint64_t start_ticks,
                                   bool with_pages, const char **reason)
{
    struct earlier earlier;
    look_back(&earlier, snapshot, pid, start_ticks);
    *reason = read_file(snapshot, fd, pid, start_ticks, with_pages);
    if (*reason == NULL) {
        snapshot->header.library[sizeof snapshot->header.library - 1] = 0;
        set_clock(snapshot);
        count_live(snapshot, &earlier, pid, start_ticks);
        snapshot_settle_heaps(snapshot);
        snapshot_derive(snapshot);
        settle_full(snapshot);
    }
    free(earlier.pages);
    return *reason == NULL                          ? SEGMENT_OK
         : is_of_another_version(&snapshot->header) ? SEGMENT_ANOTHER
                                                    : SEGMENT_MALFORMED;
}

void snapshot_follow(struct snapshot *snapshot, const struct snapshot *last)
{
    uint64_t *pages = NULL;
    if (snapshot_live_is_known(last))
        pages = realloc(snapshot->pages, last->page_count * sizeof *pages);
    if (pages == NULL)
        return;
    snapshot->header = last->header;
    snapshot->pages = pages;
    snapshot->page_count = last->page_count;
    memcpy(snapshot->pages, last->pages, last->page_count * sizeof *last->pages);
    memcpy(snapshot->magazine_blocks, last->magazine_blocks, sizeof last->magazine_blocks);
    snapshot->live_known = LIVE_COUNTED;
}
