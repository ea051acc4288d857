/*
 * tool: what the files of the `holdfast` program share.
 *
 * One file per subcommand, several for top, stat, report, and doctor with plan; holdfast.c chooses,
 * common.c helps, target.c finds the process that is meant, segment.c its inspection segment,
 * snapshot-read.c reads that, show.c has what pictures share.  The program keeps the C library's malloc:
 * it links the core of the library without the names it takes over.
 */
#ifndef HFT_TOOL_H
#define HFT_TOOL_H

#include <getopt.h>
#include <holdfast/inspect.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/options.h"
#include "base/say.h"
#include "reader/snapshot.h"

/* Exit statuses beside 0 and 1, as `holdfast(1)` lists them. */
enum {
    EXIT_USAGE = 2,   /* a command line that is not understood */
    EXIT_CONFIG = 78, /* EX_CONFIG: the value of an option or a variable was refused, whatever the command */
    EXIT_NOT_EXECUTED = 126, /* as env(1) and the shells */
    EXIT_NOT_FOUND = 127,
};

struct command {
    const char *name;
    const char *summary; /* one line */
    const char *help;    /* what --help prints */
    int (*run)(int argc, char **argv);
};

extern const struct command tool_run;
extern const struct command tool_doctor;
extern const struct command tool_map;
extern const struct command tool_list;
extern const struct command tool_plan;
extern const struct command tool_stat;
extern const struct command tool_record;
extern const struct command tool_report;
extern const struct command tool_tune;
extern const struct command tool_top;

/* getopt_long with messages of ours: the option's value, -1 at the end, '?' after
 * HF-E400 was printed.  "--help" comes back as 'h'. */
int tool_getopt(int argc, char **argv, const char *short_options, const struct option *long_options,
                const char *command);

/* Prints a command's help to standard output; 0. */
int tool_help(const struct command *command);

/* The `val` of long options that have the name of a HOLDFAST_* variable, as on-full of
 * HOLDFAST_ON_FULL. */
#define TOOL_SETS_VARIABLE 256

/* Checks the value of such an option, found last, with the parser of its variable, and puts it into
 * the environment.  False after HF-E402 was printed. */
bool tool_set_variable(const struct option *long_options, const char *value, const char *command);

#define TOOL_FORKS_MOST 100000

/* A whole number, the value of that option.  False after HF-E432 was printed. */
bool tool_number(const char *text, unsigned long least, unsigned long most, const char *option,
                 uint32_t *number, const char *command);

/* Whether a text is a number from `least` to `most`, and nothing else. */
bool tool_parse_number(const char *text, double least, double most, double *number);

/* A number of seconds, `least` or more and a hundred years at most, in ns.  False after HF-E446 was
 * printed. */
bool tool_seconds(const char *text, double least, uint64_t *ns, const char *command);

/* Whether the value of an option can be a file to write.  A number is most likely a process that
 * was named where the file belongs: false after HF-E447 was printed. */
bool tool_is_file(const char *value, const char *option, const char *command);

/* Path of libholdfast.so.0: `chosen` if given, HOLDFAST_LIBRARY, beside this program in a build
 * tree, the installed one.  Absolute; NULL when there is no such file (`tried` then names it).
 * Both live until the next call. */
const char *tool_library(const char *chosen, const char **tried);

/* Bytes of the character that a text begins with: UTF-8, and one that has a shape; 0 for anything
 * else, such as what a terminal might obey. */
size_t tool_utf8_length(const char *text);

/* Copies text that somebody else wrote, with what is no such character replaced by '?'.  For a
 * terminal: with all that is not ASCII replaced where the locale is not of UTF-8. */
char *tool_utf8(char *copy, size_t copy_bytes, const char *text);
char *tool_printable(char *copy, size_t copy_bytes, const char *text);

/* An unsigned number for JSON, whose integers are signed: clamped. */
json_t *tool_json_number(uint64_t number);

/* Prints a value and releases it; 0, or 1 when standard output was refused. */
int tool_json_print(json_t *value);

/* --- checks-keep.c: lines to paste, as root, that make a setting outlive a reboot --- */

/* A pool of 2 MiB pages, on a machine of one node whose usual huge pages these are. */
const char *tool_keep_sysctl_pool(char *text, size_t text_bytes, uint64_t pages);

/* A pool of one node; `path` is the file that sets it. */
const char *tool_keep_node_pool(char *text, size_t text_bytes, const char *path, uint64_t pages,
                                unsigned node, const char *backing);

/* Pools of 1 GiB pages; `pages` is a number, or a list by node. */
const char *tool_keep_command_line(char *text, size_t text_bytes, const char *pages);

#define TOOL_KEEP_THP                                                                                        \
    "echo 'w /sys/kernel/mm/transparent_hugepage/enabled - - - - madvise' > "                                \
    "/etc/tmpfiles.d/holdfast-thp.conf"

/* --- target.c --- */

/* A process that shows an arena. */
struct target {
    pid_t pid;
    uint64_t start_ticks;
    int fd;           /* of its segment */
    uint32_t program; /* that made it; 0 where unknown */
};

/* The process that `text` names, or for NULL the only one that shows an arena, with its segment
 * open.  0; or an exit status after HF-E411 to HF-E416 was printed under the name of `command`. */
int target_open(struct target *target, const char *text, const char *command);

/* Copies what it shows now; 0, or an exit status after HF-E414 or HF-E421.  A process that has ended is still
 * read; see target_lives. */
int target_read(const struct target *target, struct snapshot *snapshot, bool with_pages, const char *command);

bool target_lives(const struct target *target);
void target_close(struct target *target);

/* A process's name, as tool_utf8, and zeros up to the end of `name`; it chose it itself.  "?" when
 * it is gone.  Likewise a thread's. */
const char *target_name(pid_t pid, char *name, size_t name_bytes);
const char *target_thread_name(pid_t pid, uint64_t tid, char *name, size_t name_bytes);

/* --- segment.c --- */

/* Path of a process's segment. */
#define SEGMENT_PATH_BYTES 96
void segment_path(char path[SEGMENT_PATH_BYTES], pid_t pid, uint64_t start_ticks);

/* Start time of a process in clock ticks after boot; false when there is no such process. */
bool segment_start_ticks(pid_t pid, uint64_t *start_ticks);

/* False once the process has ended, waited for or not. */
bool segment_process_lives(pid_t pid, uint64_t start_ticks);

/* The mark of the program that made the segment; 0 where it is not told.  And whether a process
 * runs that program still, as far as the kernel tells the caller: exec keeps number and start
 * time. */
uint32_t segment_program(int fd);
bool segment_program_runs(pid_t pid, uint32_t program);

/* Whether a process that lives has a segment which the program before exec left. */
bool segment_is_left(pid_t pid, uint64_t start_ticks);

/* Opens a segment for reading only; a descriptor, or -1 with the reason. */
int segment_open(const char *path, pid_t pid, enum segment_verdict *verdict, const char **reason);

/* Calls `each` for every segment file whose process lives and runs the program that made it; others
 * are removed where they are the caller's own.  Those of other namespaces are passed over. */
struct segment_count {
    unsigned swept, elsewhere;
};
struct segment_count segment_each(void (*each)(pid_t pid, uint64_t start_ticks, void *argument),
                                  void *argument);

/* --- unshown.c --- */

/* Why a process has no segment, and what to do: "why; next step". */
const char *unshown_reason(pid_t pid, char *text, size_t text_bytes);

/* The file of the library that a process has mapped; false where it has none, or that cannot be
 * seen. */
bool unshown_library(pid_t pid, char *file, size_t file_bytes);

/* Calls `each` for every process that has the library mapped and no segment, as far as /proc lets
 * the caller see that. */
void unshown_each(void (*each)(pid_t pid, void *argument), void *argument);

#endif
