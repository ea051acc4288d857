/*
 * watch: what is seen of a child's arena from its start to its end.
 *
 * The segment is opened when inotify says that it was created and kept open, so that its last words
 * can be read after the program removed it.  Only the process itself is looked at, not what it
 * starts in turn.
 */
#ifndef HFT_WATCH_H
#define HFT_WATCH_H

#include <sys/resource.h>

#include "reader/segment.h"

struct watch {
    pid_t child;
    uint64_t start_ticks;
    char path[SEGMENT_PATH_BYTES];
    int inotify;                 /* -1: polled */
    int fd;                      /* the segment, -1 before there is one */
    const struct snapshot *last; /* the last that was seen; NULL: none */
    uint64_t live_most;          /* bytes, as far as they were seen */
    uint64_t huge_bytes; /* most that was seen of the pools' pages: the kernel counts them in no resident
                          * size */
};

/* Before the child is started, which `child` then names. */
void watch_begin(struct watch *watch);

/* Until the child is done; its status as of wait(2).  The segment is copied now and then, and once
 * more afterwards. */
int watch_wait(struct watch *watch, struct rusage *usage);

#endif
