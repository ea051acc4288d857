/*
 * plan: machines that no virtual one of ours can be (tests/topologies), from hwloc's description to
 * the plan: who gets how much, who turns to whom, what is said.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/segment.h"
#include "app/buffers.h"
#include "numa/distance.h"
#include "kernel/machine.h"
#include "kernel/cpu.h"
#include "arena/reserve.h"
#include "base/say.h"
#include "numa/plan.h"
#include "numa/topology.h"

#define EXIT_STOPPED 78
#define EXIT_FAILED 3

static struct topology topology;

static void set_up(void)
{
    unsetenv("HWLOC_SYNTHETIC");
    unsetenv("HWLOC_FSROOT");
    hfi_say_set_verbose(false);
}

TestSuite(plan, .init = set_up);

static void load(const char *machine)
{
    char path[1024];
    const char *srcdir = getenv("srcdir");
    snprintf(path, sizeof path, "%s/tests/topologies/%s.xml", srcdir != NULL ? srcdir : ".", machine);
    cr_assert_eq(access(path, R_OK), 0, "%s is to be read; srcdir is the top of the sources", path);
    setenv("HWLOC_XMLFILE", path, 1);
    cr_assert_eq(hfi_topology_load(&topology, true), 0, "a description counts, quick or not");
    cr_assert(topology.from_hwloc);
}

static struct options options_of(enum option_arena arena, size_t bytes)
{
    struct options options;
    hfi_options_read(&options);
    options.arena = arena;
    options.arena_bytes = bytes;
    options.backing = BACKING_4K;
    options.prefault = PREFAULT_NONE;
    options.lock = LOCK_NO;
    return options;
}

static size_t planned(const struct options *options, unsigned id)
{
    struct reservation draft;
    hfi_plan_draft(&draft, options, &topology, hfi_os_usable_bytes());
    for (unsigned i = 0; i < draft.node_count; i++)
        if (draft.nodes[i].id == id)
            return draft.nodes[i].bytes;
    return 0;
}

/* The order from a node, by numbers, as text: "0 3 2 1". */
static const char *order_from(unsigned from_id, uint64_t among_ids)
{
    static char text[256];
    uint8_t order[HFI_MAX_NODES];
    uint64_t among = 0;
    unsigned from = HFI_MAX_NODES;
    for (unsigned i = 0; i < topology.node_count + topology.bare_count; i++) {
        among |= (among_ids >> topology.nodes[i].id & 1) << i;
        if (topology.nodes[i].id == from_id)
            from = i;
    }
    cr_assert_lt(from, HFI_MAX_NODES);
    unsigned count = hfi_distance_order(order, &topology, from, among);
    text[0] = 0;
    for (unsigned i = 0; i < count; i++)
        sprintf(text + strlen(text), "%s%u", i == 0 ? "" : " ", topology.nodes[order[i]].id);
    return text;
}

#define ALL (~(uint64_t)0)
#define ASSERT_ORDER(from, among, expected) cr_assert_str_eq(order_from(from, among), expected)

/* --- hfi_reserve in a child, its words in `said` --- */

static char said[8192];
static struct reservation *reservation; /* shared with the child */

static int reserve_in_child(const struct options *options, bool verbose)
{
    int ends[2], status;
    size_t length = 0;
    ssize_t got;
    reservation = mmap(NULL, sizeof *reservation, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_eq(pipe(ends), 0);
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        dup2(ends[1], 2);
        close(ends[0]);
        hfi_say_set_verbose(verbose);
        _exit(hfi_reserve(reservation, options, &topology) == 0 ? 0 : EXIT_FAILED);
    }
    close(ends[1]);
    while ((got = read(ends[0], said + length, sizeof said - 1 - length)) > 0)
        length += (size_t)got;
    said[length] = 0;
    close(ends[0]);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

#define ASSERT_SAID(text) cr_assert_not_null(strstr(said, text), "'%s' was to be said, not: %s", text, said)
#define ASSERT_NOT_SAID(text) cr_assert_null(strstr(said, text), "'%s' was not to be said: %s", text, said)

/* --- the machines --- */

Test(plan, eight_sockets)
{
    load("eight-sockets");
    cr_assert_eq(topology.node_count, 8);
    for (unsigned i = 0; i < 8; i++) {
        cr_assert_eq(topology.nodes[i].cpu_count, 128);
        cr_assert_eq(topology.nodes[i].memory, MEMORY_ORDINARY);
    }
    struct options options = options_of(ARENA_BYTES, 2048 * HFI_GIB);
    for (unsigned id = 0; id < 8; id++)
        cr_assert_eq(planned(&options, id), 256 * HFI_GIB);
    options.nodes = 0x30;
    cr_assert_eq(planned(&options, 0), 0);
    cr_assert_eq(planned(&options, 4), 1024 * HFI_GIB);
    ASSERT_ORDER(0, ALL, "0 1 2 3 4 5 6 7");
    ASSERT_ORDER(2, ALL, "2 3 0 1 4 5 6 7");
    ASSERT_ORDER(6, ALL, "6 7 4 5 0 1 2 3");
    ASSERT_ORDER(6, 0x0f, "0 1 2 3");
}

Test(plan, eight_sockets_lean_on_different_ones)
{
    unsigned first[8] = { 0 };
    load("eight-sockets");
    for (unsigned i = 0; i < 8; i++) {
        uint8_t order[HFI_MAX_NODES];
        cr_assert_eq(hfi_distance_order(order, &topology, i, ALL), 8);
        cr_assert_eq(order[0], i);
        first[order[1]]++;
    }
    for (unsigned i = 0; i < 8; i++)
        cr_assert_leq(first[i], 1, "node %u is the first help of %u nodes", i, first[i]);
}

Test(plan, sixteen_nodes_of_sub_numa_clustering)
{
    load("snc-sixteen");
    cr_assert_eq(topology.node_count, 16);
    struct options options = options_of(ARENA_BYTES, 160 * HFI_GIB);
    for (unsigned id = 0; id < 16; id++)
        cr_assert_eq(planned(&options, id), 10 * HFI_GIB);
    ASSERT_ORDER(5, ALL, "5 6 7 4 8 9 10 11 0 1 2 3 12 13 14 15");
    ASSERT_ORDER(15, ALL, "15 12 13 14 0 1 2 3 8 9 10 11 4 5 6 7");
    options = options_of(ARENA_BYTES, 64 * HFI_MIB);
    cr_assert_eq(reserve_in_child(&options, false), 0);
    cr_assert_eq(reservation->node_count, 16);
    cr_assert_eq(reservation->nodes[9].bytes, 4 * HFI_MIB);
    options.arena_bytes = 32 * HFI_MIB;
    cr_assert_eq(reserve_in_child(&options, false), 0);
    ASSERT_SAID("2 MiB on node 15 is too small for an arena");
}

Test(plan, faster_memory)
{
    load("hbm");
    cr_assert_eq(topology.node_count, 4);
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_eq(topology.nodes[i].has_cpus, i < 2);
        cr_assert_eq(topology.nodes[i].memory, i < 2 ? MEMORY_ORDINARY : MEMORY_FASTER);
    }
    struct options options = options_of(ARENA_BYTES, 64 * HFI_MIB);
    cr_assert_eq(planned(&options, 0), 32 * HFI_MIB);
    cr_assert_eq(planned(&options, 2), 0, "all does not mean it");
    cr_assert_eq(reserve_in_child(&options, true), 0);
    cr_assert_eq(reservation->node_count, 2);
    ASSERT_SAID("info HF-I223 reserve: node 2 has 64 GiB of faster memory without CPUs, and gets no arena; "
                "name it in HOLDFAST_NODES to use it\n");
    ASSERT_SAID("node 3 has");
    options.nodes = 0xc;
    cr_assert_eq(reserve_in_child(&options, true), 0);
    ASSERT_NOT_SAID("HF-I223");
    cr_assert_eq(reservation->node_count, 2);
    cr_assert_eq(reservation->nodes[0].id, 2);
    cr_assert_eq(reservation->nodes[1].id, 3);
    cr_assert_eq(reservation->home[0], 0, "threads of node 0 live on node 2");
    cr_assert_eq(reservation->home[1], 1);
    ASSERT_ORDER(0, ALL, "0 2 1 3");
}

Test(plan, auto_leaves_other_memory_alone)
{
    load("hbm");
    struct options options = options_of(ARENA_AUTO, 0);
    cr_assert_gt(planned(&options, 1), 0);
    cr_assert_eq(planned(&options, 3), 0);
    options = options_of(ARENA_PERCENT, 0);
    options.arena_percent = 10;
    size_t share = planned(&options, 0);
    cr_assert_eq(share, hfi_align_up(hfi_os_usable_bytes() / 100 * 10 / 2, HFI_PAGE_BYTES),
                 "divided by two, not by four");
}

Test(plan, slower_memory)
{
    load("cxl");
    cr_assert_eq(topology.node_count, 3);
    cr_assert_eq(topology.nodes[2].memory, MEMORY_SLOWER);
    struct options options = options_of(ARENA_BYTES, 64 * HFI_MIB);
    cr_assert_eq(reserve_in_child(&options, true), 0);
    cr_assert_eq(reservation->node_count, 2);
    ASSERT_SAID("node 2 has 512 GiB of slower memory without CPUs, and gets no arena");
    options = options_of(ARENA_PER_NODE, 0);
    options.arena_node_bytes[0] = options.arena_node_bytes[2] = 8 * HFI_MIB;
    cr_assert_eq(reserve_in_child(&options, true), 0);
    cr_assert_eq(reservation->node_count, 2, "a size is a name");
    cr_assert_eq(reservation->nodes[1].id, 2);
    ASSERT_NOT_SAID("HF-I223");
    options.nodes = 3;
    cr_assert_eq(reserve_in_child(&options, false), 0);
    ASSERT_SAID("warning HF-W212 reserve: HOLDFAST_ARENA names node 2, HOLDFAST_NODES leaves it out");
}

Test(plan, memory_of_which_nothing_is_known)
{
    load("apart");
    cr_assert_eq(topology.nodes[2].memory, MEMORY_APART);
    struct options options = options_of(ARENA_BYTES, 64 * HFI_MIB);
    cr_assert_eq(reserve_in_child(&options, true), 0);
    cr_assert_eq(reservation->node_count, 2);
    ASSERT_SAID("node 2 has 512 GiB of memory without CPUs, and gets no arena");
}

Test(plan, container)
{
    load("container");
    cr_assert_eq(topology.node_count, 2, "nodes that the cpuset allows");
    cr_assert_eq(topology.nodes[0].id, 1);
    cr_assert_eq(topology.nodes[1].id, 3);
    cr_assert(topology.nodes[1].has_cpus, "it has, though not for this process");
    struct options options = options_of(ARENA_BYTES, 64 * HFI_MIB);
    cr_assert_eq(planned(&options, 1), 32 * HFI_MIB);
    cr_assert_eq(planned(&options, 3), 32 * HFI_MIB);
    ASSERT_ORDER(1, ALL, "1 3");
    cr_assert_eq(topology.nodes[0].distance[1], 32);
    options.nodes = 0xf;
    options.strict = true;
    cr_assert_eq(reserve_in_child(&options, false), EXIT_STOPPED);
    ASSERT_SAID(
        "error HF-E211 reserve: HOLDFAST_NODES names node 0, which has no memory this process may use");
    options.strict = false;
    cr_assert_eq(reserve_in_child(&options, false), 0);
    cr_assert_eq(reservation->node_count, 2);
    ASSERT_SAID("HOLDFAST_NODES names node 2");
    ASSERT_NOT_SAID("names node 3");
}

Test(plan, one_node_with_number_three)
{
    load("node-three");
    cr_assert_eq(topology.node_count, 1);
    cr_assert_eq(topology.nodes[0].id, 3);
    cr_assert_eq(topology.nodes[0].cpu_count, 8, "CPUs 200 to 207");
    cr_assert_eq(topology.nodes[0].memory, MEMORY_ORDINARY);
    struct options options = options_of(ARENA_BYTES, 8 * HFI_MIB);
    cr_assert_eq(reserve_in_child(&options, false), 0);
    cr_assert_eq(reservation->nodes[0].id, 3);
    cr_assert_eq(reservation->home[3], 0);
    options.nodes = 1;
    cr_assert_eq(reserve_in_child(&options, false), EXIT_FAILED);
    ASSERT_SAID("warning HF-W211 reserve: HOLDFAST_NODES names node 0");
    ASSERT_SAID("nodes with memory: 1, the first is node 3: name that one, or none");
}

Test(plan, node_without_memory)
{
    load("bare");
    cr_assert_eq(topology.node_count, 2);
    cr_assert_eq(topology.bare_count, 1);
    cr_assert_eq(topology.nodes[2].id, 5);
    struct options options = options_of(ARENA_BYTES, 16 * HFI_MIB);
    cr_assert_eq(planned(&options, 2), 8 * HFI_MIB, "halves, not thirds");
    cr_assert_eq(reserve_in_child(&options, false), 0);
    cr_assert_eq(reservation->node_count, 2);
    cr_assert_eq(reservation->nodes[reservation->home[5]].id, 7, "the nearest with memory");
    cr_assert_eq(reservation->nodes[reservation->home[2]].id, 2);
    cr_assert_eq(reservation->nodes[reservation->home[7]].id, 7);
    ASSERT_ORDER(5, ALL, "7 2");
}

Test(plan, seventy_nodes)
{
    unsetenv("HWLOC_XMLFILE");
    setenv("HWLOC_SYNTHETIC", "numa:70(memory=1GB) pu:1", 1);
    cr_assert_eq(hfi_topology_load(&topology, true), 0);
    cr_assert_eq(topology.node_count, HFI_MAX_NODES);
    cr_assert_eq(topology.left_out_count, 6);
    struct options options = options_of(ARENA_BYTES, 64 * 4 * HFI_MIB);
    cr_assert_eq(reserve_in_child(&options, false), 0);
    ASSERT_SAID("warning HF-W220 reserve: nodes numbered above 63 cannot be used: 6, from node 64 on: they "
                "get no arena");
    cr_assert_eq(reservation->node_count, 64);
    cr_assert_eq(reservation->nodes[63].nearest[0], 63);
    cr_assert_eq(reservation->nodes[63].nearest[1], 0, "cyclic");
    options.strict = true;
    cr_assert_eq(reserve_in_child(&options, false), EXIT_STOPPED);
    ASSERT_SAID("error HF-E220");
    options.nodes = 3;
    cr_assert_eq(reserve_in_child(&options, false), EXIT_STOPPED, "binding to a node that is not here");
    ASSERT_NOT_SAID("HF-E220");
}

/* Every node's list holds every node once, itself first, by distances that do not fall. */
Test(plan, orders_are_whole)
{
    static const char *const machines[] = { "eight-sockets", "snc-sixteen", "hbm", "cxl",
                                            "apart",         "container",   "bare" };
    for (size_t m = 0; m < sizeof machines / sizeof machines[0]; m++) {
        load(machines[m]);
        for (unsigned i = 0; i < topology.node_count; i++) {
            uint8_t order[HFI_MAX_NODES];
            uint64_t seen = 0;
            cr_assert_eq(hfi_distance_order(order, &topology, i, ALL), topology.node_count);
            cr_assert_eq(order[0], i);
            for (unsigned j = 0; j < topology.node_count; j++) {
                seen |= (uint64_t)1 << order[j];
                cr_assert(j == 0 ||
                          topology.nodes[i].distance[order[j]] >= topology.nodes[i].distance[order[j - 1]]);
            }
            cr_assert_eq(seen, ((uint64_t)1 << topology.node_count) - 1);
        }
    }
}

Test(plan, cpus_of_a_node)
{
    uint64_t cpus[HFI_CPU_WORDS];
    cpu_set_t own;
    int count = hfi_os_node_cpus(0, cpus), seen = 0;
    if (count == -ENOENT)
        cr_skip_test("this kernel shows no nodes");
    for (unsigned i = 0; i < HFI_CPU_WORDS; i++)
        seen += __builtin_popcountll(cpus[i]);
    cr_assert_eq(count, seen);
    cr_assert_eq(sched_getaffinity(0, sizeof own, &own), 0);
    if (hfi_os_node_cpus(1, (uint64_t[HFI_CPU_WORDS]){ 0 }) == -ENOENT)
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
            cr_assert(!CPU_ISSET(cpu, &own) || (cpus[cpu / 64] >> (cpu % 64) & 1),
                      "CPU %d is of the only node", cpu);
    cr_assert_lt(hfi_os_node_cpus(999, cpus), 0);
}

/* --- the plan is what is reserved --- */

Test(plan, what_is_reserved_is_what_was_planned)
{
    static struct reservation planned;
    struct plan_part parts[HFI_PLAN_PARTS_MAX];
    load("cxl");
    struct options options = options_of(ARENA_PER_NODE, 0);
    options.arena_node_bytes[0] = 3 * HFI_MIB; /* raised to the least */
    options.arena_node_bytes[1] = HFI_GIB + HFI_MIB;
    options.arena_node_bytes[2] = 70 * HFI_MIB;
    hfi_plan_draft(&planned, &options, &topology, 0);
    cr_assert_eq(planned.node_count, 3);
    cr_assert_eq(planned.nodes[0].asked_bytes, 3 * HFI_MIB);
    cr_assert_eq(planned.nodes[0].bytes, HFI_NODE_BYTES_MIN);
    cr_assert_eq(hfi_plan_asked(&planned), HFI_GIB + 74 * HFI_MIB);
    cr_assert(!hfi_plan_cap(&planned));
    hfi_plan_order(&planned, &topology);
    hfi_plan_span(&planned);
    hfi_plan_place(&planned, (char *)(uintptr_t)HFI_GIB);
    cr_assert_eq(reserve_in_child(&options, true), 0);
    cr_assert_eq(reservation->node_count, planned.node_count);
    cr_assert_eq(reservation->span, planned.span);
    cr_assert_eq(planned.span, HFI_WINDOWS_OFFSET + 4 * HFI_WINDOW_BYTES);
    for (unsigned i = 0; i < planned.node_count; i++) {
        const struct reserved_node *a = &planned.nodes[i], *b = &reservation->nodes[i];
        cr_assert_eq(a->id, b->id);
        cr_assert_eq(a->bytes, b->bytes);
        cr_assert_eq(a->asked_bytes, b->asked_bytes);
        cr_assert_eq(a->start - planned.base, b->start - reservation->base);
        cr_assert_arr_eq(a->nearest, b->nearest, planned.node_count);
    }
    cr_assert_arr_eq(planned.home, reservation->home, sizeof planned.home);
    cr_assert_eq(hfi_plan_windows(&planned.nodes[1]), 2);
    /* The parts come one after the other, between two guards, and none is within another. */
    unsigned count = hfi_plan_parts(&planned, &options, parts);
    cr_assert_eq(count, 2 * 3 + 3);
    cr_assert_eq(parts[0].offset + parts[0].bytes, 0);
    cr_assert_eq(parts[count - 1].offset, planned.span);
    for (unsigned i = 2; i + 1 < count; i += 2) {
        cr_assert_geq(parts[i].offset, HFI_TABLE_OFFSET);
        cr_assert_leq(parts[i].offset + parts[i].bytes, HFI_WINDOWS_OFFSET);
        cr_assert_eq(
            parts[i].bytes,
            hfi_align_up(planned.nodes[i / 2 - 1].bytes / HFI_PAGE_BYTES * HFI_TABLE_ENTRY_BYTES, 4096));
        cr_assert_leq(parts[i + 1].offset + parts[i + 1].bytes, planned.span);
    }
}

Test(plan, backings)
{
    cr_assert(hfi_backing_is_asked(BACKING_AUTO, BACKING_1G, 3 * HFI_GIB));
    cr_assert(!hfi_backing_is_asked(BACKING_AUTO, BACKING_1G, 3 * HFI_GIB + HFI_MIB),
              "auto would round up by much");
    cr_assert(hfi_backing_is_asked(BACKING_1G, BACKING_1G, HFI_MIB));
    cr_assert(hfi_backing_is_asked(BACKING_1G, BACKING_2M, HFI_MIB),
              "what was asked for is the first backing, not the only one");
    cr_assert(!hfi_backing_is_asked(BACKING_2M, BACKING_1G, HFI_GIB));
    cr_assert(!hfi_backing_is_asked(BACKING_4K, BACKING_THP, HFI_GIB));
    size_t left = 100 * HFI_GIB - hfi_plan_segment_bytes(100 * HFI_GIB);
    cr_assert_eq(hfi_plan_most(100 * HFI_GIB), left / 100 * 95);
    cr_assert_lt(hfi_plan_cut(100 * HFI_GIB), hfi_plan_most(100 * HFI_GIB));
}

Test(plan, inspection_segment_is_counted_and_small)
{
    static const unsigned nodes[] = { 1, 2, 8, HFI_MAX_NODES };
    for (size_t bytes = HFI_NODE_BYTES_MIN; bytes <= HFI_ARENA_MAX_BYTES; bytes *= 2)
        for (unsigned i = 0; i < sizeof nodes / sizeof nodes[0]; i++)
            cr_assert_geq(hfi_plan_segment_bytes(bytes), hfi_segment_bytes(nodes[i], bytes >> HFI_PAGE_SHIFT),
                          "%zu bytes, %u nodes", bytes, nodes[i]);
    cr_assert_lt(hfi_segment_bytes(1, (300 * HFI_MIB) >> HFI_PAGE_SHIFT), 256 << 10);
    cr_assert_eq(hfi_plan_most(0), 0);
}

Test(plan, an_arena_has_an_end)
{
    static struct reservation planned;
    load("eight-sockets");
    struct options options = options_of(ARENA_BYTES, 4096 * HFI_GIB);
    hfi_plan_draft(&planned, &options, &topology, 0);
    cr_assert(hfi_plan_cap(&planned));
    cr_assert(!hfi_plan_cap(&planned), "it fits then");
    hfi_plan_span(&planned);
    cr_assert_leq(planned.span, HFI_ARENA_MAX_BYTES);
    cr_assert_gt(hfi_plan_bytes(&planned), 4000 * HFI_GIB);
    /* What was asked for stays as it was, for the message. */
    options = options_of(ARENA_PER_NODE, 0);
    options.arena_node_bytes[0] = options.arena_node_bytes[1] = SIZE_MAX / 4 * 3;
    hfi_plan_draft(&planned, &options, &topology, 0);
    cr_assert_eq(planned.nodes[1].asked_bytes, SIZE_MAX / 4 * 3);
    cr_assert_eq(hfi_plan_asked(&planned), UINT64_MAX);
    cr_assert(hfi_plan_cap(&planned));
}

Test(plan, buffers_of_io_uring_go_by_the_window)
{
    static struct iovec windows[16];
    struct reservation cut = { .node_count = 2 };
    cut.nodes[0].bytes = 3 * HFI_GIB;
    cut.nodes[1].bytes = HFI_GIB + HFI_GIB / 4;
    hfi_plan_span(&cut);
    hfi_plan_place(&cut, (char *)(uintptr_t)HFI_GIB);
    cut.nodes[0].bytes = HFI_GIB + HFI_GIB / 2; /* less was to be had, when the places were given */
    cr_assert_eq(hfi_buffers_list(&cut, windows), 5);
    for (unsigned i = 0; i < 5; i++)
        cr_assert(windows[i].iov_base == NULL ||
                      windows[i].iov_base == cut.base + HFI_WINDOWS_OFFSET + i * HFI_GIB,
                  "%u", i);
    cr_assert(windows[0].iov_len == HFI_GIB && windows[1].iov_len == HFI_GIB / 2);
    cr_assert(windows[2].iov_base == NULL && windows[2].iov_len == 0);
    cr_assert(windows[3].iov_len == HFI_GIB && windows[4].iov_len == HFI_GIB / 4);
}
