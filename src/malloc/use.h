/*
 * use: the heap of the program that the calling thread's plain malloc comes from (hf_heap_use).
 *
 * While there is one, malloc's fast path finds nothing to take, so that each call takes the slow
 * way.  A thread without one pays nothing.  All here is about the calling thread.
 */
#ifndef HFI_USE_H
#define HFI_USE_H

#include "base/base.h"

struct heap;

/* The handle of that heap; NULL: plain malloc comes from the default one. */
extern HFI_HIDDEN HFI_TLS const void *hfi_use_handle;

/* Makes `handle`, which names `heap`, that one, instead of another or none. */
void hfi_use_begin(struct heap *heap, const void *handle);

/* Plain malloc comes from the default heap again. */
void hfi_use_end(void);

/* For what must not come from the heap in use: from suspending to resuming plain malloc comes from
 * the default one, unless a callback says otherwise, which ends with it.  These nest. */
struct suspension {
    const void *handle;
    struct suspension *outer;
};

void hfi_use_suspend(struct suspension *suspension);
void hfi_use_resume(const struct suspension *suspension);

/* Whether the calling thread uses the heap, or will when it resumes. */
bool hfi_use_has(const void *handle);

/* In a forked child of a process with threads, whose heaps count no users any more.  In one without
 * the arena: no heap is in use. */
void hfi_use_forked(void);
void hfi_use_forsake(void);

#endif
