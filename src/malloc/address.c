/*
 * address: see address.h.
 *
 * Tests: tests/programs/misuse.c.
 */
#include "malloc/address.h"
#include "arena/pagetable.h"
#include "base/options.h"

void hfi_address_die(const void *pointer, const char *call, uintptr_t owner)
{
    if (hfi_span == 0 && hfi_options.fork == FORK_DONTFORK)
        hfi_die(
            "HF-E301", call,
            "%p did not come from this child of HOLDFAST_FORK=dontfork, which has no arena: a block of its "
            "parent; let such a child do little but exec, or set HOLDFAST_FORK=private",
            pointer);
    if (!hfi_in_arena(pointer))
        hfi_die(
            "HF-E301", call,
            "%p did not come from this allocator (arena %p to %p): memory of another allocator (a plugin "
            "loaded with RTLD_DEEPBIND has the C library's), of the stack, or a wild pointer; load plugins "
            "without RTLD_DEEPBIND, or run the program under valgrind",
            pointer, (void *)hfi_base, (void *)(hfi_base + hfi_span));
    if (owner == HFI_OWNER_META)
        hfi_die("HF-E306", call,
                "%p lies in Holdfast's own structures: a wild pointer; run the program under valgrind",
                pointer);
    hfi_die("HF-E302", call,
            "%p lies in a page that is not handed out: freed twice, or a pointer into the middle of a "
            "large block; run the program under the secure build or valgrind",
            pointer);
}
