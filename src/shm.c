/*
 * shm: see shm.h.
 */
#include "shm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ENTRIES_BYTES 1024u /* on the stack of whichever thread publishes */
#define SWEEP_ROUNDS 64

static int shm_map(int fd, size_t bytes, void **memory)
{
    int error;
    do
        error = posix_fallocate(fd, 0, (off_t)bytes); /* a store into what is not there would be a SIGBUS */
    while (error == EINTR);
    if (error != 0)
        return -error;
    *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    return *memory == MAP_FAILED ? -errno : 0;
}

int hfi_shm_create(const char *path, size_t bytes, void **memory)
{
    int saved_errno = errno;
    unlink(path); /* of the program that this process was before exec */
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR);
    int error = fd < 0 ? -errno : shm_map(fd, bytes, memory);
    if (fd >= 0)
        close(fd);
    if (fd >= 0 && error != 0)
        unlink(path);
    errno = saved_errno;
    return error;
}

void hfi_shm_unlink(const char *path)
{
    int saved_errno = errno;
    unlink(path);
    errno = saved_errno;
}

static bool is_left_over(int directory, const char *name, const char *prefix)
{
    struct stat file;
    size_t length = strlen(prefix);
    if (strncmp(name, prefix, length) != 0)
        return false;
    long pid = strtol(name + length, NULL, 10);
    return pid > 0 && kill((pid_t)pid, 0) != 0 && errno == ESRCH && fstatat(directory, name, &file, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISREG(file.st_mode) && file.st_uid == geteuid();
}

/* As getdents64(2) writes it. */
struct entry {
    uint64_t inode;
    int64_t offset;
    unsigned short bytes;
    unsigned char type;
    char name[];
};

void hfi_shm_sweep(const char *directory, const char *prefix)
{
    int saved_errno = errno;
    _Alignas(struct entry) char entries[ENTRIES_BYTES];
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int round = 0; fd >= 0 && round < SWEEP_ROUNDS; round++) {
        long got = syscall(SYS_getdents64, fd, entries, sizeof entries);
        for (long at = 0; at < got; at += ((struct entry *)(entries + at))->bytes) {
            const struct entry *entry = (const struct entry *)(entries + at);
            if (is_left_over(fd, entry->name, prefix))
                unlinkat(fd, entry->name, 0);
        }
        if (got <= 0)
            break;
    }
    if (fd >= 0)
        close(fd);
    errno = saved_errno;
}

long hfi_shm_pid(void)
{
    return (long)getpid();
}
