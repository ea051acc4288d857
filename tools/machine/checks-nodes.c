/*
 * checks-nodes: see checks.h: the nodes that there are, and those that are asked for.
 *
 * Test: tests/tool.sh, tests/tool-plan.sh.
 */
#include <string.h>

#include "machine/checks.h"

static const struct topology_node *find_node(const struct topology *topology, unsigned id)
{
    for (unsigned i = 0; i < topology->node_count; i++)
        if (topology->nodes[i].id == id)
            return &topology->nodes[i];
    return NULL;
}

/* Nodes that the options name and this process cannot have. */
static void check_named_nodes(struct examination *examination)
{
    const struct options *options = &examination->outlook.options;
    for (unsigned id = 0; id < HFI_MAX_NODES; id++) {
        const struct topology_node *node = find_node(&examination->outlook.topology, id);
        bool listed = options->nodes != ~(uint64_t)0 && (options->nodes >> id & 1) != 0;
        bool sized = options->arena == ARENA_PER_NODE && options->arena_node_bytes[id] != 0;
        bool placed = options->place == PLACE_NODE && options->place_node == id;
        struct check check = { "HF-D03", "topology", checks_fail_if_named(examination), node,
                               .mend =
                                   "see `numactl -H` and the cgroup's cpuset.mems, correct the variable" };
        if ((listed || sized || placed) && (node == NULL || !hfi_node_is_chosen(options, node)))
            checks_report(examination, &check, "node %u is named by %s, and %s", id,
                          sized    ? "HOLDFAST_ARENA"
                          : placed ? "HOLDFAST_PLACE"
                                   : "HOLDFAST_NODES",
                          node != NULL                             ? "has no arena by HOLDFAST_NODES"
                          : examination->outlook.described != NULL ? "is not there"
                                                                   : "has no memory this process may use");
    }
}

/* What a node can hold of an arena at most, its own maps included. */
static void check_node(struct examination *examination, unsigned index)
{
    const struct outlook *outlook = &examination->outlook;
    const struct topology_node *node = &outlook->topology.nodes[index];
    enum option_backing backing = BACKING_AUTO;
    const struct reserved_node *part = outlook_part(outlook, index, &backing);
    uint64_t memory = outlook_node_memory(outlook, node);
    const char *noun = hfi_topology_memory_name(node->memory);
    char have[16], want[16], lack[16];
    struct check check = { "HF-D03", "topology", .node = node, .counted = part != NULL, .have = memory };
    if (part == NULL) {
        checks_report(examination, &check, "node %u: %s of %s, no arena", node->id, checks_size(have, memory),
                      noun);
        return;
    }
    check.need = outlook->named ? part->bytes + hfi_plan_maps_bytes(part->bytes) : part->bytes;
    bool cut = outlook->described != NULL && backing >= BACKING_THP && part->bytes > hfi_plan_most(memory);
    if (outlook->named && part->asked_bytes < HFI_NODE_BYTES_MIN) {
        check.verdict = VERDICT_FAIL;
        check.need = part->asked_bytes;
        check.mend = "raise HOLDFAST_ARENA to 4M at least for this node";
        checks_report(examination, &check, "node %u: an arena of %s is too small", node->id,
                      checks_size(want, part->asked_bytes));
    } else if (outlook->named && check.need > memory) {
        check.verdict = VERDICT_FAIL;
        check.mend = "lower HOLDFAST_ARENA for this node";
        checks_report(examination, &check, "node %u: %s for the arena and its maps, of %s of %s; %s missing",
                      node->id, checks_size(want, check.need), checks_size(have, memory), noun,
                      checks_size(lack, checks_missing(check.need, memory)));
    } else if (outlook->named && cut) {
        check.verdict = VERDICT_FAIL;
        check.mend = "lower HOLDFAST_ARENA for this node, or have a pool of huge pages";
        checks_report(examination, &check, "node %u: an arena of %s on %s pages would be cut to %s of %s",
                      node->id, checks_size(want, part->bytes), hfi_backing_name(backing),
                      checks_size(lack, hfi_plan_cut(memory)), checks_size(have, memory));
    } else {
        checks_report(examination, &check, "node %u: %s of %s, arena %s%s", node->id,
                      checks_size(have, memory), noun, outlook->named ? "" : "up to ",
                      checks_size(want, part->bytes));
    }
}

void checks_topology(struct examination *examination)
{
    const struct outlook *outlook = &examination->outlook;
    const struct topology *topology = &outlook->topology;
    struct check check = { "HF-D03", "topology", checks_fail_if_named(examination),
                           .mend = "check that /sys is mounted" };
    if (outlook->error != 0)
        checks_report(examination, &check, "hwloc gave no answer (%s)", strerror(-outlook->error));
    for (unsigned i = 0; i < topology->node_count; i++)
        check_node(examination, i);
    check_named_nodes(examination);
    check.mend = "name the nodes to use in HOLDFAST_NODES";
    if (topology->left_out_count != 0 && outlook->options.nodes == ~(uint64_t)0)
        checks_report(examination, &check, "nodes numbered above %d cannot be used: %u, from node %u on",
                      HFI_MAX_NODES - 1, topology->left_out_count, topology->left_out_first);
    check.verdict = VERDICT_FAIL;
    check.mend = "name nodes that there are in HOLDFAST_NODES and HOLDFAST_ARENA";
    if (outlook->reservation.node_count == 0)
        checks_report(examination, &check, "the options leave no node with memory");
}
