/*
 * The workloads that show when an arena is full, and what the first touches of memory cost.
 */
#include "mixes.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* --- fill: how much of an arena is live when malloc gives NULL; touch: page faults of first touches --- */

struct table {
    struct item **items;
    size_t count, room;
    size_t live_bytes;
    uint64_t random;
    const struct mix *mix;
};

/* The table is no block of the allocator's, and takes no fault while faults are counted. */
static struct table table_new(size_t room)
{
    struct table table = { .room = room, .random = mix_start(0), .mix = &mixes[0] };
    table.items = mmap(NULL, room * sizeof table.items[0], PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (table.items == MAP_FAILED)
        fail("mmap of the table");
    return table;
}

static bool table_add(struct table *table, bool touch)
{
    size_t bytes = mix_size(table->mix, &table->random);
    if (table->count == table->room)
        fail("the table is full: is the allocator without a limit?");
    errno = 0;
    struct item *item = malloc(bytes < sizeof *item ? sizeof *item : bytes);
    if (item == NULL && errno != ENOMEM)
        fail("NULL without ENOMEM");
    if (item == NULL)
        return false;
    if (touch)
        memset(item, 0x5a, bytes);
    item->bytes = bytes;
    item->mark = (uint64_t)(uintptr_t)item ^ bytes;
    table->items[table->count++] = item;
    table->live_bytes += bytes;
    return true;
}

static void table_free(struct table *table, bool half)
{
    size_t kept = 0;
    for (size_t i = 0; i < table->count; i++) {
        if (half && mix_keeps(&table->random)) {
            table->items[kept++] = table->items[i];
            continue;
        }
        table->live_bytes -= table->items[i]->bytes;
        item_free(table->items[i]);
    }
    table->count = kept;
}

void workload_fill(int argc, char **argv)
{
    if (argc < 1)
        fail("fill: MEBIBYTES [MIX [SEED]], with HOLDFAST_ARENA set to as many");
    static char output[4096]; /* or stdio would take a block in the middle of the arena when it is full */
    setvbuf(stdout, output, _IOFBF, sizeof output);
    size_t arena_bytes = strtoul(argv[0], NULL, 10) << 20;
    struct table table = table_new(arena_bytes / 64 + 1);
    table.mix = mix_named(argc > 1 ? argv[1] : "even");
    if (table.mix == NULL)
        fail("fill: the mixes are even, server, rows and pages");
    table.random = mix_start(argc > 2 ? strtoul(argv[2], NULL, 10) : 0);
    double least = 1;
    for (long round = scaled(6); round > 0; round--) {
        while (table_add(&table, false))
            if (table.live_bytes > arena_bytes)
                fail("fill: more is live than the arena has: it is not the one named");
        double share = (double)table.live_bytes / (double)arena_bytes;
        printf("live_share %.4f blocks %zu\n", share, table.count);
        least = share < least ? share : least;
        table_free(&table, true);
    }
    table_free(&table, false);
    void *most = malloc(arena_bytes / 10 * 9);
    printf("least_live_share %.4f\nbig_block_fits %d\n", least, most != NULL);
    free(most);
}

static long minor_faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
}

void workload_touch(int argc, char **argv)
{
    size_t bytes = (argc > 0 ? strtoul(argv[0], NULL, 10) : 256) << 20;
    struct table table = table_new(1 << 20);
    memset(table.items, 0xff, table.room * sizeof table.items[0]);
    (void)minor_faults();
    long before = minor_faults();
    while (table.live_bytes < bytes)
        if (!table_add(&table, true))
            fail("malloc returned NULL");
    long allocated = minor_faults();
    table_free(&table, false);
    long freed = minor_faults();
    printf("minor_faults %ld (allocating and writing %ld, freeing %ld)\n", freed - before, allocated - before,
           freed - allocated);
}
