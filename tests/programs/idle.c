/*
 * idle (G3 on one node): 64 threads fill their share, free it and sleep; then one thread gets at
 * least 95 % of the arena before ENOMEM.
 */
#include <pthread.h>

#include "test.h"

#define ARENA ((size_t)512 << 20)
#define THREADS 64
#define SHARE (ARENA / THREADS / 10 * 8)

static pthread_barrier_t filled, finished;

static void *fill_and_sleep(void *argument)
{
    uint64_t random = (uintptr_t)argument;
    void **list = NULL;
    for (size_t got = 0; got < SHARE;) {
        size_t bytes = test_random_size(&random, 16, 64000);
        void **block = malloc(bytes);
        CHECK(block != NULL);
        *block = list;
        list = block;
        got += bytes + bytes / 8;
    }
    while (list != NULL) {
        void **next = *list;
        free(list);
        list = next;
    }
    pthread_barrier_wait(&filled);
    pthread_barrier_wait(&finished); /* asleep, with whatever it still holds */
    return NULL;
}

int main(int argc, char **argv)
{
    (void)argc;
    test_on_arena(argv, "512M");
    pthread_t threads[THREADS];
    pthread_barrier_init(&filled, NULL, THREADS + 1);
    pthread_barrier_init(&finished, NULL, THREADS + 1);
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, fill_and_sleep, (void *)(i + 1)) == 0);
    pthread_barrier_wait(&filled);
    size_t got = 0;
    const size_t bytes = 4096;
    void **list = NULL;
    for (void **block; (block = malloc(bytes)) != NULL; got += bytes) {
        *block = list;
        list = block;
    }
    printf("one thread got %.1f %% of the arena\n", 100.0 * (double)got / (double)ARENA);
    CHECK(got >= test_less_guards(ARENA / 100 * 95));
    pthread_barrier_wait(&finished);
    return 0;
}
