/*
 * keep: lines to paste, as root, that make a setting outlive a reboot.
 */
#ifndef HFT_KEEP_H
#define HFT_KEEP_H

#include <stddef.h>
#include <stdint.h>

/* A pool of 2 MiB pages, on a machine of one node whose usual huge pages these are. */
const char *keep_sysctl_pool(char *text, size_t text_bytes, uint64_t pages);

/* A pool of one node; `path` is the file that sets it. */
const char *keep_node_pool(char *text, size_t text_bytes, const char *path, uint64_t pages, unsigned node,
                           const char *backing);

/* Pools of 1 GiB pages; `pages` is a number, or a list by node. */
const char *keep_command_line(char *text, size_t text_bytes, const char *pages);

#define KEEP_THP                                                                                             \
    "echo 'w /sys/kernel/mm/transparent_hugepage/enabled - - - - madvise' > "                                \
    "/etc/tmpfiles.d/holdfast-thp.conf"

#endif
