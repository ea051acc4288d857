/*
 * buffers: the arena's windows as registered buffers of the application's rings.
 *
 * Thread-safe: calls about different rings do not meet; about one ring they are ordered by the
 * kernel.
 */
#ifndef HFI_BUFFERS_H
#define HFI_BUFFERS_H

#include <sys/uio.h>

struct io_uring;
struct reservation;

/* Called once, by init, when the arena stands. */
void hfi_buffers_init(void);

/* The buffers of an arena, by the index of their window, into `list`, which has room for each
 * window of its span.  Their number. */
unsigned hfi_buffers_list(const struct reservation *reservation, struct iovec *list);

/* Registers every window with `uring`; the arena must be populated.  0 or -errno after saying what
 * to do. */
int hfi_buffers_register(struct io_uring *uring);

/* Shares those of `from`, or registers. */
int hfi_buffers_clone(struct io_uring *uring, struct io_uring *from);

int hfi_buffers_unregister(struct io_uring *uring);

/* In a forked child: its memory is not what the rings it inherited know. */
void hfi_buffers_forked(void);

#endif
