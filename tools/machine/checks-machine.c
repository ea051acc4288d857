/*
 * checks-machine: see checks.h: what the kernel and the installation have to offer.
 *
 * Test: tests/tool.sh.
 */
#include <errno.h>
#include <holdfast/inspect.h>
#include <liburing.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "machine/checks.h"
#include "kernel/os.h"
#include "kernel/files.h"
#include "kernel/machine.h"
#include "machine/keep.h"
#include "reader/procfs.h"

#define CAPABILITY_SYS_NICE 23

bool checks_has_capability(unsigned number)
{
    char text[PROCFS_TEXT_BYTES];
    const char *effective = procfs_value("/proc/self/status", "CapEff:", text);
    return effective != NULL && (strtoull(effective, NULL, 16) >> number & 1) != 0;
}

void checks_library(struct examination *examination)
{
    const char *tried;
    const char *library = tool_library(NULL, &tried);
    struct check check = { "HF-D02", "library", .mend = "install Holdfast, or set HOLDFAST_LIBRARY" };
    if (library == NULL)
        check.verdict = checks_fail_if_named(examination);
    checks_report(examination, &check, "%s%s", library != NULL ? library : tried,
                  library != NULL ? "" : " is not there");
}

void checks_thp(struct examination *examination)
{
    const struct outlook *outlook = &examination->outlook;
    char enabled[32], defrag[32];
    enum option_backing asked = outlook->options.backing;
    bool needed = (outlook->small_bytes != 0) && asked != BACKING_4K;
    enum os_thp thp = hfi_os_thp();
    procfs_thp("enabled", enabled, sizeof enabled);
    procfs_thp("defrag", defrag, sizeof defrag);
    struct check check = { "HF-D07", "thp",
                           .mend = "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
                           .keep = KEEP_THP };
    if (thp != OS_THP_GRANTED && needed)
        check.verdict = asked == BACKING_THP ? checks_fail_if_named(examination) : VERDICT_WARN;
    if (thp == OS_THP_FORBIDDEN) {
        check.mend = "start this from a program that has not called prctl(PR_SET_THP_DISABLE): children "
                     "inherit it (container runtimes and job schedulers have an option for it)";
        check.keep = NULL;
    }
    checks_report(examination, &check, "transparent huge pages: enabled %s, defrag %s%s; %s", enabled, defrag,
                  thp == OS_THP_FORBIDDEN ? ", forbidden to this process (PR_SET_THP_DISABLE)" : "",
                  !needed                 ? "not needed"
                  : thp == OS_THP_GRANTED ? "would be used"
                                          : "cannot be used");
}

void checks_swap(struct examination *examination)
{
    const struct outlook *outlook = &examination->outlook;
    uint64_t swap = 0, swappiness = 0;
    char text[16];
    procfs_bytes("/proc/meminfo", "SwapTotal:", &swap);
    hfi_os_read_number("/proc/sys/vm/swappiness", &swappiness);
    struct check check = { "HF-D09", "swap", .mend = "HOLDFAST_LOCK=yes, or swapoff -a" };
    if (swap != 0 && outlook->small_bytes != 0 && outlook->options.lock == LOCK_NO && outlook->named)
        check.verdict = VERDICT_WARN;
    if (swap == 0)
        checks_report(examination, &check, "none");
    else
        checks_report(examination, &check, "%s, swappiness %llu", checks_size(text, swap),
                      (unsigned long long)swappiness);
}

/* With several nodes, each is tried. */
void checks_mbind(struct examination *examination)
{
    const struct topology *topology = &examination->outlook.topology;
    if (topology->alone) {
        checks_report(examination, &(struct check){ .id = "HF-D12", .name = "mbind" },
                      "not needed: node %u is the only one", topology->nodes[0].id);
        return;
    }
    void *page = mmap(NULL, HFI_SMALL_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool several = topology->node_count > 1;
    unsigned refused = 0;
    for (unsigned i = 0; i < topology->node_count; i++) {
        int error =
            page == MAP_FAILED ? -ENOMEM : hfi_os_bind(page, HFI_SMALL_PAGE_BYTES, topology->nodes[i].id);
        struct check check = {
            "HF-D12", "mbind", several ? checks_fail_if_named(examination) : VERDICT_WARN,
            &topology->nodes[i],
            .mend = error == -EINVAL ? "see whether the node is online, and this machine's own "
                                       "(HWLOC_XMLFILE, HWLOC_SYNTHETIC)"
                  : checks_has_capability(CAPABILITY_SYS_NICE)
                      ? "allow mbind in the seccomp profile of the container"
                      : "allow mbind in the seccomp profile of the container (docker: --cap-add SYS_NICE)"
        };
        if (error == 0)
            continue;
        refused++;
        checks_report(examination, &check, "node %u: a page cannot be bound (%s)", topology->nodes[i].id,
                      hfi_os_error_name(error));
    }
    if (page != MAP_FAILED)
        munmap(page, HFI_SMALL_PAGE_BYTES);
    if (refused == 0)
        checks_report(examination, &(struct check){ .id = "HF-D12", .name = "mbind" },
                      several ? "pages can be bound to each of %u nodes" : "pages can be bound",
                      topology->node_count);
}

/* Not needed by the arena itself, whose start is faster with a ring: for programs that register
 * it. */
void checks_uring(struct examination *examination)
{
    struct io_uring ring;
    uint64_t disabled = 0;
    bool known = hfi_os_read_number("/proc/sys/kernel/io_uring_disabled", &disabled);
    int error = io_uring_queue_init(2, &ring, 0);
    char keep[CHECKS_KEEP_BYTES];
    struct check check = { "HF-D13", "io_uring", error == 0 ? VERDICT_OK : VERDICT_WARN,
                           .mend = "allow io_uring_setup in the seccomp profile" };
    if (error == 0)
        io_uring_queue_exit(&ring);
    if (disabled == 2)
        check.mend = "sysctl kernel.io_uring_disabled=0";
    else if (disabled != 0)
        check.mend =
            "sysctl kernel.io_uring_disabled=0, or set kernel.io_uring_group to a group of this user";
    else if (error == -ENOMEM)
        check.mend = "ulimit -l unlimited";
    else if (error == -ENOSYS)
        check.mend = "use a kernel with CONFIG_IO_URING";
    if (disabled != 0)
        check.keep = "echo 'kernel.io_uring_disabled = 0' > /etc/sysctl.d/60-holdfast-io_uring.conf";
    else if (error == -ENOMEM)
        check.keep = checks_keep_limits(keep, checks_no_memlock);
    char number[32];
    snprintf(number, sizeof number, "%llu", (unsigned long long)disabled);
    checks_report(examination, &check, "%s%s%s%s",
                  error == 0 ? "a ring can be made" : "no ring can be made: ",
                  error == 0 ? "" : hfi_os_error_name(error), known ? "; kernel.io_uring_disabled is " : "",
                  known ? number : "");
}

void checks_membarrier(struct examination *examination)
{
    long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
    bool available = commands > 0 && (commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0;
    checks_report(examination,
                  &(struct check){ "HF-D14", "membarrier", available ? VERDICT_OK : VERDICT_WARN,
                                   .mend = "use a kernel of 4.14 or later with CONFIG_MEMBARRIER, and allow "
                                           "membarrier in the seccomp profile" },
                  "private expedited barriers are %s", available ? "there" : "missing");
}

/* Readers open a file of their own user: yama, which bounds ptrace, has no say. */
void checks_inspection(struct examination *examination)
{
    bool writable = access(HF_INSPECT_DIRECTORY, W_OK | X_OK) == 0;
    int error = writable ? 0 : errno;
    bool wanted = examination->outlook.options.inspect;
    uint64_t scope;
    char yama[64] = "";
    if (hfi_os_read_number("/proc/sys/kernel/yama/ptrace_scope", &scope))
        snprintf(yama, sizeof yama, ", whatever kernel.yama.ptrace_scope is (%llu)",
                 (unsigned long long)scope);
    checks_report(examination,
                  &(struct check){ "HF-D15", "inspection", writable || !wanted ? VERDICT_OK : VERDICT_WARN,
                                   .mend = "mount a tmpfs on " HF_INSPECT_DIRECTORY
                                           " that programs can write, or set HOLDFAST_INSPECT=0" },
                  HF_INSPECT_DIRECTORY " %s%s%s", writable ? "is writable" : strerror(error),
                  writable ? "; no ptrace needed" : "", writable ? yama : "");
}
