/*
 * leftover: see leftover.h.
 *
 * LO1: what a file says of itself chooses its fellows, of which the oldest go; a file of another owner
 *      has none.  Where there are too many of all owners, who has most loses his oldest.  So nobody pushes
 *      out what another user left.
 * LO2: a file is renamed or removed where hfi_shm_may_sweep allows it, and no link is followed.
 *
 * The last change of the inode, which a rename is, tells when a file was kept.
 *
 * Tests: tests/last.sh.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* syscall */
#endif
#include "app/leftover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/sys.h"
#include "kernel/files.h"
#include "kernel/shm.h"

#define KEPT_OF_LABEL 3u
#define KEPT_OF_OWNER 12u
#define KEPT_SEEN 64u                        /* of all owners; more are removed */
#define KEPT_BYTES ((uint64_t)256 * HFI_MIB) /* of one owner */
#define KEPT_SHARE 8u                        /* of the file system, at most */

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#endif

struct kept {
    char name[HFI_SHM_NAME_BYTES];
    char label[sizeof((struct hf_inspect_segment *)NULL)->unit];
    unsigned owner;
    int64_t seconds, nanoseconds; /* when it was kept */
    uint64_t bytes;
};

static struct kept kept[KEPT_SEEN + 1];
static unsigned kept_count, kept_now;

/* --- what a file is --- */

bool hfi_leftover_read(int directory, const char *name, const char *prefix, struct hf_inspect_segment *header)
{
    long pid;
    uint64_t start_ticks, namespace;
    struct stat file;
    if (!hfi_shm_parse_name(name, prefix, &pid, &start_ticks, &namespace))
        return false;
    int fd = hfi_descriptor_open_at(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    memset(header, 0, sizeof *header);
    bool whole = hfi_sys_stat_open(fd, &file) == 0 && S_ISREG(file.st_mode) &&
                 hfi_sys_read_again(fd, header, sizeof *header) == (ssize_t)sizeof *header;
    hfi_descriptor_close(fd);
    header->name[sizeof header->name - 1] = 0;
    header->unit[sizeof header->unit - 1] = 0;
    return whole && header->magic == HF_INSPECT_MAGIC && header->version == HF_INSPECT_VERSION &&
           header->header_bytes >= sizeof *header && header->pid == (uint64_t)pid &&
           header->start_ticks == start_ticks && header->segment_bytes == (uint64_t)file.st_size;
}

const char *hfi_leftover_label(const struct hf_inspect_segment *header, char *label)
{
    if (header->unit[0] != 0)
        memcpy(label, header->unit, sizeof header->unit);
    else
        snprintf(label, sizeof header->unit, "%s", header->name);
    return label;
}

/* --- keeping --- */

bool hfi_leftover_keep(int directory, const char *name)
{
    /* as `kept`, not on a stack that may be a signal handler's */
    static struct hf_inspect_segment header;
    static char other[HFI_SHM_NAME_BYTES + sizeof HF_INSPECT_KEPT_PREFIX];
    if (!hfi_leftover_read(directory, name, HF_INSPECT_PREFIX, &header))
        return false;
    snprintf(other, sizeof other, HF_INSPECT_KEPT_PREFIX "%s", name + strlen(HF_INSPECT_PREFIX));
    bool renamed =
        strlen(other) < HFI_SHM_NAME_BYTES &&
        hfi_sys_call(SYS_renameat2, directory, (long)name, directory, (long)other, RENAME_NOREPLACE, 0) == 0;
    kept_now += renamed;
    return renamed;
}

static bool is_newer(const struct kept *one, const struct kept *other)
{
    return one->seconds != other->seconds         ? one->seconds > other->seconds
         : one->nanoseconds != other->nanoseconds ? one->nanoseconds > other->nanoseconds
                                                  : strcmp(one->name, other->name) > 0;
}

static unsigned count_of_owner(unsigned owner)
{
    unsigned count = 0;
    for (unsigned i = 0; i < kept_count; i++)
        count += kept[i].owner == owner;
    return count;
}

/* LO1: the oldest of whoever has most. */
static void drop_of_most(int directory)
{
    unsigned goes = 0, most = 0;
    for (unsigned i = 0; i < kept_count; i++) {
        unsigned count = count_of_owner(kept[i].owner);
        if (count < most || (count == most && is_newer(&kept[i], &kept[goes])))
            continue;
        goes = i;
        most = count;
    }
    hfi_sys_unlink_at(directory, kept[goes].name);
    kept[goes] = kept[--kept_count];
}

static void remember(int directory, const char *name, void *unused)
{
    struct stat file;
    static struct hf_inspect_segment header;
    (void)unused;
    if (strncmp(name, HF_INSPECT_KEPT_PREFIX, strlen(HF_INSPECT_KEPT_PREFIX)) != 0 ||
        hfi_sys_stat_at(directory, name, &file, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(file.st_mode) ||
        !hfi_shm_may_sweep(file.st_uid))
        return;
    if (!hfi_leftover_read(directory, name, HF_INSPECT_KEPT_PREFIX, &header)) {
        hfi_sys_unlink_at(directory, name);
        return;
    }
    struct kept *one = &kept[kept_count++];
    *one = (struct kept){ .owner = file.st_uid,
                          .seconds = file.st_ctim.tv_sec,
                          .nanoseconds = file.st_ctim.tv_nsec,
                          .bytes = (uint64_t)file.st_size };
    snprintf(one->name, sizeof one->name, "%s", name);
    hfi_leftover_label(&header, one->label);
    if (kept_count > KEPT_SEEN)
        drop_of_most(directory);
}

static bool is_too_old(const struct kept *one, uint64_t bytes_most)
{
    unsigned of_label = 0, of_owner = 0;
    uint64_t bytes = one->bytes;
    for (unsigned i = 0; i < kept_count; i++) {
        if (kept[i].owner != one->owner || !is_newer(&kept[i], one))
            continue;
        of_owner++;
        of_label += strcmp(kept[i].label, one->label) == 0;
        bytes += kept[i].bytes;
    }
    return of_label >= KEPT_OF_LABEL || of_owner >= KEPT_OF_OWNER || bytes > bytes_most;
}

void hfi_leftover_trim(int directory)
{
    int saved_errno = errno;
    struct statfs system;
    uint64_t most = KEPT_BYTES;
    if (hfi_sys_call(SYS_fstatfs, directory, (long)&system, 0, 0, 0, 0) == 0 && system.f_blocks != 0)
        most = hfi_min(most, (uint64_t)system.f_blocks * (uint64_t)system.f_bsize / KEPT_SHARE);
    kept_count = 0;
    hfi_shm_each_name(directory, remember, NULL);
    for (unsigned i = 0; i < kept_count; i++)
        if (is_too_old(&kept[i], most))
            hfi_sys_unlink_at(directory, kept[i].name);
    errno = saved_errno;
}

unsigned hfi_leftover_sweep(void)
{
    int directory = hfi_shm_open_directory(HF_INSPECT_DIRECTORY);
    if (directory < 0)
        return 0;
    kept_now = 0;
    hfi_shm_sweep(directory, HF_INSPECT_PREFIX, hfi_leftover_keep);
    if (kept_now != 0)
        hfi_leftover_trim(directory);
    hfi_descriptor_close(directory);
    return kept_now;
}

static void drop(int directory, const char *name, void *dropped)
{
    struct stat file;
    if (strncmp(name, HF_INSPECT_KEPT_PREFIX, strlen(HF_INSPECT_KEPT_PREFIX)) == 0 &&
        hfi_sys_stat_at(directory, name, &file, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(file.st_mode) &&
        file.st_uid == hfi_sys_user() && hfi_sys_unlink_at(directory, name) == 0)
        *(bool *)dropped = true;
}

bool hfi_leftover_drop(void)
{
    int saved_errno = errno;
    bool dropped = false;
    int directory = hfi_shm_open_directory(HF_INSPECT_DIRECTORY);
    if (directory >= 0) {
        hfi_shm_each_name(directory, drop, &dropped);
        hfi_descriptor_close(directory);
    }
    errno = saved_errno;
    return dropped;
}

/* --- names --- */

/* Lines are "0::/system.slice/redis-server.service", and "1:name=systemd:/..." of older systems.  What
 * a service makes below its own group is the service's. */
static void find_service(char *line, void *unit)
{
    static const char ending[] = ".service";
    char *service = NULL, *part = strchr(line, '/');
    while (part != NULL) {
        char *next = strchr(part + 1, '/');
        if (next != NULL)
            *next = 0;
        size_t length = strlen(part + 1);
        if (length > sizeof ending - 1 && strcmp(part + 1 + length - (sizeof ending - 1), ending) == 0)
            service = part + 1;
        part = next;
    }
    size_t unit_bytes = sizeof((struct hf_inspect_segment *)NULL)->unit;
    if (service != NULL && strlen(service) < unit_bytes)
        strcpy(unit, service);
}

void hfi_leftover_sign(struct hf_inspect_segment *header)
{
    char line[HFI_LINE_BYTES];
    hfi_os_read_once("/proc/self/comm", header->name, sizeof header->name);
    header->name[strcspn(header->name, "\n")] = 0;
    hfi_os_read_lines(hfi_os_read_open("/proc/self/cgroup"), line, sizeof line, find_service, header->unit);
}
