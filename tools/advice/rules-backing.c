/*
 * rules-backing: see rules.h: memory that is missing, on small pages, or not bound.
 *
 * Test: tests/tool-tune.sh, which provokes each.
 */
#include "advice/rules.h"
#include "kernel/os.h"
#include "machine/keep.h"

#define KEEP_BYTES 256

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

const struct rule rule_memory_missing = {
    .name = "backing-short",
    .headline = "memory is missing",
    .severity = SEVERITY_FAULT,
    .per_node = true,
    .applies = is_short,
    .evidence = tell_short,
    .setting = set_short,
};

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

const struct rule rule_pool_short = {
    .name = "huge-page-pool",
    .headline = "smaller pages than asked for",
    .severity = SEVERITY_COST,
    .per_node = true,
    .applies = pool_was_short,
    .evidence = tell_pool,
    .setting = set_pool,
};

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

const struct rule rule_no_thp = {
    .name = "transparent-huge-pages",
    .headline = "no transparent huge pages",
    .severity = SEVERITY_COST,
    .per_node = true,
    .applies = thp_is_off,
    .evidence = tell_thp,
    .setting = set_thp,
};

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

const struct rule rule_not_bound = {
    .name = "node-not-bound",
    .headline = "memory not bound to its node",
    .severity = SEVERITY_COST,
    .per_node = true,
    .applies = is_unbound,
    .evidence = tell_unbound,
    .setting = set_unbound,
};
