/*
 * holdfast: the command-line tool.
 *
 *     holdfast COMMAND [OPTION...]
 *
 * of run, doctor, plan, list, stat, top, map, record, report, diff, tune, lab and help.
 *
 * What it prints for people is in holdfast(1), the messages in holdfast-messages(7);
 * tests/manual.sh holds both against this program.
 */
#include <locale.h>
#include <string.h>

#include "tool.h"

static const struct command *const commands[] = {
    &tool_run, &tool_doctor, &tool_plan,   &tool_list, &tool_stat, &tool_top,
    &tool_map, &tool_record, &tool_report, &tool_diff, &tool_tune, &tool_lab,
};
#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static int help_main(int argc, char **argv);

static const struct command tool_help_command = {
    .name = "help",
    .summary = "explain a command, or `environment`",
    .help = "usage: holdfast help [COMMAND | environment]\n"
            "\n"
            "Without an argument: the commands.  With a command: its options.  `environment`: the\n"
            "HOLDFAST_* variables, their values, defaults and meanings.\n"
            "\n"
            "  --help  this text\n",
    .run = help_main,
};

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return strcmp(name, tool_help_command.name) == 0 ? &tool_help_command : NULL;
}

static int unknown_command(const char *name)
{
    size_t length = strlen(name), least = hfi_name_distance(name, length, tool_help_command.name);
    const char *nearest = tool_help_command.name;
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        size_t distance = hfi_name_distance(name, length, commands[i]->name);
        if (distance < least) {
            least = distance;
            nearest = commands[i]->name;
        }
    }
    if (least == HFI_NAME_FAR)
        hfi_say(SAY_ERROR, "HF-E401", "tool", "%s is no command; see `holdfast help`", name);
    else
        hfi_say(SAY_ERROR, "HF-E401", "tool",
                "%s is no command; did you mean `holdfast %s`? see `holdfast help`", name, nearest);
    return EXIT_USAGE;
}

static void print_commands(FILE *stream)
{
    fputs("usage: holdfast COMMAND [OPTION...]\n\n", stream);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(stream, "  %-8s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(stream, "  %-8s %s\n", tool_help_command.name, tool_help_command.summary);
    fputs("\n  --help     this text\n  --version  the version\n\nMore in holdfast(1), holdfast(7).\n",
          stream);
}

static int print_environment(void)
{
    for (size_t i = 0; i < hfi_option_count; i++) {
        const struct option_entry *entry = &hfi_option_table[i];
        printf("%s=%s\n    %s (default: %s)\n", entry->name, entry->values, entry->meaning, entry->initial);
    }
    return 0;
}

static int help_main(int argc, char **argv)
{
    static const struct option options[] = { { "help", no_argument, NULL, 'h' }, { 0 } };
    int option = tool_getopt(argc, argv, "+:h", options, "help");
    if (option == 'h')
        return tool_help(&tool_help_command);
    if (option != -1)
        return EXIT_USAGE;
    if (optind == argc) {
        print_commands(stdout);
        return 0;
    }
    if (strcmp(argv[optind], "environment") == 0)
        return print_environment();
    const struct command *command = find_command(argv[optind]);
    return command == NULL ? unknown_command(argv[optind]) : tool_help(command);
}

static int run_command(int argc, char **argv)
{
    if (argc < 2) {
        print_commands(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_commands(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("holdfast " HFI_VERSION);
        return 0;
    }
    const struct command *command = find_command(argv[1]);
    return command == NULL ? unknown_command(argv[1]) : command->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    hfi_say_set_verbose(true);
    setlocale(LC_CTYPE, ""); /* numbers keep their points */
    int status = run_command(argc, argv);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    hfi_say(SAY_ERROR, "HF-E458", "tool",
            "what was printed could not all be written; make room, or print to elsewhere");
    return EXIT_FAILURE;
}
