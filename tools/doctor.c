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
 * Sizes come from hfi_plan_nodes, the library's own arithmetic.
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
#include <sys/syscall.h>
#include <unistd.h>

#include "os.h"
#include "planning.h"
#include "tool.h"

#define CAPABILITY_IPC_LOCK 14
#define CAPABILITY_SYS_NICE 23
#define OS_PAGE_BYTES ((size_t)4096)
#define METADATA_SHARE (HFI_PAGE_BYTES / (128 + 8)) /* bytes of arena per byte of page table and owners */
#define GUARDS_BYTES ((size_t)4 * HFI_MIB)
#define TEXT_BYTES 512

enum verdict { VERDICT_OK, VERDICT_WARN, VERDICT_FAIL };

/* What the checks look at, and where they put what they found. */
struct examination {
    struct planning plan;
    const char *library_chosen; /* HOLDFAST_LIBRARY */
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
    return examination->plan.named ? VERDICT_FAIL : VERDICT_WARN;
}

/* A trouble that matters only with a named arena, and less than a failure. */
static enum verdict warn_if_named(const struct examination *examination)
{
    return examination->plan.named ? VERDICT_WARN : VERDICT_OK;
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

/* --- the checks --- */

static void check_options(struct examination *examination)
{
    unsigned errors = examination->plan.options.errors;
    bool meant = examination->plan.named || examination->plan.options.strict || getenv("HOLDFAST_ARENA") != NULL;
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
    const struct options *options = &examination->plan.options;
    for (unsigned id = 0; id < HFI_MAX_NODES; id++) {
        const struct topology_node *node = find_node(&examination->plan.topology, id);
        bool listed = options->nodes != ~(uint64_t)0 && (options->nodes >> id & 1) != 0;
        bool sized = options->arena == ARENA_PER_NODE && options->arena_node_bytes[id] != 0;
        bool placed = options->place == PLACE_NODE && options->place_node == id;
        if ((listed || sized || placed) && (node == NULL || !hfi_node_is_chosen(options, node)))
            report(examination, "HF-D03", "topology", fail_if_named(examination), "see `numactl -H` and the cgroup's cpuset.mems, correct the variable",
                   "node %u is named by %s, and %s", id, sized ? "HOLDFAST_ARENA" : placed ? "HOLDFAST_PLACE" : "HOLDFAST_NODES",
                   node != NULL ? "has no arena by HOLDFAST_NODES" : "has no memory this process may use");
    }
}

/* The only node has all of the memory, even where its own file has not heard of some (hotplug). */
static uint64_t node_memory_bytes(const struct examination *examination, unsigned index)
{
    uint64_t bytes = examination->plan.topology.nodes[index].memory_bytes;
    return examination->plan.topology.node_count == 1 ? hfi_max(bytes, hfi_os_usable_bytes()) : bytes;
}

static void check_topology(struct examination *examination, int error)
{
    char memory[16], planned[16];
    if (error != 0)
        report(examination, "HF-D03", "topology", fail_if_named(examination), "check that /sys is mounted", "hwloc gave no answer (%s)", strerror(-error));
    for (unsigned i = 0; i < examination->plan.topology.node_count; i++) {
        const struct topology_node *node = &examination->plan.topology.nodes[i];
        uint64_t memory_bytes = node_memory_bytes(examination, i);
        size_t planned_bytes = examination->plan.node_bytes[i];
        bool too_large = examination->plan.named && planned_bytes > memory_bytes;
        bool too_small = examination->plan.named && planned_bytes != 0 && planned_bytes < HFI_NODE_BYTES_MIN;
        report(examination, "HF-D03", "topology", too_large || too_small ? VERDICT_FAIL : VERDICT_OK,
               too_large ? "lower HOLDFAST_ARENA for this node" : "raise HOLDFAST_ARENA to 4M at least for this node",
               "node %u of %u has %s of %s; the arena %s %s", node->id, examination->plan.topology.node_count,
               size_text(memory, memory_bytes), hfi_topology_memory_name(node->memory),
               examination->plan.named ? "takes" : "may grow to", size_text(planned, planned_bytes));
    }
    check_named_nodes(examination);
    if (examination->plan.total_bytes == 0)
        report(examination, "HF-D03", "topology", VERDICT_FAIL, "name nodes that there are in HOLDFAST_NODES and HOLDFAST_ARENA",
               "the options leave no node with memory");
}

/* As src/reserve.c: memory beside the pools that exceeds 95 % of what is free is cut down. */
static void check_memory(struct examination *examination)
{
    enum os_bound bound = OS_BOUND_MACHINE;
    char have[16], want[16];
    bool populates = examination->plan.named && examination->plan.options.prefault != PREFAULT_NONE;
    uint64_t available = hfi_os_available_bytes(&bound);
    size_t want_bytes = examination->plan.named ? examination->plan.small_page_bytes : 0;
    bool fits = !populates || want_bytes <= available / 100 * 95;
    bool in_cgroup = bound == OS_BOUND_CGROUP;
    report(examination, "HF-D04", "memory", fits ? VERDICT_OK : VERDICT_FAIL,
           in_cgroup ? "lower HOLDFAST_ARENA, or raise memory.max (MemoryMax=)" : "lower HOLDFAST_ARENA, or stop what else uses memory",
           "%s %s, the arena takes %s beside the huge page pools", in_cgroup ? "the cgroup's limit leaves" : "free on this machine are",
           size_text(have, available), size_text(want, want_bytes));
    for (unsigned i = 0; i < examination->plan.topology.node_count && examination->plan.topology.node_count > 1 && populates; i++) {
        unsigned id = examination->plan.topology.nodes[i].id;
        uint64_t left = hfi_os_node_available_bytes(id);
        want_bytes = examination->plan.rung[i] >= BACKING_THP ? examination->plan.node_bytes[i] : 0;
        report(examination, "HF-D04", "memory", want_bytes <= left / 100 * 95 ? VERDICT_OK : VERDICT_FAIL, "lower HOLDFAST_ARENA for this node",
               "node %u has %s free, the arena takes %s of it", id, size_text(have, left), size_text(want, want_bytes));
    }
}

static void check_cgroup(struct examination *examination)
{
    uint64_t limit = 0, used = 0;
    char limit_text[16], used_text[16], want[16];
    if (!hfi_os_cgroup_limit(&limit, &used)) {
        report(examination, "HF-D05", "cgroup", VERDICT_OK, "", "no memory limit");
        return;
    }
    size_t want_bytes = examination->plan.named ? examination->plan.small_page_bytes + examination->plan.total_bytes / METADATA_SHARE : 0;
    bool fits = want_bytes <= (limit > used ? limit - used : 0);
    report(examination, "HF-D05", "cgroup", fits ? VERDICT_OK : VERDICT_FAIL, "raise memory.max (systemd: MemoryMax=), or lower HOLDFAST_ARENA",
           "limit %s, %s used, the arena takes %s of it", size_text(limit_text, limit), size_text(used_text, used), size_text(want, want_bytes));
}

/* One pool of one node.  Short is a failure where this size was asked for, else a hint. */
static void check_pool(struct examination *examination, unsigned index, enum option_backing backing)
{
    struct os_huge_pool pool;
    char mend[TEXT_BYTES];
    unsigned node = examination->plan.topology.nodes[index].id;
    size_t bytes = examination->plan.node_bytes[index], page_bytes = hfi_backing_unit_bytes(backing);
    const char *name = hfi_backing_name(backing);
    bool asked = examination->plan.named && examination->plan.options.backing == backing;
    bool tried = asked || (examination->plan.named && examination->plan.options.backing < backing && bytes % page_bytes == 0);
    uint64_t needed = tried ? hfi_divide_up(bytes, page_bytes) : 0;
    if (!planning_pool(&examination->plan, index, backing, &pool)) {
        report(examination, "HF-D06", "huge pages", asked ? VERDICT_FAIL : VERDICT_OK,
               "boot with hugepagesz=1G, or name another HOLDFAST_BACKING", "node %u has no huge pages of %s", node, name);
        return;
    }
    bool covered = pool.free_pages >= needed || examination->plan.rung[index] < backing;
    bool hint = tried && backing == BACKING_2M; /* of 1 GiB pages auto does without a word */
    snprintf(mend, sizeof mend, "echo %llu > %s", (unsigned long long)(pool.total_pages + needed - hfi_min(needed, pool.free_pages)), pool.path);
    report(examination, "HF-D06", "huge pages", covered ? VERDICT_OK : asked ? VERDICT_FAIL : hint ? VERDICT_WARN : VERDICT_OK, mend,
           "node %u has %llu pages of %s, %llu to be had; the arena would need %llu", node, (unsigned long long)pool.total_pages, name,
           (unsigned long long)pool.free_pages, (unsigned long long)needed);
}

static void check_pools(struct examination *examination)
{
    for (unsigned i = 0; i < examination->plan.topology.node_count; i++) {
        check_pool(examination, i, BACKING_1G);
        check_pool(examination, i, BACKING_2M);
    }
}

static void check_thp(struct examination *examination)
{
    char enabled[32], defrag[32];
    enum option_backing asked = examination->plan.options.backing;
    bool needed = examination->plan.small_page_bytes != 0 && asked != BACKING_4K;
    chosen_word("/sys/kernel/mm/transparent_hugepage/enabled", enabled, sizeof enabled);
    chosen_word("/sys/kernel/mm/transparent_hugepage/defrag", defrag, sizeof defrag);
    enum verdict verdict = hfi_os_has_thp() || !needed ? VERDICT_OK : asked == BACKING_THP ? fail_if_named(examination) : VERDICT_WARN;
    report(examination, "HF-D07", "transparent huge pages", verdict, "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
           "enabled %s, defrag %s; the arena %s them", enabled, defrag, needed ? "would use" : "does not need");
}

/* LOCK_AUTO is content with a refusal where nothing can be swapped. */
static void check_memlock(struct examination *examination)
{
    char have[16], want[16];
    enum option_lock lock = examination->plan.options.lock;
    bool wanted = lock == LOCK_YES || (lock == LOCK_AUTO && examination->plan.named && examination->plan.options.prefault != PREFAULT_NONE);
    uint64_t want_bytes = wanted ? examination->plan.small_page_bytes + examination->plan.total_bytes / METADATA_SHARE : 0;
    uint64_t limit = hfi_os_lock_limit();
    bool privileged = has_capability(CAPABILITY_IPC_LOCK);
    bool enough = privileged || want_bytes <= limit;
    bool matters = lock == LOCK_YES || hfi_os_has_swap();
    report(examination, "HF-D08", "memory lock", enough || !matters ? VERDICT_OK : fail_if_named(examination),
           "ulimit -l unlimited (systemd: LimitMEMLOCK=infinity; limits.conf: memlock), or HOLDFAST_LOCK=no",
           "limit %s%s, the arena locks %s%s", limit == UINT64_MAX ? "unlimited" : size_text(have, limit),
           privileged ? " but CAP_IPC_LOCK is held" : "", size_text(want, want_bytes),
           enough || matters ? "" : "; it does without, as there is no swap");
}

static void check_swap(struct examination *examination)
{
    uint64_t swap = 0, swappiness = 0;
    char text[16];
    meminfo_bytes("SwapTotal", &swap);
    hfi_os_read_number("/proc/sys/vm/swappiness", &swappiness);
    bool at_risk = swap != 0 && examination->plan.small_page_bytes != 0 && examination->plan.options.lock == LOCK_NO;
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
    uint64_t want_bytes = examination->plan.small_page_bytes + examination->plan.total_bytes / METADATA_SHARE;
    report(examination, "HF-D10", "overcommit", want_bytes <= left ? VERDICT_OK : fail_if_named(examination),
           "sysctl vm.overcommit_memory=0, or raise vm.overcommit_ratio", "vm.overcommit_memory is 2, %s may still be committed, the arena takes %s",
           size_text(have, left), size_text(want, want_bytes));
}

/* The least that src/reserve.c makes do with: the parts without the gaps between them. */
static void check_address_space(struct examination *examination)
{
    char have[16], want[16];
    uint64_t room = hfi_os_address_room();
    uint64_t need = HFI_WINDOWS_OFFSET / HFI_PAGE_BYTES * 8 + examination->plan.total_bytes + GUARDS_BYTES;
    for (unsigned i = 0; i < examination->plan.topology.node_count; i++)
        need += hfi_align_up(examination->plan.node_bytes[i], HFI_WINDOW_BYTES) / METADATA_SHARE;
    report(examination, "HF-D11", "address space", need <= room ? VERDICT_OK : fail_if_named(examination),
           "ulimit -v unlimited; ulimit -d unlimited (systemd: LimitAS=infinity, LimitDATA=infinity)",
           "the limits leave %s, the arena takes %s of addresses", room == UINT64_MAX ? "all" : size_text(have, room), size_text(want, need));
}

static void check_mbind(struct examination *examination)
{
    unsigned node = examination->plan.topology.nodes[0].id;
    void *page = mmap(NULL, OS_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int error = page == MAP_FAILED ? -ENOMEM : hfi_os_bind(page, OS_PAGE_BYTES, node);
    if (page != MAP_FAILED)
        munmap(page, OS_PAGE_BYTES);
    bool several = examination->plan.topology.node_count > 1;
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
    report(examination, "HF-D15", "inspection", writable || !examination->plan.options.inspect ? VERDICT_OK : VERDICT_WARN,
           "mount a tmpfs on " HF_INSPECT_DIRECTORY " that programs can write, or set HOLDFAST_INSPECT=0",
           HF_INSPECT_DIRECTORY ": %s", writable ? "writable" : strerror(error));
}

/* What stands when all is done. */
static void check_result(struct examination *examination)
{
    char size[16];
    enum option_backing asked = examination->plan.options.backing;
    bool degraded = examination->failed != 0;
    for (unsigned i = 0; i < examination->plan.topology.node_count && examination->plan.named; i++)
        if (examination->plan.node_bytes[i] != 0)
            report(examination, "HF-D16", "arena", degraded ? VERDICT_FAIL : VERDICT_OK, "see the checks above",
                   "node %u: %s would stand on %s pages", examination->plan.topology.nodes[i].id, size_text(size, examination->plan.node_bytes[i]),
                   hfi_backing_name(examination->plan.rung[i]));
    if (examination->plan.named)
        return;
    bool misplaced = asked == BACKING_1G || asked == BACKING_2M;
    report(examination, "HF-D16", "arena", !misplaced ? VERDICT_OK : VERDICT_WARN, "name a size with --arena or HOLDFAST_ARENA",
           "no size named: an arena that grows%s%s", misplaced ? ", which cannot have huge pages of " : "", misplaced ? hfi_backing_name(asked) : "");
}

static void examine(struct examination *examination)
{
    int error = hfi_topology_load(&examination->plan.topology, false);
    planning_make(&examination->plan);
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
    hfi_options_read(&examination.plan.options);
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
