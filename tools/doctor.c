/*
 * doctor: is this machine set up for the arena that is asked for?
 *
 * Each check looks at one thing, prints what it found in numbers, and the command that
 * mends it.  It asks the kernel by trying where that is cheap and leaves no trace (mbind on one
 * page, a small ring); no memory of the arena's size is touched.
 *
 * D1: `fail` is given only for a named arena (--arena, or HOLDFAST_ARENA in the environment)
 *     that would not stand as asked, or where no arena at all could; what would cost speed
 *     or comfort is `warn`.
 * D2: the exit status is 1 exactly when a check failed.
 *
 * Sizes come from hfi_reserve_plan, the library's own arithmetic.
 *
 * Test: tests/tool.sh.
 */
#include <errno.h>
#include <liburing.h>
#include <linux/membarrier.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os.h"
#include "reserve.h"
#include "tool.h"
#include "topology.h"

#define CAPABILITY_IPC_LOCK 14
#define CAPABILITY_SYS_NICE 23
#define OS_PAGE_BYTES ((size_t)4096)
#define METADATA_SHARE (HFI_PAGE_BYTES / (128 + 8)) /* bytes of arena per byte of page table and owners */
#define TEXT_BYTES 512

enum verdict { VERDICT_OK, VERDICT_WARN, VERDICT_FAIL };

/* What the checks look at, and where they put what they found. */
struct examination {
    struct options options;
    struct topology topology;
    const char *library_chosen; /* HOLDFAST_LIBRARY */
    bool named;                 /* the arena has a size */
    size_t node_bytes[HFI_MAX_NODES];
    enum option_backing rung[HFI_MAX_NODES]; /* backing each node would get */
    size_t total_bytes;
    size_t small_page_bytes; /* of them, on pages that could be swapped */
    bool json;
    json_t *checks;
    unsigned failed;
};

/* --- saying it --- */

static void HFI_PRINTF(6, 7) report(struct examination *examination, const char *id, const char *name, enum verdict verdict,
                                    const char *mend, const char *format, ...)
{
    static const char *const words[] = { "ok", "warn", "fail" };
    char found[TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(found, sizeof found, format, arguments);
    va_end(arguments);
    bool mends = verdict != VERDICT_OK && mend[0] != 0;
    examination->failed += verdict == VERDICT_FAIL;
    if (!examination->json) {
        printf("%-4s %s %s: %s%s%s\n", words[verdict], id, name, found, mends ? "; " : "", mends ? mend : "");
        return;
    }
    json_t *check = json_object();
    json_object_set_new(check, "id", json_string(id));
    json_object_set_new(check, "name", json_string(name));
    json_object_set_new(check, "verdict", json_string(words[verdict]));
    json_object_set_new(check, "found", json_string(found));
    json_object_set_new(check, "mend", mends ? json_string(mend) : json_null());
    json_array_append_new(examination->checks, check);
}

/* D1 */
static enum verdict fail_if_named(const struct examination *examination)
{
    return examination->named ? VERDICT_FAIL : VERDICT_WARN;
}

/* A trouble that matters only with a named arena, and less than a failure. */
static enum verdict warn_if_named(const struct examination *examination)
{
    return examination->named ? VERDICT_WARN : VERDICT_OK;
}

static const char *size_text(char *text, uint64_t bytes)
{
    return hfi_format_bytes(text, 16, bytes);
}

/* --- asking the machine --- */

static bool has_capability(unsigned number)
{
    char text[4096];
    if (hfi_os_read_file("/proc/self/status", text, sizeof text) <= 0)
        return false;
    const char *line = strstr(text, "CapEff:");
    return line != NULL && (strtoull(line + 7, NULL, 16) >> number & 1) != 0;
}

/* A line of /proc/meminfo, in bytes; false when there is none. */
static bool meminfo_bytes(const char *name, uint64_t *bytes)
{
    char text[8192];
    if (hfi_os_read_file("/proc/meminfo", text, sizeof text) <= 0)
        return false;
    size_t length = strlen(name);
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, length) == 0 && line[length] == ':') {
            *bytes = strtoull(line + length + 1, NULL, 10) * 1024;
            return true;
        }
    }
    return false;
}

/* The word in brackets of a file such as transparent_hugepage/enabled. */
static const char *chosen_word(const char *path, char *word, size_t word_bytes)
{
    char text[256];
    snprintf(word, word_bytes, "unknown");
    if (hfi_os_read_file(path, text, sizeof text) <= 0)
        return word;
    const char *open = strchr(text, '[');
    const char *close = open == NULL ? NULL : strchr(open, ']');
    if (close != NULL)
        snprintf(word, word_bytes, "%.*s", (int)(close - open - 1), open + 1);
    return word;
}

static size_t huge_page_bytes(enum option_backing backing)
{
    return backing == BACKING_1G ? HFI_GIB : 2 * HFI_MIB;
}

static bool pool_read(unsigned node, size_t page_bytes, const char *file, uint64_t *pages)
{
    char path[128];
    snprintf(path, sizeof path, "/sys/devices/system/node/node%u/hugepages/hugepages-%zukB/%s", node, page_bytes / 1024, file);
    if (hfi_os_read_number(path, pages))
        return true;
    snprintf(path, sizeof path, "/sys/kernel/mm/hugepages/hugepages-%zukB/%s", page_bytes / 1024, file);
    return hfi_os_read_number(path, pages);
}

static bool thp_is_off(void)
{
    char word[32];
    chosen_word("/sys/kernel/mm/transparent_hugepage/enabled", word, sizeof word);
    return strcmp(word, "never") == 0 || strcmp(word, "unknown") == 0;
}

/* --- what the arena would get --- */

/* The rung of the ladder that src/reserve.c would stop at, by what the pools say now. */
static enum option_backing plan_rung(const struct examination *examination, unsigned index)
{
    enum option_backing asked = examination->options.backing;
    size_t bytes = examination->node_bytes[index];
    if (!examination->named)
        return thp_is_off() || asked == BACKING_4K ? BACKING_4K : BACKING_THP;
    for (enum option_backing rung = BACKING_1G; rung <= BACKING_2M; rung++) {
        uint64_t pages = 0;
        size_t page_bytes = huge_page_bytes(rung);
        if (asked != BACKING_AUTO && rung < asked)
            continue;
        if (asked == BACKING_AUTO && rung == BACKING_1G && bytes % page_bytes != 0)
            continue;
        if (pool_read(examination->topology.nodes[index].id, page_bytes, "free_hugepages", &pages) &&
            pages >= hfi_divide_up(bytes, page_bytes))
            return rung;
    }
    return asked == BACKING_4K || thp_is_off() ? BACKING_4K : BACKING_THP;
}

static void make_plan(struct examination *examination)
{
    hfi_reserve_plan(examination->node_bytes, &examination->options, &examination->topology);
    for (unsigned i = 0; i < examination->topology.node_count; i++) {
        if (examination->node_bytes[i] == 0)
            continue;
        examination->rung[i] = plan_rung(examination, i);
        examination->total_bytes += examination->node_bytes[i];
        if (examination->rung[i] >= BACKING_THP)
            examination->small_page_bytes += examination->node_bytes[i];
    }
}

/* --- the checks --- */

static void check_options(struct examination *examination)
{
    unsigned errors = examination->options.errors;
    bool meant = examination->named || examination->options.strict || getenv("HOLDFAST_ARENA") != NULL;
    report(examination, "HF-D01", "options", errors == 0 ? VERDICT_OK : meant ? VERDICT_FAIL : VERDICT_WARN,
           "correct the values named above, see `holdfast help environment`",
           "%u of the HOLDFAST_* variables refused", errors);
}

static void check_library(struct examination *examination)
{
    const char *tried;
    const char *library = tool_library(examination->library_chosen, &tried);
    if (library != NULL)
        report(examination, "HF-D02", "library", VERDICT_OK, "", "%s", library);
    else
        report(examination, "HF-D02", "library", fail_if_named(examination), "install Holdfast, or set HOLDFAST_LIBRARY", "%s is not there", tried);
}

/* The only node has all of the memory, even where its own file has not heard of some (hotplug). */
static uint64_t node_memory_bytes(const struct examination *examination, unsigned index)
{
    uint64_t bytes = examination->topology.nodes[index].memory_bytes;
    return examination->topology.node_count == 1 ? hfi_max(bytes, hfi_os_usable_bytes()) : bytes;
}

static void check_topology(struct examination *examination, int error)
{
    char memory[16], planned[16];
    if (error != 0)
        report(examination, "HF-D03", "topology", fail_if_named(examination), "check that /sys is mounted", "hwloc gave no answer (%s)", strerror(-error));
    for (unsigned i = 0; i < examination->topology.node_count; i++) {
        const struct topology_node *node = &examination->topology.nodes[i];
        uint64_t memory_bytes = node_memory_bytes(examination, i);
        bool too_large = examination->named && examination->node_bytes[i] > memory_bytes;
        report(examination, "HF-D03", "topology", too_large ? VERDICT_FAIL : VERDICT_OK, "lower HOLDFAST_ARENA for this node",
               "node %u of %u has %s of memory%s; the arena %s %s", node->id, examination->topology.node_count,
               size_text(memory, memory_bytes), node->has_cpus ? "" : " and no CPUs",
               examination->named ? "takes" : "may grow to", size_text(planned, examination->node_bytes[i]));
    }
    if (examination->total_bytes == 0)
        report(examination, "HF-D03", "topology", VERDICT_FAIL, "name nodes that there are in HOLDFAST_NODES and HOLDFAST_ARENA",
               "the options leave no node with memory");
}

static uint64_t pools_free_bytes(const struct examination *examination)
{
    uint64_t bytes = 0, pages;
    for (unsigned i = 0; i < examination->topology.node_count; i++)
        for (enum option_backing backing = BACKING_1G; backing <= BACKING_2M; backing++)
            if (examination->node_bytes[i] != 0 &&
                pool_read(examination->topology.nodes[i].id, huge_page_bytes(backing), "free_hugepages", &pages))
                bytes += pages * huge_page_bytes(backing);
    return bytes;
}

/* As src/reserve.c: an arena above 95 % of what is available is cut down, unless the pools hold it. */
static void check_memory(struct examination *examination)
{
    uint64_t available = 0, limit, used;
    char have[16], want[16];
    if (!meminfo_bytes("MemAvailable", &available)) {
        report(examination, "HF-D04", "memory", VERDICT_WARN, "check that /proc is mounted", "MemAvailable is unknown");
        return;
    }
    if (hfi_os_cgroup_limit(&limit, &used))
        available = hfi_min(available, limit > used ? limit - used : 0);
    size_t want_bytes = examination->named ? examination->small_page_bytes : 0;
    size_t total_bytes = examination->named ? examination->total_bytes : 0;
    uint64_t most = available / 100 * 95;
    bool fits = examination->options.prefault == PREFAULT_NONE ||
                (want_bytes <= most && (total_bytes <= most || total_bytes <= pools_free_bytes(examination)));
    report(examination, "HF-D04", "memory", fits ? VERDICT_OK : VERDICT_FAIL, "lower HOLDFAST_ARENA, or free memory",
           "%s are available, the arena takes %s beside the huge page pools", size_text(have, available), size_text(want, want_bytes));
}

static void check_cgroup(struct examination *examination)
{
    uint64_t limit = 0, used = 0;
    char limit_text[16], used_text[16], want[16];
    if (!hfi_os_cgroup_limit(&limit, &used)) {
        report(examination, "HF-D05", "cgroup", VERDICT_OK, "", "no memory limit");
        return;
    }
    size_t want_bytes = examination->named ? examination->small_page_bytes + examination->total_bytes / METADATA_SHARE : 0;
    bool fits = want_bytes <= (limit > used ? limit - used : 0);
    report(examination, "HF-D05", "cgroup", fits ? VERDICT_OK : VERDICT_FAIL, "raise memory.max (systemd: MemoryMax=), or lower HOLDFAST_ARENA",
           "limit %s, %s used, the arena takes %s of it", size_text(limit_text, limit), size_text(used_text, used), size_text(want, want_bytes));
}

/* One pool of one node.  Short is a failure where this size was asked for, else a hint. */
static void check_pool(struct examination *examination, unsigned index, enum option_backing backing)
{
    unsigned node = examination->topology.nodes[index].id;
    size_t page_bytes = huge_page_bytes(backing);
    uint64_t total = 0, free_pages = 0;
    char mend[TEXT_BYTES];
    const char *name = hfi_backing_name(backing);
    enum option_backing asked = examination->options.backing;
    if (!pool_read(node, page_bytes, "nr_hugepages", &total) || !pool_read(node, page_bytes, "free_hugepages", &free_pages)) {
        report(examination, "HF-D06", "huge pages", asked == backing ? fail_if_named(examination) : VERDICT_OK,
               "boot a kernel with hugetlbfs, or use HOLDFAST_BACKING=thp", "node %u has no pool of %s pages", node, name);
        return;
    }
    bool whole = asked == backing || examination->node_bytes[index] % page_bytes == 0 || backing == BACKING_2M;
    uint64_t needed = examination->named && whole ? hfi_divide_up(examination->node_bytes[index], page_bytes) : 0;
    bool wanted = examination->named && (asked == backing || (asked == BACKING_AUTO && backing == BACKING_2M));
    bool covered = free_pages >= needed || examination->rung[index] < backing;
    enum verdict verdict = covered || !wanted ? VERDICT_OK : asked == backing ? VERDICT_FAIL : VERDICT_WARN;
    snprintf(mend, sizeof mend, "echo %llu > /sys/devices/system/node/node%u/hugepages/hugepages-%zukB/nr_hugepages",
             (unsigned long long)(total - hfi_min(free_pages, total) + needed), node, page_bytes / 1024);
    report(examination, "HF-D06", "huge pages", verdict, mend, "node %u has %llu pages of %s, %llu free; the arena would need %llu", node,
           (unsigned long long)total, name, (unsigned long long)free_pages, (unsigned long long)(wanted || whole ? needed : 0));
}

static void check_pools(struct examination *examination)
{
    for (unsigned i = 0; i < examination->topology.node_count; i++) {
        check_pool(examination, i, BACKING_1G);
        check_pool(examination, i, BACKING_2M);
    }
}

static void check_thp(struct examination *examination)
{
    char enabled[32], defrag[32];
    enum option_backing asked = examination->options.backing;
    bool needed = examination->small_page_bytes != 0 && asked != BACKING_4K;
    chosen_word("/sys/kernel/mm/transparent_hugepage/enabled", enabled, sizeof enabled);
    chosen_word("/sys/kernel/mm/transparent_hugepage/defrag", defrag, sizeof defrag);
    enum verdict verdict = !thp_is_off() || !needed ? VERDICT_OK : asked == BACKING_THP ? fail_if_named(examination) : VERDICT_WARN;
    report(examination, "HF-D07", "transparent huge pages", verdict, "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
           "enabled %s, defrag %s; the arena %s them", enabled, defrag, needed ? "would use" : "does not need");
}

static void check_memlock(struct examination *examination)
{
    struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
    char have[16], want[16];
    uint64_t swap = 0;
    enum option_lock lock = examination->options.lock;
    bool wanted = examination->named && (lock == LOCK_YES || (lock == LOCK_AUTO && examination->options.prefault != PREFAULT_NONE));
    size_t want_bytes = wanted ? examination->small_page_bytes : 0;
    getrlimit(RLIMIT_MEMLOCK, &limit);
    meminfo_bytes("SwapTotal", &swap);
    bool privileged = has_capability(CAPABILITY_IPC_LOCK);
    bool enough = privileged || limit.rlim_cur == RLIM_INFINITY || want_bytes <= limit.rlim_cur;
    /* Without swap there is nowhere for the pages to go; strict stops all the same. */
    bool matters = lock == LOCK_YES || swap != 0 || examination->options.strict;
    report(examination, "HF-D08", "memory lock", enough ? VERDICT_OK : matters ? VERDICT_FAIL : VERDICT_WARN,
           "ulimit -l unlimited (systemd: LimitMEMLOCK=infinity; limits.conf: memlock), or HOLDFAST_LOCK=no",
           "limit %s%s, the arena locks %s", limit.rlim_cur == RLIM_INFINITY ? "unlimited" : size_text(have, limit.rlim_cur),
           privileged ? " but CAP_IPC_LOCK is held" : "", size_text(want, want_bytes));
}

static void check_swap(struct examination *examination)
{
    uint64_t swap = 0, swappiness = 0;
    char text[16];
    meminfo_bytes("SwapTotal", &swap);
    hfi_os_read_number("/proc/sys/vm/swappiness", &swappiness);
    bool at_risk = swap != 0 && examination->small_page_bytes != 0 && examination->options.lock == LOCK_NO;
    report(examination, "HF-D09", "swap", at_risk ? warn_if_named(examination) : VERDICT_OK, "HOLDFAST_LOCK=yes, or swapoff -a",
           "%s of swap, swappiness %llu", size_text(text, swap), (unsigned long long)swappiness);
}

/* Mode 2 counts private writable memory when it is mapped, and MAP_NORESERVE does not exempt it. */
static void check_overcommit(struct examination *examination)
{
    uint64_t mode = 0, limit = 0, committed = 0;
    char have[16], want[16];
    hfi_os_read_number("/proc/sys/vm/overcommit_memory", &mode);
    if (mode != 2 || !meminfo_bytes("CommitLimit", &limit) || !meminfo_bytes("Committed_AS", &committed)) {
        report(examination, "HF-D10", "overcommit", VERDICT_OK, "", "vm.overcommit_memory is %llu", (unsigned long long)mode);
        return;
    }
    uint64_t left = limit > committed ? limit - committed : 0;
    uint64_t want_bytes = examination->small_page_bytes + examination->total_bytes / METADATA_SHARE;
    report(examination, "HF-D10", "overcommit", want_bytes <= left ? VERDICT_OK : fail_if_named(examination),
           "sysctl vm.overcommit_memory=0, or raise vm.overcommit_ratio", "vm.overcommit_memory is 2, %s may still be committed, the arena takes %s",
           size_text(have, left), size_text(want, want_bytes));
}

static void check_address_space(struct examination *examination)
{
    struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
    char have[16], want[16];
    uint64_t need = HFI_WINDOWS_OFFSET + 3 * HFI_GIB; /* alignment and guards, while reserving */
    for (unsigned i = 0; i < examination->topology.node_count; i++)
        need += hfi_align_up(examination->node_bytes[i], HFI_WINDOW_BYTES);
    getrlimit(RLIMIT_AS, &limit);
    bool unlimited = limit.rlim_cur == RLIM_INFINITY;
    report(examination, "HF-D11", "address space", unlimited || need <= limit.rlim_cur ? VERDICT_OK : fail_if_named(examination),
           "ulimit -v unlimited (systemd: LimitAS=infinity)", "limit %s, the arena reserves %s of addresses",
           unlimited ? "unlimited" : size_text(have, limit.rlim_cur), size_text(want, need));
}

static void check_mbind(struct examination *examination)
{
    unsigned node = examination->topology.nodes[0].id;
    void *page = mmap(NULL, OS_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int error = page == MAP_FAILED ? -ENOMEM : hfi_os_bind(page, OS_PAGE_BYTES, node);
    if (page != MAP_FAILED)
        munmap(page, OS_PAGE_BYTES);
    bool several = examination->topology.node_count > 1;
    report(examination, "HF-D12", "mbind", error == 0 ? VERDICT_OK : several ? fail_if_named(examination) : VERDICT_WARN,
           has_capability(CAPABILITY_SYS_NICE) ? "allow mbind in the seccomp profile of the container" :
           "allow mbind in the seccomp profile of the container (docker: --cap-add SYS_NICE)",
           "binding a page to node %u: %s", node, error == 0 ? "done" : strerror(-error));
}

/* Not needed by the arena itself: for programs that register it with a ring. */
static void check_uring(struct examination *examination)
{
    struct io_uring ring;
    uint64_t disabled = 0;
    bool known = hfi_os_read_number("/proc/sys/kernel/io_uring_disabled", &disabled);
    int error = io_uring_queue_init(2, &ring, 0);
    if (error == 0)
        io_uring_queue_exit(&ring);
    report(examination, "HF-D13", "io_uring", error == 0 ? VERDICT_OK : VERDICT_WARN,
           disabled != 0 ? "sysctl kernel.io_uring_disabled=0" : "allow io_uring_setup in the seccomp profile, or raise RLIMIT_MEMLOCK",
           "kernel.io_uring_disabled is %s; making a ring: %s", !known ? "not there" : disabled == 0 ? "0" : disabled == 1 ? "1" : "2",
           error == 0 ? "done" : strerror(-error));
}

static void check_membarrier(struct examination *examination)
{
    long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
    bool available = commands > 0 && (commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0;
    report(examination, "HF-D14", "membarrier", available ? VERDICT_OK : VERDICT_WARN,
           "use a kernel of 4.14 or later with CONFIG_MEMBARRIER, and allow membarrier in the seccomp profile",
           "private expedited barriers are %s", available ? "available" : "not available");
}

static void check_shm(struct examination *examination)
{
    bool writable = access(HF_INSPECT_DIRECTORY, W_OK | X_OK) == 0;
    int error = writable ? 0 : errno;
    report(examination, "HF-D15", "inspection", writable || !examination->options.inspect ? VERDICT_OK : VERDICT_WARN,
           "mount a tmpfs on " HF_INSPECT_DIRECTORY " that programs can write, or set HOLDFAST_INSPECT=0",
           HF_INSPECT_DIRECTORY ": %s", writable ? "writable" : strerror(error));
}

static void check_result(struct examination *examination)
{
    char size[16];
    bool degraded = examination->failed != 0;
    for (unsigned i = 0; i < examination->topology.node_count && examination->named; i++)
        if (examination->node_bytes[i] != 0)
            report(examination, "HF-D16", "arena", degraded ? VERDICT_FAIL : VERDICT_OK, "see the checks above",
                   "node %u: %s would stand on %s pages", examination->topology.nodes[i].id, size_text(size, examination->node_bytes[i]),
                   hfi_backing_name(examination->rung[i]));
    if (!examination->named)
        report(examination, "HF-D16", "arena", VERDICT_OK, "", "no size named: an arena that grows; name one with --arena or HOLDFAST_ARENA");
}

static void examine(struct examination *examination)
{
    int error = hfi_topology_load(&examination->topology, false);
    make_plan(examination);
    check_options(examination);
    check_library(examination);
    check_topology(examination, error);
    check_memory(examination);
    check_cgroup(examination);
    check_pools(examination);
    check_thp(examination);
    check_memlock(examination);
    check_swap(examination);
    check_overcommit(examination);
    check_address_space(examination);
    check_mbind(examination);
    check_uring(examination);
    check_membarrier(examination);
    check_shm(examination);
    check_result(examination);
}

/* --- the command line --- */

enum { OPTION_ARENA = 256, OPTION_BACKING };

static int doctor_main(int argc, char **argv)
{
    static const struct option long_options[] = {
        { "arena", required_argument, NULL, OPTION_ARENA }, { "backing", required_argument, NULL, OPTION_BACKING },
        { "json", no_argument, NULL, 'j' }, { "help", no_argument, NULL, 'h' }, { 0 },
    };
    static struct examination examination;
    int option;
    while ((option = tool_getopt(argc, argv, ":h", long_options, "doctor")) != -1) {
        const char *variable = option == OPTION_ARENA ? "HOLDFAST_ARENA" : "HOLDFAST_BACKING";
        if (option == 'h')
            return tool_help(&tool_doctor);
        if (option == '?')
            return EXIT_USAGE;
        if (option == 'j')
            examination.json = true;
        else if (!tool_set_option(variable, optarg, "doctor"))
            return EXIT_CONFIG;
    }
    if (optind != argc) {
        hfi_say(SAY_ERROR, "HF-E410", "doctor", "%s is not understood; see `holdfast help doctor`", argv[optind]);
        return EXIT_USAGE;
    }
    const char *library = getenv("HOLDFAST_LIBRARY");
    examination.library_chosen = library == NULL ? NULL : strdup(library);
    unsetenv("HOLDFAST_LIBRARY"); /* the tool's own: the library's table does not have it */
    hfi_options_read(&examination.options);
    examination.named = examination.options.arena != ARENA_AUTO;
    examination.checks = json_array();
    examine(&examination);
    if (examination.json && tool_json_print(examination.checks) != 0)
        return EXIT_FAILURE;
    return examination.failed != 0;
}

const struct command tool_doctor = {
    .name = "doctor",
    .summary = "check whether this machine is set up for an arena",
    .help =
        "usage: holdfast doctor [--arena SIZE] [--backing PAGES] [--json]\n"
        "\n"
        "Prints one line per check: ok, warn or fail, what was found, and what mends it.\n"
        "The arena checked for is that of the options, else of the HOLDFAST_* environment.\n"
        "Exit status 1: a named arena would not stand as asked.\n"
        "\n"
        "  --arena SIZE     as HOLDFAST_ARENA\n"
        "  --backing PAGES  as HOLDFAST_BACKING\n"
        "  --json           an array of checks: id, name, verdict, found, mend\n"
        "  --help           this text\n",
    .run = doctor_main,
};
