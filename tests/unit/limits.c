/*
 * limits: sizes and nodes that cannot be, and limits of the process and of its cgroup.
 */
#include "reserve.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

TestSuite(limits, .init = set_up);

/* --- impossible wishes --- */

Test(limits, more_than_there_is)
{
    /* strict only: without, half of what is free would be populated */
    struct options options = options_of(ARENA_BYTES, (size_t)2 << 40, BACKING_4K);
    options.strict = true;
    struct outcome outcome = run(options, NULL, NULL);
    ASSERT_STATUS(outcome, EXIT_STOPPED);
    ASSERT_SAID(outcome, "error HF-E227");
    ASSERT_SAID(outcome, "2 TiB were asked for on node 0, more than the ");
    ASSERT_SAID(outcome, "the program does not start");
    ASSERT_SAID(outcome, "; name a size that fits\n");
}

static bool is_largest(const struct reservation *r)
{
    return layout_holds(r) && r->nodes[0].bytes <= HFI_WINDOWS_BYTES_MAX &&
           r->nodes[0].bytes > 3 * ((size_t)1 << 40) && r->span <= HFI_ARENA_MAX_BYTES;
}

Test(limits, more_than_an_arena_can_be)
{
    struct options options = options_of(ARENA_BYTES, (size_t)1 << 50, BACKING_4K);
    options.prefault = PREFAULT_NONE;
    struct outcome outcome = run(options, NULL, is_largest);
    ASSERT_STATUS(outcome, 0);
    ASSERT_SAID(outcome, "warning HF-W215");
    ASSERT_SAID(outcome, "1024 TiB are more than an arena can be: taking at most 3.9 TiB");
    options.strict = true;
    outcome = run(options, NULL, NULL);
    ASSERT_STATUS(outcome, EXIT_STOPPED);
    ASSERT_SAID(outcome, "error HF-E215");
}

static bool is_4_mib(const struct reservation *r)
{
    return named_holds(r) && r->nodes[0].bytes == 4 * HFI_MIB;
}

Test(limits, too_small)
{
    struct options options = options_of(ARENA_BYTES, 20 * HFI_KIB, BACKING_4K);
    struct outcome outcome = run(options, NULL, is_4_mib);
    ASSERT_STATUS(outcome, 0);
    ASSERT_SAID(outcome, "warning HF-W214");
    ASSERT_SAID(outcome, "20 KiB on node 0 is too small for an arena: taking 4 MiB");
    options.strict = true;
    ASSERT_STATUS(run(options, NULL, NULL), EXIT_STOPPED);
}

Test(limits, nodes_that_are_not_there)
{
    struct options options = options_of(ARENA_PER_NODE, 0, BACKING_4K);
    options.arena_node_bytes[0] = options.arena_node_bytes[5] = 4 * HFI_MIB;
    struct outcome outcome = run(options, NULL, is_4_mib);
    ASSERT_STATUS(outcome, 0);
    ASSERT_SAID(outcome, "warning HF-W211");
    ASSERT_SAID(outcome, "node 5");
    options.nodes = 2;
    outcome = run(options, NULL, NULL);
    ASSERT_STATUS(outcome, EXIT_FAILED);
    ASSERT_SAID(outcome, "error HF-E221");
    options = options_of(ARENA_BYTES, 4 * HFI_MIB, BACKING_4K);
    options.place = PLACE_NODE;
    options.place_node = 7;
    outcome = run(options, NULL, is_4_mib);
    ASSERT_SAID(outcome, "warning HF-W213");
    options.strict = true;
    ASSERT_STATUS(run(options, NULL, NULL), EXIT_STOPPED);
}

Test(limits, huge_pages_for_a_growing_arena)
{
    struct outcome outcome = run(options_of(ARENA_AUTO, 0, BACKING_2M), NULL, auto_holds);
    ASSERT_STATUS(outcome, 0);
    ASSERT_SAID(outcome, "warning HF-W219");
}

/* --- limits --- */

static void limit_addresses(void)
{
    struct rlimit limit = { (rlim_t)2 << 30, (rlim_t)2 << 30 };
    setrlimit(RLIMIT_AS, &limit);
}

static void limit_data(void)
{
    struct rlimit limit = { (rlim_t)1 << 30, (rlim_t)1 << 30 };
    setrlimit(RLIMIT_DATA, &limit);
}

static bool limited_holds(const struct reservation *r)
{
    return auto_holds(r) && r->nodes[0].bytes <= HFI_GIB && r->nodes[0].bytes >= 256 * HFI_MIB &&
           r->nodes[0].bound_by == PLAN_BOUND_SPACE;
}

Test(limits, address_space_is_limited)
{
    if (SANITIZED)
        cr_skip_test("the sanitizer itself needs more");
    struct outcome outcome = run(options_of(ARENA_AUTO, 0, BACKING_AUTO), limit_addresses, limited_holds);
    ASSERT_STATUS(outcome, 0);
    ASSERT_SAID(outcome, "warning HF-W207");
    cr_assert_eq(lines_of(outcome.said), 1, "%s", outcome.said);
    outcome = run(options_of(ARENA_AUTO, 0, BACKING_AUTO), limit_data, limited_holds);
    ASSERT_STATUS(outcome, 0);
    ASSERT_SAID(outcome, "warning HF-W207");
    ASSERT_STATUS(run(options_of(ARENA_BYTES, 8 * HFI_MIB, BACKING_4K), limit_addresses, named_holds), 0);
    outcome = run(options_of(ARENA_BYTES, 4 * HFI_GIB, BACKING_4K), limit_addresses, named_holds);
    ASSERT_STATUS(outcome, EXIT_FAILED);
    ASSERT_SAID(outcome, "error HF-E206");
}

/* A cgroup (v1) of 192 MiB below our own, where that can be made. */
static char cgroup_path[512];

static bool make_cgroup(void)
{
    char text[4096], path[600];
    if (hfi_os_read_file("/proc/self/cgroup", text, sizeof text) <= 0)
        return false;
    char *group = strstr(text, ":memory:");
    if (group == NULL)
        return false;
    group += strlen(":memory:");
    group[strcspn(group, "\n")] = 0;
    snprintf(cgroup_path, sizeof cgroup_path, "/sys/fs/cgroup/memory%.300s/holdfast-%ld", group,
             (long)getpid());
    if (mkdir(cgroup_path, 0755) != 0)
        return false;
    snprintf(path, sizeof path, "%s/memory.limit_in_bytes", cgroup_path);
    int fd = open(path, O_WRONLY);
    bool made = fd >= 0 && write(fd, "201326592", 9) == 9;
    close(fd);
    return made;
}

static void enter_cgroup(void)
{
    char path[600];
    snprintf(path, sizeof path, "%s/cgroup.procs", cgroup_path);
    int fd = open(path, O_WRONLY);
    if (fd < 0 || write(fd, "0", 1) != 1)
        _exit(EXIT_CHECK);
    close(fd);
}

static bool fits_the_cgroup(const struct reservation *r)
{
    uint64_t limit, used;
    return named_holds(r) && r->nodes[0].bytes < 180 * HFI_MIB && r->nodes[0].bytes > 140 * HFI_MIB &&
           hfi_os_cgroup_limit(&limit, &used) && limit == 192 * HFI_MIB && used >= r->nodes[0].bytes &&
           hfi_os_usable_bytes() == 192 * HFI_MIB && r->nodes[0].bound_by == PLAN_BOUND_CGROUP;
}

static bool takes_half_of_the_cgroup(const struct reservation *r)
{
    return named_holds(r) && r->nodes[0].bytes <= 96 * HFI_MIB && r->nodes[0].bytes > 70 * HFI_MIB &&
           r->nodes[0].asked_bytes == 512 * HFI_MIB && r->nodes[0].bound_by == PLAN_BOUND_CGROUP;
}

/* None takes the share of the others, who are cut as well. */
static bool nodes_fit_the_cgroup(const struct reservation *r)
{
    return r->nodes[0].bytes + r->nodes[1].bytes < 180 * HFI_MIB && r->nodes[1].bytes < 90 * HFI_MIB &&
           r->nodes[0].bytes >= r->nodes[1].bytes;
}

static bool auto_fits_the_cgroup(const struct reservation *r)
{
    return auto_holds(r) && r->nodes[0].bytes <= 256 * HFI_MIB &&
           r->nodes[0].prefault_bytes < 192 * HFI_MIB && r->nodes[0].bound_by == PLAN_BOUND_CGROUP;
}

Test(limits, a_cgroup_limit_is_respected_not_met_by_the_oom_killer)
{
    if (!make_cgroup())
        cr_skip_test("no cgroup of our own can be made");
    struct outcome named =
        run(options_of(ARENA_BYTES, 186 * HFI_MIB, BACKING_4K), enter_cgroup, fits_the_cgroup);
    struct outcome beyond =
        run(options_of(ARENA_BYTES, 512 * HFI_MIB, BACKING_4K), enter_cgroup, takes_half_of_the_cgroup);
    make_topology(2);
    struct outcome nodes =
        run(options_of(ARENA_BYTES, 184 * HFI_MIB, BACKING_4K), enter_cgroup, nodes_fit_the_cgroup);
    make_topology(1);
    struct outcome grows = run(options_of(ARENA_AUTO, 0, BACKING_AUTO), enter_cgroup, auto_fits_the_cgroup);
    rmdir(cgroup_path);
    ASSERT_STATUS(named, 0);
    ASSERT_SAID(named, "warning HF-W209");
    ASSERT_SAID(named, "the cgroup's limit leaves");
    ASSERT_STATUS(beyond, 0);
    ASSERT_SAID(beyond, "warning HF-W227");
    ASSERT_SAID(beyond, "more than the cgroup's limit allows at all (192 MiB, of which ");
    ASSERT_STATUS(nodes, 0);
    ASSERT_STATUS(grows, 0);
}
