/*
 * advice: see advice.h.
 *
 * A1: each rule is one entry of the table: when it applies, what was seen, what to set.
 * A2: evidence has a number, and so has the setting where it is one.
 *
 * Test: tests/tool-tune.sh, which provokes each.
 */
#include "advice/advice.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "kernel/os.h"
#include "machine/keep.h"
#include "show/show.h"
#include "tool.h"

#define NOTICED_PERCENT 1.0    /* of pages taken: less came from elsewhere by chance */
#define ELSEWHERE_PERCENT 10.0 /* of a node's owned pages */
#define ELSEWHERE_BYTES HFI_MIB
#define SLEEPING_PERCENT 3.0 /* of the arena */
#define SLEEPING_BYTES HFI_MIB
#define KEEP_BYTES 256

struct rule {
    const char *name, *headline;
    enum severity severity;
    bool per_node;
    bool (*applies)(const struct advice_view *view, unsigned node);
    void (*evidence)(const struct advice_view *view, unsigned node, char *text);
    void (*setting)(const struct advice_view *view, unsigned node, char *text);
};

#define SAY(text, ...) snprintf(text, ADVICE_TEXT, __VA_ARGS__)
#define SIZE(bytes) show_size((char[SHOW_SHORT]){ 0 }, bytes)
typedef unsigned long long count; /* for printf */

static const struct hf_inspect_node *figures(const struct advice_view *view, unsigned node)
{
    return &view->snapshot->nodes[node];
}

static bool is_named(const struct advice_view *view, unsigned node)
{
    return (figures(view, node)->flags & HF_INSPECT_NODE_GROWING) == 0 && figures(view, node)->total != 0;
}

static void set_arena(const struct advice_view *view, unsigned node, char *text)
{
    uint64_t memory = view->sample->machine.nodes[node].memory_bytes, bytes = advice_node_bytes(view, node);
    char arena[ADVICE_TEXT / 2];
    advice_arena(view, arena, sizeof arena);
    if (memory != 0 && bytes > memory)
        SAY(text, "%s, which needs more memory: node %u has %s", arena, figures(view, node)->id,
            SIZE(memory));
    else
        SAY(text, "%s", arena);
}

/* --- size --- */

static bool is_small(const struct advice_view *view, unsigned node)
{
    return advice_node_is_small(view, node) && (view->homes[node].away == 0 || view->homes[node].failed != 0);
}

static bool is_refusing(const struct advice_view *view, unsigned node)
{
    return is_small(view, node) && (view->homes[node].failed != 0 || advice_refused(view, node) != 0);
}

static bool is_nearly_full(const struct advice_view *view, unsigned node)
{
    return is_small(view, node) && !is_refusing(view, node);
}

static void tell_small(const struct advice_view *view, unsigned node, char *text)
{
    const struct advice_home *home = &view->homes[node];
    double most = sample_percent(figures(view, node)->high_water, figures(view, node)->total);
    int used = SAY(text, "at most %s of %s were in use, %.1f %%", SIZE(figures(view, node)->high_water),
                   SIZE(figures(view, node)->total), most);
    if (home->failed != 0)
        used += snprintf(text + used, ADVICE_TEXT - (size_t)used,
                         "; %llu calls of threads at home here failed (ENOMEM)", (count)home->failed);
    if (advice_refused(view, node) != 0)
        snprintf(text + used, ADVICE_TEXT - (size_t)used, "; %s in one piece did not fit",
                 SIZE(advice_refused(view, node)));
}

static const char *span_text(char *text, double seconds)
{
    if (seconds >= 2 * 86400)
        snprintf(text, 32, "%.1f days", seconds / 86400);
    else if (seconds >= 7200)
        snprintf(text, 32, "%.1f hours", seconds / 3600);
    else
        snprintf(text, 32, seconds >= 120 ? "%.0f minutes" : "%.0f seconds",
                 seconds >= 120 ? seconds / 60 : seconds);
    return text;
}

static void tell_large(const struct advice_view *view, unsigned node, char *text)
{
    SAY(text, "at most %s of %s were in use, %.1f %%, in %s", SIZE(figures(view, node)->high_water),
        SIZE(figures(view, node)->total),
        sample_percent(figures(view, node)->high_water, figures(view, node)->total),
        span_text((char[32]){ 0 }, view->life_s));
}

#define SOON_S 3600

static bool will_be_full_soon(const struct advice_view *view, unsigned node)
{
    double seconds = advice_full_in_s(view, node);
    return seconds != 0 && seconds < SOON_S;
}

static bool will_be_full(const struct advice_view *view, unsigned node)
{
    return advice_full_in_s(view, node) >= SOON_S;
}

static void tell_rising(const struct advice_view *view, unsigned node, char *text)
{
    uint64_t most = figures(view, node)->high_water, before = view->history->points[0].nodes[node].high_water;
    SAY(text,
        "the most that was in use rose all the while, from %s to %s in %s: at that rate %s are full in %s",
        SIZE(before), SIZE(most), span_text((char[32]){ 0 }, history_span_s(view->history)),
        SIZE(figures(view, node)->total), span_text((char[32]){ 0 }, advice_full_in_s(view, node)));
}

static void set_rising(const struct advice_view *view, unsigned node, char *text)
{
    double bytes_per_s;
    history_rises(view->history, node, &bytes_per_s);
    SAY(text,
        "nothing yet, if it is to end by itself; else find what grows: `holdfast stat --classes`, now and "
        "later.  A day takes %s more",
        SIZE((uint64_t)(bytes_per_s * 86400)));
}

static void tell_absurd(const struct advice_view *view, unsigned node, char *text)
{
    const struct advice_home *home = &view->homes[node];
    int used =
        SAY(text, "%llu calls failed (ENOMEM), though at most %s of %s were ever in use, %.1f %%",
            (count)home->failed, SIZE(figures(view, node)->high_water), SIZE(figures(view, node)->total),
            sample_percent(figures(view, node)->high_water, figures(view, node)->total));
    if (home->refused != 0)
        snprintf(text + used, ADVICE_TEXT - (size_t)used,
                 "; %s in one piece were asked for, and node %u has %s of memory", SIZE(home->refused),
                 figures(view, node)->id, SIZE(view->sample->machine.nodes[node].memory_bytes));
    else
        snprintf(text + used, ADVICE_TEXT - (size_t)used, ": they asked for more than the whole arena");
}

static void set_absurd(const struct advice_view *view, unsigned node, char *text)
{
    (void)view, (void)node;
    SAY(text, "HOLDFAST_ON_FULL=abort, in a test: the core shows who asks; an arena larger than the request, "
              "if it is meant");
}

static bool is_growing(const struct advice_view *view, unsigned node)
{
    return (figures(view, node)->flags & HF_INSPECT_NODE_GROWING) != 0 && view->life_s >= view->settled_s &&
           figures(view, node)->populated != 0;
}

static void tell_growing(const struct advice_view *view, unsigned node, char *text)
{
    SAY(text,
        "no size was named: %s were opened in steps, in the middle of the program's calls, and at most %s in "
        "use",
        SIZE(figures(view, node)->populated), SIZE(figures(view, node)->high_water));
}

/* --- backing --- */

static uint64_t missing_bytes(const struct advice_view *view, unsigned node)
{
    const struct hf_inspect_node *of = figures(view, node);
    uint64_t cut = of->asked > of->total ? of->asked - of->total : 0;
    uint64_t known = of->used + of->free;
    return cut + (of->populate_error != 0 && of->total > known ? of->total - known : 0);
}

static bool is_short(const struct advice_view *view, unsigned node)
{
    return is_named(view, node) && (figures(view, node)->flags & HF_INSPECT_NODE_POPULATING) == 0 &&
           missing_bytes(view, node) >= HF_INSPECT_PAGE_BYTES;
}

static void tell_short(const struct advice_view *view, unsigned node, char *text)
{
    const struct hf_inspect_node *of = figures(view, node);
    int used =
        SAY(text, "%s were asked for, %s are missing", SIZE(of->asked), SIZE(missing_bytes(view, node)));
    if (of->populate_error != 0)
        snprintf(text + used, ADVICE_TEXT - (size_t)used, " (%s)",
                 hfi_os_error_name((int)of->populate_error));
}

static void set_short(const struct advice_view *view, unsigned node, char *text)
{
    const struct hf_inspect_node *of = figures(view, node);
    uint64_t there = of->asked - hfi_min(missing_bytes(view, node), of->asked);
    char arena[64];
    if (view->snapshot->node_count == 1)
        snprintf(arena, sizeof arena, "%lluM", (count)(there / HFI_MIB));
    else
        snprintf(arena, sizeof arena, "%u:%lluM for this node", of->id, (count)(there / HFI_MIB));
    SAY(text,
        "HOLDFAST_ARENA=%s, or %s more memory for it (memory.max of the cgroup, MemoryMax=; "
        "HOLDFAST_STRICT=1 refuses to start short)",
        arena, SIZE(missing_bytes(view, node)));
}

/* Which pool should have held it: 0: of 2 MiB, 1: of 1 GiB; -1: none was wanted, or it did. */
static int wanted_pool(const struct advice_view *view, unsigned node)
{
    uint32_t asked = view->snapshot->header.asked_backing, got = figures(view, node)->backing;
    if (!is_named(view, node) || asked == HF_BACKING_THP || asked == HF_BACKING_4K || got <= HF_BACKING_1G)
        return -1;
    if (asked == HF_BACKING_1G)
        return 1;
    return got == HF_BACKING_THP || got == HF_BACKING_4K ? 0 : -1;
}

static bool pool_was_short(const struct advice_view *view, unsigned node)
{
    return wanted_pool(view, node) >= 0;
}

static uint64_t pool_needed(const struct advice_view *view, unsigned node, int pool)
{
    const struct hf_inspect_node *of = figures(view, node);
    uint64_t bytes = advice_node_is_small(view, node) || advice_node_is_large(view, node)
                       ? advice_node_bytes(view, node)
                       : hfi_max(of->asked, of->total);
    return hfi_divide_up(bytes, pool == 1 ? HFI_GIB : 2 * HFI_MIB);
}

static void tell_pool(const struct advice_view *view, unsigned node, char *text)
{
    int pool = wanted_pool(view, node);
    const struct machine_node *machine = &view->sample->machine.nodes[node];
    uint32_t asked = view->snapshot->header.asked_backing;
    SAY(text,
        "%s of arena stand on %s pages, %s was asked for; its pool of %s pages has %llu of %llu free, %llu "
        "are needed",
        SIZE(figures(view, node)->total), snapshot_backing_name(figures(view, node)->backing),
        asked == HF_BACKING_NONE ? "auto" : snapshot_backing_name(asked), pool == 1 ? "1g" : "2m",
        (count)machine->pool_free[pool], (count)machine->pool_pages[pool],
        (count)pool_needed(view, node, pool));
}

/* As `holdfast doctor` says it; pages of 1 GiB of several nodes are in one list there. */
static const char *keep_pool(const struct advice_view *view, unsigned node, char *text, const char *path,
                             uint64_t pages)
{
    char number[24];
    int pool = wanted_pool(view, node);
    bool alone = view->snapshot->node_count == 1;
    snprintf(number, sizeof number, "%llu", (count)pages);
    if (pool == 1)
        return alone ? keep_command_line(text, KEEP_BYTES, number) : "see `holdfast doctor`";
    return alone ? keep_sysctl_pool(text, KEEP_BYTES, pages)
                 : keep_node_pool(text, KEEP_BYTES, path, pages, figures(view, node)->id, "2m");
}

static void set_pool(const struct advice_view *view, unsigned node, char *text)
{
    int pool = wanted_pool(view, node);
    const struct machine_node *machine = &view->sample->machine.nodes[node];
    uint64_t needed = pool_needed(view, node, pool);
    uint64_t pages = machine->pool_pages[pool] + needed - hfi_min(needed, machine->pool_free[pool]);
    const char *folder = pool == 1 ? "hugepages-1048576kB" : "hugepages-2048kB";
    char path[96], keep[KEEP_BYTES];
    if (view->snapshot->node_count > 1)
        snprintf(path, sizeof path, "/sys/devices/system/node/node%u/hugepages/%s/nr_hugepages",
                 figures(view, node)->id, folder);
    else
        snprintf(path, sizeof path, "/sys/kernel/mm/hugepages/%s/nr_hugepages", folder);
    const char *for_good = keep_pool(view, node, keep, path, pages);
    if (machine->pool_free[pool] >= needed)
        SAY(text, "start the program again: the pool holds it now; for good: %s", for_good);
    else
        SAY(text, "echo %llu > %s before it starts; for good: %s", (count)pages, path, for_good);
}

static bool thp_is_off(const struct advice_view *view, unsigned node)
{
    return figures(view, node)->backing == HF_BACKING_4K &&
           view->snapshot->header.asked_backing != HF_BACKING_4K && view->sample->machine.thp == THP_NEVER;
}

static void tell_thp(const struct advice_view *view, unsigned node, char *text)
{
    SAY(text, "%s stand on %llu pages of 4 KiB, and transparent huge pages are set to never",
        SIZE(figures(view, node)->total), (count)(figures(view, node)->total / 4096));
}

static void set_thp(const struct advice_view *view, unsigned node, char *text)
{
    (void)view, (void)node;
    SAY(text, "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled before it starts; for "
              "good: " KEEP_THP);
}

static bool is_unbound(const struct advice_view *view, unsigned node)
{
    return view->snapshot->node_count > 1 && figures(view, node)->total != 0 &&
           (figures(view, node)->flags & HF_INSPECT_NODE_BOUND) == 0;
}

static void tell_unbound(const struct advice_view *view, unsigned node, char *text)
{
    SAY(text, "%s are not bound to the node: their pages may be on any of %u nodes",
        SIZE(figures(view, node)->total), view->snapshot->node_count);
}

static void set_unbound(const struct advice_view *view, unsigned node, char *text)
{
    (void)view, (void)node;
    SAY(text, "allow mbind(2): in a container --cap-add SYS_NICE, or its seccomp profile; `holdfast doctor` "
              "tries it (HF-D12)");
}

/* --- remote memory --- */

static bool is_remote(const struct advice_view *view, unsigned node)
{
    const struct advice_home *home = &view->homes[node];
    return home->away != 0 && sample_percent(home->away, home->taken) >= NOTICED_PERCENT;
}

static void tell_remote(const struct advice_view *view, unsigned node, char *text)
{
    const struct advice_home *home = &view->homes[node];
    SAY(text,
        "%.1f %% of what threads at home here took (%llu of %llu) came from other nodes, because this one "
        "was full (at "
        "most %.1f %% in use)",
        sample_percent(home->away, home->taken), (count)home->away, (count)home->taken,
        sample_percent(figures(view, node)->high_water, figures(view, node)->total));
}

static void set_remote(const struct advice_view *view, unsigned node, char *text)
{
    if (is_named(view, node))
        set_arena(view, node, text);
    else
        SAY(text, "a size for this node: HOLDFAST_ARENA=%u:%lluM,...", figures(view, node)->id,
            (count)(advice_node_bytes(view, node) / HFI_MIB));
}

static bool is_elsewhere(const struct advice_view *view, unsigned node)
{
    const struct sample_place *place = &view->sample->places[node];
    return view->snapshot->node_count > 1 && place->elsewhere_bytes >= ELSEWHERE_BYTES &&
           sample_percent(place->elsewhere_bytes, place->owned_bytes) >= ELSEWHERE_PERCENT && view->away == 0;
}

static void tell_elsewhere(const struct advice_view *view, unsigned node, char *text)
{
    const struct sample_place *place = &view->sample->places[node];
    uint32_t options = view->snapshot->header.options;
    SAY(text,
        "%s of this node's memory, %.1f %% of what threads own there, belong to threads that run on other "
        "nodes%s",
        SIZE(place->elsewhere_bytes), sample_percent(place->elsewhere_bytes, place->owned_bytes),
        options & HF_INSPECT_PLACE_INTERLEAVE ? ": HOLDFAST_PLACE=interleave spreads them"
        : options & HF_INSPECT_PLACE_NODE     ? ": HOLDFAST_PLACE=node:N puts them there"
                                              : ", and no node was full: the threads moved");
}

static void set_elsewhere(const struct advice_view *view, unsigned node, char *text)
{
    (void)node;
    if (view->snapshot->header.options & (HF_INSPECT_PLACE_INTERLEAVE | HF_INSPECT_PLACE_NODE))
        SAY(text, "HOLDFAST_PLACE=local");
    else
        SAY(text, "keep threads where their memory is: CPUAffinity= or NUMAPolicy= of systemd, numactl "
                  "--cpunodebind, or "
                  "pthread_setaffinity_np before a thread allocates");
}

/* --- threads, forks, rings --- */

static bool is_sleeping(const struct advice_view *view, unsigned node)
{
    (void)node;
    return view->sleeping_bytes >= SLEEPING_BYTES &&
           sample_percent(view->sleeping_bytes, view->total_bytes) >= SLEEPING_PERCENT;
}

static void tell_sleeping(const struct advice_view *view, unsigned node, char *text)
{
    (void)node;
    SAY(text,
        "%llu threads that asked for nothing in the last %.0f s or more hold %s in no block, %.1f %% of the "
        "arena; most of "
        "it %s, for %.0f s",
        (count)view->sleepers, ADVICE_SLEEP_S, SIZE(view->sleeping_bytes),
        sample_percent(view->sleeping_bytes, view->total_bytes),
        view->sleeper[0] == 0 ? "a thread without a name" : view->sleeper, view->sleep_s);
}

static void set_sleeping(const struct advice_view *view, unsigned node, char *text)
{
    (void)view, (void)node;
    SAY(text, "call hf_thread_idle() before such a thread waits (holdfast(3))");
}

static uint64_t pool_bytes(const struct advice_view *view)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < view->snapshot->node_count; i++)
        if (figures(view, i)->backing == HF_BACKING_1G || figures(view, i)->backing == HF_BACKING_2M)
            bytes += figures(view, i)->total;
    return bytes;
}

static bool has_forked(const struct advice_view *view, unsigned node)
{
    (void)node;
    return view->snapshot->header.forks != 0 && pool_bytes(view) != 0 &&
           (view->snapshot->header.options & HF_INSPECT_DONTFORK) == 0;
}

static void tell_forked(const struct advice_view *view, unsigned node, char *text)
{
    (void)node;
    count forks = view->snapshot->header.forks;
    SAY(text,
        "%llu fork%s with %s on huge pages of a pool: parent and child copy a whole page at each first write "
        "after a fork, "
        "and the child is killed where the pool is empty",
        forks, forks == 1 ? "" : "s", SIZE(pool_bytes(view)));
}

static void set_forked(const struct advice_view *view, unsigned node, char *text)
{
    (void)node;
    SAY(text,
        "HOLDFAST_BACKING=thp if the children work on, or %s spare in the pool for each of them (`holdfast "
        "doctor --forks`); "
        "posix_spawn(3) if they only execute programs",
        SIZE(pool_bytes(view)));
}

static bool ring_was_refused(const struct advice_view *view, unsigned node)
{
    (void)node;
    return view->refused_errno == ENOMEM;
}

static void tell_ring(const struct advice_view *view, unsigned node, char *text)
{
    uint64_t limit = view->sample->machine.memlock_bytes;
    (void)node;
    SAY(text, "registering %s with io_uring was refused (ENOMEM); the process may lock %s",
        SIZE(view->refused_bytes), limit == UINT64_MAX ? "any amount" : SIZE(limit));
}

/* Beside the arena's pages the kernel counts the ring's own and its tables of pages. */
static void set_ring(const struct advice_view *view, unsigned node, char *text)
{
    uint64_t pages_bytes = hfi_min(view->refused_bytes, UINT64_MAX / 4) +
                           hfi_min(view->snapshot->header.registered, UINT64_MAX / 4);
    uint64_t megabytes = hfi_divide_up(pages_bytes + pages_bytes / 64 + HFI_MIB, HFI_MIB);
    (void)node;
    int used =
        SAY(text, "LimitMEMLOCK=%lluM (systemd), or `ulimit -l %llu`: of all rings of the user together",
            (count)megabytes, (count)(megabytes * 1024));
    if (view->snapshot->header.registered != 0)
        snprintf(text + used, ADVICE_TEXT - (size_t)used,
                 "; %s are pinned already, counted once: hf_uring_register_clone pins nothing again",
                 SIZE(view->snapshot->header.registered));
}

/* --- the table --- */

static const struct rule rules[] = {
    { "backing-short", "memory is missing", SEVERITY_FAULT, true, is_short, tell_short, set_short },
    { "arena-too-small", "too little room", SEVERITY_FAULT, true, is_refusing, tell_small, set_arena },
    { "request-too-large", "requests larger than the arena", SEVERITY_FAULT, true, advice_request_was_large,
      tell_absurd, set_absurd },
    { "node-full", "remote fallback, the node is too small", SEVERITY_FAULT, true, is_remote, tell_remote,
      set_remote },
    { "io-uring-memlock", "registration with io_uring refused", SEVERITY_FAULT, false, ring_was_refused,
      tell_ring, set_ring },
    { "arena-too-small", "little room left", SEVERITY_COST, true, is_nearly_full, tell_small, set_arena },
    { "node-not-bound", "memory not bound to its node", SEVERITY_COST, true, is_unbound, tell_unbound,
      set_unbound },
    { "huge-page-pool", "smaller pages than asked for", SEVERITY_COST, true, pool_was_short, tell_pool,
      set_pool },
    { "arena-fills-up", "full within the hour", SEVERITY_COST, true, will_be_full_soon, tell_rising,
      set_rising },
    { "transparent-huge-pages", "no transparent huge pages", SEVERITY_COST, true, thp_is_off, tell_thp,
      set_thp },
    { "threads-elsewhere", "threads far from their memory", SEVERITY_COST, true, is_elsewhere, tell_elsewhere,
      set_elsewhere },
    { "fork-on-huge-pages", "forks copy huge pages", SEVERITY_COST, false, has_forked, tell_forked,
      set_forked },
    { "arena-fills-up", "use is rising", SEVERITY_HINT, true, will_be_full, tell_rising, set_rising },
    { "growing-arena", "no size is named", SEVERITY_HINT, true, is_growing, tell_growing, set_arena },
    { "idle-threads", "memory held by sleeping threads", SEVERITY_HINT, false, is_sleeping, tell_sleeping,
      set_sleeping },
    { "arena-too-large", "more held than needed", SEVERITY_HINT, true, advice_node_is_large, tell_large,
      set_arena },
};

const char *advice_severity_name(enum severity severity)
{
    static const char *const names[] = { "fault", "cost", "hint" };
    return names[severity];
}

unsigned advice_give(const struct history *history, double settled_s, struct advice *advice)
{
    static struct advice_view view;
    unsigned given = 0;
    advice_look(&view, history, settled_s);
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        for (unsigned node = 0;
             node < (rules[i].per_node ? view.snapshot->node_count : 1) && given < ADVICE_MAX; node++) {
            if (!rules[i].applies(&view, node))
                continue;
            struct advice *to = &advice[given++];
            *to = (struct advice){
                .rule = rules[i].name,
                .headline = rules[i].headline,
                .severity = rules[i].severity,
                .node = rules[i].per_node ? (int)node : -1,
            };
            rules[i].evidence(&view, node, to->evidence);
            rules[i].setting(&view, node, to->setting);
        }
    return given;
}
