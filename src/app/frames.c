/*
 * frames: see frames.h and <holdfast/frames.h>.
 *
 * FR1: a run is of one node, and its start a multiple of the frame size.  Frames are powers of two
 *      of at most 2 MiB, so none crosses a window.
 * FR2: the runs' counts add up to the frames' count.
 *
 * Shares follow the nodes' free pages; what a node cannot give in one run is asked of the others,
 * which then have a second one.  Fails by -ENOMEM.  Test: tests/programs/uring.c.
 */
#include "app/frames.h"

#include <errno.h>
#include <holdfast/frames.h>

#include "heap/large.h"
#include "base/base.h"
#include "arena/arena.h"
#include "base/options.h"

#define RUNS_MAX (sizeof((struct hf_frames *)0)->runs / sizeof((struct hf_frames *)0)->runs[0])

/* A run of `count` frames of a node. */
static bool claim_run(struct hf_frames *frames, struct arena_node *node, size_t count)
{
    bool zero;
    size_t pages = hfi_large_pages(count * frames->frame_bytes);
    size_t align_bytes = hfi_max(frames->frame_bytes, HFI_PAGE_BYTES);
    if (frames->run_count == RUNS_MAX || hfi_arena_free_pages(node) < pages)
        return false;
    struct page *head = hfi_arena_claim(node, pages, align_bytes, CLAIM_EXACT, &zero);
    if (head == NULL)
        return false;
    frames->runs[frames->run_count++] = (struct hf_frames_run){ hfi_large_dress(head), count, node->id };
    return true;
}

static size_t free_frames(const struct hf_frames *frames, const struct arena_node *node)
{
    size_t bytes = hfi_arena_free_pages(node) * HFI_PAGE_BYTES;
    return (bytes - hfi_min(bytes, HFI_GUARD_BYTES)) / frames->frame_bytes;
}

/* A share of each node; the number of frames that no run was found for. */
static size_t claim_shares(struct hf_frames *frames)
{
    size_t left = frames->count, free_left = 0;
    for (unsigned i = 0; i < hfi_arena.node_count; i++)
        free_left += free_frames(frames, &hfi_arena.nodes[i]);
    size_t missing = 0;
    for (unsigned i = 0; i < hfi_arena.node_count && left != 0 && free_left != 0; i++) {
        struct arena_node *node = &hfi_arena.nodes[i];
        size_t here = free_frames(frames, node);
        size_t share = here >= free_left ? left : (size_t)((double)left * ((double)here / (double)free_left));
        share = hfi_min(share, left);
        free_left -= hfi_min(here, free_left);
        left -= share;
        if (share != 0 && !claim_run(frames, node, share))
            missing += share;
    }
    return missing + left;
}

int hfi_frames_claim(struct hf_frames *frames)
{
    frames->run_count = 0;
    if (frames->count > HFI_ARENA_MAX_BYTES / frames->frame_bytes)
        return -ENOMEM;
    size_t missing = claim_shares(frames);
    for (unsigned i = 0; i < hfi_arena.node_count && missing != 0 && hfi_options.remote_allow; i++)
        if (claim_run(frames, &hfi_arena.nodes[i], missing))
            missing = 0;
    if (missing == 0)
        return 0;
    hfi_frames_release(frames);
    return -ENOMEM;
}

void hfi_frames_release(struct hf_frames *frames)
{
    for (unsigned i = 0; i < frames->run_count; i++)
        hfi_large_free(hfi_page_at(hfi_index_of(frames->runs[i].start)), frames->runs[i].start);
    frames->run_count = 0;
}
