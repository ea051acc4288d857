/*
 * files: see files.h.
 *
 * Files are read into buffers on the stack, without stdio.
 *
 * Test: tests/unit/os.c.
 */
#include "kernel/files.h"

#include <string.h>

#include "base/descriptor.h"
#include "base/sys.h"

int hfi_os_read_open_at(int directory, const char *name)
{
    return hfi_descriptor_open_at(directory, name, O_RDONLY | O_CLOEXEC);
}

int hfi_os_read_open(const char *path)
{
    return hfi_os_read_open_at(AT_FDCWD, path);
}

long hfi_os_read_descriptor(int fd, char *buffer, size_t buffer_bytes, bool once)
{
    size_t length = 0;
    long error = fd < 0 ? fd : 0;
    while (error == 0 && length < buffer_bytes - 1) {
        ssize_t got = hfi_sys_read_again(fd, buffer + length, buffer_bytes - 1 - length);
        if (got < 0)
            error = got;
        if (got <= 0)
            break;
        length += (size_t)got;
        if (once)
            break;
    }
    if (fd >= 0)
        hfi_descriptor_close(fd);
    buffer[error != 0 ? 0 : length] = 0;
    return error != 0 ? error : (long)length;
}

static long read_file(const char *path, char *buffer, size_t buffer_bytes, bool once)
{
    return hfi_os_read_descriptor(hfi_os_read_open(path), buffer, buffer_bytes, once);
}

long hfi_os_read_file(const char *path, char *buffer, size_t buffer_bytes)
{
    return read_file(path, buffer, buffer_bytes, false);
}

long hfi_os_read_once(const char *path, char *buffer, size_t buffer_bytes)
{
    return read_file(path, buffer, buffer_bytes, true);
}

bool hfi_os_first_number(const char *text, uint64_t *number)
{
    uint64_t value = 0;
    while (*text != 0 && !hfi_is_digit(*text))
        text++;
    if (*text == 0)
        return false;
    for (; hfi_is_digit(*text); text++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
            value = UINT64_MAX;
    *number = value;
    return true;
}

bool hfi_os_read_number(const char *path, uint64_t *number)
{
    char text[HFI_SMALL_FILE_BYTES];
    return hfi_os_read_once(path, text, sizeof text) > 0 && hfi_os_first_number(text, number);
}

bool hfi_os_read_lines(int fd, char *text, size_t text_bytes, void (*each)(char *line, void *argument),
                       void *argument)
{
    size_t length = 0;
    bool skips = false;
    ssize_t got = -1;
    while (fd >= 0 && (got = hfi_sys_read_again(fd, text + length, text_bytes - 1 - length)) > 0) {
        char *line = text, *newline;
        length += (size_t)got;
        text[length] = 0;
        for (; (newline = strchr(line, '\n')) != NULL; line = newline + 1) {
            *newline = 0;
            if (!skips)
                each(line, argument);
            skips = false;
        }
        length -= (size_t)(line - text);
        memmove(text, line, length);
        if (length >= text_bytes - 1) {
            length = 0;
            skips = true;
        }
    }
    if (fd >= 0)
        hfi_descriptor_close(fd);
    return got >= 0;
}

uint64_t hfi_os_number_after(const char *text, const char *name)
{
    uint64_t number;
    const char *at = strstr(text, name);
    return at != NULL && hfi_os_first_number(at + strlen(name), &number) ? number : 0;
}
