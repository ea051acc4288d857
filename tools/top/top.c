/*
 * top: the arena of a running process, live.
 *
 * Test: tests/tool-top.sh.
 */
#include "top/top.h"

#include <stdlib.h>
#include <unistd.h>

static int watch(struct top *top)
{
    char name[TOP_NAME_BYTES];
    tool_printable(top->name, sizeof top->name, target_name(top->target.pid, name, sizeof name));
    top->theaps = calloc(HF_INSPECT_MAX_THEAPS, sizeof *top->theaps);
    top->heaps = calloc(HF_INSPECT_MAX_HEAPS, sizeof *top->heaps);
    if (top->theaps == NULL || top->heaps == NULL) {
        hfi_say(SAY_ERROR, "HF-E430", "top", "there is no memory for %d threads and %d heaps; free some",
                HF_INSPECT_MAX_THEAPS, HF_INSPECT_MAX_HEAPS);
        return EXIT_FAILURE;
    }
    int status = target_read(&top->target, &top->now, false, "top");
    if (status == 0)
        status = top_screen(top);
    snapshot_free(&top->now);
    snapshot_free(&top->map);
    free(top->theaps);
    free(top->heaps);
    return status;
}

static int top_main(int argc, char **argv)
{
    static const struct option long_options[] = { { "delay", required_argument, NULL, 'd' },
                                                  { "help", no_argument, NULL, 'h' },
                                                  { 0 } };
    static struct top top = { .delay = 1 };
    int option;
    while ((option = tool_getopt(argc, argv, ":h", long_options, "top")) != -1) {
        if (option == 'h')
            return tool_help(&tool_top);
        if (option != 'd')
            return EXIT_USAGE;
        if (!top_set_delay(&top, optarg)) {
            hfi_say(SAY_ERROR, "HF-E436", "top",
                    "--delay %s: not a number of seconds from %.1f to %.0f; see `holdfast help top`", optarg,
                    TOP_DELAY_MIN, TOP_DELAY_MAX);
            return EXIT_CONFIG;
        }
    }
    int status = target_of_arguments(&top.target, argc, argv, "top");
    if (status != 0)
        return status;
    if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)) {
        status = watch(&top);
    } else {
        hfi_say(SAY_ERROR, "HF-E435", "top",
                "standard input and output are no terminal; start it in one, or use `holdfast stat`");
        status = EXIT_FAILURE;
    }
    target_close(&top.target);
    return status;
}

const struct command tool_top = {
    .name = "top",
    .summary = "watch the arena of a running process",
    .help =
        "usage: holdfast top [--delay SECONDS] [PID]\n"
        "\n"
        "Shows process PID's arena on the whole terminal, of 40x10 characters or more: what is live and\n"
        "held, nodes, rates, threads, size classes, events, heaps, and how it went since top was started.\n"
        "Without PID: the only process that shows an arena.\n"
        "Keys: 1 to 6 or Tab another view, arrows scroll, < > or a capital letter sort, r turns the\n"
        "order round, d another delay, h help, q quit.\n"
        "\n"
        "  --delay SECONDS  between refreshes, 0.1 to 60 (default: 1)\n"
        "  --help           this text\n",
    .run = top_main,
};
