/*
 * prefault: every chunk is given out once and populated, by the ring, by force and by both; an
 * error is its chunk's alone; without a ring the same.  What came in small pages is gathered into huge
 * ones where the order wants that.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "arena/prefault.h"
#include "kernel/cpu.h"
#include "kernel/machine.h"
#include "kernel/os.h"
#include "kernel/ring.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CHUNK ((size_t)8 * HFI_MIB) /* in the background */
#define CHUNKS 8
#define BYTES (CHUNKS * CHUNK - HFI_MIB) /* the last chunk is short */
#define START_CHUNK ((size_t)64 * HFI_MIB)
#define START_BYTES (CHUNKS * START_CHUNK - HFI_MIB)
#define FROM ((size_t)4 * HFI_MIB)

static char *memory, *owners, *table;
static _Atomic(unsigned) given[CHUNKS];

static char *map(size_t bytes)
{
    char *start =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    cr_assert_neq(start, MAP_FAILED);
    madvise(start, bytes, MADV_NOHUGEPAGE);
    return start;
}

static struct prefault_order order(size_t from)
{
    return (struct prefault_order){ .node_id = 0,
                                    .memory = memory,
                                    .from = from,
                                    .bytes = BYTES,
                                    .owners = owners,
                                    .table = table,
                                    .owner_bytes = 8,
                                    .entry_bytes = 128 };
}

static void set_up(void)
{
    memory = map(START_BYTES);
    owners = map(BYTES / HFI_PAGE_BYTES * 8 + 4096);
    table = map(BYTES / HFI_PAGE_BYTES * 128 + 4096);
}

TestSuite(prefault, .init = set_up);

static void refuse_io_uring(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = sizeof filter / sizeof filter[0], .filter = filter };
    cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static bool resident(const char *start, size_t bytes)
{
    static _Thread_local unsigned char pages[CHUNK / 4096];
    start = (const char *)hfi_align_down((uintptr_t)start, 4096);
    if (mincore((void *)start, bytes, pages) != 0)
        return false;
    for (size_t i = 0; i < bytes / 4096; i++)
        if ((pages[i] & 1) == 0)
            return false;
    return true;
}

static void check_given(struct prefault_part part)
{
    size_t first_page = part.offset / HFI_PAGE_BYTES, pages = part.bytes / HFI_PAGE_BYTES;
    given[part.offset / CHUNK]++;
    cr_assert(resident(memory + part.offset, part.bytes), "memory at %zu is not populated", part.offset);
    cr_assert(resident(owners + first_page * 8, pages * 8), "owners of %zu are not populated", part.offset);
    cr_assert(resident(table + first_page * 128, pages * 128), "table of %zu is not populated", part.offset);
    hfi_prefault_opened(0, part);
}

static void check_each_given_once(unsigned but)
{
    cr_assert_eq(hfi_prefault_closed_bytes(0), 0);
    for (unsigned i = 0; i < CHUNKS; i++)
        cr_assert_eq(given[i], i != but, "chunk %u was given %u times", i, given[i]);
}

Test(prefault, background_by_the_ring_alone)
{
    struct prefault_order all = order(FROM);
    struct prefault_part part;
    hfi_prefault_background(0, &all);
    hfi_prefault_start();
    while (hfi_prefault_closed_bytes(0) != 0)
        if (hfi_prefault_next(0, &part))
            check_given(part);
        else
            usleep(1000);
    check_each_given_once(CHUNKS);
    cr_assert(!hfi_prefault_goes_on(0) && hfi_prefault_error(0) == 0);
}

/* Where the kernel stops taking requests, the ring is closed with some of them under way. */
Test(prefault, a_closed_ring_has_no_completions)
{
    struct ring ring = { .open = false };
    uint64_t cpus[HFI_CPU_WORDS], tag;
    int result;
    cr_assert(!hfi_ring_completion(&ring, &tag, &result));
    hfi_os_allowed_cpus(cpus);
    if (hfi_ring_open(&ring, 4, 1, cpus) != 0)
        cr_skip_test("no io_uring here");
    cr_assert(hfi_ring_populate(&ring, memory, CHUNK, 1));
    cr_assert_eq(hfi_ring_submit(&ring), 0);
    hfi_ring_close(&ring);
    cr_assert(!hfi_ring_completion(&ring, &tag, &result));
}

static void *take(void *argument)
{
    struct prefault_part part;
    for (int i = (int)(intptr_t)argument; hfi_prefault_closed_bytes(0) != 0; i++) {
        if (i % 2 == 0 && hfi_prefault_force(0, &part) == 0)
            check_given(part);
        while (hfi_prefault_next(0, &part))
            check_given(part);
        usleep(300);
    }
    return NULL;
}

Test(prefault, background_by_ring_and_three_threads)
{
    struct prefault_order all = order(FROM);
    pthread_t threads[3];
    hfi_prefault_background(0, &all);
    hfi_prefault_start();
    for (intptr_t i = 0; i < 3; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, take, (void *)i), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    check_each_given_once(CHUNKS);
}

Test(prefault, background_refused)
{
    struct prefault_order all = order(FROM);
    struct prefault_part part;
    refuse_io_uring();
    cr_assert(!hfi_prefault_may_go_on(&all));
    hfi_prefault_background(0, &all);
    hfi_prefault_start();
    cr_assert(!hfi_prefault_next(0, &part) && !hfi_prefault_goes_on(0));
    while (hfi_prefault_force(0, &part) == 0)
        check_given(part);
    check_each_given_once(CHUNKS);
}

Test(prefault, an_error_is_its_chunks_alone)
{
    struct prefault_order all = order(FROM);
    struct prefault_part part;
    cr_assert_eq(mprotect(memory + 3 * CHUNK + 8192, 4096, PROT_NONE), 0);
    hfi_prefault_background(0, &all);
    hfi_prefault_start();
    for (int i = 0; hfi_prefault_closed_bytes(0) != 0; i++)
        if (hfi_prefault_next(0, &part) ||
            ((i == 5 || !hfi_prefault_goes_on(0)) && hfi_prefault_force(0, &part) == 0))
            check_given(part);
        else
            usleep(1000);
    check_each_given_once(3);
    cr_assert_lt(hfi_prefault_error(0), 0);
    cr_assert_eq(hfi_prefault_failed_bytes(0), CHUNK);
}

Test(prefault, an_error_met_by_force)
{
    struct prefault_order all = order(FROM);
    struct prefault_part part;
    int error = 0;
    refuse_io_uring();
    cr_assert_eq(mprotect(memory + 3 * CHUNK + 8192, 4096, PROT_NONE), 0);
    hfi_prefault_background(0, &all);
    hfi_prefault_start();
    while (error != -ENOENT)
        if ((error = hfi_prefault_force(0, &part)) == 0)
            check_given(part);
    check_each_given_once(3);
    cr_assert_lt(hfi_prefault_error(0), 0);
}

static void start(int refused)
{
    struct prefault_order all = order(0);
    size_t done;
    all.bytes = START_BYTES;
    all.owners = all.table = NULL;
    if (refused)
        refuse_io_uring();
    hfi_prefault_begin(0, &all);
    cr_assert_eq(hfi_prefault_finish(0, &done), 0);
    cr_assert_eq(done, START_BYTES);
    for (size_t at = 0; at < START_BYTES; at += HFI_MIB)
        cr_assert(resident(memory + at, HFI_MIB), "%zu is not populated", at);
    cr_assert_eq(hfi_prefault_closed_bytes(0), 0);
}

Test(prefault, start)
{
    start(false);
}

Test(prefault, start_refused)
{
    start(true);
}

Test(prefault, start_fails_and_says_how_far_it_came)
{
    for (int i = 0; i < 4; i++) {
        struct prefault_order all = order(0);
        size_t done = START_BYTES, bad = (size_t)(2 * i) * START_CHUNK + 12288;
        all.bytes = START_BYTES;
        all.owners = all.table = NULL;
        cr_assert_eq(mprotect(memory + bad, 4096, PROT_NONE), 0);
        hfi_prefault_begin(0, &all);
        cr_assert_lt(hfi_prefault_finish(0, &done), 0);
        cr_assert_leq(done, bad);
        cr_assert(done == 0 || resident(memory + done - HFI_MIB, HFI_MIB));
        cr_assert_eq(mprotect(memory + bad, 4096, PROT_READ | PROT_WRITE), 0);
        usleep(200000); /* what was cancelled */
        madvise(memory, START_BYTES, MADV_DONTNEED);
    }
}

Test(prefault, after_a_fork_what_was_taken_is_taken_again)
{
    struct prefault_order all = order(FROM);
    struct prefault_part part;
    hfi_prefault_background(0, &all);
    hfi_prefault_start();
    usleep(20000);
    while (hfi_prefault_next(0, &part))
        check_given(part);
    hfi_prefault_forked(true);
    cr_assert(!hfi_prefault_goes_on(0));
    while (hfi_prefault_force(0, &part) == 0)
        check_given(part);
    check_each_given_once(CHUNKS);
}

/* A signal handler forks while its thread opens a chunk, and goes on in the child. */
Test(prefault, after_a_fork_the_only_thread_goes_on_opening)
{
    struct prefault_order all = order(FROM);
    struct prefault_part part;
    hfi_prefault_background(0, &all);
    cr_assert_eq(hfi_prefault_force(0, &part), 0);
    hfi_prefault_forked(false);
    do {
        hfi_prefault_opened(0, part);
    } while (hfi_prefault_force(0, &part) == 0);
    cr_assert_eq(hfi_prefault_closed_bytes(0), 0);
}

/* --- small pages where huge ones were wanted --- */

/* Of `order`'s memory, from `from` on, in small pages, though huge ones are wanted. */
static struct prefault_order order_in_small_pages(size_t from, size_t bytes)
{
    struct prefault_order small = order(from);
    small.huge = true;
    small.bytes = bytes;
    small.memory = hfi_os_reserve(bytes, 2 * HFI_MIB);
    cr_assert_eq(hfi_os_map(small.memory, bytes, 4096), 0);
    cr_assert_eq(hfi_os_advise_huge(small.memory, bytes, false), 0);
    cr_assert_eq(hfi_os_lock_on_fault(small.memory, bytes), 0);
    cr_assert_eq(hfi_os_populate(small.memory, bytes), 0);
    cr_assert_eq(hfi_os_transparent_huge_bytes(small.memory, bytes), 0); /* before the kernel scans it */
    cr_assert_eq(hfi_os_advise_huge(small.memory, bytes, true), 0);
    return small;
}

static bool kernel_gathers(void)
{
    char *memory_of_two = hfi_os_reserve(4 * HFI_MIB, 2 * HFI_MIB);
    cr_assert_eq(hfi_os_map(memory_of_two, 4 * HFI_MIB, 4096), 0);
    cr_assert_eq(hfi_os_populate(memory_of_two, 4 * HFI_MIB), 0);
    bool gathers = hfi_os_has_thp() && hfi_os_collapse(memory_of_two, 4 * HFI_MIB) == 0;
    hfi_os_unreserve(memory_of_two, 4 * HFI_MIB);
    return gathers;
}

/* Nine tenths will do: the machine's memory may be short of huge pages at the moment. */
/* Without gathering none are.  The kernel leaves a part as it is where it finds no huge page for it. */
static void check_huge(const struct prefault_order *of, size_t bytes)
{
    uint64_t huge = hfi_os_transparent_huge_bytes(of->memory, of->bytes);
    cr_assert_geq(huge, bytes / 2, "%zu KiB of %zu are huge", (size_t)(huge / 1024), bytes / 1024);
}

static void start_in_small_pages(bool affine, bool refused)
{
    size_t done;
    if (!kernel_gathers())
        cr_skip_test("this kernel gathers no small pages");
    struct prefault_order small = order_in_small_pages(0, 2 * START_CHUNK);
    small.affine = affine; /* then the ring does all of it, else the starting thread */
    small.owners = small.table = NULL;
    if (refused)
        refuse_io_uring();
    hfi_prefault_begin(0, &small);
    cr_assert_eq(hfi_prefault_finish(0, &done), 0);
    check_huge(&small, small.bytes);
}

Test(prefault, start_gathers_small_pages)
{
    start_in_small_pages(false, false);
}

Test(prefault, start_gathers_small_pages_by_the_ring)
{
    start_in_small_pages(true, false);
}

Test(prefault, start_gathers_small_pages_refused)
{
    start_in_small_pages(true, true);
}

Test(prefault, background_gathers_small_pages_before_it_gives_them_out)
{
    struct prefault_part part;
    if (!kernel_gathers())
        cr_skip_test("this kernel gathers no small pages");
    struct prefault_order small = order_in_small_pages(FROM, CHUNKS * CHUNK);
    memory = small.memory;
    if (!hfi_prefault_may_go_on(&small))
        cr_skip_test("no io_uring here");
    hfi_prefault_background(0, &small);
    hfi_prefault_start();
    for (size_t given_bytes = 0; hfi_prefault_closed_bytes(0) != 0;)
        if (hfi_prefault_next(0, &part)) {
            given_bytes += part.bytes;
            check_huge(&small, given_bytes);
            check_given(part);
        } else {
            usleep(1000);
        }
    check_each_given_once(CHUNKS);
}

/* A call of the program is not held up by it. */
Test(prefault, force_gathers_nothing)
{
    struct prefault_part part;
    struct prefault_order small = order_in_small_pages(FROM, CHUNKS * CHUNK);
    memory = small.memory;
    refuse_io_uring();
    hfi_prefault_background(0, &small);
    while (hfi_prefault_force(0, &part) == 0)
        check_given(part);
    cr_assert_eq(hfi_os_transparent_huge_bytes(small.memory, small.bytes), 0);
}
