/*
 * segment: which processes show an arena, and the files they show it in.
 */
#ifndef HFT_SEGMENT_H
#define HFT_SEGMENT_H

#include "reader/snapshot.h"

/* Path of a process's segment. */
#define SEGMENT_PATH_BYTES 96
void segment_path(char path[SEGMENT_PATH_BYTES], pid_t pid, uint64_t start_ticks);

/* Start time of a process in clock ticks after boot; false when there is no such process. */
bool segment_start_ticks(pid_t pid, uint64_t *start_ticks);

/* False once the process has ended, waited for or not. */
bool segment_process_lives(pid_t pid, uint64_t start_ticks);

/* The mark of the program that made the segment; 0 where it is not told.  And whether a process
 * runs that program still, as far as the kernel tells the caller: exec keeps number and start
 * time. */
uint32_t segment_program(int fd);
bool segment_program_runs(pid_t pid, uint32_t program);

/* Whether a process that lives has a segment which the program before exec left. */
bool segment_is_left(pid_t pid, uint64_t start_ticks);

/* Opens a segment for reading only; a descriptor, or -1 with the reason. */
int segment_open(const char *path, pid_t pid, enum segment_verdict *verdict, const char **reason);

/* Calls `each` for every segment file whose process lives and runs the program that made it.  Others
 * are removed where they are the caller's own; the last ones of processes that have ended are kept
 * (last.h).  Those of other namespaces are passed over. */
struct segment_count {
    unsigned swept, kept, elsewhere;
};
struct segment_count segment_each(void (*each)(pid_t pid, uint64_t start_ticks, void *argument),
                                  void *argument);

#endif
