/*
 * procfs: see procfs.h.
 *
 * Tests: tests/tool.sh, tests/tool-report.sh, tests/segment.sh.
 */
#include "reader/procfs.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/files.h"

const char *procfs_path(char path[PROCFS_PATH_BYTES], pid_t pid, const char *name)
{
    snprintf(path, PROCFS_PATH_BYTES, "/proc/%ld/%s", (long)pid, name);
    return path;
}

bool procfs_pid(const char *text, pid_t *pid)
{
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    *pid = (pid_t)number;
    return *text >= '0' && *text <= '9' && *end == 0 && errno == 0 && number > 0 && number <= INT_MAX;
}

const char *procfs_value(const char *path, const char *name, char text[PROCFS_TEXT_BYTES])
{
    size_t length = strlen(name);
    if (hfi_os_read_file(path, text, PROCFS_TEXT_BYTES) <= 0)
        return NULL;
    for (char *line = text, *next; line != NULL; line = next) {
        next = strchr(line, '\n');
        if (next != NULL)
            *next++ = 0;
        if (strncmp(line, name, length) == 0)
            return line + length + strspn(line + length, " \t");
    }
    return NULL;
}

bool procfs_bytes(const char *path, const char *name, uint64_t *bytes)
{
    char text[PROCFS_TEXT_BYTES];
    const char *value = procfs_value(path, name, text);
    if (value != NULL)
        *bytes = strtoull(value, NULL, 10) * 1024;
    return value != NULL;
}

const char *procfs_thp(const char *file, char *word, size_t word_bytes)
{
    char path[96], text[256];
    snprintf(path, sizeof path, "/sys/kernel/mm/transparent_hugepage/%s", file);
    snprintf(word, word_bytes, "unknown");
    if (hfi_os_read_file(path, text, sizeof text) <= 0)
        return word;
    const char *open = strchr(text, '['), *close = open == NULL ? NULL : strchr(open, ']');
    if (close != NULL)
        snprintf(word, word_bytes, "%.*s", (int)(close - open - 1), open + 1);
    return word;
}
