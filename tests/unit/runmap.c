/*
 * runmap: against a naive model bit by bit; bounds at 500 GiB; four threads; full maps.
 */
#include "runmap.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static struct runmap *map_new(size_t bits)
{
    struct runmap *map = malloc(sizeof *map);
    size_t bytes = hfi_align_up(hfi_runmap_bytes(bits), 64);
    void *memory = aligned_alloc(64, bytes);
    memset(memory, 0, bytes);
    hfi_runmap_init(map, bits, memory);
    return map;
}

static void map_free(struct runmap *map)
{
    free(map->windows);
    free(map);
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

static size_t model_longest_fit(const bool *model, size_t bits, size_t count)
{
    size_t run = 0;
    for (size_t i = 0; i < bits; i++) {
        if (count <= HFI_RUNMAP_WINDOW_BITS && i % HFI_RUNMAP_WINDOW_BITS == 0)
            run = 0;
        run = model[i] ? run + 1 : 0;
        if (run >= count)
            return i + 1 - count;
    }
    return HFI_RUNMAP_NONE;
}

/* Random claims and releases; the map finds a run exactly when the model has one. */
static void against_model(size_t bits, int steps, size_t most)
{
    struct runmap *map = map_new(bits);
    bool *model = calloc(bits, sizeof *model);
    struct { size_t first, count; } held[4096];
    size_t held_count = 0;
    uint64_t random = bits * 2 + 1;
    cr_assert(hfi_runmap_release(map, 0, bits));
    memset(model, true, bits);
    for (int step = 0; step < steps; step++) {
        if (held_count < 4096 && next_random(&random) % 5 < 3) {
            size_t count = next_random(&random) % 3 == 0 ? 1 : next_random(&random) % most + 1;
            size_t align = count > 1 && next_random(&random) % 8 == 0 ? 16 : 1;
            size_t first = hfi_runmap_claim(map, count, align, 0);
            if (align == 1)
                cr_assert_eq(first == HFI_RUNMAP_NONE, model_longest_fit(model, bits, count) == HFI_RUNMAP_NONE,
                             "claim of %zu of %zu bits", count, bits);
            if (first == HFI_RUNMAP_NONE)
                continue;
            cr_assert_eq(first % align, 0);
            cr_assert(count > HFI_RUNMAP_WINDOW_BITS ||
                      first / HFI_RUNMAP_WINDOW_BITS == (first + count - 1) / HFI_RUNMAP_WINDOW_BITS);
            for (size_t i = first; i < first + count; i++) {
                cr_assert(model[i], "bit %zu was handed out twice", i);
                model[i] = false;
            }
            held[held_count].first = first;
            held[held_count++].count = count;
        } else if (held_count > 0) {
            size_t pick = next_random(&random) % held_count;
            cr_assert(hfi_runmap_release(map, held[pick].first, held[pick].count));
            memset(model + held[pick].first, true, held[pick].count);
            held[pick] = held[--held_count];
        }
        if (step % 512 == 0)
            cr_assert_null(hfi_runmap_audit(map), "%s", hfi_runmap_audit(map));
    }
    for (size_t i = 0; i < bits; i++)
        cr_assert_eq(hfi_load_relaxed(&map->xwords[i / 64]) >> (i % 64) & 1, model[i]);
    map_free(map);
    free(model);
}

Test(runmap, agrees_with_a_model)
{
    static const size_t sizes[] = { 1, 63, 64, 65, 511, 512, 513, 1000, 8192, 16384, 16385, 40000 };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        against_model(sizes[i], 4000, hfi_min(sizes[i], 300));
    against_model(40000, 4000, 20000); /* runs over a window too */
}

Test(runmap, single_pages_come_from_below_and_runs_from_above)
{
    struct runmap *map = map_new(10000);
    hfi_runmap_release(map, 0, 10000);
    cr_assert_eq(hfi_runmap_claim_one(map), 0);
    cr_assert_eq(hfi_runmap_claim(map, 10, 1, 0), 9990);
    cr_assert_eq(hfi_runmap_claim_one(map), 1);
    hfi_runmap_release(map, 0, 1);
    cr_assert_eq(hfi_runmap_claim_one(map), 0);
    map_free(map);
}

Test(runmap, runs_take_the_tightest_place_of_a_window)
{
    struct runmap *map = map_new(16384);
    hfi_runmap_release(map, 100, 50);
    hfi_runmap_release(map, 1000, 11);
    hfi_runmap_release(map, 9000, 500);
    cr_assert_eq(hfi_runmap_claim(map, 10, 1, 0), 1001);
    cr_assert_eq(hfi_runmap_claim(map, 10, 1, 0), 140);
    map_free(map);
}

Test(runmap, tells_a_double_release)
{
    struct runmap *map = map_new(200);
    cr_assert(hfi_runmap_release(map, 10, 100));
    cr_assert_not(hfi_runmap_release(map, 109, 1));
    map_free(map);
}

Test(runmap, claims_at_a_place_all_or_nothing)
{
    struct runmap *map = map_new(1000);
    hfi_runmap_release(map, 100, 200);
    cr_assert_not(hfi_runmap_claim_at(map, 250, 100));
    cr_assert_eq(hfi_load_relaxed(&map->xset_count), 200);
    cr_assert(hfi_runmap_claim_at(map, 250, 50));
    cr_assert_not(hfi_runmap_claim_at(map, 990, 20));
    cr_assert_null(hfi_runmap_audit(map));
    map_free(map);
}

Test(runmap, works_at_500_GiB)
{
    const size_t bits = (size_t)8 << 20; /* 8,388,608 pages of 64 KiB */
    struct runmap *map = map_new(bits);
    hfi_runmap_release(map, 0, bits);
    /* a block of 90 % of the map, then the rest page by page */
    size_t most = bits / 10 * 9;
    size_t first = hfi_runmap_claim(map, most, 1, 0);
    cr_assert_neq(first, HFI_RUNMAP_NONE);
    for (size_t i = most; i < bits; i++)
        cr_assert_neq(hfi_runmap_claim_one(map), HFI_RUNMAP_NONE);
    cr_assert_eq(hfi_runmap_claim_one(map), HFI_RUNMAP_NONE);
    cr_assert_eq(hfi_runmap_claim(map, 2, 1, 0), HFI_RUNMAP_NONE);
    hfi_runmap_release(map, first, most);
    cr_assert_null(hfi_runmap_audit(map));
    /* every second page taken: singles are found, pairs are not */
    struct runmap *comb = map_new(bits);
    for (size_t i = 0; i < bits; i += 2)
        hfi_runmap_release(comb, i, 1);
    cr_assert_eq(hfi_runmap_claim(comb, 2, 1, 0), HFI_RUNMAP_NONE);
    cr_assert_eq(hfi_runmap_claim_exact(comb, 2, 1, 0), HFI_RUNMAP_NONE);
    hfi_runmap_release(comb, bits - 1, 1);
    cr_assert_eq(hfi_runmap_claim(comb, 2, 1, 0), bits - 2);
    cr_assert_null(hfi_runmap_audit(comb));
    map_free(map);
    map_free(comb);
}

#define STRESS_BITS 20000
#define STRESS_THREADS 4

struct stress {
    struct runmap *map;
    _Atomic(int) *owners;
    uint64_t seed;
};

static void take(struct stress *stress, size_t first, size_t count)
{
    for (size_t i = first; i < first + count; i++)
        if (atomic_exchange(&stress->owners[i], 1) != 0)
            abort();
}

static void give(struct stress *stress, size_t first, size_t count)
{
    for (size_t i = first; i < first + count; i++)
        atomic_store(&stress->owners[i], 0);
    if (!hfi_runmap_release(stress->map, first, count))
        abort();
}

static void *stress_thread(void *argument)
{
    struct stress *stress = argument;
    struct { size_t first, count; } held[256];
    size_t held_count = 0;
    for (int step = 0; step < 60000; step++) {
        bool fill = step / 3000 % 2 == 0;
        if (held_count < 256 && (fill || next_random(&stress->seed) % 4 == 0)) {
            size_t count = next_random(&stress->seed) % 2 ? 1 : next_random(&stress->seed) % 90 + 1;
            size_t first = hfi_runmap_claim(stress->map, count, 1, 0);
            if (first == HFI_RUNMAP_NONE)
                continue;
            take(stress, first, count);
            held[held_count].first = first;
            held[held_count++].count = count;
        } else if (held_count > 0) {
            size_t pick = next_random(&stress->seed) % held_count;
            give(stress, held[pick].first, held[pick].count);
            held[pick] = held[--held_count];
        }
    }
    while (held_count-- > 0)
        give(stress, held[held_count].first, held[held_count].count);
    return NULL;
}

Test(runmap, threads_share_it)
{
    struct stress stresses[STRESS_THREADS];
    pthread_t threads[STRESS_THREADS];
    struct runmap *map = map_new(STRESS_BITS);
    _Atomic(int) *owners = calloc(STRESS_BITS, sizeof *owners);
    hfi_runmap_release(map, 0, STRESS_BITS);
    for (int i = 0; i < STRESS_THREADS; i++) {
        stresses[i] = (struct stress){ map, owners, (uint64_t)i + 1 };
        pthread_create(&threads[i], NULL, stress_thread, &stresses[i]);
    }
    for (int i = 0; i < STRESS_THREADS; i++)
        pthread_join(threads[i], NULL);
    cr_assert_null(hfi_runmap_audit(map), "%s", hfi_runmap_audit(map));
    cr_assert_neq(hfi_runmap_claim(map, STRESS_BITS, 1, 0), HFI_RUNMAP_NONE);
    map_free(map);
    free(owners);
}
