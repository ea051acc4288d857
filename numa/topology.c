/*
 * topology: see topology.h.
 *
 * hwloc sees much more than is wanted here.  It would load plugins (X11, OpenCL) into
 * every process that preloads us, and learns where they are from the
 * environment only; its x86 back end would move the thread over all CPUs.
 * While it works, `environ` is an array of our own with the HWLOC_ variables and
 * HWLOC_PLUGINS_PATH pointing nowhere: unlike setenv that allocates nothing,
 * takes no lock and leaves the process's environment as it was.  A program with
 * raised privileges (AT_SECURE) has none of its caller's HWLOC_ variables.
 *
 * T1: nodes[] is in the order of node numbers, without duplicates.
 * T2: distance[i][i] is the smallest of row i; where nothing is known 10 and 20 stand.
 *
 * "Has CPUs" is not what hwloc's cpuset says: a node without CPUs is given those of
 * its initiator.  The kernel's cpulist answers for this machine; in a description of
 * another one the first node of those that share a cpuset is taken to have it.
 *
 * Test: tests/unit/topology.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "topology.h"

#include <errno.h>
#include <hwloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "os.h"
#include "say.h"

extern char **environ;

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

static void one_node(struct topology *topology, unsigned id)
{
    topology->node_count = 1;
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

/* What hwloc is to see of the environment. */
static void fill_environment(char *variables[VARIABLES_MAX])
{
    static char no_plugins[] = "HWLOC_PLUGINS_PATH=/dev/null";
    size_t count = 0;
    variables[count++] = no_plugins;
    if (getauxval(AT_SECURE) == 0)
        for (char **entry = environ; entry != NULL && *entry != NULL && count < VARIABLES_MAX - 1; entry++)
            if (strncmp(*entry, "HWLOC_", 6) == 0 && !is_variable(*entry, "HWLOC_PLUGINS_PATH"))
                variables[count++] = *entry;
    variables[count] = NULL;
}

static bool is_described_elsewhere(void)
{
    return getenv("HWLOC_XMLFILE") != NULL || getenv("HWLOC_SYNTHETIC") != NULL || getenv("HWLOC_FSROOT") != NULL;
}

/* hwloc without plugins, x86 back end, or anything but nodes; NULL when it gives no answer. */
static hwloc_topology_t hwloc_open(void)
{
    hwloc_topology_t hwloc;
    if (hwloc_topology_init(&hwloc) != 0)
        return NULL;
    hwloc_topology_set_components(hwloc, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, "x86");
    /* Without the levels between, each node would have all CPUs; of this machine the kernel is asked. */
    hwloc_topology_set_all_types_filter(hwloc, is_described_elsewhere() ? HWLOC_TYPE_FILTER_KEEP_STRUCTURE : HWLOC_TYPE_FILTER_KEEP_NONE);
    unsigned long flags = 0;
#if HWLOC_API_VERSION >= 0x00020800
    flags |= HWLOC_TOPOLOGY_FLAG_NO_MEMATTRS | HWLOC_TOPOLOGY_FLAG_NO_CPUKINDS;
#endif
#if HWLOC_API_VERSION >= 0x00020500
    if (!is_described_elsewhere()) /* what numactl --membind left to this process */
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
        if (other->os_index < node->os_index && other->cpuset != NULL && hwloc_bitmap_isequal(other->cpuset, node->cpuset))
            return true;
    return false;
}

static bool node_has_cpus(hwloc_topology_t hwloc, hwloc_obj_t node)
{
    char path[64], cpus[64];
    if (node->cpuset == NULL || hwloc_bitmap_iszero(node->cpuset))
        return false;
    if (hwloc_topology_is_thissystem(hwloc)) {
        snprintf(path, sizeof path, "/sys/devices/system/node/node%u/cpulist", node->os_index);
        if (hfi_os_read_file(path, cpus, sizeof cpus) >= 0)
            return cpus[0] >= '0' && cpus[0] <= '9';
    }
    return !shares_cpus_with_earlier(hwloc, node);
}

static void insert_node(struct topology *topology, const struct topology_node *node)
{
    unsigned at = topology->node_count++;
    for (; at > 0 && topology->nodes[at - 1].id > node->id; at--)
        topology->nodes[at] = topology->nodes[at - 1];
    topology->nodes[at] = *node;
}

static void copy_nodes(struct topology *topology, hwloc_topology_t hwloc)
{
    hwloc_obj_t node = NULL;
    while ((node = hwloc_get_next_obj_by_type(hwloc, HWLOC_OBJ_NUMANODE, node)) != NULL) {
        if (node->attr->numanode.local_memory == 0)
            continue;
        if (node->os_index >= HFI_MAX_NODES) {
            hfi_say(SAY_WARNING, "HF-W220", "topology", "node %u is left out: nodes up to %d can be used; set HOLDFAST_NODES to "
                    "nodes below, or leave it", node->os_index, HFI_MAX_NODES - 1);
            continue;
        }
        insert_node(topology, &(struct topology_node){
            .id = node->os_index,
            .memory_bytes = node->attr->numanode.local_memory,
            .has_cpus = node_has_cpus(hwloc, node),
        });
    }
    for (unsigned i = 0; i < topology->node_count; i++)
        for (unsigned j = 0; j < HFI_MAX_NODES; j++)
            topology->nodes[i].distance[j] = i == j ? LOCAL_DISTANCE : REMOTE_DISTANCE;
}

/* A matrix is taken whole or not at all: half of one would compare two scales. */
static bool copy_distances_of(struct topology *topology, hwloc_topology_t hwloc, struct hwloc_distances_s *matrix)
{
    uint64_t distance[HFI_MAX_NODES];
    for (int pass = 0; pass < 2; pass++)
        for (unsigned i = 0; i < topology->node_count; i++) {
            hwloc_obj_t from = hwloc_get_numanode_obj_by_os_index(hwloc, topology->nodes[i].id);
            for (unsigned j = 0; j < topology->node_count; j++) {
                hwloc_obj_t to = hwloc_get_numanode_obj_by_os_index(hwloc, topology->nodes[j].id);
                hwloc_uint64_t there, back;
                if (hwloc_distances_obj_pair_values(matrix, from, to, &there, &back) != 0)
                    return false;
                distance[j] = there;
            }
            for (unsigned j = 0; j < topology->node_count; j++)
                if (distance[j] == 0 || distance[j] < distance[i])
                    return false; /* T2: no latencies */
            if (pass == 1)
                memcpy(topology->nodes[i].distance, distance, topology->node_count * sizeof distance[0]);
        }
    return true;
}

static void copy_distances(struct topology *topology, hwloc_topology_t hwloc)
{
    struct hwloc_distances_s *matrices[8];
    unsigned count = sizeof matrices / sizeof matrices[0];
    bool copied = false;
    if (hwloc_distances_get_by_type(hwloc, HWLOC_OBJ_NUMANODE, &count, matrices, HWLOC_DISTANCES_KIND_MEANS_LATENCY, 0) != 0)
        return;
    for (unsigned i = 0; i < count && i < sizeof matrices / sizeof matrices[0]; i++) {
        copied = copied || copy_distances_of(topology, hwloc, matrices[i]);
        hwloc_distances_release(hwloc, matrices[i]);
    }
}

static void ask_hwloc(struct topology *topology)
{
    char *variables[VARIABLES_MAX];
    char **own_environ = environ;
    fill_environment(variables);
    environ = variables;
    hwloc_topology_t hwloc = hwloc_open();
    if (hwloc != NULL) {
        copy_nodes(topology, hwloc);
        copy_distances(topology, hwloc);
        hwloc_topology_destroy(hwloc);
    }
    environ = own_environ;
}

int hfi_topology_load(struct topology *topology, bool quick)
{
    unsigned id;
    int saved_errno = errno;
    memset(topology, 0, sizeof *topology);
    if (quick && !is_described_elsewhere() && kernel_shows_one_node(&id)) {
        one_node(topology, id);
        return 0;
    }
    ask_hwloc(topology);
    errno = saved_errno;
    topology->from_hwloc = topology->node_count != 0;
    if (topology->from_hwloc)
        return 0;
    one_node(topology, 0);
    return -ENOSYS;
}
