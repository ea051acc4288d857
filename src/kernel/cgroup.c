/*
 * cgroup: see cgroup.h.
 *
 * A limit is looked for from the process's own group up to the root.  Inside a container without a
 * cgroup namespace /proc/self/cgroup names a path that is not mounted.  Only the root, which is
 * then the container's own group, has files.
 *
 * Test: tests/unit/os.c.
 */
#include "kernel/cgroup.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/descriptor.h"
#include "base/sys.h"
#include "kernel/files.h"
#include "kernel/os.h"

/* The two generations of cgroups: where they are mounted, what their files are called. */
struct cgroup_kind {
    const char *root, *limit_name, *used_name;
    const char *cache_names[2]; /* in memory.stat: page cache, which the kernel takes back; or NULL */
    bool first;                 /* v1 */
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
    .first = true,
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
        if (strncmp(line, cache->kind->cache_names[i], length) == 0 &&
            hfi_os_first_number(line + length, &bytes))
            cache->bytes += bytes;
    }
}

/* "max" holds no number. */
static bool group_number(int group, const char *name, uint64_t *number)
{
    char text[HFI_SMALL_FILE_BYTES];
    return hfi_os_read_descriptor(hfi_os_read_open_at(group, name), text, sizeof text, true) > 0 &&
           hfi_os_first_number(text, number);
}

static uint64_t group_cache(int group, const struct cgroup_kind *kind)
{
    char line[HFI_SMALL_FILE_BYTES];
    struct cgroup_cache cache = { kind, 0 };
    if (kind->cache_names[0] != NULL)
        hfi_os_read_lines(hfi_os_read_open_at(group, "memory.stat"), line, sizeof line, count_cache, &cache);
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
        bound->first_kind = kind->first;
    }
}

/* By its directory: a path would take a second KiB of stack.  A descriptor, or an error number. */
static int group_open(const struct cgroup_kind *kind, const char *group)
{
    int flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
    int root = hfi_descriptor_open(kind->root, flags);
    if (root < 0)
        return root;
    int fd = hfi_descriptor_open_at(root, group[0] == 0 ? "." : group + 1, flags);
    hfi_descriptor_close(root);
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
            hfi_descriptor_close(fd);
        }
        char *slash = strrchr(group, '/');
        if (slash == NULL)
            return;
        *slash = 0;
    }
}

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
    char line[HFI_LINE_BYTES];
    struct cgroup_search search = { bound, v2, v1, controller };
    hfi_os_read_lines(hfi_os_read_open("/proc/self/cgroup"), line, sizeof line, search_group, &search);
}

void hfi_cgroup_find(struct cgroup_bound *bound)
{
    cgroup_find_kind(bound, &cgroup_v2, &cgroup_v1, "memory");
}

/* Of one size of pages, with "rsvd." or without.  On v2 alone, and beside v1, where it is mounted. */
HFI_NOINLINE void hfi_cgroup_pool_bound(struct cgroup_bound *bound, char file[HFI_CGROUP_FILE_BYTES],
                                        size_t page_bytes, bool reserved)
{
    static const char *const roots[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
    static const char *const words[] = { "max", "current", "limit_in_bytes", "usage_in_bytes" };
    char names[4][HFI_CGROUP_FILE_BYTES];
    *bound = (struct cgroup_bound){ HFI_CGROUP_NO_BOUND, .usage = true };
    for (int i = 0; i < 4; i++)
        snprintf(names[i], sizeof names[i], "hugetlb.%s.%s%s", page_bytes == HFI_GIB ? "1GB" : "2MB",
                 reserved ? "rsvd." : "", words[i]);
    for (int i = 0; i < 2; i++) {
        struct cgroup_kind v2 = { .root = roots[i], .limit_name = names[0], .used_name = names[1] };
        struct cgroup_kind v1 = {
            .root = "/sys/fs/cgroup/hugetlb", .limit_name = names[2], .used_name = names[3], .first = true
        };
        cgroup_find_kind(bound, &v2, &v1, "hugetlb");
    }
    memcpy(file, names[bound->first_kind ? 2 : 0], HFI_CGROUP_FILE_BYTES);
    if (bound->limit_bytes == UINT64_MAX)
        file[0] = 0;
}

uint64_t hfi_cgroup_pool_room(size_t page_bytes)
{
    struct cgroup_bound touched, reserved;
    char file[HFI_CGROUP_FILE_BYTES];
    hfi_cgroup_pool_bound(&touched, file, page_bytes, false);
    hfi_cgroup_pool_bound(&reserved, file, page_bytes, true);
    return hfi_min(touched.room_bytes, reserved.room_bytes);
}

bool hfi_os_cgroup_limit(uint64_t *limit_bytes, uint64_t *used_bytes)
{
    struct cgroup_bound bound = { HFI_CGROUP_NO_BOUND, .usage = true };
    hfi_cgroup_find(&bound);
    if (bound.limit_bytes == UINT64_MAX)
        return false;
    *limit_bytes = bound.limit_bytes;
    *used_bytes = bound.used_bytes;
    return true;
}
