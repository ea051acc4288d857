/*
 * shm: see shm.h.
 */
#include "shm.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int shm_map(int fd, size_t bytes, void **memory)
{
    int error = posix_fallocate(fd, 0, (off_t)bytes); /* a store into what is not there would be a SIGBUS */
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

long hfi_shm_pid(void)
{
    return (long)getpid();
}
