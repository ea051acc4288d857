/*
 * segment: reading another process's inspection segment, which is untrusted.
 */
#ifndef SEGMENT_H
#define SEGMENT_H

#include <holdfast/inspect.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

/* Copies the segment of `pid`, checked: counts are clamped, so that loops over them are safe.
 * 0, or -errno with the reason in `why`. */
int segment_read(pid_t pid, struct hf_inspect_segment *segment, char *why, size_t why_bytes);

/* Pids that have a segment of this user; leftovers of processes that are gone are removed.
 * Returns how many there are, of which the first `most` are stored. */
size_t segment_list(pid_t *pids, size_t most);

/* What all theaps counted together. */
void segment_sum(const struct hf_inspect_segment *segment, struct hf_inspect_theap *sum);

const char *segment_backing_name(uint32_t backing);

void segment_print(const struct hf_inspect_segment *segment, FILE *stream);

#endif
