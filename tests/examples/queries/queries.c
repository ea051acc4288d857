/*
 * queries: a query engine in miniature, each query on a heap of its own.
 *
 *   cc -O2 queries.c $(pkg-config --cflags --libs holdfast) -pthread
 *   HOLDFAST_ARENA=256M HOLDFAST_RESERVE=1M ./a.out [QUERIES [WORKERS [AT_ONCE [RUNAWAYS]]]]
 *
 * Each worker has AT_ONCE queries under way and takes a step of each in turn.  A query groups rows
 * of a made-up table by the first letters of a word, with the list of texts of each group.  It sorts
 * the groups and prints the first five.
 *
 * - A query has a limit.  One in a hundred runs into it and fails, alone.  One in fifty is cancelled
 *   in the middle.  None of them cleans up: hf_heap_destroy does.
 * - The cache has chunks of the table in the memory that nothing else needs, and gives way.
 * - A runaway has no limit.  When it has filled the arena, the administrator kills the query that
 *   holds most.  What the administrator allocates for that comes from the reserve.
 *
 * Exit status 1, with a line that says what was wrong: a query lacked memory that the cache had, the
 * administrator lacked memory, or not every page of the queries came back.
 *
 * With -DPLAIN and without Holdfast: the same on malloc and free, without runaways (plain.h).
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#ifdef PLAIN
#include "plain.h"
#define RUNAWAYS 0
#else
#define RUNAWAYS 1
#include <holdfast/heap.h>
#include <holdfast/holdfast.h>
#endif
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHUNKS 256u /* of the table */
#define ROWS 2048u  /* of a chunk: blocks of whole pages, which are free as soon as they are freed */
#define LIMIT ((size_t)512 << 10)
#define STEP 256u /* rows */
#define WORKERS_MAX 64

struct row {
    char word[13], text[51];
};

struct item {
    struct item *next;
    char *text;
};

struct group {
    struct group *next;
    struct item *items;
    unsigned long count;
    char key[];
};

struct query {
    struct hf_heap *heap; /* NULL: none is under way here.  Changed under the engine's lock */
    atomic_bool killed;
    long number;
    unsigned long row, rows, stop; /* of `rows`, cancelled at `stop` */
    size_t key_length, bucket_count, group_count;
    struct group **buckets;
    struct group **sorted;
    char *answer;
};

enum outcome { RUNNING, DONE, CANCELLED, OVER_LIMIT, KILLED, OUTCOMES };

static struct {
    pthread_mutex_t lock;
    struct hf_heap *heap;
    struct {
        struct row *rows;
        unsigned pins;
    } chunks[CHUNKS];
    unsigned hand;
} cache = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct query *queries, *victim;
    unsigned workers, at_once;
    long count, runaways;
    bool closing;
    atomic_bool full; /* a query waits for the administrator to make room */
    atomic_long number, outcomes[OUTCOMES], kills, rows, errors;
} engine = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void error(const char *what)
{
    fprintf(stderr, "queries: %s\n", what);
    engine.errors++;
}

/* How much the node with most room has left.  A number without an arena counts as full. */
static enum hf_level level(void)
{
    enum hf_level most = HF_LEVEL_FULL;
    for (unsigned node = 0; node < 64 && most != HF_LEVEL_PLENTY; node++)
        if (hf_pressure_level(node) < most)
            most = hf_pressure_level(node);
    return most;
}

/* --- the table --- */

static void make_row(struct row *row, uint64_t number)
{
    uint64_t bits = (number + 1) * 0x9e3779b97f4a7c15u;
    bits = (bits ^ bits >> 29) * 0xbf58476d1ce4e5b9u;
    for (unsigned i = 0; i < sizeof row->word - 1; i++)
        row->word[i] = (char)('a' + (bits >> (4 * i) & 15));
    row->word[sizeof row->word - 1] = 0;
    size_t length = 8 + (bits >> 56) % (sizeof row->text - 8);
    memset(row->text, row->word[0], length);
    row->text[length] = 0;
}

/* --- the cache: nothing allocates under its lock, so that any thread may be asked to give way --- */

static size_t cache_evict(size_t bytes)
{
    size_t gave = 0;
    pthread_mutex_lock(&cache.lock);
    for (unsigned i = 0; i < CHUNKS && gave < bytes; i++) {
        unsigned at = cache.hand++ % CHUNKS;
        if (cache.chunks[at].rows == NULL || cache.chunks[at].pins != 0)
            continue;
        free(cache.chunks[at].rows);
        cache.chunks[at].rows = NULL;
        gave += ROWS * sizeof(struct row);
    }
    pthread_mutex_unlock(&cache.lock);
    return gave;
}

/* What the last call for room found in the cache, in this thread. */
static _Thread_local bool cache_was_empty;

static bool give_way(const struct hf_pressure *pressure, void *context)
{
    (void)context;
    bool gave = cache_evict(pressure->bytes) != 0;
    if (pressure->cause == HF_PRESSURE_LAST)
        cache_was_empty = !gave;
    return gave;
}

/* A chunk, which stays until cache_unpin; NULL where there is no room to keep it. */
static struct row *cache_pin(unsigned number)
{
    pthread_mutex_lock(&cache.lock);
    struct row *rows = cache.chunks[number].rows;
    cache.chunks[number].pins += rows != NULL;
    pthread_mutex_unlock(&cache.lock);
    if (rows != NULL || level() != HF_LEVEL_PLENTY)
        return rows;
    struct row *made = hf_heap_malloc(cache.heap, ROWS * sizeof *made);
    if (made == NULL)
        return NULL;
    for (unsigned i = 0; i < ROWS; i++)
        make_row(&made[i], number * ROWS + i);
    pthread_mutex_lock(&cache.lock);
    rows = cache.chunks[number].rows;
    if (rows == NULL)
        cache.chunks[number].rows = rows = made;
    cache.chunks[number].pins++;
    pthread_mutex_unlock(&cache.lock);
    if (rows != made)
        free(made);
    return rows;
}

static void cache_unpin(unsigned number)
{
    pthread_mutex_lock(&cache.lock);
    cache.chunks[number].pins--;
    pthread_mutex_unlock(&cache.lock);
}

/* --- a query; false: no memory, and the same call may be made again --- */

static struct group **find_bucket(struct group **buckets, size_t count, const char *key, size_t length)
{
    size_t hash = 5381;
    for (size_t i = 0; i < length; i++)
        hash = hash * 33 + (unsigned char)key[i];
    return &buckets[hash % count];
}

static bool grow_table(struct query *query)
{
    size_t count = query->bucket_count == 0 ? 64 : query->bucket_count * 4;
    struct group **buckets = hf_heap_calloc(query->heap, count, sizeof(struct group *));
    if (buckets == NULL)
        return false;
    for (size_t i = 0; i < query->bucket_count; i++)
        for (struct group *group = query->buckets[i], *next; group != NULL; group = next) {
            next = group->next;
            struct group **bucket = find_bucket(buckets, count, group->key, query->key_length);
            group->next = *bucket;
            *bucket = group;
        }
    free(query->buckets);
    query->buckets = buckets;
    query->bucket_count = count;
    return true;
}

static struct group *find_group(struct query *query, const char *word)
{
    if (query->group_count >= query->bucket_count && !grow_table(query))
        return NULL;
    struct group **bucket = find_bucket(query->buckets, query->bucket_count, word, query->key_length);
    struct group *group = *bucket;
    while (group != NULL && memcmp(group->key, word, query->key_length) != 0)
        group = group->next;
    if (group == NULL) {
        group = hf_heap_malloc(query->heap, sizeof *group + query->key_length + 1);
        if (group == NULL)
            return NULL;
        *group = (struct group){ .next = *bucket };
        memcpy(group->key, word, query->key_length);
        group->key[query->key_length] = 0;
        *bucket = group;
        query->group_count++;
    }
    return group;
}

static bool add_row(struct query *query, const struct row *row)
{
    struct group *group = find_group(query, row->word);
    size_t bytes = strlen(row->text) + 1;
    struct item *item = group == NULL ? NULL : hf_heap_malloc(query->heap, sizeof *item);
    char *text = item == NULL ? NULL : hf_heap_malloc(query->heap, bytes);
    if (text == NULL) {
        free(item);
        return false;
    }
    *item = (struct item){ .next = group->items, .text = memcpy(text, row->text, bytes) };
    group->items = item;
    group->count++;
    return true;
}

static int by_count(const void *a, const void *b)
{
    const struct group *const *one = a, *const *other = b;
    return (*one)->count < (*other)->count ? 1 : -((*one)->count > (*other)->count);
}

/* Code that knows only malloc: the C library's.  The query's worker has it use the query's heap. */
static bool print_groups(struct query *query)
{
    size_t bytes;
    FILE *stream = open_memstream(&query->answer, &bytes);
    if (stream == NULL)
        return false;
    for (size_t i = 0; i < 5 && i < query->group_count; i++)
        fprintf(stream, "%s %lu\n", query->sorted[i]->key, query->sorted[i]->count);
    return fclose(stream) == 0 && query->answer != NULL;
}

static bool answer(struct query *query)
{
    size_t at = 0;
    query->sorted = hf_heap_malloc(query->heap, query->group_count * sizeof *query->sorted);
    if (query->sorted == NULL)
        return false;
    for (size_t i = 0; i < query->bucket_count; i++)
        for (struct group *group = query->buckets[i]; group != NULL; group = group->next)
            query->sorted[at++] = group;
    struct hf_heap *before = hf_heap_use(query->heap);
    if (before == NULL)
        return false;
    qsort(query->sorted, at, sizeof *query->sorted, by_count);
    bool printed = print_groups(query);
    hf_heap_use(before);
    return printed;
}

static bool read_rows(struct query *query)
{
    unsigned number = (unsigned)((unsigned long)query->number * 31 + query->row / ROWS) % CHUNKS;
    unsigned long first = query->row, end = first / STEP * STEP + STEP;
    struct row *rows = cache_pin(number), made;
    bool fits = true;
    for (; query->row < end && query->row < query->stop && fits; query->row += fits) {
        unsigned at = query->row % ROWS;
        if (rows == NULL)
            make_row(&made, number * ROWS + at);
        fits = add_row(query, rows == NULL ? &made : &rows[at]);
    }
    engine.rows += (long)(query->row - first);
    if (rows != NULL)
        cache_unpin(number);
    return fits;
}

/* --- the engine --- */

/* Whether another query may begin: what is under way gets the last of the memory. */
static bool take_number(long *number, bool idle)
{
    *number = engine.number;
    while (*number < engine.count && (idle || level() < HF_LEVEL_SCARCE))
        if (atomic_compare_exchange_weak(&engine.number, number, *number + 1))
            return true;
    return false;
}

static void begin_query(struct query *query, bool idle)
{
    long number;
    if (!take_number(&number, idle))
        return;
    bool runaway = number >= engine.count / 2 && number < engine.count / 2 + engine.runaways;
    bool wide = number % 100 == 99 && !runaway;
    unsigned long rows = runaway ? ULONG_MAX : wide ? 100000 : 1024;
    char name[32];
    snprintf(name, sizeof name, "query %ld", number);
    struct hf_heap_options options = {
        .size_bytes = sizeof options, .name = name, .limit = runaway ? 0 : LIMIT, .flags = HF_HEAP_REGION
    };
    struct hf_heap *heap = hf_heap_create(&options);
    if (heap == NULL) {
        error("no memory for a heap");
        return;
    }
    pthread_mutex_lock(&engine.lock);
    *query = (struct query){ .heap = heap, .number = number, .rows = rows, .key_length = wide ? 12 : 2 };
    query->stop = number % 50 == 7 && !runaway ? rows / 2 : rows;
    pthread_mutex_unlock(&engine.lock);
}

#ifdef PLAIN
/* What hf_heap_destroy does at once. */
static void free_blocks(struct query *query)
{
    for (size_t i = 0; i < query->bucket_count; i++)
        for (struct group *group = query->buckets[i], *next_group; group != NULL; group = next_group) {
            for (struct item *item = group->items, *next; item != NULL; item = next) {
                next = item->next;
                free(item->text);
                free(item);
            }
            next_group = group->next;
            free(group);
        }
    free(query->buckets);
    free(query->sorted);
    free(query->answer);
}
#endif

static void end_query(struct query *query, enum outcome outcome)
{
    engine.outcomes[outcome]++;
#ifdef PLAIN
    free_blocks(query);
#endif
    struct hf_heap *heap = query->heap;
    pthread_mutex_lock(&engine.lock); /* the administrator looks at heaps under it */
    query->heap = NULL;
    bool is_victim = engine.victim == query;
    pthread_mutex_unlock(&engine.lock);
    hf_heap_destroy(heap);
    if (!is_victim)
        return;
    pthread_mutex_lock(&engine.lock);
    engine.victim = NULL;
    engine.kills++;
    engine.full = false;
    pthread_mutex_unlock(&engine.lock);
}

/* A call found no memory, and the heap's limit is not why: the administrator is to make room, unless
 * a victim has ended since the call began, when there were `kills`. */
static void ask_for_room(long kills)
{
    if (!cache_was_empty)
        error("no memory, and the cache was not asked to give way");
    pthread_mutex_lock(&engine.lock);
    engine.full = engine.full || engine.kills == kills;
    pthread_cond_broadcast(&engine.changed);
    pthread_mutex_unlock(&engine.lock);
}

static void step_query(struct query *query)
{
    struct hf_heap_stats stats;
    long kills = engine.kills;
    cache_was_empty = false;
    bool fits = query->row < query->stop ? read_rows(query) : answer(query);
    if (fits && query->answer != NULL)
        end_query(query, DONE);
    else if (fits && query->row == query->stop && query->stop < query->rows)
        end_query(query, CANCELLED);
    else if (!fits && hf_heap_stats(query->heap, &stats, sizeof stats) == 0 && stats.failures != 0)
        end_query(query, OVER_LIMIT);
    else if (!fits)
        ask_for_room(kills);
}

/* One step of what is in a slot, or a query for it.  Whether one is under way there then. */
static bool visit(struct query *query, bool idle)
{
    if (query->heap != NULL && query->killed)
        end_query(query, KILLED);
    else if (engine.full)
        return query->heap != NULL;
    else if (query->heap != NULL)
        step_query(query);
    else
        begin_query(query, idle);
    return query->heap != NULL;
}

static void *work(void *slots)
{
    struct query *query = slots;
    unsigned running = 0;
    do {
        unsigned before = running;
        running = 0;
        for (unsigned i = 0; i < engine.at_once; i++)
            running += visit(&query[i], before == 0 && running == 0);
        if (engine.full)
            sched_yield();
    } while (running != 0 || engine.number < engine.count);
    return NULL;
}

/* --- the administrator --- */

struct entry {
    struct query *query;
    uint64_t held;
};

static int by_held(const void *a, const void *b)
{
    const struct entry *one = a, *other = b;
    return one->held < other->held ? 1 : -(one->held > other->held);
}

/* Under the engine's lock. */
static void kill_largest(void)
{
    size_t count = 0, size = (size_t)engine.workers * engine.at_once;
    struct entry *list = malloc(size * sizeof *list);
    struct hf_heap_stats stats;
    if (list == NULL) {
        error("no memory for the administrator");
        exit(1);
    }
    for (struct query *query = engine.queries; query < engine.queries + size; query++)
        if (query->heap != NULL && hf_heap_stats(query->heap, &stats, sizeof stats) == 0)
            list[count++] = (struct entry){ .query = query, .held = stats.held };
    qsort(list, count, sizeof *list, by_held);
    if (count != 0) {
        engine.victim = list[0].query;
        engine.victim->killed = true;
        fprintf(stderr, "queries: query %ld is killed, which holds %.1f MiB\n", engine.victim->number,
                (double)list[0].held / 1048576);
    }
    free(list);
}

static void *administer(void *ready)
{
    hf_reserve_enter(); /* for all of its life: what it does must not fail */
    pthread_barrier_wait(ready);
    pthread_mutex_lock(&engine.lock);
    while (!engine.closing) {
        if (engine.full && engine.victim == NULL)
            kill_largest();
        pthread_cond_wait(&engine.changed, &engine.lock);
    }
    pthread_mutex_unlock(&engine.lock);
    hf_reserve_leave();
    return NULL;
}

/* --- all of it --- */

static double seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static bool run_all(long count, long runaways)
{
    pthread_t threads[WORKERS_MAX], administrator;
    pthread_barrier_t ready;
    engine.number = 0;
    engine.count = count;
    engine.runaways = runaways;
    engine.closing = false;
    pthread_barrier_init(&ready, NULL, 2);
    if (pthread_create(&administrator, NULL, administer, &ready) != 0)
        return false;
    pthread_barrier_wait(&ready);
    for (unsigned i = 0; i < engine.workers; i++)
        if (pthread_create(&threads[i], NULL, work, engine.queries + (size_t)i * engine.at_once) != 0)
            return false;
    for (unsigned i = 0; i < engine.workers; i++)
        pthread_join(threads[i], NULL);
    pthread_mutex_lock(&engine.lock);
    engine.closing = true;
    pthread_cond_broadcast(&engine.changed);
    pthread_mutex_unlock(&engine.lock);
    pthread_join(administrator, NULL);
    cache_evict(SIZE_MAX);
    return true;
}

/* Runs a few first, as the C library keeps something for threads and streams once it had them.  From
 * then on every page comes back, except for those of Holdfast's own tables (metadata), which are as
 * many as they ever had to be. */
static bool measure(long count, long runaways)
{
    struct hf_stats base, end;
    if (!run_all(2L * engine.workers * engine.at_once, runaways))
        return false;
    for (int i = 0; i < OUTCOMES; i++)
        engine.outcomes[i] = 0;
    engine.rows = 0;
    hf_thread_idle();
    hf_stats_get(&base, sizeof base);
    double start = seconds();
    if (!run_all(count, runaways))
        return false;
    double took = seconds() - start;
    hf_thread_idle();
    hf_stats_get(&end, sizeof end);
    if (end.allocated + end.idle != base.allocated + base.idle)
        error("not every page of the queries came back");
    printf("%ld done, %ld cancelled, %ld over their limit, %ld killed\n", engine.outcomes[DONE],
           engine.outcomes[CANCELLED], engine.outcomes[OVER_LIMIT], engine.outcomes[KILLED]);
    printf("%.0f rows a second\n", (double)engine.rows / took);
    return true;
}

static bool prepare(void)
{
    struct hf_heap_options options = { .size_bytes = sizeof options, .name = "cache" };
    struct hf_pressure_options pressure = { .size_bytes = sizeof pressure,
                                            .handler = give_way,
                                            .low_percent = 10 };
    struct hf_stats stats;
    cache.heap = hf_heap_create(&options);
    engine.queries = calloc((size_t)engine.workers * engine.at_once, sizeof *engine.queries);
    return cache.heap != NULL && engine.queries != NULL && hf_pressure_watch(&pressure) == 0 &&
           hf_stats_get(&stats, sizeof stats) == 0 && stats.reserve != 0;
}

static long argument(int argc, char **argv, int at, long otherwise)
{
    return argc > at ? atol(argv[at]) : otherwise;
}

int main(int argc, char **argv)
{
    long count = argument(argc, argv, 1, 20000);
    long workers = argument(argc, argv, 2, 4), at_once = argument(argc, argv, 3, 512);
    long runaways = argument(argc, argv, 4, RUNAWAYS);
    if (count < 1 || workers < 1 || workers > WORKERS_MAX || at_once < 1 || runaways < 0) {
        fprintf(stderr, "usage: queries [QUERIES [WORKERS [AT_ONCE [RUNAWAYS]]]]\n");
        return 2;
    }
    engine.workers = (unsigned)workers;
    engine.at_once = (unsigned)at_once;
    if (!prepare() || !measure(count, runaways)) {
        fprintf(stderr, "queries: cannot start; is HOLDFAST_RESERVE set?\n");
        return 2;
    }
    return engine.errors != 0;
}
