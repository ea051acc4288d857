/*
 * plan: what an arena would get, here or on a machine that is described, without touching any memory.
 *
 * P1: the exit status is 1 exactly when something does not fit, and then it is said what, where and by how much.
 *
 * Test: tests/tool-plan.sh.
 */
#include <stdlib.h>
#include <string.h>

#include "distance.h"
#include "inspect.h"
#include "planning.h"
#include "tool.h"

/* What does not fit, in the order found. */
struct misfits {
    bool json;
    json_t *list;
    unsigned count;
};

static void HFI_PRINTF(2, 3) misfit(struct misfits *misfits, const char *format, ...)
{
    char text[300];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    misfits->count++;
    json_array_append_new(misfits->list, json_string(text));
}

static const char *bytes_of(uint64_t bytes, char text[16])
{
    return hfi_format_bytes(text, 16, bytes);
}

static void set_number(json_t *object, const char *name, uint64_t number)
{
    json_object_set_new(object, name, tool_json_number(number));
}

/* --- one node --- */

static uint64_t with_arena(const struct planning *plan)
{
    uint64_t among = 0;
    for (unsigned i = 0; i < plan->topology.node_count; i++)
        if (plan->node_bytes[i] != 0)
            among |= (uint64_t)1 << i;
    return among;
}

/* The machine has more than its only node's file says where memory was added since. */
static uint64_t memory_bytes(const struct planning *plan, unsigned index)
{
    uint64_t bytes = plan->topology.nodes[index].memory_bytes;
    return plan->topology.node_count == 1 && !plan->described ? hfi_max(bytes, hfi_os_usable_bytes()) : bytes;
}

static void check_node(const struct planning *plan, unsigned index, struct misfits *misfits)
{
    const struct topology_node *node = &plan->topology.nodes[index];
    size_t bytes = plan->node_bytes[index];
    uint64_t memory = memory_bytes(plan, index);
    char have[16], want[16];
    if (!plan->named)
        return;
    if (bytes + hfi_plan_maps_bytes(bytes) > memory)
        misfit(misfits, "node %u: %s and its page table do not fit into %s of memory; lower HOLDFAST_ARENA for this node", node->id,
               bytes_of(bytes, want), bytes_of(memory, have));
    if (bytes < HFI_NODE_BYTES_MIN)
        misfit(misfits, "node %u: %s are too little for an arena; raise HOLDFAST_ARENA to 4M at least for this node", node->id, bytes_of(bytes, want));
    enum option_backing asked = plan->options.backing;
    struct os_huge_pool pool;
    if (plan->described || (asked != BACKING_1G && asked != BACKING_2M))
        return;
    uint64_t needed = hfi_divide_up(bytes, hfi_backing_unit_bytes(asked));
    if (!planning_pool(plan, index, asked, &pool))
        misfit(misfits, "node %u: there are no huge pages of %s; boot with hugepagesz=1G, or name another HOLDFAST_BACKING", node->id, hfi_backing_name(asked));
    else if (pool.free_pages < needed)
        misfit(misfits, "node %u: %llu huge pages of %s are missing; run: echo %llu > %s", node->id, (unsigned long long)(needed - pool.free_pages),
               hfi_backing_name(asked), (unsigned long long)(pool.total_pages + needed - pool.free_pages), pool.path);
}

/* Pages of a rung of huge pages that the node's arena takes, if it could stand on it. */
static json_t *pool_json(const struct planning *plan, unsigned index, enum option_backing backing)
{
    struct os_huge_pool pool;
    json_t *object = json_object();
    uint64_t needed = hfi_divide_up(plan->node_bytes[index], hfi_backing_unit_bytes(backing));
    bool known = planning_pool(plan, index, backing, &pool);
    set_number(object, "needed", needed);
    json_object_set_new(object, "free", known ? tool_json_number(pool.free_pages) : json_null());
    char command[160];
    if (known)
        snprintf(command, sizeof command, "echo %llu > %s", (unsigned long long)(pool.total_pages + needed - hfi_min(needed, pool.free_pages)), pool.path);
    bool short_of = known && pool.free_pages < needed;
    json_object_set_new(object, "command", short_of ? json_string(command) : json_null());
    return object;
}

static json_t *node_json(const struct planning *plan, unsigned index)
{
    const struct topology_node *node = &plan->topology.nodes[index];
    size_t bytes = plan->node_bytes[index];
    uint8_t order[HFI_MAX_NODES];
    json_t *object = json_object(), *nearest = json_array();
    set_number(object, "id", node->id);
    json_object_set_new(object, "memory", json_string(hfi_topology_memory_name(node->memory)));
    set_number(object, "memory_bytes", memory_bytes(plan, index));
    set_number(object, "cpus", node->cpu_count);
    set_number(object, "arena", bytes);
    unsigned count = hfi_distance_order(order, &plan->topology, index, with_arena(plan));
    for (unsigned i = 0; i < count; i++) {
        if (order[i] == index)
            continue;
        json_t *other = json_object();
        set_number(other, "id", plan->topology.nodes[order[i]].id);
        set_number(other, "distance", node->distance[order[i]]);
        json_array_append_new(nearest, other);
    }
    json_object_set_new(object, "nearest", nearest);
    if (bytes == 0)
        return object;
    json_object_set_new(object, "backing", json_string(hfi_backing_name(plan->rung[index])));
    set_number(object, "page_table", hfi_plan_maps_bytes(bytes));
    set_number(object, "windows", hfi_divide_up(bytes, HFI_WINDOW_BYTES));
    if (plan->named) {
        json_object_set_new(object, "pages_2m", pool_json(plan, index, BACKING_2M));
        if (bytes % HFI_GIB == 0)
            json_object_set_new(object, "pages_1g", pool_json(plan, index, BACKING_1G));
    }
    return object;
}

/* --- the whole --- */

static json_t *plan_json(const struct planning *plan, const char *description, struct misfits *misfits)
{
    json_t *object = json_object(), *nodes = json_array();
    size_t windows = 0, arena_nodes = 0;
    char asked[16], most[16];
    for (unsigned i = 0; i < plan->topology.node_count; i++) {
        json_array_append_new(nodes, node_json(plan, i));
        windows += hfi_divide_up(plan->node_bytes[i], HFI_WINDOW_BYTES);
        arena_nodes += plan->node_bytes[i] != 0;
        if (plan->node_bytes[i] != 0)
            check_node(plan, i, misfits);
    }
    size_t span = HFI_WINDOWS_OFFSET + windows * HFI_WINDOW_BYTES;
    if (arena_nodes == 0)
        misfit(misfits, "no node gets an arena; name nodes that there are in HOLDFAST_NODES and HOLDFAST_ARENA");
    if (plan->named && windows * HFI_WINDOW_BYTES > HFI_WINDOWS_BYTES_MAX)
        misfit(misfits, "%s are more than an arena can be (%s); lower HOLDFAST_ARENA", bytes_of(plan->total_bytes, asked),
               bytes_of(HFI_WINDOWS_BYTES_MAX, most));
    json_object_set_new(object, "machine", description == NULL ? json_null() : json_string(description));
    json_object_set_new(object, "named", json_boolean(plan->named));
    set_number(object, "arena", plan->total_bytes);
    set_number(object, "address_space", span);
    set_number(object, "windows", windows);
    set_number(object, "segment", hfi_inspect_bytes((unsigned)arena_nodes, plan->total_bytes / HFI_PAGE_BYTES, (span - HFI_WINDOWS_OFFSET) / HFI_PAGE_BYTES));
    json_object_set_new(object, "nodes", nodes);
    json_object_set_new(object, "misfits", json_incref(misfits->list));
    return object;
}

static uint64_t number_of(const json_t *object, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(object, name));
}

static void print_pool(const json_t *node, const char *key, const char *name)
{
    const json_t *pool = json_object_get(node, key);
    const char *command = json_string_value(json_object_get(pool, "command"));
    if (pool == NULL)
        return;
    printf("    on %s: %llu huge pages", name, (unsigned long long)number_of(pool, "needed"));
    if (!json_is_null(json_object_get(pool, "free")))
        printf(", %llu are free", (unsigned long long)number_of(pool, "free"));
    if (command != NULL)
        printf("; run: %s", command);
    putchar('\n');
}

static void print_node(const json_t *node)
{
    char arena[16], memory[16], table[16];
    const json_t *nearest = json_object_get(node, "nearest");
    uint64_t bytes = number_of(node, "arena"), cpus = number_of(node, "cpus");
    printf("node %llu: %s of %s", (unsigned long long)number_of(node, "id"), bytes_of(number_of(node, "memory_bytes"), memory),
           json_string_value(json_object_get(node, "memory")));
    if (cpus != 0)
        printf(", %llu CPUs", (unsigned long long)cpus);
    printf("; ");
    if (bytes == 0)
        printf("no arena\n");
    else
        printf("arena %s on %s pages, page table %s\n", bytes_of(bytes, arena), json_string_value(json_object_get(node, "backing")),
               bytes_of(number_of(node, "page_table"), table));
    print_pool(node, "pages_2m", "2m");
    print_pool(node, "pages_1g", "1g");
    if (json_array_size(nearest) == 0 || (bytes == 0 && cpus == 0))
        return;
    printf("    %s", bytes == 0 ? "its threads get memory of" : "when full:");
    for (size_t i = 0; i < json_array_size(nearest); i++) {
        const json_t *other = json_array_get(nearest, i);
        printf("%s node %llu (%llu)", i == 0 ? "" : ",", (unsigned long long)number_of(other, "id"), (unsigned long long)number_of(other, "distance"));
    }
    putchar('\n');
}

static int print_text(const json_t *plan)
{
    const json_t *nodes = json_object_get(plan, "nodes"), *misfits = json_object_get(plan, "misfits");
    char arena[16], space[16], segment[16];
    for (size_t i = 0; i < json_array_size(nodes); i++)
        print_node(json_array_get(nodes, i));
    printf("in all: %s %s, %s of address space, %llu windows of io_uring, inspection segment %s\n",
           json_is_true(json_object_get(plan, "named")) ? "an arena of" : "an arena that may grow to", bytes_of(number_of(plan, "arena"), arena),
           bytes_of(number_of(plan, "address_space"), space), (unsigned long long)number_of(plan, "windows"), bytes_of(number_of(plan, "segment"), segment));
    for (size_t i = 0; i < json_array_size(misfits); i++)
        printf("does not fit: %s\n", json_string_value(json_array_get(misfits, i)));
    return fflush(stdout) != 0;
}

/* --- the command line --- */

static bool describe(const char *text)
{
    bool is_file;
    if (!hfi_topology_describes(text, &is_file)) {
        hfi_say(SAY_ERROR, "HF-E450", "plan", "%s is neither a file of hwloc's XML nor a synthetic description; make one with `lstopo FILE.xml`, or write "
                "one as \"node:4(memory=64GB) core:8 pu:2\", see hwloc(7)", text);
        return false;
    }
    unsetenv("HWLOC_XMLFILE");
    unsetenv("HWLOC_SYNTHETIC");
    return setenv(is_file ? "HWLOC_XMLFILE" : "HWLOC_SYNTHETIC", text, 1) == 0;
}

static int plan_main(int argc, char **argv)
{
    enum { OPTION_ARENA = 256, OPTION_BACKING, OPTION_NODES };
    static const struct option long_options[] = {
        { "topology", required_argument, NULL, 't' }, { "arena", required_argument, NULL, OPTION_ARENA },
        { "backing", required_argument, NULL, OPTION_BACKING }, { "nodes", required_argument, NULL, OPTION_NODES },
        { "json", no_argument, NULL, 'j' }, { "help", no_argument, NULL, 'h' }, { 0 },
    };
    static const char *const variables[] = { "HOLDFAST_ARENA", "HOLDFAST_BACKING", "HOLDFAST_NODES" };
    static struct planning plan;
    struct misfits misfits = { .list = json_array() };
    const char *description = NULL;
    int option;
    while ((option = tool_getopt(argc, argv, ":h", long_options, "plan")) != -1) {
        if (option == 'h')
            return tool_help(&tool_plan);
        if (option == '?')
            return EXIT_USAGE;
        if (option == 'j')
            misfits.json = true;
        else if (option == 't')
            description = optarg;
        else if (!tool_set_option(variables[option - OPTION_ARENA], optarg, "plan"))
            return EXIT_CONFIG;
    }
    if (optind != argc) {
        hfi_say(SAY_ERROR, "HF-E410", "plan", "%s is not understood; see `holdfast help plan`", argv[optind]);
        return EXIT_USAGE;
    }
    if (description != NULL && !describe(description))
        return EXIT_CONFIG;
    unsetenv("HOLDFAST_LIBRARY"); /* the tool's own: the library's table does not have it */
    hfi_options_read(&plan.options);
    plan.described = description != NULL || getenv("HWLOC_XMLFILE") != NULL || getenv("HWLOC_SYNTHETIC") != NULL;
    if (hfi_topology_load(&plan.topology, false) != 0) {
        hfi_say(SAY_ERROR, "HF-E451", "plan", "hwloc gave no answer; check that /sys is mounted, or describe the machine with --topology");
        return EXIT_FAILURE;
    }
    planning_make(&plan);
    json_t *whole = plan_json(&plan, description, &misfits);
    json_decref(misfits.list);
    bool json = misfits.json;
    int status = json ? tool_json_print(whole) : print_text(whole);
    if (!json)
        json_decref(whole);
    return status != 0 || misfits.count != 0 || plan.options.errors != 0;
}

const struct command tool_plan = {
    .name = "plan",
    .summary = "show what an arena would get, here or on a described machine",
    .help =
        "usage: holdfast plan [--topology FILE | --topology TEXT] [--arena SIZE] [--backing PAGES]\n"
        "                     [--nodes NODES] [--json]\n"
        "\n"
        "Prints per node what would be reserved: its size, OS pages, huge pages and the command that\n"
        "makes them, whom its threads turn to when it is full, and what the arena costs beside.\n"
        "No memory is touched.  Exit status 1: something does not fit.\n"
        "\n"
        "  --topology FILE  another machine, as hwloc's XML (lstopo FILE.xml)\n"
        "  --topology TEXT  another machine, as a synthetic description: \"node:4 core:8 pu:2\"\n"
        "  --arena SIZE     as HOLDFAST_ARENA\n"
        "  --backing PAGES  as HOLDFAST_BACKING\n"
        "  --nodes NODES    as HOLDFAST_NODES\n"
        "  --json           print it as JSON\n"
        "  --help           this text\n",
    .run = plan_main,
};
