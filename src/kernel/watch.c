/*
 * watch: see watch.h.
 *
 * The word is `rseq_cs`, which leads to the description of a critical section.  Ours describes one that no
 * thread is ever in.  On its way back to the program, after whatever took the thread off its CPU, the kernel
 * finds the thread outside of that section, and stores NULL (linux/rseq.h).
 *
 * WA1: the kernel ends a process whose description is not in order.  Its signature stands before the
 *      address to abort to, which lies outside of the section.
 * WA2: who uses rseq(2) besides us is in no critical section when it calls malloc, so that no word of theirs
 *      is lost.  A signal handler of theirs takes ours away, which reads as an interruption, and is one.
 *
 * Concurrency: the word is the thread's own; the kernel alone changes it meanwhile, as a signal handler does.
 *
 * Test: tests/unit/os.c.
 */
#include "kernel/watch.h"

#include "base/atomic.h"

#ifdef HAVE_SYS_RSEQ_H
#include <sys/rseq.h>

/* WA1 */
static const uint32_t landing[2] = { RSEQ_SIG, 0 };
static const struct rseq_cs nowhere __attribute__((aligned(32))) = {
    .start_ip = (uintptr_t)&landing[0],
    .post_commit_offset = 1,
    .abort_ip = (uintptr_t)&landing[1],
};

/* This thread's word; NULL: there is none. */
static uint64_t *watch_word(void)
{
    if (__rseq_size == 0)
        return NULL;
    return (uint64_t *)((char *)__builtin_thread_pointer() + __rseq_offset + offsetof(struct rseq, rseq_cs));
}

static const uint64_t ours = (uintptr_t)&nowhere;
#else
static uint64_t *watch_word(void)
{
    return NULL;
}

static const uint64_t ours = 1;
#endif

bool hfi_watch_works(void)
{
    return watch_word() != NULL;
}

void hfi_watch_begin(struct watch *watch)
{
    uint64_t *word = watch_word();
    if (word == NULL)
        return;
    watch->outer = hfi_plain_load_relaxed(word);
    hfi_plain_store_relaxed(word, ours); /* relaxed: the kernel looks from this thread */
    hfi_compiler_barrier();
}

bool hfi_watch_end(const struct watch *watch)
{
    uint64_t *word = watch_word();
    if (word == NULL)
        return false;
    hfi_compiler_barrier();
    bool was_off = hfi_plain_load_relaxed(word) != ours;
    hfi_plain_store_relaxed(word, !was_off && watch->outer == ours ? ours : 0);
    return was_off;
}
