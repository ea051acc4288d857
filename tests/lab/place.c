/*
 * place: where blocks go while every node has room, by move_pages(2) and hf_node_of.
 *
 *   place local        a thread on each node, blocks of all sizes; one that is moved in mid-run
 *   place home FROM=TO...  threads on nodes FROM (also ones without an arena) get memory of node TO
 *   place interleave   fresh pages go round all nodes, whoever asks
 *   place node N       all on node N
 *   place onnode       hf_malloc_onnode from every node to every node, and what it refuses
 */
#include "lab.h"
#include "app/stats.h"
#include "heap/counters.h"

#define SHARE ((size_t)12 << 20) /* bytes that a test puts on a node */

/* Blocks of all sizes, some freed at once, SHARE bytes in all; how many of those that stay are not
 * on the node. */
static size_t astray_of(unsigned node, size_t share, struct lab_blocks *blocks, size_t *disagree)
{
    uint64_t random = node + 1;
    size_t astray = 0;
    for (size_t got = 0; got < share;) {
        size_t bytes = test_random_size(&random, 16, 1 << 20);
        unsigned char *block = malloc(bytes);
        CHECK(block != NULL);
        test_mark(block, bytes);
        if (test_random(&random) % 4 == 0) {
            free(block);
            continue;
        }
        int first = lab_node_of(block), last = lab_node_of(block + bytes - 1);
        astray += first != (int)node || last != (int)node;
        *disagree += hf_node_of(block) != first || hf_node_of(block + bytes - 1) != last;
        lab_push(blocks, block);
        got += bytes;
    }
    return astray;
}

struct errand {
    unsigned runs_on, node;
};

static void *fill_where_it_runs(void *argument)
{
    const struct errand *errand = argument;
    struct lab_blocks blocks = { NULL, 0 };
    size_t disagree = 0;
    lab_run_on(errand->runs_on);
    size_t astray = astray_of(errand->node, SHARE, &blocks, &disagree);
    lab_ok(astray == 0, "thread on node %u: all of %zu blocks are on node %u (%zu are not)", errand->runs_on,
           blocks.count, errand->node, astray);
    lab_ok(disagree == 0, "thread on node %u: hf_node_of agrees with the kernel (%zu times not)",
           errand->runs_on, disagree);
    lab_free_all(&blocks);
    return NULL;
}

static void in_thread(void *(*function)(void *), void *argument)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, function, argument) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}

static size_t pages_of(unsigned index)
{
    return hfi_arena.nodes[index].page_count - hfi_arena_free_pages(&hfi_arena.nodes[index]);
}

/* Whole pages, so that each block is a page taken anew. */
static void *follow(void *unused)
{
    const size_t bytes = 300000;
    struct lab_blocks blocks = { NULL, 0 };
    for (unsigned i = 0; i < hfi_arena.node_count; i++) {
        unsigned node = hfi_arena.nodes[(i * 3 + 1) % hfi_arena.node_count].id;
        size_t before = blocks.count, small_astray = 0, small = 0;
        lab_run_on(node);
        while (blocks.count < before + 10) {
            void *block = malloc(bytes);
            CHECK(lab_push(&blocks, block));
            if (lab_node_of(block) != (int)node)
                break;
        }
        lab_ok(blocks.count == before + 10 && lab_node_of(blocks.first) == (int)node,
               "moved to node %u, its next pages are there", node);
        /* what is left of the page before may come first: 64 blocks of 1000 bytes */
        for (int n = 0; n < 400; n++, small++) {
            void *block = malloc(1000);
            CHECK(lab_push(&blocks, block));
            small_astray += lab_node_of(block) != (int)node;
        }
        lab_ok(small_astray <= 65,
               "moved to node %u, of %zu small blocks %zu are elsewhere, a page full at most", node, small,
               small_astray);
    }
    lab_free_all(&blocks);
    return unused;
}

static void test_local(void)
{
    struct counters counters;
    for (unsigned i = 0; i < hfi_arena.node_count; i++) {
        unsigned node = hfi_arena.nodes[i].id;
        in_thread(fill_where_it_runs, &(struct errand){ node, node });
    }
    in_thread(follow, NULL);
    hfi_stats_counters(&counters);
    lab_ok(counters.fresh + counters.large > 0 && hfi_counters_away(&counters) == 0,
           "counters: %llu pages taken, %llu away from home",
           (unsigned long long)(counters.fresh + counters.claimed + counters.large),
           (unsigned long long)hfi_counters_away(&counters));
}

static void test_home(char **pairs)
{
    for (; *pairs != NULL; pairs++) {
        char *equals;
        struct errand errand = { (unsigned)strtoul(*pairs, &equals, 10), 0 };
        errand.node = (unsigned)strtoul(equals + 1, NULL, 10);
        in_thread(fill_where_it_runs, &errand);
    }
}

static void *fill_round(void *argument)
{
    struct lab_blocks *blocks = argument;
    lab_run_on(hfi_arena.nodes[1].id);
    for (int i = 0; i < 400; i++)
        CHECK(lab_push(blocks, malloc(60000)));
    return NULL;
}

static void test_interleave(void)
{
    struct lab_blocks blocks = { NULL, 0 };
    in_thread(fill_round, &blocks);
    size_t most = 0, least = SIZE_MAX;
    for (unsigned i = 0; i < hfi_arena.node_count; i++) {
        size_t here = lab_on_node(&blocks, hfi_arena.nodes[i].id);
        printf("# node %u has %zu of %zu blocks, %zu pages used\n", hfi_arena.nodes[i].id, here, blocks.count,
               pages_of(i));
        most = hfi_max(most, here);
        least = hfi_min(least, here);
    }
    lab_ok(most - least <= blocks.count / 20 && least > 0,
           "interleave: of %zu blocks the nodes have from %zu to %zu", blocks.count, least, most);
    lab_free_all(&blocks);
}

static void test_node(unsigned node)
{
    for (unsigned i = 0; i < hfi_arena.node_count; i++)
        in_thread(fill_where_it_runs, &(struct errand){ hfi_arena.nodes[i].id, node });
}

static void *ask_all_nodes(void *argument)
{
    const struct errand *errand = argument;
    static const size_t sizes[] = { 16, 100, 5000, 60000, 300000 };
    struct lab_blocks blocks = { NULL, 0 }, own = { NULL, 0 };
    size_t own_astray = 0;
    lab_run_on(errand->runs_on);
    for (unsigned i = 0; i < hfi_arena.node_count; i++) {
        unsigned node = hfi_arena.nodes[i].id;
        size_t astray = 0;
        for (int n = 0; n < 50; n++) {
            size_t bytes = sizes[n % 5];
            unsigned char *block = hf_malloc_onnode(bytes, node);
            CHECK(block != NULL);
            memset(block, n, bytes);
            astray += lab_node_of(block) != (int)node || lab_node_of(block + bytes - 1) != (int)node ||
                      hf_node_of(block) != (int)node;
            lab_push(&blocks, block);
            CHECK(lab_push(&own, malloc(bytes)));
            own_astray += lab_node_of(own.first) != (int)errand->runs_on;
        }
        lab_ok(astray == 0, "thread on node %u: 50 blocks of node %u are there (%zu are not)",
               errand->runs_on, node, astray);
    }
    /* pages that it fills elsewhere and frees into do not become its own */
    for (unsigned i = 0; i < hfi_arena.node_count; i++) {
        void *there[40];
        for (int n = 0; n < 40; n++)
            CHECK((there[n] = hf_malloc_onnode(5000, hfi_arena.nodes[i].id)) != NULL);
        for (int n = 0; n < 40; n += 2)
            free(there[n]);
        for (int n = 0; n < 40; n++) {
            CHECK(lab_push(&own, malloc(5000)));
            own_astray += lab_node_of(own.first) != (int)errand->runs_on;
        }
        for (int n = 1; n < 40; n += 2)
            free(there[n]);
    }
    lab_ok(own_astray == 0, "thread on node %u: its ordinary blocks meanwhile are at home (%zu are not)",
           errand->runs_on, own_astray);
    lab_free_all(&blocks);
    lab_free_all(&own);
    return NULL;
}

static void test_onnode(void)
{
    for (unsigned i = 0; i < hfi_arena.node_count; i++)
        in_thread(ask_all_nodes, &(struct errand){ hfi_arena.nodes[i].id, 0 });
    errno = 0;
    lab_ok(hf_malloc_onnode(100, 63) == NULL && errno == EINVAL, "a node that is not there is EINVAL");
    struct lab_blocks blocks = { NULL, 0 };
    unsigned last = hfi_arena.nodes[hfi_arena.node_count - 1].id;
    size_t got = 0;
    errno = 0;
    for (void *block; (block = hf_malloc_onnode(60000, last)) != NULL; got += 60000)
        lab_push(&blocks, block);
    lab_ok(errno == ENOMEM && lab_on_node(&blocks, last) == blocks.count,
           "a full node is ENOMEM, and nothing went elsewhere");
    lab_ok(got > hfi_arena.reservation.nodes[hfi_arena.node_count - 1].bytes / 100 * 90,
           "it was full (%zu MiB in blocks)", got >> 20);
    lab_free_all(&blocks);
    char on_stack;
    lab_ok(hf_node_of(&on_stack) == -1 && hf_node_of(NULL) == -1, "hf_node_of outside of the arena is -1");
}

int main(int argc, char **argv)
{
    lab_start();
    CHECK(argc >= 2);
    if (strcmp(argv[1], "local") == 0)
        test_local();
    else if (strcmp(argv[1], "home") == 0)
        test_home(argv + 2);
    else if (strcmp(argv[1], "interleave") == 0)
        test_interleave();
    else if (strcmp(argv[1], "node") == 0)
        test_node((unsigned)atoi(argv[2]));
    else
        test_onnode();
    for (unsigned i = 0; i < hfi_arena.node_count; i++) {
        const char *broken = hfi_arena_audit(&hfi_arena.nodes[i]);
        lab_ok(broken == NULL, "audit of node %u: %s", hfi_arena.nodes[i].id,
               broken == NULL ? "whole" : broken);
    }
    return 0;
}
