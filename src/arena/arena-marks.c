/*
 * arena-marks: low-water marks of nodes, of which the program is told.
 *
 * A8: while no call is under way, a mark that is armed has as many free pages as it asks for, or
 *     more, and one that was told of has less than it takes to arm it again.
 *
 * Concurrency: as for the level (arena-level.c), a thread that changes the count of free pages looks at the
 * marks after it, and a thread that sets a mark looks at the count after it.  States change by CAS.
 * Who is late with a count that is true no more makes a mark due for nothing, which whoever comes
 * to tell of it finds out.
 *
 * Tests: tests/programs/pressure.c.
 */
#include "arena/arena.h"

#include "base/check.h"

enum mark_state { MARK_NONE, MARK_ARMED, MARK_DUE, MARK_TOLD };

struct mark {
    _Atomic(int) xstate;    /* atomic: enum mark_state */
    _Atomic(size_t) xlow;   /* atomic: with less free pages it is due */
    _Atomic(size_t) xagain; /* atomic: with as many it is armed again */
};

static struct mark marks[HFI_MAX_NODES][HFI_MARKS]; /* by index of the node */

_Atomic(unsigned) hfi_xmarks_count;
_Atomic(bool) hfi_xmarks_due;

static size_t free_now(const struct arena_node *node)
{
    return hfi_load_seq_cst(&node->free_runs.xset_count) + hfi_arena_unopened_pages(node);
}

static bool change(struct mark *mark, enum mark_state from, enum mark_state to)
{
    int state = from;
    return hfi_cas_seq_cst(&mark->xstate, &state, to);
}

static void follow(const struct arena_node *node, struct mark *mark)
{
    int state = hfi_load_seq_cst(&mark->xstate);
    size_t free_pages = free_now(node);
    if (state == MARK_ARMED && free_pages < hfi_load_relaxed(&mark->xlow)) {
        if (change(mark, MARK_ARMED, MARK_DUE))
            hfi_store_seq_cst(&hfi_xmarks_due, true);
    } else if (state == MARK_TOLD && free_pages >= hfi_load_relaxed(&mark->xagain)) {
        change(mark, MARK_TOLD, MARK_ARMED);
    }
}

void hfi_marks_follow(const struct arena_node *node)
{
    for (unsigned i = 0; i < HFI_MARKS; i++)
        follow(node, &marks[node->index][i]);
}

void hfi_mark_set(const struct arena_node *node, unsigned slot, size_t low_pages)
{
    struct mark *mark = &marks[node->index][slot];
    hfi_assert(hfi_load_relaxed(&mark->xstate) == MARK_NONE);
    hfi_fetch_add_seq_cst(&hfi_xmarks_count, 1u);
    hfi_store_relaxed(&mark->xlow, low_pages);
    hfi_store_relaxed(&mark->xagain, low_pages + hfi_max(low_pages / HFI_MARK_AGAIN_SHARE, 1));
    hfi_store_seq_cst(&mark->xstate, MARK_ARMED);
    follow(node, mark);
}

void hfi_mark_clear(const struct arena_node *node, unsigned slot)
{
    if (hfi_exchange_relaxed(&marks[node->index][slot].xstate, MARK_NONE) != MARK_NONE)
        hfi_fetch_sub_relaxed(&hfi_xmarks_count, 1u);
}

size_t hfi_mark_tell(const struct arena_node *node, unsigned slot)
{
    struct mark *mark = &marks[node->index][slot];
    size_t free_pages = free_now(node);
    if (hfi_load_relaxed(&mark->xstate) != MARK_DUE) /* relaxed: the CAS decides */
        return 0;
    if (free_pages >= hfi_load_relaxed(&mark->xlow)) {
        change(mark, MARK_DUE, MARK_ARMED);
        follow(node, mark);
        return 0;
    }
    size_t missing = hfi_load_relaxed(&mark->xagain) - free_pages;
    if (!change(mark, MARK_DUE, MARK_TOLD))
        return 0;
    follow(node, mark); /* what was freed since */
    return missing;
}

const char *hfi_marks_audit(const struct arena_node *node)
{
    for (unsigned i = 0; i < HFI_MARKS; i++) {
        const struct mark *mark = &marks[node->index][i];
        int state = hfi_load_relaxed(&mark->xstate);
        if (state == MARK_ARMED && free_now(node) < hfi_load_relaxed(&mark->xlow))
            return "A8: a node is under a mark that is armed";
        if (state == MARK_TOLD && free_now(node) >= hfi_load_relaxed(&mark->xagain))
            return "A8: a mark was not armed again";
    }
    return NULL;
}
