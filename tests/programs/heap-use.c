/*
 * heap-use: while a thread uses a heap, general or a region, every call of the malloc family gives it
 * blocks of that heap, whatever its own pages and magazines have; blocks keep their heaps; the heap's
 * limit fails malloc; callbacks, and calls that name another heap or a node, go on without it;
 * threads that end and children of fork.
 */
#include <holdfast/frames.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>

#include "heap-tests.h"

#define COUNT 1000

static volatile size_t size_max = SIZE_MAX;

void *_Znwm(size_t bytes); /* operator new */
void *_ZnwmSt11align_val_t(size_t bytes, size_t align);

static char *blocks[COUNT];
static unsigned kind; /* of the heaps: 0, general, or HF_HEAP_REGION */

static struct hf_heap *of(void *block)
{
    CHECK(block != NULL);
    return hf_heap_of(block);
}

/* From every size class, so that malloc's fast path has something to take. */
static void fill_pages(void)
{
    for (size_t bytes = 16; bytes <= (size_t)300 << 10; bytes += bytes / 5 + 1) {
        char *kept = malloc(bytes), *freed = malloc(bytes);
        CHECK(of(kept) == hf_heap_default());
        free(freed);
        free(kept);
    }
}

static void check_family(struct hf_heap *wanted)
{
    void *block = NULL;
    for (size_t bytes = 1; bytes <= 400000; bytes += bytes / 4 + 1) {
        char *zero = calloc(1, bytes);
        CHECK(of(malloc(bytes)) == wanted && of(zero) == wanted && of(realloc(NULL, bytes)) == wanted);
        for (size_t i = 0; i < bytes; i++)
            CHECK(zero[i] == 0);
        memset(zero, 1, bytes);
        CHECK(of(hf_malloc(bytes)) == wanted && of(hf_calloc(bytes, 1)) == wanted);
        CHECK(of(_Znwm(bytes)) == wanted && of(_ZnwmSt11align_val_t(bytes, 64)) == wanted);
    }
    for (size_t align = 16; align <= (size_t)1 << 19; align *= 2) {
        CHECK(of(aligned_alloc(align, align)) == wanted && of(memalign(align, 40)) == wanted);
        CHECK(posix_memalign(&block, align, 100) == 0 && of(block) == wanted &&
              (uintptr_t)block % align == 0);
        CHECK(of(hf_aligned_alloc(align, 10)) == wanted);
    }
    CHECK(of(valloc(10)) == wanted && of(strdup("text")) == wanted &&
          of(reallocarray(NULL, 10, 10)) == wanted);
    CHECK(of(malloc(0)) == wanted && malloc(size_max) == NULL && errno == ENOMEM);
}

static void check_calls(void)
{
    struct hf_heap *heap = test_heap("used", 0, kind), *other = test_heap("other", 0, kind);
    fill_pages();
    CHECK(hf_heap_use(heap) == hf_heap_default());
    check_family(heap);
    CHECK(hf_heap_use(other) == heap);
    check_family(other);
    CHECK(hf_heap_use(heap) == other && hf_heap_use(heap) == heap);
    check_family(heap);

    /* what names another place */
    unsigned node = (unsigned)hf_node_of(hf_heap_malloc(heap, 10));
    for (size_t bytes = 16; bytes <= (size_t)300 << 10; bytes *= 2) {
        CHECK(of(hf_heap_malloc(hf_heap_default(), bytes)) == hf_heap_default());
        CHECK(of(hf_malloc_onnode(bytes, node)) == hf_heap_default());
        CHECK(of(hf_heap_malloc(other, bytes)) == other);
        CHECK(of(malloc(bytes)) == heap);
    }
    struct hf_frames *frames = hf_frames_alloc(4, 65536);
    CHECK(of(frames) == hf_heap_default() && of(malloc(sizeof *frames)) == heap);
    CHECK(hf_heap_use(NULL) == heap);
    hf_frames_free(frames);
    check_family(hf_heap_default());
    CHECK(hf_heap_use(hf_heap_default()) == hf_heap_default());
    hf_heap_destroy(heap);
    hf_heap_destroy(other);
}

/* A block keeps its heap, in use or not. */
static void check_realloc(void)
{
    struct hf_heap *heap = test_heap("realloc", 0, kind);
    char *plain = malloc(50), *freed = malloc(50), *large = malloc(300000);
    strcpy(plain, "plain");
    strcpy(large, "large");
    hf_heap_use(heap);
    char *own = malloc(50);
    strcpy(own, "own");
    for (size_t bytes = 100; bytes < (size_t)1 << 20; bytes *= 3) {
        CHECK(of(plain = realloc(plain, bytes)) == hf_heap_default() && strcmp(plain, "plain") == 0);
        CHECK(of(large = realloc(large, 2 * bytes)) == hf_heap_default() && strcmp(large, "large") == 0);
        CHECK(of(own = realloc(own, bytes)) == heap && strcmp(own, "own") == 0);
        CHECK(of(malloc(50)) == heap && of(malloc(bytes)) == heap);
    }
    free(freed);
    CHECK(of(malloc(50)) == heap);
    hf_heap_use(NULL);
    CHECK(of(own = realloc(own, 5000)) == heap && strcmp(own, "own") == 0);
    free(plain);
    free(large);
    hf_heap_destroy(heap);
}

static void *produce(void *unused)
{
    (void)unused;
    for (int i = 0; i < COUNT; i++)
        CHECK((blocks[i] = malloc(48)) != NULL);
    return NULL;
}

/* A thread that hands on all that it allocates has its malloc take what it freed of others' first. */
static void check_magazines(void)
{
    struct hf_heap *heap = test_heap("magazines", 0, kind);
    pthread_t thread;
    for (int round = 0; round < 400; round++) {
        CHECK(pthread_create(&thread, NULL, produce, NULL) == 0 && pthread_join(thread, NULL) == 0);
        for (int i = 0; i < round % 150; i++)
            CHECK(malloc(48) != NULL); /* perhaps the last of a magazine */
        if (round % 2 == 1)
            hf_heap_use(heap);
        for (int i = 0; i < COUNT; i++) {
            free(blocks[i]);
            CHECK(of(malloc(48)) == (round % 2 == 1 ? heap : hf_heap_default()));
        }
        hf_heap_use(NULL);
    }
    hf_heap_destroy(heap);
}

static void check_limit(void)
{
    struct hf_heap *heap = test_heap("limited", 200000, kind);
    struct hf_heap_stats stats;
    size_t bytes = 0;
    hf_heap_use(heap);
    while (malloc(100) != NULL)
        bytes += 112;
    CHECK(errno == ENOMEM && bytes > 180000 && bytes <= 212992);
    errno = 0;
    CHECK(calloc(100, 300) == NULL && errno == ENOMEM);
    void *block = NULL;
    CHECK(posix_memalign(&block, 64, 30000) == ENOMEM && block == NULL);
    CHECK(of(hf_heap_malloc(hf_heap_default(), 30000)) == hf_heap_default());
    hf_heap_use(NULL);
    CHECK(of(malloc(100)) == hf_heap_default());
    CHECK(hf_heap_stats(heap, &stats, sizeof stats) == 0 && stats.failures == 3);
    hf_heap_destroy(heap);
}

/* --- callbacks --- */

static struct hf_heap *left;
static unsigned calls;

static bool allocates(size_t bytes, unsigned node, void *unused)
{
    (void)bytes, (void)node, (void)unused;
    calls++;
    free(blocks[0]);
    blocks[0] = NULL;
    char *block = malloc(2000);
    CHECK(of(block) == hf_heap_default());
    free(block);
    CHECK(hf_heap_use(left) == hf_heap_default() && of(malloc(10)) == left);
    return false;
}

static void check_callback(void)
{
    struct hf_heap *heap = test_heap("pressed", 0, kind);
    left = test_heap("left", 0, kind);
    blocks[0] = malloc(10000);
    CHECK(hf_pressure_register(allocates, NULL) == 0);
    hf_heap_use(heap);
    while (malloc(200000) != NULL)
        ;
    CHECK(errno == ENOMEM && calls == 1 && of(malloc(10)) == heap);
    hf_pressure_unregister(allocates, NULL);
    CHECK(hf_heap_use(NULL) == heap);
    hf_heap_destroy(left);
    hf_heap_destroy(heap);
}

/* --- threads --- */

static pthread_key_t key;

static void at_end(void *heap)
{
    CHECK(of(malloc(100)) == hf_heap_default());
    CHECK(hf_heap_use(heap) == hf_heap_default() && of(malloc(100)) == hf_heap_default());
}

static void *user(void *heap)
{
    free(malloc(100));
    CHECK(hf_heap_use(heap) == hf_heap_default());
    CHECK(pthread_setspecific(key, heap) == 0);
    for (int i = 0; i < 1000; i++)
        CHECK(of(malloc(100)) == heap);
    return NULL;
}

/* One that ends does not use its heap any more. */
static void check_threads(void)
{
    enum { USERS = 8 };
    struct hf_heap *heap = test_heap("of threads", 0, kind);
    pthread_t threads[USERS];
    CHECK(pthread_key_create(&key, at_end) == 0);
    for (int i = 0; i < USERS; i++)
        CHECK(pthread_create(&threads[i], NULL, user, heap) == 0);
    for (int i = 0; i < USERS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(of(malloc(100)) == hf_heap_default());
    hf_heap_destroy(heap);
}

/* --- fork --- */

static void check_child(struct hf_heap *heap)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        check_family(heap);
        CHECK(hf_heap_use(NULL) == heap);
        hf_heap_destroy(heap);
        check_family(hf_heap_default());
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(of(malloc(100)) == heap);
}

static void *wait_for_end(void *barrier)
{
    struct hf_heap *heap = test_heap("bystander", 0, kind);
    hf_heap_use(heap);
    free(malloc(100));
    pthread_barrier_wait(barrier);
    pthread_barrier_wait(barrier);
    hf_heap_use(NULL);
    hf_heap_destroy(heap);
    return NULL;
}

static void check_fork(void)
{
    struct hf_heap *heap = test_heap("forked", 0, kind);
    pthread_barrier_t barrier;
    pthread_t thread;
    hf_heap_use(heap);
    check_child(heap);
    hf_heap_use(NULL);
    CHECK(pthread_barrier_init(&barrier, NULL, 2) == 0);
    CHECK(pthread_create(&thread, NULL, wait_for_end, &barrier) == 0);
    pthread_barrier_wait(&barrier);
    hf_heap_use(heap);
    check_child(heap);
    hf_heap_use(NULL);
    pthread_barrier_wait(&barrier);
    CHECK(pthread_join(thread, NULL) == 0);
    hf_heap_destroy(heap);
}

/* Its child has no arena, and no heaps. */
static int dontfork(void)
{
    struct hf_heap *heap = test_heap("of the parent", 0, kind);
    hf_heap_use(heap);
    pid_t pid = fork();
    if (pid == 0) {
        char *block = malloc(1000);
        CHECK(block != NULL && !hf_owns(block) && hf_heap_use(NULL) == hf_heap_default());
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(of(malloc(100)) == heap);
    return 0;
}

static void check_dontfork(char **argv)
{
    pid_t pid = fork();
    if (pid == 0) {
        setenv("HOLDFAST_FORK", "dontfork", 1);
        execl("/proc/self/exe", argv[0], "dontfork", NULL);
        _exit(1);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

int main(int argc, char **argv)
{
    setenv("HOLDFAST_BACKING", "thp", 0); /* on a pool that is short a child that forks may be killed */
    test_on_arena(argv, "192M");
    if (argc > 1)
        return dontfork();
    for (kind = 0; kind <= HF_HEAP_REGION; kind += HF_HEAP_REGION) {
        check_calls();
        check_realloc();
        check_magazines();
        check_limit();
        check_threads();
        check_fork();
    }
    kind = 0;
    check_dontfork(argv);
    check_callback();
    return 0;
}
