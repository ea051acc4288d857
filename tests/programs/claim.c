/*
 * claim: what was claimed is had in a full arena, by each call of the malloc family, once for each
 * size; a claim gets all or nothing; what is left comes back at its end, at the thread's, and in a
 * child of fork whose thread did not claim it; 64 threads that drive the arena to full.
 */
#include <holdfast/claim.h>
#include <holdfast/heap.h>
#include <holdfast/holdfast.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>

#include "test.h"

#ifdef malloc /* tests/tsan.sh names what it replaces */
#define calloc hf_calloc
#define realloc hf_realloc
#define aligned_alloc hf_aligned_alloc
#define malloc_usable_size hf_usable_size
#endif

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const size_t sizes[] = { 16, 100, 100, 1000, 3500, 20000, 200000, 300000, 1000000, 50, 262144, 1 };

static struct hf_stats arena_stats(void)
{
    struct hf_stats stats;
    CHECK(hf_stats_get(&stats, sizeof stats) == 0);
    return stats;
}

/* --- a full arena --- */

static void *chain;

static void *keep(void *block)
{
    if (block == NULL)
        return NULL;
    *(void **)block = chain;
    return chain = block;
}

/* By sizes that no claim here has. */
static void fill(void)
{
    for (size_t bytes = (size_t)6 << 20; bytes >= 48; bytes /= 2)
        while (keep(malloc(bytes)) != NULL)
            ;
    CHECK(errno == ENOMEM);
}

static void empty(void)
{
    for (void *next; chain != NULL; chain = next) {
        next = *(void **)chain;
        free(chain);
    }
}

static void claim(const size_t *of, size_t n, struct hf_claim *claimed)
{
    CHECK(hf_claim(of, n, claimed) == 0);
}

/* Each once, and no more; what another size asks for is not served. */
static void check_sizes(void)
{
    struct hf_claim claimed;
    char *blocks[COUNT(sizes)];
    claim(sizes, COUNT(sizes), &claimed);
    fill();
    while (keep(malloc(400)) != NULL)
        ;
    CHECK(malloc(150000) == NULL && malloc(2000000) == NULL);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        CHECK((blocks[i] = malloc(sizes[i])) != NULL && malloc_usable_size(blocks[i]) >= sizes[i]);
        test_mark(blocks[i], sizes[i]);
    }
    for (size_t i = 0; i < COUNT(sizes); i++) {
        while (keep(malloc(sizes[i])) != NULL) /* of what the thread's own pages have */
            ;
        CHECK(test_marked(blocks[i], sizes[i]));
    }
    uint64_t live = arena_stats().live;
    hf_claim_end(&claimed);
    CHECK(arena_stats().live == live);
    for (size_t i = 0; i < COUNT(sizes); i++)
        free(blocks[i]);
    empty();
}

static void check_family(void)
{
    static const size_t wanted[] = { 1000, 300000, 5000, 128, 4096, 65536, 131072, 600, 24 };
    struct hf_claim claimed;
    char *dirty[50], *small = malloc(24);
    for (int i = 0; i < 50; i++)
        memset(dirty[i] = malloc(1000), 1, 1000);
    for (int i = 0; i < 50; i++)
        free(dirty[i]);
    claim(wanted, COUNT(wanted), &claimed);
    fill();
    for (int large = 0; large < 2; large++) {
        size_t bytes = wanted[large];
        char *zero = calloc(bytes / 100, 100);
        CHECK(zero != NULL);
        for (size_t i = 0; i < bytes; i++)
            CHECK(zero[i] == 0);
        free(zero);
        CHECK(keep(malloc(bytes)) != NULL);
    }
    strcpy(small, "text");
    CHECK((small = realloc(small, 5000)) != NULL && strcmp(small, "text") == 0);
    void *aligned = NULL;
    CHECK((aligned = hf_aligned_alloc(64, 100)) != NULL && (uintptr_t)aligned % 64 == 0);
    CHECK((aligned = aligned_alloc(4096, 4096)) != NULL && (uintptr_t)aligned % 4096 == 0);
    CHECK((aligned = aligned_alloc(65536, 65536)) != NULL && (uintptr_t)aligned % 65536 == 0);
    CHECK((aligned = hf_aligned_alloc(32768, 131072)) != NULL && (uintptr_t)aligned % 32768 == 0);
    CHECK(hf_malloc(600) != NULL && hf_calloc(2, 12) != NULL);
    hf_claim_end(&claimed);
    empty();
}

/* In a full arena a block of a larger class is set aside, but none that is aligned to less; also beside
 * what is set aside already. */
static void check_aligned(void)
{
    const size_t size = 128;
    struct hf_claim claimed[3];
    char *first = malloc(160), *larger[3] = { malloc(160), malloc(256), malloc(256) };
    fill();
    for (int i = 0; i < 3; i++) {
        free(larger[i]);
        int error = hf_claim(&size, 1, &claimed[i]);
        CHECK(error == 0 || (i == 0 && error == -EAGAIN));
    }
    for (int i = 0; i < 3; i++) {
        void *block = claimed[i].number == 0 ? larger[1] : keep(aligned_alloc(128, 128));
        CHECK(block != NULL && (uintptr_t)block % 128 == 0);
    }
    for (int i = 0; i < 3; i++)
        hf_claim_end(&claimed[i]);
    free(first);
    empty();
}

/* --- all or nothing --- */

static void check_refused(void)
{
    static size_t many[HF_CLAIM_MAX + 1];
    struct hf_claim claimed = { .number = 7 };
    size_t arena = arena_stats().arena, large[] = { 100, arena / 3, arena / 3, arena / 2 };
    uint64_t before = arena_stats().live;
    CHECK(hf_claim(large, 4, &claimed) == -EAGAIN && claimed.number == 0);
    CHECK(arena_stats().live == before && arena_stats().large == 0);
    hf_claim_end(&claimed); /* of nothing */
    large[3] = 2 * arena;
    CHECK(hf_claim(large, 4, &claimed) == -ENOMEM);
    large[3] = SIZE_MAX;
    CHECK(hf_claim(large, 4, &claimed) == -ENOMEM);
    CHECK(hf_claim(many, COUNT(many), &claimed) == -ENOSPC);
    CHECK(hf_claim(many, HF_CLAIM_MAX, &claimed) == 0);
    struct hf_claim further;
    CHECK(hf_claim(many, 1, &further) == -ENOSPC);
    hf_claim_end(&claimed);
    CHECK(hf_claim(large, 0, &claimed) == 0 && claimed.number != 0);
    hf_claim_end(&claimed);
    CHECK(arena_stats().live == before);
}

static void check_nested(void)
{
    const size_t outer_size = 1000, inner_sizes[] = { 1000, 2000 };
    struct hf_claim outer, inner;
    uint64_t before = arena_stats().live;
    claim(&outer_size, 1, &outer);
    claim(inner_sizes, 2, &inner);
    fill();
    CHECK(keep(malloc(1000)) != NULL);
    hf_claim_end(&inner);
    CHECK(keep(malloc(1000)) != NULL);
    empty();
    hf_claim_end(&outer);
    claim(&outer_size, 1, &outer);
    claim(inner_sizes, 2, &inner);
    hf_claim_end(&outer); /* the other way round */
    fill();
    CHECK(keep(malloc(2000)) != NULL && keep(malloc(1000)) != NULL && malloc(1000) == NULL);
    hf_claim_end(&inner);
    empty();
    CHECK(arena_stats().live == before);
}

/* Room is found at once, or not looked for. */
/* What an ended heap of HF_HEAP_CHECKED keeps gives way to a claim, as to malloc. */
static void check_ended_heap(void)
{
    static const size_t page[] = { 60000 };
    struct hf_heap_options options = { .size_bytes = sizeof options,
                                       .name = "ended",
                                       .flags = HF_HEAP_REGION | HF_HEAP_CHECKED };
    struct hf_heap *heap = hf_heap_create(&options);
    struct hf_claim claimed;
    for (int i = 0; i < 10; i++)
        CHECK(hf_heap_malloc(heap, 60000) != NULL);
    hf_heap_destroy(heap);
    while (arena_stats().free != 0)
        keep(malloc(60000));
    claim(page, 1, &claimed);
    hf_claim_end(&claimed);
    empty();
}

static unsigned calls;

static bool count_calls(size_t bytes, unsigned node, void *unused)
{
    (void)bytes, (void)node, (void)unused;
    calls++;
    return false;
}

static pthread_barrier_t barrier;

static void *sleeper(void *unused)
{
    (void)unused;
    void *blocks[400];
    for (int i = 0; i < 400; i++)
        CHECK((blocks[i] = malloc(16384)) != NULL);
    for (int i = 0; i < 400; i++)
        free(i % 4 != 0 ? blocks[i] : NULL);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return NULL;
}

static void check_bounded(void)
{
    const size_t size = 200000;
    struct hf_claim claimed;
    claim(&size, 1, &claimed);
    fill();
    CHECK(hf_pressure_register(count_calls, NULL) == 0);
    uint64_t failures = arena_stats().failures;
    CHECK(keep(malloc(size)) != NULL && calls == 0 && arena_stats().failures == failures);
    CHECK(malloc(size) == NULL && calls == 1);
    hf_pressure_unregister(count_calls, NULL);
    hf_claim_end(&claimed);
    empty();
}

/* What a sleeping thread could give is left to it. */
static void check_sleeper(void)
{
    const size_t size = 300000;
    struct hf_claim claimed;
    pthread_t thread;
    claim(&size, 1, &claimed);
    CHECK(pthread_barrier_init(&barrier, NULL, 2) == 0);
    CHECK(pthread_create(&thread, NULL, sleeper, NULL) == 0);
    pthread_barrier_wait(&barrier);
    while (arena_stats().longest_free >= size && keep(malloc(size)) != NULL)
        ;
    uint64_t stolen = arena_stats().pages_stolen;
    void *block = malloc(size);
    CHECK(block != NULL && arena_stats().pages_stolen == stolen);
    pthread_barrier_wait(&barrier);
    CHECK(pthread_join(thread, NULL) == 0);
    free(block);
    hf_claim_end(&claimed);
    empty();
}

/* --- threads --- */

static void *leave_open(void *unused)
{
    struct hf_claim claimed[2];
    (void)unused;
    claim(sizes, COUNT(sizes), &claimed[0]);
    claim(sizes, COUNT(sizes), &claimed[1]);
    free(malloc(100));
    return NULL;
}

static void check_end(void)
{
    pthread_t thread;
    uint64_t before = arena_stats().live;
    for (int i = 0; i < 100; i++)
        CHECK(pthread_create(&thread, NULL, leave_open, NULL) == 0 && pthread_join(thread, NULL) == 0);
    CHECK(arena_stats().live == before && arena_stats().large == 0);
}

enum { THREADS = 64, ROUNDS = 6, MOST = 20 };
static atomic_uint claims, refusals, served, full;

/* Claims, takes all it can get, and then what it claimed: never NULL. */
static void *driver(void *argument)
{
    uint64_t random = (uintptr_t)argument * 7919 + 1;
    for (int round = 0; round < ROUNDS; round++) {
        struct hf_claim claimed;
        size_t wanted[MOST], n = 1 + test_random(&random) % MOST;
        void *all = NULL, *block;
        for (size_t i = 0; i < n; i++)
            wanted[i] = sizes[test_random(&random) % (i % 8 == 0 ? COUNT(sizes) : 6)];
        int error = hf_claim(wanted, n, &claimed);
        CHECK(error == 0 || error == -EAGAIN);
        atomic_fetch_add(error == 0 ? &claims : &refusals, 1);
        while ((block = malloc((size_t)48 << test_random(&random) % 12)) != NULL) {
            *(void **)block = all;
            all = block;
        }
        atomic_fetch_add(&full, 1);
        for (size_t i = 0; i < n && error == 0; i++) {
            char *got = i % 3 == 0 ? calloc(1, wanted[i]) : malloc(wanted[i]);
            CHECK(got != NULL);
            CHECK(i % 3 != 0 || (got[0] == 0 && got[wanted[i] - 1] == 0));
            memset(got, 1, wanted[i]);
            atomic_fetch_add(&served, 1);
            if (i % 2 == 0)
                free(got);
            else
                wanted[i] = (size_t)got;
        }
        for (size_t i = 1; i < n && error == 0; i += 2)
            free((void *)wanted[i]);
        hf_claim_end(&claimed);
        for (; all != NULL; all = block) {
            block = *(void **)all;
            free(all);
        }
        sched_yield();
    }
    return NULL;
}

static void check_full(void)
{
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, driver, (void *)i) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(full == THREADS * ROUNDS && claims > THREADS && served > claims);
}

/* --- fork --- */

static void *bystander(void *unused)
{
    static const size_t large[] = { (size_t)4 << 20, (size_t)4 << 20, 150000, 1000, 1000, 1000 };
    struct hf_claim claimed;
    (void)unused;
    claim(large, COUNT(large), &claimed);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    hf_claim_end(&claimed);
    return NULL;
}

static void check_status(pid_t pid)
{
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

/* In a full arena: the child has what its thread claimed, and what others had claimed is free. */
static void check_fork(void)
{
    const size_t wanted[] = { 1000, 20000, 300000 };
    struct hf_claim claimed;
    pthread_t thread;
    for (int threaded = 0; threaded < 2; threaded++) {
        claim(wanted, 3, &claimed);
        if (threaded) {
            CHECK(pthread_create(&thread, NULL, bystander, NULL) == 0);
            pthread_barrier_wait(&barrier);
        }
        fill();
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            if (threaded)
                CHECK(malloc((size_t)4 << 20) != NULL && malloc((size_t)4 << 20) != NULL);
            CHECK(malloc((size_t)4 << 20) == NULL);
            for (int i = 0; i < 3; i++)
                while (keep(malloc(wanted[i])) != NULL)
                    ;
            uint64_t before = arena_stats().live;
            hf_claim_end(&claimed);
            CHECK(arena_stats().live == before); /* all of it was handed out */
            _exit(0);
        }
        check_status(pid);
        for (int i = 0; i < 3; i++)
            CHECK(keep(malloc(wanted[i])) != NULL);
        if (threaded) {
            pthread_barrier_wait(&barrier);
            CHECK(pthread_join(thread, NULL) == 0);
        }
        hf_claim_end(&claimed);
        empty();
    }
}

/* Its child has no arena, and nothing set aside; but it may end what its parent claimed. */
static int dontfork(void)
{
    struct hf_claim claimed, other;
    claim(sizes, COUNT(sizes), &claimed);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK(!hf_owns(malloc(100)) && hf_claim(sizes, 1, &other) == -EAGAIN);
        hf_claim_end(&other);
        hf_claim_end(&claimed);
        _exit(0);
    }
    check_status(pid);
    hf_claim_end(&claimed);
    return 0;
}

static void check_dontfork(char **argv)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        setenv("HOLDFAST_FORK", "dontfork", 1);
        execl("/proc/self/exe", argv[0], "dontfork", NULL);
        _exit(1);
    }
    check_status(pid);
}

/* --- misuse --- */

enum misuse { ENDED_TWICE, ENDED_ELSEWHERE, IN_USE };

static void *end(void *claimed)
{
    hf_claim_end(claimed);
    return NULL;
}

static void misuse(int which)
{
    struct hf_heap_options options = { .size_bytes = sizeof options, .flags = HF_HEAP_REGION };
    struct hf_claim claimed;
    pthread_t thread;
    if (which == IN_USE) {
        hf_heap_use(hf_heap_create(&options));
        for (int i = 0; i < 2; i++)
            CHECK(hf_claim(sizes, 1, &claimed) == -EINVAL);
        hf_claim_end(&claimed);
        return;
    }
    claim(sizes, 1, &claimed);
    struct hf_claim copy = claimed;
    if (which == ENDED_TWICE) {
        hf_claim_end(&claimed);
        hf_claim_end(&claimed); /* of nothing, by now */
        hf_claim_end(&copy);
    } else {
        CHECK(pthread_create(&thread, NULL, end, &claimed) == 0 && pthread_join(thread, NULL) == 0);
    }
}

static void check_misuse(void)
{
    static const char *const messages[] = { "error HF-E331 hf_claim_end: ", "error HF-E331 hf_claim_end: ",
                                            "warning HF-W044 claim: " };
    for (int which = ENDED_TWICE; which <= IN_USE; which++) {
        char output[4096];
        int status = test_in_child(misuse, which, output, sizeof output);
        const char *at = strstr(output, messages[which]);
        CHECK(which == IN_USE ? status == 0 : WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        CHECK(at != NULL && strstr(at + 1, messages[which]) == NULL);
    }
}

int main(int argc, char **argv)
{
    setenv("HOLDFAST_BACKING", "thp", 0); /* on a pool that is short a child that forks may be killed */
    test_on_arena(argv, "64M");
    if (argc > 1)
        return dontfork();
    check_sizes();
    check_family();
    check_aligned();
    check_refused();
    check_nested();
    check_ended_heap();
    check_bounded();
    check_sleeper();
    check_end();
    check_fork();
    check_dontfork(argv);
    check_misuse();
    check_full();
    check_sizes();
    return 0;
}
