/*
 * arena-level: how much of each node is free, in a word that a program reads with one load.
 *
 * A6: while no call is under way, a node's level is that of its free pages.
 *
 * Concurrency: a thread that changes the count of free pages looks at the level after it, and a thread
 * that stores a level looks at the count after it.  All four are sequentially consistent, so one of
 * the two sees the other, and the last to look stores what is true.  A step is repeated only because
 * another thread changed the count.
 *
 * Tests: tests/unit/level.c.
 */
#include "arena/arena.h"

_Atomic(int) hfi_xlevels[HFI_MAX_NODES];

static enum hf_level level_now(const struct arena_node *node)
{
    size_t free_pages = hfi_load_seq_cst(&node->free_runs.xset_count) + hfi_arena_unopened_pages(node);
    if (free_pages == 0)
        return HF_LEVEL_FULL;
    if (free_pages < node->page_count / HFI_LEVEL_SCARCE_SHARE)
        return HF_LEVEL_SCARCE;
    return free_pages < node->page_count / HFI_LEVEL_LOW_SHARE ? HF_LEVEL_LOW : HF_LEVEL_PLENTY;
}

void hfi_level_follow(const struct arena_node *node)
{
    _Atomic(int) *level = &hfi_xlevels[node->id];
    /* seq_cst: pairs with hfi_mark_set */
    if (hfi_unlikely(hfi_load_seq_cst(&hfi_xmarks_count) != 0))
        hfi_marks_follow(node);
    for (;;) {
        enum hf_level now = level_now(node);
        if (hfi_likely(hfi_load_seq_cst(level) == (int)now))
            return;
        hfi_store_seq_cst(level, (int)now);
    }
}

void hfi_level_begin(void)
{
    bool has_arena[HFI_MAX_NODES] = { false };
    for (unsigned i = 0; i < hfi_arena.node_count; i++) {
        has_arena[hfi_arena.nodes[i].id] = true;
        hfi_level_follow(&hfi_arena.nodes[i]);
    }
    for (unsigned id = 0; id < HFI_MAX_NODES; id++)
        if (!has_arena[id])
            hfi_store_relaxed(&hfi_xlevels[id], HF_LEVEL_FULL); /* relaxed: a hint */
}

void hfi_level_set_all(enum hf_level level)
{
    for (unsigned id = 0; id < HFI_MAX_NODES; id++)
        hfi_store_relaxed(&hfi_xlevels[id], (int)level); /* relaxed: a hint */
}

const char *hfi_level_audit(const struct arena_node *node)
{
    return hfi_level_of(node->id) == level_now(node) ? NULL : "A6: the level is not that of the free pages";
}
