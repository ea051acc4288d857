/*
 * fork-full: a threaded process forks after its arena was full, where the child cannot learn
 * whether memory is pinned (no descriptor for /proc): it frees every block, and fills the arena
 * again.
 *
 * Runs of several pages then lie across the place where single pages and runs once met.
 */
#include <pthread.h>
#include <sys/resource.h>

#include "test.h"

#define BLOCKS_MAX 300
#define SINGLE_BYTES 65536
#define HALF_BYTES ((size_t)7 << 20)

struct blocks {
    void *at[BLOCKS_MAX];
    unsigned count;
};

static void fill(struct blocks *blocks, size_t bytes)
{
    for (blocks->count = 0; blocks->count < BLOCKS_MAX; blocks->count++)
        if ((blocks->at[blocks->count] = malloc(bytes)) == NULL)
            return;
}

static void empty(struct blocks *blocks)
{
    while (blocks->count != 0)
        free(blocks->at[--blocks->count]);
}

static void *sleeps(void *argument)
{
    char byte;
    void *own = malloc(100);
    CHECK(read(*(int *)argument, &byte, 1) == 0);
    free(own);
    return NULL;
}

static void child_of(struct blocks *blocks, size_t bytes)
{
    unsigned before = blocks->count;
    empty(blocks);
    fill(blocks, bytes);
    CHECK(blocks->count >= before / 4 * 3);
    _exit(0);
}

int main(int argc, char **argv)
{
    static const size_t sizes[] = { 5000, 20000, 70000, 100000, 140000, 250000 };
    struct rlimit descriptors = { 0, 0 };
    struct blocks blocks;
    int ends[2], status;
    pthread_t thread;
    (void)argc;
    setenv("HOLDFAST_BACKING", "thp", 0);
    setenv("HOLDFAST_INSPECT", "0", 0);
    test_on_arena(argv, "16M");
    CHECK(pipe(ends) == 0 && pthread_create(&thread, NULL, sleeps, &ends[0]) == 0);
    void *high = malloc(HALF_BYTES); /* runs come from above, single pages from below */
    CHECK(high != NULL);
    fill(&blocks, SINGLE_BYTES);
    empty(&blocks);
    free(high);
    CHECK(getrlimit(RLIMIT_NOFILE, &descriptors) == 0);
    descriptors.rlim_cur = 0;
    CHECK(setrlimit(RLIMIT_NOFILE, &descriptors) == 0);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        fill(&blocks, sizes[i]);
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0)
            child_of(&blocks, sizes[i]);
        CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
        empty(&blocks);
    }
    close(ends[1]);
    CHECK(pthread_join(thread, NULL) == 0);
    return 0;
}
