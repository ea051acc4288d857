/*
 * The workloads in which blocks pass from thread to thread by the batch, with any number of threads.
 *
 * batches: as many threads only allocate as only free.  crossing: each thread allocates and frees,
 * and hands on half of what it takes out for another to free.
 */
#include "workload.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

/* --- batches --- */

#define BATCH_BLOCKS 4096
#define BATCH_BYTES 64       /* of each block */
#define QUEUE_ROOM_OF_PAIR 8 /* batches that wait, for each producer */

struct batch {
    long number;
    long *blocks[BATCH_BLOCKS]; /* each holds its own number among all blocks of the run */
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t filled, emptied;
    struct batch *waiting[WORKLOAD_THREADS_MAX * QUEUE_ROOM_OF_PAIR]; /* lock: a ring */
    long put, got;                                                    /* lock */
    long sum_of_numbers;                                              /* lock: of those that were got */
    long total, room;                                                 /* const once the threads run */
    unsigned producers;                                               /* const once the threads run */
    _Atomic(long) begun;
} queue = { .lock = PTHREAD_MUTEX_INITIALIZER,
            .filled = PTHREAD_COND_INITIALIZER,
            .emptied = PTHREAD_COND_INITIALIZER };

static void queue_put(struct batch *batch)
{
    pthread_mutex_lock(&queue.lock);
    while (queue.put - queue.got == queue.room)
        pthread_cond_wait(&queue.emptied, &queue.lock);
    queue.waiting[queue.put++ % queue.room] = batch;
    pthread_cond_signal(&queue.filled);
    pthread_mutex_unlock(&queue.lock);
}

/* NULL when all were got. */
static struct batch *queue_get(void)
{
    struct batch *batch = NULL;
    pthread_mutex_lock(&queue.lock);
    while (queue.got == queue.put && queue.got < queue.total)
        pthread_cond_wait(&queue.filled, &queue.lock);
    if (queue.got < queue.total) {
        batch = queue.waiting[queue.got++ % queue.room];
        queue.sum_of_numbers += batch->number;
        pthread_cond_signal(&queue.emptied);
        if (queue.got == queue.total)
            pthread_cond_broadcast(&queue.filled);
    }
    pthread_mutex_unlock(&queue.lock);
    return batch;
}

static void batches_produce(void)
{
    for (long number; (number = atomic_fetch_add(&queue.begun, 1)) < queue.total;) {
        struct batch *batch = malloc(sizeof *batch);
        if (batch == NULL)
            fail("malloc returned NULL");
        batch->number = number;
        for (int i = 0; i < BATCH_BLOCKS; i++) {
            if ((batch->blocks[i] = malloc(BATCH_BYTES)) == NULL)
                fail("malloc returned NULL");
            *batch->blocks[i] = number * BATCH_BLOCKS + i;
        }
        queue_put(batch);
    }
}

static void batches_consume(void)
{
    for (struct batch *batch; (batch = queue_get()) != NULL;) {
        for (int i = 0; i < BATCH_BLOCKS; i++) {
            if (*batch->blocks[i] != batch->number * BATCH_BLOCKS + i)
                fail("a block was overwritten");
            free(batch->blocks[i]);
        }
        free(batch);
    }
}

static void *batches_thread(void *argument)
{
    if ((uintptr_t)argument < queue.producers)
        batches_produce();
    else
        batches_consume();
    return NULL;
}

void workload_batches(unsigned threads)
{
    queue.producers = threads;
    queue.room = (long)threads * QUEUE_ROOM_OF_PAIR;
    queue.total = scaled(6000);
    in_threads(2 * threads, batches_thread);
    if (queue.sum_of_numbers != queue.total * (queue.total - 1) / 2)
        fail("a batch was lost, or came twice");
}

/* --- crossing --- */

#define CROSSING_SLOTS 1000
#define PARCEL_BLOCKS 100
#define PARCELS_MAX 8 /* that wait for a thread to free them */

struct parcel {
    struct parcel *next;
    struct marked blocks[PARCEL_BLOCKS];
};

static struct {
    unsigned threads; /* const once they run */
    long turns;       /* of each thread; const once they run */
    _Atomic(unsigned) finished;
    struct crossing_box {
        _Alignas(128) _Atomic(struct parcel *) parcels;
        _Atomic(int) count;
    } boxes[WORKLOAD_THREADS_MAX];
    _Atomic(long) sent, received; /* blocks */
} crossing;

static size_t crossing_size(uint64_t *random)
{
    size_t a = (next_random(random) >> 8) % 15993, b = (next_random(random) >> 8) % 15993;
    return 8 + (a < b ? a : b);
}

static void crossing_receive(unsigned self)
{
    struct crossing_box *box = &crossing.boxes[self];
    int count = 0;
    if (atomic_load_explicit(&box->parcels, memory_order_relaxed) == NULL)
        return;
    for (struct parcel *parcel = atomic_exchange(&box->parcels, NULL), *next; parcel != NULL; parcel = next) {
        next = parcel->next;
        for (int i = 0; i < PARCEL_BLOCKS; i++)
            marked_free(&parcel->blocks[i]);
        free(parcel);
        count++;
    }
    atomic_fetch_sub(&box->count, count);
    atomic_fetch_add(&crossing.received, (long)count * PARCEL_BLOCKS);
}

/* Two threads that wait for each other go on, as each frees what it was sent. */
static void crossing_send(unsigned self, struct parcel *parcel)
{
    struct crossing_box *box = &crossing.boxes[(self + 1) % crossing.threads];
    while (atomic_load(&box->count) >= PARCELS_MAX) {
        crossing_receive(self);
        sched_yield();
    }
    atomic_fetch_add(&box->count, 1);
    parcel->next = atomic_load(&box->parcels);
    while (!atomic_compare_exchange_weak(&box->parcels, &parcel->next, parcel))
        ;
    atomic_fetch_add(&crossing.sent, PARCEL_BLOCKS);
}

/* Replaces some blocks; what it takes out goes into the parcel, or is freed without one. */
static void crossing_turn(struct marked *slots, uint64_t *random, struct parcel *parcel)
{
    for (int i = 0; i < PARCEL_BLOCKS; i++) {
        struct marked *slot = &slots[next_random(random) % CROSSING_SLOTS];
        if (parcel != NULL)
            parcel->blocks[i] = *slot;
        else
            marked_free(slot);
        marked_new(slot, crossing_size(random));
    }
}

static void *crossing_thread(void *argument)
{
    unsigned self = (unsigned)(uintptr_t)argument;
    uint64_t random = self + 1;
    struct marked *slots = calloc(CROSSING_SLOTS, sizeof *slots);
    for (int i = 0; i < CROSSING_SLOTS; i++)
        marked_new(&slots[i], crossing_size(&random));
    for (long turn = 0; turn < crossing.turns; turn++) {
        struct parcel *parcel = turn % 2 == 0 ? malloc(sizeof *parcel) : NULL;
        crossing_receive(self);
        crossing_turn(slots, &random, parcel);
        if (parcel != NULL)
            crossing_send(self, parcel);
    }
    for (int i = 0; i < CROSSING_SLOTS; i++)
        marked_free(&slots[i]);
    free(slots);
    atomic_fetch_add(&crossing.finished, 1);
    while (atomic_load(&crossing.finished) < crossing.threads) {
        crossing_receive(self);
        sched_yield();
    }
    crossing_receive(self);
    return NULL;
}

void workload_crossing(unsigned threads)
{
    crossing.threads = threads;
    crossing.turns = scaled(40000) / threads + 2;
    in_threads(threads, crossing_thread);
    if (crossing.received != crossing.sent || crossing.sent == 0)
        fail("a parcel was lost, or came twice");
}
