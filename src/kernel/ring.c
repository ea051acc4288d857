/*
 * ring: see ring.h.
 *
 * Opcodes that liburing 2.3 does not know are given by number, from Linux 6.18
 * include/uapi/linux/io_uring.h; older kernels refuse them with EINVAL.
 *
 * liburing makes its system calls itself, or by syscall(2) where it was built on the C library.
 * Then it calls close(2), a cancellation point, where a ring could not be opened: that is at start
 * only, where the thread cannot be cancelled (init.c).
 *
 * Tests: tests/programs/prefault.c, tests/programs/uring.c.
 */
#include "kernel/ring.h"

#include <errno.h>
#include <liburing.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sys.h"
#include "kernel/os.h"
#include "kernel/cpu.h"

#define POPULATE_WRITE 23                       /* <asm-generic/mman-common.h> MADV_POPULATE_WRITE */
#define COLLAPSE 25                             /* the same, MADV_COLLAPSE */
#define REGISTER_CLONE_BUFFERS 30u              /* IORING_REGISTER_CLONE_BUFFERS */
#define REGISTER_USE_REGISTERED_RING (1u << 31) /* IORING_REGISTER_USE_REGISTERED_RING */
#define SOURCE_IS_REGISTERED 1u                 /* IORING_REGISTER_SRC_REGISTERED */
#define OPCODE_WRITEV_FIXED 61                  /* IORING_OP_WRITEV_FIXED, one after READV_FIXED */
#define URING_REGISTERED_ONLY 2u                /* liburing 2.4 src/int_flags.h INT_FLAG_REG_REG_RING */
#define SQ_THREAD_IDLE_MS 1u
#define UNBOUNDED_WORKERS 1u /* none of our requests needs them */

_Static_assert(sizeof(struct io_uring) <= sizeof((struct ring *)0)->opaque, "a ring of our own fits");

static struct io_uring *uring_of(struct ring *ring)
{
    return (struct io_uring *)ring->opaque;
}

/* In a page that a child finds wiped (MADV_WIPEONFORK, Linux 4.14); NULL until there is a ring. */
static uint32_t *whole;

bool hfi_ring_is_lost(void)
{
    return whole != NULL && *whole == 0;
}

void hfi_ring_found(void)
{
    if (whole != NULL)
        *whole = 1;
}

static void watch_for_forks(void)
{
    if (whole == NULL)
        whole = hfi_os_map_wiped(sizeof *whole);
    hfi_ring_found();
}

static unsigned first_cpu(const uint64_t cpus[HFI_CPU_WORDS])
{
    for (unsigned i = 0; i < HFI_CPU_WORDS; i++)
        if (cpus[i] != 0)
            return i * 64 + (unsigned)__builtin_ctzll(cpus[i]);
    return 0;
}

static void each_mapping(const struct io_uring *uring, void (*visit)(void *start, size_t bytes))
{
    visit(uring->sq.sqes, uring->sq.ring_entries * sizeof(struct io_uring_sqe));
    visit(uring->sq.ring_ptr, uring->sq.ring_sz);
    if (uring->cq.ring_ptr != uring->sq.ring_ptr)
        visit(uring->cq.ring_ptr, uring->cq.ring_sz);
}

static void keep_from_child(void *start, size_t bytes)
{
    hfi_os_dontfork(start, hfi_align_up(bytes, 4096));
}

int hfi_ring_open(struct ring *ring, unsigned entries, unsigned workers, const uint64_t cpus[HFI_CPU_WORDS])
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SQPOLL | IORING_SETUP_SQ_AFF | IORING_SETUP_CLAMP,
        .sq_thread_cpu = first_cpu(cpus),
        .sq_thread_idle = SQ_THREAD_IDLE_MS,
    };
    struct io_uring *uring = uring_of(ring);
    int saved_errno = errno;
    int error = io_uring_queue_init_params(entries, uring, &params);
    if (error == 0) {
        unsigned most[2] = { workers, UNBOUNDED_WORKERS };
        /* Refused by kernels before 5.15 and 5.14: then the kernel decides how many, and where. */
        io_uring_register_iowq_max_workers(uring, most);
        io_uring_register_iowq_aff(uring, HFI_CPU_WORDS * sizeof cpus[0], (const cpu_set_t *)cpus);
        each_mapping(uring, keep_from_child);
        ring->open = ring->holds_descriptor = true;
        watch_for_forks();
    }
    errno = saved_errno;
    return error;
}

static struct io_uring_sqe *request_advice(struct ring *ring, void *start, size_t bytes, uint64_t tag,
                                           uint32_t advice)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(uring_of(ring));
    if (entry == NULL)
        return NULL;
    io_uring_prep_rw(IORING_OP_MADVISE, entry, -1, start, (unsigned)bytes, 0);
    entry->fadvise_advice = advice;
    entry->user_data = tag;
    return entry;
}

bool hfi_ring_populate(struct ring *ring, void *start, size_t bytes, uint64_t tag)
{
    return request_advice(ring, start, bytes, tag, POPULATE_WRITE) != NULL;
}

bool hfi_ring_populate_huge(struct ring *ring, void *start, size_t bytes, uint64_t tag, uint64_t collapse_tag)
{
    struct io_uring_sqe *first = request_advice(ring, start, bytes, tag, POPULATE_WRITE);
    if (first == NULL || request_advice(ring, start, bytes, collapse_tag, COLLAPSE) == NULL)
        return false;
    first->flags |= IOSQE_IO_LINK;
    return true;
}

int hfi_ring_submit(struct ring *ring)
{
    int saved_errno = errno;
    int submitted = io_uring_submit(uring_of(ring));
    errno = saved_errno;
    return submitted < 0 ? submitted : 0;
}

void hfi_ring_let_go_of_descriptor(struct ring *ring)
{
    if (!ring->holds_descriptor)
        return;
    hfi_sys_call(SYS_close, uring_of(ring)->ring_fd, 0, 0, 0, 0, 0); /* which liburing opened */
    ring->holds_descriptor = false;
}

bool hfi_ring_completion(struct ring *ring, uint64_t *tag, int *result)
{
    if (!ring->open) /* nor is it mapped */
        return false;
    struct io_uring *uring = uring_of(ring);
    unsigned head = *uring->cq.khead;
    /* acquire: pairs with the kernel's release of the tail; what the request did is then visible */
    if (head == io_uring_smp_load_acquire(uring->cq.ktail))
        return false;
    const struct io_uring_cqe *completion = &uring->cq.cqes[head & *uring->cq.kring_mask];
    *tag = completion->user_data;
    *result = completion->res;
    io_uring_smp_store_release(uring->cq.khead, head + 1);
    return true;
}

void hfi_ring_close(struct ring *ring)
{
    if (!ring->open)
        return;
    hfi_ring_let_go_of_descriptor(ring);
    each_mapping(uring_of(ring), hfi_os_unreserve);
    ring->open = false;
}

void hfi_ring_forget(struct ring *ring)
{
    ring->open = false;
    hfi_ring_let_go_of_descriptor(ring);
}

/* --- rings of the application --- */

int hfi_ring_register_buffers(struct io_uring *uring, const struct iovec *buffers, unsigned count)
{
    int saved_errno = errno;
    int error = io_uring_register_buffers(uring, buffers, count);
    errno = saved_errno;
    return error;
}

int hfi_ring_unregister_buffers(struct io_uring *uring)
{
    int saved_errno = errno;
    int error = io_uring_unregister_buffers(uring);
    errno = saved_errno;
    return error;
}

static bool is_registered_only(const struct io_uring *uring)
{
    return (uring->int_flags & URING_REGISTERED_ONLY) != 0;
}

/* io_uring_register(2) on a ring whose descriptor liburing may have replaced by a registered
 * index. */
static int register_raw(const struct io_uring *uring, unsigned opcode, void *argument, unsigned count)
{
    int saved_errno = errno;
    bool registered = is_registered_only(uring);
    long result = syscall(SYS_io_uring_register, registered ? uring->enter_ring_fd : uring->ring_fd,
                          opcode | (registered ? REGISTER_USE_REGISTERED_RING : 0), argument, count);
    int error = result < 0 ? -errno : 0;
    errno = saved_errno;
    return error;
}

int hfi_ring_clone_buffers(struct io_uring *to, struct io_uring *from)
{
    struct { /* struct io_uring_clone_buffers */
        uint32_t src_fd, flags, src_off, dst_off, nr, pad[3];
    } clone = {
        .src_fd = (uint32_t)(is_registered_only(from) ? from->enter_ring_fd : from->ring_fd),
        .flags = is_registered_only(from) ? SOURCE_IS_REGISTERED : 0,
    };
    return register_raw(to, REGISTER_CLONE_BUFFERS, &clone, 1);
}

bool hfi_ring_has_vectored(struct io_uring *uring)
{
    struct {
        struct io_uring_probe head;
        struct io_uring_probe_op ops[256];
    } probe;
    memset(&probe, 0, sizeof probe);
    return register_raw(uring, IORING_REGISTER_PROBE, &probe, 256) == 0 &&
           probe.head.last_op >= OPCODE_WRITEV_FIXED &&
           (probe.ops[OPCODE_WRITEV_FIXED].flags & IO_URING_OP_SUPPORTED) != 0;
}
