/*
 * publish: making the segment hurts nobody, and it has its mode.  A limit of file sizes raises no
 * signal, a pending cancel ends no thread inside malloc, a signal handler that forks meanwhile
 * makes a child that tells nothing in its parent's name, a child without handlers of fork takes
 * nothing away and tells nothing, and where the processor's counter is forbidden there is no
 * segment, or with HOLDFAST_INSPECT=0 nothing that reads the counter.  A child that shares its
 * parent's memory makes no segment in its own name, and what runs at exit behind the removal leaves
 * none.
 *
 * Each case is a program of its own: this one again, with another argument and environment.
 */
#include <dirent.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "own-syscall.h"
#include "segment.h"

#define MIB ((size_t)1 << 20)

static const char *arena, *inspect, *name;
static rlim_t size_limit;

static void run(int unused)
{
    (void)unused;
    char *again[] = { (char *)"publish", (char *)name, NULL };
    struct rlimit limit = { size_limit, size_limit };
    setenv("HOLDFAST_ARENA", arena, 1);
    setenv("HOLDFAST_INSPECT", inspect, 1);
    umask(0777);                          /* the segment can be read all the same */
    setenv("HOLDFAST_BACKING", "thp", 1); /* the secure build asks the kernel for guards on 4k */
    CHECK(size_limit == 0 || setrlimit(RLIMIT_FSIZE, &limit) == 0);
    execv("/proc/self/exe", again);
    _exit(127);
}

static char output[4096];

static void expect(const char *of_arena, const char *of_inspect, const char *of_name, rlim_t limit)
{
    arena = of_arena;
    inspect = of_inspect;
    name = of_name;
    size_limit = limit;
    int status = test_in_child(run, 0, output, sizeof output);
    printf("%s on %s, HOLDFAST_INSPECT=%s, limit %llu: status %x\n%s", name, arena, inspect,
           (unsigned long long)limit, (unsigned)status, output);
    fflush(stdout);
    CHECK(status == 0);
}

/* --- cases --- */

static void fill(size_t bytes)
{
    for (size_t done = 0; done < bytes; done += 4096) {
        char *block = malloc(4000);
        CHECK(block != NULL);
        block[0] = 1;
    }
}

static void grow(void)
{
    fill(48 * MIB);
}

/* Tells the parent the size of a whole segment, and of one without its page map. */
static void size(void)
{
    const struct hf_inspect_segment *segment = test_segment();
    fprintf(stderr, "%llu %u\n", (unsigned long long)segment->segment_bytes, segment->pages.count);
    struct stat file;
    char path[128];
    test_segment_path(path, sizeof path);
    CHECK(stat(path, &file) == 0 && (file.st_mode & 0777) == 0400);
}

static void without_map(void)
{
    CHECK(test_segment()->pages.count == 0 && test_segment()->nodes.count != 0);
    fill(8 * MIB);
}

static bool returned;

static void *be_cancelled(void *unused)
{
    (void)unused;
    pthread_cancel(pthread_self());
    grow();
    returned = true;
    pthread_testcancel();
    return NULL;
}

static void cancel(void)
{
    pthread_t thread;
    void *result;
    CHECK(pthread_create(&thread, NULL, be_cancelled, NULL) == 0);
    CHECK(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
    CHECK(returned);
    CHECK(test_segment()->pid == (uint64_t)getpid());
}

static volatile bool raises, has_forked;
static volatile pid_t forked_pid;

static void fork_now(int number)
{
    (void)number;
    forked_pid = fork();
    has_forked = true;
}

/* It may have published its own, as it grew. */
static void check_no_segment_of_parent(void)
{
    char line[512], of_parent[64];
    FILE *maps = fopen("/proc/self/maps", "r");
    snprintf(of_parent, sizeof of_parent, "/" HF_INSPECT_PREFIX "%ld.", (long)getppid());
    CHECK(maps != NULL);
    while (fgets(line, sizeof line, maps) != NULL)
        CHECK(strstr(line, of_parent) == NULL);
    fclose(maps);
}

static void fork_meanwhile(void)
{
    int status;
    CHECK(signal(SIGUSR1, fork_now) != SIG_ERR);
    raises = true;
    grow();
    CHECK(has_forked && forked_pid >= 0);
    if (forked_pid == 0) {
        check_no_segment_of_parent();
        return;
    }
    CHECK(waitpid(forked_pid, &status, 0) == forked_pid && status == 0);
    CHECK(test_segment()->pid == (uint64_t)getpid());
}

static void clone_a_child_that_exits(unsigned long flags)
{
    int status;
    fflush(NULL);
    long pid = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
    CHECK(pid >= 0);
    if (pid == 0) {
        fill(2 * MIB);
        exit(calloc(1, 2 * MIB) == NULL);
    }
    CHECK(waitpid((pid_t)pid, &status, 0) == pid && status == 0);
}

static void clone_and_exit(void)
{
    clone_a_child_that_exits(0);
    const struct hf_inspect_segment *segment = test_segment();
    CHECK(segment->pid == (uint64_t)getpid());
    const struct hf_inspect_node *node = test_table(segment, segment->nodes);
    CHECK(node->large == 0 && node->used < 2 * MIB); /* what the child has taken is the child's */
    const uint64_t *pages = test_table(segment, segment->pages);
    for (uint32_t i = 0; i < segment->pages.count; i++)
        CHECK(HF_PAGE_STATE(pages[i]) != HF_PAGE_LARGE);
}

/* Run by segment.sh as the first process of a namespace: the child has the same number in its
 * own. */
static void clone_first_without_proc(void)
{
    CHECK(getpid() == 1);
    clone_a_child_that_exits(CLONE_NEWPID);
}

static void clone_first(void)
{
    clone_first_without_proc();
    CHECK(test_segment()->pid == 1);
}

/* Without the heap: a call that made it grow might publish. */
static bool has_segment(long pid)
{
    static _Alignas(16) char entries[1 << 16];
    char prefix[64];
    bool any = false;
    int length = snprintf(prefix, sizeof prefix, HF_INSPECT_PREFIX "%ld.", pid);
    int directory = open(HF_INSPECT_DIRECTORY, O_RDONLY | O_DIRECTORY);
    CHECK(directory >= 0);
    for (long got; (got = syscall(SYS_getdents64, directory, entries, sizeof entries)) > 0;)
        for (long at = 0; at < got; at += ((struct dirent64 *)(entries + at))->d_reclen)
            any = any || strncmp(((struct dirent64 *)(entries + at))->d_name, prefix, (size_t)length) == 0;
    close(directory);
    return any;
}

/* `pid` is a child that ran no handlers of fork, and has grown the arena, its parent's own perhaps,
 * beyond the size of publishing. */
static void check_child_and_publish(pid_t pid)
{
    int status;
    CHECK(pid > 0);
    CHECK(!has_segment(pid)); /* nobody has waited for it: the number is still its own */
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(!has_segment(getpid()));
    grow();
    CHECK(test_segment()->pid == (uint64_t)getpid());
}

static void vfork_meanwhile(void)
{
    pid_t pid = vfork();
    if (pid == 0) {
        grow();
        _exit(0);
    }
    check_child_and_publish(pid);
}

static int grow_in_clone(void *unused)
{
    (void)unused;
    grow();
    return 0;
}

static void clone_with_memory(void)
{
    static _Alignas(64) char stack[1 << 18];
    check_child_and_publish(
        clone(grow_in_clone, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL));
}

static void fork_without_handlers(void)
{
    pid_t pid = _Fork();
    if (pid == 0) {
        grow();
        exit(has_segment(getpid()));
    }
    siginfo_t ended;
    CHECK(waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOWAIT) == 0);
    check_child_and_publish(pid);
}

/* Of the C library's streams, which are flushed behind all destructors. */
static ssize_t grow_at_last(void *cookie, const char *text, size_t bytes)
{
    (void)text;
    int status;
    grow();
    pid_t pid = cookie == NULL ? 0 : fork();
    if (cookie != NULL && pid == 0) {
        grow();
        _exit(has_segment(getpid()));
    }
    CHECK(pid == 0 || (waitpid(pid, &status, 0) == pid && status == 0));
    return (ssize_t)bytes;
}

static void grow_behind_destructors(bool forks)
{
    FILE *stream = fopencookie(forks ? &name : NULL, "w", (cookie_io_functions_t){ .write = grow_at_last });
    CHECK(stream != NULL && fputc('x', stream) == 'x');
    fprintf(stderr, "%ld\n", (long)getpid());
}

static void exit_and_grow(void)
{
    grow_behind_destructors(false);
}

static void exit_and_fork(void)
{
    grow_behind_destructors(true);
}

static sem_t about_to_create, removed, published;
static bool exits;
static pthread_t publisher;

/* Of the segment by its path, not of what a sweep finds. */
static bool is_unlink(long number, long directory)
{
#ifdef SYS_unlink
    return (void)directory, number == SYS_unlink;
#else
    return number == SYS_unlinkat && (int)directory == AT_FDCWD;
#endif
}

/* The library's own calls: the first makes place for the file, the other removes it at exit.  True for
 * that one. */
static bool before_unlink(void)
{
    bool creates = exits && pthread_equal(pthread_self(), publisher);
    bool ends = exits && !creates;
    if (creates || ends)
        exits = false; /* of each thread the first alone */
    if (creates) {
        sem_post(&about_to_create);
        sem_wait(&removed);
    }
    return ends;
}

/* All calls of the library's own come this way.  fchmod is one in the middle of publishing. */
static long test_syscall(long number, const long a[6])
{
    if (number == SYS_fchmod && raises) {
        raises = false;
        raise(SIGUSR1);
    }
    bool ends = is_unlink(number, a[0]) && before_unlink();
    long result = test_real_syscall(number, a);
    if (ends) {
        sem_post(&removed);
        sem_wait(&published);
    }
    return result;
}

static void *publish_at_exit(void *unused)
{
    publisher = pthread_self();
    exits = true;
    grow();
    sem_post(&published);
    pause();
    return unused;
}

/* Main ends while another thread publishes. */
static void exit_meanwhile(void)
{
    pthread_t thread;
    CHECK(sem_init(&about_to_create, 0, 0) == 0 && sem_init(&removed, 0, 0) == 0 &&
          sem_init(&published, 0, 0) == 0);
    CHECK(pthread_create(&thread, NULL, publish_at_exit, NULL) == 0);
    sem_wait(&about_to_create);
    exits = true;
    fprintf(stderr, "%ld\n", (long)getpid());
}

static void forbid_counter(void)
{
    CHECK(prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0) == 0);
}

static void grow_without_counter(void)
{
    forbid_counter();
    grow();
}

/* To the last byte, which prints a report, and back. */
static void fill_without_counter(void)
{
    enum { COUNT = 4096 };
    static void *blocks[COUNT];
    size_t count = 0;
    forbid_counter();
    for (size_t bytes = 16; bytes < 100000; bytes *= 2)
        free(realloc(malloc(bytes), 2 * bytes));
    while (count < COUNT && (blocks[count] = malloc(MIB)) != NULL)
        count++;
    CHECK(count < COUNT);
    while (count > 0)
        free(blocks[--count]);
}

/* Here nothing is allowed but read, write and the end; the kernel forbids the counter as well. */
static void be_strict(void)
{
    CHECK(malloc(1) != NULL);
    fflush(NULL);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0);
    for (int i = 0; i < 200000; i++) {
        char *block = malloc((size_t)(i * 37 % 300000) + 1);
        if (block == NULL)
            syscall(SYS_exit, 1);
        block[0] = 1;
        if (i % 3 != 0 || i > 300)
            free(block);
    }
    syscall(SYS_exit, 0);
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    { "grow", grow },
    { "size", size },
    { "without-map", without_map },
    { "cancel", cancel },
    { "fork-meanwhile", fork_meanwhile },
    { "clone", clone_and_exit },
    { "vfork", vfork_meanwhile },
    { "clone-with-memory", clone_with_memory },
    { "fork-without-handlers", fork_without_handlers },
    { "exit-and-grow", exit_and_grow },
    { "exit-and-fork", exit_and_fork },
    { "exit-meanwhile", exit_meanwhile },
    { "clone-first", clone_first },
    { "clone-first-without-proc", clone_first_without_proc },
    { "grow-without-counter", grow_without_counter },
    { "fill-without-counter", fill_without_counter },
    { "strict", be_strict },
};

static void expect_nothing_left(const char *of_name)
{
    expect("auto", "1", of_name, 0);
    CHECK(atol(output) > 0 && !has_segment(atol(output)));
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof cases / sizeof cases[0]; i++)
        if (strcmp(argv[1], cases[i].name) == 0) {
            cases[i].run();
            return 0;
        }
    CHECK(argc == 1);

    unsigned long long whole, pages;
    expect("auto", "1", "grow", 4096);
    CHECK(strstr(output, "HF-W006") != NULL && strstr(output, "limit of file sizes is 4 KiB") != NULL);
    CHECK(strstr(output, "ulimit -f") != NULL);
    expect("64M", "1", "grow", 4096);
    CHECK(strstr(output, "limit of file sizes is 4 KiB") != NULL);
    expect("64M", "1", "size", 0);
    CHECK(sscanf(output, "%llu %llu", &whole, &pages) == 2 && pages == 1024);
    expect("64M", "1", "without-map", whole - 4096);
    CHECK(strstr(output, "HF-W006") == NULL);

    expect("auto", "1", "cancel", 0);
    expect("auto", "1", "fork-meanwhile", 0);
    expect("64M", "1", "clone", 0);

    expect("auto", "1", "vfork", 0);
    expect("auto", "1", "clone-with-memory", 0);
    expect("auto", "1", "fork-without-handlers", 0);
    expect_nothing_left("exit-and-grow");
    expect_nothing_left("exit-and-fork");
    expect_nothing_left("exit-meanwhile");

    if (prctl(PR_GET_TSC, (int[1]){ 0 }, 0, 0, 0) != 0) {
        printf("this kernel cannot forbid the counter\n");
        return 0;
    }
    expect("auto", "1", "grow-without-counter", 0);
    CHECK(strstr(output, "HF-W006") != NULL && strstr(output, "PR_SET_TSC") != NULL);
    expect("64M", "0", "fill-without-counter", 0);
    CHECK(strstr(output, "HF-E012") != NULL);
    expect("auto", "0", "grow-without-counter", 0);
    expect("256M", "0", "strict", 0);
    return 0;
}
