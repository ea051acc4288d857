/*
 * magazine: see magazine.h; doc/protocols.md ("Magazines").
 *
 * Concurrency: `incoming` and `previous` belong to whoever has the theap's lists (T5 in theap.c),
 * `loaded` to its thread.
 *
 * M1: a block in a magazine counts as handed out in its page.
 * M2: free puts into `incoming`.  malloc takes from `loaded`, which stands in for the current page
 *     in the direct table.  It is loaded with what came in once the thread's own page has run dry
 *     (but see M7).  So a thread with room of its own returns what it does not need, rather than
 *     freeing foreign blocks for ever.
 * M3: blocks never wait behind newer ones: a full `incoming` becomes `previous`.  When `incoming` is
 *     full again, the front of `previous` goes back, as far as it lies in one page, by one CAS.
 * M4: `incoming` and `previous` together hold at most twice limit_blocks, and two more.  Where the
 *     limit has fallen they shrink as they return blocks.  On a tight node threads share pages, which
 *     are unowned: they load ample_blocks of one at a time, which is what an idle page has.
 * M5: only blocks of the theap's home node are taken: what malloc takes from a magazine is local.
 * M6: a thread takes a page of its own first, except on a tight node.  What it frees for others may
 *     share cache lines with what they have, and it would go on with those blocks for ever (passive
 *     false sharing: Berger et al., ASPLOS 2000).
 * M7: a thread that hands on what it allocates, and frees what it is handed, takes what it freed
 *     last.  Its own come after that: others have had them in their caches.  It shows when half of
 *     what it frees is not its own although it takes its own first.  Blocks that came back to it
 *     would be its own before long.  Looked at again after a while; never on a tight node, since
 *     what is loaded can be had by nobody else.
 *
 * Tests: tests/unit/magazine.c, tests/programs/fork.c.
 */
#include "heap/magazine.h"

#include "arena/pagemap.h"
#include "base/check.h"
#include "heap/remote.h"
#include "base/say.h"
#include "heap/theaps.h"
#include "arena/arena.h"
#include "heap/page.h"
#include "heap/budget.h"

#define LISTS_BLOCKS_MAX (2 * 2 * hfi_budget_roomy.list_blocks + 2) /* M4, of a thread that hands on */
#define LOOKED_AT 8u                                                /* links of a list that is taken over */
#define RETURN_MAX 64u /* blocks of one page that one put returns: bounded work */

/* Blocks that a thread takes until it is judged (M7), and until it is judged again once it was
 * found to hand them on. */
#define JUDGED_BLOCKS 8192u
#define HANDS_ON_BLOCKS (8 * JUDGED_BLOCKS)

static uint32_t limit_blocks(const struct theap *theap, unsigned class)
{
    const struct budget *budget = hfi_budget(theap->node);
    uint32_t times = theap->hands_on ? 2 : 1;
    uint32_t fit = times * budget->list_bytes / hfi_sizeclasses[class].block_bytes;
    return (uint32_t)hfi_min(fit, times * budget->list_blocks);
}

static struct page *page_of_block(const struct block *block)
{
    return hfi_page_at(hfi_index_of(block)); /* runs of the direct table's classes are one page long (S5) */
}

/* The next of a list, which a write into a freed block may have replaced by anything: only what may
 * be a block is followed. */
static struct block *next_of(const struct block *block)
{
    struct block *next = block->next;
    if (next == NULL)
        return NULL;
    if (hfi_unlikely(!hfi_in_arena(next) || (uintptr_t)next % HFI_MAX_ALIGN != 0 ||
                     hfi_load_relaxed(hfi_owner_at(hfi_index_of(next))) < HFI_OWNER_ENDED))
        hfi_die("HF-E305", "magazine",
                "freed block %p of %u bytes leads to %p, which is no such block: it was written to after it "
                "was freed; "
                "run the program under the secure build or valgrind",
                (const void *)block, page_of_block(block)->block_bytes, (const void *)next);
    return next;
}

/* A list that is to be taken from: none of its first blocks comes twice (as in page.c). */
static void look_closely(const struct block *list)
{
    const struct block *block = list, *mark = list;
    for (uint32_t i = 1; i <= LOOKED_AT && (block = next_of(block)) != NULL; i++) {
        if (hfi_unlikely(block == list || block == mark))
            hfi_page_die_listed_twice(page_of_block(list), list, i);
        if (hfi_is_power_of_two(i))
            mark = block;
    }
}

static void check_list(struct magazine *magazine, const struct block *list)
{
    if (!hfi_looks_due(&magazine->loaded.looks)) {
        next_of(list); /* the head's link is checked in any case */
        return;
    }
    look_closely(list);
    hfi_looks_taken(&magazine->loaded.looks);
}

/* Whether `block` may be one of the page in which `other` lies: what a link may lead to without a
 * look at the page table. */
HFI_INLINE bool is_beside(const struct block *other, const struct block *block)
{
    return (((uintptr_t)other ^ (uintptr_t)block) & ~(uintptr_t)(HFI_PAGE_BYTES - HFI_MAX_ALIGN)) == 0;
}

/* The last of the blocks at the front of a list that lie in one page, `*count` at most, and how many
 * these are. */
static struct block *end_of_run(struct block *first, uint32_t *count)
{
    struct block *last = first;
    uint32_t length = 1;
    while (length < *count && is_beside(first, last->next)) {
        last = last->next;
        length++;
    }
    *count = length;
    return last;
}

/* Returns the blocks at the front of a list of `blocks` that lie in one page, RETURN_MAX at most.
 * How many. */
static uint32_t return_some(struct block **list, uint32_t blocks)
{
    struct block *first = *list;
    hfi_assert(first != NULL && blocks != 0);
    uint32_t count = (uint32_t)hfi_min(blocks, RETURN_MAX);
    struct block *last = end_of_run(first, &count);
    *list = next_of(last);
    hfi_remote_return(page_of_block(first), first, last, count);
    return count;
}

/* `incoming`, which is empty, may have `blocks` blocks. */
static void give_room(struct magazine *magazine, uint32_t blocks)
{
    hfi_assert(magazine->incoming == NULL);
    magazine->incoming_room = magazine->incoming_limit = blocks;
}

/* M4: `incoming`, which has no room left, gets more.  `returned`: blocks that left the lists for it. */
static void give_more_room(struct theap *theap, struct magazine *magazine, unsigned class, uint32_t returned)
{
    uint32_t limit = limit_blocks(theap, class), held = magazine->previous_blocks + magazine->incoming_limit;
    uint32_t more = held < 2 * limit ? hfi_min(limit, 2 * limit - held) : hfi_max(returned, 1);
    hfi_assert(magazine->incoming_room == 0);
    magazine->incoming_limit += magazine->incoming_room = more;
}

static uint32_t return_previous(struct theap *theap, struct magazine *magazine)
{
    hfi_assert((magazine->previous == NULL) == (magazine->previous_blocks == 0));
    if (magazine->previous == NULL)
        return 0;
    uint32_t count = return_some(&magazine->previous, magazine->previous_blocks);
    magazine->previous_blocks -= count;
    theap->trade.returned += count;
    return count;
}

static void make_previous(struct magazine *magazine)
{
    hfi_assert(magazine->previous == NULL);
    if (magazine->incoming != NULL)
        check_list(magazine, magazine->incoming);
    magazine->previous = magazine->incoming;
    magazine->previous_blocks = magazine->incoming_limit - magazine->incoming_room;
    magazine->incoming = NULL;
    give_room(magazine, 0);
}

/* M6 */
static bool has_own_page(const struct theap *theap, unsigned class)
{
    return hfi_theap_current(theap, class) != NULL || hfi_budget(theap->node)->shares;
}

/* Blocks that `loaded` has left: the fast path counts what it takes. */
static uint32_t loaded_blocks(const struct magazine *magazine)
{
    return magazine->loaded.capacity - magazine->loaded.used;
}

static struct page_front *load(struct magazine *magazine, unsigned class, struct block *list, uint32_t blocks)
{
    hfi_assert(class < HFI_DIRECT_CLASSES && (list != NULL) == (blocks != 0));
    hfi_assert(magazine->loaded.local_free == NULL);
    magazine->loaded.free = list;
    magazine->loaded.capacity = (uint16_t)blocks;
    magazine->loaded.used = 0;
    hfi_theap_direct(class, &magazine->loaded);
    return &magazine->loaded;
}

struct page_front *hfi_magazine_load(struct theap *theap, unsigned class)
{
    struct magazine *magazine = &theap->magazines[class];
    if (!has_own_page(theap, class))
        return NULL;
    magazine->recent = true;
    if (magazine->loaded.free != NULL)
        return load(magazine, class, magazine->loaded.free, loaded_blocks(magazine));
    if (!hfi_theap_has_lists(theap))
        return NULL;
    bool newest = magazine->incoming != NULL;
    struct block **list = newest ? &magazine->incoming : &magazine->previous;
    if (*list == NULL)
        return NULL;
    check_list(magazine, *list);
    uint32_t incoming_blocks = magazine->incoming_limit - magazine->incoming_room;
    load(magazine, class, *list, newest ? incoming_blocks : magazine->previous_blocks);
    *list = NULL;
    if (newest) {
        give_room(magazine, 0);
        give_more_room(theap, magazine, class, 0);
    } else {
        magazine->previous_blocks = 0;
    }
    return &magazine->loaded;
}

/* M7: of `listed` and `freed` blocks all but the returned ones were handed out, since what
 *     magazines keep is taken again. */
bool hfi_magazine_is_first(struct theap *theap)
{
    const struct counters *counters = &theap->counters;
    struct theap_trade *trade = &theap->trade;
    uint64_t listed = counters->listed - trade->listed, freed = hfi_counters_freed(counters) - trade->freed;
    if (hfi_unlikely(listed + freed >=
                     trade->returned + (theap->hands_on ? HANDS_ON_BLOCKS : JUDGED_BLOCKS))) {
        theap->hands_on = !theap->hands_on && freed + trade->returned >= listed;
        *trade = (struct theap_trade){ .listed = counters->listed, .freed = hfi_counters_freed(counters) };
    }
    if (theap->hands_on && hfi_budget(theap->node)->shares)
        theap->hands_on = false;
    return theap->hands_on;
}

/* `incoming` of a class, which has no room, takes one block at least: what is oldest goes. */
static void make_room(struct theap *theap, unsigned class)
{
    struct magazine *magazine = &theap->magazines[class];
    hfi_store_relaxed(&theap->xmagazines, true); /* relaxed: a hint */
    if (theap->hands_on && magazine->loaded.free == NULL)
        hfi_magazine_load(theap, class); /* M7 */
    if (magazine->incoming_room != 0)
        return;
    uint32_t returned = return_previous(theap, magazine);
    if (magazine->previous == NULL)
        make_previous(magazine);
    give_more_room(theap, magazine, class, returned);
}

bool hfi_magazine_put(struct theap *theap, struct page *page, uintptr_t owner, struct block *block)
{
    unsigned class = page->size_class;
    if (HFI_SECURE || class >= HFI_DIRECT_CLASSES || hfi_node_of_page(page) != theap->node ||
        !hfi_theap_has_lists(theap))
        return false;
    if (hfi_unlikely(block == theap->magazines[class].incoming))
        hfi_remote_die_freed_twice(page, block);
    if (theap->magazines[class].incoming_room == 0)
        make_room(theap, class);
    hfi_magazine_push(theap, class, owner, block);
    return true;
}

struct page_front *hfi_magazine_fill(struct theap *theap, struct page *page)
{
    unsigned class = page->size_class;
    struct magazine *magazine = &theap->magazines[class];
    hfi_assert(!HFI_SECURE && page->list == LIST_NONE && hfi_page_mode(page) == PAGE_IN_USE);
    struct block *list = magazine->loaded.free;
    uint32_t blocks = loaded_blocks(magazine);
    for (uint32_t left = hfi_sizeclasses[class].ample_blocks; left != 0; left--) {
        if (page->front.free == NULL)
            theap->counters.listed += hfi_page_refill(page);
        struct block *block = page->front.free;
        if (block == NULL)
            break;
        page->front.free = block->next;
        page->front.used++;
        block->next = list;
        list = block;
        blocks++;
    }
    hfi_page_let_go(page);
    return load(magazine, class, list, blocks);
}

/* Second chance (Corbato 1968): one loaded since the last pass is passed over once. */
void hfi_magazine_shed(struct theap *theap)
{
    uint32_t classes = hfi_theap_has_lists(theap) ? hfi_budget(theap->node)->shed_magazines : 0;
    for (uint32_t i = 0; i < classes; i++) {
        struct magazine *magazine = &theap->magazines[theap->magazine_shed_next];
        theap->magazine_shed_next = (theap->magazine_shed_next + 1) % HFI_DIRECT_CLASSES;
        bool recent = magazine->recent;
        magazine->recent = false;
        if (!recent && return_previous(theap, magazine) == 0)
            make_previous(magazine);
    }
}

static uint32_t return_all(struct block *list)
{
    uint32_t count = 0;
    if (list != NULL)
        look_closely(list);
    while (list != NULL)
        count += return_some(&list, RETURN_MAX);
    return count;
}

/* Takes a class's lists that are not loaded. */
static void take_lists(struct magazine *magazine, struct block *lists[2])
{
    lists[0] = magazine->incoming;
    lists[1] = magazine->previous;
    magazine->incoming = magazine->previous = NULL;
    magazine->previous_blocks = 0;
    give_room(magazine, 0);
}

void hfi_magazines_return(struct theap *theap, bool and_lists)
{
    for (unsigned class = 0; class < HFI_DIRECT_CLASSES; class ++) {
        struct magazine *magazine = &theap->magazines[class];
        struct block *loaded = magazine->loaded.free, *lists[2] = { NULL, NULL };
        magazine->loaded.free = NULL;
        magazine->loaded.used = magazine->loaded.capacity;
        if (and_lists)
            take_lists(magazine, lists);
        return_all(loaded);
        for (unsigned i = 0; i < 2; i++)
            return_all(lists[i]);
    }
}

uint32_t hfi_magazines_return_lists(struct theap *theap)
{
    uint32_t count = 0;
    if (!hfi_load_relaxed(&theap->xmagazines))
        return 0;
    hfi_store_relaxed(&theap->xmagazines, false);
    for (unsigned class = 0; class < HFI_DIRECT_CLASSES; class ++) {
        struct block *lists[2];
        take_lists(&theap->magazines[class], lists);
        count += return_all(lists[0]) + return_all(lists[1]);
    }
    return count;
}

void hfi_magazine_end_theap(struct theap *theap)
{
    hfi_assert(hfi_load_relaxed(&theap->xstate) != THEAP_LIVE);
    hfi_magazines_return_lists(theap);
    hfi_theap_end(theap);
}

bool hfi_magazine_give_back(struct theap *theap)
{
    hfi_magazines_return(theap, hfi_theap_has_lists(theap));
    return hfi_theap_give_back(theap);
}

HFI_READS_OTHERS size_t hfi_magazines_bytes(const struct theap *theap)
{
    size_t bytes = 0;
    for (unsigned class = 0; class < HFI_DIRECT_CLASSES && !HFI_SECURE; class ++) {
        const struct magazine *magazine = &theap->magazines[class];
        uint32_t capacity = HFI_SHOWN(magazine->loaded.capacity), limit = HFI_SHOWN(magazine->incoming_limit);
        uint32_t blocks = capacity - hfi_min(HFI_SHOWN(magazine->loaded.used), capacity) + limit -
                          hfi_min(HFI_SHOWN(magazine->incoming_room), limit) +
                          HFI_SHOWN(magazine->previous_blocks);
        bytes += (size_t)blocks * hfi_sizeclasses[class].block_bytes;
    }
    return bytes;
}

static uint32_t list_length(const struct block *list)
{
    uint32_t length = 0;
    for (; list != NULL && length <= LISTS_BLOCKS_MAX; list = list->next)
        length++;
    return length;
}

const char *hfi_magazine_audit(const struct theap *theap)
{
    for (unsigned class = 0; class < HFI_DIRECT_CLASSES; class ++) {
        const struct magazine *magazine = &theap->magazines[class];
        const struct block *lists[] = { magazine->loaded.free, magazine->incoming, magazine->previous };
        if (list_length(lists[0]) > LISTS_BLOCKS_MAX ||
            list_length(lists[1]) + list_length(lists[2]) > LISTS_BLOCKS_MAX)
            return "M4: a magazine holds too much";
        if (magazine->incoming_room > LISTS_BLOCKS_MAX)
            return "M2: a magazine would take too much in";
        if (list_length(lists[0]) != loaded_blocks(magazine) ||
            list_length(lists[2]) != magazine->previous_blocks ||
            list_length(lists[1]) != magazine->incoming_limit - magazine->incoming_room)
            return "a magazine's blocks are miscounted";
    }
    return NULL;
}
