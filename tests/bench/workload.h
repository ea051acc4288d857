/*
 * workload: what the workloads of hf-workload share.
 *
 * They are plain programs of their own: each is one function, and its file holds what only it needs.
 */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static inline double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static inline _Noreturn void fail(const char *what)
{
    fprintf(stderr, "hf-workload: %s\n", what);
    exit(1);
}

#define WORKLOAD_THREADS_MAX 64 /* that a timed workload may be asked for */

extern long workload_scale; /* percent of the steps */

/* That many steps, or with --scale that part of them. */
static inline long scaled(long steps)
{
    return steps * workload_scale / 100 > 0 ? steps * workload_scale / 100 : 1;
}

/* xorshift64 (Marsaglia 2003) */
static inline uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

/* 2^low .. 2^high - 1 bytes, each power of two as likely */
static inline size_t random_size(uint64_t *state, unsigned low, unsigned high)
{
    unsigned bit = low + (unsigned)(next_random(state) % (high - low));
    return ((size_t)1 << bit) + (next_random(state) & (((size_t)1 << bit) - 1));
}

/* Mostly small, 16 B to 8 KiB. */
static inline size_t mixed_size(uint64_t *state)
{
    uint64_t kind = next_random(state) % 100;
    return kind < 80 ? random_size(state, 4, 8)
         : kind < 97 ? random_size(state, 8, 11)
                     : random_size(state, 11, 13);
}

/* A block that knows its size and carries a mark. */
struct item {
    size_t bytes;
    uint64_t mark;
};

static inline struct item *item_new(size_t bytes)
{
    struct item *item = malloc(bytes < sizeof *item ? sizeof *item : bytes);
    if (item == NULL)
        fail("malloc returned NULL");
    item->bytes = bytes;
    item->mark = (uint64_t)(uintptr_t)item ^ bytes;
    return item;
}

static inline void item_free(struct item *item)
{
    if (item != NULL && item->mark != ((uint64_t)(uintptr_t)item ^ item->bytes))
        fail("a block was overwritten");
    if (item != NULL)
        item->mark = 0; /* a second holder of the block finds that */
    free(item);
}

/* A block of 8 bytes or more, of which only its holder knows the size: it carries a mark alone. */
struct marked {
    void *block;
    size_t bytes;
};

static inline void marked_new(struct marked *marked, size_t bytes)
{
    uint64_t *block = malloc(bytes);
    if (block == NULL)
        fail("malloc returned NULL");
    *block = (uint64_t)(uintptr_t)block ^ bytes;
    *marked = (struct marked){ block, bytes };
}

/* The slot may be an empty one. */
static inline void marked_free(struct marked *marked)
{
    uint64_t *block = marked->block;
    if (block != NULL && *block != ((uint64_t)(uintptr_t)block ^ marked->bytes))
        fail("a block was overwritten");
    if (block != NULL)
        *block = 0; /* as in item_free */
    free(block);
    *marked = (struct marked){ NULL, 0 };
}

static inline void in_threads(unsigned count, void *(*function)(void *))
{
    pthread_t threads[1024];
    for (uintptr_t i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, function, (void *)i) != 0)
            fail("pthread_create");
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

void workload_server(void);
void workload_prodcons(void);
void workload_exchange(void);
void workload_churn(void);
void workload_churn_threads(void);
void workload_cache(void);
void workload_bigblock(void);
void workload_strings(void);
void workload_pingpong(void);
void workload_passive(void);
void workload_startup(void);
void workload_requests(void);
void workload_requests_general(void);
void workload_small(int argc, char **argv);
void workload_batches(unsigned threads);
void workload_crossing(unsigned threads);
void workload_successors(unsigned threads);
void workload_replace(unsigned threads);
void workload_pairs(int argc, char **argv);
void workload_latency(int argc, char **argv);
void workload_memory(int argc, char **argv);
void workload_alternate(int argc, char **argv);
void workload_freer(int argc, char **argv);
void workload_crowd(int argc, char **argv);
void workload_fill(int argc, char **argv);
void workload_touch(int argc, char **argv);
void workload_now(int argc, char **argv);

#endif
