/*
 * The map of free runs against a bit-by-bit model, and its bounds.
 */
#include "runmap.h"

#define HUGE_BITS ((size_t)8388608)

static bool bit_at(const struct runmap *map, size_t bit)
{
    return hfi_load_relaxed(&map->xwords[bit / 64]) >> bit % 64 & 1;
}

/* ---- the model ---- */

struct model {
    size_t bits;
    bool *set;
};

static bool model_fits(const struct model *model, size_t first, size_t count, size_t align, size_t origin)
{
    if (first + count > model->bits || (first + origin) % align != 0)
        return false;
    if (count <= WINDOW && first / WINDOW != (first + count - 1) / WINDOW)
        return false;
    return memchr(model->set + first, 0, count) == NULL;
}

static size_t model_first_fit(const struct model *model, size_t count, size_t align, size_t origin)
{
    for (size_t first = 0; first + count <= model->bits; first++) {
        const bool *clear = memchr(model->set + first, 0, count);
        if (clear != NULL) {
            first = (size_t)(clear - model->set);
            continue;
        }
        if (model_fits(model, first, count, align, origin))
            return first;
    }
    return NONE;
}

static size_t model_longest(const struct model *model)
{
    size_t longest = 0;
    size_t here = 0;
    for (size_t i = 0; i < model->bits; i++) {
        here = model->set[i] ? here + 1 : 0;
        longest = here > longest ? here : longest;
    }
    return longest;
}

static void assert_same(const struct runmap *map, const struct model *model)
{
    size_t set = 0;
    for (size_t i = 0; i < model->bits; i++) {
        cr_assert(bit_at(map, i) == model->set[i], "bit %zu of %zu", i, model->bits);
        set += model->set[i];
    }
    cr_assert_eq(hfi_load_relaxed(&map->xset_count), set);
    cr_assert_eq(hfi_runmap_longest(map), model_longest(model));
    assert_audit(map);
}

static size_t random_count(uint64_t *state, size_t bits)
{
    size_t most = (size_t)1 << random_next(state) % 16;
    size_t count = 1 + random_next(state) % most;
    return count < bits ? count : bits;
}

static void step_release(struct runmap *map, struct model *model, uint64_t *state)
{
    size_t first = random_next(state) % model->bits;
    size_t count = random_count(state, model->bits - first);
    bool once = memchr(model->set + first, 1, count) == NULL;
    cr_assert_eq(hfi_runmap_release(map, first, count), once);
    memset(model->set + first, 1, count);
}

static void step_claim(struct runmap *map, struct model *model, uint64_t *state)
{
    size_t count = random_next(state) % 3 == 0 ? 1 : random_count(state, model->bits);
    size_t align = random_next(state) % 2 ? 1 : (size_t)1 << random_next(state) % 12;
    size_t origin = random_next(state) % 5000;
    uint64_t how = random_next(state) % 8;
    size_t expected = model_first_fit(model, count, align, origin);
    size_t first = how == 0 ? hfi_runmap_claim_exact(map, count, align, origin)
                 : how < 4  ? hfi_runmap_claim_low(map, count, align, origin)
                            : hfi_runmap_claim(map, count, align, origin);
    cr_assert_eq(first == NONE, expected == NONE, "count %zu align %zu origin %zu", count, align, origin);
    if (first == NONE)
        return;
    cr_assert(model_fits(model, first, count, align, origin), "count %zu at %zu", count, first);
    memset(model->set + first, 0, count);
}

static void step_claim_at(struct runmap *map, struct model *model, uint64_t *state)
{
    size_t first = random_next(state) % model->bits;
    size_t count = random_count(state, model->bits - first);
    bool all = memchr(model->set + first, 0, count) == NULL;
    cr_assert_eq(hfi_runmap_claim_at(map, first, count), all);
    if (all)
        memset(model->set + first, 0, count);
}

static void against_model(size_t bits, size_t steps, uint64_t state)
{
    struct runmap map;
    map_open(&map, bits);
    struct model model = { bits, calloc(bits, 1) };
    for (size_t i = 0; i < steps; i++) {
        /* the share of releases swings, so that the map is sparse and full by turns */
        uint64_t die = random_next(&state) % 100;
        if (die < (i / 500 % 2 ? 15 : 55))
            step_release(&map, &model, &state);
        else if (die < 92)
            step_claim(&map, &model, &state);
        else
            step_claim_at(&map, &model, &state);
        if (bits <= 65 || i % 512 == 0)
            assert_same(&map, &model);
    }
    assert_same(&map, &model);
    free(model.set);
    map_close(&map);
}

Test(runmap, model_of_1)
{
    against_model(1, 20000, 1);
}
Test(runmap, model_of_63)
{
    against_model(63, 60000, 2);
}
Test(runmap, model_of_64)
{
    against_model(64, 60000, 3);
}
Test(runmap, model_of_65)
{
    against_model(65, 60000, 4);
}
Test(runmap, model_of_1000)
{
    against_model(1000, 300000, 5);
}
Test(runmap, model_of_a_window)
{
    against_model(WINDOW, 150000, 6);
}
Test(runmap, model_of_40000)
{
    against_model(40000, 100000, 7);
}

/* ---- single properties ---- */

Test(runmap, runs_stay_in_their_window)
{
    struct runmap map;
    map_open(&map, 3 * WINDOW);
    cr_assert(hfi_runmap_release(&map, WINDOW - 10, 20));
    cr_assert_eq(hfi_runmap_claim(&map, 11, 1, 0), NONE);
    cr_assert_eq(hfi_runmap_claim_exact(&map, 11, 1, 0), NONE);
    cr_assert_eq(hfi_runmap_longest(&map), 20);
    size_t a = hfi_runmap_claim(&map, 10, 1, 0);
    size_t b = hfi_runmap_claim(&map, 10, 1, 0);
    cr_assert((a == WINDOW - 10 && b == WINDOW) || (b == WINDOW - 10 && a == WINDOW));
    assert_audit(&map);
    map_close(&map);
}

Test(runmap, runs_longer_than_a_window_start_anywhere)
{
    struct runmap map;
    map_open(&map, 5 * WINDOW + 100);
    size_t count = 2 * WINDOW + 50;
    cr_assert(hfi_runmap_release(&map, WINDOW - 37, count));
    cr_assert_eq(hfi_runmap_claim(&map, count + 1, 1, 0), NONE);
    cr_assert_eq(hfi_runmap_claim(&map, count, 2, 0), NONE);
    cr_assert_eq(hfi_runmap_claim(&map, count, 2, 1), WINDOW - 37);
    assert_audit(&map);
    cr_assert(hfi_runmap_release(&map, 0, map.bit_count));
    cr_assert_eq(hfi_runmap_claim(&map, map.bit_count, 1, 0), 0);
    cr_assert_eq(hfi_load_relaxed(&map.xset_count), 0);
    assert_audit(&map);
    map_close(&map);
}

Test(runmap, count_and_hints_of_another_moment_are_mended)
{
    struct runmap map;
    map_open(&map, 40000);
    hfi_runmap_release(&map, 0, 40000);
    for (size_t bit = 0; bit < 40000; bit += 7)
        cr_assert(hfi_runmap_claim_at(&map, bit, 1));
    atomic_store(&map.xset_count, 3);
    memset(map.windows, 0, map.window_count * sizeof *map.windows);
    memset(map.xwindow_hints, 0, map.window_count * sizeof *map.xwindow_hints);
    cr_assert_not_null(hfi_runmap_audit(&map));
    cr_assert_eq(hfi_runmap_claim(&map, 6, 1, 0), NONE);
    hfi_runmap_mend(&map);
    cr_assert_null(hfi_runmap_audit(&map));
    cr_assert_neq(hfi_runmap_claim(&map, 6, 1, 0), NONE);
    map_close(&map);
}

Test(runmap, a_double_release_is_told_and_counted_once)
{
    struct runmap map;
    map_open(&map, 1000);
    cr_assert(hfi_runmap_release(&map, 100, 200));
    cr_assert_not(hfi_runmap_release(&map, 299, 1));
    cr_assert_not(hfi_runmap_release(&map, 250, 100));
    cr_assert_eq(hfi_load_relaxed(&map.xset_count), 250);
    assert_audit(&map);
    map_close(&map);
}

Test(runmap, a_refused_claim_at_changes_nothing)
{
    struct runmap map;
    map_open(&map, 2000);
    cr_assert(hfi_runmap_release(&map, 0, 1500));
    cr_assert_not(hfi_runmap_claim_at(&map, 1000, 501));
    cr_assert_not(hfi_runmap_claim_at(&map, 1999, 2));
    cr_assert_eq(hfi_load_relaxed(&map.xset_count), 1500);
    cr_assert_eq(hfi_runmap_longest(&map), 1500);
    assert_audit(&map);
    cr_assert(hfi_runmap_claim_at(&map, 1000, 500));
    cr_assert_eq(hfi_runmap_longest(&map), 1000);
    assert_audit(&map);
    map_close(&map);
}

Test(runmap, single_pages_come_from_below_and_runs_from_above)
{
    struct runmap it, *map = &it;
    map_open(map, 10000);
    hfi_runmap_release(map, 0, 10000);
    cr_assert_eq(hfi_runmap_claim_one(map), 0);
    cr_assert_eq(hfi_runmap_claim(map, 10, 1, 0), 9990);
    cr_assert_eq(hfi_runmap_claim_one(map), 1);
    hfi_runmap_release(map, 0, 1);
    cr_assert_eq(hfi_runmap_claim_one(map), 0);
    map_close(map);
}

Test(runmap, runs_take_the_tightest_place_of_a_window)
{
    struct runmap it, *map = &it;
    map_open(map, 16384);
    hfi_runmap_release(map, 100, 50);
    hfi_runmap_release(map, 1000, 11);
    hfi_runmap_release(map, 9000, 500);
    cr_assert_eq(hfi_runmap_claim(map, 10, 1, 0), 1001);
    cr_assert_eq(hfi_runmap_claim(map, 10, 1, 0), 140);
    map_close(map);
}

Test(runmap, short_runs_take_the_tightest_place_of_the_lowest_window_from_below)
{
    struct runmap it, *map = &it;
    map_open(map, 3 * WINDOW);
    hfi_runmap_release(map, WINDOW + 100, 50);
    hfi_runmap_release(map, WINDOW + 1000, 11);
    hfi_runmap_release(map, WINDOW + 5000, 11);
    hfi_runmap_release(map, 2 * WINDOW, 10);
    cr_assert_eq(hfi_runmap_claim_low(map, 10, 1, 0), WINDOW + 1000);
    cr_assert_eq(hfi_runmap_claim_low(map, 10, 1, 0), WINDOW + 5000);
    cr_assert_eq(hfi_runmap_claim_low(map, 10, 4, 3), WINDOW + 101);
    cr_assert_eq(hfi_runmap_claim_low(map, 10, 1, 0), WINDOW + 111);
    cr_assert_eq(hfi_runmap_claim_low(map, 30, 1, 0), NONE);
    cr_assert_eq(hfi_runmap_claim_low(map, 1, 1, 0), WINDOW + 100);
    cr_assert_eq(hfi_runmap_claim(map, 10, 1, 0), 2 * WINDOW);
    cr_assert_eq(hfi_runmap_claim(map, 10, 1, 0), WINDOW + 140);
    assert_audit(map);
    map_close(map);
}

Test(runmap, runs_take_the_tightest_place_of_several_windows)
{
    struct runmap it, *map = &it;
    map_open(map, 10 * WINDOW);
    hfi_runmap_release(map, WINDOW, WINDOW);
    hfi_runmap_release(map, 2 * WINDOW + 300, 12);
    for (size_t window = 3; window < 10; window++)
        hfi_runmap_release(map, window * WINDOW + 300, 100);
    hfi_runmap_release(map, 300, 11); /* beyond what one search compares */
    cr_assert_eq(hfi_runmap_claim(map, 10, 1, 0), 2 * WINDOW + 302);
    cr_assert_eq(hfi_runmap_claim(map, 10, 1, 0), 9 * WINDOW + 390);
    cr_assert_eq(hfi_runmap_claim(map, 10, 1, 0), 9 * WINDOW + 380);
    cr_assert_eq(hfi_runmap_claim_low(map, 10, 1, 0), 300);
    cr_assert_eq(hfi_runmap_claim_low(map, 10, 1, 0), WINDOW);
    assert_audit(map);
    map_close(map);
}

Test(runmap, of_runs_of_equal_length_the_nearest_end_counts)
{
    struct runmap it, *map = &it;
    map_open(map, 2 * WINDOW);
    for (size_t at = 100; at < 2 * WINDOW; at += 700)
        hfi_runmap_release(map, at, 12);
    size_t last = 100 + (2 * WINDOW - 100 - 1) / 700 * 700;
    cr_assert_eq(hfi_runmap_claim(map, 10, 1, 0), last + 2);
    cr_assert_eq(hfi_runmap_claim(map, 10, 1, 0), last - 700 + 2);
    cr_assert_eq(hfi_runmap_claim_low(map, 10, 1, 0), 100);
    cr_assert_eq(hfi_runmap_claim_low(map, 10, 1, 0), 800);
    map_close(map);
}

Test(runmap, a_run_is_no_tighter_for_the_end_of_its_window)
{
    struct runmap it, *map = &it;
    map_open(map, 3 * WINDOW);
    hfi_runmap_release(map, WINDOW - 11, 2 * WINDOW);
    hfi_runmap_release(map, 100, 50);
    cr_assert_eq(hfi_runmap_claim(map, 10, 1, 0), 140);
    cr_assert_eq(hfi_runmap_claim_low(map, 10, 1, 0), 100);
    cr_assert_eq(hfi_runmap_claim(map, 40, 1, 0), 3 * WINDOW - 11 - 40);
    assert_audit(map);
    map_close(map);
}

/* ---- 500 GiB of pages; tests/models/runmap.c counts what such calls read ---- */

Test(runmap, large_only_the_last_bit)
{
    struct runmap map;
    map_open(&map, HUGE_BITS);
    cr_assert(hfi_runmap_release(&map, HUGE_BITS - 1, 1));
    cr_assert_eq(hfi_runmap_claim(&map, 2, 1, 0), NONE);
    cr_assert_eq(hfi_runmap_claim(&map, 1, 1, 0), HUGE_BITS - 1);
    cr_assert_eq(hfi_runmap_claim(&map, 1, 1, 0), NONE);
    assert_audit(&map);
    map_close(&map);
}

Test(runmap, large_one_run_at_the_very_end)
{
    struct runmap map;
    map_open(&map, HUGE_BITS);
    for (size_t count = 1; count <= WINDOW; count = count * 3 + 1) {
        cr_assert(hfi_runmap_release(&map, HUGE_BITS - count, count));
        cr_assert_eq(hfi_runmap_claim(&map, count + 1, 1, 0), NONE);
        cr_assert_eq(hfi_runmap_claim(&map, count, 1, 0), HUGE_BITS - count);
    }
    cr_assert(hfi_runmap_release(&map, HUGE_BITS - 40000, 40000));
    cr_assert_eq(hfi_runmap_claim(&map, 40001, 1, 0), NONE);
    cr_assert_eq(hfi_runmap_claim(&map, 40000, 1, 0), HUGE_BITS - 40000);
    assert_audit(&map);
    map_close(&map);
}

Test(runmap, large_every_second_bit)
{
    struct runmap map;
    map_open(&map, HUGE_BITS);
    for (size_t bit = 1; bit < HUGE_BITS; bit += 2)
        hfi_runmap_release(&map, bit, 1);
    cr_assert_eq(hfi_runmap_claim(&map, 2, 1, 0), NONE);
    cr_assert_eq(hfi_runmap_claim(&map, WINDOW + 1, 1, 0), NONE);
    cr_assert_eq(hfi_runmap_claim(&map, 1, 1, 0), 1);
    cr_assert_eq(hfi_runmap_claim(&map, 1, 2, 0), NONE); /* hints cannot tell: the whole map is read */
    cr_assert_eq(hfi_runmap_claim_exact(&map, 2, 1, 0), NONE);
    assert_audit(&map);
    map_close(&map);
}

Test(runmap, large_stale_hints_everywhere_are_paid_once)
{
    struct runmap map;
    map_open(&map, HUGE_BITS);
    for (size_t chunk = 0; chunk < HUGE_BITS / 512; chunk++) {
        hfi_runmap_release(&map, chunk * 512 + 100, 150);
        cr_assert(hfi_runmap_claim_at(&map, chunk * 512 + 175, 1));
    }
    cr_assert_eq(hfi_runmap_claim(&map, 100, 1, 0), NONE);
    cr_assert_eq(hfi_runmap_claim(&map, 100, 1, 0), NONE);
    assert_audit(&map);
    map_close(&map);
}

Test(runmap, large_all_free_and_none_free)
{
    struct runmap map;
    map_open(&map, HUGE_BITS);
    cr_assert_eq(hfi_runmap_claim(&map, 1, 1, 0), NONE);
    cr_assert(hfi_runmap_release(&map, 0, HUGE_BITS));
    size_t claimed = 0;
    while (hfi_runmap_claim(&map, 1, 1, 0) != NONE)
        claimed++;
    cr_assert_eq(claimed, HUGE_BITS);
    assert_audit(&map);
    cr_assert(hfi_runmap_release(&map, 0, HUGE_BITS));
    cr_assert_neq(hfi_runmap_claim(&map, 1024, 1024, 0), NONE);
    cr_assert_neq(hfi_runmap_claim(&map, WINDOW, 1, 0), NONE);
    assert_audit(&map);
    map_close(&map);
}
