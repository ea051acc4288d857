/*
 * tool: what the files of the `holdfast` program share.
 *
 * holdfast.c chooses the command, common.c helps all of them; LAYERS has the folders.  The program
 * keeps the C library's malloc: it links the core of the library without the names it takes over.
 */
#ifndef HFT_TOOL_H
#define HFT_TOOL_H

#include <getopt.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>

#include "base/options.h"
#include "base/say.h"

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
extern const struct command tool_diff;
extern const struct command tool_tune;
extern const struct command tool_top;
extern const struct command tool_lab;

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

/* This program's file, and the folder that it is in.  False where /proc does not tell. */
bool tool_self(char path[PATH_MAX]);
bool tool_folder(char path[PATH_MAX]);

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

#endif
