/*
 * hf-workload: the shapes of work that allocators are compared by.
 *
 *   hf-workload [--quick | --scale PERCENT] NAME [PARAMETER...]
 *
 * Plain programs: malloc, free and their family, nothing of any allocator.  Only those that show
 * what is held ask Holdfast for its figures, where it is loaded, and `requests` uses its heaps
 * there.  Each checks marks it wrote into its blocks, so that a broken allocator fails instead of
 * winning.  Those that are timed print their own wall time in seconds on the last line ("seconds
 * S"), from after the first malloc on.
 */
#include "workload.h"
#include <string.h>

long workload_scale = 100;

/* Those that are timed.  `threads` are the numbers of threads that hf-bench runs it with, where it
 * takes a number. */
static const struct workload {
    const char *name;
    void (*run)(void);
    void (*run_threads)(unsigned threads);
    const char *threads;
    const char *what;
} workloads[] = {
    { "server", workload_server, NULL, "", "4 threads replace blocks of tables and hand the tables on" },
    { "prodcons", workload_prodcons, NULL, "", "one thread allocates what another frees" },
    { "exchange", workload_exchange, NULL, "", "2 threads free what the other allocates" },
    { "churn", workload_churn, NULL, "", "random replacement of mixed sizes" },
    { "churn-threads", workload_churn_threads, NULL, "", "the same by 4 threads, each for itself" },
    { "cache", workload_cache, NULL, "", "a million blocks, any of which is replaced next" },
    { "bigblock", workload_bigblock, NULL, "", "64 KiB to 4 MiB, every OS page touched" },
    { "strings", workload_strings, NULL, "", "strings grow by realloc, are split and joined" },
    { "pingpong", workload_pingpong, NULL, "", "4 threads write to small blocks of their own" },
    { "passive", workload_passive, NULL, "", "the same, the first blocks made by one thread" },
    { "batches", NULL, workload_batches, "1 2 4 8",
      "THREADS allocate, as many others free: batches of blocks" },
    { "crossing", NULL, workload_crossing, "2 4", "8 to 16,000 bytes; half is freed by another of THREADS" },
    { "successors", NULL, workload_successors, "4 8",
      "each of THREADS ends, and starts one with its table; 8 to 1,000 bytes" },
    { "replace", NULL, workload_replace, "2", "each of THREADS fills and empties slots of its own" },
    { "requests", workload_requests, NULL, "",
      "100 blocks each, which end together: on regions of Holdfast" },
    { "requests-general", workload_requests_general, NULL, "", "the same on its general heaps" },
    { "startup", workload_startup, NULL, "", "many small programs" },
};

/* What measures something else than its time. */
static const struct command {
    const char *name;
    void (*run)(int argc, char **argv);
    const char *parameters;
    const char *what;
} commands[] = {
    { "pairs", workload_pairs, "BYTES alternate|batch|alternate-none|batch-none COUNT",
      "malloc and free, to be counted by callgrind" },
    { "latency", workload_latency, "[THREADS]", "how long single calls take" },
    { "memory", workload_memory, "[THREADS [KIB [ROUNDS [one-frees]]]]", "peak of live bytes, and the rate" },
    { "alternate", workload_alternate, "[THREADS [KIB [TURNS]]]",
      "what threads hold that work and sleep by turns" },
    { "freer", workload_freer, "[THREADS [MEBIBYTES [ROUNDS [allocates]]]]",
      "what is held where one thread frees for all others" },
    { "crowd", workload_crowd, "[THREADS [KIB]]", "what many threads hold with little live in each" },
    { "fill", workload_fill, "MEBIBYTES [MIX [SEED]]", "what is live when the arena is full" },
    { "touch", workload_touch, "[MEBIBYTES]", "page faults of first touches" },
    { "small", workload_small, "", "what `startup` starts; silent" },
    { "now", workload_now, "", "the time in main, for who measures a start" },
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void print_help(void)
{
    printf("usage: hf-workload [--quick | --scale PERCENT] NAME [PARAMETER...]\n"
           "       hf-workload --list       what hf-bench runs: a name, and a number of threads\n"
           "  --scale PERCENT   of the work; --quick is one percent\n\n"
           "Timed:\n");
    for (size_t i = 0; i < COUNT(workloads); i++)
        printf("  %-13s %-12s %s\n", workloads[i].name, workloads[i].run == NULL ? "[THREADS]" : "",
               workloads[i].what);
    printf("\nMeasured otherwise:\n");
    for (size_t i = 0; i < COUNT(commands); i++)
        printf("  %s%s%s\n      %s\n", commands[i].name, *commands[i].parameters == 0 ? "" : " ",
               commands[i].parameters, commands[i].what);
}

static void print_list(void)
{
    for (size_t i = 0; i < COUNT(workloads); i++) {
        const char *threads = workloads[i].threads;
        do {
            int length = (int)strcspn(threads, " ");
            printf("%s%s%.*s\n", workloads[i].name, length == 0 ? "" : " ", length, threads);
            threads += length + (threads[length] == ' ');
        } while (*threads != 0);
    }
}

static void run_timed(const struct workload *workload, int argc, char **argv)
{
    unsigned long threads = strtoul(argc > 0 ? argv[0] : workload->threads, NULL, 10);
    if (workload->run == NULL && (threads == 0 || threads > WORKLOAD_THREADS_MAX))
        fail("1 to 64 threads");
    double from = now_seconds();
    if (workload->run != NULL)
        workload->run();
    else
        workload->run_threads((unsigned)threads);
    printf("seconds %.6f\n", now_seconds() - from);
}

void workload_now(int argc, char **argv)
{
    (void)argc, (void)argv;
    printf("now %.9f\n", now_seconds());
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "--scale") == 0) {
        workload_scale = strtol(argv[2], NULL, 10);
        argc -= 2;
        argv += 2;
    } else if (argc > 1 && strcmp(argv[1], "--quick") == 0) {
        workload_scale = 1;
        argc--;
        argv++;
    }
    if (argc < 2 || workload_scale < 1)
        fail("no NAME; hf-workload --help says which there are");
    if (strcmp(argv[1], "--help") == 0)
        return print_help(), 0;
    if (strcmp(argv[1], "--list") == 0)
        return print_list(), 0;
    free(malloc(1)); /* the allocator's own start is measured by `startup` */
    for (size_t i = 0; i < COUNT(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 2, argv + 2), 0;
    for (size_t i = 0; i < COUNT(workloads); i++)
        if (strcmp(argv[1], workloads[i].name) == 0)
            return run_timed(&workloads[i], argc - 2, argv + 2), 0;
    fail("no such workload; hf-workload --help says which there are");
}
