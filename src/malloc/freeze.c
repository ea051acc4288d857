/*
 * freeze: see freeze.h.
 *
 * Any thread.  Tests: tests/programs/freeze.c.
 */
#include "malloc/freeze.h"

#include "app/events.h"
#include "arena/arena.h"
#include "base/bits.h"
#include "base/say.h"

_Atomic(uint32_t) hfi_freeze_way;
static _Atomic(uint64_t) xpages, xtimes;

uint64_t hfi_freeze_pages(void)
{
    return hfi_load_relaxed(&xpages);
}

void hfi_freeze_note(const struct arena_node *node, size_t pages, size_t bytes)
{
    uint64_t so_far = hfi_fetch_add_relaxed(&xpages, pages) + pages;
    uint64_t times = hfi_fetch_add_relaxed(&xtimes, 1) + 1;
    if (hfi_is_power_of_two(times)) /* thousands of them would leave nothing else to be seen */
        hfi_inspect_event(HF_EVENT_FROZEN, node, bytes, so_far);
    if (hfi_load_relaxed(&hfi_freeze_way) == FREEZE_ABORT)
        hfi_die(
            "HF-E332", "freeze",
            "%zu fresh pages for a block of %zu bytes, after hf_freeze, which asks to abort then: find in "
            "the core who allocates, and let it do so before; or set HOLDFAST_FREEZE=tell",
            pages, bytes);
    if (times == 1)
        hfi_say(SAY_WARNING, "HF-W043", "freeze",
                "%zu fresh pages for a block of %zu bytes, after hf_freeze; hf_frozen_pages counts them, and "
                "later "
                "ones are not told of: set HOLDFAST_FREEZE=abort to see who allocates",
                pages, bytes);
}
