/*
 * The workloads that show what memory an allocator holds beside what is live.
 *
 * The live bytes are what was asked for.  What is held is the process's resident memory, and with
 * Holdfast also the arena in use, which is 0 with others.
 *
 * alternate: many threads, of which few work at a time.  freer: one thread frees what all others
 * allocate.  crowd: many threads with little each.
 */
#include "workload.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <holdfast/holdfast.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define HELD_THREADS_MAX 1000

struct held {
    long rss_bytes, rss_peak_bytes;
    long arena_bytes, arena_peak_bytes;
};

static long status_bytes(const char *text, const char *word)
{
    const char *at = strstr(text, word);
    return at == NULL ? 0 : strtol(at + strlen(word), NULL, 10) << 10;
}

/* Allocates nothing.  The kernel does not count huge pages of the pool as resident. */
static struct held held_now(void)
{
    static int (*stats_get)(struct hf_stats *, size_t);
    struct hf_stats stats = { 0 };
    char text[4096];
    int fd = open("/proc/self/status", O_RDONLY);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (length <= 0)
        fail("cannot read /proc/self/status");
    close(fd);
    text[length] = 0;
    if (stats_get == NULL)
        *(void **)&stats_get = dlsym(RTLD_DEFAULT, "hf_stats_get");
    if (stats_get != NULL && stats_get(&stats, sizeof stats) != 0)
        fail("hf_stats_get failed");
    long pool_bytes = status_bytes(text, "HugetlbPages:");
    return (struct held){ status_bytes(text, "VmRSS:") + pool_bytes,
                          status_bytes(text, "VmHWM:") + pool_bytes, (long)(stats.arena - stats.free),
                          (long)stats.high_water };
}

static _Atomic(long) live_bytes, live_peak_bytes;

static void live_add(long bytes)
{
    long live = atomic_fetch_add(&live_bytes, bytes) + bytes, peak = live_peak_bytes;
    while (live > peak && !atomic_compare_exchange_weak(&live_peak_bytes, &peak, live))
        ;
}

static long number_at(int argc, char **argv, int index, long otherwise, long least, long most)
{
    long number = argc > index ? strtol(argv[index], NULL, 10) : otherwise;
    if (number < least || number > most) {
        fprintf(stderr, "hf-workload: parameter %d must be from %ld to %ld\n", index + 1, least, most);
        exit(1);
    }
    return number;
}

/* --- alternate: a thread works and wakes the next of a ring, then sleeps until its turn comes --- */

#define ALTERNATE_AWAKE 4
#define ALTERNATE_STEPS 1000 /* of a turn, beside those on the way to its goal */

static struct {
    unsigned threads;    /* const once they run */
    size_t target_bytes; /* const once they run: live bytes of a thread swing around this */
    long turns;          /* const once they run */
    sem_t turn_of[HELD_THREADS_MAX];
    pthread_barrier_t all_worked;
    _Atomic(long) steps;
} alternate;

struct holding {
    struct item **items;
    size_t count, room, bytes;
    uint64_t random;
};

static void holding_add(struct holding *holding)
{
    struct item *item = item_new(mixed_size(&holding->random));
    holding->bytes += item->bytes;
    holding->items[holding->count++] = item;
}

static void holding_free_one(struct holding *holding)
{
    struct item **slot = &holding->items[next_random(&holding->random) % holding->count];
    holding->bytes -= (*slot)->bytes;
    item_free(*slot);
    *slot = holding->items[--holding->count];
}

static void alternate_turn(struct holding *holding)
{
    size_t goal = (next_random(&holding->random) >> 8) % (2 * alternate.target_bytes),
           before = holding->bytes;
    long steps = ALTERNATE_STEPS;
    for (; holding->bytes < goal && holding->count < holding->room; steps++)
        holding_add(holding);
    live_add((long)holding->bytes - (long)before);
    before = holding->bytes;
    for (; holding->bytes > goal && holding->count > 0; steps++)
        holding_free_one(holding);
    for (int i = 0; i < ALTERNATE_STEPS && holding->count > 0; i++) {
        holding_free_one(holding);
        holding_add(holding);
    }
    live_add((long)holding->bytes - (long)before);
    atomic_fetch_add(&alternate.steps, steps);
}

static void *alternate_thread(void *argument)
{
    unsigned self = (unsigned)(uintptr_t)argument;
    struct holding holding = { .random = self * 77 + 5, .room = alternate.target_bytes / 64 + 16 };
    holding.items = malloc(holding.room * sizeof *holding.items);
    if (holding.items == NULL)
        fail("malloc returned NULL");
    live_add((long)(holding.room * sizeof *holding.items));
    for (long turn = 0; turn < alternate.turns; turn++) {
        while (sem_wait(&alternate.turn_of[self]) != 0)
            ;
        alternate_turn(&holding);
        sem_post(&alternate.turn_of[(self + 1) % alternate.threads]);
    }
    pthread_barrier_wait(&alternate.all_worked); /* or the last to work would have what others leave */
    while (holding.count > 0)
        holding_free_one(&holding);
    free(holding.items);
    return NULL;
}

void workload_alternate(int argc, char **argv)
{
    alternate.threads = (unsigned)number_at(argc, argv, 0, 400, 1, HELD_THREADS_MAX);
    alternate.target_bytes = (size_t)number_at(argc, argv, 1, 3072, 1, 1 << 20) << 10;
    alternate.turns = scaled(number_at(argc, argv, 2, 10, 1, 1 << 20));
    pthread_barrier_init(&alternate.all_worked, NULL, alternate.threads);
    for (unsigned i = 0; i < alternate.threads; i++)
        sem_init(&alternate.turn_of[i], 0, 0);
    for (unsigned i = 0; i < ALTERNATE_AWAKE; i++)
        sem_post(&alternate.turn_of[i * alternate.threads / ALTERNATE_AWAKE]);
    double from = now_seconds();
    in_threads(alternate.threads, alternate_thread);
    double seconds = now_seconds() - from;
    struct held held = held_now();
    printf("live_bytes %ld rss_bytes %ld arena_bytes %ld steps_per_second %.0f\n", (long)live_peak_bytes,
           held.rss_peak_bytes, held.arena_peak_bytes, (double)alternate.steps / seconds);
}

/* --- freer: what all others allocate is freed by one, the oldest first --- */

#define CHAIN_BLOCKS 64
#define FREER_OWN_BLOCKS 1000

struct link {
    struct item item;
    struct link *next;       /* in the chain */
    struct link *next_chain; /* of a chain's first block */
};

static struct {
    unsigned threads; /* const once they run: that allocate */
    long most_bytes;  /* const once they run: that are live */
    bool allocates;   /* const once they run: the freer does, too */
    pthread_barrier_t all_started;
    _Atomic(struct link *) sent;
    _Atomic(long) freed_bytes, freed_blocks;
    _Atomic(unsigned) at_work;
    _Atomic(bool) done;
} freer;

static void *freer_producer(void *argument)
{
    uint64_t random = (uintptr_t)argument + 1;
    while (!freer.done) {
        struct link *first = NULL;
        long bytes = 0;
        for (int i = 0; i < CHAIN_BLOCKS; i++) {
            size_t wanted = mixed_size(&random);
            struct link *link = (struct link *)item_new(wanted < sizeof *link ? sizeof *link : wanted);
            bytes += (long)link->item.bytes;
            link->next = first;
            first = link;
        }
        live_add(bytes);
        first->next_chain = freer.sent;
        while (!atomic_compare_exchange_weak(&freer.sent, &first->next_chain, first))
            ;
        while (live_bytes > freer.most_bytes && !freer.done)
            usleep(100);
    }
    freer.at_work--;
    return NULL;
}

static void chain_free(struct link *link)
{
    long bytes = 0, blocks = 0;
    for (struct link *next; link != NULL; link = next, blocks++) {
        next = link->next;
        bytes += (long)link->item.bytes;
        item_free(&link->item);
    }
    live_add(-bytes);
    freer.freed_bytes += bytes;
    freer.freed_blocks += blocks;
}

/* The chains that were sent, the oldest first, to `*end`; what the new end is. */
static struct link **chains_receive(struct link **end)
{
    struct link *oldest = NULL, *last = atomic_exchange(&freer.sent, NULL);
    struct link **new_end = last == NULL ? end : &last->next_chain;
    for (struct link *chain = last, *next; chain != NULL; chain = next) {
        next = chain->next_chain;
        chain->next_chain = oldest;
        oldest = chain;
    }
    *end = oldest;
    return new_end;
}

/* Keeps three quarters of what may be live, so that there is always something to compare with. */
static void *freer_thread(void *argument)
{
    static struct item *own[FREER_OWN_BLOCKS];
    struct link *oldest = NULL, **end = &oldest;
    uint64_t random = 1;
    (void)argument;
    for (;;) {
        bool last_time = freer.at_work == 0;
        end = chains_receive(end);
        if (oldest == NULL && last_time)
            break;
        if (oldest == NULL || (live_bytes < freer.most_bytes / 4 * 3 && !freer.done)) {
            sched_yield();
            continue;
        }
        struct link *chain = oldest;
        oldest = chain->next_chain;
        end = oldest == NULL ? &oldest : end;
        chain_free(chain);
        if (freer.allocates) {
            struct item **slot = &own[next_random(&random) % FREER_OWN_BLOCKS];
            item_free(*slot);
            *slot = item_new(mixed_size(&random));
        }
    }
    for (int i = 0; i < FREER_OWN_BLOCKS; i++)
        item_free(own[i]);
    return NULL;
}

static void *freer_start(void *argument)
{
    pthread_barrier_wait(&freer.all_started);
    return argument == NULL ? freer_thread(argument) : freer_producer(argument);
}

static void raise_to(long *most, long value)
{
    if (value > *most)
        *most = value;
}

/* Compares what was held at most in the first tenth of the rounds, and in the last.  In a round twice as
 * many bytes are freed as may be live. */
static void freer_watch(long rounds)
{
    struct held first = { 0 }, last = { 0 };
    long still = 0, most_bytes = 0, tenth = rounds / 10 > 0 ? rounds / 10 : 1;
    double live_sum = 0, from = now_seconds();
    pthread_barrier_wait(&freer.all_started);
    for (long round = 0; round < rounds; round++) {
        while (freer.freed_bytes < (round + 1) * 2 * freer.most_bytes)
            usleep(500);
        live_sum += (double)live_bytes;
        struct held now = held_now();
        if (round < tenth) {
            raise_to(&first.rss_bytes, now.rss_bytes);
            raise_to(&first.arena_bytes, now.arena_bytes);
        }
        if (round >= rounds - tenth) {
            raise_to(&last.rss_bytes, now.rss_bytes);
            raise_to(&last.arena_bytes, now.arena_bytes);
        }
        long held_bytes = now.arena_bytes != 0 ? now.arena_bytes : now.rss_bytes;
        still = held_bytes > most_bytes + most_bytes / 100 ? 0 : still + 1;
        most_bytes = still == 0 ? held_bytes : most_bytes;
    }
    printf("live_bytes %.0f rss_bytes %ld arena_bytes %ld steps_per_second %.0f\n", live_sum / (double)rounds,
           last.rss_bytes, last.arena_bytes, 2 * (double)freer.freed_blocks / (now_seconds() - from));
    printf("rss_growth %.3f", (double)last.rss_bytes / (double)first.rss_bytes);
    if (first.arena_bytes != 0)
        printf(" arena_growth %.3f", (double)last.arena_bytes / (double)first.arena_bytes);
    printf(" rounds %ld rounds_without_growth %ld\n", rounds, still);
}

void workload_freer(int argc, char **argv)
{
    static pthread_t threads[HELD_THREADS_MAX + 1];
    freer.threads = (unsigned)number_at(argc, argv, 0, 16, 1, HELD_THREADS_MAX);
    freer.most_bytes = number_at(argc, argv, 1, 16, 1, 1 << 20) << 20;
    long rounds = scaled(number_at(argc, argv, 2, 100, 1, 1 << 30));
    freer.allocates = argc > 3;
    freer.at_work = freer.threads;
    pthread_barrier_init(&freer.all_started, NULL, freer.threads + 2);
    for (uintptr_t i = 0; i <= freer.threads; i++)
        if (pthread_create(&threads[i], NULL, freer_start, (void *)i) != 0)
            fail("pthread_create");
    freer_watch(rounds);
    freer.done = true;
    for (unsigned i = 0; i <= freer.threads; i++)
        pthread_join(threads[i], NULL);
    if (live_bytes != 0)
        fail("a chain was lost");
}

/* --- crowd: many threads with little each --- */

static struct {
    size_t bytes; /* const once the threads run: of each */
    pthread_barrier_t all_hold, looked;
} crowd;

static void *crowd_thread(void *argument)
{
    size_t bytes = 0, count = 0;
    uint64_t random = (uintptr_t)argument + 1;
    struct link *first = NULL;
    for (; bytes < crowd.bytes; count++) {
        size_t wanted = mixed_size(&random);
        struct link *link = (struct link *)item_new(wanted < sizeof *link ? sizeof *link : wanted);
        memset(link + 1, (int)count, link->item.bytes - sizeof *link);
        bytes += link->item.bytes;
        link->next = first;
        first = link;
    }
    live_add((long)bytes);
    pthread_barrier_wait(&crowd.all_hold);
    pthread_barrier_wait(&crowd.looked);
    for (struct link *next; first != NULL; first = next) {
        char *end = (char *)first + first->item.bytes;
        count--;
        if (end > (char *)(first + 1) && end[-1] != (char)count)
            fail("a block was overwritten");
        next = first->next;
        item_free(&first->item);
    }
    return NULL;
}

void workload_crowd(int argc, char **argv)
{
    static pthread_t threads[HELD_THREADS_MAX];
    unsigned count = (unsigned)number_at(argc, argv, 0, 100, 1, HELD_THREADS_MAX);
    crowd.bytes = (size_t)number_at(argc, argv, 1, 307, 1, 1 << 20) << 10;
    pthread_barrier_init(&crowd.all_hold, NULL, count + 1);
    pthread_barrier_init(&crowd.looked, NULL, count + 1);
    for (uintptr_t i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, crowd_thread, (void *)i) != 0)
            fail("pthread_create");
    pthread_barrier_wait(&crowd.all_hold);
    struct held held = held_now();
    printf("live_bytes %ld rss_bytes %ld arena_bytes %ld\n", (long)live_bytes, held.rss_bytes,
           held.arena_bytes);
    pthread_barrier_wait(&crowd.looked);
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}
