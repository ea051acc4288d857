/*
 * The map of free runs under threads: no bit has two holders, and hints stay true.
 */
#include "runmap.h"

#include <pthread.h>

#define THREADS 4
#define STRESS_BITS (3 * WINDOW + 777)

static struct runmap stress_map;
static _Atomic(uint8_t) stress_owner[STRESS_BITS];
static bool stress_fill;
static size_t stress_steps;
static _Atomic(size_t) stress_errors;

struct held {
    size_t first;
    size_t count;
};

static void stress_mark(size_t first, size_t count, uint8_t from, uint8_t to)
{
    for (size_t i = first; i < first + count; i++)
        if (atomic_exchange_explicit(&stress_owner[i], to, memory_order_relaxed) != from)
            hfi_fetch_add_relaxed(&stress_errors, 1);
}

static void stress_give_back(struct held *held, uint8_t me)
{
    stress_mark(held->first, held->count, me, 0);
    if (!hfi_runmap_release(&stress_map, held->first, held->count))
        hfi_fetch_add_relaxed(&stress_errors, 1);
}

static void *stress_thread(void *argument)
{
    uint8_t me = (uint8_t)(uintptr_t)argument;
    uint64_t state = 77u * me + stress_fill;
    struct held *held = malloc(STRESS_BITS * sizeof(*held));
    size_t holds = 0;
    bool filling = true;
    for (size_t i = 0; i < stress_steps; i++) {
        if (holds == 0)
            filling = true;
        if (stress_fill ? filling : holds == 0 || (random_next(&state) % 2 && holds < 4000)) {
            size_t most = (size_t)1 << random_next(&state) % (stress_fill ? 3 : 11);
            size_t count = random_next(&state) % 2 ? 1 : 1 + random_next(&state) % most;
            if (random_next(&state) % 5000 == 0)
                count = WINDOW + 100;
            size_t align = random_next(&state) % 4 ? 1 : 8;
            bool low = random_next(&state) % 2;
            size_t first = low ? hfi_runmap_claim_low(&stress_map, count, align, 3)
                               : hfi_runmap_claim(&stress_map, count, align, 3);
            if (first == NONE) {
                filling = false;
                continue;
            }
            stress_mark(first, count, 0, me);
            held[holds++] = (struct held){ first, count };
        } else if (holds > 0) {
            size_t victim = random_next(&state) % holds;
            stress_give_back(&held[victim], me);
            held[victim] = held[--holds];
        }
    }
    while (holds > 0)
        stress_give_back(&held[--holds], me);
    free(held);
    return NULL;
}

static void stress(bool fill, size_t steps)
{
    map_open(&stress_map, STRESS_BITS);
    stress_fill = fill;
    stress_steps = steps;
    for (int round = 0; round < 4; round++) {
        if (round == 0)
            cr_assert(hfi_runmap_release(&stress_map, 0, STRESS_BITS));
        pthread_t threads[THREADS];
        for (uintptr_t i = 0; i < THREADS; i++)
            pthread_create(&threads[i], NULL, stress_thread, (void *)(i + 1));
        for (size_t i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        cr_assert_eq(hfi_load_relaxed(&stress_errors), 0);
        cr_assert_eq(hfi_load_relaxed(&stress_map.xset_count), STRESS_BITS);
        assert_audit(&stress_map);
        cr_assert_eq(hfi_runmap_claim(&stress_map, STRESS_BITS, 1, 0), 0);
        cr_assert(hfi_runmap_release(&stress_map, 0, STRESS_BITS));
        for (size_t i = 0; i < STRESS_BITS; i++)
            cr_assert_neq(hfi_runmap_claim(&stress_map, 1, 1, 0), NONE);
        cr_assert_eq(hfi_runmap_claim(&stress_map, 1, 1, 0), NONE);
        assert_audit(&stress_map);
        cr_assert(hfi_runmap_release(&stress_map, 0, STRESS_BITS));
    }
    map_close(&stress_map);
}

#ifndef STRESS_STEPS
#define STRESS_STEPS 300000
#endif

Test(runmap_threads, threads_never_share_a_bit)
{
    stress(false, STRESS_STEPS);
}
Test(runmap_threads, threads_that_fill_the_map)
{
    stress(true, STRESS_STEPS);
}

/* Rounds of two threads on a small map, and an audit after each: short windows between two steps
 * are met by the number of rounds. */
static struct runmap duel_map;
static pthread_barrier_t duel_barrier;
static size_t duel_got;
static _Atomic(size_t) duel_missed;

#ifndef DUEL_ROUNDS
#define DUEL_ROUNDS 40000
#endif

static void *duel_releases(void *unused)
{
    (void)unused;
    for (int round = 0; round < DUEL_ROUNDS; round++) {
        pthread_barrier_wait(&duel_barrier);
        hfi_runmap_release(&duel_map, 40, 400);
        pthread_barrier_wait(&duel_barrier);
        pthread_barrier_wait(&duel_barrier);
    }
    return NULL;
}

/* A release of several words against claims of the words set first: the hint of what stays must be
 * raised. */
Test(runmap_threads, a_release_overtaken_by_claims_leaves_no_low_hint)
{
    map_open(&duel_map, 1024);
    pthread_barrier_init(&duel_barrier, NULL, 2);
    pthread_t thread;
    pthread_create(&thread, NULL, duel_releases, NULL);
    for (int round = 0; round < DUEL_ROUNDS; round++) {
        size_t got[8];
        duel_got = 0;
        pthread_barrier_wait(&duel_barrier);
        for (int spin = 0; spin < round % 64 * 8; spin++)
            hfi_compiler_barrier();
        for (int tries = 0; tries < 8; tries++) {
            size_t first = hfi_runmap_claim(&duel_map, 1, 1, 0);
            if (first != NONE)
                got[duel_got++] = first;
        }
        pthread_barrier_wait(&duel_barrier);
        const char *broken = hfi_runmap_audit(&duel_map);
        cr_assert_null(broken, "%s in round %d", broken, round);
        for (size_t i = 0; i < duel_got; i++)
            hfi_runmap_release(&duel_map, got[i], 1);
        cr_assert(hfi_runmap_claim_at(&duel_map, 40, 400));
        pthread_barrier_wait(&duel_barrier);
    }
    pthread_join(thread, NULL);
    map_close(&duel_map);
}

static void *duel_claims_exact(void *unused)
{
    (void)unused;
    for (int round = 0; round < DUEL_ROUNDS * 4; round++) {
        size_t first = hfi_runmap_claim_exact(&duel_map, 3, 1, 0);
        if (first == NONE)
            hfi_fetch_add_relaxed(&duel_missed, 1);
        else
            hfi_runmap_release(&duel_map, first, 3);
    }
    return NULL;
}

/* At least 900 of 1024 bits stay free: the last word before ENOMEM must not say that there are
 * none. */
Test(runmap_threads, an_exact_claim_finds_what_is_free_beside_others)
{
    map_open(&duel_map, 1024);
    hfi_runmap_release(&duel_map, 0, 1024);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, duel_claims_exact, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_audit(&duel_map);
    cr_assert_eq(hfi_load_relaxed(&duel_missed), 0);
    map_close(&duel_map);
}
