/*
 * privileged: a set-user-ID copy of this program, started by nobody, who asks for what nobody may
 * not have.
 *
 * Needs root, and a file system that knows set-user-ID.
 */
#include <grp.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <holdfast/holdfast.h>

#include "base/options.h"
#include "test.h"

#define NOBODY 65534
#define COPY "privileged.copy"

struct environment {
    const char *name; /* of the case, an argument of the copy */
    char *variables[16];
};

static const struct environment environments[] = {
    { "more",
      { "HOLDFAST_ARENA=64M", "HOLDFAST_BACKING=2m", "HOLDFAST_LOCK=yes", "HOLDFAST_PREFAULT=background",
        "HOLDFAST_ON_FULL=abort", "HOLDFAST_FORK=dontfork", "HOLDFAST_REMOTE=deny", "HOLDFAST_STRICT=1",
        "HOLDFAST_VERBOSE=3", "HOLDFAST_NODES=9", "HOLDFAST_NO_OPTION=1",
        "HWLOC_SYNTHETIC=numa:4 core:2 pu:1", "HWLOC_COMPONENTS_VERBOSE=1", "HWLOC_XMLFILE=/nowhere" } },
    { "less",
      { "HOLDFAST_BACKING=4k", "HOLDFAST_LOCK=no", "HOLDFAST_PREFAULT=none", "HOLDFAST_INSPECT=0",
        "HOLDFAST_ARENA=auto", "HOLDFAST_TEST_HOOK=1" } },
};

/* --- in the copy --- */

static int privileged(const char *name)
{
    struct hf_stats stats;
    bool less = strcmp(name, "less") == 0;
    CHECK(getauxval(AT_SECURE) != 0 && geteuid() == 0 && getuid() == NOBODY);
    free(malloc(100));
    CHECK(hf_stats_get(&stats, sizeof stats) == 0);
    CHECK(stats.nodes < 4 && stats.arena > 0);
    CHECK(hfi_options.arena == ARENA_AUTO);
    CHECK(hfi_options.lock == (less ? LOCK_NO : LOCK_AUTO));
    CHECK(hfi_options.backing == (less ? BACKING_4K : BACKING_AUTO));
    CHECK(hfi_options.prefault == (less ? PREFAULT_NONE : PREFAULT_STARTUP));
    CHECK(hfi_options.inspect == !less && !hfi_options.strict && !hfi_options.verbose &&
          hfi_options.errors == 0);
    CHECK(hfi_options.remote_allow && hfi_options.on_full == ON_FULL_FAIL &&
          hfi_options.fork == FORK_PRIVATE);
    CHECK(hfi_options.nodes == ~(uint64_t)0);
    CHECK(test_number_in("/proc/self/status", "VmLck:") == 0);
    return 0;
}

/* --- outside --- */

static int copy;

static void skip(const char *why)
{
    printf("skipped: %s\n", why);
    unlink(COPY);
    exit(77);
}

static void make_copy(void)
{
    static char buffer[1 << 16];
    int from = open("/proc/self/exe", O_RDONLY),
        to = open(COPY, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    CHECK(from >= 0 && to >= 0);
    for (ssize_t got; (got = read(from, buffer, sizeof buffer)) > 0;)
        CHECK(write(to, buffer, (size_t)got) == got);
    CHECK(fchown(to, 0, 0) == 0 && fchmod(to, 04755) == 0);
    close(from);
    close(to);
    copy = open(COPY, O_RDONLY | O_CLOEXEC);
    CHECK(copy >= 0);
}

/* By its descriptor: nobody may not be allowed to walk to where the tests are built. */
static void start_copy(int index)
{
    char *arguments[] = { "privileged", (char *)environments[index].name, NULL };
    CHECK(setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    fexecve(copy, arguments, environments[index].variables);
    CHECK(!"exec");
}

static unsigned count(const char *text, const char *word)
{
    unsigned number = 0;
    for (const char *at = text; (at = strstr(at, word)) != NULL; at++)
        number++;
    return number;
}

int main(int argc, char **argv)
{
    struct statvfs system;
    char said[4096];
    bool passed = true;
    if (argc == 2)
        return privileged(argv[1]);
    if (getuid() != 0)
        skip("this needs root");
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 0 || statvfs(".", &system) != 0 ||
        (system.f_flag & (ST_NOSUID | ST_NOEXEC)) != 0)
        skip("no program gets privileges here");
    make_copy();
    for (int i = 0; i < 2; i++) {
        int status = test_in_child(start_copy, i, said, sizeof said);
        bool told = i == 0 ? count(said, "HF-W103") == 1 && strstr(said, ": 11 of the caller's") != NULL
                           : said[0] == 0;
        printf("%s: status %d\n%s", environments[i].name, status, said);
        passed = passed && WIFEXITED(status) && WEXITSTATUS(status) == 0 && told && count(said, "\n") <= 1;
    }
    unlink(COPY);
    return passed ? 0 : 1;
}
