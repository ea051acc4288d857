/*
 * shm: a named shared mapping and the process's own number, for inspect.
 *
 * As os.h: values or negative errno, errno untouched.
 */
#ifndef HFI_SHM_H
#define HFI_SHM_H

#include "base.h"

/* Creates `path` (mode 0600, replacing a leftover), maps `bytes` of it shared, zeroed and
 * populated, and keeps no descriptor.  0 or -errno. */
int hfi_shm_create(const char *path, size_t bytes, void **memory);

void hfi_shm_unlink(const char *path);

/* Removes files "PREFIX<pid>.<anything>" of this user in `directory` whose process is gone; looks at some hundreds of names at
 * most.  Allocates nothing. */
void hfi_shm_sweep(const char *directory, const char *prefix);

long hfi_shm_pid(void);

#endif
