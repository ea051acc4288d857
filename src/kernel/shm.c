/*
 * shm: see shm.h.
 *
 * SM1: what may be a cancellation point in the C library is asked of the kernel directly.  The
 *      caller may be in the middle of a malloc, whose thread must not end there.
 * SM2: no file is removed unless it is known whose it was: another namespace's processes cannot be
 *      seen from here.
 *
 * Tests: tests/programs/publish.c, tests/segment.sh.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* syscall */
#endif
#include "kernel/shm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel/files.h"
#include "base/descriptor.h"
#include "base/sys.h"

#define ENTRIES_BYTES 8192u
#define SWEEP_ROUNDS 256              /* 2 MiB of entries: some 50,000 files */
#define SWEEP_LOOKS 64                /* at processes that live: their numbers may have been used again */
#define CHUNK_BYTES ((size_t)1 << 18) /* a signal has no more than this done again */
#define RETRIES 100

/* --- the mapping --- */

uint64_t hfi_shm_size_limit(void)
{
    rlim_t limit = hfi_sys_limit(RLIMIT_FSIZE);
    return limit != RLIM_INFINITY ? limit : UINT64_MAX;
}

/* A store into what is not there would be a SIGBUS. */
static int fill(int fd, size_t bytes)
{
    for (size_t done = 0; done < bytes; done += CHUNK_BYTES) {
        int error, tries = 0;
        do
            error = (int)hfi_sys_call(SYS_fallocate, fd, 0, (long)done,
                                      (long)hfi_min(CHUNK_BYTES, bytes - done), 0, 0);
        while (error == -EINTR && ++tries < RETRIES);
        if (error != 0)
            return error;
    }
    return 0;
}

static int map(int fd, size_t bytes, void **memory)
{
    int error = -EFBIG;
    if (bytes <= hfi_shm_size_limit()) {
        /* another thread may lower the limit now */
        struct sys_hold hold = hfi_sys_hold(HFI_SIGNAL_BIT(SIGXFSZ));
        error = fill(fd, bytes);
        hfi_sys_let_go(&hold, error == -EFBIG ? HFI_SIGNAL_BIT(SIGXFSZ) : 0);
    }
    if (error != 0)
        return error;
    long mapped =
        hfi_sys_call(SYS_mmap, 0, (long)bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (mapped < 0)
        return (int)mapped;
    *memory = (void *)mapped;
    return 0;
}

/* Mode 0400: whoever opens it to write, or to cut it short, which would be a SIGBUS here, must mean
 * to.  A umask may have left less, and the user's own tool could not read it. */
int hfi_shm_create(const char *path, size_t bytes, void **memory)
{
    hfi_sys_unlink(path); /* of the program that this process was before exec */
    int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
    int fd = hfi_descriptor_create_at(AT_FDCWD, path, flags, S_IRUSR);
    if (fd < 0)
        return fd;
    hfi_sys_call(SYS_fchmod, fd, S_IRUSR, 0, 0, 0, 0);
    int error = map(fd, bytes, memory);
    hfi_descriptor_close(fd);
    if (error != 0)
        hfi_sys_unlink(path);
    return error;
}

void hfi_shm_unlink(const char *path)
{
    hfi_sys_unlink(path);
}

/* --- processes --- */

long hfi_shm_pid(void)
{
    return hfi_sys_process();
}

/* Where an exec puts code and stack, which differs by chance, and without that by program,
 * arguments and environment. */
static uint32_t program_of(uint64_t start_code, uint64_t end_code, uint64_t start_stack)
{
    uint64_t mixed = (start_code * 31 + end_code) * 31 + start_stack / 16;
    uint32_t program = (uint32_t)((mixed * UINT64_C(0x9e3779b97f4a7c15)) >> 32);
    return start_stack == 0 ? 0 : program | 1;
}

bool hfi_shm_read_process(const char *path, struct shm_process *process)
{
    char text[1024];
    uint64_t code[3] = { 0 };
    *process = (struct shm_process){ .start_ticks = 0 };
    if (hfi_os_read_file(path, text, sizeof text) <= 0)
        return false;
    const char *at = strrchr(text, ')'); /* the name in field 2 may hold anything */
    for (int field = 3; field <= 28 && at != NULL; field++) {
        at = strchr(at + 1, ' ');
        if (at != NULL && field == 3)
            process->state = at[1];
        else if (at != NULL && field == 20)
            process->threads = strtoul(at, NULL, 10);
        else if (at != NULL && field == 22)
            process->start_ticks = strtoull(at, NULL, 10);
        else if (at != NULL && field >= 26)
            code[field - 26] = strtoull(at, NULL, 10);
    }
    process->program = program_of(code[0], code[1], code[2]);
    return at != NULL;
}

/* A process that nobody waited for is over, unless only its first thread is.  kill tells a process
 * that /proc hides (hidepid=) from one that is gone. */
bool hfi_shm_process_lives(long pid, uint64_t start_ticks)
{
    char path[64];
    struct shm_process process;
    snprintf(path, sizeof path, "/proc/%ld/task/%ld/stat", pid, pid);
    if (hfi_shm_read_process(path, &process))
        return process.start_ticks == start_ticks && (process.state != 'Z' || process.threads > 1);
    int error = hfi_sys_look_for(pid);
    return error == 0 || error == -EPERM;
}

bool hfi_shm_proc_is_own(void)
{
    char self[32] = "";
    return hfi_sys_read_link("/proc/self", self, sizeof self - 1) > 0 &&
           strtol(self, NULL, 10) == hfi_shm_pid();
}

/* Another namespace's /proc has the process under another number, but tells its namespaces and its
 * start as its own would. */
uint64_t hfi_shm_namespace(void)
{
    struct stat of_processes, of_time = { .st_ino = 0 };
    bool known = hfi_sys_stat_at(AT_FDCWD, "/proc/self/ns/pid", &of_processes, 0) == 0;
    if (known && hfi_sys_stat_at(AT_FDCWD, "/proc/self/ns/time", &of_time, 0) != 0)
        of_time.st_ino = 0; /* a kernel before 5.6 */
    return known ? (uint64_t)of_time.st_ino << 32 | (of_processes.st_ino & UINT32_MAX) : 0;
}

/* --- names --- */

void hfi_shm_name(char name[HFI_SHM_NAME_BYTES], const char *prefix, long pid, uint64_t start_ticks,
                  uint64_t namespace)
{
    snprintf(name, HFI_SHM_NAME_BYTES, "%s%ld.%llu.%llx", prefix, pid, (unsigned long long)start_ticks,
             (unsigned long long)namespace);
}

bool hfi_shm_parse_name(const char *name, const char *prefix, long *pid, uint64_t *start_ticks,
                        uint64_t *namespace)
{
    char canonical[HFI_SHM_NAME_BYTES], *end;
    size_t length = strlen(prefix);
    if (strncmp(name, prefix, length) != 0)
        return false;
    *pid = strtol(name + length, &end, 10);
    if (*pid <= 0 || *pid > INT32_MAX || *end != '.')
        return false;
    *start_ticks = strtoull(end + 1, &end, 10);
    if (*end != '.')
        return false;
    *namespace = strtoull(end + 1, NULL, 16);
    hfi_shm_name(canonical, prefix, *pid, *start_ticks, *namespace);
    return strcmp(name, canonical) == 0; /* no sign, blank or zero in front, nothing behind */
}

/* --- leftovers --- */

struct sweep {
    const char *prefix;
    bool (*keep)(int directory, const char *name);
    uint64_t namespace;
    unsigned looks; /* left */
};

bool hfi_shm_may_sweep(unsigned owner)
{
    unsigned user = hfi_sys_user();
    return owner == user || user == 0;
}

static void sweep_name(int directory, const char *name, void *argument)
{
    struct sweep *sweep = argument;
    long pid;
    uint64_t start_ticks, namespace;
    struct stat file;
    if (!hfi_shm_parse_name(name, sweep->prefix, &pid, &start_ticks, &namespace) ||
        namespace != sweep->namespace)
        return;
    bool gone = hfi_sys_look_for(pid) == -ESRCH;
    if (!gone && sweep->looks != 0) {
        sweep->looks--;
        gone = !hfi_shm_process_lives(pid, start_ticks);
    }
    if (gone && hfi_sys_stat_at(directory, name, &file, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(file.st_mode) &&
        hfi_shm_may_sweep(file.st_uid) && !sweep->keep(directory, name))
        hfi_sys_unlink_at(directory, name);
}

/* As getdents64(2) writes it. */
struct entry {
    uint64_t inode;
    int64_t offset;
    unsigned short bytes;
    unsigned char type;
    char name[];
};

int hfi_shm_open_directory(const char *path)
{
    return hfi_descriptor_open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

void hfi_shm_each_name(int directory, void (*each)(int directory, const char *name, void *argument),
                       void *argument)
{
    /* not on a stack that may be a signal handler's: one thread at a time publishes */
    static _Alignas(struct entry) char entries[ENTRIES_BYTES];
    hfi_sys_call(SYS_lseek, directory, 0, SEEK_SET, 0, 0, 0);
    for (int round = 0; round < SWEEP_ROUNDS; round++) {
        long got = hfi_sys_call(SYS_getdents64, directory, (long)entries, sizeof entries, 0, 0, 0);
        for (long at = 0; at < got; at += ((struct entry *)(entries + at))->bytes)
            each(directory, ((const struct entry *)(entries + at))->name, argument);
        if (got <= 0)
            break;
    }
}

void hfi_shm_sweep(int directory, const char *prefix, bool (*keep)(int directory, const char *name))
{
    /* kill asks the own namespace, whatever /proc there is */
    struct sweep sweep = { prefix, keep, hfi_shm_namespace(), hfi_shm_proc_is_own() ? SWEEP_LOOKS : 0 };
    if (sweep.namespace != 0)
        hfi_shm_each_name(directory, sweep_name, &sweep);
}
