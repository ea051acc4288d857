/*
 * psi: how long this process's cgroup, or the machine, has waited for memory (PSI of the kernel).
 */
#ifndef HFI_PSI_H
#define HFI_PSI_H

/* Finds the file that tells: the cgroup's, or else the machine's.  0, or -errno where there is none.
 * Before there are threads. */
int hfi_psi_find(void);

/* Percent of the last ten seconds or so in which some task waited for memory; or -errno. */
int hfi_psi_percent(void);

/* The file that was found. */
const char *hfi_psi_path(void);

#endif
