/*
 * dontfork (HOLDFAST_FORK=dontfork): the child allocates from its boot region, may exec and exit, and touches nothing of the
 * parent's: not its segment either.  A block of the parent is not there.
 */
#include <signal.h>

#include "segment.h"

static char *of_parent;

static void allocates(void)
{
    for (int i = 0; i < 1000; i++) {
        char *block = malloc(1000);
        CHECK(block != NULL);
        memset(block, 1, 1000);
        CHECK((block = realloc(block, 5000)) != NULL && block[999] == 1);
        free(block);
    }
    exit(0); /* not _exit: destructors run */
}

/* Refused, with errno, and nothing overlaps what is there. */
static void asks_too_much(void)
{
    static const size_t sizes[] = { SIZE_MAX, SIZE_MAX - 3, SIZE_MAX - 15, SIZE_MAX - 4096, PTRDIFF_MAX, (size_t)1 << 40 };
    char *block = malloc(100);
    void *aligned = NULL;
    memset(block, 1, 100);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        CHECK((errno = 0, malloc(sizes[i])) == NULL && errno == ENOMEM);
        CHECK((errno = 0, calloc(sizes[i], 1)) == NULL && errno == ENOMEM);
        CHECK((errno = 0, realloc(block, sizes[i])) == NULL && errno == ENOMEM);
        CHECK(posix_memalign(&aligned, 64, sizes[i]) == ENOMEM);
    }
    memset(malloc(100), 2, 100);
    CHECK(block[0] == 1 && block[99] == 1);
    _exit(0);
}

static void fills(void)
{
    size_t count = 0;
    errno = 0;
    while (malloc(60000) != NULL)
        count++;
    CHECK(errno == ENOMEM && count > 4000);
    CHECK(malloc(60000) == NULL);
    _exit(0);
}

static void executes(void)
{
    execlp("true", "true", (char *)NULL);
    _exit(1);
}

static void touches(void)
{
    signal(SIGSEGV, SIG_DFL);
    of_parent[0] = 2;
    _exit(1);
}

static int status_of(void (*child)(void))
{
    int status;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        child();
    CHECK(waitpid(pid, &status, 0) == pid);
    return status;
}

static void forks_again(void)
{
    _exit(status_of(allocates));
}

int main(int argc, char **argv)
{
    (void)argc;
    setenv("HOLDFAST_FORK", "dontfork", 0);
    test_on_arena(argv, "64M");
    CHECK((of_parent = malloc(100)) != NULL);
    of_parent[0] = 1;
    CHECK(status_of(allocates) == 0);
    CHECK(status_of(asks_too_much) == 0);
    CHECK(status_of(fills) == 0);
    CHECK(status_of(executes) == 0);
    CHECK(status_of(forks_again) == 0);
    int status = status_of(touches);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    CHECK(of_parent[0] == 1);
    CHECK(test_segment()->forks == 6);
    return 0;
}
