/*
 * heap: what the tests of the heap share. Each test is a process of its own with the C library's
 * malloc; its arena is made by set_up, and reached by the hf_* names.
 */
#ifndef HEAP_H
#define HEAP_H

#include <criterion/criterion.h>
#include <holdfast/holdfast.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "malloc/init.h"
#include "heap/magazine.h"
#include "heap/theaps.h"
#include "arena/arena.h"

/* An arena of small pages that no other process sees. */
static inline void set_up_arena(const char *size)
{
    setenv("HOLDFAST_ARENA", size, 1);
    setenv("HOLDFAST_BACKING", "4k", 1);
    setenv("HOLDFAST_LOCK", "no", 1);
    setenv("HOLDFAST_INSPECT", "0", 1);
    hf_free(hf_malloc(1));
}

static inline void set_up(void)
{
    set_up_arena("256M");
}

static inline void assert_sound(void)
{
    const char *broken = hfi_theap_audit(hfi_theap);
    cr_assert_null(broken, "%s", broken);
    broken = hfi_magazine_audit(hfi_theap);
    cr_assert_null(broken, "%s", broken);
    for (unsigned i = 0; i < hfi_arena.node_count; i++) {
        broken = hfi_arena_audit(&hfi_arena.nodes[i]);
        cr_assert_null(broken, "%s", broken);
    }
}

static inline struct page *page_of(void *block)
{
    size_t index = hfi_index_of(block);
    if (hfi_load_relaxed(hfi_owner_at(index)) == HFI_OWNER_INTERIOR)
        index -= hfi_page_at(index)->head_delta;
    return hfi_page_at(index);
}

struct hand_over {
    void *blocks[4000];
    size_t count;
};

static inline void *free_all(void *argument)
{
    struct hand_over *hand_over = argument;
    for (size_t i = 0; i < hand_over->count; i++)
        hf_free(hand_over->blocks[i]);
    return NULL;
}

static inline void *allocate_all(void *argument)
{
    struct hand_over *hand_over = argument;
    for (size_t i = 0; i < hand_over->count; i++)
        hand_over->blocks[i] = hf_malloc(1000);
    return NULL;
}

static inline void in_a_thread(void *(*function)(void *), void *argument)
{
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, function, argument), 0);
    pthread_join(thread, NULL);
}

/* The secure build has no magazines. */
static inline bool has_magazines(void)
{
    if (HFI_SECURE)
        cr_skip("the secure build has no magazines");
    return !HFI_SECURE;
}

/* Met by a thread that has done its part, and by the test that lets it end. */
static pthread_barrier_t all_hold;

static inline void *allocate_all_and_wait(void *argument)
{
    allocate_all(argument);
    pthread_barrier_wait(&all_hold);
    pthread_barrier_wait(&all_hold);
    return argument;
}

/* Blocks of a thread that lives until let_end. */
static inline pthread_t allocated_by_another(struct hand_over *hand_over)
{
    pthread_t thread;
    pthread_barrier_init(&all_hold, NULL, 2);
    cr_assert_eq(pthread_create(&thread, NULL, allocate_all_and_wait, hand_over), 0);
    pthread_barrier_wait(&all_hold);
    return thread;
}

static inline void let_end(pthread_t thread)
{
    pthread_barrier_wait(&all_hold);
    pthread_join(thread, NULL);
}

#endif
