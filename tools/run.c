/*
 * run: start a program on an arena.
 *
 * Settings are checked with the library's own parsers before anything starts.  Without
 * --report the program replaces this process; with it, the program is a child whose
 * inspection segment is read while it lives.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "options.h"
#include "segment.h"
#include "tool.h"

#define REPORT_INTERVAL_MS 20

static const char run_usage[] =
    "usage: holdfast run [OPTION...] [--] COMMAND [ARGUMENT...]\n"
    "\n"
    "Starts COMMAND with libholdfast preloaded.\n"
    "\n"
    "  --arena VALUE     HOLDFAST_ARENA: auto, 8G, 25%, 0:4G,1:4G\n"
    "  --backing VALUE   HOLDFAST_BACKING: auto, 1g, 2m, thp, 4k\n"
    "  --prefault VALUE  HOLDFAST_PREFAULT: startup, background, none\n"
    "  --lock VALUE      HOLDFAST_LOCK: auto, yes, no\n"
    "  --place VALUE     HOLDFAST_PLACE: local, interleave, node:N\n"
    "  --on-full VALUE   HOLDFAST_ON_FULL: fail, abort\n"
    "  --strict          HOLDFAST_STRICT=1: stop if the arena is not what was asked for\n"
    "  --verbose[=N]     HOLDFAST_VERBOSE: 0 to 3, 1 without N\n"
    "  --library PATH    the libholdfast.so to preload\n"
    "  --report          wait for COMMAND and print what its arena saw\n"
    "  --help            this text\n"
    "\n"
    "Exits as COMMAND does (128 + signal when --report saw it killed); 78 when a value is refused;\n"
    "127 when COMMAND is not found, 126 when it cannot be run.\n";

enum { OPTION_ARENA = 256, OPTION_BACKING, OPTION_PREFAULT, OPTION_LOCK, OPTION_PLACE, OPTION_ON_FULL, OPTION_STRICT,
       OPTION_VERBOSE, OPTION_LIBRARY, OPTION_REPORT, OPTION_HELP };

static const struct option long_options[] = {
    { "arena", required_argument, NULL, OPTION_ARENA },
    { "backing", required_argument, NULL, OPTION_BACKING },
    { "prefault", required_argument, NULL, OPTION_PREFAULT },
    { "lock", required_argument, NULL, OPTION_LOCK },
    { "place", required_argument, NULL, OPTION_PLACE },
    { "on-full", required_argument, NULL, OPTION_ON_FULL },
    { "strict", no_argument, NULL, OPTION_STRICT },
    { "verbose", optional_argument, NULL, OPTION_VERBOSE },
    { "library", required_argument, NULL, OPTION_LIBRARY },
    { "report", no_argument, NULL, OPTION_REPORT },
    { "help", no_argument, NULL, OPTION_HELP },
    { NULL, 0, NULL, 0 },
};

static const char *variable_of(int option)
{
    switch (option) {
    case OPTION_ARENA: return "HOLDFAST_ARENA";
    case OPTION_BACKING: return "HOLDFAST_BACKING";
    case OPTION_PREFAULT: return "HOLDFAST_PREFAULT";
    case OPTION_LOCK: return "HOLDFAST_LOCK";
    case OPTION_PLACE: return "HOLDFAST_PLACE";
    case OPTION_ON_FULL: return "HOLDFAST_ON_FULL";
    case OPTION_STRICT: return "HOLDFAST_STRICT";
    case OPTION_VERBOSE: return "HOLDFAST_VERBOSE";
    default: return NULL;
    }
}

/* What keeps a program from being preloaded: said, not refused. */
static void warn_unpreloadable(const char *command)
{
    char path[PATH_MAX];
    struct stat status;
    Elf64_Ehdr header;
    if (strchr(command, '/') == NULL) {
        const char *search = getenv("PATH");
        char list[8192], *rest = list;
        snprintf(list, sizeof list, "%s", search != NULL ? search : "");
        for (char *directory; (directory = strsep(&rest, ":")) != NULL;) {
            snprintf(path, sizeof path, "%s/%s", directory, command);
            if (access(path, X_OK) == 0)
                break;
        }
    } else {
        snprintf(path, sizeof path, "%s", command);
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    bool has_interpreter = false;
    bool elf = read(fd, &header, sizeof header) == sizeof header && memcmp(header.e_ident, ELFMAG, SELFMAG) == 0;
    for (int i = 0; elf && i < header.e_phnum && !has_interpreter; i++) {
        Elf64_Phdr segment;
        off_t at = (off_t)(header.e_phoff + (Elf64_Off)i * sizeof segment);
        has_interpreter = pread(fd, &segment, sizeof segment, at) == sizeof segment && segment.p_type == PT_INTERP;
    }
    if (elf && !has_interpreter)
        fprintf(stderr, "holdfast run: warning HF-W401: %s is statically linked and will keep its own malloc; link it with -lholdfast\n", path);
    if (fstat(fd, &status) == 0 && (status.st_mode & (S_ISUID | S_ISGID)) && geteuid() != 0)
        fprintf(stderr, "holdfast run: warning HF-W402: %s is setuid or setgid: the loader ignores LD_PRELOAD; run it as the user it changes to\n", path);
    close(fd);
}

static void preload(const char *library)
{
    char value[2 * PATH_MAX];
    const char *others = getenv("LD_PRELOAD");
    snprintf(value, sizeof value, "%s%s%s", library, others != NULL && *others ? ":" : "", others != NULL ? others : "");
    setenv("LD_PRELOAD", value, 1);
}

static _Noreturn void execute(char **command)
{
    execvp(command[0], command);
    fprintf(stderr, "holdfast run: cannot run %s: %s\n", command[0], strerror(errno));
    _exit(errno == ENOENT ? 127 : 126);
}

static void print_report(const struct hf_inspect_segment *seen, bool have, const struct rusage *usage)
{
    if (!have)
        fprintf(stderr, "holdfast run: no inspection segment was seen (HOLDFAST_INSPECT=0, or a small program on a growing arena)\n");
    else
        segment_print(seen, stderr);
    fprintf(stderr, "page faults of the whole process: %ld minor, %ld major; user %ld.%02ld s, system %ld.%02ld s\n", usage->ru_minflt,
            usage->ru_majflt, (long)usage->ru_utime.tv_sec, (long)usage->ru_utime.tv_usec / 10000, (long)usage->ru_stime.tv_sec,
            (long)usage->ru_stime.tv_usec / 10000);
}

/* Keeps the segment as it was when most was in use. */
static void keep_fullest(struct hf_inspect_segment *kept, bool *have, const struct hf_inspect_segment *now)
{
    uint64_t kept_used = 0, now_used = 0;
    for (uint32_t i = 0; i < now->node_count; i++) {
        kept_used += *have ? kept->nodes[i].used : 0;
        now_used += now->nodes[i].used;
    }
    if (!*have || now_used >= kept_used)
        *kept = *now;
    *have = true;
}

static int run_and_report(char **command)
{
    static struct hf_inspect_segment fullest, now;
    struct rusage usage;
    char why[256];
    int status;
    bool have = false;
    pid_t pid = fork();
    if (pid == 0)
        execute(command);
    if (pid < 0) {
        fprintf(stderr, "holdfast run: cannot fork: %s\n", strerror(errno));
        return 126;
    }
    while (wait4(pid, &status, WNOHANG, &usage) == 0) {
        if (segment_read(pid, &now, why, sizeof why) == 0)
            keep_fullest(&fullest, &have, &now);
        nanosleep(&(struct timespec){ .tv_nsec = REPORT_INTERVAL_MS * 1000000L }, NULL);
    }
    print_report(&fullest, have, &usage);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int run(int argc, char **argv)
{
    char library[PATH_MAX];
    const char *given = NULL;
    bool report = false;
    struct options options;
    int option;
    while ((option = getopt_long(argc, argv, "+", long_options, NULL)) != -1) {
        const char *variable = variable_of(option);
        if (variable != NULL)
            setenv(variable, optarg != NULL ? optarg : "1", 1);
        else if (option == OPTION_LIBRARY)
            given = optarg;
        else if (option == OPTION_REPORT)
            report = true;
        else if (option == OPTION_HELP)
            return fputs(run_usage, stdout), 0;
        else
            return TOOL_EXIT_USAGE;
    }
    if (optind == argc)
        return tool_usage_error(&tool_run_command, "no command given");
    hfi_options_read(&options);
    if (options.errors != 0)
        return EX_CONFIG;
    if (!tool_find_library(given, library, sizeof library)) {
        fprintf(stderr, "holdfast run: error HF-E403: no library at %s; install libholdfast or give --library PATH\n", given != NULL ? given : library);
        return TOOL_EXIT_NO;
    }
    unsetenv("HOLDFAST_LIBRARY");
    warn_unpreloadable(argv[optind]);
    preload(library);
    if (report)
        return run_and_report(argv + optind);
    execute(argv + optind);
}

const struct tool_command tool_run_command = { "run", "start a program on an arena", run_usage, run };
