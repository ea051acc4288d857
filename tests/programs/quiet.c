/*
 * quiet (G1): on a named arena no allocation call enters the kernel for memory or takes a fault.
 *
 * Once two more threads run, a seccomp filter kills the process on mmap, munmap, mremap, brk,
 * madvise, mprotect, mbind, mlock and futex; then all allocate, touch and free across threads.  The
 * count of minor faults must not move.  The threads wait for each other by spinning, which
 * is the test's own affair.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "test.h"

#define THREADS 2
#define SLOTS 2048

static _Atomic(int) phase, ready, done;
static _Atomic(void *) slots[SLOTS];

static const int forbidden[] = { SYS_mmap,     SYS_munmap, SYS_mremap, SYS_brk,  SYS_madvise,
                                 SYS_mprotect, SYS_mbind,  SYS_mlock,  SYS_futex };
#define FORBIDDEN (sizeof forbidden / sizeof forbidden[0])

static void forbid(void)
{
    struct sock_filter filter[2 + 2 * FORBIDDEN];
    unsigned short length = 0;
    filter[length++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < FORBIDDEN; i++) {
        filter[length++] =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)forbidden[i], 0, 1);
        filter[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    }
    filter[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = { .len = length, .filter = filter };
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0);
}

static void work(uint64_t random)
{
    for (int i = 0; i < 100000; i++) {
        size_t bytes = test_random_size(&random, 1, i % 256 == 0 ? (size_t)2 << 20 : 5000);
        char *block = i % 3 == 0 ? calloc(1, bytes) : malloc(bytes);
        CHECK(block != NULL);
        memset(block, i, bytes);
        block = realloc(block, bytes + bytes / 2);
        CHECK(block != NULL);
        free(atomic_exchange(&slots[test_random(&random) % SLOTS], block));
    }
}

static long minor_faults(void)
{
    struct rusage usage;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    return usage.ru_minflt;
}

static void *other(void *argument)
{
    volatile char stack[65536]; /* its faults come before the count */
    for (size_t i = 0; i < sizeof stack; i += 512)
        stack[i] = 1;
    free(malloc(1));
    work(1234 + (uintptr_t)argument); /* code and tables are touched once */
    ready++;
    while (phase == 0)
        sched_yield();
    work((uintptr_t)argument + 77);
    done++;
    while (phase == 1)
        sched_yield();
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    (void)argc;
    test_on_arena(argv, "1500M");
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&thread, NULL, other, (void *)i) == 0);
    work(1);
    while (ready < THREADS)
        sched_yield();
    fflush(stdout);
    (void)minor_faults();
    forbid();
    long before = minor_faults();
    phase = 1;
    work(2);
    while (done < THREADS)
        sched_yield();
    long after = minor_faults();
    if (after != before)
        fprintf(stderr, "%ld faults\n", after - before);
    _exit(after == before ? 0 : 1);
}
