/*
 * rules-place: see rules.h: memory of other nodes than the threads that use it.
 *
 * Test: tests/tool-tune.sh, which provokes each.
 */
#include "advice/rules.h"

#define NOTICED_PERCENT 1.0    /* of pages taken: less came from elsewhere by chance */
#define ELSEWHERE_PERCENT 10.0 /* of a node's owned pages */
#define ELSEWHERE_BYTES HFI_MIB

static bool is_remote(const struct advice_view *view, unsigned node)
{
    const struct advice_home *home = &view->homes[node];
    return home->away != 0 && sample_percent(home->away, home->taken) >= NOTICED_PERCENT;
}

static void tell_remote(const struct advice_view *view, unsigned node, char *text)
{
    const struct advice_home *home = &view->homes[node];
    SAY(text,
        "%.1f %% of what threads at home here took (%llu of %llu) came from other nodes, because this one "
        "was full (at "
        "most %.1f %% in use)",
        sample_percent(home->away, home->taken), (count)home->away, (count)home->taken,
        sample_percent(figures(view, node)->high_water, figures(view, node)->total));
}

static void set_remote(const struct advice_view *view, unsigned node, char *text)
{
    if (is_named(view, node))
        rule_set_arena(view, node, text);
    else
        SAY(text, "a size for this node: HOLDFAST_ARENA=%u:%lluM,...", figures(view, node)->id,
            (count)(advice_node_bytes(view, node) / HFI_MIB));
}

const struct rule rule_node_full = {
    .name = "node-full",
    .headline = "remote fallback, the node is too small",
    .severity = SEVERITY_FAULT,
    .per_node = true,
    .applies = is_remote,
    .evidence = tell_remote,
    .setting = set_remote,
};

static bool is_elsewhere(const struct advice_view *view, unsigned node)
{
    const struct sample_place *place = &view->sample->places[node];
    return view->snapshot->node_count > 1 && place->elsewhere_bytes >= ELSEWHERE_BYTES &&
           sample_percent(place->elsewhere_bytes, place->owned_bytes) >= ELSEWHERE_PERCENT && view->away == 0;
}

static void tell_elsewhere(const struct advice_view *view, unsigned node, char *text)
{
    const struct sample_place *place = &view->sample->places[node];
    uint32_t options = view->snapshot->header.options;
    SAY(text,
        "%s of this node's memory, %.1f %% of what threads own there, belong to threads that run on other "
        "nodes%s",
        SIZE(place->elsewhere_bytes), sample_percent(place->elsewhere_bytes, place->owned_bytes),
        options & HF_INSPECT_PLACE_INTERLEAVE ? ": HOLDFAST_PLACE=interleave spreads them"
        : options & HF_INSPECT_PLACE_NODE     ? ": HOLDFAST_PLACE=node:N puts them there"
                                              : ", and no node was full: the threads moved");
}

static void set_elsewhere(const struct advice_view *view, unsigned node, char *text)
{
    (void)node;
    if (view->snapshot->header.options & (HF_INSPECT_PLACE_INTERLEAVE | HF_INSPECT_PLACE_NODE))
        SAY(text, "HOLDFAST_PLACE=local");
    else
        SAY(text, "keep threads where their memory is: CPUAffinity= or NUMAPolicy= of systemd, numactl "
                  "--cpunodebind, or "
                  "pthread_setaffinity_np before a thread allocates");
}

const struct rule rule_threads_elsewhere = {
    .name = "threads-elsewhere",
    .headline = "threads far from their memory",
    .severity = SEVERITY_COST,
    .per_node = true,
    .applies = is_elsewhere,
    .evidence = tell_elsewhere,
    .setting = set_elsewhere,
};
