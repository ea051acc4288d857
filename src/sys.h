/*
 * sys: system calls that no pthread_cancel(3) ends.
 *
 * malloc and free are no cancellation points (POSIX.1-2017, XSH 2.9.5.2), but the C library's open,
 * read, write, close, nanosleep and others are (pthreads(7)).  A thread that is to be cancelled would
 * end inside of them, with its caller's mutexes held, and with it the page that it was about to take.
 * syscall(2) is no cancellation point, so the library makes such calls through here only;
 * tests/exports.sh holds the library to it.
 *
 * Each returns what the kernel does, a failure as -errno (EINTR too), and keeps errno.
 */
#ifndef HFI_SYS_H
#define HFI_SYS_H

#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "base.h"

/* Any call: pointers go as longs. */
HFI_INLINE long hfi_sys_call(long number, long a, long b, long c, long d, long e, long f)
{
    int saved_errno = errno;
    long result = syscall(number, a, b, c, d, e, f);
    if (result == -1)
        result = -errno;
    errno = saved_errno;
    return result;
}

HFI_INLINE int hfi_sys_open(const char *path, int flags)
{
    return (int)hfi_sys_call(SYS_openat, AT_FDCWD, (long)path, flags, 0, 0, 0);
}

HFI_INLINE ssize_t hfi_sys_read(int fd, void *buffer, size_t bytes)
{
    return hfi_sys_call(SYS_read, fd, (long)buffer, (long)bytes, 0, 0, 0);
}

HFI_INLINE ssize_t hfi_sys_write(int fd, const void *bytes, size_t count)
{
    return hfi_sys_call(SYS_write, fd, (long)bytes, (long)count, 0, 0, 0);
}

/* The descriptor is gone whatever this returns. */
HFI_INLINE int hfi_sys_close(int fd)
{
    return (int)hfi_sys_call(SYS_close, fd, 0, 0, 0, 0, 0);
}

/* The call that the C library's nanosleep makes: seccomp filters know it. */
HFI_INLINE int hfi_sys_sleep(const struct timespec *time)
{
    return (int)hfi_sys_call(SYS_clock_nanosleep, CLOCK_REALTIME, 0, (long)time, 0, 0, 0);
}

/* How many bytes it gave; never waits for more. */
HFI_INLINE ssize_t hfi_sys_random(void *buffer, size_t bytes)
{
    return hfi_sys_call(SYS_getrandom, (long)buffer, (long)bytes, GRND_NONBLOCK, 0, 0, 0);
}

#endif
