/*
 * traced: a program that has taken the names of calls for memory, as tracers do that are preloaded, and
 * allocates there.  The C library's malloc does not call them by these names, so such programs work.
 */
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "test.h"

#define DEEP 3
#define BLOCKS 3000

static _Thread_local int depth;

/* More than the first memory of all has, soon. */
static void note(void)
{
    CHECK(++depth <= DEEP);
    for (size_t i = 0; i < 8; i++)
        free(memset(malloc(60000), 1, 60000));
    depth--;
}

void *mmap(void *start, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    note();
    return (void *)syscall(SYS_mmap, start, bytes, protection, flags, fd, offset);
}

int munmap(void *start, size_t bytes)
{
    note();
    return (int)syscall(SYS_munmap, start, bytes);
}

int mprotect(void *start, size_t bytes, int protection)
{
    note();
    return (int)syscall(SYS_mprotect, start, bytes, protection);
}

int madvise(void *start, size_t bytes, int advice)
{
    note();
    return (int)syscall(SYS_madvise, start, bytes, advice);
}

int mlock(const void *start, size_t bytes)
{
    note();
    return (int)syscall(SYS_mlock, start, bytes);
}

static void *work(void *unused)
{
    static _Thread_local char *blocks[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++) {
        CHECK((blocks[i] = malloc(i * 7 + 1)) != NULL);
        test_mark(blocks[i], i * 7 + 1);
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        CHECK(test_marked(blocks[i], i * 7 + 1));
        free(blocks[i]);
    }
    return unused;
}

static void work_in_threads(void)
{
    pthread_t thread;
    work(NULL);
    CHECK(pthread_create(&thread, NULL, work, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}

/* Once on a growing arena, once on a named one. */
int main(int argc, char **argv)
{
    (void)argc;
    work_in_threads();
    setenv("HOLDFAST_BACKING", "4k", 1);
    test_on_arena(argv, "256M");
    return 0;
}
