/*
 * arena: see arena.h.
 *
 * One thread.  The built policy is the library's own run map and table of size classes.
 */
#include "arena.h"

#include <limits.h>

#include "base/atomic.h"

#define NO_PAGE UINT32_MAX
#define GROUP_PAGES ((size_t)32)

void *sim_zeroed(size_t bytes)
{
    void *memory = aligned_alloc(64, hfi_align_up(bytes, 64));
    if (memory == NULL)
        fail("no memory");
    return memset(memory, 0, bytes);
}

/* --- where runs are taken --- */

size_t sim_free_pages(const struct sim *sim)
{
    return hfi_load_relaxed(&sim->map.xset_count); /* relaxed: one thread */
}

/* First page from `from` on that is free, or is not. */
static size_t next_page(const struct sim *sim, size_t from, bool free)
{
    for (; from < sim->pages; from = hfi_align_down(from, 64) + 64) {
        uint64_t word = hfi_load_relaxed(&sim->map.xwords[from / 64]); /* relaxed: one thread */
        word = (free ? word : ~word) & ~(uint64_t)0 << from % 64;
        if (word != 0)
            return hfi_min(hfi_align_down(from, 64) + hfi_lowest_bit(word), sim->pages);
    }
    return sim->pages;
}

/* Takes `pages` from the run for which `weight` times its length is least; of equal ones the lowest
 * from below, or the highest from above. */
static size_t take_run(struct sim *sim, size_t pages, int weight, bool high)
{
    size_t best = NONE;
    long best_length = 0;
    for (size_t end, start = 0; (start = next_page(sim, start, true)) < sim->pages; start = end) {
        end = next_page(sim, start, false);
        long length = (long)(end - start) * weight;
        if (end - start < pages || (best != NONE && (high ? length > best_length : length >= best_length)))
            continue;
        best = high ? end - pages : start;
        best_length = length;
    }
    if (best != NONE)
        hfi_runmap_claim_at(&sim->map, best, pages);
    return best;
}

static size_t place_built(struct sim *sim, size_t pages, bool high)
{
    return high ? hfi_runmap_claim(&sim->map, pages, 1, 0) : hfi_runmap_claim_low(&sim->map, pages, 1, 0);
}

static size_t place_lowest(struct sim *sim, size_t pages, bool high)
{
    (void)high;
    return take_run(sim, pages, 0, false);
}

static size_t place_tightest(struct sim *sim, size_t pages, bool high)
{
    return pages == 1 ? hfi_runmap_claim_one(&sim->map) : take_run(sim, pages, 1, high);
}

static size_t place_tightest_single(struct sim *sim, size_t pages, bool high)
{
    return take_run(sim, pages, 1, high);
}

static size_t place_ends(struct sim *sim, size_t pages, bool high)
{
    return take_run(sim, pages, 0, high);
}

static size_t place_widest(struct sim *sim, size_t pages, bool high)
{
    return pages == 1 ? hfi_runmap_claim_one(&sim->map) : take_run(sim, pages, -1, high);
}

/* A single page of the fullest huge page that has one. */
static size_t place_fullest_group(struct sim *sim, size_t pages, bool high)
{
    if (pages != 1)
        return place_tightest(sim, pages, high);
    size_t best = NONE;
    int least = INT_MAX;
    for (size_t group = 0; group < sim->pages; group += GROUP_PAGES) {
        /* relaxed: one thread */
        uint64_t word = hfi_load_relaxed(&sim->map.xwords[group / 64]) >> group % 64;
        int free = __builtin_popcountll(word & hfi_mask(0, GROUP_PAGES));
        if (free == 0 || free >= least)
            continue;
        best = group;
        least = free;
    }
    if (best == NONE)
        return NONE;
    best = next_page(sim, best, true);
    hfi_runmap_claim_at(&sim->map, best, 1);
    return best;
}

const struct policy sim_policies[] = {
    { "built", place_built, false, "what the library does" },
    { "lowest", place_lowest, false, "the lowest place that fits, for single pages and runs" },
    { "tightest", place_tightest, false,
      "single pages lowest, runs of blocks and large blocks from the ends" },
    { "tightest-single", place_tightest_single, false, "single pages from the tightest place, too" },
    { "ends", place_ends, false, "the lowest place for blocks, the highest for large blocks" },
    { "widest", place_widest, false, "runs from the longest free run" },
    { "fullest-group", place_fullest_group, false, "single pages from the fullest 2 MiB, runs tightest" },
    { "apart", place_lowest, true, "a run takes any free pages: what it costs that it is in one piece" },
    { 0 },
};

static size_t claim(struct sim *sim, size_t pages, bool high)
{
    size_t head = NONE;
    if (!sim->apart) {
        head = sim->place(sim, pages, high);
    } else if (sim_free_pages(sim) >= pages) {
        for (size_t i = 0, next = NO_PAGE; i < pages; i++, next = head) {
            head = hfi_runmap_claim_one(&sim->map);
            sim->runs[head].next = (uint32_t)next;
        }
    }
    if (head != NONE)
        sim->runs[head].pages = (uint32_t)pages;
    return head;
}

static void release(struct sim *sim, size_t head)
{
    size_t pages = sim->runs[head].pages;
    if (!sim->apart)
        hfi_runmap_release(&sim->map, head, pages);
    for (size_t at = head; sim->apart && pages > 0; pages--, at = sim->runs[at].next)
        hfi_runmap_release(&sim->map, at, 1);
}

/* --- size classes --- */

static size_t run_pages(const struct class *class, const struct cut *cut)
{
    size_t pages = class->least_pages;
    while (pages < cut->run_pages &&
           pages * HFI_PAGE_BYTES % class->bytes * cut->tails > pages * HFI_PAGE_BYTES)
        pages++;
    return pages;
}

static void add_class(struct sim *sim, size_t bytes, const struct cut *cut)
{
    struct class *class = &sim->classes[sim->class_count];
    size_t unit = sim->class_count == 0 ? 0 : class[-1].bytes / 16 + 1;
    if (sim->class_count == CLASSES_MAX)
        fail("too many classes");
    class->bytes = bytes;
    class->least_pages = hfi_divide_up(bytes, HFI_PAGE_BYTES);
    class->run_pages = cut != NULL ? run_pages(class, cut) : hfi_sizeclasses[sim->class_count].run_pages;
    memset(&sim->class_of[unit], (int)sim->class_count, bytes / 16 + 1 - unit);
    sim->class_count++;
}

void sim_set_classes(struct sim *sim, const struct cut *cut)
{
    sim->class_count = 0;
    for (unsigned i = 0; i < HFI_CLASS_COUNT && cut == NULL; i++)
        add_class(sim, hfi_sizeclasses[i].block_bytes, NULL);
    for (size_t bytes = 16; bytes <= HFI_BLOCK_MAX_BYTES && cut != NULL;) {
        add_class(sim, bytes, cut);
        size_t power = (size_t)1 << hfi_highest_bit(bytes);
        bytes += bytes < 256 ? 16 : bytes < 512 ? 32 : power / cut->spread;
    }
}

static struct idleset *room_of(struct sim *sim, size_t head)
{
    const struct run *run = &sim->runs[head];
    size_t level = (size_t)(run->blocks - 1 - run->used) * sim->levels / run->blocks;
    return &sim->classes[run->class].with_room[level];
}

static bool waits_for_use(const struct sim *sim, size_t head)
{
    const struct run *run = &sim->runs[head];
    return sim->classes[run->class].current != head && run->used < run->blocks;
}

static size_t take_room(struct sim *sim, struct class *class)
{
    size_t head = HFI_IDLESET_NONE;
    for (unsigned level = 0; level < sim->levels && head == HFI_IDLESET_NONE; level++)
        head = hfi_idleset_take(&class->with_room[level]);
    return head;
}

static size_t cut_run(struct sim *sim, unsigned index)
{
    const struct class *class = &sim->classes[index];
    size_t head = NONE;
    for (size_t pages = class->run_pages; pages >= class->least_pages && head == NONE; pages--)
        head = claim(sim, pages, false);
    if (head == NONE)
        return NONE;
    struct run *run = &sim->runs[head];
    run->class = index;
    run->blocks = (uint32_t)(run->pages * HFI_PAGE_BYTES / class->bytes);
    run->used = 0;
    return head;
}

/* Room in a run of a larger class, when there is nothing else. */
static size_t borrow(struct sim *sim, unsigned index)
{
    for (; index < sim->class_count; index++) {
        size_t head = sim->classes[index].current;
        if (head == NONE || sim->runs[head].used == sim->runs[head].blocks)
            head = take_room(sim, &sim->classes[index]);
        if (head != NONE)
            return head;
    }
    return NONE;
}

static size_t alloc_block(struct sim *sim, unsigned index)
{
    struct class *class = &sim->classes[index];
    size_t head = class->current;
    if (head == NONE || sim->runs[head].used == sim->runs[head].blocks) {
        head = take_room(sim, class);
        if (head == NONE)
            head = cut_run(sim, index);
        class->current = head;
    }
    if (head == NONE)
        head = borrow(sim, index + 1);
    if (head == NONE)
        return NONE;
    sim->runs[head].used++;
    if (waits_for_use(sim, head))
        hfi_idleset_add(room_of(sim, head), head);
    return head;
}

size_t sim_alloc(struct sim *sim, size_t bytes)
{
    if (bytes <= HFI_BLOCK_MAX_BYTES)
        return alloc_block(sim, sim->class_of[(bytes + 15) / 16]);
    size_t head = claim(sim, hfi_divide_up(bytes, HFI_PAGE_BYTES), true);
    if (head != NONE)
        sim->runs[head].class = LARGE;
    return head;
}

void sim_free(struct sim *sim, size_t head)
{
    struct run *run = &sim->runs[head];
    if (run->class == LARGE) {
        release(sim, head);
        return;
    }
    struct class *class = &sim->classes[run->class];
    if (waits_for_use(sim, head))
        hfi_idleset_remove(room_of(sim, head), head);
    if (--run->used == 0) {
        class->current = class->current == head ? NONE : class->current;
        release(sim, head);
    } else if (waits_for_use(sim, head)) {
        hfi_idleset_add(room_of(sim, head), head);
    }
}

void sim_open(struct sim *sim)
{
    sim->runs = sim_zeroed(sim->pages * sizeof sim->runs[0]);
    hfi_runmap_init(&sim->map, sim->pages, sim_zeroed(hfi_runmap_bytes(sim->pages)));
    hfi_runmap_release(&sim->map, 0, sim->pages);
    for (unsigned i = 0; i < sim->class_count; i++) {
        sim->classes[i].current = NONE;
        for (unsigned level = 0; level < sim->levels; level++)
            hfi_idleset_init(&sim->classes[i].with_room[level], sim->pages,
                             sim_zeroed(hfi_idleset_bytes(sim->pages)));
    }
}

void sim_close(struct sim *sim)
{
    for (unsigned i = 0; i < sim->class_count; i++)
        for (unsigned level = 0; level < sim->levels; level++)
            free((void *)sim->classes[i].with_room[level].xlevels[0]);
    free(sim->map.windows);
    free(sim->runs);
}
