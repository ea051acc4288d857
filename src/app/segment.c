/*
 * segment: see segment.h and <holdfast/inspect.h>.
 *
 * N3: no descriptor is kept.
 * N4: a page's entry is stored by the thread that has the run, before it lets go (pagemap.h).  Only
 *     the walk that fills a new map, and remote.c where a page gets room, exchange what they expect
 *     to find.
 * N6: the file is removed at exit, and none is made after that: who makes it looks behind itself
 *     whether the process has ended meanwhile.  If exit_group(2) meets a thread between the two,
 *     the file is a leftover, as after a kill.
 *
 * Fails by making no file, with one warning.  Tests: tests/segment.sh, tests/programs/publish.c.
 */
#include "app/segment.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/options.h"
#include "kernel/os.h"
#include "kernel/machine.h"
#include "kernel/cpu.h"
#include "arena/pagemap.h"
#include "base/say.h"
#include "heap/theaps.h"
#include "heap/theap.h"
#include "kernel/shm.h"
#include "app/leftover.h"
#include "arena/xfree.h"
#include "arena/arena.h"
#include "numa/plan.h"
#include "heap/page.h"

#define BIG_BYTES ((size_t)1 << 20) /* a segment that may be too much for a small machine */

_Static_assert(sizeof(struct hf_inspect_segment) == 496, "public layout, version 3");
_Static_assert(offsetof(struct hf_inspect_segment, nodes) == 72, "public layout, version 3");
_Static_assert(offsetof(struct hf_inspect_segment, library) == 208, "public layout, version 3");
_Static_assert(offsetof(struct hf_inspect_segment, others) == 240, "public layout, version 3");
_Static_assert(offsetof(struct hf_inspect_segment, live) == 256, "public layout, version 3");
_Static_assert(offsetof(struct hf_inspect_segment, slow) == 336, "public layout, version 3");
_Static_assert(sizeof(struct hf_inspect_slow) == 280, "public layout, version 3");
_Static_assert(offsetof(struct hf_inspect_segment, name) == 368, "public layout, version 3");
_Static_assert(offsetof(struct hf_inspect_segment, heaps) == 448, "public layout, version 3");
_Static_assert(sizeof(struct hf_inspect_live) == 80, "public layout, version 3");
_Static_assert(sizeof(struct hf_inspect_node) == 192, "public layout, version 3");
_Static_assert(offsetof(struct hf_inspect_node, reserve) == 128, "public layout, version 3");
_Static_assert(sizeof(struct hf_inspect_class) == 16, "public layout, version 3");
_Static_assert(sizeof(struct hf_inspect_theap) == 384, "public layout, version 3");
_Static_assert(offsetof(struct hf_inspect_theap, unowned_frees) == 320, "public layout, version 3");
_Static_assert(sizeof(struct hf_inspect_event) == 48, "public layout, version 3");
#define COUNTER(name, ...)                                                                                   \
    _Static_assert(sizeof((struct hf_inspect_theap *)NULL)->name == sizeof((struct counters *)NULL)->name,   \
                   "the segment has each counter");
#include "heap/counter-list.h"
_Static_assert(HFI_CLASS_COUNT <= HF_INSPECT_MAX_CLASSES && HFI_MAX_NODES <= HF_INSPECT_MAX_NODES,
               "the tables hold them");
_Static_assert(HFI_DISTANCES == HF_INSPECT_DISTANCES && HFI_SLOW_BUCKETS == HF_INSPECT_BUCKETS,
               "copied one to one");

_Static_assert(HFI_MAX_NODES - 1 == HF_INSPECT_PLACE_NODE_ID(UINT32_MAX), "a node's number has its bits");
_Static_assert(!HFI_SECURE || HFI_GUARD_BYTES == HF_INSPECT_GUARD_BYTES, "as readers reckon");

/* The child of a fork begins anew, except for the last: no destructor would remove what it made. */
enum file_state {
    FILE_NONE,
    FILE_NAMED, /* there may be one of mapping.path */
    FILE_OVER,  /* the process ends: none is to be made any more */
};

struct segment_tables hfi_segment_tables;
static _Atomic(int) xfile;                                       /* atomic: enum file_state */
static struct {                                                  /* who publishes writes it */
    char path[sizeof HF_INSPECT_DIRECTORY + HFI_SHM_NAME_BYTES]; /* of the file */
    uint64_t namespace;                                          /* in which it has that number; 0: unknown */
    void *memory; /* where it is mapped, from before it is shown */
    size_t bytes;
} mapping;
static long process_number; /* const, except for handlers of fork: this process's, as the kernel says */

uint32_t hfi_segment_backing_code(enum option_backing backing)
{
    switch (backing) {
    case BACKING_1G: return HF_BACKING_1G;
    case BACKING_2M: return HF_BACKING_2M;
    case BACKING_THP: return HF_BACKING_THP;
    case BACKING_4K: return HF_BACKING_4K;
    case BACKING_AUTO: break;
    }
    return HF_BACKING_NONE;
}

static struct hf_inspect_table table_at(uint64_t *offset, size_t count, size_t entry_bytes)
{
    struct hf_inspect_table table = { *offset, (uint32_t)count, (uint32_t)entry_bytes };
    *offset += hfi_align_up(count * entry_bytes, HFI_CACHE_LINE);
    return table;
}

/* `arena_pages` of all nodes; their entries follow each other in the page map, which has
 * `map_pages`: all of them, or none. */
static void lay_out(struct hf_inspect_segment *header, unsigned nodes, size_t arena_pages, size_t map_pages)
{
    uint64_t offset = hfi_align_up(sizeof *header, HFI_CACHE_LINE);
    header->nodes = table_at(&offset, nodes, sizeof(struct hf_inspect_node));
    header->classes = table_at(&offset, HFI_CLASS_COUNT, sizeof(struct hf_inspect_class));
    size_t wanted = hfi_max(arena_pages / HFI_PAGES_PER_THEAP, HFI_THEAPS_SHOWN_MIN);
    size_t theaps = hfi_min(wanted, HF_INSPECT_MAX_THEAPS);
    header->theaps = table_at(&offset, theaps, sizeof(struct hf_inspect_theap));
    header->others = table_at(&offset, nodes, sizeof(struct hf_inspect_theap));
    header->events = table_at(&offset, HF_INSPECT_EVENTS, sizeof(struct hf_inspect_event));
    header->slow = table_at(&offset, HF_INSPECT_SHARDS * HF_INSPECT_CAUSES, sizeof(struct hf_inspect_slow));
    header->heaps = table_at(&offset, hfi_plan_heaps_shown(arena_pages), sizeof(struct hf_inspect_heap));
    header->pages = table_at(&offset, map_pages, sizeof(uint64_t));
    header->segment_bytes = hfi_align_up(offset, 4096);
}

size_t hfi_segment_bytes(unsigned nodes, size_t arena_pages)
{
    struct hf_inspect_segment header;
    lay_out(&header, nodes, arena_pages, arena_pages);
    return header.segment_bytes;
}

static uint32_t option_flags(bool took_over)
{
    const struct options *options = &hfi_options;
    return (options->remote_allow ? 0 : HF_INSPECT_REMOTE_DENY) |
           (options->on_full == ON_FULL_ABORT ? HF_INSPECT_FULL_ABORTS : 0) |
           (options->fork == FORK_DONTFORK ? HF_INSPECT_DONTFORK : 0) |
           (options->strict ? HF_INSPECT_STRICT : 0) | (options->lock == LOCK_NO ? HF_INSPECT_LOCK_NO : 0) |
           (options->place == PLACE_INTERLEAVE ? HF_INSPECT_PLACE_INTERLEAVE : 0) |
           (options->place == PLACE_NODE ? HF_INSPECT_PLACE_NODE | options->place_node << 24 : 0) |
           (HFI_SECURE ? HF_INSPECT_SECURE : 0) | HF_INSPECT_OPTIONS_TOLD |
           (options->prefault == PREFAULT_BACKGROUND ? HF_INSPECT_PREFAULT_BACKGROUND : 0) |
           (options->prefault == PREFAULT_NONE ? HF_INSPECT_PREFAULT_NONE : 0) |
           (options->nodes != UINT64_MAX ? HF_INSPECT_NODES_NAMED : 0) |
           (options->lock == LOCK_YES ? HF_INSPECT_LOCK_YES : 0) | (took_over ? HF_INSPECT_TOOK_OVER : 0) |
           (hfi_os_cpu_told() >= 0 ? HF_INSPECT_INTERRUPTED_TOLD : 0);
}

#define SAME_WIDTH(type, member, bytes)                                                                      \
    _Static_assert(sizeof((type *)NULL)->member == (bytes), "as struct hf_inspect_live has it")
SAME_WIDTH(struct page, front.used, 4);
SAME_WIDTH(struct page, front.capacity, 2);
SAME_WIDTH(struct page, list, 1);
SAME_WIDTH(struct page, mode, 1);
SAME_WIDTH(struct page, run_pages, 4);
SAME_WIDTH(struct page, size_class, 1);
SAME_WIDTH(struct theap, xstate, 4);
SAME_WIDTH(struct magazine, incoming_limit, 4);
SAME_WIDTH(struct magazine, incoming_room, 4);
SAME_WIDTH(struct magazine, previous_blocks, 4);
_Static_assert(PAGE_IN_USE == 0 && PAGE_KEPT == 1 && THEAP_GONE == 0 && sizeof(struct block *) == 8,
               "as struct hf_inspect_live has it");

static void fill_live(struct hf_inspect_live *live)
{
    *live = (struct hf_inspect_live){
        .page_table = (uintptr_t)hfi_page_at(0),
        .theaps = (uintptr_t)hfi_theap_list(),
        .entry_bytes = sizeof(struct page),
        .magazines = offsetof(struct theap, magazines),
        .magazine_bytes = sizeof(struct magazine),
        .magazine_count = HFI_SECURE ? 0 : HFI_DIRECT_CLASSES,
        .xfree_mask = (uint32_t)XFREE_COUNT_MASK,
        .xfree_shift = XFREE_COUNT_SHIFT,
        .list_full = LIST_FULL,
        .used = offsetof(struct page, front.used),
        .capacity = offsetof(struct page, front.capacity),
        .list = offsetof(struct page, list),
        .kept = offsetof(struct page, mode),
        .local_free = offsetof(struct page, front.local_free),
        .xfree = offsetof(struct page, xfree),
        .run_pages = offsetof(struct page, run_pages),
        .size_class = offsetof(struct page, size_class),
        .next = offsetof(struct theap, next_all),
        .state = offsetof(struct theap, xstate),
        .loaded_used = offsetof(struct magazine, loaded.used),
        .loaded_capacity = offsetof(struct magazine, loaded.capacity),
        .incoming_limit = offsetof(struct magazine, incoming_limit),
        .incoming_room = offsetof(struct magazine, incoming_room),
        .previous_blocks = offsetof(struct magazine, previous_blocks),
        .lists = { offsetof(struct magazine, loaded.free), offsetof(struct magazine, incoming),
                   offsetof(struct magazine, previous) },
    };
}

static void fill_header(struct hf_inspect_segment *header, const struct shm_process *process, bool took_over)
{
    static const uint32_t arena_codes[] = {
        [ARENA_AUTO] = HF_ARENA_AUTO,
        [ARENA_BYTES] = HF_ARENA_BYTES,
        [ARENA_PERCENT] = HF_ARENA_PERCENT,
        [ARENA_PER_NODE] = HF_ARENA_PER_NODE,
    };
    header->version = HF_INSPECT_VERSION;
    header->header_bytes = sizeof *header;
    header->pid = (uint64_t)process_number;
    header->start_ticks = process->start_ticks;
    header->program = process->program;
    header->arena_base = (uintptr_t)hfi_base;
    header->arena_span = hfi_span;
    header->clock_ticks = hfi_os_ticks();
    header->clock_ns = hfi_os_now_ns();
    header->asked_arena = arena_codes[hfi_options.arena];
    header->asked_backing = hfi_segment_backing_code(hfi_options.backing);
    header->options = option_flags(took_over);
    header->slo_ns = hfi_options.slo_ns;
    header->causes = HF_INSPECT_CAUSES;
    snprintf(header->library, sizeof header->library, "%s", HFI_VERSION);
    fill_live(&header->live);
    hfi_leftover_sign(header);
}

static void fill_classes(struct hf_inspect_class *classes)
{
    for (unsigned i = 0; i < HFI_CLASS_COUNT; i++)
        classes[i] = (struct hf_inspect_class){
            .block_bytes = hfi_sizeclasses[i].block_bytes,
            .run_pages = hfi_sizeclasses[i].run_pages,
            .run_blocks = hfi_sizeclasses[i].blocks,
        };
}

/* What a head's entry in the page table says it is; 0 for no head. */
static uint64_t page_entry(size_t index)
{
    const struct page *page = hfi_page_at(index);
    uintptr_t owner = hfi_load_relaxed(hfi_owner_at(index));
    switch (owner) {
    case HFI_OWNER_NONE:
    case HFI_OWNER_INTERIOR: return 0;
    case HFI_OWNER_META: return HF_PAGE_ENTRY(HF_PAGE_META, 0, 0, 1);
    case HFI_OWNER_HEAP: return HF_PAGE_ENTRY(HF_PAGE_LARGE, HF_PAGE_OF_HEAPS, 0, page->run_pages);
    case HFI_OWNER_LARGE: return HF_PAGE_ENTRY(HF_PAGE_LARGE, 0, 0, page->run_pages);
    case HFI_OWNER_ENDED:
    case HFI_OWNER_UNOWNED: {
        uint64_t word = hfi_load_relaxed(&page->xfree);
        return hfi_pagemap_blocks(page, word & XFREE_IDLE ? HF_PAGE_IDLE : HF_PAGE_LOOSE, 0,
                                  hfi_xfree_remaining(word));
    }
    default: break;
    }
    return hfi_pagemap_blocks(page, HF_PAGE_OWNED, ((const struct theap *)owner)->index, hfi_page_out(page));
}

/* Others may be at work: what they have told of since stays. */
static void fill_pages(const struct arena_node *node)
{
    size_t low = hfi_load_relaxed(&node->xlow_used), high = hfi_max(hfi_load_relaxed(&node->xhigh_used), low);
    size_t place = node->first_index - hfi_pagemap_gaps[node->index];
    _Atomic(uint64_t) *map = hfi_load_relaxed(&hfi_shown()->xpages) + place;
    for (size_t i = 0; i < node->page_count; i = i + 1 == low ? high : i + 1) {
        uint64_t none = 0, entry = page_entry(node->first_index + i);
        if (entry != 0)
            hfi_cas_relaxed(&map[i], &none, entry);
        if (HF_PAGE_STATE(entry) == HF_PAGE_LARGE && HF_PAGE_COUNT(entry) > 1 &&
            i + HF_PAGE_COUNT(entry) < low)
            i += HF_PAGE_COUNT(entry) - 1;
    }
}

void hfi_segment_fill_map(struct hf_inspect_segment *segment)
{
    if (segment->pages.count == 0)
        return;
    /* pairs with nothing: see pagemap.h */
    hfi_store_release(&hfi_shown()->xpages, (_Atomic(uint64_t) *)((char *)segment + segment->pages.offset));
    for (unsigned i = 0; i < hfi_arena.node_count; i++)
        fill_pages(&hfi_arena.nodes[i]);
}

/* Whether memory has room for a page map: an arena that is not populated may be far larger than
 * what there is.  A growing one was cut to what this process may use; it publishes in malloc,
 * perhaps on a small stack. */
static bool has_room(size_t bytes)
{
    enum os_bound bound;
    return bytes <= BIG_BYTES || hfi_arena.reservation.growing || bytes <= hfi_os_available_bytes(&bound) / 2;
}

/* With the page map, or where there is no room for that, without. */
static int create(struct hf_inspect_segment **segment, const struct shm_process *process, bool took_over)
{
    struct hf_inspect_segment header = { .magic = 0 };
    void *memory = NULL;
    fill_header(&header, process, took_over);
    lay_out(&header, hfi_arena.node_count, hfi_arena.page_count, hfi_arena.page_count);
    int error = -ENOSPC;
    if (has_room(header.segment_bytes)) {
        error = hfi_shm_create(mapping.path, header.segment_bytes, &memory);
        if (error == -ENOSPC && hfi_leftover_drop()) /* who lives comes before who did */
            error = hfi_shm_create(mapping.path, header.segment_bytes, &memory);
    }
    if (error == -ENOSPC || error == -EFBIG || error == -ENOMEM) {
        lay_out(&header, hfi_arena.node_count, hfi_arena.page_count, 0);
        error = hfi_shm_create(mapping.path, header.segment_bytes, &memory);
    }
    mapping.bytes = header.segment_bytes;
    if (error != 0)
        return error;
    mapping.memory = memory;
    memcpy(memory, &header, sizeof header);
    hfi_segment_tables.nodes = (void *)((char *)memory + header.nodes.offset);
    hfi_segment_tables.theaps = (void *)((char *)memory + header.theaps.offset);
    hfi_segment_tables.theap_count = header.theaps.count;
    hfi_segment_tables.others = (void *)((char *)memory + header.others.offset);
    hfi_segment_tables.events = (void *)((char *)memory + header.events.offset);
    hfi_segment_tables.slow = (void *)((char *)memory + header.slow.offset);
    hfi_segment_tables.heaps = (void *)((char *)memory + header.heaps.offset);
    hfi_store_release(&hfi_shown()->xnodes, hfi_segment_tables.nodes); /* pairs with nothing: see pagemap.h */
    fill_classes((void *)((char *)memory + header.classes.offset));
    *segment = memory;
    return 0;
}

static void say_unpublished(int error)
{
    char limit[16], needed[16];
    if (error == -EFBIG)
        hfi_say(SAY_WARNING, "HF-W006", "inspect",
                "cannot publish %s: the limit of file sizes is %s, %s are "
                "needed: `holdfast stat` will not see this process; raise the limit (ulimit -f unlimited), "
                "or set "
                "HOLDFAST_INSPECT=0",
                mapping.path, hfi_format_bytes(limit, sizeof limit, hfi_shm_size_limit()),
                hfi_format_bytes(needed, sizeof needed, mapping.bytes));
    /* exec keeps the number: setpriv(1) published as root, what this user cannot remove */
    else if (error == -EEXIST)
        hfi_say(SAY_WARNING, "HF-W006", "inspect",
                "cannot publish %s (EEXIST): it is another user's, mostly of the "
                "program before this one in the same process: `holdfast stat` will not see this process; set "
                "HOLDFAST_ONLY to this program's file name, so that the one before takes no such arena",
                mapping.path);
    else
        hfi_say(SAY_WARNING, "HF-W006", "inspect",
                "cannot publish %s (%s): `holdfast stat` will not see this process; %s, or set "
                "HOLDFAST_INSPECT=0",
                mapping.path, hfi_os_error_name(error),
                error == -EMFILE || error == -ENFILE ? "raise the limit of open files (ulimit -n)"
                : error == -ENOMEM                   ? "raise the limit on memory (ulimit -v)"
                                   : "make room in " HF_INSPECT_DIRECTORY " and let this user write there");
}

/* This process's file, so that it can be told from those of other namespaces and of programs before
 * exec. */
static void name_file(struct shm_process *process)
{
    hfi_shm_read_process("/proc/self/stat", process);
    strcpy(mapping.path, HF_INSPECT_DIRECTORY "/");
    mapping.namespace = hfi_shm_namespace();
    hfi_shm_name(mapping.path + strlen(mapping.path), HF_INSPECT_PREFIX, process_number, process->start_ticks,
                 mapping.namespace);
}

void hfi_segment_remember_process(void)
{
    if (hfi_options.inspect)
        process_number = hfi_shm_pid();
}

bool hfi_segment_is_own_process(void)
{
    return hfi_shm_pid() == process_number;
}

/* N6 */
static struct hf_inspect_segment *create_named(const struct shm_process *process, bool took_over)
{
    struct hf_inspect_segment *segment = NULL;
    int none = FILE_NONE, named = FILE_NAMED;
    if (!hfi_cas_acq_rel(&xfile, &none, FILE_NAMED)) /* pairs with unpublish */
        return NULL;
    int error = create(&segment, process, took_over);
    if (error != 0) {
        say_unpublished(error);
        hfi_cas_acq_rel(&xfile, &named, FILE_NONE);
        return NULL;
    }
    /* acquire: the kernel orders the making of a file and the removal that found none */
    if (hfi_load_acquire(&xfile) != FILE_OVER)
        return segment;
    hfi_shm_unlink(mapping.path);
    return NULL;
}

struct hf_inspect_segment *hfi_segment_create(bool took_over)
{
    struct shm_process process;
    if (hfi_load_relaxed(&xfile) == FILE_OVER) /* relaxed: create_named looks again */
        return NULL;
    name_file(&process);
    hfi_leftover_sweep();
    return create_named(&process, took_over);
}

/* The forking thread may be in the middle of a call, whose stores into the segment are still to
 * come (a signal handler forked).  They find memory of the child's own there. */
static void drop_segment(bool call_may_go_on)
{
    bool kept = call_may_go_on && hfi_os_map(mapping.memory, mapping.bytes, HFI_SMALL_PAGE_BYTES) == 0;
    if (!kept)
        hfi_os_unreserve(mapping.memory, mapping.bytes);
}

void hfi_segment_drop(bool call_may_go_on)
{
    if (mapping.memory != NULL)
        drop_segment(call_may_go_on);
    memset(&mapping, 0, sizeof mapping);
    if (hfi_load_relaxed(&xfile) != FILE_OVER)
        hfi_store_relaxed(&xfile, FILE_NONE); /* relaxed: the child has one thread */
    hfi_segment_remember_process();
}

/* Not in a child that ran no handlers of fork (clone) and is the first process of another namespace
 * as its parent is of its own.  Without /proc nothing tells two such apart: they leave the file. */
static bool is_own_file(void)
{
    bool may_be_told = mapping.namespace != 0 || process_number != 1;
    return may_be_told && hfi_shm_namespace() == mapping.namespace;
}

/* N6.  In a child that ran no handlers of fork the file is its parent's. */
__attribute__((destructor)) static void unpublish(void)
{
    if (!hfi_options.inspect || !hfi_segment_is_own_process())
        return;
    /* acquire: pairs with create_named */
    if (hfi_exchange_acquire(&xfile, FILE_OVER) == FILE_NAMED && is_own_file())
        hfi_shm_unlink(mapping.path);
}
