/*
 * chaos: programs under faults that nobody planned, chosen by a seed.
 *
 *   chaos SEED SECONDS
 *
 * A few torments run all the time, each on an arena of its own; one that ended has a successor
 * (workers.c).  Meanwhile faults begin and end: pools of huge pages shrink, CPUs go offline, others
 * fill a node, limits of control groups fall, swap comes, /dev/shm is full, the clock jumps, and
 * workers are killed, stopped and looked at (faults.c).
 *
 * What must hold: no worker loses a block or ends without an explanation, every message is
 * explained, and memory of a fixed arena is never swapped.  When the faults have ended, each arena
 * works, all pools are free again, and what the killed left in /dev/shm is bounded.
 *
 * The same seed gives the same faults in the same order, a step a second or slower.  What they hit
 * depends on the machine's speed.  They harm the machine, which should be the lab's.
 */
#include "chaos.h"

#include <dirent.h>
#include <stdarg.h>
#include <time.h>

#define LEFT_MOST 12u /* processes of one user that may leave a segment behind */

static uint64_t choices;
static unsigned failures;

unsigned chaos_any(unsigned count)
{
    return (unsigned)(test_random(&choices) % count);
}

void chaos_ok(bool holds, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("%s - ", holds ? "ok" : "not ok");
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
    failures += !holds;
}

bool chaos_put(const char *text, const char *format, ...)
{
    char path[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(path, sizeof path, format, arguments);
    va_end(arguments);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool taken = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return taken;
}

void chaos_put_number(unsigned long long number, const char *path)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", number);
    chaos_put(text, "%s", path);
}

static void check_left(void)
{
    unsigned left = 0;
    DIR *folder = opendir("/dev/shm");
    CHECK(folder != NULL);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        left += entry->d_name[0] != '.';
    closedir(folder);
    chaos_ok(left <= LEFT_MOST, "what the killed left is bounded (%u files in /dev/shm)", left);
}

static void check_pools(void)
{
    size_t total = test_number_in("/proc/meminfo", "HugePages_Total:");
    size_t free_pages = test_number_in("/proc/meminfo", "HugePages_Free:");
    size_t promised = test_number_in("/proc/meminfo", "HugePages_Rsvd:");
    chaos_ok(free_pages == total && promised == 0, "all huge pages are free again (%zu of %zu, %zu promised)",
             free_pages, total, promised);
}

static uint64_t now_seconds(void)
{
    struct timespec now;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec;
}

int main(int argc, char **argv)
{
    CHECK(argc == 3 && access("/lab/machine", R_OK) == 0); /* nowhere else */
    setvbuf(stdout, NULL, _IOLBF, 0);
    chaos_put("-1000", "/proc/self/oom_score_adj");
    choices = strtoull(argv[1], NULL, 10) * 2 + 1;
    chaos_workers_seed(choices);
    uint64_t end = now_seconds() + strtoull(argv[2], NULL, 10);
    for (uint64_t step = 0; now_seconds() < end; step++) {
        chaos_attend(true);
        chaos_end_faults(step);
        chaos_begin_fault(step);
        sleep(1);
    }
    chaos_end_faults(UINT64_MAX);
    while (chaos_attend(false) > 0)
        usleep(100000);
    chaos_run_each_alone();
    chaos_tell();
    check_pools();
    check_left();
    return failures == 0 ? 0 : 1;
}
