/*
 * watch: see watch.h.
 *
 * Test: tests/tool.sh.
 */
#include "run/watch.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bits.h"
#include "reader/procfs.h"

#define POLL_FIRST_MS 1 /* a short program may live for a few milliseconds only */
#define POLL_LATER_MS 100
#define POLL_FIRST_TURNS 200

static struct snapshot last_snapshot;

void watch_begin(struct watch *watch)
{
    *watch = (struct watch){ .inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), .fd = -1 };
    if (watch->inotify >= 0)
        inotify_add_watch(watch->inotify, HF_INSPECT_DIRECTORY, IN_CREATE);
}

static void read_segment(struct watch *watch)
{
    static struct snapshot fresh;
    const char *reason;
    bool with_map = last_snapshot.header.pages.count <= SNAPSHOT_MAP_OFTEN;
    snapshot_follow(&fresh, &last_snapshot);
    if (watch->fd < 0 ||
        snapshot_read(&fresh, watch->fd, watch->child, watch->start_ticks, with_map, &reason) != SEGMENT_OK)
        return;
    if (snapshot_live_is_known(&fresh))
        watch->live_most = hfi_max(watch->live_most, fresh.live_bytes);
    struct snapshot older = last_snapshot;
    last_snapshot = fresh;
    fresh = older;
    watch->last = &last_snapshot;
}

static void count_huge_pages(struct watch *watch)
{
    uint64_t bytes = 0;
    procfs_bytes(PROCFS_PATH(watch->child, "status"), "HugetlbPages:", &bytes);
    watch->huge_bytes = hfi_max(watch->huge_bytes, bytes);
}

/* Opens the segment, or the one that took its place: an exec makes a new one of the same name. */
static void open_segment(struct watch *watch)
{
    enum segment_verdict verdict;
    const char *reason;
    int fd = segment_open(watch->path, watch->child, &verdict, &reason);
    if (fd < 0)
        return;
    if (watch->fd >= 0)
        close(watch->fd);
    watch->fd = fd;
}

static bool inotify_names_segment(struct watch *watch)
{
    char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    const char *name = strrchr(watch->path, '/') + 1;
    bool named = false;
    ssize_t got;
    while ((got = read(watch->inotify, events, sizeof events)) > 0)
        for (char *at = events; at < events + got;) {
            struct inotify_event *event = (struct inotify_event *)at;
            named = named || (event->mask & IN_Q_OVERFLOW) != 0 ||
                    (event->len != 0 && strcmp(event->name, name) == 0);
            at += sizeof *event + event->len;
        }
    return named;
}

int watch_wait(struct watch *watch, struct rusage *usage)
{
    segment_start_ticks(watch->child, &watch->start_ticks);
    segment_path(watch->path, watch->child, watch->start_ticks);
    int pidfd = (int)syscall(SYS_pidfd_open, watch->child, 0);
    int status = 0;
    for (unsigned turn = 0;; turn++) {
        pid_t done = wait4(watch->child, &status, WNOHANG, usage);
        if (done == watch->child || (done < 0 && errno == ECHILD))
            break;
        struct pollfd wanted[2] = { { .fd = watch->inotify, .events = POLLIN },
                                    { .fd = pidfd, .events = POLLIN } };
        poll(wanted, 2, turn < POLL_FIRST_TURNS && watch->last == NULL ? POLL_FIRST_MS : POLL_LATER_MS);
        if (watch->fd < 0 || (watch->inotify >= 0 && inotify_names_segment(watch)))
            open_segment(watch);
        read_segment(watch);
        count_huge_pages(watch);
    }
    read_segment(watch);
    if (pidfd >= 0)
        close(pidfd);
    return status;
}
