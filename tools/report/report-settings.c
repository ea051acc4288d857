/*
 * report-settings: see report-settings.h.
 *
 * Test: tests/tool-report.sh.
 */
#include "report/report-settings.h"

#include <string.h>

struct list {
    struct report_setting *settings;
    unsigned count;
    enum report_setting_kind kind;
};

static void add(struct list *list, const char *name, const char *format, ...) HFI_PRINTF(3, 4);
static void add(struct list *list, const char *name, const char *format, ...)
{
    struct report_setting *setting = &list->settings[list->count];
    va_list arguments;
    if (list->count == REPORT_SETTINGS_MAX)
        return;
    list->count++;
    setting->kind = list->kind;
    snprintf(setting->name, sizeof setting->name, "%s", name);
    va_start(arguments, format);
    vsnprintf(setting->value, sizeof setting->value, format, arguments);
    va_end(arguments);
}

/* --- what was asked for --- */

/* What was asked of each node, and in which form. */
static void add_arena(struct list *list, const struct snapshot *snapshot)
{
    uint64_t asked = 0;
    char text[1024];
    int length = 0;
    for (unsigned i = 0; i < snapshot->node_count; i++)
        asked += snapshot->nodes[i].asked;
    switch (snapshot->header.asked_arena) {
    case HF_ARENA_AUTO:
        add(list, "HOLDFAST_ARENA", "auto: grows as it is used, to %s at most", BYTES(asked));
        break;
    case HF_ARENA_PERCENT: add(list, "HOLDFAST_ARENA", "a share of memory: %s", BYTES(asked)); break;
    case HF_ARENA_PER_NODE:
        for (unsigned i = 0; i < snapshot->node_count && length < (int)sizeof text; i++)
            length += snprintf(text + length, sizeof text - (size_t)length, "%snode %u: %s",
                               i == 0 ? "" : ", ", snapshot->nodes[i].id, BYTES(snapshot->nodes[i].asked));
        add(list, "HOLDFAST_ARENA", "%s", text);
        break;
    default: add(list, "HOLDFAST_ARENA", "%s", BYTES(asked)); break;
    }
}

/* Of HOLDFAST_NODES the segment tells whether nodes were named, and which of them serve memory. */
static void add_nodes(struct list *list, const struct snapshot *snapshot)
{
    char text[512] = "";
    int length = 0;
    if ((snapshot->header.options & HF_INSPECT_NODES_NAMED) == 0) {
        add(list, "HOLDFAST_NODES", "all");
        return;
    }
    for (unsigned i = 0; i < snapshot->node_count && length < (int)sizeof text; i++)
        length += snprintf(text + length, sizeof text - (size_t)length, "%s%u", i == 0 ? "" : ",",
                           snapshot->nodes[i].id);
    add(list, "HOLDFAST_NODES", "%s", text);
}

static void add_flags(struct list *list, uint32_t options)
{
    bool told = (options & HF_INSPECT_OPTIONS_TOLD) != 0;
    if (options & HF_INSPECT_PLACE_INTERLEAVE)
        add(list, "HOLDFAST_PLACE", "interleave");
    else if (options & HF_INSPECT_PLACE_NODE && told)
        add(list, "HOLDFAST_PLACE", "node:%u", HF_INSPECT_PLACE_NODE_ID(options));
    else
        add(list, "HOLDFAST_PLACE", "%s", options & HF_INSPECT_PLACE_NODE ? "of one node" : "local");
    add(list, "HOLDFAST_REMOTE", "%s", options & HF_INSPECT_REMOTE_DENY ? "deny" : "allow");
    add(list, "HOLDFAST_ON_FULL", "%s", options & HF_INSPECT_FULL_ABORTS ? "abort" : "fail");
    add(list, "HOLDFAST_FORK", "%s", options & HF_INSPECT_DONTFORK ? "dontfork" : "private");
    add(list, "HOLDFAST_LOCK", "%s",
        options & HF_INSPECT_LOCK_NO    ? "no"
        : !told                         ? "auto or yes"
        : options & HF_INSPECT_LOCK_YES ? "yes"
                                        : "auto");
    add(list, "HOLDFAST_PREFAULT", "%s",
        !told                                      ? "not told by this version of the library"
        : options & HF_INSPECT_PREFAULT_BACKGROUND ? "background"
        : options & HF_INSPECT_PREFAULT_NONE       ? "none"
                                                   : "startup");
    add(list, "HOLDFAST_STRICT", "%s", options & HF_INSPECT_STRICT ? "1" : "0");
}

static void add_asked(struct list *list, const struct snapshot *snapshot)
{
    const struct hf_inspect_segment *header = &snapshot->header;
    list->kind = SETTING_ASKED;
    add(list, "library", "%s%s", header->library,
        header->options & HF_INSPECT_SECURE ? ", secure build" : "");
    add_arena(list, snapshot);
    add(list, "HOLDFAST_BACKING", "%s",
        header->asked_backing == HF_BACKING_NONE ? "auto" : snapshot_backing_name(header->asked_backing));
    if (header->options & HF_INSPECT_OPTIONS_TOLD)
        add_nodes(list, snapshot);
    else
        add(list, "HOLDFAST_NODES", "not told by this version of the library");
    add_flags(list, header->options);
}

/* --- where it runs --- */

static char *limit_text(char *text, uint64_t bytes)
{
    if (bytes == ORIGIN_UNLIMITED)
        snprintf(text, REPORT_TEXT, "unlimited");
    else
        report_bytes(text, bytes);
    return text;
}
#define LIMIT(bytes) limit_text((char[REPORT_TEXT]){ 0 }, bytes)

static void add_command(struct list *list, const struct report *report)
{
    const struct sample_origin *origin = &report->sample->origin;
    if (report->without_command || origin->command[0] == 0)
        add(list, "command line", "left out");
    else if (origin->hidden != 0)
        add(list, "command line", "%s (%s hidden)", origin->command,
            COUNTED(origin->hidden, "value is", "values are"));
    else
        add(list, "command line", "%s", origin->command);
}

static void add_origin(struct list *list, const struct report *report)
{
    const struct sample_origin *origin = &report->sample->origin;
    if (origin->host[0] == 0)
        return;
    add(list, "host", "%s", origin->host);
    add(list, "kernel", "%s", origin->kernel);
    add_command(list, report);
    add(list, "allowed", "CPUs %s, nodes %s", origin->cpus, origin->nodes);
    if (origin->cgroup[0] == 0)
        return;
    add(list, "cgroup", "%s", origin->cgroup);
    add(list, "cgroup limits", "memory %s, throttled from %s; huge pages of 2 MiB %s, of 1 GiB %s",
        LIMIT(origin->cgroup_memory_bytes), LIMIT(origin->cgroup_high_bytes),
        LIMIT(origin->cgroup_pool_bytes[0]), LIMIT(origin->cgroup_pool_bytes[1]));
}

static char *known_text(char *text, uint64_t bytes)
{
    if (bytes == 0 || bytes == UINT64_MAX)
        return strcpy(text, "an unknown amount");
    return report_bytes(text, bytes);
}
#define KNOWN(bytes) known_text((char[REPORT_TEXT]){ 0 }, bytes)

static void add_node(struct list *list, const struct report *report, unsigned index)
{
    const struct machine_node *machine = &report->sample->machine.nodes[index];
    const struct hf_inspect_node *node = &report->snapshot->nodes[index];
    char name[32];
    snprintf(name, sizeof name, "node %u", node->id);
    add(list, name, "%s, %s; %s of memory; pools: %s of 2 MiB, %s of 1 GiB",
        (node->flags & HF_INSPECT_NODE_BOUND) != 0 ? "bound" : "not bound",
        (node->flags & HF_INSPECT_NODE_LOCKED) != 0 ? "locked" : "not locked", KNOWN(machine->memory_bytes),
        COUNTED(machine->pool_pages[0], "page", "pages"), COUNT(machine->pool_pages[1]));
    list->kind = SETTING_MOMENT;
    snprintf(name, sizeof name, "node %u, free", node->id);
    add(list, name, "%s of memory available; pools: %s of 2 MiB, %s of 1 GiB",
        KNOWN(machine->available_bytes), COUNTED(machine->pool_free[0], "page", "pages"),
        COUNT(machine->pool_free[1]));
    list->kind = SETTING_PLACE;
}

static void add_place(struct list *list, const struct report *report)
{
    static const char *const thp[] = { "unknown", "never", "madvise", "always" };
    const struct machine *machine = &report->sample->machine;
    const struct hf_inspect_segment *header = &report->snapshot->header;
    list->kind = SETTING_PLACE;
    add_origin(list, report);
    add(list, "process", "%s, %s pinned for rings of io_uring", COUNTED(header->forks, "fork", "forks"),
        BYTES(header->registered));
    add(list, "machine", "transparent huge pages %s, swap %s, the process may lock %s",
        thp[machine->thp < 4 ? machine->thp : 0], BYTES(machine->swap_bytes),
        machine->memlock_bytes == UINT64_MAX ? "any amount" : BYTES(machine->memlock_bytes));
    for (unsigned i = 0; i < report->snapshot->node_count; i++)
        add_node(list, report, i);
}

unsigned report_settings_list(const struct report *report, struct report_setting *settings)
{
    struct list list = { .settings = settings };
    add_asked(&list, report->snapshot);
    add_place(&list, report);
    return list.count;
}

/* --- on the page --- */

static void table_of(const struct report *report, const struct report_setting *settings, unsigned count,
                     enum report_setting_kind kind, const char *caption)
{
    report_figure(report, "", "%s", caption);
    fprintf(report->out,
            "<div class=\"scroll whole\" tabindex=\"0\" role=\"region\" aria-label=\"%s%s%s\"><table "
            "class=\"wrap\"><tbody>\n",
            report->side == NULL ? "" : report->side, report->side == NULL ? "" : ": ", caption);
    for (unsigned i = 0; i < count; i++) {
        if ((settings[i].kind == SETTING_ASKED) != (kind == SETTING_ASKED))
            continue;
        fprintf(report->out, "<tr><th scope=\"row\">%s</th><td class=\"t\">", settings[i].name);
        report_text(report->out, settings[i].value);
        fputs("</td></tr>\n", report->out);
    }
    fputs("</tbody></table></div>\n", report->out);
    report_figure_end(report);
}

void report_settings(const struct report *report)
{
    static struct report_setting settings[REPORT_SETTINGS_MAX];
    unsigned count = report_settings_list(report, settings);
    table_of(report, settings, count, SETTING_ASKED, "As asked for");
    table_of(report, settings, count, SETTING_PLACE, "Where it ran");
}
