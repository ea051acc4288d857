/*
 * runmap: calls on a run map, each interrupted at each atomic step by others (explorer.h).
 *
 * From random maps of two chunks, of four, and of three windows: no page is handed out twice or
 * lost, and RM1 to RM3 of runmap.c hold after the calls; hints past the last window stay zero.  And
 * on a map of 100 GiB no call takes more steps than runmap.c promises.
 *
 *   runmap [SEED [FACTOR]]    FACTOR times as many rounds: for a night
 */
#include "explorer.h"

#include "base/bits.h"
#include "arena/runmap.h"

#define BITS_MAX 33300
#define WORDS_MAX ((BITS_MAX + 63) / 64)
#define MEMORY_MAX 16384
#define SETTING_UP 30 /* calls, at most, that make the map the three start from */

enum kind { RELEASE, CLAIM, CLAIM_FROM_BELOW, CLAIM_EXACT, CLAIM_AT };

struct call {
    enum kind kind;
    size_t first, count, align;
};

static struct call calls[CALLS];
static struct runmap map, map_at_start;
static HFI_CACHE_ALIGNED char memory[MEMORY_MAX];
static char memory_at_start[MEMORY_MAX];
static uint64_t taken[WORDS_MAX], taken_at_start[WORDS_MAX]; /* by the callers: the map's complement */
static size_t memory_bytes;
static const char *broken;

static bool is_taken(size_t bit)
{
    return taken[bit / 64] >> bit % 64 & 1;
}

static void take(size_t first, size_t count)
{
    for (size_t bit = first; bit < first + count; bit++) {
        if (is_taken(bit))
            broken = "a page was handed out twice";
        taken[bit / 64] |= (uint64_t)1 << bit % 64;
    }
}

static void put_back(size_t first, size_t count)
{
    for (size_t bit = first; bit < first + count; bit++)
        taken[bit / 64] &= ~((uint64_t)1 << bit % 64);
}

static void perform(int number)
{
    const struct call *call = &calls[number];
    size_t first = HFI_RUNMAP_NONE;
    switch (call->kind) {
    case RELEASE:
        put_back(call->first, call->count);
        if (!hfi_runmap_release(&map, call->first, call->count))
            broken = "a release was refused";
        return;
    case CLAIM: first = hfi_runmap_claim(&map, call->count, call->align, 0); break;
    case CLAIM_FROM_BELOW: first = hfi_runmap_claim_low(&map, call->count, call->align, 0); break;
    case CLAIM_EXACT: first = hfi_runmap_claim_exact(&map, call->count, call->align, 0); break;
    case CLAIM_AT:
        if (hfi_runmap_claim_at(&map, call->first, call->count))
            first = call->first;
        break;
    }
    if (first != HFI_RUNMAP_NONE)
        take(first, call->count);
}

static void describe(void)
{
    static const char *const names[] = { "release", "claim", "claim_exact", "claim_at" };
    for (int i = 0; i < CALLS; i++)
        printf("  call %d: %s first %zu count %zu align %zu\n", i, names[calls[i].kind], calls[i].first,
               calls[i].count, calls[i].align);
}

static void restore(void)
{
    map = map_at_start;
    memcpy(memory, memory_at_start, memory_bytes);
    memcpy(taken, taken_at_start, sizeof taken);
    broken = NULL;
}

static const char *broken_now(void)
{
    if (broken == NULL)
        broken = hfi_runmap_audit(&map);
    for (size_t bit = 0; bit < map.bit_count && broken == NULL; bit += 64) {
        size_t here = hfi_min(map.bit_count - bit, 64);
        if (atomic_load(&map.xwords[bit / 64]) != (~taken[bit / 64] & hfi_mask(0, (unsigned)here)))
            broken = "a page is neither free nor taken, or both";
    }
    for (_Atomic(uint16_t) *hint = map.xwindow_hints + map.window_count;
         hint < (_Atomic(uint16_t) *)map.xwords; hint++)
        if (broken == NULL && atomic_load(hint) != 0)
            broken = "a hint past the last window was raised";
    return broken;
}

static size_t some_count(void)
{
    if (random_below(4) == 0)
        return 1;
    return 1 + random_below(hfi_min((size_t)1 << random_below(15), map.bit_count / 2));
}

/* Anywhere, or a little below an edge: of chunks, and of windows. */
static size_t some_place(void)
{
    size_t edge = random_below(4) == 0 ? HFI_RUNMAP_WINDOW_BITS : HFI_RUNMAP_CHUNK_BITS;
    if (map.bit_count <= edge || random_below(2) == 0)
        return random_below(map.bit_count);
    return (1 + random_below(map.bit_count / edge)) * edge - 1 - random_below(8);
}

/* Pages that are taken, and that no other call is to release. */
static bool choose_release(struct call *call, uint64_t *promised)
{
    for (int try = 0; try < 200; try++) {
        size_t first = some_place(), count = 0, most = some_count();
        bool whole = random_below(2) == 0;
        while (whole && first > 0 && is_taken(first) && is_taken(first - 1))
            first--;
        for (size_t bit = first; bit < map.bit_count && count < most; bit++, count++)
            if (!is_taken(bit) || (promised[bit / 64] >> bit % 64 & 1))
                break;
        if (count == 0)
            continue;
        for (size_t bit = first; bit < first + count; bit++)
            promised[bit / 64] |= (uint64_t)1 << bit % 64;
        *call = (struct call){ .kind = RELEASE, .first = first, .count = count };
        return true;
    }
    return false;
}

static void choose_call(struct call *call, uint64_t *promised)
{
    static const enum kind kinds[] = { RELEASE, RELEASE,          RELEASE,     CLAIM,
                                       CLAIM,   CLAIM_FROM_BELOW, CLAIM_EXACT, CLAIM_AT };
    enum kind kind = kinds[random_below(8)];
    if (kind == RELEASE && choose_release(call, promised))
        return;
    *call = (struct call){ .kind = kind == RELEASE ? CLAIM : kind,
                           .count = some_count(),
                           .align = random_below(4) != 0 ? 1 : 8 };
    call->first = hfi_min(some_place(), map.bit_count - call->count);
}

static void random_map(size_t bits)
{
    memory_bytes = hfi_runmap_bytes(bits);
    if (memory_bytes > sizeof memory)
        abort();
    memset(memory, 0, memory_bytes);
    memset(taken, 0xff, sizeof taken);
    hfi_runmap_init(&map, bits, memory);
    for (size_t i = random_below(SETTING_UP); i > 0; i--) {
        uint64_t promised[WORDS_MAX] = { 0 };
        choose_call(&calls[0], promised);
        perform(0);
    }
    map_at_start = map;
    memcpy(memory_at_start, memory, memory_bytes);
    memcpy(taken_at_start, taken, sizeof taken);
}

static void rounds(long count, size_t bits, int tries)
{
    for (long i = 0; i < count; i++) {
        uint64_t promised[WORDS_MAX] = { 0 };
        random_map(bits);
        for (int call = 0; call < CALLS; call++)
            choose_call(&calls[call], promised);
        explore_some(tries);
    }
}

/* --- bounds --- */

#define LARGE_BITS (100 * HFI_RUNMAP_WINDOW_BITS)
#define WINDOWS 100l  /* hints read where no window fits */
#define IN_WINDOW 32l /* its chunks' hints */
#define IN_CHUNK 8l   /* words */
#define WORDS_OF_WINDOW 256l
#define TO_TAKE 12l /* clearing a bit, the count, the hints of what is left behind, the map's own fields */

static struct runmap large;

static void at_most(long bound, const char *what)
{
    if (steps_done[0] > bound) {
        printf("%s took %ld steps, more than %ld\n", what, steps_done[0], bound);
        faults++;
    }
    steps_done[0] = 0;
}

static size_t claim_counted(size_t count)
{
    running = 0;
    size_t first = hfi_runmap_claim(&large, count, 1, 0);
    running = -1;
    return first;
}

static void claims_get(size_t count, size_t first, long bound, const char *what)
{
    if (claim_counted(count) != first) {
        printf("%s: not the place expected\n", what);
        faults++;
    }
    at_most(bound, what);
}

static void release_counted(size_t first, size_t count, const char *what)
{
    running = 0;
    hfi_runmap_release(&large, first, count);
    running = -1;
    /* the words set; those of the window before and behind; two hints for each run and window */
    at_most(2 * (long)(count / 64) + 2 * WORDS_OF_WINDOW + 8 * (long)(1 + count / HFI_RUNMAP_WINDOW_BITS) +
                TO_TAKE,
            what);
}

static void bounds(void)
{
    static const char *const one = "one page", *const run_of = "a run", *const none = "a run that is nowhere";
    char *large_memory =
        aligned_alloc(HFI_CACHE_LINE, hfi_align_up(hfi_runmap_bytes(LARGE_BITS), HFI_CACHE_LINE));
    if (large_memory == NULL)
        abort();
    memset(large_memory, 0, hfi_runmap_bytes(LARGE_BITS));
    hfi_runmap_init(&large, LARGE_BITS, large_memory);
    second_at = third_at = NEVER;
    steps_done[0] = 0;
    claims_get(1, HFI_RUNMAP_NONE, WINDOWS, "one page of none");
    for (size_t count = 1; count <= HFI_RUNMAP_WINDOW_BITS; count = 3 * count + 1) {
        bool is_one = count == 1;
        release_counted(LARGE_BITS - count, count, "a release at the end");
        claims_get(count + 1, HFI_RUNMAP_NONE, 1 + WINDOWS, none);
        claims_get(count, LARGE_BITS - count,
                   WINDOWS + IN_WINDOW + (is_one ? IN_CHUNK : 3 * WORDS_OF_WINDOW) + TO_TAKE,
                   is_one ? one : run_of);
    }
    for (size_t bit = 1; bit < LARGE_BITS; bit += 2)
        release_counted(bit, 1, "a release between others");
    claim_counted(2); /* finds the last window's hint, of the long run that was there, too high */
    steps_done[0] = 0;
    claims_get(2, HFI_RUNMAP_NONE, 1 + WINDOWS, none);
    claims_get(1, 1, WINDOWS + IN_WINDOW + IN_CHUNK + TO_TAKE, one);
    /* With all hints too high, one call lowers them, and the next is short again. */
    for (size_t bit = 512; bit < LARGE_BITS; bit += 512) {
        hfi_runmap_release(&large, bit, 1);
        hfi_runmap_claim_at(&large, bit, 1);
    }
    claim_counted(2);
    steps_done[0] = 0;
    claims_get(2, HFI_RUNMAP_NONE, 1 + WINDOWS, "a run that is nowhere, once more");
    for (size_t bit = 0; bit < LARGE_BITS; bit += 2)
        release_counted(bit, 1, "a release that joins others");
    release_counted(1, 1, "the last release");
    /* Pages run out from the lowest on: a call meets at most one chunk and one window that have
     * just become empty. */
    for (size_t i = 0; i < LARGE_BITS; i++)
        claims_get(1, i, WINDOWS + 5 * IN_WINDOW + 5 * IN_CHUNK + TO_TAKE, "one page of all");
    release_counted(0, LARGE_BITS, "a release of all");
    claims_get(100, LARGE_BITS - 100, 8 * (IN_WINDOW + 2 * IN_CHUNK) + 3 * WORDS_OF_WINDOW + TO_TAKE,
               "a run, where eight windows are compared");
    free(large_memory);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        random_state = strtoull(argv[1], NULL, 0) | 1;
    long factor = argc > 2 ? strtol(argv[2], NULL, 0) : 1;
    rounds(8000 * factor, 700, 4);
    rounds(3000 * factor, 2048, 2);
    rounds(300 * factor, BITS_MAX, 1);
    bounds();
    return explored();
}
