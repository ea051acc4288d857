/*
 * fork-handlers: in the child of a process with threads, a handler of fork that was registered
 * before Holdfast's starts a thread, as libraries do that have one of their own.  It allocates,
 * resizes and frees before and after Holdfast's handler has run, beside the thread that forked, and
 * may fork in turn: no block is given twice, and what it was given stays its own.  Nor does a fork
 * within another one's handlers leave its child without an arena.  A child of _Fork, which runs no
 * handlers, has its arena while it forks itself.
 *
 * The handler is registered before any constructor runs, so that Holdfast's comes after it.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "test.h"

#define FORKS 30
#define BLOCKS 400
#define ROUNDS 20

static _Atomic(bool) stop;
static sem_t started, go_on;
static pthread_t worker;
static pid_t inner;
static bool is_inner;
static bool helper;      /* a child that is to end at once */
static char *of_parent;  /* freed by the child's thread */
static bool forks_again; /* the child's thread does, at once */
static bool forks_twice; /* the parent's handler forks, and the inner child comes back from both forks */
static bool starts_one;  /* the parent's handler starts a thread, and waits for it */

static size_t size_of(int i)
{
    return 16 + (size_t)(i * 37 % 40) * 24 + (i % 50 == 0 ? 100000 : 0);
}

static void fill(char **blocks, int mark)
{
    for (int i = 0; i < BLOCKS; i++) {
        CHECK((blocks[i] = malloc(size_of(i))) != NULL);
        memset(blocks[i], mark, size_of(i));
    }
}

static void check_and_free(char **blocks, int mark)
{
    for (int i = 0; i < BLOCKS; i++) {
        for (size_t at = 0; at < size_of(i); at++)
            CHECK(blocks[i][at] == (char)mark);
        free(blocks[i]);
    }
}

static void *in_child(void *unused)
{
    static char *early[BLOCKS], *late[BLOCKS];
    fill(early, 0x11);
    free(of_parent);
    for (int i = 0; i < BLOCKS; i++) {
        CHECK((early[i] = realloc(early[i], 2 * size_of(i))) != NULL);
        CHECK((early[i] = realloc(early[i], size_of(i))) != NULL);
    }
    if (forks_again) {
        int status;
        forks_again = false;
        helper = true;
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        helper = false;
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    }
    sem_post(&started);
    for (int round = 0; round < ROUNDS; round++) {
        fill(late, 0x22);
        check_and_free(late, 0x22);
    }
    sem_wait(&go_on);
    check_and_free(early, 0x11);
    return unused;
}

static void restart(void)
{
    if (helper)
        return;
    CHECK(pthread_create(&worker, NULL, in_child, NULL) == 0);
    sem_wait(&started);
}

static void *takes_and_gives(void *unused)
{
    for (int i = 0; i < 400; i++) {
        char *block = malloc(1 << 20);
        CHECK(block != NULL);
        free(block);
    }
    return unused;
}

static void start_and_join(void)
{
    CHECK(pthread_create(&worker, NULL, takes_and_gives, NULL) == 0);
    CHECK(pthread_join(worker, NULL) == 0);
}

static void in_parent(void)
{
    if (starts_one)
        start_and_join();
    if (!forks_twice)
        return;
    forks_twice = false;
    inner = fork();
    is_inner = inner == 0;
}

static void register_early(void)
{
    CHECK(pthread_atfork(NULL, in_parent, restart) == 0);
}

__attribute__((section(".preinit_array"),
               used)) static void (*const before_constructors)(void) = register_early;

static void *churns(void *unused)
{
    static _Thread_local char *blocks[BLOCKS];
    while (!stop) {
        fill(blocks, 0x33);
        check_and_free(blocks, 0x33);
    }
    return unused;
}

/* A fork from within another one's handler: a thread of the inner child has the arena. */
static void fork_in_a_fork(void)
{
    int status;
    forks_again = false;
    forks_twice = true;
    CHECK((of_parent = malloc(300000)) != NULL);
    pid_t outer = fork();
    if (outer == 0)
        _exit(0);
    if (is_inner) {
        start_and_join();
        _exit(0);
    }
    CHECK(waitpid(outer, &status, 0) == outer && status == 0);
    CHECK(waitpid(inner, &status, 0) == inner && status == 0);
}

/* A thread has the arena in a child of _Fork, also while that forks. */
static void fork_of_a_bare_child(void)
{
    int status;
    free(malloc(1));
    pid_t pid = _Fork();
    if (pid == 0) {
        helper = starts_one = true;
        pid_t inmost = fork();
        if (inmost == 0)
            _exit(0);
        CHECK(waitpid(inmost, &status, 0) == inmost && status == 0);
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static void child(void)
{
    static char *blocks[BLOCKS];
    for (int round = 0; round < ROUNDS; round++) {
        fill(blocks, 0x44);
        check_and_free(blocks, 0x44);
    }
    sem_post(&go_on);
    CHECK(pthread_join(worker, NULL) == 0);
}

int main(void)
{
    pthread_t threads[2];
    sem_init(&started, 0, 0);
    sem_init(&go_on, 0, 0);
    fork_of_a_bare_child();
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, churns, NULL) == 0);
    for (int i = 0; i < FORKS; i++) {
        int status;
        CHECK((of_parent = malloc(300000)) != NULL);
        forks_again = i % 2 != 0;
        pid_t pid = fork();
        if (pid == 0) {
            child();
            _exit(0);
        }
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
        free(of_parent);
    }
    fork_in_a_fork();
    stop = true;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    printf("%d children whose thread was started by an earlier handler\n", FORKS);
    return 0;
}
