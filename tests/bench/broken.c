/*
 * broken: an allocator, to be preloaded, that now and then hands out a block which is still in use.
 *
 * tests/workloads.sh runs the workloads under it: each of those that mark their blocks has to notice.
 * It frees nothing.
 */
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#define HEAP_BYTES ((size_t)1 << 30)
#define TWICE_EVERY 50 /* calls of malloc by a thread */

void *malloc(size_t bytes);
void *calloc(size_t count, size_t each_bytes);
void *realloc(void *old, size_t bytes);
void free(void *block);

static _Alignas(16) char heap[HEAP_BYTES];
static _Atomic(size_t) heap_used;
static _Thread_local struct {
    void *block;
    size_t bytes;
    unsigned calls;
} last;

/* A block lies behind a word that says its size. */
static void *block_new(size_t bytes)
{
    size_t taken = 16 + ((bytes + 15) & ~(size_t)15), at = atomic_fetch_add(&heap_used, taken);
    if (at + taken > HEAP_BYTES)
        return NULL;
    memcpy(heap + at, &bytes, sizeof bytes);
    return heap + at + 16;
}

void *malloc(size_t bytes)
{
    if (++last.calls % TWICE_EVERY == 0 && last.bytes >= bytes)
        return last.block;
    last.block = block_new(bytes);
    last.bytes = last.block == NULL ? 0 : bytes;
    return last.block;
}

void *calloc(size_t count, size_t each_bytes)
{
    return block_new(count * each_bytes);
}

void *realloc(void *old, size_t bytes)
{
    size_t old_bytes = 0;
    char *block = block_new(bytes);
    if (old != NULL && block != NULL) {
        memcpy(&old_bytes, (char *)old - 16, sizeof old_bytes);
        memcpy(block, old, old_bytes < bytes ? old_bytes : bytes);
    }
    return block;
}

void free(void *block)
{
    (void)block;
}
