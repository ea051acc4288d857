/*
 * hf-bench: Holdfast beside other allocators, in one interleaved run.
 *
 * Every round runs each workload once under each allocator (LD_PRELOAD), so that a machine whose
 * speed drifts slows all of them alike; the first round warms up and is not counted. Medians with
 * their spread go to a table and, with --json, to a file.  Further measurements by option.  No
 * verdicts.
 */
#include "bench.h"
#include <getopt.h>
#include <string.h>
#include <unistd.h>

struct allocator allocators[ALLOCATORS_MAX] = { { .name = "glibc" } };
size_t allocator_count = 1, base;
const char *workload_path, *arena = "1G", *backing = "auto";
int rounds = 5;
bool quick;
json_t *results;

static const char usage[] =
    "usage: hf-bench --holdfast PATH [OPTION...]\n"
    "  --holdfast PATH      libholdfast.so\n"
    "  --workload PATH      hf-workload (default: beside this program)\n"
    "  --growing            Holdfast also with nothing set, on an arena that grows\n"
    "  --so NAME=PATH[,VARIABLE=VALUE]...\n"
    "                       one more allocator, and its environment; repeatable\n"
    "  --base NAME          the allocator over whose times the others' are shown (default glibc)\n"
    "  --arena SIZE         HOLDFAST_ARENA for all but `startup` (default 1G)\n"
    "  --backing VALUE      HOLDFAST_BACKING (default auto)\n"
    "  --rounds N           counted rounds (default 5)\n"
    "  --only NAME[,NAME]   workloads; 'NAME THREADS' with that number alone\n"
    "  --json FILE          write the results\n"
    "  --quick              one round of a tenth of the work: to see that it runs\n"
    "  --no-workloads --pairs --latency --memory --touch --fill --start --populate --all\n"
    "Peers found in the system's library directory are taken by themselves, unless one of their name is "
    "given.\n";

static struct allocator *find_allocator(const char *name)
{
    for (size_t a = 0; a < allocator_count; a++)
        if (strcmp(allocators[a].name, name) == 0)
            return &allocators[a];
    return NULL;
}

static struct allocator *add_allocator(const char *name, const char *library)
{
    if (allocator_count == ALLOCATORS_MAX)
        fail("too many allocators:", name);
    if (find_allocator(name) != NULL)
        fail("two allocators are called", name);
    if (access(library, R_OK) != 0)
        fail("cannot read the library", library);
    allocators[allocator_count] = (struct allocator){ .name = name, .library = library };
    return &allocators[allocator_count++];
}

enum {
    HOLDFAST = 256,
    WORKLOAD,
    SO,
    BASE,
    ARENA,
    BACKING,
    ROUNDS,
    ONLY,
    JSON,
    NO_WORKLOADS,
    PAIRS,
    LATENCY,
    MEMORY,
    TOUCH,
    FILL,
    START,
    POPULATE,
    QUICK,
    GROWING,
    ALL,
    HELP
};

static const struct option options[] = {
    { "holdfast", 1, NULL, HOLDFAST },
    { "workload", 1, NULL, WORKLOAD },
    { "so", 1, NULL, SO },
    { "base", 1, NULL, BASE },
    { "arena", 1, NULL, ARENA },
    { "backing", 1, NULL, BACKING },
    { "rounds", 1, NULL, ROUNDS },
    { "only", 1, NULL, ONLY },
    { "json", 1, NULL, JSON },
    { "no-workloads", 0, NULL, NO_WORKLOADS },
    { "pairs", 0, NULL, PAIRS },
    { "latency", 0, NULL, LATENCY },
    { "memory", 0, NULL, MEMORY },
    { "touch", 0, NULL, TOUCH },
    { "fill", 0, NULL, FILL },
    { "quick", 0, NULL, QUICK },
    { "start", 0, NULL, START },
    { "populate", 0, NULL, POPULATE },
    { "growing", 0, NULL, GROWING },
    { "all", 0, NULL, ALL },
    { "help", 0, NULL, HELP },
    { NULL, 0, NULL, 0 },
};

static const struct {
    int option;
    void (*run)(void);
} measurements[] = {
    { PAIRS, bench_pairs }, { LATENCY, bench_latency }, { MEMORY, bench_memory },     { TOUCH, bench_touch },
    { FILL, bench_fill },   { START, bench_start },     { POPULATE, bench_populate },
};

static char *only;
static const char *holdfast_path, *base_name = "glibc", *json_path;
static bool wanted[HELP + 1]; /* by option */

/* NAME=PATH[,VARIABLE=VALUE]... */
static void add_peer(char *text)
{
    char *path = strchr(text, '='), *comma;
    if (path == NULL || path == text)
        fail("--so wants NAME=PATH[,VARIABLE=VALUE], not", text);
    *path++ = 0;
    if ((comma = strchr(path, ',')) != NULL)
        *comma++ = 0;
    struct allocator *peer = add_allocator(text, path);
    for (size_t count = 0; comma != NULL && *comma != 0; count++) {
        char *variable = comma;
        if ((comma = strchr(variable, ',')) != NULL)
            *comma++ = 0;
        if (strchr(variable, '=') == NULL || count == VARIABLES_MAX)
            fail("not VARIABLE=VALUE, or one too many:", variable);
        peer->variables[count] = variable;
    }
}

/* Those of the system's library directory; a name that --so has taken is that one's. */
static void add_system_peers(void)
{
    static const char *const peers[][2] = {
        { "mimalloc", "/usr/lib/x86_64-linux-gnu/libmimalloc.so.2" },
        { "jemalloc", "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2" },
        { "tcmalloc", "/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4" },
    };
    for (size_t i = 0; i < sizeof peers / sizeof peers[0]; i++)
        if (find_allocator(peers[i][0]) == NULL) {
            if (access(peers[i][1], R_OK) == 0)
                add_allocator(peers[i][0], peers[i][1]);
            else
                fprintf(stderr, "hf-bench: %s is not at %s: left out\n", peers[i][0], peers[i][1]);
        }
}

static void add_holdfast(void)
{
    if (holdfast_path == NULL)
        fail("no allocator to compare:", "give --holdfast PATH");
    add_allocator("holdfast", holdfast_path)->holdfast = true;
    if (wanted[GROWING])
        add_allocator("growing", holdfast_path)->growing = true;
}

static void find_base(void)
{
    const struct allocator *found = find_allocator(base_name);
    if (found == NULL)
        fail("--base wants an allocator of the run, not", base_name);
    base = (size_t)(found - allocators);
}

static void take_options(int argc, char **argv)
{
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;)
        switch (option) {
        case HOLDFAST: holdfast_path = optarg; break;
        case WORKLOAD: workload_path = optarg; break;
        case SO: add_peer(optarg); break;
        case BASE: base_name = optarg; break;
        case ARENA: arena = optarg; break;
        case BACKING: backing = optarg; break;
        case ROUNDS:
            rounds = atoi(optarg);
            if (rounds < 1 || rounds >= ROUNDS_MAX)
                fail("--rounds wants 1 to 100, not", optarg);
            break;
        case ONLY: only = optarg; break;
        case QUICK:
            quick = true;
            rounds = 1;
            break;
        case JSON: json_path = optarg; break;
        case HELP: fputs(usage, stdout); exit(0);
        case '?': fputs(usage, stderr); exit(2);
        default: wanted[option] = true; break;
        }
}

static void find_workload(void)
{
    static char beside[4096];
    ssize_t length = readlink("/proc/self/exe", beside, sizeof beside - 16);
    if (workload_path != NULL || length <= 0)
        return;
    beside[length] = 0;
    strcpy(strrchr(beside, '/') + 1, "hf-workload");
    workload_path = beside;
}

int main(int argc, char **argv)
{
    take_options(argc, argv);
    find_workload();
    add_system_peers();
    add_holdfast();
    find_base();
    results = json_object();
    if (!wanted[NO_WORKLOADS])
        bench_workloads(only);
    for (size_t i = 0; i < sizeof measurements / sizeof measurements[0]; i++)
        if (wanted[measurements[i].option] || wanted[ALL])
            measurements[i].run();
    if (json_path != NULL && json_dump_file(results, json_path, JSON_INDENT(2)) != 0)
        fail("cannot write", json_path);
    json_decref(results);
    return 0;
}
