/*
 * rules-heaps: see rules.h: heaps of the program: at their limits, near them, or growing all the while.
 *
 * What is said of one names it as messages do.  Of many, the few that matter most are named.
 *
 * Test: tests/tool-tune.sh, which provokes each.
 */
#include <string.h>

#include "advice/rules.h"

#define NAMED 3u
#define SAID_MOST 280u /* of one */
#define NEAR_PERCENT 90.0
#define NEAR_SECONDS 60.0 /* a heap that lives less ends before anybody can do anything */

typedef bool heap_test(const struct advice_view *view, unsigned slot);

/* Slots of heaps of which that holds, the one that holds most first; how many. */
static unsigned find_heaps(const struct advice_view *view, heap_test *test,
                           unsigned found[HF_INSPECT_MAX_HEAPS])
{
    unsigned all = snapshot_heap_order(view->snapshot, found), kept = 0;
    for (unsigned i = 0; i < all; i++)
        if (test(view, found[i]))
            found[kept++] = found[i];
    return kept;
}

static bool any_heap(const struct advice_view *view, heap_test *test)
{
    static unsigned found[HF_INSPECT_MAX_HEAPS];
    return find_heaps(view, test, found) != 0;
}

/* What `say` says of each of the first. */
static void tell_heaps(const struct advice_view *view, heap_test *test, char *text, size_t used,
                       void (*say)(const struct advice_view *view, unsigned slot, char *text,
                                   size_t text_bytes))
{
    static unsigned found[HF_INSPECT_MAX_HEAPS];
    unsigned fit = find_heaps(view, test, found);
    for (unsigned i = 0; i < fit && i < NAMED && used + SAID_MOST < ADVICE_TEXT; i++) {
        used += (size_t)snprintf(text + used, ADVICE_TEXT - used, "%s", i == 0 ? "" : "; ");
        say(view, found[i], text + used, ADVICE_TEXT - used);
        used += strlen(text + used);
    }
    if (fit > NAMED)
        snprintf(text + used, ADVICE_TEXT - used, "; and so for %u more heaps", fit - NAMED);
}

static const struct hf_inspect_heap *heap_at(const struct advice_view *view, unsigned slot)
{
    return &view->snapshot->heaps[slot];
}

/* heap "cache" (7) */
#define HEAP_TEXT 112
static const char *heap_text(const struct hf_inspect_heap *heap, char text[HEAP_TEXT])
{
    char name[2 * sizeof heap->name];
    snprintf(text, HEAP_TEXT, "heap \"%s\" (%llu)", tool_utf8(name, sizeof name, heap->name),
             (count)heap->id);
    return text;
}
#define HEAP(heap) heap_text(heap, (char[HEAP_TEXT]){ 0 })

/* --- over the limit --- */

static bool has_failed(const struct advice_view *view, unsigned slot)
{
    return heap_at(view, slot)->failures != 0;
}

static bool limits_failed(const struct advice_view *view, unsigned node)
{
    (void)node;
    return view->snapshot->heap_sum.failures != 0;
}

static void say_failed(const struct advice_view *view, unsigned slot, char *text, size_t text_bytes)
{
    const struct hf_inspect_heap *heap = heap_at(view, slot);
    snprintf(text, text_bytes, "%s failed %llu, holds %s and may hold %s", HEAP(heap), (count)heap->failures,
             SIZE(heap->held), heap->limit == 0 ? "any amount" : SIZE(heap->limit));
}

static void tell_failed(const struct advice_view *view, unsigned node, char *text)
{
    const struct snapshot_heaps *sum = &view->snapshot->heap_sum;
    (void)node;
    int used =
        SAY(text, "limits of heaps failed %llu calls, of %llu heaps made so far%s", (count)sum->failures,
            (count)sum->made, any_heap(view, has_failed) ? "; " : ", all of which have ended");
    tell_heaps(view, has_failed, text, (size_t)used, say_failed);
}

static void set_failed(const struct advice_view *view, unsigned node, char *text)
{
    (void)view, (void)node;
    SAY(text, "nothing, if these limits are to stop such work; else a higher limit in hf_heap_create, or "
              "hf_heap_set_limit, for heaps that HF-E015 names");
}

const struct rule rule_heap_over_limit = {
    .name = "heap-over-limit",
    .headline = "calls failed at limits of heaps",
    .severity = SEVERITY_HINT,
    .per_node = false,
    .applies = limits_failed,
    .evidence = tell_failed,
    .setting = set_failed,
};

/* --- near the limit --- */

static bool is_near(const struct advice_view *view, unsigned slot)
{
    const struct hf_inspect_heap *heap = heap_at(view, slot);
    return heap->limit != 0 && heap->failures == 0 &&
           sample_percent(heap->held, heap->limit) >= NEAR_PERCENT &&
           snapshot_age_ns(view->snapshot, heap->made_ticks) >= NEAR_SECONDS * 1e9;
}

static bool heaps_are_near(const struct advice_view *view, unsigned node)
{
    (void)node;
    return any_heap(view, is_near);
}

static void say_near(const struct advice_view *view, unsigned slot, char *text, size_t text_bytes)
{
    const struct hf_inspect_heap *heap = heap_at(view, slot);
    snprintf(text, text_bytes, "%s holds %s of %s, %.1f %%", HEAP(heap), SIZE(heap->held), SIZE(heap->limit),
             sample_percent(heap->held, heap->limit));
}

static void tell_near(const struct advice_view *view, unsigned node, char *text)
{
    (void)node;
    tell_heaps(view, is_near, text, 0, say_near);
}

static void set_near(const struct advice_view *view, unsigned node, char *text)
{
    (void)view, (void)node;
    SAY(text, "a soft limit below the limit, whose callback gives way in time (hf_heap_create(3)); or "
              "hf_heap_set_limit, if the heap may have more");
}

const struct rule rule_heap_near_limit = {
    .name = "heap-near-limit",
    .headline = "a heap is near its limit",
    .severity = SEVERITY_HINT,
    .per_node = false,
    .applies = heaps_are_near,
    .evidence = tell_near,
    .setting = set_near,
};

/* --- growing --- */

static bool is_rising(const struct advice_view *view, unsigned slot)
{
    uint64_t from_bytes;
    double bytes_per_s;
    return history_heap_rises(view->history, slot, &from_bytes, &bytes_per_s);
}

static bool heaps_rise(const struct advice_view *view, unsigned node)
{
    (void)node;
    return any_heap(view, is_rising);
}

static void say_rising(const struct advice_view *view, unsigned slot, char *text, size_t text_bytes)
{
    const struct hf_inspect_heap *heap = heap_at(view, slot);
    uint64_t from_bytes;
    double bytes_per_s;
    if (!history_heap_rises(view->history, slot, &from_bytes, &bytes_per_s))
        return;
    int used = snprintf(text, text_bytes, "%s never fell, and rose from %s to %s, %s an hour", HEAP(heap),
                        SIZE(from_bytes), SIZE(heap->held), SIZE((uint64_t)(bytes_per_s * 3600)));
    if (heap->limit > heap->held && (size_t)used < text_bytes)
        snprintf(text + used, text_bytes - (size_t)used, "; at that rate it is at its limit in %.1f hours",
                 (double)(heap->limit - heap->held) / bytes_per_s / 3600);
}

static void tell_heap_rising(const struct advice_view *view, unsigned node, char *text)
{
    (void)node;
    tell_heaps(view, is_rising, text, 0, say_rising);
}

static void set_heap_rising(const struct advice_view *view, unsigned node, char *text)
{
    (void)view, (void)node;
    SAY(text, "hf_heap_destroy when its work is done, if that was forgotten; in a region, single frees give "
              "nothing back until the last block of a piece went; a limit of its own keeps it from the rest "
              "of the arena");
}

const struct rule rule_heap_rising = {
    .name = "heap-grows",
    .headline = "a heap grows and does not fall",
    .severity = SEVERITY_COST,
    .per_node = false,
    .applies = heaps_rise,
    .evidence = tell_heap_rising,
    .setting = set_heap_rising,
};
