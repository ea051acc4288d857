/*
 * runmap: see runmap.h.
 *
 * RM1: a bit belongs to whoever cleared it, until they set it again.
 * RM2: with no call under way, a chunk's hint is at least the length of each maximal run that
 *      starts in it (counted within its window), and a window's hint at least its chunks'.
 * RM3: xset_count is the number of set bits, likewise.
 *
 * Concurrency.  A run is claimed word by word, upwards, each by a CAS.  A claimer that meets a bit
 * already gone sets the ones it took again and looks elsewhere: no thread waits.
 *
 * Hints are raised after bits are set, and lowered by a search that found less than the hint said.
 * Lowering is followed by a second look.  All of these are seq_cst.  So of a releaser (sets bits,
 * then reads the hint) and a lowerer (writes the hint, then reads the bits) at least one sees the
 * other.  A hint cannot stay too low.  While both are under way it may be; that is why the ladder
 * asks hfi_runmap_claim_exact before it gives up.
 *
 * Bounds, for 8 million bits (500 GiB of pages): a single page reads at most 512 window hints, 32
 * chunk hints and 8 words beyond those of chunks whose hints were stale.  A run reads the 256 words
 * of each window that it compares, eight at most, or whose hints were stale.  A run that is longer
 * than the best so far, or roomy, is not measured, so that an empty window costs little more than its
 * hints.  One at a window's end costs up to 256 words beside.  release reads at most 256 words
 * around what it sets.
 *
 * Tests: tests/unit/runmap.c, tests/unit/runmap-threads.c, tests/models/runmap.c.
 */
#include "arena/runmap.h"

#include "base/bits.h"
#include "base/check.h"
#include "base/atomic.h"

#define WORD_BITS ((size_t)64)
#define CHUNK_BITS HFI_RUNMAP_CHUNK_BITS
#define WINDOW_BITS HFI_RUNMAP_WINDOW_BITS
#define CONFLICTS_MAX 16          /* claims lost to others before a search answers "none" */
#define ROOMY_BITS ((size_t)1024) /* what a run has left over when it is as good as any longer one */
#define WINDOWS_BELOW ((size_t)1) /* compared by a search from below: those that have a place */
#define WINDOWS_ABOVE ((size_t)8) /* the same from above */

size_t hfi_runmap_bytes(size_t bits)
{
    size_t windows = hfi_divide_up(bits, WINDOW_BITS);
    return windows * sizeof(struct runmap_window) + hfi_align_up(windows * sizeof(uint16_t), HFI_CACHE_LINE) +
           windows * (WINDOW_BITS / 8);
}

void hfi_runmap_init(struct runmap *map, size_t bits, void *memory)
{
    char *at = memory;
    hfi_store_relaxed(&map->xset_count, 0); /* relaxed: nobody else has it yet */
    map->bit_count = bits;
    map->window_count = hfi_divide_up(bits, WINDOW_BITS);
    map->windows = (struct runmap_window *)at;
    at += map->window_count * sizeof(struct runmap_window);
    map->xwindow_hints = (_Atomic(uint16_t) *)at;
    at += hfi_align_up(map->window_count * sizeof(uint16_t), HFI_CACHE_LINE);
    map->xwords = (_Atomic(uint64_t) *)at;
}

static bool bit_is_set(const struct runmap *map, size_t bit)
{
    return hfi_load_seq_cst(&map->xwords[bit / WORD_BITS]) >> (bit % WORD_BITS) & 1;
}

static size_t window_end(const struct runmap *map, size_t bit)
{
    return hfi_min((bit / WINDOW_BITS + 1) * WINDOW_BITS, map->bit_count);
}

/* First bit at or after `from` that is set (`set`) or clear, `limit` if there is none before it. */
static size_t next_bit(const struct runmap *map, size_t from, size_t limit, bool set)
{
    while (from < limit) {
        uint64_t word = hfi_load_seq_cst(&map->xwords[from / WORD_BITS]);
        if (!set)
            word = ~word;
        word &= ~(uint64_t)0 << (from % WORD_BITS);
        if (word != 0)
            return hfi_min(hfi_align_down(from, WORD_BITS) + hfi_lowest_bit(word), limit);
        from = hfi_align_down(from, WORD_BITS) + WORD_BITS;
    }
    return limit;
}

/* Lowest bit of `bit`'s window from which all bits below `bit` are set; `bit` itself when the one
 * below is clear. */
static size_t run_start(const struct runmap *map, size_t bit)
{
    size_t least = hfi_align_down(bit, WINDOW_BITS);
    while (bit > least) {
        size_t below = (bit - 1) % WORD_BITS + 1;
        uint64_t clear =
            ~hfi_load_seq_cst(&map->xwords[(bit - 1) / WORD_BITS]) & hfi_mask(0, (unsigned)below);
        if (clear != 0)
            return bit - below + hfi_highest_bit(clear) + 1;
        bit -= below;
    }
    return bit;
}

static void raise(_Atomic(uint16_t) *hint, size_t length)
{
    uint16_t seen = hfi_load_seq_cst(hint);
    while (seen < length && !hfi_cas_seq_cst(hint, &seen, (uint16_t)length))
        ;
}

/* A run of `length` bits starts at `start`, all in one window.  The chunk's hint first: who lowers
 * the window's looks at the chunks'. */
static void raise_hints(struct runmap *map, size_t start, size_t length)
{
    size_t window = start / WINDOW_BITS;
    hfi_assert(start < map->bit_count && start % WINDOW_BITS + length <= WINDOW_BITS);
    raise(&map->windows[window].xchunk_hints[start % WINDOW_BITS / CHUNK_BITS], length);
    raise(&map->xwindow_hints[window], length);
}

/* Every run that has a bit in [first, end), which the caller has just set.  The range is read
 * again, not taken for set.  A thread may have claimed a part set early while later words, which it
 * could not see yet, were still being set.  The run that is left then starts inside the range. */
static void raise_around(struct runmap *map, size_t first, size_t end)
{
    for (size_t bit = first; bit < end;) {
        size_t limit = window_end(map, bit);
        size_t start = run_start(map, bit);
        if (first / WORD_BITS == (end - 1) / WORD_BITS &&
            hfi_load_seq_cst(
                &map->windows[start / WINDOW_BITS].xchunk_hints[start % WINDOW_BITS / CHUNK_BITS]) >=
                limit - start) {
            /* Set in one step, so one run can hold them; its hint cannot be too low wherever it
             * ends. */
            raise_hints(map, start, limit - start);
            return;
        }
        size_t stop = hfi_min(end, limit);
        while (bit < stop) {
            size_t past = next_bit(map, bit, limit, false);
            if (past > start)
                raise_hints(map, start, past - start);
            bit = start = next_bit(map, past, stop, true);
        }
        bit = stop;
    }
}

/* The number of bits that were set already. */
static size_t set_bits(struct runmap *map, size_t first, size_t count)
{
    size_t doubled = 0;
    for (size_t bit = first, end = first + count; bit < end;) {
        size_t here = hfi_min(WORD_BITS - bit % WORD_BITS, end - bit);
        uint64_t mask = hfi_mask(bit % WORD_BITS, (unsigned)here);
        doubled +=
            (size_t)__builtin_popcountll(hfi_fetch_or_seq_cst(&map->xwords[bit / WORD_BITS], mask) & mask);
        bit += here;
    }
    raise_around(map, first, first + count);
    return doubled;
}

bool hfi_runmap_release(struct runmap *map, size_t first, size_t count)
{
    hfi_assert(count != 0 && first + count <= map->bit_count);
    hfi_fetch_add_seq_cst(&map->xset_count, count);
    size_t doubled = set_bits(map, first, count);
    if (hfi_unlikely(doubled != 0))
        hfi_fetch_sub_seq_cst(&map->xset_count, doubled);
    return doubled == 0;
}

/* What is left behind a claim starts a run of its own, perhaps in a chunk that had none. */
static void raise_behind(struct runmap *map, size_t end)
{
    if (end % WINDOW_BITS == 0 || end >= map->bit_count || !bit_is_set(map, end))
        return;
    size_t limit = window_end(map, end);
    size_t chunk_end = hfi_min(hfi_align_down(end, CHUNK_BITS) + CHUNK_BITS, limit);
    size_t run_end = next_bit(map, end, chunk_end, false);
    /* A run that leaves the chunk is given the bound that costs no look: it is only a bound. */
    raise_hints(map, end, (run_end == chunk_end ? limit : run_end) - end);
}

/* Clears [first, first + count) if all of it is set. */
static bool clear_bits(struct runmap *map, size_t first, size_t count)
{
    size_t end = first + count;
    hfi_assert(count != 0 && end <= map->bit_count);
    for (size_t bit = first; bit < end;) {
        size_t here = hfi_min(WORD_BITS - bit % WORD_BITS, end - bit);
        uint64_t mask = hfi_mask(bit % WORD_BITS, (unsigned)here);
        _Atomic(uint64_t) *word = &map->xwords[bit / WORD_BITS];
        uint64_t seen = hfi_load_seq_cst(word);
        do {
            if ((seen & mask) != mask) {
                if (bit != first)
                    set_bits(map, first, bit - first);
                return false;
            }
        } while (!hfi_cas_seq_cst(word, &seen, seen & ~mask));
        bit += here;
    }
    hfi_fetch_sub_seq_cst(&map->xset_count, count);
    raise_behind(map, end);
    return true;
}

bool hfi_runmap_claim_at(struct runmap *map, size_t first, size_t count)
{
    return first + count <= map->bit_count && clear_bits(map, first, count);
}

/* --- hints that turned out too high --- */

/* Longest run that starts in a chunk. */
static size_t chunk_longest(const struct runmap *map, size_t chunk_first)
{
    size_t limit = window_end(map, chunk_first);
    size_t chunk_end = hfi_min(chunk_first + CHUNK_BITS, limit);
    size_t longest = 0;
    size_t bit = chunk_first;
    if (bit % WINDOW_BITS != 0 && bit_is_set(map, bit - 1))
        bit = next_bit(map, bit, limit, false); /* began before this chunk */
    while ((bit = next_bit(map, bit, chunk_end, true)) < chunk_end) {
        size_t end = next_bit(map, bit, limit, false);
        longest = hfi_max(longest, end - bit);
        bit = end;
    }
    return longest;
}

static void lower_chunk_hint(struct runmap *map, size_t window, size_t chunk)
{
    _Atomic(uint16_t) *hint = &map->windows[window].xchunk_hints[chunk];
    size_t first = window * WINDOW_BITS + chunk * CHUNK_BITS;
    uint16_t seen = hfi_load_seq_cst(hint);
    size_t longest = chunk_longest(map, first);
    if (longest >= seen || !hfi_cas_seq_cst(hint, &seen, (uint16_t)longest))
        return;
    /* the second look: the window's hint may have followed */
    raise_hints(map, first, chunk_longest(map, first));
}

static size_t window_chunks_longest(const struct runmap *map, size_t window)
{
    size_t longest = 0;
    for (size_t chunk = 0; chunk < HFI_RUNMAP_CHUNKS; chunk++)
        longest = hfi_max(longest, hfi_load_seq_cst(&map->windows[window].xchunk_hints[chunk]));
    return longest;
}

static void lower_window_hint(struct runmap *map, size_t window)
{
    _Atomic(uint16_t) *hint = &map->xwindow_hints[window];
    uint16_t seen = hfi_load_seq_cst(hint);
    size_t longest = window_chunks_longest(map, window);
    if (longest >= seen || !hfi_cas_seq_cst(hint, &seen, (uint16_t)longest))
        return;
    raise(hint, window_chunks_longest(map, window));
}

/* --- single pages --- */

static size_t chunk_claim_one(struct runmap *map, size_t chunk_first)
{
    size_t end = hfi_min(chunk_first + CHUNK_BITS, map->bit_count);
    for (size_t at = chunk_first; at < end; at += WORD_BITS) {
        _Atomic(uint64_t) *word = &map->xwords[at / WORD_BITS];
        uint64_t seen = hfi_load_seq_cst(word);
        while (seen != 0) {
            size_t bit = at + hfi_lowest_bit(seen);
            if (!hfi_cas_seq_cst(word, &seen, seen & (seen - 1)))
                continue;
            hfi_fetch_sub_seq_cst(&map->xset_count, 1);
            raise_behind(map, bit + 1);
            return bit;
        }
    }
    return HFI_RUNMAP_NONE;
}

size_t hfi_runmap_claim_one(struct runmap *map)
{
    for (size_t window = 0; window < map->window_count; window++) {
        if (hfi_load_seq_cst(&map->xwindow_hints[window]) == 0)
            continue;
        for (size_t chunk = 0; chunk < HFI_RUNMAP_CHUNKS; chunk++) {
            if (hfi_load_seq_cst(&map->windows[window].xchunk_hints[chunk]) == 0)
                continue;
            size_t bit = chunk_claim_one(map, window * WINDOW_BITS + chunk * CHUNK_BITS);
            if (bit != HFI_RUNMAP_NONE)
                return bit;
            lower_chunk_hint(map, window, chunk);
        }
        lower_window_hint(map, window);
    }
    return HFI_RUNMAP_NONE;
}

/* --- runs --- */

struct fit {
    size_t count;
    size_t align;
    size_t origin;
    bool low;      /* whether from below */
    size_t first;  /* out: where to claim, HFI_RUNMAP_NONE = nowhere */
    size_t length; /* out: of the run it lies in */
};

/* First or last aligned place for `count` bits in the run [start, end). */
static size_t place_in_run(const struct fit *fit, size_t start, size_t end)
{
    if (end - start < fit->count)
        return HFI_RUNMAP_NONE;
    size_t last = end - fit->count;
    size_t first = fit->low ? hfi_align_up(start + fit->origin, fit->align) - fit->origin
                            : hfi_align_down(last + fit->origin, fit->align) - fit->origin;
    return first >= start && first <= last ? first : HFI_RUNMAP_NONE;
}

/* Length of the run [start, end) of a window together with what of it lies in the windows beside.
 * A run is no tighter because a window ends in its middle. */
static size_t whole_length(const struct runmap *map, size_t start, size_t end, size_t roomy)
{
    size_t length = end - start;
    if (end % WINDOW_BITS == 0 && end < map->bit_count)
        length += next_bit(map, end, hfi_min(window_end(map, end), end + roomy), false) - end;
    if (start % WINDOW_BITS == 0 && start != 0 && bit_is_set(map, start - 1))
        length += start - run_start(map, start - 1);
    return length;
}

/* Takes the run from `start` on, of which [start, end) was seen, for the fit if it is a better one.
 * Of runs of one length the lowest is, for those from below, or the highest. */
static void consider(const struct runmap *map, struct fit *fit, size_t start, size_t end)
{
    size_t length = end - start, roomy = fit->count + ROOMY_BITS;
    if (length <= hfi_min(fit->length, roomy))
        length = whole_length(map, start, end, roomy);
    length = hfi_min(length, roomy);
    if (length > fit->length || (length == fit->length && (fit->low || start < fit->first)))
        return;
    if (length == roomy)
        end = next_bit(map, end, window_end(map, start), false);
    size_t place = place_in_run(fit, start, end);
    if (place == HFI_RUNMAP_NONE)
        return;
    fit->first = place;
    fit->length = length;
}

/* Best fit among the runs that start in a chunk; returns the longest run seen.  One that is longer
 * than the best so far, or roomy, is not followed out of the chunk. */
static size_t chunk_fit(const struct runmap *map, size_t chunk_first, struct fit *fit)
{
    size_t limit = window_end(map, chunk_first);
    size_t chunk_end = hfi_min(chunk_first + CHUNK_BITS, limit);
    size_t longest = 0;
    size_t bit = chunk_first;
    if (bit % WINDOW_BITS != 0 && bit_is_set(map, bit - 1))
        bit = next_bit(map, bit, chunk_end, false);
    while ((bit = next_bit(map, bit, chunk_end, true)) < chunk_end) {
        size_t of_use = bit + hfi_min(fit->length, fit->count + ROOMY_BITS) + 1;
        size_t end = next_bit(map, bit, hfi_min(hfi_max(of_use, chunk_end), limit), false);
        if (end - bit >= fit->count)
            consider(map, fit, bit, end);
        longest = hfi_max(longest, end - bit);
        bit = end;
    }
    return longest;
}

/* Best fit among the runs of a window and what `fit` has already.  False when no run is long
 * enough. */
static bool window_fit(struct runmap *map, size_t window, struct fit *fit)
{
    bool found = false;
    for (size_t i = 0; i < HFI_RUNMAP_CHUNKS && fit->length != fit->count; i++) {
        size_t chunk = fit->low ? i : HFI_RUNMAP_CHUNKS - 1 - i;
        if (hfi_load_seq_cst(&map->windows[window].xchunk_hints[chunk]) < fit->count)
            continue;
        if (chunk_fit(map, window * WINDOW_BITS + chunk * CHUNK_BITS, fit) < fit->count)
            lower_chunk_hint(map, window, chunk);
        else
            found = true;
    }
    if (!found)
        lower_window_hint(map, window);
    return found;
}

/* Best fit of the first windows that have one. */
static void find_fit(struct runmap *map, struct fit *fit)
{
    size_t left = fit->low ? WINDOWS_BELOW : WINDOWS_ABOVE;
    fit->first = fit->length = HFI_RUNMAP_NONE;
    for (size_t i = 0; i < map->window_count && left > 0 && fit->length != fit->count; i++) {
        size_t window = fit->low ? i : map->window_count - 1 - i;
        if (hfi_load_seq_cst(&map->xwindow_hints[window]) < fit->count || !window_fit(map, window, fit))
            continue;
        left -= fit->first != HFI_RUNMAP_NONE;
    }
}

/* Lowest place of a run in [from, limit), windows ignored. */
static size_t claim_linear(struct runmap *map, struct fit *fit)
{
    size_t bit = 0;
    while ((bit = next_bit(map, bit, map->bit_count, true)) < map->bit_count) {
        bool spans = fit->count > WINDOW_BITS;
        size_t end = next_bit(map, bit, spans ? map->bit_count : window_end(map, bit), false);
        size_t place = hfi_align_up(bit + fit->origin, fit->align) - fit->origin;
        if (place + fit->count > end) {
            bit = end;
            continue;
        }
        if (clear_bits(map, place, fit->count))
            return place;
        /* Lost a bit of it to somebody: what is left of the run is looked at again from the next
         * place on. */
        bit = place + 1;
    }
    return HFI_RUNMAP_NONE;
}

static size_t claim_fit(struct runmap *map, struct fit *fit)
{
    if (hfi_load_relaxed(&map->xset_count) < fit->count) /* a hint: exact claims do not ask it */
        return HFI_RUNMAP_NONE;
    if (fit->count > WINDOW_BITS)
        return claim_linear(map, fit);
    for (int conflicts = 0; conflicts < CONFLICTS_MAX; conflicts++) {
        find_fit(map, fit);
        if (fit->first == HFI_RUNMAP_NONE || clear_bits(map, fit->first, fit->count))
            return fit->first;
    }
    return HFI_RUNMAP_NONE;
}

size_t hfi_runmap_claim(struct runmap *map, size_t count, size_t align, size_t origin)
{
    if (count == 1 && align == 1)
        return hfi_runmap_claim_one(map);
    return claim_fit(map, &(struct fit){ .count = count, .align = align, .origin = origin });
}

size_t hfi_runmap_claim_low(struct runmap *map, size_t count, size_t align, size_t origin)
{
    if (count == 1 && align == 1)
        return hfi_runmap_claim_one(map);
    return claim_fit(map, &(struct fit){ .count = count, .align = align, .origin = origin, .low = true });
}

size_t hfi_runmap_claim_exact(struct runmap *map, size_t count, size_t align, size_t origin)
{
    struct fit fit = { .count = count, .align = align, .origin = origin };
    return claim_linear(map, &fit);
}

size_t hfi_runmap_set_below(const struct runmap *map, size_t bit)
{
    size_t start = run_start(map, bit);
    while (start != 0 && start % WINDOW_BITS == 0 && bit_is_set(map, start - 1))
        start = run_start(map, start - 1);
    return bit - start;
}

size_t hfi_runmap_longest(const struct runmap *map)
{
    size_t longest = 0;
    for (size_t bit = 0; (bit = next_bit(map, bit, map->bit_count, true)) < map->bit_count;) {
        size_t end = next_bit(map, bit, map->bit_count, false);
        longest = hfi_max(longest, end - bit);
        bit = end;
    }
    return longest;
}

static size_t count_bits(const struct runmap *map)
{
    size_t set = 0;
    for (size_t at = 0; at < map->bit_count; at += WORD_BITS)
        set += (size_t)__builtin_popcountll(hfi_load_seq_cst(&map->xwords[at / WORD_BITS]));
    return set;
}

void hfi_runmap_mend(struct runmap *map)
{
    hfi_store_relaxed(&map->xset_count, count_bits(map));
    for (size_t first = 0; first < map->bit_count; first += CHUNK_BITS)
        raise_hints(map, first, chunk_longest(map, first));
}

const char *hfi_runmap_audit(const struct runmap *map)
{
    if (count_bits(map) != hfi_load_relaxed(&map->xset_count))
        return "RM3: the count of free pages is wrong";
    for (size_t window = 0; window < map->window_count; window++) {
        for (size_t chunk = 0; chunk < HFI_RUNMAP_CHUNKS; chunk++) {
            size_t first = window * WINDOW_BITS + chunk * CHUNK_BITS;
            if (first < map->bit_count &&
                hfi_load_seq_cst(&map->windows[window].xchunk_hints[chunk]) < chunk_longest(map, first))
                return "RM2: a chunk's hint is too low";
        }
        if (hfi_load_seq_cst(&map->xwindow_hints[window]) < window_chunks_longest(map, window))
            return "RM2: a window's hint is too low";
    }
    return NULL;
}
