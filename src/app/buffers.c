/*
 * buffers: see buffers.h and <holdfast/uring.h>.
 *
 * U1: buffer i is window i: the bytes of the arena from HFI_WINDOWS_OFFSET + i * 1 GiB on that
 *     belong to a node.  A window may belong to none, where a node got less than it was given room
 *     for: then its buffer is empty.
 * U2: hf_uring_arena.bytes is not 0 only while a ring of this process is registered, as far as is
 *     known; start does not change.
 *
 * Nothing is kept about rings but their number: one may be destroyed without a word, and is then
 * counted for ever.  Readers of hf_uring_arena take `bytes` as it is; who calls a helper for a ring
 * has seen that ring's registration succeed, which orders the two.
 *
 * A forked child loses U2: buffers of a ring it inherited are the parent's memory, which a fixed
 * operation prepared in the child would read or write.
 *
 * Fails by -errno after one warning.  Tests: tests/programs/uring.c, tests/unit/plan.c.
 */
#include "app/buffers.h"

#define HF_URING_NO_HELPERS
#include <errno.h>
#include <holdfast/uring.h>

#include "arena/arena.h"
#include "heap/harden.h"
#include "app/events.h"
#include "kernel/machine.h"
#include "kernel/ring.h"
#include "numa/plan.h"
#include "base/say.h"

#define WINDOWS_MAX (HFI_ARENA_MAX_BYTES >> HFI_WINDOW_SHIFT)

HFI_EXPORT struct hf_uring_arena hf_uring_arena;

static _Atomic(bool) xsaid_fork, xsaid_refused;

static struct iovec
    windows[WINDOWS_MAX]; /* const after hfi_buffers_init: too large for some thread's stack */
static unsigned window_count;
static _Atomic(unsigned) xrings; /* atomic: registered, not unregistered since */

unsigned hfi_buffers_list(const struct reservation *reservation, struct iovec *list)
{
    unsigned count = 0;
    for (unsigned i = 0; i < reservation->node_count; i++) {
        const struct reserved_node *node = &reservation->nodes[i];
        unsigned first =
            (unsigned)((size_t)(node->start - reservation->base - HFI_WINDOWS_OFFSET) >> HFI_WINDOW_SHIFT);
        while (count < first)
            list[count++] = (struct iovec){ NULL, 0 };
        for (size_t at = 0; at < node->bytes; at += HFI_WINDOW_BYTES)
            list[count++] = (struct iovec){ node->start + at, hfi_min(HFI_WINDOW_BYTES, node->bytes - at) };
    }
    return count;
}

void hfi_buffers_init(void)
{
    if (!hfi_arena.reservation.growing) /* or it cannot be registered */
        window_count = hfi_buffers_list(&hfi_arena.reservation, windows);
}

static size_t arena_bytes(void)
{
    return hfi_arena.page_count * HFI_PAGE_BYTES;
}

/* The child of a fork gets a copy of pinned memory at once, not page by page as it writes. */
static void say_fork(void)
{
    char bytes[16];
    size_t pool_bytes = 0;
    for (unsigned i = 0; i < hfi_arena.node_count; i++)
        if (hfi_arena.reservation.nodes[i].os_page_bytes > HFI_PAGE_BYTES)
            pool_bytes += hfi_arena.reservation.nodes[i].bytes;
    if (pool_bytes == 0 || hfi_options.fork == FORK_DONTFORK || !hfi_first_time(&xsaid_fork))
        return;
    hfi_say(
        SAY_WARNING, "HF-W232", "uring",
        "from now on each fork of this process copies %s of huge pages at once, and fails where the pool has "
        "not as many free; start programs by posix_spawn or vfork, fork before registering, or leave as many "
        "free",
        hfi_format_bytes(bytes, sizeof bytes, pool_bytes));
}

static int say_refused(int error, unsigned count)
{
    char bytes[16], limit[16] = "unlimited";
    bool caller_s = error != -ENOMEM && error != -EFAULT && error != -EINVAL; /* EBUSY, EEXIST, EBADF */
    if (caller_s || !hfi_first_time(&xsaid_refused))
        return error;
    if (hfi_os_lock_limit() != UINT64_MAX)
        hfi_format_bytes(limit, sizeof limit, hfi_os_lock_limit());
    hfi_format_bytes(bytes, sizeof bytes, arena_bytes());
    switch (error) {
    case -ENOMEM:
        hfi_say(SAY_WARNING, "HF-W231", "uring",
                "registering %s with io_uring was refused (ENOMEM, memlock limit %s): the operations of that "
                "ring must stay plain; "
                "run `ulimit -l unlimited`, set LimitMEMLOCK=infinity, or grant CAP_IPC_LOCK",
                bytes, limit);
        break;
    case -EFAULT:
        hfi_say(SAY_WARNING, "HF-W233", "uring",
                "registering %s with io_uring failed (EFAULT): part of the arena could not be populated "
                "(HF-E226), "
                "operations stay plain; start with HOLDFAST_PREFAULT=startup",
                bytes);
        break;
    case -EINVAL:
        hfi_say(SAY_WARNING, "HF-W234", "uring",
                "registering %u windows with io_uring was refused (EINVAL): this kernel takes fewer, or the "
                "ring is no "
                "ring; lower HOLDFAST_ARENA, or use Linux 5.13 or later",
                count);
        break;
    }
    return error;
}

/* Valid indices while there is a ring.  Each thread looks at the number again after it has stored
 * what follows from it: whoever stores last has stored what is so. */
static void show_rings(void)
{
    bool any;
    do {
        any = hfi_load_seq_cst(&xrings) != 0;
        hfi_plain_store_seq_cst(&hf_uring_arena.bytes, any ? hfi_span - HFI_WINDOWS_OFFSET : 0);
        hfi_inspect_rings(any);
    } while ((hfi_load_seq_cst(&xrings) != 0) != any);
}

/* A ring that has its buffers: from now on there are valid indices. */
static void opened(struct io_uring *uring)
{
    hf_uring_arena.start = (uintptr_t)hfi_base + HFI_WINDOWS_OFFSET;
    hfi_plain_store_relaxed(&hf_uring_arena.vectored, hfi_ring_has_vectored(uring));
    hfi_fetch_add_acq_rel(&xrings, 1);
    show_rings();
    say_fork();
}

/* A child may unregister a ring that its parent registered: it has none. */
static void closed(void)
{
    unsigned rings = hfi_load_relaxed(&xrings);
    while (rings != 0 && !hfi_cas_weak_acq_rel(&xrings, &rings, rings - 1))
        ;
    show_rings();
}

/* The guards between runs of the secure build are inaccessible there. */
static bool has_inaccessible_guards(void)
{
    bool any = false;
    for (unsigned i = 0; i < hfi_arena.node_count; i++)
        any |= hfi_guards_may_fault(i);
    return any;
}

static bool may_register(void)
{
    if (hfi_span != 0 && !hfi_arena.reservation.growing && !has_inaccessible_guards())
        return true;
    if (hfi_span != 0 && !hfi_arena.reservation.growing)
        hfi_say(SAY_WARNING, "HF-W236", "uring",
                "the secure build guards the runs of an arena on 4k pages by inaccessible memory, which "
                "cannot be "
                "registered with io_uring: operations stay plain; set HOLDFAST_BACKING=thp or 2m");
    else if (hfi_span == 0)
        hfi_say(SAY_WARNING, "HF-W235", "uring",
                "this child of a fork has no arena to register with io_uring: operations stay plain; "
                "register before, or do without HOLDFAST_FORK=dontfork");
    else
        hfi_say(SAY_WARNING, "HF-W235", "uring",
                "an arena without a named size cannot be registered with io_uring: operations stay plain; "
                "name a size in HOLDFAST_ARENA");
    return false;
}

int hfi_buffers_register(struct io_uring *uring)
{
    if (!may_register())
        return -ENOTSUP;
    int error = hfi_ring_register_buffers(uring, windows, window_count);
    hfi_inspect_registered(error, false);
    if (error != 0)
        return say_refused(error, window_count);
    opened(uring);
    return 0;
}

int hfi_buffers_clone(struct io_uring *uring, struct io_uring *from)
{
    if (!may_register())
        return -ENOTSUP;
    int error = hfi_ring_clone_buffers(uring, from);
    if (error == -EBUSY || error == -EEXIST)
        return error;
    if (error != 0)
        return hfi_buffers_register(uring); /* a kernel without, or nothing registered with `from` */
    hfi_inspect_registered(0, true);
    opened(uring);
    return 0;
}

int hfi_buffers_unregister(struct io_uring *uring)
{
    int error = hfi_ring_unregister_buffers(uring);
    if (error == 0)
        closed();
    return error;
}

void hfi_buffers_forked(void)
{
    hf_uring_arena.bytes = 0;
    hfi_store_relaxed(&xrings, 0);
}
