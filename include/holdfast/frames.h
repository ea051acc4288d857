/*
 * holdfast/frames.h: page frames for buffer pools.
 *
 * Frames lie in the arena like any block: with <holdfast/uring.h> they are registered buffers.
 * Any thread may make these calls.
 */
#ifndef HOLDFAST_FRAMES_H
#define HOLDFAST_FRAMES_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* `count` frames of `frame_bytes` (a power of two from 4 KiB to 2 MiB), each aligned to its size,
 * for a pool of buffers with O_DIRECT: on each node with an arena one run of its share, in
 * proportion to the nodes' free memory.  Where a node has no run that long, other nodes take more
 * (not with HOLDFAST_REMOTE=deny).  The memory is not cleared. */
struct hf_frames {
    size_t count;
    size_t frame_bytes;
    unsigned run_count;
    struct hf_frames_run {
        char *start;
        size_t count;
        unsigned node; /* the kernel's number */
    } runs[64];
};

/* NULL with errno EINVAL (frame_bytes, or no count) or ENOMEM. */
struct hf_frames *hf_frames_alloc(size_t count, size_t frame_bytes);
void hf_frames_free(struct hf_frames *frames);

/* Frame number `index`, the runs one after the other. */
static inline void *hf_frame(const struct hf_frames *frames, size_t index)
{
    unsigned run = 0;
    for (; index >= frames->runs[run].count; run++)
        index -= frames->runs[run].count;
    return frames->runs[run].start + index * frames->frame_bytes;
}

#ifdef __cplusplus
}
#endif

#endif
