/*
 * options: what the environment says, and what is said about it.
 *
 * O1: a value that is refused leaves its option at the default, prints HF-E102 and adds one to
 *     `errors`.  The caller decides whether that ends the process (init.c). (O2: option-table.c.)
 * O3: the caller of a program with raised privileges (AT_SECURE: set-user-ID, file capabilities)
 *     gets nothing by its environment that its own limits would refuse, and cannot make the program
 *     fail.  Of an option only `less` is obeyed, which takes less memory, locks, huge pages or
 *     space in /dev/shm than the default.
 * O4: where HOLDFAST_ONLY names another process, all options stand at their defaults, and nothing
 *     is said.
 * O5: the environment is the C library's (__environ).  `environ` may be a variable of the program's own.
 *
 * Tests: tests/unit/options.c, tests/programs/privileged.c.
 */
#include "base/options.h"

#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "base/say.h"

#define PREFIX "HOLDFAST_"
#define NAME_BYTES_KNOWN 64 /* of names to guess at, and more */
#define NAME_BEGINNING 2    /* letters that are a beginning */
#define NAME_BYTES_SHOWN 48 /* of names and values that somebody else wrote */
#define VALUE_BYTES_SHOWN 64
#define TEST_PREFIX "HOLDFAST_TEST_" /* hooks of the project's own tests */

struct options hfi_options;

/* Optimal string alignment: as Levenshtein, and two neighbours that changed places are one
 * mistake. */
static size_t name_distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    size_t rows[3][NAME_BYTES_KNOWN];
    size_t *before = rows[0], *last = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b_length; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t *oldest = before;
        before = last, last = row, row = oldest;
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            row[j] = hfi_min(last[j - 1] + (a[i - 1] != b[j - 1]), hfi_min(last[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = hfi_min(row[j], before[j - 2] + 1);
        }
    }
    return row[b_length];
}

size_t hfi_name_distance(const char *a, size_t a_length, const char *b)
{
    size_t b_length = strlen(b);
    if (b_length >= NAME_BYTES_KNOWN)
        return HFI_NAME_FAR;
    if (a_length >= NAME_BEGINNING && a_length < b_length && memcmp(a, b, a_length) == 0)
        return 1;
    size_t distance = name_distance(a, a_length, b, b_length);
    return 3 * distance <= hfi_max(a_length, b_length) ? distance : HFI_NAME_FAR;
}

/* Variables of the tool and the start script, which the program under them inherits. */
static bool belongs_to_others(const char *name, size_t length)
{
    static const char *const names[] = { "HOLDFAST_LIBRARY", "HOLDFAST_BUILD" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strlen(names[i]) == length && memcmp(names[i], name, length) == 0)
            return true;
    return strncmp(name, TEST_PREFIX, strlen(TEST_PREFIX)) == 0;
}

static void say_unknown(const struct options *options, const char *name, size_t length)
{
    const size_t prefix = strlen(PREFIX); /* which all share, and which says nothing */
    const char *nearest = "";
    size_t least = HFI_NAME_FAR;
    length = hfi_min(length, NAME_BYTES_SHOWN);
    for (size_t i = 0; i < hfi_option_count; i++) {
        size_t distance =
            hfi_name_distance(name + prefix, length - prefix, hfi_option_table[i].name + prefix);
        if (distance < least) {
            least = distance;
            nearest = hfi_option_table[i].name;
        }
    }
    const char *before = least == HFI_NAME_FAR ? "" : "did you mean ",
               *behind = least == HFI_NAME_FAR ? "" : "? ";
    if (options->strict)
        hfi_say(SAY_ERROR, "HF-E101", "options",
                "%.*s is no option, the program does not start (HOLDFAST_STRICT=1); %s%s%ssee "
                "holdfast(7)",
                (int)length, name, before, nearest, behind);
    else
        hfi_say(SAY_WARNING, "HF-W101", "options", "%.*s is no option and is ignored; %s%s%ssee holdfast(7)",
                (int)length, name, before, nearest, behind);
}

static void say_refused(const struct options *options, const struct option_entry *option, const char *text)
{
    const char *cut = strlen(text) > VALUE_BYTES_SHOWN ? "..." : "";
    if (options->strict)
        hfi_say(SAY_ERROR, "HF-E102", "options",
                "%s=%.*s%s is not allowed, the program does not start (HOLDFAST_STRICT=1); "
                "set it to %s, or unset it for %s",
                option->name, VALUE_BYTES_SHOWN, text, cut, option->values, option->initial);
    else
        hfi_say(SAY_ERROR, "HF-E102", "options",
                "%s=%.*s%s is not allowed, the default (%s) is used instead; "
                "set it to %s",
                option->name, VALUE_BYTES_SHOWN, text, cut, option->initial, option->values);
}

static const struct option_entry *find_option(const char *name, size_t length)
{
    for (size_t i = 0; i < hfi_option_count; i++)
        if (strlen(hfi_option_table[i].name) == length && memcmp(hfi_option_table[i].name, name, length) == 0)
            return &hfi_option_table[i];
    return NULL;
}

static void read_variable(struct options *options, const char *variable)
{
    const char *equals = strchr(variable, '=');
    if (equals == NULL)
        return;
    size_t length = (size_t)(equals - variable);
    const struct option_entry *option = find_option(variable, length);
    if (option != NULL) {
        if (getenv(option->name) != equals + 1)
            return; /* named twice: the first counts, as for everybody */
        if (!option->parse(options, equals + 1)) {
            options->errors++;
            say_refused(options, option, equals + 1);
        }
    } else if (!belongs_to_others(variable, length)) {
        say_unknown(options, variable, length);
        options->errors += options->strict; /* the typo that loses a named arena */
    }
}

static void set_defaults(struct options *options)
{
    *options = (struct options){ .errors = 0 };
    for (size_t i = 0; i < hfi_option_count; i++)
        hfi_option_table[i].parse(options, hfi_option_table[i].initial);
}

static bool is_ours(const char *variable)
{
    return strncmp(variable, PREFIX, strlen(PREFIX)) == 0;
}

/* Obeys a variable that sets an option to `less` (O3).  False when one that asks for anything is
 * ignored. */
static bool read_caller_variable(struct options *options, const char *variable)
{
    const char *equals = strchr(variable, '=');
    if (equals == NULL)
        return true;
    size_t length = (size_t)(equals - variable);
    const struct option_entry *option = find_option(variable, length);
    if (option == NULL)
        return belongs_to_others(variable, length);
    if (getenv(option->name) != equals + 1 || strcmp(equals + 1, option->initial) == 0)
        return true;
    if (option->less == NULL || strcmp(equals + 1, option->less) != 0)
        return false;
    option->parse(options, option->less);
    return true;
}

void hfi_options_read_caller(struct options *options)
{
    unsigned ignored = 0;
    set_defaults(options);
    for (char **variable = __environ; variable != NULL && *variable != NULL; variable++)
        if (is_ours(*variable))
            ignored += !read_caller_variable(options, *variable);
    if (ignored != 0)
        hfi_say(SAY_WARNING, "HF-W103", "options",
                "this program has privileges that its caller has not (AT_SECURE): "
                "%u of the caller's HOLDFAST_ variables are ignored; start it as the user whose privileges "
                "it has, or unset "
                "them, see holdfast(7)",
                ignored);
}

void hfi_options_read(struct options *options)
{
    if (getauxval(AT_SECURE) != 0) {
        hfi_options_read_caller(options);
        return;
    }
    set_defaults(options);
    const char *only = getenv("HOLDFAST_ONLY");
    if (only != NULL && hfi_option_parse_only(options, only) && !hfi_option_is_only(only))
        return;
    const char *strict = getenv("HOLDFAST_STRICT");
    if (strict != NULL && !hfi_option_parse_strict(options, strict)) /* first: messages depend on it */
        options->strict = true; /* who writes it otherwise than 0 or 1 means it */
    for (char **variable = __environ; variable != NULL && *variable != NULL; variable++)
        if (is_ours(*variable))
            read_variable(options, *variable);
}
