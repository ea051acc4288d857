/*
 * nodes: placement on an arena of four nodes that this machine does not have: a description gives
 * them distances, memory lies wherever the kernel puts it, and hf_node_of says which part of the
 * arena it is.  What needs real nodes is tested in tests/lab.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <holdfast/claim.h>
#include <holdfast/heap.h>
#include <holdfast/holdfast.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "malloc/init.h"
#include "arena/pagemap.h"
#include "app/stats.h"
#include "heap/theaps.h"
#include "heap/theap.h"

#define NODES 4
#define NODE_BYTES ((size_t)8 << 20)

static void set_up_with(const char *inspect)
{
    setenv("HWLOC_SYNTHETIC", "numa:4 core:2 pu:1", 1);
    setenv("HOLDFAST_ARENA", "32M", 1);
    setenv("HOLDFAST_BACKING", "4k", 1);
    setenv("HOLDFAST_LOCK", "no", 1);
    setenv("HOLDFAST_INSPECT", inspect, 1);
    freopen("/dev/null", "w", stderr); /* binding is refused, the arena runs full */
    hf_free(hf_malloc(1));
    cr_assert_eq(hfi_arena.node_count, NODES);
}

static void set_up(void)
{
    set_up_with("0");
}

static void set_up_shown(void)
{
    set_up_with("1");
}

TestSuite(nodes, .init = set_up);
TestSuite(shown, .init = set_up_shown);

static void assert_sound(void)
{
    const char *broken = hfi_theap_audit(hfi_theap);
    for (unsigned i = 0; i < NODES && broken == NULL; i++)
        broken = hfi_arena_audit(&hfi_arena.nodes[i]);
    cr_assert_null(broken, "%s", broken);
}

struct list {
    void **first;
    size_t count, on_node[NODES];
};

static bool push(struct list *list, void *block)
{
    if (block == NULL)
        return false;
    *(void **)block = list->first;
    list->first = block;
    list->count++;
    list->on_node[hf_node_of(block)]++;
    return true;
}

static void free_all(struct list *list)
{
    while (list->first != NULL) {
        void **next = *list->first;
        hf_free(list->first);
        list->first = next;
    }
    *list = (struct list){ NULL, 0, { 0 } };
}

Test(nodes, of_every_address)
{
    for (unsigned i = 0; i < NODES; i++) {
        const struct reserved_node *node = &hfi_arena.reservation.nodes[i];
        cr_assert_eq(hf_node_of(node->start), (int)i);
        cr_assert_eq(hf_node_of(node->start + node->bytes - 1), (int)i);
        cr_assert_eq(hf_node_of(node->start + node->bytes), -1, "the rest of its window");
    }
    cr_assert_eq(hf_node_of(hfi_base), -1, "owners are no node's");
    cr_assert_eq(hf_node_of(NULL), -1);
}

/* What was claimed is of the own node, and is had before anything of another one. */
Test(nodes, claimed)
{
    const size_t sizes[] = { 300000, 300000, 20000 };
    struct list list = { NULL, 0, { 0 } };
    struct hf_claim claim;
    unsigned home = hfi_theap->node->index;
    cr_assert_eq(hf_claim(sizes, 3, &claim), 0);
    while (list.count == list.on_node[home])
        cr_assert(push(&list, hf_malloc(150000)));
    for (int i = 0; i < 3; i++)
        cr_assert(push(&list, hf_malloc(sizes[i])));
    cr_assert_eq(list.count, list.on_node[home] + 1);
    cr_assert(push(&list, hf_malloc(sizes[0])));
    cr_assert_eq(list.count, list.on_node[home] + 2, "the others have room");
    hf_claim_end(&claim);
    assert_sound();
    free_all(&list);
}

/* What the theap has is withheld from malloc, also from frees of others' blocks, and is there again. */
Test(nodes, heap_in_use)
{
    struct hf_heap_options options = { .size_bytes = sizeof options };
    struct hf_heap *heap = hf_heap_create(&options);
    void *blocks[200];
    for (size_t i = 0; i < 200; i++)
        blocks[i] = hf_malloc(16 + i * 40);
    cr_assert_eq(hf_heap_use(heap), hf_heap_default());
    for (size_t i = 0; i < 200; i++) {
        hf_free(blocks[i]);
        blocks[i] = hf_malloc(16 + i * 40);
        cr_assert_eq(hf_heap_of(blocks[i]), heap);
        assert_sound();
    }
    cr_assert_eq(hf_heap_use(NULL), heap);
    assert_sound();
    for (size_t i = 0; i < 200; i++)
        cr_assert_eq(hf_heap_of(hf_malloc(16 + i * 40)), hf_heap_default());
    hf_heap_destroy(heap);
    assert_sound();
}

Test(nodes, blocks_on_a_node)
{
    static const size_t sizes[] = { 1, 16, 1000, 20000, 200000, 300000, 1000000 };
    unsigned char *blocks[NODES][7];
    for (unsigned i = 0; i < NODES; i++)
        for (int s = 0; s < 7; s++) {
            blocks[i][s] = hf_malloc_onnode(sizes[s], i);
            cr_assert_not_null(blocks[i][s]);
            cr_assert_eq(hf_node_of(blocks[i][s]), (int)i);
            cr_assert_eq((uintptr_t)blocks[i][s] % 16, 0);
            cr_assert_geq(hf_usable_size(blocks[i][s]), sizes[s]);
            memset(blocks[i][s], (int)i, sizes[s]);
        }
    assert_sound();
    for (unsigned i = 0; i < NODES; i++)
        for (int s = 0; s < 7; s++) {
            for (size_t at = 0; at < sizes[s]; at += 7)
                cr_assert_eq(blocks[i][s][at], i);
            hf_free(blocks[i][s]);
        }
    assert_sound();
    for (unsigned i = 1; i < NODES; i++)
        cr_assert_geq(hfi_arena_free_pages(&hfi_arena.nodes[i]),
                      hfi_arena.nodes[i].page_count - hfi_arena.nodes[i].meta_pages - 1,
                      "node %u is empty again, except for theaps", i);
}

/* The thread's own page is there, with room that it has not linked yet; ordinary blocks would leave
 * it for home. */
Test(nodes, blocks_on_a_node_that_the_thread_was_moved_from)
{
    struct list list = { NULL, 0, { 0 } };
    hfi_options.place = PLACE_NODE;
    hfi_theap_move(hfi_theap, &hfi_arena.nodes[3]);
    cr_assert(push(&list, hf_malloc(1300)));
    const struct page *page = hfi_page_at(hfi_index_of(list.first));
    hfi_theap_move(hfi_theap, &hfi_arena.nodes[0]);
    for (int i = 0; i < 40; i++)
        cr_assert(push(&list, hf_malloc_onnode(1300, 3)));
    cr_assert_eq(list.on_node[3], list.count, "%zu of %zu", list.on_node[3], list.count);
    cr_assert_eq(hfi_page_at(hfi_index_of(list.first)), page, "the page at hand serves");
    assert_sound();
    free_all(&list);
    assert_sound();
}

Test(nodes, what_is_refused)
{
    errno = 0;
    cr_assert_null(hf_malloc_onnode(100, NODES));
    cr_assert_eq(errno, EINVAL);
    errno = 0;
    cr_assert_null(hf_malloc_onnode(100, ~0u));
    cr_assert_eq(errno, EINVAL);
    static const size_t absurd[] = { SIZE_MAX, (size_t)PTRDIFF_MAX + 1, (size_t)5 << 40, NODE_BYTES + 1 };
    for (int i = 0; i < 4; i++) {
        errno = 0;
        cr_assert_null(hf_malloc_onnode(absurd[i], 1));
        cr_assert_eq(errno, ENOMEM);
    }
}

Test(nodes, full_node_is_enomem_and_refills)
{
    static const size_t sizes[] = { 48, 5000, 300000 };
    for (int s = 0; s < 3; s++) {
        struct list list = { NULL, 0, { 0 } };
        errno = 0;
        while (push(&list, hf_malloc_onnode(sizes[s], 2)))
            ;
        cr_assert_eq(errno, ENOMEM);
        cr_assert_eq(list.on_node[2], list.count);
        cr_assert_gt(list.count * sizes[s], NODE_BYTES / 100 * 85, "%zu blocks of %zu", list.count, sizes[s]);
        assert_sound();
        size_t before = list.count;
        free_all(&list);
        while (push(&list, hf_malloc_onnode(sizes[s], 2)))
            ;
        cr_assert_geq(list.count, before);
        free_all(&list);
        assert_sound();
    }
}

#define THREADS 4
#define TURNS 4000

/* Blocks of all nodes, most of them freed by another thread than the one that asked. */
static _Atomic(void *) exchange[64];

static void *ask_and_free(void *argument)
{
    uint64_t random = (uintptr_t)argument * 0x9e3779b97f4a7c15u;
    size_t wrong = 0;
    for (int i = 0; i < TURNS; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        unsigned node = random >> 60 & 3;
        size_t bytes = 16 + (random >> 33) % (random >> 20 & 7 ? 800 : 40000);
        unsigned char *block = i % 3 == 0 ? hf_malloc(bytes) : hf_malloc_onnode(bytes, node);
        wrong += block == NULL || (i % 3 != 0 && hf_node_of(block) != (int)node);
        if (block == NULL)
            continue;
        memset(block, (int)bytes, bytes);
        hf_free(atomic_exchange(&exchange[random >> 40 & 63], block));
    }
    return (void *)wrong;
}

Test(nodes, threads_ask_for_all_nodes)
{
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, ask_and_free, (void *)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        cr_assert_eq((size_t)wrong, 0);
    }
    for (int i = 0; i < 64; i++)
        hf_free(exchange[i]);
    assert_sound();
    for (unsigned i = 1; i < NODES; i++)
        cr_assert_geq(hfi_arena_free_pages(&hfi_arena.nodes[i]),
                      hfi_arena.nodes[i].page_count - hfi_arena.nodes[i].meta_pages - 2,
                      "node %u holds no page but theaps", i);
}

Test(nodes, interleave)
{
    struct list list = { NULL, 0, { 0 } };
    hfi_options.place = PLACE_INTERLEAVE;
    hfi_options.remote_allow = false;
    for (int i = 0; i < 200; i++)
        cr_assert(push(&list, hf_malloc(60000)));
    for (unsigned i = 0; i < NODES; i++)
        cr_assert(list.on_node[i] >= 48 && list.on_node[i] <= 52, "node %u has %zu of 200", i,
                  list.on_node[i]);
    while (push(&list, hf_malloc(60000)))
        ;
    cr_assert_gt(list.count * 60000, NODES * NODE_BYTES / 100 * 85,
                 "deny does not keep it from filling all nodes");
    free_all(&list);
    assert_sound();
}

static struct hf_heap *new_heap(unsigned flags)
{
    struct hf_heap_options options = { .size_bytes = sizeof options, .name = "spread", .flags = flags };
    return hf_heap_create(&options);
}

/* Whatever HOLDFAST_REMOTE says, and until all of them are full. */
static void fill_interleaved(unsigned flags, size_t bytes)
{
    struct list list = { NULL, 0, { 0 } };
    struct hf_heap *heap = new_heap(flags | HF_HEAP_INTERLEAVE);
    cr_assert_not_null(heap);
    for (size_t i = 0; i < ((size_t)2 << 20) / bytes; i++)
        cr_assert(push(&list, hf_heap_malloc(heap, bytes)));
    for (unsigned i = 0; i < NODES; i++) {
        size_t most = list.count / NODES + list.count / 8 + 2, least = list.count / NODES - list.count / 8;
        cr_assert(list.on_node[i] + 2 >= least && list.on_node[i] <= most, "node %u has %zu of %zu", i,
                  list.on_node[i], list.count);
    }
    while (push(&list, hf_heap_malloc(heap, bytes)))
        ;
    cr_assert_gt(list.count * bytes, NODES * NODE_BYTES / 100 * 70, "%zu of %zu bytes", list.count, bytes);
    hf_heap_destroy(heap);
    assert_sound();
}

Test(nodes, heaps_interleave)
{
    static const size_t sizes[] = { 200000, 60000, 1000 }; /* descriptors of pieces stay in between */
    hfi_options.remote_allow = false;
    for (size_t i = 0; i < 3; i++) {
        fill_interleaved(HF_HEAP_REGION, sizes[i]);
        fill_interleaved(0, sizes[i]);
    }
}

Test(nodes, heaps_are_local_or_of_a_node_or_interleave)
{
    struct list list = { NULL, 0, { 0 } };
    struct hf_heap *heap = new_heap(HF_HEAP_REGION);
    for (int i = 0; i < 20; i++)
        cr_assert(push(&list, hf_heap_malloc(heap, 60000)));
    cr_assert_eq(list.on_node[hfi_theap->node->id], 20);
    cr_assert_null(new_heap(HF_HEAP_NODE | HF_HEAP_INTERLEAVE));
    cr_assert_eq(errno, EINVAL);
    hf_heap_destroy(heap);
}

/* The nodes are equally far: the order is cyclic. */
Test(nodes, overflow_and_return)
{
    struct list list = { NULL, 0, { 0 } };
    int last = -1, turns[16], turn_count = 0;
    struct counters counters;
    hfi_options.place = PLACE_NODE;
    hfi_theap_move(hfi_theap, &hfi_arena.nodes[2]);
    while (push(&list, hf_malloc(60000)))
        if (hf_node_of(list.first) != last && turn_count < 16)
            turns[turn_count++] = last = hf_node_of(list.first);
    cr_assert_eq(turn_count, 4);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(turns[i], (2 + i) % 4, "turn %d was node %d", i, turns[i]);
    hfi_stats_counters(&counters);
    cr_assert_eq(hfi_counters_away(&counters), list.count - list.on_node[2]);
    free_all(&list);
    cr_assert(push(&list, hf_malloc(60000)));
    cr_assert_eq(list.on_node[2], 1, "home has room again");
    free_all(&list);
    assert_sound();
}

static bool is_shown_full(unsigned node)
{
    return (hfi_load_relaxed(&hfi_shown()->xnodes)[node].flags & HF_INSPECT_NODE_FULL) != 0;
}

/* Though every call is served, and by another node at that. */
Test(shown, full_node_that_others_stand_in_for)
{
    struct list list = { NULL, 0, { 0 } };
    hfi_options.place = PLACE_NODE;
    hfi_theap_move(hfi_theap, &hfi_arena.nodes[2]);
    while (list.count == list.on_node[2]) {
        cr_assert(!is_shown_full(2));
        cr_assert(push(&list, hf_malloc(300000)));
    }
    cr_assert(is_shown_full(2));
    cr_assert(!is_shown_full(3));
    const struct hf_inspect_node *home = &hfi_load_relaxed(&hfi_shown()->xnodes)[2];
    cr_assert_geq(home->high_water, NODE_BYTES / 100 * 85);
    free_all(&list);
    hf_free(hf_malloc(300000)); /* the node is asked */
    cr_assert(!is_shown_full(2));
}

Test(nodes, deny)
{
    struct list list = { NULL, 0, { 0 } };
    hfi_options.place = PLACE_NODE;
    hfi_options.remote_allow = false;
    hfi_theap_move(hfi_theap, &hfi_arena.nodes[1]);
    errno = 0;
    while (push(&list, hf_malloc(60000)))
        ;
    cr_assert_eq(errno, ENOMEM);
    cr_assert_eq(list.on_node[1], list.count);
    cr_assert_not_null(hf_malloc_onnode(60000, 3), "asked for by name");
    free_all(&list);
}

/* Pages with room on the old node are left when the class is refilled, not used up first. */
Test(nodes, moved_theap_leaves)
{
    struct list list = { NULL, 0, { 0 } };
    hfi_options.place = PLACE_NODE;
    hfi_theap_move(hfi_theap, &hfi_arena.nodes[3]);
    for (int i = 0; i < 400; i++) /* eight pages of fifty blocks each */
        push(&list, hf_malloc(1300));
    void **other = NULL;
    size_t freed = 0;
    while (list.first != NULL) { /* three of four: every page has room */
        void **block = list.first;
        list.first = *block;
        if (freed++ % 4 != 0) {
            hf_free(block);
        } else {
            *block = other;
            other = block;
        }
    }
    hfi_theap_move(hfi_theap, &hfi_arena.nodes[0]);
    struct list moved = { NULL, 0, { 0 } };
    for (int i = 0; i < 200; i++)
        push(&moved, hf_malloc(1300));
    cr_assert_geq(moved.on_node[0], 150, "%zu of 200 are at the new home", moved.on_node[0]);
    cr_assert_eq(moved.on_node[1] + moved.on_node[2], 0);
    assert_sound();
    free_all(&moved);
    list.first = other;
    free_all(&list);
    assert_sound();
}
