/*
 * target: which process a command is about.
 */
#ifndef HFT_TARGET_H
#define HFT_TARGET_H

#include "reader/segment.h"

/* A process that shows an arena. */
struct target {
    pid_t pid;
    uint64_t start_ticks;
    int fd;           /* of its segment */
    uint32_t program; /* that made it; 0 where unknown */
    char path[SEGMENT_PATH_BYTES];
    bool is_kept; /* what a process left that has ended */
};

/* The process that `text` names, or for NULL the only one that shows an arena, with its segment
 * open.  0; or an exit status after HF-E411 to HF-E416 was printed under the name of `command`. */
int target_open(struct target *target, const char *text, const char *command);

/* The process that is named behind the options, if any; as target_open, and the status after HF-E416
 * where there is more. */
int target_of_arguments(struct target *target, int argc, char **argv, const char *command);

/* Copies what it shows now; 0, or an exit status after HF-E414 or HF-E421.  A process that has ended is still
 * read; see target_lives. */
int target_read(const struct target *target, struct snapshot *snapshot, bool with_pages, const char *command);

/* How much of it the kernel has on huge pages now, where it tells; asks for the mappings of the process,
 * so not often. */
void target_read_huge(const struct target *target, struct snapshot *snapshot);

/* What a look at all segments removed and kept, where there was any. */
void target_say_swept(struct segment_count count, const char *command);

bool target_lives(const struct target *target);
void target_close(struct target *target);

/* A process's name, as tool_utf8, and zeros up to the end of `name`; it chose it itself.  "?" when
 * it is gone.  Likewise a thread's. */
const char *target_name(pid_t pid, char *name, size_t name_bytes);
const char *target_shown_name(const struct snapshot *snapshot, char *name, size_t name_bytes);
const char *target_thread_name(pid_t pid, uint64_t tid, char *name, size_t name_bytes);

#endif
