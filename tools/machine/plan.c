/*
 * plan: what an arena would be, on this machine or on a described one.  It shows which node gets
 * how much, on which OS pages, which nodes follow when it is full, and what it costs.  The checks
 * about sizes that are not ok follow.
 *
 * All of it is the library's own plan (outlook.h); nothing is reserved.
 *
 * Test: tests/tool-plan.sh.
 */
#include <holdfast/inspect.h>
#include <string.h>

#include "machine/checks.h"
#include "machine/service.h"
#include "kernel/os.h"
#include "kernel/machine.h"

#define MEND_BYTES 160
#define ORDER_COLUMNS 14 /* what a line of 80 leaves */

static void examine(struct examination *examination)
{
    checks_options(examination);
    checks_topology(examination);
    checks_space(examination);
    if (examination->outlook.described != NULL)
        return;
    checks_memory(examination);
    checks_cgroup(examination);
    checks_pools(examination);
    checks_overcommit(examination);
    checks_registering(examination);
    checks_forks(examination);
}

/* Of a described machine nobody knows what its pools will have. */
static const char *backing_word(const struct outlook *outlook, enum option_backing backing)
{
    bool open = outlook->described != NULL && outlook->named && outlook->options.backing == BACKING_AUTO;
    return hfi_backing_name(open ? BACKING_AUTO : backing);
}

static const char *kind_word(enum topology_memory memory)
{
    switch (memory) {
    case MEMORY_FASTER: return "faster";
    case MEMORY_SLOWER: return "slower";
    case MEMORY_APART: return "apart";
    case MEMORY_ORDINARY: break;
    }
    return "ordinary";
}

/* --- for people --- */

static void print_head(const struct outlook *outlook)
{
    char size[16], machine[64];
    unsigned nodes = outlook->topology.node_count;
    printf("%s%s, backing %s, on %u of %u node%s of %s\n\n",
           outlook->named ? "arena of " : "arena that grows up to ", checks_size(size, outlook->total_bytes),
           hfi_backing_name(outlook->options.backing), outlook->reservation.node_count, nodes,
           nodes == 1 ? "" : "s",
           outlook->described == NULL ? "this machine"
                                      : tool_printable(machine, sizeof machine, outlook->described));
}

static void print_pages(uint64_t pages, int columns)
{
    if (pages != 0)
        printf(" %*llu", columns, (unsigned long long)pages);
    else
        printf(" %*s", columns, "-");
}

/* Whom a node turns to, nearest first. */
static void print_order(const struct reservation *reservation, const struct reserved_node *part)
{
    int columns = 0;
    printf(" ");
    for (unsigned i = 1; i < reservation->node_count; i++) {
        if (columns + 3 > ORDER_COLUMNS - (i + 1 == reservation->node_count ? 0 : 3)) {
            printf(" ..");
            break;
        }
        columns += printf(" %u", reservation->nodes[part->nearest[i]].id);
    }
    if (reservation->node_count == 1)
        printf(" nobody");
}

static void print_node(const struct outlook *outlook, unsigned index)
{
    char text[16];
    const struct topology_node *node = &outlook->topology.nodes[index];
    enum option_backing backing = BACKING_AUTO;
    const struct reserved_node *part = outlook_part(outlook, index, &backing);
    printf("%4u %9s %-8s", node->id, checks_size(text, outlook_node_memory(outlook, node)),
           kind_word(node->memory));
    if (part == NULL) {
        printf(" %9s\n", "-");
        return;
    }
    printf(" %9s %-4s", checks_size(text, part->bytes), backing_word(outlook, backing));
    print_pages(outlook_pages(outlook, part, BACKING_1G), 5);
    print_pages(outlook_pages(outlook, part, BACKING_2M), 7);
    printf(" %9s", checks_size(text, hfi_plan_maps_bytes(part->bytes)));
    print_order(&outlook->reservation, part);
    putchar('\n');
}

static void print_pool(const struct outlook *outlook, const struct reserved_node *part,
                       enum option_backing backing)
{
    struct os_huge_pool pool;
    uint64_t pages = outlook_pages(outlook, part, backing);
    char mend[MEND_BYTES];
    if (pages == 0 || !outlook_pool(outlook, part->id, backing, &pool))
        return;
    uint64_t there = hfi_min(pool.free_pages, pages), copies = outlook_copies(outlook, pages);
    printf("pool           node %u: %llu of %llu pages of %s free, %llu", part->id, (unsigned long long)there,
           (unsigned long long)pages, hfi_backing_name(backing),
           (unsigned long long)(pool.free_pages - there));
    if (copies != 0)
        printf(" of %llu", (unsigned long long)copies);
    puts(" spare for forks");
    if (outlook_pool_mend(mend, sizeof mend, &pool, pages + copies)[0] != 0 &&
        part->bytes <= hfi_os_physical_bytes())
        printf("               mend: %s\n", mend);
}

static void print_costs(const struct outlook *outlook)
{
    const struct topology *topology = &outlook->topology;
    const struct reservation *reservation = &outlook->reservation;
    char a[16], b[16], c[16];
    printf("\nown maps       %s of owners, %s of page table, on the nodes of the arena%s\n",
           checks_size(a, outlook->owners_bytes), checks_size(b, outlook->table_bytes),
           outlook->named ? "" : ", when all is used");
    printf("address space  %s; %s where a limit has no room for the gaps\n",
           checks_size(a, outlook->space_bytes), checks_size(b, outlook->space_least_bytes));
    if (outlook->named)
        printf("io_uring       %zu window%s of %s to register; memlock %s, or CAP_IPC_LOCK\n",
               outlook->windows, outlook->windows == 1 ? "" : "s", checks_size(a, HFI_WINDOW_BYTES),
               checks_size(c, outlook->total_bytes));
    else
        printf("io_uring       cannot be registered: name a size\n");
    if (outlook->segment_bytes != 0)
        printf("inspection     a segment of %s in " HF_INSPECT_DIRECTORY "\n",
               checks_size(a, outlook->segment_bytes));
    for (unsigned i = 0; i < reservation->node_count; i++)
        for (enum option_backing backing = BACKING_1G; backing <= BACKING_2M; backing++)
            print_pool(outlook, &reservation->nodes[i], backing);
    for (unsigned i = 0; i < topology->node_count + topology->bare_count; i++)
        if (topology->nodes[i].has_cpus &&
            (i >= topology->node_count || outlook_part(outlook, i, NULL) == NULL))
            printf("threads        of node %u are at home on node %u\n", topology->nodes[i].id,
                   reservation->nodes[reservation->home[topology->nodes[i].id]].id);
}

/* A file for something else to read: what is for people is behind a mark. */
static int print_service(const struct examination *examination)
{
    const struct outlook *outlook = &examination->outlook;
    if (outlook->reservation.node_count != 0 && examination->unit != NULL)
        service_print_unit(outlook, examination->unit);
    else if (outlook->reservation.node_count != 0)
        service_print_pod(outlook);
    checks_print_marked(examination, "# ");
    checks_print_sum(examination, outlook->described != NULL ? "that machine has it" : "this machine has it",
                     outlook->described != NULL ? "that machine has it not" : "this machine has it not");
    return fflush(stdout) != 0 || ferror(stdout);
}

static int print_text(const struct examination *examination)
{
    const struct outlook *outlook = &examination->outlook;
    if (examination->unit != NULL || examination->pod)
        return print_service(examination);
    if (outlook->reservation.node_count != 0) {
        print_head(outlook);
        printf("node    memory kind         arena on      1g      2m  own maps  when full\n");
        for (unsigned i = 0; i < outlook->topology.node_count; i++)
            print_node(outlook, i);
        print_costs(outlook);
        putchar('\n');
    }
    checks_print(examination, false);
    checks_print_sum(examination, "fits", "does not fit");
    return fflush(stdout) != 0 || ferror(stdout);
}

/* --- for programs --- */

static json_t *pools_json(const struct outlook *outlook, const struct reserved_node *part)
{
    json_t *pools = json_array();
    for (enum option_backing backing = BACKING_1G; backing <= BACKING_2M; backing++) {
        struct os_huge_pool pool;
        uint64_t pages = outlook_pages(outlook, part, backing);
        if (pages == 0)
            continue;
        char mend[MEND_BYTES];
        bool known = outlook_pool(outlook, part->id, backing, &pool);
        json_t *object = json_object();
        json_object_set_new(object, "backing", json_string(hfi_backing_name(backing)));
        json_object_set_new(object, "page_bytes", tool_json_number(hfi_backing_page_bytes(backing)));
        json_object_set_new(object, "pages", tool_json_number(pages));
        json_object_set_new(object, "free", known ? tool_json_number(pool.free_pages) : json_null());
        json_object_set_new(object, "total", known ? tool_json_number(pool.total_pages) : json_null());
        uint64_t copies = outlook_copies(outlook, pages);
        bool lacks = known && outlook_pool_mend(mend, sizeof mend, &pool, pages + copies)[0] != 0;
        json_object_set_new(object, "copies", tool_json_number(copies));
        json_object_set_new(object, "mend", lacks ? json_string(mend) : json_null());
        json_object_set_new(object, "path", known ? json_string(pool.path) : json_null());
        json_array_append_new(pools, object);
    }
    return pools;
}

static json_t *node_json(const struct outlook *outlook, unsigned index)
{
    const struct reservation *reservation = &outlook->reservation;
    const struct topology_node *node = &outlook->topology.nodes[index];
    enum option_backing backing = BACKING_AUTO;
    const struct reserved_node *part =
        index < outlook->topology.node_count ? outlook_part(outlook, index, &backing) : NULL;
    json_t *object = json_object(), *order = json_array(), *distances = json_array();
    json_object_set_new(object, "id", tool_json_number(node->id));
    json_object_set_new(object, "memory", tool_json_number(outlook_node_memory(outlook, node)));
    json_object_set_new(object, "kind",
                        json_string(node->memory_bytes == 0 ? "none" : kind_word(node->memory)));
    json_object_set_new(object, "cpus", tool_json_number(node->cpu_count));
    json_object_set_new(object, "arena", tool_json_number(part != NULL ? part->bytes : 0));
    json_object_set_new(object, "asked", tool_json_number(part != NULL ? part->asked_bytes : 0));
    json_object_set_new(object, "backing",
                        part != NULL ? json_string(backing_word(outlook, backing)) : json_null());
    json_object_set_new(object, "own_maps",
                        tool_json_number(part != NULL ? hfi_plan_maps_bytes(part->bytes) : 0));
    json_object_set_new(object, "windows", tool_json_number(part != NULL ? hfi_plan_windows(part) : 0));
    json_object_set_new(object, "pools", part != NULL ? pools_json(outlook, part) : json_array());
    for (unsigned i = 0; part != NULL && i < reservation->node_count; i++)
        json_array_append_new(order, tool_json_number(reservation->nodes[part->nearest[i]].id));
    for (unsigned i = 0; i < outlook->topology.node_count; i++)
        json_array_append_new(distances, tool_json_number(node->distance[i]));
    json_object_set_new(object, "order", order);
    json_object_set_new(object, "distances", distances);
    json_object_set_new(object, "home",
                        reservation->node_count != 0
                            ? tool_json_number(reservation->nodes[reservation->home[node->id]].id)
                            : json_null());
    return object;
}

static int print_json(const struct examination *examination)
{
    const struct outlook *outlook = &examination->outlook;
    json_t *object = json_object(), *nodes = json_array();
    char machine[256];
    if (outlook->described != NULL)
        tool_printable(machine, sizeof machine, outlook->described);
    for (unsigned i = 0; i < outlook->topology.node_count + outlook->topology.bare_count; i++)
        json_array_append_new(nodes, node_json(outlook, i));
    json_object_set_new(object, "machine", outlook->described != NULL ? json_string(machine) : json_null());
    json_object_set_new(object, "fits", json_boolean(examination->failed == 0));
    json_object_set_new(object, "growing", json_boolean(!outlook->named));
    json_object_set_new(object, "arena", tool_json_number(outlook->total_bytes));
    json_object_set_new(object, "backing", json_string(hfi_backing_name(outlook->options.backing)));
    json_object_set_new(object, "nodes", nodes);
    json_object_set_new(object, "owners", tool_json_number(outlook->owners_bytes));
    json_object_set_new(object, "page_table", tool_json_number(outlook->table_bytes));
    json_object_set_new(object, "address_space", tool_json_number(outlook->space_bytes));
    json_object_set_new(object, "address_space_least", tool_json_number(outlook->space_least_bytes));
    json_object_set_new(object, "windows", tool_json_number(outlook->windows));
    json_object_set_new(object, "segment", tool_json_number(outlook->segment_bytes));
    json_object_set_new(object, "checks", json_incref(examination->checks));
    return tool_json_print(object);
}

/* --- the command line --- */

static int plan_main(int argc, char **argv)
{
    static const struct option long_options[] = {
        { "topology", required_argument, NULL, CHECKS_TOPOLOGY },
        { "arena", required_argument, NULL, TOOL_SETS_VARIABLE },
        { "backing", required_argument, NULL, TOOL_SETS_VARIABLE },
        { "nodes", required_argument, NULL, TOOL_SETS_VARIABLE },
        { "forks", required_argument, NULL, 'f' },
        { "unit", required_argument, NULL, CHECKS_UNIT },
        { "pod", no_argument, NULL, CHECKS_POD },
        { "json", no_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    return checks_main(argc, argv,
                       &(struct checks_command){ .command = &tool_plan,
                                                 .options = long_options,
                                                 .describes = true,
                                                 .examine = examine,
                                                 .print_text = print_text,
                                                 .print_json = print_json });
}

const struct command tool_plan = {
    .name = "plan",
    .summary = "say what an arena would be, here or on a described machine",
    .help =
        "usage: holdfast plan [--topology FILE | DESCRIPTION] [--arena SIZE] [--backing PAGES]\n"
        "                     [--nodes NODES] [--forks COUNT] [--unit NAME | --pod | --json]\n"
        "\n"
        "Prints what would be reserved where: per node its memory, its part of the arena, the huge pages\n"
        "that this takes of a pool, and whom it turns to when full; then what all of it costs, and what\n"
        "does not fit, with the command that mends it.  Nothing is reserved.\n"
        "What no option names is taken from the HOLDFAST_* environment.\n"
        "Exit status 0: it fits; 1: it does not.\n"
        "\n"
        "  --topology FILE  a machine as `lstopo FILE.xml` writes it, or as hwloc's synthetic descriptions\n"
        "                   have it, such as 'node:4 core:2 pu:1'; without it, what HWLOC_XMLFILE or\n"
        "                   HWLOC_SYNTHETIC names, or this machine\n"
        "  --arena SIZE     as HOLDFAST_ARENA\n"
        "  --backing PAGES  as HOLDFAST_BACKING\n"
        "  --nodes NODES    as HOLDFAST_NODES\n"
        "  --forks COUNT    count what so many forked children at a time may copy\n"
        "  --unit NAME      print a drop-in for a unit of systemd: environment, MemoryMax, LimitMEMLOCK,\n"
        "                   TimeoutStartSec, ExecStopPost; NAME is the service\n"
        "  --pod            print what a container of a pod says: environment, memory, hugepages-2Mi; and\n"
        "                   what the pod then has\n"
        "  --json           one object: machine, fits, growing, arena, backing, nodes, owners, page_table,\n"
        "                   address_space, address_space_least, windows, segment, checks\n"
        "  --help           this text\n",
    .run = plan_main,
};
