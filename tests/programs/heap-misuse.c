/*
 * heap-misuse: each misuse of a heap's calls ends with its message, or is refused: a heap destroyed
 * twice, in use, used after its end, or never one; a block freed twice, in its middle, after its heap's
 * end; options of another version; a limit under what is held; a limit that was reached, told once.
 */
#include <holdfast/heap.h>
#include <holdfast/holdfast.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>

#include "test.h"

static unsigned kind = HF_HEAP_REGION; /* of the heaps that are misused */

static struct hf_heap *new_heap(size_t limit)
{
    struct hf_heap_options options = {
        .size_bytes = sizeof options, .name = "misused", .limit = limit, .flags = kind
    };
    struct hf_heap *heap = hf_heap_create(&options);
    CHECK(heap != NULL);
    return heap;
}

static struct hf_heap *ended(void)
{
    struct hf_heap *heap = new_heap(0);
    CHECK(hf_heap_malloc(heap, 100) != NULL);
    hf_heap_destroy(heap);
    CHECK(new_heap(0) != heap); /* which has its memory */
    return heap;
}

enum misuse {
    DESTROYED_TWICE,
    USED_AFTER,
    USED_NONE,
    LIMIT_AFTER,
    MALLOC_FROM_ENDED,
    DESTROYED_IN_USE,
    DESTROYED_ELSEWHERE,
    DESTROYED_SUSPENDED,
    STATS_AFTER,
    FREED_TWICE,
    FREED_TWICE_NEWEST,
    FREED_INSIDE,
    FREED_UNLAID,
    REALLOC_INSIDE,
    SIZE_INSIDE,
    LARGE_INSIDE,
    LINK_OVERWRITTEN,
    FREED_LATE,
    FREED_LATE_BESIDE,
    FREED_LATE_LARGE,
    OPTIONS_SHORT,
    OPTIONS_BETWEEN,
    OPTIONS_LONGER,
    OPTIONS_FLAGS,
    OPTIONS_NONE,
    LIMIT_UNDER,
    AT_LIMIT,
    MANY_AT_LIMIT,
    ARENA_FULL,
};

static void free_blocks(enum misuse misuse)
{
    struct hf_heap *heap = new_heap(0), *beside = new_heap(0);
    char *first = hf_heap_malloc(heap, 100), *block = hf_heap_malloc(heap, 100);
    char *last = hf_heap_malloc(heap, 100), *large = hf_heap_malloc(heap, 300000);
    switch (misuse) {
    case FREED_TWICE:
        free(block);
        free(block);
        break;
    case FREED_TWICE_NEWEST:
        free(last);
        free(last);
        break;
    case FREED_INSIDE: free(block + 16); break;
    case FREED_UNLAID: free(last + 112); break;
    case REALLOC_INSIDE: CHECK(realloc(block + 16, 500) == NULL); break;
    case SIZE_INSIDE: CHECK(malloc_usable_size(block + 8) == 0); break;
    case LARGE_INSIDE: free(large + 16); break;
    case LINK_OVERWRITTEN:
        free(first);
        free(block);
        memset(block, 0x77, 100);
        CHECK(hf_heap_malloc(heap, 100) == NULL);
        break;
    case FREED_LATE:
    case FREED_LATE_LARGE:
        hf_heap_destroy(heap);
        free(misuse == FREED_LATE ? first : large);
        free(last);
        break;
    default:
        CHECK(hf_heap_malloc(beside, 100) != NULL); /* of the same page */
        hf_heap_destroy(heap);
        free(first);
        free(last);
        break;
    }
}

static void create(enum misuse misuse)
{
    struct {
        struct hf_heap_options known;
        size_t later;
    } options = { { .size_bytes = sizeof options.known, .flags = HF_HEAP_REGION }, 0 };
    if (misuse == OPTIONS_SHORT)
        options.known.size_bytes = 16;
    if (misuse == OPTIONS_BETWEEN)
        options.known.size_bytes = sizeof options.known - 4;
    if (misuse == OPTIONS_LONGER) {
        options.known.size_bytes = sizeof options;
        CHECK(hf_heap_create(&options.known) != NULL); /* a later version's, with nothing that is new */
        options.later = 1;
    }
    if (misuse == OPTIONS_FLAGS)
        options.known.flags = 0x80;
    for (int i = 0; i < 3; i++)
        CHECK(hf_heap_create(misuse == OPTIONS_NONE ? NULL : &options.known) == NULL && errno == EINVAL);
    options.known = (struct hf_heap_options){ .size_bytes = sizeof options.known,
                                              .flags = HF_HEAP_REGION | HF_HEAP_NODE,
                                              .node = 77 };
    CHECK(hf_heap_create(&options.known) == NULL && errno == EINVAL);
}

static void misuse_limit(enum misuse misuse)
{
    struct hf_heap *heap = new_heap(100000), *other = new_heap(100000);
    struct hf_heap_stats stats;
    while (hf_heap_malloc(heap, 100) != NULL)
        ;
    CHECK(errno == ENOMEM && hf_heap_malloc(heap, 100000) == NULL && errno == ENOMEM);
    if (misuse == LIMIT_UNDER)
        CHECK(hf_heap_set_limit(heap, 50000) == -EBUSY && hf_heap_malloc(other, 100) != NULL);
    CHECK(hf_heap_stats(heap, &stats, 7) == -EINVAL && hf_heap_stats(heap, &stats, 8) == 0 &&
          stats.held != 0);
}

static struct hf_heap *in_use;

static void *use(void *barrier)
{
    hf_heap_use(in_use);
    pthread_barrier_wait(barrier);
    pthread_barrier_wait(barrier);
    return NULL;
}

static bool destroy(size_t bytes, unsigned node, void *unused)
{
    (void)bytes, (void)node, (void)unused;
    hf_heap_destroy(in_use);
    return false;
}

/* Of a heap that plain malloc comes from: in this thread, in another, or in this one for a callback. */
static void destroy_in_use(enum misuse misuse)
{
    pthread_barrier_t barrier;
    pthread_t thread;
    in_use = new_heap(0);
    CHECK(pthread_barrier_init(&barrier, NULL, 2) == 0);
    if (misuse == DESTROYED_ELSEWHERE) {
        CHECK(pthread_create(&thread, NULL, use, &barrier) == 0);
        pthread_barrier_wait(&barrier);
    } else {
        hf_heap_use(in_use);
    }
    if (misuse == DESTROYED_SUSPENDED) {
        CHECK(hf_pressure_register(destroy, NULL) == 0);
        while (malloc(100000) != NULL)
            ;
    }
    hf_heap_destroy(in_use);
}

static void reach_many_limits(void)
{
    for (int i = 0; i < 30; i++)
        CHECK(hf_heap_malloc(new_heap(1), 100000) == NULL && errno == ENOMEM);
}

/* The heap has a limit, which is not what it comes to. */
static void fill_arena(void)
{
    struct hf_heap *heap = new_heap((size_t)1 << 30);
    while (hf_heap_malloc(heap, 100000) != NULL)
        ;
    CHECK(errno == ENOMEM && hf_heap_malloc(heap, 100000) == NULL);
}

static void run(int misuse)
{
    struct hf_heap_stats stats;
    switch ((enum misuse)misuse) {
    case DESTROYED_TWICE: hf_heap_destroy(ended()); break;
    case USED_AFTER: CHECK(hf_heap_malloc(ended(), 100) == NULL); break;
    case USED_NONE: CHECK(hf_heap_malloc(NULL, 100) == NULL); break;
    case LIMIT_AFTER: CHECK(hf_heap_set_limit(ended(), 0) == 0); break;
    case STATS_AFTER: CHECK(hf_heap_stats(ended(), &stats, sizeof stats) == 0); break;
    case MALLOC_FROM_ENDED: CHECK(hf_heap_use(ended()) == NULL); break;
    case DESTROYED_IN_USE:
    case DESTROYED_ELSEWHERE:
    case DESTROYED_SUSPENDED: destroy_in_use((enum misuse)misuse); break;
    case OPTIONS_SHORT:
    case OPTIONS_BETWEEN:
    case OPTIONS_LONGER:
    case OPTIONS_FLAGS:
    case OPTIONS_NONE: create((enum misuse)misuse); break;
    case MANY_AT_LIMIT: reach_many_limits(); break;
    case ARENA_FULL: fill_arena(); break;
    case LIMIT_UNDER:
    case AT_LIMIT: misuse_limit((enum misuse)misuse); break;
    default: free_blocks((enum misuse)misuse); break;
    }
}

static const struct {
    enum misuse misuse;
    bool aborts;
    const char *message;
    unsigned times;
} cases[] = {
    { DESTROYED_TWICE, true, "error HF-E320 hf_heap_destroy: ", 1 },
    { USED_AFTER, true, "error HF-E320 hf_heap_malloc: ", 1 },
    { USED_NONE, true, "error HF-E320 hf_heap_malloc: ", 1 },
    { LIMIT_AFTER, true, "error HF-E320 hf_heap_set_limit: ", 1 },
    { STATS_AFTER, true, "error HF-E320 hf_heap_stats: ", 1 },
    { MALLOC_FROM_ENDED, true, "error HF-E320 hf_heap_use: ", 1 },
    { DESTROYED_IN_USE, true, "from it 1 time, in this thread too; ", 1 },
    { DESTROYED_IN_USE, true, "error HF-E330 hf_heap_destroy: ", 1 },
    { DESTROYED_ELSEWHERE, true, "from it 1 time, in other threads; ", 1 },
    { DESTROYED_SUSPENDED, true, "from it 1 time, in this thread too; ", 1 },
    { FREED_TWICE, true, "error HF-E304 free: ", 1 },
    { FREED_TWICE_NEWEST, true, "error HF-E303 free: ", 1 },
    { FREED_INSIDE, true, "error HF-E303 free: ", 1 },
    { FREED_UNLAID, true, "error HF-E303 free: ", 1 },
    { REALLOC_INSIDE, true, "error HF-E303 realloc: ", 1 },
    { SIZE_INSIDE, true, "error HF-E303 malloc_usable_size: ", 1 },
    { LARGE_INSIDE, true, "error HF-E303 free: ", 1 },
    { FREED_LATE, false, "warning HF-W023 free: ", 1 },
    { FREED_LATE_BESIDE, false, "warning HF-W023 free: ", 1 },
    { FREED_LATE_LARGE, false, "warning HF-W023 free: ", 1 },
    { OPTIONS_SHORT, false, "warning HF-W024 heap: ", 1 },
    { OPTIONS_BETWEEN, false, "warning HF-W024 heap: ", 1 },
    { OPTIONS_LONGER, false, "warning HF-W024 heap: ", 1 },
    { OPTIONS_FLAGS, false, "warning HF-W024 heap: ", 1 },
    { OPTIONS_NONE, false, "warning HF-W024 heap: ", 1 },
    { LIMIT_UNDER, false, "warning HF-W025 heap: ", 1 },
    { AT_LIMIT, false, "error HF-E015 heap: heap \"misused\" (1) is at its limit: ", 1 },
    { AT_LIMIT, false, "HF-E012", 0 },
    { MANY_AT_LIMIT, false, "error HF-E015 heap: ", 10 },
    { ARENA_FULL, false, "error HF-E012 arena: ", 1 },
    { ARENA_FULL, false, "HF-E015", 0 },
};

static unsigned lines_with(const char *text, const char *wanted)
{
    unsigned count = 0;
    for (const char *at = text; (at = strstr(at, wanted)) != NULL; at++)
        count++;
    return count;
}

static void check_cases(void)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char output[8192];
        int status = test_in_child(run, (int)cases[i].misuse, output, sizeof output);
        bool aborted = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
        /* the newest block of a region is laid anew, and forgotten; one of a general heap is listed */
        const char *message =
            cases[i].misuse == FREED_TWICE_NEWEST && kind == 0 ? "error HF-E304 free: " : cases[i].message;
        bool right =
            (cases[i].aborts ? aborted : status == 0) && lines_with(output, message) == cases[i].times;
        if (!right)
            fprintf(stderr, "case %zu, kind %u: status %#x, printed:\n%s", i, kind, (unsigned)status, output);
        CHECK(right);
    }
}

/* The secure build looks at the links of freed blocks. */
static void check_link(void)
{
    char output[8192];
    int status = test_in_child(run, LINK_OVERWRITTEN, output, sizeof output);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK(lines_with(output, "error HF-E308 heap: the link in freed block") == 1);
}

int main(int argc, char **argv)
{
    (void)argc;
    test_on_arena(argv, "64M");
    check_cases();
    kind = 0;
    check_cases();
    if (TEST_SECURE)
        check_link();
    return 0;
}
