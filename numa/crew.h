/*
 * crew: populates memory of several nodes at once, each by a worker that runs on its node.
 *
 * For start-up, before the program has threads; no malloc.
 */
#ifndef HFI_CREW_H
#define HFI_CREW_H

#include "base.h"
#include "options.h"

struct crew_job {
    unsigned node;     /* the kernel's number */
    char *start;
    size_t bytes;
    size_t done_bytes; /* out: populated from start, in steps of 64 MiB */
    int error;         /* out: 0 or -errno of the step that failed */
};

/* Does the jobs, those of one node one after the other in their order; after a node's first error its other
 * jobs are left with -ECANCELED.  Where a worker cannot be had, the caller does its work. */
void hfi_crew_populate(struct crew_job *jobs, unsigned count);

#endif
