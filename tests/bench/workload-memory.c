/*
 * The workloads that show how much memory some threads need for what is live.
 */
#include "workload.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

/* --- memory: how small an arena does --- */

#define MAIL_MAX 200             /* blocks that wait for a thread to free them */
#define MAIL_MAX_ONE_FREES 20000 /* where one thread frees for all: this is what is live */
struct letter {
    size_t bytes;
    struct letter *next;
};

static struct {
    unsigned threads;
    size_t target_bytes; /* live bytes per thread swing around this */
    long rounds;
    bool one_frees; /* all but thread 0 only allocate */
    pthread_barrier_t all_started;
    _Atomic(struct letter *) mail[1024];
    _Atomic(int) mail_count[1024];
    _Atomic(long) live_bytes, peak_bytes, steps;
} memory = { .threads = 200, .target_bytes = (size_t)6 << 20, .rounds = 500 };

static void memory_account(long bytes)
{
    long live = atomic_fetch_add(&memory.live_bytes, bytes) + bytes, peak = memory.peak_bytes;
    while (live > peak && !atomic_compare_exchange_weak(&memory.peak_bytes, &peak, live))
        ;
}

static bool mail_send(unsigned to, struct letter *letter)
{
    if (atomic_fetch_add(&memory.mail_count[to], 1) >= (memory.one_frees ? MAIL_MAX_ONE_FREES : MAIL_MAX)) {
        atomic_fetch_sub(&memory.mail_count[to], 1);
        return false;
    }
    struct letter *first = memory.mail[to];
    do
        letter->next = first;
    while (!atomic_compare_exchange_weak(&memory.mail[to], &first, letter));
    return true;
}

static long mail_free_all(unsigned of)
{
    long bytes = 0;
    int count = 0;
    for (struct letter *letter = atomic_exchange(&memory.mail[of], NULL), *next; letter != NULL;
         letter = next) {
        next = letter->next;
        bytes += (long)letter->bytes;
        count++;
        free(letter);
    }
    atomic_fetch_sub(&memory.mail_count[of], count);
    return bytes;
}

static struct letter *letter_new(uint64_t *random)
{
    uint64_t kind = next_random(random) % 100;
    size_t bytes = kind < 85 ? random_size(random, 4, 9)
                 : kind < 98 ? random_size(random, 9, 12)
                             : random_size(random, 12, 15);
    struct letter *letter = malloc(bytes);
    if (letter == NULL) {
        static _Atomic(bool) said;
        if (!atomic_exchange(&said, true))
            fprintf(stderr, "hf-workload: NULL with %ld bytes live\n", (long)memory.live_bytes);
        _exit(1);
    }
    letter->bytes = bytes;
    return letter;
}

static void *memory_thread(void *argument)
{
    enum { SLOTS = 60000 };
    unsigned self = (unsigned)(uintptr_t)argument;
    uint64_t random = self * 77 + 5;
    struct letter **slots =
        mmap(NULL, SLOTS * sizeof *slots, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t count = 0, live_bytes = 0;
    pthread_barrier_wait(&memory.all_started);
    while (memory.steps < memory.threads * memory.rounds * 400) { /* all threads to the end */
        long change = -mail_free_all(self);
        size_t goal = memory.target_bytes / 2 + next_random(&random) % memory.target_bytes;
        for (int i = 0; i < 400; i++) {
            if (live_bytes < goal && count < SLOTS) {
                slots[count] = letter_new(&random);
                live_bytes += slots[count]->bytes;
                change += (long)slots[count++]->bytes;
            } else if (count > 0) {
                size_t slot = next_random(&random) % count;
                struct letter *letter = slots[slot];
                slots[slot] = slots[--count];
                live_bytes -= letter->bytes;
                if (next_random(&random) % 3 != 0 ||
                    !mail_send((unsigned)(next_random(&random) % memory.threads), letter)) {
                    change -= (long)letter->bytes;
                    free(letter);
                }
            }
        }
        memory_account(change);
        memory.steps += 400;
        if (next_random(&random) % 8 == 0)
            usleep(200);
    }
    return NULL;
}

/* Thread 0 frees what all others allocate; the sum of live bytes is bounded by the mailboxes. */
static void *one_frees_thread(void *argument)
{
    unsigned self = (unsigned)(uintptr_t)argument;
    uint64_t random = self + 1;
    pthread_barrier_wait(&memory.all_started);
    while (memory.steps < (memory.threads - 1) * memory.rounds * 400) {
        if (self == 0) {
            for (unsigned of = 1; of < memory.threads; of++)
                memory_account(-mail_free_all(of));
            continue;
        }
        struct letter *letter = letter_new(&random);
        memory_account((long)letter->bytes);
        long bytes = (long)letter->bytes;
        if (!mail_send(self, letter)) {
            free(letter);
            memory_account(-bytes);
            sched_yield();
        }
        memory.steps++;
    }
    return NULL;
}

void workload_memory(int argc, char **argv)
{
    memory.threads = argc > 0 ? (unsigned)strtoul(argv[0], NULL, 10) : 200;
    memory.target_bytes = (argc > 1 ? strtoul(argv[1], NULL, 10) : 6144) << 10;
    memory.rounds = scaled(argc > 2 ? strtol(argv[2], NULL, 10) : 500);
    memory.one_frees = argc > 3;
    if (memory.threads == 0 || memory.threads > 1024)
        fail("memory: 1 to 1024 threads");
    pthread_barrier_init(&memory.all_started, NULL, memory.threads);
    double from = now_seconds();
    in_threads(memory.threads, memory.one_frees ? one_frees_thread : memory_thread);
    printf("live_bytes %ld steps_per_second %.0f\n", (long)memory.peak_bytes,
           (double)memory.steps / (now_seconds() - from));
}
