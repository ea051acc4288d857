/*
 * diff: what changed between two recordings, beside the spread that each has in itself.
 *
 * A figure has a value at each point of a history, or between one and the next.  Of these the median is
 * shown, and the bounds of nine tenths of them.  A change counts where these bounds have nothing in
 * common: what a program does by itself from minute to minute is no effect of a setting.
 *
 * Test: tests/tool-diff.sh.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/report-settings.h"
#include "show/show.h"

#define POINTS_LEAST 5u /* fewer have no spread to speak of */
#define NUMBER_COLUMNS 7u

enum form { FORM_BYTES, FORM_COUNT, FORM_RATE, FORM_NS };

struct figure {
    const char *name, *key;
    enum form form;
    double (*of)(const struct history *history, unsigned point); /* NAN: there is none */
};

/* --- figures at a point --- */

#define SUM_OF_NODES(member)                                                                                 \
    static double member##_at(const struct history *history, unsigned point)                                 \
    {                                                                                                        \
        double sum = 0;                                                                                      \
        for (unsigned i = 0; i < history->node_count; i++)                                                   \
            sum += (double)history->points[point].nodes[i].member;                                           \
        return sum;                                                                                          \
    }
SUM_OF_NODES(live)
SUM_OF_NODES(held)
SUM_OF_NODES(used)
SUM_OF_NODES(free)

static double known_live(const struct history *history, unsigned point)
{
    return history->live_known == LIVE_COUNTED ? live_at(history, point) : NAN;
}

static double unused(const struct history *history, unsigned point)
{
    return held_at(history, point) - known_live(history, point);
}

/* Where heaps were ever made. */
#define OF_HEAPS(member)                                                                                     \
    static double member##_at(const struct history *history, unsigned point)                                 \
    {                                                                                                        \
        return history->last->snapshot.heap_sum.made == 0 ? NAN : (double)history->points[point].member;     \
    }
OF_HEAPS(heaps)
OF_HEAPS(heaps_held)

static double threads(const struct history *history, unsigned point)
{
    return (double)history->points[point].in_use;
}

/* --- figures from the point before --- */

static double over(double of, double whole)
{
    return whole > 0 && of >= 0 ? of / whole : NAN;
}

/* Of a second, what a total grew by; a file may say that it fell. */
#define RATE(total)                                                                                          \
    static double total##_rate(const struct history *history, unsigned point)                                \
    {                                                                                                        \
        const struct history_point *now = &history->points[point], *before = now - (point != 0);             \
        return over((double)now->total - (double)before->total,                                              \
                    ((double)now->ns - (double)before->ns) / 1e9);                                           \
    }
RATE(taken)
RATE(slow_calls)
RATE(remote_frees)
RATE(listed)
RATE(failed)
RATE(away)
RATE(heaps_made)
RATE(heap_failures)

static double known_made_rate(const struct history *history, unsigned point)
{
    return history->last->snapshot.heap_sum.made == 0 ? NAN : heaps_made_rate(history, point);
}

static double known_heap_failures_rate(const struct history *history, unsigned point)
{
    return history->last->snapshot.heap_sum.made == 0 ? NAN : heap_failures_rate(history, point);
}

static double known_away_rate(const struct history *history, unsigned point)
{
    return history->node_count < 2 ? NAN : away_rate(history, point);
}

static double slow_mean_ns(const struct history *history, unsigned point)
{
    const struct history_point *now = &history->points[point], *before = now - (point != 0);
    return over(((double)now->slow_ticks - (double)before->slow_ticks) / history->last->snapshot.ticks_per_ns,
                (double)now->slow_calls - (double)before->slow_calls);
}

static const struct figure figures[] = {
    { "live", "live", FORM_BYTES, known_live },
    { "held", "held", FORM_BYTES, held_at },
    { "unused", "unused", FORM_BYTES, unused },
    { "used", "used", FORM_BYTES, used_at },
    { "free", "free", FORM_BYTES, free_at },
    { "heaps", "heaps", FORM_COUNT, heaps_at },
    { "held by heaps", "heaps_held", FORM_BYTES, heaps_held_at },
    { "threads", "threads", FORM_COUNT, threads },
    { "pages taken/s", "pages_taken_per_second", FORM_RATE, taken_rate },
    { "blocks listed/s", "listed_per_second", FORM_RATE, listed_rate },
    { "slow paths/s", "slow_paths_per_second", FORM_RATE, slow_calls_rate },
    { "slow path, mean", "slow_path_seconds", FORM_NS, slow_mean_ns },
    { "remote frees/s", "remote_frees_per_second", FORM_RATE, remote_frees_rate },
    { "away/s", "away_per_second", FORM_RATE, known_away_rate },
    { "failed calls/s", "failed_per_second", FORM_RATE, failed_rate },
    { "heaps made/s", "heaps_made_per_second", FORM_RATE, known_made_rate },
    { "over limits/s", "heap_failures_per_second", FORM_RATE, known_heap_failures_rate },
};
#define FIGURES (sizeof figures / sizeof figures[0])

/* --- the spread of one --- */

struct spread {
    unsigned count; /* of values */
    double low, median, high;
};

static int by_value(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;
    return a < b ? -1 : a > b;
}

static double value_at(const double *values, unsigned count, double part)
{
    double place = part * (count - 1);
    unsigned below = (unsigned)place;
    double rest = place - below;
    return below + 1 < count ? values[below] * (1 - rest) + values[below + 1] * rest : values[below];
}

static struct spread spread_of(const struct history *history, const struct figure *figure)
{
    static double values[HISTORY_POINTS];
    struct spread spread = { .count = 0 };
    for (unsigned i = 0; i < history->point_count; i++) {
        double value = figure->of(history, i);
        if (isfinite(value))
            values[spread.count++] = value;
    }
    if (spread.count == 0)
        return spread;
    qsort(values, spread.count, sizeof values[0], by_value);
    spread.low = value_at(values, spread.count, 0.05);
    spread.median = value_at(values, spread.count, 0.5);
    spread.high = value_at(values, spread.count, 0.95);
    return spread;
}

enum verdict { VERDICT_WITHIN, VERDICT_BEYOND, VERDICT_UNKNOWN };

static enum verdict verdict_of(const struct spread *a, const struct spread *b)
{
    if (a->count < POINTS_LEAST || b->count < POINTS_LEAST)
        return VERDICT_UNKNOWN;
    return b->low > a->high || b->high < a->low ? VERDICT_BEYOND : VERDICT_WITHIN;
}

/* --- both --- */

struct side {
    struct history history;
    const char *what; /* as it was named */
};

static char *number_text(char text[SHOW_SHORT], enum form form, const struct spread *spread, double value)
{
    if (spread->count == 0)
        return strcpy(text, "-");
    switch (form) {
    case FORM_BYTES: return show_bytes(text, value, NUMBER_COLUMNS);
    case FORM_COUNT: return show_count(text, value, NUMBER_COLUMNS);
    case FORM_RATE: return show_rate(text, value, NUMBER_COLUMNS);
    case FORM_NS: return show_time(text, value);
    }
    return text;
}

static char *change_text(char text[SHOW_SHORT], double a, double b)
{
    if (a == b)
        return strcpy(text, "same");
    if (a == 0 || b == 0)
        return strcpy(text, a == 0 ? "B alone" : "A alone");
    snprintf(text, SHOW_SHORT,
             b >= 10 * a  ? "%.0f times"
             : b >= 2 * a ? "%.1f times"
                          : "%+.1f %%",
             b >= 2 * a ? b / a : 100 * (b - a) / a);
    return text;
}

static void print_row(const struct figure *figure, const struct spread *a, const struct spread *b)
{
    static const char *const marks[] = { "", " *", " ?" };
    char texts[7][SHOW_SHORT];
    const struct spread *both[2] = { a, b };
    printf("%-15s", figure->name);
    for (unsigned i = 0; i < 2; i++)
        printf(" %8s %7s %7s", number_text(texts[3 * i], figure->form, both[i], both[i]->median),
               number_text(texts[3 * i + 1], figure->form, both[i], both[i]->low),
               number_text(texts[3 * i + 2], figure->form, both[i], both[i]->high));
    bool both_there = a->count != 0 && b->count != 0;
    printf(" %9s%s\n", both_there ? change_text(texts[6], a->median, b->median) : "-",
           both_there ? marks[verdict_of(a, b)] : "");
}

static void print_head(const char *letter, const struct side *side)
{
    char name[SAMPLE_NAME], what[256], shown[SAMPLE_NAME], span[16];
    const struct history *history = &side->history;
    printf("%s  %s: %s (%llu), %llu samples in %s\n", letter,
           tool_printable(what, sizeof what, side->what == NULL ? "the process" : side->what),
           tool_printable(shown, sizeof shown, tool_utf8(name, sizeof name, history->last->clock.name)),
           (unsigned long long)history->last->snapshot.header.pid, (unsigned long long)history->samples,
           show_span(span, sizeof span, history_span_s(history) * 1e9));
}

/* --- settings --- */

struct settings {
    unsigned count;
    struct report_setting list[REPORT_SETTINGS_MAX];
};

static const char *value_of(const struct settings *settings, const char *name)
{
    for (unsigned i = 0; i < settings->count; i++)
        if (settings->list[i].kind != SETTING_MOMENT && strcmp(settings->list[i].name, name) == 0)
            return settings->list[i].value;
    return NULL;
}

static void list_settings(struct settings *settings, const struct history *history)
{
    struct report report = { .history = history,
                             .sample = history->last,
                             .snapshot = &history->last->snapshot };
    settings->count = report_settings_list(&report, settings->list);
}

/* Calls `each` for settings that differ; the value of a side that has none is NULL. */
static void each_setting(const struct side sides[2],
                         void (*each)(const char *name, const char *a, const char *b, void *argument),
                         void *argument)
{
    static struct settings settings[2];
    for (unsigned i = 0; i < 2; i++)
        list_settings(&settings[i], &sides[i].history);
    for (unsigned i = 0; i < 2; i++)
        for (unsigned j = 0; j < settings[i].count; j++) {
            const struct report_setting *setting = &settings[i].list[j];
            const char *other = value_of(&settings[1 - i], setting->name);
            bool told = i == 1 && other != NULL; /* with A's */
            if (setting->kind == SETTING_MOMENT || told ||
                (other != NULL && strcmp(other, setting->value) == 0))
                continue;
            each(setting->name, i == 0 ? setting->value : other, i == 0 ? other : setting->value, argument);
        }
}

static void print_setting(const char *name, const char *a, const char *b, void *any)
{
    char one[256], two[256];
    if (!*(bool *)any)
        puts("settings that differ");
    *(bool *)any = true;
    printf("  %s\n    A %s\n    B %s\n", name, tool_printable(one, sizeof one, a == NULL ? "-" : a),
           tool_printable(two, sizeof two, b == NULL ? "-" : b));
}

static void add_setting(const char *name, const char *a, const char *b, void *list)
{
    char text[1200];
    json_t *object = json_object();
    json_object_set_new(object, "name", json_string(name));
    json_object_set_new(object, "a", a == NULL ? json_null() : json_string(tool_utf8(text, sizeof text, a)));
    json_object_set_new(object, "b", b == NULL ? json_null() : json_string(tool_utf8(text, sizeof text, b)));
    json_array_append_new(list, object);
}

/* --- what is printed --- */

static int print_text(const struct side sides[2])
{
    unsigned beyond = 0, judged = 0;
    bool any = false;
    show_wrap_begin();
    print_head("A", &sides[0]);
    print_head("B", &sides[1]);
    printf("%-15s %8s %7s %7s %8s %7s %7s %9s\n", "figure", "A median", "low", "high", "B median", "low",
           "high", "change");
    for (unsigned i = 0; i < FIGURES; i++) {
        struct spread a = spread_of(&sides[0].history, &figures[i]),
                      b = spread_of(&sides[1].history, &figures[i]);
        enum verdict verdict = verdict_of(&a, &b);
        if (a.count == 0 && b.count == 0)
            continue;
        print_row(&figures[i], &a, &b);
        beyond += verdict == VERDICT_BEYOND;
        judged += verdict != VERDICT_UNKNOWN;
    }
    puts("  low to high: nine of ten samples; * none in common; ? too few samples");
    each_setting(sides, print_setting, &any);
    printf("%u of %u figures changed beyond their spread\n", beyond, judged);
    show_wrap_end();
    return judged == 0 ? EXIT_USAGE : beyond != 0;
}

static json_t *number_json(enum form form, double value)
{
    return json_real(form == FORM_NS ? value / 1e9 : value);
}

static json_t *spread_json(enum form form, const struct spread *spread)
{
    json_t *object = json_object();
    if (spread->count == 0)
        return json_decref(object), json_null();
    json_object_set_new(object, "median", number_json(form, spread->median));
    json_object_set_new(object, "low", number_json(form, spread->low));
    json_object_set_new(object, "high", number_json(form, spread->high));
    return object;
}

static json_t *side_json(const struct side *side)
{
    char name[SAMPLE_NAME];
    json_t *object = json_object();
    const struct history *history = &side->history;
    json_object_set_new(object, "pid", tool_json_number(history->last->snapshot.header.pid));
    json_object_set_new(object, "name", json_string(tool_utf8(name, sizeof name, history->last->clock.name)));
    json_object_set_new(object, "samples", tool_json_number(history->samples));
    json_object_set_new(object, "seconds", json_real(history_span_s(history)));
    return object;
}

static int print_json(const struct side sides[2])
{
    static const char *const words[] = { "within", "beyond", "unknown" };
    json_t *object = json_object(), *list = json_array(), *settings = json_array();
    unsigned beyond = 0, judged = 0;
    for (unsigned i = 0; i < FIGURES; i++) {
        struct spread a = spread_of(&sides[0].history, &figures[i]),
                      b = spread_of(&sides[1].history, &figures[i]);
        enum verdict verdict = verdict_of(&a, &b);
        json_t *figure = json_object();
        json_object_set_new(figure, "name", json_string(figures[i].key));
        json_object_set_new(figure, "a", spread_json(figures[i].form, &a));
        json_object_set_new(figure, "b", spread_json(figures[i].form, &b));
        json_object_set_new(figure, "spread", json_string(words[verdict]));
        json_array_append_new(list, figure);
        beyond += verdict == VERDICT_BEYOND;
        judged += verdict != VERDICT_UNKNOWN;
    }
    each_setting(sides, add_setting, settings);
    json_object_set_new(object, "a", side_json(&sides[0]));
    json_object_set_new(object, "b", side_json(&sides[1]));
    json_object_set_new(object, "figures", list);
    json_object_set_new(object, "settings", settings);
    int status = tool_json_print(object);
    return status != 0 || judged == 0 ? EXIT_USAGE : beyond != 0;
}

/* --- the command line --- */

enum { OPTION_SECONDS = 256 };

static int diff_of(char **what, uint64_t seconds_ns, bool json)
{
    static struct side sides[2];
    int status = 0;
    for (unsigned i = 0; i < 2 && status == 0; i++) {
        sides[i].what = what[i];
        status = history_load(&sides[i].history, what[i], seconds_ns, "diff");
    }
    if (status == 0)
        status = json ? print_json(sides) : print_text(sides);
    else if (status == EXIT_FAILURE) /* 1 says that something changed */
        status = EXIT_USAGE;
    for (unsigned i = 0; i < 2; i++)
        history_free(&sides[i].history);
    return status;
}

static int diff_main(int argc, char **argv)
{
    static const struct option long_options[] = {
        { "seconds", required_argument, NULL, OPTION_SECONDS },
        { "json", no_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    uint64_t seconds_ns = UINT64_C(5000000000);
    bool json = false;
    int option;
    while ((option = tool_getopt(argc, argv, ":h", long_options, "diff")) != -1) {
        if (option == 'h')
            return tool_help(&tool_diff);
        if (option == '?')
            return EXIT_USAGE;
        if (option == 'j')
            json = true;
        else if (!tool_seconds(optarg, 0.1, &seconds_ns, "diff"))
            return EXIT_CONFIG;
    }
    if (argc - optind != 2) {
        hfi_say(SAY_ERROR, "HF-E440", "diff",
                "two recordings or processes are compared; see `holdfast help diff`");
        return EXIT_USAGE;
    }
    return diff_of(argv + optind, seconds_ns, json);
}

const struct command tool_diff = {
    .name = "diff",
    .summary = "say what changed from one recording to another, beside their spread",
    .help = "usage: holdfast diff [--seconds SECONDS] [--json] A B\n"
            "\n"
            "Compares two recordings of `holdfast record`, or live processes: for each figure the median,\n"
            "the bounds of nine of ten samples, and whether those of A and B have anything in common.\n"
            "Then the settings that differ.\n"
            "Exit status 0: nothing changed beyond its spread; 1: something did; 2: there is nothing to\n"
            "judge by.\n"
            "\n"
            "  --seconds SECONDS  how long a live process is watched (default: 5)\n"
            "  --json             one object: a, b, figures, settings\n"
            "  --help             this text\n",
    .run = diff_main,
};
