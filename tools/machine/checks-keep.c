/*
 * checks-keep: see checks.h: what a mend does holds until the machine or the service starts again.
 * These are lines to paste, as root, that make it hold for good (keep.h).
 *
 * Test: tests/tool.sh, tests/tool-plan.sh.
 */
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "machine/checks.h"
#include "kernel/machine.h"
#include "machine/keep.h"
#include "reader/procfs.h"

const char *const checks_no_memlock[][2] = { { "LimitMEMLOCK", "memlock" }, { NULL, NULL } };

/* Of the user who asks; limits of * do not hold for root. */
static const char *user_name(void)
{
    const struct passwd *user = getpwuid(getuid());
    return user == NULL ? "USER" : user->pw_name;
}

const char *checks_keep_limits(char text[CHECKS_KEEP_BYTES], const char *const (*limits)[2])
{
    char unit[128] = "", file[256] = "", user[33];
    const char *first = (*limits)[1];
    tool_printable(user, sizeof user, user_name());
    for (; (*limits)[0] != NULL; limits++) {
        size_t unit_used = strlen(unit), file_used = strlen(file);
        snprintf(unit + unit_used, sizeof unit - unit_used, "%s=infinity\\n", (*limits)[0]);
        snprintf(file + file_used, sizeof file - file_used, "%s - %s unlimited\\n", user, (*limits)[1]);
    }
    snprintf(text, CHECKS_KEEP_BYTES,
             "mkdir -p /etc/systemd/system/NAME.service.d && printf '[Service]\\n%s' > "
             "/etc/systemd/system/NAME.service.d/holdfast-%s.conf\nprintf '%s' > "
             "/etc/security/limits.d/60-holdfast-%s.conf",
             unit, first, file, first);
    return text;
}

/* Of all nodes at once, for the first that lacks some: the kernel takes one number for a size,
 * or one list. */
static const char *keep_in_command_line(char text[CHECKS_KEEP_BYTES], const struct outlook *outlook,
                                        const struct topology_node *node)
{
    char list[256] = "";
    const struct reserved_node *first = NULL;
    const struct reservation *reservation = &outlook->reservation;
    for (unsigned i = 0; i < reservation->node_count; i++) {
        struct os_huge_pool pool;
        uint64_t needed = outlook_pages(outlook, &reservation->nodes[i], BACKING_1G);
        if (!outlook_pool(outlook, reservation->nodes[i].id, BACKING_1G, &pool))
            continue;
        if (first == NULL && needed > pool.free_pages)
            first = &reservation->nodes[i];
        uint64_t total = pool.total_pages + needed - hfi_min(needed, pool.free_pages);
        size_t used = strlen(list);
        if (outlook->topology.node_count == 1)
            snprintf(list, sizeof list, "%llu", (unsigned long long)total);
        else
            snprintf(list + used, sizeof list - used, "%s%u:%llu", used == 0 ? "" : ",",
                     reservation->nodes[i].id, (unsigned long long)total);
    }
    if (first == NULL || first->id != node->id)
        return NULL;
    return keep_command_line(text, CHECKS_KEEP_BYTES, list);
}

const char *checks_keep_pool(char text[CHECKS_KEEP_BYTES], const struct outlook *outlook,
                             const struct topology_node *node, enum option_backing backing,
                             uint64_t total_pages)
{
    struct os_huge_pool pool;
    uint64_t usual = 0;
    if (backing == BACKING_1G)
        return keep_in_command_line(text, outlook, node);
    if (!outlook_pool(outlook, node->id, backing, &pool))
        return NULL;
    if (outlook->topology.node_count == 1 && procfs_bytes("/proc/meminfo", "Hugepagesize:", &usual) &&
        usual == hfi_backing_page_bytes(backing))
        return keep_sysctl_pool(text, CHECKS_KEEP_BYTES, total_pages);
    return keep_node_pool(text, CHECKS_KEEP_BYTES, pool.path, total_pages, node->id,
                          hfi_backing_name(backing));
}
