/*
 * server: the shape of a server on several nodes.  In each phase new threads, two per node,
 * allocate blocks and leave them in the mailboxes of others, who read and free them; in mid-phase
 * each thread is moved to another node.  Some blocks stay for the next phase.
 *
 * Every block is as it was left; every phase ends with the maps and theaps whole; the arena holds
 * no more after the last phase than after the second; in the end all blocks are accounted for.
 * Reports the share of pages from away.
 */
#include "lab.h"
#include "app/stats.h"
#include "heap/counters.h"

#define THREADS_PER_NODE 2
#define THREADS_MAX 16
#define PHASES 5
#define STEPS 4000
#define ROUND_STEPS 100 /* threads meet after so many: software emulation runs them in long turns */
#define MAILBOXES 256   /* of each thread */

static _Atomic(struct lab_letter *) mailboxes[THREADS_MAX][MAILBOXES];
static pthread_barrier_t round_over;
static _Atomic(size_t) sent, received, spoilt, remote_letters, astray_letters;
static unsigned thread_count;

static void open_letter(struct lab_letter *letter, unsigned reader)
{
    if (letter == NULL)
        return;
    received++;
    remote_letters += letter->from != reader;
    spoilt += lab_letter_open(letter);
}

static struct lab_letter *write_letter(uint64_t *random, unsigned writer)
{
    struct lab_letter *letter = lab_letter_write(random, writer);
    CHECK(letter != NULL);
    sent++;
    return letter;
}

static void *serve(void *argument)
{
    unsigned self = (unsigned)(uintptr_t)argument, node_count = hfi_arena.node_count;
    uint64_t random = 77 + self;
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned node = hfi_arena.nodes[(self + step / (STEPS / 2)) % node_count].id;
        if (step % (STEPS / 2) == 0)
            lab_run_on(node);
        unsigned reader = (self + 1 + (unsigned)(test_random(&random) % (thread_count - 1))) % thread_count;
        struct lab_letter *letter = write_letter(&random, self);
        astray_letters += hf_node_of(letter) != (int)node;
        open_letter(atomic_exchange(&mailboxes[reader][test_random(&random) % MAILBOXES], letter), self);
        open_letter(atomic_exchange(&mailboxes[self][test_random(&random) % MAILBOXES], NULL), self);
        if (step % ROUND_STEPS == 0)
            pthread_barrier_wait(&round_over);
    }
    return NULL;
}

static void run_phase(void)
{
    pthread_t threads[THREADS_MAX];
    for (uintptr_t i = 0; i < thread_count; i++)
        CHECK(pthread_create(&threads[i], NULL, serve, (void *)i) == 0);
    for (unsigned i = 0; i < thread_count; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

int main(void)
{
    size_t used[PHASES];
    lab_start();
    thread_count = (unsigned)hfi_min(hfi_arena.node_count * THREADS_PER_NODE, THREADS_MAX);
    CHECK(pthread_barrier_init(&round_over, NULL, thread_count) == 0);
    for (int phase = 0; phase < PHASES; phase++) {
        struct counters before, after;
        hfi_stats_counters(&before);
        run_phase();
        hfi_stats_counters(&after);
        used[phase] = lab_used_pages();
        const char *broken = lab_audit();
        uint64_t taken =
            after.fresh + after.claimed + after.large - before.fresh - before.claimed - before.large;
        printf("# phase %d: %zu pages used; of %llu taken %llu are from away\n", phase, used[phase],
               (unsigned long long)taken,
               (unsigned long long)(hfi_counters_away(&after) - hfi_counters_away(&before)));
        lab_ok(broken == NULL, "phase %d: audit: %s", phase, broken == NULL ? "whole" : broken);
        lab_ok(hfi_counters_away(&after) == hfi_counters_away(&before),
               "phase %d: no page from away while every node has room", phase);
    }
    printf(
        "# of %zu letters %zu were opened by another thread, %zu lay on another node than their writer's\n",
        (size_t)sent, (size_t)remote_letters, (size_t)astray_letters);
    lab_ok(spoilt == 0, "every letter was as it was written");
    lab_ok(remote_letters > received / 2, "most were opened by another thread");
    lab_ok(astray_letters < sent / 8, "seven of eight lie on the node of their writer (%zu of %zu do not)",
           (size_t)astray_letters, (size_t)sent);
    lab_ok(used[PHASES - 1] <= used[1] + used[1] / 10 + 16,
           "no growth: %zu pages after the second phase, %zu after the last", used[1], used[PHASES - 1]);
    for (unsigned i = 0; i < THREADS_MAX * MAILBOXES; i++)
        open_letter(atomic_exchange(&mailboxes[i / MAILBOXES][i % MAILBOXES], NULL), THREADS_MAX);
    hf_thread_idle();
    lab_ok(received == sent, "every letter was opened");
    const char *broken = lab_audit();
    lab_ok(broken == NULL, "audit at the end: %s", broken == NULL ? "whole" : broken);
    lab_ok(lab_used_pages() <= 16, "all blocks freed: %zu pages are still used", lab_used_pages());
    return 0;
}
