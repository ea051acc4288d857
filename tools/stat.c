/*
 * stat: shows the arena of a running process.
 *
 * Neither ptrace nor root is needed for a process of the same user, and the process is not
 * stopped: its inspection segment is copied and printed.  What is in it is checked by
 * segment.c and believed by nobody.
 *
 * Test: tests/tool.sh.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os.h"
#include "tool.h"

#define FOUND_MAX 64

/* Processes with a segment that this user may read. */
struct found {
    unsigned count; /* may exceed FOUND_MAX */
    struct {
        pid_t pid;
        uint64_t start_ticks;
    } entries[FOUND_MAX];
};

static void remember(pid_t pid, uint64_t start_ticks, void *argument)
{
    struct found *found = argument;
    enum segment_verdict verdict;
    const char *reason;
    char path[64];
    segment_path(path, sizeof path, pid, start_ticks);
    int fd = segment_open(path, pid, &verdict, &reason);
    if (fd < 0)
        return;
    close(fd);
    if (found->count < FOUND_MAX) {
        found->entries[found->count].pid = pid;
        found->entries[found->count].start_ticks = start_ticks;
    }
    found->count++;
}

/* The process's name for people; it chose it itself. */
static const char *process_name(pid_t pid, char *name, size_t name_bytes)
{
    char path[64], text[256];
    snprintf(path, sizeof path, "/proc/%ld/comm", (long)pid);
    if (hfi_os_read_file(path, text, sizeof text) <= 0)
        return "?";
    text[strcspn(text, "\n")] = 0;
    return tool_printable(name, name_bytes, text);
}

/* --- finding the process --- */

static int say_none(void)
{
    hfi_say(SAY_ERROR, "HF-E412", "stat", "no process shows an arena that you may read: none runs under Holdfast, or with HOLDFAST_INSPECT=0, or as "
            "another user, or each has used less than 8 MiB of a growing arena; start one with `holdfast run --arena SIZE`");
    return EXIT_FAILURE;
}

static int list_several(const struct found *found)
{
    char name[64];
    hfi_say(SAY_ERROR, "HF-E415", "stat", "%u processes show an arena; name one of them:", found->count);
    for (unsigned i = 0; i < hfi_min(found->count, FOUND_MAX); i++)
        fprintf(stderr, "  %7ld  %s\n", (long)found->entries[i].pid, process_name(found->entries[i].pid, name, sizeof name));
    return EXIT_USAGE;
}

static bool parse_pid(const char *text, pid_t *pid)
{
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    *pid = (pid_t)number;
    return errno == 0 && end != text && *end == 0 && number > 0 && number <= INT_MAX;
}

static int say_refused(pid_t pid, const char *path, enum segment_verdict verdict, const char *reason)
{
    switch (verdict) {
    case SEGMENT_NONE:
        hfi_say(SAY_ERROR, "HF-E412", "stat", "process %ld shows no arena (no %s): it does not run under Holdfast, or with HOLDFAST_INSPECT=0, "
                "or has used less than 8 MiB of a growing arena, or sees another /dev/shm; start it with `holdfast run --arena SIZE`",
                (long)pid, path);
        break;
    case SEGMENT_DENIED:
        hfi_say(SAY_ERROR, "HF-E413", "stat", "%s cannot be read (%s); run this as the user of process %ld, or as root", path, reason, (long)pid);
        break;
    case SEGMENT_STRANGE:
        hfi_say(SAY_ERROR, "HF-E413", "stat", "%s is not taken for the segment of process %ld: %s; find out who made it, and remove it",
                path, (long)pid, reason);
        break;
    case SEGMENT_MALFORMED: case SEGMENT_OK:
        hfi_say(SAY_ERROR, "HF-E414", "stat", "%s is no segment this tool can read: %s (wanted version %d, %zu bytes); "
                "use the tool of the same version as the library, or try again", path, reason, HF_INSPECT_VERSION,
                sizeof(struct hf_inspect_segment));
        break;
    }
    return EXIT_FAILURE;
}

static int load(pid_t pid, struct hf_inspect_segment *segment)
{
    uint64_t start_ticks;
    enum segment_verdict verdict = SEGMENT_OK;
    const char *reason = "";
    char path[64];
    if (!segment_start_ticks(pid, &start_ticks)) {
        hfi_say(SAY_ERROR, "HF-E411", "stat", "there is no process %ld, or /proc hides it; see `holdfast stat` without a number", (long)pid);
        return EXIT_FAILURE;
    }
    segment_path(path, sizeof path, pid, start_ticks);
    int fd = segment_open(path, pid, &verdict, &reason);
    if (fd >= 0) {
        verdict = segment_read(fd, pid, start_ticks, segment, &reason);
        close(fd);
        if (verdict == SEGMENT_OK)
            return 0;
    }
    return say_refused(pid, path, verdict, reason);
}

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
    printf("node %u: %s on %s pages, ", node->id, hfi_format_bytes(total, sizeof total, node->total), segment_backing_name(node->backing));
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

static int print_text(const struct hf_inspect_segment *segment)
{
    struct segment_counters sum;
    char name[64], kept[16];
    segment_sum(segment, &sum);
    printf("process %llu (%s), arena at 0x%llx\n", (unsigned long long)segment->pid, process_name((pid_t)segment->pid, name, sizeof name),
           (unsigned long long)segment->arena_base);
    for (uint32_t i = 0; i < segment->node_count; i++)
        print_node(&segment->nodes[i]);
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
    print_count("away", sum.away, "of claimed, fresh and large: from another node, theirs being full");
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
    json_object_set_new(object, "backing", json_string(segment_backing_name(node->backing)));
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
    set_number(object, "away", theap->away);
    set_number(object, "kept", theap->kept);
    return object;
}

static json_t *sum_json(const struct segment_counters *sum)
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
    set_number(object, "away", sum->away);
    set_number(object, "kept", sum->kept);
    return object;
}

/* A slot that no theap ever had is all zero. */
static bool theap_is_blank(const struct hf_inspect_theap *theap)
{
    static const struct hf_inspect_theap blank;
    return memcmp(theap, &blank, sizeof blank) == 0;
}

static int print_json(const struct hf_inspect_segment *segment)
{
    struct segment_counters sum;
    char name[64];
    json_t *object = json_object();
    json_t *nodes = json_array();
    json_t *theaps = json_array();
    segment_sum(segment, &sum);
    for (uint32_t i = 0; i < segment->node_count; i++)
        json_array_append_new(nodes, node_json(&segment->nodes[i]));
    for (uint32_t i = 0; i < segment->theap_count; i++)
        if (!theap_is_blank(&segment->theaps[i]))
            json_array_append_new(theaps, theap_json(i, &segment->theaps[i]));
    set_number(object, "version", segment->version);
    set_number(object, "pid", segment->pid);
    json_object_set_new(object, "name", json_string(process_name((pid_t)segment->pid, name, sizeof name)));
    set_number(object, "start_ticks", segment->start_ticks);
    set_number(object, "arena_base", segment->arena_base);
    set_number(object, "arena_span", segment->arena_span);
    json_object_set_new(object, "nodes", nodes);
    json_object_set_new(object, "sum", sum_json(&sum));
    json_object_set_new(object, "theaps", theaps);
    return tool_json_print(object);
}

/* --- the command line --- */

/* The process meant: the one named, or the only one there is.  0 or an exit status. */
static int choose(const char *text, pid_t *pid)
{
    struct found found = { .count = 0 };
    unsigned swept = segment_each(remember, &found);
    if (swept != 0)
        hfi_say(SAY_INFO, "HF-I417", "stat", "removed %u segment(s) of yours whose process is gone", swept);
    if (text != NULL) {
        if (parse_pid(text, pid))
            return 0;
        hfi_say(SAY_ERROR, "HF-E416", "stat", "%s is no process number; see `holdfast stat` without one", text);
        return EXIT_USAGE;
    }
    if (found.count == 0)
        return say_none();
    if (found.count > 1)
        return list_several(&found);
    *pid = found.entries[0].pid;
    return 0;
}

static int stat_main(int argc, char **argv)
{
    static const struct option long_options[] = { { "json", no_argument, NULL, 'j' }, { "help", no_argument, NULL, 'h' }, { 0 } };
    static struct hf_inspect_segment segment;
    bool json = false;
    int option;
    pid_t pid;
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
    int status = choose(argv[optind], &pid);
    if (status == 0)
        status = load(pid, &segment);
    if (status != 0)
        return status;
    return json ? print_json(&segment) : print_text(&segment);
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
