/*
 * dontfork (HOLDFAST_FORK=dontfork): the child allocates from its boot region, may exec and exit,
 * and touches nothing of the parent's: not its segment either.  A block of the parent is not
 * there.  Every call answers: there is no arena.
 *
 * Holdfast's key of pthread_key_create(3) is past the 32nd, so that the C library keeps a thread's value
 * of it in a block of the parent's.
 */
#include <holdfast/frames.h>
#include <holdfast/holdfast.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include "segment.h"

#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* mallinfo */

#define KEYS_FIRST 40

static char *of_parent;

static void take_keys(void)
{
    for (int i = 0; i < KEYS_FIRST; i++) {
        pthread_key_t key;
        CHECK(pthread_key_create(&key, NULL) == 0);
    }
}

__attribute__((section(".preinit_array"), used)) static void (*const before_constructors)(void) = take_keys;

static void allocates(void)
{
    for (int i = 0; i < 1000; i++) {
        char *block = malloc(1000);
        CHECK(block != NULL);
        memset(block, 1, 1000);
        CHECK((block = realloc(block, 5000)) != NULL && block[999] == 1);
        free(block);
    }
    exit(0); /* not _exit: destructors run */
}

/* Refused, with errno, and nothing overlaps what is there. */
static void asks_too_much(void)
{
    static const size_t sizes[] = { SIZE_MAX,        SIZE_MAX - 3, SIZE_MAX - 15,
                                    SIZE_MAX - 4096, PTRDIFF_MAX,  (size_t)1 << 40 };
    char *block = malloc(100);
    void *aligned = NULL;
    memset(block, 1, 100);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        CHECK((errno = 0, malloc(sizes[i])) == NULL && errno == ENOMEM);
        CHECK((errno = 0, calloc(sizes[i], 1)) == NULL && errno == ENOMEM);
        CHECK((errno = 0, realloc(block, sizes[i])) == NULL && errno == ENOMEM);
        CHECK(posix_memalign(&aligned, 64, sizes[i]) == ENOMEM);
    }
    memset(malloc(100), 2, 100);
    CHECK(block[0] == 1 && block[99] == 1);
    _exit(0);
}

/* What is refused uses nothing up. */
static void is_limited(void)
{
    struct rlimit data = { (rlim_t)100 << 20, (rlim_t)100 << 20 };
    CHECK(setrlimit(RLIMIT_DATA, &data) == 0 && malloc(200 << 20) == NULL && errno == ENOMEM);
    for (int i = 0; i < 3000; i++)
        CHECK(malloc(100) != NULL);
    CHECK(malloc(10 << 20) != NULL);
    _exit(0);
}

static void fills(void)
{
    size_t count = 0;
    errno = 0;
    while (malloc(60000) != NULL)
        count++;
    CHECK(errno == ENOMEM && count > 4000);
    CHECK(malloc(60000) == NULL);
    _exit(0);
}

/* A block of each entry point; those that have the arena alone to take from have none. */
static void allocates_by_all(void)
{
    void *blocks[] = {
        malloc(100),
        calloc(10, 10),
        reallocarray(NULL, 10, 10),
        memalign(64, 100),
        aligned_alloc(64, 100),
        valloc(100),
        pvalloc(100),
        hf_malloc(100),
        hf_calloc(10, 10),
        hf_realloc(NULL, 100),
        hf_aligned_alloc(64, 100),
        NULL,
    };
    size_t count = sizeof blocks / sizeof blocks[0];
    CHECK(posix_memalign(&blocks[count - 1], 64, 100) == 0);
    for (size_t i = 0; i < count; i++) {
        CHECK(blocks[i] != NULL && malloc_usable_size(blocks[i]) >= 100 && hf_usable_size(blocks[i]) >= 100);
        CHECK(!hf_owns(blocks[i]) && hf_node_of(blocks[i]) == -1);
        memset(blocks[i], 1, 100);
        free(blocks[i]);
    }
    errno = 0;
    CHECK(hf_malloc_onnode(100, 0) == NULL && errno == EINVAL);
    CHECK(hf_frames_alloc(4, 4096) == NULL && errno == ENOMEM);
    hf_frames_free(NULL);
}

static bool no_pressure(size_t bytes, unsigned node, void *argument)
{
    (void)bytes, (void)node, (void)argument;
    return false;
}

static void asks(void)
{
    char text[4096];
    struct hf_stats stats, zeros = { 0 };
    struct mallinfo2 info = mallinfo2(), no_info = { 0 };
    FILE *stream = fmemopen(text, sizeof text, "w");
    allocates_by_all();
    CHECK(memcmp(&info, &no_info, sizeof info) == 0 && mallinfo().arena == 0);
    CHECK(stream != NULL && malloc_info(0, stream) == 0 && fclose(stream) == 0);
    CHECK(strstr(text, "size=\"0\"") != NULL);
    malloc_stats();
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    CHECK(malloc_trim(0) == 0);
    memset(&stats, 0xff, sizeof stats);
    CHECK(hf_stats_get(&stats, sizeof stats) == 0 && memcmp(&stats, &zeros, sizeof stats) == 0);
    CHECK(hf_stats_get_node(&stats, sizeof stats, 0) == -ENOENT);
    CHECK(hf_stats_json(text, sizeof text) > 0 && strstr(text, "\"arena\": 0, ") != NULL);
    CHECK(strstr(text, "\"per_node\": []") != NULL);
    hf_stats_print();
    hf_thread_idle();
    CHECK(hf_version() != NULL && !hf_owns(of_parent) && hf_node_of(of_parent) == -1);
    CHECK(hf_prefault_wait(-1) == -ENOMEM);
    CHECK(hf_pressure_register(no_pressure, NULL) == 0 && hf_pressure_unregister(no_pressure, NULL) == 0);
    exit(0);
}

static void executes(void)
{
    execlp("true", "true", (char *)NULL);
    _exit(1);
}

static void touches(void)
{
    signal(SIGSEGV, SIG_DFL);
    of_parent[0] = 2;
    _exit(1);
}

static int status_of(void (*child)(void))
{
    int status;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        child();
    CHECK(waitpid(pid, &status, 0) == pid);
    return status;
}

static void forks_again(void)
{
    _exit(status_of(allocates));
}

int main(int argc, char **argv)
{
    (void)argc;
    setenv("HOLDFAST_FORK", "dontfork", 0);
    test_on_arena(argv, "64M");
    CHECK((of_parent = malloc(100)) != NULL);
    of_parent[0] = 1;
    CHECK(status_of(allocates) == 0);
    CHECK(status_of(asks_too_much) == 0);
    CHECK(status_of(is_limited) == 0);
    CHECK(status_of(fills) == 0);
    CHECK(status_of(asks) == 0);
    CHECK(status_of(executes) == 0);
    CHECK(status_of(forks_again) == 0);
    int status = status_of(touches);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    CHECK(of_parent[0] == 1);
    CHECK(test_segment()->forks == 8);
    return 0;
}
