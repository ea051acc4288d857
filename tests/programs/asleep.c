/*
 * asleep (G3, what threads that are alive keep): 64 threads keep half of what they allocated,
 * every other block, and sleep in poll; four more never sleep and free and allocate all the while.
 * One thread then gets at least 95 % of what is left, from under the sleepers and not from under
 * the others. Then the sleepers wake, find their data, and free it.
 */
#include <poll.h>
#include <pthread.h>

#include "test.h"

#define ARENA ((size_t)512 << 20)
#define SLEEPERS 64
#define BUSY 4
#define BUSY_BLOCKS 2000
#define BLOCKS 3000

static const size_t sizes[] = { 256, 512, 1024 };
#define SIZES (sizeof sizes / sizeof sizes[0])

static pthread_barrier_t asleep;
static int wake[2];
static _Atomic(bool) finish;

static void *sleeper(void *argument)
{
    static const int half = BLOCKS / 2;
    void **kept[SIZES];
    for (size_t s = 0; s < SIZES; s++) {
        kept[s] = NULL;
        void **blocks[BLOCKS];
        for (int i = 0; i < BLOCKS; i++) {
            CHECK((blocks[i] = malloc(sizes[s])) != NULL);
            memset(blocks[i], (int)(s + 1), sizes[s]);
        }
        for (int i = 0; i < BLOCKS; i += 2)
            free(blocks[i]);
        for (int i = 1; i < BLOCKS; i += 2) {
            *blocks[i] = kept[s];
            kept[s] = blocks[i];
        }
    }
    pthread_barrier_wait(&asleep);
    struct pollfd until_woken = { .fd = wake[0], .events = POLLHUP };
    CHECK(poll(&until_woken, 1, -1) == 1);
    for (size_t s = 0; s < SIZES; s++) {
        int count = 0;
        while (kept[s] != NULL) {
            void **block = kept[s];
            kept[s] = *block;
            for (size_t at = sizeof(void *); at < sizes[s]; at++)
                CHECK(((unsigned char *)block)[at] == s + 1);
            free(block);
            count++;
        }
        CHECK(count == half);
    }
    return argument;
}

static void *busy(void *argument)
{
    static void *blocks[BUSY][BUSY_BLOCKS];
    void **mine = blocks[(uintptr_t)argument];
    uint64_t random = (uintptr_t)argument + 1;
    while (!finish) {
        size_t slot = test_random(&random) % BUSY_BLOCKS, bytes = sizes[slot % SIZES];
        if (mine[slot] != NULL) {
            CHECK(test_marked(mine[slot], bytes));
            free(mine[slot]);
        }
        mine[slot] = malloc(bytes);
        if (mine[slot] != NULL)
            test_mark(mine[slot], bytes);
    }
    for (size_t slot = 0; slot < BUSY_BLOCKS; slot++)
        free(mine[slot]);
    return NULL;
}

int main(int argc, char **argv)
{
    (void)argc;
    test_on_arena(argv, "512M");
    pthread_t sleepers[SLEEPERS], busies[BUSY];
    free(malloc(1)); /* the arena stands before there are threads */
    CHECK(pipe(wake) == 0);
    pthread_barrier_init(&asleep, NULL, SLEEPERS + 1);
    for (uintptr_t i = 0; i < SLEEPERS; i++)
        CHECK(pthread_create(&sleepers[i], NULL, sleeper, (void *)i) == 0);
    pthread_barrier_wait(&asleep);
    for (uintptr_t i = 0; i < BUSY; i++)
        CHECK(pthread_create(&busies[i], NULL, busy, (void *)i) == 0);
    size_t live = 0, got = 0;
    for (size_t s = 0; s < SIZES; s++)
        live += sizes[s] * BLOCKS / 2 * SLEEPERS;
    void **list = NULL;
    for (size_t s = SIZES; s-- > 0;) /* large ones first: small ones fill what they leave */
        for (void **block; (block = malloc(sizes[s])) != NULL; got += sizes[s]) {
            *block = list;
            list = block;
        }
    double part = 100.0 * (double)got / (double)(ARENA - live);
    printf("one thread got %.1f %% of what the sleepers do not use\n", part);
    CHECK(part >= 95);
    finish = true;
    for (int i = 0; i < BUSY; i++)
        pthread_join(busies[i], NULL);
    close(wake[1]);
    for (int i = 0; i < SLEEPERS; i++)
        pthread_join(sleepers[i], NULL);
    return 0;
}
