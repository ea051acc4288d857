/*
 * descriptor: see descriptor.h.
 *
 * DS1: who opens raises xopen, then reads xforks; who forks raises xforks, then reads xopen.  Of the two
 *      at least one sees the other (Dekker: sequentially consistent).  Who opens steps back.
 * DS2: a thread does not wait for itself: a signal handler may fork while it has a file open, and
 *      handlers of fork open files.
 *
 * A count may be of a thread that is not there: in a child of clone(2) or _Fork(3), which runs no
 * handlers, or where a thread ended in another library's handler of fork.  So after a wait in vain it
 * is set to what the thread itself has.
 *
 * Tests: tests/unit/descriptor.c, tests/programs/fork-descriptors.c.
 */
#include "base/descriptor.h"

#include "base/atomic.h"
#include "base/sys.h"

#define NAP_US 50u

uint32_t hfi_descriptor_wait_ms = 500;

static _Atomic(uint32_t) xopen;  /* atomic: files open, or about to be */
static _Atomic(uint32_t) xforks; /* atomic: threads between the handlers of a fork */
static HFI_TLS uint32_t own_open, own_forks;

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Whether a wait may go on, which began at `*from_ms`, or begins now where that is 0. */
static bool has_time(uint64_t *from_ms)
{
    uint64_t now = now_ms();
    if (*from_ms == 0)
        *from_ms = now;
    return now - *from_ms < hfi_descriptor_wait_ms;
}

static void nap(void)
{
    struct timespec time = { .tv_nsec = NAP_US * 1000 };
    hfi_sys_sleep(&time);
}

static bool others_fork(void)
{
    return hfi_load_seq_cst(&xforks) > own_forks;
}

static bool others_open(void)
{
    return hfi_load_seq_cst(&xopen) > own_open;
}

static void lower(_Atomic(uint32_t) *count)
{
    uint32_t value = hfi_load_relaxed(count);
    while (value != 0 && !hfi_cas_seq_cst(count, &value, value - 1))
        ;
}

void hfi_descriptor_begin(void)
{
    own_open++;
    hfi_fetch_add_seq_cst(&xopen, 1); /* DS1 */
    for (uint64_t from_ms = 0; others_fork() && has_time(&from_ms);) {
        lower(&xopen);
        nap();
        hfi_fetch_add_seq_cst(&xopen, 1);
    }
    if (others_fork())
        hfi_store_seq_cst(&xforks, own_forks);
}

void hfi_descriptor_end(void)
{
    lower(&xopen);
    own_open--;
}

int hfi_descriptor_create_at(int directory, const char *path, int flags, unsigned mode)
{
    hfi_descriptor_begin();
    int fd = (int)hfi_sys_call(SYS_openat, directory, (long)path, flags, mode, 0, 0);
    if (fd < 0)
        hfi_descriptor_end();
    return fd;
}

int hfi_descriptor_open_at(int directory, const char *path, int flags)
{
    return hfi_descriptor_create_at(directory, path, flags, 0);
}

int hfi_descriptor_open(const char *path, int flags)
{
    return hfi_descriptor_open_at(AT_FDCWD, path, flags);
}

/* The descriptor is gone whatever the kernel returns. */
void hfi_descriptor_close(int fd)
{
    hfi_sys_call(SYS_close, fd, 0, 0, 0, 0, 0);
    hfi_descriptor_end();
}

void hfi_descriptor_forking(void)
{
    own_forks++;
    hfi_fetch_add_seq_cst(&xforks, 1); /* DS1 */
    for (uint64_t from_ms = 0; others_open() && has_time(&from_ms);)
        nap();
    if (others_open())
        hfi_store_seq_cst(&xopen, own_open);
}

void hfi_descriptor_forked(void)
{
    lower(&xforks);
    own_forks -= own_forks != 0; /* a library that a handler loaded has not begun */
}

void hfi_descriptor_in_child(void)
{
    own_forks -= own_forks != 0;
    hfi_store_seq_cst(&xforks, own_forks);
    hfi_store_seq_cst(&xopen, own_open);
}
