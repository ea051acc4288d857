/*
 * stat-watch: see stat.h; what happened in the span between two snapshots of a process, as a line
 * for people or as JSON.
 *
 * One table names the figures; a counter that went back, which an honest process's does not, counts
 * as no change.
 *
 * Test: tests/tool-stat.sh.
 */
#include <time.h>

#include "show/show.h"
#include "stat/stat.h"

enum {
    SPAN_LIVE,
    SPAN_HELD,
    SPAN_USED,
    SPAN_IDLE,
    SPAN_FREE,
    SPAN_SLOW,
    SPAN_CLAIMED,
    SPAN_FRESH,
    SPAN_STOLEN,
    SPAN_REMOTE_FREES,
    SPAN_AWAY,
    SPAN_FAILED,
    SPAN_FIGURES,
};
#define SPAN_COUNTERS SPAN_SLOW /* the first that counts; those before are sizes as they are now */

static const struct {
    const char *key, *head; /* head NULL: in JSON alone */
    int width;
} figures[SPAN_FIGURES] = {
    [SPAN_LIVE] = { "live", "live", 6 },
    [SPAN_HELD] = { "held", "held", 6 },
    [SPAN_USED] = { "used", NULL, 0 },
    [SPAN_IDLE] = { "idle", NULL, 0 },
    [SPAN_FREE] = { "free", "free", 6 },
    [SPAN_SLOW] = { "slow", "slow", 6 },
    [SPAN_CLAIMED] = { "claimed", "claimed", 7 },
    [SPAN_FRESH] = { "fresh", "fresh", 6 },
    [SPAN_STOLEN] = { "stolen", "stolen", 6 },
    [SPAN_REMOTE_FREES] = { "remote_frees", "remote", 6 },
    [SPAN_AWAY] = { "away", "away", 5 },
    [SPAN_FAILED] = { "failed", "failed", 6 },
};

static void now_of(const struct snapshot *snapshot, uint64_t now[SPAN_FIGURES])
{
    struct snapshot_sum sum;
    const struct snapshot_figures all = snapshot_figures_of_all(snapshot);
    snapshot_sum(snapshot, &sum);
    for (unsigned i = 0; i < SPAN_FIGURES; i++)
        now[i] = 0;
    now[SPAN_LIVE] = snapshot->live_bytes;
    now[SPAN_HELD] = snapshot->held_bytes;
    now[SPAN_USED] = all.used;
    now[SPAN_IDLE] = all.idle;
    now[SPAN_FREE] = all.free;
    for (unsigned i = 0; i < HF_INSPECT_BUCKETS; i++)
        now[SPAN_SLOW] += sum.slow[i];
    now[SPAN_CLAIMED] = sum.claimed;
    now[SPAN_FRESH] = sum.fresh;
    now[SPAN_STOLEN] = sum.stolen;
    now[SPAN_REMOTE_FREES] = sum.remote_frees;
    now[SPAN_AWAY] = snapshot_sum_away(&sum);
    now[SPAN_FAILED] = sum.failed;
}

/* Sizes as they are, counters by their difference. */
static void span_of(const struct snapshot *before, const struct snapshot *after, uint64_t span[SPAN_FIGURES])
{
    uint64_t old[SPAN_FIGURES];
    now_of(before, old);
    now_of(after, span);
    for (unsigned i = SPAN_COUNTERS; i < SPAN_FIGURES; i++)
        span[i] = span[i] > old[i] ? span[i] - old[i] : 0;
}

static double seconds_between(const struct snapshot *before, const struct snapshot *after)
{
    return after->taken_ns > before->taken_ns ? (double)(after->taken_ns - before->taken_ns) / 1e9 : 1e-9;
}

void stat_watch_head(bool delta)
{
    printf("%-8s", "time");
    for (unsigned i = 0; i < SPAN_FIGURES; i++)
        if (figures[i].head != NULL)
            printf(" %*s", figures[i].width, i == SPAN_SLOW && !delta ? "slow/s" : figures[i].head);
    putchar('\n');
}

void stat_watch_line(const struct snapshot *before, const struct snapshot *after, bool delta)
{
    uint64_t span[SPAN_FIGURES];
    char text[SHOW_SHORT];
    double seconds = seconds_between(before, after);
    time_t now = time(NULL);
    struct tm local;
    span_of(before, after, span);
    strftime(text, sizeof text, "%H:%M:%S", localtime_r(&now, &local));
    fputs(text, stdout);
    for (unsigned i = 0; i < SPAN_COUNTERS; i++) {
        unsigned width = (unsigned)figures[i].width;
        if (i == SPAN_LIVE)
            printf(" %*s", figures[i].width, show_live_cell(text, after, width));
        else if (figures[i].head != NULL)
            printf(" %*s", figures[i].width,
                   i == SPAN_HELD && after->live_known == LIVE_UNKNOWN
                       ? "?"
                       : show_bytes(text, (double)span[i], width));
    }
    for (unsigned i = SPAN_COUNTERS; i < SPAN_FIGURES; i++)
        printf(" %*s", figures[i].width,
               delta ? show_count(text, (double)span[i], (unsigned)figures[i].width)
                     : show_rate(text, (double)span[i] / seconds, (unsigned)figures[i].width));
    putchar('\n');
}

json_t *stat_watch_json(const struct snapshot *before, const struct snapshot *after, bool delta)
{
    uint64_t span[SPAN_FIGURES];
    json_t *object = json_object();
    double seconds = seconds_between(before, after);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    span_of(before, after, span);
    json_object_set_new(object, "time", json_real((double)now.tv_sec + (double)now.tv_nsec / 1e9));
    json_object_set_new(object, "seconds", json_real(seconds));
    bool mapped = after->live_known != LIVE_UNKNOWN, known = snapshot_live_is_known(after);
    json_object_set_new(object, "live_as_of", mapped ? json_string(show_live_as_of(after)) : json_null());
    for (unsigned i = 0; i < SPAN_FIGURES; i++)
        json_object_set_new(object, figures[i].key,
                            (i == SPAN_LIVE && !known) || (i == SPAN_HELD && !mapped) ? json_null()
                            : i < SPAN_COUNTERS || delta ? tool_json_number(span[i])
                                                         : json_real((double)span[i] / seconds));
    return object;
}
