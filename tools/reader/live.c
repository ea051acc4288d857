/*
 * live: see live.h.
 *
 * LV1: nothing is believed: neither where the segment says that something is, nor what is read
 *      there.  A read takes at most what a buffer holds.  The list of theaps is followed for as
 *      many as the segment has, and as take a moment to read.  Each count is cut to what there can
 *      be.
 * LV2: only entries of runs that the page map names are read, and what little lies between them.
 *      The table's memory of a page that was never used may not be there.
 * LV3: an entry that is of another class or length than the page map has it was cut anew meanwhile:
 *      the map's count stays.
 *
 * Threads go on while this reads: counts are of several moments, and exact for those that rest.
 *
 * Tests: tests/programs/live.c, tests/tool-live.sh, tests/fuzz/segment.c.
 */
#include "reader/live.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "reader/procfs.h"
#include "reader/segment.h"
#include "tool.h"

#define ENTRY_MAX 256u   /* bytes of an entry of the page table */
#define GROUP_PAGES 512u /* that one read covers at most */
#define GAP_PAGES 32u    /* read for nothing rather than by a second call */
#define PREFIX_MAX 512u  /* bytes of a theap that hold its link and state */
#define MAGAZINES_MAX ((size_t)64 << 10)
#define MAGAZINE_BLOCKS 4096u /* more are none */
#define THEAPS_MAX (1u << 20)
#define THEAPS_BYTES_MAX ((uint64_t)1 << 30) /* to be read of theaps: those of 200,000 threads */

struct work {
    struct snapshot *snapshot;
    const struct hf_inspect_live *live;
    int fd;
    int error;                 /* of the first read that failed */
    unsigned node;             /* in work */
    size_t heads[GROUP_PAGES]; /* of the group that is being gathered: numbers in the node */
    size_t head_count;
    uint8_t entries[GROUP_PAGES * ENTRY_MAX];
    uint8_t magazines[MAGAZINES_MAX];
};

static void read_memory(struct work *work, uint64_t address, void *memory, size_t bytes)
{
    if (work->error != 0)
        return;
    if (address > INT64_MAX - bytes) {
        work->error = -EFAULT;
        return;
    }
    ssize_t got;
    do
        got = pread(work->fd, memory, bytes, (off_t)address);
    while (got < 0 && errno == EINTR);
    if (got != (ssize_t)bytes)
        work->error = got < 0 ? -errno : got == 0 ? -ESRCH : -EFAULT; /* 0: it has ended */
}

static uint64_t word_at(const uint8_t *memory, size_t offset, size_t bytes)
{
    uint8_t word8;
    uint16_t word16;
    uint32_t word32;
    uint64_t word64;
    switch (bytes) {
    case 1: memcpy(&word8, memory + offset, 1); return word8;
    case 2: memcpy(&word16, memory + offset, 2); return word16;
    case 4: memcpy(&word32, memory + offset, 4); return word32;
    default: memcpy(&word64, memory + offset, 8); return word64;
    }
}

/* LV1 */
static bool layout_is_sane(const struct hf_inspect_live *live)
{
    const uint16_t entry[] = { live->used,       live->capacity, live->list,      live->kept,
                               live->local_free, live->xfree,    live->run_pages, live->size_class };
    const uint16_t magazine[] = { live->loaded_used,   live->loaded_capacity, live->incoming_limit,
                                  live->incoming_room, live->previous_blocks, live->lists[0],
                                  live->lists[1],      live->lists[2] };
    bool sane = live->page_table != 0 && live->entry_bytes >= 8 && live->entry_bytes <= ENTRY_MAX &&
                live->xfree_shift < 64 && live->next <= PREFIX_MAX - 8 && live->state <= PREFIX_MAX - 8;
    for (size_t i = 0; i < sizeof entry / sizeof entry[0]; i++)
        sane = sane && entry[i] <= live->entry_bytes - 8;
    if (live->magazine_count == 0)
        return sane;
    sane = sane && live->magazine_bytes >= 8 && live->magazine_count <= MAGAZINES_MAX &&
           live->magazine_bytes <= MAGAZINES_MAX / live->magazine_count;
    for (size_t i = 0; i < sizeof magazine / sizeof magazine[0]; i++)
        sane = sane && magazine[i] <= live->magazine_bytes - 8;
    return sane;
}

/* --- the page table --- */

/* Blocks of a run that are out. */
static uint64_t blocks_out(const struct hf_inspect_live *live, const uint8_t *entry)
{
    bool full = word_at(entry, live->list, 1) == live->list_full;
    bool sealed = full && word_at(entry, live->local_free, 8) == 0;
    uint64_t used = word_at(entry, live->used, 4), kept = word_at(entry, live->kept, 1) != 0;
    uint64_t out = sealed ? word_at(entry, live->capacity, 2) : used - hfi_min(used, kept);
    uint64_t returned = word_at(entry, live->xfree, 8) >> live->xfree_shift & live->xfree_mask;
    return hfi_min(out - hfi_min(out, returned), 0xffffff);
}

static void take_count(struct work *work, uint64_t *shown, const uint8_t *entry)
{
    const struct hf_inspect_live *live = work->live;
    unsigned class = HF_PAGE_CLASS(*shown);
    uint64_t run_pages = work->snapshot->classes[class].run_pages - HF_PAGE_SHORT(*shown);
    if (word_at(entry, live->size_class, 1) != class || word_at(entry, live->run_pages, 4) != run_pages)
        return; /* LV3 */
    *shown = (*shown & ~((uint64_t)0xffffff << 32)) | blocks_out(live, entry) << 32;
}

static void read_group(struct work *work)
{
    struct snapshot *snapshot = work->snapshot;
    const struct hf_inspect_node *node = &snapshot->nodes[work->node];
    if (work->head_count == 0)
        return;
    size_t first = work->heads[0], count = work->heads[work->head_count - 1] - first + 1;
    size_t entry_bytes = work->live->entry_bytes;
    uint64_t address;
    if (__builtin_add_overflow(node->first_index, first, &address) ||
        __builtin_mul_overflow(address, entry_bytes, &address) ||
        __builtin_add_overflow(address, work->live->page_table, &address))
        address = UINT64_MAX;
    read_memory(work, address, work->entries, count * entry_bytes);
    for (size_t i = 0; i < work->head_count && work->error == 0; i++) {
        const uint8_t *entry = work->entries + (work->heads[i] - first) * entry_bytes;
        take_count(work, &snapshot->pages[node->first_page + work->heads[i]], entry);
    }
    work->head_count = 0;
}

static void add_head(size_t first, size_t pages, uint64_t entry, void *argument)
{
    struct work *work = argument;
    unsigned state = HF_PAGE_STATE(entry), class = HF_PAGE_CLASS(entry);
    (void)pages;
    if ((state != HF_PAGE_OWNED && state != HF_PAGE_IDLE && state != HF_PAGE_LOOSE) ||
        class >= work->snapshot->class_count ||
        HF_PAGE_SHORT(entry) >= work->snapshot->classes[class].run_pages)
        return;
    if (work->head_count != 0 &&
        (first - work->heads[work->head_count - 1] > GAP_PAGES || first - work->heads[0] >= GROUP_PAGES))
        read_group(work);
    work->heads[work->head_count++] = first;
}

/* --- magazines --- */

static uint64_t blocks_between(uint64_t high, uint64_t low)
{
    uint64_t blocks = high - hfi_min(high, low);
    return blocks <= MAGAZINE_BLOCKS ? blocks : 0;
}

/* The node that an address is of; node_count where it is of none. */
static unsigned node_of(const struct snapshot *snapshot, uint64_t address)
{
    uint64_t index = (address - snapshot->header.arena_base) / HF_INSPECT_PAGE_BYTES;
    for (unsigned i = 0; i < snapshot->node_count; i++)
        if (index - snapshot->nodes[i].first_index < snapshot->nodes[i].total / HF_INSPECT_PAGE_BYTES)
            return i;
    return snapshot->node_count;
}

static void count_magazine(struct work *work, unsigned class, const uint8_t *magazine)
{
    const struct hf_inspect_live *live = work->live;
    struct snapshot *snapshot = work->snapshot;
    uint64_t loaded = word_at(magazine, live->loaded_capacity, 2);
    uint64_t limit = word_at(magazine, live->incoming_limit, 4);
    uint64_t blocks = blocks_between(loaded, word_at(magazine, live->loaded_used, 4)) +
                      blocks_between(limit, word_at(magazine, live->incoming_room, 4)) +
                      blocks_between(word_at(magazine, live->previous_blocks, 4), 0);
    unsigned node = snapshot->node_count;
    for (unsigned i = 0; i < 3 && blocks != 0 && node == snapshot->node_count; i++)
        node = node_of(snapshot, word_at(magazine, live->lists[i], 8));
    if (node < snapshot->node_count)
        snapshot->magazine_blocks[node][class] += (uint32_t)blocks;
}

static void read_theaps(struct work *work)
{
    const struct hf_inspect_live *live = work->live;
    uint8_t prefix[PREFIX_MAX];
    size_t prefix_bytes = hfi_max(live->next, live->state) + 8u;
    size_t magazines_bytes = (size_t)live->magazine_count * live->magazine_bytes;
    unsigned classes = hfi_min(live->magazine_count, work->snapshot->class_count);
    uint64_t most = hfi_min(work->snapshot->header.theap_count, THEAPS_MAX), theap = 0;
    uint64_t left = THEAPS_BYTES_MAX;
    if (live->magazine_count == 0)
        return;
    read_memory(work, live->theaps, &theap, sizeof theap);
    for (uint64_t i = 0; i < most && theap != 0 && work->error == 0; i++) {
        read_memory(work, theap, prefix, prefix_bytes);
        bool in_use = work->error == 0 && theap <= INT64_MAX && word_at(prefix, live->state, 4) != 0;
        if (in_use && left < magazines_bytes)
            work->error = -E2BIG;
        if (in_use)
            read_memory(work, theap + live->magazines, work->magazines, magazines_bytes);
        left -= in_use ? magazines_bytes : 0;
        for (unsigned class = 0; class < classes && in_use && work->error == 0; class ++)
            count_magazine(work, class, work->magazines + (size_t) class * live->magazine_bytes);
        theap = work->error == 0 ? word_at(prefix, live->next, 8) : 0;
    }
}

/* --- all of it --- */

static int open_memory(pid_t pid, uint64_t start_ticks, uint32_t program)
{
    int fd = open(PROCFS_PATH(pid, "mem"), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    /* What was opened stays that program's: its number may be another's by now. */
    uint64_t now_ticks;
    bool same = segment_start_ticks(pid, &now_ticks) && now_ticks == start_ticks;
    if (same && segment_program_runs(pid, program))
        return fd;
    close(fd);
    return -ESRCH;
}

static int read_all(struct snapshot *snapshot, int fd)
{
    struct work *work = malloc(sizeof *work);
    if (work == NULL)
        return -ENOMEM;
    work->snapshot = snapshot;
    work->live = &snapshot->header.live;
    work->fd = fd;
    work->error = 0;
    work->head_count = 0;
    for (work->node = 0; work->node < snapshot->node_count; work->node++) {
        snapshot_each_run(snapshot, work->node, add_head, work);
        read_group(work);
    }
    read_theaps(work);
    int error = work->error;
    free(work);
    return error;
}

int live_read(struct snapshot *snapshot, pid_t pid, uint64_t start_ticks)
{
    memset(snapshot->magazine_blocks, 0, sizeof snapshot->magazine_blocks);
    if (!layout_is_sane(&snapshot->header.live))
        return -EPROTO;
    int fd = open_memory(pid, start_ticks, snapshot->header.program);
    if (fd < 0)
        return fd;
    int error = read_all(snapshot, fd);
    close(fd);
    if (error != 0)
        memset(snapshot->magazine_blocks, 0, sizeof snapshot->magazine_blocks);
    return error;
}
