/*
 * holdfast/uring.h: the arena as registered buffers of io_uring.
 *
 * After hf_uring_register a ring knows all of the arena: any block that malloc returned can be read
 * into, written from and sent from without the kernel looking up and pinning its pages for each
 * operation.  The helpers prepare an operation so where that is possible, and an ordinary one where
 * it is not.
 *
 * Every block of up to 1 GiB lies in one window of 1 GiB, and a window is one registered buffer.
 * See holdfast-uring(7).  Programs that use this link with liburing themselves.
 */
#ifndef HOLDFAST_URING_H
#define HOLDFAST_URING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef HF_URING_NO_HELPERS /* defined: the calls alone, and nothing of liburing */
#include <liburing.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

struct io_uring;

/* Registers the arena with a ring, as its buffers 0 and up: once per ring.  Pins the memory, which
 * takes about 2 ms per GiB of huge pages, 200 ms of small ones.  Waits for an arena that is being
 * populated.  Any thread; for a ring with IORING_SETUP_SINGLE_ISSUER the one that submits.  0, or
 *   -ENOTSUP  the arena grows (HOLDFAST_ARENA=auto), this is a child that has none, or (secure
 *             build) guards on 4k pages
 *   -ENOMEM   RLIMIT_MEMLOCK is too low, or memory is short
 *   -EBUSY    the ring has buffers registered already
 *   -EEXIST   a ring of another thread's (SINGLE_ISSUER)
 *   -EINVAL   the kernel takes fewer windows (before Linux 5.13: 1024)
 *   -EFAULT   part of the arena could not be populated
 * and what io_uring_register(2) may return.  On an error the ring works as before; prepare its
 * operations by liburing's own calls, since the helpers below know memory, not rings, once another
 * ring of the process is registered. */
int hf_uring_register(struct io_uring *ring);

/* Registers with `ring` what is registered with `from`, by sharing it (Linux 6.12: microseconds),
 * or else as hf_uring_register does.  Both rings must be used by this process; errors likewise. */
int hf_uring_register_clone(struct io_uring *ring, struct io_uring *from);

/* Undoes that.  Operations under way keep what they use.  0, or -ENXIO when there is nothing
 * registered.  After the last ring the helpers below prepare ordinary operations; while others are
 * registered, this ring's are to be prepared by liburing's own calls.  A ring that is destroyed
 * needs no unregistering, but counts as registered. */
int hf_uring_unregister(struct io_uring *ring);

/* What hf_uring_buf_index reads: written by hf_uring_register, never by the application. */
struct hf_uring_arena {
    uintptr_t start; /* of window 0 */
    size_t bytes;    /* 0 until a ring was registered: then no index is valid */
    bool vectored;   /* the kernel has READV_FIXED and WRITEV_FIXED (Linux 6.15) */
};
extern struct hf_uring_arena hf_uring_arena;

/* Index of the registered buffer that [pointer, pointer + bytes) lies in, or -1: not in the arena,
 * across windows, or no ring was registered.  Valid for the rings that are registered. */
static inline int hf_uring_buf_index(const void *pointer, size_t bytes)
{
    size_t offset = (uintptr_t)pointer - hf_uring_arena.start;
    if (offset >= hf_uring_arena.bytes || bytes > ((size_t)1 << 30) - (offset & (((size_t)1 << 30) - 1)))
        return -1;
    return (int)(offset >> 30);
}

#ifndef HF_URING_NO_HELPERS

/* --- operations: on registered memory where possible ---
 *
 * Once a ring was registered, they are for registered rings alone. */

/* As io_uring_prep_read(3), io_uring_prep_write(3). */
static inline void hf_uring_prep_read(struct io_uring_sqe *entry, int fd, void *buffer, unsigned bytes,
                                      uint64_t offset)
{
    int index = hf_uring_buf_index(buffer, bytes);
    if (index >= 0)
        io_uring_prep_read_fixed(entry, fd, buffer, bytes, offset, index);
    else
        io_uring_prep_read(entry, fd, buffer, bytes, offset);
}

static inline void hf_uring_prep_write(struct io_uring_sqe *entry, int fd, const void *buffer, unsigned bytes,
                                       uint64_t offset)
{
    int index = hf_uring_buf_index(buffer, bytes);
    if (index >= 0)
        io_uring_prep_write_fixed(entry, fd, buffer, bytes, offset, index);
    else
        io_uring_prep_write(entry, fd, buffer, bytes, offset);
}

/* Index of the one buffer that all vectors lie in, or -1; also for an empty vector, which
 * READV_FIXED refuses. */
static inline int hf_uring_vector_index(const struct iovec *vectors, unsigned count)
{
    int index = -1;
    for (unsigned i = 0; i < count; i++) {
        int here = hf_uring_buf_index(vectors[i].iov_base, vectors[i].iov_len);
        if (here < 0 || vectors[i].iov_len == 0 || (i != 0 && here != index))
            return -1;
        index = here;
    }
    return hf_uring_arena.vectored ? index : -1;
}

/* As io_uring_prep_readv(3), io_uring_prep_writev(3).  Fixed where the kernel has that and all
 * vectors lie in one window: then for files, block devices and sockets; some special files
 * (inotify) refuse that with -EINVAL. */
static inline void hf_uring_prep_readv(struct io_uring_sqe *entry, int fd, const struct iovec *vectors,
                                       unsigned count, uint64_t offset)
{
    int index = hf_uring_vector_index(vectors, count);
    io_uring_prep_readv(entry, fd, vectors, count, offset);
    if (index >= 0) {
        entry->opcode = 60; /* IORING_OP_READV_FIXED, which older headers lack */
        entry->buf_index = (uint16_t)index;
    }
}

static inline void hf_uring_prep_writev(struct io_uring_sqe *entry, int fd, const struct iovec *vectors,
                                        unsigned count, uint64_t offset)
{
    int index = hf_uring_vector_index(vectors, count);
    io_uring_prep_writev(entry, fd, vectors, count, offset);
    if (index >= 0) {
        entry->opcode = 61; /* IORING_OP_WRITEV_FIXED */
        entry->buf_index = (uint16_t)index;
    }
}

/* As io_uring_prep_send_zc(3): zero-copy send, with a second completion when the memory may be
 * changed. */
static inline void hf_uring_prep_send_zc(struct io_uring_sqe *entry, int socket, const void *buffer,
                                         size_t bytes, int flags, unsigned zc_flags)
{
    int index = hf_uring_buf_index(buffer, bytes);
    io_uring_prep_send_zc(entry, socket, buffer, bytes, flags, zc_flags);
    if (index >= 0) {
        entry->ioprio |= IORING_RECVSEND_FIXED_BUF;
        entry->buf_index = (uint16_t)index;
    }
}

#endif /* HF_URING_NO_HELPERS */

#ifdef __cplusplus
}
#endif

#endif
