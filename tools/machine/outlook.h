/*
 * outlook: what an arena would be if the program were started now, on this machine or on a
 * described one.
 *
 * Sizes, order, backings and layout are the library's own plan (plan.h).  The kernel is asked here
 * what pools have and whether there are transparent huge pages, as reserve.c does before it maps
 * anything.
 */
#ifndef HFT_OUTLOOK_H
#define HFT_OUTLOOK_H

#include "kernel/machine.h"
#include "numa/plan.h"
#include "tool.h"
#include "numa/topology.h"

struct outlook {
    struct options options;
    const char *described; /* what the machine was described by; NULL: this one */
    struct topology topology;
    int error;                      /* of hfi_topology_load */
    bool named;                     /* the arena has a size */
    bool capped;                    /* all nodes together were more than an arena can be: */
    size_t asked_bytes;             /* so much */
    struct reservation reservation; /* placed nowhere; a node's bytes are as its backing rounds them */
    enum option_backing backing[HFI_MAX_NODES]; /* by index in reservation.nodes: where it would stop.  Of a
                                              * described machine: what is asked for, with 2m for auto: what
                                              * its pools will have is not known */
    uint64_t pages[HFI_MAX_NODES][BACKING_2M + 1]; /* likewise, see outlook_pages */
    size_t total_bytes;
    size_t small_bytes;                    /* of them, on pages that could be swapped */
    size_t owners_bytes, table_bytes;      /* of all nodes, populated as the arena is */
    size_t space_bytes, space_least_bytes; /* of addresses: in one piece; where that is refused */
    size_t windows;
    size_t segment_bytes; /* for inspection; 0: not published */
    uint32_t forks;       /* children of a fork at a time whose copies are counted; set after outlook_load */
};

/* Reads the options from the environment and plans; `description` is NULL, a file or a synthetic
 * string.  0, or an exit status after HF-E450 to HF-E455 was printed under the name of
 * `command`. */
int outlook_load(struct outlook *outlook, const char *description, const char *command);

/* Bytes of memory that a node of the topology has. */
uint64_t outlook_node_memory(const struct outlook *outlook, const struct topology_node *node);

/* The arena's part on the topology's node of that index, or NULL; *backing, if not NULL, is where
 * it stands. */
const struct reserved_node *outlook_part(const struct outlook *outlook, unsigned index,
                                         enum option_backing *backing);

/* A backing's pool on a node of this machine; false when the kernel has no such pages. */
bool outlook_pool(const struct outlook *outlook, unsigned id, enum option_backing backing,
                  struct os_huge_pool *pool);

/* The command that gives a pool what it lacks of so many pages; an empty text where it lacks
 * none. */
const char *outlook_pool_mend(char *text, size_t text_bytes, const struct os_huge_pool *pool, uint64_t pages);

/* The most that forked children copy of so many bytes or pages of an arena.  Parent and child may
 * both come to use what was free at the fork. */
uint64_t outlook_copies(const struct outlook *outlook, uint64_t amount);

/* Huge pages that a part needs of a backing, 0 where the backing is not tried. */
uint64_t outlook_pages(const struct outlook *outlook, const struct reserved_node *part,
                       enum option_backing backing);

/* What is populated beside the pools: counted by cgroups, locked, committed. */
size_t outlook_beside_pools(const struct outlook *outlook);

#endif
