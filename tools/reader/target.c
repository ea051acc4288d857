/*
 * target: which process a command is about; see tool.h.
 *
 * Neither ptrace nor root is needed for a process of the same user, and the process is not
 * stopped: its inspection segment is copied.
 *
 * Tests: tests/tool-segment.sh, tests/segment.sh.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/layout.h"
#include "kernel/files.h"
#include "kernel/machine.h"
#include "reader/procfs.h"
#include "reader/segment.h"
#include "reader/target.h"
#include "reader/unshown.h"
#include "tool.h"

#define FOUND_MAX 64

/* Processes with a segment that this user may read. */
struct found {
    unsigned count; /* may exceed FOUND_MAX */
    struct {
        pid_t pid;
        uint64_t start_ticks;
    } entries[FOUND_MAX];
};

static void remember(pid_t pid, uint64_t start_ticks, void *argument)
{
    struct found *found = argument;
    enum segment_verdict verdict;
    const char *reason;
    char path[SEGMENT_PATH_BYTES];
    segment_path(path, pid, start_ticks);
    int fd = segment_open(path, pid, &verdict, &reason);
    if (fd < 0)
        return;
    close(fd);
    if (found->count < FOUND_MAX) {
        found->entries[found->count].pid = pid;
        found->entries[found->count].start_ticks = start_ticks;
    }
    found->count++;
}

/* Fills the whole of `name`, which may be written to a file as it is. */
static const char *read_name(const char *path, char *name, size_t name_bytes)
{
    char text[256];
    memset(name, 0, name_bytes);
    if (hfi_os_read_file(path, text, sizeof text) <= 0)
        strcpy(text, "?");
    text[strcspn(text, "\n")] = 0;
    return tool_utf8(name, name_bytes, text);
}

const char *target_name(pid_t pid, char *name, size_t name_bytes)
{
    return read_name(PROCFS_PATH(pid, "comm"), name, name_bytes);
}

const char *target_shown_name(const struct snapshot *snapshot, char *name, size_t name_bytes)
{
    if (!snapshot->is_kept)
        return target_name((pid_t)snapshot->header.pid, name, name_bytes);
    memset(name, 0, name_bytes);
    return tool_utf8(name, name_bytes, snapshot->header.name[0] == 0 ? "?" : snapshot->header.name);
}

const char *target_thread_name(pid_t pid, uint64_t tid, char *name, size_t name_bytes)
{
    char file[48];
    snprintf(file, sizeof file, "task/%llu/comm", (unsigned long long)tid);
    return read_name(PROCFS_PATH(pid, file), name, name_bytes);
}

/* --- what can go wrong --- */

void target_say_swept(struct segment_count count, const char *command)
{
    if (count.swept != 0)
        hfi_say(SAY_INFO, "HF-I417", command, "removed %u segment(s) whose program has ended", count.swept);
    if (count.kept != 0)
        hfi_say(SAY_INFO, "HF-I462", command,
                "kept the segment(s) of %u program(s) that were killed; look at the last with `holdfast stat "
                "--last`",
                count.kept);
}

static int say_none(const char *command)
{
    hfi_say(SAY_ERROR, "HF-E412", command,
            "no process shows an arena that you may read: none runs under Holdfast, or with "
            "HOLDFAST_INSPECT=0, or as "
            "another user, or each has used less than 8 MiB of a growing arena, or is the child of a fork; "
            "start one with `holdfast run --arena SIZE`, see `holdfast list`");
    return EXIT_FAILURE;
}

static int list_several(const struct found *found, const char *command)
{
    char name[64], shown[64];
    hfi_say(SAY_ERROR, "HF-E415", command, "%u processes show an arena; name one of them:", found->count);
    for (unsigned i = 0; i < hfi_min(found->count, FOUND_MAX); i++)
        fprintf(stderr, "  %7ld  %s\n", (long)found->entries[i].pid,
                tool_printable(shown, sizeof shown, target_name(found->entries[i].pid, name, sizeof name)));
    return EXIT_USAGE;
}

/* A tool of the same installation as the library knows its version. */
static void say_another_version(const struct target *target, const char *command)
{
    char file[512], shown[512];
    struct hf_inspect_segment header = { .version = 0 };
    ssize_t got = pread(target->fd, &header, SNAPSHOT_LEAST_HEADER, 0);
    bool there = got > 0 && unshown_library(target->pid, file, sizeof file);
    hfi_say(
        SAY_ERROR, "HF-E421", command,
        "process %ld shows its arena in version %u, this tool reads version %d; use the `holdfast` that was "
        "installed with %s",
        (long)target->pid, header.version, HF_INSPECT_VERSION,
        there ? tool_printable(shown, sizeof shown, file) : "its library");
}

static int say_refused(const struct target *target, enum segment_verdict verdict, const char *reason,
                       const char *command)
{
    const char *path = target->path;
    char why[768];
    long pid = (long)target->pid;
    switch (verdict) {
    case SEGMENT_NONE:
        hfi_say(SAY_ERROR, "HF-E412", command, "process %ld shows no arena: %s", pid,
                unshown_reason(target->pid, why, sizeof why));
        break;
    case SEGMENT_DENIED:
        hfi_say(SAY_ERROR, "HF-E413", command,
                "%s cannot be read (%s); run this as root, or as the user whom the file belongs to", path,
                reason);
        break;
    case SEGMENT_STRANGE:
        hfi_say(SAY_ERROR, "HF-E413", command,
                "%s is not taken for the segment of process %ld: %s; find out who made it, and remove it",
                path, pid, reason);
        break;
    case SEGMENT_MALFORMED:
    case SEGMENT_OK:
        hfi_say(SAY_ERROR, "HF-E414", command,
                "%s is no segment this tool can read: %s (version %d begins with %d bytes at least); "
                "try again, and if that does not help, find out who made it",
                path, reason, HF_INSPECT_VERSION, SNAPSHOT_LEAST_HEADER);
        break;
    case SEGMENT_ANOTHER: say_another_version(target, command); break;
    }
    return EXIT_FAILURE;
}

/* The process meant: the one named, or the only one there is.  0 or an exit status.  *left: its
 * segment was one that the program before exec had left. */
static int choose(const char *text, pid_t *pid, bool *left, const char *command)
{
    struct found found = { .count = 0 };
    uint64_t start_ticks;
    if (text != NULL && !procfs_pid(text, pid)) {
        hfi_say(SAY_ERROR, "HF-E416", command, "%s is no process number; see `holdfast list`", text);
        return EXIT_USAGE;
    }
    *left = text != NULL && segment_start_ticks(*pid, &start_ticks) && segment_is_left(*pid, start_ticks);
    target_say_swept(segment_each(remember, &found), command);
    if (text != NULL)
        return 0;
    if (found.count == 0)
        return say_none(command);
    if (found.count > 1)
        return list_several(&found, command);
    *pid = found.entries[0].pid;
    return 0;
}

int target_open(struct target *target, const char *text, const char *command)
{
    enum segment_verdict verdict = SEGMENT_OK;
    const char *reason = "";
    bool left;
    target->is_kept = false;
    int status = choose(text, &target->pid, &left, command);
    if (status != 0)
        return status;
    if (!segment_start_ticks(target->pid, &target->start_ticks)) {
        hfi_say(SAY_ERROR, "HF-E411", command,
                "there is no process %ld, or /proc hides it; see `holdfast list`", (long)target->pid);
        return EXIT_FAILURE;
    }
    if (left) {
        hfi_say(SAY_ERROR, "HF-E412", command,
                "process %ld shows no arena: it has executed another program "
                "since it showed one, which does not run under Holdfast, or not yet; start that with "
                "`holdfast run "
                "--arena SIZE`",
                (long)target->pid);
        return EXIT_FAILURE;
    }
    segment_path(target->path, target->pid, target->start_ticks);
    target->fd = segment_open(target->path, target->pid, &verdict, &reason);
    target->program = target->fd >= 0 ? segment_program(target->fd) : 0;
    return target->fd >= 0 ? 0 : say_refused(target, verdict, reason, command);
}

int target_of_arguments(struct target *target, int argc, char **argv, const char *command)
{
    if (argc - optind <= 1)
        return target_open(target, argv[optind], command);
    hfi_say(SAY_ERROR, "HF-E416", command, "one process at a time, not %d; see `holdfast help %s`",
            argc - optind, command);
    return EXIT_USAGE;
}

int target_read(const struct target *target, struct snapshot *snapshot, bool with_pages, const char *command)
{
    const char *reason;
    struct stat file;
    enum segment_verdict verdict =
        snapshot_read(snapshot, target->fd, target->pid, target->start_ticks, with_pages, &reason);
    snapshot->is_kept = target->is_kept && fstat(target->fd, &file) == 0;
    if (snapshot->is_kept) {
        snapshot->kept_owner = file.st_uid;
        snapshot->kept_wall_s = (uint64_t)file.st_ctim.tv_sec;
    }
    return verdict == SEGMENT_OK ? 0 : say_refused(target, verdict, reason, command);
}

/* The page walk of the kernel behind smaps is short where pages are huge, and where they are not the
 * question is not asked. */
void target_read_huge(const struct target *target, struct snapshot *snapshot)
{
    snapshot->huge_is_known = target_lives(target);
    for (unsigned i = 0; i < snapshot->node_count && snapshot->huge_is_known; i++) {
        const struct hf_inspect_node *node = &snapshot->nodes[i];
        uint64_t *huge = &snapshot->huge_bytes[i], start = node->first_index * HF_INSPECT_PAGE_BYTES;
        *huge = node->os_page_bytes > HFI_SMALL_PAGE_BYTES ? node->total : 0;
        if (node->backing == HF_BACKING_THP)
            *huge = hfi_os_transparent_huge_bytes_of(PROCFS_PATH(target->pid, "smaps"),
                                                     snapshot->header.arena_base + start, node->total);
        snapshot->huge_is_known = *huge != UINT64_MAX;
    }
}

/* When a process executes another program, what was watched is over, though the process is not. */
bool target_lives(const struct target *target)
{
    struct stat file;
    return !target->is_kept && segment_process_lives(target->pid, target->start_ticks) &&
           segment_program_runs(target->pid, target->program) && fstat(target->fd, &file) == 0 &&
           file.st_nlink != 0;
}

void target_close(struct target *target)
{
    close(target->fd);
    target->fd = -1;
}
