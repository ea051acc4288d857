/*
 * run: starts a program on an arena.
 *
 * Values are checked here, before exec, so that a slip is an error of this command
 * and not a warning inside somebody's server.  The program is then replaced by
 * the one asked for; with --report it stays as the parent.
 *
 * Test: tests/tool.sh.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "run/run-report.h"
#include "run/watch.h"

#define INTERPRETERS_MAX 4

struct request {
    const char *library;
    bool report, json;
    bool children;      /* what the program starts gets the variables too */
    const char *output; /* NULL: standard error */
    char **command;
};

/* --- what can be preloaded --- */

/* The file that exec would take, as the shell looks for it; 0 or an errno. */
static int find_program(char *path, size_t path_bytes, const char *name)
{
    const char *list = getenv("PATH");
    int error = ENOENT;
    if (strchr(name, '/') != NULL) {
        snprintf(path, path_bytes, "%s", name);
        return access(name, X_OK) == 0 ? 0 : errno;
    }
    if (list == NULL)
        list = "/bin:/usr/bin";
    while (list != NULL) {
        const char *colon = strchr(list, ':');
        int length = colon == NULL ? (int)strlen(list) : (int)(colon - list);
        snprintf(path, path_bytes, "%.*s%s%s", length, list, length == 0 ? "" : "/", name);
        struct stat file;
        if (stat(path, &file) == 0 && S_ISREG(file.st_mode)) {
            if (access(path, X_OK) == 0)
                return 0;
            error = EACCES;
        }
        list = colon == NULL ? NULL : colon + 1;
    }
    return error;
}

/* The loader drops LD_PRELOAD where a program gains rights (AT_SECURE, ld.so(8)). */
static bool gains_rights(const char *path)
{
    struct stat file;
    char capabilities[64];
    if (stat(path, &file) != 0)
        return false;
    return ((file.st_mode & S_ISUID) != 0 && file.st_uid != getuid()) ||
           ((file.st_mode & S_ISGID) != 0 && file.st_gid != getgid()) ||
           (getuid() != 0 && getxattr(path, "security.capability", capabilities, sizeof capabilities) > 0);
}

static bool has_interpreter(int fd, const Elf64_Ehdr *header)
{
    for (unsigned i = 0; i < header->e_phnum; i++) {
        Elf64_Phdr segment;
        off_t offset = (off_t)(header->e_phoff + (uint64_t)i * header->e_phentsize);
        if (pread(fd, &segment, sizeof segment, offset) != (ssize_t)sizeof segment)
            return true; /* odd; let exec judge */
        if (segment.p_type == PT_INTERP)
            return true;
    }
    return false;
}

/* Why a file cannot be preloaded, or NULL; of a script, *interpreter is set to what runs it. */
static const char *preload_obstacle(const char *path, char *interpreter, size_t interpreter_bytes)
{
    union {
        Elf64_Ehdr elf;
        char text[256];
    } head = { .text = { 0 } };
    const char *obstacle = NULL;
    interpreter[0] = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return NULL; /* executable but not readable: unknown */
    ssize_t got = pread(fd, head.text, sizeof head.text - 1, 0);
    if (got > 2 && memcmp(head.text, "#!", 2) == 0) {
        char *word = head.text + 2 + strspn(head.text + 2, " \t");
        word[strcspn(word, " \t\n")] = 0;
        snprintf(interpreter, interpreter_bytes, "%s", word);
    } else if (got >= (ssize_t)sizeof head.elf && memcmp(head.elf.e_ident, ELFMAG, SELFMAG) == 0) {
        if (gains_rights(path))
            obstacle =
                "it is setuid, setgid or has file capabilities, and the loader then ignores LD_PRELOAD; "
                "run it as the user it runs for, or link it with -lholdfast";
        else if (head.elf.e_ident[EI_CLASS] != ELFCLASS64)
            obstacle = "it is a 32-bit program; use a 64-bit one";
        else if (!has_interpreter(fd, &head.elf))
            obstacle = "it is linked statically; link it with libholdfast.a";
    }
    close(fd);
    return obstacle;
}

static void warn_if_not_preloadable(const char *path)
{
    char file[PATH_MAX], interpreter[256];
    snprintf(file, sizeof file, "%s", path);
    for (int depth = 0; depth < INTERPRETERS_MAX; depth++) {
        const char *obstacle = preload_obstacle(file, interpreter, sizeof interpreter);
        if (obstacle != NULL)
            hfi_say(SAY_WARNING, "HF-W407", "run", "%s will run without Holdfast: %s", file, obstacle);
        if (interpreter[0] == 0)
            return;
        snprintf(file, sizeof file, "%s", interpreter);
    }
}

/* --- the environment --- */

static bool set_preload(const char *chosen)
{
    const char *tried;
    const char *library = tool_library(chosen, &tried);
    const char *before = getenv("LD_PRELOAD");
    if (library == NULL) {
        hfi_say(SAY_ERROR, "HF-E403", "run",
                "there is no library %s; install Holdfast, or name it with --library or HOLDFAST_LIBRARY",
                tried);
        return false;
    }
    if (strpbrk(library, " :\t\n") != NULL) {
        hfi_say(SAY_ERROR, "HF-E404", "run",
                "the loader cannot preload %s: blanks and colons separate paths there; "
                "name a path without them with --library",
                library);
        return false;
    }
    char *list = NULL;
    if (asprintf(&list, "%s%s%s", library, before != NULL && *before != 0 ? ":" : "",
                 before != NULL ? before : "") < 0)
        return false;
    setenv("LD_PRELOAD", list, 1);
    free(list);
    unsetenv("HOLDFAST_LIBRARY"); /* ours alone: the library would call it unknown */
    return true;
}

static int say_not_started(const char *name, int error)
{
    hfi_say(SAY_ERROR, "HF-E405", "run", "%s could not be started (%s); check the name and PATH", name,
            strerror(error));
    return error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTED;
}

/* What the program starts is not to take an arena of that size each; a number, as the program may
 * be a script. */
static void set_only(void)
{
    char pid[16];
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    setenv("HOLDFAST_ONLY", pid, 0);
}

/* Replaces this process; returns an exit status when it could not. */
static int execute(const struct request *request)
{
    char **command = request->command;
    if (!request->children)
        set_only();
    execvp(command[0], command);
    return say_not_started(command[0], errno);
}

/* --- the report --- */

static volatile sig_atomic_t forward_to;

static void forward(int number)
{
    if (forward_to > 0)
        kill(forward_to, number);
}

/* The terminal tells both of ^C; what was sent to us alone is passed on. */
static void set_signals(void)
{
    struct sigaction ignore = { .sa_handler = SIG_IGN };
    struct sigaction pass = { .sa_handler = forward, .sa_flags = SA_RESTART };
    sigaction(SIGINT, &ignore, NULL);
    sigaction(SIGQUIT, &ignore, NULL);
    sigaction(SIGTERM, &pass, NULL);
    sigaction(SIGHUP, &pass, NULL);
    sigaction(SIGUSR1, &pass, NULL);
    sigaction(SIGUSR2, &pass, NULL);
}

static double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Where the report goes; NULL after HF-E456. */
static FILE *open_output(const char *path)
{
    FILE *out = path == NULL ? stderr : fopen(path, "we");
    if (out == NULL)
        hfi_say(SAY_ERROR, "HF-E456", "run",
                "%s cannot be written (%s); name another file with --output, and nothing was started", path,
                strerror(errno));
    return out;
}

/* False after HF-E406. */
static bool start_child(struct watch *watch, const struct request *request)
{
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);               /* until it is known whom to forward to */
    sighandler_t of_children = signal(SIGCHLD, SIG_DFL); /* ignored, it would take the exit status away */
    watch->child = fork();
    if (watch->child < 0) {
        hfi_say(
            SAY_ERROR, "HF-E406", "run",
            "no process could be started (%s); raise the process limit (ulimit -u), or leave --report out",
            strerror(errno));
        return false;
    }
    if (watch->child == 0) {
        signal(SIGCHLD, of_children);
        sigprocmask(SIG_SETMASK, &before, NULL);
        _exit(execute(request));
    }
    forward_to = watch->child;
    set_signals();
    sigprocmask(SIG_SETMASK, &before, NULL);
    return true;
}

static int run_with_report(const struct request *request)
{
    FILE *out = open_output(request->output);
    if (out == NULL)
        return EXIT_FAILURE;
    struct watch watch;
    watch_begin(&watch);
    double start = now_seconds();
    if (!start_child(&watch, request))
        return EXIT_FAILURE;
    struct run_end end = { .name = request->command[0], .pid = watch.child };
    int status = end.status = watch_wait(&watch, &end.usage);
    forward_to = 0;
    end.seconds = now_seconds() - start;
    end.live_most = watch.live_most;
    end.snapshot = watch.last;
    end.huge_bytes = watch.huge_bytes;
    bool whole = run_report(out, &end, request->json) || out == stderr;
    if (!whole)
        hfi_say(SAY_ERROR, "HF-E457", "run",
                "%s is not whole: writing it was refused; name another file with --output", request->output);
    return WIFSIGNALED(status)      ? 128 + WTERMSIG(status)
         : WEXITSTATUS(status) != 0 ? WEXITSTATUS(status)
         : whole                    ? 0
                                    : EXIT_FAILURE;
}

/* --- the command line --- */

enum { OPTION_LIBRARY = TOOL_SETS_VARIABLE + 1, OPTION_CHILDREN, OPTION_REPORT, OPTION_JSON };

/* All variables of hfi_option_table: tests/tool.sh compares. */
static const struct option long_options[] = {
    { "arena", required_argument, NULL, TOOL_SETS_VARIABLE },
    { "backing", required_argument, NULL, TOOL_SETS_VARIABLE },
    { "prefault", required_argument, NULL, TOOL_SETS_VARIABLE },
    { "lock", required_argument, NULL, TOOL_SETS_VARIABLE },
    { "nodes", required_argument, NULL, TOOL_SETS_VARIABLE },
    { "place", required_argument, NULL, TOOL_SETS_VARIABLE },
    { "remote", required_argument, NULL, TOOL_SETS_VARIABLE },
    { "on-full", required_argument, NULL, TOOL_SETS_VARIABLE },
    { "fork", required_argument, NULL, TOOL_SETS_VARIABLE },
    { "strict", no_argument, NULL, TOOL_SETS_VARIABLE },
    { "inspect", required_argument, NULL, TOOL_SETS_VARIABLE },
    { "verbose", optional_argument, NULL, TOOL_SETS_VARIABLE },
    { "only", required_argument, NULL, TOOL_SETS_VARIABLE },
    { "slo", required_argument, NULL, TOOL_SETS_VARIABLE },
    { "reserve", required_argument, NULL, TOOL_SETS_VARIABLE },
    { "psi", required_argument, NULL, TOOL_SETS_VARIABLE },
    { "freeze", required_argument, NULL, TOOL_SETS_VARIABLE },
    { "children", no_argument, NULL, OPTION_CHILDREN },
    { "library", required_argument, NULL, OPTION_LIBRARY },
    { "report", no_argument, NULL, OPTION_REPORT },
    { "json", no_argument, NULL, OPTION_JSON },
    { "output", required_argument, NULL, 'o' },
    { "help", no_argument, NULL, 'h' },
    { 0 },
};

/* HOLDFAST_ONLY is from --only: any other was removed. */
static bool contradicts_itself(const struct request *request)
{
    const char *only = getenv("HOLDFAST_ONLY");
    if (!request->children || only == NULL)
        return false;
    hfi_say(SAY_ERROR, "HF-E459", "run",
            "--children is for all that the program starts, --only %s for what that names; leave one out",
            only);
    return true;
}

static int run_main(int argc, char **argv)
{
    struct request request = { 0 };
    char path[PATH_MAX];
    int option;
    unsetenv("HOLDFAST_ONLY"); /* another run's, of which this is a child: it names that one's process */
    while ((option = tool_getopt(argc, argv, "+:ho:", long_options, "run")) != -1) {
        if (option == 'h')
            return tool_help(&tool_run);
        if (option == '?')
            return EXIT_USAGE;
        if (option == OPTION_LIBRARY)
            request.library = optarg;
        else if (option == OPTION_CHILDREN)
            request.children = true;
        else if (option == OPTION_REPORT)
            request.report = true;
        else if (option == OPTION_JSON)
            request.report = request.json = true;
        else if (option == 'o') {
            request.report = true;
            request.output = optarg;
        } else if (!tool_set_variable(long_options, optarg != NULL ? optarg : "1", "run"))
            return EXIT_CONFIG;
    }
    if (contradicts_itself(&request))
        return EXIT_USAGE;
    request.command = argv + optind;
    if (request.command[0] == NULL) {
        hfi_say(SAY_ERROR, "HF-E409", "run", "no program to run was named; see `holdfast help run`");
        return EXIT_USAGE;
    }
    int error = find_program(path, sizeof path, request.command[0]);
    if (error != 0)
        return say_not_started(request.command[0], error);
    warn_if_not_preloadable(path);
    if (!set_preload(request.library))
        return EXIT_CONFIG;
    return request.report ? run_with_report(&request) : execute(&request);
}

const struct command tool_run = {
    .name = "run",
    .summary = "start a program on an arena",
    .help =
        "usage: holdfast run [OPTION...] [--] COMMAND [ARGUMENT...]\n"
        "\n"
        "Starts COMMAND with libholdfast preloaded and HOLDFAST_* set from the options.\n"
        "\n"
        "  --arena SIZE       auto, 8G, 25%, 0:4G,1:4G        (HOLDFAST_ARENA)\n"
        "  --backing PAGES    auto, 1g, 2m, thp, 4k           (HOLDFAST_BACKING)\n"
        "  --prefault WHEN    startup, background, none       (HOLDFAST_PREFAULT)\n"
        "  --lock WHETHER     auto, yes, no                   (HOLDFAST_LOCK)\n"
        "  --nodes NODES      all, 0,2-3                      (HOLDFAST_NODES)\n"
        "  --place WHERE      local, interleave, node:N       (HOLDFAST_PLACE)\n"
        "  --remote WHETHER   allow, deny                     (HOLDFAST_REMOTE)\n"
        "  --on-full WHAT     fail, abort                     (HOLDFAST_ON_FULL)\n"
        "  --fork HOW         private, dontfork               (HOLDFAST_FORK)\n"
        "  --strict           stop if the arena is not what was asked for (HOLDFAST_STRICT)\n"
        "  --inspect WHETHER  0, 1, children                  (HOLDFAST_INSPECT)\n"
        "  --verbose[=LEVEL]  0 or 1; 1 without LEVEL         (HOLDFAST_VERBOSE)\n"
        "  --only PROGRAM     whom these are for, by file name; else COMMAND alone (HOLDFAST_ONLY)\n"
        "  --slo TIME         50us: tell of calls that take longer (HOLDFAST_SLO)\n"
        "  --freeze WHAT      tell, abort: at a fresh page after hf_freeze (HOLDFAST_FREEZE)\n"
        "  --reserve AMOUNT   1%, 64M: of each node, for those who must go on (HOLDFAST_RESERVE)\n"
        "  --psi SHARE        10%: ask for memory when tasks wait so long for it (HOLDFAST_PSI)\n"
        "  --children         they are for what COMMAND starts as well; not together with --only\n"
        "  --library PATH     the library to preload\n"
        "  --report           afterwards, print to standard error what the arena saw, faults and cpu time\n"
        "  --json             the report as one JSON object: name, pid, status, signal, seconds,\n"
        "                     user_seconds, system_seconds, minor_faults, major_faults, resident,\n"
        "                     huge_pages, live_most, arena (as `stat --json`)\n"
        "  -o, --output FILE  the report goes there instead\n"
        "  --help             this text\n",
    .run = run_main,
};
