/*
 * report-axes: axes with their ticks, and points over time.
 *
 * AX1: a tick stands at a round number of its unit and says the unit, which is that of the largest
 *      for all ticks of an axis.  No two of them read the same.
 * AX2: the axis of time goes from the first sample to the last, of two reports side by side the
 *      longer of both.
 *
 * Test: tests/tool-report.sh.
 */
#include <math.h>
#include <string.h>
#include <time.h>

#include "base/bits.h"
#include "report/report.h"

#define ROWS 24u        /* of tables over time */
#define TIPS 96u        /* strips of a picture over time */
#define TICK_WIDTH 85.0 /* of the axis of time, for a tick's text and a gap, on small screens too */

double report_rate(uint64_t before, uint64_t after, uint64_t ns)
{
    return ns == 0 || after < before ? 0 : (double)(after - before) / ((double)ns / 1e9);
}

double report_taken_rate(const struct history_point *from, const struct history_point *to)
{
    return report_rate(from->taken, to->taken, to->ns - from->ns);
}

/* --- the axis of time --- */

static double x_between(const struct report *report, double ns, double left, double right)
{
    double span = report->scale.span_ns,
           part = span <= 0 ? 1 : (ns - (double)report->history->first_ns) / span;
    return left + (right - left) * (part < 0 ? 0 : part > 1 ? 1 : part);
}

double report_x(const struct report *report, double ns)
{
    return x_between(report, ns, REPORT_LEFT, REPORT_RIGHT);
}

double report_y(double part)
{
    return REPORT_BOTTOM - REPORT_PLOT * (part < 0 ? 0 : part > 1 ? 1 : part);
}

void report_ground(const struct report *report, double part)
{
    fprintf(report->out, "<rect class=\"free\" x=\"%.0f\" y=\"%.1f\" width=\"%.0f\" height=\"%.1f\"/>\n",
            REPORT_LEFT, report_y(part), REPORT_RIGHT - REPORT_LEFT, REPORT_BOTTOM - report_y(part));
}

static double time_step(double span_ns, unsigned ticks)
{
    static const double seconds[] = { 1,   2,    5,    10,   15,    30,    60,    120,   300,   600,
                                      900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800 };
    if (span_ns < ticks * 1e9)
        return report_step(span_ns, ticks);
    for (unsigned i = 0; i < sizeof seconds / sizeof seconds[0]; i++)
        if (span_ns <= ticks * seconds[i] * 1e9)
            return seconds[i] * 1e9;
    return ceil(span_ns / ticks / 86400e9) * 86400e9;
}

/* Of a span since the first sample, in the unit of the step: "0.5 s", "20 min". */
static char *relative_tick(char *text, double ns, double step)
{
    static const struct {
        double least, ns;
        const char *unit;
    } units[] = {
        { 86400e9, 86400e9, "d" }, { 3600e9, 3600e9, "h" }, { 60e9, 60e9, "min" },
        { 1e6, 1e9, "s" },         { 1e3, 1e6, "ms" },      { 0, 1e3, "\302\265s" },
    };
    unsigned i = 0;
    while (step < units[i].least)
        i++;
    snprintf(text, REPORT_TEXT, "%.6g %s", round(ns / units[i].ns * 1e6) / 1e6, units[i].unit);
    return text;
}

/* Of the local time of day: seconds only where the step needs them, the day at midnight. */
static char *wall_tick(char *text, double wall_s, double step)
{
    time_t seconds = (time_t)floor(wall_s + 1e-6);
    struct tm parts;
    if (localtime_r(&seconds, &parts) == NULL)
        return strcpy(text, "?");
    bool midnight = parts.tm_hour == 0 && parts.tm_min == 0 && parts.tm_sec == 0;
    strftime(text, REPORT_TEXT,
             step >= 60e9 && midnight ? "%e %b"
             : step >= 60e9           ? "%H:%M"
                                      : "%H:%M:%S",
             &parts);
    return text;
}

static double wall_of(const struct report *report, double ns)
{
    double wall_s = ((double)report->sample->clock.wall_ns - ((double)report->snapshot->taken_ns - ns)) / 1e9;
    return wall_s > 0 && wall_s < 4e11 ? wall_s : 0;
}

static double zone_offset(double wall_s)
{
    time_t seconds = (time_t)wall_s;
    struct tm parts;
    return localtime_r(&seconds, &parts) == NULL ? 0 : (double)parts.tm_gmtoff;
}

static void draw_tick(const struct report *report, double x, double y, double right, const char *text)
{
    bool at_right = x > right - 24;
    fprintf(report->out,
            "<path class=\"grid\" d=\"M%.1f %.1fv4\"/><text class=\"s %s\" x=\"%.1f\" y=\"%.1f\">%s</text>\n",
            x, y, at_right ? "e" : "c", at_right ? right + 8 : x, y + 17, text);
}

void report_time_axis_at(const struct report *report, double left, double right, double y)
{
    double first = (double)report->history->first_ns, span = report->scale.span_ns,
           step = time_step(span, (unsigned)((right - left) / TICK_WIDTH)), from = 0;
    char text[REPORT_TEXT];
    if (span <= 0) {
        draw_tick(report, right, y, right, MOMENT(report, first));
        return;
    }
    bool relative = report->scale.relative || step < 1e9;
    if (!relative) {
        double wall_s = wall_of(report, first), local_s = wall_s + zone_offset(wall_s);
        from = (ceil(local_s / (step / 1e9) - 1e-6) * (step / 1e9) - local_s) * 1e9;
    }
    for (double at = from; at <= span * (1 + 1e-9); at += step)
        draw_tick(report, x_between(report, first + at, left, right), y, right,
                  relative ? relative_tick(text, at, step)
                           : wall_tick(text, wall_of(report, first + at), step));
}

void report_time_axis(const struct report *report)
{
    report_time_axis_at(report, REPORT_LEFT, REPORT_RIGHT, REPORT_BOTTOM);
}

/* --- the axis at the left --- */

double report_step(double top, unsigned parts)
{
    if (!(top > 0) || !isfinite(top))
        return 1;
    double unit = pow(10, floor(log10(top / parts)));
    for (unsigned i = 0; i < 3; i++)
        if (top <= parts * unit * (double[]){ 1, 2, 5 }[i] * (1 + 1e-9))
            return unit * (double[]){ 1, 2, 5 }[i];
    return 10 * unit;
}

uint64_t report_step_bytes(uint64_t top, unsigned parts)
{
    uint64_t step = 1;
    while (step <= UINT64_MAX / 4 && top / parts + (top % parts != 0) > step)
        step *= 2;
    return step;
}

static void draw_line(const struct report *report, double part, const char *text)
{
    double y = report_y(part);
    fprintf(report->out,
            "<path class=\"grid\" d=\"M%.0f %.1fH%.0f\"/><text class=\"s e\" x=\"%.0f\" "
            "y=\"%.1f\">%s</text>\n",
            REPORT_LEFT, y, REPORT_RIGHT, REPORT_LEFT - 6, y + 4, text);
}

/* In the unit of the last tick. */
static char *bytes_tick(char *text, double bytes, double last)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    unsigned i = 0;
    for (; last >= 1024 && i < 6; i++) {
        last /= 1024;
        bytes /= 1024;
    }
    snprintf(text, REPORT_TEXT, "%.6g %s", bytes, units[i]);
    return text;
}

void report_bytes_axis(const struct report *report, uint64_t top)
{
    uint64_t step = report_step_bytes(top, REPORT_TICKS), last = hfi_min(top / step, REPORT_TICKS) * step;
    char text[REPORT_TEXT];
    draw_line(report, 0, "0");
    for (unsigned i = 1; i <= REPORT_TICKS && top != 0 && i * step <= top; i++)
        draw_line(report, (double)(i * step) / (double)top,
                  bytes_tick(text, (double)(i * step), (double)last));
}

/* In the unit of the last tick; "20,000" is as wide as there is room for. */
static char *count_tick(char *text, double count, double last, const char *unit)
{
    static const char *const prefixes[] = { "", "k", "M", "G", "T" };
    unsigned i = 0;
    for (; last >= 9999.5 && i < 4; i++) {
        last /= 1000;
        count /= 1000;
    }
    snprintf(text, REPORT_TEXT, "%.6g%s%s", count, prefixes[i], unit);
    return text;
}

void report_count_axis(const struct report *report, double top, const char *unit)
{
    double step = report_step(top, REPORT_TICKS);
    char text[REPORT_TEXT];
    if (unit[0] == 0 && step < 1)
        step = 1;
    double last = fmin(floor(top / step * (1 + 1e-9)), REPORT_TICKS) * step;
    draw_line(report, 0, "0");
    for (unsigned i = 1; i <= REPORT_TICKS && top > 0 && i * step <= top * (1 + 1e-9); i++)
        draw_line(report, i * step / top, count_tick(text, i * step, last, unit));
}

void report_times_axis(const struct report *report, double bottom, double top)
{
    double step = report_step(top - bottom, REPORT_TICKS);
    char text[REPORT_TEXT];
    for (unsigned i = 0; i <= REPORT_TICKS && i * step <= (top - bottom) * (1 + 1e-9); i++) {
        snprintf(text, sizeof text, "%.6g \303\227", bottom + i * step);
        draw_line(report, i * step / (top - bottom), text);
    }
}

/* --- points --- */

unsigned report_row_point(const struct history *history, unsigned row, unsigned rows)
{
    return rows < 2 ? history->point_count - 1 : row * (history->point_count - 1) / (rows - 1);
}

unsigned report_row_count(const struct history *history)
{
    return history->point_count < ROWS ? history->point_count : ROWS;
}

void report_tips(const struct report *report, report_tip *write, unsigned node)
{
    const struct history *history = report->history;
    unsigned strips = history->point_count < TIPS ? history->point_count : TIPS;
    double from = REPORT_LEFT,
           end = strips < 2 ? REPORT_RIGHT
                            : report_x(report, (double)history->points[history->point_count - 1].ns);
    for (unsigned i = 0; i < strips; i++) {
        unsigned point = report_row_point(history, i, strips);
        double to = end;
        if (i + 1 < strips)
            to = (report_x(report, (double)history->points[point].ns) +
                  report_x(report, (double)history->points[report_row_point(history, i + 1, strips)].ns)) /
                 2;
        fprintf(report->out,
                "<rect class=\"tip\" x=\"%.1f\" y=\"%.0f\" width=\"%.1f\" height=\"%.0f\"><title>%s: ", from,
                REPORT_TOP, to > from ? to - from : 0, REPORT_PLOT,
                MOMENT(report, (double)history->points[point].ns));
        write(report, point, node);
        fputs("</title></rect>\n", report->out);
        from = to > from ? to : from;
    }
}
