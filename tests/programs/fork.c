/*
 * fork: a threaded process forks thousands of times; each child allocates and frees at once.
 *
 * Three threads keep allocating and freeing, so forks catch them anywhere.  The child must be
 * able to allocate, to free what the parent's threads made, and to fill most of
 * the arena: what belonged to threads that are gone is not lost.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "test.h"

#define FORKS 2000
#define SHARED 512

static _Atomic(bool) stop;
static _Atomic(void *) shared[SHARED];

static void *busy(void *argument)
{
    uint64_t random = (uintptr_t)argument;
    while (!stop)
        free(atomic_exchange(&shared[test_random(&random) % SHARED],
                             malloc(test_random_size(&random, 16, 3000))));
    return NULL;
}

static void child(int number)
{
    void *blocks[300];
    uint64_t random = (uint64_t)number + 1;
    for (int i = 0; i < 300; i++) {
        size_t bytes = test_random_size(&random, 16, 9000);
        CHECK((blocks[i] = malloc(bytes)) != NULL);
        memset(blocks[i], number, bytes);
    }
    for (int i = 0; i < SHARED; i++)
        free(atomic_exchange(&shared[i], NULL));
    for (int i = 0; i < 300; i++)
        free(blocks[i]);
    if (number % 100 == 0) {
        void *most = malloc((size_t)48 << 20); /* the arena has 64 MiB */
        CHECK(most != NULL);
    }
}

int main(int argc, char **argv)
{
    (void)argc;
    setenv("HOLDFAST_BACKING", "thp",
           0); /* not the pool, which others use: what a child cannot copy kills it */
    test_on_arena(argv, "64M");
    pthread_t threads[3];
    for (uintptr_t i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, busy, (void *)(i + 1)) == 0);
    for (int i = 0; i < FORKS; i++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            child(i);
            _exit(0);
        }
        int status;
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    stop = true;
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
