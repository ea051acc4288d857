/*
 * openmetrics: see stat.h; OpenMetrics 1.0 text, for the textfile collector of a metrics system.
 *
 * One table names each figure; families are printed whole, one after the other, as the format wants
 * it.  No type is used that the older text format does not have: node_exporter's collector would
 * refuse the file.
 *
 * Test: tests/tool-stat.sh, by prometheus_client's parser; tests/exporter.sh, by promtool.
 */
#include <string.h>

#include "stat/openmetrics.h"

#define LE_LEAST 5u /* 32 ns */
#define LE_MOST 30u /* 1.07 s */

/* --- nodes --- */

static const struct node_gauge {
    const char *name;
    const char *help;
    size_t offset; /* in struct hf_inspect_node */
} node_gauges[] = {
    { "arena_bytes", "Size of the arena.", offsetof(struct hf_inspect_node, total) },
    { "populated_bytes", "Part of the arena that is populated.",
      offsetof(struct hf_inspect_node, populated) },
    { "used_bytes", "Pages that are handed out or held.", offsetof(struct hf_inspect_node, used) },
    { "idle_bytes", "Of used: unowned pages with room, if only for one block.",
      offsetof(struct hf_inspect_node, idle) },
    { "free_bytes", "Free pages.", offsetof(struct hf_inspect_node, free) },
    { "high_water_bytes", "Most ever used.", offsetof(struct hf_inspect_node, high_water) },
    { "large_bytes", "Of used: blocks of whole pages, and pages of heaps.",
      offsetof(struct hf_inspect_node, large) },
    { "heaps_bytes", "Of large: pages of heaps.", offsetof(struct hf_inspect_node, heaps) },
    { "metadata_bytes", "Of used: Holdfast's own structures.", offsetof(struct hf_inspect_node, meta) },
    { "reserve_bytes", "What HOLDFAST_RESERVE keeps, used or free.",
      offsetof(struct hf_inspect_node, reserve) },
    { "reserve_used_bytes", "Of reserve, and of used.", offsetof(struct hf_inspect_node, reserve_used) },
};

/* What follows from the page map. */
static const struct live_gauge {
    const char *name;
    const char *help;
    size_t offset; /* in struct node_pages */
    bool of_live;  /* left out where live bytes are not known */
} live_gauges[] = {
    { "live_bytes", "Bytes of the blocks that the program has.", offsetof(struct node_pages, live_bytes),
      true },
    { "held_bytes", "Pages of blocks, large ones included: live bytes, and what is unused in their pages.",
      offsetof(struct node_pages, held_bytes), false },
    { "idle_live_bytes", "Of idle: bytes of blocks that are in use.",
      offsetof(struct node_pages, idle_live_bytes), true },
    { "magazine_bytes", "Of held, and not live: freed blocks that threads keep for their next requests.",
      offsetof(struct node_pages, magazine_bytes), true },
};

/* A figure of each node; `first` is the first node's, and the others follow it at that distance. */
static void print_of_nodes(const struct snapshot *snapshot, const char *name, const char *first,
                           size_t distance)
{
    for (unsigned node = 0; node < snapshot->node_count; node++) {
        uint64_t value;
        memcpy(&value, first + node * distance, sizeof value);
        printf("holdfast_%s{%s,node=\"%u\",index=\"%u\"} %llu\n", name, openmetrics_labels(),
               snapshot->nodes[node].id, node, (unsigned long long)value);
    }
}

static void print_live(const struct snapshot *snapshot)
{
    for (size_t i = 0; i < sizeof live_gauges / sizeof live_gauges[0]; i++) {
        if (live_gauges[i].of_live && !snapshot_live_is_known(snapshot))
            continue;
        openmetrics_head(live_gauges[i].name, "gauge", "bytes", live_gauges[i].help);
        print_of_nodes(snapshot, live_gauges[i].name,
                       (const char *)snapshot->node_pages + live_gauges[i].offset,
                       sizeof snapshot->node_pages[0]);
    }
    openmetrics_head(
        "live_exact", "gauge", NULL,
        "1 where live bytes and blocks are exact, 0 where there are at most so many, or none are told.");
    printf("holdfast_live_exact{%s} %d\n", openmetrics_labels(), snapshot_live_is_exact(snapshot));
}

static void print_nodes(const struct snapshot *snapshot)
{
    for (size_t i = 0; i < sizeof node_gauges / sizeof node_gauges[0]; i++) {
        openmetrics_head(node_gauges[i].name, "gauge", "bytes", node_gauges[i].help);
        print_of_nodes(snapshot, node_gauges[i].name, (const char *)snapshot->nodes + node_gauges[i].offset,
                       sizeof snapshot->nodes[0]);
    }
    openmetrics_head("node_full", "gauge", NULL, "1 while what was asked for last did not fit on the node.");
    for (unsigned node = 0; node < snapshot->node_count; node++)
        printf("holdfast_node_full{%s,node=\"%u\",index=\"%u\"} %d\n", openmetrics_labels(),
               snapshot->nodes[node].id, node, (snapshot->nodes[node].flags & HF_INSPECT_NODE_FULL) != 0);
    openmetrics_head("threads", "gauge", NULL, "Threads that have a theap, by home node.");
    for (unsigned node = 0; node < snapshot->node_count; node++)
        printf("holdfast_threads{%s,node=\"%u\",index=\"%u\"} %llu\n", openmetrics_labels(),
               snapshot->nodes[node].id, node, (unsigned long long)snapshot->nodes[node].theaps);
}

/* --- counters --- */

static void print_counters(const struct snapshot *snapshot, const struct snapshot_sum *sum)
{
    const struct counter *counters = snapshot_counters;
    openmetrics_head("pages", "counter", NULL,
                     "Pages that slow paths found, by path; large counts blocks of whole pages.");
    for (size_t i = 0; i < snapshot_counter_count; i++)
        if (counters[i].family == NULL && counters[i].help != NULL)
            printf("holdfast_pages_total{%s,path=\"%s\"} %llu\n", openmetrics_labels(), counters[i].name,
                   (unsigned long long)snapshot_count(sum, &counters[i]));
    openmetrics_head(
        "away", "counter", NULL,
        "Pages from another node than the one wanted, by distance: 1 the nearest other node, 4 the fourth "
        "and farther.");
    for (unsigned i = 0; i < HF_INSPECT_DISTANCES; i++)
        printf("holdfast_away_total{%s,distance=\"%u\"} %llu\n", openmetrics_labels(), i + 1,
               (unsigned long long)sum->away[i]);
    for (size_t i = 0; i < snapshot_counter_count; i++)
        if (counters[i].family != NULL && snapshot_tells(snapshot, counters[i].in_theap))
            openmetrics_counter(counters[i].family, counters[i].help, snapshot_count(sum, &counters[i]));
    openmetrics_counter("reports", "Reports of a full arena.", snapshot->header.reports);
    openmetrics_counter("forks", "Forks of the process.", snapshot->header.forks);
}

/* The segment's buckets end at powers of two of ticks, whose rate every scrape measures anew;
 * bounds of time series must stay the same.  So they are powers of two of nanoseconds, and a bucket
 * counts under the first that it ends at or below, within a hundredth; the segment's last bucket
 * has no end. */
static void print_histogram(const struct snapshot *snapshot, const char *name, const char *label,
                            const uint64_t buckets[HF_INSPECT_BUCKETS], uint64_t ticks)
{
    uint64_t calls = 0;
    unsigned bucket = 0;
    for (unsigned power = LE_LEAST; power <= LE_MOST; power++) {
        double le_ns = (double)((uint64_t)1 << power);
        while (bucket + 1 < HF_INSPECT_BUCKETS &&
               snapshot_ns(snapshot, (uint64_t)2 << bucket) <= 1.01 * le_ns)
            calls += buckets[bucket++];
        printf("holdfast_%s_bucket{%s%s,le=\"%.10g\"} %llu\n", name, openmetrics_labels(), label, le_ns / 1e9,
               (unsigned long long)calls);
    }
    while (bucket < HF_INSPECT_BUCKETS)
        calls += buckets[bucket++];
    printf("holdfast_%s_bucket{%s%s,le=\"+Inf\"} %llu\n", name, openmetrics_labels(), label,
           (unsigned long long)calls);
    printf("holdfast_%s_sum{%s%s} %.9g\n", name, openmetrics_labels(), label,
           snapshot_ns(snapshot, ticks) / 1e9);
    printf("holdfast_%s_count{%s%s} %llu\n", name, openmetrics_labels(), label, (unsigned long long)calls);
}

static void print_slow(const struct snapshot *snapshot, const struct snapshot_sum *sum)
{
    openmetrics_head("slow_path_seconds", "histogram", "seconds",
                     "Calls that had to look beyond their thread's own pages, by how long that took.");
    print_histogram(snapshot, "slow_path_seconds", "", sum->slow, sum->slow_ticks);
}

/* A library that does not tell causes apart has no such family. */
static void print_causes(const struct snapshot *snapshot)
{
    char label[48];
    if (snapshot->cause_count == 0)
        return;
    openmetrics_head(
        "slow_call_seconds", "histogram", "seconds",
        "Calls that left the fast path, by cause; of those that their own pages served, an estimate.");
    for (unsigned i = 0; i < snapshot->cause_count; i++) {
        snprintf(label, sizeof label, ",cause=\"%s\"", snapshot_cause_name(i));
        print_histogram(snapshot, "slow_call_seconds", label, snapshot->causes[i].calls,
                        snapshot->causes[i].ticks);
    }
    openmetrics_head("longest_call_seconds", "gauge", "seconds",
                     "The longest of these calls so far, by cause.");
    for (unsigned i = 0; i < snapshot->cause_count; i++)
        printf("holdfast_longest_call_seconds{%s,cause=\"%s\"} %.9g\n", openmetrics_labels(),
               snapshot_cause_name(i), snapshot_ns(snapshot, snapshot->causes[i].longest) / 1e9);
    openmetrics_head("late_calls", "counter", NULL, "Calls that took longer than HOLDFAST_SLO, by cause.");
    for (unsigned i = 0; i < snapshot->cause_count; i++)
        printf("holdfast_late_calls_total{%s,cause=\"%s\"} %llu\n", openmetrics_labels(),
               snapshot_cause_name(i), (unsigned long long)snapshot->causes[i].late);
}

/* --- size classes --- */

static void print_class_family(const struct snapshot *snapshot, const char *name, const char *unit,
                               const char *help, uint64_t (*value)(const struct class_pages *pages))
{
    openmetrics_head(name, "gauge", unit, help);
    for (unsigned i = 0; i < snapshot->class_count; i++)
        if (snapshot->class_pages[i].pages != 0)
            printf("holdfast_%s{%s,class=\"%u\",block=\"%u\"} %llu\n", name, openmetrics_labels(), i,
                   snapshot->classes[i].block_bytes, (unsigned long long)value(&snapshot->class_pages[i]));
}

static uint64_t class_bytes(const struct class_pages *pages)
{
    return pages->pages * HF_INSPECT_PAGE_BYTES;
}

static uint64_t class_used(const struct class_pages *pages)
{
    return pages->used_blocks;
}

static uint64_t class_waste(const struct class_pages *pages)
{
    return pages->waste_bytes;
}

void stat_metrics(const struct snapshot *snapshot, enum stat_metrics_form form)
{
    struct snapshot_sum sum;
    char library[sizeof snapshot->header.library];
    snapshot_sum(snapshot, &sum);
    openmetrics_set_labels(snapshot);
    openmetrics_set_form(form);
    tool_printable(library, sizeof library, snapshot->header.library);
    for (char *at = library; *at != 0; at++)
        if (*at == '"' || *at == '\\')
            *at = '?';
    openmetrics_head("library", "gauge", NULL, "1; its label names the library that the process runs with.");
    printf("holdfast_library{%s,version=\"%s\"} 1\n", openmetrics_labels(), library);
    print_nodes(snapshot);
    print_counters(snapshot, &sum);
    print_slow(snapshot, &sum);
    print_causes(snapshot);
    if (snapshot->pages != NULL) {
        print_live(snapshot);
        print_class_family(snapshot, "class_bytes", "bytes", "Pages of a size class.", class_bytes);
    }
    if (snapshot_live_is_known(snapshot)) {
        print_class_family(snapshot, "class_blocks", NULL, "Live blocks of a size class.", class_used);
        print_class_family(snapshot, "class_waste_bytes", "bytes",
                           "Bytes of a size class's pages that are in no live block.", class_waste);
    }
    openmetrics_heaps(snapshot);
}

void stat_metrics_end(enum stat_metrics_form form)
{
    if (form == METRICS_OPEN)
        printf("# EOF\n");
}
