/*
 * manager: the service manager that started this process, and waits for it to be ready.
 *
 * systemd ends a service of Type=notify that is not ready within TimeoutStartSec.  Populating a large
 * arena takes minutes, and the program cannot tell of that: it has not begun.  So the start tells for it,
 * by the protocol of sd_notify(3): a datagram to the socket that NOTIFY_SOCKET names.  That the service
 * is ready is the program's own to say.
 *
 * One thread at a time; errno is not touched.  What cannot be sent is left.
 */
#ifndef HFI_MANAGER_H
#define HFI_MANAGER_H

#include "base/base.h"

#define HFI_MANAGER_MORE_US 90000000u /* systemd's own DefaultTimeoutStartSec */

/* The start populates from now on. */
void hfi_manager_begin(void);

/* Whether there is a manager, and it was told nothing for a second.  No system call. */
bool hfi_manager_wants_news(void);

/* So much is still to be populated: asks for more time, counted from now. */
void hfi_manager_tell(uint64_t bytes_left);

/* Nothing is left.  Asks once more, for what the program does until it is ready. */
void hfi_manager_end(void);

#endif
