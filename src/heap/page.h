/*
 * page: one run of blocks of one size, and its three free lists.
 *
 * All functions here are the owner's alone unless they say otherwise.  Memory
 * comes from arena.h; nothing else is allocated.
 */
#ifndef HFI_PAGE_H
#define HFI_PAGE_H

#include "arena/arena.h"
#include "base/check.h"
#include "arena/pagetable.h"
#include "arena/xfree.h"

struct theap;

void hfi_page_queue_append(struct page_queue *queue, struct page *page, enum page_list list);
void hfi_page_queue_remove(struct page_queue *queue, struct page *page);

/* Cuts a run just claimed into blocks of `class`, owned by `theap` of this thread. */
void hfi_page_init(struct page *page, struct theap *theap, unsigned class, bool zero);

/* Links of a list that are followed, at most, before it is trusted: bounded work. */
#define HFI_PAGE_LINKS_CHECKED 16u

/* Ends the program for a list of blocks of the page's size that is longer than it can be, or leads
 * back to itself within `links`, which can be followed.  The block that it comes to twice was freed
 * twice. */
HFI_COLD _Noreturn void hfi_page_die_listed_twice(const struct page *page, const struct block *list,
                                                  uint32_t links);

/* Ends the program where one of the blocks that the owner freed last is none, or was freed twice.
 * Constant work. */
void hfi_page_check_freed(const struct page *page);

/* Makes `free` non-empty if the page has any room: swaps in local_free, else what
 * others freed, else links a few more blocks.  Constant work.  Returns the number of blocks
 * now on `free` that were not before, 0 when the page is full. */
uint32_t hfi_page_refill(struct page *page);

/* The same while the page has blocks to link: 0 when it has none.  What others freed is taken if it is
 * as much as would be linked (P6 in page.c). */
uint32_t hfi_page_refill_own(struct page *page);

/* Swaps local_free, which must not be empty, in for `free`, which must be; as hfi_page_refill. */
uint32_t hfi_page_swap(struct page *page);

/* Takes what others freed into a page just claimed, so that `used` says how many blocks are out.
 * Does nothing where the page has frees of its last owner. */
void hfi_page_collect_claimed(struct page *page);

/* Returns an empty page (in use, in no list) to its node. */
void hfi_page_retire(struct page *page);

/* Lets go of a page (in use, in no list): it is retired if empty, and added to its node's idle set
 * if it has room.  Otherwise the thread that frees into it next decides. */
void hfi_page_let_go(struct page *page);

/* The same of a page whose thread ends: the next to free into it should take it in
 * (hfi_theap_take_in). */
void hfi_page_let_go_at_end(struct page *page);

/* By a free that does not take such a page in: no other free tries to. */
void hfi_page_forget_end(struct page *page);

/* In a forked child: lets go of a page whose theap the child gives up.  `whole`: no call was under
 * way on it.  Otherwise nothing that its owner linked is followed, and all its blocks that were
 * ever linked count as handed out. */
void hfi_page_let_go_in_child(struct page *page, bool whole);

/* Any thread: claims an unowned page.  False when somebody else has it. */
bool hfi_page_claim(struct page *page);

/* What stays true of a run's place when the page itself may be somebody else's already. */
struct page_run {
    struct arena_node *node;
    size_t member; /* number of its head in the node */
    unsigned class;
    uint32_t pages;
};

HFI_INLINE struct page_run hfi_page_run(const struct page *page)
{
    struct arena_node *node = hfi_node_of_page(page);
    return (struct page_run){ node, hfi_node_member(node, page), page->size_class, page->run_pages };
}

/* Any thread: counts an unowned page and adds it to an idle set, when its free blocks have become
 * `room` where they were `had`.  It goes to the set of the scant first, and to that of the ample
 * once it has ample_blocks.  The scant set's bit stays, as a hint; only the page's owner may take
 * it out. */
void hfi_page_got_room(const struct page_run *run, uint32_t had, uint32_t room);

/* After this thread's CAS claimed a page: out of the idle sets and their count, if `found`, its
 * xfree before, says that it is there. */
void hfi_page_claimed(struct page *page, uint64_t found);

/* Writes the owner of a page this thread has just claimed. */
void hfi_page_set_owner(struct page *page, struct theap *theap);

/* Whether a run is of the reserve: then no theap keeps it. */
HFI_INLINE bool hfi_page_is_reserve(const struct page *page)
{
    const struct arena_node *node = hfi_node_of_page(page);
    return hfi_arena_is_reserve(node, hfi_node_member(node, page));
}

/* What a page's `used` means. */
HFI_INLINE enum page_mode hfi_page_mode(const struct page *page)
{
    return (enum page_mode)page->mode;
}

/* Blocks that are out, by the figures of a page of `mode`. */
HFI_INLINE uint32_t hfi_blocks_out(enum page_mode mode, uint32_t used, uint32_t capacity)
{
    return mode == PAGE_SEALED ? capacity : used - mode;
}

/* Blocks handed out, xfree's not yet deducted. */
HFI_INLINE uint32_t hfi_page_out(const struct page *page)
{
    return hfi_blocks_out(hfi_page_mode(page), page->front.used, page->front.capacity);
}

/* The same for a page that malloc takes from, which is never sealed: each refill asks. */
HFI_INLINE uint32_t hfi_page_out_unsealed(const struct page *page)
{
    hfi_assert(hfi_page_mode(page) != PAGE_SEALED);
    return page->front.used - hfi_page_mode(page);
}

/* An empty page with room, in `slot` of its theap: it stays the theap's. */
HFI_INLINE void hfi_page_keep(struct page *page, uint32_t slot)
{
    hfi_assert(hfi_page_mode(page) == PAGE_IN_USE && page->front.used == 0);
    hfi_assert(page->list == LIST_CURRENT || page->list == LIST_PARTIAL);
    page->mode = PAGE_KEPT;
    page->front.used = 1;
    page->kept_slot = (uint8_t)slot;
}

HFI_INLINE void hfi_page_unkeep(struct page *page)
{
    hfi_assert(hfi_page_mode(page) == PAGE_KEPT && page->front.used != 0);
    page->mode = PAGE_IN_USE;
    page->front.used--;
}

/* A page without room: the owner's next free into it reaches hfi_theap_emptied. */
HFI_INLINE void hfi_page_seal(struct page *page)
{
    hfi_assert(hfi_page_mode(page) == PAGE_IN_USE && page->front.used == page->front.capacity);
    hfi_assert(page->list == LIST_FULL && page->front.free == NULL && page->front.local_free == NULL);
    page->mode = PAGE_SEALED;
    page->front.used = 1;
}

/* `freed`: blocks of it in local_free, 1 once the owner has freed into it. */
HFI_INLINE void hfi_page_unseal(struct page *page, uint32_t freed)
{
    hfi_assert(hfi_page_mode(page) == PAGE_SEALED && page->front.used + freed == 1);
    hfi_assert((page->front.local_free != NULL) == (freed != 0));
    page->mode = PAGE_IN_USE;
    page->front.used = page->front.capacity - freed;
}

HFI_INLINE bool hfi_page_has_room(const struct page *page)
{
    /* relaxed: a hint; taking the list is what synchronises (hfi_page_refill) */
    return page->front.free != NULL || page->front.local_free != NULL ||
           page->front.capacity < page->reserved || hfi_xfree_count(hfi_load_relaxed(&page->xfree)) != 0;
}

/* Length of a list of a page's blocks: walks it. */
uint32_t hfi_page_list_length(const struct page *page, const struct block *list);

/* NULL, or the broken invariant of a page that this thread owns. */
const char *hfi_page_audit(const struct page *page);

#endif
