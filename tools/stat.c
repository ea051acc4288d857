/*
 * stat: figures of a live process, read from its inspection segment without stopping it.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "segment.h"
#include "tool.h"

#define PIDS_MAX 256

static const char usage[] =
    "usage: holdfast stat [--json] [PID]\n"
    "\n"
    "Prints the arena of a running process: per node its size, backing and use, and what its\n"
    "threads did on their slow paths.  Without PID: the only process of this user that has an arena.\n"
    "Segments left behind by killed processes are removed.\n"
    "\n"
    "  --json  as JSON, sizes in bytes\n"
    "  --help  this text\n"
    "\n"
    "Exits 1 when the process shows no arena, 2 when several could be meant.\n";

static const struct option long_options[] = {
    { "json", no_argument, NULL, 'j' },
    { "help", no_argument, NULL, 'h' },
    { NULL, 0, NULL, 0 },
};

static json_t *node_json(const struct hf_inspect_node *node)
{
    return json_pack("{s:i, s:s, s:b, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "id", (int)node->id, "backing",
                     segment_backing_name(node->backing), "bound", !!(node->flags & HF_INSPECT_NODE_BOUND), "locked",
                     !!(node->flags & HF_INSPECT_NODE_LOCKED), "growing", !!(node->flags & HF_INSPECT_NODE_GROWING), "total",
                     (json_int_t)node->total, "populated", (json_int_t)node->populated, "used", (json_int_t)node->used, "idle",
                     (json_int_t)node->idle, "free", (json_int_t)node->free, "high_water", (json_int_t)node->high_water, "large",
                     (json_int_t)node->large, "meta", (json_int_t)node->meta);
}

static json_t *segment_json(const struct hf_inspect_segment *segment)
{
    struct hf_inspect_theap sum;
    json_t *nodes = json_array();
    for (uint32_t i = 0; i < segment->node_count; i++)
        json_array_append_new(nodes, node_json(&segment->nodes[i]));
    segment_sum(segment, &sum);
    json_t *paths = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "fast", (json_int_t)sum.listed, "collected",
                              (json_int_t)sum.collected, "claimed", (json_int_t)sum.claimed, "fresh", (json_int_t)sum.fresh, "adopted",
                              (json_int_t)sum.adopted, "retired", (json_int_t)sum.retired, "remote_frees",
                              (json_int_t)sum.remote_frees, "large", (json_int_t)sum.large);
    return json_pack("{s:I, s:i, s:I, s:I, s:o, s:o}", "pid", (json_int_t)segment->pid, "version", (int)segment->version, "theaps_in_use",
                     (json_int_t)sum.in_use, "kept", (json_int_t)sum.kept, "nodes", nodes, "paths", paths);
}

/* The process meant when none is named. */
static int only_process(pid_t *pid)
{
    pid_t pids[PIDS_MAX];
    size_t count = segment_list(pids, PIDS_MAX);
    if (count == 1) {
        *pid = pids[0];
        return 0;
    }
    if (count == 0) {
        fprintf(stderr, "holdfast stat: error HF-E404: no process of this user shows an arena; start one with `holdfast run`\n");
        return TOOL_EXIT_NO;
    }
    fprintf(stderr, "holdfast stat: error HF-E405: %zu processes have an arena; name one of:", count);
    for (size_t i = 0; i < count && i < PIDS_MAX; i++)
        fprintf(stderr, " %ld", (long)pids[i]);
    fputc('\n', stderr);
    return TOOL_EXIT_USAGE;
}

static int run(int argc, char **argv)
{
    static struct hf_inspect_segment segment;
    char why[256];
    bool json = false;
    pid_t pid = 0;
    int option;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (option == 'j')
            json = true;
        else if (option == 'h')
            return fputs(usage, stdout), 0;
        else
            return TOOL_EXIT_USAGE;
    }
    if (argc - optind > 1)
        return tool_usage_error(&tool_stat_command, "more than one PID");
    if (optind < argc) {
        char *end;
        long number = strtol(argv[optind], &end, 10);
        if (*end != 0 || number <= 0 || number > 1 << 30)
            return tool_usage_error(&tool_stat_command, "'%s' is no process number", argv[optind]);
        pid = (pid_t)number;
        segment_list(NULL, 0); /* sweeps */
    } else {
        int error = only_process(&pid);
        if (error != 0)
            return error;
    }
    if (segment_read(pid, &segment, why, sizeof why) != 0) {
        fprintf(stderr, "holdfast stat: error HF-E406: process %ld: %s\n", (long)pid, why);
        return TOOL_EXIT_NO;
    }
    if (json)
        tool_print_json(segment_json(&segment));
    else
        segment_print(&segment, stdout);
    return 0;
}

const struct tool_command tool_stat_command = { "stat", "figures of a running process", usage, run };
