/*
 * magazine: see magazine.h; doc/protocols.md ("Magazines").
 *
 * M1: a block in a magazine counts as handed out in its page.
 * M2: `loaded` stands in for the current page in the direct table while malloc takes from it; what
 *     malloc takes is counted in loaded.used, what free puts in loaded.capacity.
 * M3: blocks never wait behind newer ones: a full magazine becomes the previous one, and
 *     each further put returns a few blocks of that to their page.
 * M4: none holds more than MAGAZINE_BYTES_MAX or MAGAZINE_BLOCKS_MAX.  On a tight node none takes
 *     freed blocks; threads share pages there, and fill magazines with FILL_MAX blocks of one at a time.
 * M5: a list on its way between loaded and previous is for a moment in both, never in neither: the
 *     child of a fork that finds it so drops one of them.
 *
 * Tests: tests/unit/core.c, tests/programs/fork.c.
 */
#include "magazine.h"

#include "remote.h"

#define MAGAZINE_BYTES_MAX 4096u
#define MAGAZINE_BLOCKS_MAX 32u
#define FILL_MAX 8u
#define SHED_CLASSES 4u
#define RETURN_MAX 8u /* blocks of one page that one put returns: bounded work */

static uint32_t loaded_count(const struct magazine *magazine)
{
    return (uint16_t)(magazine->loaded.capacity - magazine->loaded.used);
}

static void load(struct magazine *magazine, struct block *list, uint32_t count)
{
    hfi_compiler_barrier(); /* M5 */
    magazine->loaded.free = list;
    magazine->loaded.capacity = (uint16_t)count;
    magazine->loaded.used = 0;
    hfi_compiler_barrier();
}

static bool is_full(const struct magazine *magazine, uint32_t block_bytes)
{
    uint32_t count = loaded_count(magazine);
    return count >= MAGAZINE_BLOCKS_MAX || count * block_bytes >= MAGAZINE_BYTES_MAX;
}

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
    magazine->previous = magazine->loaded.free;
    magazine->previous_count = loaded_count(magazine);
    load(magazine, NULL, 0);
}

bool hfi_magazine_put(struct theap *theap, struct page *page, struct block *block)
{
    if (HFI_SECURE || page->size_class >= HFI_DIRECT_CLASSES || hfi_node_is_tight(hfi_node_of_page(page)))
        return false;
    struct magazine *magazine = &theap->magazines[page->size_class];
    if (hfi_unlikely(block == magazine->loaded.free))
        hfi_remote_die_freed_twice(page, block);
    if (hfi_unlikely(is_full(magazine, page->block_bytes)))
        make_room(magazine);
    block->next = magazine->loaded.free;
    magazine->loaded.free = block;
    magazine->loaded.capacity = (uint16_t)(magazine->loaded.capacity + 1);
    return true;
}

struct page *hfi_magazine_load(struct theap *theap, unsigned class)
{
    struct magazine *magazine = &theap->magazines[class];
    if (magazine->loaded.free == NULL) {
        if (magazine->previous == NULL)
            return NULL;
        load(magazine, magazine->previous, magazine->previous_count);
        magazine->previous = NULL;
    }
    magazine->loaded.list = LIST_CURRENT;
    hfi_theap_direct(class, &magazine->loaded);
    return &magazine->loaded;
}

struct page *hfi_magazine_fill(struct theap *theap, struct page *page)
{
    unsigned class = page->size_class;
    struct magazine *magazine = &theap->magazines[class];
    struct block *first = page->free, *last = first;
    uint16_t count = 1;
    for (; count < FILL_MAX && last->next != NULL; count++)
        last = last->next;
    page->free = last->next;
    page->used += count;
    last->next = magazine->loaded.free;
    magazine->loaded.free = first;
    magazine->loaded.capacity = (uint16_t)(magazine->loaded.capacity + count);
    hfi_page_let_go(page);
    return hfi_magazine_load(theap, class);
}

void hfi_magazine_shed(struct theap *theap)
{
    if (!hfi_node_is_tight(theap->node))
        return;
    for (unsigned i = 0; i < SHED_CLASSES; i++) {
        struct magazine *magazine = &theap->magazines[theap->magazine_shed_next];
        theap->magazine_shed_next = (theap->magazine_shed_next + 1) % HFI_DIRECT_CLASSES;
        if (magazine->previous != NULL || loaded_count(magazine) > FILL_MAX)
            make_room(magazine);
    }
}

void hfi_magazines_return(struct theap *theap)
{
    for (unsigned class = 0; class < HFI_DIRECT_CLASSES; class++) {
        struct magazine *magazine = &theap->magazines[class];
        if (magazine->previous == magazine->loaded.free)
            magazine->previous = NULL; /* M5; nothing else makes them equal */
        while (magazine->previous != NULL || magazine->loaded.free != NULL)
            if (magazine->previous != NULL)
                return_some(magazine);
            else
                make_room(magazine);
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
    for (; list != NULL && length <= 2 * MAGAZINE_BLOCKS_MAX; list = list->next)
        length++;
    return length;
}

const char *hfi_magazine_audit(const struct theap *theap)
{
    for (unsigned class = 0; class < HFI_DIRECT_CLASSES; class++) {
        const struct magazine *magazine = &theap->magazines[class];
        if (list_length(magazine->loaded.free) != loaded_count(magazine))
            return "M2: a loaded magazine's count is wrong";
        if (magazine->previous != NULL && list_length(magazine->previous) != magazine->previous_count)
            return "M3: a previous magazine's count is wrong";
        if (loaded_count(magazine) > 2 * MAGAZINE_BLOCKS_MAX)
            return "M4: a magazine holds too much";
    }
    return NULL;
}
