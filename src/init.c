/*
 * init: see init.h.
 *
 * I1: the arena is set up once, by the first thread that calls malloc; whoever comes
 *     meanwhile (that thread inside hwloc, or, in theory, another) is served by boot.h.
 * I2: hfi_span is stored last: until then no pointer is in the arena.
 * I3: a thread's theap is let go by a pthread key destructor.  Where all keys are taken, it is let go by the list of
 *     destructors that the C library keeps for C++'s thread_local; they run before those of keys.  Allocation by a later
 *     destructor attaches a new theap for that call alone (hfi_thread_served): the C library calls no destructor for
 *     ever; a free does not.  A thread that cannot be armed gets no theap: nobody would let go of its pages.
 *     To enter that list takes the loader's lock, which another thread may hold (list_thread).
 * I4: the thread that sets the arena up cannot be cancelled meanwhile: hwloc calls cancellation points.
 * I5: the library is never unmapped (-z nodelete): hooks of threads, forks and theaps lead into it.
 *
 * Tests: tests/programs/early.c, tests/programs/threads.c, tests/programs/nth-page.c,
 *        tests/programs/cancel.c, tests/programs/late.c, tests/programs/keys.c.
 */
#include "init.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "buffers.h"
#include "fork.h"
#include "harden.h"
#include "inspect.h"
#include "magazine.h"
#include "os.h"
#include "outlet.h"
#include "prefault.h"
#include "probe.h"
#include "say.h"
#include "steal.h"
#include "topology.h"

enum { INIT_NONE, INIT_RUNNING, INIT_READY, INIT_FORSAKEN };

static _Atomic(int) xstate;
static pthread_key_t thread_key;
static bool has_key; /* const after init_once */
static HFI_TLS bool thread_exited;
static HFI_TLS bool thread_listed; /* without a key: the C library calls list_exit when the thread ends */

/* The C library's, for C++'s thread_local: calls `end` with `argument` when the calling thread ends, or calls exit.
 * `library` is any address in the library that `end` lies in. */
extern int __cxa_thread_atexit_impl(void (*end)(void *), void *argument, void *library);

#define LISTED_BYTES 32 /* of an entry of that list, which it gets from calloc */

/* From here on the thread has no theap, and nothing that leads to one: what was its own is another thread's soon. */
static void leave_theap(void)
{
    hfi_theap = &hfi_empty_theap;
    for (unsigned i = 0; i < HFI_DIRECT_COUNT; i++)
        hfi_direct[i] = &hfi_empty_page;
}

static void thread_detach(struct theap *theap)
{
    leave_theap();
    hfi_inspect_detach(theap);
    hfi_theap_enter(theap);
    hfi_magazines_return(theap, theap->lists_ours);
    hfi_theap_leave(theap);
    if (hfi_theap_part(theap))
        hfi_magazine_end_theap(theap);
}

static void thread_exit(void *theap)
{
    thread_exited = true;
    HFI_PROBE1(thread_exit, ((struct theap *)theap)->index);
    thread_detach(theap);
}

static void list_exit(void *unused)
{
    (void)unused; /* a forked child may have forgotten the theap that this thread had when it was listed */
    if (hfi_theap->thread != 0)
        thread_exit(hfi_theap);
    thread_exited = true;
}

/* glibc ends the program when its calloc has no memory for the entry.  So a block is freed first for it, in the page
 * that calloc takes from, beside one in use: the page stays this thread's.  Where dlopen brought the library,
 * malloc and calloc are not ours.
 *
 * glibc holds the loader's lock meanwhile, as dlopen does while constructors run: one of them that waits for
 * this thread waits for ever.  A theap for each call instead would spare that, and make every call slow. */
static bool list_thread(void)
{
    if (thread_listed)
        return true;
    void *held = malloc(LISTED_BYTES), *entry = malloc(LISTED_BYTES);
    bool both = held != NULL && entry != NULL;
    free(entry);
    const struct page *page = hfi_direct[hfi_divide_up(LISTED_BYTES, HFI_MAX_ALIGN)];
    if (both && (!hfi_in_arena(held) || page->free != NULL || page->local_free != NULL))
        thread_listed = __cxa_thread_atexit_impl(list_exit, NULL, &thread_key) == 0;
    free(held);
    return thread_listed;
}

/* Sees to it that the end of this thread lets its theap go (I3). */
static bool arm_thread(struct theap *theap)
{
    return has_key ? pthread_setspecific(thread_key, theap) == 0 : list_thread();
}

static void make_key(void)
{
    has_key = pthread_key_create(&thread_key, thread_exit) == 0;
    if (!has_key)
        hfi_say(SAY_WARNING, "HF-W018", "thread", "all %d keys of pthread_key_create are taken: the end of a thread is noticed with its "
                "thread_local objects, before the destructors of other keys, which allocate slowly then; load Holdfast before what takes "
                "the keys", PTHREAD_KEYS_MAX);
}

void hfi_thread_forget(void)
{
    if (has_key)
        pthread_setspecific(thread_key, NULL);
    leave_theap();
}

static void say_arena(const struct reservation *reservation)
{
    char bytes[16];
    for (unsigned i = 0; i < reservation->node_count; i++) {
        const struct reserved_node *node = &reservation->nodes[i];
        hfi_say(SAY_INFO, "HF-I001", "arena", "node %u: %s at %p on %s pages, %s, %s", node->id,
                hfi_format_bytes(bytes, sizeof bytes, node->bytes), (void *)node->start,
                hfi_backing_name(node->backing),
                reservation->growing                    ? "populated in steps"
                : hfi_prefault_closed_bytes(i) != 0     ? "being populated"
                : node->populated_bytes == node->bytes ? "populated"
                                                       : "not populated",
                node->locked ? "locked" : "not locked");
    }
}

static void init_arena(void)
{
    static struct topology topology;
    static struct reservation reservation;
    hfi_outlet_remember(); /* before anything is said */
    hfi_options_read(&hfi_options);
    hfi_say_set_verbosity(hfi_options.verbose);
    if (hfi_options.strict && hfi_options.errors != 0)
        _exit(EX_CONFIG);
    hfi_steal_init(); /* before there are threads of the kernel's: then it would take some ms */
    bool quick = hfi_options.arena == ARENA_AUTO;
    int error = hfi_topology_load(&topology, quick);
    if (error == -EPERM)
        hfi_say(SAY_WARNING, "HF-W019", "topology", "a program with privileges that its caller has not (AT_SECURE), and with threads, "
                "does not ask hwloc, which reads the caller's environment: using node 0 alone, unbound; load Holdfast before the "
                "first thread");
    else if (error != 0)
        hfi_say(SAY_WARNING, "HF-W002", "topology", "hwloc gave no answer (error %d): using node 0 alone, unbound; "
                "check that /sys is mounted, or set HOLDFAST_STRICT=1 to stop here", -error);
    if (error != 0 && hfi_options.strict)
        _exit(EX_CONFIG);
    if (hfi_reserve(&reservation, &hfi_options, &topology) != 0)
        _exit(EX_CONFIG);
    hfi_sizeclass_init();
    error = hfi_arena_init(&reservation);
    if (error == -ENOSPC)
        hfi_die("HF-E003", "arena", "the arena is too small to hold its own maps; raise HOLDFAST_ARENA to at least 4M per node");
    if (error != 0)
        hfi_die("HF-E017", "arena",
                "the kernel refused to open the arena's maps (%s); raise the limit on data (ulimit -d), or with "
                "vm.overcommit_memory=2 vm.overcommit_ratio", hfi_os_error_name(error));
    if (hfi_harden_init() != 0)
        hfi_die("HF-E004", "harden", "no memory for the live bits of the secure build; raise the memory limit");
    say_arena(&reservation);
}

static bool init_once(void)
{
    int state = hfi_load_acquire(&xstate), cancel;
    if (state == INIT_READY)
        return true;
    if (state != INIT_NONE || !hfi_cas_acq_rel(&xstate, &state, INIT_RUNNING))
        return false;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel); /* I4 */
    init_arena();
    make_key();
    hfi_buffers_init();
    hfi_fork_init();
    hfi_inspect_init();
    hfi_prefault_start();
    hfi_store_release(&xstate, INIT_READY);
    pthread_setcancelstate(cancel, NULL); /* last: an asynchronous cancellation ends the thread here */
    return true;
}

bool hfi_init_pending(void)
{
    return hfi_load_acquire(&xstate) != INIT_READY;
}

void hfi_init_forsake_arena(void)
{
    hfi_span = 0;
    hfi_thread_forget();
    hfi_arena_forsake();
    hfi_theaps_forsake(NULL);
    hfi_store_release(&xstate, INIT_FORSAKEN);
}

bool hfi_thread_may_attach(void)
{
    return !thread_exited;
}

void hfi_thread_served(void)
{
    int saved_errno = errno;
    if (hfi_unlikely(thread_exited) && hfi_theap->thread != 0)
        thread_detach(hfi_theap);
    errno = saved_errno;
}

struct arena_node *hfi_thread_node(void)
{
    unsigned id = hfi_arena.node_count == 1 ? 0 : hfi_os_current_node();
    return &hfi_arena.nodes[id < HFI_MAX_NODES ? hfi_arena.reservation.home[id] : 0];
}

static struct arena_node *first_home(void)
{
    for (unsigned i = 0; i < hfi_arena.node_count && hfi_options.place == PLACE_NODE; i++)
        if (hfi_arena.nodes[i].id == hfi_options.place_node)
            return &hfi_arena.nodes[i];
    return hfi_options.place == PLACE_NODE ? &hfi_arena.nodes[0] : hfi_thread_node();
}

struct theap *hfi_thread_attach(void)
{
    if (hfi_theap->thread != 0)
        return hfi_theap;
    if (!init_once())
        return NULL;
    struct arena_node *home = first_home();
    const uint8_t *nearest = hfi_arena.reservation.nodes[home->index].nearest;
    struct theap *theap = NULL;
    for (unsigned i = 0; theap == NULL && i < hfi_arena.node_count; i++)
        theap = hfi_theap_new(&hfi_arena.nodes[nearest[i]]);
    if (theap == NULL)
        return NULL;
    if (theap->node != home)
        hfi_theap_move(theap, home); /* its own memory is elsewhere, what it hands out need not be */
    hfi_theap = theap; /* before it is armed, which may allocate */
    if (!thread_exited && !arm_thread(theap)) {
        thread_detach(theap);
        return NULL;
    }
    hfi_inspect_attach(theap);
    return theap;
}
