/*
 * bufferpool: a small buffer pool manager over a file that is bigger than its pool.
 *
 * Frames of a pool hold pages of the file.  Each thread has a part of the pages, with its own
 * frames, hash table, clock hand and io_uring ring, as databases partition theirs.  A page is
 * looked up; if it is not in a frame, the clock finds one to reuse, a dirty page in it is written
 * back, and the page is read with direct I/O.  Each page carries its number, a version and a
 * checksum of all of its bytes, verified at every read from the file; a quarter of the accesses
 * (--writes) change the page.
 *
 * Several accesses are under way at a time (--depth): those that miss are submitted together.
 *
 *   bufferpool [--page BYTES] [--pool BYTES] [--file BYTES] [--threads N] [--depth N]
 *              [--seconds S | --operations N] [--writes PERCENT] [--no-verify]
 *              [--buffers registered|plain|malloc] [--path FILE] [--keep]
 *
 *   registered   frames of hf_frames_alloc, the ring knows them (hf_uring_register)
 *   plain        the same frames, ordinary operations
 *   malloc       frames of whatever malloc there is (aligned_alloc), ordinary operations
 *
 * Prints one line: operations, their rate, CPU time for each, checksum errors.  Without --buffers:
 * registered, then plain.  --no-verify leaves checksums to the end; with --writes 0 the CPU time is
 * then that of input and table alone.
 *
 * --keep leaves the file, and uses one that is there from a run with the same --page and --file.
 *
 * Compiled with HAVE_HOLDFAST=0 it has malloc only, and needs liburing alone.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <liburing.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifndef HAVE_HOLDFAST
#define HAVE_HOLDFAST 1
#endif
#if HAVE_HOLDFAST
#include <holdfast/frames.h>
#include <holdfast/uring.h>
#endif

#define NO_FRAME UINT32_MAX
#define THREADS_MAX 64
#define DEPTH_MAX 256

enum buffers { BUFFERS_REGISTERED, BUFFERS_PLAIN, BUFFERS_MALLOC };
static const char *const buffers_names[] = { "registered", "plain", "malloc" };

struct settings {
    size_t page_bytes, pool_bytes, file_bytes;
    unsigned threads, depth, writes_percent;
    double seconds;
    uint64_t operations; /* per thread; 0: by time */
    const char *path;
    bool verify, keep;
};

/* First bytes of each page in the file. */
struct page_head {
    uint64_t number;
    uint64_t version;
    uint64_t checksum; /* of the page with this field 0 */
};

struct frame {
    char *memory;
    uint64_t page; /* number within the thread's part */
    uint32_t next; /* in its hash chain */
    bool used, dirty, referenced, busy;
};

/* What one thread owns. */
struct pool {
    const struct settings *settings;
    enum buffers buffers;
    unsigned number;
    int file;
    uint64_t first_page, page_count; /* its part of the file */
    struct frame *frames;
    size_t frame_count, clock_hand;
    uint32_t *buckets; /* first frame of a chain */
    size_t bucket_count;
    struct io_uring ring;
    unsigned in_flight;
    uint64_t random;
    uint64_t operations, reads, writes, errors;
#if HAVE_HOLDFAST
    struct hf_frames *memory;
#endif
    char *plain_memory;
};

static pthread_barrier_t ready;

static _Noreturn void fail(const char *what, int error)
{
    fprintf(stderr, "bufferpool: %s: %s\n", what, strerror(error < 0 ? -error : error));
    exit(2);
}

static double seconds_of(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static uint64_t next_random(struct pool *pool)
{
    pool->random ^= pool->random >> 12;
    pool->random ^= pool->random << 25;
    pool->random ^= pool->random >> 27;
    return pool->random * 0x2545f4914f6cdd1du;
}

/* --- pages --- */

static uint64_t checksum(const char *page, size_t bytes)
{
    const uint64_t *words = (const uint64_t *)page;
    uint64_t sums[4] = { 1, 2, 3, 4 };
    for (size_t i = 0; i < bytes / 8; i += 4)
        for (size_t lane = 0; lane < 4; lane++) {
            uint64_t word = i == 0 && lane == 2 ? 0 : words[i + lane]; /* the checksum itself */
            sums[lane] = (sums[lane] ^ word) * 0x9e3779b97f4a7c15u;
            sums[lane] ^= sums[lane] >> 29;
        }
    return sums[0] ^ sums[1] * 3 ^ sums[2] * 5 ^ sums[3] * 7;
}

static void seal(char *page, size_t bytes)
{
    ((struct page_head *)page)->checksum = checksum(page, bytes);
}

static bool is_sound(const char *page, size_t bytes, uint64_t number)
{
    const struct page_head *head = (const struct page_head *)page;
    return head->number == number && head->checksum == checksum(page, bytes);
}

/* --- the hash table: page number to frame --- */

static size_t bucket_of(const struct pool *pool, uint64_t page)
{
    return page * 0x9e3779b97f4a7c15u >> 20 & (pool->bucket_count - 1);
}

static uint32_t find(const struct pool *pool, uint64_t page)
{
    uint32_t at = pool->buckets[bucket_of(pool, page)];
    while (at != NO_FRAME && pool->frames[at].page != page)
        at = pool->frames[at].next;
    return at;
}

static void enter(struct pool *pool, uint32_t at, uint64_t page)
{
    uint32_t *bucket = &pool->buckets[bucket_of(pool, page)];
    pool->frames[at].page = page;
    pool->frames[at].next = *bucket;
    pool->frames[at].used = true;
    *bucket = at;
}

static void leave(struct pool *pool, uint32_t at)
{
    uint32_t *link = &pool->buckets[bucket_of(pool, pool->frames[at].page)];
    while (*link != at)
        link = &pool->frames[*link].next;
    *link = pool->frames[at].next;
    pool->frames[at].used = false;
}

/* The clock: the next frame that nobody has touched since the hand last passed (Corbato 1968). */
static uint32_t choose(struct pool *pool)
{
    for (;;) {
        uint32_t at = (uint32_t)pool->clock_hand;
        struct frame *frame = &pool->frames[at];
        pool->clock_hand = (pool->clock_hand + 1) % pool->frame_count;
        if (frame->busy)
            continue;
        if (!frame->used || !frame->referenced)
            return at;
        frame->referenced = false;
    }
}

/* --- input and output --- */

static void prepare(struct pool *pool, uint32_t at, bool write)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(&pool->ring);
    struct frame *frame = &pool->frames[at];
    unsigned bytes = (unsigned)pool->settings->page_bytes;
    uint64_t offset = (pool->first_page + frame->page) * pool->settings->page_bytes;
#if HAVE_HOLDFAST
    if (pool->buffers == BUFFERS_REGISTERED && write)
        hf_uring_prep_write(entry, 0, frame->memory, bytes, offset);
    else if (pool->buffers == BUFFERS_REGISTERED)
        hf_uring_prep_read(entry, 0, frame->memory, bytes, offset);
    else
#endif
        if (write)
        io_uring_prep_write(entry, 0, frame->memory, bytes, offset);
    else
        io_uring_prep_read(entry, 0, frame->memory, bytes, offset);
    entry->flags |= IOSQE_FIXED_FILE; /* file 0 of the ring */
    entry->user_data = (uint64_t)at << 1 | write;
    frame->busy = true;
    pool->in_flight++;
}

static void complete_one(struct pool *pool, const struct io_uring_cqe *completion)
{
    uint32_t at = (uint32_t)(completion->user_data >> 1);
    struct frame *frame = &pool->frames[at];
    if (completion->res != (int)pool->settings->page_bytes)
        fail(completion->user_data & 1 ? "write" : "read", completion->res < 0 ? completion->res : EIO);
    frame->busy = false;
    if ((completion->user_data & 1) == 0 && pool->settings->verify &&
        !is_sound(frame->memory, pool->settings->page_bytes, pool->first_page + frame->page))
        pool->errors++;
}

static void complete_all(struct pool *pool)
{
    if (pool->in_flight == 0)
        return;
    int error = io_uring_submit_and_wait(&pool->ring, pool->in_flight);
    if (error < 0)
        fail("submit", error);
    while (pool->in_flight != 0) {
        struct io_uring_cqe *completion;
        error = io_uring_wait_cqe(&pool->ring, &completion);
        if (error != 0)
            fail("wait", error);
        complete_one(pool, completion);
        io_uring_cqe_seen(&pool->ring, completion);
        pool->in_flight--;
    }
}

static void touch(struct pool *pool, uint32_t at)
{
    struct frame *frame = &pool->frames[at];
    frame->referenced = true;
    if (next_random(pool) % 100 >= pool->settings->writes_percent)
        return;
    ((struct page_head *)frame->memory)->version++;
    ((uint64_t *)frame->memory)[4 + next_random(pool) % (pool->settings->page_bytes / 8 - 4)] = pool->random;
    frame->dirty = true;
}

/* One round: up to `depth` pages are accessed, those that are missing at once. */
static void access_round(struct pool *pool)
{
    uint32_t wanted[DEPTH_MAX];
    uint64_t pages[DEPTH_MAX];
    unsigned count = 0, evicted = 0;
    for (unsigned i = 0; i < pool->settings->depth; i++) {
        uint64_t page = next_random(pool) % pool->page_count;
        uint32_t at = find(pool, page);
        bool again = false;
        for (unsigned j = 0; j < count; j++)
            again = again || pages[j] == page;
        pool->operations++;
        if (again)
            continue;
        if (at != NO_FRAME) {
            touch(pool, at);
            continue;
        }
        at = choose(pool);
        if (pool->frames[at].used)
            leave(pool, at); /* now: nobody in this round is to find what is on its way out */
        if (pool->frames[at].dirty) {
            seal(pool->frames[at].memory, pool->settings->page_bytes);
            prepare(pool, at, true);
            pool->writes++;
            evicted++;
        } else {
            pool->frames[at].busy = true;
        }
        wanted[count] = at;
        pages[count++] = page;
    }
    if (evicted != 0)
        complete_all(pool);
    for (unsigned i = 0; i < count; i++) {
        struct frame *frame = &pool->frames[wanted[i]];
        frame->dirty = false;
        enter(pool, wanted[i], pages[i]);
        prepare(pool, wanted[i], false);
        pool->reads++;
    }
    complete_all(pool);
    for (unsigned i = 0; i < count; i++)
        touch(pool, wanted[i]);
}

static void write_back(struct pool *pool)
{
    for (size_t at = 0; at < pool->frame_count; at++) {
        if (!pool->frames[at].used || !pool->frames[at].dirty)
            continue;
        seal(pool->frames[at].memory, pool->settings->page_bytes);
        prepare(pool, (uint32_t)at, true);
        pool->frames[at].dirty = false;
        if (pool->in_flight == pool->settings->depth)
            complete_all(pool);
    }
    complete_all(pool);
}

/* --- a thread --- */

static void set_up(struct pool *pool)
{
    const struct settings *settings = pool->settings;
    uint64_t pages = settings->file_bytes / settings->page_bytes;
    pool->page_count = pages / settings->threads;
    pool->first_page = pool->page_count * pool->number;
    pool->frame_count = settings->pool_bytes / settings->page_bytes / settings->threads;
    pool->bucket_count = 1;
    while (pool->bucket_count < 2 * pool->frame_count)
        pool->bucket_count *= 2;
    pool->frames = calloc(pool->frame_count, sizeof *pool->frames);
    pool->buckets = malloc(pool->bucket_count * sizeof *pool->buckets);
    pool->random = 88172645463325252u + pool->number * 1000003u;
    pool->file = open(settings->path, O_RDWR | O_DIRECT);
    if (pool->frames == NULL || pool->buckets == NULL || pool->file < 0)
        fail("set up", errno);
    memset(pool->buckets, 0xff, pool->bucket_count * sizeof *pool->buckets);
#if HAVE_HOLDFAST
    if (pool->buffers != BUFFERS_MALLOC &&
        (pool->memory = hf_frames_alloc(pool->frame_count, settings->page_bytes)) == NULL)
        fail("frames", errno);
#endif
    if (pool->buffers == BUFFERS_MALLOC &&
        (pool->plain_memory = aligned_alloc(4096, pool->frame_count * settings->page_bytes)) == NULL)
        fail("malloc", errno);
    for (size_t i = 0; i < pool->frame_count; i++) {
#if HAVE_HOLDFAST
        if (pool->memory != NULL)
            pool->frames[i].memory = hf_frame(pool->memory, i);
        else
#endif
            pool->frames[i].memory = pool->plain_memory + i * settings->page_bytes;
        /* malloc's is there before it is measured, too */
        memset(pool->frames[i].memory, 0, settings->page_bytes);
    }
    int error = io_uring_queue_init(settings->depth, &pool->ring,
                                    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
    if (error == -EINVAL)
        error = io_uring_queue_init(settings->depth, &pool->ring, 0);
    if (error != 0)
        fail("io_uring_queue_init", error);
    if ((error = io_uring_register_files(&pool->ring, &pool->file, 1)) != 0)
        fail("io_uring_register_files", error);
#if HAVE_HOLDFAST
    if (pool->buffers == BUFFERS_REGISTERED && (error = hf_uring_register(&pool->ring)) != 0)
        fail("hf_uring_register", error);
#endif
}

static void tear_down(struct pool *pool)
{
    io_uring_queue_exit(&pool->ring);
    close(pool->file);
#if HAVE_HOLDFAST
    hf_frames_free(pool->memory);
#endif
    free(pool->plain_memory);
    free(pool->frames);
    free(pool->buckets);
}

static double started, cpu_started, ended, cpu_ended;

static void mark(double *wall, double *cpu)
{
    if (pthread_barrier_wait(&ready) == PTHREAD_BARRIER_SERIAL_THREAD) {
        *wall = seconds_of(CLOCK_MONOTONIC);
        *cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    }
    pthread_barrier_wait(&ready);
}

static void *run_thread(void *argument)
{
    struct pool *pool = argument;
    const struct settings *settings = pool->settings;
    set_up(pool);
    while (pool->reads < pool->frame_count) /* until the frames are in use */
        access_round(pool);
    pool->operations = pool->reads = pool->writes = 0;
    mark(&started, &cpu_started);
    double until = started + settings->seconds;
    for (unsigned round = 1;; round++) {
        access_round(pool);
        if (settings->operations != 0 ? pool->reads >= settings->operations
                                      : round % 16 == 0 && seconds_of(CLOCK_MONOTONIC) >= until)
            break;
    }
    mark(&ended, &cpu_ended);
    write_back(pool);
    tear_down(pool);
    return NULL;
}

/* --- the file --- */

static void make_file(const struct settings *settings)
{
    struct stat found;
    if (settings->keep && stat(settings->path, &found) == 0 &&
        (uint64_t)found.st_size == settings->file_bytes)
        return;
    int file = open(settings->path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT, 0600);
    size_t step = (size_t)1 << 20;
    char *memory = aligned_alloc(4096, step);
    if (file < 0 || memory == NULL)
        fail(settings->path, errno);
    for (uint64_t at = 0; at < settings->file_bytes; at += step) {
        for (size_t in = 0; in < step; in += settings->page_bytes) {
            struct page_head *head = (struct page_head *)(memory + in);
            memset(memory + in, (int)((at + in) / settings->page_bytes), settings->page_bytes);
            *head = (struct page_head){ .number = (at + in) / settings->page_bytes };
            seal(memory + in, settings->page_bytes);
        }
        if (pwrite(file, memory, step, (off_t)at) != (ssize_t)step)
            fail("writing the file", errno);
    }
    free(memory);
    close(file);
}

/* Every page of the file, through the page cache of nobody. */
static uint64_t check_file(const struct settings *settings)
{
    int file = open(settings->path, O_RDONLY | O_DIRECT);
    size_t step = (size_t)1 << 20;
    char *memory = aligned_alloc(4096, step);
    uint64_t errors = 0;
    for (uint64_t at = 0; at < settings->file_bytes; at += step) {
        if (pread(file, memory, step, (off_t)at) != (ssize_t)step)
            fail("reading the file", errno);
        for (size_t in = 0; in < step; in += settings->page_bytes)
            errors += !is_sound(memory + in, settings->page_bytes, (at + in) / settings->page_bytes);
    }
    free(memory);
    close(file);
    return errors;
}

static uint64_t run(const struct settings *settings, enum buffers buffers)
{
    static struct pool pools[THREADS_MAX];
    pthread_t threads[THREADS_MAX];
    uint64_t operations = 0, reads = 0, writes = 0, errors = 0;
    memset(pools, 0, sizeof pools);
    pthread_barrier_init(&ready, NULL, settings->threads);
    for (unsigned i = 0; i < settings->threads; i++) {
        pools[i] = (struct pool){ .settings = settings, .buffers = buffers, .number = i };
        int error = pthread_create(&threads[i], NULL, run_thread, &pools[i]);
        if (error != 0)
            fail("pthread_create", error);
    }
    for (unsigned i = 0; i < settings->threads; i++) {
        pthread_join(threads[i], NULL);
        operations += pools[i].operations;
        reads += pools[i].reads;
        writes += pools[i].writes;
        errors += pools[i].errors;
    }
    if (!settings->keep || settings->writes_percent != 0)
        errors += check_file(settings);
    double wall = ended - started, cpu = cpu_ended - cpu_started;
    printf("%-10s page %zu accesses %llu reads %llu writes %llu io_per_second %.0f cpu_us_per_io %.3f errors "
           "%llu\n",
           buffers_names[buffers], settings->page_bytes, (unsigned long long)operations,
           (unsigned long long)reads, (unsigned long long)writes, (double)(reads + writes) / wall,
           cpu * 1e6 / (double)(reads + writes), (unsigned long long)errors);
    fflush(stdout);
    return errors;
}

static size_t bytes_of(const char *text)
{
    char *end;
    double number = strtod(text, &end);
    size_t unit = *end == 'K' ? 1024 : *end == 'M' ? 1 << 20 : *end == 'G' ? 1 << 30 : 1;
    return (size_t)(number * (double)unit);
}

int main(int argc, char **argv)
{
    struct settings settings = { .page_bytes = 4096,
                                 .pool_bytes = (size_t)64 << 20,
                                 .file_bytes = (size_t)256 << 20,
                                 .threads = 1,
                                 .depth = 32,
                                 .writes_percent = 25,
                                 .seconds = 2,
                                 .path = "bufferpool.data",
                                 .verify = true };
    static const struct option options[] = {
        { "page", required_argument, NULL, 'p' },
        { "pool", required_argument, NULL, 'm' },
        { "file", required_argument, NULL, 'f' },
        { "threads", required_argument, NULL, 't' },
        { "depth", required_argument, NULL, 'd' },
        { "seconds", required_argument, NULL, 's' },
        { "operations", required_argument, NULL, 'o' },
        { "buffers", required_argument, NULL, 'b' },
        { "path", required_argument, NULL, 'P' },
        { "writes", required_argument, NULL, 'w' },
        { "no-verify", no_argument, NULL, 'n' },
        { "keep", no_argument, NULL, 'k' },
        { 0 },
    };
    bool chosen[3] = { HAVE_HOLDFAST, HAVE_HOLDFAST, !HAVE_HOLDFAST };
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (option) {
        case 'p': settings.page_bytes = bytes_of(optarg); break;
        case 'm': settings.pool_bytes = bytes_of(optarg); break;
        case 'f': settings.file_bytes = bytes_of(optarg); break;
        case 't': settings.threads = (unsigned)atoi(optarg); break;
        case 'd': settings.depth = (unsigned)atoi(optarg); break;
        case 's': settings.seconds = atof(optarg); break;
        case 'o': settings.operations = strtoull(optarg, NULL, 10); break;
        case 'P': settings.path = optarg; break;
        case 'w': settings.writes_percent = (unsigned)atoi(optarg); break;
        case 'k': settings.keep = true; break;
        case 'n': settings.verify = false; break;
        case 'b':
            for (int i = 0; i < 3; i++)
                chosen[i] = strcmp(optarg, buffers_names[i]) == 0 && (HAVE_HOLDFAST || i == BUFFERS_MALLOC);
            break;
        default: return 2;
        }
    size_t page = settings.page_bytes;
    if (page < 4096 || page > (size_t)1 << 20 || (page & (page - 1)) != 0 || settings.threads < 1 ||
        settings.threads > THREADS_MAX || settings.depth < 1 || settings.depth > DEPTH_MAX ||
        settings.pool_bytes / page / settings.threads < 2 * settings.depth ||
        settings.file_bytes % ((size_t)1 << 20) != 0 ||
        settings.file_bytes / page / settings.threads < 4 * settings.depth) {
        fprintf(stderr, "bufferpool: pages are powers of two from 4 KiB to 1 MiB, the file whole MiB, and "
                        "pool and file hold several times --depth pages per thread\n");
        return 2;
    }
    make_file(&settings);
    uint64_t errors = 0;
    for (int i = 0; i < 3; i++)
        if (chosen[i])
            errors += run(&settings, (enum buffers)i);
    if (!settings.keep)
        unlink(settings.path);
    return errors != 0;
}
