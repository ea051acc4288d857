/*
 * unshown: processes that have the library and show no arena, and why that may be.
 *
 * U1: what /proc says of another process is a hint: its mappings and the environment that it was
 *     executed with.  A program that has the library inside (libholdfast.a) does not show it there.
 *
 * Test: tests/segment.sh.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/shm.h"
#include "tool.h"

#define LIBRARY "/libholdfast.so"

/* 1: the library is mapped; 0: it is not; -errno. */
static int maps_library(pid_t pid)
{
    char path[64], *line = NULL;
    size_t line_bytes = 0;
    int found = 0;
    snprintf(path, sizeof path, "/proc/%ld/maps", (long)pid);
    FILE *maps = fopen(path, "re");
    if (maps == NULL)
        return -errno;
    while (found == 0 && getline(&line, &line_bytes, maps) > 0)
        found = strstr(line, LIBRARY) != NULL;
    free(line);
    fclose(maps);
    return found;
}

/* The value of a variable, in `value`; false when it is not set, or not to be read. */
static bool read_variable(pid_t pid, const char *name, char *value, size_t value_bytes)
{
    char path[64], *entry = NULL;
    size_t entry_bytes = 0, length = strlen(name);
    bool found = false;
    snprintf(path, sizeof path, "/proc/%ld/environ", (long)pid);
    FILE *environment = fopen(path, "re");
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
    char path[64];
    struct stat own, other;
    snprintf(path, sizeof path, "/proc/%ld/ns/pid", (long)pid);
    return stat("/proc/self/ns/pid", &own) == 0 && stat(path, &other) == 0 && own.st_ino != other.st_ino;
}

const char *unshown_reason(pid_t pid, char *text, size_t text_bytes)
{
    char inspect[16] = "1", arena[64] = "auto";
    int mapped = maps_library(pid);
    read_variable(pid, "HOLDFAST_INSPECT", inspect, sizeof inspect);
    read_variable(pid, "HOLDFAST_ARENA", arena, sizeof arena);
    const char *next =
        strcmp(inspect, "children") == 0
            ? "look for HF-W006 on its standard error"
            : "start it with HOLDFAST_INSPECT=children, or look for HF-W006 on its standard error";
    if (mapped < 0)
        snprintf(text, text_bytes,
                 "whether it runs under Holdfast cannot be seen (%s); run this as its user, or "
                 "as root",
                 strerror(-mapped));
    else if (mapped == 0)
        snprintf(text, text_bytes,
                 "it has no libholdfast.so mapped, so it does not run under Holdfast, or has "
                 "the library inside; start it with `holdfast run --arena SIZE`");
    else if (strcmp(inspect, "0") == 0)
        snprintf(text, text_bytes, "HOLDFAST_INSPECT=0 is set; start it without");
    else if (is_elsewhere(pid))
        snprintf(text, text_bytes,
                 "it is in another namespace of processes, such as a container; run holdfast "
                 "there");
    else if (strcmp(arena, "auto") == 0)
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
    return text;
}

void unshown_each(void (*each)(pid_t pid, void *argument), void *argument)
{
    DIR *directory = opendir("/proc");
    if (directory == NULL)
        return;
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        char path[SEGMENT_PATH_BYTES], *end;
        uint64_t start_ticks;
        pid_t pid = (pid_t)strtol(entry->d_name, &end, 10);
        if (pid <= 0 || *end != 0 || is_elsewhere(pid) || maps_library(pid) <= 0 ||
            !segment_start_ticks(pid, &start_ticks))
            continue;
        segment_path(path, pid, start_ticks);
        if (access(path, F_OK) != 0)
            each(pid, argument);
    }
    closedir(directory);
}
