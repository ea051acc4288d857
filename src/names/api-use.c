/*
 * api-use: hf_heap_use of <holdfast/heap.h>: what the calling thread's plain malloc comes from.
 *
 * Tests: tests/programs/heap-use.c, tests/programs/heap-misuse.c.
 */
#include <holdfast/heap.h>

#include "malloc/heaps.h"
#include "malloc/slow.h"
#include "malloc/thread.h"
#include "malloc/use.h"

HFI_EXPORT struct hf_heap *hf_heap_use(struct hf_heap *handle)
{
    const void *before = hfi_use_handle != NULL ? hfi_use_handle : &hfi_default_heap;
    bool ends = handle == NULL || (const void *)handle == &hfi_default_heap;
    struct heap *heap = ends ? NULL : hfi_heaps_find(handle, "hf_heap_use");
    if (ends)
        hfi_use_end();
    else if (!hfi_thread_may_attach())
        return (struct hf_heap *)before; /* nothing of ours would end it */
    else if (hfi_heaps_thread() == NULL)
        return hfi_fail_enomem();
    else
        hfi_use_begin(heap, handle);
    return (struct hf_heap *)before;
}
