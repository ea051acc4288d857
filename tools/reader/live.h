/*
 * live: which blocks another process has at this moment, from its own memory (struct
 * hf_inspect_live).
 *
 * Read through /proc/PID/mem, which takes the right to trace the process, and stops nothing.
 * Neither does it pin pages, as process_vm_readv does: those a fork would copy early.
 */
#ifndef HFT_LIVE_H
#define HFT_LIVE_H

#include "reader/snapshot.h"

/* Replaces the counts of blocks in the page map, which must be there, by those of now, and fills
 * magazine_blocks: 0, and live_known is LIVE_COUNTED.  Or the negative errno of what was refused,
 * and the figures are those of slow paths. */
int live_read(struct snapshot *snapshot, pid_t pid, uint64_t start_ticks);

#endif
