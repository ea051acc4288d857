/*
 * The workloads in which each thread frees what it allocated, and that of small programs.
 */
#include "workload.h"
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- churn: random replacement of mixed sizes --- */

static void churn_table(size_t slots, long steps, uint64_t random)
{
    struct item **table = calloc(slots, sizeof *table);
    for (long i = 0; i < steps; i++) {
        struct item **slot = &table[next_random(&random) % slots];
        item_free(*slot);
        *slot = item_new(mixed_size(&random));
    }
    for (size_t i = 0; i < slots; i++)
        item_free(table[i]);
    free(table);
}

void workload_churn(void)
{
    churn_table(20000, scaled(12000000), 1);
}

static void *churn_thread(void *argument)
{
    churn_table(5000, scaled(5000000), (uintptr_t)argument + 1);
    return NULL;
}

void workload_churn_threads(void)
{
    in_threads(4, churn_thread);
}

/* --- replace: each thread fills and empties random slots of its own --- */

#define REPLACE_SLOTS 30000
static long replace_steps; /* of each thread; const once they run */

static void *replace_thread(void *argument)
{
    uint64_t random = (uintptr_t)argument + 1;
    struct marked *slots = calloc(REPLACE_SLOTS, sizeof *slots);
    for (long i = 0; i < replace_steps; i++) {
        struct marked *slot = &slots[(next_random(&random) >> 8) % REPLACE_SLOTS];
        if (slot->block != NULL)
            marked_free(slot);
        else
            marked_new(slot, random_size(&random, 3, 10));
    }
    for (int i = 0; i < REPLACE_SLOTS; i++)
        marked_free(&slots[i]);
    free(slots);
    return NULL;
}

void workload_replace(unsigned threads)
{
    replace_steps = scaled(15000000) / threads;
    in_threads(threads, replace_thread);
}

/* --- cache: a million blocks, any of which is the next to be replaced --- */

void workload_cache(void)
{
    const size_t slots = (size_t)scaled(1000000);
    struct item **table = calloc(slots, sizeof *table);
    uint64_t random = 1;
    for (size_t i = 0; i < slots; i++)
        table[i] = item_new(16 + next_random(&random) % 500);
    for (long i = scaled(4000000); i > 0; i--) {
        struct item **slot = &table[next_random(&random) % slots];
        item_free(*slot);
        *slot = item_new(16 + next_random(&random) % 500);
    }
    for (size_t i = 0; i < slots; i++)
        item_free(table[i]);
    free(table);
}

/* --- big blocks, every OS page touched --- */

void workload_bigblock(void)
{
    uint64_t random = 1;
    char *blocks[16] = { NULL };
    for (long i = scaled(12000); i > 0; i--) {
        unsigned slot = (unsigned)(next_random(&random) % 16);
        size_t bytes = random_size(&random, 16, 22);
        free(blocks[slot]);
        blocks[slot] = malloc(bytes);
        for (size_t at = 0; at < bytes; at += 4096)
            blocks[slot][at] = (char)i;
    }
    for (int i = 0; i < 16; i++)
        free(blocks[i]);
}

/* --- strings: built piece by piece, split, joined --- */

void workload_strings(void)
{
    uint64_t random = 1;
    for (long round = scaled(30000); round > 0; round--) {
        char *text = NULL, *parts[64];
        size_t length = 0, count = 0, joined = 0;
        for (int i = 0; i < 300; i++) {
            size_t piece = next_random(&random) % 40 + 1;
            text = realloc(text, length + piece + 1);
            memset(text + length, 'a' + i % 26, piece);
            length += piece;
            text[length] = 0;
        }
        for (size_t at = 0; at + 100 <= length && count < 64; at += 100)
            parts[count++] = strndup(text + at, 100);
        char *again = malloc(count * 100 + 1);
        for (size_t i = 0; i < count; i++, joined += 100) {
            memcpy(again + joined, parts[i], 100);
            free(parts[i]);
        }
        if (memcmp(again, text, joined) != 0)
            fail("a string changed");
        free(again);
        free(text);
    }
}

/* --- startup: many small programs in a row --- */

void workload_startup(void)
{
    for (long i = scaled(400); i > 0; i--) {
        pid_t pid = fork();
        if (pid == 0) {
            execl("/proc/self/exe", "hf-workload", "small", (char *)NULL);
            _exit(127);
        }
        int status;
        if (waitpid(pid, &status, 0) != pid || status != 0)
            fail("a small program failed");
    }
}

void workload_small(int argc, char **argv)
{
    (void)argc, (void)argv;
    uint64_t random = 1;
    struct item *items[200];
    for (int i = 0; i < 200; i++)
        items[i] = item_new(mixed_size(&random));
    for (int i = 0; i < 200; i++)
        item_free(items[i]);
}
