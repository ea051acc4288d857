/*
 * cpu: see cpu.h.
 *
 * CP1: the area of restartable sequences is the C library's and the kernel's: it is read, and never
 *      written to.
 *
 * Test: tests/unit/os.c, tests/unit/topology.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* getcpu */
#endif
#include "kernel/cpu.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/sys.h"
#include "kernel/files.h"

/* "0-3,8,1024-1027" */
static int parse_cpu_list(const char *text, uint64_t cpus[HFI_CPU_WORDS])
{
    int count = 0;
    memset(cpus, 0, HFI_CPU_WORDS * sizeof cpus[0]);
    for (const char *at = text; hfi_is_digit(*at); at += *at == ',') {
        unsigned long first = 0, last;
        for (; hfi_is_digit(*at); at++)
            first = hfi_min(first * 10 + (unsigned long)(*at - '0'), HFI_CPU_WORDS * 64);
        last = first;
        if (*at == '-')
            for (last = 0, at++; hfi_is_digit(*at); at++)
                last = hfi_min(last * 10 + (unsigned long)(*at - '0'), HFI_CPU_WORDS * 64);
        for (; first <= last && first < HFI_CPU_WORDS * 64; first++, count++)
            cpus[first / 64] |= (uint64_t)1 << (first % 64);
    }
    return count;
}

int hfi_os_node_cpus(unsigned node, uint64_t cpus[HFI_CPU_WORDS])
{
    char path[64], text[4096];
    snprintf(path, sizeof path, "/sys/devices/system/node/node%u/cpulist", node);
    long length = hfi_os_read_file(path, text, sizeof text);
    return length < 0 ? (int)length : parse_cpu_list(text, cpus);
}

uint64_t hfi_os_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t hfi_os_now_coarse_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

bool hfi_os_has_ticks(void)
{
    int mode = 0;
    return hfi_sys_call(SYS_prctl, PR_GET_TSC, (long)&mode, 0, 0, 0, 0) != 0 || mode != PR_TSC_SIGSEGV;
}

void hfi_os_sleep_us(unsigned microseconds)
{
    struct timespec time = { .tv_sec = microseconds / 1000000,
                             .tv_nsec = (long)(microseconds % 1000000) * 1000 };
    hfi_sys_sleep(&time);
}

void hfi_os_allowed_cpus(uint64_t cpus[HFI_CPU_WORDS])
{
    int saved_errno = errno;
    memset(cpus, 0, HFI_CPU_WORDS * sizeof cpus[0]);
    if (syscall(SYS_sched_getaffinity, 0, HFI_CPU_WORDS * sizeof cpus[0], cpus) < 0)
        cpus[0] = 1; /* a machine with more CPUs than fit: one, and no helpers */
    errno = saved_errno;
}

/* --- the area of restartable sequences --- */

/* As the kernel lays it out (Linux 6.3 include/uapi/linux/rseq.h), which fills in the first
 * AT_RSEQ_FEATURE_SIZE bytes whenever the thread comes back to the program from elsewhere. */
struct rseq_area {
    uint32_t cpu_id_start;
    int32_t cpu_id; /* negative while the area is not registered */
    uint64_t critical_section;
    uint32_t flags;
    uint32_t node_id;
};

#ifndef AT_RSEQ_FEATURE_SIZE
#define AT_RSEQ_FEATURE_SIZE 27
#endif
#define NODE_ID_END (offsetof(struct rseq_area, node_id) + sizeof(uint32_t))

#if defined __has_builtin
#if __has_builtin(__builtin_thread_pointer)
#define THREAD_POINTER() ((const char *)__builtin_thread_pointer())
#endif
#endif
#ifndef THREAD_POINTER
#define THREAD_POINTER() ((const char *)NULL)
#endif

/* The C library's since 2.35: where its area is, and what of it was in use when the library was made; 0
 * where it registered none.  The kernel takes no area that ends before the node. */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned __rseq_size __attribute__((weak));

/* NULL where nobody fills in the node. */
static const volatile struct rseq_area *area_with_node(void)
{
    static _Atomic(int) xfills; /* 0: unknown, 1: yes, -1: no; every thread finds the same */
    int fills = hfi_load_relaxed(&xfills);
    if (hfi_unlikely(fills == 0)) {
        bool has = &__rseq_size != NULL && __rseq_size != 0 && THREAD_POINTER() != NULL &&
                   getauxval(AT_RSEQ_FEATURE_SIZE) >= NODE_ID_END;
        fills = has ? 1 : -1;
        hfi_store_relaxed(&xfills, fills);
    }
    return fills < 0 ? NULL : (const volatile struct rseq_area *)(THREAD_POINTER() + __rseq_offset);
}

int hfi_os_cpu_told(void)
{
    if (&__rseq_size == NULL || __rseq_size == 0 || THREAD_POINTER() == NULL)
        return -1;
    return ((const volatile struct rseq_area *)(THREAD_POINTER() + __rseq_offset))->cpu_id;
}

unsigned hfi_os_current_node(void)
{
    unsigned cpu, node;
    const volatile struct rseq_area *area = area_with_node();
    if (area != NULL && area->cpu_id >= 0)
        return area->node_id;
    int saved_errno = errno;
    return hfi_sys_outcome(getcpu(&cpu, &node), saved_errno) == 0 ? node : 0;
}

unsigned hfi_os_current_cpu(void)
{
    int saved_errno = errno;
    int cpu = sched_getcpu();
    errno = saved_errno;
    return cpu < 0 ? 0 : (unsigned)cpu;
}

/* The C library knows it, and makes the number of the thread's clock of it, which is the kernel's
 * to define: the id's complement, three bits up (include/linux/posix-timers.h). */
uint64_t hfi_os_thread_id(void)
{
    clockid_t clock;
    if (pthread_getcpuclockid(pthread_self(), &clock) != 0)
        return (uint64_t)hfi_sys_call(SYS_gettid, 0, 0, 0, 0, 0, 0);
    return (uint64_t) ~(clock >> 3);
}

int hfi_os_barrier_register(void)
{
    int saved_errno = errno;
    return hfi_sys_outcome((int)syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0),
                           saved_errno);
}

int hfi_os_barrier(void)
{
    int saved_errno = errno;
    return hfi_sys_outcome((int)syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0), saved_errno);
}

/* A link of the directory is itself, one its parent's, and one each thread's (fs/proc/base.c of Linux,
 * proc_task_getattr).  So no descriptor is needed. */
bool hfi_os_may_have_other_threads(bool *known)
{
    struct stat tasks;
    *known = hfi_sys_stat_at(AT_FDCWD, "/proc/self/task", &tasks, 0) == 0 && tasks.st_nlink >= 3;
    return !*known || tasks.st_nlink != 3;
}
