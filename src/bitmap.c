/*
 * bitmap: see bitmap.h.
 *
 * Memory:  | windows: 32 chunk hints each, a cache line | window hints | words, whole chunks |
 *
 * "Run" below means a maximal run of set bits counted within one window: it
 * starts at a window's first bit or behind a clear bit.  rest(p) is the number
 * of set bits from p upwards in p's window.
 *
 * B1: a chunk's hint is not below the length of any run that starts in the chunk.
 * B2: a window's hint is not below any of its chunk hints.
 * B3: xset_count is never below the number of set bits: release adds before it
 *     sets, a claim subtracts after it has cleared.  So the early way out of a
 *     claim never hides a free page.
 * B4: bits past bit_count are clear.
 * B3 and B4 hold at every moment, B1 and B2 whenever no call is under way (a
 * claim that meets the moment in between may miss a run; claim_exact looks at
 * words only).  Hints may be too high: that costs a search that finds nothing
 * and lowers them.
 *
 * Why no hint stays too low (B1).  Take a run R = [x, y) as it is when no call
 * is under way, and let E be the last step that made "x..y-1 set, x-1 clear (or
 * the window's start)" true.  All of this stays true after E.
 *   1. E set a bit of R (release, or a claim that puts back what it took).
 *      After its last bit was set, the author of E reads its range again and
 *      covers every run it meets there, from where it starts to its end.  All
 *      these reads come after E, so it meets R.  The range is read again, and
 *      not taken for set, because a part set early may have been claimed
 *      while the later words were still being set: then R starts inside it.
 *   2. E cleared bit x-1 (a claim that ends at x).  After the claim its author
 *      covers rest(x).  It does so always, also when x lies in the chunk in
 *      which the run started: that chunk's hint may still wait for an author
 *      of case 2 that was overtaken.
 *   3. "Cover" is: read the hint after E, raise it (CAS) if it is below.
 *      Lowering is: CAS the hint down, then read the chunk's words again and
 *      cover what is seen.  Words and hints are changed and then read in
 *      seq_cst, so either the author of E sees the lowered hint and raises it,
 *      or the one who lowered sees E's words and raises it.
 * B2 by the same pattern one level up: who raises a chunk hint then covers it
 * in the window hint; who lowers a window hint then reads the chunk hints again.
 * A bound raised by a claim may be coarse: where rest(x) goes on for more than
 * a chunk, the whole rest of the window is taken, which saves reading it.
 *
 * Concurrency: a page belongs to whoever cleared its bit.  A claim of several
 * words clears them upwards, one CAS each; when it meets a clear bit it sets
 * what it took again and goes on searching behind that bit.  No loop waits for
 * another thread: a CAS is repeated only after another thread's step on that
 * very word or hint succeeded, and every search moves upwards only.
 * Clearing bits (acquire) pairs with setting them (release): the page's former
 * user happens before its next one.
 *
 * Fails by HFI_BITMAP_NONE or false.
 *
 * B5: bounds, in words read, for 8,388,608 bits (131,072 words, 512 windows):
 *   release of n bits      n/64 + 2 set and read again, 512 more around the range
 *   claim of one bit       8, and 9 behind it; window hints are read four at a time
 *   claim of n <= window   hints tight, align 1: 8 to find a start, n/64 to see
 *                          the run, n/64 to clear it, 9 behind, 24 to tighten
 *   either, hints too high or the alignment not met: 6 * 131,072; hints found
 *                          too high are lowered, so each is paid for once
 *   claim of n > window    131,072, and n/64 to clear
 *   claim_exact            131,072, and n/64 to clear
 *   claim_at of n bits     n/64 + 2, and 9 behind
 *   A conflict adds n/64 to put back, once for each n/64 words searched.
 *
 * Tests: tests/unit/bitmap.c.
 */
#include "bitmap.h"

#include "bits.h"

#define WORD_BITS 64u
#define WINDOW_BITS ((size_t)HFI_BITMAP_WINDOW_BITS)
#define CHUNK_BITS ((size_t)HFI_BITMAP_CHUNK_BITS)
#define CHUNK_WORDS (CHUNK_BITS / WORD_BITS)
#define WINDOW_CHUNKS (WINDOW_BITS / CHUNK_BITS)
#define NONE HFI_BITMAP_NONE

struct bitmap_window {
    _Atomic(uint16_t) xrun_hints[WINDOW_CHUNKS]; /* atomic: B1 */
} HFI_CACHE_ALIGNED;

_Static_assert(sizeof(struct bitmap_window) == HFI_CACHE_LINE, "a window's hints are one cache line");
_Static_assert(WINDOW_BITS == HFI_WINDOW_PAGES, "a window of the map is a window of the arena");
_Static_assert(WINDOW_BITS <= UINT16_MAX, "a hint holds a run of a whole window");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "hints_load_4 has the first hint in the low bits");

/* What a search looks for. */
struct want {
    size_t count;
    size_t align;
    size_t origin;
    uint64_t aligned; /* align < 64: every align-th bit from bit 0; else bit 0 */
};

/* ---- reading words ---- */

#ifdef HFI_ENABLE_DEBUG
HFI_TLS size_t hfi_bitmap_words_read;
#define COUNT_WORD_READ() (void)hfi_bitmap_words_read++
#else
#define COUNT_WORD_READ() (void)0
#endif

/* seq_cst: the looks after a change of a word or a hint (step 3 above) go through here; on x86-64
 * this is a plain load, so the searches do not get a weaker one of their own. */
HFI_INLINE uint64_t word_read(const struct bitmap *map, size_t index)
{
    COUNT_WORD_READ();
    return hfi_load_seq_cst(&map->xwords[index]);
}

HFI_INLINE size_t window_end_of(const struct bitmap *map, size_t bit)
{
    return hfi_min((bit | (WINDOW_BITS - 1)) + 1, map->bit_count);
}

/* First clear bit at or above `from`, at most `limit`. */
static size_t run_end(const struct bitmap *map, size_t from, size_t limit)
{
    if (from >= limit)
        return limit;
    uint64_t clear = ~word_read(map, from / WORD_BITS) >> from % WORD_BITS;
    if (clear != 0)
        return hfi_min(from + hfi_lowest_bit(clear), limit);
    for (size_t at = hfi_align_down(from, WORD_BITS) + WORD_BITS; at < limit; at += WORD_BITS) {
        clear = ~word_read(map, at / WORD_BITS);
        if (clear != 0)
            return hfi_min(at + hfi_lowest_bit(clear), limit);
    }
    return limit;
}

/* First set bit at or above `from`, at most `limit`. */
static size_t next_set(const struct bitmap *map, size_t from, size_t limit)
{
    if (from >= limit)
        return limit;
    uint64_t set = word_read(map, from / WORD_BITS) >> from % WORD_BITS;
    if (set != 0)
        return hfi_min(from + hfi_lowest_bit(set), limit);
    for (size_t at = hfi_align_down(from, WORD_BITS) + WORD_BITS; at < limit; at += WORD_BITS) {
        set = word_read(map, at / WORD_BITS);
        if (set != 0)
            return hfi_min(at + hfi_lowest_bit(set), limit);
    }
    return limit;
}

/* Lowest bit, at least `floor`, from which all bits up to `from` (without it) are set. */
static size_t run_start(const struct bitmap *map, size_t from, size_t floor)
{
    while (from > floor) {
        unsigned below = (unsigned)((from - 1) % WORD_BITS) + 1;
        uint64_t clear = ~word_read(map, (from - 1) / WORD_BITS) << (WORD_BITS - below);
        if (clear != 0)
            return hfi_max(from - (size_t)__builtin_clzll(clear), floor);
        from -= below;
    }
    return floor;
}

/* Bits at which `length` (1..64) set bits of the word start. */
HFI_INLINE uint64_t starts_of_runs(uint64_t word, size_t length)
{
    for (size_t have = 1, more; have < length && word != 0; have += more) {
        more = hfi_min(have, length - have);
        word &= word >> more;
    }
    return word;
}

/* Longest run that starts in [from, limit); from and limit are ends of words. */
static size_t longest_run(const struct bitmap *map, size_t from, size_t limit, size_t run_limit)
{
    size_t longest = 0;
    size_t open = 0; /* set bits right below `from` */
    for (; from < limit; from += WORD_BITS) {
        uint64_t word = word_read(map, from / WORD_BITS);
        if (~word == 0) {
            open += WORD_BITS;
            continue;
        }
        longest = hfi_max(longest, open + hfi_trailing_ones(word));
        while (longest < WORD_BITS && starts_of_runs(word, longest + 1) != 0)
            longest++;
        open = hfi_leading_ones(word);
    }
    if (open > 0)
        longest = hfi_max(longest, open + run_end(map, from, run_limit) - from);
    return longest;
}

/* First bit of the chunk that does not belong to a run come in from the chunk below; at most the chunk's end. */
static size_t chunk_own_start(const struct bitmap *map, size_t chunk)
{
    size_t first = chunk * CHUNK_BITS;
    bool comes_in = chunk % WINDOW_CHUNKS != 0 && word_read(map, first / WORD_BITS - 1) >> (WORD_BITS - 1) != 0;
    return comes_in ? run_end(map, first, first + CHUNK_BITS) : first;
}

/* ---- hints ---- */

HFI_INLINE _Atomic(uint16_t) *chunk_hint(const struct bitmap *map, size_t chunk)
{
    return &map->windows[chunk / WINDOW_CHUNKS].xrun_hints[chunk % WINDOW_CHUNKS];
}

/* Four hints at once, the first in the low bits.  Relaxed: a hint read here only says where to look. */
HFI_INLINE uint64_t hints_load_4(const _Atomic(uint16_t) *hints)
{
    typedef uint64_t __attribute__((may_alias)) four_hints;
    return __atomic_load_n((const four_hints *)(const void *)hints, __ATOMIC_RELAXED);
}

static void hint_raise(_Atomic(uint16_t) *hint, size_t bound)
{
    /* seq_cst, with chunk_tighten and window_tighten: step 3 of the argument */
    uint16_t seen = hfi_load_seq_cst(hint);
    while (seen < bound && !hfi_cas_seq_cst(hint, &seen, (uint16_t)bound))
        continue;
}

/* Covers a run of `length` that starts at `start`: the chunk's hint first, then the window's (B2). */
static void hints_cover(struct bitmap *map, size_t start, size_t length)
{
    hint_raise(chunk_hint(map, start / CHUNK_BITS), length);
    hint_raise(&map->xwindow_hints[start / WINDOW_BITS], length);
}

/* Covers every run that has a bit in [first, end): for who has just set these bits. */
static void hints_cover_set(struct bitmap *map, size_t first, size_t end)
{
    while (first < end) {
        size_t window_end = window_end_of(map, first);
        size_t start = run_start(map, first, hfi_align_down(first, WINDOW_BITS));
        size_t bound = window_end - start;
        if (first / WORD_BITS == (end - 1) / WORD_BITS &&
            hfi_load_seq_cst(chunk_hint(map, start / CHUNK_BITS)) >= bound) {
            /* One word, set in one step: the run can only hold all of it from `first` on.  The hint is at its
             * highest already, so where the run ends does not matter. */
            hfi_compiler_barrier();
            hints_cover(map, start, bound);
            return;
        }
        size_t stop = hfi_min(end, window_end);
        while (first < stop) {
            size_t past = run_end(map, first, window_end);
            if (past > start)
                hints_cover(map, start, past - start);
            first = start = next_set(map, past, stop);
        }
        first = stop;
    }
}

/* Covers the run that starts at `start`, if one does: for who has just cleared the bit below. */
static void hints_cover_behind(struct bitmap *map, size_t start)
{
    if (start % WINDOW_BITS == 0 || start >= map->bit_count)
        return;
    size_t window_end = window_end_of(map, start);
    /* seq_cst, with chunk_tighten: read after the bit below was cleared */
    size_t hint = hfi_load_seq_cst(chunk_hint(map, start / CHUNK_BITS));
    if (hint >= window_end - start)
        return;
    size_t look = hfi_min(start + CHUNK_BITS, window_end);
    size_t past = run_end(map, start, look);
    size_t length = past == look ? window_end - start : past - start;
    if (length > hint)
        hints_cover(map, start, length);
}

static size_t chunk_longest(const struct bitmap *map, size_t chunk)
{
    size_t from = chunk_own_start(map, chunk);
    size_t limit = (chunk + 1) * CHUNK_BITS;
    if (from == limit)
        return 0;
    /* `from` is the chunk's first bit, or a clear bit with only the skipped run below it in its word */
    size_t base = hfi_align_down(from, WORD_BITS);
    size_t window_end = window_end_of(map, from);
    if (from == base)
        return longest_run(map, base, limit, window_end);
    size_t start = next_set(map, from, base + WORD_BITS);
    size_t longest = 0;
    while (start < base + WORD_BITS) {
        size_t past = run_end(map, start, window_end);
        longest = hfi_max(longest, past - start);
        start = next_set(map, past, base + WORD_BITS);
    }
    return hfi_max(longest, longest_run(map, base + WORD_BITS, limit, window_end));
}

/* Lowers a chunk's hint from `seen` to what the words say, then looks again (step 3). */
static void chunk_tighten(struct bitmap *map, size_t chunk, uint16_t seen)
{
    _Atomic(uint16_t) *hint = chunk_hint(map, chunk);
    size_t longest = chunk_longest(map, chunk);
    /* seq_cst, with hints_cover_set and hints_cover_behind; a failed CAS leaves the lowering to others */
    if (longest >= seen || !hfi_cas_seq_cst(hint, &seen, (uint16_t)longest))
        return;
    size_t again = chunk_longest(map, chunk);
    if (again > longest)
        hints_cover(map, chunk * CHUNK_BITS, again);
}

static size_t window_highest_hint(const struct bitmap *map, size_t window)
{
    size_t highest = 0;
    /* seq_cst, with hints_cover: the second look of window_tighten */
    for (size_t i = 0; i < WINDOW_CHUNKS; i++)
        highest = hfi_max(highest, hfi_load_seq_cst(&map->windows[window].xrun_hints[i]));
    return highest;
}

/* Lowers a window's hint from `seen` to its highest chunk hint, then looks again (step 3). */
static void window_tighten(struct bitmap *map, size_t window, uint16_t seen)
{
    _Atomic(uint16_t) *hint = &map->xwindow_hints[window];
    size_t highest = window_highest_hint(map, window);
    if (highest >= seen || !hfi_cas_seq_cst(hint, &seen, (uint16_t)highest))
        return;
    hint_raise(hint, window_highest_hint(map, window));
}

/* ---- changing words ---- */

/* Sets bits first..end-1; the number of them that were set before. */
static size_t range_set(struct bitmap *map, size_t first, size_t end)
{
    size_t doubled = 0;
    for (size_t at = first, next; at < end; at = next) {
        next = hfi_min(hfi_align_down(at, WORD_BITS) + WORD_BITS, end);
        uint64_t mask = hfi_mask((unsigned)(at % WORD_BITS), (unsigned)(next - at));
        /* seq_cst: release to the next claimer of these pages, and step 3 */
        uint64_t old = hfi_fetch_or_seq_cst(&map->xwords[at / WORD_BITS], mask);
        doubled += (size_t)__builtin_popcountll(old & mask);
    }
    return doubled;
}

/* Clears the bits of `mask` if all are set; 0, or those of them that were clear. */
static uint64_t word_take(struct bitmap *map, size_t index, uint64_t mask)
{
    uint64_t seen = word_read(map, index);
    while ((seen & mask) == mask) {
        /* seq_cst: acquire from range_set by the pages' former user, and step 3 */
        if (hfi_cas_seq_cst(&map->xwords[index], &seen, seen & ~mask))
            return 0;
    }
    return mask & ~seen;
}

/* Clears bits first..end-1 if all are set, and covers what is left behind them.  Returns `end`, or, with
 * nothing changed, a bit of the range that was clear. */
static size_t range_take(struct bitmap *map, size_t first, size_t end)
{
    for (size_t at = first, next; at < end; at = next) {
        size_t base = hfi_align_down(at, WORD_BITS);
        next = hfi_min(base + WORD_BITS, end);
        uint64_t missing = word_take(map, at / WORD_BITS, hfi_mask((unsigned)(at % WORD_BITS), (unsigned)(next - at)));
        if (missing != 0) {
            range_set(map, first, at);
            hints_cover_set(map, first, at);
            return base + hfi_lowest_bit(missing);
        }
    }
    /* relaxed: B3 needs only that the same thread's clearing came before */
    hfi_fetch_sub_relaxed(&map->xset_count, end - first);
    hints_cover_behind(map, end);
    return end;
}

/* ---- one bit ---- */

/* Takes the lowest bit of the chunk; NONE when none was seen. */
HFI_INLINE size_t chunk_claim_one(struct bitmap *map, size_t chunk)
{
    for (size_t index = chunk * CHUNK_WORDS; index < (chunk + 1) * CHUNK_WORDS; index++) {
        uint64_t word = word_read(map, index);
        while (hfi_unlikely(word != 0)) {
            unsigned bit = hfi_lowest_bit(word);
            uint64_t mask = (uint64_t)1 << bit;
            /* seq_cst: acquire from range_set by the page's former user, and step 3 */
            if (hfi_likely(hfi_fetch_and_seq_cst(&map->xwords[index], ~mask) & mask)) {
                hfi_fetch_sub_relaxed(&map->xset_count, 1); /* relaxed: as in range_take */
                hints_cover_behind(map, index * WORD_BITS + bit + 1);
                return index * WORD_BITS + bit;
            }
            /* Upwards only: at most 64 turns, whatever other threads do. */
            word = word_read(map, index) & ~(mask | (mask - 1));
        }
    }
    return NONE;
}

static size_t window_claim_one(struct bitmap *map, size_t window)
{
    uint16_t seen = hfi_load_relaxed(&map->xwindow_hints[window]);
    for (size_t group = 0; group < WINDOW_CHUNKS; group += 4) {
        uint64_t hints = hints_load_4(&map->windows[window].xrun_hints[group]);
        while (hints != 0) {
            unsigned lane = hfi_lowest_bit(hints) / 16;
            size_t chunk = window * WINDOW_CHUNKS + group + lane;
            size_t bit = chunk_claim_one(map, chunk);
            if (hfi_likely(bit != NONE))
                return bit;
            chunk_tighten(map, chunk, (uint16_t)(hints >> lane * 16));
            hints &= ~((uint64_t)UINT16_MAX << lane * 16);
        }
    }
    window_tighten(map, window, seen);
    return NONE;
}

static size_t claim_one(struct bitmap *map)
{
    for (size_t group = 0; group < map->window_count; group += 4) {
        uint64_t hints = hints_load_4(&map->xwindow_hints[group]);
        while (hints != 0) {
            unsigned lane = hfi_lowest_bit(hints) / 16;
            size_t bit = window_claim_one(map, group + lane);
            if (hfi_likely(bit != NONE))
                return bit;
            hints &= ~((uint64_t)UINT16_MAX << lane * 16);
        }
    }
    return NONE;
}

/* ---- runs ---- */

/* First fitting start in the set bits [start, end). */
HFI_INLINE size_t fit_in_run(const struct want *want, size_t start, size_t end)
{
    size_t first = hfi_align_up(start + want->origin, want->align) - want->origin;
    return first + want->count <= end ? first : NONE;
}

/* First fitting start that lies with all its bits in the word. */
HFI_INLINE size_t fit_in_word(const struct want *want, uint64_t word, size_t base)
{
    size_t skip = -(base + want->origin) & (want->align - 1);
    if (want->count > WORD_BITS || skip >= WORD_BITS)
        return NONE;
    uint64_t starts = starts_of_runs(word, want->count) & want->aligned << skip;
    return starts != 0 ? base + hfi_lowest_bit(starts) : NONE;
}

/* Lowest fitting start in a run that starts in [from, limit) and is counted up to run_limit; limit is an end of a
 * word or the end of the map. */
static size_t find_run(const struct bitmap *map, size_t from, size_t limit, size_t run_limit, const struct want *want)
{
    size_t open = NONE; /* start of the run that reaches up to `base` */
    size_t fit;
    size_t base = hfi_align_down(from, WORD_BITS);
    uint64_t visible = ~(uint64_t)0 << from % WORD_BITS;
    for (; base < limit; base += WORD_BITS, visible = ~(uint64_t)0) {
        uint64_t word = word_read(map, base / WORD_BITS) & visible;
        if (~word == 0) {
            open = open == NONE ? base : open;
            continue;
        }
        if (open != NONE && (fit = fit_in_run(want, open, base + hfi_trailing_ones(word))) != NONE)
            return fit;
        if ((fit = fit_in_word(want, word, base)) != NONE)
            return fit;
        unsigned top = hfi_leading_ones(word);
        open = top == 0 ? NONE : base + WORD_BITS - top;
    }
    return open == NONE ? NONE : fit_in_run(want, open, hfi_max(base, run_end(map, base, run_limit)));
}

/* Claims the lowest fitting run of those find_run sees. */
static size_t claim_run(struct bitmap *map, size_t from, size_t limit, size_t run_limit, const struct want *want)
{
    while (from < limit) {
        size_t first = find_run(map, from, limit, run_limit, want);
        if (first == NONE)
            return NONE;
        size_t end = first + want->count;
        size_t reached = range_take(map, first, end);
        if (reached == end)
            return first;
        /* No fit between `first` and the bit that was missing: it would hold that bit too. */
        from = reached + 1;
    }
    return NONE;
}

/* After a claim that started in the chunk: the hint is put right unless a long way would have to be read. */
static void chunk_tighten_after_claim(struct bitmap *map, size_t chunk)
{
    bool goes_on = word_read(map, (chunk + 1) * CHUNK_WORDS - 1) >> (WORD_BITS - 1) != 0;
    if (!goes_on)
        chunk_tighten(map, chunk, hfi_load_relaxed(chunk_hint(map, chunk)));
}

static size_t window_claim(struct bitmap *map, size_t window, const struct want *want, uint16_t seen)
{
    size_t window_end = window_end_of(map, window * WINDOW_BITS);
    for (size_t i = 0; i < WINDOW_CHUNKS; i++) {
        size_t chunk = window * WINDOW_CHUNKS + i;
        /* relaxed: a hint read here only says where to look */
        uint16_t hint = hfi_load_relaxed(chunk_hint(map, chunk));
        if (hint < want->count)
            continue;
        size_t limit = hfi_min((chunk + 1) * CHUNK_BITS, window_end);
        size_t first = claim_run(map, chunk_own_start(map, chunk), limit, window_end, want);
        if (first != NONE) {
            chunk_tighten_after_claim(map, chunk);
            return first;
        }
        chunk_tighten(map, chunk, hint);
    }
    window_tighten(map, window, seen);
    return NONE;
}

/* Runs longer than a window.  By the hints, a run that starts in window w ends at the latest in the first window
 * behind it that is not wholly free. */
static size_t claim_long(struct bitmap *map, const struct want *want)
{
    for (size_t window = 0, next; window < map->window_count; window = next) {
        size_t bound = hfi_load_relaxed(&map->xwindow_hints[window]); /* relaxed: only says where to look */
        next = window + 1;
        if (bound == 0)
            continue;
        size_t hint = WINDOW_BITS;
        while (next < map->window_count && hint == WINDOW_BITS) {
            hint = hfi_load_relaxed(&map->xwindow_hints[next]);
            bound += hint;
            if (hint == WINDOW_BITS)
                next++;
        }
        if (bound < want->count)
            continue;
        size_t limit = hfi_min((next + 1) * WINDOW_BITS, map->bit_count);
        size_t first = claim_run(map, window * WINDOW_BITS, limit, limit, want);
        if (first != NONE)
            return first;
    }
    return NONE;
}

/* ---- the calls ---- */

static struct want want_of(size_t count, size_t align, size_t origin)
{
    struct want want = {.count = count, .align = hfi_max(align, 1), .origin = origin, .aligned = 1};
    if (want.align < WORD_BITS)
        want.aligned = ~(uint64_t)0 / (((uint64_t)1 << want.align) - 1);
    return want;
}

static size_t words_of(size_t bits)
{
    return hfi_align_up(hfi_divide_up(bits, WORD_BITS), CHUNK_WORDS);
}

static size_t window_hints_bytes(size_t windows)
{
    return hfi_align_up(windows * sizeof(uint16_t), HFI_CACHE_LINE);
}

size_t hfi_bitmap_bytes(size_t bits)
{
    size_t windows = hfi_divide_up(bits, WINDOW_BITS);
    return windows * sizeof(struct bitmap_window) + window_hints_bytes(windows) + words_of(bits) * sizeof(uint64_t);
}

void hfi_bitmap_init(struct bitmap *map, size_t bits, void *memory)
{
    char *at = memory;
    map->bit_count = bits;
    map->window_count = hfi_divide_up(bits, WINDOW_BITS);
    map->windows = (void *)at;
    at += map->window_count * sizeof(struct bitmap_window);
    map->xwindow_hints = (void *)at;
    at += window_hints_bytes(map->window_count);
    map->xwords = (void *)at;
    hfi_store_relaxed(&map->xset_count, 0); /* relaxed: no other thread knows the map yet */
}

bool hfi_bitmap_release(struct bitmap *map, size_t first, size_t count)
{
    if (first > map->bit_count || count > map->bit_count - first)
        return false;
    /* relaxed: range_set is a release, so who sees the bits sees the sum (B3) */
    hfi_fetch_add_relaxed(&map->xset_count, count);
    size_t doubled = range_set(map, first, first + count);
    if (hfi_unlikely(doubled != 0))
        hfi_fetch_sub_relaxed(&map->xset_count, doubled); /* relaxed: takes back what was added above */
    hints_cover_set(map, first, first + count);
    return doubled == 0;
}

size_t hfi_bitmap_claim(struct bitmap *map, size_t count, size_t align, size_t origin)
{
    /* relaxed: never below the number of set bits this thread could claim (B3) */
    if (count == 0 || hfi_load_relaxed(&map->xset_count) < count)
        return NONE;
    if (hfi_likely(count == 1 && align <= 1))
        return claim_one(map);
    struct want want = want_of(count, align, origin);
    if (count > WINDOW_BITS)
        return claim_long(map, &want);
    for (size_t window = 0; window < map->window_count; window++) {
        uint16_t hint = hfi_load_relaxed(&map->xwindow_hints[window]); /* relaxed: only says where to look */
        if (hint < count)
            continue;
        size_t first = window_claim(map, window, &want, hint);
        if (first != NONE)
            return first;
    }
    return NONE;
}

size_t hfi_bitmap_claim_exact(struct bitmap *map, size_t count, size_t align, size_t origin)
{
    if (count == 0 || count > map->bit_count)
        return NONE;
    struct want want = want_of(count, align, origin);
    if (count > WINDOW_BITS)
        return claim_run(map, 0, map->bit_count, map->bit_count, &want);
    for (size_t from = 0, end; from < map->bit_count; from = end) {
        end = window_end_of(map, from);
        size_t first = claim_run(map, from, end, end, &want);
        if (first != NONE)
            return first;
    }
    return NONE;
}

bool hfi_bitmap_claim_at(struct bitmap *map, size_t first, size_t count)
{
    if (first > map->bit_count || count > map->bit_count - first || count == 0)
        return false;
    return range_take(map, first, first + count) == first + count;
}

size_t hfi_bitmap_longest_run(const struct bitmap *map)
{
    return longest_run(map, 0, map->bit_count, map->bit_count);
}

const char *hfi_bitmap_audit(const struct bitmap *map)
{
    size_t set = 0;
    for (size_t index = 0; index < words_of(map->bit_count); index++) {
        uint64_t word = hfi_load_relaxed(&map->xwords[index]); /* relaxed, here and below: no other thread is in a call */
        size_t inside = index * WORD_BITS < map->bit_count ? map->bit_count - index * WORD_BITS : 0;
        if (inside < WORD_BITS && word >> inside != 0)
            return "B4: a bit past the end of the map is set";
        set += (size_t)__builtin_popcountll(word);
    }
    if (set != hfi_load_relaxed(&map->xset_count))
        return "B3: the count of set bits is not what the words hold";
    for (size_t chunk = 0; chunk < words_of(map->bit_count) / CHUNK_WORDS; chunk++) {
        size_t hint = hfi_load_relaxed(chunk_hint(map, chunk));
        if (hint < chunk_longest(map, chunk))
            return "B1: a chunk hint is below a run that starts in the chunk";
        if (hint > hfi_load_relaxed(&map->xwindow_hints[chunk / WINDOW_CHUNKS]))
            return "B2: a window hint is below one of its chunk hints";
    }
    return NULL;
}
