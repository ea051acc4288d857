/*
 * reserve: sizes, the layout, the backing ladder, what is said and done when something is
 * refused.  Each case runs in a child of its own with standard error in a pipe; system
 * calls are refused by a seccomp filter, huge pages are never more than there are.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "arena/reserve.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arena/arena.h"
#include "kernel/os.h"
#include "arena/prefault.h"
#include "base/say.h"

#if defined __SANITIZE_ADDRESS__
#define SANITIZED 1 /* it needs much address space, and makes mlock do nothing */
#elif defined __has_feature
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#define EXIT_STOPPED 78 /* EX_CONFIG: strict */
#define EXIT_FAILED 3   /* hfi_reserve gave an error */
#define EXIT_CHECK 4    /* a check in the child did not hold */

static struct topology topology;

static struct options options_of(enum option_arena arena, size_t bytes, enum option_backing backing)
{
    struct options options;
    hfi_options_read(&options);
    options.arena = arena;
    options.arena_bytes = bytes;
    options.backing = backing;
    options.lock = LOCK_NO;
    return options;
}

static void make_topology(unsigned node_count)
{
    topology = (struct topology){ .node_count = node_count };
    for (unsigned i = 0; i < node_count; i++)
        topology.nodes[i] =
            (struct topology_node){ .id = i, .memory_bytes = (size_t)8 << 30, .has_cpus = true };
}

static void set_up(void)
{
    make_topology(1);
}

TestSuite(reserve, .init = set_up);

/* --- running a case --- */

struct outcome {
    int status; /* exit status, or 1000 + signal */
    char said[4096];
};

/* Runs hfi_reserve in a child after `prepare`, then `check`; both may be NULL. */
static struct outcome run(struct options options, void (*prepare)(void),
                          bool (*check)(const struct reservation *))
{
    struct outcome outcome;
    int ends[2], status;
    cr_assert_eq(pipe(ends), 0);
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        static struct reservation reservation;
        dup2(ends[1], 2);
        close(ends[0]);
        hfi_say_set_verbose(options.verbose);
        if (prepare != NULL)
            prepare();
        if (hfi_reserve(&reservation, &options, &topology) != 0)
            _exit(EXIT_FAILED);
        _exit(check == NULL || check(&reservation) ? 0 : EXIT_CHECK);
    }
    close(ends[1]);
    size_t length = 0;
    ssize_t got;
    while ((got = read(ends[0], outcome.said + length, sizeof outcome.said - 1 - length)) > 0)
        length += (size_t)got;
    outcome.said[length] = 0;
    close(ends[0]);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
    return outcome;
}

#define POOL_TRIES 40 /* of half a second at most, which hfi_reserve itself waits */

/* The pool was too small at the moment, or was taken between the look and the mapping. */
static bool others_took_the_pool(const struct outcome *outcome, bool refused_on_purpose)
{
    return strstr(outcome->said, "201 reserve: ") != NULL ||
           (!refused_on_purpose && strstr(outcome->said, "203 reserve: ") != NULL);
}

/* The same, again while others hold the pool. */
static struct outcome run_on_the_pool(struct options options, void (*prepare)(void),
                                      bool (*check)(const struct reservation *))
{
    struct outcome outcome = run(options, prepare, check);
    for (unsigned i = 1; i < POOL_TRIES && others_took_the_pool(&outcome, prepare != NULL); i++)
        outcome = run(options, prepare, check);
    return outcome;
}

/* The machine has a pool of 2 MiB pages for a case on a few of them. */
static bool has_pool(void)
{
    struct os_huge_pool pool;
    return hfi_os_huge_pool(&pool, 0, true, 2 * HFI_MIB) && pool.total_pages >= 8;
}

static unsigned lines_of(const char *text)
{
    unsigned lines = 0;
    for (; *text != 0; text++)
        lines += *text == '\n';
    return lines;
}

#define ASSERT_SAID(outcome, id)                                                                             \
    cr_assert_not_null(strstr((outcome).said, id), "%s was to be said, not: %s", id, (outcome).said)
#define ASSERT_STATUS(outcome, expected)                                                                     \
    cr_assert_eq((outcome).status, expected, "status %d, not %d; said: %s", (outcome).status, expected,      \
                 (outcome).said)

/* Makes one system call fail with `error`; with `value` >= 0 only where argument `argument` has
 * it. */
static void refuse(unsigned call, int argument, int value, int error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                 (unsigned)(offsetof(struct seccomp_data, args) + 8 * (unsigned)argument)),
        BPF_JUMP(BPF_JMP | (value >= 0 ? BPF_JEQ : BPF_JGE) | BPF_K, value >= 0 ? (unsigned)value : 0, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = sizeof filter / sizeof filter[0], .filter = filter };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(EXIT_CHECK);
}

static bool resident(const char *start, size_t bytes)
{
    static unsigned char pages[65536];
    if (bytes / 4096 > sizeof pages || mincore((void *)start, bytes, pages) != 0)
        return false;
    for (size_t i = 0; i < bytes / 4096; i++)
        if ((pages[i] & 1) == 0)
            return false;
    return true;
}

/* --- sizes --- */

Test(reserve, plan_splits_a_named_size_evenly)
{
    size_t bytes[HFI_MAX_NODES];
    make_topology(4);
    struct options options = options_of(ARENA_BYTES, HFI_GIB, BACKING_AUTO);
    hfi_plan_nodes(bytes, &options, &topology, hfi_os_usable_bytes());
    for (int i = 0; i < HFI_MAX_NODES; i++)
        cr_assert_eq(bytes[i], i < 4 ? HFI_GIB / 4 : 0);
    options.nodes = 0xa;
    options.arena_bytes = HFI_GIB + 2;
    hfi_plan_nodes(bytes, &options, &topology, hfi_os_usable_bytes());
    cr_assert_eq(bytes[0] + bytes[2], 0);
    cr_assert_eq(bytes[1], HFI_GIB / 2 + HFI_PAGE_BYTES, "rounded up to 64 KiB");
    cr_assert_eq(bytes[3], bytes[1]);
}

Test(reserve, plan_of_percent_nodes_and_auto)
{
    size_t bytes[HFI_MAX_NODES];
    make_topology(2);
    struct options options = options_of(ARENA_PERCENT, 0, BACKING_AUTO);
    options.arena_percent = 50;
    hfi_plan_nodes(bytes, &options, &topology, hfi_os_usable_bytes());
    cr_assert_eq(bytes[0], hfi_align_up(hfi_os_usable_bytes() / 100 * 50 / 2, HFI_PAGE_BYTES));
    options = options_of(ARENA_PER_NODE, 0, BACKING_AUTO);
    options.arena_node_bytes[1] = 5 * HFI_MIB + 1;
    hfi_plan_nodes(bytes, &options, &topology, hfi_os_usable_bytes());
    cr_assert_eq(bytes[0], 0);
    cr_assert_eq(bytes[1], 5 * HFI_MIB + HFI_PAGE_BYTES);
    options = options_of(ARENA_AUTO, 0, BACKING_AUTO);
    hfi_plan_nodes(bytes, &options, &topology, hfi_os_usable_bytes());
    cr_assert_eq(bytes[0] % (2 * HFI_MIB), 0);
    cr_assert_leq(bytes[0], hfi_os_usable_bytes());
    cr_assert_leq(bytes[0], 8 * HFI_GIB, "no more than the node has");
    cr_assert_eq(bytes[0], bytes[1]);
}

/* --- layout --- */

static bool layout_holds(const struct reservation *r)
{
    unsigned char page;
    size_t end = HFI_WINDOWS_OFFSET;
    bool holds = (uintptr_t)r->base % HFI_GIB == 0 && r->node_count == topology.node_count;
    for (unsigned i = 0; i < r->node_count; i++) { /* V1, V2 */
        holds = holds && r->nodes[i].start == r->base + end && r->nodes[i].bytes % HFI_PAGE_BYTES == 0;
        end += hfi_align_up(r->nodes[i].bytes, HFI_WINDOW_BYTES);
    }
    const volatile uint64_t *owners = (const volatile uint64_t *)r->base;
    for (size_t i = 0; i < r->span >> HFI_PAGE_SHIFT; i += 512) /* V3: or SIGSEGV */
        holds = holds && owners[i] == 0;
    /* guards are mapped, so nobody else is there, but not accessible */
    holds =
        holds && mincore(r->base - 4096, 4096, &page) == 0 && mincore(r->base + r->span, 4096, &page) == 0;
    int ends[2];
    holds = holds && pipe(ends) == 0 && write(ends[1], r->base - 1, 1) == -1 &&
            write(ends[1], r->base + r->span, 1) == -1;
    return holds && end == r->span;
}

static bool table_is_writable(const struct reservation *r)
{
    for (unsigned i = 0; i < r->node_count; i++) {
        size_t first = (size_t)(r->nodes[i].start - r->base) >> HFI_PAGE_SHIFT,
               count = r->nodes[i].bytes >> HFI_PAGE_SHIFT;
        memset(r->base + HFI_TABLE_OFFSET + first * 128, 1, count * 128);
        r->nodes[i].start[r->nodes[i].bytes - 1] = 1;
    }
    return true;
}

static bool named_holds(const struct reservation *r)
{
    bool holds = layout_holds(r) && table_is_writable(r) && !r->growing;
    for (unsigned i = 0; i < r->node_count; i++)
        holds = holds && r->nodes[i].populated_bytes == r->nodes[i].bytes &&
                resident(r->nodes[i].start, r->nodes[i].bytes);
    return holds;
}

static bool auto_holds(const struct reservation *r)
{
    bool holds = layout_holds(r) && r->growing;
    for (unsigned i = 0; i < r->node_count; i++)
        holds = holds && r->nodes[i].populated_bytes == 0 && r->nodes[i].os_page_bytes == 4096 &&
                !r->nodes[i].locked && r->nodes[i].bytes % HFI_PAGE_BYTES == 0;
    return holds;
}

Test(reserve, auto_is_silent_and_populates_nothing)
{
    struct outcome outcome = run(options_of(ARENA_AUTO, 0, BACKING_AUTO), NULL, auto_holds);
    ASSERT_STATUS(outcome, 0);
    cr_assert_str_empty(outcome.said);
}

Test(reserve, auto_of_several_nodes)
{
    make_topology(3);
    struct outcome outcome = run(options_of(ARENA_AUTO, 0, BACKING_AUTO), NULL, auto_holds);
    ASSERT_STATUS(outcome, 0);
    cr_assert_leq(lines_of(outcome.said), 1, "one line for nodes that are not there: %s", outcome.said);
}

static bool backing_is_4k(const struct reservation *r)
{
    return named_holds(r) && r->nodes[0].backing == BACKING_4K &&
           r->nodes[0].bytes == 8 * HFI_MIB + HFI_PAGE_BYTES;
}

Test(reserve, named_4k)
{
    struct outcome outcome = run(options_of(ARENA_BYTES, 8 * HFI_MIB + 1, BACKING_4K), NULL, backing_is_4k);
    ASSERT_STATUS(outcome, 0);
    cr_assert_str_empty(outcome.said);
}

static bool backing_is_thp(const struct reservation *r)
{
    return named_holds(r) && r->nodes[0].backing == BACKING_THP && r->nodes[0].bytes == 10 * HFI_MIB;
}

Test(reserve, named_thp_is_rounded_to_huge_pages)
{
    if (!hfi_os_has_thp())
        cr_skip_test("no transparent huge pages here");
    struct outcome outcome = run(options_of(ARENA_BYTES, 8 * HFI_MIB + 1, BACKING_THP), NULL, backing_is_thp);
    ASSERT_STATUS(outcome, 0);
}

static bool backing_is_2m(const struct reservation *r)
{
    return named_holds(r) && r->nodes[0].backing == BACKING_2M && r->nodes[0].locked &&
           r->nodes[0].os_page_bytes == 2 * HFI_MIB;
}

static uint64_t pool_reserved(void)
{
    uint64_t pages = 0;
    cr_assert(hfi_os_read_number("/sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages", &pages));
    return pages;
}

/* A private mapping that is reserved keeps its pages when a forked child finds none to copy to. */
Test(reserve, huge_pages_are_reserved_in_the_pool)
{
    enum { PAGES = 3 };
    size_t bytes = PAGES * 2 * HFI_MIB;
    struct os_huge_pool pool;
    if (!hfi_os_huge_pool(&pool, 0, true, 2 * HFI_MIB) || pool.free_pages < PAGES)
        cr_skip_test("no huge pages of 2 MiB free here");
    bool rose = false, fell = false;
    for (int tries = 0; tries < 20 && !(rose && fell); tries++) { /* others use the pool too */
        char *space = hfi_os_reserve(bytes, 2 * HFI_MIB);
        uint64_t before = pool_reserved();
        if (hfi_os_map(space, bytes, 2 * HFI_MIB) == 0) {
            rose = pool_reserved() == before + PAGES;
            cr_assert_eq(hfi_os_populate(space, bytes), 0);
            fell = pool_reserved() == before;
        }
        hfi_os_unreserve(space, bytes);
    }
    cr_assert(rose && fell);
}

Test(reserve, named_2m_and_populated_even_with_prefault_none)
{
    if (!has_pool())
        cr_skip_test("no huge pages in the pool");
    struct options options = options_of(ARENA_BYTES, 7 * HFI_MIB, BACKING_2M);
    ASSERT_STATUS(run_on_the_pool(options, NULL, backing_is_2m), 0);
    options.prefault = PREFAULT_NONE;
    options.verbose = true;
    struct outcome outcome = run_on_the_pool(options, NULL, backing_is_2m);
    ASSERT_STATUS(outcome, 0);
    ASSERT_SAID(outcome, "HF-I216");
}

static bool nothing_populated(const struct reservation *r)
{
    unsigned char page = 1;
    return layout_holds(r) && r->nodes[0].populated_bytes == 0 &&
           mincore(r->nodes[0].start, 4096, &page) == 0 && !(page & 1);
}

Test(reserve, prefault_none)
{
    struct options options = options_of(ARENA_BYTES, 64 * HFI_MIB, BACKING_4K);
    options.prefault = PREFAULT_NONE;
    ASSERT_STATUS(run(options, NULL, nothing_populated), 0);
}

static bool lead_populated(const struct reservation *r)
{
    return layout_holds(r) && r->nodes[0].populated_bytes == r->nodes[0].bytes &&
           resident(r->nodes[0].start, 4 * HFI_MIB) &&
           hfi_prefault_closed_bytes(0) > r->nodes[0].bytes - 32 * HFI_MIB;
}

Test(reserve, prefault_background_populates_what_it_needs_to_begin)
{
    struct options options = options_of(ARENA_BYTES, 256 * HFI_MIB, BACKING_4K);
    options.prefault = PREFAULT_BACKGROUND;
    struct outcome outcome = run(options, NULL, lead_populated);
    ASSERT_STATUS(outcome, 0);
    ASSERT_SAID(outcome, "");
}

static bool arena_begins(const struct reservation *r)
{
    return r->nodes[0].bytes == 4 * HFI_GIB && hfi_prefault_closed_bytes(0) >= 4 * HFI_GIB - 32 * HFI_MIB &&
           hfi_arena_init(r) == 0;
}

/* Its own structures are the larger the larger it is, and are there before the rest follows. */
Test(reserve, prefault_background_of_a_large_arena)
{
    enum os_bound bound;
    if (hfi_plan_most(hfi_os_available_bytes(&bound)) < 4 * HFI_GIB)
        cr_skip_test("less than 4 GiB are free");
    struct options options = options_of(ARENA_BYTES, 4 * HFI_GIB, BACKING_4K);
    options.prefault = PREFAULT_BACKGROUND;
    ASSERT_STATUS(run(options, NULL, arena_begins), 0);
}

static void refuse_io_uring(void)
{
    refuse(SYS_io_uring_setup, 0, -1, EPERM);
}

Test(reserve, prefault_background_refused_populates_at_start)
{
    struct options options = options_of(ARENA_BYTES, 64 * HFI_MIB, BACKING_4K);
    options.prefault = PREFAULT_BACKGROUND;
    options.verbose = true;
    struct outcome outcome = run(options, refuse_io_uring, named_holds);
    ASSERT_STATUS(outcome, 0);
    ASSERT_SAID(outcome, "HF-I224");
}

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

Test(reserve, explicit_2m_that_cannot_be_had)
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

Test(reserve, auto_ladder_says_at_most_one_line)
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

Test(reserve, populating_fails)
{
    struct outcome outcome =
        run(options_of(ARENA_BYTES, 8 * HFI_MIB, BACKING_4K), refuse_populate_no_memory, NULL);
    ASSERT_STATUS(outcome, EXIT_FAILED);
    ASSERT_SAID(outcome, "error HF-E210");
    ASSERT_SAID(outcome, "ENOMEM");
}

Test(reserve, huge_pages_that_the_kernel_refuses_after_all)
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

Test(reserve, kernels_without_populate_write)
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

Test(reserve, refused_madvise)
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

Test(reserve, bind_refused_is_said_once_and_not_at_all_with_one_node)
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

Test(reserve, lock)
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

/* --- impossible wishes --- */

Test(reserve, more_than_there_is)
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

Test(reserve, more_than_an_arena_can_be)
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

Test(reserve, too_small)
{
    struct options options = options_of(ARENA_BYTES, 20 * HFI_KIB, BACKING_4K);
    struct outcome outcome = run(options, NULL, is_4_mib);
    ASSERT_STATUS(outcome, 0);
    ASSERT_SAID(outcome, "warning HF-W214");
    ASSERT_SAID(outcome, "20 KiB on node 0 is too small for an arena: taking 4 MiB");
    options.strict = true;
    ASSERT_STATUS(run(options, NULL, NULL), EXIT_STOPPED);
}

Test(reserve, nodes_that_are_not_there)
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

Test(reserve, huge_pages_for_a_growing_arena)
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

Test(reserve, address_space_is_limited)
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

Test(reserve, a_cgroup_limit_is_respected_not_met_by_the_oom_killer)
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

/* --- growing --- */

/* Whether the kernel may write to an OS page. */
static bool accessible(char *start)
{
    return hfi_os_populate(start, 4096) == 0;
}

static bool steps_populate(const struct reservation *r)
{
    const struct reserved_node *node = &r->nodes[0];
    char *table = r->base + hfi_plan_table_slice(r, node).offset;
    char *owners = r->base + hfi_plan_owners_slice(r, node).offset;
    char *step_end = node->start + 128 * HFI_MIB;
    char *table_end = table + HFI_WINDOW_PAGES * HFI_TABLE_ENTRY_BYTES;
    char *owners_end = owners + HFI_WINDOW_PAGES * HFI_OWNER_ENTRY_BYTES;
    bool closed = !accessible(node->start) && !accessible(table) && !accessible(owners) && table[0] == 0 &&
                  owners[0] == 0;
    bool opened =
        hfi_open_step(node, 0, 128 * HFI_MIB) == 0 && accessible(node->start) && !accessible(step_end);
    bool maps = hfi_open_maps(r, node, 0, HFI_WINDOW_PAGES) == 0 && accessible(table) && accessible(owners) &&
                !accessible(table_end) && !accessible(owners_end);
    return closed && opened && maps && hfi_prefault_step(node, 64 * HFI_MIB, 4 * HFI_MIB) == 0 &&
           resident(node->start + 64 * HFI_MIB, 4 * HFI_MIB) &&
           hfi_prefault_step(node, 4 * HFI_MIB, 64 * HFI_KIB) == 0 &&
           resident(node->start + 4 * HFI_MIB, 64 * HFI_KIB) && !resident(node->start + 5 * HFI_MIB, 4096) &&
           hfi_prefault_step(node, node->prefault_bytes, HFI_MIB) == -ENOMEM;
}

Test(reserve, steps_of_a_growing_arena)
{
    ASSERT_STATUS(run(options_of(ARENA_AUTO, 0, BACKING_AUTO), NULL, steps_populate), 0);
}

/* --- os --- */

Test(reserve, os_calls_keep_errno_and_return_errors)
{
    char text[8];
    uint64_t number;
    errno = 123;
    cr_assert_eq(hfi_os_read_file("/no/such/file", text, sizeof text), -ENOENT);
    cr_assert_not(hfi_os_read_number("/no/such/file", &number));
    cr_assert_eq(hfi_os_map((void *)4096, 4095, 4096) < 0 || errno == 123, true);
    cr_assert_lt(hfi_os_bind((void *)(1ul << 46), 4096, 0), 0);
    cr_assert_eq(hfi_os_bind(text, 4096, 4096), -EINVAL);
    cr_assert_null(hfi_os_reserve(SIZE_MAX - 100, HFI_GIB));
    char *space = hfi_os_reserve(3 * HFI_MIB, HFI_GIB);
    cr_assert_eq((uintptr_t)space % HFI_GIB, 0);
    cr_assert_eq(hfi_os_reserve_at(space + HFI_MIB, HFI_MIB), -EEXIST);
    hfi_os_unreserve(space + HFI_MIB, HFI_MIB);
    cr_assert_eq(hfi_os_reserve_at(space + HFI_MIB, HFI_MIB), 0);
    cr_assert_eq(hfi_os_map(space, HFI_MIB, 4096), 0);
    cr_assert_eq(hfi_os_populate(space, HFI_MIB), 0);
    cr_assert(resident(space, HFI_MIB));
    cr_assert_eq(hfi_os_unmap(space, HFI_MIB), 0);
    hfi_os_unreserve(space, 3 * HFI_MIB);
    cr_assert_geq(hfi_os_read_file("/proc/self/stat", text, sizeof text), 7);
    cr_assert_eq(strlen(text), 7, "cut to the buffer, terminated");
    cr_assert_eq(errno, 123);
}

Test(reserve, transparent_huge_bytes_are_counted)
{
    char *space = hfi_os_reserve(8 * HFI_MIB, 2 * HFI_MIB);
    cr_assert_eq(hfi_os_map(space, 8 * HFI_MIB, 4096), 0);
    hfi_os_advise_huge(space, 8 * HFI_MIB, false);
    cr_assert_eq(hfi_os_populate(space, 4 * HFI_MIB), 0);
    cr_assert_eq(hfi_os_transparent_huge_bytes(space, 8 * HFI_MIB), 0);
    if (!hfi_os_has_thp() || hfi_os_advise_huge(space + 4 * HFI_MIB, 4 * HFI_MIB, true) != 0)
        cr_skip_test("no transparent huge pages here");
    cr_assert_eq(hfi_os_populate(space + 4 * HFI_MIB, 4 * HFI_MIB), 0);
    cr_assert_eq(hfi_os_transparent_huge_bytes(space, 8 * HFI_MIB), 4 * HFI_MIB);
}

static void *thread_id_is(void *argument)
{
    long id = syscall(SYS_gettid);
    (void)argument;
    cr_assert_eq(hfi_os_thread_id(), (uint64_t)id);
    refuse(SYS_gettid, 0, -1, EPERM); /* for this thread alone */
    cr_assert_eq(hfi_os_thread_id(), (uint64_t)id);
    return NULL;
}

Test(reserve, thread_id_without_the_kernel)
{
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, thread_id_is, NULL), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    pid_t pid = fork();
    if (pid == 0) {
        thread_id_is(NULL);
        _exit(0);
    }
    int status;
    cr_assert(waitpid(pid, &status, 0) == pid && status == 0);
    thread_id_is(NULL);
}
