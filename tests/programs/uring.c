/*
 * uring: the arena as registered buffers, and what can happen to a program that uses it so.
 *
 * Each case is a program of its own, started from this one with its own environment; what it says
 * on standard error is looked through for a message.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <holdfast/frames.h>
#include <holdfast/holdfast.h>
#include <holdfast/uring.h>

#include "segment.h"

#define FILE_BYTES ((size_t)4 << 20)
#define EXIT_SKIP 77
#ifdef HFI_ENABLE_SECURE
#define SMALL "thp" /* guards on 4k pages are inaccessible */
#else
#define SMALL "4k"
#endif

static int file;

static unsigned char byte_at(size_t offset)
{
    return (unsigned char)(offset * 2654435761u >> 13);
}

static void make_file(void)
{
    char path[] = "/tmp/holdfast-test-XXXXXX";
    CHECK((file = mkstemp(path)) >= 0);
    unlink(path);
    unsigned char *bytes = malloc(FILE_BYTES);
    for (size_t i = 0; i < FILE_BYTES; i++)
        bytes[i] = byte_at(i);
    CHECK(write(file, bytes, FILE_BYTES) == (ssize_t)FILE_BYTES);
    free(bytes);
}

static bool holds(const unsigned char *bytes, size_t count, size_t offset)
{
    for (size_t i = 0; i < count; i++)
        if (bytes[i] != byte_at(offset + i))
            return false;
    return true;
}

static struct io_uring new_ring(unsigned flags)
{
    struct io_uring ring;
    int error = io_uring_queue_init(16, &ring, flags);
    if (error == -ENOSYS || error == -EPERM || error == -EINVAL)
        exit(EXIT_SKIP);
    CHECK(error == 0);
    return ring;
}

static int complete(struct io_uring *ring)
{
    struct io_uring_cqe *completion;
    CHECK(io_uring_submit_and_wait(ring, 1) >= 0);
    CHECK(io_uring_wait_cqe(ring, &completion) == 0);
    int result = completion->res;
    io_uring_cqe_seen(ring, completion);
    return result;
}

/* Reads into `memory` and looks at what came; the operation must be of the kind that is wanted. */
static void read_checked(struct io_uring *ring, void *memory, size_t bytes, size_t offset, bool fixed)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(ring);
    hf_uring_prep_read(entry, file, memory, (unsigned)bytes, offset);
    CHECK(entry->opcode == (fixed ? IORING_OP_READ_FIXED : IORING_OP_READ));
    CHECK(complete(ring) == (int)bytes);
    CHECK(holds(memory, bytes, offset));
}

static void read_sizes(struct io_uring *ring, bool fixed)
{
    static const size_t sizes[] = { 1, 16, 100, 4096, 5000, 65536, 300000, 3 << 20 };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        void *memory = malloc(sizes[i]);
        CHECK(memory != NULL);
        read_checked(ring, memory, sizes[i], 4096 * i, fixed);
        free(memory);
    }
}

/* --- cases --- */

static void case_reads_and_writes(void)
{
    struct io_uring ring = new_ring(0);
    unsigned char on_stack[4096];
    CHECK(hf_uring_buf_index(malloc(10), 10) == -1); /* nothing registered */
    read_sizes(&ring, false);
    CHECK(hf_uring_register(&ring) == 0);
    read_sizes(&ring, true);
    read_checked(&ring, on_stack, sizeof on_stack, 0, false);
    unsigned char *from = malloc(8192), *to = calloc(1, 8192);
    memset(from, 0x5a, 8192);
    struct io_uring_sqe *entry = io_uring_get_sqe(&ring);
    hf_uring_prep_write(entry, file, from, 8192, FILE_BYTES);
    CHECK(entry->opcode == IORING_OP_WRITE_FIXED && complete(&ring) == 8192);
    CHECK(pread(file, to, 8192, FILE_BYTES) == 8192 && memcmp(from, to, 8192) == 0);
    io_uring_queue_exit(&ring);
}

static void case_vectors(void)
{
    struct io_uring ring = new_ring(0);
    unsigned char on_stack[512];
    CHECK(hf_uring_register(&ring) == 0);
    struct iovec vectors[2] = { { malloc(4096), 4096 }, { malloc(70000), 70000 } };
    struct io_uring_sqe *entry = io_uring_get_sqe(&ring);
    hf_uring_prep_readv(entry, file, vectors, 2, 8192);
    CHECK(entry->opcode == (hf_uring_arena.vectored ? 60 : IORING_OP_READV));
    CHECK(complete(&ring) == 74096 && holds(vectors[0].iov_base, 4096, 8192) &&
          holds(vectors[1].iov_base, 70000, 12288));
    entry = io_uring_get_sqe(&ring);
    hf_uring_prep_writev(entry, file, vectors, 2, FILE_BYTES);
    CHECK(complete(&ring) == 74096);
    unsigned char *back = malloc(70000);
    CHECK(pread(file, back, 70000, (off_t)FILE_BYTES + 4096) == 70000 && holds(back, 70000, 12288));
    for (unsigned empty = 0; empty < 2; empty++) { /* which the fixed operations refuse */
        struct iovec with_empty[2] = { vectors[0], vectors[0] };
        with_empty[empty].iov_len = 0;
        CHECK(hf_uring_vector_index(with_empty, 2) == -1);
        entry = io_uring_get_sqe(&ring);
        hf_uring_prep_readv(entry, file, with_empty, 2, 0);
        CHECK(complete(&ring) == 4096);
    }
    vectors[0] = (struct iovec){ on_stack, sizeof on_stack };
    entry = io_uring_get_sqe(&ring);
    hf_uring_prep_readv(entry, file, vectors, 2, 0);
    CHECK(entry->opcode == IORING_OP_READV && complete(&ring) == 70512 && holds(on_stack, 512, 0));
    io_uring_queue_exit(&ring);
}

static void case_sends(void)
{
    struct io_uring ring = new_ring(0);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(bind(listener, (struct sockaddr *)&address, length) == 0 && listen(listener, 1) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
    CHECK(connect(client, (struct sockaddr *)&address, length) == 0);
    int server = accept(listener, NULL, NULL);
    CHECK(server >= 0 && hf_uring_register(&ring) == 0);
    unsigned char *bytes = malloc(20000), *got = malloc(20000);
    for (size_t i = 0; i < 20000; i++)
        bytes[i] = byte_at(i);
    struct io_uring_sqe *entry = io_uring_get_sqe(&ring);
    hf_uring_prep_send_zc(entry, client, bytes, 20000, MSG_WAITALL, 0);
    CHECK((entry->ioprio & IORING_RECVSEND_FIXED_BUF) != 0);
    int sent = complete(&ring);
    if (sent == -EINVAL || sent == -EOPNOTSUPP)
        exit(EXIT_SKIP); /* before Linux 6.0 */
    CHECK(sent == 20000);
    CHECK(recv(server, got, 20000, MSG_WAITALL) == 20000 && holds(got, 20000, 0));
    io_uring_queue_exit(&ring);
}

static uint64_t pinned(void)
{
    return test_segment()->registered;
}

static uint64_t arena_bytes(void)
{
    const struct hf_inspect_segment *segment = test_segment();
    const struct hf_inspect_node *nodes = test_table(segment, segment->nodes);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < segment->nodes.count; i++)
        bytes += nodes[i].total;
    return bytes;
}

/* No block crosses a window, and indices end where the arena does. */
static void case_indices(void)
{
    struct io_uring ring = new_ring(0);
    CHECK(hf_uring_register(&ring) == 0);
    for (size_t bytes = 1; bytes <= (size_t)1 << 28; bytes *= 3)
        for (int i = 0; i < 4; i++) {
            char *block = malloc(bytes);
            if (block == NULL)
                continue;
            int index = hf_uring_buf_index(block, bytes);
            CHECK(index >= 0 && index == (int)(((uintptr_t)block - hf_uring_arena.start) >> 30));
        }
    CHECK(hf_uring_buf_index((void *)hf_uring_arena.start, ((size_t)1 << 30) + 1) == -1);
    CHECK(hf_uring_buf_index((void *)(hf_uring_arena.start + ((size_t)1 << 30) - 1), 2) == -1);
    CHECK(hf_uring_buf_index((void *)(hf_uring_arena.start + 4096), SIZE_MAX - 1000) == -1);
    CHECK(hf_uring_buf_index((void *)(hf_uring_arena.start - 1), 1) == -1);
    CHECK(hf_uring_buf_index((void *)(hf_uring_arena.start + hf_uring_arena.bytes), 1) == -1);
    CHECK(hf_uring_buf_index(&ring, 1) == -1 && hf_uring_buf_index(NULL, 1) == -1);
    io_uring_queue_exit(&ring);
}

static bool in_one_window(const void *block, size_t bytes)
{
    return (uintptr_t)block >> 30 == ((uintptr_t)block + bytes - 1) >> 30;
}

static const size_t mib = (size_t)1 << 20;

/* A block that shrank to what fits a window lies in one, unless there is nowhere to move it.
 * Nothing is populated for this. */
static void case_shrinks(void)
{
    enum { EACH = 32, MOST = 3072 / EACH };
    char *filler[MOST], *lowest = NULL;
    size_t count = 0;
    while (count < MOST && (filler[count] = malloc(EACH * mib)) != NULL) {
        lowest = lowest == NULL || filler[count] < lowest ? filler[count] : lowest;
        count++;
    }
    char *start = (char *)((uintptr_t)lowest & ~(1024 * mib - 1)); /* of the arena: three windows */
    /* room for one block of 1300 MiB, from the middle of the first window on, and for one of
     * 1000 in the third */
    for (size_t i = 0; i < count; i++)
        if (filler[i] >= start + 2048 * mib ||
            (filler[i] >= start + 512 * mib && filler[i] < start + 1900 * mib))
            free(filler[i]);
    char *block = malloc(1300 * mib);
    CHECK(block != NULL && block > start + 500 * mib);
    size_t bytes = (size_t)(start + 1024 * mib - block) + 256 * mib;
    CHECK(!in_one_window(block, bytes));
    memcpy(block + bytes - 5, "kept", 5);
    block = realloc(block, bytes);
    CHECK(block != NULL && in_one_window(block, bytes) && strcmp(block + bytes - 5, "kept") == 0);
    char *again = malloc(1300 * mib);
    CHECK(again != NULL && again > start + 500 * mib);
    while (malloc(EACH * mib) != NULL)
        ;
    char *stayed = realloc(again, bytes);
    CHECK(stayed == again && hf_usable_size(again) < (size_t)bytes + mib && malloc(EACH * mib) != NULL);
}

/* Threads may have 16 KiB of stack: the list of windows is no part of it. */
static void *registers_on_little_stack(void *ring)
{
    CHECK(hf_uring_register(ring) == 0);
    return NULL;
}

static void case_little_stack(void)
{
    struct io_uring ring = new_ring(0);
    pthread_attr_t attributes;
    pthread_t thread;
    CHECK(pthread_attr_init(&attributes) == 0 &&
          pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN) == 0);
    CHECK(pthread_create(&thread, &attributes, registers_on_little_stack, &ring) == 0 &&
          pthread_join(thread, NULL) == 0);
    read_sizes(&ring, true);
    io_uring_queue_exit(&ring);
}

/* Helpers prepare ordinary operations once no ring is registered. */
static void case_unregisters(void)
{
    struct io_uring ring = new_ring(0), other = new_ring(0);
    CHECK(hf_uring_register(&ring) == 0 && hf_uring_register_clone(&other, &ring) == 0);
    CHECK(hf_uring_unregister(&ring) == 0);
    read_sizes(&other, true);
    CHECK(hf_uring_unregister(&other) == 0 && hf_uring_unregister(&other) == -ENXIO);
    read_sizes(&ring, false);
    read_sizes(&other, false);
    CHECK(hf_uring_register(&ring) == 0);
    read_sizes(&ring, true);
    io_uring_queue_exit(&ring);
    io_uring_queue_exit(&other);
}

static void case_registers_twice(void)
{
    struct io_uring ring = new_ring(0);
    CHECK(hf_uring_unregister(&ring) == -ENXIO);
    CHECK(hf_uring_register(&ring) == 0);
    CHECK(hf_uring_register(&ring) == -EBUSY);
    read_sizes(&ring, true);
    CHECK(pinned() == arena_bytes());
    CHECK(hf_uring_unregister(&ring) == 0);
    CHECK(pinned() == 0);
    CHECK(hf_uring_unregister(&ring) == -ENXIO);
    CHECK(hf_uring_register(&ring) == 0);
    read_sizes(&ring, true);
    io_uring_queue_exit(&ring);
}

/* The clone goes on when the first ring is gone. */
static void case_clones(void)
{
    struct io_uring first = new_ring(0), second = new_ring(0), third = new_ring(0);
    CHECK(hf_uring_register(&first) == 0);
    CHECK(hf_uring_register_clone(&second, &first) == 0);
    CHECK(hf_uring_register_clone(&second, &first) == -EBUSY);
    read_sizes(&second, true);
    io_uring_queue_exit(&first);
    read_sizes(&second, true);
    CHECK(hf_uring_register_clone(&third, &second) == 0);
    CHECK(pinned() == arena_bytes()); /* clones pin nothing again */
    CHECK(hf_uring_unregister(&second) == 0);
    read_sizes(&third, true);
    struct io_uring none = new_ring(0), last = new_ring(0);
    CHECK(hf_uring_register_clone(&last, &none) == 0); /* nothing to share: registered */
    read_sizes(&last, true);
}

/* A ring that is destroyed leaves the memory to its users, whoever goes first. */
static void case_ring_destroyed(void)
{
    char *before = malloc(100000);
    for (int i = 0; i < 3; i++) {
        struct io_uring ring = new_ring(0);
        CHECK(hf_uring_register(&ring) == 0);
        char *during = malloc(100000);
        read_checked(&ring, during, 100000, 0, true);
        if (i % 2 == 0)
            free(during);
        io_uring_queue_exit(&ring);
        if (i % 2 != 0)
            free(during);
        memset(before, i, 100000);
        free(before);
        before = malloc(100000);
    }
    CHECK(pinned() == arena_bytes()); /* once, though three were registered and none unregistered */
    struct io_uring after = new_ring(0);
    read_sizes(&after, true == (hf_uring_register(&after) == 0));
}

static void *registers_elsewhere(void *argument)
{
    return (void *)(intptr_t)hf_uring_register(argument);
}

static void case_single_issuer(void)
{
    struct io_uring ring = new_ring(IORING_SETUP_SINGLE_ISSUER);
    pthread_t thread;
    void *result;
    read_sizes(&ring, false);
    CHECK(pthread_create(&thread, NULL, registers_elsewhere, &ring) == 0 &&
          pthread_join(thread, &result) == 0);
    CHECK((intptr_t)result == -EEXIST);
    CHECK(hf_uring_register(&ring) == 0);
    read_sizes(&ring, true);
    struct io_uring deferred = new_ring(IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
    CHECK(hf_uring_register_clone(&deferred, &ring) == 0);
    read_sizes(&deferred, true);
}

static void *own_ring(void *argument)
{
    for (int i = 0; i < 5; i++) {
        struct io_uring ring = new_ring(0);
        CHECK(hf_uring_register(&ring) == 0);
        read_sizes(&ring, true);
        if (i % 2 == 0)
            CHECK(hf_uring_unregister(&ring) == 0);
        io_uring_queue_exit(&ring);
    }
    return argument;
}

static void case_threads(void)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, own_ring, NULL) == 0);
    for (int i = 0; i < 4; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

/* In the child no operation is prepared on buffers that are the parent's memory. */
static void case_forks(void)
{
    struct io_uring ring = new_ring(0);
    CHECK(hf_uring_register(&ring) == 0);
    char *block = malloc(5000);
    memset(block, 7, 5000);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        struct io_uring own = new_ring(0);
        CHECK(hf_uring_buf_index(block, 5000) == -1);
        read_sizes(&own, false);
        CHECK(block[0] == 7 && block[4999] == 7);
        read_checked(&own, block, 5000, 0, false);
        CHECK(hf_uring_register(&own) == 0);
        read_sizes(&own, true);
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(block[0] == 7 && block[4999] == 7);
    read_sizes(&ring, true);
}

static _Atomic(bool) stop;

static void *allocate_and_free(void *argument)
{
    uint64_t random = (uintptr_t)argument;
    void *blocks[256] = { NULL };
    while (!stop) {
        void **block = &blocks[test_random(&random) % 256];
        size_t bytes = test_random_size(&random, 16, 3000);
        free(*block);
        memset(*block = malloc(bytes), 0x41, bytes);
    }
    for (int i = 0; i < 256; i++)
        free(blocks[i]);
    return argument;
}

static void allocate_in_child(void)
{
    enum { BLOCKS = 8000 };
    static const size_t sizes[] = { 16, 64, 128, 320, 512, 1024, 2000, 3000 };
    static char *blocks[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++) {
        CHECK((blocks[i] = malloc(sizes[i % 8])) != NULL);
        test_mark(blocks[i], sizes[i % 8]);
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        CHECK(test_marked(blocks[i], sizes[i % 8]));
        free(blocks[i]);
    }
    CHECK(malloc((size_t)24 << 20) != NULL);
    while (malloc(60000) != NULL || malloc(1000) != NULL) /* long runs, then single pages */
        ;
    struct hf_stats stats;
    CHECK(hf_stats_get(&stats, sizeof stats) == 0 && stats.free == 0); /* the count is that of the map */
    _exit(0);
}

static void fork_among_threads(void)
{
    pthread_t threads[3];
    for (uintptr_t i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, allocate_and_free, (void *)(i + 1)) == 0);
    for (int i = 0; i < 100; i++) {
        int status;
        struct rlimit none = { .rlim_cur = 0, .rlim_max = 0 };
        /* from now on nothing is known of pinned memory */
        CHECK(i != 50 || setrlimit(RLIMIT_NOFILE, &none) == 0);
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0)
            allocate_in_child();
        CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    stop = true;
    for (int i = 0; i < 3; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

/* The kernel copies pinned memory at the fork, while threads go on: lists of blocks are of several
 * moments. */
static void case_forks_among_threads(void)
{
    struct io_uring ring = new_ring(0);
    CHECK(hf_uring_register(&ring) == 0);
    fork_among_threads();
}

/* The same where the library knows of no ring. */
static void case_forks_with_other_buffers(void)
{
    enum { BUFFERS = 1000 };
    struct io_uring ring = new_ring(0);
    static struct iovec buffers[BUFFERS];
    void *between[BUFFERS];
    for (int i = 0; i < BUFFERS; i++) {
        buffers[i] = (struct iovec){ malloc((size_t)i % 3000 + 1), (size_t)i % 3000 + 1 };
        between[i] = malloc(20000);
    }
    CHECK(io_uring_register_buffers(&ring, buffers, BUFFERS) == 0);
    for (int i = 0; i < BUFFERS; i++)
        free(between[i]);
    fork_among_threads();
}

/* Huge pages that this process shares with no other, in KiB. */
static long private_huge_kib(void)
{
    char text[4096];
    int fd = open("/proc/self/smaps_rollup", O_RDONLY);
    ssize_t length = read(fd, text, sizeof text - 1);
    CHECK(fd >= 0 && length > 0);
    close(fd);
    text[length] = 0;
    const char *at = strstr(text, "Private_Hugetlb:");
    return at == NULL ? 0 : atol(at + 16);
}

/* What a child has of its own at once, in huge pages; -1 when the pool was short. */
static int huge_pages_of_child(void)
{
    int status;
    pid_t pid = fork();
    CHECK(pid >= 0 || errno == ENOMEM);
    if (pid < 0)
        return -1;
    if (pid == 0)
        _exit((int)(private_huge_kib() / 2048));
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Registered memory is copied at fork: the child holds as many huge pages as the arena has. */
static void case_forks_huge(void)
{
    struct io_uring ring = new_ring(0);
    CHECK(huge_pages_of_child() < 4);
    CHECK(hf_uring_register(&ring) == 0);
    int taken = huge_pages_of_child();
    CHECK(taken == 16 || taken == -1);
}

/* The memlock limit of an ordinary user. */
static void case_memlock(void)
{
    struct rlimit limit = { (rlim_t)8 << 20, (rlim_t)8 << 20 };
    CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    if (geteuid() == 0)
        CHECK(setgroups(0, NULL) == 0 && setgid(65534) == 0 && setuid(65534) == 0);
    struct io_uring ring = new_ring(0);
    CHECK(hf_uring_register(&ring) == -ENOMEM);
    read_sizes(&ring, false);
    struct io_uring other = new_ring(0);
    CHECK(hf_uring_register_clone(&other, &ring) == -ENOMEM);
    read_sizes(&other, false);
}

static void refuse_registration(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_register, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = sizeof filter / sizeof filter[0], .filter = filter };
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
          prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static void case_seccomp(void)
{
    struct io_uring ring = new_ring(0);
    refuse_registration();
    CHECK(hf_uring_register(&ring) == -EPERM);
    CHECK(hf_uring_register_clone(&ring, &ring) == -EPERM);
    CHECK(hf_uring_unregister(&ring) == -EPERM);
    read_sizes(&ring, false);
}

static void case_growing(void)
{
    struct io_uring ring = new_ring(0);
    CHECK(hf_uring_register(&ring) == -ENOTSUP);
    read_sizes(&ring, false);
}

#ifdef HFI_ENABLE_SECURE
static void case_guards(void)
{
    struct io_uring ring = new_ring(0);
    CHECK(hf_uring_register(&ring) == -ENOTSUP && hf_uring_buf_index(malloc(10), 10) == -1);
    read_sizes(&ring, false);
    io_uring_queue_exit(&ring);
}
#endif

static void case_waits_for_population(void)
{
    struct io_uring ring = new_ring(0);
    CHECK(hf_uring_register(&ring) == 0);
    CHECK(hf_prefault_wait(0) == 0);
    read_sizes(&ring, true);
}

/* A daemon closes everything, its ring too, and makes another. */
static void case_closes_all_descriptors(void)
{
    struct io_uring ring = new_ring(0);
    CHECK(hf_uring_register(&ring) == 0);
    for (int fd = 3; fd < 1024; fd++)
        close(fd);
    CHECK(hf_uring_unregister(&ring) == -EBADF && hf_uring_register(&ring) == -EBADF);
    make_file();
    struct io_uring again = new_ring(0);
    CHECK(hf_uring_register(&again) == 0);
    read_sizes(&again, true);
}

static void case_execs(void)
{
    struct io_uring ring = new_ring(0);
    CHECK(hf_uring_register(&ring) == 0);
    setenv("HOLDFAST_TEST_CASE", "reads-and-writes", 1);
    execl("/proc/self/exe", "uring", (char *)NULL);
    CHECK(!"exec");
}

/* Frames: aligned, in the arena, each its own memory, given back whole. */
static void case_frames(void)
{
    struct io_uring ring = new_ring(0);
    CHECK(hf_uring_register(&ring) == 0);
    for (size_t bytes = 4096; bytes <= (size_t)2 << 20; bytes *= 2) {
        size_t count = ((size_t)32 << 20) / bytes; /* pages that the frames fill to the last byte */
        struct hf_frames *frames = hf_frames_alloc(count, bytes);
        CHECK(frames != NULL && frames->count == count && frames->frame_bytes == bytes);
        for (size_t i = 0; i < count; i++) {
            size_t *frame = hf_frame(frames, i);
            CHECK((uintptr_t)frame % bytes == 0 && hf_owns(frame) && hf_uring_buf_index(frame, bytes) >= 0);
            memset(frame, 0xff, bytes);
            *frame = i + 1;
        }
        size_t sum = 0;
        for (size_t i = 0; i < count; i++)
            sum += *(size_t *)hf_frame(frames, i);
        CHECK(sum == count * (count + 1) / 2);
        read_checked(&ring, hf_frame(frames, count / 2), 4096, 4096, true);
        hf_frames_free(frames);
    }
    errno = 0;
    CHECK(hf_frames_alloc(10, 5000) == NULL && errno == EINVAL);
    CHECK(hf_frames_alloc(10, 2048) == NULL && hf_frames_alloc(10, (size_t)4 << 20) == NULL &&
          hf_frames_alloc(0, 4096) == NULL && errno == EINVAL);
    CHECK(hf_frames_alloc((size_t)1 << 40, 4096) == NULL && errno == ENOMEM);
    CHECK(hf_frames_alloc(SIZE_MAX, 4096) == NULL && errno == ENOMEM);
    hf_frames_free(NULL);
    /* of 64 MiB: all that was given back is there */
    struct hf_frames *most = hf_frames_alloc(((size_t)48 << 20) / 4096, 4096);
    CHECK(most != NULL);
    hf_frames_free(most);
}

/* Runs that differ in length: each frame once. */
static void case_frames_of_runs(void)
{
    static char memory[3][64];
    struct hf_frames frames = { .count = 19,
                                .frame_bytes = 2,
                                .run_count = 3,
                                .runs = { { memory[0], 5, 0 }, { memory[1], 12, 1 }, { memory[2], 2, 2 } } };
    for (size_t i = 0; i < 19; i++)
        ++*(char *)hf_frame(&frames, i);
    for (size_t run = 0; run < 3; run++)
        for (size_t i = 0; i < 64; i++)
            CHECK(memory[run][i] == (i % 2 == 0 && i / 2 < frames.runs[run].count ? 1 : 0));
    CHECK(hf_frame(&frames, 4) == memory[0] + 8 && hf_frame(&frames, 5) == memory[1]);
}

struct test_case {
    const char *name;
    void (*run)(void);
    const char *arena, *backing, *prefault, *says;
};

static const struct test_case cases[] = {
    { "reads-and-writes", case_reads_and_writes, "64M", SMALL, "startup", "" },
    { "reads-and-writes-thp", case_reads_and_writes, "64M", "thp", "startup", "" },
    { "reads-and-writes-2m", case_reads_and_writes, "64M", "2m", "startup", "" },
    { "vectors", case_vectors, "64M", SMALL, "startup", "" },
    { "sends", case_sends, "64M", SMALL, "startup", "" },
    { "indices", case_indices, "1200M", "thp", "startup", "" },
    { "registers-twice", case_registers_twice, "64M", SMALL, "startup", "" },
    { "shrinks", case_shrinks, "3G", "thp", "none", "" },
    { "little-stack", case_little_stack, "64M", SMALL, "startup", "" },
    { "unregisters", case_unregisters, "64M", SMALL, "startup", "" },
    { "clones", case_clones, "64M", SMALL, "startup", "" },
    { "ring-destroyed", case_ring_destroyed, "64M", SMALL, "startup", "" },
    { "single-issuer", case_single_issuer, "64M", SMALL, "startup", "" },
    { "threads", case_threads, "128M", SMALL, "startup", "" },
    { "forks", case_forks, "64M", SMALL, "startup", "" },
    { "forks-among-threads", case_forks_among_threads, "64M", SMALL, "startup", "" },
    { "forks-with-other-buffers", case_forks_with_other_buffers, "64M", "thp", "startup", "" },
    { "forks-huge", case_forks_huge, "32M", "2m", "startup", "HF-W232" },
    { "memlock", case_memlock, "64M", SMALL, "startup", "HF-W231" },
    { "seccomp", case_seccomp, "64M", SMALL, "startup", "" },
    { "growing", case_growing, "auto", SMALL, "startup", "HF-W235" },
#ifdef HFI_ENABLE_SECURE
    { "guards", case_guards, "64M", "4k", "startup", "HF-W236" },
#endif
    { "waits-for-population", case_waits_for_population, "512M", SMALL, "background", "" },
    { "closes-all-descriptors", case_closes_all_descriptors, "64M", SMALL, "startup", "" },
    { "execs", case_execs, "64M", SMALL, "startup", "" },
    { "frames", case_frames, "64M", SMALL, "startup", "" },
    { "frames-of-runs", case_frames_of_runs, "64M", SMALL, "startup", "" },
};
#define CASES (sizeof cases / sizeof cases[0])

static void start_case(int number)
{
    const struct test_case *test = &cases[number];
    setenv("HOLDFAST_TEST_CASE", test->name, 1);
    setenv("HOLDFAST_ARENA", test->arena, 1);
    setenv("HOLDFAST_BACKING", test->backing, 1);
    setenv("HOLDFAST_PREFAULT", test->prefault, 1);
    execl("/proc/self/exe", "uring", (char *)NULL);
    CHECK(!"exec");
}

int main(void)
{
    const char *name = getenv("HOLDFAST_TEST_CASE");
    for (size_t i = 0; name != NULL && i < CASES; i++)
        if (strcmp(name, cases[i].name) == 0) {
            make_file();
            cases[i].run();
            return 0;
        }
    CHECK(name == NULL);
    bool failed = false;
    unsigned skipped = 0, tries = 0;
    size_t huge_pages = test_number_in("/proc/meminfo", "HugePages_Total:");
    for (size_t i = 0; i < CASES; i++) {
        char said[8192];
        bool short_pool = strcmp(cases[i].backing, "2m") == 0 && huge_pages < 48;
        int status = short_pool ? EXIT_SKIP << 8 : test_in_child(start_case, (int)i, said, sizeof said);
        bool skip = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIP;
        bool good =
            skip || (WIFEXITED(status) && WEXITSTATUS(status) == 0 && strstr(said, cases[i].says) != NULL);
        if (!good && test_pool_again(cases[i].backing, &tries)) {
            i--;
            continue;
        }
        tries = 0;
        printf("%s %s\n", skip ? "SKIPPED" : good ? "ok" : "FAILED", cases[i].name);
        if (!good)
            fprintf(stderr, "%s: wait status %d, said: %s\n", cases[i].name, status, said);
        failed = failed || !good;
        skipped += skip;
    }
    return failed ? 1 : skipped == CASES ? EXIT_SKIP : 0;
}
