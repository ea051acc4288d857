/*
 * unshown: processes that have the library and show no arena, and why that may be.
 *
 * UN1: what /proc says of another process is a hint: its mappings, its program, and the environment
 *      that it was executed with.  A program that has the library inside (libholdfast.a) does not
 *      show it there.
 *
 * Test: tests/segment.sh.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/files.h"
#include "kernel/shm.h"
#include "reader/procfs.h"
#include "reader/segment.h"
#include "reader/unshown.h"
#include "tool.h"

#define LIBRARY "/libholdfast.so"
#define TEXT_BYTES 4096 /* of a path, or of what a file in /proc begins with */
#define ONLY_BYTES 256  /* of a file name */

/* 1: the library is mapped, from `file` where that is wanted; 0: it is not; -errno. */
static int maps_library(pid_t pid, char *file, size_t file_bytes)
{
    char *line = NULL;
    size_t line_bytes = 0;
    int found = 0;
    FILE *maps = fopen(PROCFS_PATH(pid, "maps"), "re");
    if (maps == NULL)
        return -errno;
    while (found == 0 && getline(&line, &line_bytes, maps) > 0)
        found = strstr(line, LIBRARY) != NULL;
    if (found != 0 && file != NULL)
        snprintf(file, file_bytes, "%.*s", (int)strcspn(strchr(line, '/'), "\n"), strchr(line, '/'));
    free(line);
    fclose(maps);
    return found;
}

bool unshown_library(pid_t pid, char *file, size_t file_bytes)
{
    return maps_library(pid, file, file_bytes) > 0;
}

/* The process has its segment still, and nobody else can find the file: of a child of a fork it would be
 * the parent's. */
static bool was_removed(pid_t pid)
{
    char *line = NULL, name[64];
    size_t line_bytes = 0;
    bool found = false;
    FILE *maps = fopen(PROCFS_PATH(pid, "maps"), "re");
    if (maps == NULL)
        return false;
    snprintf(name, sizeof name, HF_INSPECT_DIRECTORY "/holdfast.%ld.", (long)pid);
    while (!found && getline(&line, &line_bytes, maps) > 0)
        found = strstr(line, name) != NULL && strstr(line, " (deleted)") != NULL;
    free(line);
    fclose(maps);
    return found;
}

/* The value of a variable, in `value`; false when it is not set, or not to be read. */
static bool read_variable(pid_t pid, const char *name, char *value, size_t value_bytes)
{
    char *entry = NULL;
    size_t entry_bytes = 0, length = strlen(name);
    bool found = false;
    FILE *environment = fopen(PROCFS_PATH(pid, "environ"), "re");
    while (environment != NULL && !found && getdelim(&entry, &entry_bytes, 0, environment) > 0) {
        found = strncmp(entry, name, length) == 0 && entry[length] == '=';
        if (found)
            snprintf(value, value_bytes, "%s", entry + length + 1);
    }
    free(entry);
    if (environment != NULL)
        fclose(environment);
    return found;
}

static bool is_elsewhere(pid_t pid)
{
    struct stat own, other;
    return stat("/proc/self/ns/pid", &own) == 0 && stat(PROCFS_PATH(pid, "ns/pid"), &other) == 0 &&
           own.st_ino != other.st_ino;
}

/* --- HOLDFAST_ONLY --- */

/* Behind a blank may be what is not of the path: a server's title, or that the file was deleted. */
static bool has_file_name(char *path, const char *name)
{
    const char *slash = strrchr(path, '/');
    if (strcmp(slash == NULL ? path : slash + 1, name) == 0)
        return true;
    path[strcspn(path, " ")] = 0;
    slash = strrchr(path, '/');
    return strcmp(slash == NULL ? path : slash + 1, name) == 0;
}

/* By its file, or by what it was called, as the library compares (hfi_option_is_only). */
static bool runs_program(pid_t pid, const char *name)
{
    char text[TEXT_BYTES];
    ssize_t length = readlink(PROCFS_PATH(pid, "exe"), text, sizeof text - 1);
    text[length > 0 ? length : 0] = 0;
    if (has_file_name(text, name))
        return true;
    return hfi_os_read_file(PROCFS_PATH(pid, "cmdline"), text, sizeof text) > 0 && has_file_name(text, name);
}

/* Whether both are of one execve(2), so that forks alone lie between them: the kernel loads a program
 * at other addresses each time. */
static bool is_fork_of(pid_t pid, pid_t other)
{
    char one[TEXT_BYTES], two[TEXT_BYTES];
    long length = hfi_os_read_file(PROCFS_PATH(pid, "auxv"), one, sizeof one);
    return length > 0 && hfi_os_read_file(PROCFS_PATH(other, "auxv"), two, sizeof two) == length &&
           memcmp(one, two, (size_t)length) == 0;
}

/* Whom the HOLDFAST_ONLY of a process means.  Of an ended one nobody can tell what it forked. */
enum meant { MEANT_IT, MEANT_PROGRAM, MEANT_PROCESS, MEANT_ENDED };

static enum meant whom_only_means(pid_t pid, const char *only)
{
    if (*only == 0 || strcmp(only, "all") == 0 || strchr(only, '/') != NULL) /* which is refused */
        return MEANT_IT;
    pid_t number;
    if (!procfs_pid(only, &number))
        return runs_program(pid, only) ? MEANT_IT : MEANT_PROGRAM;
    if (number == pid || is_fork_of(pid, number))
        return MEANT_IT;
    return kill(number, 0) != 0 && errno == ESRCH ? MEANT_ENDED : MEANT_PROCESS;
}

/* Whoever is not meant gets the defaults. */
static bool is_not_meant(pid_t pid, char *text, size_t text_bytes)
{
    static const char *const names[] = {
        [MEANT_PROGRAM] = "another program, so its arena",
        [MEANT_PROCESS] = "another process, so its arena",
        [MEANT_ENDED] = "a process that has ended: it is the child of a fork of that one, or its arena",
    };
    char only[ONLY_BYTES] = "", shown[ONLY_BYTES];
    read_variable(pid, "HOLDFAST_ONLY", only, sizeof only);
    enum meant meant = whom_only_means(pid, only);
    if (meant == MEANT_IT)
        return false;
    snprintf(text, text_bytes,
             "HOLDFAST_ONLY=%s names %s grows, whatever size is set, and has used less than 8 MiB; name its "
             "program with `holdfast run --only PROGRAM`, or have it meant as well with --children",
             tool_printable(shown, sizeof shown, only), names[meant]);
    return true;
}

/* --- why --- */

/* It has an arena, and the library would show that. */
static void say_not_yet(pid_t pid, const char *inspect, char *text, size_t text_bytes)
{
    char arena[64] = "auto";
    read_variable(pid, "HOLDFAST_ARENA", arena, sizeof arena);
    const char *next =
        strcmp(inspect, "children") == 0
            ? "look for HF-W006 on its standard error"
            : "start it with HOLDFAST_INSPECT=children, or look for HF-W006 on its standard error";
    if (strcmp(arena, "auto") == 0)
        snprintf(text, text_bytes,
                 "its arena grows, and has used less than 8 MiB, or it is the child of a fork "
                 "and has not grown since, or it sees another " HF_INSPECT_DIRECTORY "; name a size in "
                 "HOLDFAST_ARENA, %s",
                 next);
    else
        snprintf(
            text, text_bytes,
            "it is the child of a fork, or still populates its arena, or sees another " HF_INSPECT_DIRECTORY
            ", or could not publish; look again, %s",
            next);
}

const char *unshown_reason(pid_t pid, char *text, size_t text_bytes)
{
    char inspect[16] = "1";
    int mapped = maps_library(pid, NULL, 0);
    bool elsewhere = is_elsewhere(pid);
    read_variable(pid, "HOLDFAST_INSPECT", inspect, sizeof inspect);
    if (mapped < 0)
        snprintf(text, text_bytes,
                 "whether it runs under Holdfast cannot be seen (%s); run this as its user, or "
                 "as root",
                 strerror(-mapped));
    else if (mapped == 0)
        snprintf(text, text_bytes,
                 "it has no libholdfast.so mapped, so it does not run under Holdfast, or has "
                 "the library inside; start it with `holdfast run --arena SIZE`");
    else if (!elsewhere && is_not_meant(pid, text, text_bytes))
        ; /* its other variables do not count */
    else if (strcmp(inspect, "0") == 0)
        snprintf(text, text_bytes, "HOLDFAST_INSPECT=0 is set; start it without");
    else if (elsewhere)
        snprintf(text, text_bytes,
                 "it is in another namespace of processes, such as a container; run holdfast "
                 "there");
    else if (was_removed(pid))
        snprintf(text, text_bytes,
                 "its file was removed from " HF_INSPECT_DIRECTORY " while it runs, as systemd does where a "
                 "unit has RemoveIPC=, and logind when its user logs out; set RemoveIPC=no there "
                 "(logind.conf), and start it anew");
    else
        say_not_yet(pid, inspect, text, text_bytes);
    return text;
}

void unshown_each(void (*each)(pid_t pid, void *argument), void *argument)
{
    DIR *directory = opendir("/proc");
    if (directory == NULL)
        return;
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        char path[SEGMENT_PATH_BYTES];
        uint64_t start_ticks;
        pid_t pid;
        if (!procfs_pid(entry->d_name, &pid) || is_elsewhere(pid) || maps_library(pid, NULL, 0) <= 0 ||
            !segment_start_ticks(pid, &start_ticks))
            continue;
        segment_path(path, pid, start_ticks);
        if (access(path, F_OK) != 0)
            each(pid, argument);
    }
    closedir(directory);
}
