/*
 * topology: this machine, machines described to hwloc, and what hwloc must not do.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "numa/topology.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/os.h"
#include "kernel/files.h"

extern char **environ;

static struct topology topology;

static void set_up(void)
{
    unsetenv("HWLOC_XMLFILE");
    unsetenv("HWLOC_SYNTHETIC");
    unsetenv("HWLOC_FSROOT");
}

TestSuite(topology, .init = set_up);

static void assert_sound(void)
{
    cr_assert_geq(topology.node_count, 1);
    for (unsigned i = 0; i < topology.node_count; i++) {
        const struct topology_node *node = &topology.nodes[i];
        cr_assert_lt(node->id, HFI_MAX_NODES);
        cr_assert_gt(node->memory_bytes, 0);
        if (i > 0)
            cr_assert_gt(node->id, topology.nodes[i - 1].id, "TP1");
        for (unsigned j = 0; j < topology.node_count; j++) /* TP2 */
            cr_assert(node->distance[j] != 0 && node->distance[j] >= node->distance[i]);
    }
}

Test(topology, this_machine)
{
    char **own_environ = environ;
    errno = 123;
    cr_assert_eq(hfi_topology_load(&topology, false), 0);
    cr_assert_eq(errno, 123);
    cr_assert(topology.from_hwloc);
    cr_assert_eq(environ, own_environ);
    assert_sound();
}

Test(topology, quick_gives_the_same_without_hwloc)
{
    static struct topology quick;
    cr_assert_eq(hfi_topology_load(&topology, false), 0);
    if (topology.node_count != 1)
        cr_skip_test("several nodes");
    cr_assert_eq(hfi_topology_load(&quick, true), 0);
    cr_assert_not(quick.from_hwloc);
    cr_assert_eq(quick.node_count, 1);
    cr_assert_eq(quick.alone, topology.alone);
    cr_assert_eq(quick.nodes[0].id, topology.nodes[0].id);
    cr_assert_eq(quick.nodes[0].distance[0], topology.nodes[0].distance[0]);
    cr_assert_eq(quick.nodes[0].has_cpus, topology.nodes[0].has_cpus);
    cr_assert_eq(quick.nodes[0].memory_bytes, hfi_os_physical_bytes());
}

Test(topology, synthetic)
{
    setenv("HWLOC_SYNTHETIC", "numa:4 core:2 pu:1", 1);
    cr_assert_eq(hfi_topology_load(&topology, true), 0, "quick does not overrule a description");
    cr_assert(topology.from_hwloc);
    cr_assert_not(topology.alone);
    cr_assert_eq(topology.node_count, 4);
    assert_sound();
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_eq(topology.nodes[i].id, i);
        cr_assert(topology.nodes[i].has_cpus);
        for (unsigned j = 0; j < 4; j++)
            cr_assert_eq(topology.nodes[i].distance[j], i == j ? 10 : 20, "synthetic topologies have none");
    }
}

Test(topology, more_nodes_than_fit)
{
    setenv("HWLOC_SYNTHETIC", "numa:70 pu:1", 1);
    fclose(stderr); /* it warns six times */
    cr_assert_eq(hfi_topology_load(&topology, false), 0);
    cr_assert_eq(topology.node_count, HFI_MAX_NODES);
}

Test(topology, nodes_that_share_cpus_and_gaps_in_numbers)
{
    setenv("HWLOC_SYNTHETIC", "package:2 [numa(memory=1GB)] [numa(memory=2GB)] core:2 pu:1", 1);
    cr_assert_eq(hfi_topology_load(&topology, false), 0);
    assert_sound();
    cr_assert_eq(topology.node_count, 4);
    unsigned with_cpus = 0;
    for (unsigned i = 0; i < 4; i++)
        with_cpus += topology.nodes[i].has_cpus;
    cr_assert_eq(with_cpus, 2, "the first of those that share");
}

/* Three nodes, 0, 2 and 5, in this order of CPUs, with distances that differ by direction. */
static const char xml[] = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                          "<!DOCTYPE topology SYSTEM \"hwloc2.dtd\">\n"
                          "<topology version=\"2.0\">\n"
                          "<object type=\"Machine\" os_index=\"0\" cpuset=\"0x7\" complete_cpuset=\"0x7\" "
                          "allowed_cpuset=\"0x7\" nodeset=\"0x25\" "
                          "complete_nodeset=\"0x25\" allowed_nodeset=\"0x25\" gp_index=\"1\">\n"
#undef PACKAGE
#define PACKAGE(number, cpu, node, nodeset, gp, memory)                                                      \
    "<object type=\"Package\" os_index=\"" number "\" cpuset=\"" cpu "\" complete_cpuset=\"" cpu             \
    "\" nodeset=\"" nodeset "\" complete_nodeset=\"" nodeset "\" gp_index=\"" gp                             \
    "1\">\n<object type=\"NUMANode\" os_index=\"" node "\" cpuset=\"" cpu "\" complete_cpuset=\"" cpu        \
    "\" nodeset=\"" nodeset "\" complete_nodeset=\"" nodeset "\" gp_index=\"" gp                             \
    "2\" local_memory=\"" memory "\"/>\n<object type=\"PU\" os_index=\"" number "\" cpuset=\"" cpu           \
    "\" complete_cpuset=\"" cpu "\" nodeset=\"" nodeset "\" complete_nodeset=\"" nodeset "\" gp_index=\"" gp \
    "3\"/>\n</object>\n"
    PACKAGE("0", "0x1", "5", "0x20", "1", "1073741824") PACKAGE("1", "0x2", "0", "0x1", "2", "2147483648")
        PACKAGE("2", "0x4", "2", "0x4", "3",
                "3221225472") "</object>\n"
                              "<distances2 type=\"NUMANode\" nbobjs=\"3\" kind=\"5\" name=\"NUMALatency\" "
                              "indexing=\"os\">\n"
                              "<indexes length=\"6\">5 0 2 </indexes>\n"
                              "<u64values length=\"27\">10 17 21 18 10 31 22 32 10 </u64values>\n"
                              "</distances2>\n"
                              "</topology>\n";

Test(topology, xml_with_gaps_and_distances)
{
    char path[] = "/tmp/holdfast-topology-XXXXXX";
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, xml, sizeof xml - 1), (ssize_t)sizeof xml - 1);
    close(fd);
    setenv("HWLOC_XMLFILE", path, 1);
    int error = hfi_topology_load(&topology, true);
    unlink(path);
    cr_assert_eq(error, 0);
    cr_assert(topology.from_hwloc);
    cr_assert_eq(topology.node_count, 3);
    assert_sound();
    static const unsigned ids[] = { 0, 2, 5 };
    static const uint64_t distances[3][3] = { { 10, 31, 18 }, { 32, 10, 22 }, { 17, 21, 10 } };
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(topology.nodes[i].id, ids[i]);
        cr_assert(topology.nodes[i].has_cpus);
        for (unsigned j = 0; j < 3; j++)
            cr_assert_eq(topology.nodes[i].distance[j], distances[i][j], "%u to %u: %llu", ids[i], ids[j],
                         (unsigned long long)topology.nodes[i].distance[j]);
    }
    cr_assert_eq(topology.nodes[1].memory_bytes, (uint64_t)3 << 30);
}

Test(topology, no_answer_is_one_node_and_an_error)
{
    setenv("HWLOC_SYNTHETIC", "nonsense", 1);
    setenv("HWLOC_HIDE_ERRORS", "2", 1);
    fclose(stderr);
    int error = hfi_topology_load(&topology, false);
    /* hwloc may fall back to this machine: then that is the answer */
    cr_assert(error == 0 ? topology.from_hwloc
                         : !topology.from_hwloc && topology.node_count == 1 && topology.nodes[0].id == 0);
    assert_sound();
}

Test(topology, loads_no_plugins)
{
    static char maps[1 << 20];
    setenv("HWLOC_PLUGINS_PATH",
           "/usr/lib:/usr/lib/x86_64-linux-gnu/hwloc:/usr/lib/aarch64-linux-gnu/hwloc:/usr/lib64/hwloc", 1);
    cr_assert_eq(hfi_topology_load(&topology, false), 0);
    cr_assert_gt(hfi_os_read_file("/proc/self/maps", maps, sizeof maps), 0);
    cr_assert_null(strstr(maps, "libOpenCL"));
    cr_assert_null(strstr(maps, "libX11"));
    cr_assert_null(strstr(maps, "hwloc_xml_libxml"));
    cr_assert_str_eq(
        getenv("HWLOC_PLUGINS_PATH"),
        "/usr/lib:/usr/lib/x86_64-linux-gnu/hwloc:/usr/lib/aarch64-linux-gnu/hwloc:/usr/lib64/hwloc");
}

/* --- another machine, by description --- */

Test(topology, describe)
{
    setenv("HWLOC_XMLFILE", "/nonexistent",
           1); /* a description is not mixed with what the environment describes */
    setenv("HWLOC_THISSYSTEM", "1", 1);
    cr_assert_eq(hfi_topology_describe(&topology, NULL, "node:3(memory=2147483648) core:2 pu:1"), 0);
    cr_assert_eq(topology.node_count, 3);
    cr_assert_eq(topology.nodes[2].cpu_count, 2);
    cr_assert_eq(topology.nodes[2].memory_bytes, (uint64_t)2 << 30);
    cr_assert_eq(hfi_topology_describe(&topology, NULL, "node:3 core:x"), -EINVAL);
    cr_assert_eq(topology.node_count, 0, "not this machine instead");
    cr_assert_eq(hfi_topology_describe(&topology, "/nonexistent", NULL), -EINVAL);
    cr_assert_eq(hfi_topology_describe(&topology, "/dev/null", NULL), -EINVAL);
    cr_assert_eq(topology.node_count, 0);
}

/* hwloc takes a hundred nodes of one number from a file: they are one, and do not run over the end
 * of nodes[]. */
Test(topology, describe_one_number_a_hundred_times)
{
    char path[] = "/tmp/holdfast-topology-XXXXXX", bit[64];
    static const char all[] = "0xffffffff,0xffffffff,0xffffffff,0xffffffff";
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    FILE *file = fdopen(fd, "w");
    fprintf(file,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE topology SYSTEM "
            "\"hwloc2.dtd\">\n<topology version=\"2.0\">\n"
            "<object type=\"Machine\" os_index=\"0\" cpuset=\"%s\" complete_cpuset=\"%s\" "
            "allowed_cpuset=\"%s\" nodeset=\"%s\" "
            "complete_nodeset=\"%s\" allowed_nodeset=\"%s\" gp_index=\"1\">\n",
            all, all, all, all, all, all);
    for (unsigned i = 0; i < 100; i++) {
        uint32_t words[4] = { 0 };
        words[i / 32] = (uint32_t)1 << i % 32;
        snprintf(bit, sizeof bit, "0x%08x,0x%08x,0x%08x,0x%08x", words[3], words[2], words[1], words[0]);
        static const char *const objects[] = {
            "<object type=\"Package\" os_index=\"%u\" cpuset=\"%s\" complete_cpuset=\"%s\" nodeset=\"%s\" "
            "complete_nodeset=\"%s\" gp_index=\"%u\">\n",
            "<object type=\"NUMANode\" os_index=\"%u\" cpuset=\"%s\" complete_cpuset=\"%s\" nodeset=\"%s\" "
            "complete_nodeset=\"%s\" gp_index=\"%u\" "
            "local_memory=\"1073741824\"/>\n",
            "<object type=\"PU\" os_index=\"%u\" cpuset=\"%s\" complete_cpuset=\"%s\" nodeset=\"%s\" "
            "complete_nodeset=\"%s\" gp_index=\"%u\"/>\n</object>\n",
        };
        for (unsigned j = 0; j < 3; j++)
            fprintf(file, objects[j], j == 1 ? 3 : i, bit, bit, bit, bit, 2 + 3 * i + j);
    }
    fputs("</object>\n</topology>\n", file);
    fclose(file);
    int error = hfi_topology_describe(&topology, path, NULL);
    unlink(path);
    cr_assert_eq(error, 0);
    cr_assert_eq(topology.node_count, 1);
    cr_assert_eq(topology.bare_count, 0);
    cr_assert_eq(topology.nodes[0].id, 3);
}
