/*
 * distance: in which order the memory of the nodes is used from one of them.
 *
 * Plain arithmetic on a topology; thread-safe, no state.
 */
#ifndef HFI_DISTANCE_H
#define HFI_DISTANCE_H

#include "base/base.h"
#include "base/layout.h"

struct topology;

/* The nodes of `among` (a bit per index in nodes[]) as seen from node `from` (an index too, nodes
 * without memory included): itself first if it is one of them, then by distance.  Of equally
 * distant ones the next higher index comes first, cyclically, so that not all nodes lean on the
 * same one.  Returns how many there are. */
unsigned hfi_distance_order(uint8_t order[HFI_MAX_NODES], const struct topology *topology, unsigned from,
                            uint64_t among);

#endif
