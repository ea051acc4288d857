/*
 * pagetable: from an address to what is known about it.
 *
 * Two flat arrays lie at fixed offsets from the arena's base, both indexed by (address - base) >>
 * 16: owners[], eight bytes per page, and the page table, 128 bytes per page.  owners[] is apart
 * because every free reads it while the owner writes the page's first line on each call.  Read
 * mostly, it stays shared in all caches.  Metadata is out of line: an overflow of user data cannot
 * reach it.
 *
 * Values of owners[i]:
 *   HFI_OWNER_NONE      free, inside a large run, or no arena: never a valid block
 *   HFI_OWNER_INTERIOR  inside a run of blocks; table[i].head_delta leads to its head
 *   HFI_OWNER_LARGE     head of a run that is one block
 *   HFI_OWNER_HEAP      page of pieces, or head of a run, that heaps of the program have (pieces.h)
 *   HFI_OWNER_ENDED     head of a run that its theap let go of when its thread ended
 *   HFI_OWNER_UNOWNED   head of a run whose theap let go, as its xfree says too; or one that a
 *                       stealer has picked, which is owned until its xfree says otherwise
 *   HFI_OWNER_META      Holdfast's own memory
 *   theap's address     head of a run that theap owns
 * Written when a run changes hands, and no oftener: eight pages, of several threads perhaps, share
 * a line.  A thread finds its own theap only where it wrote that itself, or where a stealer gave
 * up.  So a plain comparison decides, whatever other threads do meanwhile (doc/protocols.md).
 */
#ifndef HFI_PAGETABLE_H
#define HFI_PAGETABLE_H

#include "base/atomic.h"
#include "base/layout.h"

struct block {
    struct block *next;
};

/* In this order: from HFI_OWNER_LARGE on, a block of the run may be live.  A theap's address is
 * larger than all of them. */
enum {
    HFI_OWNER_NONE = 0,
    HFI_OWNER_INTERIOR = 2,
    HFI_OWNER_META = 4,
    HFI_OWNER_LARGE = 6,
    HFI_OWNER_HEAP = 8,
    HFI_OWNER_ENDED = 10,
    HFI_OWNER_UNOWNED = 12
};

enum page_list { LIST_NONE, LIST_CURRENT, LIST_PARTIAL, LIST_FULL };

#define HFI_KEPT_MAX 64u /* slots of a theap, for its empty pages that are kept: `kept_slot` */

/* What `used` of a page that a theap owns counts besides blocks. */
enum page_mode {
    PAGE_IN_USE = 0, /* nothing: `used` is the number of blocks that are out */
    PAGE_KEPT = 1,   /* one more than are out: a free that empties the page again does not find zero */
    PAGE_SEALED,     /* 1, while all blocks are out: the owner's next free into the page finds zero */
};

/* What stands in the guard of a run (harden.c).  GUARD_FAULT: it may be inaccessible. */
enum page_guard { GUARD_NONE, GUARD_PATTERN, GUARD_FAULT };

struct theap;

/* When a list of freed blocks is looked at closely, and not in brief: each of the first few times
 * that it is taken into use, then one time of HFI_LOOKS_APART.  A program that frees wrongly is
 * found in its youth, and one that turns over the same few blocks all day does not pay for it. */
struct looks {
    uint8_t brief; /* times that a look in brief will do until the next close one */
    uint8_t apart; /* times between that one and the one behind it */
};

#define HFI_LOOKS_APART 32u

HFI_INLINE bool hfi_looks_due(struct looks *looks)
{
    return looks->brief-- == 0;
}

HFI_INLINE void hfi_looks_taken(struct looks *looks)
{
    looks->brief = looks->apart;
    looks->apart = (uint8_t)hfi_min(2u * looks->apart + 1, HFI_LOOKS_APART - 1);
}

/* What malloc takes blocks from: the first bytes of a page, which its owner writes on each call.
 * Another one stands in for a page in the direct table (magazine.h), or where there is none
 * (hfi_empty_front). */
struct page_front {
    struct block *free;       /* owner: allocated from */
    struct block *local_free; /* owner: its own frees since the last swap; of a page alone */
    uint32_t used;            /* owner: by the page's `mode`; blocks in xfree are out still */
    uint16_t capacity;        /* owner: blocks linked so far */
    bool free_zero;           /* owner: blocks on free are zero except for their link */
    struct looks looks;       /* owner: at local_free */
};

/* Accounting, for a run of blocks, while no call is under way on it (audited), with out =
 * hfi_page_out():
 *   capacity == out + |free| + |local_free|
 *   out >= blocks waiting in xfree */
struct page {
    /* First line: the owner's. */
    struct page_front front;
    uint8_t list;      /* owner: enum page_list */
    uint8_t kept_slot; /* owner: its place in theap->kept */
    uint8_t mode;      /* owner: enum page_mode */
    bool rest_zero;    /* owner: memory past capacity is zero */
    uint8_t guard;     /* owner: enum page_guard; always GUARD_NONE but in the secure build */
    struct page *next; /* owner: in the list named by `list` */
    struct page *prev; /* owner */
    /* Second line: what other threads read or write.  "const" is per tenancy of the run. */
    HFI_CACHE_ALIGNED _Atomic(uint64_t) xfree; /* atomic: its parts are in xfree.h */
    _Atomic(struct theap *) xtheap; /* atomic: last owner's theap; others compare, never follow, it */
    uint32_t block_bytes;           /* const */
    uint32_t run_pages;             /* const: length of the run */
    uint16_t reserved;              /* const: blocks the run has room for */
    uint8_t size_class;             /* const: HFI_CLASS_LARGE for a large run, HFI_CLASS_HEAP for what heaps
                                     * have, and while it is free, had last */
    uint8_t node;                   /* const: index of its node */
    uint32_t head_delta;            /* const: pages back to the head, inside a run */
    _Atomic(uint32_t) xnext_lost;   /* atomic: link of a page whose guard could not be lifted (harden.c) */
    uint64_t link_key;          /* const: encodes links, and is in the guard's pattern, in the secure build */
    _Atomic(uintptr_t) xpieces; /* atomic: of what heaps have, or had: where that is known (piece.h); one
                                 * more where a forked child has it from its parent */
};

_Static_assert(sizeof(struct page) == HFI_TABLE_ENTRY_BYTES, "two cache lines per page");
_Static_assert(offsetof(struct page, front) == 0, "hfi_page_of_front");

/* The page of a front that is none of a stand-in. */
HFI_INLINE struct page *hfi_page_of_front(struct page_front *front)
{
    return (struct page *)front;
}

/* A doubly linked list of pages through next and prev. */
struct page_queue {
    struct page *first;
    struct page *last;
    uint32_t count;
};

/* Const after hfi_init. */
extern HFI_HIDDEN char *hfi_base;  /* 1 GiB aligned */
extern HFI_HIDDEN size_t hfi_span; /* 0 until the arena stands: then no pointer is ours */

HFI_INLINE size_t hfi_index_of(const void *pointer)
{
    return ((uintptr_t)pointer - (uintptr_t)hfi_base) >> HFI_PAGE_SHIFT;
}

HFI_INLINE bool hfi_in_arena(const void *pointer)
{
    return (uintptr_t)pointer - (uintptr_t)hfi_base < hfi_span;
}

/* From a base that the caller has in a register already. */
HFI_INLINE _Atomic(uintptr_t) *hfi_owner_from(char *base, size_t index)
{
    return (_Atomic(uintptr_t) *)base + index;
}

/* Takes one off, and tells whether that leaves nothing: on memory, which compilers do by way of a
 * register that holds the address. */
HFI_INLINE bool hfi_decrement_to_zero(uint32_t *count)
{
#if defined __x86_64__ && !defined __SANITIZE_THREAD__ && !defined __SANITIZE_ADDRESS__
    bool zero;
    __asm__("subl $1, %1" : "=@ccz"(zero), "+m"(*count));
    return zero;
#else
    return --*count == 0;
#endif
}

/* By its offset in the page table.  Opaque, so that each access adds base, offset and the table's
 * own offset up in its address, and no instruction does. */
HFI_INLINE struct page *hfi_page_by_offset(char *base, size_t *offset)
{
    HFI_OPAQUE(*offset);
    return (struct page *)(base + *offset + HFI_TABLE_OFFSET);
}

HFI_INLINE struct page *hfi_page_from(char *base, size_t index)
{
    size_t offset = index * sizeof(struct page);
    return hfi_page_by_offset(base, &offset);
}

HFI_INLINE _Atomic(uintptr_t) *hfi_owner_at(size_t index)
{
    return hfi_owner_from(hfi_base, index);
}

/* In a forked child: the entry of a page inside a run whose claimer vanished before it had a head. */
HFI_INLINE void hfi_owner_torn(size_t index)
{
    hfi_store_relaxed(hfi_owner_at(index), (uintptr_t)HFI_OWNER_NONE); /* relaxed: one thread */
}

HFI_INLINE struct page *hfi_page_at(size_t index)
{
    return hfi_page_from(hfi_base, index);
}

HFI_INLINE size_t hfi_page_index(const struct page *page)
{
    return (size_t)(page - (struct page *)(hfi_base + HFI_TABLE_OFFSET));
}

HFI_INLINE char *hfi_page_start(const struct page *page)
{
    return hfi_base + (hfi_page_index(page) << HFI_PAGE_SHIFT);
}

#endif
