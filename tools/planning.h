/*
 * planning: what an arena would get on this machine, or on one that is described: what `doctor` and `plan` have in common.
 *
 * The rules are the library's own (reserve.h, topology.h, distance.h); only how far the ladder of backings is climbed down is
 * foretold here, from what the pools have now.
 */
#ifndef HFT_PLANNING_H
#define HFT_PLANNING_H

#include "options.h"
#include "os.h"
#include "reserve.h"
#include "topology.h"

struct planning {
    struct options options;
    struct topology topology;
    bool described;          /* another machine: its pools and free memory are not known */
    bool named;              /* the arena has a size */
    size_t node_bytes[HFI_MAX_NODES]; /* by index, rounded as the rung wants it; 0: no arena there */
    enum option_backing rung[HFI_MAX_NODES]; /* backing each node would get */
    size_t total_bytes;
    size_t small_page_bytes; /* of them, on pages that could be swapped */
};

/* Fills what follows from options and topology. */
void planning_make(struct planning *plan);

/* False where there is no pool of that size, or the machine is another one. */
bool planning_pool(const struct planning *plan, unsigned index, enum option_backing backing, struct os_huge_pool *pool);

#endif
