/*
 * ladder: where the next page comes from, when a thread's own pages have no free block.
 *
 * It alone has the order of these places; malloc.c asks it after the pages and magazines that the
 * thread has itself.  What the ladder calls answers "none" and never calls up.
 * Any thread; nothing here waits for another thread.
 */
#ifndef HFI_LADDER_H
#define HFI_LADDER_H

#include <holdfast/inspect.h>

#include "base/base.h"

struct arena_node;
struct page;
struct theap;

struct demand {
    unsigned class;          /* HFI_CLASS_LARGE: a run that is one block */
    size_t block_align;      /* bytes: that a block of a larger class must have */
    size_t pages;            /* length of a fresh run */
    size_t align_bytes;      /* of a fresh run */
    struct arena_node *only; /* from this node and no other; NULL: as HOLDFAST_PLACE says */
    bool dispensable;        /* not worth the theap's own pages */
    bool has_aside;          /* the thread has set a block aside for it: not worth a long search */
    bool privileged;         /* the reserve is for it too */
    bool share;              /* only a few blocks of a page, which others go on taking from: the node is
                              * tight */
    bool fresh;              /* out: a run of free pages was taken */
    bool zero;               /* out: the run's memory was never used (large only) */
    enum hf_inspect_cause farthest; /* out: where it was looked for last */
};

/* A run of the class with a free block, or of a larger class, owned by `theap` and in none of its
 * lists.  Or a large run.  NULL when the arena has none.  The theap's thread has entered. */
struct page *hfi_ladder(struct theap *theap, struct demand *demand);

/* Where the theap's next pages come from (HOLDFAST_PLACE): a thread that was moved is followed.
 * Inside. */
struct arena_node *hfi_ladder_choose_node(struct theap *theap);

/* For a thread without a theap: an unowned page, of the class or a larger one, which the
 * caller lets go of at once.  NULL when there is none; a large run is not looked for. */
struct page *hfi_ladder_idle_page(const struct demand *demand);

/* For a thread without a theap: gives back what sleeping threads keep, on every node.  False:
 * nothing. */
bool hfi_ladder_steal_asleep(void);

#endif
