/*
 * api-heap: the calls of <holdfast/heap.h>.
 *
 * Tests: tests/programs/heaps.c, tests/programs/heap-misuse.c.
 */
#include <errno.h>
#include <holdfast/heap.h>
#include <string.h>

#include "app/stats.h"
#include "base/say.h"
#include "heap/heap-checked.h"
#include "heap/heap-limit.h"
#include "heap/zone.h"
#include "malloc/address.h"
#include "malloc/alloc.h"
#include "malloc/attach.h"
#include "malloc/heaps.h"
#include "malloc/init.h"
#include "malloc/thread.h"
#include "malloc/use.h"

#define OPTIONS_BYTES_LEAST offsetof(struct hf_heap_options, soft_limit) /* of the first version */

_Static_assert(HF_HEAP_REGION == HFI_HEAP_REGION && HF_HEAP_CHECKED == HFI_HEAP_CHECKED &&
                   HF_HEAP_INTERLEAVE == HFI_HEAP_INTERLEAVE,
               "heap.h");

#define KNOWN_FLAGS                                                                                          \
    (HF_HEAP_REGION | HF_HEAP_NODE | HF_HEAP_RESERVED | HF_HEAP_NODUMP | HF_HEAP_CHECKED | HF_HEAP_INTERLEAVE)

/* In steps of what heaps are counted in. */
static uint32_t limit_units(size_t bytes)
{
    size_t units = bytes / HFI_PIECE_BYTES + (bytes % HFI_PIECE_BYTES != 0);
    return bytes == 0 ? HFI_LIMIT_NONE : (uint32_t)hfi_min(units, HFI_LIMIT_NONE);
}

/* What stands behind the fields that this version knows must be 0. */
static bool is_known(const struct hf_heap_options *options)
{
    size_t bytes = options->size_bytes;
    if (bytes < OPTIONS_BYTES_LEAST || bytes > HFI_PAGE_BYTES || bytes % sizeof(size_t) != 0)
        return false;
    for (size_t i = sizeof *options; i < bytes; i++)
        if (((const char *)options)[i] != 0)
            return false;
    if ((options->flags & HF_HEAP_NODE) && (options->flags & HF_HEAP_INTERLEAVE))
        return false;
    return (options->flags & ~KNOWN_FLAGS) == 0;
}

static struct hf_heap *refuse(const struct hf_heap_options *options)
{
    static _Atomic(bool) xsaid;
    if (hfi_first_time(&xsaid))
        hfi_say(
            SAY_WARNING, "HF-W024", "heap",
            "hf_heap_create was given options of %zu bytes with flags %#x, which this version (%zu bytes, "
            "flags %#x) does not know; set size_bytes to their sizeof, fields of no "
            "use to 0, and load the library that the program was compiled for",
            options->size_bytes, options->flags, sizeof *options, KNOWN_FLAGS);
    errno = EINVAL;
    return NULL;
}

static struct arena_node *node_of_id(unsigned id)
{
    for (unsigned i = 0; i < hfi_arena.node_count; i++)
        if (hfi_arena.nodes[i].id == id)
            return &hfi_arena.nodes[i];
    return NULL;
}

static bool zones_fit(const struct arena_node *only)
{
    bool fit = true;
    for (unsigned i = 0; i < hfi_arena.node_count; i++)
        fit = fit && (hfi_zone_fits(&hfi_arena.nodes[i]) || (only != NULL && only != &hfi_arena.nodes[i]));
    return fit;
}

static struct hf_heap *refuse_hidden(const char *name)
{
    static _Atomic(bool) xsaid;
    if (hfi_first_time(&xsaid))
        hfi_say(
            SAY_WARNING, "HF-W048", "heap",
            "heap \"%.31s\" is not made, as 2 MiB of it cannot be kept out of core files on pages of 1 GiB; "
            "set HOLDFAST_BACKING=2m, or make the heap without HF_HEAP_NODUMP",
            name != NULL ? name : "");
    errno = EOPNOTSUPP;
    return NULL;
}

static struct hf_heap *create(const struct hf_heap_options *options)
{
    struct arena_node *only = NULL;
    if (hfi_heaps_thread() == NULL)
        return hfi_fail_enomem();
    if ((options->flags & HF_HEAP_NODE) && (only = node_of_id(options->node)) == NULL) {
        errno = EINVAL;
        return NULL;
    }
    if ((options->flags & HF_HEAP_NODUMP) && !zones_fit(only))
        return refuse_hidden(options->name);
    uint32_t limit = limit_units(options->limit);
    struct heap *heap = hfi_heap_new(options->name, limit, options->flags, only);
    if (heap == NULL && hfi_attach_find_meta())
        heap = hfi_heap_new(options->name, limit, options->flags, only);
    if (heap == NULL)
        return hfi_malloc_fail(sizeof *heap, 1, HFI_PAGE_BYTES);
    hfi_heap_set_soft(heap, limit_units(options->soft_limit), options->soft_callback, options->soft_context);
    return hfi_heap_handle(heap, hfi_load_relaxed(&heap->xid));
}

HFI_EXPORT struct hf_heap *hf_heap_create(const struct hf_heap_options *options)
{
    if (options == NULL || !is_known(options))
        return refuse(options != NULL ? options : &(struct hf_heap_options){ 0 });
    struct hf_heap_options known = { 0 }; /* fields that an older caller does not have are 0 */
    memcpy(&known, options, hfi_min(options->size_bytes, sizeof known));
    bool had_theap = hfi_theap->thread != 0;
    struct hf_heap *heap = create(&known);
    if (!had_theap)
        hfi_thread_served();
    return heap;
}

static HFI_COLD _Noreturn void die_in_use(const struct heap *heap, uint64_t id, uint32_t users, bool here)
{
    hfi_die("HF-E330", "hf_heap_destroy",
            "heap \"%s\" (%llu) has plain malloc coming from it %u time%s, %s; let each thread that called "
            "hf_heap_use with it call hf_heap_use(NULL) first",
            heap->name, (unsigned long long)id, users, users == 1 ? "" : "s",
            here ? "in this thread too" : "in other threads");
}

static bool end(struct heap *heap, uint64_t id, const void *from)
{
    if (!(heap->flags & HF_HEAP_CHECKED))
        return hfi_heap_end(heap, id);
    bool had_theap = hfi_theap->thread != 0;
    const struct theap *theap = hfi_heaps_thread();
    bool ended = hfi_checked_end(heap, id, theap == NULL ? 0 : (unsigned)theap->thread_id, from);
    if (!had_theap)
        hfi_thread_served();
    return ended;
}

HFI_EXPORT void hf_heap_destroy(struct hf_heap *handle)
{
    if (handle == NULL)
        return;
    struct heap *heap = hfi_heaps_find(handle, "hf_heap_destroy");
    uint64_t id = hfi_load_relaxed(&heap->xid);
    uint32_t users = hfi_load_relaxed(&heap->xusers); /* relaxed: a thread that begins now is a misuse too */
    if (users != 0)
        die_in_use(heap, id, users, hfi_use_has(handle));
    if (id == 0 || hfi_heap_handle(heap, id) != handle || !end(heap, id, __builtin_return_address(0)))
        hfi_heaps_die(handle, "hf_heap_destroy"); /* two threads at once */
}

HFI_EXPORT void *hf_heap_malloc(struct hf_heap *handle, size_t bytes)
{
    return hfi_heaps_malloc(handle, bytes, "hf_heap_malloc");
}

HFI_EXPORT void *hf_heap_calloc(struct hf_heap *handle, size_t count, size_t each_bytes)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, each_bytes, &bytes))
        return hfi_fail_enomem();
    void *block = hfi_heaps_malloc(handle, bytes, "hf_heap_calloc");
    return block != NULL ? memset(block, 0, bytes) : NULL;
}

HFI_EXPORT void *hf_heap_aligned_alloc(struct hf_heap *handle, size_t align, size_t bytes)
{
    if (!hfi_is_power_of_two(align) || align > HFI_WINDOW_BYTES) {
        errno = EINVAL;
        return NULL;
    }
    return hfi_heaps_alloc(handle, hfi_max(align, HFI_MAX_ALIGN), bytes, "hf_heap_aligned_alloc");
}

/* Of another heap, or of none. */
static void *move_block(struct hf_heap *handle, void *pointer, size_t bytes)
{
    size_t has = hfi_usable_size(pointer);
    void *fresh = hfi_heaps_alloc(handle, HFI_MAX_ALIGN, bytes, "hf_heap_realloc");
    if (fresh == NULL)
        return NULL;
    memcpy(fresh, pointer, hfi_min(has, bytes));
    hfi_free(pointer);
    return fresh;
}

HFI_EXPORT void *hf_heap_realloc(struct hf_heap *handle, void *pointer, size_t bytes)
{
    if (pointer == NULL)
        return hfi_heaps_malloc(handle, bytes, "hf_heap_realloc");
    if (bytes == 0) {
        hfi_free(pointer);
        return NULL;
    }
    return hfi_heaps_of(pointer) == handle ? hfi_realloc(pointer, bytes) : move_block(handle, pointer, bytes);
}

HFI_EXPORT struct hf_heap *hf_heap_of(const void *pointer)
{
    return (struct hf_heap *)hfi_heaps_of(pointer);
}

HFI_EXPORT struct hf_heap *hf_heap_default(void)
{
    return (struct hf_heap *)&hfi_default_heap;
}

HFI_EXPORT int hf_heap_set_limit(struct hf_heap *handle, size_t bytes)
{
    if ((const char *)handle == &hfi_default_heap)
        return -EINVAL;
    struct heap *heap = hfi_heaps_find(handle, "hf_heap_set_limit");
    char used[16], limit[16];
    if (hfi_limit_set(&heap->xlimit, limit_units(bytes))) {
        hfi_heap_show(heap, 0);
        return 0;
    }
    hfi_say(
        SAY_WARNING, "HF-W025", "heap",
        "heap \"%s\" (%llu) holds %s, more than the limit of %s that it was to get, and keeps its own; "
        "destroy it, or set the limit again when it holds less",
        heap->name, (unsigned long long)hfi_load_relaxed(&heap->xid),
        hfi_format_bytes(used, sizeof used, hfi_limit_use(hfi_load_relaxed(&heap->xlimit)) * HFI_PIECE_BYTES),
        hfi_format_bytes(limit, sizeof limit, bytes));
    return -EBUSY;
}

/* What of the arena is handed out, and no heap's. */
static uint64_t default_bytes(void)
{
    struct hf_stats stats;
    hfi_stats_get(&stats, offsetof(struct hf_stats, live), NULL);
    uint64_t heaps = 0;
    for (unsigned i = 0; i < hfi_arena.node_count; i++)
        heaps += hfi_load_relaxed(&hfi_arena.nodes[i].xheap_pages) * HFI_PAGE_BYTES;
    return stats.allocated - hfi_min(heaps, stats.allocated);
}

HFI_EXPORT int hf_heap_stats(struct hf_heap *handle, struct hf_heap_stats *stats, size_t size)
{
    struct hf_heap_stats full = { 0 };
    if (size == 0 || size % sizeof(uint64_t) != 0)
        return -EINVAL;
    if ((const char *)handle == &hfi_default_heap) {
        full.held = default_bytes();
    } else {
        const struct heap *heap = hfi_heaps_find(handle, "hf_heap_stats");
        uint64_t word = hfi_load_relaxed(&heap->xlimit); /* relaxed: figures */
        full.held = (uint64_t)hfi_limit_use(word) * HFI_PIECE_BYTES;
        full.most = (uint64_t)hfi_load_relaxed(&heap->xmost) * HFI_PIECE_BYTES;
        full.limit =
            hfi_limit_of(word) == HFI_LIMIT_NONE ? 0 : (uint64_t)hfi_limit_of(word) * HFI_PIECE_BYTES;
        full.failures = hfi_load_relaxed(&heap->xfailed);
        full.soft_limit = heap->soft.over == HFI_LIMIT_NONE ? 0 : (uint64_t)heap->soft.over * HFI_PIECE_BYTES;
        full.soft_crossings = hfi_load_relaxed(&heap->xcrossings);
    }
    memset(stats, 0, size); /* fields of a later version */
    memcpy(stats, &full, hfi_min(size, sizeof full));
    return 0;
}
