/*
 * freeze: after hf_freeze what pages in use have room for is had in silence; fresh pages are counted,
 * shown, and told of once, or end the program, as the flag or the variable says.
 */
#include <holdfast/heap.h>
#include <holdfast/holdfast.h>
#include <signal.h>

#include "segment.h"

#define BLOCKS 3000

static void *blocks[BLOCKS];

static void cycle(size_t bytes, int count)
{
    for (int i = 0; i < count; i++)
        CHECK((blocks[i] = malloc(bytes)) != NULL);
    for (int i = 0; i < count; i++)
        free(blocks[i]);
}

static const struct hf_inspect_event *last_event(void)
{
    static const struct hf_inspect_segment *segment;
    segment = segment != NULL ? segment : test_segment();
    const struct hf_inspect_event *events = test_table(segment, segment->events);
    return &events[(segment->event_count - 1) % segment->events.count];
}

static void tell(int unused)
{
    struct hf_heap_options options = { .size_bytes = sizeof options, .flags = HF_HEAP_REGION };
    (void)unused;
    struct hf_heap *heap = hf_heap_create(&options);
    char *kept = malloc(100), *above = malloc(2000000), *large = malloc(400000);
    free(above);
    cycle(100, 10);
    hf_freeze(0);
    cycle(100, 10);
    CHECK(kept != NULL && hf_frozen_pages() == 0 && last_event()->kind != HF_EVENT_FROZEN);
    for (int i = 0; i < 100; i++)
        CHECK(hf_heap_malloc(heap, 30000) != NULL);
    CHECK(hf_frozen_pages() == 0);
    cycle(100, BLOCKS);
    uint64_t pages = hf_frozen_pages();
    CHECK(pages >= BLOCKS * 100 / 65536 - 1 && pages <= BLOCKS * 128 / 65536 + 8);
    CHECK(last_event()->kind == HF_EVENT_FROZEN && last_event()->a == 100 && last_event()->b <= pages);
    free(malloc(300000));
    CHECK(hf_frozen_pages() >= pages + 5);
    pages = hf_frozen_pages();
    CHECK((above = realloc(large, 1000000)) == large); /* of what was above it */
    CHECK(hf_frozen_pages() == pages + 9);
    pages = hf_frozen_pages();
    hf_freeze(HF_FREEZE_OFF);
    free(malloc(300000));
    CHECK(hf_frozen_pages() == pages);
    hf_freeze(0);
    free(malloc(300000));
    CHECK(hf_frozen_pages() > pages);
}

static void abort_by_flag(int unused)
{
    (void)unused;
    free(malloc(300000));
    hf_freeze(HF_FREEZE_ABORT);
    free(malloc(100));
    fputs("still here\n", stderr);
    free(malloc(300000));
    fputs("not here\n", stderr);
}

/* As HOLDFAST_FREEZE says. */
static void again(int unused)
{
    (void)unused;
    setenv("HOLDFAST_FREEZE", "abort", 1);
    execl("/proc/self/exe", "freeze", "again", NULL);
}

static int frozen_again(void)
{
    free(malloc(300000));
    hf_freeze(0);
    free(malloc(300000));
    return 0;
}

static void expect(void (*child)(int), bool aborts, const char *said, const char *unsaid)
{
    char output[4096];
    int status = test_in_child(child, 0, output, sizeof output);
    const char *at = strstr(output, said);
    bool right = aborts ? WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT : status == 0;
    if (!right || at == NULL || strstr(at + 1, said) != NULL || strstr(output, unsaid) != NULL)
        fputs(output, stderr);
    CHECK(right && at != NULL && strstr(at + 1, said) == NULL && strstr(output, unsaid) == NULL);
}

int main(int argc, char **argv)
{
    setenv("HOLDFAST_INSPECT", "children", 1);
    setenv("HOLDFAST_BACKING", "thp", 0); /* on a pool that is short a child that forks may be killed */
    test_on_arena(argv, "64M");
    if (argc > 1)
        return frozen_again();
    free(malloc(300000));
    CHECK(hf_frozen_pages() == 0);
    expect(tell, false, "warning HF-W043 freeze: ", "HF-E332");
    expect(abort_by_flag, true, "error HF-E332 freeze: ", "not here");
    expect(again, true, "error HF-E332 freeze: ", "HF-W043");
    return 0;
}
