/*
 * show-wrap: lines that break at words on a narrow terminal; see show.h.
 *
 * SW1: standard output is a buffer from show_wrap_begin to show_wrap_end, and what it was outside.
 * SW2: a character is a column, and an escape sequence none.  A word that is wider than the
 *      terminal stays whole, for the terminal to break.
 *
 * Test: tests/tool-stat.sh.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "show/show.h"

#define INDENT_MORE 2u /* of what continues a line */

static struct {
    FILE *terminal; /* NULL: nothing waits */
    char *text;
    size_t bytes;
    unsigned columns;
} held;

unsigned show_columns(void)
{
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col != 0 ? size.ws_col : SHOW_COLUMNS;
}

static unsigned width_of(const char *text, size_t length)
{
    unsigned width = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\033')
            while (i + 1 < length && text[i] != 'm')
                i++;
        else
            width += ((unsigned char)text[i] & 0xc0) != 0x80;
    }
    return width;
}

static void write_line(const char *line, size_t length)
{
    unsigned at = 0, indent = (unsigned)strspn(line, " ") + INDENT_MORE;
    for (size_t i = 0; i < length;) {
        size_t blanks = strspn(line + i, " "), word = strcspn(line + i + blanks, " \n");
        unsigned width = width_of(line + i + blanks, word);
        if (word == 0)
            break;
        if (at != 0 && at + blanks + width > held.columns) {
            printf("\n%*s", (int)(indent < held.columns / 2 ? indent : INDENT_MORE), "");
            at = indent < held.columns / 2 ? indent : INDENT_MORE;
            i += blanks;
            blanks = 0;
        }
        fwrite(line + i, 1, blanks + word, stdout);
        at += (unsigned)blanks + width;
        i += blanks + word;
    }
    putchar('\n');
}

void show_wrap_begin(void)
{
    held.columns = show_columns();
    FILE *into = held.columns < SHOW_COLUMNS ? open_memstream(&held.text, &held.bytes) : NULL;
    if (into == NULL)
        return;
    held.terminal = stdout;
    stdout = into;
}

void show_wrap_end(void)
{
    if (held.terminal == NULL)
        return;
    fclose(stdout);
    stdout = held.terminal;
    held.terminal = NULL;
    for (const char *line = held.text; line != NULL && *line != 0;) {
        size_t length = strcspn(line, "\n");
        write_line(line, length);
        line += length + (line[length] != 0);
    }
    free(held.text);
    held.text = NULL;
}
