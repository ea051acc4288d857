/*
 * secure: what only the secure build holds: guards behind runs, random order of blocks.
 *
 * Each case runs in a process of its own on each backing: 4k, whose guards are inaccessible, thp
 * and 2m, whose guards are patterns.  A write past the end ends by SIGSEGV at once, or by HF-E310
 * when the run is given back; work that stays inside must end well, whatever was protected before.
 */
#include <holdfast/holdfast.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "test.h"

#define PAGE ((size_t)65536)
#define GUARD ((size_t)4096)
#define BLOCKS 3000

static unsigned char *blocks[BLOCKS];

static size_t offset_in_page(const void *block)
{
    return (uintptr_t)block % PAGE;
}

static void allocate(size_t bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CHECK((blocks[i] = malloc(bytes)) != NULL);
        memset(blocks[i], 0x77, bytes);
    }
}

static void free_all(size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(blocks[i]);
    hf_thread_idle(); /* no page is kept */
}

/* The last block of a page of blocks of `bytes`, one page each run. */
static unsigned char *last_of_page(size_t bytes, size_t count)
{
    size_t last = (PAGE - GUARD) / bytes - 1;
    for (size_t i = 0; i < count; i++)
        if (offset_in_page(blocks[i]) == last * bytes)
            return blocks[i];
    CHECK(!"no last block");
    return NULL;
}

static void overrun_of_small_block(void)
{
    allocate(4096, 100); /* 15 blocks and the guard fill a page */
    volatile unsigned char *last = last_of_page(4096, 100);
    last[4096] ^= 1; /* a fixed value is the pattern's own once in 256 times */
    free_all(100);
}

/* 548 blocks of 112 bytes leave 64 bytes between the last one and the guard. */
static void overrun_into_slack(void)
{
    allocate(112, 2000);
    volatile unsigned char *last = last_of_page(112, 2000);
    last[112 + 3] ^= 1;
    free_all(2000);
}

static void overrun_of_large_block(void)
{
    unsigned char *volatile block = malloc(1000000);
    block[malloc_usable_size(block)] ^= 1;
    free(block);
}

static void overrun_then_grown(void)
{
    unsigned char *volatile block = malloc(1000000);
    block[malloc_usable_size(block) + 4095] ^= 1;
    block = realloc(block, 2000000);
}

static void overrun_then_shrunk(void)
{
    unsigned char *volatile block = malloc(1000000);
    block[malloc_usable_size(block) + 100] ^= 1;
    block = realloc(block, 300000);
}

static void underrun_of_small_block(void)
{
    allocate(4096, 100);
    for (size_t i = 0; i < 100; i++)
        for (size_t j = 0; j < 100; j++)
            if (offset_in_page(blocks[i]) == 0 && blocks[j] == blocks[i] - PAGE) {
                ((volatile unsigned char *)blocks[i])[-1] ^= 1;
                free_all(100);
                return;
            }
    CHECK(!"no two pages side by side");
}

static void write_in_child(unsigned char *at)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        *(volatile unsigned char *)at = 1;
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

/* In front of the first runs of a node lie its maps, then a page of theaps. */
static void underrun_into_own_structures(void)
{
    unsigned char *window = (unsigned char *)((uintptr_t)malloc(1) & ~(((uintptr_t)1 << 30) - 1));
    write_in_child(window + PAGE - 1);
    write_in_child(window + 2 * PAGE - 1);
}

static void *free_of_others(void *argument)
{
    (void)argument;
    free_all(BLOCKS);
    return NULL;
}

/* Every byte of every size is used, resized, given back and used again. */
static void work_inside(void)
{
    uint64_t random = 5;
    for (int round = 0; round < 6; round++) {
        for (size_t i = 0; i < BLOCKS; i++) {
            size_t bytes = test_random_size(&random, 16, i % 50 == 0 ? 900000 : i % 5 == 0 ? 60000 : 900);
            CHECK((blocks[i] = i % 7 == 0 ? aligned_alloc(4096, bytes) : calloc(1, bytes)) != NULL);
            for (size_t at = 0; i % 7 != 0 && at < bytes; at++)
                CHECK(blocks[i][at] == 0);
            memset(blocks[i], 0xa5, malloc_usable_size(blocks[i]));
            if (i % 3 == 0) {
                bytes = test_random_size(&random, 16, i % 2 == 0 ? 1200000 : 5000);
                CHECK((blocks[i] = realloc(blocks[i], bytes)) != NULL);
                memset(blocks[i], 0x5a, malloc_usable_size(blocks[i]));
            }
        }
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, free_of_others, NULL) == 0);
        pthread_join(thread, NULL);
    }
    void *most;
    CHECK(posix_memalign(&most, (size_t)64 << 20, 60 << 20) == 0);
    memset(most, 1, malloc_usable_size(most));
    free(most);
}

/* The guard of the shrunk block lies inside the block grown again: what stood there must not be its
 * pattern. */
static void pattern_is_not_left_behind(void)
{
    unsigned char *block = malloc(2000000), *shrunk = block;
    memset(block, 0xff, 2000000);
    CHECK((shrunk = realloc(block, 1000000)) == block);
    size_t end = malloc_usable_size(shrunk);
    CHECK((block = realloc(shrunk, 2000000)) == shrunk && malloc_usable_size(block) > end + GUARD);
    for (size_t i = 0; i < GUARD; i++)
        CHECK(block[end + i] == 0 || block[end + i] == 0xff);
}

static void work_in_children(void)
{
    allocate(4096, 500);
    unsigned char *large = malloc(1000000);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        free(large);
        free_all(500);
        work_inside();
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    free(large);
    free_all(500);
}

static void refuse_mprotect(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOMEM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = sizeof filter / sizeof filter[0], .filter = filter };
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static void overrun_where_mprotect_is_refused(void)
{
    refuse_mprotect();
    overrun_of_small_block();
}

/* What cannot be made accessible again must not be handed out again. */
static void guards_that_stay(void)
{
    allocate(4096, 100);
    unsigned char *large = malloc(1000000), *alone = aligned_alloc(2 * PAGE, 100);
    memset(large, 3, 1000000);
    refuse_mprotect();
    CHECK((large = realloc(large, 2000000)) != NULL && large[999999] == 3);
    free(large);
    free(alone);
    free_all(100);
    for (int i = 0; i < 3; i++) {
        allocate(4096, BLOCKS);
        free_all(BLOCKS);
    }
    for (size_t bytes = 300000; bytes < 4000000; bytes += 60000) {
        CHECK((large = malloc(bytes)) != NULL);
        memset(large, 1, bytes);
        free(large);
    }
}

/* More runs than there may be mappings: the program's own must still be had. */
static void more_runs_than_mappings(void)
{
    static unsigned char *many[20000];
    for (size_t i = 0; i < 20000; i++) {
        CHECK((many[i] = malloc(57344)) != NULL);
        many[i][0] = 1;
    }
    for (int i = 0; i < 1000; i++)
        CHECK(mmap(NULL, 4096, i % 2 ? PROT_READ : PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                   0) != MAP_FAILED);
    for (size_t i = 0; i < 20000; i++)
        free(many[i]);
    hf_thread_idle();
    void *most = malloc((size_t)1 << 30);
    CHECK(most != NULL);
}

static void order_is_random(void)
{
    static const size_t sizes[] = { 48, 112, 1008, 4096 };
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        allocate(sizes[s], BLOCKS);
        size_t next = 0, pages = 0, alike = 0, offsets[2][15];
        for (size_t i = 1; i < BLOCKS; i++)
            next += blocks[i] == blocks[i - 1] + sizes[s];
        for (size_t i = 0, in_page = 0; i < BLOCKS && pages < 2; i++) {
            offsets[pages][in_page++] = offset_in_page(blocks[i]);
            if (in_page == 15) {
                in_page = 0;
                for (pages++;
                     i + 1 < BLOCKS && (uintptr_t)blocks[i + 1] / PAGE == (uintptr_t)blocks[i] / PAGE; i++)
                    ;
            }
        }
        for (size_t i = 0; i < 15; i++)
            alike += offsets[0][i] == offsets[1][i];
        CHECK(next < BLOCKS / 4);
        CHECK(pages == 2 && alike < 10);
        free_all(BLOCKS);
    }
}

enum ending { WELL, AT_ONCE, LATE }; /* exit status 0; SIGSEGV; SIGABRT with the message */

struct scene {
    const char *name;
    void (*play)(void);
    enum ending on_4k, on_huge;
    const char *says; /* when it ends LATE or WELL */
    bool only_4k;
};

static const struct scene scenes[] = {
    { "overrun-of-small-block", overrun_of_small_block, AT_ONCE, LATE, "page of 4096-byte blocks at", false },
    { "overrun-into-slack", overrun_into_slack, LATE, LATE, ", 3 bytes behind its last block", false },
    { "overrun-of-large-block", overrun_of_large_block, AT_ONCE, LATE,
      "of 1044480 bytes was overwritten, first at", false },
    { "overrun-then-grown", overrun_then_grown, AT_ONCE, LATE, ", 4095 bytes behind its end", false },
    { "overrun-then-shrunk", overrun_then_shrunk, AT_ONCE, LATE, ", 100 bytes behind its end", false },
    { "underrun-of-small-block", underrun_of_small_block, AT_ONCE, LATE, ", 4095 bytes behind its last block",
      false },
    { "underrun-into-own-structures", underrun_into_own_structures, WELL, WELL, NULL, true },
    { "pattern-is-not-left-behind", pattern_is_not_left_behind, WELL, WELL, NULL, false },
    { "work-inside", work_inside, WELL, WELL, NULL, false },
    { "work-in-children", work_in_children, WELL, WELL, NULL, false },
    { "overrun-where-mprotect-is-refused", overrun_where_mprotect_is_refused, LATE, LATE, "HF-W311", true },
    { "guards-that-stay", guards_that_stay, WELL, WELL, NULL, true },
    { "more-runs-than-mappings", more_runs_than_mappings, WELL, WELL, "HF-I311", true },
    { "order-is-random", order_is_random, WELL, WELL, NULL, false },
};
#define SCENES (sizeof scenes / sizeof scenes[0])

static char *program;
static const char *backing;

static void start_again(int scene)
{
    bool many = scenes[scene].play == more_runs_than_mappings;
    setenv("HOLDFAST_ARENA", many ? "1400M" : "128M", 1);
    setenv("HOLDFAST_BACKING", backing, 1);
    setenv("HOLDFAST_PREFAULT", many ? "none" : "startup", 1);
    setenv("HOLDFAST_LOCK", "no", 1);
    setenv("HOLDFAST_VERBOSE", many ? "1" : "0", 1);
    execl("/proc/self/exe", program, scenes[scene].name, (char *)NULL);
    _exit(127);
}

static bool ends_so(int status, const char *output, enum ending ending, const char *says)
{
    switch (ending) {
    case WELL: return status == 0 && (says == NULL || strstr(output, says) != NULL);
    case AT_ONCE: return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
    case LATE: break;
    }
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && strstr(output, "HF-E310") != NULL &&
           strstr(output, says) != NULL;
}

static long mappings_max(void)
{
    long max = 0;
    FILE *file = fopen("/proc/sys/vm/max_map_count", "r");
    CHECK(file != NULL && fscanf(file, "%ld", &max) == 1);
    fclose(file);
    return max;
}

int main(int argc, char **argv)
{
    static const char *const backings[] = { "4k", "thp", "2m" };
    int failed = 0;
    program = argv[0];
    for (size_t i = 0; argc > 1 && i < SCENES; i++)
        if (strcmp(argv[1], scenes[i].name) == 0) {
            scenes[i].play();
            return 0;
        }
    for (size_t b = 0; b < sizeof backings / sizeof backings[0]; b++)
        for (size_t i = 0; i < SCENES; i++) {
            char output[8192];
            backing = backings[b];
            if (scenes[i].only_4k && b != 0)
                continue;
            if (scenes[i].play == more_runs_than_mappings && mappings_max() > 70000) {
                printf("left out: %s: vm.max_map_count is %ld\n", scenes[i].name, mappings_max());
                continue;
            }
            enum ending ending = b == 0 ? scenes[i].on_4k : scenes[i].on_huge;
            unsigned tries = 0;
            int status;
            do
                status = test_in_child(start_again, (int)i, output, sizeof output);
            while (!ends_so(status, output, ending, scenes[i].says) && test_pool_again(backing, &tries));
            bool good = ends_so(status, output, ending, scenes[i].says);
            printf("%s: %s, %s (status %#x) %s", good ? "ok" : "NOT OK", scenes[i].name, backing,
                   (unsigned)status, output[0] ? output : "\n");
            failed += !good;
        }
    return failed != 0;
}
