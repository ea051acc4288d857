/*
 * callback: see callback.h.
 *
 * Tests: tests/unit/pressure.c, tests/programs/cancel.c, tests/programs/soft-limit.c.
 */
#include "base/callback.h"

#include <pthread.h>

static HFI_TLS bool is_under_way;

bool hfi_callback_is_under_way(void)
{
    return is_under_way;
}

bool hfi_callback_begin(int *cancel)
{
    if (is_under_way)
        return false;
    is_under_way = true;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, cancel);
    return true;
}

void hfi_callback_end(int cancel)
{
    is_under_way = false;
    pthread_setcancelstate(cancel, NULL);
}
