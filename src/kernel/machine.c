/*
 * machine: see machine.h.
 *
 * Test: tests/unit/os.c, tests/unit/topology.c.
 */
#include "kernel/machine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>

#include "base/sys.h"
#include "kernel/cgroup.h"
#include "kernel/files.h"
#include "kernel/os.h"

#ifndef PR_GET_THP_DISABLE
#define PR_GET_THP_DISABLE 42
#endif
#ifndef PR_THP_DISABLE_EXCEPT_ADVISED
#define PR_THP_DISABLE_EXCEPT_ADVISED (1 << 1)
#endif

/* --- memory --- */

size_t hfi_os_base_page_bytes(void)
{
    return getauxval(AT_PAGESZ);
}

uint64_t hfi_os_usable_bytes(void)
{
    struct cgroup_bound bound = { HFI_CGROUP_NO_BOUND, .usage = false };
    hfi_cgroup_find(&bound);
    return hfi_min(bound.limit_bytes, hfi_os_physical_bytes());
}

/* Of the machine; UINT64_MAX when that is unknown. */
static HFI_NOINLINE uint64_t machine_available_bytes(void)
{
    char text[512];
    if (hfi_os_read_once("/proc/meminfo", text, sizeof text) <= 0 || strstr(text, "MemAvailable:") == NULL)
        return UINT64_MAX;
    return hfi_os_number_after(text, "MemAvailable:") * 1024;
}

uint64_t hfi_os_available_bytes(enum os_bound *bound)
{
    struct cgroup_bound cgroup = { HFI_CGROUP_NO_BOUND, .usage = true };
    uint64_t available = machine_available_bytes();
    hfi_cgroup_find(&cgroup);
    *bound = cgroup.room_bytes < available ? OS_BOUND_CGROUP : OS_BOUND_MACHINE;
    return hfi_min(available, cgroup.room_bytes);
}

/* Of what a node shows as free: watermarks, page tables, and what goes to the kernel's lists per
 * CPU meanwhile, which it does not empty for a strict binding: it kills who asks
 * (tests/lab/eight-nodes.lab). */
#define NODE_HELD_BACK ((uint64_t)32 << 20)

uint64_t hfi_os_node_available_bytes(unsigned node)
{
    char path[64], text[4096];
    snprintf(path, sizeof path, "/sys/devices/system/node/node%u/meminfo", node);
    if (hfi_os_read_file(path, text, sizeof text) <= 0)
        return UINT64_MAX;
    uint64_t free_bytes =
        1024 * (hfi_os_number_after(text, " MemFree:") + hfi_os_number_after(text, " Active(file):") +
                hfi_os_number_after(text, " Inactive(file):"));
    return free_bytes - hfi_min(free_bytes, NODE_HELD_BACK);
}

/* What a limit leaves, given the number of OS pages that count against it. */
static uint64_t limit_room(int resource, uint64_t used_pages)
{
    rlim_t limit = hfi_sys_limit(resource);
    return limit == RLIM_INFINITY ? UINT64_MAX : limit - hfi_min(limit, used_pages * 4096);
}

uint64_t hfi_os_address_room(void)
{
    char text[HFI_SMALL_FILE_BYTES];
    uint64_t fields[6] = { 0 }; /* size resident shared text lib data, in OS pages */
    if (limit_room(RLIMIT_AS, 0) == UINT64_MAX && limit_room(RLIMIT_DATA, 0) == UINT64_MAX)
        return UINT64_MAX;
    hfi_os_read_once("/proc/self/statm", text, sizeof text);
    const char *at = text;
    for (int i = 0; i < 6 && hfi_os_first_number(at, &fields[i]); i++)
        for (at += strspn(at, " "); hfi_is_digit(*at);)
            at++;
    return hfi_min(limit_room(RLIMIT_AS, fields[0]), limit_room(RLIMIT_DATA, fields[5]));
}

uint64_t hfi_os_lock_limit(void)
{
    rlim_t limit = hfi_sys_limit(RLIMIT_MEMLOCK);
    return limit == RLIM_INFINITY ? UINT64_MAX : limit;
}

/* --- huge pages --- */

static int hex_digit(char c)
{
    return hfi_is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum os_thp hfi_os_thp(void)
{
    char text[HFI_SMALL_FILE_BYTES];
    if (hfi_os_read_once("/sys/kernel/mm/transparent_hugepage/enabled", text, sizeof text) <= 0 ||
        strstr(text, "[never]") != NULL)
        return OS_THP_OFF;
    long disabled = hfi_sys_call(SYS_prctl, PR_GET_THP_DISABLE, 0, 0, 0, 0, 0);
    /* what madvise asks for may be exempt (Linux 6.18), and the arena asks */
    return disabled <= 0 || (disabled & PR_THP_DISABLE_EXCEPT_ADVISED) != 0 ? OS_THP_GRANTED
                                                                            : OS_THP_FORBIDDEN;
}

bool hfi_os_has_thp(void)
{
    return hfi_os_thp() == OS_THP_GRANTED;
}

/* What of a span of addresses lies on huge pages. */
struct huge_count {
    uintptr_t start, end;
    bool inside; /* the mapping that is being described touches it */
    uint64_t huge_bytes;
};

/* One line of /proc/self/smaps: "7f..-7f.. rw-p ..." opens a mapping, others describe it. */
static void count_smaps_line(char *line, void *argument)
{
    struct huge_count *count = argument;
    uintptr_t first = 0, last = 0;
    const char *at = line;
    if (strncmp(line, "AnonHugePages:", 14) == 0) {
        if (count->inside)
            count->huge_bytes += hfi_os_number_after(line, "AnonHugePages:") * 1024;
        return;
    }
    for (int digit; (digit = hex_digit(*at)) >= 0; at++)
        first = first << 4 | (uintptr_t)digit;
    if (at == line || *at != '-')
        return;
    for (int digit; (digit = hex_digit(*++at)) >= 0;)
        last = last << 4 | (uintptr_t)digit;
    count->inside = first < count->end && last > count->start;
}

uint64_t hfi_os_transparent_huge_bytes_of(const char *smaps, uintptr_t start, size_t bytes)
{
    struct huge_count count = { .start = start, .end = start + bytes };
    char line[HFI_LINE_BYTES];
    bool known = hfi_os_read_lines(hfi_os_read_open(smaps), line, sizeof line, count_smaps_line, &count);
    return known ? count.huge_bytes : UINT64_MAX;
}

uint64_t hfi_os_transparent_huge_bytes(const void *start, size_t bytes)
{
    return hfi_os_transparent_huge_bytes_of("/proc/self/smaps", (uintptr_t)start, bytes);
}

static HFI_NOINLINE uint64_t pool_number(const char *directory, const char *name)
{
    char path[HFI_SMALL_FILE_BYTES];
    uint64_t number = 0;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    hfi_os_read_number(path, &number);
    return number;
}

bool hfi_os_huge_pool(struct os_huge_pool *pool, unsigned node, bool whole_machine, size_t page_bytes)
{
    char machine[80], of_node[80];
    uint64_t node_free;
    snprintf(machine, sizeof machine, "/sys/kernel/mm/hugepages/hugepages-%zukB", page_bytes / 1024);
    snprintf(of_node, sizeof of_node, "/sys/devices/system/node/node%u/hugepages/hugepages-%zukB", node,
             page_bytes / 1024);
    snprintf(pool->path, sizeof pool->path, "%s/nr_hugepages", machine);
    pool->total_pages = pool->free_pages = 0;
    pool->bounded = false;
    if (!hfi_os_read_number(pool->path, &pool->total_pages))
        return false;
    uint64_t reserved = pool_number(machine, "resv_hugepages"); /* promised to other mappings */
    uint64_t free_pages = pool_number(machine, "free_hugepages");
    if (reserved <= pool->total_pages) /* below zero while a child outlives its parent (Linux 6.18) */
        free_pages -= hfi_min(free_pages, reserved);
    uint64_t may_grow = pool_number(machine, "nr_overcommit_hugepages"),
             grown = pool_number(machine, "surplus_hugepages");
    may_grow -= hfi_min(may_grow, grown);
    if (!whole_machine) {
        snprintf(pool->path, sizeof pool->path, "%s/free_hugepages", of_node);
        if (hfi_os_read_number(pool->path, &node_free)) {
            free_pages = hfi_min(free_pages, node_free);
            pool->total_pages = pool_number(of_node, "nr_hugepages");
            snprintf(pool->path, sizeof pool->path, "%s/nr_hugepages", of_node);
        } else {
            snprintf(pool->path, sizeof pool->path, "%s/nr_hugepages", machine);
        }
    }
    pool->free_pages = free_pages + may_grow;
    uint64_t room = pool->free_pages == 0 ? UINT64_MAX : hfi_cgroup_pool_room(page_bytes) / page_bytes;
    pool->bounded = room < pool->free_pages;
    pool->free_pages = hfi_min(pool->free_pages, room);
    return true;
}
