/*
 * fork: what a forked child does before it goes on.
 */
#ifndef HFI_FORK_H
#define HFI_FORK_H

/* Registers the child's handler (pthread_atfork).  Called once by init. */
void hfi_fork_init(void);

#endif
