/*
 * fork-direct: a process forks while threads read by direct I/O into live blocks, which pins their
 * memory for a moment, and another thread allocates and frees beside them: no child meets a torn
 * list.
 *
 * Skipped where the file system has no direct I/O of 512 bytes.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "test.h"

#define FORKS 150
#define BLOCK_BYTES 512
#define READERS 3
#define BLOCKS 64

static _Atomic(bool) stop;
static int file;

static char *targets[READERS][BLOCKS]; /* of the thread that churns: they share OS pages with what it frees */
static pthread_barrier_t allocated;

static void *reads(void *of)
{
    char **blocks = targets[(uintptr_t)of];
    pthread_barrier_wait(&allocated);
    while (!stop)
        for (int i = 0; i < BLOCKS; i++)
            CHECK(pread(file, blocks[i], BLOCK_BYTES, 0) == BLOCK_BYTES);
    return NULL;
}

static void *churns(void *unused)
{
    static void *blocks[4 * BLOCKS];
    uint64_t random = 7;
    for (int i = 0; i < 4 * BLOCKS; i++) {
        CHECK((blocks[i] = malloc(BLOCK_BYTES)) != NULL);
        if (i < READERS * BLOCKS)
            CHECK((targets[i / BLOCKS][i % BLOCKS] = malloc(BLOCK_BYTES)) != NULL);
    }
    pthread_barrier_wait(&allocated);
    while (!stop) {
        int i = (int)(test_random(&random) % (4 * BLOCKS));
        free(blocks[i]);
        blocks[i] = NULL;
        i = (int)(test_random(&random) % (4 * BLOCKS));
        if (blocks[i] == NULL)
            CHECK((blocks[i] = malloc(BLOCK_BYTES)) != NULL);
        if (blocks[i] != NULL)
            memset(blocks[i], 0x5a, BLOCK_BYTES);
    }
    return unused;
}

static void child(void)
{
    for (int i = 0; i < 4000; i++) {
        void *block = malloc(BLOCK_BYTES);
        CHECK(block != NULL);
        memset(block, 1, BLOCK_BYTES);
    }
    _exit(0);
}

int main(int argc, char **argv)
{
    char name[] = "fork-direct.XXXXXX", text[BLOCK_BYTES];
    pthread_t threads[READERS + 1];
    (void)argc;
    setenv("HOLDFAST_BACKING", "4k", 0);
    setenv("HOLDFAST_LOCK", "no", 0);
    test_on_arena(argv, "32M");
    int made = mkstemp(name);
    memset(text, 0x5a, sizeof text);
    CHECK(made >= 0 && write(made, text, sizeof text) == BLOCK_BYTES);
    file = open(name, O_RDONLY | O_DIRECT);
    unlink(name);
    void *block = aligned_alloc(BLOCK_BYTES, BLOCK_BYTES);
    if (file < 0 || pread(file, block, BLOCK_BYTES, 0) != BLOCK_BYTES)
        return 77;
    CHECK(pthread_barrier_init(&allocated, NULL, READERS + 1) == 0);
    for (uintptr_t i = 0; i <= READERS; i++)
        CHECK(pthread_create(&threads[i], NULL, i == READERS ? churns : reads, (void *)i) == 0);
    for (int i = 0; i < FORKS; i++) {
        int status;
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0)
            child();
        CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    stop = true;
    for (int i = 0; i <= READERS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    return 0;
}
