/*
 * queries: a query engine in miniature, each query on a heap of its own.
 *
 * cc -O2 queries.c $(pkg-config --cflags --libs holdfast) -pthread && HOLDFAST_ARENA=256M ./a.out
 *
 * Workers run queries that group words of a made-up table in a hash table, and sort the groups.  A
 * query has a limit.  One that groups too much runs into it and fails, alone.  One that is
 * cancelled stops in the middle. Neither cleans up: hf_heap_destroy does.  At the end nothing is
 * left in any heap.
 */
#include <holdfast/heap.h>
#include <holdfast/holdfast.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 256u
#define LIMIT ((size_t)512 << 10)

struct group {
    struct group *next;
    unsigned long count;
    char word[];
};

struct query {
    struct hf_heap *heap;
    struct group *buckets[BUCKETS];
    size_t groups;
    uint64_t random;
};

static atomic_long next_query, done, failed, cancelled;
static long queries = 5000;

static unsigned long draw(struct query *query, unsigned long below)
{
    query->random ^= query->random << 13;
    query->random ^= query->random >> 7;
    query->random ^= query->random << 17;
    return (query->random >> 11) % below;
}

/* False: no memory for a group that is new. */
static bool count_word(struct query *query, const char *word)
{
    unsigned hash = 5381;
    for (const char *c = word; *c != 0; c++)
        hash = hash * 33 + (unsigned char)*c;
    struct group **bucket = &query->buckets[hash % BUCKETS], *group = *bucket;
    while (group != NULL && strcmp(group->word, word) != 0)
        group = group->next;
    if (group == NULL) {
        group = hf_heap_malloc(query->heap, sizeof *group + strlen(word) + 1);
        if (group == NULL)
            return false;
        group->next = *bucket;
        group->count = 0;
        strcpy(group->word, word);
        *bucket = group;
        query->groups++;
    }
    group->count++;
    return true;
}

static int by_count(const void *a, const void *b)
{
    const struct group *const *one = a, *const *other = b;
    return (*one)->count < (*other)->count ? 1 : -((*one)->count > (*other)->count);
}

/* False: no memory for the list. */
static bool sort_groups(struct query *query)
{
    size_t at = 0;
    struct group **list = hf_heap_calloc(query->heap, query->groups + 1, sizeof *list);
    for (unsigned i = 0; i < BUCKETS && list != NULL; i++)
        for (struct group *group = query->buckets[i]; group != NULL; group = group->next)
            list[at++] = group;
    if (list != NULL)
        qsort(list, at, sizeof *list, by_count);
    return list != NULL;
}

static void run_query(long number)
{
    char name[24], word[40];
    snprintf(name, sizeof name, "query %ld", number);
    struct hf_heap_options options = {
        .size_bytes = sizeof options, .name = name, .limit = LIMIT, .flags = HF_HEAP_REGION
    };
    struct query query = { .heap = hf_heap_create(&options), .random = (uint64_t)number + 1 };
    if (query.heap == NULL) {
        fprintf(stderr, "queries: no memory for a heap\n");
        exit(1);
    }
    long rows = number % 100 == 99 ? 100000 : 1000; /* one in a hundred groups too much */
    long stop = number % 50 == 7 ? rows / 2 : rows; /* one in fifty is cancelled */
    bool fits = true;
    for (long row = 0; row < stop && fits; row++) {
        snprintf(word, sizeof word, "word-%lu", draw(&query, rows == 1000 ? 200 : 1000000));
        fits = count_word(&query, word);
    }
    fits = fits && (stop < rows || sort_groups(&query));
    atomic_fetch_add(!fits ? &failed : stop < rows ? &cancelled : &done, 1);
    hf_heap_destroy(query.heap);
}

static void *work(void *unused)
{
    for (long number; (number = atomic_fetch_add(&next_query, 1)) < queries;)
        run_query(number);
    return unused;
}

int main(int argc, char **argv)
{
    pthread_t threads[4];
    struct hf_stats stats;
    if (argc > 1)
        queries = atol(argv[1]);
    for (int i = 0; i < 4; i++)
        if (pthread_create(&threads[i], NULL, work, NULL) != 0)
            return 1;
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    hf_stats_get(&stats, sizeof stats);
    printf("%ld done, %ld cancelled, %ld over their limit; %lu bytes left in heaps\n", done, cancelled,
           failed, (unsigned long)stats.heaps);
    return stats.heaps == 0 && done + cancelled + failed == queries ? 0 : 1;
}
