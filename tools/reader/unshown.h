/*
 * unshown: processes that have the library and show no arena.
 */
#ifndef HFT_UNSHOWN_H
#define HFT_UNSHOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Why a process has no segment, and what to do: "why; next step". */
const char *unshown_reason(pid_t pid, char *text, size_t text_bytes);

/* The file of the library that a process has mapped; false where it has none, or that cannot be
 * seen. */
bool unshown_library(pid_t pid, char *file, size_t file_bytes);

/* Calls `each` for every process that has the library mapped and no segment, as far as /proc lets
 * the caller see that. */
void unshown_each(void (*each)(pid_t pid, void *argument), void *argument);

#endif
