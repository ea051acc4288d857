/*
 * topology: see topology.h.
 *
 * hwloc sees much more than is wanted here.  It would load plugins (X11, OpenCL) into
 * every process that preloads us; its x86 back end would move the thread over all CPUs.
 * hwloc_topology_init loads the plugins before any call could forbid it, from a folder that the
 * environment alone can change.  So while hwloc works, `environ` is an array of our own with the
 * HWLOC_ variables and HWLOC_PLUGINS_PATH pointing nowhere.  Unlike setenv that allocates nothing,
 * takes no lock and leaves the process's environment as it was.
 *
 * That is done by a process with one thread only (TP4): other threads would miss their variables,
 * and lose what they set.  Where there are others, hwloc sees the environment as it is, and loads
 * its plugins.  The filters keep these from looking at anything, and hwloc unloads them.
 *
 * TP1: nodes[] is in the order of node numbers, without duplicates; nodes without memory follow
 *      those with it, in order too.
 * TP2: distance[i][i] is the smallest of row i; where nothing is known 10 and 20 stand.
 * TP3: at least one node is MEMORY_ORDINARY: where none has CPUs all are.
 * TP4: `__environ` changes only while no other thread exists.
 * TP5: nothing that the caller of a program with raised privileges (AT_SECURE) chose reaches hwloc.
 *      It sees none of the caller's variables, or is not asked.
 * TP6: a child that was forked while another thread asked hwloc does not ask: hwloc has locks.
 *
 * "Has CPUs" is not what hwloc's cpuset says: a node without CPUs is given those of its initiator.
 * The kernel's cpulist answers for this machine; in a description of another one the first node of
 * those that share a cpuset is taken to have it.  CPUs that this process may not use count: a
 * container's cpuset does not turn its other node into slow memory.
 *
 * Tests: tests/unit/topology.c, tests/unit/plan.c, tests/programs/late.c,
 * tests/programs/privileged.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "numa/topology.h"

#include <errno.h>
#include <hwloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/single_threaded.h>
#include <unistd.h>

#include "kernel/os.h"
#include "kernel/files.h"
#include "kernel/cpu.h"
#include "base/layout.h"

#define LOCAL_DISTANCE 10 /* as ACPI's SLIT and the kernel write it */
#define REMOTE_DISTANCE 20
#define VARIABLES_MAX 64

/* --- the quick answer --- */

/* The only number in a list such as "0" or "0-3"; false when there are several or none. */
static bool only_number(const char *path, unsigned *id)
{
    char text[64];
    char *at = text;
    unsigned number = 0;
    if (hfi_os_read_file(path, text, sizeof text) <= 0 || *at < '0' || *at > '9')
        return false;
    for (; *at >= '0' && *at <= '9' && number < HFI_MAX_NODES; at++)
        number = number * 10 + (unsigned)(*at - '0');
    if ((*at != '\n' && *at != 0) || number >= HFI_MAX_NODES)
        return false;
    *id = number;
    return true;
}

static bool kernel_shows_one_node(unsigned *id)
{
    char text[64];
    if (only_number("/sys/devices/system/node/has_memory", id))
        return true;
    if (hfi_os_read_file("/sys/devices/system/node/online", text, sizeof text) != -ENOENT)
        return only_number("/sys/devices/system/node/online", id);
    *id = 0; /* a kernel without NUMA, if this is /sys at all */
    return hfi_os_read_file("/sys/devices/system/cpu/online", text, sizeof text) > 0;
}

/* Leaves the other nodes' entries as they are: clearing them would touch eight OS pages in every
 * program. */
static void one_node(struct topology *topology, unsigned id)
{
    topology->node_count = 1;
    topology->bare_count = topology->left_out_count = topology->left_out_first = 0;
    topology->from_hwloc = topology->alone = false;
    topology->nodes[0] = (struct topology_node){
        .id = id,
        .memory_bytes = hfi_os_physical_bytes(),
        .has_cpus = true,
        .distance = { LOCAL_DISTANCE },
    };
}

/* --- hwloc --- */

static bool is_variable(const char *entry, const char *name)
{
    size_t length = strlen(name);
    return strncmp(entry, name, length) == 0 && entry[length] == '=';
}

/* What hwloc is to see of the environment; without `own` none of the process's variables. */
static void fill_environment(char *variables[VARIABLES_MAX], bool own)
{
    static char no_plugins[] = "HWLOC_PLUGINS_PATH=/dev/null";
    size_t count = 0;
    variables[count++] = no_plugins;
    if (own && getauxval(AT_SECURE) == 0)
        for (char **entry = __environ; entry != NULL && *entry != NULL && count < VARIABLES_MAX - 1; entry++)
            if (strncmp(*entry, "HWLOC_", 6) == 0 && !is_variable(*entry, "HWLOC_PLUGINS_PATH"))
                variables[count++] = *entry;
    variables[count] = NULL;
}

static bool is_described_elsewhere(void)
{
    return secure_getenv("HWLOC_XMLFILE") != NULL || secure_getenv("HWLOC_SYNTHETIC") != NULL ||
           secure_getenv("HWLOC_FSROOT") != NULL;
}

/* TP4, TP5 */
static bool may_ask(void)
{
    return __libc_single_threaded || getauxval(AT_SECURE) == 0;
}

/* What hwloc is to describe: this machine, or what its own variables name, where both are NULL. */
struct source {
    const char *xml_path, *synthetic;
};

/* hwloc without plugins, x86 back end, or anything but nodes; NULL when it gives no answer. */
static hwloc_topology_t hwloc_open(const struct source *source)
{
    hwloc_topology_t hwloc;
    bool described = source->xml_path != NULL || source->synthetic != NULL || is_described_elsewhere();
    if (hwloc_topology_init(&hwloc) != 0)
        return NULL;
    if ((source->xml_path != NULL && hwloc_topology_set_xml(hwloc, source->xml_path) != 0) ||
        (source->synthetic != NULL && hwloc_topology_set_synthetic(hwloc, source->synthetic) != 0)) {
        hwloc_topology_destroy(hwloc);
        return NULL;
    }
    hwloc_topology_set_components(hwloc, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, "x86");
    /* Without the levels between, each node would have all CPUs; of this machine the kernel is
     * asked. */
    hwloc_topology_set_all_types_filter(hwloc, described ? HWLOC_TYPE_FILTER_KEEP_STRUCTURE
                                                         : HWLOC_TYPE_FILTER_KEEP_NONE);
    unsigned long flags = 0;
#if HWLOC_API_VERSION >= 0x00020800
    flags |= HWLOC_TOPOLOGY_FLAG_NO_CPUKINDS;
#endif
#if HWLOC_API_VERSION >= 0x00020500
    if (!described) /* what numactl --membind left to this process */
        flags |= HWLOC_TOPOLOGY_FLAG_IS_THISSYSTEM | HWLOC_TOPOLOGY_FLAG_RESTRICT_TO_MEMBINDING;
#endif
    hwloc_topology_set_flags(hwloc, flags);
    if (hwloc_topology_load(hwloc) == 0)
        return hwloc;
    hwloc_topology_destroy(hwloc);
    return NULL;
}

static bool shares_cpus_with_earlier(hwloc_topology_t hwloc, hwloc_obj_t node)
{
    hwloc_obj_t other = NULL;
    while ((other = hwloc_get_next_obj_by_type(hwloc, HWLOC_OBJ_NUMANODE, other)) != NULL)
        if (other->os_index < node->os_index && other->complete_cpuset != NULL &&
            hwloc_bitmap_isequal(other->complete_cpuset, node->complete_cpuset))
            return true;
    return false;
}

static unsigned node_cpus(hwloc_topology_t hwloc, hwloc_obj_t node)
{
    uint64_t cpus[HFI_CPU_WORDS];
    if (hwloc_topology_is_thissystem(hwloc)) {
        int count = hfi_os_node_cpus(node->os_index, cpus);
        if (count >= 0)
            return (unsigned)count;
    }
    if (node->complete_cpuset == NULL || shares_cpus_with_earlier(hwloc, node))
        return 0;
    int count = hwloc_bitmap_weight(node->complete_cpuset);
    return count > 0 ? (unsigned)count : 0;
}

/* In the order of TP1, the first `from` nodes left alone. */
static void insert_node(struct topology *topology, unsigned from, const struct topology_node *node)
{
    unsigned at = topology->node_count + topology->bare_count;
    for (; at > from && topology->nodes[at - 1].id > node->id; at--)
        topology->nodes[at] = topology->nodes[at - 1];
    topology->nodes[at] = *node;
    if (from == 0)
        topology->node_count++;
    else
        topology->bare_count++;
}

static bool has_node(const struct topology *topology, unsigned id)
{
    for (unsigned i = 0; i < topology->node_count + topology->bare_count; i++)
        if (topology->nodes[i].id == id)
            return true;
    return false;
}

static void copy_node(struct topology *topology, hwloc_topology_t hwloc, hwloc_obj_t object, bool with_memory)
{
    unsigned cpus = node_cpus(hwloc, object);
    if ((object->attr->numanode.local_memory != 0) != with_memory || (!with_memory && cpus == 0))
        return;
    if (has_node(topology, object->os_index)) /* TP1; hwloc believes what a description says */
        return;
    if (object->os_index >= HFI_MAX_NODES) {
        if (topology->left_out_count++ == 0 || object->os_index < topology->left_out_first)
            topology->left_out_first = object->os_index;
        return;
    }
    insert_node(topology, with_memory ? 0 : topology->node_count,
                &(struct topology_node){
                    .id = object->os_index,
                    .memory_bytes = object->attr->numanode.local_memory,
                    .cpu_count = cpus,
                    .has_cpus = cpus != 0,
                });
}

static void copy_nodes(struct topology *topology, hwloc_topology_t hwloc)
{
    hwloc_obj_t object = NULL;
    while ((object = hwloc_get_next_obj_by_type(hwloc, HWLOC_OBJ_NUMANODE, object)) != NULL)
        copy_node(topology, hwloc, object, true);
    while (topology->node_count != 0 &&
           (object = hwloc_get_next_obj_by_type(hwloc, HWLOC_OBJ_NUMANODE, object)) != NULL)
        copy_node(topology, hwloc, object, false);
    for (unsigned i = 0; i < topology->node_count + topology->bare_count; i++)
        for (unsigned j = 0; j < HFI_MAX_NODES; j++)
            topology->nodes[i].distance[j] = i == j ? LOCAL_DISTANCE : REMOTE_DISTANCE;
}

/* --- kinds of memory --- */

/* The best value that any CPUs see of a node's memory; 0 when unknown. */
static uint64_t best_value(hwloc_topology_t hwloc, hwloc_memattr_id_t attribute, unsigned id)
{
    hwloc_obj_t node = hwloc_get_numanode_obj_by_os_index(hwloc, id);
    struct hwloc_location initiators[HFI_MAX_NODES];
    hwloc_uint64_t values[HFI_MAX_NODES];
    unsigned long kind = 0;
    unsigned count = HFI_MAX_NODES;
    uint64_t best = 0;
    if (hwloc_memattr_get_flags(hwloc, attribute, &kind) != 0 ||
        hwloc_memattr_get_initiators(hwloc, attribute, node, 0, &count, initiators, values) != 0)
        return 0;
    for (unsigned i = 0; i < count && i < HFI_MAX_NODES; i++)
        if (best == 0 ||
            ((kind & HWLOC_MEMATTR_FLAG_HIGHER_FIRST) != 0 ? values[i] > best : values[i] < best))
            best = values[i];
    return best;
}

/* Memory without CPUs beside that of the nearest node with CPUs. */
static enum topology_memory compare_memory(hwloc_topology_t hwloc, unsigned id, unsigned ordinary_id)
{
    uint64_t here = best_value(hwloc, HWLOC_MEMATTR_ID_BANDWIDTH, id);
    uint64_t there = best_value(hwloc, HWLOC_MEMATTR_ID_BANDWIDTH, ordinary_id);
    if (here != 0 && there != 0 && here != there)
        return here > there ? MEMORY_FASTER : MEMORY_SLOWER;
    here = best_value(hwloc, HWLOC_MEMATTR_ID_LATENCY, id);
    there = best_value(hwloc, HWLOC_MEMATTR_ID_LATENCY, ordinary_id);
    if (here != 0 && there != 0 && here != there)
        return here < there ? MEMORY_FASTER : MEMORY_SLOWER;
    return MEMORY_APART;
}

static void tell_memory(struct topology *topology, hwloc_topology_t hwloc)
{
    for (unsigned i = 0; i < topology->node_count; i++) {
        struct topology_node *node = &topology->nodes[i];
        const struct topology_node *nearest = NULL;
        uint64_t least = UINT64_MAX;
        for (unsigned j = 0; j < topology->node_count; j++)
            if (topology->nodes[j].has_cpus && node->distance[j] < least) {
                nearest = &topology->nodes[j];
                least = node->distance[j];
            }
        if (nearest != NULL && !node->has_cpus)
            node->memory = compare_memory(hwloc, node->id, nearest->id);
    }
}

const char *hfi_topology_memory_name(enum topology_memory memory)
{
    switch (memory) {
    case MEMORY_FASTER: return "faster memory without CPUs";
    case MEMORY_SLOWER: return "slower memory without CPUs";
    case MEMORY_APART: return "memory without CPUs";
    case MEMORY_ORDINARY: break;
    }
    return "memory";
}

/* --- distances --- */

/* A matrix is taken whole or not at all: half of one would compare two scales. */
static bool copy_distances_of(struct topology *topology, hwloc_topology_t hwloc,
                              struct hwloc_distances_s *matrix)
{
    uint64_t distance[HFI_MAX_NODES];
    unsigned count = topology->node_count + topology->bare_count;
    for (int pass = 0; pass < 2; pass++)
        for (unsigned i = 0; i < count; i++) {
            hwloc_obj_t from = hwloc_get_numanode_obj_by_os_index(hwloc, topology->nodes[i].id);
            for (unsigned j = 0; j < count; j++) {
                hwloc_obj_t to = hwloc_get_numanode_obj_by_os_index(hwloc, topology->nodes[j].id);
                hwloc_uint64_t there, back;
                if (hwloc_distances_obj_pair_values(matrix, from, to, &there, &back) != 0)
                    return false;
                distance[j] = there;
            }
            for (unsigned j = 0; j < count; j++)
                if (distance[j] == 0 || distance[j] < distance[i])
                    return false; /* TP2: no latencies */
            if (pass == 1)
                memcpy(topology->nodes[i].distance, distance, count * sizeof distance[0]);
        }
    return true;
}

static void copy_distances(struct topology *topology, hwloc_topology_t hwloc)
{
    struct hwloc_distances_s *matrices[8];
    unsigned count = sizeof matrices / sizeof matrices[0];
    bool copied = false;
    if (hwloc_distances_get_by_type(hwloc, HWLOC_OBJ_NUMANODE, &count, matrices,
                                    HWLOC_DISTANCES_KIND_MEANS_LATENCY, 0) != 0)
        return;
    for (unsigned i = 0; i < count && i < sizeof matrices / sizeof matrices[0]; i++) {
        copied = copied || copy_distances_of(topology, hwloc, matrices[i]);
        hwloc_distances_release(hwloc, matrices[i]);
    }
}

static void ask_hwloc(struct topology *topology, const struct source *source)
{
    hwloc_topology_t hwloc = hwloc_open(source);
    if (hwloc == NULL)
        return;
    copy_nodes(topology, hwloc);
    copy_distances(topology, hwloc);
    tell_memory(topology, hwloc);
    hwloc_topology_destroy(hwloc);
}

static void ask_undisturbed(struct topology *topology, const struct source *source)
{
    char *variables[VARIABLES_MAX];
    char **own_environ = __environ;
    if (!__libc_single_threaded) { /* TP4 */
        ask_hwloc(topology, source);
        return;
    }
    fill_environment(variables, source->xml_path == NULL && source->synthetic == NULL);
    __environ = variables;
    ask_hwloc(topology, source);
    __environ = own_environ;
}

static bool asking; /* one thread; stays true in a child that was forked by another one meanwhile */

int hfi_topology_load(struct topology *topology, bool quick)
{
    unsigned id;
    int saved_errno = errno;
    bool may = may_ask() && !asking;
    if ((quick || !may) && !is_described_elsewhere() && kernel_shows_one_node(&id)) {
        one_node(topology, id);
        topology->alone = true;
        return 0;
    }
    memset(topology, 0, sizeof *topology);
    if (!may) {
        one_node(topology, 0);
        return asking ? -EDEADLK : -EPERM;
    }
    asking = true;
    ask_undisturbed(topology, &(struct source){ NULL, NULL });
    asking = false;
    errno = saved_errno;
    topology->from_hwloc = topology->node_count != 0;
    topology->alone = topology->node_count == 1 && !is_described_elsewhere() && kernel_shows_one_node(&id);
    if (topology->from_hwloc)
        return 0;
    one_node(topology, 0);
    return -ENOSYS;
}

int hfi_topology_describe(struct topology *topology, const char *xml_path, const char *synthetic)
{
    int saved_errno = errno;
    memset(topology, 0, sizeof *topology);
    ask_undisturbed(topology, &(struct source){ xml_path, synthetic });
    errno = saved_errno;
    topology->from_hwloc = topology->node_count != 0;
    return topology->from_hwloc ? 0 : -EINVAL;
}
