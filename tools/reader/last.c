/*
 * last: see last.h.
 *
 * LA1: nothing about a file is believed (SG1): who reads it looks at the owner first, and its contents
 *      are checked as those of a live process are.  What it says of itself only chooses it.
 *
 * Tests: tests/last.sh.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/leftover.h"
#include "kernel/shm.h"
#include "reader/last.h"
#include "tool.h"

/* What a walk over the directory has found. */
struct search {
    const char *name; /* NULL: any */
    const char *command;
    char file[HFI_SHM_NAME_BYTES]; /* of the last that fits; "" for none */
    struct timespec kept;
    unsigned of_others;
};

static bool fits(const struct search *search, const struct hf_inspect_segment *header)
{
    static const char ending[] = ".service";
    char number[24];
    size_t length = search->name == NULL ? 0 : strlen(search->name);
    snprintf(number, sizeof number, "%llu", (unsigned long long)header->pid);
    bool cut = length >= sizeof header->name - 1; /* as the kernel did */
    return search->name == NULL || strcmp(search->name, header->name) == 0 ||
           (cut && strncmp(search->name, header->name, sizeof header->name - 1) == 0) ||
           strcmp(search->name, number) == 0 ||
           (length != 0 && strncmp(header->unit, search->name, length) == 0 &&
            (header->unit[length] == 0 || strcmp(header->unit + length, ending) == 0));
}

/* NULL, or why a file is none of the caller's business.  Anybody can put one into the directory. */
static const char *stranger(const struct stat *file)
{
    if (S_ISLNK(file->st_mode))
        return "it is a symbolic link";
    if (!S_ISREG(file->st_mode))
        return "it is no regular file";
    if (geteuid() != 0 && file->st_uid != geteuid() && file->st_uid != 0)
        return "its owner is neither you nor root";
    return NULL;
}

static void pass_over(const struct search *search, const char *name, const char *reason)
{
    char shown[HFI_SHM_NAME_BYTES];
    hfi_say(SAY_WARNING, "HF-W461", search->command,
            HF_INSPECT_DIRECTORY "/%s is passed over: %s; find out who made it, and remove it",
            tool_printable(shown, sizeof shown, name), reason);
}

static void look_at(struct search *search, int directory, const char *name)
{
    struct stat file;
    struct hf_inspect_segment header;
    long pid;
    uint64_t start_ticks, namespace;
    if (!hfi_shm_parse_name(name, HF_INSPECT_KEPT_PREFIX, &pid, &start_ticks, &namespace) ||
        fstatat(directory, name, &file, AT_SYMLINK_NOFOLLOW) != 0)
        return;
    const char *reason = stranger(&file);
    if (reason == NULL && faccessat(directory, name, R_OK, AT_EACCESS) != 0) {
        search->of_others++;
        return;
    }
    if (reason == NULL && !hfi_leftover_read(directory, name, HF_INSPECT_KEPT_PREFIX, &header))
        reason = "it was cut short, or is not what its name says, or of another version";
    if (reason != NULL) {
        pass_over(search, name, reason);
        return;
    }
    bool newer = search->file[0] == 0 || file.st_ctim.tv_sec > search->kept.tv_sec ||
                 (file.st_ctim.tv_sec == search->kept.tv_sec && file.st_ctim.tv_nsec > search->kept.tv_nsec);
    if (!newer || !fits(search, &header))
        return;
    search->kept = file.st_ctim;
    snprintf(search->file, sizeof search->file, "%.63s", name);
}

static int say_none(const struct search *search)
{
    char shown[64], others[80] = "";
    if (search->of_others != 0)
        snprintf(others, sizeof others, " (%u are not yours to read)", search->of_others);
    hfi_say(
        SAY_ERROR, "HF-E460", search->command,
        "nothing is kept of a process%s%s that was killed%s: one that ends by itself leaves nothing, and a "
        "reboot, or RemoveIPC= of its unit, clears " HF_INSPECT_DIRECTORY
        "; for live processes leave out --last",
        search->name == NULL ? "" : " called ",
        search->name == NULL ? "" : tool_printable(shown, sizeof shown, search->name), others);
    return EXIT_FAILURE;
}

static void ignore(pid_t pid, uint64_t start_ticks, void *unused)
{
    (void)pid;
    (void)start_ticks;
    (void)unused;
}

int target_open_last(struct target *target, const char *name, const char *command)
{
    struct search search = { .name = name, .command = command };
    struct hf_inspect_segment header;
    long pid = 0;
    uint64_t namespace;
    target_say_swept(segment_each(ignore, NULL), command); /* it may have been killed just now */
    DIR *directory = opendir(HF_INSPECT_DIRECTORY);
    if (directory == NULL)
        return say_none(&search);
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory))
        look_at(&search, dirfd(directory), entry->d_name);
    target->fd = search.file[0] == 0
                   ? -1
                   : openat(dirfd(directory), search.file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    bool read =
        target->fd >= 0 && hfi_leftover_read(dirfd(directory), search.file, HF_INSPECT_KEPT_PREFIX, &header);
    closedir(directory);
    if (!read)
        return say_none(&search);
    hfi_shm_parse_name(search.file, HF_INSPECT_KEPT_PREFIX, &pid, &target->start_ticks, &namespace);
    snprintf(target->path, sizeof target->path, HF_INSPECT_DIRECTORY "/%s", search.file);
    target->pid = (pid_t)pid;
    target->program = header.program;
    target->is_kept = true;
    return 0;
}

int target_of_options(struct target *target, bool last, int argc, char **argv, const char *command)
{
    return last && argc - optind <= 1 ? target_open_last(target, argv[optind], command)
                                      : target_of_arguments(target, argc, argv, command);
}
