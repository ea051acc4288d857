/*
 * stats: hf_stats_get adds up to the arena at every moment of a storm, and says what is there when
 * it is over; a thread that will sleep keeps no room; frees into unowned pages are not
 * remote; old and new sizes of its struct; hf_stats_json.
 */
#include <holdfast/holdfast.h>
#include <pthread.h>
#include <stdatomic.h>

#include "test.h"

#define THREADS 6
#define BLOCKS 400
#define ARENA ((uint64_t)256 << 20)

static _Atomic(bool) finish;

static void *storm(void *argument)
{
    uint64_t random = (uintptr_t)argument + 1;
    void *blocks[BLOCKS] = { NULL };
    while (!finish) {
        void **slot = &blocks[test_random(&random) % BLOCKS];
        free(*slot);
        *slot = malloc(test_random_size(&random, 16, 300000));
    }
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    return NULL;
}

static uint64_t sum(const struct hf_stats *stats)
{
    return stats->allocated + stats->idle + stats->free + stats->metadata;
}

static void check_storm(void)
{
    pthread_t threads[THREADS];
    struct hf_stats stats, node;
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, storm, (void *)i) == 0);
    for (int i = 0; i < 20000; i++) {
        CHECK(hf_stats_get(&stats, sizeof stats) == 0 && hf_stats_get_node(&node, sizeof node, 0) == 0);
        CHECK(stats.arena == ARENA && sum(&stats) == ARENA && sum(&node) == ARENA);
        CHECK(stats.large <= stats.allocated && stats.high_water <= ARENA && stats.longest_free <= ARENA);
    }
    CHECK(stats.threads == THREADS + 1 && stats.pages_fresh > 0 && stats.large_blocks > 0 &&
          stats.allocated > 0);
    finish = true;
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

static void check_rest(void)
{
    struct hf_stats before, after;
    CHECK(hf_stats_get(&before, sizeof before) == 0);
    CHECK(before.threads == 1 && before.allocated < ((uint64_t)4 << 20) && before.large == 0);
    void *block = malloc((size_t)64 << 20);
    CHECK(hf_stats_get(&after, sizeof after) == 0);
    CHECK(after.large == (uint64_t)64 << 20 && after.allocated == before.allocated + after.large &&
          after.free == before.free - after.large);
    CHECK(after.large_blocks == before.large_blocks + 1 && after.failures == before.failures);
    CHECK(malloc((size_t)512 << 20) == NULL && malloc((size_t)255 << 20) == NULL);
    CHECK(hf_stats_get(&after, sizeof after) == 0 && after.failures == before.failures + 2);
    free(block);
    CHECK(hf_stats_get(&after, sizeof after) == 0 && after.longest_free == before.longest_free);
}

/* A thread that fills many pages lets most of them go: what it frees into these goes to no other
 * thread's. */
static void check_unowned(void)
{
    enum { COUNT = 200000 };
    static void *blocks[COUNT];
    struct hf_stats before, after;
    CHECK(hf_stats_get(&before, sizeof before) == 0 && before.threads == 1);
    for (int i = 0; i < COUNT; i++)
        CHECK((blocks[i] = malloc(64)) != NULL);
    CHECK(hf_stats_get(&after, sizeof after) == 0 && after.live == before.live + (uint64_t)COUNT * 64);
    for (int i = 0; i < COUNT; i++)
        free(blocks[i]);
    CHECK(hf_stats_get(&after, sizeof after) == 0 && after.live == before.live &&
          after.remote_frees == before.remote_frees);
}

/* A thread that is about to sleep keeps its blocks, and no room that others could use. */
static void check_idle(void)
{
    enum { COUNT = 12 };
    char *blocks[COUNT];
    struct hf_stats before, after;
    for (int i = 0; i < COUNT; i++) {
        CHECK((blocks[i] = malloc((size_t)24 << i)) != NULL);
        memset(blocks[i], i, (size_t)24 << i);
        free(malloc((size_t)24 << i));
    }
    CHECK(hf_stats_get(&before, sizeof before) == 0 && before.allocated >= (uint64_t)COUNT << 16);
    hf_thread_idle();
    CHECK(hf_stats_get(&after, sizeof after) == 0 && after.allocated == 0 && after.live == before.live);
    CHECK(after.idle > before.idle && after.free >= before.free);
    for (int i = 0; i < COUNT; i++) {
        CHECK(blocks[i][0] == i && blocks[i][(24 << i) - 1] == i);
        free(blocks[i]);
    }
}

static void check_sizes(void)
{
    struct {
        struct hf_stats stats;
        uint64_t later[4];
    } larger;
    memset(&larger, 0xff, sizeof larger);
    CHECK(hf_stats_get(&larger.stats, sizeof larger) == 0 && larger.later[3] == 0 &&
          larger.stats.arena == ARENA);
    memset(&larger, 0xff, sizeof larger);
    CHECK(hf_stats_get(&larger.stats, 5 * sizeof(uint64_t)) == 0 && sum(&larger.stats) == ARENA &&
          larger.stats.large == UINT64_MAX);
    CHECK(hf_stats_get(&larger.stats, 8) == -EINVAL && hf_stats_get(&larger.stats, 77) == -EINVAL);
    CHECK(hf_stats_get_node(&larger.stats, sizeof larger.stats, 1) == -ENOENT);
}

static void check_json(void)
{
    static char whole[4096], part[100];
    int length = hf_stats_json(whole, sizeof whole);
    CHECK(length > 100 && (size_t)length == strlen(whole) && whole[0] == '{' && whole[length - 1] == '}');
    CHECK(strstr(whole, "\"arena\": 268435456, ") != NULL &&
          strstr(whole, "\"per_node\": [{\"id\": 0, ") != NULL);
    CHECK(strstr(whole, "null") == NULL && strstr(whole, ", \"kept\": ") != NULL);
    CHECK(hf_stats_json(part, sizeof part) == length && strlen(part) == sizeof part - 1 &&
          memcmp(part, whole, sizeof part - 1) == 0);
    CHECK(hf_stats_json(NULL, 0) == length);
}

int main(int argc, char **argv)
{
    (void)argc;
    setenv("HOLDFAST_VERBOSE", "0", 1);
    test_on_arena(argv, "256M");
    check_storm();
    check_rest();
    check_unowned();
    check_idle();
    check_sizes();
    check_json();
    return 0;
}
