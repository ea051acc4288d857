// victim-descriptors: limits, and what stands behind the first descriptors. A "database" is a
// file without O_APPEND that the program opened: nothing but the program may write to it, and the
// program does not.
#include "victim.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

namespace {

constexpr unsigned files_most = 16;
#ifdef HFI_ENABLE_SECURE
constexpr bool secure = true;
#else
constexpr bool secure = false;
#endif

struct file {
    int fd;
    ino_t inode;
};

bool open_now[FUZZ_DESCRIPTORS];
struct file files[files_most];
unsigned file_count;

// The first descriptor that is not among the low ones.
int moved_up(int fd)
{
    int up = fcntl(fd, F_DUPFD, 20);
    if (up < 0)
        return -1;
    descriptors_note(up, true);
    return up;
}

// A file that stands at 2 stands there until something else does.
void check_files()
{
    for (unsigned i = 0; i < file_count; i++) {
        struct stat file;
        REQUIRE(fstat(files[i].fd, &file) == 0);
        REQUIRE(file.st_ino == files[i].inode && file.st_size == 0);
    }
}

void forget_file(int fd)
{
    for (unsigned i = 0; i < file_count; i++)
        if (files[i].fd == fd)
            files[i] = files[--file_count];
}

void close_low(int fd)
{
    check_files();
    forget_file(fd);
    close(fd);
    descriptors_note(fd, false);
}

void add_file(int fd)
{
    struct stat file;
    if (fd < 0 || fd >= FUZZ_DESCRIPTORS || file_count == files_most)
        return;
    REQUIRE(fstat(fd, &file) == 0 && !open_now[fd]);
    descriptors_note(fd, true);
    files[file_count++] = { fd, file.st_ino };
}

// The lowest number that is free, as any file gets.
void open_file()
{
    if (file_count < files_most)
        add_file(memfd_create("file", 0));
}

// At 2 by dup2, or where 2 is the lowest number; `fd` is closed.
bool put_at_2(int fd)
{
    if (fd < 0)
        return false;
    if (fd == 2) {
        descriptors_note(2, true);
        return true;
    }
    check_files();
    bool put = dup2(fd, 2) == 2;
    close(fd);
    if (put) {
        forget_file(2);
        descriptors_note(2, true);
    }
    return put;
}

void database()
{
    close_low(2);
    if (put_at_2(memfd_create("database", 0))) {
        descriptors_note(2, false);
        add_file(2);
        descriptors_note(2, true);
    }
}

void log_file()
{
    int fd = memfd_create("log", 0);
    if (fd >= 0)
        fcntl(fd, F_SETFL, O_APPEND);
    put_at_2(fd);
}

void pipe_at_2(bool full)
{
    static const char zeros[4096] = { 0 };
    int ends[2];
    if (pipe(ends) != 0)
        return;
    int reader = full ? moved_up(ends[0]) : -1;
    close(ends[0]);
    if (reader >= 0) {
        fcntl(ends[1], F_SETFL, O_NONBLOCK);
        while (write(ends[1], zeros, sizeof zeros) > 0)
            ;
        fcntl(ends[1], F_SETFL, 0);
    }
    put_at_2(ends[1]);
}

void limit(int resource, rlim_t value)
{
    struct rlimit limits;
    REQUIRE(getrlimit((__rlimit_resource_t)resource, &limits) == 0);
    limits.rlim_cur = value < limits.rlim_max ? value : limits.rlim_max;
    REQUIRE(setrlimit((__rlimit_resource_t)resource, &limits) == 0);
}

size_t address_space_bytes()
{
    char text[64] = "";
    int fd = open("/proc/self/statm", O_RDONLY);
    ssize_t length = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    return length > 0 ? strtoull(text, nullptr, 10) * 4096 : 0;
}

void unlimit()
{
    static const int resources[] = { RLIMIT_FSIZE, RLIMIT_AS, RLIMIT_DATA, RLIMIT_NOFILE, RLIMIT_MEMLOCK };
    for (int resource : resources)
        limit(resource, RLIM_INFINITY);
    process.few_descriptors = false;
}

void ask_malloc_info()
{
    FILE *stream = fopen("/dev/null", "w");
    if (stream == nullptr)
        return;
    REQUIRE(malloc_info(0, stream) == 0);
    fclose(stream);
}

bool run_limit(const struct command *command)
{
    size_t value = command->arguments[0];
    switch (command->kind) {
    case FUZZ_limit_fsize: limit(RLIMIT_FSIZE, value % 3 * 4096); break;
    case FUZZ_limit_as:
        process.limited = true;
        limit(RLIMIT_AS, address_space_bytes() + (value % 32 << 18));
        break;
    case FUZZ_limit_data:
        process.limited = true;
        process.loses = process.loses || secure; // a page goes with a guard that cannot be lifted
        limit(RLIMIT_DATA, value % 64 << 18);
        break;
    case FUZZ_limit_nofile:
        process.few_descriptors = true;
        limit(RLIMIT_NOFILE, value % 5);
        break;
    case FUZZ_limit_memlock: limit(RLIMIT_MEMLOCK, value % 3 << 16); break;
    case FUZZ_unlimit: unlimit(); break;
    case FUZZ_malloc_info: ask_malloc_info(); break;
    default: return false;
    }
    return true;
}

} // namespace

void descriptors_note(int fd, bool open)
{
    if (fd >= 0 && fd < FUZZ_DESCRIPTORS)
        open_now[fd] = open;
}

void descriptors_begin()
{
    struct rlimit limits;
    for (int fd = 0; fd < FUZZ_DESCRIPTORS; fd++)
        open_now[fd] = fcntl(fd, F_GETFD) >= 0;
    process.loses = process.loses || (secure && process.limited);
    getrlimit(RLIMIT_NOFILE, &limits);
    process.few_descriptors = limits.rlim_cur < 20;
}

// Those that the program opened, and no other.
void descriptors_check()
{
    int saved_errno = errno;
    for (int fd = 0; fd < FUZZ_DESCRIPTORS && !process.inherits; fd++)
        REQUIRE(open_now[fd] == (fcntl(fd, F_GETFD) >= 0));
    check_files();
    errno = saved_errno;
}

// To the next program what stands at 2 is its standard error, and the loader needs descriptors.
void descriptors_before_exec()
{
    unlimit();
    while (file_count != 0)
        close_low(files[0].fd);
}

// Not while other threads allocate. One that publishes the arena may hold for a moment a number
// that is free here; and it looks at the limit of file sizes before it makes its file.
static bool must_wait(const struct command *command)
{
    bool replaces = command->kind >= FUZZ_stdin_closed && command->kind <= FUZZ_stderr_back;
    return storm_runs() && (replaces || command->kind == FUZZ_limit_fsize);
}

bool run_descriptor(const struct command *command)
{
    if (must_wait(command))
        return true;
    switch (command->kind) {
    case FUZZ_stdin_closed: close_low(0); break;
    case FUZZ_stdout_closed: close_low(1); break;
    case FUZZ_stderr_closed: close_low(2); break;
    case FUZZ_stderr_database: database(); break;
    case FUZZ_stderr_log: log_file(); break;
    case FUZZ_stderr_broken: pipe_at_2(false); break;
    case FUZZ_stderr_full: pipe_at_2(true); break;
    case FUZZ_stderr_back: put_at_2(fcntl(FUZZ_FD_STDERR, F_DUPFD, 20)); break;
    case FUZZ_open_file: open_file(); break;
    default: return run_limit(command);
    }
    return true;
}
