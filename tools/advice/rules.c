/*
 * rules: see rules.h: all of them in their order.
 *
 * Test: tests/tool-tune.sh, which provokes each.
 */
#include "advice/rules.h"

/* By severity, and by what is to be mended first. */
static const struct rule *const rules[] = {
    &rule_memory_missing,
    &rule_refusing,
    &rule_request_too_large,
    &rule_node_full,
    &rule_ring_refused,
    &rule_nearly_full,
    &rule_not_bound,
    &rule_pool_short,
    &rule_reserve_used,
    &rule_full_soon,
    &rule_no_thp,
    &rule_threads_elsewhere,
    &rule_forks,
    &rule_late,
    &rule_heap_rising,
    &rule_rising,
    &rule_heap_over_limit,
    &rule_heap_near_limit,
    &rule_growing,
    &rule_sleepers,
    &rule_too_large,
};

const char *advice_severity_name(enum severity severity)
{
    static const char *const names[] = { "fault", "cost", "hint" };
    return names[severity];
}

unsigned advice_give(const struct history *history, double settled_s, struct advice *advice)
{
    static struct advice_view view;
    unsigned given = 0;
    advice_look(&view, history, settled_s);
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        for (unsigned node = 0;
             node < (rules[i]->per_node ? view.snapshot->node_count : 1) && given < ADVICE_MAX; node++) {
            if (!rules[i]->applies(&view, node))
                continue;
            struct advice *to = &advice[given++];
            *to = (struct advice){
                .rule = rules[i]->name,
                .headline = rules[i]->headline,
                .severity = rules[i]->severity,
                .node = rules[i]->per_node ? (int)node : -1,
            };
            rules[i]->evidence(&view, node, to->evidence);
            rules[i]->setting(&view, node, to->setting);
        }
    return given;
}
