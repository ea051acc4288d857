/*
 * magazine: see magazine.h; doc/protocols.md ("Magazines").
 *
 * M1: a block in a magazine counts as handed out in its page.
 * M2: free puts into `incoming`.  malloc takes from `loaded`, which stands in for the current page in the
 *     direct table, and is loaded with what came in once the thread's own page has run dry: a
 *     thread with room of its own returns what it does not need, rather than freeing foreign blocks for ever.
 * M3: blocks never wait behind newer ones: a full `incoming` becomes `previous`, and each further
 *     put returns a few blocks of that to their page.
 * M4: no list holds more than `roomy` or, on a tight node, `scarce` allows.  Threads share pages there, which nobody
 *     owns: they load FILL_MAX blocks of one at a time.
 * M5: a list on its way from one of the three to another is for a moment in both, never in neither: the
 *     child of a fork that finds it so drops one of them.
 * M6: only blocks of the theap's home node are taken: what malloc takes from a magazine is local.
 * M7: a thread takes a page of its own first, but on a tight node: what it frees for others may share cache lines with
 *     what they hold, and it would go on with those blocks for ever (passive false sharing: Berger et al., ASPLOS 2000).
 *
 * Tests: tests/unit/core.c, tests/programs/fork.c.
 */
#include "magazine.h"

#include "remote.h"

#define FILL_MAX 8u
#define SHED_CLASSES 4u
#define RETURN_MAX 8u /* blocks of one page that one put returns: bounded work */

/* What a list may hold. */
struct limits {
    uint32_t bytes;
    uint32_t blocks;
};

static const struct limits roomy = { 4096, 32 };
static const struct limits scarce = { 1024, 8 };

static struct page *page_of_block(const struct block *block)
{
    return hfi_page_at(hfi_index_of(block)); /* runs of the direct table's classes are one page long (S4) */
}

/* Returns the blocks at the front of `previous` that lie in one page, RETURN_MAX at most. */
static void return_some(struct magazine *magazine)
{
    struct block *first = magazine->previous, *last = first;
    struct page *page = page_of_block(first);
    uint32_t count = 1;
    while (count < RETURN_MAX && last->next != NULL && page_of_block(last->next) == page) {
        last = last->next;
        count++;
    }
    magazine->previous = last->next;
    magazine->previous_count -= count;
    hfi_remote_return(page, first, last, count);
}

static void make_room(struct magazine *magazine)
{
    if (magazine->previous != NULL) {
        return_some(magazine);
        return;
    }
    magazine->previous = magazine->incoming;
    magazine->previous_count = magazine->incoming_count;
    hfi_compiler_barrier(); /* M5 */
    magazine->incoming = NULL;
    magazine->incoming_count = 0;
}

static bool is_full(const struct magazine *magazine, uint32_t block_bytes, const struct limits *limits)
{
    uint32_t count = magazine->incoming_count;
    return count >= limits->blocks || count * block_bytes >= limits->bytes;
}

bool hfi_magazine_put(struct theap *theap, struct page *page, struct block *block, bool owned)
{
    const struct arena_node *node = hfi_node_of_page(page);
    if (HFI_SECURE || page->size_class >= HFI_DIRECT_CLASSES || node != theap->node)
        return false;
    bool tight = hfi_node_is_tight(node);
    if (!owned && !tight)
        return false;
    struct magazine *magazine = &theap->magazines[page->size_class];
    if (hfi_unlikely(block == magazine->incoming))
        hfi_remote_die_freed_twice(page, block);
    if (hfi_unlikely(is_full(magazine, page->block_bytes, tight ? &scarce : &roomy)))
        make_room(magazine);
    block->next = magazine->incoming;
    magazine->incoming = block;
    magazine->incoming_count++;
    return true;
}

/* M7 */
static bool has_own_page(const struct theap *theap, unsigned class)
{
    return theap->classes[class].current != &hfi_empty_page || hfi_node_is_tight(theap->node);
}

static struct page *load(struct magazine *magazine, unsigned class, struct block *list)
{
    magazine->loaded.free = list;
    magazine->loaded.list = LIST_CURRENT;
    hfi_theap_direct(class, &magazine->loaded);
    return &magazine->loaded;
}

struct page *hfi_magazine_load(struct theap *theap, unsigned class)
{
    struct magazine *magazine = &theap->magazines[class];
    if (!has_own_page(theap, class))
        return NULL;
    magazine->recent = true;
    if (magazine->loaded.free != NULL)
        return load(magazine, class, magazine->loaded.free);
    bool newest = magazine->incoming != NULL;
    struct block **list = newest ? &magazine->incoming : &magazine->previous;
    if (*list == NULL)
        return NULL;
    load(magazine, class, *list);
    hfi_compiler_barrier(); /* M5 */
    *list = NULL;
    *(newest ? &magazine->incoming_count : &magazine->previous_count) = 0;
    return &magazine->loaded;
}

struct page *hfi_magazine_fill(struct theap *theap, struct page *page)
{
    unsigned class = page->size_class;
    struct magazine *magazine = &theap->magazines[class];
    struct block *first = page->free, *last = first;
    uint32_t count = 1;
    for (; count < FILL_MAX && last->next != NULL; count++)
        last = last->next;
    page->free = last->next;
    page->used += count;
    last->next = magazine->loaded.free;
    hfi_page_let_go(page);
    return load(magazine, class, first);
}

/* Second chance (Corbato 1968): one loaded since the last pass is passed over once. */
void hfi_magazine_shed(struct theap *theap)
{
    if (!hfi_node_is_tight(theap->node))
        return;
    for (unsigned i = 0; i < SHED_CLASSES; i++) {
        struct magazine *magazine = &theap->magazines[theap->magazine_shed_next];
        theap->magazine_shed_next = (theap->magazine_shed_next + 1) % HFI_DIRECT_CLASSES;
        bool recent = magazine->recent;
        magazine->recent = false;
        if (!recent && (magazine->previous != NULL || magazine->incoming != NULL))
            make_room(magazine);
    }
}

static void return_all(struct magazine *magazine, struct block *list)
{
    magazine->previous = list;
    while (magazine->previous != NULL)
        return_some(magazine);
    magazine->previous_count = 0;
}

void hfi_magazines_return(struct theap *theap)
{
    for (unsigned class = 0; class < HFI_DIRECT_CLASSES; class++) {
        struct magazine *magazine = &theap->magazines[class];
        struct block *lists[] = { magazine->loaded.free, magazine->incoming, magazine->previous };
        magazine->loaded.free = magazine->incoming = NULL;
        magazine->incoming_count = 0;
        return_all(magazine, lists[0]);
        if (lists[1] != lists[0]) /* M5: equal only when a fork came between */
            return_all(magazine, lists[1]);
        if (lists[2] != lists[0] && lists[2] != lists[1])
            return_all(magazine, lists[2]);
    }
}

bool hfi_magazine_give_back(struct theap *theap)
{
    hfi_magazines_return(theap);
    return hfi_theap_give_back(theap);
}

static uint32_t list_length(const struct block *list)
{
    uint32_t length = 0;
    for (; list != NULL && length <= 2 * roomy.blocks; list = list->next)
        length++;
    return length;
}

const char *hfi_magazine_audit(const struct theap *theap)
{
    for (unsigned class = 0; class < HFI_DIRECT_CLASSES; class++) {
        const struct magazine *magazine = &theap->magazines[class];
        if (list_length(magazine->incoming) != magazine->incoming_count)
            return "M2: the count of blocks that came in is wrong";
        if (list_length(magazine->previous) != magazine->previous_count)
            return "M3: the count of blocks on their way back is wrong";
        if (list_length(magazine->loaded.free) > roomy.blocks)
            return "M4: a magazine holds too much";
    }
    return NULL;
}
