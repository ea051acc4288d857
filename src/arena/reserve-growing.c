/*
 * reserve-growing: an arena without a named size: reserved whole, then opened step by step.
 *
 * V6: of a growing arena nothing is accessible that was not opened (hfi_open_step), and the maps of
 *     such pages can only be read.  So mlockall does not lock what the program has not needed yet,
 *     and no limit on data or commit counts it.
 *
 * Test: tests/unit/reserve.c.
 */
#include "arena/attempt.h"

#include <errno.h>

#include "kernel/os.h"
#include "arena/reserve.h"
#include "numa/topology.h"

#define AUTO_BYTES_MIN ((size_t)64 * HFI_MIB) /* less address space than this is no arena */
#define PREFAULT_MARGIN_BYTES ((size_t)128 * HFI_MIB)

/* An auto arena takes what there is; who asks for more is to name a size. */
static void check_growing(const struct attempt *attempt)
{
    enum option_backing backing = attempt->options->backing;
    if (backing == BACKING_1G || backing == BACKING_2M)
        hfi_degraded(attempt, "HF-W219", "HF-E219", hfi_os_has_thp() ? "using thp" : "using 4k",
                     "name a size in HOLDFAST_ARENA", "HOLDFAST_BACKING=%s is for arenas of a named size",
                     hfi_backing_name(backing));
    else if (backing == BACKING_THP)
        hfi_backing_is_possible(attempt, &attempt->reservation->nodes[0],
                                BACKING_THP); /* says so if it is not */
}

/* Steps stop populating where little is left of what the process may use.  A step ahead of use
 * could make the kernel kill a process there. */
static void set_prefault_bounds(const struct attempt *attempt)
{
    struct reservation *reservation = attempt->reservation;
    size_t usable = attempt->usable_bytes, planned = hfi_plan_bytes(reservation);
    size_t margin = PREFAULT_MARGIN_BYTES + usable / 8;
    size_t bound = attempt->options->prefault == PREFAULT_NONE ? 0 : usable - hfi_min(usable, margin);
    for (unsigned i = 0; i < reservation->node_count; i++) {
        struct reserved_node *node = &reservation->nodes[i];
        node->prefault_bytes =
            hfi_min(node->bytes, (size_t)((double)bound * ((double)node->bytes / (double)planned)));
    }
}

/* HOLDFAST_LOCK=yes: each page from its first touch on, also after it was opened.  Older kernels
 * answer ENOMEM where the range is not accessible. */
static bool lock_growing(struct attempt *attempt, const struct reserved_node *node)
{
    /* a limit may refuse it: newer kernels lock all the same */
    hfi_os_protect(node->start, node->bytes, true);
    bool locked = hfi_lock_range(attempt, node->start, node->bytes, true);
    hfi_os_protect(node->start, node->bytes, false);
    return locked;
}

/* Lays everything out, nothing open, owners and table to be read.  0 or -errno with nothing
 * mapped. */
static int map_growing(struct attempt *attempt)
{
    struct reservation *reservation = attempt->reservation;
    bool huge = attempt->options->backing != BACKING_4K && hfi_os_has_thp();
    int error = hfi_reserve_space(attempt);
    if (error != 0)
        return error;
    for (unsigned i = 0; i < reservation->node_count && error == 0; i++) {
        struct reserved_node *node = &reservation->nodes[i];
        node->os_page_bytes = HFI_SMALL_PAGE_BYTES;
        node->backing = huge ? BACKING_THP : BACKING_4K;
        if (attempt->topology->node_count > 1)
            node->bound = hfi_bind_range(attempt, node->start, node->bytes, node->id);
        if (attempt->options->backing == BACKING_4K)
            hfi_os_advise_huge(node->start, node->bytes, false);
        if (attempt->options->lock == LOCK_YES)
            node->locked = lock_growing(attempt, node);
        error = hfi_ready_maps(attempt, node);
    }
    if (error != 0)
        hfi_release_space(attempt);
    return error;
}

int hfi_reserve_growing(struct attempt *attempt)
{
    struct reservation *reservation = attempt->reservation;
    size_t asked = hfi_plan_bytes(reservation);
    uint64_t room = hfi_os_address_room();
    reservation->growing = true;
    check_growing(attempt);
    if (room != UINT64_MAX)
        /* the other half is for stacks, files, and what else is mapped */
        hfi_plan_shrink(reservation, room / 2);
    int error;
    while ((error = map_growing(attempt)) != 0) {
        hfi_plan_shrink(reservation, hfi_plan_bytes(reservation) / 2);
        if (hfi_plan_bytes(reservation) < AUTO_BYTES_MIN)
            return hfi_say_no_space(asked, error);
    }
    if (hfi_plan_bytes(reservation) < asked) {
        hfi_set_bounds(reservation, PLAN_BOUND_SPACE);
        hfi_say(SAY_WARNING, "HF-W207", "reserve",
                "address space is limited: the arena can grow to %s, not %s; raise the limit (ulimit -v "
                "unlimited, "
                "ulimit -d unlimited)",
                hfi_bytes_text(hfi_plan_bytes(reservation)).text, hfi_bytes_text(asked).text);
    }
    set_prefault_bounds(attempt);
    return 0;
}

int hfi_open_step(const struct reserved_node *node, size_t offset, size_t bytes)
{
    return hfi_os_protect(node->start + offset, bytes, true);
}

int hfi_open_maps(const struct reservation *reservation, const struct reserved_node *node, size_t from,
                  size_t end)
{
    struct plan_part slices[2] = { hfi_plan_owners_slice(reservation, node),
                                   hfi_plan_table_slice(reservation, node) };
    static const size_t entry_bytes[2] = { HFI_OWNER_ENTRY_BYTES, HFI_TABLE_ENTRY_BYTES };
    for (int i = 0; i < 2; i++) {
        size_t first = hfi_align_down(from * entry_bytes[i], HFI_SMALL_PAGE_BYTES);
        size_t last = hfi_min(hfi_align_up(end * entry_bytes[i], HFI_SMALL_PAGE_BYTES), slices[i].bytes);
        int error = hfi_os_protect(reservation->base + slices[i].offset + first, last - first, true);
        if (error != 0)
            return error;
    }
    return 0;
}

void hfi_advise_step(const struct reserved_node *node, size_t offset, size_t bytes)
{
    uintptr_t start = (uintptr_t)node->start + offset;
    uintptr_t end = (uintptr_t)node->start + hfi_min(offset + bytes, node->prefault_bytes);
    start = hfi_align_up(start, HFI_HUGE_BYTES);
    end = hfi_align_down(end, HFI_HUGE_BYTES);
    if (node->backing == BACKING_THP && start < end)
        hfi_os_advise_huge((void *)start, end - start, true);
}

int hfi_prefault_step(const struct reserved_node *node, size_t offset, size_t bytes)
{
    return offset + bytes > node->prefault_bytes ? -ENOMEM : hfi_os_populate(node->start + offset, bytes);
}
