/*
 * crew: see crew.h.
 *
 * A worker is no thread of the C library: it is cloned with the process's memory, on a small stack
 * of its own, moves itself to the node's CPUs, populates, exits, and is waited for by its id.  So
 * start-up allocates nothing (this may be the loader's first malloc), the C library goes on believing
 * that the program has one thread, and none is left that would keep it from unshare(2).
 *
 * C1: a worker shares the caller's thread-local storage.  It therefore makes its system calls itself,
 *     errno untouched, and calls nothing of the C library; signals are blocked in it; sanitizers,
 *     whose bookkeeping is thread-local, leave it alone.
 * C2: one worker per node, so no two write to the same job.  The caller reads jobs after the
 *     worker's end, which wait orders.
 *
 * A kernel without MADV_POPULATE_WRITE (EINVAL), or a node whose CPUs this process may not use, or that has
 * none, is no failure: the caller populates then, or the worker where it happens to run.
 *
 * Tests: tests/unit/plan.c, tests/lab/.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* clone */
#endif
#include "crew.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "os.h"

#define STEP_BYTES ((size_t)64 * HFI_MIB) /* so that an error says how far it came */
#define STACK_BYTES 16384
#define RETRIES 100
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

struct worker {
    struct crew_job *jobs;
    unsigned count;
    unsigned node;
    pid_t pid; /* 0: none, the caller does its work */
    uint64_t cpus[HFI_CPU_WORDS];
    bool has_cpus;
};

static struct worker workers[HFI_MAX_NODES];
static char stacks[HFI_MAX_NODES][STACK_BYTES] __attribute__((aligned(64)));

/* --- what a worker does (C1) --- */

#define IN_WORKER __attribute__((no_sanitize("address", "thread", "undefined")))

#if defined __x86_64__
#define HAVE_WORKERS 1
static inline IN_WORKER long raw_call(long number, long a, long b, long c, long d)
{
    long result;
    register long r10 __asm__("r10") = d;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
    return result;
}
#elif defined __aarch64__
#define HAVE_WORKERS 1
static inline IN_WORKER long raw_call(long number, long a, long b, long c, long d)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
}
#else
#define HAVE_WORKERS 0
static long raw_call(long number, long a, long b, long c, long d)
{
    (void)number, (void)a, (void)b, (void)c, (void)d;
    return -ENOSYS;
}
#endif

static IN_WORKER int populate_raw(char *start, size_t bytes)
{
    long error = 0;
    for (int tries = 0; tries < RETRIES; tries++) {
        error = raw_call(SYS_madvise, (long)start, (long)bytes, MADV_POPULATE_WRITE, 0);
        if (error != -EINTR && error != -EAGAIN)
            break;
    }
    return (int)error;
}

static IN_WORKER int work(void *argument)
{
    struct worker *worker = argument;
    int error = 0;
    raw_call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0);
    if (worker->has_cpus)
        raw_call(SYS_sched_setaffinity, 0, sizeof worker->cpus, (long)worker->cpus, 0);
    for (unsigned i = 0; i < worker->count; i++) {
        struct crew_job *job = &worker->jobs[i];
        if (job->node != worker->node)
            continue;
        job->error = error != 0 ? -ECANCELED : 0;
        while (error == 0 && job->done_bytes < job->bytes) {
            size_t left = job->bytes - job->done_bytes, step = left < STEP_BYTES ? left : STEP_BYTES;
            error = populate_raw(job->start + job->done_bytes, step);
            if (error == 0)
                job->done_bytes += step;
            else
                job->error = error;
        }
    }
    return 0;
}

/* --- the caller --- */

static void start(struct worker *worker)
{
    sigset_t all, before;
    int saved_errno = errno;
    worker->pid = 0;
    worker->has_cpus = hfi_os_node_cpus(worker->node, worker->cpus) > 0;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before); /* the worker keeps this mask */
    int pid = HAVE_WORKERS ? clone(work, stacks[worker - workers] + STACK_BYTES, CLONE_VM | CLONE_FS | CLONE_FILES, worker) : -1;
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (pid > 0)
        worker->pid = pid;
    errno = saved_errno;
}

static void wait_for(const struct worker *worker)
{
    int saved_errno = errno;
    while (worker->pid != 0 && waitpid(worker->pid, NULL, __WALL) == -1 && errno == EINTR)
        ;
    errno = saved_errno;
}

static void do_job(struct crew_job *job)
{
    job->error = 0;
    while (job->error == 0 && job->done_bytes < job->bytes) {
        size_t step = hfi_min(STEP_BYTES, job->bytes - job->done_bytes);
        job->error = hfi_os_populate(job->start + job->done_bytes, step);
        if (job->error == 0)
            job->done_bytes += step;
    }
}

/* What the workers left: all of it where there was none, and where their way of populating is unknown. */
static void finish(struct crew_job *jobs, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        bool failed = false;
        for (unsigned j = 0; j < i; j++)
            failed = failed || (jobs[j].node == jobs[i].node && jobs[j].error != 0);
        if (failed)
            jobs[i].error = -ECANCELED;
        else if (jobs[i].error == -EINVAL || jobs[i].error == -ECANCELED)
            do_job(&jobs[i]);
    }
}

void hfi_crew_populate(struct crew_job *jobs, unsigned count)
{
    unsigned worker_count = 0;
    for (unsigned i = 0; i < count; i++) {
        bool known = false;
        jobs[i].done_bytes = 0;
        jobs[i].error = -ECANCELED;
        for (unsigned j = 0; j < worker_count; j++)
            known = known || workers[j].node == jobs[i].node;
        if (!known && worker_count < HFI_MAX_NODES)
            workers[worker_count++] = (struct worker){ .jobs = jobs, .count = count, .node = jobs[i].node };
    }
    if (worker_count > 1) {
        for (unsigned i = 0; i < worker_count; i++)
            start(&workers[i]);
        for (unsigned i = 0; i < worker_count; i++)
            wait_for(&workers[i]);
    }
    finish(jobs, count);
}
