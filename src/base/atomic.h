/*
 * atomic: C11 atomics by the name of their memory order.
 *
 * A call site shows its order in the name, so that a missing reason is seen.
 * Shared atomics are fields whose names start with x.  No other file has an operation of the
 * compiler's or of <stdatomic.h> (tests/layers.sh).
 */
#ifndef HFI_ATOMIC_H
#define HFI_ATOMIC_H

#include <stdatomic.h>

#include "base/base.h"

#define hfi_load_relaxed(p) atomic_load_explicit((p), memory_order_relaxed)
#define hfi_load_acquire(p) atomic_load_explicit((p), memory_order_acquire)
#define hfi_load_seq_cst(p) atomic_load_explicit((p), memory_order_seq_cst)

#define hfi_store_relaxed(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define hfi_store_release(p, v) atomic_store_explicit((p), (v), memory_order_release)
#define hfi_store_seq_cst(p, v) atomic_store_explicit((p), (v), memory_order_seq_cst)

#define hfi_exchange_relaxed(p, v) atomic_exchange_explicit((p), (v), memory_order_relaxed)
#define hfi_exchange_seq_cst(p, v) atomic_exchange_explicit((p), (v), memory_order_seq_cst)
#define hfi_exchange_acquire(p, v) atomic_exchange_explicit((p), (v), memory_order_acquire)
#define hfi_exchange_acq_rel(p, v) atomic_exchange_explicit((p), (v), memory_order_acq_rel)

#define hfi_fetch_add_relaxed(p, v) atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define hfi_fetch_sub_relaxed(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_relaxed)
#define hfi_fetch_sub_release(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_release)
#define hfi_fetch_add_acq_rel(p, v) atomic_fetch_add_explicit((p), (v), memory_order_acq_rel)
#define hfi_fetch_or_acq_rel(p, v) atomic_fetch_or_explicit((p), (v), memory_order_acq_rel)
#define hfi_fetch_and_acq_rel(p, v) atomic_fetch_and_explicit((p), (v), memory_order_acq_rel)
#define hfi_fetch_add_seq_cst(p, v) atomic_fetch_add_explicit((p), (v), memory_order_seq_cst)
#define hfi_fetch_sub_seq_cst(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_seq_cst)
#define hfi_fetch_or_seq_cst(p, v) atomic_fetch_or_explicit((p), (v), memory_order_seq_cst)
#define hfi_fetch_and_seq_cst(p, v) atomic_fetch_and_explicit((p), (v), memory_order_seq_cst)

/* Weak forms may fail for no reason: for loops.  On failure *e holds the value
 * seen, read with the second order. */
#define hfi_cas_weak_acq_rel(p, e, v)                                                                        \
    atomic_compare_exchange_weak_explicit((p), (e), (v), memory_order_acq_rel, memory_order_acquire)
#define hfi_cas_weak_relaxed(p, e, v)                                                                        \
    atomic_compare_exchange_weak_explicit((p), (e), (v), memory_order_relaxed, memory_order_relaxed)
#define hfi_cas_relaxed(p, e, v)                                                                             \
    atomic_compare_exchange_strong_explicit((p), (e), (v), memory_order_relaxed, memory_order_relaxed)
#define hfi_cas_acq_rel(p, e, v)                                                                             \
    atomic_compare_exchange_strong_explicit((p), (e), (v), memory_order_acq_rel, memory_order_acquire)
#define hfi_cas_seq_cst(p, e, v)                                                                             \
    atomic_compare_exchange_strong_explicit((p), (e), (v), memory_order_seq_cst, memory_order_seq_cst)

/* The same of fields that are not _Atomic: those of public layouts, which say so in words, and those
 * that their owner reads plainly and others look at. */
#define hfi_plain_load_relaxed(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define hfi_plain_store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define hfi_plain_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define hfi_plain_store_seq_cst(p, v) __atomic_store_n((p), (v), __ATOMIC_SEQ_CST)
#define hfi_plain_fetch_add_relaxed(p, v) __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)

/* What was stored before is seen by whoever sees what is stored after, relaxed as that is. */
#define hfi_fence_release() atomic_thread_fence(memory_order_release)

/* True for the first caller alone.  Relaxed: it orders nothing. */
#define hfi_first_time(p) (!hfi_exchange_relaxed((p), true))

/* Whether a word holds a value: a relaxed load, compared from memory, which compilers do not do for
 * atomics. */
HFI_INLINE bool hfi_equals_relaxed(_Atomic(uintptr_t) *word, uintptr_t value)
{
#if defined __x86_64__ && !defined __SANITIZE_THREAD__
    bool equal;
    __asm__ volatile("cmpq %2, %1" : "=@cce"(equal) : "m"(*word), "r"(value));
    return equal;
#else
    return hfi_load_relaxed(word) == value;
#endif
}

/* Keeps the compiler, not the processor, from moving accesses across. */
#define hfi_compiler_barrier() atomic_signal_fence(memory_order_seq_cst)

/* What was stored before is in memory before what is stored after.  A forked child, which may find
 * a call half done, depends on it (doc/protocols.md section 8). */
#if defined __x86_64__
#define hfi_order_stores() hfi_compiler_barrier() /* the processor keeps the order of stores */
#elif defined __aarch64__
#define hfi_order_stores() atomic_thread_fence(memory_order_release)
#else
#error "doc/protocols.md section 8 (Fork): say how this processor orders two stores"
#endif

#endif
