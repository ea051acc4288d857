/*
 * report-text: see report.h.
 */
#include "report/report.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "show/show.h"

void report_text(FILE *out, const char *text)
{
    for (size_t length; *text != 0; text += length == 0 ? 1 : length) {
        length = tool_utf8_length(text);
        switch (*text) {
        case '&': fputs("&amp;", out); break;
        case '<': fputs("&lt;", out); break;
        case '>': fputs("&gt;", out); break;
        case '"': fputs("&quot;", out); break;
        case '\'': fputs("&#39;", out); break;
        default: fwrite(length == 0 ? "?" : text, length == 0 ? 1 : length, 1, out); break;
        }
    }
}

/* --- numbers --- */

char *report_count(char *text, uint64_t count)
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)count), used = 0;
    for (int i = 0; i < length; i++) {
        if (i != 0 && (length - i) % 3 == 0)
            text[used++] = ',';
        text[used++] = digits[i];
    }
    text[used] = 0;
    return text;
}

char *report_bytes(char *text, uint64_t bytes)
{
    return show_size(text, bytes);
}

char *report_percent(char *text, uint64_t part, uint64_t whole)
{
    double percent = sample_percent(part, whole);
    snprintf(text, REPORT_TEXT,
             part != 0 && percent < 0.1        ? "&lt; 0.1 %%"
             : percent != 0 && percent < 99.95 ? "%.1f %%"
                                               : "%.0f %%",
             percent);
    return text;
}

char *report_ns(char *text, double ns)
{
    static const struct {
        double least;
        const char *unit;
    } units[] = {
        { 3600e9, "h" }, { 60e9, "min" }, { 1e9, "s" }, { 1e6, "ms" }, { 1e3, "\302\265s" }, { 1, "ns" },
    };
    unsigned i = 0;
    while (i < 5 && ns < units[i].least)
        i++;
    double in_unit = ns / units[i].least;
    snprintf(text, REPORT_TEXT, in_unit < 9.95 && i < 5 ? "%.1f %s" : "%.0f %s", in_unit, units[i].unit);
    return text;
}

char *report_ratio(char *text, uint64_t of, uint64_t over)
{
    if (over == 0)
        return strcpy(text, "&#8211;");
    double ratio = (double)of / (double)over;
    snprintf(text, REPORT_TEXT, ratio < 10 ? "%.2f times" : "%.0f times", ratio);
    return text;
}

char *report_round_ns(char *text, double ns)
{
    static const char *const units[] = { "ns", "\302\265s", "ms", "s" };
    unsigned i = 0;
    for (; i < 3 && ns >= 999; i++)
        ns /= 1000;
    snprintf(text, REPORT_TEXT, "%.6g %s", ns, units[i]);
    return text;
}

char *report_short(char *text, double count)
{
    static const char *const prefixes[] = { "", "k", "M", "G", "T" };
    unsigned i = 0;
    for (; count >= 999.5 && i < 4; i++)
        count /= 1000;
    snprintf(text, REPORT_TEXT, i != 0 && count < 9.95 ? "%.1f%s" : "%.0f%s", count, prefixes[i]);
    return text;
}

char *report_counted(char *text, uint64_t count, const char *one, const char *many)
{
    report_count(text, count);
    size_t length = strlen(text);
    snprintf(text + length, REPORT_TEXT - length, " %s", count == 1 ? one : many);
    return text;
}

const char *report_backing(uint32_t backing)
{
    switch (backing) {
    case HF_BACKING_1G: return "1 GiB pages of a pool";
    case HF_BACKING_2M: return "2 MiB pages of a pool";
    case HF_BACKING_THP: return "transparent huge pages";
    case HF_BACKING_4K: return "4 KiB pages";
    default: return "pages of a kind unknown here";
    }
}

/* Rows of a table over time differ: short spans have decimals.  Of two reports side by side,
 * moments are spans since the first sample. */
char *report_moment(const struct report *report, char *text, double ns)
{
    double span_s = report->scale.span_ns / 1e9, wall_s;
    int decimals = span_s >= 60 || span_s <= 0 ? 0 : span_s >= 6 ? 1 : span_s >= 0.6 ? 2 : 3;
    if (report->scale.relative) {
        double since_s = (ns - (double)report->history->first_ns) / 1e9;
        snprintf(text, REPORT_TEXT, fabs(since_s) < 600 ? "%+.*f s" : "%+.*f min", decimals,
                 fabs(since_s) < 600 ? since_s : since_s / 60);
        return text;
    }
    wall_s = ((double)report->sample->clock.wall_ns - ((double)report->snapshot->taken_ns - ns)) / 1e9;
    wall_s = wall_s > 0 && wall_s < 4e11 ? wall_s : 0;
    double unit = pow(10, decimals), rounded = floor(wall_s * unit + 1e-3) / unit;
    time_t seconds = (time_t)rounded;
    struct tm parts;
    if (localtime_r(&seconds, &parts) == NULL ||
        strftime(text, REPORT_TEXT, span_s > 24 * 3600 ? "%m-%d %H:%M" : "%H:%M:%S", &parts) == 0)
        return strcpy(text, "?");
    size_t length = strlen(text);
    if (decimals != 0)
        snprintf(text + length, REPORT_TEXT - length, ".%0*.0f", decimals,
                 floor((rounded - (double)seconds) * unit + 0.5));
    return text;
}

/* --- frames --- */

void report_letter(const struct report *report)
{
    if (report->side != NULL)
        fprintf(report->out, "<span class=\"letter\">%s</span> ", report->side);
}

void report_figure(const struct report *report, const char *css, const char *format, ...)
{
    va_list arguments;
    fprintf(report->out, "<figure%s%s%s>\n<figcaption>", css[0] == 0 ? "" : " class=\"", css,
            css[0] == 0 ? "" : "\"");
    report_letter(report);
    va_start(arguments, format);
    vfprintf(report->out, format, arguments);
    va_end(arguments);
    fputs("</figcaption>\n", report->out);
}

void report_figure_end(const struct report *report)
{
    fputs("</figure>\n", report->out);
}

void report_svg(const struct report *report, unsigned height, const char *format, ...)
{
    va_list arguments;
    fprintf(report->out, "<svg viewBox=\"0 0 %d %u\" role=\"img\" aria-label=\"%s%s", REPORT_WIDTH, height,
            report->side == NULL ? "" : report->side, report->side == NULL ? "" : ": ");
    va_start(arguments, format);
    vfprintf(report->out, format, arguments);
    va_end(arguments);
    fputs("\">\n", report->out);
}

void report_key(const struct report *report)
{
    fputs("<ul class=\"key\">", report->out);
}

/* A line has a line for its mark, all else a square. */
void report_key_entry(const struct report *report, const char *css, const char *format, ...)
{
    va_list arguments;
    bool line = strcmp(css, "high") == 0 || strcmp(css, "line") == 0 || strncmp(css, "series", 6) == 0;
    fprintf(report->out, "<li><svg viewBox=\"0 0 10 10\" aria-hidden=\"true\">");
    fprintf(report->out,
            line ? "<path class=\"%s\" d=\"M0 5H10\"/>"
                 : "<rect class=\"%s\" x=\".5\" y=\".5\" width=\"9\" height=\"9\"/>",
            css);
    fputs("</svg>", report->out);
    va_start(arguments, format);
    vfprintf(report->out, format, arguments);
    va_end(arguments);
    fputs("</li>", report->out);
}

void report_key_end(const struct report *report)
{
    fputs("</ul>\n", report->out);
}

void report_table(const struct report *report, const char *caption, const char *heads)
{
    FILE *out = report->out;
    fprintf(out,
            "<details><summary>Table: %s</summary>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" "
            "aria-label=\"%s%s%s\">"
            "<table><caption>%s</caption>\n"
            "<thead><tr>",
            caption, report->side == NULL ? "" : report->side, report->side == NULL ? "" : ": ", caption,
            caption);
    while (*heads != 0) {
        size_t length = strcspn(heads, "|");
        bool text = *heads == '<';
        fprintf(out, "<th scope=\"col\"%s>%.*s</th>", text ? " class=\"t\"" : "", (int)length - text,
                heads + text);
        heads += length + (heads[length] == '|');
    }
    fputs("</tr></thead>\n<tbody>\n", out);
}

void report_row(const struct report *report, const char *const *cells)
{
    fprintf(report->out, "<tr><th scope=\"row\">%s</th>", cells[0]);
    report_cells(report, cells + 1);
}

void report_cells(const struct report *report, const char *const *cells)
{
    for (; *cells != NULL; cells++)
        fprintf(report->out, "<td>%s</td>", *cells);
    fputs("</tr>\n", report->out);
}

void report_table_end(const struct report *report)
{
    fputs("</tbody></table></div></details>\n", report->out);
}
