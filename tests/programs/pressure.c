/*
 * pressure: a handler is called once when a node comes under its mark, and again after an eighth of
 * the mark more was free; by one of many threads; before any call fails, with what is wanted, what is
 * there, and the heap whose call it is; with nothing held, so that it may free and allocate; and never
 * inside of another.
 */
#include <holdfast/frames.h>
#include <holdfast/heap.h>
#include <holdfast/holdfast.h>
#include <pthread.h>
#include <stdatomic.h>

#include "test.h"

#define UNIT ((size_t)512 << 10) /* blocks of their own: nobody keeps what is freed */
#define GUARD (TEST_SECURE ? (size_t)4096 : 0)
#define LOW ((size_t)8 << 20)
#define AGAIN (LOW + LOW / 8)
#define THREADS 4

static struct told {
    struct hf_pressure pressure; /* what was told last */
    int lows, lasts;
    bool (*then)(struct told *told);
    void *cache;
} told;

static bool handle(const struct hf_pressure *pressure, void *context)
{
    struct told *own = context;
    int cancel;
    CHECK(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel) == 0 && cancel == PTHREAD_CANCEL_DISABLE);
    CHECK(pressure->size_bytes == sizeof *pressure && pressure->contiguous <= pressure->free);
    own->pressure = *pressure;
    own->lows += pressure->cause == HF_PRESSURE_LOW;
    own->lasts += pressure->cause == HF_PRESSURE_LAST;
    errno = EBADF;
    return own->then != NULL && own->then(own);
}

static struct hf_pressure_options options_of(struct told *own, size_t low_bytes, unsigned low_percent)
{
    *own = (struct told){ .lows = 0 };
    return (struct hf_pressure_options){ .size_bytes = sizeof(struct hf_pressure_options),
                                         .handler = handle,
                                         .context = own,
                                         .low_bytes = low_bytes,
                                         .low_percent = low_percent };
}

static void watch(struct told *own, size_t low_bytes, unsigned low_percent)
{
    struct hf_pressure_options options = options_of(own, low_bytes, low_percent);
    CHECK(hf_pressure_watch(&options) == 0);
}

static void unwatch(struct told *own)
{
    CHECK(hf_pressure_unwatch(handle, own) == 0);
    CHECK(hf_pressure_unwatch(handle, own) == -ENOENT);
}

static size_t free_bytes(void)
{
    struct hf_stats stats;
    CHECK(hf_stats_get(&stats, sizeof stats) == 0);
    return stats.free;
}

static void *take(size_t bytes)
{
    void *block = malloc(bytes - GUARD);
    CHECK(block != NULL);
    return block;
}

/* A block that leaves so much. */
static void *leave(size_t bytes)
{
    void *block = take(free_bytes() - bytes);
    CHECK(free_bytes() == bytes);
    return block;
}

static void check_once_and_again(void)
{
    watch(&told, LOW - 5, 0);
    void *most = leave(LOW + UNIT), *first = take(UNIT);
    CHECK(told.lows == 0);
    errno = 0;
    void *second = take(UNIT), *third = take(UNIT);
    CHECK(told.lows == 1 && told.lasts == 0 && errno == 0);
    CHECK(told.pressure.free == LOW - UNIT && told.pressure.bytes == AGAIN - (LOW - UNIT));
    CHECK(told.pressure.contiguous != 0 && told.pressure.heap == hf_heap_default());
    CHECK((int)told.pressure.node == hf_node_of(first));
    free(third);
    /* not enough to arm it again */
    free(second); /* LOW */
    free(first);  /* one unit less than that takes */
    CHECK(free_bytes() == AGAIN - UNIT);
    first = take(2 * UNIT);
    CHECK(told.lows == 1);
    free(first);
    free(most);
    most = leave(LOW - UNIT);
    CHECK(told.lows == 2 && told.pressure.free == LOW - UNIT);
    unwatch(&told);
    free(most);
    /* who is under the mark already when it is set is told at once */
    most = leave(LOW / 2);
    watch(&told, LOW, 0);
    free(take(UNIT));
    CHECK(told.lows == 1);
    unwatch(&told);
    free(most);
    most = leave(LOW / 2);
    CHECK(told.lows == 1);
    free(most);
}

static void check_percent(void)
{
    struct hf_stats stats;
    CHECK(hf_stats_get(&stats, sizeof stats) == 0);
    size_t mark = stats.arena / 4;
    watch(&told, LOW, 25);
    void *most = leave(mark), *block = take(UNIT);
    CHECK(told.lows == 1 && told.pressure.free == mark - UNIT);
    free(block);
    free(most);
    unwatch(&told);
    watch(&told, mark + 2 * UNIT, 25);
    most = leave(mark + 2 * UNIT);
    block = take(UNIT);
    CHECK(told.lows == 1 && told.pressure.free == mark + UNIT);
    free(block);
    free(most);
    unwatch(&told);
}

static bool give_cache(struct told *own)
{
    void *cache = own->cache;
    own->cache = NULL;
    free(cache);
    return cache != NULL;
}

/* Everything of a size, and then of smaller ones. */
static void *fill_arena(void)
{
    void *chain = NULL, *block;
    for (size_t bytes = 1 << 20; bytes >= 16; bytes /= 4)
        while ((block = malloc(bytes)) != NULL) {
            *(void **)block = chain;
            chain = block;
        }
    return chain;
}

static void empty_arena(void *chain)
{
    for (void *next; chain != NULL; chain = next) {
        next = *(void **)chain;
        free(chain);
    }
}

static void check_last(void)
{
    struct hf_heap_options options = { .size_bytes = sizeof options, .flags = HF_HEAP_REGION };
    struct hf_heap *heap = hf_heap_create(&options);
    CHECK(heap != NULL && hf_heap_malloc(heap, 16) != NULL);
    void *cache = take(4 << 20), *chain = fill_arena(), *block;
    watch(&told, 0, 0);
    CHECK(malloc(2 << 20) == NULL && errno == ENOMEM);
    CHECK(told.lows == 0 && told.lasts == 1 && told.pressure.cause == HF_PRESSURE_LAST);
    CHECK(told.pressure.bytes >= 2 << 20 && told.pressure.heap == hf_heap_default());
    told.then = give_cache;
    told.cache = cache;
    CHECK((block = malloc(2 << 20)) != NULL && told.lasts == 2 && told.cache == NULL);
    free(block);
    CHECK((cache = malloc(2 << 20)) != NULL);
    empty_arena(chain);
    chain = fill_arena();
    told.cache = cache;
    CHECK((block = hf_heap_malloc(heap, 1 << 20)) != NULL && told.cache == NULL);
    CHECK(told.pressure.heap == heap && told.pressure.bytes >= 1 << 20);
    free(block);
    empty_arena(chain);
    cache = take(4 << 20);
    chain = fill_arena();
    told.cache = cache;
    struct hf_frames *frames = hf_frames_alloc(16, 65536);
    CHECK(frames != NULL && told.cache == NULL && told.pressure.heap == hf_heap_default());
    hf_frames_free(frames);
    hf_heap_destroy(heap);
    empty_arena(chain);
    unwatch(&told);
}

static struct told other;

/* Comes under the other one's mark. */
static bool allocate(struct told *own)
{
    int lows = own->lows;
    void *block = malloc(own->pressure.free / 2), *small = malloc(100);
    CHECK(block != NULL && small != NULL && other.lows == 0 && own->lows == lows);
    own->cache = block;
    free(small);
    return true;
}

static void check_nested(void)
{
    watch(&other, LOW / 2, 0);
    watch(&told, LOW, 0);
    told.then = allocate;
    void *most = take(free_bytes() - (LOW - UNIT));
    CHECK(told.lows == 1);
    /* it became due in the callback, and the next call tells */
    free(take(UNIT));
    CHECK(other.lows == 1 && told.lows == 1);
    unwatch(&told);
    unwatch(&other);
    free(told.cache);
    free(most);
}

static bool shrink(size_t bytes, unsigned node, void *argument)
{
    (void)bytes, (void)node, (void)argument;
    return false;
}

static void misuse(int unused)
{
    (void)unused;
    struct {
        struct hf_pressure_options known;
        size_t later;
    } options = { options_of(&told, LOW, 0), 1 };
    CHECK(hf_pressure_watch(NULL) == -EINVAL);
    options.known.size_bytes = sizeof options.known - 8;
    CHECK(hf_pressure_watch(&options.known) == -EINVAL);
    options.known.size_bytes = sizeof options;
    CHECK(hf_pressure_watch(&options.known) == -EINVAL);
    options.known = options_of(&told, LOW, 101);
    CHECK(hf_pressure_watch(&options.known) == -EINVAL);
    options.known = options_of(&told, LOW, 1);
    options.known.handler = NULL;
    CHECK(hf_pressure_watch(&options.known) == -EINVAL);
    options.known = options_of(&told, LOW, 1);
    options.known.flags = 0x80;
    CHECK(hf_pressure_watch(&options.known) == -EINVAL);
}

static void check_options(void)
{
    char said[4096];
    CHECK(test_in_child(misuse, 0, said, sizeof said) == 0);
    const char *first = strstr(said, "warning HF-W040 pressure: ");
    CHECK(first != NULL && strstr(first + 16, "HF-W040") == NULL);
    struct hf_pressure_options options = options_of(&told, LOW, 0);
    options.flags = HF_PRESSURE_NODE;
    options.node = 77;
    CHECK(hf_pressure_watch(&options) == -EINVAL);
    void *block = take(UNIT);
    options.node = (unsigned)hf_node_of(block);
    free(block);
    for (int i = 0; i < 4; i++)
        CHECK(hf_pressure_watch(&options) == 0 && hf_pressure_register(shrink, NULL) == 0);
    CHECK(hf_pressure_watch(&options) == -ENOSPC && hf_pressure_register(shrink, NULL) == -ENOSPC);
    block = leave(LOW - UNIT);
    CHECK(told.lows == 4);
    free(block);
    for (int i = 0; i < 4; i++)
        CHECK(hf_pressure_unwatch(handle, &told) == 0 && hf_pressure_unregister(shrink, NULL) == 0);
    CHECK(hf_pressure_unwatch(handle, &told) == -ENOENT);
}

/* --- threads --- */

static _Atomic(int) calls;
static pthread_barrier_t together;

static bool count_call(const struct hf_pressure *pressure, void *context)
{
    CHECK(pressure->cause == HF_PRESSURE_LOW && context == &calls);
    calls++;
    return false;
}

static void *cross_and_return(void *unused)
{
    for (int round = 1; round <= 200; round++) {
        void *blocks[4];
        pthread_barrier_wait(&together);
        for (int i = 0; i < 4; i++)
            blocks[i] = take(UNIT);
        pthread_barrier_wait(&together);
        CHECK(calls == round);
        for (int i = 0; i < 4; i++)
            free(blocks[i]);
        pthread_barrier_wait(&together);
    }
    return unused;
}

static void check_threads(void)
{
    pthread_t threads[THREADS];
    struct hf_pressure_options options = options_of(&told, LOW, 0);
    options.handler = count_call;
    options.context = &calls;
    CHECK(hf_pressure_watch(&options) == 0);
    void *most = leave(AGAIN + 2 * LOW / 8);
    CHECK(pthread_barrier_init(&together, NULL, THREADS) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, cross_and_return, NULL) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(hf_pressure_unwatch(count_call, &calls) == 0);
    free(most);
}

int main(int argc, char **argv)
{
    (void)argc;
    setenv("HOLDFAST_NODES", "0", 1); /* one has a mark, and is filled */
    test_on_arena(argv, "64M");
    check_once_and_again();
    check_percent();
    check_last();
    check_nested();
    check_options();
    check_threads();
    return 0;
}
