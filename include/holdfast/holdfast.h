/*
 * holdfast/holdfast.h: the allocator's own names.
 *
 * Linking or preloading libholdfast replaces malloc and its family; these calls
 * are the same allocator by names that stay even where malloc is somebody
 * else's, and what malloc has no name for.
 *
 * Unless said otherwise every call may be made by any thread at any time, also in
 * destructors of thread-local data and in a forked child; none is
 * async-signal-safe (a handler may interrupt malloc itself).  Sizes are in bytes.
 */
#ifndef HOLDFAST_HOLDFAST_H
#define HOLDFAST_HOLDFAST_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Version of the library this program runs with, "MAJOR.MINOR.PATCH". */
const char *hf_version(void);

/* As malloc(3), calloc(3), realloc(3), free(3): 16-byte aligned; NULL and ENOMEM when no allowed node has
 * room (after the report, holdfast-messages(7) HF-E012); free keeps errno. */
void *hf_malloc(size_t bytes) __attribute__((malloc, alloc_size(1)));
void *hf_calloc(size_t count, size_t each_bytes) __attribute__((malloc, alloc_size(1, 2)));
void *hf_realloc(void *pointer, size_t bytes) __attribute__((alloc_size(2)));
void hf_free(void *pointer);

/* A block whose address is a multiple of `align`, a power of two up to 1 GiB; NULL and
 * EINVAL for another `align`.  Free it with hf_free. */
void *hf_aligned_alloc(size_t align, size_t bytes) __attribute__((malloc, alloc_size(2), alloc_align(1)));

/* A block on the node of that number, whatever HOLDFAST_PLACE and HOLDFAST_REMOTE say of this thread: NULL and
 * ENOMEM when that node is full, EINVAL when it has no arena.  16-byte aligned; free it with hf_free.
 * Small blocks cost a few atomic operations more than hf_malloc's. */
void *hf_malloc_onnode(size_t bytes, unsigned node) __attribute__((malloc, alloc_size(1)));

/* The kernel's number of the node that an address of the arena is on; -1 outside. */
int hf_node_of(const void *pointer);

/* Bytes that may be used in a live block: what was asked for, or a little more.  0 for NULL. */
size_t hf_usable_size(const void *pointer);

/* Whether an address lies in the arena. */
bool hf_owns(const void *pointer);

/* Called on the allocating thread when `node` has no run of `bytes` left, before malloc
 * fails: free something and return true to have the search repeated.  Allocations made
 * inside fail at once when the arena is full. */
typedef bool hf_pressure_function(size_t bytes, unsigned node, void *argument);

/* 0; -ENOSPC when 8 are registered, -ENOENT when it is not.  A callback that is being unregistered
 * by another thread may still be called once. */
int hf_pressure_register(hf_pressure_function *function, void *argument);
int hf_pressure_unregister(hf_pressure_function *function, void *argument);

/* Before a long sleep: gives the empty pages this thread holds back to its node, so that
 * others can have them.  Costs as much as freeing them did. */
void hf_thread_idle(void);

/* Waits until the arena is populated (HOLDFAST_PREFAULT=background), at most `timeout_ms` milliseconds; negative: as long
 * as it takes.  0 when it is, also when there was nothing to wait for; -ETIMEDOUT; or what went wrong with a part,
 * as a negative error number: that part is never given out.  From then on allocation asks nothing of the kernel. */
int hf_prefault_wait(int timeout_ms);

/* Prints the arena's figures to standard error; allocates nothing. */
void hf_stats_print(void);

#ifdef __cplusplus
}
#endif

#endif
