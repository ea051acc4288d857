/*
 * say: see say.h.
 *
 * A message is put together on the stack and leaves in one write(2), so that lines
 * of several threads do not mix.  Texts from outside (a value of the environment) may
 * hold anything: what a terminal might obey is replaced, so that one message
 * stays one line.  A line that is too long ends with "...".
 *
 * Tests: tests/unit/options.c, tests/programs/misuse.c.
 */
#include "say.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sys.h"

#define LINE_BYTES 1024
#define CUT_MARK "..."

static int verbosity; /* const after hfi_say_set_verbosity */

struct line {
    char text[LINE_BYTES];
    size_t length;
};

static void HFI_PRINTF(2, 0) line_append_list(struct line *line, const char *format, va_list arguments)
{
    size_t room = LINE_BYTES - 1 - line->length; /* one byte is kept for the newline */
    int wrote = vsnprintf(line->text + line->length, room, format, arguments);
    if (wrote <= 0)
        return;
    if ((size_t)wrote >= room)
        memcpy(line->text + LINE_BYTES - 2 - strlen(CUT_MARK), CUT_MARK, strlen(CUT_MARK));
    line->length += hfi_min((size_t)wrote, room - 1);
}

static void HFI_PRINTF(2, 3) line_append(struct line *line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    line_append_list(line, format, arguments);
    va_end(arguments);
}

static void line_write(struct line *line)
{
    for (size_t i = 0; i < line->length; i++)
        if ((unsigned char)line->text[i] < ' ' || line->text[i] == 0x7f)
            line->text[i] = '?';
    line->text[line->length++] = '\n';
    for (size_t done = 0; done < line->length;) {
        ssize_t wrote = hfi_sys_write(STDERR_FILENO, line->text + done, line->length - done);
        if (wrote == -EINTR)
            continue;
        if (wrote <= 0)
            return; /* nowhere to say it */
        done += (size_t)wrote;
    }
}

static void HFI_PRINTF(4, 0)
    say_list(const char *level, const char *id, const char *room, const char *format, va_list arguments)
{
    int saved_errno = errno;
    struct line line = { .length = 0 };
    line_append(&line, "holdfast[%ld] %s %s %s: ", (long)getpid(), level, id, room);
    line_append_list(&line, format, arguments);
    line_write(&line);
    errno = saved_errno;
}

void hfi_say(enum say_level level, const char *id, const char *room, const char *format, ...)
{
    static const char *const names[] = { [SAY_ERROR] = "error", [SAY_WARNING] = "warning", [SAY_INFO] = "info" };
    if (level == SAY_INFO && verbosity < 1)
        return;
    va_list arguments;
    va_start(arguments, format);
    say_list(names[level], id, room, format, arguments);
    va_end(arguments);
}

void hfi_say_line(const char *format, ...)
{
    int saved_errno = errno;
    struct line line = { .length = 0 };
    va_list arguments;
    line_append(&line, "holdfast[%ld] ", (long)getpid());
    va_start(arguments, format);
    line_append_list(&line, format, arguments);
    va_end(arguments);
    line_write(&line);
    errno = saved_errno;
}

void hfi_die(const char *id, const char *room, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say_list("error", id, room, format, arguments);
    va_end(arguments);
    abort();
}

void hfi_say_set_verbosity(int level)
{
    verbosity = level;
}

int hfi_say_verbosity(void)
{
    return verbosity;
}

char *hfi_format_bytes(char *buffer, size_t buffer_bytes, uint64_t bytes)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    unsigned unit = 0;
    uint64_t tenths = bytes * 10;
    if (bytes > UINT64_MAX / 10)
        tenths = UINT64_MAX;
    for (; tenths >= 10240 && unit < 4; unit++)
        tenths /= 1024;
    if (tenths % 10 == 0)
        snprintf(buffer, buffer_bytes, "%llu %s", (unsigned long long)(tenths / 10), units[unit]);
    else
        snprintf(buffer, buffer_bytes, "%llu.%llu %s", (unsigned long long)(tenths / 10),
                 (unsigned long long)(tenths % 10), units[unit]);
    return buffer;
}
