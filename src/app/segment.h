/*
 * segment: the file that a reader in another process maps, as it is made and as it goes.
 *
 * It has a header, and tables whose places the header tells.  What does not change is filled in
 * when it is made: the header, the size classes, the map of pages as they are then.
 *
 * Nothing here is thread-safe: inspect.c publishes once.
 */
#ifndef HFI_SEGMENT_H
#define HFI_SEGMENT_H

#include <holdfast/inspect.h>

#include "base/options.h"

/* Const while the segment is shown: where its tables are. */
struct segment_tables {
    struct hf_inspect_node *nodes;
    struct hf_inspect_theap *theaps;
    uint32_t theap_count;
    struct hf_inspect_theap *others; /* by node */
    struct hf_inspect_event *events;
    struct hf_inspect_slow (*slow)[HF_INSPECT_CAUSES]; /* by shard */
    struct hf_inspect_heap *heaps;
};
extern HFI_HIDDEN struct segment_tables hfi_segment_tables;

/* At start, and by hfi_segment_drop: the process that has this number now may make a file. */
void hfi_segment_remember_process(void);

/* Asks the kernel.  False in a child that ran no handlers of fork, and may be at work in its parent's
 * memory (vfork). */
bool hfi_segment_is_own_process(void);

/* Makes this process's file, with all tables but no figures in them, and shows it to nobody.
 * `took_over` is told in it (hfi_inspect_took_over).  NULL after saying why there is none, or when the
 * process ends. */
struct hf_inspect_segment *hfi_segment_create(bool took_over);

/* Where the segment has a page map: shows it to who changes pages, and fills in what they are. */
void hfi_segment_fill_map(struct hf_inspect_segment *segment);

/* In a forked child: the file is the parent's.  The forking thread may be in the middle of a call,
 * which goes on storing (`call_may_go_on`). */
void hfi_segment_drop(bool call_may_go_on);

/* Size of the segment of an arena of so many nodes and pages. */
size_t hfi_segment_bytes(unsigned nodes, size_t arena_pages);

/* HF_BACKING_... */
uint32_t hfi_segment_backing_code(enum option_backing backing);

#endif
