/*
 * segment: which processes show an arena, and the files they show it in.
 *
 * SG1: nothing about a file is believed.  It is opened for reading only, without following a link
 *      or waiting for a writer.  Owner and kind are looked at before the contents, which are
 *      snapshot-read.c's.
 * SG2: a file is removed only where its process is known to have ended, or to have executed another
 *      program since.  What is of another namespace cannot be judged from here.
 *
 * Tests: tests/tool-segment.sh, tests/segment.sh.
 */
#include "reader/segment.h"
#include "tool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/leftover.h"
#include "kernel/shm.h"
#include "reader/procfs.h"

/* 0 where /proc does not tell of the processes here (SG2). */
static uint64_t namespace_seen(void)
{
    return hfi_shm_proc_is_own() ? hfi_shm_namespace() : 0;
}

void segment_path(char path[SEGMENT_PATH_BYTES], pid_t pid, uint64_t start_ticks)
{
    strcpy(path, HF_INSPECT_DIRECTORY "/");
    hfi_shm_name(path + strlen(path), HF_INSPECT_PREFIX, pid, start_ticks, namespace_seen());
}

/* Of its first thread, where the kernel does not add up what all others used. */
static bool read_process(pid_t pid, struct shm_process *process)
{
    char file[32];
    snprintf(file, sizeof file, "task/%ld/stat", (long)pid);
    return hfi_shm_read_process(PROCFS_PATH(pid, file), process);
}

bool segment_start_ticks(pid_t pid, uint64_t *start_ticks)
{
    struct shm_process process;
    bool there = read_process(pid, &process);
    *start_ticks = process.start_ticks;
    return there;
}

bool segment_process_lives(pid_t pid, uint64_t start_ticks)
{
    return hfi_shm_process_lives(pid, start_ticks);
}

bool segment_program_runs(pid_t pid, uint32_t program)
{
    struct shm_process process;
    return program == 0 || !read_process(pid, &process) || process.program == 0 || process.program == program;
}

/* Made by the caller's own process, by root's (a server may change its user later), or, where
 * root looks, by the user the process runs as.  Anybody can put a file into the directory. */
static bool owner_is_plausible(const struct stat *file, pid_t pid)
{
    struct stat process;
    if (file->st_uid == geteuid() || file->st_uid == 0)
        return true;
    return geteuid() == 0 && stat(PROCFS_PATH(pid, ""), &process) == 0 && process.st_uid == file->st_uid;
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

uint32_t segment_program(int fd)
{
    struct hf_inspect_segment header;
    ssize_t got = pread(fd, &header, SNAPSHOT_LEAST_HEADER, 0);
    bool known = got == SNAPSHOT_LEAST_HEADER && header.magic == HF_INSPECT_MAGIC &&
                 header.version == HF_INSPECT_VERSION;
    return known ? header.program : 0;
}

bool segment_is_left(pid_t pid, uint64_t start_ticks)
{
    enum segment_verdict verdict;
    const char *reason;
    char path[SEGMENT_PATH_BYTES];
    segment_path(path, pid, start_ticks);
    int fd = segment_open(path, pid, &verdict, &reason);
    if (fd < 0)
        return false;
    bool left = !segment_program_runs(pid, segment_program(fd));
    close(fd);
    return left;
}

static void sweep(int directory, const char *name, bool ended, struct segment_count *count)
{
    struct stat file;
    if (fstatat(directory, name, &file, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(file.st_mode) ||
        !hfi_shm_may_sweep(file.st_uid))
        return;
    if (ended && hfi_leftover_keep(directory, name))
        count->kept++;
    else
        count->swept += unlinkat(directory, name, 0) == 0;
}

struct segment_count segment_each(void (*each)(pid_t pid, uint64_t start_ticks, void *argument),
                                  void *argument)
{
    struct segment_count count = { .swept = 0 };
    uint64_t own = namespace_seen();
    DIR *directory = opendir(HF_INSPECT_DIRECTORY);
    if (directory == NULL)
        return count;
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        long pid;
        uint64_t start_ticks, namespace;
        if (!hfi_shm_parse_name(entry->d_name, HF_INSPECT_PREFIX, &pid, &start_ticks, &namespace))
            continue;
        bool lives = segment_process_lives((pid_t)pid, start_ticks);
        if (namespace != own || own == 0)
            count.elsewhere++;
        else if (lives && !segment_is_left((pid_t)pid, start_ticks))
            each((pid_t)pid, start_ticks, argument);
        else
            sweep(dirfd(directory), entry->d_name, !lives, &count);
    }
    if (count.kept != 0)
        hfi_leftover_trim(dirfd(directory));
    closedir(directory);
    return count;
}
