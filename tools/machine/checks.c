/*
 * checks: see checks.h.  Kept as the JSON that they are printed as.
 *
 * Test: tests/tool.sh.
 */
#include "machine/checks.h"

#include <stdarg.h>
#include <string.h>

#define TEXT_BYTES 512
#define NAME_COLUMNS 13
#define MEND_COLUMN (4 + 1 + 6 + 1 + NAME_COLUMNS)

/* An array of the lines; null of NULL. */
static json_t *lines_of(const char *text)
{
    json_t *lines = text == NULL ? json_null() : json_array();
    for (const char *end; text != NULL; text = *end == 0 ? NULL : end + 1) {
        end = strchrnul(text, '\n');
        json_array_append_new(lines, json_stringn(text, (size_t)(end - text)));
    }
    return lines;
}

void checks_report(struct examination *examination, const struct check *check, const char *format, ...)
{
    static const char *const words[] = { "ok", "warn", "fail" };
    char found[TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(found, sizeof found, format, arguments);
    va_end(arguments);
    examination->failed += check->verdict == VERDICT_FAIL;
    examination->warned += check->verdict == VERDICT_WARN;
    json_t *object = json_object();
    json_object_set_new(object, "id", json_string(check->id));
    json_object_set_new(object, "name", json_string(check->name));
    json_object_set_new(object, "verdict", json_string(words[check->verdict]));
    json_object_set_new(object, "node",
                        check->node != NULL ? tool_json_number(check->node->id) : json_null());
    json_object_set_new(object, "need", check->counted ? tool_json_number(check->need) : json_null());
    json_object_set_new(object, "have", check->counted ? tool_json_number(check->have) : json_null());
    json_object_set_new(object, "page_bytes",
                        check->page_bytes != 0 ? tool_json_number(check->page_bytes) : json_null());
    json_object_set_new(object, "found", json_string(found));
    json_object_set_new(object, "mend",
                        check->verdict != VERDICT_OK && check->mend != NULL ? json_string(check->mend)
                                                                            : json_null());
    json_object_set_new(object, "keep", lines_of(check->verdict != VERDICT_OK ? check->keep : NULL));
    json_array_append_new(examination->checks, object);
}

enum verdict checks_fail_if_named(const struct examination *examination)
{
    return examination->outlook.named ? VERDICT_FAIL : VERDICT_WARN;
}

const char *checks_size(char text[16], uint64_t bytes)
{
    return bytes == UINT64_MAX ? "unlimited" : hfi_format_bytes(text, 16, bytes);
}

static const char *word_of(const json_t *check, const char *key)
{
    return json_string_value(json_object_get(check, key));
}

static void print_behind(const struct examination *examination, bool all, const char *mark)
{
    size_t index, line;
    json_t *check, *text;
    json_array_foreach(examination->checks, index, check)
    {
        const char *verdict = word_of(check, "verdict"), *mend = word_of(check, "mend");
        if (!all && strcmp(verdict, "ok") == 0)
            continue;
        printf("%s%-4s %s %-*s %s\n", mark, verdict, word_of(check, "id"), NAME_COLUMNS,
               word_of(check, "name"), word_of(check, "found"));
        if (mend != NULL)
            printf("%s%*s mend: %s\n", mark, MEND_COLUMN, "", mend);
        json_array_foreach(json_object_get(check, "keep"), line, text)
        {
            printf("%s%*s keep: %s\n", mark, MEND_COLUMN, "", json_string_value(text));
        }
    }
}

void checks_print(const struct examination *examination, bool all)
{
    print_behind(examination, all, "");
}

void checks_print_marked(const struct examination *examination, const char *mark)
{
    print_behind(examination, false, mark);
    printf("%s", mark);
}

void checks_print_sum(const struct examination *examination, const char *well, const char *badly)
{
    printf("%s", examination->failed == 0 ? well : badly);
    if (examination->failed != 0)
        printf("; %u failed", examination->failed);
    if (examination->warned != 0)
        printf("%s %u to mind", examination->failed != 0 ? "," : ";", examination->warned);
    putchar('\n');
}

uint64_t checks_missing(uint64_t need, uint64_t have)
{
    return need > have ? need - have : 0;
}

const char *checks_too_much(char text[32], uint64_t bytes)
{
    char size[16];
    text[0] = 0;
    if (bytes != 0)
        snprintf(text, 32, "; %s too much", checks_size(size, bytes));
    return text;
}
