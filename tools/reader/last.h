/*
 * last: what processes left that were killed.
 */
#ifndef HFT_LAST_H
#define HFT_LAST_H

#include "reader/target.h"

/* What such a process left, the last of those that `name` fits: a service, a process's name, or the
 * number it had; NULL: all of them.  0, or an exit status after HF-E460. */
int target_open_last(struct target *target, const char *name, const char *command);

/* That with `last`, else target_of_arguments. */
int target_of_options(struct target *target, bool last, int argc, char **argv, const char *command);

#endif
