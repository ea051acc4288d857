/*
 * psi: see psi.h.
 *
 * No descriptor is kept: the file is opened for each look.
 *
 * Tests: tests/programs/psi.c.
 */
#include "kernel/psi.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kernel/files.h"

#define MACHINE "/proc/pressure/memory"

static char path[HFI_PATH_BYTES + 64] = MACHINE; /* const once it was found */

const char *hfi_psi_path(void)
{
    return path;
}

/* "some avg10=1.53 avg60=..." */
int hfi_psi_percent(void)
{
    char text[HFI_SMALL_FILE_BYTES];
    uint64_t percent;
    long length = hfi_os_read_once(path, text, sizeof text);
    if (length < 0)
        return (int)length;
    const char *average = strncmp(text, "some ", 5) == 0 ? strstr(text, "avg10=") : NULL;
    return average != NULL && hfi_os_first_number(average + strlen("avg10="), &percent) ? (int)percent
                                                                                        : -EINVAL;
}

/* Of version 2, whose line is "0::/group". */
static void note_group(char *line, void *unused)
{
    (void)unused;
    if (strncmp(line, "0::/", 4) == 0)
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.pressure", line + 3);
}

int hfi_psi_find(void)
{
    char line[HFI_LINE_BYTES];
    hfi_os_read_lines(hfi_os_read_open("/proc/self/cgroup"), line, sizeof line, note_group, NULL);
    int percent = hfi_psi_percent();
    if (percent < 0) {
        strcpy(path, MACHINE);
        percent = hfi_psi_percent();
    }
    return percent < 0 ? percent : 0;
}
