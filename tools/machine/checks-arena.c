/*
 * checks-arena: see checks.h: what is asked for against the memory that is free.
 *
 * Test: tests/tool.sh, tests/tool-plan.sh.
 */
#include <stdlib.h>
#include <string.h>

#include "kernel/cgroup.h"
#include "kernel/machine.h"
#include "machine/checks.h"

void checks_options(struct examination *examination)
{
    const struct options *options = &examination->outlook.options;
    bool meant = examination->outlook.named || options->strict || getenv("HOLDFAST_ARENA") != NULL;
    struct check check = { "HF-D01", "options",
                           options->errors == 0 ? VERDICT_OK
                           : meant              ? VERDICT_FAIL
                                                : VERDICT_WARN,
                           .mend = "correct the values named above, see `holdfast help environment`" };
    if (options->errors == 0)
        checks_report(examination, &check, "all values of HOLDFAST_* are understood");
    else
        checks_report(examination, &check, "%u value%s of HOLDFAST_* refused", options->errors,
                      options->errors == 1 ? "" : "s");
}

static void check_node_memory(struct examination *examination, unsigned index)
{
    const struct outlook *outlook = &examination->outlook;
    enum option_backing backing;
    const struct reserved_node *part = outlook_part(outlook, index, &backing);
    char have[16], want[16], text[32];
    if (part == NULL || backing < BACKING_THP)
        return;
    uint64_t left = hfi_os_node_available_bytes(part->id);
    uint64_t lack = checks_missing(part->bytes, hfi_plan_most(left));
    struct check check = { "HF-D04",
                           "memory",
                           lack == 0 ? VERDICT_OK : VERDICT_FAIL,
                           &outlook->topology.nodes[index],
                           true,
                           part->bytes,
                           left,
                           .mend = "lower HOLDFAST_ARENA for this node, or spread it over more nodes" };
    checks_report(examination, &check, "node %u: %s free, the arena takes %s%s", part->id,
                  checks_size(have, left), checks_size(want, part->bytes), checks_too_much(text, lack));
}

/* As src/arena/reserve-fit.c: memory beside the pools is cut down where it does not fit into what is
 * free. */
void checks_memory(struct examination *examination)
{
    const struct outlook *outlook = &examination->outlook;
    enum os_bound bound = OS_BOUND_MACHINE;
    char have[16], want[16], text[32];
    bool populates = outlook->named && outlook->options.prefault != PREFAULT_NONE;
    uint64_t available = hfi_os_available_bytes(&bound);
    size_t want_bytes = outlook->named ? outlook->small_bytes : 0;
    bool in_cgroup = bound == OS_BOUND_CGROUP;
    uint64_t lack = populates ? checks_missing(want_bytes, hfi_plan_most(available)) : 0;
    struct check check = { "HF-D04",
                           "memory",
                           lack == 0 ? VERDICT_OK : VERDICT_FAIL,
                           NULL,
                           true,
                           want_bytes,
                           available,
                           .mend = in_cgroup
                                     ? "lower HOLDFAST_ARENA, or raise the cgroup's memory limit (MemoryMax=)"
                                     : "lower HOLDFAST_ARENA, or stop what else uses memory" };
    if (!outlook->named)
        checks_report(examination, &check, "%s free%s", checks_size(have, available),
                      in_cgroup ? " by the cgroup's limit" : "");
    else
        checks_report(examination, &check, "%s free%s, the arena takes %s beside the pools%s",
                      checks_size(have, available), in_cgroup ? " by the cgroup's limit" : "",
                      checks_size(want, want_bytes), checks_too_much(text, lack));
    for (unsigned i = 0; i < outlook->topology.node_count && outlook->topology.node_count > 1 && populates;
         i++)
        check_node_memory(examination, i);
}

void checks_cgroup(struct examination *examination)
{
    const struct outlook *outlook = &examination->outlook;
    uint64_t limit = 0, used = 0;
    char limit_text[16], used_text[16], want[16], text[32];
    struct check check = { "HF-D05", "cgroup",
                           .mend = "raise memory.max (systemd: MemoryMax=), or lower HOLDFAST_ARENA" };
    if (!hfi_os_cgroup_limit(&limit, &used)) {
        checks_report(examination, &check, "no memory limit");
        return;
    }
    check.counted = true;
    check.need = outlook->named ? outlook_beside_pools(outlook) : 0;
    check.have = checks_missing(limit, used);
    check.verdict = check.need <= check.have ? VERDICT_OK : VERDICT_FAIL;
    checks_report(examination, &check, "limit %s, %s used, the arena takes %s%s",
                  checks_size(limit_text, limit), checks_size(used_text, used), checks_size(want, check.need),
                  checks_too_much(text, checks_missing(check.need, check.have)));
}

/* What stands when all is done. */
void checks_result(struct examination *examination)
{
    const struct outlook *outlook = &examination->outlook;
    char size[16];
    enum option_backing asked = outlook->options.backing, backing = BACKING_AUTO;
    bool degraded = examination->failed != 0;
    for (unsigned i = 0; i < outlook->topology.node_count && outlook->named; i++) {
        const struct reserved_node *part = outlook_part(outlook, i, &backing);
        struct check check = { .id = "HF-D16",
                               .name = "arena",
                               .verdict = degraded ? VERDICT_FAIL : VERDICT_OK,
                               .node = &outlook->topology.nodes[i] };
        if (part != NULL)
            checks_report(examination, &check, "node %u: %s would stand on %s pages%s", part->id,
                          checks_size(size, part->bytes), hfi_backing_name(backing),
                          degraded ? ", if at all" : "");
    }
    if (outlook->named)
        return;
    bool misplaced = asked == BACKING_1G || asked == BACKING_2M;
    struct check check = { "HF-D16", "arena", misplaced ? VERDICT_WARN : VERDICT_OK,
                           .mend = "name a size with --arena or HOLDFAST_ARENA" };
    checks_report(examination, &check, "no size named: an arena that grows%s%s",
                  misplaced ? ", which cannot have huge pages of " : "",
                  misplaced ? hfi_backing_name(asked) : "");
}
