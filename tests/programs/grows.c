/*
 * grows: what a growing arena takes of the machine.
 *
 * Many threads that begin at once: pages that are used, and one step ahead of them, not a step for each thread.
 * A request that cannot be served: nothing, while one that the rest can serve is served.
 */
#include <pthread.h>
#include <sys/resource.h>

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

static void begin_at_once(void)
{
    pthread_t threads[THREADS];
    struct hf_stats stats;
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
}

static size_t open_bytes(void)
{
    return test_number_in("/proc/self/status", "VmData:") << 10;
}

static void ask_for_too_much(void)
{
    struct hf_stats stats;
    CHECK(malloc(100) != NULL && hf_stats_get(&stats, sizeof stats) == 0);
    size_t most = stats.arena / 10 * 6;
    CHECK(malloc(most) != NULL);
    size_t before = open_bytes();
    CHECK(malloc(most) == NULL && errno == ENOMEM);
    CHECK(aligned_alloc((size_t)1 << 30, most) == NULL && errno == ENOMEM);
    CHECK(open_bytes() == before);
    CHECK(hf_stats_get(&stats, sizeof stats) == 0);
    printf("free %llu MiB, longest run %llu MiB\n", (unsigned long long)stats.free >> 20, (unsigned long long)stats.longest_free >> 20);
    CHECK(stats.longest_free >= stats.arena / 10 * 3); /* what is not open yet counts */
    CHECK(malloc(stats.arena / 10 * 2) != NULL);
    CHECK(open_bytes() >= before + stats.arena / 10);
}

static void limited(int unused)
{
    (void)unused;
    struct rlimit limit = { (size_t)3 << 30, (size_t)3 << 30 };
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    execl("/proc/self/exe", "grows", "too-much", NULL);
    CHECK(!"exec");
}

int main(int argc, char **argv)
{
    char said[8192];
    test_on_arena(argv, "auto");
    if (argc == 2) {
        ask_for_too_much();
        return 0;
    }
    begin_at_once();
    int status = test_in_child(limited, 0, said, sizeof said);
    printf("too much: status %d\n%s", status, said);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : 1;
}
