/*
 * own-syscall: the program's own syscall(2), which the library's calls come through.
 *
 * Whoever includes it defines test_syscall, and passes calls on to test_real_syscall.
 */
#ifndef OWN_SYSCALL_H
#define OWN_SYSCALL_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

static long test_syscall(long number, const long a[6]);

static long (*real_syscall)(long number, ...);

/* Also asked for before there are threads: a child of a fork may find the loader's lock taken. */
__attribute__((constructor)) static void find_syscall(void)
{
    if (real_syscall == NULL)
        *(void **)&real_syscall = dlsym(RTLD_NEXT, "syscall");
}

static inline long test_real_syscall(long number, const long a[6])
{
    find_syscall(); /* the library's own constructor may come first */
    return real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

long syscall(long number, ...)
{
    long a[6];
    va_list arguments;
    va_start(arguments, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(arguments, long);
    va_end(arguments);
    return test_syscall(number, a);
}

#endif
