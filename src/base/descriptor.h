/*
 * descriptor: files that the library has open for a moment, and forks.
 *
 * A child that another thread forks in that moment would keep the descriptor, whatever O_CLOEXEC says,
 * until it executes a program or ends.  So a thread opens no file while another forks, and a fork waits
 * until none is open.  Each waits for a bounded time, and then goes on.
 *
 * Any thread; signal handlers too.
 */
#ifndef HFI_DESCRIPTOR_H
#define HFI_DESCRIPTOR_H

#include "base/base.h"

extern HFI_HIDDEN uint32_t hfi_descriptor_wait_ms; /* at most, of either side; const, except for tests */

/* openat(2) and close(2): a descriptor or -errno. */
int hfi_descriptor_create_at(int directory, const char *path, int flags, unsigned mode);
int hfi_descriptor_open_at(int directory, const char *path, int flags);
int hfi_descriptor_open(const char *path, int flags);
void hfi_descriptor_close(int fd);

/* Parts of that: before a descriptor is made, and after it was closed or could not be made. */
void hfi_descriptor_begin(void);
void hfi_descriptor_end(void);

/* Before a fork, by the thread that forks; behind it, in the parent; and in the child. */
void hfi_descriptor_forking(void);
void hfi_descriptor_forked(void);
void hfi_descriptor_in_child(void);

#endif
