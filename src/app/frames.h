/*
 * frames: page frames for buffer pools, a run per node.
 *
 * Each run is one large block (large.h), found like any other by whoever frees or asks about it.
 */
#ifndef HFI_FRAMES_H
#define HFI_FRAMES_H

#include "base/base.h"

#define HFI_FRAME_BYTES_MIN ((size_t)4 * HFI_KIB)
#define HFI_FRAME_BYTES_MAX ((size_t)2 * HFI_MIB)

struct hf_frames;

/* Claims the runs for frames->count frames.  0, or -ENOMEM with nothing claimed. */
int hfi_frames_claim(struct hf_frames *frames);

/* Gives them back. */
void hfi_frames_release(struct hf_frames *frames);

#endif
