/*
 * prefault: an arena populated in the background, and what can happen to a program meanwhile.
 *
 * Each case is a program of its own, started from this one with its own environment.  All of them
 * hold that no block that malloc gives out faults, or is outside what was populated.
 */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#include <holdfast/holdfast.h>
#include <holdfast/inspect.h>

#include "segment.h"

#define ARENA_MIB 768u

static double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Of the calling thread: the kernel's threads that populate are counted with the process. */
static long minor_faults(void)
{
    struct rusage usage;
    CHECK(getrusage(RUSAGE_THREAD, &usage) == 0);
    return usage.ru_minflt;
}

/* Threads of this process, the kernel's for a ring included. */
static int thread_count(void)
{
    return (int)test_number_in("/proc/self/status", "Threads:");
}

static int ring_descriptors(void)
{
    int rings = 0;
    for (int fd = 0; fd < 256; fd++) {
        char path[64], name[64];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(path, name, sizeof name - 1);
        rings += length > 0 && memmem(name, (size_t)length, "io_uring", 8) != NULL;
    }
    return rings;
}

/* Writes to each OS page of a fresh block: none of them faults; code and stack may. */
static void touch_without_fault(size_t bytes)
{
    char *block = malloc(bytes);
    CHECK(block != NULL);
    long before = minor_faults();
    for (size_t i = 0; i < bytes; i += 4096)
        block[i] = 1;
    CHECK(minor_faults() - before < 16);
    free(block);
}

/* Nearly all of the arena can be had once it is populated. */
static void fill_arena(bool forked)
{
    size_t total = 0;
    static void *blocks[ARENA_MIB];
    long before = minor_faults();
    for (size_t i = 0; i < ARENA_MIB && (blocks[i] = malloc(1 << 20)) != NULL; i++, total++)
        memset(blocks[i], 1, 1 << 20);
    /* `blocks` itself; after a fork, the first write to each OS page */
    CHECK(forked || minor_faults() - before < 64);
    CHECK(total > ARENA_MIB * 95 / 100);
    for (size_t i = 0; i < total; i++)
        free(blocks[i]);
}

/* --- cases --- */

/* The program works while it is populated, and has all of it in the end; then no thread of the
 * kernel is left. */
static void case_works_meanwhile(void)
{
    CHECK(ring_descriptors() == 0);
    for (int i = 0; i < 100; i++)
        touch_without_fault(400000);
    CHECK(hf_prefault_wait(-1) == 0);
    CHECK(hf_prefault_wait(0) == 0);
    fill_arena(false);
    for (int i = 0; thread_count() != 1; i++) {
        CHECK(i < 1000);
        usleep(10000);
    }
}

/* The segment tells how far it came, and when it is over. */
static void case_shows_progress(void)
{
    const struct hf_inspect_segment *segment = test_segment();
    const struct hf_inspect_node *node = test_table(segment, segment->nodes);
    uint64_t last = node->populated, steps = 0;
    CHECK((node->flags & HF_INSPECT_NODE_POPULATING) != 0 && last < node->total / 4);
    while (hf_prefault_wait(5) == -ETIMEDOUT) {
        free(malloc(1 << 20)); /* a slow path */
        CHECK(node->populated >= last && node->populated <= node->total);
        steps += node->populated > last;
        last = node->populated;
    }
    CHECK(steps > 1 && node->populated == node->total && (node->flags & HF_INSPECT_NODE_POPULATING) == 0 &&
          node->populate_error == 0);
}

static void *waits(void *argument)
{
    CHECK(hf_prefault_wait(-1) == 0);
    return argument;
}

/* Also when nobody allocates, and one thread waits. */
static void case_shows_progress_of_a_wait(void)
{
    pthread_t thread;
    const struct hf_inspect_segment *segment = test_segment();
    const struct hf_inspect_node *node = test_table(segment, segment->nodes);
    uint64_t last = node->populated, steps = 0;
    CHECK(pthread_create(&thread, NULL, waits, NULL) == 0);
    while (last < node->total) {
        uint64_t now = __atomic_load_n(&node->populated, __ATOMIC_RELAXED);
        steps += now > last;
        last = now;
        usleep(500);
    }
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(steps > 3);
}

/* A program that does nothing meanwhile: the first call that asks finds everything there. */
static void case_idles(void)
{
    for (int i = 0; test_number_in("/proc/self/status", "VmRSS:") < (size_t)ARENA_MIB << 10; i++) {
        CHECK(i < 10000);
        usleep(10000);
    }
    usleep(100000); /* the last completion */
    CHECK(hf_prefault_wait(0) == 0);
    fill_arena(false);
}

/* What is not populated yet is populated by who needs it: nothing waits in vain, nothing faults. */
static void case_needs_all_at_once(void)
{
    size_t bytes = (size_t)(ARENA_MIB - 48) << 20;
    touch_without_fault(bytes);
    CHECK(hf_prefault_wait(-1) == 0);
}

static void *needs_much(void *argument)
{
    static _Atomic(size_t) taken;
    while (__atomic_fetch_add((size_t *)&taken, 1, __ATOMIC_RELAXED) < ARENA_MIB * 90 / 100) {
        char *block = malloc(1 << 20);
        CHECK(block != NULL);
        memset(block, 1, 1 << 20);
    }
    return argument;
}

/* Threads that want it all before it is there get it: none is told that the arena is full. */
static void case_threads_need_all(void)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, needs_much, NULL) == 0);
    for (int i = 0; i < 4; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

/* A daemon closes everything and opens its own files under the same numbers: population goes on,
 * and touches none. */
static void case_closes_all_descriptors(void)
{
    char path[] = "/tmp/holdfast-test-XXXXXX";
    for (int fd = 3; fd < 1024; fd++)
        close(fd);
    int files[32];
    for (int i = 0; i < 32; i++) {
        files[i] = i == 0 ? mkstemp(path) : dup(files[0]);
        CHECK(files[i] == 3 + i);
        CHECK(write(files[i], "mine", 4) == 4);
    }
    CHECK(hf_prefault_wait(-1) == 0);
    fill_arena(false);
    char text[129] = "";
    CHECK(pread(files[31], text, 128, 0) == 128);
    for (int i = 0; i < 32; i++) {
        CHECK(memcmp(text + 4 * i, "mine", 4) == 0);
        CHECK(fcntl(files[i], F_GETFD) >= 0);
    }
    unlink(path);
}

/* The thread that made the first allocation ends; the requests are not its. */
static void *starter(void *argument)
{
    free(malloc(10));
    return argument;
}

static void case_starting_thread_ends(void)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, starter, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(hf_prefault_wait(-1) == 0);
    fill_arena(false);
}

/* A child forked meanwhile has no ring: it populates what it needs, and gets the rest as well. */
static void case_forks_meanwhile(void)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        touch_without_fault((size_t)(ARENA_MIB - 256) << 20);
        CHECK(hf_prefault_wait(-1) == 0);
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(hf_prefault_wait(-1) == 0);
    fill_arena(true);
}

/* Nor has one of a fork that no library knows of. */
static void case_forks_without_handlers(void)
{
    for (int round = 0; round < 2; round++) {
        pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
        CHECK(pid >= 0);
        if (pid == 0) {
            touch_without_fault((size_t)(ARENA_MIB - 256) << 20);
            CHECK(hf_prefault_wait(-1) == 0);
            _exit(0);
        }
        int status;
        CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
        usleep(700000); /* then with all populated, and nobody told */
    }
    CHECK(hf_prefault_wait(-1) == 0);
    fill_arena(true);
}

/* exec ends population and leaves nothing behind. */
static void case_execs_meanwhile(void)
{
    setenv("HOLDFAST_TEST_CASE", "after-exec", 1);
    setenv("HOLDFAST_ARENA", "auto", 1);
    execl("/proc/self/exe", "prefault", (char *)NULL);
    CHECK(!"exec");
}

static void case_after_exec(void)
{
    CHECK(thread_count() == 1 && ring_descriptors() == 0);
}

/* Ends at once, in the middle. */
static void case_exits_meanwhile(void)
{
    _exit(0);
}

/* Where io_uring is refused, the start populates: everything else is as before. */
static void case_refused(void)
{
    CHECK(thread_count() == 1);
    CHECK(hf_prefault_wait(0) == 0);
    fill_arena(false);
}

/* A plain preload asks for no ring, and has no thread that unshare(2) would stumble over. */
static void case_unshares(void)
{
    free(malloc(100000));
    CHECK(thread_count() == 1 && ring_descriptors() == 0);
    /* not EINVAL, which threads cause */
    CHECK(unshare(CLONE_NEWUSER) == 0 || errno == EPERM || errno == ENOSPC);
}

/* After a start with a ring, the kernel's threads are gone within a moment. */
static void case_unshares_after_start(void)
{
    for (int i = 0; unshare(CLONE_NEWUSER) != 0 && errno == EINVAL; i++) {
        CHECK(i < 1000);
        usleep(10000);
    }
}

struct test_case {
    const char *name;
    void (*run)(void);
    const char *arena, *prefault, *says;
    bool refused;
};

static const struct test_case cases[] = {
    { "works-meanwhile", case_works_meanwhile, "768M", "background", "", false },
    { "shows-progress", case_shows_progress, "768M", "background", "", false },
    { "shows-progress-of-a-wait", case_shows_progress_of_a_wait, "768M", "background", "", false },
    { "idles", case_idles, "768M", "background", "", false },
    { "needs-all-at-once", case_needs_all_at_once, "768M", "background", "", false },
    { "threads-need-all", case_threads_need_all, "768M", "background", "", false },
    { "closes-all-descriptors", case_closes_all_descriptors, "768M", "background", "", false },
    { "starting-thread-ends", case_starting_thread_ends, "768M", "background", "", false },
    { "forks-meanwhile", case_forks_meanwhile, "768M", "background", "", false },
    { "forks-without-handlers", case_forks_without_handlers, "768M", "background", "", false },
    { "execs-meanwhile", case_execs_meanwhile, "768M", "background", "", false },
    { "exits-meanwhile", case_exits_meanwhile, "768M", "background", "", false },
    { "refused-background", case_refused, "768M", "background", "HF-I224", true },
    { "refused-startup", case_refused, "768M", "startup", "", true },
    { "unshares", case_unshares, "auto", "startup", "", false },
    { "unshares-after-start", case_unshares_after_start, "1G", "startup", "", false },
    { "after-exec", case_after_exec, NULL, NULL, "", false },
};

/* As container runtimes do it: io_uring is not permitted. */
static void refuse_io_uring(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, SYS_io_uring_setup, 0, 2),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, SYS_io_uring_register, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = sizeof filter / sizeof filter[0], .filter = filter };
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static void start_case(int number)
{
    const struct test_case *test = &cases[number];
    setenv("HOLDFAST_TEST_CASE", test->name, 1);
    setenv("HOLDFAST_ARENA", test->arena, 1);
    setenv("HOLDFAST_BACKING", "4k", 1);
    setenv("HOLDFAST_PREFAULT", test->prefault, 1);
    setenv("HOLDFAST_VERBOSE", "1", 1);
    if (test->refused)
        refuse_io_uring();
    execl("/proc/self/exe", "prefault", (char *)NULL);
    CHECK(!"exec");
}

int main(void)
{
    const char *name = getenv("HOLDFAST_TEST_CASE");
    for (size_t i = 0; name != NULL && i < sizeof cases / sizeof cases[0]; i++)
        if (strcmp(name, cases[i].name) == 0) {
            cases[i].run();
            return 0;
        }
    CHECK(name == NULL);
    bool failed = false;
    for (size_t i = 0; cases[i].arena != NULL; i++) {
        char said[4096];
        double from = now_seconds();
        int status = test_in_child(start_case, (int)i, said, sizeof said);
        bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0 && strstr(said, cases[i].says) != NULL;
        printf("%s %s (%.2f s)\n", good ? "ok" : "FAILED", cases[i].name, now_seconds() - from);
        if (!good)
            fprintf(stderr, "%s: wait status %d, said: %s\n", cases[i].name, status, said);
        failed = failed || !good;
    }
    return failed;
}
