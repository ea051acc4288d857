/*
 * recording: samples of an arena in a file.
 *
 *     file    = head sample*
 *     head    = struct recording_head, and how many bytes an entry of each part has; in the
 *               machine's byte order
 *     sample  = length crc payload     two words of 32 bits; CRC-32 (IEEE) of the payload's `length` bytes
 *     payload = (part count words)*    part and count as varints
 *     words   = (same different word*)*   until `count` words are there: how many are as they were,
 *               how many follow
 *
 * A part is a table of a sample as 64-bit words (recording-parts.c lists them).  Each word is
 * stored as its difference to the same word of the sample before, zigzagged, as a varint of 7 bits
 * a byte.  Words of the page map are stored as the difference to the word in front.  A part that is
 * left out is as it was.  The page map, 8 bytes per 64 KiB of arena, is in the last sample alone,
 * and nothing follows it.  The theaps, and many heaps, are in one sample of THEAPS_EVERY.
 *
 * A file that is cut short is good up to its last whole sample.
 *
 * A tool of another release may have written it, where both have layout and version in common.
 * What its entries lack is 0.  What they have more, and parts that are not known here, are passed
 * over.
 */
#ifndef HFT_RECORDING_H
#define HFT_RECORDING_H

#include "reader/sample.h"

#define RECORDING_MAGIC UINT64_C(0x3143455244484f4c) /* "LOHDREC1" */
#define RECORDING_VERSION 2
#define RECORDING_THEAPS_EVERY 10
#define RECORDING_HEAPS_OFTEN 64 /* heaps: of more, the table is in as many samples as the theaps */

struct recording_head {
    uint64_t magic;
    uint32_t version;      /* RECORDING_VERSION; 1: the sizes of entries do not follow */
    uint32_t head_bytes;   /* sizeof (struct recording_head), and the sizes that follow it */
    uint32_t layout;       /* HF_INSPECT_VERSION, whose structs the parts hold */
    uint32_t sample_bytes; /* sum of the sizes of one entry of each part, each times the part's number + 1 */
    uint64_t interval_ns;  /* as asked for */
};

/* Opaque words of the sample before; shared by both directions. */
struct recording;

/* Starts a recording at the stream's position; NULL after a message. */
struct recording *recording_create(FILE *file, uint64_t interval_ns, const char *command);

/* Appends a sample and flushes; 0 or -errno.  `whole`: with the theaps; `last`: with the page map
 * too, if it has one. */
int recording_append(struct recording *recording, struct sample *sample, bool whole, bool last);

enum recording_verdict {
    RECORDING_SAMPLE, /* the sample is filled */
    RECORDING_END,    /* no more, and nothing is left over */
    RECORDING_CUT,    /* what follows is no whole sample: `reason` says why.  The sample is as it was */
    RECORDING_BAD,    /* nor did this program write it: neither it nor the sample must be used */
};

/* Opens a recording for reading; NULL with the reason, or, where it is of another version than this
 * tool reads, without one.  Nothing in it is believed. */
struct recording *recording_open(FILE *file, const char **reason);
enum recording_verdict recording_next(struct recording *recording, struct sample *sample,
                                      const char **reason);

uint64_t recording_interval_ns(const struct recording *recording);

/* Leaves the stream open. */
void recording_free(struct recording *recording);

#endif
