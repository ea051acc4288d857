/*
 * outlet: see outlet.h; holdfast-messages(7) for what is promised.
 *
 * OL1: nothing is written to what is not a place for messages.  By now descriptor 2 may be a
 *      database: close(2) makes 2 the number of the next file that is opened, accepted or made.
 * OL2: no write waits for a reader.  One that would is not made.
 * OL3: no write leaves a signal behind, or takes one that the program has pending.
 *
 * Another file than 2 was at start may be a place for messages too: dup2(2) and freopen(3) put it
 * there on purpose, and leave it open across exec.  So it has no close-on-exec, and is a pipe (to a
 * program that logs), a terminal, or a file opened for appending.  A socket is none: accept(2)
 * gives out number 2 like any other, and a client's protocol would be damaged.
 *
 * SIGPIPE, SIGXFSZ and SIGTTOU come to the thread that writes.  It blocks them meanwhile, and takes
 * what its own write made pending.  SIGTTOU stops no write where it is blocked (TOSTOP,
 * termios(3)).
 *
 * A seccomp filter may refuse any of the calls.  A refused fstat(2) or fcntl(2) means no place for
 * messages.  The others are precautions: without them the line is written all the same.
 *
 * Test: tests/programs/outlet.c.
 */
#include "base/outlet.h"

#include <asm/termbits.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "base/atomic.h"
#include "base/sys.h"

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 0x00000008 /* <linux/fs.h> */
#endif
#define TRIES 10 /* of a write that a signal handler interrupts */

enum start_state { START_UNKNOWN, START_BEING_ASKED, START_KNOWN };

static _Atomic(int) xstart_state; /* atomic: enum start_state */
static struct {                   /* const once START_KNOWN */
    dev_t device;
    ino_t inode;
    mode_t mode; /* 0: there was no descriptor 2 */
    int access;  /* O_RDONLY, O_WRONLY or O_RDWR */
} start;

static bool ask_file(struct stat *file)
{
    return hfi_sys_stat_open(STDERR_FILENO, file) == 0;
}

static long flags_of(int command)
{
    return hfi_sys_call(SYS_fcntl, STDERR_FILENO, command, 0, 0, 0, 0);
}

void hfi_outlet_remember(void)
{
    int unknown = START_UNKNOWN;
    struct stat file;
    if (!hfi_cas_acq_rel(&xstart_state, &unknown, START_BEING_ASKED))
        return;
    if (ask_file(&file)) {
        start.device = file.st_dev;
        start.inode = file.st_ino;
        start.mode = file.st_mode & S_IFMT;
        start.access = (int)flags_of(F_GETFL) & O_ACCMODE;
    }
    hfi_store_release(&xstart_state, START_KNOWN); /* pairs with is_file_of_start */
}

void hfi_outlet_forked(void)
{
    int asked = START_BEING_ASKED;
    hfi_cas_relaxed(&xstart_state, &asked, START_UNKNOWN); /* relaxed: the child has one thread */
}

/* An inode's number may belong to another file by now, which is hardly opened the same way. */
static bool is_file_of_start(const struct stat *file)
{
    if (hfi_load_acquire(&xstart_state) != START_KNOWN)
        return true; /* another thread is just asking */
    if (file->st_dev != start.device || file->st_ino != start.inode || (file->st_mode & S_IFMT) != start.mode)
        return false;
    return !S_ISREG(file->st_mode) || ((int)flags_of(F_GETFL) & O_ACCMODE) == start.access;
}

static bool is_terminal(void)
{
    struct termios modes;
    return hfi_sys_call(SYS_ioctl, STDERR_FILENO, TCGETS, (long)&modes, 0, 0, 0) == 0;
}

/* OL1 */
static bool is_for_messages(const struct stat *file)
{
    if (is_file_of_start(file))
        return true;
    long descriptor_flags = flags_of(F_GETFD);
    if (descriptor_flags < 0 || (descriptor_flags & FD_CLOEXEC) != 0)
        return false;
    if (S_ISREG(file->st_mode)) {
        long flags = flags_of(F_GETFL);
        return flags >= 0 && (flags & O_APPEND) != 0;
    }
    return S_ISFIFO(file->st_mode) || (S_ISCHR(file->st_mode) && is_terminal());
}

/* What poll(2) says of descriptor 2; POLLOUT where it is refused. */
static short ask_ready(void)
{
    struct pollfd poll = { .fd = STDERR_FILENO, .events = POLLOUT };
#ifdef SYS_poll
    long ready = hfi_sys_call(SYS_poll, (long)&poll, 1, 0, 0, 0, 0);
#else
    struct timespec none = { 0, 0 };
    long ready = hfi_sys_call(SYS_ppoll, (long)&poll, 1, (long)&none, 0, 0, 0);
#endif
    return ready < 0 ? POLLOUT : ready == 0 ? 0 : poll.revents;
}

/* Between poll and write another thread may fill a pipe; this does not wait then. */
static long write_pipe(const char *line, size_t length)
{
    struct iovec vector = { (void *)line, length };
    long wrote = hfi_sys_call(SYS_pwritev2, STDERR_FILENO, (long)&vector, 1, -1, -1, RWF_NOWAIT);
    bool unknown = wrote == -EOPNOTSUPP || wrote == -ENOSYS || wrote == -EINVAL || wrote == -EPERM;
    return unknown ? hfi_sys_write(STDERR_FILENO, line, length) : wrote;
}

/* OL2 */
static long write_ready(const struct stat *file, const char *line, size_t length)
{
    if (S_ISSOCK(file->st_mode))
        return hfi_sys_call(SYS_sendto, STDERR_FILENO, (long)line, (long)length, MSG_NOSIGNAL | MSG_DONTWAIT,
                            0, 0);
    if (!S_ISFIFO(file->st_mode) && !S_ISCHR(file->st_mode))
        return hfi_sys_write(STDERR_FILENO, line, length);
    short ready = ask_ready();
    if (ready == 0)
        return -EAGAIN;
    if (S_ISCHR(file->st_mode))
        return hfi_sys_write(STDERR_FILENO, line, length);
    return (ready & POLLERR) != 0 ? -EAGAIN : write_pipe(line, length); /* error: there is no reader */
}

/* OL3 */
static long write_quietly(const struct stat *file, const char *line, size_t length)
{
    struct sys_hold hold =
        hfi_sys_hold(HFI_SIGNAL_BIT(SIGPIPE) | HFI_SIGNAL_BIT(SIGXFSZ) | HFI_SIGNAL_BIT(SIGTTOU));
    long wrote;
    int tries = 0;
    do
        wrote = write_ready(file, line, length);
    while (wrote == -EINTR && ++tries < TRIES);
    uint64_t raised = wrote == -EPIPE ? HFI_SIGNAL_BIT(SIGPIPE)
                    : wrote == -EFBIG ? HFI_SIGNAL_BIT(SIGXFSZ)
                                      : 0;
    hfi_sys_let_go(&hold, S_ISSOCK(file->st_mode) ? 0 : raised); /* a socket was asked for none */
    return wrote;
}

size_t hfi_outlet_write(const char *line, size_t length)
{
    struct stat file;
    hfi_outlet_remember();
    if (!ask_file(&file) || !is_for_messages(&file))
        return 0;
    long wrote = write_quietly(&file, line, length);
    return wrote < 0 ? 0 : (size_t)wrote;
}
