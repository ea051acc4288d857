/*
 * say: see say.h.
 *
 * A message is put together on the stack and leaves at once (outlet.h), so that lines
 * of several threads do not mix.  One that cannot leave is dropped, and counted: the next that
 * leaves is preceded by the count (HF-W009).  The last message and the fatal one are kept for a
 * debugger.  Texts from outside (a value of the environment) may
 * hold anything: what a terminal might obey is replaced, so that one message
 * stays one line.  A line that is too long ends with "...".
 *
 * Tests: tests/unit/options.c, tests/programs/misuse.c, tests/programs/outlet.c.
 */
#include "base/say.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/outlet.h"
#include "base/sys.h"

#define LINE_BYTES 1024
#define CUT_MARK "..."

static bool verbose; /* const after hfi_say_set_verbose */

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

/* These two for what is in front of a message: printf within printf's caller would take more stack,
 * of which a signal handler has little. */
static void line_text(struct line *line, const char *text)
{
    size_t bytes = hfi_min(strlen(text), LINE_BYTES - 2 - line->length);
    memcpy(line->text + line->length, text, bytes);
    line->length += bytes;
}

static void line_number(struct line *line, unsigned long number)
{
    char digits[24], *first = digits + sizeof digits - 1;
    *first = 0;
    do
        *--first = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    line_text(line, first);
}

static void line_begin(struct line *line, const char *before)
{
    line->length = 0;
    line_text(line, before);
    line_text(line, "holdfast[");
    line_number(line, (unsigned long)hfi_sys_process());
    line_text(line, "] ");
}

/* --- kept and dropped --- */

/* For debuggers, which find them by these names. */
HFI_HIDDEN char hfi_last_message[LINE_BYTES], hfi_fatal_message[LINE_BYTES];

static _Atomic(unsigned long) xdropped; /* atomic: lines that did not leave since the last that did */
static _Atomic(bool) xcut;              /* atomic: the last that left did so without its end */

/* Byte by byte: of two threads that say something at once, each may leave a part, and none
 * waits. */
static void line_keep(const struct line *line, char *kept)
{
    for (size_t i = 0; i < line->length; i++)
        hfi_plain_store_relaxed(&kept[i], line->text[i]); /* relaxed: a debugger reads it */
    hfi_plain_store_relaxed(&kept[line->length], 0);
}

static bool line_send(struct line *line)
{
    line->text[line->length++] = '\n';
    size_t left = hfi_outlet_write(line->text, line->length);
    if (left != 0)
        hfi_store_relaxed(&xcut, left != line->length); /* relaxed: at worst a line is empty */
    return left == line->length;
}

static HFI_NOINLINE void say_count(unsigned long dropped)
{
    struct line line;
    line_begin(&line, hfi_load_relaxed(&xcut) ? "\n" : "");
    line_text(&line, "warning ");
    line_text(&line, "HF-W009");
    line_text(&line, " say: ");
    line_number(&line, dropped);
    line_text(&line, " lines before this one could not be written; have standard error read, or look at "
                     "hfi_last_message in a debugger");
    if (!line_send(&line))
        hfi_fetch_add_relaxed(&xdropped, dropped);
}

/* Comes before its caller has a line of its own: two take more stack than a signal handler may
 * have. */
static void say_dropped(void)
{
    int saved_errno = errno;
    unsigned long dropped = 0;
    if (hfi_load_relaxed(&xdropped) != 0)
        dropped = hfi_exchange_relaxed(&xdropped, 0); /* relaxed: a sum */
    if (dropped != 0)
        say_count(dropped);
    errno = saved_errno;
}

static void line_clean(struct line *line)
{
    for (size_t i = 0; i < line->length; i++)
        if ((unsigned char)line->text[i] < ' ' || line->text[i] == 0x7f)
            line->text[i] = '?';
}

static void line_write(struct line *line)
{
    if (!line_send(line))
        hfi_fetch_add_relaxed(&xdropped, 1);
}

/* --- messages --- */

static HFI_NOINLINE void HFI_PRINTF(5, 0) say_list(const char *level, const char *id, const char *room,
                                                   char *kept, const char *format, va_list arguments)
{
    int saved_errno = errno;
    struct line line;
    line_begin(&line, "");
    const char *const parts[] = { level, " ", id, " ", room, ": " };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        line_text(&line, parts[i]);
    line_append_list(&line, format, arguments);
    line_clean(&line);
    line_keep(&line, kept);
    line_write(&line);
    errno = saved_errno;
}

void hfi_say(enum say_level level, const char *id, const char *room, const char *format, ...)
{
    static const char *const names[] = {
        [SAY_ERROR] = "error", [SAY_WARNING] = "warning", [SAY_INFO] = "info"
    };
    if (level == SAY_INFO && !verbose)
        return;
    say_dropped();
    va_list arguments;
    va_start(arguments, format);
    say_list(names[level], id, room, hfi_last_message, format, arguments);
    va_end(arguments);
}

static HFI_NOINLINE void HFI_PRINTF(1, 0) say_plainly(const char *format, va_list arguments)
{
    int saved_errno = errno;
    struct line line;
    line_begin(&line, "");
    line_append_list(&line, format, arguments);
    line_clean(&line);
    line_write(&line);
    errno = saved_errno;
}

void hfi_say_line(const char *format, ...)
{
    say_dropped();
    va_list arguments;
    va_start(arguments, format);
    say_plainly(format, arguments);
    va_end(arguments);
}

void hfi_die(const char *id, const char *room, const char *format, ...)
{
    say_dropped();
    va_list arguments;
    va_start(arguments, format);
    say_list("error", id, room, hfi_fatal_message, format, arguments);
    va_end(arguments);
    abort();
}

void hfi_say_set_verbose(bool value)
{
    verbose = value;
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
