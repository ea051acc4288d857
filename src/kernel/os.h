/*
 * os: the only raw mmap, munmap, madvise, mbind, mlock of the library, and its errors by name.
 *
 * Every call returns a value or a negative errno, and never touches errno.
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
 * for hugetlb.  Those are reserved in the machine's pool.  Where the pool has none left to copy to,
 * the kernel takes a page from a forked child, not from the process.  A node's share of the pool
 * may still be short: populating tells.  0 or -errno (ENOMEM: the pool is short). */
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

/* Gathers what is populated into huge pages, as far as the kernel finds some now (MADV_COLLAPSE, Linux
 * 6.1).  Not asked again where it finds none.  0 or -errno; either way the memory is as good as it
 * was. */
int hfi_os_collapse(void *start, size_t bytes);

/* Fresh memory that a forked child finds wiped (MADV_WIPEONFORK, Linux 4.14); NULL where there is
 * none. */
void *hfi_os_map_wiped(size_t bytes);

/* MADV_DODUMP, or MADV_DONTDUMP: whether the range, in whole OS pages, is in core files.  0 or -errno
 * (ENOMEM: too many mappings). */
int hfi_os_dump(void *start, size_t bytes, bool dumped);

/* MADV_DONTFORK.  0 or -errno. */
int hfi_os_dontfork(void *start, size_t bytes);

/* mlock: locks and populates.  0 or -errno (ENOMEM, EPERM: RLIMIT_MEMLOCK). */
int hfi_os_lock(void *start, size_t bytes);

/* Locks each page from its first touch on (MLOCK_ONFAULT).  0 or -errno. */
int hfi_os_lock_on_fault(void *start, size_t bytes);

/* Binds strictly to one node (mbind MPOL_BIND).  0 or -errno (EPERM, ENOSYS under seccomp). */
int hfi_os_bind(void *start, size_t bytes, unsigned node);

/* What /proc/PID/maps calls the range, "[anon:NAME]", where the kernel can (Linux 5.17, and a choice of
 * whoever built it); not of huge pages of a pool, which are files to it. */
void hfi_os_name(void *start, size_t bytes, const char *name);

/* EPERM, EACCES, ENOSYS: the call itself is forbidden, mostly by a filter of system calls
 * (seccomp), whatever memory there is. */
bool hfi_os_is_refusal(int error);

/* "ENOMEM" for ENOMEM or -ENOMEM; of the errors these calls have, "error" for others. */
const char *hfi_os_error_name(int error);

/* What the machine has in all (sysinfo, or else /proc/meminfo): never 0, and 64 GiB where neither tells.
 * Where it is not known whether there is swap, there may be some. */
uint64_t hfi_os_physical_bytes(void);
bool hfi_os_has_swap(void);

#endif
