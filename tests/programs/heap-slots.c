/*
 * heap-slots: what the segment shows of heaps: each with its name, what it holds and may hold; of more
 * than it has slots for the sum; after threads made, used and ended heaps, no unit too many or too
 * few; an entry that is whole is of one heap while they do; pages of heaps are marked; a heap that
 * came before the segment, in a growing arena, is counted at once, and told at its next call; a
 * child that shows itself.
 */
#include <holdfast/heap.h>
#include <holdfast/holdfast.h>
#include <pthread.h>
#include <stdatomic.h>

#include "segment.h"

#define THREADS 4
#define ROUNDS 3000
#define MANY 600 /* more than an arena of 512 MiB has slots for */
#define STEP ((size_t)16 << 10)

static const struct hf_inspect_segment *segment;

static const struct hf_inspect_heap *slots(void)
{
    return test_table(segment, segment->heaps);
}

static struct hf_heap *new_heap(const char *name, size_t limit)
{
    struct hf_heap_options options = { .size_bytes = sizeof options,
                                       .name = name,
                                       .limit = limit,
                                       .soft_limit = limit == 0 ? 0 : 3 * STEP,
                                       .flags = HF_HEAP_REGION };
    struct hf_heap *heap = hf_heap_create(&options);
    CHECK(heap != NULL);
    return heap;
}

static uint64_t held_by(struct hf_heap *heap)
{
    struct hf_heap_stats stats;
    CHECK(hf_heap_stats(heap, &stats, sizeof stats) == 0);
    return stats.held;
}

static const struct hf_inspect_heap *slot_named(const char *name)
{
    for (uint32_t i = 0; i < segment->heaps.count; i++)
        if (slots()[i].id != 0 && strcmp(slots()[i].name, name) == 0)
            return &slots()[i];
    return NULL;
}

struct sums {
    uint64_t heaps, held;
};

static struct sums sum_up(void)
{
    struct sums sums = { segment->other_heaps, segment->other_held };
    for (uint32_t i = 0; i < segment->heaps.count; i++) {
        sums.heaps += slots()[i].id != 0;
        sums.held += slots()[i].held;
        CHECK(slots()[i].id == slots()[i].id_again && slots()[i].last >= slots()[i].id);
    }
    return sums;
}

/* With nobody at work: what is shown is what hf_stats says. */
static void check_sums(uint64_t heaps)
{
    struct sums sums = sum_up();
    struct hf_stats stats;
    CHECK(hf_stats_get(&stats, sizeof stats) == 0);
    CHECK(sums.heaps == heaps && sums.held + stats.heaps_free == stats.heaps);
    const struct hf_inspect_node *nodes = test_table(segment, segment->nodes);
    uint64_t pages = 0;
    for (uint32_t i = 0; i < segment->nodes.count; i++) {
        pages += nodes[i].heaps;
        CHECK(nodes[i].high_water >= nodes[i].used);
    }
    CHECK(pages == stats.heaps);
}

static bool is_marked(const void *pointer)
{
    const uint64_t *pages = test_table(segment, segment->pages);
    const struct hf_inspect_node *node = test_table(segment, segment->nodes);
    size_t index = ((uintptr_t)pointer - segment->arena_base) / HF_INSPECT_PAGE_BYTES;
    return HF_PAGE_IS_OF_HEAPS(pages[index - node->first_index + node->first_page]);
}

static void check_one(void)
{
    uint64_t failures = segment->heap_failures;
    struct hf_heap *heap = new_heap("a \"name\"\n", 5 * STEP - 1);
    const struct hf_inspect_heap *slot = slot_named("a \"name\"\n");
    CHECK(slot != NULL && slot->held == 0 && slot->most == 0 && slot->limit == 5 * STEP);
    CHECK(slot->flags == HF_HEAP_REGION && slot->node == HF_INSPECT_NO_NODE && slot->soft_limit == 3 * STEP);
    CHECK(slot->made_ticks >= segment->clock_ticks);
    char *block = hf_heap_malloc(heap, 3 * STEP);
    CHECK(block != NULL && is_marked(block) && slot->held == held_by(heap) && slot->held == 3 * STEP);
    CHECK(slot->most == 3 * STEP);
    CHECK(hf_heap_malloc(heap, 3 * STEP) == NULL && slot->failures == 1 && slot->held == 3 * STEP);
    CHECK(segment->heap_failures == failures + 1);
    const struct hf_inspect_event *events = test_table(segment, segment->events), *last;
    last = &events[(segment->event_count - 1) % segment->events.count];
    CHECK(last->kind == HF_EVENT_HEAP_LIMIT && last->a == 3 * STEP && last->b == slot->id);
    CHECK(hf_heap_set_limit(heap, 40 * STEP) == 0 && slot->limit == 40 * STEP);
    char *large = hf_heap_malloc(heap, 8 * STEP);
    CHECK(large != NULL && is_marked(large) && slot->held == held_by(heap) && slot->most == slot->held);
    CHECK(slot->crossings == 1);
    free(large);
    CHECK(slot->held == held_by(heap) && slot->held < slot->most);
    CHECK(hf_heap_set_limit(heap, 0) == 0 && slot->limit == 0);
    struct hf_heap_options bound = { .size_bytes = sizeof bound,
                                     .name = "bound",
                                     .flags = HF_HEAP_REGION | HF_HEAP_NODE };
    struct hf_heap *other = hf_heap_create(&bound);
    CHECK(slot_named("bound") != NULL && slot_named("bound")->node == 0);
    check_sums(2);
    uint64_t id = slot->id;
    hf_heap_destroy(heap);
    hf_heap_destroy(other);
    CHECK(slot->id == 0 && slot->id_again == 0 && slot->last >= id && slot->held == 0);
    CHECK(segment->heap_failures == failures + 1);
    check_sums(0);
}

static void check_many(void)
{
    static struct hf_heap *heaps[MANY];
    for (int i = 0; i < MANY; i++) {
        heaps[i] = new_heap("many", 0);
        CHECK(hf_heap_malloc(heaps[i], 100) != NULL);
    }
    CHECK(segment->heaps.count < MANY && segment->other_heaps == MANY - segment->heaps.count);
    CHECK(segment->other_held >= STEP * segment->other_heaps && segment->other_last != 0);
    check_sums(MANY);
    for (int i = 0; i < MANY; i += 2)
        hf_heap_destroy(heaps[i]);
    check_sums(MANY / 2);
    for (int i = 1; i < MANY; i += 2)
        hf_heap_destroy(heaps[i]);
    check_sums(0);
    CHECK(segment->other_heaps == 0 && segment->other_held == 0);
}

/* --- threads --- */

static struct hf_heap *common;
static _Atomic(char *) letters[64];
static _Atomic(int) working;

/* Names of which each half is the same. */
static void *make_and_end(void *argument)
{
    uint64_t random = (uintptr_t)argument + 1;
    struct hf_heap *heaps[20] = { NULL };
    for (int i = 0; i < ROUNDS; i++) {
        char name[32];
        unsigned number = (unsigned)(test_random(&random) % 100000000), at = (unsigned)(i % 20);
        snprintf(name, sizeof name, "%08u/%08u", number, number);
        if (heaps[at] != NULL)
            hf_heap_destroy(heaps[at]);
        heaps[at] = new_heap(name, 0);
        for (unsigned j = 0; j < number % 3; j++)
            CHECK(hf_heap_malloc(heaps[at], number % 30000) != NULL);
        char *block = hf_heap_malloc(number % 2 != 0 ? common : heaps[at], 5000);
        CHECK(block != NULL);
        if (number % 2 != 0)
            free(atomic_exchange(&letters[number % 64], block));
        else
            free(block);
    }
    for (int i = 0; i < 20; i++)
        hf_heap_destroy(heaps[i]);
    working--;
    return NULL;
}

static void look_once(void)
{
    static struct hf_inspect_heap copy[HF_INSPECT_MAX_HEAPS];
    memcpy(copy, slots(), segment->heaps.count * sizeof copy[0]);
    for (uint32_t i = 0; i < segment->heaps.count; i++) {
        if (copy[i].id == 0 || copy[i].id != copy[i].id_again || strcmp(copy[i].name, "common") == 0)
            continue;
        copy[i].name[8] = 0;
        CHECK(strcmp(copy[i].name, copy[i].name + 9) == 0 && strlen(copy[i].name) == 8);
        CHECK(copy[i].flags == HF_HEAP_REGION);
    }
}

static void check_threads(void)
{
    pthread_t threads[THREADS];
    common = new_heap("common", 0);
    working = THREADS;
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, make_and_end, (void *)i) == 0);
    while (working != 0)
        look_once();
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    check_sums(1);
    CHECK(slot_named("common") != NULL && slot_named("common")->held == held_by(common));
    for (int i = 0; i < 64; i++)
        free(letters[i]);
    check_sums(1);
    hf_heap_destroy(common);
    check_sums(0);
}

/* The report of a full arena names those that hold most. */
static void fill(int unused)
{
    struct hf_heap *some = new_heap("some", 0), *glutton = new_heap("glutton\n", 0),
                   *less = new_heap("less", 0);
    (void)unused;
    new_heap("empty", 0);
    CHECK(hf_heap_malloc(some, 200000) != NULL && hf_heap_malloc(less, 100000) != NULL);
    while (hf_heap_malloc(glutton, 50000) != NULL)
        continue;
    exit(0); /* its segment goes */
}

static void check_report(void)
{
    char output[4096];
    CHECK(test_in_child(fill, 0, output, sizeof output) == 0);
    const char *first = strstr(output, "heap \"glutton?\" ("), *second = strstr(output, "heap \"some\" ("),
               *third = strstr(output, "heap \"less\" (");
    CHECK(first != NULL && second != NULL && third != NULL && first < second && second < third);
    CHECK(strstr(output, "holds 256 KiB, limit none") != NULL && strstr(output, "\"empty\"") == NULL);
}

/* --- segments that come later than heaps --- */

static void check_child(void)
{
    struct hf_heap *heap = new_heap("before the fork", 9 * STEP);
    char *block = hf_heap_malloc(heap, 2 * STEP);
    pid_t pid = fork();
    CHECK(pid >= 0 && block != NULL);
    if (pid == 0) {
        segment = test_segment();
        const struct hf_inspect_heap *slot = slot_named("before the fork");
        CHECK(slot != NULL && slot->held == held_by(heap) && slot->limit == 9 * STEP &&
              slot->soft_limit == 3 * STEP);
        CHECK(slot->held == 2 * STEP && slot->most == 2 * STEP);
        check_sums(1);
        hf_heap_destroy(heap);
        check_sums(0);
        exit(0); /* its segment goes */
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(slot_named("before the fork")->held == 2 * STEP);
    hf_heap_destroy(heap);
}

/* Of a program that uses heaps alone. */
static void check_growing_by_heaps(void)
{
    char path[128];
    struct hf_heap *heap = new_heap("alone", 0);
    test_segment_path(path, sizeof path);
    for (int i = 0; i < 600 && access(path, F_OK) != 0; i++)
        CHECK(hf_heap_malloc(heap, 50000) != NULL);
    segment = test_segment();
    CHECK(hf_heap_malloc(heap, 50000) != NULL);
    CHECK(slot_named("alone") != NULL && slot_named("alone")->held == held_by(heap));
    check_sums(1);
}

static void check_growing(void)
{
    char path[128];
    struct hf_heap *heap = new_heap("early", 0), *quiet = new_heap("quiet", 0);
    CHECK(hf_heap_malloc(heap, 100) != NULL && hf_heap_malloc(quiet, 40000) != NULL);
    test_segment_path(path, sizeof path);
    CHECK(access(path, F_OK) != 0);
    for (int i = 0; i < 400 && access(path, F_OK) != 0; i++)
        CHECK(malloc(100000) != NULL);
    segment = test_segment();
    CHECK(slot_named("early") == NULL);
    CHECK(sum_up().heaps == 0 && sum_up().held == held_by(heap) + held_by(quiet) && segment->other_last == 2);
    CHECK(hf_heap_malloc(heap, 60000) != NULL);
    const struct hf_inspect_heap *slot = slot_named("early");
    CHECK(slot != NULL && slot->held == held_by(heap) && slot->most == slot->held);
    hf_heap_destroy(heap);
    hf_heap_destroy(quiet);
    CHECK(sum_up().held == 0 && slot_named("early") == NULL);
}

int main(int argc, char **argv)
{
    setenv("HOLDFAST_BACKING", "thp", 0);
    setenv("HOLDFAST_INSPECT", "children", 1);
    char path[128];
    test_segment_path(path, sizeof path);
    if (argc > 1) {
        strcmp(argv[1], "growing") == 0 ? check_growing() : check_growing_by_heaps();
        unlink(path); /* exec leaves it */
        if (strcmp(argv[1], "growing") == 0)
            execl("/proc/self/exe", argv[0], "by heaps", (char *)NULL);
        return 0;
    }
    test_on_arena(argv, "64M");
    hf_heap_destroy(new_heap("first", 0)); /* the arena is there */
    segment = test_segment();
    CHECK(segment->heaps.count >= 64 && segment->heaps.entry_bytes == sizeof(struct hf_inspect_heap));
    check_sums(0);
    check_one();
    check_many();
    check_child();
    check_report();
    check_threads();
#ifdef __SANITIZE_THREAD__
    return 0; /* nothing there has a second thread */
#else
    CHECK(unlink(path) == 0 && setenv("HOLDFAST_ARENA", "auto", 1) == 0);
    execl("/proc/self/exe", argv[0], "growing", (char *)NULL);
    return 1;
#endif
}
