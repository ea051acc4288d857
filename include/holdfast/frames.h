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

/* Frame number `index`, the runs by turns: neighbouring numbers lie on different nodes, as long as
 * the shortest run lasts. */
static inline void *hf_frame_interleaved(const struct hf_frames *frames, size_t index)
{
    size_t past = 0; /* frames of the rounds in which runs that were longer took part */
    for (;;) {
        size_t shortest = 0;
        unsigned live = 0;
        for (unsigned run = 0; run < frames->run_count; run++)
            if (frames->runs[run].count > past) {
                size_t left = frames->runs[run].count - past;
                shortest = live == 0 || left < shortest ? left : shortest;
                live++;
            }
        if (index < shortest * live || live <= 1) {
            size_t turn = live == 0 ? 0 : index % live, round = live == 0 ? 0 : index / live;
            for (unsigned run = 0; run < frames->run_count; run++)
                if (frames->runs[run].count > past && turn-- == 0)
                    return frames->runs[run].start + (past + round) * frames->frame_bytes;
            return (void *)0;
        }
        index -= shortest * live;
        past += shortest;
    }
}

#ifdef __cplusplus
}
#endif

#endif
