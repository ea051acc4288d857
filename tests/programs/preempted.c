/*
 * preempted (G5): no call waits for a thread that is not running.
 *
 * One CPU, two threads.  The worker (SCHED_OTHER) claims, steals, adopts, lists, lets go of and
 * retires pages, and ends and starts again.  The freer (SCHED_FIFO) preempts it in the middle of
 * that and makes a bounded number of calls on the same pages: it frees every block the worker has
 * out, allocates, and gives pages back.  The worker cannot run while the freer does, so a freer
 * that waited for it would wait until the kernel takes the CPU away from it (after 0.95 s of each
 * second): the worker would then run in the middle of the freer's round.
 *
 *   at seams    the worker wakes the freer before and after each step of an ownership change, which
 *               are wrapped by the linker (--wrap): when sem_post returns, the round must be over
 *   by timer    the freer wakes by itself, at any instruction: the worker's count of steps must be
 *               the same at the end of a round as it was at its start
 *
 * No time is measured.  Speaks TAP: skipped where SCHED_FIFO is not to be had.  Afterwards
 * everything is audited, and every page is back.
 */
#include <holdfast/holdfast.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <time.h>

#include "heap/theap.h"

#include "test.h"
#include "arena/runmap.h"
#include "arena/arena.h"
#include "heap/page.h"

#define SLOTS 256
#define ROUND_BLOCKS 24
#define ROUNDS_AT_SEAMS 20000
#define ROUNDS_BY_TIMER 4000
#define STEPS_OF_A_WORKER 3000
#define STALL_SECONDS 100 /* a kernel that never takes the CPU from a FIFO thread: SIGALRM ends the program */

static _Atomic(void *) of_worker[SLOTS]; /* made by the worker, freed by the freer */
static _Atomic(void *) of_freer[SLOTS];
static _Atomic(void *) of_worker_alone[SLOTS]; /* fill its pages, so that its own frees claim them */

static sem_t wake;
static _Atomic(bool) stop;
static _Atomic(bool) by_timer;
static _Atomic(long) rounds; /* the freer's, ended */
static _Atomic(long) worker_steps;
static _Atomic(long) interrupted; /* rounds in the middle of which the worker ran */

/* --- the seams --- */

/* At one in sixteen, so that the worker gets on between two rounds and pages fill with what the
 * freer frees. */
static HFI_TLS bool is_worker;
static HFI_TLS uint64_t worker_random;

static void interrupt_here(unsigned *count)
{
    if (!is_worker || by_timer || rounds >= ROUNDS_AT_SEAMS || interrupted != 0 ||
        test_random(&worker_random) % 16 != 0)
        return;
    long before = rounds;
    CHECK(sem_post(&wake) == 0);
    interrupted += rounds != before + 1;
    (*count)++;
}

#define SEAM(result, name, parameters, ...)                                                                  \
    result __real_##name parameters;                                                                         \
    result __wrap_##name parameters;                                                                         \
    static unsigned count_##name;                                                                            \
    result __wrap_##name parameters                                                                          \
    {                                                                                                        \
        interrupt_here(&count_##name);                                                                       \
        result answer = __real_##name(__VA_ARGS__);                                                          \
        interrupt_here(&count_##name);                                                                       \
        return answer;                                                                                       \
    }
#define SEAM_VOID(name, parameters, ...)                                                                     \
    void __real_##name parameters;                                                                           \
    void __wrap_##name parameters;                                                                           \
    static unsigned count_##name;                                                                            \
    void __wrap_##name parameters                                                                            \
    {                                                                                                        \
        interrupt_here(&count_##name);                                                                       \
        __real_##name(__VA_ARGS__);                                                                          \
        interrupt_here(&count_##name);                                                                       \
    }

SEAM(bool, hfi_idleset_add, (struct idleset * set, size_t member), set, member)
SEAM(bool, hfi_idleset_remove, (struct idleset * set, size_t member), set, member)
SEAM(size_t, hfi_idleset_take, (struct idleset * set), set)
SEAM(bool, hfi_page_claim, (struct page * page), page)
SEAM(bool, hfi_runmap_release, (struct runmap * map, size_t first, size_t count), map, first, count)
SEAM(size_t, hfi_runmap_claim_low, (struct runmap * map, size_t count, size_t align, size_t origin), map,
     count, align, origin)
SEAM_VOID(hfi_page_collect_claimed, (struct page * page), page)
SEAM_VOID(hfi_page_init, (struct page * page, struct theap *theap, unsigned class, bool zero), page, theap,
          class, zero)
SEAM_VOID(hfi_page_let_go, (struct page * page), page)
SEAM_VOID(hfi_page_retire, (struct page * page), page)
SEAM_VOID(hfi_page_set_owner, (struct page * page, struct theap *theap), page, theap)
SEAM_VOID(hfi_theap_adopt, (struct theap * theap, struct page *page), theap, page)

static const struct {
    const char *name;
    const unsigned *count;
} seams[] = {
#define ROW(name)                                                                                            \
    {                                                                                                        \
#name, &count_##name                                                                                 \
    }
    ROW(hfi_idleset_add),    ROW(hfi_idleset_remove),   ROW(hfi_idleset_take),         ROW(hfi_page_claim),
    ROW(hfi_runmap_release), ROW(hfi_runmap_claim_low), ROW(hfi_page_collect_claimed), ROW(hfi_page_init),
    ROW(hfi_page_let_go),    ROW(hfi_page_retire),      ROW(hfi_page_set_owner),       ROW(hfi_theap_adopt),
};

/* --- the two threads --- */

/* Few blocks to a page, so that pages change hands often.  Those of the worker alone are of other
 * classes, or they would keep the freer from emptying any page. */
static size_t some_size(uint64_t *random, bool alone)
{
    static const size_t shared[] = { 2000, 8000, 16000, 30000, 60000 }, of_one[] = { 3000, 10000, 20000 };
    return alone ? of_one[test_random(random) % 3] : shared[test_random(random) % 5];
}

static void publish(_Atomic(void *) *slots, uint64_t *random)
{
    void *block = hf_malloc(some_size(random, slots == of_worker_alone));
    hf_free(atomic_exchange(&slots[test_random(random) % SLOTS], block));
}

static void *work(void *seed)
{
    uint64_t random = worker_random = (uintptr_t)seed;
    is_worker = true;
    for (int step = 0; step < STEPS_OF_A_WORKER && !stop; step++) {
        worker_steps++;
        publish(of_worker, &random);
        publish(of_worker_alone, &random);
        if (step % 4 == 0)
            hf_free(atomic_exchange(&of_freer[test_random(&random) % SLOTS], NULL));
        if (step % 100 == 99)
            hf_thread_idle();
    }
    return NULL;
}

/* At most SLOTS + 2 * ROUND_BLOCKS + 1 calls. */
static void round_of_freer(uint64_t *random)
{
    bool all = test_random(random) % 2;
    for (size_t i = 0; i < SLOTS; i++)
        if (all || test_random(random) % 8 == 0)
            hf_free(atomic_exchange(&of_worker[i], NULL));
    for (size_t i = 0; i < ROUND_BLOCKS; i++)
        publish(of_freer, random);
    if (test_random(random) % 16 == 0)
        hf_thread_idle();
}

static void *free_at_seams(void *seed)
{
    uint64_t random = (uintptr_t)seed;
    hf_free(hf_malloc(1));
    for (;;) {
        CHECK(sem_wait(&wake) == 0);
        if (stop)
            return NULL;
        round_of_freer(&random);
        rounds++;
    }
}

static void *free_by_timer(void *seed)
{
    uint64_t random = (uintptr_t)seed;
    round_of_freer(&random); /* its stack is faulted in: a fault may wait for one of the worker's */
    while (rounds < ROUNDS_BY_TIMER && interrupted == 0) {
        struct timespec pause = { .tv_nsec = 20000 + (long)(test_random(&random) % 60000) };
        nanosleep(&pause, NULL);
        long before = worker_steps;
        round_of_freer(&random);
        interrupted += worker_steps != before;
        rounds++;
    }
    stop = true;
    return NULL;
}

static pthread_t start_freer(void *(*function)(void *))
{
    pthread_t thread;
    pthread_attr_t attributes;
    struct sched_param parameter = { .sched_priority = sched_get_priority_min(SCHED_FIFO) };
    stop = false;
    rounds = worker_steps = interrupted = 0;
    CHECK(pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED) == 0);
    CHECK(pthread_attr_setschedpolicy(&attributes, SCHED_FIFO) == 0);
    CHECK(pthread_attr_setschedparam(&attributes, &parameter) == 0);
    int error = pthread_create(&thread, &attributes, function, (void *)(uintptr_t)20261123);
    if (error == 0)
        return thread;
    printf("1..0 # SKIP no SCHED_FIFO thread can be started here (%s)\n", strerror(error));
    exit(0);
}

static void one_worker(long number)
{
    pthread_t worker;
    CHECK(pthread_create(&worker, NULL, work, (void *)(uintptr_t)(number + 1)) == 0);
    CHECK(pthread_join(worker, NULL) == 0);
}

/* --- the tests --- */

static void stay_on_one_cpu(void)
{
    cpu_set_t allowed, one;
    CHECK(sched_getaffinity(0, sizeof allowed, &allowed) == 0);
    int cpu = 0;
    while (!CPU_ISSET(cpu, &allowed))
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
}

static void free_slots(void)
{
    for (size_t i = 0; i < SLOTS; i++) {
        hf_free(atomic_exchange(&of_worker[i], NULL));
        hf_free(atomic_exchange(&of_worker_alone[i], NULL));
        hf_free(atomic_exchange(&of_freer[i], NULL));
    }
    hf_thread_idle();
}

/* Of a node with little left, threads let go of pages that they would otherwise hold. */
static void *leave_pages(size_t pages)
{
    return hf_malloc((hfi_arena_free_pages(&hfi_arena.nodes[0]) - pages) * HFI_PAGE_BYTES);
}

static void at_seams(void)
{
    pthread_t freer = start_freer(free_at_seams);
    CHECK(sem_post(&wake) == 0); /* without anything to wait for */
    if (rounds != 1) {
        printf("1..0 # SKIP a SCHED_FIFO thread does not preempt others here\n");
        exit(0);
    }
    printf("1..3\n");
    void *most = NULL;
    for (long number = 0; rounds < ROUNDS_AT_SEAMS && interrupted == 0; number++) {
        if (number % 8 == 4)
            most = leave_pages(300);
        one_worker(number);
        if (number % 8 == 7)
            hf_free(most), most = NULL;
    }
    hf_free(most);
    stop = true;
    CHECK(sem_post(&wake) == 0 && pthread_join(freer, NULL) == 0);
    unsigned missed = 0;
    for (size_t i = 0; i < sizeof seams / sizeof seams[0]; i++) {
        printf("# %6u at %s\n", *seams[i].count, seams[i].name);
        missed += *seams[i].count == 0;
    }
    printf("%s 1 - a worker stopped at a seam is waited for by nobody (%ld rounds, %ld cut short, %u seams "
           "not met)\n",
           interrupted == 0 && missed == 0 ? "ok" : "not ok", (long)rounds, (long)interrupted, missed);
}

static void at_any_instruction(void)
{
    by_timer = true;
    pthread_t freer = start_freer(free_by_timer);
    for (long number = 0; !stop; number++)
        one_worker(number);
    CHECK(pthread_join(freer, NULL) == 0);
    printf("%s 2 - nor is one stopped at any instruction (%ld rounds, %ld cut short, %ld steps of workers)\n",
           interrupted == 0 ? "ok" : "not ok", (long)rounds, (long)interrupted, (long)worker_steps);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    setenv("HOLDFAST_ARENA", "64M", 1);
    setenv("HOLDFAST_BACKING", "4k", 1);
    setenv("HOLDFAST_LOCK", "no", 1);
    setenv("HOLDFAST_INSPECT", "0", 1);
    CHECK(sem_init(&wake, 0, 0) == 0);
    stay_on_one_cpu();
    hf_free(hf_malloc(1));
    hf_thread_idle();
    struct arena_node *node = &hfi_arena.nodes[0];
    size_t before = hfi_arena_free_pages(node) + node->xtheap_pages;
    alarm(STALL_SECONDS);
    at_seams();
    at_any_instruction();
    free_slots();
    size_t after = hfi_arena_free_pages(node) + node->xtheap_pages;
    const char *broken = hfi_arena_audit(node);
    if (broken == NULL)
        broken = hfi_theap_audit(hfi_theap);
    for (unsigned class = 0; class < HFI_CLASS_COUNT && broken == NULL; class ++)
        broken = hfi_arena_audit_idle(node, class);
    printf("%s 3 - all is sound, and every page is back (%zu of %zu%s%s)\n",
           broken == NULL && after == before ? "ok" : "not ok", after, before, broken != NULL ? "; " : "",
           broken != NULL ? broken : "");
    return 0;
}
