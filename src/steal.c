/*
 * steal: see steal.h; protocol in doc/protocols.md ("Claim of an idle page").
 *
 * A member of the idle set is a hint (P4 in page.c): the page may have been won,
 * retired or cut anew since.  Winning its xfree decides; a page that turns out to be
 * of another class is let go again, which lists it where it belongs.
 *
 * Test: tests/unit/core.c.
 */
#include "steal.h"

#define CANDIDATES_MAX 8

struct page *hfi_steal_idle(struct theap *theap, struct arena_node *node, unsigned class)
{
    for (int i = 0; i < CANDIDATES_MAX; i++) {
        size_t member = hfi_idleset_take(&node->idle[class]);
        if (member == HFI_IDLESET_NONE)
            return NULL;
        hfi_fetch_sub_relaxed(&node->xidle_pages, hfi_sizeclasses[class].run_pages);
        struct page *page = hfi_page_at(node->first_index + member);
        if (!hfi_page_try_own(page))
            continue;
        if (page->size_class != class || !hfi_page_has_room(page)) {
            hfi_page_let_go(page);
            continue;
        }
        hfi_page_set_owner(page, theap);
        return page;
    }
    return NULL;
}
