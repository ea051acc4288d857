/*
 * common: see tool.h.
 */
#include "tool.h"

#include <ctype.h>
#include <errno.h>
#include <langinfo.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef HF_LIBRARY_PATH
#define HF_LIBRARY_PATH "/usr/local/lib/libholdfast.so.0"
#endif
#define LIBRARY_NAME "libholdfast.so.0"

/* Of the long option that was found last. */
static int long_index;

int tool_getopt(int argc, char **argv, const char *short_options, const struct option *long_options,
                const char *command)
{
    char letter[3] = "-";
    opterr = 0; /* ours have an id and name the next step */
    int found = getopt_long(argc, argv, short_options, long_options, &long_index);
    if (found != '?' && found != ':')
        return found;
    /* getopt is past a long option, not always past a cluster of letters */
    const char *word = argv[optind - 1];
    if (strncmp(word, "--", 2) != 0) {
        letter[1] = (char)optopt;
        word = letter;
    }
    if (found == ':')
        hfi_say(SAY_ERROR, "HF-E400", command, "option %s needs a value; see `holdfast help %s`", word,
                command);
    else
        hfi_say(SAY_ERROR, "HF-E400", command,
                "option %s is unknown, ambiguous or takes no value; see `holdfast help %s`", word, command);
    return '?';
}

int tool_help(const struct command *command)
{
    fputs(command->help, stdout);
    return 0;
}

/* Checks a value with the parser of its variable and puts it into the environment. */
static bool set_option(const char *variable, const char *value, const char *command)
{
    static struct options scratch;
    for (size_t i = 0; i < hfi_option_count; i++) {
        const struct option_entry *entry = &hfi_option_table[i];
        if (strcmp(entry->name, variable) != 0)
            continue;
        if (entry->parse(&scratch, value))
            return setenv(variable, value, 1) == 0;
        hfi_say(SAY_ERROR, "HF-E402", command,
                "%s=%s: not one of %s; correct it, see `holdfast help environment`", variable, value,
                entry->values);
    }
    return false;
}

bool tool_set_variable(const struct option *long_options, const char *value, const char *command)
{
    char variable[64] = "HOLDFAST_";
    size_t length = strlen(variable);
    for (const char *at = long_options[long_index].name; *at != 0 && length + 1 < sizeof variable; at++)
        variable[length++] = *at == '-' ? '_' : (char)toupper((unsigned char)*at);
    return set_option(variable, value, command);
}

bool tool_parse_number(const char *text, double least, double most, double *number)
{
    char *end;
    errno = 0;
    *number = strtod(text, &end);
    return errno == 0 && end != text && *end == 0 && *number >= least && *number <= most; /* no NaN */
}

bool tool_seconds(const char *text, double least, uint64_t *ns, const char *command)
{
    double seconds;
    if (tool_parse_number(text, least, 3.2e9, &seconds)) {
        *ns = (uint64_t)(seconds * 1e9);
        return true;
    }
    hfi_say(SAY_ERROR, "HF-E446", command,
            "%s is no time: a number of seconds is wanted, %g at least; see `holdfast help %s`", text, least,
            command);
    return false;
}

bool tool_number(const char *text, unsigned long least, unsigned long most, const char *option,
                 uint32_t *number, const char *command)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (*text >= '0' && *text <= '9' && *end == 0 && errno == 0 && value >= least && value <= most) {
        *number = (uint32_t)value;
        return true;
    }
    hfi_say(SAY_ERROR, "HF-E432", command, "%s %s: not a number from %lu to %lu; see `holdfast help %s`",
            option, text, least, most, command);
    return false;
}

bool tool_is_file(const char *value, const char *option, const char *command)
{
    if (*value == 0 || value[strspn(value, "0123456789")] != 0)
        return true;
    hfi_say(
        SAY_ERROR, "HF-E447", command,
        "%s %s: that is a number, as a process has, and no file; name the file first, `holdfast %s %s FILE "
        "%s`, or write ./%s if it is one",
        option, value, command, option, value, value);
    return false;
}

/* --- the library --- */

/* Absolute form of a file that can be read, in a buffer of PATH_MAX. */
static bool readable_path(char *absolute, const char *path)
{
    return realpath(path, absolute) != NULL && access(absolute, R_OK) == 0;
}

bool tool_self(char path[PATH_MAX])
{
    ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);
    path[length > 0 ? length : 0] = 0;
    return length > 0;
}

bool tool_folder(char path[PATH_MAX])
{
    char *slash = tool_self(path) ? strrchr(path, '/') : NULL;
    if (slash != NULL)
        *slash = 0;
    return slash != NULL;
}

/* In a build tree: DIR/.libs for DIR/holdfast, and DIR for libtool's own DIR/.libs/holdfast.  An
 * installed program has neither, so that a stray file beside it is never preferred. */
static bool library_beside(char *absolute)
{
    char self[PATH_MAX], path[PATH_MAX + sizeof "/../.libs/" LIBRARY_NAME];
    if (!tool_folder(self))
        return false;
    const char *directory = strrchr(self, '/');
    snprintf(path, sizeof path, "%s/.libs/" LIBRARY_NAME, self);
    if (readable_path(absolute, path))
        return true;
    snprintf(path, sizeof path, "%s/../.libs/" LIBRARY_NAME, self);
    if (readable_path(absolute, path))
        return true;
    snprintf(path, sizeof path, "%s/" LIBRARY_NAME, self);
    return directory != NULL && strcmp(directory, "/.libs") == 0 && readable_path(absolute, path);
}

const char *tool_library(const char *chosen, const char **tried)
{
    static char absolute[PATH_MAX];
    const char *named = chosen != NULL ? chosen : getenv("HOLDFAST_LIBRARY");
    bool given = named != NULL && *named != 0;
    *tried = given ? named : HF_LIBRARY_PATH;
    if (!given && library_beside(absolute))
        return absolute;
    return readable_path(absolute, *tried) ? absolute : NULL;
}

/* --- output --- */

/* Code points that are no character, or have no shape of their own: controls, what turns the
 * direction of writing round, what is for private use.  Not the C library's tables, which go by the
 * locale. */
static bool has_shape(uint32_t point)
{
    static const uint32_t none[][2] = {
        { 0, 0x1f },
        { 0x7f, 0xa0 },
        { 0xad, 0xad },
        { 0x61c, 0x61c },
        { 0x180e, 0x180e },
        { 0x200b, 0x200f },
        { 0x2028, 0x202f },
        { 0x205f, 0x206f },
        { 0xd800, 0xf8ff },
        { 0xfdd0, 0xfdef },
        { 0xfeff, 0xfeff },
        { 0xfff0, 0xfffb },
        { 0xe0000, UINT32_MAX },
    };
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        if (point >= none[i][0] && point <= none[i][1])
            return false;
    return (point & 0xfffe) != 0xfffe;
}

size_t tool_utf8_length(const char *text)
{
    /* by length: what is shorter has to be written shorter */
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    const unsigned char *at = (const unsigned char *)text;
    size_t length = *at < 0x80 ? 1 : *at < 0xc0 ? 0 : *at < 0xe0 ? 2 : *at < 0xf0 ? 3 : *at < 0xf8 ? 4 : 0;
    uint32_t point = length == 1 ? *at : *at & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (at[i] & 0x3f);
    }
    return length != 0 && point >= least[length] && has_shape(point) ? length : 0;
}

/* A character that is refused, or cut short, is one all the same. */
static size_t bytes_passed_over(const char *text)
{
    size_t length = 1;
    while (((unsigned char)*text & 0xc0) == 0xc0 && ((unsigned char)text[length] & 0xc0) == 0x80 &&
           length < 4)
        length++;
    return length;
}

static char *copy_text(char *copy, size_t copy_bytes, const char *text, bool utf8)
{
    size_t used = 0;
    while (*text != 0) {
        size_t length = tool_utf8_length(text), keeps = length > 1 && !utf8 ? 0 : length;
        if (used + (keeps == 0 ? 1 : keeps) >= copy_bytes)
            break;
        if (keeps == 0)
            copy[used++] = '?';
        memcpy(copy + used, text, keeps);
        used += keeps;
        text += length == 0 ? bytes_passed_over(text) : length;
    }
    copy[used] = 0;
    return copy;
}

char *tool_utf8(char *copy, size_t copy_bytes, const char *text)
{
    return copy_text(copy, copy_bytes, text, true);
}

char *tool_printable(char *copy, size_t copy_bytes, const char *text)
{
    return copy_text(copy, copy_bytes, text, strcmp(nl_langinfo(CODESET), "UTF-8") == 0);
}

json_t *tool_json_number(uint64_t number)
{
    return json_integer((json_int_t)(number > INT64_MAX ? INT64_MAX : number));
}

int tool_json_print(json_t *value)
{
    int error = json_dumpf(value, stdout, JSON_INDENT(2));
    json_decref(value);
    return error != 0 || putchar('\n') == EOF || fflush(stdout) != 0;
}
