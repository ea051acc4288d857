/*
 * filtered: a filter of system calls refuses one call of those that a start may make, or that a growing
 * arena makes later.  The program starts, works and ends all the same, as it does under the C library
 * alone.
 *
 * Each case is this program again, on a growing arena and on a named one, and in a child that forks.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "test.h"

#define BLOCKS 200
#define BLOCK_BYTES 100000 /* in all more than a growing arena has at first */

/* The loader itself needs others, such as openat and mmap. */
static const struct {
    const char *name;
    unsigned number;
} calls[] = {
    { "fallocate", SYS_fallocate },
    { "fchmod", SYS_fchmod },
    { "fcntl", SYS_fcntl },
    { "geteuid", SYS_geteuid },
    { "getdents64", SYS_getdents64 },
    { "io_uring_setup", SYS_io_uring_setup },
    { "kill", SYS_kill },
    { "lseek", SYS_lseek },
    { "madvise", SYS_madvise },
    { "mbind", SYS_mbind },
    { "membarrier", SYS_membarrier },
    { "mlock2", SYS_mlock2 },
    { "prctl", SYS_prctl },
    { "prlimit64", SYS_prlimit64 },
    { "readlinkat", SYS_readlinkat },
#ifdef SYS_readlink
    { "readlink", SYS_readlink },
#endif
    { "rt_sigpending", SYS_rt_sigpending },
    { "rt_sigprocmask", SYS_rt_sigprocmask },
    { "sched_getaffinity", SYS_sched_getaffinity },
    { "sysinfo", SYS_sysinfo },
    { "unlinkat", SYS_unlinkat },
#ifdef SYS_unlink
    { "unlink", SYS_unlink },
#endif
};

static void refuse(unsigned number)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = sizeof filter / sizeof filter[0], .filter = filter };
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0);
}

static void work(void)
{
    static char *blocks[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++) {
        CHECK((blocks[i] = malloc(BLOCK_BYTES + i)) != NULL);
        test_mark(blocks[i], BLOCK_BYTES + i);
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        CHECK(test_marked(blocks[i], BLOCK_BYTES + i));
        free(blocks[i]);
    }
}

static void work_and_fork(void)
{
    int status;
    work();
    pid_t pid = fork();
    if (pid == 0) {
        work();
        exit(0);
    }
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
}

static void start_again(int number)
{
    char *again[] = { (char *)"filtered", (char *)"again", NULL };
    refuse((unsigned)number);
    execv("/proc/self/exe", again);
}

static void try_all(const char *arena)
{
    static char output[4096];
    setenv("HOLDFAST_ARENA", arena, 1);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        int status = test_in_child(start_again, (int)calls[i].number, output, sizeof output);
        if (status != 0)
            printf("without %s on %s: status %x\n%s", calls[i].name, arena, (unsigned)status, output);
        CHECK(status == 0);
    }
}

int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1) {
        work_and_fork();
        return 0;
    }
    setenv("HOLDFAST_PREFAULT", "none", 1);
    setenv("HOLDFAST_BACKING", "4k", 1);
    try_all("auto");
    try_all("64M");
    return 0;
}
