/*
 * pressure: see pressure.h.
 *
 * PR1: a slot's word names its state and a number that each registration changes.  Who reads a slot
 *      reads its word first and last: what stood between two equal words belongs together.
 * PR2: a thread that made the word SLOT_TAKEN, and no other, changes the slot and its marks.
 *
 * A caller that has read a slot calls it, even if it is being unregistered meanwhile: unregister
 * before the argument goes.
 *
 * Tests: tests/unit/pressure.c, tests/programs/pressure.c, tests/programs/cancel.c.
 */
#include "app/pressure.h"

#include <errno.h>

#include "base/atomic.h"
#include "base/callback.h"

enum slot_state { SLOT_EMPTY, SLOT_TAKEN, SLOT_FUNCTION, SLOT_HANDLER };

#define SLOT_STATE_MASK 3u
#define SLOT_NUMBER 4u

struct slot {
    _Atomic(unsigned) xword; /* atomic: number, enum slot_state */
    _Atomic(hf_pressure_function *) xfunction;
    _Atomic(hf_pressure_handler *) xhandler;
    _Atomic(void *) xargument;
};

/* A slot as it was at one moment. */
struct entry {
    enum slot_state state;
    hf_pressure_function *function;
    hf_pressure_handler *handler;
    void *argument;
};

static struct slot slots[HFI_PRESSURE_MAX];

static enum slot_state state_of(unsigned word)
{
    return (enum slot_state)(word & SLOT_STATE_MASK);
}

static struct entry entry_of(struct slot *slot)
{
    unsigned word = hfi_load_acquire(&slot->xword); /* pairs with slot_publish */
    struct entry entry = { state_of(word), hfi_load_relaxed(&slot->xfunction),
                           hfi_load_relaxed(&slot->xhandler), hfi_load_relaxed(&slot->xargument) };
    /* acq_rel, by adding nothing: the loads above come before it */
    if (hfi_fetch_add_acq_rel(&slot->xword, 0u) != word)
        entry.state = SLOT_TAKEN;
    return entry;
}

/* A slot that was empty, for this thread; NULL: there is none. */
static struct slot *slot_take(void)
{
    for (unsigned i = 0; i < HFI_PRESSURE_MAX; i++) {
        unsigned word = hfi_load_relaxed(&slots[i].xword);
        if (state_of(word) == SLOT_EMPTY &&
            hfi_cas_acq_rel(&slots[i].xword, &word, word + SLOT_NUMBER + SLOT_TAKEN))
            return &slots[i];
    }
    return NULL;
}

static void slot_publish(struct slot *slot, enum slot_state state)
{
    unsigned word = hfi_load_relaxed(&slot->xword);
    hfi_store_release(&slot->xword, (word & ~SLOT_STATE_MASK) + state); /* pairs with entry_of */
}

static int slot_drop(enum slot_state state, hf_pressure_function *function, hf_pressure_handler *handler,
                     void *argument)
{
    for (unsigned i = 0; i < HFI_PRESSURE_MAX; i++) {
        unsigned word = hfi_load_acquire(&slots[i].xword);
        struct entry entry = entry_of(&slots[i]);
        bool is_it = entry.state == state && entry.argument == argument &&
                     (state == SLOT_FUNCTION ? entry.function == function : entry.handler == handler);
        if (!is_it || state_of(word) != state ||
            !hfi_cas_acq_rel(&slots[i].xword, &word, (word & ~SLOT_STATE_MASK) + SLOT_TAKEN))
            continue;
        for (unsigned node = 0; node < hfi_arena.node_count; node++)
            hfi_mark_clear(&hfi_arena.nodes[node], i);
        slot_publish(&slots[i], SLOT_EMPTY);
        return 0;
    }
    return -ENOENT;
}

int hfi_pressure_register(hf_pressure_function *function, void *argument)
{
    struct slot *slot = slot_take();
    if (slot == NULL)
        return -ENOSPC;
    hfi_store_relaxed(&slot->xfunction, function);
    hfi_store_relaxed(&slot->xargument, argument);
    slot_publish(slot, SLOT_FUNCTION);
    return 0;
}

int hfi_pressure_unregister(hf_pressure_function *function, void *argument)
{
    return slot_drop(SLOT_FUNCTION, function, NULL, argument);
}

static size_t low_pages(const struct arena_node *node, const struct hf_pressure_options *options)
{
    size_t of_bytes =
        options->low_bytes / HFI_PAGE_BYTES + (options->low_bytes % HFI_PAGE_BYTES != 0 ? 1 : 0);
    return hfi_min(hfi_max(of_bytes, hfi_divide_up(node->page_count * options->low_percent, 100)),
                   node->page_count);
}

int hfi_pressure_watch(const struct hf_pressure_options *options, const struct arena_node *only)
{
    struct slot *slot = slot_take();
    if (slot == NULL)
        return -ENOSPC;
    hfi_store_relaxed(&slot->xhandler, options->handler);
    hfi_store_relaxed(&slot->xargument, options->context);
    for (unsigned i = 0; i < hfi_arena.node_count; i++) {
        const struct arena_node *node = &hfi_arena.nodes[i];
        size_t low = low_pages(node, options);
        if (low != 0 && (only == NULL || only == node))
            hfi_mark_set(node, (unsigned)(slot - slots), low);
    }
    slot_publish(slot, SLOT_HANDLER);
    return 0;
}

int hfi_pressure_unwatch(hf_pressure_handler *handler, void *context)
{
    return slot_drop(SLOT_HANDLER, NULL, handler, context);
}

bool hfi_pressure_is_wanted(void)
{
    bool wanted = false;
    for (unsigned i = 0; i < HFI_PRESSURE_MAX; i++)
        /* relaxed: one that comes later was not there */
        wanted = wanted || state_of(hfi_load_relaxed(&slots[i].xword)) > SLOT_TAKEN;
    return wanted && !hfi_callback_is_under_way();
}

static struct hf_pressure told_of(const struct arena_node *node, enum hf_pressure_cause cause, size_t bytes,
                                  const void *heap)
{
    return (struct hf_pressure){ .size_bytes = sizeof(struct hf_pressure),
                                 .cause = cause,
                                 .node = node->id,
                                 .bytes = bytes,
                                 .contiguous = hfi_arena_longest_run(node) * HFI_PAGE_BYTES,
                                 .free = hfi_arena_free_pages(node) * HFI_PAGE_BYTES,
                                 .heap = (struct hf_heap *)(uintptr_t)heap };
}

bool hfi_pressure_call(const struct arena_node *node, size_t bytes, const void *heap)
{
    bool freed = false;
    int cancel;
    if (!hfi_callback_begin(&cancel))
        return false;
    for (unsigned i = 0; i < HFI_PRESSURE_MAX; i++) {
        struct entry entry = entry_of(&slots[i]);
        struct hf_pressure pressure;
        if (entry.state == SLOT_FUNCTION) {
            freed |= entry.function(bytes, node->id, entry.argument);
        } else if (entry.state == SLOT_HANDLER) {
            pressure = told_of(node, HF_PRESSURE_LAST, bytes, heap);
            freed |= entry.handler(&pressure, entry.argument);
        }
    }
    hfi_callback_end(cancel);
    return freed;
}

/* Of one mark, if it is due. */
static void tell_low(const struct arena_node *node, unsigned slot, const void *heap)
{
    struct entry entry = entry_of(&slots[slot]);
    if (entry.state == SLOT_TAKEN) /* it is being registered: the next call tells */
        hfi_store_seq_cst(&hfi_xmarks_due, true);
    size_t missing = entry.state == SLOT_HANDLER ? hfi_mark_tell(node, slot) : 0;
    if (missing == 0)
        return;
    struct hf_pressure pressure = told_of(node, HF_PRESSURE_LOW, missing * HFI_PAGE_BYTES, heap);
    entry.handler(&pressure, entry.argument);
}

/* The kernel says that memory is short. */
static void tell_system(const void *heap)
{
    size_t pages;
    const struct arena_node *node = hfi_psi_tell(&pages);
    for (unsigned i = 0; i < HFI_PRESSURE_MAX && node != NULL && hfi_arena.node_count != 0; i++) {
        struct entry entry = entry_of(&slots[i]);
        if (entry.state != SLOT_HANDLER)
            continue;
        struct hf_pressure pressure = told_of(node, HF_PRESSURE_SYSTEM, pages * HFI_PAGE_BYTES, heap);
        entry.handler(&pressure, entry.argument);
    }
}

void hfi_pressure_tell_low(const void *heap)
{
    int cancel, saved_errno = errno;
    if (!hfi_callback_begin(&cancel))
        return;
    hfi_store_seq_cst(&hfi_xmarks_due, false); /* before the marks are looked at */
    /* a callback may leave this thread in a child that has no arena */
    for (unsigned node = 0; node < hfi_arena.node_count; node++)
        for (unsigned slot = 0; slot < HFI_PRESSURE_MAX && node < hfi_arena.node_count; slot++)
            tell_low(&hfi_arena.nodes[node], slot, heap);
    tell_system(heap);
    hfi_callback_end(cancel);
    errno = saved_errno;
}
