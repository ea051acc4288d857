/*
 * crowd: a hundred threads allocate one block of each size and sleep.  They do not keep a page of each
 * size each, which would be most of the arena, though it was nowhere near full.
 */
#include <holdfast/holdfast.h>
#include <pthread.h>

#include "test.h"

#define THREADS 100
#define SIZE_MAX_BYTES 8192

static pthread_barrier_t all_hold, looked;

static void *sleeper(void *argument)
{
    void *first = NULL;
    for (size_t bytes = 16; bytes <= SIZE_MAX_BYTES; bytes += bytes < 1024 ? 16 : bytes / 8) {
        void **block = malloc(bytes);
        CHECK(block != NULL);
        *block = first;
        first = block;
    }
    pthread_barrier_wait(&all_hold);
    pthread_barrier_wait(&looked);
    for (void *next; first != NULL; first = next) {
        next = *(void **)first;
        free(first);
    }
    return argument;
}

int main(int argc, char **argv)
{
    (void)argc;
    test_on_arena(argv, "256M");
    pthread_t threads[THREADS];
    struct hf_stats stats;
    pthread_barrier_init(&all_hold, NULL, THREADS + 1);
    pthread_barrier_init(&looked, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, sleeper, NULL) == 0);
    pthread_barrier_wait(&all_hold);
    CHECK(hf_stats_get(&stats, sizeof stats) == 0);
    pthread_barrier_wait(&looked);
    printf("%zu KiB of %zu are in use\n", (size_t)(stats.arena - stats.free) / 1024,
           (size_t)stats.arena / 1024);
    CHECK(stats.free >= stats.arena / 2);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
