/*
 * exhaust: a 512 MiB arena is driven to ENOMEM again and again, a random half freed in between.
 *
 * Live bytes at ENOMEM are never under 83 % of the arena, and 88 % on average.  The report is printed
 * once (rate limit), and after freeing everything a block of 90 % of the arena fits.
 * With the argument "abort" the first failure must abort.
 */
#include <sys/mman.h>

#include "test.h"

#define ARENA ((size_t)512 << 20)
#define ROUNDS 12
#define BLOCKS_MAX 4000000

struct live {
    void *block;
    size_t bytes;
};

/* 16 B to 1 MiB, mostly small. */
static size_t next_size(uint64_t *random)
{
    uint64_t kind = test_random(random) % 1000;
    return test_random_size(random, 16, kind < 900 ? 1024 : kind < 990 ? 32768 : 1 << 20);
}

static size_t fill(struct live *live, size_t *count, size_t live_bytes, uint64_t *random)
{
    for (;;) {
        size_t bytes = next_size(random);
        errno = 0;
        void *block = malloc(bytes);
        if (block == NULL) {
            CHECK(errno == ENOMEM);
            return live_bytes;
        }
        test_mark(block, bytes);
        CHECK(*count < BLOCKS_MAX);
        live[(*count)++] = (struct live){ block, bytes };
        live_bytes += bytes;
    }
}

static size_t free_half(struct live *live, size_t *count, size_t live_bytes, uint64_t *random)
{
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++) {
        CHECK(test_marked(live[i].block, live[i].bytes));
        if (test_random(random) & 1) {
            live[kept++] = live[i];
            continue;
        }
        live_bytes -= live[i].bytes;
        free(live[i].block);
    }
    *count = kept;
    return live_bytes;
}

int main(int argc, char **argv)
{
    test_on_arena(argv, "512M");
    static char output[4096]; /* or stdio would hold a block in the middle of the arena */
    setvbuf(stdout, output, _IOFBF, sizeof output);
    struct live *live = mmap(NULL, BLOCKS_MAX * sizeof *live, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(live != MAP_FAILED);
    uint64_t random = 20261123;
    size_t count = 0, live_bytes = 0, worst = ARENA, sum = 0;
    for (int round = 0; round < ROUNDS; round++) {
        live_bytes = fill(live, &count, live_bytes, &random);
        CHECK(argc == 1); /* "abort": the failure above does not return */
        if (live_bytes < worst)
            worst = live_bytes;
        sum += live_bytes;
        printf("round %d: %.1f %% live at ENOMEM\n", round, 100.0 * (double)live_bytes / (double)ARENA);
        live_bytes = free_half(live, &count, live_bytes, &random);
    }
    for (size_t i = 0; i < count; i++)
        free(live[i].block);
    void *most = malloc(ARENA / 10 * 9);
    CHECK(most != NULL);
    CHECK(worst >= test_less_guards(ARENA / 100 * 83)); /* one round is luck: a block of 1 MiB ends it */
    CHECK(sum / ROUNDS >= test_less_guards(ARENA / 100 * 88));
    return 0;
}
