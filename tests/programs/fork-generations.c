/*
 * fork-generations: each process of a line has a thread that sleeps, allocates, frees all but a part, and
 * forks the next.  None has less memory than the one before: what its parent had freed is free.
 */
#include <holdfast/holdfast.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

#define GENERATIONS 30
#define BLOCKS 20000
#define KEPT_EACH 64 /* one of so many blocks lives on in the next generation */

static void *blocks[BLOCKS];
static pthread_barrier_t sleeps;

static size_t bytes_of(size_t i)
{
    return 16 + i * 37 % 2000;
}

static void *sleeper(void *argument)
{
    pthread_barrier_wait(&sleeps);
    for (;;)
        pause();
    return argument;
}

static void fill_and_free(void)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        if (i % KEPT_EACH == 0 && blocks[i] != NULL) {
            CHECK(test_marked(blocks[i], bytes_of(i)));
            free(blocks[i]);
        }
        blocks[i] = malloc(bytes_of(i));
        CHECK(blocks[i] != NULL);
        test_mark(blocks[i], bytes_of(i));
    }
    for (size_t i = 0; i < BLOCKS; i++)
        if (i % KEPT_EACH != 0) {
            CHECK(test_marked(blocks[i], bytes_of(i)));
            free(blocks[i]);
        }
}

/* What it leaves free when it has used all that it needs. */
static size_t generation(int left, size_t first_free)
{
    pthread_t thread;
    struct hf_stats stats;
    int status;
    fill_and_free();
    CHECK(hf_stats_get(&stats, sizeof stats) == 0);
    if (first_free == 0)
        first_free = stats.free;
    else
        CHECK(stats.free + (1 << 20) >= first_free);
    pthread_barrier_init(&sleeps, NULL, 2);
    CHECK(pthread_create(&thread, NULL, sleeper, NULL) == 0);
    pthread_barrier_wait(&sleeps);
    if (left == 0)
        return stats.free;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        size_t last_free = generation(left - 1, first_free);
        if (left == 1)
            printf("%zu KiB are free after the first, %zu after %d\n", first_free / 1024, last_free / 1024,
                   GENERATIONS);
        fflush(stdout);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    fill_and_free();
    return stats.free;
}

int main(int argc, char **argv)
{
    (void)argc;
    test_on_arena(argv, "64M");
    free(malloc(1));
    generation(GENERATIONS, 0);
    return 0;
}
