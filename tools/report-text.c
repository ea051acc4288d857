/*
 * report-text: see report.h.
 */
#include "report.h"

#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "os.h"

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
    return hfi_format_bytes(text, REPORT_TEXT, bytes);
}

char *report_percent(char *text, uint64_t part, uint64_t whole)
{
    double percent = sample_percent(part, whole);
    snprintf(text, REPORT_TEXT, part != 0 && percent < 0.1 ? "&lt; 0.1 %%" : percent != 0 && percent < 99.95 ? "%.1f %%" : "%.0f %%", percent);
    return text;
}

char *report_ns(char *text, double ns)
{
    static const struct { double least; const char *unit; } units[] = {
        { 3600e9, "h" }, { 60e9, "min" }, { 1e9, "s" }, { 1e6, "ms" }, { 1e3, "\302\265s" }, { 1, "ns" },
    };
    unsigned i = 0;
    while (i < 5 && ns < units[i].least)
        i++;
    double in_unit = ns / units[i].least;
    snprintf(text, REPORT_TEXT, in_unit < 9.95 && i < 5 ? "%.1f %s" : "%.0f %s", in_unit, units[i].unit);
    return text;
}

char *report_moment(const struct report *report, char *text, double ns)
{
    double wall_s = ((double)report->sample->clock.wall_ns - ((double)report->snapshot->taken_ns - ns)) / 1e9;
    time_t seconds = wall_s > 0 && wall_s < 4e11 ? (time_t)wall_s : 0;
    bool days = history_span_s(report->history) > 24 * 3600;
    struct tm parts;
    if (localtime_r(&seconds, &parts) == NULL || strftime(text, REPORT_TEXT, days ? "%m-%d %H:%M" : "%H:%M:%S", &parts) == 0)
        snprintf(text, REPORT_TEXT, "?");
    return text;
}

/* --- frames --- */

void report_figure(const struct report *report, const char *css, const char *format, ...)
{
    va_list arguments;
    fprintf(report->out, "<figure class=\"%s\">\n<figcaption>", css);
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
    fprintf(report->out, "<svg viewBox=\"0 0 %d %u\" role=\"img\" aria-label=\"", REPORT_WIDTH, height);
    va_start(arguments, format);
    vfprintf(report->out, format, arguments);
    va_end(arguments);
    fputs("\">\n", report->out);
}

void report_table(const struct report *report, const char *caption, const char *heads)
{
    FILE *out = report->out;
    fprintf(out, "<details><summary>Table: %s</summary>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"%s\">"
            "<table><caption>%s</caption>\n"
            "<thead><tr>", caption, caption, caption);
    while (*heads != 0) {
        size_t length = strcspn(heads, "|");
        bool text = *heads == '<';
        fprintf(out, "<th scope=\"col\"%s>%.*s</th>", text ? " class=\"t\"" : "", (int)length - text, heads + text);
        heads += length + (heads[length] == '|');
    }
    fputs("</tr></thead>\n<tbody>\n", out);
}

void report_table_end(const struct report *report)
{
    fputs("</tbody></table></div></details>\n", report->out);
}

void report_style(FILE *out)
{
    fputs("<style>\n"
          ":root{color-scheme:light dark;--ground:#f4f6f8;--card:#fff;--ink:#1c2024;--soft:#545e69;--line:#d8dde2;--free:#e6e9ec;--blocks:#1f8f4c;"
          "--loose:#0b7285;--large:#3b5bdb;--idle:#e08e00;--meta:#9c36b5;--bad:#c92a2a;--bad-ground:#ffe9e9;--warn:#8a5300;--warn-ground:#fff3d6;"
          "--good:#12703a;--good-ground:#e2f6e9;--link:#1d4ed8}\n"
          "@media (prefers-color-scheme:dark){:root{--ground:#111417;--card:#1a1e23;--ink:#eceff2;--soft:#a2abb5;--line:#353c44;--free:#2b3138;"
          "--blocks:#40c471;--loose:#3bc9db;--large:#7a96ff;--idle:#ffc14d;--meta:#d68bf0;--bad:#ff8787;--bad-ground:#3d1b1d;--warn:#ffc14d;"
          "--warn-ground:#38290c;--good:#5fd98b;--good-ground:#12301d;--link:#8db4ff}}\n"
          "*{box-sizing:border-box}body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.45 system-ui,'DejaVu Sans',sans-serif}\n"
          "header,main,footer{max-width:76rem;margin:0 auto;padding:0 1.25rem}header{padding-top:1.5rem}"
          "footer{padding-bottom:2rem;color:var(--soft)}\n"
          "h1{font-size:1.6rem;margin:0 0 .2rem;overflow-wrap:anywhere}h2{font-size:1.2rem;margin:2rem 0 .7rem}p{margin:.3rem 0}"
          ".soft{color:var(--soft)}\n"
          "a{color:var(--link)}:focus-visible{outline:3px solid var(--link);outline-offset:2px}.skip{position:absolute;left:-99rem}"
          ".skip:focus{left:1rem;top:.5rem}\n"
          "nav{margin:.7rem 0}nav ul{display:flex;flex-wrap:wrap;gap:.2rem 1rem;list-style:none;margin:0;padding:0}\n"
          ".status{border-left:.5rem solid;border-radius:.4rem;padding:.8rem 1.1rem;margin:1rem 0}.status p,.status ul{margin:.15rem 0}\n"
          ".status strong{font-size:1.15rem}.status ul{padding-left:1.2rem}"
          ".fault{border-color:var(--bad);background:var(--bad-ground)}.fault strong,.fault .sev{color:var(--bad)}\n"
          ".cost{border-color:var(--warn);background:var(--warn-ground)}.cost strong,.cost .sev{color:var(--warn)}\n"
          ".good,.hint{border-color:var(--good);background:var(--good-ground)}.good strong,.hint .sev{color:var(--good)}\n"
          ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(10.5rem,1fr));gap:.8rem;margin:1rem 0}.tiles "
          "div{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.7rem .9rem}\n"
          ".tiles dt{color:var(--soft);font-size:.87rem}.tiles dd{margin:0;font-size:1.35rem;font-weight:600}.tiles "
          "dd.sub{font-size:.85rem;font-weight:400;color:var(--soft)}.tiles .alarm dd:not(.sub){color:var(--bad)}\n"
          ".advice{list-style:none;margin:0;padding:0;display:grid;gap:.7rem}.advice li{background:var(--card);border:1px solid "
          "var(--line);border-left:.5rem solid;border-radius:.4rem;padding:.6rem .9rem}\n"
          ".advice li.fault{border-left-color:var(--bad)}.advice li.cost{border-left-color:var(--warn)}.advice "
          "li.hint{border-left-color:var(--good)}.sev{font-weight:600}\n"
          "code{font:.93em ui-monospace,'DejaVu Sans Mono',monospace;background:var(--ground);border:1px solid "
          "var(--line);border-radius:.25rem;padding:.05rem .3rem;overflow-wrap:anywhere}\n"
          ".cards,.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(27rem,100%),1fr));gap:1rem}"
          "figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.8rem;min-width:0}\n"
          ".pair{gap:0 1rem}.pair>section{min-width:0}figure.wide{grid-column:1/-1}figcaption{font-weight:600;margin-bottom:.4rem}"
          "figcaption small{display:block;font-weight:400;color:var(--soft)}\n"
          "figure>svg{display:block;width:100%;height:auto;max-width:40rem}.map{overflow-x:auto}.map "
          "svg{display:block;width:100%;min-width:46rem;height:auto}\n"
          "svg text{fill:var(--ink);font-size:12px;font-family:system-ui,'DejaVu Sans',sans-serif}svg "
          ".s{fill:var(--soft);font-size:11px}svg .e{text-anchor:end}svg .c{text-anchor:middle}svg .b{font-weight:600}svg "
          ".al{fill:var(--bad);font-weight:600}\n"
          ".blocks{fill:var(--blocks)}.loose{fill:var(--loose)}.large{fill:var(--large)}.idle{fill:var(--idle)}"
          ".meta{fill:var(--meta)}.free{fill:var(--free)}.bad{fill:var(--bad)}.warn{fill:var(--idle)}\n"
          ".grid{stroke:var(--line);stroke-width:1}.high{fill:none;stroke:var(--ink);stroke-width:1.5;stroke-dasharray:5 3}"
          ".alarm-line{stroke:var(--bad);stroke-width:1.5}\n"
          ".line{fill:none;stroke:var(--large);stroke-width:2}\n"
          ".key{display:flex;flex-wrap:wrap;gap:.1rem .9rem;list-style:none;margin:.4rem 0 "
          "0;padding:0;font-size:.85rem;color:var(--soft)}.key svg{width:.8rem;height:.8rem;vertical-align:-.05rem;margin-right:.3rem}\n"
          "details{margin-top:.5rem}summary{cursor:pointer;color:var(--link);font-size:.9rem}.scroll{overflow:auto;max-height:26rem}"
          "table{border-collapse:collapse;font-size:.87rem;font-variant-numeric:tabular-nums;margin-top:.4rem}\n"
          "caption{text-align:left;color:var(--soft);padding-bottom:.2rem}th,td{padding:.16rem .7rem .16rem "
          "0;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}th.t,td.t{text-align:left}tbody "
          "th{font-weight:400;text-align:left}thead th{position:sticky;top:0;background:var(--card)}\n"
          "@media print{details{display:none}body{background:#fff}}\n"
          "</style>\n", out);
}
