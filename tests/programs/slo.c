/*
 * slo: slow calls are counted under what made them slow, and told of where they took longer than
 * HOLDFAST_SLO.  Each cause that one node can have is provoked: by a limit of a nanosecond, which every
 * call exceeds; without a limit; and in an arena that grows.
 */
#include <holdfast/holdfast.h>
#include <pthread.h>
#include <sched.h>

#include "segment.h"

#define LARGE_BYTES ((size_t)4 << 20)
#define SMALL_BLOCKS 20000
#define TRIES 2000
#define TWO_NODES "0:8M,1:64M"

static const struct hf_inspect_segment *segment;
static struct hf_inspect_slow before[HF_INSPECT_CAUSES], now[HF_INSPECT_CAUSES];

static void sum(struct hf_inspect_slow *sums)
{
    const struct hf_inspect_slow *slow = test_table(segment, segment->slow);
    CHECK(segment->causes == HF_INSPECT_CAUSES &&
          segment->slow.count == HF_INSPECT_CAUSES * HF_INSPECT_SHARDS);
    memset(sums, 0, HF_INSPECT_CAUSES * sizeof *sums);
    for (uint32_t i = 0; i < segment->slow.count; i++) {
        struct hf_inspect_slow *to = &sums[i % HF_INSPECT_CAUSES];
        to->ticks += slow[i].ticks;
        to->late += slow[i].late;
        to->longest = slow[i].longest > to->longest ? slow[i].longest : to->longest;
        for (int j = 0; j < HF_INSPECT_BUCKETS; j++)
            to->calls[j] += slow[i].calls[j];
    }
}

static uint64_t calls_of(const struct hf_inspect_slow *slow)
{
    uint64_t calls = 0;
    for (int i = 0; i < HF_INSPECT_BUCKETS; i++)
        calls += slow->calls[i];
    return calls;
}

/* Calls of a cause since `before` was filled. */
static uint64_t counted(enum hf_inspect_cause cause)
{
    sum(now);
    return calls_of(&now[cause]) - calls_of(&before[cause]);
}

/* The scheduler may take any call for itself: `provoke` is tried until the cause shows. */
static void expect(enum hf_inspect_cause cause, void (*provoke)(void), const char *what)
{
    sum(before);
    int tries = 0;
    do
        provoke();
    while ((counted(cause) == 0 || (segment->slo_ns != 0 && now[cause].late == 0)) && ++tries < TRIES);
    printf("%s: %llu calls\n", what, (unsigned long long)counted(cause));
    CHECK(counted(cause) != 0);
    CHECK(now[cause].ticks >= now[cause].longest && now[cause].longest != 0);
    CHECK((segment->slo_ns == 0) == (now[cause].late == 0));
    CHECK(now[cause].late <= calls_of(&now[cause]));
}

/* More blocks of one class than one page has. */
static void many_small(void)
{
    static void *blocks[SMALL_BLOCKS];
    for (int i = 0; i < SMALL_BLOCKS; i++)
        CHECK((blocks[i] = malloc(48)) != NULL);
    for (int i = 0; i < SMALL_BLOCKS; i++)
        free(blocks[i]);
}

static void one_large(void)
{
    void *volatile block = malloc(LARGE_BYTES);
    CHECK(block != NULL);
    free(block);
}

/* The first lot is of pages that were used before. */
static void clear_large(void)
{
    char *block = malloc(LARGE_BYTES);
    CHECK(block != NULL);
    memset(block, 1, LARGE_BYTES);
    free(block);
    char *cleared = calloc(1, LARGE_BYTES);
    CHECK(cleared != NULL && cleared[LARGE_BYTES - 1] == 0);
    free(cleared);
}

static void *first_call(void *argument)
{
    free(malloc(100));
    return argument;
}

static void new_thread(void)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, first_call, NULL) == 0 && pthread_join(thread, NULL) == 0);
}

/* What no node has is looked for everywhere. */
static void ask_too_much(void)
{
    static void *blocks[4096];
    size_t count = 0;
    while (count < 4096 && (blocks[count] = malloc(1 << 18)) != NULL)
        count++;
    CHECK(count < 4096);
    while (count > 0)
        free(blocks[--count]);
}

static _Atomic(bool) moves;
static pid_t moved;
static cpu_set_t allowed;

static void *move_about(void *unused)
{
    for (int cpu = 0; moves; cpu = (cpu + 1) % CPU_SETSIZE) {
        cpu_set_t one;
        if (!CPU_ISSET(cpu, &allowed))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        CHECK(sched_setaffinity(moved, sizeof one, &one) == 0);
        usleep(100);
    }
    return unused;
}

static void move_often(void)
{
    pthread_t mover;
    moved = gettid();
    CHECK(sched_getaffinity(0, sizeof allowed, &allowed) == 0);
    moves = true;
    CHECK(pthread_create(&mover, NULL, move_about, NULL) == 0);
    for (int i = 0; i < 10; i++)
        clear_large();
    moves = false;
    CHECK(pthread_join(mover, NULL) == 0);
    CHECK(sched_setaffinity(0, sizeof allowed, &allowed) == 0);
}

static bool may_move(void)
{
    return (segment->options & HF_INSPECT_INTERRUPTED_TOLD) != 0 &&
           sched_getaffinity(0, sizeof allowed, &allowed) == 0 && CPU_COUNT(&allowed) > 1;
}

/* Pages that a thread keeps, asleep, are what another gets when nothing else is left. */
static int sleeper_pipe[2][2];

static void *sleeper(void *argument)
{
    static void *blocks[2048];
    char byte;
    for (int i = 0; i < 2048; i++)
        CHECK((blocks[i] = malloc(1024)) != NULL);
    for (int i = 0; i < 2048; i++)
        if (i % 64 != 0)
            free(blocks[i]);
    CHECK(write(sleeper_pipe[0][1], "", 1) == 1 && read(sleeper_pipe[1][0], &byte, 1) == 1);
    for (int i = 0; i < 2048; i += 64)
        free(blocks[i]);
    return argument;
}

static void take_from_sleeper(void)
{
    static void *blocks[16384];
    pthread_t thread;
    char byte;
    size_t count = 0;
    CHECK(pipe(sleeper_pipe[0]) == 0 && pipe(sleeper_pipe[1]) == 0);
    CHECK(pthread_create(&thread, NULL, sleeper, NULL) == 0 && read(sleeper_pipe[0][0], &byte, 1) == 1);
    while (count < 16384 && (blocks[count] = malloc(1024)) != NULL)
        count++;
    CHECK(count < 16384 && write(sleeper_pipe[1][1], "", 1) == 1 && pthread_join(thread, NULL) == 0);
    while (count > 0)
        free(blocks[--count]);
    for (int i = 0; i < 4; i++)
        close(sleeper_pipe[i / 2][i % 2]);
}

static bool was_told(void)
{
    const struct hf_inspect_event *events = test_table(segment, segment->events);
    for (uint32_t i = 0; i < segment->events.count; i++)
        if (events[i].sequence != 0 && events[i].kind == HF_EVENT_LATE) {
            CHECK((events[i].a & 0xff) < HF_INSPECT_CAUSES && events[i].a >> 8 != 0 && events[i].b != 0);
            return true;
        }
    return false;
}

static void check_named(void)
{
    usleep(3000); /* before that no call is judged */
    expect(HF_CAUSE_FRESH, one_large, "fresh");
    expect(HF_CAUSE_OWN, many_small, "own");
    if (segment->slo_ns == 0)
        CHECK(counted(HF_CAUSE_OWN) % 32 == 0);
    else
        CHECK(counted(HF_CAUSE_OWN) > SMALL_BLOCKS / 64 / 2); /* of 2 KiB each */
    expect(HF_CAUSE_ATTACHED, new_thread, "attached");
    expect(HF_CAUSE_CLEARED, clear_large, "cleared");
    if (may_move())
        expect(HF_CAUSE_INTERRUPTED, move_often, "interrupted");
    expect(HF_CAUSE_STOLEN, take_from_sleeper, "stolen");
    expect(HF_CAUSE_SEARCHED, ask_too_much, "searched");
    CHECK(was_told() == (segment->slo_ns != 0));
}

/* More than the first node has. */
static void fill_first_node(void)
{
    for (int i = 0; i < 12; i++)
        CHECK(malloc(1 << 20) != NULL);
}

static void grow(void)
{
    for (int i = 0; i < 64; i++)
        CHECK(malloc(LARGE_BYTES) != NULL);
}

static void run(char **argv, const char *arena, const char *slo)
{
    char *again[] = { argv[0], (char *)arena, NULL };
    int status;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        setenv("HOLDFAST_ARENA", arena, 1);
        setenv("HOLDFAST_BACKING", "4k", 1);
        setenv("HOLDFAST_SLO", slo, 1);
        if (strcmp(arena, TWO_NODES) == 0)
            setenv("HWLOC_SYNTHETIC", "numa:2 pu:1", 1);
        execv("/proc/self/exe", again);
        _exit(127);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

int main(int argc, char **argv)
{
    if (argc == 1) {
        run(argv, "16M", "1ns");
        run(argv, "16M", "off");
        run(argv, TWO_NODES, "off");
        run(argv, "auto", "1ns");
        return 0;
    }
    printf("--- arena %s, limit %s ---\n", argv[1], getenv("HOLDFAST_SLO"));
    if (strcmp(argv[1], "auto") == 0)
        for (int i = 0; i < 24; i++)
            CHECK(malloc(1 << 20) != NULL); /* it shows when it has grown */
    segment = test_segment();
    if (strcmp(argv[1], "auto") == 0)
        expect(HF_CAUSE_OPENED, grow, "opened");
    else if (strcmp(argv[1], TWO_NODES) == 0)
        expect(HF_CAUSE_AWAY, fill_first_node, "away");
    else
        check_named();
    return 0;
}
