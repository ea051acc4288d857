/*
 * stack: entries that wait for their next use: theaps, heaps, descriptors of pieces.
 *
 * A lock-free stack (Treiber 1986) whose head carries a tag against ABA (IBM System/370 Principles
 * of Operation).  Entries lie in the arena, on cache lines, and are never unmapped: to read the link
 * of one that another thread just took is harmless, as the tag then fails the CAS.
 *
 * Any thread may push and pop at any time.  Constant work, except that a CAS which fails is tried
 * again: another thread's succeeded.
 */
#ifndef HFI_STACK_H
#define HFI_STACK_H

#include "arena/pagetable.h"
#include "base/atomic.h"

struct stack {
    _Atomic(uint64_t) xhead; /* atomic: tag, and offset of the first entry from hfi_base */
    size_t link_at;          /* const: of the entry's link, an _Atomic(void *) */
};

#define HFI_STACK_TAG_SHIFT 36 /* offset in cache lines: 2^36 * 64 bytes = 4 TiB */
#define HFI_STACK_OFFSET_MASK (((uint64_t)1 << HFI_STACK_TAG_SHIFT) - 1)

HFI_INLINE uint64_t hfi_stack_word(const void *entry, uint64_t old)
{
    uint64_t offset = entry == NULL ? 0 : (uint64_t)((const char *)entry - hfi_base) / HFI_CACHE_LINE;
    return ((old >> HFI_STACK_TAG_SHIFT) + 1) << HFI_STACK_TAG_SHIFT | offset;
}

HFI_INLINE void *hfi_stack_top(uint64_t word)
{
    uint64_t offset = word & HFI_STACK_OFFSET_MASK;
    return offset == 0 ? NULL : hfi_base + offset * HFI_CACHE_LINE;
}

HFI_INLINE _Atomic(void *) *hfi_stack_link(const struct stack *stack, void *entry)
{
    return (_Atomic(void *) *)((char *)entry + stack->link_at);
}

HFI_INLINE void hfi_stack_push(struct stack *stack, void *entry)
{
    uint64_t word = hfi_load_relaxed(&stack->xhead);
    do {
        hfi_store_relaxed(hfi_stack_link(stack, entry), hfi_stack_top(word));
        /* release: pairs with hfi_stack_pop's acquire, which reads the link and the entry */
    } while (!hfi_cas_weak_acq_rel(&stack->xhead, &word, hfi_stack_word(entry, word)));
}

/* NULL when it is empty. */
HFI_INLINE void *hfi_stack_pop(struct stack *stack)
{
    uint64_t word = hfi_load_acquire(&stack->xhead);
    void *top, *next;
    do {
        top = hfi_stack_top(word);
        if (top == NULL)
            return NULL;
        next = hfi_load_relaxed(hfi_stack_link(stack, top));
    } while (!hfi_cas_weak_acq_rel(&stack->xhead, &word, hfi_stack_word(next, word)));
    return top;
}

/* In a forked child, which has one thread. */
HFI_INLINE void hfi_stack_empty(struct stack *stack)
{
    hfi_store_relaxed(&stack->xhead, hfi_stack_word(NULL, hfi_load_relaxed(&stack->xhead)));
}

#endif
