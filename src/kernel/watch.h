/*
 * watch: whether this thread was off its CPU meanwhile, without asking the kernel.
 *
 * The kernel takes a word of the thread's rseq(2) area away whenever it preempts the thread, moves it, puts
 * it to sleep or delivers a signal to it.  So a word that is still there says that nothing of that came.
 * It does not say how long the thread was away.  Interrupts that the thread sits through are not seen, nor
 * is a hypervisor that takes the CPU itself away.
 *
 * Where the C library has registered no such area, nothing is ever seen.
 */
#ifndef HFI_WATCH_H
#define HFI_WATCH_H

#include "base/base.h"

struct watch {
    uint64_t outer; /* what stood there before */
};

/* Whether this process has such areas. */
bool hfi_watch_works(void);

/* Watches may lie in each other, as calls do.  The inner one hides nothing from the outer. */
void hfi_watch_begin(struct watch *watch);

/* True when the thread was off its CPU since. */
bool hfi_watch_end(const struct watch *watch);

#endif
