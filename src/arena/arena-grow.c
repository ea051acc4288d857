/*
 * arena-grow: opening the next step of an arena without a named size.
 *
 * A5: of a growing arena a page is accessible before its bit is set in free_runs.  Its entries in
 *     owners[], the page table and the table that follows them (hfi_arena_follow) are writable
 *     then.  A page in `refused` is not open.
 *
 * Concurrency: xfrontier is advanced by CAS.  The thread that advanced it opens the step, populates
 * it and then sets its bits, so two growers work on different steps.  No page is opened twice,
 * since it may be protected again by then (guards; the program itself).  What the kernel refuses
 * goes to `refused`, from where the next grower claims it.
 *
 * Fails by opening nothing.  Tests: tests/unit/full.c, tests/programs/lockall.c,
 * tests/programs/refused.c, tests/programs/grows.c.
 */
#include "arena/arena.h"

#include "kernel/os.h"
#include "base/say.h"
#include "arena/reserve.h"
#include "numa/plan.h"

#define STEP_SHARE 16u       /* of what is open already: so much is populated ahead of use */
#define STEP_PAGES_MIN 32u   /* 2 MiB */
#define STEP_PAGES_MAX 1024u /* 64 MiB */
#define STEP_ALIGN_PAGES 32u /* huge pages are advised whole: other ends would cost two mappings each */
#define OTHERS_PAGES 8u      /* opened by others: a system call for each page would be dear */
#define LEAD_SHARE 8u        /* of a step, for others while the rest is being populated */
#define SPARSE_PAGES_MIN 128 /* 8 MiB */
#define LOOK_PAGES_MIN 512u  /* 32 MiB: less is not worth two system calls for each 64 theaps */
#define LOOK_SHARE 8u        /* of what is open: more is opened after a look in vain */
#define LOOK_GAIN_PAGES 32u  /* worth another look: as much as a small step */
#define MAPS_STEP_PAGES HFI_WINDOW_PAGES /* 2 MiB of table at once */
#define POPULATE_PAGES_MAX 1024u         /* larger requests are left to be touched: they may be sparse */

HFI_TLS bool hfi_arena_grew;

static struct {
    char *start;
    size_t first_index, entry_bytes;
} follower; /* const once there are threads */

static int follower_open(size_t index, size_t end)
{
    if (follower.start == NULL)
        return 0;
    size_t first = (index - follower.first_index) * follower.entry_bytes;
    size_t last = hfi_align_up((end - follower.first_index) * follower.entry_bytes, HFI_SMALL_PAGE_BYTES);
    first = hfi_align_down(first, HFI_SMALL_PAGE_BYTES);
    return hfi_os_protect(follower.start + first, last - first, true);
}

int hfi_arena_follow(char *start, size_t first_index, size_t entry_bytes)
{
    int error = 0;
    follower.start = start;
    follower.first_index = first_index;
    follower.entry_bytes = entry_bytes;
    for (unsigned i = 0; i < hfi_arena.node_count && error == 0; i++) {
        const struct arena_node *node = &hfi_arena.nodes[i];
        error = follower_open(node->first_index, node->first_index + hfi_load_relaxed(&node->xmaps_open));
    }
    return error;
}

/* A5 for the maps of pages before `end`.  Threads may do the same at once. */
static int node_open_maps(struct arena_node *node, size_t end)
{
    size_t open = hfi_load_acquire(&node->xmaps_open); /* pairs with the CAS below */
    if (end <= open)
        return 0;
    end = hfi_min(hfi_align_up(end, MAPS_STEP_PAGES), node->page_count);
    int error = hfi_open_maps(&hfi_arena.reservation, &hfi_arena.reservation.nodes[node->index], open, end);
    if (error == 0)
        error = follower_open(node->first_index + open, node->first_index + end);
    while (error == 0 && open < end && !hfi_cas_weak_acq_rel(&node->xmaps_open, &open, end))
        ;
    return error;
}

int hfi_arena_open_pages(struct arena_node *node, size_t first, size_t pages)
{
    const struct reserved_node *reserved = &hfi_arena.reservation.nodes[node->index];
    int error = node_open_maps(node, first + pages);
    return error != 0 ? error : hfi_open_step(reserved, first * HFI_PAGE_BYTES, pages * HFI_PAGE_BYTES);
}

/* Refused pages, if there are enough in a row: the kernel may be of another mind by now.  Returns
 * how many, from *first on. */
static size_t node_claim_refused(struct arena_node *node, size_t pages, size_t wished, size_t *first)
{
    if (hfi_load_relaxed(&node->refused.xset_count) < pages) /* relaxed: a hint; the bits are claimed */
        return 0;
    *first = hfi_runmap_claim_exact(&node->refused, wished, 1, 0);
    if (*first != HFI_RUNMAP_NONE)
        return wished;
    *first = hfi_runmap_claim_exact(&node->refused, pages, 1, 0);
    return *first != HFI_RUNMAP_NONE ? pages : 0;
}

/* What this thread opens: `pages` from `first` on, or if the kernel refuses so many, `least`. */
struct step {
    size_t first, pages, least;
    bool ahead;  /* of use: no other thread does so now */
    bool sparse; /* left to be touched by 4 KiB */
};

/* `least` pages at least, up to an end that is aligned to huge pages. */
static size_t step_pages(const struct arena_node *node, const struct step *step, size_t least)
{
    size_t most = step->ahead ? STEP_PAGES_MAX : STEP_PAGES_MIN;
    size_t pages =
        hfi_max(hfi_min(hfi_max((step->first - node->meta_pages) / STEP_SHARE, STEP_PAGES_MIN), most), least);
    size_t end = hfi_align_down(step->first + pages, STEP_ALIGN_PAGES);
    return (end >= step->first + least ? end : hfi_align_up(step->first + least, STEP_ALIGN_PAGES)) -
           step->first;
}

/* How many pages from the frontier `from` on, together with the free ones before it, hold a run of
 * `pages`, which stays in one window (runmap.h); 0 when all that are left do not. */
static size_t node_lacking(const struct arena_node *node, size_t from, size_t pages, size_t align)
{
    size_t first = node->first_index, window = HFI_RUNMAP_WINDOW_BITS;
    size_t place = from - hfi_runmap_set_below(&node->free_runs, from);
    place = hfi_align_up(place + first, align) - first;
    while (pages <= window && place / window != (place + pages - 1) / window && place < node->page_count)
        place = hfi_align_up(hfi_align_up(place + 1, window) + first, align) - first;
    if (place + pages > node->page_count)
        return 0;
    return hfi_max(place + pages, from + 1) - from; /* others may have freed what was lacking */
}

/* Where small steps end: there the arena is shown, and the program is no small one. */
static size_t node_first_end(const struct arena_node *node)
{
    return node->meta_pages + HFI_FIRST_PAGES;
}

/* Most of what is in use are pages of which threads have taken a few blocks: a program of many small
 * threads.  The kernel gives those as far as they are touched.  A few such pages cost nobody much. */
static bool node_is_sparse(const struct arena_node *node)
{
    /* relaxed: counts that others change meanwhile, a hint */
    ptrdiff_t sparse = (ptrdiff_t)hfi_load_relaxed(&node->xsparse_pages);
    ptrdiff_t dense = (ptrdiff_t)hfi_load_relaxed(&node->xdense_pages);
    size_t others = hfi_load_relaxed(&node->xlarge_pages) + hfi_load_relaxed(&node->xheap_pages);
    return sparse > SPARSE_PAGES_MIN && sparse > dense + (ptrdiff_t)others;
}

/* Whether this step ends where a huge page does.  All threads may come at once, while one of them goes
 * ahead: together they open at most as much again as is open. */
static bool step_is_whole(const struct arena_node *node, const struct step *step)
{
    size_t theaps = hfi_load_relaxed(&node->xtheap_count); /* relaxed: a hint */
    return step->ahead || (!step->sparse && theaps * STEP_PAGES_MIN <= step->first - node->meta_pages);
}

/* Claims pages that are not open, for a run of `pages`; none when it would find no room in all there
 * are. */
static bool node_claim_closed(struct arena_node *node, size_t pages, size_t align, struct step *step)
{
    size_t first_end = node_first_end(node);
    step->least = pages + align - 1;
    size_t wished = hfi_max(step->least, step->ahead ? STEP_PAGES_MIN : OTHERS_PAGES);
    step->pages = node_claim_refused(node, step->least, wished, &step->first);
    if (step->pages != 0)
        return true;
    step->first = hfi_load_relaxed(&node->xfrontier);
    do {
        step->least = step->first >= node->page_count ? 0 : node_lacking(node, step->first, pages, align);
        if (step->least == 0)
            return false;
        step->pages = step_is_whole(node, step) ? step_pages(node, step, step->least)
                                                : hfi_max(OTHERS_PAGES, step->least);
        if (step->first < first_end) /* publishing comes with growth: there must be some at that place */
            step->pages = hfi_max(hfi_min(step->pages, first_end - step->first), step->least);
        step->pages = hfi_min(step->pages, node->page_count - step->first);
    } while (!hfi_cas_weak_relaxed(&node->xfrontier, &step->first, step->first + step->pages));
    return true;
}

static void say_refused(const struct arena_node *node, size_t pages, int error)
{
    static _Atomic(bool) xsaid;
    char bytes[16];
    if (hfi_first_time(&xsaid))
        hfi_say(
            SAY_WARNING, "HF-W229", "arena",
            "node %u: the kernel refused to open %s more of the reserved addresses (%s): the arena does not "
            "grow until it does; raise the limit on data (ulimit -d) or vm.max_map_count, or with "
            "vm.overcommit_memory=2 vm.overcommit_ratio",
            node->id, hfi_format_bytes(bytes, sizeof bytes, pages * HFI_PAGE_BYTES),
            hfi_os_error_name(error));
}

/* Opens what was claimed, or the front half of it, and so on down to the least.  Returns how many
 * are open; the others are refused. */
static size_t node_open_claimed(struct arena_node *node, const struct step *step)
{
    size_t opened = step->pages;
    int error;
    while ((error = hfi_arena_open_pages(node, step->first, opened)) != 0 && opened > step->least)
        opened = hfi_max(opened / 2, step->least);
    if (error != 0) {
        say_refused(node, opened, error);
        opened = 0;
    }
    if (opened < step->pages)
        hfi_runmap_release(&node->refused, step->first + opened, step->pages - opened);
    return opened;
}

static void node_advise(const struct arena_node *node, size_t first, size_t pages)
{
    size_t from = hfi_max(first, node_first_end(node)); /* small programs gain nothing by huge pages */
    if (from < first + pages)
        hfi_advise_step(&hfi_arena.reservation.nodes[node->index], from * HFI_PAGE_BYTES,
                        (first + pages - from) * HFI_PAGE_BYTES);
}

/* The end of a step is given to others before the step is populated, the rest after it. */
static void node_populate(struct arena_node *node, size_t first, size_t pages, size_t wanted)
{
    const struct reserved_node *reserved = &hfi_arena.reservation.nodes[node->index];
    size_t lead = hfi_min(pages / LEAD_SHARE, pages - hfi_min(pages, wanted));
    if (lead != 0)
        hfi_runmap_release(&node->free_runs, first + pages - lead, lead);
    /* Refused population is no failure here: the pages are then faulted in one by one. */
    hfi_prefault_step(reserved, first * HFI_PAGE_BYTES, pages * HFI_PAGE_BYTES);
    hfi_runmap_release(&node->free_runs, first, pages - lead);
}

bool hfi_arena_grow(struct arena_node *node, size_t pages, size_t align)
{
    bool none = false;
    struct step step = { .ahead = hfi_cas_acq_rel(&node->xgrowing, &none, true),
                         .sparse = pages < STEP_PAGES_MIN && node_is_sparse(node) };
    bool claimed = node_claim_closed(node, pages, align, &step);
    size_t opened = claimed ? node_open_claimed(node, &step) : 0;
    if (opened != 0 && !step.sparse)
        node_advise(node, step.first, opened);
    if (opened != 0 && step.ahead && !step.sparse && step.least <= POPULATE_PAGES_MAX)
        node_populate(node, step.first, opened, step.least);
    else if (opened != 0)
        hfi_runmap_release(&node->free_runs, step.first, opened);
    hfi_level_follow(node);
    hfi_arena_grew = hfi_arena_grew || claimed;
    if (step.ahead && opened != 0)
        hfi_psi_follow(node, opened);
    if (step.ahead)
        hfi_store_release(&node->xgrowing, false);
    return opened != 0;
}

/* Relaxed throughout: a hint.  Where two threads look at once, both find less. */
size_t hfi_arena_look_first(struct arena_node *node)
{
    size_t open = hfi_load_relaxed(&node->xfrontier), at = hfi_load_relaxed(&node->xlook_at);
    if (open < LOOK_PAGES_MIN || open < at || open >= node->page_count ||
        hfi_load_relaxed(&node->xtheap_count) < 2 ||
        !hfi_cas_relaxed(&node->xlook_at, &at, open + open / LOOK_SHARE))
        return 0;
    return open;
}

void hfi_arena_looked(struct arena_node *node, size_t open, size_t gained)
{
    if (gained >= LOOK_GAIN_PAGES)
        hfi_store_relaxed(&node->xlook_at, open);
}

void hfi_arena_forked(void)
{
    for (unsigned i = 0; i < hfi_arena.node_count; i++)
        hfi_store_relaxed(&hfi_arena.nodes[i].xgrowing, false);
    for (unsigned i = 0; i < hfi_arena.node_count; i++)
        hfi_store_relaxed(&hfi_arena.nodes[i].xlook_from, NULL); /* it may be of those that are forsaken */
}
