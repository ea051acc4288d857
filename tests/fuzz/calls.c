/*
 * calls: libFuzzer over sequences of allocator calls by three threads.
 *
 * Five bytes of input are one call: who makes it and on which slot, what it is and of which heap, a
 * size, and one more number.  The
 * threads take turns, so that an input does the same each time, except for what an earlier one
 * left; blocks are freed by any of them, and threads end and begin between calls.  A slot holds one
 * block, and a chain of blocks of one size, long enough to fill pages.  Marks at both ends of each
 * block, zeroes of calloc, alignment, usable size and the contents kept by realloc are checked;
 * after each sequence theaps and arena are audited, and once threads have ended nine tenths of the
 * arena are one block, until heaps have once filled it.  The arena is small, so full ones are met too.
 *
 * Blocks and chains are the program's or of one of its heaps, which are created, limited and
 * destroyed between calls, with their blocks live.  Plain calls come from a heap that is in use for
 * them.  What heaps hold is what hf_stats says of them, and their pages are audited.  Some have a soft
 * limit, whose callback allocates and frees, as two handlers of low-water marks do.
 *
 * What is claimed is had, in a full arena too.
 *
 *   make fuzz FUZZ_SECONDS=3600
 */
#include <errno.h>
#include <holdfast/claim.h>
#include <holdfast/heap.h>
#include <holdfast/holdfast.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena/arena.h"
#include "heap/heap.h"
#include "heap/pieces.h"
#include "heap/reuse.h"
#include "heap/theap.h"
#include "heap/zone.h"

#define SLOTS 64
#define LANES 3 /* the first is the fuzzer's own thread */
#define ARENA_BYTES ((size_t)32 << 20)
#define CHAIN_MAX 4096
#define HEAPS 8
#define INPUT_BYTES 5               /* of one call */
#define MARKED_BYTES ((size_t)2048) /* at each end of a block */

struct link {
    struct link *next;
    uintptr_t mark; /* of its own address */
};

struct slot {
    unsigned char *block;
    size_t bytes;
    unsigned char mark;
    struct hf_heap *home; /* of the block */
    struct link *chain;
    struct hf_heap *chain_home;
};

enum kind {
    KIND_MALLOC,
    KIND_CALLOC,
    KIND_ALIGNED,
    KIND_REALLOC,
    KIND_CHAIN,
    KIND_UNCHAIN,
    KIND_THREAD,
    KIND_FREE,
    KIND_HEAP_MALLOC,
    KIND_HEAP_CALLOC,
    KIND_HEAP_ALIGNED,
    KIND_HEAP_REALLOC,
    KIND_HEAP_CHAIN,
    KIND_HEAP_CREATE,
    KIND_HEAP_LIMIT,
    KIND_HEAP_DESTROY
};

struct lane {
    sem_t begin, done;
    pthread_t thread;
    bool runs, ends;
    const uint8_t *call;
};

static struct slot slots[SLOTS];
static struct lane lanes[LANES];
static struct hf_heap *heaps[HEAPS];
static _Thread_local struct hf_heap *used; /* what plain calls come from; NULL: the default heap */

#define require(condition) require_at(condition, #condition, __LINE__)

static void require_at(bool condition, const char *text, int line)
{
    if (condition)
        return;
    fprintf(stderr, "calls.c:%d: %s\n", line, text);
    abort();
}

/* A block is filled at its ends, the whole of most. */
static size_t marked_bytes(size_t bytes)
{
    return bytes < MARKED_BYTES ? bytes : MARKED_BYTES;
}

/* That `bytes` at `block` are `with`: a block equal to itself one byte on is all of its first
 * byte. */
static bool is_all(const unsigned char *block, size_t bytes, unsigned char with)
{
    return bytes == 0 || (block[0] == with && memcmp(block, block + 1, bytes - 1) == 0);
}

static void check(const struct slot *slot)
{
    if (slot->block == NULL)
        return;
    size_t marked = marked_bytes(slot->bytes);
    require(hf_usable_size(slot->block) >= slot->bytes);
    require(hf_heap_of(slot->block) == slot->home);
    require(is_all(slot->block, marked, slot->mark));
    require(is_all(slot->block + slot->bytes - marked, marked, slot->mark));
}

static void mark(struct slot *slot, size_t bytes, unsigned char with)
{
    slot->bytes = slot->block == NULL ? 0 : bytes;
    slot->mark = with;
    if (slot->bytes == 0)
        return;
    size_t marked = marked_bytes(bytes);
    memset(slot->block, with, marked);
    memset(slot->block + bytes - marked, with, marked);
}

static struct hf_heap *plain_home(void)
{
    return used != NULL ? used : hf_heap_default();
}

static void replace(struct slot *slot, struct hf_heap *heap, enum kind kind, unsigned align_bit, size_t bytes)
{
    size_t align = kind == KIND_ALIGNED || kind == KIND_HEAP_ALIGNED ? (size_t)1 << align_bit : 1;
    unsigned char *block = NULL;
    hf_free(slot->block);
    errno = 0;
    switch (kind) {
    case KIND_MALLOC: block = hf_malloc(bytes); break;
    case KIND_CALLOC: block = hf_calloc(bytes, 1); break;
    case KIND_ALIGNED: block = hf_aligned_alloc(align, bytes); break;
    case KIND_HEAP_MALLOC: block = hf_heap_malloc(heap, bytes); break;
    case KIND_HEAP_CALLOC: block = hf_heap_calloc(heap, 1, bytes); break;
    case KIND_HEAP_ALIGNED: block = hf_heap_aligned_alloc(heap, align, bytes); break;
    default: break;
    }
    slot->block = block;
    slot->home = kind < KIND_HEAP_MALLOC ? plain_home() : heap;
    require(block != NULL || kind == KIND_FREE || errno == ENOMEM);
    require((uintptr_t)block % align == 0);
    if (block != NULL && (kind == KIND_CALLOC || kind == KIND_HEAP_CALLOC))
        require(is_all(block, bytes, 0));
}

/* In `heap`, or, where that is NULL, in the block's own. */
static bool resize(struct slot *slot, struct hf_heap *heap, size_t bytes)
{
    struct hf_heap *own = slot->block != NULL ? slot->home : plain_home();
    size_t kept = marked_bytes(bytes < slot->bytes ? bytes : slot->bytes);
    unsigned char *again =
        heap == NULL ? hf_realloc(slot->block, bytes) : hf_heap_realloc(heap, slot->block, bytes);
    if (again == NULL)
        return false; /* the block stands as it was */
    require(slot->block == NULL || is_all(again, kept, slot->mark));
    slot->block = again;
    slot->home = hf_heap_of(again);
    require(slot->home == own || slot->home == heap);
    return true;
}

/* A chain is of one heap. */
static void extend_chain(struct slot *slot, struct hf_heap *heap, size_t count, size_t bytes)
{
    if (slot->chain == NULL)
        slot->chain_home = heap;
    for (; count > 0; count--) {
        struct link *link = hf_heap_malloc(slot->chain_home, bytes < sizeof *link ? sizeof *link : bytes);
        if (link == NULL)
            return;
        *link = (struct link){ slot->chain, ~(uintptr_t)link };
        slot->chain = link;
    }
}

/* Frees `count` links of each `every`, from the chain's end. */
static void shorten_chain(struct slot *slot, size_t count, size_t every)
{
    struct link **at = &slot->chain;
    for (size_t step = 0; *at != NULL && count > 0; step++) {
        struct link *link = *at;
        require(link->mark == ~(uintptr_t)link);
        if (step % every != 0) {
            at = &link->next;
            continue;
        }
        *at = link->next;
        link->mark = 0;
        hf_free(link);
        count--;
    }
}

/* --- heaps --- */

static bool is_called; /* one thread at a time makes calls */

/* The heap holds more than that; or its call would fail at its limit. */
static void over_soft_limit(struct hf_heap *heap, size_t held, void *unused)
{
    (void)unused;
    require(!is_called);
    is_called = true;
    struct hf_heap_stats stats;
    require(hf_heap_stats(heap, &stats, sizeof stats) == 0 && held == stats.held &&
            stats.soft_crossings != 0);
    require(held > stats.soft_limit || stats.limit != 0);
    hf_free(hf_heap_malloc(heap, 1 + held % 9000));
    hf_free(hf_malloc(1 + held % 300000));
    is_called = false;
}

static size_t low_calls;

/* One of two handlers. */
static bool under_mark(const struct hf_pressure *pressure, void *calls)
{
    require(!is_called && pressure->contiguous <= pressure->free && pressure->bytes != 0);
    is_called = true;
    if (pressure->cause == HF_PRESSURE_LOW && calls != NULL)
        low_calls++;
    require(pressure->heap != NULL);
    hf_free(hf_malloc(1 + pressure->bytes % 300000));
    hf_free(hf_heap_malloc(pressure->heap, 100));
    is_called = false;
    return pressure->cause == HF_PRESSURE_LAST;
}

static void create_heap(struct hf_heap **heap, unsigned more, size_t limit)
{
    bool is_bad = more % 8 == 7, is_elsewhere = more % 8 == 6;
    bool is_general = ((size_t)(heap - heaps) + more / 8) % 2 == 1;
    struct hf_heap_options options = { .size_bytes = sizeof options,
                                       .name = more % 2 == 0 ? "fuzzed" : NULL,
                                       .limit = limit,
                                       .flags = is_bad     ? more
                                              : is_general ? 0
                                                           : HF_HEAP_REGION };
    if (more % 5 == 0)
        options.flags |= HF_HEAP_NODUMP;
    if (more % 4 == 1)
        options.flags |= HF_HEAP_CHECKED;
    if (more % 9 == 4)
        options.flags |= HF_HEAP_INTERLEAVE; /* not known with the flag of a node */
    if (more % 3 == 0) {
        options.soft_limit = limit / 2 + more;
        options.soft_callback = over_soft_limit;
    }
    if (is_bad && more % 16 == 7)
        options.size_bytes = limit % sizeof options;
    if (is_elsewhere || more % 8 == 5)
        options.flags |= HF_HEAP_NODE;
    options.node = is_elsewhere ? 1000 + more : 0;
    if (is_bad)
        options.flags |= (unsigned)4 << more % 8;
    errno = 0;
    struct hf_heap *made = hf_heap_create(&options);
    if (is_bad || is_elsewhere)
        require(made == NULL && errno == EINVAL);
    require(made != NULL || errno != 0);
    *heap = made;
}

static struct hf_heap_stats heap_stats(struct hf_heap *heap)
{
    struct hf_heap_stats stats;
    require(hf_heap_stats(heap, &stats, sizeof stats) == 0);
    require(stats.held <= stats.most && (stats.limit == 0 || stats.held <= stats.limit));
    return stats;
}

static void limit_heap(struct hf_heap *heap, size_t limit)
{
    struct hf_heap_stats before = heap_stats(heap);
    size_t rounded = (limit + HFI_PIECE_BYTES - 1) / HFI_PIECE_BYTES * HFI_PIECE_BYTES;
    bool is_refused = limit != 0 && before.held > rounded;
    require(hf_heap_set_limit(heap, limit) == (is_refused ? -EBUSY : 0));
    struct hf_heap_stats after = heap_stats(heap);
    require(after.limit == (is_refused ? before.limit : rounded) && after.held == before.held);
}

/* With its blocks; one of them is freed after it where `late` is not 0. */
static void destroy_heap(struct hf_heap **heap, unsigned late)
{
    void *block = NULL;
    for (struct slot *slot = slots; slot < slots + SLOTS; slot++) {
        if (slot->block != NULL && slot->home == *heap) {
            check(slot);
            block = slot->block;
            slot->block = NULL;
            slot->bytes = 0;
        }
        if (slot->chain_home == *heap)
            slot->chain = NULL;
    }
    hf_heap_destroy(*heap);
    *heap = NULL;
    if (late)
        hf_free(block);
}

static void check_heaps(void)
{
    struct hf_stats stats;
    uint64_t held = 0;
    for (size_t i = 0; i < HEAPS; i++)
        held += heaps[i] == NULL ? 0 : heap_stats(heaps[i]).held;
    require(hf_stats_get(&stats, sizeof stats) == 0);
    require(stats.heaps - stats.heaps_free == held);
    require(held != 0 || stats.heaps == stats.heaps_free); /* of checked heaps that wait */
    /* another lane may have ended the heap, whose piece is another's then */
    bool is_held = hfi_hold.reuses && hfi_load_relaxed(&hfi_hold.heap->xid) == hfi_hold.id;
    require(!is_held || hfi_reuse_audit(&hfi_hold) == NULL);
    const struct arena_node *node = &hfi_arena.nodes[0];
    require(hfi_zones_audit(node) == NULL);
    for (size_t at = node->first_index; at < node->first_index + node->page_count; at++)
        if (hfi_load_relaxed(hfi_owner_at(at)) == HFI_OWNER_HEAP)
            require(hfi_pieces_audit(hfi_page_at(at)) == NULL);
}

static void step(struct slot *slot, const uint8_t *input);

/* The plain call while its thread uses the heap. */
static void step_used(struct slot *slot, struct hf_heap *heap, const uint8_t *input)
{
    uint8_t plain[INPUT_BYTES];
    memcpy(plain, input, sizeof plain);
    plain[1] = (uint8_t)((input[1] & 15) - KIND_HEAP_MALLOC + KIND_MALLOC);
    if (hf_heap_use(heap) == NULL)
        return;
    used = heap;
    step(slot, plain);
    require(hfi_theap_audit(hfi_theap) == NULL);
    used = NULL;
    require(hf_heap_use(NULL) == heap);
}

/* --- claims --- */

#define CLAIMED_MAX 20

/* What is claimed is had, whatever the arena has besides, and each once. */
static void claim_some(const uint8_t *input)
{
    struct hf_claim claim;
    size_t sizes[CLAIMED_MAX], n = input[4] % CLAIMED_MAX;
    unsigned char *blocks[CLAIMED_MAX];
    for (size_t i = 0; i < n; i++)
        sizes[i] = (size_t)input[i % 4] << (input[(i + 1) % 4] % 13);
    int error = hf_claim(sizes, n, &claim);
    require(error == 0 || error == -EAGAIN);
    for (size_t i = 0; i < n && error == 0; i++) {
        blocks[i] = i % 2 == 0 ? hf_malloc(sizes[i]) : hf_calloc(1, sizes[i]);
        require(blocks[i] != NULL && hf_usable_size(blocks[i]) >= sizes[i]);
        require(i % 2 == 0 || is_all(blocks[i], sizes[i], 0));
        memset(blocks[i], (int)i, sizes[i]);
    }
    for (size_t i = 0; i < n && error == 0; i++) {
        require(is_all(blocks[i], sizes[i], (unsigned char)i));
        if (i % 3 != 0)
            hf_free(blocks[i]);
    }
    hf_claim_end(&claim);
    for (size_t i = 0; i < n && error == 0; i += 3)
        hf_free(blocks[i]);
}

/* Where a heap is asked for and not there, it is made. */
static void step_heap(struct slot *slot, struct hf_heap **heap, const uint8_t *input)
{
    enum kind kind = input[1] & 15;
    unsigned more = input[4];
    size_t size = (size_t)input[2] | (size_t)input[3] << 8;
    size_t bytes = kind == KIND_HEAP_ALIGNED ? size : size << (more % 9);
    if (*heap == NULL)
        create_heap(heap, kind == KIND_HEAP_CREATE ? more : 0, kind == KIND_HEAP_CREATE ? bytes : 0);
    if (*heap == NULL)
        return;
    if ((input[1] & 0x80) != 0 && kind <= KIND_HEAP_REALLOC) {
        step_used(slot, *heap, input);
        return;
    }
    switch (kind) {
    case KIND_HEAP_CREATE: check_heaps(); return;
    case KIND_HEAP_LIMIT: limit_heap(*heap, bytes); return;
    case KIND_HEAP_DESTROY: destroy_heap(heap, more & 1); return;
    case KIND_HEAP_CHAIN: extend_chain(slot, *heap, size % CHAIN_MAX, (size_t)16 + more * more); return;
    case KIND_HEAP_REALLOC:
        if (bytes == 0 || !resize(slot, *heap, bytes))
            return;
        break;
    default: replace(slot, *heap, kind, more % 21, bytes);
    }
    mark(slot, bytes, input[0] ^ input[2]);
}

static void step(struct slot *slot, const uint8_t *input)
{
    enum kind kind = input[1] & 15;
    unsigned more = input[4] % 32;
    size_t size = (size_t)input[2] | (size_t)input[3] << 8;
    size_t bytes = kind == KIND_ALIGNED ? size : size << (more % 9);
    check(slot);
    switch (kind) {
    case KIND_REALLOC:
        if (bytes == 0 || !resize(slot, NULL, bytes))
            return;
        break;
    case KIND_CHAIN:
        extend_chain(slot, hf_heap_default(), size % CHAIN_MAX, (size_t)16 * (1 + more * more));
        return;
    case KIND_UNCHAIN: shorten_chain(slot, size % CHAIN_MAX, 1 + more % 4); return;
    case KIND_THREAD:
        if (input[4] % 4 == 1)
            hf_thread_idle();
        else
            claim_some(input);
        return;
    case KIND_MALLOC:
    case KIND_CALLOC:
    case KIND_ALIGNED:
    case KIND_FREE: replace(slot, NULL, kind, 4 + more % 17, bytes); break;
    default: step_heap(slot, &heaps[(input[1] >> 4) % HEAPS], input); return;
    }
    mark(slot, bytes, input[0] ^ input[2]);
}

static void *lane_runs(void *argument)
{
    struct lane *lane = argument;
    for (;;) {
        while (sem_wait(&lane->begin) != 0)
            ;
        if (lane->ends)
            break;
        step(&slots[lane->call[0] % SLOTS], lane->call);
        sem_post(&lane->done);
    }
    require(hfi_theap_audit(hfi_theap) == NULL);
    return NULL;
}

static void end_lane(struct lane *lane)
{
    if (!lane->runs)
        return;
    lane->ends = true;
    sem_post(&lane->begin);
    require(pthread_join(lane->thread, NULL) == 0);
    lane->runs = lane->ends = false;
}

static void call(struct lane *lane, const uint8_t *input)
{
    if (lane == &lanes[0]) {
        step(&slots[input[0] % SLOTS], input);
        return;
    }
    if ((input[1] & 15) == KIND_THREAD && input[4] % 2 == 0) {
        end_lane(lane);
        return;
    }
    if (!lane->runs)
        require(pthread_create(&lane->thread, NULL, lane_runs, lane) == 0);
    lane->runs = true;
    lane->call = input;
    sem_post(&lane->begin);
    while (sem_wait(&lane->done) != 0)
        ;
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    setenv("HOLDFAST_ARENA", "32M", 1);
    setenv("HOLDFAST_BACKING", "4k", 1);
    setenv("HOLDFAST_LOCK", "no", 1);
    setenv("HOLDFAST_INSPECT", "0", 1);
    for (size_t i = 0; i < LANES; i++)
        require(sem_init(&lanes[i].begin, 0, 0) == 0 && sem_init(&lanes[i].done, 0, 0) == 0);
    struct hf_pressure_options low = { .size_bytes = sizeof low, .handler = under_mark, .low_percent = 40 };
    require(hf_pressure_watch(&low) == 0);
    low.low_bytes = ARENA_BYTES / 10;
    low.low_percent = 0;
    low.context = &low_calls;
    require(hf_pressure_watch(&low) == 0);
    hf_free(hf_malloc(1));
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length)
{
    for (size_t at = 0; at + INPUT_BYTES <= length; at += INPUT_BYTES)
        call(&lanes[(input[at] >> 6) % LANES], input + at);
    check_heaps();
    for (size_t i = 0; i < HEAPS; i++)
        if (heaps[i] != NULL && (length + i) % 2 == 0)
            destroy_heap(&heaps[i], 0);
    check_heaps();
    for (struct slot *slot = slots; slot < slots + SLOTS; slot++) {
        check(slot);
        hf_free(slot->block);
        shorten_chain(slot, SIZE_MAX, 1);
        *slot = (struct slot){ .block = NULL };
    }
    check_heaps();
    for (size_t i = 0; i < HEAPS; i++)
        if (heaps[i] != NULL)
            destroy_heap(&heaps[i], 0);
    check_heaps();
    /* the others sleep on, and keep a page of each size, or end */
    bool ends = length == 0 || input[0] % 2 == 0;
    for (size_t i = 0; ends && i < LANES; i++)
        end_lane(&lanes[i]);
    void *most = hf_malloc(ARENA_BYTES / 10 * 9);
    /* what is known of many heaps lies in pages that never come back */
    bool is_split = hfi_load_relaxed(&hfi_arena.nodes[0].xtheap_pages) != 0;
    require(most != NULL || !ends || is_split);
    hf_free(most);
    require(hfi_theap_audit(hfi_theap) == NULL);
    require(hfi_arena_audit(&hfi_arena.nodes[0]) == NULL);
    return 0;
}
