/*
 * checks-pools: see checks.h: pools of huge pages, and what forked children copy of them.
 *
 * Test: tests/tool.sh, tests/tool-plan.sh.
 */
#include "kernel/cgroup.h"
#include "machine/checks.h"

#define MEND_BYTES 256

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
    uint64_t taken = checks_missing(pool->total_pages, pool->free_pages);
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

/* What `check` found in a pool of `backing`; the arena stands on pages of `stands`. */
static void say_pool(struct examination *examination, const struct check *check,
                     const struct os_huge_pool *pool, enum option_backing backing, enum option_backing stands)
{
    char spare[SPARE_BYTES], taken[TAKEN_BYTES];
    const char *name = hfi_backing_name(backing);
    uint64_t needed = check->need, lack = checks_missing(needed, pool->free_pages);
    if (needed == 0)
        checks_report(examination, check, "node %u: %llu pages of %s, %llu free; none needed",
                      check->node->id, (unsigned long long)pool->total_pages, name,
                      (unsigned long long)pool->free_pages);
    else if (lack != 0 && check->verdict == VERDICT_OK)
        checks_report(examination, check,
                      "node %u: %llu pages of %s free, %llu would be taken; the arena has pages of %s",
                      check->node->id, (unsigned long long)pool->free_pages, name, (unsigned long long)needed,
                      hfi_backing_name(stands));
    else if (lack == 0)
        checks_report(examination, check, "node %u: %llu pages of %s needed, %llu free%s%s", check->node->id,
                      (unsigned long long)needed, name, (unsigned long long)pool->free_pages,
                      bounded_text(pool),
                      spare_text(spare, &examination->outlook, needed, pool->free_pages - needed));
    else
        checks_report(examination, check, "node %u: %llu pages of %s needed, %llu free%s, %llu missing%s",
                      check->node->id, (unsigned long long)needed, name, (unsigned long long)pool->free_pages,
                      bounded_text(pool), (unsigned long long)lack, taken_text(taken, pool));
}

/* One pool of one node.  Short is a failure where this size was asked for, else a hint. */
static void check_pool(struct examination *examination, unsigned index, enum option_backing backing)
{
    const struct outlook *outlook = &examination->outlook;
    const struct topology_node *node = &outlook->topology.nodes[index];
    enum option_backing stands = BACKING_AUTO;
    const struct reserved_node *part = outlook_part(outlook, index, &stands);
    struct os_huge_pool pool;
    char mend[MEND_BYTES], keep[CHECKS_KEEP_BYTES];
    uint64_t needed = part != NULL ? outlook_pages(outlook, part, backing) : 0;
    bool asked = outlook->options.backing == backing && needed != 0;
    struct check check = { "HF-D06",        "huge pages",   .node = node,
                           .counted = true, .need = needed, .page_bytes = hfi_backing_page_bytes(backing),
                           .mend = mend };
    bool found = outlook_pool(outlook, node->id, backing, &pool);
    if (backing == BACKING_1G && needed == 0 && (!found || pool.total_pages == 0))
        return; /* hardly anybody has them */
    if (!found) {
        check.verdict = asked ? VERDICT_FAIL : VERDICT_OK;
        check.mend = "boot with hugepagesz=1G, or name another HOLDFAST_BACKING";
        checks_report(examination, &check, "node %u: this machine has no pages of %s", node->id,
                      hfi_backing_name(backing));
        return;
    }
    check.have = pool.free_pages;
    uint64_t lack = checks_missing(needed, pool.free_pages),
             with_copies = needed + outlook_copies(outlook, needed);
    outlook_pool_mend(mend, sizeof mend, &pool, with_copies);
    bool possible = part == NULL || part->bytes <= outlook_node_memory(outlook, node);
    if (!possible)
        check.mend = "lower HOLDFAST_ARENA for this node";
    else if (!pool.bounded)
        check.keep = checks_keep_pool(keep, outlook, node, backing,
                                      pool.total_pages + checks_missing(with_copies, pool.free_pages));
    if (lack != 0 && stands > backing) /* of 1 GiB pages auto does without a word */
        check.verdict = asked ? VERDICT_FAIL : backing == BACKING_2M && possible ? VERDICT_WARN : VERDICT_OK;
    say_pool(examination, &check, &pool, backing, stands);
}

void checks_pools(struct examination *examination)
{
    for (unsigned i = 0; i < examination->outlook.topology.node_count; i++) {
        check_pool(examination, i, BACKING_1G);
        check_pool(examination, i, BACKING_2M);
    }
}

/* --- limits of the cgroup --- */

/* Bytes of a size that all nodes need; what forked children copy is told of by checks_forks. */
static uint64_t bytes_on(const struct outlook *outlook, enum option_backing backing)
{
    uint64_t pages = 0;
    for (unsigned i = 0; i < outlook->reservation.node_count; i++)
        pages += outlook_pages(outlook, &outlook->reservation.nodes[i], backing);
    return pages * hfi_backing_page_bytes(backing);
}

/* True where there is a limit. */
static bool check_pool_limit(struct examination *examination, enum option_backing backing, bool reserved)
{
    struct cgroup_bound bound;
    char file[HFI_CGROUP_FILE_BYTES], mend[MEND_BYTES];
    char limit[16], used[16], want[16], more[32];
    const struct outlook *outlook = &examination->outlook;
    size_t page_bytes = hfi_backing_page_bytes(backing);
    hfi_cgroup_pool_bound(&bound, file, page_bytes, reserved);
    if (file[0] == 0)
        return false;
    uint64_t need = bytes_on(outlook, backing), lack = checks_missing(need, bound.room_bytes);
    bool asked = outlook->options.backing == backing;
    struct check check = { "HF-D19",
                           "pool limit",
                           lack != 0 && asked ? VERDICT_FAIL : VERDICT_OK,
                           NULL,
                           true,
                           need,
                           .have = bound.room_bytes,
                           .mend = mend };
    snprintf(mend, sizeof mend, "set %s of this cgroup to %llu or more (Kubernetes: hugepages-%s: %lluMi)",
             file, (unsigned long long)(bound.limit_bytes + lack), backing == BACKING_1G ? "1Gi" : "2Mi",
             (unsigned long long)((bound.limit_bytes + lack) / HFI_MIB));
    checks_report(examination, &check, "%s is %s, %s used; the arena takes %s of %s pages%s%s", file,
                  checks_size(limit, bound.limit_bytes), checks_size(used, bound.used_bytes),
                  checks_size(want, need), hfi_backing_name(backing), checks_too_much(more, lack),
                  lack != 0 && !asked ? ", so it goes on to others" : "");
    return true;
}

void checks_pool_limits(struct examination *examination)
{
    bool limited = false;
    for (enum option_backing backing = BACKING_1G; backing <= BACKING_2M; backing++)
        for (int reserved = 0; reserved < 2; reserved++)
            limited |= check_pool_limit(examination, backing, reserved != 0);
    if (!limited)
        checks_report(examination, &(struct check){ .id = "HF-D19", .name = "pool limit" },
                      "the cgroup has no limit of huge pages");
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
    enum option_backing backing = BACKING_AUTO;
    const struct reserved_node *part = outlook_part(outlook, index, &backing);
    struct os_huge_pool pool;
    char mend[MEND_BYTES], keep[CHECKS_KEEP_BYTES], text[SPARE_BYTES], taken[TAKEN_BYTES];
    if (part == NULL || backing > BACKING_2M || !outlook_pool(outlook, node->id, backing, &pool))
        return;
    uint64_t needed = outlook_pages(outlook, part, backing), copies = outlook_copies(outlook, needed);
    uint64_t spare = checks_missing(pool.free_pages, needed), lack = checks_missing(copies, spare);
    snprintf(text, sizeof text, "; %llu missing, and a child that finds none is killed",
             (unsigned long long)lack);
    struct check check = {
        "HF-D18",
        "forks",
        lack == 0 ? VERDICT_OK : VERDICT_FAIL,
        node,
        true,
        copies,
        spare,
        hfi_backing_page_bytes(backing),
        .mend = outlook_pool_mend(mend, sizeof mend, &pool, needed + copies),
        .keep = pool.bounded ? NULL : checks_keep_pool(keep, outlook, node, backing, pool.total_pages + lack)
    };
    checks_report(examination, &check, "node %u: %u %s up to %llu pages of %s, %llu spare%s%s", node->id,
                  outlook->forks, children(outlook), (unsigned long long)copies, hfi_backing_name(backing),
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
        if (outlook->options.backing != BACKING_AUTO && outlook->backing[i] > outlook->options.backing)
            return; /* not what was asked for, which a check before has said */
    for (unsigned i = 0; i < outlook->topology.node_count; i++)
        check_spare(examination, i);
    if (outlook->small_bytes == 0)
        return;
    uint64_t copies = outlook_copies(outlook, outlook->small_bytes);
    uint64_t left = checks_missing(hfi_os_available_bytes(&bound), outlook->small_bytes),
             lack = checks_missing(copies, left);
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
                  bound == OS_BOUND_CGROUP ? " by the cgroup's limit" : "", checks_too_much(text, lack));
}
