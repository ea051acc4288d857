/*
 * The workloads that ask whether blocks of several threads share cache lines.
 */
#include "workload.h"
#include <pthread.h>

/* --- ping-pong: small blocks of several threads, written to again and again --- */

static void *pingpong_thread(void *argument)
{
    (void)argument;
    for (long round = scaled(6000); round > 0; round--) {
        volatile char *blocks[64];
        for (int i = 0; i < 64; i++) {
            blocks[i] = malloc(8);
            blocks[i][0] = 0;
        }
        for (int turn = 0; turn < 600; turn++)
            for (int i = 0; i < 64; i++)
                blocks[i][0]++;
        for (int i = 0; i < 64; i++)
            free((void *)blocks[i]);
    }
    return NULL;
}

void workload_pingpong(void)
{
    in_threads(4, pingpong_thread);
}

/* --- passive false sharing (after Berger 2000) ---
 *
 * One thread makes the threads' first blocks, in a row; each frees its own and makes others, which lie beside
 * those of the rest wherever a free gives a block to the thread that freed it. */

enum { PASSIVE_THREADS = 4, PASSIVE_HELD = 16, PASSIVE_WRITES = 1600 };
static char *passive_handed[PASSIVE_THREADS][PASSIVE_HELD];
static pthread_barrier_t passive_together;

static char *passive_block(void)
{
    char *block = malloc(8);
    if (block == NULL)
        fail("malloc returned NULL");
    return block;
}

static void *passive_thread(void *argument)
{
    char **blocks = passive_handed[(uintptr_t)argument];
    pthread_barrier_wait(&passive_together);
    for (long round = scaled(12000); round > 0; round--) {
        for (int i = 0; i < PASSIVE_HELD; i++)
            *(volatile char *)blocks[i] = (char)i;
        for (int turn = 0; turn < PASSIVE_WRITES; turn++)
            for (int i = 0; i < PASSIVE_HELD; i++)
                ++*(volatile char *)blocks[i];
        for (int i = 0; i < PASSIVE_HELD; i++)
            if (*(volatile char *)blocks[i] != (char)(i + PASSIVE_WRITES))
                fail("a block was overwritten");
        for (int i = 0; i < PASSIVE_HELD; i++)
            free(blocks[i]);
        for (int i = 0; i < PASSIVE_HELD; i++)
            blocks[i] = passive_block();
    }
    return NULL;
}

void workload_passive(void)
{
    for (int i = 0; i < PASSIVE_HELD; i++)
        for (int thread = 0; thread < PASSIVE_THREADS; thread++)
            passive_handed[thread][i] = passive_block();
    pthread_barrier_init(&passive_together, NULL, PASSIVE_THREADS);
    in_threads(PASSIVE_THREADS, passive_thread);
}
