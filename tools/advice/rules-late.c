/*
 * rules-late: see rules.h: calls that took longer than HOLDFAST_SLO, by what made most of them slow.
 *
 * Test: tests/tool-tune.sh, which provokes it.
 */
#include "advice/rules.h"

static uint64_t late_calls(const struct advice_view *view)
{
    uint64_t calls = 0;
    for (unsigned i = 0; i < view->snapshot->cause_count; i++)
        calls += view->snapshot->causes[i].late;
    return calls;
}

static unsigned worst_cause(const struct advice_view *view)
{
    unsigned worst = 0;
    for (unsigned i = 1; i < view->snapshot->cause_count; i++)
        if (view->snapshot->causes[i].late > view->snapshot->causes[worst].late)
            worst = i;
    return worst;
}

static bool has_late(const struct advice_view *view, unsigned node)
{
    (void)node;
    return late_calls(view) != 0;
}

static void tell_late(const struct advice_view *view, unsigned node, char *text)
{
    const struct snapshot *snapshot = view->snapshot;
    unsigned worst = worst_cause(view);
    char limit[SHOW_SHORT], longest[SHOW_SHORT];
    (void)node;
    SAY(text, "%llu call%s took longer than %s; most of them, %llu, by the cause `%s`, whose longest took %s",
        (count)late_calls(view), late_calls(view) == 1 ? "" : "s",
        show_time(limit, (double)snapshot->header.slo_ns), (count)snapshot->causes[worst].late,
        snapshot_cause_name(worst),
        show_time(longest, snapshot_ns(snapshot, snapshot->causes[worst].longest)));
}

/* What the node of most threads that failed or went away lacks. */
static unsigned worst_node(const struct advice_view *view)
{
    unsigned worst = 0;
    for (unsigned i = 1; i < view->snapshot->node_count; i++)
        if (view->homes[i].away + view->homes[i].failed > view->homes[worst].away + view->homes[worst].failed)
            worst = i;
    return worst;
}

/* Memory that nobody had touched, or a machine that takes its time. */
static void set_untouched(const struct advice_view *view, char *text)
{
    uint32_t options = view->snapshot->header.options;
    if (!is_named(view, 0))
        rule_set_arena(view, 0, text);
    else if (options & (HF_INSPECT_PREFAULT_NONE | HF_INSPECT_PREFAULT_BACKGROUND))
        SAY(text, "HOLDFAST_PREFAULT=startup: then no call touches memory first");
    else
        SAY(text,
            "nothing of the arena, whose %s were populated at start: interrupts and a hypervisor lengthen "
            "calls "
            "of every cause; keep them from the program's CPUs (irqaffinity=, isolcpus=)",
            SIZE(view->total_bytes));
}

static void set_late(const struct advice_view *view, unsigned node, char *text)
{
    (void)node;
    switch (worst_cause(view)) {
    case HF_CAUSE_STOLEN:
    case HF_CAUSE_SEARCHED:
    case HF_CAUSE_AWAY: rule_set_arena(view, worst_node(view), text); break;
    case HF_CAUSE_ATTACHED:
        SAY(text, "threads that stay, in a pool: each thread's first call sets up a theap");
        break;
    case HF_CAUSE_CLEARED:
        SAY(text,
            "malloc(3) instead of calloc(3) where the program fills the block, or blocks of fewer bytes "
            "than 1 MiB");
        break;
    case HF_CAUSE_INTERRUPTED:
        SAY(text, "fewer threads at work than CPUs, CPUs of their own (taskset(1)), or a priority (chrt(1))");
        break;
    default: set_untouched(view, text); break;
    }
}

const struct rule rule_late = {
    .name = "late-calls",
    .headline = "calls took longer than HOLDFAST_SLO",
    .severity = SEVERITY_COST,
    .per_node = false,
    .applies = has_late,
    .evidence = tell_late,
    .setting = set_late,
};
