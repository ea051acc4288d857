/*
 * checks: what stands in the way of an arena, one verdict each, with what was found in numbers and
 * the command that mends it.
 *
 * `holdfast doctor` prints all of them, `holdfast plan` those about sizes that are not ok.  They
 * ask the kernel by trying where that is cheap and leaves no trace (mbind on one page, a small
 * ring).  No memory of the arena's size is touched.
 *
 * K1: `fail` is given only for a named arena that would not stand as asked, or where no arena at
 *     all could.  What would cost speed or comfort is `warn`.
 * K2: of forked children that are asked for, `fail` means that one may be killed while the arena
 *     stands.
 */
#ifndef HFT_CHECKS_H
#define HFT_CHECKS_H

#include "machine/outlook.h"

enum verdict { VERDICT_OK, VERDICT_WARN, VERDICT_FAIL };

struct examination {
    struct outlook outlook;
    json_t *checks; /* array; see holdfast(1) for the keys */
    unsigned warned, failed;
    unsigned arena_failed; /* of them, what is about the arena itself; doctor sets it */
    const char *unit;      /* plan: the drop-in of which unit is to be printed; NULL: of none */
    bool pod;              /* plan: the entry of a container is */
};

/* What a check has to say beside the text of what it found. */
struct check {
    const char *id, *name;
    enum verdict verdict;
    const struct topology_node *node; /* NULL: of the machine, or of all nodes */
    bool counted;                     /* need and have say something, in bytes, or in pages of page_bytes */
    uint64_t need, have;
    size_t page_bytes;
    const char *mend; /* left out where the verdict is ok */
    const char *keep; /* likewise: lines that make it outlive a reboot; NULL: it does, or
                                       * none do */
};

void HFI_PRINTF(3, 4)
    checks_report(struct examination *examination, const struct check *check, const char *format, ...);

/* K1 */
enum verdict checks_fail_if_named(const struct examination *examination);

const char *checks_size(char text[16], uint64_t bytes);

/* What `have` lacks of `need`; and "; 3 GiB too much", or nothing. */
uint64_t checks_missing(uint64_t need, uint64_t have);
const char *checks_too_much(char text[32], uint64_t bytes);

/* Prints them for people: all, or those that are not ok. */
void checks_print(const struct examination *examination, bool all);

/* The same behind a mark each, for a file of another kind. */
void checks_print_marked(const struct examination *examination, const char *mark);

/* And the last line: which of the two, and how many checks say so. */
void checks_print_sum(const struct examination *examination, const char *well, const char *badly);

/* --- checks-main.c: the command line of doctor and plan --- */

enum { CHECKS_TOPOLOGY = TOOL_SETS_VARIABLE + 1, CHECKS_UNIT, CHECKS_POD };

struct checks_command {
    const struct command *command;
    const struct option *options;
    bool describes; /* it may be about another machine */
    void (*examine)(struct examination *examination);
    int (*print_text)(const struct examination *examination); /* 0, or 1 when that was refused */
    int (*print_json)(const struct examination *examination);
};

int checks_main(int argc, char **argv, const struct checks_command *of);

/* --- checks-keep.c: what `keep` is, in the caller's `text` --- */

#define CHECKS_KEEP_BYTES 512

/* No limits: each by its name in a unit file and in limits.d(5), up to a NULL. */
const char *checks_keep_limits(char text[CHECKS_KEEP_BYTES], const char *const (*limits)[2]);
extern const char *const checks_no_memlock[][2];

/* So many pages in a node's pool; of 1 GiB pages, what all nodes need. */
const char *checks_keep_pool(char text[CHECKS_KEEP_BYTES], const struct outlook *outlook,
                             const struct topology_node *node, enum option_backing backing,
                             uint64_t total_pages);

/* --- checks-arena.c, checks-nodes.c, checks-limits.c: sizes against what there is --- */

/* All that holds of a described machine, too. */
void checks_options(struct examination *examination);
void checks_topology(struct examination *examination);
void checks_space(struct examination *examination);

/* Those of this machine alone. */
void checks_memory(struct examination *examination);
void checks_cgroup(struct examination *examination);
void checks_memlock(struct examination *examination);
void checks_registering(struct examination *examination);
void checks_overcommit(struct examination *examination);
void checks_result(struct examination *examination);

/* --- checks-pools.c --- */

void checks_pools(struct examination *examination);

/* What the cgroup may have of each size, whatever the pool has. */
void checks_pool_limits(struct examination *examination);

/* K2 */
void checks_forks(struct examination *examination);

/* --- checks-machine.c: what the kernel and the installation have to offer --- */

void checks_library(struct examination *examination);
void checks_thp(struct examination *examination);
void checks_swap(struct examination *examination);
void checks_mbind(struct examination *examination);
void checks_uring(struct examination *examination);
void checks_membarrier(struct examination *examination);
void checks_inspection(struct examination *examination);

bool checks_has_capability(unsigned number);

#endif
