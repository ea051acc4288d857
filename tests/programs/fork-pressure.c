/*
 * fork-pressure: a pressure callback forks. Parent and child come back from it into the malloc that
 * asked, each with its own memory: the child's theap is another by then, or there is none.
 *
 * A thread sleeps meanwhile, and no descriptor is left for /proc: so the child gives up its theap.
 */
#include <holdfast/holdfast.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/resource.h>

#include "test.h"

#define THREADS 6
#define BLOCKS_MAX 400
#define CACHE_BYTES ((size_t)8 << 20)

/* volatile: to the compiler malloc is a leaf, which calls nothing here */
static void *volatile cache;
static volatile pid_t child = -1;
static bool dontfork; /* the child has no arena, and none of the parent's blocks */

static void use(size_t bytes)
{
    static __thread char *blocks[BLOCKS_MAX];
    int count = bytes < 10000 ? BLOCKS_MAX : 4;
    char mark = (char)(uintptr_t)pthread_self() + (char)((uintptr_t)pthread_self() >> 12);
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < count; i++) {
            CHECK((blocks[i] = malloc(bytes)) != NULL);
            memset(blocks[i], mark, bytes);
        }
        for (int i = 0; i < count; i++) {
            for (size_t at = 0; at < bytes; at += 64)
                CHECK(blocks[i][at] == mark);
            free(blocks[i]);
        }
    }
}

static pthread_t threads[THREADS];

static void *uses(void *unused)
{
    use(1000);
    return unused;
}

/* Threads of the child take over the theaps of the parent's. */
static void start_threads(void)
{
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, uses, NULL) == 0);
}

static void join_threads(void)
{
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

static bool frees_and_forks(size_t bytes, unsigned node, void *unused)
{
    (void)bytes, (void)node, (void)unused;
    if (cache == NULL)
        return false;
    free(cache);
    cache = NULL;
    child = fork();
    CHECK(child >= 0);
    if (child == 0 && !dontfork)
        start_threads();
    return true;
}

static void *sleeps(void *argument)
{
    char byte;
    void *own = malloc(100);
    CHECK(read(*(int *)argument, &byte, 1) == 0);
    free(own);
    return NULL;
}

static void ask(size_t bytes)
{
    void *first = NULL;
    int status;
    CHECK((cache = malloc(CACHE_BYTES)) != NULL);
    for (void **block; cache != NULL && (block = malloc(bytes)) != NULL;) {
        memset(block, 7, bytes);
        *block = first;
        first = block;
    }
    CHECK(cache == NULL && first != NULL);
    use(1000);
    if (child == 0 && dontfork)
        _exit(0);
    use(70000);
    while (first != NULL) {
        void *next = *(void **)first;
        free(first);
        first = next;
    }
    if (child == 0) {
        join_threads();
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static bool forks(size_t bytes, unsigned node, void *unused)
{
    (void)bytes, (void)node, (void)unused;
    child = fork();
    CHECK(child >= 0);
    return false;
}

/* The child fails as its parent does. */
static void ask_in_vain(void)
{
    int status;
    void *held = malloc(CACHE_BYTES);
    CHECK(hf_pressure_unregister(frees_and_forks, NULL) == 0 && hf_pressure_register(forks, NULL) == 0);
    errno = 0;
    CHECK(held != NULL);
    CHECK(memalign(32 << 20, 400) == NULL && errno == ENOMEM); /* nor would the boot region do */
    CHECK(malloc(100) != NULL);
    if (child == 0)
        _exit(0);
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    free(held);
}

int main(int argc, char **argv)
{
    struct rlimit descriptors;
    int ends[2];
    pthread_t thread;
    (void)argc;
    setenv("HOLDFAST_BACKING", "thp", 0);
    setenv("HOLDFAST_INSPECT", "0", 0);
    test_on_arena(argv, "32M");
    dontfork = getenv("HOLDFAST_FORK") != NULL;
    CHECK(pipe(ends) == 0 && pthread_create(&thread, NULL, sleeps, &ends[0]) == 0);
    CHECK(hf_pressure_register(frees_and_forks, NULL) == 0);
    ask(1000);
    ask(400000);
    CHECK(getrlimit(RLIMIT_NOFILE, &descriptors) == 0);
    descriptors.rlim_cur = 0;
    CHECK(setrlimit(RLIMIT_NOFILE, &descriptors) == 0);
    ask(1000);
    ask(400000);
    ask_in_vain();
    close(ends[1]);
    CHECK(pthread_join(thread, NULL) == 0);
    if (dontfork)
        return 0;
    descriptors.rlim_cur = descriptors.rlim_max;
    CHECK(setrlimit(RLIMIT_NOFILE, &descriptors) == 0 && setenv("HOLDFAST_FORK", "dontfork", 1) == 0);
    execv("/proc/self/exe", argv);
    CHECK(!"exec");
}
