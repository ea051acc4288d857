/*
 * advice-view: see advice.h.
 *
 * Test: tests/tool-tune.sh.
 */
#include <string.h>

#include "advice/advice.h"
#include "base/bits.h"
#include "arena/reserve.h"
#include "numa/plan.h"

#define GROWTH_MAX 4.0
#define TIGHT_PERCENT 90.0
#define MONTH_S (30 * 86400.0)
#define RECENT_SHARE 0.1 /* of an arena's life */

static void add_home(struct advice_home *home, const struct hf_inspect_theap *theap)
{
    home->taken += theap->claimed + theap->fresh + theap->large;
    home->failed += theap->failed;
    for (unsigned i = 0; i < HF_INSPECT_DISTANCES; i++)
        home->away += theap->away[i];
}

static void look_at_theaps(struct advice_view *view)
{
    const struct snapshot *snapshot = view->snapshot;
    uint64_t most = 0;
    for (unsigned i = 0; i < snapshot->theap_count; i++) {
        const struct hf_inspect_theap *theap = &snapshot->theaps[i];
        if (theap->home_node < snapshot->node_count)
            add_home(&view->homes[theap->home_node], theap);
        uint64_t pages_bytes = snapshot->theap_pages[i].pages * HF_INSPECT_PAGE_BYTES,
                 used_bytes = snapshot->theap_pages[i].used_bytes;
        double age_s = snapshot_age_ns(snapshot, theap->updated_ticks) / 1e9;
        if (theap->in_use == 0 || age_s < ADVICE_SLEEP_S || pages_bytes <= used_bytes ||
            !snapshot_live_is_known(snapshot))
            continue;
        view->sleepers++;
        view->sleeping_bytes += pages_bytes - used_bytes;
        if (pages_bytes - used_bytes > most) {
            most = pages_bytes - used_bytes;
            view->sleep_s = age_s;
            tool_utf8(view->sleeper, sizeof view->sleeper, view->sample->threads[i].name);
        }
    }
}

static void look_at_others(struct advice_view *view)
{
    for (unsigned i = 0; i < view->snapshot->node_count; i++)
        add_home(&view->homes[i], &view->snapshot->others[i]);
}

static void look_at_events(struct advice_view *view)
{
    const struct history *history = view->history;
    for (unsigned i = 0; i < history->event_count; i++) {
        const struct hf_inspect_event *event = &history->events[i].event;
        struct advice_home *home =
            event->node < view->snapshot->node_count ? &view->homes[event->node] : NULL;
        if (home != NULL && (event->kind == HF_EVENT_NODE_FULL || event->kind == HF_EVENT_REPORT)) {
            home->fulls += event->kind == HF_EVENT_NODE_FULL;
            home->refused = hfi_max(home->refused, event->a);
        }
        if (event->kind == HF_EVENT_REGISTER_REFUSED) {
            view->refused_bytes = event->a;
            view->refused_errno = event->b;
        } else if (event->kind == HF_EVENT_REGISTERED) {
            view->refused_errno = 0;
        }
    }
}

void advice_look(struct advice_view *view, const struct history *history, double settled_s)
{
    *view = (struct advice_view){
        .history = history,
        .sample = history->last,
        .snapshot = &history->last->snapshot,
        .total_bytes = snapshot_figures_of_all(&history->last->snapshot).total,
        .settled_s = settled_s,
        .life_s = history_life_s(history),
        .failed = history->last->sum.failed,
        .away = snapshot_sum_away(&history->last->sum),
    };
    look_at_theaps(view);
    look_at_others(view);
    look_at_events(view);
}

/* --- sizes --- */

uint64_t advice_refused(const struct advice_view *view, unsigned node)
{
    uint64_t refused = view->homes[node].refused, memory = view->sample->machine.nodes[node].memory_bytes;
    return memory != 0 && refused > memory ? 0 : refused;
}

static bool is_growing(const struct advice_view *view, unsigned node)
{
    return (view->snapshot->nodes[node].flags & HF_INSPECT_NODE_GROWING) != 0;
}

/* Either it was seen, or calls failed while the node was never found full, nor even half used. */
bool advice_request_was_large(const struct advice_view *view, unsigned node)
{
    const struct advice_home *home = &view->homes[node];
    const struct hf_inspect_node *figures = &view->snapshot->nodes[node];
    if (home->failed == 0)
        return false;
    return home->refused != 0 ? advice_refused(view, node) == 0
                              : home->fulls == 0 && figures->high_water <= figures->total / 2;
}

static bool failed_there(const struct advice_view *view, unsigned node)
{
    return view->homes[node].failed != 0 && !advice_request_was_large(view, node);
}

bool advice_node_is_small(const struct advice_view *view, unsigned node)
{
    const struct hf_inspect_node *figures = &view->snapshot->nodes[node];
    return !is_growing(view, node) && figures->total != 0 &&
           (sample_percent(figures->high_water, figures->total) >= TIGHT_PERCENT ||
            failed_there(view, node) || view->homes[node].away != 0);
}

double advice_full_in_s(const struct advice_view *view, unsigned node)
{
    const struct hf_inspect_node *figures = &view->snapshot->nodes[node];
    double bytes_per_s;
    if (is_growing(view, node) || view->homes[node].failed != 0 || view->homes[node].away != 0 ||
        figures->high_water >= figures->total || !history_rises(view->history, node, &bytes_per_s))
        return 0;
    double seconds = (double)(figures->total - figures->high_water) / bytes_per_s;
    return seconds < MONTH_S ? seconds : 0;
}

/* The most that was used is of late, and there is no time known of in which it did not rise. */
static bool is_rising(const struct advice_view *view, unsigned node)
{
    const struct history *history = view->history;
    const struct hf_inspect_node *figures = &view->snapshot->nodes[node];
    bool recent =
        snapshot_age_ns(view->snapshot, figures->high_water_ticks) / 1e9 < RECENT_SHARE * view->life_s;
    return recent && (history->point_count < 2 || history_span_s(history) < RECENT_SHARE * view->life_s ||
                      history->points[0].nodes[node].high_water < figures->high_water);
}

bool advice_node_is_large(const struct advice_view *view, unsigned node)
{
    const struct hf_inspect_node *figures = &view->snapshot->nodes[node];
    return !is_growing(view, node) && !advice_node_is_small(view, node) && view->life_s >= view->settled_s &&
           !is_rising(view, node) && figures->high_water <= figures->total / 2 &&
           advice_node_bytes(view, node) <= figures->total / 4 * 3;
}

/* What the node would be if it had given what others did, by the pages taken: at most GROWTH_MAX of
 * what it is. */
static uint64_t bytes_with_away(const struct advice_view *view, unsigned node)
{
    const struct advice_home *home = &view->homes[node];
    uint64_t kept = home->taken - hfi_min(home->away, home->taken);
    double growth = kept == 0 ? GROWTH_MAX : (double)home->taken / (double)kept;
    return (uint64_t)((double)hfi_min(view->snapshot->nodes[node].total, UINT64_MAX / 16) *
                      (growth < GROWTH_MAX ? growth : GROWTH_MAX));
}

static uint64_t bytes_with_failed(const struct advice_view *view, unsigned node)
{
    const struct advice_home *home = &view->homes[node];
    uint64_t total = hfi_min(view->snapshot->nodes[node].total, UINT64_MAX / 16), asked;
    if (__builtin_mul_overflow(home->failed, advice_refused(view, node), &asked) || asked > UINT64_MAX / 4)
        asked = UINT64_MAX / 4;
    return hfi_min(hfi_max(total + asked, 2 * total), (uint64_t)(GROWTH_MAX * (double)total));
}

uint64_t advice_node_bytes(const struct advice_view *view, unsigned node)
{
    const struct hf_inspect_node *figures = &view->snapshot->nodes[node];
    bool short_of = failed_there(view, node) || view->homes[node].away != 0;
    uint64_t most = figures->high_water < UINT64_MAX / 4 ? figures->high_water : UINT64_MAX / 4;
    uint64_t wanted = most + (short_of ? hfi_min(advice_refused(view, node), UINT64_MAX / 4) : 0);
    uint64_t bytes = wanted + wanted / 4;
    if (short_of)
        bytes = hfi_max(bytes, hfi_min(figures->total, UINT64_MAX / 4) / 2 * 3);
    if (failed_there(view, node))
        bytes = hfi_max(bytes, bytes_with_failed(view, node));
    if (view->homes[node].away != 0)
        bytes = hfi_max(bytes, bytes_with_away(view, node));
    uint64_t unit = view->snapshot->header.asked_backing == HF_BACKING_1G ? HFI_GIB
                  : bytes >= 8 * HFI_GIB                                  ? 256 * HFI_MIB
                                                                          : 2 * HFI_MIB;
    return hfi_max(hfi_align_up(bytes, unit), HFI_NODE_BYTES_MIN);
}

/* As HOLDFAST_ARENA takes it. */
static void size_text(char *text, size_t text_bytes, uint64_t bytes)
{
    bool whole = bytes % HFI_GIB == 0;
    snprintf(text, text_bytes, "%llu%c",
             (unsigned long long)(whole ? bytes / HFI_GIB : hfi_divide_up(bytes, HFI_MIB)),
             whole ? 'G' : 'M');
}

void advice_arena(const struct advice_view *view, char *text, size_t text_bytes)
{
    const struct snapshot *snapshot = view->snapshot;
    char size[32];
    int used = snprintf(text, text_bytes, "HOLDFAST_ARENA=");
    for (unsigned i = 0; i < snapshot->node_count && (size_t)used < text_bytes; i++) {
        bool change = is_growing(view, i) || advice_node_is_small(view, i) || advice_node_is_large(view, i);
        size_text(size, sizeof size, change ? advice_node_bytes(view, i) : snapshot->nodes[i].total);
        used += snapshot->node_count == 1 ? snprintf(text + used, text_bytes - (size_t)used, "%s", size)
                                          : snprintf(text + used, text_bytes - (size_t)used, "%s%u:%s",
                                                     i == 0 ? "" : ",", snapshot->nodes[i].id, size);
    }
}
