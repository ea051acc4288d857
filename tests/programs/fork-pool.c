/*
 * fork-pool: who lives when the pool of huge pages has few pages, or none, for what a fork copies,
 * and whether HF-W007 said so before.  Where the pool has enough, HOLDFAST_VERBOSE=1 says that
 * (HF-I007).  The process that made the arena always lives, its child only while there are pages for
 * its copies, and so does a server that is a forked child itself.  All fork in a signal handler, on
 * little stack.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "short-stack.h"

#define PAGE_BYTES (2ul << 20)
#define ARENA_PAGES 8
#define WRITTEN_BYTES (6 * PAGE_BYTES)
#define POOL_PAGES_MOST 256 /* what is not needed is taken meanwhile, which takes time */

struct setting {
    const char *how, *verbose;
    unsigned spare_pages; /* beside the arena's */
    int warnings;
    const char *children; /* for which HF-I007 says that the pool has enough, or NULL where it says nothing */
    int signal;           /* that ends the child, or the server that is one; 0: it lives */
};

static const struct setting settings[] = {
    { "child-writes", "0", 0, 1, NULL, SIGBUS },
    { "child-writes", "1", 4, 1, NULL, SIGBUS }, /* more than is in use at the fork */
    { "child-writes", "0", ARENA_PAGES, 0, NULL, 0 },
    { "child-writes", "1", ARENA_PAGES, 0, "1 child", 0 },
    { "parent-writes", "0", 0, 1, NULL, SIGBUS },
    { "parent-writes", "0", ARENA_PAGES, 0, NULL, 0 },
    { "daemon", "0", 4, 2, NULL, SIGBUS },
    { "daemon", "1", ARENA_PAGES, 0, "1 child", 0 },
};

static char *program;

static uint64_t pool_number(const char *name)
{
    char path[96], text[32];
    snprintf(path, sizeof path, "/sys/kernel/mm/hugepages/hugepages-2048kB/%s", name);
    test_read(path, text, sizeof text);
    return strtoull(text, NULL, 10);
}

/* --- the program that forks --- */

static void end_as(int status)
{
    signal(SIGBUS, SIG_DFL);
    if (WIFSIGNALED(status))
        raise(WTERMSIG(status));
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

/* Returns when somebody closes the other end. */
static void wait_for_end(int ends[2])
{
    char byte;
    close(ends[1]);
    CHECK(read(ends[0], &byte, 1) == 0);
}

static pid_t forked;

static void fork_shortly(void)
{
    forked = fork();
}

static pid_t fork_on_short_stack(void)
{
    test_on_short_stack(fork_shortly);
    CHECK(forked >= 0);
    return forked;
}

/* The process that made the arena writes at last, and must live. */
static void fork_and_write(bool child_first)
{
    int ends[2], status;
    CHECK(pipe(ends) == 0);
    char *early = malloc(WRITTEN_BYTES / 2);
    CHECK(early != NULL);
    early[0] = 1;
    pid_t pid = fork_on_short_stack();
    if (pid == 0) {
        if (!child_first)
            wait_for_end(ends);
        memset(early, 2, WRITTEN_BYTES / 2);
        char *late = malloc(WRITTEN_BYTES / 2);
        CHECK(late != NULL);
        memset(late, 2, WRITTEN_BYTES / 2);
        _exit(0);
    }
    char *late = malloc(WRITTEN_BYTES / 2);
    CHECK(late != NULL);
    if (child_first)
        CHECK(waitpid(pid, &status, 0) == pid);
    memset(early, 3, WRITTEN_BYTES / 2);
    memset(late, 3, WRITTEN_BYTES / 2);
    close(ends[0]);
    close(ends[1]);
    if (!child_first)
        CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(early[0] == 3 && late[WRITTEN_BYTES / 2 - 1] == 3);
    end_as(status);
}

/* A server that makes itself a daemon, and then forks while it works. */
static void fork_as_daemon(void)
{
    int ends[2];
    pid_t parent = getpid();
    char *block = malloc(WRITTEN_BYTES);
    CHECK(block != NULL && pipe(ends) == 0);
    pid_t pid = fork_on_short_stack();
    if (pid != 0)
        _exit(0);
    while (getppid() == parent)
        usleep(1000);
    pid = fork_on_short_stack();
    if (pid == 0) {
        wait_for_end(ends);
        _exit(0);
    }
    memset(block, 1, WRITTEN_BYTES);
    _exit(0);
}

/* --- the one that watches --- */

/* A daemon's parent is whoever started it: this process, which ends as the last of them did. */
static void start_again(int number)
{
    int status = 0, ended = 0;
    CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        setenv("HOLDFAST_ARENA", "16M", 1);
        setenv("HOLDFAST_BACKING", "2m", 1);
        setenv("HOLDFAST_STRICT", "1", 1);
        setenv("LD_BIND_NOW", "1", 1);
        setenv("HOLDFAST_VERBOSE", settings[number].verbose, 1);
        execl("/proc/self/exe", program, settings[number].how, (char *)NULL);
        _exit(127);
    }
    while (wait(&ended) > 0)
        status = ended != 0 ? ended : status;
    end_as(status);
}

/* Takes what the pool has beyond so many pages; NULL where it has fewer.  They are populated, as
 * they would not stay reserved: when a parent ends before its child, Linux 6.18 counts its pages as
 * free, and gives away those of others. */
static void *take_all_but(uint64_t pages, size_t *bytes)
{
    uint64_t left = pool_number("free_hugepages") - pool_number("resv_hugepages");
    *bytes = left > pages ? (left - pages) * PAGE_BYTES : 0;
    if (left < pages)
        return NULL;
    if (*bytes == 0)
        return program;
    void *taken = mmap(NULL, *bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);
    return taken == MAP_FAILED || madvise(taken, *bytes, MADV_DONTFORK) != 0 ? NULL : taken;
}

static bool run(int number)
{
    const struct setting *setting = &settings[number];
    char output[8192] = "";
    size_t bytes;
    int warnings = 0, status = 0;
    void *taken = take_all_but(ARENA_PAGES + setting->spare_pages, &bytes);
    if (taken == NULL)
        return false;
    status = test_in_child(start_again, number, output, sizeof output);
    if (bytes != 0)
        munmap(taken, bytes);
    for (const char *at = output; (at = strstr(at, "HF-W007")) != NULL; at++)
        warnings++;
    bool itself = strstr(output, "has 4 free, and when it has none, the child is killed, or this process, a "
                                 "forked child itself") != NULL;
    char information[64];
    snprintf(information, sizeof information, "the pool has %u free, enough for %s at a time\n",
             setting->spare_pages, setting->children);
    bool informed =
        setting->children == NULL ? strstr(output, "HF-I007") == NULL : strstr(output, information) != NULL;
    int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    bool good = (signal != 0 || status == 0) && signal == setting->signal && warnings == setting->warnings &&
                informed && itself == (warnings == 2);
    printf("%s: %s, %u spare (status %#x) %s", good ? "ok" : "not so", setting->how, setting->spare_pages,
           (unsigned)status, output[0] ? output : "\n");
    return good;
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 1) {
        strcmp(argv[1], "daemon") == 0 ? fork_as_daemon()
                                       : fork_and_write(strcmp(argv[1], "child-writes") == 0);
        return 0;
    }
    uint64_t pages =
        access("/sys/kernel/mm/hugepages/hugepages-2048kB", F_OK) == 0 ? pool_number("nr_hugepages") : 0;
    if (pages < 2 * ARENA_PAGES || pages > POOL_PAGES_MOST) {
        printf("the pool of 2 MiB pages has %llu, not %d to %d\n", (unsigned long long)pages, 2 * ARENA_PAGES,
               POOL_PAGES_MOST);
        return 77;
    }
    int failed = 0;
    for (int i = 0; i < (int)(sizeof settings / sizeof settings[0]); i++) {
        unsigned tries = 0;
        bool good;
        do
            good = run(i);
        while (!good && test_pool_again("2m", &tries));
        failed += !good;
    }
    return failed != 0;
}
