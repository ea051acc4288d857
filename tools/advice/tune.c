/*
 * tune: what to change about the arena of a process, by what it came through; the rules are
 * rules.c's.
 *
 * Test: tests/tool-tune.sh.
 */
#include <stdlib.h>

#include "advice/advice.h"
#include "show/show.h"

static void print_advice(const struct history *history, const struct advice *advice)
{
    printf("%-5s %s", advice_severity_name(advice->severity), advice->rule);
    if (advice->node >= 0)
        printf(", node %u", history->last->snapshot.nodes[advice->node].id);
    char evidence[ADVICE_TEXT]; /* may name a thread */
    printf(": %s\n      set: %s\n", tool_printable(evidence, sizeof evidence, advice->evidence),
           advice->setting);
}

static void print_nothing(const struct history *history, double settled_s)
{
    const struct snapshot *snapshot = &history->last->snapshot;
    char most[SHOW_SHORT], total[SHOW_SHORT];
    printf("nothing to change: %llu calls failed, %llu pages came from other nodes",
           (unsigned long long)history->last->sum.failed,
           (unsigned long long)snapshot_sum_away(&history->last->sum));
    for (unsigned i = 0; i < snapshot->node_count; i++)
        printf("; node %u used at most %s of %s, on %s pages", snapshot->nodes[i].id,
               show_size(most, snapshot->nodes[i].high_water), show_size(total, snapshot->nodes[i].total),
               snapshot_backing_name(snapshot->nodes[i].backing));
    putchar('\n');
    if (history_life_s(history) < settled_s)
        printf("too young to be told a size: the arena was made %.1f s ago, and is judged after %.0f s "
               "(--settled)\n",
               history_life_s(history), settled_s);
}

static int print_text(const struct history *history, const struct advice *advice, unsigned count,
                      double settled_s)
{
    char name[SAMPLE_NAME];
    printf("process %llu (%s), %.1f s after its arena was made",
           (unsigned long long)history->last->snapshot.header.pid,
           tool_printable(name, sizeof name, history->last->clock.name), history_life_s(history));
    if (!history->live)
        printf(", %llu samples of %.1f s", (unsigned long long)history->samples, history_span_s(history));
    putchar('\n');
    for (unsigned i = 0; i < count; i++)
        print_advice(history, &advice[i]);
    if (count == 0)
        print_nothing(history, settled_s);
    return fflush(stdout) != 0 || ferror(stdout);
}

static json_t *advice_json(const struct history *history, const struct advice *advice)
{
    json_t *object = json_object();
    json_object_set_new(object, "rule", json_string(advice->rule));
    json_object_set_new(object, "severity", json_string(advice_severity_name(advice->severity)));
    json_object_set_new(object, "node",
                        advice->node < 0 ? json_null()
                                         : tool_json_number(history->last->snapshot.nodes[advice->node].id));
    json_object_set_new(object, "evidence", json_string(advice->evidence));
    json_object_set_new(object, "setting", json_string(advice->setting));
    return object;
}

static int print_json(const struct history *history, const struct advice *advice, unsigned count)
{
    char name[SAMPLE_NAME];
    json_t *object = json_object(), *list = json_array();
    for (unsigned i = 0; i < count; i++)
        json_array_append_new(list, advice_json(history, &advice[i]));
    json_object_set_new(object, "pid", tool_json_number(history->last->snapshot.header.pid));
    json_object_set_new(object, "name", json_string(tool_utf8(name, sizeof name, history->last->clock.name)));
    json_object_set_new(object, "life_seconds", json_real(history_life_s(history)));
    json_object_set_new(object, "samples", tool_json_number(history->samples));
    json_object_set_new(object, "advice", list);
    return tool_json_print(object);
}

int tune_print(const struct history *history, const struct advice *advice, unsigned count, bool json,
               double settled_s)
{
    return json ? print_json(history, advice, count) : print_text(history, advice, count, settled_s);
}

/* --- the command line --- */

enum { OPTION_SETTLED = 256, OPTION_LAST };

static int tune_main(int argc, char **argv)
{
    static const struct option long_options[] = {
        { "settled", required_argument, NULL, OPTION_SETTLED },
        { "last", no_argument, NULL, OPTION_LAST },
        { "json", no_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    static struct advice advice[ADVICE_MAX];
    struct history history = { .samples = 0 };
    uint64_t settled_ns = (uint64_t)(ADVICE_SETTLED_S * 1e9);
    bool json = false, last = false;
    int option;
    while ((option = tool_getopt(argc, argv, ":h", long_options, "tune")) != -1) {
        if (option == 'h')
            return tool_help(&tool_tune);
        if (option == '?')
            return EXIT_USAGE;
        if (option == 'j')
            json = true;
        else if (option == OPTION_LAST)
            last = true;
        else if (!tool_seconds(optarg, 0, &settled_ns, "tune"))
            return EXIT_CONFIG;
    }
    if (argc - optind > 1) {
        hfi_say(SAY_ERROR, "HF-E440", "tune", "one process or recording at a time; see `holdfast help tune`");
        return EXIT_USAGE;
    }
    int status = last ? history_load_last(&history, argv[optind], "tune")
                      : history_load(&history, argv[optind], 0, "tune");
    if (status != 0) {
        history_free(&history);
        return status == EXIT_FAILURE ? EXIT_USAGE : status; /* 1 says that there is advice */
    }
    double settled_s = (double)settled_ns / 1e9;
    unsigned count = advice_give(&history, settled_s, advice);
    status = tune_print(&history, advice, count, json, settled_s);
    history_free(&history);
    return status != 0 ? EXIT_USAGE : count != 0;
}

const struct command tool_tune = {
    .name = "tune",
    .summary = "say what to change about an arena, and by what evidence",
    .help = "usage: holdfast tune [--settled SECONDS] [--json] [--last] [PID | FILE]\n"
            "\n"
            "Prints advice: what was found in numbers, and the setting that mends it.  FILE is a recording\n"
            "of `holdfast record`.  Without either: the only process that shows an arena.\n"
            "Exit status 0: nothing to change; 1: advice was given; 2: there is nothing to judge by.\n"
            "\n"
            "  --settled SECONDS  life of an arena from which it is called too large (default: 600)\n"
            "  --last             of a process that was killed, the last: PID may be its service or program\n"
            "  --json             one object: pid, name, life_seconds, samples, advice, of which each has\n"
            "                     rule, severity, node, evidence, setting\n"
            "  --help             this text\n",
    .run = tune_main,
};
