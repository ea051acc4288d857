/*
 * test: what the plain test programs share.
 *
 * They run with libholdfast linked in (or preloaded), so they use no test
 * framework: a failed CHECK prints where and exits 1.
 */
#ifndef TEST_H
#define TEST_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: %s does not hold (errno %d)\n", __FILE__, __LINE__, #condition, errno);  \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

/* The secure build: guards take 4 KiB of every run, of a page's 64 at most, and runs are
 * longer. */
#ifdef HFI_ENABLE_SECURE
#define TEST_SECURE true
#else
#define TEST_SECURE false
#endif

/* What guards leave of the bytes that a test can expect to get. */
static inline size_t test_less_guards(size_t bytes)
{
    return TEST_SECURE ? bytes / 16 * 14 : bytes;
}

/* Starts the program again on a named arena, unless it was started on one: call it first in
 * main. */
static inline void test_on_arena(char **argv, const char *size)
{
    if (getenv("HOLDFAST_ARENA") != NULL)
        return;
    setenv("HOLDFAST_ARENA", size, 1);
    execv("/proc/self/exe", argv);
    CHECK(!"exec");
}

/* The text of a small file, mostly of /proc. */
static inline void test_read(const char *path, char *text, size_t text_bytes)
{
    int fd = open(path, O_RDONLY);
    ssize_t length = fd < 0 ? -1 : read(fd, text, text_bytes - 1);
    CHECK(length > 0);
    close(fd);
    text[length] = 0;
}

/* The number behind a word of such a file, 0 where the word is not there. */
static inline size_t test_number_in(const char *path, const char *word)
{
    char text[4096];
    test_read(path, text, sizeof text);
    const char *at = strstr(text, word);
    return at == NULL ? 0 : strtoull(at + strlen(word), NULL, 10);
}

/* xorshift64* (Marsaglia 2003, Vigna 2016). */
static inline uint64_t test_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1du;
}

/* A size from `least` to `most`, small ones as likely as large ones are. */
static inline size_t test_random_size(uint64_t *state, size_t least, size_t most)
{
    unsigned low = 63 - (unsigned)__builtin_clzll(least), high = 63 - (unsigned)__builtin_clzll(most);
    unsigned bit = low + (unsigned)(test_random(state) % (high - low + 1));
    size_t size = ((size_t)1 << bit) + test_random(state) % ((size_t)1 << bit);
    return size < least ? least : size > most ? most : size;
}

/* Marks both ends of a block with its address and size; tells whether the marks still stand. */
static inline void test_mark(void *block, size_t bytes)
{
    unsigned char *b = block;
    b[0] = (unsigned char)((uintptr_t)block >> 4);
    b[bytes - 1] = (unsigned char)bytes;
    if (bytes == 1)
        b[0] = 1; /* both ends are one */
}

static inline bool test_marked(const void *block, size_t bytes)
{
    const unsigned char *b = block;
    if (bytes == 1)
        return b[0] == 1;
    return b[0] == (unsigned char)((uintptr_t)block >> 4) && b[bytes - 1] == (unsigned char)bytes;
}

/* Whether to try a case once more that failed on huge pages: other programs take and give back the
 * pool meanwhile, and a child whose copy of a page the pool does not have is killed. */
static inline bool test_pool_again(const char *backing, unsigned *tries)
{
    if (strcmp(backing, "2m") != 0 || ++*tries == 6)
        return false;
    usleep(*tries * 300000);
    return true;
}

/* Runs `child` in a process of its own with standard error in `output`; returns the wait status. */
static inline int test_in_child(void (*child)(int), int argument, char *output, size_t output_bytes)
{
    int ends[2];
    CHECK(pipe(ends) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        dup2(ends[1], 2);
        close(ends[0]);
        child(argument);
        _exit(0);
    }
    close(ends[1]);
    char rest[1024]; /* what `output` has no room for */
    size_t length = 0, room = output_bytes - 1;
    for (ssize_t got;
         (got = read(ends[0], room != 0 ? output + length : rest, room != 0 ? room : sizeof rest)) > 0;) {
        length += room != 0 ? (size_t)got : 0;
        room = output_bytes - 1 - length;
    }
    output[length] = 0;
    close(ends[0]);
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    return status;
}

#endif
