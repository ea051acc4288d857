/*
 * nodump: the memory of heaps with HF_HEAP_NODUMP is out of core files, and no other is: asked of the
 * kernel, on each kind of OS pages that the machine has.  It takes one system call for 2 MiB, is in
 * core files again when it left the heap, and adds up; with threads, and in forked children.
 */
#include <holdfast/heap.h>
#include <holdfast/holdfast.h>
#include <pthread.h>

#include "test.h"

#define ZONE ((size_t)2 << 20)
#define THREADS 4

int __wrap_hfi_os_dump(void *start, size_t bytes, bool dumped);
int __real_hfi_os_dump(void *start, size_t bytes, bool dumped);

static _Atomic(int) hidings, showings, refuses;

int __wrap_hfi_os_dump(void *start, size_t bytes, bool dumped)
{
    *(dumped ? &showings : &hidings) += 1;
    return refuses ? -ENOMEM : __real_hfi_os_dump(start, bytes, dumped);
}

static struct hf_heap *new_heap(unsigned flags)
{
    struct hf_heap_options options = { .size_bytes = sizeof options,
                                       .name = "secrets",
                                       .flags = HF_HEAP_REGION | flags };
    struct hf_heap *heap = hf_heap_create(&options);
    CHECK(heap != NULL);
    return heap;
}

/* --- what the kernel says --- */

static struct area {
    uintptr_t start, end;
} areas[4096]; /* that are out of core files */

/* Of the whole process. */
static size_t read_areas(void)
{
    char line[1024];
    struct area area = { 0, 0 };
    size_t count = 0;
    FILE *file = fopen("/proc/self/smaps", "re");
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file) != NULL) {
        unsigned long start, end;
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
            area = (struct area){ start, end };
        else if (strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " dd") != NULL && count < 4096)
            areas[count++] = area;
    }
    fclose(file);
    return count;
}

/* Bytes of a block that are out of core files, as read_areas found. */
static size_t hidden_bytes(size_t count, const void *block, size_t bytes)
{
    uintptr_t start = (uintptr_t)block, end = start + bytes;
    size_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        uintptr_t from = start > areas[i].start ? start : areas[i].start;
        uintptr_t to = end < areas[i].end ? end : areas[i].end;
        sum += from < to ? to - from : 0;
    }
    return sum;
}

static size_t hidden_of_arena(void)
{
    size_t count = read_areas(), sum = 0;
    for (size_t i = 0; i < count; i++)
        if (hf_owns((void *)areas[i].start))
            sum += areas[i].end - areas[i].start;
    return sum;
}

/* --- */

static struct hf_stats arena_stats(void)
{
    struct hf_stats stats;
    CHECK(hf_stats_get(&stats, sizeof stats) == 0);
    return stats;
}

static uint64_t held(struct hf_heap *heap)
{
    struct hf_heap_stats stats;
    CHECK(hf_heap_stats(heap, &stats, sizeof stats) == 0);
    return stats.held;
}

static void check_sum(struct hf_heap *one, struct hf_heap *two)
{
    struct hf_stats stats = arena_stats();
    CHECK(held(one) + held(two) + stats.heaps_free == stats.heaps);
    CHECK(held(hf_heap_default()) + stats.heaps == stats.allocated);
}

static void check_blocks(void)
{
    enum { COUNT = 600 };
    static char *blocks[COUNT], *others[COUNT];
    static size_t sizes[COUNT];
    uint64_t random = 5;
    struct hf_heap *heap = new_heap(HF_HEAP_NODUMP), *other = new_heap(0);
    for (int i = 0; i < COUNT; i++) {
        sizes[i] = i == 100 ? 5 << 20 : test_random_size(&random, 16, i % 40 == 7 ? 400000 : 9000);
        blocks[i] = i % 50 == 3 ? hf_heap_aligned_alloc(heap, (size_t)1 << 20, sizes[i])
                                : hf_heap_malloc(heap, sizes[i]);
        others[i] =
            i % 2 == 0 ? hf_malloc(1 + sizes[i] % 70000) : hf_heap_malloc(other, 1 + sizes[i] % 70000);
        CHECK(blocks[i] != NULL && others[i] != NULL && hf_heap_of(blocks[i]) == heap);
        test_mark(blocks[i], sizes[i]);
    }
    size_t count = read_areas();
    for (int i = 0; i < COUNT; i++) {
        CHECK(hidden_bytes(count, blocks[i], sizes[i]) == sizes[i] && test_marked(blocks[i], sizes[i]));
        CHECK(hidden_bytes(count, others[i], 1) == 0);
    }
    check_sum(heap, other);
    size_t hidden = hidden_of_arena();
    CHECK(hidden % ZONE == 0 && hidden >= held(heap));
    hf_free(blocks[100]);
    CHECK(hidden_of_arena() == hidden - 3 * ZONE);
    check_sum(heap, other);
    hf_heap_destroy(heap);
    CHECK(hidden_of_arena() == 0);
    hf_heap_destroy(other);
    for (int i = 0; i < COUNT; i += 2)
        hf_free(others[i]);
    CHECK(arena_stats().heaps == 0 && arena_stats().heaps_free == 0);
}

/* Pages that go from heaps of one kind to heaps of the other, half full. */
static void check_turns(void)
{
    for (int round = 0; round < 60; round++) {
        unsigned flags = round % 2 == 0 ? HF_HEAP_NODUMP : 0;
        struct hf_heap *heaps[6], *beside = new_heap(HF_HEAP_NODUMP - flags);
        char *blocks[6][4];
        for (int i = 0; i < 6; i++) {
            heaps[i] = new_heap(flags);
            for (int j = 0; j < 4; j++)
                CHECK((blocks[i][j] = hf_heap_malloc(heaps[i], 12000)) != NULL);
        }
        for (int i = 0; i < 6; i += 2)
            hf_heap_destroy(heaps[i]);
        char *block = hf_heap_malloc(beside, 12000);
        size_t count = read_areas();
        CHECK(hidden_bytes(count, block, 12000) == (flags == 0 ? 12000 : 0));
        for (int i = 1; i < 6; i += 2) {
            for (int j = 0; j < 4; j++)
                CHECK(hidden_bytes(count, blocks[i][j], 12000) == (flags != 0 ? 12000 : 0));
            hf_heap_destroy(heaps[i]);
        }
        hf_heap_destroy(beside);
    }
    CHECK(hidden_of_arena() == 0 && arena_stats().heaps == 0);
}

static void check_calls(void)
{
    struct hf_heap *heap = new_heap(HF_HEAP_NODUMP);
    hidings = showings = 0;
    for (int i = 0; i < 1500; i++)
        CHECK(hf_heap_malloc(heap, 1000) != NULL);
    CHECK(hidings == 1 && showings == 0);
    hf_heap_destroy(heap);
    CHECK(hidings == 1 && showings == 1);
    heap = new_heap(0);
    for (int i = 0; i < 1500; i++)
        CHECK(hf_heap_malloc(heap, 1000) != NULL);
    hf_heap_destroy(heap);
    CHECK(hidings == 1 && showings == 1);
}

static void be_refused(int unused)
{
    (void)unused;
    struct hf_heap *heap = new_heap(HF_HEAP_NODUMP), *other = new_heap(0);
    refuses = true;
    for (int i = 0; i < 3; i++)
        CHECK(hf_heap_malloc(heap, 1000) == NULL && errno == ENOMEM);
    CHECK(hf_heap_malloc(heap, 1000000) == NULL && held(heap) == 0 && hf_heap_malloc(other, 1000) != NULL);
    refuses = false;
    CHECK(hf_heap_malloc(heap, 1000) != NULL);
    hf_heap_destroy(heap);
    hf_heap_destroy(other);
    CHECK(arena_stats().heaps == 0);
}

static void check_refused(void)
{
    char said[4096];
    CHECK(test_in_child(be_refused, 0, said, sizeof said) == 0);
    const char *first = strstr(said, "error HF-E043 heap: heap \"secrets\"");
    CHECK(first != NULL && strstr(first + 16, "HF-E") == NULL);
}

/* --- threads, children --- */

static struct hf_heap *common;
static _Atomic(bool) finish;

static void *worker(void *argument)
{
    uint64_t random = (uintptr_t)argument + 9;
    for (int round = 0; round < 150; round++) {
        struct hf_heap *heap = new_heap(round % 3 == 0 ? 0 : HF_HEAP_NODUMP);
        for (int i = 0; i < 20; i++) {
            size_t bytes = test_random_size(&random, 16, i == 9 ? 300000 : 20000);
            char *block = hf_heap_malloc(i % 5 == 4 ? common : heap, bytes);
            CHECK(block != NULL);
            test_mark(block, bytes);
            CHECK(test_marked(block, bytes));
            if (i % 3 == 0)
                hf_free(block);
        }
        hf_heap_destroy(heap);
    }
    return NULL;
}

static void check_threads(void)
{
    pthread_t threads[THREADS];
    common = new_heap(HF_HEAP_NODUMP);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, worker, (void *)i) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    struct hf_heap *other = new_heap(0);
    check_sum(common, other);
    hf_heap_destroy(other);
    hf_heap_destroy(common);
    CHECK(hidden_of_arena() == 0 && arena_stats().heaps == 0 && arena_stats().heaps_free == 0);
}

static void *bystander(void *unused)
{
    while (!finish)
        hf_free(hf_heap_malloc(common, 100));
    return unused;
}

static void check_child(char *block, bool threaded)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        char *fresh = hf_heap_malloc(common, 30000);
        CHECK(fresh != NULL);
        memset(fresh, 1, 30000);
        struct hf_heap *own = new_heap(HF_HEAP_NODUMP);
        char *of_own = hf_heap_malloc(own, 100000);
        size_t count = read_areas();
        CHECK(hidden_bytes(count, fresh, 30000) == 30000 && hidden_bytes(count, of_own, 100000) == 100000);
        CHECK(hidden_bytes(count, block, 1000) == 1000);
        hf_heap_destroy(own);
        hf_heap_destroy(common);
        CHECK(threaded || hidden_of_arena() == 0);
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static void check_fork(void)
{
    pthread_t thread;
    common = new_heap(HF_HEAP_NODUMP);
    char *block = hf_heap_malloc(common, 1000);
    CHECK(block != NULL);
    check_child(block, false);
    CHECK(pthread_create(&thread, NULL, bystander, NULL) == 0);
    for (int i = 0; i < 5; i++)
        check_child(block, true);
    finish = true;
    CHECK(pthread_join(thread, NULL) == 0);
    hf_heap_destroy(common);
    CHECK(hidden_of_arena() == 0);
}

/* What is left in a full arena of zones that are there is used up. */
static void check_full(void)
{
    struct hf_heap *heap = new_heap(HF_HEAP_NODUMP);
    void *chain = NULL, *block;
    CHECK(hf_heap_malloc(heap, 16) != NULL);
    for (size_t bytes = 1 << 20; bytes >= 16; bytes /= 4)
        while ((block = hf_malloc(bytes)) != NULL) {
            *(void **)block = chain;
            chain = block;
        }
    while (hf_heap_malloc(heap, 1000) != NULL)
        ;
    CHECK(held(heap) == ZONE && arena_stats().heaps_free == 0);
    for (; chain != NULL; chain = block) {
        block = *(void **)chain;
        hf_free(chain);
    }
    hf_heap_destroy(heap);
    CHECK(hidden_of_arena() == 0);
}

static void run(int unused)
{
    (void)unused;
    hf_free(hf_malloc(16));
    check_calls();
    check_fork();
    check_threads();
    check_blocks();
    check_turns();
    check_refused();
    check_full();
    check_blocks();
}

int main(void)
{
    static const char *const backings[] = { "4k", "thp", "2m" };
    setenv("HOLDFAST_ARENA", "64M", 1);
    setenv("HOLDFAST_NODES", "0", 1);
    for (int i = 0; i < 3; i++) {
        char said[16384];
        /* forked children need pages of the pool as well */
        if (i == 2 && test_number_in("/proc/meminfo", "HugePages_Free:") < 200)
            break;
        setenv("HOLDFAST_BACKING", backings[i], 1);
        int status = test_in_child(run, 0, said, sizeof said);
        if (status != 0)
            fprintf(stderr, "on %s: status %#x, printed:\n%s", backings[i], (unsigned)status, said);
        CHECK(status == 0);
    }
    return 0;
}
