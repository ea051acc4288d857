/*
 * rules-size: see rules.h: arenas that are too small, too large, or of no size.
 *
 * Test: tests/tool-tune.sh, which provokes each.
 */
#include <string.h>

#include "advice/rules.h"

void rule_set_arena(const struct advice_view *view, unsigned node, char *text)
{
    uint64_t memory = view->sample->machine.nodes[node].memory_bytes, bytes = advice_node_bytes(view, node);
    char arena[ADVICE_TEXT / 2];
    advice_arena(view, arena, sizeof arena);
    if (memory != 0 && bytes > memory)
        SAY(text, "%s, which needs more memory: node %u has %s", arena, figures(view, node)->id,
            SIZE(memory));
    else
        SAY(text, "%s", arena);
}

static bool is_small(const struct advice_view *view, unsigned node)
{
    return advice_node_is_small(view, node) && (view->homes[node].away == 0 || view->homes[node].failed != 0);
}

static bool is_refusing(const struct advice_view *view, unsigned node)
{
    return is_small(view, node) && (view->homes[node].failed != 0 || advice_refused(view, node) != 0);
}

static bool is_nearly_full(const struct advice_view *view, unsigned node)
{
    return is_small(view, node) && !is_refusing(view, node);
}

static void tell_small(const struct advice_view *view, unsigned node, char *text)
{
    const struct advice_home *home = &view->homes[node];
    double most = sample_percent(figures(view, node)->high_water, figures(view, node)->total);
    int used = SAY(text, "at most %s of %s were in use, %.1f %%", SIZE(figures(view, node)->high_water),
                   SIZE(figures(view, node)->total), most);
    if (home->failed != 0)
        used += snprintf(text + used, ADVICE_TEXT - (size_t)used,
                         "; %llu calls of threads at home here failed (ENOMEM)", (count)home->failed);
    if (advice_refused(view, node) != 0)
        snprintf(text + used, ADVICE_TEXT - (size_t)used, "; %s in one piece did not fit",
                 SIZE(advice_refused(view, node)));
}

const struct rule rule_refusing = {
    .name = "arena-too-small",
    .headline = "too little room",
    .severity = SEVERITY_FAULT,
    .per_node = true,
    .applies = is_refusing,
    .evidence = tell_small,
    .setting = rule_set_arena,
};

const struct rule rule_nearly_full = {
    .name = "arena-too-small",
    .headline = "little room left",
    .severity = SEVERITY_COST,
    .per_node = true,
    .applies = is_nearly_full,
    .evidence = tell_small,
    .setting = rule_set_arena,
};

static const char *span_text(char *text, double seconds)
{
    if (seconds >= 2 * 86400)
        snprintf(text, 32, "%.1f days", seconds / 86400);
    else if (seconds >= 7200)
        snprintf(text, 32, "%.1f hours", seconds / 3600);
    else
        snprintf(text, 32, seconds >= 120 ? "%.0f minutes" : "%.0f seconds",
                 seconds >= 120 ? seconds / 60 : seconds);
    return text;
}

static void tell_large(const struct advice_view *view, unsigned node, char *text)
{
    SAY(text, "at most %s of %s were in use, %.1f %%, in %s", SIZE(figures(view, node)->high_water),
        SIZE(figures(view, node)->total),
        sample_percent(figures(view, node)->high_water, figures(view, node)->total),
        span_text((char[32]){ 0 }, view->life_s));
}

const struct rule rule_too_large = {
    .name = "arena-too-large",
    .headline = "more held than needed",
    .severity = SEVERITY_HINT,
    .per_node = true,
    .applies = advice_node_is_large,
    .evidence = tell_large,
    .setting = rule_set_arena,
};

#define SOON_S 3600

static bool will_be_full_soon(const struct advice_view *view, unsigned node)
{
    double seconds = advice_full_in_s(view, node);
    return seconds != 0 && seconds < SOON_S;
}

static bool will_be_full(const struct advice_view *view, unsigned node)
{
    return advice_full_in_s(view, node) >= SOON_S;
}

static void tell_rising(const struct advice_view *view, unsigned node, char *text)
{
    uint64_t most = figures(view, node)->high_water, before = view->history->points[0].nodes[node].high_water;
    SAY(text,
        "the most that was in use rose all the while, from %s to %s in %s: at that rate %s are full in %s",
        SIZE(before), SIZE(most), span_text((char[32]){ 0 }, history_span_s(view->history)),
        SIZE(figures(view, node)->total), span_text((char[32]){ 0 }, advice_full_in_s(view, node)));
}

static void set_rising(const struct advice_view *view, unsigned node, char *text)
{
    double bytes_per_s;
    history_rises(view->history, node, &bytes_per_s);
    SAY(text,
        "nothing yet, if it is to end by itself; else find what grows: `holdfast stat --classes`, now and "
        "later.  A day takes %s more",
        SIZE((uint64_t)(bytes_per_s * 86400)));
}

const struct rule rule_full_soon = {
    .name = "arena-fills-up",
    .headline = "full within the hour",
    .severity = SEVERITY_COST,
    .per_node = true,
    .applies = will_be_full_soon,
    .evidence = tell_rising,
    .setting = set_rising,
};

const struct rule rule_rising = {
    .name = "arena-fills-up",
    .headline = "use is rising",
    .severity = SEVERITY_HINT,
    .per_node = true,
    .applies = will_be_full,
    .evidence = tell_rising,
    .setting = set_rising,
};

static bool reserve_was_used(const struct advice_view *view, unsigned node)
{
    return figures(view, node)->reserve_uses != 0;
}

static void tell_reserve(const struct advice_view *view, unsigned node, char *text)
{
    SAY(text, "the reserve of %s was begun upon %llu time%s, with nothing else left; %s of it are in use now",
        SIZE(figures(view, node)->reserve), (count)figures(view, node)->reserve_uses,
        figures(view, node)->reserve_uses == 1 ? "" : "s", SIZE(figures(view, node)->reserve_used));
}

const struct rule rule_reserve_used = {
    .name = "reserve-used",
    .headline = "the reserve was used",
    .severity = SEVERITY_COST,
    .per_node = true,
    .applies = reserve_was_used,
    .evidence = tell_reserve,
    .setting = rule_set_arena,
};

static void tell_absurd(const struct advice_view *view, unsigned node, char *text)
{
    const struct advice_home *home = &view->homes[node];
    int used =
        SAY(text, "%llu calls failed (ENOMEM), though at most %s of %s were ever in use, %.1f %%",
            (count)home->failed, SIZE(figures(view, node)->high_water), SIZE(figures(view, node)->total),
            sample_percent(figures(view, node)->high_water, figures(view, node)->total));
    if (home->refused != 0)
        snprintf(text + used, ADVICE_TEXT - (size_t)used,
                 "; %s in one piece were asked for, and node %u has %s of memory", SIZE(home->refused),
                 figures(view, node)->id, SIZE(view->sample->machine.nodes[node].memory_bytes));
    else
        snprintf(text + used, ADVICE_TEXT - (size_t)used, ": they asked for more than the whole arena");
}

static void set_absurd(const struct advice_view *view, unsigned node, char *text)
{
    (void)view, (void)node;
    SAY(text, "HOLDFAST_ON_FULL=abort, in a test: the core shows who asks; an arena larger than the request, "
              "if it is meant");
}

const struct rule rule_request_too_large = {
    .name = "request-too-large",
    .headline = "requests larger than the arena",
    .severity = SEVERITY_FAULT,
    .per_node = true,
    .applies = advice_request_was_large,
    .evidence = tell_absurd,
    .setting = set_absurd,
};

static bool is_growing(const struct advice_view *view, unsigned node)
{
    return (figures(view, node)->flags & HF_INSPECT_NODE_GROWING) != 0 && view->life_s >= view->settled_s &&
           figures(view, node)->populated != 0;
}

static void tell_growing(const struct advice_view *view, unsigned node, char *text)
{
    SAY(text,
        "no size was named: %s were opened in steps, in the middle of the program's calls, and at most %s in "
        "use",
        SIZE(figures(view, node)->populated), SIZE(figures(view, node)->high_water));
}

const struct rule rule_growing = {
    .name = "growing-arena",
    .headline = "no size is named",
    .severity = SEVERITY_HINT,
    .per_node = true,
    .applies = is_growing,
    .evidence = tell_growing,
    .setting = rule_set_arena,
};
