/*
 * leftover: the segments that killed processes left, of which the last are kept.
 *
 * A kept segment is the file itself under another name, HF_INSPECT_KEPT_PREFIX with the number, start
 * and namespace that it had.  So keeping one takes no memory, and no privilege beyond that to remove
 * it; the owner stays who he was.  Of each owner some are kept, and some of each service or program.
 *
 * For whoever publishes, and for the tool: one thread at a time.
 */
#ifndef HFI_LEFTOVER_H
#define HFI_LEFTOVER_H

#include <holdfast/inspect.h>

#include "base/base.h"

/* Whether a file in the directory is a whole segment of the process that it is named after; fills the
 * header then.  Nothing else in it is believed. */
bool hfi_leftover_read(int directory, const char *name, const char *prefix,
                       struct hf_inspect_segment *header);

/* The service, or else the program, that a header names; it may be "".  In `label`, which is the size
 * of the header's `unit`. */
const char *hfi_leftover_label(const struct hf_inspect_segment *header, char *label);

/* Gives a leftover the name of a kept one.  False: it is none that can be used, and may be removed. */
bool hfi_leftover_keep(int directory, const char *name);

/* Removes leftovers, except for the last ones.  How many were kept now. */
unsigned hfi_leftover_sweep(void);

/* Keeps no more than there may be; the newest stay. */
void hfi_leftover_trim(int directory);

/* Removes all that this process's user has kept; false when there were none. */
bool hfi_leftover_drop(void);

/* What this process is called, for whoever finds its segment. */
void hfi_leftover_sign(struct hf_inspect_segment *header);

#endif
