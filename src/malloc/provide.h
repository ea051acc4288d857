/*
 * provide: where a heap's pieces come from: pages with free pieces, free pages, the reserve, the ladder;
 * within the heap's limit.
 */
#ifndef HFI_PROVIDE_H
#define HFI_PROVIDE_H

#include "heap/heap.h"

struct theap;

/* What a failure is to its caller. */
enum failure {
    FAILURE_FIRST,      /* where the soft limit's callback is due, the call is tried again: not told yet */
    FAILURE_LAST,       /* told, and ENOMEM */
    FAILURE_DISPENSABLE /* not told, and errno stays */
};

/* A piece for a block of `bytes`: counted in the limit, not noted yet. */
struct piece *hfi_provide(struct heap *heap, uint64_t id, struct theap *theap, size_t align, size_t bytes,
                          enum failure failure);

/* Notes it in the heap's table; false: there is no memory for that, and the piece went back. */
bool hfi_provide_note(struct heap *heap, uint64_t id, struct theap *theap, struct piece *piece,
                      enum failure failure);

#endif
