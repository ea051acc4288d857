/*
 * holdfast/inspect.h: the segment in which a process shows its arena.
 *
 * /dev/shm/holdfast.PID.START.NS, mode 0400, START being the process's start time in
 * clock ticks after boot (field 22 of /proc/PID/stat).  NS, in hexadecimal, names the namespaces
 * that these two are of: the inode of /proc/PID/ns/pid, and 2^32 times that of
 * /proc/PID/ns/time.  The process writes it with
 * plain stores and decides nothing by it; a reader copies or maps it read-only and treats it as
 * untrusted.  Figures are copied on slow paths: a sleeping thread's are those of its
 * last slow path, and figures of different moments stand side by side.  Exact counts of blocks
 * are in the process's memory alone: struct hf_inspect_live says where.  All words are in the
 * machine's byte order.
 *
 * The header is followed by tables; each names its offset from the segment's first byte, the number
 * of its entries and the size of one.  A reader checks magic, version and the sizes before anything
 * else.  Fields are only ever added at the end of a struct, together with its size: a reader passes
 * over what it does not know of a longer struct, and takes for unknown what a shorter one lacks (0
 * is right for most counters and flags).  version changes when a meaning does: a reader of another
 * version must not use the segment.
 *
 * Moments are ticks of the processor's counter (x86-64: TSC, AArch64: CNTVCT, elsewhere nanoseconds
 * of CLOCK_MONOTONIC).  A reader on the same machine finds their rate by reading both clocks itself
 * and comparing with clock_ticks and clock_ns.
 */
#ifndef HOLDFAST_INSPECT_H
#define HOLDFAST_INSPECT_H

#include <stdint.h>

#define HF_INSPECT_DIRECTORY "/dev/shm"
#define HF_INSPECT_PREFIX "holdfast."
#define HF_INSPECT_KEPT_PREFIX "holdfast-last." /* of a process that was killed: see holdfast-inspect(5) */
#define HF_INSPECT_MAGIC UINT64_C(0x31545053444c4f48) /* "HOLDSPT1" */
#define HF_INSPECT_VERSION 3
#define HF_INSPECT_MAX_NODES 64
#define HF_INSPECT_MAX_CLASSES 64
#define HF_INSPECT_MAX_THEAPS 4096 /* fewer in arenas of less than 4 GiB: one per MiB, at least 256 */
#define HF_INSPECT_MAX_HEAPS 1024  /* fewer in arenas of less than 1 GiB: one per MiB, at least 64 */
#define HF_INSPECT_EVENTS 64
#define HF_INSPECT_PAGE_BYTES 65536
#define HF_INSPECT_GUARD_BYTES 4096 /* at the end of each run of the secure build, where no block lies */
#define HF_INSPECT_BUCKETS                                                                                   \
    32 /* of the histogram: bucket i counts calls of 2^i up to 2^(i+1) ticks, the last all longer ones */
#define HF_INSPECT_DISTANCES 4 /* of `away`: nearest other node, second, third, any further */

/* Where a table lies. */
struct hf_inspect_table {
    uint64_t offset;      /* bytes from the start of the segment */
    uint32_t count;       /* entries */
    uint32_t entry_bytes; /* of one */
};

enum hf_inspect_backing {
    HF_BACKING_NONE = 0, /* of asked_backing: auto */
    HF_BACKING_1G = 1,
    HF_BACKING_2M = 2,
    HF_BACKING_THP = 3,
    HF_BACKING_4K = 4,
};

#define HF_INSPECT_NODE_BOUND 1u
#define HF_INSPECT_NODE_LOCKED 2u
#define HF_INSPECT_NODE_GROWING 4u
#define HF_INSPECT_NODE_POPULATING 8u /* in the background: populated rises to total */
#define HF_INSPECT_NODE_FULL                                                                                 \
    16u /* what was asked for last did not fit; a reader that sees room for that passes it over */
#define HF_INSPECT_ROOM_SHARE 64u /* part of the node that is room enough for the flag to go */

/* One node's arena.  Sizes in bytes. */
struct hf_inspect_node {
    uint32_t id;               /* the kernel's number of the node */
    uint32_t backing;          /* enum hf_inspect_backing, as obtained */
    uint32_t flags;            /* HF_INSPECT_NODE_* */
    uint32_t populate_error;   /* errno of the first part that could not be populated in the background; 0 for
                              * none */
    uint64_t total;            /* size of the arena on this node */
    uint64_t populated;        /* of it, populated so far (a growing arena: opened so far) */
    uint64_t used;             /* in pages that are handed out or held */
    uint64_t idle;             /* of `used`: unowned pages with room, if only for one block;
                                * empty ones that threads keep are not idle */
    uint64_t free;             /* total - used - what could not be populated */
    uint64_t high_water;       /* most ever in use */
    uint64_t large;            /* of `used`: blocks of whole pages, and pages of heaps */
    uint64_t meta;             /* of `used`: Holdfast's own structures */
    uint64_t high_water_ticks; /* when high_water was reached */
    uint64_t first_index;      /* of its first page in the process's page table (struct hf_inspect_live) */
    uint64_t first_page;       /* index in the pages table of its first page */
    uint64_t theaps;           /* in use, with this home */
    uint64_t asked;            /* what HOLDFAST_ARENA asked for here */
    uint64_t os_page_bytes;    /* of the backing */
    uint64_t reserve;          /* what HOLDFAST_RESERVE keeps, used or free */
    uint64_t reserve_used;     /* of `reserve` and of `used`; the rest is of `free` */
    uint64_t reserve_uses;     /* times that it was begun upon, having been whole */
    uint64_t heaps;            /* of `large`: pages of heaps (<holdfast/heap.h>) */
    uint64_t unused[4];        /* zero: an entry is of whole cache lines */
};

/* One size class.  Const once the segment is there. */
struct hf_inspect_class {
    uint32_t block_bytes;
    uint32_t run_pages;  /* pages of 64 KiB that one run of its blocks has */
    uint32_t run_blocks; /* blocks in such a run */
    uint32_t reserved;
};

/* One theap: what its threads, past and present, counted. */
struct hf_inspect_theap {
    uint64_t in_use;                     /* 1 while a thread has it */
    uint32_t home_node;                  /* index in the nodes table */
    uint32_t cpu;                        /* where its last slow path ran */
    uint64_t tid;                        /* of the thread that has it, or had it last */
    uint64_t updated_ticks;              /* its last slow path */
    uint64_t listed;                     /* blocks put on a free list: what the fast path then hands out */
    uint64_t collected;                  /* refills from a page it had already */
    uint64_t claimed;                    /* idle pages of a node taken over */
    uint64_t shared;                     /* times a few blocks of an idle page were taken, on a tight node */
    uint64_t stolen;                     /* pages taken from threads that slept */
    uint64_t lost;                       /* pages that others took from it while its thread slept */
    uint64_t fresh;                      /* fresh runs cut into blocks */
    uint64_t large;                      /* blocks of whole pages */
    uint64_t adopted;                    /* own pages claimed again by freeing into them */
    uint64_t retired;                    /* pages given back to a node */
    uint64_t remote_frees;               /* blocks it freed into pages that other threads owned */
    uint64_t received;                   /* blocks that others freed into its pages, as collected */
    uint64_t pressed;                    /* times it asked the application's pressure callbacks */
    uint64_t failed;                     /* calls that ended in ENOMEM */
    uint64_t kept;                       /* bytes of empty pages that it keeps */
    uint64_t away[HF_INSPECT_DISTANCES]; /* of claimed, fresh and large: from another node, the wanted one
                                          * being full */
    uint64_t slow_ticks;                 /* spent in the calls that the histogram counts */
    uint32_t slow[HF_INSPECT_BUCKETS];   /* calls that had to look beyond the theap's own pages, by how long
                                        * that took */
    uint64_t unowned_frees;              /* blocks it freed into unowned pages, such as those it let go of */
    uint64_t unused[7];                  /* zero: a slot is of whole cache lines */
};

/* Why a call of malloc and its kin was slow.  Each call counts under one cause, the last that holds of it. */
enum hf_inspect_cause {
    HF_CAUSE_OWN = 0,      /* refilled from pages and magazines that the thread had.  One of 32 is timed and
                               * counts for 32; with HOLDFAST_SLO each is timed */
    HF_CAUSE_CLAIMED = 1,  /* took over an idle page */
    HF_CAUSE_FRESH = 2,    /* took free pages */
    HF_CAUSE_STOLEN = 3,   /* visited threads that sleep */
    HF_CAUSE_SEARCHED = 4, /* looked at every page of the node, and found one or none */
    HF_CAUSE_AWAY = 5,     /* was served by another node than the one wanted */
    HF_CAUSE_ATTACHED = 6, /* was its thread's first, and set up a theap */
    HF_CAUSE_CLEARED = 7,  /* clearing its block, for calloc, took more than half of the time */
    HF_CAUSE_INTERRUPTED =
        8, /* the thread was moved to another CPU meanwhile.  Never, without HF_INSPECT_INTERRUPTED_TOLD */
    HF_CAUSE_OPENED = 9, /* the arena grew, or the call had to populate memory or wait for that */
};
#define HF_INSPECT_CAUSES 10
#define HF_INSPECT_SHARDS 8

/* The calls of one cause.  Theaps share such entries: the table has them for each of the shards, in the
 * order of the causes, and a cause's figures are the sums over all shards. */
struct hf_inspect_slow {
    uint64_t ticks;                     /* that these calls took */
    uint64_t longest;                   /* ticks; of all shards, the most */
    uint64_t late;                      /* calls that took longer than HOLDFAST_SLO */
    uint64_t calls[HF_INSPECT_BUCKETS]; /* by how long they took */
};

/* One heap of the program.  A heap has the slot of its memory, which a later heap takes over.  Heaps
 * without a slot are summed up in the header. */
#define HF_INSPECT_NO_NODE UINT32_MAX
struct hf_inspect_heap {
    uint64_t id;    /* its number, from 1 on in the order in which they were made; 0: there is none, or it
                          * comes or goes now.  What is held then is of no heap that is told */
    uint64_t last;  /* number of the heap that had the slot last, or has it */
    uint64_t held;  /* bytes of the arena that it has, in steps of 16 KiB */
    uint64_t most;  /* most that it held, as of its last slow path: `held` may be more */
    uint64_t limit; /* 0: none */
    uint64_t soft_limit; /* 0: none */
    uint64_t failures;   /* calls that its limit failed */
    uint64_t made_ticks; /* when it was made, or the segment, if that came later */
    uint32_t flags;      /* HF_HEAP_..., as the program gave them */
    uint32_t node;       /* index in the nodes table that it is bound to; HF_INSPECT_NO_NODE */
    char name[32];       /* as the program named it, ended by a 0; any bytes */
    uint64_t crossings;  /* times that it came over its soft limit */
    uint64_t unused;     /* zero: an entry is of whole cache lines */
    uint64_t id_again;   /* as `id`, or the entry is not whole; only `held` counts then */
};

/* Events, the oldest overwritten first. */
enum hf_inspect_event_kind {
    HF_EVENT_NONE = 0,
    HF_EVENT_PUBLISHED = 1,    /* the segment was made; a: bytes of the arena */
    HF_EVENT_NODE_FULL = 2,    /* what was asked for did not fit on the node; a: bytes */
    HF_EVENT_NODE_ROOM = 3,    /* the node had room again */
    HF_EVENT_REMOTE_BEGAN = 4, /* a thread at home here got memory of another node; a: that node's index */
    HF_EVENT_REMOTE_ENDED = 5, /* and memory of its own again; a: pages taken elsewhere meanwhile */
    HF_EVENT_REPORT = 6,       /* the report of a full arena was printed; a: bytes asked, b: failures since
                                * the last */
    HF_EVENT_POPULATED = 7,    /* population in the background is over; a: bytes that failed */
    HF_EVENT_PRESSURE = 8,     /* the application was asked to free memory; a: bytes, b: 1 if it did */
    HF_EVENT_STOLEN = 9,       /* pages were taken from sleeping threads; a: pages */
    HF_EVENT_FORKED = 10,      /* the process forked; a: how many times so far */
    HF_EVENT_REGISTERED = 11,  /* the arena was registered with an io_uring; a: bytes, b: 1 if cloned */
    HF_EVENT_REGISTER_REFUSED = 12, /* a: bytes, b: errno */
    HF_EVENT_LATE = 13,    /* a call took longer than HOLDFAST_SLO, at most one event a second; a: bits 0..7
                         * its cause, the others calls that were late since the last such event, with
                         * this one; b: ticks that it took */
    HF_EVENT_RESERVE = 14, /* a reserve that was whole was begun upon; a: bytes asked, b: bytes that it has */
    HF_EVENT_HEAP_LIMIT = 15, /* a heap's limit failed a call; a: bytes asked, b: the heap's number */
    HF_EVENT_FROZEN = 16, /* after hf_freeze the default heap took fresh pages, for the 1st, 2nd, 4th, 8th ...
                             * time; a: bytes asked, b: pages that it took so since */
};

struct hf_inspect_event {
    uint64_t sequence; /* 1 + number of the event, written last; 0 while it is being written */
    uint64_t ticks;
    uint32_t kind; /* enum hf_inspect_event_kind */
    uint32_t node; /* index in the nodes table */
    uint64_t tid;  /* thread that met it */
    uint64_t a, b;
};

/* One page of 64 KiB.  Entries of pages inside a run are not kept: a reader goes on behind the
 * run's last page. */
enum hf_inspect_page_state {
    HF_PAGE_UNTOUCHED = 0, /* free, and never told of */
    HF_PAGE_FREE = 1,
    HF_PAGE_OWNED = 2, /* a run of blocks that a theap owns */
    HF_PAGE_IDLE = 3,  /* an unowned run with room: the next thread that needs its class takes
                            * it */
    HF_PAGE_LOOSE = 4, /* an unowned run, full: a free into it decides */
    HF_PAGE_LARGE = 5, /* one block of whole pages, or pages of heaps (<holdfast/heap.h>) */
    HF_PAGE_META = 6,  /* Holdfast's own structures */
};

/* A page's entry is one word:
 *   bits  0..7   enum hf_inspect_page_state
 *   bits  8..15  index in the classes table (OWNED, IDLE, LOOSE); HF_PAGE_OF_HEAPS where heaps have it
 *                (LARGE)
 *   bits 16..31  index in the theaps table of its owner, 0xffff past its end (OWNED)
 *   bits 32..63  pages of the run (LARGE, META)
 *   bits 32..55  blocks in use at the owner's last slow path (OWNED, IDLE, LOOSE)
 *   bits 56..63  pages by which the run is shorter than its class' run_pages (OWNED, IDLE, LOOSE) */
#define HF_PAGE_STATE(entry) ((uint32_t)((entry)&0xff))
#define HF_PAGE_CLASS(entry) ((uint32_t)((entry) >> 8 & 0xff))
#define HF_PAGE_THEAP(entry) ((uint32_t)((entry) >> 16 & 0xffff))
#define HF_PAGE_COUNT(entry) ((uint32_t)((entry) >> 32))
#define HF_PAGE_BLOCKS(entry) ((uint32_t)((entry) >> 32 & 0xffffff))
#define HF_PAGE_SHORT(entry) ((uint32_t)((entry) >> 56))
#define HF_PAGE_IS_OF_HEAPS(entry)                                                                           \
    (HF_PAGE_STATE(entry) == HF_PAGE_LARGE && HF_PAGE_CLASS(entry) == HF_PAGE_OF_HEAPS)
#define HF_PAGE_ENTRY(state, size_class, theap, count)                                                       \
    ((uint64_t)(state) | (uint64_t)(size_class) << 8 | (uint64_t)(theap) << 16 | (uint64_t)(count) << 32)
#define HF_PAGE_NO_THEAP 0xffffu
#define HF_PAGE_OF_HEAPS 1u /* <holdfast/heap.h> */

/* Where the process counts the blocks that it has, in its own memory: a reader that may open
 * /proc/PID/mem finds there what the page map, which is of slow paths, cannot say.  Addresses are
 * the process's; offsets and sizes are in bytes.
 *
 * The page table has an entry for each page of the arena; those of runs of blocks count.  With
 * `used`, `capacity`, `list`, `kept`, `local_free` and `xfree` for the words at those offsets, a
 * run's blocks that are out are
 *     list == list_full && local_free == 0 ? capacity : used - kept
 * less those in xfree: its bits from xfree_shift on, xfree_mask of them.  Of these, threads keep
 * some that were freed, in magazines, for their own next requests: of each size class from the
 * first on, a theap has
 *     (loaded_capacity - loaded_used) + (incoming_limit - incoming_room) + previous_blocks
 * of them, in pages of its home node.  The theaps are a list that begins at the address in the word
 * `theaps`.  Who reads while threads are at work must be ready for anything: what it counts is of
 * several moments, and a list may lead anywhere. */
struct hf_inspect_live {
    uint64_t page_table;     /* address of the entry of the page at arena_base */
    uint64_t theaps;         /* address of the word with the address of the first theap; the last has 0 */
    uint32_t entry_bytes;    /* of the page table */
    uint32_t magazines;      /* in a theap: the first of its magazines */
    uint32_t magazine_bytes; /* of one */
    uint32_t magazine_count; /* of a theap */
    uint32_t xfree_mask;
    uint16_t xfree_shift;
    uint16_t list_full;
    uint16_t used, capacity, list, kept, local_free, xfree;  /* in an entry: of 4, 2, 1, 1, 8 and 8 bytes */
    uint16_t run_pages, size_class;                          /* in an entry: of 4 bytes and 1, as in the page
                                                             * map */
    uint16_t next, state;                                    /* in a theap: of 8 bytes and 4; state 0: nobody
                                                             * has it */
    uint16_t loaded_used, loaded_capacity;                   /* in a magazine: of 4 and 2 bytes */
    uint16_t incoming_limit, incoming_room, previous_blocks; /* of 4 bytes each */
    uint16_t lists[3];                                       /* of 8 bytes: addresses of a block each, or 0 */
};

/* What was asked for in the environment. */
enum hf_inspect_arena { HF_ARENA_AUTO = 0, HF_ARENA_BYTES = 1, HF_ARENA_PERCENT = 2, HF_ARENA_PER_NODE = 3 };
#define HF_INSPECT_REMOTE_DENY 1u
#define HF_INSPECT_FULL_ABORTS 2u
#define HF_INSPECT_DONTFORK 4u
#define HF_INSPECT_STRICT 8u
#define HF_INSPECT_LOCK_NO 16u
#define HF_INSPECT_PLACE_INTERLEAVE 32u
#define HF_INSPECT_PLACE_NODE 64u
#define HF_INSPECT_SECURE 128u
#define HF_INSPECT_OPTIONS_TOLD 256u /* the flags from here on are told: libraries before them leave them 0 */
#define HF_INSPECT_PREFAULT_BACKGROUND 512u
#define HF_INSPECT_PREFAULT_NONE 1024u
#define HF_INSPECT_NODES_NAMED                                                                               \
    2048u /* HOLDFAST_NODES is not `all`: the nodes table has those of them that serve memory */
#define HF_INSPECT_LOCK_YES 4096u
#define HF_INSPECT_TOOK_OVER                                                                                 \
    8192u /* forked by a process with threads: blocks that were free then may count as out, for good */
#define HF_INSPECT_INTERRUPTED_TOLD 16384u /* the kernel tells threads their CPU: HF_CAUSE_INTERRUPTED */
#define HF_INSPECT_PLACE_NODE_ID(options)                                                                    \
    ((options) >> 24 & 63u) /* with HF_INSPECT_PLACE_NODE and OPTIONS_TOLD: its number */

struct hf_inspect_segment {
    uint64_t magic;         /* HF_INSPECT_MAGIC, written last */
    uint32_t version;       /* HF_INSPECT_VERSION */
    uint32_t header_bytes;  /* sizeof (struct hf_inspect_segment) */
    uint64_t segment_bytes; /* header and tables */
    uint64_t pid;
    uint64_t start_ticks; /* field 22 of /proc/PID/stat */
    uint64_t arena_base;  /* address in the process */
    uint64_t arena_span;
    uint64_t clock_ticks; /* the counter, and CLOCK_MONOTONIC in nanoseconds, read together when the
                             * segment was made */
    uint64_t clock_ns;
    struct hf_inspect_table nodes;   /* struct hf_inspect_node */
    struct hf_inspect_table classes; /* struct hf_inspect_class */
    struct hf_inspect_table theaps;  /* struct hf_inspect_theap; theaps past its end are summed up in
                                      * `others` */
    struct hf_inspect_table events;  /* struct hf_inspect_event; number n stands at n % count */
    struct hf_inspect_table pages;   /* uint64_t, of the nodes one after the other; none (count 0) where there
                                      * was no room for them */
    uint64_t event_count;            /* events so far */
    uint64_t theap_count;            /* theaps made so far */
    uint64_t forks;
    uint64_t reports;       /* of a full arena, printed */
    uint64_t registered;    /* bytes that rings of io_uring have pinned: the arena's, once, however many
                             * there are.  0 before the first, and when as many were unregistered; one that
                             * was closed without counts on */
    uint32_t asked_arena;   /* enum hf_inspect_arena */
    uint32_t asked_backing; /* enum hf_inspect_backing */
    uint32_t options;       /* HF_INSPECT_REMOTE_DENY ... */
    uint32_t program;       /* differs from exec to exec; 0 where unknown */
    char library[32];       /* version of the library */
    struct hf_inspect_table others; /* struct hf_inspect_theap, one per node: sums of the theaps without a
                                      * slot that are at home there.  in_use is how many a thread has, kept
                                      * is of those; cpu and tid are 0 */
    struct hf_inspect_live live;    /* where exact counts of blocks are */
    struct hf_inspect_table slow;   /* struct hf_inspect_slow, `causes` of them for each shard; none in
                                     * older libraries */
    uint64_t slo_ns;                /* HOLDFAST_SLO; 0: it is not set */
    uint64_t causes;                /* that this library tells apart: a newer one has more behind these */
    char name[16];                  /* of the process, as the kernel has it; "" where unknown */
    char unit[64];                  /* service of systemd that it runs in; "" where there is none */
    struct hf_inspect_table heaps;  /* struct hf_inspect_heap; none in older libraries */
    uint64_t other_heaps;           /* that live, and have no slot there */
    uint64_t other_held;            /* bytes that these hold */
    uint64_t other_last;            /* number of the one that was made last, or of the last heap that is older
                                     * than the segment; 0: there was none */
    uint64_t heap_failures;         /* calls that limits of heaps failed, of those that have ended too */
};

#endif
