/*
 * refused: the kernel does not let a growing arena grow, here by a limit on data, and later does.
 *
 * malloc fails as on a full arena, with one message that names the limit.  Nothing is lost, and
 * each block is one caller's.
 */
#include <pthread.h>
#include <sys/resource.h>

#include "test.h"

#define MIB ((size_t)1 << 20)
#define THREADS 4
#define ROUNDS 3
#define LEFT_BYTES (100 * MIB) /* by the limit, each round */

struct block {
    struct block *next;
    size_t bytes;
};

static pthread_barrier_t round_begins, round_ends;
static size_t held_bytes[THREADS];

/* All that can be had, in blocks of many sizes. */
static struct block *fill(struct block *blocks, uint64_t *random, size_t *held)
{
    for (size_t most = 1 << 20; most >= 64; most /= 2)
        for (;;) {
            size_t bytes = test_random_size(random, most / 2 + 16, most);
            struct block *block = malloc(bytes);
            if (block == NULL)
                break;
            *block = (struct block){ blocks, bytes };
            test_mark(block + 1, bytes - sizeof *block);
            blocks = block;
            *held += bytes;
        }
    return blocks;
}

static void *work(void *argument)
{
    size_t number = (size_t)argument;
    uint64_t random = number + 1;
    struct block *blocks = NULL;
    for (unsigned i = 0; i < ROUNDS; i++) {
        pthread_barrier_wait(&round_begins);
        blocks = fill(blocks, &random, &held_bytes[number]);
        for (const struct block *block = blocks; block != NULL; block = block->next)
            CHECK(test_marked(block + 1, block->bytes - sizeof *block));
        pthread_barrier_wait(&round_ends);
    }
    return NULL;
}

static void limit_data(void)
{
    size_t data = test_number_in("/proc/self/status", "VmData:") << 10;
    struct rlimit limit = { data + LEFT_BYTES, RLIM_INFINITY };
    CHECK(setrlimit(RLIMIT_DATA, &limit) == 0);
}

static void filled(int unused)
{
    (void)unused;
    pthread_t threads[THREADS];
    size_t before = 0;
    pthread_barrier_init(&round_begins, NULL, THREADS + 1);
    pthread_barrier_init(&round_ends, NULL, THREADS + 1);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, work, (void *)i) == 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        size_t held = 0;
        limit_data();
        pthread_barrier_wait(&round_begins);
        pthread_barrier_wait(&round_ends);
        for (size_t j = 0; j < THREADS; j++)
            held += held_bytes[j];
        fprintf(stderr, "round %u: %zu MiB more\n", i, (held - before) / MIB);
        CHECK(held - before >= LEFT_BYTES / 10 * 8 && held - before <= LEFT_BYTES + 16 * MIB);
        before = held;
    }
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

int main(int argc, char **argv)
{
    (void)argc;
    static char said[1 << 16];
    struct rlimit limit = { (size_t)4 << 30, RLIM_INFINITY }; /* should the other limit do nothing */
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    test_on_arena(argv, "auto");
    int status = test_in_child(filled, 0, said, sizeof said);
    printf("status %d\n%s", status, said);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    const char *told = strstr(said, "HF-W229");
    CHECK(told != NULL && strstr(told + 1, "HF-W229") == NULL);
    return 0;
}
