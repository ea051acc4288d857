/*
 * options: every form of every value, and what is refused.
 */
#include "base/options.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/say.h"

static struct options read_with(const char *name, const char *value)
{
    struct options options;
    setenv(name, value, 1);
    hfi_options_read(&options);
    unsetenv(name);
    return options;
}

Test(options, sizes)
{
    static const struct {
        const char *text;
        size_t bytes;
    } good[] = {
        { "1", 1 },
        { "4096", 4096 },
        { "64K", 65536 },
        { "64k", 65536 },
        { "8G", (size_t)8 << 30 },
        { "1.5G", (size_t)3 << 29 },
        { "512MiB", (size_t)512 << 20 },
        { "2T", (size_t)2 << 40 },
        { "0.25M", (size_t)1 << 18 },
    };
    static const char *const bad[] = {
        "",     "0",   "G",   "-1",  "8GG", "8 G", "1e9", "99999999999999999999", "99999999999T",
        "0.0G", "8Gi", "8.G", ".5G", "1.5", "8GB", "0x10"
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        size_t bytes = 0;
        cr_assert(hfi_parse_bytes(good[i].text, &bytes, NULL), "%s", good[i].text);
        cr_assert_eq(bytes, good[i].bytes, "%s is %zu", good[i].text, bytes);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        size_t bytes;
        cr_assert_not(hfi_parse_bytes(bad[i], &bytes, NULL), "%s", bad[i]);
    }
}

Test(options, only)
{
    char self[16];
    snprintf(self, sizeof self, "%ld", (long)getpid());
    const char *name = strrchr(program_invocation_name, '/');
    name = name == NULL ? program_invocation_name : name + 1;
    char path[300];
    snprintf(path, sizeof path, "/no/such/folder/%s", name);
    const char *const meant[] = { "all", self, name, path };
    const char *const others[] = { "1", "redis-server", "/usr/bin/redis-server" };
    setenv("HOLDFAST_ARENA", "8G", 1);
    for (size_t i = 0; i < sizeof meant / sizeof meant[0]; i++)
        cr_assert_eq(read_with("HOLDFAST_ONLY", meant[i]).arena_bytes, (size_t)8 << 30, "%s", meant[i]);
    setenv("HOLDFAST_BACKING", "no such thing", 1);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct options options = read_with("HOLDFAST_ONLY", others[i]);
        cr_assert(options.arena == ARENA_AUTO && options.errors == 0, "%s", others[i]);
    }
    unsetenv("HOLDFAST_BACKING");
    cr_assert_eq(read_with("HOLDFAST_ONLY", "").errors, 1);
    cr_assert_eq(read_with("HOLDFAST_ONLY", "/usr/bin/").errors, 1);
    unsetenv("HOLDFAST_ARENA");
}

Test(options, arena)
{
    cr_assert_eq(read_with("HOLDFAST_ARENA", "auto").arena, ARENA_AUTO);
    cr_assert_eq(read_with("HOLDFAST_ARENA", "8G").arena_bytes, (size_t)8 << 30);
    cr_assert_eq(read_with("HOLDFAST_ARENA", "25%").arena_percent, 25);
    struct options nodes = read_with("HOLDFAST_ARENA", "0:4G,3:1G");
    cr_assert_eq(nodes.arena, ARENA_PER_NODE);
    cr_assert_eq(nodes.arena_node_bytes[3], (size_t)1 << 30);
    static const char *const bad[] = { "",      "0%", "101%", "4G,1G", "0:4G,0:1G",
                                       "64:1G", "0:", ":1G",  "0:1G,", "big" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct options options = read_with("HOLDFAST_ARENA", bad[i]);
        cr_assert_eq(options.errors, 1, "%s", bad[i]);
        cr_assert_eq(options.arena, ARENA_AUTO);
    }
}

Test(options, nodes)
{
    cr_assert_eq(read_with("HOLDFAST_NODES", "all").nodes, ~(uint64_t)0);
    cr_assert_eq(read_with("HOLDFAST_NODES", "0,2-3").nodes, 0xd);
    cr_assert_eq(read_with("HOLDFAST_NODES", "3-2").errors, 1);
    cr_assert_eq(read_with("HOLDFAST_NODES", "0,").errors, 1);
    cr_assert_eq(read_with("HOLDFAST_NODES", "64").errors, 1);
}

Test(options, words)
{
    cr_assert_eq(read_with("HOLDFAST_BACKING", "2m").backing, BACKING_2M);
    cr_assert_eq(read_with("HOLDFAST_BACKING", "2M").errors, 1);
    cr_assert_eq(read_with("HOLDFAST_ON_FULL", "abort").on_full, ON_FULL_ABORT);
    cr_assert_eq(read_with("HOLDFAST_FREEZE", "abort").freeze, OPTION_FREEZE_ABORT);
    cr_assert_eq(read_with("HOLDFAST_FREEZE", "tell").freeze, OPTION_FREEZE_TELL);
    cr_assert_eq(read_with("HOLDFAST_FREEZE", "no").errors, 1);
    cr_assert_eq(read_with("HOLDFAST_PLACE", "node:2").place_node, 2);
    cr_assert_eq(read_with("HOLDFAST_PLACE", "node:").errors, 1);
    cr_assert_eq(read_with("HOLDFAST_REMOTE", "deny").remote_allow, false);
    cr_assert(read_with("HOLDFAST_VERBOSE", "1").verbose && !read_with("HOLDFAST_VERBOSE", "0").verbose);
    cr_assert_eq(read_with("HOLDFAST_VERBOSE", "3").verbose, read_with("HOLDFAST_VERBOSE", "1").verbose);
    cr_assert_eq(read_with("HOLDFAST_VERBOSE", "4").errors, 1);
    cr_assert_eq(read_with("HOLDFAST_STRICT", "yes").errors, 1);
}

Test(options, durations)
{
    cr_assert_eq(read_with("HOLDFAST_SLO", "50us").slo_ns, 50000);
    cr_assert_eq(read_with("HOLDFAST_SLO", "7ns").slo_ns, 7);
    cr_assert_eq(read_with("HOLDFAST_SLO", "60000ms").slo_ns, 60000000000u);
    cr_assert_eq(read_with("HOLDFAST_SLO", "off").slo_ns, 0);
    static const char *const refused[] = { "50",    "us",      "0us",     "50 us", "50usx",         "1.5us",
                                           "-50us", "60001ms", "1000000", "50s",   "99999999999us", "" };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct options options = read_with("HOLDFAST_SLO", refused[i]);
        cr_assert(options.errors == 1 && options.slo_ns == 0, "%s", refused[i]);
    }
}

Test(options, unknown_names_are_no_errors_but_defaults_stand)
{
    struct options options = read_with("HOLDFAST_ARENAS", "8G");
    cr_assert_eq(options.errors, 0);
    cr_assert_eq(options.arena, ARENA_AUTO);
    cr_assert(options.remote_allow && options.inspect && !options.strict);
}

Test(options, every_default_in_the_table_is_accepted)
{
    for (size_t i = 0; i < hfi_option_count; i++)
        cr_assert_eq(read_with(hfi_option_table[i].name, hfi_option_table[i].initial).errors, 0, "%s",
                     hfi_option_table[i].name);
}

/* --- what is said --- */

static char said[8192];

/* Runs hfi_options_read, or `talk`, with standard error in a pipe; what was said is in `said`. */
static struct options listen_to(void (*talk)(void))
{
    int ends[2];
    struct options options = { .errors = 0 };
    cr_assert_eq(pipe(ends), 0);
    int own_stderr = dup(2);
    dup2(ends[1], 2);
    errno = 123;
    if (talk != NULL)
        talk();
    else
        hfi_options_read(&options);
    cr_assert_eq(errno, 123);
    dup2(own_stderr, 2);
    close(ends[1]);
    close(own_stderr);
    size_t length = 0;
    ssize_t got;
    while ((got = read(ends[0], said + length, sizeof said - 1 - length)) > 0)
        length += (size_t)got;
    said[length] = 0;
    close(ends[0]);
    return options;
}

static void assert_said_after_prefix(const char *expected)
{
    char line[2048];
    snprintf(line, sizeof line, "holdfast[%ld] %s\n", (long)getpid(), expected);
    cr_assert_str_eq(said, line);
}

Test(options, a_refused_value_is_said_with_what_is_allowed_and_what_is_done)
{
    setenv("HOLDFAST_LOCK", "maybe", 1);
    cr_assert_eq(listen_to(NULL).errors, 1);
    assert_said_after_prefix(
        "error HF-E102 options: HOLDFAST_LOCK=maybe is not allowed, the default (auto) is used instead; "
        "set it to auto | yes | no");
    setenv("HOLDFAST_STRICT", "1", 1);
    struct options options = listen_to(NULL);
    cr_assert(options.strict && options.errors == 1 && options.lock == LOCK_AUTO);
    assert_said_after_prefix(
        "error HF-E102 options: HOLDFAST_LOCK=maybe is not allowed, the program does not start "
        "(HOLDFAST_STRICT=1); set it to auto | yes | no, or unset it for auto");
}

Test(options, every_refused_value_is_counted)
{
    setenv("HOLDFAST_ARENA", "8X", 1);
    setenv("HOLDFAST_BACKING", "", 1);
    setenv("HOLDFAST_INSPECT", "on", 1);
    cr_assert_eq(listen_to(NULL).errors, 3);
    cr_assert_not_null(strstr(said, "HOLDFAST_ARENA=8X "));
    cr_assert_not_null(strstr(said, "HOLDFAST_BACKING= "));
}

Test(options, unknown_names_are_said_with_the_nearest)
{
    setenv("HOLDFAST_AREAN", "8G", 1);
    cr_assert_eq(listen_to(NULL).errors, 0);
    assert_said_after_prefix(
        "warning HF-W101 options: HOLDFAST_AREAN is no option and is ignored; did you mean HOLDFAST_ARENA? "
        "see holdfast(7)");
    unsetenv("HOLDFAST_AREAN");
    static const char *const pairs[][2] = {
        { "HOLDFAST_VERBOSITY", "HOLDFAST_VERBOSE" }, { "HOLDFAST_PREFAULTS", "HOLDFAST_PREFAULT" },
        { "HOLDFAST_ONFULL", "HOLDFAST_ON_FULL" },    { "HOLDFAST_LOCKED", "HOLDFAST_LOCK" },
        { "HOLDFAST_NODE", "HOLDFAST_NODES" },        { "HOLDFAST_VERB", "HOLDFAST_VERBOSE" },
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        char question[64];
        setenv(pairs[i][0], "1", 1);
        listen_to(NULL);
        unsetenv(pairs[i][0]);
        snprintf(question, sizeof question, "did you mean %s?", pairs[i][1]);
        cr_assert_not_null(strstr(said, question), "%s", said);
    }
}

Test(options, a_name_that_is_near_nothing_is_said_without_a_guess)
{
    static const char *const names[] = { "HOLDFAST_FOO", "HOLDFAST_X", "HOLDFAST_", "HOLDFAST_COLOUR",
                                         "HOLDFAST_CROCODILE" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        setenv(names[i], "1", 1);
        listen_to(NULL);
        unsetenv(names[i]);
        cr_assert_not_null(strstr(said, " is no option and is ignored; see holdfast(7)"), "%s", said);
    }
}

Test(options, a_distance_is_mistakes_of_one_letter_or_of_two_neighbours)
{
    cr_assert_eq(hfi_name_distance("stat", 4, "stat"), 0);
    cr_assert_eq(hfi_name_distance("sttx", 3, "stat"), 1);
    cr_assert_eq(hfi_name_distance("mpa", 3, "map"), 1);
    cr_assert_eq(hfi_name_distance("doc", 3, "doctor"), 1);
    cr_assert_eq(hfi_name_distance("d", 1, "doctor"), HFI_NAME_FAR);
    cr_assert_eq(hfi_name_distance("foo", 3, "top"), HFI_NAME_FAR);
    cr_assert_eq(hfi_name_distance("", 0, "top"), HFI_NAME_FAR);
}

Test(options, names_of_tests_and_tools_are_left_alone)
{
    setenv("HOLDFAST_TEST_HOOK", "1", 1);
    setenv("HOLDFAST_LIBRARY", "/no/where", 1);
    setenv("HOLDFAST", "1", 1);
    listen_to(NULL);
    cr_assert_str_empty(said);
}

Test(options, a_value_cannot_break_the_line_or_push_the_advice_out)
{
    static char longest[4000];
    setenv("HOLDFAST_ARENA", "8\n\033[31mG", 1);
    listen_to(NULL);
    cr_assert_not_null(strstr(said, "HOLDFAST_ARENA=8??[31mG is not allowed"), "%s", said);
    memset(longest, 'x', sizeof longest - 1);
    setenv("HOLDFAST_ARENA", longest, 1);
    listen_to(NULL);
    cr_assert_not_null(strstr(said, "xxx... is not allowed"), "%s", said);
    cr_assert_not_null(strstr(said, "set it to auto | SIZE"), "%s", said);
}

/* --- say --- */

static void talk_too_long(void)
{
    hfi_say(SAY_WARNING, "HF-W000", "test", "%03000d", 7);
}

static void talk_at_all_levels(void)
{
    hfi_say(SAY_INFO, "HF-I000", "test", "not this");
    hfi_say_set_verbose(true);
    hfi_say(SAY_INFO, "HF-I000", "test", "this");
    hfi_say_line("a line of %d", 3);
}

Test(say, lines)
{
    listen_to(talk_too_long);
    cr_assert_eq(strlen(said), 1023);
    cr_assert_str_eq(said + 1023 - 4, "...\n");
    listen_to(talk_at_all_levels);
    cr_assert_null(strstr(said, "not this"));
    cr_assert_not_null(strstr(said, "] info HF-I000 test: this\n"));
    cr_assert_not_null(strstr(said, "] a line of 3\n"));
}

Test(say, bytes)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        { 0, "0 B" },
        { 1023, "1023 B" },
        { 1024, "1 KiB" },
        { 1536, "1.5 KiB" },
        { (uint64_t)8 << 30, "8 GiB" },
        { ((uint64_t)1 << 30) - 1, "1023.9 MiB" },
        { (uint64_t)3 << 40, "3 TiB" },
        { UINT64_MAX, "1677721.5 TiB" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[16];
        cr_assert_str_eq(hfi_format_bytes(text, sizeof text, cases[i].bytes), cases[i].text);
    }
}

Test(options, psi)
{
    static const char *const bad[] = { "0", "0%", "101%", "5", "%", "on", "", "-1%", "5%%" };
    cr_assert(read_with("HOLDFAST_PSI", "off").psi_percent == 0);
    cr_assert(read_with("HOLDFAST_PSI", "100%").psi_percent == 100);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct options options = read_with("HOLDFAST_PSI", bad[i]);
        cr_assert(options.errors == 1 && options.psi_percent == 0, "%s", bad[i]);
    }
}

Test(options, reserve)
{
    static const char *const bad[] = { "51%", "0%", "-1", "%", "1.5%", "1%%", "many", "", "1G,1G" };
    struct options options = read_with("HOLDFAST_RESERVE", "0");
    cr_assert(options.reserve_percent == 0 && options.reserve_bytes == 0 && options.errors == 0);
    options = read_with("HOLDFAST_RESERVE", "50%");
    cr_assert(options.reserve_percent == 50 && options.reserve_bytes == 0 && options.errors == 0);
    options = read_with("HOLDFAST_RESERVE", "64M");
    cr_assert(options.reserve_percent == 0 && options.reserve_bytes == (size_t)64 << 20 &&
              options.errors == 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        options = read_with("HOLDFAST_RESERVE", bad[i]);
        cr_assert(options.errors == 1 && options.reserve_percent == 0 && options.reserve_bytes == 0, "%s",
                  bad[i]);
    }
}
