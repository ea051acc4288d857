/*
 * options: the environment, read once into plain values.
 *
 * One table (hfi_option_table) names every HOLDFAST_* variable with its
 * values, default and meaning; the parser, `holdfast help`, the manual's check
 * and the completions read it.  A bad value never silently becomes a default:
 * it is reported (HF-E1xx) and counted in `errors`.  Unknown HOLDFAST_* names
 * warn with the nearest known name.  No malloc.  Called once, before threads.
 */
#ifndef HFI_OPTIONS_H
#define HFI_OPTIONS_H

#include "base/layout.h"

enum option_arena { ARENA_AUTO, ARENA_BYTES, ARENA_PERCENT, ARENA_PER_NODE };
enum option_backing { BACKING_AUTO, BACKING_1G, BACKING_2M, BACKING_THP, BACKING_4K };
enum option_prefault { PREFAULT_STARTUP, PREFAULT_BACKGROUND, PREFAULT_NONE };
enum option_lock { LOCK_AUTO, LOCK_YES, LOCK_NO };
enum option_place { PLACE_LOCAL, PLACE_INTERLEAVE, PLACE_NODE };
enum option_freeze { OPTION_FREEZE_TELL, OPTION_FREEZE_ABORT };
enum option_on_full { ON_FULL_FAIL, ON_FULL_ABORT };
enum option_fork { FORK_PRIVATE, FORK_DONTFORK };

struct options {
    enum option_arena arena;
    size_t arena_bytes;                     /* ARENA_BYTES */
    unsigned arena_percent;                 /* ARENA_PERCENT: 1..100 */
    size_t arena_node_bytes[HFI_MAX_NODES]; /* ARENA_PER_NODE: by node id, 0 = none */
    enum option_backing backing;
    enum option_prefault prefault;
    enum option_lock lock;
    uint64_t nodes; /* bit per node id; all ones = all */
    enum option_place place;
    unsigned place_node; /* PLACE_NODE */
    bool remote_allow;
    enum option_on_full on_full;
    enum option_freeze freeze;
    enum option_fork fork;
    bool strict;
    bool inspect;
    bool inspect_children; /* of forks, at once */
    bool verbose;
    unsigned reserve_percent; /* 0..50 of each node; 0: reserve_bytes counts */
    size_t reserve_bytes;     /* of each node */
    unsigned psi_percent;     /* 1..100; 0: off */
    uint64_t slo_ns;          /* of one call; 0: none is too long */
    unsigned errors;          /* values that were refused */
};

struct option_entry {
    const char *name;    /* "HOLDFAST_ARENA" */
    const char *values;  /* "auto | SIZE | PERCENT% | NODE:SIZE,..." */
    const char *initial; /* default, as one would write it */
    const char *meaning; /* one line */
    bool (*parse)(struct options *options, const char *text);
    const char *less; /* with this value the process takes less, or shows less, than by default; NULL:
                          * there is none */
};

extern const struct option_entry hfi_option_table[];
extern const size_t hfi_option_count;

/* The process's own; const after init. */
extern struct options hfi_options;

/* Fills `options` from defaults and the environment; in a program with raised privileges
 * (AT_SECURE) by hfi_options_read_caller. */
void hfi_options_read(struct options *options);

/* The same from an environment that somebody with less privileges wrote: of each option the value
 * `less` alone is obeyed, others are ignored with one message, and none is an error. */
void hfi_options_read_caller(struct options *options);

/* "8G", "512M", "64K", "1.5G", "4096" -> bytes (powers of 1024; K M G T, also
 * KiB MiB ..); false on anything else, on zero and on overflow.  *end, when
 * given, is set behind the number; without it the whole text must be used. */
bool hfi_parse_bytes(const char *text, size_t *bytes, const char **end);

/* How many mistakes make the first `a_length` characters of `a` of a known name `b`;
 * HFI_NAME_FAR where they are more than a third of the longer of the two: that is another word,
 * and no guess is better than a wrong one.  A beginning is one mistake. */
#define HFI_NAME_FAR ((size_t)64)
size_t hfi_name_distance(const char *a, size_t a_length, const char *b);

/* "2m" and the like, for messages. */
const char *hfi_backing_name(enum option_backing backing);

/* --- for options.c alone (option-table.c) --- */

bool hfi_option_parse_strict(struct options *options, const char *text);

/* Where it names another program nothing else is read (hfi_options_read). */
bool hfi_option_parse_only(struct options *options, const char *text);

/* Whether a value of HOLDFAST_ONLY names this process. */
bool hfi_option_is_only(const char *text);

#endif
