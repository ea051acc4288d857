/*
 * calls: libFuzzer over sequences of allocator calls.
 *
 * Four bytes of input are one call: a slot, what to do with it, a size. Marks at both ends of each
 * block, zeroes of calloc, alignment, usable size and the contents kept by realloc are checked,
 * and the theap is audited at the end of each sequence.  The arena is small, so full ones are met too.
 *
 *   make fuzz FUZZ_SECONDS=3600
 */
#include <holdfast/holdfast.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "theap.h"

#define SLOTS 64

struct slot {
    unsigned char *block;
    size_t bytes;
    unsigned char mark;
};

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

static void replace(struct slot *slot, unsigned kind, unsigned align_bit, size_t bytes)
{
    hf_free(slot->block);
    slot->block = NULL;
    switch (kind) {
    case 0:
        slot->block = hf_malloc(bytes);
        break;
    case 1:
        slot->block = hf_calloc(bytes, 1);
        for (size_t i = 0; slot->block != NULL && i < bytes; i++)
            require(slot->block[i] == 0);
        break;
    case 2:
        slot->block = hf_aligned_alloc((size_t)1 << align_bit, bytes);
        require((uintptr_t)slot->block % ((size_t)1 << align_bit) == 0);
        break;
    }
}

static void step(struct slot *slots, const uint8_t *input, size_t at)
{
    struct slot *slot = &slots[input[0] % SLOTS];
    unsigned kind = input[1] & 7;
    size_t bytes = ((size_t)input[2] | (size_t)input[3] << 8) << ((input[1] >> 3) % 9);
    check(slot);
    if (kind < 3 || kind > 4) {
        replace(slot, kind, 4 + input[0] % 17, bytes);
    } else if (bytes != 0) {
        unsigned char *again = hf_realloc(slot->block, bytes);
        if (again == NULL)
            return; /* the block stands as it was */
        require(slot->block == NULL || slot->bytes == 0 || again[0] == slot->mark);
        slot->block = again;
    } else {
        return;
    }
    mark(slot, bytes, (unsigned char)(input[0] ^ at));
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
    hf_free(hf_malloc(1));
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length)
{
    struct slot slots[SLOTS] = { { .block = NULL } };
    for (size_t at = 0; at + 4 <= length; at += 4)
        step(slots, input + at, at);
    for (size_t i = 0; i < SLOTS; i++) {
        check(&slots[i]);
        hf_free(slots[i].block);
    }
    require(hfi_theap_audit(hfi_theap) == NULL);
    require(hfi_arena_audit(&hfi_arena.nodes[0]) == NULL);
    return 0;
}
