/*
 * stats: figures of the arena for people, printed without allocating.
 */
#ifndef HFI_STATS_H
#define HFI_STATS_H

#include <holdfast/holdfast.h>

#include "arena/arena.h"

struct counters;

/* Figures of one node for the program itself: hf_stats, mallinfo2 and its kin, and the report. */
struct node_figures {
    struct arena_figures pages;
    size_t kept;        /* pages, of `owned`: empty, kept by theaps at home here */
    size_t live_blocks; /* bytes, of `idle` and of what of `owned` is not kept: in blocks that the program
                         * has */
    size_t live_large;  /* bytes, of `large`: likewise */
    size_t live_heaps;  /* bytes, of `heaps`: likewise */
};

/* Walks the list of theaps. */
void hfi_stats_node(const struct arena_node *node, struct node_figures *figures);

/* The same with live bytes, which are 0 above.  Looks at 128 bytes per block or run of blocks, and
 * at 8 per page.  Exact for threads that rest, for others off by what they do meanwhile. */
void hfi_stats_node_live(const struct arena_node *node, struct node_figures *figures);

/* Sum over all theaps, past and present. */
void hfi_stats_counters(struct counters *sum);

/* hf_stats_get, hf_stats_get_node (of the arena for NULL) and hf_stats_json of
 * <holdfast/holdfast.h>. */
int hfi_stats_get(struct hf_stats *stats, size_t size, const struct arena_node *node);
int hfi_stats_json(char *text, size_t size);

/* HF-E012 and the report of a full arena: at most one in ten seconds, the others counted.  True
 * when it was printed, and then how many failures were not since the last. */
bool hfi_stats_report_full(size_t bytes, size_t pages, size_t align_bytes, uint64_t *unreported);

/* The same figures on demand (hf_stats_print). */
void hfi_stats_report(void);

#endif
