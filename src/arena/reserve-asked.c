/*
 * reserve-asked: what was asked for, where it names nodes or sizes that are not to be had.
 *
 * Test: tests/unit/reserve.c.
 */
#include "arena/attempt.h"
#include "numa/topology.h"

#include <stdio.h>

static bool is_sized(const struct options *options, unsigned id)
{
    return options->arena == ARENA_PER_NODE && options->arena_node_bytes[id] != 0;
}

void hfi_check_named_nodes(const struct attempt *attempt)
{
    const struct options *options = attempt->options;
    for (unsigned id = 0; id < HFI_MAX_NODES; id++) {
        const struct topology_node *node = hfi_topology_find(attempt->topology, id);
        bool listed = options->nodes != ~(uint64_t)0 && (options->nodes >> id & 1) != 0;
        bool sized = is_sized(options, id);
        if (node == NULL && (listed || sized))
            hfi_degraded(attempt, "HF-W211", "HF-E211", "it gets no arena",
                         "see `numactl -H` and the cgroup's cpuset.mems",
                         "%s names node %u, which has no memory this process may use",
                         sized ? "HOLDFAST_ARENA" : "HOLDFAST_NODES", id);
        else if (sized && !hfi_node_is_chosen(options, node))
            hfi_degraded(attempt, "HF-W212", "HF-E212", "it gets no arena", "name it in both or in none",
                         "HOLDFAST_ARENA names node %u, HOLDFAST_NODES leaves it out", id);
    }
    const struct topology_node *place =
        options->place == PLACE_NODE ? hfi_topology_find(attempt->topology, options->place_node) : NULL;
    if (options->place == PLACE_NODE && (place == NULL || !hfi_node_is_chosen(options, place)))
        hfi_degraded(attempt, "HF-W213", "HF-E213", "the first node with an arena is used",
                     "name a node of the arena", "HOLDFAST_PLACE=node:%u is no node with an arena",
                     options->place_node);
}

void hfi_check_all_nodes(const struct attempt *attempt)
{
    const struct topology *topology = attempt->topology;
    if (attempt->options->nodes != ~(uint64_t)0)
        return;
    if (topology->left_out_count != 0)
        hfi_degraded(attempt, "HF-W220", "HF-E220", "they get no arena",
                     "name the nodes to use in HOLDFAST_NODES",
                     "nodes numbered above %d cannot be used: %u, from node %u on", HFI_MAX_NODES - 1,
                     topology->left_out_count, topology->left_out_first);
    for (unsigned i = 0; i < topology->node_count; i++) {
        const struct topology_node *node = &topology->nodes[i];
        if (!hfi_node_is_chosen(attempt->options, node))
            hfi_say(SAY_INFO, "HF-I223", "reserve",
                    "node %u has %s of %s, and gets no arena; name it in HOLDFAST_NODES to use it", node->id,
                    hfi_bytes_text(node->memory_bytes).text, hfi_topology_memory_name(node->memory));
    }
}

void hfi_find_bounds(const struct attempt *attempt)
{
    const struct topology *topology = attempt->topology;
    enum plan_bound of_all = hfi_is_in_cgroup(attempt->usable_bytes) ? PLAN_BOUND_CGROUP : PLAN_BOUND_MACHINE;
    for (unsigned i = 0; i < attempt->reservation->node_count && attempt->options->arena == ARENA_AUTO; i++) {
        struct reserved_node *node = &attempt->reservation->nodes[i];
        bool whole_node = topology->node_count > 1 &&
                          hfi_topology_find(topology, node->id)->memory_bytes < attempt->usable_bytes;
        node->bound_by = whole_node ? PLAN_BOUND_NODE : of_all;
    }
}

void hfi_set_bounds(struct reservation *reservation, enum plan_bound bound)
{
    for (unsigned i = 0; i < reservation->node_count; i++)
        reservation->nodes[i].bound_by = bound;
}

void hfi_say_raised(const struct attempt *attempt)
{
    const struct reservation *reservation = attempt->reservation;
    for (unsigned i = 0; i < reservation->node_count; i++)
        if (reservation->nodes[i].asked_bytes < HFI_NODE_BYTES_MIN)
            hfi_degraded(attempt, "HF-W214", "HF-E214", "taking 4 MiB", "raise HOLDFAST_ARENA",
                         "%s on node %u is too small for an arena",
                         hfi_bytes_text(reservation->nodes[i].asked_bytes).text, reservation->nodes[i].id);
}

void hfi_say_capped(const struct attempt *attempt)
{
    uint64_t asked = hfi_plan_asked(attempt->reservation);
    size_t taken = hfi_plan_bytes(attempt->reservation);
    char instead[64];
    snprintf(instead, sizeof instead, "taking at most %s", hfi_bytes_text(taken).text);
    if (attempt->options->arena != ARENA_AUTO)
        hfi_degraded(attempt, "HF-W215", "HF-E215", instead, "lower HOLDFAST_ARENA",
                     "%s are more than an arena can be", hfi_bytes_text(asked).text);
    else
        hfi_say(SAY_INFO, "HF-I215", "reserve",
                "of %s of memory an arena can take %s; several processes can use the rest",
                hfi_bytes_text(asked).text, hfi_bytes_text(taken).text);
}
