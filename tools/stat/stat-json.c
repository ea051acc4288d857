/*
 * stat-json: see stat.h; the keys are those of holdfast-inspect(5), which a test compares.
 *
 * Test: tests/tool-stat.sh.
 */
#include <holdfast/heap.h>
#include <string.h>

#include "kernel/os.h"
#include "show/show.h"
#include "stat/stat.h"

static void set_number(json_t *object, const char *name, uint64_t number)
{
    json_object_set_new(object, name, tool_json_number(number));
}

static void set_live_number(json_t *object, const struct snapshot *snapshot, const char *name,
                            uint64_t number)
{
    bool known = snapshot_live_is_known(snapshot);
    json_object_set_new(object, name, known ? tool_json_number(number) : json_null());
}

static void set_flag(json_t *object, const char *name, bool flag)
{
    json_object_set_new(object, name, json_boolean(flag));
}

const char *stat_event_word(uint32_t kind, char *word, size_t word_bytes)
{
    snprintf(word, word_bytes, "%s", snapshot_event_name(kind));
    for (char *at = word; *at != 0; at++)
        if (*at == ' ' || *at == '-')
            *at = '_';
    return word;
}

static json_t *node_json(const struct snapshot *snapshot, unsigned index)
{
    const struct hf_inspect_node *node = &snapshot->nodes[index];
    const struct node_pages *pages = &snapshot->node_pages[index];
    json_t *object = json_object();
    set_number(object, "id", node->id);
    json_object_set_new(object, "backing", json_string(snapshot_backing_name(node->backing)));
    set_number(object, "os_page_bytes", node->os_page_bytes);
    json_object_set_new(object, "huge",
                        snapshot->huge_is_known ? tool_json_number(snapshot->huge_bytes[index])
                                                : json_null());
    set_flag(object, "bound", (node->flags & HF_INSPECT_NODE_BOUND) != 0);
    set_flag(object, "locked", (node->flags & HF_INSPECT_NODE_LOCKED) != 0);
    set_flag(object, "growing", (node->flags & HF_INSPECT_NODE_GROWING) != 0);
    set_flag(object, "populating", (node->flags & HF_INSPECT_NODE_POPULATING) != 0);
    set_flag(object, "full", (node->flags & HF_INSPECT_NODE_FULL) != 0);
    json_object_set_new(
        object, "populate_error",
        node->populate_error == 0 ? json_null() : json_string(hfi_os_error_name((int)node->populate_error)));
    set_number(object, "asked", node->asked);
    set_number(object, "total", node->total);
    set_number(object, "populated", node->populated);
    set_number(object, "used", node->used);
    set_number(object, "idle", node->idle);
    set_number(object, "free", node->free);
    set_number(object, "high_water", node->high_water);
    json_object_set_new(object, "high_water_age_seconds",
                        json_real(snapshot_age_ns(snapshot, node->high_water_ticks) / 1e9));
    set_number(object, "large", node->large);
    set_number(object, "heaps", node->heaps);
    set_number(object, "meta", node->meta);
    set_number(object, "threads", node->theaps);
    set_number(object, "reserve", node->reserve);
    set_number(object, "reserve_used", node->reserve_used);
    set_number(object, "reserve_uses", node->reserve_uses);
    if (snapshot->pages != NULL) {
        set_number(object, "held", pages->held_bytes);
        set_live_number(object, snapshot, "live", pages->live_bytes);
        set_live_number(object, snapshot, "idle_live", pages->idle_live_bytes);
        set_live_number(object, snapshot, "magazines", pages->magazine_bytes);
        set_live_number(object, snapshot, "owned_empty", pages->owned_empty * HF_INSPECT_PAGE_BYTES);
        set_live_number(object, snapshot, "owned_partly", pages->owned_partly * HF_INSPECT_PAGE_BYTES);
        set_number(object, "longest_free", pages->longest_free * HF_INSPECT_PAGE_BYTES);
    }
    return object;
}

static void set_counters(json_t *object, const struct snapshot *snapshot, const struct snapshot_sum *sum,
                         uint64_t kept)
{
    json_t *array = json_array();
    for (size_t i = 0; i < snapshot_counter_count; i++)
        json_object_set_new(object, snapshot_counters[i].name,
                            snapshot_tells(snapshot, snapshot_counters[i].in_theap)
                                ? tool_json_number(snapshot_count(sum, &snapshot_counters[i]))
                                : json_null());
    set_number(object, "kept", kept);
    set_number(object, "away", snapshot_sum_away(sum));
    for (unsigned i = 0; i < HF_INSPECT_DISTANCES; i++)
        json_array_append_new(array, tool_json_number(sum->away[i]));
    json_object_set_new(object, "away_by_distance", array);
}

static json_t *theap_json(const struct snapshot *snapshot, unsigned index)
{
    const struct hf_inspect_theap *theap = &snapshot->theaps[index];
    struct snapshot_sum counted = { .in_use = 0 };
    json_t *object = json_object();
    char name[20];
    set_number(object, "index", index);
    set_flag(object, "in_use", theap->in_use != 0);
    json_object_set_new(
        object, "name",
        json_string(target_thread_name((pid_t)snapshot->header.pid, theap->tid, name, sizeof name)));
    set_number(object, "tid", theap->tid);
    set_number(object, "home_node", theap->home_node);
    set_number(object, "cpu", theap->cpu);
    json_object_set_new(object, "age_seconds",
                        json_real(snapshot_age_ns(snapshot, theap->updated_ticks) / 1e9));
    snapshot_add(&counted, theap);
    set_counters(object, snapshot, &counted, theap->kept);
    if (snapshot->pages != NULL) {
        set_number(object, "pages", snapshot->theap_pages[index].pages);
        set_live_number(object, snapshot, "used_bytes", snapshot->theap_pages[index].used_bytes);
    }
    return object;
}

static json_t *sum_json(const struct snapshot *snapshot, const struct snapshot_sum *sum)
{
    json_t *object = json_object();
    set_number(object, "in_use", sum->in_use);
    set_counters(object, snapshot, sum, sum->kept);
    json_object_set_new(object, "slow_seconds", json_real(snapshot_ns(snapshot, sum->slow_ticks) / 1e9));
    return object;
}

static json_t *slow_json(const struct snapshot *snapshot, const struct snapshot_sum *sum)
{
    json_t *array = json_array();
    for (unsigned i = 0; i < HF_INSPECT_BUCKETS; i++) {
        json_t *bucket = json_object();
        json_object_set_new(bucket, "from_ns",
                            json_real(i == 0 ? 0 : snapshot_ns(snapshot, (uint64_t)1 << i)));
        set_number(bucket, "calls", sum->slow[i]);
        json_array_append_new(array, bucket);
    }
    return array;
}

/* null: the library does not tell causes apart. */
static json_t *causes_json(const struct snapshot *snapshot)
{
    json_t *array = json_array();
    for (unsigned i = 0; i < snapshot->cause_count; i++) {
        const struct hf_inspect_slow *slow = &snapshot->causes[i];
        json_t *object = json_object(), *buckets = json_array();
        for (unsigned j = 0; j < HF_INSPECT_BUCKETS; j++)
            json_array_append_new(buckets, tool_json_number(slow->calls[j]));
        json_object_set_new(object, "cause", json_string(snapshot_cause_name(i)));
        set_number(object, "calls", snapshot_calls(slow->calls));
        json_object_set_new(object, "seconds", json_real(snapshot_ns(snapshot, slow->ticks) / 1e9));
        json_object_set_new(object, "longest_seconds", json_real(snapshot_ns(snapshot, slow->longest) / 1e9));
        set_number(object, "late", slow->late);
        json_object_set_new(object, "buckets", buckets);
        json_array_append_new(array, object);
    }
    if (snapshot->cause_count != 0)
        return array;
    json_decref(array);
    return json_null();
}

static json_t *classes_json(const struct snapshot *snapshot)
{
    json_t *array = json_array();
    for (unsigned i = 0; i < snapshot->class_count && snapshot->pages != NULL; i++) {
        const struct class_pages *pages = &snapshot->class_pages[i];
        json_t *object = json_object();
        set_number(object, "block_bytes", snapshot->classes[i].block_bytes);
        set_number(object, "run_pages", snapshot->classes[i].run_pages);
        set_number(object, "run_blocks", snapshot->classes[i].run_blocks);
        set_number(object, "runs", pages->runs);
        set_number(object, "pages", pages->pages);
        set_live_number(object, snapshot, "used_blocks", pages->used_blocks);
        set_number(object, "room_blocks", pages->room_blocks);
        set_live_number(object, snapshot, "waste_bytes", pages->waste_bytes);
        set_live_number(object, snapshot, "live_bytes", pages->live_bytes);
        json_array_append_new(array, object);
    }
    return array;
}

static json_t *events_json(const struct snapshot *snapshot)
{
    json_t *array = json_array();
    char word[64];
    for (unsigned i = 0; i < snapshot->event_count; i++) {
        const struct hf_inspect_event *event = &snapshot->events[i];
        json_t *object = json_object();
        set_number(object, "sequence", event->sequence);
        json_object_set_new(object, "kind", json_string(stat_event_word(event->kind, word, sizeof word)));
        json_object_set_new(object, "age_seconds", json_real(snapshot_age_ns(snapshot, event->ticks) / 1e9));
        set_number(object, "node", event->node);
        set_number(object, "tid", event->tid);
        set_number(object, "a", event->a);
        set_number(object, "b", event->b);
        json_array_append_new(array, object);
    }
    return array;
}

static void set_limit(json_t *object, const char *name, uint64_t bytes)
{
    json_object_set_new(object, name, bytes == 0 ? json_null() : tool_json_number(bytes));
}

static json_t *heap_json(const struct snapshot *snapshot, const struct hf_inspect_heap *heap)
{
    json_t *object = json_object();
    char name[2 * sizeof heap->name];
    set_number(object, "id", heap->id);
    json_object_set_new(object, "name", json_string(tool_utf8(name, sizeof name, heap->name)));
    json_object_set_new(object, "kind", json_string(snapshot_heap_kind(heap)));
    set_flag(object, "reserved", (heap->flags & HF_HEAP_RESERVED) != 0);
    set_flag(object, "interleave", (heap->flags & HF_HEAP_INTERLEAVE) != 0);
    set_flag(object, "nodump", (heap->flags & HF_HEAP_NODUMP) != 0);
    json_object_set_new(object, "node",
                        heap->node == HF_INSPECT_NO_NODE
                            ? json_null()
                            : tool_json_number(snapshot_node_id(snapshot, heap->node)));
    set_number(object, "held", heap->held);
    set_number(object, "most", heap->most);
    set_limit(object, "limit", heap->limit);
    set_limit(object, "soft_limit", heap->soft_limit);
    set_number(object, "failures", heap->failures);
    set_number(object, "crossings", heap->crossings);
    json_object_set_new(object, "age_seconds", json_real(snapshot_age_ns(snapshot, heap->made_ticks) / 1e9));
    return object;
}

/* The one that holds most first. */
static json_t *heaps_json(const struct snapshot *snapshot)
{
    static unsigned order[HF_INSPECT_MAX_HEAPS];
    unsigned count = snapshot_heap_order(snapshot, order);
    json_t *array = json_array();
    for (unsigned i = 0; i < count; i++)
        json_array_append_new(array, heap_json(snapshot, &snapshot->heaps[order[i]]));
    return array;
}

/* null: the library does not tell of heaps. */
static json_t *heap_sum_json(const struct snapshot *snapshot)
{
    const struct snapshot_heaps *sum = &snapshot->heap_sum;
    if (sum->told == 0)
        return json_null();
    json_t *object = json_object();
    set_number(object, "live", sum->live);
    set_number(object, "made", sum->made);
    set_number(object, "held", sum->held);
    set_number(object, "failures", sum->failures);
    set_number(object, "others", sum->others);
    set_number(object, "others_held", sum->others_held);
    return object;
}

static const char *asked_arena(uint32_t code)
{
    static const char *const names[] = {
        [HF_ARENA_AUTO] = "auto",
        [HF_ARENA_BYTES] = "bytes",
        [HF_ARENA_PERCENT] = "percent",
        [HF_ARENA_PER_NODE] = "per_node",
    };
    return code < sizeof names / sizeof names[0] ? names[code] : "?";
}

static json_t *options_json(uint32_t options)
{
    static const struct {
        uint32_t bit;
        const char *word;
    } words[] = {
        { HF_INSPECT_REMOTE_DENY, "remote_deny" }, { HF_INSPECT_FULL_ABORTS, "full_aborts" },
        { HF_INSPECT_DONTFORK, "dontfork" },       { HF_INSPECT_STRICT, "strict" },
        { HF_INSPECT_LOCK_NO, "lock_no" },         { HF_INSPECT_PLACE_INTERLEAVE, "place_interleave" },
        { HF_INSPECT_PLACE_NODE, "place_node" },   { HF_INSPECT_SECURE, "secure" },
    };
    json_t *array = json_array();
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if ((options & words[i].bit) != 0)
            json_array_append_new(array, json_string(words[i].word));
    return array;
}

static void set_live(json_t *object, const struct snapshot *snapshot)
{
    bool mapped = snapshot->live_known != LIVE_UNKNOWN;
    set_live_number(object, snapshot, "live", snapshot->live_bytes);
    json_object_set_new(object, "held", mapped ? tool_json_number(snapshot->held_bytes) : json_null());
    set_live_number(object, snapshot, "unused", snapshot->held_bytes - snapshot->live_bytes);
    set_live_number(object, snapshot, "magazines", snapshot->magazine_bytes);
    json_object_set_new(object, "live_as_of", mapped ? json_string(show_live_as_of(snapshot)) : json_null());
}

json_t *stat_json(const struct snapshot *snapshot)
{
    const struct hf_inspect_segment *header = &snapshot->header;
    struct snapshot_sum sum;
    char name[64], unit[sizeof header->unit], library[sizeof header->library];
    json_t *object = json_object(), *nodes = json_array(), *theaps = json_array();
    snapshot_sum(snapshot, &sum);
    for (unsigned i = 0; i < snapshot->node_count; i++)
        json_array_append_new(nodes, node_json(snapshot, i));
    for (unsigned i = 0; i < snapshot->theap_count; i++)
        if (!snapshot_theap_is_blank(&snapshot->theaps[i]))
            json_array_append_new(theaps, theap_json(snapshot, i));
    set_number(object, "version", header->version);
    json_object_set_new(object, "library",
                        json_string(tool_printable(library, sizeof library, header->library)));
    set_number(object, "pid", header->pid);
    json_object_set_new(object, "name", json_string(target_shown_name(snapshot, name, sizeof name)));
    json_object_set_new(object, "unit",
                        header->unit[0] == 0 ? json_null()
                                             : json_string(tool_utf8(unit, sizeof unit, header->unit)));
    set_flag(object, "killed", snapshot->is_kept);
    set_number(object, "start_ticks", header->start_ticks);
    json_object_set_new(object, "age_seconds",
                        json_real(snapshot_age_ns(snapshot, header->clock_ticks) / 1e9));
    set_live(object, snapshot);
    set_number(object, "arena_base", header->arena_base);
    set_number(object, "arena_span", header->arena_span);
    set_number(object, "forks", header->forks);
    set_number(object, "reports", header->reports);
    set_number(object, "registered", header->registered);
    json_object_set_new(object, "asked_arena", json_string(asked_arena(header->asked_arena)));
    const char *backing =
        header->asked_backing == HF_BACKING_NONE ? "auto" : snapshot_backing_name(header->asked_backing);
    json_object_set_new(object, "asked_backing", json_string(backing));
    json_object_set_new(object, "options", options_json(header->options));
    set_number(object, "event_count", header->event_count);
    set_number(object, "theap_count", header->theap_count);
    json_object_set_new(object, "nodes", nodes);
    json_object_set_new(object, "sum", sum_json(snapshot, &sum));
    json_object_set_new(object, "slow", slow_json(snapshot, &sum));
    json_object_set_new(object, "slo_seconds",
                        header->slo_ns == 0 ? json_null() : json_real((double)header->slo_ns / 1e9));
    set_flag(object, "interrupted_told", snapshot_tells_interrupted(snapshot));
    json_object_set_new(object, "causes", causes_json(snapshot));
    json_object_set_new(object, "classes", classes_json(snapshot));
    json_object_set_new(object, "theaps", theaps);
    json_object_set_new(object, "heap_sum", heap_sum_json(snapshot));
    json_object_set_new(object, "heaps", heaps_json(snapshot));
    json_object_set_new(object, "events", events_json(snapshot));
    return object;
}
