/*
 * commands: what a sequence of fuzz-processes consists of. One table for the driver, which makes
 * sequences of it, and for the victim, which runs them.
 *
 * A sequence is a text: settings first, then one command a line, "LANE NAME ARGUMENT...". Letters
 * say what an argument is: s slot, z size, a alignment, n small count, c chain length, e every
 * how many-th, k way to end, l value of a limit.
 */
#ifndef FUZZ_COMMANDS_H
#define FUZZ_COMMANDS_H

#define FUZZ_SLOTS 48
#define FUZZ_LANES 4 /* 0 is the thread that the process, or the forked child, began with */
#define FUZZ_COMMANDS_MAX 256
#define FUZZ_ARGUMENTS 3
#define FUZZ_DESCRIPTORS 128

/* Numbers of descriptors that the driver gives the victim. */
#define FUZZ_FD_SHARED 100
#define FUZZ_FD_STDERR 101

/* Who may run a command. */
#define FUZZ_ANYWHERE 3u
#define FUZZ_CANCELLED 1u /* a thread that is to be cancelled: it is no cancellation point */
#define FUZZ_FORSAKEN 2u  /* a child without an arena (HOLDFAST_FORK=dontfork) */
#define FUZZ_ELSEWHERE 0u
#define FUZZ_AT_START 4u /* the driver may do it before the program starts */
#define FUZZ_DRIVEN 8u   /* the thread that leads the sequence, whatever the lane */

/* identifier, name, arguments, weight, where */
#define FUZZ_COMMANDS(X)                                                                                     \
    X(malloc, "malloc", "sz", 30, FUZZ_ANYWHERE)                                                             \
    X(calloc, "calloc", "szn", 10, FUZZ_ANYWHERE)                                                            \
    X(realloc, "realloc", "sz", 20, FUZZ_ANYWHERE)                                                           \
    X(reallocarray, "reallocarray", "szn", 5, FUZZ_ANYWHERE)                                                 \
    X(memalign, "memalign", "saz", 6, FUZZ_ANYWHERE)                                                         \
    X(posix_memalign, "posix-memalign", "saz", 6, FUZZ_ANYWHERE)                                             \
    X(aligned_alloc, "aligned-alloc", "saz", 4, FUZZ_ANYWHERE)                                               \
    X(hf_aligned, "hf-aligned-alloc", "saz", 4, FUZZ_ANYWHERE)                                               \
    X(hf_onnode, "hf-malloc-onnode", "szn", 4, FUZZ_ANYWHERE)                                                \
    X(valloc, "valloc", "sz", 2, FUZZ_ANYWHERE)                                                              \
    X(pvalloc, "pvalloc", "sz", 2, FUZZ_ANYWHERE)                                                            \
    X(heap_malloc, "heap-malloc", "szn", 8, FUZZ_CANCELLED)                                                  \
    X(new, "new", "sz", 6, FUZZ_CANCELLED)                                                                   \
    X(new_array, "new-array", "sz", 4, FUZZ_CANCELLED)                                                       \
    X(new_nothrow, "new-nothrow", "sz", 4, FUZZ_CANCELLED)                                                   \
    X(new_array_nothrow, "new-array-nothrow", "sz", 4, FUZZ_CANCELLED)                                       \
    X(new_aligned, "new-aligned", "saz", 4, FUZZ_CANCELLED)                                                  \
    X(new_array_aligned, "new-array-aligned", "saz", 3, FUZZ_CANCELLED)                                      \
    X(new_aligned_nothrow, "new-aligned-nothrow", "saz", 3, FUZZ_CANCELLED)                                  \
    X(new_array_aligned_nothrow, "new-array-aligned-nothrow", "saz", 3, FUZZ_CANCELLED)                      \
    X(free, "free", "sn", 25, FUZZ_ANYWHERE)                                                                 \
    X(usable, "use-usable-size", "s", 6, FUZZ_ANYWHERE)                                                      \
    X(chain, "chain", "scz", 25, FUZZ_ANYWHERE)                                                              \
    X(unchain, "unchain", "sce", 25, FUZZ_ANYWHERE)                                                          \
    X(fill, "fill", "sz", 14, FUZZ_ANYWHERE)                                                                 \
    X(heap_destroy, "heap-destroy", "n", 4, FUZZ_CANCELLED)                                                  \
    X(claim, "claim", "zn", 8, FUZZ_CANCELLED)                                                               \
    X(empty, "empty", "", 5, FUZZ_ANYWHERE)                                                                  \
    X(check, "check", "", 6, FUZZ_ANYWHERE)                                                                  \
    X(idle, "idle", "", 4, FUZZ_ANYWHERE)                                                                    \
    X(trim, "malloc-trim", "", 4, FUZZ_ANYWHERE)                                                             \
    X(mallinfo, "mallinfo", "", 4, FUZZ_ANYWHERE)                                                            \
    X(malloc_info, "malloc-info", "", 4, FUZZ_FORSAKEN)                                                      \
    X(stats, "stats", "", 4, FUZZ_ANYWHERE)                                                                  \
    X(lane_ends, "lane-ends", "n", 8, FUZZ_DRIVEN)                                                           \
    X(storm, "storm", "n", 8, FUZZ_DRIVEN)                                                                   \
    X(storm_ends, "storm-ends", "", 6, FUZZ_DRIVEN)                                                          \
    X(cancel, "cancel-next", "n", 8, FUZZ_DRIVEN)                                                            \
    X(fork, "fork", "", 30, FUZZ_CANCELLED | FUZZ_FORSAKEN)                                                  \
    X(child_ends, "child-ends", "k", 24, FUZZ_DRIVEN)                                                        \
    X(spawn, "spawn", "", 3, FUZZ_ELSEWHERE)                                                                 \
    X(handler_none, "handler-none", "", 2, FUZZ_CANCELLED)                                                   \
    X(handler_frees, "handler-frees", "", 4, FUZZ_CANCELLED)                                                 \
    X(handler_throws, "handler-throws", "", 4, FUZZ_CANCELLED)                                               \
    X(handler_gives_up, "handler-gives-up", "", 2, FUZZ_CANCELLED)                                           \
    X(pressure_none, "pressure-none", "", 2, FUZZ_ANYWHERE)                                                  \
    X(pressure_frees, "pressure-frees", "", 3, FUZZ_ANYWHERE)                                                \
    X(pressure_low, "pressure-low", "", 4, FUZZ_ANYWHERE)                                                    \
    X(pressure_forks, "pressure-forks", "", 6, FUZZ_ANYWHERE)                                                \
    X(limit_fsize, "limit-fsize", "l", 4, FUZZ_ANYWHERE | FUZZ_AT_START)                                     \
    X(limit_as, "limit-as", "l", 4, FUZZ_FORSAKEN | FUZZ_AT_START)                                           \
    X(limit_data, "limit-data", "l", 4, FUZZ_ANYWHERE | FUZZ_AT_START)                                       \
    X(limit_nofile, "limit-nofile", "l", 8, FUZZ_ANYWHERE | FUZZ_AT_START)                                   \
    X(limit_memlock, "limit-memlock", "l", 3, FUZZ_ANYWHERE | FUZZ_AT_START)                                 \
    X(unlimit, "unlimit", "", 6, FUZZ_ANYWHERE)                                                              \
    X(stdin_closed, "stdin-closed", "", 2, FUZZ_FORSAKEN | FUZZ_AT_START)                                    \
    X(stdout_closed, "stdout-closed", "", 2, FUZZ_FORSAKEN | FUZZ_AT_START)                                  \
    X(stderr_closed, "stderr-closed", "", 4, FUZZ_FORSAKEN | FUZZ_AT_START)                                  \
    X(stderr_database, "stderr-database", "", 6, FUZZ_FORSAKEN)                                              \
    X(stderr_log, "stderr-log", "", 3, FUZZ_FORSAKEN | FUZZ_AT_START)                                        \
    X(stderr_broken, "stderr-broken", "", 3, FUZZ_FORSAKEN | FUZZ_AT_START)                                  \
    X(stderr_full, "stderr-full", "", 3, FUZZ_FORSAKEN | FUZZ_AT_START)                                      \
    X(stderr_back, "stderr-back", "", 4, FUZZ_FORSAKEN)                                                      \
    X(open_file, "open-file", "", 6, FUZZ_FORSAKEN)                                                          \
    X(end, "end", "k", 0, FUZZ_DRIVEN)

enum fuzz_kind {
#define FUZZ_KIND(id, name, arguments, weight, where) FUZZ_##id,
    FUZZ_COMMANDS(FUZZ_KIND)
#undef FUZZ_KIND
        FUZZ_KINDS
};

struct fuzz_command_kind {
    const char *name, *arguments;
    unsigned weight, where;
};

static const struct fuzz_command_kind fuzz_kinds[] = {
#define FUZZ_ROW(id, name, arguments, weight, where) { name, arguments, weight, where },
    FUZZ_COMMANDS(FUZZ_ROW)
#undef FUZZ_ROW
};

/* How a process ends; all but the last two leave no file in /dev/shm. */
enum fuzz_end {
    FUZZ_END_EXIT,
    FUZZ_END_EXEC,
    FUZZ_END_EXIT_OF_LANE,
    FUZZ_END_AT_ONCE,
    FUZZ_END_ABORT,
    FUZZ_ENDS
};

/* What the victim, and each process that it forks, tells the driver; memory that they share. */
struct fuzz_shared {
    unsigned exits; /* atomic: processes that ended so that nothing may be left */
    int exit_pids[256];
    int aborts;        /* the process that aborted last as it was asked to */
    unsigned at;       /* the command of the process that began one last */
    unsigned claimed;  /* atomic: a failure is told */
    char failure[512]; /* of the process that claimed it */
};

#define FUZZ_FAILED 99 /* exit status */

#endif
