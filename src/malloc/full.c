/*
 * full: see full.h.
 *
 * W5: no thread has entered (theap.h) when a message is written or a callback runs.
 *
 * Tests: tests/unit/full.c, tests/unit/pressure.c, tests/programs/pressure.c,
 * tests/programs/reserve.c.
 */
#include "malloc/full.h"

#include <errno.h>

#include "app/events.h"
#include "app/figures.h"
#include "app/inspect.h"
#include "base/callback.h"
#include "app/stats.h"
#include "arena/arena.h"
#include "base/probe.h"
#include "base/say.h"
#include "heap/heap-checked.h"
#include "heap/page.h"
#include "heap/theap.h"
#include "kernel/boot.h"
#include "kernel/cpu.h"
#include "malloc/fork.h"
#include "malloc/slow.h"
#include "malloc/use.h"

#define RESERVE_INTERVAL_NS ((uint64_t)10 * 1000 * 1000 * 1000)

HFI_TLS const void *hfi_full_heap;

void *hfi_fail_enomem(void)
{
    errno = ENOMEM;
    return NULL;
}

static void *fail_as_asked(void)
{
    /* the callback may be about to free */
    if (hfi_options.on_full == ON_FULL_ABORT && !hfi_callback_is_under_way())
        hfi_die("HF-E013", "arena",
                "aborting on a full arena, as HOLDFAST_ON_FULL=abort asks; do what HF-E012 says, "
                "or set HOLDFAST_ON_FULL=fail");
    return hfi_fail_enomem();
}

void hfi_full_count(struct theap *theap)
{
    if (theap->thread == 0)
        return;
    theap->counters.failed++;
    hfi_inspect_taken(theap, NULL);
}

void *hfi_full_impossible(size_t bytes, size_t align_bytes)
{
    static _Atomic(bool) xsaid;
    if (hfi_first_time(&xsaid))
        hfi_say(SAY_INFO, "HF-I014", "arena", "refused %zu bytes, aligned to %zu: more than the whole arena",
                bytes, align_bytes);
    hfi_full_count(hfi_theap);
    return hfi_fail_enomem();
}

void *hfi_full_fail(size_t bytes, size_t pages, size_t align_bytes)
{
    struct theap *theap = hfi_theap;
    uint64_t unreported;
    HFI_PROBE2(full, bytes, pages);
    if (theap->thread != 0)
        hfi_inspect_full(theap->node, bytes, NULL);
    hfi_full_count(theap);
    if (hfi_stats_report_full(bytes, pages, align_bytes, &unreported))
        hfi_inspect_event(HF_EVENT_REPORT, theap->thread != 0 ? theap->node : &hfi_arena.nodes[0], bytes,
                          unreported);
    return fail_as_asked();
}

static const void *asking_heap(void)
{
    return hfi_full_heap != NULL ? hfi_full_heap : &hfi_default_heap;
}

/* What ended heaps left comes before what the application has: true when that will do. */
static bool ask_ended_heaps(const struct arena_node *node, size_t pages)
{
    return hfi_checked_give_way() && hfi_arena_longest_run(node) >= pages;
}

bool hfi_full_ask(struct arena_node *node, size_t pages)
{
    size_t waited = hfi_checked_units();
    if (ask_ended_heaps(node, pages))
        return true;
    if (!hfi_pressure_is_wanted())
        return waited != 0;
    struct suspension suspension;
    hfi_use_suspend(&suspension);
    bool freed = hfi_pressure_call(node, pages * HFI_PAGE_BYTES, asking_heap());
    hfi_use_resume(&suspension);
    if (hfi_theap->thread != 0)
        hfi_theap->counters.pressed++;
    hfi_inspect_event(HF_EVENT_PRESSURE, node, pages * HFI_PAGE_BYTES, freed);
    return freed || waited != 0;
}

void hfi_full_tell_low(void)
{
    struct suspension suspension;
    hfi_use_suspend(&suspension);
    hfi_pressure_tell_low(asking_heap());
    hfi_use_resume(&suspension);
}

void *hfi_full_boot(size_t bytes, size_t align_bytes)
{
    static _Atomic(bool) xsaid;
    if (bytes <= HFI_BOOT_MAX_BYTES && align_bytes <= HFI_BOOT_MAX_ALIGN) {
        if (hfi_first_time(&xsaid))
            hfi_say(SAY_ERROR, "HF-E014", "boot",
                    "the %zu MiB that serve a program without an arena have no %zu bytes left, or the kernel "
                    "refuses them; %s",
                    HFI_BOOT_MAX_BYTES / HFI_MIB, bytes,
                    hfi_arena_is_being_made()
                        ? "another thread sets the arena up, or did so when clone or _Fork made this "
                          "process: load Holdfast before the first thread"
                    : hfi_fork_is_pending()
                        ? "a thread that another library's handler of fork started has them alone until "
                          "Holdfast's own handler has run: load Holdfast before that library"
                        : "a child of HOLDFAST_FORK=dontfork should do little but exec: set "
                          "HOLDFAST_FORK=private");
        return fail_as_asked();
    }
    return hfi_fail_enomem();
}

void hfi_full_tell_reserve(const struct page *page)
{
    static _Atomic(uint64_t) xtold_ns, xuntold;
    const struct arena_node *node = hfi_node_of_page(page);
    uint64_t now = hfi_os_now_coarse_ns(), last = hfi_load_relaxed(&xtold_ns);
    char used[16], all[16];
    if ((last != 0 && now - last < RESERVE_INTERVAL_NS) || !hfi_cas_relaxed(&xtold_ns, &last, now)) {
        hfi_fetch_add_relaxed(&xuntold, 1);
        return;
    }
    hfi_say(
        SAY_WARNING, "HF-W026", "arena",
        "node %u: nothing but the reserve is left, of which %s of %s are in use (%llu uses not told of since "
        "the last message); raise HOLDFAST_ARENA, or let the program keep less",
        node->id, hfi_format_bytes(used, sizeof used, hfi_arena_reserve_used(node) * HFI_PAGE_BYTES),
        hfi_format_bytes(all, sizeof all, node->reserve_count * HFI_PAGE_BYTES),
        (unsigned long long)hfi_exchange_relaxed(&xuntold, 0));
}
