/*
 * workers: torments (torment.c), each on one of a few arenas; see chaos.h.
 *
 * A worker may end whole, be refused at its start by a message (status 78), or be killed, by a fault
 * or by the kernel for want of memory, which the kernel's log must tell.  Nothing else.  Each message
 * has one of the ids below.
 */
#include "chaos.h"

#include <signal.h>
#include <sys/klog.h>

#define STATUS_REFUSED 78
#define MESSAGE_IDS 64
#define SETTINGS 3

static const char *const arenas[][SETTINGS] = {
    { "HOLDFAST_ARENA=48M", "HOLDFAST_BACKING=2m", NULL },
    { "HOLDFAST_ARENA=64M", "HOLDFAST_BACKING=4k", NULL },
    { "HOLDFAST_ARENA=0:16M,2:32M", "HOLDFAST_BACKING=2m", "HOLDFAST_PREFAULT=background" },
    { "HOLDFAST_ARENA=96M", "HOLDFAST_BACKING=auto", "HOLDFAST_REMOTE=deny" },
    { "HOLDFAST_ARENA=80M", "HOLDFAST_BACKING=thp", "HOLDFAST_PREFAULT=background" },
    { NULL }, /* growing */
};
#define ARENAS (sizeof arenas / sizeof arenas[0])

/* Messages, each with the fault that explains it; NULL: no fault is needed. */
static const struct {
    const char *id, *fault;
} explained[] = {
    { "HF-E012", NULL },  /* letters may be more than the arena holds */
    { "HF-W006", "shm" }, /* no segment where /dev/shm is full */
    { "HF-W007", NULL },  /* a fork of an arena that has most of its pool */
    { "HF-W201", "pool" },       { "HF-W201", "huge limit" }, /* fewer huge pages than asked for */
    { "HF-W203", "huge limit" },                              /* the same, found late */
    { "HF-W203", "pool" },       { "HF-W204", "kernel" },     /* no transparent huge pages */
    { "HF-W209", "limit" },                                   /* a smaller arena */
    { "HF-W227", "limit" },                                   /* than a limit allows at all */
    { "HF-E210", "hog" },                                     /* none at all */
    { "HF-E226", "pool" },                                    /* found out in the background */
    { "HF-E412", "look" }, /* a process that has not published yet, or has ended */
    { "HF-I462", "kill" }, /* what it left is kept */
};

struct worker chaos_workers[CHAOS_WORKERS];

static uint64_t choices; /* of its own, as when a worker ends depends on the machine's speed */
static unsigned started;
static struct {
    unsigned whole, refused, killed, starved;
} ends;
static struct {
    char id[8];
    unsigned count;
} said[MESSAGE_IDS];

/* --- start --- */

static void log_path(char *path, size_t bytes, unsigned number)
{
    snprintf(path, bytes, "/tmp/chaos.%u", number);
}

void chaos_exec(unsigned number, const char *const *settings, char *const *arguments)
{
    char path[64];
    char *environment[SETTINGS + 2] = { (char *)"LD_LIBRARY_PATH=/lab/lib" };
    for (unsigned i = 0; settings != NULL && i < SETTINGS && settings[i] != NULL; i++)
        environment[i + 1] = (char *)settings[i];
    log_path(path, sizeof path, number);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(fd, 1);
    dup2(fd, 2);
    chaos_put("0", "/proc/self/oom_score_adj");
    execve(arguments[0], arguments, environment);
    _exit(127);
}

static unsigned choose(unsigned count)
{
    return (unsigned)(test_random(&choices) % count);
}

static void start(struct worker *worker, unsigned arena, unsigned seconds, const char *group)
{
    char seconds_text[16], seed[16];
    *worker = (struct worker){ .arena = arena, .number = ++started };
    snprintf(seconds_text, sizeof seconds_text, "%u", seconds);
    snprintf(seed, sizeof seed, "%u", choose(1000000));
    worker->pid = fork();
    CHECK(worker->pid >= 0);
    if (worker->pid == 0) {
        char *arguments[] = { (char *)"/lab/torment", seconds_text, seed, NULL };
        chaos_put("0", "/sys/fs/cgroup/%s/cgroup.procs", group);
        chaos_exec(worker->number, arenas[arena], arguments);
    }
}

static void start_any(struct worker *worker)
{
    unsigned arena = choose(ARENAS), seconds = 2 + choose(12);
    start(worker, arena, seconds, choose(2) == 0 ? "limited" : "free");
}

void chaos_workers_seed(uint64_t seed)
{
    choices = seed;
}

/* --- what they said --- */

static bool is_explained(const char *id)
{
    for (size_t i = 0; i < sizeof explained / sizeof explained[0]; i++)
        if (strncmp(id, explained[i].id, strlen(explained[i].id)) == 0 &&
            (explained[i].fault == NULL || chaos_fault_happened(explained[i].fault)))
            return true;
    return false;
}

/* Not where another message or the tool names it. */
static bool is_said(const char *log, const char *at)
{
    static const char *const before[] = { "error ", "warning ", "info " };
    for (size_t i = 0; i < sizeof before / sizeof before[0]; i++) {
        size_t length = strlen(before[i]);
        if ((size_t)(at - log) >= length && strncmp(at - length, before[i], length) == 0)
            return true;
    }
    return false;
}

/* The first of each id is shown. */
static void count_messages(const char *log)
{
    for (const char *at = strstr(log, "HF-"); at != NULL; at = strstr(at + 1, "HF-")) {
        unsigned i = 0;
        if (!is_said(log, at))
            continue;
        while (i < MESSAGE_IDS - 1 && said[i].count > 0 &&
               strncmp(said[i].id, at, sizeof said[i].id - 1) != 0)
            i++;
        if (said[i].count++ > 0)
            continue;
        snprintf(said[i].id, sizeof said[i].id, "%s", at);
        printf("# first %.*s\n", (int)strcspn(at, "\n"), at);
        chaos_ok(is_explained(at), "%s is explained", said[i].id);
    }
}

const char *chaos_take_log(unsigned number)
{
    static char log[CHAOS_LOG_BYTES];
    char path[64];
    log_path(path, sizeof path, number);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? 0 : read(fd, log, sizeof log - 1);
    if (fd >= 0)
        close(fd);
    log[length > 0 ? length : 0] = 0;
    unlink(path);
    count_messages(log);
    return log;
}

void chaos_show(const char *log)
{
    for (const char *line = log; *line != 0; line += strcspn(line, "\n"), line += *line != 0)
        printf("#   %.*s\n", (int)strcspn(line, "\n"), line);
}

/* --- end --- */

bool chaos_kernel_killed(pid_t pid)
{
    static char log[CHAOS_LOG_BYTES];
    char wanted[64];
    snprintf(wanted, sizeof wanted, "Killed process %d ", pid);
    for (unsigned tries = 0; tries < 20; tries++) {
        int length = klogctl(3 /* SYSLOG_ACTION_READ_ALL */, log, sizeof log - 1);
        log[length > 0 ? length : 0] = 0;
        if (strstr(log, wanted) != NULL)
            return true;
        usleep(50000);
    }
    return false;
}

/* The end that it came to, or NULL for one that must not be. */
static unsigned *end_of(const struct worker *worker, int status, const char *log)
{
    bool was_killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return &ends.whole;
    if (WIFEXITED(status) && WEXITSTATUS(status) == STATUS_REFUSED && strstr(log, "error HF-") != NULL)
        return &ends.refused;
    if (was_killed && worker->killed)
        return &ends.killed;
    return was_killed && chaos_kernel_killed(worker->pid) ? &ends.starved : NULL;
}

static void judge(struct worker *worker, int status)
{
    const char *log = chaos_take_log(worker->number);
    unsigned *end = end_of(worker, status, log);
    if (end != NULL) {
        *end += 1;
    } else {
        chaos_ok(false, "worker %u on arena %u ended with status 0x%x", worker->number, worker->arena,
                 (unsigned)status);
        chaos_show(log);
    }
    worker->pid = 0;
}

unsigned chaos_attend(bool again)
{
    unsigned alive = 0;
    for (struct worker *worker = chaos_workers; worker < chaos_workers + CHAOS_WORKERS; worker++) {
        int status;
        if (worker->pid != 0 && waitpid(worker->pid, &status, WNOHANG) == worker->pid)
            judge(worker, status);
        if (worker->pid == 0 && again)
            start_any(worker);
        alive += worker->pid != 0;
    }
    return alive;
}

void chaos_run_each_alone(void)
{
    for (unsigned arena = 0; arena < ARENAS; arena++) {
        struct worker worker;
        int status = -1;
        start(&worker, arena, 1, "free");
        CHECK(waitpid(worker.pid, &status, 0) == worker.pid);
        const char *log = chaos_take_log(worker.number);
        chaos_ok(status == 0, "arena %u is whole when all is calm", arena);
        if (status != 0)
            chaos_show(log);
    }
}

void chaos_tell(void)
{
    printf("# %u workers: %u whole, %u refused at start, %u killed, %u killed by the kernel for want of "
           "memory\n",
           started, ends.whole, ends.refused, ends.killed, ends.starved);
    for (unsigned i = 0; i < MESSAGE_IDS && said[i].count > 0; i++)
        printf("# %s %u times\n", said[i].id, said[i].count);
    chaos_ok(ends.whole > 0 && ends.whole + ends.refused + ends.killed + ends.starved <= started,
             "some workers ended whole");
}
