/*
 * latency: how long slow calls took, and by what cause, for the segment (<holdfast/inspect.h>).
 *
 * A call is timed from its beginning to its end, when somebody may look.  It counts once, under one cause.
 * Of the calls that ended with the thread's own pages, which are many and short, one of HFI_OWN_SAMPLED is
 * timed and counts for all of them.  HOLDFAST_SLO has each timed, and told of where it took longer.
 *
 * Thread-safe.
 */
#ifndef HFI_LATENCY_H
#define HFI_LATENCY_H

#include <holdfast/inspect.h>

#include "heap/theap.h"

#define HFI_OWN_SAMPLED 32u

/* A call that may be timed.  Where `begun` is 0 it is not, and nothing else of it is set. */
struct slow_call {
    uint64_t begun;
    uint64_t found; /* when the ladder had ended; 0: it was not asked */
    enum hf_inspect_cause cause;
    uint32_t weight; /* calls that it counts for */
    int cpu;         /* on which it began, by hfi_os_cpu_told */
};

/* Begins to time a call, when there is a segment. */
void hfi_latency_begin(struct slow_call *call, enum hf_inspect_cause cause);

/* Out of line: the one of many, and how many follow. */
void hfi_latency_begin_sampled(struct theap *theap, struct slow_call *call);

/* The same for a call that may well end with what the theap has. */
HFI_INLINE void hfi_latency_begin_own(struct theap *theap, struct slow_call *call)
{
    if (hfi_likely(theap->untimed != 0))
        theap->untimed--;
    else
        hfi_latency_begin_sampled(theap, call);
}

/* The call ends.  `cleared_bytes`: what it had to clear, last of all. */
void hfi_latency_end(struct theap *theap, struct slow_call *call, size_t cleared_bytes);

/* It ends, and is not told. */
void hfi_latency_drop(struct slow_call *call);

/* In a forked child: what was noted is its parent's. */
void hfi_latency_forget(void);

#endif
