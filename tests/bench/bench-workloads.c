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

/* Of Holdfast on an arena of one kind, to each. */
static void print_ratios(size_t self)
{
    double log_ratio[ALLOCATORS_MAX] = { 0 };
    printf("\nratio of %s to each (under 1: %s is faster)\n", allocators[self].name, allocators[self].name);
    print_heads("workload");
    for (struct row *row = rows; row < rows + row_count; row++) {
        double best = INFINITY, ours = median(&row->samples[self]);
        printf("%-14s", row->text);
        for (size_t a = 0; a < allocator_count; a++) {
            double theirs = median(&row->samples[a]);
            log_ratio[a] += log(ours / theirs);
            best = allocators[a].holdfast || allocators[a].growing ? best : fmin(best, theirs);
            printf(" %20.2f", ours / theirs);
        }
        printf("   best peer %.2f\n", ours / best);
    }
    printf("%-14s", "geometric mean");
    for (size_t a = 0; a < allocator_count; a++)
        printf(" %20.2f", exp(log_ratio[a] / (double)row_count));
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
    for (size_t a = 0; a < allocator_count; a++)
        if (allocators[a].holdfast || allocators[a].growing)
            print_ratios(a);
    printf("\n");
}
