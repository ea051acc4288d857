/*
 * files: small files under /proc and /sys.
 *
 * As os.h: values or negative errno, errno untouched.  Nothing here is a cancellation point or
 * allocates.
 */
#ifndef HFI_FILES_H
#define HFI_FILES_H

#include "base/base.h"

#define HFI_SMALL_FILE_BYTES 128
#define HFI_PATH_BYTES 1024
#define HFI_LINE_BYTES (HFI_PATH_BYTES + 64) /* of a file that is read by lines */

/* Reads a whole small file into buffer (always terminated); length or -errno. */
long hfi_os_read_file(const char *path, char *buffer, size_t buffer_bytes);

/* The same by one read, enough for a file of one value. */
long hfi_os_read_once(const char *path, char *buffer, size_t buffer_bytes);

/* First unsigned number in a file; false when there is none. */
bool hfi_os_read_number(const char *path, uint64_t *number);

/* Opens a file to be read, by its path or by its name in a directory that is open.  A descriptor,
 * or -errno. */
int hfi_os_read_open(const char *path);
int hfi_os_read_open_at(int directory, const char *name);

/* Up to buffer_bytes - 1 bytes; with `once` one read, enough for a file of one value.  Closes `fd`,
 * which may be an error number. */
long hfi_os_read_descriptor(int fd, char *buffer, size_t buffer_bytes, bool once);

/* Calls `each` for each line of a file, in `text`, without its end.  The file may be long, and the
 * stack short: a signal handler that forks may have 8 KiB.  A line that does not fit is left out: it
 * has a path that is not ours.  False when the file cannot be read.  Closes `fd`, which may be an
 * error number. */
bool hfi_os_read_lines(int fd, char *text, size_t text_bytes, void (*each)(char *line, void *argument),
                       void *argument);

HFI_INLINE bool hfi_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* First unsigned number in `text`; false when there is none. */
bool hfi_os_first_number(const char *text, uint64_t *number);

/* Number behind the first place where `name` stands in `text`; 0 when it does not. */
uint64_t hfi_os_number_after(const char *text, const char *name);

#endif
