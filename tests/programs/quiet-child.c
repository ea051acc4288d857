/*
 * quiet-child: the child of a fork keeps to what its parent promises.  On a named arena no call of
 * malloc or free makes a system call, ever; on one that grows, none does that does not grow it.
 * With HOLDFAST_INSPECT=children the child is shown, and from the fork on.
 *
 * Neither needs more stack than a signal handler has, nor does an arena that grows and is published
 * meanwhile, or a full one's report.
 *
 * In the child a seccomp filter ends the process at any system call but write and exit_group.
 */
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "segment.h"
#include "short-stack.h"

#define ROUNDS 30000
#define BLOCKS 512
#define MIB ((size_t)1 << 20)

static void forbid_all(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog program = { .len = sizeof filter / sizeof filter[0], .filter = filter };
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0);
}

/* Hundreds of slow paths, and 32 MiB at a time, of what the parent had given back. */
static void work(void)
{
    void *blocks[BLOCKS] = { NULL };
    uint64_t random = 7;
    for (int i = 0; i < ROUNDS; i++) {
        void **slot = &blocks[test_random(&random) % BLOCKS];
        free(*slot);
        size_t bytes = test_random_size(&random, 16, i % 64 == 0 ? MIB / 4 : 8000);
        char *block = *slot = malloc(bytes);
        CHECK(block != NULL);
        block[0] = block[bytes - 1] = 1;
    }
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    for (int i = 0; i < 32; i++)
        CHECK((blocks[i] = malloc(MIB)) != NULL);
    for (int i = 0; i < 32; i++)
        free(blocks[i]);
}

static void fork_and_work(bool shown)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        char path[128];
        test_segment_path(path, sizeof path);
        CHECK((access(path, F_OK) == 0) == shown);
        if (shown)
            CHECK(test_segment()->pid == (uint64_t)getpid());
        forbid_all();
        work();
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    if (status != 0)
        fprintf(stderr, "the child ended with status %x\n", (unsigned)status);
    CHECK(status == 0);
}

/* What a child then gives out again without growing. */
static void make_room(void)
{
    enum { COUNT = 128 };
    void *blocks[COUNT];
    for (int i = 0; i < COUNT; i++)
        CHECK((blocks[i] = malloc(MIB)) != NULL);
    for (int i = 0; i < COUNT; i++)
        free(blocks[i]);
    work();
}

/* --- in a signal handler --- */

static pid_t forked;
static void *volatile grown;

static void grow_and_fork(void)
{
    for (size_t i = 1; i < 24; i++)
        free(grown = malloc(i * MIB));
    forked = fork();
}

static void fill(void)
{
    while ((grown = malloc(MIB / 16)) != NULL)
        ;
}

/* Of 4 GiB the segment has more than 1 MiB, for which the child asks how much its cgroup leaves
 * it. */
static void fork_on_short_stack(bool shown, bool to_be_filled)
{
    int status;
    test_on_short_stack(grow_and_fork);
    CHECK(forked >= 0);
    if (forked == 0)
        _exit(!shown || test_segment()->pid == (uint64_t)getpid() ? 0 : 1);
    CHECK(waitpid(forked, &status, 0) == forked && status == 0);
    if (to_be_filled)
        test_on_short_stack(fill);
}

/* A file for the publication to keep, which takes more stack than one that finds none. */
static void leave_segment(char **argv)
{
    int status;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        char *again[] = { argv[0], (char *)"killed", NULL };
        setenv("HOLDFAST_ARENA", "16M", 1);
        setenv("HOLDFAST_BACKING", "thp", 1);
        setenv("HOLDFAST_INSPECT", "1", 1);
        execv("/proc/self/exe", again);
        _exit(1);
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

int main(int argc, char **argv)
{
    static const char *const cases[][2] = {
        { "256M", "1" },        { "256M", "children" }, { "auto", "1" },
        { "auto", "children" }, { "4G", "children" },   { "64M", "1" },
    };
    if (argc == 2) {
        free(malloc(1));
        kill(getpid(), SIGKILL);
    }
    if (argc == 3) {
        bool shown = strcmp(argv[2], "children") == 0;
        fork_on_short_stack(shown, strcmp(argv[1], "64M") == 0);
        if (strcmp(argv[1], "4G") == 0 || strcmp(argv[1], "64M") == 0)
            return 0;
        make_room();
        fork_and_work(shown);
        return 0;
    }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *again[] = { argv[0], (char *)cases[i][0], (char *)cases[i][1], NULL };
        leave_segment(argv);
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            setenv("HOLDFAST_ARENA", cases[i][0], 1);
            setenv("HOLDFAST_INSPECT", cases[i][1], 1);
            setenv("LD_BIND_NOW", "1", 1);
            setenv("HOLDFAST_PREFAULT", strcmp(cases[i][0], "4G") == 0 ? "none" : "startup", 1);
            setenv("HOLDFAST_BACKING", "thp", 1); /* the secure build asks the kernel for guards on 4k */
            execv("/proc/self/exe", again);
            _exit(127);
        }
        int status;
        CHECK(waitpid(pid, &status, 0) == pid);
        printf("arena %s, HOLDFAST_INSPECT=%s: status %x\n", cases[i][0], cases[i][1], (unsigned)status);
        CHECK(status == 0);
    }
    return 0;
}
