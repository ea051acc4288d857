/*
 * checks-limits: see checks.h: what may be locked, registered, committed and mapped.
 *
 * Test: tests/tool.sh, tests/tool-plan.sh.
 */
#include "kernel/files.h"
#include "kernel/machine.h"
#include "kernel/os.h"
#include "machine/checks.h"
#include "reader/procfs.h"

#define CAPABILITY_IPC_LOCK 14

/* LOCK_AUTO is content with a refusal where nothing can be swapped. */
void checks_memlock(struct examination *examination)
{
    const struct outlook *outlook = &examination->outlook;
    char have[16], want[16];
    enum option_lock lock = outlook->options.lock;
    bool wanted = lock == LOCK_YES ||
                  (lock == LOCK_AUTO && outlook->named && outlook->options.prefault != PREFAULT_NONE);
    uint64_t need = wanted ? outlook_beside_pools(outlook) : 0, limit = hfi_os_lock_limit();
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
    check.need = outlook_beside_pools(outlook);
    check.have = checks_missing(limit, committed);
    check.verdict = check.need <= check.have ? VERDICT_OK : checks_fail_if_named(examination);
    checks_report(examination, &check, "vm.overcommit_memory is 2: %s may be committed, the arena %s %s",
                  checks_size(have, check.have), outlook->named ? "takes" : "may grow to",
                  checks_size(want, check.need));
}

static const char *const space_limits[][2] = { { "LimitAS", "as" }, { "LimitDATA", "data" }, { NULL, NULL } };

/* The least that src/arena/reserve-space.c makes do with; of a described machine, the bound that holds
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
                  checks_size(want, check.need),
                  checks_too_much(text, checks_missing(check.need, check.have)));
}
