/*
 * reserve: address space and memory of the arena.
 *
 *     base                                                            base + span
 *     | owners | page table | ... | node 0's windows | node 1's windows | ...
 *     0        OWNERS_BYTES       HFI_WINDOWS_OFFSET (1 GiB aligned)
 *
 * One reservation, base aligned to 1 GiB, inaccessible guards before and
 * behind.  owners[] and the page table are indexed by (address - base) >> 16,
 * so the entries of the area before the windows are never used.  Per node, in
 * this order: map, bind, advise, lock, MADV_POPULATE_WRITE (prefault.h).
 *
 * What was asked for and cannot be had is said in one line with the command that
 * mends it, and then made do without (a smaller OS page, a smaller arena, not
 * bound, not locked); under HOLDFAST_STRICT=1 it ends the process with
 * status 78 (EX_CONFIG) instead.  `auto` values ask for nothing in particular: what
 * they end up with is said at HOLDFAST_VERBOSE=1.  A refused mlock counts as something asked
 * for with HOLDFAST_LOCK=yes, and with auto where the machine has swap.
 *
 * Called once, before threads.  No malloc.
 */
#ifndef HFI_RESERVE_H
#define HFI_RESERVE_H

#include "base.h"
#include "options.h"
#include "topology.h"

#define HFI_ARENA_MAX_BYTES ((size_t)4 << 40)
#define HFI_OWNERS_BYTES ((size_t)512 << 20) /* 8 bytes per page up to the largest arena */
#define HFI_TABLE_OFFSET HFI_OWNERS_BYTES
#define HFI_TABLE_BYTES ((size_t)8 << 30) /* 128 bytes per page */
#define HFI_WINDOWS_OFFSET ((size_t)9 << 30)
/* Most that all windows together may be: owners and table have no entries beyond. */
#define HFI_WINDOWS_BYTES_MAX (HFI_ARENA_MAX_BYTES - HFI_WINDOWS_OFFSET)
/* Least that a named arena may ask for on a node: its own maps, and something to give out. */
#define HFI_NODE_BYTES_MIN ((size_t)4 << 20)

struct reserved_node {
    unsigned id;                 /* kernel's number of the node */
    char *start;                 /* first byte, on a window boundary */
    size_t asked_bytes;          /* by HOLDFAST_ARENA, before what the machine made of it */
    size_t bytes;                /* multiple of 64 KiB */
    size_t populated_bytes;      /* from start, or ordered (prefault.h); == bytes for a named arena, 0 with PREFAULT_NONE */
    size_t prefault_bytes;       /* growing: hfi_prefault_step populates up to here, not beyond */
    enum option_backing backing; /* as obtained; BACKING_THP: huge pages where the kernel finds them */
    size_t os_page_bytes;
    bool bound;
    bool locked;
    uint8_t nearest[HFI_MAX_NODES]; /* indices in nodes[]: itself, then the others by distance */
};

struct reservation {
    char *base;   /* 1 GiB aligned */
    size_t span;  /* bytes from base to the end of the last node's windows */
    bool growing; /* auto arena: populated in steps by hfi_prefault_step */
    unsigned node_count;
    /* By the kernel's number: the index of the node whose arena a thread there uses, its own or the nearest. */
    uint8_t home[HFI_MAX_NODES];
    struct reserved_node nodes[HFI_MAX_NODES]; /* last: what lies past node_count is never touched */
};

/* Reserves everything that `options` ask for.  0, or -errno after saying why
 * no arena at all could be made (the caller ends the process). */
int hfi_reserve(struct reservation *reservation, const struct options *options,
                const struct topology *topology);

/* Whether the options give a node an arena: `all` means ordinary memory, other memory is to be named. */
bool hfi_node_is_chosen(const struct options *options, const struct topology_node *node);

/* Bytes of the arena per node index, rounded up to 64 KiB but not yet to an OS page; 0 for
 * nodes left out.  A named size is split evenly over the chosen nodes; an auto arena may
 * fill each.  Says nothing.  Shared with `holdfast doctor`. */
void hfi_reserve_plan(size_t node_bytes[HFI_MAX_NODES], const struct options *options,
                      const struct topology *topology);

/* The same on a machine with `usable` bytes of memory for the process. */
void hfi_reserve_plan_of(size_t node_bytes[HFI_MAX_NODES], const struct options *options, const struct topology *topology, size_t usable);

/* What a node's size is rounded up to on a rung of the ladder. */
size_t hfi_backing_unit_bytes(enum option_backing backing);

/* Bytes of owners[] and page table for a node of so many bytes. */
size_t hfi_reserve_metadata_bytes(size_t node_bytes);

/* Populates [offset, offset + bytes) of a node of a growing arena, with transparent
 * huge pages where `bytes` covers them whole, the first 32 MiB excepted.  Does nothing and
 * returns -ENOMEM past prefault_bytes: close to what the process may use, memory is better
 * taken as it is touched.  0 or -errno.  Thread-safe for disjoint ranges. */
int hfi_prefault_step(const struct reserved_node *node, size_t offset, size_t bytes);

#endif
