/*
 * rules: what the files of rules share.
 *
 * A rule is one value beside its three functions: when it applies, what was seen, what to set.
 *
 * AD1: evidence has a number, and so has the setting where it is one.
 */
#ifndef HFT_RULES_H
#define HFT_RULES_H

#include "advice/advice.h"
#include "base/bits.h"
#include "show/show.h"

struct rule {
    const char *name, *headline;
    enum severity severity;
    bool per_node;
    bool (*applies)(const struct advice_view *view, unsigned node);
    void (*evidence)(const struct advice_view *view, unsigned node, char *text);
    void (*setting)(const struct advice_view *view, unsigned node, char *text);
};

#define SAY(text, ...) snprintf(text, ADVICE_TEXT, __VA_ARGS__)
#define SIZE(bytes) show_size((char[SHOW_SHORT]){ 0 }, bytes)
typedef unsigned long long count; /* for printf */

static inline const struct hf_inspect_node *figures(const struct advice_view *view, unsigned node)
{
    return &view->snapshot->nodes[node];
}

static inline bool is_named(const struct advice_view *view, unsigned node)
{
    return (figures(view, node)->flags & HF_INSPECT_NODE_GROWING) == 0 && figures(view, node)->total != 0;
}

/* --- rules-size.c: how large the arena is --- */

/* HOLDFAST_ARENA as it should be, for the settings of several rules. */
void rule_set_arena(const struct advice_view *view, unsigned node, char *text);

extern const struct rule rule_refusing, rule_nearly_full, rule_too_large, rule_full_soon, rule_rising,
    rule_request_too_large, rule_growing, rule_reserve_used;

/* --- rules-backing.c: what memory it stands on --- */

extern const struct rule rule_memory_missing, rule_pool_short, rule_no_thp, rule_not_bound;

/* --- rules-place.c: on which nodes threads and their memory are --- */

extern const struct rule rule_node_full, rule_threads_elsewhere;

/* --- rules-program.c: threads, forks and rings of the program --- */

extern const struct rule rule_sleepers, rule_forks, rule_ring_refused;

/* --- rules-heaps.c: heaps of the program --- */

extern const struct rule rule_heap_over_limit, rule_heap_near_limit, rule_heap_rising;

/* --- rules-late.c: calls that took too long --- */

extern const struct rule rule_late;

#endif
