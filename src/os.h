/*
 * os: the only raw mmap, munmap, madvise, mbind, mlock of the library.
 *
 * Every call returns a value or a negative errno, and never touches errno.
 * Reading small files under /proc and /sys is here too, without stdio.
 */
#ifndef HFI_OS_H
#define HFI_OS_H

#include "base.h"

/* Reserves `bytes` of address space, inaccessible, aligned to `align`; NULL when refused. */
void *hfi_os_reserve(size_t bytes, size_t align);
void hfi_os_unreserve(void *start, size_t bytes);

/* Replaces part of a reservation by private zeroed memory.  os_page_bytes: 4096, or
 * 2 MiB or 1 GiB for hugetlb (mapped without kernel reservation: populating tells).  0 or -errno. */
int hfi_os_map(void *start, size_t bytes, size_t os_page_bytes);

/* Makes the range inaccessible address space again.  0 or -errno. */
int hfi_os_unmap(void *start, size_t bytes);

/* PROT_NONE / back to read-write, for guards.  0 or -errno. */
int hfi_os_protect(void *start, size_t bytes, bool accessible);

/* MADV_POPULATE_WRITE.  0 or -errno (EFAULT, ENOMEM: the pool or a limit is short). */
int hfi_os_populate(void *start, size_t bytes);

/* MADV_HUGEPAGE or MADV_NOHUGEPAGE.  0 or -errno. */
int hfi_os_advise_huge(void *start, size_t bytes, bool huge);

/* MADV_DONTFORK; MADV_DONTDUMP is left to the operator.  0 or -errno. */
int hfi_os_dontfork(void *start, size_t bytes);

int hfi_os_lock(void *start, size_t bytes);

/* Binds strictly to one node (mbind MPOL_BIND).  0 or -errno (EPERM, ENOSYS under seccomp). */
int hfi_os_bind(void *start, size_t bytes, unsigned node);

/* Reads a whole small file into buffer (always terminated); length or -errno. */
long hfi_os_read_file(const char *path, char *buffer, size_t buffer_bytes);

/* First unsigned number in a file; false when there is none. */
bool hfi_os_read_number(const char *path, uint64_t *number);

/* Memory that this process may use: the least of physical memory and the cgroup
 * (v1 or v2) limits above it; bytes. */
uint64_t hfi_os_usable_bytes(void);

/* Tightest cgroup memory limit over this process and its current use; false when unlimited. */
bool hfi_os_cgroup_limit(uint64_t *limit_bytes, uint64_t *used_bytes);

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t hfi_os_now_ns(void);

/* Current CPU's node, by getcpu(2) through the vDSO; 0 when unknown. */
unsigned hfi_os_current_node(void);

#endif
