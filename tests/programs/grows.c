/*
 * grows: many threads that begin at once in a growing arena, and what it takes of the machine: pages that are used, and one
 * step ahead of them, not a step for each thread.
 */
#include <pthread.h>

#include <holdfast/holdfast.h>

#include "test.h"

#define THREADS 100
#define SIZES 40
#define STEP_BYTES ((size_t)64 << 20)  /* src/arena.c: most that is populated ahead of use */
#define OTHER_BYTES ((size_t)48 << 20) /* stacks, code, the arena's maps, the inspection segment */

static pthread_barrier_t all_began, all_hold;

static void *hold(void *argument)
{
    void *blocks[SIZES];
    pthread_barrier_wait(&all_began);
    for (size_t i = 0; i < SIZES; i++) {
        size_t bytes = (i + 1) * (i + 1) * 16;
        blocks[i] = malloc(bytes);
        CHECK(blocks[i] != NULL);
        memset(blocks[i], 1, bytes);
    }
    pthread_barrier_wait(&all_hold);
    for (size_t i = 0; i < SIZES; i++)
        free(blocks[i]);
    return argument;
}

int main(int argc, char **argv)
{
    (void)argc;
    pthread_t threads[THREADS];
    struct hf_stats stats;
    test_on_arena(argv, "auto");
    pthread_barrier_init(&all_began, NULL, THREADS);
    pthread_barrier_init(&all_hold, NULL, THREADS);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, hold, NULL) == 0);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(hf_stats_get(&stats, sizeof stats) == 0);
    size_t resident = test_number_in("/proc/self/status", "VmHWM:") << 10;
    printf("high water %llu MiB, resident at most %zu MiB\n", (unsigned long long)stats.high_water >> 20, resident >> 20);
    CHECK(resident <= stats.high_water + STEP_BYTES + OTHER_BYTES);
    CHECK(stats.high_water <= (size_t)THREADS * SIZES * 2 * 65536);
    return 0;
}
