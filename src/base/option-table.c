/*
 * option-table: every variable, what it may be, and what parses it.
 *
 * hfi_option_table is the one place that knows the variables: what parses them stands beside what
 * describes them, and the defaults are its `initial` texts, parsed.
 *
 * O2: a parser changes `options` only when it accepts the text.
 *
 * Tests: tests/unit/options.c.
 */
#include "base/options.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"

#define PROGRAM_BYTES 1024 /* of a program's path */
#define RESERVE_PERCENT_MOST 50
#define SLO_MOST 999999999u
#define SLO_NS_MOST UINT64_C(60000000000)

/* "G", "GiB": 1 where there is none.  Leads *text behind it. */
static uint64_t parse_unit(const char **text)
{
    static const char units[] = "KMGT";
    const char *at = *text;
    const char *letter = *at == 0 ? NULL : strchr(units, *at >= 'a' && *at <= 'z' ? *at - 32 : *at);
    if (letter == NULL)
        return 1;
    at++;
    if (at[0] == 'i' && (at[1] == 'B' || at[1] == 'b'))
        at += 2;
    *text = at;
    return (uint64_t)1 << (10 * (letter - units + 1));
}

bool hfi_parse_bytes(const char *text, size_t *bytes, const char **end)
{
    uint64_t whole = 0, fraction = 0, scale = 1;
    const char *at = text;
    if (*at < '0' || *at > '9')
        return false;
    for (; *at >= '0' && *at <= '9'; at++)
        if (__builtin_mul_overflow(whole, 10, &whole) ||
            __builtin_add_overflow(whole, (uint64_t)(*at - '0'), &whole))
            return false;
    if (*at == '.') {
        if (at[1] < '0' || at[1] > '9')
            return false;
        for (at++; *at >= '0' && *at <= '9'; at++)
            if (scale < 1000000) { /* further digits are less than a MiB of a TiB */
                fraction = fraction * 10 + (uint64_t)(*at - '0');
                scale *= 10;
            }
    }
    uint64_t unit = parse_unit(&at), total;
    if (unit == 1 && scale != 1)
        return false; /* a fraction of a byte */
    if (__builtin_mul_overflow(whole, unit, &total) ||
        __builtin_add_overflow(total, fraction * (unit / scale) + fraction * (unit % scale) / scale, &total))
        return false;
    if (end != NULL)
        *end = at;
    else if (*at != 0)
        return false;
    if (total == 0)
        return false;
    *bytes = total;
    return true;
}

static bool parse_unsigned(const char *text, unsigned most, unsigned *value, const char **end)
{
    unsigned number = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9' && number <= most; at++)
        number = number * 10 + (unsigned)(*at - '0');
    if (at == text || number > most || (end == NULL && *at != 0))
        return false;
    if (end != NULL)
        *end = at;
    *value = number;
    return true;
}

/* Index of `text` in a list of words that ends with NULL, -1 when it is not there. */
static int parse_word(const char *text, const char *const *words)
{
    for (int i = 0; words[i] != NULL; i++)
        if (strcmp(text, words[i]) == 0)
            return i;
    return -1;
}

/* "0:4G,1:4G" */
static bool parse_arena_nodes(struct options *options, const char *text)
{
    size_t node_bytes[HFI_MAX_NODES] = { 0 };
    for (const char *at = text;; at++) {
        unsigned node;
        size_t bytes;
        if (!parse_unsigned(at, HFI_MAX_NODES - 1, &node, &at) || *at != ':' ||
            !hfi_parse_bytes(at + 1, &bytes, &at) || node_bytes[node] != 0)
            return false;
        node_bytes[node] = bytes;
        if (*at == 0)
            break;
        if (*at != ',')
            return false;
    }
    options->arena = ARENA_PER_NODE;
    memcpy(options->arena_node_bytes, node_bytes, sizeof node_bytes);
    return true;
}

static bool parse_arena(struct options *options, const char *text)
{
    const char *end;
    unsigned percent;
    if (strcmp(text, "auto") == 0) {
        options->arena = ARENA_AUTO;
        return true;
    }
    if (strchr(text, ':') != NULL)
        return parse_arena_nodes(options, text);
    if (parse_unsigned(text, 100, &percent, &end) && strcmp(end, "%") == 0 && percent != 0) {
        options->arena = ARENA_PERCENT;
        options->arena_percent = percent;
        return true;
    }
    if (!hfi_parse_bytes(text, &options->arena_bytes, NULL))
        return false;
    options->arena = ARENA_BYTES;
    return true;
}

/* "all" or "0,2-3" */
static bool parse_nodes(struct options *options, const char *text)
{
    uint64_t nodes = 0;
    if (strcmp(text, "all") == 0) {
        options->nodes = ~(uint64_t)0;
        return true;
    }
    for (const char *at = text;; at++) {
        unsigned first, last;
        if (!parse_unsigned(at, HFI_MAX_NODES - 1, &first, &at))
            return false;
        last = first;
        if (*at == '-' && !parse_unsigned(at + 1, HFI_MAX_NODES - 1, &last, &at))
            return false;
        if (last < first)
            return false;
        for (unsigned node = first; node <= last; node++)
            nodes |= (uint64_t)1 << node;
        if (*at == 0)
            break;
        if (*at != ',')
            return false;
    }
    options->nodes = nodes;
    return true;
}

static const char *const backing_words[] = { "auto", "1g", "2m", "thp", "4k", NULL };
static const char *const prefault_words[] = { "startup", "background", "none", NULL };
static const char *const lock_words[] = { "auto", "yes", "no", NULL };
static const char *const remote_words[] = { "deny", "allow", NULL };
static const char *const on_full_words[] = { "fail", "abort", NULL };
static const char *const freeze_words[] = { "tell", "abort", NULL };
static const char *const fork_words[] = { "private", "dontfork", NULL };
static const char *const switch_words[] = { "0", "1", NULL };
static const char *const inspect_words[] = { "0", "1", "children", NULL };

static bool parse_backing(struct options *options, const char *text)
{
    int word = parse_word(text, backing_words);
    if (word >= 0)
        options->backing = (enum option_backing)word;
    return word >= 0;
}

static bool parse_prefault(struct options *options, const char *text)
{
    int word = parse_word(text, prefault_words);
    if (word >= 0)
        options->prefault = (enum option_prefault)word;
    return word >= 0;
}

static bool parse_lock(struct options *options, const char *text)
{
    int word = parse_word(text, lock_words);
    if (word >= 0)
        options->lock = (enum option_lock)word;
    return word >= 0;
}

static bool parse_place(struct options *options, const char *text)
{
    if (strncmp(text, "node:", 5) == 0) {
        if (!parse_unsigned(text + 5, HFI_MAX_NODES - 1, &options->place_node, NULL))
            return false;
        options->place = PLACE_NODE;
        return true;
    }
    static const char *const words[] = { "local", "interleave", NULL };
    int word = parse_word(text, words);
    if (word >= 0)
        options->place = word == 0 ? PLACE_LOCAL : PLACE_INTERLEAVE;
    return word >= 0;
}

static bool parse_switch(const char *text, const char *const *words, bool *value)
{
    int word = parse_word(text, words);
    if (word >= 0)
        *value = word == 1;
    return word >= 0;
}

static bool parse_remote(struct options *options, const char *text)
{
    return parse_switch(text, remote_words, &options->remote_allow);
}

static bool parse_on_full(struct options *options, const char *text)
{
    int word = parse_word(text, on_full_words);
    if (word >= 0)
        options->on_full = (enum option_on_full)word;
    return word >= 0;
}

static bool parse_freeze(struct options *options, const char *text)
{
    int word = parse_word(text, freeze_words);
    if (word >= 0)
        options->freeze = (enum option_freeze)word;
    return word >= 0;
}

static bool parse_fork(struct options *options, const char *text)
{
    int word = parse_word(text, fork_words);
    if (word >= 0)
        options->fork = (enum option_fork)word;
    return word >= 0;
}

bool hfi_option_parse_strict(struct options *options, const char *text)
{
    return parse_switch(text, switch_words, &options->strict);
}

static bool parse_inspect(struct options *options, const char *text)
{
    int word = parse_word(text, inspect_words);
    if (word >= 0) {
        options->inspect = word != 0;
        options->inspect_children = word == 2;
    }
    return word >= 0;
}

static bool parse_verbose(struct options *options, const char *text)
{
    unsigned level; /* 2 and 3 are taken for 1 */
    if (!parse_unsigned(text, 3, &level, NULL))
        return false;
    options->verbose = level != 0;
    return true;
}

static bool parse_reserve(struct options *options, const char *text)
{
    const char *end;
    unsigned percent;
    size_t bytes = 0;
    if (parse_unsigned(text, RESERVE_PERCENT_MOST, &percent, &end) && strcmp(end, "%") == 0 && percent != 0) {
        options->reserve_percent = percent;
        options->reserve_bytes = 0;
        return true;
    }
    if (strcmp(text, "0") != 0 && !hfi_parse_bytes(text, &bytes, NULL))
        return false;
    options->reserve_percent = 0;
    options->reserve_bytes = bytes;
    return true;
}

static bool parse_psi(struct options *options, const char *text)
{
    const char *end;
    unsigned percent;
    if (strcmp(text, "off") == 0) {
        options->psi_percent = 0;
        return true;
    }
    if (!parse_unsigned(text, 100, &percent, &end) || strcmp(end, "%") != 0 || percent == 0)
        return false;
    options->psi_percent = percent;
    return true;
}

/* "50us": whole, up to a minute. */
static bool parse_slo(struct options *options, const char *text)
{
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = { { "ns", 1 }, { "us", 1000 }, { "ms", 1000000 } };
    unsigned number;
    const char *unit;
    if (strcmp(text, "off") == 0) {
        options->slo_ns = 0;
        return true;
    }
    if (!parse_unsigned(text, SLO_MOST, &number, &unit) || number == 0)
        return false;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcmp(unit, units[i].name) == 0 && number * units[i].ns <= SLO_NS_MOST) {
            options->slo_ns = number * units[i].ns;
            return true;
        }
    return false;
}

/* Of a path the last part alone counts: links and scripts change what stands before it. */
static const char *last_part(const char *text)
{
    const char *slash = strrchr(text, '/');
    return slash == NULL ? text : slash + 1;
}

/* The file name of this process's program. */
static const char *program_name(char path[PROGRAM_BYTES])
{
    ssize_t length = hfi_sys_read_link("/proc/self/exe", path, PROGRAM_BYTES - 1);
    path[length > 0 ? length : 0] = 0;
    return last_part(path);
}

bool hfi_option_is_only(const char *text)
{
    char path[PROGRAM_BYTES];
    unsigned pid;
    if (*text == 0 || strcmp(text, "all") == 0)
        return true;
    if (parse_unsigned(text, INT_MAX, &pid, NULL))
        return pid == (unsigned)hfi_sys_process();
    text = last_part(text);
    return strcmp(text, program_name(path)) == 0 || strcmp(text, program_invocation_short_name) == 0;
}

bool hfi_option_parse_only(struct options *options, const char *text)
{
    (void)options;
    return *last_part(text) != 0;
}

const struct option_entry hfi_option_table[] = {
    { "HOLDFAST_ARENA", "auto | SIZE | PERCENT% | NODE:SIZE[,NODE:SIZE...]", "auto",
      "size of the arena; auto grows in steps, a named size is reserved and populated at start", parse_arena,
      NULL },
    { "HOLDFAST_BACKING", "auto | 1g | 2m | thp | 4k", "auto",
      "OS pages under a named arena; auto walks this list downwards", parse_backing, "4k" },
    { "HOLDFAST_PREFAULT", "startup | background | none", "startup", "when a named arena is populated",
      parse_prefault, "none" },
    { "HOLDFAST_LOCK", "auto | yes | no", "auto", "mlock of memory that could be swapped", parse_lock, "no" },
    { "HOLDFAST_NODES", "all | NODE[-NODE][,...]", "all", "nodes that get an arena", parse_nodes, NULL },
    { "HOLDFAST_PLACE", "local | interleave | node:N", "local", "node of a thread's fresh pages", parse_place,
      NULL },
    { "HOLDFAST_REMOTE", "allow | deny", "allow", "whether a full node may use another's memory",
      parse_remote, NULL },
    { "HOLDFAST_RESERVE", "0 | SIZE | PERCENT%", "0",
      "part of each node, up to half, for threads inside hf_reserve_enter and heaps with HF_HEAP_RESERVED",
      parse_reserve, "0" },
    { "HOLDFAST_PSI", "off | PERCENT%", "off",
      "of a growing arena: handlers are called when tasks wait so long for memory, by the kernel's count",
      parse_psi, "off" },
    { "HOLDFAST_ON_FULL", "fail | abort", "fail", "after the report of a full arena: ENOMEM, or abort",
      parse_on_full, NULL },
    { "HOLDFAST_FREEZE", "tell | abort", "tell",
      "what a fresh page after hf_freeze does: a message, or abort", parse_freeze, NULL },
    { "HOLDFAST_FORK", "private | dontfork", "private",
      "what a forked child gets: the arena copy-on-write, or none", parse_fork, NULL },
    { "HOLDFAST_STRICT", "0 | 1", "0",
      "1: an arena that is not what was asked for stops the program at start", hfi_option_parse_strict,
      NULL },
    { "HOLDFAST_INSPECT", "0 | 1 | children", "1",
      "publish the inspection segment; children: each forked child its own, at once", parse_inspect, "0" },
    { "HOLDFAST_SLO", "off | N(ns|us|ms)", "off",
      "calls that take longer, as in 50us, are counted and told of by cause", parse_slo, "off" },
    { "HOLDFAST_ONLY", "all | PROGRAM | PID", "all",
      "whom the other variables are for: children of that program get defaults", hfi_option_parse_only,
      NULL },
    { "HOLDFAST_VERBOSE", "0 | 1", "0", "1: say at start what was reserved, where, on what", parse_verbose,
      NULL },
};
const size_t hfi_option_count = sizeof hfi_option_table / sizeof hfi_option_table[0];

const char *hfi_backing_name(enum option_backing backing)
{
    return backing_words[backing];
}
