/*
 * steps: forced in front of a room under test (-include), so that model_step() is called before
 * each of its atomic accesses.
 */
#ifndef STEPS_H
#define STEPS_H

#include "base/atomic.h"

void model_step(void);

#undef hfi_load_relaxed
#undef hfi_load_seq_cst
#undef hfi_fetch_add_relaxed
#undef hfi_fetch_sub_relaxed
#undef hfi_fetch_or_seq_cst
#undef hfi_fetch_and_seq_cst
#undef hfi_cas_seq_cst
#define hfi_load_relaxed(p) (model_step(), atomic_load_explicit((p), memory_order_relaxed))
#define hfi_load_seq_cst(p) (model_step(), atomic_load(p))
#define hfi_fetch_add_relaxed(p, v) (model_step(), atomic_fetch_add_explicit((p), (v), memory_order_relaxed))
#define hfi_fetch_sub_relaxed(p, v) (model_step(), atomic_fetch_sub_explicit((p), (v), memory_order_relaxed))
#define hfi_fetch_or_seq_cst(p, v) (model_step(), atomic_fetch_or((p), (v)))
#define hfi_fetch_and_seq_cst(p, v) (model_step(), atomic_fetch_and((p), (v)))
#define hfi_cas_seq_cst(p, e, v) (model_step(), atomic_compare_exchange_strong((p), (e), (v)))

#endif
