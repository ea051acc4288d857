/*
 * init: see init.h.
 *
 * IN1: the arena is set up once, by the first thread that calls malloc.  boot.h serves the calls
 *      that come meanwhile: of that thread inside hwloc, or, in theory, of another.
 * IN2: hfi_span is stored last: until then no pointer is in the arena.
 * IN3: the thread that sets the arena up cannot be cancelled meanwhile: hwloc calls cancellation
 *      points.
 * IN4: the library is never unmapped (-z nodelete): hooks of threads, forks and theaps lead into it.
 * IN5: handlers of fork are registered before: a child that is forked while another thread sets the
 *      arena up begins anew.  So each step of init_arena may come twice in a process.
 *
 * Tests: tests/programs/early.c, tests/programs/cancel.c, tests/programs/late.c.
 */
#include "malloc/init.h"

#include <errno.h>
#include <pthread.h>
#include <sysexits.h>
#include <unistd.h>

#include "app/buffers.h"
#include "malloc/fork.h"
#include "heap/harden.h"
#include "app/inspect.h"
#include "kernel/os.h"
#include "base/outlet.h"
#include "arena/prefault.h"
#include "base/say.h"
#include "heap/steal.h"
#include "malloc/thread.h"
#include "numa/topology.h"
#include "arena/arena.h"
#include "arena/reserve.h"
#include "heap/theap.h"

static void say_arena(const struct reservation *reservation)
{
    char bytes[16];
    for (unsigned i = 0; i < reservation->node_count; i++) {
        const struct reserved_node *node = &reservation->nodes[i];
        hfi_say(SAY_INFO, "HF-I001", "arena", "node %u: %s at %p on %s pages, %s, %s", node->id,
                hfi_format_bytes(bytes, sizeof bytes, node->bytes), (void *)node->start,
                hfi_backing_name(node->backing),
                reservation->growing                   ? "populated in steps"
                : hfi_prefault_closed_bytes(i) != 0    ? "being populated"
                : node->populated_bytes == node->bytes ? "populated"
                                                       : "not populated",
                node->locked ? "locked" : "not locked");
    }
}

static void say_topology(int error)
{
    if (error == -EPERM)
        hfi_say(SAY_WARNING, "HF-W019", "topology",
                "a program with privileges that its caller has not (AT_SECURE), and with threads, "
                "does not ask hwloc, which reads the caller's environment: using node 0 alone, unbound; load "
                "Holdfast before the "
                "first thread");
    else if (error == -EDEADLK)
        hfi_say(
            SAY_WARNING, "HF-W022", "topology",
            "this process was forked while another thread loaded Holdfast and asked hwloc, whose locks may "
            "be held for ever: using node 0 alone, unbound; load Holdfast before the first thread");
    else if (error != 0)
        hfi_say(SAY_WARNING, "HF-W002", "topology",
                "hwloc gave no answer (error %d): using node 0 alone, unbound; "
                "check that /sys is mounted, or set HOLDFAST_STRICT=1 to stop here",
                -error);
}

static void init_arena(void)
{
    static struct topology topology;
    static struct reservation reservation;
    hfi_outlet_remember(); /* before anything is said */
    hfi_options_read(&hfi_options);
    hfi_say_set_verbose(hfi_options.verbose);
    if (hfi_options.strict && hfi_options.errors != 0)
        _exit(EX_CONFIG);
    hfi_steal_init(); /* before there are threads of the kernel's: then it would take some ms */
    bool quick = hfi_options.arena == ARENA_AUTO;
    int error = hfi_topology_load(&topology, quick);
    say_topology(error);
    if (error != 0 && hfi_options.strict)
        _exit(EX_CONFIG);
    if (hfi_reserve(&reservation, &hfi_options, &topology) != 0)
        _exit(EX_CONFIG);
    hfi_sizeclass_init();
    error = hfi_arena_init(&reservation);
    if (error == -ENOSPC)
        hfi_die("HF-E003", "arena",
                "the arena is too small to hold its own maps; raise HOLDFAST_ARENA to at least 4M per node");
    if (error != 0)
        hfi_die(
            "HF-E017", "arena",
            "the kernel refused to open the arena's maps (%s); raise the limit on data (ulimit -d), or with "
            "vm.overcommit_memory=2 vm.overcommit_ratio",
            hfi_os_error_name(error));
    if (hfi_harden_init() != 0)
        hfi_die("HF-E004", "harden",
                "no memory for the live bits of the secure build; raise the memory limit");
    say_arena(&reservation);
    hfi_psi_begin(reservation.growing);
}

static bool init_once(void)
{
    int cancel;
    if (hfi_arena_is_standing())
        return true;
    hfi_fork_watch(); /* IN5 */
    if (!hfi_arena_begin())
        return hfi_arena_is_standing(); /* pthread_atfork may have called malloc, and that this function */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel); /* IN3 */
    init_arena();
    hfi_thread_init();
    hfi_buffers_init();
    hfi_fork_init();
    hfi_inspect_init();
    hfi_prefault_start();
    hfi_arena_stand();
    pthread_setcancelstate(cancel, NULL); /* last: an asynchronous cancellation ends the thread here */
    return true;
}

struct theap *hfi_init_thread_anew(void)
{
    if (hfi_unlikely(hfi_fork_is_pending())) {
        if (hfi_theap->thread == 0)
            return NULL;
        hfi_fork_take_over();
    }
    if (hfi_theap->thread != 0)
        return hfi_theap;
    return init_once() ? hfi_thread_attach() : NULL;
}
