/*
 * snapshot: the arena of another process at one moment, checked, and what follows from it.
 *
 * Filled from a live process's segment (snapshot_read) or from a recording (recording.h);
 * everything that shows an arena works on it.  All counts are within the arrays they belong to,
 * whatever the file said.
 */
#ifndef HFT_SNAPSHOT_H
#define HFT_SNAPSHOT_H

#include <holdfast/inspect.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Entries of a page map that are read for every line of a list or a watch: 256 GiB of arena.
 * Larger ones take 32 MiB and more to copy. */
#define SNAPSHOT_MAP_OFTEN (1u << 22)

enum segment_verdict {
    SEGMENT_OK,
    SEGMENT_NONE,      /* no such file */
    SEGMENT_DENIED,    /* not ours to read: `detail` is the errno */
    SEGMENT_STRANGE,   /* no regular file, or of an owner it cannot have */
    SEGMENT_MALFORMED, /* magic, sizes or names do not agree */
    SEGMENT_ANOTHER,   /* of another version: what it means cannot be known */
};

/* Bytes that the first library of this version, HF_INSPECT_VERSION, had of each struct: none is
 * shorter. */
enum snapshot_least {
    SNAPSHOT_LEAST_HEADER = 256,
    SNAPSHOT_LEAST_NODE = 128,
    SNAPSHOT_LEAST_CLASS = 16,
    SNAPSHOT_LEAST_THEAP = 320,
    SNAPSHOT_LEAST_EVENT = 48,
    SNAPSHOT_LEAST_SLOW = 280, /* where there are any */
    SNAPSHOT_LEAST_HEAP = 128, /* likewise */
};

/* How well live blocks are known: what live_bytes and all counts of blocks in use are worth. */
enum snapshot_live {
    LIVE_UNKNOWN, /* there is no page map */
    LIVE_SHOWN,   /* as of each page's last slow path: what came and went since is not in it, so that it
                   * may be wrong many times over; nothing of it is shown */
    LIVE_COUNTED, /* as of this moment, from the process's memory */
};

#define SNAPSHOT_STATES (HF_PAGE_META + 1)

/* What pictures tell apart besides: of LARGE, pages of heaps. */
#define SNAPSHOT_HEAP SNAPSHOT_STATES
#define SNAPSHOT_KINDS (SNAPSHOT_STATES + 1)

/* What a page's entry is shown as; FREE for what is no state. */
static inline unsigned snapshot_kind(uint64_t entry)
{
    return HF_PAGE_IS_OF_HEAPS(entry)             ? SNAPSHOT_HEAP
         : HF_PAGE_STATE(entry) < SNAPSHOT_STATES ? HF_PAGE_STATE(entry)
                                                  : HF_PAGE_FREE;
}

/* What the page map says of one node, in pages. */
struct node_pages {
    uint64_t state[SNAPSHOT_STATES]; /* by enum hf_inspect_page_state; UNTOUCHED counts as FREE */
    uint64_t owned_empty;            /* of OWNED: no block in use; as owned_partly and all of what is live,
                                      * of worth where snapshot_live_is_known */
    uint64_t owned_partly;           /* of OWNED: neither empty nor full */
    uint64_t longest_free;           /* run of free pages */
    uint64_t held_bytes;             /* in pages of blocks, large ones too: neither free nor Holdfast's own */
    uint64_t live_bytes;             /* of held_bytes: in blocks that the program has */
    uint64_t idle_live_bytes;        /* of the pages that are IDLE: in blocks that are in use */
    uint64_t magazine_bytes; /* of held_bytes: freed blocks that threads keep in magazines; not live */
    uint64_t heap_pages;     /* of LARGE: of heaps */
};

/* What the page map says of one size class, over all nodes. */
struct class_pages {
    uint64_t runs;
    uint64_t pages;
    uint64_t used_blocks; /* that the program has */
    uint64_t room_blocks; /* what its runs could hold */
    uint64_t waste_bytes; /* of its pages: in no block that is in use */
    uint64_t live_bytes;  /* of its pages: in blocks that are in use */
};

/* What the page map says of one theap. */
struct theap_pages {
    uint64_t pages;
    uint64_t used_bytes; /* in blocks that are in use, or in some thread's magazine */
};

/* Heaps of the program, as a recording has it.  `held` and `live` are of all of them. */
struct snapshot_heaps {
    uint64_t told; /* 0: the library does not tell of heaps, and all is 0 */
    uint64_t live, made, held;
    uint64_t failures;            /* calls that limits failed, of heaps that have ended too */
    uint64_t others, others_held; /* those of which nothing else is known */
};

struct snapshot {
    struct hf_inspect_segment header;
    struct hf_inspect_node nodes[HF_INSPECT_MAX_NODES];
    struct hf_inspect_class classes[HF_INSPECT_MAX_CLASSES];
    struct hf_inspect_theap *theaps;
    struct hf_inspect_theap others[HF_INSPECT_MAX_NODES]; /* by node: sums of the theaps past the table's
                                                           * end */
    struct hf_inspect_event events[HF_INSPECT_EVENTS];    /* whole ones, oldest first */
    uint64_t *pages; /* the page map; NULL when it was not asked for or is not there */
    struct hf_inspect_slow causes[HF_INSPECT_CAUSES]; /* sums over all shards */
    struct hf_inspect_heap *heaps;                    /* by slot; id 0: none that is known */
    struct snapshot_heaps heap_sum;
    unsigned node_count, class_count, theap_count, event_count;
    unsigned heap_count;  /* slots; 0 where the library does not tell of heaps */
    unsigned cause_count; /* all, or 0 where the library does not tell causes apart */
    size_t page_count;
    uint64_t taken_ns; /* CLOCK_MONOTONIC of this copy */
    uint64_t taken_ticks;
    double ticks_per_ns;                       /* of the process's counter */
    bool is_kept;                              /* left by a process that has ended: the next two are told */
    uint64_t kept_owner;                       /* user's number */
    uint64_t kept_wall_s;                      /* CLOCK_REALTIME when it was found */
    bool huge_is_known;                        /* by target_read_huge, of all nodes */
    uint64_t huge_bytes[HF_INSPECT_MAX_NODES]; /* of nodes: on huge pages now */
    /* From here on what follows from the page map, where there is one. */
    struct node_pages node_pages[HF_INSPECT_MAX_NODES];
    struct class_pages class_pages[HF_INSPECT_MAX_CLASSES];
    struct theap_pages *theap_pages;
    /* Freed blocks that threads keep; with LIVE_COUNTED. */
    uint32_t magazine_blocks[HF_INSPECT_MAX_NODES][HF_INSPECT_MAX_CLASSES];
    /* Sums over all nodes. */
    uint64_t live_known; /* enum snapshot_live */
    uint64_t live_error; /* errno that kept it from LIVE_COUNTED; 0 for none */
    uint64_t held_bytes, live_bytes, idle_live_bytes, magazine_bytes;
};

/* Sums over all theaps, those past the table's end too; in_use counts those that a thread has.  A
 * recording has it as it stands here. */
struct snapshot_sum {
    uint64_t in_use;
#define COUNTER(name, ...) uint64_t name;
#define COUNTER_ADDED(...)
#include "heap/counter-list.h"
    uint64_t kept, slow_ticks, away[HF_INSPECT_DISTANCES], slow[HF_INSPECT_BUCKETS];
#define COUNTER(...)
#define COUNTER_ADDED(name, ...) uint64_t name;
#include "heap/counter-list.h"
};

/* Where `holdfast stat` has a counter: among the ways by which memory came, with its share of them, or
 * behind these, in this order. */
enum counter_place {
    COUNTER_WAY,
    COUNTER_OWN,  /* what a theap did with its own pages */
    COUNTER_NODE, /* and with those of the node and of others */
    COUNTER_CALL,
    COUNTER_UNSEEN,
    COUNTER_IF_ANY = 8, /* added to one of these: not while it is zero */
};

/* The list of counters as a table, for who shows them all. */
struct counter {
    const char *name;
    size_t in_sum;   /* offset in struct snapshot_sum */
    size_t in_theap; /* and in struct hf_inspect_theap */
    unsigned place;  /* enum counter_place */
    const char *words;
    const char *family, *help; /* family NULL: a sample of holdfast_pages, or where help is NULL too none */
};
extern const struct counter snapshot_counters[];
extern const size_t snapshot_counter_count;

/* Whether the library counts what stands at that offset in struct hf_inspect_theap: an older one
 * does not, and its zero means nothing. */
bool snapshot_tells(const struct snapshot *snapshot, size_t in_theap);

static inline uint64_t snapshot_count(const struct snapshot_sum *sum, const struct counter *counter)
{
    return *(const uint64_t *)((const char *)sum + counter->in_sum);
}

/* Copies a segment from `fd` and checks the copy: read, not mapped, so that a file cut short
 * meanwhile is no SIGBUS.  `with_pages`: the page map too (8 bytes per 64 KiB of arena), and counts
 * of blocks from the process's memory, where that may be read (128 bytes per run of blocks).  The
 * snapshot must be zeroed before its first use; later calls reuse its memory.
 *
 * A library of the same version may be older or newer than this tool.  What its structs lack is
 * zero, and what they have more is passed over.  Zero is right for what counts or is a flag; what
 * it would belie has a predicate: snapshot_live_is_known, snapshot_tells. */
enum segment_verdict snapshot_read(struct snapshot *snapshot, int fd, pid_t pid, uint64_t start_ticks,
                                   bool with_pages, const char **reason);

/* Whether live bytes and blocks in use may be shown, and whether they are exact.  Else there are at
 * most so many: a process that took pages over at a fork does not know which blocks were free. */
bool snapshot_live_is_known(const struct snapshot *snapshot);
bool snapshot_live_is_exact(const struct snapshot *snapshot);

/* For who reads by turns into two: the next read of `snapshot` keeps the counts of `last`, read
 * since, should the process have ended. */
void snapshot_follow(struct snapshot *snapshot, const struct snapshot *last);

/* Classes that a page could not hold, and nodes beyond the page map, lead nowhere: NULL, or why the
 * copy cannot be used. */
const char *snapshot_fault(const struct snapshot *snapshot);

/* Figures of a node, or of all, in bytes.  Whatever the segment and the page map say,
 *     used + free <= total,  meta + large + heaps + idle + kept + full + owned == used,
 *     large + heaps <= held,  live <= held,  idle_live <= idle.
 * Whatever adds or compares figures of nodes takes them from here; what shows one as the segment has
 * it does not. */
struct snapshot_figures {
    uint64_t total, used, free;
    uint64_t high_water;
    uint64_t meta, large; /* of `used` */
    uint64_t heaps;       /* of `used`: pages of heaps, which are not of `large` here */
    uint64_t idle;        /* of `used`: nobody's, with room */
    uint64_t kept;        /* of `used`: a thread's, and empty; 0 where live bytes are not known */
    uint64_t full;        /* of `used`: nobody's, without room; 0 without a page map */
    uint64_t owned;       /* of `used`: the rest */
    uint64_t held;        /* in pages of blocks; without a page map all of `used` but `meta` */
    uint64_t live;        /* of `held`: in blocks that the program has; all of it where that is not known */
    uint64_t idle_live;   /* of `idle`: likewise */
};
struct snapshot_figures snapshot_figures(const struct snapshot *snapshot, unsigned node);
struct snapshot_figures snapshot_figures_of_all(const struct snapshot *snapshot);
void snapshot_figures_add(struct snapshot_figures *sum, const struct snapshot_figures *figures);

/* Fills what follows from the page map.  snapshot_read has done so. */
void snapshot_derive(struct snapshot *snapshot);

void snapshot_free(struct snapshot *snapshot);

void snapshot_sum(const struct snapshot *snapshot, struct snapshot_sum *sum);
/* What a theap counted and keeps, without in_use. */
void snapshot_add(struct snapshot_sum *sum, const struct hf_inspect_theap *theap);
uint64_t snapshot_sum_away(const struct snapshot_sum *sum);

/* Theaps in the table that no thread has any more: of threads that have ended, and taken by no
 * later one. */
unsigned snapshot_threads_ended(const struct snapshot *snapshot);

/* Theaps in the table that a thread has: fewer than the sum's in_use where the table is too
 * short. */
unsigned snapshot_threads_listed(const struct snapshot *snapshot);

/* Blanks entries of heaps that are not whole, ends all names, and fills heap_sum.  snapshot_read has
 * done so; or the names alone. */
void snapshot_settle_heaps(struct snapshot *snapshot);
void snapshot_end_heap_names(struct snapshot *snapshot);

/* Slots of the heaps that are known, the one that holds most first; how many. */
unsigned snapshot_heap_order(const struct snapshot *snapshot, unsigned order[HF_INSPECT_MAX_HEAPS]);

/* NULL: it has ended, or has no slot. */
const struct hf_inspect_heap *snapshot_heap_of_id(const struct snapshot *snapshot, uint64_t id);

/* "region" or "general"; and the kernel's number of the node that it is bound to, "all" where it takes
 * them in turn, or "any". */
const char *snapshot_heap_kind(const struct hf_inspect_heap *heap);
const char *snapshot_heap_place(const struct snapshot *snapshot, const struct hf_inspect_heap *heap,
                                char text[16]);

/* A slot that no theap ever had is blank. */
bool snapshot_theap_is_blank(const struct hf_inspect_theap *theap);

/* The kernel's number of the node with that index in the nodes table; the index where there is
 * none. */
uint32_t snapshot_node_id(const struct snapshot *snapshot, uint32_t index);

/* A span of ticks in nanoseconds; and a moment's distance from the snapshot, 0 for the future. */
double snapshot_ns(const struct snapshot *snapshot, uint64_t ticks);
double snapshot_age_ns(const struct snapshot *snapshot, uint64_t ticks);

/* Lower bound of the bucket of the slow path's histogram in which the given part (0..1) of all
 * calls ends, in ns; its upper bound is twice that.  0 when there were none. */
double snapshot_slow_quantile(const struct snapshot *snapshot, const struct snapshot_sum *sum, double part);

/* The same of another histogram; and the calls in it. */
double snapshot_quantile(const struct snapshot *snapshot, const uint64_t calls[HF_INSPECT_BUCKETS],
                         double part);
uint64_t snapshot_calls(const uint64_t calls[HF_INSPECT_BUCKETS]);

/* Whether calls whose thread was moved are told apart from others. */
bool snapshot_tells_interrupted(const struct snapshot *snapshot);

/* Calls `each` for every run of a node's pages in order, free stretches included: first page within
 * the node, pages, the entry of its head. */
void snapshot_each_run(const struct snapshot *snapshot, unsigned node,
                       void (*each)(size_t first, size_t pages, uint64_t entry, void *argument),
                       void *argument);

/* "1g", "2m", "thp", "4k"; "?" for a code this version does not know.  Likewise "owned", "node
 * full", "cleared", ... */
const char *snapshot_backing_name(uint32_t backing);
const char *snapshot_state_name(uint32_t state);
const char *snapshot_event_name(uint32_t kind);
const char *snapshot_cause_name(uint32_t cause);

#endif
