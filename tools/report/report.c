/*
 * report: an HTML page about an arena, live or recorded, or about two; see report.h.
 *
 * Test: tests/tool-report.sh.
 */
#include "report/report.h"

#include <errno.h>
#include <string.h>

struct section {
    const char *id, *title;
    const char *css; /* of the grid of its figures */
    bool of_nodes;   /* says nothing where there is one node */
    void (*parts[4])(const struct report *report);
};

static const struct section sections[] = {
    { "advice", "Advice", "", false, { report_advice } },
    { "memory",
      "Memory over time",
      "cards",
      false,
      { report_memory, report_excess, report_growth, report_threads } },
    { "use", "Nodes", "cards", true, { report_use } },
    { "map", "Map of pages", "cards", false, { report_maps, report_bands } },
    { "events", "Pages and events", "cards", false, { report_rates, report_events, report_shares } },
    { "held", "Who holds memory", "cards", false, { report_classes, report_theaps, report_heaps } },
    { "slow", "Slow paths", "cards", false, { report_latency, report_counters } },
    { "settings", "Settings", "cards", false, { report_settings } },
};
#define SECTIONS (sizeof sections / sizeof sections[0])

static void write_name(const struct report *report)
{
    report_text(report->out, report->sample->clock.name);
    fprintf(report->out, ", process %llu", (unsigned long long)report->snapshot->header.pid);
    if (report->history->path != NULL && report->side != NULL) {
        const char *slash = strrchr(report->history->path, '/');
        fputs(", from ", report->out);
        report_text(report->out, slash == NULL ? report->history->path : slash + 1);
    }
}

static void write_title(const struct report *report, const struct report *other)
{
    fputs(other == NULL ? "Arena of " : "Two arenas: ", report->out);
    write_name(report);
    if (other == NULL)
        return;
    fputs("; and ", report->out);
    write_name(other);
}

static bool is_wanted(const struct section *section, const struct report *report, const struct report *other)
{
    return !section->of_nodes || report->snapshot->node_count > 1 ||
           (other != NULL && other->snapshot->node_count > 1);
}

static void write_links(const struct report *report, const struct report *other)
{
    fputs("<nav aria-label=\"Sections\"><ul>", report->out);
    if (other != NULL)
        fputs("<li><a href=\"#differences\">Differences</a></li>", report->out);
    for (unsigned i = 0; i < SECTIONS; i++)
        if (is_wanted(&sections[i], report, other))
            fprintf(report->out, "<li><a href=\"#%s\">%s</a></li>", sections[i].id, sections[i].title);
    fputs("</ul></nav>\n", report->out);
}

static void write_parts(const struct report *report, const struct section *section)
{
    fprintf(report->out, "<div class=\"%s\">\n", section->css);
    for (unsigned i = 0; i < sizeof section->parts / sizeof section->parts[0] && section->parts[i] != NULL;
         i++)
        section->parts[i](report);
    fputs("</div>\n", report->out);
}

static void write_side(const struct report *report, void (*part)(const struct report *report), bool named)
{
    fputs("<div class=\"side\">\n", report->out);
    if (named) {
        fprintf(report->out, "<h3><span class=\"letter\">%s</span> ", report->side);
        write_name(report);
        fputs("</h3>\n", report->out);
    }
    part(report);
    fputs("</div>\n", report->out);
}

/* Each picture beside its pair: part by part, so that they stand at the same height.  Figures
 * say themselves whose they are. */
static void write_pair(const struct report *report, const struct report *other, const struct section *section)
{
    for (unsigned i = 0; i < sizeof section->parts / sizeof section->parts[0] && section->parts[i] != NULL;
         i++) {
        bool named = i == 0 && strcmp(section->css, "cards") != 0;
        fputs("<div class=\"two\">\n", report->out);
        write_side(report, section->parts[i], named);
        write_side(other, section->parts[i], named);
        fputs("</div>\n", report->out);
    }
}

static void write_first(const struct report *report, const struct report *other)
{
    FILE *out = report->out;
    fputs("<header>\n<a class=\"skip\" href=\"#main\">To the report</a>\n<h1>", out);
    write_title(report, other);
    fputs("</h1>\n", out);
    if (other == NULL)
        report_origin(report);
    write_links(report, other);
    fputs("</header>\n<main id=\"main\" tabindex=\"-1\">\n", out);
    if (other == NULL) {
        report_status(report);
        report_tiles(report);
        return;
    }
    static const struct section first = { "", "", "", false, { report_origin, report_status, report_tiles } };
    report_differences(report, other);
    fputs("<section aria-labelledby=\"both\"><h2 id=\"both\">Both</h2>\n", out);
    write_pair(report, other, &first);
    fputs("</section>\n", out);
}

static void write_last(const struct report *report)
{
    fprintf(report->out,
            "</main>\n<footer><p>Written by holdfast %s. Figures of a thread are those of its last slow "
            "path. Point at a part of a picture "
            "for its number; below each picture is a table.",
            HFI_VERSION);
    if (report->sample->origin.command[0] != 0 && !report->without_command)
        fputs(" The command line is on this page: read it before you send the page away, or leave it out "
              "with --no-command.",
              report->out);
    fputs("</p></footer>\n</body>\n</html>\n", report->out);
}

void report_page(struct report *report, struct report *other)
{
    FILE *out = report->out;
    report_scale(report);
    if (other != NULL) {
        report->side = "A";
        other->side = "B";
        other->out = out;
        report_scale(other);
        report_scale_join(report, other);
    }
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
          "content=\"width=device-width, initial-scale=1\">\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
          "'unsafe-inline'\">\n"
          "<meta name=\"color-scheme\" content=\"light dark\">\n<title>",
          out);
    write_title(report, other);
    fputs("</title>\n", out);
    report_style(out);
    fputs("</head>\n<body>\n", out);
    write_first(report, other);
    for (unsigned i = 0; i < SECTIONS; i++) {
        if (!is_wanted(&sections[i], report, other))
            continue;
        fprintf(out, "<section aria-labelledby=\"%s\"><h2 id=\"%s\">%s</h2>\n", sections[i].id,
                sections[i].id, sections[i].title);
        if (other == NULL)
            write_parts(report, &sections[i]);
        else
            write_pair(report, other, &sections[i]);
        fputs("</section>\n", out);
    }
    write_last(report);
}

static int write_file(struct report *report, struct report *other, const char *path)
{
    bool standard = strcmp(path, "-") == 0;
    report->out = standard ? stdout : fopen(path, "we");
    if (report->out != NULL)
        report_page(report, other);
    bool written = report->out != NULL && fflush(report->out) == 0 && !ferror(report->out);
    int error = errno;
    if (report->out != NULL && !standard && fclose(report->out) != 0)
        written = false;
    if (!written)
        hfi_say(SAY_ERROR, "HF-E441", "report", "%s: %s; name a file elsewhere with -o", path,
                strerror(error));
    return written ? 0 : EXIT_FAILURE;
}

/* --- the command line --- */

struct request {
    const char *path;
    uint64_t seconds_ns, settled_ns;
    bool without_command;
    bool last; /* of a process that was killed */
};

struct shown {
    struct history history;
    struct advice advice[ADVICE_MAX];
    struct report report;
};

static int load(struct shown *shown, const struct request *request, const char *what)
{
    int status = request->last ? history_load_last(&shown->history, what, "report")
                               : history_load(&shown->history, what, request->seconds_ns, "report");
    if (status != 0)
        return status;
    shown->report = (struct report){
        .history = &shown->history,
        .sample = shown->history.last,
        .snapshot = &shown->history.last->snapshot,
        .advice = shown->advice,
        .advice_count = advice_give(&shown->history, (double)request->settled_ns / 1e9, shown->advice),
        .without_command = request->without_command,
    };
    return 0;
}

static int report_of(const struct request *request, const char *first, const char *second)
{
    static struct shown one, two;
    int status = load(&one, request, first);
    if (status == 0 && second != NULL)
        status = load(&two, request, second);
    if (status == 0)
        status = write_file(&one.report, second == NULL ? NULL : &two.report, request->path);
    history_free(&one.history);
    history_free(&two.history);
    return status;
}

enum { OPTION_SECONDS = 256, OPTION_SETTLED, OPTION_NO_COMMAND, OPTION_LAST };

static int report_main(int argc, char **argv)
{
    static const struct option long_options[] = {
        { "output", required_argument, NULL, 'o' },
        { "seconds", required_argument, NULL, OPTION_SECONDS },
        { "settled", required_argument, NULL, OPTION_SETTLED },
        { "no-command", no_argument, NULL, OPTION_NO_COMMAND },
        { "last", no_argument, NULL, OPTION_LAST },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    struct request request = { .seconds_ns = UINT64_C(5000000000),
                               .settled_ns = (uint64_t)(ADVICE_SETTLED_S * 1e9) };
    int option;
    while ((option = tool_getopt(argc, argv, ":ho:", long_options, "report")) != -1) {
        if (option == 'h')
            return tool_help(&tool_report);
        if (option == '?')
            return EXIT_USAGE;
        if (option == 'o')
            request.path = optarg;
        else if (option == OPTION_NO_COMMAND)
            request.without_command = true;
        else if (option == OPTION_LAST)
            request.last = true;
        else if (!tool_seconds(optarg, 0,
                               option == OPTION_SECONDS ? &request.seconds_ns : &request.settled_ns,
                               "report"))
            return EXIT_CONFIG;
    }
    if (request.path != NULL && !tool_is_file(request.path, "-o", "report"))
        return EXIT_CONFIG;
    if (argc - optind > (request.last ? 1 : 2) || request.path == NULL) {
        hfi_say(SAY_ERROR, "HF-E440", "report", "%s; see `holdfast help report`",
                request.path == NULL ? "no file is named to write the page to (-o FILE.html)"
                : request.last       ? "one process at a time with --last"
                                     : "two processes or recordings at a time at most");
        return EXIT_USAGE;
    }
    return report_of(&request, argv[optind], argc - optind == 2 ? argv[optind + 1] : NULL);
}

const struct command tool_report = {
    .name = "report",
    .summary = "write a page with pictures of an arena, live or recorded",
    .help = "usage: holdfast report [PID | FILE] -o FILE.html [--seconds SECONDS] [--no-command]\n"
            "       holdfast report --last [NAME] -o FILE.html\n"
            "       holdfast report A B -o FILE.html\n"
            "\n"
            "Writes one HTML page that needs nothing else: status, advice, live and held memory over\n"
            "time, threads, the map of pages, events, size classes, slow paths, settings; a table behind\n"
            "every picture.  FILE is a recording of `holdfast record`.  Without either: the only process\n"
            "that shows an arena.  Of two, each a process or a recording: what differs, and all pictures\n"
            "side by side on the same scales.\n"
            "\n"
            "  -o, --output FILE.html  the page; - for standard output\n"
            "  --seconds SECONDS       how long a live process is watched (default: 5)\n"
            "  --settled SECONDS       life of an arena from which it is called too large (default: 600)\n"
            "  --last                  of a process that was killed, the last: PID may be its service or\n"
            "                          program\n"
            "  --no-command            leave the command line out, which may hold secrets\n"
            "  --help                  this text\n",
    .run = report_main,
};
