/*
 * reserve: what HOLDFAST_RESERVE keeps is there for those who may, when all else is taken, and for
 * nobody else.
 *
 * Each case is a process of its own.  Its messages are read from its standard error.
 */
#include <holdfast/heap.h>
#include <holdfast/holdfast.h>
#include <pthread.h>
#include <stdatomic.h>

#include "test.h"

#define MIB ((size_t)1 << 20)
#define PAGE_BYTES ((size_t)65536)
#define RESERVE (4 * MIB)
#define THREADS 4
#define ROUNDS 100
#define SMALL 100

struct list {
    struct list *next;
};

static struct hf_stats stats(void)
{
    struct hf_stats figures;
    CHECK(hf_stats_get(&figures, sizeof figures) == 0);
    CHECK(figures.allocated + figures.idle + figures.free + figures.metadata == figures.arena);
    return figures;
}

static void push(struct list **first, struct list *block)
{
    block->next = *first;
    *first = block;
}

static void free_list(struct list **first)
{
    while (*first != NULL) {
        struct list *next = (*first)->next;
        free(*first);
        *first = next;
    }
}

/* Blocks of all sizes, down to the smallest, until there is none. */
static void fill(struct list **first)
{
    for (size_t bytes = 8 * MIB; bytes >= 16; bytes /= 2)
        for (struct list *block; (block = malloc(bytes)) != NULL;)
            push(first, block);
}

/* --- threads that fill the arena, and go on asking --- */

static struct list *taken[THREADS];
static pthread_barrier_t filled, emptied;
static atomic_bool stop, killed;
static atomic_ulong slipped;

static void *fill_and_ask(void *argument)
{
    struct list **own = argument;
    fill(own);
    pthread_barrier_wait(&filled);
    while (!atomic_load(&stop)) {
        void *block = malloc(PAGE_BYTES);
        atomic_fetch_add(&slipped, block != NULL);
        free(block);
    }
    pthread_barrier_wait(&emptied);
    while (!atomic_load(&killed))
        usleep(100);
    free_list(own);
    return NULL;
}

/* What a thread inside gets of the reserve: large blocks, until there is none. */
static size_t take_all(struct list **first)
{
    size_t count = 0;
    for (struct list *block; (block = malloc(MIB / 2)) != NULL; count++) {
        memset(block, 0x5a, MIB / 2);
        push(first, block);
    }
    return count;
}

static void expect_whole(void)
{
    hf_thread_idle();
    CHECK(stats().reserve == RESERVE && stats().reserve_used == 0);
}

static void take_large(void)
{
    struct list *mine = NULL;
    CHECK(malloc(MIB / 2) == NULL);
    hf_reserve_enter();
    hf_reserve_enter();
    hf_reserve_leave();
    size_t count = take_all(&mine);
    CHECK(count >= RESERVE / MIB && count <= 2 * RESERVE / MIB);
    CHECK(stats().reserve_used >= count * MIB / 2 && stats().reserve_used <= RESERVE);
    free_list(&mine);
    expect_whole();
    CHECK(take_all(&mine) == count);
    hf_reserve_leave();
    CHECK(malloc(MIB / 2) == NULL);
    free_list(&mine);
    CHECK(malloc(MIB / 2) == NULL); /* given back to the reserve, not to all */
    expect_whole();
}

/* Of pages that others could find with room. */
static void take_small(void)
{
    void *blocks[SMALL];
    for (int i = 0; i < SMALL; i++) {
        hf_reserve_enter();
        CHECK((blocks[i] = calloc(1, 500)) != NULL);
        hf_reserve_leave();
        CHECK(malloc(500) == NULL);
    }
    CHECK(stats().reserve_used != 0 && stats().reserve_used <= 4 * PAGE_BYTES);
    for (int i = 0; i < SMALL; i++)
        free(blocks[i]);
    expect_whole();
}

static void take_heap(struct hf_heap *reserved, struct hf_heap *other)
{
    CHECK(hf_heap_malloc(other, 10000) == NULL);
    for (int i = 0; i < SMALL; i++)
        CHECK(hf_heap_malloc(reserved, 10000) != NULL);
    CHECK(hf_heap_malloc(reserved, 2 * PAGE_BYTES) != NULL);
    CHECK(hf_heap_malloc(other, 10000) == NULL);
    CHECK(stats().reserve_used != 0);
    hf_heap_destroy(reserved);
    CHECK(hf_heap_malloc(other, 10000) == NULL);
    hf_reserve_enter();
    CHECK(hf_heap_malloc(other, 10000) != NULL);
    hf_reserve_leave();
    hf_heap_destroy(other);
    expect_whole();
}

/* A child has a reserve of its own. */
static void take_in_child(void)
{
    struct list *mine = NULL;
    int status;
    pid_t child = fork();
    if (child == 0) {
        CHECK(malloc(MIB / 2) == NULL);
        hf_reserve_enter();
        CHECK(take_all(&mine) != 0);
        free_list(&mine);
        expect_whole();
        _exit(0);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

static int case_full(void)
{
    pthread_t threads[THREADS];
    struct hf_heap_options reserved = { .size_bytes = sizeof reserved,
                                        .flags = HF_HEAP_REGION | HF_HEAP_RESERVED };
    struct hf_heap_options other = { .size_bytes = sizeof other, .flags = HF_HEAP_REGION };
    struct hf_heap *heaps[2] = { hf_heap_create(&reserved), hf_heap_create(&other) };
    struct list *mine = NULL;
    CHECK(heaps[0] != NULL && heaps[1] != NULL);
    expect_whole();
    CHECK(pthread_barrier_init(&filled, NULL, THREADS + 1) == 0);
    CHECK(pthread_barrier_init(&emptied, NULL, THREADS + 1) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, fill_and_ask, &taken[i]) == 0);
    pthread_barrier_wait(&filled);
    fill(&mine);
    CHECK(stats().reserve_used == 0 && stats().reserve_uses == 0);
    for (int i = 0; i < ROUNDS; i++) {
        struct list *some = NULL;
        hf_reserve_enter();
        CHECK(take_all(&some) >= RESERVE / MIB);
        hf_reserve_leave();
        free_list(&some);
    }
    CHECK(stats().reserve_uses != 0);
    take_large();
    atomic_store(&stop, true);
    pthread_barrier_wait(&emptied);
    CHECK(atomic_load(&slipped) == 0);
    fill(&mine);
    take_small();
    take_heap(heaps[0], heaps[1]);
    take_in_child();
    /* the administrator ends what fills the arena, with memory of the reserve */
    hf_reserve_enter();
    char *order = malloc(1000);
    CHECK(order != NULL);
    atomic_store(&killed, true);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    free(order);
    hf_reserve_leave();
    free_list(&mine);
    expect_whole();
    void *block = malloc(MIB);
    CHECK(block != NULL && stats().reserve_used == 0);
    free(block);
    return 0;
}

static int case_leave(void)
{
    hf_reserve_leave();
    hf_reserve_leave();
    hf_reserve_enter();
    hf_reserve_leave();
    return 0;
}

static int case_none(void)
{
    struct hf_stats figures = stats();
    printf("%llu\n", (unsigned long long)figures.reserve);
    hf_reserve_enter();
    free(malloc(1));
    hf_reserve_leave();
    return 0;
}

/* What a case says. */
static void run(char **argv, const char *name, const char *arena, const char *reserve, char *said,
                size_t said_bytes)
{
    int ends[2], status;
    size_t length = 0;
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 1);
        dup2(ends[1], 2);
        close(ends[0]);
        close(ends[1]);
        setenv("HOLDFAST_ARENA", arena, 1);
        setenv("HOLDFAST_BACKING", "4k", 1);
        setenv("HOLDFAST_LOCK", "no", 1);
        setenv("HOLDFAST_RESERVE", reserve, 1);
        execl("/proc/self/exe", argv[0], name, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    for (ssize_t got; (got = read(ends[0], said + length, said_bytes - 1 - length)) > 0;)
        length += (size_t)got;
    said[length] = 0;
    close(ends[0]);
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    if (status != 0)
        fputs(said, stderr);
    CHECK(status == 0);
}

static size_t count_of(const char *text, const char *word)
{
    size_t count = 0;
    for (; (text = strstr(text, word)) != NULL; text += strlen(word))
        count++;
    return count;
}

int main(int argc, char **argv)
{
    static char said[1 << 16];
    if (argc > 1)
        return strcmp(argv[1], "full") == 0  ? case_full()
             : strcmp(argv[1], "leave") == 0 ? case_leave()
                                             : case_none();
    run(argv, "full", "64M", "4M", said, sizeof said);
    CHECK(count_of(said, "HF-W026") == 1); /* of hundreds of uses */
    run(argv, "leave", "64M", "1%", said, sizeof said);
    CHECK(count_of(said, "HF-W027") == 1);
    run(argv, "none", "64M", "1%", said, sizeof said);
    CHECK(strstr(said, "720896\n") != NULL); /* 11 pages of 1024 */
    run(argv, "none", "auto", "1%", said, sizeof said);
    CHECK(count_of(said, "HF-W237") >= 1 && strstr(said, "0\n") != NULL);
    run(argv, "none", "64M", "1G", said, sizeof said);
    CHECK(count_of(said, "HF-W238") == 1);
    run(argv, "none", "64M", "0", said, sizeof said);
    CHECK(strcmp(said, "0\n") == 0);
    return 0;
}
