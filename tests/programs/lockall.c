/*
 * lockall: mlockall(MCL_CURRENT) of a program on a growing arena, as daemons of clocks and clusters
 * call it, locks what the program uses, and a little more.
 *
 * Address space is limited first: too much would else be all of the machine's memory.
 */
#include <sys/mman.h>
#include <sys/resource.h>

#include "test.h"

#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)
#define MORE_BYTES (200 * MIB)
#define STEP_BYTES (64 * MIB) /* src/arena/arena-grow.c: most that is opened at once */
#define OTHER_BYTES (64 * MIB)

static size_t resident(void)
{
    return test_number_in("/proc/self/status", "VmRSS:") << 10;
}

static void use(size_t bytes)
{
    for (size_t i = 0; i < bytes / 4000; i++) {
        char *block = malloc(4000);
        CHECK(block != NULL);
        memset(block, 1, 4000);
    }
}

static int locked(void)
{
    use(MIB);
    if (mlockall(MCL_CURRENT) != 0) {
        printf("skipped: mlockall is refused here (errno %d)\n", errno);
        return 77;
    }
    size_t before = resident();
    use(MORE_BYTES);
    size_t after = resident();
    printf("resident: %zu MiB, and %zu MiB with %zu MiB more\n", before / MIB, after / MIB, MORE_BYTES / MIB);
    fflush(stdout);
    CHECK(before <= OTHER_BYTES);
    CHECK(after >= MORE_BYTES && after <= before + MORE_BYTES / 10 * 11 + STEP_BYTES);
    return 0;
}

static const struct {
    const char *name;
    size_t address_bytes;
    const char *machine;
} cases[] = {
    { "limited", 3 * GIB, NULL },
    { "unlimited", RLIM_INFINITY, NULL },
    { "nodes", RLIM_INFINITY, "package:8 core:16 pu:2" }, /* needs more than the boot region's first part */
};

static void start(int i)
{
    struct rlimit limit = { cases[i].address_bytes, cases[i].address_bytes };
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    CHECK(dup2(2, 1) == 1);
    if (cases[i].machine != NULL)
        setenv("HWLOC_SYNTHETIC", cases[i].machine, 1);
    execl("/proc/self/exe", "lockall", cases[i].name, NULL);
    CHECK(!"exec");
}

int main(int argc, char **argv)
{
    char said[8192];
    test_on_arena(argv, "auto");
    if (argc == 2)
        return locked();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int status = test_in_child(start, (int)i, said, sizeof said);
        printf("%s: status %d\n%s", cases[i].name, status, said);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            return WIFEXITED(status) && WEXITSTATUS(status) == 77 ? 77 : 1;
    }
    return 0;
}
