/*
 * threads: blocks pass between threads that come and go; none is lost or handed out twice.
 *
 * Each thread replaces random slots of a table that all share, so that most blocks are
 * freed by another thread than made them; marks at both ends are checked at each
 * free.  Threads end and are replaced all the time, and free once more in a destructor
 * of thread-local data.  Afterwards everything is freed and one block of most of
 * the arena must fit: nothing is stranded.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "test.h"

#define SLOTS 4096
#define THREADS 8
#define GENERATIONS 24
#define ROUNDS 20000

struct slot {
    size_t bytes;
    unsigned char data[];
};

static _Atomic(struct slot *) slots[SLOTS];
static pthread_key_t late_key;

static struct slot *slot_new(size_t bytes)
{
    struct slot *slot = malloc(sizeof *slot + bytes);
    CHECK(slot != NULL && (uintptr_t)slot % 16 == 0);
    slot->bytes = bytes;
    test_mark(slot->data, bytes);
    return slot;
}

static void slot_free(struct slot *slot)
{
    if (slot == NULL)
        return;
    CHECK(test_marked(slot->data, slot->bytes));
    free(slot);
}

static void late_destructor(void *block)
{
    free(block);
    free(malloc(100)); /* the theap may be gone by now: a new one is made and let go */
}

static void *churn(void *argument)
{
    uint64_t random = (uintptr_t)argument * 0x9e3779b97f4a7c15u + 1;
    pthread_setspecific(late_key, malloc(77));
    for (int i = 0; i < ROUNDS; i++) {
        size_t most = i % 64 == 0 ? 400000 : i % 8 == 0 ? 20000 : 800;
        struct slot *fresh =
            test_random(&random) % 4 == 0 ? NULL : slot_new(test_random_size(&random, 1, most));
        slot_free(atomic_exchange(&slots[test_random(&random) % SLOTS], fresh));
    }
    return NULL;
}

int main(int argc, char **argv)
{
    (void)argc;
    test_on_arena(argv, "512M");
    free(malloc(1)); /* the arena stands before there are threads */
    CHECK(pthread_key_create(&late_key, late_destructor) == 0);
    for (uintptr_t generation = 0; generation < GENERATIONS; generation++) {
        pthread_t threads[THREADS];
        for (uintptr_t i = 0; i < THREADS; i++)
            CHECK(pthread_create(&threads[i], NULL, churn, (void *)(generation * THREADS + i + 1)) == 0);
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
    }
    for (int i = 0; i < SLOTS; i++)
        slot_free(slots[i]);
    void *most = malloc((size_t)400 << 20); /* the arena has 512 MiB */
    CHECK(most != NULL);
    free(most);
    return 0;
}
