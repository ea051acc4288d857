/*
 * pressure: see pressure.h.
 *
 * A slot is taken by the CAS of its function pointer from NULL to `slot_taken`, filled, and
 * published by a release store; freed by the reverse.  A caller that reads a slot while it is
 * being unregistered may still call it once: unregister before the argument goes.
 *
 * Tests: tests/unit/pressure.c, tests/programs/cancel.c.
 */
#include "app/pressure.h"

#include <errno.h>

#include "base/atomic.h"
#include "base/callback.h"

struct slot {
    _Atomic(hfi_pressure_function *) xfunction; /* atomic: NULL = empty */
    _Atomic(void *) xargument;                  /* atomic */
};

static struct slot slots[HFI_PRESSURE_MAX];

static bool slot_taken(size_t bytes, unsigned node, void *argument)
{
    (void)bytes, (void)node, (void)argument;
    return false;
}

int hfi_pressure_register(hfi_pressure_function *function, void *argument)
{
    for (int i = 0; i < HFI_PRESSURE_MAX; i++) {
        hfi_pressure_function *empty = NULL;
        if (!hfi_cas_acq_rel(&slots[i].xfunction, &empty, slot_taken))
            continue;
        hfi_store_relaxed(&slots[i].xargument, argument);
        hfi_store_release(&slots[i].xfunction, function); /* pairs with hfi_pressure_call */
        return 0;
    }
    return -ENOSPC;
}

int hfi_pressure_unregister(hfi_pressure_function *function, void *argument)
{
    for (int i = 0; i < HFI_PRESSURE_MAX; i++) {
        hfi_pressure_function *found = function;
        if (hfi_load_relaxed(&slots[i].xargument) == argument &&
            hfi_cas_acq_rel(&slots[i].xfunction, &found, NULL))
            return 0;
    }
    return -ENOENT;
}

bool hfi_pressure_is_wanted(void)
{
    bool wanted = false;
    for (int i = 0; i < HFI_PRESSURE_MAX; i++)
        /* relaxed: one that comes later was not there */
        wanted = wanted || hfi_load_relaxed(&slots[i].xfunction) != NULL;
    return wanted && !hfi_callback_is_under_way();
}

bool hfi_pressure_call(size_t bytes, unsigned node)
{
    bool freed = false;
    int cancel;
    if (!hfi_callback_begin(&cancel))
        return false;
    for (int i = 0; i < HFI_PRESSURE_MAX; i++) {
        hfi_pressure_function *function = hfi_load_acquire(&slots[i].xfunction);
        if (function != NULL && function(bytes, node, hfi_load_relaxed(&slots[i].xargument)))
            freed = true;
    }
    hfi_callback_end(cancel);
    return freed;
}
