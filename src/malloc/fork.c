/*
 * fork: see fork.h; doc/protocols.md ("Fork").
 *
 * Where the process had one thread, the child has all that its parent had, as it was: nothing is to
 * be done.  Else it looks at owners[] of all pages ever used, and lets go of each page whose owner
 * is gone.  So that memory can be used.  Pages of threads that vanish with the fork stand as they
 * were, perhaps in the middle of a call.  Their lists are not followed (F3).
 *
 * F1: the forking thread's own pages are whole: it was in fork, not in malloc.
 * F2: no state waits for a vanished thread: there are no locks.  If that thread was setting the arena
 *     up (dlopen), the child's first call sets up another.
 * F3: the kernel copies pinned memory at the fork, page by page, while the other threads go on.
 *     What lies in the arena is then of an earlier moment than the page table, which is not pinned.
 *     Direct I/O and a reader in another process pin for a moment, which nothing tells.  So the
 *     child of a process with threads trusts the page table alone.  It follows no list of blocks
 *     that another thread may have changed, and gives up its theap.
 *
 * F4: until the child has taken over, no thread but the forking one uses the arena.  Handlers run in
 *     the order in which they were registered: another library's may start a thread before ours
 *     runs.  Such a thread has no theap, asks hfi_fork_is_pending, and does without.
 *     The forking thread itself takes over at once where a handler before ours makes it need a page.
 *     Ours then finds that done.
 *
 * F5: handlers that prepare a fork run in the reverse order.  One that runs after ours may start the
 *     first other thread.  Such a thread shows in the number of theaps that were given out since.
 *
 * F6: of a page without an owner the child knows its free blocks as little (F3).  So the forking thread
 *     returns what it freed for others, and takes idle pages, before the fork.
 *
 * A thread that ended before without its hooks (exit(2) called directly) is none that vanishes.
 * Its pages stay its own, in the child as in the parent, until a thread that finds nothing else
 * steals them.
 *
 * The walk reads 8 bytes per page ever used, and writes the entry of each page in use, which the
 * kernel copies for the child.  It costs the parent a look at /proc/self/task for its threads.
 * A process with one thread pays neither.
 *
 * The first fork on huge pages of a pool warns where the pool could not copy the arena (HF-W007).
 * Where it could, HOLDFAST_VERBOSE=1 says so (HF-I007).  The first fork of a forked child warns
 * again where the pool is too small.  The kernel then takes pages from that child as readily as
 * from its own.  vfork and posix_spawn run no handlers, and cost nothing.
 *
 * Tests: tests/programs/fork.c, tests/programs/fork-direct.c, tests/programs/fork-first-thread.c,
 * tests/programs/fork-full.c, tests/programs/fork-generations.c, tests/programs/fork-handlers.c,
 * tests/programs/fork-pressure.c, tests/programs/fork-pool.c, tests/programs/fork-signal.c,
 * tests/programs/fork-steps.c, tests/programs/fork-warning.c, tests/programs/late.c,
 * tests/programs/uring.c, tests/unit/fork.c.
 */
#include "malloc/fork.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/single_threaded.h>
#include <unistd.h>

#include "app/buffers.h"
#include "app/events.h"
#include "app/inspect.h"
#include "base/check.h"
#include "base/descriptor.h"
#include "base/outlet.h"
#include "kernel/os.h"
#include "kernel/machine.h"
#include "kernel/cpu.h"
#include "arena/prefault.h"
#include "base/say.h"
#include "base/sys.h"
#include "heap/theaps.h"
#include "heap/aside.h"
#include "heap/heap.h"
#include "heap/heap-checked.h"
#include "heap/budget.h"
#include "heap/magazine.h"
#include "malloc/thread.h"
#include "malloc/use.h"
#include "arena/arena.h"
#include "heap/page.h"
#include "heap/steal.h"
#include "heap/theap.h"
#include "heap/zone.h"

/* The stretches of a node that were ever used.  Each begins at the head of a run, if a run lies
 * there.  Once the two have met they are one: a later run may lie across the place where they
 * met. */
struct used_pages {
    unsigned count;
    size_t first[2], end[2];
};

static struct used_pages used_pages(const struct arena_node *node)
{
    size_t first = node->first_index, end = first + node->page_count;
    size_t low = hfi_load_relaxed(&node->xlow_used), high = hfi_load_relaxed(&node->xhigh_used);
    if (low >= high)
        return (struct used_pages){ 1, { first }, { end } };
    return (struct used_pages){ 2, { first, first + high }, { first + low, end } };
}

/* F3: what is in use by the page table is not free, should the map say so. */
static void claim_used(struct arena_node *node, size_t index, size_t end)
{
    while (index < end) {
        struct page *page = hfi_page_at(index);
        uintptr_t owner = hfi_load_relaxed(hfi_owner_at(index));
        bool head = owner >= HFI_OWNER_META && page->run_pages != 0;
        if (owner == HFI_OWNER_INTERIOR) /* of no head: its claimer has vanished */
            hfi_owner_torn(index);
        for (size_t i = 0; head && i < page->run_pages; i++)
            hfi_runmap_claim_at(hfi_arena_map_of(node, index - node->first_index + i),
                                index - node->first_index + i, 1);
        index += head ? page->run_pages : 1;
    }
}

/* `self`: the theap that the forking thread had, whose blocks it linked itself. */
static void let_go_of_pages(size_t index, size_t end, const struct theap *self)
{
    for (; index < end; index++) {
        uintptr_t owner = hfi_load_relaxed(hfi_owner_at(index));
        if (owner == HFI_OWNER_HEAP)
            hfi_pieces_inherit(hfi_page_at(index));
        else if (owner >= HFI_OWNER_ENDED)
            hfi_page_let_go_in_child(hfi_page_at(index), owner == (uintptr_t)self);
    }
}

static void node_let_go(struct arena_node *node, const struct theap *self)
{
    struct used_pages used = used_pages(node);
    for (unsigned i = 0; i < used.count; i++)
        claim_used(node, used.first[i], used.end[i]);
    hfi_runmap_mend(&node->free_runs);
    if (hfi_arena.reservation.growing)
        hfi_runmap_mend(&node->refused);
    if (node->reserve_count != 0)
        hfi_runmap_mend(&node->reserve_runs);
    hfi_level_follow(node);
    for (unsigned i = 0; i < used.count; i++)
        let_go_of_pages(used.first[i], used.end[i], self);
}

static _Atomic(bool) xthreaded;  /* atomic: there were other threads at the last fork */
static _Atomic(uint32_t) xgiven; /* atomic: theaps that threads had been given then */

_Atomic(uint32_t) hfi_xforks_under_way;
static HFI_TLS uint32_t forks_begun; /* of these, this thread's own: a child has no others */
static HFI_TLS bool gathered;        /* for the fork that it began: lets go behind it (F6) */

/* A word that each child finds wiped: it has yet to take over.  NULL: the kernel cannot wipe. */
static _Atomic(_Atomic(uint32_t) *) xwhole; /* atomic: const once the arena stands */

/* atomic: the process that set the word.  An emulator may grant the advice and not wipe. */
static _Atomic(pid_t) xwhole_pid;

static bool is_whole(void)
{
    _Atomic(uint32_t) *whole = hfi_load_acquire(&xwhole); /* pairs with hfi_fork_init */
    return whole == NULL || hfi_load_acquire(whole) != 0; /* pairs with become_whole */
}

static void become_whole(void)
{
    _Atomic(uint32_t) *whole = hfi_load_acquire(&xwhole);
    if (whole == NULL)
        return;
    hfi_store_relaxed(&xwhole_pid, (pid_t)hfi_sys_process());
    hfi_store_release(whole, 1);
}

bool hfi_fork_is_wiped(void)
{
    return !is_whole();
}

/* What threads that are gone held, and what this one did, goes to who wants it. */
static void child_take_over(void)
{
    struct theap *self = hfi_theap;
    if (self->thread != 0)
        hfi_thread_forget(); /* a stealer may have had its lists in hand */
    hfi_theaps_forsake(self->thread != 0 ? self : NULL);
    hfi_pieces_forked();
    hfi_zones_forked();
    hfi_checked_forked();
    hfi_heaps_forked();
    hfi_use_forked();
    for (unsigned i = 0; i < hfi_arena.node_count; i++)
        node_let_go(&hfi_arena.nodes[i], self);
    if (self->thread != 0)
        hfi_magazines_return(self, false); /* what is loaded; the lists went before the fork */
    hfi_theaps_recycle();
    hfi_aside_forked();
    hfi_inspect_took_over();
}

static _Atomic(bool) xtold; /* atomic: in the child it stays as it was, or begins anew */
static bool copied;         /* written in a child before it goes on: no page is reserved for it */

static void warn_of_copies(const struct reserved_node *node, const struct os_huge_pool *pool, bool known,
                           size_t pages, const char *page)
{
    char mend[160] = "";
    if (pool->bounded)
        snprintf(mend, sizeof mend, "raise the cgroup's limit of huge pages (hugetlb.*.max), ");
    else if (known)
        snprintf(mend, sizeof mend, "echo %llu > %s, ",
                 (unsigned long long)(pool->total_pages + pages - pool->free_pages), pool->path);
    hfi_say(SAY_WARNING, "HF-W007", "fork",
            "node %u: after this fork the first write to a huge page, of parent or child, copies %s from the "
            "pool: %zu pages at most, the pool has %llu free, and when it has none, the child is killed%s; "
            "%sstart programs by posix_spawn or vfork, or set HOLDFAST_BACKING=thp",
            node->id, page, pages, (unsigned long long)pool->free_pages,
            copied ? ", or this process, a forked child itself" : "", mend);
}

/* What is not in use yet counts as well: parent and child may both come to use it. */
static void tell_of_copies(const struct reserved_node *node)
{
    struct os_huge_pool pool = { .free_pages = 0 };
    char page[16];
    size_t pages = hfi_divide_up(node->bytes, node->os_page_bytes);
    hfi_format_bytes(page, sizeof page, node->os_page_bytes);
    bool known = hfi_os_huge_pool(&pool, node->id, hfi_arena.node_count == 1, node->os_page_bytes);
    unsigned long long children = pool.free_pages / pages;
    if (children == 0)
        warn_of_copies(node, &pool, known, pages, page);
    else if (!copied)
        hfi_say(SAY_INFO, "HF-I007", "fork",
                "node %u: after this fork the first write to a huge page, of parent or child, copies %s from "
                "the pool: %zu pages at most, the pool has %llu free, enough for %llu child%s at a time",
                node->id, page, pages, (unsigned long long)pool.free_pages, children,
                children == 1 ? "" : "ren");
}

static bool is_on_pool(const struct reserved_node *node)
{
    return node->backing == BACKING_1G || node->backing == BACKING_2M;
}

static void tell_once(void)
{
    bool told = false;
    if (!hfi_cas_acq_rel(&xtold, &told, true))
        return;
    for (unsigned i = 0; i < hfi_arena.node_count; i++)
        if (is_on_pool(&hfi_arena.reservation.nodes[i]))
            tell_of_copies(&hfi_arena.reservation.nodes[i]);
}

/* Huge pages stay reserved for the parent: of a child that forks in turn, the kernel may take
 * any. */
static void tell_again(void)
{
    copied = true;
    hfi_store_relaxed(&xtold, false); /* one thread */
}

/* The child of HOLDFAST_FORK=dontfork has no arena.  No pointer is in it from the first line on. */
static void forsake_arena(void)
{
    hfi_span = 0;
    hfi_use_forsake();
    hfi_aside_forsake();
    hfi_thread_forget();
    hfi_theaps_forsake(NULL);
    hfi_heaps_forsake();
    hfi_zones_forsake();
    hfi_arena_forsake();
}

/* Where this thread itself is setting the arena up, and a signal handler has forked, it goes on. */
static void child_without_arena(void)
{
    bool begins_anew = hfi_arena_unmake();
    hfi_inspect_forked(!begins_anew);
    if (begins_anew) {
        hfi_prefault_abandon();
        hfi_outlet_forked();
    } else {
        hfi_prefault_forked(false);
    }
}

/* F5 */
static bool had_other_threads(void)
{
    return hfi_load_relaxed(&xthreaded) || hfi_load_relaxed(&xgiven) != hfi_theaps_given();
}

static void child_begin(void)
{
    bool threaded = had_other_threads();
    if (!hfi_arena_is_standing()) {
        child_without_arena();
        return;
    }
    hfi_buffers_forked();
    hfi_inspect_forked(!threaded);
    if (hfi_options.fork == FORK_DONTFORK) {
        forsake_arena();
        return;
    }
    hfi_prefault_forked(threaded);
    hfi_arena_forked();
    if (threaded)
        child_take_over();
    else if (hfi_theap->thread != 0)
        hfi_inspect_attach(hfi_theap); /* by a new thread id */
    tell_again();
    hfi_inspect_child();
}

void hfi_fork_take_over(void)
{
    hfi_assert(hfi_fork_is_pending() && hfi_theap->thread != 0);
    child_begin();
    become_whole();
}

/* A library that was loaded by a handler has not begun. */
static void end_own_fork(void)
{
    if (forks_begun != 0)
        forks_begun--;
}

/* By F4, or in a fork inside of this one's handlers. */
static bool has_taken_over(void)
{
    return hfi_load_relaxed(&xwhole) != NULL && is_whole() &&
           hfi_load_relaxed(&xwhole_pid) == (pid_t)hfi_sys_process();
}

static void child_after_fork(void)
{
    hfi_descriptor_in_child();
    if (!has_taken_over())
        child_begin();
    become_whole();
    gathered = false; /* with the theap */
    end_own_fork();
    hfi_store_release(&hfi_xforks_under_way, forks_begun); /* pairs with hfi_fork_is_pending */
}

static bool may_have_other_threads(void)
{
    static _Atomic(bool) xsaid;
    if (__libc_single_threaded) /* never true again in a child whose parent had threads */
        return false;
    bool known, others = hfi_os_may_have_other_threads(&known);
    if (!known && hfi_first_time(&xsaid))
        hfi_say(SAY_WARNING, "HF-W020", "fork",
                "/proc/self/task does not tell how many threads there are: children of forks do without what "
                "other threads, should there be any, have free; mount /proc");
    return others;
}

/* The C library itself uses the heap in the child, before any handler, once it has seen a second
 * thread.  The advice is not lifted then: that would lift the program's own as well, for memory it
 * does RDMA with. */
static void warn_of_threads(void)
{
    static _Atomic(bool) xsaid;
    if (!__libc_single_threaded && hfi_first_time(&xsaid))
        hfi_say(
            SAY_WARNING, "HF-W021", "fork",
            "HOLDFAST_FORK=dontfork in a process that has, or had, threads: the C library touches "
            "open streams and other blocks in each child of fork, which ends by SIGSEGV where it has any; "
            "start programs by posix_spawn or vfork, or unset HOLDFAST_FORK");
}

#define GATHERED_MAX 256u /* pages: bounds the work, and what other threads do without for the moment */

/* Takes idle pages of a class, `*left` at most, which is lowered. */
static void gather_class(struct theap *self, unsigned class, uint32_t *left)
{
    for (; *left != 0; *left -= 1) {
        struct page *page = hfi_claim_ample(NULL, self->node, class, HFI_CLAIM_CANDIDATES);
        if (page == NULL)
            page = hfi_claim_scant(NULL, self->node, class, HFI_CLAIM_CANDIDATES);
        if (page == NULL)
            return;
        hfi_theap_adopt(self, page);
    }
}

/* F6.  Not within a call of the heap, where a signal handler may fork.  Where memory is short other
 * threads need what is idle. */
static void gather_free(void)
{
    struct theap *self = hfi_theap;
    uint32_t left = GATHERED_MAX;
    if (self->thread == 0 || hfi_load_relaxed(&self->xbusy) != 0)
        return;
    gathered = true;
    hfi_theap_enter(self);
    if (hfi_theap_has_lists(self) && !hfi_node_is_tight(self->node)) {
        hfi_magazines_return_lists(self);
        hfi_theap_give_back(self); /* full pages that others freed into are idle then */
        for (unsigned class = 0; class < HFI_CLASS_COUNT; class ++)
            gather_class(self, class, &left);
    }
    hfi_theap_leave(self);
}

/* In the parent: what is more than the theap keeps is there for others again. */
static void let_go_of_gathered(void)
{
    struct theap *self = hfi_theap;
    if (!gathered)
        return;
    gathered = false;
    hfi_assert(self->thread != 0 && hfi_load_relaxed(&self->xbusy) == 0);
    hfi_theap_enter(self);
    for (unsigned class = 0; class < HFI_CLASS_COUNT && hfi_theap_has_lists(self); class ++)
        while (self->classes[class].partial.count != 0 && !hfi_theap_wants(self, class))
            hfi_theap_let_go(self, self->classes[class].partial.first);
    hfi_theap_leave(self);
}

/* No thread is cancelled here: what other handlers have locked is unlocked behind the fork. */
static void before_fork(void)
{
    int cancel;
    bool was_whole = is_whole();
    hfi_descriptor_forking();
    if (hfi_load_acquire(&hfi_xforks_under_way) == 0) /* pairs with child_after_fork */
        become_whole();                               /* a child of clone or _Fork is wiped, too */
    forks_begun++;
    hfi_fetch_add_acq_rel(&hfi_xforks_under_way, 1); /* pairs with hfi_fork_is_pending */
    if (!hfi_arena_is_standing()) {
        hfi_store_relaxed(&xthreaded, true); /* it may stand in the child, by another thread */
        return;
    }
    hfi_inspect_forking();
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    if (hfi_options.fork == FORK_DONTFORK) {
        warn_of_threads();
    } else {
        /* a child that has yet to take over has its own answer still to come */
        bool threaded = may_have_other_threads() || (!was_whole && hfi_load_relaxed(&xthreaded));
        hfi_store_relaxed(&xgiven, hfi_theaps_given());
        hfi_store_relaxed(&xthreaded, threaded);
        if (threaded && was_whole)
            gather_free();
        tell_once();
    }
    pthread_setcancelstate(cancel, NULL);
}

/* The count may be 0: a child that takes over meanwhile sets it, and does not know of this fork. */
static void parent_after_fork(void)
{
    let_go_of_gathered();
    hfi_descriptor_forked();
    end_own_fork();
    uint32_t forks = hfi_load_relaxed(&hfi_xforks_under_way);
    while (forks != 0 && !hfi_cas_weak_relaxed(&hfi_xforks_under_way, &forks, forks - 1))
        ;
}

static bool unwatched; /* const after hfi_fork_watch */

void hfi_fork_watch(void)
{
    static _Atomic(bool) xonce;
    if (hfi_first_time(&xonce))
        unwatched = pthread_atfork(before_fork, parent_after_fork, child_after_fork) != 0;
}

void hfi_fork_init(void)
{
    if (hfi_load_relaxed(&xwhole) == NULL)
        hfi_store_release(&xwhole, hfi_os_map_wiped(sizeof(_Atomic(uint32_t))));
    become_whole();
    if (hfi_options.fork == FORK_DONTFORK)
        for (unsigned i = 0; i < hfi_arena.node_count; i++) {
            const struct reserved_node *node = &hfi_arena.reservation.nodes[i];
            int error = hfi_os_dontfork(node->start, node->bytes);
            if (error != 0)
                hfi_say(SAY_WARNING, "HF-W004", "fork",
                        "the kernel refused MADV_DONTFORK (error %d): children will "
                        "share the arena copy-on-write; unset HOLDFAST_FORK",
                        -error);
        }
    if (unwatched)
        hfi_say(SAY_WARNING, "HF-W005", "fork",
                "pthread_atfork failed: memory of other threads is lost to forked "
                "children; raise the process's memory limit");
}
