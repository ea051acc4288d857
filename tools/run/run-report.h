/*
 * run-report: what `holdfast run --report` says of a program that has ended.
 */
#ifndef HFT_RUN_REPORT_H
#define HFT_RUN_REPORT_H

#include <sys/resource.h>

#include "reader/snapshot.h"
#include "tool.h"

struct run_end {
    const char *name;
    pid_t pid;
    int status; /* as wait(2) has it */
    double seconds;
    struct rusage usage; /* its ru_maxrss counts no huge pages of a pool */
    uint64_t huge_bytes; /* most that was seen of those; of a short program none perhaps, but the snapshot
                          * tells */
    uint64_t live_most;  /* most bytes in live blocks that were seen; 0 where they never were */
    const struct snapshot *snapshot; /* the last one; NULL: no arena was seen */
};

/* For people, or as one JSON object.  False when the file was refused. */
bool run_report(FILE *out, const struct run_end *end, bool json);

#endif
