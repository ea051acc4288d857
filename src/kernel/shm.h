/*
 * shm: the named shared mapping that inspect publishes, and the processes that such mappings are
 * of.
 *
 * As os.h: values or negative errno, errno untouched.  Nothing here is a cancellation point or
 * allocates.
 */
#ifndef HFI_SHM_H
#define HFI_SHM_H

#include "base/base.h"

/* Creates `path` (mode 0400, replacing a leftover), maps `bytes` of it shared, zeroed and
 * populated, and keeps no descriptor.  0 or -errno; -EFBIG, and no SIGXFSZ, where RLIMIT_FSIZE is
 * less. */
int hfi_shm_create(const char *path, size_t bytes, void **memory);

void hfi_shm_unlink(const char *path);

/* What limits the size of the files that this process may make; UINT64_MAX when nothing does. */
uint64_t hfi_shm_size_limit(void);

/* A process, by its file /proc/PID/stat. */
struct shm_process {
    uint64_t start_ticks;  /* field 22 */
    unsigned long threads; /* field 20 */
    uint32_t program;      /* from fields 26 to 28: another one after each exec; 0 where the kernel
                              does not tell the reader */
    char state;            /* field 3 */
};

/* Reads such a file.  False when there is none, or /proc hides it. */
bool hfi_shm_read_process(const char *path, struct shm_process *process);

/* False once the process that had this number and began then has ended, waited for or not. */
bool hfi_shm_process_lives(long pid, uint64_t start_ticks);

/* The namespaces of processes (low half) and of time in which this process's number and start time
 * mean something.  0 where no /proc shows this process. */
uint64_t hfi_shm_namespace(void);

/* Whether /proc has a process under the number that it has here: it may be another namespace's. */
bool hfi_shm_proc_is_own(void);

/* "PREFIX<pid>.<start>.<namespace>", the last in hexadecimal: the name of a process's file. */
#define HFI_SHM_NAME_BYTES 64
void hfi_shm_name(char name[HFI_SHM_NAME_BYTES], const char *prefix, long pid, uint64_t start_ticks,
                  uint64_t namespace);
bool hfi_shm_parse_name(const char *name, const char *prefix, long *pid, uint64_t *start_ticks,
                        uint64_t *namespace);

/* Whether leftovers of a user are this process's to remove: its own, and to root everybody's.  A
 * program that root starts and that gives up its privileges may leave some of either. */
bool hfi_shm_may_sweep(unsigned owner);

/* Calls `each` for the names in a directory that is open, from the first on; some hundreds at most. */
void hfi_shm_each_name(int directory, void (*each)(int directory, const char *name, void *argument),
                       void *argument);

/* Removes such files in `directory` whose process was of this namespace and has ended, except for
 * those that `keep` has given another name.  Looks at some hundreds of names at most. */
void hfi_shm_sweep(int directory, const char *prefix, bool (*keep)(int directory, const char *name));

/* Opens a directory; a descriptor, or -errno. */
int hfi_shm_open_directory(const char *path);

/* This process's number, asked of the kernel: in a child that ran no handler of fork it is not the
 * parent's. */
long hfi_shm_pid(void);

#endif
