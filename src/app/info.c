/*
 * info: see info.h.
 *
 * IF1: of each heap, system == used + free + large, and live and kept are parts of used that have
 *      nothing in common.
 *
 * Reads counts that others change meanwhile, as stats.c does.
 * Allocates nothing itself.  In a child that has no arena there is one heap of nothing.
 *
 * Tests: tests/programs/info.c, tests/programs/dontfork.c.
 */
#include "app/info.h"

#include "arena/arena.h"
#include "app/stats.h"

/* In pages. */
struct heap {
    size_t space;  /* addresses */
    size_t system; /* of space: opened so far; all of it, unless the arena grows or is being populated */
    size_t large;  /* of system: in large blocks */
    size_t free;   /* of system */
    size_t used;   /* of system: in pages of blocks, or Holdfast's own */
    size_t kept;   /* of used: empty, kept by threads */
    size_t live;   /* of used, in bytes: in blocks that the program has */
};

static void heap_of_node(struct heap *heap, const struct arena_node *node)
{
    struct node_figures figures;
    const struct arena_figures *pages = &figures.pages;
    hfi_stats_node_live(node, &figures);
    *heap = (struct heap){ .space = pages->total,
                           .system = pages->used + pages->free - pages->unopened,
                           .large = pages->large,
                           .free = pages->free - pages->unopened,
                           .used = pages->used - pages->large,
                           .kept = figures.kept,
                           .live = figures.live_blocks + figures.live_heaps };
}

static void add_heap(struct heap *sum, const struct heap *heap)
{
    sum->space += heap->space;
    sum->system += heap->system;
    sum->large += heap->large;
    sum->free += heap->free;
    sum->used += heap->used;
    sum->kept += heap->kept;
    sum->live += heap->live;
}

/* One for each node; their number, 1 at least. */
static unsigned fill_heaps(struct heap heaps[HFI_MAX_NODES], struct heap *sum)
{
    *sum = heaps[0] = (struct heap){ 0 };
    for (unsigned i = 0; i < hfi_arena.node_count; i++) {
        heap_of_node(&heaps[i], &hfi_arena.nodes[i]);
        add_heap(sum, &heaps[i]);
    }
    return hfi_arena.node_count == 0 ? 1 : hfi_arena.node_count;
}

static size_t bytes(size_t pages)
{
    return pages * HFI_PAGE_BYTES;
}

/* All that is in no live block: free pages, room in others, and what Holdfast has for itself. */
static size_t unused_bytes(const struct heap *heap)
{
    return bytes(heap->used + heap->free) - heap->live;
}

struct mallinfo2 hfi_info_mallinfo2(void)
{
    struct heap heaps[HFI_MAX_NODES], sum;
    fill_heaps(heaps, &sum);
    return (struct mallinfo2){
        .arena = bytes(sum.used + sum.free),
        .hblkhd = bytes(sum.large),
        .uordblks = sum.live,
        .fordblks = unused_bytes(&sum),
        .keepcost = bytes(sum.kept),
    };
}

/* "fast" is what glibc keeps at hand for the next request of the size, "rest" what else is in no
 * live block. */
static void print_free(FILE *stream, const struct heap *heap)
{
    fprintf(stream, "<total type=\"fast\" count=\"%zu\" size=\"%zu\"/>\n", heap->kept, bytes(heap->kept));
    fprintf(stream, "<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n", heap->free,
            unused_bytes(heap) - bytes(heap->kept));
}

/* What the arena has it never gives back: it is at its most now. */
static void print_system(FILE *stream, const struct heap *heap)
{
    size_t system = bytes(heap->used + heap->free);
    fprintf(stream,
            "<system type=\"current\" size=\"%zu\"/>\n<system type=\"max\" size=\"%zu\"/>\n"
            "<aspace type=\"total\" size=\"%zu\"/>\n<aspace type=\"mprotect\" size=\"%zu\"/>\n",
            system, system, bytes(heap->space), bytes(heap->system));
}

void hfi_info_xml(FILE *stream)
{
    struct heap heaps[HFI_MAX_NODES], sum;
    unsigned count = fill_heaps(heaps, &sum);
    fputs("<malloc version=\"1\">\n", stream);
    for (unsigned i = 0; i < count; i++) {
        fprintf(stream, "<heap nr=\"%u\">\n<sizes>\n", i);
        if (heaps[i].free != 0)
            fprintf(stream, "  <size from=\"%zu\" to=\"%zu\" total=\"%zu\" count=\"%zu\"/>\n", HFI_PAGE_BYTES,
                    HFI_PAGE_BYTES, bytes(heaps[i].free), heaps[i].free);
        fputs("</sizes>\n", stream);
        print_free(stream, &heaps[i]);
        print_system(stream, &heaps[i]);
        fputs("</heap>\n", stream);
    }
    print_free(stream, &sum);
    fprintf(stream, "<total type=\"mmap\" count=\"0\" size=\"%zu\"/>\n", bytes(sum.large));
    print_system(stream, &sum);
    fputs("</malloc>\n", stream);
}

static void print_use(FILE *stream, size_t system, size_t used)
{
    fprintf(stream, "system bytes     = %10zu\nin use bytes     = %10zu\n", system, used);
}

void hfi_info_print(FILE *stream)
{
    struct heap heaps[HFI_MAX_NODES], sum;
    unsigned count = fill_heaps(heaps, &sum);
    for (unsigned i = 0; i < count; i++) {
        fprintf(stream, "Arena %u:\n", i);
        print_use(stream, bytes(heaps[i].used + heaps[i].free), heaps[i].live);
    }
    fputs("Total (incl. mmap):\n", stream);
    print_use(stream, bytes(sum.system), sum.live + bytes(sum.large));
    fprintf(stream, "max mmap regions = %10u\nmax mmap bytes   = %10zu\n", 0, bytes(sum.large));
}
