/*
 * idleset: against a model, and with threads that add and take at once.
 */
#include "idleset.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static struct idleset *set_new(size_t capacity)
{
    struct idleset *set = malloc(sizeof *set);
    hfi_idleset_init(set, capacity, calloc(1, hfi_idleset_bytes(capacity)));
    return set;
}

Test(idleset, agrees_with_a_model)
{
    static const size_t capacities[] = { 1, 64, 65, 4096, 5000, 300000 };
    for (size_t c = 0; c < sizeof capacities / sizeof capacities[0]; c++) {
        size_t capacity = capacities[c], members = 0;
        struct idleset *set = set_new(capacity);
        bool *model = calloc(capacity, sizeof *model);
        uint64_t random = c + 1;
        for (int step = 0; step < 20000; step++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            size_t member = (random >> 20) % capacity;
            switch (random >> 60 & 3) {
            case 0: case 1:
                cr_assert_eq(hfi_idleset_add(set, member), !model[member]);
                members += !model[member];
                model[member] = true;
                break;
            case 2:
                cr_assert_eq(hfi_idleset_remove(set, member), model[member]);
                members -= model[member];
                model[member] = false;
                break;
            case 3:
                member = hfi_idleset_take(set);
                cr_assert_eq(member == HFI_IDLESET_NONE, members == 0);
                if (member != HFI_IDLESET_NONE) {
                    cr_assert(model[member]);
                    model[member] = false;
                    members--;
                }
            }
        }
        cr_assert_null(hfi_idleset_audit(set));
        free(set->xlevels[0]);
        free(set);
        free(model);
    }
}

#define SHARED 10000

static struct idleset *shared;
static _Atomic(int) inside[SHARED];

static void *add_and_take(void *argument)
{
    uint64_t random = (uintptr_t)argument;
    for (int step = 0; step < 200000; step++) {
        size_t member = hfi_idleset_take(shared);
        if (member == HFI_IDLESET_NONE)
            continue;
        if (atomic_exchange(&inside[member], 0) != 1)
            abort(); /* taken twice */
        random = random * 6364136223846793005u + 1442695040888963407u;
        atomic_store(&inside[member], 1);
        if (!hfi_idleset_add(shared, member))
            abort();
    }
    return NULL;
}

Test(idleset, threads_share_it)
{
    pthread_t threads[4];
    shared = set_new(SHARED);
    for (size_t i = 0; i < SHARED; i += 2500) {
        inside[i] = 1;
        hfi_idleset_add(shared, i);
    }
    for (uintptr_t i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, add_and_take, (void *)(i + 1));
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    cr_assert_null(hfi_idleset_audit(shared));
    size_t left = 0;
    while (hfi_idleset_take(shared) != HFI_IDLESET_NONE)
        left++;
    cr_assert_eq(left, 4); /* nobody was lost */
}
