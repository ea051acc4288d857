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
