/*
 * thread: see thread.h.
 *
 * D1: a thread's theap is let go by a pthread key destructor.  Where all keys are taken, it is let
 *     go by the list of destructors that the C library has for C++'s thread_local.  They run before
 *     those of keys.  Allocation by a later destructor attaches a new theap for that call alone
 *     (hfi_thread_served): the C library calls no destructor for ever.  A free attaches none.  A
 *     thread that cannot be armed gets no theap: nobody would let go of its pages.  To enter that
 *     list takes the loader's lock, which another thread may hold (list_thread).
 *
 * Tests: tests/programs/threads.c, tests/programs/nth-page.c, tests/programs/keys.c.
 */
#include "malloc/thread.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "app/inspect.h"
#include "heap/aside.h"
#include "heap/heap.h"
#include "heap/magazine.h"
#include "kernel/cpu.h"
#include "base/probe.h"
#include "base/say.h"
#include "malloc/use.h"
#include "heap/theaps.h"
#include "arena/arena.h"

static pthread_key_t thread_key;
static bool has_key; /* const after hfi_thread_init */
static HFI_TLS bool thread_exited;
static HFI_TLS bool thread_listed; /* without a key: the C library calls thread_exit when the thread ends */

/* The C library's, for C++'s thread_local: calls `end` with `argument` when the calling thread
 * ends, or calls exit.  `library` is any address in the library that `end` lies in. */
extern int __cxa_thread_atexit_impl(void (*end)(void *), void *argument, void *library);

#define LISTED_BYTES 32 /* of an entry of that list, which it gets from calloc */

/* What was its own is another thread's soon.  The key keeps its value, which thread_exit does not
 * believe: past the 32nd key the C library has that in a block, which a child of dontfork has not. */
void hfi_thread_forget(void)
{
    hfi_theap = &hfi_empty_theap;
    hfi_theap_withhold(hfi_theap);
}

static void thread_detach(struct theap *theap)
{
    hfi_heap_park(&hfi_hold);
    hfi_thread_forget();
    hfi_inspect_detach(theap);
    hfi_theap_enter(theap);
    hfi_magazines_return(theap, hfi_theap_has_lists(theap));
    hfi_theap_leave(theap);
    if (hfi_theap_part(theap))
        hfi_magazine_end_theap(theap);
}

/* The argument is not believed.  A forked child may have forgotten the theap that this thread had
 * then, and a library in a namespace of its own (dlmopen) numbers its keys as ours are. */
static void thread_exit(void *unused)
{
    (void)unused;
    thread_exited = true;
    hfi_use_end();
    hfi_aside_end_all();
    if (hfi_theap->thread == 0)
        return;
    HFI_PROBE1(thread_exit, hfi_theap->index);
    thread_detach(hfi_theap);
}

/* glibc ends the program when its calloc has no memory for the entry.  So a block is freed first
 * for it, in the page that calloc takes from, beside one in use: the page stays this thread's.
 * Where dlopen brought the library, malloc and calloc are not ours.
 *
 * glibc holds the loader's lock meanwhile, as dlopen does while constructors run: one of them that
 * waits for this thread waits for ever.  A theap for each call instead would spare that, and make
 * every call slow. */
static bool list_thread(void)
{
    if (thread_listed)
        return true;
    void *held = malloc(LISTED_BYTES), *entry = malloc(LISTED_BYTES);
    bool both = held != NULL && entry != NULL;
    free(entry);
    const struct page_front *front = hfi_direct[hfi_divide_up(LISTED_BYTES, HFI_MAX_ALIGN)];
    if (both && (!hfi_in_arena(held) || front->free != NULL || front->local_free != NULL))
        thread_listed = __cxa_thread_atexit_impl(thread_exit, NULL, &thread_key) == 0;
    free(held);
    return thread_listed;
}

/* Sees to it that the end of this thread lets its theap go (D1). */
static bool arm_thread(struct theap *theap)
{
    return has_key ? pthread_setspecific(thread_key, theap) == 0 : list_thread();
}

void hfi_thread_init(void)
{
    if (has_key) /* by the thread that hfi_arena_unmake is about */
        return;
    has_key = pthread_key_create(&thread_key, thread_exit) == 0;
    if (!has_key)
        hfi_say(SAY_WARNING, "HF-W018", "thread",
                "all %d keys of pthread_key_create are taken: the end of a thread is noticed with its "
                "thread_local objects, before the destructors of other keys, which allocate slowly then; "
                "load Holdfast before what takes "
                "the keys",
                PTHREAD_KEYS_MAX);
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
    hfi_assert(hfi_arena_is_standing());
    struct arena_node *home = first_home();
    const uint8_t *nearest = hfi_arena.reservation.nodes[home->index].nearest;
    struct theap *theap = NULL;
    for (unsigned i = 0; theap == NULL && i < hfi_arena.node_count; i++)
        theap = hfi_theap_new(&hfi_arena.nodes[nearest[i]]);
    if (theap == NULL)
        return NULL;
    if (theap->node != home)
        hfi_theap_move(theap, home); /* its own memory is elsewhere, what it hands out need not be */
    hfi_theap = theap;               /* before it is armed, which may allocate */
    if (hfi_use_handle == NULL)
        hfi_theap_offer(theap);
    else
        hfi_theap_withhold(theap);
    if (!thread_exited && !arm_thread(theap)) {
        thread_detach(theap);
        return NULL;
    }
    hfi_inspect_attach(theap);
    return theap;
}
