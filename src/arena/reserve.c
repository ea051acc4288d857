/*
 * reserve: see reserve.h; the files below it and what each does are in attempt.h.
 *
 * Tests: tests/unit/reserve.c, tests/unit/backing.c, tests/unit/limits.c.
 */
#include "arena/reserve.h"

#include <errno.h>
#include <stdio.h>

#include "arena/attempt.h"
#include "kernel/manager.h"
#include "numa/topology.h"

static size_t usable_bytes(const struct options *options)
{
    return options->arena == ARENA_AUTO || options->arena == ARENA_PERCENT ? hfi_os_usable_bytes() : 0;
}

static void populate_in_background(const struct attempt *attempt, unsigned index)
{
    const struct reservation *reservation = attempt->reservation;
    const struct reserved_node *node = &reservation->nodes[index];
    struct prefault_order order = hfi_order_of(attempt, node);
    order.from = order.bytes;
    order.bytes = node->bytes;
    order.owners = reservation->base + hfi_plan_owners_slice(reservation, node).offset;
    order.table = reservation->base + hfi_plan_table_slice(reservation, node).offset;
    order.owner_bytes = HFI_OWNER_ENTRY_BYTES;
    order.entry_bytes = HFI_TABLE_ENTRY_BYTES;
    hfi_prefault_background(index, &order);
}

static int reserve_named(struct attempt *attempt)
{
    struct reservation *reservation = attempt->reservation;
    size_t asked = hfi_plan_bytes(reservation);
    int error = hfi_reserve_space(attempt);
    if (error != 0)
        return hfi_say_no_space(asked, error);
    struct prefault_order order = hfi_order_of(attempt, &reservation->nodes[0]);
    attempt->background = attempt->options->prefault == PREFAULT_BACKGROUND && hfi_prefault_may_go_on(&order);
    hfi_manager_begin();
    error = hfi_reserve_nodes(attempt);
    for (unsigned i = 0; i < reservation->node_count && error == 0; i++) {
        struct reserved_node *node = &reservation->nodes[i];
        error = hfi_ready_maps(attempt, node);
        if (error != 0)
            hfi_say(SAY_ERROR, "HF-E218", "reserve",
                    "node %u: no memory for the page table of %s (%s); lower HOLDFAST_ARENA, or raise "
                    "the limits (ulimit -v unlimited, ulimit -d unlimited)",
                    node->id, hfi_bytes_text(node->bytes).text, hfi_os_error_name(error));
    }
    hfi_manager_end();
    for (unsigned i = 0; i < reservation->node_count && error == 0 && attempt->background; i++)
        populate_in_background(attempt, i);
    return error;
}

static void name_part(const struct reservation *reservation, struct plan_part part, const char *name)
{
    hfi_os_name(reservation->base + part.offset, part.bytes, name);
}

/* For whoever reads /proc/PID/maps.  Last: what is mapped anew has no name. */
static void name_parts(const struct reservation *reservation)
{
    static const char maps[] = "holdfast: maps";
    char name[32];
    name_part(reservation, hfi_plan_owners(reservation), maps);
    for (unsigned i = 0; i < reservation->node_count; i++) {
        const struct reserved_node *node = &reservation->nodes[i];
        name_part(reservation, hfi_plan_table_slice(reservation, node), maps);
        snprintf(name, sizeof name, "holdfast: node %u arena", node->id);
        hfi_os_name(node->start, node->bytes, name);
    }
}

int hfi_reserve(struct reservation *reservation, const struct options *options,
                const struct topology *topology)
{
    struct attempt attempt = { .options = options, .topology = topology, .reservation = reservation };
    if (hfi_os_base_page_bytes() != HFI_SMALL_PAGE_BYTES) {
        hfi_say(
            SAY_ERROR, "HF-E239", "reserve",
            "this kernel has pages of %s, and Holdfast is for those of 4 KiB; boot a kernel that has them",
            hfi_bytes_text(hfi_os_base_page_bytes()).text);
        return -ENOTSUP;
    }
    attempt.usable_bytes = usable_bytes(options);
    hfi_check_named_nodes(&attempt);
    hfi_check_all_nodes(&attempt);
    hfi_plan_draft(reservation, options, topology, attempt.usable_bytes);
    hfi_say_raised(&attempt);
    if (reservation->node_count == 0) {
        hfi_say(SAY_ERROR, "HF-E221", "reserve",
                "HOLDFAST_NODES and HOLDFAST_ARENA leave no node with memory; nodes with memory: %u, "
                "the first is node %u: name that one, or none",
                topology->node_count, topology->nodes[0].id);
        return -EINVAL;
    }
    hfi_find_bounds(&attempt);
    if (hfi_plan_cap(reservation)) {
        hfi_say_capped(&attempt);
        hfi_set_bounds(reservation, PLAN_BOUND_LARGEST);
    }
    for (unsigned i = 0; i < reservation->node_count; i++)
        attempt.planned_bytes[i] = reservation->nodes[i].bytes;
    hfi_plan_order(reservation, topology);
    int error = options->arena == ARENA_AUTO ? hfi_reserve_growing(&attempt) : reserve_named(&attempt);
    if (error == 0)
        name_parts(reservation);
    return error;
}
