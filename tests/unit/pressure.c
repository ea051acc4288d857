/*
 * pressure: callbacks that are asked before an allocation fails.
 */
#include "heap.h"

TestSuite(pressure, .init = set_up);

static bool released;

static bool release_one(size_t bytes, unsigned node, void *block)
{
    (void)node;
    if (released || bytes == 0)
        return false;
    hf_free(block);
    return released = true;
}

Test(pressure, a_pressure_callback_is_asked_before_failing)
{
    void *cache = hf_malloc(100 << 20);
    cr_assert_eq(hf_pressure_register(release_one, cache), 0);
    void *first = hf_malloc(100 << 20);
    void *second = hf_malloc(90 << 20);
    cr_assert(first != NULL && second != NULL && released);
    cr_assert_eq(hf_pressure_unregister(release_one, cache), 0);
    cr_assert_neq(hf_pressure_unregister(release_one, cache), 0);
    hf_free(first);
    hf_free(second);
}

enum { RELEASED_BYTES = 160000 };

static void *of_callback;

/* Allocates what is being asked for, and so brings a page of its class. */
static bool release_and_allocate(size_t bytes, unsigned node, void *block)
{
    if (of_callback != NULL || !release_one(bytes, node, block))
        return false;
    return (of_callback = hf_malloc(RELEASED_BYTES)) != NULL;
}

struct pressed {
    void *blocks[5000];
    size_t count;
};

/* Half of the arena is free, but in no run, until the callback is asked. */
static void *press(void *argument)
{
    struct pressed *pressed = argument;
    void *cache = hf_malloc(2 << 20);
    while ((pressed->blocks[pressed->count] = hf_malloc(HFI_PAGE_BYTES)) != NULL)
        pressed->count++;
    for (size_t i = 0; i < pressed->count; i += 2) {
        hf_free(pressed->blocks[i]);
        pressed->blocks[i] = NULL;
    }
    hf_thread_idle();
    cr_assert_eq(hf_pressure_register(release_and_allocate, cache), 0);
    cr_assert_not_null(pressed->blocks[pressed->count++] = hf_malloc(RELEASED_BYTES));
    cr_assert_not_null(pressed->blocks[pressed->count++] = of_callback);
    cr_assert_eq(hf_pressure_unregister(release_and_allocate, cache), 0);
    return argument;
}

Test(pressure, a_pressure_callback_that_allocates_loses_no_page)
{
    static struct pressed pressed;
    size_t before = hfi_arena_free_pages(&hfi_arena.nodes[0]);
    in_a_thread(press, &pressed);
    for (size_t i = 0; i < pressed.count; i++)
        hf_free(pressed.blocks[i]);
    hf_thread_idle();
    cr_assert_geq(hfi_arena_free_pages(&hfi_arena.nodes[0]), before);
    assert_sound();
}

enum { OTHERS = 400 }; /* more than have a theap when the arena is full */

static pthread_barrier_t ended, is_full, may_go_on, is_served;
static pthread_key_t late;
static void *late_block;

/* Holdfast's own hook has run: its key is the older one. */
static void allocate_late(void *unused)
{
    (void)unused;
    pthread_barrier_wait(&ended);
    pthread_barrier_wait(&may_go_on);
    late_block = hf_malloc(100);
    pthread_barrier_wait(&is_served);
}

static void *end_late(void *unused)
{
    hf_free(hf_malloc(100));
    pthread_setspecific(late, &late);
    return unused;
}

static void *take_a_theap(void *unused)
{
    hf_malloc(16);
    pthread_barrier_wait(&is_full);
    pthread_barrier_wait(&is_served);
    return unused;
}

static unsigned count_threads(void)
{
    struct hf_stats stats;
    cr_assert_eq(hf_stats_get(&stats, sizeof stats), 0);
    return (unsigned)stats.threads;
}

Test(pressure, a_thread_at_its_end_keeps_no_theap_of_a_second_attempt)
{
    pthread_t last, others[OTHERS];
    void *cache = hf_malloc(100 << 20);
    cr_assert_eq(hf_pressure_register(release_one, cache), 0);
    released = true;
    pthread_key_create(&late, allocate_late);
    pthread_barrier_init(&ended, NULL, 2);
    pthread_barrier_init(&is_full, NULL, OTHERS + 1);
    pthread_barrier_init(&may_go_on, NULL, 2);
    pthread_barrier_init(&is_served, NULL, OTHERS + 1);
    pthread_create(&last, NULL, end_late, NULL);
    pthread_barrier_wait(&ended);
    for (size_t bytes = 1 << 20; bytes >= 16; bytes /= 2)
        while (hf_malloc(bytes) != NULL)
            ;
    for (int i = 0; i < OTHERS; i++)
        pthread_create(&others[i], NULL, take_a_theap, NULL);
    pthread_barrier_wait(&is_full);
    released = false;
    pthread_barrier_wait(&may_go_on);
    pthread_join(last, NULL);
    for (int i = 0; i < OTHERS; i++)
        pthread_join(others[i], NULL);
    cr_assert(released && late_block != NULL);
    cr_assert_eq(count_threads(), 1);
}
