/*
 * os: mappings, files and the thread id, as the kernel gives them or where it refuses.
 */
#include "reserve.h"

#include <pthread.h>
#include <sched.h>
#include <sys/auxv.h>

TestSuite(os, .init = set_up);

static uint64_t pool_reserved(void)
{
    uint64_t pages = 0;
    cr_assert(hfi_os_read_number("/sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages", &pages));
    return pages;
}

/* A private mapping that is reserved keeps its pages when a forked child finds none to copy to. */
Test(os, huge_pages_are_reserved_in_the_pool)
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

Test(os, a_thread_that_was_moved_is_told_its_new_cpu)
{
    cpu_set_t allowed, one;
    cr_assert_eq(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    if (hfi_os_cpu_told() < 0)
        cr_skip_test("the C library has registered no rseq(2) area");
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &allowed))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        cr_assert_eq(sched_setaffinity(0, sizeof one, &one), 0);
        cr_assert_eq(hfi_os_cpu_told(), cpu);
    }
}

Test(os, os_calls_keep_errno_and_return_errors)
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

Test(os, transparent_huge_bytes_are_counted)
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

#ifndef PR_SET_THP_DISABLE
#define PR_SET_THP_DISABLE 41
#endif

/* Criterion runs each test in a process of its own. */
Test(os, transparent_huge_pages_that_prctl_forbids)
{
    if (hfi_os_thp() == OS_THP_OFF)
        cr_skip_test("no transparent huge pages here");
    cr_assert_eq(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), 0);
    cr_assert_eq(hfi_os_thp(), OS_THP_FORBIDDEN);
    cr_assert_not(hfi_os_has_thp());
    cr_assert_eq(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0), 0);
    cr_assert(hfi_os_has_thp());
    if (prctl(PR_SET_THP_DISABLE, 1, 1 << 1, 0, 0) != 0) /* PR_THP_DISABLE_EXCEPT_ADVISED */
        cr_skip_test("this kernel exempts no advice");
    cr_assert(hfi_os_has_thp());
}

/* What /proc/self/maps says behind the mapping that begins at `start`. */
static void find_mapping(const char *start, char *line, size_t line_bytes)
{
    char wanted[24];
    FILE *maps = fopen("/proc/self/maps", "r");
    cr_assert_not_null(maps);
    snprintf(wanted, sizeof wanted, "%lx-", (unsigned long)start);
    *line = 0;
    while (fgets(line, (int)line_bytes, maps) != NULL && strncmp(line, wanted, strlen(wanted)) != 0)
        *line = 0;
    fclose(maps);
}

/* Most kernels are built without names: they refuse, and nothing is different. */
Test(os, mappings_are_named_or_stay_as_they_are)
{
    char line[512];
    char *space = hfi_os_reserve(4 * HFI_MIB, 2 * HFI_MIB);
    cr_assert_eq(hfi_os_map(space + HFI_MIB, HFI_MIB, 4096), 0);
    space[HFI_MIB] = 7;
    bool may = prctl(0x53564d41, 0, space + 3 * HFI_MIB, 4096, "test") == 0;
    errno = 123;
    hfi_os_name(space + HFI_MIB, HFI_MIB, "holdfast: node 0 arena");
    cr_assert_eq(errno, 123);
    cr_assert_eq(space[HFI_MIB], 7);
    find_mapping(space + HFI_MIB, line, sizeof line);
    cr_assert_not_null(strstr(line, " rw-p "), "%s", line);
    cr_assert_eq(strstr(line, "[anon:holdfast: node 0 arena]") != NULL, may, "%s", line);
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

Test(os, thread_id_without_the_kernel)
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

/* --- the node of the running CPU --- */

#define RSEQ_BYTES 32 /* that the C library registers */
#define RSEQ_UNREGISTER 1
#define RSEQ_SIGNATURE 0x53053053 /* glibc's, of x86 */
#define RSEQ_FEATURE_SIZE 27      /* AT_RSEQ_FEATURE_SIZE */

extern const ptrdiff_t __rseq_offset __attribute__((weak));

static unsigned node_by_getcpu(void)
{
    unsigned cpu, node;
    cr_assert_eq(getcpu(&cpu, &node), 0);
    return node;
}

/* The thread's area is the C library's no more: nobody writes there but this test. */
static char *take_rseq_area(void)
{
    if (getauxval(RSEQ_FEATURE_SIZE) < 24 || &__rseq_offset == NULL)
        return NULL;
    char *area = (char *)__builtin_thread_pointer() + __rseq_offset;
    return syscall(SYS_rseq, area, RSEQ_BYTES, RSEQ_UNREGISTER, RSEQ_SIGNATURE) == 0 ? area : NULL;
}

Test(os, node_by_the_kernels_word_where_it_gives_one)
{
    cpu_set_t cpu;
    CPU_ZERO(&cpu);
    CPU_SET((unsigned)sched_getcpu(), &cpu);
    sched_setaffinity(0, sizeof cpu, &cpu);
    cr_assert_eq(hfi_os_current_node(), node_by_getcpu());
    char *area = take_rseq_area();
    if (area == NULL)
        cr_skip_test("no area of restartable sequences that has the node");
    cr_assert_eq(hfi_os_current_node(), node_by_getcpu(), "an area that is not registered is not read");
    memcpy(area + 4, &(int32_t){ 0 }, 4);   /* the CPU: it is registered */
    memcpy(area + 20, &(uint32_t){ 5 }, 4); /* the node */
    cr_assert_eq(hfi_os_current_node(), 5);
    memcpy(area + 4, &(int32_t){ -2 }, 4); /* registration failed */
    cr_assert_eq(hfi_os_current_node(), node_by_getcpu());
}
