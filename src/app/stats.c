/*
 * stats: see stats.h.
 *
 * Reads atomics and other threads' plain counters as they are: each figure was true at some
 * moment of the call, their sum need not be.
 *
 * Tests: tests/programs/exhaust.c, tests/programs/stats.c.
 */
#include "app/stats.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/atomic.h"
#include "heap/magazine.h"
#include "heap/piece-blocks.h"
#include "kernel/cpu.h"
#include "arena/pagemap.h"
#include "arena/prefault.h"
#include "base/say.h"
#include "heap/slots.h"
#include "heap/theaps.h"
#include "numa/plan.h"
#include "arena/xfree.h"
#include "heap/page.h"

#define HEAPS_REPORTED 3u /* of a full arena: those that hold most */
#define REPORT_INTERVAL_NS ((uint64_t)10 * 1000 * 1000 * 1000)
#define TOP_CLASSES 10u

static _Atomic(uint64_t) xlast_report_ns;
static _Atomic(uint64_t) xunreported;

static HFI_READS_OTHERS size_t theaps_kept_pages(const struct arena_node *node)
{
    size_t pages = 0;
    for (struct theap *theap = hfi_theap_first(); theap != NULL; theap = theap->next_all)
        if (HFI_SHOWN(theap->thread) != 0 && HFI_SHOWN(theap->node) == node)
            pages += HFI_SHOWN(theap->kept_pages);
    return pages;
}

void hfi_stats_node(const struct arena_node *node, struct node_figures *figures)
{
    *figures = (struct node_figures){ .kept = 0 };
    hfi_arena_figures(node, &figures->pages);
    figures->kept = hfi_min(theaps_kept_pages(node), figures->pages.owned);
}

void hfi_stats_counters(struct counters *sum)
{
    *sum = (struct counters){ 0 };
    for (struct theap *theap = hfi_theap_first(); theap != NULL; theap = theap->next_all)
        hfi_counters_add(sum, &theap->counters);
}

/* --- live bytes --- */

/* Of a run whose owner may be at work: as struct hf_inspect_live reckons. */
static HFI_READS_OTHERS size_t head_live_bytes(const struct page *head, uintptr_t owner)
{
    if (owner == HFI_OWNER_HEAP)
        return hfi_pieces_live_bytes(head);
    uint32_t used = HFI_SHOWN(head->front.used), class = HFI_SHOWN(head->size_class);
    if (owner == HFI_OWNER_LARGE)
        return (size_t)HFI_SHOWN(head->run_pages) * HFI_PAGE_BYTES - HFI_GUARD_BYTES;
    if (class >= HFI_CLASS_COUNT)
        return 0;
    uint32_t out =
        used == 0 ? 0 : hfi_blocks_out(HFI_SHOWN(head->mode), used, HFI_SHOWN(head->front.capacity));
    /* relaxed: a count, which leads nowhere */
    uint32_t returned = hfi_xfree_count(hfi_load_relaxed(&head->xfree));
    size_t blocks = hfi_min(out - hfi_min(out, returned), HFI_SHOWN(head->reserved));
    return blocks * hfi_sizeclasses[class].block_bytes;
}

/* Between xlow_used and xhigh_used no page was ever handed out. */
static HFI_READS_OTHERS void add_heads(struct node_figures *figures, const struct arena_node *node)
{
    size_t low = hfi_load_relaxed(&node->xlow_used), high = hfi_max(hfi_load_relaxed(&node->xhigh_used), low);
    for (size_t i = 0; i < node->page_count;) {
        uintptr_t owner = hfi_load_relaxed(hfi_owner_at(node->first_index + i));
        const struct page *head = hfi_page_at(node->first_index + i);
        size_t next = i + 1;
        if (owner >= HFI_OWNER_LARGE) {
            *(owner == HFI_OWNER_LARGE  ? &figures->live_large
              : owner == HFI_OWNER_HEAP ? &figures->live_heaps
                                        : &figures->live_blocks) += head_live_bytes(head, owner);
            next = i + hfi_max(HFI_SHOWN(head->run_pages), 1u);
        }
        i = i < low && next >= low ? hfi_max(high, next) : next;
    }
}

HFI_READS_OTHERS void hfi_stats_node_live(const struct arena_node *node, struct node_figures *figures)
{
    hfi_stats_node(node, figures);
    add_heads(figures, node);
    for (struct theap *theap = hfi_theap_first(); theap != NULL; theap = theap->next_all)
        if (HFI_SHOWN(theap->thread) != 0 && HFI_SHOWN(theap->node) == node)
            figures->live_blocks -= hfi_min(hfi_magazines_bytes(theap), figures->live_blocks);
    size_t block_pages = figures->pages.idle + figures->pages.owned - figures->kept;
    figures->live_blocks = hfi_min(figures->live_blocks, block_pages * HFI_PAGE_BYTES);
    figures->live_large = hfi_min(figures->live_large, figures->pages.large * HFI_PAGE_BYTES);
    figures->live_heaps = hfi_min(figures->live_heaps, figures->pages.heaps * HFI_PAGE_BYTES);
}

/* --- figures for the program itself --- */

#define STATS_BYTES_LEAST offsetof(struct hf_stats, large)

static void add_node(struct hf_stats *stats, const struct arena_node *node, bool with_live)
{
    struct node_figures figures;
    const struct arena_figures *pages = &figures.pages;
    (with_live ? hfi_stats_node_live : hfi_stats_node)(node, &figures);
    stats->arena += pages->total * HFI_PAGE_BYTES;
    stats->allocated += (pages->owned + pages->large + pages->heaps) * HFI_PAGE_BYTES;
    stats->idle += pages->idle * HFI_PAGE_BYTES;
    stats->free += pages->free * HFI_PAGE_BYTES;
    stats->metadata += (pages->meta + pages->failed) * HFI_PAGE_BYTES;
    stats->large += pages->large * HFI_PAGE_BYTES;
    stats->high_water += pages->high_water * HFI_PAGE_BYTES;
    stats->longest_free = hfi_max(stats->longest_free, hfi_arena_longest_run(node) * HFI_PAGE_BYTES);
    stats->nodes++;
    stats->live += figures.live_blocks + figures.live_large + figures.live_heaps;
    stats->heaps += pages->heaps * HFI_PAGE_BYTES;
    stats->heaps_free += hfi_load_relaxed(&node->xheap_free) * HFI_PIECE_BYTES; /* relaxed: a count */
    stats->kept += figures.kept * HFI_PAGE_BYTES;
    stats->reserve += node->reserve_count * HFI_PAGE_BYTES;
    stats->reserve_used += hfi_arena_reserve_used(node) * HFI_PAGE_BYTES;
    stats->reserve_uses += hfi_load_relaxed(&node->xreserve_uses); /* relaxed: a count */
}

int hfi_stats_get(struct hf_stats *stats, size_t size, const struct arena_node *node)
{
    struct hf_stats full = { 0 };
    struct counters sum = { 0 };
    if (size < STATS_BYTES_LEAST || size % sizeof(uint64_t) != 0)
        return -EINVAL;
    for (unsigned i = 0; i < hfi_arena.node_count; i++)
        if (node == NULL || node == &hfi_arena.nodes[i])
            add_node(&full, &hfi_arena.nodes[i], size > offsetof(struct hf_stats, live));
    for (struct theap *theap = hfi_theap_first(); theap != NULL; theap = theap->next_all) {
        if (node != NULL && theap->node != node)
            continue;
        full.threads += theap->thread != 0;
        hfi_counters_add(&sum, &theap->counters);
    }
    full.blocks_listed = sum.listed;
    full.pages_claimed = sum.claimed + sum.shared;
    full.pages_fresh = sum.fresh;
    full.pages_stolen = sum.stolen;
    full.pages_away = hfi_counters_away(&sum);
    full.large_blocks = sum.large;
    full.remote_frees = sum.remote_frees;
    full.failures = sum.failed;
    memset(stats, 0, size); /* fields of a later version */
    memcpy(stats, &full, hfi_min(size, sizeof full));
    return 0;
}

/* By the place in struct hf_stats. */
#define NAMED(field) [offsetof(struct hf_stats, field) / sizeof(uint64_t)] = #field
static const char *const stats_names[] = {
    NAMED(arena),         NAMED(allocated),     NAMED(idle),         NAMED(free),         NAMED(metadata),
    NAMED(large),         NAMED(high_water),    NAMED(longest_free), NAMED(nodes),        NAMED(threads),
    NAMED(blocks_listed), NAMED(pages_claimed), NAMED(pages_fresh),  NAMED(pages_stolen), NAMED(pages_away),
    NAMED(large_blocks),  NAMED(remote_frees),  NAMED(failures),     NAMED(live),         NAMED(kept),
    NAMED(heaps),         NAMED(heaps_free),    NAMED(reserve),      NAMED(reserve_used), NAMED(reserve_uses),
};
#undef NAMED
#define STATS_COUNT (sizeof stats_names / sizeof stats_names[0])
_Static_assert(STATS_COUNT * sizeof(uint64_t) == sizeof(struct hf_stats), "each has its name");

/* What was written so far, and would have been. */
struct text {
    char *start;
    size_t size;
    size_t length;
};

static void HFI_PRINTF(2, 3) append(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    size_t left = text->size - hfi_min(text->size, text->length);
    int length = vsnprintf(left == 0 ? NULL : text->start + text->length, left, format, arguments);
    va_end(arguments);
    text->length += length > 0 ? (size_t)length : 0;
}

static void append_stats(struct text *text, const struct hf_stats *stats)
{
    uint64_t values[STATS_COUNT];
    memcpy(values, stats, sizeof values);
    for (size_t i = 0; i < STATS_COUNT; i++)
        append(text, "%s\"%s\": %llu", i == 0 ? "" : ", ", stats_names[i], (unsigned long long)values[i]);
}

int hfi_stats_json(char *buffer, size_t size)
{
    struct text text = { .start = buffer, .size = size };
    struct hf_stats stats;
    hfi_stats_get(&stats, sizeof stats, NULL);
    append(&text, "{\"version\": \"%s\", ", HFI_VERSION);
    append_stats(&text, &stats);
    append(&text, ", \"per_node\": [");
    for (unsigned i = 0; i < hfi_arena.node_count; i++) {
        hfi_stats_get(&stats, sizeof stats, &hfi_arena.nodes[i]);
        append(&text, "%s{\"id\": %u, ", i == 0 ? "" : ", ", hfi_arena.nodes[i].id);
        append_stats(&text, &stats);
        append(&text, "}");
    }
    append(&text, "]}");
    return (int)text.length;
}

/* --- the report --- */

static size_t class_pages(const struct arena_node *node, unsigned class)
{
    return hfi_load_relaxed(&node->xclass_pages[class]);
}

static void report_classes(const struct arena_node *node)
{
    bool shown[HFI_CLASS_COUNT] = { false };
    for (unsigned rank = 0; rank < TOP_CLASSES; rank++) {
        unsigned most = HFI_CLASS_COUNT;
        for (unsigned class = 0; class < HFI_CLASS_COUNT; class ++)
            if (!shown[class] && class_pages(node, class) != 0 &&
                (most == HFI_CLASS_COUNT || class_pages(node, class) > class_pages(node, most)))
                most = class;
        if (most == HFI_CLASS_COUNT)
            return;
        shown[most] = true;
        hfi_say_line("  blocks of %7u bytes: %zu pages", hfi_sizeclasses[most].block_bytes,
                     class_pages(node, most));
    }
}

static void report_node(const struct arena_node *node)
{
    struct node_figures figures;
    const struct arena_figures *pages = &figures.pages;
    char size[16], used[16], blocks[16], idle[16];
    hfi_stats_node_live(node, &figures);
    hfi_say_line("node %u: size %s (%zu pages), used %s, in live blocks %s, idle %s, free %zu pages, "
                 "longest free run %zu pages",
                 node->id, hfi_format_bytes(size, sizeof size, pages->total * HFI_PAGE_BYTES), pages->total,
                 hfi_format_bytes(used, sizeof used, pages->used * HFI_PAGE_BYTES),
                 hfi_format_bytes(blocks, sizeof blocks,
                                  figures.live_blocks + figures.live_large + figures.live_heaps),
                 hfi_format_bytes(idle, sizeof idle, pages->idle * HFI_PAGE_BYTES), pages->free,
                 hfi_arena_longest_run(node));
    if (hfi_prefault_closed_bytes(node->index) != 0 || pages->failed != 0)
        hfi_say_line("  of free: %zu pages still to be populated; besides: %zu pages that could not be",
                     hfi_prefault_closed_bytes(node->index) / HFI_PAGE_BYTES, pages->failed);
    if (node->reserve_count != 0)
        hfi_say_line("  of free: %zu pages of the reserve, which has %zu", pages->reserve,
                     node->reserve_count);
    if (figures.kept != 0)
        hfi_say_line("  kept: %zu pages that threads keep empty", figures.kept);
    hfi_say_line("  large blocks: %zu pages; own structures: %zu pages", pages->large, pages->meta);
    if (pages->heaps != 0)
        hfi_say_line("  heaps of the program: %zu pages", pages->heaps);
    report_classes(node);
}

/* As the segment has them, whose names may be read while heaps come and go. */
static void report_heaps(void)
{
    struct slot_most most[HEAPS_REPORTED];
    unsigned count = hfi_slots_most(most, HEAPS_REPORTED);
    for (unsigned i = 0; i < count; i++) {
        char held[16], limit[16];
        hfi_say_line("heap \"%s\" (%llu): holds %s, limit %s", most[i].name, (unsigned long long)most[i].id,
                     hfi_format_bytes(held, sizeof held, most[i].held),
                     most[i].limit == 0 ? "none" : hfi_format_bytes(limit, sizeof limit, most[i].limit));
    }
}

void hfi_stats_report(void)
{
    for (unsigned i = 0; i < hfi_arena.node_count; i++)
        report_node(&hfi_arena.nodes[i]);
    report_heaps();
}

/* What an arena has reached: the part's size is "what", and the step that makes it larger. */
struct end_text {
    const char *what, *next;
};

#define AGAIN ", and start again"

static const struct end_text growing_ends[PLAN_BOUNDS] = {
    [PLAN_BOUND_NAMED] = { "what HOLDFAST_ARENA names", "raise HOLDFAST_ARENA" },
    [PLAN_BOUND_MACHINE] = { "all memory of the machine", "let the program keep less, or add memory" },
    [PLAN_BOUND_NODE] = { "all memory of the node", "let the program keep less, allow other nodes "
                                                    "(HOLDFAST_REMOTE=allow), or add memory" },
    [PLAN_BOUND_CGROUP] = { "what the cgroup's limit allows",
                            "raise the cgroup's memory limit (MemoryMax=)" AGAIN },
    [PLAN_BOUND_SPACE] = { "half of the addresses that the limits leave",
                           "raise them (ulimit -v unlimited, ulimit -d unlimited)" AGAIN },
    [PLAN_BOUND_LARGEST] = { "the most that an arena can be", "spread the work over several processes" },
};

/* Of a named size that was not to be had. */
static const struct end_text cut_ends[PLAN_BOUNDS] = {
    [PLAN_BOUND_MACHINE] = { "what the machine had to spare at start",
                             "stop what else uses memory, or add memory" AGAIN },
    [PLAN_BOUND_NODE] = { "what the node had to spare at start",
                          "spread the arena over more nodes, or add memory" AGAIN },
    [PLAN_BOUND_CGROUP] = { "what the cgroup's limit left at start",
                            "raise the cgroup's memory limit (MemoryMax=)" AGAIN },
    [PLAN_BOUND_LARGEST] = { "the most that an arena can be", "spread the work over several processes" },
};

/* What the kernel refuses now counts, not what the arena could come to. */
static const struct end_text refused_end = {
    "more than the kernel lets it open",
    "raise the limit on data (ulimit -d) or vm.max_map_count, or with vm.overcommit_memory=2 "
    "vm.overcommit_ratio",
};

static struct end_text end_of(const struct arena_node *node)
{
    const struct reserved_node *reserved = &hfi_arena.reservation.nodes[node->index];
    if (hfi_load_relaxed(&node->refused.xset_count) != 0)
        return refused_end;
    bool cut = !hfi_arena.reservation.growing && reserved->bytes < reserved->asked_bytes;
    const struct end_text *end = &cut_ends[reserved->bound_by];
    return cut && end->what != NULL ? *end : growing_ends[reserved->bound_by];
}

bool hfi_stats_report_full(size_t bytes, size_t pages, size_t align_bytes, uint64_t *unreported)
{
    uint64_t now = hfi_os_now_coarse_ns();
    uint64_t last = hfi_load_relaxed(&xlast_report_ns);
    if ((last != 0 && now - last < REPORT_INTERVAL_NS) || !hfi_cas_acq_rel(&xlast_report_ns, &last, now)) {
        hfi_fetch_add_relaxed(&xunreported, 1);
        return false;
    }
    *unreported = hfi_exchange_relaxed(&xunreported, 0);
    const struct arena_node *node = hfi_theap->thread != 0 ? hfi_theap->node : &hfi_arena.nodes[0];
    const struct reserved_node *reserved = &hfi_arena.reservation.nodes[node->index];
    struct end_text end = end_of(node);
    char aligned[40] = "", align[16], size[16], asked[16], of[40] = "";
    if (align_bytes > HFI_PAGE_BYTES)
        snprintf(aligned, sizeof aligned, " aligned to %s",
                 hfi_format_bytes(align, sizeof align, align_bytes));
    if (!hfi_arena.reservation.growing && reserved->bytes < reserved->asked_bytes)
        snprintf(of, sizeof of, " of %s asked for",
                 hfi_format_bytes(asked, sizeof asked, reserved->asked_bytes));
    hfi_say(SAY_ERROR, "HF-E012", "arena",
            "node %u full (asked %zu bytes = %zu pages%s, longest run %zu; %llu failures not "
            "reported since the last report): its %s%s are %s; %s",
            node->id, bytes, pages, aligned, hfi_arena_longest_run(node), (unsigned long long)*unreported,
            hfi_format_bytes(size, sizeof size, reserved->bytes), of, end.what, end.next);
    hfi_stats_report();
    return true;
}
