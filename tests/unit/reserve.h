/*
 * reserve: what the tests of the reservation share. Each case runs in a child of its own with
 * standard error in a pipe; system calls are refused by a seccomp filter, huge pages are never more
 * than there are.
 */
#ifndef RESERVE_H
#define RESERVE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "arena/reserve.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/cgroup.h"
#include "kernel/cpu.h"
#include "kernel/files.h"
#include "kernel/machine.h"
#include "kernel/os.h"
#include "base/say.h"
#include "base/options.h"
#include "numa/topology.h"
#include "numa/plan.h"

#if defined __SANITIZE_ADDRESS__
#define SANITIZED 1 /* it needs much address space, and makes mlock do nothing */
#elif defined __has_feature
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#define EXIT_STOPPED 78 /* EX_CONFIG: strict */
#define EXIT_FAILED 3   /* hfi_reserve gave an error */
#define EXIT_CHECK 4    /* a check in the child did not hold */

static struct topology topology;

static inline struct options options_of(enum option_arena arena, size_t bytes, enum option_backing backing)
{
    struct options options;
    hfi_options_read(&options);
    options.arena = arena;
    options.arena_bytes = bytes;
    options.backing = backing;
    options.lock = LOCK_NO;
    return options;
}

static inline void make_topology(unsigned node_count)
{
    topology = (struct topology){ .node_count = node_count };
    for (unsigned i = 0; i < node_count; i++)
        topology.nodes[i] =
            (struct topology_node){ .id = i, .memory_bytes = (size_t)8 << 30, .has_cpus = true };
}

static inline void set_up(void)
{
    make_topology(1);
}

/* --- running a case --- */

struct outcome {
    int status; /* exit status, or 1000 + signal */
    char said[4096];
};

/* Runs hfi_reserve in a child after `prepare`, then `check`; both may be NULL. */
static inline struct outcome run(struct options options, void (*prepare)(void),
                                 bool (*check)(const struct reservation *))
{
    struct outcome outcome;
    int ends[2], status;
    cr_assert_eq(pipe(ends), 0);
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        static struct reservation reservation;
        dup2(ends[1], 2);
        close(ends[0]);
        hfi_say_set_verbose(options.verbose);
        if (prepare != NULL)
            prepare();
        if (hfi_reserve(&reservation, &options, &topology) != 0)
            _exit(EXIT_FAILED);
        _exit(check == NULL || check(&reservation) ? 0 : EXIT_CHECK);
    }
    close(ends[1]);
    size_t length = 0;
    ssize_t got;
    while ((got = read(ends[0], outcome.said + length, sizeof outcome.said - 1 - length)) > 0)
        length += (size_t)got;
    outcome.said[length] = 0;
    close(ends[0]);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
    return outcome;
}

#define POOL_TRIES 40 /* of half a second at most, which hfi_reserve itself waits */

/* The pool was too small at the moment, or was taken between the look and the mapping. */
static inline bool others_took_the_pool(const struct outcome *outcome, bool refused_on_purpose)
{
    return strstr(outcome->said, "201 reserve: ") != NULL ||
           (!refused_on_purpose && strstr(outcome->said, "203 reserve: ") != NULL);
}

/* The same, again while others hold the pool. */
static inline struct outcome run_on_the_pool(struct options options, void (*prepare)(void),
                                             bool (*check)(const struct reservation *))
{
    struct outcome outcome = run(options, prepare, check);
    for (unsigned i = 1; i < POOL_TRIES && others_took_the_pool(&outcome, prepare != NULL); i++)
        outcome = run(options, prepare, check);
    return outcome;
}

/* The machine has a pool of 2 MiB pages for a case on a few of them. */
static inline bool has_pool(void)
{
    struct os_huge_pool pool;
    return hfi_os_huge_pool(&pool, 0, true, 2 * HFI_MIB) && pool.total_pages >= 8;
}

static inline unsigned lines_of(const char *text)
{
    unsigned lines = 0;
    for (; *text != 0; text++)
        lines += *text == '\n';
    return lines;
}

#define ASSERT_SAID(outcome, id)                                                                             \
    cr_assert_not_null(strstr((outcome).said, id), "%s was to be said, not: %s", id, (outcome).said)
#define ASSERT_STATUS(outcome, expected)                                                                     \
    cr_assert_eq((outcome).status, expected, "status %d, not %d; said: %s", (outcome).status, expected,      \
                 (outcome).said)

/* Makes one system call fail with `error`; with `value` >= 0 only where argument `argument` has
 * it. */
static inline void refuse(unsigned call, int argument, int value, int error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                 (unsigned)(offsetof(struct seccomp_data, args) + 8 * (unsigned)argument)),
        BPF_JUMP(BPF_JMP | (value >= 0 ? BPF_JEQ : BPF_JGE) | BPF_K, value >= 0 ? (unsigned)value : 0, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = sizeof filter / sizeof filter[0], .filter = filter };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(EXIT_CHECK);
}

/* --- what must hold of a reservation --- */

static inline bool resident(const char *start, size_t bytes)
{
    static unsigned char pages[65536];
    if (bytes / 4096 > sizeof pages || mincore((void *)start, bytes, pages) != 0)
        return false;
    for (size_t i = 0; i < bytes / 4096; i++)
        if ((pages[i] & 1) == 0)
            return false;
    return true;
}

static inline bool layout_holds(const struct reservation *r)
{
    unsigned char page;
    size_t end = HFI_WINDOWS_OFFSET;
    bool holds = (uintptr_t)r->base % HFI_GIB == 0 && r->node_count == topology.node_count;
    for (unsigned i = 0; i < r->node_count; i++) { /* V1, V2 */
        holds = holds && r->nodes[i].start == r->base + end && r->nodes[i].bytes % HFI_PAGE_BYTES == 0;
        end += hfi_align_up(r->nodes[i].bytes, HFI_WINDOW_BYTES);
    }
    const volatile uint64_t *owners = (const volatile uint64_t *)r->base;
    for (size_t i = 0; i < r->span >> HFI_PAGE_SHIFT; i += 512) /* V3: or SIGSEGV */
        holds = holds && owners[i] == 0;
    /* guards are mapped, so nobody else is there, but not accessible */
    holds =
        holds && mincore(r->base - 4096, 4096, &page) == 0 && mincore(r->base + r->span, 4096, &page) == 0;
    int ends[2];
    holds = holds && pipe(ends) == 0 && write(ends[1], r->base - 1, 1) == -1 &&
            write(ends[1], r->base + r->span, 1) == -1;
    return holds && end == r->span;
}

static inline bool table_is_writable(const struct reservation *r)
{
    for (unsigned i = 0; i < r->node_count; i++) {
        size_t first = (size_t)(r->nodes[i].start - r->base) >> HFI_PAGE_SHIFT,
               count = r->nodes[i].bytes >> HFI_PAGE_SHIFT;
        memset(r->base + HFI_TABLE_OFFSET + first * 128, 1, count * 128);
        r->nodes[i].start[r->nodes[i].bytes - 1] = 1;
    }
    return true;
}

static inline bool named_holds(const struct reservation *r)
{
    bool holds = layout_holds(r) && table_is_writable(r) && !r->growing;
    for (unsigned i = 0; i < r->node_count; i++)
        holds = holds && r->nodes[i].populated_bytes == r->nodes[i].bytes &&
                resident(r->nodes[i].start, r->nodes[i].bytes);
    return holds;
}

static inline bool auto_holds(const struct reservation *r)
{
    bool holds = layout_holds(r) && r->growing;
    for (unsigned i = 0; i < r->node_count; i++)
        holds = holds && r->nodes[i].populated_bytes == 0 && r->nodes[i].os_page_bytes == 4096 &&
                !r->nodes[i].locked && r->nodes[i].bytes % HFI_PAGE_BYTES == 0;
    return holds;
}

/* 8 MiB and a byte. */
static inline bool backing_is_4k(const struct reservation *r)
{
    return named_holds(r) && r->nodes[0].backing == BACKING_4K &&
           r->nodes[0].bytes == 8 * HFI_MIB + HFI_PAGE_BYTES;
}

#endif
