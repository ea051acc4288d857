/*
 * backing: what is said and done when huge pages, populating, binding or locking are refused.
 */
#include "reserve.h"

#include <sys/resource.h>

TestSuite(backing, .init = set_up);

/* --- the ladder --- */

/* More than the pool has, however much others give back meanwhile: 2 MiB pages that are missing, no
 * populating. */
static struct options more_than_the_pool(enum option_backing backing)
{
    struct os_huge_pool pool = { 0 };
    hfi_os_huge_pool(&pool, 0, true, 2 * HFI_MIB);
    uint64_t most = hfi_max(pool.total_pages, pool.free_pages);
    struct options options = options_of(ARENA_BYTES, (most + 8) * 2 * HFI_MIB, backing);
    options.prefault = PREFAULT_NONE;
    return options;
}

static bool stepped_down(const struct reservation *r)
{
    return r->nodes[0].backing == (hfi_os_has_thp() ? BACKING_THP : BACKING_4K);
}

Test(backing, explicit_2m_that_cannot_be_had)
{
    struct os_huge_pool pool;
    if (!hfi_os_huge_pool(&pool, 0, true, 2 * HFI_MIB))
        cr_skip_test("no huge pages in this kernel");
    struct options options = more_than_the_pool(BACKING_2M);
    struct outcome outcome = run(options, NULL, stepped_down);
    ASSERT_STATUS(outcome, 0);
    ASSERT_SAID(outcome, "warning HF-W201");
    ASSERT_SAID(outcome, "are missing"); /* how many, depends on who else takes pages now */
    ASSERT_SAID(outcome, "; run: echo ");
    ASSERT_SAID(outcome, " > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages\n");
    cr_assert_eq(lines_of(outcome.said), 1, "%s", outcome.said);
    options.strict = true;
    outcome = run(options, NULL, NULL);
    ASSERT_STATUS(outcome, EXIT_STOPPED);
    ASSERT_SAID(outcome, "error HF-E201");
}

Test(backing, auto_ladder_says_at_most_one_line)
{
    struct outcome outcome = run(more_than_the_pool(BACKING_AUTO), NULL, stepped_down);
    ASSERT_STATUS(outcome, 0);
    cr_assert_leq(lines_of(outcome.said), 1, "%s", outcome.said);
    struct options options = more_than_the_pool(BACKING_AUTO);
    options.strict = true;
    ASSERT_STATUS(run(options, NULL, stepped_down), 0);
}

static void refuse_populate_no_memory(void)
{
    refuse(SYS_madvise, 2, 23, ENOMEM);
}

Test(backing, populating_fails)
{
    struct outcome outcome =
        run(options_of(ARENA_BYTES, 8 * HFI_MIB, BACKING_4K), refuse_populate_no_memory, NULL);
    ASSERT_STATUS(outcome, EXIT_FAILED);
    ASSERT_SAID(outcome, "error HF-E210");
    ASSERT_SAID(outcome, "ENOMEM");
}

Test(backing, huge_pages_that_the_kernel_refuses_after_all)
{
    if (!has_pool())
        cr_skip_test("no huge pages in the pool");
    struct options options = options_of(ARENA_BYTES, 8 * HFI_MIB, BACKING_2M);
    struct outcome outcome = run_on_the_pool(options, refuse_populate_no_memory, NULL);
    ASSERT_SAID(outcome, "warning HF-W203");
    options.strict = true;
    outcome = run_on_the_pool(options, refuse_populate_no_memory, NULL);
    ASSERT_STATUS(outcome, EXIT_STOPPED);
    ASSERT_SAID(outcome, "error HF-E203");
}

static void refuse_populate_invalid(void)
{
    refuse(SYS_madvise, 2, 23, EINVAL);
}

Test(backing, kernels_without_populate_write)
{
    ASSERT_STATUS(
        run(options_of(ARENA_BYTES, 8 * HFI_MIB + 1, BACKING_4K), refuse_populate_invalid, backing_is_4k), 0);
}

/* Filters of system calls: what is forbidden is named, and is no lack of memory. */
static int refusal;

static void refuse_madvise(void)
{
    refuse(SYS_madvise, 0, -1, refusal);
}

static void refuse_madvise_and_files(void)
{
    refuse_madvise();
    refuse(SYS_openat, 0, -1, refusal);
}

static bool left_to_first_touches(const struct reservation *r)
{
    r->nodes[0].start[0] = 1;
    return layout_holds(r) && r->nodes[0].bytes == 8 * HFI_MIB && r->nodes[0].populated_bytes == 0;
}

static bool is_8_mib(const struct reservation *r)
{
    return named_holds(r) && r->nodes[0].bytes == 8 * HFI_MIB;
}

Test(backing, refused_madvise)
{
    static const struct {
        int error;
        const char *said;
    } refusals[] = { { EPERM, "refused (madvise: EPERM" },
                     { ENOSYS, "refused (madvise: ENOSYS" },
                     { EACCES, "refused (madvise: EACCES" } };
    for (int i = 0; i < 3; i++) {
        struct options options = options_of(ARENA_BYTES, 8 * HFI_MIB, BACKING_4K);
        refusal = refusals[i].error;
        struct outcome outcome = run(options, refuse_madvise, is_8_mib);
        ASSERT_STATUS(outcome, 0);
        ASSERT_SAID(outcome, "warning HF-W228");
        ASSERT_SAID(outcome, refusals[i].said);
        ASSERT_SAID(outcome, "; allow madvise in the seccomp profile");
        cr_assert_eq(lines_of(outcome.said), 1, "%s", outcome.said);
        outcome = run(options, refuse_madvise_and_files, left_to_first_touches);
        ASSERT_STATUS(outcome, 0);
        ASSERT_SAID(outcome, "warning HF-W230");
        options.strict = true;
        outcome = run(options, refuse_madvise, NULL);
        ASSERT_STATUS(outcome, EXIT_STOPPED);
        ASSERT_SAID(outcome, "error HF-E228");
    }
}

/* --- bind and lock --- */

static void refuse_mbind(void)
{
    refuse(SYS_mbind, 0, -1, EPERM);
}

Test(backing, bind_refused_is_said_once_and_not_at_all_with_one_node)
{
    struct options options = options_of(ARENA_BYTES, 16 * HFI_MIB, BACKING_4K);
    struct outcome outcome = run(options, refuse_mbind, named_holds);
    ASSERT_STATUS(outcome, 0);
    cr_assert_str_empty(outcome.said);
    options.strict = true;
    ASSERT_STATUS(run(options, refuse_mbind, named_holds), 0);
    make_topology(2);
    outcome = run(options, refuse_mbind, NULL);
    ASSERT_STATUS(outcome, EXIT_STOPPED);
    ASSERT_SAID(outcome, "error HF-E202");
    options.strict = false;
    outcome = run(options, refuse_mbind, named_holds);
    ASSERT_STATUS(outcome, 0);
    ASSERT_SAID(outcome, "warning HF-W202");
    cr_assert_eq(lines_of(outcome.said), 1, "%s", outcome.said);
}

static void refuse_mlock(void)
{
    refuse(SYS_mlock2, 0, -1, ENOMEM);
}

static void forbid_mlock(void)
{
    refuse(SYS_mlock2, 0, -1, EPERM);
}

static bool is_not_locked(const struct reservation *r)
{
    return named_holds(r) && !r->nodes[0].locked;
}

static bool is_locked(const struct reservation *r)
{
    return named_holds(r) && r->nodes[0].locked;
}

Test(backing, lock)
{
    if (SANITIZED)
        cr_skip_test("the sanitizer answers mlock itself");
    struct options options = options_of(ARENA_BYTES, 4 * HFI_MIB, BACKING_4K);
    struct rlimit limit;
    options.lock = LOCK_AUTO;
    getrlimit(RLIMIT_MEMLOCK, &limit);
    if (limit.rlim_cur >= 8 * HFI_MIB)
        ASSERT_STATUS(run(options, NULL, is_locked), 0);
    struct outcome outcome = run(options, refuse_mlock, is_not_locked);
    ASSERT_STATUS(outcome, 0);
    cr_assert_eq(lines_of(outcome.said), hfi_os_has_swap(), "only where there is swap: %s", outcome.said);
    options.lock = LOCK_YES;
    outcome = run(options, refuse_mlock, is_not_locked);
    ASSERT_STATUS(outcome, 0);
    ASSERT_SAID(outcome, "warning HF-W205");
    ASSERT_SAID(outcome, "ulimit -l");
    cr_assert_eq(lines_of(outcome.said), 1, "%s", outcome.said);
    options.strict = true;
    outcome = run(options, refuse_mlock, NULL);
    ASSERT_STATUS(outcome, EXIT_STOPPED);
    ASSERT_SAID(outcome, "error HF-E205");
    outcome = run(options, forbid_mlock, NULL);
    ASSERT_STATUS(outcome, EXIT_STOPPED);
    ASSERT_SAID(outcome, "was refused (mlock2: EPERM, limit ");
    ASSERT_SAID(outcome, "; allow mlock2 in the seccomp profile");
    options.lock = LOCK_NO;
    ASSERT_STATUS(run(options, refuse_mlock, is_not_locked), 0);
}

/* --- transparent huge pages --- */

static bool comes_in_small_pages; /* as where memory is fragmented, or the kernel is told to look for none */

int __real_hfi_os_populate(void *start, size_t bytes);
int __wrap_hfi_os_populate(void *start, size_t bytes);

int __wrap_hfi_os_populate(void *start, size_t bytes)
{
    if (comes_in_small_pages)
        hfi_os_advise_huge(start, bytes, false);
    int error = __real_hfi_os_populate(start, bytes);
    if (comes_in_small_pages)
        hfi_os_advise_huge(start, bytes, true);
    return error;
}

static void in_small_pages(void)
{
    comes_in_small_pages = true;
}

static void in_small_pages_that_stay(void)
{
    comes_in_small_pages = true;
    refuse(SYS_madvise, 2, 25, EINVAL); /* MADV_COLLAPSE */
}

static bool is_huge(const struct reservation *r)
{
    const struct reserved_node *node = &r->nodes[0];
    return named_holds(r) && hfi_os_transparent_huge_bytes(node->start, node->bytes) >= node->bytes / 10 * 9;
}

/* Kernels before 6.1 gather none: what they gave is told as it is. */
Test(backing, small_pages_are_gathered_at_start)
{
    if (!hfi_os_has_thp())
        cr_skip_test("no transparent huge pages here");
    struct options options = options_of(ARENA_BYTES, 32 * HFI_MIB, BACKING_THP);
    char *space = hfi_os_reserve(2 * HFI_MIB, 2 * HFI_MIB);
    bool gathers = hfi_os_map(space, 2 * HFI_MIB, 4096) == 0 && __real_hfi_os_populate(space, 1) == 0 &&
                   hfi_os_collapse(space, 2 * HFI_MIB) == 0;
    if (gathers) {
        struct outcome outcome = run(options, in_small_pages, is_huge);
        ASSERT_STATUS(outcome, 0);
        cr_assert_str_empty(outcome.said);
    }
    struct outcome outcome = run(options, in_small_pages_that_stay, named_holds);
    ASSERT_STATUS(outcome, 0);
    ASSERT_SAID(outcome, "warning HF-W222");
    cr_assert_eq(lines_of(outcome.said), 1, "%s", outcome.said);
}

/* --- names --- */

#define NAMES_MAX 16

static struct {
    char *start;
    size_t bytes;
    char name[80];
} named[NAMES_MAX];
static unsigned named_count;

void __wrap_hfi_os_name(void *start, size_t bytes, const char *name);

void __wrap_hfi_os_name(void *start, size_t bytes, const char *name)
{
    named[named_count].start = start;
    named[named_count].bytes = bytes;
    snprintf(named[named_count++].name, sizeof named[0].name, "%s", name);
}

static bool is_named(const char *start, size_t bytes, const char *name)
{
    for (unsigned i = 0; i < named_count; i++)
        if (named[i].start <= start && start + bytes <= named[i].start + named[i].bytes)
            return strcmp(named[i].name, name) == 0;
    return false;
}

/* The kernel names a range up to what is not mapped in it. */
static bool all_are_named(const struct reservation *r)
{
    bool holds = true;
    char name[32];
    for (unsigned i = 0; i < r->node_count; i++) {
        const struct reserved_node *node = &r->nodes[i];
        size_t first = (size_t)(node->start - r->base) >> HFI_PAGE_SHIFT,
               count = node->bytes >> HFI_PAGE_SHIFT;
        snprintf(name, sizeof name, "holdfast: node %u arena", i);
        holds = holds && is_named(node->start, node->bytes, name) &&
                is_named(r->base + first * 8, count * 8, "holdfast: maps") &&
                is_named(r->base + HFI_TABLE_OFFSET + first * 128, count * 128, "holdfast: maps");
    }
    unsigned char pages[4096];
    for (unsigned i = 0; i < named_count; i++)
        holds = holds &&
                (named[i].bytes > sizeof pages * 4096 || mincore(named[i].start, named[i].bytes, pages) == 0);
    return holds;
}

Test(backing, parts_are_named)
{
    make_topology(3);
    ASSERT_STATUS(run(options_of(ARENA_BYTES, 24 * HFI_MIB, BACKING_4K), NULL, all_are_named), 0);
    ASSERT_STATUS(run(options_of(ARENA_AUTO, 0, BACKING_4K), NULL, all_are_named), 0);
}
