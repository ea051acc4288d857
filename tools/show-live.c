/*
 * show-live: what a program has in blocks, and what is held for that, in words; see show.h.
 *
 * Test: tests/tool-live.sh.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "show.h"

double show_held_over_live(uint64_t held, uint64_t live)
{
    return live == 0 ? 0 : (double)held / (double)live;
}

char *show_live(char *text, size_t text_bytes, uint64_t live, uint64_t held)
{
    char a[SHOW_SHORT], b[SHOW_SHORT], c[SHOW_SHORT], times[32] = "";
    show_size(a, live);
    show_size(b, held);
    show_size(c, held - live);
    if (live != 0)
        snprintf(times, sizeof times, " (%.2f times live)", show_held_over_live(held, live));
    snprintf(text, text_bytes, "live %s, held %s%s, unused %s", a, b, times, c);
    return text;
}

const char *show_live_cell(char text[SHOW_SHORT], const struct snapshot *snapshot, unsigned columns)
{
    if (snapshot->live_known == LIVE_UNKNOWN)
        return "?";
    if (snapshot->live_known == LIVE_EXACT)
        return show_bytes(text, (double)snapshot->live_bytes, columns);
    char bytes[SHOW_SHORT];
    show_bytes(bytes, (double)snapshot->live_bytes, columns - 1);
    snprintf(text, SHOW_SHORT, "~%.*s", SHOW_SHORT - 2, bytes);
    return text;
}

const char *show_live_as_of(const struct snapshot *snapshot)
{
    return snapshot->live_known == LIVE_EXACT ? "now" : "slow_paths";
}

const char *show_live_limits(const struct snapshot *snapshot)
{
    if (snapshot->live_known == LIVE_EXACT)
        return NULL;
    if (snapshot->live_known == LIVE_UNKNOWN)
        return "live bytes are not known without a page map";
    switch (snapshot->live_error) {
    case EACCES:
    case EPERM: return "live as of each thread's last slow path; run as root for exact figures";
    case ESRCH:
    case ENOENT: return "live as of each thread's last slow path: the process has ended";
    case EPROTO: return "live as of each thread's last slow path: its library is of before this tool";
    default: return "live as of each thread's last slow path: its memory cannot be read";
    }
}
