/*
 * api-claim: the calls of <holdfast/claim.h>.
 *
 * Tests: tests/programs/claim.c.
 */
#include <errno.h>
#include <holdfast/claim.h>

#include "arena/arena.h"
#include "base/say.h"
#include "heap/aside.h"
#include "heap/large.h"
#include "malloc/alloc.h"
#include "malloc/heaps.h"
#include "malloc/thread.h"
#include "malloc/use.h"

_Static_assert(HF_CLAIM_MAX == HFI_ASIDE_MAX, "the header says it");

static int refuse_in_use(void)
{
    static _Atomic(bool) xsaid;
    if (hfi_first_time(&xsaid))
        hfi_say(SAY_WARNING, "HF-W044", "claim",
                "hf_claim was called in a thread whose plain malloc comes from a heap (hf_heap_use), and is "
                "refused: that heap's limit could fail it; call hf_heap_use(NULL) before");
    return -EINVAL;
}

static void give_back(void *block)
{
    hfi_free(block);
}

static int set_aside(const size_t *sizes, size_t n, uint64_t number)
{
    for (size_t i = 0; i < n; i++) {
        unsigned class;
        void *block = hfi_malloc_to_set_aside(sizes[i], &class);
        if (block == NULL)
            return -EAGAIN;
        if (!hfi_aside_add(number, block, class)) {
            hfi_free(block);
            return -ENOSPC;
        }
    }
    return 0;
}

static bool is_beyond_arena(const size_t *sizes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (sizes[i] > HFI_ARENA_MAX_BYTES || hfi_large_pages(sizes[i]) > hfi_arena.page_count)
            return true;
    return false;
}

/* A thread whose end has begun would not give back what is left. */
HFI_EXPORT int hf_claim(const size_t *sizes, size_t n, struct hf_claim *claim)
{
    *claim = (struct hf_claim){ 0 };
    if (hfi_use_handle != NULL)
        return refuse_in_use();
    if (!hfi_thread_may_attach() || hfi_heaps_thread() == NULL)
        return -EAGAIN;
    if (is_beyond_arena(sizes, n))
        return -ENOMEM;
    uint64_t number = n > HFI_ASIDE_MAX ? 0 : hfi_aside_begin();
    if (number == 0)
        return -ENOSPC;
    int error = set_aside(sizes, n, number);
    if (error != 0)
        hfi_aside_end(number, give_back);
    else
        claim->number = number;
    return error;
}

HFI_EXPORT void hf_claim_end(struct hf_claim *claim)
{
    uint64_t number = claim->number;
    claim->number = 0;
    if (number != 0 && !hfi_aside_end(number, give_back))
        hfi_die(
            "HF-E331", "hf_claim_end",
            "claim %llu is not open in this thread: it was ended before, by a copy of the struct, or another "
            "thread made it; let the thread that called hf_claim end it, once",
            (unsigned long long)number);
}
