/*
 * prefault: see prefault.h; doc/protocols.md ("Populating in the background").
 *
 * PF1: a chunk's state leaves CHUNK_CLOSED once, by CAS; who made it CHUNK_OPEN gives out its
 *      memory.
 * PF2: a chunk is opened only after each of its ranges was populated with no error.
 * PF3: `hfi_prefault_xclosed_bytes` is the sum of the chunks in CHUNK_CLOSED, and of those being
 *      opened.
 * PF4: no descriptor is held once the start is over.
 *
 * One thread at a time reads completions (xreading, a try-lock: others go on without).
 * hfi_prefault_force takes chunks from the top by a cursor that only falls.  So two threads never
 * populate the same one.
 *
 * io_wq starts a second worker only when the first is seen to be busy.  So requests are handed over
 * one by one, a moment apart, until there are as many as workers.
 *
 * Fails by the chunk: HF-E226.  Tests: tests/programs/prefault.c, tests/unit/prefault.c.
 */
#include "arena/prefault.h"

#include <errno.h>
#include <string.h>

#include "kernel/os.h"
#include "kernel/cpu.h"
#include "kernel/manager.h"
#include "base/options.h"
#include "base/say.h"
#include "kernel/ring.h"
#include "base/layout.h"

#define CHUNK_BYTES_MIN ((size_t)64 * HFI_MIB)
#define CHUNK_BYTES_MIN_MEANWHILE                                                                            \
    ((size_t)8 * HFI_MIB)         /* in the background: the program's mmap waits for one */
#define CHUNKS_MAX ((size_t)8192) /* of one node */
#define RANGES_MAX 3              /* memory, owners, table */
#define COLLAPSE_TAG RANGES_MAX   /* of the request after that of the memory */
#define REQUESTS_MAX (RANGES_MAX + 1)
#define RING_BYTES_MIN HFI_GIB /* at start: less is there before helpers would pay */
#define WORKERS_MAX 16u
#define WORKER_START_US 100u
#define POLL_US 200u
#define OS_PAGE_BYTES ((size_t)4096)
#define HOST_PAGE_BYTES ((size_t)2 * HFI_MIB) /* what a hypervisor gives as a whole, mostly */

enum chunk_state { CHUNK_CLOSED, CHUNK_OPEN, CHUNK_FAILED };

struct chunk {
    _Atomic(uint8_t) xstate; /* atomic: enum chunk_state */
    uint8_t requests_left;   /* reader of completions: requests under way; 0xff: left to hfi_prefault_force */
};

/* Population of one node. */
struct prefault {
    struct prefault_order order;   /* const once begun */
    size_t chunk_bytes;            /* const */
    size_t first_chunk, end_chunk; /* const */
    size_t next_chunk;             /* starting thread, then const: first one not handed to the ring */
    size_t in_flight;              /* reader: requests under way */
    unsigned workers;              /* const */
    struct ring ring;              /* reader */
    struct chunk *chunks;          /* const: of chunk 0 */
    _Atomic(size_t) xcursor;       /* atomic: hfi_prefault_force takes the chunk below */
    _Atomic(size_t) xfailed_bytes; /* atomic */
    _Atomic(int) xerror;           /* atomic: first error, -errno */
    _Atomic(bool) xreading;        /* atomic: a thread reads completions */
};

static struct prefault nodes[HFI_MAX_NODES];
_Atomic(size_t) hfi_prefault_xclosed_bytes[HFI_MAX_NODES];
static struct chunk chunk_space[HFI_MAX_NODES][CHUNKS_MAX]; /* touched as far as used */

/* --- chunks --- */

static struct prefault_part chunk_part(const struct prefault *node, size_t chunk)
{
    size_t from = hfi_max(chunk * node->chunk_bytes, node->order.from);
    return (struct prefault_part){ from, hfi_min((chunk + 1) * node->chunk_bytes, node->order.bytes) - from };
}

struct range {
    char *start;
    size_t bytes;
};

/* Entries of `each` bytes for the pages of a part, out to OS pages: neighbours may share one. */
static struct range entries_range(char *entries, size_t each, struct prefault_part part)
{
    uintptr_t first = (uintptr_t)entries + (part.offset >> HFI_PAGE_SHIFT) * each;
    uintptr_t end = (uintptr_t)entries + hfi_divide_up(part.offset + part.bytes, HFI_PAGE_BYTES) * each;
    first = hfi_align_down(first, OS_PAGE_BYTES);
    return (struct range){ (char *)first, hfi_align_up(end, OS_PAGE_BYTES) - first };
}

static unsigned chunk_ranges(const struct prefault *node, size_t chunk, struct range ranges[RANGES_MAX])
{
    const struct prefault_order *order = &node->order;
    struct prefault_part part = chunk_part(node, chunk);
    unsigned count = 0;
    ranges[count++] = (struct range){ order->memory + part.offset, part.bytes };
    if (order->owners != NULL) {
        ranges[count++] = entries_range(order->owners, order->owner_bytes, part);
        ranges[count++] = entries_range(order->table, order->entry_bytes, part);
    }
    return count;
}

static int populate_chunk(const struct prefault *node, size_t chunk)
{
    struct range ranges[RANGES_MAX];
    unsigned count = chunk_ranges(node, chunk, ranges);
    int error = 0;
    for (unsigned i = 0; i < count && error == 0; i++)
        error = hfi_os_populate(ranges[i].start, ranges[i].bytes);
    return error;
}

/* True for one caller. */
static bool chunk_end(struct prefault *node, size_t chunk, enum chunk_state state)
{
    uint8_t closed = CHUNK_CLOSED;
    return hfi_cas_acq_rel(&node->chunks[chunk].xstate, &closed, (uint8_t)state);
}

static void chunk_failed(struct prefault *node, size_t chunk, int error)
{
    int none = 0;
    struct prefault_part part = chunk_part(node, chunk);
    if (!chunk_end(node, chunk, CHUNK_FAILED))
        return;
    hfi_fetch_add_relaxed(&node->xfailed_bytes, part.bytes);
    hfi_fetch_sub_relaxed(&hfi_prefault_xclosed_bytes[node - nodes], part.bytes);
    if (!hfi_cas_acq_rel(&node->xerror, &none, error) || node->order.owners == NULL)
        return; /* said already; or at start, where the caller says it */
    char bytes[16], offset[16];
    hfi_say(
        SAY_ERROR, "HF-E226", "prefault",
        "node %u: populating %s at %s failed (%s): what cannot be populated is not given out; "
        "lower HOLDFAST_ARENA, raise the pool or the limit, or populate at start (HOLDFAST_PREFAULT=startup)",
        node->order.node_id, hfi_format_bytes(bytes, sizeof bytes, part.bytes),
        hfi_format_bytes(offset, sizeof offset, part.offset), hfi_os_error_name(error));
}

/* --- CPUs --- */

static unsigned count_cpus(const uint64_t cpus[HFI_CPU_WORDS])
{
    unsigned count = 0;
    for (unsigned i = 0; i < HFI_CPU_WORDS; i++)
        count += (unsigned)__builtin_popcountll(cpus[i]);
    return count;
}

/* CPUs for the workers of a node: those of the node that this process may use.  If there are none
 * (a node of memory alone), all that it may use.  The number of them. */
static unsigned worker_cpus(const struct prefault_order *order, uint64_t cpus[HFI_CPU_WORDS])
{
    uint64_t of_node[HFI_CPU_WORDS];
    hfi_os_allowed_cpus(cpus);
    if (!order->affine || hfi_os_node_cpus(order->node_id, of_node) <= 0)
        return count_cpus(cpus);
    for (unsigned i = 0; i < HFI_CPU_WORDS; i++)
        of_node[i] &= cpus[i];
    if (count_cpus(of_node) != 0)
        memcpy(cpus, of_node, sizeof of_node);
    return count_cpus(cpus);
}

/* --- requests and completions --- */

static uint64_t tag_of(size_t chunk, unsigned range)
{
    return (uint64_t)chunk << 2 | range;
}

/* Writes a chunk's requests; false when the ring has no room for all of them. */
static bool request_chunk(struct prefault *node, size_t chunk)
{
    struct range ranges[RANGES_MAX];
    unsigned count = chunk_ranges(node, chunk, ranges);
    bool huge = node->order.huge;
    for (unsigned i = 0; i < count; i++) {
        char *start = ranges[i].start;
        bool written = i == 0 && huge
                         ? hfi_ring_populate_huge(&node->ring, start, ranges[i].bytes, tag_of(chunk, i),
                                                  tag_of(chunk, COLLAPSE_TAG))
                         : hfi_ring_populate(&node->ring, start, ranges[i].bytes, tag_of(chunk, i));
        if (!written)
            return false; /* the ring is made for all of them */
    }
    node->chunks[chunk].requests_left = (uint8_t)(count + huge);
    node->in_flight += count + huge;
    return true;
}

/* The kernel was interrupted, or has no such advice (before 5.14): nothing is wrong with the
 * memory. */
static bool may_be_retried(int error)
{
    return error == -EINTR || error == -EAGAIN || error == -ECANCELED || error == -EINVAL;
}

/* Takes completions until a chunk is whole; false when there are no more.  For the reader. */
static bool read_completions(struct prefault *node, size_t *whole)
{
    uint64_t tag;
    int result;
    while (node->in_flight != 0 && hfi_ring_completion(&node->ring, &tag, &result)) {
        size_t chunk = (size_t)(tag >> 2);
        struct chunk *of = &node->chunks[chunk];
        node->in_flight--;
        if ((tag & 3) == COLLAPSE_TAG)
            result = 0; /* what there is no huge page for stays as it is */
        if (result < 0 && !may_be_retried(result))
            chunk_failed(node, chunk, result);
        else if (result < 0)
            of->requests_left = UINT8_MAX;
        else if (of->requests_left != UINT8_MAX && --of->requests_left == 0) {
            *whole = chunk;
            return true;
        }
    }
    return false;
}

static bool try_reading(struct prefault *node)
{
    if (hfi_unlikely(hfi_ring_is_lost())) /* a child of clone(2) or _Fork(3), which runs no handlers */
        hfi_prefault_forked(true);        /* for all that is known */
    bool expected = false;
    return !hfi_load_relaxed(&node->xreading) && hfi_cas_acq_rel(&node->xreading, &expected, true);
}

bool hfi_prefault_next(unsigned index, struct prefault_part *part)
{
    struct prefault *node = &nodes[index];
    size_t chunk;
    bool found = false;
    if (!try_reading(node))
        return false;
    while (!found && read_completions(node, &chunk))
        found = chunk_end(node, chunk, CHUNK_OPEN);
    if (node->in_flight == 0 && node->next_chunk >= hfi_load_relaxed(&node->xcursor))
        hfi_ring_close(&node->ring);
    hfi_store_release(&node->xreading, false); /* pairs with try_reading */
    if (found)
        *part = chunk_part(node, chunk);
    return found;
}

int hfi_prefault_force(unsigned index, struct prefault_part *part)
{
    struct prefault *node = &nodes[index];
    for (;;) {
        /* relaxed: a number handed out once; PF1 orders the memory */
        size_t above = hfi_load_relaxed(&node->xcursor);
        do {
            if (above <= node->first_chunk)
                return -ENOENT;
        } while (!hfi_cas_weak_relaxed(&node->xcursor, &above, above - 1));
        size_t chunk = above - 1;
        if (hfi_load_acquire(&node->chunks[chunk].xstate) != CHUNK_CLOSED)
            continue;
        int error = populate_chunk(node, chunk);
        if (error != 0) {
            chunk_failed(node, chunk, error);
            return error;
        }
        if (!chunk_end(node, chunk, CHUNK_OPEN))
            continue;
        *part = chunk_part(node, chunk);
        return 0;
    }
}

void hfi_prefault_opened(unsigned index, struct prefault_part part)
{
    /* pairs with hfi_prefault_closed_bytes */
    hfi_fetch_sub_release(&hfi_prefault_xclosed_bytes[index], part.bytes);
}

size_t hfi_prefault_failed_bytes(unsigned index)
{
    return hfi_load_relaxed(&nodes[index].xfailed_bytes);
}

bool hfi_prefault_goes_on(unsigned index)
{
    struct prefault *node = &nodes[index];
    if (!try_reading(node))
        return true; /* somebody reads: it may */
    bool open = node->ring.open;
    hfi_store_release(&node->xreading, false);
    return open;
}

int hfi_prefault_error(unsigned index)
{
    return hfi_load_acquire(&nodes[index].xerror);
}

/* --- beginning --- */

static void set_up(struct prefault *node, unsigned index, const struct prefault_order *order,
                   size_t chunk_bytes)
{
    while (hfi_divide_up(order->bytes, chunk_bytes) > CHUNKS_MAX)
        chunk_bytes *= 2;
    hfi_ring_close(&node->ring); /* of a backing that failed */
    *node = (struct prefault){ .order = *order, .chunk_bytes = chunk_bytes, .chunks = chunk_space[index] };
    node->first_chunk = node->next_chunk = order->from / chunk_bytes;
    node->end_chunk = hfi_divide_up(order->bytes, chunk_bytes);
    for (size_t i = node->first_chunk; i < node->end_chunk; i++)
        node->chunks[i].xstate = CHUNK_CLOSED;
    hfi_store_relaxed(&node->xcursor, node->end_chunk);
    hfi_store_relaxed(&hfi_prefault_xclosed_bytes[index], order->bytes - order->from);
}

/* False, and said once, when there is to be no ring. */
static bool open_ring(struct prefault *node, size_t requests, unsigned workers,
                      const uint64_t cpus[HFI_CPU_WORDS])
{
    static bool said;
    unsigned entries = 1;
    while (entries < requests)
        entries *= 2;
    node->workers = (unsigned)hfi_min(workers, WORKERS_MAX);
    int error = hfi_ring_open(&node->ring, entries, node->workers, cpus);
    if (error != 0 && !said) {
        said = true;
        hfi_say(SAY_INFO, "HF-I224", "prefault",
                "io_uring is refused (%s): the starting thread populates alone; allow it in the container's "
                "seccomp profile, or set kernel.io_uring_disabled to 0",
                hfi_os_error_name(error));
    }
    return error == 0;
}

/* Hands chunks over from node->next_chunk up to `end`. */
static bool hand_over(struct prefault *node, size_t end)
{
    for (; node->next_chunk < end; node->next_chunk++) {
        if (!request_chunk(node, node->next_chunk))
            return false;
        /* and is not the last */
        bool starts_worker = node->next_chunk - node->first_chunk + 1 < node->workers;
        if (starts_worker) {
            if (hfi_ring_submit(&node->ring) != 0)
                return false;
            hfi_os_sleep_us(WORKER_START_US);
        }
    }
    return hfi_ring_submit(&node->ring) == 0;
}

void hfi_prefault_begin(unsigned index, const struct prefault_order *order)
{
    struct prefault *node = &nodes[index];
    uint64_t cpus[HFI_CPU_WORDS];
    set_up(node, index, order, CHUNK_BYTES_MIN);
    unsigned cpu_count = worker_cpus(order, cpus);
    unsigned workers = order->affine ? cpu_count : cpu_count - 1; /* one for the starting thread */
    size_t chunks = node->end_chunk - node->first_chunk;
    bool quick = !order->affine && order->bytes - order->from < RING_BYTES_MIN;
    if (workers == 0 || quick || !open_ring(node, chunks * REQUESTS_MAX, workers, cpus))
        return;
    if (!hand_over(node, node->first_chunk + hfi_min(chunks, 2 * node->workers)))
        hfi_ring_close(&node->ring);
}

/* Keeps two chunks per worker in the ring, none that the starting thread has taken: it alone moves
 * the cursor. */
static void top_up(struct prefault *node)
{
    while (node->ring.open && node->in_flight < 2 * node->workers &&
           node->next_chunk < hfi_load_relaxed(&node->xcursor)) {
        if (!request_chunk(node, node->next_chunk) || hfi_ring_submit(&node->ring) != 0) {
            hfi_ring_close(&node->ring);
            return;
        }
        node->next_chunk++;
    }
}

/* Opens what the rings have populated, and gives them more, whatever node is being waited for. */
static void pump_rings(void)
{
    struct prefault_part part;
    for (unsigned i = 0; i < HFI_MAX_NODES; i++) {
        if (!nodes[i].ring.open || hfi_load_relaxed(&nodes[i].xerror) != 0)
            continue;
        while (hfi_prefault_next(i, &part))
            hfi_prefault_opened(i, part);
        top_up(&nodes[i]);
    }
}

static size_t populated_front(const struct prefault *node)
{
    for (size_t i = node->first_chunk; i < node->end_chunk; i++)
        if (node->chunks[i].xstate != CHUNK_OPEN)
            return chunk_part(node, i).offset;
    return node->order.bytes;
}

/* A worker that gathers a chunk which the program has already would make its pages fault. */
static bool is_left_to_ring(const struct prefault *node)
{
    return node->order.huge && node->next_chunk >= hfi_load_relaxed(&node->xcursor);
}

/* A kernel that knows its free pages to be zero populates without a write.  In a virtual machine such
 * memory comes from the hypervisor when it is written to, which takes longer than any other call.  Where
 * calls have a limit it is written to now, once in each part that a hypervisor gives as a whole. */
static void write_once(const struct prefault_order *order, size_t end)
{
    for (size_t at = hfi_align_up(order->from, HOST_PAGE_BYTES); at < end; at += HOST_PAGE_BYTES)
        hfi_plain_store_relaxed((uint64_t *)(order->memory + at), 0); /* relaxed: nobody else is there */
}

static void tell_manager(void)
{
    uint64_t left = 0;
    for (unsigned i = 0; i < HFI_MAX_NODES; i++)
        left += hfi_load_relaxed(&hfi_prefault_xclosed_bytes[i]); /* relaxed: a figure */
    hfi_manager_tell(left);
}

int hfi_prefault_finish(unsigned index, size_t *done_bytes)
{
    struct prefault *node = &nodes[index];
    struct prefault_part part;
    while (hfi_load_relaxed(&node->xerror) == 0 &&
           hfi_load_relaxed(&hfi_prefault_xclosed_bytes[index]) != 0) {
        pump_rings();
        if (hfi_manager_wants_news())
            tell_manager();
        /* In the end a chunk that a worker is about is populated by both: whoever is first. */
        if (node->ring.open && (node->order.affine || is_left_to_ring(node)))
            hfi_os_sleep_us(POLL_US);
        else if (hfi_prefault_force(index, &part) == 0) { /* an error is in xerror */
            if (node->order.huge)
                hfi_os_collapse(node->order.memory + part.offset, part.bytes);
            hfi_prefault_opened(index, part);
        }
    }
    hfi_ring_close(&node->ring);
    *done_bytes = populated_front(node);
    int error = hfi_load_relaxed(&node->xerror);
    if (hfi_options.slo_ns != 0)
        write_once(&node->order, *done_bytes);
    *node = (struct prefault){ .chunks = NULL }; /* the caller sees to what is left of it */
    hfi_store_relaxed(&hfi_prefault_xclosed_bytes[index], 0);
    return error;
}

bool hfi_prefault_may_go_on(const struct prefault_order *order)
{
    static struct prefault probe;
    uint64_t cpus[HFI_CPU_WORDS];
    bool good = open_ring(&probe, 1, worker_cpus(order, cpus), cpus);
    hfi_ring_close(&probe.ring);
    return good;
}

void hfi_prefault_background(unsigned index, const struct prefault_order *order)
{
    set_up(&nodes[index], index, order, CHUNK_BYTES_MIN_MEANWHILE);
}

static void start_node(struct prefault *node)
{
    uint64_t cpus[HFI_CPU_WORDS];
    unsigned workers = (worker_cpus(&node->order, cpus) + 1) / 2; /* the other CPUs are the program's */
    size_t chunks = node->end_chunk - node->first_chunk;
    if (chunks == 0 || !open_ring(node, chunks * REQUESTS_MAX, workers, cpus))
        return;
    bool handed = hand_over(node, node->end_chunk);
    hfi_ring_let_go_of_descriptor(&node->ring); /* PF4 */
    if (!handed)
        hfi_ring_close(&node->ring);
}

void hfi_prefault_start(void)
{
    for (unsigned i = 0; i < HFI_MAX_NODES; i++)
        if (hfi_load_relaxed(&hfi_prefault_xclosed_bytes[i]) != 0)
            start_node(&nodes[i]);
}

/* Chunks that a vanished thread had taken and not opened are taken again; those it was about to
 * give out are lost. */
static void take_over_chunks(struct prefault *node)
{
    size_t closed_bytes = 0;
    hfi_store_relaxed(&node->xreading, false);
    hfi_store_relaxed(&node->xcursor, node->end_chunk);
    for (size_t chunk = node->first_chunk; chunk < node->end_chunk; chunk++)
        if (hfi_load_relaxed(&node->chunks[chunk].xstate) == CHUNK_CLOSED)
            closed_bytes += chunk_part(node, chunk).bytes;
    hfi_store_relaxed(&hfi_prefault_xclosed_bytes[node - nodes], closed_bytes);
}

void hfi_prefault_forked(bool others)
{
    hfi_ring_found();
    for (unsigned i = 0; i < HFI_MAX_NODES; i++) {
        struct prefault *node = &nodes[i];
        if (hfi_load_relaxed(&hfi_prefault_xclosed_bytes[i]) == 0)
            continue;
        hfi_ring_forget(&node->ring);
        node->in_flight = 0;
        if (others)
            take_over_chunks(node);
    }
}

void hfi_prefault_abandon(void)
{
    hfi_ring_found();
    for (unsigned i = 0; i < HFI_MAX_NODES; i++) {
        hfi_ring_forget(&nodes[i].ring);
        nodes[i] = (struct prefault){ .chunks = NULL };
        hfi_store_relaxed(&hfi_prefault_xclosed_bytes[i], 0);
    }
}
