/*
 * outlet: where messages leave the process.
 *
 * That is descriptor 2, as long as it is a place for messages.  It is one if it is the file of the
 * start, or one that the program has put there for messages since.  A program may have closed it
 * and got its number for a file of its own.
 *
 * Writing never waits for a reader, raises no signal, is no cancellation point, and keeps errno.
 */
#ifndef HFI_OUTLET_H
#define HFI_OUTLET_H

#include "base/base.h"

/* Descriptor 2 is the place for messages.  Once, at start; else the first write does it. */
void hfi_outlet_remember(void);

/* In a forked child: whoever was about that has vanished. */
void hfi_outlet_forked(void);

/* Writes a line with one system call.  How much of it left: all, nothing, or seldom a part. */
size_t hfi_outlet_write(const char *line, size_t length);

#endif
