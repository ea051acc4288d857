/*
 * prefault: populating the nodes' memory, before the program runs or while it does.
 *
 * A node's memory is cut into chunks (64 MiB, 8 MiB in the background, more for large arenas).
 * Each is populated with MADV_POPULATE_WRITE together with the slices of owners[] and page table
 * that describe it.  Threads of the kernel do that through a ring per node (ring.h), from the
 * lowest chunk up.  They run on the node's CPUs as far as the process may use them.  At start the
 * starting thread helps from the other end; where io_uring is refused, or there is but one CPU, it
 * does all by itself.
 *
 * An order may want huge pages (MADV_HUGEPAGE): where small ones came, those of the ring and of the start
 * gather them (MADV_COLLAPSE) before the chunk is given out.  A call of the program does not:
 * hfi_prefault_force populates only.
 *
 * In the background a chunk belongs to the caller of hfi_prefault_next or hfi_prefault_force that
 * got it.  Each is given once.  The caller lets the program have its pages, then calls
 * hfi_prefault_opened.
 *
 * Calls about one node may be made by any thread; the start is one thread's.
 */
#ifndef HFI_PREFAULT_H
#define HFI_PREFAULT_H

#include "base/atomic.h"
#include "base/base.h"
#include "base/layout.h"

/* What is to be populated of one node. */
struct prefault_order {
    unsigned node_id;
    bool affine;  /* several nodes: only CPUs of this one */
    bool huge;    /* what comes in small pages is gathered into huge ones, as far as there are some */
    char *memory; /* the node's first byte */
    size_t from;  /* bytes at the front that are populated already */
    size_t bytes; /* of the node's memory */
    char *owners; /* entries of the first page in owners[] and table; NULL: not to be populated */
    char *table;
    size_t owner_bytes, entry_bytes; /* per page */
};

/* A part of a node's memory, by offset from its first byte. */
struct prefault_part {
    size_t offset;
    size_t bytes;
};

/* --- at start --- */

/* Begins to populate node `index`.  Nodes that were begun are populated side by side. */
void hfi_prefault_begin(unsigned index, const struct prefault_order *order);

/* Waits for it, helping.  0, or the first error as -errno; *done_bytes is how much of the node from
 * its first byte on was populated. */
int hfi_prefault_finish(unsigned index, size_t *done_bytes);

/* --- in the background --- */

/* Whether io_uring is to be had for that; says so once if not. */
bool hfi_prefault_may_go_on(const struct prefault_order *order);

/* Takes the order: nothing of it counts as populated. */
void hfi_prefault_background(unsigned index, const struct prefault_order *order);

/* Hands all that was ordered to the kernel and returns.  If the kernel refuses it after all, what
 * is needed is populated as it is needed.  The last step of the start: the kernel's threads hold
 * the process's lock of mappings most of the time. */
void hfi_prefault_start(void);

extern _Atomic(size_t) hfi_prefault_xclosed_bytes[HFI_MAX_NODES]; /* atomic */

/* Bytes of a node that wait to be populated and opened.  0 once there is nothing to do; then all
 * that was opened can be claimed. */
HFI_INLINE size_t hfi_prefault_closed_bytes(unsigned index)
{
    return hfi_load_acquire(&hfi_prefault_xclosed_bytes[index]); /* pairs with hfi_prefault_opened */
}

/* The caller has let the program have a part it was given. */
void hfi_prefault_opened(unsigned index, struct prefault_part part);

/* Bytes of a node whose population failed. */
size_t hfi_prefault_failed_bytes(unsigned index);

/* A chunk that has been populated since; false when there is none now.  No system call, except for
 * the last one, which unmaps the ring. */
bool hfi_prefault_next(unsigned index, struct prefault_part *part);

/* Populates the highest chunk that nobody has begun on this way, here and now.  0; -ENOENT when no
 * chunk is left; other errors are the chunk's. */
int hfi_prefault_force(unsigned index, struct prefault_part *part);

/* Whether requests of a node are still with the kernel: those that it gave back are
 * hfi_prefault_force's. */
bool hfi_prefault_goes_on(unsigned index);

/* First error of a node's chunks as -errno, or 0.  Its memory is never given out; HF-E226 said
 * so. */
int hfi_prefault_error(unsigned index);

/* In a forked child: there is no ring; hfi_prefault_force goes on.  Without `others` no thread
 * vanished, and the one there is may be opening a chunk. */
void hfi_prefault_forked(bool others);

/* In a forked child whose arena another thread was making: nothing was begun. */
void hfi_prefault_abandon(void);

#endif
