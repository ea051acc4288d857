/*
 * os: the only raw mmap, munmap, madvise, mbind, mlock of the library.
 *
 * Every call returns a value or a negative errno, and never touches errno.
 * Reading small files under /proc and /sys is here too, without stdio.
 */
#ifndef HFI_OS_H
#define HFI_OS_H

#include "base/base.h"

/* Reserves `bytes` of address space, inaccessible, aligned to `align`; NULL when refused. */
void *hfi_os_reserve(size_t bytes, size_t align);
void hfi_os_unreserve(void *start, size_t bytes);

/* Reserves exactly these bytes of address space, inaccessible, if all of them are free.
 * 0 or -errno (EEXIST). */
int hfi_os_reserve_at(void *start, size_t bytes);

/* Replaces part of a reservation by private zeroed memory.  os_page_bytes: 4096, or 2 MiB or 1 GiB
 * for hugetlb.  Those are reserved in the machine's pool: of a process and its forked children, the
 * kernel then takes a page from a child where the pool has none left to copy to, not from the
 * process.  A node's share of the pool may still be short: populating tells.  0 or -errno (ENOMEM:
 * the pool is short). */
int hfi_os_map(void *start, size_t bytes, size_t os_page_bytes);

/* The same, as zeros to be read only, until hfi_os_protect makes them accessible.  0 or -errno. */
int hfi_os_map_readable(void *start, size_t bytes);

/* Makes the range inaccessible address space again.  0 or -errno. */
int hfi_os_unmap(void *start, size_t bytes);

/* PROT_NONE / read-write.  0 or -errno. */
int hfi_os_protect(void *start, size_t bytes, bool accessible);

/* MADV_POPULATE_WRITE, or the like where the kernel has none (before 5.14) or a filter refuses it.
 * 0 or -errno (EFAULT, ENOMEM: the pool or a limit is short; a refusal: madvise is refused, and
 * /dev/zero cannot be read); never a signal. */
int hfi_os_populate(void *start, size_t bytes);

/* MADV_HUGEPAGE or MADV_NOHUGEPAGE.  0 or -errno. */
int hfi_os_advise_huge(void *start, size_t bytes, bool huge);

/* Fresh memory that a forked child finds wiped (MADV_WIPEONFORK, Linux 4.14); NULL where there is
 * none. */
void *hfi_os_map_wiped(size_t bytes);

/* MADV_DONTFORK; MADV_DONTDUMP is left to the operator.  0 or -errno. */
int hfi_os_dontfork(void *start, size_t bytes);

/* mlock: locks and populates.  0 or -errno (ENOMEM, EPERM: RLIMIT_MEMLOCK). */
int hfi_os_lock(void *start, size_t bytes);

/* Locks each page from its first touch on (MLOCK_ONFAULT).  0 or -errno. */
int hfi_os_lock_on_fault(void *start, size_t bytes);

/* Binds strictly to one node (mbind MPOL_BIND).  0 or -errno (EPERM, ENOSYS under seccomp). */
int hfi_os_bind(void *start, size_t bytes, unsigned node);

/* EPERM, EACCES, ENOSYS: the call itself is forbidden, mostly by a filter of system calls
 * (seccomp), whatever memory there is. */
bool hfi_os_is_refusal(int error);

/* "ENOMEM" for ENOMEM or -ENOMEM; of the errors these calls have, "error" for others. */
const char *hfi_os_error_name(int error);

/* Reads a whole small file into buffer (always terminated); length or -errno. */
long hfi_os_read_file(const char *path, char *buffer, size_t buffer_bytes);

/* First unsigned number in a file; false when there is none. */
bool hfi_os_read_number(const char *path, uint64_t *number);

/* Whether this process has a thread besides the caller's.  True where /proc does not tell, which
 * *known says.  False stays true until the caller makes one: nobody else is there to. */
bool hfi_os_may_have_other_threads(bool *known);

/* Memory that this process may use: the least of physical memory and the cgroup
 * (v1 or v2) limits above it; bytes. */
uint64_t hfi_os_usable_bytes(void);

/* Tightest cgroup memory limit over this process and its current use; false when unlimited. */
bool hfi_os_cgroup_limit(uint64_t *limit_bytes, uint64_t *used_bytes);

enum os_bound { OS_BOUND_MACHINE, OS_BOUND_NODE, OS_BOUND_CGROUP };

/* Bytes that can be populated now without pushing anybody out: the least of MemAvailable
 * and what the cgroups above this process leave, their page cache counted as free.  *bound
 * becomes which of them it was.  UINT64_MAX when unknown. */
uint64_t hfi_os_available_bytes(enum os_bound *bound);

/* The same of one node: free memory and page cache, but for what the kernel holds back; UINT64_MAX
 * when unknown. */
uint64_t hfi_os_node_available_bytes(unsigned node);

/* What RLIMIT_AS and RLIMIT_DATA leave this process to map; UINT64_MAX when unlimited. */
uint64_t hfi_os_address_room(void);

/* RLIMIT_MEMLOCK; UINT64_MAX when unlimited. */
uint64_t hfi_os_lock_limit(void);

uint64_t hfi_os_physical_bytes(void);
bool hfi_os_has_swap(void);

/* Whether a program can have transparent huge pages: enabled is always or madvise, and
 * PR_SET_THP_DISABLE is not set. */
bool hfi_os_has_thp(void);

/* Bytes of transparent huge pages in the mappings that lie in the range; UINT64_MAX when
 * the kernel does not tell. */
uint64_t hfi_os_transparent_huge_bytes(const void *start, size_t bytes);

/* A pool of huge pages of one size: the node's, or the machine's where the node shows none. */
struct os_huge_pool {
    uint64_t total_pages;
    uint64_t free_pages; /* to be had: unreserved, and those the kernel may still make */
    bool bounded;        /* that is what a limit of the cgroup leaves; the pool itself has more */
    char path[96];       /* of the file that sets total_pages */
};

/* False when the kernel has no pages of that size.  `whole_machine`: do not ask for the node's. */
bool hfi_os_huge_pool(struct os_huge_pool *pool, unsigned node, bool whole_machine, size_t page_bytes);

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

/* Current CPU's node, by getcpu(2) through the vDSO; 0 when unknown.  And the CPU. */
unsigned hfi_os_current_node(void);
unsigned hfi_os_current_cpu(void);

/* Private expedited membarrier: when the second returns, every running thread of the process has
 * passed a full barrier since the call.  0, or -errno (ENOSYS, EPERM under seccomp); the first must
 * have succeeded before. */
int hfi_os_barrier_register(void);
int hfi_os_barrier(void);

#endif
