/*
 * list: which processes show an arena.
 *
 * Reads each segment that the user may read, and counts those of other users and those that are of
 * no use apart.  Names processes that have the library and no segment, and removes what killed
 * processes of the user left behind.
 *
 * Tests: tests/tool-stat.sh, tests/segment.sh.
 */
#include <unistd.h>

#include "reader/segment.h"
#include "reader/target.h"
#include "reader/unshown.h"
#include "show/show.h"
#include "tool.h"

#define NODES_SHOWN 2
#define LIVE_COLUMNS 6u
#define UNSHOWN_NAMED 10u
#define NAME_BYTES 16 /* as the kernel keeps it */

struct listing {
    json_t *processes; /* NULL: printed as text */
    struct snapshot snapshot;
    unsigned shown, not_readable, unusable, unknown, at_most;
    json_t *unshown; /* numbers of processes */
};

/* Each of a few nodes; of many, the range. */
static void print_balance(const struct snapshot *snapshot)
{
    double least = 100, most = 0;
    for (unsigned i = 0; i < snapshot->node_count; i++) {
        const struct hf_inspect_node *node = &snapshot->nodes[i];
        double percent = show_percent(node->used, node->total);
        least = percent < least ? percent : least;
        most = percent > most ? percent : most;
        if (snapshot->node_count <= NODES_SHOWN)
            printf("%s%u:%.0f%%", i == 0 ? "" : ",", node->id, percent);
    }
    if (snapshot->node_count > NODES_SHOWN)
        printf("%u:%.0f-%.0f%%", snapshot->node_count, least, most);
    putchar('\n');
}

static void print_process(const struct snapshot *snapshot, const char *name)
{
    const struct snapshot_figures figures = snapshot_figures_of_all(snapshot);
    uint64_t threads = 0;
    char a[SHOW_SHORT], b[SHOW_SHORT], span[16], cell[4 * NAME_BYTES];
    for (unsigned i = 0; i < snapshot->node_count; i++)
        threads += snapshot->nodes[i].theaps;
    printf("%7llu %s %5s %-4s %6s %3.0f%% %3.0f%% %7llu %6s ", (unsigned long long)snapshot->header.pid,
           show_name(cell, sizeof cell, name, NAME_BYTES - 1), show_bytes(a, (double)figures.total, 5),
           snapshot_backing_name(snapshot->nodes[0].backing), show_live_cell(b, snapshot, LIVE_COLUMNS),
           show_percent(figures.used, figures.total), show_percent(figures.high_water, figures.total),
           (unsigned long long)threads,
           show_span(span, sizeof span, snapshot_age_ns(snapshot, snapshot->header.clock_ticks)));
    print_balance(snapshot);
}

static json_t *process_json(const struct snapshot *snapshot, const char *name)
{
    json_t *process = json_object(), *nodes = json_array();
    for (unsigned i = 0; i < snapshot->node_count; i++) {
        const struct hf_inspect_node *node = &snapshot->nodes[i];
        json_t *object = json_object();
        json_object_set_new(object, "id", tool_json_number(node->id));
        json_object_set_new(object, "backing", json_string(snapshot_backing_name(node->backing)));
        json_object_set_new(object, "total", tool_json_number(node->total));
        json_object_set_new(object, "used", tool_json_number(node->used));
        json_object_set_new(object, "high_water", tool_json_number(node->high_water));
        json_object_set_new(object, "threads", tool_json_number(node->theaps));
        json_array_append_new(nodes, object);
    }
    json_object_set_new(process, "pid", tool_json_number(snapshot->header.pid));
    json_object_set_new(process, "name", json_string(name));
    json_object_set_new(process, "age_seconds",
                        json_real(snapshot_age_ns(snapshot, snapshot->header.clock_ticks) / 1e9));
    json_object_set_new(process, "nodes", nodes);
    bool known = snapshot_live_is_known(snapshot), mapped = snapshot->live_known != LIVE_UNKNOWN;
    json_object_set_new(process, "live", known ? tool_json_number(snapshot->live_bytes) : json_null());
    json_object_set_new(process, "held", mapped ? tool_json_number(snapshot->held_bytes) : json_null());
    json_object_set_new(process, "live_as_of", mapped ? json_string(show_live_as_of(snapshot)) : json_null());
    return process;
}

static void list_one(pid_t pid, uint64_t start_ticks, void *argument)
{
    struct listing *listing = argument;
    enum segment_verdict verdict;
    const char *reason;
    char path[SEGMENT_PATH_BYTES], name[NAME_BYTES];
    segment_path(path, pid, start_ticks);
    int fd = segment_open(path, pid, &verdict, &reason);
    if (fd >= 0) {
        verdict = snapshot_read(&listing->snapshot, fd, pid, start_ticks, false, &reason);
        if (verdict == SEGMENT_OK && listing->snapshot.header.pages.count <= SNAPSHOT_MAP_OFTEN)
            verdict = snapshot_read(&listing->snapshot, fd, pid, start_ticks, true, &reason);
        close(fd);
    }
    switch (verdict) {
    case SEGMENT_OK: break;
    case SEGMENT_NONE: return; /* it ended meanwhile */
    case SEGMENT_DENIED: listing->not_readable++; return;
    case SEGMENT_STRANGE:
    case SEGMENT_MALFORMED:
    case SEGMENT_ANOTHER: listing->unusable++; return;
    }
    if (listing->processes == NULL && listing->shown == 0)
        printf("%7s %-15s %5s %-4s %6s %4s %4s %7s %6s %s\n", "pid", "process", "arena", "on", "live", "now",
               "most", "threads", "for", "nodes");
    listing->shown++;
    listing->unknown += listing->snapshot.live_known == LIVE_SHOWN;
    listing->at_most +=
        snapshot_live_is_known(&listing->snapshot) && !snapshot_live_is_exact(&listing->snapshot);
    target_name(pid, name, sizeof name);
    if (listing->processes != NULL)
        json_array_append_new(listing->processes, process_json(&listing->snapshot, name));
    else
        print_process(&listing->snapshot, name);
}

static void add_unshown(pid_t pid, void *argument)
{
    json_array_append_new(argument, tool_json_number((uint64_t)pid));
}

static void print_unshown(const json_t *unshown)
{
    size_t count = json_array_size(unshown);
    if (count == 0)
        return;
    printf("%zu more with the library, which show no arena: holdfast stat PID says why\n", count);
    for (size_t i = 0; i < hfi_min(count, UNSHOWN_NAMED); i++)
        printf("%7lld", (long long)json_integer_value(json_array_get(unshown, i)));
    printf(count > UNSHOWN_NAMED ? " ...\n" : "\n");
}

static int print_json(struct listing *listing, const struct segment_count *count)
{
    json_t *object = json_object();
    json_object_set_new(object, "processes", listing->processes);
    json_object_set_new(object, "not_readable", tool_json_number(listing->not_readable));
    json_object_set_new(object, "unusable", tool_json_number(listing->unusable));
    json_object_set_new(object, "removed", tool_json_number(count->swept));
    json_object_set_new(object, "elsewhere", tool_json_number(count->elsewhere));
    json_object_set_new(object, "not_shown", listing->unshown);
    return tool_json_print(object);
}

/* What the lines of processes do not say. */
static void print_rest(const struct listing *listing, const struct segment_count *count)
{
    if (listing->unknown != 0)
        printf("? not known: holdfast stat PID says why\n");
    if (listing->at_most != 0)
        printf("< at most: holdfast stat PID says why\n");
    if (listing->shown == 0)
        printf("no process shows an arena that you may read\n");
    if (listing->not_readable != 0)
        printf("%u more, not yours to read\n", listing->not_readable);
    if (listing->unusable != 0)
        printf("%u more, of another version or not what they claim to be: holdfast stat PID says\n",
               listing->unusable);
    if (count->elsewhere != 0)
        printf("%u more in other namespaces, such as containers: holdfast list says there\n",
               count->elsewhere);
    print_unshown(listing->unshown);
}

static int list_main(int argc, char **argv)
{
    static const struct option long_options[] = { { "json", no_argument, NULL, 'j' },
                                                  { "help", no_argument, NULL, 'h' },
                                                  { 0 } };
    struct listing listing = { .shown = 0 };
    int option;
    while ((option = tool_getopt(argc, argv, ":h", long_options, "list")) != -1) {
        if (option == 'h')
            return tool_help(&tool_list);
        if (option != 'j')
            return EXIT_USAGE;
        if (listing.processes == NULL)
            listing.processes = json_array();
    }
    if (argc != optind) {
        hfi_say(SAY_ERROR, "HF-E416", "list",
                "%s is too much: list takes no process; see `holdfast help list`", argv[optind]);
        return EXIT_USAGE;
    }
    if (listing.processes == NULL)
        show_wrap_begin();
    struct segment_count count = segment_each(list_one, &listing);
    listing.unshown = json_array();
    unshown_each(add_unshown, listing.unshown);
    snapshot_free(&listing.snapshot);
    if (listing.processes != NULL)
        return print_json(&listing, &count);
    print_rest(&listing, &count);
    show_wrap_end();
    json_decref(listing.unshown);
    target_say_swept(count, "list");
    return fflush(stdout) != 0;
}

const struct command tool_list = {
    .name = "list",
    .summary = "list the processes that show an arena",
    .help = "usage: holdfast list [--json]\n"
            "\n"
            "Prints the processes whose arena you may read: its size, what the program has in live\n"
            "blocks, how much of the arena is used now and was at most, threads, for how long, and each\n"
            "node's share in use, of many nodes how many and the least and greatest share; and those\n"
            "that have the library and show nothing.  Removes what killed processes of yours left behind.\n"
            "\n"
            "  --json  print them as JSON\n"
            "  --help  this text\n",
    .run = list_main,
};
