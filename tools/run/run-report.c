/*
 * run-report: see run-report.h.
 *
 * Test: tests/tool.sh.
 */
#include "run/run-report.h"

#include <string.h>
#include <sys/wait.h>

#include "show/show.h"
#include "stat/stat.h"

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

/* Pages of a pool are there from the start to the end of an arena. */
static uint64_t huge_bytes(const struct run_end *end)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; end->snapshot != NULL && i < end->snapshot->node_count; i++) {
        const struct hf_inspect_node *node = &end->snapshot->nodes[i];
        bool of_pool = node->backing == HF_BACKING_1G || node->backing == HF_BACKING_2M;
        bytes += of_pool ? hfi_min(node->populated, UINT64_MAX / HF_INSPECT_MAX_NODES) : 0;
    }
    return hfi_max(bytes, end->huge_bytes);
}

static uint64_t resident_bytes(const struct run_end *end)
{
    return (uint64_t)end->usage.ru_maxrss * 1024;
}

/* --- for people --- */

static void print_memory(FILE *out, const struct run_end *end)
{
    char peak[SHOW_SHORT], huge[SHOW_SHORT], both[SHOW_SHORT];
    uint64_t of_pool = huge_bytes(end);
    if (of_pool == 0)
        fprintf(out, "  memory     resident at most %s", show_size(peak, resident_bytes(end)));
    else
        fprintf(out,
                "  memory     at most %s: %s in huge pages of the pool, and %s resident, which does not "
                "count them",
                show_size(both, resident_bytes(end) + of_pool), show_size(huge, of_pool),
                show_size(peak, resident_bytes(end)));
    fprintf(out, "; faults: %ld minor, %ld major\n", end->usage.ru_minflt, end->usage.ru_majflt);
}

static void print_node(FILE *out, const struct hf_inspect_node *node)
{
    char total[SHOW_SHORT], populated[SHOW_SHORT], used[SHOW_SHORT], high[SHOW_SHORT], meta[SHOW_SHORT];
    fprintf(out, "  node %-5u %s on %s pages%s, populated %s, own structures %s\n", node->id,
            show_size(total, node->total), snapshot_backing_name(node->backing),
            (node->flags & HF_INSPECT_NODE_GROWING) != 0 ? " (growing)" : "",
            show_size(populated, node->populated), show_size(meta, node->meta));
    fprintf(out, "             used at most %s (%.0f %%), at last %s\n", show_size(high, node->high_water),
            show_percent(node->high_water, node->total), show_size(used, node->used));
}

/* What is live at the end the program leaves to the kernel, or lost. */
static void print_live(FILE *out, const struct run_end *end)
{
    const struct snapshot *snapshot = end->snapshot;
    char most[SHOW_SHORT], text[SHOW_LIVE];
    if (end->live_most == 0 || !snapshot_live_is_known(snapshot))
        return;
    fprintf(out, "  live       at most %s, as seen ten times a second; at last:\n",
            show_size(most, end->live_most));
    fprintf(out, "             %s\n", show_live(text, snapshot, snapshot->live_bytes, snapshot->held_bytes));
}

/* A node that is not what was asked for; false when it is. */
static bool print_short(FILE *out, const struct snapshot *snapshot, const struct hf_inspect_node *node)
{
    char total[SHOW_SHORT], asked[SHOW_SHORT];
    uint32_t wanted = snapshot->header.asked_backing;
    bool small = (node->flags & HF_INSPECT_NODE_GROWING) == 0 && node->total < node->asked;
    bool slow = wanted != HF_BACKING_NONE && node->backing != wanted;
    if (small)
        fprintf(out, "  warn       node %u got %s of %s; mend: see `holdfast doctor`\n", node->id,
                show_size(total, node->total), show_size(asked, node->asked));
    if (slow)
        fprintf(out, "  warn       node %u is on %s pages, not %s; mend: see `holdfast doctor`\n", node->id,
                snapshot_backing_name(node->backing), snapshot_backing_name(wanted));
    return small || slow;
}

static void print_arena(FILE *out, const struct snapshot *snapshot)
{
    struct snapshot_sum sum;
    bool amiss = false, grows = snapshot->header.asked_arena == HF_ARENA_AUTO;
    snapshot_sum(snapshot, &sum);
    uint64_t away = snapshot_sum_away(&sum);
    for (uint32_t i = 0; i < snapshot->node_count; i++)
        print_node(out, &snapshot->nodes[i]);
    fprintf(out, "  pages      %llu fresh, %llu idle ones claimed, %llu adopted, %llu given back\n",
            (unsigned long long)sum.fresh, (unsigned long long)sum.claimed, (unsigned long long)sum.adopted,
            (unsigned long long)sum.retired);
    fprintf(out, "  blocks     %llu listed, %llu large, %llu freed into other threads' pages\n",
            (unsigned long long)sum.listed, (unsigned long long)sum.large,
            (unsigned long long)sum.remote_frees);
    for (uint32_t i = 0; i < snapshot->node_count; i++)
        amiss = print_short(out, snapshot, &snapshot->nodes[i]) || amiss;
    if (sum.failed != 0)
        fprintf(out, "  fail       %llu request%s found no room; mend: %s\n", (unsigned long long)sum.failed,
                sum.failed == 1 ? "" : "s",
                grows ? "HF-E012 says what bounds an arena without a named size" : "raise --arena");
    if (away != 0)
        fprintf(out,
                "  warn       %llu page%s came from other nodes; mend: raise --arena for the node that was "
                "full\n",
                (unsigned long long)away, away == 1 ? "" : "s");
    if (!amiss && sum.failed == 0 && away == 0)
        fprintf(out, "  ok         every node as asked, every request served from its own\n");
}

static void print_text(FILE *out, const struct run_end *end)
{
    char printable[256];
    fprintf(out, "holdfast: %s (pid %ld) ", tool_printable(printable, sizeof printable, end->name),
            (long)end->pid);
    if (WIFSIGNALED(end->status))
        fprintf(out, "was ended by signal %d (%s)\n", WTERMSIG(end->status),
                strsignal(WTERMSIG(end->status)));
    else
        fprintf(out, "exited with status %d\n", WEXITSTATUS(end->status));
    fprintf(out, "  time       %.3f s, cpu %.3f s user, %.3f s system\n", end->seconds,
            seconds(end->usage.ru_utime), seconds(end->usage.ru_stime));
    print_memory(out, end);
    if (end->snapshot == NULL)
        return;
    print_live(out, end);
    print_arena(out, end->snapshot);
}

/* --- for programs --- */

static void print_json(FILE *out, const struct run_end *end)
{
    char printable[256];
    bool killed = WIFSIGNALED(end->status);
    json_t *object = json_object();
    json_object_set_new(object, "name", json_string(tool_utf8(printable, sizeof printable, end->name)));
    json_object_set_new(object, "pid", tool_json_number((uint64_t)end->pid));
    json_object_set_new(object, "status", killed ? json_null() : json_integer(WEXITSTATUS(end->status)));
    json_object_set_new(object, "signal", killed ? json_integer(WTERMSIG(end->status)) : json_null());
    json_object_set_new(object, "seconds", json_real(end->seconds));
    json_object_set_new(object, "user_seconds", json_real(seconds(end->usage.ru_utime)));
    json_object_set_new(object, "system_seconds", json_real(seconds(end->usage.ru_stime)));
    json_object_set_new(object, "minor_faults", json_integer(end->usage.ru_minflt));
    json_object_set_new(object, "major_faults", json_integer(end->usage.ru_majflt));
    json_object_set_new(object, "resident", tool_json_number(resident_bytes(end)));
    json_object_set_new(object, "huge_pages", tool_json_number(huge_bytes(end)));
    json_object_set_new(object, "live_most",
                        end->live_most == 0 ? json_null() : tool_json_number(end->live_most));
    json_object_set_new(object, "arena", end->snapshot != NULL ? stat_json(end->snapshot) : json_null());
    json_dumpf(object, out, JSON_INDENT(2));
    fputc('\n', out);
    json_decref(object);
}

bool run_report(FILE *out, const struct run_end *end, bool json)
{
    if (json)
        print_json(out, end);
    else
        print_text(out, end);
    if (end->snapshot == NULL)
        hfi_say(SAY_WARNING, "HF-W408", "run",
                "no arena was seen: the program used less than 8 MiB of a growing one, ended at once, "
                "was not preloaded, or HOLDFAST_INSPECT=0; name a size with --arena");
    return fflush(out) == 0 && ferror(out) == 0;
}
