/*
 * reserve-space: address space for the whole arena.
 *
 * V1: base is 1 GiB aligned; inaccessible guards lie before base and behind the last window.
 * V2: the space is laid out as planned (plan.h).
 * V3: owners[] is readable for every index below span, so that free can look a wild pointer up.
 *     The page table is so only where nodes have pages.  Both are writable where pages can be
 *     handed out.
 *
 * The space is reserved in one piece.  A limit (RLIMIT_AS) may be too low for the areas between
 * owners, table and windows, which are never used.  Then only the parts are mapped, at an address
 * where all of it was free.  What the kernel later puts between them has no owner, like any other
 * memory that is not ours.
 *
 * Test: tests/unit/reserve.c.
 */
#include "arena/attempt.h"

#include <errno.h>

#include "kernel/os.h"

void hfi_release_space(const struct attempt *attempt)
{
    struct plan_part parts[HFI_PLAN_PARTS_MAX];
    struct reservation *reservation = attempt->reservation;
    if (!attempt->in_parts) {
        hfi_os_unreserve(reservation->base - HFI_GUARD_SPACE_BYTES,
                         reservation->span + 2 * HFI_GUARD_SPACE_BYTES);
        return;
    }
    for (unsigned i = 0, count = hfi_plan_parts(reservation, attempt->options, parts); i < count; i++)
        hfi_os_unreserve(reservation->base + parts[i].offset, parts[i].bytes);
}

static int reserve_parts_at(const struct attempt *attempt, char *base)
{
    struct plan_part parts[HFI_PLAN_PARTS_MAX];
    hfi_plan_place(attempt->reservation, base);
    unsigned count = hfi_plan_parts(attempt->reservation, attempt->options, parts);
    for (unsigned i = 0; i < count; i++) {
        int error = hfi_os_reserve_at(base + parts[i].offset, parts[i].bytes);
        if (error == 0)
            continue;
        while (i-- > 0)
            hfi_os_unreserve(base + parts[i].offset, parts[i].bytes);
        return error;
    }
    return 0;
}

/* Below the place where the kernel maps things now, there is nothing but room on 64 bit. */
static int reserve_parts(struct attempt *attempt)
{
    size_t distance = attempt->reservation->span + 64 * HFI_GIB;
    char *probe = hfi_os_reserve(HFI_SMALL_PAGE_BYTES, HFI_SMALL_PAGE_BYTES);
    if (probe == NULL)
        return -ENOMEM;
    hfi_os_unreserve(probe, HFI_SMALL_PAGE_BYTES);
    int error = -ENOMEM;
    attempt->in_parts = true;
    for (unsigned round = 1; round <= 8 && (uintptr_t)probe > (round + 1) * distance; round++) {
        error =
            reserve_parts_at(attempt, (char *)hfi_align_down((uintptr_t)probe - round * distance, HFI_GIB));
        if (error == 0 || error == -ENOMEM)
            break;
    }
    return error;
}

static int reserve_whole(struct attempt *attempt)
{
    struct reservation *reservation = attempt->reservation;
    size_t slack = HFI_GIB - HFI_GUARD_SPACE_BYTES; /* so that base, not the guard, is aligned */
    attempt->in_parts = false;
    char *space = hfi_os_reserve(HFI_GIB + reservation->span + HFI_GUARD_SPACE_BYTES, HFI_GIB);
    if (space == NULL)
        return -ENOMEM;
    hfi_os_unreserve(space, slack);
    hfi_plan_place(reservation, space + HFI_GIB);
    return 0;
}

int hfi_map_maps(const struct reservation *reservation, char *start, size_t bytes)
{
    return reservation->growing ? hfi_os_map_readable(start, bytes)
                                : hfi_os_map(start, bytes, HFI_SMALL_PAGE_BYTES);
}

int hfi_reserve_space(struct attempt *attempt)
{
    struct reservation *reservation = attempt->reservation;
    hfi_plan_span(reservation);
    int error = reserve_whole(attempt);
    if (error != 0)
        error = reserve_parts(attempt);
    if (error != 0)
        return error;
    struct plan_part owners = hfi_plan_owners(reservation);
    error = hfi_map_maps(reservation, reservation->base + owners.offset, owners.bytes); /* V3 */
    if (error != 0)
        hfi_release_space(attempt);
    return error;
}

int hfi_say_no_space(size_t asked, int error)
{
    uint64_t room = hfi_os_address_room();
    if (room != UINT64_MAX)
        hfi_say(SAY_ERROR, "HF-E206", "reserve",
                "no address space for an arena of %s (%s): the limits leave %s; raise them "
                "(ulimit -v unlimited, ulimit -d unlimited)",
                hfi_bytes_text(asked).text, hfi_os_error_name(error), hfi_bytes_text(room).text);
    else
        hfi_say(SAY_ERROR, "HF-E206", "reserve",
                "no address space for an arena of %s (%s); lower HOLDFAST_ARENA, or with "
                "vm.overcommit_memory=2 raise vm.overcommit_ratio",
                hfi_bytes_text(asked).text, hfi_os_error_name(error));
    return error;
}
