/*
 * aside: see aside.h; doc/protocols.md, section 15.
 *
 * A line of the table has a number and six places.  A thread's lines are linked, the newest first.
 *
 * AS1: a line is one thread's from the CAS that gives it a number until that thread stores 0 there.
 *      In between it alone writes to the line.
 * AS2: a place names a block after the block was taken from its page, and not any more before it is
 *      handed out or freed.  So what a forked child finds there is nobody else's.
 * AS3: a line whose number is 0 has no blocks.
 *
 * Tests: tests/programs/claim.c.
 */
#include "heap/aside.h"

#include "arena/pagetable.h"
#include "arena/sizeclass.h"
#include "base/check.h"
#include "heap/harden.h"
#include "heap/large.h"
#include "heap/remote.h"

/* A block: its offset from hfi_base, and its class above that. */
#define CLASS_SHIFT 56
#define OFFSET_MASK (((uint64_t)1 << CLASS_SHIFT) - 1)

struct line {
    HFI_CACHE_ALIGNED _Atomic(uint64_t) xnumber;      /* atomic: 0: free */
    uint32_t next;                                    /* owner: 0: the last */
    bool is_own;                                      /* of a forked child's only thread */
    _Atomic(uint64_t) xblocks[HFI_ASIDE_LINE_BLOCKS]; /* atomic: 0: none; its owner alone writes */
};

_Static_assert(sizeof(struct line) == HFI_CACHE_LINE, "so that threads do not share them");

HFI_TLS uint32_t hfi_aside_first;

/* Not in the arena, and nobody's buffer: a child finds it as it was. */
static struct line lines[HFI_ASIDE_LINES];
static _Atomic(uint64_t) xnumbers;

static struct line *line_at(uint32_t at)
{
    return at == 0 ? NULL : &lines[at - 1];
}

static void *block_of(uint64_t word)
{
    return hfi_base + (word & OFFSET_MASK);
}

/* Linked in front of this thread's; NULL: all are in use. */
static struct line *new_line(uint64_t number)
{
    for (uint32_t i = 0; i < HFI_ASIDE_LINES; i++) {
        uint32_t at = (uint32_t)((number * 7 + i) % HFI_ASIDE_LINES);
        uint64_t none = 0;
        if (hfi_load_relaxed(&lines[at].xnumber) != 0 ||
            !hfi_cas_acq_rel(&lines[at].xnumber, &none, number)) /* acquire: pairs with free_line */
            continue;
        lines[at].next = hfi_aside_first;
        hfi_aside_first = at + 1;
        return &lines[at];
    }
    return NULL;
}

uint64_t hfi_aside_begin(void)
{
    uint64_t number = hfi_fetch_add_relaxed(&xnumbers, 1) + 1;
    return new_line(number) != NULL ? number : 0;
}

static _Atomic(uint64_t) *empty_place(struct line *line)
{
    for (unsigned i = 0; i < HFI_ASIDE_LINE_BLOCKS; i++)
        if (hfi_load_relaxed(&line->xblocks[i]) == 0)
            return &line->xblocks[i];
    return NULL;
}

bool hfi_aside_add(uint64_t number, void *block, unsigned class)
{
    struct line *line = line_at(hfi_aside_first);
    _Atomic(uint64_t) *place = NULL;
    if (line != NULL && hfi_load_relaxed(&line->xnumber) == number)
        place = empty_place(line);
    if (place == NULL && (line = new_line(number)) != NULL)
        place = empty_place(line);
    if (place == NULL)
        return false;
    hfi_assert(hfi_in_arena(block) && class <= HFI_CLASS_LARGE);
    hfi_order_stores(); /* AS2 */
    hfi_store_relaxed(place, (uint64_t)((char *)block - hfi_base) | (uint64_t) class << CLASS_SHIFT);
    return true;
}

static bool is_wanted(uint64_t word, const struct aside_wanted *wanted)
{
    if (word == 0 || word >> CLASS_SHIFT != wanted->class)
        return false;
    const struct page *page = hfi_page_at(hfi_index_of(block_of(word)));
    return (uintptr_t)block_of(word) % wanted->align_bytes == 0 &&
           (wanted->class != HFI_CLASS_LARGE || page->run_pages == wanted->pages);
}

static _Atomic(uint64_t) *find(const struct aside_wanted *wanted)
{
    for (struct line *line = line_at(hfi_aside_first); line != NULL; line = line_at(line->next))
        for (unsigned i = 0; i < HFI_ASIDE_LINE_BLOCKS; i++)
            if (is_wanted(hfi_load_relaxed(&line->xblocks[i]), wanted))
                return &line->xblocks[i];
    return NULL;
}

bool hfi_aside_has(const struct aside_wanted *wanted)
{
    return find(wanted) != NULL;
}

static void *take_from(_Atomic(uint64_t) *place)
{
    void *block = block_of(hfi_load_relaxed(place));
    hfi_store_relaxed(place, 0);
    hfi_order_stores(); /* AS2 */
    return block;
}

void *hfi_aside_take(const struct aside_wanted *wanted)
{
    _Atomic(uint64_t) *place = find(wanted);
    return place == NULL ? NULL : take_from(place);
}

/* As one that this thread does not own, which is right for all, with a theap or without. */
static void free_block(void *block)
{
    struct page *page = hfi_page_at(hfi_index_of(block));
    uintptr_t owner = hfi_load_relaxed(hfi_owner_at(hfi_page_index(page)));
    if (owner == HFI_OWNER_INTERIOR) {
        page -= page->head_delta;
        owner = hfi_load_relaxed(hfi_owner_at(hfi_page_index(page)));
    }
    hfi_assert(owner >= HFI_OWNER_LARGE);
    if (owner == HFI_OWNER_LARGE) {
        hfi_large_free(page, block);
        return;
    }
    hfi_dead(block);
    hfi_remote_free(NULL, page, block);
}

static void free_line(struct line *line, aside_give *give)
{
    for (unsigned i = 0; i < HFI_ASIDE_LINE_BLOCKS; i++)
        if (hfi_load_relaxed(&line->xblocks[i]) != 0)
            give(take_from(&line->xblocks[i]));
    hfi_store_release(&line->xnumber, 0); /* pairs with new_line */
}

bool hfi_aside_end(uint64_t number, aside_give *give)
{
    bool found = false;
    for (uint32_t *at = &hfi_aside_first; *at != 0;) {
        struct line *line = line_at(*at);
        if (hfi_load_relaxed(&line->xnumber) != number) {
            at = &line->next;
            continue;
        }
        *at = line->next;
        free_line(line, give);
        found = true;
    }
    return found;
}

void hfi_aside_end_all(void)
{
    while (hfi_aside_first != 0)
        hfi_aside_end(hfi_load_relaxed(&line_at(hfi_aside_first)->xnumber), free_block);
}

static void mark_own(bool is_own)
{
    for (struct line *line = line_at(hfi_aside_first); line != NULL; line = line_at(line->next))
        line->is_own = is_own;
}

void hfi_aside_forked(void)
{
    if (hfi_load_relaxed(&xnumbers) == 0) /* each fork would copy pages of the table otherwise */
        return;
    mark_own(true);
    for (uint32_t i = 0; i < HFI_ASIDE_LINES; i++)
        if (!lines[i].is_own && hfi_load_relaxed(&lines[i].xnumber) != 0)
            free_line(&lines[i], free_block);
    mark_own(false);
}

void hfi_aside_forsake(void)
{
    for (struct line *line = line_at(hfi_aside_first); line != NULL; line = line_at(line->next))
        for (unsigned i = 0; i < HFI_ASIDE_LINE_BLOCKS; i++)
            hfi_store_relaxed(&line->xblocks[i], 0); /* relaxed: one thread */
}
