/*
 * reserve-memory: binds, locks and advises memory that is mapped; makes a node's maps ready.
 *
 * Test: tests/unit/reserve.c.
 */
#include "arena/attempt.h"

#include <errno.h>
#include <stdio.h>

#include "kernel/os.h"
#include "numa/topology.h"

#define LEAD_BYTES ((size_t)4 * HFI_MIB)

bool hfi_bind_range(struct attempt *attempt, void *start, size_t bytes, unsigned node)
{
    if (attempt->topology->alone) /* a filter may end the process for a call that says nothing new */
        return true;
    int error = hfi_os_bind(start, bytes, node);
    if (error == 0 || attempt->said_unbound)
        return error == 0;
    attempt->said_unbound = true;
    const char *next =
        error == -EINVAL
            ? "see whether the node is online, and this machine's own (HWLOC_XMLFILE, HWLOC_SYNTHETIC)"
            : "allow mbind in the container's seccomp profile, or grant CAP_SYS_NICE";
    if (attempt->topology->node_count == 1)
        hfi_say(SAY_INFO, "HF-I202", "reserve",
                "binding to node %u was refused (mbind: %s), which does not matter with one node; %s", node,
                hfi_os_error_name(error), next);
    else
        hfi_degraded(attempt, "HF-W202", "HF-E202", "memory goes where the kernel puts it", next,
                     "binding memory to node %u was refused (mbind: %s)", node, hfi_os_error_name(error));
    return false;
}

bool hfi_lock_range(struct attempt *attempt, void *start, size_t bytes, bool on_fault)
{
    char limit[16] = "unlimited";
    const char *next = "run `ulimit -l unlimited`, set LimitMEMLOCK=infinity, or HOLDFAST_LOCK=no";
    const char *call = on_fault ? "mlock2" : "mlock";
    int error = on_fault ? hfi_os_lock_on_fault(start, bytes) : hfi_os_lock(start, bytes);
    if (error == 0 || attempt->said_unlocked)
        return error == 0;
    attempt->said_unlocked = true;
    /* with a limit of 0 it is that which forbids it */
    if (hfi_os_is_refusal(error) && hfi_os_lock_limit() != 0)
        next = "allow mlock2 in the seccomp profile of the service or container, or set HOLDFAST_LOCK=no";
    if (hfi_os_lock_limit() != UINT64_MAX)
        hfi_format_bytes(limit, sizeof limit, hfi_os_lock_limit());
    if (attempt->options->lock == LOCK_AUTO && !hfi_os_has_swap())
        hfi_say(SAY_INFO, "HF-I205", "reserve",
                "locking %s was refused (%s: %s, limit %s), which does not matter without swap; %s",
                hfi_bytes_text(bytes).text, call, hfi_os_error_name(error), limit, next);
    else
        hfi_degraded(attempt, "HF-W205", "HF-E205", "it may be swapped", next,
                     "locking %s was refused (%s: %s, limit %s)", hfi_bytes_text(bytes).text, call,
                     hfi_os_error_name(error), limit);
    return false;
}

void hfi_advise_range(struct attempt *attempt, const struct reserved_node *node, bool huge)
{
    int error = hfi_os_advise_huge(node->start, node->bytes, huge);
    if (!hfi_os_is_refusal(error) || attempt->said_unadvised)
        return;
    attempt->said_unadvised = true;
    static const char instead[] =
        "the kernel chooses its pages by /sys/kernel/mm/transparent_hugepage/enabled";
    char what[80];
    snprintf(what, sizeof what, "choosing OS pages was refused (madvise: %s)", hfi_os_error_name(error));
    if (attempt->options->backing == node->backing)
        hfi_degraded(attempt, "HF-W228", "HF-E228", instead, HFI_ALLOW_MADVISE, "%s", what);
    else
        hfi_say(SAY_WARNING, "HF-W228", "reserve", "%s: %s; %s", what, instead, HFI_ALLOW_MADVISE);
}

/* What a node has populated at start where the rest follows in the background: the arena's maps
 * (less than 1/8000), what it sets aside for theaps, and something to begin with. */
static size_t lead_bytes(const struct reserved_node *node)
{
    size_t own = node->bytes / 4096 + hfi_plan_set_aside(node->bytes / HFI_PAGE_BYTES) * HFI_PAGE_BYTES;
    size_t bytes = hfi_align_up(LEAD_BYTES + own, hfi_max(node->os_page_bytes, HFI_PAGE_BYTES));
    return hfi_min(bytes, node->bytes);
}

struct prefault_order hfi_order_of(const struct attempt *attempt, const struct reserved_node *node)
{
    return (struct prefault_order){
        .node_id = node->id,
        .affine = attempt->topology->node_count > 1,
        .huge = node->backing == BACKING_THP,
        .memory = node->start,
        .bytes = attempt->background ? lead_bytes(node) : node->bytes,
    };
}

int hfi_ready_maps(struct attempt *attempt, const struct reserved_node *node)
{
    struct reservation *reservation = attempt->reservation;
    struct plan_part slices[2] = { hfi_plan_owners_slice(reservation, node),
                                   hfi_plan_table_slice(reservation, node) };
    for (int i = 0; i < 2; i++) {
        char *start = reservation->base + slices[i].offset;
        /* owners are mapped already */
        int error = i == 0 ? 0 : hfi_map_maps(reservation, start, slices[i].bytes);
        if (error != 0)
            return error;
        if (!reservation->growing || attempt->topology->node_count > 1)
            hfi_bind_range(attempt, start, slices[i].bytes, node->id);
        if (reservation->growing || attempt->options->prefault == PREFAULT_NONE) {
            if (attempt->options->lock == LOCK_YES)
                hfi_lock_range(attempt, start, slices[i].bytes, true);
            continue;
        }
        if (attempt->options->backing != BACKING_4K)
            hfi_os_advise_huge(start, slices[i].bytes, true);
        if (attempt->options->lock != LOCK_NO)
            hfi_lock_range(attempt, start, slices[i].bytes, true);
        size_t entry_bytes = i == 0 ? HFI_OWNER_ENTRY_BYTES : HFI_TABLE_ENTRY_BYTES;
        error = hfi_os_populate(start, attempt->background
                                           ? hfi_align_up((lead_bytes(node) >> HFI_PAGE_SHIFT) * entry_bytes,
                                                          HFI_SMALL_PAGE_BYTES)
                                           : slices[i].bytes);
        if (error != 0 && !hfi_os_is_refusal(error)) /* said of the node's memory */
            return error;
    }
    return 0;
}
