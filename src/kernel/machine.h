/*
 * machine: how much memory there is, free and in all, and its huge pages.
 *
 * As /proc, /sys and the process's limits tell; errno is not touched.
 */
#ifndef HFI_MACHINE_H
#define HFI_MACHINE_H

#include "base/base.h"

/* Memory that this process may use: the least of physical memory and the cgroup
 * (v1 or v2) limits above it; bytes. */
uint64_t hfi_os_usable_bytes(void);

/* Of the pages that the kernel maps when nothing larger is asked for. */
size_t hfi_os_base_page_bytes(void);

enum os_bound { OS_BOUND_MACHINE, OS_BOUND_NODE, OS_BOUND_CGROUP };

/* Bytes that can be populated now without pushing anybody out.  It is the least of MemAvailable and
 * what the cgroups above this process leave, their page cache counted as free.  *bound becomes
 * which of them it was.  UINT64_MAX when unknown. */
uint64_t hfi_os_available_bytes(enum os_bound *bound);

/* The same of one node: free memory and page cache, except for what the kernel keeps; UINT64_MAX
 * when unknown. */
uint64_t hfi_os_node_available_bytes(unsigned node);

/* What RLIMIT_AS and RLIMIT_DATA leave this process to map; UINT64_MAX when unlimited. */
uint64_t hfi_os_address_room(void);

/* RLIMIT_MEMLOCK; UINT64_MAX when unlimited. */
uint64_t hfi_os_lock_limit(void);

/* Whether this process can have transparent huge pages.  Not where enabled is never, nor where
 * PR_SET_THP_DISABLE is set, here or in what started this process. */
enum os_thp { OS_THP_GRANTED, OS_THP_OFF, OS_THP_FORBIDDEN };
enum os_thp hfi_os_thp(void);
bool hfi_os_has_thp(void);

/* Bytes of transparent huge pages in the mappings that lie in the range; UINT64_MAX when
 * the kernel does not tell. */
uint64_t hfi_os_transparent_huge_bytes(const void *start, size_t bytes);

/* The same of a process, by its file /proc/PID/smaps. */
uint64_t hfi_os_transparent_huge_bytes_of(const char *smaps, uintptr_t start, size_t bytes);

/* A pool of huge pages of one size: the node's, or the machine's where the node shows none. */
struct os_huge_pool {
    uint64_t total_pages;
    uint64_t free_pages; /* to be had: unreserved, and those the kernel may still make */
    bool bounded;        /* that is what a limit of the cgroup leaves; the pool itself has more */
    char path[96];       /* of the file that sets total_pages */
};

/* False when the kernel has no pages of that size.  `whole_machine`: do not ask for the node's. */
bool hfi_os_huge_pool(struct os_huge_pool *pool, unsigned node, bool whole_machine, size_t page_bytes);

#endif
