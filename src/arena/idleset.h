/*
 * idleset: the set of unowned pages with room of one node and one size class.
 *
 * A bit per page with three summary levels above it (one bit per word below).  So finding a member
 * reads four words whatever the size of the set.  A summary bit may be left set over an empty word,
 * until a take passes there and clears it.  It is never clear over a set bit for good: clearing is
 * followed by a second look.
 *
 * Thread-safe, lock-free; nothing is allocated.  A member is a hint: whoever
 * takes a page out has still to claim it (doc/protocols.md).
 */
#ifndef HFI_IDLESET_H
#define HFI_IDLESET_H

#include "base/base.h"

#define HFI_IDLESET_LEVELS 4
#define HFI_IDLESET_NONE ((size_t)-1)

struct idleset {
    size_t capacity;                                /* const: members 0..capacity-1 */
    _Atomic(uint64_t) *xlevels[HFI_IDLESET_LEVELS]; /* atomic: 0 holds the members */
};

/* Bytes of zeroed, 8-byte aligned memory for a set of `capacity` (up to 64^4) members. */
size_t hfi_idleset_bytes(size_t capacity);

/* Prepares an empty set over `memory`.  Not thread-safe. */
void hfi_idleset_init(struct idleset *set, size_t capacity, void *memory);

/* Adds a member; true when it was not one before. */
bool hfi_idleset_add(struct idleset *set, size_t member);

/* Removes a member; true for the one caller that took it out. */
bool hfi_idleset_remove(struct idleset *set, size_t member);

/* Takes some member out, lowest first; HFI_IDLESET_NONE when none was seen. */
size_t hfi_idleset_take(struct idleset *set);

/* NULL, or the text of the invariant found broken; only while no other thread is in a call. */
const char *hfi_idleset_audit(const struct idleset *set);

#endif
