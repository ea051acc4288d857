/*
 * cpu: clocks, CPUs, and the threads that run on them.
 *
 * As os.h: values or negative errno, errno untouched.
 */
#ifndef HFI_CPU_H
#define HFI_CPU_H

#include "base/base.h"

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t hfi_os_now_ns(void);

/* Likewise to a few ms, without reading the processor's counter, which seccomp(2) and PR_SET_TSC
 * may forbid. */
uint64_t hfi_os_now_coarse_ns(void);

/* Whether this thread may read that counter, as far as the kernel tells. */
bool hfi_os_has_ticks(void);

/* The processor's counter of moments: constant rate, the same on all CPUs, no system call. */
HFI_INLINE uint64_t hfi_os_ticks(void)
{
#if defined __x86_64__
    return __builtin_ia32_rdtsc();
#elif defined __aarch64__
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#else
    return hfi_os_now_ns();
#endif
}

/* The kernel's id of this thread, without asking the kernel. */
uint64_t hfi_os_thread_id(void);

#define HFI_CPU_WORDS 128 /* of 64 CPUs: numbers up to 8191, as a kernel's own limit is */

/* The CPUs of a node as a mask, as sched_setaffinity(2) wants it; how many, or -errno. */
int hfi_os_node_cpus(unsigned node, uint64_t cpus[HFI_CPU_WORDS]);

void hfi_os_sleep_us(unsigned microseconds);

/* CPUs this thread may run on, a bit each. */
void hfi_os_allowed_cpus(uint64_t cpus[HFI_CPU_WORDS]);

/* Current CPU's node: what the kernel last wrote into the thread's area of restartable sequences (Linux
 * 6.3, glibc 2.35), else by getcpu(2) through the vDSO; 0 when unknown.  And the CPU. */
unsigned hfi_os_current_node(void);
unsigned hfi_os_current_cpu(void);

/* The CPU that this thread runs on, read from its rseq(2) area without a call; negative where the C
 * library has registered none.  Nothing is ever written there: that is its other users'. */
int hfi_os_cpu_told(void);

/* Private expedited membarrier.  When the second returns, every running thread of the process has
 * passed a full barrier since the call.  0, or -errno (ENOSYS, EPERM under seccomp).  The first
 * must have succeeded before. */
int hfi_os_barrier_register(void);
int hfi_os_barrier(void);

/* Whether this process has a thread besides the caller's.  True where /proc does not tell, which
 * *known says.  False stays true until the caller makes one: nobody else is there to. */
bool hfi_os_may_have_other_threads(bool *known);

#endif
