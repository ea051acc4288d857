/*
 * theap: the pages a theap has, where each is queued, and which of them it lets go of.
 *
 * T1: a page owned by the thread is in exactly one place: current of its class, in the partial
 *     queue of its class, or in `full`.  page->list says which.
 * T2: hfi_direct[i] is the front of the current page of the class that serves i * 16 bytes, or of
 *     the magazine that stands in for it.  hfi_classes are the theap's.  While what it has is withheld,
 *     both lead to empty lists.
 * T3: a page put into `full` is sealed until the first free into it by the thread, or until it
 *     leaves `full`.
 * T4: kept pages are current or partial.  Together they have at most what hfi_budget_kept said when
 *     the last of them became empty.  Nothing
 *     is kept, and nothing given up, while a stealer has the lists: a page that it picks stays what
 *     it was.
 * T5: partial and full queues, pages in them, and blocks in magazines that are not loaded, belong
 *     to the thread while xstate is THEAP_LIVE.  They are the stealer's while it is THEAP_SEIZED.
 *     Current and kept pages always are the thread's.
 *
 * Tests: tests/unit/theap.c.
 */
#include "heap/theap.h"

#include "arena/xfree.h"
#include "arena/arena.h"
#include "heap/page.h"
#include "heap/budget.h"
#include "arena/pagemap.h"

struct page_front hfi_empty_front;
struct theap hfi_empty_theap = {
    .classes = { [0 ... HFI_CLASS_COUNT - 1] = { .front = &hfi_empty_front } },
};
HFI_TLS struct theap *hfi_theap = &hfi_empty_theap;
HFI_TLS struct page_front *hfi_direct[HFI_DIRECT_COUNT] = {
    [0 ... HFI_DIRECT_COUNT - 1] = &hfi_empty_front,
};

HFI_TLS const struct theap_class *hfi_classes = hfi_empty_theap.classes;

void hfi_theap_direct(unsigned class, struct page_front *front)
{
    const struct sizeclass *cut = &hfi_sizeclasses[class];
    for (unsigned i = cut->direct_first; i <= cut->direct_last; i++)
        hfi_direct[i] = front;
}

static void class_set_front(struct theap *theap, unsigned class, struct page_front *front)
{
    hfi_assert(front == &hfi_empty_front || (hfi_page_of_front(front)->list == LIST_CURRENT &&
                                             hfi_page_of_front(front)->size_class == class));
    theap->classes[class].front = front;
    if (class < HFI_DIRECT_CLASSES)
        hfi_theap_direct(class, front);
}

void hfi_theap_withhold(struct theap *theap)
{
    hfi_classes = hfi_empty_theap.classes;
    for (unsigned i = 0; i < HFI_DIRECT_COUNT; i++)
        hfi_direct[i] = &hfi_empty_front;
    if (theap == &hfi_empty_theap)
        return;
    theap->untimed = 0;      /* malloc's slow path would take what the theap has */
    theap->hands_on = false; /* M7: a free would load what it puts away */
}

void hfi_theap_offer(struct theap *theap)
{
    hfi_classes = theap->classes;
    for (unsigned class = 0; class < HFI_DIRECT_CLASSES; class ++)
        hfi_theap_direct(class, theap->classes[class].front);
}

static void list_append(struct theap *theap, struct page_queue *queue, struct page *page, enum page_list list)
{
    hfi_page_queue_append(queue, page, list);
    hfi_store_relaxed(&theap->xqueued, hfi_load_relaxed(&theap->xqueued) + 1);
}

static void list_remove(struct theap *theap, struct page_queue *queue, struct page *page)
{
    hfi_assert(hfi_load_relaxed(&theap->xqueued) != 0);
    hfi_page_queue_remove(queue, page);
    hfi_store_relaxed(&theap->xqueued, hfi_load_relaxed(&theap->xqueued) - 1);
}

/* For readers in other processes. */
static void show(const struct theap *theap, const struct page *page)
{
    hfi_pagemap_show_blocks(page, HF_PAGE_OWNED, theap->index, hfi_page_out(page));
}

/* Pages in a list that a stealer holds stay where they are. */
static bool may_take_out(const struct theap *theap, const struct page *page)
{
    return hfi_theap_has_lists(theap) || page->list == LIST_CURRENT || page->list == LIST_NONE;
}

static void theap_unkeep(struct theap *theap, struct page *page)
{
    hfi_assert(theap->kept[page->kept_slot] == page && theap->kept_pages >= page->run_pages);
    theap->kept[page->kept_slot] = NULL;
    HFI_SHOW(theap->kept_pages, theap->kept_pages - page->run_pages);
    hfi_page_unkeep(page);
}

static void full_append(struct theap *theap, struct page *page)
{
    list_append(theap, &theap->full, page, LIST_FULL);
    hfi_page_seal(page);
}

static void full_remove(struct theap *theap, struct page *page)
{
    if (hfi_page_mode(page) == PAGE_SEALED)
        hfi_page_unseal(page, 0);
    list_remove(theap, &theap->full, page);
}

/* Takes a page out of the place where it is; it stays owned. */
static void theap_take_out(struct theap *theap, struct page *page)
{
    if (hfi_page_mode(page) == PAGE_KEPT)
        theap_unkeep(theap, page);
    if (page->list == LIST_CURRENT)
        class_set_front(theap, page->size_class, &hfi_empty_front);
    else if (page->list == LIST_PARTIAL)
        list_remove(theap, &theap->classes[page->size_class].partial, page);
    else if (page->list == LIST_FULL)
        full_remove(theap, page);
    page->list = LIST_NONE;
    hfi_assert(hfi_page_mode(page) == PAGE_IN_USE && page->next == NULL && page->prev == NULL);
}

static void theap_retire(struct theap *theap, struct page *page)
{
    theap_take_out(theap, page);
    theap->counters.retired++;
    hfi_page_retire(page);
}

void hfi_theap_let_go(struct theap *theap, struct page *page)
{
    theap_take_out(theap, page);
    if (hfi_load_relaxed(&theap->xends)) /* relaxed: a stealer may read either, which is a hint */
        hfi_page_let_go_at_end(page);
    else
        hfi_page_let_go(page);
}

/* The page in the slot to be given up next loses its place; if it is empty it goes. */
static void theap_give_up_slot(struct theap *theap)
{
    struct page *page = theap->kept[theap->kept_next];
    theap->kept_next = (theap->kept_next + 1) % HFI_KEPT_MAX;
    if (page == NULL)
        return;
    theap_unkeep(theap, page);
    if (hfi_page_out(page) == 0)
        theap_retire(theap, page);
}

/* The first free into a sealed page is what local_free has.  A stealer may have the lists: then the
 * page stays in `full`. */
static void theap_unseal(struct theap *theap, struct page *page)
{
    hfi_page_unseal(page, 1);
    if (!hfi_theap_has_lists(theap))
        return;
    if (hfi_page_out(page) != 0 && hfi_budget(theap->node)->shares) {
        hfi_theap_let_go(theap, page);
        return;
    }
    full_remove(theap, page);
    list_append(theap, &theap->classes[page->size_class].partial, page, LIST_PARTIAL);
}

void hfi_theap_emptied(struct theap *theap, struct page *page)
{
    hfi_assert(page->front.used == 0 && page->list != LIST_NONE);
    if (hfi_page_mode(page) == PAGE_SEALED) {
        bool has_more = page->front.capacity > 1;
        theap_unseal(theap, page);
        if (has_more)
            return;
    }
    hfi_page_check_freed(page); /* a block freed twice makes a page look empty that is not */
    if (hfi_unlikely(hfi_page_mode(page) == PAGE_KEPT))
        hfi_die("HF-E304", "free",
                "a block of %u bytes in the page at %p was freed twice; "
                "run the program under the secure build to see where",
                page->block_bytes, (void *)hfi_page_start(page));
    if (!hfi_theap_has_lists(theap))
        return;                    /* T4: it stays where it is, empty */
    if (page->list == LIST_FULL) { /* its first frees came while a stealer had the lists */
        full_remove(theap, page);
        list_append(theap, &theap->classes[page->size_class].partial, page, LIST_PARTIAL);
    }
    uint32_t budget = hfi_budget_kept(theap->node);
    /* Nothing empty of another node is kept: the next page is to come from home. */
    if (page->run_pages > budget || page->node != theap->node->index) {
        theap_retire(theap, page);
        return;
    }
    while (theap->kept_pages + page->run_pages > budget || theap->kept[theap->kept_next] != NULL)
        theap_give_up_slot(theap);
    hfi_assert(theap->kept_pages + page->run_pages <= budget);
    hfi_page_keep(page, theap->kept_next);
    theap->kept[theap->kept_next] = page;
    theap->kept_next = (theap->kept_next + 1) % HFI_KEPT_MAX;
    HFI_SHOW(theap->kept_pages, theap->kept_pages + page->run_pages);
}

/* The current page of its class has no room left.  It is queued for a while, as most of its frees
 * may be the thread's own; the oldest such page is let go. */
static void theap_current_full(struct theap *theap, struct page *page)
{
    uint32_t budget = hfi_theap_has_lists(theap) ? hfi_budget_full(theap->node) : 0;
    hfi_assert(page->list == LIST_CURRENT && page->front.free == NULL && page->front.local_free == NULL);
    hfi_assert(page->front.capacity == page->reserved);
    if (hfi_theap_has_lists(theap) && theap->full.count >= hfi_max(budget, 1))
        hfi_theap_let_go(theap, theap->full.first);
    if (budget == 0) {
        hfi_theap_let_go(theap, page);
        return;
    }
    theap_take_out(theap, page);
    show(theap, page);
    full_append(theap, page);
}

static void make_current(struct theap *theap, struct page *page)
{
    hfi_assert(page->list == LIST_NONE && hfi_page_mode(page) != PAGE_SEALED);
    hfi_assert(hfi_load_relaxed(hfi_owner_at(hfi_page_index(page))) == (uintptr_t)theap);
    page->list = LIST_CURRENT;
    class_set_front(theap, page->size_class, &page->front);
}

void hfi_theap_install(struct theap *theap, struct page *page)
{
    make_current(theap, page);
    show(theap, page);
}

/* A page in `full` that others have freed into since; NULL when there is none. */
static struct page *theap_find_freed_into(struct theap *theap, unsigned class)
{
    for (struct page *page = theap->full.first; page != NULL; page = page->next)
        if (page->size_class == class && hfi_page_has_room(page))
            return page;
    return NULL;
}

/* As `way` does, counting what others freed. */
static uint32_t refill(struct theap *theap, struct page *page, uint32_t (*way)(struct page *page))
{
    uint32_t used = page->front.used;
    hfi_assert(page->front.free == NULL);
    uint32_t listed = way(page);
    theap->counters.received += used - page->front.used;
    return listed;
}

/* Of the current page, if `listed` blocks, or earlier ones, are on its free list. */
static struct page_front *theap_listed(struct theap *theap, struct page *page, uint32_t listed)
{
    if (page->front.free == NULL)
        return NULL;
    theap->counters.listed += listed;
    theap->counters.collected++;
    show(theap, page);
    if (page->size_class < HFI_DIRECT_CLASSES)
        hfi_theap_direct(page->size_class, &page->front);
    return &page->front;
}

struct page_front *hfi_theap_refill(struct theap *theap, unsigned class)
{
    struct page *page = hfi_theap_current(theap, class);
    theap->classes[class].recent = true;
    if (page == NULL)
        return NULL;
    return theap_listed(theap, page, page->front.free == NULL ? refill(theap, page, hfi_page_refill_own) : 0);
}

struct page_front *hfi_theap_next_page(struct theap *theap, unsigned class)
{
    struct theap_class *queue = &theap->classes[class];
    struct page *page = hfi_theap_current(theap, class);
    if (page != NULL) {
        if (theap_listed(theap, page, refill(theap, page, hfi_page_refill)) != NULL)
            return &page->front;
        theap_current_full(theap, page);
    }
    if (!hfi_theap_has_lists(theap))
        return NULL;
    page = queue->partial.first;
    if (page != NULL) {
        list_remove(theap, &queue->partial, page);
    } else {
        page = theap_find_freed_into(theap, class);
        if (page == NULL)
            return NULL;
        full_remove(theap, page);
    }
    make_current(theap, page); /* and shown when blocks are listed, as it has room */
    return theap_listed(theap, page, page->front.free == NULL ? refill(theap, page, hfi_page_refill) : 0);
}

void hfi_theap_let_go_away(struct theap *theap, unsigned class)
{
    struct page *current = hfi_theap_current(theap, class);
    if (hfi_arena_free_pages(theap->node) < hfi_sizeclasses[class].run_pages)
        return;
    if (current != NULL && current->node != theap->node->index)
        hfi_theap_let_go(theap, current);
    for (struct page *page = hfi_theap_has_lists(theap) ? theap->classes[class].partial.first : NULL, *next;
         page != NULL; page = next) {
        next = page->next;
        if (page->node != theap->node->index)
            hfi_theap_let_go(theap, page);
    }
}

bool hfi_theap_shares(struct theap *theap, unsigned class)
{
    uint8_t *shared = &theap->classes[class].shared;
    if (hfi_budget(theap->node)->shares)
        return true;
    if (*shared == HFI_CROWD_SHARED || !hfi_node_is_crowded(theap->node))
        return false;
    *shared += 1;
    return true;
}

/* Second chance (Corbato 1968): a class refilled since the last pass is passed over once. */
void hfi_theap_shed(struct theap *theap, unsigned wanted_class)
{
    uint32_t classes = hfi_budget(theap->node)->shed_classes;
    for (uint32_t i = 0; i < classes; i++) {
        unsigned class = theap->shed_next;
        struct theap_class *queue = &theap->classes[class];
        theap->shed_next = (class + 1) % HFI_CLASS_COUNT;
        bool recent = queue->recent;
        queue->recent = false;
        if (recent || class == wanted_class)
            continue;
        if (hfi_theap_current(theap, class) != NULL)
            hfi_theap_let_go(theap, hfi_theap_current(theap, class));
        if (hfi_theap_has_lists(theap) && queue->partial.first != NULL)
            hfi_theap_let_go(theap, queue->partial.first);
    }
}

bool hfi_theap_wants(const struct theap *theap, unsigned class)
{
    return hfi_theap_has_lists(theap) &&
           theap->classes[class].partial.count < hfi_budget(theap->node)->partial;
}

void hfi_theap_adopt(struct theap *theap, struct page *page)
{
    hfi_page_collect_claimed(page);
    hfi_page_set_owner(page, theap);
    list_append(theap, &theap->classes[page->size_class].partial, page, LIST_PARTIAL);
    theap->counters.adopted++;
    show(theap, page);
}

bool hfi_theap_take_in(struct theap *theap, struct page *page)
{
    /* The class and the rest are read while the caller's block keeps the page from being retired. */
    if (page->node != theap->node->index || !hfi_theap_wants(theap, page->size_class) ||
        hfi_page_is_reserve(page) || !hfi_page_claim(page))
        return false;
    hfi_theap_adopt(theap, page);
    return true;
}

/* All blocks are back, some of them in xfree, which `used` does not know of: nobody is left to
 * push. */
static bool page_is_empty(const struct page *page)
{
    return hfi_page_out(page) == hfi_xfree_count(hfi_load_acquire(&page->xfree));
}

static bool class_give_back(struct theap *theap, unsigned class)
{
    bool gave = false;
    struct page *current = hfi_theap_current(theap, class);
    if (current != NULL && page_is_empty(current)) {
        theap_retire(theap, current);
        gave = true;
    }
    for (struct page *page = hfi_theap_has_lists(theap) ? theap->classes[class].partial.first : NULL, *next;
         page != NULL; page = next) {
        next = page->next;
        if (!page_is_empty(page))
            continue;
        theap_retire(theap, page);
        gave = true;
    }
    return gave;
}

bool hfi_theap_give_back(struct theap *theap)
{
    bool gave = false;
    for (unsigned class = 0; class < HFI_CLASS_COUNT; class ++)
        gave |= class_give_back(theap, class);
    for (uint32_t slot = 0; slot < HFI_KEPT_MAX; slot++) {
        struct page *page = theap->kept[slot];
        if (page == NULL || hfi_page_out(page) != 0 || !may_take_out(theap, page))
            continue;
        theap_retire(theap, page);
        gave = true;
    }
    for (struct page *page = hfi_theap_has_lists(theap) ? theap->full.first : NULL, *next; page != NULL;
         page = next) {
        next = page->next;
        if (!hfi_page_has_room(page))
            continue;
        hfi_theap_let_go(theap, page);
        gave = true;
    }
    return gave;
}

void hfi_theap_let_go_current(struct theap *theap)
{
    for (unsigned class = 0; class < HFI_CLASS_COUNT; class ++)
        if (hfi_theap_current(theap, class) != NULL)
            hfi_theap_let_go(theap, hfi_theap_current(theap, class));
}

void hfi_theap_let_go_queued(struct theap *theap)
{
    for (unsigned class = 0; class < HFI_CLASS_COUNT; class ++)
        while (theap->classes[class].partial.first != NULL)
            hfi_theap_let_go(theap, theap->classes[class].partial.first);
    while (theap->full.first != NULL)
        hfi_theap_let_go(theap, theap->full.first);
    hfi_assert(hfi_load_relaxed(&theap->xqueued) == 0);
}

void hfi_theap_let_go_all(struct theap *theap)
{
    hfi_theap_let_go_current(theap);
    if (hfi_theap_has_lists(theap))
        hfi_theap_let_go_queued(theap);
}

static const char *queue_audit(const struct page_queue *queue, enum page_list list, const struct theap *theap)
{
    uint32_t count = 0;
    const struct page *prev = NULL;
    for (const struct page *page = queue->first; page != NULL; prev = page, page = page->next) {
        const char *broken = hfi_page_audit(page);
        if (broken != NULL)
            return broken;
        if (page->list != list || page->prev != prev)
            return "T1: a page is not in the list it names";
        if (hfi_load_relaxed(hfi_owner_at(hfi_page_index(page))) != (uintptr_t)theap)
            return "T1: a queued page has the wrong owner";
        bool seals = list == LIST_FULL && page->front.local_free == NULL;
        if ((hfi_page_mode(page) == PAGE_SEALED) != seals || (seals && page->front.used != 1))
            return "T3: a full page is not sealed, or another is";
        count++;
    }
    return count == queue->count && prev == queue->last ? NULL : "T1: a list's count or end is wrong";
}

const char *hfi_theap_audit(const struct theap *theap)
{
    const char *broken = queue_audit(&theap->full, LIST_FULL, theap);
    uint32_t kept_pages = 0;
    for (unsigned class = 0; class < HFI_CLASS_COUNT && broken == NULL; class ++) {
        const struct theap_class *queue = &theap->classes[class];
        broken = queue_audit(&queue->partial, LIST_PARTIAL, theap);
        const struct page *current = hfi_theap_current(theap, class);
        if (broken == NULL && current != NULL)
            broken = current->list != LIST_CURRENT ? "T1: a current page is queued elsewhere"
                                                   : hfi_page_audit(current);
        const struct sizeclass *cut = &hfi_sizeclasses[class];
        for (unsigned i = cut->direct_first;
             theap == hfi_theap && class < HFI_DIRECT_CLASSES && i <= cut->direct_last; i++)
            if (hfi_classes != theap->classes
                    ? hfi_direct[i] != &hfi_empty_front
                    : hfi_direct[i] != queue->front && hfi_direct[i] != &theap->magazines[class].loaded)
                broken = "T2: the direct table does not point at the current page";
    }
    for (uint32_t slot = 0; slot < HFI_KEPT_MAX; slot++)
        if (theap->kept[slot] != NULL) {
            kept_pages += theap->kept[slot]->run_pages;
            if (hfi_page_mode(theap->kept[slot]) != PAGE_KEPT || theap->kept[slot]->kept_slot != slot)
                broken = "T4: a kept page does not know its slot";
            if (theap->kept[slot]->list != LIST_CURRENT && theap->kept[slot]->list != LIST_PARTIAL)
                broken = "T4: a kept page is full";
        }
    return broken != NULL || kept_pages == theap->kept_pages ? broken : "T4: kept pages are miscounted";
}
