/*
 * fault: a look at a segmentation fault before the process ends by it.
 */
#ifndef HFI_FAULT_H
#define HFI_FAULT_H

/* Where the program has no handler of its own for SIGSEGV: `tell` is called with the address, in a
 * signal handler, and the process then ends by the signal as ever.  Once; again is harmless. */
void hfi_fault_watch(void (*tell)(const void *address));

#endif
