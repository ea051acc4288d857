/*
 * fork-warning: on huge pages of a pool the first fork says what it costs, once, when the pool could not copy what
 * is in use, or when asked to be told (HOLDFAST_VERBOSE=1); nothing is said where nothing is copied by the huge page.
 */
#include <spawn.h>

#include "test.h"

struct setting {
    const char *verbose, *backing, *fork, *how; /* how: "fork", or "spawn" */
    bool warns;
};

static const struct setting settings[] = {
    { "1", "2m", "private", "fork", true },
    { "0", "2m", "private", "fork", false },
    { "1", "2m", "dontfork", "fork", false },
    { "1", "2m", "private", "spawn", false },
    { "1", "4k", "private", "fork", false },
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

static int count_of(const char *text, const char *what)
{
    int count = 0;
    for (; (text = strstr(text, what)) != NULL; text++)
        count++;
    return count;
}

int main(int argc, char **argv)
{
    int failed = 0;
    program = argv[0];
    if (argc > 1) {
        free(malloc(1));
        strcmp(argv[1], "fork") == 0 ? fork_twice() : spawn_once();
        return 0;
    }
    for (int i = 0; i < (int)(sizeof settings / sizeof settings[0]); i++) {
        const struct setting *setting = &settings[i];
        char output[8192];
        unsigned tries = 0;
        int status;
        do
            status = test_in_child(start_again, i, output, sizeof output);
        while ((status != 0 || (i == 0 && strstr(output, "on 2m pages") == NULL)) && test_pool_again(setting->backing, &tries));
        if (i == 0 && strstr(output, "on 2m pages") == NULL) {
            printf("no 8 huge pages of 2 MiB free here\n%s", output);
            return 77;
        }
        bool whole = strstr(output, "copies 2 MiB from the pool") != NULL && strstr(output, "; set HOLDFAST_FORK=dontfork") != NULL;
        bool good = status == 0 && count_of(output, "HF-W007") == setting->warns && whole == setting->warns;
        printf("%s: verbose %s, %s, %s, %s (status %#x) %s", good ? "ok" : "NOT OK", setting->verbose, setting->backing,
               setting->fork, setting->how, (unsigned)status, output[0] ? output : "\n");
        failed += !good;
    }
    return failed != 0;
}
