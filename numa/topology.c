/*
 * topology: see topology.h.
 *
 * hwloc sees much more than is wanted here and would load plugins (X11, OpenCL)
 * into every process that preloads us: the plugin path is pointed at nothing while it
 * initialises, and put back.  The x86 back end would move the thread over
 * all CPUs; it is left out.
 *
 * Test: tests/unit/topology.c.
 */
#include "topology.h"

#include <errno.h>
#include <hwloc.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"

#define LOCAL_DISTANCE 10 /* as ACPI's SLIT and the kernel write it */

/* "0" and nothing else: one node with memory. */
static bool kernel_shows_one_node(unsigned *id)
{
    char text[256];
    char *end;
    if (hfi_os_read_file("/sys/devices/system/node/has_memory", text, sizeof text) <= 0)
        return false;
    *id = (unsigned)strtoul(text, &end, 10);
    return end != text && (*end == '\n' || *end == 0);
}

static void one_node(struct topology *topology, unsigned id)
{
    topology->node_count = 1;
    topology->nodes[0] = (struct topology_node){
        .id = id,
        .memory_bytes = hfi_os_usable_bytes(),
        .has_cpus = true,
        .distance = { LOCAL_DISTANCE },
    };
}

/* hwloc without plugins, x86 back end, or anything but nodes; NULL when it gives no answer. */
static hwloc_topology_t hwloc_load(void)
{
    static const char path_name[] = "HWLOC_PLUGINS_PATH";
    char saved_path[4096];
    hwloc_topology_t hwloc;
    const char *path = getenv(path_name);
    bool had_path = path != NULL && strlen(path) < sizeof saved_path;
    if (had_path)
        strcpy(saved_path, path);
    setenv(path_name, "/dev/null", 1);
    int error = hwloc_topology_init(&hwloc);
    if (had_path)
        setenv(path_name, saved_path, 1);
    else
        unsetenv(path_name);
    if (error != 0)
        return NULL;
    hwloc_topology_set_components(hwloc, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, "x86");
    hwloc_topology_set_all_types_filter(hwloc, HWLOC_TYPE_FILTER_KEEP_NONE);
    if (hwloc_topology_load(hwloc) == 0)
        return hwloc;
    hwloc_topology_destroy(hwloc);
    return NULL;
}

static void copy_distances(struct topology *topology, hwloc_topology_t hwloc)
{
    struct hwloc_distances_s *matrix;
    unsigned count = 1;
    if (hwloc_distances_get_by_type(hwloc, HWLOC_OBJ_NUMANODE, &count, &matrix, HWLOC_DISTANCES_KIND_MEANS_LATENCY, 0) != 0 ||
        count == 0)
        return;
    for (unsigned i = 0; i < topology->node_count; i++)
        for (unsigned j = 0; j < topology->node_count; j++) {
            hwloc_obj_t from = hwloc_get_numanode_obj_by_os_index(hwloc, topology->nodes[i].id);
            hwloc_obj_t to = hwloc_get_numanode_obj_by_os_index(hwloc, topology->nodes[j].id);
            hwloc_uint64_t there, back;
            if (hwloc_distances_obj_pair_values(matrix, from, to, &there, &back) == 0)
                topology->nodes[i].distance[j] = there;
        }
    hwloc_distances_release(hwloc, matrix);
}

static void copy_nodes(struct topology *topology, hwloc_topology_t hwloc)
{
    hwloc_obj_t node = NULL;
    topology->node_count = 0;
    while ((node = hwloc_get_next_obj_by_type(hwloc, HWLOC_OBJ_NUMANODE, node)) != NULL) {
        if (topology->node_count == HFI_MAX_NODES || node->os_index >= HFI_MAX_NODES ||
            node->attr->numanode.local_memory == 0)
            continue;
        struct topology_node *copy = &topology->nodes[topology->node_count];
        *copy = (struct topology_node){
            .id = node->os_index,
            .memory_bytes = node->attr->numanode.local_memory,
            .has_cpus = node->cpuset != NULL && !hwloc_bitmap_iszero(node->cpuset),
        };
        for (unsigned i = 0; i < HFI_MAX_NODES; i++)
            copy->distance[i] = i == topology->node_count ? LOCAL_DISTANCE : 2 * LOCAL_DISTANCE;
        topology->node_count++;
    }
}

int hfi_topology_load(struct topology *topology, bool quick)
{
    unsigned id;
    *topology = (struct topology){ .node_count = 0 };
    bool described = getenv("HWLOC_XMLFILE") != NULL || getenv("HWLOC_SYNTHETIC") != NULL;
    if (quick && !described && kernel_shows_one_node(&id)) {
        one_node(topology, id);
        return 0;
    }
    hwloc_topology_t hwloc = hwloc_load();
    if (hwloc != NULL) {
        copy_nodes(topology, hwloc);
        copy_distances(topology, hwloc);
        hwloc_topology_destroy(hwloc);
    }
    topology->from_hwloc = topology->node_count != 0;
    if (topology->from_hwloc)
        return 0;
    one_node(topology, 0);
    return -ENOSYS;
}
