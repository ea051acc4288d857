/*
 * misuse (G7): each misuse ends with its own message and abort, exactly.
 *
 * One small function per misuse, run in a child; the message must hold the id and the words
 * given here, and the child must end by SIGABRT.
 */
#include <holdfast/holdfast.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>

#include "test.h"

/* The message must name it. */
static void tell_culprit(const void *pointer)
{
    fprintf(stderr, "culprit %p\n", pointer);
}

static void free_of_stack(int unused)
{
    int on_stack[8];
    (void)unused;
    void *volatile pointer = on_stack;
    free(pointer);
}

static void free_of_wild(int unused)
{
    (void)unused;
    free((void *)(uintptr_t)0xdeadbeefdeadbee0u);
}

static void realloc_of_static(int unused)
{
    static char data[64];
    (void)unused;
    void *volatile pointer = data;
    pointer = realloc(pointer, 100);
}

static void large_twice(int unused)
{
    (void)unused;
    void *volatile pointer = malloc(1 << 20);
    free(pointer);
    free(pointer);
}

static void large_interior(int unused)
{
    (void)unused;
    char *volatile pointer = malloc(1 << 20);
    free(pointer + 32);
}

static void small_twice_alone(int unused)
{
    (void)unused;
    void *volatile pointer = malloc(100);
    free(pointer);
    free(pointer);
}

/* Others of the page are live, so the page does not empty: found when the list is swapped in. */
static void twice_in_company(bool then_another)
{
    void *volatile company[1000];
    for (int i = 0; i < 1000; i++)
        company[i] = malloc(100);
    free(company[500]);
    free(company[500]);
    if (then_another)
        free(company[501]);
    for (int i = 0; i < 2000; i++)
        company[i % 1000] = malloc(100);
}

static void small_twice_in_company(int unused)
{
    (void)unused;
    twice_in_company(false);
}

static void small_twice_then_another(int unused)
{
    (void)unused;
    twice_in_company(true);
}

static void *free_argument(void *pointer)
{
    free(pointer);
    return NULL;
}

static void remote_twice(int unused)
{
    (void)unused;
    pthread_t thread;
    void *volatile pointer = malloc(100);
    void *volatile company = malloc(100);
    (void)company;
    for (int i = 0; i < 2; i++) {
        pthread_create(&thread, NULL, free_argument, pointer);
        pthread_join(thread, NULL);
    }
}

static void remote_interior(int unused)
{
    (void)unused;
    pthread_t thread;
    char *volatile pointer = malloc(100);
    pthread_create(&thread, NULL, free_argument, pointer + 16);
    pthread_join(thread, NULL);
}

static void link_overwritten(int unused)
{
    (void)unused;
    uintptr_t *volatile blocks[64];
    for (int i = 0; i < 64; i++)
        blocks[i] = malloc(48);
    for (int i = 0; i < 63; i++)
        free(blocks[i]);
    *blocks[62] = (uintptr_t)0x4141414141414140u; /* first on the list that is swapped in */
    for (int i = 0; i < 4000; i++)
        blocks[0] = malloc(48);
}

static void *allocate_64(void *blocks)
{
    for (int i = 0; i < 64; i++)
        ((void **)blocks)[i] = malloc(48);
    return NULL;
}

/* Blocks of another thread, which a magazine keeps. */
static void link_of_another_s_overwritten(int unused)
{
    (void)unused;
    static uintptr_t *volatile blocks[64];
    pthread_t thread;
    pthread_create(&thread, NULL, allocate_64, (void *)blocks);
    pthread_join(thread, NULL);
    for (int i = 0; i < 20; i++)
        free(blocks[i]);
    *blocks[19] = (uintptr_t)0x4141414141414140u;
    for (int i = 0; i < 20000; i++)
        blocks[0] = malloc(48);
}

static void page_never_handed_out(int unused)
{
    (void)unused;
    char *volatile pointer = malloc(1 << 20);
    /* a page of the arena's middle */
    free((char *)((uintptr_t)pointer & ~(uintptr_t)0x3fffffff) + 0x3ff0000);
}

/* The second free of `company[0]` comes after others: it is at the head of no list. */
static void small_twice_not_in_a_row(int unused)
{
    (void)unused;
    void *volatile company[100];
    for (int i = 0; i < 100; i++)
        company[i] = malloc(100);
    for (int i = 0; i < 50; i++)
        free(company[i]);
    free(company[0]);
}

static void remote_twice_not_in_a_row(int unused)
{
    (void)unused;
    pthread_t thread;
    void *volatile company[100];
    for (int i = 0; i < 100; i++)
        company[i] = malloc(100);
    for (int i = 0; i < 51; i++) {
        pthread_create(&thread, NULL, free_argument, company[i % 50]);
        pthread_join(thread, NULL);
    }
}

static void *fill_and_let_others_free(void *unused)
{
    static void *volatile blocks[3];
    pthread_t thread;
    for (int i = 0; i < 3; i++)
        blocks[i] = malloc(9000);
    for (int i = 0; i < 5; i++) { /* the first two are freed twice */
        pthread_create(&thread, NULL, free_argument, blocks[i % 3]);
        pthread_join(thread, NULL);
    }
    return unused;
}

/* The page is let go of with more blocks back than were out. */
static void remote_twice_then_the_owner_ends(int unused)
{
    (void)unused;
    pthread_t thread;
    pthread_create(&thread, NULL, fill_and_let_others_free, NULL);
    pthread_join(thread, NULL);
}

/* Its page went back and was cut into other blocks meanwhile. */
static void small_twice_in_another_page(int unused)
{
    (void)unused;
    static void *volatile company[4000];
    for (int i = 0; i < 4000; i++)
        company[i] = malloc(112);
    void *volatile pointer = company[1777];
    for (int i = 0; i < 4000; i++)
        free(company[i]);
    hf_thread_idle();
    for (int i = 0; i < 200; i++)
        company[i] = malloc(4096);
    free(pointer);
}

static void small_interior(int unused)
{
    (void)unused;
    char *volatile pointer = malloc(100);
    free(pointer + 16);
}

static void *hundred[100];

static void allocate_hundred(void)
{
    for (int i = 0; i < 100; i++)
        hundred[i] = malloc(100);
}

/* What was freed last is allocated from within 2 KiB of requests. */
static void allocate_on(void)
{
    for (int i = 0; i < 100; i++)
        hundred[i] = malloc(100);
}

static void small_interior_then_more(int unused)
{
    (void)unused;
    allocate_hundred();
    free((char *)hundred[50] + 16);
    for (int i = 0; i < 4; i++)
        free(hundred[i]);
    tell_culprit((char *)hundred[50] + 16);
    allocate_on();
}

static void small_odd(int unused)
{
    (void)unused;
    allocate_hundred();
    tell_culprit((char *)hundred[50] + 8);
    free((char *)hundred[50] + 8);
    allocate_on();
}

static void small_twice_some_between(int unused)
{
    (void)unused;
    allocate_hundred();
    tell_culprit(hundred[50]);
    free(hundred[50]);
    for (int i = 0; i < 3; i++)
        free(hundred[i]);
    free(hundred[50]);
    allocate_on();
}

/* The counts say that the page is empty, which is believed no more: one block is live. */
static void small_twice_of_three(int unused)
{
    (void)unused;
    void *volatile blocks[3];
    for (int i = 0; i < 3; i++)
        blocks[i] = malloc(5000);
    tell_culprit(blocks[0]);
    free(blocks[0]);
    free(blocks[1]);
    free(blocks[0]);
}

static void *free_inside_and_end(void *unused)
{
    allocate_hundred();
    tell_culprit((char *)hundred[7] + 32);
    free((char *)hundred[7] + 32);
    return unused;
}

static void interior_then_the_thread_ends(int unused)
{
    pthread_t thread;
    (void)unused;
    pthread_create(&thread, NULL, free_inside_and_end, NULL);
    pthread_join(thread, NULL);
}

static void *free_some_of_hundred(void *unused)
{
    for (int i = 0; i < 4; i++)
        free(hundred[i]);
    free(hundred[1]);
    return unused;
}

/* By one thread that has no use for them: its magazine returns them when it ends. */
static void twice_by_a_thread_some_between(int unused)
{
    pthread_t thread;
    (void)unused;
    allocate_hundred();
    tell_culprit(hundred[1]);
    pthread_create(&thread, NULL, free_some_of_hundred, NULL);
    pthread_join(thread, NULL);
}

static void twice_by_threads_some_between(int unused)
{
    pthread_t thread;
    (void)unused;
    allocate_hundred();
    tell_culprit(hundred[0]);
    for (int i = 0; i < 5; i++) {
        pthread_create(&thread, NULL, free_argument, hundred[i % 4]);
        pthread_join(thread, NULL);
    }
    for (int i = 0; i < 1000; i++)
        hundred[i % 100] = malloc(100);
}

static void large_size_of_interior(int unused)
{
    (void)unused;
    char *volatile pointer = malloc(1 << 20);
    (void)malloc_usable_size(pointer + 64);
}

static void realloc_of_freed(int unused)
{
    (void)unused;
    void *volatile company = malloc(100), *volatile pointer = malloc(100);
    free(pointer);
    pointer = realloc(pointer, 90);
    (void)company;
}

static void size_of_interior(int unused)
{
    (void)unused;
    char *volatile pointer = malloc(100);
    (void)malloc_usable_size(pointer + 16);
}

struct misuse {
    const char *name;
    void (*commit)(int);
    const char *plain, *secure; /* message ids of each build, any of them; NULL: it need not find it */
};

static const struct misuse misuses[] = {
    { "free of a stack address", free_of_stack, "HF-E301", "HF-E301" },
    { "free of a wild address", free_of_wild, "HF-E301", "HF-E301" },
    { "realloc of a static address", realloc_of_static, "HF-E301", "HF-E301" },
    { "large block freed twice", large_twice, "HF-E302", "HF-E302" },
    { "large block freed inside", large_interior, "HF-E303", "HF-E303" },
    { "small block freed twice", small_twice_alone, "HF-E304 HF-E302", "HF-E307" },
    { "small block freed twice among others", small_twice_in_company, "HF-E304", "HF-E307" },
    { "small block freed twice, then another", small_twice_then_another, "HF-E304", "HF-E307" },
    { "small block freed twice, others between", small_twice_not_in_a_row, NULL, "HF-E307" },
    { "small block freed twice, its page cut anew", small_twice_in_another_page, NULL,
      "HF-E307 HF-E303 HF-E302" },
    { "small block freed inside", small_interior, NULL, "HF-E307" },
    { "small block freed inside, then others", small_interior_then_more, "HF-E303", "HF-E307" },
    { "small block freed at an odd place", small_odd, "HF-E303", "HF-E307" },
    { "small block freed twice, some between", small_twice_some_between, "HF-E304", "HF-E307" },
    { "small block freed twice, one of three", small_twice_of_three, "HF-E304", "HF-E307" },
    { "small block freed inside, then the thread ends", interior_then_the_thread_ends, "HF-E303", "HF-E307" },
    { "freed twice by another thread, some between", twice_by_a_thread_some_between, "HF-E304", "HF-E307" },
    { "block freed twice by other threads, some between", twice_by_threads_some_between, "HF-E304",
      "HF-E307" },
    { "block freed twice by other threads", remote_twice, "HF-E304", "HF-E307" },
    { "block freed twice by other threads, others between", remote_twice_not_in_a_row, NULL, "HF-E307" },
    { "more blocks freed by other threads than were out", remote_twice_then_the_owner_ends, "HF-E304",
      "HF-E307" },
    { "block freed inside by another thread", remote_interior, "HF-E303", "HF-E303" },
    { "freed block resized", realloc_of_freed, NULL, "HF-E307" },
    { "size of a block's inside", size_of_interior, "HF-E303", "HF-E303" },
    { "size of a large block's inside", large_size_of_interior, "HF-E303", "HF-E303" },
    { "link of a freed block overwritten", link_overwritten, "HF-E305", "HF-E308" },
    { "link of another thread's freed block overwritten", link_of_another_s_overwritten, "HF-E305",
      "HF-E308 HF-E305" },
    { "page that was never handed out", page_never_handed_out, "HF-E302", "HF-E302" },
};

static bool says_one_of(const char *output, const char *ids)
{
    char list[64], *rest = list;
    strcpy(list, ids);
    for (char *id; (id = strsep(&rest, " ")) != NULL;)
        if (strstr(output, id) != NULL)
            return true;
    return false;
}

/* The pointer that the case told of, if it did, stands in a message. */
static bool names_culprit(const char *output)
{
    char culprit[64];
    return sscanf(output, "culprit %63s", culprit) != 1 || strstr(strchr(output, '\n'), culprit) != NULL;
}

int main(int argc, char **argv)
{
    int failed = 0;
    (void)argc;
    setenv("HOLDFAST_BACKING", "thp", 0); /* children of forks live on a pool only if it has pages to spare */
    test_on_arena(argv, "128M");
    for (size_t i = 0; i < sizeof misuses / sizeof misuses[0]; i++) {
        const char *ids = TEST_SECURE ? misuses[i].secure : misuses[i].plain;
        char output[4096];
        if (ids == NULL)
            continue;
        int status = test_in_child(misuses[i].commit, 0, output, sizeof output);
        bool good = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && says_one_of(output, ids) &&
                    names_culprit(output) && strstr(output, "; ") != NULL;
        printf("%s: %s (status %#x) %s", good ? "ok" : "NOT OK", misuses[i].name, (unsigned)status,
               output[0] ? output : "(silent)\n");
        failed += !good;
    }
    return failed != 0;
}
