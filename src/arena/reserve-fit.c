/*
 * reserve-fit: cuts a node of a named arena to what is free.
 *
 * V5: nothing is populated that would not fit into what is free now.  Where the kernel runs out, it
 *     kills a process instead of returning an error.
 *
 * Test: tests/unit/reserve.c.
 */
#include "arena/attempt.h"

#include <stdio.h>

#include "kernel/os.h"
#include "numa/topology.h"

static const char *const shortage_steps[] = {
    [OS_BOUND_MACHINE] = "lower HOLDFAST_ARENA, or stop what else uses memory",
    [OS_BOUND_NODE] = "lower HOLDFAST_ARENA for this node, or spread it over more nodes",
    [OS_BOUND_CGROUP] = "lower HOLDFAST_ARENA, or raise the cgroup's memory limit (MemoryMax=)",
};

/* "the machine has 20 GiB free" */
static const char *shortage_text(char *text, size_t text_bytes, const struct shortage *shortage)
{
    static const char *const free_nouns[] = {
        [OS_BOUND_MACHINE] = "the machine has",
        [OS_BOUND_NODE] = "the node has",
        [OS_BOUND_CGROUP] = "the cgroup's limit leaves",
    };
    static const char *const all_nouns[] = {
        [OS_BOUND_MACHINE] = "the machine has",
        [OS_BOUND_NODE] = "the node has",
        [OS_BOUND_CGROUP] = "the cgroup's limit allows",
    };
    if (shortage->all != 0)
        snprintf(text, text_bytes, "more than %s at all (%s, of which %s are free)",
                 all_nouns[shortage->bound], hfi_bytes_text(shortage->all).text,
                 hfi_bytes_text(shortage->available).text);
    else if (shortage->error != 0)
        snprintf(text, text_bytes, "populating it failed (%s), %s %s free",
                 hfi_os_error_name(shortage->error), free_nouns[shortage->bound],
                 hfi_bytes_text(shortage->available).text);
    else
        snprintf(text, text_bytes, "%s %s free", free_nouns[shortage->bound],
                 hfi_bytes_text(shortage->available).text);
    return text;
}

bool hfi_settle_for(const struct attempt *attempt, struct reserved_node *node, size_t bytes,
                    const struct shortage *shortage)
{
    static const enum plan_bound bounds[] = {
        [OS_BOUND_MACHINE] = PLAN_BOUND_MACHINE,
        [OS_BOUND_NODE] = PLAN_BOUND_NODE,
        [OS_BOUND_CGROUP] = PLAN_BOUND_CGROUP,
    };
    char instead[64], why[200];
    shortage_text(why, sizeof why, shortage);
    bytes = hfi_align_down(bytes, bytes > HFI_HUGE_BYTES ? HFI_HUGE_BYTES : HFI_PAGE_BYTES);
    if (bytes < HFI_NODE_BYTES_MIN) {
        hfi_say(SAY_ERROR, "HF-E210", "reserve",
                "%s were asked for on node %u, %s, too little for an arena; %s",
                hfi_bytes_text(node->asked_bytes).text, node->id, why, shortage_steps[shortage->bound]);
        return false;
    }
    snprintf(instead, sizeof instead, "taking %s%s", hfi_bytes_text(bytes).text,
             shortage->all != 0 ? ", half of what is free" : "");
    if (shortage->all != 0)
        hfi_degraded(
            attempt, "HF-W227", "HF-E227", instead,
            attempt->options->strict ? "name a size that fits"
                                     : "name a size that fits, or set HOLDFAST_STRICT=1 to stop here instead",
            "%s were asked for on node %u, %s", hfi_bytes_text(node->asked_bytes).text, node->id, why);
    else
        hfi_degraded(attempt, "HF-W209", "HF-E209", instead, shortage_steps[shortage->bound],
                     "%s were asked for on node %u, %s", hfi_bytes_text(node->asked_bytes).text, node->id,
                     why);
    node->bytes = bytes;
    node->bound_by = bounds[shortage->bound];
    return true;
}

/* Whether a node stands on a pool of huge pages, or will.  Nodes are mapped one after the other;
 * one whose turn is still to come is judged by what its pools have. */
static bool is_on_pool(const struct attempt *attempt, unsigned index)
{
    const struct reserved_node *node = &attempt->reservation->nodes[index];
    size_t planned = attempt->planned_bytes[index];
    bool alone = attempt->topology->node_count == 1;
    if (node->backing != BACKING_AUTO)
        return hfi_backing_page_bytes(node->backing) != HFI_SMALL_PAGE_BYTES;
    for (enum option_backing backing = BACKING_1G; backing <= BACKING_2M; backing++) {
        struct os_huge_pool pool;
        size_t page_bytes = hfi_backing_page_bytes(backing);
        if (hfi_backing_is_asked(attempt->options->backing, backing, planned) &&
            hfi_os_huge_pool(&pool, node->id, alone, page_bytes) &&
            pool.free_pages >= hfi_divide_up(planned, page_bytes))
            return true;
    }
    return false;
}

/* Whether all nodes together ask for more than there is, or this one does. */
static void look_beyond(const struct attempt *attempt, const struct reserved_node *node,
                        struct shortage *shortage)
{
    size_t usable = hfi_os_usable_bytes(), asked = 0;
    const struct topology_node *here = hfi_topology_find(attempt->topology, node->id);
    for (unsigned i = 0; i < attempt->reservation->node_count; i++)
        if (!is_on_pool(attempt, i))
            asked += attempt->reservation->nodes[i].asked_bytes;
    if (asked > usable) {
        shortage->all = usable;
        shortage->bound = hfi_is_in_cgroup(usable) ? OS_BOUND_CGROUP : OS_BOUND_MACHINE;
    } else if (attempt->topology->node_count > 1 && node->bytes > here->memory_bytes) {
        shortage->all = here->memory_bytes;
        shortage->bound = OS_BOUND_NODE;
    }
}

/* What node may take of the memory that is free now: its share of what all nodes ask for that are
 * not populated and do not stand on a pool. */
static uint64_t node_share(const struct attempt *attempt, const struct reserved_node *node,
                           enum os_bound *bound)
{
    const struct reservation *reservation = attempt->reservation;
    uint64_t available = hfi_os_available_bytes(bound);
    size_t to_do = 0, own = attempt->planned_bytes[node - reservation->nodes];
    for (unsigned i = 0; i < reservation->node_count; i++) {
        const struct reserved_node *other = &reservation->nodes[i];
        if (other == node || (other->populated_bytes == 0 && !is_on_pool(attempt, i)))
            /* also of one that was cut: it takes its share of what is free */
            to_do += attempt->planned_bytes[i];
    }
    if (available != UINT64_MAX)
        available = (uint64_t)((double)available * ((double)own / (double)to_do));
    if (attempt->topology->node_count > 1 && hfi_os_node_available_bytes(node->id) < available) {
        available = hfi_os_node_available_bytes(node->id);
        *bound = OS_BOUND_NODE;
    }
    return available;
}

bool hfi_fit_node(struct attempt *attempt, struct reserved_node *node)
{
    struct shortage shortage = { .error = 0 };
    if (attempt->options->prefault == PREFAULT_NONE)
        return true;
    shortage.available = node_share(attempt, node, &shortage.bound);
    if (node->bytes <= hfi_plan_most(shortage.available))
        return true;
    look_beyond(attempt, node, &shortage);
    size_t bytes =
        shortage.all != 0 ? hfi_plan_cut_beyond(shortage.available) : hfi_plan_cut(shortage.available);
    return hfi_settle_for(attempt, node, bytes, &shortage);
}
