/*
 * init: from the first malloc to a standing arena.
 */
#ifndef HFI_INIT_H
#define HFI_INIT_H

struct theap;

/* This thread's theap.  The first call of all sets the arena up; a thread's first call gives it a
 * theap.  NULL while the arena is being set up (boot.h serves), in a child that has none, or when
 * no memory for a theap is left. */
struct theap *hfi_init_thread(void);

#endif
