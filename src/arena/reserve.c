/*
 * reserve: see reserve.h.
 *
 * V1: base is 1 GiB aligned; inaccessible guards lie before base and behind the last window.
 * V2: the space is laid out as planned (plan.h).
 * V3: owners[] is readable for every index below span, so that free can look a wild pointer up; the
 *     page table only where nodes have pages.  Both are writable where pages can be handed out.
 * V4: memory that a named arena reports as populated was touched by MADV_POPULATE_WRITE with no
 *     error, or will be before the arena gives it out (prefault.h): no later fault, and no SIGBUS
 *     from a huge page pool that was empty.
 * V5: nothing is populated that would not fit into what is free now: where the kernel
 *     runs out, it kills a process instead of returning an error.
 * V6: of a growing arena nothing is accessible that was not opened (hfi_open_step), and the maps of
 *     such pages can only be read: what the program has not needed yet, mlockall does not lock, and
 *     no limit on data or commit counts.
 *
 * A named arena's nodes climb down the ladder side by side: all are mapped, bound and locked, then
 * populated at the same time; one whose pool turns out to be refused tries its next rung in the
 * next round.
 *
 * The space is reserved in one piece.  Where a limit (RLIMIT_AS) has no room for the areas
 * between owners, table and windows that are never used, only the parts are mapped, at
 * an address where all of it was free; what the kernel later puts between them has
 * no owner, like any other memory that is not ours.
 *
 * What cannot be had goes through degraded(): one line, then on without it, or the end under
 * HOLDFAST_STRICT=1 (exit status 78).  HF-Wnnn and HF-Ennn are the same thing in those two cases.
 *
 * Tests: tests/unit/reserve.c, tests/unit/backing.c, tests/unit/limits.c.
 */
#include "arena/reserve.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "kernel/os.h"
#include "kernel/machine.h"
#include "kernel/cpu.h"
#include "arena/prefault.h"
#include "base/say.h"

#define HUGE_BYTES ((size_t)2 * HFI_MIB)
#define LEAD_BYTES ((size_t)4 * HFI_MIB)
#define AUTO_BYTES_MIN ((size_t)64 * HFI_MIB) /* less address space than this is no arena */
#define SMALL_PAGES_BYTES                                                                                    \
    ((size_t)32 * HFI_MIB) /* of a growing arena: small programs gain nothing by huge pages */
#define PREFAULT_MARGIN_BYTES ((size_t)128 * HFI_MIB)
#define POOL_POLLS 50u
#define POOL_POLL_US 10000u

/* What hfi_reserve hands around. */
struct attempt {
    const struct options *options;
    const struct topology *topology;
    struct reservation *reservation;
    size_t usable_bytes;                 /* only where a size depends on it: it costs a dozen files */
    size_t planned_bytes[HFI_MAX_NODES]; /* of each node, before what the machine made of it */
    bool in_parts;                       /* the space is not in one piece: see above */
    bool background;                     /* most is populated while the program runs */
    bool said_unbound;                   /* once for all nodes */
    bool said_unlocked;
    bool said_unadvised;
};

/* --- saying so --- */

/* Something asked for cannot be had: "what: instead; next", or the end. */
static void HFI_PRINTF(6, 7)
    degraded(const struct attempt *attempt, const char *warning_id, const char *error_id, const char *instead,
             const char *next, const char *format, ...)
{
    char what[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    if (attempt->options->strict) {
        hfi_say(SAY_ERROR, error_id, "reserve", "%s: the program does not start (HOLDFAST_STRICT=1); %s",
                what, next);
        _exit(EX_CONFIG);
    }
    hfi_say(SAY_WARNING, warning_id, "reserve", "%s: %s; %s", what, instead, next);
}

/* Number of bytes as text, for one use in one message. */
struct bytes_text {
    char text[16];
};

static struct bytes_text bytes_text(uint64_t bytes)
{
    struct bytes_text text;
    hfi_format_bytes(text.text, sizeof text.text, bytes);
    return text;
}

/* --- sizes --- */

static bool is_sized(const struct options *options, unsigned id)
{
    return options->arena == ARENA_PER_NODE && options->arena_node_bytes[id] != 0;
}

static size_t usable_bytes(const struct options *options)
{
    return options->arena == ARENA_AUTO || options->arena == ARENA_PERCENT ? hfi_os_usable_bytes() : 0;
}

static const struct topology_node *find_node(const struct topology *topology, unsigned id)
{
    for (unsigned i = 0; i < topology->node_count; i++)
        if (topology->nodes[i].id == id)
            return &topology->nodes[i];
    return NULL;
}

/* Nodes that were named and are not there, or not for this process. */
static void check_named_nodes(const struct attempt *attempt)
{
    const struct options *options = attempt->options;
    for (unsigned id = 0; id < HFI_MAX_NODES; id++) {
        const struct topology_node *node = find_node(attempt->topology, id);
        bool listed = options->nodes != ~(uint64_t)0 && (options->nodes >> id & 1) != 0;
        bool sized = is_sized(options, id);
        if (node == NULL && (listed || sized))
            degraded(attempt, "HF-W211", "HF-E211", "it gets no arena",
                     "see `numactl -H` and the cgroup's cpuset.mems",
                     "%s names node %u, which has no memory this process may use",
                     sized ? "HOLDFAST_ARENA" : "HOLDFAST_NODES", id);
        else if (sized && !hfi_node_is_chosen(options, node))
            degraded(attempt, "HF-W212", "HF-E212", "it gets no arena", "name it in both or in none",
                     "HOLDFAST_ARENA names node %u, HOLDFAST_NODES leaves it out", id);
    }
    const struct topology_node *place =
        options->place == PLACE_NODE ? find_node(attempt->topology, options->place_node) : NULL;
    if (options->place == PLACE_NODE && (place == NULL || !hfi_node_is_chosen(options, place)))
        degraded(attempt, "HF-W213", "HF-E213", "the first node with an arena is used",
                 "name a node of the arena", "HOLDFAST_PLACE=node:%u is no node with an arena",
                 options->place_node);
}

/* What `all` does not mean. */
static void check_all_nodes(const struct attempt *attempt)
{
    const struct topology *topology = attempt->topology;
    if (attempt->options->nodes != ~(uint64_t)0)
        return;
    if (topology->left_out_count != 0)
        degraded(attempt, "HF-W220", "HF-E220", "they get no arena",
                 "name the nodes to use in HOLDFAST_NODES",
                 "nodes numbered above %d cannot be used: %u, from node %u on", HFI_MAX_NODES - 1,
                 topology->left_out_count, topology->left_out_first);
    for (unsigned i = 0; i < topology->node_count; i++) {
        const struct topology_node *node = &topology->nodes[i];
        if (!hfi_node_is_chosen(attempt->options, node))
            hfi_say(SAY_INFO, "HF-I223", "reserve",
                    "node %u has %s of %s, and gets no arena; name it in HOLDFAST_NODES to use it", node->id,
                    bytes_text(node->memory_bytes).text, hfi_topology_memory_name(node->memory));
    }
}

static bool in_cgroup(size_t usable_bytes)
{
    return usable_bytes < hfi_os_physical_bytes();
}

/* What bounds the parts as they are planned: an arena without a named size takes what there is. */
static void find_bounds(const struct attempt *attempt)
{
    const struct topology *topology = attempt->topology;
    enum plan_bound of_all = in_cgroup(attempt->usable_bytes) ? PLAN_BOUND_CGROUP : PLAN_BOUND_MACHINE;
    for (unsigned i = 0; i < attempt->reservation->node_count && attempt->options->arena == ARENA_AUTO; i++) {
        struct reserved_node *node = &attempt->reservation->nodes[i];
        bool whole_node =
            topology->node_count > 1 && find_node(topology, node->id)->memory_bytes < attempt->usable_bytes;
        node->bound_by = whole_node ? PLAN_BOUND_NODE : of_all;
    }
}

static void set_bounds(struct reservation *reservation, enum plan_bound bound)
{
    for (unsigned i = 0; i < reservation->node_count; i++)
        reservation->nodes[i].bound_by = bound;
}

/* What the plan made of the sizes that were asked for. */
static void say_raised(const struct attempt *attempt)
{
    const struct reservation *reservation = attempt->reservation;
    for (unsigned i = 0; i < reservation->node_count; i++)
        if (reservation->nodes[i].asked_bytes < HFI_NODE_BYTES_MIN)
            degraded(attempt, "HF-W214", "HF-E214", "taking 4 MiB", "raise HOLDFAST_ARENA",
                     "%s on node %u is too small for an arena",
                     bytes_text(reservation->nodes[i].asked_bytes).text, reservation->nodes[i].id);
}

static void say_capped(const struct attempt *attempt)
{
    uint64_t asked = hfi_plan_asked(attempt->reservation);
    size_t taken = hfi_plan_bytes(attempt->reservation);
    char instead[64];
    snprintf(instead, sizeof instead, "taking at most %s", bytes_text(taken).text);
    if (attempt->options->arena != ARENA_AUTO)
        degraded(attempt, "HF-W215", "HF-E215", instead, "lower HOLDFAST_ARENA",
                 "%s are more than an arena can be", bytes_text(asked).text);
    else
        hfi_say(SAY_INFO, "HF-I215", "reserve",
                "of %s of memory an arena can take %s; several processes can use the rest",
                bytes_text(asked).text, bytes_text(taken).text);
}

/* --- the space --- */

static void release_space(const struct attempt *attempt)
{
    struct plan_part parts[HFI_PLAN_PARTS_MAX];
    struct reservation *reservation = attempt->reservation;
    if (!attempt->in_parts) {
        hfi_os_unreserve(reservation->base - HFI_GUARD_SPACE_BYTES,
                         reservation->span + 2 * HFI_GUARD_SPACE_BYTES);
        return;
    }
    for (unsigned i = 0, count = hfi_plan_parts(reservation, attempt->options, parts); i < count; i++)
        hfi_os_unreserve(reservation->base + parts[i].offset, parts[i].bytes);
}

static int reserve_parts_at(const struct attempt *attempt, char *base)
{
    struct plan_part parts[HFI_PLAN_PARTS_MAX];
    hfi_plan_place(attempt->reservation, base);
    unsigned count = hfi_plan_parts(attempt->reservation, attempt->options, parts);
    for (unsigned i = 0; i < count; i++) {
        int error = hfi_os_reserve_at(base + parts[i].offset, parts[i].bytes);
        if (error == 0)
            continue;
        while (i-- > 0)
            hfi_os_unreserve(base + parts[i].offset, parts[i].bytes);
        return error;
    }
    return 0;
}

/* Below the place where the kernel maps things now, there is nothing but room on 64 bit. */
static int reserve_parts(struct attempt *attempt)
{
    size_t distance = attempt->reservation->span + 64 * HFI_GIB;
    char *probe = hfi_os_reserve(HFI_SMALL_PAGE_BYTES, HFI_SMALL_PAGE_BYTES);
    if (probe == NULL)
        return -ENOMEM;
    hfi_os_unreserve(probe, HFI_SMALL_PAGE_BYTES);
    int error = -ENOMEM;
    attempt->in_parts = true;
    for (unsigned round = 1; round <= 8 && (uintptr_t)probe > (round + 1) * distance; round++) {
        error =
            reserve_parts_at(attempt, (char *)hfi_align_down((uintptr_t)probe - round * distance, HFI_GIB));
        if (error == 0 || error == -ENOMEM)
            break;
    }
    return error;
}

static int reserve_whole(struct attempt *attempt)
{
    struct reservation *reservation = attempt->reservation;
    size_t slack = HFI_GIB - HFI_GUARD_SPACE_BYTES; /* so that base, not the guard, is aligned */
    attempt->in_parts = false;
    char *space = hfi_os_reserve(HFI_GIB + reservation->span + HFI_GUARD_SPACE_BYTES, HFI_GIB);
    if (space == NULL)
        return -ENOMEM;
    hfi_os_unreserve(space, slack);
    hfi_plan_place(reservation, space + HFI_GIB);
    return 0;
}

/* Owners or table: of a growing arena to be read for now (V6).  0 or -errno. */
static int map_maps(const struct reservation *reservation, char *start, size_t bytes)
{
    return reservation->growing ? hfi_os_map_readable(start, bytes)
                                : hfi_os_map(start, bytes, HFI_SMALL_PAGE_BYTES);
}

/* Address space for everything, and owners[] mapped.  0 or -errno. */
static int lay_out(struct attempt *attempt)
{
    struct reservation *reservation = attempt->reservation;
    hfi_plan_span(reservation);
    int error = reserve_whole(attempt);
    if (error != 0)
        error = reserve_parts(attempt);
    if (error != 0)
        return error;
    struct plan_part owners = hfi_plan_owners(reservation);
    error = map_maps(reservation, reservation->base + owners.offset, owners.bytes); /* V3 */
    if (error != 0)
        release_space(attempt);
    return error;
}

static int say_no_space(size_t asked, int error)
{
    uint64_t room = hfi_os_address_room();
    if (room != UINT64_MAX)
        hfi_say(SAY_ERROR, "HF-E206", "reserve",
                "no address space for an arena of %s (%s): the limits leave %s; raise them "
                "(ulimit -v unlimited, ulimit -d unlimited)",
                bytes_text(asked).text, hfi_os_error_name(error), bytes_text(room).text);
    else
        hfi_say(SAY_ERROR, "HF-E206", "reserve",
                "no address space for an arena of %s (%s); lower HOLDFAST_ARENA, or with "
                "vm.overcommit_memory=2 raise vm.overcommit_ratio",
                bytes_text(asked).text, hfi_os_error_name(error));
    return error;
}

/* --- bind, lock, populate --- */

static bool bind_range(struct attempt *attempt, void *start, size_t bytes, unsigned node)
{
    int error = hfi_os_bind(start, bytes, node);
    if (error == 0 || attempt->said_unbound)
        return error == 0;
    attempt->said_unbound = true;
    const char *next =
        error == -EINVAL
            ? "see whether the node is online, and this machine's own (HWLOC_XMLFILE, HWLOC_SYNTHETIC)"
            : "allow mbind in the container's seccomp profile, or grant CAP_SYS_NICE";
    if (attempt->topology->node_count == 1)
        hfi_say(SAY_INFO, "HF-I202", "reserve",
                "binding to node %u was refused (mbind: %s), which does not matter with one node; %s", node,
                hfi_os_error_name(error), next);
    else
        degraded(attempt, "HF-W202", "HF-E202", "memory goes where the kernel puts it", next,
                 "binding memory to node %u was refused (mbind: %s)", node, hfi_os_error_name(error));
    return false;
}

/* mlock, or with `on_fault` from each page's first touch on.  LOCK_AUTO wants what could be
 * swapped to be locked: without swap it is content with a refusal. */
static bool lock_range(struct attempt *attempt, void *start, size_t bytes, bool on_fault)
{
    char limit[16] = "unlimited";
    const char *next = "run `ulimit -l unlimited`, set LimitMEMLOCK=infinity, or HOLDFAST_LOCK=no";
    const char *call = on_fault ? "mlock2" : "mlock";
    int error = on_fault ? hfi_os_lock_on_fault(start, bytes) : hfi_os_lock(start, bytes);
    if (error == 0 || attempt->said_unlocked)
        return error == 0;
    attempt->said_unlocked = true;
    /* with a limit of 0 it is that which forbids it */
    if (hfi_os_is_refusal(error) && hfi_os_lock_limit() != 0)
        next = "allow mlock2 in the seccomp profile of the service or container, or set HOLDFAST_LOCK=no";
    if (hfi_os_lock_limit() != UINT64_MAX)
        hfi_format_bytes(limit, sizeof limit, hfi_os_lock_limit());
    if (attempt->options->lock == LOCK_AUTO && !hfi_os_has_swap())
        hfi_say(SAY_INFO, "HF-I205", "reserve",
                "locking %s was refused (%s: %s, limit %s), which does not matter without swap; %s",
                bytes_text(bytes).text, call, hfi_os_error_name(error), limit, next);
    else
        degraded(attempt, "HF-W205", "HF-E205", "it may be swapped", next,
                 "locking %s was refused (%s: %s, limit %s)", bytes_text(bytes).text, call,
                 hfi_os_error_name(error), limit);
    return false;
}

static const char allow_madvise[] = "allow madvise in the seccomp profile of the service or container";

/* Transparent huge pages, or none.  Kernels that have none refuse either as unknown (EINVAL). */
static void advise_range(struct attempt *attempt, const struct reserved_node *node, bool huge)
{
    int error = hfi_os_advise_huge(node->start, node->bytes, huge);
    if (!hfi_os_is_refusal(error) || attempt->said_unadvised)
        return;
    attempt->said_unadvised = true;
    static const char instead[] =
        "the kernel chooses its pages by /sys/kernel/mm/transparent_hugepage/enabled";
    char what[80];
    snprintf(what, sizeof what, "choosing OS pages was refused (madvise: %s)", hfi_os_error_name(error));
    if (attempt->options->backing == node->backing)
        degraded(attempt, "HF-W228", "HF-E228", instead, allow_madvise, "%s", what);
    else
        hfi_say(SAY_WARNING, "HF-W228", "reserve", "%s: %s; %s", what, instead, allow_madvise);
}

/* What a node has populated at start where the rest follows in the background: the arena's maps
 * (less than 1/8000), what it sets aside for theaps, and something to begin with. */
static size_t lead_bytes(const struct reserved_node *node)
{
    size_t own = node->bytes / 4096 + hfi_plan_set_aside(node->bytes / HFI_PAGE_BYTES) * HFI_PAGE_BYTES;
    size_t bytes = hfi_align_up(LEAD_BYTES + own, hfi_max(node->os_page_bytes, HFI_PAGE_BYTES));
    return hfi_min(bytes, node->bytes);
}

static struct prefault_order order_of(const struct attempt *attempt, const struct reserved_node *node)
{
    return (struct prefault_order){
        .node_id = node->id,
        .affine = attempt->topology->node_count > 1,
        .memory = node->start,
        .bytes = attempt->background ? lead_bytes(node) : node->bytes,
    };
}

/* --- one node of a named arena --- */

/* Why a node gets less than it asks for. */
struct shortage {
    enum os_bound bound;
    uint64_t available; /* to this node */
    uint64_t all;       /* that there is, free or not, where more than that was asked for; else 0 */
    int error;          /* of populating, else 0 */
};

static const char *const shortage_steps[] = {
    [OS_BOUND_MACHINE] = "lower HOLDFAST_ARENA, or stop what else uses memory",
    [OS_BOUND_NODE] = "lower HOLDFAST_ARENA for this node, or spread it over more nodes",
    [OS_BOUND_CGROUP] = "lower HOLDFAST_ARENA, or raise the cgroup's memory limit (MemoryMax=)",
};

/* "the machine has 20 GiB free" */
static const char *shortage_text(char *text, size_t text_bytes, const struct shortage *shortage)
{
    static const char *const free_nouns[] = {
        [OS_BOUND_MACHINE] = "the machine has",
        [OS_BOUND_NODE] = "the node has",
        [OS_BOUND_CGROUP] = "the cgroup's limit leaves",
    };
    static const char *const all_nouns[] = {
        [OS_BOUND_MACHINE] = "the machine has",
        [OS_BOUND_NODE] = "the node has",
        [OS_BOUND_CGROUP] = "the cgroup's limit allows",
    };
    if (shortage->all != 0)
        snprintf(text, text_bytes, "more than %s at all (%s, of which %s are free)",
                 all_nouns[shortage->bound], bytes_text(shortage->all).text,
                 bytes_text(shortage->available).text);
    else if (shortage->error != 0)
        snprintf(text, text_bytes, "populating it failed (%s), %s %s free",
                 hfi_os_error_name(shortage->error), free_nouns[shortage->bound],
                 bytes_text(shortage->available).text);
    else
        snprintf(text, text_bytes, "%s %s free", free_nouns[shortage->bound],
                 bytes_text(shortage->available).text);
    return text;
}

/* Takes less than was asked for; false when that is too little for an arena. */
static bool settle_for(const struct attempt *attempt, struct reserved_node *node, size_t bytes,
                       const struct shortage *shortage)
{
    static const enum plan_bound bounds[] = {
        [OS_BOUND_MACHINE] = PLAN_BOUND_MACHINE,
        [OS_BOUND_NODE] = PLAN_BOUND_NODE,
        [OS_BOUND_CGROUP] = PLAN_BOUND_CGROUP,
    };
    char instead[64], why[200];
    shortage_text(why, sizeof why, shortage);
    bytes = hfi_align_down(bytes, bytes > HUGE_BYTES ? HUGE_BYTES : HFI_PAGE_BYTES);
    if (bytes < HFI_NODE_BYTES_MIN) {
        hfi_say(SAY_ERROR, "HF-E210", "reserve",
                "%s were asked for on node %u, %s, too little for an arena; %s",
                bytes_text(node->asked_bytes).text, node->id, why, shortage_steps[shortage->bound]);
        return false;
    }
    snprintf(instead, sizeof instead, "taking %s%s", bytes_text(bytes).text,
             shortage->all != 0 ? ", half of what is free" : "");
    if (shortage->all != 0)
        degraded(attempt, "HF-W227", "HF-E227", instead,
                 attempt->options->strict
                     ? "name a size that fits"
                     : "name a size that fits, or set HOLDFAST_STRICT=1 to stop here instead",
                 "%s were asked for on node %u, %s", bytes_text(node->asked_bytes).text, node->id, why);
    else
        degraded(attempt, "HF-W209", "HF-E209", instead, shortage_steps[shortage->bound],
                 "%s were asked for on node %u, %s", bytes_text(node->asked_bytes).text, node->id, why);
    node->bytes = bytes;
    node->bound_by = bounds[shortage->bound];
    return true;
}

/* Whether a node stands on a pool of huge pages, or will: nodes are mapped one after the other, and
 * one whose turn is still to come is judged by what its pools have. */
static bool is_on_pool(const struct attempt *attempt, unsigned index)
{
    const struct reserved_node *node = &attempt->reservation->nodes[index];
    size_t planned = attempt->planned_bytes[index];
    bool alone = attempt->topology->node_count == 1;
    if (node->backing != BACKING_AUTO)
        return hfi_backing_page_bytes(node->backing) != HFI_SMALL_PAGE_BYTES;
    for (enum option_backing rung = BACKING_1G; rung <= BACKING_2M; rung++) {
        struct os_huge_pool pool;
        size_t page_bytes = hfi_backing_page_bytes(rung);
        if (hfi_rung_is_asked(attempt->options->backing, rung, planned) &&
            hfi_os_huge_pool(&pool, node->id, alone, page_bytes) &&
            pool.free_pages >= hfi_divide_up(planned, page_bytes))
            return true;
    }
    return false;
}

/* Whether all nodes together ask for more than there is, or this one does. */
static void look_beyond(const struct attempt *attempt, const struct reserved_node *node,
                        struct shortage *shortage)
{
    size_t usable = hfi_os_usable_bytes(), asked = 0;
    const struct topology_node *here = find_node(attempt->topology, node->id);
    for (unsigned i = 0; i < attempt->reservation->node_count; i++)
        if (!is_on_pool(attempt, i))
            asked += attempt->reservation->nodes[i].asked_bytes;
    if (asked > usable) {
        shortage->all = usable;
        shortage->bound = in_cgroup(usable) ? OS_BOUND_CGROUP : OS_BOUND_MACHINE;
    } else if (attempt->topology->node_count > 1 && node->bytes > here->memory_bytes) {
        shortage->all = here->memory_bytes;
        shortage->bound = OS_BOUND_NODE;
    }
}

/* What node may take of the memory that is free now: its share of what all nodes ask for that are
 * not populated and do not stand on a pool. */
static uint64_t node_share(const struct attempt *attempt, const struct reserved_node *node,
                           enum os_bound *bound)
{
    const struct reservation *reservation = attempt->reservation;
    uint64_t available = hfi_os_available_bytes(bound);
    size_t to_do = 0, own = attempt->planned_bytes[node - reservation->nodes];
    for (unsigned i = 0; i < reservation->node_count; i++) {
        const struct reserved_node *other = &reservation->nodes[i];
        if (other == node || (other->populated_bytes == 0 && !is_on_pool(attempt, i)))
            /* also of one that was cut: it takes its share of what is free */
            to_do += attempt->planned_bytes[i];
    }
    if (available != UINT64_MAX)
        available = (uint64_t)((double)available * ((double)own / (double)to_do));
    if (attempt->topology->node_count > 1 && hfi_os_node_available_bytes(node->id) < available) {
        available = hfi_os_node_available_bytes(node->id);
        *bound = OS_BOUND_NODE;
    }
    return available;
}

/* V5 */
static bool fit_node(struct attempt *attempt, struct reserved_node *node)
{
    struct shortage shortage = { .error = 0 };
    if (attempt->options->prefault == PREFAULT_NONE)
        return true;
    shortage.available = node_share(attempt, node, &shortage.bound);
    if (node->bytes <= hfi_plan_most(shortage.available))
        return true;
    look_beyond(attempt, node, &shortage);
    size_t bytes =
        shortage.all != 0 ? hfi_plan_cut_beyond(shortage.available) : hfi_plan_cut(shortage.available);
    return settle_for(attempt, node, bytes, &shortage);
}

/* The kernel gives what it finds; where memory is fragmented that is less than was hoped. */
static void say_how_huge(const struct reserved_node *node)
{
    uint64_t huge = hfi_os_transparent_huge_bytes(node->start, node->bytes);
    if (huge < node->bytes / 10 * 9)
        hfi_say(SAY_WARNING, "HF-W222", "reserve",
                "node %u: of %s only %s are in transparent huge pages: memory is fragmented, or "
                "this process is held back by a limit; run: echo 1 > /proc/sys/vm/compact_memory, and start "
                "again",
                node->id, bytes_text(node->bytes).text, bytes_text(huge).text);
}

/* Map, bind, advise and lock 4 KiB OS pages, which the kernel may gather to huge ones.  Locked
 * before they are populated, each as it comes: to lock them afterwards costs two more walks over
 * all of them. */
static bool map_small_pages(struct attempt *attempt, struct reserved_node *node, enum option_backing backing)
{
    enum option_lock lock = attempt->options->lock;
    node->backing = backing;
    node->os_page_bytes = HFI_SMALL_PAGE_BYTES;
    if (!fit_node(attempt, node))
        return false;
    int error = hfi_os_map(node->start, node->bytes, HFI_SMALL_PAGE_BYTES);
    if (error != 0) {
        say_no_space(node->bytes, error);
        return false;
    }
    node->bound = bind_range(attempt, node->start, node->bytes, node->id);
    advise_range(attempt, node, backing == BACKING_THP);
    if (lock == LOCK_YES || (lock == LOCK_AUTO && attempt->options->prefault != PREFAULT_NONE))
        node->locked = lock_range(attempt, node->start, node->bytes, true);
    return true;
}

/* After populating it: what there is, if that is enough for an arena. */
static bool keep_small_pages(struct attempt *attempt, struct reserved_node *node, int error, size_t done)
{
    if (hfi_os_is_refusal(error)) {
        degraded(attempt, "HF-W230", "HF-E230", "its first touches populate it", allow_madvise,
                 "node %u: populating %s was refused (madvise: %s, and /dev/zero cannot be read)", node->id,
                 bytes_text(node->bytes).text, hfi_os_error_name(error));
        attempt->background = false;
        return true;
    }
    if (error != 0) {
        struct shortage shortage = { .error = error };
        char *end = node->start + node->bytes;
        shortage.available = hfi_os_available_bytes(&shortage.bound);
        hfi_os_unmap(node->start + done, node->bytes - done);
        if (!settle_for(attempt, node, hfi_plan_cut(done), &shortage))
            return false;
        hfi_os_unmap(node->start + node->bytes, (size_t)(end - node->start) - node->bytes);
    }
    if (attempt->options->prefault == PREFAULT_NONE)
        return true;
    node->populated_bytes = node->bytes;
    if (node->backing == BACKING_THP && !attempt->background && !attempt->said_unadvised)
        say_how_huge(node);
    return true;
}

/* What comes after a rung that is not to be had. */
static const char *next_rung(enum option_backing backing)
{
    switch (backing) {
    case BACKING_1G: return "trying 2m";
    case BACKING_2M: return hfi_os_has_thp() ? "using thp" : "using 4k";
    case BACKING_THP:
    case BACKING_4K:
    case BACKING_AUTO: break;
    }
    return "using 4k";
}

/* A pool that is short.  For `auto` that is worth a warning only where somebody made a pool. */
static void say_pool_short(const struct attempt *attempt, const struct reserved_node *node,
                           enum option_backing backing, const struct os_huge_pool *pool, uint64_t needed)
{
    char what[200], next[160];
    uint64_t missing = needed - hfi_min(needed, pool->free_pages);
    snprintf(what, sizeof what, "node %u: %s needs %llu huge pages of %s, %llu are free%s, %llu are missing",
             node->id, bytes_text(node->bytes).text, (unsigned long long)needed, hfi_backing_name(backing),
             (unsigned long long)pool->free_pages, pool->bounded ? " by the cgroup's limit" : "",
             (unsigned long long)missing);
    if (pool->bounded)
        snprintf(next, sizeof next, "raise the cgroup's limit of huge pages (hugetlb.*.max)");
    else
        snprintf(next, sizeof next, "run: echo %llu > %s", (unsigned long long)(pool->total_pages + missing),
                 pool->path);
    if (attempt->options->backing == backing)
        degraded(attempt, "HF-W201", "HF-E201", next_rung(backing), next, "%s", what);
    else if (pool->free_pages != 0 && node->bytes <= hfi_os_physical_bytes())
        hfi_say(SAY_WARNING, "HF-W201", "reserve", "%s: %s; %s", what, next_rung(backing), next);
    else if (backing == BACKING_2M && node->bytes <= hfi_os_physical_bytes())
        hfi_say(SAY_INFO, "HF-I201", "reserve", "%s: %s; %s", what, next_rung(backing), next);
}

/* The pool had the pages, the kernel would not give them. */
static void say_pool_refused(const struct attempt *attempt, const struct reserved_node *node,
                             enum option_backing backing, int error, size_t done)
{
    char what[200];
    const char *next =
        hfi_os_is_refusal(error)
            ? allow_madvise
            : "raise the cgroup's hugetlb limit (hugetlb.*.max), or look who else takes pages of this pool";
    snprintf(what, sizeof what,
             "node %u: of %s in huge pages of %s the kernel refused what follows the first %s (%s)", node->id,
             bytes_text(node->bytes).text, hfi_backing_name(backing), bytes_text(done).text,
             hfi_os_error_name(error));
    if (attempt->options->backing == backing)
        degraded(attempt, "HF-W203", "HF-E203", next_rung(backing), next, "%s", what);
    else
        hfi_say(SAY_WARNING, "HF-W203", "reserve", "%s: %s; %s", what, next_rung(backing), next);
}

static void say_no_such_pages(const struct attempt *attempt, const struct reserved_node *node,
                              enum option_backing backing)
{
    if (attempt->options->backing == backing)
        degraded(attempt, "HF-W208", "HF-E208", next_rung(backing),
                 "boot with hugepagesz=1G, or name another HOLDFAST_BACKING",
                 "node %u: this kernel or processor has no huge pages of %s", node->id,
                 hfi_backing_name(backing));
}

/* Pages of a program that just ended come back a moment later where a ring had them registered
 * (io_uring ends by itself): waits for them where the pool is asked for and large enough.  False
 * when the kernel has no such pages. */
static bool pool_after_others(const struct attempt *attempt, const struct reserved_node *node,
                              enum option_backing backing, uint64_t needed, struct os_huge_pool *pool)
{
    bool alone = attempt->topology->node_count == 1;
    size_t page_bytes = hfi_backing_page_bytes(backing);
    bool known = hfi_os_huge_pool(pool, node->id, alone, page_bytes);
    unsigned polls = attempt->options->backing == backing ? POOL_POLLS : 0;
    for (unsigned i = 0; known && pool->free_pages < needed && pool->total_pages >= needed && i < polls;
         i++) {
        hfi_os_sleep_us(POOL_POLL_US);
        known = hfi_os_huge_pool(pool, node->id, alone, page_bytes);
    }
    return known;
}

/* Map and bind huge pages of a pool. */
static bool map_huge_pages(struct attempt *attempt, struct reserved_node *node, enum option_backing backing)
{
    struct os_huge_pool pool;
    size_t page_bytes = hfi_backing_page_bytes(backing);
    uint64_t needed = node->bytes / page_bytes;
    if (!pool_after_others(attempt, node, backing, needed, &pool)) {
        say_no_such_pages(attempt, node, backing);
        return false;
    }
    if (pool.free_pages < needed) {
        say_pool_short(attempt, node, backing, &pool, needed);
        return false;
    }
    int error = hfi_os_map(node->start, node->bytes, page_bytes);
    if (error != 0) {
        say_pool_refused(attempt, node, backing, error, 0);
        return false;
    }
    node->backing = backing;
    node->os_page_bytes = page_bytes;
    node->bound = bind_range(attempt, node->start, node->bytes, node->id);
    return true;
}

/* After populating them.  Populated always: a page that the pool does not have would be SIGBUS at
 * the first touch.  Never swapped, so as good as locked. */
static bool keep_huge_pages(struct attempt *attempt, struct reserved_node *node, int error, size_t done)
{
    if (error != 0) {
        hfi_os_unmap(node->start, node->bytes);
        say_pool_refused(attempt, node, node->backing, error, done);
        return false;
    }
    if (attempt->options->prefault == PREFAULT_NONE)
        hfi_say(SAY_INFO, "HF-I216", "reserve",
                "node %u is populated in spite of HOLDFAST_PREFAULT=none: huge pages of %s are; "
                "set HOLDFAST_BACKING=thp or 4k for memory that is not",
                node->id, hfi_backing_name(node->backing));
    node->populated_bytes = node->bytes;
    node->locked = true;
    return true;
}

/* Whether a rung is to be tried. */
static bool rung_is_open(const struct attempt *attempt, const struct reserved_node *node,
                         enum option_backing backing)
{
    enum option_backing asked = attempt->options->backing;
    if (!hfi_rung_is_asked(asked, backing, node->bytes))
        return false;
    if (backing != BACKING_THP || hfi_os_has_thp())
        return true;
    if (asked == BACKING_THP)
        degraded(attempt, "HF-W204", "HF-E204", "using 4k",
                 "run: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
                 "transparent huge pages are off, or forbidden to this process");
    return false;
}

static const enum option_backing ladder[] = { BACKING_1G, BACKING_2M, BACKING_THP, BACKING_4K };
#define RUNGS (sizeof ladder / sizeof ladder[0])

/* Where a node stands on the ladder. */
struct climber {
    unsigned rung; /* of those to be tried, or being tried, the first */
    bool settled;
    bool populating;
};

/* Maps a node on the first rung from `climber->rung` on that can be mapped.  False when there is
 * none. */
static bool map_node(struct attempt *attempt, struct reserved_node *node, struct climber *climber)
{
    size_t planned = attempt->planned_bytes[node - attempt->reservation->nodes];
    for (; climber->rung < RUNGS; climber->rung++) {
        enum option_backing rung = ladder[climber->rung];
        node->bytes = planned;
        if (!rung_is_open(attempt, node, rung))
            continue;
        node->bytes = hfi_align_up(planned, hfi_backing_unit_bytes(rung));
        if (hfi_backing_page_bytes(rung) == HFI_SMALL_PAGE_BYTES)
            return map_small_pages(attempt, node, rung);
        if (map_huge_pages(attempt, node, rung))
            return true;
    }
    return false;
}

/* Whether a node stays on its rung; a rung of small pages is the last in any case.  0, -EAGAIN for
 * the next rung, or -ENOMEM after saying why. */
static int settle_node(struct attempt *attempt, struct reserved_node *node, struct climber *climber,
                       int error, size_t done)
{
    bool small = node->os_page_bytes == HFI_SMALL_PAGE_BYTES;
    climber->settled =
        small ? keep_small_pages(attempt, node, error, done) : keep_huge_pages(attempt, node, error, done);
    climber->rung++;
    return climber->settled ? 0 : small ? -ENOMEM : -EAGAIN;
}

/* Walks the ladder, all nodes side by side: those of a round are mapped, then populated at the same
 * time, and what failed goes to its next rung in the next round.  0 or -ENOMEM after saying why. */
static int reserve_nodes(struct attempt *attempt)
{
    struct reservation *reservation = attempt->reservation;
    struct climber climbers[HFI_MAX_NODES] = { { 0 } };
    unsigned settled = 0;
    while (settled < reservation->node_count) {
        for (unsigned i = 0; i < reservation->node_count; i++)
            if (!climbers[i].settled && !map_node(attempt, &reservation->nodes[i], &climbers[i]))
                return -ENOMEM;
        for (unsigned i = 0; i < reservation->node_count; i++) {
            struct reserved_node *node = &reservation->nodes[i];
            struct prefault_order order = order_of(attempt, node);
            climbers[i].populating = !climbers[i].settled && (attempt->options->prefault != PREFAULT_NONE ||
                                                              node->os_page_bytes != HFI_SMALL_PAGE_BYTES);
            if (climbers[i].populating)
                hfi_prefault_begin(i, &order);
        }
        for (unsigned i = 0; i < reservation->node_count; i++) {
            size_t done = 0;
            if (climbers[i].settled)
                continue;
            int error = climbers[i].populating ? hfi_prefault_finish(i, &done) : 0;
            error = settle_node(attempt, &reservation->nodes[i], &climbers[i], error, done);
            if (error == -ENOMEM)
                return error;
            settled += error == 0;
        }
    }
    return 0;
}

/* Owners and table of a node's pages: on the node, and as ready as its memory. */
static int ready_metadata(struct attempt *attempt, const struct reserved_node *node)
{
    struct reservation *reservation = attempt->reservation;
    struct plan_part slices[2] = { hfi_plan_owners_slice(reservation, node),
                                   hfi_plan_table_slice(reservation, node) };
    for (int i = 0; i < 2; i++) {
        char *start = reservation->base + slices[i].offset;
        /* owners are mapped already */
        int error = i == 0 ? 0 : map_maps(reservation, start, slices[i].bytes);
        if (error != 0)
            return error;
        if (!reservation->growing || attempt->topology->node_count > 1)
            bind_range(attempt, start, slices[i].bytes, node->id);
        if (reservation->growing || attempt->options->prefault == PREFAULT_NONE) {
            if (attempt->options->lock == LOCK_YES)
                lock_range(attempt, start, slices[i].bytes, true);
            continue;
        }
        if (attempt->options->backing != BACKING_4K)
            hfi_os_advise_huge(start, slices[i].bytes, true);
        if (attempt->options->lock != LOCK_NO)
            lock_range(attempt, start, slices[i].bytes, true);
        size_t entry_bytes = i == 0 ? HFI_OWNER_ENTRY_BYTES : HFI_TABLE_ENTRY_BYTES;
        error = hfi_os_populate(start, attempt->background
                                           ? hfi_align_up((lead_bytes(node) >> HFI_PAGE_SHIFT) * entry_bytes,
                                                          HFI_SMALL_PAGE_BYTES)
                                           : slices[i].bytes);
        if (error != 0 && !hfi_os_is_refusal(error)) /* said of the node's memory */
            return error;
    }
    return 0;
}

/* --- the two kinds of arena --- */

static void populate_in_background(const struct attempt *attempt, unsigned index)
{
    const struct reservation *reservation = attempt->reservation;
    const struct reserved_node *node = &reservation->nodes[index];
    struct prefault_order order = order_of(attempt, node);
    order.from = order.bytes;
    order.bytes = node->bytes;
    order.owners = reservation->base + hfi_plan_owners_slice(reservation, node).offset;
    order.table = reservation->base + hfi_plan_table_slice(reservation, node).offset;
    order.owner_bytes = HFI_OWNER_ENTRY_BYTES;
    order.entry_bytes = HFI_TABLE_ENTRY_BYTES;
    hfi_prefault_background(index, &order);
}

static int reserve_named(struct attempt *attempt)
{
    struct reservation *reservation = attempt->reservation;
    size_t asked = hfi_plan_bytes(reservation);
    int error = lay_out(attempt);
    if (error != 0)
        return say_no_space(asked, error);
    struct prefault_order order = order_of(attempt, &reservation->nodes[0]);
    attempt->background = attempt->options->prefault == PREFAULT_BACKGROUND && hfi_prefault_may_go_on(&order);
    error = reserve_nodes(attempt);
    for (unsigned i = 0; i < reservation->node_count && error == 0; i++) {
        struct reserved_node *node = &reservation->nodes[i];
        error = ready_metadata(attempt, node);
        if (error != 0)
            hfi_say(SAY_ERROR, "HF-E218", "reserve",
                    "node %u: no memory for the page table of %s (%s); lower HOLDFAST_ARENA, or raise "
                    "the limits (ulimit -v unlimited, ulimit -d unlimited)",
                    node->id, bytes_text(node->bytes).text, hfi_os_error_name(error));
    }
    for (unsigned i = 0; i < reservation->node_count && error == 0 && attempt->background; i++)
        populate_in_background(attempt, i);
    return error;
}

/* An auto arena takes what there is; who asks for more is to name a size. */
static void check_growing(const struct attempt *attempt)
{
    enum option_backing backing = attempt->options->backing;
    if (backing == BACKING_1G || backing == BACKING_2M)
        degraded(attempt, "HF-W219", "HF-E219", hfi_os_has_thp() ? "using thp" : "using 4k",
                 "name a size in HOLDFAST_ARENA", "HOLDFAST_BACKING=%s is for arenas of a named size",
                 hfi_backing_name(backing));
    else if (backing == BACKING_THP)
        rung_is_open(attempt, &attempt->reservation->nodes[0], BACKING_THP); /* says so if it is not */
}

/* Steps stop populating where little is left of what the process may use: there a step ahead of
 * use could be what makes the kernel kill somebody. */
static void set_prefault_bounds(const struct attempt *attempt)
{
    struct reservation *reservation = attempt->reservation;
    size_t usable = attempt->usable_bytes, planned = hfi_plan_bytes(reservation);
    size_t margin = PREFAULT_MARGIN_BYTES + usable / 8;
    size_t bound = attempt->options->prefault == PREFAULT_NONE ? 0 : usable - hfi_min(usable, margin);
    for (unsigned i = 0; i < reservation->node_count; i++) {
        struct reserved_node *node = &reservation->nodes[i];
        node->prefault_bytes =
            hfi_min(node->bytes, (size_t)((double)bound * ((double)node->bytes / (double)planned)));
    }
}

/* HOLDFAST_LOCK=yes: each page from its first touch on, also after it was opened.  Older kernels
 * answer ENOMEM where the range is not accessible. */
static bool lock_growing(struct attempt *attempt, const struct reserved_node *node)
{
    /* a limit may refuse it: newer kernels lock all the same */
    hfi_os_protect(node->start, node->bytes, true);
    bool locked = lock_range(attempt, node->start, node->bytes, true);
    hfi_os_protect(node->start, node->bytes, false);
    return locked;
}

/* Lays everything out, nothing open, owners and table to be read.  0 or -errno with nothing
 * mapped. */
static int map_growing(struct attempt *attempt)
{
    struct reservation *reservation = attempt->reservation;
    bool huge = attempt->options->backing != BACKING_4K && hfi_os_has_thp();
    int error = lay_out(attempt);
    if (error != 0)
        return error;
    for (unsigned i = 0; i < reservation->node_count && error == 0; i++) {
        struct reserved_node *node = &reservation->nodes[i];
        node->os_page_bytes = HFI_SMALL_PAGE_BYTES;
        node->backing = huge ? BACKING_THP : BACKING_4K;
        if (attempt->topology->node_count > 1)
            node->bound = bind_range(attempt, node->start, node->bytes, node->id);
        if (attempt->options->backing == BACKING_4K)
            hfi_os_advise_huge(node->start, node->bytes, false);
        if (attempt->options->lock == LOCK_YES)
            node->locked = lock_growing(attempt, node);
        error = ready_metadata(attempt, node);
    }
    if (error != 0)
        release_space(attempt);
    return error;
}

static int reserve_growing(struct attempt *attempt)
{
    struct reservation *reservation = attempt->reservation;
    size_t asked = hfi_plan_bytes(reservation);
    uint64_t room = hfi_os_address_room();
    reservation->growing = true;
    check_growing(attempt);
    if (room != UINT64_MAX)
        /* the other half is for stacks, files, and what else is mapped */
        hfi_plan_shrink(reservation, room / 2);
    int error;
    while ((error = map_growing(attempt)) != 0) {
        hfi_plan_shrink(reservation, hfi_plan_bytes(reservation) / 2);
        if (hfi_plan_bytes(reservation) < AUTO_BYTES_MIN)
            return say_no_space(asked, error);
    }
    if (hfi_plan_bytes(reservation) < asked) {
        set_bounds(reservation, PLAN_BOUND_SPACE);
        hfi_say(SAY_WARNING, "HF-W207", "reserve",
                "address space is limited: the arena can grow to %s, not %s; raise the limit (ulimit -v "
                "unlimited, "
                "ulimit -d unlimited)",
                bytes_text(hfi_plan_bytes(reservation)).text, bytes_text(asked).text);
    }
    set_prefault_bounds(attempt);
    return 0;
}

int hfi_reserve(struct reservation *reservation, const struct options *options,
                const struct topology *topology)
{
    struct attempt attempt = { .options = options, .topology = topology, .reservation = reservation };
    attempt.usable_bytes = usable_bytes(options);
    check_named_nodes(&attempt);
    check_all_nodes(&attempt);
    hfi_plan_draft(reservation, options, topology, attempt.usable_bytes);
    say_raised(&attempt);
    if (reservation->node_count == 0) {
        hfi_say(SAY_ERROR, "HF-E221", "reserve",
                "HOLDFAST_NODES and HOLDFAST_ARENA leave no node with memory; nodes with memory: %u, "
                "the first is node %u: name that one, or none",
                topology->node_count, topology->nodes[0].id);
        return -EINVAL;
    }
    find_bounds(&attempt);
    if (hfi_plan_cap(reservation)) {
        say_capped(&attempt);
        set_bounds(reservation, PLAN_BOUND_LARGEST);
    }
    for (unsigned i = 0; i < reservation->node_count; i++)
        attempt.planned_bytes[i] = reservation->nodes[i].bytes;
    hfi_plan_order(reservation, topology);
    return options->arena == ARENA_AUTO ? reserve_growing(&attempt) : reserve_named(&attempt);
}

/* --- later --- */

int hfi_open_step(const struct reserved_node *node, size_t offset, size_t bytes)
{
    return hfi_os_protect(node->start + offset, bytes, true);
}

int hfi_open_maps(const struct reservation *reservation, const struct reserved_node *node, size_t from,
                  size_t end)
{
    struct plan_part slices[2] = { hfi_plan_owners_slice(reservation, node),
                                   hfi_plan_table_slice(reservation, node) };
    static const size_t entry_bytes[2] = { HFI_OWNER_ENTRY_BYTES, HFI_TABLE_ENTRY_BYTES };
    for (int i = 0; i < 2; i++) {
        size_t first = hfi_align_down(from * entry_bytes[i], HFI_SMALL_PAGE_BYTES);
        size_t last = hfi_min(hfi_align_up(end * entry_bytes[i], HFI_SMALL_PAGE_BYTES), slices[i].bytes);
        int error = hfi_os_protect(reservation->base + slices[i].offset + first, last - first, true);
        if (error != 0)
            return error;
    }
    return 0;
}

void hfi_advise_step(const struct reserved_node *node, size_t offset, size_t bytes)
{
    uintptr_t start = (uintptr_t)node->start + hfi_max(offset, SMALL_PAGES_BYTES);
    uintptr_t end = (uintptr_t)node->start + hfi_min(offset + bytes, node->prefault_bytes);
    start = hfi_align_up(start, HUGE_BYTES);
    end = hfi_align_down(end, HUGE_BYTES);
    if (node->backing == BACKING_THP && start < end)
        hfi_os_advise_huge((void *)start, end - start, true);
}

int hfi_prefault_step(const struct reserved_node *node, size_t offset, size_t bytes)
{
    return offset + bytes > node->prefault_bytes ? -ENOMEM : hfi_os_populate(node->start + offset, bytes);
}
