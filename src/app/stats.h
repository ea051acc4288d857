/*
 * stats: figures of the arena for people, printed without allocating.
 */
#ifndef HFI_STATS_H
#define HFI_STATS_H

#include <holdfast/holdfast.h>

#include "arena/arena.h"
#include "heap/counters.h"

/* Figures of one node, in pages; taken while others work, so a sum may be off by what moves. */
struct node_figures {
    size_t total;  /* pages of the node */
    size_t free;   /* claimable, with those an auto arena has yet to open */
    size_t meta;   /* maps and theaps */
    size_t large;  /* in large runs */
    size_t blocks; /* in runs of blocks */
    size_t idle;   /* of `blocks`: nobody owns them and they have room */
    size_t kept;   /* of `blocks`: empty, held back by theaps */
};

void hfi_stats_node(const struct arena_node *node, struct node_figures *figures);

/* Bytes of the node's blocks that the program has: those cut from pages, and those of whole pages.
 * Looks at 128 bytes per block or run of blocks, and at 8 per page.  Exact for threads that rest,
 * for others off by what they do meanwhile. */
struct node_live {
    size_t blocks, large;
};
void hfi_stats_live(const struct arena_node *node, struct node_live *live);

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
