/*
 * The set of idle pages against a plain array, its summary levels, and both under threads.
 */
#include <criterion/criterion.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "arena/idleset.h"
#include "base/atomic.h"

#define NONE HFI_IDLESET_NONE
#define HUGE_CAPACITY ((size_t)8388608) /* pages of 500 GiB */

static void set_open(struct idleset *set, size_t capacity)
{
    void *memory = calloc(1, hfi_idleset_bytes(capacity));
    cr_assert_not_null(memory);
    hfi_idleset_init(set, capacity, memory);
}

static void set_close(struct idleset *set)
{
    free(set->xlevels[0]); /* the first part of its memory */
}

static void assert_audit(const struct idleset *set)
{
    const char *broken = hfi_idleset_audit(set);
    cr_assert_null(broken, "%s", broken);
}

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state * 0x2545F4914F6CDD1DULL >> 16;
}

static void against_model(size_t capacity, size_t steps, uint64_t state)
{
    struct idleset set;
    set_open(&set, capacity);
    bool *in = calloc(capacity, 1);
    for (size_t i = 0; i < steps; i++) {
        size_t member = random_next(&state) % capacity;
        uint64_t die = random_next(&state) % 100;
        if (die < (i / 300 % 2 ? 20 : 60)) {
            cr_assert_eq(hfi_idleset_add(&set, member), !in[member], "add %zu", member);
            in[member] = true;
        } else if (die < 75) {
            cr_assert_eq(hfi_idleset_remove(&set, member), in[member], "remove %zu", member);
            in[member] = false;
        } else {
            const bool *lowest = memchr(in, 1, capacity);
            size_t taken = hfi_idleset_take(&set);
            cr_assert_eq(taken, lowest == NULL ? NONE : (size_t)(lowest - in), "took %zd", (ssize_t)taken);
            if (taken != NONE)
                in[taken] = false;
        }
        if (i % 256 == 0)
            assert_audit(&set);
    }
    for (size_t member = 0; member < capacity; member++) {
        if (in[member])
            cr_assert_eq(hfi_idleset_take(&set), member);
    }
    cr_assert_eq(hfi_idleset_take(&set), NONE);
    assert_audit(&set);
    free(in);
    set_close(&set);
}

Test(idleset, model_of_1)
{
    against_model(1, 5000, 1);
}
Test(idleset, model_of_64)
{
    against_model(64, 100000, 2);
}
Test(idleset, model_of_65)
{
    against_model(65, 100000, 3);
}
Test(idleset, model_of_5000)
{
    against_model(5000, 200000, 4);
}
Test(idleset, model_of_300000)
{
    against_model(300000, 100000, 5);
}

Test(idleset, one_member_anywhere_in_a_huge_set)
{
    struct idleset set;
    set_open(&set, HUGE_CAPACITY);
    for (size_t member = 0; member < HUGE_CAPACITY; member = member * 5 / 4 + 1) {
        cr_assert(hfi_idleset_add(&set, member));
        cr_assert_not(hfi_idleset_add(&set, member));
        cr_assert_eq(hfi_idleset_take(&set), member);
        cr_assert_not(hfi_idleset_remove(&set, member));
        cr_assert_eq(hfi_idleset_take(&set), NONE);
    }
    cr_assert(hfi_idleset_add(&set, HUGE_CAPACITY - 1));
    cr_assert(hfi_idleset_remove(&set, HUGE_CAPACITY - 1));
    for (unsigned level = 1; level < HFI_IDLESET_LEVELS; level++)
        for (size_t bit = 0; bit < HUGE_CAPACITY >> 6 * level; bit += 64)
            cr_assert_eq(hfi_load_relaxed(&set.xlevels[level][bit / 64]), 0, "level %u keeps a bit", level);
    set_close(&set);
}

/* An add that is overtaken by a removal leaves this: take must pass over it and clear it. */
Test(idleset, a_bit_left_over_an_empty_word_is_passed_and_cleared)
{
    struct idleset set;
    set_open(&set, HUGE_CAPACITY);
    atomic_fetch_or(&set.xlevels[3][0], 1u);
    atomic_fetch_or(&set.xlevels[2][0], 1u << 1);
    atomic_fetch_or(&set.xlevels[1][1], 1u << 5);
    cr_assert(hfi_idleset_add(&set, HUGE_CAPACITY - 7));
    cr_assert_eq(hfi_idleset_take(&set), HUGE_CAPACITY - 7);
    cr_assert_eq(hfi_load_relaxed(&set.xlevels[1][1]), 0);
    cr_assert_eq(hfi_load_relaxed(&set.xlevels[2][0]), 0);
    cr_assert_eq(hfi_load_relaxed(&set.xlevels[3][0]), 0);
    assert_audit(&set);
    set_close(&set);
}

Test(idleset, the_audit_sees_a_clear_bit_over_a_member)
{
    struct idleset set;
    set_open(&set, 5000);
    cr_assert(hfi_idleset_add(&set, 4999));
    hfi_store_relaxed(&set.xlevels[2][0], 0);
    cr_assert_not_null(hfi_idleset_audit(&set));
    set_close(&set);
}

/* ---- threads: members are tokens, each in the set or with exactly one thread ---- */

#define THREADS 4
#define TOKENS_CAPACITY ((size_t)20000)
#define TOKENS 600
#ifndef STRESS_STEPS
#define STRESS_STEPS 300000
#endif

static struct idleset stress_set;
static _Atomic(uint8_t) stress_holder[TOKENS_CAPACITY];
static _Atomic(size_t) stress_errors;

static void *stress_thread(void *argument)
{
    uint8_t me = (uint8_t)(uintptr_t)argument;
    uint64_t state = 99u * me;
    static _Thread_local size_t held[TOKENS];
    size_t holds = 0;
    for (size_t i = 0; i < STRESS_STEPS; i++) {
        if (holds < TOKENS && random_next(&state) % 2) {
            size_t member = hfi_idleset_take(&stress_set);
            if (member == NONE)
                continue;
            if (atomic_exchange(&stress_holder[member], me) != 0)
                hfi_fetch_add_relaxed(&stress_errors, 1);
            held[holds++] = member;
        } else if (holds > 0) {
            size_t member = held[--holds];
            atomic_store(&stress_holder[member], 0);
            if (!hfi_idleset_add(&stress_set, member))
                hfi_fetch_add_relaxed(&stress_errors, 1);
        }
        size_t any = random_next(&state) % TOKENS_CAPACITY;
        if (holds < TOKENS && i % 4 == 0 && hfi_idleset_remove(&stress_set, any)) {
            if (atomic_exchange(&stress_holder[any], me) != 0)
                hfi_fetch_add_relaxed(&stress_errors, 1);
            held[holds++] = any;
        }
    }
    while (holds > 0) {
        atomic_store(&stress_holder[held[--holds]], 0);
        if (!hfi_idleset_add(&stress_set, held[holds]))
            hfi_fetch_add_relaxed(&stress_errors, 1);
    }
    return NULL;
}

Test(idleset, threads_lose_no_member_and_share_none)
{
    set_open(&stress_set, TOKENS_CAPACITY);
    for (size_t i = 0; i < TOKENS; i++)
        cr_assert(hfi_idleset_add(&stress_set, i * (TOKENS_CAPACITY / TOKENS)));
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, stress_thread, (void *)(i + 1));
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(hfi_load_relaxed(&stress_errors), 0);
    assert_audit(&stress_set);
    size_t left = 0;
    while (hfi_idleset_take(&stress_set) != NONE)
        left++;
    cr_assert_eq(left, TOKENS, "%zu of %d members left", left, TOKENS);
    set_close(&stress_set);
}

/* Rounds of two threads in one word: the last member of a word leaves while another one comes. */
#ifndef DUEL_ROUNDS
#define DUEL_ROUNDS 30000
#endif

static pthread_barrier_t duel_barrier;

static void *duel_adds(void *unused)
{
    (void)unused;
    for (size_t round = 0; round < DUEL_ROUNDS; round++) {
        pthread_barrier_wait(&duel_barrier);
        hfi_idleset_add(&stress_set, 6400 + 1);
        pthread_barrier_wait(&duel_barrier);
        pthread_barrier_wait(&duel_barrier);
    }
    return NULL;
}

Test(idleset, a_member_that_comes_while_the_last_one_leaves_is_found)
{
    set_open(&stress_set, TOKENS_CAPACITY);
    pthread_barrier_init(&duel_barrier, NULL, 2);
    pthread_t thread;
    pthread_create(&thread, NULL, duel_adds, NULL);
    for (size_t round = 0; round < DUEL_ROUNDS; round++) {
        cr_assert(hfi_idleset_add(&stress_set, 6400));
        pthread_barrier_wait(&duel_barrier);
        for (size_t spin = 0; spin < round % 64; spin++)
            hfi_compiler_barrier();
        cr_assert(hfi_idleset_remove(&stress_set, 6400));
        pthread_barrier_wait(&duel_barrier);
        assert_audit(&stress_set);
        cr_assert_eq(hfi_idleset_take(&stress_set), 6401, "round %zu", round);
        pthread_barrier_wait(&duel_barrier);
    }
    pthread_join(thread, NULL);
    set_close(&stress_set);
}
