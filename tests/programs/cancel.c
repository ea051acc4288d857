/*
 * cancel: malloc and free are no cancellation points.
 *
 * A thread that is to be cancelled holds a mutex and calls the allocator on a path that enters the
 * kernel.  It has to come back, unlock the mutex, and end where it asks for it.  Then the arena is
 * whole and holds as much as before.
 *
 * The core is linked without the names of malloc, so that the first call can come from such a
 * thread.  Two functions of prefault.c are wrapped by the linker: other threads seem to populate
 * all that is left, for three looks.
 *
 * Each case is a process of its own, with its own environment.
 */
#include <holdfast/holdfast.h>
#include <pthread.h>
#include <sys/syscall.h>

#include "arena/arena.h"
#include "arena/prefault.h"
#include "heap/theap.h"

#include "segment.h"

#define BLOCK_BYTES ((size_t)300 << 10) /* five pages */
#define BLOCKS_MAX 2000u
#define LOOKS 3 /* of a thread that finds nothing left to populate */

/* --- population by others --- */

static _Atomic(int) looks_left, looks_in_vain;

int __real_hfi_prefault_force(unsigned index, struct prefault_part *part);
int __wrap_hfi_prefault_force(unsigned index, struct prefault_part *part);
bool __real_hfi_prefault_next(unsigned index, struct prefault_part *part);
bool __wrap_hfi_prefault_next(unsigned index, struct prefault_part *part);

int __wrap_hfi_prefault_force(unsigned index, struct prefault_part *part)
{
    if (looks_left == 0)
        return __real_hfi_prefault_force(index, part);
    looks_left--;
    looks_in_vain++;
    return -ENOENT;
}

bool __wrap_hfi_prefault_next(unsigned index, struct prefault_part *part)
{
    return looks_left == 0 && __real_hfi_prefault_next(index, part);
}

/* --- the thread that is to be cancelled --- */

static pthread_mutex_t callers_mutex = PTHREAD_MUTEX_INITIALIZER;
static bool came_back, went_on;

static void *to_be_cancelled(void *argument)
{
    void (*const *call)(void) = argument;
    CHECK(pthread_cancel(pthread_self()) == 0);
    CHECK(pthread_mutex_lock(&callers_mutex) == 0);
    (*call)();
    CHECK(pthread_mutex_unlock(&callers_mutex) == 0);
    came_back = true;
    pthread_testcancel();
    went_on = true;
    return NULL;
}

static void cancel_in(void (*call)(void))
{
    pthread_t thread;
    void *result;
    CHECK(pthread_create(&thread, NULL, to_be_cancelled, &call) == 0);
    CHECK(pthread_join(thread, &result) == 0);
    CHECK(came_back && !went_on && result == PTHREAD_CANCELED);
    CHECK(pthread_mutex_trylock(&callers_mutex) == 0);
    for (unsigned i = 0; i < hfi_arena.node_count; i++)
        CHECK(hfi_arena_audit(&hfi_arena.nodes[i]) == NULL);
}

/* As many blocks as there are, until the arena is full. */
static size_t fill(void)
{
    void *blocks[BLOCKS_MAX];
    size_t count = 0;
    while (count < BLOCKS_MAX && (blocks[count] = hf_malloc(BLOCK_BYTES)) != NULL)
        count++;
    for (size_t i = 0; i < count; i++)
        hf_free(blocks[i]);
    return count;
}

static size_t free_pages(void)
{
    size_t pages = 0;
    hf_thread_idle();
    for (unsigned i = 0; i < hfi_arena.node_count; i++)
        pages += hfi_arena_free_pages(&hfi_arena.nodes[i]);
    return pages;
}

static void call_fill(void)
{
    fill();
}

/* --- cases --- */

static void call_first(void)
{
    void *block = hf_malloc(100);
    CHECK(block != NULL && hf_owns(block));
    hf_free(block);
}

static void case_first(void)
{
    cancel_in(call_first);
    CHECK(fill() > 40);
}

/* HF-E012 is said, and the lines of the report. */
static void case_full(void)
{
    hf_free(hf_malloc(100));
    size_t pages = free_pages();
    cancel_in(call_fill);
    CHECK(free_pages() == pages);
    CHECK(fill() >= pages / 5 - 1);
}

/* Enough of a growing arena to have its segment published. */
static void call_publish(void)
{
    void *blocks[60];
    for (size_t i = 0; i < 60; i++)
        CHECK((blocks[i] = hf_malloc(BLOCK_BYTES)) != NULL);
    for (size_t i = 0; i < 60; i++)
        hf_free(blocks[i]);
}

static void case_publish(void)
{
    hf_free(hf_malloc(100));
    cancel_in(call_publish);
    test_segment(); /* it is there, and whole */
}

static void call_large(void)
{
    looks_left = LOOKS;
    hf_free(hf_malloc((size_t)8 << 20));
}

static void case_population(void)
{
    looks_left = INT16_MAX;
    bool populated = hf_prefault_wait(0) == 0; /* io_uring is refused */
    looks_in_vain = 0;
    cancel_in(call_large);
    CHECK(populated || looks_in_vain == LOOKS);
    CHECK(hf_prefault_wait(-1) == 0);
    CHECK(fill() > ((size_t)250 << 20) / (5 * HFI_PAGE_BYTES));
}

static void call_fork(void)
{
    int status;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        void *block = hf_malloc(100);
        _exit(block != NULL && fill() > 40 ? 0 : 1);
    }
    /* waitpid(2) is a cancellation point */
    CHECK(syscall(SYS_wait4, pid, &status, 0, NULL) == pid && status == 0);
}

static void case_fork(void)
{
    hf_free(hf_malloc(100));
    cancel_in(call_fork);
}

static _Atomic(int) asked;

static bool asks_for_its_end(size_t bytes, unsigned node, void *argument)
{
    (void)bytes, (void)node, (void)argument;
    asked++;
    pthread_testcancel();
    return false;
}

static void case_pressure(void)
{
    hf_free(hf_malloc(100));
    CHECK(hf_pressure_register(asks_for_its_end, NULL) == 0);
    size_t pages = free_pages();
    cancel_in(call_fill);
    CHECK(asked == 1 && free_pages() == pages);
}

static const struct test_case {
    const char *name;
    void (*run)(void);
    const char *arena, *backing, *prefault;
} cases[] = {
    { "first", case_first, "16M", "4k", "startup" },
    { "full", case_full, "16M", "4k", "startup" },
    { "publish", case_publish, "auto", "4k", "startup" },
    { "population", case_population, "256M", "4k", "background" },
    { "fork", case_fork, "16M", "2m", "startup" },
    { "pressure", case_pressure, "16M", "4k", "startup" },
};

static void start_case(int number)
{
    const struct test_case *test = &cases[number];
    setenv("HOLDFAST_TEST_CASE", test->name, 1);
    setenv("HOLDFAST_ARENA", test->arena, 1);
    setenv("HOLDFAST_BACKING", test->backing, 1);
    setenv("HOLDFAST_PREFAULT", test->prefault, 1);
    setenv("HOLDFAST_VERBOSE", "1", 1);
    execl("/proc/self/exe", "cancel", (char *)NULL);
    CHECK(!"exec");
}

int main(void)
{
    const char *name = getenv("HOLDFAST_TEST_CASE");
    bool failed = false;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct test_case *test = &cases[i];
        char said[8192];
        unsigned tries = 0;
        int status;
        if (name != NULL && strcmp(name, test->name) == 0) {
            test->run();
            return 0;
        }
        if (name != NULL)
            continue;
        do
            status = test_in_child(start_case, (int)i, said, sizeof said);
        while (status != 0 && test_pool_again(test->backing, &tries));
        printf("%s %s\n%s", status == 0 ? "ok" : "FAILED", test->name, status == 0 ? "" : said);
        failed = failed || status != 0;
    }
    return failed;
}
