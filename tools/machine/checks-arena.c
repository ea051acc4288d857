/*
 * checks-arena: see checks.h: the sizes that are asked for against what there is.
 *
 * Test: tests/tool.sh, tests/tool-plan.sh.
 */
#include <stdlib.h>
#include <string.h>

#include "machine/checks.h"
#include "kernel/os.h"
#include "kernel/files.h"
#include "kernel/cgroup.h"
#include "kernel/machine.h"
#include "reader/procfs.h"

#define CAPABILITY_IPC_LOCK 14
#define MEND_BYTES 256

static uint64_t missing(uint64_t need, uint64_t have)
{
    return need > have ? need - have : 0;
}

/* "; 3 GiB too much", or nothing. */
static const char *too_much(char text[32], uint64_t bytes)
{
    char size[16];
    text[0] = 0;
    if (bytes != 0)
        snprintf(text, 32, "; %s too much", checks_size(size, bytes));
    return text;
}

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

/* --- nodes --- */

static const struct topology_node *find_node(const struct topology *topology, unsigned id)
{
    for (unsigned i = 0; i < topology->node_count; i++)
        if (topology->nodes[i].id == id)
            return &topology->nodes[i];
    return NULL;
}

/* Nodes that the options name and this process cannot have. */
static void check_named_nodes(struct examination *examination)
{
    const struct options *options = &examination->outlook.options;
    for (unsigned id = 0; id < HFI_MAX_NODES; id++) {
        const struct topology_node *node = find_node(&examination->outlook.topology, id);
        bool listed = options->nodes != ~(uint64_t)0 && (options->nodes >> id & 1) != 0;
        bool sized = options->arena == ARENA_PER_NODE && options->arena_node_bytes[id] != 0;
        bool placed = options->place == PLACE_NODE && options->place_node == id;
        struct check check = { "HF-D03", "topology", checks_fail_if_named(examination), node,
                               .mend =
                                   "see `numactl -H` and the cgroup's cpuset.mems, correct the variable" };
        if ((listed || sized || placed) && (node == NULL || !hfi_node_is_chosen(options, node)))
            checks_report(examination, &check, "node %u is named by %s, and %s", id,
                          sized    ? "HOLDFAST_ARENA"
                          : placed ? "HOLDFAST_PLACE"
                                   : "HOLDFAST_NODES",
                          node != NULL                             ? "has no arena by HOLDFAST_NODES"
                          : examination->outlook.described != NULL ? "is not there"
                                                                   : "has no memory this process may use");
    }
}

/* What a node can hold of an arena at most, its own maps included. */
static void check_node(struct examination *examination, unsigned index)
{
    const struct outlook *outlook = &examination->outlook;
    const struct topology_node *node = &outlook->topology.nodes[index];
    enum option_backing rung = BACKING_AUTO;
    const struct reserved_node *part = outlook_part(outlook, index, &rung);
    uint64_t memory = outlook_node_memory(outlook, node);
    const char *noun = hfi_topology_memory_name(node->memory);
    char have[16], want[16], lack[16];
    struct check check = { "HF-D03", "topology", .node = node, .counted = part != NULL, .have = memory };
    if (part == NULL) {
        checks_report(examination, &check, "node %u: %s of %s, no arena", node->id, checks_size(have, memory),
                      noun);
        return;
    }
    check.need = outlook->named ? part->bytes + hfi_plan_maps_bytes(part->bytes) : part->bytes;
    bool cut = outlook->described != NULL && rung >= BACKING_THP && part->bytes > hfi_plan_most(memory);
    if (outlook->named && part->asked_bytes < HFI_NODE_BYTES_MIN) {
        check.verdict = VERDICT_FAIL;
        check.need = part->asked_bytes;
        check.mend = "raise HOLDFAST_ARENA to 4M at least for this node";
        checks_report(examination, &check, "node %u: an arena of %s is too small", node->id,
                      checks_size(want, part->asked_bytes));
    } else if (outlook->named && check.need > memory) {
        check.verdict = VERDICT_FAIL;
        check.mend = "lower HOLDFAST_ARENA for this node";
        checks_report(examination, &check, "node %u: %s for the arena and its maps, of %s of %s; %s missing",
                      node->id, checks_size(want, check.need), checks_size(have, memory), noun,
                      checks_size(lack, missing(check.need, memory)));
    } else if (outlook->named && cut) {
        check.verdict = VERDICT_FAIL;
        check.mend = "lower HOLDFAST_ARENA for this node, or have a pool of huge pages";
        checks_report(examination, &check, "node %u: an arena of %s on %s pages would be cut to %s of %s",
                      node->id, checks_size(want, part->bytes), hfi_backing_name(rung),
                      checks_size(lack, hfi_plan_cut(memory)), checks_size(have, memory));
    } else {
        checks_report(examination, &check, "node %u: %s of %s, arena %s%s", node->id,
                      checks_size(have, memory), noun, outlook->named ? "" : "up to ",
                      checks_size(want, part->bytes));
    }
}

void checks_topology(struct examination *examination)
{
    const struct outlook *outlook = &examination->outlook;
    const struct topology *topology = &outlook->topology;
    struct check check = { "HF-D03", "topology", checks_fail_if_named(examination),
                           .mend = "check that /sys is mounted" };
    if (outlook->error != 0)
        checks_report(examination, &check, "hwloc gave no answer (%s)", strerror(-outlook->error));
    for (unsigned i = 0; i < topology->node_count; i++)
        check_node(examination, i);
    check_named_nodes(examination);
    check.mend = "name the nodes to use in HOLDFAST_NODES";
    if (topology->left_out_count != 0 && outlook->options.nodes == ~(uint64_t)0)
        checks_report(examination, &check, "nodes numbered above %d cannot be used: %u, from node %u on",
                      HFI_MAX_NODES - 1, topology->left_out_count, topology->left_out_first);
    check.verdict = VERDICT_FAIL;
    check.mend = "name nodes that there are in HOLDFAST_NODES and HOLDFAST_ARENA";
    if (outlook->reservation.node_count == 0)
        checks_report(examination, &check, "the options leave no node with memory");
}

/* --- free memory --- */

/* As src/arena/reserve.c: memory beside the pools is cut down where it does not fit into what is
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
    uint64_t lack = populates ? missing(want_bytes, hfi_plan_most(available)) : 0;
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
                      checks_size(want, want_bytes), too_much(text, lack));
    for (unsigned i = 0; i < outlook->topology.node_count && outlook->topology.node_count > 1 && populates;
         i++) {
        enum option_backing rung;
        const struct reserved_node *part = outlook_part(outlook, i, &rung);
        if (part == NULL || rung < BACKING_THP)
            continue;
        uint64_t left = hfi_os_node_available_bytes(part->id);
        lack = missing(part->bytes, hfi_plan_most(left));
        check = (struct check){ "HF-D04",
                                "memory",
                                lack == 0 ? VERDICT_OK : VERDICT_FAIL,
                                &outlook->topology.nodes[i],
                                true,
                                part->bytes,
                                left,
                                .mend = "lower HOLDFAST_ARENA for this node, or spread it over more nodes" };
        checks_report(examination, &check, "node %u: %s free, the arena takes %s%s", part->id,
                      checks_size(have, left), checks_size(want, part->bytes), too_much(text, lack));
    }
}

/* What is populated beside the pools: counted by cgroups, locked, committed. */
static size_t beside_pools(const struct outlook *outlook)
{
    return outlook->small_bytes + outlook->owners_bytes + outlook->table_bytes;
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
    check.need = outlook->named ? beside_pools(outlook) : 0;
    check.have = missing(limit, used);
    check.verdict = check.need <= check.have ? VERDICT_OK : VERDICT_FAIL;
    checks_report(examination, &check, "limit %s, %s used, the arena takes %s%s",
                  checks_size(limit_text, limit), checks_size(used_text, used), checks_size(want, check.need),
                  too_much(text, missing(check.need, check.have)));
}

/* --- huge pages --- */

#define SPARE_BYTES 128

static const char *bounded_text(const struct os_huge_pool *pool)
{
    return pool->bounded ? " by the cgroup's limit" : "";
}

#define TAKEN_BYTES 112

/* Of a pool that is short: the program itself may hold what it is checked for once more.  Pages that
 * the kernel may still make (nr_overcommit_hugepages) count as free, so more may be taken. */
static const char *taken_text(char text[TAKEN_BYTES], const struct os_huge_pool *pool)
{
    uint64_t taken = missing(pool->total_pages, pool->free_pages);
    if (taken == 0 || pool->bounded)
        return "";
    snprintf(text, TAKEN_BYTES,
             "; at least %llu of the pool are taken: a program that runs already is counted again",
             (unsigned long long)taken);
    return text;
}

/* After a fork, what parent or child writes to is copied into spare pages of the pool. */
static const char *spare_text(char text[SPARE_BYTES], const struct outlook *outlook, uint64_t needed,
                              uint64_t spare)
{
    unsigned long long enough = spare / needed;
    if (outlook->options.fork == FORK_DONTFORK)
        return "";
    if (enough == 0)
        snprintf(text, SPARE_BYTES,
                 "; %llu spare for what a fork copies: a child is killed when they are used up",
                 (unsigned long long)spare);
    else
        snprintf(text, SPARE_BYTES, "; %llu spare for what a fork copies, enough for %llu child%s at a time",
                 (unsigned long long)spare, enough, enough == 1 ? "" : "ren");
    return text;
}

/* One pool of one node.  Short is a failure where this size was asked for, else a hint. */
static void check_pool(struct examination *examination, unsigned index, enum option_backing rung)
{
    const struct outlook *outlook = &examination->outlook;
    const struct topology_node *node = &outlook->topology.nodes[index];
    enum option_backing stands = BACKING_AUTO;
    const struct reserved_node *part = outlook_part(outlook, index, &stands);
    struct os_huge_pool pool;
    char mend[MEND_BYTES], spare[SPARE_BYTES], keep[CHECKS_KEEP_BYTES], taken[TAKEN_BYTES];
    const char *name = hfi_backing_name(rung);
    uint64_t needed = part != NULL ? outlook_pages(outlook, part, rung) : 0;
    bool asked = outlook->options.backing == rung && needed != 0;
    struct check check = { "HF-D06",        "huge pages",   .node = node,
                           .counted = true, .need = needed, .page_bytes = hfi_backing_page_bytes(rung),
                           .mend = mend };
    bool found = outlook_pool(outlook, node->id, rung, &pool);
    if (rung == BACKING_1G && needed == 0 && (!found || pool.total_pages == 0))
        return; /* hardly anybody has them */
    if (!found) {
        check.verdict = asked ? VERDICT_FAIL : VERDICT_OK;
        check.mend = "boot with hugepagesz=1G, or name another HOLDFAST_BACKING";
        checks_report(examination, &check, "node %u: this machine has no pages of %s", node->id, name);
        return;
    }
    check.have = pool.free_pages;
    uint64_t lack = missing(needed, pool.free_pages), with_copies = needed + outlook_copies(outlook, needed);
    outlook_pool_mend(mend, sizeof mend, &pool, with_copies);
    bool possible = part == NULL || part->bytes <= outlook_node_memory(outlook, node);
    if (!possible)
        check.mend = "lower HOLDFAST_ARENA for this node";
    else if (!pool.bounded)
        check.keep = checks_keep_pool(keep, outlook, node, rung,
                                      pool.total_pages + missing(with_copies, pool.free_pages));
    if (lack != 0 && stands > rung) /* of 1 GiB pages auto does without a word */
        check.verdict = asked ? VERDICT_FAIL : rung == BACKING_2M && possible ? VERDICT_WARN : VERDICT_OK;
    if (needed == 0)
        checks_report(examination, &check, "node %u: %llu pages of %s, %llu free; none needed", node->id,
                      (unsigned long long)pool.total_pages, name, (unsigned long long)pool.free_pages);
    else if (lack != 0 && check.verdict == VERDICT_OK)
        checks_report(examination, &check,
                      "node %u: %llu pages of %s free, %llu would be taken; the arena has pages of %s",
                      node->id, (unsigned long long)pool.free_pages, name, (unsigned long long)needed,
                      hfi_backing_name(stands));
    else if (lack == 0)
        checks_report(examination, &check, "node %u: %llu pages of %s needed, %llu free%s%s", node->id,
                      (unsigned long long)needed, name, (unsigned long long)pool.free_pages,
                      bounded_text(&pool), spare_text(spare, outlook, needed, pool.free_pages - needed));
    else
        checks_report(examination, &check, "node %u: %llu pages of %s needed, %llu free%s, %llu missing%s",
                      node->id, (unsigned long long)needed, name, (unsigned long long)pool.free_pages,
                      bounded_text(&pool), (unsigned long long)lack, taken_text(taken, &pool));
}

void checks_pools(struct examination *examination)
{
    for (unsigned i = 0; i < examination->outlook.topology.node_count; i++) {
        check_pool(examination, i, BACKING_1G);
        check_pool(examination, i, BACKING_2M);
    }
}

/* --- what forked children copy --- */

static const char *children(const struct outlook *outlook)
{
    return outlook->forks == 1 ? "forked child copies" : "forked children copy";
}

/* Of the part on the topology's node of that index, where it is on huge pages of a pool. */
static void check_spare(struct examination *examination, unsigned index)
{
    const struct outlook *outlook = &examination->outlook;
    const struct topology_node *node = &outlook->topology.nodes[index];
    enum option_backing rung = BACKING_AUTO;
    const struct reserved_node *part = outlook_part(outlook, index, &rung);
    struct os_huge_pool pool;
    char mend[MEND_BYTES], keep[CHECKS_KEEP_BYTES], text[SPARE_BYTES], taken[TAKEN_BYTES];
    if (part == NULL || rung > BACKING_2M || !outlook_pool(outlook, node->id, rung, &pool))
        return;
    uint64_t needed = outlook_pages(outlook, part, rung), copies = outlook_copies(outlook, needed);
    uint64_t spare = missing(pool.free_pages, needed), lack = missing(copies, spare);
    snprintf(text, sizeof text, "; %llu missing, and a child that finds none is killed",
             (unsigned long long)lack);
    struct check check = { "HF-D18",
                           "forks",
                           lack == 0 ? VERDICT_OK : VERDICT_FAIL,
                           node,
                           true,
                           copies,
                           spare,
                           hfi_backing_page_bytes(rung),
                           .mend = outlook_pool_mend(mend, sizeof mend, &pool, needed + copies),
                           .keep = pool.bounded
                                     ? NULL
                                     : checks_keep_pool(keep, outlook, node, rung, pool.total_pages + lack) };
    checks_report(examination, &check, "node %u: %u %s up to %llu pages of %s, %llu spare%s%s", node->id,
                  outlook->forks, children(outlook), (unsigned long long)copies, hfi_backing_name(rung),
                  (unsigned long long)spare, lack == 0 ? "" : text,
                  lack == 0 || pool.free_pages < needed ? "" : taken_text(taken, &pool)); /* said before */
}

void checks_forks(struct examination *examination)
{
    const struct outlook *outlook = &examination->outlook;
    enum os_bound bound = OS_BOUND_MACHINE;
    char want[16], have[16], text[32];
    if (outlook->forks == 0 || !outlook->named || outlook->options.fork == FORK_DONTFORK)
        return;
    for (unsigned i = 0; i < outlook->reservation.node_count; i++)
        if (outlook->options.backing != BACKING_AUTO && outlook->rung[i] > outlook->options.backing)
            return; /* not what was asked for, which a check before has said */
    for (unsigned i = 0; i < outlook->topology.node_count; i++)
        check_spare(examination, i);
    if (outlook->small_bytes == 0)
        return;
    uint64_t copies = outlook_copies(outlook, outlook->small_bytes);
    uint64_t left = missing(hfi_os_available_bytes(&bound), outlook->small_bytes),
             lack = missing(copies, left);
    struct check check = { "HF-D18",
                           "forks",
                           lack == 0 ? VERDICT_OK : VERDICT_FAIL,
                           NULL,
                           true,
                           copies,
                           left,
                           .mend = "lower HOLDFAST_ARENA, or the number of children" };
    checks_report(examination, &check, "%u %s up to %s, %s left beside the arena%s%s", outlook->forks,
                  children(outlook), checks_size(want, copies), checks_size(have, left),
                  bound == OS_BOUND_CGROUP ? " by the cgroup's limit" : "", too_much(text, lack));
}

/* --- limits --- */

/* LOCK_AUTO is content with a refusal where nothing can be swapped. */
void checks_memlock(struct examination *examination)
{
    const struct outlook *outlook = &examination->outlook;
    char have[16], want[16];
    enum option_lock lock = outlook->options.lock;
    bool wanted = lock == LOCK_YES ||
                  (lock == LOCK_AUTO && outlook->named && outlook->options.prefault != PREFAULT_NONE);
    uint64_t need = wanted ? beside_pools(outlook) : 0, limit = hfi_os_lock_limit();
    bool privileged = checks_has_capability(CAPABILITY_IPC_LOCK);
    bool enough = privileged || need <= limit;
    bool matters = lock == LOCK_YES || hfi_os_has_swap();
    char keep[CHECKS_KEEP_BYTES];
    enum verdict verdict = enough || !matters ? VERDICT_OK : checks_fail_if_named(examination);
    struct check check = { "HF-D08",
                           "memory lock",
                           verdict,
                           NULL,
                           true,
                           need,
                           limit,
                           .mend = "ulimit -l unlimited, or HOLDFAST_LOCK=no",
                           .keep = checks_keep_limits(keep, checks_no_memlock) };
    checks_report(examination, &check, "limit %s%s, the arena locks %s%s", checks_size(have, limit),
                  privileged ? " but CAP_IPC_LOCK is held" : "", checks_size(want, need),
                  enough || matters ? "" : "; not needed without swap");
}

/* What is registered counts whole, huge pages of a pool too, and beside what is locked. */
void checks_registering(struct examination *examination)
{
    const struct outlook *outlook = &examination->outlook;
    char have[16], want[16];
    uint64_t limit = hfi_os_lock_limit();
    bool privileged = checks_has_capability(CAPABILITY_IPC_LOCK);
    char keep[CHECKS_KEEP_BYTES];
    struct check check = { "HF-D17", "registering", .mend = "ulimit -l unlimited, or grant CAP_IPC_LOCK",
                           .keep = checks_keep_limits(keep, checks_no_memlock) };
    if (!outlook->named) {
        checks_report(examination, &check, "with io_uring: only an arena of a named size can be");
        return;
    }
    check.counted = true;
    check.need = outlook->total_bytes;
    check.have = limit;
    check.verdict = privileged || check.need <= limit ? VERDICT_OK : VERDICT_WARN;
    checks_report(examination, &check, "with io_uring: %zu window%s %s, limit %s%s", outlook->windows,
                  outlook->windows == 1 ? " pins" : "s pin", checks_size(want, check.need),
                  checks_size(have, limit), privileged ? " but CAP_IPC_LOCK is held" : "");
}

/* Mode 2 counts private writable memory when it is mapped, and MAP_NORESERVE does not exempt it; a
 * growing arena is made writable step by step. */
void checks_overcommit(struct examination *examination)
{
    const struct outlook *outlook = &examination->outlook;
    uint64_t mode = 0, limit = 0, committed = 0;
    char have[16], want[16];
    struct check check = {
        "HF-D10", "overcommit", .mend = "sysctl vm.overcommit_memory=0, or raise vm.overcommit_ratio",
        .keep = "echo 'vm.overcommit_memory = 0' > /etc/sysctl.d/60-holdfast-overcommit.conf"
    };
    hfi_os_read_number("/proc/sys/vm/overcommit_memory", &mode);
    if (mode != 2 || !procfs_bytes("/proc/meminfo", "CommitLimit:", &limit) ||
        !procfs_bytes("/proc/meminfo", "Committed_AS:", &committed)) {
        checks_report(examination, &check, "vm.overcommit_memory is %llu", (unsigned long long)mode);
        return;
    }
    check.counted = true;
    check.need = beside_pools(outlook);
    check.have = missing(limit, committed);
    check.verdict = check.need <= check.have ? VERDICT_OK : checks_fail_if_named(examination);
    checks_report(examination, &check, "vm.overcommit_memory is 2: %s may be committed, the arena %s %s",
                  checks_size(have, check.have), outlook->named ? "takes" : "may grow to",
                  checks_size(want, check.need));
}

static const char *const space_limits[][2] = { { "LimitAS", "as" }, { "LimitDATA", "data" }, { NULL, NULL } };

/* The least that src/arena/reserve.c makes do with; of a described machine, the bound that holds
 * everywhere. */
void checks_space(struct examination *examination)
{
    const struct outlook *outlook = &examination->outlook;
    char have[16], want[16], text[32], keep[CHECKS_KEEP_BYTES];
    struct check check = { "HF-D11", "address space", .counted = true, .need = outlook->space_least_bytes,
                           .have = outlook->described != NULL ? UINT64_MAX : hfi_os_address_room() };
    if (outlook->capped && outlook->named) {
        check.verdict = VERDICT_FAIL;
        check.need = outlook->asked_bytes;
        check.have = outlook->total_bytes;
        check.mend = "lower HOLDFAST_ARENA";
        checks_report(examination, &check, "%s are more than an arena can be; %s could be had",
                      checks_size(want, check.need), checks_size(have, check.have));
        return;
    }
    check.verdict = check.need <= check.have ? VERDICT_OK : checks_fail_if_named(examination);
    check.mend = "ulimit -v unlimited; ulimit -d unlimited";
    check.keep = checks_keep_limits(keep, space_limits);
    checks_report(examination, &check, "%s, the arena takes %s of addresses%s",
                  check.have == UINT64_MAX ? "no limit" : checks_size(have, check.have),
                  checks_size(want, check.need), too_much(text, missing(check.need, check.have)));
}

/* What stands when all is done. */
void checks_result(struct examination *examination)
{
    const struct outlook *outlook = &examination->outlook;
    char size[16];
    enum option_backing asked = outlook->options.backing, rung = BACKING_AUTO;
    bool degraded = examination->failed != 0;
    for (unsigned i = 0; i < outlook->topology.node_count && outlook->named; i++) {
        const struct reserved_node *part = outlook_part(outlook, i, &rung);
        struct check check = { .id = "HF-D16",
                               .name = "arena",
                               .verdict = degraded ? VERDICT_FAIL : VERDICT_OK,
                               .node = &outlook->topology.nodes[i] };
        if (part != NULL)
            checks_report(examination, &check, "node %u: %s would stand on %s pages%s", part->id,
                          checks_size(size, part->bytes), hfi_backing_name(rung),
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
