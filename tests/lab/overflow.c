/*
 * overflow: a thread of node START fills the arena, node after node.
 *
 *   overflow START allow   the nodes fill by distance, as the kernel tells it; after its blocks are
 *                          freed, pages come from START again; counters say the same
 *   overflow START deny    ENOMEM when START is full, and nothing of another node
 */
#include "lab.h"
#include "app/stats.h"
#include "heap/counters.h"

static unsigned start;

/* Fills until malloc fails; *turns become the nodes in the order in which they came. */
static struct lab_blocks fill(size_t bytes, unsigned *turns, unsigned *turn_count)
{
    struct lab_blocks blocks = { NULL, 0 };
    *turn_count = 0;
    for (void *block; (block = malloc(bytes)) != NULL;) {
        int node = lab_node_of(block);
        lab_push(&blocks, block);
        CHECK(node >= 0);
        if ((*turn_count == 0 || turns[*turn_count - 1] != (unsigned)node) && *turn_count < 100)
            turns[(*turn_count)++] = (unsigned)node;
    }
    return blocks;
}

static void test_allow(size_t bytes)
{
    unsigned turns[100], turn_count;
    int distance = 0;
    bool in_order = true;
    struct counters before, after;
    hfi_stats_counters(&before);
    struct lab_blocks blocks = fill(bytes, turns, &turn_count);
    hfi_stats_counters(&after);
    lab_ok(errno == ENOMEM, "%zu bytes: full is ENOMEM", bytes);
    lab_ok(turn_count == hfi_arena.node_count,
           "%zu bytes: %u nodes were filled, one after the other (%u changes)", bytes, hfi_arena.node_count,
           turn_count);
    for (unsigned i = 0; i < turn_count && turn_count == hfi_arena.node_count; i++) {
        int next = lab_node_number(start, "distance", turns[i]);
        printf("# %u. node %u, distance %d\n", i, turns[i], next);
        in_order = in_order && next >= distance && (i != 0 || turns[i] == start);
        distance = next;
    }
    lab_ok(in_order, "%zu bytes: nearest first", bytes);
    uint64_t taken = after.fresh + after.claimed + after.large - before.fresh - before.claimed - before.large;
    uint64_t away = hfi_counters_away(&after) - hfi_counters_away(&before);
    uint64_t expected = taken / hfi_arena.node_count * (hfi_arena.node_count - 1);
    lab_ok(away > expected / 10 * 9 && away < expected / 10 * 11,
           "%zu bytes: counters: of %llu pages %llu are away, %llu would be all other nodes", bytes,
           (unsigned long long)taken, (unsigned long long)away, (unsigned long long)expected);
    size_t total = blocks.count;
    lab_free_all(&blocks);
    size_t home = 0, wanted = total / hfi_arena.node_count / 2;
    hfi_stats_counters(&before);
    for (size_t i = 0; i < wanted; i++)
        CHECK(lab_push(&blocks, malloc(bytes)));
    hfi_stats_counters(&after);
    home = lab_on_node(&blocks, start);
    lab_ok(home == wanted && hfi_counters_away(&after) == hfi_counters_away(&before),
           "%zu bytes: freed again, %zu of %zu blocks come from home, %llu pages from away", bytes, home,
           wanted, (unsigned long long)(hfi_counters_away(&after) - hfi_counters_away(&before)));
    lab_free_all(&blocks);
}

/* One node full, one block of each freed: the page at home is taken, not the one away. */
static void test_home_has_room_again(void)
{
    unsigned turns[100], turn_count;
    const size_t bytes = 300000;
    struct lab_blocks blocks = fill(bytes, turns, &turn_count), kept = { NULL, 0 };
    void *freed_home = NULL, *freed_away = NULL;
    while (blocks.first != NULL) {
        void **block = blocks.first;
        blocks.first = *block;
        if (freed_home == NULL && hf_node_of(block) == (int)start)
            freed_home = block;
        else if (freed_away == NULL && hf_node_of(block) != (int)start)
            freed_away = block;
        else
            lab_push(&kept, block);
    }
    free(freed_away);
    free(freed_home);
    void *first = malloc(bytes), *second = malloc(bytes);
    lab_ok(first != NULL && lab_node_of(first) == (int)start,
           "one place free at home and one away: home's is taken first");
    lab_ok(second != NULL && lab_node_of(second) != (int)start, "then the one away");
    free(first);
    free(second);
    lab_free_all(&kept);
}

static void test_deny(size_t bytes)
{
    unsigned turns[100], turn_count;
    struct counters counters;
    struct lab_blocks blocks = fill(bytes, turns, &turn_count);
    lab_ok(errno == ENOMEM, "%zu bytes: a full home is ENOMEM", bytes);
    lab_ok(turn_count == 1 && turns[0] == start, "%zu bytes: no block is of another node", bytes);
    size_t got = blocks.count * bytes;
    lab_ok(got >= hfi_arena.nodes[0].page_count * HFI_PAGE_BYTES / 100 * 85,
           "%zu bytes: home was full (%zu MiB in blocks)", bytes, got >> 20);
    hfi_stats_counters(&counters);
    lab_ok(hfi_counters_away(&counters) == 0, "%zu bytes: counters: no page from away", bytes);
    for (unsigned i = 0; i < hfi_arena.node_count; i++)
        if (hfi_arena.nodes[i].id != start)
            lab_ok(hfi_arena_free_pages(&hfi_arena.nodes[i]) >=
                       hfi_arena.nodes[i].page_count - hfi_arena.nodes[i].meta_pages - 1,
                   "%zu bytes: node %u is untouched", bytes, hfi_arena.nodes[i].id);
    lab_free_all(&blocks);
}

/* In a thread of its own, whose theap is at home there. */
static void *test(void *deny)
{
    static const size_t sizes[] = { 1000, 60000, 300000 };
    lab_run_on(start);
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (deny != NULL)
            test_deny(sizes[i]);
        else
            test_allow(sizes[i]);
    }
    if (deny == NULL)
        test_home_has_room_again();
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    CHECK(argc == 3);
    start = (unsigned)atoi(argv[1]);
    lab_run_on(start);
    lab_start();
    CHECK(pthread_create(&thread, NULL, test, strcmp(argv[2], "deny") == 0 ? argv : NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    for (unsigned i = 0; i < hfi_arena.node_count; i++) {
        const char *broken = hfi_arena_audit(&hfi_arena.nodes[i]);
        lab_ok(broken == NULL, "audit of node %u: %s", hfi_arena.nodes[i].id,
               broken == NULL ? "whole" : broken);
    }
    return 0;
}
