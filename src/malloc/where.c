/*
 * where: malloc where the thread or the caller says from where: what was set aside, the heap in use,
 * the default heap whatever is in use, a node (request.h, slow.h).
 *
 * Tests: tests/programs/heap-use.c, tests/programs/claim.c, tests/unit/nodes.c.
 */
#include <string.h>

#include "app/figures.h"
#include "heap/page.h"
#include "malloc/alloc.h"
#include "malloc/full.h"
#include "malloc/heaps.h"
#include "malloc/init.h"
#include "malloc/request.h"
#include "malloc/use.h"

static struct aside_wanted wanted_aside(const struct request *request)
{
    bool large = hfi_request_is_large(request);
    return (struct aside_wanted){
        .class = large ? HFI_CLASS_LARGE : hfi_sizeclass_of(request->bytes),
        .pages = large ? hfi_large_pages(request->bytes) : 0,
        .align_bytes = request->align_bytes,
    };
}

/* Whether this thread has set a block aside that would do for such a request. */
static bool may_use_aside(const struct request *request)
{
    return hfi_unlikely(hfi_aside_first != 0) && !request->to_set_aside && !request->dispensable &&
           request->only == NULL;
}

bool hfi_where_has_aside(const struct request *request)
{
    struct aside_wanted wanted;
    if (!may_use_aside(request))
        return false;
    wanted = wanted_aside(request);
    return hfi_aside_has(&wanted);
}

void *hfi_where_take_aside(const struct request *request)
{
    struct aside_wanted wanted;
    if (!may_use_aside(request))
        return NULL;
    wanted = wanted_aside(request);
    void *block = hfi_aside_take(&wanted);
    return block != NULL && request->zero ? memset(block, 0, request->bytes) : block;
}

void *hfi_malloc_used(size_t align, size_t bytes, bool zero)
{
    void *block = align <= HFI_MAX_ALIGN ? hfi_heaps_malloc(hfi_use_handle, bytes, "malloc")
                                         : hfi_heaps_alloc(hfi_use_handle, align, bytes, "aligned_alloc");
    return block != NULL && zero ? memset(block, 0, bytes) : block;
}

void *hfi_malloc_default(size_t align, size_t bytes)
{
    if (hfi_likely(hfi_use_handle == NULL))
        return hfi_aligned_alloc(align, bytes);
    struct suspension suspension;
    hfi_use_suspend(&suspension);
    void *block = hfi_aligned_alloc(align, bytes);
    hfi_use_resume(&suspension);
    return block;
}

static void *malloc_on_node(size_t bytes, struct arena_node *node)
{
    struct request request = { .bytes = bytes, .align_bytes = HFI_MAX_ALIGN, .only = node };
    struct theap *theap = hfi_init_thread();
    if (theap == NULL || hfi_request_is_impossible(&request))
        return hfi_fail_enomem();
    const struct page_front *front = hfi_front_for(bytes);
    /* Of a page with other room, hfi_malloc might let go for one at home. */
    bool listed = front->free != NULL || front->local_free != NULL;
    unsigned class = listed ? hfi_sizeclass_of(bytes) : 0;
    if (listed && front == theap->classes[class].front && hfi_request_has_page_on(theap, class, node))
        return hfi_malloc(bytes);
    void *block = hfi_take(theap, &request);
    if (block == NULL && hfi_full_ask(node, hfi_request_pages(&request)) &&
        (theap = hfi_init_thread()) != NULL)
        block = hfi_take(theap, &request);
    if (block != NULL)
        return block;
    hfi_inspect_full(node, bytes, NULL);
    hfi_full_count(hfi_theap);
    return hfi_fail_enomem();
}

void *hfi_malloc_on_node(size_t bytes, struct arena_node *node)
{
    struct suspension suspension;
    hfi_use_suspend(&suspension);
    void *block = malloc_on_node(bytes, node);
    hfi_use_resume(&suspension);
    return block;
}

void *hfi_malloc_to_set_aside(size_t bytes, unsigned *class)
{
    struct request request = { .bytes = bytes, .align_bytes = HFI_MAX_ALIGN, .to_set_aside = true };
    struct theap *theap = hfi_init_thread();
    *class = wanted_aside(&request).class;
    if (*class != HFI_CLASS_LARGE) /* as aligned allocations of the class may ask for */
        request.align_bytes =
            hfi_min((size_t)1 << hfi_lowest_bit(hfi_sizeclasses[*class].block_bytes), HFI_PAGE_BYTES);
    if (theap == NULL || hfi_request_is_impossible(&request))
        return NULL;
    void *block = hfi_take(theap, &request);
    if (block == NULL && hfi_full_ask(theap->node, hfi_request_pages(&request)) &&
        (theap = hfi_init_thread()) != NULL)
        block = hfi_take(theap, &request);
    return block;
}
