/*
 * page: see page.h; the accounting equation stands in pagetable.h.
 *
 * P1: only the owner touches free, local_free, used, capacity and the list links.
 * P2: while a page is unowned, its xfree is UNOWNED, and `remaining` there is the number of blocks
 *     handed out.  Then, and only then, a CAS that clears UNOWNED claims the page.
 * P3: letting go stores HFI_OWNER_UNOWNED or HFI_OWNER_ENDED first and makes xfree unowned last
 *     (release); a claim reads xfree (acquire) first, and writes its theap into owners[] last.
 * P4: a page that is IDLE has its bit in the idle set for as much room as it has, ample or scant,
 *     or a thread is about to set it.  A bit without such a page is a hint that leads nowhere,
 *     which is harmless.
 * P5: xidle_pages of a node counts pages that are IDLE.  The thread that sets that bit adds, and
 *     the one that clears it takes off, after the CAS.  So for a moment it may be below zero.
 * P6: blocks that others freed are taken before new ones are linked, if they are as many as would be
 *     linked.  So a page whose blocks others free all day goes on with those few, which are in
 *     caches, and does not go through all of its memory.
 * P7: of a growing arena, xsparse_pages counts pages of runs of which not all blocks were ever
 *     linked, xdense_pages those of the other runs.  A thread that vanishes by fork may leave a
 *     change half done: the counts are hints.
 *
 * Each step is a constant amount of work: lists are taken whole, their length is known from counts,
 * and a page's blocks are linked a few at a time.  A forked child may find things half done, and
 * trusts some of them (F3 in fork.c).  hfi_order_stores orders these, so that at worst blocks are
 * lost to the child, never handed out twice.
 *
 * Tests: tests/unit/page.c, tests/unit/theap.c.
 */
#include "heap/page.h"

#include "base/check.h"
#include "arena/pagemap.h"
#include "heap/harden.h"

void hfi_page_queue_append(struct page_queue *queue, struct page *page, enum page_list list)
{
    hfi_assert(page->list == LIST_NONE && (list == LIST_PARTIAL || list == LIST_FULL));
    hfi_assert((queue->first == NULL) == (queue->count == 0));
    page->list = (uint8_t)list;
    page->next = NULL;
    page->prev = queue->last;
    if (queue->last != NULL)
        queue->last->next = page;
    else
        queue->first = page;
    queue->last = page;
    queue->count++;
}

void hfi_page_queue_remove(struct page_queue *queue, struct page *page)
{
    hfi_assert(page->list == LIST_PARTIAL || page->list == LIST_FULL);
    hfi_assert(queue->count != 0 && hfi_page_mode(page) != PAGE_SEALED);
    *(page->prev != NULL ? &page->prev->next : &queue->first) = page->next;
    *(page->next != NULL ? &page->next->prev : &queue->last) = page->prev;
    page->next = page->prev = NULL;
    page->list = LIST_NONE;
    queue->count--;
}

void hfi_page_set_owner(struct page *page, struct theap *theap)
{
    hfi_assert(!hfi_xfree_is_unowned(page)); /* P3 */
    hfi_store_relaxed(&page->xtheap, theap);
    hfi_store_relaxed(hfi_owner_at(hfi_page_index(page)), (uintptr_t)theap);
}

/* P7: a run of blocks begins or ends to count. */
static void page_count(const struct page *page, uint32_t pages, bool begins)
{
    struct arena_node *node = hfi_node_of_page(page);
    bool sparse = page->front.capacity != page->reserved;
    if (!hfi_arena.reservation.growing)
        return;
    hfi_fetch_add_relaxed(sparse ? &node->xsparse_pages : &node->xdense_pages,
                          begins ? pages : -(size_t)pages);
}

void hfi_page_init(struct page *page, struct theap *theap, unsigned class, bool zero)
{
    const struct sizeclass *cut = &hfi_sizeclasses[class];
    size_t index = hfi_page_index(page);
    hfi_assert(class < HFI_CLASS_COUNT && !hfi_xfree_is_unowned(page)); /* A2 in arena.c */
    page->front.free = page->front.local_free = NULL;
    page->front.used = 0;
    page->front.capacity = 0;
    page->reserved = page->run_pages == cut->run_pages ? cut->blocks
                                                       : (uint16_t)hfi_sizeclass_blocks(cut, page->run_pages);
    page->block_bytes = cut->block_bytes;
    page->size_class = (uint8_t) class;
    page->list = LIST_NONE;
    page->mode = PAGE_IN_USE;
    page->front.free_zero = page->rest_zero = zero;
    page->next = page->prev = NULL;
    page->front.looks = (struct looks){ 0, 0 };
    page->link_key = HFI_SECURE ? hfi_harden_key(page) : 0;
    hfi_store_relaxed(&page->xfree, XFREE_EMPTY_OWNED);
    hfi_assert(page->reserved != 0 && page->run_pages <= cut->run_pages);
    for (uint32_t i = 1; i < page->run_pages; i++) {
        hfi_page_at(index + i)->head_delta = i;
        hfi_store_relaxed(hfi_owner_at(index + i), (uintptr_t)HFI_OWNER_INTERIOR);
    }
    hfi_guard_place(page);
    hfi_fetch_add_relaxed(&hfi_node_of_page(page)->xclass_pages[class], page->run_pages);
    page_count(page, page->run_pages, true);
    hfi_order_stores(); /* a forked child that finds an owner finds what it owns */
    hfi_page_set_owner(page, theap);
}

static HFI_COLD _Noreturn void die_misled(const struct page *page, const struct block *from,
                                          const struct block *to)
{
    bool link = from != NULL && (!hfi_block_in_page(page, to) || (uintptr_t)to % HFI_MAX_ALIGN != 0);
    if (link)
        hfi_die("HF-E305", "page",
                "free list of a page of %u-byte blocks at %p leads from %p to %p, which is no block of it: "
                "a freed block was written to; run the program under the secure build or valgrind",
                page->block_bytes, (void *)hfi_page_start(page), (const void *)from, (const void *)to);
    hfi_die("HF-E303", "free",
            "%p was freed, in a page of %u-byte blocks, and is none that malloc returned; "
            "run the program under the secure build to see where",
            (const void *)to, page->block_bytes);
}

static HFI_COLD _Noreturn void die_freed_twice(const struct page *page)
{
    hfi_die("HF-E304", "free",
            "more blocks of %u bytes were freed into the page at %p than were handed out: "
            "a block was freed twice; run the program under the secure build to see where",
            page->block_bytes, (void *)hfi_page_start(page));
}

_Noreturn void hfi_page_die_listed_twice(const struct page *page, const struct block *list, uint32_t links)
{
    for (; links > 0; links--, list = hfi_link_get(page, list)) {
        const struct block *other = list;
        for (uint32_t i = 0; i < links; i++) {
            other = hfi_link_get(page, other);
            if (other == list)
                hfi_die("HF-E304", "free",
                        "block %p of %u bytes was freed twice; "
                        "run the program under the secure build to see where",
                        (const void *)list, page->block_bytes);
        }
    }
    die_freed_twice(page);
}

/* Where the blocks of a page start that were ever linked. */
struct grid {
    uintptr_t start;
    uint64_t inverse, block_bytes, blocks;
};

HFI_INLINE struct grid page_grid(const struct page *page)
{
    const struct sizeclass *class = &hfi_sizeclasses[page->size_class];
    return (struct grid){ (uintptr_t)hfi_page_start(page), class->inverse, class->block_bytes,
                          page->front.capacity };
}

/* Any address: the product is exact for one that passes. */
HFI_INLINE bool grid_holds(const struct grid *grid, const struct block *block)
{
    uint64_t offset = (uintptr_t)block - grid->start;
    uint64_t number = offset * grid->inverse >> HFI_INVERSE_SHIFT;
    return number < grid->blocks && number * grid->block_bytes == offset;
}

/* A list of what was freed, `count` blocks by the page's figures, before it is allocated from or
 * its page changes hands.  Its first `links` lead to blocks of the page, on from where they are,
 * not to the first one, and to an end where that is due.  What is wrong is told late, but a free
 * costs nothing for it. */
static void page_check_list(const struct page *page, const struct block *list, uint32_t count, uint32_t links)
{
    struct grid grid = page_grid(page);
    const struct block *block = list, *next = NULL;
    if (hfi_unlikely(!grid_holds(&grid, list)))
        die_misled(page, NULL, list);
    links = (uint32_t)hfi_min(links, count);
    for (uint32_t i = 0; i < links && (next = hfi_link_get(page, block)) != NULL; i++) {
        if (hfi_unlikely(!grid_holds(&grid, next)))
            die_misled(page, block, next);
        if (hfi_unlikely(next == list || next == block))
            hfi_page_die_listed_twice(page, list, i + 1);
        block = next;
    }
    if (hfi_unlikely(next != NULL && links == count))
        hfi_page_die_listed_twice(page, list, links);
}

static bool page_holds(const struct page *page, const struct block *block)
{
    return hfi_block_in_page(page, block) && (uintptr_t)block % HFI_MAX_ALIGN == 0;
}

/* The same in brief: the first two links.  The first block lies in the page, or it would not have
 * got here. */
HFI_INLINE bool newest_are_good(const struct page *page)
{
    const struct block *list = page->front.local_free;
    const struct block *next = hfi_link_get(page, list);
    if (hfi_unlikely(((uintptr_t)list | (uintptr_t)next) % HFI_MAX_ALIGN != 0))
        return false;
    if (next == NULL)
        return true;
    if (hfi_unlikely(!hfi_block_in_page(page, next)))
        return false;
    const struct block *third = hfi_link_get(page, next);
    return next != list && third != next && third != list;
}

static HFI_COLD _Noreturn void die_newest(const struct page *page)
{
    const struct block *list = page->front.local_free;
    if ((uintptr_t)list % HFI_MAX_ALIGN != 0)
        die_misled(page, NULL, list);
    const struct block *next = hfi_link_get(page, list);
    if (!page_holds(page, next))
        die_misled(page, list, next);
    hfi_page_die_listed_twice(page, list, next == list ? 1 : 2);
}

void hfi_page_check_freed(const struct page *page)
{
    if (page->front.local_free != NULL)
        page_check_list(page, page->front.local_free, page->front.capacity, HFI_PAGE_LINKS_CHECKED);
}

HFI_INLINE uint32_t freed_blocks(const struct page *page)
{
    return page->front.capacity - hfi_page_out_unsealed(page);
}

HFI_INLINE uint32_t swap(struct page *page)
{
    struct block *list = page->front.local_free;
    hfi_assert(page->front.free == NULL && list != NULL);
    page->front.local_free = NULL;
    page->front.free = list;
    page->front.free_zero = false;
    return freed_blocks(page);
}

static HFI_NOINLINE uint32_t swap_looking_closely(struct page *page)
{
    page_check_list(page, page->front.local_free, freed_blocks(page), HFI_PAGE_LINKS_CHECKED);
    hfi_looks_taken(&page->front.looks);
    return swap(page);
}

/* What a full turn of malloc and free leads to each time: kept short. */
uint32_t hfi_page_swap(struct page *page)
{
    if (hfi_unlikely(hfi_looks_due(&page->front.looks)))
        return swap_looking_closely(page);
    if (hfi_unlikely(!newest_are_good(page)))
        die_newest(page);
    return swap(page);
}

static uint32_t page_take_remote(struct page *page)
{
    /* acquire: pairs with the release of remote_push (remote.c), whose links we follow */
    uint64_t word = hfi_exchange_acquire(&page->xfree, XFREE_EMPTY_OWNED);
    uint32_t count = hfi_xfree_count(word);
    struct block *list = hfi_xfree_head(page, word);
    page_check_list(page, list, count, HFI_PAGE_LINKS_CHECKED);
    if (hfi_unlikely(count > hfi_page_out(page)))
        die_freed_twice(page);
    hfi_assert(count != 0 && !(word & XFREE_UNOWNED)); /* P2: the page is owned */
    page->front.used -= count;
    page->front.free = list;
    page->front.free_zero = false;
    return count;
}

void hfi_page_collect_claimed(struct page *page)
{
    struct block *free = page->front.free;
    bool free_zero = page->front.free_zero;
    /* relaxed: a hint, as taking the list is what synchronises */
    if (page->front.local_free != NULL || hfi_xfree_count(hfi_load_relaxed(&page->xfree)) == 0)
        return;
    page_take_remote(page);
    page->front.local_free = page->front.free;
    page->front.free = free;
    page->front.free_zero = free_zero;
}

static uint32_t page_extend(struct page *page)
{
    uint32_t count = hfi_sizeclasses[page->size_class].extend_blocks;
    uint32_t left = (uint32_t)(page->reserved - page->front.capacity);
    if (count > left)
        count = left;
    char *start = hfi_page_start(page) + (size_t)page->front.capacity * page->block_bytes;
    hfi_assert(page->front.free == NULL && count != 0);
    struct block *list = NULL;
    uint8_t order[HFI_EXTEND_BLOCKS_MAX];
    if (HFI_SECURE)
        hfi_harden_shuffle(page, order, count);
    for (uint32_t i = count; i-- > 0;) {
        size_t place = HFI_SECURE ? order[i] : i;
        struct block *block = (struct block *)(start + place * page->block_bytes);
        hfi_link_set(page, block, list);
        list = block;
    }
    if (count == left)
        page_count(page, page->run_pages, false);
    page->front.capacity = (uint16_t)(page->front.capacity + count);
    if (count == left)
        page_count(page, page->run_pages, true);
    hfi_order_stores();
    page->front.free = list;
    page->front.free_zero = page->rest_zero;
    return count;
}

uint32_t hfi_page_refill_own(struct page *page)
{
    if (page->front.local_free != NULL)
        return hfi_page_swap(page);
    if (page->front.capacity == page->reserved)
        return 0;
    /* P6; relaxed: a hint, as taking the list is what synchronises */
    uint32_t freed = hfi_xfree_count(hfi_load_relaxed(&page->xfree));
    return freed >= hfi_sizeclasses[page->size_class].extend_blocks ? page_take_remote(page)
                                                                    : page_extend(page);
}

uint32_t hfi_page_refill(struct page *page)
{
    if (page->front.local_free == NULL && hfi_xfree_count(hfi_load_relaxed(&page->xfree)) != 0)
        return page_take_remote(page);
    return hfi_page_refill_own(page);
}

void hfi_page_retire(struct page *page)
{
    size_t index = hfi_page_index(page);
    hfi_assert(hfi_page_mode(page) == PAGE_IN_USE && page->list == LIST_NONE);
    hfi_assert(hfi_page_out(page) == hfi_xfree_count(hfi_load_relaxed(&page->xfree)));
    uint32_t run_pages = page->run_pages, pages = hfi_guard_release(page);
    hfi_pagemap_show(page, HF_PAGE_FREE);
    /* relaxed: the bits set by hfi_arena_release publish these stores to the next claimer */
    for (uint32_t i = 0; i < pages; i++)
        hfi_store_relaxed(hfi_owner_at(index + i), (uintptr_t)HFI_OWNER_NONE);
    hfi_order_stores(); /* a forked child looks at no page that is on its way out */
    hfi_fetch_sub_relaxed(&hfi_node_of_page(page)->xclass_pages[page->size_class], run_pages);
    page_count(page, run_pages, false);
    hfi_store_relaxed(&page->xfree, XFREE_EMPTY_OWNED);
    page->block_bytes = 0;
    hfi_arena_release(page, pages);
}

/* P5.  No other slow path may follow that tells of it. */
static void page_count_idle(struct arena_node *node, uint32_t pages, bool idle)
{
    struct hf_inspect_node *shown = hfi_load_relaxed(&hfi_shown()->xnodes);
    if (idle)
        hfi_fetch_add_relaxed(&node->xidle_pages, pages);
    else
        hfi_fetch_sub_relaxed(&node->xidle_pages, pages);
    if (shown != NULL)
        HFI_SHOW(shown[node->index].idle, hfi_arena_idle_pages(node) * HFI_PAGE_BYTES);
}

/* The page may have a new owner by now: only numbers taken while it was ours. */
static void page_add_idle(struct arena_node *node, unsigned class, size_t member, uint32_t room)
{
    bool ample = room >= hfi_sizeclasses[class].ample_blocks;
    if (hfi_unlikely(hfi_arena_is_reserve(node, member))) {
        hfi_idleset_add(&node->reserve_idle[class], member);
        return;
    }
    hfi_idleset_add(ample ? &node->ample[class] : &node->scant[class], member);
}

void hfi_page_got_room(const struct page_run *run, uint32_t had, uint32_t room)
{
    struct arena_node *node = run->node;
    uint32_t ample = hfi_sizeclasses[run->class].ample_blocks;
    hfi_assert(run->class < HFI_CLASS_COUNT && had < room);
    if (had == 0)
        page_count_idle(node, run->pages, true);
    if (had == 0 || (had < ample && room >= ample))
        page_add_idle(node, run->class, run->member, room);
}

/* What the xfree of a page in use becomes when its owner lets go; 0 where no block is out.  Counts
 * that a block freed twice has upset would spill into each other's bits. */
static uint64_t page_unowned(const struct page *page, uint64_t word)
{
    uint32_t count = hfi_xfree_count(word);
    if (hfi_unlikely(count > page->front.used || page->front.used > page->front.capacity))
        die_freed_twice(page);
    uint64_t remaining = page->front.used - count;
    if (remaining == 0)
        return 0;
    word &= ~(XFREE_REMAINING_MASK << XFREE_REMAINING_SHIFT);
    word |= remaining << XFREE_REMAINING_SHIFT | XFREE_UNOWNED;
    return remaining < page->reserved ? word | XFREE_IDLE : word;
}

static void page_let_go_as(struct page *page, uintptr_t owner)
{
    struct page_run run = hfi_page_run(page);
    uint32_t reserved = page->reserved;
    uint64_t word = hfi_load_acquire(&page->xfree);
    uint64_t unowned;
    hfi_assert(hfi_page_mode(page) == PAGE_IN_USE && page->list == LIST_NONE);
    hfi_assert(!(word & XFREE_UNOWNED));
    hfi_page_check_freed(page);
    hfi_store_relaxed(hfi_owner_at(hfi_page_index(page)), owner);
    do {
        unowned = page_unowned(page, word);
        if (unowned == 0) {
            hfi_page_retire(page);
            return;
        }
        enum hf_inspect_page_state state = unowned & XFREE_IDLE ? HF_PAGE_IDLE : HF_PAGE_LOOSE;
        hfi_pagemap_show_blocks(page, state, 0, hfi_xfree_remaining(unowned));
        /* release: what the owner wrote is there for hfi_page_claim and remote_push, which
         * acquire */
    } while (!hfi_cas_weak_acq_rel(&page->xfree, &word, unowned));
    if (unowned & XFREE_IDLE)
        hfi_page_got_room(&run, 0, reserved - hfi_xfree_remaining(unowned));
}

void hfi_page_let_go(struct page *page)
{
    page_let_go_as(page, HFI_OWNER_UNOWNED);
}

void hfi_page_let_go_at_end(struct page *page)
{
    page_let_go_as(page, HFI_OWNER_ENDED);
}

void hfi_page_forget_end(struct page *page)
{
    uintptr_t owner = HFI_OWNER_ENDED;
    /* relaxed: a hint, and whoever owns the page by now has written another value, or will */
    hfi_cas_relaxed(hfi_owner_at(hfi_page_index(page)), &owner, (uintptr_t)HFI_OWNER_UNOWNED);
}

void hfi_page_claimed(struct page *page, uint64_t found)
{
    struct page_run run = hfi_page_run(page);
    hfi_assert((found & XFREE_UNOWNED) && !hfi_xfree_is_unowned(page));
    hfi_assert(hfi_page_mode(page) == PAGE_IN_USE && page->list == LIST_NONE);
    if (!(found & XFREE_IDLE))
        return;
    page_count_idle(run.node, run.pages, false);
    if (hfi_unlikely(hfi_arena_is_reserve(run.node, run.member))) {
        hfi_idleset_remove(&run.node->reserve_idle[run.class], run.member);
        return;
    }
    hfi_idleset_remove(&run.node->ample[run.class], run.member);
    if (hfi_sizeclasses[run.class].ample_blocks > 1)
        hfi_idleset_remove(&run.node->scant[run.class], run.member);
}

bool hfi_page_claim(struct page *page)
{
    uint64_t word = hfi_load_relaxed(&page->xfree);
    uint64_t keep = ~(XFREE_UNOWNED | XFREE_IDLE | XFREE_REMAINING_MASK << XFREE_REMAINING_SHIFT);
    do {
        if (!(word & XFREE_UNOWNED))
            return false;
        /* acquire: pairs with hfi_page_let_go's release */
    } while (!hfi_cas_weak_acq_rel(&page->xfree, &word, word & keep));
    hfi_page_claimed(page, word);
    return true;
}

void hfi_page_let_go_in_child(struct page *page, bool whole)
{
    hfi_page_claim(page);                               /* if it is unowned */
    hfi_store_relaxed(&page->xfree, XFREE_EMPTY_OWNED); /* relaxed: the child has one thread */
    page->front.used = whole ? hfi_page_out(page) : page->front.capacity;
    if (!whole)
        page->front.free = page->front.local_free = NULL;
    page->mode = PAGE_IN_USE;
    page->list = LIST_NONE;
    page->next = page->prev = NULL;
    hfi_page_let_go(page);
}

uint32_t hfi_page_list_length(const struct page *page, const struct block *list)
{
    uint32_t length = 0;
    for (; list != NULL && length <= page->reserved; list = hfi_link_get(page, list))
        length++;
    return length;
}

const char *hfi_page_audit(const struct page *page)
{
    uint32_t out = hfi_page_out(page);
    if (page->front.capacity != out + hfi_page_list_length(page, page->front.free) +
                                    hfi_page_list_length(page, page->front.local_free))
        return "page: capacity is not what is out + free + local_free";
    if (out < hfi_xfree_count(hfi_load_acquire(&page->xfree)))
        return "page: more blocks came back from other threads than were handed out";
    if (page->front.capacity > page->reserved)
        return "page: more blocks linked than the run holds";
    return NULL;
}
