/*
 * grows: what a growing arena takes of the machine.
 *
 * Many threads that begin at once: pages that are used, and one step ahead of them, not a step for
 * each thread.  Of pages that they have only begun to use, what they touched is resident.  A block
 * larger than a step: the program populates it by its touches, with huge pages all the same.  A
 * request that cannot be served: nothing, while one that the rest can serve is served.  A full one
 * says what bounds it: a limit of addresses, the cgroup's limit, what the kernel refuses now.
 */
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <holdfast/holdfast.h>

#include "test.h"

#define THREADS 100
#define SIZES 40
#define STEP_BYTES ((size_t)64 << 20)        /* src/arena/arena-grow.c: most that is populated ahead of use */
#define SMALL_PAGES_BYTES ((size_t)32 << 20) /* src/arena/arena-grow.c: huge pages begin well before that */
#define OTHER_BYTES ((size_t)48 << 20)       /* stacks, code, the arena's maps, the inspection segment */

static pthread_barrier_t all_began, all_hold;
static _Atomic(size_t) live_bytes;

static bool thp_is(const char *value)
{
    char enabled[100];
    int fd = open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY);
    ssize_t length = fd < 0 ? 0 : read(fd, enabled, sizeof enabled - 1);
    enabled[length < 0 ? 0 : length] = 0;
    close(fd);
    return strstr(enabled, value) != NULL;
}

static void *hold(void *argument)
{
    void *blocks[SIZES];
    pthread_barrier_wait(&all_began);
    for (size_t i = 0; i < SIZES; i++) {
        size_t bytes = (i + 1) * (i + 1) * 16;
        blocks[i] = malloc(bytes);
        CHECK(blocks[i] != NULL);
        memset(blocks[i], 1, bytes);
        live_bytes += bytes;
    }
    pthread_barrier_wait(&all_hold);
    for (size_t i = 0; i < SIZES; i++)
        free(blocks[i]);
    return argument;
}

static void begin_at_once(void)
{
    pthread_t threads[THREADS];
    struct hf_stats stats;
    pthread_barrier_init(&all_began, NULL, THREADS);
    pthread_barrier_init(&all_hold, NULL, THREADS);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, hold, NULL) == 0);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(hf_stats_get(&stats, sizeof stats) == 0);
    size_t resident = test_number_in("/proc/self/status", "VmHWM:") << 10;
    printf("high water %llu MiB, resident at most %zu MiB\n", (unsigned long long)stats.high_water >> 20,
           resident >> 20);
    CHECK(resident <= stats.high_water + STEP_BYTES + OTHER_BYTES);
    CHECK(thp_is("[always]") || resident <= 2 * live_bytes + OTHER_BYTES);
    CHECK(stats.high_water <= (size_t)THREADS * SIZES * 2 * 65536);
}

/* Whether the kernel was asked for huge pages at an address: "hg" among the flags of its
 * mapping. */
static bool is_advised(const char *address)
{
    static char line[4096];
    bool there = false, advised = false;
    FILE *maps = fopen("/proc/self/smaps", "r");
    CHECK(maps != NULL);
    while (fgets(line, sizeof line, maps) != NULL) {
        unsigned long start, end;
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
            there = (uintptr_t)address >= start && (uintptr_t)address < end;
        else if (there && strncmp(line, "VmFlags:", 8) == 0)
            advised = strstr(line, " hg") != NULL;
    }
    fclose(maps);
    return advised;
}

static void have_large_blocks(void)
{
    if (!thp_is("[always]") && !thp_is("[madvise]"))
        return;
    CHECK(malloc(SMALL_PAGES_BYTES) != NULL);
    for (size_t bytes = STEP_BYTES / 2; bytes <= 2 * STEP_BYTES; bytes *= 2) {
        size_t before = test_number_in("/proc/self/status", "VmRSS:") << 10;
        char *block = malloc(bytes);
        CHECK(block != NULL);
        printf("%zu MiB\n", bytes >> 20);
        CHECK(is_advised(block + bytes / 2));
        size_t after = test_number_in("/proc/self/status", "VmRSS:") << 10;
        CHECK(bytes <= STEP_BYTES || after <= before + bytes / 4); /* it may be sparse */
    }
}

static size_t open_bytes(void)
{
    return test_number_in("/proc/self/status", "VmData:") << 10;
}

static void ask_for_too_much(void)
{
    struct hf_stats stats;
    CHECK(malloc(100) != NULL && hf_stats_get(&stats, sizeof stats) == 0);
    size_t most = stats.arena / 10 * 6;
    CHECK(malloc(most) != NULL);
    size_t before = open_bytes();
    CHECK(malloc(most) == NULL && errno == ENOMEM);
    CHECK(aligned_alloc((size_t)1 << 30, most) == NULL && errno == ENOMEM);
    CHECK(open_bytes() == before);
    CHECK(hf_stats_get(&stats, sizeof stats) == 0);
    printf("free %llu MiB, longest run %llu MiB\n", (unsigned long long)stats.free >> 20,
           (unsigned long long)stats.longest_free >> 20);
    CHECK(stats.longest_free >= stats.arena / 10 * 3); /* what is not open yet counts */
    CHECK(malloc(stats.arena / 10 * 2) != NULL);
    CHECK(open_bytes() >= before + stats.arena / 10);
}

/* Nothing is touched: the kernel ends no process for it. */
static void fill_up(void)
{
    size_t count = 0;
    while (count < 100000 && malloc((size_t)1 << 20) != NULL)
        count++;
    printf("%zu MiB\n", count);
    CHECK(count >= 64 && errno == ENOMEM);
}

static void fill_up_what_may_be_opened(void)
{
    struct rlimit limit = { open_bytes() + ((size_t)100 << 20), RLIM_INFINITY };
    CHECK(malloc(100) != NULL && setrlimit(RLIMIT_DATA, &limit) == 0);
    fill_up();
}

/* --- a group of our own, where one can be made --- */

static char group[600];

static bool put(const char *file, const char *text)
{
    char path[700];
    snprintf(path, sizeof path, "%s/%s", group, file);
    int fd = open(path, O_WRONLY);
    bool done = fd >= 0 && write(fd, text, strlen(text)) > 0;
    close(fd);
    return done;
}

static bool make_group(void)
{
    static const struct {
        const char *mark, *root, *limit;
    } kinds[] = {
        { "memory:", "/sys/fs/cgroup/memory", "memory.limit_in_bytes" },
        { "0::", "/sys/fs/cgroup", "memory.max" },
    };
    char text[4096];
    test_read("/proc/self/cgroup", text, sizeof text);
    for (size_t i = 0; i < 2; i++) {
        const char *at = strstr(text, kinds[i].mark);
        if (at == NULL)
            continue;
        at += strlen(kinds[i].mark);
        snprintf(group, sizeof group, "%s%.*s/holdfast-grows-%d", kinds[i].root, (int)strcspn(at, "\n"), at,
                 (int)getpid());
        if (mkdir(group, 0755) == 0 && put(kinds[i].limit, "268435456"))
            return true;
        rmdir(group);
    }
    group[0] = 0;
    return false;
}

static const struct {
    const char *name;
    void (*run)(void);
    size_t address_bytes;
    const char *says; /* NULL: nothing in particular */
    bool in_group;
} cases[] = {
    { "at-once", begin_at_once, RLIM_INFINITY, NULL, false },
    { "large-blocks", have_large_blocks, RLIM_INFINITY, NULL, false },
    { "too-much", ask_for_too_much, (size_t)3 << 30,
      "are half of the addresses that the limits leave; raise them (ulimit -v unlimited", false },
    { "cgroup", fill_up, RLIM_INFINITY,
      "its 256 MiB are what the cgroup's limit allows; raise the cgroup's memory limit (MemoryMax=)", true },
    { "refused", fill_up_what_may_be_opened, (size_t)3 << 30,
      "are more than the kernel lets it open; raise the limit on data (ulimit -d)", false },
};

static void start(int i)
{
    struct rlimit limit = { cases[i].address_bytes, cases[i].address_bytes };
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    CHECK(dup2(2, 1) == 1);
    CHECK(!cases[i].in_group || put("cgroup.procs", "0"));
    execl("/proc/self/exe", "grows", cases[i].name, NULL);
    CHECK(!"exec");
}

int main(int argc, char **argv)
{
    char said[8192];
    bool failed = false;
    test_on_arena(argv, "auto");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (argc == 2 && strcmp(argv[1], cases[i].name) == 0) {
            cases[i].run();
            return 0;
        }
        if (argc == 2 || (cases[i].in_group && !make_group()))
            continue;
        int status = test_in_child(start, (int)i, said, sizeof said);
        printf("%s: status %d\n%s", cases[i].name, status, said);
        failed = failed || !WIFEXITED(status) || WEXITSTATUS(status) != 0 ||
                 (cases[i].says != NULL && strstr(said, cases[i].says) == NULL);
    }
    if (group[0] != 0)
        rmdir(group);
    return failed ? 1 : 0;
}
