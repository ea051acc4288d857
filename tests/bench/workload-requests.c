/*
 * requests: each of many requests allocates a hundred blocks, writes to them, and ends with all of
 * them.  Where Holdfast is loaded, each has a heap, a region or a general one, which is destroyed;
 * elsewhere the blocks are freed one by one.
 */
#include "workload.h"

#include <holdfast/heap.h>

#pragma weak hf_heap_create
#pragma weak hf_heap_destroy
#pragma weak hf_heap_malloc

#define REQUEST_BLOCKS 100

/* 16 to 512 bytes. */
static size_t request_size(uint64_t *random)
{
    return 16 + (next_random(random) >> 20) % 497;
}

static void check_blocks(unsigned char **blocks, unsigned char mark)
{
    for (int i = 0; i < REQUEST_BLOCKS; i++)
        if (*blocks[i] != mark)
            fail("a block of a request changed");
}

static unsigned heap_flags;

static void request_on_heap(uint64_t *random, unsigned char mark)
{
    unsigned char *blocks[REQUEST_BLOCKS];
    struct hf_heap_options options = { .size_bytes = sizeof options, .flags = heap_flags };
    struct hf_heap *heap = hf_heap_create(&options);
    if (heap == NULL)
        fail("no heap");
    for (int i = 0; i < REQUEST_BLOCKS; i++) {
        blocks[i] = hf_heap_malloc(heap, request_size(random));
        if (blocks[i] == NULL)
            fail("no memory");
        *blocks[i] = mark;
    }
    check_blocks(blocks, mark);
    hf_heap_destroy(heap);
}

static void request_on_malloc(uint64_t *random, unsigned char mark)
{
    unsigned char *blocks[REQUEST_BLOCKS];
    for (int i = 0; i < REQUEST_BLOCKS; i++) {
        blocks[i] = malloc(request_size(random));
        if (blocks[i] == NULL)
            fail("no memory");
        *blocks[i] = mark;
    }
    check_blocks(blocks, mark);
    for (int i = 0; i < REQUEST_BLOCKS; i++)
        free(blocks[i]);
}

static void run_requests(unsigned flags)
{
    heap_flags = flags;
    uint64_t random = 1;
    for (long i = scaled(400000); i > 0; i--)
        (hf_heap_create != NULL ? request_on_heap : request_on_malloc)(&random, (unsigned char)i);
}

void workload_requests(void)
{
    run_requests(HF_HEAP_REGION);
}

void workload_requests_general(void)
{
    run_requests(0);
}
