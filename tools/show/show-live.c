/*
 * show-live: what a program has in blocks, and what is held for that, in words; see show.h.
 *
 * Test: tests/tool-live.sh.
 */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/bits.h"
#include "show/show.h"
#include "tool.h"

double show_held_over_live(uint64_t held, uint64_t live)
{
    return live == 0 ? 0 : (double)held / (double)live;
}

char *show_live(char text[SHOW_LIVE], const struct snapshot *snapshot, uint64_t live, uint64_t held)
{
    char a[SHOW_SHORT], b[SHOW_SHORT], c[SHOW_SHORT], times[48] = "";
    bool exact = snapshot_live_is_exact(snapshot);
    show_size(a, live);
    show_size(b, held);
    show_size(c, held - live);
    if (live != 0)
        snprintf(times, sizeof times, " (%s%.2f times live)", exact ? "" : "at least ",
                 show_held_over_live(held, live));
    if (snapshot_live_is_known(snapshot))
        snprintf(text, SHOW_LIVE, "live %s%s, held %s%s, unused %s%s", exact ? "" : "at most ", a, b, times,
                 exact ? "" : "at least ", c);
    else
        snprintf(text, SHOW_LIVE, "live unknown, held %s", b);
    return text;
}

char *show_live_of_all(char text[SHOW_LIVE], const struct snapshot *snapshot)
{
    char held[SHOW_SHORT];
    if (snapshot_live_is_known(snapshot))
        return show_live(text, snapshot, snapshot->live_bytes, snapshot->held_bytes);
    snprintf(text, SHOW_LIVE, "live unknown (%s), held %s", show_live_limits(snapshot),
             show_size(held, snapshot->held_bytes));
    return text;
}

const char *show_live_cell(char text[SHOW_SHORT], const struct snapshot *snapshot, unsigned columns)
{
    if (!snapshot_live_is_known(snapshot))
        return "?";
    if (snapshot_live_is_exact(snapshot))
        return show_bytes(text, (double)snapshot->live_bytes, columns);
    char bytes[SHOW_SHORT];
    show_bytes(bytes, (double)snapshot->live_bytes, columns - 1);
    snprintf(text, SHOW_SHORT, "<%.*s", SHOW_SHORT - 2, bytes);
    return text;
}

const char *show_live_as_of(const struct snapshot *snapshot)
{
    return snapshot_live_is_exact(snapshot) ? "now"
         : snapshot_live_is_known(snapshot) ? "at_most"
                                            : "slow_paths";
}

const char *show_live_limits(const struct snapshot *snapshot)
{
    if (snapshot_live_is_exact(snapshot))
        return NULL;
    if (snapshot_live_is_known(snapshot))
        return "blocks that other threads had freed before the fork count as live";
    if (snapshot->live_known == LIVE_UNKNOWN)
        return "live bytes are not known without a page map";
    switch (snapshot->live_error) {
    case EACCES:
    case EPERM: return "run as root, or as a user who may trace it";
    case ESRCH:
    case ENOENT: return "the process has ended";
    case EPROTO: return "its library is of before this tool";
    default: return "its memory cannot be read";
    }
}

/* Of all moments that it tells, the last: some thread's slow path, or an event. */
static uint64_t last_ticks(const struct snapshot *snapshot)
{
    uint64_t last = snapshot->header.clock_ticks;
    for (unsigned i = 0; i < snapshot->theap_count; i++)
        last = hfi_max(last, snapshot->theaps[i].updated_ticks);
    for (unsigned i = 0; i < snapshot->event_count; i++)
        last = hfi_max(last, snapshot->events[i].ticks);
    return last;
}

void show_kept(const struct snapshot *snapshot)
{
    char name[32], unit[sizeof snapshot->header.unit], since[16], span[16];
    if (!snapshot->is_kept)
        return;
    const struct passwd *user = getpwuid((uid_t)snapshot->kept_owner);
    uint64_t now_s = (uint64_t)time(NULL);
    if (user == NULL)
        snprintf(name, sizeof name, "%llu", (unsigned long long)snapshot->kept_owner);
    printf("  left by a process that was killed: last slow path %s ago, found %s ago; user %s%s%s\n",
           show_span(span, sizeof span, snapshot_age_ns(snapshot, last_ticks(snapshot))),
           show_span(since, sizeof since, 1e9 * (double)(now_s - hfi_min(now_s, snapshot->kept_wall_s))),
           user == NULL ? name : tool_printable(name, sizeof name, user->pw_name),
           snapshot->header.unit[0] == 0 ? "" : ", ",
           tool_printable(unit, sizeof unit, snapshot->header.unit));
}
