/*
 * report: an HTML page about an arena, live or recorded; see report.h.
 *
 * Test: tests/tool-report.sh.
 */
#include "report.h"

#include <errno.h>
#include <string.h>

#include "os.h"

void report_page(const struct report *report)
{
    FILE *out = report->out;
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
          "content=\"width=device-width, initial-scale=1\">\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
          "<meta name=\"color-scheme\" content=\"light dark\">\n<title>Arena of ", out);
    report_text(out, report->sample->clock.name);
    fprintf(out, ", process %llu</title>\n", (unsigned long long)report->snapshot->header.pid);
    report_style(out);
    fputs("</head>\n<body>\n", out);
    report_head(report);
    fputs("</header>\n<main id=\"main\" tabindex=\"-1\">\n", out);
    report_status(report);
    report_tiles(report);
    report_advice(report);
    report_use(report);
    report_maps(report);
    report_remote(report);
    report_events(report);
    fputs("<div class=\"pair\">\n", out);
    report_classes(report);
    report_theaps(report);
    fputs("</div>\n", out);
    report_latency(report);
    report_settings(report);
    fprintf(out, "</main>\n<footer><p>Written by holdfast %s. Figures of a thread are those of its last slow path.</p></footer>"
            "\n</body>\n</html>\n", HFI_VERSION);
}

static int write_file(struct report *report, const char *path)
{
    bool standard = strcmp(path, "-") == 0;
    report->out = standard ? stdout : fopen(path, "we");
    if (report->out != NULL)
        report_page(report);
    bool written = report->out != NULL && fflush(report->out) == 0 && !ferror(report->out);
    int error = errno;
    if (report->out != NULL && !standard && fclose(report->out) != 0)
        written = false;
    if (!written)
        hfi_say(SAY_ERROR, "HF-E441", "report", "%s: %s; name a file elsewhere with -o", path, strerror(error));
    return written ? 0 : EXIT_FAILURE;
}

/* --- the command line --- */

enum { OPTION_SECONDS = 256, OPTION_SETTLED };

static int report_main(int argc, char **argv)
{
    static const struct option long_options[] = {
        { "output", required_argument, NULL, 'o' }, { "seconds", required_argument, NULL, OPTION_SECONDS },
        { "settled", required_argument, NULL, OPTION_SETTLED }, { "help", no_argument, NULL, 'h' }, { 0 },
    };
    static struct advice advice[ADVICE_MAX];
    struct history history = { .samples = 0 };
    uint64_t seconds_ns = UINT64_C(5000000000), settled_ns = (uint64_t)(ADVICE_SETTLED_S * 1e9);
    const char *path = NULL;
    int option;
    while ((option = tool_getopt(argc, argv, ":ho:", long_options, "report")) != -1) {
        if (option == 'h')
            return tool_help(&tool_report);
        if (option == '?')
            return EXIT_USAGE;
        if (option == 'o')
            path = optarg;
        else if (!tool_seconds(optarg, 0, option == OPTION_SECONDS ? &seconds_ns : &settled_ns, "report"))
            return EXIT_CONFIG;
    }
    if (path != NULL && !tool_is_file(path, "-o", "report"))
        return EXIT_CONFIG;
    if (argc - optind > 1 || path == NULL) {
        hfi_say(SAY_ERROR, "HF-E440", "report", "%s; see `holdfast help report`",
                path == NULL ? "no file is named to write the page to (-o FILE.html)" : "one process or recording at a time");
        return EXIT_USAGE;
    }
    int status = history_load(&history, argv[optind], seconds_ns, "report");
    if (status == 0) {
        struct report report = {
            .history = &history, .sample = history.last, .snapshot = &history.last->snapshot,
            .advice = advice, .advice_count = advice_give(&history, (double)settled_ns / 1e9, advice),
        };
        status = write_file(&report, path);
    }
    history_free(&history);
    return status;
}

const struct command tool_report = {
    .name = "report",
    .summary = "write a page with pictures of an arena, live or recorded",
    .help =
        "usage: holdfast report [PID | FILE] -o FILE.html [--seconds SECONDS]\n"
        "\n"
        "Writes one HTML page that needs nothing else: status, advice, use over time, the map of\n"
        "pages, remote memory, events, size classes, slow paths, threads; a table behind every\n"
        "picture.  FILE is a recording of `holdfast record`.  Without either: the only process that\n"
        "shows an arena.\n"
        "\n"
        "  -o, --output FILE.html  the page; - for standard output\n"
        "  --seconds SECONDS       how long a live process is watched (default: 5)\n"
        "  --settled SECONDS       life of an arena from which it is called too large (default: 600)\n"
        "  --help                  this text\n",
    .run = report_main,
};
