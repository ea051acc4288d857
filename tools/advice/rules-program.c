/*
 * rules-program: see rules.h: what the program's threads, forks and rings do.
 *
 * Test: tests/tool-tune.sh, which provokes each.
 */
#include <errno.h>

#include "advice/rules.h"

#define SLEEPING_PERCENT 3.0 /* of the arena */
#define SLEEPING_BYTES HFI_MIB

static bool is_sleeping(const struct advice_view *view, unsigned node)
{
    (void)node;
    return view->sleeping_bytes >= SLEEPING_BYTES &&
           sample_percent(view->sleeping_bytes, view->total_bytes) >= SLEEPING_PERCENT;
}

static void tell_sleeping(const struct advice_view *view, unsigned node, char *text)
{
    (void)node;
    SAY(text,
        "%llu threads that asked for nothing in the last %.0f s or more hold %s in no block, %.1f %% of the "
        "arena; most of "
        "it %s, for %.0f s",
        (count)view->sleepers, ADVICE_SLEEP_S, SIZE(view->sleeping_bytes),
        sample_percent(view->sleeping_bytes, view->total_bytes),
        view->sleeper[0] == 0 ? "a thread without a name" : view->sleeper, view->sleep_s);
}

static void set_sleeping(const struct advice_view *view, unsigned node, char *text)
{
    (void)view, (void)node;
    SAY(text, "call hf_thread_idle() before such a thread waits (holdfast(3))");
}

const struct rule rule_sleepers = {
    .name = "idle-threads",
    .headline = "memory held by sleeping threads",
    .severity = SEVERITY_HINT,
    .per_node = false,
    .applies = is_sleeping,
    .evidence = tell_sleeping,
    .setting = set_sleeping,
};

static uint64_t pool_bytes(const struct advice_view *view)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < view->snapshot->node_count; i++)
        if (figures(view, i)->backing == HF_BACKING_1G || figures(view, i)->backing == HF_BACKING_2M)
            bytes += figures(view, i)->total;
    return bytes;
}

static bool has_forked(const struct advice_view *view, unsigned node)
{
    (void)node;
    return view->snapshot->header.forks != 0 && pool_bytes(view) != 0 &&
           (view->snapshot->header.options & HF_INSPECT_DONTFORK) == 0;
}

static void tell_forked(const struct advice_view *view, unsigned node, char *text)
{
    (void)node;
    count forks = view->snapshot->header.forks;
    SAY(text,
        "%llu fork%s with %s on huge pages of a pool: parent and child copy a whole page at each first write "
        "after a fork, "
        "and the child is killed where the pool is empty",
        forks, forks == 1 ? "" : "s", SIZE(pool_bytes(view)));
}

static void set_forked(const struct advice_view *view, unsigned node, char *text)
{
    (void)node;
    SAY(text,
        "HOLDFAST_BACKING=thp if the children work on, or %s spare in the pool for each of them (`holdfast "
        "doctor --forks`); "
        "posix_spawn(3) if they only execute programs",
        SIZE(pool_bytes(view)));
}

const struct rule rule_forks = {
    .name = "fork-on-huge-pages",
    .headline = "forks copy huge pages",
    .severity = SEVERITY_COST,
    .per_node = false,
    .applies = has_forked,
    .evidence = tell_forked,
    .setting = set_forked,
};

static bool ring_was_refused(const struct advice_view *view, unsigned node)
{
    (void)node;
    return view->refused_errno == ENOMEM;
}

static void tell_ring(const struct advice_view *view, unsigned node, char *text)
{
    uint64_t limit = view->sample->machine.memlock_bytes;
    (void)node;
    SAY(text, "registering %s with io_uring was refused (ENOMEM); the process may lock %s",
        SIZE(view->refused_bytes), limit == UINT64_MAX ? "any amount" : SIZE(limit));
}

/* Beside the arena's pages the kernel counts the ring's own and its tables of pages. */
static void set_ring(const struct advice_view *view, unsigned node, char *text)
{
    uint64_t pages_bytes = hfi_min(view->refused_bytes, UINT64_MAX / 4) +
                           hfi_min(view->snapshot->header.registered, UINT64_MAX / 4);
    uint64_t megabytes = hfi_divide_up(pages_bytes + pages_bytes / 64 + HFI_MIB, HFI_MIB);
    (void)node;
    int used =
        SAY(text, "LimitMEMLOCK=%lluM (systemd), or `ulimit -l %llu`: of all rings of the user together",
            (count)megabytes, (count)(megabytes * 1024));
    if (view->snapshot->header.registered != 0)
        snprintf(text + used, ADVICE_TEXT - (size_t)used,
                 "; %s are pinned already, counted once: hf_uring_register_clone pins nothing again",
                 SIZE(view->snapshot->header.registered));
}

const struct rule rule_ring_refused = {
    .name = "io-uring-memlock",
    .headline = "registration with io_uring refused",
    .severity = SEVERITY_FAULT,
    .per_node = false,
    .applies = ring_was_refused,
    .evidence = tell_ring,
    .setting = set_ring,
};
