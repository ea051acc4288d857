/*
 * procfs: what small files of the kernel say; all that the tool reads of their text is taken apart
 * here.
 */
#ifndef HFT_PROCFS_H
#define HFT_PROCFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROCFS_PATH_BYTES 64
#define PROCFS_TEXT_BYTES 8192 /* of a file: room for the longest, /proc/PID/status */

/* "/proc/PID/NAME", in a buffer that lives as long as the statement's block. */
#define PROCFS_PATH(pid, name) procfs_path((char[PROCFS_PATH_BYTES]){ 0 }, pid, name)
const char *procfs_path(char path[PROCFS_PATH_BYTES], pid_t pid, const char *name);

/* Whether a text is the number of a process: digits alone, and not 0. */
bool procfs_pid(const char *text, pid_t *pid);

/* What follows `name` in the line that begins with it, in `text`, without blanks in front and up to
 * the line's end.  NULL where there is no such file or line. */
const char *procfs_value(const char *path, const char *name, char text[PROCFS_TEXT_BYTES]);

/* The number of such a line, which is in KiB, in bytes.  False where there is none. */
bool procfs_bytes(const char *path, const char *name, uint64_t *bytes);

/* Of /sys/kernel/mm/transparent_hugepage, `file`'s word in brackets; "unknown". */
const char *procfs_thp(const char *file, char *word, size_t word_bytes);

#endif
