/*
 * soft-limit: a heap's callback is called once when the heap comes over its soft limit, and again
 * after it was an eighth under it; by one of many threads; with nothing held, so that it may free
 * and allocate; never inside of another callback; and before a call fails that is tried again then.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "heap-tests.h"

#define SOFT (8 * STEP) /* heaps with 16 take whole pages */
#define ROOMY (16 * STEP)
#define PIECE (STEP - 64) /* a block that a piece has room for once */
#define THREADS 4

static struct told {
    struct hf_heap *heap;
    size_t held;
    int times;
    void (*then)(struct told *told);
    void *blocks[64]; /* of the heap, which `then` may free */
    int count;
} told;

static void tell(struct hf_heap *heap, size_t held, void *context)
{
    struct told *own = context;
    int cancel;
    CHECK(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel) == 0 && cancel == PTHREAD_CANCEL_DISABLE);
    own->heap = heap;
    own->held = held;
    own->times++;
    errno = EBADF;
    if (own->then != NULL)
        own->then(own);
}

static struct hf_heap_options options_of(struct told *own, size_t soft, size_t limit)
{
    *own = (struct told){ .times = 0 };
    return (struct hf_heap_options){ .size_bytes = sizeof(struct hf_heap_options),
                                     .name = "soft",
                                     .limit = limit,
                                     .flags = HF_HEAP_REGION,
                                     .soft_limit = soft,
                                     .soft_callback = tell,
                                     .soft_context = own };
}

static struct hf_heap *new_heap(struct told *own, size_t soft, size_t limit)
{
    struct hf_heap_options options = options_of(own, soft, limit);
    struct hf_heap *heap = hf_heap_create(&options);
    CHECK(heap != NULL);
    return heap;
}

/* The callback may shorten the list meanwhile. */
static void fill_one(struct hf_heap *heap, struct told *own)
{
    void *block = hf_heap_malloc(heap, PIECE);
    CHECK(block != NULL && own->count < 64);
    own->blocks[own->count++] = block;
}

static void fill(struct hf_heap *heap, struct told *own, size_t held)
{
    while (test_heap_stats(heap).held < held)
        fill_one(heap, own);
}

static void drain(struct hf_heap *heap, struct told *own, size_t held)
{
    while (own->count != 0 && test_heap_stats(heap).held > held)
        free(own->blocks[--own->count]);
}

static void check_once_and_again(void)
{
    struct hf_heap *heap = new_heap(&told, ROOMY - 5, 0);
    CHECK(test_heap_stats(heap).soft_limit == ROOMY);
    fill(heap, &told, ROOMY);
    CHECK(told.times == 0 && test_heap_stats(heap).soft_crossings == 0);
    errno = 0;
    fill(heap, &told, ROOMY + 1);
    CHECK(told.times == 1 && told.heap == heap && told.held == test_heap_stats(heap).held && errno == 0);
    fill(heap, &told, ROOMY + 8 * STEP);
    CHECK(told.times == 1);
    /* not far enough under it */
    drain(heap, &told, ROOMY - STEP);
    fill(heap, &told, ROOMY + 1);
    CHECK(told.times == 1);
    drain(heap, &told, ROOMY / 8 * 7);
    CHECK(test_heap_stats(heap).held == ROOMY / 8 * 7);
    fill(heap, &told, ROOMY + 1);
    CHECK(told.times == 2 && test_heap_stats(heap).soft_crossings == 2);
    hf_heap_destroy(heap);
}

static void check_options(void)
{
    /* of a program that was compiled before there were soft limits: what stands behind is not looked at */
    struct hf_heap_options options = options_of(&told, STEP, 0);
    options.size_bytes = offsetof(struct hf_heap_options, soft_limit);
    struct hf_heap *heap = hf_heap_create(&options);
    CHECK(heap != NULL && test_heap_stats(heap).soft_limit == 0);
    fill(heap, &told, 4 * STEP);
    CHECK(told.times == 0 && test_heap_stats(heap).soft_crossings == 0);
    hf_heap_destroy(heap);
    /* without a callback it counts */
    options = options_of(&told, STEP, 0);
    options.soft_callback = NULL;
    CHECK((heap = hf_heap_create(&options)) != NULL);
    fill(heap, &told, 4 * STEP);
    CHECK(test_heap_stats(heap).soft_crossings == 1);
    hf_heap_destroy(heap);
}

static void shrink_and_allocate(struct told *own)
{
    drain(own->heap, own, SOFT / 2);
    void *block = hf_heap_malloc(own->heap, 100), *plain = malloc(100000);
    CHECK(block != NULL && plain != NULL && hf_heap_of(block) == own->heap);
    free(plain);
}

/* It comes over the limit in its own callback, and is not told in it. */
static void grow_again(struct told *own)
{
    drain(own->heap, own, SOFT / 2);
    fill(own->heap, own, SOFT + 4 * STEP);
    CHECK(own->times == 1 && test_heap_stats(own->heap).soft_crossings <= 2);
    own->then = NULL;
}

static struct told other_told;
static struct hf_heap *other;

static void cross_other(struct told *own)
{
    fill(other, &other_told, 8 * STEP);
    CHECK(other_told.times == 0 && test_heap_stats(other).soft_crossings == 1);
    own->then = NULL;
}

static void check_callbacks(void)
{
    struct hf_heap *heap = new_heap(&told, SOFT, 0);
    told.then = shrink_and_allocate;
    for (int times = 1; times < 5; times++) {
        while (told.times < times)
            fill_one(heap, &told);
        CHECK(test_heap_stats(heap).held <= SOFT / 2 + STEP);
    }
    hf_heap_destroy(heap);

    heap = new_heap(&told, SOFT, 0);
    told.then = grow_again;
    fill(heap, &told, SOFT + 1);
    fill(heap, &told, SOFT + 6 * STEP);
    CHECK(told.times == 2 && test_heap_stats(heap).soft_crossings == 2);
    hf_heap_destroy(heap);

    heap = new_heap(&told, SOFT, 0);
    other = new_heap(&other_told, 2 * STEP, 0);
    told.then = cross_other;
    fill(heap, &told, SOFT + 1);
    CHECK(told.times == 1 && other_told.times == 0);
    CHECK(hf_heap_malloc(other, PIECE) != NULL && other_told.times == 1 && other_told.heap == other);
    hf_heap_destroy(heap);
    hf_heap_destroy(other);
}

static void shrink(struct told *own)
{
    drain(own->heap, own, 2 * STEP);
}

static void check_limit(void)
{
    /* over both limits at once */
    struct hf_heap *heap = new_heap(&told, 14 * STEP, 16 * STEP);
    told.then = shrink;
    fill(heap, &told, 14 * STEP);
    void *block = hf_heap_malloc(heap, 4 * STEP);
    CHECK(block != NULL && told.times == 1 && test_heap_stats(heap).failures == 0);
    /* more than the limit is nothing to give way for */
    free(block);
    CHECK(hf_heap_malloc(heap, 17 * STEP) == NULL && errno == ENOMEM && told.times == 1);
    /* what is not freed is still missing */
    told.then = NULL;
    fill(heap, &told, 14 * STEP);
    CHECK(hf_heap_malloc(heap, 4 * STEP) == NULL && errno == ENOMEM && told.times == 2);
    CHECK(hf_heap_malloc(heap, 4 * STEP) == NULL && errno == ENOMEM && told.times == 2);
    CHECK(test_heap_stats(heap).failures == 3 && test_heap_stats(heap).soft_crossings == 2);
    hf_heap_destroy(heap);
}

static void *hoard;

static void free_hoard(struct told *own)
{
    (void)own;
    free(hoard);
    hoard = NULL;
}

/* Nothing is left of the arena, but the callback has something. */
static void check_full(void)
{
    struct hf_heap *heap = new_heap(&told, SOFT, 0);
    void *chain = NULL, *block;
    fill(heap, &told, SOFT);
    CHECK((hoard = malloc(4 << 20)) != NULL);
    for (size_t bytes = 1 << 20; bytes >= 16; bytes /= 4)
        while ((block = malloc(bytes)) != NULL) {
            *(void **)block = chain;
            chain = block;
        }
    /* Each try comes over the limit and back: it is not tried for ever. */
    struct told of_second;
    struct hf_heap *second = new_heap(&of_second, SOFT, 0);
    uint64_t failures = test_arena_stats().failures;
    alarm(20);
    CHECK(hf_heap_malloc(second, 1 << 20) == NULL && errno == ENOMEM && of_second.times == 2);
    CHECK(test_heap_stats(second).held == 0 && test_arena_stats().failures == failures + 1);
    alarm(0);
    hf_heap_destroy(second);
    told.then = free_hoard;
    CHECK((block = hf_heap_malloc(heap, 1 << 20)) != NULL && told.times == 1 && hoard == NULL);
    for (; chain != NULL; chain = block) {
        block = *(void **)chain;
        free(chain);
    }
    hf_heap_destroy(heap);
}

/* --- threads --- */

static _Atomic(int) calls;
static struct hf_heap *common;
static pthread_barrier_t together;

static void count_call(struct hf_heap *heap, size_t held, void *context)
{
    CHECK(heap == common && held != 0 && context == &calls);
    calls++;
}

static void *cross_and_drain(void *unused)
{
    for (int round = 1; round <= 200; round++) {
        void *blocks[3];
        pthread_barrier_wait(&together);
        for (int i = 0; i < 3; i++)
            CHECK((blocks[i] = hf_heap_malloc(common, PIECE)) != NULL);
        pthread_barrier_wait(&together);
        CHECK(calls == round);
        for (int i = 0; i < 3; i++)
            free(blocks[i]);
        pthread_barrier_wait(&together);
    }
    return unused;
}

static void check_threads(void)
{
    pthread_t threads[THREADS];
    struct hf_heap_options options = options_of(&told, SOFT, 0);
    options.soft_callback = count_call;
    options.soft_context = &calls;
    CHECK((common = hf_heap_create(&options)) != NULL);
    CHECK(pthread_barrier_init(&together, NULL, THREADS) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, cross_and_drain, NULL) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(test_heap_stats(common).soft_crossings == (uint64_t)calls);
    hf_heap_destroy(common);
}

int main(int argc, char **argv)
{
    (void)argc;
    test_on_arena(argv, "64M");
    check_options();
    check_once_and_again();
    check_callbacks();
    check_limit();
    check_full();
    check_threads();
    return 0;
}
