/*
 * torment: a program for chaos.c to do its worst to.
 *
 *   torment SECONDS SEED
 *
 * Threads write letters, leave them in a common room and open what others left there.  Some sleep,
 * some end and have successors, and the process forks while they work.  malloc may fail by ENOMEM at
 * any time; what it gave must hold what was written.  In the end all letters are opened, the maps
 * are whole and no page is used.  Says how many letters there were and how many were refused.
 */
#include <err.h>
#include <time.h>

#include "lab.h"

#define THREADS 4
#define BOXES 2048
#define GENERATION_SECONDS 2
#define CHILD_BLOCKS 100
#define USED_MOST 16 /* pages that threads and stdio keep */

static _Atomic(struct lab_letter *) boxes[BOXES];
static _Atomic(size_t) written, opened, refused, spoilt;
static uint64_t generation_end_ns; /* const while its threads run */

static uint64_t now_ns(void)
{
    struct timespec now;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void open_letter(struct lab_letter *letter)
{
    if (letter == NULL)
        return;
    opened++;
    spoilt += lab_letter_open(letter);
}

static void *write_and_read(void *argument)
{
    uint64_t random = (uint64_t)(uintptr_t)argument;
    while (now_ns() < generation_end_ns) {
        for (unsigned step = 0; step < 100; step++) {
            struct lab_letter *letter = lab_letter_write(&random, 0);
            if (letter == NULL)
                CHECK(errno == ENOMEM);
            *(letter != NULL ? &written : &refused) += 1;
            open_letter(atomic_exchange(&boxes[test_random(&random) % BOXES], letter));
        }
        if (test_random(&random) % 64 == 0)
            nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
    }
    return NULL;
}

/* The child has the parent's letters, and may write some of its own.  The kernel may kill it for want
 * of memory; where the arena is of huge pages, by SIGBUS when the pool has no page for a copy. */
static void fork_once(void)
{
    pid_t child = fork();
    if (child == 0) {
        uint64_t random = 1;
        size_t wrong = 0;
        for (unsigned i = 0; i < CHILD_BLOCKS; i++) {
            struct lab_letter *letter = lab_letter_write(&random, 0);
            wrong += letter != NULL ? lab_letter_open(letter) : 0;
        }
        _exit(wrong == 0 ? 0 : 1);
    }
    int status = 0;
    if (child < 0)
        return; /* EAGAIN, ENOMEM: the machine's */
    CHECK(waitpid(child, &status, 0) == child);
    bool is_pool = false;
    for (unsigned i = 0; i < hfi_arena.node_count; i++)
        is_pool = is_pool || hfi_arena.reservation.nodes[i].backing == BACKING_2M;
    if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGKILL || (WTERMSIG(status) == SIGBUS && is_pool)))
        printf("torment: a child ended by signal %d\n", WTERMSIG(status));
    else if (status != 0)
        errx(1, "a child ended with status 0x%x", (unsigned)status);
}

static void run_generation(uint64_t *random, uint64_t end_ns)
{
    pthread_t threads[THREADS];
    unsigned started = 0;
    generation_end_ns = hfi_min(end_ns, now_ns() + (uint64_t)GENERATION_SECONDS * 1000000000);
    while (started < THREADS && pthread_create(&threads[started], NULL, write_and_read,
                                               (void *)(uintptr_t)test_random(random)) == 0)
        started++;
    fork_once();
    for (unsigned i = 0; i < started; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

int main(int argc, char **argv)
{
    CHECK(argc == 3);
    uint64_t random = strtoull(argv[2], NULL, 10) * 2 + 1,
             end_ns = now_ns() + strtoull(argv[1], NULL, 10) * 1000000000;
    lab_start();
    while (now_ns() < end_ns)
        run_generation(&random, end_ns);
    for (unsigned i = 0; i < BOXES; i++)
        open_letter(atomic_exchange(&boxes[i], NULL));
    hf_thread_idle();
    const char *broken = lab_audit();
    printf("torment: %zu letters, %zu refused, %zu bytes spoilt, %zu pages used; %s\n", (size_t)written,
           (size_t)refused, (size_t)spoilt, lab_used_pages(), broken != NULL ? broken : "whole");
    CHECK(broken == NULL && spoilt == 0 && opened == written && lab_used_pages() <= USED_MOST);
    return 0;
}
