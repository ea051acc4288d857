/*
 * lab: a machine of several nodes for a command, made by QEMU.
 *
 * Checks the options and hands over to lab.sh, which boots Debian's kernel; the guest reads the
 * caller's files, and keeps what it writes to itself.
 *
 * Test: tests/tool-lab.sh.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tool.h"

#define SCRIPT "lab.sh"
#define BESIDE "/tools/lab/" SCRIPT /* this program, in a build tree */
#define NODES_MOST 16u
#define CPUS_MOST 16u
#define SECONDS_INITIAL 86400u
#define POOL_STEP_MIB 2u

struct request {
    uint32_t nodes, cpus, seconds;
    uint64_t memory_bytes, pool_bytes; /* of each node; UINT64_MAX: not given */
    bool fetch, kvm;
};

/* Of this program's build tree, or the installed one. */
static bool find_script(char *path, size_t path_bytes)
{
    char self[PATH_MAX];
    if (tool_folder(self)) {
        snprintf(path, path_bytes, "%s" BESIDE, self);
        if (access(path, R_OK) == 0)
            return true;
    }
    snprintf(path, path_bytes, "%s/" SCRIPT, HF_DATA_PATH);
    if (access(path, R_OK) == 0)
        return true;
    hfi_say(SAY_ERROR, "HF-E463", "lab", "there is no %s (%s); install Holdfast again", path,
            strerror(errno));
    return false;
}

/* Where the kernel is kept between calls: LAB_KEPT for the script. */
static void set_kept(void)
{
    char path[PATH_MAX];
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache != NULL && cache[0] == '/')
        snprintf(path, sizeof path, "%s/holdfast", cache);
    else
        snprintf(path, sizeof path, "%s/.cache/holdfast", home != NULL && home[0] == '/' ? home : "/root");
    setenv("LAB_KEPT", path, 0);
}

static void set_number(const char *name, uint64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    setenv(name, text, 1);
}

static void set_environment(const struct request *request)
{
    set_kept();
    set_number("LAB_NODES", request->nodes);
    set_number("LAB_CPUS", request->cpus);
    set_number("LAB_SECONDS", request->seconds);
    set_number("LAB_MEMORY_MIB", request->memory_bytes / HFI_MIB);
    uint64_t pool = request->pool_bytes == UINT64_MAX ? request->memory_bytes / 4 : request->pool_bytes;
    set_number("LAB_POOL_PAGES", pool / HFI_MIB / POOL_STEP_MIB);
    setenv("LAB_ACCELERATOR", request->kvm ? "-accel kvm -cpu host" : "-accel tcg,thread=multi -cpu max", 1);
}

/* What lab.sh prints to `lab.sh VERB`, one line; its exit status, or -1. */
static int ask_script(const char *script, const char *verb, char *line, size_t line_bytes)
{
    int ends[2], status;
    if (pipe(ends) != 0)
        return -1;
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execl("/bin/sh", "sh", script, verb, (char *)NULL);
        _exit(EXIT_NOT_FOUND);
    }
    close(ends[1]);
    ssize_t length = child > 0 ? read(ends[0], line, line_bytes - 1) : 0;
    line[length > 0 ? length : 0] = 0;
    line[strcspn(line, "\n")] = 0;
    close(ends[0]);
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* False after a message. */
static bool prepare(const char *script, bool fetch)
{
    char line[512];
    if (fetch && ask_script(script, "kernel", line, sizeof line) != 0) {
        hfi_say(SAY_ERROR, "HF-E464", "lab",
                "no kernel could be fetched; what apt said is above; put a Linux kernel at %s/vmlinuz",
                getenv("LAB_KEPT"));
        return false;
    }
    if (ask_script(script, "missing", line, sizeof line) == 0 && line[0] == 0)
        return true;
    hfi_say(SAY_ERROR, "HF-E465", "lab", "this machine lacks %s", line[0] != 0 ? line : "/bin/sh");
    return false;
}

/* False after HF-E466. */
static bool read_size(const char *text, const char *option, uint64_t least, uint64_t most, uint64_t *bytes)
{
    size_t size;
    const char *end;
    if (hfi_parse_bytes(text, &size, &end) && *end == 0 && size >= least && size <= most &&
        size % (2 * HFI_MIB) == 0) {
        *bytes = size;
        return true;
    }
    hfi_say(SAY_ERROR, "HF-E466", "lab",
            "--%s takes a size in steps of 2M, from %llu MiB to %llu MiB, such as 512M; got '%s'", option,
            (unsigned long long)(least / HFI_MIB), (unsigned long long)(most / HFI_MIB), text);
    return false;
}

enum { OPTION_CPUS = 1, OPTION_MEMORY, OPTION_POOL, OPTION_TIMEOUT, OPTION_FETCH, OPTION_KVM };

static const struct option long_options[] = {
    { "nodes", required_argument, NULL, 'n' },
    { "cpus", required_argument, NULL, OPTION_CPUS },
    { "memory", required_argument, NULL, OPTION_MEMORY },
    { "pool", required_argument, NULL, OPTION_POOL },
    { "timeout", required_argument, NULL, OPTION_TIMEOUT },
    { "fetch", no_argument, NULL, OPTION_FETCH },
    { "kvm", no_argument, NULL, OPTION_KVM },
    { "help", no_argument, NULL, 'h' },
    { 0 },
};

/* False after a message. */
static bool take_option(int option, struct request *request)
{
    switch (option) {
    case 'n': return tool_number(optarg, 1, NODES_MOST, "nodes", &request->nodes, "lab");
    case OPTION_CPUS: return tool_number(optarg, 1, CPUS_MOST, "cpus", &request->cpus, "lab");
    case OPTION_TIMEOUT: return tool_number(optarg, 1, SECONDS_INITIAL, "timeout", &request->seconds, "lab");
    case OPTION_MEMORY:
        return read_size(optarg, "memory", 256 * HFI_MIB, 64 * HFI_GIB, &request->memory_bytes);
    case OPTION_POOL: return read_size(optarg, "pool", 0, 64 * HFI_GIB, &request->pool_bytes);
    case OPTION_FETCH: return request->fetch = true;
    case OPTION_KVM: return request->kvm = true;
    default: return false;
    }
}

static int lab_main(int argc, char **argv)
{
    struct request request = {
        .nodes = 2, .cpus = 1, .seconds = SECONDS_INITIAL, .memory_bytes = HFI_GIB, .pool_bytes = UINT64_MAX
    };
    char script[PATH_MAX + sizeof BESIDE];
    int option;
    while ((option = tool_getopt(argc, argv, "+:hn:", long_options, "lab")) != -1) {
        if (option == 'h')
            return tool_help(&tool_lab);
        if (option == '?')
            return EXIT_USAGE;
        if (!take_option(option, &request))
            return EXIT_CONFIG;
    }
    if (request.pool_bytes != UINT64_MAX && request.pool_bytes > request.memory_bytes / 2) {
        hfi_say(SAY_ERROR, "HF-E467", "lab",
                "a pool of %llu MiB leaves too little of a node's %llu MiB; give at most half to --pool, or "
                "more to --memory",
                (unsigned long long)(request.pool_bytes / HFI_MIB),
                (unsigned long long)(request.memory_bytes / HFI_MIB));
        return EXIT_CONFIG;
    }
    set_environment(&request);
    if (!find_script(script, sizeof script) || !prepare(script, request.fetch))
        return EXIT_FAILURE;
    size_t words = (size_t)(argc - optind);
    char **command = calloc(words + 4, sizeof *command);
    if (command == NULL)
        return EXIT_FAILURE;
    command[0] = (char *)"sh";
    command[1] = script;
    command[2] = (char *)(words != 0 ? "run" : "shell");
    memcpy(command + 3, argv + optind, words * sizeof *command);
    execv("/bin/sh", command);
    return EXIT_NOT_FOUND;
}

const struct command tool_lab = {
    .name = "lab",
    .summary = "run a command on a machine of several nodes, made by QEMU",
    .help = "usage: holdfast lab [OPTION...] [--] [COMMAND [ARGUMENT...]]\n"
            "\n"
            "Boots a virtual machine and runs COMMAND in it as root, with the files of this machine, its\n"
            "folder, PATH and HOLDFAST_*.  What it writes is lost with the machine.  Without COMMAND: a\n"
            "shell.  Ends with COMMAND's status, or 125 if the machine ended first.\n"
            "\n"
            "  -n, --nodes N      nodes; 2\n"
            "  --cpus N           CPUs of each node; 1\n"
            "  --memory SIZE      of each node; 1G\n"
            "  --pool SIZE        huge pages of 2 MiB on each node; a quarter of its memory\n"
            "  --timeout SECONDS  ends the machine after that time\n"
            "  --fetch            first fetch Debian's kernel, which is kept in ~/.cache/holdfast\n"
            "  --kvm              with the CPU's own virtualization, instead of emulation\n"
            "  --help             this text\n",
    .run = lab_main,
};
