/*
 * doctor: is this machine set up for the arena that is asked for, and if not, which command mends it.
 *
 * Each check looks at one thing and returns a verdict with what it found in numbers; none
 * changes anything.  Only a named arena can fail: then the exit status is 1.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <liburing.h>
#include <limits.h>
#include <linux/membarrier.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

#include "options.h"
#include "os.h"
#include "reserve.h"
#include "say.h"
#include "tool.h"
#include "topology.h"

static const char usage[] =
    "usage: holdfast doctor [--arena VALUE] [--backing VALUE] [--json]\n"
    "\n"
    "Looks at what an arena needs from this machine: memory nodes, huge pages, limits, and what the\n"
    "kernel or a container refuses.  Each line has a verdict, what was found, and the mending command.\n"
    "\n"
    "  --arena VALUE    the arena to check for, as HOLDFAST_ARENA (default: that variable, or auto)\n"
    "  --backing VALUE  as HOLDFAST_BACKING\n"
    "  --json           as JSON\n"
    "  --help           this text\n"
    "\n"
    "Exits 1 when a named arena would fail or be degraded.\n";

static const struct option long_options[] = {
    { "arena", required_argument, NULL, 'a' },
    { "backing", required_argument, NULL, 'b' },
    { "json", no_argument, NULL, 'j' },
    { "help", no_argument, NULL, 'h' },
    { NULL, 0, NULL, 0 },
};

enum verdict { OK, WARN, FAIL };

struct patient {
    struct options options;
    struct topology topology;
    size_t node_bytes[HFI_MAX_NODES];
    size_t total_bytes;
    bool named;    /* a size was named: shortcomings are failures */
    json_t *lines; /* with --json */
    int failures;
};

static void __attribute__((format(printf, 6, 7)))
report(struct patient *patient, const char *id, const char *subject, enum verdict verdict, const char *mend, const char *format, ...)
{
    static const char *const words[] = { "ok", "warn", "fail" };
    char found[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(found, sizeof found, format, arguments);
    va_end(arguments);
    patient->failures += verdict == FAIL;
    if (patient->lines != NULL) {
        json_array_append_new(patient->lines, json_pack("{s:s, s:s, s:s, s:s, s:s*}", "id", id, "subject", subject, "verdict",
                                                        words[verdict], "found", found, "mend", verdict == OK ? NULL : mend));
        return;
    }
    printf("%-4s %s %-12s %s\n", words[verdict], id, subject, found);
    if (verdict != OK && mend != NULL)
        printf("                         mend: %s\n", mend);
}

/* What a shortcoming is worth: a failure only for an arena that was named. */
static enum verdict short_of(const struct patient *patient)
{
    return patient->named ? FAIL : WARN;
}

static void check_library(struct patient *patient)
{
    char path[PATH_MAX];
    bool found = tool_find_library(NULL, path, sizeof path);
    report(patient, "HF-D01", "library", found ? OK : FAIL, "make install, or set HOLDFAST_LIBRARY", "%s%s", path, found ? "" : " is not there");
}

static void check_nodes(struct patient *patient)
{
    char size[16], have[16];
    for (unsigned i = 0; i < patient->topology.node_count; i++) {
        const struct topology_node *node = &patient->topology.nodes[i];
        bool fits = !patient->named || patient->node_bytes[i] <= node->memory_bytes;
        report(patient, "HF-D02", "node", fits ? OK : FAIL, "lower HOLDFAST_ARENA", "node %u: %s of memory, %s, arena %s", node->id,
               hfi_format_bytes(have, sizeof have, node->memory_bytes), node->has_cpus ? "with CPUs" : "without CPUs",
               hfi_format_bytes(size, sizeof size, patient->named ? patient->node_bytes[i] : 0));
    }
    if (!patient->topology.from_hwloc)
        report(patient, "HF-D03", "hwloc", WARN, "check that /sys is mounted and readable", "hwloc gave no answer; one node is assumed");
}

/* Whether the arena asks for this size of huge page by name. */
static bool pool_is_asked(const struct patient *patient, enum option_backing backing)
{
    return patient->named && patient->options.backing == backing;
}

static bool pool_holds(const struct patient *patient, enum option_backing backing, size_t page_bytes)
{
    for (unsigned i = 0; i < patient->topology.node_count; i++) {
        char path[160];
        uint64_t free_pages = 0;
        snprintf(path, sizeof path, "/sys/devices/system/node/node%u/hugepages/hugepages-%zukB/free_hugepages",
                 patient->topology.nodes[i].id, page_bytes / 1024);
        hfi_os_read_number(path, &free_pages);
        if (free_pages * page_bytes < patient->node_bytes[i])
            return false;
        if (backing == BACKING_1G && patient->options.backing == BACKING_AUTO && patient->node_bytes[i] % page_bytes != 0)
            return false;
    }
    return true;
}

static void check_pool(struct patient *patient, unsigned i, enum option_backing backing, size_t page_bytes)
{
    char base[128], path[160], mend[200];
    uint64_t total = 0, free_pages = 0;
    const struct topology_node *node = &patient->topology.nodes[i];
    uint64_t needed = patient->named ? hfi_divide_up(patient->node_bytes[i], page_bytes) : 0;
    snprintf(base, sizeof base, "/sys/devices/system/node/node%u/hugepages/hugepages-%zukB", node->id, page_bytes / 1024);
    snprintf(path, sizeof path, "%s/nr_hugepages", base);
    if (!hfi_os_read_number(path, &total)) {
        report(patient, "HF-D04", "huge pages", pool_is_asked(patient, backing) ? FAIL : WARN, "use another HOLDFAST_BACKING",
               "node %u: this kernel has no %s pages", node->id, hfi_backing_name(backing));
        return;
    }
    snprintf(path, sizeof path, "%s/free_hugepages", base);
    hfi_os_read_number(path, &free_pages);
    snprintf(mend, sizeof mend, "echo %" PRIu64 " > %s/nr_hugepages", total - free_pages + needed, base);
    bool enough = free_pages >= needed;
    bool other = patient->options.backing == BACKING_AUTO && (pool_holds(patient, BACKING_1G, HFI_GIB) || pool_holds(patient, BACKING_2M, 2 * HFI_MIB));
    bool unwanted = !patient->named || other || patient->options.backing > backing ||
                    (patient->options.backing == BACKING_2M && backing == BACKING_1G);
    enum verdict verdict = enough || unwanted ? OK : pool_is_asked(patient, backing) ? FAIL : WARN;
    report(patient, "HF-D04", "huge pages", verdict, mend, "node %u: %s pages: %" PRIu64 " free of %" PRIu64 ", the arena would take %" PRIu64,
           node->id, hfi_backing_name(backing), free_pages, total, needed);
}

static void check_pools(struct patient *patient)
{
    for (unsigned i = 0; i < patient->topology.node_count; i++) {
        check_pool(patient, i, BACKING_1G, HFI_GIB);
        check_pool(patient, i, BACKING_2M, 2 * HFI_MIB);
    }
}

static void check_thp(struct patient *patient)
{
    char enabled[128], defrag[128];
    bool known = hfi_os_read_file("/sys/kernel/mm/transparent_hugepage/enabled", enabled, sizeof enabled) > 0;
    hfi_os_read_file("/sys/kernel/mm/transparent_hugepage/defrag", defrag, sizeof defrag);
    enabled[strcspn(enabled, "\n")] = defrag[strcspn(defrag, "\n")] = 0;
    bool off = !known || strstr(enabled, "[never]") != NULL;
    report(patient, "HF-D05", "thp", !off ? OK : pool_is_asked(patient, BACKING_THP) ? FAIL : WARN,
           "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled", "enabled: %s; defrag: %s", known ? enabled : "not in this kernel", defrag);
}

static bool on_huge_pages(const struct patient *patient)
{
    return (patient->options.backing == BACKING_AUTO && (pool_holds(patient, BACKING_1G, HFI_GIB) || pool_holds(patient, BACKING_2M, 2 * HFI_MIB))) ||
           patient->options.backing == BACKING_1G || patient->options.backing == BACKING_2M;
}

static void check_memlock(struct patient *patient)
{
    struct rlimit limit;
    char text[16];
    getrlimit(RLIMIT_MEMLOCK, &limit);
    bool unlimited = limit.rlim_cur == RLIM_INFINITY || geteuid() == 0;
    bool enough = unlimited || !patient->named || patient->options.lock == LOCK_NO || on_huge_pages(patient) || limit.rlim_cur >= patient->total_bytes;
    report(patient, "HF-D06", "memlock", enough ? OK : short_of(patient), "ulimit -l unlimited, or LimitMEMLOCK=infinity in the unit",
           "%s", unlimited ? "no limit for this user" : hfi_format_bytes(text, sizeof text, limit.rlim_cur));
}

static void check_overcommit(struct patient *patient)
{
    uint64_t mode = 0;
    hfi_os_read_number("/proc/sys/vm/overcommit_memory", &mode);
    report(patient, "HF-D07", "overcommit", mode == 2 ? WARN : OK, "sysctl vm.overcommit_memory=0 (or name an arena that fits the commit limit)",
           "vm.overcommit_memory is %" PRIu64 "%s", mode, mode == 2 ? ": a growing arena counts in full against the commit limit" : "");
}

static void check_memory(struct patient *patient)
{
    uint64_t limit = 0, used = 0;
    char limit_text[16], used_text[16], total_text[16];
    bool limited = hfi_os_cgroup_limit(&limit, &used);
    hfi_format_bytes(total_text, sizeof total_text, patient->total_bytes);
    if (!limited) {
        bool fits = !patient->named || patient->total_bytes <= hfi_os_usable_bytes();
        report(patient, "HF-D08", "cgroup", fits ? OK : FAIL, "lower HOLDFAST_ARENA", "no memory limit; %s usable%s",
               hfi_format_bytes(limit_text, sizeof limit_text, hfi_os_usable_bytes()), fits ? "" : ", less than the arena");
        return;
    }
    bool fits = !patient->named || patient->total_bytes <= limit - hfi_min(limit, used);
    report(patient, "HF-D08", "cgroup", fits ? OK : FAIL, "raise memory.max (MemoryMax=) or lower HOLDFAST_ARENA", "limit %s, used %s, arena %s",
           hfi_format_bytes(limit_text, sizeof limit_text, limit), hfi_format_bytes(used_text, sizeof used_text, used), patient->named ? total_text : "grows");
}

static void check_address_space(struct patient *patient)
{
    struct rlimit limit;
    char text[16], needs[16];
    uint64_t wanted = HFI_WINDOWS_OFFSET + 2 * HFI_GIB + patient->total_bytes;
    getrlimit(RLIMIT_AS, &limit);
    bool enough = limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur > wanted;
    report(patient, "HF-D09", "address space", enough ? OK : FAIL, "ulimit -v unlimited, or no LimitAS= in the unit", "limit %s, the arena needs %s",
           limit.rlim_cur == RLIM_INFINITY ? "none" : hfi_format_bytes(text, sizeof text, limit.rlim_cur), hfi_format_bytes(needs, sizeof needs, wanted));
}

static void check_swap(struct patient *patient)
{
    char text[4096];
    long lines = 0;
    hfi_os_read_file("/proc/swaps", text, sizeof text);
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    bool swap = lines > 1;
    report(patient, "HF-D10", "swap", swap && patient->options.lock == LOCK_NO ? WARN : OK, "HOLDFAST_LOCK=auto", "%s",
           !swap ? "none" : "in use by the machine; a named arena is locked or on huge pages unless HOLDFAST_LOCK=no");
}

static void check_io_uring(struct patient *patient)
{
    struct io_uring ring;
    int error = io_uring_queue_init(2, &ring, 0);
    if (error == 0)
        io_uring_queue_exit(&ring);
    report(patient, "HF-D11", "io_uring", error == 0 ? OK : WARN, "sysctl kernel.io_uring_disabled=0, or allow io_uring_setup in the seccomp profile",
           "%s", error == 0 ? "allowed" : strerror(-error));
}

static void check_mbind(struct patient *patient)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int error = page == MAP_FAILED ? -ENOMEM : hfi_os_bind(page, 4096, patient->topology.nodes[0].id);
    if (page != MAP_FAILED)
        munmap(page, 4096);
    bool matters = patient->topology.node_count > 1;
    report(patient, "HF-D12", "mbind", error == 0 ? OK : matters ? short_of(patient) : WARN, "allow mbind in the seccomp profile (docker: --cap-add SYS_NICE)",
           "%s", error == 0 ? "allowed" : strerror(-error));
}

static void check_membarrier(struct patient *patient)
{
    long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
    bool have = commands > 0 && (commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED);
    report(patient, "HF-D13", "membarrier", have ? OK : WARN, "allow membarrier in the seccomp profile", "private expedited: %s", have ? "there" : "not there");
}

static void check_shm(struct patient *patient)
{
    bool writable = access("/dev/shm", W_OK) == 0;
    report(patient, "HF-D14", "/dev/shm", writable ? OK : WARN, "mount a tmpfs at /dev/shm", "%s", writable ? "writable" : "not writable: holdfast stat will see nothing");
}

static int run(int argc, char **argv)
{
    static struct patient patient;
    bool json = false;
    int option;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        switch (option) {
        case 'a': setenv("HOLDFAST_ARENA", optarg, 1); break;
        case 'b': setenv("HOLDFAST_BACKING", optarg, 1); break;
        case 'j': json = true; break;
        case 'h': return fputs(usage, stdout), 0;
        default: return TOOL_EXIT_USAGE;
        }
    }
    if (optind < argc)
        return tool_usage_error(&tool_doctor_command, "unexpected '%s'", argv[optind]);
    hfi_options_read(&patient.options);
    if (patient.options.errors != 0)
        return EX_CONFIG;
    hfi_topology_load(&patient.topology, false);
    hfi_reserve_plan(patient.node_bytes, &patient.options, &patient.topology);
    patient.named = patient.options.arena != ARENA_AUTO;
    for (unsigned i = 0; i < HFI_MAX_NODES; i++)
        patient.total_bytes += patient.node_bytes[i];
    patient.lines = json ? json_array() : NULL;
    check_library(&patient);
    check_nodes(&patient);
    check_pools(&patient);
    check_thp(&patient);
    check_memlock(&patient);
    check_overcommit(&patient);
    check_memory(&patient);
    check_address_space(&patient);
    check_swap(&patient);
    check_io_uring(&patient);
    check_mbind(&patient);
    check_membarrier(&patient);
    check_shm(&patient);
    if (json)
        tool_print_json(json_pack("{s:i, s:o}", "failures", patient.failures, "checks", patient.lines));
    return patient.failures != 0 ? TOOL_EXIT_NO : 0;
}

const struct tool_command tool_doctor_command = { "doctor", "is this machine set up for an arena", usage, run };
