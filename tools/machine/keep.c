/*
 * keep: see keep.h.
 *
 * Files are named after Holdfast, one for each thing that is set, so that no line undoes another's.
 *
 * Tests: tests/tool-plan.sh, tests/tool-tune.sh.
 */
#include "machine/keep.h"

#include <stdio.h>

const char *keep_command_line(char *text, size_t text_bytes, const char *pages)
{
    snprintf(
        text, text_bytes,
        "sed -i 's/^GRUB_CMDLINE_LINUX=\"/&hugepagesz=1G hugepages=%s /' /etc/default/grub && update-grub",
        pages);
    return text;
}

const char *keep_sysctl_pool(char *text, size_t text_bytes, uint64_t pages)
{
    snprintf(text, text_bytes, "echo 'vm.nr_hugepages = %llu' > /etc/sysctl.d/60-holdfast-hugepages.conf",
             (unsigned long long)pages);
    return text;
}

const char *keep_node_pool(char *text, size_t text_bytes, const char *path, uint64_t pages, unsigned node,
                           const char *backing)
{
    snprintf(text, text_bytes, "echo 'w %s - - - - %llu' > /etc/tmpfiles.d/holdfast-node%u-%s.conf", path,
             (unsigned long long)pages, node, backing);
    return text;
}
