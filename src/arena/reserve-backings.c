/*
 * reserve-backings: the order of backings, from pools of huge pages down to small ones.
 *
 * V4: memory that a named arena reports as populated was touched by MADV_POPULATE_WRITE with no
 *     error, or will be before the arena gives it out (prefault.h).  So there is no later fault,
 *     and no SIGBUS from a huge page pool that was empty.
 *
 * A named arena's nodes walk the list of backings side by side: all are mapped, bound and locked,
 * then populated at the same time.  A node whose pool turns out to be refused tries its next
 * backing in the next round.
 *
 * Test: tests/unit/reserve.c.
 */
#include "arena/attempt.h"

#include <errno.h>
#include <stdio.h>

#include "kernel/cpu.h"
#include "kernel/os.h"
#include "numa/topology.h"

#define POOL_POLLS 50u
#define POOL_POLL_US 10000u

/* The kernel gives what it finds; where memory is fragmented that is less than was hoped. */
static void say_how_huge(const struct reserved_node *node)
{
    uint64_t huge = hfi_os_transparent_huge_bytes(node->start, node->bytes);
    if (huge < node->bytes / 10 * 9)
        hfi_say(SAY_WARNING, "HF-W222", "reserve",
                "node %u: of %s only %s are in transparent huge pages: memory is fragmented, or "
                "a limit keeps this process from more; run: echo 1 > /proc/sys/vm/compact_memory, and start "
                "again",
                node->id, hfi_bytes_text(node->bytes).text, hfi_bytes_text(huge).text);
}

/* Map, bind, advise and lock 4 KiB OS pages, which the kernel may gather to huge ones.  Locked
 * before they are populated, each as it comes: to lock them afterwards costs two more walks over
 * all of them. */
static bool map_small_pages(struct attempt *attempt, struct reserved_node *node, enum option_backing backing)
{
    enum option_lock lock = attempt->options->lock;
    node->backing = backing;
    node->os_page_bytes = HFI_SMALL_PAGE_BYTES;
    if (!hfi_fit_node(attempt, node))
        return false;
    int error = hfi_os_map(node->start, node->bytes, HFI_SMALL_PAGE_BYTES);
    if (error != 0) {
        hfi_say_no_space(node->bytes, error);
        return false;
    }
    node->bound = hfi_bind_range(attempt, node->start, node->bytes, node->id);
    hfi_advise_range(attempt, node, backing == BACKING_THP);
    if (lock == LOCK_YES || (lock == LOCK_AUTO && attempt->options->prefault != PREFAULT_NONE))
        node->locked = hfi_lock_range(attempt, node->start, node->bytes, true);
    return true;
}

/* After populating it: what there is, if that is enough for an arena. */
static bool keep_small_pages(struct attempt *attempt, struct reserved_node *node, int error, size_t done)
{
    if (hfi_os_is_refusal(error)) {
        hfi_degraded(attempt, "HF-W230", "HF-E230", "its first touches populate it", HFI_ALLOW_MADVISE,
                     "node %u: populating %s was refused (madvise: %s, and /dev/zero cannot be read)",
                     node->id, hfi_bytes_text(node->bytes).text, hfi_os_error_name(error));
        attempt->background = false;
        return true;
    }
    if (error != 0) {
        struct shortage shortage = { .error = error };
        char *end = node->start + node->bytes;
        shortage.available = hfi_os_available_bytes(&shortage.bound);
        hfi_os_unmap(node->start + done, node->bytes - done);
        if (!hfi_settle_for(attempt, node, hfi_plan_cut(done), &shortage))
            return false;
        hfi_os_unmap(node->start + node->bytes, (size_t)(end - node->start) - node->bytes);
    }
    if (attempt->options->prefault == PREFAULT_NONE)
        return true;
    node->populated_bytes = node->bytes;
    if (node->backing == BACKING_THP && !attempt->background && !attempt->said_unadvised)
        say_how_huge(node);
    return true;
}

/* What comes after a backing that is not to be had. */
static const char *next_backing(enum option_backing backing)
{
    switch (backing) {
    case BACKING_1G: return "trying 2m";
    case BACKING_2M: return hfi_os_has_thp() ? "using thp" : "using 4k";
    case BACKING_THP:
    case BACKING_4K:
    case BACKING_AUTO: break;
    }
    return "using 4k";
}

/* A pool that is short.  For `auto` that is worth a warning only where somebody made a pool. */
static void say_pool_short(const struct attempt *attempt, const struct reserved_node *node,
                           enum option_backing backing, const struct os_huge_pool *pool, uint64_t needed)
{
    char what[200], next[160];
    uint64_t missing = needed - hfi_min(needed, pool->free_pages);
    snprintf(what, sizeof what, "node %u: %s needs %llu huge pages of %s, %llu are free%s, %llu are missing",
             node->id, hfi_bytes_text(node->bytes).text, (unsigned long long)needed,
             hfi_backing_name(backing), (unsigned long long)pool->free_pages,
             pool->bounded ? " by the cgroup's limit" : "", (unsigned long long)missing);
    if (pool->bounded)
        snprintf(next, sizeof next, "raise the cgroup's limit of huge pages (hugetlb.*.max)");
    else
        snprintf(next, sizeof next, "run: echo %llu > %s", (unsigned long long)(pool->total_pages + missing),
                 pool->path);
    if (attempt->options->backing == backing)
        hfi_degraded(attempt, "HF-W201", "HF-E201", next_backing(backing), next, "%s", what);
    else if (pool->free_pages != 0 && node->bytes <= hfi_os_physical_bytes())
        hfi_say(SAY_WARNING, "HF-W201", "reserve", "%s: %s; %s", what, next_backing(backing), next);
    else if (backing == BACKING_2M && node->bytes <= hfi_os_physical_bytes())
        hfi_say(SAY_INFO, "HF-I201", "reserve", "%s: %s; %s", what, next_backing(backing), next);
}

/* The pool had the pages, the kernel would not give them. */
static void say_pool_refused(const struct attempt *attempt, const struct reserved_node *node,
                             enum option_backing backing, int error, size_t done)
{
    char what[200];
    const char *next =
        hfi_os_is_refusal(error)
            ? HFI_ALLOW_MADVISE
            : "raise the cgroup's hugetlb limit (hugetlb.*.max), or look who else takes pages of this pool";
    snprintf(what, sizeof what,
             "node %u: of %s in huge pages of %s the kernel refused what follows the first %s (%s)", node->id,
             hfi_bytes_text(node->bytes).text, hfi_backing_name(backing), hfi_bytes_text(done).text,
             hfi_os_error_name(error));
    if (attempt->options->backing == backing)
        hfi_degraded(attempt, "HF-W203", "HF-E203", next_backing(backing), next, "%s", what);
    else
        hfi_say(SAY_WARNING, "HF-W203", "reserve", "%s: %s; %s", what, next_backing(backing), next);
}

static void say_no_such_pages(const struct attempt *attempt, const struct reserved_node *node,
                              enum option_backing backing)
{
    if (attempt->options->backing == backing)
        hfi_degraded(attempt, "HF-W208", "HF-E208", next_backing(backing),
                     "boot with hugepagesz=1G, or name another HOLDFAST_BACKING",
                     "node %u: this kernel or processor has no huge pages of %s", node->id,
                     hfi_backing_name(backing));
}

/* Pages of a program that just ended come back a moment later where a ring had them registered
 * (io_uring ends by itself).  Waits for them where the pool is asked for and large enough.  False
 * when the kernel has no such pages. */
static bool pool_after_others(const struct attempt *attempt, const struct reserved_node *node,
                              enum option_backing backing, uint64_t needed, struct os_huge_pool *pool)
{
    bool alone = attempt->topology->node_count == 1;
    size_t page_bytes = hfi_backing_page_bytes(backing);
    bool known = hfi_os_huge_pool(pool, node->id, alone, page_bytes);
    unsigned polls = attempt->options->backing == backing ? POOL_POLLS : 0;
    for (unsigned i = 0; known && pool->free_pages < needed && pool->total_pages >= needed && i < polls;
         i++) {
        hfi_os_sleep_us(POOL_POLL_US);
        known = hfi_os_huge_pool(pool, node->id, alone, page_bytes);
    }
    return known;
}

/* Map and bind huge pages of a pool. */
static bool map_huge_pages(struct attempt *attempt, struct reserved_node *node, enum option_backing backing)
{
    struct os_huge_pool pool;
    size_t page_bytes = hfi_backing_page_bytes(backing);
    uint64_t needed = node->bytes / page_bytes;
    if (!pool_after_others(attempt, node, backing, needed, &pool)) {
        say_no_such_pages(attempt, node, backing);
        return false;
    }
    if (pool.free_pages < needed) {
        say_pool_short(attempt, node, backing, &pool, needed);
        return false;
    }
    int error = hfi_os_map(node->start, node->bytes, page_bytes);
    if (error != 0) {
        say_pool_refused(attempt, node, backing, error, 0);
        return false;
    }
    node->backing = backing;
    node->os_page_bytes = page_bytes;
    node->bound = hfi_bind_range(attempt, node->start, node->bytes, node->id);
    return true;
}

/* After populating them.  Populated always: a page that the pool does not have would be SIGBUS at
 * the first touch.  Never swapped, so as good as locked. */
static bool keep_huge_pages(struct attempt *attempt, struct reserved_node *node, int error, size_t done)
{
    if (error != 0) {
        hfi_os_unmap(node->start, node->bytes);
        say_pool_refused(attempt, node, node->backing, error, done);
        return false;
    }
    if (attempt->options->prefault == PREFAULT_NONE)
        hfi_say(SAY_INFO, "HF-I216", "reserve",
                "node %u is populated in spite of HOLDFAST_PREFAULT=none: huge pages of %s are; "
                "set HOLDFAST_BACKING=thp or 4k for memory that is not",
                node->id, hfi_backing_name(node->backing));
    node->populated_bytes = node->bytes;
    node->locked = true;
    return true;
}

bool hfi_backing_is_possible(const struct attempt *attempt, const struct reserved_node *node,
                             enum option_backing backing)
{
    enum option_backing asked = attempt->options->backing;
    if (!hfi_backing_is_asked(asked, backing, node->bytes))
        return false;
    if (backing != BACKING_THP || hfi_os_has_thp())
        return true;
    if (asked == BACKING_THP)
        hfi_degraded(attempt, "HF-W204", "HF-E204", "using 4k",
                     hfi_os_thp() == OS_THP_FORBIDDEN
                         ? "have what starts this program clear PR_SET_THP_DISABLE (prctl)"
                         : "run: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
                     "transparent huge pages are off, or forbidden to this process");
    return false;
}

static const enum option_backing backings[] = { BACKING_1G, BACKING_2M, BACKING_THP, BACKING_4K };
#define BACKINGS (sizeof backings / sizeof backings[0])

/* Where a node stands in the list. */
struct walker {
    unsigned next; /* of those to be tried, or being tried, the first */
    bool settled;
    bool populating;
};

/* Maps a node on the first backing from `walker->next` on that can be mapped.  False when there is
 * none. */
static bool map_node(struct attempt *attempt, struct reserved_node *node, struct walker *walker)
{
    size_t planned = attempt->planned_bytes[node - attempt->reservation->nodes];
    for (; walker->next < BACKINGS; walker->next++) {
        enum option_backing backing = backings[walker->next];
        node->bytes = planned;
        if (!hfi_backing_is_possible(attempt, node, backing))
            continue;
        node->bytes = hfi_align_up(planned, hfi_backing_unit_bytes(backing));
        if (hfi_backing_page_bytes(backing) == HFI_SMALL_PAGE_BYTES)
            return map_small_pages(attempt, node, backing);
        if (map_huge_pages(attempt, node, backing))
            return true;
    }
    return false;
}

/* Whether a node stays on its backing; a backing of small pages is the last in any case.  0,
 * -EAGAIN for the next backing, or -ENOMEM after saying why. */
static int settle_node(struct attempt *attempt, struct reserved_node *node, struct walker *walker, int error,
                       size_t done)
{
    bool small = node->os_page_bytes == HFI_SMALL_PAGE_BYTES;
    walker->settled =
        small ? keep_small_pages(attempt, node, error, done) : keep_huge_pages(attempt, node, error, done);
    walker->next++;
    return walker->settled ? 0 : small ? -ENOMEM : -EAGAIN;
}

int hfi_reserve_nodes(struct attempt *attempt)
{
    struct reservation *reservation = attempt->reservation;
    struct walker walkers[HFI_MAX_NODES] = { { 0 } };
    unsigned settled = 0;
    while (settled < reservation->node_count) {
        for (unsigned i = 0; i < reservation->node_count; i++)
            if (!walkers[i].settled && !map_node(attempt, &reservation->nodes[i], &walkers[i]))
                return -ENOMEM;
        for (unsigned i = 0; i < reservation->node_count; i++) {
            struct reserved_node *node = &reservation->nodes[i];
            struct prefault_order order = hfi_order_of(attempt, node);
            walkers[i].populating = !walkers[i].settled && (attempt->options->prefault != PREFAULT_NONE ||
                                                            node->os_page_bytes != HFI_SMALL_PAGE_BYTES);
            if (walkers[i].populating)
                hfi_prefault_begin(i, &order);
        }
        for (unsigned i = 0; i < reservation->node_count; i++) {
            size_t done = 0;
            if (walkers[i].settled)
                continue;
            int error = walkers[i].populating ? hfi_prefault_finish(i, &done) : 0;
            error = settle_node(attempt, &reservation->nodes[i], &walkers[i], error, done);
            if (error == -ENOMEM)
                return error;
            settled += error == 0;
        }
    }
    return 0;
}
