/*
 * arena: an arena of pages that are not there, and policies of placement, for placement.c.
 */
#ifndef SIM_ARENA_H
#define SIM_ARENA_H

#include "workload.h"

#include "arena/idleset.h"
#include "arena/runmap.h"
#include "arena/sizeclass.h"

#define CLASSES_MAX 128
#define LEVELS_MAX 16
#define NONE ((size_t)-1)
#define UNITS (HFI_BLOCK_MAX_BYTES / 16 + 1)
#define LARGE CLASSES_MAX /* class of a run that is one block */

/* A run in use, told by its first page. */
struct run {
    uint32_t pages, blocks, used;
    uint32_t class;
    uint32_t next; /* page of a run that is not in one piece */
};

struct class
{
    size_t bytes, run_pages, least_pages, current;
    struct idleset with_room[LEVELS_MAX]; /* runs with free blocks, by how full they are */
};

struct sim;
typedef size_t place(struct sim *sim, size_t pages, bool high);

struct sim {
    size_t pages;
    unsigned levels;
    place *place;
    bool apart; /* a run need not be in one piece */
    struct class classes[CLASSES_MAX];
    unsigned class_count;
    unsigned char class_of[UNITS];
    struct runmap map;
    struct run *runs;
};

/* As in sizeclass.c, where these are 4, 32 and 8. */
struct cut {
    size_t spread, tails, run_pages;
};

struct policy {
    const char *name;
    place *place;
    bool apart;
    const char *what;
};

/* Its end has no name. */
extern const struct policy sim_policies[];

void *sim_zeroed(size_t bytes);

/* Size classes cut so, or without `cut` those of the library. */
void sim_set_classes(struct sim *sim, const struct cut *cut);

/* An empty arena of sim->pages; and the end of it. */
void sim_open(struct sim *sim);
void sim_close(struct sim *sim);

size_t sim_free_pages(const struct sim *sim);

/* The first page of the run in which a block of `bytes` has got its place, or NONE. */
size_t sim_alloc(struct sim *sim, size_t bytes);

/* Frees a block of that run. */
void sim_free(struct sim *sim, size_t head);

#endif
