/*
 * reserve: see reserve.h.
 *
 * V1: base is 1 GiB aligned; a guard of one OS page lies before base and behind the last window.
 * V2: node windows follow each other from HFI_WINDOWS_OFFSET, each node's starting on a window.
 * V3: owners[] is readable for every index below span, so that free can look a wild pointer up;
 *     the page table only where nodes have pages.
 * V4: memory that a named arena reports as populated was touched by MADV_POPULATE_WRITE with no
 *     error: no later fault, and no SIGBUS from a huge page pool that was empty.
 *
 * What cannot be had is said once with the command that mends it (messages HF-E2xx, HF-W2xx,
 * HF-I2xx); degraded without HOLDFAST_STRICT=1, fatal with it (exit status 78).
 *
 * Test: tests/unit/reserve.c, tests/programs/startup.sh.
 */
#include "reserve.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "os.h"
#include "say.h"

#define OS_PAGE_BYTES ((size_t)4096)
#define GUARD_BYTES ((size_t)2 * HFI_MIB)
#define AUTO_LEAST_BYTES HFI_GIB
#define THP_BYTES ((size_t)2 * HFI_MIB)
#define SMALL_PAGES_BYTES ((size_t)32 * HFI_MIB) /* of a growing arena: small programs gain nothing by huge pages */

/* What hfi_reserve hands around. */
struct attempt {
    const struct options *options;
    const struct topology *topology;
    struct reservation *reservation;
};

static size_t backing_page_bytes(enum option_backing backing)
{
    switch (backing) {
    case BACKING_1G: return HFI_GIB;
    case BACKING_2M: return 2 * HFI_MIB;
    case BACKING_THP: case BACKING_4K: case BACKING_AUTO: break;
    }
    return OS_PAGE_BYTES;
}

/* Under HOLDFAST_STRICT=1 the end; otherwise the caller degrades. */
static void stop_if_strict(const struct options *options)
{
    if (options->strict)
        _exit(EX_CONFIG);
}

/* --- sizes --- */

static bool node_is_chosen(const struct options *options, const struct topology_node *node)
{
    return options->nodes >> node->id & 1;
}

static size_t chosen_nodes(const struct options *options, const struct topology *topology)
{
    size_t chosen = 0;
    for (unsigned i = 0; i < topology->node_count; i++)
        chosen += node_is_chosen(options, &topology->nodes[i]);
    return chosen;
}

void hfi_reserve_plan(size_t node_bytes[HFI_MAX_NODES], const struct options *options, const struct topology *topology)
{
    size_t chosen = chosen_nodes(options, topology);
    size_t total = options->arena == ARENA_BYTES ? options->arena_bytes
                 : options->arena == ARENA_PERCENT ? hfi_os_usable_bytes() / 100 * options->arena_percent
                 : hfi_align_up(hfi_os_usable_bytes(), HFI_GIB);
    for (unsigned i = 0; i < HFI_MAX_NODES; i++)
        node_bytes[i] = 0;
    for (unsigned i = 0; i < topology->node_count; i++) {
        const struct topology_node *node = &topology->nodes[i];
        if (options->arena == ARENA_PER_NODE)
            node_bytes[i] = options->arena_node_bytes[node->id];
        else if (node_is_chosen(options, node))
            node_bytes[i] = total / chosen;
        node_bytes[i] = hfi_align_up(node_bytes[i], HFI_PAGE_BYTES);
    }
}

/* Memory the kernel says is to be had now: MemAvailable, and what the cgroup leaves; SIZE_MAX unknown. */
static size_t available_bytes(void)
{
    char text[4096];
    uint64_t limit, used, available = UINT64_MAX;
    if (hfi_os_read_file("/proc/meminfo", text, sizeof text) > 0) {
        const char *line = strstr(text, "MemAvailable:");
        unsigned long long kib;
        if (line != NULL && sscanf(line + 13, "%llu", &kib) == 1)
            available = (uint64_t)kib * 1024;
    }
    if (hfi_os_cgroup_limit(&limit, &used))
        available = hfi_min(available, limit > used ? limit - used : 0);
    return available;
}

/* Free huge pages of a size on a node; falls back to the machine's pool where the node has no file. */
static uint64_t free_huge_pages(unsigned node, size_t page_bytes)
{
    char path[128];
    uint64_t pages = 0;
    snprintf(path, sizeof path, "/sys/devices/system/node/node%u/hugepages/hugepages-%zukB/free_hugepages", node, page_bytes / 1024);
    if (hfi_os_read_number(path, &pages))
        return pages;
    snprintf(path, sizeof path, "/sys/kernel/mm/hugepages/hugepages-%zukB/free_hugepages", page_bytes / 1024);
    return hfi_os_read_number(path, &pages) ? pages : 0;
}

/* --- one node of a named arena --- */

static void say_pool_short(const struct attempt *attempt, const struct reserved_node *node, enum option_backing backing,
                           uint64_t pages, uint64_t free_pages)
{
    bool asked = attempt->options->backing == backing;
    char command[160];
    snprintf(command, sizeof command, "echo %llu > /sys/devices/system/node/node%u/hugepages/hugepages-%zukB/nr_hugepages",
             (unsigned long long)pages, node->id, backing_page_bytes(backing) / 1024);
    if (asked && attempt->options->strict)
        hfi_say(SAY_ERROR, "HF-E201", "reserve", "node %u has %llu free huge pages of %s, the arena needs %llu; run: %s",
                node->id, (unsigned long long)free_pages, hfi_backing_name(backing), (unsigned long long)pages, command);
    else
        hfi_say(asked || free_pages != 0 ? SAY_WARNING : SAY_INFO, "HF-W201", "reserve",
                "node %u has %llu free huge pages of %s, the arena needs %llu: using smaller pages; run: %s", node->id,
                (unsigned long long)free_pages, hfi_backing_name(backing), (unsigned long long)pages, command);
    if (asked)
        stop_if_strict(attempt->options);
}

static void bind_node(const struct attempt *attempt, struct reserved_node *node)
{
    int error = hfi_os_bind(node->start, node->bytes, node->id);
    node->bound = error == 0;
    if (node->bound)
        return;
    bool single = attempt->topology->node_count == 1;
    hfi_say(single ? SAY_INFO : SAY_WARNING, "HF-W202", "reserve", "mbind to node %u was refused (error %d): memory goes "
            "where the kernel puts it; allow mbind in the seccomp profile, or grant CAP_SYS_NICE", node->id, -error);
    if (!single)
        stop_if_strict(attempt->options);
}

static void say_populate_failed(const struct attempt *attempt, const struct reserved_node *node, enum option_backing backing, int error)
{
    uint64_t limit = 0, used = 0;
    char size[16], have[16];
    hfi_format_bytes(size, sizeof size, node->bytes);
    if (backing_page_bytes(backing) > OS_PAGE_BYTES) {
        uint64_t pages = node->bytes / backing_page_bytes(backing);
        say_pool_short(attempt, node, backing, pages, free_huge_pages(node->id, backing_page_bytes(backing)));
    } else if (hfi_os_cgroup_limit(&limit, &used)) {
        hfi_say(SAY_ERROR, "HF-E203", "reserve", "populating %s on node %u failed (error %d): the cgroup leaves %s; raise "
                "memory.max (MemoryMax=) or lower HOLDFAST_ARENA", size, node->id, -error,
                hfi_format_bytes(have, sizeof have, limit - hfi_min(used, limit)));
    } else {
        hfi_say(SAY_ERROR, "HF-E203", "reserve", "populating %s on node %u failed (error %d): %s are available; lower HOLDFAST_ARENA",
                size, node->id, -error, hfi_format_bytes(have, sizeof have, available_bytes()));
    }
}

static bool must_populate(const struct attempt *attempt, enum option_backing backing)
{
    /* A huge page that the pool does not have is SIGBUS at the first touch: never left to chance. */
    return attempt->options->prefault != PREFAULT_NONE || backing_page_bytes(backing) > OS_PAGE_BYTES;
}

/* Map, bind, populate on one rung of the ladder; true when the node stands. */
static bool try_backing(const struct attempt *attempt, struct reserved_node *node, enum option_backing backing)
{
    size_t page_bytes = backing_page_bytes(backing);
    int error = hfi_os_map(node->start, node->bytes, page_bytes);
    if (error != 0) {
        say_populate_failed(attempt, node, backing, error);
        return false;
    }
    bind_node(attempt, node);
    if (page_bytes == OS_PAGE_BYTES)
        hfi_os_advise_huge(node->start, node->bytes, backing == BACKING_THP);
    if (must_populate(attempt, backing)) {
        error = hfi_os_populate(node->start, node->bytes);
        if (error != 0) {
            say_populate_failed(attempt, node, backing, error);
            hfi_os_unmap(node->start, node->bytes);
            return false;
        }
        node->populated_bytes = node->bytes;
    }
    node->backing = backing;
    node->os_page_bytes = page_bytes;
    return true;
}

static bool thp_is_off(void)
{
    char text[128];
    return hfi_os_read_file("/sys/kernel/mm/transparent_hugepage/enabled", text, sizeof text) <= 0 ||
           strstr(text, "[never]") != NULL;
}

/* Whether a rung is worth trying, without mapping anything; says why not. */
static bool rung_is_open(const struct attempt *attempt, const struct reserved_node *node, enum option_backing backing)
{
    size_t page_bytes = backing_page_bytes(backing);
    bool asked = attempt->options->backing == backing;
    if (backing == BACKING_THP && thp_is_off()) {
        hfi_say(asked ? SAY_WARNING : SAY_INFO, "HF-W204", "reserve", "transparent huge pages are off: using 4 KiB pages; run: "
                "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
        if (asked)
            stop_if_strict(attempt->options);
        return false;
    }
    if (page_bytes == OS_PAGE_BYTES)
        return true;
    if (!asked && node->bytes % page_bytes != 0 && backing == BACKING_1G)
        return false;
    uint64_t pages = hfi_divide_up(node->bytes, page_bytes);
    uint64_t free_pages = free_huge_pages(node->id, page_bytes);
    if (free_pages >= pages)
        return true;
    say_pool_short(attempt, node, backing, pages, free_pages);
    return false;
}

static void lock_node(const struct attempt *attempt, struct reserved_node *node)
{
    enum option_lock lock = attempt->options->lock;
    char size[16];
    if (node->os_page_bytes > OS_PAGE_BYTES) {
        node->locked = true; /* hugetlb memory is never swapped */
        return;
    }
    if (lock == LOCK_NO || (lock == LOCK_AUTO && node->populated_bytes == 0))
        return;
    int error = hfi_os_lock(node->start, node->bytes);
    node->locked = error == 0;
    if (node->locked)
        return;
    hfi_say(attempt->options->strict ? SAY_ERROR : SAY_WARNING, "HF-W205", "reserve", "locking %s on node %u was refused "
            "(error %d): it may be swapped; set LimitMEMLOCK=infinity (ulimit -l unlimited) or HOLDFAST_LOCK=no",
            hfi_format_bytes(size, sizeof size, node->bytes), node->id, -error);
    stop_if_strict(attempt->options);
}

/* Walks the ladder for one node.  0 or -ENOMEM. */
static int reserve_node(const struct attempt *attempt, struct reserved_node *node)
{
    static const enum option_backing ladder[] = { BACKING_1G, BACKING_2M, BACKING_THP, BACKING_4K };
    size_t asked_bytes = node->bytes;
    for (unsigned rung = 0; rung < sizeof ladder / sizeof ladder[0]; rung++) {
        if (attempt->options->backing != BACKING_AUTO && ladder[rung] < attempt->options->backing)
            continue;
        node->bytes = hfi_align_up(asked_bytes, hfi_max(backing_page_bytes(ladder[rung]), HFI_PAGE_BYTES));
        if (!rung_is_open(attempt, node, ladder[rung]) || !try_backing(attempt, node, ladder[rung]))
            continue;
        lock_node(attempt, node);
        return 0;
    }
    return -ENOMEM;
}

/* --- the layout --- */

/* Owners and page table for `bytes` of windows from `offset` on. */
static int map_metadata(const struct reservation *reservation, size_t offset, size_t bytes, unsigned node, bool populate)
{
    char *starts[2];
    size_t lengths[2];
    size_t first = offset >> HFI_PAGE_SHIFT, count = bytes >> HFI_PAGE_SHIFT;
    starts[0] = reservation->base + hfi_align_down(first * 8, OS_PAGE_BYTES);
    lengths[0] = hfi_align_up((first + count) * 8, OS_PAGE_BYTES) - hfi_align_down(first * 8, OS_PAGE_BYTES);
    starts[1] = reservation->base + HFI_TABLE_OFFSET + first * 128;
    lengths[1] = hfi_align_up(count * 128, OS_PAGE_BYTES);
    for (int i = 0; i < 2; i++) {
        int error = i == 0 ? 0 : hfi_os_map(starts[i], lengths[i], OS_PAGE_BYTES);
        if (error == 0 && populate) {
            hfi_os_bind(starts[i], lengths[i], node); /* refused: as the node itself, which says so */
            hfi_os_advise_huge(starts[i], lengths[i], true);
            error = hfi_os_populate(starts[i], lengths[i]);
            hfi_os_lock(starts[i], lengths[i]);
        }
        if (error != 0)
            return error;
    }
    return 0;
}

/* Address space for everything; node starts are set. */
static bool lay_out(struct reservation *reservation)
{
    size_t offset = HFI_WINDOWS_OFFSET;
    for (unsigned i = 0; i < reservation->node_count; i++)
        offset += hfi_align_up(reservation->nodes[i].bytes, HFI_WINDOW_BYTES);
    reservation->span = offset;
    char *space = hfi_os_reserve(offset + 2 * HFI_GIB, HFI_GIB);
    if (space == NULL)
        return false;
    reservation->base = space + HFI_GIB; /* a guard on either side, trimmed to what a guard needs */
    hfi_os_unreserve(space, HFI_GIB - GUARD_BYTES);
    hfi_os_unreserve(reservation->base + offset + GUARD_BYTES, HFI_GIB - GUARD_BYTES);
    offset = HFI_WINDOWS_OFFSET;
    for (unsigned i = 0; i < reservation->node_count; i++) {
        reservation->nodes[i].start = reservation->base + offset;
        offset += hfi_align_up(reservation->nodes[i].bytes, HFI_WINDOW_BYTES);
    }
    /* V3: one mapping, touched only where it is used */
    return hfi_os_map(reservation->base, hfi_align_up((reservation->span >> HFI_PAGE_SHIFT) * 8, OS_PAGE_BYTES), OS_PAGE_BYTES) == 0;
}

static void choose_nodes(const struct attempt *attempt)
{
    size_t node_bytes[HFI_MAX_NODES];
    struct reservation *reservation = attempt->reservation;
    hfi_reserve_plan(node_bytes, attempt->options, attempt->topology);
    for (unsigned i = 0; i < attempt->topology->node_count; i++) {
        if (node_bytes[i] == 0)
            continue;
        reservation->nodes[reservation->node_count++] = (struct reserved_node){
            .id = attempt->topology->nodes[i].id,
            .bytes = hfi_min(node_bytes[i], HFI_ARENA_MAX_BYTES),
        };
    }
}

static int fail_no_space(const struct reservation *reservation)
{
    char size[16];
    hfi_say(SAY_ERROR, "HF-E206", "reserve", "no address space for an arena of %s; raise the address-space limit (ulimit -v unlimited)",
            hfi_format_bytes(size, sizeof size, reservation->span));
    return -ENOMEM;
}

static int reserve_growing(const struct attempt *attempt)
{
    struct reservation *reservation = attempt->reservation;
    size_t asked = reservation->nodes[0].bytes;
    reservation->growing = true;
    while (!lay_out(reservation)) {
        if (reservation->nodes[0].bytes <= AUTO_LEAST_BYTES)
            return fail_no_space(reservation);
        for (unsigned i = 0; i < reservation->node_count; i++)
            reservation->nodes[i].bytes = hfi_max(hfi_align_down(reservation->nodes[i].bytes / 2, HFI_GIB), AUTO_LEAST_BYTES);
    }
    if (reservation->nodes[0].bytes < asked)
        hfi_say(SAY_WARNING, "HF-W207", "reserve", "address space is limited: the arena can grow to %zu MiB per node only; "
                "raise the limit (ulimit -v unlimited)", reservation->nodes[0].bytes / HFI_MIB);
    for (unsigned i = 0; i < reservation->node_count; i++) {
        struct reserved_node *node = &reservation->nodes[i];
        node->os_page_bytes = OS_PAGE_BYTES;
        node->backing = thp_is_off() || attempt->options->backing == BACKING_4K ? BACKING_4K : BACKING_THP;
        int error = hfi_os_map(node->start, node->bytes, OS_PAGE_BYTES);
        if (error == 0)
            error = map_metadata(reservation, (size_t)(node->start - reservation->base), node->bytes, node->id, false);
        if (error != 0)
            return fail_no_space(reservation);
        if (reservation->node_count > 1)
            bind_node(attempt, node);
        if (attempt->options->lock == LOCK_YES)
            hfi_say(SAY_WARNING, "HF-W208", "reserve", "a growing arena is not locked; name a size in HOLDFAST_ARENA to have it locked");
    }
    return 0;
}

/* A named arena larger than what is to be had would meet the OOM killer, not an error. */
static void fit_to_memory(const struct attempt *attempt)
{
    struct reservation *reservation = attempt->reservation;
    size_t total = 0, available = available_bytes();
    uint64_t huge_bytes = 0;
    char asked[16], have[16], got[16];
    for (unsigned i = 0; i < reservation->node_count; i++) {
        total += reservation->nodes[i].bytes;
        huge_bytes += free_huge_pages(reservation->nodes[i].id, 2 * HFI_MIB) * 2 * HFI_MIB;
        huge_bytes += free_huge_pages(reservation->nodes[i].id, HFI_GIB) * HFI_GIB;
    }
    if (available == SIZE_MAX || total <= available / 100 * 95 || total <= huge_bytes || attempt->options->prefault == PREFAULT_NONE)
        return;
    size_t fits = available / 10 * 9;
    hfi_say(attempt->options->strict ? SAY_ERROR : SAY_WARNING, "HF-W209", "reserve", "an arena of %s was asked for, %s of memory "
            "are available: taking %s; lower HOLDFAST_ARENA or raise the limit (memory.max, MemoryMax=)",
            hfi_format_bytes(asked, sizeof asked, total), hfi_format_bytes(have, sizeof have, available),
            hfi_format_bytes(got, sizeof got, fits));
    stop_if_strict(attempt->options);
    for (unsigned i = 0; i < reservation->node_count; i++) {
        size_t share = (size_t)((double)reservation->nodes[i].bytes / (double)total * (double)fits);
        reservation->nodes[i].bytes = hfi_max(hfi_align_down(share, 2 * HFI_MIB), 4 * HFI_MIB);
    }
}

static int reserve_named(const struct attempt *attempt)
{
    struct reservation *reservation = attempt->reservation;
    fit_to_memory(attempt);
    for (unsigned i = 0; i < reservation->node_count; i++) /* room for the largest rounding up */
        if (reservation->nodes[i].bytes > 64 * HFI_MIB)
            reservation->nodes[i].bytes = hfi_align_up(reservation->nodes[i].bytes, 2 * HFI_MIB);
    if (!lay_out(reservation))
        return fail_no_space(reservation);
    for (unsigned i = 0; i < reservation->node_count; i++) {
        struct reserved_node *node = &reservation->nodes[i];
        int error = reserve_node(attempt, node);
        if (error == 0)
            error = map_metadata(reservation, (size_t)(node->start - reservation->base), node->bytes, node->id, true);
        if (error != 0) {
            hfi_say(SAY_ERROR, "HF-E210", "reserve", "node %u got no arena; see the messages above, lower HOLDFAST_ARENA", node->id);
            return error;
        }
    }
    return 0;
}

int hfi_reserve(struct reservation *reservation, const struct options *options, const struct topology *topology)
{
    struct attempt attempt = { .options = options, .topology = topology, .reservation = reservation };
    *reservation = (struct reservation){ .base = NULL };
    choose_nodes(&attempt);
    if (reservation->node_count == 0) {
        hfi_say(SAY_ERROR, "HF-E211", "reserve", "HOLDFAST_NODES and HOLDFAST_ARENA leave no node with memory; "
                "this machine has %u node(s), the first is %u; see `holdfast doctor`", topology->node_count, topology->nodes[0].id);
        return -EINVAL;
    }
    if (options->prefault == PREFAULT_BACKGROUND && options->arena != ARENA_AUTO)
        hfi_say(SAY_INFO, "HF-I212", "reserve", "HOLDFAST_PREFAULT=background populates at start in this version");
    return options->arena == ARENA_AUTO ? reserve_growing(&attempt) : reserve_named(&attempt);
}

int hfi_prefault_step(const struct reserved_node *node, size_t offset, size_t bytes)
{
    char *start = node->start + offset;
    char *huge_start = (char *)hfi_align_up((uintptr_t)start, THP_BYTES);
    char *huge_end = (char *)hfi_align_down((uintptr_t)start + bytes, THP_BYTES);
    if (node->backing == BACKING_THP && offset >= SMALL_PAGES_BYTES && huge_start < huge_end)
        hfi_os_advise_huge(huge_start, (size_t)(huge_end - huge_start), true);
    return hfi_os_populate(start, bytes);
}
