/*
 * holdfast/claim.h: allocations that cannot fail.
 *
 * A B-tree split, a rollback, the update of an index: what must not stop half done says before it
 * begins what it will allocate.  It gets that set aside, all or nothing.
 */
#ifndef HOLDFAST_CLAIM_H
#define HOLDFAST_CLAIM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What was set aside; for the two calls below alone. */
struct hf_claim {
    uint64_t number; /* 0: nothing */
    uint64_t unused;
};

/* Sets a block aside for each of the `n` sizes, for allocations of the calling thread: until
 * hf_claim_end, one for each of them cannot fail.  Returns 0, or a negative error number when
 * nothing was set aside:
 *
 *   -EAGAIN   not all of them can be had now, also after what malloc would try, callbacks included
 *   -ENOMEM   one is more than an arena of this size could ever give
 *   -ENOSPC   the process would have more than HF_CLAIM_MAX blocks set aside
 *   -EINVAL   plain malloc comes from a heap (hf_heap_use), whose limit a claim cannot keep: told once
 *
 * malloc, calloc, realloc, aligned allocations and operator new serve as always.  Where they would
 * have to search further than this thread's own node, take from threads that sleep, or fail, a block
 * of the claim is handed out instead.  It serves requests of its own size class: its size, or another
 * that malloc rounds up to the same (hf_usable_size); beyond 256 KiB, to the same number of 64 KiB.
 * For an alignment of up to 64 KiB, claim a multiple of it, as aligned_alloc asks for one.
 *
 * Claims nest: of several that fit, the newest is used first.  The end of the thread ends them.  A
 * child of fork keeps those of its thread. */
int hf_claim(const size_t *sizes, size_t n, struct hf_claim *claim);

#define HF_CLAIM_MAX 12288

/* Gives back what is left, by the thread that claimed it.  Does nothing where hf_claim failed. */
void hf_claim_end(struct hf_claim *claim);

#ifdef __cplusplus
}
#endif

#endif
