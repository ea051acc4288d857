/*
 * fork-warning: on huge pages of a pool that suffices, the first fork says what it costs once, as
 * information, when asked to be told (HOLDFAST_VERBOSE=1).  It does not warn, nor advise to leave
 * the pool; tests/programs/fork-pool.c has pools that do not suffice.  Nothing is said where nothing
 * is copied by the huge page.  Under HOLDFAST_FORK=dontfork a process that had threads is told,
 * once, what its children may die of.
 */
#include <pthread.h>
#include <spawn.h>

#include "test.h"

struct setting {
    const char *verbose, *backing, *fork, *how; /* how: "fork", "spawn", or "threads": fork after a thread */
    const char *message;                        /* its id, or NULL */
};

static const struct setting settings[] = {
    { "0", "4k", "dontfork", "threads", "HF-W021" }, { "1", "4k", "dontfork", "fork", NULL },
    { "1", "4k", "private", "threads", NULL },       { "1", "4k", "private", "fork", NULL },
    { "1", "2m", "private", "fork", "HF-I007" }, /* the first on 2m tells whether the pool suffices */
    { "0", "2m", "private", "fork", NULL },          { "1", "2m", "dontfork", "fork", NULL },
    { "1", "2m", "private", "spawn", NULL },
};

static char *program;

static void start_again(int number)
{
    const struct setting *setting = &settings[number];
    setenv("HOLDFAST_ARENA", "16M", 1);
    setenv("HOLDFAST_BACKING", setting->backing, 1);
    setenv("HOLDFAST_VERBOSE", setting->verbose, 1);
    setenv("HOLDFAST_FORK", setting->fork, 1);
    execl("/proc/self/exe", program, setting->how, (char *)NULL);
    _exit(127);
}

static void fork_twice(void)
{
    for (int i = 0; i < 2; i++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0)
            _exit(0);
        int status;
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    }
}

static void spawn_once(void)
{
    char *arguments[] = { (char *)"true", NULL }, *environment[] = { NULL };
    pid_t pid;
    int status;
    CHECK(posix_spawn(&pid, "/bin/true", NULL, NULL, arguments, environment) == 0);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static void *end_at_once(void *unused)
{
    return unused;
}

static void fork_after_thread(void)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, end_at_once, NULL) == 0 && pthread_join(thread, NULL) == 0);
    fork_twice();
}

static int count_of(const char *text, const char *what)
{
    int count = 0;
    for (; (text = strstr(text, what)) != NULL; text++)
        count++;
    return count;
}

static void run(const char *how)
{
    free(malloc(1));
    if (strcmp(how, "threads") == 0)
        fork_after_thread();
    else
        strcmp(how, "fork") == 0 ? fork_twice() : spawn_once();
}

static bool is_right(const struct setting *setting, const char *output)
{
    const char *message = setting->message;
    bool copies = message != NULL && strcmp(message, "HF-I007") == 0;
    bool threads = message != NULL && !copies;
    return count_of(output, "HF-W007") == 0 && count_of(output, "info HF-I007 fork: ") == copies &&
           count_of(output, "HF-W021") == threads &&
           (strstr(output, "copies 2 MiB from the pool: 8 pages at most") != NULL) == copies &&
           (strstr(output, " at a time\n") != NULL) == copies &&
           (strstr(output, "posix_spawn") != NULL) == threads;
}

/* The pool has the arena's 8 pages of 2 MiB, and as many for what a fork copies. */
static bool suffices(const char *output)
{
    const char *pool = strstr(output, "the pool has ");
    return strstr(output, "on 2m pages") != NULL &&
           (pool == NULL || atoi(pool + strlen("the pool has ")) >= 8);
}

int main(int argc, char **argv)
{
    int failed = 0;
    bool pool = false;
    program = argv[0];
    if (argc > 1) {
        run(argv[1]);
        return 0;
    }
    for (int i = 0; i < (int)(sizeof settings / sizeof settings[0]); i++) {
        const struct setting *setting = &settings[i];
        bool first = !pool && strcmp(setting->backing, "2m") == 0;
        char output[8192];
        unsigned tries = 0;
        int status;
        do
            status = test_in_child(start_again, i, output, sizeof output);
        while ((status != 0 || (first && !suffices(output))) && test_pool_again(setting->backing, &tries));
        if (first && !suffices(output)) {
            printf("no 16 huge pages of 2 MiB free here\n%s", output);
            return failed != 0 ? 1 : 77;
        }
        pool = pool || first;
        bool good = status == 0 && is_right(setting, output);
        printf("%s: verbose %s, %s, %s, %s (status %#x) %s", good ? "ok" : "NOT OK", setting->verbose,
               setting->backing, setting->fork, setting->how, (unsigned)status, output[0] ? output : "\n");
        failed += !good;
    }
    return failed != 0;
}
