/*
 * origin: see origin.h.
 *
 * OR1: a word that follows an option named like a password, other than one that begins with "--", or
 *      stands behind such a name and '=', never reaches the line.
 *
 * Test: tests/tool-report.sh.
 */
#include "reader/origin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/utsname.h>

#include "kernel/files.h"
#include "reader/procfs.h"

/* --- the command line --- */

static bool contains(const char *text, size_t length, const char *word)
{
    size_t word_length = strlen(word);
    for (size_t i = 0; i + word_length <= length; i++)
        if (strncasecmp(text + i, word, word_length) == 0)
            return true;
    return false;
}

/* By its name, up to '='.  A name that ends with "key" is one; "key-buffer-size" is none. */
static bool names_a_secret(const char *word, size_t length)
{
    static const char *const secrets[] = { "pass", "pwd", "secret", "token", "auth", "credential" };
    for (unsigned i = 0; i < sizeof secrets / sizeof secrets[0]; i++)
        if (contains(word, length, secrets[i]))
            return true;
    return length >= 3 && strncasecmp(word + length - 3, "key", 3) == 0;
}

struct line {
    char *at;
    size_t used, room; /* room for the text alone: what ends it is apart */
    bool cut;
    bool title; /* it is one text: words end at blanks, and quotes are its own */
    unsigned hidden;
};

static void add(struct line *line, const char *text, size_t length)
{
    if (length > line->room - line->used) {
        length = line->room - line->used;
        line->cut = true;
    }
    memcpy(line->at + line->used, text, length);
    line->used += length;
}

/* "user:***@" for what stands between "://" and '@', if anything does. */
static bool add_address(struct line *line, const char *word, size_t length)
{
    const char *start = memmem(word, length, "://", 3);
    const char *host = start == NULL ? NULL : memchr(start, '@', length - (size_t)(start - word));
    const char *colon = host == NULL ? NULL : memchr(start + 3, ':', (size_t)(host - start - 3));
    if (colon == NULL)
        return false;
    add(line, word, (size_t)(colon + 1 - word));
    add(line, "***", 3);
    add(line, host, length - (size_t)(host - word));
    return true;
}

static void add_quoted(struct line *line, const char *word, size_t length)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789%+,-./:=@_*";
    bool quoted = !line->title && (length == 0 || strspn(word, plain) < length);
    if (quoted)
        add(line, "'", 1);
    for (size_t i = 0; i < length; i++)
        add(line, quoted && word[i] == '\'' ? "'\\''" : word + i, quoted && word[i] == '\'' ? 4 : 1);
    if (quoted)
        add(line, "'", 1);
}

/* A word, whose value is hidden where it has a secret.  True when the next word is one. */
static bool add_word(struct line *line, const char *word, size_t length)
{
    const char *equals = memchr(word, '=', length);
    size_t name = equals == NULL ? length : (size_t)(equals - word);
    if (equals != NULL && names_a_secret(word, name)) {
        add(line, word, name + 1);
        add(line, "***", 3);
        line->hidden++;
        return false;
    }
    if (add_address(line, word, length))
        line->hidden++;
    else
        add_quoted(line, word, length);
    return equals == NULL && length > 1 && word[0] == '-' && names_a_secret(word, name);
}

unsigned origin_command(char *text, size_t text_bytes, const char *words, size_t words_bytes)
{
    struct line line = { .at = text, .room = text_bytes - sizeof "..." };
    bool secret = false;
    while (words_bytes != 0 && words[words_bytes - 1] == 0)
        words_bytes--;
    line.title = memchr(words, 0, words_bytes) == NULL;
    for (size_t at = 0; at < words_bytes;) {
        const char *end = memchr(words + at, line.title ? ' ' : 0, words_bytes - at);
        size_t length = end == NULL ? words_bytes - at : (size_t)(end - (words + at));
        if (at != 0)
            add(&line, " ", 1);
        if (secret && (length < 2 || memcmp(words + at, "--", 2) != 0)) {
            add(&line, "***", 3);
            line.hidden++;
            secret = false;
        } else {
            secret = add_word(&line, words + at, length);
        }
        at += length + 1;
    }
    strcpy(text + line.used, line.cut ? "..." : "");
    return line.hidden;
}

static void look_at_command(struct sample_origin *origin, pid_t pid)
{
    char words[16384], command[sizeof origin->command];
    long length = hfi_os_read_file(PROCFS_PATH(pid, "cmdline"), words, sizeof words);
    if (length <= 0)
        return;
    memset(command, 0, sizeof command);
    origin->hidden = origin_command(command, sizeof command, words, (size_t)length);
    origin->command_bytes = (uint64_t)length;
    memcpy(origin->command, command, sizeof command);
}

/* --- the cgroup --- */

static uint64_t limit_in(const char *root, const char *group, const char *file)
{
    char path[512];
    uint64_t limit;
    int length = snprintf(path, sizeof path, "%s%s/%s", root, group, file);
    if (length >= (int)sizeof path || !hfi_os_read_number(path, &limit)) /* "max" holds no number */
        return ORIGIN_UNLIMITED;
    return limit >= UINT64_C(1) << 62 ? ORIGIN_UNLIMITED : limit; /* version 1 has a number for none */
}

/* The least from the group up to the root. */
static uint64_t least(const char *root, const char *group, const char *file)
{
    char path[256];
    uint64_t bytes = ORIGIN_UNLIMITED;
    snprintf(path, sizeof path, "%s", group);
    for (char *slash = path; slash != NULL;) {
        uint64_t limit = limit_in(root, path, file);
        bytes = limit < bytes ? limit : bytes;
        slash = strrchr(path, '/');
        if (slash != NULL)
            *slash = 0;
    }
    return bytes;
}

/* The line of version 2 is the last one; where the memory controller is of version 1, its line
 * wins. */
static const char *find_group(char *text, bool *old)
{
    const char *found = NULL;
    *old = false;
    for (char *save = NULL, *line = strtok_r(text, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        char *controllers = strchr(line, ':'),
             *group = controllers == NULL ? NULL : strchr(controllers + 1, ':');
        if (group == NULL)
            continue;
        *group++ = 0;
        bool memory = strstr(controllers, "memory") != NULL;
        if (memory || (found == NULL && strcmp(controllers, ":") == 0))
            found = group;
        *old = *old || memory;
    }
    return found;
}

static void look_at_cgroup(struct sample_origin *origin, pid_t pid)
{
    char text[4096];
    bool old, there = hfi_os_read_file(PROCFS_PATH(pid, "cgroup"), text, sizeof text) > 0;
    const char *group = there ? find_group(text, &old) : NULL;
    if (group == NULL)
        return;
    memset(origin->cgroup, 0, sizeof origin->cgroup);
    memcpy(origin->cgroup, group, strnlen(group, sizeof origin->cgroup - 1));
    const char *root = old ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup",
               *pools = old ? "/sys/fs/cgroup/hugetlb" : root;
    origin->cgroup_memory_bytes = least(root, origin->cgroup, old ? "memory.limit_in_bytes" : "memory.max");
    origin->cgroup_high_bytes = least(root, origin->cgroup, "memory.high");
    origin->cgroup_pool_bytes[0] =
        least(pools, origin->cgroup, old ? "hugetlb.2MB.limit_in_bytes" : "hugetlb.2MB.max");
    origin->cgroup_pool_bytes[1] =
        least(pools, origin->cgroup, old ? "hugetlb.1GB.limit_in_bytes" : "hugetlb.1GB.max");
}

/* --- the rest --- */

static void look_at_allowed(struct sample_origin *origin, pid_t pid)
{
    static const char *const names[] = { "Cpus_allowed_list:", "Mems_allowed_list:" };
    char text[PROCFS_TEXT_BYTES], *const into[] = { origin->cpus, origin->nodes };
    for (unsigned i = 0; i < 2; i++) {
        const char *list = procfs_value(PROCFS_PATH(pid, "status"), names[i], text);
        if (list == NULL)
            continue;
        memset(into[i], 0, sizeof origin->cpus);
        snprintf(into[i], sizeof origin->cpus, "%s", list);
    }
}

void origin_look(struct sample_origin *origin, pid_t pid, bool with_command)
{
    struct utsname system;
    if (uname(&system) == 0) {
        memcpy(origin->host, system.nodename, strnlen(system.nodename, sizeof origin->host - 1));
        snprintf(origin->kernel, sizeof origin->kernel, "%.16s %.64s, %.32s", system.sysname, system.release,
                 system.machine);
    }
    look_at_cgroup(origin, pid);
    look_at_allowed(origin, pid);
    if (with_command)
        look_at_command(origin, pid);
}
