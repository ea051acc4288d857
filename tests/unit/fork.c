/*
 * fork: a child of a process whose memory was copied in the middle of a change.
 */
#include <sys/resource.h>
#include <sys/wait.h>

#include "heap.h"

TestSuite(fork, .init = set_up);

static void *allocate_and_wait(void *unused)
{
    hf_free(hf_malloc(100));
    pthread_barrier_wait(&all_hold);
    pthread_barrier_wait(&all_hold);
    return unused;
}

/* What a fork among threads may copy of pinned memory: a theap as it was before it was linked.
 * That no file can be opened makes memory count as pinned. */
static int status_of_torn_child(void)
{
    struct rlimit files, none;
    getrlimit(RLIMIT_NOFILE, &files);
    none = (struct rlimit){ 0, files.rlim_max };
    setrlimit(RLIMIT_NOFILE, &none);
    struct theap *newest = hfi_theap_first(), *next = newest->next_all;
    newest->next_all = (struct theap *)64;
    pid_t pid = fork();
    if (pid == 0) {
        struct hf_stats stats;
        void *block = hf_malloc(100);
        _exit(block != NULL && hf_stats_get(&stats, sizeof stats) == 0 && stats.threads == 1 ? 0 : 1);
    }
    newest->next_all = next;
    setrlimit(RLIMIT_NOFILE, &files);
    int status = -1;
    waitpid(pid, &status, 0);
    return status;
}

Test(fork, a_torn_child_follows_no_theap_that_is_newer_than_its_own)
{
    enum { THREADS = 20 }; /* more than a page of theaps */
    pthread_t threads[THREADS];
    struct theap *first = hfi_theap_first();
    pthread_barrier_init(&all_hold, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, allocate_and_wait, NULL);
    pthread_barrier_wait(&all_hold);
    cr_assert_neq(hfi_theap_first(), first);
    int status = status_of_torn_child();
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "wait status %d", status);
    pthread_barrier_wait(&all_hold);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_sound();
}
