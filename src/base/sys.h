/*
 * sys: system calls that no pthread_cancel(3) ends.
 *
 * malloc and free are no cancellation points (POSIX.1-2017, XSH 2.9.5.2), but the C library's open,
 * read, write, close, nanosleep and others are (pthreads(7)).  A thread that is to be cancelled
 * would end inside of them, with its caller's mutexes held, and with it the page that it was about
 * to take.  syscall(2) is no cancellation point, so the library makes such calls through here only.
 *
 * ISO C leaves names such as kill, stat and unlink to programs.  A program's function of that name is
 * then the one that a shared library calls by it.  So the library calls the kernel through here too.
 *
 * tests/exports.sh holds the library to both.
 *
 * Each returns what the kernel does, a failure as -errno (EINTR too), and keeps errno.
 */
#ifndef HFI_SYS_H
#define HFI_SYS_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"

#define HFI_AT_EMPTY_PATH 0x1000 /* <linux/fcntl.h> */

/* 0 or -errno of a call that returned -1 on failure; puts errno back. */
HFI_INLINE int hfi_sys_outcome(long result, int saved_errno)
{
    int error = result == -1 ? -errno : 0;
    errno = saved_errno;
    return error;
}

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

HFI_INLINE ssize_t hfi_sys_read(int fd, void *buffer, size_t bytes)
{
    return hfi_sys_call(SYS_read, fd, (long)buffer, (long)bytes, 0, 0, 0);
}

HFI_INLINE ssize_t hfi_sys_write(int fd, const void *bytes, size_t count)
{
    return hfi_sys_call(SYS_write, fd, (long)bytes, (long)count, 0, 0, 0);
}

/* read(2), whatever signals come meanwhile. */
HFI_INLINE ssize_t hfi_sys_read_again(int fd, void *buffer, size_t bytes)
{
    ssize_t got;
    do
        got = hfi_sys_read(fd, buffer, bytes);
    while (got == -EINTR);
    return got;
}

HFI_INLINE int hfi_sys_unlink_at(int directory, const char *name)
{
    return (int)hfi_sys_call(SYS_unlinkat, directory, (long)name, 0, 0, 0, 0);
}

/* Filters of system calls know the older call, which some architectures have not. */
HFI_INLINE int hfi_sys_unlink(const char *path)
{
#ifdef SYS_unlink
    return (int)hfi_sys_call(SYS_unlink, (long)path, 0, 0, 0, 0, 0);
#else
    return hfi_sys_unlink_at(AT_FDCWD, path);
#endif
}

/* The number of bytes, which no zero follows. */
HFI_INLINE ssize_t hfi_sys_read_link(const char *path, char *buffer, size_t bytes)
{
#ifdef SYS_readlink
    return hfi_sys_call(SYS_readlink, (long)path, (long)buffer, (long)bytes, 0, 0, 0);
#else
    return hfi_sys_call(SYS_readlinkat, AT_FDCWD, (long)path, (long)buffer, (long)bytes, 0, 0);
#endif
}

HFI_INLINE int hfi_sys_stat_at(int directory, const char *path, struct stat *file, int flags)
{
    return (int)hfi_sys_call(SYS_newfstatat, directory, (long)path, (long)file, flags, 0, 0);
}

/* The call that the C library's fstat makes. */
HFI_INLINE int hfi_sys_stat_open(int fd, struct stat *file)
{
    return hfi_sys_stat_at(fd, "", file, HFI_AT_EMPTY_PATH);
}

HFI_INLINE long hfi_sys_process(void)
{
    return hfi_sys_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
}

/* The effective one. */
HFI_INLINE unsigned hfi_sys_user(void)
{
    return (unsigned)hfi_sys_call(SYS_geteuid, 0, 0, 0, 0, 0, 0);
}

/* Whether a process of this number may be there: 0, or -EPERM, -ESRCH. */
HFI_INLINE int hfi_sys_look_for(long process)
{
    return (int)hfi_sys_call(SYS_kill, process, 0, 0, 0, 0, 0);
}

/* RLIM_INFINITY also where it is not told. */
HFI_INLINE rlim_t hfi_sys_limit(int resource)
{
    struct rlimit limit;
    return hfi_sys_call(SYS_prlimit64, 0, resource, 0, (long)&limit, 0, 0) == 0 ? limit.rlim_cur
                                                                                : RLIM_INFINITY;
}

/* The call that the C library's nanosleep makes: seccomp filters know it. */
HFI_INLINE int hfi_sys_sleep(const struct timespec *time)
{
    return (int)hfi_sys_call(SYS_clock_nanosleep, CLOCK_REALTIME, 0, (long)time, 0, 0, 0);
}

/* Signals that a call of this thread might raise, blocked meanwhile. */
struct sys_hold {
    uint64_t blocked; /* before */
    uint64_t pending; /* before */
    bool holds;       /* false where a filter refuses the call */
};

#define HFI_SIGNAL_BIT(number) ((uint64_t)1 << ((number)-1))

HFI_INLINE struct sys_hold hfi_sys_hold(uint64_t signals)
{
    struct sys_hold hold = { 0, 0, false };
    hold.holds = hfi_sys_call(SYS_rt_sigprocmask, SIG_BLOCK, (long)&signals, (long)&hold.blocked,
                              sizeof signals, 0, 0) == 0;
    hfi_sys_call(SYS_rt_sigpending, (long)&hold.pending, sizeof hold.pending, 0, 0, 0, 0);
    return hold;
}

/* `raised`: those that the call has made pending.  The program's own, which were so before,
 * stay. */
HFI_INLINE void hfi_sys_let_go(const struct sys_hold *hold, uint64_t raised)
{
    const struct timespec none = { 0, 0 };
    raised &= ~hold->pending;
    if (hold->holds && raised != 0)
        hfi_sys_call(SYS_rt_sigtimedwait, (long)&raised, 0, (long)&none, sizeof raised, 0, 0);
    if (hold->holds)
        hfi_sys_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&hold->blocked, 0, sizeof hold->blocked, 0, 0);
}

/* How many bytes it gave; never waits for more. */
HFI_INLINE ssize_t hfi_sys_random(void *buffer, size_t bytes)
{
    return hfi_sys_call(SYS_getrandom, (long)buffer, (long)bytes, GRND_NONBLOCK, 0, 0, 0);
}

#endif
