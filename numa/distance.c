/*
 * distance: see distance.h.
 *
 * Insertion into a sorted array: at most 64 nodes, at start.  Taking the candidates in cyclic
 * order from `from` on and moving past strictly farther ones only is what breaks ties.
 *
 * Test: tests/unit/plan.c.
 */
#include "numa/distance.h"
#include "numa/topology.h"
#include "base/layout.h"

static bool is_farther(const struct topology *topology, unsigned from, unsigned a, unsigned b)
{
    const struct topology_node *node = &topology->nodes[from];
    return a != from && (b == from || node->distance[a] > node->distance[b]);
}

unsigned hfi_distance_order(uint8_t order[HFI_MAX_NODES], const struct topology *topology, unsigned from,
                            uint64_t among)
{
    unsigned count = 0;
    for (unsigned step = 0; step < HFI_MAX_NODES; step++) {
        unsigned candidate = (from + step) % HFI_MAX_NODES;
        if (candidate >= topology->node_count || (among >> candidate & 1) == 0)
            continue;
        unsigned at = count++;
        for (; at > 0 && is_farther(topology, from, order[at - 1], candidate); at--)
            order[at] = order[at - 1];
        order[at] = (uint8_t)candidate;
    }
    return count;
}
