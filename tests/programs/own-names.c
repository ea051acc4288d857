/*
 * own-names: names that ISO C leaves to programs are the program's own here, though POSIX and GNU have
 * something else by them.  The C library works all the same, and so does Holdfast: on a growing arena,
 * and on a named one.
 */
#include <holdfast/holdfast.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/vfs.h>

#include "test.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"

char **environ; /* not the environment: the C library has that by another name */

/* Whatever they do here: nobody in this program calls them.  fstatat(2) is not among them, which hwloc calls
 * for a named arena. */
#define OWN(type, name, ...)                                                                                 \
    type name(__VA_ARGS__)                                                                                   \
    {                                                                                                        \
        abort();                                                                                             \
    }
OWN(int, fchmod, int fd, mode_t mode)
OWN(int, fstat, int fd, struct stat *file)
OWN(int, fstatfs, int fd, struct statfs *system)
OWN(uid_t, geteuid, void)
OWN(pid_t, getpid, void)
OWN(int, getrlimit, __rlimit_resource_t resource, struct rlimit *limit)
OWN(int, kill, pid_t pid, int signal)
OWN(off_t, lseek, int fd, off_t offset, int whence)
OWN(int, madvise, void *start, size_t bytes, int advice)
OWN(void *, mmap, void *start, size_t bytes, int protection, int flags, int fd, off_t offset)
OWN(int, mprotect, void *start, size_t bytes, int protection)
OWN(int, munmap, void *start, size_t bytes)
OWN(int, prctl, int option, ...)
OWN(int, raise, int signal)
OWN(ssize_t, readlink, const char *path, char *text, size_t bytes)
OWN(int, stat, const char *path, struct stat *file)
OWN(int, sysinfo, struct sysinfo *info)
OWN(int, unlink, const char *path)
OWN(int, unlinkat, int directory, const char *path, int flags)

static void work(void)
{
    char *blocks[64];
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        CHECK((blocks[i] = malloc(300000)) != NULL);
        test_mark(blocks[i], 300000);
    }
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        CHECK(test_marked(blocks[i], 300000));
        free(blocks[i]);
    }
}

static void fork_and_work(void)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        work();
        exit(0);
    }
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
}

int main(int argc, char **argv)
{
    (void)argc;
    work();
    fork_and_work();
    test_on_arena(argv, "64M");
    struct hf_stats stats;
    CHECK(hf_stats_get(&stats, sizeof stats) == 0 && stats.arena == (uint64_t)64 << 20);
    CHECK(environ == NULL);
    return 0;
}
