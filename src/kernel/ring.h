/*
 * ring: io_uring.  The only liburing include of the library is in ring.c.
 *
 * Two uses: a ring of our own, by which kernel threads populate memory, and registration of buffers
 * with a ring of the application.  No malloc; every call returns 0 or -errno, or says so otherwise.
 *
 * Our own ring holds no descriptor: its mappings keep it alive, requests are written before
 * the descriptor is closed, completions are read from memory.  What an application
 * does with descriptor numbers cannot touch it.  A thread of the kernel takes the requests
 * (IORING_SETUP_SQPOLL), so that they belong to no thread that could exit.
 */
#ifndef HFI_RING_H
#define HFI_RING_H

#include "base/base.h"
#include "kernel/cpu.h"

/* A ring of our own.  One thread at a time. */
struct ring {
    uint64_t opaque[32]; /* struct io_uring */
    bool open;
    bool holds_descriptor;
};

/* A ring for up to `entries` requests, worked on by at most `workers` kernel threads on `cpus`.
 * -EPERM, -ENOSYS and others where io_uring is refused. */
int hfi_ring_open(struct ring *ring, unsigned entries, unsigned workers, const uint64_t cpus[HFI_CPU_WORDS]);

/* Writes a request for MADV_POPULATE_WRITE; false when the ring is full.  Needs the descriptor. */
bool hfi_ring_populate(struct ring *ring, void *start, size_t bytes, uint64_t tag);

/* Likewise, and for MADV_COLLAPSE of the same once that is done; it is cancelled if that fails. */
bool hfi_ring_populate_huge(struct ring *ring, void *start, size_t bytes, uint64_t tag,
                            uint64_t collapse_tag);

/* Hands what was written to the kernel. */
int hfi_ring_submit(struct ring *ring);

/* Closes the descriptor; requests that were handed over go on. */
void hfi_ring_let_go_of_descriptor(struct ring *ring);

/* Takes one completion, if there is one: its request's tag, and 0 or -errno.  No system call. */
bool hfi_ring_completion(struct ring *ring, uint64_t *tag, int *result);

/* Requests under way are cancelled.  The kernel's threads end soon after, not before. */
void hfi_ring_close(struct ring *ring);

/* In a forked child, which has no mapping of it. */
void hfi_ring_forget(struct ring *ring);

/* Whether this is the child of a fork that had rings of our own open, and hfi_ring_found was not
 * called yet. */
bool hfi_ring_is_lost(void);
void hfi_ring_found(void);

/* --- rings of the application --- */

struct io_uring;
struct iovec;

int hfi_ring_register_buffers(struct io_uring *uring, const struct iovec *buffers, unsigned count);
int hfi_ring_unregister_buffers(struct io_uring *uring);

/* Gives `to` the buffers of `from` without pinning them again.  -EINVAL before Linux 6.12. */
int hfi_ring_clone_buffers(struct io_uring *to, struct io_uring *from);

/* Whether the kernel behind `uring` has IORING_OP_READV_FIXED and WRITEV_FIXED (Linux 6.15). */
bool hfi_ring_has_vectored(struct io_uring *uring);

#endif
