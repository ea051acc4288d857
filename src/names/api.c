/*
 * api: the hf_* names of <holdfast/holdfast.h>, <holdfast/frames.h> and <holdfast/uring.h>.
 *
 * The fast paths are those of alloc.h; everything else is one call down.
 */
#include <holdfast/holdfast.h>

#define HF_URING_NO_HELPERS
#include <errno.h>
#include <holdfast/frames.h>
#include <holdfast/uring.h>

#include "malloc/alloc.h"
#include "app/buffers.h"
#include "app/frames.h"
#include "malloc/freeze.h"
#include "malloc/init.h"
#include "app/figures.h"
#include "heap/heap.h"
#include "heap/magazine.h"
#include "kernel/cpu.h"
#include "arena/arena.h"
#include "arena/prefault.h"
#include "malloc/full.h"
#include "app/stats.h"
#include "base/say.h"
#include "malloc/slow.h"
#include "malloc/thread.h"

#define WAIT_SLEEP_US 500u

HFI_EXPORT const char *hf_version(void)
{
    return HFI_VERSION;
}

HFI_EXPORT void *hf_malloc(size_t bytes)
{
    return hfi_malloc(bytes);
}

HFI_EXPORT void *hf_calloc(size_t count, size_t each_bytes)
{
    return hfi_calloc(count, each_bytes);
}

HFI_EXPORT void *hf_realloc(void *pointer, size_t bytes)
{
    return hfi_realloc(pointer, bytes);
}

HFI_EXPORT void hf_free(void *pointer)
{
    hfi_free(pointer);
}

HFI_EXPORT void *hf_aligned_alloc(size_t align, size_t bytes)
{
    if (!hfi_is_power_of_two(align) || align > HFI_WINDOW_BYTES) {
        errno = EINVAL;
        return NULL;
    }
    return hfi_aligned_alloc(align, bytes);
}

static struct arena_node *node_of_id(unsigned id)
{
    for (unsigned i = 0; i < hfi_arena.node_count; i++)
        if (hfi_arena.nodes[i].id == id)
            return &hfi_arena.nodes[i];
    return NULL;
}

static void *malloc_on_node_of_id(size_t bytes, unsigned id)
{
    struct arena_node *node = node_of_id(id);
    if (node != NULL)
        return hfi_malloc_on_node(bytes, node);
    errno = EINVAL;
    return NULL;
}

HFI_EXPORT void *hf_malloc_onnode(size_t bytes, unsigned node)
{
    bool had_theap = hfi_theap->thread != 0;
    hfi_init_thread(); /* the arena stands, if it can */
    void *block = malloc_on_node_of_id(bytes, node);
    if (!had_theap)
        hfi_thread_served();
    return block;
}

/* The node that an address lies in, or NULL.  The arena's span is no answer: it has room between
 * the nodes and before them, which a limit on address space leaves to others. */
static const struct reserved_node *node_around(const void *pointer)
{
    for (unsigned i = 0; i < hfi_arena.node_count && hfi_in_arena(pointer); i++) {
        const struct reserved_node *node = &hfi_arena.reservation.nodes[i];
        if ((uintptr_t)pointer - (uintptr_t)node->start < node->bytes)
            return node;
    }
    return NULL;
}

HFI_EXPORT int hf_node_of(const void *pointer)
{
    const struct reserved_node *node = node_around(pointer);
    return node == NULL ? -1 : (int)node->id;
}

HFI_EXPORT size_t hf_usable_size(const void *pointer)
{
    return hfi_usable_size(pointer);
}

HFI_EXPORT bool hf_owns(const void *pointer)
{
    return node_around(pointer) != NULL;
}

HFI_EXPORT enum hf_level hf_pressure_level(unsigned node)
{
    return hfi_level_of(node);
}

/* The library has begun, and this thread has a theap, if it can have one. */
static void begin(void)
{
    bool had_theap = hfi_theap->thread != 0;
    if (!had_theap && hfi_init_thread() != NULL)
        hfi_thread_served();
}

HFI_EXPORT void hf_reserve_enter(void)
{
    begin();
    hfi_reserve_depth++;
}

HFI_EXPORT void hf_reserve_leave(void)
{
    static _Atomic(bool) xsaid;
    if (hfi_reserve_depth != 0)
        hfi_reserve_depth--;
    else if (hfi_first_time(&xsaid))
        hfi_say(
            SAY_WARNING, "HF-W027", "reserve",
            "hf_reserve_leave was called 1 time more than hf_reserve_enter by this thread, and is ignored; "
            "call each once for the other, in one thread");
}

HFI_EXPORT void hf_freeze(unsigned flags)
{
    begin(); /* options are read */
    bool aborts = (flags & HF_FREEZE_ABORT) != 0 || hfi_options.freeze == OPTION_FREEZE_ABORT;
    uint32_t way = (flags & HF_FREEZE_OFF) != 0 ? FREEZE_NOT : aborts ? FREEZE_ABORT : FREEZE_TELL;
    hfi_store_relaxed(&hfi_freeze_way, way); /* relaxed: threads see it in their next calls, or soon */
}

HFI_EXPORT uint64_t hf_frozen_pages(void)
{
    return hfi_freeze_pages();
}

HFI_EXPORT int hf_pressure_register(hf_pressure_function *function, void *argument)
{
    return hfi_pressure_register(function, argument);
}

HFI_EXPORT int hf_pressure_unregister(hf_pressure_function *function, void *argument)
{
    return hfi_pressure_unregister(function, argument);
}

static bool is_known(const struct hf_pressure_options *options)
{
    size_t bytes = options->size_bytes;
    if (bytes < sizeof *options || bytes > HFI_PAGE_BYTES || options->handler == NULL)
        return false;
    for (size_t i = sizeof *options; i < bytes; i++) /* fields of a later version */
        if (((const char *)options)[i] != 0)
            return false;
    return (options->flags & ~HF_PRESSURE_NODE) == 0 && options->low_percent <= 100;
}

static int watch(const struct hf_pressure_options *options)
{
    struct arena_node *only = NULL;
    hfi_init_thread(); /* the arena stands, if it can */
    if (!hfi_arena_is_standing())
        return -ENOMEM;
    if ((options->flags & HF_PRESSURE_NODE) && (only = node_of_id(options->node)) == NULL)
        return -EINVAL;
    return hfi_pressure_watch(options, only);
}

HFI_EXPORT int hf_pressure_watch(const struct hf_pressure_options *options)
{
    static _Atomic(bool) xsaid;
    if (options != NULL && is_known(options)) {
        bool had_theap = hfi_theap->thread != 0;
        int error = watch(options);
        if (!had_theap)
            hfi_thread_served();
        return error;
    }
    if (hfi_first_time(&xsaid))
        hfi_say(SAY_WARNING, "HF-W040", "pressure",
                "hf_pressure_watch was given options of %zu bytes with flags %#x, without a handler, or with "
                "more than 100 %%: this version has %zu bytes and flags %#x; set size_bytes to their sizeof, "
                "fields of no use to 0, and load the library that the program was compiled for",
                options == NULL ? 0 : options->size_bytes, options == NULL ? 0 : options->flags,
                sizeof *options, HF_PRESSURE_NODE);
    return -EINVAL;
}

HFI_EXPORT int hf_pressure_unwatch(hf_pressure_handler *handler, void *context)
{
    return hfi_pressure_unwatch(handler, context);
}

HFI_EXPORT void hf_thread_idle(void)
{
    struct theap *theap = hfi_theap;
    if (theap->thread == 0)
        return;
    hfi_heap_park(&hfi_hold);
    hfi_theap_enter(theap);
    hfi_magazine_give_back(theap);
    hfi_theap_let_go_all(theap);
    hfi_theap_leave(theap);
}

static size_t closed_bytes(void)
{
    size_t sum = 0;
    for (unsigned i = 0; i < hfi_arena.node_count; i++)
        sum += hfi_prefault_closed_bytes(i);
    return sum;
}

/* After everything that is populated by now was opened, and shown. */
static bool all_is_open(void)
{
    size_t before = closed_bytes(), closed = before, last;
    do {
        last = closed;
        for (unsigned i = 0; i < hfi_arena.node_count; i++)
            hfi_arena_open_populated(&hfi_arena.nodes[i]);
        closed = closed_bytes();
    } while (closed != last);
    if (closed != before)
        hfi_inspect_nodes();
    return closed == 0;
}

/* A chunk that was populated by force is open while the kernel may yet gather its pages, which would
 * fault then. */
static bool kernel_is_at_work(void)
{
    for (unsigned i = 0; i < hfi_arena.node_count; i++)
        if (hfi_prefault_goes_on(i))
            return true;
    return false;
}

static int prefault_wait(int timeout_ms)
{
    uint64_t from = hfi_os_now_ns();
    int error = 0;
    if (hfi_init_thread() == NULL)
        return -ENOMEM;
    while (!all_is_open() || kernel_is_at_work()) {
        if (timeout_ms >= 0 && hfi_os_now_ns() - from >= (uint64_t)timeout_ms * 1000000)
            return -ETIMEDOUT;
        if (!hfi_arena_open_by_force())
            hfi_os_sleep_us(WAIT_SLEEP_US);
    }
    for (unsigned i = 0; i < hfi_arena.node_count && error == 0; i++)
        error = hfi_prefault_error(i);
    hfi_inspect_nodes();
    return error;
}

HFI_EXPORT int hf_prefault_wait(int timeout_ms)
{
    bool had_theap = hfi_theap->thread != 0;
    int error = prefault_wait(timeout_ms);
    if (!had_theap)
        hfi_thread_served();
    return error;
}

HFI_EXPORT int hf_uring_register(struct io_uring *ring)
{
    hf_prefault_wait(-1); /* its error shows as EFAULT */
    return hfi_buffers_register(ring);
}

HFI_EXPORT int hf_uring_register_clone(struct io_uring *ring, struct io_uring *from)
{
    hf_prefault_wait(-1);
    return hfi_buffers_clone(ring, from);
}

HFI_EXPORT int hf_uring_unregister(struct io_uring *ring)
{
    return hfi_buffers_unregister(ring);
}

HFI_EXPORT struct hf_frames *hf_frames_alloc(size_t count, size_t frame_bytes)
{
    if (!hfi_is_power_of_two(frame_bytes) || frame_bytes < HFI_FRAME_BYTES_MIN ||
        frame_bytes > HFI_FRAME_BYTES_MAX || count == 0) {
        errno = EINVAL;
        return NULL;
    }
    struct hf_frames *frames = hfi_malloc_default(HFI_MAX_ALIGN, sizeof *frames);
    if (frames == NULL)
        return NULL;
    *frames = (struct hf_frames){ .count = count, .frame_bytes = frame_bytes };
    int error = hfi_frames_claim(frames);
    if (error != 0 && count <= HFI_ARENA_MAX_BYTES / frame_bytes &&
        hfi_full_ask(&hfi_arena.nodes[0], hfi_divide_up(count * frame_bytes, HFI_PAGE_BYTES)))
        error = hfi_frames_claim(frames);
    if (error != 0) {
        hfi_free(frames);
        return hfi_fail_enomem();
    }
    hfi_inspect_nodes();
    hfi_full_settle();
    return frames;
}

HFI_EXPORT void hf_frames_free(struct hf_frames *frames)
{
    if (frames == NULL)
        return;
    hfi_frames_release(frames);
    hfi_free(frames);
}

HFI_EXPORT int hf_stats_get(struct hf_stats *stats, size_t size)
{
    return hfi_stats_get(stats, size, NULL);
}

HFI_EXPORT int hf_stats_get_node(struct hf_stats *stats, size_t size, unsigned index)
{
    return index < hfi_arena.node_count ? hfi_stats_get(stats, size, &hfi_arena.nodes[index]) : -ENOENT;
}

HFI_EXPORT int hf_stats_json(char *text, size_t size)
{
    return hfi_stats_json(text, size);
}

HFI_EXPORT void hf_stats_print(void)
{
    hfi_stats_report();
}
