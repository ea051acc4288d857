/*
 * buffers: see buffers.h and <holdfast/uring.h>.
 *
 * U1: buffer i is window i: the bytes of the arena from HFI_WINDOWS_OFFSET + i * 1 GiB on that belong to a node.
 * U2: hf_uring_arena.bytes is not 0 only after a ring of this process was registered; start does not change.
 *
 * Nothing is kept about rings: one may be destroyed without a word.  Readers of hf_uring_arena take `bytes` as it is; who
 * calls a helper for a ring has seen that ring's registration succeed, which orders the two.
 *
 * A forked child loses U2: buffers of a ring it inherited are the parent's memory, which a fixed operation prepared in the
 * child would read or write.
 *
 * Fails by -errno after one warning.  Test: tests/programs/uring.c.
 */
#include "buffers.h"

#define HF_URING_NO_HELPERS
#include <errno.h>
#include <holdfast/uring.h>
#include <sys/uio.h>

#include "arena.h"
#include "inspect.h"
#include "os.h"
#include "prefault.h"
#include "say.h"

#define WINDOWS_MAX (HFI_ARENA_MAX_BYTES >> HFI_WINDOW_SHIFT)

HFI_EXPORT struct hf_uring_arena hf_uring_arena;

static _Atomic(bool) xsaid_fork, xsaid_refused;

static unsigned list_windows(struct iovec *windows)
{
    unsigned count = 0;
    for (unsigned i = 0; i < hfi_arena.node_count; i++) {
        const struct reserved_node *node = &hfi_arena.reservation.nodes[i];
        for (size_t window = 0; window < hfi_plan_windows(node); window++) {
            size_t at = window << HFI_WINDOW_SHIFT;
            windows[count++] = (struct iovec){ node->start + at, hfi_min(HFI_WINDOW_BYTES, node->bytes - at) };
        }
    }
    return count;
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
    if (pool_bytes == 0 || hfi_options.fork == FORK_DONTFORK || atomic_exchange(&xsaid_fork, true))
        return;
    hfi_say(SAY_WARNING, "HF-W232", "uring", "from now on each fork of this process copies %s of huge pages at once, and fails where the pool has "
            "not as many free; use posix_spawn or vfork, or set HOLDFAST_FORK=dontfork", hfi_format_bytes(bytes, sizeof bytes, pool_bytes));
}

static int say_refused(int error, unsigned count)
{
    char bytes[16], limit[16] = "unlimited";
    bool caller_s = error != -ENOMEM && error != -EFAULT && error != -EINVAL; /* EBUSY, EEXIST, EBADF */
    if (caller_s || atomic_exchange(&xsaid_refused, true))
        return error;
    if (hfi_os_lock_limit() != UINT64_MAX)
        hfi_format_bytes(limit, sizeof limit, hfi_os_lock_limit());
    hfi_format_bytes(bytes, sizeof bytes, arena_bytes());
    switch (error) {
    case -ENOMEM:
        hfi_say(SAY_WARNING, "HF-W231", "uring", "registering %s with io_uring was refused (ENOMEM, memlock limit %s): operations stay plain; "
                "run `ulimit -l unlimited`, set LimitMEMLOCK=infinity, or grant CAP_IPC_LOCK", bytes, limit);
        break;
    case -EFAULT:
        hfi_say(SAY_WARNING, "HF-W233", "uring", "registering %s with io_uring failed (EFAULT): part of the arena could not be populated (HF-E226), "
                "operations stay plain; start with HOLDFAST_PREFAULT=startup", bytes);
        break;
    case -EINVAL:
        hfi_say(SAY_WARNING, "HF-W234", "uring", "registering %u windows with io_uring was refused (EINVAL): this kernel takes fewer, or the ring is no "
                "ring; lower HOLDFAST_ARENA, or use Linux 5.13 or later", count);
        break;
    }
    return error;
}

/* A ring that has its buffers: from now on there are valid indices. */
static void opened(struct io_uring *uring)
{
    hf_uring_arena.start = (uintptr_t)hfi_base + HFI_WINDOWS_OFFSET;
    __atomic_store_n(&hf_uring_arena.vectored, hfi_ring_has_vectored(uring), __ATOMIC_RELAXED);
    __atomic_store_n(&hf_uring_arena.bytes, hfi_span - HFI_WINDOWS_OFFSET, __ATOMIC_RELEASE); /* all rings: the same values */
    say_fork();
}

static bool may_register(void)
{
    if (hfi_span != 0 && !hfi_arena.reservation.growing)
        return true;
    if (hfi_span == 0)
        hfi_say(SAY_WARNING, "HF-W235", "uring", "this child of a fork has no arena to register with io_uring: operations stay plain; "
                "register before, or do without HOLDFAST_FORK=dontfork");
    else
        hfi_say(SAY_WARNING, "HF-W235", "uring", "an arena without a named size cannot be registered with io_uring: operations stay plain; "
                "name a size in HOLDFAST_ARENA");
    return false;
}

int hfi_buffers_register(struct io_uring *uring)
{
    if (!may_register())
        return -ENOTSUP;
    struct iovec windows[WINDOWS_MAX];
    unsigned count = list_windows(windows);
    int error = hfi_ring_register_buffers(uring, windows, count);
    hfi_inspect_registered(error, false);
    if (error != 0)
        return say_refused(error, count);
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
        hfi_inspect_unregistered();
    return error;
}

void hfi_buffers_forked(void)
{
    hf_uring_arena.bytes = 0;
}
