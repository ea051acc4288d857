/*
 * inspect: when the process publishes, and what its calls tell of then.
 *
 * N1: the process stores into the segment and decides nothing by what it finds there.
 *     (N2: figures.c.  N3 and N4: segment.c.)
 * N5: publishing makes system calls.  In malloc it comes with a call that has grown the arena,
 *     which makes some too, and nowhere else.  A thread is not cancelled in it, nor runs a signal
 *     handler, which might fork.  A child that shares its parent's memory (vfork) leaves it to the
 *     parent.
 *
 * A named arena publishes at start.  A growing one waits until it grows beyond its first pages, so
 * that a small program pays nothing.  A forked child drops the segment.  With
 * HOLDFAST_INSPECT=children it publishes its own before fork returns, else when it grows: a named
 * arena's child never.  A child without handlers of fork finds the way to the segment wiped (struct
 * shown), and shows nothing.
 *
 * Moments are read from the processor's counter, here, in arena.c, figures.c, events.c, latency.c and
 * slots.c, and nowhere else in malloc and free.  Under strict seccomp(2), or PR_SET_TSC, that is a
 * SIGSEGV, which HOLDFAST_INSPECT=0 avoids.
 *
 * Fails by not publishing, with one warning.  Tests: tests/tool-segment.sh, tests/segment.sh,
 * tests/programs/inspect.c, tests/programs/publish.c, tests/programs/quiet-child.c.
 */
#include "app/inspect.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "base/options.h"
#include "kernel/os.h"
#include "kernel/cpu.h"
#include "arena/pagemap.h"
#include "base/say.h"
#include "base/sys.h"
#include "heap/theaps.h"
#include "app/events.h"
#include "app/figures.h"
#include "app/latency.h"
#include "app/segment.h"
#include "arena/arena.h"
#include "heap/heap.h"
#include "heap/theap.h"

static _Atomic(bool) xpublishing;
static bool is_shown;  /* who publishes writes it: its segment, to others */
static bool was_shown; /* the process that forked this one, then */
static bool took_over; /* written in a child before it goes on, and true in its children too */
static bool has_wiped; /* who publishes writes it: hfi_xshown leads to a page that children find wiped */

/* Threads that sleep now may do so for ever, and what those counted that have ended shall not show
 * up with their theap's next thread.  Nobody else touches `added` before the segment is there to
 * add to. */
static void show_all_threads(void)
{
    for (struct theap *theap = hfi_theap_first(); theap != NULL; theap = theap->next_all) {
        memset(&theap->added, 0, sizeof theap->added);
        if (HFI_SHOWN(theap->node) != NULL) /* some thread had it */
            hfi_inspect_update_theap(theap, theap->thread != 0, hfi_os_ticks());
    }
}

/* Once: a child has the page that its parent had.  A kernel before 4.14 wipes none, and a child
 * without handlers goes on storing into its parent's segment. */
static void keep_from_children(void)
{
    struct shown *wiped = has_wiped ? NULL : hfi_os_map_wiped(sizeof *wiped);
    if (wiped == NULL)
        return;
    has_wiped = true;
    hfi_store_release(&hfi_xshown, wiped); /* pairs with hfi_shown */
}

/* What is const of a heap is told while it cannot end: the process has one thread, or a call on it is
 * under way. */
static void show_all_heaps(bool alone)
{
    hfi_store_release(&hfi_shown()->xheaps, hfi_segment_tables.heaps); /* pairs with slots.c */
    hfi_heaps_show(alone);
}

static void make_segment(bool alone)
{
    if (!hfi_os_has_ticks()) {
        hfi_say(SAY_WARNING, "HF-W006", "inspect",
                "cannot publish: this thread may not read the processor's "
                "counter (PR_SET_TSC): `holdfast stat` will not see this process; allow it, or set "
                "HOLDFAST_INSPECT=0");
        return;
    }
    keep_from_children();
    struct hf_inspect_segment *segment = hfi_segment_create(took_over);
    if (segment == NULL)
        return;
    hfi_segment_fill_map(segment);
    for (unsigned i = 0; i < hfi_arena.node_count; i++)
        hfi_inspect_update_node(&hfi_arena.nodes[i]);
    show_all_threads();
    hfi_plain_store_release(&segment->magic, HF_INSPECT_MAGIC); /* pairs with the reader */
    hfi_store_release(&hfi_shown()->xsegment, segment);
    is_shown = true;
    show_all_heaps(alone);
    hfi_inspect_rings_again();
    HFI_SHOW(segment->theap_count, hfi_theaps_made());
    hfi_inspect_event(HF_EVENT_PUBLISHED, &hfi_arena.nodes[0], hfi_arena.page_count * HFI_PAGE_BYTES, 0);
}

/* All but those that an instruction or a system call raises: the kernel ends a process that has
 * them blocked. */
#define SIGNALS_HELD                                                                                         \
    (~(HFI_SIGNAL_BIT(SIGSEGV) | HFI_SIGNAL_BIT(SIGBUS) | HFI_SIGNAL_BIT(SIGILL) | HFI_SIGNAL_BIT(SIGFPE) |  \
       HFI_SIGNAL_BIT(SIGTRAP) | HFI_SIGNAL_BIT(SIGSYS)))

/* Once: who comes second, or after a failure, goes on without. */
static void publish(bool alone)
{
    bool expected = false;
    int cancel;
    if (!hfi_segment_is_own_process() || !hfi_cas_acq_rel(&xpublishing, &expected, true))
        return;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel); /* N5 */
    struct sys_hold hold = hfi_sys_hold(SIGNALS_HELD);
    make_segment(alone);
    hfi_sys_let_go(&hold, 0);
    pthread_setcancelstate(cancel, NULL);
}

void hfi_inspect_init(void)
{
    hfi_segment_remember_process();
    if (hfi_options.inspect && !hfi_arena.reservation.growing)
        publish(true);
}

/* N5.  A call that got no page has grown nothing. */
static bool is_time_to_publish(const struct arena_node *node, const struct page *taken)
{
    return taken != NULL && hfi_arena_grew &&
           hfi_load_relaxed(&node->xlow_used) >= node->meta_pages + HFI_FIRST_PAGES;
}

uint64_t hfi_inspect_taken(struct theap *theap, const struct page *taken)
{
    if (hfi_load_acquire(&hfi_shown()->xsegment) == NULL) {
        if (!hfi_options.inspect || hfi_load_relaxed(&xpublishing) || !is_time_to_publish(theap->node, taken))
            return 0;
        theap->thread_id = hfi_os_thread_id();
        publish(false);
        if (hfi_load_acquire(&hfi_shown()->xsegment) == NULL)
            return 0;
    }
    uint64_t now = hfi_os_ticks();
    hfi_inspect_update_theap(theap, true, now);
    hfi_inspect_update_node(taken == NULL ? theap->node : hfi_node_of_page(taken));
    return now;
}

static void show_thread(struct theap *theap, bool in_use)
{
    struct hf_inspect_segment *segment = hfi_load_acquire(&hfi_shown()->xsegment);
    if (segment == NULL)
        return;
    hfi_inspect_update_theap(theap, in_use, hfi_os_ticks());
    hfi_arena_show(theap->node);
    HFI_SHOW(segment->theap_count, hfi_theaps_made());
}

void hfi_inspect_attach(struct theap *theap)
{
    if (hfi_options.inspect)
        theap->thread_id = hfi_os_thread_id();
    show_thread(theap, true);
}

void hfi_inspect_detach(struct theap *theap)
{
    show_thread(theap, false);
}

void hfi_inspect_forked(bool call_may_go_on)
{
    struct shown *shown = hfi_shown(); /* wiped, or where the kernel cannot do that as it was */
    hfi_store_relaxed(&shown->xsegment, NULL);
    hfi_store_relaxed(&shown->xpages, NULL);
    hfi_store_relaxed(&shown->xnodes, NULL);
    hfi_store_relaxed(&shown->xheaps, NULL);
    hfi_segment_drop(call_may_go_on);
    was_shown = is_shown;
    is_shown = false;
    hfi_store_relaxed(&xpublishing, false);
    hfi_inspect_forget_events();
    hfi_inspect_forget_figures();
    hfi_latency_forget();
}

void hfi_inspect_took_over(void)
{
    took_over = true;
}

void hfi_inspect_child(void)
{
    if (hfi_options.inspect_children && (was_shown || !hfi_arena.reservation.growing))
        publish(true);
}
