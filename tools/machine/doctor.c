/*
 * doctor: is this machine set up for the arena that is asked for?  The checks are in checks.h.
 *
 * DR1: the exit status is 1 exactly when a check failed.
 *
 * Test: tests/tool.sh.
 */
#include "machine/checks.h"

static void examine(struct examination *examination)
{
    checks_options(examination);
    checks_library(examination);
    checks_topology(examination);
    checks_memory(examination);
    checks_cgroup(examination);
    checks_pools(examination);
    checks_pool_limits(examination);
    checks_thp(examination);
    checks_memlock(examination);
    checks_swap(examination);
    checks_overcommit(examination);
    checks_space(examination);
    checks_mbind(examination);
    checks_uring(examination);
    checks_registering(examination);
    checks_membarrier(examination);
    checks_inspection(examination);
    checks_result(examination);
    examination->arena_failed = examination->failed;
    checks_forks(examination);
}

static int print_text(const struct examination *examination)
{
    checks_print(examination, true);
    checks_print_sum(examination, "the arena would stand as asked",
                     examination->arena_failed != 0
                         ? "the arena would not stand as asked"
                         : "the arena would stand as asked, and its forked children may be killed");
    return fflush(stdout) != 0 || ferror(stdout);
}

static int print_json(const struct examination *examination)
{
    return tool_json_print(examination->checks);
}

static int doctor_main(int argc, char **argv)
{
    static const struct option long_options[] = {
        { "arena", required_argument, NULL, TOOL_SETS_VARIABLE },
        { "backing", required_argument, NULL, TOOL_SETS_VARIABLE },
        { "nodes", required_argument, NULL, TOOL_SETS_VARIABLE },
        { "forks", required_argument, NULL, 'f' },
        { "json", no_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    return checks_main(argc, argv,
                       &(struct checks_command){ .command = &tool_doctor,
                                                 .options = long_options,
                                                 .examine = examine,
                                                 .print_text = print_text,
                                                 .print_json = print_json });
}

const struct command tool_doctor = {
    .name = "doctor",
    .summary = "check whether this machine is set up for an arena",
    .help = "usage: holdfast doctor [--arena SIZE] [--backing PAGES] [--nodes NODES] [--forks COUNT]\n"
            "                       [--json]\n"
            "\n"
            "Prints one line per check: ok, warn or fail, what was found, what mends it now, and what\n"
            "keeps it so over a reboot.\n"
            "The arena checked for is that of the options, else of the HOLDFAST_* environment.\n"
            "Exit status 1: a named arena would not stand as asked, or its forked children not live.\n"
            "\n"
            "  --arena SIZE     as HOLDFAST_ARENA\n"
            "  --backing PAGES  as HOLDFAST_BACKING\n"
            "  --nodes NODES    as HOLDFAST_NODES\n"
            "  --forks COUNT    count what so many forked children at a time may copy: 1 for Redis, "
            "max_connections\n"
            "                   and some for PostgreSQL\n"
            "  --json           an array of checks: id, name, verdict, node, need, have, page_bytes, found,\n"
            "                   mend, keep\n"
            "  --help           this text\n",
    .run = doctor_main,
};
