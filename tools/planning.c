/*
 * planning: see planning.h.
 *
 * Tests: tests/tool.sh, tests/tool-plan.sh.
 */
#include "planning.h"

bool planning_pool(const struct planning *plan, unsigned index, enum option_backing backing, struct os_huge_pool *pool)
{
    return !plan->described &&
           hfi_os_huge_pool(pool, plan->topology.nodes[index].id, plan->topology.node_count == 1, hfi_backing_unit_bytes(backing));
}

/* The rung of the ladder that src/reserve.c would stop at, by what the pools say now; on another machine, with the pools
 * that it is to have. */
static enum option_backing plan_rung(const struct planning *plan, unsigned index)
{
    struct os_huge_pool pool;
    enum option_backing asked = plan->options.backing;
    size_t bytes = plan->node_bytes[index];
    for (enum option_backing rung = BACKING_1G; rung <= BACKING_2M && plan->named; rung++) {
        size_t page_bytes = hfi_backing_unit_bytes(rung);
        if (asked == BACKING_AUTO ? rung == BACKING_1G && (bytes % page_bytes != 0 || plan->described) : rung < asked)
            continue;
        if (plan->described || (planning_pool(plan, index, rung, &pool) && pool.free_pages >= hfi_divide_up(bytes, page_bytes)))
            return rung;
    }
    return asked == BACKING_4K || (!plan->described && !hfi_os_has_thp()) ? BACKING_4K : BACKING_THP;
}

static size_t machine_bytes(const struct topology *topology)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < topology->node_count; i++)
        bytes += topology->nodes[i].memory_bytes;
    return bytes;
}

void planning_make(struct planning *plan)
{
    plan->named = plan->options.arena != ARENA_AUTO;
    if (plan->described)
        hfi_plan_nodes(plan->node_bytes, &plan->options, &plan->topology, machine_bytes(&plan->topology));
    else
        hfi_plan_nodes(plan->node_bytes, &plan->options, &plan->topology, hfi_os_usable_bytes());
    for (unsigned i = 0; i < plan->topology.node_count; i++) {
        if (plan->node_bytes[i] == 0)
            continue;
        plan->rung[i] = plan_rung(plan, i);
        if (plan->named)
            plan->node_bytes[i] = hfi_align_up(plan->node_bytes[i], hfi_backing_unit_bytes(plan->rung[i]));
        plan->total_bytes += plan->node_bytes[i];
        if (plan->rung[i] >= BACKING_THP)
            plan->small_page_bytes += plan->node_bytes[i];
    }
}
