/*
 * processes: makes sequences of commands (sequence.c), has victims run them, and judges.
 *
 *   processes                  the sequences of make check
 *   processes --seconds N      as many as there is time for; fuzz-processes.SEED is one that fails
 *   processes SEED | FILE ...  these
 *   --first S, --count N       from seed S on; so many
 *   --print                    shows the sequence of a seed instead of running it
 *   --times N                  runs each so often
 *   --minimise                 leaves out of one that fails what it fails without
 *   --without NAME             makes sequences without that command, or setting
 *
 * The driver's malloc is the C library's. A victim is a process of its own with a pipe as
 * standard error, and memory that it shares with the driver. It fails by what it tells there, by
 * a status or signal that was not asked for, by a message that its sequence does not account for,
 * by a file left in /dev/shm, or by taking too long.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sequence.h"

#define CHECK_FIRST 1u
#define CHECK_COUNT 250u
#define VICTIM_SECONDS 40
#define SAID_BYTES 65536
#define MINIMISE_SECONDS 60

struct outcome {
    bool failed;
    char why[1024];
    char said[SAID_BYTES]; /* to standard error */
};

static char victims[4096]; /* the folder that they are in */
static char path[64];      /* of the sequence that the victim reads */
static struct fuzz_shared *shared;
static int shared_fd;

/* --- the victim --- */

static rlim_t start_limit(unsigned kind, unsigned long value)
{
    switch (kind) {
    case FUZZ_limit_fsize: return value % 3 * 4096;
    case FUZZ_limit_as: return (rlim_t)(64 + value * 8) << 20;
    case FUZZ_limit_data: return (rlim_t)(16 + value * 2) << 20;
    case FUZZ_limit_nofile: return 4 + value % 8;
    default: return value % 3 << 16;
    }
}

static void start_stderr(unsigned kind)
{
    static const char zeros[4096];
    int ends[2];
    if (kind == FUZZ_stderr_log) {
        int fd = memfd_create("log", 0);
        fcntl(fd, F_SETFL, O_APPEND);
        dup2(fd, 2);
        close(fd);
        return;
    }
    if (pipe(ends) != 0)
        _exit(FUZZ_FAILED);
    if (kind == FUZZ_stderr_full) {
        fcntl(ends[1], F_SETFL, O_NONBLOCK);
        while (write(ends[1], zeros, sizeof zeros) > 0)
            ;
        fcntl(ends[1], F_SETFL, 0);
        fcntl(ends[0], F_DUPFD, FUZZ_FD_STDERR + 1);
    }
    dup2(ends[1], 2);
    close(ends[0]);
    close(ends[1]);
}

/* Limits come last. */
static void start_as(const char *line, bool limits)
{
    static const int resources[FUZZ_KINDS] = {
        [FUZZ_limit_fsize] = RLIMIT_FSIZE,     [FUZZ_limit_as] = RLIMIT_AS,
        [FUZZ_limit_data] = RLIMIT_DATA,       [FUZZ_limit_nofile] = RLIMIT_NOFILE,
        [FUZZ_limit_memlock] = RLIMIT_MEMLOCK,
    };
    char name[LINE_BYTES] = "";
    unsigned long value = 0;
    struct rlimit limit;
    unsigned kind = 0;
    sscanf(line, "start %95s %lu", name, &value);
    while (kind < FUZZ_KINDS && strcmp(fuzz_kinds[kind].name, name) != 0)
        kind++;
    if (kind == FUZZ_KINDS || (strncmp(name, "limit-", 6) == 0) != limits)
        return;
    switch (kind) {
    case FUZZ_stdin_closed: close(0); break;
    case FUZZ_stdout_closed: close(1); break;
    case FUZZ_stderr_closed: close(2); break;
    case FUZZ_stderr_log:
    case FUZZ_stderr_broken:
    case FUZZ_stderr_full: start_stderr(kind); break;
    default:
        if (kind == FUZZ_limit_as || kind == FUZZ_limit_data)
            setenv("FUZZ_LIMITED", "1", 1);
        getrlimit((__rlimit_resource_t)resources[kind], &limit);
        limit.rlim_cur =
            start_limit(kind, value) < limit.rlim_max ? start_limit(kind, value) : limit.rlim_max;
        setrlimit((__rlimit_resource_t)resources[kind], &limit);
    }
}

static _Noreturn void become_victim(const struct sequence *sequence, int said)
{
    struct rlimit none = { 0, 0 };
    char program[sizeof victims + 32];
    bool is_static = false;
    setrlimit(RLIMIT_CORE, &none);
    int in = open("/dev/null", O_RDWR);
    dup2(in, 0);
    dup2(in, 1);
    dup2(said, 2);
    dup2(said, FUZZ_FD_STDERR);
    dup2(shared_fd, FUZZ_FD_SHARED);
    close_range(3, FUZZ_FD_SHARED - 1, 0);
    close_range(FUZZ_FD_STDERR + 1, ~0u, 0);
    for (unsigned i = 0; i < sequence->count; i++) {
        char name[LINE_BYTES], *value;
        if (sscanf(sequence->lines[i], "env %95s", name) == 1 && (value = strchr(name, '=')) != NULL) {
            *value++ = 0;
            setenv(name, value, 1);
        }
        is_static |= strcmp(sequence->lines[i], "library static") == 0;
    }
    snprintf(program, sizeof program, "%s/victim%s", victims, is_static ? "-static" : "");
    for (unsigned i = 0; i < 2 * sequence->count; i++)
        if (strncmp(sequence->lines[i % sequence->count], "start ", 6) == 0)
            start_as(sequence->lines[i % sequence->count], i >= sequence->count);
    execl(program, "victim", path, (char *)NULL);
    _exit(127);
}

static void write_sequence(const struct sequence *sequence, const char *file)
{
    FILE *out = fopen(file, "w");
    if (out == NULL) {
        fprintf(stderr, "%s: %s\n", file, strerror(errno));
        exit(2);
    }
    for (unsigned i = 0; i < sequence->count; i++)
        fprintf(out, "%s\n", sequence->lines[i]);
    fclose(out);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Reads what the victim and its children say until the last of them has ended; false if that
 * takes too long. */
static bool listen_to(int fd, char *said)
{
    double until = now() + VICTIM_SECONDS;
    size_t length = 0;
    for (;;) {
        char rest[4096];
        struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
        double left = until - now();
        if (left <= 0 || (poll(&poll_fd, 1, (int)(left * 1000) + 1) == 0))
            return false;
        bool room = length < SAID_BYTES - 1;
        ssize_t got = read(fd, room ? said + length : rest, room ? SAID_BYTES - 1 - length : sizeof rest);
        if (got <= 0)
            return true;
        length += room ? (size_t)got : 0;
        said[length] = 0;
    }
}

/* --- judging --- */

/* Messages that a sequence may lead to; those of the second row only under limits. */
static bool is_expected(const struct sequence *sequence, const char *id)
{
    static const char *const always[] = {
        "HF-E012", "HF-E014", "HF-I001", "HF-I003", "HF-I014", "HF-I202", "HF-I205",
        "HF-I224", "HF-I311", "HF-W009", "HF-W021", "HF-W205", "HF-W222", "HF-W311",
    };
    static const char *const limited[] = {
        "HF-E206", "HF-E218", "HF-E226", "HF-W002", "HF-W004", "HF-W005", "HF-W006", "HF-W020",
        "HF-W202", "HF-W204", "HF-W207", "HF-W209", "HF-W227", "HF-W228", "HF-W229", "HF-W230",
    };
    for (size_t i = 0; i < sizeof always / sizeof always[0]; i++)
        if (strncmp(id, always[i], 7) == 0)
            return true;
    for (size_t i = 0; i < sizeof limited / sizeof limited[0]; i++)
        if (strncmp(id, limited[i], 7) == 0)
            return sequence_has(sequence, "limit-");
    return false;
}

static void __attribute__((format(printf, 2, 3))) fails(struct outcome *outcome, const char *format, ...)
{
    va_list arguments;
    if (outcome->failed)
        return;
    outcome->failed = true;
    va_start(arguments, format);
    vsnprintf(outcome->why, sizeof outcome->why, format, arguments);
    va_end(arguments);
}

static void judge_messages(const struct sequence *sequence, struct outcome *outcome)
{
    for (const char *at = outcome->said; (at = strstr(at, "HF-")) != NULL; at++) {
        bool is_id =
            strlen(at) >= 7 && (at[3] == 'E' || at[3] == 'W' || at[3] == 'I') && at[4] >= '0' && at[4] <= '9';
        bool begins = at > outcome->said && at[-1] == ' '; /* else it is a mention */
        if (is_id && begins && at[7] == ' ' && !is_expected(sequence, at))
            fails(outcome, "message %.160s", at);
    }
}

static void judge_files(struct outcome *outcome)
{
    DIR *directory = opendir("/dev/shm");
    struct dirent *entry;
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        int pid = 0;
        if (sscanf(entry->d_name, "holdfast.%d.", &pid) != 1)
            continue;
        for (unsigned i = 0; i < shared->exits && i < sizeof shared->exit_pids / sizeof shared->exit_pids[0];
             i++)
            if (shared->exit_pids[i] == pid)
                fails(outcome, "/dev/shm/%s was left", entry->d_name);
    }
    if (directory != NULL)
        closedir(directory);
}

static void judge_status(const struct sequence *sequence, struct outcome *outcome, pid_t pid, int status)
{
    unsigned end = FUZZ_END_EXIT;
    bool start_limit = sequence_has(sequence, "start limit-");
    for (unsigned i = 0; i < sequence->count; i++)
        sscanf(sequence->lines[i], "0 end %u", &end);
    if (shared->claimed)
        fails(outcome, "%s", shared->failure);
    else if (WIFEXITED(status) && WEXITSTATUS(status) != 0 &&
             !(start_limit && (WEXITSTATUS(status) == 78 || WEXITSTATUS(status) == 127)))
        fails(outcome, "exit status %d, at command %u", WEXITSTATUS(status), shared->at);
    else if (WIFSIGNALED(status) &&
             !(end == FUZZ_END_ABORT && WTERMSIG(status) == SIGABRT && shared->aborts == (int)pid))
        fails(outcome, "signal %d, at command %u", WTERMSIG(status), shared->at);
    if (strstr(outcome->said, "terminate called") != NULL)
        fails(outcome, "an exception that nobody catches");
}

static void try(const struct sequence *sequence, struct outcome *outcome)
{
    int ends[2], status = 0;
    memset(shared, 0, sizeof *shared);
    outcome->failed = false;
    outcome->said[0] = outcome->why[0] = 0;
    write_sequence(sequence, path);
    if (pipe2(ends, O_CLOEXEC) != 0)
        exit(2);
    pid_t pid = fork();
    if (pid == 0)
        become_victim(sequence, ends[1]);
    close(ends[1]);
    bool in_time = pid > 0 && listen_to(ends[0], outcome->said);
    if (pid < 0)
        exit(2);
    if (!in_time) {
        kill(pid, SIGKILL); /* its children end by their alarms */
        fails(outcome, "not ended after %d s, at command %u", VICTIM_SECONDS, shared->at);
    }
    waitpid(pid, &status, 0);
    close(ends[0]);
    judge_messages(sequence, outcome);
    judge_status(sequence, outcome, pid, status);
    judge_files(outcome);
}

/* --- what the driver is asked for --- */

static struct outcome outcome;

static void minimise(struct sequence *sequence)
{
    struct sequence *shorter = malloc(sizeof *shorter);
    double until = now() + MINIMISE_SECONDS;
    char why[sizeof outcome.why];
    strcpy(why, outcome.why);
    size_t same = strcspn(why, "("); /* a process's number follows */
    for (unsigned part = sequence->count / 2; part > 0 && shorter != NULL; part = part > 1 ? part / 2 : 0)
        for (unsigned at = 0; at + part <= sequence->count && now() < until;) {
            shorter->count = sequence->count - part;
            memcpy(shorter->lines, sequence->lines, at * sizeof shorter->lines[0]);
            memcpy(shorter->lines + at, sequence->lines + at + part,
                   (shorter->count - at) * sizeof shorter->lines[0]);
            try(shorter, &outcome);
            if (outcome.failed && strncmp(why, outcome.why, same) == 0)
                memcpy(sequence, shorter, sizeof *shorter);
            else
                at += part;
        }
    free(shorter);
    try(sequence, &outcome);
}

static void show(const struct sequence *sequence)
{
    for (unsigned i = 0; i < sequence->count; i++)
        printf("    %s\n", sequence->lines[i]);
}

static bool load(struct sequence *sequence, const char *name)
{
    char *end, line[LINE_BYTES];
    uint64_t seed = strtoull(name, &end, 0);
    FILE *in = *end == 0 ? NULL : fopen(name, "r");
    sequence->count = 0;
    if (*end == 0)
        sequence_make(sequence, seed);
    while (in != NULL && fgets(line, sizeof line, in) != NULL) {
        line[strcspn(line, "\n")] = 0;
        if (line[0] != 0 && line[0] != '#')
            sequence_add(sequence, line);
    }
    if (in != NULL)
        fclose(in);
    return sequence->count != 0;
}

/* True when the sequence did what it should. */
static bool run_one(struct sequence *sequence, const char *name, bool minimises, bool keeps)
{
    char file[64];
    try(sequence, &outcome);
    if (!outcome.failed)
        return true;
    printf("%s: %s\n", name, outcome.why);
    if (minimises)
        minimise(sequence);
    if (minimises)
        printf("%s\n", outcome.failed ? outcome.why : "(not each time)");
    show(sequence);
    printf("%.4000s\n", outcome.said);
    snprintf(file, sizeof file, "fuzz-processes.%s", name);
    if (keeps)
        write_sequence(sequence, file);
    fflush(stdout);
    return false;
}

static int run_seeds(uint64_t first, uint64_t count, double seconds, bool minimises)
{
    struct sequence *sequence = malloc(sizeof *sequence);
    double until = now() + seconds;
    uint64_t failed = 0, seed = first;
    for (; sequence != NULL && (seconds > 0 ? now() < until : seed < first + count); seed++) {
        char name[32];
        snprintf(name, sizeof name, "%llu", (unsigned long long)seed);
        sequence_make(sequence, seed);
        failed += !run_one(sequence, name, minimises, seconds > 0);
    }
    printf("%llu sequences from seed %llu on, %llu failed\n", (unsigned long long)(seed - first),
           (unsigned long long)first, (unsigned long long)failed);
    free(sequence);
    return failed != 0;
}

static int run_named(char *const *names, bool prints, bool minimises, unsigned times)
{
    struct sequence *sequence = malloc(sizeof *sequence);
    unsigned failed = 0;
    for (; sequence != NULL && *names != NULL; names++)
        for (unsigned i = 0; i < times; i++) {
            if (!load(sequence, *names)) {
                fprintf(stderr, "%s: no sequence\n", *names);
                return 2;
            }
            if (prints)
                show(sequence);
            else
                failed += !run_one(sequence, *names, minimises, false);
        }
    free(sequence);
    if (!prints)
        printf("%u failed\n", failed);
    return failed != 0;
}

static void begin(void)
{
    ssize_t length = readlink("/proc/self/exe", victims, sizeof victims - 1);
    victims[length < 0 ? 0 : length] = 0;
    dirname(victims);
    snprintf(path, sizeof path, "/tmp/fuzz-processes.%ld", (long)getpid());
    shared_fd = memfd_create("shared", MFD_CLOEXEC);
    if (shared_fd < 0 || ftruncate(shared_fd, sizeof *shared) != 0)
        exit(2);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, shared_fd, 0);
    if (shared == MAP_FAILED)
        exit(2);
}

int main(int argc, char **argv)
{
    uint64_t first = CHECK_FIRST, count = CHECK_COUNT;
    double seconds = 0;
    bool minimises = false, prints = false;
    unsigned times = 1;
    int at = 1;
    begin();
    for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
        bool has_value = at + 1 < argc;
        if (strcmp(argv[at], "--minimise") == 0)
            minimises = true;
        else if (strcmp(argv[at], "--print") == 0)
            prints = true;
        else if (strcmp(argv[at], "--seconds") == 0 && has_value)
            seconds = atof(argv[++at]);
        else if (strcmp(argv[at], "--first") == 0 && has_value)
            first = strtoull(argv[++at], NULL, 0);
        else if (strcmp(argv[at], "--count") == 0 && has_value)
            count = strtoull(argv[++at], NULL, 0);
        else if (strcmp(argv[at], "--times") == 0 && has_value)
            times = (unsigned)atoi(argv[++at]);
        else if (strcmp(argv[at], "--without") == 0 && has_value)
            sequence_without(argv[++at]);
        else
            return 2;
    }
    int status = at < argc ? run_named(argv + at, prints, minimises, times)
                           : run_seeds(first, count, seconds, minimises);
    unlink(path);
    return status;
}
