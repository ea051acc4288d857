/*
 * os: see os.h.
 *
 * The kernel's numbers that glibc's headers may lack are given here, so that
 * one binary runs on older and newer systems and learns from errno.
 *
 * Calls for memory go by their numbers (hfi_sys_call).  A preloaded library may have taken their
 * names, and allocate there: boot.c makes such calls for the first blocks of all.
 *
 * Tests: tests/unit/os.c, tests/programs/traced.c.
 */
#include "kernel/os.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/sys.h"
#include "kernel/files.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT 26
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif
#define MPOL_BIND_MODE 2 /* <linux/mempolicy.h> MPOL_BIND */
#define NODE_MASK_BITS 1024
#define POPULATE_CHUNK_BYTES ((size_t)256 * HFI_MIB)
#define MEMINFO_BYTES 1024
#define PHYSICAL_BYTES_UNKNOWN ((uint64_t)64 << 30)
#define RETRIES 100 /* of calls that ask to be made again */

/* The address, or -errno. */
static long map_anonymous(void *start, size_t bytes, int protection, int flags)
{
    return hfi_sys_call(SYS_mmap, (long)start, (long)bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags,
                        -1, 0);
}

static void unmap(void *start, size_t bytes)
{
    hfi_sys_call(SYS_munmap, (long)start, (long)bytes, 0, 0, 0, 0);
}

void *hfi_os_reserve(size_t bytes, size_t align)
{
    size_t with_slack;
    if (__builtin_add_overflow(bytes, align, &with_slack))
        return NULL;
    long mapped = map_anonymous(NULL, with_slack, PROT_NONE, MAP_NORESERVE);
    if (mapped < 0)
        return NULL;
    char *start = (char *)mapped;
    char *aligned = (char *)hfi_align_up((uintptr_t)start, align);
    if (aligned != start)
        unmap(start, (size_t)(aligned - start));
    unmap(aligned + bytes, (size_t)(start + align - aligned));
    return aligned;
}

void hfi_os_unreserve(void *start, size_t bytes)
{
    unmap(start, bytes);
}

int hfi_os_reserve_at(void *start, size_t bytes)
{
    long mapped = map_anonymous(start, bytes, PROT_NONE, MAP_NORESERVE | MAP_FIXED_NOREPLACE);
    if (mapped < 0 || mapped == (long)start)
        return mapped < 0 ? (int)mapped : 0;
    unmap((void *)mapped, bytes); /* a kernel before 4.17 takes the address for a hint */
    return -EEXIST;
}

static int map_fixed(void *start, size_t bytes, int protection, int flags)
{
    if (!(flags & MAP_HUGETLB))
        flags |= MAP_NORESERVE;
    long mapped = map_anonymous(start, bytes, protection, MAP_FIXED | flags);
    return mapped < 0 ? (int)mapped : 0;
}

int hfi_os_map(void *start, size_t bytes, size_t os_page_bytes)
{
    int huge = os_page_bytes == 4096
                 ? 0
                 : MAP_HUGETLB | (int)((unsigned)__builtin_ctzll(os_page_bytes) << MAP_HUGE_SHIFT);
    return map_fixed(start, bytes, PROT_READ | PROT_WRITE, huge);
}

int hfi_os_map_readable(void *start, size_t bytes)
{
    return map_fixed(start, bytes, PROT_READ, 0);
}

int hfi_os_unmap(void *start, size_t bytes)
{
    return map_fixed(start, bytes, PROT_NONE, 0);
}

int hfi_os_protect(void *start, size_t bytes, bool accessible)
{
    int protection = accessible ? PROT_READ | PROT_WRITE : PROT_NONE;
    return (int)hfi_sys_call(SYS_mprotect, (long)start, (long)bytes, protection, 0, 0, 0);
}

static int advise_once(void *start, size_t bytes, int advice)
{
    return (int)hfi_sys_call(SYS_madvise, (long)start, (long)bytes, advice, 0, 0, 0);
}

static int advise(void *start, size_t bytes, int advice)
{
    int error;
    int tries = 0;
    do
        error = advise_once(start, bytes, advice);
    while ((error == -EINTR || error == -EAGAIN) && ++tries < RETRIES);
    return error;
}

/* For kernels without MADV_POPULATE_WRITE, and filters that refuse madvise: lets the kernel write
 * the zeros that are there already.  Where a page cannot be had, it says EFAULT instead of sending
 * SIGBUS. */
static int populate_by_reading(char *start, size_t bytes)
{
    int zeros = hfi_descriptor_open("/dev/zero", O_RDONLY | O_CLOEXEC);
    if (zeros < 0)
        return zeros;
    int error = 0;
    for (size_t done = 0; done < bytes && error == 0;) {
        ssize_t wrote = hfi_sys_read_again(zeros, start + done, hfi_min(bytes - done, 64 * HFI_MIB));
        if (wrote > 0)
            done += (size_t)wrote;
        else
            error = wrote == 0 ? -EFAULT : (int)wrote;
    }
    hfi_descriptor_close(zeros);
    return error;
}

/* In chunks, so that the kernel gets to its signals and a refusal costs little. */
int hfi_os_populate(void *start, size_t bytes)
{
    for (size_t done = 0; done < bytes; done += POPULATE_CHUNK_BYTES) {
        char *chunk = (char *)start + done;
        size_t chunk_bytes = hfi_min(POPULATE_CHUNK_BYTES, bytes - done);
        int error = advise(chunk, chunk_bytes, MADV_POPULATE_WRITE);
        if (error == -EINVAL || hfi_os_is_refusal(error)) {
            int of_reading = populate_by_reading(chunk, chunk_bytes);
            bool refused = hfi_os_is_refusal(error) && of_reading != -ENOMEM && of_reading != -EFAULT;
            error = of_reading != 0 && refused ? error : of_reading;
        }
        if (error != 0)
            return error;
    }
    return 0;
}

int hfi_os_advise_huge(void *start, size_t bytes, bool huge)
{
    return advise(start, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

int hfi_os_collapse(void *start, size_t bytes)
{
    return advise_once(start, bytes, MADV_COLLAPSE);
}

void *hfi_os_map_wiped(size_t bytes)
{
    long mapped = map_anonymous(NULL, bytes, PROT_READ | PROT_WRITE, 0);
    if (mapped < 0)
        return NULL;
    void *memory = (void *)mapped;
    if (advise(memory, bytes, MADV_WIPEONFORK) == 0)
        return memory;
    unmap(memory, bytes);
    return NULL;
}

int hfi_os_dump(void *start, size_t bytes, bool dumped)
{
    return advise(start, bytes, dumped ? MADV_DODUMP : MADV_DONTDUMP);
}

int hfi_os_dontfork(void *start, size_t bytes)
{
    return advise(start, bytes, MADV_DONTFORK);
}

int hfi_os_lock(void *start, size_t bytes)
{
    return (int)hfi_sys_call(SYS_mlock, (long)start, (long)bytes, 0, 0, 0, 0);
}

int hfi_os_lock_on_fault(void *start, size_t bytes)
{
    int saved_errno = errno;
    return hfi_sys_outcome(syscall(SYS_mlock2, start, bytes, MLOCK_ONFAULT), saved_errno);
}

int hfi_os_bind(void *start, size_t bytes, unsigned node)
{
    unsigned long mask[NODE_MASK_BITS / (8 * sizeof(unsigned long))] = { 0 };
    int saved_errno = errno;
    if (node >= NODE_MASK_BITS)
        return -EINVAL;
    mask[node / (8 * sizeof mask[0])] = 1ul << (node % (8 * sizeof mask[0]));
    return hfi_sys_outcome(
        syscall(SYS_mbind, start, bytes, MPOL_BIND_MODE, mask, (unsigned long)NODE_MASK_BITS, 0ul),
        saved_errno);
}

void hfi_os_name(void *start, size_t bytes, const char *name)
{
    hfi_sys_call(SYS_prctl, PR_SET_VMA, PR_SET_VMA_ANON_NAME, (long)start, (long)bytes, (long)name, 0);
}

bool hfi_os_is_refusal(int error)
{
    return error == -EPERM || error == -EACCES || error == -ENOSYS;
}

const char *hfi_os_error_name(int error)
{
    switch (error < 0 ? 0u - (unsigned)error : (unsigned)error) {
    case EACCES: return "EACCES";
    case EAGAIN: return "EAGAIN";
    case EBUSY: return "EBUSY";
    case EEXIST: return "EEXIST";
    case EDQUOT: return "EDQUOT";
    case EFAULT: return "EFAULT";
    case EFBIG: return "EFBIG";
    case EHWPOISON: return "EHWPOISON";
    case EINTR: return "EINTR";
    case EINVAL: return "EINVAL";
    case EMFILE: return "EMFILE";
    case ENFILE: return "ENFILE";
    case ENOTDIR: return "ENOTDIR";
    case EIO: return "EIO";
    case ENODEV: return "ENODEV";
    case ENOENT: return "ENOENT";
    case ENOMEM: return "ENOMEM";
    case ENOSPC: return "ENOSPC";
    case ENOSYS: return "ENOSYS";
    case EOPNOTSUPP: return "EOPNOTSUPP";
    case EPERM: return "EPERM";
    case EROFS: return "EROFS";
    default: return "error";
    }
}

/* What sysinfo tells of, where a filter refuses that; 0 where it is not told. */
static HFI_NOINLINE uint64_t meminfo_bytes(const char *name)
{
    char text[MEMINFO_BYTES];
    return hfi_os_read_once("/proc/meminfo", text, sizeof text) > 0 ? hfi_os_number_after(text, name) * 1024
                                                                    : 0;
}

/* An arena that grows needs some answer: it only reserves addresses by it. */
uint64_t hfi_os_physical_bytes(void)
{
    struct sysinfo info;
    if (hfi_sys_call(SYS_sysinfo, (long)&info, 0, 0, 0, 0, 0) == 0)
        return (uint64_t)info.totalram * info.mem_unit;
    uint64_t bytes = meminfo_bytes("MemTotal:");
    return bytes != 0 ? bytes : PHYSICAL_BYTES_UNKNOWN;
}

bool hfi_os_has_swap(void)
{
    struct sysinfo info;
    return hfi_sys_call(SYS_sysinfo, (long)&info, 0, 0, 0, 0, 0) != 0 || info.totalswap != 0;
}
