/*
 * keys: a program that has taken every key of pthread_key_create before the library asks for one.
 *
 * Keys are the program's: no value of one changes.  Threads end, many more than the arena could
 * bear if each left its theap behind, and also when the arena is full.
 */
#include <limits.h>
#include <pthread.h>

#include "test.h"

#define THREADS 3000

static pthread_key_t keys[PTHREAD_KEYS_MAX];
static unsigned key_count;
static _Atomic(unsigned) destroyed;

static void destroy(void *value)
{
    void *block = malloc(500); /* after the library has noticed the end of the thread */
    if (value == &destroyed && block != NULL)
        destroyed++;
    free(block);
}

/* Before the constructors of libraries. */
static void take_keys(void)
{
    while (key_count < PTHREAD_KEYS_MAX &&
           pthread_key_create(&keys[key_count], key_count == 0 ? destroy : NULL) == 0)
        key_count++;
}
__attribute__((section(".preinit_array"), used)) static void (*const before_all)(void) = take_keys;

static void *work(void *held)
{
    CHECK(pthread_setspecific(keys[0], &destroyed) == 0);
    for (size_t bytes = 16; bytes < 20000; bytes *= 2) {
        void *block = malloc(bytes);
        CHECK(block != NULL);
        memset(block, 1, bytes);
        free(block);
    }
    CHECK(pthread_getspecific(keys[0]) == &destroyed);
    for (unsigned i = 1; i < key_count; i++)
        CHECK(pthread_getspecific(keys[i]) == NULL);
    free(held);
    return NULL;
}

static void *work_in_full(void *unused)
{
    (void)unused;
    void *block = malloc(100);
    void *small = malloc(32);
    free(block);
    free(small);
    return NULL;
}

struct link {
    struct link *next;
};

static void run(void *(*function)(void *), void *argument)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, function, argument) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}

static void case_taken(int unused)
{
    (void)unused;
    for (unsigned i = 0; i < THREADS; i++)
        run(work, malloc(100));
    CHECK(destroyed == THREADS);
    struct link *links = NULL;
    run(work_in_full, NULL); /* its stack, and what the C library keeps of it, are there from now on */
    for (size_t bytes = 65536; bytes >= 32; bytes /= 2)
        for (struct link *link; (link = malloc(bytes)) != NULL; links = link)
            link->next = links;
    for (unsigned i = 0; i < 20; i++)
        run(work_in_full, NULL);
    for (struct link *next; links != NULL; links = next) {
        next = links->next;
        free(links);
    }
    run(work, malloc(100));
}

int main(int argc, char **argv)
{
    (void)argc;
    static char said[1 << 16];
    test_on_arena(argv, "16M");
    pthread_key_t key;
    CHECK(pthread_key_create(&key, NULL) == EAGAIN);
    int status = test_in_child(case_taken, 0, said, sizeof said);
    printf("status %d, %u keys\n%s", status, key_count, said);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : 1;
}
