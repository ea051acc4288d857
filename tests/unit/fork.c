/*
 * fork: a child of a process whose memory was copied in the middle of a change.
 */
#include <sys/resource.h>
#include <sys/wait.h>

#include "heap.h"

TestSuite(fork, .init = set_up);

/* A handler of fork that was registered before the library's. */
static void (*early)(void);

static void run_early(void)
{
    if (early != NULL)
        early();
}

__attribute__((constructor)) static void register_early(void)
{
    pthread_atfork(NULL, NULL, run_early);
}

static void *allocate_and_wait(void *unused)
{
    hf_free(hf_malloc(100));
    pthread_barrier_wait(&all_hold);
    pthread_barrier_wait(&all_hold);
    return unused;
}

/* That no file can be opened makes the process count as one with threads. */
static int status_of_child(int (*child)(void))
{
    struct rlimit files, none;
    getrlimit(RLIMIT_NOFILE, &files);
    none = (struct rlimit){ 0, files.rlim_max };
    setrlimit(RLIMIT_NOFILE, &none);
    pid_t pid = fork();
    if (pid == 0)
        _exit(child());
    setrlimit(RLIMIT_NOFILE, &files);
    int status = -1;
    waitpid(pid, &status, 0);
    return status;
}

static int has_one_theap(void)
{
    struct hf_stats stats;
    void *block = hf_malloc(100);
    return block != NULL && hf_stats_get(&stats, sizeof stats) == 0 && stats.threads == 1 ? 0 : 1;
}

/* What a fork among threads may copy of pinned memory: a theap as it was before it was linked. */
static int status_of_torn_child(void)
{
    struct theap *newest = hfi_theap_first(), *next = newest->next_all;
    newest->next_all = (struct theap *)64;
    int status = status_of_child(has_one_theap);
    newest->next_all = next;
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

enum { HELD = 50, HELD_BYTES = 600000 };
static char *held[HELD], *of_handler[HELD];

static void set_map(bool free)
{
    struct arena_node *node = &hfi_arena.nodes[0];
    for (int i = 0; i < HELD; i++) {
        const struct page *page = page_of(held[i]);
        size_t index = hfi_index_of(held[i]) - node->first_index;
        if (free)
            cr_assert(hfi_runmap_release(&node->free_runs, index, page->run_pages));
        else
            cr_assert(hfi_runmap_claim_at(&node->free_runs, index, page->run_pages));
    }
}

static void allocate_early(void)
{
    for (int i = 0; i < HELD; i++)
        if ((of_handler[i] = hf_malloc(HELD_BYTES)) != NULL)
            memset(of_handler[i], 0xee, HELD_BYTES);
}

static void grow_early(void)
{
    for (int i = 0; i < HELD; i += 2)
        if ((held[i] = hf_realloc(held[i], 2 * HELD_BYTES)) != NULL)
            memset(held[i] + HELD_BYTES, 0xee, HELD_BYTES);
}

static int has_what_it_held(void)
{
    for (int i = 0; i < HELD; i++)
        for (size_t at = 0; at < HELD_BYTES; at++)
            if (held[i] == NULL || held[i][at] != (char)i)
                return 1;
    assert_sound();
    return has_one_theap();
}

/* What a fork among threads may copy of pinned memory: a map as it was before pages were claimed. */
static void expect_early_handler_keeps_off(void (*handler)(void))
{
    for (int i = 0; i < HELD; i++) {
        held[i] = hf_malloc(HELD_BYTES);
        memset(held[i], i, HELD_BYTES);
    }
    early = handler;
    set_map(true);
    int status = status_of_child(has_what_it_held);
    set_map(false);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "wait status %d", status);
    assert_sound();
}

Test(fork, a_handler_in_a_torn_child_gets_no_page_in_use)
{
    expect_early_handler_keeps_off(allocate_early);
}

Test(fork, a_handler_in_a_torn_child_grows_no_block_into_a_page_in_use)
{
    expect_early_handler_keeps_off(grow_early);
}
