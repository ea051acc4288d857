/*
 * segment: reading <holdfast/inspect.h> of another process.
 *
 * S1: nothing in the file is believed.  It is opened for reading only, without following a
 *     link or waiting for a writer; owner, kind and size are looked at before the contents, and
 *     counts are clamped to the arrays.
 * S2: it is copied with pread, not mapped: a file that is cut short meanwhile makes a short
 *     read, where a mapping would make a SIGBUS.
 *
 * Words may change while they are copied; each is true of some moment.
 *
 * Test: tests/tool.sh.
 */
#include "tool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os.h"

void segment_path(char *path, size_t path_bytes, pid_t pid, uint64_t start_ticks)
{
    snprintf(path, path_bytes, HF_INSPECT_DIRECTORY "/" HF_INSPECT_PREFIX "%ld.%llu", (long)pid, (unsigned long long)start_ticks);
}

bool segment_start_ticks(pid_t pid, uint64_t *start_ticks)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    if (hfi_os_read_file(path, text, sizeof text) <= 0)
        return false;
    const char *at = strrchr(text, ')'); /* the name in field 2 may hold anything */
    for (int field = 2; at != NULL && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (at == NULL)
        return false;
    *start_ticks = strtoull(at, NULL, 10);
    return true;
}

/* Made by the caller's own process, by root's (a server may change its user later), or, where
 * root looks, by the user the process runs as.  Anybody can put a file into the directory. */
static bool owner_is_plausible(const struct stat *file, pid_t pid)
{
    char path[64];
    struct stat process;
    if (file->st_uid == geteuid() || file->st_uid == 0)
        return true;
    snprintf(path, sizeof path, "/proc/%ld", (long)pid);
    return geteuid() == 0 && stat(path, &process) == 0 && process.st_uid == file->st_uid;
}

int segment_open(const char *path, pid_t pid, enum segment_verdict *verdict, const char **reason)
{
    struct stat file;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        *verdict = errno == ENOENT ? SEGMENT_NONE : errno == ELOOP ? SEGMENT_STRANGE : SEGMENT_DENIED;
        *reason = errno == ELOOP ? "it is a symbolic link" : strerror(errno);
        return -1;
    }
    *verdict = SEGMENT_STRANGE;
    if (fstat(fd, &file) != 0 || !S_ISREG(file.st_mode))
        *reason = "it is no regular file";
    else if (!owner_is_plausible(&file, pid))
        *reason = "its owner is neither you, root nor the user of the process";
    else
        return fd;
    close(fd);
    return -1;
}

static const char *segment_fault(const struct hf_inspect_segment *segment, pid_t pid, uint64_t start_ticks)
{
    if (segment->magic != HF_INSPECT_MAGIC)
        return "it does not begin as one";
    if (segment->version != HF_INSPECT_VERSION)
        return "it is of another version than this tool";
    if (segment->segment_bytes != sizeof *segment || segment->node_bytes != sizeof segment->nodes[0] ||
        segment->theap_bytes != sizeof segment->theaps[0])
        return "its structs have other sizes than this tool's";
    if (segment->pid != (uint64_t)pid || segment->start_ticks != start_ticks)
        return "it names another process";
    if (segment->node_count == 0)
        return "it has no node";
    return NULL;
}

enum segment_verdict segment_read(int fd, pid_t pid, uint64_t start_ticks, struct hf_inspect_segment *segment, const char **reason)
{
    char *at = (char *)segment;
    for (size_t done = 0; done < sizeof *segment;) {
        ssize_t got = pread(fd, at + done, sizeof *segment - done, (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            *reason = got < 0 ? strerror(errno) : "it is too short";
            return SEGMENT_MALFORMED;
        }
        done += (size_t)got;
    }
    *reason = segment_fault(segment, pid, start_ticks);
    if (*reason != NULL)
        return SEGMENT_MALFORMED;
    segment->node_count = (uint32_t)hfi_min(segment->node_count, HF_INSPECT_MAX_NODES);
    segment->theap_count = (uint32_t)hfi_min(segment->theap_count, HF_INSPECT_MAX_THEAPS);
    return SEGMENT_OK;
}

const char *segment_backing_name(uint32_t backing)
{
    static const char *const names[] = {
        [HF_BACKING_NONE] = "none", [HF_BACKING_1G] = "1g", [HF_BACKING_2M] = "2m", [HF_BACKING_THP] = "thp", [HF_BACKING_4K] = "4k",
    };
    return backing < sizeof names / sizeof names[0] ? names[backing] : "?";
}

void segment_sum(const struct hf_inspect_segment *segment, struct segment_counters *sum)
{
    *sum = (struct segment_counters){ 0 };
    for (uint32_t i = 0; i < segment->theap_count; i++) {
        const struct hf_inspect_theap *theap = &segment->theaps[i];
        sum->in_use += theap->in_use != 0;
        sum->listed += theap->listed;
        sum->collected += theap->collected;
        sum->claimed += theap->claimed;
        sum->fresh += theap->fresh;
        sum->adopted += theap->adopted;
        sum->retired += theap->retired;
        sum->remote_frees += theap->remote_frees;
        sum->large += theap->large;
        sum->away += theap->away;
        sum->kept += theap->kept;
    }
}

/* "holdfast.PID.START" and nothing else. */
static bool parse_name(const char *name, pid_t *pid, uint64_t *start_ticks)
{
    long number = 0;
    unsigned long long ticks = 0;
    char canonical[NAME_MAX + 1];
    if (sscanf(name, HF_INSPECT_PREFIX "%ld.%llu", &number, &ticks) != 2 || number <= 0 || number > INT_MAX)
        return false;
    snprintf(canonical, sizeof canonical, HF_INSPECT_PREFIX "%ld.%llu", number, ticks);
    *pid = (pid_t)number;
    *start_ticks = ticks;
    return strcmp(name, canonical) == 0; /* no sign, blank or zero in front, nothing behind */
}

/* kill tells a process that /proc hides (hidepid=) from one that is gone. */
static bool process_lives(pid_t pid, uint64_t start_ticks)
{
    uint64_t ticks;
    if (segment_start_ticks(pid, &ticks))
        return ticks == start_ticks;
    return kill(pid, 0) == 0 || errno == EPERM;
}

static bool sweep(int directory, const char *name)
{
    struct stat file;
    return fstatat(directory, name, &file, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(file.st_mode) &&
           file.st_uid == geteuid() && unlinkat(directory, name, 0) == 0;
}

unsigned segment_each(void (*each)(pid_t pid, uint64_t start_ticks, void *argument), void *argument)
{
    unsigned swept = 0;
    DIR *directory = opendir(HF_INSPECT_DIRECTORY);
    if (directory == NULL)
        return 0;
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        pid_t pid;
        uint64_t start_ticks;
        if (!parse_name(entry->d_name, &pid, &start_ticks))
            continue;
        if (process_lives(pid, start_ticks))
            each(pid, start_ticks, argument);
        else
            swept += sweep(dirfd(directory), entry->d_name);
    }
    closedir(directory);
    return swept;
}
