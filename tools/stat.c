/*
 * stat: shows the arena of a running process.
 *
 * Neither ptrace nor root is needed for a process of the same user, and the process is not
 * stopped: its inspection segment is copied and printed.
 *
 * Test: tests/tool.sh.
 */
#include "os.h"
#include "tool.h"

/* --- printing --- */

static void print_flags(uint32_t flags)
{
    printf("%s, %s, %s", (flags & HF_INSPECT_NODE_BOUND) != 0 ? "bound" : "not bound",
           (flags & HF_INSPECT_NODE_LOCKED) != 0 ? "locked" : "not locked",
           (flags & HF_INSPECT_NODE_GROWING) != 0 ? "growing" : (flags & HF_INSPECT_NODE_POPULATING) != 0 ? "being populated" : "fixed");
}

static void print_share(const char *what, uint64_t bytes, uint64_t of)
{
    char text[16];
    printf("  %-14s %10s", what, hfi_format_bytes(text, sizeof text, bytes));
    if (of != 0)
        printf("  %5.1f %%", 100.0 * (double)bytes / (double)of);
    putchar('\n');
}

static void print_node(const struct hf_inspect_node *node)
{
    char total[16];
    printf("node %u: %s on %s pages, ", node->id, hfi_format_bytes(total, sizeof total, node->total), snapshot_backing_name(node->backing));
    print_flags(node->flags);
    putchar('\n');
    print_share("populated", node->populated, node->total);
    if (node->populate_error != 0)
        printf("  %-14s %10s\n", "not populated", hfi_os_error_name((int)node->populate_error));
    print_share("used", node->used, node->total);
    print_share("idle", node->idle, node->total);
    print_share("free", node->free, node->total);
    print_share("high water", node->high_water, node->total);
    print_share("large", node->large, node->total);
    print_share("own structures", node->meta, node->total);
}

static void print_count(const char *name, uint64_t count, const char *meaning)
{
    printf("  %-14s %14llu  %s\n", name, (unsigned long long)count, meaning);
}

static int print_text(const struct snapshot *snapshot)
{
    const struct hf_inspect_segment *segment = &snapshot->header;
    struct snapshot_sum sum;
    char name[64], kept[16];
    snapshot_sum(snapshot, &sum);
    printf("process %llu (%s), arena at 0x%llx\n", (unsigned long long)segment->pid, target_name((pid_t)segment->pid, name, sizeof name),
           (unsigned long long)segment->arena_base);
    for (uint32_t i = 0; i < snapshot->node_count; i++)
        print_node(&snapshot->nodes[i]);
    printf("threads with a theap: %llu, holding back %s of empty pages\n", (unsigned long long)sum.in_use,
           hfi_format_bytes(kept, sizeof kept, sum.kept));
    print_count("listed", sum.listed, "blocks that the fast path hands out");
    print_count("collected", sum.collected, "refills from a page the thread already had");
    print_count("claimed", sum.claimed, "idle pages taken over");
    print_count("fresh", sum.fresh, "fresh pages cut into blocks");
    print_count("adopted", sum.adopted, "own pages won back by freeing into them");
    print_count("retired", sum.retired, "pages given back to a node");
    print_count("remote frees", sum.remote_frees, "blocks freed into pages of other threads");
    print_count("large", sum.large, "blocks of whole pages");
    print_count("away", snapshot_sum_away(&sum), "of claimed, fresh and large: from another node, theirs being full");
    return fflush(stdout) != 0;
}

static void set_number(json_t *object, const char *name, uint64_t number)
{
    json_object_set_new(object, name, tool_json_number(number));
}

static json_t *node_json(const struct hf_inspect_node *node)
{
    json_t *object = json_object();
    set_number(object, "id", node->id);
    json_object_set_new(object, "backing", json_string(snapshot_backing_name(node->backing)));
    json_object_set_new(object, "bound", json_boolean((node->flags & HF_INSPECT_NODE_BOUND) != 0));
    json_object_set_new(object, "locked", json_boolean((node->flags & HF_INSPECT_NODE_LOCKED) != 0));
    json_object_set_new(object, "growing", json_boolean((node->flags & HF_INSPECT_NODE_GROWING) != 0));
    json_object_set_new(object, "populating", json_boolean((node->flags & HF_INSPECT_NODE_POPULATING) != 0));
    json_object_set_new(object, "populate_error", node->populate_error == 0 ? json_null() : json_string(hfi_os_error_name((int)node->populate_error)));
    set_number(object, "total", node->total);
    set_number(object, "populated", node->populated);
    set_number(object, "used", node->used);
    set_number(object, "idle", node->idle);
    set_number(object, "free", node->free);
    set_number(object, "high_water", node->high_water);
    set_number(object, "large", node->large);
    set_number(object, "meta", node->meta);
    return object;
}

static json_t *theap_json(uint32_t index, const struct hf_inspect_theap *theap)
{
    json_t *object = json_object();
    set_number(object, "index", index);
    json_object_set_new(object, "in_use", json_boolean(theap->in_use != 0));
    set_number(object, "home_node", theap->home_node);
    set_number(object, "listed", theap->listed);
    set_number(object, "collected", theap->collected);
    set_number(object, "claimed", theap->claimed);
    set_number(object, "fresh", theap->fresh);
    set_number(object, "remote_frees", theap->remote_frees);
    set_number(object, "adopted", theap->adopted);
    set_number(object, "retired", theap->retired);
    set_number(object, "large", theap->large);
    set_number(object, "away", theap->away[0] + theap->away[1] + theap->away[2] + theap->away[3]);
    set_number(object, "kept", theap->kept);
    return object;
}

static json_t *sum_json(const struct snapshot_sum *sum)
{
    json_t *object = json_object();
    set_number(object, "in_use", sum->in_use);
    set_number(object, "listed", sum->listed);
    set_number(object, "collected", sum->collected);
    set_number(object, "claimed", sum->claimed);
    set_number(object, "fresh", sum->fresh);
    set_number(object, "remote_frees", sum->remote_frees);
    set_number(object, "adopted", sum->adopted);
    set_number(object, "retired", sum->retired);
    set_number(object, "large", sum->large);
    set_number(object, "away", snapshot_sum_away(sum));
    set_number(object, "kept", sum->kept);
    return object;
}

static int print_json(const struct snapshot *snapshot)
{
    const struct hf_inspect_segment *segment = &snapshot->header;
    struct snapshot_sum sum;
    char name[64];
    json_t *object = json_object();
    json_t *nodes = json_array();
    json_t *theaps = json_array();
    snapshot_sum(snapshot, &sum);
    for (uint32_t i = 0; i < snapshot->node_count; i++)
        json_array_append_new(nodes, node_json(&snapshot->nodes[i]));
    for (uint32_t i = 0; i < snapshot->theap_count; i++)
        if (!snapshot_theap_is_blank(&snapshot->theaps[i]))
            json_array_append_new(theaps, theap_json(i, &snapshot->theaps[i]));
    set_number(object, "version", segment->version);
    set_number(object, "pid", segment->pid);
    json_object_set_new(object, "name", json_string(target_name((pid_t)segment->pid, name, sizeof name)));
    set_number(object, "start_ticks", segment->start_ticks);
    set_number(object, "arena_base", segment->arena_base);
    set_number(object, "arena_span", segment->arena_span);
    json_object_set_new(object, "nodes", nodes);
    json_object_set_new(object, "sum", sum_json(&sum));
    json_object_set_new(object, "theaps", theaps);
    return tool_json_print(object);
}

/* --- the command line --- */

static int stat_main(int argc, char **argv)
{
    static const struct option long_options[] = { { "json", no_argument, NULL, 'j' }, { "help", no_argument, NULL, 'h' }, { 0 } };
    struct snapshot snapshot = { .pages = NULL };
    struct target target;
    bool json = false;
    int option;
    while ((option = tool_getopt(argc, argv, ":h", long_options, "stat")) != -1) {
        if (option == 'h')
            return tool_help(&tool_stat);
        if (option != 'j')
            return EXIT_USAGE;
        json = true;
    }
    if (argc - optind > 1) {
        hfi_say(SAY_ERROR, "HF-E416", "stat", "one process at a time, not %d; see `holdfast help stat`", argc - optind);
        return EXIT_USAGE;
    }
    int status = target_open(&target, argv[optind], "stat");
    if (status != 0)
        return status;
    status = target_read(&target, &snapshot, true, "stat");
    if (status == 0)
        status = json ? print_json(&snapshot) : print_text(&snapshot);
    snapshot_free(&snapshot);
    target_close(&target);
    return status;
}

const struct command tool_stat = {
    .name = "stat",
    .summary = "show the arena of a running process",
    .help =
        "usage: holdfast stat [--json] [PID]\n"
        "\n"
        "Prints what the arena of process PID holds, per node, and how its blocks came to be.\n"
        "Without PID: the only process that shows an arena, or a list of those there are.\n"
        "\n"
        "  --json  all figures, as one JSON object\n"
        "  --help  this text\n",
    .run = stat_main,
};
