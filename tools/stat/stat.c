/*
 * stat: shows the arena of a running process, once or again and again.
 *
 * Neither ptrace nor root is needed for a process of the same user, and the process is not stopped.
 * Its inspection segment is copied and printed (stat-text.c, stat-watch.c, stat-json.c,
 * openmetrics.c, every.c, http.c).
 *
 * Test: tests/tool.sh, tests/tool-stat.sh.
 */
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernel/cpu.h"
#include "reader/last.h"
#include "stat/stat.h"

#define LIST_LENGTH 10u
#define LINES_PER_HEAD 20u
#define SECONDS_LEAST 0.05

enum format { FORMAT_TEXT, FORMAT_JSON, FORMAT_OPENMETRICS, FORMAT_PROMETHEUS };

struct settings {
    enum format format;
    struct stat_lengths lengths;
    double watch_seconds; /* 0: once */
    unsigned long count;  /* of lines; 0: until the process ends */
    bool delta;
    bool last;  /* not a live process */
    bool every; /* process that shows an arena */
    bool http;
};

enum { OPTION_HTTP = 256 };

static volatile sig_atomic_t interrupted;

static void interrupt(int signal)
{
    (void)signal;
    interrupted = 1;
}

static bool is_metrics(const struct settings *settings)
{
    return settings->format == FORMAT_OPENMETRICS || settings->format == FORMAT_PROMETHEUS;
}

static enum stat_metrics_form form_of(const struct settings *settings)
{
    return settings->format == FORMAT_PROMETHEUS ? METRICS_PLAIN : METRICS_OPEN;
}

static int print_once(const struct snapshot *snapshot, const struct settings *settings)
{
    if (settings->format == FORMAT_JSON)
        return tool_json_print(stat_json(snapshot));
    if (is_metrics(settings)) {
        stat_metrics(snapshot, form_of(settings));
        stat_metrics_end(form_of(settings));
    } else
        stat_text(snapshot, &settings->lengths);
    return fflush(stdout) != 0;
}

/* A line for people, or a JSON object on a line of its own. */
static int print_span(const struct snapshot *before, const struct snapshot *after,
                      const struct settings *settings)
{
    if (settings->format == FORMAT_TEXT) {
        stat_watch_line(before, after, settings->delta);
        return fflush(stdout) != 0;
    }
    json_t *object = stat_watch_json(before, after, settings->delta);
    int error = json_dumpf(object, stdout, JSON_COMPACT);
    json_decref(object);
    return error != 0 || putchar('\n') == EOF || fflush(stdout) != 0;
}

/* From here on signals arrive nowhere but in wait_for_interval: none falls between a look at
 * `interrupted` and a wait. */
static void catch_signals(sigset_t *outside)
{
    struct sigaction action = { .sa_handler = interrupt };
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGTERM);
    sigprocmask(SIG_BLOCK, &ours, outside);
    sigdelset(outside, SIGINT);
    sigdelset(outside, SIGTERM);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* False when somebody has seen enough.  A signal that is not ours, such as of a window's size, ends
 * no interval. */
static bool wait_for_interval(uint64_t end_ns, const sigset_t *outside)
{
    for (uint64_t now = hfi_os_now_ns(); now < end_ns && !interrupted; now = hfi_os_now_ns()) {
        const uint64_t ns = end_ns - now;
        const struct timespec left = { .tv_sec = (time_t)(ns / 1000000000),
                                       .tv_nsec = (long)(ns % 1000000000) };
        ppoll(NULL, 0, &left, outside);
    }
    return !interrupted;
}

/* Until the process ends, the lines are printed, or somebody has seen enough. */
static int watch(const struct target *target, struct snapshot *before, const struct settings *settings)
{
    struct snapshot after = { .pages = NULL };
    sigset_t outside;
    int status = 0;
    catch_signals(&outside);
    for (unsigned long line = 0; status == 0 && (settings->count == 0 || line < settings->count); line++) {
        if (settings->format == FORMAT_TEXT && line % LINES_PER_HEAD == 0)
            stat_watch_head(settings->delta);
        uint64_t end_ns = before->taken_ns + (uint64_t)(settings->watch_seconds * 1e9);
        if (fflush(stdout) != 0 || !wait_for_interval(end_ns, &outside) || !target_lives(target))
            break;
        status = target_read(target, &after, before->header.pages.count <= SNAPSHOT_MAP_OFTEN, "stat");
        if (status == 0)
            status = print_span(before, &after, settings);
        struct snapshot older = *before;
        *before = after;
        after = older;
    }
    snapshot_free(&after);
    return status != 0 || fflush(stdout) != 0;
}

/* --- the command line --- */

static bool parse_number(const char *text, double least, double most, double *number)
{
    if (tool_parse_number(text, least, most, number))
        return true;
    hfi_say(SAY_ERROR, "HF-E418", "stat", "%s is not a number from %g to %g; see `holdfast help stat`", text,
            least, most);
    return false;
}

static bool parse_format(const char *text, enum format *format)
{
    static const char *const names[] = {
        [FORMAT_TEXT] = "text",
        [FORMAT_JSON] = "json",
        [FORMAT_OPENMETRICS] = "openmetrics",
        [FORMAT_PROMETHEUS] = "prometheus",
    };
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(text, names[i]) == 0) {
            *format = (enum format)i;
            return true;
        }
    hfi_say(SAY_ERROR, "HF-E419", "stat", "%s is no format; name one of text, json, openmetrics, prometheus",
            text);
    return false;
}

static bool parse_option(int option, struct settings *settings)
{
    double number;
    switch (option) {
    case 'j': settings->format = FORMAT_JSON; return true;
    case 'f': return parse_format(optarg, &settings->format);
    case 'w': return parse_number(optarg, SECONDS_LEAST, 86400, &settings->watch_seconds);
    case 'n':
        if (!parse_number(optarg, 1, 1e9, &number))
            return false;
        settings->count = (unsigned long)number;
        if ((double)settings->count == number)
            return true;
        hfi_say(SAY_ERROR, "HF-E418", "stat", "%s is not a whole number of lines; see `holdfast help stat`",
                optarg);
        return false;
    case 'd': settings->delta = true; return true;
    case 'l': settings->last = true; return true;
    case 'a': settings->every = true; return true;
    case OPTION_HTTP: settings->http = true; return true;
    case 'c': settings->lengths.classes = UINT_MAX; return true;
    case 't': settings->lengths.theaps = UINT_MAX; return true;
    case 'p': settings->lengths.heaps = UINT_MAX; return true;
    case 'e': settings->lengths.events = UINT_MAX; return true;
    default: return false; /* tool_getopt has said why */
    }
}

/* What of the options does not go together, and what to leave out; or NULL. */
static const char *find_contradiction(const struct settings *settings, bool named)
{
    bool watching = settings->watch_seconds != 0;
    if (watching && is_metrics(settings))
        return "metrics are of one moment, and the metrics system makes the rates; leave out --watch, "
               "--delta and --count";
    if (watching && settings->last)
        return "what a process left does not change any more; leave out --watch, --delta and --count";
    if (settings->every && !is_metrics(settings))
        return "metrics alone are printed of all processes; name --format openmetrics, or see `holdfast "
               "list`";
    if ((settings->every || settings->http) && (named || settings->last))
        return "--all and --http are about all processes that live; leave out what names one, and --last";
    if (settings->http && (settings->every || settings->format != FORMAT_TEXT))
        return "--http answers with the metrics of all, in the format that is asked for; leave out --all and "
               "--format";
    if (settings->http && watching)
        return "--http answers one request; leave out --watch, --delta and --count";
    return NULL;
}

static int stat_main(int argc, char **argv)
{
    static const struct option long_options[] = {
        { "json", no_argument, NULL, 'j' },        { "format", required_argument, NULL, 'f' },
        { "watch", required_argument, NULL, 'w' }, { "count", required_argument, NULL, 'n' },
        { "delta", no_argument, NULL, 'd' },       { "classes", no_argument, NULL, 'c' },
        { "theaps", no_argument, NULL, 't' },      { "heaps", no_argument, NULL, 'p' },
        { "events", no_argument, NULL, 'e' },      { "last", no_argument, NULL, 'l' },
        { "all", no_argument, NULL, 'a' },         { "http", no_argument, NULL, OPTION_HTTP },
        { "help", no_argument, NULL, 'h' },        { 0 },
    };
    struct settings settings = { .lengths = { LIST_LENGTH, LIST_LENGTH, LIST_LENGTH, LIST_LENGTH } };
    struct snapshot snapshot = { .pages = NULL };
    struct target target;
    int option;
    while ((option = tool_getopt(argc, argv, ":h", long_options, "stat")) != -1) {
        if (option == 'h')
            return tool_help(&tool_stat);
        if (!parse_option(option, &settings))
            return option == '?' ? EXIT_USAGE : EXIT_CONFIG;
    }
    if ((settings.delta || settings.count != 0) && settings.watch_seconds == 0)
        settings.watch_seconds = 1;
    const char *contradiction = find_contradiction(&settings, argc != optind);
    if (contradiction != NULL) {
        hfi_say(SAY_ERROR, "HF-E420", "stat", "%s", contradiction);
        return EXIT_USAGE;
    }
    if (settings.http)
        return stat_serve();
    if (settings.every)
        return !stat_metrics_of_every(form_of(&settings)) || fflush(stdout) != 0;
    int status = target_of_options(&target, settings.last, argc, argv, "stat");
    if (status != 0)
        return status;
    bool watching = settings.watch_seconds != 0;
    status = target_read(&target, &snapshot, !watching, "stat");
    if (status == 0 && !watching)
        target_read_huge(&target, &snapshot);
    if (status == 0)
        status = watching ? watch(&target, &snapshot, &settings) : print_once(&snapshot, &settings);
    snapshot_free(&snapshot);
    target_close(&target);
    return status;
}

const struct command tool_stat = {
    .name = "stat",
    .summary = "show the arena of a running process",
    .help =
        "usage: holdfast stat [OPTION...] [PID]\n"
        "\n"
        "Prints what the arena of process PID holds, per node, where its memory came from, its\n"
        "size classes, threads, heaps and last events.  Without PID: the only process that shows an\n"
        "arena, or a list of those there are.\n"
        "\n"
        "  --watch SECONDS  a line every SECONDS, with rates per second; with --json an object\n"
        "  --delta          differences from line to line instead of rates\n"
        "  --count N        N lines; without, until the process ends or an interrupt\n"
        "  --classes, --theaps, --heaps, --events\n"
        "                   all of them, not the first ten\n"
        "  --last           of a process that was killed, the last: PID may be its service or program\n"
        "  --format FORMAT  text, json, openmetrics or prometheus\n"
        "  --all            metrics of all processes whose arena you may read\n"
        "  --http           answer a request of HTTP on standard input with these: for a socket of systemd\n"
        "  --json           as --format json\n"
        "  --help           this text\n",
    .run = stat_main,
};
