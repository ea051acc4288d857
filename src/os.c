/*
 * os: see os.h.
 *
 * The kernel's numbers that glibc's headers may lack are given here, so that
 * one binary runs on older and newer systems and learns from errno.
 */
#include "os.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT 26
#endif
#define MPOL_BIND_MODE 2 /* <linux/mempolicy.h> MPOL_BIND */
#define NODE_MASK_BITS 1024
#define POPULATE_CHUNK_BYTES ((size_t)256 * HFI_MIB)

void *hfi_os_reserve(size_t bytes, size_t align)
{
    int saved_errno = errno;
    char *start = mmap(NULL, bytes + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    errno = saved_errno;
    if (start == MAP_FAILED)
        return NULL;
    char *aligned = (char *)hfi_align_up((uintptr_t)start, align);
    if (aligned != start)
        munmap(start, (size_t)(aligned - start));
    munmap(aligned + bytes, (size_t)(start + align - aligned));
    return aligned;
}

void hfi_os_unreserve(void *start, size_t bytes)
{
    munmap(start, bytes);
}

static int map_fixed(void *start, size_t bytes, int protection, int flags)
{
    int saved_errno = errno;
    void *mapped = mmap(start, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED | flags, -1, 0);
    int error = mapped == MAP_FAILED ? -errno : 0;
    errno = saved_errno;
    return error;
}

int hfi_os_map(void *start, size_t bytes, size_t os_page_bytes)
{
    int huge = os_page_bytes == 4096 ? 0 : MAP_HUGETLB | (int)((unsigned)__builtin_ctzll(os_page_bytes) << MAP_HUGE_SHIFT);
    return map_fixed(start, bytes, PROT_READ | PROT_WRITE, huge);
}

int hfi_os_unmap(void *start, size_t bytes)
{
    return map_fixed(start, bytes, PROT_NONE, 0);
}

int hfi_os_protect(void *start, size_t bytes, bool accessible)
{
    int saved_errno = errno;
    int error = mprotect(start, bytes, accessible ? PROT_READ | PROT_WRITE : PROT_NONE) == 0 ? 0 : -errno;
    errno = saved_errno;
    return error;
}

static int advise(void *start, size_t bytes, int advice)
{
    int saved_errno = errno;
    int error;
    do
        error = madvise(start, bytes, advice) == 0 ? 0 : -errno;
    while (error == -EINTR || error == -EAGAIN);
    errno = saved_errno;
    return error;
}

/* In chunks, so that the kernel gets to its signals and a refusal costs little. */
int hfi_os_populate(void *start, size_t bytes)
{
    for (size_t done = 0; done < bytes; done += POPULATE_CHUNK_BYTES) {
        int error = advise((char *)start + done, hfi_min(POPULATE_CHUNK_BYTES, bytes - done), MADV_POPULATE_WRITE);
        if (error != 0)
            return error;
    }
    return 0;
}

int hfi_os_advise_huge(void *start, size_t bytes, bool huge)
{
    return advise(start, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

int hfi_os_dontfork(void *start, size_t bytes)
{
    return advise(start, bytes, MADV_DONTFORK);
}

int hfi_os_lock(void *start, size_t bytes)
{
    int saved_errno = errno;
    int error = mlock(start, bytes) == 0 ? 0 : -errno;
    errno = saved_errno;
    return error;
}

int hfi_os_bind(void *start, size_t bytes, unsigned node)
{
    unsigned long mask[NODE_MASK_BITS / (8 * sizeof(unsigned long))] = { 0 };
    int saved_errno = errno;
    if (node >= NODE_MASK_BITS)
        return -EINVAL;
    mask[node / (8 * sizeof mask[0])] = 1ul << (node % (8 * sizeof mask[0]));
    int error = syscall(SYS_mbind, start, bytes, MPOL_BIND_MODE, mask, (unsigned long)NODE_MASK_BITS, 0ul) == 0 ? 0 : -errno;
    errno = saved_errno;
    return error;
}

long hfi_os_read_file(const char *path, char *buffer, size_t buffer_bytes)
{
    int saved_errno = errno;
    size_t length = 0;
    long result;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        result = -errno;
    } else {
        ssize_t got;
        while ((got = read(fd, buffer + length, buffer_bytes - 1 - length)) > 0)
            length += (size_t)got;
        result = got < 0 ? -errno : (long)length;
        close(fd);
    }
    buffer[result < 0 ? 0 : result] = 0;
    errno = saved_errno;
    return result;
}

/* strtoull touches errno on overflow only; digits are all that counts here. */
static bool first_number(const char *text, uint64_t *number)
{
    while (*text != 0 && !isdigit((unsigned char)*text))
        text++;
    if (*text == 0)
        return false;
    *number = 0;
    for (; isdigit((unsigned char)*text); text++)
        *number = *number * 10 + (uint64_t)(*text - '0');
    return true;
}

bool hfi_os_read_number(const char *path, uint64_t *number)
{
    char text[4096];
    return hfi_os_read_file(path, text, sizeof text) > 0 && first_number(text, number);
}

static uint64_t physical_bytes(void)
{
    return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Reads one cgroup directory's limit into the tightest so far. */
static void cgroup_tighten(const char *directory, const char *limit_name, const char *used_name, bool *limited,
                           uint64_t *limit_bytes, uint64_t *used_bytes)
{
    char path[512];
    uint64_t limit, used;
    snprintf(path, sizeof path, "%s/%s", directory, limit_name);
    if (!hfi_os_read_number(path, &limit) || (*limited && limit >= *limit_bytes))
        return; /* "max" holds no number */
    snprintf(path, sizeof path, "%s/%s", directory, used_name);
    if (!hfi_os_read_number(path, &used))
        used = 0;
    *limited = true;
    *limit_bytes = limit;
    *used_bytes = used;
}

/* From the process's own group up to the root. */
static void cgroup_walk(const char *root, char *group, const char *limit_name, const char *used_name, bool *limited,
                        uint64_t *limit_bytes, uint64_t *used_bytes)
{
    char directory[448];
    for (;;) {
        snprintf(directory, sizeof directory, "%s%s", root, group);
        cgroup_tighten(directory, limit_name, used_name, limited, limit_bytes, used_bytes);
        char *slash = strrchr(group, '/');
        if (slash == NULL || group[0] == 0)
            return;
        *slash = 0;
    }
}

bool hfi_os_cgroup_limit(uint64_t *limit_bytes, uint64_t *used_bytes)
{
    char text[4096];
    bool limited = false;
    if (hfi_os_read_file("/proc/self/cgroup", text, sizeof text) <= 0)
        return false;
    for (char *line = text, *next; line != NULL && *line != 0; line = next) {
        next = strchr(line, '\n');
        if (next != NULL)
            *next++ = 0;
        char *controllers = strchr(line, ':');
        char *group = controllers == NULL ? NULL : strchr(controllers + 1, ':');
        if (group == NULL)
            continue;
        *group++ = 0;
        if (strcmp(line, "0") == 0)
            cgroup_walk("/sys/fs/cgroup", group, "memory.max", "memory.current", &limited, limit_bytes, used_bytes);
        else if (strcmp(controllers + 1, "memory") == 0)
            cgroup_walk("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes", "memory.usage_in_bytes", &limited, limit_bytes, used_bytes);
    }
    return limited && *limit_bytes < physical_bytes();
}

uint64_t hfi_os_usable_bytes(void)
{
    uint64_t limit, used;
    uint64_t physical = physical_bytes();
    return hfi_os_cgroup_limit(&limit, &used) ? hfi_min(limit, physical) : physical;
}

uint64_t hfi_os_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

unsigned hfi_os_current_node(void)
{
    unsigned cpu, node;
    return getcpu(&cpu, &node) == 0 ? node : 0;
}
