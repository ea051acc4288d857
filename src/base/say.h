/*
 * say: messages for people, without malloc.
 *
 * One line to standard error per message, in one piece, or none where it would wait or do harm
 * (outlet.h):
 *
 *     holdfast[4121] error HF-E012 arena: node 0 full (asked 8 pages, ...): its 8 GiB are ...;
 *     raise HOLDFAST_ARENA
 *
 * An id, the room that speaks, numbers, and after the semicolon the next step.
 * Ids are explained in holdfast-messages(7); a test keeps both in step.
 * Thread-safe, async-signal-safe as far as vsnprintf with plain conversions
 * is; never allocates; keeps errno.
 */
#ifndef HFI_SAY_H
#define HFI_SAY_H

#include "base/base.h"

enum say_level { SAY_ERROR, SAY_WARNING, SAY_INFO };

/* Prints one message.  `id` as in "HF-E012", `room` one word.  Errors and
 * warnings always print; SAY_INFO only with HOLDFAST_VERBOSE=1. */
void hfi_say(enum say_level level, const char *id, const char *room, const char *format, ...)
    HFI_PRINTF(4, 5);

/* A line of a report: no prefix but "holdfast[pid] ". */
void hfi_say_line(const char *format, ...) HFI_PRINTF(1, 2);

/* Prints an error message, then abort(). */
_Noreturn void hfi_die(const char *id, const char *room, const char *format, ...) HFI_PRINTF(3, 4);

/* Whether SAY_INFO prints (HOLDFAST_VERBOSE). */
void hfi_say_set_verbose(bool verbose);

/* "1.5 GiB" into a buffer of at least 16 bytes; returns the buffer. */
char *hfi_format_bytes(char *buffer, size_t buffer_bytes, uint64_t bytes);

#endif
