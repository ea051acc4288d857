/*
 * segment: this process's inspection segment, as a reader of another process sees it.
 */
#ifndef SEGMENT_H
#define SEGMENT_H

#include <fcntl.h>
#include <holdfast/inspect.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "test.h"

static inline ino_t test_inode(const char *path)
{
    struct stat file;
    return stat(path, &file) == 0 ? file.st_ino : 0;
}

static inline uint64_t test_start_ticks(void)
{
    char text[1024];
    test_read("/proc/self/stat", text, sizeof text);
    const char *at = strrchr(text, ')');
    for (int field = 2; field < 22; field++)
        at = strchr(at + 1, ' ');
    return strtoull(at, NULL, 10);
}

/* As <holdfast/inspect.h> names it. */
static inline void test_segment_path(char *path, size_t path_bytes)
{
    snprintf(path, path_bytes, HF_INSPECT_DIRECTORY "/" HF_INSPECT_PREFIX "%d.%llu.%llx", (int)getpid(),
             (unsigned long long)test_start_ticks(),
             (unsigned long long)test_inode("/proc/self/ns/time") << 32 |
                 (unsigned long long)test_inode("/proc/self/ns/pid"));
}

static inline const struct hf_inspect_segment *test_segment(void)
{
    char path[128];
    struct stat file;
    test_segment_path(path, sizeof path);
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0);
    CHECK(fstat(fd, &file) == 0);
    const struct hf_inspect_segment *segment = mmap(NULL, (size_t)file.st_size, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(segment != MAP_FAILED && segment->magic == HF_INSPECT_MAGIC &&
          segment->segment_bytes == (uint64_t)file.st_size);
    close(fd);
    return segment;
}

static inline const void *test_table(const struct hf_inspect_segment *segment, struct hf_inspect_table table)
{
    return (const char *)segment + table.offset;
}

#endif
