/*
 * reserve: address space and memory of the arena, as planned (plan.h).
 *
 * Per node, in this order: map, bind, advise, lock, MADV_POPULATE_WRITE (prefault.h).
 *
 * What was asked for and cannot be had is said in one line with the command that mends it.  The
 * arena then does without: a smaller OS page, a smaller arena, not bound, not locked.  Under
 * HOLDFAST_STRICT=1 it ends the process with status 78 (EX_CONFIG) instead.  `auto` values ask for
 * nothing in particular: what they end up with is said at HOLDFAST_VERBOSE=1.  A refused mlock
 * counts as something asked for with HOLDFAST_LOCK=yes, and with auto where the machine has swap.
 *
 * Called once, before threads.  No malloc.
 */
#ifndef HFI_RESERVE_H
#define HFI_RESERVE_H

#include "base/base.h"

struct options;
struct reservation;
struct reserved_node;
struct topology;

/* Reserves everything that `options` ask for.  0, or -errno after saying why
 * no arena at all could be made (the caller ends the process). */
int hfi_reserve(struct reservation *reservation, const struct options *options,
                const struct topology *topology);

/* Makes [offset, offset + bytes) of a node of a growing arena accessible.  Once only: parts may
 * have been protected since.  0 or -errno. */
int hfi_open_step(const struct reserved_node *node, size_t offset, size_t bytes);

/* Makes owners[] and the page table of the node's pages from `from` up to `end` writable; to do it
 * again is harmless.  0 or -errno. */
int hfi_open_maps(const struct reservation *reservation, const struct reserved_node *node, size_t from,
                  size_t end);

/* Asks for transparent huge pages in [offset, offset + bytes) of a node of a growing arena, which
 * is open, where that covers them whole; not past prefault_bytes.
 * Thread-safe for disjoint ranges. */
void hfi_advise_step(const struct reserved_node *node, size_t offset, size_t bytes);

/* Populates [offset, offset + bytes) of a node of a growing arena, which is open.  Does nothing and
 * returns -ENOMEM past prefault_bytes: close to what the process may use, memory is better
 * taken as it is touched.  0 or -errno.  Thread-safe for disjoint ranges. */
int hfi_prefault_step(const struct reserved_node *node, size_t offset, size_t bytes);

#endif
