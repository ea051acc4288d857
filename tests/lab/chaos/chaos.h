/*
 * chaos: what its parts share.  One process with one thread; chaos.c says what it does.
 */
#ifndef CHAOS_H
#define CHAOS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sys/types.h>

#include "../../programs/test.h"

#define CHAOS_WORKERS 4
#define CHAOS_NODES 4
#define CHAOS_LOG_BYTES (256 * 1024)

/* A number below `count`, for a fault. */
unsigned chaos_any(unsigned count);

/* A line of TAP. */
void chaos_ok(bool holds, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Writes `text` into a file of the kernel's.  Whether the kernel took it: it may refuse. */
bool chaos_put(const char *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

void chaos_put_number(unsigned long long number, const char *path);

/* --- workers: programs that run under the faults (workers.c) --- */

struct worker {
    pid_t pid; /* 0: none */
    unsigned arena, number;
    bool killed; /* by a fault */
};

extern struct worker chaos_workers[CHAOS_WORKERS];

/* Before the first of them: what they are. */
void chaos_workers_seed(uint64_t seed);

/* In a child: runs a program whose output goes to the log of that number. */
void chaos_exec(unsigned number, const char *const *settings, char *const *arguments)
    __attribute__((noreturn));

/* The log of that number, which is removed.  Counts its messages. */
const char *chaos_take_log(unsigned number);
void chaos_show(const char *log);

/* Whether the kernel's log says that it killed the process for want of memory. */
bool chaos_kernel_killed(pid_t pid);

/* Judges those that ended, and starts their successors where `again`.  How many are alive. */
unsigned chaos_attend(bool again);

/* Each arena once more, without a fault: all must be whole and silent. */
void chaos_run_each_alone(void);

/* What the workers' ends and messages were. */
void chaos_tell(void);

/* --- faults (faults.c) --- */

/* Begins one, unless it is there already. */
void chaos_begin_fault(uint64_t step);

/* Ends those whose time has come by then. */
void chaos_end_faults(uint64_t step);

/* Whether one of that name has begun so far. */
bool chaos_fault_happened(const char *name);

#endif
