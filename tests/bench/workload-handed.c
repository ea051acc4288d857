/*
 * The workloads in which blocks pass from thread to thread.
 */
#include "workload.h"
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>

/* --- server: threads replace random blocks of a table and hand it to their successors (after larson) --- */

#define SERVER_SLOTS 1000
static struct item *server_slots[4][SERVER_SLOTS];
static _Atomic(unsigned) server_generation;

static void *server_thread(void *argument)
{
    uint64_t random = (uintptr_t)argument * 7919 + server_generation + 1;
    struct item **slots = server_slots[((uintptr_t)argument + server_generation) % 4];
    for (int i = 0; i < 60000; i++) {
        struct item **slot = &slots[next_random(&random) % SERVER_SLOTS];
        item_free(*slot);
        *slot = item_new(random_size(&random, 4, 10));
    }
    return NULL;
}

void workload_server(void)
{
    for (server_generation = 0; server_generation < scaled(120); server_generation++)
        in_threads(4, server_thread);
}

/* --- successors: a thread ends and hands its table to one that it starts, whatever the others do --- */

#define SUCCESSORS_SLOTS 5000
#define SUCCESSORS_STEPS 50000 /* of each thread */

struct line {
    struct marked slots[SUCCESSORS_SLOTS];
    uint64_t random;
    long generations; /* that are still to come */
};

static struct line *lines; /* each is its running thread's */
static sem_t lines_ended;

static void successors_start(struct line *line);

static void *successors_thread(void *argument)
{
    struct line *line = argument;
    for (int i = 0; i < SUCCESSORS_STEPS; i++) {
        struct marked *slot = &line->slots[next_random(&line->random) % SUCCESSORS_SLOTS];
        marked_free(slot);
        marked_new(slot, 8 + (next_random(&line->random) >> 8) % 993);
    }
    if (line->generations-- > 0)
        successors_start(line);
    else
        sem_post(&lines_ended);
    return NULL;
}

static void successors_start(struct line *line)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, successors_thread, line) != 0)
        fail("pthread_create");
    pthread_detach(thread);
}

void workload_successors(unsigned threads)
{
    lines = calloc(threads, sizeof *lines);
    sem_init(&lines_ended, 0, 0);
    for (unsigned i = 0; i < threads; i++) {
        lines[i].random = i + 1;
        lines[i].generations = scaled(200) / threads + 1;
        successors_start(&lines[i]);
    }
    for (unsigned i = 0; i < threads; i++)
        while (sem_wait(&lines_ended) != 0)
            ;
    for (unsigned i = 0; i < threads; i++)
        for (int slot = 0; slot < SUCCESSORS_SLOTS; slot++)
            marked_free(&lines[i].slots[slot]);
    free(lines);
}

/* --- producer and consumer: blocks are freed by another thread than made them --- */

#define BATCH 256
static _Atomic(struct item **) channels[2];
static int consumed_of_each; /* const once the threads run */

static void channel_put(unsigned channel, struct item **batch)
{
    struct item **empty = NULL;
    while (!atomic_compare_exchange_weak(&channels[channel], &empty, batch)) {
        empty = NULL;
        sched_yield();
    }
}

static void produce(unsigned channel)
{
    uint64_t random = channel + 1;
    for (int i = 0; i < consumed_of_each; i++) {
        struct item **batch = malloc(BATCH * sizeof *batch);
        for (int j = 0; j < BATCH; j++)
            batch[j] = item_new(random_size(&random, 4, 9));
        channel_put(channel, batch);
    }
}

static void consume(unsigned channel)
{
    for (int i = 0; i < consumed_of_each;) {
        struct item **batch = atomic_exchange(&channels[channel], NULL);
        if (batch == NULL) {
            sched_yield();
            continue;
        }
        for (int j = 0; j < BATCH; j++)
            item_free(batch[j]);
        free(batch);
        i++;
    }
}

static void *one_direction(void *argument)
{
    if (argument == NULL)
        produce(0);
    else
        consume(0);
    return NULL;
}

void workload_prodcons(void)
{
    consumed_of_each = (int)scaled(30000);
    in_threads(2, one_direction);
}

static void *both_directions(void *argument)
{
    uintptr_t self = (uintptr_t)argument;
    uint64_t random = self + 1;
    for (int sent = 0, got = 0; sent < consumed_of_each || got < consumed_of_each;) {
        struct item **empty = NULL, **batch = atomic_exchange(&channels[1 - self], NULL);
        if (batch != NULL) {
            for (int j = 0; j < BATCH; j++)
                item_free(batch[j]);
            free(batch);
            got++;
        }
        if (sent < consumed_of_each && atomic_load(&channels[self]) == NULL) {
            batch = malloc(BATCH * sizeof *batch);
            for (int j = 0; j < BATCH; j++)
                batch[j] = item_new(random_size(&random, 4, 9));
            if (!atomic_compare_exchange_strong(&channels[self], &empty, batch))
                fail("two producers on one channel");
            sent++;
        } else if (batch == NULL) {
            sched_yield();
        }
    }
    return NULL;
}

void workload_exchange(void)
{
    consumed_of_each = (int)scaled(30000);
    in_threads(2, both_directions);
}
