/*
 * calls: libFuzzer over sequences of allocator calls by three threads.
 *
 * Four bytes of input are one call: who makes it and on which slot, what it is, a size.  The
 * threads take turns, so that an input does the same each time, except for what an earlier one
 * left; blocks are freed by any of them, and threads end and begin between calls.  A slot holds one
 * block, and a chain of blocks of one size, long enough to fill pages.  Marks at both ends of each
 * block, zeroes of calloc, alignment, usable size and the contents kept by realloc are checked;
 * after each sequence theaps and arena are audited, and once threads have ended nine tenths of the
 * arena are one block.  The arena is small, so full ones are met too.
 *
 *   make fuzz FUZZ_SECONDS=3600
 */
#include <holdfast/holdfast.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "heap/theap.h"
#include "arena/arena.h"

#define SLOTS 64
#define LANES 3 /* the first is the fuzzer's own thread */
#define ARENA_BYTES ((size_t)32 << 20)
#define CHAIN_MAX 4096

struct link {
    struct link *next;
    uintptr_t mark; /* of its own address */
};

struct slot {
    unsigned char *block;
    size_t bytes;
    unsigned char mark;
    struct link *chain;
};

enum kind {
    KIND_MALLOC,
    KIND_CALLOC,
    KIND_ALIGNED,
    KIND_REALLOC,
    KIND_CHAIN,
    KIND_UNCHAIN,
    KIND_THREAD,
    KIND_FREE
};

struct lane {
    sem_t begin, done;
    pthread_t thread;
    bool runs, ends;
    const uint8_t *call;
};

static struct slot slots[SLOTS];
static struct lane lanes[LANES];

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void check(const struct slot *slot)
{
    if (slot->block == NULL)
        return;
    require(hf_usable_size(slot->block) >= slot->bytes);
    if (slot->bytes != 0)
        require(slot->block[0] == slot->mark && slot->block[slot->bytes - 1] == slot->mark);
}

static void mark(struct slot *slot, size_t bytes, unsigned char with)
{
    slot->bytes = slot->block == NULL ? 0 : bytes;
    slot->mark = with;
    if (slot->bytes != 0)
        slot->block[0] = slot->block[bytes - 1] = with;
}

/* That `bytes` at `block` are zero; a block equal to itself one byte on is all of its first
 * byte. */
static bool is_zero(const unsigned char *block, size_t bytes)
{
    return bytes == 0 || (block[0] == 0 && memcmp(block, block + 1, bytes - 1) == 0);
}

static void replace(struct slot *slot, enum kind kind, unsigned align_bit, size_t bytes)
{
    hf_free(slot->block);
    slot->block = NULL;
    if (kind == KIND_MALLOC) {
        slot->block = hf_malloc(bytes);
    } else if (kind == KIND_CALLOC) {
        slot->block = hf_calloc(bytes, 1);
        require(slot->block == NULL || is_zero(slot->block, bytes));
    } else if (kind == KIND_ALIGNED) {
        slot->block = hf_aligned_alloc((size_t)1 << align_bit, bytes);
        require((uintptr_t)slot->block % ((size_t)1 << align_bit) == 0);
    }
}

static bool resize(struct slot *slot, size_t bytes)
{
    unsigned char *again = hf_realloc(slot->block, bytes);
    if (again == NULL)
        return false; /* the block stands as it was */
    require(slot->block == NULL || slot->bytes == 0 || again[0] == slot->mark);
    slot->block = again;
    return true;
}

static void extend_chain(struct slot *slot, size_t count, size_t bytes)
{
    for (; count > 0; count--) {
        struct link *link = hf_malloc(bytes < sizeof *link ? sizeof *link : bytes);
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

static void step(struct slot *slot, const uint8_t *input)
{
    enum kind kind = input[1] & 7;
    unsigned more = input[1] >> 3;
    size_t size = (size_t)input[2] | (size_t)input[3] << 8;
    size_t bytes = kind == KIND_ALIGNED ? size : size << (more % 9);
    check(slot);
    switch (kind) {
    case KIND_REALLOC:
        if (bytes == 0 || !resize(slot, bytes))
            return;
        break;
    case KIND_CHAIN: extend_chain(slot, size % CHAIN_MAX, (size_t)16 * (1 + more * more)); return;
    case KIND_UNCHAIN: shorten_chain(slot, size % CHAIN_MAX, 1 + more % 4); return;
    case KIND_THREAD: hf_thread_idle(); return;
    default: replace(slot, kind, 4 + more % 17, bytes);
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
    if ((input[1] & 7) == KIND_THREAD && (input[1] >> 3) % 2 == 0) {
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
    hf_free(hf_malloc(1));
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length)
{
    for (size_t at = 0; at + 4 <= length; at += 4)
        call(&lanes[(input[at] >> 6) % LANES], input + at);
    for (struct slot *slot = slots; slot < slots + SLOTS; slot++) {
        check(slot);
        hf_free(slot->block);
        shorten_chain(slot, SIZE_MAX, 1);
        *slot = (struct slot){ .block = NULL };
    }
    /* the others sleep on, and keep a page of each size, or end */
    bool ends = length == 0 || input[0] % 2 == 0;
    for (size_t i = 0; ends && i < LANES; i++)
        end_lane(&lanes[i]);
    void *most = hf_malloc(ARENA_BYTES / 10 * 9);
    require(most != NULL || !ends);
    hf_free(most);
    require(hfi_theap_audit(hfi_theap) == NULL);
    require(hfi_arena_audit(&hfi_arena.nodes[0]) == NULL);
    return 0;
}
