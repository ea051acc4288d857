/*
 * inspect: what the segment shows is what is there: the page map adds up to the nodes' figures
 * after a storm of threads, in a named arena, in one that grows and publishes late, and in a forked
 * child; hf_stats says the same of a process at rest, also of pages that are kept empty; events,
 * counters and thread ids are told.
 */
#include <holdfast/holdfast.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "segment.h"

#define THREADS 8
#define STEPS 30000
#define LETTERS 512
#define KEPT 300

static const struct hf_inspect_segment *segment;
static _Atomic(char *) letters[LETTERS];
static void *kept[THREADS][KEPT];

static const struct hf_inspect_node *nodes(void)
{
    return test_table(segment, segment->nodes);
}
static const struct hf_inspect_class *classes(void)
{
    return test_table(segment, segment->classes);
}
static const struct hf_inspect_theap *theaps(void)
{
    return test_table(segment, segment->theaps);
}
static const struct hf_inspect_event *events(void)
{
    return test_table(segment, segment->events);
}
static const uint64_t *pages(void)
{
    return test_table(segment, segment->pages);
}

/* --- the page map --- */

static uint64_t run_length(uint64_t entry)
{
    switch (HF_PAGE_STATE(entry)) {
    case HF_PAGE_OWNED:
    case HF_PAGE_IDLE:
    case HF_PAGE_LOOSE:
        CHECK(HF_PAGE_CLASS(entry) < segment->classes.count);
        return classes()[HF_PAGE_CLASS(entry)].run_pages - HF_PAGE_SHORT(entry);
    case HF_PAGE_LARGE: return HF_PAGE_COUNT(entry);
    default: return 1;
    }
}

struct sums {
    uint64_t pages[HF_PAGE_META + 1];
    uint64_t used_blocks[HF_INSPECT_MAX_CLASSES];
};

static void sum_map(struct sums *sums, const struct hf_inspect_node *node)
{
    const uint64_t *map = pages() + node->first_page;
    uint64_t count = node->total / HF_INSPECT_PAGE_BYTES;
    *sums = (struct sums){ 0 };
    for (uint64_t i = 0, length; i < count; i += length) {
        length = run_length(map[i]);
        CHECK(length > 0 && i + length <= count && HF_PAGE_STATE(map[i]) <= HF_PAGE_META);
        sums->pages[HF_PAGE_STATE(map[i])] += length;
        if (HF_PAGE_STATE(map[i]) >= HF_PAGE_OWNED && HF_PAGE_STATE(map[i]) <= HF_PAGE_LOOSE)
            sums->used_blocks[HF_PAGE_CLASS(map[i])] += HF_PAGE_BLOCKS(map[i]);
    }
}

/* Each figure that hf_stats and the segment both have is one: idle pages, and those that this thread
 * keeps empty, which are none. */
static void check_stats(const char *when)
{
    const struct hf_inspect_node *node = nodes();
    struct hf_stats stats;
    CHECK(hf_stats_get_node(&stats, sizeof stats, 0) == 0);
    printf("%s: hf_stats: idle %llu, kept %llu\n", when, (unsigned long long)stats.idle,
           (unsigned long long)stats.kept);
    CHECK(stats.arena == node->total && stats.free == node->free && stats.large == node->large);
    CHECK(stats.idle == node->idle && stats.kept <= stats.allocated && stats.high_water == node->high_water);
    CHECK(stats.metadata == node->meta && stats.allocated + stats.idle + stats.metadata == node->used);
}

/* While no other thread is in a call. */
static void check_map(const char *when)
{
    const struct hf_inspect_node *node = nodes();
    struct sums sums;
    sum_map(&sums, node);
    uint64_t unit = HF_INSPECT_PAGE_BYTES,
             free_pages = sums.pages[HF_PAGE_UNTOUCHED] + sums.pages[HF_PAGE_FREE];
    uint64_t used = sums.pages[HF_PAGE_OWNED] + sums.pages[HF_PAGE_IDLE] + sums.pages[HF_PAGE_LOOSE] +
                    sums.pages[HF_PAGE_LARGE] + sums.pages[HF_PAGE_META];
    printf("%s: owned %llu idle %llu loose %llu large %llu meta %llu free %llu\n", when,
           (unsigned long long)sums.pages[HF_PAGE_OWNED], (unsigned long long)sums.pages[HF_PAGE_IDLE],
           (unsigned long long)sums.pages[HF_PAGE_LOOSE], (unsigned long long)sums.pages[HF_PAGE_LARGE],
           (unsigned long long)sums.pages[HF_PAGE_META], (unsigned long long)free_pages);
    CHECK(free_pages * unit == node->free);
    CHECK(used * unit == node->used && node->used + node->free == node->total);
    CHECK(sums.pages[HF_PAGE_IDLE] * unit == node->idle);
    CHECK(sums.pages[HF_PAGE_LARGE] * unit == node->large);
    CHECK(sums.pages[HF_PAGE_META] * unit == node->meta);
    CHECK(node->high_water >= node->used && node->high_water <= node->total &&
          node->high_water_ticks >= segment->clock_ticks);
    check_stats(when);
}

/* --- the storm --- */

static void *storm(void *argument)
{
    size_t number = (size_t)argument;
    uint64_t random = number + 1;
    for (int step = 0; step < STEPS; step++) {
        size_t bytes = test_random_size(&random, 16, test_random(&random) % 100 == 0 ? 1 << 20 : 2000);
        char *block = malloc(bytes);
        CHECK(block != NULL);
        block[0] = block[bytes - 1] = 1;
        free(atomic_exchange(&letters[test_random(&random) % LETTERS], block));
        if (step % 100 == 0) {
            void **slot = &kept[number][step / 100 % KEPT];
            void *grown = realloc(*slot, test_random_size(&random, 16, 1 << 19));
            CHECK(grown != NULL);
            *slot = grown;
        }
    }
    return NULL;
}

static void run_storm(void)
{
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, storm, (void *)i) == 0);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

static void free_all(void)
{
    for (size_t i = 0; i < LETTERS; i++)
        free(atomic_exchange(&letters[i], NULL));
    for (size_t i = 0; i < THREADS; i++)
        for (size_t j = 0; j < KEPT; j++) {
            free(kept[i][j]);
            kept[i][j] = NULL;
        }
}

/* --- the rest --- */

static const struct hf_inspect_theap *own_slot(void)
{
    for (uint32_t i = 0; i < segment->theaps.count; i++)
        if (theaps()[i].in_use && theaps()[i].tid == (uint64_t)syscall(SYS_gettid))
            return &theaps()[i];
    CHECK(!"this thread is shown");
    return NULL;
}

static bool has_event(enum hf_inspect_event_kind kind)
{
    uint64_t count = segment->event_count, ring = segment->events.count;
    for (uint64_t n = count > ring ? count - ring : 0; n < count; n++) {
        CHECK(events()[n % ring].sequence == n + 1 && events()[n % ring].ticks >= segment->clock_ticks);
        if (events()[n % ring].kind == kind)
            return true;
    }
    return false;
}

/* Blocks in use are told within what is linked at a time. */
static void check_blocks(void)
{
    enum { COUNT = 20000, SLACK = 256 };
    static void *blocks[COUNT];
    struct sums before, after;
    unsigned class = 0;
    while (classes()[class].block_bytes < 200)
        class ++;
    sum_map(&before, nodes());
    for (int i = 0; i < COUNT; i++)
        CHECK((blocks[i] = malloc(200)) != NULL);
    sum_map(&after, nodes());
    uint64_t shown = after.used_blocks[class] - before.used_blocks[class];
    printf("%d blocks: %llu shown\n", COUNT, (unsigned long long)shown);
    CHECK(shown <= COUNT + SLACK && shown + SLACK >= COUNT);
    for (int i = 0; i < COUNT; i++)
        free(blocks[i]);
    check_map("blocks freed");
    struct hf_stats stats;
    CHECK(hf_stats_get(&stats, sizeof stats) == 0 && stats.kept != 0);
}

static void sum_slow_paths(uint64_t *calls, uint64_t *taken)
{
    *calls = *taken = 0;
    for (uint32_t i = 0; i < segment->theaps.count; i++) {
        const struct hf_inspect_theap *theap = &theaps()[i];
        *taken += theap->claimed + theap->shared + theap->fresh + theap->large;
        for (int j = 0; j < HF_INSPECT_BUCKETS; j++)
            *calls += theap->slow[j];
    }
}

/* Of a storm with the segment there from its beginning: calls before it are not timed. */
static void check_slow_paths(void)
{
    uint64_t calls_before, taken_before, calls, taken;
    sum_slow_paths(&calls_before, &taken_before);
    run_storm();
    sum_slow_paths(&calls, &taken);
    calls -= calls_before;
    taken -= taken_before;
    printf("%llu slow paths timed, %llu pages taken\n", (unsigned long long)calls, (unsigned long long)taken);
    CHECK(calls > 100 && calls == taken);
}

/* To the last byte and back: the node is full, the failure counted, and over when there is room
 * again. */
static void check_full(void)
{
    static void *blocks[4096];
    size_t count = 0;
    uint64_t failed = own_slot()->failed;
    CHECK(!has_event(HF_EVENT_NODE_FULL));
    while (count < 4096 && (blocks[count] = malloc(1 << 18)) != NULL)
        count++;
    CHECK(count < 4096 && has_event(HF_EVENT_NODE_FULL) && has_event(HF_EVENT_REPORT) &&
          segment->reports == 1);
    CHECK(own_slot()->failed == failed + 1);
    CHECK(nodes()->flags & HF_INSPECT_NODE_FULL);
    check_map("full");
    while (count > 0)
        free(blocks[--count]);
    free(malloc(1 << 20)); /* whole pages: the node is asked */
    CHECK(has_event(HF_EVENT_NODE_ROOM));
    CHECK(!(nodes()->flags & HF_INSPECT_NODE_FULL));
}

static void check_child_of_few_calls(void)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        for (int i = 0; i < 9; i++)
            CHECK(malloc(1 << 20) != NULL);
        segment = test_segment();
        CHECK(segment->pid == (uint64_t)getpid());
        check_map("child of few calls");
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static void check_child(void)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        run_storm();
        segment = test_segment();
        CHECK(segment->pid == (uint64_t)getpid());
        own_slot();
        check_map("child");
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(segment->forks == 1 && has_event(HF_EVENT_FORKED));
    check_map("parent");
}

int main(int argc, char **argv)
{
    static char output[4096];
    /* which would be malloc's in the middle of a comparison */
    setvbuf(stdout, output, _IOLBF, sizeof output);
    setenv("HOLDFAST_INSPECT", "children", 0);
    if (getenv("HOLDFAST_ARENA") == NULL) { /* once more, on an arena that grows */
        setenv("HOLDFAST_VERBOSE", "0", 1);
        char *again[] = { argv[0], (char *)"grow", NULL };
        pid_t pid = fork();
        if (pid == 0) {
            setenv("HOLDFAST_ARENA", "auto", 1);
            execv("/proc/self/exe", again);
            _exit(127);
        }
        int status;
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    }
    setenv("HOLDFAST_BACKING", "thp",
           0); /* not the pool, which others use: what a child cannot copy kills it */
    test_on_arena(argv, "256M");
    if (argc == 1) {
        segment = test_segment();
        CHECK(has_event(HF_EVENT_PUBLISHED) && segment->asked_arena == HF_ARENA_BYTES);
        free(malloc(1 << 19));
        own_slot();
    }
    run_storm();
    segment = test_segment();
    check_map("after the storm");
    check_slow_paths();
    check_blocks();
    check_child();
    check_child_of_few_calls();
    free_all();
    check_map("all freed");
    if (argc == 1)
        check_full();
    return 0;
}
