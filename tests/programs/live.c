/*
 * live: live bytes, known to the byte, are what hf_stats_get and mallinfo2 say: of 501 threads that
 * were given a few blocks each and sleep, of blocks freed by other threads, of magazines, of full
 * pages kept, of blocks of whole pages.
 *
 * With an argument: waits in each state, for tests/tool-live.sh, which looks from outside.  With
 * "forged": has a segment that says more of its theaps than there is, and waits once.  With
 * "forked": the child of a process with threads has far less than it can know to be free, and waits.
 */
#include <holdfast/holdfast.h>
#include <malloc.h>
#include <pthread.h>

#include "segment.h"

#define SLEEPERS 500
#define FEW 6
#define LARGE 6
#define MANY 60000 /* of a small size: several full pages of a class, and more than a theap queues */

static bool waits;
static uint64_t expected; /* bytes of the blocks that the program has */
static pthread_barrier_t begin, end;
static void *few[SLEEPERS][FEW];
static void *many[MANY], *large[LARGE];

static uint64_t live(void)
{
    struct hf_stats stats;
    CHECK(hf_stats_get(&stats, sizeof stats) == 0);
    CHECK(stats.allocated + stats.idle + stats.free + stats.metadata == stats.arena);
    CHECK(stats.live <= stats.allocated + stats.idle);
    struct mallinfo2 info = mallinfo2();
    CHECK(info.arena == info.uordblks + info.fordblks && info.uordblks <= stats.live);
    CHECK(stats.live <= info.uordblks + info.hblkhd);
    return stats.live;
}

static void *get(size_t bytes)
{
    void *block = malloc(bytes);
    CHECK(block != NULL);
    return block;
}

static void put(void **block)
{
    expected -= malloc_usable_size(*block);
    free(*block);
    *block = NULL;
}

/* The line, with live and held bytes, is read by tests/tool-live.sh, which answers when it has
 * looked. */
static void check(const char *state)
{
    uint64_t now = live();
    struct hf_stats stats;
    char text[160];
    CHECK(hf_stats_get(&stats, sizeof stats) == 0);
    int length =
        snprintf(text, sizeof text, "%s %llu %llu %llu\n", state, (unsigned long long)expected,
                 (unsigned long long)(stats.allocated + stats.idle), (unsigned long long)stats.remote_frees);
    if (now != expected)
        fprintf(stderr, "%s: %llu live, %llu are said to be\n", state, (unsigned long long)expected,
                (unsigned long long)now);
    CHECK(now == expected);
    CHECK(!waits || (write(1, text, (size_t)length) == length && read(0, text, 1) == 1));
}

static void *sleeper(void *argument)
{
    size_t number = (size_t)argument;
    pthread_barrier_wait(&begin);
    for (size_t i = 0; i < FEW; i++)
        few[number][i] = get(64 << i);
    pthread_barrier_wait(&end);
    pthread_barrier_wait(&end);
    return NULL;
}

static void *free_third(void *argument)
{
    (void)argument;
    for (size_t i = 0; i < MANY; i += 3)
        put(&many[i]);
    pthread_barrier_wait(&end);
    pthread_barrier_wait(&end); /* with what it keeps in magazines */
    return NULL;
}

static void start(pthread_t *thread, void *(*function)(void *), size_t number)
{
    pthread_attr_t attributes;
    CHECK(pthread_attr_init(&attributes) == 0 && pthread_attr_setstacksize(&attributes, 128 << 10) == 0);
    CHECK(pthread_create(thread, &attributes, function, (void *)number) == 0);
    pthread_attr_destroy(&attributes);
}

static void check_sleepers(void)
{
    static pthread_t threads[SLEEPERS];
    CHECK(pthread_barrier_init(&begin, NULL, SLEEPERS + 1) == 0);
    CHECK(pthread_barrier_init(&end, NULL, SLEEPERS + 1) == 0);
    for (size_t i = 0; i < SLEEPERS; i++)
        start(&threads[i], sleeper, i);
    expected = live(); /* the C library's for the threads too */
    pthread_barrier_wait(&begin);
    pthread_barrier_wait(&end);
    for (size_t i = 0; i < SLEEPERS; i++)
        for (size_t j = 0; j < FEW; j++)
            expected += malloc_usable_size(few[i][j]);
    check("asleep");
    for (size_t i = 0; i < SLEEPERS; i++) /* into sleepers' pages, by way of this one's magazines */
        for (size_t j = 0; j < FEW; j += 2)
            put(&few[i][j]);
    check("freed-by-another");
    pthread_barrier_wait(&end);
    for (size_t i = 0; i < SLEEPERS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

static void check_many(void)
{
    pthread_t thread;
    expected = live();
    for (size_t i = 0; i < MANY; i++)
        expected += malloc_usable_size(many[i] = get(i % 7 == 0 ? 2048 : 64));
    for (size_t i = 0; i < LARGE; i++)
        expected += malloc_usable_size(large[i] = get(535000));
    check("many"); /* full pages, of which some are queued */
    CHECK(pthread_barrier_init(&end, NULL, 2) == 0);
    start(&thread, free_third, 0);
    pthread_barrier_wait(&end);
    uint64_t of_thread = live() - expected; /* the C library's, for the thread */
    CHECK(of_thread < 4096);
    expected += of_thread;
    check("a-third-freed");
    for (size_t i = 1; i < MANY; i += 3) /* queued full pages get room again */
        put(&many[i]);
    check("two-thirds-freed");
    for (size_t i = 2; i < MANY; i += 6) /* and hand some of it out from magazines that hold it */
        put(&many[i]);
    for (size_t i = 0; i < MANY; i += 6)
        expected += malloc_usable_size(many[i] = get(64));
    for (size_t i = 0; i < LARGE; i += 2)
        put(&large[i]);
    check("mixed");
    pthread_barrier_wait(&end);
    CHECK(pthread_join(thread, NULL) == 0);
}

/* A list of theaps without an end, each as large as a reader believes. */
static void forge(void)
{
    static _Alignas(4096) char theap[128 << 10];
    static void *list = theap;
    char path[128], answer;
    void *self = theap;
    uint32_t live_state = 1;
    size_t bytes = (size_t)test_segment()->segment_bytes;
    test_segment_path(path, sizeof path);
    CHECK(chmod(path, 0600) == 0);
    int fd = open(path, O_RDWR);
    CHECK(fd >= 0);
    struct hf_inspect_segment *segment = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(segment != MAP_FAILED);
    memcpy(theap + segment->live.next, &self, sizeof self);
    memcpy(theap + segment->live.state, &live_state, sizeof live_state);
    segment->theap_count = 1 << 20;
    segment->live.theaps = (uintptr_t)&list;
    segment->live.magazine_count = 64;
    segment->live.magazine_bytes = 1024;
    CHECK(write(1, "forged\n", 7) == 7 && read(0, &answer, 1) == 1);
}

static void *keep_few(void *argument)
{
    (void)argument;
    for (size_t i = 0; i < MANY; i++)
        many[i] = get(64);
    for (size_t i = 0; i < MANY; i++)
        if (i % 64 != 0)
            free(many[i]);
    pthread_barrier_wait(&end);
    pthread_barrier_wait(&end);
    return NULL;
}

/* What another thread had freed counts as live in the child: its lists are not followed there. */
static void check_forked(void)
{
    pthread_t thread;
    int status;
    CHECK(pthread_barrier_init(&end, NULL, 2) == 0);
    start(&thread, keep_few, 0);
    pthread_barrier_wait(&end);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        char text[64], answer;
        int length = snprintf(text, sizeof text, "forked %ld\n", (long)getpid());
        CHECK(test_segment()->options & HF_INSPECT_TOOK_OVER);
        CHECK(write(1, text, (size_t)length) == length && read(0, &answer, 1) == 1);
        _exit(0);
    }
    CHECK((test_segment()->options & HF_INSPECT_TOOK_OVER) == 0);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    pthread_barrier_wait(&end);
    CHECK(pthread_join(thread, NULL) == 0);
}

int main(int argc, char **argv)
{
    waits = argc > 1;
    setenv("HOLDFAST_BACKING", "thp", 0); /* not the pool, which others use */
    setenv("HOLDFAST_VERBOSE", "0", 0);
    setenv("HOLDFAST_INSPECT", "children", 0);
    test_on_arena(argv, "128M"); /* tight while 501 threads have pages of their own */
    if (waits && strcmp(argv[1], "forged") == 0) {
        forge();
        return 0;
    }
    if (waits && strcmp(argv[1], "forked") == 0) {
        check_forked();
        return 0;
    }
    check_sleepers();
    check_many();
    expected = live();
    for (size_t i = 0; i < MANY; i++)
        if (many[i] != NULL)
            put(&many[i]);
    check("all-freed");
    return 0;
}
