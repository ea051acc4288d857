/*
 * slots: see slots.h and <holdfast/inspect.h>; doc/protocols.md, section 9.
 *
 * SL1: who has changed a heap's word of use and limit stores what the slot says of it, and then
 *      looks at the word by an atomic step that changes nothing.  If the word is another one, it
 *      stores again.  So the last store into the slot is of the last word.
 * SL2: what is const of a heap is stored between two zeros of `id` and `id_again`, by the thread that
 *      makes it, or by threads in calls on it, which its end may not overlap.  All of these store the
 *      same.
 * SL3: the sums of heaps without a slot are kept here, and shown as SL1 says.
 *
 * Tests: tests/programs/heap-slots.c.
 */
#include "heap/slots.h"

#include <string.h>

#include "arena/arena.h"
#include "heap/limit.h"
#include "heap/piece.h"
#include "kernel/cpu.h"
#include "numa/plan.h"

#define NAME_WORDS (sizeof((struct hf_inspect_heap *)NULL)->name / sizeof(uint64_t))

_Static_assert(sizeof(struct hf_inspect_heap) == 2 * HFI_CACHE_LINE, "public layout, version 3");

static _Atomic(uint64_t) xother_heaps, xother_units, xother_last, xfailures;

static struct hf_inspect_segment *segment(void)
{
    return hfi_load_acquire(&hfi_shown()->xsegment); /* pairs with inspect.c */
}

static void show_limit(struct hf_inspect_heap *shown, uint32_t units)
{
    HFI_SHOW(shown->limit, units == HFI_LIMIT_NONE ? 0 : (uint64_t)units * HFI_PIECE_BYTES);
}

/* SL2 */
void hfi_slots_tell(struct hf_inspect_heap *shown, const struct slot_heap *heap)
{
    uint64_t name[NAME_WORDS];
    memcpy(name, heap->name, sizeof name);
    HFI_SHOW(shown->last, heap->id);
    HFI_SHOW(shown->made_ticks, hfi_os_ticks());
    HFI_SHOW(shown->soft_limit, (uint64_t)heap->soft_units * HFI_PIECE_BYTES);
    HFI_SHOW(shown->flags, heap->flags);
    HFI_SHOW(shown->node, heap->only == NULL ? HF_INSPECT_NO_NODE : heap->only->index);
    for (size_t i = 0; i < NAME_WORDS; i++)
        HFI_SHOW(((uint64_t *)shown->name)[i], name[i]);
    hfi_plain_store_release(&shown->id_again, heap->id); /* as the next */
    hfi_plain_store_release(&shown->id, heap->id);       /* pairs with the reader's look at both */
}

void hfi_slots_begin(uint32_t slot, const struct slot_heap *heap, uint32_t limit_units)
{
    struct hf_inspect_heap *shown = hfi_slots_shown(slot);
    if (shown != NULL) {
        HFI_SHOW(shown->held, 0);
        HFI_SHOW(shown->most, 0);
        HFI_SHOW(shown->failures, 0);
        HFI_SHOW(shown->crossings, 0);
        show_limit(shown, limit_units);
        hfi_slots_tell(shown, heap);
    } else if (slot == HFI_SLOT_NONE) {
        hfi_fetch_add_relaxed(&xother_heaps, 1); /* relaxed: counts */
        hfi_slots_show_sums(heap->id);
    }
}

void hfi_slots_end(uint32_t slot)
{
    struct hf_inspect_heap *shown = hfi_slots_shown(slot);
    if (shown != NULL) {
        HFI_SHOW(shown->id, 0);
        HFI_SHOW(shown->id_again, 0);
        hfi_fence_release(); /* pairs with the reader, who finds a zero before anything of the next heap */
    } else if (slot == HFI_SLOT_NONE) {
        hfi_fetch_sub_relaxed(&xother_heaps, 1);
        hfi_slots_show_sums(0);
    }
}

/* Who stored something else has looked at the word before this thread changed it, or will (SL1). */
void hfi_slots_clear(uint32_t slot)
{
    struct hf_inspect_heap *shown = hfi_slots_shown(slot);
    if (shown != NULL)
        HFI_SHOW(shown->held, 0);
}

/* SL1.  Release: who changes the word next stores into the slot after this thread has.  Acquire: this
 * thread stores after who changed it before. */
void hfi_slots_show(struct hf_inspect_heap *shown, _Atomic(uint64_t) *limit)
{
    uint64_t word = hfi_load_relaxed(limit), had; /* relaxed: it is looked at again */
    do {
        HFI_SHOW(shown->held, (uint64_t)hfi_limit_use(word) * HFI_PIECE_BYTES);
        show_limit(shown, hfi_limit_of(word));
        had = word;
        word = hfi_fetch_add_acq_rel(limit, 0);
    } while (word != had);
}

/* SL1, SL3 */
void hfi_slots_add_others(int64_t more)
{
    struct hf_inspect_segment *shown = segment();
    uint64_t units = hfi_fetch_add_acq_rel(&xother_units, (uint64_t)more) + (uint64_t)more, had;
    if (shown == NULL)
        return;
    do {
        HFI_SHOW(shown->other_held, units * HFI_PIECE_BYTES);
        had = units;
        units = hfi_fetch_add_acq_rel(&xother_units, 0);
    } while (units != had);
}

void hfi_slots_show_soft(uint32_t slot, uint32_t units)
{
    struct hf_inspect_heap *shown = hfi_slots_shown(slot);
    if (shown != NULL)
        HFI_SHOW(shown->soft_limit, (uint64_t)units * HFI_PIECE_BYTES);
}

void hfi_slots_show_crossed(uint32_t slot, uint64_t crossings)
{
    struct hf_inspect_heap *shown = hfi_slots_shown(slot);
    if (shown != NULL)
        HFI_SHOW(shown->crossings, crossings);
}

void hfi_slots_show_failed(uint32_t slot, uint64_t failed)
{
    struct hf_inspect_segment *all = segment();
    struct hf_inspect_heap *shown = hfi_slots_shown(slot);
    uint64_t failures = hfi_fetch_add_relaxed(&xfailures, 1) + 1; /* relaxed: a count */
    if (all != NULL)
        HFI_SHOW(all->heap_failures, failures);
    if (shown != NULL)
        HFI_SHOW(shown->failures, failed);
}

void hfi_slots_show_sums(uint64_t made)
{
    struct hf_inspect_segment *shown = segment();
    uint64_t last = hfi_load_relaxed(&xother_last); /* relaxed: a figure */
    while (last < made && !hfi_cas_weak_relaxed(&xother_last, &last, made))
        ;
    if (shown == NULL)
        return;
    HFI_SHOW(shown->other_heaps, hfi_load_relaxed(&xother_heaps)); /* relaxed: figures */
    HFI_SHOW(shown->other_last, hfi_load_relaxed(&xother_last));
    HFI_SHOW(shown->heap_failures, hfi_load_relaxed(&xfailures));
    hfi_slots_add_others(0);
}

/* False where the heap comes or goes. */
static bool read_slot(const struct hf_inspect_heap *shown, struct slot_most *heap)
{
    uint64_t name[NAME_WORDS];
    *heap = (struct slot_most){ .id = HFI_SHOWN(shown->id),
                                .held = HFI_SHOWN(shown->held),
                                .limit = HFI_SHOWN(shown->limit) };
    for (size_t i = 0; i < NAME_WORDS; i++)
        name[i] = HFI_SHOWN(((const uint64_t *)shown->name)[i]);
    memcpy(heap->name, name, sizeof name);
    heap->name[sizeof heap->name - 1] = 0;
    return heap->id != 0 && HFI_SHOWN(shown->id_again) == heap->id;
}

unsigned hfi_slots_most(struct slot_most *most, unsigned count)
{
    struct hf_inspect_heap *shown = hfi_slots_shown(0);
    unsigned found = 0;
    struct slot_most heap;
    for (size_t i = 0; shown != NULL && i < hfi_plan_heaps_shown(hfi_arena.page_count); i++) {
        unsigned place = found;
        if (!read_slot(&shown[i], &heap) || heap.held == 0)
            continue;
        while (place != 0 && most[place - 1].held < heap.held)
            place--;
        if (place == count)
            continue;
        found += found < count;
        memmove(&most[place + 1], &most[place], (found - 1 - place) * sizeof *most);
        most[place] = heap;
    }
    return found;
}

void hfi_slots_forked(void)
{
    hfi_store_relaxed(&xother_units, 0); /* relaxed: one thread */
}

void hfi_slots_forsake(void)
{
    hfi_slots_forked();
    hfi_store_relaxed(&xother_heaps, 0);
}
