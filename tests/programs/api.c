/*
 * api (G2): every entry point, sizes and alignments up to 1 GiB: pointers lie in the arena, are
 * aligned, usable to the end, and errno is what glibc's would be.
 */
#include <holdfast/holdfast.h>
#include <malloc.h>
#include <pthread.h>

#include "test.h"

void free_sized(void *pointer, size_t bytes);
void free_aligned_sized(void *pointer, size_t align, size_t bytes);

static void check_block(void *block, size_t bytes, size_t align)
{
    CHECK(block != NULL && hf_owns(block));
    CHECK((uintptr_t)block % align == 0);
    size_t usable = malloc_usable_size(block);
    CHECK(usable >= bytes);
    /* waste: 25 % over 64 bytes, when no alignment asks for more */
    if (bytes > 64 && align <= 16)
        CHECK(usable - bytes <= bytes / 4 + 15);
    memset(block, 0x5a, usable > 1 << 20 ? 4096 : usable);
    if (usable > 1 << 20)
        memset((char *)block + usable - 4096, 0x5a, 4096);
}

static void sizes(void)
{
    for (size_t bytes = 0; bytes < (size_t)40 << 20; bytes += bytes / 37 + 1) {
        void *block = malloc(bytes);
        check_block(block, bytes, 16);
        memset(block, 0xff, bytes);
        free(block);
        unsigned char *zeroed = calloc(bytes, 1);
        CHECK(hf_owns(zeroed));
        for (size_t i = 0; i < bytes; i += i < 64 || bytes < 8192 ? 1 : 61)
            CHECK(zeroed[i] == 0);
        free_sized(zeroed, bytes);
    }
}

static void alignments(void)
{
    for (size_t align = 8; align <= (size_t)1 << 30; align *= 2)
        for (size_t bytes = 1; bytes <= (size_t)4 << 20; bytes = bytes * 3 + 1) {
            void *block = NULL;
            CHECK(posix_memalign(&block, align, bytes) == 0);
            check_block(block, bytes, align < 16 ? 16 : align);
            free(block);
            block = aligned_alloc(align, bytes);
            check_block(block, bytes, align < 16 ? 16 : align);
            free_aligned_sized(block, align, bytes);
            block = memalign(align, bytes);
            check_block(block, bytes, align < 16 ? 16 : align);
            free(block);
        }
    void *block = valloc(5000);
    check_block(block, 5000, 4096);
    free(block);
    block = pvalloc(1);
    check_block(block, 4096, 4096);
    free(block);
}

static void reallocs(void)
{
    uint64_t random = 7;
    unsigned char *block = NULL;
    size_t bytes = 0;
    for (int i = 0; i < 3000; i++) {
        size_t next = test_random_size(&random, 1, i % 10 == 0 ? (size_t)3 << 20 : 9000);
        block = realloc(block, next);
        CHECK(block != NULL && hf_owns(block));
        for (size_t at = 0; at < bytes && at < next; at += 97)
            CHECK(block[at] == (unsigned char)at);
        for (size_t at = 0; at < next; at++)
            block[at] = (unsigned char)at;
        bytes = next;
    }
    CHECK(realloc(block, 0) == NULL);
    block = reallocarray(NULL, 10, 20);
    check_block(block, 200, 16);
    free(block);
}

static size_t usable_for(size_t bytes)
{
    void *block = malloc(bytes);
    size_t usable = malloc_usable_size(block);
    free(block);
    return usable;
}

/* To a size that malloc would give the same block for, nothing moves; where more than half would
 * be saved, it does. */
static void shrink(void *block, size_t bytes)
{
    void *volatile before = block;
    size_t has = malloc_usable_size(block);
    void *after = realloc(block, bytes);
    if (usable_for(bytes) == has)
        CHECK(after == before);
    if (usable_for(bytes) < has / 2)
        CHECK(after != before && malloc_usable_size(after) == usable_for(bytes));
    free(after);
}

static void *shrink_others(void *block)
{
    shrink(block, 4);
    return NULL;
}

static void shrinks_in_place(void)
{
    pthread_t thread;
    for (size_t from = 1; from <= 1024; from++)
        for (size_t to = 1; to <= from; to++)
            shrink(malloc(from), to);
    for (size_t from = 1025; from <= (size_t)256 << 10; from += from / 7)
        for (size_t to = from; to != 0; to -= to / 9 + 1)
            shrink(malloc(from), to);
    CHECK(pthread_create(&thread, NULL, shrink_others, malloc(16)) == 0 && pthread_join(thread, NULL) == 0);
}

static void grows_in_place(void)
{
    char *block = malloc((size_t)1 << 20);
    char *again = realloc(block, (size_t)3 << 20);
    CHECK(again != NULL);
    char *shrunk = realloc(again, (size_t)1 << 20);
    CHECK(shrunk == again); /* the tail goes back, the block stays */
    char *grown = realloc(shrunk, (size_t)3 << 20);
    CHECK(grown == shrunk); /* and is free behind it */
    free(grown);
}

static void errnos(void)
{
    void *block = NULL;
    volatile size_t huge = SIZE_MAX, half = SIZE_MAX / 2;
    errno = 0;
    CHECK(malloc(huge - 4096) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(calloc(half, 3) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(reallocarray(NULL, half, 3) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(realloc(NULL, huge - 100) == NULL && errno == ENOMEM);
    block = malloc(10);
    errno = 0;
    void *volatile same = realloc(block, huge - 100);
    CHECK(same == NULL && errno == ENOMEM); /* and block still stands */
    free(block);
    CHECK(posix_memalign(&block, 3, 10) == EINVAL);
    CHECK(posix_memalign(&block, 24, 10) == EINVAL);
    CHECK(posix_memalign(&block, 64, huge - 4096) == ENOMEM);
    errno = 0;
    CHECK(pvalloc(huge - 10) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(hf_aligned_alloc(48, 10) == NULL && errno == EINVAL);
    errno = 1234;
    free(malloc(100));
    free(malloc(1 << 20));
    free(NULL);
    CHECK(errno == 1234);
    CHECK(malloc_usable_size(NULL) == 0);
    CHECK(!hf_owns(&block));
}

static void questions(void)
{
    struct mallinfo2 before = mallinfo2();
    void *block = malloc((size_t)8 << 20);
    struct mallinfo2 after = mallinfo2();
    CHECK(before.arena + before.hblkhd == after.arena + after.hblkhd);
    CHECK(before.arena == before.uordblks + before.fordblks);
    CHECK(after.hblkhd >= before.hblkhd + ((size_t)8 << 20));
    CHECK(mallopt(M_MMAP_THRESHOLD, 1) == 1);
    CHECK(malloc_trim(0) == 0);
    free(block);
}

/* Only nodes' memory is the arena's own: between the tables before them others may map memory,
 * where address space is limited. */
static void owned(void)
{
    char *block = malloc(100);
    uintptr_t around = (uintptr_t)block & ~(uintptr_t)0xfffff, reach = (uintptr_t)16 << 30;
    for (uintptr_t at = around - reach; at < around + reach; at += 1 << 20)
        CHECK(hf_owns((void *)at) == (hf_node_of((void *)at) != -1));
    CHECK(hf_owns(block) && hf_owns(block + 99));
    free(block);
}

int main(int argc, char **argv)
{
    (void)argc;
    test_on_arena(argv, "2200M");
    sizes();
    alignments();
    reallocs();
    shrinks_in_place();
    grows_in_place();
    errnos();
    questions();
    owned();
    return 0;
}
