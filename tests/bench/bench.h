/*
 * bench: what the measurements of hf-bench share.
 *
 * Main sets the variables.  Of them bench_populate alone changes one, `backing`.
 */
#ifndef BENCH_H
#define BENCH_H

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define ALLOCATORS_MAX 16
#define VARIABLES_MAX 4
#define ROUNDS_MAX 101
#define OUTPUT_MAX 65536

struct allocator {
    const char *name;
    const char *library;            /* NULL: the C library's own */
    bool holdfast;                  /* on a named arena, where that is not NULL */
    bool growing;                   /* Holdfast with nothing set */
    char *variables[VARIABLES_MAX]; /* as putenv takes them; NULL where there are fewer */
};

extern struct allocator allocators[ALLOCATORS_MAX];
extern size_t allocator_count;
extern size_t base; /* the allocator over whose times the others' are shown */
extern const char *workload_path, *arena, *backing;
extern int rounds;
extern bool quick; /* a tenth of the work, once: to see that it runs */
extern json_t *results;

struct sample {
    double values[ROUNDS_MAX];
    int count;
};

static inline _Noreturn void fail(const char *what, const char *about)
{
    fprintf(stderr, "hf-bench: %s %s\n", what, about);
    exit(2);
}

/* Runs `argv` under an allocator; standard output and error to `output`, of OUTPUT_MAX bytes.  The exit
 * status, -1 when killed. */
int run(const struct allocator *allocator, const char *arena_size, char *const argv[], char *output);

double number_after(const char *text, const char *word);
double median(struct sample *sample);
json_t *sample_json(struct sample *sample);
size_t holdfast_index(void);
bool is_peer(size_t a); /* neither of Holdfast's */
void print_heads(const char *first);

void bench_workloads(char *only);
void bench_pairs(void);
void bench_latency(void);
void bench_memory(void);
void bench_touch(void);
void bench_fill(void);
void bench_start(void);
void bench_populate(void);

#endif
