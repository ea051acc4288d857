/*
 * plan: what an arena is to be, before the machine is asked for any of it.  It says which node gets
 * how much, on which OS pages that is tried, and which nodes follow when it is full.  It also says
 * where in address space all of it lies (layout.h).
 *
 * It is plain arithmetic on options and a topology, of this machine or of a described one.
 * reserve.c carries a plan out, `holdfast plan` and `holdfast doctor` print it.  Says nothing, asks
 * the kernel nothing, no state, no malloc; thread-safe.
 */
#ifndef HFI_PLAN_H
#define HFI_PLAN_H

#include "base/base.h"
#include "base/options.h"

struct topology;
struct topology_node;

/* Least that a named arena may ask for on a node: its own maps, and something to give out. */
#define HFI_NODE_BYTES_MIN ((size_t)4 << 20)

/* What keeps a node's part from being larger. */
enum plan_bound {
    PLAN_BOUND_NAMED,   /* HOLDFAST_ARENA */
    PLAN_BOUND_MACHINE, /* its memory, or what was free of it */
    PLAN_BOUND_NODE,
    PLAN_BOUND_CGROUP,
    PLAN_BOUND_SPACE,   /* RLIMIT_AS, RLIMIT_DATA, or what may be committed */
    PLAN_BOUND_LARGEST, /* HFI_WINDOWS_BYTES_MAX */
    PLAN_BOUNDS
};

struct reserved_node {
    unsigned id;            /* kernel's number of the node */
    char *start;            /* first byte, on a window boundary */
    size_t asked_bytes;     /* by HOLDFAST_ARENA, before what the plan and the machine made of it */
    size_t bytes;           /* multiple of 64 KiB */
    size_t populated_bytes; /* from start, or ordered (prefault.h); == bytes for a named arena, 0 with
                                  * PREFAULT_NONE */
    size_t prefault_bytes;  /* growing: hfi_prefault_step populates up to here, not beyond */
    enum plan_bound bound_by;
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
    /* By the kernel's number: the index of the node whose arena a thread there uses, its own or the
     * nearest. */
    uint8_t home[HFI_MAX_NODES];
    struct reserved_node nodes[HFI_MAX_NODES]; /* last: what lies past node_count is never touched */
};

/* --- sizes --- */

/* Whether the options give a node an arena: `all` means ordinary memory, other memory is to be
 * named. */
bool hfi_node_is_chosen(const struct options *options, const struct topology_node *node);

/* Begins a reservation with the nodes that the options give bytes of the arena, in the topology's
 * order.  The bytes are rounded up to 64 KiB but not yet to an OS page, none below
 * HFI_NODE_BYTES_MIN.  asked_bytes is what was asked for, to the byte.  A named size is split
 * evenly over the chosen nodes; an auto arena may fill each.  `usable_bytes`: what the process may
 * use of the machine, for auto and a percentage. node_count may be 0. */
void hfi_plan_draft(struct reservation *reservation, const struct options *options,
                    const struct topology *topology, size_t usable_bytes);

/* Sum of what was asked for, which may be more than there are addresses: UINT64_MAX then. */
uint64_t hfi_plan_asked(const struct reservation *reservation);

/* Cuts all nodes in proportion where owners and table have an end.  True when that was needed. */
bool hfi_plan_cap(struct reservation *reservation);

/* Shrinks every node in proportion, so that all together are at most `total` bytes. */
void hfi_plan_shrink(struct reservation *reservation, size_t total);

/* Sum of the nodes. */
size_t hfi_plan_bytes(const struct reservation *reservation);

/* Whom each node turns to when it is full, and where threads of nodes without an arena are at
 * home. */
void hfi_plan_order(struct reservation *reservation, const struct topology *topology);

/* --- backings --- */

/* Bytes of an OS page of a backing; small ones for BACKING_THP, which the kernel gathers or not. */
size_t hfi_backing_page_bytes(enum option_backing backing);

/* What a node's size is rounded up to on a backing. */
size_t hfi_backing_unit_bytes(enum option_backing backing);

/* Whether `asked` has a backing tried for a node of that size, if the machine has it. */
bool hfi_backing_is_asked(enum option_backing asked, enum option_backing backing, size_t bytes);

/* Of what is free, the most that nodes on small pages may take, and what they take where that is
 * less than they ask for.  The rest of the program needs memory too.  What the inspection segment
 * takes comes off first. */
size_t hfi_plan_most(uint64_t available);
size_t hfi_plan_cut(uint64_t available);

/* What they take where they ask for more than there is at all, free or not.  Such a size was meant
 * for another machine.  Half of what is free leaves the rest of this one alive. */
size_t hfi_plan_cut_beyond(uint64_t available);

#define HFI_THEAPS_SHOWN_MIN 256u /* slots of the inspection segment; larger arenas have more */
#define HFI_PAGES_PER_THEAP 16u

/* Slots for heaps of the program: one for so many pages, and so many at least. */
#define HFI_PAGES_PER_HEAP 16u
#define HFI_HEAPS_SHOWN_MIN 64u
size_t hfi_plan_heaps_shown(size_t arena_pages);

/* Most that the inspection segment of an arena of so many bytes takes. */
size_t hfi_plan_segment_bytes(size_t arena_bytes);

#define HFI_SET_ASIDE_SHARE 256u
#define HFI_SET_ASIDE_MAX 256u

/* Pages at the front of a node of so many that are set aside for theaps, and claimed from the
 * start.  Theaps cut later would lie where pages are free then, and split runs. */
HFI_INLINE size_t hfi_plan_set_aside(size_t pages)
{
    return hfi_min(pages / HFI_SET_ASIDE_SHARE, HFI_SET_ASIDE_MAX);
}

/* --- the layout --- */

/* A part of the space: owners, a slice of the table, or a node's memory. */
struct plan_part {
    size_t offset, bytes;
};
#define HFI_PLAN_PARTS_MAX (2 * HFI_MAX_NODES + 3)

/* Sets span, which hfi_plan_place needs, from the nodes' sizes. */
void hfi_plan_span(struct reservation *reservation);

/* Sets base and each node's start. */
void hfi_plan_place(struct reservation *reservation, char *base);

/* Bytes of owners[] and page table for a node of so many bytes: its slices. */
size_t hfi_plan_maps_bytes(size_t node_bytes);

struct plan_part hfi_plan_owners(const struct reservation *reservation);
struct plan_part hfi_plan_owners_slice(const struct reservation *reservation,
                                       const struct reserved_node *node);
struct plan_part hfi_plan_table_slice(const struct reservation *reservation,
                                      const struct reserved_node *node);

/* The parts one after the other, the guards among them: the least of the space that will do.  The
 * number of parts. */
unsigned hfi_plan_parts(const struct reservation *reservation, const struct options *options,
                        struct plan_part parts[HFI_PLAN_PARTS_MAX]);

/* Windows of a node: what io_uring registers one by one. */
HFI_INLINE size_t hfi_plan_windows(const struct reserved_node *node)
{
    return hfi_divide_up(node->bytes, HFI_WINDOW_BYTES);
}

#endif
