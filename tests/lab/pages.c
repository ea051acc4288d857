/*
 * pages: the arena has the nodes and sizes given as NODE:MIB, and each of its OS pages, with
 * owners, page table and maps, is where it should be by move_pages(2).
 */
#include "lab.h"

#define MODE_BIND 2 /* MPOL_BIND, MPOL_F_ADDR of <linux/mempolicy.h> */
#define FLAG_ADDRESS 2ul

/* The kernel will never put a page of it elsewhere, whoever touches it. */
static bool is_bound(const char *address, unsigned node)
{
    unsigned long mask[16] = { 0 };
    int mode = -1;
    CHECK(syscall(SYS_get_mempolicy, &mode, mask, sizeof mask * 8, address, FLAG_ADDRESS) == 0);
    return mode == MODE_BIND && mask[node / 64] == 1ul << (node % 64);
}

static void check_node(unsigned index, const char *wanted)
{
    const struct reserved_node *node = &hfi_arena.reservation.nodes[index];
    const char *base = hfi_arena.reservation.base;
    char *colon;
    unsigned id = (unsigned)strtoul(wanted, &colon, 10);
    size_t mib = strtoul(colon + 1, NULL, 10);
    if (!lab_ok(node->id == id && node->bytes == mib * HFI_MIB, "arena %u is of node %u and has %zu MiB",
                index, id, mib))
        return;
    lab_ok(is_bound(node->start, id) && is_bound(node->start + node->bytes - 1, id),
           "node %u: its memory is bound to it strictly", id);
    size_t first = (size_t)(node->start - base) >> HFI_PAGE_SHIFT, count = node->bytes >> HFI_PAGE_SHIFT;
    size_t astray = lab_astray(node->start, node->bytes, node->os_page_bytes, id);
    lab_ok(astray == 0, "node %u: all %zu pages of %zu KiB are on it (%zu are not)", id,
           node->bytes / node->os_page_bytes, node->os_page_bytes / 1024, astray);
    astray = lab_astray(base + HFI_TABLE_OFFSET + first * sizeof(struct page), count * sizeof(struct page),
                        4096, id);
    lab_ok(astray == 0, "node %u: its slice of the page table is on it (%zu pages are not)", id, astray);
    astray = lab_astray(base + first * sizeof(uintptr_t), count * sizeof(uintptr_t), 4096, id);
    lab_ok(astray == 0, "node %u: its slice of owners is on it (%zu pages are not)", id, astray);
}

int main(int argc, char **argv)
{
    lab_start();
    lab_ok(hf_prefault_wait(-1) == 0, "the arena is populated");
    if (lab_ok(hfi_arena.node_count == (unsigned)argc - 1, "%d nodes have an arena (%u do)", argc - 1,
               hfi_arena.node_count))
        for (int i = 1; i < argc; i++)
            check_node((unsigned)i - 1, argv[i]);
    return 0;
}
