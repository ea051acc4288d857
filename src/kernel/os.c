/*
 * os: see os.h.
 *
 * The kernel's numbers that glibc's headers may lack are given here, so that
 * one binary runs on older and newer systems and learns from errno.
 *
 * Files are read into buffers on the stack, without stdio.  A cgroup's limit is looked
 * for from the process's own group up to the root: inside a container without a cgroup
 * namespace /proc/self/cgroup names a path that is not mounted, and only the root,
 * which is then the container's own group, holds files.
 *
 * Test: tests/unit/os.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* getcpu */
#endif
#include "kernel/os.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include "base/sys.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT 26
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif
#ifndef PR_GET_THP_DISABLE
#define PR_GET_THP_DISABLE 42
#endif
#define MPOL_BIND_MODE 2 /* <linux/mempolicy.h> MPOL_BIND */
#define NODE_MASK_BITS 1024
#define POPULATE_CHUNK_BYTES ((size_t)256 * HFI_MIB)
#define RETRIES 100 /* of calls that ask to be made again */
#define SMALL_FILE_BYTES 128
#define PATH_BYTES 1024
#define LINE_BYTES (PATH_BYTES + 64) /* of a file that is read by lines */

/* 0 or -errno of a call that returned -1 on failure; puts errno back. */
static int outcome(long result, int saved_errno)
{
    int error = result == -1 ? -errno : 0;
    errno = saved_errno;
    return error;
}

/* read(2), whatever signals come meanwhile. */
static ssize_t read_again(int fd, void *buffer, size_t bytes)
{
    ssize_t got;
    do
        got = hfi_sys_read(fd, buffer, bytes);
    while (got == -EINTR);
    return got;
}

/* --- mapping --- */

void *hfi_os_reserve(size_t bytes, size_t align)
{
    int saved_errno = errno;
    size_t with_slack;
    if (__builtin_add_overflow(bytes, align, &with_slack))
        return NULL;
    char *start = mmap(NULL, with_slack, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (outcome((long)start, saved_errno) != 0)
        return NULL;
    char *aligned = (char *)hfi_align_up((uintptr_t)start, align);
    if (aligned != start)
        munmap(start, (size_t)(aligned - start));
    munmap(aligned + bytes, (size_t)(start + align - aligned));
    errno = saved_errno;
    return aligned;
}

void hfi_os_unreserve(void *start, size_t bytes)
{
    int saved_errno = errno;
    outcome(munmap(start, bytes), saved_errno);
}

int hfi_os_reserve_at(void *start, size_t bytes)
{
    int saved_errno = errno;
    void *mapped = mmap(start, bytes, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    int error = outcome((long)mapped, saved_errno);
    if (error != 0 || mapped == start)
        return error;
    hfi_os_unreserve(mapped, bytes); /* a kernel before 4.17 takes the address for a hint */
    return -EEXIST;
}

static int map_fixed(void *start, size_t bytes, int protection, int flags)
{
    int saved_errno = errno;
    if (!(flags & MAP_HUGETLB))
        flags |= MAP_NORESERVE;
    void *mapped = mmap(start, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | flags, -1, 0);
    return outcome((long)mapped, saved_errno);
}

int hfi_os_map(void *start, size_t bytes, size_t os_page_bytes)
{
    int huge = os_page_bytes == 4096
                 ? 0
                 : MAP_HUGETLB | (int)((unsigned)__builtin_ctzll(os_page_bytes) << MAP_HUGE_SHIFT);
    return map_fixed(start, bytes, PROT_READ | PROT_WRITE, huge);
}

int hfi_os_map_readable(void *start, size_t bytes)
{
    return map_fixed(start, bytes, PROT_READ, 0);
}

int hfi_os_unmap(void *start, size_t bytes)
{
    return map_fixed(start, bytes, PROT_NONE, 0);
}

int hfi_os_protect(void *start, size_t bytes, bool accessible)
{
    int saved_errno = errno;
    return outcome(mprotect(start, bytes, accessible ? PROT_READ | PROT_WRITE : PROT_NONE), saved_errno);
}

/* --- advice --- */

static int advise(void *start, size_t bytes, int advice)
{
    int error;
    int tries = 0;
    do {
        int saved_errno = errno;
        error = outcome(madvise(start, bytes, advice), saved_errno);
    } while ((error == -EINTR || error == -EAGAIN) && ++tries < RETRIES);
    return error;
}

/* For kernels without MADV_POPULATE_WRITE, and filters that refuse madvise: lets the kernel write
 * the zeros that are there already.  Where a page cannot be had, it says EFAULT instead of sending
 * SIGBUS. */
static int populate_by_reading(char *start, size_t bytes)
{
    int zeros = hfi_sys_open("/dev/zero", O_RDONLY | O_CLOEXEC);
    if (zeros < 0)
        return zeros;
    int error = 0;
    for (size_t done = 0; done < bytes && error == 0;) {
        ssize_t wrote = read_again(zeros, start + done, hfi_min(bytes - done, 64 * HFI_MIB));
        if (wrote > 0)
            done += (size_t)wrote;
        else
            error = wrote == 0 ? -EFAULT : (int)wrote;
    }
    hfi_sys_close(zeros);
    return error;
}

/* In chunks, so that the kernel gets to its signals and a refusal costs little. */
int hfi_os_populate(void *start, size_t bytes)
{
    for (size_t done = 0; done < bytes; done += POPULATE_CHUNK_BYTES) {
        char *chunk = (char *)start + done;
        size_t chunk_bytes = hfi_min(POPULATE_CHUNK_BYTES, bytes - done);
        int error = advise(chunk, chunk_bytes, MADV_POPULATE_WRITE);
        if (error == -EINVAL || hfi_os_is_refusal(error)) {
            int of_reading = populate_by_reading(chunk, chunk_bytes);
            bool refused = hfi_os_is_refusal(error) && of_reading != -ENOMEM && of_reading != -EFAULT;
            error = of_reading != 0 && refused ? error : of_reading;
        }
        if (error != 0)
            return error;
    }
    return 0;
}

int hfi_os_advise_huge(void *start, size_t bytes, bool huge)
{
    return advise(start, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

void *hfi_os_map_wiped(size_t bytes)
{
    int saved_errno = errno;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (outcome((long)memory, saved_errno) != 0)
        return NULL;
    if (advise(memory, bytes, MADV_WIPEONFORK) == 0)
        return memory;
    hfi_os_unreserve(memory, bytes);
    return NULL;
}

int hfi_os_dontfork(void *start, size_t bytes)
{
    return advise(start, bytes, MADV_DONTFORK);
}

/* --- lock and bind --- */

int hfi_os_lock(void *start, size_t bytes)
{
    int saved_errno = errno;
    return outcome(mlock(start, bytes), saved_errno);
}

int hfi_os_lock_on_fault(void *start, size_t bytes)
{
    int saved_errno = errno;
    return outcome(syscall(SYS_mlock2, start, bytes, MLOCK_ONFAULT), saved_errno);
}

uint64_t hfi_os_lock_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return UINT64_MAX;
    return limit.rlim_cur;
}

int hfi_os_bind(void *start, size_t bytes, unsigned node)
{
    unsigned long mask[NODE_MASK_BITS / (8 * sizeof(unsigned long))] = { 0 };
    int saved_errno = errno;
    if (node >= NODE_MASK_BITS)
        return -EINVAL;
    mask[node / (8 * sizeof mask[0])] = 1ul << (node % (8 * sizeof mask[0]));
    return outcome(syscall(SYS_mbind, start, bytes, MPOL_BIND_MODE, mask, (unsigned long)NODE_MASK_BITS, 0ul),
                   saved_errno);
}

bool hfi_os_is_refusal(int error)
{
    return error == -EPERM || error == -EACCES || error == -ENOSYS;
}

const char *hfi_os_error_name(int error)
{
    switch (error < 0 ? 0u - (unsigned)error : (unsigned)error) {
    case EACCES: return "EACCES";
    case EAGAIN: return "EAGAIN";
    case EBUSY: return "EBUSY";
    case EEXIST: return "EEXIST";
    case EDQUOT: return "EDQUOT";
    case EFAULT: return "EFAULT";
    case EFBIG: return "EFBIG";
    case EHWPOISON: return "EHWPOISON";
    case EINTR: return "EINTR";
    case EINVAL: return "EINVAL";
    case EMFILE: return "EMFILE";
    case ENFILE: return "ENFILE";
    case ENOTDIR: return "ENOTDIR";
    case EIO: return "EIO";
    case ENODEV: return "ENODEV";
    case ENOENT: return "ENOENT";
    case ENOMEM: return "ENOMEM";
    case ENOSPC: return "ENOSPC";
    case ENOSYS: return "ENOSYS";
    case EOPNOTSUPP: return "EOPNOTSUPP";
    case EPERM: return "EPERM";
    case EROFS: return "EROFS";
    default: return "error";
    }
}

/* --- files --- */

static int read_open_at(int directory, const char *name)
{
    return hfi_sys_open_at(directory, name, O_RDONLY | O_CLOEXEC);
}

static int read_open(const char *path)
{
    return read_open_at(AT_FDCWD, path);
}

/* Up to buffer_bytes - 1 bytes; with `once` one read, enough for a file of one value.  Closes `fd`,
 * which may be an error number. */
static long read_descriptor(int fd, char *buffer, size_t buffer_bytes, bool once)
{
    size_t length = 0;
    long error = fd < 0 ? fd : 0;
    while (error == 0 && length < buffer_bytes - 1) {
        ssize_t got = read_again(fd, buffer + length, buffer_bytes - 1 - length);
        if (got < 0)
            error = got;
        if (got <= 0)
            break;
        length += (size_t)got;
        if (once)
            break;
    }
    if (fd >= 0)
        hfi_sys_close(fd);
    buffer[error != 0 ? 0 : length] = 0;
    return error != 0 ? error : (long)length;
}

static long read_file(const char *path, char *buffer, size_t buffer_bytes, bool once)
{
    return read_descriptor(read_open(path), buffer, buffer_bytes, once);
}

long hfi_os_read_file(const char *path, char *buffer, size_t buffer_bytes)
{
    return read_file(path, buffer, buffer_bytes, false);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int hex_digit(char c)
{
    return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool first_number(const char *text, uint64_t *number)
{
    uint64_t value = 0;
    while (*text != 0 && !is_digit(*text))
        text++;
    if (*text == 0)
        return false;
    for (; is_digit(*text); text++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
            value = UINT64_MAX;
    *number = value;
    return true;
}

bool hfi_os_read_number(const char *path, uint64_t *number)
{
    char text[SMALL_FILE_BYTES];
    return read_file(path, text, sizeof text, true) > 0 && first_number(text, number);
}

/* Calls `each` for each line of a file, in `text`, without its end.  The file may be long, and the
 * stack short: a signal handler that forks may have 8 KiB.  A line that does not fit is left out: it
 * has a path that is not ours.  False when the file cannot be read.  Closes `fd`, which may be an
 * error number. */
static bool read_lines(int fd, char *text, size_t text_bytes, void (*each)(char *line, void *argument),
                       void *argument)
{
    size_t length = 0;
    bool skips = false;
    ssize_t got = -1;
    while (fd >= 0 && (got = read_again(fd, text + length, text_bytes - 1 - length)) > 0) {
        char *line = text, *newline;
        length += (size_t)got;
        text[length] = 0;
        for (; (newline = strchr(line, '\n')) != NULL; line = newline + 1) {
            *newline = 0;
            if (!skips)
                each(line, argument);
            skips = false;
        }
        length -= (size_t)(line - text);
        memmove(text, line, length);
        if (length >= text_bytes - 1) {
            length = 0;
            skips = true;
        }
    }
    if (fd >= 0)
        hfi_sys_close(fd);
    return got >= 0;
}

/* Number behind the first place where `name` stands in `text`; 0 when it does not. */
static uint64_t number_after(const char *text, const char *name)
{
    uint64_t number;
    const char *at = strstr(text, name);
    return at != NULL && first_number(at + strlen(name), &number) ? number : 0;
}

/* --- memory limits --- */

uint64_t hfi_os_physical_bytes(void)
{
    int saved_errno = errno;
    struct sysinfo info;
    return outcome(sysinfo(&info), saved_errno) == 0 ? (uint64_t)info.totalram * info.mem_unit : 0;
}

bool hfi_os_has_swap(void)
{
    int saved_errno = errno;
    struct sysinfo info;
    return outcome(sysinfo(&info), saved_errno) != 0 || info.totalswap != 0;
}

/* The two generations of cgroups: where they are mounted, what their files are called. */
struct cgroup_kind {
    const char *root, *limit_name, *used_name;
    const char *cache_names[2]; /* in memory.stat: page cache, which the kernel takes back; or NULL */
};

static const struct cgroup_kind cgroup_v2 = {
    .root = "/sys/fs/cgroup",
    .limit_name = "memory.max",
    .used_name = "memory.current",
    .cache_names = { "inactive_file ", "active_file " },
};
static const struct cgroup_kind cgroup_v1 = {
    .root = "/sys/fs/cgroup/memory",
    .limit_name = "memory.limit_in_bytes",
    .used_name = "memory.usage_in_bytes",
    .cache_names = { "total_inactive_file ", "total_active_file " },
};

struct cgroup_bound {
    uint64_t limit_bytes; /* the tightest; UINT64_MAX when there is none */
    uint64_t used_bytes;  /* of that group; only with `usage` */
    uint64_t room_bytes;  /* the least that any group leaves; only with `usage` */
    bool usage;           /* whether usage is asked for: it costs two more files a level */
};

/* What a group's memory.stat counts under the two names. */
struct cgroup_cache {
    const struct cgroup_kind *kind;
    uint64_t bytes;
};

static void count_cache(char *line, void *argument)
{
    struct cgroup_cache *cache = argument;
    for (int i = 0; i < 2; i++) {
        uint64_t bytes;
        size_t length = strlen(cache->kind->cache_names[i]);
        if (strncmp(line, cache->kind->cache_names[i], length) == 0 && first_number(line + length, &bytes))
            cache->bytes += bytes;
    }
}

/* "max" holds no number. */
static bool group_number(int group, const char *name, uint64_t *number)
{
    char text[SMALL_FILE_BYTES];
    return read_descriptor(read_open_at(group, name), text, sizeof text, true) > 0 &&
           first_number(text, number);
}

static uint64_t group_cache(int group, const struct cgroup_kind *kind)
{
    char line[SMALL_FILE_BYTES];
    struct cgroup_cache cache = { kind, 0 };
    if (kind->cache_names[0] != NULL)
        read_lines(read_open_at(group, "memory.stat"), line, sizeof line, count_cache, &cache);
    return cache.bytes;
}

static void cgroup_bound_by(struct cgroup_bound *bound, const struct cgroup_kind *kind, int group)
{
    uint64_t limit, used = 0;
    if (!group_number(group, kind->limit_name, &limit) || limit >= hfi_os_physical_bytes())
        return;
    if (bound->usage) {
        group_number(group, kind->used_name, &used);
        uint64_t held = used - hfi_min(used, group_cache(group, kind));
        bound->room_bytes = hfi_min(bound->room_bytes, limit - hfi_min(limit, held));
    }
    if (limit < bound->limit_bytes) {
        bound->limit_bytes = limit;
        bound->used_bytes = used;
    }
}

/* By its directory: a path would take a second KiB of stack.  A descriptor, or an error number. */
static int group_open(const struct cgroup_kind *kind, const char *group)
{
    int flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
    int root = hfi_sys_open(kind->root, flags);
    if (root < 0)
        return root;
    int fd = hfi_sys_open_at(root, group[0] == 0 ? "." : group + 1, flags);
    hfi_sys_close(root);
    return fd;
}

/* From the process's own group up to the root.  Cuts `group` up. */
static void cgroup_walk(struct cgroup_bound *bound, const struct cgroup_kind *kind, char *group)
{
    for (;;) {
        if (strcmp(group, "/") == 0)
            group[0] = 0;
        int fd = group_open(kind, group);
        if (fd >= 0) {
            cgroup_bound_by(bound, kind, fd);
            hfi_sys_close(fd);
        }
        char *slash = strrchr(group, '/');
        if (slash == NULL)
            return;
        *slash = 0;
    }
}

#define NO_BOUND .limit_bytes = UINT64_MAX, .room_bytes = UINT64_MAX

struct cgroup_search {
    struct cgroup_bound *bound;
    const struct cgroup_kind *v2, *v1;
    const char *controller; /* v1's name of what is limited */
};

/* Lines are "0::/group" (v2) and "4:memory:/group" (v1, perhaps "4:cpu,memory:/group"). */
static void search_group(char *line, void *argument)
{
    const struct cgroup_search *search = argument;
    char *controllers = strchr(line, ':');
    char *group = controllers == NULL ? NULL : strchr(controllers + 1, ':');
    if (group == NULL)
        return;
    *group++ = 0;
    if (strcmp(line, "0:") == 0)
        cgroup_walk(search->bound, search->v2, group);
    else if (strstr(controllers, search->controller) != NULL)
        cgroup_walk(search->bound, search->v1, group);
}

static HFI_NOINLINE void cgroup_find_kind(struct cgroup_bound *bound, const struct cgroup_kind *v2,
                                          const struct cgroup_kind *v1, const char *controller)
{
    char line[LINE_BYTES];
    struct cgroup_search search = { bound, v2, v1, controller };
    read_lines(read_open("/proc/self/cgroup"), line, sizeof line, search_group, &search);
}

static void cgroup_find(struct cgroup_bound *bound)
{
    cgroup_find_kind(bound, &cgroup_v2, &cgroup_v1, "memory");
}

/* Pages of a pool have limits of their own, for what is touched and for what is reserved. */
static HFI_NOINLINE uint64_t cgroup_pool_room(size_t page_bytes)
{
    static const char *const roots[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
    const char *size = page_bytes == HFI_GIB ? "1GB" : "2MB";
    struct cgroup_bound bound = { NO_BOUND, .usage = true };
    for (int i = 0; i < 4; i++) {
        char names[4][48];
        const char *counted = i % 2 == 0 ? "" : "rsvd.";
        snprintf(names[0], sizeof names[0], "hugetlb.%s.%smax", size, counted);
        snprintf(names[1], sizeof names[1], "hugetlb.%s.%scurrent", size, counted);
        snprintf(names[2], sizeof names[2], "hugetlb.%s.%slimit_in_bytes", size, counted);
        snprintf(names[3], sizeof names[3], "hugetlb.%s.%susage_in_bytes", size, counted);
        struct cgroup_kind v2 = { .root = roots[i / 2], .limit_name = names[0], .used_name = names[1] };
        struct cgroup_kind v1 = { .root = "/sys/fs/cgroup/hugetlb",
                                  .limit_name = names[2],
                                  .used_name = names[3] };
        cgroup_find_kind(&bound, &v2, &v1, "hugetlb");
    }
    return bound.room_bytes;
}

bool hfi_os_cgroup_limit(uint64_t *limit_bytes, uint64_t *used_bytes)
{
    struct cgroup_bound bound = { NO_BOUND, .usage = true };
    cgroup_find(&bound);
    if (bound.limit_bytes == UINT64_MAX)
        return false;
    *limit_bytes = bound.limit_bytes;
    *used_bytes = bound.used_bytes;
    return true;
}

uint64_t hfi_os_usable_bytes(void)
{
    struct cgroup_bound bound = { NO_BOUND, .usage = false };
    cgroup_find(&bound);
    return hfi_min(bound.limit_bytes, hfi_os_physical_bytes());
}

/* Of the machine; UINT64_MAX when that is unknown. */
static HFI_NOINLINE uint64_t machine_available_bytes(void)
{
    char text[512];
    if (read_file("/proc/meminfo", text, sizeof text, true) <= 0 || strstr(text, "MemAvailable:") == NULL)
        return UINT64_MAX;
    return number_after(text, "MemAvailable:") * 1024;
}

uint64_t hfi_os_available_bytes(enum os_bound *bound)
{
    struct cgroup_bound cgroup = { NO_BOUND, .usage = true };
    uint64_t available = machine_available_bytes();
    cgroup_find(&cgroup);
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
    uint64_t free_bytes = 1024 * (number_after(text, " MemFree:") + number_after(text, " Active(file):") +
                                  number_after(text, " Inactive(file):"));
    return free_bytes - hfi_min(free_bytes, NODE_HELD_BACK);
}

/* What a limit leaves, given the number of OS pages that count against it. */
static uint64_t limit_room(int resource, uint64_t used_pages)
{
    struct rlimit limit;
    if (getrlimit((unsigned)resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return UINT64_MAX;
    uint64_t used = used_pages * 4096;
    return limit.rlim_cur - hfi_min(limit.rlim_cur, used);
}

uint64_t hfi_os_address_room(void)
{
    char text[SMALL_FILE_BYTES];
    uint64_t fields[6] = { 0 }; /* size resident shared text lib data, in OS pages */
    if (limit_room(RLIMIT_AS, 0) == UINT64_MAX && limit_room(RLIMIT_DATA, 0) == UINT64_MAX)
        return UINT64_MAX;
    read_file("/proc/self/statm", text, sizeof text, true);
    const char *at = text;
    for (int i = 0; i < 6 && first_number(at, &fields[i]); i++)
        for (at += strspn(at, " "); is_digit(*at);)
            at++;
    return hfi_min(limit_room(RLIMIT_AS, fields[0]), limit_room(RLIMIT_DATA, fields[5]));
}

struct thread_count {
    bool known;
    uint64_t threads;
};

static void count_threads(char *line, void *argument)
{
    struct thread_count *count = argument;
    if (strncmp(line, "Threads:", 8) == 0)
        count->known = first_number(line + 8, &count->threads);
}

bool hfi_os_may_have_other_threads(bool *known)
{
    char line[LINE_BYTES];
    struct thread_count count = { .known = false };
    *known =
        read_lines(read_open("/proc/self/status"), line, sizeof line, count_threads, &count) && count.known;
    return !*known || count.threads != 1;
}

/* --- huge pages --- */

bool hfi_os_has_thp(void)
{
    char text[SMALL_FILE_BYTES];
    if (read_file("/sys/kernel/mm/transparent_hugepage/enabled", text, sizeof text, true) <= 0 ||
        strstr(text, "[never]") != NULL)
        return false;
    int saved_errno = errno;
    int disabled = prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0);
    errno = saved_errno;
    return disabled <= 0;
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
            count->huge_bytes += number_after(line, "AnonHugePages:") * 1024;
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

uint64_t hfi_os_transparent_huge_bytes(const void *start, size_t bytes)
{
    struct huge_count count = { .start = (uintptr_t)start, .end = (uintptr_t)start + bytes };
    char line[LINE_BYTES];
    bool known = read_lines(read_open("/proc/self/smaps"), line, sizeof line, count_smaps_line, &count);
    return known ? count.huge_bytes : UINT64_MAX;
}

static HFI_NOINLINE uint64_t pool_number(const char *directory, const char *name)
{
    char path[SMALL_FILE_BYTES];
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
    uint64_t room = pool->free_pages == 0 ? UINT64_MAX : cgroup_pool_room(page_bytes) / page_bytes;
    pool->bounded = room < pool->free_pages;
    pool->free_pages = hfi_min(pool->free_pages, room);
    return true;
}

/* --- time and place --- */

/* "0-3,8,1024-1027" */
static int parse_cpu_list(const char *text, uint64_t cpus[HFI_CPU_WORDS])
{
    int count = 0;
    memset(cpus, 0, HFI_CPU_WORDS * sizeof cpus[0]);
    for (const char *at = text; is_digit(*at); at += *at == ',') {
        unsigned long first = 0, last;
        for (; is_digit(*at); at++)
            first = hfi_min(first * 10 + (unsigned long)(*at - '0'), HFI_CPU_WORDS * 64);
        last = first;
        if (*at == '-')
            for (last = 0, at++; is_digit(*at); at++)
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
    int saved_errno = errno, mode = 0;
    return outcome(prctl(PR_GET_TSC, &mode, 0, 0, 0), saved_errno) != 0 || mode != PR_TSC_SIGSEGV;
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

unsigned hfi_os_current_node(void)
{
    unsigned cpu, node;
    int saved_errno = errno;
    return outcome(getcpu(&cpu, &node), saved_errno) == 0 ? node : 0;
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
    return outcome((int)syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0),
                   saved_errno);
}

int hfi_os_barrier(void)
{
    int saved_errno = errno;
    return outcome((int)syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0), saved_errno);
}
