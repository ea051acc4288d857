/*
 * aside: blocks that a thread has set aside, by number of a claim (<holdfast/claim.h>).
 *
 * To its page such a block is one that is handed out.  What is set aside is known from a table
 * outside the arena, which a forked child believes.  All here is about the calling thread, except
 * where it says so; nothing waits.
 */
#ifndef HFI_ASIDE_H
#define HFI_ASIDE_H

#include "base/atomic.h"
#include "base/base.h"

#define HFI_ASIDE_LINES 2048u
#define HFI_ASIDE_LINE_BLOCKS 6u
#define HFI_ASIDE_MAX ((size_t)HFI_ASIDE_LINES * HFI_ASIDE_LINE_BLOCKS)

/* The newest line of what this thread has set aside, from 1 on; 0: nothing. */
extern HFI_HIDDEN HFI_TLS uint32_t hfi_aside_first;

/* What a request comes to: of pages as many, for HFI_CLASS_LARGE. */
struct aside_wanted {
    unsigned class;
    size_t pages;
    size_t align_bytes;
};

/* A number under which to set aside; 0: the table is full. */
uint64_t hfi_aside_begin(void);

/* Sets a live block aside that was asked for as one of `class`; false: the table is full. */
bool hfi_aside_add(uint64_t number, void *block, unsigned class);

/* Whether a block is set aside that would do; and that block, which is set aside no more, or NULL. */
bool hfi_aside_has(const struct aside_wanted *wanted);
void *hfi_aside_take(const struct aside_wanted *wanted);

/* No more under that number: `give` frees what is left.  False: there is none of that number. */
typedef void aside_give(void *block);
bool hfi_aside_end(uint64_t number, aside_give *give);

/* The same of all numbers: at the thread's end. */
void hfi_aside_end_all(void);

/* In a forked child of a process with threads, after it has let go of all pages: frees what other
 * threads had set aside.  In one without the arena: there are no such blocks. */
void hfi_aside_forked(void);
void hfi_aside_forsake(void);

#endif
