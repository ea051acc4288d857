/*
 * hf-bench: wall time of the workloads.
 *
 * hf-workload --list says which rows there are: a workload, or one with a number of threads.
 */
#include "bench.h"
#include <string.h>

#define ROWS_MAX 64

static struct row {
    char text[48]; /* as --list has it: NAME, or NAME THREADS */
    char name[48];
    const char *threads; /* within text; NULL: it takes none */
    struct sample samples[ALLOCATORS_MAX];
} rows[ROWS_MAX];
static size_t row_count;

/* As --list has it: NAME, or NAME THREADS. */
static void row_add(const char *text)
{
    struct row *row = &rows[row_count];
    for (size_t i = 0; i < row_count; i++)
        if (strcmp(rows[i].text, text) == 0)
            return;
    if (row_count == ROWS_MAX || strlen(text) >= sizeof row->text)
        fail("too many workloads, or too long a name:", text);
    strcpy(row->text, text);
    strcpy(row->name, text);
    row->name[strcspn(text, " ")] = 0;
    row->threads = strchr(row->text, ' ') == NULL ? NULL : strchr(row->text, ' ') + 1;
    row_count++;
}

/* The rows of a NAME, or the one of NAME THREADS, whose number need not be in the list. */
static void rows_add_wanted(const char *wanted, char *const listed[], size_t count)
{
    size_t length = strcspn(wanted, " ");
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        if (strcspn(listed[i], " ") != length || strncmp(listed[i], wanted, length) != 0 ||
            (wanted[length] != 0 && listed[i][length] == 0))
            continue;
        row_add(wanted[length] == 0 ? listed[i] : wanted);
        found = true;
    }
    if (!found)
        fail("no such workload:", wanted);
}

static void rows_read(char *only)
{
    static char output[OUTPUT_MAX], *listed[ROWS_MAX];
    char *argv[] = { (char *)workload_path, "--list", NULL };
    size_t count = 0;
    if (run(NULL, NULL, argv, output) != 0)
        fail("cannot list the workloads:", output);
    for (char *line = strtok(output, "\n"); line != NULL && count < ROWS_MAX; line = strtok(NULL, "\n"))
        listed[count++] = line;
    for (size_t i = 0; i < count && only == NULL; i++)
        row_add(listed[i]);
    for (char *wanted = only == NULL ? NULL : strtok(only, ","); wanted != NULL; wanted = strtok(NULL, ","))
        rows_add_wanted(wanted, listed, count);
    if (row_count == 0)
        fail("no workload is named:", "--only wants NAME[,NAME]");
}

static double row_seconds(const struct row *row, const struct allocator *allocator)
{
    static char output[OUTPUT_MAX];
    char *argv[] = { (char *)workload_path, "--scale", quick ? "10" : "100", (char *)row->name,
                     (char *)row->threads,  NULL };
    bool automatic = strcmp(row->name, "startup") == 0; /* many programs: nothing is set */
    if (run(allocator, automatic ? NULL : arena, argv, output) != 0)
        fail("a workload failed:", output);
    return number_after(output, "seconds ");
}

static void print_seconds(void)
{
    json_t *table = json_object();
    printf("wall seconds, median of %d interleaved runs (least..most)\n", rounds);
    print_heads("workload");
    for (struct row *row = rows; row < rows + row_count; row++) {
        json_t *line = json_object();
        printf("%-14s", row->text);
        for (size_t a = 0; a < allocator_count; a++) {
            struct sample *sample = &row->samples[a];
            double middle = median(sample);
            printf("  %5.3f (%5.3f..%5.3f)", middle, sample->values[0], sample->values[sample->count - 1]);
            json_object_set_new(line, allocators[a].name, sample_json(sample));
        }
        printf("\n");
        json_object_set_new(table, row->text, line);
    }
    json_object_set_new(results, "workloads", table);
}

/* --- ratios --- */

/* Time over the base's, and over the best peer's: of one row, or the means of all. */
struct ratios {
    double of_base[ALLOCATORS_MAX], best_of_base, of_best[ALLOCATORS_MAX];
};

/* The fastest peer of the row. */
static size_t row_ratios(struct row *row, struct ratios *ratios)
{
    double medians[ALLOCATORS_MAX] = { 0 };
    size_t best = 0;
    for (size_t a = 0; a < allocator_count; a++) {
        medians[a] = median(&row->samples[a]);
        best = is_peer(a) && medians[a] < medians[best] ? a : best;
    }
    for (size_t a = 0; a < allocator_count; a++) {
        ratios->of_base[a] = medians[a] / medians[base];
        ratios->of_best[a] = medians[a] / medians[best];
    }
    ratios->best_of_base = medians[best] / medians[base];
    return best;
}

static void print_ratios_row(const char *text, const struct ratios *ratios, const char *best)
{
    printf("%-14s", text);
    for (size_t a = 0; a < allocator_count; a++)
        printf(" %10.2f", ratios->of_base[a]);
    printf("  %10s %5.2f", best, ratios->best_of_base);
    for (size_t a = 0; a < allocator_count; a++)
        if (!is_peer(a))
            printf(" %10.2f", ratios->of_best[a]);
    printf("\n");
}

static void print_ratios_heads(void)
{
    printf("\ntime over %s's; on the right the best peer's, and Holdfast's over the best peer's\n%-14s",
           allocators[base].name, "workload");
    for (size_t a = 0; a < allocator_count; a++)
        printf(" %10s", allocators[a].name);
    printf("  %16s", "best peer");
    for (size_t a = 0; a < allocator_count; a++)
        if (!is_peer(a))
            printf(" %10s", allocators[a].name);
    printf("\n");
}

static json_t *ratios_json(const struct ratios *ratios)
{
    json_t *of_base = json_object(), *of_best = json_object();
    for (size_t a = 0; a < allocator_count; a++) {
        json_object_set_new(of_base, allocators[a].name, json_real(ratios->of_base[a]));
        if (!is_peer(a))
            json_object_set_new(of_best, allocators[a].name, json_real(ratios->of_best[a]));
    }
    return json_pack("{s:s, s:o, s:f, s:o}", "base", allocators[base].name, "over_base", of_base,
                     "best_peer_over_base", ratios->best_of_base, "over_best_peer", of_best);
}

static void print_ratios(void)
{
    struct ratios logs = { .best_of_base = 0 }, means;
    print_ratios_heads();
    for (struct row *row = rows; row < rows + row_count; row++) {
        struct ratios ratios;
        size_t best = row_ratios(row, &ratios);
        print_ratios_row(row->text, &ratios, allocators[best].name);
        for (size_t a = 0; a < allocator_count; a++) {
            logs.of_base[a] += log(ratios.of_base[a]);
            logs.of_best[a] += log(ratios.of_best[a]);
        }
        logs.best_of_base += log(ratios.best_of_base);
    }
    for (size_t a = 0; a < allocator_count; a++) {
        means.of_base[a] = exp(logs.of_base[a] / (double)row_count);
        means.of_best[a] = exp(logs.of_best[a] / (double)row_count);
    }
    means.best_of_base = exp(logs.best_of_base / (double)row_count);
    print_ratios_row("geometric mean", &means, "");
    json_object_set_new(results, "geometric_mean", ratios_json(&means));
    printf("\n");
}

void bench_workloads(char *only)
{
    rows_read(only);
    for (int round = quick; round <= rounds; round++)
        for (struct row *row = rows; row < rows + row_count; row++)
            for (size_t a = 0; a < allocator_count; a++) {
                double taken = row_seconds(row, &allocators[a]);
                if (round > 0)
                    row->samples[a].values[row->samples[a].count++] = taken;
            }
    print_seconds();
    print_ratios();
}
