/*
 * topology: which memory nodes this process may use.  The only hwloc include
 * is in topology.c.
 *
 * Loaded once, copied to plain arrays, hwloc's own copy destroyed; never called again.  No plugins,
 * no x86 back end, NUMA levels only.  hwloc calls malloc while it works: the caller sees to it that
 * malloc answers from the boot region meanwhile.  In a process with one thread `__environ` is another
 * one for a moment; in one with several it stays, and hwloc loads its plugins (topology.c).
 *
 * HWLOC_XMLFILE and HWLOC_SYNTHETIC are respected, except in a program with raised privileges.
 * Nodes outside the cgroup's cpuset, or outside a memory binding that the process was started with
 * (numactl), are left out.
 */
#ifndef HFI_TOPOLOGY_H
#define HFI_TOPOLOGY_H

#include "base/base.h"
#include "base/layout.h"

/* A node without CPUs is told from the ones with CPUs by bandwidth, and where that is equal or
 * unknown by latency (hwloc's memory attributes, which the kernel has from ACPI's HMAT). */
enum topology_memory {
    MEMORY_ORDINARY, /* beside CPUs */
    MEMORY_FASTER,   /* HBM */
    MEMORY_SLOWER,   /* CXL, NVM */
    MEMORY_APART,    /* no CPUs, and nothing more is known */
};

struct topology_node {
    unsigned id;           /* the kernel's number, below HFI_MAX_NODES; numbers may have gaps */
    uint64_t memory_bytes; /* all of the node's memory */
    unsigned cpu_count;    /* its CPUs, also those this process may not use; 0 in the quick answer */
    bool has_cpus;
    enum topology_memory memory;
    uint64_t distance[HFI_MAX_NODES]; /* by index in nodes[]; 10 = local, as the kernel writes it */
};

struct topology {
    unsigned node_count; /* with memory; at least 1 */
    unsigned bare_count; /* behind them in nodes[]: nodes with CPUs but no memory of their own */
    struct topology_node nodes[HFI_MAX_NODES];
    unsigned left_out_count; /* nodes whose number is HFI_MAX_NODES or above */
    unsigned left_out_first; /* the lowest such number */
    bool from_hwloc;         /* false: hwloc gave no answer, or was not needed */
    bool alone;              /* the kernel has no other node with memory, allowed or not */
};

/* Fills `topology` with the allowed nodes that have memory.  With `quick`, a machine whose kernel
 * shows one node is answered without hwloc, unless a variable above describes another.  0, or
 * -errno when hwloc gave no answer (topology is then one node, id 0, and the caller says so);
 * -EPERM when it was not asked: the program has raised privileges, and threads that may read the
 * environment. */
int hfi_topology_load(struct topology *topology, bool quick);

/* Fills `topology` with another machine: an XML file as hwloc writes it, or a synthetic description
 * as hwloc understands it; the other is NULL.  hwloc's variables are not looked at.  0, or -EINVAL:
 * it describes no node with memory, or is not understood.  hwloc trusts what it reads: a file of
 * unknown origin is better loaded by a process that may fail. */
int hfi_topology_describe(struct topology *topology, const char *xml_path, const char *synthetic);

/* "slower memory without CPUs" and the like, for messages. */
const char *hfi_topology_memory_name(enum topology_memory memory);

/* NULL when no node has that number. */
HFI_INLINE const struct topology_node *hfi_topology_find(const struct topology *topology, unsigned id)
{
    for (unsigned i = 0; i < topology->node_count; i++)
        if (topology->nodes[i].id == id)
            return &topology->nodes[i];
    return NULL;
}

#endif
