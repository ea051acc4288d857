/*
 * attempt: what the files of a reservation share with each other, and with nobody else.
 *
 * reserve.c decides on the kind of arena.  Below it, each standing on those after it:
 * reserve-growing.c and reserve-backings.c make an arena of either kind, reserve-fit.c cuts a node
 * to what is free, reserve-memory.c binds, locks and readies, reserve-space.c takes addresses, and
 * reserve-asked.c looks at what was asked for.
 */
#ifndef HFI_ATTEMPT_H
#define HFI_ATTEMPT_H

#include "numa/plan.h"
#include "kernel/machine.h"
#include "kernel/os.h"
#include "arena/prefault.h"
#include "base/say.h"

struct topology;

#define HFI_HUGE_BYTES ((size_t)2 * HFI_MIB)
#define HFI_ALLOW_MADVISE "allow madvise in the seccomp profile of the service or container"

/* What hfi_reserve hands around. */
struct attempt {
    const struct options *options;
    const struct topology *topology;
    struct reservation *reservation;
    size_t usable_bytes;                 /* only where a size depends on it: it costs a dozen files */
    size_t planned_bytes[HFI_MAX_NODES]; /* of each node, before what the machine made of it */
    bool in_parts;                       /* the space is not in one piece: reserve-space.c */
    bool background;                     /* most is populated while the program runs */
    bool said_unbound;                   /* once for all nodes */
    bool said_unlocked;
    bool said_unadvised;
};

/* --- saying so (attempt.c) --- */

/* Something asked for cannot be had: "what: instead; next", or the end. */
void HFI_PRINTF(6, 7)
    hfi_degraded(const struct attempt *attempt, const char *warning_id, const char *error_id,
                 const char *instead, const char *next, const char *format, ...);

/* Number of bytes as text, for one use in one message. */
struct bytes_text {
    char text[16];
};

HFI_INLINE struct bytes_text hfi_bytes_text(uint64_t bytes)
{
    struct bytes_text text;
    hfi_format_bytes(text.text, sizeof text.text, bytes);
    return text;
}

HFI_INLINE bool hfi_is_in_cgroup(size_t usable_bytes)
{
    return usable_bytes < hfi_os_physical_bytes();
}

/* --- what was asked for (reserve-asked.c) --- */

/* Nodes that were named and are not there, or not for this process. */
void hfi_check_named_nodes(const struct attempt *attempt);

/* What `all` does not mean. */
void hfi_check_all_nodes(const struct attempt *attempt);

/* What bounds the parts as they are planned: an arena without a named size takes what there is. */
void hfi_find_bounds(const struct attempt *attempt);

/* The same bound for every node. */
void hfi_set_bounds(struct reservation *reservation, enum plan_bound bound);

/* What the plan made of the sizes that were asked for. */
void hfi_say_raised(const struct attempt *attempt);

/* The sizes are more than an arena can be. */
void hfi_say_capped(const struct attempt *attempt);

/* --- the space (reserve-space.c) --- */

/* Address space for everything, and owners[] mapped.  0 or -errno. */
int hfi_reserve_space(struct attempt *attempt);

/* Gives all of it back. */
void hfi_release_space(const struct attempt *attempt);

/* Owners or table: of a growing arena to be read for now (V6).  0 or -errno. */
int hfi_map_maps(const struct reservation *reservation, char *start, size_t bytes);

/* `error`, after saying that so many bytes of address space are not to be had. */
int hfi_say_no_space(size_t asked, int error);

/* --- bind, lock, populate (reserve-memory.c) --- */

/* To one node; where there is no other it is as good as bound.  False after saying that it is refused,
 * once for all of them. */
bool hfi_bind_range(struct attempt *attempt, void *start, size_t bytes, unsigned node);

/* mlock, or with `on_fault` from each page's first touch on.  LOCK_AUTO wants what could be
 * swapped to be locked: without swap it is content with a refusal. */
bool hfi_lock_range(struct attempt *attempt, void *start, size_t bytes, bool on_fault);

/* Transparent huge pages, or none.  Kernels that have none refuse either as unknown (EINVAL). */
void hfi_advise_range(struct attempt *attempt, const struct reserved_node *node, bool huge);

/* What is to be populated of a node at start. */
struct prefault_order hfi_order_of(const struct attempt *attempt, const struct reserved_node *node);

/* Owners and table of a node's pages: on the node, and as ready as its memory.  0 or -errno. */
int hfi_ready_maps(struct attempt *attempt, const struct reserved_node *node);

/* --- what is free (reserve-fit.c) --- */

/* Why a node gets less than it asks for. */
struct shortage {
    enum os_bound bound;
    uint64_t available; /* to this node */
    uint64_t all;       /* that there is, free or not, where more than that was asked for; else 0 */
    int error;          /* of populating, else 0 */
};

/* Takes less than was asked for; false when that is too little for an arena. */
bool hfi_settle_for(const struct attempt *attempt, struct reserved_node *node, size_t bytes,
                    const struct shortage *shortage);

/* Takes what there is room for (V5); false when that is too little for an arena. */
bool hfi_fit_node(struct attempt *attempt, struct reserved_node *node);

/* --- the two kinds of arena (reserve-backings.c, reserve-growing.c) --- */

/* Whether a backing is to be tried. */
bool hfi_backing_is_possible(const struct attempt *attempt, const struct reserved_node *node,
                             enum option_backing backing);

/* Walks the list, all nodes side by side.  Those of a round are mapped, then populated at the same
 * time, and what failed goes to its next backing in the next round.  0 or -ENOMEM after saying
 * why. */
int hfi_reserve_nodes(struct attempt *attempt);

/* Makes an arena without a named size.  0, or -errno after saying why. */
int hfi_reserve_growing(struct attempt *attempt);

#endif
