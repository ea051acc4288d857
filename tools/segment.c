/*
 * segment: which processes show an arena, and the files they show it in.
 *
 * S1: nothing about a file is believed.  It is opened for reading only, without following a
 *     link or waiting for a writer; owner and kind are looked at before the contents, which are snapshot.c's.
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

/* Fields 3 (state), 20 (threads) and 22 (start time) of /proc/PID/stat: of its first thread, where the kernel does not add up
 * what all others used. */
static bool read_process(pid_t pid, char *state, unsigned long *threads, uint64_t *start_ticks)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%ld/task/%ld/stat", (long)pid, (long)pid);
    if (hfi_os_read_file(path, text, sizeof text) <= 0)
        return false;
    const char *at = strrchr(text, ')'); /* the name in field 2 may hold anything */
    for (int field = 2; at != NULL && field < 22; field++) {
        at = strchr(at + 1, ' ');
        if (at != NULL && field + 1 == 3)
            *state = at[1];
        else if (at != NULL && field + 1 == 20)
            *threads = strtoul(at, NULL, 10);
    }
    if (at == NULL)
        return false;
    *start_ticks = strtoull(at, NULL, 10);
    return true;
}

bool segment_start_ticks(pid_t pid, uint64_t *start_ticks)
{
    unsigned long threads = 0;
    char state = 0;
    return read_process(pid, &state, &threads, start_ticks);
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

/* A process that nobody waited for is over, unless only its first thread is.  kill tells a process that /proc hides (hidepid=)
 * from one that is gone. */
bool segment_process_lives(pid_t pid, uint64_t start_ticks)
{
    uint64_t ticks;
    unsigned long threads = 0;
    char state = 0;
    if (read_process(pid, &state, &threads, &ticks))
        return ticks == start_ticks && (state != 'Z' || threads > 1);
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
        if (segment_process_lives(pid, start_ticks))
            each(pid, start_ticks, argument);
        else
            swept += sweep(dirfd(directory), entry->d_name);
    }
    closedir(directory);
    return swept;
}
